# %% [markdown] tags=["title"]
# # 5. The U-Net generator
#
# {{badges}}
#
# At the end you will have built pix2pix's generator from its table, shown that it equals the
# library's, and measured what each of its parts is for.

# %% [markdown]
# **You will learn**
#
# - to read the paper's table, and to confirm every row of it: shapes, channels, parameters;
# - why a picture of 224 px breaks most U-Nets of depth 8, and what padding it costs;
# - what skips, strides and residual blocks change, measured one at a time;
# - where checkerboards come from, by the spectrum;
# - how much (or little) dropout makes the output vary.
#
# **You need** [the baseline](02_unet_baseline.ipynb): encoder, bottleneck, decoder, skips. For one
# section, that a GAN is trained against a discriminator
# ([GANs](03_gans.ipynb)).
#
# **Time**: quick mode about 90 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import copy
import math
import time

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import (
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    interpolate,
    l1_loss,
    pad,
)

from colorlib import RECIPES, BackboneUNet, ResUNet, UNet, evaluate, scenes
from colorlib.blocks import ResidualBlock, up_block
from colorlib.checkpoints import is_run
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course import (
    Panel,
    assert_same_module,
    choice,
    quote,
    rerun,
    show_source,
    slider,
    toggle,
    train_run,
)
from colorlib.course.exercises import notebook_05 as exercises
from colorlib.course.experiments import unet as parts
from colorlib.devices import make_rng
from colorlib.errors import ColorlibError
from colorlib.figures import PALETTE, grey_image, image_grid, show
from colorlib.training import Trainer

# %% [markdown]
# ## One floor of the U
#
# A U-Net is a house of floors. On each floor the way down halves the picture and the way up
# doubles it. pix2pix does both with a kernel of 4 by 4 pixels, stride 2, and one pixel of zeros
# around. A convolution with kernel $k$, stride $s$ and padding $p$ turns $n$ pixels into
#
# $$\left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1, \qquad
# \text{a transposed one into} \qquad (n - 1)\,s - 2p + k .$$
#
# Put in $k = 4$, $s = 2$, $p = 1$: $\lfloor n/2 \rfloor$ down and $2n$ up. Does it come back?

# %% tags=["nbval-check-output"]
halve = nn.Conv2d(1, 1, kernel_size=4, stride=2, padding=1)
double = nn.ConvTranspose2d(1, 1, kernel_size=4, stride=2, padding=1)
for n in range(2, 65):
    below = halve(torch.zeros(1, 1, n, n))
    above = double(below)
    assert below.shape[-1] == (n + 2 * 1 - 4) // 2 + 1 == n // 2, "expected half, rounded down"
    assert above.shape[-1] == (n // 2 - 1) * 2 - 2 * 1 + 4 == 2 * (n // 2), "expected its double"
    if n in (6, 7, 8, 9):
        print(f"{n} px down to {below.shape[-1]} px, up to {above.shape[-1]} px")

# %% [markdown]
# An even size comes back, an odd one loses a pixel: 7 becomes 3 becomes 6. Keep that in mind, it
# is the whole story of the size error below.

# %% [markdown]
# ## The paper's table
#
# The appendix of the pix2pix paper (Isola et al. 2017) gives the generator in two lines. `Ck` is a
# convolution to $k$ channels with stride 2, batch norm, and a ReLU; `CDk` has dropout of one half
# before the ReLU. In the encoder the ReLUs are **leaky** (slope 0.2 below zero), and the first
# block has no batch norm. After the decoder comes one more transposed convolution, to the output
# channels, and tanh.


# %%
ENCODER = "C64-C128-C256-C512-C512-C512-C512-C512"
DECODER = "CD512-CD512-CD512-C512-C256-C128-C64"


def down(in_channels, out_channels, norm=True):
    """Ck of the encoder: half the height and width."""
    layers = [nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(out_channels)] if norm else []
    return nn.Sequential(*layers, nn.LeakyReLU(0.2))


def up(in_channels, out_channels, dropout=0.0):
    """Ck and CDk of the decoder: twice the height and width."""
    conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    layers = [conv, nn.BatchNorm2d(out_channels)]
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.ReLU())


def last(in_channels, out_channels):
    """The way out: no norm, and tanh, for ab is scaled to -1..1."""
    conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
    return nn.Sequential(conv, nn.Tanh())


# %% [markdown]
# Stack them. **Skips** join the encoder's map to the decoder's, floor by floor, so every decoder
# block but the innermost gets twice the channels. A bias is left out wherever a norm follows,
# because the norm subtracts it again. The innermost encoder block has no norm either: at 256 px
# its map is a single pixel, and you will see below what a norm does to one pixel.


# %%
class UNetByHand(nn.Module):
    """The generator of the paper; for sizes that are multiples of 2 ** depth."""

    def __init__(self, depth=8, width=64, dropout=0.5, skips=True, in_channels=1, out_channels=2):
        super().__init__()
        self.skips = skips
        twice = 2 if skips else 1
        channels = [width * min(2**floor, 8) for floor in range(depth)]  # 64, 128, 256, 512, 512...
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for floor in range(depth):
            above = channels[floor - 1] if floor else in_channels
            self.down.append(down(above, channels[floor], norm=0 < floor < depth - 1))
        for floor in range(depth - 1, 0, -1):
            into = channels[floor] * (1 if floor == depth - 1 else twice)
            drop = dropout if floor > depth - 1 - 3 else 0.0  # in the three innermost
            self.up.append(up(into, channels[floor - 1], drop))
        self.up.append(last(channels[0] * (twice if depth > 1 else 1), out_channels))

    def forward(self, x):
        maps = []
        for block in self.down:
            x = block(x)
            maps.append(x)
        x = self.up[0](maps.pop())
        for block in self.up[1:]:
            skip = maps.pop()
            x = block(torch.cat([x, skip], dim=1) if self.skips else x)
        return x


def count(module):
    return sum(p.numel() for p in module.parameters())


# %% [markdown]
# ### Row by row
#
# Now run the full network on a picture of 256 px, one block after another, and hold each row
# against the paper's: the channels in its name, half (or twice) the size, dropout where there is
# a D.

# %% tags=["nbval-check-output"]
network = UNetByHand().eval()
x, size, maps, rows = torch.zeros(1, 1, 256, 256), 256, [], []
with torch.no_grad():
    for name, block in zip(ENCODER.split("-"), network.down, strict=True):
        x, size = block(x), size // 2
        maps.append(x)
        rows.append((f"down {name}", block[0].in_channels, *x.shape[1:3], count(block)))
        assert x.shape == (1, int(name[1:]), size, size), f"expected {name} at {size} px"
    maps.pop()
    for name, block in zip(f"{DECODER}-C2".split("-"), network.up, strict=True):
        into = x.shape[1]
        x, size = block(x), 2 * size
        rows.append((f"up   {name}", into, *x.shape[1:3], count(block)))
        assert x.shape == (1, int(name.strip("CD")), size, size), f"expected {name} at {size} px"
        drops = any(isinstance(layer, nn.Dropout) for layer in block)
        assert drops == name.startswith("CD"), f"expected dropout in CDk alone, at {name}"
        if maps:  # the skip of this floor
            x = torch.cat([x, maps.pop()], dim=1)
print("block        in   out   size   parameters")
for name, into, out, side, parameters in rows:
    print(f"{name:10}{into:5}{out:6}{side:4} px{parameters:13,}")
print(f"all{count(network):38,}")
total = sum(row[-1] for row in rows)

# %% tags=["check"]
assert count(network) == total == 54_409_858, "expected the published size"

# %% [markdown]
# The table and the network agree in every row. Two checks against the world outside this
# notebook:
#
# - The appendix lists the decoder *with* skips a second time, as
#   CD512-CD1024-CD1024-C1024-C1024-C512-C256-C128. These are the channels that go *into* the eight
#   transposed convolutions: our column "in".
# - The authors' PyTorch code prints its size. A user reports 54.408 million parameters at 256 px
#   and 29.238 at 64 px (depth 6), for one channel in and one out
#   (junyanz/pytorch-CycleGAN-and-pix2pix, issue 1152).

# %% tags=["nbval-check-output"]
WITH_SKIPS = "CD512-CD1024-CD1024-C1024-C1024-C512-C256-C128"
into = [row[1] for row in rows if row[0].startswith("up")]
for depth, reported in ((8, "54.408"), (6, "29.238")):
    with torch.device("meta"):  # shapes without numbers: nothing is drawn, nothing is stored
        millions = count(UNetByHand(depth, in_channels=1, out_channels=1)) / 1e6
    print(f"depth {depth}: {millions:.3f} million, reported {reported}")
    assert f"{millions:.3f}" == reported, "expected the size that the authors' code prints"

# %% tags=["check"]
assert into == [int(name.strip("CD")) for name in WITH_SKIPS.split("-")], (
    "expected the paper's second list"
)

