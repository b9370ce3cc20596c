"""What a source of photographs is: a numbered set of square uint8 pictures that can say what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

SPLITS = ("train", "val", "test")


@runtime_checkable
class Source(Protocol):
    """A set of square pictures. Anything with these six members can be trained on and evaluated."""

    @property
    def name(self) -> str:
        """The spec that opened it, e.g. `folder:photos`."""

    @property
    def size(self) -> int:
        """Side of a stored picture in pixels."""

    @property
    def split(self) -> str:
        """`train`, `val` or `test`."""

    @property
    def endless(self) -> bool:
        """True if every index >= 0 is a fresh picture; `len` is then a nominal epoch."""

    def __len__(self) -> int: ...

    def images(self, indices: Sequence[int]) -> UInt8[Tensor, "b 3 size size"]:
        """The pictures at `indices`, sRGB 0..255. Raises IndexError outside the source."""

    def describe(self) -> dict[str, Any]:
        """What it is, ready for JSON: spec, split, size, n, endless, a fingerprint of the content, and more."""


@dataclass(frozen=True)
class ArraySource:
    """A source whose pictures lie ready in one array, usually a memory-mapped file.

    `rows[i]` is the row of `array` (rows, 3, size, size) that holds picture i.
    """

    name: str
    split: str
    array: np.ndarray
    rows: np.ndarray
    fingerprint: str
    details: dict[str, Any] = field(default_factory=dict)
    endless: bool = False

    @property
    def size(self) -> int:
        return int(self.array.shape[-1])

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, indices: Sequence[int]) -> UInt8[Tensor, "b 3 size size"]:
        return torch.from_numpy(np.array(self.array[self.rows[check_indices(indices, len(self))]]))

    def describe(self) -> dict[str, Any]:
        return description(self, self.fingerprint) | self.details


def description(source: Source, fingerprint: str) -> dict[str, Any]:
    """The part of `describe()` that all sources share."""
    return {
        "spec": source.name,
        "split": source.split,
        "size": source.size,
        "n": len(source),
        "endless": source.endless,
        "fingerprint": fingerprint,
    }


def digest(parts: Iterable[object]) -> str:
    """A short hash of the printed parts, the same on every machine."""
    text = "\n".join(map(repr, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def check_split(split: str) -> None:
    """Raise ValueError unless `split` is one of the three."""
    if split not in SPLITS:
        raise ValueError(f"expected split {', '.join(SPLITS)}, got {split!r}")


def check_for_training(source: Source) -> None:
    """Raise ValueError for a source whose `for_training` is False, such as the gallery. Other sources need no such
    attribute."""
    if not getattr(source, "for_training", True):
        raise ValueError(
            f"{source.name} is only for showing results, so it is not used for training or validation; "
            "choose another source, for example folder:PATH"
        )


def check_indices(indices: Sequence[int], n: int | None) -> np.ndarray:
    """`indices` as int64, all inside 0..n-1 (`n` None: any index >= 0)."""
    rows = np.asarray(indices, dtype=np.int64).reshape(-1)
    wrong = rows[(rows < 0) | (rows >= n)] if n is not None else rows[rows < 0]
    if len(wrong):
        raise IndexError(f"expected an index from 0 to {'...' if n is None else n - 1}, got {wrong[0]}")
    return rows
