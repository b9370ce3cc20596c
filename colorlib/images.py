"""Read any image as upright 8-bit sRGB, in every mode, with every orientation and colour profile that Pillow reads.

The header of a file is checked before the file is decoded. An empty file, a text called .jpg or a decompression bomb is
therefore refused at once, with a message of one line. Assumptions that had to be made (about a damaged profile, the
range of float values, or the first frame of an animation) are returned as notes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin
from torch import Tensor

from colorlib.errors import DataError, one_line
from colorlib.files import NOT_READ, UNREADABLE_FORMATS, printable, register_optional_formats, why_not_read


@runtime_checkable
class Readable(Protocol):
    """A file object, such as `open(path, "rb")` or `io.BytesIO`."""

    def read(self) -> bytes | str: ...


ImageLike = str | os.PathLike[str] | bytes | Readable | Image.Image | np.ndarray | Tensor

ACCEPTED = "a path, a file opened for reading bytes, bytes, a PIL image, an array or a tensor"

# 134 megapixels. Photographs of a phone with 108 megapixels are accepted, and the largest image needs about 1.2 GB.
MAX_PIXELS = 2**27
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp"})

# The first bytes of photographs that Pillow does not read. HEIC is an ISO media file (ISO 23008-12) of these brands.
HEAD = 32  # how many bytes are looked at
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    "HEIC": lambda head: head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS,
    "JPEG XL": lambda head: head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")),
    "camera RAW": lambda head: head.startswith(RAW_SIGNATURES) or head[4:12] == b"ftypcrx ",
}
REMEDIES = {kind: remedy for kind, _, remedy in NOT_READ}
RAW_SUFFIXES = next(suffixes for kind, suffixes, _ in NOT_READ if kind == "camera RAW")

# The numbers of tags of TIFF 6.0 and of Adobe's DNG 1.4.
NEW_SUBFILE_TYPE, SUB_IFDS, IMAGE_WIDTH, IMAGE_LENGTH, DNG_VERSION = 254, 330, 256, 257, 50706
REDUCED = 1  # the bit of NewSubfileType that marks a smaller version of another image in the file

# Pillow's own limit of pixels is a global variable of its module. It is lifted while a header is read, and this lock
# lets only one thread do so at a time.
_HEADER_LOCK = threading.Lock()


@dataclass(frozen=True)
class ReadImage:
    """An upright image in 8-bit sRGB, and how it was read."""

    rgb: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | None
    notes: tuple[str, ...]
    """What was assumed or ignored, one line each."""
    mode: str
    """Pillow's mode of the original, e.g. `CMYK`, or the dtype of an array."""
    format: str | None
    """Pillow's name of the file format; None for an image that was in memory."""


