"""Make a modern photograph look old: the faults of film, of age and of a scanner, one function each.

Every function takes a picture and returns a picture, `H x W x 3` of uint8. A grey picture has three equal channels.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from colorlib.color import linear_to_srgb, srgb_to_linear, to_float
from colorlib.figures import to_numpy
from colorlib.upsampling import as_batch

Picture = UInt8[np.ndarray, "h w 3"]

# Shares of red, green and blue light that darken the negative. The eye's (CIE luminance of sRGB), and rough figures
# for two old kinds of film; a real one has a curve over all wavelengths, not three numbers.
FILMS = {
    "panchromatic": (0.2126, 0.7152, 0.0722),
    "orthochromatic": (0.0, 0.5, 0.5),
    "blue-sensitive": (0.0, 0.0, 1.0),
}
# Share of the light that a sepia print returns in red, green and blue.
SEPIA = (1.0, 0.78, 0.52)
PAPER = (236, 228, 208)


def film(picture: Picture, kind: str) -> Picture:
    """The grey picture that a film makes of a coloured one: its sensitivity mixes the light, not the levels.

    Raises ValueError for a kind that is not in `FILMS`.
    """
    if kind not in FILMS:
        raise ValueError(f"expected a film of {', '.join(FILMS)}, got {kind!r}")
    seen = (torch.tensor(FILMS[kind])[:, None, None] * _light(picture)).sum(dim=0, keepdim=True)
    return to_numpy(linear_to_srgb(seen.expand(3, -1, -1)))


def fade(picture: Picture, black: float = 90, white: float = 190) -> Picture:
    """Less contrast: the levels 0..255 end up between `black` and `white`."""
    return _levels(black + (white - black) * (picture / 255))


def tone(picture: Picture, colour: tuple[float, float, float] = SEPIA) -> Picture:
    """Tone a grey picture: every grey becomes a brown that returns these shares of its light."""
    return to_numpy(linear_to_srgb(_light(picture) * torch.tensor(colour)[:, None, None]))


def grain(picture: Picture, rng: np.random.Generator, strength: float = 18) -> Picture:
    """Noise, equal in the three channels, of `strength` levels."""
    noise = rng.normal(0, strength, (*picture.shape[:2], 1))
    return _levels(picture + noise)


def scratch(picture: Picture, rng: np.random.Generator, scratches: int = 12, specks: int = 60) -> Picture:
    """White scratches from top to bottom, a pixel or two wide, and white specks of dust."""
    damaged = picture.copy()
    height, width = picture.shape[:2]
    rows = np.arange(height)
    for _ in range(scratches):
        drift = np.cumsum(rng.normal(0, 0.4, height))
        columns = np.clip(rng.uniform(0, width) + drift, 0, width - 1).astype(int)
        damaged[rows, columns] = damaged[rows, np.minimum(columns + 1, width - 1)] = 235
    for _ in range(specks):
        y, x, radius = rng.integers(height), rng.integers(width), rng.integers(1, 4)
        damaged[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius] = 235
    return damaged


def on_a_page(picture: Picture, paper: int = 24, lid: int = 16) -> UInt8[np.ndarray, "page_h page_w 3"]:
    """Add what a scanner sees around a photograph: a margin of paper, and around it the dark lid, both in pixels."""
    page = np.pad(picture, ((paper, paper), (paper, paper), (0, 0)))
    page[:paper] = page[-paper:] = page[:, :paper] = page[:, -paper:] = PAPER
    return np.pad(page, ((lid, lid), (lid, lid), (0, 0)), constant_values=14)


def _light(picture: Picture) -> Float[Tensor, "3 h w"]:
    return srgb_to_linear(to_float(as_batch(np.ascontiguousarray(picture))))[0]


def _levels(values: np.ndarray) -> Picture:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
