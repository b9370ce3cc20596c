"""Does the laboratory's advice help? Runs with a fault made on purpose, and the same after each piece of advice."""

from __future__ import annotations

from typing import Any

from colorlib.course.diagnosis import diagnose
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.course.experiments.lambda_sweep import SIZE, judge, small
from colorlib.course.experiments.rivals import late_share
from colorlib.datasets import open_source
from colorlib.recipes import Recipe
from colorlib.training import Trainer

STEPS = 120
RULES = ("discriminator wins", "discriminator guesses", "decoration")
FAULTS = {"slow G": "discriminator wins", "slow D": "decoration", "tight clip": "decoration"}  # and the rule for each
SLOW_G: dict[str, Any] = {"lr_g": 2e-5, "lr_d": 2e-3}
SLOW_D: dict[str, Any] = {"lr_d": 1e-5}
TIGHT_CLIP: dict[str, Any] = {"loss": "wasserstein", "bound": "clip 0.003", "lambda_l1": 0.3, "n_critic": 2}
# For each fault its settings, and what changes when one follows a piece of advice.
CASES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "slow G": (SLOW_G, {"lower lr_d": {"lr_d": 1e-4}, "higher lr_g": {"lr_g": 1e-3}, "smaller patch": {"patch": 1}}),
    "slow D": (SLOW_D, {"lower lambda_l1": {"lambda_l1": 10.0}, "higher lr_d": {"lr_d": 1e-3}}),
    "tight clip": (
        TIGHT_CLIP,
        {"lower lambda_l1": {"lambda_l1": 0.03}, "wider clip": {"bound": "clip 0.03"},
         "a penalty": {"bound": "penalty 10"}},
    ),
}  # fmt: skip


def recipe(fault: str, change: str) -> Recipe:
    """A fault's recipe, after a piece of advice; "none" is the fault as it is."""
    settings, advice = CASES[fault]
    return small(STEPS, **{**settings, **({} if change == "none" else advice[change])})


def train(recipe: Recipe, seed: int) -> Trainer:
    """A run on scenes that looks at held-out ones every twenty steps, as the laboratory does."""
    source, validation = (open_source("scenes", SIZE, split) for split in ("train", "val"))
    trainer = Trainer(recipe, source, validation=validation, seed=seed, device="cpu", validate_every=20)
    for _ in trainer.run():
        pass
    return trainer


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train; which rules speak (1 or 0), and what the colours are worth on held-out scenes."""
    trainer = train(recipe(str(setting["fault"]), str(setting["change"])), seed)
    said = {finding.rule for finding in diagnose(trainer.history, trainer.recipe)}
    return {
        **{rule: float(rule in said) for rule in RULES},
        "adversarial_share": late_share(trainer),
        **judge(trainer.generator, "val"),
    }


def _settings() -> list[Setting]:
    return [
        {"fault": fault, "change": change, "recipe": recipe(fault, change).fingerprint}
        for fault, (_, advice) in CASES.items()
        for change in ("none", *advice)
    ]


EXPERIMENT = Experiment(name="advice", settings=_settings(), seeds=(0, 1, 2), measure=measure)
