# %% [markdown] tags=["title"]
# # 10. Is it any good? Evaluation
#
# {{badges}}
#
# At the end you will have fooled seven metrics of this field, and will know what a table of models
# lets you say.

# %% [markdown]
# **You will learn**
#
# - what the literature measures, on which pictures, and how to audit a published table;
# - what each metric sees, and a picture that fools it;
# - why FID depends on the number of pictures, and by how much;
# - intervals: over pictures, over pairs, over seeds, and what each of them allows you to say;
# - to be tested yourself: real or fake?
#
# **You need** [Colour](01_colour.ipynb) (its metrics), [the U-Net baseline](02_unet_baseline.ipynb)
# (why L1 is dull) and, for the models' names,
# [Generative adversarial networks](03_gans.ipynb).
#
# **Time**: quick mode about 70 s on two CPU cores; full mode: not measured.
#
# There is no slider in this notebook: what you turn here are the pictures themselves, in code. Its
# one panel is a game.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import itertools

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import stats
from torch import nn

from colorlib import color, evaluate, metrics, open_source, scenes
from colorlib.course import game, quote, rerun
from colorlib.course.exercises import notebook_10 as exercises
from colorlib.course.experiments import rivals
from colorlib.figures import PALETTE, image_grid, show
from colorlib.inference import Colorizer
from colorlib.training import Trainer

# %% [markdown]
# ## Three metrics, three winners
#
# The smallest experiment first. Eight scenes, of which the balloons' hues cannot be known, and
# three colourings of them:
#
# - **grey balloons**: all else exact, each balloon grey;
# - **other balloons**: all else exact, each balloon in another hue, as likely as the true one;
# - **random blocks**: squares of random colour over everything.
#
# Which one is best? Ask three metrics. **PSNR** is the squared error in dB, high is good.
# **Colorfulness** (Hasler and Suesstrunk 2003) looks at one picture alone. The **chroma ratio** is
# the sum of all predicted chroma over the sum of all true chroma, best at 1.


# %%
def render(L, ab):
    """What is shown: chroma reduced into sRGB, rounded to 8 bits. Only this may be measured."""
    return color.to_uint8(color.join_lab(L, ab, gamut="chroma"))


def pooled(predicted, true):
    """The colour statistics of a whole set."""
    statistics = metrics.PooledColor()
    statistics.update(predicted, true)
    return statistics.result()


def random_blocks(n, size, rng, strength=0.5):
    """ab in network units: 8 x 8 squares of random colour."""
    squares = strength * torch.randn(n, 2, 8, 8, generator=rng)
    return nn.functional.interpolate(squares, size=(size, size), mode="nearest")


rng = torch.Generator().manual_seed(config.seed)
world = scenes.draw(range(8), 64, split="test")
toy = {
    "grey balloons": render(world.L, scenes.posterior_median(world)),
    "other balloons": scenes.repaint(world, scenes.draw_colours(8, rng)).rgb,
    "random blocks": render(world.L, random_blocks(8, 64, rng)),
}
found = pd.DataFrame(columns=["PSNR", "colorfulness", "chroma ratio"], dtype=float)
for name, pictures in toy.items():
    statistics = pooled(pictures, world.rgb)
    per_image = metrics.psnr(pictures, world.rgb).mean().item()
    found.loc[name] = [per_image, statistics["colorfulness"], statistics["chroma_ratio"]]
print(found.round(2).to_string())

# %% tags=["check"]
assert found["PSNR"].idxmax() == "grey balloons", "expected PSNR to prefer grey"
assert found["colorfulness"].idxmax() == "random blocks", "expected colorfulness to like noise"
assert (found["chroma ratio"] - 1).abs().idxmin() == "other balloons", "expected the right amount"

# %%
fig = image_grid({"truth": world.rgb[:2]} | {k: v[:2] for k, v in toy.items()}, cell=1.3)
show(
    fig,
    alt="Two scenes in four columns: true, with grey balloons, with balloons of other hues, and "
    "under squares of random colour.",
)

# %% [markdown]
# Three winners. No metric is wrong: each answers its own question. So before "is it
# good?" comes "good at what, measured how, on which pictures?". That is a **protocol**.

# %% [markdown]
# ## What the literature measures
#
# - **Zhang et al. 2016**: 10,000 validation images of ImageNet (the list *ctest10k* of Larsson et
#   al. 2016). Real or fake, by people; does a classifier still know the object; error of ab.
# - **Isola et al. 2017** (pix2pix): ImageNet at 256 px. Real or fake, by people, one second a pair.
# - **Kumar et al. 2021** (ColTran): the first 5,000 validation images of ImageNet (*val5k*). FID;
#   real or fake, by people.
# - **Kang et al. 2023** (DDColor): val5k, all 50,000 (*val50k*), 5,000 images of COCO-Stuff, 2,000
#   of ADE20K, all at 256 px. FID, colorfulness, its difference to the truth, PSNR; and which of
#   several results 20 people prefer.
#
# People first. Shown in pairs with the truth, fakes were taken for real in 16.3 % (L2 regression),
# 22.5 % (pix2pix) and 27.8 % (Zhang et al.) of trials, says Isola et al. 2017. Zhang et al.'s own
# test of the same method says 32 %. Other people, other pictures, other seconds: a rate belongs to
# its protocol.
#
# **Classification accuracy**: VGG knew 68.3 % of the true photographs, 52.7 % in grey, and 56.0 %
# coloured by the method of Zhang et al. 2016: colour helps a machine to see, so it carries meaning.

# %% [markdown]
# ### A published table, audited
#
# Table 1 of Kang et al. 2023, its two columns for ImageNet. CF is colorfulness, dCF its absolute
# difference to that of the true photographs. The authors ran the official code and weights of all
# others themselves. For val5k they cut the middle square and resized it to 256 px; for val50k they
# resized without cutting (their answer in issue 9 of the repository piddnad/DDColor).

# %%
COLUMNS = ["FID 5k", "CF 5k", "dCF 5k", "PSNR 5k", "FID 50k", "CF 50k", "dCF 50k", "PSNR 50k"]
published = pd.DataFrame.from_dict(
    {
        "CIC (Zhang 2016)": [8.72, 31.60, 6.61, 22.64, 19.17, 43.92, 4.83, 20.86],
        "InstColor": [8.06, 24.87, 13.34, 23.28, 7.36, 27.05, 12.04, 22.91],
        "DeOldify": [6.59, 21.29, 16.92, 24.11, 3.87, 22.83, 16.26, 22.97],
        "Wu et al.": [5.95, 32.98, 5.23, 21.68, 3.62, 35.13, 3.96, 21.81],
        "ColTran": [6.44, 34.50, 3.71, 20.95, 6.14, 35.50, 3.59, 22.30],
        "CT2": [5.51, 38.48, 0.27, 23.50, 4.95, 39.96, 0.87, 22.93],
        "BigColor": [5.36, 39.74, 1.53, 21.24, 1.24, 40.01, 0.92, 21.24],
        "ColorFormer": [4.91, 38.00, 0.21, 23.10, 1.71, 39.76, 0.67, 23.00],
        "DDColor-tiny": [4.38, 37.66, 0.55, 23.54, 1.23, 37.72, 1.37, 23.63],
        "DDColor-large": [3.92, 38.26, 0.05, 23.85, 0.96, 38.65, 0.44, 23.74],
    },
    orient="index",
    columns=COLUMNS,
)

# %% [markdown]
# Audit it. **Books balance**: the true photographs have one colorfulness, so CF plus or minus dCF
# must give the same number in every row. **PSNR**: who has the best one, and how colourful is it?
# **Order**: does it depend on the pictures?

