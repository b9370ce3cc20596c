"""The Kaggle set: the places of its parts, its colours compared with OpenCV's, and whether gray_scale is L* or luma."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from colorlib import scenes
from colorlib.datasets import kaggle, open_kaggle, open_source, photos
from colorlib.datasets.lightness import Evidence, evidence
from colorlib.errors import DataError

N = 100
COUNTS = (40, 40, 20)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Use one thread. These tests make thousands of small operations, and waiting for other threads costs tenfold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def photographs(side: int = 96) -> np.ndarray:
    """Crops of scikit-image's photographs and scenes, uint8 (n, side, side, 3), all different."""
    crops = open_source("photos", side).images(range(0, 1100, 22)).permute(0, 2, 3, 1).numpy()
    drawn = scenes.draw(range(N - len(crops)), side).rgb.permute(0, 2, 3, 1).numpy()
    return np.concatenate([crops, drawn])


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return photographs()


def to_lab(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L, ab and luma as OpenCV computes them."""
    lab = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in rgb])
    luma = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in rgb])
    return lab[..., 0].copy(), lab[..., 1:].copy(), luma


def write_set(root: Path, gray: np.ndarray, ab: np.ndarray, nested: bool = True) -> Path:
    """Write the files of the set, with its three parts in ab/ab (`nested`) or in ab."""
    place = root / "ab" / "ab" if nested else root / "ab"
    place.mkdir(parents=True)
    (root / "l").mkdir()
    np.save(root / "l" / "gray_scale.npy", gray)
    for i, part in enumerate(np.split(ab, np.cumsum(COUNTS)[:-1])):
        np.save(place / f"ab{i + 1}.npy", part)
    return root


@pytest.fixture
def kaggle_set(tmp_path: Path, rgb: np.ndarray) -> Path:
    L, ab, _ = to_lab(rgb)
    return write_set(tmp_path / "set", L, ab)


# --- colours ---


@pytest.mark.slow
def test_decoding_is_opencv_s(rgb: np.ndarray) -> None:
    L, ab, _ = to_lab(rgb)
    lab = np.concatenate([L[..., None], ab], axis=-1)
    expected = np.stack([cv2.cvtColor(image, cv2.COLOR_LAB2RGB) for image in lab]).astype(int)
    assert np.abs(kaggle.decode(L, ab).permute(0, 2, 3, 1).numpy() - expected).max() <= 2


def test_any_code_decodes_as_opencv_does() -> None:
    """Compare with OpenCV's float conversion over all of 8-bit Lab. Most of it is outside the gamut and clipped."""
    lab = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), dtype=np.uint8)
    scaled = lab[0].astype(np.float32) * [100 / 255, 1, 1] - [0, 128, 128]
    expected = np.clip(cv2.cvtColor(scaled.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1) * 255
    got = kaggle.decode(lab[..., 0], lab[..., 1:])[0].permute(1, 2, 0).numpy()
    assert np.abs(got - expected).max() <= 2


def test_luma_is_converted_to_lightness(rgb: np.ndarray) -> None:
    L, ab, luma = to_lab(rgb[:20])
    got = kaggle.decode(luma, ab, "luma").permute(0, 2, 3, 1).numpy().astype(int)
    error = np.abs(got - rgb[:20])
    # The rounding of ab to 8 bits causes the same error for both kinds of grey channel.
    assert np.abs(got - kaggle.decode(L, ab).permute(0, 2, 3, 1).numpy()).mean() < 1
    assert error.mean() < 1.5
    again = np.stack([cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2GRAY) for image in got]).astype(int)
    assert np.percentile(np.abs(again - luma), 99) <= 1


def test_read_as_the_wrong_kind_colours_are_off(rgb: np.ndarray) -> None:
    _, ab, luma = to_lab(rgb[:20])
    wrong = np.abs(kaggle.decode(luma, ab).permute(0, 2, 3, 1).numpy().astype(int) - rgb[:20]).mean()
    right = np.abs(kaggle.decode(luma, ab, "luma").permute(0, 2, 3, 1).numpy().astype(int) - rgb[:20]).mean()
    assert wrong > 3 * right


# --- L* or luma ---


@pytest.fixture(scope="module")
def windows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L, ab and luma of fifty squares of scikit-image's photographs, at every third pixel of 224 as in the set."""
    found, side = [], 224
    for picture in photos._pictures():
        pixels = np.asarray(picture)
        height, width = pixels.shape[:2]
        for left in np.linspace(0, width - side, 5).astype(int):
            found += [pixels[top : top + side, left : left + side] for top in (0, height - side)]
    assert len(found) == 50
    return to_lab(np.ascontiguousarray(np.stack(found)[:, ::3, ::3]))


