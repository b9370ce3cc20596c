"""What every exercise owes to an answer: correct, or one line with what was expected and got, or not attempted."""

from typing import Any

from colorlib.course.exercises.exercise import Exercise


def is_correct(exercise: Exercise, answer: Any) -> None:
    """Assert that a right answer is taken as one."""
    assert str(exercise.grade(answer)) == "correct"


def is_told(exercise: Exercise, answer: Any, says: str) -> None:
    """Assert that a wrong answer gets a line with `says` in it, and what was expected and got."""
    feedback = exercise.grade(answer)
    assert feedback.status == "not yet"
    assert says in feedback.text and "expected" in feedback.text and "got" in feedback.text
    assert "\n" not in feedback.text
