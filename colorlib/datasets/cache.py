"""Pictures are decoded once: prepared squares in a memory-mapped file, checked when opened, rebuilt when in doubt.

A prepared set is two files: `SIDE-KEY.npy`, uint8 `(n, 3, side, side)`, and `SIDE-KEY.json`, which says what each row
holds and the checksum of the array. KEY hashes what the pictures were made from, so a changed source has another name.
Both are written under another name and renamed when complete: two processes that prepare the same set at once, or one
that dies half way, leave nothing broken behind.
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

# Part of every key: raise it when the way in which pictures are prepared changes.
FORMAT = "colorlib-prepared-2"
BAD_SHARE = 0.1
DECODING_THREADS = 2
CHUNK = 1 << 20
# The checksum reads a file of up to 256 MiB whole, of a larger one 256 evenly spread MiB: well under a second.
CHECKED_CHUNKS = 256
# How a message says in what way pictures have no colour.
LACKS = {
    "grey": "grey",
    "tinted": "in shades of one colour, as sepia prints",
    "half grey": "grey in one half, as a grey and a coloured picture side by side: cut them apart",
}
# Seconds after which a file under its temporary name has nobody who still writes it.
ABANDONED = 24 * 3600


@dataclass(frozen=True)
class Prepared:
    """Prepared pictures: `rows[i]` of `array` (rows, 3, side, side) has the name `names[i]` and the content `keys[i]`.

    `lacks[i]` is what `pictures.lack_of_colour` returned for picture i. `bad` gives the name of each picture that could
    not be read, and why.
    """

    array: np.ndarray
    rows: np.ndarray
    names: list[str]
    keys: list[str]
    lacks: list[str]
    bad: dict[str, str]

    def as_source(self, name: str, split: str, details: dict[str, Any]) -> ArraySource:
        """The pictures as a source, whose fingerprint is of their names and contents.

        Pictures without colour are counted in a warning. Raises DataError for `train` if no picture has colour.
        """
        without_colour = Counter(lack for lack in self.lacks if lack)
        if without_colour:
            counted = colour_summary(without_colour, len(self.lacks))
            if split == "train" and without_colour.total() == len(self.lacks):
                raise DataError(f"{name}: {counted}: there is no colour to learn from")
            warnings.warn(f"{name}, {split}: {counted}", stacklevel=4)
        details = details | {"without_colour": dict(without_colour)}
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
    """The squares of `pictures()` from the cache in `folder`, after making them where they are not there.

    `key` hashes what the pictures come from, `label` names the set in the cache and in messages. Bad pictures are left
    out, with one warning that names them. Raises DataError where more than a tenth is bad (but a split that chance drew
    from 10 pictures or more, `drawn_from`, may have one), or where the cache and the temporary folder are both full.
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
    """What is to be prepared; see `prepare`."""

    pictures: Sequence[Picture]
    side: int
    label: str
    drawn_from: int
    progress: bool

    def check(self, bad: dict[str, str]) -> None:
        """Raise DataError where too many are bad."""
        n = len(self.pictures)
        allowed = max(BAD_SHARE * n, 1 if BAD_SHARE * self.drawn_from >= 1 else 0)
        if len(bad) > allowed or len(bad) == n:
            raise DataError(
                f"{bad_summary(self.label, bad, n)}; that is more than {BAD_SHARE:.0%}: repair or remove these files"
            )


def cache_folder(cache: str | Path | None, inputs: Path | None = None) -> Path:
    """Where prepared pictures go: `cache`, else `$COLORLIB_CACHE`, else `~/.cache/colorlib`.

    A temporary folder, with a warning, where that cannot be written or lies below the folder `inputs`, which is never
    written to.
    """
    folder = Path(cache or os.environ.get("COLORLIB_CACHE") or Path("~") / ".cache" / "colorlib").expanduser()
    reason = _unusable(folder, inputs)
    if reason is None:
        return folder
    return _fall_back(reason)


def bad_summary(label: str, bad: dict[str, str], total: int) -> str:
    """One line that names the first few bad pictures and counts the rest."""
    named = "; ".join(f"{name} ({why})" for name, why in itertools.islice(bad.items(), 5))
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    return f"{label}: {len(bad)} of {total} pictures cannot be read and are left out: {named}{more}"


def colour_summary(without_colour: Counter[str], total: int) -> str:
    """One line that counts the pictures without colour, by the way in which they lack it."""
    counted = ", ".join(f"{n:,} {LACKS[lack]}" for lack, n in without_colour.items())
    return f"{without_colour.total():,} of {total:,} pictures have no colour ({counted})"


