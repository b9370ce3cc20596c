"""Find the largest batch that fits a GPU's memory, and advise what to do when memory is full."""

from __future__ import annotations

import gc

import torch
from jaxtyping import UInt8
from torch import Tensor

from colorlib import distributed
from colorlib.devices import make_rng, pick_device
from colorlib.errors import RunError
from colorlib.recipes import Recipe
from colorlib.steps import Networks

LARGEST = 1024  # images for each process; no larger batch is tried
USABLE_SHARE = 0.9  # of the free memory; the rest is a reserve, because the need differs from step to step


def largest_batch(recipe: Recipe, device: str | torch.device = "auto", *, most: int = LARGEST) -> int:
    """Return the largest power of two, up to `most`, that fits this process as a batch; 0 if no image fits.

    Whole steps are tried on the GPU, each time with twice as many images, until nine tenths of the memory that was free
    are in use. Raises ValueError for a CPU, where the system kills a process that needs too much memory.
    """
    device = pick_device(device)
    if device.type != "cuda":
        raise ValueError(f"an automatic batch size is tried out on a GPU; for {device} choose --batch-size yourself")
    return _try_batches(recipe, device, most)


def automatic_batch(recipe: Recipe, device: torch.device, *, most: int = LARGEST) -> int:
    """Return the batch size for `--batch-size auto`: the largest that fits each process, times their number.

    The result is the same in all processes. Raises RunError if no batch fits.
    """
    world = distributed.world_size()
    batch = distributed.smallest(largest_batch(recipe, device, most=most // world), device)
    if batch == 0:
        raise RunError(f"no batch fits the memory of {device} at {recipe.size} px; try a smaller size or width")
    return batch * world


def advice(recipe: Recipe, device: torch.device) -> str:
    """Return a line for a run whose batch does not fit: which batch size fits, and what else saves memory."""
    world, failed = distributed.world_size(), recipe.batch_size
    said = f"out of memory on {device} with batches of {failed} at {recipe.size} px"
    lean = "" if recipe.checkpointing else ", or checkpointing"
    try:
        fitting = world * largest_batch(recipe, device, most=(failed - 1) // world)
    except (ValueError, RuntimeError, MemoryError):  # a CPU, or too little memory is left to try
        return f"{said}; try a smaller batch_size, a larger accumulate (the same batch in more parts){lean}"
    if not fitting:
        return f"{said}; no smaller one fits either: try a smaller size or width{lean}"
    parts = recipe.accumulate * -(-failed // fitting)
    return (
        f"{said}; the largest that fits is {fitting}: try batch_size {fitting} (on the command line, auto finds it), "
        f"accumulate {parts} (the same batch in parts){lean}"
    )


# --- trying a step -------------------------------------------------------------------------------------------


def pictures(recipe: Recipe, n: int) -> UInt8[Tensor, "n 3 h w"]:
    """Noise to try a step on."""
    shape = (n, 3, recipe.size, recipe.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=make_rng("memory"))


def try_step(networks: Networks, n: int) -> None:
    """A whole step of both networks on `n` images. Further updates of D would take no more memory.

    It is a step of the end of the training, when an encoder that was frozen at first takes the most memory.
    """
    networks.train_step([pictures(networks.recipe, n)], networks.recipe.pretrain_steps, progress=1.0)


def _try_batches(recipe: Recipe, device: torch.device, most: int) -> int:
    networks = Networks(recipe, 0, device, alone=True)
    budget = USABLE_SHARE * free_memory(device)
    batch, next_batch = 0, 1
    while next_batch <= most and _fits(networks, next_batch, budget):
        batch, next_batch = next_batch, 2 * next_batch
    del networks
    gc.collect()
    torch.cuda.empty_cache()
    return batch


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that this process could have."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


def _fits(networks: Networks, batch: int, budget: float) -> bool:
    torch.cuda.empty_cache()
    try:
        return peak(networks, batch) <= budget
    except torch.OutOfMemoryError:
        return False


def peak(networks: Networks, batch: int) -> int:
    """Bytes that PyTorch took from a GPU at most, during a step and the optimizers' first."""
    if not networks.pack()[0]["optimizer_g"]:
        try_step(networks, 1)  # makes the optimizers' averages
    torch.cuda.reset_peak_memory_stats(networks.device)
    try_step(networks, batch)
    return torch.cuda.max_memory_reserved(networks.device)
