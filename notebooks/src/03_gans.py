# %% [markdown] tags=["title"]
# # 3. Generative adversarial networks
#
# {{badges}}
#
# At the end you will have trained a network that paints landscapes out of noise, and you will
# know what its two losses can tell you, and what they cannot.

# %% [markdown]
# **You will learn**
#
# - the game of generator and discriminator, first with one parameter each, on paper and on screen;
# - what the best possible discriminator says, what its loss measures, and why $2 \ln 2$ is the
#   number to remember;
# - why the generator's loss is written the other way round than the theory has it;
# - what mode collapse is, what brings it about, and why the losses do not show it;
# - the guidelines of DCGAN, one by one, and a DCGAN trained on small scenes.
#
# **You need** PyTorch (modules, autograd, an optimizer), densities, and logarithms. Convolutions
# as in [the baseline](02_unet_baseline.ipynb).
#
# **Time**: quick mode about 90 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import math
import time

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from scipy.special import rel_entr
from torch import nn
from torch.nn.functional import logsigmoid, softplus

from colorlib import blocks, scenes
from colorlib.color import rgb_to_lab, to_float
from colorlib.course import (
    Panel,
    assert_same_module,
    choice,
    quote,
    rerun,
    show_source,
    slider,
    toggle,
)
from colorlib.course.exercises import notebook_03 as exercises
from colorlib.course.experiments import mode_collapse
from colorlib.datasets.batches import Batches
from colorlib.figures import PALETTE, image_grid, loss_curves, show
from colorlib.losses import bce_d_loss, bce_g_loss

# %% [markdown]
# ## Two players
#
# You have examples of something (photographs, landscapes, points) and want more of the same kind.
# You cannot write down a loss that says "looks real". So let a network learn that loss.
#
# - The **generator** $G$ turns **noise** $z$, numbers drawn at random, into a sample $G(z)$.
# - The **discriminator** $D$ takes a sample and says how likely it is to be real: $D(x)$ between 0
#   and 1. It is a classifier of two classes, real and fake.
#
# $D$ is trained to tell them apart, $G$ to be taken for real. This is a game with the value
# (Goodfellow et al. 2014, equation 1)
#
# $$\min_G \max_D V(D, G) = E_x[\ln D(x)] + E_z[\ln(1 - D(G(z)))]$$
#
# where $x$ runs over the real examples. In code $D$ ends in a **logit**, any number, and
# $D = \sigma(\text{logit})$ with the sigmoid $\sigma(t) = 1 / (1 + e^{-t})$. $D$ minimises $-V$.

# %% [markdown]
# ## The smallest GAN: one parameter each
#
# All real data sit at 0. The generator has one parameter and puts all its samples at $\theta$.
# The discriminator has one parameter too: its logit at $x$ is $\psi x$. This is the Dirac-GAN of
# Mescheder et al. 2018 (section 2). The only rest point is $\theta = 0$ (fakes sit on the data)
# and $\psi = 0$ ($D$ answers 1/2 everywhere).
#
# $D$ minimises $\ln 2 + \ln(1 + e^{\psi\theta})$. $G$ minimises either of two losses:
# $\ln(1 - D)$ as in the formula above, called **saturating**, or $-\ln D$, called
# **non-saturating**. Derivatives by hand:
#
# $$\frac{\partial}{\partial\psi} = \theta\,\sigma(\psi\theta), \qquad
# \frac{\partial}{\partial\theta} = -\psi\,\sigma(\psi\theta) \text{ (saturating)}
# \text{ or } -\psi\,\sigma(-\psi\theta) \text{ (non-saturating)}$$


# %%
def sigmoid(t):
    return 1 / (1 + math.exp(-t))


theta = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
psi = torch.tensor(-1.7, dtype=torch.float64, requires_grad=True)
on_real, on_fake = psi * 0, psi * theta

d_loss = softplus(-on_real) + softplus(on_fake)  # softplus(t) = ln(1 + e^t)
losses = {"saturating": -softplus(on_fake), "non-saturating": softplus(-on_fake)}
t = (psi * theta).item()
by_hand = {"saturating": -psi * sigmoid(t), "non-saturating": -psi * sigmoid(-t)}

(slope,) = torch.autograd.grad(d_loss, psi, retain_graph=True)
assert abs(slope - theta * sigmoid(t)) < 1e-12, "expected D's slope as derived by hand"
for name, loss in losses.items():
    (slope,) = torch.autograd.grad(loss, theta, retain_graph=True)
    assert abs(slope - by_hand[name]) < 1e-12, f"expected G's {name} slope as derived by hand"


# %% [markdown]
# Now play. In each round $D$ takes a step downhill on its loss, then $G$ on its own, seeing the
# new $D$. That is **alternating** play, and how GANs are trained. In **simultaneous** play both
# move at once.
#
# `penalty` is a remedy that comes in a moment.


# %%
def play(rounds, lr_g, lr_d, d_steps=1, saturating=True, simultaneous=False, penalty=0.0):
    """Play from theta = 1, psi = 0. Returns the positions, one row a round."""
    theta, psi = 1.0, 0.0
    path = [(theta, psi)]
    for _ in range(rounds):
        seen = psi
        for _ in range(d_steps):
            psi -= lr_d * (theta * sigmoid(psi * theta) + penalty * psi)
        seen = seen if simultaneous else psi
        theta += lr_g * seen * sigmoid(seen * theta if saturating else -seen * theta)
        path.append((theta, psi))
    return np.array(path)


def distance(path):
    """From the rest point at 0, 0."""
    return np.hypot(path[:, 0], path[:, 1])


def turns(path):
    """How often the path went round the rest point."""
    angle = np.unwrap(np.arctan2(path[:, 1], path[:, 0]))
    return abs(angle[-1] - angle[0]) / (2 * math.pi)


# %% [markdown]
# **Simultaneous play drives the players apart.** With the saturating loss and one learning rate
# $h$ the two slopes are at right angles to the position, so that each round multiplies the
# squared distance by exactly $1 + h^2\sigma(\psi\theta)^2$, which is more than 1. **Alternating
# play goes round in circles**: the distance neither grows nor shrinks. Smaller learning rates
# make the circles smoother, not smaller: with infinitely small steps the distance is constant
# (Mescheder et al. 2018, section 2).

# %% tags=["nbval-check-output"]
h = 0.2
together = play(300, h, h, simultaneous=True)
in_turn = play(300, h, h)

grown = distance(together[1:]) ** 2 / distance(together[:-1]) ** 2
logits = together[:-1, 0] * together[:-1, 1]
predicted = 1 + h**2 / (1 + np.exp(-logits)) ** 2
print(f"simultaneous: distance 1.00 to {distance(together)[-1]:.2f}")
print(f"alternating:  distance between {distance(in_turn).min():.2f} and", end=" ")
print(f"{distance(in_turn).max():.2f} in {turns(in_turn):.1f} turns")

smooth = distance(play(30_000, h / 100, h / 100))

# %% tags=["check"]
assert np.abs(grown - predicted).max() < 1e-12, "expected growth by 1 + h^2 sigma^2 in each round"
assert distance(in_turn).min() > 0.9 and distance(in_turn).max() < 1.1, "expected a circle"
assert smooth.min() > 0.99 and smooth.max() < 1.01, "expected a constant distance at small steps"

# %% [markdown]
# **The non-saturating loss spirals in, but ever more slowly.** Its slope is not quite at right
# angles. Averaged over a turn, $1 / \text{distance}^2$ grows by $1/8$ for each unit of time
# (learning rate times rounds), if steps are small: half the distance takes four times as long.
#
# **A penalty on $D$'s slope ends the chase.** Add $\frac{\gamma}{2} \lVert\nabla_x D\rVert^2$ at
# the real data to $D$'s loss (Mescheder et al. 2018, section 4; here the slope of the logit is
# $\psi$, and the penalty's derivative is $\gamma\psi$). It acts like friction.

