"""The two modes of a notebook: quick for any laptop, full for a machine with a GPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from colorlib.course.setup import platform, storage
from colorlib.datasets import Source, open_source
from colorlib.datasets.published import SETS, download, is_on_disk
from colorlib.devices import pick_device
from colorlib.errors import ColorlibError, DataError

Mode = Literal["quick", "full"]
KAGGLE_INPUT = Path("/kaggle/input")


@dataclass(frozen=True)
class Config:
    """The settings of a notebook.

    `out` is the folder for runs. `step_limit` ends every full-mode training after so many steps, for tests; None: no
    limit. `data` names the real photographs (a spec of `open_source`); None: see `find_photographs`.
    """

    mode: Mode
    seed: int
    device: torch.device
    out: Path
    long: bool = False
    data: str | None = None
    step_limit: int | None = None

    @property
    def full(self) -> bool:
        """Whether the sections on real photographs run."""
        return self.mode == "full"

    def steps(self, steps: int) -> int:
        """`steps`, or the step limit if that is less."""
        return steps if self.step_limit is None else min(steps, self.step_limit)

    def photographs(self, size: int, split: str = "train") -> Source:
        """Real photographs for full mode: `data`, or else those of `find_photographs`.

        Raises DataError, which says what to do, if they cannot be read or downloaded.
        """
        spec = self.data or find_photographs()
        try:
            if spec in SETS and not is_on_disk(spec):
                print(f"downloading {spec}, once: {SETS[spec].size}")
                download(spec)
            return open_source(spec, size, split, progress=False)
        except (ColorlibError, ValueError, OSError) as error:
            raise DataError(
                f"expected photographs of {spec}, got none ({error}); "
                'try configure(data="folder:PATH") with your own, or configure(mode="quick"), which needs none'
            ) from error


def find_photographs() -> str:
    """The spec of the Kaggle L/ab set if it is attached, else `flowers102`, which is downloaded once."""
    if platform() == "kaggle":
        for lightness in sorted(KAGGLE_INPUT.rglob("gray_scale.npy")):
            return f"kaggle:{lightness.parent.parent}"
    return "flowers102"


def configure(
    mode: str | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    data: str | None = None,
    long: bool = False,
) -> Config:
    """Choose the mode and print it. An environment variable replaces an argument that is not given.

    Args:
        mode: "quick" or "full"; "auto" is full with a GPU (COLORLIB_MODE).
        data: photographs for full mode, such as "folder:PATH" (COLORLIB_PHOTOS).
        out: the folder of the runs (COLORLIB_RUNS).
        long: lift the limit of 15 minutes on a training.

    COLORLIB_STEP_LIMIT ends each full-mode training after so many steps. Raises ValueError for another mode.
    """
    chosen = mode or os.environ.get("COLORLIB_MODE") or "auto"
    if chosen not in ("auto", *get_args(Mode)):
        where = "" if mode else " in COLORLIB_MODE"
        raise ValueError(f'expected the mode "auto", "quick" or "full"{where}, got {chosen!r}')
    picked = pick_device(device)
    has_gpu = picked.type != "cpu"
    folder = Path(out or os.environ.get("COLORLIB_RUNS") or storage())
    config = Config(
        mode=("full" if has_gpu else "quick") if chosen == "auto" else chosen,  # type: ignore[arg-type]
        seed=seed,
        device=picked,
        out=folder,
        long=long,
        data=data or os.environ.get("COLORLIB_PHOTOS"),
        step_limit=_step_limit(),
    )
    print(f"{config.mode} mode on {picked}, seed {seed}; runs are kept in {folder}")
    if config.full and not has_gpu:
        print('full mode without a GPU takes hours for what takes minutes with one; try configure(mode="quick")')
    return config


def _step_limit() -> int | None:
    text = os.environ.get("COLORLIB_STEP_LIMIT", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"expected a number of steps of at least 1 in COLORLIB_STEP_LIMIT, got {text!r}")
    return int(text)
