"""Folders of photographs: how they are read and split, photographs without colour, and the cache."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from colorlib.datasets import cache as cache_module
from colorlib.datasets import open_folder, open_source, pictures
from colorlib.datasets.cache import CHUNK, cache_folder, checksum
from colorlib.datasets.folder import cut_by_content, scan
from colorlib.errors import DataError
from colorlib.files import picture_suffixes

ORIENTATION = 0x0112


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30), **options) -> Path:
    """Write a smooth coloured picture, a different one for each seed. Returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


def folder(root: Path, n: int = 30, suffix: str = ".png") -> Path:
    """Write n different pictures into three subfolders. Returns the root."""
    for i in range(n):
        photo(root / f"album{i % 3}" / f"{i:02}{suffix}", i)
    return root


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets the name of each picture that is decoded during the test."""
    names: list[str] = []
    original = cache_module._decode
    monkeypatch.setattr(
        cache_module, "_decode", lambda picture, side: names.append(picture.name) or original(picture, side)
    )
    return names


def contents(source) -> set[bytes]:
    return {image.numpy().tobytes() for image in source.images(range(len(source)))}


# --- the square of one photograph ---


def square_of(image: Image.Image, side: int = 8, **options) -> np.ndarray:
    file = io.BytesIO()
    image.save(file, **options)
    return pictures.square(Image.open(io.BytesIO(file.getvalue())), side)


def test_the_square_is_the_centre_of_the_resized_picture() -> None:
    """Compare with the two steps in the other order: resize the short side, then crop."""
    small = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((360, 240), Image.Resampling.BICUBIC)
    expected = np.asarray(image.resize((48, 32), Image.Resampling.BICUBIC))[:, 8:40].transpose(2, 0, 1)
    assert np.abs(square_of(image, 32, format="PNG").astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_a_jpeg_decoded_at_reduced_scale_is_the_same_picture() -> None:
    small = np.random.default_rng(1).integers(0, 256, (160, 240, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((1440, 960), Image.Resampling.BICUBIC)
    opened = io.BytesIO()
    image.save(opened, "JPEG", quality=95, subsampling=0)
    with Image.open(opened) as jpeg:
        drafted = pictures.square(jpeg, 160)
        assert jpeg.size == (720, 480)
    assert np.abs(drafted.astype(int) - square_of(image, 160, format="PNG")).mean() < 2


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (20, 20), "red")
    image.paste("blue", (0, 0, 20, 10))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the top of the scene is the right side of the stored picture
    turned = square_of(image, format="JPEG", exif=exif, quality=95)
    assert turned[2, 4, 7] > 200 and turned[0, 4, 0] > 200 and turned[2, 4, 0] < 60


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.fromarray(np.full((9, 9), 40000, np.uint16)), {"format": "PNG"}, (156, 156, 156)),
        (Image.new("P", (9, 9), 1), {"format": "GIF"}, None),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), {"format": "PNG"}, (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 128)), {"format": "PNG"}, (255, 127, 127)),
        (Image.new("LA", (9, 9), (10, 255)), {"format": "PNG"}, (10, 10, 10)),
        (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), {"format": "TIFF"}, (255, 0, 0)),
        (Image.new("1", (9, 9), 1), {"format": "PNG"}, (255, 255, 255)),
        (Image.new("L", (9, 9), 77), {"format": "WEBP", "lossless": True}, (77, 77, 77)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_modes(image: Image.Image, options: dict, expected: tuple[int, int, int] | None) -> None:
    pixel = square_of(image, **options)[:, 4, 4]
    assert pixel.shape == (3,) and (expected is None or np.abs(pixel.astype(int) - expected).max() <= 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    assert (square_of(Image.new("RGB", size, (9, 80, 200)), 32, format="PNG")[:, 16, 16] == (9, 80, 200)).all()


def test_an_eps_file_is_refused_because_it_is_a_program() -> None:
    with pytest.raises(DataError, match="EPS"):
        square_of(Image.new("RGB", (9, 9)), format="EPS")


# --- which files, which split ---


def test_any_nesting_and_format_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["a.JPG", "b/c/d/e.png", "b/f.webp", "g h/ü.tiff", "i.bmp"]
    for i, name in enumerate(wanted):
        photo(tmp_path / name, i)
    for name in ("notes.txt", ".hidden.png", ".git/x.png", "__MACOSX/a.jpg", "b/j.eps", "k.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    assert [entry.path for entry in scan(tmp_path)] == sorted(wanted)
    assert {".jpg", ".heif", ".png", ".jp2"} & picture_suffixes() >= {".jpg", ".png"}


def test_links_in_a_circle(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "one.png")
    try:
        (tmp_path / "a" / "again").symlink_to(tmp_path)
        (tmp_path / "nowhere.png").symlink_to(tmp_path / "missing.png")
    except OSError:
        pytest.skip("no links on this system")
    assert [entry.path for entry in scan(tmp_path)] == ["a/one.png"]


def test_folders_named_train_val_and_test_are_the_splits(tmp_path: Path) -> None:
    for i, name in enumerate(["train/x/a", "train/b", "val/c", "test/d", "e"]):
        photo(tmp_path / f"{name}.png", i)
    opened = {split: open_folder(tmp_path, 8, split) for split in ("train", "val", "test")}
    assert {split: len(source) for split, source in opened.items()} == {"train": 2, "val": 1, "test": 1}


def origin(source) -> str:
    """The text with which a source says from which files its split was made."""
    return source.describe()["made_from"]


@pytest.mark.parametrize("place", ["", "archive"])
def test_test_pictures_under_another_name_are_not_trained_on(tmp_path: Path, place: str) -> None:
    """There are ten pictures in each folder. They must not be mixed into one set of twenty and then cut by content."""
    for i in range(10):
        photo(tmp_path / place / "training" / f"{i}.png", i)
        photo(tmp_path / place / "testing" / f"{i}.png", 100 + i)
    photo(tmp_path / "cover.png", 200)
    opened = {split: open_folder(tmp_path, 8, split) for split in ("train", "val", "test")}
    assert {split: len(source) for split, source in opened.items()} == {"train": 9, "val": 1, "test": 10}
    assert not (contents(opened["train"]) | contents(opened["val"])) & contents(opened["test"])
    below = f"{place}/" if place else ""
    assert origin(opened["test"]) == f"in {below}testing/"
    assert origin(opened["val"]) == f"1 of the 10 in {below}training/, by a hash of their content"
    (note,) = opened["train"].describe()["notes"]
    assert note.startswith("1 photographs outside of the folders of splits are not used") and "cover.png" in note


def test_a_missing_folder_is_cut_from_training(tmp_path: Path) -> None:
    folder(tmp_path / "train", 40)
    photo(tmp_path / "test" / "held out.png", 99)
    sources = {split: open_folder(tmp_path, 8, split) for split in ("train", "val", "test")}
    assert len(sources["test"]) == 1
    assert len(sources["train"]) + len(sources["val"]) == 40 and len(sources["val"]) > 0
    assert not contents(sources["train"]) & contents(sources["val"])


def test_without_train_the_rest_is_training(tmp_path: Path) -> None:
    folder(tmp_path, 40)
    photo(tmp_path / "test" / "held out.png", 99)
    assert len(open_folder(tmp_path, 8, "test")) == 1
    train, val = (open_folder(tmp_path, 8, split) for split in ("train", "val"))
    assert len(train) + len(val) == 40
    made_from = f"{len(train)} of the 40 outside of the folders of splits, by a hash of their content"
    assert train.describe()["notes"] == [] and origin(train) == made_from


def test_cut_by_content_is_80_10_10_and_stable() -> None:
    hashes = [pictures.content_hash(str(i).encode()) for i in range(5000)]
    before = cut_by_content(hashes[:2500])
    shares = [before.count(split) / 2500 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    assert cut_by_content(hashes)[:2500] == before
    assert cut_by_content(hashes[:2500][::-1])[::-1] == before


@pytest.mark.parametrize("n", [3, 4, 5, 8, 12])
def test_small_folders_get_all_three_splits(n: int) -> None:
    for start in range(0, 200, 7):
        hashes = [pictures.content_hash(str(i).encode()) for i in range(start, start + n)]
        assert set(cut_by_content(hashes)) == {"train", "val", "test"}


@pytest.mark.slow
def test_equal_pictures_are_in_the_same_split(tmp_path: Path) -> None:
    folder(tmp_path)
    for i in range(30):
        photo(tmp_path / "copies" / f"other name {i}.png", i)
    sources = [open_folder(tmp_path, 8, split) for split in ("train", "val", "test")]
    assert sum(map(len, sources)) == 60
    assert sum(len(contents(source)) for source in sources) == 30


def test_too_few_to_split(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    photo(tmp_path / "same.png")
    with pytest.raises(DataError, match="at least 3 different pictures"):
        open_folder(tmp_path, 8, "train")


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*check the path"):
        open_source(f"folder:{tmp_path / 'nowhere'}", 8)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        open_source(f"folder:{photo(tmp_path / 'a.png')}", 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no photographs for the split train; looked for \.jpg"):
        open_source(f"folder:{tmp_path / 'empty'}", 8)


# --- bad files ---


def bad_files(root: Path) -> list[str]:
    """Write three files that cannot be read, in the middle of the others and not at the end. Returns their names."""
    root = root / "album1"
    (root / "text.jpg").write_text("not a picture")
    (root / "nothing.png").write_bytes(b"")
    whole = photo(root / "cut.jpg", 99, (300, 200)).read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return ["album1/cut.jpg", "album1/nothing.png", "album1/text.jpg"]


def test_bad_files_are_named_counted_and_left_out_in_one_warning(tmp_path: Path) -> None:
    folder(tmp_path / "train", 30)
    for split in ("val", "test"):
        photo(tmp_path / split / "a.png")
    names = bad_files(tmp_path / "train")
    for _ in range(2):  # the second source is read from the cache
        with pytest.warns(UserWarning) as caught:
            source = open_folder(tmp_path, 8, "train")
        assert len(caught) == 1 and len(source) == 30
        said = str(caught[0].message)
        assert "3 of 33 photographs cannot be read" in said and all(name in said for name in names)
    assert set(source.describe()["bad"]) == {f"train/{name}" for name in names}
    json.dumps(source.describe())
    clean = open_folder(folder(tmp_path / "clean" / "train", 30).parent.parent / "clean" / "train", 8, "train")
    assert contents(clean) <= contents(source)


def test_more_than_a_tenth_bad_stops(tmp_path: Path) -> None:
    folder(tmp_path, 10)
    bad_files(tmp_path)
    with pytest.raises(DataError, match=r"text\.jpg|cut\.jpg|nothing\.png"):
        for split in ("train", "val", "test"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                open_folder(tmp_path, 8, split)


def test_photographs_of_a_kind_that_is_not_read_are_counted(tmp_path: Path) -> None:
    """A folder from a phone has 5 JPEG and 30 HEIC files. Training on 5 photographs must not happen unnoticed."""
    folder(tmp_path / "album", 5, ".jpg")
    for i in range(30):
        (tmp_path / "album" / f"IMG_{i}.HEIC").write_bytes(b"\0\0\0\x24ftypheic" + bytes(40))
    (tmp_path / "album" / "a.nef").write_bytes(b"II*\0")
    with pytest.warns(UserWarning) as caught:
        source = open_folder(tmp_path / "album", 8, "train")
    said = {str(warning.message).partition("album: ")[2] for warning in caught}
    heic, raw = "30 .heic left out: HEIC is not read; ", "1 .nef left out: camera RAW is not read; "
    assert {line.rpartition("; ")[0] + "; " for line in said} == {heic, raw}
    assert sorted(source.describe()["notes"]) == sorted(said)
    for path in (tmp_path / "album").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"has no photographs for .*; looked for .*; 30 \.heic left out: HEIC is not read"
    ):
        open_folder(tmp_path / "album", 8, "train")


def test_a_bad_picture_of_another_kind_is_named_with_its_kind(tmp_path: Path) -> None:
    folder(tmp_path, 30)
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x24ftypheic" + bytes(40))
    with pytest.warns(
        UserWarning, match=r"phone\.jpg \(HEIC is not read; save it as JPEG, or pip install pillow-heif\)"
    ):
        for split in ("train", "val", "test"):
            open_folder(tmp_path, 8, split)


def test_one_bad_file_in_a_small_split_is_no_disaster(tmp_path: Path) -> None:
    """One bad file of 31 is allowed, although it may by chance be one of three in its split. Of five it is too many."""
    folder(tmp_path / "mostly good", 30)
    (tmp_path / "mostly good" / "text.jpg").write_text("not a picture")
    with pytest.warns(UserWarning, match=r"text\.jpg"):
        assert sum(len(open_folder(tmp_path / "mostly good", 8, split)) for split in ("train", "val", "test")) == 30
    for i in range(4):
        photo(tmp_path / "small" / f"{i}.png", i)
    (tmp_path / "small" / "text.jpg").write_text("not a picture")
    with pytest.raises(
        DataError, match=r"text\.jpg \(it is no image in a format that Pillow reads\); that is more than 10%"
    ):
        for split in ("train", "val", "test"):
            open_folder(tmp_path / "small", 8, split)


def test_a_bomb_is_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "val", "test"):
        folder(tmp_path / split, 12)
    photo(tmp_path / "train" / "bomb.png", 0, (200, 200))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 19_000)
    with pytest.warns(UserWarning, match=r"1 of 13 .*bomb\.png \(Image size \(40000 pixels\) exceeds limit of 38000"):
        assert len(open_folder(tmp_path, 8, "train")) == 12


def test_a_picture_over_the_limit_is_not_advised_a_flag_that_training_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "over_limit", lambda width, height: f"{width} x {height}, over the limit")
    with pytest.raises(DataError, match="over the limit; make it smaller"):
        square_of(Image.new("RGB", (9, 9)), format="PNG")


def test_an_unreadable_file_does_not_stop_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has vanished or may not be read counts as one bad picture."""
    folder(tmp_path, 30)
    read = Path.read_bytes

    def forbidden(path: Path) -> bytes:
        if path.name == "07.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = [open_folder(tmp_path, 8, split) for split in ("train", "val", "test")]
    assert sum(map(len, opened)) == 29
    assert ["Permission denied" in str(warning.message) for warning in caught] == [True]


