"""An exercise: a check that says what was expected and got, hints one by one, and the solution.

Nothing is stored anywhere: an exercise only counts the hints that it has given, and needs no network.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from colorlib.errors import one_line

Status = Literal["not attempted", "not yet", "correct", "check failed"]


class NotAttempted(Exception):
    """The stub is still there."""


class NotYet(Exception):
    """The answer is not right yet; the text says what was expected and what was got."""


@dataclass(frozen=True)
class Feedback:
    """What a check found: `status`, and `text`, which says what was expected and got if the answer is not right yet.

    The status "check failed" means that the check itself has a bug. It says nothing about the answer.
    """

    status: Status
    text: str

    def __str__(self) -> str:
        return f"{self.status}: {self.text}" if self.text else self.status


@dataclass
class Exercise:
    """One exercise of a notebook.

    `test(answer)` returns if the answer is right. If it is not, `test` raises NotYet, directly or through `expect`,
    `expect_type` or `call`. Any other exception counts as a bug in `test`, so `test` must look at the type of an answer
    before it computes with it. `name` is the key of the solution, which is cut from the notebook's source.
    """

    name: str
    test: Callable[[Any], None]
    hints: Sequence[str]
    returns_nothing: bool = False  # the answer changes its arguments; otherwise returning nothing means no answer
    notebook: str = ""
    given: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        # "colorlib.course.exercises.notebook_03" defines the tests of notebook 03
        self.notebook = self.notebook or self.test.__module__.rpartition("_")[2]

    def grade(self, answer: Any) -> Feedback:
        """Check an answer without printing. Returns a Feedback even if the answer or the check raises an exception."""
        try:
            if is_missing(answer):
                raise NotAttempted
            self.test(_watched(answer, self.returns_nothing) if callable(answer) else answer)
        except NotAttempted:
            start = "your function returns nothing; " if callable(answer) else ""
            return Feedback("not attempted", f"{start}write your answer in the cell above, or try {self.name}.hint()")
        except NotYet as wrong:
            return Feedback("not yet", str(wrong))
        except Exception as error:
            bug = f"{self._place(error)}: {type(error).__name__}: {one_line(error)}"
            return Feedback(
                "check failed",
                "the course's own check has a bug, which says nothing about your answer; "
                f"please report exercise {self.name} of notebook {self.notebook}: {bug}",
            )
        return Feedback("correct", "")

    def _place(self, error: Exception) -> str:
        """The line of the check's own file at which an exception arose; if there is none, the line that raised it."""
        file = getattr(sys.modules.get(self.test.__module__), "__file__", None)
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
        return f"{Path(frame.filename).name}, line {frame.lineno}"

    def check(self, answer: Any) -> None:
        """Print whether the answer is right: correct, not yet (expected ..., got ...), or not attempted."""
        print(self.grade(answer))

    def use(self, answer: Any, course_version: Any) -> Any:
        """Check an answer, print the result, and return what the notebook continues with.

        This is the answer itself if it is correct, and otherwise the course's version, so that a notebook runs from
        top to bottom while a task is not solved yet.
        """
        feedback = self.grade(answer)
        if feedback.status == "correct":
            print(f"{feedback}: the notebook continues with your version")
            return answer
        print(f"{feedback}\nThe notebook continues with the course's version.")
        return course_version

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
    if isinstance(wanted, bool):
        got = _yes_or_no(got)
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


def expect_function(what: str, got: Any, wanted: str) -> None:
    """Raise NotYet unless `got` can be called; `wanted` says in words what it takes."""
    if not callable(got):
        raise NotYet(f"{what}: expected {wanted}, got {kind(got)}")


def expect_tensor(what: str, got: Any, wanted: str) -> None:
    """Raise NotYet unless `got` is a tensor that a test can compute with: dense, and on the CPU like its inputs."""
    expect_type(what, got, torch.Tensor, wanted)
    if got.device.type != "cpu" or got.layout != torch.strided:
        raise NotYet(f"{what}: expected {wanted}, dense and on the CPU, got a {got.layout} tensor on {got.device}")


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


def _yes_or_no(got: Any) -> Any:
    """A boolean of NumPy or torch, with one element, as Python's; anything else as it is."""
    if isinstance(got, torch.Tensor | np.ndarray | np.bool_) and _is_numeric(got):
        array = _array(got)
        return array.item() if array.dtype == bool and array.size == 1 else got
    return got


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


def call(what: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function or network that a student wrote. Raises NotYet if it raises; `what` names it."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise NotYet(f"expected {what} to return, got {type(error).__name__}: {one_line(error)}") from error


def copy_of(what: str, network: torch.nn.Module) -> torch.nn.Module:
    """A copy of a student's network on the CPU, which a test may change. Raises NotYet if it cannot be copied."""
    return call(f"a copy of {what} on the CPU", lambda: copy.deepcopy(network).cpu())


def _watched(function: Callable[..., Any], returns_nothing: bool) -> Callable[..., Any]:
    """The function, with two changes: what it raises becomes NotYet, and returning nothing counts as not attempted."""
    name = getattr(function, "__name__", "your function")

    @functools.wraps(function, updated=())
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = call(name, function, *args, **kwargs)
        if is_missing(result) and not returns_nothing:
            raise NotAttempted
        return result

    return watched
