# %% [markdown] tags=["title"]
# # 1. Colour, and why colorization is ambiguous
#
# {{badges}}
#
# At the end you will have coloured one photograph with four methods from before deep learning,
# and measured what each of them cannot do.

# %% [markdown]
# **You will learn**
#
# - how sRGB becomes Lab, step by step, and why networks are given L and asked for a and b;
# - which colours a screen can show at a given lightness (the gamut);
# - to measure, in bits, how much a lightness leaves open;
# - four older ways to colour a picture, and the four ways in which they fail;
# - what PSNR, SSIM, CIEDE2000 and colorfulness reward, and why PSNR rewards grey.
#
# **You need** Python with NumPy, a little PyTorch (tensors, autograd), and logarithms.
#
# **Time**: quick mode about 40 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import math

import numpy as np
import pandas as pd
import scipy.sparse as sparse
import skimage
import torch
from matplotlib.figure import Figure
from PIL import Image
from scipy.sparse.linalg import spsolve
from torch.nn.functional import avg_pool2d

from colorlib import color, figures, metrics, open_source, scenes
from colorlib.color import AB_SCALE, join_lab, split_lab, to_float, to_uint8
from colorlib.course import (
    Panel,
    assert_same_function,
    choice,
    classical,
    quote,
    rerun,
    show_source,
    slider,
    toggle,
)
from colorlib.course.exercises import notebook_01 as exercises
from colorlib.course.experiments import ambiguity
from colorlib.datasets.pictures import square
from colorlib.figures import image_grid, show

# %% [markdown]
# ## The whole problem in one strip
#
# Here are eight colours. They have the same lightness. Take the colour away, as a grey
# photograph does, and eight different things become one.

# %%
hues = torch.arange(8) * 2 * math.pi / 8
patch_L = torch.full((1, 8), 60.0)  # L*: 0 is black, 100 is white
patch_ab = 30 * torch.stack([hues.cos(), hues.sin()])[:, None]  # a* and b*, one patch a hue
strip = torch.cat([patch_L[None], patch_ab]).repeat_interleave(24, 1).repeat_interleave(24, 2)
coloured = to_uint8(color.lab_to_rgb(strip))[None]
L, ab = split_lab(to_float(coloured))
grey = figures.grey_image(L)

lightness_range = 50 * (L.max() - L.min()).item()
farthest = AB_SCALE * (ab[..., 12] - ab[..., 4 * 24 + 12]).norm(dim=1).max().item()
print(f"lightness: {lightness_range:.2f} apart at most; colour: up to {farthest:.0f} apart")
show(
    image_grid({"eight colours": coloured, "their lightness": grey}, cell=4.0),
    alt="Left: a strip of eight colours of equal lightness, from pink over yellow, green and blue "
    "to violet. Right: the lightness of the strip, one even grey.",
)

# %% tags=["check"]
assert lightness_range < 0.5, "expected eight patches of one lightness, but for 8-bit rounding"
assert farthest > 55, "expected opposite hues to be about 60 units of Lab apart"

# %% [markdown]
# A method that colours grey pictures sees the right strip and has to paint the left one. No
# cleverness brings back what is not there. It can only *guess*, from what usually has this
# shape, texture and place. This notebook measures how much there is to guess, and how people
# guessed before they had networks.

# %% [markdown]
# ## From sRGB to Lab
#
# A pixel of a file is three numbers from 0 to 255: **sRGB**. They are not amounts of light. We
# take three steps: sRGB to linear light, light to **XYZ**, and XYZ to **Lab**. Each is a line.
#
# ### Step 1: linear light
#
# Look at a fine checkerboard of black and white from afar. Half of the light arrives. Which
# grey looks the same? Not 127.5, the mean of the numbers: files store about the 2.2nd root of
# light, because the eye sees dark steps better than bright ones. The curve (IEC 61966-2-1), for
# $v$ in 0..1:
#
# $$\text{linear}(v) = \begin{cases} v / 12.92 & v \le 0.04045 \\
# \left(\frac{v + 0.055}{1.055}\right)^{2.4} & \text{otherwise} \end{cases}$$


# %%
def to_linear(rgb):
    """sRGB in 0..1 to linear light."""
    return torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def to_srgb(linear):
    """Linear light to sRGB in 0..1."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, 12.92 * linear)


# %% tags=["nbval-check-output"]
black_and_white = torch.tensor([0.0, 255.0], dtype=torch.float64) / 255
half_the_light = to_linear(black_and_white).mean()
same_grey = 255 * to_srgb(half_the_light).item()
print(f"mean of the numbers: {255 * black_and_white.mean():.1f}")
print(f"mean of the light:   {same_grey:.1f}")

# %% tags=["check"]
assert abs(same_grey - 187.5) < 0.05, "expected half the light to be stored as 187.5"

# %% [markdown]
# ### Step 2: XYZ
#
# Light adds up, so a matrix is enough to get from the three lights of a screen to **XYZ**, the
# coordinates that the CIE took from experiments with observers. Y is **luminance**. The middle
# row says what each light gives to it: green most, blue hardly any. The rows sum to the white
# of daylight, D65.


# %%
M = torch.tensor(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ],
    dtype=torch.float64,
)
WHITE = torch.tensor([0.95047, 1.0, 1.08883], dtype=torch.float64)  # D65


def to_xyz(linear):
    """Linear light (*, 3, H, W) to XYZ, with Y = 1 for white."""
    return torch.einsum("ij,...jhw->...ihw", M.to(linear), linear)


def from_xyz(xyz):
    """XYZ to linear light."""
    return torch.einsum("ij,...jhw->...ihw", M.inverse().to(xyz), xyz)


# %% tags=["nbval-check-output"]
for name, row, wanted in zip("XYZ", M, WHITE):
    print(f"{name}: red {row[0]:.4f}, green {row[1]:.4f}, blue {row[2]:.4f}, sum {row.sum():.4f}")
    assert abs(row.sum() - wanted) < 1e-4, "expected white light to give the white of D65"

# %% [markdown]
# ### Step 3: Lab
#
# Equal steps in XYZ do not look equal. **CIE Lab** takes a cube root of the ratios to white
# (CIE 15:2004), with a line near black, where the root would be too steep:
#
# $$f(t) = \begin{cases} t^{1/3} & t > (6/29)^3 \\
# \frac{t}{3 (6/29)^2} + \frac{4}{29} & \text{otherwise} \end{cases}$$
#
# $$L^* = 116 f(Y / Y_n) - 16, \quad a^* = 500 \left(f(X / X_n) - f(Y / Y_n)\right), \quad
# b^* = 200 \left(f(Y / Y_n) - f(Z / Z_n)\right)$$
#
# $L^*$ is **lightness**, 0 to 100. $a^*$ goes from green to red, $b^*$ from blue to yellow. Both
# are 0 for grey. Their length is **chroma**, their angle is **hue**.

# %%
KNEE = 6 / 29


def f_naive(t):
    return torch.where(t > KNEE**3, t ** (1 / 3), t / (3 * KNEE**2) + 4 / 29)


def to_lab_naive(rgb):
    """sRGB in 0..1, (*, 3, H, W), to Lab."""
    ratios = to_xyz(to_linear(rgb)) / WHITE.to(rgb)[:, None, None]
    fx, fy, fz = f_naive(ratios).unbind(-3)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


# %% tags=["nbval-check-output"]
corners = {"red": (1, 0, 0), "green": (0, 1, 0), "yellow": (1, 1, 0), "blue": (0, 0, 1)}
for name, rgb in corners.items():
    one_pixel = torch.tensor(rgb, dtype=torch.float64).reshape(3, 1, 1)
    L_, a_, b_ = to_lab_naive(one_pixel).flatten().tolist()
    print(f"{name:7s} L* {L_:5.1f}  a* {a_:6.1f}  b* {b_:6.1f}")

# %% tags=["check"]
assert round(L_) == 32, "expected pure blue, the last one, to be dark"

# %% [markdown]
# Pure blue has a lightness of 32 and pure yellow one of 97, though both are "full". That is why
# the mean of R, G and B is a poor grey.
#
# ### And back
#
# Every step has an inverse.


# %%
def f_inverse(f):
    return torch.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29))


def from_lab(lab):
    """Lab to sRGB; outside 0..1 where a screen cannot show the colour."""
    L, a, b = lab.unbind(-3)
    fy = (L + 16) / 116
    ratios = f_inverse(torch.stack([fy + a / 500, fy, fy - b / 200], dim=-3))
    return to_srgb(from_xyz(ratios * WHITE.to(lab)[:, None, None]))


# %% [markdown]
# ### Is it right? Ask the whole cube
#
# A few colours prove little: a wrong knee shows only near black, a swapped row only off the
# grey axis. So we take every third level of red, green and blue, the eight corners included,
# and compare with scikit-image, and with `colorlib`.


# %%
levels = torch.arange(0, 256, 3, dtype=torch.float64) / 255  # 86 of them, 0 and 255 included
cube = torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij"))  # (3, 86, 86, 86)
cube = cube.reshape(3, 86, 86 * 86)
reference = torch.from_numpy(skimage.color.rgb2lab(cube.movedim(0, -1).numpy())).movedim(-1, 0)

mine = to_lab_naive(cube)
to_skimage = (mine - reference).abs().max().item()
to_colorlib = (mine - color.rgb_to_lab(cube)).abs().max().item()
round_trip = (from_lab(mine) - cube).abs().max().item()
print(f"{cube[0].numel():,} colours")
print(f"largest difference to scikit-image {to_skimage:.1e}, to colorlib {to_colorlib:.1e}")
print(f"there and back: {round_trip:.1e}")

# %% tags=["check"]
assert to_skimage < 1e-3, f"expected scikit-image's Lab to 1e-3, got {to_skimage:.1e} apart"
assert to_colorlib < 1e-9, f"expected colorlib's Lab, got {to_colorlib:.1e} apart"
assert round_trip < 1e-9, f"expected the way back to be exact, got {round_trip:.1e}"

# %% [markdown]
# What is left to scikit-image comes from its knee, which is rounded to 0.008856.
#
# ### Break it: forget that sRGB is not light
#
# The commonest mistake skips step 1 and puts file numbers into the matrix. The second commonest
# takes the grey of an image library (**luma**, $0.299 R + 0.587 G + 0.114 B$ of the file's
# numbers) for $L^*$. Neither raises an error.

# %%
without_step_1 = 116 * f_naive(to_xyz(cube)[1]) - 16
luma = 100 * torch.einsum("i,ihw->hw", torch.tensor([0.299, 0.587, 0.114]).double(), cube)
off = {"step 1 forgotten": without_step_1 - mine[0], "luma for L*": luma - mine[0]}
for name, error in off.items():
    print(f"{name:17s} mean error {error.mean():6.1f}, largest {error.abs().max():.1f}")
print("luma for L*, errors on red and blue:", off["luma for L*"][[-1, 0], [0, 85]].tolist())
worst = cube.flatten(1)[:, off["step 1 forgotten"].argmax()]

# %% tags=["check"]
assert off["step 1 forgotten"].min() > -1e-3, "expected everything to come out too light"
assert worst.max() < 0.35, f"expected the shadows to be the worst, got sRGB {worst}"
assert (off["luma for L*"][[-1, 0], [0, 85]] < -15).all(), "expected red and blue too dark"

# %% [markdown]
# The symptom of the first is a picture that is too light everywhere, worst in the shadows; of
# the second, blues and reds that are too dark. A network that was trained on one and is fed the
# other sees another photograph.
#
# ### One more trap: the gradient at black
#
# A loss on shown pixels has to be differentiated through these formulas. Ask autograd for the
# gradient at a black pixel.

# %%
pixel = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)
to_lab_naive(pixel)[0].sum().backward()
print("gradient of L* at black:", pixel.grad.flatten().tolist())

# %% tags=["check"]
assert pixel.grad.isnan().all(), "expected the naive f to have no gradient at black"

# %% [markdown]
# `torch.where` differentiates *both* branches and multiplies the unused one by 0. The slope of
# $t^{1/3}$ at 0 is infinite, and $0 \cdot \infty$ is not a number. One black pixel would ruin a
# training. The cure: keep each branch inside its own domain.


# %%
def f(t):
    root = t.clamp(min=KNEE**3) ** (1 / 3)
    return torch.where(t > KNEE**3, root, t / (3 * KNEE**2) + 4 / 29)


def to_lab(rgb):
    """sRGB in 0..1 to Lab, with a finite gradient everywhere."""
    ratios = to_xyz(to_linear(rgb)) / WHITE.to(rgb)[:, None, None]
    fx, fy, fz = f(ratios).unbind(-3)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


rng = torch.Generator().manual_seed(config.seed)
example = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=rng)
example[0, :, 0, 0], example[0, :, 0, 1] = 0, 1  # black and white
assert_same_function(to_lab, color.rgb_to_lab, example)
assert_same_function(from_lab, lambda lab: color.lab_to_rgb(lab, clip=False), to_lab(example))

# %% [markdown]
# Values and gradients are those of the library, both ways. From here on we use the library's.
# Its last step, for comparison:

# %%
show_source(color.xyz_to_lab)

# %% [markdown]
# Networks like numbers about as large as 1. So `split_lab` gives $L = L^*/50 - 1$ and
# $ab = (a^*, b^*)/110$, and `join_lab` goes back. **L goes in, ab is what has to be predicted.**

# %% [markdown]
# ## L carries the structure
#
# Is it fair to give away L? It is what a grey photograph has. But see how much of the picture
# it is. The four photographs come with scikit-image. $a^*$ and $b^*$ are drawn at one lightness.


# %%
def photograph(name, size=72):
    """The central square of one of scikit-image's photographs: (1, 3, size, size), 0..1."""
    picture = Image.fromarray(getattr(skimage.data, name)())
    return to_float(torch.from_numpy(square(picture, size)))[None]


