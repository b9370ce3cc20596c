"""The command that grades a folder of submitted notebooks, and its report."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from checking import Limits, check
from submissions import CannotGradeError, Lesson, answers, read_cells, read_course, recognise

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MAX_TEXT = 300


@dataclass(frozen=True)
class Row:
    """A row of the report."""

    file: str
    notebook: str
    exercise: str
    status: str
    text: str
    seconds: float = 0.0


def find_submissions(folder: Path) -> dict[str, Path]:
    """The notebooks in a folder, by their path inside it. Raises FileNotFoundError if there are none."""
    if folder.is_file() and folder.suffix == ".ipynb":
        return {folder.name: folder}
    names = {path.relative_to(folder): path for path in sorted(folder.rglob("*.ipynb"))}
    found = {
        name.as_posix(): path for name, path in names.items() if not any(part.startswith(".") for part in name.parts)
    }
    if not found:
        raise FileNotFoundError(f"expected a folder with submitted notebooks (.ipynb), got none in {folder}")
    return found


def grade_file(path: Path, name: str, course: Sequence[Lesson], limits: Limits) -> list[Row]:
    """The rows of one submitted notebook; one row with the status "error" if it cannot be graded."""
    rows = []
    try:
        cells = read_cells(path)
        lesson = recognise(cells, path.stem, course)
        found = answers(cells, lesson)
        for task in lesson.tasks:
            started, status, text = time.monotonic(), "cell missing", ""
            if code := found[task.exercise]:
                status, text = check(lesson, task, code, limits)
            rows.append(Row(name, lesson.stem, task.exercise, status, text, round(time.monotonic() - started, 2)))
    except CannotGradeError as error:
        return [Row(name, "", "", "error", str(error))]
    return rows


def one_line(text: str) -> str:
    """Text of a submission in one printable line of limited length, which no spreadsheet takes for a formula."""
    line = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
    line = line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def summary(rows: Sequence[Row]) -> str:
    """One submission in one line."""
    first = rows[0]
    if not first.notebook:
        return one_line(f"{first.file}: not graded: {first.text}")
    counts = Counter(row.status for row in rows)
    others = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "correct")
    graded = f"{counts['correct']} of {len(rows)} correct{f' ({others})' if others else ''}"
    return one_line(f"{first.file}: {first.notebook}: {graded}")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write the report, a row for each exercise."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Row))
        writer.writerows([one_line(str(value)) for value in astuple(row)] for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if every file was graded, 1 if some could not be graded, 2 if none was."""
    parser = argparse.ArgumentParser(
        prog="python tools/grading", description="Grade submitted notebooks with the course's own checks."
    )
    parser.add_argument("folder", type=Path, help="submitted notebooks, with any names, in subfolders or not")
    parser.add_argument("--csv", type=Path, help="write the report to this file, a row for each exercise")
    parser.add_argument("--course", type=Path, default=NOTEBOOKS, help="the course's notebooks (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="computing time of an answer (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=2, help="GiB of memory of an answer (default: %(default)s)")
    asked = parser.parse_args(arguments)
    if asked.seconds <= 0 or asked.memory <= 0:
        parser.error("expected --seconds and --memory above 0")
    if sys.platform != "linux":
        print("! on this system the memory of an answer is not limited", file=sys.stderr)
    limits, rows = Limits(asked.seconds, int(asked.memory * 2**30)), []
    try:
        submissions, course = find_submissions(asked.folder), read_course(asked.course)
        for name, path in submissions.items():
            found = grade_file(path, name, course, limits)
            print(summary(found), flush=True)
            rows += found
            if asked.csv:
                write_csv(asked.csv, rows)  # after each notebook, so that an interrupted run leaves a report
    except (OSError, CannotGradeError) as error:
        print(error, file=sys.stderr)
        return 2
    if bugs := sum(row.status == "check failed" for row in rows):
        print(f"{bugs} answers were not judged because the course's own check has a bug", file=sys.stderr)
    files, lost = len({row.file for row in rows}), sum(not row.notebook for row in rows)
    if lost:
        print(f"{lost} of {files} files could not be graded", file=sys.stderr)
    return 2 if lost == files else 1 if lost else 0