def read_image(image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> ReadImage:
    """Read a file, its bytes, a PIL image, an array or a tensor as an upright 8-bit sRGB image.

    The image is turned upright by its EXIF orientation and converted to sRGB by its ICC profile, and its alpha is kept.
    A file is a path or a file object that was opened for reading bytes. Values of 16 bits are rounded to 8 bits. Of an
    animation or a file of several pages, the first is read. Arrays are `H x W`, `H x W x 1`, `H x W x 3` or
    `H x W x 4`, of uint8, uint16, bool or float in 0..1. Tensors of the same types are `3 x H x W` (or have 1 or 4
    channels), or are a batch of one such image.

    Raises FileNotFoundError; DataError if the file is not an image, is damaged or has more than `max_pixels` (one line
    says which); and ValueError for another type of input, or an array or tensor of another shape, dtype or range.
    """
    if isinstance(image, Tensor):
        image = _as_array(image)
    elif isinstance(image, Readable):
        image = _read_bytes(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, max_pixels)
    if isinstance(image, Image.Image):
        return _decode(image, "the image", max_pixels)
    if not isinstance(image, str | os.PathLike | bytes):
        raise ValueError(f"expected {ACCEPTED}, got {type(image).__name__}")
    with open_header(image) as opened:
        return _decode(opened, _name(image), max_pixels)


def open_header(file: str | os.PathLike[str] | bytes) -> Image.Image:
    """Open a file, or its bytes, as a PIL image, reading only the header: the size, mode and format.

    Raises FileNotFoundError, or DataError if it is not an image that Pillow reads.
    """
    _check_file(file)
    register_optional_formats()
    with _HEADER_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(BytesIO(file) if isinstance(file, bytes) else file)
        except Exception as error:  # Pillow's parsers raise nearly anything on a malformed file
            raise DataError(f"cannot read {_name(file)}: {_header_reason(file, error)}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.format in UNREADABLE_FORMATS:
        image.close()
        raise DataError(f"cannot read {_name(file)}: {image.format} files are not supported; save it as PNG or JPEG")
    return image


def _name(file: str | os.PathLike[str] | bytes) -> str:
    return "the file" if isinstance(file, bytes) else printable(file)


def _check_file(file: str | os.PathLike[str] | bytes) -> None:
    if isinstance(file, bytes):
        if not file:
            raise DataError("cannot read the file: it is empty")
        return
    path = Path(file)
    if not path.exists():
        raise FileNotFoundError(f"found no file {_name(path)}")
    if not path.is_file():  # reading from a pipe or a device could block, or continue, for ever
        raise DataError(f"cannot read {_name(path)}: it is {'a folder' if path.is_dir() else 'not a regular file'}")
    if path.stat().st_size == 0:
        raise DataError(f"cannot read {_name(path)}: the file is empty")


def _header_reason(file: str | os.PathLike[str] | bytes, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(file, bytes):
        return why_no_image(file)
    with open(file, "rb") as opened:
        return why_no_image(opened.read(HEAD), Path(file).suffix)


def why_no_image(content: bytes, suffix: str = "") -> str:
    """Say why Pillow does not open a file, judging by the first bytes of its content, or otherwise by its suffix."""
    kind = next((kind for kind, signatures in SIGNATURES.items() if signatures(content)), None)
    if kind == "HEIC" and why_not_read(".heic") is None:
        return "its HEIC data are damaged"
    if kind is not None:
        return f"{kind} is not read; {REMEDIES[kind]}"
    if suffix.lower() in VIDEO_SUFFIXES:
        return "it is a video; only photographs are read, so save its frames as PNG or JPEG"
    return why_not_read(suffix) or "it is no image in a format that Pillow reads"


# --- from Pillow ---------------------------------------------------------------------------------------------


def _decode(image: Image.Image, name: str, max_pixels: int) -> ReadImage:
    _check_size(image.width, image.height, name, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _refuse_preview(image, name)
    notes: list[str] = []
    mode, file_format = image.mode, image.format
    try:
        if getattr(image, "is_animated", False):
            notes.append("the file is an animation or has several pages; only the first is used")
        rgb, alpha = _convert(_upright(image, notes), notes)
        pixels, opacity = np.array(rgb), None if alpha is None else np.array(alpha)
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise DataError(f"cannot read {name}: {one_line(error)}") from error
    return ReadImage(pixels, opacity, tuple(notes), mode, file_format)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise DataError(f"cannot read {name}: its size is {width} x {height} pixels")
    if over := over_limit(width, height, max_pixels):
        raise DataError(
            f"cannot read {name}: {over}; if you trust it, raise the limit with max_pixels "
            f"(--max-pixels {width * height})"
        )


def over_limit(width: int, height: int, max_pixels: int = MAX_PIXELS) -> str:
    """Describe by how much an image exceeds `max_pixels`. The text is empty if the image does not."""
    if width * height <= max_pixels:
        return ""
    megapixels = f"{width} x {height} = {width * height / 1e6:.1f} megapixels"
    return f"{megapixels}, over the limit of {max_pixels / 1e6:.1f}"


def _refuse_preview(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    """Raise DataError for a TIFF whose first image is only a preview of another image in the file.

    Pillow reads only the first image. Camera RAW files are such TIFFs: DNG, NEF, ARW, CR2 and others.
    """
    raw = (
        DNG_VERSION in image.tag_v2
        or Path(os.fsdecode(image.filename or "")).suffix.lower() in RAW_SUFFIXES
        or _is_cr2(image)
    )
    reduced = image.tag_v2.get(NEW_SUBFILE_TYPE, 0)
    if raw or (isinstance(reduced, int) and reduced & REDUCED) or _largest_below(image) > image.width * image.height:
        what = "a camera RAW" if raw else "a TIFF whose first image is a preview"
        raise DataError(
            f"cannot read {name}: it is {what}, and its preview of {image.width} x {image.height} pixels is all that "
            "can be read; export it as TIFF or JPEG"
        )


def _is_cr2(image: TiffImagePlugin.TiffImageFile) -> bool:
    return _bytes_at(image, 8, 2) == b"CR"  # Canon's CR2 has these letters behind the header of the TIFF


def _largest_below(image: TiffImagePlugin.TiffImageFile) -> int:
    """Return the number of pixels of the largest image in subdirectories of the first directory, or 0."""
    offsets = image.tag_v2.get(SUB_IFDS, ())
    most = 0
    for offset in offsets if isinstance(offsets, tuple) else (offsets,):
        try:
            directory = TiffImagePlugin.ImageFileDirectory_v2(_bytes_at(image, 0, 8))
            assert image.fp is not None, "the file is closed"
            image.fp.seek(offset)
            directory.load(image.fp)
            most = max(most, int(directory.get(IMAGE_WIDTH, 0)) * int(directory.get(IMAGE_LENGTH, 0)))
        except Exception:  # a damaged subdirectory does not mean that the first image is a preview
            continue
    return most


def _bytes_at(image: TiffImagePlugin.TiffImageFile, start: int, n: int) -> bytes:
    if image.fp is None:  # Pillow closes the file of an image that has been loaded
        return b""
    image.fp.seek(start)
    return image.fp.read(n)


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # EXIF data are often damaged, and their parser then raises almost any exception
        notes.append(f"the EXIF data are damaged, so the orientation was ignored ({one_line(error)})")
        return image


def _convert(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Return the image as RGB in sRGB, and its alpha (mode L) or None."""
    profile = image.info.get("icc_profile")
    # Pillow's modes: F is float, I and I;16 are grey of 32 and 16 bits.
    if image.mode == "LAB":
        return _lab_to_srgb(image), None
    if image.mode == "F" or image.mode.startswith("I"):
        image, alpha = _to_8_bit(image, notes), None
    else:
        image, alpha = _split_alpha(image)
    if profile:
        image = _apply_profile(image, profile, notes)
    return image.convert("RGB"), alpha


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    return image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode)), None


def _to_8_bit(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert grey of 16 bits, 32 bits or float to 8 bits.

    Only the mode I;16 defines which value is white (65535). For the others, it is guessed from the range of the values.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        low, high = _assumed_range(float(values.min()), float(values.max()), image.mode == "F")
        kind = "float" if image.mode == "F" else "32-bit"
        notes.append(f"the {kind} values were taken to range from {low:g} (black) to {high:g} (white)")
    return Image.fromarray(_round_to_8_bit((values - low) / max(high - low, 1e-30)))


def _assumed_range(low: float, high: float, is_float: bool) -> tuple[float, float]:
    """Return the usual range of values, from 0 to a white, that contains low and high, otherwise (low, high)."""
    whites = (1.0, 255.0, 65535.0) if is_float else (255.0, 65535.0)
    fitting = [white for white in whites if low >= 0 and high <= white]
    return (0.0, fitting[0]) if fitting else (low, high)


def _round_to_8_bit(values: np.ndarray) -> np.ndarray:
    return (values * 255 + 0.5).astype(np.uint8)


def _lab_to_srgb(image: Image.Image) -> Image.Image:
    return _transform(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


def _apply_profile(image: Image.Image, data: bytes, notes: list[str]) -> Image.Image:
    """Convert the image to sRGB by its ICC profile.

    If the profile is damaged or is meant for another mode, the image stays unchanged and a note says so.
    """
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        if "sRGB" in (profile.profile.profile_description or ""):
            return image
        space = profile.profile.xcolor_space.strip()
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space)
        if mode is None or (mode != image.mode and (mode, image.mode) != ("RGB", "L")):
            notes.append(f"the ICC profile was ignored, because it is for {space} and the image is {image.mode}")
            return image
        return _transform(image.convert(mode), profile, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        notes.append(f"the ICC profile is damaged, so it was ignored ({one_line(error)})")
        return image


def _transform(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    # With the relative colorimetric intent, white stays white, and colours inside sRGB do not change.
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent)
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "applyTransform returns None only for a transform in place"
    return converted


# --- from arrays ---------------------------------------------------------------------------------------------


def _as_array(tensor: Tensor) -> np.ndarray:
    """Convert a tensor `C x H x W` or `1 x C x H x W` to an array `H x W x C`."""
    picture = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if picture.ndim != 3 or picture.shape[0] not in (1, 3, 4):
        raise ValueError(f"expected one image as a tensor 3 x H x W (or 1 or 4 channels), got {tuple(tensor.shape)}")
    picture = picture.detach().cpu().permute(1, 2, 0)
    return (picture.float() if picture.is_floating_point() else picture).numpy()  # NumPy has no bfloat16


def _read_bytes(file: Readable) -> bytes:
    content = file.read()
    if not isinstance(content, bytes):
        raise ValueError(f"expected {ACCEPTED}, got a file opened for reading text; open it with mode 'rb'")
    return content


def _from_array(array: np.ndarray, max_pixels: int) -> ReadImage:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ValueError(f"expected an array H x W or H x W x C with 1, 3 or 4 channels C, got shape {array.shape}")
    _check_size(array.shape[1], array.shape[0], "the array", max_pixels)
    pixels = _array_to_8_bit(array).reshape(*array.shape[:2], -1)
    alpha = pixels[..., 3].copy() if pixels.shape[2] == 4 else None
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3].copy()
    return ReadImage(rgb, alpha, (), str(array.dtype), None)


def _array_to_8_bit(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return _round_to_8_bit(array.astype(np.float32) / 65535)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"expected an array of uint8, uint16, bool or float, got {array.dtype}; try .astype('uint8')")
    if not (array.min() >= 0 and array.max() <= 1):  # also true for NaN, because comparisons with NaN are false
        raise ValueError(f"expected float values in 0..1, got {array.min():g}..{array.max():g}; try dividing by 255")
    return _round_to_8_bit(array.astype(np.float32))
