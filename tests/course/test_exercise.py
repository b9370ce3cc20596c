"""Whatever a student hands in gets one line of feedback, and a bug in a check is not called the student's mistake."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from colorlib.course.exercises import exercise
from colorlib.course.exercises.exercise import (
    Exercise,
    NotYet,
    call,
    copy_of,
    expect,
    expect_tensor,
    expect_type,
    short,
)


def _double_test(answer):
    expect_type("double", answer, Callable, "a function of a number")
    expect("for 3", answer(3.0), 6.0)
    expect("for two numbers", answer(torch.tensor([1.0, 2.0])), [2.0, 4.0])


double = Exercise("double", _double_test, hints=["what is twice as much?", "multiply by 2"])


@pytest.mark.parametrize("answer", [None, ..., lambda x: None, lambda x: ...])
def test_a_stub_is_not_attempted(answer):
    feedback = double.grade(answer)
    assert feedback.status == "not attempted" and "double.hint()" in feedback.text


@pytest.mark.parametrize("answer", [lambda x: 2 * x, lambda x: np.asarray(x) * 2, lambda x: x + x])
def test_any_right_answer_is_correct(answer):
    assert str(double.grade(answer)) == "correct"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: 3 * x, "for 3: expected 6, got 9"),
        (lambda x: float("nan"), "expected 6, got nan"),
        (lambda x: 6.0, "expected the shape (2,), got ()"),
        (lambda x: (2 * x)[None], "TypeError"),
        (lambda x: "6", "expected a number, got '6' of type str"),
        (lambda x: True, "expected a number, got True of type bool"),
        (lambda: 6, "expected <lambda> to return, got TypeError"),
        (lambda x: 1 / 0, "got ZeroDivisionError: division by zero"),
        (lambda x: torch.full((2,), 6.0), "expected the shape (), got (2,)"),
        (lambda x: 2 * x if isinstance(x, float) else torch.tensor([2.0, 5.0]), "expected 4 at (1,), got 5"),
        (6, "double: expected a function of a number, got 6 of type int"),
        (torch.ones(2), "got a tensor of shape (2,)"),
        ([1, 2], "got [1, 2] of type list"),
    ],
)
def test_a_wrong_answer_is_told_what_was_expected_and_got(answer, says):
    feedback = double.grade(answer)
    assert feedback.status == "not yet"
    assert says in feedback.text and "\n" not in feedback.text


def _works_with(answer):
    """A check of two steps that a test puts a bug into: one before the answer is used, one on what it returns."""
    wanted = 6.0
    got = answer(3.0)
    expect("for 3", got, wanted)
    return got, wanted


def _name_that_is_missing(answer):
    expect("for 3", answer(3.0), undefined_name)


def _constants_of_two_types(answer):
    _works_with(answer)
    expect("for 3", answer(3.0), 6.0 + "0")


def _misspelt_method(answer):
    got, _ = _works_with(answer)
    expect("for 3", got.as_integer_ration(), (6, 1))


REASONS = {"want": "twice as much"}


def _text_of_the_feedback(answer):
    if answer(3.0) != 6.0:
        raise NotYet(f"for 3: expected {REASONS['wanted']}")
    raise KeyError("unused")


def _helper_far_below(answer):
    json.loads(json.dumps(_works_with(answer))[1:])


@pytest.mark.parametrize("answer", [lambda x: 2 * x, lambda x: x * 2.0 if x else None], ids=["right", "right too"])
@pytest.mark.parametrize(
    ("test", "bug"),
    [
        (_name_that_is_missing, "NameError: name 'undefined_name' is not defined"),
        (_constants_of_two_types, "TypeError: unsupported operand"),
        (_misspelt_method, "AttributeError: 'float' object has no attribute 'as_integer_ration'"),
        (_text_of_the_feedback, "KeyError: 'unused'"),
        (_helper_far_below, "JSONDecodeError"),
    ],
)
def test_a_bug_in_a_check_is_not_called_the_students_mistake(test, bug, answer):
    feedback = Exercise("planted", test, hints=["h"], notebook="99").grade(answer)
    assert feedback.status == "check failed"
    assert "the course's own check has a bug" in feedback.text and "exercise planted of notebook 99" in feedback.text
    lines = range(test.__code__.co_firstlineno, test.__code__.co_firstlineno + 8)
    assert any(f"test_exercise.py, line {line}: {bug}" in feedback.text for line in lines), feedback.text
    assert "\n" not in feedback.text


def test_a_bug_that_only_a_wrong_answer_meets_is_not_called_the_students_mistake():
    feedback = Exercise("planted", _text_of_the_feedback, hints=["h"]).grade(lambda x: x)
    assert feedback.status == "check failed" and "KeyError: 'wanted'" in feedback.text


@pytest.mark.parametrize("error", [NameError, TypeError, AttributeError, ValueError, KeyError, RuntimeError])
def test_an_exception_of_the_students_function_is_the_students(error):
    def raises(x):
        raise error("mine")

    class Raises(torch.nn.Module):
        def forward(self, x):
            raise error("mine")

    for returns_nothing in (False, True):
        exercise = Exercise("double", _double_test, hints=["h"], returns_nothing=returns_nothing)
        for answer in (raises, Raises(), Raises):
            feedback = exercise.grade(answer)
            assert feedback.status == "not yet" and "to return, got" in feedback.text, feedback


def test_an_exception_of_a_network_that_an_answer_returns_is_the_students():
    def test(answer):
        network = copy_of("the network", answer())
        expect("for 1", call("the network", network, torch.ones(1)), 2)

    class NoCopy(torch.nn.Module):
        def __deepcopy__(self, memo):
            raise RuntimeError("cannot be copied")

    network = Exercise("network", test, hints=["h"])
    assert network.grade(lambda: torch.nn.Linear(3, 3)).text.startswith("expected the network to return, got RuntimeE")
    assert (
        network.grade(NoCopy).text
        == "expected a copy of the network on the CPU to return, got RuntimeError: cannot be copied"
    )


def test_a_stub_is_not_attempted_where_its_result_is_worked_on_too():
    halve = Exercise("halve", lambda answer: expect("for 3", 2 * answer(3), 3.0), hints=["h"])
    assert halve.grade(lambda x: None).text.startswith("your function returns nothing")
    assert halve.grade(lambda x: x / 0).text == "expected <lambda> to return, got ZeroDivisionError: division by zero"


def test_expect_compares_text_booleans_and_types():
    expect("the name", "L1", "L1")
    for true in (np.True_, np.array([True]), torch.tensor(True)):
        expect("flag", true, True)
    with pytest.raises(NotYet, match="expected 'L1', got 'L2'"):
        expect("the name", "L2", "L1")
    with pytest.raises(NotYet, match="expected True, got 1"):
        expect("flag", 1, True)
    for other in ([True], torch.tensor([True, True]), torch.ones(1), torch.zeros(1, device="meta")):
        with pytest.raises(NotYet, match="expected True, got"):
            expect("flag", other, True)
    with pytest.raises(NotYet, match="expected a list of numbers, got 3 of type int"):
        expect_type("the answer", 3, list, "a list of numbers")


def test_a_tensor_that_a_check_cannot_compute_with_is_told():
    expect_tensor("the answer", torch.zeros(2), "a tensor")
    for other in (torch.zeros(2, device="meta"), torch.eye(2).to_sparse(), np.zeros(2)):
        with pytest.raises(NotYet, match="the answer: expected a tensor"):
            expect_tensor("the answer", other, "a tensor")


def test_a_function_that_changes_its_argument_may_return_nothing():
    def test(answer):
        values = [1]
        answer(values)
        expect("the list", len(values), 2)

    append = Exercise("append", test, hints=["h"], returns_nothing=True)
    assert append.grade(lambda values: values.append(2)).status == "correct"
    assert append.grade(lambda values: None).status == "not yet"


def test_hints_come_one_by_one_and_the_last_stays(capsys):
    for _ in range(3):
        double.hint()
    assert capsys.readouterr().out.splitlines() == [
        "hint 1 of 2: what is twice as much?",
        "hint 2 of 2: multiply by 2",
        "hint 2 of 2: multiply by 2",
    ]


def test_check_prints_one_line(capsys):
    double.check(lambda x: 3 * x)
    assert capsys.readouterr().out == "not yet: for 3: expected 6, got 9\n"


def test_the_solution_is_read_from_the_package(tmp_path, monkeypatch, capsys):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "99.json").write_text(json.dumps({"double": "def double(x):\n    return 2 * x"}))
    monkeypatch.setattr(exercise.resources, "files", lambda package: tmp_path)
    Exercise("double", _double_test, hints=["h"], notebook="99").solution()
    assert capsys.readouterr().out == "def double(x):\n    return 2 * x\n"


def test_a_value_is_shown_in_one_line():
    assert short((torch.zeros(2), torch.ones(2, 2))) == "(tensor([0., 0.]), tensor([[1., 1.], [1., 1.]]))"
