# %% [markdown] tags=["title"]
# # 13. Find the bug
#
# {{badges}}
#
# At the end you will have found ten real bugs from their symptoms, mended them, and written tests
# that catch four of them for good.

# %% [markdown]
# **You will learn**
#
# - what the ten most instructive bugs of colorization code look like from outside;
# - to go from a symptom to its cause: gradients, signs, norms, ranges, sets;
# - to write a test that looks at what code does, and not at how it is written;
# - what a coursework project with an honest result needs: three briefs with rubrics.
#
# **You need** the notebooks before this one, above all
# [Wasserstein GAN](08_wasserstein_gan.ipynb) (critic, clipping) and
# [WGAN-GP](09_wgan_gp.ipynb) (the penalty). Each bug can be done alone.
#
# **Time**: quick mode about 30 s on two CPU cores, and as long as you like for the search; full
# mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import itertools
import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from colorlib import blocks, scenes
from colorlib.color import join_lab, lab_to_rgb, rgb_to_lab, split_lab, to_float, to_uint8
from colorlib.course import bugs
from colorlib.course.exercises import notebook_13 as exercises
from colorlib.datasets import open_source
from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN
from colorlib.figures import PALETTE, image_grid, show
from colorlib.generators import UNet
from colorlib.inference import Colorizer
from colorlib.losses import bce_d_loss, bce_g_loss, clip_weights, gradient_penalty, l1_loss
from colorlib.metrics import ciede2000, fid, psnr
from colorlib.recipes import RECIPES
from colorlib.steps import DiscriminatorLoss, generator_losses, generator_total

# %% [markdown]
# ## Silence
#
# A bug that raises an error is a kind bug. The ten below raise nothing. The losses fall, pictures
# come out, and somebody publishes a wrong number. All ten were found in code that people have
# published; the code here is written anew, and small.
#
# The smallest of the kind first: a loss of a *perfect* prediction.


# %% tags=["nbval-check-output"]
def mean_absolute_error(predicted, true):
    return (predicted - true).abs().mean()


true = torch.tensor([[0.0], [1.0], [2.0]])  # (3, 1), a batch of three
perfect = torch.tensor([0.0, 1.0, 2.0])  # (3,), the same three
loss = mean_absolute_error(perfect, true).item()
shape = tuple((perfect - true).shape)
print(f"error of a perfect prediction {loss:.4f}, shape of the difference {shape}")

# %% tags=["check"]
assert abs(loss - 8 / 9) < 1e-6, "expected the mean over all nine pairs"
assert mean_absolute_error(true, true) == 0, "expected no error where the shapes agree"

# %% [markdown]
# **Symptom**: the error is 0.89 and should be 0. **Cause**: (3,) minus (3, 1) is (3, 3): each is
# compared with each. **Test**: the loss of the truth must be 0. You need no idea of broadcasting
# to write that test, and it would have caught the bug.
#
# This is the order of work below: *read the code, predict, look at the symptom, mend it*. There
# is no slider in this notebook: the control is your own code. A check runs **hidden tests** on it.
# They look at behaviour only, so any correct fix passes. Stuck? `hint()`, then `solution()`.
#
# Each symptom is kept as a pair, with the bug and without it, for a picture at the end.

# %%
symptoms = {}  # title: (with the bug, without it)


def keep(title, broken, sound):
    symptoms[title] = broken, sound
    print(f"{title}: {broken:.3g} with the bug, {sound:.3g} without")


# %% [markdown]
# ## Bug 1: a GAN that paints like L1
#
# A student adds a discriminator to a working L1 baseline. Its accuracy goes up and down, the
# generator's loss has two terms, and the pictures stay as dull as before.
#
# **Predict first**: the function below returns the right *number*. What else must it return?


# %%
def suspect_total(generator, discriminator, L, real_ab, lambda_l1):
    """What G minimises: Isola et al. 2017, equation 4. Call .backward() on it."""
    fake_ab = generator(L)
    with torch.no_grad():  # the discriminator is not trained in this step
        fooled = bce_g_loss(discriminator(torch.cat([L, fake_ab], 1)))
    return fooled + lambda_l1 * l1_loss(fake_ab, real_ab)


def train_pair(total, steps=12):
    """A few steps of both players on scenes of 32 px. Returns G and the totals."""
    rng = make_rng(config.seed, "bug 1")
    generator = UNet(depth=3, width=8, dropout=0, rng=rng)
    discriminator = PatchGAN(receptive_field=16, width=8, rng=rng)
    optimizer_g = torch.optim.Adam(generator.parameters(), 1e-3, (0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), 1e-3, (0.5, 0.999))
    totals = []
    for step in range(steps):
        L, real_ab = scenes.draw(range(8 * step, 8 * step + 8), 32).lab
        real, fake = (torch.cat([L, ab], 1) for ab in (real_ab, generator(L).detach()))
        optimizer_d.zero_grad()
        bce_d_loss(discriminator(real), discriminator(fake)).backward()
        optimizer_d.step()
        loss = total(generator, discriminator, L, real_ab, 10.0)
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        totals.append(loss.item())
    return generator, totals


# %% [markdown]
# **The symptom.** Three generators from the same weights, on the same scenes: trained with this
# total, with L1 alone, and with the library's. How far apart are their weights afterwards?


# %%
def l1_total(generator, discriminator, L, real_ab, lambda_l1):
    return lambda_l1 * l1_loss(generator(L), real_ab)


def library_total(generator, discriminator, L, real_ab, lambda_l1):
    recipe = RECIPES["pix2pix"].replace(lambda_l1=lambda_l1)
    losses = generator_losses(L, real_ab, generator(L), DiscriminatorLoss(discriminator, recipe))
    return generator_total(losses, recipe)


def apart(a, b):
    pairs = zip(a.parameters(), b.parameters())
    return max((p - q).abs().max().item() for p, q in pairs)


