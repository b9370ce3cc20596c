"""Bytes that a training step must hold, counted by PyTorch's own hooks: the same on every machine, and to the byte."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from colorlib import memory
from colorlib.devices import pick_device
from colorlib.recipes import Recipe
from colorlib.steps import Networks


@dataclass(frozen=True)
class Need:
    """Bytes that training holds: for the networks, and for each image that goes through them at a time."""

    networks: int
    image: int

    def of(self, images: int) -> int:
        """Bytes with so many images at a time."""
        return self.networks + images * self.image


def measure(recipe: Recipe, device: str | torch.device = "auto") -> Need:
    """What a recipe needs, from a step with one image and a step with two."""
    networks = Networks(recipe.replace(accumulate=1), 0, pick_device(device), alone=True)
    one, two = (kept_for_backward(networks, images) for images in (1, 2))
    return Need(held_by(networks) + 2 * one - two, two - one)


def held_by(networks: Networks) -> int:
    """Bytes of weights, gradients, optimizers and averages, after a step."""
    groups, _ = networks.pack()
    packed = sum(tensor.nbytes for group in groups.values() for tensor in group.values())
    modules = [module for module in (networks.generator, networks.d_loss) if module is not None]
    return packed + sum(parameter.nbytes for module in modules for parameter in module.parameters())


def kept_for_backward(networks: Networks, n: int) -> int:
    """The most bytes that a step on `n` images keeps for its backward passes at a time, weights not counted.

    Tensors that share a storage are counted once.
    """
    modules = [module for module in (networks.generator, networks.d_loss) if module is not None]
    count = SavedBytes({p.untyped_storage().data_ptr() for module in modules for p in module.parameters()})
    with torch.autograd.graph.saved_tensors_hooks(count.keep, lambda held: held.tensor):
        memory.try_step(networks, n)
    return count.most


class SavedBytes:
    """Bytes of the storages that are kept, each counted once, and the most that there ever were."""

    def __init__(self, ignored: set[int]) -> None:
        self.ignored, self.holders = ignored, Counter[int]()
        self.now = self.most = 0

    def keep(self, tensor: Tensor) -> _Saved:
        return _Saved(tensor, self)

    def add(self, storage: torch.UntypedStorage, holders: int) -> None:
        place = storage.data_ptr()
        if place in self.ignored:
            return
        self.holders[place] += holders
        if self.holders[place] == max(0, holders):  # its first holder or its last one
            self.now += holders * storage.nbytes()
            self.most = max(self.most, self.now)


class _Saved:
    """A tensor that the backward pass needs, until the graph lets go of it."""

    def __init__(self, tensor: Tensor, count: SavedBytes) -> None:
        self.tensor, self.count = tensor, count
        count.add(tensor.untyped_storage(), 1)

    def __del__(self) -> None:
        self.count.add(self.tensor.untyped_storage(), -1)
