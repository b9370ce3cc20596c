# %% [markdown] tags=["title"]
# # 2. The U-Net autoencoder baseline
#
# {{badges}}
#
# At the end you will have two networks that colour landscapes they have never seen, and know,
# with numbers, where they are right and why they paint some things dull.

# %% [markdown]
# **You will learn**
#
# - what an encoder, a bottleneck, a decoder and a skip connection are, by building them;
# - which number an L1 and an L2 loss ask for: the median and the mean;
# - to check a trained network against the exact best answer;
# - where a regression colours right, where it must be dull, and three more of its limits;
# - to read a loss curve against the two lines that matter, and to spot a wrong scale.
#
# **You need** [Colour, and why colorization is ambiguous](01_colour.ipynb) (L, a and b, and their
# scaling), and a little PyTorch: modules, optimizers, a training loop.
#
# **Time**: quick mode about 90 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import math

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import interpolate, mse_loss

from colorlib import RECIPES, Batches, Trainer, UNet, evaluate, open_source, scenes
from colorlib.blocks import initialise
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course import (
    Panel,
    assert_same_module,
    choice,
    quote,
    rerun,
    show_source,
    toggle,
    train_run,
)
from colorlib.course.exercises import notebook_02 as exercises
from colorlib.course.experiments.baseline import object_error
from colorlib.devices import make_rng
from colorlib.figures import PALETTE, grey_image, image_grid, show
from colorlib.losses import l1_loss
from colorlib.scenes import ROOF_AB, ROOF_PROBABILITIES

# %% [markdown]
# ## One grey value, two colours
#
# A network that colours has to name one colour for each pixel. Shrink that until it fits in your
# head: there is one grey value. Behind it stands one of two things, and they differ in their
# colour $a$. The network is a single number $x$. Which $x$ is best depends on the **loss**, the
# price of an error:
#
# $$R_2(x) = \sum_k p_k\,(x - a_k)^2 \qquad\qquad R_1(x) = \sum_k p_k\,|x - a_k|$$
#
# where colour $a_k$ has the probability $p_k$. Let gradient descent find it.


# %%
def expected_loss(x, colours, probabilities, power):
    """The mean price of answering x: power 1 is L1, power 2 is L2."""
    return (probabilities * (x - colours).abs() ** power).sum(-1)