# %% tags=["nbval-check-output"]
print(published.to_string(float_format="%.2f"))
for pictures, truth in (("5k", 38.21), ("50k", 39.09)):
    cf, difference = published[f"CF {pictures}"], published[f"dCF {pictures}"]
    off = np.minimum(abs(cf + difference - truth), abs(cf - difference - truth))
    assert off.max() < 0.011, "expected one colorfulness of the truth behind all rows"
    print(f"val{pictures}: every row fits photographs of colorfulness {truth:.2f}")
best_psnr, dullest = published["PSNR 5k"].idxmax(), published["CF 5k"].idxmin()
print(f"val5k: best PSNR {best_psnr}, least colourful {dullest}")
a, b = published.loc["BigColor"], published.loc["ColorFormer"]
print(f"BigColor less ColorFormer in FID: {a['FID 5k'] - b['FID 5k']:.2f} on val5k", end=", ")
print(f"{a['FID 50k'] - b['FID 50k']:.2f} on val50k")

# %% tags=["check"]
assert best_psnr == dullest == "DeOldify", "expected PSNR to crown the dullest"
assert a["FID 5k"] > b["FID 5k"] and a["FID 50k"] < b["FID 50k"], "expected the order to turn"

# %% [markdown]
# - The books balance to the last digit. A table that does not deserves a letter to its authors.
# - On val5k the best PSNR belongs to the least colourful method. Grey again, in print.
# - BigColor and ColorFormer change places with the pictures. And DDColor's own FID is 3.92 on 5,000
#   pictures and 0.96 on 50,000: **the same network**. You will see below what the number of
#   pictures does to FID.
# - Numbers travel badly: the card of the published weights (ModelScope) has these two FIDs the
#   wrong way round, and a reader who ran the weights reports FID 3.78 and CF 34.33 for val5k (the
#   same issue 9; not checked by us).
#
# **What of it compares with yours?** No number. Your pictures are others, smaller, and your
# Inception has torchvision's weights. What does compare: the *order* of methods that you run
# yourself, all on the same pictures with the same evaluator, beside grey and untrained rows.

# %% [markdown]
# ## Each metric, and how to fool it
#
# | metric | compares | best | what it says in one line |
# |---|---|---|---|
# | PSNR | pixel by pixel | high | squared error, all channels, in dB |
# | SSIM | window by window | 1 | means, variances and correlation of 11 x 11 pixels |
# | CIEDE2000 | pixel by pixel | 0 | how different the colours look; about 1 is just visible |
# | chroma ratio | two sums | 1 | as much colour as there should be |
# | histogram intersection | two histograms | 1 | as much of each shade of a* or b*, anywhere |
# | colorfulness | nothing | the truth's | spread of the colours of one picture, and their mean |
# | FID | two sets | 0 | distance of two Gaussians fitted to features of all pictures |
#
# (LPIPS, a distance between features of a network, needs weights that are not bundled; `evaluate`
# takes them.)
#
# "Anywhere", "sums", "nothing": each such word is a hole. One photograph of the bundled ones, and
# a colouring that climbs through each.

# %%
photos = open_source("photos", 128, "test")
face = photos.images([1])
L, ab = color.split_lab(color.to_float(face))
rng = torch.Generator().manual_seed(config.seed)
turned = torch.stack([-ab[:, 1], ab[:, 0]], dim=1)  # each hue by 90 degrees
patched = ab.clone()
patched[..., 40:72, 48:80] = torch.tensor([0.3, -0.4])[:, None, None]  # a violet square
tinted = ab + torch.tensor([0.0, 0.06])[:, None, None]  # all a little yellower
fakes = {
    "truth": face,
    "grey": render(L, torch.zeros_like(ab)),
    "hues turned": render(L, turned),
    "mirrored ab": render(L, ab.flip(-1)),
    "violet square": render(L, patched),
    "faint tint": render(L, tinted),
    "random blocks": render(L, random_blocks(1, 128, rng)),
}


# %%
def lightness_alone(pictures):
    """L as a grey picture, as papers have it that report SSIM of lightness."""
    L = color.split_lab(color.to_float(pictures))[0]
    return color.to_uint8((L.expand(-1, 3, -1, -1) + 1) / 2)


fooled = pd.DataFrame(
    {
        name: {
            "PSNR": min(metrics.psnr(picture, face).item(), 60.0),
            "SSIM": metrics.ssim(picture, face).item(),
            "SSIM of L": metrics.ssim(lightness_alone(picture), lightness_alone(face)).item(),
            "CIEDE2000": metrics.ciede2000(picture, face).item(),
            "chroma ratio": pooled(picture, face)["chroma_ratio"],
            "a intersection": pooled(picture, face)["a_intersection"],
            "b intersection": pooled(picture, face)["b_intersection"],
            "colorfulness": metrics.colorfulness(picture).item(),
        }
        for name, picture in fakes.items()
    }
).T
print(fooled.round(2).to_string())
# SSIM and CIEDE2000 are means: a violet square in a face beats a tint that one hardly sees
square, tint = fooled.loc["violet square"], fooled.loc["faint tint"]
# histograms: the right colours in wrong places
for shade in ("a intersection", "b intersection"):
    assert fooled[shade]["mirrored ab"] > 0.95, "expected places not to matter"
worst = fooled["CIEDE2000"].nlargest(2).index.to_list()

# %% tags=["check"]
# SSIM of L: any colouring at all is perfect
assert fooled["SSIM of L"].min() > 0.99, "expected SSIM of L to be blind to colour"
assert square["SSIM"] > tint["SSIM"] and square["CIEDE2000"] < tint["CIEDE2000"], "expected so"
# chroma ratio: the right amount of wrong colours
assert abs(fooled["chroma ratio"]["hues turned"] - 1) < 0.03, "expected a green face to be fine"
# colorfulness: noise beats every photograph
assert fooled["colorfulness"].idxmax() == "random blocks", "expected noise to be colourful"
assert fooled["PSNR"]["grey"] > fooled["PSNR"]["hues turned"] + 2, "expected grey to be safer"
assert worst == ["random blocks", "hues turned"], "expected CIEDE2000 to see wrong hues"

# %% tags=["result"]
says = {
    "truth": "truth",
    "grey": f"PSNR prefers it to the next ({fooled['PSNR']['grey']:.0f} dB)",
    "hues turned": f"chroma ratio {fooled['chroma ratio']['hues turned']:.2f}: fine",
    "mirrored ab": f"intersection {fooled['a intersection']['mirrored ab']:.2f}: fine",
    "violet square": f"CIEDE2000 {square['CIEDE2000']:.1f}: beats the next",
    "faint tint": f"CIEDE2000 {tint['CIEDE2000']:.1f}",
    "random blocks": f"colorfulness {fooled['colorfulness']['random blocks']:.0f}: best",
}
fig = image_grid({says[name]: picture for name, picture in fakes.items()}, cell=0.92)
show(
    fig,
    alt="A woman's face in true colours, in grey, all green, with its colours mirrored, with a "
    "violet square over an eye, with a faint yellow tint, and under random coloured squares. Each "
    "but the truth and the tint has a caption with the metric that it fools.",
)

# %% [markdown]
# Every hole has the same cure: a second metric that looks elsewhere. The green face is fine in
# chroma ratio and has the largest CIEDE2000 but that of the blocks. **Never one number.**

# %% [markdown]
# ### FID: copies
#
# FID compares sets, not pictures. So here is a perfect "colorizer": it ignores its input and
# returns the photographs of the test set in another order. (Inception's weights are not bundled:
# the features here are the mean colours of 16 fields, 48 numbers a picture. The hole is the same.)