# %% tags=["nbval-check-output"]
slow = play(20_000, 0.02, 0.02, saturating=False)  # 400 units of time
growth = (1 / distance(slow)[-1] ** 2 - 1 / distance(slow)[10_000] ** 2) / 200
braked = play(300, h, h, penalty=0.5)
halfway, end = distance(slow)[10_000], distance(slow)[-1]
print(f"non-saturating: distance {halfway:.3f} after 200 units of time, {end:.3f} after 400;")
print(f"  1 / distance^2 grows by {growth:.3f} a unit")
print(f"with a penalty of 0.5, after 60 units: {distance(braked)[-1]:.6f}")

# %% tags=["check"]
assert abs(growth - 1 / 8) < 0.005, "expected 1 / distance^2 to grow by an eighth"
assert distance(braked)[-1] < 1e-5, "expected friction to bring the players to rest"


# %%
def draw_field(ax, saturating=True, penalty=0.0):
    """Arrows where the two players go from each position."""
    axis = np.linspace(-1.8, 1.8, 10)
    x, y = np.meshgrid(axis, axis)
    slope_d = x / (1 + np.exp(-x * y)) + penalty * y
    slope_g = y / (1 + np.exp(-x * y if saturating else x * y))
    ax.quiver(x, y, slope_g, -slope_d, color="0.65", scale=16, width=0.006)
    ax.plot(0, 0, "+", color="black", markersize=12)
    ax.set(xlabel=r"generator $\theta$", ylabel=r"discriminator $\psi$", aspect="equal")
    ax.set(xlim=(-1.9, 1.9), ylim=(-1.9, 1.9))


fig = Figure(figsize=(8.4, 2.9), layout="constrained")
kinds = {
    "saturating, in turn: a circle": (in_turn, True, 0.0),
    "non-saturating: slowly inwards": (play(300, h, h, saturating=False), False, 0.0),
    "with a penalty of 0.5: at rest": (braked, True, 0.5),
}
for ax, (title, (path, saturating, penalty)) in zip(fig.subplots(1, 3), kinds.items(), strict=True):
    draw_field(ax, saturating, penalty)
    ax.plot(*path.T, color=PALETTE[0], linewidth=1)
    ax.plot(*path[0], "o", color=PALETTE[1])
    ax.set_title(title, fontsize=10)
show(
    fig,
    alt="Three phase portraits of the one-parameter GAN, all from the same start. Left a closed "
    "circle, in the middle a spiral that creeps inwards, right a path that ends at the centre.",
)

# %% [markdown]
# This is the first lesson about GANs: **going downhill on two losses is not going downhill.**
# Neither player does anything wrong, and still they circle. A single loss that is minimised
# cannot do that.

# %% [markdown]
# **Predict first.** Give $D$ five steps for each of $G$. Will the players come to rest, circle
# faster, or fly apart? And a $G$ that learns five times as fast as $D$?


# %%
def draw(fig, lr_g, lr_d, d_steps, loss, simultaneous, penalty):
    path = play(300, lr_g, lr_d, d_steps, loss == "saturating", simultaneous, penalty)
    left, right = fig.subplots(1, 2)
    draw_field(left, loss == "saturating", penalty)
    left.plot(*path.T, color=PALETTE[0], linewidth=1)
    left.plot(*path[0], "o", color=PALETTE[1])
    right.plot(distance(path), color=PALETTE[0])
    right.set(xlabel="round", ylabel="distance from the rest point", ylim=(0, None))
    end = f"distance 1.000 to {distance(path)[-1]:.3f} in 300 rounds"
    return f"{end}, {turns(path):.1f} turns; largest {distance(path).max():.2f}"


panel = Panel(
    draw,
    figsize=(8, 3.6),
    alt="Phase portrait of the one-parameter GAN and the distance from its rest point over 300 "
    "rounds: a closed orbit, a distance that stays near 1.",
    lr_g=slider(0.02, 1.0, value=0.2, step=0.02, label="learning rate of G"),
    lr_d=slider(0.02, 1.0, value=0.2, step=0.02, label="learning rate of D"),
    d_steps=slider(1, 5, value=1, step=1, label="steps of D for one of G"),
    loss=choice(["saturating", "non-saturating"], value="saturating", label="loss of G"),
    simultaneous=toggle("both move at once", False),
    penalty=slider(0.0, 1.0, value=0.0, step=0.1, label="penalty"),
)
panel

# %% tags=["check"]
panel.try_controls()  # moves every control to its ends: each must change the text

# %% tags=["nbval-check-output"]
for name, path in {
    "five D steps": play(300, 0.2, 0.2, d_steps=5),
    "five times the rate of G": play(300, 1.0, 0.2),
}.items():
    low, high = distance(path).min(), distance(path).max()
    print(f"{name}: {turns(path):.1f} turns, distance between {low:.2f} and {high:.2f}")
    assert turns(path) > 1.8 * turns(in_turn), "expected faster turns than with equal steps"
    assert low > 0.3 and high < 3, "expected neither rest nor escape"

# %% [markdown]
# Both circle faster, on flatter orbits. Learning rates and $D$ steps change the orbit, not the
# fact that it is one. (A real $D$ has many parameters, and then a better $D$ does help: see the
# ring below.)

# %% [markdown]
# ## The best possible discriminator
#
# Let $p(x)$ be the density of the real data and $q(x)$ that of the fakes. At one point $x$ the
# discriminator pays $-p \ln D - q \ln(1 - D)$. The derivative is zero at
#
# $$D^*(x) = \frac{p(x)}{p(x) + q(x)}$$
#
# (Goodfellow et al. 2014, proposition 1): the share of the real among all that lands at $x$. Do
# not believe the derivative: try 9,999 values of $D$ at each of 321 points.


# %%
def gaussian(x, mean, std):
    return torch.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


x = torch.linspace(-16, 16, 3201, dtype=torch.float64)
p = 0.5 * gaussian(x, -1.5, 0.6) + 0.5 * gaussian(x, 1.5, 0.6)  # real: two bumps
q = gaussian(x, 0.5, 1.2)  # fake: one
best = p / (p + q)

tried = torch.linspace(0, 1, 10_001, dtype=torch.float64)[1:-1, None]
paid = -p[::10] * tried.log() - q[::10] * (1 - tried).log()
found = tried[paid.argmin(dim=0), 0]
inside = (p + q)[::10] > 1e-6
worst = (found - best[::10])[inside].abs().max()

# %% tags=["check"]
assert worst < 1e-3, "expected no D to pay less than p / (p + q) does"

# %% [markdown]
# **What the best discriminator pays.** Put $D^*$ into the game: its value is
#
# $$V(D^*, G) = 2\,\mathrm{JS}(p, q) - 2 \ln 2$$
#
# (Goodfellow et al. 2014, theorem 1 and its proof). JS is the **Jensen-Shannon divergence**: the
# mean of the two Kullback-Leibler divergences from $p$ and from $q$ to their average
# $m = (p + q) / 2$,
#
# $$\mathrm{JS} = \tfrac12 \int p \ln\frac{p}{m} + \tfrac12 \int q \ln\frac{q}{m}$$
#
# It is 0 if $p = q$ and $\ln 2$ if the two never overlap. $D$'s loss is $-V$: so it can fall to
# $2 \ln 2 - 2\,\mathrm{JS}$ and no lower. Both sides by quadrature, that is by sums over a fine
# grid:


# %% tags=["nbval-check-output"]
def integrate(values):
    return torch.trapezoid(values, x).item()


def population_loss(logit, p, q):
    """D's loss over all real and all fake points, -V, for a logit at each x."""
    return integrate(-p * logsigmoid(logit) - q * logsigmoid(-logit))


def jensen_shannon(p, q):
    m = (p + q) / 2
    kl = [integrate(torch.from_numpy(rel_entr(part.numpy(), m.numpy()))) for part in (p, q)]
    return sum(kl) / 2


js = jensen_shannon(p, q)
least = population_loss(torch.log(p) - torch.log(q), p, q)  # the logit of p / (p + q)
print(f"D*'s loss {least:.4f}, 2 ln 2 - 2 JS = {2 * math.log(2) - 2 * js:.4f}, JS = {js:.4f}")

# %% tags=["check"]
assert abs(least - (2 * math.log(2) - 2 * js)) < 1e-6, "expected 2 ln 2 - 2 JS"
assert abs(integrate(p) - 1) < 1e-9 and abs(integrate(q) - 1) < 1e-9, "expected two densities"

