"""The colour photographs that come inside the scikit-image package: enough to see learning without a download.

One picture gives all three splits: it is cut into vertical bands, and crops never cross from a band of one split into
one of another. So what is held out shows the same things in the same light as what is trained on: a fair check that a
generator learns, and no measure of how it does on other photographs.
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
# Bands from left to right as shares of the width.
BANDS = (("train", 0.0, 0.36), ("test", 0.36, 0.56), ("train", 0.56, 0.90), ("val", 0.90, 1.0))
# Sides of crops as shares of the band's width, and how far the next crop is from the last one, in sides.
CROPS = {"train": ((1.0, 0.75, 0.55), 0.2), "val": ((1.0,), 0.5), "test": ((1.0,), 0.5)}


@dataclass(frozen=True)
class Crop:
    """A square of picture number `picture`: left and top corner and side in pixels."""

    picture: int
    left: float
    top: float
    side: float


@dataclass(frozen=True)
class PhotoSource:
    """Crops of the bundled photographs, resized when asked for."""

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
        """The fingerprint is of the crops and of the files they are cut from."""
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
    """Crops of `split` in squares of `side` px, evenly spread over scikit-image's colour photographs."""
    crops = [crop for i, picture in enumerate(_pictures()) for crop in _crops(i, picture.width, picture.height, split)]
    return PhotoSource(split, side, tuple(crops))


def _crops(number: int, width: int, height: int, split: str) -> list[Crop]:
    """All crops of one picture that lie inside the bands of a split: a grid for each size."""
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
    """Where crops of `side` begin between `start` and `end`: evenly, at most about `stride` sides apart."""
    room = end - start - side
    return [float(x) for x in np.linspace(start, start + room, 1 + round(room / (stride * side)))]


def _file(name: str) -> Any:
    """Inside the installed package; scikit-image's own loaders might go on line for it."""
    return files("skimage.data").joinpath(name)


@functools.cache
def _pictures() -> tuple[Image.Image, ...]:
    """Decoded once a process: about 1.2 megapixels."""
    decoded = []
    for name in PICTURES:
        with _file(name).open("rb") as file, Image.open(file) as image:
            decoded.append(image.convert("RGB"))
    return tuple(decoded)