# --- pictures without colour ---


def natural(seed: int, size: tuple[int, int] = (60, 60)) -> Image.Image:
    """A picture with fine structure, in which the lightness does not determine the colour."""
    small = np.random.default_rng(seed).integers(0, 256, (15, 15, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def sepia(seed: int) -> Image.Image:
    """A picture like a scanned sepia print, with grain."""
    toned = ImageOps.colorize(natural(seed).convert("L"), (25, 12, 2), (250, 238, 205), mid=(140, 112, 78))
    noise = np.random.default_rng(seed).normal(0, 3, (60, 60, 3))
    return Image.fromarray((np.asarray(toned) + noise).clip(0, 255).astype(np.uint8))


def pair(seed: int) -> Image.Image:
    """A grey and a coloured picture side by side, as in pix2pix's data sets. The central square contains the seam."""
    both = Image.new("RGB", (128, 64))
    both.paste(natural(seed, (64, 64)), (64, 0))
    both.paste(natural(seed, (64, 64)).convert("L"), (0, 0))
    return both


def grey(seed: int) -> Image.Image:
    return natural(seed).convert("L")


MAKERS = {"": natural, "grey": grey, "tinted": sepia, "half grey": pair}


@pytest.mark.parametrize("lack", MAKERS)
@pytest.mark.parametrize("side", [32, 48])
def test_a_picture_without_colour_is_told_from_one_in_colour(lack: str, side: int) -> None:
    for seed in range(20):
        assert pictures.lack_of_colour(square_of(MAKERS[lack](seed), side, format="JPEG", quality=85)) == lack


def test_plain_and_dull_pictures_are_not_taken_for_prints() -> None:
    """A picture of one plain colour is not tinted, and a dull photograph is not grey."""
    plain = Image.new("RGB", (60, 60), (180, 140, 100))
    assert pictures.lack_of_colour(square_of(plain, 32, format="PNG")) == ""
    for seed in range(20):
        dull = Image.blend(natural(seed), natural(seed).convert("L").convert("RGB"), 0.8)
        assert pictures.lack_of_colour(square_of(dull, 32, format="PNG")) == ""


def album(root: Path, split: str, **counts: int) -> Path:
    """Write pictures into the folder of a split. `colour`, `grey`, `tinted` and `half_grey` are their numbers."""
    (root / split).mkdir(parents=True)
    for lack, n in counts.items():
        for i in range(n):
            MAKERS[lack.replace("_", " ").replace("colour", "")](i).save(root / split / f"{lack}{i}.png")
    return root


def test_pictures_without_colour_are_counted(tmp_path: Path) -> None:
    album(tmp_path, "train", colour=6, grey=3, tinted=2, half_grey=1)
    album(tmp_path, "val", colour=1)
    album(tmp_path, "test", grey=2)
    for _ in range(2):  # the second source is read from the cache
        with pytest.warns(
            UserWarning, match=r"train: 6 of 12 photographs have no colour \(3 grey, 1 grey in one half.*, 2 in"
        ):
            source = open_folder(tmp_path, 32, "train")
    assert source.describe()["without_colour"] == {"grey": 3, "half grey": 1, "tinted": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_folder(tmp_path, 32, "val")
    # Photographs without colour are allowed in the test split.
    with pytest.warns(UserWarning, match="test: 2 of 2 photographs have no colour"):
        open_folder(tmp_path, 32, "test")


@pytest.mark.parametrize("lack", ["grey", "tinted", "half_grey"])
def test_a_set_without_any_colour_is_not_trained_on(tmp_path: Path, lack: str) -> None:
    album(tmp_path, "train", **{lack: 5})
    album(tmp_path, "val", colour=1)
    album(tmp_path, "test", colour=1)
    with pytest.raises(DataError, match=r"5 of 5 photographs have no colour .*, so there is no colour to learn from"):
        open_folder(tmp_path, 32, "train")


# --- cache ---


def test_the_second_opening_decodes_nothing(tmp_path: Path, decoded: list[str]) -> None:
    folder(tmp_path, suffix=".jpg")
    first = open_folder(tmp_path, 8, "train")
    assert len(decoded) == len(first) > 0
    decoded.clear()
    second = open_folder(tmp_path, 8, "train")
    assert not decoded and torch.equal(first.images(range(len(first))), second.images(range(len(first))))
    assert isinstance(second.array, np.memmap) and not second.array.flags.writeable
    assert first.describe() == second.describe()


def test_the_prepared_pictures_are_those_of_the_files(tmp_path: Path) -> None:
    folder(tmp_path / "train", 5)
    for split in ("val", "test"):
        photo(tmp_path / split / "a.png")
    source = open_folder(tmp_path, 8, "train")
    for i, entry in enumerate(e for e in scan(tmp_path) if e.path.startswith("train/")):
        with Image.open(tmp_path / entry.path) as image:
            assert (source.images([i])[0].numpy() == pictures.square(image, 8)).all()


@pytest.mark.parametrize("change", ["add", "remove", "edit", "touch"])
def test_a_changed_source_is_prepared_again(tmp_path: Path, change: str, decoded: list[str]) -> None:
    folder(tmp_path / "train", 12)
    for split in ("val", "test"):
        photo(tmp_path / split / "a.png")
    before = open_folder(tmp_path, 8, "train").describe()
    victim = tmp_path / "train" / "album0" / "00.png"
    if change == "add":
        photo(tmp_path / "train" / "new.png", 77)
    elif change == "remove":
        victim.unlink()
    elif change == "edit":
        photo(victim, 77)
    os.utime(tmp_path / "train" / "album1" / "01.png", ns=(0, 0)) if change == "touch" else None
    decoded.clear()
    after = open_folder(tmp_path, 8, "train").describe()
    assert decoded and after["n"] == 12 + {"add": 1, "remove": -1}.get(change, 0)
    assert (after["fingerprint"] == before["fingerprint"]) == (change == "touch")


def test_the_fingerprint_is_of_names_and_contents_only(tmp_path: Path) -> None:
    prints = [
        open_folder(folder(tmp_path / place), 8, "train").describe()["fingerprint"] for place in ("here", "there")
    ]
    assert prints[0] == prints[1]


@pytest.mark.parametrize("damage", ["flip", "truncate", "shape", "index", "no index", "empty"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, damage: str, decoded: list[str]) -> None:
    source = open_folder(folder(tmp_path / "in"), 8, "train", cache=tmp_path / "cache")
    expected = contents(source)
    del source
    (array,) = (tmp_path / "cache").rglob("*.npy")
    index = array.with_suffix(".json")
    content = bytearray(array.read_bytes())
    if damage == "flip":
        content[-100] ^= 1
        array.write_bytes(content)
    elif damage == "truncate":
        array.write_bytes(content[:-1])
    elif damage == "shape":
        np.save(array, np.zeros((100, 3, 4, 4), np.uint8))
        index.write_text(json.dumps(json.loads(index.read_text()) | {"checksum": checksum(array)}))
    elif damage == "empty":
        array.write_bytes(b"")
    elif damage == "index":
        index.write_text("{")
    else:
        index.unlink()
    decoded.clear()
    assert contents(open_folder(tmp_path / "in", 8, "train", cache=tmp_path / "cache")) == expected
    assert decoded
    decoded.clear()
    assert contents(open_folder(tmp_path / "in", 8, "train", cache=tmp_path / "cache")) == expected
    assert not decoded


@pytest.mark.slow
def test_only_the_latest_state_of_a_source_is_kept(tmp_path: Path) -> None:
    folder(tmp_path / "in")
    for size in (8, 9):
        open_folder(tmp_path / "in", size, "train", cache=tmp_path / "cache")
    abandoned = next((tmp_path / "cache").rglob("8-*.npy")).parent / ".killed.tmp"
    abandoned.write_bytes(b"")
    os.utime(abandoned, (0, 0))
    for i in range(100, 130):
        photo(tmp_path / "in" / f"{i}.png", i)
    open_folder(tmp_path / "in", 8, "train", cache=tmp_path / "cache")
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "cache").rglob("*.npy"))
    assert kept == ["8", "9"] and not abandoned.exists()


def _fingerprint_of(arguments: tuple[str, str]) -> tuple[str, int]:
    source = open_folder(arguments[0], 16, "train", cache=arguments[1], progress=False)
    return source.describe()["fingerprint"], int(source.images(range(len(source))).sum())


@pytest.mark.slow
def test_several_may_build_at_once(tmp_path: Path) -> None:
    arguments = (str(folder(tmp_path / "in", 60)), str(tmp_path / "cache"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = set(pool.map(_fingerprint_of, [arguments] * 4))
    assert len(results) == 1 == len(list((tmp_path / "cache").rglob("*.npy")))
    assert results == {_fingerprint_of(arguments)}
    assert not [path for path in (tmp_path / "cache").rglob(".*")]


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.setenv("COLORLIB_CACHE", str(tmp_path / "environment"))
    assert cache_folder(None) == tmp_path / "environment"
    monkeypatch.delenv("COLORLIB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert cache_folder(None) == tmp_path / "home" / ".cache" / "colorlib"


def test_nothing_is_written_below_the_input(tmp_path: Path) -> None:
    folder(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.warns(UserWarning, match="is inside the data folder.*COLORLIB_CACHE"):
        assert len(open_folder(tmp_path, 8, "train", cache=tmp_path / "cache"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    folder(tmp_path / "in")
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written.*until this process ends"):
        assert len(open_folder(tmp_path / "in", 8, "train", cache=tmp_path / "file" / "cache"))


@pytest.mark.parametrize("rooms", [1, 0], ids=["room in the temporary folder", "no room at all"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rooms: int) -> None:
    folder(tmp_path / "in")
    original, fsync_calls = os.fsync, []

    def full(descriptor: int) -> None:
        fsync_calls.append(descriptor)
        if len(fsync_calls) <= 2 - rooms:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        if rooms:
            assert len(open_folder(tmp_path / "in", 8, "train", cache=tmp_path / "cache"))
        else:
            with pytest.raises(DataError, match="fit neither the cache nor"):
                open_folder(tmp_path / "in", 8, "train", cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and "hashes" not in path.name]


def test_the_checksum_of_a_large_file_samples_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    monkeypatch.setattr(cache_module, "CHECKED_CHUNKS", 4)
    path.write_bytes(bytes(9 * CHUNK + 5))
    before = checksum(path)
    with path.open("r+b") as file:
        file.seek(9 * CHUNK + 4)
        file.write(b"x")
    assert checksum(path) != before
    path.write_bytes(bytes(9 * CHUNK + 4))
    assert checksum(path) != before


def test_progress_can_be_silent(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    open_folder(folder(tmp_path), 8, "train", progress=False)
    assert capsys.readouterr() == ("", "")
    open_folder(tmp_path, 9, "train")
    said = capsys.readouterr()
    assert said.out == "" and "preparing" in said.err
