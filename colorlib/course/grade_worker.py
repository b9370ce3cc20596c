"""What runs inside a grader's process: the course's imports, then submitted answers, each under limits.

`colorlib.course.grade` starts this module with nothing but a job on standard input. On Linux every answer gets a
process of its own, forked once the imports are done (they take seconds); elsewhere the job holds one answer and this
process runs it. None of it is a sandbox: see "Grading in bulk" in the teacher's guide.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import math
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

from colorlib.course.exercises.exercise import Exercise

FORKS = sys.platform == "linux"
FILE_BYTES = 64 * 2**20  # the largest file that an answer may write
MORE_PROCESSES = 64  # beyond those that the user has; root is not held by it
RESULT_BYTES = 2**16
ADOPT_ORPHANS, DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG of Linux
NO_MEMORY = re.compile(r"\bMemoryError\b|can't allocate memory|not enough memory", re.IGNORECASE)
# Checks rest on their functions: an answer that replaces one is told so.
WATCHED = ("builtins", "math", "numpy", "torch")


class Answer(TypedDict):
    """One exercise: the code of the answer, and the expression that its check is called with."""

    exercise: str
    code: list[str]
    argument: str


class Job(TypedDict):
    """What the worker is asked to do; `module` has the checks, `token` marks the lines that it writes."""

    module: str
    imports: str
    answers: list[Answer]
    seconds: float
    memory: int
    token: str
    forks: bool


class Result(TypedDict):
    """What came of one exercise."""

    exercise: str
    status: str
    text: str
    seconds: float


def main(job: Job) -> None:
    """Do a job, and write a line for each result to what was standard output; answers print to nowhere."""
    out, home = _take_standard_output(), Path.cwd()
    if job["forks"]:
        _control(ADOPT_ORPHANS, 1)
    try:
        exercises = importlib.import_module(job["module"])
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(job["imports"], "the imports of the notebook", "exec"), namespace)
        importlib.import_module("torch._dynamo")  # the first optimizer loads it, for seconds: here once for all answers
    except BaseException as error:
        _send(out, job["token"], {"failed": describe(error)})
        return
    for number, answer in enumerate(job["answers"]):
        folder = home / str(number)
        folder.mkdir(parents=True)  # the last answer may have removed all that was there

        def run(answer: Answer = answer, folder: Path = folder) -> Result:
            os.chdir(folder)
            _limit(job)
            return attempt(answer, exercises, namespace)

        result = _forked(answer, run, job, out) if job["forks"] else run()
        _send(out, job["token"], dict(result))


def _take_standard_output() -> int:
    """A descriptor of where the results go; the descriptors 0 to 2 lead nowhere from here on."""
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return out


def _send(descriptor: int, token: str, message: dict[str, Any]) -> None:
    os.write(descriptor, (f"\n{token} " + json.dumps(message) + "\n").encode())


def received(raw: bytes, token: str) -> list[dict[str, Any]]:
    """The messages in what came through a pipe: lines that begin with the token. Anything else was not ours."""
    start = f"{token} "
    lines = raw.decode("utf-8", "replace").splitlines()
    return [json.loads(line.removeprefix(start)) for line in lines if line.startswith(start)]


# --- one answer --------------------------------------------------------------------------------------------------


def attempt(answer: Answer, exercises: ModuleType, namespace: dict[str, Any]) -> Result:
    """Run the code of an answer and the course's check on it. Whatever the answer does in Python, this returns."""
    started = time.monotonic()
    exercise = getattr(exercises, answer["exercise"])
    grade, before = type(exercise).grade, dict(_parts())
    for word in re.findall(r"[A-Za-z_]\w*", answer["argument"]):
        namespace.pop(word, None)  # what the imports have under this name is no answer
    try:
        for code in answer["code"]:
            exec(compile(without_magics(code), "the answer", "exec"), namespace)
        feedback = grade(exercise, eval(answer["argument"], namespace))
        status, text = feedback.status, feedback.text
    except BaseException as error:  # sys.exit and KeyboardInterrupt too
        status, text = "error", describe(error)
    if status == "not attempted":
        text = ""  # it speaks to the student
    elif status != "correct" and NO_MEMORY.search(text):
        status = "out of memory"
    if changed := list(_replaced(before)):
        status, text = "error", f"the answer replaces parts of what checks it: {', '.join(changed[:3])}"
    return Result(exercise=answer["exercise"], status=status, text=text, seconds=time.monotonic() - started)


def patience(seconds: float) -> float:
    """How long to wait, by the clock, for so many seconds of computing: machines are busy, and answers may sleep."""
    return 60 + 2 * seconds


def late(seconds: float) -> str:
    """What is said of an answer that took too long."""
    return f"expected an answer after at most {seconds:g} s of computing, got none"


