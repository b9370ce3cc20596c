"""Is the grey of a set L* or luma? Asked of the pixels, since people store either beside the ab of OpenCV's 8-bit Lab.

A photograph was 8-bit sRGB before it was converted. Three codes (grey, a, b) that no 8-bit sRGB colour gives under a
hypothesis speak against it: under the right one they do not occur, under the wrong one a few of the thousands of
different triples of a photograph do. This asks for OpenCV's own arithmetic, which is in integers and differs from the
formula by up to three codes in the dark.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from colorlib.color import XYZ_FROM_LINEAR, lab_to_rgb, srgb_to_linear

Lightness = Literal["L*", "luma", "unknown"]

# Rec. 601, for sRGB as stored: Y' = 0.299 R' + 0.587 G' + 0.114 B'.
LUMA = (0.299, 0.587, 0.114)
# What decides: at least so many impossible triples, and so many times those under the other hypothesis.
MIN_IMPOSSIBLE = 5
MIN_RATIO = 5
# One picture decides only where its codes are OpenCV's own. In a whole set enough colours lie at the edge of the gamut
# for codes that another library made, or that were resized, to show which hypothesis takes them outside.
ALLOWED_IN_A_PICTURE = 1 / 2000
ALLOWED_IN_A_SET = 0.05

# Colours of a picture looked at in one go.
LOOK_AT = 2000
# Candidates held at once: few enough for the processor's cache.
BLOCK = 30_000

OPENCV_WHITE = (0.950456, 1.0, 1.088754)


@dataclass(frozen=True)
class Evidence:
    """How many different triples of codes were looked at, and how many of them no 8-bit colour gives."""

    triples: int = 0
    impossible_if_lstar: int = 0
    impossible_if_luma: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.triples + other.triples,
            self.impossible_if_lstar + other.impossible_if_lstar,
            self.impossible_if_luma + other.impossible_if_luma,
        )

    def verdict(self, allowed: float = ALLOWED_IN_A_PICTURE) -> Lightness:
        """The hypothesis that the other one loses against clearly, else `unknown`.

        `allowed` is the share of triples that may be impossible under the winner.
        """
        for kind, mine, other in (
            ("L*", self.impossible_if_lstar, self.impossible_if_luma),
            ("luma", self.impossible_if_luma, self.impossible_if_lstar),
        ):
            if other >= max(MIN_IMPOSSIBLE, MIN_RATIO * mine) and mine <= allowed * self.triples:
                return kind  # type: ignore[return-value]
        return "unknown"


def lightness_kind(gray: UInt8[np.ndarray, "h w"], ab: UInt8[np.ndarray, "h w 2"]) -> Lightness:
    """Whether `gray` is L* (times 255/100) or luma Y' of the photograph whose a + 128, b + 128 are in `ab`.

    Looks at a share of the colours after the other, evenly spread, until they tell.
    """
    triples = np.unique(_pack(gray, ab))
    parts = -(-len(triples) // LOOK_AT)
    found = Evidence()
    for part in range(parts):
        found += _evidence(triples[part::parts])
        if found.verdict() != "unknown":
            break
    return found.verdict()


def evidence(gray: UInt8[np.ndarray, "*n"], ab: UInt8[np.ndarray, "*n 2"], limit: int) -> Evidence:
    """What the different colours of these pixels say, at most `limit` of them, evenly spread."""
    triples = np.unique(_pack(gray, ab))
    return _evidence(triples[:: -(-len(triples) // limit) or 1])


def _evidence(triples: np.ndarray) -> Evidence:
    codes = _unpack(triples)
    return Evidence(len(codes), int((~_possible(codes, False)).sum()), int((~_possible(codes, True)).sum()))


def luma_to_lightness(luma: UInt8[np.ndarray, "*n"], ab: UInt8[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
    """L* in 0..100 of the colour with this luma, a + 128 and b + 128, within 0.05; solved once for equal triples."""
    triples, where = np.unique(_pack(luma, ab), return_inverse=True)
    return _solve_lightness(torch.from_numpy(_unpack(triples))).numpy()[where].reshape(luma.shape)


def _solve_lightness(codes: Int[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """By bisection: with ab held, luma grows with L*. Outside the gamut the nearest end of 0..100 comes out."""
    target, ab = codes[:, 0] / 255, codes[:, 1:] - 128.0
    low, high = torch.zeros_like(target), torch.full_like(target, 100.0)
    weights = torch.tensor(LUMA)
    for _ in range(11):
        middle = (low + high) / 2
        too_dark = _decode(middle, ab) @ weights < target
        low, high = torch.where(too_dark, middle, low), torch.where(too_dark, high, middle)
    return (low + high) / 2


def _decode(lightness: Float[Tensor, " n"], ab: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Lab to sRGB, not clipped to the gamut."""
    lab = torch.cat([lightness[:, None], ab], 1)
    return lab_to_rgb(lab.T[:, :, None], clip=False)[:, :, 0].T


