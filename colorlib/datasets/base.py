"""The interface of a source (a numbered set of square uint8 images that can describe itself) and its simplest form."""

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
    """A set of square images. An object with these six members can be used for training and evaluation.

    A class need not inherit from it. `Protocol` only lists the members that an object must have.
    """

    @property
    def name(self) -> str:
        """The spec that opened the source, for example `folder:photos`."""

    @property
    def size(self) -> int:
        """Side of a stored image in pixels. It may be larger than the training size, to leave room for crops."""

    @property
    def split(self) -> str:
        """`train`, `val` or `test`."""

    @property
    def endless(self) -> bool:
        """True if every index >= 0 gives a new image. `len` is then only the length of an epoch."""

    def __len__(self) -> int: ...

    def images(self, indices: Sequence[int]) -> UInt8[Tensor, "b 3 size size"]:
        """Return the images at `indices`, sRGB 0..255. Raises IndexError for an index that is not in the source."""

    def describe(self) -> dict[str, Any]:
        """Describe the source in values that JSON can store.

        The keys are spec, split, size, n, endless, fingerprint (a hash of the content) and others.
        A resumed run compares the fingerprint, so that it does not continue on other data.
        """


@dataclass(frozen=True)
class ArraySource:
    """A source whose images are stored in one array, usually a memory-mapped file.

    Image i of the source is `array[rows[i]]`. `array` has the shape (n, 3, size, size).
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
    """The part of `describe()` that is the same for all sources."""
    return {
        "spec": source.name,
        "split": source.split,
        "size": source.size,
        "n": len(source),
        "endless": source.endless,
        "fingerprint": fingerprint,
    }


def digest(parts: Iterable[object]) -> str:
    """A short hash of the `repr` of the parts. It is the same on every machine."""
    text = "\n".join(map(repr, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def check_split(split: str) -> None:
    """Raise ValueError if `split` is not the name of a split."""
    if split not in SPLITS:
        raise ValueError(f"the split must be one of {', '.join(SPLITS)}, got {split!r}")


def check_for_training(source: Source) -> None:
    """Raise ValueError for a source whose attribute `for_training` is False, such as the gallery.

    A source without this attribute may be used for training.
    """
    if not getattr(source, "for_training", True):
        raise ValueError(
            f"{source.name} is only for showing results, so it is not used for training or validation; "
            "choose another source, for example folder:PATH"
        )


def check_indices(indices: Sequence[int], n: int | None) -> np.ndarray:
    """Return `indices` as int64. Raises IndexError unless all are in 0..n-1 (or >= 0, if `n` is None)."""
    rows = np.asarray(indices, dtype=np.int64).reshape(-1)
    wrong = rows[(rows < 0) | (rows >= n)] if n is not None else rows[rows < 0]
    if len(wrong):
        raise IndexError(f"expected an index from 0 {'upwards' if n is None else f'to {n - 1}'}, got {wrong[0]}")
    return rows
