"""What the golden files hold, computed by the present code: `python tests/golden/measure.py` writes them anew.

They were recorded before the package was reorganised. `test_golden.py` compares with them, so that moving code, and
cutting it, is seen to change nothing that a user gets.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from colorlib import RECIPES, Colorizer, Recipe, Trainer, evaluate
from colorlib.cli import main
from colorlib.datasets import open_source
from colorlib.datasets.base import ArraySource

HERE = Path(__file__).parent
COMMANDS = ("demo", "train", "resume", "colorize", "evaluate", "data", "doctor", "export")
STEPS, RUN_STEPS = 20, 3
SIZES = {"scene": (64, 64), "wide": (40, 150), "tall": (151, 33), "alpha": (70, 50)}


def source() -> ArraySource:
    """Twelve coloured squares that are computed without rounding that could differ from machine to machine."""
    y, x = np.mgrid[0:18, 0:18]
    images = np.stack([[40 + 9 * i + 3 * y, 200 - 8 * i + x, 30 + 15 * i + 2 * x] for i in range(12)])
    return ArraySource("golden", "train", images.clip(0, 255).astype(np.uint8), np.arange(12), fingerprint="golden")


def recipe(name: str) -> Recipe:
    """A preset with networks that train in milliseconds; the one on a backbone as it was in the first edition."""
    preset = RECIPES[name]
    if name == "backbone-pix2pix":
        preset = RECIPES["pix2pix"].replace(name=name, generator="backbone", dropout=0.0)
    return preset.replace(size=16, width=4, d_width=4, batch_size=4, steps=STEPS, precision="fp32")


def training(name: str) -> dict[str, Any]:
    """The losses of twenty steps of a preset, and the sums of the weights' magnitudes that they lead to."""
    trainer = Trainer(recipe(name), source(), device="cpu")
    for _ in trainer.run():
        pass
    table = trainer.history.drop(columns=["seconds", "images_per_second"])
    history = {name: [None if np.isnan(v) else round(v, 7) for v in values] for name, values in table.items()}
    weights = {key: float(value.double().abs().sum()) for key, value in trainer.generator.state_dict().items()}
    return {"history": history, "weights": {key: float(f"{value:.7g}") for key, value in weights.items()}}


def photograph(name: str) -> np.ndarray:
    """A picture with edges and ramps, H x W x 3 (4 for `alpha`)."""
    height, width = SIZES[name]
    y, x = np.mgrid[0:height, 0:width]
    grey = (60 + 2 * y + x) % 256
    disc = (y - height // 2) ** 2 + (x - width // 2) ** 2 < (min(height, width) // 3) ** 2
    channels = [np.where(disc, 255 - grey, grey)] * 3 + [(x * 5) % 256] * (name == "alpha")
    return np.stack(channels, 2).astype(np.uint8)


def picture(name: str) -> np.ndarray:
    """A photograph in the colours of the run's weights: one of them with half the strength, one twice averaged."""
    options: dict[str, Any] = {"wide": {"strength": 0.5}, "tall": {"tta": True}}.get(name, {})
    return np.asarray(Colorizer.load(HERE / "run", "cpu").colorize(photograph(name), **options))


def table() -> dict[str, dict[str, float]]:
    """The evaluation of the run's weights on twelve scenes."""
    rows = evaluate(
        {"run": Colorizer.load(HERE / "run", "cpu")},
        open_source("scenes", 64, "val"),
        n=12,
        device="cpu",
        progress=False,
    )
    return {name: row.dropna().to_dict() for name, row in rows.iterrows()}


def flags(command: str) -> list[str]:
    """The flags of a command and their defaults, as its help names them."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main([command, "--help"]) == 0
    lines = [line.strip("│ ") for line in said.getvalue().splitlines()]
    parts = re.split(r"\n(?=--[a-z])", "\n".join(lines))[1:]
    defaults = [
        (re.match(r"[\w-]+", part), re.findall(r"\((?:default|required|repeatable)[^)]*\)+", part)) for part in parts
    ]
    return sorted(" ".join([name[0], *(" ".join(f.split()) for f in found[:1])]) for name, found in defaults if name)


def write_run(folder: Path) -> None:
    """A run of pix2pix that has been stopped after three of its twenty steps."""
    shutil.rmtree(folder, ignore_errors=True)
    trainer = Trainer(
        recipe("pix2pix").replace(ema_decay=0.9), source(), out=folder, device="cpu", save_every=RUN_STEPS
    )
    for _ in trainer.run(steps=RUN_STEPS):
        pass
    (folder / ".lock").unlink()


def resumed(folder: Path) -> dict[str, float]:
    """The sums of the weights' magnitudes after a run in `folder` has gone on to its end."""
    trainer = Trainer.resume(folder, source(), device="cpu")
    for _ in trainer.run():
        pass
    return {key: float(f"{v.double().abs().sum():.7g}") for key, v in trainer.averaged_generator.state_dict().items()}


def record() -> None:
    """Write all golden files."""
    torch.set_num_threads(1)
    write_run(HERE / "run")
    numbers = {
        "training": {name: training(name) for name in RECIPES},
        "table": table(),
        "flags": {command: flags(command) for command in COMMANDS},
    }
    for name in SIZES:
        Image.fromarray(picture(name)).save(HERE / f"{name}.png")
    copy = HERE / "copy"
    shutil.copytree(HERE / "run", copy)
    numbers["resumed"] = resumed(copy)
    shutil.rmtree(copy)
    (HERE / "golden.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(record())
