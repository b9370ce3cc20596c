"""A random search over six hyperparameters (Bergstra and Bengio 2012). A row is a trial that can be measured again.

All points are drawn in advance from one seed, so each point is a setting like any other and needs no study to run in.
The notebook gives the rows to Optuna as finished trials, to replay pruning and to rank the hyperparameters.
"""

from __future__ import annotations

import math

import torch

from colorlib.course.experiments import Experiment
from colorlib.course.experiments.experiment import Setting
from colorlib.course.experiments.lambda_sweep import SIZE, judge, small
from colorlib.course.experiments.sweep import CHOICES, LOOKS, NAMES, RANGES, STEPS
from colorlib.datasets import open_source
from colorlib.devices import make_rng
from colorlib.recipes import Recipe
from colorlib.training import Trainer

POINTS = 24
FEW = 16  # images of a small validation set


def point(numbers: list[float]) -> dict[str, float | int | str]:
    """Settings of `make_recipe`, to three digits, from one number in 0..1 for each hyperparameter."""
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
    """Train. Returns the validation score at each of LOOKS, and the last scores on few images and on the test split."""
    trainer = Trainer(recipe(setting), open_source("scenes", SIZE), seed=seed, device="cpu")
    looks = {record.step: judge(trainer.generator, "val") for record in trainer.run() if record.step in LOOKS}
    scores = {f"score_{step:03d}": look["score"] for step, look in looks.items()}
    few, test = (judge(trainer.generator, *where)["score"] for where in (("val", FEW), ("test",)))
    return {**scores, **looks[STEPS], "few_score": few, "test_score": test}


DESIGN = torch.rand(POINTS, len(NAMES), generator=make_rng("sweep", "design"), dtype=torch.float64)
SETTINGS = [{**settings, "recipe": recipe(settings).fingerprint} for settings in map(point, DESIGN.tolist())]
EXPERIMENT = Experiment(name="sweep", settings=SETTINGS, seeds=(0, 1), measure=measure)
