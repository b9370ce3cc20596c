"""Files and folders: atomic writes, walking, locks, and output names that do not collide.

Every module that writes, finds or locks a file does it through this one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import itertools
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from colorlib.errors import RunError

# Pillow recognises these formats but cannot show them, or (EPS) runs Ghostscript on a file that is a program.
UNREADABLE_FORMATS = frozenset({"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR"})

# Photographs that people have and that Pillow does not read by itself: kind, suffixes, and what to do.
NOT_READ: tuple[tuple[str, frozenset[str], str], ...] = (
    ("HEIC", frozenset({".heic", ".heif", ".hif", ".heics", ".heifs"}), "save it as JPEG, or pip install pillow-heif"),
    ("JPEG XL", frozenset({".jxl"}), "save it as PNG or JPEG"),
    (
        "camera RAW",
        frozenset({
            ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos",
            ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
        }),
        "export it as TIFF or JPEG",
    ),
)  # fmt: skip


def printable(path: str | os.PathLike[str]) -> str:
    """A path as one line of text. Line ends, control characters and undecodable bytes are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


# --- writing -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder. It replaces `path` if the block succeeds and is deleted if it fails.

    A reader, or a crash, therefore sees the old file or the new one, never a part. The temporary name is short,
    because the name of `path` may be as long as the file system allows.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # a folder that was deleted meanwhile must not hide the first error
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file by `data`, flushed to the disk. Raises RunError if it cannot be written."""
    try:
        with replacing(path) as temporary:
            write_synced(temporary, data)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and flush it to the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries to the disk, so that a rename in it survives a power cut."""
    if os.name == "nt":  # Windows cannot open a folder, and its renames are durable already
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_file(folder: Path, use: str) -> None:
    """Raise RunError if the folder to write into, or a folder above it, is a file. `use` ends the message: "as --out".

    Callers check this first. Otherwise the error would appear only after the work, for example after every photograph
    has been coloured.
    """
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise RunError(f"{printable(path)} is a file; choose another folder {use}")


# --- finding -------------------------------------------------------------------------------------------------


def find_files(folder: Path) -> list[Path]:
    """Everything below `folder`, at any depth, that is not a folder, sorted.

    Hidden names and macOS's `__MACOSX` folders are left out. Links are followed, and each folder is entered once. A
    folder that may not be entered appears in the list itself.
    """
    found: list[Path] = []
    entered: set[str] = set()
    walk = os.walk(folder, onerror=lambda error: found.append(Path(error.filename)), followlinks=True)
    for root, folders, names in walk:
        if os.path.realpath(root) in entered:
            folders.clear()
            continue
        entered.add(os.path.realpath(root))
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        found += [Path(root, name) for name in names if not name.startswith(".")]
    return sorted(found)


@functools.cache
def register_optional_formats() -> None:
    """Let Pillow read HEIC if the package pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def picture_suffixes() -> set[str]:
    """The file suffixes, with the dot and in lower case, of the formats that Pillow opens here."""
    register_optional_formats()
    known = Image.registered_extensions().items()
    return {suffix for suffix, name in known if name in Image.OPEN and name not in UNREADABLE_FORMATS}


def is_named_as_picture(path: Path) -> bool:
    """Whether the file's name ends like that of a picture that can be read."""
    return path.suffix.lower() in picture_suffixes()


def why_not_read(suffix: str) -> str | None:
    """For the suffix of a photograph that cannot be read: its kind and what to do. None for any other suffix."""
    suffix = suffix.lower()
    for kind, suffixes, remedy in NOT_READ:
        if suffix in suffixes and suffix not in picture_suffixes():
            return f"{kind} is not read; {remedy}"
    return None


def count_not_read(paths: Iterable[str | Path]) -> list[str]:
    """A line for each suffix of photographs that cannot be read: how many of `paths` have it, and what to do."""
    counts = Counter(os.path.splitext(path)[1].lower() for path in paths)
    reasons = {suffix: why_not_read(suffix) for suffix in counts}
    return [f"{counts[suffix]:,} {suffix} left out: {reason}" for suffix, reason in reasons.items() if reason]


# --- locks ---------------------------------------------------------------------------------------------------

# What a system answers when another process holds the lock. Any other answer means that it cannot lock files there.
HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
LOCKED_BYTE = 2**31 - 2  # Windows locks bytes and forbids reading them, so this one lies behind the end of the file
PATIENCE, POLL = 60.0, 0.05  # seconds to wait for another process, and between two attempts


