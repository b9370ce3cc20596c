"""A random search over six hyperparameters: the design is drawn in advance, so that a row is a trial that can be rerun.

Random search (Bergstra and Bengio 2012) needs no study to run in: each point is a setting like any other. The notebook
hands the rows to Optuna as finished trials, to replay pruning and to weigh the hyperparameters.
"""

from __future__ import annotations

import math

import torch

from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.course.experiments.lambda_sweep import SIZE, judge, small
from colorlib.datasets import open_source
from colorlib.devices import make_rng
from colorlib.recipes import Recipe
from colorlib.training import Trainer

POINTS, STEPS = 24, 80
LOOKS = (20, 40, 60, 80)  # steps at which a trial is judged on the validation split
FEW = 16  # images of a small validation set
# Where to search: the ends of a range that is sampled on a logarithmic scale, or a list of choices.
RANGES = {"lambda_l1": (1.0, 300.0), "lr_g": (1e-4, 1e-2), "lr_d": (1e-4, 1e-2)}
CHOICES: dict[str, tuple[str | int, ...]] = {
    "loss": ("vanilla", "lsgan", "hinge"), "patch": (1, 16), "depth": (2, 3, 4),
}  # fmt: skip
NAMES = (*RANGES, *CHOICES)


def point(numbers: list[float]) -> dict[str, float | int | str]:
    """Settings of `make_recipe` from as many numbers in 0..1 as there are hyperparameters, to three digits."""
    settings: dict[str, float | int | str] = {}
    for (name, (low, high)), number in zip(RANGES.items(), numbers, strict=False):
        settings[name] = float(f"{low * math.exp(number * math.log(high / low)):.3g}")
    for (name, choices), number in zip(CHOICES.items(), numbers[len(RANGES) :], strict=True):
        settings[name] = choices[int(number * len(choices))]
    return settings


def recipe(setting: Setting) -> Recipe:
    """The small recipe of a point."""
    return small(STEPS, **{name: setting[name] for name in NAMES})  # type: ignore[arg-type]


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train; the score on the validation split at the looks, and at the end on few images and on the test split."""
    trainer = Trainer(recipe(setting), open_source("scenes", SIZE), seed=seed, device="cpu")
    looks = {record.step: judge(trainer.generator, "val") for record in trainer.run() if record.step in LOOKS}
    scores = {f"score_{step:03d}": look["score"] for step, look in looks.items()}
    few, test = (judge(trainer.generator, *where)["score"] for where in (("val", FEW), ("test",)))
    return {**scores, **looks[STEPS], "few_score": few, "test_score": test}


def _settings() -> list[Setting]:
    design = torch.rand(POINTS, len(NAMES), generator=make_rng("sweep", "design"), dtype=torch.float64)
    points = [point(numbers) for numbers in design.tolist()]
    return [{**settings, "recipe": recipe(settings).fingerprint} for settings in points]


EXPERIMENT = Experiment(name="sweep", settings=_settings(), seeds=(0, 1), measure=measure)
