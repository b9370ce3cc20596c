"""Mode collapse on eight Gaussians in a ring: the toy of Metz et al. 2017 ("Unrolled generative adversarial networks").

How many of the eight the generator finds, over learning rates, steps of D for one of G, and Adam's momentum. The
setting "two speeds" is the one that the others differ from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from colorlib.blocks import global_rng_from
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.losses import bce_d_loss, bce_g_loss

MODES, RADIUS, STD = 8, 2.0, 0.1
NOISE, WIDTH, BATCH, STEPS = 8, 64, 128, 1000

# A point belongs to a mode if it is at most so many standard deviations away; a mode is found if at least this share
# of all samples belongs to it (the real data's share is 1/8).
NEAR, FOUND = 3.0, 0.01
SAMPLES = 2000
# The losses are averaged over the last steps: they jump from one step to the next.
LAST = 200


def centres() -> Float[Tensor, "8 2"]:
    """The means of the eight Gaussians, on a circle of radius 2."""
    angle = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring(n: int, rng: torch.Generator) -> Float[Tensor, "n 2"]:
    """`n` real points: one of the eight Gaussians each."""
    return centres()[torch.randint(MODES, (n,), generator=rng)] + STD * torch.randn(n, 2, generator=rng)


def count_modes(points: Float[Tensor, "n 2"]) -> dict[str, float]:
    """How many modes the points find, and more.

    `modes`: those with at least one point in a hundred within three standard deviations. `near`: the share of all
    points that is so near to any mode. `largest_share`: the share whose nearest centre is the most popular one, 1/8
    where all are equally popular and 1 where there is only one.
    """
    distance, nearest = torch.cdist(points, centres()).min(dim=1)
    near = distance <= NEAR * STD
    count = torch.bincount(nearest[near], minlength=MODES)
    return {
        "modes": int((count >= FOUND * len(points)).sum()),
        "near": near.float().mean().item(),
        "largest_share": torch.bincount(nearest, minlength=MODES).max().item() / len(points),
    }


def networks(rng: torch.Generator) -> tuple[nn.Sequential, nn.Sequential]:
    """A generator (noise to a point) and a discriminator (a point to a logit), of two hidden layers each."""
    with global_rng_from(rng):
        return _mlp(NOISE, 2, nn.ReLU), _mlp(2, 1, lambda: nn.LeakyReLU(0.2))


def _mlp(inputs: int, outputs: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    hidden = nn.Linear(inputs, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation()
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


def d_step(
    generator: nn.Module, discriminator: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of D on a real and a fake batch. Returns its loss and the logits of both batches."""
    with torch.no_grad():
        fake = generator(noise)
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    loss = bce_d_loss(real_logits, fake_logits)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach(), real_logits.detach(), fake_logits.detach()


def g_step(
    generator: nn.Module, discriminator: nn.Module, optimizer: torch.optim.Optimizer, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of G, through a D that stays as it is. Returns its loss and the fake batch."""
    discriminator.requires_grad_(False)
    fake = generator(noise)
    loss = bce_g_loss(discriminator(fake))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    discriminator.requires_grad_(True)
    return loss.detach(), fake.detach()


@dataclass
class RingRun:
    """A trained pair, its history (a row a step) and samples of the generator at some steps."""

    generator: nn.Sequential
    discriminator: nn.Sequential
    history: pd.DataFrame
    snapshots: dict[int, Float[Tensor, "n 2"]] = field(default_factory=dict)


def train(setting: Setting, seed: int, *, steps: int = STEPS, snapshots: Sequence[int] = ()) -> RingRun:
    """Train a GAN on the ring. A setting has `lr_g`, `lr_d`, `d_steps` and `beta1`; the history has a row a step.

    `d_accuracy` is the share of points, real and fake, that D tells right, and `spread` the distance of fake points
    from their mean (root mean square): 2 on the ring, near 0 where they are all alike.
    """
    rng = torch.Generator().manual_seed(seed)
    generator, discriminator = networks(rng)
    rates = {"g": float(setting["lr_g"] or 0), "d": float(setting["lr_d"] or 0)}
    betas = (float(setting["beta1"] or 0), 0.999)
    optimizer_g = torch.optim.Adam(generator.parameters(), rates["g"], betas)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), rates["d"], betas)
    rows, shots = [], {}
    for step in range(1, steps + 1):
        for _ in range(int(setting["d_steps"] or 1)):
            real, noise = ring(BATCH, rng), torch.randn(BATCH, NOISE, generator=rng)
            d_loss, on_real, on_fake = d_step(generator, discriminator, optimizer_d, real, noise)
        g_loss, fake = g_step(generator, discriminator, optimizer_g, torch.randn(BATCH, NOISE, generator=rng))
        right = torch.cat([on_real > 0, on_fake < 0]).float().mean()
        spread = (fake - fake.mean(dim=0)).square().sum(dim=1).mean().sqrt()
        rows.append({"step": step, **_numbers(d_loss=d_loss, g_loss=g_loss, d_accuracy=right, spread=spread)})
        if step in snapshots:
            shots[step] = sample(generator, SAMPLES, seed)
    return RingRun(generator, discriminator, pd.DataFrame(rows), shots)


def _numbers(**tensors: Tensor) -> dict[str, float]:
    return {name: tensor.item() for name, tensor in tensors.items()}


@torch.no_grad()
def sample(generator: nn.Module, n: int, seed: int) -> Float[Tensor, "n 2"]:
    """`n` points of the generator, from noise of their own: training does not draw from it."""
    return generator(torch.randn(n, NOISE, generator=torch.Generator().manual_seed(10_000 + seed)))


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train and count: the modes at the end, and the mean losses of the last steps."""
    run = train(setting, seed)
    last = run.history.tail(LAST)
    losses = {name: float(last[name].mean()) for name in ("d_loss", "g_loss", "d_accuracy")}
    return {**count_modes(sample(run.generator, SAMPLES, seed)), **losses}


TWO_SPEEDS: Setting = {"name": "two speeds", "lr_g": 1e-3, "lr_d": 2e-3, "d_steps": 1, "beta1": 0.5}
FAST_G: Setting = {**TWO_SPEEDS, "name": "fast G", "lr_g": 4e-3, "lr_d": 1e-3}
FAST_G_MORE_D: Setting = {**FAST_G, "name": "fast G, 4 D steps", "d_steps": 4}
MOMENTUM: Setting = {**TWO_SPEEDS, "name": "momentum 0.9", "beta1": 0.9}

EXPERIMENT = Experiment(
    name="mode_collapse",
    settings=[TWO_SPEEDS, FAST_G, FAST_G_MORE_D, MOMENTUM],
    seeds=(0, 1, 2, 3, 4),
    measure=measure,
)
