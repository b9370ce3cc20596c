"""Open any folder of photographs as a source.

Its splits are the subfolders train, val and test. Without such subfolders each file's split is chosen by a hash of its
content.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from colorlib.datasets.base import SPLITS, ArraySource, digest
from colorlib.datasets.cache import cache_folder, prepare
from colorlib.datasets.pictures import content_hash, picture_file
from colorlib.datasets.splits import split_folders
from colorlib.errors import DataError
from colorlib.files import count_not_read, find_files, picture_suffixes, replacing

# Photographs that no folder assigns to a split are cut into 80 % train, 10 % val and 10 % test.
CUTS = (0.8, 0.9)
HASH = re.compile("[0-9a-f]{32}")
# The suffixes that a message names. About seventy are read.
COMMON_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif")
# A message names at most this many of the folders of a split.
NAMED_FOLDERS = 4


@dataclass(frozen=True)
class Entry:
    """A file below the root folder: its path with forward slashes, its size in bytes and its last change in ns."""

    path: str
    size: int
    changed: int


def open_folder(
    root: str | Path, side: int, split: str, *, cache: str | Path | None = None, progress: bool = True
) -> ArraySource:
    """Open the photographs in `root` and its subfolders, in any format that Pillow reads, as squares of `side` px.

    Folders named train, val and test, or by other usual names (see `splits`), are the splits. If a split has no folder,
    it is a share of the training folder, chosen by a hash of the content. If there is no training folder either, it is
    a share of the files outside of the folders of the other splits. `describe()` tells under `made_from` and `notes`
    how the split was made.

    Files that cannot be read are left out and named in a warning. Photographs of a format that is not supported, such
    as HEIC, are counted in a warning.

    Raises FileNotFoundError if there is no folder `root`. Raises DataError if the split has no photographs, if more
    than a tenth of them cannot be read, or if it is unclear which split a folder is.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder; check the path of the photographs")
    folder = cache_folder(cache, root)
    share = _share_of(split, root, folder, progress)
    if not share.entries:
        said = "; ".join([f"looked for {', '.join(COMMON_SUFFIXES)} and similar files in all subfolders", *share.notes])
        raise DataError(f"{root} has no photographs for the split {split}; {said}")
    prepared = prepare(
        lambda: [picture_file(root / entry.path, entry.path) for entry in share.entries],
        side,
        label=f"folder:{root.resolve()} {split}",
        key=digest([root.resolve(), *share.entries]),
        folder=folder,
        drawn_from=share.drawn_from,
        progress=progress,
    )
    for note in share.notes:
        warnings.warn(f"folder:{root}: {note}", stacklevel=3)
    details = {"path": str(root.resolve()), "made_from": share.made_from, "notes": list(share.notes)}
    return prepared.as_source(f"folder:{root}", split, details)


def scan(root: Path) -> list[Entry]:
    """All files below `root` whose suffix is that of an image format that can be read, sorted by path."""
    return _named_as_pictures(list_files(root))


def _named_as_pictures(files: list[Entry]) -> list[Entry]:
    suffixes = picture_suffixes()
    return [entry for entry in files if os.path.splitext(entry.path)[1].lower() in suffixes]


def list_files(root: Path) -> list[Entry]:
    """All files below `root` except hidden ones, sorted by path."""
    entries = [_entry(root, path) for path in find_files(root)]
    return sorted((entry for entry in entries if entry is not None), key=lambda entry: entry.path)


def cut_by_content(hashes: list[str]) -> list[str]:
    """Choose the split of each file from the hash of its content. Files of equal content get the same split.

    The hash is read as a number in 0..1. Below 0.8 the file is for training, below 0.9 for validation, otherwise for
    test. So files that are added later do not change the split of the others. Only if a set is so small that a split
    would be empty, the file whose hash is nearest to that split is moved into it.
    Raises DataError if there are fewer than three different hashes.
    """
    ranked = sorted(set(hashes))
    if len(ranked) < len(SPLITS):
        raise DataError(
            f"expected at least 3 different pictures to cut into train, val and test, got {len(ranked)}; "
            "add photographs, or move them into folders named train, val and test"
        )
    # How many of the sorted hashes are below each cut, and then where val and test begin: each split gets at least one.
    below = [int(np.sum([_as_fraction(h) < cut for h in ranked])) for cut in CUTS]
    first_val = min(max(below[0], 1), len(ranked) - 2)
    first_test = min(max(below[1], first_val + 1), len(ranked) - 1)
    split_of = {h: SPLITS[(i >= first_val) + (i >= first_test)] for i, h in enumerate(ranked)}
    return [split_of[h] for h in hashes]


@dataclass(frozen=True)
class _Share:
    """The files of a split, the number of files that they were chosen from, and a text that says how."""

    entries: list[Entry]
    drawn_from: int
    made_from: str
    notes: tuple[str, ...] = ()


