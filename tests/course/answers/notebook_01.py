"""Right and wrong answers to the exercises of notebook 01, each wrong one with what its feedback says."""

import math

import numpy as np
import torch

from colorlib import color, scenes
from colorlib.course.exercises.notebook_01 import D65


def _lab(xyz, white, *, knee=(6 / 29) ** 3, slope=1 / (3 * (6 / 29) ** 2), scale=(116, 500, 200), order=(0, 1, 2)):
    t = np.asarray(xyz) / np.asarray(white)
    f = np.where(t > knee, np.cbrt(t), slope * t + 4 / 29)[list(order)]
    return np.array([scale[0] * f[1] - 16, scale[1] * (f[0] - f[1]), scale[2] * (f[1] - f[2])])


def _colorful(rgb, *, absolute=False, factor=0.3, divide=1.0):
    red, green, blue = np.asarray(rgb).astype(float) / divide
    rg, yb = red - green, (red + green) / 2 - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    return np.sqrt(rg.var() + yb.var()) + factor * np.hypot(rg.mean(), yb.mean())


def _wrapped(rgb):
    """Opponents of 8-bit numbers, which wrap around below 0."""
    red, green, blue = rgb
    rg, yb = (red - green).float(), ((red + green) // 2 - blue).float()
    return (rg.var() + yb.var()).sqrt() + 0.3 * (rg.mean() ** 2 + yb.mean() ** 2).sqrt()


def _angle(guess, truth):
    return math.degrees(math.acos(min(1.0, guess / (2 * truth))))


def _turned(index: int, degrees: float, gain: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A scene, and the same with all hues turned and the chroma multiplied."""
    truth = scenes.draw([index], 64, split="val").rgb
    L, ab = color.split_lab(color.to_float(truth))
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotated = torch.stack([c * ab[:, 0] - s * ab[:, 1], s * ab[:, 0] + c * ab[:, 1]], 1)
    return truth, color.to_uint8(color.join_lab(L, gain * rotated, gamut="chroma"))


_TRUTH, _TURNED = _turned(8, 90)

RIGHT = [
    ("xyz_to_lab", _lab),
    ("xyz_to_lab", lambda xyz, white: tuple(_lab(xyz, white))),
    ("xyz_to_lab", lambda xyz, white: torch.tensor(_lab(xyz, white))),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white, knee=0.008856, slope=7.787)),
    ("colorfulness", _colorful),
    ("colorfulness", lambda rgb: torch.tensor(_colorful(rgb))),
    ("colorfulness", lambda rgb: np.float32(_colorful(rgb))),
    ("grey_wins_beyond", _angle),
    ("grey_wins_beyond", lambda g, t: np.degrees(np.arccos(np.clip(g / (2 * t), -1, 1)))),
    ("grey_wins_beyond", lambda g, t: torch.rad2deg(torch.acos(torch.tensor(min(1, g / 2 / t))))),
    ("grey_beats", (_TRUTH, _TURNED)),
    ("grey_beats", _turned(3, 180)),
    ("grey_beats", list(_turned(8, -100))),
    ("grey_beats", (_TRUTH[0], _TURNED[0])),
]

WRONG = [
    # the white forgotten, the white of screens only, no line near black, the knee taken for its root
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, (1, 1, 1))),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, D65), "with the white D50"),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white, knee=-1), "dark colour"),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white, knee=6 / 29)),
    # a and b scaled alike, Z before X, a and b exchanged, L without the 16, the square root, other results
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white, scale=(116, 500, 500))),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white, order=(2, 1, 0))),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white)[[0, 2, 1]]),
    ("xyz_to_lab", lambda xyz, white: _lab(xyz, white) + np.array([16, 0, 0])),
    ("xyz_to_lab", lambda xyz, white: 100 * np.sqrt(np.asarray(xyz) / white)),
    ("xyz_to_lab", lambda xyz, white: 50.0, "three numbers"),
    ("xyz_to_lab", lambda xyz, white: np.zeros((3, 1, 1)), "three numbers"),
    ("xyz_to_lab", lambda xyz, white: 1 / 0, "ZeroDivisionError"),
    # 8 bits wrap around, absolute opponents, factor 1 for the mean, 0..1 for 0..255
    ("colorfulness", _wrapped),
    ("colorfulness", lambda rgb: _colorful(rgb, absolute=True)),
    ("colorfulness", lambda rgb: _colorful(rgb, factor=1.0)),
    ("colorfulness", lambda rgb: _colorful(rgb, divide=255)),
    # the variance for the deviation, no mean, an image, NaN
    ("colorfulness", lambda rgb: _colorful(rgb) ** 2),
    ("colorfulness", lambda rgb: _colorful(rgb, factor=0)),
    ("colorfulness", lambda rgb: rgb),
    ("colorfulness", lambda rgb: math.nan),
    # radians, 60 degrees always, the ratio upside down, the factor 2 forgotten, the sine, no angle above 2, NaN above 2
    ("grey_wins_beyond", lambda g, t: math.radians(_angle(g, t))),
    ("grey_wins_beyond", lambda g, t: 60),
    ("grey_wins_beyond", lambda g, t: math.degrees(math.acos(min(1.0, t / (2 * g))))),
    ("grey_wins_beyond", lambda g, t: math.degrees(math.acos(min(1.0, g / t)))),
    ("grey_wins_beyond", lambda g, t: math.degrees(math.asin(min(1.0, g / (2 * t))))),
    ("grey_wins_beyond", lambda g, t: math.degrees(math.acos(g / (2 * t)))),
    ("grey_wins_beyond", lambda g, t: np.degrees(np.arccos(g / (2 * t))) if g <= 2 * t else math.nan),
    # too small a turn, the truth itself, grey, far too vivid, another picture, only one picture
    ("grey_beats", _turned(8, 20), "dB"),
    ("grey_beats", _turned(8, 0), "dB"),
    ("grey_beats", _turned(8, 90, 0.0), "chroma"),
    ("grey_beats", _turned(8, 90, 1.6), "chroma"),
    ("grey_beats", (_TRUTH, _turned(3, 0)[0]), "lightness"),
    ("grey_beats", _TRUTH, "a pair"),
    # floats, another size, no channels, arrays, the arguments instead of the pictures, three pictures
    ("grey_beats", (color.to_float(_TRUTH), color.to_float(_TURNED)), "uint8"),
    ("grey_beats", (_TRUTH, _TURNED[..., :32]), "shape"),
    ("grey_beats", (_TRUTH[:, 0], _TURNED[:, 0]), "shape"),
    ("grey_beats", (_TRUTH.numpy(), _TURNED.numpy()), "uint8"),
    ("grey_beats", (8, 90), "uint8"),
    ("grey_beats", (_TRUTH, _TURNED, _TRUTH), "3 things"),
]
