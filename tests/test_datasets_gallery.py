"""The gallery: its photographs and their credits, the source that shows them, and that training refuses it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_fixtures import load
from PIL import Image

from colorlib import RECIPES, Trainer
from colorlib.cli import main
from colorlib.datasets import Batches, GallerySource, Source, gallery_photos, list_sources, open_gallery, open_source
from colorlib.datasets.gallery import FOLDER
from colorlib.datasets.photos import PICTURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
KINDS = {"people", "animals", "plants", "landscapes", "streets", "food", "things"}
LICENCES = {
    "CC0 1.0",
    "public domain",
    "CC BY 2.0",
    "CC BY 3.0",
    "CC BY 4.0",
    "CC BY-SA 3.0",
    "CC BY-SA 4.0",
    "MIT",
    "permission to use and publish, with citation",
}
PHOTOS = gallery_photos()


# --- the files and their credits ---


def test_size_and_variety() -> None:
    assert 20 <= len(PHOTOS) <= 24
    assert sum(photo.file.stat().st_size for photo in PHOTOS) <= 2_000_000
    assert {photo.kind for photo in PHOTOS} == KINDS
    assert min([photo.kind for photo in PHOTOS].count(kind) for kind in KINDS) >= 3


def test_every_file_has_one_row_of_credits() -> None:
    assert sorted(photo.name for photo in PHOTOS) == sorted(path.stem for path in FOLDER.glob("*.jpg"))
    assert {path.suffix for path in FOLDER.iterdir()} == {".jpg", ".md"}
    assert set(load(ROOT / "tools" / "gallery.py", "gallery_tool").ORIGINALS) == {photo.name for photo in PHOTOS}


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_a_photograph_and_its_credits(photo) -> None:
    assert photo.licence in LICENCES
    assert photo.title and photo.author and photo.package
    assert 4 <= len(photo.description.split()) <= 25 and not photo.description.endswith(".")
    with Image.open(photo.file) as image:
        assert image.format == "JPEG" and image.mode == "RGB" and not image.getexif()
        assert min(image.size) >= 256 and max(image.size) <= 640
    pixels = np.asarray(photo.open(), dtype=float)
    assert 30 < pixels.mean() < 225
    assert np.ptp(pixels, axis=2).mean() > 10  # on a grey photograph no colours could be compared


def test_the_licences_that_are_named_are_linked() -> None:
    below = (FOLDER / "CREDITS.md").read_text("utf-8").partition("## Licences")[2]
    for licence in {photo.licence for photo in PHOTOS if photo.licence.startswith("CC")}:
        assert re.search(rf"^- {re.escape(licence)}: https://creativecommons.org/", below, re.MULTILINE)


def test_the_wheel_contains_the_gallery() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert "gallery/*" in tools["setuptools"]["package-data"]["colorlib"]


# --- the source ---


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 256])
def test_squares(size: int) -> None:
    source = open_source("gallery", size, "test")
    assert isinstance(source, Source) and isinstance(source, GallerySource)
    images = source.images(range(len(source)))
    assert images.shape == (len(PHOTOS), 3, size, size) and images.dtype == torch.uint8
    assert source.names == tuple(photo.name for photo in PHOTOS)
    assert source.descriptions == tuple(photo.description for photo in PHOTOS)
    for image, photo in zip(images, PHOTOS, strict=True):
        whole = photo.open()
        side = min(whole.size)
        left, top = ((length - side) // 2 for length in whole.size)
        central = np.asarray(whole.crop((left, top, left + side, top + side)), dtype=float)
        assert image.double().mean((1, 2)).numpy() == pytest.approx(central.mean((0, 1)), abs=1.5)


def test_the_default_split_is_the_test_split() -> None:
    default, test = open_source("gallery", 32), open_source("gallery", 32, "test")
    assert default.split == test.split == "test"
    assert default.describe() == test.describe()
    assert torch.equal(default.images(range(len(default))), test.images(range(len(test))))


@pytest.mark.slow
def test_the_fingerprint_tells_selections_and_sizes_apart() -> None:
    sources = [open_gallery(32), open_gallery(64), open_gallery(32, without="photos")]
    assert len({source.fingerprint for source in sources}) == 3


@pytest.mark.parametrize(
    ("spec", "split", "said"), [("gallery:x", "test", "one of the sources"), ("gallery", "val", "no val")]
)
def test_what_cannot_be_opened(spec: str, split: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_source(spec, 32, split)


def test_photographs_that_a_network_trained_on_photos_has_seen() -> None:
    original = load(ROOT / "tools" / "gallery.py", "gallery_tool").ORIGINALS
    seen = {name for name, path in original.items() if Path(path).name in PICTURES}
    assert len(seen) == len(PICTURES) == 5
    unseen = open_gallery(32, without="photos")
    assert set(unseen.names) == {photo.name for photo in PHOTOS} - seen
    assert len(unseen) == len(unseen.descriptions) == len(PHOTOS) - 5


def test_it_is_listed() -> None:
    (row,) = [row for row in list_sources() if row["name"] == "gallery"]
    assert row["on_disk"] == "yes" and str(len(PHOTOS)) in row["what"]


# --- never for training ---


def test_training_refuses_the_gallery(tmp_path: Path) -> None:
    source = open_source("gallery", 16)
    with pytest.raises(ValueError, match="only for showing results"):
        Batches(source, 4, size=16)
    recipe = RECIPES["l1"].replace(size=16, width=4, batch_size=2)
    with pytest.raises(ValueError, match="only for showing results"):
        Trainer(recipe, source, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["train", "--out", "run"], ["data", "prepare"]])
def test_the_command_line_refuses_it_in_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = ["--data", "gallery"] if command[0] == "train" else ["gallery"]
    assert main([*command, *spec, "--size", "16"]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "only for showing results" in line
    assert list(tmp_path.iterdir()) == []


# --- the comparison with other pictures ---


@pytest.mark.slow
def test_copies_are_found_though_they_are_mirrored_or_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = load(ROOT / "tools" / "gallery.py", "gallery_tool")
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / f"noise{i}.png")
    (photo,) = [photo for photo in PHOTOS if photo.name == "pagoda"]
    square = list(tool.views(photo.open()))[1]
    tool.mirrored(square).resize((128, 128)).save(tmp_path / "mirrored.jpg")
    square.crop((100, 50, 380, 330)).resize((200, 200)).save(tmp_path / "section.jpg")
    tool.compare(tmp_path)
    pattern = r"^(\S+) +(\d+) bits from \S+/(\S+), +(\d+) points in common with \S+/(\S+)$"
    rows = {row[0]: row[1:] for row in re.findall(pattern, capsys.readouterr().out, re.MULTILINE)}
    assert rows.keys() == {photo.name for photo in PHOTOS}
    bits, nearest, points, most = rows.pop("pagoda")
    assert (nearest, most) == ("mirrored.jpg", "section.jpg") and int(bits) <= 2 and int(points) >= 20
    assert all(int(bits) >= 9 and int(points) <= 10 for bits, _, points, _ in rows.values())
