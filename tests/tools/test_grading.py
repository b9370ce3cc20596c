"""The grader finds answers, limits what they take, and reports on every kind of submission."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from notebook_fixtures import ROOT

from colorlib.course.exercises.exercise import Exercise, expect, read_solution

sys.path.insert(0, str(ROOT / "tools" / "grading"))  # the grader is run as `python tools/grading`
import checking
import grade
import submissions
from submissions import Cell, binds

COURSE = submissions.read_course(ROOT / "notebooks")
BUGS = COURSE[13]


def notebook(number: int) -> dict:
    return json.loads((ROOT / "notebooks" / f"{COURSE[number].stem}.ipynb").read_text(encoding="utf-8"))


def edit(content: dict, change: Callable[[str, dict], None]) -> dict:
    """A notebook after `change(exercise, cell)` of each of its answer cells."""
    for cell, after in zip(content["cells"], content["cells"][1:], strict=False):
        if "exercise" in cell["metadata"].get("tags", []):
            change(submissions.CHECK.findall("".join(after["source"]))[0][0], cell)
    return content


def solved(number: int) -> dict:
    return edit(notebook(number), lambda name, cell: cell.update(source=read_solution(COURSE[number].stem[:2], name)))


def cells_of(content: dict, tmp_path: Path) -> list[Cell]:
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(content))
    return submissions.read_cells(path)


# --- what is read --------------------------------------------------------------------------------------------------


def test_the_course_has_the_exercises_that_its_checks_have() -> None:
    for lesson in COURSE:
        number = lesson.stem[:2]
        module = __import__(f"colorlib.course.exercises.notebook_{number}", fromlist=[""])
        wanted = {value.name for value in vars(module).values() if isinstance(value, Exercise)}
        assert {task.exercise for task in lesson.tasks} == wanted
        assert lesson.imports and lesson.title.startswith("# ")
        assert all(len(task.names) == 1 for task in lesson.tasks), lesson.stem


@pytest.mark.parametrize("number", range(14))
def test_a_notebook_is_recognised_whatever_its_file_is_called(number: int, tmp_path: Path) -> None:
    content = notebook(number)
    for keep in (lambda s: True, lambda s: "setup(" not in s, lambda s: s.startswith("exercises.")):
        left = {**content, "cells": [cell for cell in content["cells"] if keep("".join(cell["source"]))]}
        found = submissions.recognise(cells_of(left, tmp_path), "05_unet (copy 2)", COURSE)
        assert found.stem == COURSE[number].stem


def test_a_notebook_of_something_else_is_not_graded(tmp_path: Path) -> None:
    other = {"nbformat": 4, "cells": [{"cell_type": "code", "source": "print(1)", "metadata": {}}]}
    with pytest.raises(submissions.CannotGradeError, match="not a notebook of the course"):
        submissions.recognise(cells_of(other, tmp_path), "03_gans", COURSE)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"nbformat": 3, "worksheets": []}', "format 4"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "TypeError"),
        ('{"nbformat": 4, "cells": [7]}', "TypeError"),
        ("[" * 100_000, "RecursionError"),
        ("\udcff", "UnicodeDecodeError"),
    ],
)
def test_a_file_that_is_not_a_notebook_gets_one_line(raw: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(raw.encode("utf-8", "surrogateescape"))
    with pytest.raises(submissions.CannotGradeError, match=says) as found:
        submissions.read_cells(path)
    assert "\n" not in str(found.value)


def test_huge_files_and_links_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook(3)))
    (tmp_path / "link.ipynb").symlink_to(path)
    with pytest.raises(submissions.CannotGradeError, match="a link"):
        submissions.read_cells(tmp_path / "link.ipynb")
    monkeypatch.setattr(submissions, "MAX_FILE_BYTES", 1000)
    with pytest.raises(submissions.CannotGradeError, match="at most 1,000 bytes"):
        submissions.read_cells(path)


@pytest.mark.parametrize(
    ("code", "is_bound"),
    [
        ("def mine(x):\n    return x", True),
        ("async def mine(): ...", True),
        ("class mine: pass", True),
        ("mine = 3", True),
        ("a, mine = 1, 2", True),
        ("mine, a = 1, 2", True),
        ("mine: dict[str, int] = {}", True),
        ("a = mine = 4", False),
        ("    mine = 3", False),
        ("f(mine=3)", False),
        ("mine == 3", False),
        ("# mine = 3", False),
        ("undermine = 3", False),
        ("x = mine", False),
    ],
)
def test_what_gives_a_name_a_value(code: str, is_bound: bool) -> None:
    assert binds(f"y = 0\n{code}", "mine") == is_bound


def code_cell(source: str, *tags: str, id: str = "") -> Cell:
    return Cell(id, frozenset(tags), source, True)


def answer_of(name: str, *cells: Cell) -> list[str] | None:
    return submissions.answers(cells, BUGS)[name]


def test_the_answer_is_found_where_students_leave_it() -> None:
    stub = next(task for task in BUGS.tasks if task.exercise == "mix")
    first, second = "def mix(a, b, rng):\n    return 1", "def mix(a, b, rng):\n    return 2"
    assert answer_of("mix", code_cell(first, "exercise")) == [first]
    assert answer_of("mix", code_cell(first, "exercise"), code_cell(second, "exercise")) == [second]  # a copied cell
    helper = "def halves():\n    return 0.5"  # a cell split in two keeps its tag in both
    assert answer_of("mix", code_cell(helper, "exercise"), code_cell(first, "exercise")) == [helper, first]
    assert answer_of("mix", code_cell(first)) == [first]  # an editor that drops tags
    assert answer_of("mix", code_cell("def blend(): ...", "exercise", id=stub.cell)) == ["def blend(): ..."]
    assert answer_of("mix", code_cell(first, "exercise"), code_cell(second)) == [first]
    assert answer_of("mix", code_cell("x = 1", "exercise")) is None
    assert answer_of("mix", Cell("", frozenset({"exercise"}), first, False)) is None


def test_cells_of_the_course_are_not_answers() -> None:
    for lesson in (COURSE[3], BUGS):
        cells = [code_cell(source) for source in lesson.sources]
        assert set(submissions.answers(cells, lesson).values()) == {None}


def test_an_answer_that_uses_another_one_gets_it() -> None:
    mix, penalty = "def mix(a, b, rng): ...", "def penalty(*x):\n    return mix(*x)"
    leaked = "def leaked(*x):\n    return penalty(*x)"
    cells = [code_cell(source, "exercise") for source in (mix, penalty, leaked)]
    assert answer_of("mix", *cells) == [mix]
    assert answer_of("penalty", *cells) == [mix, penalty]
    assert answer_of("leaked", *reversed(cells)) == [penalty, mix, leaked]  # in the order of the course's exercises


def test_answers_that_all_use_one_another_are_found() -> None:
    everything = "\n".join(f"def {task.names[0]}(): ..." for task in BUGS.tasks)
    assert answer_of("mix", *[code_cell(everything, "exercise")] * len(BUGS.tasks)) == [everything]


# --- one answer ----------------------------------------------------------------------------------------------------


def attempt(*code: str, test: Callable = lambda answer: expect("for 1", answer(1), 2)) -> tuple[str, str]:
    exercises = SimpleNamespace(double=Exercise("double", test, hints=["h"]))
    task = submissions.Task("double", "", "def double(x): ...", "double")
    return checking.attempt(task, code, exercises, {"double": lambda x: 2 * x})


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("def double(x): return 2 * x", "correct", ""),
        ("%timeit 1\ndef double(x): return 2 * x", "correct", ""),
        ("def double(x): return x", "not yet", "for 1: expected 2, got 1"),
        ("def double(x): ...", "not attempted", ""),
        ("x = 1\nx.y", "error", "AttributeError: 'int' object has no attribute 'y' (line 2 of the answer)"),
        ("x = 1", "error", "NameError: name 'double' is not defined"),  # a name of the imports is not an answer
        ("import sys\nsys.exit('enough')", "error", "SystemExit: enough (line 2 of the answer)"),
        ("def double(:", "error", "SyntaxError"),
        ("def double(x): raise MemoryError", "out of memory", "MemoryError"),
    ],
)
def test_an_answer_gets_the_status_of_its_check(code: str, status: str, says: str) -> None:
    found, text = attempt(code)
    assert found == status and says in text and "\n" not in text
    assert bool(text) == bool(says)


def test_a_bug_in_a_check_is_not_the_answers_error() -> None:
    status, text = attempt("def double(x): return x", test=lambda answer: answer(1) + undefined_name)
    assert status == "check failed" and "NameError" in text


def test_magics_are_left_out_where_the_code_is_not_python() -> None:
    assert checking.without_magics("%timeit f()\n!ls\nx = 1") == "# %timeit f()\n# !ls\nx = 1"
    python = "x = (7\n% 4)"
    assert checking.without_magics(python) == python


# --- the report ----------------------------------------------------------------------------------------------------


def test_text_is_one_printable_line_and_not_a_formula() -> None:
    assert grade.one_line("a\n\tb\x1b[31m\udcff") == "a b[31m"
    for start in "=+-@":
        assert grade.one_line(f" {start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"
    assert len(grade.one_line("x" * 10_000)) == grade.MAX_TEXT


def test_a_folder_that_cannot_be_graded_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade.main([str(tmp_path)]) == 2
    assert grade.main([str(tmp_path / "no")]) == 2
    (tmp_path / "x.ipynb").write_text("{")
    assert grade.main([str(tmp_path), "--course", str(tmp_path)]) == 2
    assert grade.main([str(tmp_path), "--csv", str(tmp_path / "no" / "r.csv")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("!")]
    assert len(lines) == 4 and all("expected" in line or "No such file" in line for line in lines), lines


def test_the_exit_status_tells_of_files_that_could_not_be_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grade, "check", lambda *arguments: ("check failed", "a bug"))
    (tmp_path / "bad.ipynb").write_text("{")
    assert grade.main([str(tmp_path)]) == 2
    (tmp_path / "good.ipynb").write_text(json.dumps(notebook(3)))
    assert grade.main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 files could not be graded" in printed.err
    assert "4 answers were not judged because the course's own check has a bug" in printed.err
    assert "good.ipynb: 03_gans: 0 of 4 correct (4 check failed)" in printed.out
    (tmp_path / "bad.ipynb").unlink()
    assert grade.main([str(tmp_path)]) == 0


def test_the_teachers_guide_counts_the_exercises_right() -> None:
    guide = (ROOT / "site" / "teachers.md").read_text(encoding="utf-8")
    counted = re.findall(r"\(notebooks/(\d\d_\w+)\.ipynb\).* \| [\d.]+ \| (\d+) \|", guide)
    assert {stem: int(count) for stem, count in counted} == {lesson.stem: len(lesson.tasks) for lesson in COURSE}


# --- the whole command ---------------------------------------------------------------------------------------------

HARMFUL = {  # by exercise of notebook 13: an answer, its status, and a part of the text
    "g_total": ("while True:\n    pass", "timeout", "after at most 12 s of computing"),
    "residual_forward": ("keep = []\nwhile True:\n    keep.append(bytearray(10**7))", "out of memory", "MemoryError"),
    "critic_step": ("keep = []\nwhile True:\n    keep.append(bytes(400))", "out of memory", "MemoryError"),
    "colour_fid": ("def colour_fid(*a):\n    return torch.zeros(10**12)", "out of memory", ""),
    "has_cut_weights": ("import os\nos._exit(0)", "error", "ended itself with status 0"),
    "build_critic": ("import ctypes\nctypes.string_at(0)", "error", "ended by SIGSEGV"),
    "mix": ("with open('large', 'wb') as f:\n    f.write(bytes(2**27))", "error", "File too large"),
    "is_backwards": ('print("spam " * 10**6)\n' + read_solution("13", "is_backwards"), "correct", ""),
    "split": ("input()", "error", "EOFError"),
    "leaked": (
        "import subprocess\nsubprocess.Popen(['sleep', '98.7654'])\n" + read_solution("13", "leaked"),
        "correct",
        "",
    ),
    "samples_mix": (
        "import os, shutil\nfrom pathlib import Path\nassert 'SECRET' not in os.environ\n"
        "assert Path.home() in Path.cwd().parents and not os.listdir('.')\nshutil.rmtree(Path.home(), True)\n"
        + read_solution("13", "samples_mix"),
        "correct",
        "",
    ),
    "decode": ("exercises.decode.test = lambda answer: 1 + 'one'\ndef decode(*a): ...", "check failed", "TypeError"),
}


@dataclass
class Graded:
    """What the command printed and returned, and the rows of its report by file and exercise."""

    status: int
    lines: list[str]
    table: list[dict[str, str]]

    def row(self, file: str, exercise: str) -> dict[str, str]:
        return next(row for row in self.table if (row["file"], row["exercise"]) == (file, exercise))


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """A folder of answers that do harm by accident, files that are not notebooks, stubs, and all solutions."""
    folder = tmp_path_factory.mktemp("submissions")
    harmful = edit(notebook(13), lambda name, cell: name in HARMFUL and cell.update(source=HARMFUL[name][0]))
    files = {
        "a/harmful.ipynb": json.dumps(harmful),
        "b/broken.ipynb": "{",
        "c/other.ipynb": '{"nbformat": 4, "cells": []}',
        "d/=solved 8.ipynb": json.dumps(solved(8)),
        ".ipynb_checkpoints/x.ipynb": "{",
        **{f"solved/{number}.ipynb": json.dumps(solved(number)) for number in range(14) if number != 8},
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    report = tmp_path_factory.mktemp("report") / "report.csv"
    command = [sys.executable, "tools/grading", str(folder), "--csv", str(report), "--seconds", "12", "--memory", "1"]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, "SECRET": "1"}, capture_output=True, text=True)
    with report.open(encoding="utf-8", newline="") as file:
        return Graded(ran.returncode, (ran.stdout + ran.stderr).splitlines(), list(csv.DictReader(file)))


NEEDS_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")


@NEEDS_LINUX
@pytest.mark.slow
@pytest.mark.parametrize("exercise", HARMFUL)
def test_an_answer_that_does_harm_gets_its_own_row(graded: Graded, exercise: str) -> None:
    row, (_, status, says) = graded.row("a/harmful.ipynb", exercise), HARMFUL[exercise]
    assert (row["status"], row["notebook"]) == (status, "13_find_the_bug"), row
    assert says in row["text"]


@NEEDS_LINUX
@pytest.mark.slow
def test_processes_that_an_answer_started_are_ended(graded: Graded) -> None:
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"98.7654" in line for line in running)


@NEEDS_LINUX
@pytest.mark.slow
def test_every_solution_is_correct_and_every_stub_is_not_attempted(graded: Graded) -> None:
    of_solutions = [row for row in graded.table if "solved" in row["file"]]
    assert len(of_solutions) == sum(len(lesson.tasks) for lesson in COURSE)
    assert [row for row in of_solutions if row["status"] != "correct"] == []
    stubs = [row for row in graded.table if row["file"].startswith("a/") and row["exercise"] not in HARMFUL]
    assert len(stubs) == len(BUGS.tasks) - len(HARMFUL)
    assert {row["status"] for row in stubs} == {"not attempted"}


@NEEDS_LINUX
@pytest.mark.slow
def test_the_report_has_a_row_for_each_exercise_and_for_each_file_that_is_not_graded(graded: Graded) -> None:
    assert list(graded.table[0]) == ["file", "notebook", "exercise", "status", "text", "seconds"]
    assert graded.row("b/broken.ipynb", "")["status"] == graded.row("c/other.ipynb", "")["status"] == "error"
    assert len(graded.table) == len(BUGS.tasks) + 2 + sum(len(lesson.tasks) for lesson in COURSE)
    assert all(float(row["seconds"]) >= 0 for row in graded.table)
    assert graded.status == 1
    assert "2 of 17 files could not be graded" in graded.lines
    assert "d/=solved 8.ipynb: 08_wasserstein_gan: 4 of 4 correct" in graded.lines


# --- processes -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@NEEDS_LINUX
def test_an_answer_that_sleeps_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "prepare", lambda lesson: (SimpleNamespace(), {}))
    monkeypatch.setattr(checking.Limits, "patience", 1.0)
    asleep = "import time\ntime.sleep(600)"
    assert checking.check(BUGS, BUGS.tasks[0], [asleep], checking.Limits())[0] == "timeout"


@pytest.mark.slow
def test_where_processes_cannot_fork_each_imports_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows. The second answer loops, and is stopped by its limit of computing time."""
    monkeypatch.setattr(checking, "CONTEXT", multiprocessing.get_context("spawn"))
    lesson = replace(BUGS, imports="import torch")
    task = next(task for task in BUGS.tasks if task.exercise == "split")
    found = [
        checking.check(lesson, task, [code], checking.Limits(2))
        for code in (read_solution("13", "split"), "while 1: 1")
    ]
    assert [status for status, _ in found] == ["correct", "timeout"]


def test_imports_that_do_not_run_here_are_named() -> None:
    lesson = replace(BUGS, imports="import no_such_package")
    with pytest.raises(submissions.CannotGradeError, match="No module named 'no_such_package'"):
        checking.check(lesson, BUGS.tasks[0], ["pass"], checking.Limits())
