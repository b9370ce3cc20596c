"""A photograph of any format, mode and shape becomes a square of sRGB uint8."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from colorlib import color
from colorlib.errors import DataError
from colorlib.files import UNREADABLE_FORMATS
from colorlib.images import ReadImage, over_limit, read_image, why_no_image

# JPEG can be decoded at 1/2, 1/4 or 1/8 for less work; twice the wanted size is left for the antialiasing filter.
DRAFT_MARGIN = 2

# Of `lack_of_colour`: the side at which a picture is examined, and thresholds in units of Lab.
COLOUR_SIDE = 32
GREY_CHROMA = 3.0  # less is grey
TINT_SPREAD = 3.5  # less beside the mean colour of its lightness is one tint
FLAT = 4.0  # with less spread of lightness, nothing can be said about a tint
VIVID = 60.0  # with more chroma it is no old print


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
    if over := over_limit(*image.size):
        raise DataError(f"{over}; make it smaller")
    upright = _on_white(read_image(image))
    short = min(upright.size)
    left, top = (upright.width - short) / 2, (upright.height - short) / 2
    resized = upright.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def lack_of_colour(pixels: UInt8[np.ndarray, "3 side side"]) -> str:
    """`grey`, `tinted` (shades of one colour, as a sepia print) or `half grey` (a grey and a coloured picture side by
    side, as in sets of pairs); empty for a picture in colour.

    The thresholds are in units of Lab, on the picture averaged down to 32 px. Of 700 photographs in colour 3 were
    called tinted and none grey; of 274 sepia prints with grain, made from photographs, 9 in 10 were called tinted.
    """
    small = Image.fromarray(pixels.transpose(1, 2, 0)).resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)
    rgb = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    L, ab = color.rgb_to_lab(color.to_float(rgb)).split([1, 2])
    chroma = ab.norm(dim=0)
    if _high(chroma, 0.99) < GREY_CHROMA:
        return "grey"
    halves = chroma[:, : COLOUR_SIDE // 2 - 2], chroma[:, COLOUR_SIDE // 2 + 2 :]
    for half, other in (halves, halves[::-1]):
        if _high(half, 0.99) < GREY_CHROMA and other.mean() > 2 * GREY_CHROMA:
            return "half grey"
    if pixels.shape[-1] < COLOUR_SIDE or L.std() < FLAT or _high(chroma, 0.99) > VIVID:
        return ""
    spread = _high(_beside_lightness(L.flatten(), ab.flatten(1)), 0.95)
    return "tinted" if spread < TINT_SPREAD else ""


def _high(values: Float[Tensor, "*n"], share: float) -> float:
    return values.flatten().quantile(share).item()


def _beside_lightness(L: Float[Tensor, " n"], ab: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    """How far each colour is from the mean colour of its lightness. In a tinted picture the lightness decides it."""
    step = (L / 5).long().clamp(0, 19)
    n = torch.zeros(20).index_add_(0, step, torch.ones_like(L))
    mean = torch.zeros(2, 20).index_add_(1, step, ab) / n.clamp(min=1)
    return (ab - mean[:, step]).norm(dim=0)


def _on_white(read: ReadImage) -> Image.Image:
    """The picture without its alpha, as a page would show it."""
    image = Image.fromarray(read.rgb)
    if read.alpha is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), Image.fromarray(read.alpha))
