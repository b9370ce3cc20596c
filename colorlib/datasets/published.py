"""The published data sets that torchvision can download and read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from colorlib.datasets.base import ArraySource, digest
from colorlib.datasets.cache import cache_folder, prepare
from colorlib.datasets.folder import list_files
from colorlib.datasets.pictures import Picture
from colorlib.errors import DataError

# If a published set has no validation part, every tenth photograph of its training part is used for validation.
VAL_EVERY = 10


@dataclass(frozen=True)
class PublishedSet:
    """A published set, its licence and size, and how torchvision opens it: `open(root, part, download)`.

    The publisher's parts need not be our splits. So `parts` maps each split to a part and to a share of that part:
    `all`, `tenth` (every tenth photograph) or `rest` (the others).
    """

    what: str
    licence: str
    size: str
    folder: str
    open: Callable[[Path, str, bool], Any]
    parts: dict[str, tuple[str, str]]


def _imagenette(root: Path, part: str, download: bool) -> Any:
    from torchvision.datasets import Imagenette

    # Both parts are in one archive, and torchvision raises an error if it is told to download an archive again.
    here = (root / SETS["imagenette"].folder).is_dir()
    return Imagenette(root, split=part, size="320px", download=download and not here)


def _flowers102(root: Path, part: str, download: bool) -> Any:
    from torchvision.datasets import Flowers102

    return Flowers102(root, split=part, download=download)


def _pets(root: Path, part: str, download: bool) -> Any:
    from torchvision.datasets import OxfordIIITPet

    return OxfordIIITPet(root, split=part, download=download)


def _stl10(root: Path, part: str, download: bool) -> Any:
    from torchvision.datasets import STL10

    return STL10(str(root), split=part, download=download)


OWN_TRAIN_AND_TEST = {"train": ("train", "rest"), "val": ("train", "tenth"), "test": ("test", "all")}
SETS = {
    "imagenette": PublishedSet(
        "ten easy classes of ImageNet, 13,394 photographs, 320 px on the short side",
        "code Apache 2.0; photographs under ImageNet's terms, for research and teaching",
        "330 MiB",
        "imagenette2-320",
        _imagenette,
        OWN_TRAIN_AND_TEST | {"test": ("val", "all")},
    ),
    "flowers102": PublishedSet(
        "8,189 photographs of 102 kinds of flowers, about 500 px (1,020 for training, as published)",
        "research use; the photographs belong to their authors",
        "330 MiB",
        "flowers-102",
        _flowers102,
        {"train": ("train", "all"), "val": ("val", "all"), "test": ("test", "all")},
    ),
    "pets": PublishedSet(
        "7,349 photographs of cats and dogs of 37 breeds, various sizes",
        "CC BY-SA 4.0",
        "770 MiB",
        "oxford-iiit-pet",
        _pets,
        OWN_TRAIN_AND_TEST | {"train": ("trainval", "rest"), "val": ("trainval", "tenth")},
    ),
    "stl10": PublishedSet(
        "13,000 photographs of animals and vehicles, 96 px (the 100,000 unlabelled ones are not used)",
        "research use; the photographs are from ImageNet",
        "2.5 GiB, 5.4 GiB unpacked",
        "stl10_binary",
        _stl10,
        OWN_TRAIN_AND_TEST,
    ),
}


def open_published(
    name: str,
    side: int,
    split: str,
    *,
    root: str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> ArraySource:
    """Open a published set that is on disk in `root`, by default `$COLORLIB_DATA`, else `data`. Never downloads.

    Raises FileNotFoundError, which names the command for the download, if the set is missing or incomplete.
    """
    place = data_folder(root)
    if not is_on_disk(name, root):
        raise FileNotFoundError(f"{name} is not in {place.resolve()}; get it with: colorlib data get {name}")
    # The key of the cache changes if any file of the set does. The set itself is opened only if the cache has no copy.
    stamps = [(entry.path, entry.size, entry.changed) for entry in list_files(place / SETS[name].folder)]
    prepared = prepare(
        lambda: _pictures(name, place, split),
        side,
        label=f"{name} {split}",
        key=digest([place.resolve(), *stamps]),
        folder=cache_folder(cache, place),
        progress=progress,
    )
    details = {"what": SETS[name].what, "licence": SETS[name].licence}
    return prepared.as_source(name, split, details)


def download(name: str, *, root: str | Path | None = None) -> Path:
    """Download a published set with torchvision, unless it is there already. Returns the folder of the set.

    Raises ValueError for a name that is not in SETS, and DataError if the download fails.
    """
    if name not in SETS:
        raise ValueError(f"expected one of {', '.join(SETS)}, got {name!r}; the other sources need no download")
    place = data_folder(root)
    place.mkdir(parents=True, exist_ok=True)
    try:
        for part in sorted({part for part, _ in SETS[name].parts.values()}):
            SETS[name].open(place, part, True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{name} could not be downloaded to {place.resolve()} ({error}); try again") from error
    return place / SETS[name].folder


def data_folder(root: str | Path | None = None) -> Path:
    """The folder of the downloads: `root`, else `$COLORLIB_DATA`, else `data` in the current folder."""
    return Path(root or os.environ.get("COLORLIB_DATA") or "data").expanduser()


def is_on_disk(name: str, root: str | Path | None = None) -> bool:
    """Whether the folder of the set exists. Whether the set is complete is checked when it is opened."""
    return (data_folder(root) / SETS[name].folder).is_dir()


def _pictures(name: str, place: Path, split: str) -> list[Picture]:
    """The photographs of a split, named by their part and their number in it, for example `train/12`."""
    part, share = SETS[name].parts[split]
    try:
        dataset = SETS[name].open(place, part, False)
    except (RuntimeError, OSError) as error:
        raise FileNotFoundError(
            f"{name} in {place.resolve()} is incomplete ({error}); delete its folder {SETS[name].folder} "
            f"and get it again with: colorlib data get {name}"
        ) from error
    numbers = [i for i in range(len(dataset)) if share == "all" or (i % VAL_EVERY == 0) == (share == "tenth")]
    return [_picture(dataset, f"{part}/{i}", i) for i in numbers]


def _picture(dataset: Any, name: str, i: int) -> Picture:
    """Photograph i of a torchvision set. Its name is also its key, because published sets do not change."""

    def load() -> tuple[Image.Image, str]:
        return dataset[i][0], name

    return Picture(name, load)