def _share_of(split: str, root: Path, folder: Path, progress: bool) -> _Share:
    """The files of a split.

    These are the files in the folders of the split if such folders exist. Otherwise they are a hash-based share of the
    training folders or, without training folders, of the files outside of the folders of all splits.
    """
    files = list_files(root)
    entries = _named_as_pictures(files)
    folders = split_folders(entry.path for entry in entries)
    # The files in the folders of each split. Those under "" are in no such folder.
    own: dict[str, list[Entry]] = {name: [] for name in (*SPLITS, "")}
    for entry in entries:
        above = map(str, PurePosixPath(entry.path).parents)
        own[next((folders[place] for place in above if place in folders), "")].append(entry)
    with_folders = [name for name in SPLITS if own[name]]  # the splits that have folders of their own
    notes = (*count_not_read(file.path for file in files), *_unused(own, with_folders))
    # The training folders are used as a whole only if val and test have folders, too. Otherwise a split without a
    # folder takes its share of them.
    if split in with_folders and (split != "train" or len(with_folders) == len(SPLITS)):
        return _Share(own[split], len(own[split]), _named_folders(folders, split), notes)
    pool_of = "train" if "train" in with_folders else ""
    pool = own[pool_of]
    if not pool:
        return _Share([], 0, "", notes)
    cuts = cut_by_content(_content_hashes(root, pool, folder, progress))
    # A split with folders of its own takes no share of the pool: that share stays in train.
    cuts = ["train" if cut in with_folders else cut for cut in cuts]
    chosen = [entry for entry, cut in zip(pool, cuts, strict=True) if cut == split]
    place = (
        _named_folders(folders, "train") if pool_of else "outside of the folders of splits" if with_folders else "found"
    )
    made_from = f"{len(chosen):,} of the {len(pool):,} {place}, by a hash of their content"
    return _Share(chosen, len(pool), made_from, notes)


def _named_folders(folders: dict[str, str], split: str) -> str:
    names = [f"{folder}/" for folder, its_split in folders.items() if its_split == split]
    more = f" and {len(names) - NAMED_FOLDERS} more folders" if len(names) > NAMED_FOLDERS else ""
    return f"in {', '.join(names[:NAMED_FOLDERS])}{more}"


def _unused(own: dict[str, list[Entry]], with_folders: list[str]) -> tuple[str, ...]:
    """A note on the files outside of all splits' folders, which are not used if there are training folders."""
    if "train" not in with_folders or not own[""]:
        return ()
    example = own[""][0].path
    return (f"{len(own['']):,} photographs outside of the folders of splits are not used, for example {example}",)


def _content_hashes(root: Path, entries: list[Entry], folder: Path, progress: bool) -> list[str]:
    """The hash of the content of each file. The cache keeps the hashes, so that an unchanged file is read only once."""
    memory = folder / f"hashes-{digest([str(root.resolve())])[:16]}.json"
    known = _read_json(memory)
    # A file counts as unchanged if its path, size and time of change are the same.
    stamps = [f"{entry.path}|{entry.size}|{entry.changed}" for entry in entries]
    quiet = {} if progress else {"disable": True}
    new = [(stamp, entry) for stamp, entry in zip(stamps, entries, strict=True) if stamp not in known]
    for stamp, entry in tqdm(new, desc=f"reading {root}", unit="file", **quiet) if new else ():
        known[stamp] = _hash_file(root / entry.path)
    if new:
        _write_json(memory, {stamp: known[stamp] for stamp in stamps})
    return [known[stamp] for stamp in stamps]


def _hash_file(path: Path) -> str:
    """The hash of a file's content. For a file that cannot be read it is the hash of its name. `prepare` reports it."""
    try:
        return content_hash(path.read_bytes())
    except OSError:
        return content_hash(os.fsencode(path.name))


def _as_fraction(hexadecimal: str) -> float:
    """A hash as a number in 0..1. Its first 13 hexadecimal digits are 52 bits, which a float holds exactly."""
    return int(hexadecimal[:13], 16) / 16**13


def _entry(root: Path, path: Path) -> Entry | None:
    """The entry of a file. None for a path that is not a regular file, such as a broken link or a pipe."""
    if not path.is_file():
        return None
    status = path.stat()
    return Entry(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns)


def _read_json(path: Path) -> dict[str, str]:
    """Read the remembered hashes. Damaged entries, or a damaged file, are left out and computed again."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    known = content.items() if isinstance(content, dict) else ()
    return {stamp: value for stamp, value in known if isinstance(value, str) and HASH.fullmatch(value)}


def _write_json(path: Path, content: dict[str, str]) -> None:
    """Write the hashes. They only save time, so a failure to write them is ignored."""
    with contextlib.suppress(OSError), replacing(path) as temporary:
        temporary.write_text(json.dumps(content), "utf-8")
