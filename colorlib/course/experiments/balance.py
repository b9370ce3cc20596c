"""The recipes of the experiment `balance`: learning rates and norms that let the discriminator win, and remedies."""

from __future__ import annotations

from colorlib.course.experiments import pix2pix
from colorlib.recipes import Recipe

STEPS = 150
SLOW_G: dict[str, float | str] = {"lr_g": 2e-5, "lr_d": 2e-3}
CHANGES: dict[str, dict[str, float | str]] = {
    "balanced": {},
    "fast D": {"lr_d": 1e-2},
    "slow G": SLOW_G,
    "slow G, D with spectral norm": {**SLOW_G, "norm": "spectral"},
    "slow G, slow D": {**SLOW_G, "lr_d": 2e-5},
    "both at D's rate": {"lr_g": 2e-3, "lr_d": 2e-3},
}


def recipe(case: str) -> Recipe:
    """The small pix2pix with the changes of one case."""
    return pix2pix.recipe("both", steps=STEPS, **CHANGES[case])