# %%
held_out = scenes.draw(range(200), 32, split="test")


def features(pictures):
    """The mean colours of 4 x 4 fields of each picture: (n, 48), from 0 to 1."""
    return nn.functional.adaptive_avg_pool2d(color.to_float(pictures), 4).flatten(1)


copies = held_out.rgb.roll(1, dims=0)  # to each picture the next one
median = render(held_out.L, scenes.posterior_median(held_out))  # the best answer under L1
scores = pd.DataFrame(columns=["FID", "PSNR"], dtype=float)
for name, pictures in {"copies": copies, "exact median": median}.items():
    distance = metrics.fid(features(pictures), features(held_out.rgb))
    scores.loc[name] = [distance, metrics.psnr(pictures, held_out.rgb).mean().item()]
print(scores.round(4).to_string())

# %% tags=["check"]
assert scores["FID"]["copies"] < 1e-6 < scores["FID"]["exact median"], "expected FID to be fooled"
assert scores["PSNR"]["copies"] < scores["PSNR"]["exact median"] - 8, "expected PSNR to see it"

# %% [markdown]
# FID 0.0000, every picture wrong. A conditional generator needs a metric that looks at the
# condition, too.

# %% [markdown]
# ## FID and the number of pictures
#
# FID fits a Gaussian to the features of each set. For two Gaussians the distance is known exactly
# (Dowson and Landau 1982):
#
# $$d^2 = \lVert m_1 - m_2 \rVert^2
# + \mathrm{tr}\left(C_1 + C_2 - 2\,(C_1 C_2)^{1/2}\right)$$
#
# With $C_1 = I$ and $C_2 = s^2 I$ in $d$ dimensions that is $\lVert m_1 - m_2 \rVert^2 +
# d\,(s - 1)^2$. Check the library against it.

# %% tags=["nbval-check-output"]
DIM = 32
identity, shift = torch.eye(DIM, dtype=torch.float64), torch.zeros(DIM, dtype=torch.float64)
shift[0] = 1.0
origin = torch.zeros_like(shift)
for s in (1.0, 1.2, 2.0):
    exact = 1 + DIM * (s - 1) ** 2
    measured = metrics.frechet_distance(origin, identity, shift, s**2 * identity)
    print(f"s = {s:.1f}: closed form {exact:.4f}, library {measured:.4f}")
    assert abs(exact - measured) < 1e-9, "expected the closed form"

# %% [markdown]
# But you never have $m$ and $C$, only estimates from $n$ pictures. Take two samples of the *same*
# Gaussian: the true distance is 0, the estimate cannot be. How large is it? To first order in $1/n$
# (work it out: the means add $2d/n$, the covariances $(d^2 + d)/(2n)$)
#
# $$E[\widehat{\mathrm{FID}}] \approx \frac{d\,(d + 5)}{2n}$$
#
# for $n$ pictures on each side and $C = I$. It falls like $1/n$ and grows with the **square** of
# the number of features. Inception has 2,048.


# %%
def sample(n, rng, s=1.0, mean=0.0):
    return mean + s * torch.randn(n, DIM, generator=rng, dtype=torch.float64)


rng = torch.Generator().manual_seed(config.seed)
sizes = [50, 100, 200, 500, 1000, 2000, 5000]
bias = {}
for n in sizes:
    repeats = 20 if n < 2000 else 6
    runs = [metrics.fid(sample(n, rng), sample(n, rng)) for _ in range(repeats)]
    bias[n] = np.mean(runs)
    expected = DIM * (DIM + 5) / (2 * n)
    print(f"n = {n:5}: FID of two samples of one Gaussian {bias[n]:7.3f}, formula {expected:7.3f}")
    assert min(runs) > 0, "expected no sample to match its own distribution"
    assert abs(bias[n] / expected - 1) < 0.15, "expected d (d + 5) / (2 n)"

# %% [markdown]
# Same distribution, and a "distance" of 12 from 50 pictures. So: **compare FIDs only at the same
# $n$.** If you must guess the value for infinitely many: Chong and Forsyth 2020 fit a line in $1/n$
# to subsets and read it at 0. Two Gaussians with the true distance $1 + 32 \cdot 0.2^2 = 2.28$:


# %%
TRUE_FID = 1 + DIM * 0.2**2
subsets = [400, 600, 1000, 1500, 2500, 4000]


def extrapolate(seed):
    """FID of all 4,000, of random subsets, and the line's value at 1/n = 0."""
    rng = torch.Generator().manual_seed(seed)
    one, two = sample(4000, rng), sample(4000, rng, s=1.2, mean=shift)
    found = []
    for n in subsets:
        repeats = 1 if n == 4000 else 6
        orders = [torch.randperm(4000, generator=rng) for _ in range(2 * repeats)]
        draws_of = zip(orders[::2], orders[1::2])
        found.append(np.mean([metrics.fid(one[i[:n]], two[j[:n]]) for i, j in draws_of]))
    slope, at_zero = np.polyfit(1 / np.array(subsets), found, 1)
    return found, slope, at_zero


lines = [extrapolate(seed) for seed in range(8)]
of_all = np.array([found[-1] for found, _, _ in lines]) - TRUE_FID
at_zero = np.array([value for _, _, value in lines]) - TRUE_FID
print(f"error of FID from 4,000 pictures:  {of_all.mean():+.3f} on average over 8 seeds")
print(f"error of the line's value at 0:    {at_zero.mean():+.3f} on average", end=", ")
print(f"from {at_zero.min():+.2f} to {at_zero.max():+.2f}")

# %% tags=["check"]
assert 0.05 < of_all.mean() < 0.3, "expected 4,000 pictures to be biased upwards"
assert abs(at_zero.mean()) < of_all.mean() / 2, "expected the line to take most of the bias away"
assert np.ptp(at_zero) > 0.1, "expected single lines to scatter"

# %%
fig = Figure(figsize=(8.6, 3.0), layout="constrained")
left, right = fig.subplots(1, 2)
left.loglog(sizes, list(bias.values()), "o", color=PALETTE[0], label="measured")
left.loglog(sizes, [DIM * (DIM + 5) / (2 * n) for n in sizes], color=PALETTE[1], label="formula")
left.set(xlabel="pictures $n$", ylabel="FID", title="one Gaussian against itself (true: 0)")
left.legend()
inverse = np.linspace(0, 1 / 400, 2)
for found, slope, value in lines[:3]:
    right.plot(1 / np.array(subsets), found, "o", color=PALETTE[0], markersize=4)
    right.plot(inverse, value + slope * inverse, color=PALETTE[0], linewidth=0.8)
right.axhline(TRUE_FID, color=PALETTE[1], linestyle="--", label="true distance")
right.set(xlabel="$1/n$", ylabel="FID", title="lines in $1/n$, three seeds")
right.legend()
show(
    fig,
    alt="Left the FID of one Gaussian against itself falls as one over n along the formula, from "
    "12 at 50 pictures to 0.1 at 5000. Right three straight lines in one over n that meet the axis "
    "near the true distance.",
)

# %% [markdown]
# The line removes the bias, not the scatter: one extrapolated value is off by up to a few tenths
# here. Now read DDColor's 3.92 (n = 5,000) and 0.96 (n = 50,000) as two points of such a line:

# %% tags=["nbval-check-output"]
few, many = published.loc["DDColor-large", ["FID 5k", "FID 50k"]]
slope = (few - many) / (1 / 5_000 - 1 / 50_000)
print(f"a line through both: {slope:,.0f} / n, at 0: {few - slope / 5_000:.4f}")
falls = published["FID 5k"] / published["FID 50k"]
for name, ratio in falls.items():
    print(f"{name:18} FID of 5k / FID of 50k = {ratio:.2f}")