@pytest.mark.slow
def test_sets_of_twenty_photographs_are_told_right_and_never_wrong(windows) -> None:
    """At least 19 of 20 sets of each kind are recognised, and no set is taken for the other kind.

    In the measurement quoted in `lightness`, on 100 sets of 20 other photographs, all 200 answers were right.
    """
    L, ab, luma = windows
    rng = np.random.default_rng(0)
    found = {"L*": [], "luma": []}
    for _ in range(20):
        chosen = rng.choice(len(L), 20, replace=False)
        for kind, gray in (("L*", L), ("luma", luma)):
            found[kind].append(evidence(gray[chosen], ab[chosen], kaggle.EXAMINED_COLOURS).verdict)
    for kind, other in (("L*", "luma"), ("luma", "L*")):
        assert found[kind].count(kind) >= 19 and other not in found[kind]


def test_photographs_without_colour_are_unknown() -> None:
    """A grey pixel is inside the gamut whether its value is L* or luma."""
    gray = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1), dtype=np.uint8), 3, axis=3)
    L, ab, luma = to_lab(gray)
    assert evidence(L, ab, 8000).verdict == "unknown" == evidence(luma, ab, 8000).verdict


@pytest.mark.parametrize("value", [0, 127, 255])
@pytest.mark.parametrize("chroma", [0, 128])
def test_nothing_is_told_from_one_colour(value: int, chroma: int) -> None:
    gray, ab = np.full((16, 16), value, np.uint8), np.full((16, 16, 2), chroma, np.uint8)
    assert evidence(gray, ab, 8000).verdict == "unknown"


def test_codes_that_are_no_photograph_s_are_unknown(windows) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    L, ab, _ = windows
    for gray, colour in ((noise[..., 0], noise[..., 1:]), (255 - L, ab), ((L / 2.55).astype(np.uint8), ab)):
        assert evidence(gray, colour, 8000).verdict == "unknown"


def test_a_colour_is_counted_where_it_is_outside() -> None:
    """Nearly pure blue, red and yellow. With the wrong one of L* and luma these colours are outside the gamut."""
    rgb = np.array([[[[9, 9, 246], [246, 9, 9], [246, 246, 9]]]], np.uint8)
    L, ab, luma = to_lab(rgb)
    assert evidence(L, ab, 8000) == Evidence(3, 0, 3) and evidence(luma, ab, 8000) == Evidence(3, 3, 0)


def test_a_verdict_needs_clearly_fewer_colours_outside() -> None:
    assert Evidence(1000, 10, 30).verdict == "L*" and Evidence(1000, 30, 10).verdict == "luma"
    for counts in ((10, 29), (29, 10), (0, 4), (4, 0), (60, 900), (900, 60)):
        assert Evidence(1000, *counts).verdict == "unknown"


@pytest.mark.parametrize("kind", ["L*", "luma"])
def test_the_source_finds_out_and_says_so(tmp_path: Path, rgb: np.ndarray, kind: str, caplog) -> None:
    L, ab, luma = to_lab(rgb)
    write_set(tmp_path, L if kind == "L*" else luma, ab)
    with caplog.at_level(logging.INFO, "colorlib"):
        source = open_source(f"kaggle:{tmp_path}", 96)
    assert source.describe()["lightness"] == kind and f"gray_scale is {kind}" in caplog.text
    error = np.abs(source.images(range(20)).permute(0, 2, 3, 1).numpy().astype(int) - rgb[:20])
    assert error.mean() < 1.5


def test_an_undecided_source_warns_and_can_be_told(tmp_path: Path) -> None:
    write_set(tmp_path, np.full((N, 8, 8), 90, np.uint8), np.full((N, 8, 8, 2), 128, np.uint8))
    with pytest.warns(UserWarning, match=r"cannot tell whether gray_scale is L\* or luma"):
        source = open_kaggle(tmp_path, 8, "train")
    assert source.describe()["lightness"] == "unknown, taken as L*"
    told = open_kaggle(tmp_path, 8, "train", lightness="luma")
    assert (told.images([0]) == 90).all() and not (source.images([0]) == 90).any()


# --- parts and splits ---


@pytest.mark.slow
def test_gray_and_colour_stay_together_over_all_parts(kaggle_set: Path, rgb: np.ndarray) -> None:
    found = []
    for split, n in (("train", 90), ("val", 5), ("test", 5)):
        source = open_kaggle(kaggle_set, 96, split)
        assert len(source) == n
        with pytest.raises(IndexError):
            source.images([n])
        found.append(source.images(range(n)))
    shuffled = np.random.default_rng(0).permutation(90)
    assert torch.equal(open_kaggle(kaggle_set, 96, "train").images(shuffled.tolist()), found[0][shuffled])
    error = np.abs(torch.cat(found).permute(0, 2, 3, 1).numpy().astype(int) - rgb)
    assert error.mean((1, 2, 3)).max() < 3


