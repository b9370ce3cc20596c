"""The measurements of a training: a record for each step, read lazily, and the table of all records."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from colorlib import distributed
from colorlib.errors import CheckpointError, RunError, TrainingDiverged
from colorlib.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("l1", "d_loss", "penalty", "g_adversarial", "g_loss")
TIMING_COLUMNS = ("images_per_second", "seconds")
DIVERGED = 3.0  # dB below grey; a generator without any training is not as bad as this


class Record(Mapping[str, float]):
    """The measurements of one step, by name. The numbers stay on the device until the first of them is read.

    `images` is the number of images in all batches of the step, over all processes.
    """

    def __init__(self, step: int, values: dict[str, Tensor | float], images: int = 0) -> None:
        self.step, self.images, self._values = step, images, values

    def _read(self) -> dict[str, Tensor | float]:
        # All numbers are copied together, because each copy from a GPU waits until the GPU has finished its work.
        waiting = [name for name, value in self._values.items() if isinstance(value, Tensor)]
        if waiting:
            numbers = torch.stack([torch.as_tensor(self._values[name]).float() for name in waiting])
            self._values |= dict(zip(waiting, numbers.tolist(), strict=True))
        return self._values

    def __getitem__(self, name: str) -> float:
        return float(self._read()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def as_dict(self) -> dict[str, float]:
        """Return the step and all values as numbers."""
        return {"step": self.step, **{name: self[name] for name in self}}

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{name}={value:.4g}' for name, value in self.as_dict().items())})"


class History:
    """The rows of a run: pending records on the device, finished rows in memory, and RUN/history.csv if there is one.

    Args:
        columns: the names in a fixed order. The header of the file is written before the first row exists.
        path: the file, or None. Only the main process writes it.
    """

    def __init__(self, columns: Sequence[str], path: Path | None = None) -> None:
        self.columns, self.path = list(columns), path
        self.rows: list[dict[str, float]] = []
        self._pending: list[Record] = []

    def append(self, record: Record) -> None:
        """Add a record without reading its numbers."""
        self._pending.append(record)

    def frame(self) -> pd.DataFrame:
        """Return a table with a row for each step and a column for each measure; NaN where it was not computed."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=self.columns)

    def flush(self, device: torch.device) -> None:
        """Read the pending numbers from the device, average them over the processes, check and write them.

        Raises TrainingDiverged if a loss is NaN or infinite. The row of this step and later rows are dropped.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = [_over_processes(record.as_dict(), device) for record in pending]
        before = self.rows[-1]["seconds"] if self.rows else 0.0
        speed = sum(record.images for record in pending) / max(rows[-1]["seconds"] - before, 1e-9)
        # The rows before a loss that is not finite are kept and written, so that the user can see how it grew.
        good = []
        try:
            for row in rows:
                _check_finite(row)
                good.append({**row, "images_per_second": speed})
        finally:
            self.rows += good
            self._append_to_file(good)

    def _append_to_file(self, rows: list[dict[str, float]]) -> None:
        if self.path is not None and distributed.rank() == 0:
            try:
                with open(self.path, "a", newline="") as file:
                    csv.DictWriter(file, self.columns, restval="").writerows(rows)
            except OSError as error:
                why = error.strerror or error
                raise RunError(f"cannot write {self.path}: {why}; resume the run when this is mended") from error

    def write(self) -> None:
        """Write the whole file again: the header and all rows so far."""
        if self.path is None or distributed.rank() != 0:
            return
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomic(self.path, text.getvalue().encode())

    def read(self, last_step: int) -> None:
        """Read the rows of the file up to `last_step`, the step of the checkpoint.

        If the process was killed while it wrote a line, this line is after the checkpoint and is dropped. Raises
        CheckpointError if the file is not a table of numbers with these columns.
        """
        if self.path is None or not self.path.is_file():
            return
        try:
            with open(self.path, newline="") as file:
                rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
            kept = [row for row in rows if row["step"].isdecimal() and int(row["step"]) <= last_step]
            self.rows = [{k: int(v) if k == "step" else float(v) for k, v in row.items() if v} for row in kept]
            self._check_columns()
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise CheckpointError(f"cannot read {self.path}: {error}; remove the file to go on without it") from error

    def _check_columns(self) -> None:
        for row in self.rows:
            if not {"step", "seconds"} <= row.keys() <= set(self.columns):
                raise ValueError(f"expected the columns {', '.join(self.columns)}, got {', '.join(row)}")


def _over_processes(row: dict[str, float], device: torch.device) -> dict[str, float]:
    """Return the mean of each number over the processes. Only the main process validates: `val_*` do not change."""
    if distributed.world_size() == 1:
        return row
    names = [name for name in row if not name.startswith("val_")]
    # fp64 would be more exact, but MPS does not support it.
    means = distributed.mean(torch.tensor([row[name] for name in names], device=device))
    return row | dict(zip(names, means.tolist(), strict=True)) | {"step": row["step"]}


def _check_finite(row: dict[str, float]) -> None:
    for name in LOSSES:
        if name in row and not math.isfinite(row[name]):
            raise TrainingDiverged(
                f"{name} became {row[name]} at step {row['step']:.0f}; the last good checkpoint, if any, is kept. "
                "Try lower learning rates, precision fp32, or another seed"
            )


def compare_with_grey(psnr: float, grey: float) -> str:
    """Say whether predictions are nearer to the truth than grey (both PSNR in dB), and if not, what to do.

    This finds a divergence without NaN: the tanh at the end of a generator saturates, and its losses stay finite.
    """
    if psnr >= grey:
        return f"the pictures are nearer to the truth than grey: {psnr:.1f} dB against {grey:.1f}"
    worse = f"the pictures are worse than grey: {psnr:.1f} dB against {grey:.1f}"
    if grey - psnr > DIVERGED:
        return f"{worse}; the training has diverged, start a new one with lower learning rates (lr_g, lr_d)"
    return f"{worse}; wait, or lower both learning rates"
