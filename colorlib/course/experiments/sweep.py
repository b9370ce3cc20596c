"""The search space of the experiment `sweep`, and the steps at which its trials are judged."""

from __future__ import annotations

STEPS = 80
LOOKS = (20, 40, 60, 80)  # steps at which a trial is judged on the validation split
# The ends of each range that is sampled on a logarithmic scale, and the choices of the other hyperparameters.
RANGES = {"lambda_l1": (1.0, 300.0), "lr_g": (1e-4, 1e-2), "lr_d": (1e-4, 1e-2)}
CHOICES: dict[str, tuple[str | int, ...]] = {
    "loss": ("vanilla", "lsgan", "hinge"), "patch": (1, 16), "depth": (2, 3, 4),
}  # fmt: skip
NAMES = (*RANGES, *CHOICES)