def descend(colours, probabilities, power, start):
    """Where gradient descent on one number ends."""
    x = torch.tensor(start, requires_grad=True)
    for step in range(300):
        loss = expected_loss(x, colours, probabilities, power)
        (slope,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x -= 0.1 * 0.98**step * slope  # smaller and smaller steps, or L1 jumps back and forth
    return x.item()


colours = torch.tensor([-0.25, 0.35])  # of network units: a* / 110, as in notebook 1
odds = {"equally likely": torch.tensor([0.5, 0.5]), "0.7 to 0.3": torch.tensor([0.7, 0.3])}
starts = (-0.6, -0.1, 0.2, 0.6)
ends = {
    (name, power): [descend(colours, p, power, start) for start in starts]
    for name, p in odds.items()
    for power in (1, 2)
}
for (name, power), found in ends.items():
    print(f"{name:15} L{power}: " + "  ".join(f"{x:6.3f}" for x in found))

# %% [markdown]
# Each row lists where the descent ended, from four starts. L2 always ends at one number. L1 does
# too when one colour is likelier. When both are equally likely it comes to rest as soon as it is
# between the two. Let us see why, and hold it against the closed form.


# %%
def draw_losses(ax, name, p):
    grid = torch.linspace(-0.7, 0.7, 281)
    for power, colour in ((1, PALETTE[0]), (2, PALETTE[1])):
        curve = expected_loss(grid[:, None], colours, p, power)
        ax.plot(grid, curve, color=colour, label=f"L{power}")
        x = torch.tensor(ends[name, power])
        dots = expected_loss(x[:, None], colours, p, power)
        ax.plot(x, dots, "o", color=colour, markersize=8)
    for colour, share in zip(colours, p, strict=True):
        ax.axvline(colour, color="0.7", linewidth=1)
        ax.text(colour + 0.02, 0.8, f"{share:.0%}", color="0.3")
    ax.set(xlabel="the answer x", title=name, ylim=(0, 0.9))
    ax.spines[["top", "right"]].set_visible(False)


fig = Figure(figsize=(8, 3.2), layout="constrained")
axes = fig.subplots(1, 2, sharey=True)
for ax, (name, p) in zip(axes, odds.items(), strict=True):
    draw_losses(ax, name, p)
axes[0].set_ylabel("expected loss")
axes[0].legend(frameon=False, loc="lower left")
show(
    fig,
    alt="Expected loss over the answer. Left, equal odds: L1 is flat between the two colours, and "
    "descents rest anywhere on the flat; L2 is a bowl with all dots at its bottom, between the "
    "colours. Right, 0.7 to 0.3: L1 has its lowest point at the likelier colour, L2 between.",
)
for name, p in odds.items():
    mean = (p * colours).sum()
    assert max(abs(x - mean) for x in ends[name, 2]) < 1e-3, "expected L2 to end at the mean"
flat = expected_loss(torch.linspace(-0.25, 0.35, 13)[:, None], colours, odds["equally likely"], 1)
for start, end in zip(starts[1:3], ends["equally likely", 1][1:3], strict=True):
    assert abs(start - end) < 1e-6, "expected no slope between two equal odds"

# %% tags=["check"]
assert max(abs(x - colours[0]) for x in ends["0.7 to 0.3", 1]) < 0.02, "expected the likelier"
assert flat.max() - flat.min() < 1e-6, "expected every x between two equal odds to cost the same"

# %% [markdown]
# ### Mean and median
#
# Set the slopes to zero. For L2, $R_2'(x) = 2\,(x - \mathbb{E}\,a)$: the best answer is the
# **mean**. For L1, $R_1'(x) = P(a < x) - P(a > x)$: the best answer has as much probability below
# as above it, which is the **median**. With equal odds of two colours every number between them
# is a median.
#
# Nothing changes when $x$ is an image. The loss is a sum over pixels, so a network that is rich
# enough answers pixel by pixel, given all it sees of L:
#
# $$\text{L2:}\quad \mathbb{E}[\,ab \mid L\,] \qquad\qquad
# \text{L1:}\quad \text{the medians of } a \text{ and of } b \text{ given } L$$
#
# Neither has to be a colour that occurs. Here are the answers for two things that you will meet
# below: roofs (two colours, 0.7 to 0.3) and balloons (any hue, one chroma).

# %% tags=["nbval-check-output"]
roofs, shares = torch.tensor(ROOF_AB), torch.tensor(ROOF_PROBABILITIES)
roof_mean, roof_median = shares @ roofs, roofs[0]
distance = (roof_mean - roofs).norm(dim=1).min().item()
print(f"a roof is ({roofs[0, 0]:.2f}, {roofs[0, 1]:.2f}) with probability {shares[0]:.1f},")
print(f"      or ({roofs[1, 0]:.2f}, {roofs[1, 1]:.2f}) with probability {shares[1]:.1f}")
print(f"best L1 answer: ({roof_median[0]:.2f}, {roof_median[1]:.2f}), the likelier of the two")
print(f"best L2 answer: ({roof_mean[0]:.3f}, {roof_mean[1]:.3f}), {distance:.2f} from any roof")

r = scenes.BALLOON_CHROMA  # a = r cos(hue): values near zero and of both signs, mean 0, median 0
print(f"balloon, grey answer:         L1 {2 * r / math.pi:.4f}, L2 {r**2 / 2:.4f}")
print(f"balloon, a guess at its hue:  L1 {8 * r / math.pi**2:.4f}, L2 {r**2:.4f}")

# %% [markdown]
# Read the last two lines twice. Say nothing about a balloon's hue (grey), and you pay less than
# if you paint it as colourful as balloons are, in a hue of your choice. Under L2 half as much. A
# regression is not too weak to paint a balloon: it is paid for painting it grey. Your dice will
# confirm the four numbers.

# %%
rng = make_rng(config.seed, "dice")
true_a, guess = (r * torch.cos(2 * math.pi * torch.rand(200_000, generator=rng)) for _ in "ab")
thrown = {
    "grey, L1": (true_a.abs().mean(), 2 * r / math.pi),
    "grey, L2": (true_a.square().mean(), r**2 / 2),
    "guess, L1": ((guess - true_a).abs().mean(), 8 * r / math.pi**2),
    "guess, L2": ((guess - true_a).square().mean(), r**2),
}
for name, (got, closed) in thrown.items():
    print(f"{name:10} {got:.4f} thrown, {closed:.4f} in closed form")
    assert abs(got - closed) < 2e-3, f"expected {name} near its closed form"

# %% [markdown]
# ## A world whose best answer is known
#
# On photographs nobody knows the mean colour given L. So this course has a small world,
# `colorlib.scenes`: landscapes drawn by code. Sky, grass, sea and trees have the colour of what
# they are, and their lightness, texture and place tell what they are. Balloons and roofs draw
# their colour by lot, and L does not tell it.
#
# Because the lots are known, so are the exact answers, at every pixel: `scenes.posterior_mean`
# and `scenes.posterior_median` (*posterior*: after having seen L).

# %%
SIZE = 32
held_out = scenes.draw(range(128), SIZE, split="val")  # no network here ever trains on these
median, mean = scenes.posterior_median(held_out), scenes.posterior_mean(held_out)


def paint(L, ab):
    """L and ab in network units as a picture that a screen can show."""
    return to_uint8(join_lab(L, ab, gamut="chroma"))


town = (held_out.scene_class == scenes.CLASSES.index("town")).nonzero()[:2, 0].tolist()
other = [(held_out.scene_class == k).nonzero()[0, 0].item() for k in range(3)]
chosen = [*town, *other]  # two towns, a meadow, a sea, a forest
L = held_out.L[chosen]
columns = {
    "what the network sees": grey_image(L),
    "truth": held_out.rgb[chosen],
    "best L1 answer (median)": paint(L, median[chosen]),
    "best L2 answer (mean)": paint(L, mean[chosen]),
}
show(
    image_grid(columns, cell=1.3),
    alt="Five landscapes in four columns: grey, true, exact median, exact mean. In the last two "
    "columns all balloons are grey. Roofs are red in the median and dull red in the mean.",
)

# %% [markdown]
# Where L tells the colour, all three coloured columns agree. Balloons are grey in both answers,
# by symmetry: a hue and its opposite are equally likely. Roofs differ: red, the likelier colour,
# in the median; a dull brownish red that no roof has, in the mean.
#
# Do not take `posterior_mean` on trust. Redraw the lots of one town 1,000 times, keep its L, and
# average.

# %%
one = scenes.draw([town[0]], SIZE, split="val")
many = scenes.draw([town[0]] * 1000, SIZE, split="val")
many = scenes.repaint(many, scenes.draw_colours(1000, make_rng(config.seed, "lots")))
same_L = 50 * (many.L - one.L).abs().mean().item()
to_mean = (many.true_ab.mean(0) - scenes.posterior_mean(one)[0]).abs().mean().item()
to_median = (many.true_ab.median(0).values - scenes.posterior_median(one)[0]).abs().mean().item()
print(f"L* changes by {same_L:.2f} on average (8-bit rounding)")
print(f"mean of 1,000 draws: {to_mean:.4f} from posterior_mean on average")
print(f"median of 1,000 draws: {to_median:.4f} from posterior_median on average")

# %% tags=["check"]
assert same_L < 0.3, "expected the lots to leave L alone"
assert to_mean < 0.01 and to_median < 0.01, "expected the draws to agree with the exact answers"

# %% [markdown]
# ## Encoder, bottleneck, decoder
#
# Now a network. It has to know *what* a pixel belongs to, so it must look at more than the pixel.
# An **encoder** halves the image again and again, with more channels each time: fewer places,
# more said about each. The smallest map is the **bottleneck**. A **decoder** doubles it back.
# Encoder and decoder together are called an **autoencoder** when the target is the input itself
# (Hinton and Salakhutdinov 2006); ours also has to add what is not in the input.
#
# The blocks are pix2pix's (Isola et al. 2017, appendix): a convolution of 4 by 4 pixels with
# stride 2 halves, a transposed one doubles.


# %%
def halve(in_channels, out_channels, norm=True):
    """Half the height and width."""
    layers = [nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(out_channels)] if norm else []
    return nn.Sequential(*layers, nn.LeakyReLU(0.2))


def double(in_channels, out_channels):
    """Twice the height and width."""
    layer = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU())


def finish(in_channels, out_channels):
    """The last doubling: no norm, and tanh, because L and ab are scaled to -1..1."""
    layer = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
    return nn.Sequential(layer, nn.Tanh())


# %%
class Autoencoder(nn.Module):
    """Three halvings to the bottleneck, three doublings back."""

    def __init__(self, out_channels, width=16, bottleneck=64):
        super().__init__()
        self.down = nn.ModuleList(
            [
                halve(1, width, norm=False),
                halve(width, 2 * width),
                halve(2 * width, bottleneck, False),
            ]
        )
        self.up = nn.ModuleList(
            [double(bottleneck, 2 * width), double(2 * width, width), finish(width, out_channels)]
        )
        initialise(self, make_rng(config.seed, "autoencoder"))  # the paper's: N(0, 0.02)

    def forward(self, x):
        for block in [*self.down, *self.up]:
            x = block(x)
        return x