torch.set_num_threads(1)  # networks this small: a second thread costs more than it brings
(deaf, its_totals), (by_l1, l1_totals) = train_pair(suspect_total), train_pair(l1_total)
adversarial = [total - l1 for total, l1 in zip(its_totals, l1_totals)]
print("its adversarial term:", " ".join(f"{a:.3f}" for a in adversarial[::3]))
keep(
    "weights of G, apart from L1's", apart(deaf, by_l1), apart(train_pair(library_total)[0], by_l1)
)

# %% tags=["check"]
assert np.ptp(adversarial) > 0.003, "expected a number that moves, as if there was a game"
assert apart(deaf, by_l1) < 1e-5, "expected the weights of L1 alone, but for rounding"
assert symptoms["weights of G, apart from L1's"][1] > 1e-3, "expected an adversary that is heard"

# %% [markdown]
# The adversarial term moves, because $D$ does. But $G$ ends where L1 alone would have taken it:
# nothing of that term reaches $G$.
#
# ### Exercise 1: mend it
#
# The same value, with a gradient that reaches the generator. $D$ must be able to train afterwards.


# %% tags=["exercise"]
def g_total(generator, discriminator, L, real_ab, lambda_l1):
    """What G minimises: Isola et al. 2017, equation 4. Call .backward() on it."""
    ### BEGIN SOLUTION
    fake_ab = generator(L)
    # no_grad cut the way from the score through D to G. D stays as it is: its optimizer rests.
    fooled = bce_g_loss(discriminator(torch.cat([L, fake_ab], 1)))
    return fooled + lambda_l1 * l1_loss(fake_ab, real_ab)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.g_total.check(g_total)
# exercises.g_total.hint()
# exercises.g_total.solution()

# %% [markdown]
# ## Bug 2: depth that does not help
#
# Somebody puts three residual blocks into a small network. It has twenty times the weights now.
# Training runs, and the colours are worse than they should be.
#
# **Predict first**: after training, which share of the weights will have moved?


# %%
class SuspectBlock(nn.Module):
    """relu(x + branch(x)): He et al. 2016, figure 2."""

    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x):
        correction = self.branch(x).detach()  # the gradient takes the short way, through x
        return torch.relu(x + correction)


def train_blocks(block, steps=80):
    """L1 from L to ab on scenes. Returns the share of weights that moved, and the last losses."""
    with blocks.global_rng_from(make_rng(config.seed, "bug 2")):
        inner = [block(16), block(16), block(16)]
        network = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), *inner, nn.Conv2d(16, 2, 3, padding=1)
        )
    before = nn.utils.parameters_to_vector(network.parameters()).detach()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for step in range(steps):
        L, ab = scenes.draw(range(8 * step, 8 * step + 8), 24).lab
        loss = l1_loss(network(L), ab)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    moved = nn.utils.parameters_to_vector(network.parameters()) != before
    return moved.float().mean().item(), np.mean(losses[-20:])


# %%
(moved, stuck_loss), (all_moved, free_loss) = train_blocks(SuspectBlock), train_blocks(bugs.Block)
print(f"L1 in the last 20 steps: {stuck_loss:.4f} with the bug, {free_loss:.4f} without")
keep("share of weights that moved", moved, all_moved)

# %% tags=["check"]
assert moved < 0.1 and all_moved > 0.85, "expected the weights of the branches to rest"
assert stuck_loss > 1.1 * free_loss, "expected worse colours where the branches learn nothing"

# %% [markdown]
# The output is that of a sound block: only the way back is cut. So no test of outputs would have
# found it. The short way of a residual block is *one more* way for the gradient, not the only one.
#
# ### Exercise 2: mend the block
#
# Write its forward pass, with the gradient in all that took part. `block.branch` is the branch.


# %% tags=["exercise"]
def residual_forward(block, x):
    """relu(x + branch(x))."""
    ### BEGIN SOLUTION
    return torch.relu(x + block.branch(x))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.residual_forward.check(residual_forward)
# exercises.residual_forward.hint()
# exercises.residual_forward.solution()

# %% [markdown]
# ### Exercise 3: the test that catches it
#
# For any network and an input: is there a weight that no gradient can ever reach? Mind the
# difference between *no* gradient and a gradient that is 0 for now. (The hidden test has five
# networks: two with a bug, three without.)


# %% tags=["exercise"]
def has_cut_weights(network, x):
    """True if some parameter is not connected to the output."""
    ### BEGIN SOLUTION
    weights = list(network.parameters())
    found = torch.autograd.grad(network(x).sum(), weights, allow_unused=True)
    return any(gradient is None for gradient in found)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.has_cut_weights.check(has_cut_weights)
# exercises.has_cut_weights.hint()
# exercises.has_cut_weights.solution()

# %% [markdown]
# ## Bug 3: a loss that falls and falls
#
# A WGAN's curve looks better than any before it: down, steadily, from the first step to the last.
# The colours get worse all the time.
#
# **Predict first**: which way will the fakes go?


# %%
def suspect_step(critic, optimizer, real, fake):
    """One step of a critic with clipped weights. Returns its estimate of the distance."""
    estimate = critic(real).mean() - critic(fake).mean()
    optimizer.zero_grad()
    estimate.backward()
    optimizer.step()
    clip_weights(critic, 0.1)
    return estimate.item()


def play(step, rounds=60):
    """A generator with two weights, the place of its fakes. Returns estimates and distances."""
    rng = make_rng(config.seed, "bug 3")
    with blocks.global_rng_from(rng):
        critic = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    place = torch.tensor([2.0, 1.0], requires_grad=True)
    optimizer_d = torch.optim.RMSprop(critic.parameters(), 5e-3)
    optimizer_g = torch.optim.RMSprop([place], 5e-2)
    estimates, distances = [], []
    for _ in range(rounds):
        for _ in range(5):
            real, fake = torch.randn(2, 64, 2, generator=rng)
            estimates.append(step(critic, optimizer_d, real, fake + place.detach()))
        loss = -critic(torch.randn(64, 2, generator=rng) + place).mean()  # the generator's loss
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        distances.append(place.norm().item())
    return estimates, distances


