"""How much memory a training step takes, the largest batch that fits, and keeping what one step frees for the next."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from colorlib import devices, distributed
from colorlib.devices import free_memory, make_rng, pick_device
from colorlib.errors import RunError
from colorlib.recipes import Recipe
from colorlib.steps import Networks

kept = devices.keep_freed_memory
LARGEST = 1024  # images a process; no batch is tried beyond
# Of the memory that is free, what a batch may fill. Where steps are tried a tenth is left for what differs from step to
# step; where they are computed, a half for gradients of maps, the program, and other programs.
TRIED_SHARE = 0.9
COMPUTED_SHARE = 0.5


@dataclass(frozen=True)
class Need:
    """Bytes that training holds: for the networks, and for each image that goes through them at a time."""

    networks: int
    image: int

    def of(self, images: int) -> int:
        """Bytes with so many images at a time."""
        return self.networks + images * self.image


def largest_batch(recipe: Recipe, device: str | torch.device = "auto", *, most: int = LARGEST) -> int:
    """The largest power of two, up to `most`, that is a batch which fits this process; 0 if not even 1 fits.

    On a GPU whole steps are tried, of twice as many images each time, until nine tenths of the memory that was free are
    taken. Elsewhere a process that takes too much is killed rather than refused, so what a step keeps for one image and
    for two is measured, and the rest computed: half of the free memory is used.

    Raises ValueError where the system does not say how much memory is free.
    """
    device = pick_device(device)
    fits = _tried(recipe, device) if device.type == "cuda" else _computed(recipe, device)
    batch, next_batch = 0, 1
    while next_batch <= most and fits(next_batch):
        batch, next_batch = next_batch, 2 * next_batch
    del fits
    gc.collect()
    torch.cuda.empty_cache()
    return batch


def automatic_batch(recipe: Recipe, device: torch.device, *, most: int = LARGEST) -> int:
    """What `--batch-size auto` stands for: the largest batch that fits each process, times the processes.

    All processes get the same answer. Raises RunError if there is none.
    """
    world = distributed.world_size()
    batch = distributed.smallest(largest_batch(recipe, device, most=most // world), device)
    if batch == 0:
        raise RunError(f"no batch fits the memory of {device} at {recipe.size} px; try a smaller size or width")
    return batch * world


def advice(recipe: Recipe, device: torch.device) -> str:
    """One line for a run whose batch does not fit: which one does, and what else takes less memory."""
    world, failed = distributed.world_size(), recipe.batch_size
    said = f"out of memory on {device} with batches of {failed} at {recipe.size} px"
    lean = "" if recipe.checkpointing else ", or checkpointing"
    try:
        fitting = world * largest_batch(recipe, device, most=(failed - 1) // world)
    except (ValueError, RuntimeError, MemoryError):  # nobody knows how much is free, or what is left is not enough
        return f"{said}; try a smaller batch_size, a larger accumulate (the same batch in more parts){lean}"
    if not fitting:
        return f"{said}; no smaller one fits either: try a smaller size or width{lean}"
    parts = recipe.accumulate * -(-failed // fitting)
    return (
        f"{said}; the largest that fits is {fitting}: try batch_size {fitting} (on the command line, auto finds it), "
        f"accumulate {parts} (the same batch in parts){lean}"
    )


# --- measuring -----------------------------------------------------------------------------------------------


def measure(recipe: Recipe, device: str | torch.device = "auto") -> Need:
    """What a recipe needs, from a step with one image and a step with two."""
    networks = Networks(recipe.replace(accumulate=1), 0, pick_device(device), alone=True)
    one, two = (kept_for_backward(networks, images) for images in (1, 2))
    return Need(held_by(networks) + 2 * one - two, two - one)


def pictures(recipe: Recipe, n: int) -> UInt8[Tensor, "n 3 h w"]:
    """Noise to try a step on."""
    shape = (n, 3, recipe.size, recipe.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=make_rng("memory"))


def try_step(networks: Networks, n: int) -> None:
    """A whole step of both networks on `n` images. Further updates of D would take no more memory.

    It is a step of the end of the training, when an encoder that was frozen at first takes the most memory.
    """
    networks.train_step([pictures(networks.recipe, n)], networks.recipe.pretrain_steps, progress=1.0)


def held_by(networks: Networks) -> int:
    """Bytes of weights, gradients, optimizers and averages, after a step."""
    groups, _ = networks.pack()
    packed = sum(tensor.nbytes for group in groups.values() for tensor in group.values())
    modules = [module for module in (networks.generator, networks.d_loss) if module is not None]
    return packed + sum(parameter.nbytes for module in modules for parameter in module.parameters())


def kept_for_backward(networks: Networks, n: int) -> int:
    """The most bytes that a step on `n` images keeps for its backward passes at a time, weights not counted.

    Counted by PyTorch's own hooks, in storages: the same on every machine, and to the byte.
    """
    modules = [module for module in (networks.generator, networks.d_loss) if module is not None]
    count = _Count({p.untyped_storage().data_ptr() for module in modules for p in module.parameters()})
    with torch.autograd.graph.saved_tensors_hooks(count.keep, lambda held: held.tensor):
        try_step(networks, n)
    return count.most


class _Count:
    """Bytes of the storages that are kept, each counted once, and the most that there ever were."""

    def __init__(self, ignored: set[int]) -> None:
        self.ignored, self.holders = ignored, Counter[int]()
        self.now = self.most = 0

    def keep(self, tensor: Tensor) -> _Kept:
        return _Kept(tensor, self)

    def add(self, storage: torch.UntypedStorage, holders: int) -> None:
        place = storage.data_ptr()
        if place in self.ignored:
            return
        self.holders[place] += holders
        if self.holders[place] == max(0, holders):  # its first holder has come, or its last has gone
            self.now += holders * storage.nbytes()
            self.most = max(self.most, self.now)


class _Kept:
    """A tensor that the backward pass needs, until the graph lets go of it."""

    def __init__(self, tensor: Tensor, count: _Count) -> None:
        self.tensor, self.count = tensor, count
        count.add(tensor.untyped_storage(), 1)

    def __del__(self) -> None:
        self.count.add(self.tensor.untyped_storage(), -1)


# --- does it fit? --------------------------------------------------------------------------------------------


def _computed(recipe: Recipe, device: torch.device) -> Callable[[int], bool]:
    free = free_memory(device)
    if free is None:
        raise ValueError("this system does not say how much memory is free; choose a batch size yourself")
    need, budget = measure(recipe, device), COMPUTED_SHARE * free / distributed.neighbours()
    return lambda batch: need.of(-(-batch // recipe.accumulate)) <= budget


def _tried(recipe: Recipe, device: torch.device) -> Callable[[int], bool]:
    networks = Networks(recipe, 0, device, alone=True)
    budget = TRIED_SHARE * (free_memory(device) or 0)

    def fits(batch: int) -> bool:
        torch.cuda.empty_cache()
        try:
            return peak(networks, batch) <= budget
        except torch.OutOfMemoryError:
            return False

    return fits


def peak(networks: Networks, batch: int) -> int:
    """Bytes that PyTorch took from a GPU at most, during a step and the optimizers' first."""
    if not networks.pack()[0]["optimizer_g"]:
        try_step(networks, 1)  # makes the optimizers' averages
    torch.cuda.reset_peak_memory_stats(networks.device)
    try_step(networks, batch)
    return torch.cuda.max_memory_reserved(networks.device)