# %% tags=["check"]
assert falls.min() < 1 < falls.max(), "expected one method to get worse with more pictures"
assert falls["DDColor-large"] > 4 and falls["ColTran"] < 1.1, "expected no common factor"
assert falls["CIC (Zhang 2016)"] < 0.5, "expected CIC to get worse"

# %% [markdown]
# A tempting story: "4/5 of the 3.92 is bias". The other rows refute it as a whole explanation.
# ColTran hardly falls, and CIC **rises**: the two columns differ in the crop of the pictures and
# their choice, too. What is left to say: do not carry an FID from one column to another.

# %% [markdown]
# ## Colorfulness: two formulas under one name
#
# Hasler and Suesstrunk 2003 take the opponents $rg = R - G$ and $yb = (R + G)/2 - B$ **with their
# signs**, and from their standard deviations and means over the pixels
#
# $$C = \sqrt{\sigma_{rg}^2 + \sigma_{yb}^2} + 0.3 \sqrt{\mu_{rg}^2 + \mu_{yb}^2}$$
#
# Much code on the web takes $|R - G|$ and $|(R + G)/2 - B|$ first. Then red beside green, the
# strongest contrast there is, has a standard deviation of nearly nothing. A pair of pictures that
# the two put in opposite order:


# %% tags=["nbval-check-output"]
def colorfulness_of(picture, absolute):
    """Of one picture (3, h, w), with signed or absolute opponents."""
    red, green, blue = picture.double()
    opponents = torch.stack([red - green, (red + green) / 2 - blue])
    opponents = (opponents.abs() if absolute else opponents).flatten(1)
    spread, mean = opponents.std(dim=1, correction=0), opponents.mean(dim=1)
    return (spread.norm() + 0.3 * mean.norm()).item()


