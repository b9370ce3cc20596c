"""Checks of notebook 04: the price of not asking, planes for D, the mismatched-pair test, and modes of each class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_type, kind

_SHARES: tuple[tuple[str, list[float], float], ...] = (
    ("for eight classes of equal share", [0.125] * 8, 8.0),
    ("for the shares 0.5, 0.25, 0.25", [0.5, 0.25, 0.25], 10 / 3),
    ("for one class", [1.0], 1.0),
    ("for the shares 0.9 and 0.1", [0.9, 0.1], (1 / 0.9 + 10) / 2),
    ("for the shares 0.5, 0.5 and 0", [0.5, 0.5, 0.0], math.inf),
)


def _check_draws_needed(answer: Any) -> None:
    expect_function("draws_needed", answer, "a function of a list of shares")
    for what, shares, wanted in _SHARES:
        expect(f"{what}: the mean number of draws", answer(list(shares)), wanted)


draws_needed = Exercise(
    "draws_needed",
    _check_draws_needed,
    hints=[
        "how many throws of a die does it take, on average, until the first six?",
        "1 / share for each class; then the mean over classes, for each is wanted as often; a share of 0: infinity",
    ],
)

_PLANES = (
    ("for two colour pictures of 4 x 6 pixels, labels 2 and 0, 3 classes", (2, 3, 4, 6), [2, 0], 3),
    ("for four grey pictures of 5 x 5 pixels, labels 1, 1, 0, 3, 5 classes", (4, 1, 5, 5), [1, 1, 0, 3], 5),
)


def _check_with_planes(answer: Any) -> None:
    expect_function("with_planes", answer, "a function of pictures, labels and a number")
    for what, shape, numbers, classes in _PLANES:
        pictures = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        labels = torch.tensor(numbers)
        got = answer(pictures.clone(), labels, classes)
        expect_type(what, got, Tensor, "a tensor")
        planes = one_hot(labels, classes)[:, :, None, None].expand(-1, -1, *shape[2:])
        expect(f"{what}: the pictures and planes", got, torch.cat([pictures, planes.float()], 1), 1e-6)
        if got.dtype != pictures.dtype:
            raise NotYet(f"{what}: expected {pictures.dtype}, got {got.dtype}")


with_planes = Exercise(
    "with_planes",
    _check_with_planes,
    hints=[
        "torch.nn.functional.one_hot(labels, classes) has the numbers; they lack height and width",
        "one_hot(...)[:, :, None, None].expand(-1, -1, h, w), as floats, and torch.cat([pictures, planes], dim=1)",
    ],
)


def _agrees(x: Tensor) -> Tensor:
    """1 where L and a are the same, -1 where not: a discriminator that sees the match and nothing else."""
    return torch.where((x[:, :1] - x[:, 1:2]).abs() < 1e-6, 1.0, -1.0)


def _blind(x: Tensor) -> Tensor:
    return x[:, 1:].square().sum(1, keepdim=True)


def _half(x: Tensor) -> Tensor:
    """The match counts on the left half of the map only, and there is an offset."""
    return _agrees(x) * (torch.arange(x.shape[-1]) < x.shape[-1] // 2) + 0.25


_JUDGES = (
    ("for a D that gives 1 to a match and -1 to a mismatch", _agrees, 2.0),
    ("for a D that sees ab only", _blind, 0.0),
    ("for a D that looks at the left half of the match", _half, 1.0),
    ("for a D that prefers mismatches", lambda x: -_agrees(x), -2.0),
)


def _check_mismatch_gap(answer: Any) -> None:
    expect_function("mismatch_gap", answer, "a function of a discriminator, L and ab")
    n = 6
    ab = (torch.arange(n) / 10)[:, None, None, None] * torch.ones(n, 2, 4, 4)
    L = ab[:, :1].clone()
    for what, judge, wanted in _JUDGES:
        with torch.enable_grad():
            got = answer(_shaped(judge), L.clone(), ab.clone().requires_grad_())
        expect(f"{what}: the gap", got, wanted, 1e-5)
        if isinstance(got, Tensor) and got.requires_grad:
            raise NotYet(f"{what}: expected a number without a gradient, got {kind(got)} with one")


def _shaped(judge: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The discriminator, saying what it wants to be shown."""

    def discriminator(x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"D wants pairs of shape (n, 3, h, w), L first, got {kind(x)}")
        return judge(x)

    return discriminator


mismatch_gap = Exercise(
    "mismatch_gap",
    _check_mismatch_gap,
    hints=[
        "mix the batch along its first dimension so that no image keeps its place; a random permutation may keep some",
        "D(cat([L, ab], 1)).mean() - D(cat([L.roll(1, 0), ab], 1)).mean(), under torch.no_grad()",
    ],
)


def _modes_case() -> tuple[Tensor, Tensor, Tensor]:
    """Three classes of three modes: one finds all, one finds one (many times), one finds only those of others."""
    centres = torch.tensor(
        [[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]], [[0.0, 9.0], [1, 9], [2, 9]]]
    )
    first = [(0.05, 0.0), (1.0, 0.08), (2.0, -0.02), (0.5, 0.0)]
    second = [(1.0, 5.0), (1.02, 5.0), (0.97, 5.05), (0.6, 5.0)]
    third = [(0.0, 0.0), (0.0, 5.0), (2.0, 8.0)]
    labels = [0] * len(first) + [1] * len(second) + [2] * len(third)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(first + second + third)[order], torch.tensor(labels)[order], centres


def _check_modes_per_class(answer: Any) -> None:
    expect_function("modes_per_class", answer, "a function of points, labels, centres and a distance")
    points, labels, centres = _modes_case()
    for near, wanted in ((0.1, [3, 1, 0]), (0.65, [3, 2, 0])):
        got = answer(points.clone(), labels.clone(), centres.clone(), near)
        what = f"for three classes of three modes, near {near}"
        expect_type(what, got, (list, tuple, Tensor, np.ndarray), "a list of counts, one a class")
        expect(f"{what}: modes found of each class", got, wanted)
    got = answer(points[labels == 0], labels[labels == 0], centres, 0.1)
    expect("with no points for two of the three classes: modes found of each class", got, [3, 0, 0])


modes_per_class = Exercise(
    "modes_per_class",
    _check_modes_per_class,
    hints=[
        "for each class take only the points asked for as it, and only its own centres",
        "(torch.cdist(centres[k], points[labels == k]) <= near).any(dim=1).sum(): centres with a point nearby",
    ],
)
