"""Does the laboratory's advice help? Runs with a deliberate fault, and the same runs after each piece of advice."""

from __future__ import annotations

from typing import Any

from colorlib.course.diagnosis import diagnose
from colorlib.course.experiments import Experiment
from colorlib.course.experiments.advice import SLOW_G, STEPS, train
from colorlib.course.experiments.experiment import Setting
from colorlib.course.experiments.lambda_sweep import judge, small
from colorlib.course.experiments.rivals import late_share
from colorlib.recipes import Recipe

RULES = ("discriminator wins", "discriminator guesses", "decoration")
SLOW_D: dict[str, Any] = {"lr_d": 1e-5}
TIGHT_CLIP: dict[str, Any] = {"loss": "wasserstein", "bound": "clip 0.003", "lambda_l1": 0.3, "n_critic": 2}
# For each fault: its settings, and the change that each piece of advice makes to them.
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
    """The recipe of a fault after a piece of advice. The change "none" leaves the fault as it is."""
    settings, advice = CASES[fault]
    return small(STEPS, **{**settings, **({} if change == "none" else advice[change])})


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train. Returns for each rule whether it reports something (1 or 0), and the scores on held-out scenes."""
    trainer = train(recipe(str(setting["fault"]), str(setting["change"])), seed)
    said = {finding.rule for finding in diagnose(trainer.history, trainer.recipe)}
    return {
        **{rule: float(rule in said) for rule in RULES},
        "adversarial_share": late_share(trainer),
        **judge(trainer.generator, "val"),
    }


SETTINGS = [
    {"fault": fault, "change": change, "recipe": recipe(fault, change).fingerprint}
    for fault, (_, advice) in CASES.items()
    for change in ("none", *advice)
]
EXPERIMENT = Experiment(name="advice", settings=SETTINGS, seeds=(0, 1, 2), measure=measure)
