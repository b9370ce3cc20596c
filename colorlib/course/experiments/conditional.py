"""Five reasons for a conditional GAN, each as one measurement, and what a discriminator without the condition costs.

Points on a ring (control, stability, many classes), a coordinate that is missing (missing data), and small scenes to
be coloured (conditional data, drifting colours, noise as an input). A conditional GAN is built here as a GAN of pairs:
the generator hands its condition on, and the discriminator sees sample and condition side by side.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from colorlib import scenes
from colorlib.blocks import global_rng_from
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.course.experiments.mode_collapse import d_step, g_step
from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN
from colorlib.generators import UNet
from colorlib.losses import bce_d_loss, bce_g_loss, l1_loss

# --- points ------------------------------------------------------------------------------------------------------

RADIUS, STD = 2.0, 0.05
NOISE, WIDTH, BATCH, STEPS = 8, 64, 128, 1000
SAMPLES = 4000
# A point is near a centre within three standard deviations; a mode is found if it has a tenth of its share there.
NEAR, FOUND = 3.0, 0.1
# Learning rates of G and D; the first two as in notebook 03, where the second collapses.
RATES = {"two speeds": (1e-3, 2e-3), "fast G": (4e-3, 1e-3), "fast D": (2.5e-4, 4e-3)}

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def centres(classes: int) -> Float[Tensor, "k 2"]:
    """The means of so many Gaussians on a circle of radius 2; the class of a point is the one it comes from."""
    angle = torch.arange(classes) * (2 * math.pi / classes)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring(n: int, classes: int, rng: torch.Generator) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
    """`n` real points and their classes."""
    label = torch.randint(classes, (n,), generator=rng)
    return centres(classes)[label] + STD * torch.randn(n, 2, generator=rng), label


class Pairs(nn.Module):
    """A generator of pairs: a sample made of noise and condition, and the condition handed on as it is.

    In: `noise` numbers and then the condition, side by side. With no condition it is an ordinary generator.
    """

    def __init__(self, network: nn.Module, noise: int = NOISE) -> None:
        super().__init__()
        self.network, self.noise = network, noise

    def forward(self, x: Float[Tensor, "b c *s"]) -> Float[Tensor, "b d *s"]:
        return torch.cat([self.network(x), x[:, self.noise :]], dim=1)


@dataclass
class Players:
    """A trained generator of pairs, its discriminator, and the mean loss of D over the last 200 steps."""

    generator: Pairs
    discriminator: nn.Module
    d_loss: float


def _mlp(inputs: int, outputs: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    hidden = nn.Linear(inputs, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation()
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


def train_points(
    draw: Draw, seed: int, *, rates: str = "two speeds", steps: int = STEPS, pairs: type[Pairs] = Pairs
) -> Players:
    """Train a GAN of pairs. `draw(n, rng)` gives real samples and their conditions (of no columns: a plain GAN)."""
    rng = make_rng(seed, "points")
    sample, condition = draw(1, rng)
    size, extra = sample.shape[1], condition.shape[1]
    with global_rng_from(rng):
        generator = pairs(_mlp(NOISE + extra, size, nn.ReLU))
        discriminator = _mlp(size + extra, 1, lambda: nn.LeakyReLU(0.2))
    lr_g, lr_d = RATES[rates]
    optimizer_g = torch.optim.Adam(generator.parameters(), lr_g, (0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr_d, (0.5, 0.999))
    losses = []
    for _ in range(steps):
        real = torch.cat(draw(BATCH, rng), dim=1)
        asked = [torch.cat([torch.randn(BATCH, NOISE, generator=rng), draw(BATCH, rng)[1]], 1) for _ in range(2)]
        losses.append(d_step(generator, discriminator, optimizer_d, real, asked[0])[0])
        g_step(generator, discriminator, optimizer_g, asked[1])
    return Players(generator, discriminator, torch.stack(losses[-200:]).mean().item())


def draw_ring(classes: int, model: str) -> Draw:
    """Points of the ring; the condition is the class as one-hot, or nothing for the plain model."""

    def draw(n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        points, label = ring(n, classes, rng)
        return points, one_hot(label, classes).float() if model == "conditional" else torch.empty(n, 0)

    return draw


@torch.no_grad()
def answers(players: Players, condition: Float[Tensor, "n c"], seed: int) -> Float[Tensor, "n d"]:
    """One sample for each condition, from noise that training has not drawn from."""
    noise = torch.randn(len(condition), NOISE, generator=make_rng(seed, "answers"))
    return players.generator.network(torch.cat([noise, condition], dim=1))


def describe_ring(points: Float[Tensor, "n 2"], asked: Int[Tensor, " n"], classes: int) -> dict[str, float]:
    """What points are worth to somebody who asked for classes.

    `asked`: share that is nearest to the centre of the class asked for. `modes`, `near`: centres found, and share of
    points near one. `draws`: samples to draw for one of a wanted class, if one throws the others away, averaged over
    classes (NaN if a class never comes). `spread`: how points of one class scatter, over how the real ones do.
    """
    distance, nearest = torch.cdist(points, centres(classes)).min(dim=1)
    near = distance <= NEAR * STD
    share = torch.bincount(nearest, minlength=classes) / len(points)
    found = torch.bincount(nearest[near], minlength=classes) / len(points)
    means = torch.zeros(classes, 2).index_add_(0, nearest, points) / (share * len(points)).clamp(min=1)[:, None]
    return {
        "asked": (nearest == asked).float().mean().item(),
        "modes": int((found >= FOUND / classes).sum()),
        "near": near.float().mean().item(),
        "draws": (1 / share).mean().item() if share.min() > 0 else math.nan,
        "spread": (points - means[nearest]).square().mean().sqrt().item() / STD,
    }


def measure_ring(setting: Setting, seed: int) -> dict[str, float]:
    classes, model = int(setting["classes"] or 0), str(setting["model"])
    players = train_points(draw_ring(classes, model), seed, rates=str(setting["rates"]))
    asked = torch.arange(SAMPLES) % classes
    condition = one_hot(asked, classes).float() if model == "conditional" else torch.empty(SAMPLES, 0)
    return describe_ring(answers(players, condition, seed), asked, classes) | {"d_loss": players.d_loss}


# --- a coordinate that is missing ----------------------------------------------------------------------------------


def draw_second(n: int, rng: torch.Generator) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n 1"]]:
    """The second coordinate of points of a ring of 8, and as the condition the first one."""
    points, _ = ring(n, 8, rng)
    return points[:, 1:], points[:, :1]


def train_regression(seed: int, steps: int = STEPS) -> nn.Module:
    """A network of the generator's size that predicts the second coordinate from the first, by least squares."""
    rng = make_rng(seed, "regression")
    with global_rng_from(rng):
        network = _mlp(1, 1, nn.ReLU)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(steps):
        y, x = draw_second(BATCH, rng)
        loss = (network(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def fill_in(model: str, x: Float[Tensor, "n 1"], seed: int) -> Float[Tensor, "n 1"]:
    """The second coordinate, three ways. A plain GAN is searched: the one of 4000 samples that is nearest in x."""
    if model == "conditional":
        return answers(train_points(draw_second, seed), x, seed)
    if model == "regression":
        return train_regression(seed)(x).detach()
    samples = answers(train_points(draw_ring(8, "plain"), seed), torch.empty(SAMPLES, 0), seed)
    return samples[torch.cdist(x, samples[:, :1]).argmin(dim=1), 1:]


def measure_fill_in(setting: Setting, seed: int) -> dict[str, float]:
    """`near`: share of completed points near a centre. `error`: root mean square error of what was filled in."""
    points, _ = ring(SAMPLES, 8, make_rng(seed, "incomplete"))
    y = fill_in(str(setting["model"]), points[:, :1], seed)
    completed = torch.cat([points[:, :1], y], dim=1)
    distance = torch.cdist(completed, centres(8)).min(dim=1).values
    error = (y - points[:, 1:]).square().mean().sqrt()
    return {"near": (distance <= NEAR * STD).float().mean().item(), "error": error.item()}


# --- scenes to be coloured -------------------------------------------------------------------------------------------

SIZE, BATCH_SIZE, COLOUR_STEPS = 32, 12, 300
N_TRAIN, N_HELD_OUT, N_DRAWS = 1024, 96, 8
PLANES = 4  # of noise, each constant over the image: the generator of the paper's first trials got its noise as input
WRONG_SIDE = 0.05  # of ab, 5.5 in units of Lab: less than this counts as grey, and is no object's colour
BLUE, GREEN = ("sky", "sea"), ("ground", "trees")


@functools.cache
def world(n: int, split: str) -> scenes.Scenes:
    return scenes.draw(range(n), SIZE, split=split)


def misaligned(ab: Float[Tensor, "n 2 h w"], drawn: scenes.Scenes) -> Float[Tensor, " n"]:
    """Share of each scene's background that wears the colour of something else: grass that is blue, sky that is green.

    In a scene sky and sea have b below 0, ground and trees above 0. Counted are pixels on the wrong side by more than
    5.5 in units of Lab; grey is wrong, but belongs to nobody, and is not counted. True colours score 0.
    """
    blue, green = (torch.stack([drawn.masks[name] for name in names]).any(0) for names in (BLUE, GREEN))
    b = ab[:, 1]
    wrong = (blue & (b > WRONG_SIDE)) | (green & (b < -WRONG_SIDE))
    return wrong.flatten(1).sum(1) / (blue | green).flatten(1).sum(1)


def planes(n: int, rng: torch.Generator) -> Float[Tensor, "n 4 32 32"]:
    """Noise as an input: numbers that are the same on every pixel of an image."""
    return torch.randn(n, PLANES, 1, 1, generator=rng).expand(-1, -1, SIZE, SIZE)


def train_colours(
    seed: int, *, model: str = "conditional", lambda_l1: float = 1.0, steps: int = COLOUR_STEPS,
    condition: Float[Tensor, "n c h w"] | None = None, true_ab: Float[Tensor, "n 2 h w"] | None = None,
) -> Players:  # fmt: skip
    """Train a U-Net that colours scenes from its noise planes and a condition (L, unless another one is given).

    The discriminator sees ab and the condition, ab alone if the model is "blind"; "regression" has none.
    """
    drawn, rng = world(N_TRAIN, "train"), make_rng(seed, "colours")
    condition = drawn.L if condition is None else condition
    true_ab = drawn.true_ab if true_ab is None else true_ab
    seen = 0 if model == "blind" else condition.shape[1]
    generator = Pairs(UNet(PLANES + condition.shape[1], depth=4, width=12, dropout=0.0, rng=rng), PLANES)
    discriminator = PatchGAN(2 + seen, receptive_field=16, width=16, rng=rng)
    optimizers = [torch.optim.Adam(m.parameters(), 2e-3, (0.5, 0.999)) for m in (generator, discriminator)]
    losses: list[Tensor] = []
    for _ in range(steps):
        i = torch.randint(len(condition), (BATCH_SIZE,), generator=rng)
        real = torch.cat([true_ab[i], condition[i]], 1)
        fake = generator(torch.cat([planes(BATCH_SIZE, rng), condition[i]], 1))
        if model != "regression":
            d_loss = bce_d_loss(discriminator(real[:, : 2 + seen]), discriminator(fake[:, : 2 + seen].detach()))
            _step(optimizers[1], 0.5 * d_loss)
            losses.append(d_loss.detach())
        g_loss = lambda_l1 * l1_loss(fake[:, :2], real[:, :2])
        if model != "regression":
            g_loss = g_loss + bce_g_loss(discriminator(fake[:, : 2 + seen]))
        _step(optimizers[0], g_loss)
    mean_loss = torch.stack(losses[-200:]).mean().item() if losses else math.nan
    return Players(generator.eval(), discriminator.eval(), mean_loss)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def colour(generator: Pairs, condition: Float[Tensor, "n c h w"], seed: int = 0) -> Float[Tensor, "n 2 h w"]:
    """ab for each condition, from noise that training has not drawn from."""
    return generator.network(torch.cat([planes(len(condition), make_rng(seed, "draw")), condition], 1))


def balloon_means(ab: Float[Tensor, "n 2 h w"], drawn: scenes.Scenes) -> Float[Tensor, "n 2"]:
    """The mean colour of each scene's balloons; NaN where every balloon is too small."""
    on = drawn.masks["balloons"][:, None]
    return (ab * on).flatten(2).sum(2) / on.flatten(2).sum(2)


def noise_spread(generator: Pairs, drawn: scenes.Scenes) -> float:
    """How far a scene's balloons vary over draws of the noise, over how far they really vary.

    Both as the root mean square distance from the mean; the real balloons lie on a circle around grey.
    """
    first = drawn.balloon_id == 1
    pixels = torch.stack([colour(generator, drawn.L, seed) for seed in range(N_DRAWS)])
    of_first = (pixels * first[:, None]).flatten(3).sum(3) / first.flatten(1).sum(1)[:, None]
    apart = (of_first - of_first.mean(0)).square().sum(2).mean(0)  # a number a scene
    return (apart[first.flatten(1).any(1)].mean().sqrt() / scenes.BALLOON_CHROMA).item()


def measure_colours(setting: Setting, seed: int) -> dict[str, float]:
    """What `scenes.score` says on held-out scenes, the share of misaligned pixels, and what the noise does."""
    held_out, spread = world(N_HELD_OUT, "val"), math.nan
    if setting["model"] == "plain, one draw":
        ab = one_of_plain(held_out, seed)
    elif setting["model"] == "plain, best of 1024":
        ab = best_of_plain(held_out, seed)
    else:
        weight = float(setting["lambda_l1"] or 0)
        generator = train_colours(seed, model=str(setting["model"]), lambda_l1=weight).generator
        ab, spread = colour(generator, held_out.L), noise_spread(generator, held_out)
    score = scenes.score(ab, held_out)
    kept = {name: score[name] for name in ("background_ab_mae", "balloon_chroma_ratio", "balloon_hue_concentration")}
    return {**kept, "misaligned": misaligned(ab, held_out).mean().item(), "noise_spread": spread}


def one_of_plain(held_out: scenes.Scenes, seed: int) -> Float[Tensor, "n 2 h w"]:
    """Colours of a perfect plain GAN, one that draws real scenes, whatever L is."""
    return scenes.draw(range(len(held_out.rgb)), SIZE, seed=1 + seed).true_ab


def best_of_plain(held_out: scenes.Scenes, seed: int) -> Float[Tensor, "n 2 h w"]:
    """The colours of the most similar L among 1024 samples of a perfect plain GAN: one that draws real scenes."""
    samples = scenes.draw(range(N_TRAIN), SIZE, seed=1 + seed)
    nearest = torch.cdist(held_out.L.flatten(1), samples.L.flatten(1)).argmin(dim=1)
    return samples.true_ab[nearest]


# --- all of it -----------------------------------------------------------------------------------------------------


def setting(
    task: str, model: str, *, classes: int | None = None, rates: str | None = None, lambda_l1: float | None = None
) -> Setting:
    """One line of the table: `task` is ring, fill in or colours, and says which of the others count."""
    return {"task": task, "model": model, "classes": classes, "rates": rates, "lambda_l1": lambda_l1}


def measure(chosen: Setting, seed: int) -> dict[str, float]:
    """Train and measure, by the task; tasks measure different things."""
    return {"ring": measure_ring, "fill in": measure_fill_in, "colours": measure_colours}[str(chosen["task"])](
        chosen, seed
    )


RINGS = ((8, "two speeds"), (8, "fast G"), (8, "fast D"), (16, "two speeds"), (32, "two speeds"))
COLOURS = (
    ("conditional", 0.1), ("blind", 0.1), ("conditional", 1.0), ("blind", 1.0), ("conditional", 100.0),
    ("regression", 1.0), ("plain, one draw", None), ("plain, best of 1024", None),
)  # fmt: skip

EXPERIMENT = Experiment(
    name="conditional",
    settings=[
        *(setting("ring", model, classes=k, rates=r) for k, r in RINGS for model in ("plain", "conditional")),
        *(setting("fill in", model) for model in ("plain", "conditional", "regression")),
        *(setting("colours", model, lambda_l1=weight) for model, weight in COLOURS),
    ],
    seeds=(0, 1, 2),
    measure=measure,
)
