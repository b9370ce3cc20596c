"""Batches in an order that is a function of seed and step alone, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from colorlib.augmentation import resize
from colorlib.datasets.base import Source, check_for_training
from colorlib.devices import derive_seed, make_rng

Prefetched = Generator[tuple[int, UInt8[Tensor, "b 3 size size"]], None, None]

# Where a seed enters an endless source: below 2**30, so that a billion further indices still fit 32 bits.
ENDLESS_STARTS = 2**30
# How much larger than its crops a photograph is kept: the paper trains on 256 px crops of images resized to 286 px.
CROP_MARGIN = 286 / 256


class Batches:
    """Training batches of a source: shuffled anew each epoch, cropped and flipped at random.

    The crops are `size` to `zoom * size` px wide, as far as the source's pictures allow, and come at `size`.
    `batch_size` is the global batch: of `world_size` processes, `rank` gets its contiguous share of every batch, with
    the augmentation that one process alone would have given it. The last, partial batch of an epoch is dropped. A
    source smaller than a batch shrinks the batch to the source, with a warning. An endless source is never repeated.

    Raises ValueError for a size above the source's, or a batch that the processes cannot share evenly.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        size: int,
        zoom: float = 1.0,
        seed: int = 0,
        augment: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        check_for_training(source)
        if not 1 <= size <= source.size:
            raise ValueError(f"expected a size from 1 to the source's {source.size} px, got {size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"expected a rank from 0 to {world_size - 1}, got {rank}")
        self.source, self.size, self.seed, self.augment = source, size, seed, augment
        self.widest = max(size, min(round(size * zoom), source.size)) if augment else size
        self.rank, self.world_size = rank, world_size
        self.batch_size = _fitting_batch_size(batch_size, source, world_size)
        self.steps_per_epoch = len(source) // self.batch_size
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def batch(self, k: int) -> UInt8[Tensor, "b 3 size size"]:
        """Batch number k >= 0, this rank's share: sRGB 0..255."""
        share = self.batch_size // self.world_size
        mine = slice(self.rank * share, (self.rank + 1) * share)
        images = self.source.images(self._indices(k)[mine].tolist())
        sides, corners, flips = (numbers[mine].tolist() for numbers in self._augmentation(k))
        return torch.stack([self._view(*one) for one in zip(images, sides, corners, flips, strict=True)])

    def prefetch(self, start: int = 0, n_threads: int = 1, *, pin: bool = False) -> Prefetched:
        """`(k, batch(k))` for k = start, start + 1, ... without end, prepared one or two ahead in other threads.

        `pin` puts them into page-locked memory, from which a GPU fetches them while it computes.
        """

        def prepare(k: int) -> UInt8[Tensor, "b 3 size size"]:
            return self.batch(k).pin_memory() if pin else self.batch(k)

        with ThreadPoolExecutor(n_threads, thread_name_prefix="colorlib-batches") as pool:
            ahead = deque((k, pool.submit(prepare, k)) for k in range(start, start + n_threads + 1))
            try:
                while True:
                    k, future = ahead.popleft()
                    batch = future.result()
                    ahead.append((k + n_threads + 1, pool.submit(prepare, k + n_threads + 1)))
                    yield k, batch
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _indices(self, k: int) -> Int[Tensor, " b"]:
        if self.source.endless:
            first = derive_seed(self.seed, "endless") % ENDLESS_STARTS
            return first + torch.arange(k * self.batch_size, (k + 1) * self.batch_size)
        epoch, step = divmod(k, self.steps_per_epoch)
        return self._permutation(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def _permutation(self, epoch: int) -> Int[Tensor, " n"]:
        known, order = self._order  # one tuple, read and replaced whole: threads never see half of it
        if known != epoch:
            order = torch.randperm(len(self.source), generator=make_rng(self.seed, "epoch", epoch))
            self._order = (epoch, order)
        return order

    def _augmentation(self, k: int) -> tuple[Int[Tensor, " b"], Int[Tensor, "b 2"], Int[Tensor, " b"]]:
        """Sides, top left corners and flips (0 or 1) of the whole global batch: ranks agree with one process."""
        sides = torch.full((self.batch_size,), self.size)
        if not self.augment:
            corners = torch.full((self.batch_size, 2), (self.source.size - self.size) // 2)
            return sides, corners, torch.zeros(self.batch_size, dtype=torch.int64)
        rng = make_rng(self.seed, "augment", k)
        if self.widest == self.size:
            corners = torch.randint(0, self.source.size - self.size + 1, (self.batch_size, 2), generator=rng)
        else:
            sides = torch.randint(self.size, self.widest + 1, (self.batch_size,), generator=rng)
            room = (self.source.size - sides + 1)[:, None]
            corners = (torch.rand(self.batch_size, 2, generator=rng) * room).long()
        return sides, corners, torch.randint(0, 2, (self.batch_size,), generator=rng)

    def _view(
        self, image: UInt8[Tensor, "3 stored stored"], side: int, corner: list[int], flip: int
    ) -> UInt8[Tensor, "3 size size"]:
        top, left = corner
        image = resize(image[:, top : top + side, left : left + side], self.size)
        return image.flip(-1) if flip else image


def _fitting_batch_size(batch_size: int, source: Source, world_size: int) -> int:
    """`batch_size`, or what the source has where that is less; always a multiple of `world_size`."""
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(f"expected a batch size that {world_size} process(es) share evenly, got {batch_size}")
    if source.endless or len(source) >= batch_size:
        return batch_size
    shrunk = len(source) - len(source) % world_size
    if shrunk == 0:
        raise ValueError(f"expected at least {world_size} pictures for {world_size} processes, got {len(source)}")
    said = f"{source.name} has {len(source)} pictures: the batch of {batch_size} shrinks to {shrunk}"
    warnings.warn(said, stacklevel=3)
    return shrunk
