"""The cache of prepared photographs: each photograph is decoded once, and its square is kept in a memory-mapped file.

A prepared set is two files. `SIDE-KEY.npy` holds the squares, uint8 `(n, 3, side, side)`. `SIDE-KEY.json` says which
photograph each row is, and holds the checksum of the array. KEY is a hash of what the squares were made from, so that a
changed source gets another name. The checksum is compared whenever a set is opened, and a damaged set is made again.

Both files are written under a temporary name and renamed when they are complete. So no broken set is left if two
processes prepare the same set at once, or if a process is killed while it writes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from colorlib.datasets.base import ArraySource, digest
from colorlib.datasets.pictures import Picture, lack_of_colour, square
from colorlib.errors import DataError, one_line
from colorlib.files import replacing

# Part of every key. Raise the number when the preparation changes: sets in an old cache are then made again.
FORMAT = "colorlib-prepared-2"
# If a larger share of the files cannot be read, this is an error and not a warning.
BAD_SHARE = 0.1
DECODING_THREADS = 2
CHUNK = 1 << 20  # bytes
# The checksum reads a file of up to 256 MiB completely. Of a larger file it reads 256 evenly spread pieces of 1 MiB,
# which takes well under a second.
CHECKED_CHUNKS = 256
# The words of the messages for each result of `lack_of_colour`.
LACKS = {
    "grey": "grey",
    "tinted": "in shades of one colour, like a sepia print",
    "half grey": "grey in one half, like a grey and a coloured picture side by side; cut these apart",
}
# A temporary file that has not changed for this many seconds belongs to a process that was killed.
ABANDONED = 24 * 3600


@dataclass(frozen=True)
class Prepared:
    """A prepared set. Photograph i is `array[rows[i]]`, is named `names[i]`, and its content has the hash `keys[i]`.

    `array` has the shape (n, 3, side, side). `lacks[i]` is the result of `pictures.lack_of_colour` for photograph i.
    `bad` maps the name of each file that could not be read to the reason.
    """

    array: np.ndarray
    rows: np.ndarray
    names: list[str]
    keys: list[str]
    lacks: list[str]
    bad: dict[str, str]

    def as_source(self, name: str, split: str, details: dict[str, Any]) -> ArraySource:
        """Return the photographs as a source. Its fingerprint is a hash of their names and contents.

        Photographs without colour are counted in a warning. Raises DataError if no photograph of `train` has colour.
        """
        without_colour = Counter(lack for lack in self.lacks if lack)
        if without_colour:
            counted = colour_summary(without_colour, len(self.lacks))
            if split == "train" and without_colour.total() == len(self.lacks):
                raise DataError(f"{name}: {counted}, so there is no colour to learn from")
            warnings.warn(f"{name}, {split}: {counted}", stacklevel=4)
        details = details | {"without_colour": dict(without_colour)}
        # Sorted, so that the fingerprint does not depend on the order in which the files were found.
        fingerprint = digest(sorted(zip(self.names, self.keys, strict=True)))
        return ArraySource(name, split, self.array, self.rows, fingerprint, details | {"bad": self.bad})


def prepare(
    pictures: Callable[[], Sequence[Picture]],
    side: int,
    *,
    label: str,
    key: str,
    folder: Path,
    drawn_from: int = 0,
    progress: bool = True,
) -> Prepared:
    """Open the prepared squares of `pictures()` in the cache `folder`. Make them first if they are not there.

    `key` is a hash of what the pictures are made from. `label` is the name of the set in the cache and in messages.
    Files that cannot be read are left out, with one warning that names them.

    Raises DataError if more than a tenth of the files cannot be read. There is one exception: if the split is a random
    share of at least 10 files (`drawn_from`), one unreadable file is allowed, because a small split may get it by
    chance. Also raises DataError if neither the cache nor the temporary folder has enough room.
    """
    key = digest([FORMAT, key, side])
    place = folder / _as_file_name(label)
    prepared = _open(place / f"{side}-{key}", side)
    if prepared is None:
        job = _Job(pictures(), side, label, drawn_from, progress)
        prepared = _build_somewhere(job, place / f"{side}-{key}")
    if prepared.bad:
        warnings.warn(bad_summary(label, prepared.bad, len(prepared.array)), stacklevel=4)
    return prepared


@dataclass(frozen=True)
class _Job:
    """The arguments of `prepare` that describe the set to make."""

    pictures: Sequence[Picture]
    side: int
    label: str
    drawn_from: int
    progress: bool

    def check(self, bad: dict[str, str]) -> None:
        """Raise DataError if too many files cannot be read."""
        n = len(self.pictures)
        allowed = max(BAD_SHARE * n, 1 if BAD_SHARE * self.drawn_from >= 1 else 0)
        if len(bad) > allowed or len(bad) == n:
            raise DataError(
                f"{bad_summary(self.label, bad, n)}; that is more than {BAD_SHARE:.0%}, so repair or remove these files"
            )


def cache_folder(cache: str | Path | None, inputs: Path | None = None) -> Path:
    """The folder of prepared photographs: `cache`, else `$COLORLIB_CACHE`, else `~/.cache/colorlib`.

    If this folder cannot be written, or is inside the folder `inputs`, return a temporary folder and warn. Nothing is
    ever written into `inputs`, which are the user's own files.
    """
    folder = Path(cache or os.environ.get("COLORLIB_CACHE") or Path("~") / ".cache" / "colorlib").expanduser()
    reason = _unusable(folder, inputs)
    if reason is None:
        return folder
    return _fall_back(reason)


def bad_summary(label: str, bad: dict[str, str], total: int) -> str:
    """One line that names the first five files that cannot be read, with the reasons, and counts the others."""
    named = "; ".join(f"{name} ({why})" for name, why in itertools.islice(bad.items(), 5))
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"{label}: {len(bad)} of {total} photographs cannot be read and are left out: {named}{more}"


def colour_summary(without_colour: Counter[str], total: int) -> str:
    """One line that counts the photographs without colour, separately for each kind (grey, tinted, half grey)."""
    counted = ", ".join(f"{n:,} {LACKS[lack]}" for lack, n in without_colour.items())
    return f"{without_colour.total():,} of {total:,} photographs have no colour ({counted})"


def checksum(path: Path) -> int:
    """CRC-32 of a file's size and content. Of a large file only evenly spread chunks and the end are read."""
    size = path.stat().st_size
    chunks = range(0, size, CHUNK)
    if len(chunks) > CHECKED_CHUNKS:
        chunks = range(0, size, -(-size // CHECKED_CHUNKS))
    value = zlib.crc32(str(size).encode())
    with path.open("rb") as file:
        for start in itertools.chain(chunks, [max(0, size - CHUNK)]):
            file.seek(start)
            value = zlib.crc32(file.read(CHUNK), value)
    return value


def _open(stem: Path, side: int) -> Prepared | None:
    """Open the prepared set of this name. Return None if it is missing, damaged or of another shape."""
    path = stem.with_suffix(".npy")
    try:
        index = json.loads(stem.with_suffix(".json").read_text("utf-8"))
        if index["checksum"] != checksum(path):
            return None
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        good, bad = index["pictures"], index["bad"]
        rows = np.array([picture["row"] for picture in good], dtype=np.int64)
        names, keys, lacks = ([picture[field] for picture in good] for field in ("name", "content", "lacks"))
        fits = array.dtype == np.uint8 and array.shape[1:] == (3, side, side)
        fits = fits and all(0 <= row < len(array) for row in rows)
        fits = fits and all(isinstance(text, str) for text in (*names, *keys, *bad.keys(), *bad.values()))
        fits = fits and all(lack in ("", *LACKS) for lack in lacks)
    except Exception:  # whatever is wrong with the files, the set can be made again
        return None
    return Prepared(array, rows, names, keys, lacks, bad) if fits else None


def _build_somewhere(job: _Job, stem: Path) -> Prepared:
    """Build the set in the cache. If the cache cannot be written (full, read-only, a quota), use a temporary folder."""
    try:
        return _build(job, stem)
    except OSError as error:
        place = _fall_back(f"{stem.parent} cannot be written ({error.strerror or error})") / stem.parent.name
    try:
        return _build(job, place / stem.name)
    except OSError as error:
        need = len(job.pictures) * 3 * job.side**2 / 2**20
        raise DataError(
            f"{job.label}: {need:.0f} MiB of prepared photographs fit neither the cache nor {place} "
            f"({error.strerror or error}); set COLORLIB_CACHE to a folder with enough free space"
        ) from error


def _build(job: _Job, stem: Path) -> Prepared:
    """Decode all pictures, write the array and its index, and open them."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    # The array is renamed before its index. A set without its index counts as missing, so a crash between the two
    # renames does no harm.
    with replacing(stem.with_suffix(".npy")) as array_path:
        good, bad = _write_array(job, array_path)
        index = {"format": FORMAT, "checksum": checksum(array_path), "pictures": good, "bad": bad}
    with replacing(stem.with_suffix(".json")) as index_path:
        index_path.write_text(json.dumps(index), "utf-8")
    _remove_outdated(stem)
    prepared = _open(stem, job.side)
    if prepared is None:
        raise OSError(f"the file {stem}.npy was written but cannot be read")
    return prepared


def _write_array(job: _Job, path: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Write one row for each picture. A picture that cannot be read gets a row of zeros, which no source refers to.

    Returns the entries of the index for the pictures that were read, and the reason for each that was not.

    The array is written as a plain file and not through a memory map. On a full disk the plain file raises an OSError,
    while a memory map would end the process with a bus error.
    """
    good: list[dict[str, Any]] = []
    bad: dict[str, str] = {}
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(job.pictures), 3, job.side, job.side)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row, (picture, (pixels, said)) in enumerate(zip(job.pictures, _decode_all(job), strict=True)):
            if pixels is None:
                bad[picture.name] = said
                job.check(bad)
            else:
                lacks = lack_of_colour(pixels)
                good.append({"row": row, "name": picture.name, "content": said, "lacks": lacks})
            file.write(bytes(3 * job.side**2) if pixels is None else pixels.tobytes())
        file.flush()
        os.fsync(file.fileno())
    return good, bad


def _decode_all(job: _Job) -> Iterator[tuple[np.ndarray | None, str]]:
    """Decode the pictures in threads and yield the results in order.

    Threads help although Python runs one at a time, because Pillow releases the interpreter's lock while it decodes.
    """
    quiet = {} if job.progress else {"disable": True}  # `disable=False` would overrule the variable TQDM_DISABLE
    bar = tqdm(total=len(job.pictures), desc=f"preparing {job.label}", unit="photo", **quiet)
    with bar, ThreadPoolExecutor(DECODING_THREADS) as pool, warnings.catch_warnings():
        # Pillow would warn about odd EXIF data or large images once for each file. `bad_summary` reports what matters.
        warnings.simplefilter("ignore")
        # In portions of 64, because `pool.map` would otherwise decode everything at once and fill the memory.
        for start in range(0, len(job.pictures), 64):
            for result in pool.map(lambda picture: _decode(picture, job.side), job.pictures[start : start + 64]):
                bar.update()
                yield result


def _decode(picture: Picture, side: int) -> tuple[np.ndarray | None, str]:
    """Return the square of a picture and the hash of its content. If it cannot be read, return None and the reason."""
    try:
        image, key = picture.load()
        with image:
            return square(image, side), key
    except Exception as error:  # Pillow's decoders raise almost any exception for a damaged file
        return None, one_line(error).removeprefix("cannot read the image: ")


def _remove_outdated(stem: Path) -> None:
    """Delete sets of this side that were made from an earlier state of the source, and files of killed processes."""
    side = stem.name.partition("-")[0]
    outdated = [path for path in stem.parent.glob(f"{side}-*") if path.stem != stem.name]
    abandoned = [path for path in stem.parent.glob(".*.tmp") if time.time() - path.stat().st_mtime > ABANDONED]
    for path in outdated + abandoned:
        with contextlib.suppress(OSError):  # Windows does not delete a file that another process has open
            path.unlink()


def _unusable(folder: Path, inputs: Path | None) -> str | None:
    """The reason why `folder` cannot be the cache. None if it can be."""
    if inputs is not None and folder.resolve().is_relative_to(inputs.resolve()):
        return f"the cache {folder} is inside the data folder {inputs}, which is never written to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"the cache {folder} cannot be written ({error.strerror or error})"


def _fall_back(reason: str) -> Path:
    """Warn, with the reason, that a temporary folder is used as the cache, and return this folder."""
    folder = Path(_temporary_folder().name)
    warnings.warn(
        f"{reason}, so prepared photographs are kept in {folder} until this process ends; "
        "set COLORLIB_CACHE to another folder that can be written",
        stacklevel=4,
    )
    return folder


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """One temporary folder for the whole process, which is deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="colorlib-cache-", ignore_cleanup_errors=True)


def _as_file_name(label: str) -> str:
    """A readable and unique file name for a label: `folder:/my photos` becomes `folder-my-photos-1a2b3c4d`."""
    readable = "".join(c if c.isascii() and c.isalnum() else "-" for c in label)[-40:].strip("-")
    return f"{readable}-{digest([label])[:8]}"
