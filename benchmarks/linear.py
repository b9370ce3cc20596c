"""Does cost grow in proportion? Time and memory against the size of images and data sets, with a straight line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.data import SIZES
from benchmarks.part import Job, Result
from benchmarks.photographs import as_data_set, write_photographs
from benchmarks.step import QUICK, our_step
from benchmarks.timing import Row, alone, peak_memory, timed
from colorlib.datasets import Batches, open_source
from colorlib.inference import Colorizer
from colorlib.recipes import RECIPES

DEPTH = 6  # the sides below are multiples of 2^6: nothing is padded
SIDES = (128, 192, 256, 320, 384)
MEGAPIXELS = (1, 2, 4, 8, 12)
PICTURES = (32, 64, 96, 128)


class Series(NamedTuple):
    """What grows, in which unit, and the function that measures one size; `files` makes what it needs beforehand."""

    name: str
    unit: str
    sizes: tuple[float, ...]
    cost: Callable[[Job, float, list[Path]], tuple[float, float]]
    files: Callable[[Job, float], list[Path]]

    @property
    def x(self) -> np.ndarray:
        """The sizes as what cost should be proportional to."""
        sizes = np.array(self.sizes, float)
        return sizes**2 / 1e3 if self.unit == "px" else sizes

    @property
    def axis(self) -> str:
        return "thousand pixels" if self.unit == "px" else self.unit


def all_series(quick: bool) -> list[Series]:
    return [
        Series("pix2pix step, batch 1", "px", (64, 128) if quick else SIDES, step_cost, lambda job, size: []),
        Series("colouring a photograph", "megapixels", (0.01, 0.02) if quick else MEGAPIXELS, photo_cost, photograph),
        Series("first pass over a set", "pictures", (4, 8) if quick else PICTURES, prepare_cost, pictures),
    ]


def scaling(job: Job, budget: float) -> Result:
    """Seconds and MiB of each size, and the straight line through each series."""
    rows, points, measured = [], [], []
    call = (lambda function, *arguments: function(*arguments)) if job.quick else alone
    for series in all_series(job.quick):
        found = np.array([call(series.cost, job, size, series.files(job, size)) for size in series.sizes])
        for size, (seconds, mebibytes) in zip(series.sizes, found.tolist(), strict=True):
            points.append({"what": series.name, "size": f"{size:g} {series.unit}", "s": seconds, "MiB": mebibytes})
        rows.append(_fitted(series, found))
        measured.append((series, found))
    about = (
        "Each measured in a process of its own; MiB are the most that it held beyond what it had before. The U-Net is "
        f"{DEPTH} levels deep, so that no size is padded. R² tells how near the figures lie to a straight line over "
        "pixels, megapixels or pictures; where memory does not grow with the size there is no line to fit."
    )
    picture = {
        "alt": ALT,
        "caption": "Cost against size. Circles, solid: seconds (left). Squares, dashed: MiB (right).",
    }
    return Result(rows, about, picture=picture, png=plot(measured), points=points)


def _fitted(series: Series, found: np.ndarray) -> Row:
    (slope, time_r2), (_, memory_r2) = (straight_line(series.x, column) for column in found.T)
    flat = np.ptp(found[:, 1]) < max(1.0, 0.1 * found[:, 1].max())
    return {
        "what": series.name,
        "size": f"{series.sizes[0]:g} to {series.sizes[-1]:g} {series.unit}",
        "seconds": f"{found[0, 0]:.3g} to {found[-1, 0]:.3g}",
        "MiB": f"{found[0, 1]:.0f} to {found[-1, 1]:.0f}",
        "R² of seconds": time_r2,
        "R² of MiB": "does not grow" if flat else memory_r2,
        "slope": f"{1e3 * slope:.3g} ms per {series.axis.removesuffix('s')}",
    }


def straight_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope, and R²: the share of the variance that a straight line explains."""
    slope, intercept = np.polyfit(x, y, 1)
    rest, spread = ((y - slope * x - intercept) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    return float(slope), float(1 - rest / spread) if spread else 1.0


# --- one size each -------------------------------------------------------------------------------------------


def step_cost(job: Job, side: float, files: list[Path]) -> tuple[float, float]:
    quick = {"width": QUICK["width"], "d_width": QUICK["d_width"]} if job.quick else {}
    recipe = RECIPES["pix2pix"].replace(size=int(side), depth=DEPTH, receptive_field=34, batch_size=1, **quick)
    torch.nn.functional.conv2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3))
    before = peak_memory()
    step = our_step(recipe, job.precisions[0], job.device)
    step()
    return min(timed(step, 1, job.device) for _ in range(1 if job.quick else 3)), peak_memory() - before


def photograph(job: Job, megapixels: float) -> list[Path]:
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    return write_photographs(job.scratch / f"{megapixels} MP", 1, (width, round(width * 0.75)), job.photos)


def photo_cost(job: Job, megapixels: float, files: list[Path]) -> tuple[float, float]:
    colorizer = Colorizer.load("default", job.device)
    colorizer.colorize(np.zeros((64, 64, 3), np.uint8))  # tables are made, kernels chosen
    before, seconds = peak_memory(), []
    for _ in range(1 if job.quick else 3):
        started = time.perf_counter()
        (result,) = colorizer.colorize_many(files, files[0].parent / "out", overwrite=True, progress=False)
        seconds.append(time.perf_counter() - started)
        assert result.error is None, result.error
    return min(seconds), peak_memory() - before


def pictures(job: Job, n: float) -> list[Path]:
    size = (80, 60) if job.quick else SIZES["0.3 MP"]
    return write_photographs(job.scratch / f"{n} pictures", int(n), size, job.photos)


def prepare_cost(job: Job, n: float, files: list[Path]) -> tuple[float, float]:
    """The first pass, and the memory of it and of every batch of an epoch."""
    spec = as_data_set(job.scratch / f"set of {n}", files)
    before, started = peak_memory(), time.perf_counter()
    source = open_source(spec, 32 if job.quick else 256, cache=job.scratch / f"cache of {n}", progress=False)
    seconds = time.perf_counter() - started
    batches = Batches(source, 4, size=source.size)
    for k in range(batches.steps_per_epoch):
        batches.batch(k)
    return seconds, peak_memory() - before


# --- plot ----------------------------------------------------------------------------------------------------

ALT = "Three panels of seconds and MiB over pixels, megapixels and pictures: points, with a straight line through them."


def plot(measured: list[tuple[Series, np.ndarray]]) -> bytes:
    """A panel a series: seconds to the left in one colour, MiB to the right in another."""
    from matplotlib.figure import Figure

    from colorlib.figures import FONT, PALETTE, png_bytes

    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    for ax, (series, found) in zip(figure.subplots(1, len(measured)), measured, strict=True):
        ax.set_title(series.name, fontsize=FONT)
        ax.set_xlabel(series.axis, fontsize=FONT)
        sides = ((ax, "seconds", PALETTE[0], "o", "-"), (ax.twinx(), "MiB", PALETTE[1], "s", "--"))
        for (panel, label, colour, mark, line), y in zip(sides, found.T, strict=True):
            panel.plot(series.x, y, mark, color=colour, markersize=5)
            panel.plot(series.x, np.polyval(np.polyfit(series.x, y, 1), series.x), line, color=colour)
            panel.set_ylabel(label, color=colour, fontsize=FONT)
            panel.set_ylim(0, 1.15 * max(y.max(), 1e-9))
        ax.set_xlim(0, 1.05 * series.x[-1])
    return png_bytes(figure)
