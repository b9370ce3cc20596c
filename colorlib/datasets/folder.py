"""Any folder of photographs as a source, split by the names of its folders or by the content of the files."""

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

# Of the pictures that no folder assigns to a split: 80 % train, 10 % val, 10 % test.
CUTS = (0.8, 0.9)
HASH = re.compile("[0-9a-f]{32}")
# Out of about seventy, those that a message names.
COMMON_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif")
# Of the folders of a split, those that a line about it names.
NAMED_FOLDERS = 4


@dataclass(frozen=True)
class Entry:
    """A file below the root: its path with forward slashes, size in bytes and time of the last change."""

    path: str
    size: int
    changed: int


def open_folder(
    root: str | Path, side: int, split: str, *, cache: str | Path | None = None, progress: bool = True
) -> ArraySource:
    """The photographs below `root`, of any nesting and any format that Pillow reads, as squares of `side` px.

    Folders named train, val and test, or as `splits` understands, are the splits. A missing split is cut by content
    hash from the training folder, or from everything outside of the other splits if there is no training folder.
    `describe()` tells under `made_from` and `notes` how the split came about. Files that cannot be read are named,
    counted and left out; photographs of a kind that is not read, such as HEIC, are counted in a warning.
    Raises FileNotFoundError without `root`; DataError without pictures, where more than a tenth is bad, or where it is
    unclear which split a folder is.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"expected a folder with photographs, got {root}, which is no folder; check the path")
    folder = cache_folder(cache, root)
    share = _share_of(split, root, folder, progress)
    if not share.entries:
        looked_for = f"{', '.join(COMMON_SUFFIXES)} and the like, in all subfolders"
        said = "; ".join([f"looked for {looked_for}", *share.notes])
        raise DataError(f"expected pictures for {split} in {root}, found none; {said}")
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
    """All files below `root` that carry the suffix of a picture, sorted by path."""
    return _named_as_pictures(list_files(root))


def _named_as_pictures(files: list[Entry]) -> list[Entry]:
    suffixes = picture_suffixes()
    return [entry for entry in files if os.path.splitext(entry.path)[1].lower() in suffixes]


def list_files(root: Path) -> list[Entry]:
    """All files below `root` except hidden ones, sorted by path."""
    entries = [_entry(root, path) for path in find_files(root)]
    return sorted((entry for entry in entries if entry is not None), key=lambda entry: entry.path)


def cut_by_content(hashes: list[str]) -> list[str]:
    """The split of each file given the hash of its content: equal content, equal split, whatever the file is called.

    A hash, read as a number in 0..1, falls below 0.8 (train), 0.9 (val) or above, so that adding files moves none that
    was there. Only in a set so small that chance would leave a split empty, its nearest neighbour in hash moves over.
    Raises DataError for fewer than three different pictures.
    """
    ranked = sorted(set(hashes))
    if len(ranked) < len(SPLITS):
        raise DataError(
            f"expected at least 3 different pictures to cut into train, val and test, got {len(ranked)}; "
            "add pictures, or sort them into folders train, val and test"
        )
    below = [int(np.sum([_as_fraction(h) < cut for h in ranked])) for cut in CUTS]
    first_val = min(max(below[0], 1), len(ranked) - 2)
    first_test = min(max(below[1], first_val + 1), len(ranked) - 1)
    split_of = {h: SPLITS[(i >= first_val) + (i >= first_test)] for i, h in enumerate(ranked)}
    return [split_of[h] for h in hashes]


@dataclass(frozen=True)
class _Share:
    """The files of a split, how many files they were drawn from, and how that came about, in words."""

    entries: list[Entry]
    drawn_from: int
    made_from: str
    notes: tuple[str, ...] = ()


def _share_of(split: str, root: Path, folder: Path, progress: bool) -> _Share:
    """The files in the folders of `split` if there are any, otherwise a hash-based share of the training files, or of
    the files outside of all splits where no folder is for training."""
    files = list_files(root)
    entries = _named_as_pictures(files)
    folders = split_folders(entry.path for entry in entries)
    own: dict[str, list[Entry]] = {name: [] for name in (*SPLITS, "")}
    for entry in entries:
        above = map(str, PurePosixPath(entry.path).parents)
        own[next((folders[place] for place in above if place in folders), "")].append(entry)
    standing = [name for name in SPLITS if own[name]]
    notes = (*count_not_read(file.path for file in files), *_unused(own, standing))
    if split in standing and (split != "train" or len(standing) == len(SPLITS)):
        return _Share(own[split], len(own[split]), _named_folders(folders, split), notes)
    pool_of = "train" if "train" in standing else ""
    pool = own[pool_of]
    if not pool:
        return _Share([], 0, "", notes)
    cuts = cut_by_content(_content_hashes(root, pool, folder, progress))
    # A split with a folder of its own takes nothing from the pool: its share stays in train.
    cuts = ["train" if cut in standing else cut for cut in cuts]
    chosen = [entry for entry, cut in zip(pool, cuts, strict=True) if cut == split]
    place = _named_folders(folders, "train") if pool_of else "outside of the folders of splits" if standing else "found"
    made_from = f"{len(chosen):,} of the {len(pool):,} {place}, by a hash of their content"
    return _Share(chosen, len(pool), made_from, notes)


def _named_folders(folders: dict[str, str], split: str) -> str:
    names = [f"{folder}/" for folder, its_split in folders.items() if its_split == split]
    more = f" and {len(names) - NAMED_FOLDERS} more folders" if len(names) > NAMED_FOLDERS else ""
    return f"in {', '.join(names[:NAMED_FOLDERS])}{more}"


def _unused(own: dict[str, list[Entry]], standing: list[str]) -> tuple[str, ...]:
    """A note on the pictures that are in no split although other folders are for training."""
    if "train" not in standing or not own[""]:
        return ()
    return (f"{len(own['']):,} pictures outside of the folders of splits are not used, as {own[''][0].path}",)


def _content_hashes(root: Path, entries: list[Entry], folder: Path, progress: bool) -> list[str]:
    """The hash of each file, remembered in the cache so that an unchanged file is read once."""
    memory = folder / f"hashes-{digest([str(root.resolve())])[:16]}.json"
    known = _read_json(memory)
    stamps = [f"{entry.path}|{entry.size}|{entry.changed}" for entry in entries]
    quiet = {} if progress else {"disable": True}
    new = [(stamp, entry) for stamp, entry in zip(stamps, entries, strict=True) if stamp not in known]
    for stamp, entry in tqdm(new, desc=f"reading {root}", unit="file", **quiet) if new else ():
        known[stamp] = _hash_file(root / entry.path)
    if new:
        _write_json(memory, {stamp: known[stamp] for stamp in stamps})
    return [known[stamp] for stamp in stamps]


def _hash_file(path: Path) -> str:
    """A file that cannot be read is hashed by its name: it is reported when the pictures are prepared."""
    try:
        return content_hash(path.read_bytes())
    except OSError:
        return content_hash(os.fsencode(path.name))


def _as_fraction(hexadecimal: str) -> float:
    return int(hexadecimal[:13], 16) / 16**13


def _entry(root: Path, path: Path) -> Entry | None:
    """None for what is no file: a broken link, a pipe."""
    if not path.is_file():
        return None
    status = path.stat()
    return Entry(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns)


def _read_json(path: Path) -> dict[str, str]:
    """The hashes that are remembered; what is damaged is forgotten."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    known = content.items() if isinstance(content, dict) else ()
    return {stamp: value for stamp, value in known if isinstance(value, str) and HASH.fullmatch(value)}


def _write_json(path: Path, content: dict[str, str]) -> None:
    """Remembering the hashes only saves time, so a failure to write them is ignored."""
    with contextlib.suppress(OSError), replacing(path) as temporary:
        temporary.write_text(json.dumps(content), "utf-8")
