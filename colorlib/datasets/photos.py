"""The colour photographs inside the scikit-image package. A generator can be seen to learn on them without a download.

Each photograph is cut into vertical bands, and each band belongs to one split. A crop never reaches into another band.
The held-out bands still show the same things in the same light as the bands for training. They are a fair check that a
generator learns, but do not measure how well it colours other photographs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from colorlib.datasets.base import check_indices, description, digest
from colorlib.datasets.pictures import content_hash

PICTURES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
# The bands from left to right: split, left edge and right edge. The edges are shares of the photograph's width.
BANDS = (("train", 0.0, 0.36), ("test", 0.36, 0.56), ("train", 0.56, 0.90), ("val", 0.90, 1.0))
# For each split, the sides of its crops as shares of the band's width, and the distance of neighbouring crops as a
# share of their side.
CROPS = {"train": ((1.0, 0.75, 0.55), 0.2), "val": ((1.0,), 0.5), "test": ((1.0,), 0.5)}


@dataclass(frozen=True)
class Crop:
    """A square in photograph number `picture`: its left and top edges and its side in pixels."""

    picture: int
    left: float
    top: float
    side: float


@dataclass(frozen=True)
class PhotoSource:
    """Crops of the photographs in scikit-image. They are resized when `images` is called."""

    split: str
    size: int
    crops: tuple[Crop, ...] = field(repr=False)
    name: str = field(default="photos", init=False)
    endless: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.crops)

    def images(self, indices: Sequence[int]) -> UInt8[Tensor, "b 3 size size"]:
        pixels = [self._pixels(self.crops[i]) for i in check_indices(indices, len(self))]
        return torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())

    def describe(self) -> dict[str, Any]:
        """Describe the source. The fingerprint is a hash of the crops and of the files that they are cut from."""
        contents = [content_hash(_file(name).read_bytes()) for name in PICTURES]
        note = "held-out regions of the same pictures" if self.split != "train" else "regions of five pictures"
        return description(self, digest([self.split, *self.crops, *contents])) | {
            "note": note,
            "pictures": list(PICTURES),
        }

    def _pixels(self, crop: Crop) -> np.ndarray:
        box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
        picture = _pictures()[crop.picture]
        return np.asarray(picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box))


def open_photos(side: int, split: str) -> PhotoSource:
    """Open the crops of a split as squares of `side` px, evenly spread over scikit-image's colour photographs."""
    crops = [crop for i, picture in enumerate(_pictures()) for crop in _crops(i, picture.width, picture.height, split)]
    return PhotoSource(split, side, tuple(crops))


def _crops(number: int, width: int, height: int, split: str) -> list[Crop]:
    """All crops of one photograph that lie inside the bands of a split. The crops of each size form a grid."""
    shares, stride = CROPS[split]
    found = []
    for band, start, end in BANDS:
        left, right = np.ceil(start * width), np.floor(end * width)
        sides = [min(share * (right - left), height) for share in shares] if band == split else []
        for side in sides:
            rows, columns = _grid(0, height, side, stride), _grid(left, right, side, stride)
            found += [Crop(number, x, y, side) for y in rows for x in columns]
    return found


def _grid(start: float, end: float, side: float, stride: float) -> list[float]:
    """Where crops begin between `start` and `end`: evenly spaced, about `stride` times `side` apart."""
    room = end - start - side
    return [float(x) for x in np.linspace(start, start + room, 1 + round(room / (stride * side)))]


def _file(name: str) -> Any:
    """A file inside the installed package. It is opened directly, because scikit-image's loaders may download files."""
    return files("skimage.data").joinpath(name)


@functools.cache
def _pictures() -> tuple[Image.Image, ...]:
    """The photographs, decoded once for each process. Together they have about 1.2 megapixels."""
    decoded = []
    for name in PICTURES:
        with _file(name).open("rb") as file, Image.open(file) as image:
            decoded.append(image.convert("RGB"))
    return tuple(decoded)
