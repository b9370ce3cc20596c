"""Checks of notebook 08: W on a line, weights at the bound, a fair estimate, and the sign of the critic's loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colorlib.course.exercises.exercise import Exercise, expect, expect_function
from colorlib.losses import wasserstein_d_loss, wasserstein_g_loss


def _check_distance_on_a_line(answer: Any) -> None:
    expect_function("distance_on_a_line", answer, "a function of two samples")
    cases = {
        "for [0, 1, 3] and the same in another order": ([0.0, 1.0, 3.0], [3.0, 0.0, 1.0], 0.0),
        "for [0, 1, 3] and [8, 5, 6]": ([0.0, 1.0, 3.0], [8.0, 5.0, 6.0], 5.0),
        "for [2, 0] and [-1, 3] (one to the left, one to the right)": ([2.0, 0.0], [-1.0, 3.0], 1.0),
        "for 4 and 1 (one grain each)": ([4.0], [1.0], 3.0),
    }
    for what, (a, b, wanted) in cases.items():
        expect(what, answer(torch.tensor(a), torch.tensor(b)), wanted)


distance_on_a_line = Exercise(
    "distance_on_a_line",
    _check_distance_on_a_line,
    hints=[
        "put both samples in order: on a line no two grains need to cross on their ways",
        "the mean of the absolute differences of a.sort().values and b.sort().values",
    ],
)

_STATE = {
    "0.weight": torch.tensor([[0.01, -0.01], [0.002, 0.01]]),
    "0.bias": torch.tensor([0.0, -0.01]),
    "1.weight": torch.tensor([[-0.003, 0.009]]),
    "1.bias": torch.tensor([0.01]),
}


def _check_share_at_bound(answer: Any) -> None:
    expect_function("share_at_bound", answer, "a function of a state dict and a clip")
    expect("for 5 of 9 weights at a clip of 0.01", answer(_copy(_STATE), 0.01), 5 / 9)
    halves = {name: value * 50 for name, value in _STATE.items()}
    expect("for the same weights times 50 and a clip of 0.5", answer(_copy(halves), 0.5), 5 / 9)
    expect("for a clip that no weight has reached", answer(_copy(_STATE), 0.02), 0.0)


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


share_at_bound = Exercise(
    "share_at_bound",
    _check_share_at_bound,
    hints=[
        "a weight is at the bound if its absolute value is (nearly) the clip: on both sides, biases too",
        "count over all tensors together, then divide by the number of all weights: layers are not equally large",
    ],
)


def _check_fair_estimate(answer: Any) -> None:
    expect_function("fair_estimate", answer, "a function of places, scores and two heaps")
    places = torch.tensor([0.0, 1.0, 3.0])
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])
    cases = {
        "for the best potential, whose slope is -1": ([0.0, -1.0, -3.0], 1.5),
        "for the best potential times 1000": ([0.0, -1000.0, -3000.0], 1.5),
        "for the best potential plus 7": ([7.0, 6.0, 4.0], 1.5),
        "for scores with the slopes -2 and -0.5": ([0.0, -2.0, -3.0], 0.75),
        "for a critic of the wrong sign": ([0.0, 1.0, 3.0], -1.5),
    }
    for what, (scores, wanted) in cases.items():
        expect(what, answer(places, torch.tensor(scores), p, q), wanted)


fair_estimate = Exercise(
    "fair_estimate",
    _check_fair_estimate,
    hints=[
        "on a line the largest slope between any two places is one between neighbours",
        "the sum of scores * (p - q), divided by the largest |difference of scores| / difference of places",
    ],
)


def _reversed_d_loss(real: Tensor, fake: Tensor) -> Tensor:
    return real.mean() - fake.mean()


def _reversed_g_loss(fake: Tensor) -> Tensor:
    return fake.mean()


def _sum_d_loss(real: Tensor, fake: Tensor) -> Tensor:
    return -real.mean() - fake.mean()


# Two losses, and whether G moves fakes to where D holds real ones.
_PAIRS = (
    ("the right losses", wasserstein_d_loss, wasserstein_g_loss, True),
    ("a critic's loss with the sign reversed", _reversed_d_loss, wasserstein_g_loss, False),
    ("a generator's loss with the sign reversed", wasserstein_d_loss, _reversed_g_loss, False),
    ("both signs reversed (only the scores' sign changes)", _reversed_d_loss, _reversed_g_loss, True),
    ("a critic's loss that adds its terms", _sum_d_loss, wasserstein_g_loss, False),
)


def _check_pulls_together(answer: Any) -> None:
    expect_function("pulls_together", answer, "a function of two losses")
    for what, d_loss, g_loss, right in _PAIRS:
        expect(f"for {what}", answer(d_loss, g_loss), right)


pulls_together = Exercise(
    "pulls_together",
    _check_pulls_together,
    hints=[
        "make two tensors of scores that require a gradient; the minimiser moves each against its gradient",
        "the critic must move the scores of real and fake apart, and the generator its fakes' scores the way the "
        "critic moves the real ones",
    ],
)
