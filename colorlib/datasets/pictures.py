"""A photograph of any format, mode and shape becomes a square of sRGB uint8."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

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
        return Image.open(io.BytesIO(content)), content_hash(content)

    return Picture(name, load)


def content_hash(content: bytes) -> str:
    """A short hash of the bytes of a file."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def square(image: Image.Image, side: int) -> np.ndarray:
    """The central square of `image`, antialiased to `side` px: uint8 `(3, side, side)`, sRGB.

    The same as resizing the short side and cropping the centre, but an image of 1 x 5000 px costs no more than another.
    """
    short = min(image.size)
    factor = DRAFT_MARGIN * side / short
    image.draft(None, tuple(int(np.ceil(length * factor)) for length in image.size))  # type: ignore[arg-type]
    image = to_rgb(image)
    short = min(image.size)
    left, top = (image.width - short) / 2, (image.height - short) / 2
    image = image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright sRGB in mode RGB: EXIF orientation applied, deep modes scaled, transparency laid on white, ICC to sRGB."""
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        image = _to_srgb(image, profile)
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey to 8 bits. `I;16` is 0..65535; `I` and `F` do not say, so that their brightest pixel decides."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = values.max(initial=0)
    if image.mode.startswith("I;16") or top > 255:
        values = values * (255 / 65535)
    elif image.mode == "F" and top <= 1:
        values = values * 255
    return Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Through the embedded ICC profile; a profile that cannot be used is passed over, as browsers do."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return image if converted is None else converted
