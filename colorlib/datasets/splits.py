"""Recognise folders that are splits by their usual names: `train`, `Validation`, `testA`, `val2017`, `DIV2K_train_HR`.

If the test folder were not recognised, a network would be trained on the photographs that were set aside for the test.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from colorlib.datasets.base import SPLITS
from colorlib.errors import DataError

SPLIT_OF_WORD = {
    "train": "train", "training": "train", "trainset": "train", "traindata": "train",
    "val": "val", "valid": "val", "validation": "val", "valset": "val",
    "test": "test", "testing": "test", "testset": "test", "testdata": "test",
}  # fmt: skip
# Words that name a split, but of which it is unclear which of the three is meant.
UNCLEAR = {"dev", "trainval", "trainvaltest", "eval", "evaluation", "holdout", "heldout"}
# Words that do not change the meaning of a name: `train_images` means the same as `train`.
FILLERS = {
    "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "set", "data", "dataset", "split",
    "color", "colour", "jpg", "png", "a", "b",
}  # fmt: skip
# Splits are looked for at most this many folders below the root.
DEEPEST = 4


def split_folders(paths: Iterable[str]) -> dict[str, str]:
    """Find the folders that are splits, and the split that each one is.

    `paths` are the paths of the photographs, relative to the root.

    A folder directly in the root is a split if its name is that of a split. Deeper folders are splits if a folder
    contains at least two different ones, for example archive/train and archive/test. A single split in another folder
    of the same depth then counts, too. The search begins in the root and stops at the first depth that has splits.

    Raises DataError if a folder beside the splits is named like a split, but it is unclear which one.
    """
    folders = {folder for path in paths for folder in PurePosixPath(path).parents if folder.parts}
    for depth in range(1, DEEPEST + 1):
        siblings = defaultdict(list)
        for folder in sorted(folder for folder in folders if len(folder.parts) == depth):
            siblings[folder.parent].append(folder)
        splits = {parent: _among(beside, alone=depth == 1) for parent, beside in siblings.items()}
        if any(splits.values()):
            # Where cats/train and cats/test are splits, dogs/train is one too.
            splits = {parent: _among(beside, alone=True) for parent, beside in siblings.items()}
            for parent, beside in siblings.items():
                _refuse_unclear(splits[parent], beside)
            return {str(folder): split for found in splits.values() for folder, split in found.items()}
    return {}


def _among(siblings: list[PurePosixPath], *, alone: bool) -> dict[PurePosixPath, str]:
    """The splits among folders that have the same parent.

    Unless `alone`, there must be at least two different splits. A name with further words, such as `DIV2K_train_HR`,
    counts only if another folder's name differs from it only in the word for the split, such as `DIV2K_valid_HR`.
    """
    # Each group holds the folders whose names have the same further words.
    groups: dict[tuple[str, ...], dict[PurePosixPath, str]] = defaultdict(dict)
    for folder in siblings:
        split, rest = _read_name(folder.name)
        if split in SPLITS:
            groups[rest][folder] = split
    understood: dict[PurePosixPath, str] = {}
    for rest, group in groups.items():
        if len(set(group.values())) > 1 or (alone and not rest):
            understood |= group
    return understood


def _refuse_unclear(splits: dict[PurePosixPath, str], siblings: list[PurePosixPath]) -> None:
    """Raise DataError if a folder beside the splits is named like another split, but was not recognised as one."""
    recognised = set(splits.values())
    for folder in siblings:
        split, _ = _read_name(folder.name)
        if recognised and folder not in splits and split and split not in recognised:
            known = ", ".join(map(str, splits))
            raise DataError(
                f"{known} and {folder} look like splits, but it is unclear which split {folder.name} is; "
                "rename it to train, val or test, or move it to another place"
            )


def _read_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Find the split that a folder's name contains, and the further words of the name.

    The split is "unclear" if the name contains two different words for splits or one of UNCLEAR. It is "" if the name
    contains no word for a split.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # trainA becomes train A, TestSet becomes Test Set
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", spaced)]
    found = [word for word in words if word in SPLIT_OF_WORD or word in UNCLEAR]
    rest = tuple(word for word in words if word not in found and word not in FILLERS)
    if not found:
        return "", rest
    split = SPLIT_OF_WORD.get(found[0], "unclear") if len(set(found)) == 1 else "unclear"
    return split, rest