# %%
(its_estimates, its_way), (estimates, way) = play(suspect_step), play(bugs.right_step)
print(f"last estimate: {its_estimates[-1]:.2f} with the bug, {estimates[-1]:.2f} without")
keep("distance of the fakes, at first 2.2", its_way[-1], way[-1])

fig = Figure(figsize=(8, 2.6), layout="constrained")
left, right = fig.subplots(1, 2)
for ax, broken, sound in ((left, its_estimates, estimates), (right, its_way, way)):
    ax.plot(broken, color=PALETTE[1], label="with the bug")
    ax.plot(sound, color=PALETTE[0], label="without")
left.set(xlabel="critic step", ylabel="estimate")
right.set(xlabel="round", ylabel="distance of the fakes")
right.legend()
show(
    fig,
    alt="Left: with the bug the estimate falls below zero and goes on falling, without it stays "
    "near zero. Right: with the bug the fakes move away from the data, without they arrive.",
)

# %% tags=["check"]
assert its_way[-1] > 1.5 * math.sqrt(5) and way[-1] < 0.6, "expected G to be driven away"
assert max(its_estimates[-150:]) < 0, "expected an estimate of a distance below zero"

# %% [markdown]
# A distance below zero: that alone is the symptom. The critic gives the fakes the high scores,
# and $G$ is sent where scores are higher still.
#
# ### Exercise 4: mend it
#
# Return the estimate of the distance, as before; keep the clip of 0.1.


# %% tags=["exercise"]
def critic_step(critic, optimizer, real, fake):
    """One step of a critic with clipped weights. Returns its estimate of the distance."""
    ### BEGIN SOLUTION
    estimate = critic(real).mean() - critic(fake).mean()
    optimizer.zero_grad()
    (-estimate).backward()  # an optimizer minimises, and the estimate should grow
    optimizer.step()
    clip_weights(critic, 0.1)
    return estimate.item()
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.critic_step.check(critic_step)
# exercises.critic_step.hint()
# exercises.critic_step.solution()

# %% [markdown]
# ### Exercise 5: the test that catches it
#
# You are handed a critic's step, `step(critic, optimizer, real, fake)`. Does it train the critic
# backwards? Build a critic and points of your own. Steps may return the estimate, the loss, or
# what they like: do not trust it.


# %% tags=["exercise"]
def is_backwards(step):
    """True if the step makes the critic score fakes above real points."""
    ### BEGIN SOLUTION
    critic = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(critic.parameters(), 0.01)
    for _ in range(50):
        step(critic, optimizer, torch.ones(8, 1), -torch.ones(8, 1))
    return critic.weight.item() < 0
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.is_backwards.check(is_backwards)
# exercises.is_backwards.hint()
# exercises.is_backwards.solution()

# %% [markdown]
# ## Bug 4: a critic that gets steeper with the picture
#
# A critic's gradient penalty is small in the logs, as it should be. But the larger the pictures,
# the steeper the critic, and settings that worked at 32 px are useless at 256 px.
#
# It shall hold the norm of each *sample's* gradient at 1 (Gulrajani et al. 2017, equation 3).
# **Predict first**: `mixed` has the shape (B, 2, H, W). What has the norm 1 when this one is 0?


# %%
def suspect_penalty(critic, L, real_ab, fake_ab, rng):
    """Mean of (norm of the gradient - 1)^2 between real and fake."""
    alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng)
    mixed = (alpha * real_ab + (1 - alpha) * fake_ab).requires_grad_()
    scores = critic(torch.cat([L, mixed], 1)).flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


# %% [markdown]
# **The symptom**, in closed form: a critic that is linear in ab with the same slope everywhere,
# once with the norm 1 over the whole picture, once with the norm 1 in each pixel.


# %% tags=["nbval-check-output"]
def flat_critic(side, norm):
    """Its gradient has the given norm over all of ab, and the same value everywhere."""
    slope = norm / math.sqrt(2 * side**2)
    return lambda lab: slope * lab[:, 1:].sum((1, 2, 3))[:, None]


print("side  norm of the gradient  this penalty")
for side in (8, 32, 128):
    L, ab = torch.zeros(2, 1, side, side), torch.zeros(2, 2, side, side)
    for norm in (1, side):
        value = suspect_penalty(flat_critic(side, norm), L, ab, ab, make_rng(0)).item()
        print(f"{side:4} {norm:21} {abs(value):13.4f}")
        assert abs(value - (norm / side - 1) ** 2) < 1e-4, "expected a norm of 1 in each pixel"


# %% [markdown]
# It is content with a gradient of norm 128 at 128 px, and punishes the right one. Train linear
# critics with nothing but the penalty, to see where it takes them:


# %%
def trained_norm(penalty, side, steps=120):
    """Where the norm of a sample's gradient settles."""
    rng = make_rng(config.seed, "bug 4")
    with blocks.global_rng_from(rng):
        critic = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 1))
    optimizer = torch.optim.Adam(critic.parameters(), 0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    L, ab = torch.zeros(4, 1, side, side), torch.zeros(4, 2, side, side)
    for _ in range(steps):
        optimizer.zero_grad()
        penalty(critic, L, ab, ab, rng=rng).backward()
        optimizer.step()
        schedule.step()
    return critic[1].weight[0, side**2 :].norm().item()


norms = {side: trained_norm(suspect_penalty, side) for side in (8, 16, 32)}
print({side: round(norm, 2) for side, norm in norms.items()})
keep("norm of a gradient at 32 px", norms[32], trained_norm(gradient_penalty, 32))
for side, norm in norms.items():
    assert abs(norm / side - 1) < 0.05, "expected a norm that grows with the side"

# %% tags=["check"]
assert abs(symptoms["norm of a gradient at 32 px"][1] - 1) < 0.05, "expected 1"

# %% [markdown]
# ### Exercise 6: mend it


# %% tags=["exercise"]
def penalty(critic, L, real_ab, fake_ab, rng):
    """Mean of (norm of a sample's gradient - 1)^2 between real and fake."""
    ### BEGIN SOLUTION
    alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng)
    mixed = (alpha * real_ab + (1 - alpha) * fake_ab).requires_grad_()
    scores = critic(torch.cat([L, mixed], 1)).flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()  # all values of a sample
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.penalty.check(penalty)
# exercises.penalty.hint()
# exercises.penalty.solution()

