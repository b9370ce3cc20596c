"""The L and ab arrays of shravankumar9892/image-colorization on Kaggle: 25,000 photographs of 224 x 224 px.

`l/gray_scale.npy` holds the grey channel of all photographs. `ab/ab/ab1.npy` to `ab3.npy` hold the ab of 10,000, 10,000
and 5,000 of them, in the same order. In some copies of the set these files are `ab/ab1.npy` to `ab/ab3.npy`. All arrays
are uint8 in OpenCV's encoding of Lab: L* 255 / 100, a* + 128 and b* + 128. The arrays are memory-mapped, so that only
the photographs of a batch are read.
"""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from colorlib.color import lab_to_rgb, to_uint8
from colorlib.datasets.base import check_indices, description, digest
from colorlib.datasets.lightness import Evidence, Lightness, evidence, luma_to_lightness
from colorlib.errors import DataError, one_line

GET_IT = "kaggle datasets download shravankumar9892/image-colorization --unzip -p PATH"
PARTS = ("ab1.npy", "ab2.npy", "ab3.npy")
# The splits are ranges of the index: of the full set 22,500 for training, 1,250 for validation and 1,250 for test.
CUTS = {"train": (0.0, 0.90), "val": (0.90, 0.95), "test": (0.95, 1.0)}
# How many photographs, and how many of their colours, are examined to find out whether gray_scale is L* or luma.
EXAMINED_PHOTOGRAPHS = 32
EXAMINED_COLOURS = 8000


@dataclass(frozen=True)
class KaggleSource:
    """Photographs that are decoded from `gray` and ab when `images` is called.

    The `parts` hold the ab of the photographs in the order of `gray`, one part after the other.
    """

    name: str
    split: str
    size: int
    gray: np.ndarray = field(repr=False)
    parts: tuple[np.ndarray, ...] = field(repr=False)
    lightness: Lightness
    evidence: Evidence
    endless: bool = field(default=False, init=False)

    def __len__(self) -> int:
        first, end = self._range()
        return end - first

    def images(self, indices: Sequence[int]) -> UInt8[Tensor, "b 3 size size"]:
        rows = check_indices(indices, len(self)) + self._range()[0]
        images = decode(self.gray[rows], self._ab(rows), self.lightness)
        if images.shape[-1] == self.size:
            return images
        side = (self.size, self.size)
        resized = interpolate(images.float(), side, mode="bicubic", antialias=True, align_corners=False)
        return to_uint8(resized / 255)

    def describe(self) -> dict[str, Any]:
        """Describe the source. The fingerprint is a hash of the arrays' shapes and of 16 photographs of the split.

        A hash of all photographs would mean reading 3.5 GiB.
        """
        rows = np.linspace(*self._range(), 16, endpoint=False).astype(np.int64)
        content = zlib.crc32(self._ab(rows).tobytes(), zlib.crc32(self.gray[rows].tobytes()))
        shapes = [array.shape for array in (self.gray, *self.parts)]
        said = "unknown, taken as L*" if self.lightness == "unknown" else self.lightness
        return description(self, digest([self.split, self.lightness, content, *shapes])) | {
            "stored_size": self.gray.shape[1],
            "lightness": said,
            "lightness_evidence": vars(self.evidence),
        }

    def _range(self) -> tuple[int, int]:
        """The first row of the split in `gray`, and the row after its last one."""
        first, end = (round(share * len(self.gray)) for share in CUTS[self.split])
        return first, end

    def _ab(self, rows: np.ndarray) -> np.ndarray:
        """The ab of the photographs at these rows of `gray`, read from the part that holds each one."""
        ends = np.cumsum([len(part) for part in self.parts])
        which = np.searchsorted(ends, rows, side="right")
        starts = np.concatenate([[0], ends])
        return np.stack([self.parts[p][row - starts[p]] for p, row in zip(which, rows, strict=True)])


def decode(
    gray: UInt8[np.ndarray, "b h w"], ab: UInt8[np.ndarray, "b h w 2"], lightness: Lightness = "L*"
) -> UInt8[Tensor, "b 3 h w"]:
    """Convert OpenCV's 8-bit Lab, or luma with 8-bit ab, to sRGB. Colours outside the gamut are clipped."""
    # OpenCV documents its 8-bit encoding under cv::cvtColor, RGB to CIE L*a*b*: L * 255 / 100, a + 128, b + 128.
    L = luma_to_lightness(gray, ab) if lightness == "luma" else gray * np.float32(100 / 255)
    lab = np.concatenate([L[:, None].astype(np.float32), ab.transpose(0, 3, 1, 2).astype(np.float32) - 128], axis=1)
    return to_uint8(lab_to_rgb(torch.from_numpy(lab)))


