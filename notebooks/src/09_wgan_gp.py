# %% [markdown] tags=["title"]
# # 9. WGAN-GP and residual U-Nets
#
# {{badges}}
#
# At the end you will have built pix2pix with a Wasserstein critic and a residual U-Net, and you
# will know from measurement what it is better at, and what not.

# %% [markdown]
# **You will learn**
#
# - why the best critic has slope 1 along the ways of transport, and how a penalty asks for that;
# - what a gradient of a gradient is, and what happens without it;
# - the usual mistakes in a gradient penalty (wrong axis, wrong mixture, batch norm), each with the
#   number that gives it away;
# - the whole system "pix2pix + WGAN-GP + residual U-Net", equal to the library's;
# - whether it is sharper and more stable than its rivals.
#
# **You need** [Wasserstein GAN](08_wasserstein_gan.ipynb) (plan, potential, critic, clip) and, for
# the last part, [the U-Net](05_unet.ipynb) and its residual blocks.
#
# **Time**: quick mode about 100 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import math

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment, linprog
from torch import nn
from torch.func import functional_call

from colorlib import blocks, scenes
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course import (
    Panel,
    assert_same_function,
    choice,
    quote,
    rerun,
    show_source,
    train_run,
)
from colorlib.course.exercises import notebook_09 as exercises
from colorlib.course.experiments import rivals
from colorlib.datasets import Batches, open_source
from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN
from colorlib.figures import PALETTE, image_grid, show
from colorlib.losses import gradient_penalty, l1_loss, wasserstein_d_loss, wasserstein_g_loss
from colorlib.recipes import RECIPES, build_discriminator, build_generator
from colorlib.training import Trainer

# %% [markdown]
# ## What the best critic looks like
#
# A critic must be 1-Lipschitz: nowhere steeper than 1. Clipping its weights bounds the slope by
# an unknown number and bends the function (notebook 8). To ask for the condition itself, first
# look at how the *best* critic $f$ meets it. In small steps, with the plan $T$ of the least cost
# that carries the fakes $y_j$ to the real points $x_i$:
#
# 1. The rows of $T$ sum to the weights of the $x_i$, its columns to those of the $y_j$. So
#    $E_p f - E_q f = \sum_{ij} T_{ij}\,(f(x_i) - f(y_j))$.
# 2. 1-Lipschitz: each bracket is at most the distance $d(x_i, y_j)$.
# 3. But the best $f$ reaches the whole cost $W = \sum_{ij} T_{ij}\, d(x_i, y_j)$ (duality). So
#    **wherever earth is carried, the bracket equals the distance**.

# %% [markdown]
# 4. Walk straight from $y_j$ to $x_i$. $f$ climbs by $d$ over a way of length $d$, and never
#    faster than 1. So it climbs at exactly 1 all the way.
# 5. A slope of 1 along that line and of no more than 1 in any direction: if $f$ has a gradient
#    there, it points along the line and **its norm is 1**.
#
# That is proposition 1 of Gulrajani et al. 2017. Check it with seven fakes and seven real points
# in the plane: the plan by assignment, the potential by linear program (as in notebook 8). Between
# the points use the steepest allowed surface, $f(z) = \max_i\,(f(x_i) - \lVert z - x_i \rVert)$.


# %% tags=["nbval-check-output"]
def best_potential(real, fake):
    """The 1-Lipschitz heights of all points, real ones first, that tell the two groups apart."""
    points = np.vstack([real, fake])
    far = np.linalg.norm(points[:, None] - points[None], axis=2)
    pairs = [(i, j) for i in range(len(points)) for j in range(len(points)) if i != j]
    steep = np.zeros((len(pairs), len(points)))
    for row, (i, j) in enumerate(pairs):
        steep[row, i], steep[row, j] = 1, -1
    gain = np.repeat([-1, 1], [len(real), len(fake)])  # linprog minimises
    free = [(0, 0)] + [(None, None)] * (len(points) - 1)
    found = linprog(gain, A_ub=steep, b_ub=[far[pair] for pair in pairs], bounds=free)
    assert found.success, found.message
    return found.x


dice = np.random.default_rng(config.seed)
to_the_right = np.array([2.0, 0.0])
real_few = dice.normal(size=(7, 2)) + to_the_right
fake_few = dice.normal(size=(7, 2)) - to_the_right
heights = best_potential(real_few, fake_few)
ways = np.linalg.norm(real_few[:, None] - fake_few[None], axis=2)
climbs = heights[:7, None] - heights[None, 7:]
rows, columns = linear_sum_assignment(ways)  # the plan: one fake to each real point

full_price = np.isclose(climbs, ways, atol=1e-7)
print(f"carried pairs whose climb is their distance: {full_price[rows, columns].sum()} of 7")
print(f"pairs whose climb exceeds their distance: {(climbs > ways + 1e-7).sum()} of 49")

# %% tags=["check"]
assert full_price[rows, columns].all() and full_price.sum() < 24, "expected step 3"


# %% tags=["nbval-check-output"]
def surface(z):
    """The steepest 1-Lipschitz surface through the heights of the real points."""
    cones = torch.tensor(heights[:7]) - (z[:, None] - torch.tensor(real_few)).norm(dim=2)
    return cones.max(dim=1).values


largest = 0.0
for i, j in zip(rows, columns):
    start, end = torch.tensor(fake_few[j]), torch.tensor(real_few[i])
    z = start + torch.linspace(0.05, 0.95, 19, dtype=torch.double)[:, None] * (end - start)
    (slope,) = torch.autograd.grad(surface(z.requires_grad_()).sum(), z)
    along = (end - start) / (end - start).norm()
    largest = max(largest, (slope - along).abs().max().item())
print(f"along the 7 ways, gradient and direction differ by at most {largest:.4f}")

# %% tags=["check"]
assert largest < 1e-6, "expected the gradient to be the unit vector along the way"

# %% [markdown]
# Every carried pair pays the full price, and along its way the gradient is the unit vector that
# points from the fake to the real point.

# %% [markdown]
# ## The gradient penalty
#
# We do not know the plan. Gulrajani et al. 2017 (section 4, equation 3) take a real point and a
# fake one at random, a point between them, and punish a gradient norm that is not 1:
#
# $$L_D = E[f(\tilde x)] - E[f(x)] + \lambda\,
# E_{\hat x}\left[(\lVert \nabla_{\hat x} f(\hat x) \rVert - 1)^2\right]$$
#
# with fakes $\tilde x$, $\hat x = \alpha x + (1 - \alpha) \tilde x$ and **one $\alpha$ a sample,
# uniform in 0 to 1**. $\lambda = 10$ is the **penalty weight**. A toy in the plane: two heaps of
# real points on the right, one heap of fakes on the left.


# %%
def real_points(n, rng):
    side = 2.0 * torch.randint(2, (n, 1), generator=rng) - 1
    return torch.cat([torch.full((n, 1), 0.5), side / 3], dim=1) + 0.1 * torch.randn(
        n, 2, generator=rng
    )


def fake_points(n, rng):
    return torch.tensor([-0.5, 0.0]) + 0.1 * torch.randn(n, 2, generator=rng)