BIG = 2.16  # inches: 216 pixels, three for each of a photograph's 72
names = ["astronaut", "coffee", "chelsea", "rocket"]
photos = {name: photograph(name) for name in names}
show(
    image_grid(figures.lab_channels(photos["coffee"]), cell=BIG),
    alt="A cup of coffee on a red saucer; its lightness, in which every edge can be seen; and its "
    "a* and b*, soft patches without detail.",
)

# %% [markdown]
# Swap the chroma of two photographs. The hybrid looks like the one that gave the L.
# **SSIM** (structural similarity, Wang et al. 2004; 1 is identical) says the same in a number.


# %%
def shown(L, ab):
    """What a screen shows: 8 bits, colours brought into the gamut at constant hue."""
    return to_uint8(join_lab(L, ab, gamut="chroma"))


(L_1, ab_1), (L_2, ab_2) = split_lab(photos["astronaut"]), split_lab(photos["coffee"])
parents = [to_uint8(photos["astronaut"]), to_uint8(photos["coffee"])]
hybrids = [shown(L_1, ab_2), shown(L_2, ab_1)]
likeness = torch.tensor([[metrics.ssim(h, p).item() for p in parents] for h in hybrids])
table = ["L of the astronaut, ab of the coffee", "L of the coffee, ab of the astronaut"]
print(pd.DataFrame(likeness.numpy().round(2), table, ["SSIM: astronaut", "coffee"]))
show(
    image_grid({"astronaut": parents[0], "its L, coffee's ab": hybrids[0],
                "coffee's L, astronaut's ab": hybrids[1]}, cell=BIG),
    alt="The astronaut; the same portrait in the red of a coffee cup and its saucer; the cup with "
    "smears of orange and grey. Both hybrids show the subject that gave the lightness.",
)  # fmt: skip

# %% tags=["check"]
assert likeness.diagonal().min() > 0.6, "expected a hybrid to resemble the parent that gave L"
assert likeness.fliplr().diagonal().max() < 0.2, "expected it not to resemble the other"

# %% [markdown]
# Does ab need the resolution? Throw away 15 of 16 pixels of ab, then of L instead, and compare
# by **PSNR** (peak signal-to-noise ratio, $10 \log_{10}(255^2 / \text{MSE})$ in dB).


# %%
def coarse(channel, factor=4):
    """Keep the mean of each factor x factor block."""
    small = avg_pool2d(channel, factor)
    return small.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


rows = []
for name, photo in photos.items():
    (L, ab), truth = split_lab(photo), to_uint8(photo)
    blurred = metrics.psnr(shown(L, coarse(ab)), truth), metrics.psnr(shown(coarse(L), ab), truth)
    rows.append([value.item() for value in blurred])
losses = pd.DataFrame(rows, names, ["ab coarse", "L coarse"])
print(losses.round(1))

# %% tags=["check"]
assert (losses["ab coarse"] > losses["L coarse"] + 2).all(), "expected L to carry the detail"

# %% [markdown]
# Coarse ab costs far less, in all four. JPEG files use this, and so does this course: a network
# may predict ab at a low resolution, and the photograph's own L brings the detail back.

# %% [markdown]
# ## The gamut: which ab are possible at all?
#
# Lab is larger than a screen. At each lightness only part of the ab plane has R, G and B within
# 0..1: the **gamut**. Near black and near white there is next to none.

# %%
plane = torch.linspace(-110, 110, 221)
b_plane, a_plane = torch.meshgrid(plane, plane, indexing="ij")


def gamut_at(lightness):
    """Which (a*, b*) of the plane sRGB can show at this L*."""
    return color.in_gamut(torch.stack([torch.full_like(a_plane, lightness), a_plane, b_plane]))


areas = {L: gamut_at(L).float().mean().item() for L in (5, 35, 65, 95)}
print("share of the plane:", {L: f"{100 * area:.0f} %" for L, area in areas.items()})
fig = figures.gamut_slice(35, 65, 95)
fig.set_size_inches(9, 3.3)
show(fig, alt="Three slices of the ab plane. At L* 35 the gamut leans to blue and violet, at 65 it "
     "is large and rounder, at 95 only a thin wedge of yellow and pale green is left.")  # fmt: skip

# %% tags=["check"]
assert areas[65] > 3 * areas[5] and areas[65] > 3 * areas[95], "expected the middle to have most"

# %% [markdown]
# The scenes of this course use that. Their balloons have one chroma, $0.28 \cdot 110 = 30.8$,
# chosen so that **every** hue is in gamut at every lightness that a balloon has. So L says
# nothing about the hue.

# %%
all_hues = torch.arange(360) * math.pi / 180
circle = AB_SCALE * scenes.balloon_ab(all_hues).T[:, None, :]  # (2, 1, 360)
for lightness in np.linspace(*scenes.BALLOON_L, 26):
    lab = torch.cat([torch.full((1, 1, 360), float(lightness)), circle])
    assert color.in_gamut(lab).all(), f"expected every hue to be in gamut at L* {lightness:.1f}"
print(f"chroma {AB_SCALE * scenes.BALLOON_CHROMA:.1f}: all hues in gamut for L* {scenes.BALLOON_L}")

