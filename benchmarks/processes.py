"""One process and two on the same machine, the same batches: what DistributedDataParallel costs and gives."""

from __future__ import annotations

import csv
import os
import subprocess

from benchmarks.data import SIZES
from benchmarks.part import Job, Result
from benchmarks.photographs import as_data_set, write_photographs
from benchmarks.step import QUICK
from benchmarks.timing import Row
from colorlib.course.full import torchrun_command
from colorlib.images import one_line
from colorlib.recipes import RECIPES, Recipe

STEPS = 6  # of which the first two are not counted


def scaling(job: Job, budget: float) -> Result:
    """pix2pix with torchrun, the cores shared out evenly."""
    paths = write_photographs(job.scratch / "shared", 8, (80, 60) if job.quick else SIZES["0.3 MP"], job.photos)
    spec = as_data_set(job.scratch / "shared set", paths)
    recipe = RECIPES["pix2pix"].replace(batch_size=4, steps=STEPS, **(QUICK if job.quick else {}))
    rates = {n: _images_a_second(recipe, spec, n, job, max(budget, 120)) for n in (1, 2)}
    rows: list[Row] = []
    for n, rate in rates.items():
        faster = rate / rates[1] if isinstance(rate, float) and isinstance(rates[1], float) else None
        rows.append({"processes": n, "threads each": _threads(n), "images/s": rate, "times faster": faster})
    about = (
        f"Training pix2pix at {recipe.size} px, batches of {recipe.batch_size} altogether, {STEPS - 2} steps. On one "
        "machine without GPUs the processes share the cores that one process would have used alone, so that nothing "
        "can be gained: what is missing to 1 is the price of exchanging gradients."
    )
    return Result(rows, about)


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def _images_a_second(recipe: Recipe, spec: str, processes: int, job: Job, patience: float) -> float | str:
    out = job.scratch / f"{processes} processes"
    command = [*torchrun_command(recipe, spec, out, processes=processes), "--device", "cpu"]
    environment = {"OMP_NUM_THREADS": str(_threads(processes)), "COLORLIB_CACHE": str(job.scratch / "cache")}
    try:
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return f"not done after {patience:.0f} s"
    if done.returncode:
        return one_line(RuntimeError(done.stderr[-200:]))
    with (out / "history.csv").open(encoding="utf-8", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return recipe.batch_size * (STEPS - 2) / (seconds[-1] - seconds[1])