# %%
places = [row[3] for row in rows]
weights = [row[4] / 1e6 for row in rows]
numbers = [row[2] * row[3] ** 2 / 1e6 for row in rows]
low = sum(w for w, side in zip(weights, places, strict=True) if side <= 16) / sum(weights)
high = sum(n for n, side in zip(numbers, places, strict=True) if side >= 64) / sum(numbers)
print(f"blocks that end at 16 px or less hold {low:.0%} of the parameters")
print(f"blocks that end at 64 px or more make {high:.0%} of the numbers in maps")
fig = Figure(figsize=(8, 2.9), layout="constrained")
labels = [f"{row[0].split()[1]}\n{row[3]}" for row in rows]
panels = {"million parameters": weights, "million numbers in the map": numbers}
for ax, (title, values) in zip(fig.subplots(2, 1, sharex=True), panels.items(), strict=True):
    ax.bar(range(16), values, color=[PALETTE[0]] * 8 + [PALETTE[1]] * 8)
    ax.set_title(title, fontsize=9, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
ax.set_xticks(range(16), labels, fontsize=7)
show(
    fig,
    alt="Bars for the sixteen blocks, encoder blue and decoder orange. Parameters are high in the "
    "middle, at small maps. The numbers in maps are high at both ends, at large maps.",
)

# %% tags=["check"]
assert 0.88 < low < 0.9 and 0.78 < high < 0.8, "expected weights below, maps above"

# %% [markdown]
# The **weights are at the bottom** of the U, where maps are small. The **maps are large at the
# top**. That is why a deeper U costs parameters but hardly any memory for its maps, and a larger
# picture the other way round.

# %% [markdown]
# ### The same as the library's
#
# `colorlib.UNet` builds these blocks too. A small one of yours and a small one of the library's
# get the same random parameters; outputs, running statistics and all gradients have to agree, in
# training mode (with the same dropout) and in evaluation mode. The large ones are compared by
# name and shape of every parameter.

# %%
example = torch.rand(2, 1, 64, 32, generator=make_rng(config.seed, "example")) * 2 - 1
assert_same_module(UNetByHand(depth=5, width=4), UNet(depth=5, width=4), example)
with torch.device("meta"):
    full_size, mine = UNet(), UNetByHand()
shapes = {name: p.shape for name, p in full_size.state_dict().items()}
print(f"the same function; at full size {count(full_size):,} parameters in both")
del network, x, maps
show_source(UNet)

# %% tags=["check"]
assert shapes == {name: p.shape for name, p in mine.state_dict().items()}
assert count(full_size) == 54_409_858, "expected the full network's parameters"

# %% [markdown]
# ## Predict first: what does it cost?
#
# Training keeps four numbers for each parameter: the weight, its gradient, and two averages of
# Adam. It also keeps the maps that the backward pass needs, for each picture of the batch. Take
# 256 px and 32 bits a number. Which of these costs most *parameters*, and which most *memory* at
# batch size 1, at batch size 16?
#
# - skips, instead of none;
# - depth 8 instead of 5;
# - width 64 instead of 32.
#
# The maps are not estimated: torch is asked which tensors it keeps. On the device `meta` a network
# has shapes and no numbers, so even the largest is built at once.


# %%
def kept_bytes(network, L):
    """The size of all maps that torch keeps for the backward pass; parameters do not count."""
    parameters = {id(p) for p in network.parameters()}
    kept = {}  # holds the tensors, so that none is counted twice

    def keep(tensor):
        if id(tensor) not in parameters:
            kept[id(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(L)
    return sum(tensor.numel() * tensor.element_size() for tensor in kept.values())


def cost(depth, width, skips):
    """Parameters, and bytes of maps for one picture of 256 px."""
    with torch.device("meta"):
        network = UNetByHand(depth, width, skips=skips)
        return count(network), kept_bytes(network, torch.zeros(1, 1, 256, 256))


# By hand: the first convolution keeps its input, ReLU its output, which the second keeps as well.
chain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
by_hand = 4 * (64 + 4 * 64)  # 4 bytes a number, 8 by 8 places
small = UNetByHand(4, 8)
with torch.device("meta"):
    same, on_meta = UNetByHand(4, 8), torch.zeros(2, 1, 32, 32)
real = kept_bytes(small, torch.zeros(2, 1, 32, 32))
print(f"a small network keeps {real:,} bytes of maps, on meta and with real numbers")

# %% tags=["check"]
assert kept_bytes(chain, torch.zeros(1, 1, 8, 8)) == by_hand, "expected each map to count once"
assert kept_bytes(same, on_meta) == real, "expected meta tensors to count as real ones do"
assert count(same) == count(small), "expected meta parameters to count as real ones do"


# %%
def draw(fig, depth, width, skips, batch):
    parameters, maps = cost(depth, width, skips)
    parts_of_memory = {
        "weights": 4 * parameters,
        "gradients": 4 * parameters,
        "Adam": 8 * parameters,
        "maps": batch * maps,
    }
    ax = fig.subplots()
    mebibytes = [value / 2**20 for value in parts_of_memory.values()]
    ax.barh(list(parts_of_memory), mebibytes, color=PALETTE[:4])
    for place, value in enumerate(mebibytes):
        ax.text(value, place, f" {value:,.1f}", va="center")
    ax.set(xlabel="MiB in training at 256 px, fp32", xlim=(0, 1.2 * max(mebibytes)))
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return (
        f"{parameters:,} parameters; {sum(mebibytes):,.0f} MiB in all, "
        f"{batch * maps / 2**20:,.1f} MiB of them maps"
    )


panel = Panel(
    draw,
    figsize=(7, 2.4),
    alt="Memory of pix2pix's generator in training at batch size 1: Adam's averages are largest, "
    "then weights and gradients; maps are small.",
    depth=slider(1, 8, value=8, step=1, label="depth"),
    width=choice([4, 8, 16, 32, 64], value=64, label="width"),
    skips=toggle("skips", True),
    batch=slider(1, 32, value=1, step=1, label="batch size"),
)
panel

# %% tags=["check"]
panel.try_controls()  # moves every control to its ends: each must change the text

# %%
base = cost(8, 64, True)
changes = {
    "skips": cost(8, 64, False),
    "depth 8, not 5": cost(5, 64, True),
    "width 64, not 32": cost(8, 32, True),
}
print(f"depth 8, width 64, skips: {base[0]:,} parameters, {base[1] / 2**20:.1f} MiB of maps")
for name, (parameters, maps) in changes.items():
    more, maps_more = base[0] / parameters, base[1] / maps
    print(f"{name:17} {more:.2f} times the parameters, {maps_more:.2f} times the maps")
times = {name: (base[0] / p, base[1] / m) for name, (p, m) in changes.items()}
per_parameter = 16 * base[0] / base[1]
print(f"maps outweigh weights, gradients and Adam from batch size {math.ceil(per_parameter)} on")

# %% tags=["check"]
assert times["width 64, not 32"][0] > times["depth 8, not 5"][0] > 2, "expected width to cost most"
assert times["skips"][0] < 1.5, "expected skips to cost less than either"
assert times["depth 8, not 5"][1] < 1.05, "expected depth to add next to no maps"

# %% [markdown]
# Width costs most in parameters, because both sides of each convolution grow; depth multiplies
# them too, and adds next to nothing to the maps. At batch size 1, which is the paper's, nearly
# all memory is weights and what belongs to them; the maps take over at the batch size in the last
# line.

# %% [markdown]
# ## Sizes: why 224 fails
#
# Many sets of photographs come at 224 px. Feed one to a U-Net of depth 8, as it stands in most
# code:

# %%
for depth in range(4, 9):
    try:
        UNetByHand(depth, width=1).eval()(torch.zeros(1, 1, 224, 224))
        said = "works"
    except RuntimeError as error:
        said = " ".join(str(error).split())[:88]
    print(f"depth {depth}: {said}")
    assert (said == "works") == (depth <= 5), "expected 224 px to work up to depth 5"

# %% [markdown]
# Count down the floors: $224 = 2^5 \cdot 7$. Five halvings go well. The sixth makes 3 of 7, and
# on the way up 6 meets the encoder's 7: they cannot be joined. At depth 8 the way down ends before
# the last floor, with a single pixel that cannot be halved. The rule: a size works if, and only
# if, it is a multiple of $2^{\text{depth}}$.

# %% tags=["nbval-check-output"]
for depth in (5, 6, 8):
    floors = [224]
    while len(floors) <= depth and floors[-1] > 0:
        floors.append(floors[-1] // 2)
    print(f"depth {depth}: " + " > ".join(str(side) for side in floors))
works = {}
for depth in (2, 3, 4):
    network = UNetByHand(depth, width=1).eval()
    for side in range(1, 50):
        try:
            works[depth, side] = network(torch.zeros(1, 1, side, side)).shape[-1] == side
        except RuntimeError:
            works[depth, side] = False
assert all(fine == (side % 2**depth == 0) for (depth, side), fine in works.items())
for depth in (2, 3, 4):
    print(f"depth {depth} takes {[side for side in range(1, 50) if works[depth, side]]}")

# %% [markdown]
# ### Pad, and crop back
#
# The library's way out: repeat the last row and column until both sides are multiples, run, and
# cut the padding off again.


# %%
class PaddedUNet(UNetByHand):
    """The same network for pictures of any size."""

    def forward(self, L):
        height, width = L.shape[-2:]
        multiple = 2 ** len(self.down)
        bottom, right = -height % multiple, -width % multiple  # what is missing to a multiple
        padded = pad(L, (0, right, 0, bottom), mode="replicate")
        return super().forward(padded)[..., :height, :width]


odd = torch.rand(2, 1, 21, 13, generator=make_rng(config.seed, "odd")) * 2 - 1
assert_same_module(PaddedUNet(depth=3, width=4), UNet(depth=3, width=4), odd)
with torch.no_grad():
    deep = UNet(depth=8, width=8).eval()
    L = torch.rand(1, 1, 224, 224, generator=make_rng(config.seed, "224")) * 2 - 1
    by_hand = deep(pad(L, (0, 32, 0, 32), mode="replicate"))[..., :224, :224]
    assert torch.equal(deep(L), by_hand), "expected 224 px to be padded to 256 px"
    for side in (1, 2, 17):
        assert deep(L[..., :side, :224]).shape == (1, 2, side, 224), "expected any size to work"
print(f"224 px at depth 8 works; it computes {256**2 / 224**2:.2f} times the pixels")

# %% [markdown]
# What does the made-up border do to the picture? For that you need a network that has learnt
# something. Here is one at last: depth 4, 300 steps on scenes of 32 px, with plain L1 as in
# notebook 2. Everything below that trains uses the same function.

# %%
held_out = scenes.draw(range(parts.N_HELD_OUT), parts.SIZE, split="val")
median = scenes.posterior_median(held_out)  # the best answer under L1, known exactly on scenes
near_edge = held_out.regions == 0


@torch.no_grad()
def predict(network, L):
    return network(L)


def paint(L, ab):
    """L and ab in network units as a picture that a screen can show."""
    return to_uint8(join_lab(L, ab, gamut="chroma"))


def errors(ab):
    """Distance from the exact answer, near the outlines of things and inside them."""
    distance = (ab - median).norm(dim=1)
    return distance[near_edge].mean().item(), distance[~near_edge].mean().item()


unet = parts.train(UNet(depth=4, width=16, dropout=0.0), config.seed)
grey, trained = errors(torch.zeros_like(median)), errors(predict(unet, held_out.L))
print("grey:    {:.3f} near outlines, {:.3f} inside".format(*grey))
print("trained: {:.3f} near outlines, {:.3f} inside".format(*trained))
show_source(parts.train)

# %% tags=["check"]
assert trained[0] < grey[0] / 2 and trained[1] < grey[1] / 6, "expected the network to have learnt"

# %% [markdown]
# And here is the U, with what flows through it: on each floor the four channels that vary most.

# %%
one = held_out.L[:1]
flow = {"in": one}
with torch.no_grad():
    x, kept = one, []
    for floor, block in enumerate(unet.down):
        x = block(x)
        kept.append(x)
        flow["down", floor] = x
    x = unet.up[0](kept.pop())
    flow["up", 2] = x
    for floor, block in zip((1, 0, -1), unet.up[1:], strict=True):
        x = block(torch.cat([x, kept.pop()], dim=1))
        flow["up", floor] = x


def mosaic(maps):
    """The four channels that vary most, in a square, each from its least to its usual largest."""
    best = maps[0, maps[0].flatten(1).std(dim=1).argsort(descending=True)[:4]]
    low = best.amin((1, 2), keepdim=True)
    high = best.flatten(1).quantile(0.97, dim=1)[:, None, None]
    tiles = ((best - low) / (high - low + 1e-6)).clamp(0, 1) ** 0.7
    tiles = interpolate(tiles[None], size=48, mode="nearest")[0]
    tiles = pad(tiles, (1, 1, 1, 1), value=1.0)  # a white line between them
    return torch.cat([torch.cat(list(tiles[:2]), 1), torch.cat(list(tiles[2:]), 1)], 0)


# %% tags=["check"]
assert torch.equal(x, predict(unet, one)), "expected the blocks one by one to be the network"
assert [flow["down", floor].shape[-1] for floor in range(4)] == [16, 8, 4, 2]

# %% tags=["result"]
fig = Figure(figsize=(8.4, 4.6))
page = fig.add_axes((0, 0, 1, 1), xlim=(0, 8.4), ylim=(0, 4.6))
page.set_axis_off()


def place(left, bottom, side, image, title, **colours):
    ax = fig.add_axes((left / 8.4, bottom / 4.6, side / 8.4, side / 4.6), xticks=[], yticks=[])
    ax.imshow(image, interpolation="nearest", **colours)
    ax.set_title(title, fontsize=8, pad=3)


def name(maps):
    return f"{maps.shape[1]} maps of {maps.shape[-1]} px"


place(0.15, 3.05, 1.25, grey_image(one)[0].permute(1, 2, 0), "L, 32 px")
place(7.0, 3.05, 1.25, paint(one, flow["up", -1])[0].permute(1, 2, 0), "L and ab, 32 px")
sides, bottoms = (1.25, 1.0, 0.8, 0.6), (3.05, 1.72, 0.6, 0.05)
for floor, (side, bottom) in enumerate(zip(sides, bottoms, strict=True)):
    left, right = 1.7 + 0.4 * floor + (0.7 if floor == 3 else 0), 5.45 - 0.2 * floor
    place(left, bottom, side, mosaic(flow["down", floor]), name(flow["down", floor]), cmap="gray")
    if floor == 3:  # the bottleneck has no skip
        break
    place(right, bottom, side, mosaic(flow["up", floor]), name(flow["up", floor]), cmap="gray")
    y = bottom + side / 2
    arrow = {"arrowstyle": "->", "color": PALETTE[0]}
    page.annotate("", xy=(right - 0.1, y), xytext=(left + side + 0.1, y), arrowprops=arrow)
    page.text(4.4, y + 0.05, "skip", color=PALETTE[0], ha="center", fontsize=9)
show(
    fig,
    alt="The U of a trained network. Left, the way down: maps of 16, 8, 4 and 2 px, in which the "
    "outlines of the scene dissolve. Right, the way up, until the coloured scene. Arrows, the "
    "skips, lead across on the three upper floors.",
)

# %% [markdown]
# The deeper, the fewer places and the more channels: outlines go, and what is left says roughly
# what is where. On the way up the skips bring the outlines back. The woven pattern in the maps of
# 16 px on the way up is no fault of the picture: it has a section of its own, checkerboards.
#
# ### What padding does to the border
#
# Cut the scenes to 24 px, which depth 4 cannot take, and let the network see them padded to 32 px
# in three ways. A fourth way out that is often used: resize to 32 px, run, resize back. The
# yardstick is what the network says when it sees the true surroundings, at 32 px.

# %%
CUT = 24
small_L = held_out.L[..., :CUT, :CUT]
informed = predict(unet, held_out.L)[..., :CUT, :CUT]
steps_from_edge = torch.arange(CUT - 1, -1, -1)
distance = torch.minimum(steps_from_edge[:, None], steps_from_edge[None, :])  # from the padding
answers = {
    name: predict(unet, pad(small_L, (0, 8, 0, 8), mode=mode))[..., :CUT, :CUT]
    for name, mode in (("repeat", "replicate"), ("mirror", "reflect"), ("zeros", "constant"))
}
enlarged = interpolate(small_L, size=32, mode="bilinear", antialias=True)
answers["resize"] = interpolate(predict(unet, enlarged), size=CUT, mode="bilinear", antialias=True)
off = {name: (ab - informed).norm(dim=1).mean(0) for name, ab in answers.items()}
by_distance = {
    name: [values[distance == k].mean().item() for k in range(CUT)] for name, values in off.items()
}
for name, values in by_distance.items():
    near, far = sum(values[:4]) / 4, sum(values[12:]) / 12
    print(f"{name:7} off by {near:.3f} within 4 px of the cut, {far:.3f} beyond 12 px")
near = {name: sum(values[:4]) / 4 for name, values in by_distance.items()}
far = {name: sum(values[12:]) / 12 for name, values in by_distance.items()}

# %% tags=["check"]
assert torch.equal(predict(unet, small_L), answers["repeat"]), "expected UNet to repeat the border"
assert near["repeat"] < near["zeros"] < near["mirror"], "expected repeating to invent least"
assert all(near[name] > 15 * far[name] for name in ("repeat", "mirror", "zeros"))
assert far["resize"] > 3 * far["repeat"], "expected resizing to be felt further away"

# %%
fig = Figure(figsize=(8, 2.8), layout="constrained")
left, right = fig.subplots(1, 2, width_ratios=[3, 2])
for (name, values), colour in zip(by_distance.items(), PALETTE, strict=False):
    left.plot(values, color=colour, label=name, linestyle="--" if name == "resize" else "-")
left.set(xlabel="pixels from the cut", ylabel="change of ab", ylim=(0, None))
left.legend(frameon=False)
left.spines[["top", "right"]].set_visible(False)
shown = right.imshow(off["repeat"], cmap="gray", vmin=0, vmax=0.2, interpolation="nearest")
right.set(title="repeat: where", xticks=[], yticks=[])
fig.colorbar(shown, ax=right, label="change of ab")
show(
    fig,
    alt="Left: change of the predicted colour over the distance from the cut. All three paddings "
    "fall to near zero within about ten pixels; resizing falls later. Right: the change as a map, "
    "bright along the lower border, faint along the right one, black elsewhere.",
)

# %% [markdown]
# Padding is felt near the cut, most where the cut goes through the ground, and dies away from it.
# Beyond twelve pixels the picture is as good as with its true surroundings. Resizing is felt
# further in, because this network has only seen scenes at one scale. Of the three paddings,
# repeating the border changes least, and a mirror most: it builds houses upside down.
#
# For a photograph of 224 px the lesson is: the padding of 32 px is harmless but at two borders.
# If those matter, train at a size that needs no padding.

# %% [markdown]
# ## Skips, one at a time
#
# First on the trained network. Hand the decoder, on one floor, the map of *another* picture
# (rolling the batch by one). What suffers, says what that floor carries.


# %%
@torch.no_grad()
def with_strange_map(network, L, side):
    """The output if the decoder gets the next picture's map on the floor of `side` px."""
    x, maps = L, []
    for block in network.down:
        x = block(x)
        maps.append(x)  # each block below sees its own picture
    handed = [m.roll(1, dims=0) if m.shape[-1] == side else m for m in maps]
    x = network.up[0](handed.pop())
    for block in network.up[1:]:
        x = block(torch.cat([x, handed.pop()], dim=1))
    return x


strange = {side: errors(with_strange_map(unet, held_out.L, side)) for side in (0, 16, 8, 4, 2)}
table = pd.DataFrame(strange, index=["near outlines", "inside"]).T
table.index = ["all its own", "16 px", "8 px", "4 px", "2 px (bottleneck)"]
worse = table / table.iloc[0]
table.round(3)

# %% tags=["check"]
assert worse["inside"].iloc[1] < 1.5, "expected the outermost skip to say little about colour"
assert worse["inside"].iloc[2:4].min() > 1.7, "expected the middle skips to carry colour"

# %% [markdown]
# For colour the outermost skip, with the sharpest outlines, matters least: L supplies outlines
# anyway. The middle floors tell what is where; without them the colours are wrong inside things.
#
# Now the fair test: a network that is *trained* without skips. It has the same blocks, the same
# batches, the same number of steps.

# %%
no_skips = parts.train(UNetByHand(depth=4, width=16, dropout=0.0, skips=False), config.seed)
without = errors(predict(no_skips, held_out.L))
print("skips:    {:.3f} near outlines, {:.3f} inside".format(*trained))
print("no skips: {:.3f} near outlines, {:.3f} inside".format(*without))
chosen = [0, 5, 9, 14]
L = held_out.L[chosen]
columns = {"input": grey_image(L)}
off_by = {}
for name, network in {"no skips": no_skips, "skips": unet}.items():
    ab = predict(network, L)
    columns[name] = paint(L, ab)
    distance = (ab - median[chosen]).norm(dim=1, keepdim=True)
    off_by[f"{name}: distance (white: 0.25)"] = (distance / 0.25).clamp(max=1).expand(-1, 3, -1, -1)
columns |= {"best L1 answer": paint(L, median[chosen])} | off_by
show(
    image_grid(columns, cell=1.3),
    alt="Four scenes: input, coloured without and with skips, exact best answer, and two maps of "
    "the distance from it. Without skips balloons take on the blue of the sky, and the map is "
    "bright on balloons and outlines; with skips balloons are greyer and the map is darker.",
)

# %% tags=["check"]
assert without[0] > 1.2 * trained[0] and without[1] > 1.3 * trained[1], "expected skips to help"

# %% [markdown]
# Without skips the balloons melt into the sky: what the decoder hears from the bottleneck is too
# coarse to tell them apart.
#
# One run proves little. The rest of this notebook exchanges **one part at a time** and trains each
# network with three seeds: recorded beforehand, one row measured again on your machine.

# %%
record = quote("unet")
means = record.groupby("network", sort=False)[["edges", "inside"]].mean()
again = rerun("unet", {"network": "no skips", "recipe": "none"}, column="inside")
print(f"no skips, here and now: {again['inside']:.4f} inside")


def column(network, name):
    """One measure of one network, a number a seed."""
    return record.loc[record["network"] == network, name].to_numpy()


means.round(4)

# %% tags=["check"]
assert abs(again["inside"] - without[1]) < 1e-4, "expected your network without skips to be theirs"
assert (column("no skips", "edges") > 1.2 * column("unet", "edges")).all()
assert (column("no skips", "inside") > 1.4 * column("unet", "inside")).all()

# %% [markdown]
# On every seed skips bring the network nearer to the exact answer, near outlines and inside.
# You will come back to the other rows of this table.

# %% [markdown]
# ## Max pooling against strides
#
# The first U-Net (Ronneberger et al. 2015) convolves at full size and then keeps the largest of
# each four values: **max pooling**. pix2pix, like DCGAN, has no pooling; its convolutions take
# steps of two. Three differences you can see without training:


# %%
x = torch.rand(1, 8, 16, 16, generator=make_rng(config.seed, "pooling"))
pool, stride = nn.MaxPool2d(2), nn.Conv2d(8, 8, 4, stride=2, padding=1)


def gradient_share(layer):
    """The share of the inputs that a gradient reaches."""
    leaf = x.clone().requires_grad_()
    layer(leaf).sum().backward()
    return (leaf.grad != 0).float().mean().item()


swapped = x.reshape(1, 8, 8, 2, 8, 2).flip(3, 5).reshape(1, 8, 16, 16)  # within each window
moved = {"max pooling": pool, "stride": stride}
with torch.no_grad():
    change = {k: (layer(swapped) - layer(x)).abs().max().item() for k, layer in moved.items()}
shares = {k: gradient_share(layer) for k, layer in moved.items()}
for k in moved:
    print(f"{k:12} gradient reaches {shares[k]:.0%}; swap pixels in each window: {change[k]:.2f}")

# %% tags=["check"]
assert shares["max pooling"] == 0.25 and shares["stride"] == 1.0
assert change["max pooling"] == 0 and change["stride"] > 0.1

# %% [markdown]
# 1. Pooling lets the gradient through to one input in four, the strided convolution to all.
# 2. Pooling forgets *where* in its window the largest value stood; the convolution does not.
# 3. The price: a 3 by 3 convolution before pooling works on four times as many places.

# %% tags=["nbval-check-output"]
a, b, side = 64, 128, 64  # channels in and out, places along a side after the step down
strided = {"weights": 16 * a * b, "multiplications": 16 * a * b * side**2}
pooled = {"weights": 9 * a * b, "multiplications": 9 * a * b * (2 * side) ** 2}
for what in strided:
    print(f"{what}: max pooling has {pooled[what] / strided[what]:.4f} times those of the stride")

# %% tags=["check"]
assert strided["weights"] == count(down(a, b)[0]) and pooled["weights"] == count(
    parts.pooled_block(a, b)[0]
)

# %%
pooling, strides = column("max pooling", "inside"), column("unet", "inside")
print("distance inside, by seed")
print("  strides:    ", " ".join(f"{value:.4f}" for value in strides))
print("  max pooling:", " ".join(f"{value:.4f}" for value in pooling))

# %% tags=["check"]
assert (pooling > strides).all() and (pooling < 1.25 * strides).all()
assert (abs(column("max pooling", "edges") / column("unet", "edges") - 1) < 0.15).all()

# %% [markdown]
# Trained, the two are close: strides are ahead by about a tenth inside, on each of the three
# seeds, at fewer multiplications. On scenes strides are the better bargain, and no more than that.

# %% [markdown]
# ## Residual blocks
#
# A gradient that passes many layers is multiplied by each. Take layers that are random matrices,
# $n$ by $n$, entries of variance $\sigma^2 / n$. On average over the matrices, one layer
# multiplies the squared norm of the gradient by $\sigma^2$. Add a **shortcut**, $x + Wx$, and it is
# $1 + \sigma^2$, for the cross term has mean zero. After $l$ layers:
#
# $$E\,\lVert g_l \rVert^2 = \sigma^{2l}\,\lVert g_0 \rVert^2 \quad \text{(plain)}, \qquad
# E\,\lVert g_l \rVert^2 = (1 + \sigma^2)^l\,\lVert g_0 \rVert^2 \quad \text{(with shortcuts)}$$

# %%
SIGMA, WIDE, DRAWS = 0.5, 64, 400
rng = make_rng(config.seed, "matrices")
plain, residual = (torch.randn(DRAWS, WIDE, 1, generator=rng) for _ in "ab")
start = [g.square().sum() for g in (plain, residual)]
for layer in range(1, 13):
    W = SIGMA / WIDE**0.5 * torch.randn(DRAWS, WIDE, WIDE, generator=rng)
    plain, residual = W.mT @ plain, residual + W.mT @ residual
    got = [(g.square().sum() / s).item() for g, s in zip((plain, residual), start, strict=True)]
    wanted = [SIGMA ** (2 * layer), (1 + SIGMA**2) ** layer]
    if layer in (1, 4, 12):
        print(f"{layer:2} layers: plain {got[0]:.1e} (closed form {wanted[0]:.1e}),", end=" ")
        print(f"shortcuts {got[1]:5.2f} ({wanted[1]:5.2f})")
    for measured, closed in zip(got, wanted, strict=True):
        assert abs(measured / closed - 1) < 0.25, "expected the closed form, on average"

# %% [markdown]
# ### In real blocks
#
# A **residual block** (He et al. 2016, figure 2) adds its input to what two convolutions make of
# it. Where the shape changes, the shortcut is a convolution of 1 by 1. Build it, and compare.


# %%
class ResidualByHand(nn.Module):
    """relu(shortcut(x) + branch(x))."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.branch(x))


x = torch.randn(4, 8, 8, 8, generator=make_rng(config.seed, "block"))
assert_same_module(ResidualByHand(8, 8), ResidualBlock(8, 8), x)
assert_same_module(ResidualByHand(8, 16, stride=2), ResidualBlock(8, 16, stride=2), x)
show_source(ResidualBlock)


# %% [markdown]
# Stack 1 to 32 of them, freshly initialised, with the shortcut and without it, and measure how
# much of a gradient that enters above arrives below.


# %%
def arriving(n_blocks, shortcut, norm, seed):
    """The norm of the gradient below a stack of residual blocks, over the norm above it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stack = nn.Sequential(*(ResidualBlock(16, 16, norm=norm) for _ in range(n_blocks)))
        x = torch.randn(8, 16, 8, 8, requires_grad=True)
        if not shortcut:
            for block in stack:
                block.shortcut = parts.Nothing()
        y = stack(x)
        g = torch.randn_like(y)
    (below,) = torch.autograd.grad(y, x, g)
    return (below.norm() / g.norm()).item()


COUNTS = (1, 2, 4, 8, 16, 32)
curves = {
    (norm, shortcut): [
        sum(arriving(n, shortcut, norm, seed) for seed in range(3)) / 3 for n in COUNTS
    ]
    for norm in ("none", "batch")
    for shortcut in (True, False)
}
for (norm, shortcut), values in curves.items():
    kind = "with shortcuts" if shortcut else "without"
    print(f"norm {norm:5} {kind:14} " + "  ".join(f"{value:7.1e}" for value in values))

# %% tags=["check"]
assert curves["none", False][3] < 1e-4, "expected the gradient to die without norm and shortcuts"
assert 0.3 < min(curves["none", True]) <= max(curves["none", True]) < 2, "expected it to live"
assert curves["batch", False][5] > 1e3, "expected batch norm without shortcuts to blow it up"
assert 5 < curves["batch", True][5] < 200, "expected it to grow far less with shortcuts"

# %%
fig = Figure(figsize=(8, 2.9), layout="constrained")
for ax, norm in zip(fig.subplots(1, 2, sharey=True), ("none", "batch"), strict=True):
    for shortcut, colour in ((True, PALETTE[0]), (False, PALETTE[1])):
        values = [max(value, 1e-9) for value in curves[norm, shortcut]]
        label = "with shortcuts" if shortcut else "without"
        ax.plot(COUNTS, values, "o-", color=colour, label=label)
    ax.set(xscale="log", yscale="log", xlabel="residual blocks", title=f"norm: {norm}")
    ax.set_ylim(1e-9, 1e6)
    ax.set_xticks(COUNTS, [str(n) for n in COUNTS])
    ax.minorticks_off()
    ax.grid(True, color="0.93")
    ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="lower left")
show(
    fig,
    alt="Share of the gradient that arrives below a stack, over its height. Without norm it stays "
    "near 1 with shortcuts and falls below a billionth without. With batch norm it grows slowly "
    "with shortcuts and beyond ten thousand without.",
)

# %% [markdown]
# Without norm and shortcuts the gradient vanishes within eight blocks. Batch norm alone does not
# mend that, it turns it round: now the gradient **explodes** with depth (Yang et al. 2019, "A mean
# field theory of batch normalization"). With shortcuts it keeps its size, or grows slowly.

# %% [markdown]
# ### ResUNet
#
# `colorlib.ResUNet` is a U-Net of such blocks. It works on half the picture's size at most, so
# that it stays cheap. Here are its maps, by forward hooks.

# %% tags=["nbval-check-output"]
res = ResUNet(depth=4, width=8).eval()
shapes = []


def remember(name):
    return lambda block, inputs, output: shapes.append((name, tuple(output.shape[1:])))


named = {"stem": res.stem, **{f"down {k}": block for k, block in enumerate(res.down)}}
named |= {"middle": res.middle, **{f"up {k}": block for k, block in enumerate(res.decoder.up)}}
named["head"] = res.decoder.head
hooks = [block.register_forward_hook(remember(name)) for name, block in named.items()]
with torch.no_grad():
    res(torch.zeros(1, 1, 64, 64))
    assert res(torch.zeros(1, 1, 50, 33)).shape == (1, 2, 50, 33), "expected any size to work"
for hook in hooks:
    hook.remove()
for name, (channels, height, width) in shapes[: len(named)]:
    print(f"{name:8}{channels:4} maps of {height} px")
print(f"{count(res):,} parameters, the U-Net above {count(unet):,}")

# %% tags=["check"]
assert shapes[len(named) - 1][1] == (2, 64, 64) and shapes[0][1] == (8, 32, 32)

# %% [markdown]
# Does its gradient need the shortcuts? A U-Net has short ways already: its skips. Compare the
# gradient in each block of a fresh ResUNet of depth 6, with the shortcuts and without.


# %%
def block_gradients(shortcuts, seed):
    """The norm of the gradient in the stem and in the branch of each block, outermost first."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResUNet(depth=6, width=8)
        if not shortcuts:
            parts.remove_shortcuts(network)
        L, ab = torch.rand(4, 1, 64, 64) * 2 - 1, 0.3 * torch.randn(4, 2, 64, 64)
        (network(L) - ab).square().mean().backward()
    blocks = [network.stem, *(block.branch for block in [*network.down, *network.middle])]
    return [sum(p.grad.square().sum() for p in block.parameters()).sqrt() for block in blocks]


ways = {"with shortcuts": True, "without": False}
table = pd.DataFrame(
    {
        name: torch.tensor([block_gradients(shortcuts, seed) for seed in range(3)]).mean(0)
        for name, shortcuts in ways.items()
    },
    index=["stem", *(f"down {k}" for k in range(5)), "middle 0", "middle 1"],
)
table["ratio"] = table["without"] / table["with shortcuts"]
table.round(3)

# %% tags=["check"]
assert table["ratio"].between(0.8, 5).all(), "expected the skips of the U to carry the gradient"

# %% [markdown]
# Without shortcuts no block gets less gradient, and the innermost get even more: the skips of the
# U and batch norm see to that. So the gradient at the start is no argument for shortcuts *here*.
# Training has the last word.

# %%
residual, plain = column("resunet", "inside"), column("no shortcuts", "inside")
print("distance inside, by seed")
print("  ResUNet:                   ", " ".join(f"{value:.4f}" for value in residual))
print("  the same without shortcuts:", " ".join(f"{value:.4f}" for value in plain))
print("  U-Net:                     ", " ".join(f"{value:.4f}" for value in strides))

# %% tags=["check"]
assert (plain > 1.1 * residual).all(), "expected shortcuts to help on every seed"
assert (abs(residual / strides - 1) < 0.2).all(), "expected ResUNet to be about as good as UNet"
assert (column("resunet", "edges") > column("unet", "edges")).all()

# %% [markdown]
# Shortcuts help, on every seed, by more than a tenth. Against the plain U-Net, which has more
# parameters, ResUNet is about as good inside and a little behind near outlines: it has no map at
# the picture's full size, and its decoder enlarges by repeating pixels. Residual blocks are no
# magic at this depth. They are what lets you go deeper.

# %% [markdown]
# ## A pretrained encoder
#
# The encoder has to know what is in a photograph. Networks that classify a thousand kinds of
# things know that already. `BackboneUNet` cuts such a network into five stages, each of which
# halves the picture, and puts `ResUNet`'s decoder on top. Such a network expects colour pictures,
# normalised as ImageNet was. So L becomes grey, is repeated to three channels, and normalised.

# %% tags=["nbval-check-output"]
backbone = BackboneUNet("resnet18", pretrained=False).eval()  # random weights: no download
seen = []
hook = backbone.stages[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
L = torch.rand(1, 1, 64, 64, generator=make_rng(config.seed, "backbone")) * 2 - 1
with torch.no_grad():
    ab = backbone(L)
hook.remove()
mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.MEAN, backbone.STD))
wanted = ((L + 1) / 2).expand(-1, 3, -1, -1)
x = seen[0]
for number, stage in enumerate(backbone.stages):
    with torch.no_grad():
        x = stage(x)
    maps = f"{x.shape[1]:3} maps of {x.shape[-1]:2} px"
    print(f"stage {number}: {maps}, {count(stage):9,} parameters")
print(f"decoder: {count(backbone.decoder):,} parameters")
print(f"224 = {224 // 32} x 32: five halvings fit a size of 224 px without padding")

# %% tags=["check"]
assert torch.allclose(seen[0] * std + mean, wanted, atol=1e-6), "expected grey, normalised"
assert ab.shape == (1, 2, 64, 64) and x.shape == (1, 512, 2, 2)

# %% [markdown]
# `pretrained=True` replaces the encoder's random numbers by torchvision's ImageNet weights. It is
# the only thing here that downloads (about 45 MB), and no constructor does it unless asked. On
# scenes it could not help: no classifier has seen them. In full mode below you can try it on
# photographs.

# %% [markdown]
# ## Checkerboards
#
# A transposed convolution with stride 2 writes a copy of its kernel at every second pixel, and
# adds what overlaps. Does every pixel get as many contributions? Let all weights be 1 and the
# input be constant, and count (Odena et al. 2016, "Deconvolution and checkerboard artifacts").

# %% tags=["nbval-check-output"]
for kernel in (2, 3, 4, 5):
    ones = torch.ones(1, 1, 12), torch.ones(1, 1, kernel)
    counted = conv_transpose1d(*ones, stride=2)[0, 0, 8:16].int().tolist()
    print(f"kernel {kernel}: {counted}")
    assert (len(set(counted)) == 1) == (kernel % 2 == 0), "expected even overlap if 2 divides it"

# %% [markdown]
# Kernel 4 overlaps evenly, kernel 3 does not. But a network's weights are not all 1. With random
# weights each of the four kinds of pixels (even or odd row, even or odd column) gets its own sum
# of weights. A pattern that repeats every two pixels has all its energy at four places of the
# spectrum: the mean, and the highest frequency along rows, along columns, and along both. Four
# independent sums of mean zero spread their energy evenly over the four, whatever the kernel: so
# **three quarters** of the energy is checkerboard.
#
# The other way up is to **resize** (repeat each pixel) and then convolve with stride 1. There
# every pixel gets the same sum.


# %%
def response(kernel, weights, resize=False):
    """The answer to a constant input, away from the border; weights (1, n, kernel, kernel)."""
    x = torch.ones(1, 1, 12, 12)
    if resize:
        big = interpolate(x, scale_factor=2.0, mode="nearest")
        return conv2d(big, weights.mT.transpose(0, 1), padding=1)[..., 4:-4, 4:-4]
    extra = kernel % 2  # an odd kernel needs one more row to double the size
    y = conv_transpose2d(x, weights, stride=2, padding=1, output_padding=extra)
    return y[..., 4:-4, 4:-4]


def checkerboard_share(y):
    """The share of the energy at the highest frequency, along rows, columns and both."""
    return parts.checkerboard(y) ** 2 / y.square().mean().item()


ways = {"transposed, kernel 3": (3, False), "transposed, kernel 4": (4, False)}
ways["resize, kernel 3"] = (3, True)
shares = {}
for name, (kernel, resize) in ways.items():
    drawn = torch.randn(1, 4000, kernel, kernel, generator=make_rng(config.seed, name))
    equal = torch.ones(1, 1, kernel, kernel)
    shares[name] = [checkerboard_share(response(kernel, w, resize)) for w in (equal, drawn)]
table = pd.DataFrame(shares, index=["equal weights", "random weights"]).T
show_source(parts.checkerboard)
table.round(3)

# %% tags=["check"]
# equal weights, kernel 3: (1, 2) by (1, 2), so the mean is 2.25 and the mean square 6.25
assert abs(table.iloc[0, 0] - (1 - 2.25**2 / 6.25)) < 1e-6, "expected 0.19 for uneven overlap"
assert table.iloc[1, 0] < 1e-9 and table.iloc[2].max() < 1e-9, "expected none"
assert (table.iloc[:2, 1] - 0.75).abs().max() < 0.02, "expected three quarters for either kernel"

# %% [markdown]
# So the even overlap of kernel 4 is a promise about *equal* weights. At the start of training,
# with random ones, kernel 4 is no better than kernel 3. Only resizing is free of the pattern for
# any weights.
#
# A decoder does it several times, and each step doubles the pattern of the one before. What was
# the highest frequency becomes the half of it, then a quarter: patterns of 2, 4 and 8 pixels.

# %%
PERIODS = (2, 4, 8)


def decode_constant(upsample):
    """The centre of what three fresh decoder blocks make of a constant."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        blocks = [
            up_block(16, 16, upsample=upsample, norm="none", activation=nn.ReLU()) for _ in range(3)
        ]
    with torch.no_grad():
        return nn.Sequential(*blocks)(torch.ones(1, 16, 16, 16))[0, :, 32:96, 32:96]


def energy_by_period(y):
    """Shares of the energy, away from the mean, of patterns that repeat every 2, 4, 8 pixels."""
    energy = torch.fft.fft2(y.double()).abs().square().sum(0)
    energy[0, 0] = 0
    frequency = torch.arange(64)
    both = torch.gcd(torch.gcd(frequency[:, None], frequency[None, :]), torch.tensor(64))
    whole = (torch.fft.fft2(y.double()).abs().square().sum()).item()
    return [energy[both == 64 // period].sum().item() / whole for period in PERIODS]


decoded = {upsample: decode_constant(upsample) for upsample in ("transpose", "resize")}
energies = {upsample: energy_by_period(y) for upsample, y in decoded.items()}
for upsample, values in energies.items():
    listed = ", ".join(f"{p} px {v:.0%}" for p, v in zip(PERIODS, values, strict=True))
    print(f"{upsample:9} share of the energy by period: {listed}")

# %% tags=["check"]
assert min(energies["transpose"]) > 0.005 and sum(energies["transpose"]) > 0.1
assert sum(energies["resize"]) < 1e-9, "expected a constant to stay constant"

# %%
fig = Figure(figsize=(8, 2.3), layout="constrained")
for row, (upsample, y) in enumerate(decoded.items()):
    busiest = y.flatten(1).std(1).argmax() if upsample == "transpose" else y.mean((1, 2)).argmax()
    picture, spectrum = fig.add_subplot(1, 4, 2 * row + 1), fig.add_subplot(1, 4, 2 * row + 2)
    centre = y[busiest, 16:48, 16:48] / y[busiest].max()
    picture.imshow(centre, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    power = torch.fft.fftshift(torch.fft.fft2(y.double()).abs().square().sum(0))
    spectrum.imshow((power / power.max() + 1e-6).log10(), cmap="gray", vmin=-5, vmax=0)
    picture.set_title(f"{upsample}: response", fontsize=9)
    spectrum.set_title("its spectrum", fontsize=9)
    for ax in (picture, spectrum):
        ax.set(xticks=[], yticks=[])
show(
    fig,
    alt="Response of three fresh decoder blocks to a constant input. Transposed convolutions: a "
    "regular woven pattern, whose spectrum is a grid of bright points. Resize and convolve: plain "
    "white, a single point in the middle of the spectrum.",
)

# %% [markdown]
# ### And after training?
#
# Does it matter in the end? The record holds U-Nets with all three, after 300 steps. Two measures,
# both in units of ab: the checkerboard in the *error* on held-out scenes, and the checkerboard in
# the answer to *flat* pictures, which no training has seen.

# %%
names = {"kernel 3": "transposed, kernel 3", "unet": "transposed, kernel 4", "resize": "resize"}
measures = ["inside", "checkerboard", "checkerboard_on_flat"]
table = record.groupby("network")[measures].mean().loc[list(names)].rename(index=names)
one_unit = 1 / 110  # of a* or b*, in network units
for name in names:
    assert (column(name, "checkerboard") < 0.5 * one_unit).all(), "expected it to be unlearnt"
transposed = [column(name, "checkerboard_on_flat") for name in ("kernel 3", "unet")]
assert min(values.min() for values in transposed) > 1.3 * column("resize", measures[2]).max()
for values in transposed:
    times = values.mean() / column("resize", measures[2]).mean()
    assert 2 < times < 4, "expected about three times as much on flat pictures"
by_distance = [column(name, "inside") for name in names]
table.round(4)

# %% tags=["check"]
assert (by_distance[0] < by_distance[1]).all() and (by_distance[1] < by_distance[2]).all()

# %% [markdown]
# On scenes like those of the training, 300 steps have unlearnt the pattern in all three: it is
# less than half of one unit of a* or b*. On flat pictures the transposed ones still draw about
# three times as much of it as resizing does. (Resizing keeps a constant constant, as you have just
# seen. What it still draws comes in from the zeros around the picture.)
#
# And the distance from the exact answer has the opposite order: the kernel with the uneven overlap
# is nearest on every seed, resizing is farthest. So no way up is best at everything. If you see a
# woven pattern in your pictures, `UNet(upsample="resize")` will not draw it.

# %% [markdown]
# ## Dropout as the only noise
#
# A picture has many colourings; pix2pix gives one. The paper feeds no noise vector, because the
# generator learnt to ignore it; its only noise is dropout in the three innermost decoder blocks,
# left on at test time, and it reports minor variation only (Isola et al. 2017, section 3.1). How
# minor? Train a small pix2pix on scenes, where the truth about balloons is known: any hue, one
# chroma. Then draw 16 times for the same L.

# %%
pix2pix = parts.train_pix2pix(parts.PIX2PIX, config.seed)
drawn = parts.draws(pix2pix, held_out.L, n=16, seed=config.seed)  # dropout on, else eval mode
with torch.no_grad():
    once, twice = pix2pix(held_out.L), pix2pix(held_out.L)


def hue_agreement(outputs):
    """For each balloon: how alike its hue is over the draws. 1: one hue; draws at random: 0.2."""
    alike = []
    for outputs_of_one, balloons in zip(outputs.unbind(1), held_out.balloon_id, strict=True):
        for number in range(1, int(balloons.max()) + 1):
            on = balloons == number
            if on.sum() >= 6:  # of fewer pixels the mean colour says little
                ab = outputs_of_one[:, :, on].mean(-1)
                alike.append((ab / ab.norm(dim=1, keepdim=True)).mean(0).norm())
    return torch.stack(alike)


alike = hue_agreement(drawn)
ratio = scenes.score(drawn[0], held_out)["balloon_chroma_ratio"]
spread = parts.spread(drawn, held_out)
background = drawn.var(0).sum(1)[held_out.masks["background"]].mean().sqrt() / scenes.BALLOON_CHROMA
print(f"balloons have {ratio:.0%} of their chroma in the first draw")
print("standard deviation over draws / the truth's on balloons:", end=" ")
print(f"balloons {spread:.2f}, background {background:.2f}")
print(f"hue of a balloon over 16 draws: alike to {alike.median():.2f} (median balloon)")
random_hues = torch.rand(16, 4000, generator=make_rng(config.seed, "hues")) * 2 * math.pi
by_chance = torch.stack([random_hues.cos().mean(0), random_hues.sin().mean(0)]).norm(dim=0).median()
print(f"if each draw took a hue of its own: {by_chance:.2f}")

# %% tags=["check"]
assert torch.equal(once, twice), "expected no noise at all in eval mode"
assert 0.55 < ratio < 1.1, "expected a GAN that paints balloons"
assert 0.2 < spread < 0.75 and background < spread / 1.5, "expected some variation, on balloons"
assert alike.median() > 0.8 > 2 * by_chance, "expected the hue of a balloon to be nearly settled"

# %%
busy = (held_out.balloon_id > 0).sum((1, 2)).argsort(descending=True)[:3].tolist()
L = held_out.L[busy]
columns = {f"draw {k + 1}": paint(L, drawn[k, busy]) for k in range(4)}
deviation = drawn[:, busy].var(0).sum(1, keepdim=True).sqrt() / scenes.BALLOON_CHROMA
columns["deviation (white: 1)"] = deviation.clamp(max=1).expand(-1, 3, -1, -1)
columns["truth"] = held_out.rgb[busy]
show(
    image_grid(columns, cell=1.3),
    alt="Three scenes, four draws of dropout each, a map of the deviation, and the truth. Draws "
    "differ in shades on the balloons, and give each balloon much the same hue.",
)

# %% [markdown]
# In numbers the variation is not so minor: on balloons it is a good part of the truth's. But look
# at it: the shade of the pixels flickers, while the hue of a balloon, the thing that L leaves
# open, is nearly the same in all draws. Dropout gives *noise*, hardly other *answers*. A
# regression with dropout varies too, by less:

# %%
for name in ("unet", "dropout", "pix2pix"):
    print(f"{name:8} spread by seed: " + "  ".join(f"{v:.3f}" for v in column(name, "spread")))
low, high = column("pix2pix", "spread").min(), column("pix2pix", "spread").max()
worse = column("dropout", "inside") / column("unet", "inside")
print(f"L1 with dropout is {worse.mean():.1f} times as far from the exact answer as without")

# %% tags=["check"]
assert (column("unet", "spread") == 0).all(), "expected no variation without dropout"
assert (column("dropout", "spread") > 0.1).all() and (column("dropout", "spread") < 0.3).all()
assert (column("pix2pix", "spread") > 1.3 * column("dropout", "spread").max()).all()
assert low - 0.15 < spread < high + 0.15, "expected your pix2pix near the recorded ones"
assert (worse > 1.3).all(), "expected dropout to cost accuracy in a network of this size"

# %% [markdown]
# **Train or eval?** In training mode a second thing varies: batch norm uses the statistics of the
# batch, so a picture's colours depend on its company. Turn dropout off, and see.

# %%
company = copy.deepcopy(pix2pix).train()
for layer in company.modules():
    if isinstance(layer, nn.Dropout):
        layer.eval()
with torch.no_grad():
    first = company(held_out.L[:8])[0]
    other = company(torch.cat([held_out.L[:1], held_out.L[50:57]]))[0]
depends = (first - other).norm(dim=0).mean().item()
print(f"the same picture in other company: ab changes by {depends:.3f} on average")
print(f"in eval mode: by {(once[0] - twice[0]).norm(dim=0).mean().item():.3f}")

# %% tags=["check"]
assert depends > 0.005, "expected batch norm to look at the whole batch"

# %% [markdown]
# For pictures to hand out, use `eval()`: one answer, and no company. Notebook 7 comes back to
# this.

# %% [markdown]
# ## Break it once: a norm on a single pixel
#
# Why has the innermost encoder block no norm? The paper's own first version had one, and its
# errata say what happened. At batch size 1 and 256 px the innermost map is one pixel a channel.
# A norm subtracts the mean of that one number: zero is left, whatever came in. Today's batch norm
# in PyTorch refuses. A norm that is written by hand, or of another library, may not.


# %%
class NormOfOneImage(nn.Module):
    """What batch norm does in training at batch size 1."""

    def forward(self, x):
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        return centred / (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()


try:
    nn.BatchNorm2d(16).train()(torch.randn(1, 16, 1, 1))
    raise AssertionError("expected batch norm to refuse a single value")
except ValueError as error:
    print(error)

# %%
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(config.seed)
    healthy = UNetByHand(depth=5, width=8, dropout=0.0)  # 32 px: one pixel at the bottleneck
broken = copy.deepcopy(healthy)
broken.down[-1].insert(1, NormOfOneImage())


def symptoms(network, L, ab, steps=30):
    """Train on one picture, and look at the innermost block."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))
    innermost = network.down[-1][0].weight
    before = innermost.detach().clone()
    losses = []
    for _ in range(steps):
        loss = l1_loss(network(L), ab)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    x = L
    for block in network.down:
        x = block(x)
    return {
        "first loss": losses[0],
        "last loss": losses[-1],
        "largest number in the bottleneck": x.abs().max().item(),
        "gradient of the innermost weights": innermost.grad.norm().item(),
        "how far they have moved": (innermost - before).abs().max().item(),
    }


# %%
found = {
    name: symptoms(network, held_out.L[:1], held_out.true_ab[:1])
    for name, network in {"healthy": healthy, "broken": broken}.items()
}
zeros = list(found["broken"].values())[2:]
for name in found:
    assert found[name]["last loss"] < 0.7 * found[name]["first loss"], "expected the loss to fall"
pd.DataFrame(found).map("{:.4f}".format)

# %% tags=["check"]
assert zeros == [0, 0, 0], "expected the innermost block to be dead"
assert min(list(found["healthy"].values())[2:]) > 1e-4, "expected the healthy one to live"

# %% [markdown]
# The symptom is that there is none in the loss: it falls in both, because the skips carry the
# picture past the dead block. Only the gradient tells, which is exactly zero. At the full size a
# dead innermost block is 4 million parameters of dead weight. The habit to take along: after the
# first backward pass, look for parameters whose gradient is zero. Exercise 5 makes a tool of it.

# %% [markdown]
# ## Full mode: 256 px, and photographs
#
# The generator at the paper's size: one forward and one backward pass, timed, and the memory it
# takes on a GPU. Then three generators on real photographs at 128 px, with L1 alone: the U-Net,
# and a ResNet-18 encoder with random and with ImageNet weights. The trainings can be resumed, and
# each stops after 15 minutes at most unless `configure(long=True)`.

# %% tags=["full"]
if config.full:
    on_cuda = config.device.type == "cuda"
    big = UNet().to(config.device)
    # the first pass is slower than the others, and not to be quoted
    for batch_size in (1, 1, 16) if config.step_limit is None else (1,):
        big.zero_grad(set_to_none=True)
        if on_cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        started = time.perf_counter()
        big(torch.zeros(batch_size, 1, 256, 256, device=config.device)).abs().mean().backward()
        if on_cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        line = f"batch of {batch_size} at 256 px on {config.device}: {1000 * seconds:.0f} ms"
        if on_cuda:
            line += f", at most {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB"
        print(line)
    assert all(p.grad is not None for p in big.parameters()), "expected a gradient everywhere"
    del big
else:
    print("quick mode: full mode times the full U-Net at 256 px and trains on photographs")

# %% tags=["full"]
if config.full:
    photo_recipe = RECIPES["l1"].replace(size=128, batch_size=16, steps=4000, width=32, dropout=0.0)
    backbone_recipe = photo_recipe.replace(generator="backbone")
    train_set = config.photographs(128, "train")
    val_set, test_set = config.photographs(128, "val"), config.photographs(128, "test")
    trainers = {
        "unet": train_run("05_unet", photo_recipe, train_set, config, validation=val_set),
        "random": train_run("05_random", backbone_recipe, train_set, config, validation=val_set),
    }

# %% [markdown]
# For the pretrained encoder a run is begun by hand: its first weights are replaced, it is saved at
# step 0, and `train_run` goes on from there as it would after a session that died.

# %% tags=["full"]
if config.full:
    folder = config.out / "05_pretrained"
    try:
        if not is_run(folder):
            first = Trainer(
                backbone_recipe, train_set, validation=val_set, out=folder,
                seed=config.seed, device=config.device,
            )  # fmt: skip
            download = config.step_limit is None  # a test does not
            donor = BackboneUNet("resnet18", pretrained=download, width=32)
            first.generator.stages.load_state_dict(donor.stages.state_dict())
            list(first.run(0))  # takes no step, but makes the run's folder and saves
        trainers["pretrained"] = train_run(
            "05_pretrained", backbone_recipe, train_set, config, validation=val_set
        )
    except ColorlibError as error:
        print(f"no pretrained encoder here: {error}")

# %% tags=["full"]
if config.full:
    generators = {name: trainer.averaged_generator.eval() for name, trainer in trainers.items()}
    scores = evaluate(
        generators, test_set, n=config.steps(400), device=config.device, progress=False
    )
    if config.step_limit is None:
        for name in generators:
            assert scores.loc[name, "psnr"] > scores.loc["grey", "psnr"], f"expected {name} > grey"
    print(scores[["n", "psnr", "ciede2000", "chroma_ratio"]].round(3))
    photos = test_set.images(range(min(4, len(test_set))))
    photo_L = split_lab(to_float(photos))[0]
    photo_columns = {"input": grey_image(photo_L)}
    for name, generator in generators.items():
        with torch.no_grad():
            photo_ab = generator(photo_L.to(config.device)).float().cpu()
        photo_columns[name] = to_uint8(join_lab(photo_L, photo_ab, gamut="chroma"))
    show(
        image_grid(photo_columns | {"truth": photos}, cell=1.4),
        alt="Held-out photographs: input, coloured by the U-Net, by a random and by a pretrained "
        "ResNet-18 encoder, and the truth.",
    )

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: even or uneven?
#
# A transposed convolution along one line, with all weights 1, a constant input, and any kernel and
# stride. Away from the border, how many contributions does a pixel get at least, and how many at
# most? For kernel 3 and stride 2 it is (1, 2).


# %% tags=["exercise"]
def overlap(kernel, stride):
    """The fewest and the most contributions that a pixel gets: two whole numbers."""
    ### BEGIN SOLUTION
    fewest = kernel // stride
    most = -(-kernel // stride)  # rounded up
    return fewest, most
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.overlap.check(overlap)
# exercises.overlap.hint()
# exercises.overlap.solution()

# %% [markdown]
# ### Exercise 2: count the parameters
#
# Of pix2pix's U-Net with skips, for any depth of at least 2 and any width, without building it:
# kernels of 4 by 4; channels that double up to eight times the width; a scale and a shift for each
# channel of a batch norm, which all blocks have but the first and the innermost of the encoder
# and the last of the decoder; biases in the last convolution alone. At depth 8 and width 64 it is
# 54,409,858.


# %% tags=["exercise"]
def count_parameters(depth, width, in_channels=1, out_channels=2):
    """The number of parameters of UNet(in_channels, out_channels, depth, width)."""
    ### BEGIN SOLUTION
    channels = [width * min(2**floor, 8) for floor in range(depth)]
    weights = in_channels * channels[0]  # pairs of channels; 16 weights each
    for floor in range(1, depth):
        weights += channels[floor - 1] * channels[floor]  # down
        joined = 1 if floor == depth - 1 else 2  # the innermost has no skip
        weights += joined * channels[floor] * channels[floor - 1]  # up
    weights += 2 * channels[0] * out_channels
    norms = sum(channels[1:-1]) + sum(channels[:-1])
    return 16 * weights + 2 * norms + out_channels
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.count_parameters.check(count_parameters)
# exercises.count_parameters.hint()
# exercises.count_parameters.solution()

# %% [markdown]
# ### Exercise 3: fix the size error
#
# `network` takes pictures whose height and width are multiples of `multiple`, and raises a
# `RuntimeError` for others. Run it on a picture of any size: repeat the last row and column as
# often as needed, and no more, on the right and at the bottom, and cut the output back.


# %% tags=["exercise"]
def any_size(network, multiple, L):
    """What `network` makes of L, (b, 1, h, w): (b, 2, h, w) for any h and w."""
    ### BEGIN SOLUTION
    height, width = L.shape[-2:]
    padded = pad(L, (0, -width % multiple, 0, -height % multiple), mode="replicate")
    return network(padded)[..., :height, :width]
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.any_size.check(any_size)
# exercises.any_size.hint()
# exercises.any_size.solution()

# %% [markdown]
# ### Exercise 4: the detached branch
#
# `suspect` is a residual block with a bug that was found in a published notebook, cut down to what
# matters. It runs, its output is right, and a network built of it learns. Yet one of its two
# branches stays forever as it was drawn. Which? Write `residual` with the same output and the
# gradient in both.


# %% tags=["exercise"]
def suspect(x, branch, shortcut):
    out = branch(x)
    out.data += shortcut(x).data
    return torch.relu(out)


def residual(x, branch, shortcut):
    """The same output as suspect's. `branch` and `shortcut` are modules."""
    ### BEGIN SOLUTION
    return torch.relu(branch(x) + shortcut(x))  # .data would cut the shortcut off the graph
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.residual.check(residual)
# exercises.residual.hint()
# exercises.residual.solution()

# %% [markdown]
# ### Exercise 5: the test that catches it
#
# Write a tool that would have found the block above, and the dead bottleneck too. Given any module
# and an example, list the names of the parameters that no gradient reaches: the gradient is
# missing, or zero everywhere. Parameters that are frozen on purpose (`requires_grad=False`) do not
# count. Beware of gradients that were there before.


# %% tags=["exercise"]
def unreached(module, x):
    """Names of the trainable parameters that the sum of squares of module(x) gives no gradient."""
    ### BEGIN SOLUTION
    module.zero_grad(set_to_none=True)
    module(x).square().sum().backward()
    return [
        name
        for name, p in module.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.unreached.check(unreached)
# exercises.unreached.hint()
# exercises.unreached.solution()

# %% [markdown]
# ## Recap
#
# 1. The paper's table is 16 blocks; weights sit at the bottom of the U, large maps at the top.
# 2. A size must be a multiple of $2^{\text{depth}}$; padding makes any size work, and is felt at
#    the border.
# 3. Skips help everywhere, most on the middle floors; strides and max pooling are close.
# 4. Shortcuts keep the gradient alive in deep stacks; batch norm alone makes it explode.
# 5. With random weights every transposed convolution draws checkerboards; training unlearns most.
#    Dropout varies shades, hardly the hue.
#
# **Words**
#
# - **Ck, CDk**: convolution to k channels, norm, ReLU; with dropout.
# - **Max pooling**: keeps the largest value of each window.
# - **Shortcut**: the way round the convolutions of a residual block.
# - **Vanishing, exploding gradient**: it shrinks or grows with every layer it passes.
# - **Backbone**: an encoder taken from a network that was trained for something else.
# - **Checkerboard**: a pattern of two pixels' period that strided layers draw by themselves.
#
# **Papers.** Isola, Zhu, Zhou and Efros 2017, "Image-to-image translation with conditional
# adversarial networks"; Ronneberger, Fischer and Brox 2015, "U-Net"; He, Zhang, Ren and Sun 2016,
# "Deep residual learning for image recognition"; Yang, Pennington, Rao, Sohl-Dickstein and
# Schoenholz 2019, "A mean field theory of batch normalization"; Odena, Dumoulin and Olah 2016,
# "Deconvolution and checkerboard artifacts"; Shi et al. 2016, "Real-time single image and video
# super-resolution using an efficient sub-pixel convolutional neural network".
#
# **Next**: [The PatchGAN discriminator](06_patchgan.ipynb), the network that judges what this one
# paints.