# %% [markdown]
# **Predict first.** You ask for a strong blue: L\* 80, hue 280 degrees, chroma 70. No screen has
# it. If R, G and B are simply cut to 0..1 (*clip*), what else changes besides chroma? Tick the
# box and read the numbers.


# %%
def polar(lab):
    """L*, hue in degrees and chroma of one colour."""
    L, a, b = lab.flatten().tolist()
    return L, math.degrees(math.atan2(b, a)) % 360, math.hypot(a, b)


def draw_slice(ax, lightness, asked, got):
    """The gamut at one lightness, with the colour that was asked for and the one that is shown."""
    lab = torch.stack([torch.full_like(a_plane, lightness), a_plane, b_plane])[:, ::2, ::2]
    picture = torch.where(color.in_gamut(lab), color.lab_to_rgb(lab), torch.tensor(0.93))
    ax.imshow(figures.to_numpy(picture), origin="lower", extent=(-110, 110, -110, 110))
    ax.plot([0, asked[1].item()], [0, asked[2].item()], color="black", linewidth=1)
    ax.plot(asked[1].item(), asked[2].item(), "x", color="black", label="asked")
    ax.plot(got[1].item(), got[2].item(), "o", color="black", mfc="none", label="shown")
    ax.set(xlabel="a*", ylabel="b*", title=f"L* = {lightness:g}")
    ax.legend(loc="lower right")


def one_pixel_lab(lightness, hue, chroma):
    angle = math.radians(hue)
    lab = [lightness, chroma * math.cos(angle), chroma * math.sin(angle)]
    return torch.tensor(lab, dtype=torch.float32).reshape(3, 1, 1)


def explore(fig, lightness, hue, chroma, keep_hue):
    asked = one_pixel_lab(lightness, hue, chroma)
    edge = polar(color.reduce_chroma(one_pixel_lab(lightness, hue, 200)))[2]
    rgb = color.lab_to_rgb(color.reduce_chroma(asked) if keep_hue else asked)
    got = color.rgb_to_lab(rgb)
    slice_ax, patch_ax = fig.subplots(1, 2, width_ratios=[2, 1])
    draw_slice(slice_ax, lightness, asked, got)
    patch_ax.imshow(figures.to_numpy(rgb))
    patch_ax.set_title("shown")
    patch_ax.set_axis_off()
    return (
        "asked: L* {:.1f}, hue {:.1f}, chroma {:.1f}; ".format(*polar(asked))
        + "shown: L* {:.1f}, hue {:.1f}, chroma {:.1f}; ".format(*polar(got))
        + f"the gamut ends at chroma {edge:.1f}; sRGB {to_uint8(rgb).flatten().tolist()}"
    )


# %%
explorer = Panel(
    explore,
    figsize=(6, 3.4),
    alt="The ab plane at L* 80. A strong blue is asked for, far outside the gamut; what is shown "
    "after clipping lies elsewhere, at another hue.",
    lightness=slider(0, 100, value=80, step=1, label="L*"),
    hue=slider(0, 360, value=280, step=5, label="hue"),
    chroma=slider(0, 120, value=70, step=1, label="chroma"),
    keep_hue=toggle("reduce chroma at constant hue, instead of clipping", False),
)
explorer

# %%
explorer.try_controls()  # every control must change what is computed
blue = one_pixel_lab(80, 280, 70)
clipped = polar(color.rgb_to_lab(color.lab_to_rgb(blue)))
reduced = polar(color.rgb_to_lab(color.lab_to_rgb(color.reduce_chroma(blue))))
for name, (lightness, hue, chroma) in {"clipped": clipped, "reduced": reduced}.items():
    print(f"{name}: L* {lightness:.1f}, hue {hue:.1f}, chroma {chroma:.1f}")

# %% tags=["check"]
assert abs(clipped[1] - 280) > 5, "expected clipping to turn the hue"
assert abs(reduced[1] - 280) < 1 and abs(reduced[0] - 80) < 0.5, "expected hue and L* to stay"

# %% [markdown]
# Clipping changes hue and lightness; moving towards grey keeps both and gives up chroma only.
# `join_lab(L, ab, gamut="chroma")` does the latter, and so do all figures from here on.

# %% [markdown]
# ## How ambiguous is it? In bits
#
# Cut the ab plane into squares of 10 x 10 (the grid of Zhang, Isola and Efros 2016) and L\* into
# bins. The **entropy** of the squares says how many yes-or-no questions you need, on average,
# to be told the colour of a pixel: 1 bit for two equally likely colours, 3 for eight. The
# **conditional entropy** is what is left once you know L (Cover and Thomas 2006, chapter 2):
#
# $$H(ab \mid L) = -\sum_{l, c} p(l, c) \log_2 p(c \mid l) = H(ab, L) - H(L)$$
#
# To estimate it, put counts in place of probabilities. That is the **plug-in** estimate.


# %%
def entropy(counts):
    """Plug-in entropy in bits."""
    share = counts[counts > 0].double() / counts.sum()
    return -(share * share.log2()).sum().item()


def conditional_entropy(table):
    """H(column | row) in bits, of a table of counts."""
    return entropy(table) - entropy(table.sum(1))


# %% tags=["nbval-check-output"]
# The strip at the top: one lightness, eight colours. And a world where L tells all.
tables = {"strip": torch.ones(1, 8), "told by L": torch.eye(8), "half": torch.eye(2).repeat(1, 2)}
for name, table in tables.items():
    left = abs(conditional_entropy(table))
    print(f"{name}: H(ab) {entropy(table.sum(0)):.4f}, H(ab | L) {left:.4f}")

# %% tags=["check"]
assert abs(conditional_entropy(tables["strip"]) - 3) < 1e-9, "expected log2(8) bits"
assert abs(conditional_entropy(tables["told by L"])) < 1e-9, "expected nothing to be left"

# %% [markdown]
# ### A case with a known answer
#
# Never trust an estimator on data whose answer you do not know before it has passed on data
# whose answer you do. The scenes give two.
#
# A **roof** has one of two colours, with probabilities 0.7 and 0.3. Its entropy is
# $-0.7 \log_2 0.7 - 0.3 \log_2 0.3$ bits.
#
# A **balloon** has a hue that is uniform on a circle of radius 30.8. The share of a square is
# the part of the circle that runs through it. The circle enters and leaves squares where $a^*$
# or $b^*$ is ±5, ±15 or ±25: so all arcs are known.

# %% tags=["nbval-check-output"]
radius = AB_SCALE * scenes.BALLOON_CHROMA
crossings = [0.0, 2 * math.pi]
for edge in (-25, -15, -5, 5, 15, 25):
    across, up = math.acos(edge / radius), math.asin(edge / radius)
    crossings += [across, 2 * math.pi - across, up % (2 * math.pi), math.pi - up]
crossings = np.sort(crossings)
middles, arcs = (crossings[1:] + crossings[:-1]) / 2, np.diff(crossings) / (2 * math.pi)
shares = {}
for middle, arc in zip(middles, arcs):
    here = round(radius * math.cos(middle) / 10), round(radius * math.sin(middle) / 10)
    shares[here] = shares.get(here, 0) + arc
balloon_bits = -sum(share * math.log2(share) for share in shares.values())
roof_bits = -sum(p * math.log2(p) for p in scenes.ROOF_PROBABILITIES)
print(f"balloon: {len(shares)} squares, {balloon_bits:.4f} bits; roof: {roof_bits:.4f} bits")

# %% [markdown]
# Now estimate the balloon's entropy from $n$ hues. With few samples the plug-in estimate is
# **too low**: squares that were not met count as impossible. To first order it misses
# $(K - 1) / (2 n \ln 2)$ bits for $K$ squares (Miller 1955). Adding that, with the $K$ that were
# met, is the **Miller-Madow** correction.


# %%
def sample_entropies(n, repeats=100):
    """Mean over repeats of the plug-in and of the corrected estimate from n balloons."""
    hue = 2 * math.pi * torch.rand(repeats, n, generator=rng)
    squares = ambiguity.ab_bins(scenes.balloon_ab(hue)[..., None].movedim(2, 1))[..., 0]
    counts = [torch.bincount(row) for row in squares]
    plug_in = np.mean([entropy(c) for c in counts])
    met = np.mean([(c > 0).sum().item() for c in counts])
    return plug_in, plug_in + (met - 1) / (2 * n * math.log(2))


ns = [5, 10, 20, 50, 100, 200, 500, 1000, 2000]
plug_in, corrected = np.array([sample_entropies(n) for n in ns]).T
bias = (len(shares) - 1) / (2 * np.array(ns) * math.log(2))
print("bias at n = 200:", f"measured {plug_in[5] - balloon_bits:.3f}, expected {-bias[5]:.3f}")

# %% tags=["check"]
assert (np.diff(plug_in) > 0).all() and plug_in[0] < 2.4, "expected few samples to say too little"
assert np.allclose((balloon_bits - plug_in)[4:], bias[4:], rtol=0.35, atol=0.005), (
    "expected Miller's first-order bias from 100 samples on"
)
assert abs(corrected[-1] - balloon_bits) < 0.02, "expected the estimate to reach the arcs' answer"

