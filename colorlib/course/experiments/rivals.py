"""The presets side by side on small scenes: the same seeds, split, evaluator and number of generator steps for all.

Two rows more than presets: `pix2pix` with as much computing time as `wgan-gp` takes, and `wgan` under pix2pix's weight
of the L1 term.
"""

from __future__ import annotations

import time

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from colorlib import scenes
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.datasets import open_source
from colorlib.evaluation import evaluate
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

SIZE, BATCH_SIZE = 32, 8
STEPS, LONG = 200, 1000
RATE = 5  # times the preset's learning rates: the presets are meant for runs of many thousand steps
N_HELD_OUT = 96
PRESETS = ("l1", "pix2pix", "lsgan", "hinge", "wgan", "wgan-gp", "resunet-wgan-gp")
# A pair of neighbours is an edge where the true ab differs by this much, in network units.
EDGE = 0.1


def small(name: str) -> Recipe:
    """A preset with narrow networks and few steps: the objective, the optimizers and their ratio of rates are its own.

    The residual U-Net has no map at full size, so depth 3 reaches as deep as the U-Net's 4.
    """
    preset = RECIPES[name]
    return preset.replace(
        size=SIZE, batch_size=BATCH_SIZE, depth=3 if preset.generator == "resunet" else 4, width=8, d_width=16,
        dropout=0.0, lr_g=RATE * preset.lr_g, lr_d=RATE * preset.lr_d, precision="fp32", steps=STEPS,
    )  # fmt: skip


def rivals() -> dict[str, Recipe]:
    """All that take part, by name."""
    extra = {
        "pix2pix, as long": small("pix2pix").replace(steps=LONG),
        "wgan, lambda 100": small("wgan").replace(lambda_l1=100.0),
    }
    return {name: small(name) for name in PRESETS} | extra


def edges(held_out: scenes.Scenes) -> Bool[Tensor, "b h w"]:
    """Pixels whose right-hand neighbour has another true colour, and neither lies on or beside a balloon or roof."""
    free = (held_out.codes >= scenes.BALLOON_CODE)[:, None].float()
    known = nn.functional.max_pool2d(free, 3, 1, 1)[:, 0] == 0
    jump = held_out.true_ab.diff(dim=3).norm(dim=1) > EDGE
    return jump & known[..., 1:] & known[..., :-1]


def sharpness(ab: Float[Tensor, "b 2 h w"], held_out: scenes.Scenes) -> float:
    """How much of the true step in colour a prediction makes at edges: 1 as sharp as the truth, 0 no step at all.

    The slope of a line through 0 of predicted on true differences, where L tells the colour on both sides.
    """
    on = edges(held_out)[:, None].expand(-1, 2, -1, -1)
    true, predicted = (colours.diff(dim=3)[on] for colours in (held_out.true_ab, ab))
    return ((predicted * true).sum() / true.square().sum()).item()


def train(recipe: Recipe, seed: int) -> Trainer:
    """A run on scenes, all its steps."""
    trainer = Trainer(recipe, open_source("scenes", SIZE), seed=seed, device="cpu")
    for _ in trainer.run():
        pass
    return trainer


def late_share(trainer: Trainer) -> float:
    """`adversarial_share`, the median over the second half of a run; 0 for a run without a discriminator."""
    if trainer.discriminator is None:
        return 0.0
    share = trainer.history["adversarial_share"]
    return float(share.iloc[len(share) // 2 :].median())


def look(generator: nn.Module) -> dict[str, float]:
    """PSNR, CIEDE2000, the scores of scenes and the sharpness on held-out scenes."""
    table = evaluate({"it": generator}, open_source("scenes", SIZE, "val"), n=N_HELD_OUT, progress=False, device="cpu")
    held_out = scenes.draw(range(N_HELD_OUT), SIZE, split="val")
    with torch.no_grad():
        ab = generator.eval()(held_out.L)
    found = scenes.score(ab, held_out)
    names = ("balloon_chroma_ratio", "balloon_hue_concentration", "background_ab_mae")
    row = {column: float(table[column]["it"]) for column in ("psnr", "ciede2000")}
    return {**row, **{name: found[name] for name in names}, "sharpness": sharpness(ab, held_out)}


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train and look. `cpu_seconds` is what the training cost, on one thread."""
    started = time.process_time()
    trainer = train(rivals()[str(setting["name"])], seed)
    seconds = time.process_time() - started
    return {**look(trainer.averaged_generator), "adversarial_share": late_share(trainer), "cpu_seconds": seconds}


def _settings() -> list[Setting]:
    return [{"name": name, "steps": r.steps, "recipe": r.fingerprint} for name, r in rivals().items()]


EXPERIMENT = Experiment(name="rivals", settings=_settings(), seeds=(0, 1, 2), measure=measure)
