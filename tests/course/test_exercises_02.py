"""The checks of notebook 02 know a right answer from the mistakes that are made."""

import json

import numpy as np
import pytest
import torch

from colorlib.course.exercises import notebook_02 as exercises
from colorlib.course.exercises.exercise import Exercise


def says(exercise: Exercise, answer: object, *parts: str) -> None:
    """The answer is not yet right, and the one line that says so holds all parts."""
    feedback = exercise.grade(answer)
    assert feedback.status == "not yet", feedback
    assert "\n" not in feedback.text and "Traceback" not in feedback.text
    for part in parts:
        assert part in feedback.text, feedback.text


def accepts(exercise: Exercise, answer: object) -> None:
    assert exercise.grade(answer).status == "correct", exercise.grade(answer)


ALL = [exercises.one_skip, exercises.l2_answer, exercises.asks_for, exercises.l1_answer]


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
def test_a_stub_is_not_attempted(exercise):
    assert exercise.grade(...).status == "not attempted"
    assert exercise.grade(None).status == "not attempted"
    assert len(exercise.hints) >= 2


@pytest.mark.parametrize("exercise", [exercises.one_skip, exercises.l1_answer], ids=lambda exercise: exercise.name)
def test_a_function_that_returns_nothing_is_not_attempted(exercise):
    assert exercise.grade(lambda *arguments: None).status == "not attempted"


# --- one skip ----------------------------------------------------------------------------------------------------


def test_one_skip_accepts_other_formulations():
    def reversed_bookkeeping(down, up, L):
        maps = [L]
        for block in down:
            maps.append(block(maps[-1]))
        x = maps[-1]
        for i in range(len(up) - 1):
            x = up[i](x)
        return up[-1](torch.hstack((x, maps[1])))

    accepts(exercises.one_skip, reversed_bookkeeping)


def through(blocks, x):
    for block in blocks:
        x = block(x)
    return x


def test_one_skip_names_the_mistake():
    def none(down, up, L):
        return through([*down, *up], L)

    def added(down, up, L):
        first = down[0](L)
        return up[-1](through([*down[1:], *up[:-1]], first) + first)

    def swapped(down, up, L):
        first = down[0](L)
        return up[-1](torch.cat([first, through([*down[1:], *up[:-1]], first)], dim=1))

    def twice_the_decoder(down, up, L):
        x = through([*down, *up[:-1]], L)
        return up[-1](torch.cat([x, x], dim=1))

    def twice_the_encoder(down, up, L):
        first = down[0](L)
        return up[-1](torch.cat([first, first], dim=1))

    def innermost(down, up, L):
        x = through(down, L)
        return up[-1](torch.cat([through(up[:-1], x), x], dim=1))

    def joined(down, up, L):
        first = down[0](L)
        return torch.cat([through([*down[1:], *up[:-1]], first), first], dim=1)

    def for_three_blocks(down, up, L):
        first = down[0](L)
        return up[2](torch.cat([up[1](up[0](down[2](down[1](first)))), first], dim=1))

    raised = ("expected", "to return", "got RuntimeError")
    says(exercises.one_skip, none, *raised)
    says(exercises.one_skip, added, *raised)
    says(exercises.one_skip, innermost, *raised)
    says(exercises.one_skip, swapped, "expected the decoder's map first", "got them the other way round")
    says(exercises.one_skip, twice_the_decoder, "with 2 blocks each", "expected", "got")
    says(exercises.one_skip, twice_the_encoder, "with 2 blocks each", "expected", "got")
    says(exercises.one_skip, joined, "expected the shape (2, 2, 32, 32)", "got (2, 8, 16, 16)")
    says(exercises.one_skip, for_three_blocks, *("expected", "to return", "got IndexError"))


def test_one_skip_of_a_wrong_type():
    says(exercises.one_skip, lambda down, up, L: (L, L), "expected", "got")
    says(exercises.one_skip, lambda L: L, "expected", "got TypeError")
    says(exercises.one_skip, torch.zeros(2), "expected", "got a tensor")


# --- the L2 answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "right",
    [(0.26, 0.02), [0.26, 0.02], np.array([0.26, 0.02]), torch.tensor([0.26, 0.02])],
    ids=["tuple", "list", "numpy", "torch"],
)
def test_l2_answer_accepts(right):
    accepts(exercises.l2_answer, right)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        ((0.42, 0.30), "got 0.42"),  # one of the two, as L1 would
        ((0.52, 0.04), "got 0.52"),  # the sum
        ((0.26, 0.28), "got 0.28"),  # the sign of b lost
        ((0.0, 0.0), "got 0"),  # grey
        ((0.02, 0.26), "got 0.02"),  # b, a
        ((float("nan"), 0.02), "got nan"),
    ],
)
def test_l2_answer_rejects(wrong, got):
    says(exercises.l2_answer, wrong, "expected", got)


