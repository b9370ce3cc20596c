"""Open a source by its name. This module has the only table of the names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from colorlib.datasets.base import Source, check_split
from colorlib.datasets.folder import open_folder
from colorlib.datasets.gallery import gallery_photos, open_gallery
from colorlib.datasets.kaggle import open_kaggle
from colorlib.datasets.photos import open_photos
from colorlib.datasets.published import SETS, is_on_disk, open_published
from colorlib.datasets.scenes import SceneSource


@dataclass(frozen=True)
class Request:
    """The arguments of `open_source`. `place` is the text after the colon, `side` the side of a stored image in px."""

    place: str
    side: int
    split: str
    cache: str | Path | None
    progress: bool


OPENERS: dict[str, Callable[[Request], Source]] = {
    "scenes": lambda r: SceneSource(r.split, r.side),
    "photos": lambda r: open_photos(r.side, r.split),
    "gallery": lambda r: open_gallery(r.side, r.split),
    "folder": lambda r: open_folder(r.place, r.side, r.split, cache=r.cache, progress=r.progress),
    "kaggle": lambda r: open_kaggle(r.place, r.side, r.split),
}
WITH_PATH = ("folder", "kaggle")
SPECS = ("scenes", "photos", "gallery", "folder:PATH", "kaggle:PATH", *SETS)


def open_source(
    spec: str,
    size: int,
    split: str = "train",
    *,
    cache: str | Path | None = None,
    progress: bool = True,
    margin: float = 1.0,
) -> Source:
    """Open the source that `spec` names, with images of `round(size * margin)` px on each side.

    `spec` is one of `scenes`, `photos`, `gallery`, `folder:PATH`, `kaggle:PATH`, `imagenette`, `flowers102`, `pets`,
    `stl10`. A `margin` above 1 makes the images larger than the training size, so that there is room for random crops
    (in the pix2pix paper 286 / 256). `cache` is the folder for prepared photographs, by default `$COLORLIB_CACHE`, else
    `~/.cache/colorlib`. This function never downloads anything.

    Raises ValueError for a wrong spec, split, size or margin, FileNotFoundError if the data are not on disk, and
    DataError if they are there but cannot be used.
    """
    check_split(split)
    if size < 1 or margin < 1:
        raise ValueError(f"size and margin must be at least 1, got size {size} and margin {margin}")
    kind, _, place = spec.partition(":")
    request = Request(place, round(size * margin), split, cache, progress)
    if kind in OPENERS and bool(place) == (kind in WITH_PATH):
        return OPENERS[kind](request)
    if spec in SETS:
        return open_published(spec, request.side, split, cache=cache, progress=progress)
    hint = (
        f"; for the photographs in this folder use folder:{spec}" if spec and Path(spec).expanduser().is_dir() else ""
    )
    raise ValueError(f"expected one of the sources {', '.join(SPECS)}, got {spec!r}{hint}")


def list_sources(root: str | Path | None = None) -> list[dict[str, str]]:
    """Return a row for each source: `name`, `what`, `licence`, `size` and `on_disk`.

    `size` is that of the download. `on_disk` is "yes" or "no", or "yours" if the name contains a PATH that you choose.
    `root` is the folder of the downloads, by default `$COLORLIB_DATA`, else `data`.
    """
    rows = [
        _row("scenes", "small landscapes drawn by code, unlimited in number", "MIT, part of colorlib", "none", "yes"),
        _row(
            "photos",
            "five colour photographs inside scikit-image",
            "free, see data/README.md",
            "none",
            "yes",
        ),
        _row(
            "gallery",
            f"{len(gallery_photos())} photographs for showing results, not for training",
            "free, see colorlib/gallery/CREDITS.md",
            "none",
            "yes",
        ),
        _row("folder:PATH", "your own photographs, of any format and in any subfolders", "yours", "yours", "yours"),
        _row(
            "kaggle:PATH",
            "25,000 photographs as L and ab arrays, 224 px (shravankumar9892/image-colorization)",
            "see its page on Kaggle",
            "3.5 GiB",
            "yours",
        ),
    ]
    for name, entry in SETS.items():
        on_disk = "yes" if is_on_disk(name, root) else "no"
        rows.append(_row(name, entry.what, entry.licence, entry.size, on_disk))
    return rows


def _row(name: str, what: str, licence: str, size: str, on_disk: str) -> dict[str, str]:
    return {"name": name, "what": what, "licence": licence, "size": size, "on_disk": on_disk}