def test_other_sizes_are_resized(kaggle_set: Path, rgb: np.ndarray) -> None:
    source = open_source(f"kaggle:{kaggle_set}", 32, margin=1.125)
    assert source.size == 36
    expected = np.stack([cv2.resize(image, (36, 36), interpolation=cv2.INTER_AREA) for image in rgb[:8]])
    assert np.abs(source.images(range(8)).permute(0, 2, 3, 1).numpy().astype(int) - expected).mean() < 4


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("above", ["", "input", "input/image-colorization"])
def test_both_layouts_and_parents(tmp_path: Path, rgb: np.ndarray, nested: bool, above: str) -> None:
    L, ab, _ = to_lab(rgb)
    write_set(tmp_path / above, L, ab, nested)
    assert len(open_kaggle(tmp_path, 96, "train")) == 90


def test_the_fingerprint_follows_the_content(kaggle_set: Path) -> None:
    before = open_kaggle(kaggle_set, 96, "val").describe()
    assert before == open_kaggle(kaggle_set, 96, "val").describe()
    part = np.load(kaggle_set / "ab" / "ab" / "ab3.npy", mmap_mode="r+")
    part[10:] = 128
    part.flush()
    assert open_kaggle(kaggle_set, 96, "val").describe()["fingerprint"] != before["fingerprint"]


@pytest.mark.parametrize("name", ["l/gray_scale.npy", "ab/ab/ab1.npy", "ab/ab/ab2.npy", "ab/ab/ab3.npy"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "text", "shape", "type", "objects"])
def test_a_bad_part_is_named(kaggle_set: Path, name: str, damage: str) -> None:
    path = kaggle_set / name
    content = path.read_bytes()
    array = np.load(path)
    said, kind = "", DataError
    path.unlink()
    if damage == "missing":
        said, kind = "missing|neither", FileNotFoundError
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
        said = f"truncated: expected {len(content)} bytes.*got {len(content) // 2}"
    elif damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"404: not found")
        said = r"is not a \.npy file"
    elif damage == "shape":
        np.save(path, array[:, :50])
        said = r"expected uint8 of shape \(n, .*got uint8 of shape"
    elif damage == "type":
        np.save(path, array.astype(np.float32))
        said = "expected uint8 .*got float32"
    else:
        np.save(path, np.array([None] * 3), allow_pickle=True)
        said = "expected uint8 .*got object"
    with pytest.raises(kind, match=said) as error:
        open_kaggle(kaggle_set, 96, "train")
    assert Path(name).name in str(error.value)


def test_a_part_with_too_few_pictures_is_named(kaggle_set: Path) -> None:
    path = kaggle_set / "ab" / "ab" / "ab2.npy"
    np.save(path, np.load(path)[:33])
    with pytest.raises(DataError, match=r"holds 100 photographs.*93.*ab2\.npy: expected 40 photographs, got 33$"):
        open_kaggle(kaggle_set, 96, "train")


def test_no_set_at_all(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="kaggle datasets download"):
            open_source(f"kaggle:{path}", 96)
    write_set(tmp_path, np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8, 2), np.uint8))
    with pytest.raises(DataError):
        open_kaggle(tmp_path, 8, "val")


# --- full size ---

OPEN_AND_MEASURE = """
import resource, sys
from colorlib.datasets import open_kaggle
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_kaggle(sys.argv[1], 224, "train")
print(len(source), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def sparse(path: Path, shape: tuple[int, ...]) -> None:
    """Write an array of zeros as a sparse file, which takes no space on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module, and its files are not sparse")
def test_full_size_opens_without_being_read(tmp_path: Path) -> None:
    """The arrays have the documented shapes and types, 3.8 GB in all. Opening them may use at most 200 MiB."""
    sparse(tmp_path / "l" / "gray_scale.npy", (25000, 224, 224))
    for name, n in (("ab1", 10000), ("ab2", 10000), ("ab3", 5000)):
        sparse(tmp_path / "ab" / "ab" / f"{name}.npy", (n, 224, 224, 2))
    command = [sys.executable, "-W", "ignore", "-c", OPEN_AND_MEASURE, str(tmp_path)]
    length, mebibytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    assert int(length) == 22500 and float(mebibytes) / (1024 if sys.platform == "darwin" else 1) < 200
    started = time.process_time()
    with pytest.warns(UserWarning, match="cannot tell"):
        source = open_kaggle(tmp_path, 224, "test")
    logging.getLogger("colorlib").info("opened in %.2f s", time.process_time() - started)
    assert len(source) == 1250 and source.images([0, 1249]).shape == (2, 3, 224, 224)