# %% [markdown]
# ## Bug 5: points that are not between
#
# The penalty's samples should lie on the straight line from a fake to its real partner, evenly
# spread (Gulrajani et al. 2017, algorithm 1). **Predict first**: which share of these does not?


# %%
def suspect_mix(real_ab, fake_ab, rng):
    """A random point between each real sample and its fake, evenly spread."""
    alpha = torch.randn(len(real_ab), 1, 1, 1, generator=rng)
    return alpha * real_ab + (1 - alpha) * fake_ab


# %% [markdown]
# **The symptom**: put all real samples at 1 and all fakes at 0. Where do the mixed ones lie? In
# closed form, the share outside is $1 - \Phi(1) + \Phi(0)$ with the normal distribution function
# $\Phi$.


# %% tags=["nbval-check-output"]
def phi(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


outside = 1 - phi(1) + phi(0)
print(f"share outside, in closed form: {outside:.4f}")

# %%
ends = torch.ones(10_000, 2, 1, 1), torch.zeros(10_000, 2, 1, 1)
places = suspect_mix(*ends, make_rng(config.seed, "bug 5"))[:, 0, 0, 0]
measured = ((places < 0) | (places > 1)).float().mean().item()
keep("share of points outside", measured, 0.0)

fig = Figure(figsize=(7, 2.4), layout="constrained")
ax = fig.subplots()
ax.hist(places.numpy(), bins=np.arange(-4, 5.01, 0.1), color=PALETTE[1], label="mixed")
ax.axvspan(0, 1, color=PALETTE[0], alpha=0.25, label="between")
ax.set(xlabel="0 is the fake, 1 is the real sample", ylabel="points")
ax.legend()
show(fig, alt="A bell of points around the fake at 0, a third of it between fake and real sample.")

# %% tags=["check"]
assert abs(measured - outside) < 0.03, "expected the share of the closed form"

# %% [markdown]
# Two thirds lie outside, and they gather at the fake, or beyond it where neither real nor fake
# data are. The critic is held in check in the wrong places.
#
# ### Exercise 7: mend it
#
# One share a sample, evenly from 0 to 1, drawn from `rng`.


# %% tags=["exercise"]
def mix(real_ab, fake_ab, rng):
    """A random point between each real sample and its fake, evenly spread."""
    ### BEGIN SOLUTION
    alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng)
    return alpha * real_ab + (1 - alpha) * fake_ab
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.mix.check(mix)
# exercises.mix.hint()
# exercises.mix.solution()

# %% [markdown]
# ## Bug 6: red things shine
#
# A model trained on L* colours photographs well in training, and badly in the published demo. The
# demo joins the predicted ab with the lightness it was given: red jackets come out pale, blue
# skies dark.
#
# **Predict first**: for which pictures would this function do no harm? How wrong is it for pure
# red, and for pure blue?


# %%
def suspect_input(rgb):
    """uint8 sRGB (B, 3, H, W) to the lightness L that the network sees, -1..1."""
    return rgb[:, :1].float() / 127.5 - 1  # the first channel is the lightness


# %% [markdown]
# **The symptom**: take the *true* ab of photographs, so that the colours are perfect, and join
# them with this lightness. (Crops of the photographs that come with scikit-image.)