# %% [markdown]
# **A trained discriminator gets there.** This one sees points only, never $p$ or $q$: fresh real
# and fake ones in each step, with a learning rate that goes down to zero.

# %%
torch.set_num_threads(1)  # networks this small: a second thread costs more than it brings
rng = torch.Generator().manual_seed(config.seed)
with blocks.global_rng_from(rng):
    layers = nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)
    small_d = nn.Sequential(*layers)
steps, batch = 1200, 1024
optimizer = torch.optim.Adam(small_d.parameters(), 1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
for _ in range(steps):
    side = 3.0 * torch.randint(2, (batch, 1), generator=rng) - 1.5
    real = side + 0.6 * torch.randn(batch, 1, generator=rng)
    fake = 0.5 + 1.2 * torch.randn(batch, 1, generator=rng)
    loss = bce_d_loss(small_d(real), small_d(fake))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
with torch.no_grad():
    logit = small_d(x.float()[:, None])[:, 0].double()
trained = population_loss(logit, p, q)
off = integrate((p + q) / 2 * (torch.sigmoid(logit) - best).abs())
print(f"trained: loss {trained:.4f}, least possible {least:.4f}; |D - D*| is {off:.4f} on average")

# %% tags=["check"]
assert least - 1e-6 < trained < least + 1e-2, "expected a loss within 0.01 of the least, not below"
assert off < 1e-2, "expected D near p / (p + q)"

# %%
fig = Figure(figsize=(8, 3.2), layout="constrained")
ax = fig.subplots()
ax.fill_between(x, p, color=PALETTE[0], alpha=0.35, label="real, $p$")
ax.fill_between(x, q, color=PALETTE[1], alpha=0.35, label="fake, $q$")
ax.plot(x, best, color="black", label="$p / (p + q)$")
ax.plot(x, torch.sigmoid(logit), "--", color=PALETTE[2], linewidth=2.5, label="trained $D$")
ax.set(xlim=(-4.5, 5), ylim=(0, 1.02), xlabel="$x$")
ax.legend(loc="upper right", fontsize=9)
show(
    fig,
    alt="Two densities and the discriminator between them. Where real data are denser D is near 1, "
    "between the bumps it dips; the trained D lies on p / (p + q) wherever there are data.",
)

# %% [markdown]
# The trained curve leaves the exact one only where there is hardly any data: there nothing tells
# $D$ what to say. Keep this in mind when you show a discriminator something new.

# %% [markdown]
# ## The number to remember: 2 ln 2
#
# A discriminator that cannot tell real from fake says $D = 1/2$. Each of its two terms then costs
# $-\ln \frac12 = \ln 2 = 0.693$, and their **sum** $2 \ln 2 = 1.386$. In colorlib a `*_d_loss` is
# always the sum.
#
# Take care when you read numbers elsewhere. The TensorFlow tutorial on pix2pix adds the two terms
# as well, and yet names $\ln 2 = 0.69$ as the point below which the discriminator is better than
# chance. That is the mark for one term, or for their mean. What does a sum of 0.69 really mean?

# %% tags=["nbval-check-output"]
undecided = bce_d_loss(torch.zeros(8, 1), torch.zeros(8, 1)).item()
d_at = math.exp(-math.log(2) / 2)  # both terms ln 2 / 2: D(real) = 1 - D(fake) = this
at_least = (2 * math.log(2) - math.log(2)) / 2
print(f"undecided: {undecided:.4f} = 2 ln 2 = {2 * math.log(2):.4f}")
print(f"a sum of ln 2: D says {d_at:.3f} to real and {1 - d_at:.3f} to fake, if it is even-handed")
print(f"then JS is at least {at_least:.3f}, {at_least / math.log(2):.0%} of the largest possible")
logit = torch.tensor([math.log(d_at / (1 - d_at))])

# %% tags=["check"]
assert abs(undecided - 2 * math.log(2)) < 1e-6, "expected ln 2 for each of the two terms"
assert abs(bce_d_loss(logit, -logit).item() - math.log(2)) < 1e-6, "expected ln 2 in all"

# %% [markdown]
# So a summed loss of 0.69 is not a draw: $D$ is well ahead. (*At least*, because only the best $D$
# reaches $2 \ln 2 - 2\,\mathrm{JS}$, and every other one pays more.)
#
# **Predict first.** The real data have mean 0 and standard deviation 1. Move the fakes away, step
# by step. Does JS grow evenly with the distance? And what is left of its slope, the only thing
# that $G$ could learn from, at a distance of 6?


# %%
def draw_js(fig, mean, spread):
    axes = fig.subplots(1, 2)
    means = torch.linspace(0, 7, 36, dtype=torch.float64)
    real = gaussian(x, 0.0, 1.0)
    curve = [jensen_shannon(real, gaussian(x, m, spread)) for m in means]
    now = jensen_shannon(real, gaussian(x, mean, spread))
    nearby = [jensen_shannon(real, gaussian(x, mean + d, spread)) for d in (-0.01, 0.01)]
    slope = (nearby[1] - nearby[0]) / 0.02
    fake = gaussian(x, mean, spread)
    axes[0].fill_between(x, real, color=PALETTE[0], alpha=0.35, label="real")
    axes[0].fill_between(x, fake, color=PALETTE[1], alpha=0.35, label="fake")
    axes[0].plot(x, real / (real + fake), color="black", label="$D^*$")
    axes[0].set(xlabel="$x$", xlim=(-4, 10), ylim=(0, 1.05))
    axes[0].legend(fontsize=9, loc="center right")
    axes[1].plot(means, curve, color=PALETTE[2])
    axes[1].plot(mean, now, "o", color="black")
    axes[1].axhline(math.log(2), color="0.6", linestyle=":")
    axes[1].set(xlabel="mean of the fakes", ylabel="JS", ylim=(0, 0.75))
    least = 2 * math.log(2) - 2 * now
    return f"JS {now:.4f}, slope {slope:.4f}; the least loss of D {least:.4f}"


panel_js = Panel(
    draw_js,
    figsize=(8, 3.2),
    alt="Left two bumps and the best discriminator between them, right the Jensen-Shannon "
    "divergence over their distance: it rises and then flattens at ln 2.",
    mean=slider(0.0, 7.0, value=2.5, step=0.25, label="mean of the fakes"),
    spread=slider(0.2, 1.5, value=0.5, step=0.1, label="standard deviation of the fakes"),
)
panel_js

# %% tags=["check"]
panel_js.try_controls()

# %% tags=["nbval-check-output"]
slopes = []
for m in (1.0, 2.5, 6.0):
    near = [jensen_shannon(gaussian(x, 0.0, 1.0), gaussian(x, m + d, 0.5)) for d in (-0.01, 0.01)]
    slopes.append((near[1] - near[0]) / 0.02)
    print(f"fakes at {m:.1f}: JS {sum(near) / 2:.4f}, slope {slopes[-1]:.4f}")

# %% tags=["check"]
assert slopes[2] < slopes[1] / 100, "expected JS to be flat where real and fake do not overlap"

# %% [markdown]
# Far away JS has reached $\ln 2$ and is flat. A perfect discriminator against a hopeless
# generator gives it nothing to go by. [Notebook 08](08_wasserstein_gan.ipynb),
# on Wasserstein GANs, replaces JS for this reason. The next section is the cheaper cure.

# %% [markdown]
# ## Which way round for the generator
#
# The formula asks $G$ to minimise $\ln(1 - D(G(z)))$. Goodfellow et al. 2014 (section 3) advise
# to minimise $-\ln D(G(z))$ instead. Both want $D$ to say "real". They differ in where they pull:
# with the logit $l$ of a fake,
#
# $$\left|\frac{d}{dl} \ln(1 - D)\right| = D, \qquad \left|\frac{d}{dl}(-\ln D)\right| = 1 - D$$
#
# A fake that $D$ sees through has $D$ near 0. The first loss is then flat (it **saturates**),
# just where $G$ has most to learn.

# %%
logit = torch.linspace(-8, 8, 161, dtype=torch.float64, requires_grad=True)
d = torch.sigmoid(logit)
(flat,) = torch.autograd.grad((-softplus(logit)).sum(), logit)  # ln(1 - D)
(steep,) = torch.autograd.grad(softplus(-logit).sum(), logit)  # -ln D

# %% tags=["check"]
assert (flat + d).abs().max() < 1e-12, "expected a slope of -D"
assert (steep + (1 - d)).abs().max() < 1e-12, "expected a slope of -(1 - D)"

# %% [markdown]
# Is it so in a network? Take a fresh generator of points in the plane, hold it still, and train a
# discriminator against it. Every ten steps, note how confident $D$ is, and how large the gradient
# of each loss is at $G$'s weights. The real data are the ring of the next section.

# %%
rng = torch.Generator().manual_seed(config.seed)
generator, discriminator = mode_collapse.networks(rng)
optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3, (0.5, 0.999))
noise = torch.randn(512, mode_collapse.NOISE, generator=rng)
rows = []
for step in range(301):
    if step % 10 == 0:
        logits = discriminator(generator(noise))
        row = {"step": step, "D(fake)": torch.sigmoid(logits).mean().item()}
        for name, loss in {
            "saturating": -softplus(logits).mean(),
            "non-saturating": bce_g_loss(logits),
        }.items():
            parts = torch.autograd.grad(loss, generator.parameters(), retain_graph=True)
            row[name] = math.sqrt(sum(part.square().sum().item() for part in parts))
        rows.append(row)
    real = mode_collapse.ring(128, rng)
    fresh = torch.randn(128, mode_collapse.NOISE, generator=rng)
    mode_collapse.d_step(generator, discriminator, optimizer, real, fresh)
