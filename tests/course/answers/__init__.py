"""Answers to the exercises of the course, a module for each notebook, and what a check must say about them.

Each module has the list RIGHT of (name of the exercise, answer), and the list WRONG of (name, answer, texts that the
feedback must contain). An answer that takes longer than 2 seconds to check is decorated with `pytest.mark.slow`.
"""

from typing import Any

from colorlib.course.exercises.exercise import Exercise


def is_correct(exercise: Exercise, answer: Any) -> None:
    """Assert that the check accepts a right answer."""
    assert str(exercise.grade(answer)) == "correct"


def is_told(exercise: Exercise, answer: Any, *says: str) -> None:
    """Assert that a wrong answer gets one line with what was expected, what was got, and each text of `says`."""
    feedback = exercise.grade(answer)
    assert feedback.status == "not yet", feedback
    assert "\n" not in feedback.text and "Traceback" not in feedback.text
    for part in ("expected", "got", *says):
        assert part in feedback.text, feedback.text