# %%
source = open_source("photos", 64, "test")
chosen = [0, len(source) // 4, len(source) // 2, len(source) - 1]
photos = source.images(chosen)
L, ab = split_lab(to_float(photos))
shining = to_uint8(join_lab(suspect_input(photos), ab))
off = 50 * (suspect_input(photos) - L).abs()
keep("mean error of L* (of 100)", off.mean().item(), 0.0)
ramp = torch.arange(256, dtype=torch.uint8)[None, None, None].expand(1, 3, 1, 256)
ramp_off = 50 * (suspect_input(ramp) - split_lab(to_float(ramp))[0]).abs().max().item()
print(f"largest error of L* in a grey picture: {ramp_off:.1f}, in these: {off.max():.0f}")
pure = torch.tensor([[255, 0, 0], [0, 0, 255]], dtype=torch.uint8)[:, :, None, None]
for name, given, right in zip(("red", "blue"), suspect_input(pure), split_lab(to_float(pure))[0]):
    print(f"pure {name}: given L* {50 + 50 * given.item():.0f}, right {50 + 50 * right.item():.0f}")
print("PSNR with perfect colours:", " ".join(f"{p:.1f}" for p in psnr(shining, photos)), "dB")


def as_rows(upper, lower):
    """The photographs side by side, what became of them below."""
    names = ("hair", "jacket", "coffee", "evening")
    return {name: torch.stack(pair) for name, pair in zip(names, zip(upper, lower))}


show(
    image_grid(as_rows(photos, shining), rows=["photograph", "its true ab on this L"], cell=1.28),
    alt="Four crops of photographs, below them their colours on the wrong lightness: the red "
    "jacket and the coffee are much too pale, the evening sky is darker.",
)

# %% tags=["check"]
assert ramp_off < 5 < 20 < off.max(), "expected colours to be hit, and greys to be spared"
assert off.mean() > 5 and psnr(shining, photos).max() < 35, "expected errors that can be seen"

# %% [markdown]
# Perfect colours, and errors that you see wherever things are red. In a grey picture all three
# channels agree, and only the tone curve differs: a test with grey pictures would find little.
#
# ### Exercise 8: mend it


# %% tags=["exercise"]
def network_input(rgb):
    """uint8 sRGB (B, 3, H, W) to the lightness L that the network sees, -1..1."""
    ### BEGIN SOLUTION
    L, _ = split_lab(to_float(rgb))
    return L
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.network_input.check(network_input)
# exercises.network_input.hint()
# exercises.network_input.solution()

# %% [markdown]
# ## Bug 7: too good a test
#
# A colorizer reports an error on its test set that nobody else reaches, and disappoints on the
# first photograph of yours.
#
# **Predict first**: which photographs are in `test`? Which of them are in `train` as well?


# %%
def suspect_split(photos, seed):
    """A fifth of the photographs, drawn by the seed, for testing; the rest for training."""
    order = torch.randperm(len(photos), generator=make_rng(seed))
    n = len(photos) // 5
    return photos[order[n:]], photos[:n]


# %% [markdown]
# **The symptom**: a model that has learnt nothing, and remembers all. It looks for the training
# picture with the most similar lightness, and takes its colours, pixel by pixel. A memory cannot
# be better on the test set than on new pictures, unless it has seen the test set.


# %%
def memory_error(train, test):
    """Mean absolute error of ab, for a model that copies the nearest training picture."""
    (L, ab), (test_L, test_ab) = split_lab(to_float(train)), split_lab(to_float(test))
    nearest = torch.cdist(test_L.flatten(1), L.flatten(1)).argmin(1)
    return (ab[nearest] - test_ab).abs().mean().item()


pictures = scenes.draw(range(400), 24).rgb
train, test = suspect_split(pictures, config.seed)
fresh = scenes.draw(range(80), 24, split="test").rgb
on_test, on_fresh = memory_error(train, test), memory_error(train, fresh)
keep("error of a memory on its test set", on_test, on_fresh)

# %% tags=["check"]
assert on_test < 0.5 * on_fresh, "expected a test set that flatters"

# %% [markdown]
# ### Exercise 9: mend it
#
# The same seed must give the same split, and another seed another one.


# %% tags=["exercise"]
def split(photos, seed):
    """(train, test): a fifth of the photographs, drawn by the seed, for testing."""
    ### BEGIN SOLUTION
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(seed))
    n = len(photos) // 5
    return photos[order[n:]], photos[order[:n]]  # one order, cut once
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.split.check(split)
# exercises.split.hint()
# exercises.split.solution()

# %% [markdown]
# ### Exercise 10: the test that catches it
#
# How many photographs of the test set were trained on? A mirror image counts: many programs
# mirror first and split afterwards.


# %% tags=["exercise"]
def leaked(train, test):
    """How many test photographs are in train, as they are or mirrored. uint8 (n, 3, H, W)."""
    ### BEGIN SOLUTION
    both = torch.cat([train, train.flip(-1)])
    known = {photo.numpy().tobytes() for photo in both}
    return sum(photo.numpy().tobytes() in known for photo in test)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.leaked.check(leaked)
# exercises.leaked.hint()
# exercises.leaked.solution()

# %% [markdown]
# ## Bug 8: a cast over everything
#
# A set of arrays, uint8, "L, a, b", as OpenCV writes them: L* times 255 / 100, a and b plus 128.
# The loader below feeds them to a network with tanh at its end. The loss never falls below a
# certain value, and everything comes out with the same cast.
#
# **Predict first**: what does the network have to paint where the photograph is grey?


# %%
def suspect_decode(lab8):
    """uint8 Lab (B, 3, H, W) as OpenCV writes it, to L and ab in network scaling, -1..1."""
    lab = lab8.float()
    return lab[:, :1] * (100 / 255) / 50 - 1, lab[:, 1:] / 110


# %% tags=["nbval-check-output"]
grey_code = torch.tensor([128, 128, 128], dtype=torch.uint8)[None, :, None, None]
_, grey_ab = suspect_decode(grey_code)
a, b = (110 * value for value in grey_ab.flatten().tolist())
print(f"a grey pixel: a = {a:.4f}, b = {b:.4f}, chroma {math.hypot(a, b):.4f}, should be 0")

# %% tags=["check"]
assert abs(math.hypot(a, b) - 128 * math.sqrt(2)) < 1e-3, "expected grey far from 0"

# %% [markdown]
# **The symptom** on the photographs above: encode them, decode them, and paint what the network
# is told to be the truth.

# %%
lab = torch.cat([(L + 1) * 127.5, 110 * ab + 128], 1)
lab8 = lab.round().clamp(0, 255).to(torch.uint8)
told_L, told_ab = suspect_decode(lab8)
out_of_reach = (told_ab.abs() > 1).float().mean().item()
keep("share of targets beyond tanh", out_of_reach, (ab.abs() > 1).float().mean().item())
floor = (told_ab.abs() - 1).clamp(min=0).mean().item()
print(
    f"no output of tanh has an L1 below {floor:.3f}; all grey has {ab.abs().mean():.3f} on true ab"
)
told = to_uint8(join_lab(told_L, told_ab))
everything = split_lab(to_float(source.images(range(len(source)))))[1]
true_mean, told_mean = (110 * mean.mean((0, 2, 3)).norm().item() for mean in (everything, told_ab))
print(
    f"chroma of the mean colour: {told_mean:.0f} here, {true_mean:.0f} of {len(source)} true crops"
)

rows = ["photograph", "what the network is told"]
show(
    image_grid(as_rows(photos, told), rows=rows, cell=1.28),
    alt="Four crops of photographs; below them hardly anything but pure red.",
)

# %% tags=["check"]
assert out_of_reach > 0.5, "expected most targets out of reach"
assert floor > ab.abs().mean(), "expected a loss that cannot fall below that of grey on true ab"
assert true_mean < 30 and told_mean > 150, "expected photographs to be nearly grey on average"

# %% [markdown]
# sRGB has no such colours, so all of it ends at red. The mean colour of a set is a fine test: true
# photographs are much nearer to grey on average.
#
# ### Exercise 11: mend it