def new_critic(rng, width=64):
    with blocks.global_rng_from(rng):
        hidden = nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        return nn.Sequential(*hidden, nn.Linear(width, 1))


def uniform(n, rng):
    return torch.rand(n, 1, generator=rng)


def point_penalty(critic, mixed, create_graph=True):
    """Mean of (norm of the gradient - 1)^2 at given points."""
    mixed = mixed.detach().requires_grad_()
    scores = critic(mixed)
    (slope,) = torch.autograd.grad(scores.sum(), mixed, create_graph=create_graph)
    return (slope.norm(dim=1) - 1).square().mean()


# %%
def train_critic(seed, weight=10.0, clip=None, alpha=uniform, create_graph=True, steps=300):
    """A critic between the heaps, by penalty or by clip. The rate falls to 0."""
    rng = torch.Generator().manual_seed(seed)
    critic = new_critic(rng)
    optimizer = torch.optim.Adam(critic.parameters(), 4e-3, (0.0, 0.9))
    if clip is not None:
        optimizer = torch.optim.RMSprop(critic.parameters(), clip / 20)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        real, fake = real_points(128, rng), fake_points(128, rng)
        loss = wasserstein_d_loss(critic(real), critic(fake))
        if clip is None:
            share = alpha(128, rng)
            mixed = share * real + (1 - share) * fake
            loss = loss + weight * point_penalty(critic, mixed, create_graph)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        for parameter in critic.parameters() if clip else ():
            parameter.data.clamp_(-clip, clip)
    return critic


def norms(critic, points):
    """The norm of the critic's gradient at each point."""
    points = points.detach().clone().requires_grad_()
    return torch.autograd.grad(critic(points).sum(), points)[0].norm(dim=1)


# %%
torch.set_num_threads(1)  # networks this small: a second thread costs more than it brings
rng = torch.Generator().manual_seed(100 + config.seed)
a, b = real_points(1000, rng), fake_points(1000, rng)
cost = torch.cdist(a, b)
true_w = cost[linear_sum_assignment(cost)].mean().item()
share = uniform(1000, rng)
middle = share * a + (1 - share) * b  # points between, on lines that no training has seen


def summary(critic):
    with torch.no_grad():
        estimate = (critic(a).mean() - critic(b).mean()).item()
    norm = norms(critic, middle)
    low, high = norm.quantile(torch.tensor([0.05, 0.95])).tolist()
    return {"norm": norm.mean().item(), "5 %": low, "95 %": high, "estimate / W": estimate / true_w}


critics = {"penalty": train_critic(0), "clip 0.1": train_critic(0, clip=0.1)}
table = pd.DataFrame({name: summary(critic) for name, critic in critics.items()}).T
print(f"true distance W = {true_w:.3f}")
print(table.round(3).to_string())
width = table["95 %"] - table["5 %"]

# %% tags=["check"]
assert abs(table.loc["penalty", "norm"] - 1) < 0.12, "expected a norm near 1 between the heaps"
assert width["penalty"] < 0.3 < width["clip 0.1"], "expected one norm everywhere, unlike a clip"

# %% [markdown]
# The penalised critic has nearly one slope between the heaps, the clipped one several. But the
# penalised one's is a little above 1, nearly everywhere. Chance?

# %% [markdown]
# ### Near 1, and how near
#
# No. A penalty is no law: breaking it a little pays. Take the best critic and make it $k$ times
# as steep. The loss is then $-kW + \lambda (k - 1)^2$, its slope in $k$ is
# $-W + 2\lambda(k - 1)$, and that is 0 at
#
# $$k = 1 + \frac{W}{2\lambda}$$
#
# So the critic is too steep by $W / 2\lambda$, and reports $k W$ instead of $W$. This holds for
# any $\lambda$ that you choose: try three.

# %%
weights = (1.0, 10.0, 100.0)
by_weight = {weight: train_critic(1, weight) for weight in weights}
table = pd.DataFrame({weight: summary(critic) for weight, critic in by_weight.items()}).T
table["1 + W / 2 lambda"] = [1 + true_w / (2 * weight) for weight in weights]
print(table.round(3).rename_axis("lambda").to_string())
off = (table["norm"] - table["1 + W / 2 lambda"]).abs()

# %% tags=["check"]
assert (off < 0.08).all(), "expected the norm that the formula gives"

# %%
grid = torch.cartesian_prod(torch.linspace(-1.1, 1.1, 60), torch.linspace(-0.9, 0.9, 50))
fig = Figure(figsize=(8.6, 3.0), layout="constrained")
*maps, right = fig.subplots(1, 3)
for ax, (name, critic) in zip(maps, critics.items()):
    picture = norms(critic, grid).reshape(60, 50).T
    seen = ax.imshow(picture, origin="lower", extent=(-1.1, 1.1, -0.9, 0.9), vmin=0, vmax=2)
    ax.scatter(*a[:150].T, s=2, color="white")
    ax.scatter(*b[:150].T, s=2, color=PALETTE[1])
    ax.set_title(f"{name}: gradient norm", fontsize=10)
fig.colorbar(seen, ax=maps, shrink=0.8)
for (name, critic), colour in zip(critics.items(), PALETTE):
    right.hist(norms(critic, middle), bins=40, range=(0, 2), color=colour, alpha=0.6, label=name)
right.axvline(1, color="black", linewidth=0.8)
right.set(xlabel="norm between the heaps", ylabel="points")
right.legend(fontsize=9)
show(
    fig,
    alt="Two maps of the gradient norm with white real and orange fake points. With the penalty "
    "the norm is near 1 all over the middle; clipped, it jumps from wedge to wedge. The histogram "
    "on the right has one narrow peak just above 1 for the penalty and several for the clip.",
)

# %% [markdown]
# The map of the penalised critic has one colour between the heaps. Behind them, where nothing is
# mixed, nobody asks for a norm of 1.

# %% [markdown]
# ## On pictures: write the penalty
#
# Three things are new. The critic sees lightness and colours, but real and fake share their L: only
# ab is mixed, and the gradient is in ab. A PatchGAN gives a map of scores: a sample's score is the
# mean of its map. And a sample is a whole picture: **the norm runs over all of its ab values**,
# channels, rows and columns, and not over the batch.


