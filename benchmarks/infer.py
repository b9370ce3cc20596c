"""Colouring a folder of photographs of 2 megapixels: ours beside the textbook's loop, and beside its method, plain."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import nn

from benchmarks.baseline import textbook_colorize
from benchmarks.data import SIZES
from benchmarks.part import Job, Result
from benchmarks.photographs import write_photographs
from benchmarks.step import run_race
from benchmarks.timing import Row, compared
from colorlib import color
from colorlib.inference import Colorizer, network_size, shrink
from colorlib.upsampling import EPS, RADIUS, as_batch

N = 200
CHUNK = 5  # photographs that each side colours before it is the other's turn
AIM = 3.0


def folder(job: Job, budget: float) -> Result:
    """As many of 200 photographs as the time allows, a few by turns."""
    size = (160, 120) if job.quick else SIZES["2 MP"]
    n, chunk = (2, 1) if job.quick else (N, CHUNK)
    started = time.perf_counter()
    paths = write_photographs(job.scratch / "photographs", min(n, 4 * chunk), size, job.photos)
    makers = {
        "baseline": functools.partial(_textbook, paths, chunk, job.scratch / "coloured" / "textbook", job.device),
        "ours": functools.partial(_ours, paths, chunk, job.scratch / "coloured" / "ours", job.device),
    }
    turns = run_race(makers, job, budget - (time.perf_counter() - started), rounds=n // chunk)
    row = compared(f"photographs of {size[0]} x {size[1]}", turns, "ours", "baseline", chunk, aim=AIM)
    done = chunk * len(turns.seconds["ours"])
    about = (
        f"Photographs a second, JPEG to JPEG, with the shipped weights; {done} were coloured by each ({len(paths)} "
        "different ones), on a CPU by two processes that took turns. The baseline enlarges the network's ab with "
        "bicubic interpolation, converts with scikit-image and cuts off what sRGB cannot show; ours follows the edges "
        "of the photograph and keeps hue and lightness, so the pictures differ on purpose. The second line compares "
        "ours with the same method written plainly, in one piece and without tables, in levels of 255."
    )
    colorizer = Colorizer.load("default", job.device)
    return Result([row, _difference(colorizer, paths[0])], about, "photographs/s")


def _ours(paths: list[Path], chunk: int, out: Path, device: torch.device) -> Callable[[], object]:
    colorizer, mine = Colorizer.load("default", device), _Chunks(paths, chunk)

    def colour() -> None:
        results = colorizer.colorize_many(mine.next(), out, overwrite=True, progress=False)
        assert not any(result.error for result in results), results

    return colour


def _textbook(paths: list[Path], chunk: int, out: Path, device: torch.device) -> Callable[[], object]:
    colorizer, theirs = Colorizer.load("default", device), _Chunks(paths, chunk)
    return lambda: textbook_colorize(colorizer.generator, colorizer.recipe.size, theirs.next(), out, device)


class _Chunks:
    """The photographs a few at a time, over and over."""

    def __init__(self, paths: list[Path], n: int) -> None:
        self.paths, self.n, self.at = paths, n, 0

    def next(self) -> list[Path]:
        chunk = [self.paths[(self.at + i) % len(self.paths)] for i in range(self.n)]
        self.at += self.n
        return chunk


def _difference(colorizer: Colorizer, path: Path) -> Row:
    """Seconds of the plain method for each of ours, and how far apart the two pictures are."""
    started = time.perf_counter()
    ours = np.asarray(colorizer.colorize(path)).astype(int)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    plain = plain_colorize(colorizer, path).astype(int)
    ratio = (time.perf_counter() - started) / seconds
    apart = np.abs(ours - plain)
    return {
        "what": "the same method, written plainly",
        "ratio": ratio,
        "rounds": 1,
        "levels apart": f"{apart.max()} at most, {(apart <= 1).mean():.1%} within 1",
    }


def plain_colorize(colorizer: Colorizer, path: Path) -> np.ndarray:
    """He & Sun's fast guided filter on the whole picture at once, in double precision, then bisection to the gamut."""
    rgb = np.array(Image.open(path).convert("RGB"))
    small = shrink(rgb, network_size(rgb.shape[0], rgb.shape[1], colorizer.recipe.size))
    L = color.split_lab(color.to_float(as_batch(small)))[0]
    ab, L = colorizer.predict(L).double(), L.double()

    def mean(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, 2 * RADIUS + 1, 1, RADIUS, count_include_pad=False)

    slope = mean((mean(L * ab) - mean(L) * mean(ab)) / (mean(L * L) - mean(L) ** 2 + EPS))
    coefficients = torch.cat([slope, ab - slope * L], 1)
    slope, base = nn.functional.interpolate(coefficients, rgb.shape[:2], mode="bilinear").chunk(2, 1)
    large = torch.from_numpy(rgb2lab(rgb)[..., 0] / 50 - 1)[None, None]
    joined = color.join_lab(large, slope * large + base, gamut="chroma")
    return color.to_uint8(joined)[0].permute(1, 2, 0).numpy()