def without_magics(code: str) -> str:
    """The code without what only IPython understands (%timeit, !ls), if it is no Python as it stands."""
    try:
        compile(code, "the answer", "exec")
    except SyntaxError:
        return re.sub(r"^(?=\s*(%|!|\?|\w+\?))", "# ", code, flags=re.MULTILINE)
    return code


def describe(error: BaseException) -> str:
    """An exception in one line, with the line of the answer that raised it."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "the answer":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    where = f" (line {line} of the answer)" if line else ""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of the answer's own, whose text cannot be had
        text = ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def _parts() -> Iterator[tuple[str, object]]:
    """Functions, classes, methods and exercises that checks rest on, each with its name."""
    for module_name, module in list(sys.modules.items()):
        of_course = module_name.startswith("colorlib.")
        if not of_course and module_name not in WATCHED:
            continue
        for name, value in list(vars(module).items()):
            place = f"{module_name}.{name}"
            if callable(value) or isinstance(value, Exercise):
                yield place, value
            if of_course and hasattr(value, "__code__"):
                yield f"{place}.__code__", value.__code__
            elif of_course and isinstance(value, type | Exercise):
                yield from ((f"{place}.{key}", part) for key, part in list(vars(value).items()) if callable(part))


def _replaced(before: dict[str, object]) -> Iterator[str]:
    """The parts that are no longer what they were. torch replaces some of its own when it is first used."""
    for name, part in _parts():
        if name in before and before[name] is not part:
            package, owner = name.split(".")[0], str(getattr(part, "__module__", None)).split(".")[0]
            if package == "colorlib" or package != owner:
                yield name


# --- limits ------------------------------------------------------------------------------------------------------


def _limit(job: Job) -> None:
    """What the system limits from here on: CPU time, memory, files, processes. Windows has none of it."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_CPU: math.ceil(time.process_time() + job["seconds"]),
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + job["memory"]
        limits[resource.RLIMIT_NPROC] = _processes_of_user() + MORE_PROCESSES
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            # at the first limit of CPU time the process gets SIGXCPU, by which it is told apart
            resource.setrlimit(what, (most, most + 1 if what == resource.RLIMIT_CPU else most))


def _processes_of_user() -> int:
    """How many processes and threads the user has: what RLIMIT_NPROC counts."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid():
                count += len(os.listdir(folder / "task"))
    return count


# --- a process of its own ----------------------------------------------------------------------------------------


def _forked(answer: Answer, run: Callable[[], Result], job: Job, out: int) -> Result:
    """`run` in a process of its own, with a pipe of its own, killed with all that it started when time is up."""
    started = time.monotonic()
    reader, writer = os.pipe()
    worker, token = os.getpid(), os.urandom(16).hex()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            _die_with(worker)
            os.close(reader)
            os.close(out)
            _send(writer, token, dict(run()))
        finally:
            os._exit(0)
    os.close(writer)
    ended, raw = _wait(child, reader, started + patience(job["seconds"]))
    os.close(reader)
    for message in received(raw, token)[:1]:
        return Result(**message)  # type: ignore[typeddict-item]
    text = f"expected the check to end, got a process that {_ending(ended)}"
    status = "error"
    if ended is None or (os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGXCPU):
        status, text = "timeout", late(job["seconds"])
    return Result(exercise=answer["exercise"], status=status, text=text, seconds=time.monotonic() - started)


def _die_with(worker: int) -> None:
    """Have the kernel end this process when the worker ends, whatever ends that."""
    _control(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != worker:
        os._exit(1)


def _control(what: int, value: int) -> None:
    ctypes.CDLL(None).prctl(what, value)


def _end_all_children() -> None:
    """End what an answer left running: it has come down to this process, whatever session it went to."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(200):  # each may leave children of its own
        with contextlib.suppress(OSError):
            for child in listed.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # none is left
            return
        time.sleep(0.01)


def _wait(child: int, reader: int, deadline: float) -> tuple[int | None, bytes]:
    """How a child ended (None: killed at the deadline) and what it wrote. Nothing that it started is left running."""
    raw, ended = b"", None
    while time.monotonic() < deadline:
        readable = select.select([reader], [], [], 0.05)[0]
        if readable and len(raw) < RESULT_BYTES:
            raw += os.read(reader, RESULT_BYTES)
        pid, how = os.waitpid(child, os.WNOHANG)
        if pid:
            ended = how
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    _end_all_children()
    if ended is not None and select.select([reader], [], [], 0)[0] and len(raw) < RESULT_BYTES:
        raw += os.read(reader, RESULT_BYTES)
    return ended, raw


def _ending(status: int | None) -> str:
    if status is not None and os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended itself with status {os.WEXITSTATUS(status or 0)}"
