"""Who wins, G or D: learning rates and norms that let the discriminator run away, and what brings it back."""

from __future__ import annotations

from colorlib.course.experiments import pix2pix
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.recipes import Recipe
from colorlib.training import Trainer

STEPS = 150
LAST = 50  # steps that the means are over
IMAGES = 1024
SLOW_G: dict[str, float | str] = {"lr_g": 2e-5, "lr_d": 2e-3}
CHANGES: dict[str, dict[str, float | str]] = {
    "balanced": {},
    "fast D": {"lr_d": 1e-2},
    "slow G": SLOW_G,
    "slow G, D with spectral norm": {**SLOW_G, "norm": "spectral"},
    "slow G, slow D": {**SLOW_G, "lr_d": 2e-5},
    "both at D's rate": {"lr_g": 2e-3, "lr_d": 2e-3},
}
CURVES = ("d_loss", "g_adversarial", "d_real_accuracy", "d_fake_accuracy", "l1", "adversarial_share")


def recipe(case: str) -> Recipe:
    """The small pix2pix with one case's changes."""
    return pix2pix.recipe("both", steps=STEPS, **CHANGES[case])


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train; the curves' means over the last steps, and what the colours are worth on held-out scenes."""
    trainer = Trainer(recipe(str(setting["case"])), pix2pix.first_scenes(IMAGES), seed=seed, device="cpu")
    for _ in trainer.run():
        pass
    curves = trainer.history.tail(LAST)[list(CURVES)].mean()
    held_out = pix2pix.held_out_scenes()
    quality = pix2pix.quality(pix2pix.predict(trainer.generator, held_out.L), held_out)
    return {**{name: float(curves[name]) for name in CURVES}, **quality}


def _settings() -> list[Setting]:
    return [{"case": case, "recipe": recipe(case).fingerprint} for case in CHANGES]


EXPERIMENT = Experiment(name="balance", settings=_settings(), seeds=(0, 1, 2), measure=measure)