# %%
def my_penalty(critic, L, real_ab, fake_ab, rng):
    alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng)  # one number a sample
    mixed = (alpha * real_ab + (1 - alpha) * fake_ab).detach().requires_grad_()
    scores = critic(torch.cat([L, mixed], dim=1)).flatten(1).mean(dim=1)  # one a sample
    # no score depends on another sample, so the sum's gradient holds each sample's own
    (slope,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


world = scenes.draw(range(256), 16)
L, real_ab = world.L, world.true_ab
dull_ab = scenes.posterior_median(world)  # fakes: the grey balloons that an L1 loss asks for
net = PatchGAN(receptive_field=16, width=8, norm="layer", rng=make_rng(0, "critic"))
names, values = zip(*net.named_parameters())


def of_weights(penalty):
    """The penalty as a function of the critic's weights."""

    def value(*weights):
        def critic(x):
            return functional_call(net, dict(zip(names, weights)), (x,))

        rng = torch.Generator().manual_seed(3)
        return penalty(critic, L[:8], real_ab[:8], dull_ab[:8], rng=rng)

    return value


# values, and the gradients in every weight: those pass through the gradient, twice backward
assert_same_function(of_weights(my_penalty), of_weights(gradient_penalty), *values)
show_source(gradient_penalty)

# %% [markdown]
# Same value, same gradient in each of the weights. From here on the library's is used.

# %% [markdown]
# ## Double backward
#
# The penalty holds a gradient, $\nabla_{\hat x} f$, and training needs *its* derivative in the
# weights. Take the smallest critic, $f(x) = w \cdot x$. Its gradient in $x$ is $w$ at every place,
# so the penalty is $(\lVert w \rVert - 1)^2$, and its derivative in $w$ is
#
# $$2\,(\lVert w \rVert - 1)\,\frac{w}{\lVert w \rVert}$$
#
# `create_graph=True` makes autograd record how the gradient was computed, so that it can be
# differentiated again. Without, the gradient is a plain number: the penalty has the right
# *value*, and no way back to the weights.

# %% tags=["nbval-check-output"]
w = torch.tensor([3.0, -4.0], requires_grad=True)
x = torch.zeros(5, 2, requires_grad=True)
for create_graph in (True, False):
    (slope,) = torch.autograd.grad((x @ w).sum(), x, create_graph=create_graph)
    value = (slope.norm(dim=1) - 1).square().mean()
    print(f"create_graph={create_graph!s:5} penalty {value.item():.4f}", end="")
    if value.requires_grad:
        (found,) = torch.autograd.grad(value, w)
        print(f", derivative ({found[0]:.4f}, {found[1]:.4f})")
        by_hand = 2 * (w.norm() - 1) * w / w.norm()
        assert torch.allclose(found, by_hand.detach()), "expected the derivative by hand"
    else:
        print(", no derivative")

# %% tags=["check"]
assert not value.requires_grad, "expected a number without a graph"

# %% [markdown]
# Alone, such a penalty fails loudly at `backward()`. In a sum with the rest of the loss it does
# not: the sum still has a graph, and the penalty is a constant in it. That is the bug to look for.

# %% [markdown]
# ### Break it on purpose: the penalty that is only printed

# %%
silent = train_critic(0, create_graph=False)
rng = torch.Generator().manual_seed(0)
mixed = uniform(128, rng) * (a[:128] - b[:128]) + b[:128]
printed = point_penalty(silent, mixed, create_graph=False).item()
found = summary(silent)
print(f"without create_graph: norm {found['norm']:.0f}, estimate / W {found['estimate / W']:.0f}")
print(f"the penalty that is printed: {printed:,.0f}")

# %% tags=["check"]
assert found["norm"] > 100 and printed > 1e4, "expected a critic that nothing holds"

# %% [markdown]
# The symptom: the penalty is computed, logged, and grows without end, with the estimate. If a
# penalty does not settle far below 1 within a few hundred steps, test its gradient first.

# %% [markdown]
# ## Over which axes
#
# Images have four axes, and `norm(dim=1)` is quickly written: a norm over the two channels, **one
# for each pixel**. Asked for a norm of 1 at each of $n$ pixels, the gradient of the whole sample
# has the norm $\sqrt n$. The other way round, one norm over everything, batch included, asks each
# of $B$ samples for $1/\sqrt{B}$. On 16 x 16 pixels with batches of 16: 16 and 0.25.
#
# Train a small critic between true colours and dull ones with each of the three.


# %%
def on_the_way(critic, L, ab):
    """Each sample's score and the gradient of their sum in ab."""
    ab = ab.detach().requires_grad_()
    scores = critic(torch.cat([L, ab], dim=1)).flatten(1).mean(dim=1)
    return torch.autograd.grad(scores.sum(), ab, create_graph=True)[0]


AXES = {
    "sample (right)": lambda slope: slope.flatten(1).norm(dim=1),
    "channels only": lambda slope: slope.norm(dim=1),
    "batch as well": lambda slope: slope.norm(),
}


def train_on_pictures(seed, axes="sample (right)", norm="layer", steps=100, n=16):
    """A critic of true against dull colours. Returns it and its last penalty."""
    rng = torch.Generator().manual_seed(seed)
    critic = PatchGAN(receptive_field=16, width=8, norm=norm, rng=rng)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3, (0.0, 0.9))
    for _ in range(steps):
        i = torch.randint(len(L), (n,), generator=rng)
        alpha = torch.rand(n, 1, 1, 1, generator=rng)
        mixed = alpha * real_ab[i] + (1 - alpha) * dull_ab[i]
        penalty = (AXES[axes](on_the_way(critic, L[i], mixed)) - 1).square().mean()
        real, fake = (critic(torch.cat([L[i], ab[i]], dim=1)) for ab in (real_ab, dull_ab))
        loss = wasserstein_d_loss(real, fake) + 10 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return critic


@torch.no_grad()
def score(critic, ab, i=slice(0, 64)):
    return critic(torch.cat([L[i], ab[i]], dim=1)).flatten(1).mean(dim=1)


# %%
halfway = (real_ab + dull_ab) / 2
rows = []
for axes in AXES:
    critic = train_on_pictures(0, axes)
    norm = on_the_way(critic, L[:64], halfway[:64]).flatten(1).norm(dim=1).mean().item()
    gap = (score(critic, real_ab) - score(critic, dull_ab)).mean().item()
    rows.append({"norm over": axes, "norm of a sample": norm, "estimate": gap})
by_axes = pd.DataFrame(rows).set_index("norm over")
print(by_axes.round(2).to_string())
sample_norm = by_axes["norm of a sample"]

# %% tags=["check"]
assert 0.6 < sample_norm.iloc[0] < 1.4, "expected the right axes to give about 1"
assert 10 < sample_norm.iloc[1] < 26, "expected the root of 256 pixels, about"
assert sample_norm.iloc[2] < 0.45, "expected one over the root of 16 samples, about"

# %% [markdown]
# No error message, and each of the three penalties goes to nearly 0. The symptom is the scale: the
# estimate of "channels only" is some ten times too large, so that the adversarial term drowns the
# L1 term, and changes with the size of the pictures. With the batch in the norm it is too small,
# and changes with the batch size.

# %% [markdown]
# ## Which mixture
#
# Three slips in $\alpha$ (the first is found in published code), in the plane of the two heaps:
#
# - **from a normal distribution** (`randn` for `rand`): two of three points then do not lie
#   between real and fake at all;
# - **one for the whole batch**: all points at the same share of their ways;
# - **one for each coordinate**: the point leaves the line. In a picture, with one $\alpha$ a
#   pixel, the mixture is always near the middle and full of noise.
#
# First by counting, 100,000 draws each, for pictures of 2 x 16 x 16 numbers. The *place* on the
# way is the projection onto the line, 0 at the fake and 1 at the real sample.

