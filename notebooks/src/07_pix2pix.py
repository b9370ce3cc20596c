# %% [markdown] tags=["title"]
# # 7. Training pix2pix
#
# {{badges}}
#
# At the end you will have trained pix2pix with a step that you wrote yourself, killed a training,
# got it back bit for bit, and know from its curves how it is doing.

# %% [markdown]
# **You will learn**
#
# - the objective of pix2pix and its alternating step, written out and equal to the library's;
# - to read the four curves, and to tell from them that the discriminator has won;
# - what L1, the adversarial loss and both together do to colours, measured;
# - what dropout and batch norm do at test time, and why the mode of a network matters;
# - how long to train, on how many images, and how a training survives a kill.
#
# **You need** [Generative adversarial networks](03_gans.ipynb), [The U-Net](05_unet.ipynb) and
# [The PatchGAN](06_patchgan.ipynb): both networks are taken from there.
#
# **Time**: quick mode about 120 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import copy
import math
import os
import shlex
import subprocess
import sys
import time

import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import one_hot, softplus

from colorlib import RECIPES, Batches, Colorizer, PatchGAN, Trainer, UNet, evaluate, scenes
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course import (
    Panel,
    choice,
    quote,
    show_source,
    slider,
    torchrun_command,
    train_run,
)
from colorlib.course.exercises import notebook_07 as exercises
from colorlib.course.experiments import balance, pix2pix
from colorlib.devices import make_rng
from colorlib.figures import PALETTE, grey_image, image_grid, show
from colorlib.metrics import psnr
from colorlib.steps import Networks
from colorlib.cli.progress import duration

# %% [markdown]
# ## One balloon, two wishes
#
# Two losses want different things of the generator. Shrink them to a single number. Balloons have
# the chroma $r = 0.28$ and any hue. A generator paints every balloon with the chroma $c$ in a hue
# of its choice.
#
# - **L1** wants the mean absolute error small: $R(c) = E\,|c \cos t - r \cos u|$ with two
#   independent hues $t$ and $u$. You know from [notebook 2](02_unet_baseline.ipynb) what that
#   rewards: grey.
# - **The discriminator** wants to tell painted from true. Let it see chroma with a little blur
#   $s$. The best one is then $D(x) = p(x)/(p(x) + q(x))$ of two Gaussians (notebook 3), and the
#   loss $-\log D$ pulls $c$ towards $r$ with the force
#   $\frac{r - c}{s^2}\,E[1 - D]$.
#
# The generator minimises the adversarial loss plus $\lambda$ times L1. It rests where both pulls
# are equal: $\lambda R'(c) = \frac{r - c}{s^2}\,E[1 - D]$.


# %%
r, blur = scenes.BALLOON_CHROMA, 0.05
hues = torch.arange(180) * (2 * math.pi / 180)
noise = blur * torch.special.ndtri((torch.arange(200) + 0.5) / 200)  # a Gaussian, evenly


def l1_pull(c):
    """R'(c): how fast the L1 error grows with the chroma."""
    painted, true = c * hues.cos()[:, None], r * hues.cos()[None]
    return (torch.sign(painted - true) * hues.cos()[:, None]).mean().item()


def adversarial_pull(c):
    """How strongly the best discriminator pulls the chroma c towards the true one."""
    logit = (r - c) / blur**2 * (c + noise - (r + c) / 2)  # log p(x) / q(x) on painted balloons
    return ((r - c) / blur**2 * torch.sigmoid(-logit).mean()).item()


def resting_chroma(lambda_l1):
    """Where the two pulls are equal, by halving the interval."""
    low, high = 0.0, r
    for _ in range(40):
        c = (low + high) / 2
        low, high = (c, high) if adversarial_pull(c) > lambda_l1 * l1_pull(c) else (low, c)
    return c


toy = {lam: resting_chroma(lam) / r for lam in (0, 1, 10, 100, 300, 1000, 10_000)}
for lam, ratio in toy.items():
    print(f"lambda {lam:6}: the balloon gets {ratio:.2f} of its chroma")
ratios = list(toy.values())

# %% tags=["check"]
assert ratios[0] > 0.99 and ratios[-1] < 0.3, "expected full chroma without L1, dull with much"
assert ratios == sorted(ratios, reverse=True), "expected lambda to cost chroma"

# %%
c = torch.linspace(0, r, 57)
adversarial = [adversarial_pull(float(x)) for x in c]
fig = Figure(figsize=(7, 3.1), layout="constrained")
ax = fig.subplots()
ax.plot(c, adversarial, color=PALETTE[0], linewidth=2, label="the discriminator's pull")
for lam, style in ((100, "-"), (300, "--"), (1000, ":")):
    pulls = [lam * l1_pull(float(x)) for x in c]
    ax.plot(c, pulls, style, color=PALETTE[1], label=f"L1's pull, lambda {lam}")
    at = resting_chroma(lam)
    ax.plot(at, adversarial_pull(at), "o", color="black", markersize=6)
ax.set(xlabel="painted chroma (the true one is at the right end)", ylabel="pull", ylim=(0, 160))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
show(
    fig,
    alt="Pulls over the painted chroma. The discriminator's falls to zero at the true chroma. "
    "L1's rise slowly; the greater lambda, the higher they lie, and the further left they cross.",
)

# %% [markdown]
# Left of a dot the discriminator pulls harder, right of it L1 does. A large $\lambda$ means dull
# balloons; $\lambda = 0$ means full colour, and nobody cares which. In a picture other things are
# at stake as well, so do not carry over the toy's numbers. The direction you will meet again.
#
# ## The objective
#
# Isola, Zhu, Zhou and Efros 2017, with $x$ what the generator sees (here L), $y$ what it should
# paint (ab), and $z$ the noise (dropout):
#
# $$\mathcal{L}_{cGAN}(G, D) = E_{x,y}[\log D(x, y)] + E_{x,z}[\log(1 - D(x, G(x, z)))]
# \qquad (1)$$
#
# $$\mathcal{L}_{L1}(G) = E_{x,y,z}[\lVert y - G(x, z) \rVert_1] \qquad (3)$$
#
# $$G^* = \arg \min_G \max_D \; \mathcal{L}_{cGAN}(G, D) + \lambda\, \mathcal{L}_{L1}(G)
# \qquad (4)$$

# %% [markdown]
# Equation 2 is equation 1 for a $D$ that does not see $x$. Three things that the equations do not
# say, from section 3.3 and the appendix of the paper:
#
# - G does not minimise $\log(1 - D)$ but $-\log D$: notebook 3 measured why.
# - D's loss is halved. $\lambda$ is 100. Adam with the rate 0.0002 and betas 0.5 and 0.999.
# - All weights start as draws from a normal distribution with mean 0 and standard deviation 0.02.
#
# **Why 0.02?** Scale the first weights by a tenth and by ten, and look at what D and G say before
# any training.

# %%
small = dict(depth=3, width=16)  # of the paper's 8 and 64: enough for 32 pixels


def new_networks(seed):
    """Generator and discriminator as the library draws them. channels_last is for speed."""
    G = UNet(**small, rng=make_rng(seed, "generator"))
    D = PatchGAN(receptive_field=16, width=16, rng=make_rng(seed, "discriminator"))
    return [network.to(memory_format=torch.channels_last) for network in (G, D)]


