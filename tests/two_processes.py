"""What test_distributed starts on two processes: each recipe from its beginning, and on from a run of one process.

Everything happens in one launch, for each costs seconds. What must come out is decided there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pandas as pd
import torch

from colorlib import checkpoints, cli, distributed, history, memory, steps, training
from colorlib.datasets import open_source
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

STEPS = 3
# Norm layers that see one image at a time, no dropout: then nothing depends on how a batch is shared.
SEPARATE = {
    "generator": "resunet", "width": 8, "d_width": 8, "dropout": 0.0, "norm": "instance", "g_norm": "layer",
    "size": 16, "batch_size": 8, "precision": "fp32", "lambda_l1": 10.0, "steps": STEPS,
}  # fmt: skip
TWO = {
    "pix2pix": RECIPES["pix2pix"].replace(**SEPARATE),
    "wgan-gp": RECIPES["wgan-gp"].replace(**SEPARATE, n_critic=2, tone=0.5),
    "in parts": RECIPES["wgan-gp"].replace(**SEPARATE, n_critic=2, tone=0.5, accumulate=2),
}
DRAWN = RECIPES["wgan-gp"].replace(**{**SEPARATE, "steps": 1}, n_critic=2)
COMMAND = "train --recipe l1 --size 16 --width 4 --depth 2 --batch-size auto --steps 1 --device cpu --precision fp32"
FITS = 4  # what the command finds to fit one process


@contextmanager
def drawn_numbers() -> Iterator[None]:
    """The penalty becomes the mean of the numbers that it draws.

    The true one hardly depends on them: a young critic is nearly linear, and has the same gradient everywhere.
    """
    true = steps.gradient_penalty

    def penalty(critic, L, real_ab, fake_ab, *, rng):
        return 0 * true(critic, L, real_ab, fake_ab, rng=rng.clone_state()) + torch.rand(len(L), generator=rng).mean()

    with mock.patch.object(steps, "gradient_penalty", penalty):
        yield


def train(recipe: Recipe, out: Path | None = None) -> pd.DataFrame:
    trainer = Trainer(recipe, open_source("scenes", 16), out=out, seed=1, device="cpu")
    for _ in trainer.run():
        pass
    return trainer.history


def go_on(run: Path) -> None:
    """To twice as many steps."""
    for _ in Trainer.resume(run, device="cpu", steps=2 * STEPS).run():
        pass


def _never(*_: object, **__: object) -> None:
    raise AssertionError("only the main process writes")


def main(folder: Path) -> None:
    distributed.join(torch.device("cpu"))
    assert distributed.world_size() == 2
    if distributed.rank():
        for name in ("save_checkpoint", "save_generator", "write_atomic", "remove_run"):
            setattr(checkpoints, name, _never)
        training.write_atomic = history.write_atomic = _never
    for name, recipe in TWO.items():
        train(recipe, folder / name)
    with drawn_numbers():
        train(DRAWN, folder / "drawn")
    go_on(folder / "one")
    # The second process has less memory: both must take what fits it. The command leaves the group, so it comes last.
    memory.largest_batch = lambda *_, **__: FITS * (2 - distributed.rank())
    assert cli.main([*COMMAND.split(), "--out", str(folder / "auto")]) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