# %% tags=["exercise"]
def decode(lab8):
    """uint8 Lab (B, 3, H, W) as OpenCV writes it, to the pair L, ab in network scaling, -1..1."""
    ### BEGIN SOLUTION
    lab = lab8.float()  # before the subtraction: in uint8, 100 - 128 is 228
    return lab[:, :1] * (100 / 255) / 50 - 1, (lab[:, 1:] - 128) / 110
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.decode.check(decode)
# exercises.decode.hint()
# exercises.decode.solution()

# %% [markdown]
# ## Bug 9: the samples that whisper
#
# The penalty is right now, axis and points. Still the training of a WGAN-GP is rough, and the
# critic's score of one picture depends on which others are in the batch.
#
# **Predict first**: the penalty is on the gradient of a sample's score with respect to that
# sample. Change picture 0. Whose scores change?


# %%
def suspect_critic(width):
    """Scores of L and ab, (B, 3, H, W): a critic for WGAN-GP."""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 4, 2, 1),
    )


# %% [markdown]
# **The symptom**: for six pictures, the size of the gradient of each score with respect to each
# picture. A sound critic has entries on the diagonal alone.


# %%
def influence(critic, x):
    """Entry (i, j): norm of the gradient of the score of sample i with respect to sample j."""
    x = x.clone().requires_grad_()
    scores = critic.train()(x).flatten(1).mean(1)
    gradients = [torch.autograd.grad(score, x, retain_graph=True)[0] for score in scores]
    return torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])


def foreign(table):
    return 1 - (table.diagonal().sum() / table.sum()).item()


six = torch.cat(scenes.draw(range(6), 32).lab, 1)
with blocks.global_rng_from(make_rng(config.seed, "bug 9")):
    critic = suspect_critic(8)
    tables = influence(critic, six), influence(PatchGAN(norm="none"), six)
x = six.clone().requires_grad_()
(of_sum,) = torch.autograd.grad(critic(x).flatten(1).mean(1).sum(), x)  # as the penalty takes it
in_penalty = of_sum.flatten(1).norm(dim=1)
keep("share of the gradient on others", *map(foreign, tables))
print("norms of own gradients: ", " ".join(f"{norm:.4f}" for norm in tables[0].diagonal()))
print("norms in the penalty:   ", " ".join(f"{norm:.4f}" for norm in in_penalty))
error = (in_penalty / tables[0].diagonal() - 1).abs().max().item()

# %% tags=["check"]
assert foreign(tables[0]) > 0.05, "expected samples that see one another"
assert foreign(tables[1]) == 0, "expected a critic without norm to look at one sample at a time"
assert error > 0.02, "expected norms that are not those of the samples"

# %%
fig = Figure(figsize=(6, 2.7), layout="constrained")
for ax, table, title in zip(fig.subplots(1, 2), tables, ("this critic", "a sound one")):
    ax.imshow(table / table.max(), cmap="Greys", vmin=0, vmax=0.15)
    ax.set(xlabel="with respect to picture", ylabel="score of picture", title=title)
show(
    fig,
    alt="Two tables of six by six: of this critic the diagonal is dark and all else is tinted "
    "grey, of a sound one only the diagonal is dark.",
)

# %% [markdown]
# (Black begins at 0.15 of the largest, to show the rest.) The penalty sums the scores and
# differentiates once. With whispering samples that gradient is no longer each sample's own, and
# the norm 1 is asked of something else. For this reason Gulrajani et al. 2017 (section 4) leave
# batch norm out of the critic.
#
# ### Exercise 12: mend it
#
# Any critic will do that looks at one sample at a time, in training mode. Pictures are 16 px.


# %% tags=["exercise"]
def build_critic(width):
    """Scores of L and ab, (B, 3, 16, 16) to (B, 1, h, w): a critic for WGAN-GP."""
    ### BEGIN SOLUTION
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.InstanceNorm2d(2 * width, affine=True),  # of each sample on its own
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 4, 2, 1),
    )
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.build_critic.check(build_critic)
# exercises.build_critic.hint()
# exercises.build_critic.solution()

# %% [markdown]
# ### Exercise 13: the test that catches it
#
# Batch norm is not the only layer that mixes samples, so do not look for a name. The critic may
# come in any mode; what counts is the one it is trained in.


# %% tags=["exercise"]
def samples_mix(critic, x):
    """True if, in training, the score of one sample of x depends on another."""
    ### BEGIN SOLUTION
    critic.train()
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x)[0].sum(), x)
    return bool(gradient[1:].abs().max() > 0)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.samples_mix.check(samples_mix)
# exercises.samples_mix.hint()
# exercises.samples_mix.solution()

# %% [markdown]
# ## Bug 10: a metric that sees nothing
#
# A table of FIDs: every model is excellent, and dull ones are as good as vivid ones.
#
# The **FID** compares features of two sets of pictures. Inception, which it is made for, takes
# sRGB; so do the features below, a small stand-in: mean and spread of each channel, in 0..1, as a
# picture file would keep them. **Predict first**: what do they see of a* = 20 and of a* = 60?


# %%
def features(rgb):
    """sRGB 0..1 (n, 3, H, W) to six numbers a picture."""
    kept = rgb.clamp(0, 1).flatten(2)  # a file holds nothing else
    return torch.cat([kept.mean(2), kept.std(2)], 1)


def suspect_fid(predicted_lab, true_lab, features):
    """FID of two sets of pictures, given in Lab: L* 0..100, a* and b*."""
    return fid(features(predicted_lab), features(true_lab))


# %% [markdown]
# **The symptom**: fade the colours of scenes towards grey. A FID should grow, step by step.

