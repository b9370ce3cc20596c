"""Grade submitted notebooks in bulk: `python -m colorlib.course.grade FOLDER [--csv report.csv]`.

Takes the answer cells out of every notebook in FOLDER, runs them behind the imports of the course's own notebook, and
checks them with the course's own checks; nothing else of a submission is run or believed. Each answer has a process
with limits (`grade_worker`). That stops accidents, not attacks: this is no sandbox for hostile code.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import colorlib
from colorlib.course.grade_worker import FORKS, Answer, Job, late, patience, received
from colorlib.course.submissions import CannotGradeError, Lesson, answers, read_cells, read_course, recognise

MAX_ANSWER = 100_000  # characters
MAX_TEXT = 300
OUT_OF_TIME = getattr(signal, "SIGXCPU", 24)
IMPORT_SECONDS = 300.0
COLUMNS = ("file", "notebook", "exercise", "status", "text", "seconds")
# All that the worker knows of the outside: what Python needs to start on some systems, and nothing of the user's.
KEPT_VARIABLES = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
START = """
import json, sys
path, job = json.load(sys.stdin)
sys.path[:] = path
from colorlib.course.grade_worker import main
main(job)
"""


@dataclass(frozen=True)
class Row:
    """A row of the report."""

    file: str
    notebook: str
    exercise: str
    status: str
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What an answer may take: seconds of computing, and bytes of memory beyond what the imports took."""

    seconds: float = 60.0
    memory: int = 2 * 2**30
    forks: bool = FORKS


# --- grading -----------------------------------------------------------------------------------------------------


def grade_file(path: Path, name: str, course: Sequence[Lesson], limits: Limits) -> list[Row]:
    """The rows of one submitted notebook; one row with the status "error" if it cannot be graded."""
    try:
        cells = read_cells(path)
        lesson = recognise(cells, path.stem, course)
        found = answers(cells, lesson)
        rows = {task.exercise: Row(name, lesson.stem, task.exercise, "cell missing") for task in lesson.tasks}
        jobs = []
        for task in lesson.tasks:
            code = found[task.exercise]
            if code and sum(map(len, code)) > MAX_ANSWER:
                text = f"expected an answer of at most {MAX_ANSWER:,} characters, got {sum(map(len, code)):,}"
                rows[task.exercise] = replace(rows[task.exercise], status="error", text=text)
            elif code:
                jobs.append(Answer(exercise=task.exercise, code=code, argument=task.argument))
        for result in run_answers(lesson, jobs, limits):
            text, seconds = one_line(result["text"]), round(result["seconds"], 2)
            key = result["exercise"]
            rows[key] = replace(rows[key], status=result["status"], text=text, seconds=seconds)
    except CannotGradeError as error:
        return [Row(name, "", "", "error", one_line(str(error)))]
    return list(rows.values())


def one_line(text: str) -> str:
    """Text of a submission in one printable line of limited length, which no spreadsheet takes for a formula."""
    line = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
    line = line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def run_answers(lesson: Lesson, todo: Sequence[Answer], limits: Limits) -> Iterator[dict]:
    """The result of each answer: all in one worker where it forks, else a worker each.

    An answer that ends the worker gets an error, and the others a new worker. Raises CannotGradeError where the
    imports of the notebook do not run here.
    """
    waiting = list(todo)
    while waiting:
        batch = waiting if limits.forks else waiting[:1]
        results, ended = _run_worker(lesson, batch, limits)
        for result in results:
            if "failed" in result:
                why = f"expected the imports of {lesson.stem} to run here, got {result['failed']}"
                raise CannotGradeError(f"{why}; is the course installed with all that it needs?")
            waiting = [answer for answer in waiting if answer["exercise"] != result["exercise"]]
            yield result
        if waiting and len(results) < len(batch):
            lost = waiting.pop(0)
            status, text = "error", f"the process that checked it ended (status {ended})"
            if ended in (None, -OUT_OF_TIME):
                status, text = "timeout", late(limits.seconds)
            yield {"exercise": lost["exercise"], "status": status, "text": text, "seconds": 0.0}