# %% tags=["nbval-check-output"]
rng = torch.Generator().manual_seed(config.seed)
outside = torch.randn(100_000, generator=rng)
outside = ((outside < 0) | (outside > 1)).float().mean().item()
exact = 1 - math.erf(1 / math.sqrt(2)) / 2
print(f"normal alpha: share of points outside {exact:.2f}")

gap = torch.randn(512, generator=rng)  # real less fake: some difference of 512 numbers
gap = gap / gap.norm()
places = torch.rand(5_000, 512, generator=rng) @ gap.square()
off_line = (torch.rand(5_000, 512, generator=rng) - 0.5).mul(gap).norm(dim=1).mean().item()
print(f"place on the way, standard deviation: one a sample {math.sqrt(1 / 12):.2f}", end=", ")
print(f"one a number {places.std().item():.2f}")
print(f"distance from the middle with one a number: {off_line:.2f} of the way's length")

# %% tags=["check"]
assert abs(outside - exact) < 0.01, "expected the share by the error function"
assert 0.01 < places.std() < 0.03, "expected all mixtures near the middle"

# %% [markdown]
# Now train, three seeds each. *Norm* is the mean between the heaps (the formula says
# $1 + W/2\lambda = 1.05$), *jitter* the standard deviation of the penalty from batch to batch for
# one and the same critic.

# %%
ALPHAS = {
    "one a sample (right)": uniform,
    "normal": lambda n, rng: torch.randn(n, 1, generator=rng),
    "one a batch": lambda n, rng: torch.rand(1, 1, generator=rng).expand(n, 1),
    "one a coordinate": lambda n, rng: torch.rand(n, 2, generator=rng),
}
steep = train_critic(5, steps=60)  # one critic, not yet settled, for the jitter


def jitter(alpha):
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(200):
        share = alpha(128, rng)
        mixed = share * real_points(128, rng) + (1 - share) * fake_points(128, rng)
        found.append(point_penalty(steep, mixed).item())
    return np.std(found)


rows = []
for name, alpha in ALPHAS.items():
    found = [summary(train_critic(seed, alpha=alpha, steps=200))["norm"] for seed in (0, 1, 2)]
    rows.append({"alpha": name, "norm": np.mean(found), "spread": np.ptp(found)})
    rows[-1]["jitter"] = jitter(alpha)
mixtures = pd.DataFrame(rows).set_index("alpha")
print(mixtures.round(4).to_string())
ratio = mixtures["jitter"] / mixtures["jitter"].iloc[0]
harmless = abs(mixtures.loc["one a coordinate", "norm"] - mixtures["norm"].iloc[0])

# %% tags=["check"]
assert abs(mixtures.loc["one a sample (right)", "norm"] - 1.05) < 0.04, "expected the formula's"
assert mixtures.loc["normal", "norm"] > mixtures["norm"].iloc[0] + 0.04, "expected a steeper one"
assert ratio["one a batch"] > 3, "expected one alpha a batch to make the penalty jitter"
assert harmless < 0.03, "expected no visible harm in the plane"

# %% [markdown]
# With a normal $\alpha$ much of the penalty is spent outside, and between the heaps, where it
# matters, the critic is steeper than the formula allows. One $\alpha$ a batch has the right mean
# and several times the jitter. One a coordinate did **no visible harm** here: the plane is too
# small for it. In pictures it leaves the ends of the way unwatched; the count above is all that we
# claim.

# %% [markdown]
# ## No batch norm in the critic
#
# The sum trick in the penalty holds if no sample's score depends on another sample. Batch norm
# breaks that: it takes mean and variance over the whole batch. Then the penalty is on a gradient
# that is nobody's. (Gulrajani et al. 2017, section 4, "No critic batch normalization"; they
# recommend **layer norm**, which normalises within one sample.) Three measures on critics trained
# as above:
#
# - *from others*: the share of one score's gradient that lies on other samples;
# - *own norm*: the norm of a sample's own gradient, beside the *punished* one, from the sum;
# - *apart*, *together*: the mean score of true less that of dull colours, each in a batch of their
#   own, or all in one batch.


# %%
def in_company(critic):
    """How much scores depend on what else is in the batch."""
    i = slice(0, 16)
    ab = halfway[i].clone().requires_grad_()
    scores = critic(torch.cat([L[i], ab], dim=1)).flatten(1).mean(dim=1)
    slopes = [torch.autograd.grad(s, ab, retain_graph=True)[0].flatten(1) for s in scores]
    own = torch.stack([slope[k].norm() for k, slope in enumerate(slopes)])
    everything = torch.stack([slope.norm() for slope in slopes])
    both = torch.cat([L[i], L[i]]), torch.cat([real_ab[i], dull_ab[i]])
    with torch.no_grad():
        together = critic(torch.cat(both, dim=1)).flatten(1).mean(dim=1)
    return {
        "from others": (1 - (own / everything).square()).clamp(min=0).sqrt().mean().item(),
        "own norm": own.mean().item(),
        "punished": sum(slopes).norm(dim=1).mean().item(),
        "apart": (score(critic, real_ab, i) - score(critic, dull_ab, i)).mean().item(),
        "together": (together[:16].mean() - together[16:].mean()).item(),
    }


found = {norm: in_company(train_on_pictures(2, norm=norm)) for norm in ("batch", "layer", "none")}
company = pd.DataFrame(found).T
print(company.round(3).to_string())
differ = (company["together"] / company["apart"] - 1).abs()
for norm in ("layer", "none"):
    assert company.loc[norm, "from others"] < 1e-3 and differ[norm] < 1e-3, "expected no mixing"
    gap = (company.loc[norm, "own norm"] - company.loc[norm, "punished"]).item()
    assert abs(gap) < 1e-3, "expected the punished gradient to be the sample's own"

# %% tags=["check"]
assert company.loc["batch", "from others"] > 0.05, "expected batch norm to mix samples"
assert differ["batch"] > 0.05, "expected another score in other company"

# %% [markdown]
# With batch norm the same pictures get other scores in other company, and the gradient that is
# punished is not the one that a picture has. The symptom in a log is faint: the penalty settles,
# and the critic's own slope is another. (So test it, as in the last exercise.) Without any norm
# nothing is mixed, but this critic, with small first weights, is slow to find the difference.

# %% [markdown]
# ## The penalty weight
#
# A game whose truth is known: fakes are real points moved by $\theta$, so $W = |\theta|$. The
# generator is $\theta$ itself, and starts at $|\theta| = 1$. It takes 40 steps of at most 0.05.
#
# **Predict first.** The formula says that the estimate is $1 + W / 2\lambda$ times too large. Does
# that hold in a game, for $\lambda = 0.1$? And will a generator that only needs a *direction* care?


