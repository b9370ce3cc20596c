"""Building and checking notebooks, on a small one. Every fault that the check must find is planted once."""

import json

import nbformat
import pytest

CODE = "def f(x):\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION"


def test_an_exercise_becomes_a_stub_or_a_solution(build):
    assert build.stub(CODE) == "def f(x):\n    ...  # your code here"
    assert build.stub("a = ...\n### BEGIN SOLUTION\na = 1\n### END SOLUTION") == "a = ...\npass  # your code here"
    assert build.solve(CODE) == "def f(x):\n    y = x\n    return y"


@pytest.mark.parametrize("code", [CODE.replace("END", "BEGIN"), CODE.replace("BEGIN", "END"), CODE[:40]])
def test_marks_that_do_not_pair_are_refused(build, code):
    with pytest.raises(ValueError, match="expected ### "):
        build.stub(code)


def outputs(path, tag):
    cells = nbformat.read(path, 4).cells
    return [output for cell in cells if tag in cell.metadata.get("tags", []) for output in cell.outputs]


@pytest.mark.slow
def test_a_built_notebook_has_stubs_and_the_package_has_the_solutions(toy):
    assert outputs(toy.notebook, "exercise-check")[0].text.startswith("not attempted")
    stored = json.loads((toy.folder / "colorlib/course/solutions/00.json").read_text())
    assert stored == {"double": 'def double(x):\n    """Twice x."""\n    return 2 * x'}


@pytest.mark.slow
def test_a_built_notebook_has_nothing_of_the_machine_and_opens_with_its_result(toy):
    assert outputs(toy.notebook, "config") == []
    (opening,), (result,) = outputs(toy.notebook, "setup"), outputs(toy.notebook, "result")
    assert opening.data["image/png"] == result.data["image/png"]
    assert opening.metadata["image/png"]["alt"] == "A line that rises."
    assert (toy.folder / "colorlib/course/pictures/00_toy.txt").read_text() == "A line that rises.\n"
    assert "{{" not in toy.notebook.read_text()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.slow
def test_solved_notebooks_are_built_into_a_folder_and_change_nothing_else(toy, tmp_path, monkeypatch):
    before = contents(toy.folder)
    monkeypatch.setattr("sys.argv", ["build.py", "00", "--solutions", str(tmp_path / "for me" / "solved")])
    assert toy.build.main() == 0
    (solved,) = (tmp_path / "for me" / "solved").iterdir()
    assert solved.name == "00_toy.ipynb" and contents(toy.folder) == before
    assert outputs(solved, "exercise-check")[0].text == "correct\n"
    assert "return 2 * x" in solved.read_text() and "SOLUTION" not in solved.read_text()
    assert outputs(solved, "setup")[0].data["image/png"] == outputs(solved, "result")[0].data["image/png"]


@pytest.mark.slow
def test_solved_notebooks_never_replace_those_of_students(toy, monkeypatch):
    monkeypatch.chdir(toy.folder)
    monkeypatch.setattr("sys.argv", ["build.py", "--solutions", "notebooks"])
    with pytest.raises(SystemExit):
        toy.build.main()


@pytest.mark.slow
def test_two_builds_are_equal_byte_for_byte(toy):
    files = sorted(path for path in toy.folder.rglob("*") if path.suffix in (".ipynb", ".json", ".png", ".txt"))
    before = [path.read_bytes() for path in files]
    assert len(files) == 4
    for run in (True, False):
        toy.build.build(toy.stem, run=run)
        assert [path.read_bytes() for path in files] == before


# --- the check ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_just_built_has_no_problems(toy):
    assert toy.check.problems(toy.stem) == [] and toy.check.strays() == []


def in_notebook(tag, change):
    """A fault planted in the first cell with that tag of the stored notebook."""

    def plant(toy):
        notebook = nbformat.read(toy.notebook, 4)
        change(next(cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])))
        toy.notebook.write_text(nbformat.writes(notebook) + "\n")

    return plant


def in_source(old, new):
    return lambda toy: toy.source.write_text(toy.source.read_text().replace(old, new))