# %%
fig = Figure(figsize=(6, 3), layout="constrained")
ax = fig.subplots()
ax.axhline(balloon_bits, color="black", linewidth=1, label="known from the arcs")
ax.plot(ns, plug_in, "o-", color=figures.PALETTE[0], label="plug-in")
ax.plot(ns, corrected, "s--", color=figures.PALETTE[1], label="Miller-Madow")
ax.set(xscale="log", xlabel="balloons sampled", ylabel="bits", ylim=(2, 4.7))
ax.legend()
show(
    fig,
    alt="Entropy of a balloon's colour over the number of samples. The plug-in estimate "
    "starts near 2 bits at 5 samples and rises to the known 4.45; the corrected one is nearer.",
)

# %% [markdown]
# Take care what you call a sample. All pixels of one balloon share one hue. Ten scenes hold
# hundreds of balloon pixels, and the entropy comes out too low all the same: there were only
# some twenty *independent* hues. Corrections by the number of pixels do not see that.

# %%
world = scenes.draw(range(600), 32, seed=config.seed)
balloon_squares = ambiguity.ab_bins(world.true_ab)
for n in (10, 100, 600):
    mask = world.masks["balloons"][:n]
    balloons = sum(len(ids.unique()) - 1 for ids in world.balloon_id[:n])
    measured = entropy(torch.bincount(balloon_squares[:n][mask]))
    print(f"{n} scenes, {mask.sum():,} pixels, {balloons:,} balloons: {measured:.2f} bits")
    if n == 10:
        assert measured < balloon_bits - 0.2, "expected few balloons to look less ambiguous"
assert abs(measured - balloon_bits) < 0.1, "expected the known answer from many balloons"
roofs = world.masks["roofs"]
measured = conditional_entropy(
    ambiguity.count(ambiguity.lightness_bins(world.L)[roofs], balloon_squares[roofs])
)
print(f"roofs, given L: {measured:.3f} bits, known {roof_bits:.3f}")

# %% tags=["check"]
assert abs(measured - roof_bits) < 0.08, "expected L to say nothing about a roof's colour"

# %% [markdown]
# ### Whole scenes
#
# The estimator has passed. Now all pixels of a scene (edges left out), with three levels of
# knowledge: nothing; the L of the pixel; its L and what it belongs to. The last is what a
# network can find out by looking at the *whole* of L. These are 1,000 scenes a row, three seeds.

# %%
rows = quote("ambiguity")
means = rows.groupby("l_width").mean().drop(columns="seed")
free = means.balloon_share * balloon_bits + means.roof_share * roof_bits
print(means[["ab", "given_L", "given_L_unseen", "given_L_material"]].round(2))
two = means.loc[2.0]

# %% tags=["check"]
assert two["given_L"] < 0.5 * two["ab"], "expected L to tell more than half"
assert two["given_L_material"] < 0.65 * two["given_L"], "expected the material to tell much more"
assert 0 < two["given_L_material"] - free[2.0] < 0.25, "expected the free colours to be the rest"
assert means["given_L"].is_monotonic_increasing, "expected coarse bins of L to tell less"

# %% tags=["nbval-check-output"]
rows = pd.DataFrame(ambiguity.EXPERIMENT.settings)
print("widths of the bins of L*:", ", ".join(f"{width:g}" for width in rows.l_width))
print(f"at width 2: nothing known {two['ab']:.3f}, L known {two['given_L']:.3f} bits")
print(f"L and material known {two['given_L_material']:.3f}, free colours {free[2.0]:.3f} bits")
told = [two["ab"], two["given_L"], two["given_L_material"], free[2.0]]

# %% tags=["check"]
assert np.allclose(told, [3.5, 1.4, 0.8, 0.6], atol=0.05), (
    f"expected the text's numbers, got {told}"
)

# %% [markdown]
# Read it from the left. Without L a pixel is worth about 3.5 bits. Its L leaves 1.4. Knowing what
# it belongs to leaves 0.8, and 0.6 of these are the balloons and roofs, which nobody can know.
# (The rest is rounding to 8 bits and squares that are cut by a gradient in the sky.) **The gap
# between 1.4 and 0.6 is what a network can learn. The 0.6 it must invent.** One row, live:

# %%
live = rerun("ambiguity", {"l_width": 2.0}, column="given_L")
print(f"measured here: {live['given_L']:.2f} bits given L, recorded {two['given_L']:.2f}")

# %% [markdown]
# ### Photographs
#
# Nobody knows the answer for photographs, so we bracket it. The plug-in estimate is too low. The
# **cross-entropy** is too high: learn the table on some pictures, and count the bits that it
# needs for others; no table beats the true one. `photos` are crops of the photographs inside
# scikit-image; the test crops are other regions of them. Photographs of other things would
# need more bits.


# %%
def pixels(source, n):
    """Bins of lightness and of colour of the first n pictures, one long row each."""
    L, ab = split_lab(to_float(source.images(range(min(n, len(source))))))
    return ambiguity.lightness_bins(L, 5.0).flatten(), ambiguity.ab_bins(ab).flatten()


seen, unseen = (pixels(open_source("photos", 48, split), 1200) for split in ("train", "test"))
seen_table, unseen_table = (ambiguity.count(*both, 20) for both in (seen, unseen))
nothing = entropy(unseen_table.sum(0))
low = conditional_entropy(unseen_table)
high = ambiguity.cross_entropy(seen_table, unseen_table)
print(f"H(ab) {nothing:.2f} bits; H(ab | L) between {low:.2f} and {high:.2f} bits")
print(f"as many as {2**low:.0f} to {2**high:.0f} equally likely squares")

# %% tags=["check"]
assert 3 < low < high < 4.4, f"expected three to four bits, got {low:.2f} to {high:.2f}"
assert nothing - low > 0.5, "expected L to tell something"

# %% [markdown]
# L tells about a bit. Three to four are left: as many as ten or more equally likely squares a
# pixel. (Do not multiply by the number of pixels: neighbours are not independent.)
#
# **Break it on purpose.** Does noise tell the colour of a pixel? Give each pixel a random
# number from 0 to 499 and condition on that as well.

# %%
noise = [500 * L + torch.randint(500, L.shape, generator=rng) for L, _ in (seen, unseen)]
tables = [ambiguity.count(k, colour, 20 * 500) for k, (_, colour) in zip(noise, (seen, unseen))]
with_noise = conditional_entropy(tables[1])
honest = ambiguity.cross_entropy(*tables)
print(f"plug-in: {low:.2f} bits given L, {with_noise:.2f} given L and noise")
print(f"on unseen pictures: {high:.2f} bits given L, {honest:.2f} given L and noise")

# %% tags=["check"]
assert with_noise < low - 0.3, "expected the plug-in estimate to be fooled by noise"
assert honest > high - 0.02, "expected noise not to help on unseen pictures"

# %% [markdown]
# The plug-in estimate says that noise explains colour. It is the same bias: 500 times as many
# rows, as few pixels in each. What was not used to fill the table is not fooled. Keep this in
# mind for every "my model explains the data".

# %% tags=["full"]
if config.full:
    sources = [config.photographs(64, split) for split in ("train", "test")]
    tables = []
    for source in sources:
        number = min(len(source), 1000 if config.step_limit is None else 8)
        L_, ab_ = split_lab(to_float(source.images(range(number))))
        bins = ambiguity.lightness_bins(L_, 5.0), ambiguity.ab_bins(ab_)
        tables.append(ambiguity.count(*bins, 20))
    bits = [
        entropy_of(table)
        for entropy_of, table in (
            (ambiguity.entropy, tables[1].sum(0)),
            (ambiguity.conditional_entropy, tables[1]),
        )
    ]
    bits.append(ambiguity.cross_entropy(*tables))
    print(f"{sources[0].name}: H(ab) {bits[0]:.2f}; H(ab | L) {bits[1]:.2f} to {bits[2]:.2f} bits")
    if config.step_limit is None:
        assert 0 < bits[1] < bits[2], "expected the plug-in estimate below the cross-entropy"
else:
    print("full mode: the same bracket on 1,000 real photographs")

# %% [markdown]
# ## Before deep learning
#
# People have coloured grey pictures by hand since there are photographs. What follows are three
# families, from the most work to the least: a **palette** by hand, **scribbles** that spread,
# and the **transfer** of colours from a reference. We judge them by **CIEDE2000**, the mean
# difference in colour that an observer would see (Sharma, Wu and Dalal 2005): about 1 is just
# visible. Lower is better.
#
# ### By hand: a palette
#
# Cut the picture into regions, choose a colour for each. Here are eight regions, drawn
# by hand.

# %%
target, truth = photos["astronaut"], to_uint8(photos["astronaut"])
L, true_ab = split_lab(target)
side = L.shape[-1]
down, right = np.mgrid[:side, :side] * 160 / side  # the drawing is on a board of 160 x 160


def ellipse(x, y, radius_x, radius_y):
    return ((right - x) / radius_x) ** 2 + ((down - y) / radius_y) ** 2 < 1


def polygon(*corners):
    corners = np.array(corners)[:, ::-1] * side / 160
    return skimage.draw.polygon2mask((side, side), corners)


drawn = {
    "wall": np.ones((side, side), bool),
    "flag": polygon((0, 0), (14, 0), (38, 62), (22, 80), (14, 90), (0, 110)),
    "tank": polygon((124, 0), (140, 0), (143, 70), (136, 70), (128, 50)),
    "suit": polygon((30, 65), (45, 85), (72, 95), (95, 75), (110, 95), (105, 108), (90, 125),
                    (88, 160), (0, 160), (5, 140), (15, 85)),
    "collar": ellipse(67, 67, 30, 24),
    "hair": ellipse(71, 27, 23, 22),
    "skin": ellipse(70, 40, 13, 20),
    "helmet": ellipse(120, 140, 36, 34) | polygon((112, 84), (160, 84), (160, 120), (112, 120)),
}  # fmt: skip
labels = torch.zeros(side, side, dtype=torch.long)
for k, mask in enumerate(drawn.values()):
    labels[torch.from_numpy(mask)] = k  # what is drawn later lies in front

