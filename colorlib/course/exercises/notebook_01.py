"""Notebook 01: XYZ to Lab, colorfulness, when grey wins, and an image on which it does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from colorlib import color, metrics
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_tensor, expect_type

# ----------------------------------------------------------------------------- XYZ to Lab

D65 = color.WHITE_D65
D50 = (0.96422, 1.0, 0.82521)  # ICC.1:2010, the white of a print
COLOURS = (
    ("for the white itself", 1.0, (1.0, 1.0, 1.0)),
    ("for a mid grey", 0.2, (1.0, 1.0, 1.0)),
    ("for a red", 1.0, (0.4340, 0.2127, 0.0178)),
    ("for a dark colour, where f is a line", 0.005, (1.0, 0.8, 0.5)),
)


def _check_xyz_to_lab(answer: Any) -> None:
    expect_function("xyz_to_lab", answer, "a function of XYZ and a white")
    for name, white in (("D65", D65), ("D50", D50)):
        for what, scale, ratio in COLOURS:
            xyz = np.array([scale * r * w for r, w in zip(ratio, white, strict=True)])
            got = answer(xyz.copy(), np.array(white))
            for channel, ours, theirs in zip("Lab", _three(what, got), _lab(xyz, white), strict=True):
                expect(f"{channel}* {what}, with the white {name}", ours, theirs, 1e-2)


def _three(what: str, got: Any) -> list[Any]:
    expect(f"three numbers {what}", [0.0, 0.0, 0.0] if _is_triple(got) else got, [0.0, 0.0, 0.0])
    return list(got)


def _is_triple(got: Any) -> bool:
    try:
        return len(got) == 3 and all(np.ndim(value) == 0 for value in got)
    except TypeError:
        return False


def _lab(xyz: np.ndarray, white: tuple[float, float, float]) -> list[float]:
    """Through the library, which knows D65 alone: only the ratios to white count."""
    ratios = torch.tensor(xyz / np.array(white) * np.array(D65)).reshape(3, 1, 1)
    return color.xyz_to_lab(ratios).flatten().tolist()


xyz_to_lab = Exercise(
    "xyz_to_lab",
    _check_xyz_to_lab,
    hints=[
        "divide by the white first; then f is the cube root above (6/29)^3 and a line below",
        "f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29), then "
        "116 f(Y) - 16, 500 (f(X) - f(Y)), 200 (f(Y) - f(Z))",
    ],
)

# ----------------------------------------------------------------------------- colorfulness


def _test_images() -> dict[str, Tensor]:
    """Grey, one plain colour (no deviation, only a mean), noise, and noise of half the strength and shifted."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, 12, 16), generator=rng, dtype=torch.uint8)
    grey = noise[:1].expand(3, 12, 16).contiguous()
    plain = torch.tensor([200, 120, 40], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 12, 16).contiguous()
    shifted = (noise // 2).index_fill(0, torch.tensor([2]), 10)
    return {
        "for a grey image": grey,
        "for one plain orange": plain,
        "for random colours": noise,
        "for an image without blue": shifted,
    }


def _check_colorfulness(answer: Any) -> None:
    expect_function("colorfulness", answer, "a function of an image")
    for what, image in _test_images().items():
        expect(what, answer(image.clone()), metrics.colorfulness(image[None]).item(), 0.05)


colorfulness = Exercise(
    "colorfulness",
    _check_colorfulness,
    hints=[
        "turn the image into float first: 8-bit numbers wrap around below 0; the opponents keep their sign",
        "sqrt(var(rg) + var(yb)) + 0.3 * sqrt(mean(rg)^2 + mean(yb)^2), the variances over all pixels, with "
        "rg = R - G and yb = (R + G) / 2 - B",
    ],
)

# ----------------------------------------------------------------------------- when grey wins


def _check_grey_wins_beyond(answer: Any) -> None:
    expect_function("grey_wins_beyond", answer, "a function of two chromas")
    for guess, truth in ((30.0, 30.0), (15.0, 30.0), (40.0, 30.0), (1e-6, 30.0), (60.0, 30.0), (90.0, 30.0)):
        what = f"for a guess of chroma {guess:g} where the truth has {truth:g}"
        expect(what, answer(guess, truth), math.degrees(math.acos(min(1.0, guess / (2 * truth)))), 0.05)


grey_wins_beyond = Exercise(
    "grey_wins_beyond",
    _check_grey_wins_beyond,
    hints=[
        "draw the triangle grey, truth, guess in the plane of a and b: grey wins where the guess is farther from the "
        "truth than grey is",
        "cosine rule: guess^2 + truth^2 - 2 guess truth cos(angle) > truth^2, so cos(angle) < guess / (2 truth); "
        "no angle is small enough once that is above 1",
    ],
)

# ----------------------------------------------------------------------------- an image on which grey wins

LARGEST_LIGHTNESS_ERROR = 1.5  # mean over the pixels, in units of L*: 8 bits and a little clipping
CHROMA_RATIOS = (0.8, 1.25)


def _check_grey_beats(answer: Any) -> None:
    expect_type("your answer", answer, (tuple, list), "a pair (truth, colouring)")
    if len(answer) != 2:
        raise NotYet(f"your answer: expected a pair (truth, colouring), got {len(answer)} things")
    truth, colouring = (_image(*pair) for pair in zip(("the truth", "the colouring"), answer, strict=True))
    if truth.shape != colouring.shape:
        raise NotYet(f"the colouring: expected the truth's shape {tuple(truth.shape)}, got {tuple(colouring.shape)}")
    L, ab = color.split_lab(color.to_float(truth))
    error = 50 * (color.split_lab(color.to_float(colouring))[0] - L).abs().mean().item()
    if error > LARGEST_LIGHTNESS_ERROR:
        raise NotYet(
            f"the colouring: expected the truth's lightness (at most {LARGEST_LIGHTNESS_ERROR} off in the mean), "
            f"got one that is {error:.1f} off"
        )
    chroma = metrics.PooledColor()
    chroma.update(colouring, truth)
    ratio = chroma.result()["chroma_ratio"]
    low, high = CHROMA_RATIOS
    if not low <= ratio <= high:
        raise NotYet(
            f"a plausible colouring: expected {low} to {high} of the truth's chroma, got {ratio:.2f} (0 is grey)"
        )
    grey = color.to_uint8(color.join_lab(L, torch.zeros_like(ab)))
    best, yours = metrics.psnr(grey, truth).item(), metrics.psnr(colouring, truth).item()
    if not yours < best:
        raise NotYet(f"PSNR of the colouring: expected less than the {best:.2f} dB of grey, got {yours:.2f} dB")


def _image(what: str, got: Any) -> Tensor:
    wanted = "8-bit images, a uint8 tensor (1, 3, H, W)"
    expect_tensor(what, got, wanted)
    if got.dtype != torch.uint8:
        raise NotYet(f"{what}: expected {wanted}, got {got.dtype}; try to_uint8(rgb)")
    image = got[None] if got.ndim == 3 else got
    if image.ndim != 4 or image.shape[1] != 3 or image.numel() == 0:
        raise NotYet(f"{what}: expected {wanted}, got the shape {tuple(got.shape)}")
    return image


grey_beats = Exercise(
    "grey_beats",
    _check_grey_beats,
    hints=[
        "keep the lightness and the chroma, and turn the hue by more than exercise 3 says; an image with one large "
        "colourful object is the easiest",
        "L, ab = split_lab(to_float(truth)); turned = ab.flip(1) * torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1) turns "
        "all hues by 90 degrees; join_lab(L, turned, gamut='chroma'), then to_uint8",
    ],
)