@pytest.mark.parametrize("wrong", [0.26, "red", (0.26, 0.02, 0.0), {"a": 0.26}, torch.zeros(1, 2, 1, 1), print])
def test_l2_answer_of_a_wrong_type(wrong):
    says(exercises.l2_answer, wrong, "expected", "got")


# --- which loss asks for what ------------------------------------------------------------------------------------

RIGHT = {"L1": "median", "L2": "mean", "0-1": "mode", "pinball": "0.9 quantile"}


def test_asks_for_accepts_any_order():
    accepts(exercises.asks_for, dict(reversed(RIGHT.items())))


@pytest.mark.parametrize("loss", RIGHT)
@pytest.mark.parametrize("said", RIGHT.values())
def test_asks_for_shows_a_case_that_refutes(loss, said):
    if RIGHT[loss] != said:
        says(exercises.asks_for, RIGHT | {loss: said}, f"{loss}: on the values", "expected", f"with the {said}")


def test_asks_for_holds_on_its_own_values():
    """The numbers in the feedback are least where it says, by trying every answer."""
    for statistic, loss in exercises._LOSSES.values():
        grid = [k / 10 for k in range(-20, 200)]
        price = {x: sum(loss(x, a) for a in exercises._VALUES) for x in grid}
        assert price[exercises._STATISTICS[statistic]] == pytest.approx(min(price.values()))


def test_asks_for_of_a_wrong_type():
    says(exercises.asks_for, "median", "expected a dictionary", "got 'median'")
    says(exercises.asks_for, ["median", "mean", "mode", "0.9 quantile"], "expected a dictionary", "of type list")
    says(exercises.asks_for, {"L1": "median"}, "expected an entry", "got none for L2")
    says(exercises.asks_for, RIGHT | {"L2": ...}, "expected an entry", "got none for L2")
    says(exercises.asks_for, RIGHT | {"L2": "average"}, "L2: expected one of mean", "got 'average'")
    says(exercises.asks_for, RIGHT | {"L2": ["mean"]}, "expected", "got")


# --- the L1 answer in general ------------------------------------------------------------------------------------


def by_search(values, probabilities):
    """Not a formula: the value with the least loss."""
    return min(values, key=lambda x: sum(p * abs(x - v) for v, p in zip(values, probabilities, strict=True)))


def with_numpy(values, probabilities):
    order = np.argsort(values)
    return np.asarray(values)[order][np.searchsorted(np.cumsum(np.asarray(probabilities)[order]), 0.5 - 1e-9)]


def with_torch(values, probabilities):
    ordered, order = torch.tensor(values).sort()
    return ordered[(torch.tensor(probabilities)[order].cumsum(0) < 0.5 - 1e-6).sum()]


def from_above(values, probabilities):
    """The other end of the interval where there is one."""
    above = 0.0
    for value, probability in sorted(zip(values, probabilities, strict=True), reverse=True):
        above += probability
        if above >= 0.5 - 1e-9:
            return value
    return None


@pytest.mark.parametrize("right", [by_search, with_numpy, with_torch, from_above], ids=lambda right: right.__name__)
def test_l1_answer_accepts(right):
    accepts(exercises.l1_answer, right)


def mean(values, probabilities):
    return sum(v * p for v, p in zip(values, probabilities, strict=True))


def mode(values, probabilities):
    return values[probabilities.index(max(probabilities))]


def unweighted(values, probabilities):
    return float(np.median(values))


def unsorted(values, probabilities):
    below = 0.0
    for value, probability in zip(values, probabilities, strict=True):
        below += probability
        if below >= 0.5:
            return value
    return values[-1]


@pytest.mark.parametrize(
    ("wrong", "case"),
    [
        (mean, "a of a roof"),
        (mode, "the likeliest at one end"),
        (unweighted, "a of a roof"),
        (unsorted, "unsorted values"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_l1_answer_rejects(wrong, case):
    says(exercises.l1_answer, wrong, case, "expected", "got", "whose mean loss is")


def test_l1_answer_of_a_wrong_type():
    says(exercises.l1_answer, lambda v, p: v, "a of a roof", "expected the shape ()", "got (2,)")
    says(exercises.l1_answer, lambda v, p: np.array(v), "a of a roof", "expected the shape ()", "got (2,)")
    says(exercises.l1_answer, lambda v, p: "0.3", "expected a number", "got '0.3'")
    says(exercises.l1_answer, lambda v, p: float("nan"), "expected 0.3", "got nan")
    says(exercises.l1_answer, lambda v: v, "expected", "got TypeError")
    says(exercises.l1_answer, 0.3, "expected", "got 0.3")


def test_the_roofs_of_the_exercise_are_those_of_the_scenes():
    """The text of the exercise names numbers that live in colorlib.scenes."""
    assert exercises._LOTS["a of a roof"] == ([0.30, -0.03], [0.7, 0.3])
    assert json.dumps(exercises._DOORS) == "[[0.42, 0.3], [0.1, -0.26]]"