def _run_worker(lesson: Lesson, batch: Sequence[Answer], limits: Limits) -> tuple[list[dict], int | None]:
    """What a worker reported, and its exit status; None if it had to be killed."""
    token = secrets.token_hex(16)
    job = Job(
        module=f"colorlib.course.exercises.notebook_{lesson.stem[:2]}",
        imports=lesson.imports,
        answers=list(batch),
        seconds=limits.seconds,
        memory=limits.memory,
        token=token,
        forks=limits.forks,
    )
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as name:
        home = Path(name).resolve()
        work = home / "work"
        work.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", START],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=work, env=_environment(home), start_new_session=True,
        )  # fmt: skip
        # one answer more: the parent's limit is for what the worker's own does not catch
        most = IMPORT_SECONDS + patience(limits.seconds) * (len(batch) + 1)
        try:
            raw, complaint = process.communicate(json.dumps([_search_path(), job]).encode(), timeout=most)
            ended: int | None = process.returncode
        except subprocess.TimeoutExpired:
            _kill(process)
            (raw, complaint), ended = process.communicate(), None
    results = received(raw, token)
    if not results and ended and complaint:
        results = [{"failed": complaint.decode("utf-8", "replace").strip().splitlines()[-1]}]
    return results, ended


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _environment(home: Path) -> dict[str, str]:
    """The variables of a worker: a home and a temporary folder of its own, one thread, and no more."""
    fonts = home / "matplotlib"
    fonts.mkdir()
    import matplotlib

    for cache in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # to make it takes seconds
        shutil.copy(cache, fonts)
    own = {"HOME": home, "USERPROFILE": home, "TMPDIR": home, "TEMP": home, "TMP": home, "MPLCONFIGDIR": fonts}
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    more = {"COLORLIB_CACHE": str(home / "cache"), "TQDM_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | one_thread | more | {name: str(path) for name, path in own.items()}


def _search_path() -> list[str]:
    """Where the worker finds Python's packages and this colorlib: the folders of this process, without the current."""
    course = str(Path(colorlib.__file__).resolve().parents[1])
    return list(dict.fromkeys([course, *(str(Path(entry).resolve()) for entry in sys.path if entry)]))


# --- the report --------------------------------------------------------------------------------------------------


def find_submissions(folder: Path) -> dict[str, Path]:
    """The notebooks in a folder, by their path inside it. Raises FileNotFoundError if there are none."""
    if folder.is_file() and folder.suffix == ".ipynb":
        return {folder.name: folder}
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*.ipynb"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    if not found:
        raise FileNotFoundError(f"expected a folder with submitted notebooks (.ipynb), got none in {folder}")
    return found


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """The report, a row an exercise and notebook."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([one_line(str(getattr(row, column))) for column in COLUMNS] for row in rows)


def summary(rows: Sequence[Row]) -> str:
    """One submission in one line."""
    file = one_line(rows[0].file)
    if not rows[0].notebook:
        return f"{file}: not graded: {rows[0].text}"
    counts = Counter(row.status for row in rows)
    others = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "correct")
    return f"{file}: {rows[0].notebook}: {counts['correct']} of {len(rows)} correct{f' ({others})' if others else ''}"


def grade_folder(
    folder: Path, course: Path, limits: Limits, *, jobs: int = 1, say: Callable[[str], None] = print
) -> list[Row]:
    """Grade every notebook of a folder; says a line for each. Raises FileNotFoundError if there is nothing to do."""
    submissions, lessons = find_submissions(folder), read_course(course)
    rows: list[Row] = []
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(grade_file, path, name, lessons, limits) for name, path in submissions.items()]
        for future in waiting:
            say(summary(found := future.result()))
            rows += found
    return rows


def limits_missing() -> str | None:
    """What this system does not limit, in a line."""
    if sys.platform == "win32":
        return "on Windows only time is limited: not memory, not the size and number of files, not processes"
    if not FORKS:
        return "on this system memory and processes are not limited; time and the size of files are"
    if os.getuid() == 0:
        return "as root the number of processes is not limited: grade as an ordinary user"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every file was graded; 1: some could not be; 2: nothing was done."""
    parser = argparse.ArgumentParser(
        prog="python -m colorlib.course.grade",
        description="Grade submitted notebooks with the course's own checks. No sandbox for hostile code.",
    )
    beside = Path(colorlib.__file__).resolve().parents[1] / "notebooks"
    parser.add_argument("folder", type=Path, help="submitted notebooks, any names, in subfolders or not")
    parser.add_argument("--csv", type=Path, help="write the report here, a row an exercise")
    parser.add_argument("--course", type=Path, default=beside, help="the course's own notebooks (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=Limits.seconds, help="computing time for an answer (%(default)s)"
    )
    parser.add_argument("--memory", type=float, default=Limits.memory / 2**30, help="GiB for an answer (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time (%(default)s)")
    asked = parser.parse_args(arguments)
    try:
        if asked.seconds <= 0 or asked.memory <= 0 or asked.jobs < 1:
            raise ValueError("expected --seconds, --memory and --jobs above 0; leave them out for the defaults")
        if asked.csv:
            asked.csv.touch()
        limits = Limits(asked.seconds, int(asked.memory * 2**30))
        if missing := limits_missing():
            print(f"! {missing}", file=sys.stderr)
        rows = grade_folder(
            asked.folder, asked.course, limits, jobs=asked.jobs, say=lambda line: print(line, flush=True)
        )
        if asked.csv:
            write_csv(asked.csv, rows)
    except (OSError, ValueError, CannotGradeError) as error:
        print(error, file=sys.stderr)
        return 2
    files = list(dict.fromkeys(row.file for row in rows))
    lost = {row.file for row in rows if not row.notebook}
    if lost:
        print(f"{len(lost)} of {len(files)} files could not be graded", file=sys.stderr)
    return 2 if len(lost) == len(files) else 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
