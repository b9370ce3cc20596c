"""Colour for photographs of any size: the network says what colour, the photograph keeps every detail.

The generator sees the lightness at a low resolution, about that of its training; `upsampling` brings its chroma to the
photograph's resolution and joins it with the photograph's own lightness.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image
from torch import Tensor, nn
from tqdm import tqdm

from colorlib import color, efficientnet
from colorlib.checkpoints import load_generator
from colorlib.devices import pick_device
from colorlib.errors import CheckpointError, ColorlibError, one_line
from colorlib.files import PATIENCE, Found, find_inputs, free_name, identity, locked, printable, replacing
from colorlib.images import MAX_PIXELS, ImageLike, ReadImage, open_header, read_image
from colorlib.recipes import Recipe
from colorlib.upsampling import ChromaField, as_batch, join_with_own_lightness

# A panorama's long side is at most this many times the training size; beyond that its short side shrinks.
MAX_ASPECT = 4
# A large photograph is first averaged over whole blocks, as long as it stays this many times larger than the target.
REDUCING_GAP = 3.0
JPEG_SUFFIXES = (".jpg", ".jpeg")
# At 95, JPEG's rounding alone moves L* of a grainy photograph by 0.5 on average: more than colouring it does.
JPEG_QUALITY = 97
# In every output's EXIF description: who finds the picture later must be able to know.
MARK = "Colorized by a model: the colours are guesses, not a record."
SOFTWARE = "colorlib, weights "
KEPT = "already there, kept; overwrite to redo it"
# More than 1 exaggerates the colours; what sRGB cannot show is reduced at constant lightness and hue.
MAX_STRENGTH = 2.0


class Colorizer:
    """A trained generator that colours photographs.

    `Colorizer.load(...)` reads one from a file; `Colorizer(trainer.generator, trainer.recipe)` takes one at hand.
    """

    def __init__(
        self, generator: nn.Module, recipe: Recipe, *, device: str | torch.device = "cpu", name: str = ""
    ) -> None:
        self.device = pick_device(device)
        self.generator = generator.to(self.device)
        self.recipe = recipe
        self.name = name or recipe.name

    @classmethod
    def load(cls, path_or_name: str | Path = "default", device: str | torch.device = "auto") -> Colorizer:
        """A colorizer from shipped weights (by name), a weights file, or a run's folder.

        Raises FileNotFoundError for a path that is not there, ValueError for an unknown name (it lists the ones that
        ship), CheckpointError for a file that is damaged or none of ours.
        """
        target = pick_device(device)
        with _weights_file(path_or_name) as path:
            generator, recipe, _ = load_generator(path, target)
        return cls(generator, recipe, device=target, name=Path(path_or_name).stem)

    def predict(self, L: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
        """Chroma for lightness, both in network units, on the device of `L`; no dropout, no gradient."""
        training = self.generator.training
        self.generator.eval()
        try:
            with torch.inference_mode():
                return self.generator(L.to(self.device, torch.float32)).float().to(L.device)
        finally:
            self.generator.train(training)

    def colorize(
        self, image: ImageLike, *, strength: float = 1.0, tta: bool = False, max_pixels: int = MAX_PIXELS
    ) -> Image.Image:
        """The picture in colour: its own size (upright, if EXIF turns it) and lightness, RGB, or RGBA if it had alpha.

        `image` is a path, a PIL image or an array of any size and mode (see `images.read_image`). `strength` 0..2
        scales the chroma: 0 is grey, 1 as predicted; more exaggerates it inside the gamut. `tta` averages the chroma
        over the picture and its mirror image, for twice the network's time. What had to be assumed about the file is
        said as a warning.

        Raises FileNotFoundError, DataError (not a picture, damaged, over `max_pixels`), or ValueError.
        """
        _check_strength(strength)
        photo = read_image(image, max_pixels=max_pixels)
        for note in photo.notes:
            warnings.warn(note, stacklevel=2)
        return self._colorize(photo, strength, tta)

    def colorize_many(
        self,
        paths: str | Path | Iterable[str | Path],
        out: str | Path,
        *,
        strength: float = 1.0,
        tta: bool = False,
        max_pixels: int = MAX_PIXELS,
        overwrite: bool = False,
        progress: bool = True,
    ) -> list[Result]:
        """Colour files, and all pictures in folders, into the folder `out`; one `Result` each, in order.

        In a folder the content tells what is a picture; what is none, and is not named like one, is left out with a
        note. A file that is named is never left out: it is coloured, or its result has an `error`.

        A JPEG becomes a JPEG and a PNG a PNG of the same name; others become PNG, with `.png` added to the name.
        Folders keep their subfolders; where two outputs would share a name, the later one gets its folder's name, or
        a number, before it. A finished output is kept (and said) unless `overwrite`; if its metadata
        say that other weights, another strength or another `tta` made it, `coloured_otherwise` is set in its result. An
        input is never overwritten.
        Several processes may be given the same files and share them out: each file is coloured by one of them.
        Outputs appear whole or not at all; their metadata say that a model coloured them (`is_marked`), and the input's
        date, place and other metadata are not copied. A failure is a result with
        `error` set, and the others go on. A file named twice is coloured once.
        """
        _check_strength(strength)
        work = functools.partial(self._colorize, strength=strength, tta=tta)
        how = How(self.name, self.content(), _settings(strength, tta))

        def colour(source: Path, output: Path | Result, patience: float) -> Result | None:
            if isinstance(output, Result):
                return output
            with locked(source, patience) as mine:
                if os.path.isfile(output) and not overwrite:
                    return _kept(source, output, how)
                return _colorize_file(work, source, output, max_pixels, how) if mine else None

        plan, results = _plan(paths, Path(out)), {}
        quiet = {} if progress else {"disable": True}  # not disable=False: that would overrule TQDM_DISABLE
        with tqdm(total=len(plan), desc="colorize", unit="photo", **quiet) as bar:
            for patience in (0.0, PATIENCE):  # what another process is at comes last, and has then mostly been done
                for n in [n for n in range(len(plan)) if n not in results]:
                    if result := colour(*plan[n], patience):
                        results[n] = result
                        bar.update()
        return [results[n] for n in range(len(plan))]

    def content(self) -> str:
        """A short hash of the weights: equal for equal weights, whatever their name."""
        content = hashlib.blake2b(digest_size=8)
        for name, value in sorted(self.generator.state_dict().items()):
            content.update(name.encode())
            content.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return content.hexdigest()

    def _colorize(self, photo: ReadImage, strength: float, tta: bool) -> Image.Image:
        height, width = photo.rgb.shape[:2]
        small = shrink(photo.rgb, network_size(height, width, self.recipe.size))
        L, _ = color.split_lab(color.to_float(as_batch(small)))
        ab = self.predict(L)
        if tta:
            ab = (ab + self.predict(L.flip(-1)).flip(-1)) / 2
        field = ChromaField.fit(L.to(self.device), strength * ab.to(self.device))
        picture = Image.fromarray(join_with_own_lightness(photo.rgb, field))
        if photo.alpha is not None:
            picture.putalpha(Image.fromarray(photo.alpha))
        return picture


def network_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width at which the generator sees a photograph: `size` on the short side, aspect kept.

    Never enlarged, and never longer than `MAX_ASPECT * size`.
    """
    scale = min(1.0, size / min(height, width), MAX_ASPECT * size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink(rgb: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The photograph as the generator sees it, at the height and width of `network_size`."""
    if rgb.shape[:2] == size:
        return rgb
    # Bicubic, as the photographs for training were.
    return np.array(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP))


def _check_strength(strength: float) -> None:
    if not (math.isfinite(strength) and 0 <= strength <= MAX_STRENGTH):
        raise ValueError(f"expected strength from 0 (grey) over 1 (as predicted) to {MAX_STRENGTH:g}, got {strength}")


# --- weights -------------------------------------------------------------------------------------------------


def shipped_weights() -> list[str]:
    """Names of the weights inside the package, for `Colorizer.load(name)`; the encoder alone cannot colour."""
    folder = resources.files("colorlib") / "weights"
    if not folder.is_dir():
        return []
    names = {file.name for file in folder.iterdir()} - {efficientnet.WEIGHTS_FILE}
    return sorted(Path(name).stem for name in names if name.endswith(".safetensors"))


@contextmanager
def _weights_file(path_or_name: str | Path) -> Iterator[Path]:
    """The file behind a name or path. A shipped name wins over a folder of that name: `./default` is the folder."""
    if isinstance(path_or_name, str) and path_or_name in shipped_weights():
        with resources.as_file(resources.files("colorlib") / "weights" / f"{path_or_name}.safetensors") as path:
            yield path
        return
    path = Path(path_or_name)
    if path.is_dir():
        yield _of_run(path)
    elif path.is_file():
        yield path
    elif path.suffix or len(path.parts) > 1:
        raise FileNotFoundError(f"expected a run folder or a weights file, found nothing at {path}")
    else:
        known = ", ".join(shipped_weights()) or "none"
        raise ValueError(f"expected weights by name ({known}), a run folder or a file, got {str(path_or_name)!r}")


def _of_run(folder: Path) -> Path:
    path = folder / "generator.safetensors"
    if not path.is_file():
        raise CheckpointError(f"expected {path}, found none; has the run saved a checkpoint yet?")
    return path


# --- many files ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What became of one photograph: `output` where it was written, or `error`, the reason in one line.

    Neither is set for what was found in a folder and is no picture: a note says so.
    """

    source: Path
    output: Path | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    skipped: bool = False
    """The output was there already and has been kept."""
    coloured_otherwise: str = ""
    """Of a kept output: the weights and settings it was coloured with, if they are not those of this call."""


class How(NamedTuple):
    """How a picture was coloured: the name and the content of the weights, and the settings."""

    weights: str = ""
    content: str = ""
    settings: str = ""


def _settings(strength: float, tta: bool) -> str:
    return f"strength {strength:g}{', tta' if tta else ''}"


def _plan(paths: str | Path | Iterable[str | Path], out: Path) -> list[tuple[Path, Path | Result]]:
    """Each source with its output, or with the result that says why it has none. No two outputs share a name."""
    inputs = find_inputs(paths, out)
    identities = {identity(found.source) for found in inputs if os.path.isfile(found.source)}
    taken: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on damaged headers
        return [(found.source, _place(found, out, identities, taken)) for found in inputs]


def _place(found: Found, out: Path, inputs: set[tuple[int, int]], taken: set[str]) -> Path | Result:
    try:
        output = free_name(out, found.place.parent, _output_name(found.source), found.source, taken)
    except (ColorlibError, OSError) as error:
        if found.optional:
            return Result(found.source, notes=(f"left out: {one_line(error)}",))
        return Result(found.source, error=one_line(error))
    if os.path.exists(output) and identity(output) in inputs:
        reason = f"{printable(output)} is an input and would be overwritten; choose another output folder"
        return Result(found.source, error=reason)
    return output


def _output_name(source: Path) -> str:
    """`a.jpg` for a JPEG, `a.png` for a PNG, `a.bmp.png` for others: no two files of a folder get the same name.

    The content decides, not the name: a JPEG called `a.png` becomes `a.png.jpg`.
    """
    if source.is_dir():
        readable = os.access(source, os.R_OK | os.X_OK)
        raise ColorlibError(f"{'no pictures in' if readable else 'cannot enter'} the folder {printable(source)}")
    with open_header(source) as header:
        suffixes = JPEG_SUFFIXES if header.format in ("JPEG", "MPO") else (".png",)  # MPO: JPEGs of a phone
    return source.name if source.suffix.lower() in suffixes else source.name + suffixes[0]


def _kept(source: Path, output: Path, how: How) -> Result:
    """The result for an output that is there already. It says so if the output was coloured in another way."""
    before = _read_how(output)
    if before is None:
        other = "something that colorlib did not colour"
    elif not before.content:  # coloured by an older version, which wrote only the name
        other = f"the weights {before.weights}" if before.weights != how.weights else ""
    else:
        earlier = ", as they were then" if before.weights == how.weights else ""
        other = f"the weights {before.weights}{earlier}" if before.content != how.content else ""
        if before.settings != how.settings:
            other = f"{other or f'the weights {before.weights}'} at {before.settings}"
    notes = (f"{KEPT}: it is from {other}",) if other else (KEPT,)
    return Result(source, output, skipped=True, notes=notes, coloured_otherwise=other)


def _colorize_file(
    work: Callable[[ReadImage], Image.Image], source: Path, output: Path, max_pixels: int, how: How
) -> Result:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd tags; what matters is in the notes
            photo = read_image(source, max_pixels=max_pixels)
        save_marked(work(photo), output, how.weights, how)
    except (ColorlibError, OSError, ValueError, RuntimeError, MemoryError) as error:
        return Result(source, error=one_line(error))
    return Result(source, output, notes=photo.notes)


def save_marked(picture: Image.Image, output: str | Path, weights: str = "", how: How | None = None) -> None:
    """Write a picture whose metadata say that its colours are a model's, and which `weights` gave them.

    By the name's ending a JPEG (.jpg, .jpeg) or else a PNG. Written to a temporary name first: a crash or a full disk
    leaves no half of a picture behind. Raises OSError.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    exif = mark(weights)
    if how is not None:
        exif[ExifTags.Base.ImageHistory] = f"{how.content}; {how.settings}"
    with replacing(output) as temporary:
        if output.suffix.lower() in JPEG_SUFFIXES:
            picture.save(temporary, format="JPEG", quality=JPEG_QUALITY, subsampling=0, exif=exif)
        else:
            picture.save(temporary, format="PNG", compress_level=3, exif=exif)  # 6, the default, takes 4 times as long


def mark(weights: str = "") -> Image.Exif:
    """The metadata of a coloured picture: that a model coloured it, and which `weights` gave the colours."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = MARK
    exif[ExifTags.Base.Software] = f"{SOFTWARE}{weights}" if weights else "colorlib"
    return exif


def _read_how(path: Path) -> How | None:
    """How a file says that it was coloured, as far as it says so; None for a file that is not marked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on damaged headers
            if not is_marked(path):
                return None
            with open_header(path) as image:
                exif = image.getexif()
        content, _, settings = str(exif.get(ExifTags.Base.ImageHistory, "")).partition("; ")
        return How(str(exif.get(ExifTags.Base.Software, "")).removeprefix(SOFTWARE), content, settings)
    except Exception:  # a file that was damaged, or is gone, says nothing
        return None


def is_marked(path: str | Path) -> bool:
    """Whether a file says that a model coloured it. Raises FileNotFoundError or DataError, as `read_image` does."""
    with open_header(path) as image:
        return str(image.getexif().get(ExifTags.Base.ImageDescription, "")).startswith(MARK)
