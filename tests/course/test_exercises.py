"""What holds for every exercise of the course: a stub is no wrong answer, and there are a hint and a solution."""

import copy
import importlib
import json
import pkgutil
from importlib import resources

import pytest

from colorlib.course import exercises
from colorlib.course.exercises.exercise import Exercise


def every_exercise() -> list:
    """Each exercise with its solution, named notebook and name."""
    found = []
    for module in pkgutil.iter_modules(exercises.__path__):
        number = module.name.partition("_")[2]
        if not number.isdigit():
            continue
        text = (resources.files("colorlib.course") / "solutions" / f"{number}.json").read_text(encoding="utf-8")
        solutions = json.loads(text)
        defined = vars(importlib.import_module(f"{exercises.__name__}.{module.name}"))
        found += [
            pytest.param(value, solutions[value.name], id=f"{number}-{value.name}")
            for value in defined.values()
            if isinstance(value, Exercise)
        ]
    return found


ALL = every_exercise()


def test_there_are_three_or_more_in_each_notebook():
    notebooks = [param.id[:2] for param in ALL]
    assert set(notebooks) == {f"{number:02d}" for number in range(14)}
    assert all(notebooks.count(number) >= 3 for number in set(notebooks))


@pytest.mark.parametrize("answer", [None, ...])
@pytest.mark.parametrize(("exercise", "solution"), ALL)
def test_no_answer_is_not_attempted(exercise, solution, answer):
    assert exercise.grade(answer).status == "not attempted"


@pytest.mark.parametrize(
    ("exercise", "solution"), [param for param in ALL if f"def {param.values[0].name}(" in param.values[1]]
)
def test_a_function_that_returns_nothing_is_not_attempted(exercise, solution):
    assert exercise.grade(lambda *_: None).status == "not attempted"


@pytest.mark.parametrize(("exercise", "solution"), ALL)
def test_there_is_a_hint_and_a_solution(exercise, solution, capsys):
    fresh = copy.copy(exercise)  # it counts the hints that were given
    fresh.hint()
    fresh.solution()
    assert len(capsys.readouterr().out.strip().splitlines()) > 1 and solution.strip()
