"""Which network wins, G or D: learning rates and norms that let the discriminator win, and remedies."""

from __future__ import annotations

from colorlib.course.experiments import Experiment, pix2pix
from colorlib.course.experiments.balance import CHANGES, recipe
from colorlib.course.experiments.experiment import Setting
from colorlib.training import Trainer

LAST = 50  # the curves are averaged over this many last steps
IMAGES = 1024
CURVES = ("d_loss", "g_adversarial", "d_real_accuracy", "d_fake_accuracy", "l1", "adversarial_share")


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train. Returns the mean of each curve over the last steps, and the quality of the colours on held-out scenes."""
    trainer = Trainer(recipe(str(setting["case"])), pix2pix.first_scenes(IMAGES), seed=seed, device="cpu")
    for _ in trainer.run():
        pass
    curves = trainer.history.tail(LAST)[list(CURVES)].mean()
    held_out = pix2pix.held_out_scenes()
    quality = pix2pix.quality(pix2pix.predict(trainer.generator, held_out.L), held_out)
    return {**{name: float(curves[name]) for name in CURVES}, **quality}


SETTINGS = [{"case": case, "recipe": recipe(case).fingerprint} for case in CHANGES]
EXPERIMENT = Experiment(name="balance", settings=SETTINGS, seeds=(0, 1, 2), measure=measure)