# %%
true_lab = rgb_to_lab(to_float(scenes.draw(range(200), 32).rgb))
fade = torch.tensor([1.0, 0.7, 0.4, 0.2, 0.1])
faded = [torch.cat([true_lab[:, :1], c * true_lab[:, 1:]], 1) for c in fade]
blind = [suspect_fid(lab, true_lab, features) for lab in faded]
true_features = features(lab_to_rgb(true_lab))
seeing = [fid(features(lab_to_rgb(lab)), true_features) for lab in faded]
print("chroma left    " + " ".join(f"{c:8.1f}" for c in fade))
print("this FID       " + " ".join(f"{value:8.5f}" for value in blind))
print("the right one  " + " ".join(f"{value:8.5f}" for value in seeing))
keep("FID of colours faded to 40 %", blind[2], seeing[2])

# %% tags=["check"]
assert all(a < b for a, b in itertools.pairwise(seeing)), "expected the right FID to grow"
assert blind[2] < 0.1 * seeing[2], "expected a FID that hardly sees the fading"

# %% [markdown]
# Lab values leave 0..1 at once: L* is nearly always above, a* and b* are above or below. All that
# is left of a colour is its sign. Real extractors fail in their own way, but fail they do: no
# network was trained on Lab in place of sRGB.
#
# ### Exercise 14: mend it


# %% tags=["exercise"]
def colour_fid(predicted_lab, true_lab, features):
    """FID of two sets of pictures, given in Lab: L* 0..100, a* and b*. Features take sRGB 0..1."""
    ### BEGIN SOLUTION
    return fid(features(lab_to_rgb(predicted_lab)), features(lab_to_rgb(true_lab)))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.colour_fid.check(colour_fid)
# exercises.colour_fid.hint()
# exercises.colour_fid.solution()

# %% [markdown]
# ## The ten in one picture
#
# Each bug by its symptom, with and without it. Mind that the sound value is not always the small
# one: what counts is that you know what it should be *before* you look.

# %% tags=["result"]
fig = Figure(figsize=(9, 3.9), layout="constrained")
for number, (ax, (title, pair)) in enumerate(zip(fig.subplots(2, 5).flat, symptoms.items()), 1):
    drawn = ax.bar(["bug", "sound"], pair, color=[PALETTE[1], PALETTE[0]], width=0.6)
    ax.bar_label(drawn, [f"{value:.2g}" for value in pair], fontsize=9)
    words = title.split()
    middle = (len(words) + 1) // 2
    lines = " ".join(words[:middle]), " ".join(words[middle:])
    ax.set_title(f"{number}. " + "\n".join(lines), fontsize=9)
    ax.set(yticks=[], ylim=(0, 1.2 * max(pair)))
show(
    fig,
    alt="Ten small charts of two bars, a symptom with the bug and without: such as the norm of a "
    "gradient, 32 and 1, or the share of weights that moved, 0.05 and 1.",
)

# %% tags=["check"]
assert len(symptoms) == 10, "expected ten symptoms"

# %% [markdown]
# | bug | symptom | test in one line |
# |---|---|---|
# | 1 no gradient to G | G equals an L1 run | G's gradient differs with and without the term |
# | 2 detached branch | weights never move | no parameter's gradient is None |
# | 3 reversed critic | estimate below 0 | after steps, real scores above fake |
# | 4 norm over one axis | gradient grows with the side | a linear critic of norm 1 costs 0 |
# | 5 alpha from a normal | points outside | all shares in 0..1, evenly |
# | 6 red as lightness | perfect ab, low PSNR | pure red has L* 53 |
# | 7 test = train | memory beats itself | no test picture in train, nor mirrored |
# | 8 ab without -128 | one cast, targets beyond 1 | the grey code gives ab 0 |
# | 9 batch norm in the critic | scores depend on the batch | change one sample, others stay |
# | 10 FID on Lab | dull is excellent | features get values in 0..1, grey is worse |
#
# No test mentions a line of code. Each says what must hold, and would survive a rewrite.

# %% [markdown]
# ## Bug 6 in a trained model
#
# What does the red channel do to a trained network? Take the weights that ship with the course,
# and photographs: with L* in and out; with red in and out, as in the bug; and in between, red in,
# but the predicted colours shown on the right lightness, so that only the network's confusion
# counts. CIEDE2000 to the photograph, lower is better. **Predict first**: which of the two harms
# is the larger?


# %% tags=["full"]
def coloured_from(shots):
    """uint8 photographs (n, 3, H, W), coloured by the shipped weights in three ways."""
    colorizer = Colorizer.load("default", config.device)
    right, red = split_lab(to_float(shots))[0], shots[:, :1].float() / 127.5 - 1
    from_right, from_red = colorizer.predict(right), colorizer.predict(red)
    ways = {
        "L* in and out": (right, from_right),
        "red in, L* out": (right, from_red),
        "red in and out": (red, from_red),
    }
    return {name: to_uint8(join_lab(*pair, gamut="chroma")) for name, pair in ways.items()}


def compare_ways(shots):
    """Print and return the mean CIEDE2000 of each way."""
    ways = coloured_from(shots)
    errors = {name: ciede2000(pictures, shots).mean().item() for name, pictures in ways.items()}
    print(", ".join(f"{name} {error:.2f}" for name, error in errors.items()))
    return errors, ways


# %%
shots = open_source("photos", 128, "test").images(range(len(source)))
errors, ways = compare_ways(shots)
confusion, display = (
    errors["red in, L* out"] - errors["L* in and out"],
    errors["red in and out"] - errors["red in, L* out"],
)
print(f"by the network's confusion {confusion:+.1f}, by the lightness shown {display:+.1f}")

# %% tags=["check"]
assert 1 < display < 8, "expected the wrong lightness to be seen"
assert abs(confusion) < display, "expected the lightness that is shown to cost more"

# %% [markdown]
# The larger harm is in the display. What the network makes of red is the smaller one, and where
# its weights know little of such photographs anyhow, red may even be lucky. So a metric of ab
# alone, which never looks at the lightness shown, would miss most of this bug.
#
# ### Full mode
#
# The same on photographs of your own or a published set.