def halves(one, two, size=32):
    """A picture whose left half has one colour and whose right half has another."""
    picture = torch.tensor(two, dtype=torch.uint8)[:, None, None].repeat(1, size, size)
    picture[:, :, : size // 2] = torch.tensor(one, dtype=torch.uint8)[:, None, None]
    return picture


contrast = halves((190, 100, 100), (100, 190, 100))  # pale red beside pale green
stripe = halves((190, 100, 100), (128, 128, 128))  # pale red beside grey
table = {}
for name, picture in {"red and green": contrast, "red and grey": stripe}.items():
    table[name] = [colorfulness_of(picture, absolute) for absolute in (False, True)]
    print(f"{name:14} signed {table[name][0]:.4f}, absolute {table[name][1]:.4f}")
    library = metrics.colorfulness(picture[None]).item()
    assert abs(library - table[name][0]) < 1e-3, "expected the library to keep the signs"

# %% tags=["check"]
assert table["red and green"][0] > 1.5 * table["red and grey"][0], "expected contrast to count"
assert table["red and green"][1] < table["red and grey"][1], "expected the order to turn"

# %% [markdown]
# Does it matter on photographs, and is there a third way to differ? Yes: **what is averaged**. The
# colorfulness of each picture, then the mean? Or one over the pixels of all? Take the 33 bundled
# crops.

# %%
crops = photos.images(range(len(photos)))
signed = np.array([colorfulness_of(picture, False) for picture in crops])
absolute = np.array([colorfulness_of(picture, True) for picture in crops])
together = pooled(crops, crops)["colorfulness"]
agreement = stats.spearmanr(signed, absolute).statistic
pairs = list(itertools.combinations(range(len(crops)), 2))
turned_pairs = [
    (i, j) for i, j in pairs if (signed[i] - signed[j]) * (absolute[i] - absolute[j]) < 0
]
print(f"mean over pictures: signed {signed.mean():.1f}, absolute {absolute.mean():.1f}")
print(f"signed over all pixels together: {together:.1f}")
print(f"rank correlation {agreement:.2f}; {len(turned_pairs)} of {len(pairs)} pairs change order")

# %% tags=["check"]
assert absolute.mean() < 0.95 * signed.mean(), "expected absolute opponents to give less"
assert together > 1.2 * signed.mean(), "expected more spread in all pixels than in each picture"
assert 0.8 < agreement < 0.999 and turned_pairs, "expected similar but not equal orders"

# %%
fig = Figure(figsize=(8.6, 2.6), layout="constrained")
axes = fig.subplots(1, 3, width_ratios=[1, 1, 2])
for ax, (name, picture) in zip(axes, {"red and green": contrast, "red and grey": stripe}.items()):
    ax.imshow(picture.permute(1, 2, 0).numpy())
    ax.set(xticks=[], yticks=[], title=f"{name}\n{table[name][0]:.0f} / {table[name][1]:.0f}")
axes[2].plot(signed, absolute, "o", color=PALETTE[0], markersize=4)
axes[2].plot([0, 100], [0, 100], color="0.6", linewidth=0.8)
axes[2].set(xlabel="signed opponents", ylabel="absolute", title="33 crops of photographs")
show(
    fig,
    alt="Left two pictures of two halves, red and green with colorfulness 104 signed and 30 "
    "absolute, red and grey with 65 in both. Right the two measures over 33 crops: points on and "
    "below the diagonal.",
)

# %% [markdown]
# A colorfulness without "signed or absolute" and "mean or pooled" is half a number. `colorlib`:
# signed, pooled over the set in `evaluate`, per picture in `metrics.colorfulness`.

# %% [markdown]
# ## The desaturation meter, and its blind spot
#
# Dullness is *the* failure of colorization, so it deserves an instrument: the chroma ratio. Turn
# the strength $s$ of all colours, $ab \to s \cdot ab$, and read it. Then do the same with all hues
# turned by 90 degrees.

# %%
strengths = np.linspace(0, 1.4, 15)
L, ab = held_out.L[:64], held_out.true_ab[:64]
quarter = torch.stack([-ab[:, 1], ab[:, 0]], dim=1)
meter = pd.DataFrame(index=strengths.round(2))
for name, hues in {"true hues": ab, "turned hues": quarter}.items():
    shown = [render(L, float(s) * hues) for s in strengths]
    true = held_out.rgb[:64]
    meter[f"ratio, {name}"] = [pooled(pictures, true)["chroma_ratio"] for pictures in shown]
    meter[f"error, {name}"] = [metrics.ciede2000(p, true).mean().item() for p in shown]
print(meter.iloc[[0, 5, 10, 14]].round(2).to_string())
in_gamut = meter[meter.index <= 1]
off = {
    n: (in_gamut[f"ratio, {n}"] - in_gamut.index).abs().max() for n in ("true hues", "turned hues")
}
uneven = torch.cat([render(L[:32], 0.6 * ab[:32]), render(L[32:], 1.4 * ab[32:])])
balance = pooled(uneven, true)["chroma_ratio"]
print(f"half of the pictures at 0.6, half at 1.4: ratio {balance:.2f}")

# %% tags=["check"]
assert off["true hues"] < 0.03, "expected the meter to read the strength"
assert off["turned hues"] < 0.12, "expected about the same with every hue wrong"
assert meter["error, true hues"].idxmin() == 1.0, "expected the least error at the true strength"
assert meter["error, turned hues"].idxmin() == 0.0, "expected wrong hues to be best in grey"
assert abs(balance - 1) < 0.08, "expected dull and gaudy to cancel"

# %%
fig = Figure(figsize=(8.6, 2.8), layout="constrained")
axes = fig.subplots(1, 2)
for ax, what, label in zip(axes, ("ratio", "error"), ("chroma ratio", "mean CIEDE2000")):
    for name, style, shade in (("true hues", "-", PALETTE[0]), ("turned hues", "--", PALETTE[1])):
        ax.plot(meter.index, meter[f"{what}, {name}"], style, color=shade, label=name)
    ax.set(xlabel="strength of the colours", ylabel=label)
    ax.legend()
show(
    fig,
    alt="Left the chroma ratio rises as the strength for true and turned hues alike. Right the "
    "error of true hues is a V with its tip at strength 1, that of turned hues is least near 0.",
)

# %% [markdown]
# The meter reads the strength, and hardly notices a blue meadow: a little is lost where sRGB cannot
# show the turned colour. CIEDE2000 sees it, and gives an advice of its own: **if your hues are
# wrong, be dull**. With turned hues its best strength is 0.
#
# A second blind spot: it is a sum. Half of the pictures too dull and half too vivid also give about
# 1. Look at the pictures.

# %% [markdown]
# ## How sure? Bootstrap intervals
#
# A mean over 200 test pictures would be another with 200 other pictures. How much? The
# **bootstrap** (Efron 1979) asks the sample itself: draw 200 of your 200 scores *with replacement*,
# take the mean, repeat; the middle 95 % of these means are a **percentile interval**.
#
# Does it keep its promise, to contain the true mean in 95 % of all cases? Test it where the truth
# is known: exponential random numbers with mean 1.


# %%
def interval(values, rng, draws=2000):
    """The 95 % percentile interval of the mean, from means of resampled values."""
    picks = rng.integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(np.asarray(values)[picks].mean(axis=1), [0.025, 0.975])
    return low, high


chance = np.random.default_rng(config.seed)
values = chance.exponential(size=100)
mine = interval(values, chance, draws=10_000)
theirs = stats.bootstrap((values,), np.mean, method="percentile").confidence_interval
print(f"mean {values.mean():.2f}, interval {mine[0]:.2f} to {mine[1]:.2f}: as SciPy's to 0.03")

covers = {}
for n in (10, 30, 200):
    bounds = [interval(chance.exponential(size=n), chance, draws=500) for _ in range(500)]
    covers[n] = np.mean([low <= 1 <= high for low, high in bounds])
    print(f"n = {n:3}: the 95 % interval held the true mean in {covers[n]:.1%} of 500 cases")

# %% tags=["check"]
assert np.allclose(mine, theirs, atol=0.03), "expected SciPy's interval"
assert 0.80 < covers[10] < 0.93, "expected too short intervals from ten pictures"
assert 0.91 < covers[200] < 0.98, "expected about what was promised from two hundred"

# %% [markdown]
# From ten pictures the interval is too short: it promises 95 % and keeps less than 93 %. From two
# hundred it is nearly honest.
#
# ### Two models: compare pair by pair
#
# Train three of the course's recipes, 200 steps each at 32 px, and score each test scene.

# %%
torch.set_num_threads(1)  # networks this small: a second thread costs more than it brings
networks = {name: rivals.train(rivals.small(name), 0) for name in ("l1", "pix2pix", "hinge")}
networks = {name: trainer.averaged_generator.eval() for name, trainer in networks.items()}
with torch.no_grad():
    shown = {name: render(held_out.L, network(held_out.L)) for name, network in networks.items()}
each = {name: metrics.psnr(pictures, held_out.rgb).numpy() for name, pictures in shown.items()}
for name, per_scene in each.items():
    low, high = interval(per_scene, chance)
    print(f"{name:8} PSNR {per_scene.mean():.2f} dB, 95 % interval {low:.2f} to {high:.2f}")

# %% [markdown]
# The intervals of `l1` and `pix2pix` may touch. So nothing can be said? No: both coloured **the
# same scenes**. What makes a scene hard makes it hard for both, and cancels in the difference scene
# by scene. Resample the differences.


# %%
def difference_interval(a, b, paired):
    """95 % interval of mean(a) - mean(b): scene by scene, or as if of different scenes."""
    if paired:
        return interval(a - b, chance)
    picks = [chance.integers(0, len(v), (2000, len(v))) for v in (a, b)]
    means = [v[i].mean(axis=1) for v, i in zip((a, b), picks)]
    return tuple(np.quantile(means[0] - means[1], [0.025, 0.975]))


a, b = each["l1"], each["pix2pix"]
bounds = {paired: difference_interval(a, b, paired) for paired in (False, True)}
correlation = np.corrcoef(a, b)[0, 1]
print(f"l1 less pix2pix {np.mean(a - b):+.2f} dB; correlation of the scores {correlation:.2f}")
widths = {paired: high - low for paired, (low, high) in bounds.items()}
for paired, (low, high) in bounds.items():
    how = "paired" if paired else "unpaired"
    print(f"{how:9} {low:+.2f} to {high:+.2f}, width {widths[paired]:.2f}")

# %% tags=["check"]
assert correlation > 0.6, "expected the same scenes to be hard for both"
assert widths[True] < 0.65 * widths[False], "expected pairing to narrow the interval"
assert bounds[True][0] > 0, "expected the pairs to tell l1 from pix2pix in PSNR"

# %% [markdown]
# Same scenes, same scores, an interval several times as narrow. Pairing is free: **always
# compare on the same pictures, and report the interval of the difference.**

# %% [markdown]
# ## All models of the course in one table
#
# The rows of [notebook 09](09_wgan_gp.ipynb): nine recipes, three seeds each, the same 96
# held-out scenes for all. Mean, and smallest to largest seed.

# %% tags=["nbval-check-output"]
rows = quote("rivals")
MEASURES = {
    "psnr": "PSNR",
    "ciede2000": "CIEDE2000",
    "balloon_chroma_ratio": "balloon chroma",
    "background_ab_mae": "background error",
}
by_name = rows.groupby("name", sort=False)[list(MEASURES)]
low, mean, high = by_name.min(), by_name.mean(), by_name.max()
print(" " * 18 + "".join(title.rjust(24) for title in MEASURES.values()))
for name in mean.index:
    print(f"{name:18}", end="")
    for column in MEASURES:
        digits = 3 if column == "background_ab_mae" else 2
        texts = [f"{frame.loc[name, column]:.{digits}f}" for frame in (mean, low, high)]
        print(f" {texts[0]} ({texts[1]} to {texts[2]})".rjust(24), end="")
    print()


# %% [markdown]
# No model may be shown without two more rows: **grey**, which paints nothing, and **untrained**,
# the same network before its first step. What cannot beat them has learned nothing.


# %%
class Grey(nn.Module):
    def forward(self, L):
        return torch.zeros_like(L).expand(-1, 2, -1, -1)


fresh = Trainer(rivals.small("l1"), open_source("scenes", 32), seed=0, device="cpu").generator
baselines = pd.DataFrame({"grey": rivals.look(Grey()), "untrained": rivals.look(fresh)}).T
baselines = baselines[list(MEASURES)]
print(baselines.round(3).to_string())

setting = rivals.EXPERIMENT.settings[0]
again = rerun("rivals", setting, seed=1, column="psnr")
print(f"{setting['name']}, seed 1, trained again here: PSNR {again['psnr']:.2f} dB")

# %% tags=["check"]
assert (low["psnr"] > baselines["psnr"].max() + 2).all(), "expected all to beat grey in PSNR"
assert (high["ciede2000"] < baselines["ciede2000"].min() - 4).all(), "expected so in CIEDE2000"
assert (baselines["balloon_chroma_ratio"] < 0.05).all(), "expected no colour from either"
assert again["psnr"] > baselines["psnr"]["grey"] + 2, "expected it to beat grey"

# %% [markdown]
# In your own work one call does all this: `evaluate` takes models by name and a source of pictures,
# adds both rows, and measures what is shown. The three networks from above, on the 200 test scenes:

# %%
table = evaluate(networks, open_source("scenes", 32, "test"), progress=False, device="cpu")
columns = ["n", "psnr", "ssim", "ciede2000", "chroma_ratio", "a_intersection", "b_intersection"]
print(table[columns].round(2).to_string())
for name, per_scene in each.items():
    assert abs(table["psnr"][name] - per_scene.mean()) < 0.01, "expected the same mean"
with torch.no_grad():
    found = {n: scenes.score(network(held_out.L), held_out) for n, network in networks.items()}
balloons = {name: scores["balloon_chroma_ratio"] for name, scores in found.items()}
print("balloons alone:", ", ".join(f"{name} {ratio:.2f}" for name, ratio in balloons.items()))
difference = table["chroma_ratio"]["pix2pix"] - table["chroma_ratio"]["l1"]

# %% tags=["check"]
assert list(table.index[-2:]) == ["grey", "untrained"], "expected the two rows to be added"
assert balloons["pix2pix"] > balloons["l1"] + 0.1, "expected pix2pix to have stronger balloons"
assert abs(difference) < 0.15, "expected the ratio of all pixels hardly to show it"

# %% [markdown]
# A third blind spot of the meter: **area**. pix2pix's balloons have far more colour than L1's, and
# the chroma ratio of all pixels hardly shows it, for balloons are small. Where you know which part
# is hard, measure that part.

# %% [markdown]
# ### What the seeds allow you to say
#
# A recipe is not one network. Ask: do the seeds' ranges of two recipes stay apart? With three seeds
# each, how often would they, if both recipes were equally good? Six numbers in random order: the
# first three are all below or all above the others in 2 of 20 cases. So **10 % of equal pairs look
# different**, and nine recipes make 36 pairs.

# %% tags=["nbval-check-output"]
splits = list(itertools.combinations(range(6), 3))
apart_by_luck = sum(max(three) < 3 or min(three) > 2 for three in splits) / len(splits)
all_pairs = list(itertools.combinations(mean.index, 2))
print(f"{len(splits)} ways, apart by luck {apart_by_luck:.4f}", end=": ")
print(f"{apart_by_luck * len(all_pairs):.1f} of {len(all_pairs)} pairs expected if all were equal")


def apart(one, two, column):
    """Whether the ranges over seeds do not overlap."""
    above = low.loc[one, column] > high.loc[two, column]
    return bool(above or low.loc[two, column] > high.loc[one, column])


told_apart = {c: sum(apart(*pair, c) for pair in all_pairs) for c in MEASURES}
for column, count in told_apart.items():
    print(f"{MEASURES[column]:17} tells {count} pairs apart")
for column in ("psnr", "ciede2000"):
    assert not apart("l1", "hinge", column), "expected the seeds of l1 and hinge to overlap"

# %% tags=["check"]
assert apart_by_luck == 0.1, "expected 2 of 20"
assert min(told_apart.values()) > 2 * apart_by_luck * len(all_pairs), "expected more than luck"
assert apart("l1", "pix2pix", "psnr") and apart("l1", "pix2pix", "balloon_chroma_ratio"), (
    "expected pix2pix to be more colourful, and to pay for it in PSNR"
)

# %%
bounds = difference_interval(
    *(metrics.ciede2000(shown[name], held_out.rgb).numpy() for name in ("l1", "hinge")), paired=True
)
print(f"CIEDE2000 of l1 less hinge, these two networks: {bounds[0]:+.2f} to {bounds[1]:+.2f}")

fig = Figure(figsize=(8.6, 3.2), layout="constrained")
axes = fig.subplots(1, 4, sharey=True)
for ax, (column, title) in zip(axes, MEASURES.items()):
    for place, (name, group) in enumerate(rows.groupby("name", sort=False)):
        ax.plot(group[column], [place] * len(group), "o", color=PALETTE[0], markersize=4)
    for place, (name, value) in enumerate(baselines[column].items(), len(mean)):
        ax.plot(value, place, "x", color=PALETTE[1])
    labels = [*mean.index, *baselines.index]
    ax.set(title=title, yticks=range(len(labels)), yticklabels=labels)
    ax.title.set_fontsize(10)
    ax.grid(axis="y", alpha=0.3)
axes[0].invert_yaxis()
show(
    fig,
    alt="Dots of nine recipes, three seeds each, and crosses for grey and untrained, under four "
    "measures. In PSNR and CIEDE2000 l1 and hinge lead and overlap, the penalised critics are last "
    "of the trained; in balloon chroma the order is reversed. Grey and untrained are far off.",
)

# %% [markdown]
# Read the seeds first, then the pictures:
#
# - **Can be said**: all recipes beat grey and untrained by far. pix2pix is more colourful than L1
#   and pays for it in PSNR.
# - **Cannot be said**: whether `hinge` or `l1` has the better PSNR or CIEDE2000. The interval over
#   scenes that was printed may exclude 0: it is about **these two networks**, and another seed
#   makes another network. Pictures and seeds are two kinds of chance; an interval covers the one
#   that was drawn again.
# - **Cannot be said either**: anything about photographs.

# %% [markdown]
# ### The shipped weights, on photographs
#
# Now the network that comes with `colorlib`, on the 33 crops of scikit-image's photographs. It has
# seen fruit, landscapes and clothes, and none of these. And mind: the 33 crops overlap and come
# from **five** photographs. Crops of one photograph are right or wrong together, so draw
# *photographs* again, not crops.

# %%
shipped = Colorizer.load("default", config.device)
table = evaluate({"default": shipped}, photos, progress=False, device=config.device)
print(table[columns].round(2).to_string())

L, _ = color.split_lab(color.to_float(crops))
gain = metrics.psnr(render(L, shipped.predict(L)), crops)
gain = (gain - metrics.psnr(render(L, torch.zeros_like(L).expand(-1, 2, -1, -1)), crops)).numpy()
picture_of = np.array([crop.picture for crop in photos.crops])
by_crop = interval(gain, chance)
groups = [gain[picture_of == k] for k in range(5)]
draws = [np.concatenate([groups[k] for k in chance.integers(0, 5, 5)]).mean() for _ in range(2000)]
by_photo = np.quantile(draws, [0.025, 0.975])
print(f"PSNR above grey {gain.mean():+.2f} dB, with the 95 % interval")
print(f"over 33 crops {by_crop[0]:+.2f} to {by_crop[1]:+.2f}", end=", ")
print(f"over 5 photographs {by_photo[0]:+.2f} to {by_photo[1]:+.2f}")
print("by photograph:", " ".join(f"{group.mean():+.1f}" for group in groups), "dB")
means = [group.mean() for group in groups]
ratio = table["chroma_ratio"]["default"]

# %% tags=["check"]
assert np.ptp(by_photo) > 1.15 * np.ptp(by_crop), "expected fewer photographs to be less certain"
assert by_photo[0] > 0, "expected a gain over grey that five photographs can show"
assert min(means) > 0 and max(means) > min(means) + 3, "expected a gain on each, and unequal ones"
assert (gain < -2).any(), "expected crops that are much worse than grey"
assert 0.4 < ratio < 0.8, "expected too little colour"

# %%
one_each = [int(np.flatnonzero(picture_of == k)[2]) for k in range(5)]
fig = image_grid(
    {
        "shipped weights": render(L, shipped.predict(L))[one_each],
        "truth": crops[one_each],
    },
    rows=[f"PSNR above grey {gain[k]:+.1f} dB" for k in one_each],
    cell=0.7,
)
show(
    fig,
    alt="Crops of five photographs, coloured by the shipped weights and true. The sky behind a "
    "rocket is blue in both. A face turns as yellow as a lemon, a cat's fur beside its eye green, "
    "and a red cup and a red motorcycle come out grey.",
)

# %% [markdown]
# Two honest sentences. *On five photographs that it had not seen, the network was nearer to the
# truth than grey*: each of the five gained, and the interval over photographs excludes 0. *How much
# it gains, five photographs do not tell*: that interval is much wider than the one over crops.
#
# And two that the means do not tell. The colours are too weak, as the chroma ratio says: who is
# unsure stays dull, even with an adversary, if it comes late and L1 stays. And single crops are far
# worse than grey: a face filling the picture was never among the photographs it learned from, a
# lemon often was.

# %% [markdown]
# ## Real or fake?
#
# Now you are the metric, as people were on Amazon Mechanical Turk (AMT) in Isola et al. 2017: a
# real picture and a fake one side by side, for one second. Press which one was **fake**. What
# counts is how often you were fooled. A perfect fake fools you in 50 % of all trials, not 100 %.
#
# The first two pairs are practice: they stay, and you are told. Then each pair vanishes after a
# second. (On GitHub the buttons do nothing; run the notebook.)

# %%
trials = game.make_trials(crops, render(L, shipped.predict(L)), seed=config.seed)
panel = game.Game(trials, seconds=1.0)
panel

# %% tags=["check"]
assert len(trials) - panel.practice == 31, "expected 31 pairs that count"

# %% [markdown]
# When you are through, or have seen enough, your rate stands here with its interval (Clopper and
# Pearson 1934, exact for shares):

# %%
print("you:", panel.score)

# %% tags=["check"]
assert panel.score.shown <= len(trials) - panel.practice, "expected practice not to count"

# %% [markdown]
# Two players that are no people have played, so that you see the score at work: one who
# **guesses**, and one who calls **the duller picture** fake. They judge the scenes of the networks
# above, whose colours we then make stronger: a player with an eye for dullness is a metric, and
# can be fooled.

# %%
players = {"guesses": game.guesser(config.seed), "by dullness": game.says_the_duller}
results = {}
for name in ("l1", "pix2pix"):
    for who, player in players.items():
        pairs = game.make_trials(held_out.rgb, shown[name], seed=config.seed)
        results[f"{name}, {who}"] = game.play(pairs, player)
with torch.no_grad():
    stronger = render(held_out.L, 1.8 * networks["l1"](held_out.L))
pairs = game.make_trials(held_out.rgb, stronger, seed=config.seed)
results["l1 x 1.8, by dullness"] = game.play(pairs, game.says_the_duller)
for name, score in results.items():
    print(f"{name:22} {score}")
for name in ("l1", "pix2pix"):
    guessed, dull = results[f"{name}, guesses"], results[f"{name}, by dullness"]
    assert guessed.interval(0.999)[0] < 0.5 < guessed.interval(0.999)[1], "expected a coin"
    assert dull.rate < 0.3, "expected dull fakes to be found by their dullness"

# %% tags=["check"]
assert results["l1 x 1.8, by dullness"].rate > 0.7, "expected stronger colours to fool this player"

# %%
fig = game.score_figure(results)
show(
    fig,
    alt="Shares of fakes taken for real with intervals: guessing near 50 per cent, the player by "
    "dullness near 0 for both networks and far above 50 for colours made stronger, and the three "
    "published rates of people, 16, 22 and 28 per cent.",
)

# %% [markdown]
# A player by dullness is hardly ever fooled by dull fakes. Multiply their chroma by 1.8 and he is
# fooled far more often than by a coin: a **rate above 50 %** does not mean "better than real", it
# means that the judge has a bias. Do not put your own rate beside the published ones as if they
# were one experiment: other pictures, size and people.
#
# How many trials does a comparison need?

# %% tags=["nbval-check-output"]
for shown_pairs in (31, 40, 400, 2000):
    score = game.Score(round(0.225 * shown_pairs), shown_pairs)
    bounds = score.interval()
    print(f"{shown_pairs:4} trials, {score.fooled:3} fooled: {bounds[0]:.4f} to {bounds[1]:.4f}")
low_31, high_31 = game.Score(7, 31).interval()
low_2000, high_2000 = game.Score(450, 2000).interval()

# %% tags=["check"]
assert low_31 < 0.163 and high_31 > 0.278, "expected one player to tell none of the three apart"
assert low_2000 > 0.163 and high_2000 < 0.278, "expected 2,000 trials to tell them apart"

# %% [markdown]
# One game of 31 counted pairs cannot tell 16 % from 28 %. That is why the published rates come from
# the answers of many people.

# %% [markdown]
# ## Break it on purpose: three protocols that flatter
#
# No line of the model changes here, only how it is measured.
#
# 1. **Train = test.** A "model" that has learned nothing but its training pictures by heart: it
#    looks for the nearest L and returns that picture's colours.
# 2. **Scored smaller.** Truth and prediction are both shrunk before PSNR.
# 3. **The best of many.** Ten checkpoints that are equally good; report the best test score.


# %%
training = scenes.draw(range(400), 32, split="train")


def by_heart(L):
    nearest = torch.cdist(L.flatten(1), training.L.flatten(1)).argmin(dim=1)
    return training.true_ab[nearest]


def score_on(world):
    return metrics.psnr(render(world.L, by_heart(world.L)), world.rgb).clamp(max=60).mean().item()


same, other = score_on(training), score_on(held_out)
print(f"1. by heart: PSNR {same:.1f} dB on its training scenes, {other:.1f} on test scenes")


def shrunk(pictures, factor):
    return color.to_uint8(nn.functional.avg_pool2d(color.to_float(pictures), factor))


smaller = {
    name: [metrics.psnr(shrunk(shown[name], k), shrunk(held_out.rgb, k)).mean() for k in (1, 2, 4)]
    for name in ("l1", "pix2pix")
}
for name, (full_size, half, quarter_size) in smaller.items():
    print(f"2. {name} at 32, 16 and 8 px: {full_size:.2f} {half:.2f} {quarter_size:.2f} dB")
    assert quarter_size > half + 0.3 > full_size + 0.6, "expected shrinking to flatter"

picks = chance.integers(0, 200, (1000, 10, 20))  # ten equal checkpoints, 20 test scenes for each
best = each["l1"][picks].mean(axis=2).max(axis=1).mean() - each["l1"].mean()
print(f"3. the best of ten equal checkpoints, 20 scenes each: {best:+.2f} dB for nothing")

# %% tags=["check"]
assert same > other + 20, "expected memory to be worthless elsewhere"
assert all(a > b for a, b in zip(*smaller.values())), "expected the same order at each size"
assert 0.2 < best < 2.5, "expected the best of ten to look better than it is"

# %% [markdown]
# The symptom of the first is a score that is too good to be true: score a model that only
# remembers, too, and see whether it wins. The second keeps the order here and flatters all: write
# the size beside the number. For the third, choose on validation pictures and look at the test set
# **once**. (FID on Lab values and other such bugs wait in [Find the bug](13_find_the_bug.ipynb).)

# %% [markdown]
# ## Full mode: the shipped weights on your photographs
#
# All metrics on the test split of the real photographs, with an interval of the gain over grey,
# picture by picture. For FID and LPIPS give `evaluate` the files of torchvision's weights
# (`fid_weights=`, `lpips_weights=`); without them the columns stay empty, and the notes say why.

# %% tags=["full"]
if config.full:
    photo_test = config.photographs(128, "test")
    photo_model = Colorizer.load("default", config.device)
    photo_n = config.steps(500)
    photo_table = evaluate(
        {"default": photo_model}, photo_test, n=photo_n, progress=False, device=config.device
    )
    print(photo_table.round(3).T.to_string())
    for missing, reason in photo_table.attrs["notes"].items():
        print(f"{missing}: {reason}")
    photo_gain = []
    for start in range(0, min(photo_n, len(photo_test)), 16):
        stop = min(start + 16, photo_n, len(photo_test))
        photo_true = photo_test.images(range(start, stop))
        photo_L, photo_ab = color.split_lab(color.to_float(photo_true))
        photo_pair = [
            color.to_uint8(color.join_lab(photo_L, guess, gamut="chroma"))
            for guess in (photo_model.predict(photo_L), torch.zeros_like(photo_ab))
        ]
        scores_of = [metrics.psnr(p, photo_true).clamp(max=60) for p in photo_pair]
        photo_gain += (scores_of[0] - scores_of[1]).tolist()
    if len(photo_gain) > 1:
        photo_ci = stats.bootstrap((photo_gain,), np.mean, method="percentile")
        photo_low, photo_high = photo_ci.confidence_interval
        print(f"PSNR above grey {np.mean(photo_gain):+.2f} dB", end=", ")
        print(f"95 % interval {photo_low:+.2f} to {photo_high:+.2f}, {len(photo_gain)} photographs")
else:
    print("quick mode: full mode evaluates the shipped weights on the test photographs")

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: FID of two Gaussians with one covariance
#
# Both sets have the same covariance $C$, whatever it is. What is left of the formula? Write it for
# means of the shape `(d,)`.


# %% tags=["exercise"]
def distance_same_covariance(mean_1, mean_2, covariance):
    """The Frechet distance of two Gaussians that share their covariance (d, d)."""
    ### BEGIN SOLUTION
    return (mean_1 - mean_2).square().sum()  # tr(C + C - 2 C) = 0
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.distance_same_covariance.check(distance_same_covariance)
# exercises.distance_same_covariance.hint()
# exercises.distance_same_covariance.solution()

# %% [markdown]
# ### Exercise 2: an interval for a difference
#
# Scores of two models on the same pictures, in the same order. Return the 95 % percentile interval
# `(low, high)` of the mean difference, first less second, by at least 2,000 bootstrap draws.


# %% tags=["exercise"]
def paired_interval(first, second, rng):
    """first, second: arrays (n,); rng: numpy.random.Generator. Returns low and high."""
    ### BEGIN SOLUTION
    differences = np.asarray(first) - np.asarray(second)
    picks = rng.integers(0, len(differences), (4000, len(differences)))
    return np.quantile(differences[picks].mean(axis=1), [0.025, 0.975])
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.paired_interval.check(paired_interval)
# exercises.paired_interval.hint()
# exercises.paired_interval.solution()

# %% [markdown]
# ### Exercise 3: fool colorfulness
#
# You get a dull prediction and the truth, uint8 `(1, 3, h, w)`. Return a picture that is **more
# colourful** than the prediction by at least 5, **worse** in CIEDE2000, and has the prediction's
# lightness (mean $|\Delta L^*|$ below 1): a picture that colorfulness alone is glad of.


# %% tags=["exercise"]
def fool_colorfulness(prediction, truth):
    """A picture like the prediction, more colourful and worse."""
    ### BEGIN SOLUTION
    L, ab = color.split_lab(color.to_float(prediction))
    away = -3 * ab  # the opposite hue, three times as strong
    return color.to_uint8(color.join_lab(L, away, gamut="chroma"))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.fool_colorfulness.check(fool_colorfulness)
# exercises.fool_colorfulness.hint()
# exercises.fool_colorfulness.solution()

# %% [markdown]
# ### Exercise 4: an honest caption
#
# 200 test photographs, three seeds of each recipe, mean (smallest to largest seed):
#
# | | PSNR | CIEDE2000 | chroma ratio | FID (n = 200) |
# |---|---|---|---|---|
# | grey | 19.0 | 15.3 | 0.00 | 61 |
# | A | 22.9 (22.8 to 23.0) | 9.1 (9.0 to 9.3) | 0.55 (0.52 to 0.58) | 38 (37 to 40) |
# | B | 22.6 (22.3 to 22.9) | 9.3 (9.1 to 9.4) | 0.93 (0.88 to 0.97) | 31 (29 to 33) |
#
# Which sentences do these numbers support? Give their letters.
#
# - **a** A and B both come nearer to the truth than grey, in PSNR and CIEDE2000.
# - **b** A has a better PSNR than B.
# - **c** B's pictures have nearly as much chroma as the photographs; A's about half.
# - **d** B's FID of 31 is better than the 38.3 that a paper reports for 5,000 pictures.
# - **e** On these photographs B's FID is below A's for every seed.
# - **f** B's colours are right.


# %% tags=["exercise"]
supported = ...  # a set of letters, such as {"a", "f"}
### BEGIN SOLUTION
supported = {"a", "c", "e"}
### END SOLUTION

# %% tags=["exercise-check"]
exercises.supported.check(supported)
# exercises.supported.hint()
# exercises.supported.solution()

# %% [markdown]
# ## Recap
#
# 1. A number belongs to its protocol: pictures, size, what is averaged, which weights. Compare only
#    what you measured yourself, beside grey and untrained rows.
# 2. Each metric has a hole. Use two that look elsewhere, and look at the pictures.
# 3. FID is biased upwards by about $d(d+5)/(2n)$ (unit covariance): same $n$, or no comparison.
# 4. Compare in pairs; an interval over pictures is about these networks, ranges over seeds are
#    about the recipe; count independent photographs, not crops.
# 5. People are a metric, too: 50 % is perfect, and one game of 31 pairs proves little.
#
# **Glossary.** **Protocol**: what is measured on which pictures, how. **Reference metric**:
# compares with the true picture. **No-reference metric**: looks at one picture, or one set. **Bias
# of FID**: its excess from few pictures. **Bootstrap**: draw the sample again from itself. **Paired
# comparison**: of differences on the same pictures. **Coverage**: how often an interval holds the
# truth. **Chroma ratio**: predicted over true chroma. **AMT rate**: share of fakes taken for real.
#
# **Next**: [The hyperparameter laboratory](11_laboratory.ipynb), where you turn every knob while it
# trains.

# %% [markdown]
# **Papers**
#
# - D. Hasler, S. Suesstrunk, *Measuring colorfulness in natural images*, 2003.
# - G. Larsson et al., *Learning representations for automatic colorization*, ECCV 2016.
# - R. Zhang, P. Isola, A. Efros, *Colorful image colorization*, ECCV 2016 (arXiv:1603.08511).
# - P. Isola et al., *Image-to-image translation with conditional adversarial networks*, CVPR 2017.
# - M. Heusel et al., *GANs trained by a two time-scale update rule*, NeurIPS 2017 (FID).
# - M. J. Chong, D. Forsyth, *Effectively unbiased FID and Inception score*, CVPR 2020.
# - M. Kumar et al., *Colorization transformer*, ICLR 2021.
# - X. Kang et al., *DDColor: photo-realistic image colorization via dual decoders*, ICCV 2023
#   (arXiv:2212.11613).
# - B. Efron, *Bootstrap methods: another look at the jackknife*, 1979.
# - C. Clopper, E. Pearson, *The use of confidence or fiducial limits*, 1934.
# - D. Dowson, B. Landau, *The Frechet distance between multivariate normal distributions*, 1982.