gradients = pd.DataFrame(rows)
first, last = gradients.iloc[0], gradients.iloc[-1]
for row in (first, last):
    ratio = row["non-saturating"] / row["saturating"]
    print(f"D(fake) = {row['D(fake)']:.4f}: non-saturating over saturating gradient {ratio:.1f}")

# %% tags=["check"]
assert 0.5 < first["non-saturating"] / first["saturating"] < 2, "expected equals at D = 1/2"
assert last["D(fake)"] < 0.02, "expected D to see through a generator that stands still"
assert last["non-saturating"] / last["saturating"] > 30, "expected the one loss to saturate"
assert last["non-saturating"] > first["non-saturating"], "expected the other to pull harder"

# %%
fig = Figure(figsize=(7, 3.2), layout="constrained")
ax = fig.subplots()
for name, colour, mark in zip(["saturating", "non-saturating"], PALETTE, "os", strict=False):
    style = {"marker": mark, "markersize": 4, "color": colour, "label": name}
    ax.plot(gradients["D(fake)"], gradients[name], **style)
ax.set(xscale="log", yscale="log", xlabel="mean D(fake): left, D is sure that fakes are fake")
ax.set_ylabel("gradient norm at G's weights")
ax.legend()
show(
    fig,
    alt="Gradient norms over D's confidence, both axes logarithmic. As D grows sure that fakes are "
    "fake, the saturating loss's gradient falls by far, the non-saturating loss's rises.",
)

# %% [markdown]
# At $D = 1/2$ the two agree. As $D$ wins, the saturating gradient dies and the other one does not.
# So from here on $G$ minimises $-\ln D$, as everybody does. The prize: the game is no longer
# zero-sum, and JS is no longer exactly what $G$ descends.

# %% [markdown]
# ## A GAN on a ring, and mode collapse
#
# Eight Gaussians on a circle of radius 2, the toy of Metz et al. 2017. Each is a **mode** of the
# data. The generator maps 8 random numbers to a point through two hidden layers, the discriminator
# maps a point to a logit. One step of each, as you would write it (Goodfellow et al. 2014,
# algorithm 1, with the non-saturating loss):


