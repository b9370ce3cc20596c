"""Tasks, checks and alt texts: what the builder makes of their cells in notebooks/src."""

from __future__ import annotations

import base64
import io
import json
from types import ModuleType

import nbformat
import pytest
from PIL import Image

from colorlib.course.exercises.exercise import Exercise, expect

SOURCE = '''\
# %% [markdown] tags=["title"]
# # 0. A toy

# %% tags=["imports"]
from colorlib.course.exercises.exercise import Exercise, expect
import matplotlib.pyplot as plt
%config InlineBackend.figure_format = "retina"

class exercises:
    double = Exercise("double", lambda f: expect("for 1", f(1), 2), hints=["twice"], notebook="00")

# %% tags=["task"]
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x if x else double(x)
    ### END SOLUTION

# %% tags=["task-check"]
double = exercises.double.use(double, course_double)

# %% tags=["nbval-check-output"]
print(double(21))

# %% tags=["check"]
assert double(21) == 42, "expected twice 21"

# %% tags=["result"]
#| alt: A line that rises
#| from 0 to 1.
figure, ax = plt.subplots(figsize=(2, 1))
ax.plot([0, 1])
plt.show()
'''


@pytest.fixture
def source(build: ModuleType, tmp_path, monkeypatch):
    """A notebook's text with a task, a check and an alt text, where the builder finds it; as the builder reads it."""
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    (tmp_path / "00_toy.py").write_text(SOURCE)
    return build.read_source("00_toy")


def cells(build, notebook, tag):
    return [cell for cell in notebook.cells if tag in build.tags(cell)]


def test_a_task_is_a_stub_and_then_the_courses_version_under_another_name_collapsed(build, source):
    student = build.with_code(source, build.stub)
    (task,), (version,) = cells(build, student, "task"), cells(build, student, "course-version")
    assert student.cells.index(version) == student.cells.index(task) + 1
    assert build.STUB in task.source and "return 2 * x" not in task.source
    assert version.source.startswith("# @title ")
    assert "def course_double(x):" in version.source
    assert "return 2 * x if x else course_double(x)" in version.source
    assert version.metadata.jupyter.source_hidden and version.metadata.cellView == "form"


def test_a_solved_task_has_the_students_name(build, source):
    (task,) = cells(build, build.with_code(source, build.solve), "task")
    assert "def double(x):" in task.source and "return 2 * x if x else double(x)" in task.source


def test_the_solution_of_a_task_is_found_under_the_name_in_its_check(build, source):
    assert list(build.solutions(source)) == ["double"]
    assert "def double(x):" in build.solutions(source)["double"]


def test_checks_are_left_out_of_what_students_get_and_nothing_else_is(build, source):
    everything = build.with_code(source, build.stub)
    student = build.without_checks(everything)
    assert not cells(build, student, "check")
    left = [cell.id for cell in everything.cells if "check" not in build.tags(cell)]
    assert [cell.id for cell in student.cells] == left and len(left) == len(everything.cells) - 1


def test_alt_lines_become_metadata_of_the_cell(build, source):
    (cell,) = cells(build, source, "result")
    assert cell.metadata.alt == "A line that rises from 0 to 1."
    assert cell.source.startswith("figure, ax = plt.subplots")


def test_course_versions_of_classes_keep_the_case_of_classes(build):
    assert build.course_name("Critic") == "CourseCritic" and build.course_name("critic_step") == "course_critic_step"


@pytest.mark.slow
def test_a_notebook_with_an_empty_task_runs_and_is_checked(build, source, tmp_path, monkeypatch):
    for place in ("HERE", "COURSE"):
        monkeypatch.setattr(build, place, tmp_path)
    for name in ("pictures", "solutions"):
        (tmp_path / name).mkdir()
    build.build("00_toy")
    stored = nbformat.read(tmp_path / "00_toy.ipynb", 4)
    assert not cells(build, stored, "check")
    (said,) = [cell.outputs[0].text for cell in cells(build, stored, "task-check")]
    assert said.startswith("not attempted: ") and "continues with the course's version" in said
    ((_, alt),) = [picture for cell in cells(build, stored, "result") for picture in build.pictures(cell)]
    assert alt == "A line that rises from 0 to 1."
    (shown,) = [output for cell in cells(build, stored, "result") for output in cell.outputs]
    png = Image.open(io.BytesIO(base64.b64decode(shown.data["image/png"])))
    assert png.width // 2 == shown.metadata["image/png"]["width"], "expected a picture at twice its resolution"
    assert json.loads((tmp_path / "solutions" / "00.json").read_text()) == build.solutions(source)

    build.build_checks("00_toy", tmp_path / "checks")
    checked = nbformat.read(tmp_path / "checks" / "00_toy.ipynb", 4)
    assert len(checked.cells) == len(stored.cells) + 1
    assert build.without_checks(checked).cells[4].outputs == stored.cells[4].outputs

    wrong = SOURCE.replace("assert double(21) == 42", "assert double(21) == 41")
    (tmp_path / "00_toy.py").write_text(wrong)
    with pytest.raises(build.CellExecutionError, match="expected twice 21"):
        build.build("00_toy")


@pytest.mark.parametrize(
    "answer, continues_with_own, says",
    [
        (lambda x: 2 * x, True, "correct: the notebook continues with your version"),
        (lambda x: x, False, "not yet: for 1: expected 2, got 1"),
        (lambda x: None, False, "not attempted"),
        (lambda x: 1 / 0, False, "not yet: expected <lambda> to return, got ZeroDivisionError"),
    ],
)
def test_a_notebook_continues_with_a_right_answer_and_otherwise_with_the_courses(
    answer, continues_with_own, says, capsys
):
    def course(x):
        return x + x

    double = Exercise("double", lambda f: expect("for 1", f(1), 2), hints=["twice"], notebook="00")
    used = double.use(answer, course)
    assert used is (answer if continues_with_own else course)
    said = capsys.readouterr().out
    assert said.startswith(says)
    assert ("continues with the course's version" in said) is not continues_with_own
