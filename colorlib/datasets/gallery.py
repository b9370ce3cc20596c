"""The gallery: photographs that ship with the package and show what a network's colours look like.

No network is trained on the gallery or selected by its results on the gallery. So the gallery shows what a network does
with photographs that it has never seen. Five of the photographs are also in the source `photos`.
`gallery_photos(without="photos")` leaves these five out.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from colorlib.datasets.base import ArraySource, digest
from colorlib.datasets.pictures import content_hash, square

FOLDER = Path(str(files("colorlib").joinpath("gallery")))


@dataclass(frozen=True)
class GalleryPhoto:
    """A photograph of the gallery: one row of the table in CREDITS.md."""

    name: str
    kind: str
    """One of people, animals, plants, landscapes, streets, food, things."""
    description: str
    """What the photograph shows, as an alternative text."""
    title: str
    author: str
    licence: str
    package: str
    also_in: str
    """The data source that contains regions of this photograph, or an empty text."""

    @property
    def file(self) -> Path:
        """The path of the JPEG file, whose long side has at most 640 px."""
        return FOLDER / f"{self.name}.jpg"

    def open(self) -> Image.Image:
        """Decode the whole photograph as RGB."""
        with Image.open(self.file) as image:
            return image.convert("RGB")


@dataclass(frozen=True)
class GallerySource(ArraySource):
    """The central squares of gallery photographs, in the order of `photos`."""

    photos: tuple[GalleryPhoto, ...] = ()
    for_training: ClassVar[bool] = False
    """`check_for_training` reads this and refuses the source for training and validation."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(photo.name for photo in self.photos)

    @property
    def descriptions(self) -> tuple[str, ...]:
        return tuple(photo.description for photo in self.photos)


def gallery_photos(without: str = "") -> tuple[GalleryPhoto, ...]:
    """The photographs of the gallery, except those of which the data source `without` contains regions.

    A network that was trained on the source `photos` may only be shown on `gallery_photos(without="photos")`.
    """
    # CREDITS.md is the only list of the photographs, so that a photograph cannot be added without its credits.
    rows = [line for line in (FOLDER / "CREDITS.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    photos = [GalleryPhoto(*(cell.strip() for cell in row.strip("|").split("|"))) for row in rows[1:]]
    return tuple(photo for photo in photos if not without or photo.also_in != without)


def open_gallery(side: int, split: str = "test", *, without: str = "") -> GallerySource:
    """Open the photographs of `gallery_photos(without)` as squares of `side` px.

    Every photograph is in the test split. `train`, the default of `open_source`, is accepted and also gives the test
    split, but the source cannot be used for training. Raises ValueError for `val`.
    """
    if split == "val":
        raise ValueError(
            "gallery has no val split, because it is only for showing results and not for training or validation; "
            "choose another source, for example folder:PATH"
        )
    photos = gallery_photos(without)
    array = np.empty((len(photos), 3, side, side), np.uint8)
    hashes = []
    for i, photo in enumerate(photos):
        hashes.append(content_hash(photo.file.read_bytes()))
        with Image.open(photo.file) as image:
            array[i] = square(image, side)
    return GallerySource(
        "gallery",
        "test",
        array,
        np.arange(len(photos)),
        digest([side, *hashes]),
        {"pictures": [photo.name for photo in photos]},
        photos=photos,
    )