# %%
def my_d_step(generator, discriminator, optimizer, real, noise):
    with torch.no_grad():  # this step moves D only, so G needs no graph
        fake = generator(noise)
    loss = bce_d_loss(discriminator(real), discriminator(fake))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def my_g_step(generator, discriminator, optimizer, noise):
    discriminator.requires_grad_(False)  # the gradient goes through D, and D's weights want none
    loss = bce_g_loss(discriminator(generator(noise)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    discriminator.requires_grad_(True)


# %% [markdown]
# The course has these two steps too, with the numbers for the curves returned. Twenty rounds of
# yours and of `mode_collapse.train` must give the same weights.

# %%
setting = mode_collapse.TWO_SPEEDS
rng = torch.Generator().manual_seed(config.seed)
generator, discriminator = mode_collapse.networks(rng)
betas = (setting["beta1"], 0.999)
optimizer_g = torch.optim.Adam(generator.parameters(), setting["lr_g"], betas)
optimizer_d = torch.optim.Adam(discriminator.parameters(), setting["lr_d"], betas)
for _ in range(20):
    real = mode_collapse.ring(128, rng)
    noise = torch.randn(128, mode_collapse.NOISE, generator=rng)
    my_d_step(generator, discriminator, optimizer_d, real, noise)
    noise = torch.randn(128, mode_collapse.NOISE, generator=rng)
    my_g_step(generator, discriminator, optimizer_g, noise)

theirs = mode_collapse.train(setting, config.seed, steps=20)
for mine, other in ((generator, theirs.generator), (discriminator, theirs.discriminator)):
    for a, b in zip(mine.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), "expected the same weights after the same steps"
show_source(mode_collapse.g_step)

# %% [markdown]
# Now two trainings of 1,000 steps that differ in their learning rates alone:
#
# - **two speeds**: $D$ learns twice as fast as $G$ (1e-3 for $G$, 2e-3 for $D$);
# - **fast G**: $G$ learns four times as fast as $D$ (4e-3 and 1e-3).
#
# A mode counts as found if at least 1 % of 2,000 samples lie within three standard deviations of
# its centre.

# %%
shots = (200, 400, 600, 800, 1000)
settings = {"two speeds": mode_collapse.TWO_SPEEDS, "fast G": mode_collapse.FAST_G}
runs = {
    name: mode_collapse.train(setting, config.seed, snapshots=shots)
    for name, setting in settings.items()
}
fig = Figure(figsize=(9, 4.0), layout="constrained")
for row, (name, run) in zip(fig.subplots(2, 5), runs.items(), strict=True):
    for ax, (step, points) in zip(row, run.snapshots.items(), strict=True):
        found = mode_collapse.count_modes(points)["modes"]
        ax.plot(*mode_collapse.centres().T, "+", color="black", markersize=9)
        ax.plot(*points[:250].T, ".", color=PALETTE[0], markersize=2)
        ax.set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"step {step}: {found} modes", fontsize=9)
    row[0].set_ylabel(name, fontsize=10)
show(
    fig,
    alt="Samples of two generators at five steps, over the eight centres. Above, with two speeds, "
    "they settle on all eight. Below, with a fast G, they are one small cloud that jumps about.",
)
end = {name: mode_collapse.count_modes(run.snapshots[1000])["modes"] for name, run in runs.items()}
seen = [mode_collapse.count_modes(p)["modes"] for p in runs["fast G"].snapshots.values()]

# %% tags=["check"]
assert end["two speeds"] >= 7, "expected two speeds to find the modes"
assert max(seen) <= 4, "expected a fast G to sit on few modes at any time"

# %% [markdown]
# Below you see **mode collapse**: whatever the noise, nearly the same output. And it does not
# rest: the cloud jumps to where $D$ is least suspicious, $D$ learns that place, the cloud jumps
# on. You have seen this chase before, with one parameter.
#
# One seed proves nothing about a training that depends on chance. Here are five seeds each of four
# settings, measured once and recorded.

# %% tags=["nbval-check-output"]
rows = quote("mode_collapse")
table = rows.groupby("name", sort=False)[["modes", "near", "d_loss"]]
for name, group in table:
    modes = ", ".join(f"{m:.0f}" for m in group["modes"])
    losses = f"{group['d_loss'].min():.2f} to {group['d_loss'].max():.2f}"
    print(f"{name:18s} modes {modes}; D loss {losses}; near a mode {group['near'].mean():.0%}")
modes = {name: group["modes"] for name, group in table}

# %% tags=["check"]
assert (modes["two speeds"] == 8).all() and (modes["fast G, 4 D steps"] == 8).all()
assert (modes["fast G"] <= 1).all(), "expected collapse with every seed"
assert modes["momentum 0.9"].min() < 8 and modes["momentum 0.9"].max() > modes["fast G"].max()

# %% [markdown]
# Read it row by row.
#
# - **Two speeds** finds all eight modes with all five seeds, and about two thirds of its samples
#   lie near one; the others are on their way between two. **Fast G** finds one at most, with all
#   five.
# - The same fast $G$ finds all eight if $D$ takes **four steps** for each of its own. What
#   matters is that $D$ keeps up.
# - Two speeds with Adam's $\beta_1$ at its usual **0.9** instead of 0.5 depends on luck. DCGAN's
#   authors lowered it to 0.5 because training oscillated (Radford et al. 2016, section 4).

# %% tags=["nbval-check-output"]
mean = rows.groupby("name")[["d_loss", "g_loss"]].mean()
for name in ("two speeds", "fast G"):
    d_mean, g_mean = mean.loc[name]
    print(f"{name:10s}: D loss {d_mean:.2f} (2 ln 2 is {2 * math.log(2):.2f}), G loss {g_mean:.2f}")
off = (2 * math.log(2) - mean["d_loss"]).abs()

# %% tags=["check"]
assert off["fast G"] < off["two speeds"] / 3, "expected the collapsed runs nearer to 2 ln 2"
assert mean["g_loss"]["fast G"] < mean["g_loss"]["two speeds"], "expected a lower G loss as well"

# %% [markdown]
# And here is the trap. **The collapsed runs have the losses that look ideal**: D's is nearer to
# $2 \ln 2$ than that of the good runs, and G's is lower. $2 \ln 2$ means that *this* $D$ cannot
# tell, and a $D$ that lags behind cannot tell much. The losses alone do not show a collapse: look
# at samples, and count.
#
# One row again, live:

# %%
measured = rerun("mode_collapse", mode_collapse.TWO_SPEEDS, seed=1, column="modes")
print(f"again, seed 1: {measured['modes']:.0f} modes, D loss {measured['d_loss']:.2f}")

# %% [markdown]
# **Why does it collapse?** Nothing in $G$'s loss asks for variety: it is a mean over single
# samples. Against a $D$ that stands still, the best that $G$ can do is to put *every* sample
# where $D$ is highest. Test it: take the good $D$ of the two-speeds run, freeze it, and train a
# fresh $G$ against it.

# %%
rng = torch.Generator().manual_seed(config.seed + 100)
fresh_g, _ = mode_collapse.networks(rng)
optimizer = torch.optim.Adam(fresh_g.parameters(), 1e-3, (0.5, 0.999))
for _ in range(400):
    noise = torch.randn(128, mode_collapse.NOISE, generator=rng)
    mode_collapse.g_step(fresh_g, runs["two speeds"].discriminator, optimizer, noise)
points = mode_collapse.sample(fresh_g, 2000, config.seed)
result = mode_collapse.count_modes(points)
spread = (points - points.mean(0)).square().sum(1).mean().sqrt().item()
print(f"a fresh G against a frozen D: {result['modes']} mode, spread {spread:.2f} (the ring: 2)")

# %% tags=["check"]
assert result["modes"] <= 2 and spread < 0.6, "expected G to send all noise to one place"

# %% [markdown]
# A good $D$ and an untroubled $G$, and it collapses. Variety comes from $D$ alone, and only while
# $D$ moves: it learns that a crowded place is suspicious. If $G$ is faster, it is always one
# place ahead.

# %% [markdown]
# ## DCGAN: from points to pictures
#
# Points in a plane are learned by any small network. For pictures it took until Radford et al.
# 2016 ("DCGAN") to find networks that train dependably. Their guidelines (section 3), one by one:
#
# 1. No pooling. $D$ halves the size with **strides**, $G$ doubles it with **transposed
#    convolutions**.
# 2. **Batch norm** in both, but not at $G$'s output nor at $D$'s input.
# 3. **No fully connected hidden layers.**
# 4. In $G$, **ReLU**, and **tanh** at the output. The pictures are scaled to $-1..1$ to match.
# 5. In $D$, **LeakyReLU**: a tenth or a fifth of the slope where ReLU has none.
#
# Build the two bricks.


# %%
def up(inputs, outputs):
    """Twice the size."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def down(inputs, outputs):
    """Half the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2),
    )


maps = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(0))
assert_same_module(up(6, 4), blocks.up_block(6, 4, activation=nn.ReLU()), maps)
assert_same_module(down(6, 4), blocks.down_block(6, 4), maps)

# %% tags=["check"]
assert up(6, 4)(maps).shape == (2, 4, 16, 16), "expected twice the size"
assert down(6, 4)(maps).shape == (2, 4, 4, 4), "expected half the size"

# %% [markdown]
# They equal colorlib's `up_block` and `down_block`: outputs, gradients and running statistics. So
# from here on the library's are used. (They carry no bias: batch norm would subtract it.)
#
# The whole networks for 32 px. The noise is a map of one pixel with 32 channels; the first
# transposed convolution makes it 4 by 4, and each block doubles that. $D$ is the mirror image.

# %%
NOISE, WIDTH = 32, 24