# %% [markdown]
# The best palette that these regions allow is the mean of the true colours of each: a colourist
# who has seen the scene. The other is a fair guess by somebody who has not, and remembers space
# suits as blue.


# %%
def mean_colours(labels, ab):
    """The mean ab of each region: (regions, 2)."""
    return torch.stack([ab[0][:, labels == k].mean(1) for k in range(int(labels.max()) + 1)])


def lab_palette(**colours):
    return torch.tensor(list(colours.values())) / AB_SCALE


def report(**colourings):
    """PSNR, CIEDE2000 and colorfulness of several ab for the astronaut, with grey and truth."""
    rows = {"grey": 0 * true_ab} | colourings | {"truth": true_ab}
    images = {name: shown(L, ab.reshape(true_ab.shape)) for name, ab in rows.items()}
    table = {
        name: [m(image, truth).item() for m in (metrics.psnr, metrics.ciede2000)]
        + [metrics.colorfulness(image).item()]
        for name, image in images.items()
    }
    frame = pd.DataFrame(table, ["PSNR", "CIEDE2000", "colorfulness"]).T
    return frame.replace(np.inf, np.nan), images


best_palette = mean_colours(labels, true_ab)
guessed_palette = lab_palette(
    wall=(2, 6), flag=(35, 15), tank=(2, 10), suit=(2, -35), collar=(0, 0), hair=(8, 18),
    skin=(14, 16), helmet=(0, 0),
)  # fmt: skip
by_hand = classical.paint_palette(L[0], labels, best_palette)
by_guess = classical.paint_palette(L[0], labels, guessed_palette)
scores, images = report(best_palette=by_hand, guessed_palette=by_guess)
print(scores.round(1))
hand_error, grey_error = scores.CIEDE2000["best_palette"], scores.CIEDE2000["grey"]

# %% tags=["check"]
assert hand_error < 0.85 * grey_error, "expected the best palette to be far better than grey"

# %%
flat = 0.5 * torch.ones_like(L)  # one lightness, so that the regions themselves are to be seen
show(
    image_grid({"regions": shown(flat, by_hand[None]), "best palette": images["best_palette"],
                "truth": truth}, cell=BIG),
    alt="Eight hand-drawn regions of a portrait, each in one flat colour; the portrait coloured "
    "by them; the true portrait, which has stripes, a patch on the suit and lips.",
)  # fmt: skip

# %% [markdown]
# ### By a reference: statistics
#
# Reinhard, Ashikhmin, Gooch and Shirley (2001, eq. 10 and 11) give a picture the **mean and
# standard deviation** of a reference, channel by channel:
#
# $$c' = \frac{\sigma_{\text{ref}}}{\sigma} (c - \mu) + \mu_{\text{ref}}$$
#
# They work in another opponent space; here it is Lab.


# %%
def reinhard(ab, reference_ab):
    """ab (2, H, W) with the mean and deviation of the reference's."""
    mean, deviation = ab.mean((1, 2), keepdim=True), ab.std((1, 2), keepdim=True, correction=0)
    wanted = reference_ab.std((1, 2), keepdim=True, correction=0)
    return (ab - mean) * wanted / deviation + reference_ab.mean((1, 2), keepdim=True)


reference = photos["coffee"]
L_ref, ab_ref = split_lab(reference)
assert_same_function(
    lambda rgb, ref: reinhard(split_lab(rgb)[1], split_lab(ref)[1]),
    lambda rgb, ref: classical.transfer_statistics(rgb, ref)[1],
    target[0].double(),
    reference[0].double(),
)
_, recoloured = classical.transfer_statistics(target[0], reference[0])
print("mean ab  ", recoloured.mean((1, 2)), "wanted", ab_ref[0].mean((1, 2)))
print("deviation", recoloured.std((1, 2)), "wanted", ab_ref[0].std((1, 2)))

# %% [markdown]
# It was made for *re*colouring. A grey picture has no deviation to stretch: $\sigma = 0$. All
# that is left is the mean, one tint for everything.

# %%
_, tint = classical.transfer_statistics(to_float(figures.grey_image(L))[0], reference[0])
spread = AB_SCALE * (tint - tint.mean((1, 2), keepdim=True)).abs().max().item()
print(f"largest deviation from one tint: {spread:.2f} units of Lab")
show(
    image_grid({"photograph, recoloured": shown(L, recoloured[None]),
                "grey picture, coloured": shown(L, tint[None])}, cell=BIG),
    alt="With the statistics of the coffee cup: the photograph of the astronaut in reds and "
    "browns; the grey portrait with one brownish tint all over.",
)  # fmt: skip

# %% tags=["check"]
assert spread < 1, "expected one tint on a grey picture"

# %% [markdown]
# ### By a reference: matching lightness and texture
#
# Welsh, Ashikhmin and Mueller (2002) choose for each grey pixel the one of some 200 sampled
# pixels of the reference that is nearest in **lightness** and in the **standard deviation of
# lightness** around it, half and half, and copy its ab. (The reference's lightness is first given
# the target's mean and deviation.) It is a nearest-neighbour search:


# %%
def match(values, reference):
    """values, with the mean and deviation of reference."""
    gain = reference.std(correction=0) / values.std(correction=0)
    return (values - values.mean()) * gain + reference.mean()


