"""How often short runs fail: four adversarial losses over learning rates, on the ring of Gaussians and on scenes.

A run can fail in two ways. Each has a bound, so that failures are counted and not judged by eye:

- diverged: a loss or an output is not finite, or the result is worse than a trivial constant answer: on the ring its
  middle (which is 2 away from each centre), on scenes grey (compared by the mean absolute error of ab).
- collapsed: the run did not diverge, but it gives few answers instead of many. On the ring at most four of the eight
  centres are popular (at least a quarter of their fair share of points is nearest to them). On scenes the balloons have
  more than half of the true chroma and nearly all the same hue (a concentration above 0.9).

Each loss is trained with the optimizer, critic steps, clip and penalty of its preset. Both networks have the learning
rate of the setting. On the ring the penalty has the weight 1: with 10 the points were still a blur after all steps.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from colorlib import scenes
from colorlib.course.experiments import Experiment, mode_collapse
from colorlib.course.experiments.experiment import Setting
from colorlib.datasets import open_source
from colorlib.errors import TrainingDiverged
from colorlib.losses import clip_weights, gradient_penalty
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

LOSSES = {"vanilla": "pix2pix", "lsgan": "lsgan", "wgan": "wgan", "wgan-gp": "wgan-gp"}  # and their presets
# Only on the ring: does the loss help, or do the five critic steps of its preset?
MORE_STEPS = "vanilla, 5 steps"
RATES = (5e-4, 2e-3, 8e-3, 3.2e-2)
RING_STEPS, RING_LAMBDA = 400, 1.0
SIZE, SCENE_STEPS, N_HELD_OUT = 16, 60, 96
FEW, POPULAR = 4, 1 / 4
COLOURED, ONE_HUE = 0.5, 0.9


# --- the ring ----------------------------------------------------------------------------------------------------


def penalty(critic: nn.Module, real: Float[Tensor, "n 2"], fake: Float[Tensor, "n 2"], rng: torch.Generator) -> Tensor:
    """The library's gradient penalty of points, as images of two channels and one pixel, without lightness."""
    as_images = [points[:, :, None, None] for points in (real[:, :0], real, fake)]
    return gradient_penalty(lambda x: critic(x.flatten(1)), *as_images, rng=rng)


def on_ring(loss: str) -> Recipe:
    """A preset's losses, critic steps, clip and optimizer, with a lighter penalty."""
    if loss == MORE_STEPS:
        return RECIPES["pix2pix"].replace(n_critic=RECIPES["wgan"].n_critic)
    preset = RECIPES[LOSSES[loss]]
    return preset.replace(lambda_gp=RING_LAMBDA) if preset.lambda_gp else preset


def make_optimizer(network: nn.Module, recipe: Recipe, lr: float) -> torch.optim.Optimizer:
    """The optimizer of a recipe with another learning rate."""
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr)
    return torch.optim.Adam(network.parameters(), lr, recipe.betas)


def train_on_ring(recipe: Recipe, lr: float, seed: int, steps: int = RING_STEPS) -> nn.Module:
    """A generator of points, trained for `steps` steps with everything that the recipe says but its networks."""
    rng = torch.Generator().manual_seed(seed)
    generator, critic = mode_collapse.networks(rng)
    optimizer_g, optimizer_d = (make_optimizer(network, recipe, lr) for network in (generator, critic))
    loss = recipe.loss
    assert loss is not None, "a recipe without an adversarial loss has no game"
    for _ in range(steps):
        for _ in range(recipe.n_critic):
            real = mode_collapse.ring(mode_collapse.BATCH, rng)
            fake = generator(_noise(rng)).detach()
            d_loss = recipe.d_loss_weight * loss.d(critic(real), critic(fake))
            if recipe.lambda_gp:
                d_loss = d_loss + recipe.lambda_gp * penalty(critic, real, fake, rng)
            _update(optimizer_d, d_loss)
            if recipe.clip is not None:
                clip_weights(critic, recipe.clip)
        _update(optimizer_g, loss.g(critic(generator(_noise(rng)))))
    return generator