held_out = pix2pix.held_out_scenes()  # 128 scenes that no training here sees
first_say = {}
for scale in (0.1, 1, 10):
    G, D = new_networks(config.seed)
    with torch.no_grad():
        for weight in [*G.parameters(), *D.parameters()]:
            if weight.ndim == 4:  # of a convolution
                weight *= scale
        ab = G(held_out.L)
        logits = [D(torch.cat([held_out.L, y], 1)) for y in (held_out.true_ab, ab)]
        d_loss = softplus(-logits[0]).mean() + softplus(logits[1]).mean()
    deviation = G.down[1][0].weight.std().item()
    first_say[scale] = ab.abs().mean().item(), logits[0].std().item(), d_loss.item()
    print(
        f"weights of {deviation:.3f}: |ab| {first_say[scale][0]:.3f}, "
        f"logits vary by {first_say[scale][1]:.4f}, D loss {first_say[scale][2]:.2f}"
    )

# %% tags=["check"]
assert abs(first_say[0.1][2] - 2 * math.log(2)) < 0.01, "expected D to be undecided"
assert abs(first_say[1][2] - 2 * math.log(2)) < 0.25, "expected D to be nearly undecided"
assert first_say[0.1][1] < 0.01 and first_say[10][1] > 1, "expected D to see nothing, or too much"
assert first_say[10][0] > 0.4 and first_say[10][2] > 2.5, "expected garish colours, a wrong D"

# %% [markdown]
# With a tenth, D's logits hardly depend on the picture: there is next to nothing to pass on to G.
# With ten times as much, G's tanh is at its ends and D is certain and wrong. With 0.02 both start
# undecided (an undecided D costs $2 \ln 2 = 1.386$) but awake.
#
# ## The step, written out
#
# One step shows a batch to both networks. G paints once, and both use that painting: first D
# learns from it, then G, judged by the D that has just learnt.
#
# D's half first. Its output is a map of logits, one for each patch, and $\log(1 + e^x)$ is called
# **softplus**: $-\log D = \text{softplus}(-\text{logit})$ and
# $-\log(1 - D) = \text{softplus}(\text{logit})$.


# %%
def discriminator_step(D, optimizer, x, y, fake, weight=0.5):
    """Equation 1, D's side: real up, fake down. Halved, as in the paper."""
    real_logits = D(torch.cat([x, y], 1))
    fake_logits = D(torch.cat([x, fake.detach()], 1))  # detach: G is not to learn from this
    loss = weight * (softplus(-real_logits).mean() + softplus(fake_logits).mean())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# %% [markdown]
# G's half. The fake still carries its graph, so the gradient flows through D into G. Only G's
# optimizer steps. (D collects gradients as well; its own `zero_grad` throws them away.)


# %%
def generator_step(D, optimizer, x, y, fake, lambda_l1):
    """Equation 4, G's side: fool D, and stay near the truth."""
    adversarial = softplus(-D(torch.cat([x, fake], 1))).mean()
    l1 = (fake - y).abs().mean()
    optimizer.zero_grad()
    (adversarial + lambda_l1 * l1).backward()
    optimizer.step()
    return adversarial.item(), l1.item()


def pix2pix_step(G, D, optimizer_g, optimizer_d, x, y, lambda_l1=100.0):
    """One step of pix2pix, for any x and y."""
    fake = G(x)  # once, for both
    discriminator_step(D, optimizer_d, x, y, fake)
    return generator_step(D, optimizer_g, x, y, fake, lambda_l1)


# %% [markdown]
# **Claim: this is the library's step.** Give both the same first weights, the same batches and,
# before each step, the same seed for dropout. After ten steps every weight of G and of D, and
# every running statistic of batch norm, must be equal.

# %%
recipe = pix2pix.recipe("both")  # the preset pix2pix, made small: 32 px, batches of 8, width 16
batches = Batches(pix2pix.first_scenes(128), 8, size=32, seed=config.seed)


def adam(network, lr=1e-3):
    """Adam with the paper's betas. fused is one kernel for all weights: speed again."""
    return torch.optim.Adam(network.parameters(), lr, betas=(0.5, 0.999), fused=True)


def ten_steps(step):
    """Train new networks with a step for ten batches; returns G and D."""
    G, D = new_networks(config.seed)
    both = adam(G), adam(D)
    for k in range(10):
        x, y = split_lab(to_float(batches.batch(k)))
        torch.manual_seed(k)  # dropout
        step(G, D, *both, x, y)
    return G, D


def largest_difference(mine, theirs):
    """Between any two numbers that two pairs of networks hold."""
    pairs = [(a, b) for m, t in zip(mine, theirs) for a, b in zip(m.parameters(), t.parameters())]
    pairs += [(a, b) for m, t in zip(mine, theirs) for a, b in zip(m.buffers(), t.buffers())]
    return max((a - b).abs().max().item() for a, b in pairs if a.is_floating_point())


library = Networks(recipe, seed=config.seed, device=torch.device("cpu"))
for k in range(10):
    torch.manual_seed(k)
    library.train_step([batches.batch(k)], step=k)
theirs = (library.generator, library.d_loss.discriminator)

mine = ten_steps(pix2pix_step)
difference = largest_difference(mine, theirs)
print(f"largest difference after ten steps: {difference:.1e}")

# %% tags=["check"]
assert difference <= 1e-6, "expected the library's weights"

# %% [markdown]
# Equal. From here on the library's step is used. It is the same lines, with half precision, batches
# in parts, several processes and other losses taken care of:

# %%
show_source(Networks.update_discriminator)

# %%
show_source(Networks.update_generator)

# %% [markdown]
# Does the test notice a wrong step? Here are three that run without a complaint. "G first" updates
# in the other order. "Paints twice" makes a new fake for G's half (dropout then differs). "D not
# halved" leaves out the paper's factor of one half.


# %%
def g_first(G, D, optimizer_g, optimizer_d, x, y):
    fake = G(x)
    generator_step(D, optimizer_g, x, y, fake, 100.0)
    discriminator_step(D, optimizer_d, x, y, fake)


def paints_twice(G, D, optimizer_g, optimizer_d, x, y):
    discriminator_step(D, optimizer_d, x, y, G(x))
    generator_step(D, optimizer_g, x, y, G(x), 100.0)


def not_halved(G, D, optimizer_g, optimizer_d, x, y):
    fake = G(x)
    discriminator_step(D, optimizer_d, x, y, fake, weight=1.0)
    generator_step(D, optimizer_g, x, y, fake, 100.0)


for step in (g_first, paints_twice, not_halved):
    wrong = largest_difference(ten_steps(step), theirs)
    print(f"{step.__name__:13} differs by {wrong:.4f}")
    assert wrong > 1e-4, "expected the comparison to notice"

# %% [markdown]
# ### Does halving D's loss slow D down?
#
# The paper halves it "to slow down" D. Measure how far D's weights move in the first step, with
# and without the factor, once with Adam and once with plain gradient descent (SGD).

# %%
x, y = split_lab(to_float(batches.batch(0)))
moved = {}
for name, make in {
    "Adam": lambda weights: torch.optim.Adam(weights, 1e-3, betas=(0.5, 0.999)),
    "SGD": lambda weights: torch.optim.SGD(weights, 1e-3),
}.items():
    for weight in (0.5, 1.0):
        G, D = new_networks(config.seed)
        torch.manual_seed(config.seed)  # the same fake each time
        before = copy.deepcopy(D)
        discriminator_step(D, make(D.parameters()), x, y, G(x), weight)
        steps = [(a - b).norm() for a, b in zip(D.parameters(), before.parameters())]
        moved[name, weight] = torch.stack(steps).norm().item()
    ratio = moved[name, 1.0] / moved[name, 0.5]
    print(f"{name}: D moves {ratio:.2f} times as far without the factor")

# %% tags=["check"]
assert abs(moved["SGD", 1.0] / moved["SGD", 0.5] - 2) < 0.01, "expected twice the gradient"
assert abs(moved["Adam", 1.0] / moved["Adam", 0.5] - 1) < 0.01, "expected Adam not to care"

