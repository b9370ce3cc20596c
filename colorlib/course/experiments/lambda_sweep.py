"""What lambda_L1 does: a small pix2pix on scenes over the weight of its L1 term, and L1 alone beside it."""

from __future__ import annotations

import functools

from torch import nn

from colorlib import scenes
from colorlib.color import join_lab, to_uint8
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.course.experiments.pix2pix import predict
from colorlib.course.experiments.rivals import late_share, train
from colorlib.course.laboratory import make_recipe
from colorlib.metrics import ciede2000, psnr
from colorlib.recipes import Recipe

SIZE, WIDTH, BATCH = 32, 8, 8
STEPS = 160
LAMBDAS = (0.0, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
N_IMAGES = 96
DULL_COSTS = 5.0  # of `score`: what wholly grey balloons cost, in units of CIEDE2000


def small(steps: int = STEPS, **settings: float | int | str) -> Recipe:
    """The laboratory's recipe of these settings, with narrow networks and small batches."""
    return make_recipe(width=WIDTH, batch=BATCH, size=SIZE, steps=steps, **settings)  # type: ignore[arg-type]


@functools.cache
def held_out(split: str, n: int = N_IMAGES) -> scenes.Scenes:
    """The first scenes of a split that no training sees: "val" to choose by, "test" to report."""
    return scenes.draw(range(n), SIZE, split=split)


def judge(generator: nn.Module, split: str, n: int = N_IMAGES) -> dict[str, float]:
    """How right and how colourful a generator is in eval mode; its training mode is given back.

    PSNR and CIEDE2000 over all pixels, `balloons` (their chroma ratio: the desaturation meter), `background` (the
    error of ab where L tells the colour), and `score`, see there.
    """
    true = held_out(split, n)
    ab = predict(generator, true.L)
    shown, found = to_uint8(join_lab(true.L, ab, gamut="chroma")), scenes.score(ab, true)
    delta, balloons = ciede2000(shown, true.rgb).mean().item(), found["balloon_chroma_ratio"]
    return {
        "psnr": psnr(shown, true.rgb).mean().item(),
        "ciede2000": delta,
        "balloons": balloons,
        "background": found["background_ab_mae"],
        "score": score(delta, balloons),
    }


def score(delta: float, balloons: float) -> float:
    """What a search minimises: the mean CIEDE2000, and what dull or garish balloons cost beside it."""
    return delta + DULL_COSTS * abs(1 - balloons)


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train and judge; `adversarial_share` is the median over the second half of the run, 0 without an adversary."""
    trainer = train(_recipe(setting), seed)
    return {**judge(trainer.generator, "val"), "adversarial_share": late_share(trainer)}


def _recipe(setting: Setting) -> Recipe:
    return small(loss=str(setting["loss"]), lambda_l1=float(setting["lambda_l1"] or 0))


def _settings() -> list[Setting]:
    pairs = [("none", 100.0), *(("vanilla", weight) for weight in LAMBDAS)]
    settings: list[dict[str, str | float]] = [{"loss": loss, "lambda_l1": weight} for loss, weight in pairs]
    return [{**setting, "recipe": _recipe(setting).fingerprint} for setting in settings]


EXPERIMENT = Experiment(name="lambda_sweep", settings=_settings(), seeds=(0, 1, 2), measure=measure)