def features(L, window=5):
    """Lightness and its deviation around each pixel: (pixels, 2)."""
    L = (L - L.mean()).double()

    def around(x):  # mean over the part of the window that is inside the picture
        return avg_pool2d(x[None], window, 1, window // 2, count_include_pad=False)[0]

    deviation = (around(L**2) - around(L) ** 2).clamp(min=0).sqrt()
    return torch.stack([L.flatten(), deviation.flatten()], 1) / 2  # half the weight each


def my_welsh(L, reference_rgb):
    L_ref, ab_ref = split_lab(reference_rgb)
    L_ref = match(L_ref, L)
    samples = classical.jittered_grid(*L_ref.shape[-2:], 200)
    nearest = torch.cdist(features(L), features(L_ref)[samples]).argmin(1)
    return ab_ref.flatten(1)[:, samples[nearest]].reshape(2, *L.shape[-2:])


cat = photos["chelsea"][0]
left, right_half = cat[..., : side // 2], cat[..., side // 2 :]
L_half, true_half = split_lab(right_half)
mine, theirs = my_welsh(L_half, left), classical.welsh(L_half, left)
same = (mine == theirs).all(0).float().mean().item()
print(f"same colour as colorlib's at {100 * same:.1f} % of the pixels")

# %% tags=["check"]
assert same > 0.98, "expected the library's colours, but for ties"

# %% [markdown]
# It works where the reference is the same thing. Here the left half of a cat colours the right
# half. And it works a little where it is the same *kind* of thing: one scene colours another.

# %%
half_truth = to_uint8(right_half)[None]
half_grey = figures.grey_image(L_half[None])
half_welsh = shown(L_half[None], theirs[None])
errors = [metrics.ciede2000(image, half_truth).item() for image in (half_grey, half_welsh)]
print(f"CIEDE2000 of the cat's right half: grey {errors[0]:.1f}, Welsh {errors[1]:.1f}")
assert errors[1] < 0.5 * errors[0], "expected the left half to help a lot"
town = scenes.draw([3, 9], 64, split="val")
town_L, town_ab = town.lab
town_welsh = classical.welsh(town_L[0], to_float(town.rgb[1]))
town_image = shown(town_L[:1], town_welsh[None])
errors = [metrics.ciede2000(image, town.rgb[:1]).item()
          for image in (figures.grey_image(town_L[:1]), town_image)]  # fmt: skip
print(f"CIEDE2000 of the town: grey {errors[0]:.1f}, Welsh {errors[1]:.1f}")
show(
    image_grid({"reference": to_uint8(left)[None], "coloured": half_welsh, "truth": half_truth},
               cell=BIG),
    alt="The left half of a cat's face; the right half coloured by it, brown fur and a pinkish "
    "corner with some blotches; and the true right half.",
)  # fmt: skip

# %% tags=["check"]
assert errors[1] < 0.75 * errors[0], "expected another town to help"

# %% [markdown]
# ### By hand, a little: scribbles
#
# Levin, Lischinski and Weiss (2004) ask for a few marks and let the colours flow. Their premise:
# **neighbours of equal lightness have equal colours.** Each unmarked pixel $r$ gets the weighted
# mean of its neighbours $s$ (eq. 1 and 2):
#
# $$U(r) = \sum_{s \in N(r)} w_{rs} U(s), \qquad w_{rs} \propto
# e^{-(Y(r) - Y(s))^2 / 2 \sigma_r^2}$$
#
# $Y$ is lightness in 0..1, $\sigma_r^2$ its variance in the 3 x 3 window around $r$. Start with a
# toy: a dark and a light half, and one mark in each.

# %%
toy_Y = np.full((8, 10), 0.4)
toy_Y[:, 5:] = 0.6
toy_Y += 0.01 * np.random.default_rng(config.seed).standard_normal(toy_Y.shape)
marks = {(2, 1): (0.3, 0.2), (5, 8): (-0.2, -0.3)}  # pixel: its ab


def weights_of(Y, strength=1.0):
    """The weights of Levin's eq. 2: row r holds those of its neighbours, and they sum to 1."""
    h, w = Y.shape
    W = sparse.lil_matrix((h * w, h * w))
    for y in range(h):
        for x in range(w):
            window = [(i, j) for i in range(max(0, y - 1), min(h, y + 2))
                      for j in range(max(0, x - 1), min(w, x + 2))]  # fmt: skip
            variance = max(np.var([Y[p] for p in window]), (0.5 / 255) ** 2)
            near = [p for p in window if p != (y, x)]
            exponents = [strength * (Y[y, x] - Y[p]) ** 2 / (2 * variance) for p in near]
            values = np.exp(-np.minimum(exponents, 20))
            for p, value in zip(near, values / values.sum()):
                W[y * w + x, p[0] * w + p[1]] = value
    return W.tocsr()


W = weights_of(toy_Y)
print(f"{W.shape[0]} pixels, {W.nnz} weights of {W.shape[0] ** 2:,}")

# %% tags=["check"]
assert np.allclose(W.sum(1), 1), "expected the weights of a pixel to sum to 1"

# %% [markdown]
# One equation a pixel: at a mark $U(r)$ is the mark's, elsewhere $U(r) - \sum_s w_{rs} U(s) = 0$.
# Together a **sparse linear system** $A U = m$, one solve for $a$ and one for $b$.


# %%
def my_scribbles(Y, marks, strength=1.0):
    """ab (2, H, W) from marks {(row, column): ab}."""
    h, w = Y.shape
    A = (sparse.identity(h * w) - weights_of(Y, strength)).tolil()
    m = np.zeros((h * w, 2))
    for (row, column), colour in marks.items():
        pixel = row * w + column
        A[pixel] = 0
        A[pixel, pixel] = 1
        m[pixel] = colour
    return spsolve(A.tocsc(), m).T.reshape(2, h, w)


def as_tensors(marks, shape):
    """The same marks as colorlib wants them: where they are, and their ab."""
    where, ab = torch.zeros(shape, dtype=torch.bool), torch.zeros(2, *shape, dtype=torch.float64)
    for place, colour in marks.items():
        where[place] = True
        ab[:, place[0], place[1]] = torch.tensor(colour, dtype=torch.float64)
    return where, ab


toy_L = torch.from_numpy(2 * toy_Y - 1)[None]
for strength in (0.0, 1.0, classical.LEVIN_STRENGTH):
    mine = my_scribbles(toy_Y, marks, strength)
    theirs = classical.scribbles(toy_L, *as_tensors(marks, toy_Y.shape), strength=strength)
    apart = np.abs(mine - theirs.numpy()).max()
    print(f"strength {strength:.2f}: {apart:.1e} apart from colorlib's")
    assert apart < 1e-8, f"expected the library's solution, got {apart:.1e} apart"

# %% [markdown]
# The **strength** multiplies the exponent: 1 is the paper's formula, 0 ignores edges, and the
# library's default, 3.33, is what the authors' program uses. Look at what it does.


# %%
def toy_solution(strength):
    where, ab = as_tensors(marks, toy_Y.shape)
    return classical.scribbles(toy_L, where, ab, strength=strength).float()


edge_jump = {}
for strength in (0.0, 1.0, 10 / 3):
    ab = AB_SCALE * toy_solution(strength)
    edge_jump[strength] = (ab[:, :, 5] - ab[:, :, 4]).norm(dim=0).mean().item()
    print(f"strength {strength:.2f}: colour jumps by {edge_jump[strength]:.1f} at the edge")
light = torch.full((1, 1, 8, 10), 0.3)
show(
    image_grid({"lightness": figures.grey_image(toy_L[None].float())}
               | {f"strength {s:.1f}": shown(light, toy_solution(s)[None]) for s in edge_jump}),
    alt="A dark and a light half. Without edges red and blue blend into one another; with the "
    "paper's strength there is a step between the halves; with more, each half keeps its colour.",
)  # fmt: skip

# %% tags=["check"]
assert edge_jump[0.0] < edge_jump[1.0] < edge_jump[10 / 3], "expected edges to hold the colour"

# %% [markdown]
# Now the portrait, with marks that a perfect colourist makes: about $n$ pixels, spread over a
# grid, each in its true colour. **Predict first:** how many marks bring the error to half of
# grey's? And with few marks, is a higher strength better or worse?


# %%
def grid_marks(n):
    """About n marked pixels on a jittered grid, the same every time."""
    marked = torch.zeros(side * side, dtype=torch.bool)
    marked[classical.jittered_grid(side, side, n)] = True
    return marked.reshape(side, side)


def paint(fig, number, strength):
    where = grid_marks(number)
    ab = classical.scribbles(L[0], where, true_ab[0], strength=strength)
    image = shown(L, ab[None])
    error = metrics.ciede2000(image, truth).item()
    dots = shown(L, (true_ab * where))
    fig.set_layout_engine("none")  # whole pixels: the boxes are placed by hand
    for k, (picture, title) in enumerate([(dots, "marks"), (image, "coloured")]):
        ax = fig.add_axes((0.5 * k + 0.02, 0.02, 0.46, 0.8))
        ax.imshow(figures.to_numpy(picture)[0], interpolation="nearest")
        ax.set_title(title)
        ax.set_axis_off()
    return f"{int(where.sum())} marks, strength {strength:.2f}: CIEDE2000 {error:.2f} " + (
        f"(grey {grey_error:.2f})"
    )


scribble_panel = Panel(
    paint,
    figsize=(4.7, 2.7),  # 216 pixels a picture: three times 72
    alt="A grey portrait with 64 coloured dots, and the portrait coloured from them: suit, hair "
    "and flag have their colours, details do not.",
    number=choice([4, 16, 64, 256], value=64, label="marks"),
    strength=slider(0.0, 10.0, value=3.33, step=0.01, label="strength"),
)
scribble_panel

# %%
scribble_panel.try_controls()
errors = {}
for number in (4, 16, 64, 256):
    solved = classical.scribbles(L[0], grid_marks(number), true_ab[0])
    errors[number] = metrics.ciede2000(shown(L, solved[None]), truth).item()
print("CIEDE2000 by number of marks:", {n: round(error, 1) for n, error in errors.items()})
gain = {}
for number in (16, 256):
    where = grid_marks(number)
    solved = [classical.scribbles(L[0], where, true_ab[0], strength=s) for s in (1.0, 10.0)]
    weak, strong = (metrics.ciede2000(shown(L, ab[None]), truth).item() for ab in solved)
    gain[number] = weak - strong
    print(f"{number} marks: strength 1 {weak:.2f}, strength 10 {strong:.2f}")

# %% tags=["check"]
assert list(errors.values()) == sorted(errors.values(), reverse=True), "expected marks to help"
assert errors[64] < 0.55 * grey_error, "expected 64 true marks to halve grey's error, nearly"
assert gain[16] < 0 < gain[256], "expected strong edges to help only where marks are many"

# %% [markdown]
# A strong edge helps when each region has its mark. With few marks it locks colours out of
# regions that nobody marked. Scribbles are good, and every one of them is work: a film has 24
# pictures a second.

# %% [markdown]
# ### All of them, on one portrait

# %%
welsh_coffee = classical.welsh(L[0], photos["coffee"][0])
welsh_cat = classical.welsh(L[0], photos["chelsea"][0])
scribbled = classical.scribbles(L[0], grid_marks(64), true_ab[0])
scores, images = report(
    palette=by_hand, statistics=tint, welsh=welsh_cat, scribbles=scribbled,
    welsh_coffee=welsh_coffee,
)  # fmt: skip
print(scores.round(1))
ranks = scores.CIEDE2000

# %% tags=["check"]
assert ranks["scribbles"] < ranks["palette"] < ranks["grey"], "expected more work to help more"
assert ranks["welsh_coffee"] > ranks["grey"], "expected a coffee cup to be a bad reference"

# %% tags=["result"]
show(
    image_grid({"palette by hand": images["palette"], "statistics": images["statistics"],
                "matched (Welsh)": images["welsh"], "64 scribbles": images["scribbles"]},
               cell=BIG),
    alt="A portrait of an astronaut coloured by a hand-made palette, by the statistics of a "
    "photograph, by matching lightness and texture with a cat, and by 64 scribbles.",
)  # fmt: skip

# %% [markdown]
# ## Four failures
#
# The literature lists four weaknesses of these methods. Each is easy to say and easy to doubt,
# so here is each with a picture and a number.
#
# ### 1. The result is as good as the palette
#
# What is not in the palette or the reference cannot appear. For a reference that has a number:
# its **reach**, the mean distance from a true colour to the *nearest* colour the reference has.
# No way of choosing among the reference's colours does better.

# %%
suit = torch.from_numpy(drawn["suit"])
rows = {}
for name in ("chelsea", "coffee", "rocket"):
    its_ab = AB_SCALE * split_lab(photos[name])[1][0].flatten(1).T
    reach = torch.cdist(AB_SCALE * true_ab[0][:, suit].T, its_ab).min(1).values.mean().item()
    images[name] = shown(L, classical.welsh(L[0], photos[name][0])[None])
    rows[name] = [reach, metrics.ciede2000(images[name], truth).item()]
table = pd.DataFrame(rows, ["reach on the suit", "CIEDE2000 of Welsh"]).T
guess_error = metrics.ciede2000(shown(L, by_guess[None]), truth).item()
print(table.round(1))
print(f"CIEDE2000 of grey {grey_error:.1f}, of the guessed palette {guess_error:.1f}")
reach = table["reach on the suit"]

# %% tags=["check"]
assert reach["rocket"] > 4 * reach["coffee"], "expected dusk to lack orange, a red cup not"
assert table["CIEDE2000 of Welsh"].min() > grey_error, "expected no reference to beat grey"
assert guess_error > grey_error, "expected a wrong palette to be worse than grey"

# %% [markdown]
# The evening sky has no orange: no method could take the suit's colour from it. The cup has it,
# and the result is still worse than grey: having the colour is not enough, somebody must know
# where it goes. A wrong palette is worse than none.

# %%
show(
    image_grid({"guessed palette": shown(L, by_guess[None]), "Welsh, from the rocket":
                images["rocket"]}, cell=BIG),
    alt="Left: the astronaut in a blue suit. Right: the astronaut in the dark blues of the evening "
    "sky behind a rocket; skin, hair and suit are blue or grey.",
)  # fmt: skip

# %% [markdown]
# ### 2. Nothing keeps a thing in one colour
#
# Welsh's method decides pixel by pixel. A balloon has one chroma and one hue; a roof has one
# colour. Measure, over the pixels of each object, the mean distance to the object's own mean
# colour.


# %%
def spread_in_objects(ab, drawn):
    """Mean distance, in Lab units, from a pixel's ab to the mean of its balloon or roof."""
    codes = drawn.regions[0]
    distances = []
    for code in codes.unique()[codes.unique() >= scenes.BALLOON_CODE]:
        colours = AB_SCALE * ab[:, codes == code]
        distances.append((colours - colours.mean(1, keepdim=True)).norm(dim=0))
    return torch.cat(distances).mean().item()


spread = {"truth": spread_in_objects(town_ab[0], town),
          "Welsh": spread_in_objects(town_welsh, town)}  # fmt: skip
print({name: round(value, 1) for name, value in spread.items()})
show(
    image_grid({"reference": town.rgb[1:], "Welsh": town_image, "truth": town.rgb[:1]}),
    alt="A town with a green balloon colours another town. In the result the balloon has green and "
    "tan stripes, the roofs are striped red and blue; in the truth each has one colour.",
)

# %% tags=["check"]
assert spread["truth"] < 1.5, "expected one colour an object"
assert spread["Welsh"] > 8, "expected several colours in one object"

# %% [markdown]
# ### 3. Details and textures are lost
#
# The suit has a patch, folds and seams. Whoever fills regions or spreads marks has one colour
# for all of it, unless each detail is drawn. Measure how much ab varies within 5 x 5 pixels on
# the suit, relative to the truth, and how wrong the patch is.


# %%
def variation(ab):
    """Standard deviation of ab within 5 x 5 pixels: (H, W)."""
    mean = avg_pool2d(ab, 5, 1, 2)
    return (avg_pool2d(ab**2, 5, 1, 2) - mean**2).clamp(min=0).sum(1).sqrt()[0]


patch = torch.from_numpy(ellipse(53, 119, 9, 9))
few_marks = classical.scribbles(L[0], grid_marks(16), true_ab[0])
rows = {}
for name, ab in {"palette": by_hand, "16 scribbles": few_marks, "truth": true_ab[0]}.items():
    kept = variation(ab[None])[suit].mean() / variation(true_ab)[suit].mean()
    wrong = AB_SCALE * (ab - true_ab[0]).norm(dim=0)[patch].mean()
    rows[name] = [kept.item(), wrong.item()]
table = pd.DataFrame(rows, ["variation kept", "error on the patch"]).T
print(table.round(2))
crop = (..., slice(36, 72), slice(4, 50))
show(
    image_grid({"palette": shown(L, by_hand[None])[crop],
                "16 scribbles": shown(L, few_marks[None])[crop], "truth": truth[crop]}),
    alt="The suit, cut out. Palette and scribbles give one even orange or grey, also to the "
    "patch; in the truth the patch is violet and the orange varies with the folds.",
)  # fmt: skip

# %% tags=["check"]
assert (table["variation kept"][:2] < 0.6).all(), "expected most of the variation to be lost"
assert (table["error on the patch"][:2] > 30).all(), "expected the patch to be painted over"

# %% [markdown]
# ### 4. No idea of the scene
#
# Skin, hair and cloth can have the same grey. Give a method that looks at L alone every
# advantage: the **best table** there is, the mean true ab of *this very picture* for each L\*.
# Nothing that sees only the L of a pixel has a smaller squared error. Then look at hair, skin,
# suit and patch where their L\* is the same.

# %%
bins = ambiguity.lightness_bins(L, 2.0)[0]
mean_ab = torch.stack([true_ab[0][:, bins == k].mean(1) if (bins == k).any() else torch.zeros(2)
                       for k in range(50)])  # fmt: skip
by_table = mean_ab[bins].movedim(-1, 0)
lightness = 50 * (L[0, 0] + 1)
band = (lightness > 58) & (lightness < 66)
things = {"hair": (labels == list(drawn).index("hair")), "skin": torch.from_numpy(ellipse(
    70, 42, 11, 16)), "suit": suit & ~patch, "patch": patch}  # fmt: skip
rows = {}
for name, mask in things.items():
    here = mask & band
    true_mean, table_mean = (AB_SCALE * ab[:, here].mean(1) for ab in (true_ab[0], by_table))
    rows[name] = [int(here.sum()), *true_mean.tolist(), *table_mean.tolist()]
table = pd.DataFrame(rows, ["pixels", "true a*", "true b*", "table's a*", "table's b*"]).T
print(table.round(0))
true_means, table_means = (torch.tensor(table.values[:, k : k + 2]) for k in (1, 3))
apart = [torch.cdist(means, means).max().item() for means in (true_means, table_means)]
print(f"farthest apart: truth {apart[0]:.0f}, table {apart[1]:.0f} units of Lab")

# %% tags=["check"]
assert apart[0] > 40, "expected four different colours at one lightness"
assert apart[1] < 8, "expected one colour from the table"

# %%
table_image = shown(L, by_table[None])
grey_band = figures.grey_image(L).clone()
marked = torch.stack([mask for mask in things.values()]).any(0) & band
grey_band[0, :, marked] = torch.tensor([[0], [158], [115]], dtype=torch.uint8)
show(
    image_grid({"equal grey, in green": grey_band, "the best table": table_image,
                "truth": truth}, cell=BIG),
    alt="The grey portrait with pixels of one lightness marked in hair, face, suit and patch. "
    "Coloured by the best table all of them are the same brownish orange. The truth has four "
    "colours.",
)  # fmt: skip

# %% [markdown]
# That is the failure that matters most. To know skin from cloth you have to know what skin *is*:
# from its shape, its place, what is next to it. This is what a network learns from many
# pictures, and the reason for the rest of this course.

# %% [markdown]
# ## How good is it? Five numbers
#
# | metric | compares | best | note |
# |---|---|---|---|
# | PSNR | pixels, squared error in sRGB | high | dB |
# | SSIM | local means, contrasts, structure | 1 | Wang et al. 2004 |
# | CIEDE2000 | pixels, as an eye sees them | 0 | Sharma, Wu and Dalal 2005 |
# | colorfulness | nothing: one picture alone | the truth's | Hasler and Suesstrunk 2003 |
# | chroma ratio | sums of chroma | 1 | grey is 0 |
#
# The scenes let us ask what they reward, for their truth can be drawn again. *Repainted* scenes
# have other balloons and roofs, exactly as likely as the true ones: nobody could tell which is
# real. The *posterior mean* is the average of all of them, with grey balloons.

# %%
world = scenes.draw(range(150), 32, split="val")
again = scenes.repaint(world, scenes.draw_colours(150, rng))
candidates = {
    "truth": world.rgb,
    "repainted": again.rgb,
    "posterior mean": shown(world.L, scenes.posterior_mean(world)),
    "grey": figures.grey_image(world.L),
    "too vivid": shown(world.L, 1.6 * world.true_ab),
}
rows = {}
for name, images_ in candidates.items():
    pooled = metrics.PooledColor()
    pooled.update(images_, world.rgb)
    each = [m(images_, world.rgb).mean().item() for m in
            (metrics.psnr, metrics.ssim, metrics.ciede2000)]  # fmt: skip
    rows[name] = [*each, pooled.result()["colorfulness"], pooled.result()["chroma_ratio"]]
columns = ["PSNR", "SSIM", "CIEDE2000", "colorfulness", "chroma ratio"]
table = pd.DataFrame(rows, columns).T.replace(np.inf, np.nan)
print(table.round(2))
mean_, repainted = table.loc["posterior mean"], table.loc["repainted"]

# %% tags=["check"]
assert mean_["PSNR"] > repainted["PSNR"] + 1, "expected PSNR to prefer the grey balloons"
assert mean_["CIEDE2000"] < repainted["CIEDE2000"], "expected CIEDE2000 to prefer them, too"
assert abs(repainted["chroma ratio"] - 1) < 0.05, "expected the right amount of colour"
assert mean_["chroma ratio"] < 0.9, "expected less colour in the mean"

# %%
show(
    image_grid({name: images_[8:9] for name, images_ in candidates.items()}, cell=1.6),
    alt="One scene with a large balloon, five times: true; with a balloon of another colour; with "
    "a grey balloon; all grey; and in colours that are too strong.",
)

# %% [markdown]
# ### PSNR rewards grey: the triangle
#
# Why? Put the true colour of a balloon at chroma $C$, and guess one of the same chroma whose hue
# is off by $\theta$. In the ab plane the squared errors are
#
# $$\text{guess: } 2 C^2 (1 - \cos\theta), \qquad \text{grey: } C^2$$
#
# So grey wins as soon as $\theta > 60$ degrees, for **two thirds** of all hues. On average over
# all hues the guess errs by $2 C^2$, twice as much as grey: 3 dB. Does it hold for shown 8-bit
# pictures? Turn the true hue of every balloon, step by step.

# %% tags=["nbval-check-output"]
angles = np.arange(0.05, 360, 0.1)
squared = 2 - 2 * np.cos(np.radians(angles))  # over C^2
print(f"grey wins beyond {np.degrees(np.arccos(0.5)):.0f} degrees")
print(f"that is {(squared > 1 + 1e-9).mean():.2f} of all hues")
print(f"mean squared error of a guess over that of grey: {squared.mean():.2f}")
print(f"in dB: {10 * math.log10(squared.mean()):.2f}")


# %%
def with_balloons(change):
    """The same scenes with other balloons; everything else stays true."""
    balloons = change(world.colours.balloon_ab)
    return scenes.repaint(world, scenes.Colours(balloons, world.colours.roof_ab)).rgb


def turned_by(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = torch.tensor([[c, s], [-s, c]])
    return lambda ab: ab @ rotation


turns = list(range(0, 181, 15))
pictures = {turn: with_balloons(turned_by(turn)) for turn in turns}
grey_balloons = with_balloons(lambda ab: 0 * ab)
curves, levels_of_grey = {}, {}
for name, metric in {"PSNR in dB": metrics.psnr, "CIEDE2000": metrics.ciede2000}.items():
    curves[name] = [metric(pictures[turn], world.rgb).mean().item() for turn in turns]
    levels_of_grey[name] = metric(grey_balloons, world.rgb).mean().item()
psnr_curve, error_curve = curves["PSNR in dB"], curves["CIEDE2000"]
below = [t for t, v in zip(turns, psnr_curve) if v < levels_of_grey["PSNR in dB"]]
above = [t for t, v in zip(turns, error_curve) if v > levels_of_grey["CIEDE2000"]]
print(f"PSNR prefers grey, at {levels_of_grey['PSNR in dB']:.1f} dB, to turns of {below}")
print(f"CIEDE2000 prefers it to turns of {above}")

# %% tags=["check"]
assert below and 60 <= below[0] <= 75, "expected grey to win from about 60 degrees on"
assert above and 45 <= above[0] <= 75, "expected about the same angle for CIEDE2000"

# %%
fig = Figure(figsize=(8, 2.9), layout="constrained")
for ax, (name, values) in zip(fig.subplots(1, 2), curves.items()):
    ax.plot(turns[1:], values[1:], "o-", color=figures.PALETTE[0], label="vivid, hue turned")
    ax.axhline(levels_of_grey[name], color=figures.PALETTE[1], linestyle="--", label="grey balloon")
    ax.axvline(60, color="0.7", linewidth=1)
    ax.set(xlabel="hue off by (degrees)", ylabel=name, xticks=range(0, 181, 60))
    ax.legend()
show(fig, alt="PSNR and CIEDE2000 of balloons whose hue is turned, over the angle, and of grey "
     "balloons. In both, grey is better from about 60 degrees on.")  # fmt: skip

# %% [markdown]
# And with random hues, which is what an honest guess is: how often does grey beat a colouring
# that nobody could call wrong? We count scenes with a single balloon.

# %%
single = world.balloon_id.flatten(1).amax(1) == 1
share = []
for _ in range(8):
    guess = with_balloons(lambda ab: scenes.draw_colours(len(ab), rng).balloon_ab)
    worse = metrics.psnr(guess, world.rgb) < metrics.psnr(grey_balloons, world.rgb)
    share.append(worse[single].float().mean().item())
share = np.mean(share)
print(f"{int(single.sum())} scenes x 8 guesses: grey has the higher PSNR in {100 * share:.0f} %")

# %% tags=["check"]
assert 0.58 < share < 0.76, "expected about two thirds"

# %% [markdown]
# A model that is trained and judged by squared error learns to be grey where it is unsure.
# Notebook 02 trains one and watches it happen; from notebook 03 on a discriminator asks another
# question: not "is it near the truth?" but "could it be true?". No single number is enough; the
# course reports several, and [notebook 10](10_evaluation.ipynb) asks people.

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: XYZ to Lab, with any white
#
# Printers use another white (D50) than screens (D65). Write `xyz_to_lab` for one colour, three
# numbers, and any white, with NumPy.


# %% tags=["exercise"]
def xyz_to_lab(xyz, white):
    """Lab, three numbers, of a colour xyz (3,) under a white (3,)."""
    ### BEGIN SOLUTION
    t = np.asarray(xyz) / np.asarray(white)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.xyz_to_lab.check(xyz_to_lab)
# exercises.xyz_to_lab.hint()
# exercises.xyz_to_lab.solution()

# %% [markdown]
# ### Exercise 2: colorfulness
#
# Hasler and Suesstrunk (2003) form two opponents of each pixel, $rg = R - G$ and
# $yb = (R + G)/2 - B$, with R, G and B in 0..255, and combine their standard deviations and means
# over the picture:
#
# $$\sqrt{\sigma_{rg}^2 + \sigma_{yb}^2} + 0.3 \sqrt{\mu_{rg}^2 + \mu_{yb}^2}$$
#
# `rgb` is a uint8 tensor (3, H, W). Mind what 8-bit numbers do below zero.


# %% tags=["exercise"]
def colorfulness(rgb):
    """Colorfulness of one picture, a uint8 tensor (3, H, W)."""
    ### BEGIN SOLUTION
    red, green, blue = rgb.double()
    rg, yb = red - green, (red + green) / 2 - blue
    deviation = (rg.var(correction=0) + yb.var(correction=0)).sqrt()
    return deviation + 0.3 * (rg.mean() ** 2 + yb.mean() ** 2).sqrt()
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.colorfulness.check(colorfulness)
# exercises.colorfulness.hint()
# exercises.colorfulness.solution()

# %% [markdown]
# ### Exercise 3: beyond which angle does grey win?
#
# Above, the guess had the chroma of the truth. Now the truth has chroma `truth` and the guess
# chroma `guess`. Beyond which angle between their hues, in degrees, is grey nearer to the truth
# in the ab plane? (Return 0 if grey always wins.) What does it say about a timid guess?


# %% tags=["exercise"]
def grey_wins_beyond(guess, truth):
    """The angle in degrees, 0 to 90, beyond which grey has the smaller squared error."""
    ### BEGIN SOLUTION
    return math.degrees(math.acos(min(1.0, guess / (2 * truth))))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.grey_wins_beyond.check(grey_wins_beyond)
# exercises.grey_wins_beyond.hint()
# exercises.grey_wins_beyond.solution()

# %% [markdown]
# ### Exercise 4: an image on which grey wins
#
# Return a picture and a colouring of it that has the same lightness and about the same
# amount of chroma, and yet a lower PSNR than the grey picture. Both are uint8 tensors
# (1, 3, H, W). `scenes.draw` and `split_lab` are there for you, or use a picture of your own.


# %% tags=["exercise"]
def my_example():
    """A pair of uint8 tensors: the truth, and a colouring that PSNR likes less than grey."""
    ### BEGIN SOLUTION
    truth = scenes.draw([8], 64, split="val").rgb  # one large balloon
    L, ab = split_lab(to_float(truth))
    turned = torch.stack([-ab[:, 1], ab[:, 0]], dim=1)  # every hue by 90 degrees
    return truth, to_uint8(join_lab(L, turned, gamut="chroma"))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.grey_beats.check(my_example())
# exercises.grey_beats.hint()
# exercises.grey_beats.solution()

# %% [markdown]
# ## Recap
#
# 1. sRGB becomes Lab by a curve, a matrix and a cube root. L carries the structure; ab may be
#    coarse.
# 2. At a given L the gamut bounds ab, and inside it much is open: about 1.4 bits a pixel of a
#    scene, 0.6 of them unknowable; three to four in our photographs.
# 3. Palettes, statistics, matching and scribbles colour as well as somebody tells them to.
# 4. They depend on the palette, split one thing into many colours, lose details, and cannot tell
#    skin from cloth of the same grey.
# 5. PSNR prefers grey to a vivid guess that is off by more than 60 degrees. So does CIEDE2000, at
#    about the same angle.
#
# **sRGB**: the numbers in a file; a curve of light. **Luminance, lightness**: Y of XYZ, and its
# cube root L\*. **Chroma, hue**: length and angle of (a\*, b\*). **Gamut**: what a screen can show.
# **Conditional entropy**: bits that are left when L is known. **Plug-in estimate**: counts in place
# of probabilities; too low. **Reach**: how near a palette can come at best.
#
# **Papers**: Reinhard, Ashikhmin, Gooch and Shirley 2001, *Color transfer between images*. Welsh,
# Ashikhmin and Mueller 2002, *Transferring color to greyscale images*. Hasler and Suesstrunk 2003,
# *Measuring colorfulness in natural images*. Levin, Lischinski and Weiss 2004, *Colorization using
# optimization*. Wang, Bovik, Sheikh and Simoncelli 2004, *Image quality assessment*. Sharma, Wu and
# Dalal 2005, *The CIEDE2000 color-difference formula*. Zhang, Isola and Efros 2016, *Colorful image
# colorization*. Miller 1955, *Note on the bias of information estimates*.
#
# **Next**: [The U-Net autoencoder baseline](02_unet_baseline.ipynb) learns ab from L, and is right
# where L tells and dull where it does not.
