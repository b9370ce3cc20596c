"""The checks of exercises are checked: what a student hands in gets one line, whatever it is."""

import json

import numpy as np
import pytest
import torch

from colorlib.course.exercises import exercise
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_type, short


def _double_test(answer):
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
        (6, "expected an answer that can be checked, got 6 of type int"),
        (torch.ones(2), "got a tensor of shape (2,)"),
        ([1, 2], "got [1, 2] of type list"),
    ],
)
def test_a_wrong_answer_is_told_what_was_expected_and_got(answer, says):
    feedback = double.grade(answer)
    assert feedback.status == "not yet"
    assert says in feedback.text and "\n" not in feedback.text


def test_a_stub_is_not_attempted_where_its_result_is_worked_on_too():
    halve = Exercise("halve", lambda answer: expect("for 3", 2 * answer(3), 3.0), hints=["h"])
    assert halve.grade(lambda x: None).text.startswith("your function returns nothing")
    assert halve.grade(lambda x: x / 0).text == "expected <lambda> to return, got ZeroDivisionError: division by zero"


def test_expect_compares_text_booleans_and_types():
    expect("the name", "L1", "L1")
    expect("flag", np.True_, True)
    with pytest.raises(NotYet, match="expected 'L1', got 'L2'"):
        expect("the name", "L2", "L1")
    with pytest.raises(NotYet, match="expected True, got 1"):
        expect("flag", 1, True)
    with pytest.raises(NotYet, match="expected a list of numbers, got 3 of type int"):
        expect_type("the answer", 3, list, "a list of numbers")


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