# %%
def shift_game(weight, n_critic, seed=0, steps=40):
    """Estimate and true distance before each step of the generator."""
    rng = torch.Generator().manual_seed(seed)
    theta = torch.tensor([-0.8, 0.6], requires_grad=True)
    critic = new_critic(rng, width=32)
    of_critic = torch.optim.Adam(critic.parameters(), 4e-3, (0.0, 0.9))
    of_theta = torch.optim.Adam([theta], 0.05, (0.0, 0.9))
    path = []
    for step in range(steps):
        for _ in range(100 if step == 0 else n_critic):  # the critic may settle first
            real, fake = real_points(64, rng), real_points(64, rng) + theta.detach()
            alpha = uniform(64, rng)
            penalty = point_penalty(critic, alpha * real + (1 - alpha) * fake)
            loss = wasserstein_d_loss(critic(real), critic(fake)) + weight * penalty
            of_critic.zero_grad()
            loss.backward()
            of_critic.step()
        path.append((-wasserstein_d_loss(critic(real), critic(fake)).item(), theta.norm().item()))
        loss = wasserstein_g_loss(critic(real_points(64, rng) + theta))
        of_theta.zero_grad()
        loss.backward()
        of_theta.step()
    return pd.DataFrame(path, columns=["estimate", "truth"])


games = {(w, n): shift_game(w, n) for w in (0.1, 1.0, 10.0, 100.0) for n in (1, 5, 15)}


# %%
def draw(fig, weight, n_critic):
    path = games[weight, n_critic]
    far = path[path["truth"] > 0.3]  # on the way, where the distance is well above the noise
    ratio = (far["estimate"] / far["truth"]).mean()
    left, right = fig.subplots(1, 2)
    left.plot(path["truth"], color="black", label="true distance")
    left.plot(path["estimate"], color=PALETTE[1], label="critic's estimate")
    left.set(xlabel="step of the generator", ylabel="distance")
    left.legend(fontsize=8)
    right.scatter(path["truth"], path["estimate"], s=12, color=PALETTE[1])
    line = np.linspace(0, 1, 20)
    right.plot(line, line * (1 + line / (2 * weight)), "--", color="0.5", label="k W")
    right.set(xlabel="true distance", ylabel="estimate")
    right.legend(fontsize=8)
    return (
        f"estimate / truth on the way {ratio:.2f}; "
        f"distance at the end {path['truth'].tail(10).mean():.3f}"
    )


panel = Panel(
    draw,
    figsize=(8, 3.0),
    alt="The true distance falls from 1 to about 0 in twenty steps and the critic's estimate "
    "follows it; in the scatter plot the points lie near the curve of the formula.",
    weight=choice([0.1, 1.0, 10.0, 100.0], value=1.0, label="penalty weight"),
    n_critic=choice([1, 5, 15], value=5, label="critic steps for one of G"),
)
panel

# %% tags=["check"]
panel.try_controls()  # moves every control to its ends: each must change the text


# %%
def on_the_path(weight, n_critic):
    far = games[weight, n_critic].query("truth > 0.3")
    return (far["estimate"] / far["truth"]).mean()


weights = (0.1, 1.0, 10.0, 100.0)
ratios = pd.DataFrame({n: {w: on_the_path(w, n) for w in weights} for n in (1, 5, 15)})
ends = pd.DataFrame({n: {w: games[w, n]["truth"].tail(10).mean() for w in weights} for n in ratios})
print("estimate / truth on the way, by penalty weight and critic steps:")
print(ratios.round(2).to_string())
print("true distance at the end:")
print(ends.round(3).to_string())

# %% tags=["check"]
assert 2.5 < ratios.loc[0.1, 15] < 6, "expected a light penalty to leave a scale far above 1"
assert ends.loc[0.1, 15] < 0.16, "expected the generator to arrive all the same"
assert ends.loc[10.0, 15] > 1.5 * ends.loc[0.1, 15], "expected a heavier penalty to be slower"
assert ends.loc[100.0, 1] > 0.5, "expected a stiff critic with one step to lead nowhere"

# %% [markdown]
# With $\lambda = 0.1$ the estimate is some four times too large, as the formula says, and the
# generator arrives all the same: it needs the direction only. A heavy penalty makes the critic
# **stiff**: any slope of norm 1 satisfies it, in whatever direction, and only the other term,
# which weighs little beside it, turns the critic round. Then the fakes have long moved on, and
# the estimate is even negative. More critic steps help. A true scale and a quick critic ask for
# opposite weights; $\lambda = 10$ with five steps suits slower generators than this one.

# %% [markdown]
# ## The whole system
#
# Now pix2pix as published projects announce it: a **residual U-Net** $G$ (built in
# [notebook 5](05_unet.ipynb)), a PatchGAN as critic with layer norm, the penalty, and an L1 term.
# $G$ minimises
#
# $$\lambda_{L1}\,E\lVert y - G(L) \rVert_1 - E[f(L, G(L))]$$
#
# It is the preset `resunet-wgan-gp`. One step by hand: five updates of the critic, each on a
# fresh batch, then one of $G$ on the last.


# %%
class System:
    """Generator, critic and their optimizers, as a recipe says."""

    def __init__(self, recipe, seed):
        self.recipe, self.seed = recipe, seed
        self.generator = build_generator(recipe, make_rng(seed, "generator"))
        self.critic = build_discriminator(recipe, make_rng(seed, "discriminator"))
        of = torch.optim.Adam
        self.of_generator = of(self.generator.parameters(), recipe.lr_g, recipe.betas)
        self.of_critic = of(self.critic.parameters(), recipe.lr_d, recipe.betas)

    def step(self, batches, number):
        for i, images in enumerate(batches):
            L, real_ab = split_lab(to_float(images))
            fake_ab = self.generator(L)
            rng = make_rng(self.seed, "penalty", number, i)
            self.critic_step(L, real_ab, fake_ab.detach(), rng)
        self.generator_step(L, real_ab, fake_ab)

    def critic_step(self, L, real_ab, fake_ab, rng):
        real, fake = (self.critic(torch.cat([L, ab], dim=1)) for ab in (real_ab, fake_ab))
        penalty = my_penalty(self.critic, L, real_ab, fake_ab, rng)
        loss = wasserstein_d_loss(real, fake) + self.recipe.lambda_gp * penalty
        self.of_critic.zero_grad()
        loss.backward()
        self.of_critic.step()

    def generator_step(self, L, real_ab, fake_ab):
        score = wasserstein_g_loss(self.critic(torch.cat([L, fake_ab], dim=1)))
        loss = self.recipe.lambda_l1 * l1_loss(fake_ab, real_ab) + score
        self.of_generator.zero_grad()
        loss.backward()
        self.of_generator.step()


# %% [markdown]
# Is it the library's? Same seed, same batches, two steps (ten updates of the critic), then the
# weights of both networks. They must agree but for rounding: the library fuses Adam and orders
# memory otherwise. (Halve $\lambda_{L1}$ in the step above, or turn a sign: the weights differ.)

# %%
recipe = rivals.small("resunet-wgan-gp")
source = open_source("scenes", rivals.SIZE)
batches = Batches(source, recipe.batch_size, size=rivals.SIZE, seed=0)
mine = System(recipe, seed=0)
theirs = Trainer(recipe, source, seed=0, device="cpu")
for number in range(2):
    mine.step([batches.batch(5 * number + k) for k in range(5)], number)
    next(theirs.run(1))

