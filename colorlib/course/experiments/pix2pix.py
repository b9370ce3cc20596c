"""pix2pix on scenes: L1, the adversarial loss and both, over the steps and over the number of training images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from colorlib import scenes
from colorlib.color import join_lab, to_uint8
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.datasets.base import ArraySource, digest
from colorlib.metrics import PooledColor
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

SIZE = 32
BATCH_SIZE = 8
STEPS = 800
LOOKS = (40, 120, 240, 400, 800)  # of 64 images: 5, 15, 30, 50 and 100 epochs
N_HELD_OUT = 128
IMAGES = (1024, 64, 16, 256)  # the most telling first
PRESETS = {"l1": "l1", "cgan": "pix2pix", "both": "pix2pix"}


def recipe(objective: str, **changes: object) -> Recipe:
    """The presets made small and fast: narrow networks, batches of 8, five times the paper's learning rate."""
    small = RECIPES[PRESETS[objective]].replace(
        size=SIZE, batch_size=BATCH_SIZE, depth=3, width=16, d_width=16, lr_g=1e-3, lr_d=1e-3, precision="fp32",
        steps=STEPS,
    )  # fmt: skip
    return small.replace(**({"lambda_l1": 0.0} if objective == "cgan" else {}), **changes)


def first_scenes(n: int) -> ArraySource:
    """The first `n` training scenes, drawn once: a set that ends, as photographs do, where `scenes` does not."""
    rgb = scenes.draw(range(n), SIZE).rgb.numpy()
    return ArraySource(f"{n} scenes", "train", rgb, np.arange(n), digest([n, rgb.tobytes()]))


def held_out_scenes() -> scenes.Scenes:
    """Scenes that no training here sees."""
    return scenes.draw(range(N_HELD_OUT), SIZE, split="val")


@torch.no_grad()
def predict(generator: nn.Module, L: torch.Tensor) -> torch.Tensor:
    """ab in evaluation mode, whatever mode the generator is in before and after."""
    was_training = generator.training
    ab = generator.eval()(L)
    generator.train(was_training)
    return ab


def quality(ab: torch.Tensor, held_out: scenes.Scenes) -> dict[str, float]:
    """Error of ab everywhere and where L tells the colour, balloons' chroma and hues, histogram intersections."""
    pooled = PooledColor()
    pooled.update(to_uint8(join_lab(held_out.L, ab, gamut="chroma")), held_out.rgb)
    colours, objects = pooled.result(), scenes.score(ab, held_out)
    return {
        "error": (ab - held_out.true_ab).abs().mean().item(),
        "background": objects["background_ab_mae"],
        "balloons": objects["balloon_chroma_ratio"],
        "hues": objects["balloon_hue_concentration"],
        "a_intersection": colours["a_intersection"],
        "b_intersection": colours["b_intersection"],
    }


def train(setting: Setting, seed: int) -> tuple[Trainer, pd.DataFrame]:
    """A trained pix2pix and what it was worth on held-out scenes at the steps `LOOKS`."""
    source = first_scenes(int(setting["images"] or 0))
    trainer = Trainer(recipe(str(setting["objective"])), source, seed=seed, device="cpu")
    held_out = held_out_scenes()
    looks = [
        {"step": record.step, **quality(predict(trainer.generator, held_out.L), held_out)}
        for record in trainer.run()
        if record.step in LOOKS
    ]
    return trainer, pd.DataFrame(looks)


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train, and keep the last look under its own names and every look by its step; `train_error` is on seen scenes."""
    trainer, looks = train(setting, seed)
    seen = scenes.draw(range(min(N_HELD_OUT, len(trainer.source))), SIZE)
    error = (predict(trainer.generator, seen.L) - seen.true_ab).abs().mean().item()
    names = [name for name in looks.columns if name != "step"]
    last = {name: float(looks[name].iloc[-1]) for name in names}
    over_steps = {
        f"{name}_{step:03d}": float(value)
        for name in ("error", "balloons")
        for step, value in zip(looks["step"], looks[name], strict=True)
    }
    return {**last, "train_error": error, **over_steps}


def _settings() -> list[Setting]:
    pairs = [("cgan", IMAGES[0]), *((name, images) for images in IMAGES for name in ("l1", "both"))]
    return [{"objective": name, "images": images, "recipe": recipe(name).fingerprint} for name, images in pairs]


EXPERIMENT = Experiment(name="pix2pix", settings=_settings(), seeds=(0, 1, 2), measure=measure)
