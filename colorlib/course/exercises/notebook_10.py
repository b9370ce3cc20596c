"""Checks of notebook 10: a Frechet distance, a paired interval, a picture that fools a metric, an honest caption."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from colorlib import scenes
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_tensor, expect_type
from colorlib.metrics import ciede2000, colorfulness


def _check_distance_same_covariance(answer: Any) -> None:
    expect_function("distance_same_covariance", answer, "a function of two means and a covariance")
    tilted = torch.tensor([[4.0, 1.0], [1.0, 2.0]])
    cases = {
        "for the means [0, 0] and [3, 4] and the covariance I": ([0.0, 0.0], [3.0, 4.0], torch.eye(2), 25.0),
        "for the same means and the covariance [[4, 1], [1, 2]]": ([0.0, 0.0], [3.0, 4.0], tilted, 25.0),
        "for two equal means": ([1.0, -2.0], [1.0, -2.0], tilted, 0.0),
        "for the means [1] and [-1] (one dimension)": ([1.0], [-1.0], torch.eye(1), 4.0),
    }
    for what, (one, two, covariance, wanted) in cases.items():
        expect(what, answer(torch.tensor(one), torch.tensor(two), covariance), wanted)


distance_same_covariance = Exercise(
    "distance_same_covariance",
    _check_distance_same_covariance,
    hints=[
        "with C1 = C2 = C, what is (C1 C2)^(1/2), and what is left of the trace?",
        "the squared length of the difference of the means; the covariance has no part in it",
    ],
)


def _scores() -> tuple[np.ndarray, np.ndarray]:
    """Two models on the same pictures: the pictures differ far more than the models do."""
    rng = np.random.default_rng(10)
    difficulty = rng.normal(22, 3, 80)
    return difficulty + rng.normal(0.4, 0.5, 80), difficulty + rng.normal(0, 0.5, 80)


def _check_paired_interval(answer: Any) -> None:
    expect_function("paired_interval", answer, "a function of two arrays and a generator")
    first, second = _scores()
    difference = first - second
    half = 1.96 * difference.std() / np.sqrt(len(difference))
    wanted = [difference.mean() - half, difference.mean() + half]
    # Two thousand draws scatter by about a twentieth of the half width; an unpaired interval is four times as wide.
    expect("for 80 pairs of scores", answer(first, second, np.random.default_rng(0)), wanted, tolerance=half / 4)
    back = [-wanted[1], -wanted[0]]
    expect("for the same, the other way round", answer(second, first, np.random.default_rng(1)), back, half / 4)
    always = answer(first + 1.5, first, np.random.default_rng(2))
    expect("for a model that is 1.5 better on every picture", always, [1.5, 1.5])


paired_interval = Exercise(
    "paired_interval",
    _check_paired_interval,
    hints=[
        "take the difference of each picture first: then it is one sample, of differences",
        "rng.integers(0, n, (4000, n)) picks with replacement; the 2.5 % and 97.5 % quantiles of the means",
    ],
)

MORE_COLOURFUL = 5.0
SAME_LIGHTNESS = 1.0


def _dull(number: int) -> tuple[UInt8[Tensor, "1 3 h w"], UInt8[Tensor, "1 3 h w"]]:
    """A scene, and a prediction of it with a third of the chroma."""
    world = scenes.draw([number], 48, split="test")
    return to_uint8(join_lab(world.L, world.true_ab / 3, gamut="chroma")), world.rgb


def _check_fool_colorfulness(answer: Any) -> None:
    expect_function("fool_colorfulness", answer, "a function of two pictures")
    for number in (3, 17):
        prediction, truth = _dull(number)
        picture = answer(prediction.clone(), truth.clone())
        expect_tensor(f"for scene {number}", picture, f"uint8 pictures of the shape {tuple(truth.shape)}")
        if picture.shape != truth.shape or picture.dtype != torch.uint8:
            got = f"a tensor of shape {tuple(picture.shape)}, {str(picture.dtype).removeprefix('torch.')}"
            raise NotYet(f"for scene {number}: expected uint8 pictures of the shape {tuple(truth.shape)}, got {got}")
        _check_fooled(number, picture, prediction, truth)


def _check_fooled(number: int, picture: Tensor, prediction: Tensor, truth: Tensor) -> None:
    what = f"for scene {number}: expected"
    least, now = colorfulness(prediction).item() + MORE_COLOURFUL, colorfulness(picture).item()
    if now < least:
        raise NotYet(f"{what} a colorfulness of at least {least:.1f}, got {now:.1f}")
    was, now = (ciede2000(shown, truth).item() for shown in (prediction, picture))
    if now <= was:
        raise NotYet(f"{what} a CIEDE2000 above the prediction's {was:.1f}, got {now:.1f}")
    lightness = [50 * split_lab(to_float(shown))[0] for shown in (picture, prediction)]
    moved = (lightness[0] - lightness[1]).abs().mean().item()
    if moved >= SAME_LIGHTNESS:
        raise NotYet(f"{what} L* to move by less than {SAME_LIGHTNESS:g}, got {moved:.1f}")


fool_colorfulness = Exercise(
    "fool_colorfulness",
    _check_fool_colorfulness,
    hints=[
        "colorfulness does not know which hues are right: split_lab, change ab, join_lab, to_uint8",
        "the opposite hues, stronger: -3 * ab, joined with gamut='chroma' so that L stays",
    ],
)

# Why each letter is right or wrong to have.
_REASONS = {
    "a": "both are far above grey in PSNR and below it in CIEDE2000, for every seed",
    "b": "the seeds overlap: 22.8 to 23.0 and 22.3 to 22.9",
    "c": "chroma ratios of 0.93 and 0.55 say just that",
    "d": "FIDs of different numbers of pictures, and of different pictures, do not compare",
    "e": "29 to 33 lies below 37 to 40, with the same pictures and the same n",
    "f": "the chroma ratio is blind to hue, and CIEDE2000 is 9",
}
_SUPPORTED = {"a", "c", "e"}


def _check_supported(answer: Any) -> None:
    wanted = 'a set of letters, such as {"a", "f"}'
    expect_type("supported", answer, (set, frozenset, list, tuple, str), wanted)
    letters = {str(letter).strip().lower() for letter in (answer if not isinstance(answer, str) else [*answer])}
    letters -= {"", ","}
    unknown = sorted(letters - set(_REASONS))
    if unknown:
        raise NotYet(f"supported: expected letters from a to f, got {unknown[0]!r}")
    for letter, reason in _REASONS.items():
        if letter in letters and letter not in _SUPPORTED:
            raise NotYet(f"supported: expected {letter} to be left out ({reason}), got {sorted(letters)}")
    missing = _SUPPORTED - letters
    if missing:
        count = f"{len(_SUPPORTED)} sentences"
        raise NotYet(f"supported: expected {count}, got {sorted(letters)}; which other one do the numbers carry?")


supported = Exercise(
    "supported",
    _check_supported,
    hints=[
        "for each sentence: which numbers would have to be different for it to be false, and do the seeds overlap?",
        "three are supported: one about grey, one about the amount of chroma, one about FID at the same n",
    ],
)