for name, network in (("generator", mine.generator), ("critic", mine.critic)):
    other = theirs.generator if name == "generator" else theirs.discriminator
    pairs = list(zip(network.parameters(), other.parameters(), strict=True))
    apart = torch.cat([(p - q).detach().flatten() for p, q in pairs]).norm()
    start = getattr(System(recipe, seed=0), name).parameters()
    way = [(p - q).detach().flatten() for p, q in zip(start, other.parameters())]
    moved = torch.cat(way).norm()
    print(f"{name}: moved {moved:.3f} in two steps, apart {apart / moved:.1e} of that")
    assert apart < 0.02 * moved, "expected the library's weights"

# %% [markdown]
# Equal. Train on with the library's, live, and look at three curves.

# %%
for _ in theirs.run(58):
    pass
history = theirs.history
late = history.tail(20)
print(f"{len(history)} steps: L1 {history['l1'].iloc[0]:.3f} to {late['l1'].mean():.3f}, ", end="")
print(f"penalty {late['penalty'].mean():.3f}, estimate {late['wasserstein'].mean():.2f}, ", end="")
print(f"adversarial share {late['adversarial_share'].mean():.2f}")
early = history["wasserstein"].iloc[5:25].mean()
fig = Figure(figsize=(8.8, 2.6), layout="constrained")
panels = {"error": ["l1"], "critic": ["wasserstein", "penalty"], "share": ["adversarial_share"]}
for ax, (title, columns) in zip(fig.subplots(1, 3), panels.items()):
    for name, colour in zip(columns, PALETTE):
        known = history[["step", name]].dropna()
        ax.plot(known["step"], known[name], color=colour, label=name)
    ax.set(title=title, xlabel="step", ylim=(0, None))
    ax.legend(fontsize=8, loc="lower left" if title == "share" else "upper right")
show(
    fig,
    alt="Three panels over sixty steps: L1 falls, the critic's estimate stays between 1 and 3 "
    "while the penalty settles near zero, and the adversarial share stays near 1.5.",
)

# %% tags=["check"]
assert late["l1"].mean() < 0.8 * history["l1"].iloc[0], "expected colours to come nearer"
assert late["penalty"].mean() < 0.5 and late["wasserstein"].mean() > 0, "expected a sound critic"
assert late["wasserstein"].mean() > 0.4 * early, "expected no clear fall of the estimate"

# %% [markdown]
# The error falls, and the critic's estimate stays up: the critic learns as well. As in notebook 8
# it is no progress bar in a short run.
#
# The **adversarial share** is the norm of the adversarial term's gradient on the colours over that
# of the weighted L1 term: who pulls. With a penalty you can say beforehand what it will be. The
# critic's gradient has norm 1 on each sample. The L1 term's is $\pm \lambda_{L1} / n$ at each of
# the sample's $n$ values of ab, so its norm is $\lambda_{L1} / \sqrt n$. Hence
#
# $$\text{share} \approx \frac{\sqrt n}{\lambda_{L1}}, \qquad n = 2 \cdot \text{side}^2$$
#
# It grows with the side of the pictures: a $\lambda_{L1}$ that is right at 32 px is too light at
# 128 px, by a factor of four.

# %%
for side in (32, 128, 256):
    share = math.sqrt(2 * side**2) / recipe.lambda_l1
    print(f"{side} px: share {share:.2f} with lambda {recipe.lambda_l1:.0f}", end="; ")
    print(f"for a share of 1.5 lambda {math.sqrt(2 * side**2) / 1.5:.0f}")
predicted = math.sqrt(2 * rivals.SIZE**2) / recipe.lambda_l1
measured = history["adversarial_share"].median()
print(f"measured at {rivals.SIZE} px: {measured:.2f}")

# %% tags=["check"]
assert abs(measured / predicted - 1) < 0.25, "expected the share that the formula gives"

# %%
with torch.no_grad():
    held_out = scenes.draw(range(4), rivals.SIZE, split="val")
    painted = theirs.generator.eval()(held_out.L)
shown = {"L": 0 * painted, "true": held_out.true_ab, "60 steps": painted}
columns = {name: to_uint8(join_lab(held_out.L, ab, gamut="chroma")) for name, ab in shown.items()}
show(
    image_grid(columns, cell=1.1),
    alt="Four small landscapes in grey, in true colours and as painted after 60 steps: grass and "
    "sky have their colours, with reddish blots beside the roofs, and the balloons are still dull.",
)

# %% [markdown]
# Sixty steps: places have their colours, balloons are dull yet. How far does it get in 200 steps,
# and its rivals?

# %% [markdown]
# ## The rivals
#
# One table: the same scenes at 32 px, the same seeds (0, 1, 2), the same held-out scenes, the same
# evaluator, narrow networks, five times the presets' learning rates, and **200 steps of the
# generator** for all. Steps, not seconds: so the table is the same on any machine, and the price
# is a column of its own (CPU seconds, one thread). But a Wasserstein step has five critic updates.
# So one row is pix2pix with 1,000 steps, which costs **about the same time** as `wgan-gp`. And one
# is `wgan` with $\lambda_{L1} = 100$ as in pix2pix, a combination that you will meet in code.
#
# `sharpness` is the slope of predicted on true colour differences at edges where L tells the
# colours: 1 as sharp as the truth, 0 no edge at all.

# %% tags=["nbval-check-output"]
rows = quote("rivals")
names = {
    "psnr": "PSNR",
    "ciede2000": "CIEDE2000",
    "balloon_chroma_ratio": "chroma",
    "balloon_hue_concentration": "one hue",
    "background_ab_mae": "background",
    "sharpness": "sharpness",
    "adversarial_share": "share",
    "cpu_seconds": "seconds",
}
by_name = rows.rename(columns=names).groupby("name", sort=False)[list(names.values())]
mean, spread = by_name.mean(), by_name.max() - by_name.min()
print("mean over three seeds")
print(mean.round(3).to_string())
print("largest less smallest of the three")
print(spread.round(3).to_string())

# %% tags=["result"]
fig = Figure(figsize=(8.8, 3.4), layout="constrained")
fig.get_layout_engine().set(wspace=0.06)
axes = fig.subplots(1, 4, sharey=True)
titles = {
    "balloon_chroma_ratio": "balloon chroma (true 1)",
    "background_ab_mae": "background error",
    "sharpness": "sharpness (true 1)",
    "cpu_seconds": "seconds of training",
}
for ax, (column, title) in zip(axes, titles.items()):
    for place, (name, group) in enumerate(rows.groupby("name", sort=False)):
        colour = PALETTE[1] if "gp" in name else PALETTE[0]
        ax.plot(group[column], [place] * len(group), "o", color=colour, markersize=5, alpha=0.7)
    ax.set_title(title, fontsize=10)
    ax.set(xlim=(0, None), yticks=range(len(mean)), yticklabels=mean.index)
    ax.grid(axis="y", alpha=0.3)
axes[0].invert_yaxis()
show(
    fig,
    alt="Dots for three seeds of nine training recipes. Both recipes with a gradient penalty have "
    "balloon chroma of 0.8 to 1, at 200 steps the others 0.3 to 0.6; pix2pix trained as long "
    "reaches the same chroma with half the background error and more sharpness.",
)

# %% [markdown]
# And what does a step cost?


