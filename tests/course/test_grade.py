"""Submissions of every kind are graded, and none of them stops the others."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from colorlib.course import grade, submissions
from colorlib.course.exercises.exercise import read_solution
from colorlib.course.grade_worker import received, without_magics
from colorlib.course.submissions import Cell, binds

ROOT = Path(__file__).parents[2]
COURSE = submissions.read_course(ROOT / "notebooks")
BUGS = COURSE[13]
NEEDS_FORK = pytest.mark.skipif(sys.platform != "linux", reason="answers are forked on Linux alone")


def notebook(number: int, kind: str = "") -> dict:
    return json.loads((ROOT / "notebooks" / kind / f"{COURSE[number].stem}.ipynb").read_text(encoding="utf-8"))


def edit(content: dict, change: Callable[[str, dict], None]) -> dict:
    """A notebook after `change(exercise, cell)` of each of its answer cells."""
    for cell, after in zip(content["cells"], content["cells"][1:], strict=False):
        if "exercise" in cell["metadata"].get("tags", []):
            change(submissions.CHECK.findall("".join(after["source"]))[0][0], cell)
    return content


def cells_of(content: dict, tmp_path: Path) -> list[Cell]:
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(content))
    return submissions.read_cells(path)


# --- what is read --------------------------------------------------------------------------------------------------


def test_the_course_has_the_exercises_that_its_checks_have() -> None:
    from test_exercises import every_exercise

    wanted = {param.id for param in every_exercise()}
    assert {f"{lesson.stem[:2]}-{task.exercise}" for lesson in COURSE for task in lesson.tasks} == wanted
    for lesson in COURSE:
        assert lesson.imports and lesson.title.startswith("# ")
        assert all(len(task.names) == 1 for task in lesson.tasks), lesson.stem


@pytest.mark.parametrize("number", [0, 7, 13])
def test_a_notebook_is_recognised_whatever_its_file_is_called(number: int, tmp_path: Path) -> None:
    content = notebook(number)
    for keep in (lambda s: True, lambda s: "setup(" not in s, lambda s: s.startswith("exercises.")):
        left = {**content, "cells": [cell for cell in content["cells"] if keep("".join(cell["source"]))]}
        found = submissions.recognise(cells_of(left, tmp_path), "05_unet (copy 2)", COURSE)
        assert found.stem == COURSE[number].stem


def test_a_notebook_of_something_else_is_none_of_the_course(tmp_path: Path) -> None:
    other = {"nbformat": 4, "cells": [{"cell_type": "code", "source": "print(1)", "metadata": {}}]}
    with pytest.raises(submissions.CannotGradeError, match="expected a notebook of the course"):
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
def test_a_file_that_is_no_notebook_gets_one_line(raw: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(raw.encode("utf-8", "surrogateescape"))
    with pytest.raises(submissions.CannotGradeError, match=says) as found:
        submissions.read_cells(path)
    assert "expected" in str(found.value) and "\n" not in str(found.value)


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


def test_cells_of_the_course_are_no_answers() -> None:
    gans = COURSE[3]
    for lesson in (gans, BUGS):
        cells = [code_cell(source) for source in lesson.sources]
        assert set(submissions.answers(cells, lesson).values()) == {None}


def test_an_answer_that_uses_another_one_gets_it() -> None:
    mix, penalty = "def mix(a, b, rng): ...", "def penalty(*x):\n    return mix(*x)"
    assert answer_of("penalty", code_cell(mix, "exercise"), code_cell(penalty, "exercise")) == [mix, penalty]
    assert answer_of("mix", code_cell(mix, "exercise"), code_cell(penalty, "exercise")) == [mix]


def test_text_is_one_printable_line_and_no_formula() -> None:
    assert grade.one_line("a\n\tb\x1b[31m") == "a b[31m"
    assert grade.one_line("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert len(grade.one_line("x" * 10_000)) == grade.MAX_TEXT


def test_only_lines_with_the_token_count() -> None:
    assert received(b'{"status": "correct"}\nother {"a": 1}\nabc {"a": 2}\n', "abc") == [{"a": 2}]


def test_magics_are_left_out_where_the_code_is_no_python() -> None:
    assert without_magics("%timeit f()\n!ls\nx = 1") == "# %timeit f()\n# !ls\nx = 1"
    python = "x = (7\n% 4)"
    assert without_magics(python) == python


# --- what is run ---------------------------------------------------------------------------------------------------


def solved(name: str) -> str:
    return read_solution("13", name)


HOSTILE = {
    "g_total": "while True:\n    pass",
    "residual_forward": "keep = []\nwhile True:\n    keep.append(bytearray(10**7))",
    "has_cut_weights": "import os\nos._exit(0)",
    "critic_step": "import sys\nsys.exit('enough')",
    "is_backwards": 'print("spam " * 10**6)\n' + solved("is_backwards"),
    "penalty": "from colorlib.course.exercises import notebook_13 as n\nn.expect = lambda *a, **k: None\n"
    "n._check_function = lambda *a: None\ndef penalty(*a): return torch.zeros(())",
    "mix": "exercises.mix.grade = lambda a: type('F', (), {'status': 'correct', 'text': ''})()\n"
    "type(exercises.mix).grade = lambda s, a: exercises.mix.grade(a)\ndef mix(*a): return 1",
    "network_input": "import os\nfor d in range(3, 300):\n    try:\n"
    '        os.write(d, b\'\\n{"exercise": "network_input", "status": "correct", "text": "", "seconds": 0}\\n\')\n'
    "    except OSError:\n        pass\nos._exit(0)",
    "split": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(60)",
    "leaked": "import os\nif os.fork() == 0:\n    os.setsid()\n    os.execvp('sleep', ['sleep', '98.7654'])\n"
    + solved("leaked"),
    "decode": "def decode(:\n    return",
    "build_critic": "import ctypes\nctypes.string_at(0)",
    "samples_mix": "import os, shutil\nfrom pathlib import Path\nassert 'SECRET' not in os.environ\n"
    "assert Path.home() in Path.cwd().parents and not os.listdir('.')\nshutil.rmtree(Path.home(), True)\n"
    + solved("samples_mix"),
    "colour_fid": "def colour_fid(*a):\n    return torch.zeros(10**12)",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, grade.Row]]:
    """The report on a folder of everything that should not be handed in, and one honest notebook at its end."""
    folder = tmp_path_factory.mktemp("submissions")
    evil = edit(notebook(13), lambda name, cell: cell.update(source=HOSTILE[name]))
    files = {
        "a/evil.ipynb": json.dumps(evil),
        "b/broken.ipynb": "{",
        "c/other.ipynb": '{"nbformat": 4, "cells": []}',
        "d/=honest.ipynb": json.dumps(notebook(8, "solutions")),
        ".ipynb_checkpoints/x.ipynb": "{",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    os.environ["SECRET"] = "1"
    try:
        found = grade.grade_folder(
            folder, ROOT / "notebooks", grade.Limits(seconds=6, memory=2**29), say=lambda line: None
        )
    finally:
        del os.environ["SECRET"]
    grade.write_csv(folder / "report.csv", found)
    table: dict[str, dict[str, grade.Row]] = {"csv": {"": folder / "report.csv"}}  # type: ignore[dict-item]
    for row in found:
        table.setdefault(row.file, {})[row.exercise] = row
    return table


@NEEDS_FORK
@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "status", "says"),
    [
        ("g_total", "timeout", "after at most 6 s of computing"),
        ("residual_forward", "out of memory", "MemoryError"),
        ("has_cut_weights", "error", "ended itself with status 0"),
        ("critic_step", "error", "SystemExit: enough (line 2 of the answer)"),
        ("is_backwards", "correct", ""),
        ("penalty", "error", "replaces parts of what checks it: colorlib.course.exercises.notebook_13"),
        ("mix", "error", "replaces parts of what checks it: colorlib.course.exercises.exercise.Exercise.grade"),
        ("network_input", "error", "ended itself with status 0"),
        ("split", "error", "the process that checked it ended (status -9)"),
        ("leaked", "correct", ""),
        ("decode", "error", "SyntaxError"),
        ("build_critic", "error", "ended by SIGSEGV"),
        ("samples_mix", "correct", ""),
        ("colour_fid", "out of memory", ""),
    ],
)
def test_a_hostile_answer_gets_its_own_row(rows: dict, exercise: str, status: str, says: str) -> None:
    row = rows["a/evil.ipynb"][exercise]
    assert (row.status, row.notebook) == (status, "13_find_the_bug"), row
    assert says in row.text and "\n" not in row.text


@NEEDS_FORK
@pytest.mark.slow
def test_bad_files_do_not_stop_the_others(rows: dict) -> None:
    assert rows["b/broken.ipynb"][""].status == rows["c/other.ipynb"][""].status == "error"
    assert {row.status for row in rows["d/=honest.ipynb"].values()} == {"correct"}
    assert set(rows) == {"csv", "a/evil.ipynb", "b/broken.ipynb", "c/other.ipynb", "d/=honest.ipynb"}


@NEEDS_FORK
@pytest.mark.slow
def test_nothing_that_an_answer_started_is_left(rows: dict) -> None:
    assert rows["a/evil.ipynb"]["leaked"].status == "correct"
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"98.7654" in line for line in running)


@NEEDS_FORK
@pytest.mark.slow
def test_the_report_has_a_row_an_exercise(rows: dict) -> None:
    with rows["csv"][""].open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == grade.COLUMNS
    assert len(table) == 14 + 1 + 1 + len(COURSE[8].tasks)
    assert all(float(row["seconds"]) >= 0 for row in table)


@pytest.mark.slow
def test_without_forks_each_answer_has_a_worker_and_its_time() -> None:
    todo = [
        grade.Answer(exercise="mix", code=["while True: pass"], argument="mix"),
        grade.Answer(exercise="split", code=[solved("split")], argument="split"),
    ]
    fast = grade.Limits(seconds=3, memory=2**31, forks=False)
    found = {row["exercise"]: row["status"] for row in grade.run_answers(BUGS, todo, fast)}
    assert found == {"mix": "timeout", "split": "correct"}


def test_imports_that_do_not_run_here_are_named() -> None:
    from dataclasses import replace

    lesson = replace(BUGS, imports="import no_such_package")
    todo = [grade.Answer(exercise="mix", code=["pass"], argument="mix")]
    with pytest.raises(grade.CannotGradeError, match="No module named 'no_such_package'"):
        list(grade.run_answers(lesson, todo, grade.Limits()))


# --- the command ---------------------------------------------------------------------------------------------------


def test_a_folder_without_notebooks_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade.main([str(tmp_path)]) == 2
    assert grade.main([str(tmp_path / "no")]) == 2
    (tmp_path / "x.ipynb").write_text("{")
    assert grade.main([str(tmp_path), "--course", str(tmp_path)]) == 2
    assert grade.main([str(tmp_path), "--csv", str(tmp_path / "no" / "r.csv")]) == 2
    assert grade.main([str(tmp_path), "--seconds", "0"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("!")]
    assert len(lines) == 5 and all("expected" in line or "No such file" in line for line in lines), lines


def test_exit_status_tells_of_files_that_could_not_be_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.ipynb").write_text("{")
    arguments = [str(tmp_path), "--csv", str(tmp_path / "r.csv")]
    assert grade.main(arguments) == 2
    monkeypatch.setattr(grade, "run_answers", lambda lesson, todo, limits: iter(()))
    (tmp_path / "good.ipynb").write_text(json.dumps(notebook(3)))
    assert grade.main(arguments) == 1
    assert "1 of 2 files could not be graded" in capsys.readouterr().err
    (tmp_path / "bad.ipynb").unlink()
    assert grade.main(arguments) == 0
    assert "good.ipynb: 03_gans: 0 of 4 correct (4 cell missing)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "status", "numbers"), [("solutions", "correct", "*"), ("", "not attempted", "[01]3")])
def test_the_courses_own_notebooks(kind: str, status: str, numbers: str, tmp_path: Path) -> None:
    """Every solution is correct; stubs are not attempted, of two notebooks, for each takes ten seconds."""
    for path in (ROOT / "notebooks" / kind).glob(f"{numbers}_*.ipynb"):
        shutil.copy(path, tmp_path)
    found = grade.grade_folder(tmp_path, ROOT / "notebooks", grade.Limits(), say=lambda line: None)
    assert [row for row in found if row.status != status] == []
    handed_in = {path.stem for path in tmp_path.iterdir()}
    assert len(handed_in) == (len(COURSE) if kind else 2)
    assert len(found) == sum(len(lesson.tasks) for lesson in COURSE if lesson.stem in handed_in)


def test_the_teachers_guide_counts_the_exercises_right() -> None:
    guide = (ROOT / "site" / "teachers.md").read_text(encoding="utf-8")
    counted = re.findall(r"\(notebooks/(\d\d_\w+)\.ipynb\).* \| [\d.]+ \| (\d+) \|", guide)
    assert {stem: int(count) for stem, count in counted} == {lesson.stem: len(lesson.tasks) for lesson in COURSE}