# %% [markdown]
# Under Adam the factor does nothing: Adam divides each gradient by its own size. It would with
# SGD. To slow D down under Adam, lower its learning rate. Measuring beats quoting.
#
# ## Train, and read the four curves
#
# 800 steps on 1,024 scenes. `Trainer` runs the step above; what it measured is in `.history`. On
# the way we look at 128 held-out scenes: the error of ab, and how colourful balloons are (chroma
# painted over chroma true, the **chroma ratio**).

# %%
trainer = Trainer(recipe, pix2pix.first_scenes(1024), seed=config.seed, device="cpu")
looks = []
for record in trainer.run():
    if record.step in pix2pix.LOOKS:
        ab = pix2pix.predict(trainer.generator, held_out.L)  # in evaluation mode
        looks.append({"step": record.step, **pix2pix.quality(ab, held_out)})
looks, history = pd.DataFrame(looks).set_index("step"), trainer.history
print(looks[["error", "background", "balloons"]].round(3))

# %%
floor = (scenes.posterior_median(held_out) - held_out.true_ab).abs().mean().item()
grey = held_out.true_ab.abs().mean().item()


def curve(ax, column, colour, label=""):
    values = history.set_index("step")[column].dropna()
    every_fourth = values[::4] if len(values) > 400 else values
    ax.plot(every_fourth.index, every_fourth, color=colour, alpha=0.2, linewidth=0.7)
    smooth = values.rolling(max(1, len(values) // 20), min_periods=1, center=True).mean()
    ax.plot(values.index, smooth, color=colour, linewidth=1.8, label=label)


def level(ax, height, text):
    ax.axhline(height, color="0.4", linestyle="--", linewidth=1)
    ax.text(800, height, text, ha="right", va="bottom", fontsize=9, color="0.3")


# %%
fig = Figure(figsize=(8.4, 5.4), layout="constrained")
(top, right), (left, bottom) = fig.subplots(2, 2, sharex=True)
curve(top, "d_loss", PALETTE[0])
level(top, 2 * math.log(2), "undecided: 2 ln 2")
curve(right, "g_adversarial", PALETTE[1])
level(right, math.log(2), "D undecided: ln 2")
curve(left, "l1", PALETTE[2])
level(left, floor, "the best L1 answer (held-out)")
level(left, grey, "grey")
curve(bottom, "d_real_accuracy", PALETTE[0], "D right on real")
curve(bottom, "d_fake_accuracy", PALETTE[1], "D right on fake")
curve(bottom, "adversarial_share", "black", "adversarial share")
bottom.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
bottom.set(ylim=(0, 1.5), xlabel="step", title="accuracy, share")
left.set(xlabel="step", ylim=(0, 0.2), title="L1")
top.set(title="D loss (real + fake)")
right.set(title="G's adversarial loss")
for ax in (top, right, left, bottom):
    ax.spines[["top", "right"]].set_visible(False)
show(
    fig,
    alt="Four curves over 800 steps. D's loss begins at 2 ln 2 and sinks slowly; G's adversarial "
    "loss rises slowly; L1 falls within 150 steps from grey to a level above the best answer and "
    "stays; D's accuracies lie around 0.75, the adversarial share rises.",
)

# %% [markdown]
# How to read them, from the top left. (In the first 60 steps D leads, for G has not found out how
# to paint at all. Then G catches up.)
#
# 1. **D loss.** At 2 ln 2 = 1.386 D is undecided, at 0 it is always right. Neither is the aim:
#    a D that is undecided from the start teaches nothing, one that is always right cannot be
#    fooled. A stable value in between is a game that goes on.
# 2. **G's adversarial loss.** The mirror image of D's. It need not fall: its judge improves.
# 3. **L1.** The one curve that tells how near the truth G is, on training images.
# 4. **D's accuracy**, on patches: 0.5 is guessing, 1 is a win. **Adversarial share**: the norm of
#    the adversarial gradient on ab over that of the weighted L1 term, that is, who pulls.
#
# Which of them tells you that the colours still change? Compare step 120 with the rest.


# %%
def mean_over(column, first, last):
    inside = (history["step"] > first) & (history["step"] <= last)
    return history.loc[inside, column].mean()


for column in ("d_loss", "g_adversarial", "l1", "d_real_accuracy", "adversarial_share"):
    early, late = mean_over(column, 100, 200), mean_over(column, 700, 800)
    print(f"{column:18} {early:.3f} around step 150, {late:.3f} at the end")
error, colour = looks["error"], looks["balloons"]
print("held-out error      " + ", ".join(f"{v:.3f}" for v in error.loc[120:]))
print("balloons' chroma    " + ", ".join(f"{v:.2f}" for v in colour.loc[120:]))
print("at the steps         " + ", ".join(str(step) for step in colour.loc[120:].index))

# %% tags=["check"]
assert 0.75 < mean_over("l1", 700, 800) / mean_over("l1", 100, 200) < 1.05, "expected a flat L1"
assert 0.75 < error[800] / error[120] < 1.25, "expected an error that hardly changes"
assert colour.loc[400:].max() > colour[120] + 0.08, "expected more colour all the same"
assert 0.3 < mean_over("d_loss", 700, 800) < 1.35, "expected a D that neither wins nor gives up"
assert 0.6 < mean_over("d_real_accuracy", 700, 800) < 0.97, "expected D to be right mostly"
assert mean_over("g_adversarial", 700, 800) > mean_over("g_adversarial", 0, 20), "expected a rise"

# %% [markdown]
# From step 120 on the error hardly changes, and L1 tells as little. The colours do change:
# balloons gain most of their chroma later, and not steadily. A GAN does not settle as a
# regression does, its two players go on moving. No curve of the training shows that, only looks
# at held-out pictures do. Save pictures while you train.
#
# ## Break it: the discriminator wins
#
# "D is too strong" is the usual diagnosis of a GAN that fails. Let us make it happen. The usual
# suspect is a D that learns too fast, so first its rate times ten; then instead a G that hardly
# learns, at a hundredth of D's rate. Both, and three attempts at a cure, over three seeds:

# %% tags=["nbval-check-output"]
rows = quote("balance")
cases = rows.groupby("case", sort=False)
columns = ["d_loss", "g_adversarial", "d_real_accuracy", "l1", "balloons"]
print(f"{'means of 3 seeds':29} {'D loss':>6} {'G adv.':>6} {'D acc.':>6} {'L1':>6} balloons")
for case, means in cases[columns].mean().iterrows():
    print(f"{case:29} " + " ".join(f"{value:6.3f}" for value in means))
low, high = cases.min(numeric_only=True), cases.max(numeric_only=True)
for case in ("slow G", "slow G, slow D", "slow G, D with spectral norm"):
    assert high.balloons[case] < low.balloons["balanced"], "expected dull colours"
    assert low.error[case] > 1.5 * high.error["balanced"], "expected them to be wrong, too"
cure = "both at D's rate"

# %% tags=["check"]
assert low.d_real_accuracy["slow G"] > 0.98, "expected a D that wins"
assert high.d_loss["slow G"] < 0.2, "expected a D that wins"
assert low.g_adversarial["slow G"] > 3, "expected G to be told so"
assert low.d_loss["fast D"] > high.d_loss["balanced"], "expected a fast D to be the weaker one"
assert high.d_real_accuracy["slow G, D with spectral norm"] < low.d_real_accuracy["slow G"]
assert low.d_loss["slow G, slow D"] > 1.3, "expected a slow D to be nearly undecided"
assert low.balloons[cure] > high.balloons["slow G"], "expected colours where G learns"

# %% [markdown]
# Read the table line by line.
#
# - **fast D.** Ten times the rate makes D *worse* here, in all seeds (its steps may be too coarse).
#   The usual suspect is innocent.
# - **slow G.** This is what a win looks like: D's loss near 0, its accuracy near 1, G's
#   adversarial loss at 3 to 5 and its L1 twice as high. How near depends on the draws: torch 2.6
#   draws other dropout from the same seeds, and there D's loss was 0.23 to 0.42.
# - **slow G, D with spectral norm** (it limits how steep D can be): tempers the win.
# - **slow G, slow D.** The curves look like a fair game: D's loss is near 2 ln 2. The colours are
#   as wrong as before. The symptom is cured, the disease is not.
# - **both at D's rate.** Curves *and* colours recover.
#
# So: a D that wins is a symptom. Ask why G does not learn before you weaken D. One row, live:

# %%
losing = Trainer(
    balance.recipe("slow G"), pix2pix.first_scenes(1024), seed=config.seed, device="cpu"
)
for record in losing.run():
    pass
end = losing.history.tail(50).mean()
print(f"D loss {end.d_loss:.3f}, G adversarial {end.g_adversarial:.2f}, L1 {end.l1:.3f}")
print(f"D is right on {end.d_real_accuracy:.1%} of the real patches")

# %% tags=["check"]
assert end.d_real_accuracy > 0.95 and end.d_loss < low.d_loss["balanced"] / 2, "expected D to win"
assert end.g_adversarial > 2.5 and end.l1 > 0.12, "expected G to lose"

# %%
fig = Figure(figsize=(8.4, 2.8), layout="constrained")
first_150 = history[history["step"] <= balance.STEPS]
panels = {"d_loss": "D loss", "g_adversarial": "G's adversarial loss", "d_real_accuracy": "D right"}
for ax, (column, title) in zip(fig.subplots(1, 3), panels.items()):
    for run, colour, name in zip((first_150, losing.history), PALETTE, ("balanced", "slow G")):
        smooth = run[column].rolling(5, min_periods=1).mean()
        ax.plot(run["step"], smooth, color=colour, label=name)
    ax.set(title=title, xlabel="step")
    ax.spines[["top", "right"]].set_visible(False)
ax.set_ylim(0, 1.05)
ax.legend(frameon=False, fontsize=9, loc="lower right")
show(
    fig,
    alt="Three panels over 150 steps, balanced and slow G. With a slow G the loss of D falls to "
    "zero, G's adversarial loss climbs to about five, and D is right on all real patches.",
)

# %% [markdown]
# ## L1, cGAN, or both
#
# Is each half of the objective needed? Train with L1 alone, with the adversarial loss alone
# ("cGAN", $\lambda = 0$) and with both. The paper compares **histograms** of the output's a and b
# with those of photographs: the **intersection** is the sum over bins of the smaller share, 1 if
# the set holds the right amount of every colour, wherever it is put. (L's would be 1 by
# construction: a colorizer keeps it.)
#
# The paper's values, for *Cityscapes, labels to photographs* (not for colorization):
#
# | Isola et al. 2017 | a | b |
# |---|---|---|
# | L1 | .69 | .70 |
# | cGAN | .74 | .84 |
# | L1 + cGAN | .84 | .82 |
#
# Ours, on held-out scenes, three seeds:

# %% tags=["nbval-check-output"]
rows = quote("pix2pix", images=1024)
by_objective = rows.groupby("objective")
columns = ["a_intersection", "b_intersection", "balloons", "background", "error"]
print(f"{'':5} {'a':>12} {'b':>12} {'balloons':>12} {'background':>14} {'error':>14}")
for name in ("l1", "cgan", "both"):
    low, high = by_objective.get_group(name)[columns].agg(["min", "max"]).to_numpy()
    digits = (2, 2, 2, 3, 3)
    print(f"{name:5} " + "   ".join(f"{a:.{d}f} - {b:.{d}f}" for a, b, d in zip(low, high, digits)))
low, high = by_objective.min(numeric_only=True), by_objective.max(numeric_only=True)
mean = by_objective[columns].mean()

# %% tags=["check"]
assert high.balloons["l1"] < 0.5 and low.balloons[["cgan", "both"]].min() > 0.7, "expected dull L1"
assert mean.a_intersection["both"] > mean.a_intersection["l1"], "expected more of a's colours"
assert low.b_intersection[["cgan", "both"]].min() > mean.b_intersection["l1"], "and of b's"
assert low.background["cgan"] > 1.15 * high.background["both"], "expected cGAN to be less right"
assert high.error["l1"] < low.error["both"] and high.error["both"] < low.error["cgan"]
assert abs(mean.a_intersection["cgan"] - mean.a_intersection["l1"]) < 0.02, "no gain in a"

# %% [markdown]
# What is confirmed: L1 is dull (balloons have a fifth of their chroma), both others are colourful,
# and both together keep the background nearly as right as L1 does; the adversarial loss alone
# does not. What is not: the histograms of a hardly tell L1 from cGAN here. Balloons are a small
# part of a scene, and a histogram counts all pixels. Ask first whether your metric can see what
# you are after.
#
# And L1 has the *lowest* error, in all seeds. It is what L1 asks for. Error alone would have you
# choose the grey balloons.
#
# One row again, here and now, and the training above is another one:

# %%
[setting] = [
    s for s in pix2pix.EXPERIMENT.settings if (s["objective"], s["images"]) == ("l1", 1024)
]
l1_trainer, l1_looks = pix2pix.train(setting, config.seed)
live = {"l1": l1_looks["balloons"].iloc[-1], "both": looks["balloons"].iloc[-1]}
for name, value in live.items():
    recorded = by_objective.get_group(name)["balloons"]
    width = max(recorded.max() - recorded.min(), 0.1)
    print(f"{name:5} {value:.2f} (recorded: {recorded.min():.2f} to {recorded.max():.2f})")
    assert recorded.min() - width < value < recorded.max() + width, "expected the recorded band"

# %% tags=["result"]
painters = {"L1": l1_trainer.generator, "L1 + cGAN": trainer.generator}
some = [2, 3, 8, 21]
columns = {"input": grey_image(held_out.L[some])}
for name, generator in painters.items():
    ab = pix2pix.predict(generator, held_out.L[some])
    columns[name] = to_uint8(join_lab(held_out.L[some], ab, gamut="chroma"))
columns["truth"] = held_out.rgb[some]
show(
    image_grid(columns, cell=1.28),
    alt="Four held-out scenes: input, L1, L1 + cGAN, truth. Sky, sea and grass are right in both. "
    "Balloons are greyish with L1 and have a colour, often another than the true one, with both.",
)

# %% [markdown]
# ## Predict first: what does lambda do?
#
# Five generators, 200 steps each, that differ in $\lambda$ alone: 0, 1, 10, 100 and 1000.
#
# - How does the balloons' chroma change with $\lambda$? (The toy at the top has an opinion.)
# - And the error where L tells the colour?
# - At which end is the adversarial loss decoration?
#
# Write your answers down, then run the cell and move the slider.

# %%
LAMBDAS = (0, 1, 10, 100, 1000)
swept, swept_ab = {}, {}
for lam in LAMBDAS:
    sweep = Trainer(
        pix2pix.recipe("both", lambda_l1=float(lam), steps=200),
        pix2pix.first_scenes(1024),
        seed=config.seed,
        device="cpu",
    )
    for record in sweep.run():
        pass
    swept_ab[lam] = pix2pix.predict(sweep.generator, held_out.L)
    swept[lam] = pix2pix.quality(swept_ab[lam], held_out)
    swept[lam]["share"] = sweep.history["adversarial_share"].tail(50).mean()
    if lam == 100:
        kept = sweep.networks  # for the second panel
table = pd.DataFrame(swept).T.rename_axis("lambda")
print(table[["balloons", "background", "error", "share"]].round(3))

# %% tags=["check"]
assert table.balloons[[0, 1, 10]].mean() > table.balloons[[100, 1000]].mean() + 0.1, "more colour"
assert table.background[0] > 1.2 * table.background[100], "expected L1 to put colours right"
assert table.share[1000] < 0.25 < 1 < table.share[1], "expected lambda to decide who pulls"


# %%
def draw_lambda(fig, lam):
    rows = {"painted": swept_ab[lam], "truth": held_out.true_ab}
    for row, (name, ab) in enumerate(rows.items()):
        pictures = to_uint8(join_lab(held_out.L[some], ab[some], gamut="chroma"))
        for column, image in enumerate(pictures):
            ax = fig.add_subplot(2, 4, 4 * row + column + 1)
            ax.imshow(image.permute(1, 2, 0), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if column == 0:
                ax.set_ylabel(name)
    q = swept[lam]
    return (
        f"lambda {lam}: balloons' chroma ratio {q['balloons']:.2f}, error {q['error']:.3f}, "
        f"where L tells the colour {q['background']:.3f}"
    )


panel = Panel(
    draw_lambda,
    figsize=(6.4, 3.4),
    alt="Four held-out scenes painted with lambda 1, above the true ones: balloons are colourful, "
    "sky and ground are roughly right.",
    lam=choice(LAMBDAS, value=1, label="lambda"),
)
panel

# %% tags=["check"]
panel.try_controls()

# %% [markdown]
# A small $\lambda$: colour, and errors where none need be. A large one: the background is right
# and balloons are dull, and at 1000 the adversarial share says that $D$ is decoration.
#
# ### Live
#
# Now train while you turn. From the generator of $\lambda = 100$, each move of a slider trains on
# for a few steps with another $\lambda$. Predict: you set $\lambda$ to 0. Which of the two numbers
# moves first, the error of ab or the balloons' chroma?

# %%
few = scenes.draw(range(24), 32, split="val")
fresh = Batches(pix2pix.first_scenes(128), 8, size=32, seed=config.seed + 1)


def train_on(lam, steps):
    """A copy of the kept networks after a few more steps with another lambda."""
    networks = copy.deepcopy(kept)
    networks.recipe = networks.recipe.replace(lambda_l1=float(lam))
    networks.d_loss.recipe = networks.recipe
    with torch.random.fork_rng():
        for k in range(steps):
            torch.manual_seed(k)
            networks.train_step([fresh.batch(k)], k)
    return networks.generator


def draw_live(fig, lam, steps):
    ab = pix2pix.predict(train_on(lam, steps), few.L)
    q = pix2pix.quality(ab, few)
    pictures = to_uint8(join_lab(few.L[:6], ab[:6], gamut="chroma"))
    for column, image in enumerate(pictures):
        ax = fig.add_subplot(1, 6, column + 1)
        ax.imshow(image.permute(1, 2, 0), interpolation="nearest")
        ax.set(xticks=[], yticks=[])
    return (
        f"{steps} more steps with lambda {lam}: error {q['error']:.4f}, "
        f"balloons' chroma ratio {q['balloons']:.3f}"
    )


live_panel = Panel(
    draw_live,
    figsize=(7, 1.4),
    alt="Six held-out scenes, painted after six more steps with lambda 0.",
    lam=choice(LAMBDAS, value=0, label="lambda"),
    steps=slider(0, 8, value=6, step=1, label="more steps"),
)
live_panel

# %%
live_panel.try_controls()
ends = {lam: pix2pix.quality(pix2pix.predict(train_on(lam, 8), few.L), few) for lam in (0, 100)}
for lam, q in ends.items():
    print(f"8 steps with lambda {lam:3}: error {q['error']:.4f}, balloons {q['balloons']:.3f}")

# %% tags=["check"]
assert ends[0]["error"] > ends[100]["error"], "expected L1 to be missed at once"

# %% [markdown]
# ## Train and eval mode
#
# "Do I have to call `.eval()`?" Two layers behave differently in training:
#
# - **Dropout** sets random activations to zero in train mode, and nothing in eval mode.
# - **Batch norm** normalises by the mean and variance of *this batch* in train mode, and by
#   running statistics, collected in training, in eval mode.
#
# The paper leaves both in train mode at test time (section 3.3), with a batch of one. What does
# that do? Switch them one by one.


# %%
def in_mode(generator, *, dropout, batch_statistics):
    """A copy in which dropout and batch norm behave as in training, or not."""
    network = copy.deepcopy(generator).eval()
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.train(dropout)
        if isinstance(part, nn.BatchNorm2d):
            part.train(batch_statistics)
    return network


@torch.no_grad()
def in_batches(network, L, size):
    torch.manual_seed(config.seed)  # dropout
    return torch.cat([network(part) for part in L.split(size)])


# %%
modes = {
    "eval": (False, False, 128),
    "dropout on": (True, False, 128),
    "statistics of 128 images": (False, True, 128),
    "statistics of 8 images": (False, True, 8),
    "statistics of 1 image": (False, True, 1),
    "both, 1 image (the paper)": (True, True, 1),
}
in_eval, by_mode = None, {}
for name, (dropout, batch_statistics, size) in modes.items():
    network = in_mode(trainer.generator, dropout=dropout, batch_statistics=batch_statistics)
    ab = in_batches(network, held_out.L, size)
    in_eval = ab if in_eval is None else in_eval
    q = pix2pix.quality(ab, held_out)
    by_mode[name] = {"moves by": (ab - in_eval).abs().mean().item()} | {
        column: q[column] for column in ("error", "background", "balloons")
    }
by_mode = pd.DataFrame(by_mode).T
print(by_mode.round(3))
error = by_mode.error
paper = "both, 1 image (the paper)"
background = by_mode.background

# %% tags=["check"]
assert by_mode["moves by"].drop("eval").min() > 0.003, "expected every switch to change colours"
assert error["dropout on"] > 1.05 * error["eval"], "expected dropout to cost accuracy"
assert background["dropout on"] > 1.1 * background["eval"], "also where L tells the colour"
assert error[paper] > 1.08 * error["eval"] and error[paper] == error.max(), "and both to cost most"
assert abs(error["statistics of 128 images"] / error["eval"] - 1) < 0.15, "expected no harm in many"
assert error["statistics of 1 image"] > error["statistics of 128 images"], "expected harm in one"

# %% [markdown]
# - Statistics of many images do no harm: eval mode's are an average of just those.
# - Those of a *single* image cost accuracy: its own mean and variance are not the world's.
# - Dropout costs more. It is noise in the answer, also where L tells the colour.
# - The paper's mode costs most. There dropout is the only noise $z$: this is the price of variety.
#   For a photograph use eval mode, unless variety is what you want.
#
# ### Batch-mates
#
# In train mode a picture's colours depend on the pictures beside it. Take one scene, and put it
# into two batches: among seas, and among towns.

# %%
seas = (held_out.scene_class == scenes.CLASSES.index("sea")).nonzero()[:8, 0]
towns = (held_out.scene_class == scenes.CLASSES.index("town")).nonzero()[:8, 0]
mine_L = held_out.L[towns[:1]]
mates = {}
for name, batch_statistics in (("train mode", True), ("eval mode", False)):
    network = in_mode(trainer.generator, dropout=False, batch_statistics=batch_statistics)
    with torch.no_grad():
        among = [network(torch.cat([mine_L, held_out.L[k[1:]]]))[0] for k in (seas, towns)]
    mates[name] = (among[0] - among[1]).abs().mean().item()
    print(f"{name}: batch-mates change its ab by {mates[name]:.4f} on average")

# %% tags=["check"]
assert mates["train mode"] > 0.004, "expected batch-mates to matter"
assert mates["eval mode"] < 1e-5, "expected them not to matter"

# %% [markdown]
# And a trap. `torch.no_grad()` stops gradients, not statistics: a network in train mode *learns*
# from every picture that you only meant to look at. Show it dark pictures twenty times, with no
# optimizer in sight, and then do it right.

# %%
looked_at = copy.deepcopy(trainer.generator).train()
with torch.no_grad():
    for _ in range(20):
        looked_at(held_out.L[:16] - 0.5)
spoilt = pix2pix.quality(pix2pix.predict(looked_at, held_out.L), held_out)["error"]
intact = by_mode.error["eval"]
print(f"error in eval mode: {intact:.3f} before, {spoilt:.3f} after looking on in train mode")

# %% tags=["check"]
assert spoilt > 1.08 * intact, "expected the running statistics to have moved"

# %% [markdown]
# ## A training is killed
#
# Sessions die. [Notebook 0](00_start_here.ipynb) ended a loop; now a whole process is killed, by
# the system, without a warning (`SIGKILL`; on Windows `TerminateProcess`). It cannot save
# anything any more. Two trainings by the command line, with the same flags and a checkpoint every
# 10 steps: one is left alone, one is killed as soon as a checkpoint is there.

# %%
flags = shlex.split(
    "--recipe pix2pix --data scenes --size 32 --batch-size 8 --depth 3 --width 8 --d-width 8 "
    "--precision fp32 --device cpu --steps 100 --save-every 10 --overwrite"
)
environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def colorlib(*arguments):
    """Start a colorlib command as a process of its own."""
    command = [sys.executable, "-m", "colorlib", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


folders = {name: config.out / f"07_{name}" for name in ("undisturbed", "killed")}
(folders["killed"] / "latest").unlink(missing_ok=True)  # of the last time that this cell ran
undisturbed = colorlib("train", *flags, "--out", folders["undisturbed"])

doomed = colorlib("train", *flags, "--out", folders["killed"])
while doomed.poll() is None and not (folders["killed"] / "latest").is_file():
    time.sleep(0.01)
doomed.kill()
killed_at = int((folders["killed"] / "latest").read_text())
ended = undisturbed.wait(), doomed.wait()
print("killed after a checkpoint, long before step 100")
resumed = colorlib("resume", folders["killed"]).wait()

# %% tags=["check"]
assert ended[0] == 0, "expected the undisturbed training to finish"
assert ended[1] != 0, "expected a process that did not end by itself"
assert 0 < killed_at < 100, "expected it to be killed half-way"
assert resumed == 0, "expected it to go on to the end"


# %%
def checkpoint(name):
    """All tensors of a run's last checkpoint: both networks and both optimizers."""
    folder = folders[name] / "checkpoints" / (folders[name] / "latest").read_text().strip()
    files = sorted(folder.glob("*.safetensors"))
    return {f"{file.stem}.{key}": value for file in files for key, value in load_file(file).items()}


one, other = checkpoint("undisturbed"), checkpoint("killed")
equal = [torch.equal(one[key], other[key]) for key in one]
numbers = sum(value.numel() for value in one.values())
print(f"{sum(equal)} of {len(equal)} tensors are equal, {numbers:,} numbers, bit for bit")

# %% tags=["check"]
assert one.keys() == other.keys() and len(one) > 50, "expected the same tensors in both"
assert all(equal), "expected the killed and resumed run to equal the undisturbed one"

# %% [markdown]
# Weights, running statistics and both optimizers' moments: not a bit differs. (On one CPU. A GPU
# may add up in another order.) Three things make it so: a checkpoint becomes `latest` only when
# it is whole on the disk; it holds the *optimizers*, not only the weights; and every random draw
# is a function of the seed and the step. In a terminal it is:
#
# ```
# colorlib train --recipe pix2pix --data folder:my_photos ... --out runs/mine
# colorlib resume runs/mine
# ```
#
# ## How long, and on how many images?
#
# "15 epochs or 100?" An epoch is one pass over the training images. Here are runs on 64 scenes,
# so 100 epochs are 800 steps, with the error on held-out scenes. A line to compare with: the best
# possible L1 answer, which scenes let us compute.

# %% tags=["nbval-check-output"]
rows = quote("pix2pix", images=64)
by_objective = rows.groupby("objective")
epochs = {step: step * pix2pix.BATCH_SIZE // 64 for step in pix2pix.LOOKS}
over_epochs = {}
for name in ("l1", "both"):
    for what in ("error", "balloons"):
        group = by_objective.get_group(name)[[f"{what}_{step:03d}" for step in epochs]]
        over_epochs[name, what] = group.set_axis(list(epochs.values()), axis=1)
        middle = over_epochs[name, what].mean()
        print(f"{name:4} {what:9} " + ", ".join(f"{v:.3f} ({k})" for k, v in middle.items()))
print("(mean of three seeds, after so many epochs)")
for n in (64, 25_000):
    print(f"15 epochs on {n:,} images in batches of 8: {15 * n // 8:,} steps")
for name in ("l1", "both"):
    error, balloons = over_epochs[name, "error"].mean(), over_epochs[name, "balloons"].mean()
    assert error[15] < 0.6 * error[5], "expected the first 15 epochs to halve the error"
    assert 0.8 * error[15] < error[100] < error[15], "expected little more from the other 85"
    assert balloons[100] > balloons[15] + 0.1, "expected the colour to go on"

# %% [markdown]
# By the error, 15 epochs nearly do: the other 85 take off about a tenth. By colour they do not.
# And do not carry the 15 over to another set: 15 epochs of 64 images are 120 steps, of 25,000 they
# are 46,875. Count steps, and watch what you care about.
#
# But look again: why do L1's balloons get *more* colourful here, on held-out scenes, when the best
# L1 answer is grey?
#
# Change the number of images, all with the same 800 steps. Next to the error on held-out scenes
# stands that on the training images (the first 128 of them).

# %% tags=["nbval-check-output"]
rows = quote("pix2pix")
rows = rows[rows["objective"] != "cgan"]
by_images = rows.groupby(["objective", "images"])
means = by_images[["error", "train_error", "background", "balloons", "b_intersection"]].mean()
for (name, n), row in means.iterrows():
    print(
        f"{name:4} {n:5} images: error {row.error:.3f}, on its own images {row.train_error:.3f}, "
        f"background {row.background:.3f}, balloons {row.balloons:.2f}"
    )
l1, with_gan = means.loc["l1"], means.loc["both"]
gap = with_gan.balloons - l1.balloons
print(f"what the adversarial loss adds to balloons: {gap[1024]:.2f} (1024), {gap[16]:.2f} (16)")

# %% tags=["check"]
assert gap[1024] > 0.5 and gap[16] < 0.15, "expected few images to cost the gain"
assert with_gan.balloons[1024] > with_gan.balloons[16] + 0.15, "expected the GAN to lose colour"
assert l1.balloons[16] > l1.balloons[1024] + 0.2, "expected L1 to gain colour"
assert l1.error[16] < 1.15 * l1.error[1024], "expected held-out errors to hide it"
assert l1.train_error[16] < 0.65 * l1.train_error[1024], "expected training errors to show it"

# %%
fig = Figure(figsize=(8.4, 3.1), layout="constrained")
left, right = fig.subplots(1, 2)
for name, colour in (("l1", PALETTE[0]), ("both", PALETTE[1])):
    runs = over_epochs[name, "error"]
    left.plot(runs.columns, runs.mean(), "o-", color=colour, label=name)
    left.fill_between(runs.columns, runs.min(), runs.max(), color=colour, alpha=0.2)
    held, seen = means.loc[name]["error"], means.loc[name]["train_error"]
    right.plot(held.index, held, "o-", color=colour, label=f"{name}, held out")
    right.plot(seen.index, seen, "o:", color=colour, label=f"{name}, training images")
for ax in (left, right):
    ax.axhline(floor, color="0.4", linestyle="--", linewidth=1)
    ax.set_ylim(0, 0.14)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
left.set(xlabel="epochs on 64 images", ylabel="error of ab")
left.set_xticks([5, 15, 30, 50, 100])
right.set(xlabel="training images (800 steps each)", xscale="log")
right.set_xticks(list(means.loc["l1"].index), [str(n) for n in means.loc["l1"].index])
right.minorticks_off()
show(
    fig,
    alt="Left: error over epochs on 64 images; both curves fall until epoch 15 and then hardly. "
    "Right: error over the number of training images; held out it is nearly level, on training "
    "images it falls to half, below the dashed line of the best L1 answer, where images are few.",
)

# %% [markdown]
# The dashed line is the best that L can tell, on held-out scenes. On a network's own images you
# can only get below their line by knowing the pictures. Is the line for those 16 as low?

# %%
own = scenes.draw(range(16), 32)
own_floor = (scenes.posterior_median(own) - own.true_ab).abs().mean().item()
found = l1.train_error[16]
print(f"best L1 answer on the 16 images {own_floor:.3f}, L1's error on them {found:.3f}")

# %% tags=["check"]
assert found < 0.85 * own_floor, "expected what only memory can do"

# %% [markdown]
# No: L1 is better on them than L allows. It has learnt 16 pictures **by heart**, balloons
# included, and on new scenes paints balloons in colours that it remembers. That is the colour L1
# gained above: no better guess, a stranger's.
#
# So fewer images hurt the two differently. L1 overfits: right on what it has seen, and its
# dullness, which was honest, turns into guesses. The GAN loses what it was there for: with 16
# images its balloons are hardly more colourful than those of L1. The held-out *error* shows none
# of it.

# %% [markdown]
# ## The same code, another problem
#
# Nothing in the step says "colour". The paper's title is "image-to-image translation": edges to
# handbags, labels to streets. Take your `pix2pix_step` from above, unchanged. Now $x$ is a
# scene's **masks** (one channel for each of seven classes: sky, sea, trees ...) and $y$ the whole
# picture in RGB, lightness and texture included. Only the numbers of channels change.

# %%
CLASSES = list(scenes.SEGMENTS)


def masks_of(drawn):
    """One channel a class: 1 where it covers most of a pixel, else 0."""
    return one_hot(drawn.segments, len(CLASSES)).permute(0, 3, 1, 2).float()


drawn = scenes.draw(range(512), 32)
masks, pictures = masks_of(drawn), to_float(drawn.rgb) * 2 - 1
G = UNet(in_channels=len(CLASSES), out_channels=3, **small, rng=make_rng(config.seed, "masks G"))
D = PatchGAN(
    in_channels=len(CLASSES) + 3, receptive_field=16, width=16, rng=make_rng(config.seed, "masks D")
)
both = adam(G), adam(D)
shuffle = make_rng(config.seed, "masks batches")
torch.manual_seed(config.seed)  # dropout
for _ in range(240):
    k = torch.randint(len(masks), (8,), generator=shuffle)
    pix2pix_step(G, D, *both, masks[k], pictures[k])
G.eval()


# %%
def paint_scene(x):
    with torch.no_grad():
        return to_uint8((G(x) + 1) / 2)


painted = paint_scene(masks_of(held_out))
mean_colour = (masks.transpose(0, 1).flatten(1) @ pictures.transpose(0, 1).flatten(1).T) / (
    masks.sum((0, 2, 3))[:, None]
)
flat = torch.einsum("bkhw,kc->bchw", masks_of(held_out), mean_colour)
flat = to_uint8((flat + 1) / 2)
worth = {}
for name, images in (("pix2pix", painted), ("mean colours", flat)):
    balloons = pix2pix.quality(split_lab(to_float(images))[1], held_out)["balloons"]
    worth[name] = psnr(images, held_out.rgb).mean().item(), balloons
    print(f"{name:12} PSNR {worth[name][0]:.1f} dB, balloons' chroma ratio {balloons:.2f}")

# %% tags=["check"]
assert worth["pix2pix"][0] > worth["mean colours"][0] - 1, "expected scenes of the right colours"
assert worth["pix2pix"][1] > worth["mean colours"][1] + 0.3, "expected balloons with a colour"

# %% [markdown]
# To compare with: each class flat in its mean colour. pix2pix is about as near to the truth, and
# its balloons have colours. The masks steer it: repaint the sea in the masks as ground, and ask
# again.

# %%
is_sea = masks_of(held_out)[:, CLASSES.index("sea")] > 0
edited = masks_of(held_out)
edited[:, CLASSES.index("ground")] += edited[:, CLASSES.index("sea")]
edited[:, CLASSES.index("sea")] = 0
repainted = paint_scene(edited)


def mean_ab_at(images, where):
    """Mean of a* and b* over some pixels."""
    return 110 * split_lab(to_float(images))[1].transpose(0, 1)[:, where].mean(1)


before, after = mean_ab_at(painted, is_sea), mean_ab_at(repainted, is_sea)
print(f"where the sea was: b* {before[1]:.0f} before, {after[1]:.0f} after (blue is negative)")

# %% tags=["check"]
assert before[1] < -8 and after[1] > 5, "expected blue to become the green and yellow of land"

# %%
KEY = torch.tensor(
    [[90, 90, 90], [86, 180, 233], [0, 158, 115], [0, 114, 178], [0, 80, 50], [213, 94, 0],
     [204, 121, 167]]
)  # fmt: skip
three = torch.cat([seas[:2], towns[:1]])


def shown(x):
    return KEY[x.argmax(1)].permute(0, 3, 1, 2).to(torch.uint8)


show(
    image_grid(
        {
            "masks": shown(masks_of(held_out)[three]),
            "painted": painted[three],
            "masks, no sea": shown(edited[three]),
            "painted again": repainted[three],
            "truth": held_out.rgb[three],
        },
        cell=1.28,
    ),
    alt="Three scenes in five columns: masks, what is painted from them, masks whose sea has "
    "become ground, painted again with land in the place of the sea, truth.",
)

# %% [markdown]
# Two hundred and forty steps make land and sea, with the hue of a balloon left to chance, as it
# must be. (Colorization is the easier problem: it is given all detail.)
#
# ## Full mode: real photographs
#
# The paper's network on photographs: from `configure(data="folder:PATH")`, else from the Kaggle
# L/ab set if it is attached (its path is found), else flowers102. Runs are kept where a session's
# end does not take them: in `/kaggle/working`, on a mounted Drive, else in `runs`. Run a cell
# again and it goes on. Arithmetic is mixed precision: fp16 with a scaler on a T4, bf16 on newer
# cards. First: what is there, and how long will it take?

# %% tags=["full"]
photo_size = 256 if config.long else 128
photo_recipe = RECIPES["pix2pix"].replace(size=photo_size, batch_size=8, steps=10_000)
if config.full:
    train_set, val_set, test_set = (
        config.photographs(photo_size, split) for split in ("train", "val", "test")
    )
    print(f"{train_set.name}: {len(train_set):,} photographs to train on at {photo_size} px")
    print(f"the run is kept in {config.out / '07_pix2pix'}")
else:
    print("quick mode: full mode trains on real photographs; the command for two GPUs is below")

# %% tags=["full"]
if config.full:
    trial = Trainer(photo_recipe, train_set, seed=config.seed, device=config.device)
    clock = []
    for record in trial.run(config.steps(12)):
        record["l1"]  # waits until the device has done its work
        clock.append(trial.seconds)
    pace = (clock[-1] - clock[0]) / (len(clock) - 1)  # the first step is slower: left out
    print(f"{pace:.2f} s a step in {trial.networks.precision} on {config.device}")
    print(f"{photo_recipe.steps:,} steps: about {duration(pace * photo_recipe.steps)}")
    epoch = trial.batches.steps_per_epoch
    print(f"an epoch is {epoch:,} steps, {duration(pace * epoch)}")
    del trial

# %% [markdown]
# With two GPUs (Kaggle's two T4s) each takes half of every batch. A notebook that has used a GPU
# cannot fork, so the training is a process of its own, started by `torchrun`. A run that is
# already there is resumed by the same cell. This is the command, shown in both modes; it is run
# where there are two GPUs.

# %% tags=["full"]
gpus = torch.cuda.device_count()
two_recipe = photo_recipe if config.long else photo_recipe.replace(minutes=15)
two_folder = config.out / "07_pix2pix_gpus"
spec = train_set.name if config.full else "folder:PATH"
command = torchrun_command(two_recipe, spec, two_folder, processes=max(2, gpus), seed=config.seed)
words = [word.replace(str(two_folder), "runs/07_pix2pix_gpus") for word in command[3:]]
print("torchrun " + shlex.join(words))

# %% tags=["full"]
if config.full and gpus > 1 and config.step_limit is None:
    subprocess.run(command, check=True)
    photo_network = Colorizer.load(two_folder).generator
elif config.full:
    photo_trainer = train_run("07_pix2pix", photo_recipe, train_set, config, validation=val_set)
    photo_network = photo_trainer.averaged_generator.eval()

# %% tags=["full"]
if config.full:
    scores = evaluate(
        {"pix2pix": photo_network}, test_set, n=config.steps(400), device=config.device,
        progress=False,
    )  # fmt: skip
    print(scores[["n", "psnr", "ciede2000", "chroma_ratio", "a_intersection"]].round(3))
    if config.step_limit is None:
        assert scores.loc["pix2pix", "chroma_ratio"] > 0.4, "expected colour"
    chosen = test_set.images(range(min(4, len(test_set))))
    photo_L = split_lab(to_float(chosen))[0]
    with torch.no_grad():
        photo_ab = photo_network(photo_L.to(config.device)).float().cpu()
    painted_photos = to_uint8(join_lab(photo_L, photo_ab, gamut="chroma"))
    show(
        image_grid({"input": grey_image(photo_L), "pix2pix": painted_photos, "truth": chosen}),
        alt="Held-out photographs: input, coloured by pix2pix, truth.",
    )

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: epochs and steps
#
# How many steps are `epochs` passes over `images` images in batches of `batch_size`? The last,
# partial batch of an epoch is dropped, as in the library. There are at least `batch_size` images.


# %% tags=["exercise"]
def steps_of(images, batch_size, epochs):
    """The number of training steps."""
    ### BEGIN SOLUTION
    return epochs * (images // batch_size)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.steps_of.check(steps_of)
# exercises.steps_of.hint()
# exercises.steps_of.solution()

# %% [markdown]
# ### Exercise 2: the time for 100 epochs
#
# A trial of 12 steps on 7,370 photographs in batches of 16 read the clock after each step (in
# seconds since the start). The first two steps were slow: kernels were chosen, files opened. How
# many *hours* will 100 epochs take?

# %% tags=["exercise"]
read = [4.10, 5.62, 5.85, 6.08, 6.30, 6.53, 6.76, 6.98, 7.21, 7.44, 7.66, 7.89]
hours = ...
### BEGIN SOLUTION
seconds_a_step = (read[-1] - read[1]) / 10  # from the end of step 2 to the end of step 12
hours = seconds_a_step * 100 * (7370 // 16) / 3600
### END SOLUTION

# %% tags=["exercise-check"]
exercises.hours.check(hours)
# exercises.hours.hint()
# exercises.hours.solution()

# %% [markdown]
# ### Exercise 3: which run is which?
#
# Three runs of 240 steps on scenes; each row is a mean over 40 steps. One has $\lambda = 100$, one
# $\lambda = 0$, and one a generator that hardly learns (its rate is a hundredth of D's). Match
# them with `"lambda 100"`, `"lambda 0"` and `"slow G"`.

# %%
print(exercises.curves().to_string(index=False))

# %% tags=["exercise"]
which = ...  # {"A": "...", "B": "...", "C": "..."}
### BEGIN SOLUTION
# B: D is right on everything and L1 hardly falls: slow G. A and C are fair games; in C nothing
# asks for a small L1, and it stays above that of A.
which = {"A": "lambda 100", "B": "slow G", "C": "lambda 0"}
### END SOLUTION

# %% tags=["exercise-check"]
exercises.which.check(which)
# exercises.which.hint()
# exercises.which.solution()

# %% [markdown]
# ### Exercise 4: G's step
#
# Write G's half of the step, for a conditional LSGAN: as above, but the adversarial term is
# $E\,(D(x, G(x)) - 1)^2$. Paint, and update G once. D must not change. Return G's whole loss (a
# tensor or a number).


# %% tags=["exercise"]
def lsgan_generator_step(G, D, optimizer, x, y, lambda_l1):
    """One update of G; `optimizer` holds G's weights."""
    ### BEGIN SOLUTION
    fake = G(x)
    adversarial = (D(torch.cat([x, fake], 1)) - 1).square().mean()
    loss = adversarial + lambda_l1 * (fake - y).abs().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.lsgan_generator_step.check(lsgan_generator_step)
# exercises.lsgan_generator_step.hint()
# exercises.lsgan_generator_step.solution()

# %% [markdown]
# ## Recap
#
# 1. A step: G paints once, D learns from it, then G learns from D and from L1, weighted $\lambda$.
# 2. L1 alone is dull, the adversarial loss alone is careless; together they are colourful and
#    mostly right. The error alone would choose L1.
# 3. A D that wins is a symptom: look for the reason why G does not learn. Look at pictures, too.
# 4. At test time the mode decides: in eval mode a picture's colours depend on it alone.
# 5. Few images are learnt by heart; a checkpoint with optimizers brings a killed run back exactly.
#
# **Words**
#
# - **Alternating step**: one update of D and one of G, on the same batch.
# - **Adversarial share**: norm of the adversarial gradient on ab over that of the weighted L1 term.
# - **Histogram intersection**: the share of colour that two histograms have in common.
# - **Running statistics**: batch norm's mean and variance for eval mode, collected in training.
# - **Checkpoint**: weights, running statistics and optimizers, enough to go on exactly.
# - **Overfitting**: an error that falls on training images and no longer on held-out ones.
#
# **Papers.** Isola, Zhu, Zhou and Efros 2017, "Image-to-image translation with conditional
# adversarial networks"; Goodfellow et al. 2014, "Generative adversarial nets"; Ioffe and Szegedy
# 2015, "Batch normalization"; Srivastava et al. 2014, "Dropout"; Kingma and Ba 2015, "Adam";
# Miyato et al. 2018, "Spectral normalization for generative adversarial networks"; Mao et al.
# 2017, "Least squares generative adversarial networks".
#
# **Next**: [Wasserstein GAN](08_wasserstein_gan.ipynb), where D becomes a critic that measures a
# distance.
