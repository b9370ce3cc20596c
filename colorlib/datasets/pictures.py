"""Turn a photograph of any format, mode and shape into a square uint8 sRGB image, and tell whether it has colour."""

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

# A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is faster. The decoded image stays at least twice as large
# as the square, because the antialiasing filter needs more pixels than it produces.
DRAFT_MARGIN = 2

# Constants of `lack_of_colour`: the side at which a photograph is examined, and thresholds in units of L*, a* and b*.
COLOUR_SIDE = 32
GREY_CHROMA = 3.0  # a photograph with less chroma is grey
TINT_SPREAD = 3.5  # a photograph is tinted if its ab differ by less than this from the mean ab of their lightness
FLAT = 4.0  # if the lightness varies less than this, a tint cannot be told from one plain colour
VIVID = 60.0  # a photograph with more chroma is not an old print


@dataclass(frozen=True)
class Picture:
    """A picture that can be loaded. `load()` returns the opened image and a key that changes if the content changes."""

    name: str
    load: Callable[[], tuple[Image.Image, str]]


def picture_file(path: Path, name: str) -> Picture:
    """The picture in a file. Its key is the hash of the file's bytes."""

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
    """The central square of an opened image as upright sRGB, resized to `side` px with antialiasing.

    Transparent parts become white. The result is the same as that of resizing the short side to `side` and cropping the
    centre. But only the square is resized, because an image of 1 x 5000 px would otherwise become 5000 times as long as
    `side`.

    Raises DataError for a damaged image, for one that is too large, and for a format that Pillow cannot show.
    """
    if image.format in UNREADABLE_FORMATS:
        raise DataError(f"{image.format} files are not supported")
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
    """Whether and how a photograph lacks colour. The result is empty for one in colour, and otherwise one of these:

    - `grey`;
    - `tinted`: shades of one colour, such as a sepia print;
    - `half grey`: a grey and a coloured picture side by side, as in published sets of such pairs.

    The photograph is averaged down to 32 px and examined in Lab. In a test with 700 photographs in colour, 3 were
    called tinted and no photograph was called grey. Of 274 sepia prints with grain, made from photographs, 9 in 10 were
    called tinted.
    """
    small = Image.fromarray(pixels.transpose(1, 2, 0)).resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)
    rgb = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    L, ab = color.rgb_to_lab(color.to_float(rgb)).split([1, 2])
    chroma = ab.norm(dim=0)
    if _quantile(chroma, 0.99) < GREY_CHROMA:
        return "grey"
    # The columns at the seam mix both halves, so two columns on each side of it are left out.
    halves = chroma[:, : COLOUR_SIDE // 2 - 2], chroma[:, COLOUR_SIDE // 2 + 2 :]
    for half, other in (halves, halves[::-1]):
        if _quantile(half, 0.99) < GREY_CHROMA and other.mean() > 2 * GREY_CHROMA:
            return "half grey"
    # Without enough pixels or differences of lightness a tint cannot be measured, and vivid colours are not a tint.
    if pixels.shape[-1] < COLOUR_SIDE or L.std() < FLAT or _quantile(chroma, 0.99) > VIVID:
        return ""
    spread = _quantile(_distance_from_tint(L.flatten(), ab.flatten(1)), 0.95)
    return "tinted" if spread < TINT_SPREAD else ""


def _quantile(values: Float[Tensor, "*n"], share: float) -> float:
    """The quantile of the values. Unlike the maximum, it is not decided by a few odd pixels."""
    return values.flatten().quantile(share).item()


def _distance_from_tint(L: Float[Tensor, " n"], ab: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    """The distance of each ab from the mean ab of the pixels of about the same lightness.

    In a tinted photograph the lightness alone determines the colour, so that all distances are small.
    """
    # Twenty groups of lightness, each 5 units of L* wide.
    step = (L / 5).long().clamp(0, 19)
    n = torch.zeros(20).index_add_(0, step, torch.ones_like(L))
    mean = torch.zeros(2, 20).index_add_(1, step, ab) / n.clamp(min=1)
    return (ab - mean[:, step]).norm(dim=0)


def _on_white(read: ReadImage) -> Image.Image:
    """The image without its alpha channel, as it looks on a white page."""
    image = Image.fromarray(read.rgb)
    if read.alpha is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), Image.fromarray(read.alpha))