def _noise(rng: torch.Generator) -> Tensor:
    return torch.randn(mode_collapse.BATCH, mode_collapse.NOISE, generator=rng)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def judge_points(points: Float[Tensor, "n 2"]) -> dict[str, float]:
    """Judge the points of a generator: error, variety, and whether the run diverged or collapsed.

    `error` is the mean distance to the nearest centre, relative to that of the middle. `variety` is the share of
    popular centres.
    """
    if not points.isfinite().all():
        return {"error": math.inf, "variety": 0.0, "diverged": 1.0, "collapsed": 0.0}
    distance, nearest = torch.cdist(points, mode_collapse.centres()).min(dim=1)
    share = torch.bincount(nearest, minlength=mode_collapse.MODES) / len(points)
    variety = (share >= POPULAR / mode_collapse.MODES).float().mean().item()
    diverged = distance.mean().item() > mode_collapse.RADIUS
    collapsed = not diverged and variety * mode_collapse.MODES <= FEW
    return {
        "error": distance.mean().item() / mode_collapse.RADIUS,
        "variety": variety,
        "diverged": float(diverged),
        "collapsed": float(collapsed),
    }


# --- scenes ------------------------------------------------------------------------------------------------------


def small(loss: str, lr: float) -> Recipe:
    """A preset with small networks and images, and with one learning rate for both networks."""
    return RECIPES[LOSSES[loss]].replace(
        size=SIZE, receptive_field=16, batch_size=8, depth=3, width=8, d_width=8, dropout=0.0, lr_g=lr, lr_d=lr,
        precision="fp32", steps=SCENE_STEPS,
    )  # fmt: skip


def judge_colours(ab: Float[Tensor, "b 2 h w"], held_out: scenes.Scenes) -> dict[str, float]:
    """Judge predicted colours: error, variety, and whether the run diverged or collapsed.

    `error` is the mean absolute error of ab, relative to that of grey. `variety` is the chroma ratio of the balloons
    times (1 - the concentration of their hues).
    """
    if not ab.isfinite().all():
        return {"error": math.inf, "variety": 0.0, "diverged": 1.0, "collapsed": 0.0}
    error = ((ab - held_out.true_ab).abs().mean() / held_out.true_ab.abs().mean()).item()
    found = scenes.score(ab, held_out)
    chroma, concentration = found["balloon_chroma_ratio"], found["balloon_hue_concentration"]
    diverged = error > 1
    collapsed = not diverged and chroma > COLOURED and concentration > ONE_HUE
    variety = chroma * (1 - concentration)
    return {"error": error, "variety": variety, "diverged": float(diverged), "collapsed": float(collapsed)}


def train_on_scenes(recipe: Recipe, seed: int) -> nn.Module | None:
    """The trained generator, or None if a loss became NaN or infinite."""
    trainer = Trainer(recipe, open_source("scenes", SIZE), seed=seed, device="cpu")
    try:
        for _ in trainer.run():
            pass
    except TrainingDiverged:
        return None
    return trainer.averaged_generator.eval()


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train once and judge the result."""
    lr, loss = float(setting["lr"] or 0), str(setting["loss"])
    if setting["game"] == "ring":
        generator = train_on_ring(on_ring(loss), lr, seed)
        return judge_points(mode_collapse.sample(generator, mode_collapse.SAMPLES, seed))
    held_out = scenes.draw(range(N_HELD_OUT), SIZE, split="val")
    colourer = train_on_scenes(small(loss, lr), seed)
    with torch.no_grad():
        ab = torch.full_like(held_out.true_ab, math.nan) if colourer is None else colourer(held_out.L)
    return judge_colours(ab, held_out)


def _settings() -> list[Setting]:
    on_the_ring: list[Setting] = [
        {"game": "ring", "loss": loss, "lr": lr, "recipe": on_ring(loss).fingerprint}
        for loss in (*LOSSES, MORE_STEPS)
        for lr in RATES
    ]
    on_the_scenes: list[Setting] = [
        {"game": "scenes", "loss": loss, "lr": lr, "recipe": small(loss, lr).fingerprint}
        for loss in LOSSES
        for lr in RATES
    ]
    return on_the_ring + on_the_scenes


EXPERIMENT = Experiment(name="stability", settings=_settings(), seeds=(0, 1, 2), measure=measure)
