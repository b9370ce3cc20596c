"""What holds for every exercise of the course: hints, a solution, and feedback for right, wrong and missing answers.

The answers are in tests/course/answers, a module for each notebook.
"""

from __future__ import annotations

import copy
import importlib
from typing import Any

import numpy as np
import pytest
import torch
from answers import is_correct, is_told

from colorlib.course.exercises.exercise import Exercise, read_solution

NUMBERS = [f"{number:02d}" for number in range(14)]
EXERCISES = {
    number: [value for value in vars(module).values() if isinstance(value, Exercise)]
    for number in NUMBERS
    if (module := importlib.import_module(f"colorlib.course.exercises.notebook_{number}"))
}
ALL = [pytest.param(exercise, id=f"{number}-{exercise.name}") for number in NUMBERS for exercise in EXERCISES[number]]
FUNCTIONS = [
    param
    for param in ALL
    for exercise in param.values
    if f"def {exercise.name}(" in read_solution(exercise.notebook, exercise.name)
]


def answers(kind: str) -> list[Any]:
    """The answers RIGHT or WRONG of all notebooks, each as (exercise, answer, texts of the feedback)."""
    found = []
    for number in NUMBERS:
        exercises = {exercise.name: exercise for exercise in EXERCISES[number]}
        for name, answer, *says in getattr(importlib.import_module(f"answers.notebook_{number}"), kind):
            marks = getattr(answer, "pytestmark", [])
            found.append(pytest.param(exercises[name], answer, says, id=f"{number}-{name}", marks=marks))
    return found


RIGHT, WRONG = answers("RIGHT"), answers("WRONG")
WITH_ANSWERS_OF_ITS_OWN = "own_photograph"  # see test_exercise_details.py


@pytest.mark.parametrize(("exercise", "answer", "says"), RIGHT)
def test_any_right_answer_is_correct(exercise, answer, says):
    is_correct(exercise, answer)


@pytest.mark.parametrize(("exercise", "answer", "says"), WRONG)
def test_a_wrong_answer_is_told_what_was_expected_and_got(exercise, answer, says):
    is_told(exercise, answer, *says)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_notebook_has_three_exercises_with_right_and_wrong_answers(number):
    exercises = EXERCISES[number]
    assert len(exercises) >= 3
    for exercise in exercises:
        right, wrong = (sum(param.values[0] is exercise for param in params) for params in (RIGHT, WRONG))
        assert (right >= 1 and wrong >= 3) or exercise.name == WITH_ANSWERS_OF_ITS_OWN, exercise.name


@pytest.mark.parametrize("answer", [None, ...])
@pytest.mark.parametrize("exercise", ALL)
def test_no_answer_is_not_attempted(exercise, answer):
    assert exercise.grade(answer).status == "not attempted"


@pytest.mark.parametrize("result", [None, ...])
@pytest.mark.parametrize("exercise", FUNCTIONS)
def test_a_function_that_returns_nothing_is_not_attempted(exercise, result):
    assert exercise.grade(lambda *_: result).status == "not attempted"


@pytest.mark.parametrize(
    "answer", [3.0, "text", [1, 2, 3], {}, np.zeros(2), torch.ones(2), lambda: 1], ids=lambda a: type(a).__name__
)
@pytest.mark.parametrize("exercise", ALL)
def test_an_answer_of_another_type_gets_one_line(exercise, answer):
    is_told(exercise, answer)


@pytest.mark.parametrize("exercise", ALL)
def test_there_are_two_hints_and_a_solution(exercise, capsys):
    fresh = copy.copy(exercise)  # it counts the hints that were given
    for number in (1, 2):
        fresh.hint()
        assert capsys.readouterr().out.startswith(f"hint {number} of {len(exercise.hints)}: ")
    fresh.solution()
    assert capsys.readouterr().out.strip()