# %%
def column(name, measure):
    return rows.set_index("name").loc[name, measure].to_numpy()


price = column("wgan-gp", "cpu_seconds").mean() / column("pix2pix", "cpu_seconds").mean()
print(f"a WGAN-GP step costs {price:.1f} times a pix2pix step")

# %% tags=["check"]
chroma, sharp, error = "balloon_chroma_ratio", "sharpness", "background_ab_mae"
hues, long, regression = "balloon_hue_concentration", "pix2pix, as long", "wgan, lambda 100"
others = ["l1", "pix2pix", "lsgan", "hinge", "wgan"]
strongest = max(column(name, chroma).max() for name in others)
residual, plain = (column(name, sharp) for name in ("resunet-wgan-gp", "wgan-gp"))
best = {"PSNR": mean["PSNR"].nlargest(2), "CIEDE2000": mean["CIEDE2000"].nsmallest(2)}
assert column("wgan-gp", chroma).min() > strongest, "expected WGAN-GP to be the most colourful"
assert column("wgan-gp", hues).max() < column("l1", hues).min(), "expected varied hues"
assert price > 3, "expected five critic steps with a penalty to cost several times as much"
assert column(long, chroma).min() > 0.95 * column("wgan-gp", chroma).min(), "expected as much"
assert column(long, error).max() < 0.75 * column("wgan-gp", error).min(), "expected less error"
assert column(long, error).mean() < 0.6 * column("wgan-gp", error).mean(), "expected about half"
assert column(long, sharp).min() > 1.4 * column("wgan-gp", sharp).max(), "expected sharper edges"
assert residual.max() < plain.min(), "expected softer edges from the residual U-Net"
assert column(regression, "adversarial_share").max() < 0.01, "expected no pull of the critic"
assert abs(column(regression, chroma).mean() - column("l1", chroma).mean()) < 0.06, "expected L1"
assert all(set(two.index) == {"l1", "hinge"} for two in best.values()), "expected dull to win"

# %% [markdown]
# - **Per step**, WGAN-GP paints the strongest balloons by far, and varied ones.
# - **Per second**, that is gone: pix2pix trained as long is as colourful, with half the error on
#   the background and sharper edges. The five critic updates are paid for with generator steps.
# - **The residual U-Net** is not sharper but softer than the U-Net: it has no map at full size (see
#   [notebook 5](05_unet.ipynb)). Its colours are about the same.
# - **PSNR and CIEDE2000** put L1 and `hinge` first: they reward dull balloons.
# - **A WGAN under $\lambda_{L1} = 100$ is an L1 regression**: an adversarial share below 0.01, and
#   L1's dull balloons. A clipped critic is nearly flat (notebook 8), so it hardly pulls. Who
#   reports such a "WGAN" has reported an L1 loss.
#
# Small nets, few steps, simple scenes: in a long run on photographs the order may be another. One
# row again, live:

# %%
setting = rivals.EXPERIMENT.settings[1]
measured = rerun("rivals", setting, column=chroma)
print(f"{setting['name']}, seed 0: chroma {measured[chroma]:.2f}, share", end=" ")
print(f"{measured['adversarial_share']:.2f}")

# %% tags=["check"]
assert measured[chroma] > column("l1", chroma).max(), "expected more colour than L1 alone"

# %% [markdown]
# ## More stable?
#
# "Wasserstein GANs train stably" is a claim about many runs. So: four losses, four learning rates
# from 0.0005 to 0.032 (the same for both networks), three seeds, twice: on the ring of eight
# Gaussians of [notebook 3](03_gans.ipynb) (400 steps) and on scenes at 16 px (60 steps, with each
# preset's L1 term). Each loss keeps its preset's optimizer and critic steps. On the ring
# $\lambda = 1$: with 10 the points were still a blur after all steps. What counts as broken:
#
# - **diverged**: a loss or an output is not finite, or the result is worse than one constant answer
#   (the middle of the ring; grey);
# - **collapsed**: not diverged, but few answers: at most four of the eight centres get as much as a
#   quarter of their fair share; or the balloons have more than half of the true chroma, all in one
#   hue (a concentration above 0.9).
#
# `vanilla, 5 steps` asks, on the ring alone, whether the loss helps or the critic's five steps.

# %% tags=["nbval-check-output"]
runs = quote("stability")
of_game = runs.groupby(["game", "loss"], sort=False)
table = of_game[["diverged", "collapsed"]].sum().astype(int)
table["runs"] = of_game.size()
table["error"] = of_game["error"].median().round(2)
print(table.to_string())
by_rate = runs.assign(broken=runs["diverged"] + runs["collapsed"]).pivot_table(
    index=["game", "loss"], columns="lr", values="broken", aggfunc="mean", sort=False
)
print("share of broken runs by learning rate")
print(by_rate.round(2).to_string())

# %%
fig = Figure(figsize=(8.4, 2.8), layout="constrained")
for ax, game in zip(fig.subplots(1, 2), ("ring", "scenes")):
    played = runs[runs["game"] == game].groupby("loss", sort=False)
    for (loss, group), colour in zip(played, PALETTE):
        error = group.groupby("lr")["error"].median()
        ax.plot(error, "-", color=colour, label=loss, linewidth=1)
        good = group[group["collapsed"] == 0]
        ax.plot(good["lr"], good["error"], ".", color=colour)
        bad = group[group["collapsed"] == 1]
        ax.plot(bad["lr"], bad["error"], "x", color=colour, markersize=8)
    ax.set(xscale="log", xlabel="learning rate", ylim=(0, 1.1), title=game)
    ax.axhline(1, color="0.6", linewidth=0.8)
    ax.legend(fontsize=7, loc="lower right" if game == "scenes" else "upper left")
fig.axes[0].set_ylabel("error (constant answer: 1)")
show(
    fig,
    alt="Error over learning rate on the ring and on scenes, collapsed runs as crosses. No run is "
    "above 1. On the ring WGAN-GP has no cross; vanilla has them at the lowest rate, with five "
    "steps at the highest, like the clipped WGAN. On scenes only the two Wasserstein losses have "
    "crosses.",
)

# %%
broken = table["diverged"] + table["collapsed"]
on_ring = broken["ring"]
on_scenes = broken["scenes"]
wide = runs[runs["game"] == "ring"].groupby("loss")["error"].agg(np.ptp)
print("broken runs on the ring:", on_ring.to_dict())
print("broken runs on scenes:  ", on_scenes.to_dict())

# %% tags=["check"]
assert (table["diverged"] == 0).all(), "expected no run to diverge"
assert table["runs"].sum() == 108 and math.isclose(runs["lr"].max(), 160 * RECIPES["pix2pix"].lr_g)
assert on_ring["wgan-gp"] == 0 and on_ring.drop("wgan-gp").min() > 0, "expected WGAN-GP to hold"
assert on_ring["wgan"] >= on_ring["vanilla"], "expected a clip to be no safer than vanilla"
assert on_scenes[["vanilla", "lsgan"]].sum() == 0, "expected the others to hold on scenes"
assert on_scenes[["wgan", "wgan-gp"]].min() > 0, "expected collapsed Wasserstein runs on scenes"
assert wide["wgan-gp"] < wide["wgan"], "expected the penalty to depend less on the rate than a clip"

