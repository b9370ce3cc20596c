"""Run a submitted answer and the course's check on it, in a process of its own with limits of time and memory.

The limits stop accidents, not attacks: see "Grading in a container" in the teacher's guide.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import math
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from submissions import CannotGradeError, Lesson, Task

# A forked process inherits the imports, which take seconds. On macOS and Windows, where forking is not safe or not
# possible, each process imports everything again.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
FILE_BYTES = 64 * 2**20  # the largest file that an answer may write
NO_MEMORY = re.compile(r"\bMemoryError\b|can't allocate memory|not enough memory", re.IGNORECASE)
ANSWER = "the answer"  # the file name of an answer's code in tracebacks


@dataclass(frozen=True)
class Limits:
    """What an answer may take: seconds of computing, and bytes of memory in addition to what the imports take."""

    seconds: float = 60.0
    memory: int = 2 * 2**30

    @property
    def patience(self) -> float:
        """Seconds to wait by the clock: longer than the computing time, because machines are busy and answers sleep."""
        return 60 + 2 * self.seconds


@functools.cache
def prepare(lesson: Lesson) -> tuple[ModuleType, dict[str, Any]]:
    """The checks of a notebook, and the names that its import cell defines. Raises CannotGradeError if that fails."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        exercises = importlib.import_module(f"colorlib.course.exercises.notebook_{lesson.stem[:2]}")
        exec(lesson.imports, namespace)
        if CONTEXT.get_start_method() == "fork":
            importlib.import_module("torch._dynamo")  # the first optimizer loads it, which takes seconds
    except Exception as error:
        why = f"the imports of {lesson.stem} do not run here ({describe(error)})"
        raise CannotGradeError(f"{why}; is the course installed with everything it needs?") from error
    return exercises, namespace


def check(lesson: Lesson, task: Task, code: Sequence[str], limits: Limits) -> tuple[str, str]:
    """Status and text of an answer, checked in a process of its own. The teacher's guide lists the statuses.

    Raises CannotGradeError if the imports of the notebook do not run here.
    """
    prepare(lesson)
    receiver, sender = CONTEXT.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as home:
        process = CONTEXT.Process(target=_run, args=(lesson, task, code, limits, home, sender))
        process.start()
        sender.close()
        try:
            return tuple(json.loads(receiver.recv_bytes())) if receiver.poll(limits.patience) else _late(limits)
        except EOFError:  # the process ended without a result
            process.join(limits.patience)
            return _ending(process.exitcode, limits)
        finally:
            _kill(process)


def _late(limits: Limits) -> tuple[str, str]:
    return "timeout", f"expected an answer after at most {limits.seconds:g} s of computing, got none"


def _ending(code: int | None, limits: Limits) -> tuple[str, str]:
    """Status and text for a process that ended by itself or was ended by the system."""
    if code is None or code == -getattr(signal, "SIGXCPU", math.inf):
        return _late(limits)
    how = f"ended itself with status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
    return "error", f"expected the check to end, got a process that {how}"


def _kill(process: multiprocessing.process.BaseProcess) -> None:
    """End a process and, on POSIX, those that it started and left in its session."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


# --- inside the process --------------------------------------------------------------------------------------------


def _run(lesson: Lesson, task: Task, code: Sequence[str], limits: Limits, home: str, sender: Connection) -> None:
    if os.name == "posix":
        os.setsid()
    exercises, namespace = prepare(lesson)
    _move_to(home)
    _limit(limits)
    sender.send_bytes(json.dumps(attempt(task, code, exercises, namespace)).encode())


def attempt(task: Task, code: Sequence[str], exercises: ModuleType, namespace: dict[str, Any]) -> tuple[str, str]:
    """Run the code of an answer, then the course's check. Returns a status even if the code raises or exits."""
    for name in re.findall(r"[A-Za-z_]\w*", task.argument):
        namespace.pop(name, None)  # a name that the imports define is not an answer
    try:
        for cell in code:
            exec(compile(without_magics(cell), ANSWER, "exec"), namespace)
        feedback = getattr(exercises, task.exercise).grade(eval(task.argument, namespace))
        status, text = feedback.status, feedback.text
    except BaseException as error:  # sys.exit and KeyboardInterrupt too
        if isinstance(error, MemoryError):
            namespace.clear()  # the lines below need some memory
        status, text = "error", describe(error)
    if status == "not attempted":
        return status, ""  # its text is for the student
    return ("out of memory" if status != "correct" and NO_MEMORY.search(text) else status), text


def without_magics(code: str) -> str:
    """The code with IPython's magics (%timeit, !ls) commented out, if it is not Python as it is."""
    try:
        compile(code, ANSWER, "exec")
    except SyntaxError:
        return re.sub(r"^(?=\s*(%|!|\?|\w+\?))", "# ", code, flags=re.MULTILINE)
    return code


def describe(error: BaseException) -> str:
    """An exception in one line, with the last line of the answer that it passed through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == ANSWER]
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    return f"{text} (line {lines[-1]} of the answer)" if lines else text


def _move_to(home: str) -> None:
    """Make an empty folder the home and working folder, forget the environment, and print to nowhere."""
    system_root = os.environ.get("SYSTEMROOT", "")  # without it, Windows cannot make random numbers
    os.environ.clear()
    places = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "COLORLIB_CACHE"), home)
    os.environ.update(places, SYSTEMROOT=system_root, TQDM_DISABLE="1")
    tempfile.tempdir = home
    os.mkdir(work := os.path.join(home, "work"))
    os.chdir(work)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _limit(limits: Limits) -> None:
    """Limit computing time, memory and the size of files from here on. Windows has none of these limits."""
    if sys.platform == "win32":
        return
    import resource

    # A process that reaches the soft limit of computing time gets the signal SIGXCPU, by which it is recognised.
    soft = {resource.RLIMIT_CPU: math.ceil(time.process_time() + limits.seconds), resource.RLIMIT_FSIZE: FILE_BYTES}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        soft[resource.RLIMIT_AS] = pages * resource.getpagesize() + limits.memory
    for what, most in soft.items():
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
