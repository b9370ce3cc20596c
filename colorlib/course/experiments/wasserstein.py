"""A clipped WGAN on scenes: does the critic's estimate of the distance follow the quality of the colours?"""

from __future__ import annotations

import pandas as pd
from jaxtyping import Float
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from colorlib import scenes
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.course.experiments.pix2pix import predict
from colorlib.datasets import open_source
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

SIZE = 32
STEPS = 60
EVERY = 5  # steps between two looks at held-out scenes
N_HELD_OUT = 64


def recipe(norm: str) -> Recipe:
    """The preset `wgan` made small and fast: narrow networks, four times the paper's learning rate."""
    small = RECIPES["wgan"].replace(size=SIZE, depth=3, width=8, d_width=16, dropout=0.0, lr_g=2e-4, lr_d=2e-4)
    return small.replace(norm=norm)


def chroma_distance(ab: Float[Tensor, "b 2 h w"], true_ab: Float[Tensor, "b 2 h w"]) -> float:
    """The Wasserstein distance between the chroma of all predicted and of all true pixels."""
    return float(wasserstein_distance(ab.norm(dim=1).flatten(), true_ab.norm(dim=1).flatten()))


def look(generator: nn.Module, held_out: scenes.Scenes) -> dict[str, float]:
    """The error of a generator on held-out scenes: the mean absolute error of ab, and the distance of its chroma."""
    ab = predict(generator, held_out.L)
    return {
        "error": (ab - held_out.true_ab).abs().mean().item(),
        "chroma_distance": chroma_distance(ab, held_out.true_ab),
    }


def train(setting: Setting, seed: int) -> tuple[Trainer, pd.DataFrame]:
    """A trained WGAN and, every `EVERY` steps, its critic's mean estimate since the last look and the quality."""
    trainer = Trainer(recipe(str(setting["norm"])), open_source("scenes", SIZE), seed=seed, device="cpu")
    held_out = scenes.draw(range(N_HELD_OUT), SIZE, split="val")
    looks = [
        {"step": step, **look(trainer.generator, held_out)}
        for step, _ in enumerate(trainer.run(steps=STEPS), 1)
        if step % EVERY == 0
    ]
    rows = pd.DataFrame(looks)
    history = trainer.history
    for column in ("wasserstein", "clipped_share"):
        rows[column] = history[column].groupby((history["step"] - 1) // EVERY).mean().to_numpy()
    return trainer, rows


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train, and correlate the estimates with the quality (Spearman: by rank); every look is kept as well."""
    _, rows = train(setting, seed)
    estimate = rows["wasserstein"]
    related = {
        f"{name}_correlation": float(estimate.corr(rows[name], method="spearman"))
        for name in ("error", "chroma_distance")
    }
    looks = {
        f"{short}_{step:02d}": float(value)
        for short, name in (("estimate", "wasserstein"), ("distance", "chroma_distance"), ("error", "error"))
        for step, value in zip(rows["step"], rows[name], strict=True)
    }
    return {**related, "clipped_share": float(rows["clipped_share"].mean()), **looks}


def _settings() -> list[Setting]:
    return [{"norm": norm, "recipe": recipe(norm).fingerprint} for norm in ("none", "batch")]


EXPERIMENT = Experiment(name="wasserstein", settings=_settings(), seeds=(0, 1, 2), measure=measure)