def lock(file: int) -> bool:
    """Lock an open file until it is closed. False if another process holds it; True where files cannot be locked."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[bool]:
    """Lock a file inside the block; yields False if another process holds it and `patience` (seconds) is 0.

    After `patience` the block runs without the lock: another program may have locked the file for its own reasons.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:  # whoever reads the file next reports why it cannot be opened
        file = -1
    try:
        until = time.monotonic() + patience
        while not (mine := file < 0 or lock(file)) and time.monotonic() < until:
            time.sleep(POLL)
        yield mine or patience > 0
    finally:
        if file >= 0:
            os.close(file)


class RunLock:
    """`with RunLock(run): ...` makes a run's folder and keeps other trainers out of it. The block can be nested.

    The system releases the lock when the process ends, however it ends. Some network mounts cannot lock files; there
    the class does nothing. Raises RunError if another trainer holds the run or the folder cannot be made.
    """

    def __init__(self, run: Path) -> None:
        self.run, self._depth = run, 0
        self._file = -1

    def __enter__(self) -> None:
        if self._depth == 0:
            self._file = self._hold()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            os.close(self._file)

    def _hold(self) -> int:
        try:
            self.run.mkdir(parents=True, exist_ok=True)
            # Never delete the lock file. Another process could then create and lock a new file of the same name.
            file = os.open(self.run / ".lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise RunError(f"cannot make the run's folder {self.run}: {error.strerror or error}") from error
        if not lock(file):
            os.close(file)
            raise RunError(f"another training writes into {self.run}; wait for it or stop it, or choose another folder")
        return file


# --- names of outputs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """An input file and its place below the output folder."""

    source: Path
    place: Path
    optional: bool = False
    """Whether it may be left out if it is not a picture: it was found in a folder and is not named like one."""


def find_inputs(paths: str | Path | Iterable[str | Path], out: Path) -> list[Found]:
    """The files that `paths` name and those in the folders that they name, each once, without what lies in `out`.

    A folder keeps its subfolders in the places. A folder without files is listed itself. A pattern, such as `*.jpg`,
    stands for the files that match it, because the shells of Windows do not expand patterns.
    """
    unique: dict[Path, Found] = {}
    given = [paths] if isinstance(paths, str | Path) else paths
    for path in itertools.chain.from_iterable(map(_expand, given)):
        for found in _inputs(path, real(out)):
            unique.setdefault(real(found.source.parent) / found.source.name, found)
    return list(unique.values())


def _expand(path: str | Path) -> list[Path]:
    """The files that match a pattern, or the path itself if it exists, is no pattern or matches nothing."""
    if os.path.lexists(path) or not any(sign in str(path) for sign in "*?["):
        return [Path(path)]
    return [Path(match) for match in sorted(glob.glob(str(path), recursive=True))] or [Path(path)]


def _inputs(path: Path, out: Path) -> Iterator[Found]:
    if not os.path.isdir(path):  # unlike Path.is_dir, this accepts a name that is too long
        yield Found(path, Path(path.name))
        return
    own = set() if real(path) == out else {out}
    inside = [file for file in find_files(path) if not own & set(real(file).parents)]
    for file in inside:  # a folder among them may not be entered
        yield Found(file, file.relative_to(path), _may_be_left_out(file))
    if not inside:
        yield Found(path, Path(path.name))


def _may_be_left_out(file: Path) -> bool:
    return not (is_named_as_picture(file) or why_not_read(file.suffix) or os.path.isdir(file))


def free_name(out: Path, folder: Path, name: str, source: Path, taken: set[str]) -> Path:
    """A path below `out/folder` whose name is not in `taken`: `name`, or with the source's folder or a number before.

    Adds the path to `taken`. Names are compared without case, because Windows and macOS treat a.jpg and A.JPG as one.
    """
    names = itertools.chain([name, f"{real(source).parent.name}-{name}"], (f"{n}-{name}" for n in itertools.count(2)))
    free = next(folder / candidate for candidate in names if str(folder / candidate).casefold() not in taken)
    taken.add(str(free).casefold())
    return out / free


def identity(path: Path) -> tuple[int, int]:
    """Device and inode: equal for two names of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def real(path: Path) -> Path:
    """The path with all links resolved. `Path.resolve` would raise for a link to itself."""
    return Path(os.path.realpath(path))