# %% [markdown]
# **Does Wasserstein help?** Here it depends on the game.
#
# - On the **ring**, with the penalty: yes. No run of WGAN-GP broke at any rate. The five critic
#   steps alone do not do it: vanilla with five steps collapses at the high rates. The **clip** does
#   not help: it broke as often as vanilla.
# - On **scenes**: no. Nothing broke under vanilla and LSGAN, while some runs of both Wasserstein
#   losses painted all balloons in one hue at high rates. (After 60 steps the others' balloons were
#   mostly still dull, and dull is not collapsed: so this says "not more stable", and no more.)
# - Nothing **diverged** in 108 runs, at rates up to 160 times that of pix2pix. (Adam and RMSProp
#   bound the size of a step, whatever the gradient.)
#
# Three seeds and twelve runs a loss make a coarse count: 0 of 12 may well be 1 of 10.

# %% [markdown]
# ## Full mode: on photographs
#
# The presets `wgan-gp` and `resunet-wgan-gp` on photographs at 128 px, with the same seed and
# steps, and $\lambda_{L1} = 120$ for an adversarial share of about 1.5 at this size. Read
# `val_psnr`, `val_chroma_ratio`, `penalty` and `adversarial_share` in their histories.

# %% tags=["full"]
if config.full:
    train_set, val_set = config.photographs(128, "train"), config.photographs(128, "val")
    for name in ("wgan-gp", "resunet-wgan-gp"):
        changes = {"size": 128, "batch_size": 8, "width": 32, "d_width": 32}
        photo_recipe = RECIPES[name].replace(**changes, lambda_l1=120.0, steps=3_000)
        run = train_run(f"09_{name}", photo_recipe, train_set, config, validation=val_set)
        columns = ["step", "l1", "wasserstein", "penalty", "adversarial_share"]
        print(run.history[columns].tail(3).to_string(index=False))
else:
    print("quick mode: full mode trains wgan-gp and resunet-wgan-gp on photographs at 128 px")

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: write the penalty
#
# The critic gives one score for each sample, of shape `(b,)`. Real and fake are `(b, c, h, w)`,
# `alpha` is `(b, 1, 1, 1)` and is the share of the real one.


# %% tags=["exercise"]
def penalty(critic, real, fake, alpha):
    """Mean of (norm - 1)^2, with a derivative in the critic's weights."""
    ### BEGIN SOLUTION
    mixed = (alpha * real + (1 - alpha) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.penalty.check(penalty)
# exercises.penalty.hint()
# exercises.penalty.solution()

# %% [markdown]
# ### Exercise 2: four logs
#
# Each log is of a run with one of these mistakes: `"axis"` (a norm over channels only), `"graph"`
# (no `create_graph`), `"alpha"` (one for the whole batch), `"batch norm"` (in the critic).
#
# - A: the penalty is near 0, the estimate is 40 at 32 px and 80 at 64 px;
# - B: penalty 1, 50, 9,000, 600,000;
# - C: penalty and estimate look sound, but scored alone a picture gets another score;
# - D: the estimate is sound; the penalty of one and the same critic jumps from batch to batch.

# %% tags=["exercise"]
symptoms = ...
### BEGIN SOLUTION
symptoms = {"A": "axis", "B": "graph", "C": "batch norm", "D": "alpha"}
### END SOLUTION

# %% tags=["exercise-check"]
exercises.symptoms.check(symptoms)
# exercises.symptoms.hint()
# exercises.symptoms.solution()

# %% [markdown]
# ### Exercise 3: spectral norm instead
#
# A matrix stretches a vector by at most its **spectral norm**, its largest singular value. If each
# layer has the spectral norm 1 and each activation a slope of at most 1, the critic is
# 1-Lipschitz, without a penalty and without a double backward (Miyato et al. 2018). Divide a
# weight by its spectral norm. A convolution's weight counts as a matrix with one row for each
# output channel, as in the paper. (That is not quite the norm of the convolution itself.)


# %% tags=["exercise"]
def spectral(weight):
    """The weight with spectral norm 1, in its own shape."""
    ### BEGIN SOLUTION
    return weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.spectral.check(spectral)
# exercises.spectral.hint()
# exercises.spectral.solution()

# %% [markdown]
# ### Exercise 4: a test for the batch
#
# Write the test that finds batch norm in a critic, whatever it is called and wherever it hides:
# does the score of one sample depend on the other samples? `images` is `(6, 3, 16, 16)`; the critic
# is in training mode and gives a score or a map of scores for each.


# %% tags=["exercise"]
def mixes_samples(critic, images):
    """True if a sample's score depends on the rest of the batch."""
    ### BEGIN SOLUTION
    others = images.clone()
    others[1:] = others[1:].flip(-1) * 0.5
    with torch.no_grad():
        before, after = critic(images)[0], critic(others)[0]
    return not torch.allclose(before, after, atol=1e-5)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.mixes_samples.check(mixes_samples)
# exercises.mixes_samples.hint()
# exercises.mixes_samples.solution()

# %% [markdown]
# ## Recap
#
# 1. Along the ways of transport the best critic has a gradient of norm 1, towards the real points.
# 2. The penalty asks for that on random lines; it holds to $1 + W / 2\lambda$, not exactly.
# 3. It needs `create_graph=True`, one norm a sample over all of its values, one uniform $\alpha$ a
#    sample, and a critic in which no sample sees another.
# 4. Per step WGAN-GP painted the strongest colours here; for the same time pix2pix did as well,
#    with less error and sharper edges. The residual U-Net was softer. More stable it was on the
#    ring of points, and not on scenes.
# 5. Under $\lambda_{L1} = 100$ a clipped WGAN is an L1 regression. Read the adversarial share; with
#    a penalty it is about $\sqrt n / \lambda_{L1}$.
#
# **Glossary.** **Gradient penalty**: the mean of (gradient norm - 1)^2 between real and fake.
# **Penalty weight**: $\lambda$ before it. **Double backward**: the derivative of a gradient.
# **Layer norm**: mean and variance within one sample. **Spectral norm**: the largest singular
# value. **Adversarial share**: the adversary's pull on the colours over that of L1.
#
# **Next**: [Evaluation](10_evaluation.ipynb): what these columns of numbers can and cannot tell.

# %% [markdown]
# **Papers**
#
# - I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, *Improved training of
#   Wasserstein GANs*, NeurIPS 2017 (arXiv:1704.00028).
# - M. Arjovsky, S. Chintala, L. Bottou, *Wasserstein GAN*, ICML 2017 (arXiv:1701.07875).
# - T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, *Spectral normalization for generative
#   adversarial networks*, ICLR 2018 (arXiv:1802.05957).
# - P. Isola, J.-Y. Zhu, T. Zhou, A. Efros, *Image-to-image translation with conditional adversarial
#   networks*, CVPR 2017 (arXiv:1611.07004).
# - J. L. Ba, J. R. Kiros, G. Hinton, *Layer normalization*, 2016 (arXiv:1607.06450).
