"""What a part of the benchmarks is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Row, on_gpu
from colorlib.devices import cpu_has_bf16


@dataclass(frozen=True)
class Job:
    """Where to measure, with what, and for how long."""

    device: torch.device
    scratch: Path
    photos: str | None = None
    quick: bool = False
    """Sizes and times so small that all of it takes seconds: for tests, the figures mean nothing."""

    @property
    def gpu(self) -> bool:
        return on_gpu(self.device)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that this device computes natively; tf32 is fp32 whose products are rounded to 10 bits."""
        if self.gpu:
            ampere = torch.cuda.get_device_capability(self.device)[0] >= 8
            return ("fp32", "tf32", "fp16", "bf16") if ampere else ("fp32", "fp16")
        return ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)


@dataclass
class Result:
    """A table, what its columns mean, and figures that other parts may want."""

    rows: list[Row]
    about: str
    unit: str = ""
    """Of the columns `baseline` and `ours`."""
    picture: dict[str, str] = field(default_factory=dict)
    """`file` in the folder of results, `alt` and `caption`."""
    png: bytes = b""
    points: list[Row] = field(default_factory=list)
    """The figures behind the table, for the file alone."""

    def table(self) -> list[Row]:
        """The rows, with the unit in the headings."""
        names = {name: f"{name}, {self.unit}" for name in ("baseline", "ours") if self.unit}
        return [{names.get(name, name): value for name, value in row.items()} for row in self.rows]

    def to_json(self, measured: str) -> dict[str, Any]:
        content: dict[str, Any] = {"about": self.about, "measured": measured, "rows": self.table()}
        return content | {name: more for name in ("picture", "points") if (more := getattr(self, name))}


Part = Callable[[Job, float], Result]
"""Takes the job and the seconds that it should stay within."""
