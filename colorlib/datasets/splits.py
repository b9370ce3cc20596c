"""Understand folders that are splits: `train`, `Validation`, `testA`, `val2017` or `DIV2K_train_HR`."""

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
# Words of splits that are not one of the three.
UNCLEAR = {"dev", "trainval", "trainvaltest", "eval", "evaluation", "holdout", "heldout"}
# Words that may stand beside the word of a split and say nothing more.
FILLERS = {
    "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "set", "data", "dataset", "split",
    "color", "colour", "jpg", "png", "a", "b",
}  # fmt: skip
# So many folders deep at most.
DEEPEST = 4


def split_folders(paths: Iterable[str]) -> dict[str, str]:
    """The folders that are splits, each with its split; `paths` are those of pictures below the root.

    A folder named as a split in the root is one. Deeper folders are splits where at least two different ones are
    beside each other, as in archive/train and archive/test. The shallowest depth with splits is used.

    Raises DataError where a folder beside the splits is named like a split and cannot be told.
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
    """The splits among folders that are beside each other.

    Without `alone` there must be two different ones. Names with more words in them are understood where they differ
    in the word of the split only.
    """
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
    standing = set(splits.values())
    for folder in siblings:
        split, _ = _read_name(folder.name)
        if standing and folder not in splits and split and split not in standing:
            known = ", ".join(map(str, splits))
            raise DataError(
                f"{known} and {folder} look like splits, but it is unclear which split {folder.name} is; "
                "rename it to train, val or test, or move it elsewhere"
            )


def _read_name(name: str) -> tuple[str, tuple[str, ...]]:
    """The split whose word is in a folder's name ("unclear" for an unclear one, "" for none), and its other words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # trainA, TestSet
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", spaced)]
    found = [word for word in words if word in SPLIT_OF_WORD or word in UNCLEAR]
    rest = tuple(word for word in words if word not in found and word not in FILLERS)
    if not found:
        return "", rest
    split = SPLIT_OF_WORD.get(found[0], "unclear") if len(set(found)) == 1 else "unclear"
    return split, rest
