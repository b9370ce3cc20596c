"""What only a machine with a GPU runs: the tests that need one, and a short training in full mode."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.data import SIZES
from benchmarks.part import Job, Result
from benchmarks.photographs import as_data_set, write_photographs
from benchmarks.step import QUICK
from benchmarks.timing import Row, synchronise
from colorlib.datasets import open_source
from colorlib.datasets.batches import CROP_MARGIN
from colorlib.recipes import RECIPES
from colorlib.training import Trainer

ROOT = Path(__file__).parents[1]
N = 200


def tests(job: Job, budget: float) -> Result:
    """The tests marked `gpu`. Without conftest.py, which needs packages that only the whole suite does."""
    files = [path for path in sorted((ROOT / "tests").glob("test_*.py")) if "@pytest.mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-m", "gpu", *map(str, files)]
    path = os.pathsep.join([str(ROOT), *sys.path])
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=max(60, budget),
                              env=os.environ | {"PYTHONPATH": path})  # fmt: skip
        said = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1].strip("= ")
        passed = done.returncode == 0
        if not passed:
            print(done.stdout[-4000:])
    except subprocess.TimeoutExpired:
        said, passed = f"stopped after {budget:.0f} s", False
    row: Row = {"passed": "yes" if passed else "no", "pytest": said, "files": ", ".join(path.name for path in files)}
    return Result([row], "The tests that need a CUDA device.")


def training(job: Job, budget: float) -> Result:
    """pix2pix at 256 px through the library's own loop, data, validation and checkpoint included."""
    paths = write_photographs(job.scratch / "training", 8 if job.quick else N, SIZES["0.3 MP"], job.photos)
    side, batch = (32, 2) if job.quick else (256, 32)
    spec = as_data_set(job.scratch / "training set", paths)
    cache = job.scratch / "cache"
    source = open_source(spec, side, cache=cache, progress=False, margin=CROP_MARGIN)
    validation = open_source(spec, side, "val", cache=cache, progress=False)
    recipe = RECIPES["pix2pix"].replace(batch_size=batch, minutes=budget / 60, **(QUICK if job.quick else {}))
    trainer = Trainer(recipe, source, validation=validation, out=job.scratch / "run", device=job.device)
    started = time.perf_counter()
    for _ in trainer.run(steps=4 if job.quick else None):
        pass
    synchronise(job.device)
    seconds = time.perf_counter() - started
    history = trainer.history
    row: Row = {
        "device": job.device.type,
        "precision": trainer.networks.precision,
        "batch": batch,
        "steps": trainer.step,
        "images a second": batch * trainer.step / seconds,
        "L1, first ten steps": float(history["l1"].head(10).mean()),
        "L1, last ten steps": float(history["l1"].tail(10).mean()),
    }
    return Result(
        [row], f"{seconds:.0f} seconds of pix2pix at {side} px on {len(source)} pictures, validation included."
    )