def put(**output):
    return lambda cell: cell.outputs.append(nbformat.v4.new_output(**output))


FAULTS = {
    "edited by hand": (
        in_notebook("imports", lambda cell: cell.update(source="import json")),
        "notebooks/00_toy.ipynb: cell 3 ('import json') differs from its source in source",
    ),
    "a lost tag": (
        in_notebook("result", lambda cell: cell.metadata.clear()),
        "differs from its source in its tags",
    ),
    "no stored output": (
        in_notebook("nbval-check-output", lambda cell: cell.outputs.clear()),
        "is checked, and has no stored output",
    ),
    "no alt text": (
        in_notebook("result", lambda cell: cell.outputs[0].metadata.clear()),
        "has a figure without alt text",
    ),
    "another picture first": (
        in_notebook("setup", lambda cell: cell.outputs.clear()),
        "another picture under the setup cell",
    ),
    "a warning": (
        in_notebook("imports", put(output_type="stream", name="stderr", text="UserWarning: old")),
        "wrote to stderr: 'UserWarning: old'",
    ),
    "a progress bar": (
        in_notebook("imports", put(output_type="stream", name="stdout", text="1%\r2%")),
        "left a progress bar behind",
    ),
    "an error": (
        in_notebook("imports", put(output_type="error", ename="KeyError", evalue="x", traceback=[])),
        "raised KeyError",
    ),
    "not run": (
        in_notebook("imports", lambda cell: cell.update(execution_count=None)),
        "was not run",
    ),
    "versions in the config cell": (
        in_notebook("config", put(output_type="stream", name="stdout", text="torch 2.15")),
        "is not normalised",
    ),
    "too large": (
        in_notebook("imports", put(output_type="stream", name="stdout", text="x" * 2**20)),
        "expected at most 1,048,576",
    ),
    "gone": (lambda toy: toy.notebook.unlink(), "notebooks/00_toy.ipynb: is not there"),
    "solutions gone": (
        lambda toy: (toy.folder / "colorlib/course/solutions/00.json").unlink(),
        "00.json: differs from the exercises",
    ),
    "another solution": (in_source("return 2 * x", "return x + x"), "00.json: differs from the exercises"),
    "a new line in the source": (in_source("A line.", "Two lines."), "differs from its source in source"),
    "a broken link": (in_source("A line.", "See [the end](13_end.ipynb)."), "links to 13_end.ipynb, which is not"),
    "an image without alt text": (in_source("A line.", "![](site/x.png)"), "has an image without alt text"),
    "a long cell": (in_source("import json\n", "import json\n" + "x = 1\n" * 40), "expected at most 40"),
    "a wide line": (in_source("import json\n", f"x = '{'x' * 100}'\n"), "has a line of 106 characters"),
    "no setup": (in_source(' tags=["setup"]', ""), "expected one cell tagged setup, got 0"),
    "nothing checked": (in_source(' tags=["nbval-check-output"]', ""), "expected cells tagged nbval-check-output"),
    "a mark too few": (in_source("    ### END SOLUTION\n", ""), "expected ### END SOLUTION after"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(toy, fault):
    plant, says = FAULTS[fault]
    plant(toy)
    found = toy.check.problems(toy.stem)
    assert any(says in problem for problem in found), found


@pytest.mark.slow
def test_a_notebook_without_a_source_is_a_stray(toy):
    (toy.folder / "notebooks" / "99_old.ipynb").write_text("{}")
    assert toy.check.strays() == ["notebooks/99_old.ipynb: has no source in notebooks/src"]


@pytest.mark.slow
def test_unknown_numbers_are_refused(toy, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["build.py", "42"])
    assert toy.build.main() == 2
    assert "the number 42" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_nothing_is_written(toy, monkeypatch, capsys):
    before = toy.notebook.read_bytes()
    in_source("import json\n", "import no_such_module\n")(toy)
    monkeypatch.setattr("sys.argv", ["build.py", "00"])
    assert toy.build.main() == 1
    assert "no_such_module" in capsys.readouterr().err
    assert toy.notebook.read_bytes() == before