# %% tags=["full"]
if config.full:
    photo_set = config.photographs(128, "test")
    chosen_shots = photo_set.images(range(min(config.steps(64), len(photo_set))))
    photo_errors, photo_ways = compare_ways(chosen_shots)
    if config.step_limit is None:
        assert photo_errors["red in and out"] > photo_errors["red in, L* out"], "expected a cost"
    grid = {"photograph": chosen_shots, **photo_ways}
    show(
        image_grid({name: images[:4] for name, images in grid.items()}, cell=1.28),
        alt="Photographs, coloured from L*, from red shown on L*, and from red shown on red.",
    )
else:
    print("quick mode: full mode does the same with other photographs")

# %% [markdown]
# ## Three projects for coursework
#
# Each is meant for one or two people and about four weeks. Points add up to 100. "Half" stands
# for half of a criterion's points; whole points in between are for whoever marks. The rules for
# all three:
#
# - **Report**: at most eight pages, every number from a script that is handed in.
# - **Code**: one command repeats the main table; a recipe line and a seed for every run.
# - **Tests**: at least three of the tests above, run on your own code.
# - **Failures** are results. A refuted guess that is measured well gets full points.

# %% [markdown]
# ### Project 1: a domain of your own
#
# Colorize something that no course has: herbarium sheets, posters, insects, a comic, your town.
#
# - **Question**: how far do the shipped weights get, and what do your own 500 pictures add?
# - **Data**: pictures that you may use, with source and licence; split by *origin* (album, page,
#   specimen), not by file. Keep 100 for the end.
# - **Deliverables**: model with recipe; a table with grey, untrained, shipped and yours; a gallery
#   drawn at random by a seed, and the ten worst; a colorized set with its metadata mark.
# - **Pitfalls**: near-duplicates across the split (bug 7); scans that are JPEGs of sepia, not
#   grey; choosing the epoch on the test set; a gallery of favourites.
#
# | criterion (points) | full | half | none |
# |---|---|---|---|
# | data (20) | licence, size, split by origin, tested | split by file, tested | split untested |
# | model (20) | choices argued and repeatable | repeatable | cannot be run again |
# | evaluation (25) | all rows, intervals, 2+ metrics | no intervals | no grey row |
# | failures (20) | worst ten, sorted by cause | shown, unsorted | favourites only |
# | report (15) | each claim beside its number | some without | numbers do not repeat |

# %% [markdown]
# ### Project 2: what does it need?
#
# Take one part away, or turn one knob, and nothing else: an **ablation**.
#
# - **Question**: one of: the weight of L1; patch size; skips; norm in the critic; steps of the
#   critic; pretraining; the amount of training pictures. Write down your guess first, with a date.
# - **Data**: scenes (where the true answer is known) *and* one set of photographs.
# - **Deliverables**: a table over four settings and three seeds or more, with spread; the learning
#   curves; one figure that shows the mechanism and not only the score; your guess, and what came.
# - **Pitfalls**: two things changed at once; settings that trained for other times; one seed; a
#   default that was tuned, and rivals that were not; an adversary that nobody hears (bug 1).
#
# | criterion (points) | full | half | none |
# |---|---|---|---|
# | guess (10) | dated, can be refuted | vague | written afterwards |
# | design (25) | one change, equal budgets | budgets differ, said so | several changes |
# | measurement (25) | 3+ seeds, spread, both data sets | one data set | one seed |
# | mechanism (25) | a measurement that explains it | an argument | the score alone |
# | report (15) | limits and cost are stated | partly | conclusions beyond the data |

# %% [markdown]
# ### Project 3: reproduce or refute
#
# A claim of a paper, a blog or a tutorial on colorization: "Wasserstein is more stable", "batch
# size 1 is best", "FID follows what people prefer", "15 epochs are enough".
#
# - **Question**: is it so, for whom, and how large is the effect?
# - **Data**: those of the source if they can be had, else yours, and say what that changes.
# - **Deliverables**: the claim as a sentence that can fail; the protocol of the source and yours
#   side by side; the result with an interval; a verdict (confirmed, qualified, refuted, cannot be
#   told); a bug report to the authors if you found one, kind and with a test.
# - **Pitfalls**: another metric under the same name (bug 10); another split; comparing with a
#   printed number across resolutions; stopping when the result suits you.
#
# | criterion (points) | full | half | none |
# |---|---|---|---|
# | claim (15) | quoted, and can fail | quoted | paraphrased |
# | protocol (25) | side by side, differences argued | listed | not compared |
# | measurement (30) | seeds, intervals, a known control | no control | one run |
# | verdict (15) | follows from the interval | stronger than that | none |
# | report (15) | runs by one command | by hand, described | cannot be repeated |

# %% [markdown]
# ## Recap
#
# 1. The worst bugs raise nothing: they change what is trained, shown or measured.
# 2. A symptom is a number that differs from what you knew before you looked.
# 3. Follow gradients (do they arrive, with which sign, on whom), ranges, and pictures (where do
#    they come from, where do they go).
# 4. A good test states what must hold. It names no line of code, and it has failed once.
# 5. Compare with something that cannot work: grey, a memory, an untrained network.
#
# **Glossary.** **Symptom**: what can be measured from outside. **Hidden test**: a check of
# behaviour that you do not see. **Leak**: test data that were trained on. **Control**: a rival that
# has no chance, or must win. **Ablation**: one part taken away, all else equal.
#
# **Next**: this was the last notebook. Back to [the start](00_start_here.ipynb), or on to a
# project.

# %% [markdown]
# **Papers**
#
# - P. Isola et al., *Image-to-image translation with conditional adversarial networks*, CVPR 2017.
# - K. He et al., *Deep residual learning for image recognition*, CVPR 2016.
# - M. Arjovsky, S. Chintala, L. Bottou, *Wasserstein GAN*, ICML 2017 (arXiv:1701.07875).
# - I. Gulrajani et al., *Improved training of Wasserstein GANs*, NeurIPS 2017.
# - M. Heusel et al., *GANs trained by a two time-scale update rule converge to a local Nash
#   equilibrium*, NeurIPS 2017 (the FID).
