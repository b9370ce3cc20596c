"""The one table in which the name of a source becomes a source."""

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
    """What `open_source` was asked for; `place` is what follows the colon, `side` the side of a stored picture."""

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
    """The pictures that `spec` names, as squares of `round(size * margin)` px.

    `spec` is one of `scenes`, `photos`, `gallery`, `folder:PATH`, `kaggle:PATH`, `imagenette`, `flowers102`, `pets`,
    `stl10`. `margin` above 1 leaves room for random crops (the paper: 286 / 256). `cache` is the folder for prepared
    pictures, by default `$COLORLIB_CACHE`, else `~/.cache/colorlib`. Nothing is ever downloaded.

    Raises ValueError for a wrong spec, split, size or margin, FileNotFoundError for what is not on disk, DataError for
    what is there and cannot be used.
    """
    check_split(split)
    if size < 1 or margin < 1:
        raise ValueError(f"expected size and margin of at least 1, got size {size} and margin {margin}")
    kind, _, place = spec.partition(":")
    request = Request(place, round(size * margin), split, cache, progress)
    if kind in OPENERS and bool(place) == (kind in WITH_PATH):
        return OPENERS[kind](request)
    if spec in SETS:
        return open_published(spec, request.side, split, cache=cache, progress=progress)
    hint = (
        f"; for the photographs in this folder use folder:{spec}" if spec and Path(spec).expanduser().is_dir() else ""
    )
    raise ValueError(f"expected a source out of {', '.join(SPECS)}, got {spec!r}{hint}")


def list_sources(root: str | Path | None = None) -> list[dict[str, str]]:
    """A row for each source: `name`, `what`, `licence`, `size`, `on_disk` ("yes", "no", or "yours" for a PATH).

    `root` is where downloads are, by default `$COLORLIB_DATA`, else `data`.
    """
    rows = [
        _row("scenes", "small landscapes drawn by code, without end", "MIT, part of colorlib", "none", "yes"),
        _row(
            "photos",
            "five colour photographs inside scikit-image",
            "free, see data/README.md",
            "none",
            "yes",
        ),
        _row(
            "gallery",
            f"{len(gallery_photos())} photographs to show results on, never to train on",
            "free, see colorlib/gallery/CREDITS.md",
            "none",
            "yes",
        ),
        _row("folder:PATH", "your own photographs, any nesting and format", "yours", "yours", "yours"),
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
