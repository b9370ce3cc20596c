"""Colour photographs of any size: the network predicts the colours, and every detail of the photograph is kept.

The generator sees the lightness at a low resolution, about that of its training. `upsampling` enlarges the predicted
ab to the photograph's resolution and joins it with the photograph's own lightness.
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

# The network sees the long side of a panorama with at most this many times the training size. For a panorama that is
# still longer, the short side becomes smaller than the training size.
MAX_ASPECT = 4
# Before the bicubic resizing, a large photograph is averaged over whole blocks of pixels, which is faster. It stays at
# least this many times larger than the target, so that the result is nearly the same.
REDUCING_GAP = 3.0
JPEG_SUFFIXES = (".jpg", ".jpeg")
# At a quality of 95, the rounding of JPEG alone changes L* of a grainy photograph by 0.5 on average, which is more than
# the colouring changes it.
JPEG_QUALITY = 97
# The EXIF description of every output, so that anybody who finds the photograph later can know that it was colorized.
MARK = "Colorized by a model: the colours are guesses, not a record."
SOFTWARE = "colorlib, weights "
KEPT = "already there, so it was kept; overwrite to colour it again"
# A strength above 1 exaggerates the colours. Chroma that sRGB cannot show is reduced at constant lightness and hue.
MAX_STRENGTH = 2.0


class Colorizer:
    """A trained generator that colours photographs.

    `Colorizer.load(...)` reads the generator from a file. `Colorizer(trainer.generator, trainer.recipe)` uses a
    generator in memory.
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
        """Load a colorizer from weights that ship with the package (by name), a weights file, or the folder of a run.

        Raises FileNotFoundError for a path that does not exist, ValueError for an unknown name (the message lists the
        names of the shipped weights), and CheckpointError for a file that is damaged or was not written by colorlib.
        """
        target = pick_device(device)
        with _weights_file(path_or_name) as path:
            generator, recipe, _ = load_generator(path, target)
        return cls(generator, recipe, device=target, name=Path(path_or_name).stem)

    def predict(self, L: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
        """Predict ab from L, both in network units. The result is on the device of `L`.

        The generator runs in eval mode (without dropout) and without gradients. Its training mode is restored.
        """
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
        """Colour one photograph. The result has its size and lightness. It is RGB, or RGBA if the photograph has alpha.

        `image` is a path, a PIL image or an array of any size and mode (see `images.read_image`). If its EXIF data say
        that it is rotated, the result is upright. `strength` in 0..2 multiplies the predicted ab: 0 is grey, 1 is as
        predicted, and larger values exaggerate the colours inside the gamut. `tta` (test-time augmentation) averages
        the predictions for the photograph and its mirror image, which takes twice the network's time. Assumptions that
        had to be made about the file are reported as warnings.

        Raises FileNotFoundError, DataError (not an image, damaged, more than `max_pixels`), or ValueError.
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
        """Colour files, and all images in folders, and write them to the folder `out`. Return a `Result` for each file.

        The results have the order of the inputs. In a folder, the content of a file decides whether it is an image. A
        file that is not an image and has no image's suffix is left out with a note. A file that is itself in `paths` is
        never left out: it is coloured, or its result has an `error`. A file that is in `paths` twice is coloured once.

        The output of a JPEG is a JPEG and that of a PNG a PNG, both with the name of the input. For other formats it
        is a PNG, with `.png` added to the name. The subfolders of a folder are kept. If two outputs would have the same
        name, the name of its folder, or a number, is put before the name of the later one.

        An output that already exists is kept, with a note, unless `overwrite` is set. If its metadata say that it was
        coloured with other weights, another `strength` or another `tta`, its result has `coloured_otherwise`. An input
        is never overwritten. An output is written completely or not at all. Its metadata say that a model coloured it
        (see `is_marked`); the date, the place and other metadata of the input are not copied.

        If a file fails, its result has an `error`, and the other files are still coloured. Several processes can be
        given the same files. They share the work, and each file is coloured by one of them.
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
        # disable=False would overrule the environment variable TQDM_DISABLE, so it is not passed.
        quiet = {} if progress else {"disable": True}
        with tqdm(total=len(plan), desc="colorize", unit="photo", **quiet) as bar:
            # The first pass skips files that another process is colouring at the moment. The second pass waits for
            # these files, most of which are finished by then.
            for patience in (0.0, PATIENCE):
                for n in [n for n in range(len(plan)) if n not in results]:
                    if result := colour(*plan[n], patience):
                        results[n] = result
                        bar.update()
        return [results[n] for n in range(len(plan))]

    def content(self) -> str:
        """Return a short hash of the weights. Equal weights have the same hash, even if their names differ."""
        content = hashlib.blake2b(digest_size=8)
        for name, value in sorted(self.generator.state_dict().items()):
            content.update(name.encode())
            content.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return content.hexdigest()

    def _colorize(self, photo: ReadImage, strength: float, tta: bool) -> Image.Image:
        height, width = photo.rgb.shape[:2]
        # The network predicts ab for a small version of the photograph; the field enlarges ab to its full size.
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
    """Return the height and width at which the generator sees a photograph: its short side becomes `size`.

    The aspect ratio is kept. A photograph is never enlarged, and its long side becomes at most `MAX_ASPECT * size`.
    """
    scale = min(1.0, size / min(height, width), MAX_ASPECT * size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink(rgb: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Reduce a photograph to the height and width of `network_size`, at which the generator sees it."""
    if rgb.shape[:2] == size:
        return rgb
    # Bicubic, because the photographs for training were resized in this way.
    return np.array(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP))


def _check_strength(strength: float) -> None:
    if not (math.isfinite(strength) and 0 <= strength <= MAX_STRENGTH):
        raise ValueError(f"expected strength in 0..{MAX_STRENGTH:g} (0 is grey, 1 is as predicted), got {strength}")


# --- weights -------------------------------------------------------------------------------------------------


def shipped_weights() -> list[str]:
    """Return the names of the weights inside the package, for `Colorizer.load(name)`.

    The weights of the encoder are not listed, because an encoder alone cannot colour.
    """
    folder = resources.files("colorlib") / "weights"
    if not folder.is_dir():
        return []
    names = {file.name for file in folder.iterdir()} - {efficientnet.WEIGHTS_FILE}
    return sorted(Path(name).stem for name in names if name.endswith(".safetensors"))


@contextmanager
def _weights_file(path_or_name: str | Path) -> Iterator[Path]:
    """Yield the weights file that a name or path refers to.

    If a folder has the name of shipped weights, the name means the shipped weights, and `./name` means the folder.
    """
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
        raise FileNotFoundError(f"there is nothing at {path}; give a run folder or a weights file")
    else:
        known = ", ".join(shipped_weights()) or "none"
        raise ValueError(
            f"expected the name of shipped weights ({known}), a run folder or a weights file, got {str(path_or_name)!r}"
        )


def _of_run(folder: Path) -> Path:
    path = folder / "generator.safetensors"
    if not path.is_file():
        raise CheckpointError(f"the run has no file {path}; it may not have saved a checkpoint yet")
    return path


# --- many files ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """The result for one file: `output` is the file that was written, or `error` is the reason for a failure, one line.

    Neither is set for a file that was found in a folder and is not an image; a note says so.
    """

    source: Path
    output: Path | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    skipped: bool = False
    """True if the output already existed and was kept."""
    coloured_otherwise: str = ""
    """For an output that was kept: the weights and settings that coloured it, if this call has other ones."""


class How(NamedTuple):
    """How a photograph was coloured: the name of the weights, the hash of their content, and the settings."""

    weights: str = ""
    content: str = ""
    settings: str = ""


def _settings(strength: float, tta: bool) -> str:
    return f"strength {strength:g}{', tta' if tta else ''}"


def _plan(paths: str | Path | Iterable[str | Path], out: Path) -> list[tuple[Path, Path | Result]]:
    """Return each source with its output, or with a result that says why it has no output. All outputs differ."""
    inputs = find_inputs(paths, out)
    identities = {identity(found.source) for found in inputs if os.path.isfile(found.source)}
    taken: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about damaged headers
        return [(found.source, _place(found, out, identities, taken)) for found in inputs]


def _place(found: Found, out: Path, inputs: set[tuple[int, int]], taken: set[str]) -> Path | Result:
    try:
        output = free_name(out, found.place.parent, _output_name(found.source), found.source, taken)
    except (ColorlibError, OSError) as error:
        if found.optional:  # found in a folder, and not named like an image
            return Result(found.source, notes=(f"left out: {one_line(error)}",))
        return Result(found.source, error=one_line(error))
    if os.path.exists(output) and identity(output) in inputs:
        reason = f"{printable(output)} is an input and would be overwritten; choose another output folder"
        return Result(found.source, error=reason)
    return output


def _output_name(source: Path) -> str:
    """Return the name of the output file.

    A JPEG or PNG keeps its name, and other formats get the additional suffix `.png`: `a.bmp` becomes `a.bmp.png`. So
    no two files of a folder get the same name. The format is told by the content, not by the name: the output of
    a JPEG that is called `a.png` is `a.png.jpg`.
    """
    if source.is_dir():
        readable = os.access(source, os.R_OK | os.X_OK)
        raise ColorlibError(f"{'no pictures in' if readable else 'cannot enter'} the folder {printable(source)}")
    with open_header(source) as header:
        suffixes = JPEG_SUFFIXES if header.format in ("JPEG", "MPO") else (".png",)  # MPO: JPEGs of some phones
    return source.name if source.suffix.lower() in suffixes else source.name + suffixes[0]


def _kept(source: Path, output: Path, how: How) -> Result:
    """Return the result for an output that already exists. A note says if it was coloured with other settings."""
    before = _read_how(output)
    if before is None:
        other = "something that colorlib did not colour"
    elif not before.content:  # coloured by an older version of colorlib, which wrote only the name of the weights
        other = f"the weights {before.weights}" if before.weights != how.weights else ""
    else:
        earlier = ", in an earlier version" if before.weights == how.weights else ""
        other = f"the weights {before.weights}{earlier}" if before.content != how.content else ""
        if before.settings != how.settings:
            other = f"{other or f'the weights {before.weights}'} at {before.settings}"
    notes = (f"{KEPT} (it was coloured by {other})",) if other else (KEPT,)
    return Result(source, output, skipped=True, notes=notes, coloured_otherwise=other)


def _colorize_file(
    work: Callable[[ReadImage], Image.Image], source: Path, output: Path, max_pixels: int, how: How
) -> Result:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd tags; the notes contain what matters
            photo = read_image(source, max_pixels=max_pixels)
        save_marked(work(photo), output, how.weights, how)
    except (ColorlibError, OSError, ValueError, RuntimeError, MemoryError) as error:
        return Result(source, error=one_line(error))
    return Result(source, output, notes=photo.notes)


def save_marked(picture: Image.Image, output: str | Path, weights: str = "", how: How | None = None) -> None:
    """Write a coloured photograph. Its metadata say that its colours are those of a model, and name the `weights`.

    The file is a JPEG if its suffix is .jpg or .jpeg, otherwise a PNG. It is first written under a temporary name, so
    that a crash or a full disk cannot leave an incomplete file behind. Raises OSError.
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
            # The default compression level, 6, takes 4 times as long.
            picture.save(temporary, format="PNG", compress_level=3, exif=exif)


def mark(weights: str = "") -> Image.Exif:
    """Return the metadata of a coloured photograph, which say that a model coloured it and name the `weights`."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = MARK
    exif[ExifTags.Base.Software] = f"{SOFTWARE}{weights}" if weights else "colorlib"
    return exif


def _read_how(path: Path) -> How | None:
    """Read from a file's metadata how it was coloured. Unknown entries are empty; None for a file without the mark."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about damaged headers
            if not is_marked(path):
                return None
            with open_header(path) as image:
                exif = image.getexif()
        content, _, settings = str(exif.get(ExifTags.Base.ImageHistory, "")).partition("; ")
        return How(str(exif.get(ExifTags.Base.Software, "")).removeprefix(SOFTWARE), content, settings)
    except Exception:  # a file that is damaged or no longer exists has no readable metadata
        return None


def is_marked(path: str | Path) -> bool:
    """Return True if the file's metadata say that a model coloured it.

    Raises FileNotFoundError or DataError, as `read_image` does.
    """
    with open_header(path) as image:
        return str(image.getexif().get(ExifTags.Base.ImageDescription, "")).startswith(MARK)