def checksum(path: Path) -> int:
    """CRC-32 of the file, of which a large one is read in evenly spread chunks; the size counts too."""
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
    """The prepared set under this name, or None where it is missing, damaged or of another shape."""
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
    except Exception:  # whatever is wrong with them, they can be made anew
        return None
    return Prepared(array, rows, names, keys, lacks, bad) if fits else None


def _build_somewhere(job: _Job, stem: Path) -> Prepared:
    """Build where the cache is; if it will not take the files (full, read-only, a quota), in a temporary folder."""
    try:
        return _build(job, stem)
    except OSError as error:
        place = _fall_back(f"{stem.parent} cannot be written ({error.strerror or error})") / stem.parent.name
    try:
        return _build(job, place / stem.name)
    except OSError as error:
        need = len(job.pictures) * 3 * job.side**2 / 2**20
        raise DataError(
            f"{job.label}: {need:.0f} MiB of prepared pictures fit neither the cache nor {place} "
            f"({error.strerror or error}); set COLORLIB_CACHE to a folder with room"
        ) from error


def _build(job: _Job, stem: Path) -> Prepared:
    """Decode all, write array and index under their final names, and open them."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    with replacing(stem.with_suffix(".npy")) as array_path:
        good, bad = _write_array(job, array_path)
        index = {"format": FORMAT, "checksum": checksum(array_path), "pictures": good, "bad": bad}
    with replacing(stem.with_suffix(".json")) as index_path:
        index_path.write_text(json.dumps(index), "utf-8")
    _remove_outdated(stem)
    prepared = _open(stem, job.side)
    if prepared is None:
        raise OSError(f"what was written to {stem}.npy does not read back")
    return prepared


def _write_array(job: _Job, path: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Write a row for each picture, zeros for a bad one; returns the good ones and why each bad one is bad.

    Written as a plain file and not through a memory map: on a full disk that is an error and not a crash.
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
    """In order, decoded in threads (Pillow lets go of the interpreter while it works), a bounded number ahead."""
    quiet = {} if job.progress else {"disable": True}  # not disable=False: that would overrule TQDM_DISABLE
    bar = tqdm(total=len(job.pictures), desc=f"preparing {job.label}", unit="picture", **quiet)
    with bar, ThreadPoolExecutor(DECODING_THREADS) as pool, warnings.catch_warnings():
        # Pillow warns about odd EXIF data and large images picture by picture; what matters comes as one summary.
        warnings.simplefilter("ignore")
        for start in range(0, len(job.pictures), 64):
            for result in pool.map(lambda picture: _decode(picture, job.side), job.pictures[start : start + 64]):
                bar.update()
                yield result


def _decode(picture: Picture, side: int) -> tuple[np.ndarray | None, str]:
    """Square and content key; for a bad picture None and the reason."""
    try:
        image, key = picture.load()
        with image:
            return square(image, side), key
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        return None, one_line(error).removeprefix("cannot read the image: ")


def _remove_outdated(stem: Path) -> None:
    """Remove sets of this side made from an earlier state of the source, and what a killed process left half done.

    One that is still open elsewhere may refuse, and stays.
    """
    side = stem.name.partition("-")[0]
    outdated = [path for path in stem.parent.glob(f"{side}-*") if path.stem != stem.name]
    abandoned = [path for path in stem.parent.glob(".*.tmp") if time.time() - path.stat().st_mtime > ABANDONED]
    for path in outdated + abandoned:
        with contextlib.suppress(OSError):
            path.unlink()


def _unusable(folder: Path, inputs: Path | None) -> str | None:
    """Why `folder` cannot be the cache, None if it can."""
    if inputs is not None and folder.resolve().is_relative_to(inputs.resolve()):
        return f"the cache {folder} lies below the input {inputs}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"the cache {folder} cannot be written ({error.strerror or error})"


def _fall_back(reason: str) -> Path:
    folder = Path(_temporary_folder().name)
    warnings.warn(
        f"{reason}: prepared pictures go to {folder} and last as long as this process; "
        "set COLORLIB_CACHE to a folder that can be written",
        stacklevel=4,
    )
    return folder


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """One for the process, removed at its end."""
    return tempfile.TemporaryDirectory(prefix="colorlib-cache-", ignore_cleanup_errors=True)


def _as_file_name(label: str) -> str:
    """Readable and unique: `folder:/my photos` becomes `folder-my-photos-1a2b3c4d`."""
    readable = "".join(c if c.isascii() and c.isalnum() else "-" for c in label)[-40:].strip("-")
    return f"{readable}-{digest([label])[:8]}"
