"""Tell whether the grey of a set is L* or luma: people store either beside the a and b of OpenCV's 8-bit Lab.

A photograph was sRGB before it was converted. With the right lightness its colours are therefore inside the gamut of
sRGB, apart from rounding. With the wrong lightness some of the saturated and of the bright colours are outside.

This needs a set of pictures. On 100 sets of 20 photographs that were not used to choose the constants, each set once
with L* and once with luma, the answer was right 200 times of 200. Of single photographs only 6 of 10 were told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from colorlib.color import lab_to_rgb, lab_to_xyz, xyz_to_linear

Lightness = Literal["L*", "luma", "unknown"]

# Rec. 601, for sRGB as stored: Y' = 0.299 R' + 0.587 G' + 0.114 B'.
LUMA = (0.299, 0.587, 0.114)
# A colour is outside if R, G or B leaves 0..1 by more than this, in linear light; rounding Lab to 8 bits does less.
TOLERANCE = 0.0075
# The wrong hypothesis has at least so many colours outside, and so many times those of the right one ...
MIN_OUTSIDE = 5
MIN_RATIO = 3
# ... which has at most this share of them outside. More means that the codes are something else.
ALLOWED = 0.05


@dataclass(frozen=True)
class Evidence:
    """How many different colours were looked at, and how many of them are outside the gamut under each hypothesis."""

    colours: int = 0
    outside_if_lstar: int = 0
    outside_if_luma: int = 0

    @property
    def verdict(self) -> Lightness:
        """The hypothesis that has clearly fewer colours outside, else `unknown`."""
        lstar, luma = self.outside_if_lstar, self.outside_if_luma
        if luma >= max(MIN_OUTSIDE, MIN_RATIO * lstar) and lstar <= ALLOWED * self.colours:
            return "L*"
        if lstar >= max(MIN_OUTSIDE, MIN_RATIO * luma) and luma <= ALLOWED * self.colours:
            return "luma"
        return "unknown"


def evidence(gray: UInt8[np.ndarray, "*n"], ab: UInt8[np.ndarray, "*n 2"], limit: int) -> Evidence:
    """What the different colours of these pixels say, at most `limit` of them, evenly spread."""
    triples = np.unique(_pack(gray, ab))
    code, chroma = _unpack(triples[:: -(-len(triples) // limit) or 1])
    lstar, luma = _outside(code * (100 / 255), chroma), _outside(_solve_lightness(code, chroma), chroma)
    return Evidence(len(code), lstar, luma)


def _outside(L: Float[Tensor, " n"], ab: Float[Tensor, "2 n"]) -> int:
    """How many colours are outside the gamut of sRGB by more than TOLERANCE."""
    linear = xyz_to_linear(lab_to_xyz(_lab(L, ab)))
    return int(((linear < -TOLERANCE) | (linear > 1 + TOLERANCE)).any(0).sum())


def luma_to_lightness(luma: UInt8[np.ndarray, "*n"], ab: UInt8[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
    """L* in 0..100 of the colour with this luma, a + 128 and b + 128, within 0.05; solved once for equal triples."""
    triples, where = np.unique(_pack(luma, ab), return_inverse=True)
    return _solve_lightness(*_unpack(triples)).numpy()[where].reshape(luma.shape)


def _solve_lightness(luma: Float[Tensor, " n"], ab: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    """Bisect: with ab held, luma grows with L*. For a luma that no L* gives, return the nearest end of 0..100."""
    low, high = torch.zeros_like(luma), torch.full_like(luma, 100.0)
    weights = torch.tensor(LUMA)
    for _ in range(11):
        middle = (low + high) / 2
        rgb = lab_to_rgb(_lab(middle, ab), clip=False)[..., 0]
        too_dark = weights @ rgb < luma / 255
        low, high = torch.where(too_dark, middle, low), torch.where(too_dark, high, middle)
    return (low + high) / 2


def _lab(L: Float[Tensor, " n"], ab: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n 1"]:
    return torch.cat([L[None], ab])[..., None]


def _pack(gray: UInt8[np.ndarray, "*n"], ab: UInt8[np.ndarray, "*n 2"]) -> Int[np.ndarray, " m"]:
    """One integer a pixel, so that equal pixels are found by sorting."""
    return (gray.astype(np.int64) << 16 | ab[..., 0].astype(np.int64) << 8 | ab[..., 1]).ravel()


def _unpack(triples: Int[np.ndarray, " n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "2 n"]]:
    """Grey 0..255, and a and b."""
    gray, a, b = torch.from_numpy(np.stack([triples >> 16, triples >> 8 & 255, triples & 255])).float()
    return gray, torch.stack([a, b]) - 128
