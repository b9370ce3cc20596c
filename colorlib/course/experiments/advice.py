"""The faults of the experiment `advice`, and its training run."""

from __future__ import annotations

from typing import Any

from colorlib.course.experiments.lambda_sweep import SIZE
from colorlib.datasets import open_source
from colorlib.recipes import Recipe
from colorlib.training import Trainer

STEPS = 120
# Each fault, and the rule of `diagnose` that names it.
FAULTS = {"slow G": "discriminator wins", "slow D": "decoration", "tight clip": "decoration"}
SLOW_G: dict[str, Any] = {"lr_g": 2e-5, "lr_d": 2e-3}


def train(recipe: Recipe, seed: int) -> Trainer:
    """Train on scenes and validate on held-out ones every twenty steps, as the laboratory does."""
    source, validation = (open_source("scenes", SIZE, split) for split in ("train", "val"))
    trainer = Trainer(recipe, source, validation=validation, seed=seed, device="cpu", validate_every=20)
    for _ in trainer.run():
        pass
    return trainer
