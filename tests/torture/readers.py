"""Every reader of files, with small valid files to begin from, and the failures that its docstring promises."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd  # noqa: F401  imported late by what is tried: that takes its time, which is measured
import torch
from PIL import Image, ImageCms
from safetensors.torch import save

from colorlib import checkpoints, metrics, training
from colorlib.course.experiments import experiment
from colorlib.datasets import cache, folder, kaggle
from colorlib.errors import CheckpointError, DataError
from colorlib.history import History
from colorlib.images import MAX_PIXELS, read_image
from colorlib.recipes import RECIPES, build_generator

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "grading"))
import submissions

RECIPE = RECIPES["l1"].replace(size=8, depth=2, width=2, steps=4, dropout=0.0)
COLUMNS = ["step", "l1", "seconds"]
SIDE = 8


@dataclass(frozen=True)
class Reader:
    """`read(folder, name, rng)` reads files of which `name` has been changed; `files` are what they were before.

    `executions` is its share of the whole; everything that is raised but `allowed` is a fault.
    """

    files: dict[str, bytes]
    read: Callable[[Path, str, random.Random], object]
    allowed: tuple[type[BaseException], ...]
    executions: int


# --- runs and weights --------------------------------------------------------------------------------------------


def _layer() -> torch.nn.Module:
    return torch.nn.Linear(3, 2)


def _checkpoint_files() -> dict[str, bytes]:
    layer = _layer()
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    step = "checkpoints/00000005"
    return {
        "latest": b"00000005",
        f"{step}/state.json": json.dumps({"step": 5, "seconds": 1.5, "scaler": {}}).encode(),
        f"{step}/generator.safetensors": save(layer.state_dict()),
        f"{step}/optimizer_g.safetensors": save(checkpoints.pack_optimizer(optimizer)),
    }


def _read_checkpoint(place: Path, name: str, rng: random.Random) -> None:
    loaded = checkpoints.load_checkpoint(place)
    if loaded is None or loaded[0].keys() != {"generator", "optimizer_g"}:
        return
    layer = _layer()
    checkpoints.load_weights(layer, loaded[0]["generator"], "it")
    checkpoints.unpack_optimizer(torch.optim.Adam(layer.parameters()), loaded[0]["optimizer_g"])


def _weights_file() -> dict[str, bytes]:
    metadata = {"format": checkpoints.GENERATOR_FORMAT, "recipe": RECIPE.to_json(), "step": "4"}
    return {"g.safetensors": save(build_generator(RECIPE).state_dict(), metadata)}


def _foreign_weights() -> dict[str, bytes]:
    zipped = io.BytesIO()
    torch.save(_layer().state_dict(), zipped)
    return {"w.safetensors": save(_layer().state_dict()), "w.pt": zipped.getvalue()}


def _source_file() -> dict[str, bytes]:
    about = {"spec": "scenes", "split": "train", "size": 8, "n": 9, "endless": True, "fingerprint": "ab"}
    described = {"train": about, "validation": about, "seed": 0, "save_every": None, "validate_every": 3}
    return {"source.json": json.dumps(described, indent=2).encode()}


def _history_file() -> dict[str, bytes]:
    return {"history.csv": b"step,l1,seconds\r\n1,0.5,0.25\r\n2,,0.5\r\n3,0.125,1e-3\r\n"}


# --- data --------------------------------------------------------------------------------------------------------


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _kaggle_files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {"l/gray_scale.npy": _npy(rng.integers(0, 256, (30, SIDE, SIDE), np.uint8))}
    for i, n in enumerate((12, 12, 6)):
        files[f"ab/ab/ab{i + 1}.npy"] = _npy(rng.integers(90, 160, (n, SIDE, SIDE, 2), np.uint8))
    return files


def _read_kaggle(place: Path, name: str, rng: random.Random) -> None:
    source = kaggle.open_kaggle(place, SIDE, "train", lightness="L*")
    source.images([0, len(source) - 1])
    source.describe()


def _cache_files() -> dict[str, bytes]:
    pictures = [{"row": i, "name": f"{i}.png", "content": f"{i:032x}", "lacks": ""} for i in range(3)]
    index = {"format": cache.FORMAT, "checksum": 0, "pictures": pictures, "bad": {"x.png": "not an image"}}
    return {"8-ab.json": json.dumps(index).encode(), "8-ab.npy": _npy(np.ones((4, 3, SIDE, SIDE), np.uint8))}


def _read_cache(place: Path, name: str, rng: random.Random) -> None:
    """Mostly with the right checksum, so that what is behind it is reached."""
    index = place / "8-ab.json"
    if rng.random() < 0.9 and (text := index.read_text("utf-8", "replace")).count('"checksum": 0'):
        right = cache.checksum(place / "8-ab.npy")
        index.write_text(text.replace('"checksum": 0', f'"checksum": {right}'), "utf-8")
    prepared = cache._open(place / "8-ab", SIDE)
    if prepared is not None:
        source = prepared.as_source("it", "train", {})
        source.images(range(len(source)))
        json.dumps(source.describe())
        cache.bad_summary("it", prepared.bad, 9)


HASHED = [folder.Entry(f"{i}.png", 10 + i, 77) for i in range(4)]


def _hashes_file() -> dict[str, bytes]:
    known = {f"{e.path}|{e.size}|{e.changed}": f"{i:x}".rjust(32, "5") for i, e in enumerate(HASHED)}
    return {"hashes.json": json.dumps(known).encode()}


def _read_hashes(place: Path, name: str, rng: random.Random) -> None:
    memory = place / f"hashes-{folder.digest([str(place.resolve())])[:16]}.json"
    memory.write_bytes((place / "hashes.json").read_bytes())
    folder.cut_by_content(folder._content_hashes(place, HASHED, place, progress=False))


# --- pictures ----------------------------------------------------------------------------------------------------


def _picture_files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (13, 17, 3), np.uint8))
    grey16 = Image.fromarray(rng.integers(0, 2**16, (9, 7), np.uint16))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    saved = {
        "a.png": (rgb, {"icc_profile": profile}),
        "b.png": (grey16, {}),
        "c.png": (rgb.quantize(8), {"transparency": 1}),
        "a.jpg": (rgb, {"exif": exif, "icc_profile": profile}),
        "b.jpg": (rgb.convert("CMYK"), {}),
        "a.gif": (rgb.quantize(8), {"save_all": True, "append_images": [rgb.quantize(4)]}),
        "a.tif": (rgb, {"compression": "tiff_lzw", "exif": exif}),
        "b.tif": (rgb.convert("LAB"), {}),
        "c.tif": (Image.fromarray(rng.random((9, 7), np.float32)), {}),
        "a.webp": (rgb.convert("RGBA"), {"lossless": True}),
        "a.bmp": (rgb, {}),
        "a.tga": (rgb, {"compression": "tga_rle"}),
        "a.ppm": (rgb, {}),
        "a.ico": (rgb, {"sizes": [(8, 8)]}),
    }
    files = {}
    for name, (image, options) in saved.items():
        with io.BytesIO() as file:
            image.save(file, Image.registered_extensions()["." + name.split(".")[1]], **options)
            files[name] = file.getvalue()
    return files


def _read_picture(place: Path, name: str, rng: random.Random) -> None:
    content = place / name if rng.random() < 0.2 else (place / name).read_bytes()
    read_image(content, max_pixels=MAX_PIXELS if rng.random() < 0.02 else 2**20)


# --- the course --------------------------------------------------------------------------------------------------

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def _notebook_file() -> dict[str, bytes]:
    notebook = json.loads((NOTEBOOKS / "00_start_here.ipynb").read_text("utf-8"))
    for cell in notebook["cells"]:
        cell.pop("outputs", None)
    return {"00_mine.ipynb": json.dumps(notebook).encode()}


def _read_notebook(place: Path, name: str, rng: random.Random) -> None:
    cells = submissions.read_cells(place / name)
    submissions.answers(cells, submissions.recognise(cells, name, _course()))


def _course() -> list[submissions.Lesson]:
    if not _LESSONS:
        _LESSONS.extend(submissions.read_course(NOTEBOOKS)[:1])
    return _LESSONS


_LESSONS: list[submissions.Lesson] = []


def _recipe_file() -> dict[str, bytes]:
    return {"recipe.json": RECIPE.to_json().encode()}


def _read_history(place: Path, name: str, rng: random.Random) -> None:
    History(COLUMNS, place / name).read(9)


def _experiment_file() -> dict[str, bytes]:
    path = sorted((NOTEBOOKS.parent / "experiments").glob("*.csv"))[0]
    return {"e.csv": b"".join(path.read_bytes().splitlines(keepends=True)[:4])}


READERS: dict[str, Callable[[], Reader]] = {
    "recipe.json": lambda: Reader(
        _recipe_file(), lambda place, *_: checkpoints.read_recipe(place), (CheckpointError,), 50_000
    ),
    "source.json": lambda: Reader(
        _source_file(), lambda place, *_: training._read_source(place), (CheckpointError,), 30_000
    ),
    "history.csv": lambda: Reader(_history_file(), _read_history, (CheckpointError,), 30_000),
    "checkpoint": lambda: Reader(_checkpoint_files(), _read_checkpoint, (CheckpointError,), 20_000),
    "weights": lambda: Reader(
        _weights_file(), lambda place, name, _: checkpoints.load_generator(place / name), (CheckpointError,), 8_000
    ),
    "foreign weights": lambda: Reader(
        _foreign_weights(), lambda place, name, _: metrics._read_weights(place / name), (CheckpointError,), 8_000
    ),
    "kaggle .npy": lambda: Reader(_kaggle_files(), _read_kaggle, (DataError, FileNotFoundError), 15_000),
    "cache index": lambda: Reader(_cache_files(), _read_cache, (), 20_000),
    "hashes of a folder": lambda: Reader(_hashes_file(), _read_hashes, (DataError,), 15_000),
    "pictures": lambda: Reader(_picture_files(), _read_picture, (DataError,), 30_000),
    "submitted notebooks": lambda: Reader(_notebook_file(), _read_notebook, (submissions.CannotGradeError,), 10_000),
    "tables of experiments": lambda: Reader(
        _experiment_file(), lambda place, name, _: experiment._read(place / name), (ValueError,), 5_000
    ),
}  # fmt: skip
