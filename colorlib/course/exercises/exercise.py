"""An exercise: a check that says what was expected and got, hints one by one, and the solution.

Nothing is stored anywhere: an exercise forgets all but how many hints it has given, and needs no network.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import numpy as np
import torch

from colorlib.images import one_line

Status = Literal["not attempted", "not yet", "correct"]


class NotAttempted(Exception):
    """The stub is still there."""


class NotYet(Exception):
    """The answer is not right yet; the text says what was expected and what was got."""


@dataclass(frozen=True)
class Feedback:
    """What a check found: `status`, and `text` with what was expected and got where the answer is not right yet."""

    status: Status
    text: str

    def __str__(self) -> str:
        return f"{self.status}: {self.text}" if self.text else self.status


@dataclass
class Exercise:
    """One exercise of a notebook.

    `test(answer)` returns if the answer is right, and raises NotYet (or calls `expect`, which does) if it is not.
    `name` is the key of its solution, which is cut from the notebook's source.
    """

    name: str
    test: Callable[[Any], None]
    hints: Sequence[str]
    returns_nothing: bool = False  # a function that changes its arguments; else returning nothing means no answer
    notebook: str = ""
    given: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        # "colorlib.course.exercises.notebook_03" defines the tests of notebook 03
        self.notebook = self.notebook or self.test.__module__.rpartition("_")[2]

    def grade(self, answer: Any) -> Feedback:
        """Check an answer without printing. Whatever the answer does, this returns."""
        try:
            if is_missing(answer):
                raise NotAttempted
            self.test(answer if self.returns_nothing or not _is_function(answer) else _watched(answer))
        except NotAttempted:
            start = "your function returns nothing; " if callable(answer) else ""
            return Feedback("not attempted", f"{start}write your answer in the cell above, or try {self.name}.hint()")
        except (NotYet, _Raised) as wrong:
            return Feedback("not yet", str(wrong))
        except Exception as error:  # the answer is of a type that the test did not foresee
            text = f"expected an answer that can be checked, got {kind(answer)} ({one_line(error)})"
            return Feedback("not yet", text)
        return Feedback("correct", "")

    def check(self, answer: Any) -> None:
        """Print whether the answer is right: not attempted, not yet (expected ..., got ...), or correct."""
        print(self.grade(answer))

    def hint(self) -> None:
        """Print the next hint; after the last one, the last one again."""
        number = min(self.given, len(self.hints) - 1)
        self.given = number + 1
        print(f"hint {number + 1} of {len(self.hints)}: {self.hints[number]}")

    def solution(self) -> None:
        """Print the solution that stands in the notebook's source; a teacher may have left it out (`make handout`)."""
        try:
            print(read_solution(self.notebook, self.name))
        except FileNotFoundError:
            print(f"this copy of the course has no solutions: ask who gave it to you, or try {self.name}.hint()")


def read_solution(notebook: str, name: str) -> str:
    """The solution of an exercise as code. Raises FileNotFoundError or KeyError where the package lacks it."""
    text = (resources.files("colorlib.course") / "solutions" / f"{notebook}.json").read_text(encoding="utf-8")
    return json.loads(text)[name]


def is_missing(answer: Any) -> bool:
    """Whether an answer is what a stub leaves: nothing, or an ellipsis."""
    return answer is None or answer is Ellipsis


# --- what a test is made of ------------------------------------------------------------------------------------


def expect(what: str, got: Any, wanted: Any, tolerance: float = 1e-4) -> None:
    """Raise NotYet unless `got` is `wanted`: the same shape and, for numbers, within `tolerance`.

    Numbers, arrays and tensors may stand for one another; text, booleans and other things must be equal. `what` says
    in words what was computed: "for a grey image". Raises NotAttempted if `got` is what a stub returns.
    """
    if is_missing(got):
        raise NotAttempted
    if isinstance(wanted, bool) and isinstance(got, np.bool_):
        got = bool(got)
    if isinstance(wanted, str | bool) or not _is_numeric(wanted):
        if type(got) is not type(wanted) or got != wanted:
            raise NotYet(f"{what}: expected {short(wanted)}, got {short(got)}")
        return
    expected, values = _array(wanted), _numbers(what, got, wanted)
    if values.shape != expected.shape:
        raise NotYet(f"{what}: expected the shape {expected.shape}, got {values.shape}")
    close = np.isclose(values, expected, rtol=0, atol=tolerance)
    if not close.all():
        where = "" if close.ndim == 0 else f" at {tuple(int(i[0]) for i in np.nonzero(~close))}"
        wrong, right = (short(a[~close][0] if a.ndim else a) for a in (values, expected))
        raise NotYet(f"{what}: expected {right}{where}, got {wrong}")


def expect_type(what: str, got: Any, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Raise NotYet unless `got` is an instance; `wanted` names it in words. NotAttempted for what a stub returns."""
    if is_missing(got):
        raise NotAttempted
    if not isinstance(got, kinds):
        raise NotYet(f"{what}: expected {wanted}, got {kind(got)}")


def kind(value: Any) -> str:
    """A value in a few words: its type, and its shape if it has one."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{'a tensor' if isinstance(value, torch.Tensor) else 'an array'} of shape {tuple(value.shape)}"
    if callable(value):
        return f"a function ({getattr(value, '__name__', type(value).__name__)})"
    return f"{short(value)} of type {type(value).__name__}"


def short(value: Any) -> str:
    """A value in one line of at most sixty characters; numbers with five digits."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
        return kind(value)
    if not isinstance(value, bool) and _is_numeric(value) and _array(value).ndim == 0:
        return f"{float(value):.5g}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _is_numeric(value: Any) -> bool:
    try:
        return _array(value).dtype.kind in "fiub"
    except (TypeError, ValueError, RuntimeError):
        return False


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    elif isinstance(value, list | tuple):
        value = [_array(item) for item in value]
    return np.asarray(value, dtype=None if not isinstance(value, int | float) else np.float64)


def _numbers(what: str, got: Any, wanted: Any) -> np.ndarray:
    try:
        values = _array(got)
    except (TypeError, ValueError, RuntimeError):
        values = np.asarray(None)
    if values.dtype.kind not in "fiub" or isinstance(got, bool | str):
        raise NotYet(f"{what}: expected {_in_words(wanted)}, got {kind(got)}")
    return values.astype(np.float64)


def _in_words(wanted: Any) -> str:
    expected = _array(wanted)
    return f"{math.prod(expected.shape)} numbers" if expected.ndim else "a number"


# --- functions that students write -------------------------------------------------------------------------------


class _Raised(Exception):
    """A student's function raised; kept apart from mistakes in the test itself."""


def _is_function(answer: Any) -> bool:
    return callable(answer) and not isinstance(answer, torch.nn.Module | type)


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but it says what it raised, and returning nothing counts as not attempted."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            name = getattr(function, "__name__", "your function")
            raise _Raised(f"expected {name} to return, got {type(error).__name__}: {one_line(error)}") from error
        if is_missing(result):
            raise NotAttempted
        return result

    return call
