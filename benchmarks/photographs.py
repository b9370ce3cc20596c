"""Photographs to measure with: those of a folder, or scikit-image's, enlarged, each with detail of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.full_size import QUALITY, enlarge, sources
from colorlib.datasets.base import SPLITS

SHIFT = 16  # pixels by which copies of a photograph are moved on


def write_photographs(folder: Path, n: int, size: tuple[int, int], photos: str | None) -> list[Path]:
    """`n` different JPEGs of that width and height, made from ten."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [np.asarray(enlarge(path, size, seed)) for seed, path in enumerate(sources(photos)[: min(n, 10)])]
    paths = [folder / f"{i:05d}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        moved = np.roll(pictures[i % len(pictures)], SHIFT * (i // len(pictures)), axis=1)
        Image.fromarray(moved).save(path, quality=QUALITY)
    return paths


def as_data_set(folder: Path, paths: list[Path]) -> str:
    """A folder of links with these photographs as its training split, one each to validate and to test."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
        for path in paths if split == "train" else paths[:1]:
            _link(folder / split / path.name, path)
    return f"folder:{folder}"


def _link(link: Path, to: Path) -> None:
    try:
        link.symlink_to(to.resolve())
    except OSError:  # Windows wants a privilege for links
        link.write_bytes(to.read_bytes())