def open_kaggle(path: str | Path, side: int, split: str, *, lightness: Lightness | None = None) -> KaggleSource:
    """Open the set in `path`, or at most two folders below it, as squares of `side` px, split by index.

    `lightness` says whether gray_scale is L* or luma. With None this is found out from the colours. If they do not
    tell, gray_scale is used as L*, with a warning.

    Raises FileNotFoundError if the set or a part of it is missing. Raises DataError, which names the part, if a part is
    truncated or has another shape or type.
    """
    base = _find(Path(path).expanduser())
    gray = _map(base / "l" / "gray_scale.npy", ("n", "side", "side"))
    places = [_find_part(base, name) for name in PARTS]
    parts = tuple(_map(place, ("n", *gray.shape[1:], 2)) for place in places)
    _check_counts(gray, parts, places)
    source = KaggleSource(f"kaggle:{path}", split, side, gray, parts, lightness or "unknown", Evidence())
    if len(source) == 0:
        raise DataError(f"{base} holds {len(gray)} photographs, but the three splits need at least 20")
    if lightness is not None:
        return source
    found = _examine(source)
    _report(source.name, found)
    return KaggleSource(source.name, split, side, gray, parts, found.verdict, found)


def _examine(source: KaggleSource) -> Evidence:
    """Count the evidence for L* and for luma on photographs from the whole set, so that all splits get the same answer.

    Every third pixel of a photograph is enough, because neighbouring pixels have nearly the same colour.
    """
    n = len(source.gray)
    rows = np.linspace(0, n, min(n, EXAMINED_PHOTOGRAPHS), endpoint=False).astype(np.int64)
    return evidence(source.gray[rows][:, ::3, ::3], source._ab(rows)[:, ::3, ::3], EXAMINED_COLOURS)


def _report(name: str, found: Evidence) -> None:
    """Log whether gray_scale is L* or luma. Warn if the colours do not tell."""
    counts = (
        f"of {found.colours} colours {found.outside_if_lstar} are outside the gamut if it is L*, "
        f"{found.outside_if_luma} if it is luma"
    )
    if found.verdict == "unknown":
        warnings.warn(
            f"{name}: cannot tell whether gray_scale is L* or luma ({counts}); it is used as L*", stacklevel=4
        )
    logging.getLogger("colorlib").info("%s: gray_scale is %s (%s)", name, found.verdict, counts)


def _find(path: Path) -> Path:
    """Find the folder that holds the folders `l` and `ab`: `path`, or a folder at most two levels below it."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder with the Kaggle set; get it with: {GET_IT}")
    for pattern in ("", "*", "*/*"):
        for base in sorted(path.glob(pattern)) if pattern else [path]:
            if any(place.is_file() for place in (base / "l" / "gray_scale.npy", *_part_places(base, PARTS[0]))):
                return base
    raise FileNotFoundError(f"{path} holds neither l/gray_scale.npy nor ab/ab/ab1.npy; get the set with: {GET_IT}")


def _part_places(base: Path, name: str) -> tuple[Path, Path]:
    return base / "ab" / "ab" / name, base / "ab" / name


def _find_part(base: Path, name: str) -> Path:
    nested, flat = _part_places(base, name)
    if nested.is_file() or flat.is_file():
        return nested if nested.is_file() else flat
    raise FileNotFoundError(f"{name} is missing: it is neither {nested} nor {flat}; get it with: {GET_IT}")


def _map(path: Path, expected: tuple[int | str, ...]) -> np.ndarray:
    """Open a file as a memory-mapped uint8 array and check its shape.

    In `expected`, a name such as "side" stands for any number, but for the same number wherever it occurs.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; get it with: {GET_IT}")
    shape, dtype, start = _header(path)
    got, needed = path.stat().st_size, start + math.prod(shape) * dtype.itemsize
    if got < needed:
        raise DataError(f"{path} is truncated: expected {needed} bytes for {dtype} {shape}, got {got}; get it again")
    if dtype != np.uint8 or not _fits(shape, expected) or min(shape) < 1:
        wanted = ", ".join(map(str, expected))
        raise DataError(f"{path}: expected uint8 of shape ({wanted}), got {dtype} of shape {shape}")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _fits(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    """Whether a shape is the expected one, in which a name stands for any number."""
    named: dict[str, int] = {}
    return len(shape) == len(expected) and all(
        got == (named.setdefault(want, got) if isinstance(want, str) else want)
        for got, want in zip(shape, expected, strict=True)
    )


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Read the header of a .npy file: the shape, the type, and the position of the first number in the file."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with path.open("rb") as file:
            shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
            return shape, dtype, file.tell()
    except Exception as error:  # numpy parses the header as Python text, so a damaged one may raise any exception
        why = one_line(error)[:200]
        raise DataError(f"{path} ({path.stat().st_size} bytes) is not a .npy file: {why}; get it again") from error


def _check_counts(gray: np.ndarray, parts: tuple[np.ndarray, ...], places: list[Path]) -> None:
    """Raise DataError if the parts together do not hold as many photographs as gray_scale.

    The published parts hold two fifths, two fifths and one fifth of the set. The parts that differ from this are named.
    """
    n = len(gray)
    counts = [len(part) for part in parts]
    if sum(counts) == n:
        return
    published = [2 * n // 5, 2 * n // 5, n - 4 * n // 5]
    odd = [i for i in range(len(parts)) if counts[i] != published[i]]
    named = "; ".join(f"{places[i]}: expected {published[i]} photographs, got {counts[i]}" for i in odd)
    raise DataError(f"gray_scale.npy holds {n} photographs, but the parts of ab hold {sum(counts)}: {named}")
