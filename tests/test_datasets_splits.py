"""Folders that are splits, under the names that people and published data sets use for them."""

from __future__ import annotations

import pytest

from colorlib.datasets.splits import split_folders
from colorlib.errors import DataError


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("train val test", "train val test"),
        ("Train Validation Test", "train val test"),
        ("TRAIN VAL TEST", "train val test"),
        ("training testing", "train test"),
        ("train valid test", "train val test"),
        ("trainA testA trainB testB", "train test train test"),
        ("trainA trainB testA", "train train test"),
        ("train2017 val2017 test2017", "train val test"),
        ("train_images test-images", "train test"),
        ("training_set Test_Set", "train test"),
        ("trainset testset", "train test"),
        ("DIV2K_train_HR DIV2K_valid_HR", "train val"),
        ("seg_train seg_test seg_pred", "train test -"),
        ("archive/train archive/val archive/test", "train val test"),
        ("a/b/c/train a/b/c/test", "train test"),
        ("cats/train cats/test dogs/train", "train test train"),
        ("train/test train/val", "train/ train/"),
        # In the root, a folder for one split is enough.
        ("test album", "test -"),
        ("train album", "train -"),
        # Not splits: a single split in a deeper folder, names with different further words, parts of other words.
        ("2019/test 2019/beach", "- -"),
        ("test_shots train_rides", "- -"),
        ("testament contrails validity Prevalence", "- - - -"),
        ("train train_rides", "train -"),
    ],
)
def test_names(folders: str, expected: str) -> None:
    names = folders.split()
    found = split_folders(f"{name}/x/{i}.png" for i, name in enumerate(names))
    if expected == "train/ train/":  # a folder inside a split is not a split
        assert found == {"train": "train"}
        return
    assert found == {name: split for name, split in zip(names, expected.split(), strict=True) if split != "-"}


@pytest.mark.parametrize(
    ("folders", "unclear"),
    [
        ("train eval", "eval"),
        ("train dev test", "dev"),
        ("trainval test", "trainval"),
        ("train holdout", "holdout"),
        ("train test_lowres", "test_lowres"),
        ("set/train set/test set/evaluation", "evaluation"),
    ],
)
def test_what_looks_like_a_split_and_is_unclear_is_refused(folders: str, unclear: str) -> None:
    with pytest.raises(DataError, match=f"unclear which split {unclear} is; rename it"):
        split_folders(f"{name}/{i}.png" for i, name in enumerate(folders.split()))


def test_files_named_like_splits_are_ignored() -> None:
    assert split_folders(["train", "test", "train.png", "album/test.jpg"]) == {}
