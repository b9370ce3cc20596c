"""The scenes as a source: unlimited new scenes for training, a fixed number of scenes for validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from colorlib import scenes
from colorlib.datasets.base import check_indices, description, digest

LENGTHS = {"train": 2000, "val": 200, "test": 200}
SEED = 0


@dataclass(frozen=True)
class SceneSource:
    """Scenes, drawn when `images` is called. No scene is used twice for training. `len` is the length of an epoch."""

    split: str
    size: int
    name: str = field(default="scenes", init=False)

    @property
    def endless(self) -> bool:
        return self.split == "train"

    def __len__(self) -> int:
        return LENGTHS[self.split]

    def images(self, indices: Sequence[int]) -> UInt8[Tensor, "b 3 size size"]:
        numbers = check_indices(indices, None if self.endless else len(self))
        return scenes.draw(numbers.tolist(), self.size, split=self.split, seed=SEED).rgb

    def describe(self) -> dict[str, Any]:
        """Describe the source. The fingerprint hashes four scenes, so it changes with the code that draws them."""
        return description(self, digest([self.split, self.size, self.images(range(4)).numpy().tobytes()]))
