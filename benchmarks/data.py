"""The way of the data: files to batches, the first time and ever after, and what training waits for them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.baseline import TextbookDataset
from benchmarks.part import Job, Result
from benchmarks.photographs import as_data_set, write_photographs
from benchmarks.step import QUICK
from benchmarks.timing import Row, compared, synchronise, take_turns
from colorlib.color import split_lab, to_float
from colorlib.datasets import Batches, open_source
from colorlib.datasets.batches import CROP_MARGIN
from colorlib.recipes import RECIPES
from colorlib.training import Trainer

# Width and height of the files: a picture out of a published data set, and a photograph of 2 megapixels.
SIZES = {"0.3 MP": (640, 480), "2 MP": (1632, 1224)}
N = 64
BATCH = 16
# What the project aims at, as a ratio to the baseline.
AIMS = {"first pass": 1.5, "from the cache, uint8": 20.0, "from the cache, Lab on the CPU": 5.0}
WAIT_AIM = 0.05


def pipeline(job: Job, budget: float) -> Result:
    """JPEG files to batches at 256 px, in one process without helpers on both sides."""
    rows: list[Row] = []
    for name, size in SIZES.items():
        wide = (80, 60) if job.quick else size
        paths = write_photographs(job.scratch / name, 6 if job.quick else N, wide, job.photos)
        rows += [{**row, "what": f"{name}: {row['what']}"} for row in _race(paths, job, budget / len(SIZES))]
    about = (
        f"Images a second from {N} JPEG files to squares of 256 px, batches of {BATCH}. The baseline opens, resizes "
        "and converts each file with scikit-image whenever it is asked for, without helpers; ours decodes "
        f"them once (the first pass, {CROP_MARGIN * 256:.0f} px, written to the disk) and cuts random crops out of "
        "that. Lab is computed within the training step, on its device; here it is counted once more on the CPU."
    )
    return Result(rows, about, "images/s")


def _race(paths: list[Path], job: Job, budget: float) -> list[Row]:
    side, n = (32 if job.quick else 256), len(paths)
    spec = as_data_set(job.scratch / "set", paths)
    cache = job.scratch / "cache"
    source = open_source(spec, side, cache=cache, progress=False, margin=CROP_MARGIN)
    batches = Batches(source, min(BATCH, n), size=side)

    def first_pass() -> None:
        shutil.rmtree(cache)
        open_source(spec, side, cache=cache, progress=False, margin=CROP_MARGIN)

    def all_of(convert: Callable[[Tensor], object]) -> None:
        for k in range(batches.steps_per_epoch):
            convert(batches.batch(k))

    def baseline() -> None:
        for _ in DataLoader(TextbookDataset(paths, side), batch_size=min(BATCH, n), shuffle=True):
            pass

    ours: dict[str, Callable[[], object]] = {
        "from the cache, uint8": lambda: all_of(lambda images: images),
        "from the cache, Lab on the CPU": lambda: all_of(lambda images: split_lab(to_float(images))),
        "first pass": first_pass,
    }
    turns = take_turns({"baseline": baseline, **ours}, budget=budget, rounds=5)
    shutil.rmtree(job.scratch / "set")
    return [compared(name, turns, name, "baseline", n, aim=AIMS[name]) for name in AIMS]


# --- waiting -------------------------------------------------------------------------------------------------


class Waited:
    """Batches that remember how long each was waited for."""

    def __init__(self, batches: Batches) -> None:
        self._batches, self.seconds = batches, []  # type: Batches, list[float]

    def __getattr__(self, name: str) -> object:
        return getattr(self._batches, name)

    def prefetch(self, *arguments: int, pin: bool = False) -> Iterator[tuple[int, Tensor]]:
        loader = self._batches.prefetch(*arguments, pin=pin)
        try:
            while True:
                started = time.perf_counter()
                batch = next(loader)
                self.seconds.append(time.perf_counter() - started)
                yield batch
        finally:
            loader.close()


def waiting(job: Job, budget: float) -> Result:
    """The share of its time that the training loop stands still for want of a batch."""
    paths = write_photographs(job.scratch / "waiting", 6 if job.quick else N, SIZES["0.3 MP"], job.photos)
    side, batch = (32, 2) if job.quick else (256, 32 if job.gpu else 4)
    spec = as_data_set(job.scratch / "waiting set", paths)
    source = open_source(spec, side, cache=job.scratch / "cache", progress=False, margin=CROP_MARGIN)
    recipe = RECIPES["pix2pix"].replace(batch_size=batch, steps=10**6, **(QUICK if job.quick else {}))
    trainer = Trainer(recipe, source, device=job.device)
    waited = Waited(trainer.batches)
    trainer.batches = waited  # type: ignore[assignment]
    end, clock = time.perf_counter() + budget, [time.perf_counter()]
    for record in trainer.run():
        if record.step == 1 or time.perf_counter() > end or record.step == 200:
            synchronise(job.device)
            clock.append(time.perf_counter())
            if record.step > 1:
                break
    total, waits = clock[-1] - clock[1], sum(waited.seconds[1 : record.step])
    row = {"batch": batch, "steps": record.step - 1, "images a second": batch * (record.step - 1) / total}
    row |= {"seconds a step": total / (record.step - 1), "share of time spent waiting": waits / total}
    about = f"Training pix2pix at {side} px from prepared photographs, the first step left out."
    return Result([row | {"aim": f"under {WAIT_AIM:g}"}], about)