def dcgan_generator(norm="batch"):
    """Noise (b, 32, 1, 1) to pictures (b, 3, 32, 32) in -1..1."""
    return nn.Sequential(
        nn.ConvTranspose2d(NOISE, 4 * WIDTH, 4, bias=False),
        blocks.norm_layer(norm, 4 * WIDTH),
        nn.ReLU(),
        blocks.up_block(4 * WIDTH, 2 * WIDTH, norm=norm, activation=nn.ReLU()),
        blocks.up_block(2 * WIDTH, WIDTH, norm=norm, activation=nn.ReLU()),
        nn.ConvTranspose2d(WIDTH, 3, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def dcgan_discriminator(norm="batch"):
    """Pictures to logits (b, 1, 1, 1)."""
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        blocks.down_block(WIDTH, 2 * WIDTH, norm=norm),
        blocks.down_block(2 * WIDTH, 4 * WIDTH, norm=norm),
        nn.Conv2d(4 * WIDTH, 1, 4),
    )


# %% tags=["nbval-check-output"]
shape = torch.zeros(2, NOISE, 1, 1)
for layer in dcgan_generator():
    before, shape = tuple(shape.shape[1:]), layer(shape)
    if shape.shape[1:] != before:
        print(f"{type(layer).__name__:16s} {before} -> {tuple(shape.shape[1:])}")
for name, network in (("G", dcgan_generator()), ("D", dcgan_discriminator())):
    print(f"{name} has {sum(weight.numel() for weight in network.parameters()):,} parameters")
layers = [*dcgan_generator().modules(), *dcgan_discriminator().modules()]

# %% tags=["check"]
assert shape.shape == (2, 3, 32, 32) and dcgan_discriminator()(shape).shape == (2, 1, 1, 1)
assert not any(isinstance(m, nn.Linear | nn.MaxPool2d | nn.AvgPool2d) for m in layers)

# %% [markdown]
# **What batch norm is for.** DCGAN's weights start small, from $N(0, 0.02^2)$ (section 4;
# `blocks.initialise`). Without batch norm each layer shrinks the signal: an untrained $G$ paints
# the same grey for every noise, and almost no gradient comes back through $D$. Batch norm brings
# every layer back to unit size. Measured on fresh networks:


# %%
def fresh(network, seed, **options):
    module = network(**options)
    blocks.initialise(module, torch.Generator().manual_seed(seed))
    return module


def variety(norm):
    """How much a pixel of an untrained G varies over the noise."""
    noise = torch.randn(64, NOISE, 1, 1, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return fresh(dcgan_generator, 0, norm=norm)(noise).std(dim=0).mean().item()


def gradient_at_picture(norm, leak=0.2):
    """How much of G's loss an untrained D sends back to the picture."""
    network = fresh(dcgan_discriminator, 0, norm=norm)
    for layer in network.modules():
        if isinstance(layer, nn.LeakyReLU):
            layer.negative_slope = leak
    picture = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    loss = bce_g_loss(network(picture.requires_grad_()))
    return torch.autograd.grad(loss, picture)[0].norm().item()


for name, measure in (("variety of G", variety), ("gradient through D", gradient_at_picture)):
    with_norm, without = measure("batch"), measure("none")
    print(f"{name}: {with_norm:.4f} with batch norm, {without:.5f} without")
    assert with_norm > 20 * without, "expected batch norm to keep the signal alive"
leaky, dead = gradient_at_picture("batch"), gradient_at_picture("batch", leak=0.0)
print(f"gradient through D: {leaky:.3f} with LeakyReLU, {dead:.3f} with ReLU")

# %% tags=["check"]
assert 0.4 < leaky / dead < 2.5, "expected no large difference at the start"

# %% [markdown]
# Batch norm changes everything by more than a factor of twenty. The leak of LeakyReLU changes
# next to nothing at the start: what it guards against is a unit that is off for *all* pictures
# and would then never learn again. A guideline can be an insurance that you do not see paying.
#
# ### The pictures
#
# Landscapes of 32 by 32 pixels from the bundled world, in colour. A GAN needs no labels. We shall
# use the scene classes afterwards, to see what it has learned.

# %%
world = scenes.draw(range(2048), 32)
real_images = 2 * to_float(world.rgb) - 1  # to -1..1, the range of tanh
held_out = scenes.draw(range(400), 32, split="val")
held_out_images = 2 * to_float(held_out.rgb) - 1


def to_rgb(images):
    return (images + 1) / 2


# %% tags=["check"]
assert real_images.min() >= -1 and real_images.max() <= 1, "expected what tanh can reach"

# %% [markdown]
# **How will you know that it works?** Decide before you train. Three measures, each tried on real
# scenes that were held out:
#
# - *sky above ground*: the median b* (blue is negative, yellow positive) of the upper quarter is
#   below 0, that of the lowest eighth above 10;
# - *which class*: that of the most similar real scene (nearest in all pixels), so that you can
#   count modes, as on the ring;
# - *variety*: the root mean square difference between two pictures.


# %%
def sky_above_ground(images):
    b = rgb_to_lab(to_rgb(images))[:, 2]
    upper, lower = b[:, :8].flatten(1).median(1).values, b[:, -4:].flatten(1).median(1).values
    return (upper < 0) & (lower > 10)


def nearest_real(images):
    """Distance (root mean square, 0..1) to the most similar training scene, and its number."""
    apart = torch.cdist(images.flatten(1), real_images.flatten(1)).min(dim=1)
    return apart.values / math.sqrt(images[0].numel()) / 2, apart.indices


def mean_difference(images):
    apart = torch.cdist(images.flatten(1), images.flatten(1)) / math.sqrt(images[0].numel()) / 2
    return apart.sum().item() / (len(images) * (len(images) - 1))


def report(images):
    classes = world.scene_class[nearest_real(images)[1]]
    shares = torch.bincount(classes, minlength=len(scenes.CLASSES)) / len(images)
    return {
        "sky above ground": sky_above_ground(images).float().mean().item(),
        "variety": mean_difference(images),
        **dict(zip(scenes.CLASSES, shares.tolist(), strict=True)),
    }


real_report = report(held_out_images)
right = world.scene_class[nearest_real(held_out_images)[1]] == held_out.scene_class
print(pd.DataFrame([real_report], index=["held-out scenes"]).round(3).to_string())
print(f"the nearest scene has the right class for {right.float().mean():.1%} of them")

# %% tags=["check"]
assert real_report["sky above ground"] > 0.95 and right.float().mean() > 0.97

# %% [markdown]
# ### Training
#
# The same two steps as on the ring. As in the paper, Adam with $\beta_1 = 0.5$; the learning
# rates are larger than its 2e-4, for you have seconds and not days. Here $G$ has the larger one:
# in this pair $D$ is the stronger player. Which of the two needs help depends on the networks, so
# you watch the curves.

# %%
rng = torch.Generator().manual_seed(config.seed)
generator, discriminator = dcgan_generator(), dcgan_discriminator()
blocks.initialise(generator, rng)
blocks.initialise(discriminator, rng)
optimizer_g = torch.optim.Adam(generator.parameters(), 1e-3, (0.5, 0.999))
optimizer_d = torch.optim.Adam(discriminator.parameters(), 5e-4, (0.5, 0.999))
STEPS, BATCH = 500, 32
fixed_noise = torch.randn(128, NOISE, 1, 1, generator=rng)


@torch.no_grad()
def paint(generator, noise=fixed_noise):
    generator.eval()  # batch norm with its running statistics: a picture does not depend on others
    images = generator(noise)
    generator.train()
    return images


untrained = paint(generator)
history, quality = [], [{"step": 0, **report(untrained)}]
for step in range(1, STEPS + 1):
    real = real_images[torch.randint(len(real_images), (BATCH,), generator=rng)]
    noise = torch.randn(2, BATCH, NOISE, 1, 1, generator=rng)
    step_d = mode_collapse.d_step(generator, discriminator, optimizer_d, real, noise[0])
    g_loss, _ = mode_collapse.g_step(generator, discriminator, optimizer_g, noise[1])
    d_loss, on_real, on_fake = step_d
    accuracy = [(on_real > 0).float().mean().item(), (on_fake < 0).float().mean().item()]
    history.append([step, d_loss.item(), g_loss.item(), *accuracy])
    if step in (25, 50, 100, 200, 300, 400, 500):
        quality.append({"step": step, **report(paint(generator))})
columns = ["step", "D loss", "G loss", "accuracy on real", "accuracy on fake"]
history, quality = pd.DataFrame(history, columns=columns), pd.DataFrame(quality)
painted = paint(generator)

# %% tags=["result"]
by_g = {f"painted {i + 1}": to_rgb(painted[3 * i : 3 * i + 3]) for i in range(6)}
columns_shown = {"untrained": to_rgb(untrained[:3]), **by_g, "real": to_rgb(held_out_images[:3])}
show(
    image_grid(columns_shown, cell=0.96),
    alt="Eight columns of small pictures. An untrained generator: plain grey. Six columns painted "
    "by the trained one: skies above meadows, sand and sea, forests, rows of houses, with blurred "
    "balloons. Last column: real scenes.",
)
print(quality.iloc[[0, -1]].round(3).to_string(index=False))


def passes(row):
    found = sum(row[name] >= 0.05 for name in scenes.CLASSES)
    return row["sky above ground"] >= 0.75 and 0.12 < row["variety"] < 0.35 and found >= 3


# %% tags=["check"]
assert passes(real_report) and passes(quality.iloc[-1]), "expected sky, ground and variety"
assert not passes(quality.iloc[0]), "expected an untrained G to fail"
assert not passes(report(painted[:1].repeat(128, 1, 1, 1))), "expected one picture to fail"

# %% [markdown]
# Nobody told the network what a sky is. It found that sky is above, that sand lies before the
# sea, that houses stand in rows, from the answers of $D$ alone. Details are rough after 500
# steps: balloons are smudges.
#
# **Does it copy its training pictures?** A frequent worry. Compare distances to the nearest
# training scene: for painted pictures, and for real ones that are not in the training set.

# %%
apart, which = nearest_real(painted)
apart_real, _ = nearest_real(held_out_images)
print(f"painted: {apart.median():.3f} to the nearest training scene, at least {apart.min():.3f}")
print(f"held-out real: {apart_real.median():.3f}, at least {apart_real.min():.3f}")
fig = image_grid(
    {
        name: torch.stack([to_rgb(painted[i]), to_rgb(real_images[which[i]])])
        for name, i in zip("ABCDEF", range(6), strict=True)
    },
    rows=["painted", "nearest real"],
    cell=0.96,
)
show(
    fig,
    alt="Six painted pictures above the training scene nearest to each. They agree in kind, and "
    "differ in horizon, balloons and houses.",
)

# %% tags=["check"]
assert apart.min() > 0.05, "expected no copies"

# %% [markdown]
# **A walk through the noise** (Radford et al. 2016, section 6.1). Go from one noise to another in
# a straight line. A network that had stored pictures would jump from one to the next.

# %%
share = torch.linspace(0, 1, 65)[:, None, None, None]
starts, ends = fixed_noise[8:12], fixed_noise[3:7]
walks = [paint(generator, a + share * (b - a)) for a, b in zip(starts, ends, strict=True)]
for walk in walks:
    strides = (walk[1:] - walk[:-1]).flatten(1).norm(dim=1)
    whole = (walk[-1] - walk[0]).norm()
    print(f"the largest of 64 steps is {strides.max() / whole:.2f} of the way from end to end")
    assert strides.max() < 0.3 * whole, "expected no jump"
show(
    image_grid({f"{i}/8": to_rgb(walks[0][8 * i : 8 * i + 1]) for i in range(9)}, cell=0.96),
    alt="A row of nine pictures, a walk from one landscape to another. Things fade in and out step "
    "by step; there is no jump.",
)

# %% [markdown]
# ## Read the curves

# %%
fig = Figure(figsize=(8.4, 2.9), layout="constrained")
left, right = fig.subplots(1, 2)
smooth = history.rolling(20, on="step").mean()  # single steps jump: a batch is only 32 pictures
for ax, names in ((left, columns[1:3]), (right, columns[3:])):
    for name, colour in zip(names, PALETTE, strict=False):
        ax.plot(smooth["step"], smooth[name], color=colour, label=name)
    ax.set(xlabel="step", ylim=(0, None))
left.axhline(2 * math.log(2), color="0.4", linestyle=":", label="2 ln 2")
right.axhline(0.5, color="0.4", linestyle=":", label="a coin")
left.legend(fontsize=9)
right.legend(fontsize=9, loc="lower right")
show(
    fig,
    alt="Left the losses over 500 steps: D's stays near 1, below the dotted line at 2 ln 2; G's "
    "falls from a first peak to less than 2. Right D's accuracy on real and fake, near 0.8.",
)
late = history.tail(100).mean()
bound = (2 * math.log(2) - late["D loss"]) / 2
print(late[columns[1:]].round(2).to_string())
print(f"JS between real and painted pictures: at least about {bound:.2f} of at most 0.69")

# %% tags=["check"]
assert 0.4 < late["D loss"] < 2 * math.log(2), "expected D ahead, but not by far"
assert 0.6 < late["accuracy on real"] < 0.97 and 0.6 < late["accuracy on fake"] < 0.97
assert bound > 0, "expected D to tell real from painted better than chance"

# %% [markdown]
# How to read this:
#
# - **D loss** below $2 \ln 2$: $D$ still sees a difference, and you can see it too. Half of what
#   is missing to $2 \ln 2$ bounds JS from below (for the best $D$ it *is* JS).
# - **Accuracy** on real and fake alike: $D$ is not merely calling everything fake.
# - **G loss** is no measure of quality. It says how far $G$ is behind *this* $D$, and $D$ moves.
#
# The last point is worth a measurement.

# %%
window = history.rolling(25, on="step", min_periods=1).mean().set_index("step")
shown = quality.set_index("step").loc[25:]
both = pd.DataFrame({"G loss": window["G loss"].reindex(shown.index), "variety": shown["variety"]})
both["classes found"] = (shown[list(scenes.CLASSES)] >= 0.05).sum(axis=1)
print(both.round(2).to_string())
first, last = both.loc[25], both.loc[500]

# %% tags=["check"]
assert last["variety"] > 1.5 * first["variety"], "expected pictures to grow more varied"
assert last["classes found"] >= max(3, first["classes found"]), "expected no class to be lost"
assert last["G loss"] > math.log(2), "expected G to be behind D to the end"

# %% [markdown]
# The variety of the pictures and the kinds of scene grow to those of the real ones. The G loss
# never comes down to the $\ln 2$ of a draw, and on the ring it was lower for the generator that
# had collapsed. It gives you no sign to stop at. Look at samples and measure them; that is what
# [notebook 10](10_evaluation.ipynb), on evaluation, is about.

# %% [markdown]
# ## Break it on purpose
#
# A published colorization notebook computes its generator's adversarial loss from a *detached*
# fake. One word, no error message. Here is that bug on the ring.


# %%
def broken_g_step(generator, discriminator, optimizer, noise):
    fake = generator(noise).detach()  # the bug: cut off from the generator
    loss = bce_g_loss(discriminator(fake))
    optimizer.zero_grad()
    loss.backward()  # no error: D's weights get a gradient, G's do not
    optimizer.step()
    return loss.detach()


rng = torch.Generator().manual_seed(config.seed)
stuck_g, winning_d = mode_collapse.networks(rng)
optimizer_g = torch.optim.Adam(stuck_g.parameters(), 1e-3, (0.5, 0.999))
optimizer_d = torch.optim.Adam(winning_d.parameters(), 2e-3, (0.5, 0.999))
before, log = mode_collapse.sample(stuck_g, 500, seed=0), []
for step in range(1, 251):
    noise = torch.randn(2, 128, mode_collapse.NOISE, generator=rng)
    d_loss, _, _ = mode_collapse.d_step(
        stuck_g, winning_d, optimizer_d, mode_collapse.ring(128, rng), noise[0]
    )
    g_loss = broken_g_step(stuck_g, winning_d, optimizer_g, noise[1])
    log.append({"step": step, "D loss": d_loss.item(), "G loss": g_loss.item()})
moved = (mode_collapse.sample(stuck_g, 500, seed=0) - before).abs().max().item()
log = pd.DataFrame(log)
print(f"after 250 steps: D loss {log['D loss'].iloc[-1]:.3f}, G loss {log['G loss'].iloc[-1]:.1f}")
print(f"farthest that a sample moved: {moved}")

# %% tags=["check"]
assert moved == 0 and all(w.grad is None for w in stuck_g.parameters()), "expected G untouched"
assert log["D loss"].iloc[-20:].max() < 0.1 and log["G loss"].iloc[-20:].min() > 3

# %%
show(
    loss_curves(log, ["D loss", "G loss"], title="The adversarial loss never reaches G"),
    alt="D's loss falls to zero within fifty steps, G's climbs steadily past six.",
)

# %% [markdown]
# The symptom: D's loss goes to zero at once, G's rises without end, and for one and the same
# noise the samples are not merely bad but *identical* to those before training.
#
# Two habits catch it. Print the gradient norm of $G$ once, before a long run. And freeze $D$
# while $G$ steps: then nothing in the broken loss can be differentiated, and PyTorch says so.

# %%
winning_d.requires_grad_(False)
try:
    broken_g_step(stuck_g, winning_d, optimizer_g, noise[1])
except RuntimeError as error:
    message = str(error)
print(message.partition(" and ")[0])

# %% tags=["check"]
assert "does not require grad" in message, "expected PyTorch to refuse"

# %% [markdown]
# ## Full mode: real photographs at 64 px
#
# The same guidelines, one doubling more, on real photographs, with the paper's batch of 128, its
# 100 numbers of noise and its Adam (2e-4, $\beta_1 = 0.5$); the networks have half the paper's
# width. It saves itself every 500 steps. Run the cell again and it goes on from there (Adam
# starts its averages anew). It stops after 15 minutes unless you ask for `configure(long=True)`.

# %% tags=["full"]
if config.full:
    photographs = config.photographs(64, "train")
    batches = Batches(photographs, 128, size=64, seed=config.seed)
    large_g = nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, bias=False),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        *[blocks.up_block(n, n // 2, activation=nn.ReLU()) for n in (512, 256, 128)],
        nn.ConvTranspose2d(64, 3, 4, stride=2, padding=1),
        nn.Tanh(),
    )
    large_d = nn.Sequential(
        nn.Conv2d(3, 64, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        *[blocks.down_block(n, 2 * n) for n in (64, 128, 256)],
        nn.Conv2d(512, 1, 4),
    )
    networks = nn.ModuleDict({"g": large_g, "d": large_d})
    blocks.initialise(networks, torch.Generator().manual_seed(config.seed))
    networks.to(config.device)
else:
    print("full mode would train a DCGAN on photographs of 64 px")

# %% tags=["full"]
if config.full:
    checkpoint = config.out / "03_dcgan" / "networks.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    done = torch.zeros(1, dtype=torch.int64)
    if checkpoint.is_file():
        saved = load_file(checkpoint)
        done = saved.pop("steps")
        networks.load_state_dict(saved)
        print(f"goes on at step {done.item():,}")
    adam_g = torch.optim.Adam(large_g.parameters(), 2e-4, (0.5, 0.999))
    adam_d = torch.optim.Adam(large_d.parameters(), 2e-4, (0.5, 0.999))
    first, limit, started = done.item(), config.steps(20_000), time.monotonic()
    torch.manual_seed(config.seed + first)

    def save():
        state = {name: value.cpu().contiguous() for name, value in networks.state_dict().items()}
        part = checkpoint.with_suffix(".part")  # a session that dies while saving loses nothing
        save_file({**state, "steps": done}, part)
        part.replace(checkpoint)

    for k, images in batches.prefetch(first):
        late = time.monotonic() - started > 15 * 60 and not config.long
        if k >= limit or late:
            break
        real = 2 * to_float(images.to(config.device)) - 1
        noise = torch.randn(2, len(real), 100, 1, 1, device=config.device)
        d_loss, *_ = mode_collapse.d_step(large_g, large_d, adam_d, real, noise[0])
        g_loss, _ = mode_collapse.g_step(large_g, large_d, adam_g, noise[1])
        done += 1
        if done == first + 20:
            minutes = (time.monotonic() - started) / 20 * (limit - k) / 60
            print(f"about {minutes:.0f} minutes for {limit - k:,} steps on {config.device}")
        if done % 500 == 0:
            save()
            print(f"step {done.item():,}: D loss {d_loss.item():.2f}, G loss {g_loss.item():.2f}")
    save()

# %% tags=["full"]
if config.full:
    noise_64 = torch.randn(24, 100, 1, 1, generator=torch.Generator().manual_seed(config.seed))
    large_g.eval()
    with torch.no_grad():
        sampled = (large_g(noise_64.to(config.device)).cpu() + 1) / 2
    large_g.train()
    assert sampled.shape == (24, 3, 64, 64) and torch.isfinite(sampled).all()
    show(
        image_grid({str(i + 1): sampled[4 * i : 4 * i + 4] for i in range(6)}, cell=1.28),
        alt="Twenty-four pictures of 64 px painted by the DCGAN that was trained on photographs.",
    )

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: the best discriminator
#
# Real data come from $N(0, 1)$, fakes from $N(2, 1)$. Write $D^*(x)$ as a function of a tensor
# $x$. (It turns out to be something you know.)


# %% tags=["exercise"]
def optimal_discriminator(x):
    """The best possible D at each x, between 0 and 1."""
    ### BEGIN SOLUTION
    # the densities' common factor cancels, and p / (p + q) = 1 / (1 + q / p)
    return torch.sigmoid(((x - 2) ** 2 - x**2) / 2)  # = sigmoid(2 - 2x): logistic regression
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.optimal_discriminator.check(optimal_discriminator)
# exercises.optimal_discriminator.hint()
# exercises.optimal_discriminator.solution()

# %% [markdown]
# ### Exercise 2: the two losses
#
# From the logits of $D$ on a real and on a fake batch, compute $D$'s loss (the sum of its two
# terms) and $G$'s non-saturating loss, without colorlib's functions. Very large logits must not
# give infinity.


# %% tags=["exercise"]
def gan_losses(real_logits, fake_logits):
    """D's loss and G's loss, in this order."""
    ### BEGIN SOLUTION
    d_loss = -logsigmoid(real_logits).mean() - logsigmoid(-fake_logits).mean()
    g_loss = -logsigmoid(fake_logits).mean()
    return d_loss, g_loss
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.gan_losses.check(gan_losses)
# exercises.gan_losses.hint()
# exercises.gan_losses.solution()

# %% [markdown]
# ### Exercise 3: diagnose three trainings
#
# Three trainings on the ring, run just now. One is healthy, in one $D$ wins, one
# collapses. The *spread* is the distance of a batch of fakes from its mean; on the ring it is 2.

# %%
curves = exercises.three_trainings(config.seed)
fig = Figure(figsize=(8.4, 2.8), layout="constrained")
titles = {"d_loss": "D loss", "g_loss": "G loss", "spread": "spread of the fakes"}
for ax, (column, title) in zip(fig.subplots(1, 3), titles.items(), strict=True):
    for (name, curve), colour in zip(curves.items(), PALETTE, strict=False):
        ax.plot(curve["step"], curve[column].rolling(15).mean(), color=colour, label=name)
        end = curve[column].tail(15).mean()
        ax.annotate(name, (402, end), color=colour, va="center", weight="bold")
    ax.set(title=title, xlabel="step", xlim=(0, 430))
fig.axes[0].axhline(2 * math.log(2), color="0.5", linestyle=":")
show(
    fig,
    alt="D loss, G loss and spread of three trainings. A: D loss at 0, G loss rising, spread near "
    "0. B: D loss near 1.1, spread at 2. C: D loss at 2 ln 2, spread around 0.5.",
)

# %% tags=["exercise"]
# {"A": ..., "B": ..., "C": ...}, each "healthy", "D wins" or "collapse"
diagnosis = ...
### BEGIN SOLUTION
diagnosis = {"A": "D wins", "B": "healthy", "C": "collapse"}
### END SOLUTION

# %% tags=["exercise-check"]
exercises.diagnosis.check(diagnosis)
# exercises.diagnosis.hint()
# exercises.diagnosis.solution()

# %% [markdown]
# ### Exercise 4: a test for the lost gradient
#
# Write the test that would have caught the bug above: does a loss reach the generator? `g_loss`
# is a function of (generator, discriminator, noise) that returns a loss. Answer `True` only if
# its gradient at the generator's weights exists and is not zero. Mind that the generator may
# still hold a gradient from an earlier step.


# %% tags=["exercise"]
def reaches_generator(g_loss, generator, discriminator, noise):
    """Whether the loss changes the generator."""
    ### BEGIN SOLUTION
    generator.zero_grad()
    g_loss(generator, discriminator, noise).backward()
    gradients = [weight.grad for weight in generator.parameters() if weight.grad is not None]
    return any(bool(gradient.abs().sum() > 0) for gradient in gradients)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.reaches_generator.check(reaches_generator)
# exercises.reaches_generator.hint()
# exercises.reaches_generator.solution()

# %% [markdown]
# ## Recap
#
# 1. A GAN is a game: $D$ learns to tell real from fake, $G$ to be taken for real. Two players
#    going downhill may circle for ever.
# 2. The best $D$ is $p / (p + q)$; its loss is $2 \ln 2 - 2\,\mathrm{JS}$, and $2 \ln 2$ if it
#    cannot tell.
# 3. $G$ minimises $-\ln D$, whose gradient survives a $D$ that wins.
# 4. Nothing in $G$'s loss asks for variety: modes are lost when $D$ lags, with a D loss that
#    looks ideal.
# 5. Strides, batch norm, LeakyReLU and a gentle Adam made a DCGAN that paints scenes in half a
#    minute.
#
# **Glossary.** **Generator**: noise to sample. **Discriminator**: sample to "how likely real".
# **Logit**: what the sigmoid makes a probability of. **Saturating**: a loss whose gradient dies
# where it is needed. **Non-saturating loss**: $-\ln D(G(z))$. **Jensen-Shannon divergence**: 0
# for equal densities, $\ln 2$ for disjoint ones. **Mode**: a kind of data. **Mode collapse**: few
# modes, whatever the noise.
#
# **Next**: [Conditional GANs](04_conditional_gans.ipynb), where you tell the generator what to
# paint.

# %% [markdown]
# **Papers**
#
# - I. Goodfellow et al., *Generative adversarial nets*, NeurIPS 2014.
# - A. Radford, L. Metz, S. Chintala, *Unsupervised representation learning with deep convolutional
#   generative adversarial networks*, ICLR 2016.
# - L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, *Unrolled generative adversarial networks*,
#   ICLR 2017.
# - L. Mescheder, A. Geiger, S. Nowozin, *Which training methods for GANs do actually converge?*,
#   ICML 2018.
