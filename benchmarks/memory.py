"""Memory of a training step: by size of the images and by batch, computed and measured."""

from __future__ import annotations

import gc
import time

import torch

from benchmarks import counting
from benchmarks.part import Job, Result
from benchmarks.timing import NO_MEMORY, Row, alone, peak_memory
from colorlib import memory
from colorlib.devices import keep_freed_memory
from colorlib.recipes import RECIPES, Recipe
from colorlib.steps import Networks

SIDES = (128, 256)
BATCHES = {"cpu": (1, 4, 16), "cuda": (1, 16, 64)}
QUICK = {"width": 4, "d_width": 4}
MIB = 2**20


def table(job: Job, budget: float) -> Result:
    """A row a size and batch. What there is no time to measure is only computed."""
    end, rows = time.perf_counter() + budget, []
    for side in (16, 32) if job.quick else SIDES:
        changes = {"size": side, "precision": job.precisions[-1]}
        recipe = RECIPES["pix2pix"].replace(**changes, **(QUICK if job.quick else {}))
        needs = {name: counting.measure(recipe.replace(checkpointing=name == "checkpointing"), job.device)
                 for name in ("computed", "checkpointing")}  # fmt: skip
        for batch in (1, 2) if job.quick else BATCHES[job.device.type]:
            row: Row = {"size, px": side, "batch": batch}
            row |= {f"{name}, MiB": need.of(batch) / MIB for name, need in needs.items()}
            row["measured, MiB"] = measured(recipe, batch, job) if job.quick or time.perf_counter() < end else None
            rows.append(row)
    if job.gpu:
        fits = memory.largest_batch(recipe, job.device)
        rows.append({"size, px": recipe.size, "batch": f"{fits}, the largest power of two that fits"})
    return Result(rows, _about(recipe))


def _about(recipe: Recipe) -> str:
    return (
        f"The recipe pix2pix with its U-Net and PatchGAN, in {recipe.precision}. Computed is what must be held: "
        "weights, gradients, Adam's averages, and what the backward passes keep, which PyTorch counts to the byte for "
        "one image and for two. Checkpointing is the same with `--checkpointing`; with `--accumulate N` a batch takes "
        "what its N-th part takes alone. Measured is the most that the process, or PyTorch on a GPU, took for two "
        "steps: gradients of maps and working space of the convolutions come on top."
    )


def measured(recipe: Recipe, batch: int, job: Job) -> float | str:
    """MiB at most during two steps."""
    if job.gpu:
        return on_gpu(recipe, batch, job.device)
    return on_cpu(recipe, batch) if job.quick else alone(on_cpu, recipe, batch)


def on_cpu(recipe: Recipe, batch: int) -> float:
    torch.nn.functional.conv2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3))  # loads what convolutions need
    before, cpu = peak_memory(), torch.device("cpu")
    networks = Networks(recipe, 0, cpu)
    with keep_freed_memory(cpu):
        for _ in range(2):
            memory.try_step(networks, batch)
    return peak_memory() - before


def on_gpu(recipe: Recipe, batch: int, device: torch.device) -> float | str:
    gc.collect()
    torch.cuda.empty_cache()
    try:
        return memory.peak(Networks(recipe, 0, device), batch) / MIB
    except torch.OutOfMemoryError:
        return NO_MEMORY
