"""A photograph of any format, mode and shape becomes a square of sRGB uint8."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from colorlib.errors import DataError
from colorlib.files import UNREADABLE_FORMATS
from colorlib.images import ReadImage, read_image, why_no_image

# JPEG can be decoded at 1/2, 1/4 or 1/8 for less work; twice the wanted size is left for the antialiasing filter.
DRAFT_MARGIN = 2


@dataclass(frozen=True)
class Picture:
    """A picture that can be loaded: `load()` gives the image, and a key that changes when its content does."""

    name: str
    load: Callable[[], tuple[Image.Image, str]]


def picture_file(path: Path, name: str) -> Picture:
    """The picture in a file, read once, with the hash of its bytes as the key."""

    def load() -> tuple[Image.Image, str]:
        content = path.read_bytes()
        if not content:
            raise DataError("the file is empty")
        try:
            return Image.open(io.BytesIO(content)), content_hash(content)
        except UnidentifiedImageError:
            raise DataError(why_no_image(content, path.suffix)) from None

    return Picture(name, load)


def content_hash(content: bytes) -> str:
    """A short hash of the bytes of a file."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def square(image: Image.Image, side: int) -> UInt8[np.ndarray, "3 side side"]:
    """The central square of an image as it was opened, upright sRGB, antialiased to `side` px, transparency on white.

    The same as resizing the short side and cropping the centre, but an image of 1 x 5000 px costs no more than another.
    Raises DataError for a damaged image or a format that is none of pictures.
    """
    if image.format in UNREADABLE_FORMATS:
        raise DataError(f"{image.format} files are not opened")
    factor = DRAFT_MARGIN * side / min(image.size)
    image.draft(None, (math.ceil(image.width * factor), math.ceil(image.height * factor)))
    upright = _on_white(read_image(image))
    short = min(upright.size)
    left, top = (upright.width - short) / 2, (upright.height - short) / 2
    resized = upright.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _on_white(read: ReadImage) -> Image.Image:
    """The picture without its alpha, as a page would show it."""
    image = Image.fromarray(read.rgb)
    if read.alpha is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), Image.fromarray(read.alpha))
