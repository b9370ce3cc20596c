"""The sets that torchvision reads. The tests write small sets in the documented formats, and download nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets
from PIL import Image

from colorlib.datasets import download, open_source
from colorlib.datasets.published import SETS, data_folder, is_on_disk
from colorlib.errors import DataError

CLASSES = ("n01440764", "n02102040", "n02979186")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLORLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLORLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def paint(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (value, 100, 255 - value)).save(path, quality=95)


def values(spec: str, split: str) -> list[int]:
    """The red value of each image, which identifies it."""
    source = open_source(spec, 8, split)
    return source.images(range(len(source)))[:, 0, 4, 4].tolist()


def make_imagenette(root: Path) -> None:
    for part, first in (("train", 0), ("val", 100)):
        for i in range(30 if part == "train" else 6):
            name = CLASSES[i % 3]
            paint(root / "imagenette2-320" / part / name / f"{name}_{i:03}.JPEG", first + i * 3)


def make_pets(root: Path) -> None:
    notes = root / "oxford-iiit-pet" / "annotations"
    notes.mkdir(parents=True)
    for part, first in (("trainval", 0), ("test", 150)):
        names = [f"Abyssinian_{first + i}" for i in range(20 if part == "trainval" else 5)]
        (notes / f"{part}.txt").write_text("".join(f"{name} 1 1 1\n" for name in names))
        for i, name in enumerate(names):
            paint(root / "oxford-iiit-pet" / "images" / f"{name}.jpg", first + i * 5)


def make_flowers(root: Path) -> None:
    base = root / "flowers-102"
    for i in range(1, 13):
        paint(base / "jpg" / f"image_{i:05}.jpg", i * 20)
    scipy.io.savemat(base / "imagelabels.mat", {"labels": np.ones(12, int)})
    ids = {"trnid": np.arange(1, 5), "valid": np.arange(5, 8), "tstid": np.arange(8, 13)}
    scipy.io.savemat(base / "setid.mat", ids)


def make_stl10(root: Path) -> None:
    base = root / "stl10_binary"
    base.mkdir(parents=True)
    for part, n in (("train", 20), ("test", 4)):
        pictures = np.full((n, 3, 96, 96), 120, np.uint8)
        pictures[:, 0] = np.arange(n, dtype=np.uint8)[:, None, None] * 9
        pictures.tofile(base / f"{part}_X.bin")
        np.ones(n, np.uint8).tofile(base / f"{part}_y.bin")
    (base / "fold_indices.txt").write_text("0 1\n" * 10)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision accept the small files, whose checksums are not those of the published files."""
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.STL10, "_check_integrity", lambda self: True)


MAKE = {"imagenette": make_imagenette, "pets": make_pets, "flowers102": make_flowers, "stl10": make_stl10}


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("spec", "train", "test"),
    [
        ("imagenette", [i * 3 for i in range(30)], [100 + i * 3 for i in range(6)]),
        ("pets", [i * 5 for i in range(20)], [150 + i * 5 for i in range(5)]),
        ("stl10", [i * 9 for i in range(20)], [i * 9 for i in range(4)]),
    ],
)
def test_sets_with_two_parts_get_a_third_by_index(root: Path, spec: str, train: list[int], test: list[int]) -> None:
    MAKE[spec](root)
    found = {split: values(spec, split) for split in ("train", "val", "test")}
    assert len(found["val"]) == len(train) // 10 and len(found["train"]) == len(train) - len(train) // 10
    assert sorted(found["train"] + found["val"]) == pytest.approx(train, abs=2)
    assert sorted(found["test"]) == pytest.approx(test, abs=2)


@pytest.mark.usefixtures("trusted")
def test_flowers_keep_their_three_parts(root: Path) -> None:
    make_flowers(root)
    assert values("flowers102", "train") == pytest.approx([20, 40, 60, 80], abs=2)
    assert values("flowers102", "val") == pytest.approx([100, 120, 140], abs=2)
    assert values("flowers102", "test") == pytest.approx([160, 180, 200, 220, 240], abs=2)


def test_the_second_opening_uses_the_cache_and_not_torchvision(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pets(root)
    before = open_source("pets", 8, "train")
    monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", None)
    again = open_source("pets", 8, "train")
    assert torch.equal(before.images(range(18)), again.images(range(18)))
    assert before.describe() == again.describe() and again.describe()["licence"] == "CC BY-SA 4.0"


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    make_pets(root)
    (root / "oxford-iiit-pet" / "images" / "Abyssinian_7.jpg").unlink()
    with pytest.warns(UserWarning, match=r"trainval/7 \(No such file|trainval/7 .*Abyssinian_7\.jpg"):
        assert len(open_source("pets", 8, "train")) == 17
    for i in range(1, 5):
        (root / "oxford-iiit-pet" / "images" / f"Abyssinian_{i}.jpg").unlink()
    with pytest.raises(DataError, match="more than 10%"):
        open_source("pets", 8, "train")


@pytest.mark.parametrize("spec", SETS)
def test_a_missing_set_says_how_to_get_it(spec: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"colorlib data get {spec}$"):
        open_source(spec, 8)


@pytest.mark.parametrize("spec", SETS)
def test_an_incomplete_set_says_how_to_get_it(root: Path, spec: str) -> None:
    (root / SETS[spec].folder).mkdir(parents=True)
    assert is_on_disk(spec)
    with pytest.raises(FileNotFoundError, match=f"is incomplete .*colorlib data get {spec}$"):
        open_source(spec, 8)


def test_where_data_is(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder() == root and data_folder(tmp_path) == tmp_path
    monkeypatch.delenv("COLORLIB_DATA")
    assert data_folder() == Path("data")


# --- download ---


class Recorder:
    """A replacement for a torchvision data set that only records how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Path, str, bool]] = []
        self.error: Exception | None = None

    def __call__(self, root: Path | str, split: str, download: bool, **options) -> None:
        self.calls.append((Path(root), split, download))
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("name", "torchvision_name", "parts"),
    [
        ("imagenette", "Imagenette", {"train", "val"}),
        ("flowers102", "Flowers102", {"train", "val", "test"}),
        ("pets", "OxfordIIITPet", {"trainval", "test"}),
        ("stl10", "STL10", {"train", "test"}),
    ],
)
def test_download_asks_torchvision_for_every_part(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, torchvision_name: str, parts: set[str]
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(torchvision.datasets, torchvision_name, recorder)
    assert download(name) == root / SETS[name].folder
    assert {call[1] for call in recorder.calls} == parts and all(call[0] == root and call[2] for call in recorder.calls)
    recorder.error = RuntimeError("HTTP Error 503")
    with pytest.raises(DataError, match=rf"{name} could not be downloaded .*503.*try again"):
        download(name)


def test_opening_never_downloads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    recorder.error = RuntimeError("not found")
    monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", recorder)
    (root / "oxford-iiit-pet").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        open_source("pets", 8)
    assert recorder.calls == [(root, "trainval", False)]


def test_download_refuses_sources_that_need_no_download() -> None:
    with pytest.raises(ValueError, match="imagenette, flowers102, pets, stl10, got 'scenes'"):
        download("scenes")