# %% [markdown]
# How much fits through? At 32 px the bottleneck is 4 by 4 places. Count, for each width of the
# bottleneck, the numbers that reach the decoder, of the 1,024 that went in.

# %% tags=["nbval-check-output"]
WIDTHS = (1, 4, 16, 64)
for bottleneck in WIDTHS:
    network = Autoencoder(3, width=8, bottleneck=bottleneck)
    x = held_out.L[:1]
    for block in network.down:
        x = block(x)
    parameters = sum(p.numel() for p in network.parameters())
    shape = " x ".join(str(n) for n in x.shape[1:])
    print(f"bottleneck {shape:10} = {x.numel():5,} numbers; {parameters:6,} parameters")
    assert x.numel() == 16 * bottleneck, "expected 4 by 4 places"

# %% [markdown]
# ### A training loop
#
# Fresh scenes every step: 400 batches of 16, all different, the same ones for every network
# below, so that networks differ by what we change and nothing else. The loop is the usual one.
# Its learning rate falls to zero over the second half, so that the last steps do not wobble.


# %%
def train(network, loss_function, batches, lr=3e-3):
    """One step a batch; returns the loss of every step."""
    n = len(batches)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999))
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1, 2 - 2 * k / n))
    losses = []
    network.train()
    for L, target in batches:
        loss = loss_function(network(L), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        losses.append(loss.item())
    network.eval()
    return losses


@torch.no_grad()
def predict(network, L=held_out.L):
    return network(L)


drawer = Batches(open_source("scenes", SIZE), 16, size=SIZE, seed=config.seed)
batches = [split_lab(to_float(drawer.batch(k))) for k in range(400)]
print(
    f"{len(batches)} batches of L {tuple(batches[0][0].shape)} and ab {tuple(batches[0][1].shape)}"
)

# %% [markdown]
# First let the autoencoder paint the *whole* picture from L: L itself (it only has to pass
# through) and ab (to be guessed). The **reconstruction loss** is L1, the mean absolute error. The
# bottleneck is 4 channels wide: 64 numbers for a picture of 1,024 pixels.

# %%
whole = [(L, torch.cat([L, ab], dim=1)) for L, ab in batches[:300]]
exact = torch.cat([held_out.L, median], dim=1)  # what L1 asks for: L as it is, and median colour
near_edge = held_out.regions == 0  # within a pixel of any edge


def errors_near_and_far(output):
    """Mean absolute errors of L near edges and inside, and the same of ab."""
    error = (output - exact).abs()
    parts = error[:, 0], error[:, 1:].mean(1)
    return [part[mask].mean().item() for part in parts for mask in (near_edge, ~near_edge)]


networks = {(4, False): Autoencoder(3, width=8, bottleneck=4)}
train(networks[4, False], l1_loss, whole, lr=5e-3)
plain = errors_near_and_far(predict(networks[4, False]))
print("L:  {:.3f} near edges, {:.3f} inside\nab: {:.3f} near edges, {:.3f} inside".format(*plain))

# %% tags=["check"]
assert plain[0] > 2 * plain[1], "expected a bottleneck to cost detail: more error near edges"

# %% [markdown]
# The error of L near edges is more than twice the one inside. The bottleneck passes the plan of
# the picture and drops its detail. That is what bottlenecks are for, and here it is a nuisance.
#
# ## Skips
#
# The detail is not lost, it is still there in the encoder, where the map has the size that the
# decoder is about to produce. So hand it over: **concatenate** the encoder's map to the decoder's,
# at every size but the bottleneck's. Drawn as a U, these **skip connections** are the bars across
# (Ronneberger et al. 2015): a **U-Net**. Two things change: the decoder's later blocks take twice
# the channels, and `forward` remembers.


# %%
class UNetByHand(nn.Module):
    """The autoencoder with every encoder map handed to the decoder's block of that size."""

    def __init__(self, out_channels, width=16, bottleneck=64):
        super().__init__()
        self.down = nn.ModuleList(
            [
                halve(1, width, norm=False),
                halve(width, 2 * width),
                halve(2 * width, bottleneck, False),
            ]
        )
        self.up = nn.ModuleList(
            [
                double(bottleneck, 2 * width),
                double(4 * width, width),
                finish(2 * width, out_channels),
            ]
        )
        initialise(self, make_rng(config.seed, "autoencoder"))

    def forward(self, x):
        maps = []
        for block in self.down:
            x = block(x)
            maps.append(x)
        x = self.up[0](maps.pop())  # the bottleneck
        for block in self.up[1:]:
            x = block(torch.cat([x, maps.pop()], dim=1))
        return x


# %%
networks[4, True] = UNetByHand(3, width=8, bottleneck=4)
train(networks[4, True], l1_loss, whole, lr=5e-3)
skipped = errors_near_and_far(predict(networks[4, True]))
table = pd.DataFrame(
    [plain, skipped],
    index=["no skips", "skips"],
    columns=["L near edges", "L inside", "ab near edges", "ab inside"],
)
gain = 1 - table.loc["skips"] / table.loc["no skips"]
print(f"of the error of L near edges, skips remove {gain['L near edges']:.0%}")
print(f"of the error of ab near edges, skips remove {gain['ab near edges']:.0%}")
table.round(3)

# %% tags=["check"]
assert gain["L near edges"] > 0.2, "expected skips to bring back the detail of L"
assert 0 < gain["ab near edges"] < gain["L near edges"], "expected less gain in colour than in L"

# %%
four = chosen[:4]
columns = {
    "input": grey_image(held_out.L[four]),
    "no skips": paint(*predict(networks[4, False])[four].split([1, 2], dim=1)),
    "skips": paint(*predict(networks[4, True])[four].split([1, 2], dim=1)),
    "truth": held_out.rgb[four],
}
show(
    image_grid(columns, cell=1.3),
    alt="Four landscapes painted whole, L and ab, from L. Without skips everything is blurred, "
    "balloons are smears. With skips outlines and doors are there again, in much the same colours.",
)

# %% [markdown]
# What skips bring is *place*: L becomes much sharper, while colour, which is a matter of *what*,
# gains less. There is a lesson in that for colorization. L need not be predicted at all: you have
# it, at full sharpness, in the photograph. From here on the network paints ab alone and the
# detail comes from the photograph. That is why the course works in Lab.
#
# ### The same network in the library
#
# `colorlib.UNet` builds these blocks for any depth. At depth 3 it is your network. Both get the
# same random parameters; outputs and all gradients have to agree.

# %%
assert_same_module(UNetByHand(2), UNet(depth=3, width=16, dropout=0.0), held_out.L[:4])
show_source(UNet)

# %% [markdown]
# Yours and the library's are the same function, so from here on it is the library's. Beyond the
# notebook's version it pads sizes that do not divide by $2^{\text{depth}}$, stops doubling the
# channels at eight times the first, and can drop out. Notebook 5 takes it apart block by
# block.
#
# ## L1 and L2, against the exact answers
#
# Two networks with the same first weights, the same batches, the same number of steps. One
# minimises the mean absolute error, one the mean squared error. If the theory is more than
# hearsay, the first must come out near the median, the second near the mean.

# %%
recipe = RECIPES["l1"].replace(
    size=SIZE, batch_size=16, steps=400, depth=3, width=16, dropout=0.0, lr_g=3e-3, lambda_l1=1.0,
    precision="fp32",
)  # fmt: skip


def fresh_unet():
    rng = make_rng(config.seed, "generator")
    return UNet(depth=recipe.depth, width=recipe.width, dropout=recipe.dropout, rng=rng)


l1_network, l2_network, untrained = fresh_unet(), fresh_unet(), fresh_unet().eval()
l1_losses = train(l1_network, l1_loss, batches, lr=recipe.lr_g)
l2_losses = train(l2_network, mse_loss, batches, lr=recipe.lr_g)
predictions = {
    "L1": predict(l1_network),
    "L2": predict(l2_network),
    "grey": torch.zeros_like(median),
    "untrained": predict(untrained),
}

# %% [markdown]
# The measure is the distance in the ab plane between the prediction and the exact answer, for
# each balloon and each roof of the held-out scenes (edges excluded), averaged over objects.

# %%
show_source(object_error)

# %%
background = held_out.masks["background"]  # sky, ground, sea and trees: L tells their colour


def errors(ab):
    """Distances to both exact answers, on what L does not tell and on what it does."""
    return {
        "balloons to median": object_error(ab, median, held_out.balloon_id),
        "balloons to mean": object_error(ab, mean, held_out.balloon_id),
        "roofs to median": object_error(ab, median, held_out.roof_id),
        "roofs to mean": object_error(ab, mean, held_out.roof_id),
        "background": (ab - median).norm(dim=1)[background].mean().item(),
    }


def is_near(ab, answer):
    """Whether a prediction is near the `answer` ("median" or "mean"), and nearer than the other."""
    found = errors(ab)
    rival = {"median": "mean", "mean": "median"}[answer]
    near = max(found[f"balloons to {answer}"], found[f"roofs to {answer}"]) <= 0.08
    nearer = found[f"roofs to {answer}"] < found[f"roofs to {rival}"]
    return near and nearer and found["background"] <= 0.05


table = pd.DataFrame({name: errors(ab) for name, ab in predictions.items()}).T
for name in ("grey", "untrained"):
    for answer in ("median", "mean"):
        assert not is_near(predictions[name], answer), f"expected {name} to fail the check"
table.round(3)

# %% tags=["check"]
assert is_near(predictions["L1"], "median"), "expected L1 near the exact median"
assert is_near(predictions["L2"], "mean"), "expected L2 near the exact mean"
assert not is_near(predictions["L1"], "mean"), "expected L1 not to pass as L2"
assert not is_near(predictions["L2"], "median"), "expected L2 not to pass as L1"

# %% [markdown]
# On roofs the L1 network is near the median and far from the mean, and the L2 network the other
# way round: the theory holds for a small network after 400 steps. The rows `grey` and `untrained`
# (which paints next to nothing) are there to keep us honest. On **balloons** they look excellent:
# the right answer *is* grey, so a network that paints nothing is right there. They fail on roofs
# and on the background. A check that only looked at balloons would prove nothing.

# %% tags=["result"]
L = held_out.L[four]
columns = {"input": grey_image(L)}
columns |= {f"{name} network": paint(L, predictions[name][four]) for name in ("L1", "L2")}
columns |= {"exact median": paint(L, median[four]), "exact mean": paint(L, mean[four])}
columns["truth"] = held_out.rgb[four]
show(
    image_grid(columns, cell=1.3),
    alt="Four held-out landscapes: input, L1 network, L2 network, exact median, exact mean, truth. "
    "The networks' columns look like the exact ones: sky, grass and sea right, balloons grey, "
    "roofs red with L1 and dull red with L2. In the truth balloons are colourful.",
)

# %% [markdown]
# ### Reading the loss curve
#
# A loss that falls says little. Two lines make it readable: the loss of **grey**, which paints
# nothing, and the **floor**, the loss of the exact answer. Below the floor nothing that sees only
# L can go, however large it is: what is left is the lots of balloons and roofs.

# %%
truth = held_out.true_ab
levels = {
    "L1": (l1_losses, l1_loss(median, truth).item(), truth.abs().mean().item()),
    "L2": (l2_losses, mse_loss(mean, truth).item(), truth.square().mean().item()),
}
fig = Figure(figsize=(8, 3.2), layout="constrained")
for ax, (name, (losses, floor, grey)) in zip(fig.subplots(1, 2), levels.items(), strict=True):
    smooth = pd.Series(losses).rolling(20, min_periods=1, center=True).mean()
    ax.plot(losses, color=PALETTE[0], alpha=0.25, linewidth=0.8)
    ax.plot(smooth, color=PALETTE[0], label="training loss")
    ax.axhline(grey, color="0.5", linestyle="--", label="grey")
    ax.axhline(floor, color=PALETTE[1], linestyle=":", label="floor: the exact answer")
    ax.set(title=name, xlabel="step", ylim=(0, 1.3 * grey))
    ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
show(
    fig,
    alt="Training loss over 400 steps, L1 left and L2 right. Both fall far below the loss of grey "
    "within fifty steps and then creep towards a dotted line, the floor.",
)
found = {"L1": l1_loss(predictions["L1"], truth), "L2": mse_loss(predictions["L2"], truth)}
for name, (_, floor, grey) in levels.items():
    left = (found[name].item() - floor) / (grey - floor)
    print(
        f"held-out {name}: {found[name]:.4f}; floor {floor:.4f}, grey {grey:.4f}; {left:.0%} left"
    )
    assert 0 < left < 0.2, f"expected {name} between floor and grey, nearer the floor"

# %% [markdown]
# ## Where it is right, and where it must be dull
#
# Now against the *truth*, material by material, beside grey and beside the exact median, which is
# the best that L1 allows.

# %%
codes = {
    "sky": scenes.SKY.code,
    "hills": scenes.HILLS.code,
    "grass": scenes.GRASS.code,
    "sand": scenes.SAND.code,
    "sea": scenes.SEA.code,
    "trees": scenes.TREES.code,
}
masks = {name: held_out.regions == code for name, code in codes.items()}
masks |= {name: held_out.masks[name] for name in ("roofs", "balloons")}
answers = {"grey": predictions["grey"], "L1 network": predictions["L1"], "exact median": median}
to_truth = pd.DataFrame(
    {
        name: {part: (ab - truth).norm(dim=1)[mask].mean().item() for part, mask in masks.items()}
        for name, ab in answers.items()
    }
)
for part in codes:
    network, grey = to_truth.loc[part, "L1 network"], to_truth.loc[part, "grey"]
    print(f"{part}: the network is {network:.3f} from the truth, grey {grey:.3f}")
    assert network < (0.09 if part == "hills" else 0.04), f"expected {part} to be right"
    assert network < grey / 2, f"expected {part} to be nearer than grey"
roof, balloon = to_truth.loc["roofs"], to_truth.loc["balloons"]
print(
    f"balloons: {balloon['L1 network']:.3f} from the truth, the best answer {balloon.iloc[2]:.3f}"
)

# %% tags=["check"]
assert roof["L1 network"] < 1.5 * roof["exact median"] < roof["grey"], "expected roofs half known"
assert 0.95 < balloon["L1 network"] / r < 1.1, "expected balloons as far off as grey is: r"

# %%
fig = Figure(figsize=(8, 3.2), layout="constrained")
ax = fig.subplots()
for i, (name, column) in enumerate(to_truth.items()):
    places = torch.arange(len(column)) + 0.27 * (i - 1)
    ax.bar(places, column, width=0.25, color=("0.7", PALETTE[0], PALETTE[1])[i], label=name)
ax.set_xticks(range(len(to_truth)), to_truth.index)
ax.set(ylabel="distance to the true ab", ylim=(0, 0.48))
ax.legend(frameon=False, ncols=3, loc="upper left")
ax.spines[["top", "right"]].set_visible(False)
show(
    fig,
    alt="Bars of the distance to the true colour for sky, hills, grass, sand, sea, trees, roofs "
    "and balloons. The network's bars are near zero on the first six. On roofs and balloons they "
    "are high, and as high as those of the exact median. Grey is worst except on balloons.",
)

# %% [markdown]
# On sky, grass, sand, sea and trees the network is right, on the hills, a narrow strip, nearly.
# On roofs and balloons it is about as wrong as the exact median. So the fault is not the
# network's: it has learnt what there is to learn.
#
# **Dull** can be measured too. The *chroma ratio* is the chroma that was painted over the chroma
# that is there, summed over all balloons (or roofs): 1 is as colourful as the truth.

# %%
ratios = {
    name: scenes.score(predictions[name], held_out)["balloon_chroma_ratio"] for name in ("L1", "L2")
}
for name, ratio in ratios.items():
    print(f"{name}: balloons have {ratio:.0%} of their true chroma")
    assert 0.0 < ratio < 0.33, f"expected {name} to paint dull balloons"
on = held_out.masks["roofs"]
for name in ("L1", "L2"):
    ratios[name] = (predictions[name].norm(dim=1)[on].sum() / truth.norm(dim=1)[on].sum()).item()
    print(f"{name}: roofs have {ratios[name]:.0%} of their true chroma")

# %% tags=["check"]
assert ratios["L2"] < 0.8 < ratios["L1"], "expected the mean to be dull, the likelier colour not"

# %% [markdown]
# ### Would a larger network help? Or more training?
#
# A fair question. The answer takes more than this notebook's time, so it was measured beforehand:
# three widths, three lengths of training, three seeds. The first cell shows the record, the
# second measures one of its rows again, on your machine.

# %%
rows = quote("baseline")
summary = rows.groupby(["loss", "width", "steps"])[
    ["balloon_chroma_ratio", "roofs_to_median", "roofs_to_mean", "background"]
].mean()
summary.round(3)

# %%
chroma = rows.pivot_table("balloon_chroma_ratio", ["loss", "width", "steps"], "seed")
for loss in ("l1", "l2"):
    short, long = chroma.loc[loss, 16, 100], chroma.loc[loss, 16, 1600]
    assert (long < 0.6 * short).all(), "expected 16 times the steps to make balloons duller"
    roofs_to = {"l1": "roofs_to_median", "l2": "roofs_to_mean"}[loss]
    better = summary.loc[loss, 16, 1600] < summary.loc[loss, 16, 100]
    assert better[roofs_to] and better["background"], "expected the rest to come nearer"
trained = chroma.xs(400, level="steps")
wide, narrow = (trained.xs(width, level="width") for width in (32, 8))
again = rerun("baseline", {"loss": "l1", "width": 16, "steps": 100}, column="balloon_chroma_ratio")
print(f"here, 100 steps of L1: balloons have {again['balloon_chroma_ratio']:.0%} of their chroma")

# %% tags=["check"]
assert (wide.loc["l1"] < narrow.loc["l1"]).all(), "expected 4 times the width to dull L1's balloons"
assert (wide.loc["l2"] - narrow.loc["l2"]).abs().max() < 0.02, "expected L2's to be dull already"

# %% [markdown]
# Training longer makes balloons *duller*, with both losses and on every seed, while roofs and
# background come nearer to the exact answers. A wider network makes them duller with L1, and
# changes nothing with L2. The little colour that is left on balloons is error, and both wash it
# out: a regression that works is grey there.
#
# ## The same with the library's Trainer
#
# Your loop has no checkpoints, history or validation. `colorlib.Trainer` has, and takes the same
# step: same first weights, same batches, same losses, but for rounding, which grows with the steps.

# %%
trainer = Trainer(recipe, open_source("scenes", SIZE), seed=config.seed, device="cpu")
for record in trainer.run(steps=10):
    pass  # each record holds the losses of one step: stop when you have seen enough
both = pd.DataFrame({"your loop": l1_losses[:10], "Trainer": trainer.history["l1"]})
apart = (both["your loop"] - both["Trainer"]).abs()
print(f"first loss: {apart[0]:.0e} apart; first ten: at most {apart.max():.0e} of about 0.1")

# %% tags=["check"]
assert apart[0] < 1e-5, "expected the same first weights and the same batch"
assert apart.max() < 5e-3, "expected the Trainer to take the same steps"
assert both["Trainer"].iloc[-1] < 0.8 * both["Trainer"].iloc[0], "expected the loss to fall"

# %% [markdown]
# ### Break it once
#
# A common mistake with this network: the target is left in Lab units, where a and b reach
# 110, while tanh ends at 1. Nothing crashes. Train like that and read the symptom.

# %%
broken = fresh_unet()
broken_losses = train(broken, lambda ab, true: l1_loss(ab, 110 * true), batches[:100])
grey_loss = truth.abs().mean().item()
relative = {
    "target in network units": [loss / grey_loss for loss in l1_losses[:100]],
    "target in Lab units": [loss / (110 * grey_loss) for loss in broken_losses],
}
end = {name: sum(losses[-20:]) / 20 for name, losses in relative.items()}
saturated = (predict(broken).abs() > 0.95).float().mean().item()
healthy = (predictions["L1"].abs() > 0.95).float().mean().item()
for name, value in end.items():
    print(f"{name}: loss after 100 steps {value:.0%} of grey's")
print(f"outputs beyond 0.95: {saturated:.0%}, in the healthy network {healthy:.0%}")

# %% tags=["check"]
assert end["target in Lab units"] > 0.85, "expected the wrong scale to learn next to nothing"
assert end["target in network units"] < 0.5, "expected the right scale to fall below a half"
assert saturated > 0.6 and healthy < 0.01, "expected tanh to be driven to its ends"

# %%
fig = Figure(figsize=(8, 3), layout="constrained")
left, right = fig.subplots(1, 2, width_ratios=[3, 2])
for (name, losses), colour in zip(relative.items(), PALETTE, strict=False):
    left.plot(losses, color=colour, label=name)
left.axhline(1, color="0.5", linestyle="--", label="grey")
left.set(xlabel="step", ylabel="loss / loss of grey", ylim=(0, 1.3))
left.legend(frameon=False, loc="lower left")
left.spines[["top", "right"]].set_visible(False)
pictures = paint(held_out.L[chosen[:2]], predict(broken)[chosen[:2]])
right.imshow(torch.cat(list(pictures), dim=2).permute(1, 2, 0), interpolation="nearest")
right.set_title("what it paints", fontsize=10)
right.set_axis_off()
show(
    fig,
    alt="Left: the loss relative to grey's. The healthy one falls below a half; the broken one "
    "stays just below 1. Right: two scenes painted by the broken network in a few glaring colours.",
)

# %% [markdown]
# The symptom: a loss that stays near grey's while the healthy one falls below half of it, and
# glaring pictures of few colours. The diagnosis: the outputs sit at the ends of tanh, where they
# can go no further. The cure is `split_lab`, which scales. Always print the range of target and
# output once.
#
# ## Four limits
#
# ### 1. Dull colours
#
# Shown above: balloons keep less than a third of their chroma. Here are scenes with large ones,
# with the share of chroma that each network paints.

# %%
close = [k for k in range(40) if (held_out.balloon_id[k] > 0).sum() > 90][:4]
chroma = {name: predictions[name].norm(dim=1) for name in ("L1", "L2")}
true_chroma = truth.norm(dim=1)
labels = []
for k in close:
    on = held_out.balloon_id[k] > 0
    shares = [(chroma[name][k][on].sum() / true_chroma[k][on].sum()).item() for name in chroma]
    labels.append("L1 {:.0%}, L2 {:.0%}".format(*shares))
    assert max(shares) < 0.7, "expected each of these balloons to be dull"
L = held_out.L[close]
columns = {name: paint(L, predictions[name][close]) for name in ("L1", "L2")}
show(
    image_grid(columns | {"truth": held_out.rgb[close]}, rows=labels, cell=1.0),
    alt="Four scenes with large balloons: L1, L2 and truth, labelled with the share of chroma that "
    "the networks paint. The networks' balloons are nearly grey, the true ones colourful.",
)

# %% [markdown]
# ### 2. Detail
#
# The detail of L comes from the photograph. The detail of *colour* does not. Doors, trunks and
# baskets are a few pixels wide; and along every edge colours run into one another.

# %%
error = (predictions["L1"] - median).norm(dim=1)
small = held_out.codes == scenes.WOOD.code  # doors, trunks, baskets: all brown, known from L
places = {
    "sky, ground, sea, trees": background,
    "near their edges": near_edge & (held_out.codes < scenes.WOOD.code),
    "doors, trunks, baskets": small,
}
found = {name: error[mask].mean().item() for name, mask in places.items()}
for name, value in found.items():
    print(f"{name:25} {value:.3f} from the exact answer")
inside, near_edges, tiny = found.values()
scale = error[four][:, None] / 0.25
columns = {
    "L1 network": paint(held_out.L[four], predictions["L1"][four]),
    "exact median": paint(held_out.L[four], median[four]),
    "distance (white: 0.25)": scale.clamp(max=1).expand(-1, 3, -1, -1),
}
show(
    image_grid(columns, cell=1.3),
    alt="Four scenes by the network, the exact median, and a map of their distance. The maps are "
    "black inside large regions and bright on outlines, doors, trunks and baskets.",
)

# %% tags=["check"]
assert near_edges > 2 * inside, "expected colours to run into one another along edges"
assert tiny > 4 * inside, "expected the smallest things to get the wrong colour"

# %% [markdown]
# ### 3. Low resolution
#
# The network knows scenes at 32 px. Your photograph is larger; take scenes of 96 px. Two ways out:
# run the network at 32 px and enlarge its colours, or run it on the large picture at once, which
# a network of convolutions allows.

# %%
few = range(48)
large, little = (scenes.draw(few, size, split="val") for size in (96, SIZE))
exact_large = scenes.posterior_median(large)
at_32 = predict(l1_network, little.L)
painted = {
    "colours enlarged from 32 px": interpolate(at_32, size=96, mode="bilinear"),
    "network run at 96 px": predict(l1_network, large.L),
}
by_size = {}
for name, ab in painted.items():
    distance = (ab - exact_large).norm(dim=1)
    edge = large.regions == 0
    by_size[name] = [distance[mask].mean().item() for mask in (edge, ~edge)]
distance = (at_32 - scenes.posterior_median(little)).norm(dim=1)
by_size["32 px, for comparison"] = [
    distance[mask].mean().item() for mask in (little.regions == 0, little.regions > 0)
]
for name, (near, inside) in by_size.items():
    print(f"{name:28} {near:.3f} near edges, {inside:.3f} inside")
enlarged, direct, own = by_size.values()

# %% tags=["check"]
assert enlarged[0] > 1.3 * own[0], "expected enlarged colours to run over the edges"
assert direct[1] > 2 * enlarged[1], "expected a network to be lost at another scale"

# %%
k = town[:1]
columns = {"input": grey_image(large.L[k])}
columns |= {name: paint(large.L[k], ab[k]) for name, ab in painted.items()}
columns["truth"] = large.rgb[k]
show(
    image_grid(columns, cell=1.92),
    alt="A town at 96 px: input, colours enlarged from 32 px, network run at 96 px, truth. "
    "Enlarged colours are right but blur over roofs and walls. Run at 96 px the network paints "
    "wrong colours.",
)

# %% [markdown]
# Enlarged colours are right inside and run over the edges. The network run at 96 px is wrong
# inside as well: it has learnt what grass looks like at 32 px, and has never seen tufts of three
# times the size. The paper trains at 256 px for a reason, and costs accordingly.
#
# ### 4. Several answers at once
#
# A regression names one colour where there are several. Look at the mean ab that the networks
# paint on each balloon and each roof, beside the true ones.


# %%
def mean_ab(ab, object_id):
    """The mean ab of each object, a row an object."""
    rows = []
    for k in range(1, int(object_id.max()) + 1):
        on = (object_id == k)[:, None]
        pixels = on.sum(dim=(2, 3))
        rows.append(((ab * on).sum(dim=(2, 3)) / pixels)[pixels[:, 0] > 0])
    return torch.cat(rows)


ids = {"balloons": held_out.balloon_id, "roofs": held_out.roof_id}
sources = {"truth": truth, "L1": predictions["L1"], "L2": predictions["L2"]}
dots = {(part, name): mean_ab(ab, on) for part, on in ids.items() for name, ab in sources.items()}
to_roof = {name: torch.cdist(dots["roofs", name], roofs) for name in sources}
blue = (to_roof["truth"][:, 1] < 0.1).float().mean().item()
painted_blue = (to_roof["L1"][:, 1] < 0.1).float().mean().item()
real = {name: (to_roof[name].min(1).values < 0.12).float().mean().item() for name in ("L1", "L2")}
radius = {name: dots["balloons", name].norm(dim=1).mean().item() for name in sources}
print(f"roofs that are blue: {blue:.0%} in truth, {painted_blue:.0%} with L1")
print(f"roofs in a colour that roofs have: {real['L1']:.0%} with L1, {real['L2']:.0%} with L2")
print("radius of the balloons' cloud: " + ", ".join(f"{n} {v:.2f}" for n, v in radius.items()))

# %% tags=["check"]
assert 0.15 < blue < 0.45 and painted_blue == 0, "expected L1 never to paint the rarer colour"
assert real["L1"] > 0.8 and real["L2"] < 0.2, "expected L2 to paint what no roof has"
assert radius["truth"] > 0.27 and max(radius["L1"], radius["L2"]) < 0.1, (
    "expected a ring, two blots"
)

# %%
fig = Figure(figsize=(8, 3.9), layout="constrained")
markers = {"L1": ("o", PALETTE[0]), "L2": ("^", PALETTE[1]), "truth": (".", "black")}
for ax, part in zip(fig.subplots(1, 2), ids, strict=True):
    for name, (marker, colour) in markers.items():
        a, b = dots[part, name].T
        ax.scatter(a, b, s=22, marker=marker, color=colour, label=name, linewidths=0)
    ax.set(title=part, xlabel="a (network units)", ylabel="b", xlim=(-0.4, 0.4), ylim=(-0.4, 0.4))
    ax.set_aspect("equal")
    ax.grid(True, color="0.93")
    ax.set_axisbelow(True)
ax.legend(frameon=False, loc="lower right")
show(
    fig,
    alt="The ab plane, a dot an object. Left, balloons: the truth is a ring, both networks are "
    "blots in its middle. Right, roofs: the truth is two points, red and blue; L1 lies at the red "
    "one, L2 between the two, where no roof is.",
)

# %% [markdown]
# A ring answered by its centre, two points by the likelier one or by a point between. One way out
# is classification: predict a *distribution* over binned colours and choose from it (Zhang, Isola
# and Efros 2016; Larsson et al. 2016). It admits several answers, pixel by pixel; but each pixel
# is still chosen without asking its neighbours. This course takes the other way: let a second
# network judge whole patches, and reward what looks real. That is the next three notebooks.
#
# ## Predict first: how wide must the bottleneck be?
#
# Back to the networks that paint the whole picture. The bottleneck can have 1, 4, 16 or 64
# channels at 4 by 4 places, from 16 to 1,024 numbers for 1,024 pixels.
#
# - Without skips: what goes first as it narrows, the detail of L or the colour?
# - With skips: does its width still matter?
#
# Write your answers down. Then train the other six networks and move the slider.

# %%
for bottleneck in WIDTHS:
    for skips, kind in ((False, Autoencoder), (True, UNetByHand)):
        if (bottleneck, skips) not in networks:
            networks[bottleneck, skips] = kind(3, width=8, bottleneck=bottleneck)
            train(networks[bottleneck, skips], l1_loss, whole, lr=5e-3)
outputs = {key: predict(network) for key, network in networks.items()}
measured = {key: errors_near_and_far(output) for key, output in outputs.items()}
for bottleneck in WIDTHS:
    without, having = measured[bottleneck, False], measured[bottleneck, True]
    assert having[0] < 0.85 * without[0], "expected skips to help the detail of L at every width"
growth = {  # of the errors near edges, from 64 channels to 1
    skips: [measured[1, skips][i] / measured[64, skips][i] for i in (0, 2)]
    for skips in (False, True)
}
print("no skips: the error of L grows {:.2f}-fold, that of ab {:.2f}-fold".format(*growth[False]))
print("skips:    the error of L grows {:.2f}-fold, that of ab {:.2f}-fold".format(*growth[True]))
grey_inside = (exact[:, 1:].abs().mean(1))[~near_edge].mean().item()

# %% tags=["check"]
assert growth[False][0] > 1.3, "expected a narrow bottleneck to cost detail"
assert growth[False][0] > growth[False][1] > 1, "expected it to cost more of L than of ab"
assert measured[1, True][0] < 0.9 * measured[64, False][0], "expected skips to matter more"
assert measured[1, False][3] < grey_inside / 2, "expected 16 numbers to tell sky from ground"


# %%
def draw(fig, bottleneck, skips):
    near_L, inside_L, near_ab, _ = measured[bottleneck, skips]
    pictures = paint(*outputs[bottleneck, skips][four].split([1, 2], dim=1))
    for row, images in enumerate((pictures, held_out.rgb[four])):
        for column, image in enumerate(images):
            ax = fig.add_subplot(2, 4, 4 * row + column + 1)
            ax.imshow(image.permute(1, 2, 0), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if column == 0:
                ax.set_ylabel(("painted", "truth")[row])
    kind = "with skips" if skips else "no skips"
    title = f"bottleneck of width {bottleneck}, {kind}: error of L near edges {near_L:.3f}"
    fig.suptitle(title, fontsize=10)
    parameters = sum(p.numel() for p in networks[bottleneck, skips].parameters())
    return (
        f"{16 * bottleneck:,} numbers through the bottleneck, {parameters:,} parameters; "
        f"error of L {near_L:.3f} near edges, {inside_L:.3f} inside; of ab {near_ab:.3f} near edges"
    )


panel = Panel(
    draw,
    figsize=(7, 3.8),
    alt="Four scenes painted whole by a network without skips and a bottleneck of one channel, "
    "above the true ones: sky and ground are where they belong, all else is smeared.",
    bottleneck=choice(WIDTHS, value=1, label="channels at the bottleneck"),
    skips=toggle("skips", False),
)
panel

# %%
panel.try_controls()  # each control changes what is computed
pd.DataFrame(
    {
        (what, "skips" if skips else "no skips"): {w: measured[w, skips][i] for w in WIDTHS}
        for i, what in ((0, "L near edges"), (2, "ab near edges"))
        for skips in (False, True)
    }
).rename_axis("channels").round(3)

# %% [markdown]
# Without skips the detail of L goes first: near edges its error grows more, from 64 channels to 1,
# than that of ab. With skips one channel does better on L than 64 without: detail no longer has
# to pass through the bottleneck. Colour needs little of it: 16 numbers already say where sky and
# ground are.
#
# ## Full mode: real photographs
#
# The same baseline at 128 px, with pix2pix's full width. On photographs nobody knows the floor,
# so the only fixed lines are grey and the untrained network. With a GPU the next cells train
# (resumable; at most 15 minutes, `configure(long=True)` lifts that) and compare on photographs
# that were held out.

# %% tags=["full"]
if config.full:
    photo_recipe = RECIPES["l1"].replace(size=128, batch_size=16, steps=10_000)
    train_set = config.photographs(128, "train")
    val_set, test_set = config.photographs(128, "val"), config.photographs(128, "test")
    photo_trainer = train_run("02_l1", photo_recipe, train_set, config, validation=val_set)
    photo_network = photo_trainer.averaged_generator.eval()
else:
    print("quick mode: full mode trains this baseline on real photographs at 128 px")

# %% tags=["full"]
if config.full:
    scores = evaluate(
        {"l1": photo_network}, test_set, n=config.steps(400), device=config.device, progress=False
    )
    if config.step_limit is None:
        assert scores.loc["l1", "psnr"] > scores.loc["grey", "psnr"], "expected L1 to beat grey"
        assert scores.loc["l1", "chroma_ratio"] < 1, "expected L1 to be duller than the truth"
    print(scores[["n", "psnr", "ciede2000", "chroma_ratio"]].round(3))

# %% tags=["full"]
if config.full:
    shown = test_set.images(range(min(4, len(test_set))))
    photo_L = split_lab(to_float(shown))[0]
    with torch.no_grad():
        photo_ab = photo_network(photo_L.to(config.device)).float().cpu()
    photo_columns = {
        "input": grey_image(photo_L),
        "L1": to_uint8(join_lab(photo_L, photo_ab, gamut="chroma")),
        "truth": shown,
    }
    show(
        image_grid(photo_columns),
        alt="Held-out photographs: input, coloured by the L1 baseline, truth.",
    )

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: add one skip
#
# Here the encoder and decoder are given as lists of blocks. Only the *outermost* encoder map, the
# one of half the image's size, is handed over, to the last block of the decoder: the decoder's
# map first, then the encoder's. Any number of blocks (at least two of each).


# %% tags=["exercise"]
def one_skip(down, up, L):
    """The output for L. The last block of `up` takes the decoder's map and the first of `down`."""
    ### BEGIN SOLUTION
    outermost = down[0](L)
    x = outermost
    for block in [*down[1:], *up[:-1]]:
        x = block(x)
    return up[-1](torch.cat([x, outermost], dim=1))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.one_skip.check(one_skip)
# exercises.one_skip.hint()
# exercises.one_skip.solution()

# %% [markdown]
# ### Exercise 2: what L2 paints
#
# A kind of door is, equally likely, ab = (0.42, 0.30) or (0.10, -0.26), and L does not tell
# which. What does a network that was trained with L2 paint on it? Give (a, b).

# %% tags=["exercise"]
l2_answer = ...
### BEGIN SOLUTION
l2_answer = ((0.42 + 0.10) / 2, (0.30 - 0.26) / 2)  # the mean, which is a colour no door has
### END SOLUTION

# %% tags=["exercise-check"]
exercises.l2_answer.check(l2_answer)
# exercises.l2_answer.hint()
# exercises.l2_answer.solution()

# %% [markdown]
# ### Exercise 3: which loss asks for what
#
# Four losses of an answer $x$ when the truth is $a$: $|x - a|$; $(x - a)^2$; the 0-1 loss, which
# is 0 if $x = a$ and else 1; and the pinball loss at 0.9, which is $0.9\,(a - x)$ if $x$ is too
# low and $0.1\,(x - a)$ if it is too high. Match each with what minimises its mean: `"mean"`,
# `"median"`, `"mode"` (the likeliest value) or `"0.9 quantile"`.

# %% tags=["exercise"]
asks_for = ...  # {"L1": "...", "L2": "...", "0-1": "...", "pinball": "..."}
### BEGIN SOLUTION
asks_for = {"L1": "median", "L2": "mean", "0-1": "mode", "pinball": "0.9 quantile"}
### END SOLUTION

# %% tags=["exercise-check"]
exercises.asks_for.check(asks_for)
# exercises.asks_for.hint()
# exercises.asks_for.solution()

# %% [markdown]
# ### Exercise 4: the L1 answer in general
#
# Write the number that L1 asks for, for any values and probabilities (unsorted; they sum to 1).
# Try it on the roofs: 0.30 with probability 0.7, -0.03 with 0.3. Where every number of an interval
# is as good, return any of them.


# %% tags=["exercise"]
def l1_answer(values, probabilities):
    """The number x with the least mean of |x - value|."""
    ### BEGIN SOLUTION
    pairs = sorted(zip(values, probabilities, strict=True))
    below = 0.0
    for value, probability in pairs:
        below += probability
        if below >= 0.5 - 1e-9:  # half of the probability is at or below this value
            return value
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.l1_answer.check(l1_answer)
# exercises.l1_answer.hint()
# exercises.l1_answer.solution()

# %% [markdown]
# ## Recap
#
# 1. A regression answers with one colour: the mean under L2, the median under L1.
# 2. On scenes both are known exactly, and small networks come near them in 400 steps.
# 3. Where L tells the colour the network is right; where it does not, the best answer is dull.
# 4. Skips carry place, not colour: they bring back the detail of L that the bottleneck drops.
# 5. Dull colours, lost detail, one scale, one answer: larger or longer is no cure for the first.
#
# **Words**
#
# - **Encoder, bottleneck, decoder**: halve to a small map, pass it, double back.
# - **Skip connection**: an encoder map handed to the decoder's block of the same size.
# - **Reconstruction loss**: the distance of output and target, pixel by pixel.
# - **Posterior**: what the colour can be, and how likely, once L has been seen.
# - **Floor**: the loss of the best answer that L allows.
# - **Chroma ratio**: painted chroma over true chroma.
#
# **Papers.** Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural
# networks"; Ronneberger, Fischer and Brox 2015, "U-Net"; Isola, Zhu, Zhou and Efros 2017,
# "Image-to-image translation with conditional adversarial networks"; Zhang, Isola and Efros 2016,
# "Colorful image colorization"; Larsson, Maire and Shakhnarovich 2016, "Learning representations
# for automatic colorization"; Koenker and Bassett 1978, "Regression quantiles" (pinball loss).
#
# **Next**: [Generative adversarial networks](03_gans.ipynb), where a second network does the
# judging.
