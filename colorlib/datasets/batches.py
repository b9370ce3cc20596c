"""Training batches whose content depends only on the seed and the number of the batch.

A resumed run therefore trains on the same batches as a run that was never interrupted.
"""

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

# An endless source is read from a first index that depends on the seed and is below this number. A billion further
# indices then still fit 32 bits.
ENDLESS_STARTS = 2**30
# The side of a stored photograph, divided by the side of its crops. The pix2pix paper (Isola et al. 2017, appendix 6.2)
# resizes images to 286 px and trains on random crops of 256 px.
CROP_MARGIN = 286 / 256


class Batches:
    """Training batches of a source. The images are shuffled anew in each epoch, and cropped and flipped at random.

    The side of a crop is between `size` and `zoom * size` pixels, but not larger than the stored image. Every crop is
    resized to `size` pixels.

    `batch_size` is the size of the global batch, which `world_size` processes share. The process `rank` gets a
    contiguous part of every batch, with the same augmentation as if one process computed the whole batch. The last
    batch of an epoch is dropped if it is not full. If the source has fewer images than a batch, the batch is made
    smaller, with a warning. The images of an endless source are never repeated.

    Raises ValueError if `size` is larger than the stored images, if the processes cannot share a batch evenly, or if
    the source must not be used for training.
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
        """Return the part of batch number k >= 0 that belongs to this rank, sRGB 0..255."""
        share = self.batch_size // self.world_size
        mine = slice(self.rank * share, (self.rank + 1) * share)
        images = self.source.images(self._indices(k)[mine].tolist())
        sides, corners, flips = (numbers[mine].tolist() for numbers in self._augmentation(k))
        return torch.stack([self._crop(*one) for one in zip(images, sides, corners, flips, strict=True)])

    def prefetch(self, start: int = 0, n_threads: int = 1, *, pin: bool = False) -> Prefetched:
        """Yield `(k, batch(k))` for k = start, start + 1, ... without end.

        Other threads prepare the next `n_threads + 1` batches while the training uses one. With `pin` the batches are
        in page-locked memory, from which a GPU can copy them while it computes.
        """

        def prepare(k: int) -> UInt8[Tensor, "b 3 size size"]:
            return self.batch(k).pin_memory() if pin else self.batch(k)

        with ThreadPoolExecutor(n_threads, thread_name_prefix="colorlib-batches") as pool:
            # The queue keeps the batches in order and limits how many are in memory.
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
        """Which images are in batch k."""
        if self.source.endless:
            first = derive_seed(self.seed, "endless") % ENDLESS_STARTS
            return first + torch.arange(k * self.batch_size, (k + 1) * self.batch_size)
        epoch, step = divmod(k, self.steps_per_epoch)
        return self._permutation(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def _permutation(self, epoch: int) -> Int[Tensor, " n"]:
        """The order of the images in an epoch. The latest one is remembered."""
        # Several threads call this. Epoch and order are one tuple that is replaced as a whole, so they always match.
        known, order = self._order
        if known != epoch:
            order = torch.randperm(len(self.source), generator=make_rng(self.seed, "epoch", epoch))
            self._order = (epoch, order)
        return order

    def _augmentation(self, k: int) -> tuple[Int[Tensor, " b"], Int[Tensor, "b 2"], Int[Tensor, " b"]]:
        """Draw the sides, top left corners and flips (0 or 1) of all crops of a batch.

        They are drawn for the whole global batch, from a seed that only depends on k. Each rank then takes its part, so
        that several processes augment a batch as one process would.
        """
        sides = torch.full((self.batch_size,), self.size)
        if not self.augment:
            corners = torch.full((self.batch_size, 2), (self.source.size - self.size) // 2)
            return sides, corners, torch.zeros(self.batch_size, dtype=torch.int64)
        rng = make_rng(self.seed, "augment", k)
        # Both branches give uniform corners, but from different random numbers. Merging them would change the batches
        # of runs that are resumed.
        if self.widest == self.size:
            corners = torch.randint(0, self.source.size - self.size + 1, (self.batch_size, 2), generator=rng)
        else:
            sides = torch.randint(self.size, self.widest + 1, (self.batch_size,), generator=rng)
            room = (self.source.size - sides + 1)[:, None]
            corners = (torch.rand(self.batch_size, 2, generator=rng) * room).long()
        return sides, corners, torch.randint(0, 2, (self.batch_size,), generator=rng)

    def _crop(
        self, image: UInt8[Tensor, "3 stored stored"], side: int, corner: list[int], flip: int
    ) -> UInt8[Tensor, "3 size size"]:
        """Cut the crop out of an image, resize it, and mirror it if `flip` is 1."""
        top, left = corner
        image = resize(image[:, top : top + side, left : left + side], self.size)
        return image.flip(-1) if flip else image


def _fitting_batch_size(batch_size: int, source: Source, world_size: int) -> int:
    """The batch size, made smaller if the source has fewer images. It is always a multiple of `world_size`."""
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(f"expected a batch size that {world_size} process(es) can share evenly, got {batch_size}")
    if source.endless or len(source) >= batch_size:
        return batch_size
    shrunk = len(source) - len(source) % world_size
    if shrunk == 0:
        raise ValueError(
            f"{source.name} has {len(source)} images, fewer than one for each of the {world_size} processes; "
            "use fewer processes"
        )
    said = f"{source.name} has only {len(source)} images, so the batch of {batch_size} shrinks to {shrunk}"
    warnings.warn(said, stacklevel=3)
    return shrunk