def _pack(gray: np.ndarray, ab: np.ndarray) -> np.ndarray:
    return (gray.astype(np.int64) << 16 | ab[..., 0].astype(np.int64) << 8 | ab[..., 1]).ravel()


def _unpack(triples: np.ndarray) -> np.ndarray:
    return np.stack([triples >> 16, triples >> 8 & 255, triples & 255], axis=1)


# --- which triples some 8-bit sRGB colour gives (in NumPy: many small lookups, for which torch would start threads) ---


def _possible(codes: Int[np.ndarray, "n 3"], luma: bool) -> Bool[np.ndarray, " n"]:
    """Search the 8-bit colours around the one that the codes decode to: first the nearest ones, which mostly do."""
    centre = _nearest_colour(torch.from_numpy(codes), luma)
    found = np.zeros(len(codes), dtype=bool)
    for reach in (1, 4):
        missing = np.flatnonzero(~found)
        step = BLOCK // (2 * reach + 1) ** 3
        for start in range(0, len(missing), step):
            block = missing[start : start + step]
            found[block] = _any_colour(codes[block], centre[block], reach, luma)
    return found


def _nearest_colour(codes: Int[Tensor, "n 3"], luma: bool) -> Int[np.ndarray, "n 3"]:
    """The 8-bit colour that the codes decode to by the formula, clipped to the gamut."""
    lightness = _solve_lightness(codes) if luma else codes[:, 0] * (100 / 255)
    return (_decode(lightness, codes[:, 1:] - 128.0) * 255).round().long().clamp(0, 255).numpy()


def _any_colour(
    codes: Int[np.ndarray, "n 3"], centre: Int[np.ndarray, "n 3"], reach: int, luma: bool
) -> Bool[np.ndarray, " n"]:
    """Whether an 8-bit colour at most `reach` from `centre` in each channel gives the codes."""
    levels = (centre[:, :, None] + np.arange(-reach, reach + 1)).clip(0, 255)
    L, a, b = _opencv_lab(levels)
    gray = _opencv_luma(levels) if luma else L
    wanted = codes.astype(np.int32)[:, :, None, None, None]
    return ((gray == wanted[:, 0]) & (a == wanted[:, 1]) & (b == wanted[:, 2])).any((1, 2, 3))


def _opencv_luma(levels: Int[np.ndarray, "n 3 k"]) -> Int[np.ndarray, "n k k k"]:
    """8-bit luma as `cv2.cvtColor` computes it: weights in units of 2**-15, rounded to nearest."""
    weights = np.array([9798, 19235, 3735], dtype=np.int32)
    return (_sums(levels, weights[:, None] * np.arange(256, dtype=np.int32)) + (1 << 14)) >> 15


def _opencv_lab(levels: Int[np.ndarray, "n 3 k"]) -> tuple[Int[np.ndarray, "n k k k"], ...]:
    """8-bit L, a, b as `cv2.cvtColor` computes them, of all k**3 colours that the k levels of each channel make.

    In integers: linear light in units of 1/2040, white-scaled XYZ by weights in units of 2**-12, then f(t), of which
    L = 116 f(Y) - 16, a = 500 (f(X) - f(Y)) and b = 200 (f(Y) - f(Z)), in units of 2**-15.
    """
    weighted, f = _opencv_tables()
    x, y, z = (f[(_sums(levels, weights) + (1 << 11)) >> 12] for weights in weighted)
    half, offset = 1 << 14, 128 << 15
    # 296 = 116 * 255 / 100 and the shift 16 * 255 / 100, each rounded as OpenCV does.
    lightness = (296 * y - (16 * 255 * (1 << 15) + 50) // 100 + half) >> 15
    return lightness, (500 * (x - y) + offset + half) >> 15, (200 * (y - z) + offset + half) >> 15


@functools.cache
def _opencv_tables() -> tuple[Int[np.ndarray, "3 3 256"], Int[np.ndarray, " m"]]:
    """What each level of each channel adds to X, Y and Z; and f(t) for t in units of 1/2040."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    linear = np.rint(2040 * srgb_to_linear(levels.expand(3, 1, 256))[0, 0].numpy())
    weights = np.rint(4096 * np.array(XYZ_FROM_LINEAR) / np.array(OPENCV_WHITE)[:, None])
    t = np.arange(2100) / 2040
    f = np.rint(2**15 * np.where(t < 0.008856, 7.787 * t + 16 / 116, np.cbrt(t)))
    return (weights[:, :, None] * linear).astype(np.int32), f.astype(np.int32)


def _sums(levels: Int[np.ndarray, "n 3 k"], table: Int[np.ndarray, "3 256"]) -> Int[np.ndarray, "n k k k"]:
    """The table entries of red, green and blue, added up for all combinations of levels."""
    red, green, blue = (table[channel][levels[:, channel]] for channel in range(3))
    return red[:, :, None, None] + green[:, None, :, None] + blue[:, None, None, :]
