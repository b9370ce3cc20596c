"""No answer makes a check fail, however odd it is: a check looks at the type of an answer before it computes with it.

An exception that a check did not foresee is reported as a bug of the course ("check failed"). These answers show that
the type of an answer does not lead to one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_exercises import ALL, RIGHT
from torch import nn

from colorlib.course.exercises.exercise import Exercise
from colorlib.course.experiments import lambda_sweep, sweep

VALUES: list[Any] = [
    3, -1.5, 1j, float("nan"), True, "text", b"bytes", object(), int, print, range(3),
    [], [1, 2], (1, 2, 3), (None, None), {"A": 1}, {1}, [[1], [1, 2]], (torch.zeros(2), "x"),
    np.bool_(True), np.zeros(2), np.array([None]), torch.zeros(()), torch.zeros(1, 3, 4, 4), torch.zeros(0),
    torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, device="meta"), torch.eye(2).to_sparse(),
    pd.DataFrame({"a": [1]}), nn.Linear(3, 3),
]  # fmt: skip


class Changed(nn.Module):
    """A network whose output is changed."""

    def __init__(self, network: nn.Module, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, x: torch.Tensor) -> Any:
        return self.change(self.network(x))


CHANGES: list[Callable[[Any], Any]] = [
    lambda right: [right],
    lambda right: (right, right),
    lambda right: {"a": right},
    str,
    np.asarray,
    torch.as_tensor,
    lambda right: right[:0],
    lambda right: right[0],
    lambda right: right[None],
    lambda right: right.tolist(),
    lambda right: right.detach().numpy(),
    lambda right: right.detach(),
    lambda right: right.double(),
    lambda right: torch.complex(right, right),
    lambda right: right.bool(),
    lambda right: right.to("meta"),
    lambda right: right.to_sparse(),
    lambda right: right.mean(),
    lambda right: right * float("nan"),
    lambda right: right.astype(object),
    lambda right: right.astype(str),
    lambda right: right.reset_index(),
    lambda right: right.requires_grad_(False),
]


def changed(right: Any, change: Callable[[Any], Any], inside: bool) -> Any:
    """A right answer or result after a change, of each of its parts if `inside`. Raises TypeError if that is no use."""
    if not inside:
        return change(right)
    if isinstance(right, dict):
        return {key: change(value) for key, value in right.items()}
    if isinstance(right, tuple | list):
        return type(right)(change(value) for value in right)
    if isinstance(right, nn.Module):
        return Changed(right, change)
    raise TypeError("a right answer without parts")


def is_judged(exercise: Exercise, answer: Any) -> None:
    feedback = exercise.grade(answer)
    assert feedback.status != "check failed" and "\n" not in feedback.text, feedback.text


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of notebook 11 are trained for two steps, and judged without looking at pictures."""
    monkeypatch.setattr(sweep, "STEPS", 2)
    monkeypatch.setattr(lambda_sweep, "judge", lambda *arguments: {"score": 99.0, "ciede2000": 9.0, "balloons": 0.0})


@pytest.mark.parametrize("exercise", ALL)
def test_an_odd_value_does_not_make_a_check_fail(exercise: Exercise) -> None:
    for value in VALUES:
        is_judged(exercise, value)


@pytest.mark.parametrize("exercise", ALL)
def test_a_function_that_returns_an_odd_value_does_not_make_a_check_fail(exercise: Exercise) -> None:
    for value in VALUES:
        is_judged(exercise, lambda *args, value=value: value)


FIRST_RIGHT = list({param.id: param for param in reversed(RIGHT)}.values())


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "right", "says"), FIRST_RIGHT)
def test_a_right_answer_of_another_type_does_not_make_a_check_fail(exercise: Exercise, right: Any, says: list) -> None:
    for change in CHANGES:
        for inside in (False, True):
            if callable(right):  # a change that cannot be made is an exception of the answer's own
                is_judged(exercise, lambda *args, c=change, i=inside: changed(right(*args), c, i))
                continue
            with contextlib.suppress(Exception):
                is_judged(exercise, changed(right, change, inside))
