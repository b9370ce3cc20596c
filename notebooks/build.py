"""Build the notebooks from their text: `python notebooks/build.py [--no-execute] [--solutions DIR] [00 01 ...]`.

The text in notebooks/src is the source and contains the solutions and the checks. Three things are built from it:
NAME.ipynb in notebooks, with stubs in place of the solutions and without the checks; the solutions that
`exercise.solution()` and the site show; and the picture at the top of the notebook. Each notebook is run in quick mode,
checks included, and stored without anything that differs from run to run.

With `--solutions DIR` only the solved notebooks are built, into DIR. With `--checks DIR` the stored notebooks are
written into DIR together with their checks, for nbval. Neither changes the repository.
"""

from __future__ import annotations

import argparse
import base64
import copy
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import jupytext
import nbformat
from address import badges, repository, setup_cell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
COURSE = HERE.parent / "colorlib" / "course"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
SECONDS_A_CELL = 600

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "...  # your code here"
CHECK = re.compile(r"(?:^|= )exercises\.(\w+)\.(?:check|use)\(", re.MULTILINE)
DEFINED = re.compile(r"^(?:def|class) (\w+)", re.MULTILINE)
# Lines "#| alt: ..." at the start of a cell describe its figure. Longer texts continue in further lines "#| ...".
ALT_LINE = re.compile(r"^#\| ?(?:alt: )?(.*)\n?", re.MULTILINE)
COURSE_TITLE = "# @title The course's version: open it after your own attempt"
# Cells that are shown collapsed: by JupyterLab, by Notebook 7, and by Colab as a form.
COLLAPSED = {"jupyter": {"source_hidden": True}, "cellView": "form"}
KEPT_METADATA = ("tags", "alt", *COLLAPSED)
# The text output of cells with these tags depends on the machine (versions, device, folders) and is not stored.
VOLATILE = {"setup", "config", "machine"}


# --- from the source ---------------------------------------------------------------------------------------------


def stems() -> list[str]:
    """The names of the notebooks, in order."""
    return sorted(path.stem for path in SOURCES.glob("*.py"))


def read_source(stem: str) -> NotebookNode:
    """The notebook of a text, with its badges and setup cell filled in, and with cell ids that do not change."""
    notebook = jupytext.reads((SOURCES / f"{stem}.py").read_text(encoding="utf-8"), "py:percent")
    address = repository()
    for number, cell in enumerate(notebook.cells):
        cell.source = cell.source.replace("{{badges}}", badges(stem, address))
        cell.source = cell.source.replace("# {{setup}}", setup_cell(stem, address))
        cell.id = f"cell-{number:03d}"
        cell.metadata = nbformat.from_dict({"tags": tags(cell)} if tags(cell) else {})
        if cell.cell_type == "code":
            take_alt_text(cell)
        if "setup" in tags(cell):
            cell.metadata.update(COLLAPSED)
    notebook.cells = [part for cell in notebook.cells for part in with_course_version(cell)]
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def take_alt_text(cell: NotebookNode) -> None:
    """Move the lines `#| alt: ...` of a code cell into its metadata."""
    if lines := ALT_LINE.findall(cell.source):
        cell.source = ALT_LINE.sub("", cell.source)
        cell.metadata["alt"] = " ".join(lines)


def with_course_version(cell: NotebookNode) -> list[NotebookNode]:
    """A task and, after it, a collapsed cell with its solution under another name: `step` becomes `course_step`.

    Other cells are returned alone.
    """
    if "task" not in tags(cell):
        return [cell]
    code = solve(cell.source)
    for name in DEFINED.findall(code):
        code = re.sub(rf"\b{name}\b", course_name(name), code)
    version = nbformat.v4.new_code_cell(f"{COURSE_TITLE}\n{code}", id=f"{cell.id}-course")
    version.metadata = nbformat.from_dict({"tags": ["course-version"], **COLLAPSED})
    return [cell, version]


def course_name(name: str) -> str:
    """The name of the course's version of a function (`course_step`) or class (`CourseCritic`)."""
    return f"Course{name}" if name[0].isupper() else f"course_{name}"


def without_checks(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook without the cells tagged `check`: as students get it."""
    kept = copy.deepcopy(notebook)
    kept.cells = [cell for cell in kept.cells if "check" not in tags(cell)]
    return kept


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def solve(code: str) -> str:
    """The code of an exercise with its solution, without the marks around it."""
    return "\n".join(line for line in code.split("\n") if line.strip() not in (BEGIN, END))


def stub(code: str) -> str:
    """The code of an exercise with a stub in place of each solution. Raises ValueError for marks that do not pair."""
    lines: list[str] = []
    inside = False
    for line in code.split("\n"):
        if (mark := line.strip()) in (BEGIN, END):
            if inside != (mark == END):
                raise ValueError(f"expected {BEGIN} and {END} in turns, got {mark} twice")
            inside = not inside
            if inside:
                indent = line[: len(line) - len(line.lstrip())]
                # a notebook would display the dots at the end of a cell
                lines.append(indent + (STUB if indent else STUB.replace("...", "pass")))
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"expected {END} after {BEGIN}, got none")
    return "\n".join(lines)


def with_code(notebook: NotebookNode, change: Callable[[str], str]) -> NotebookNode:
    """A copy of a notebook in which `change` (`solve` or `stub`) was applied to the code of every exercise and task."""
    changed = copy.deepcopy(notebook)
    for cell in changed.cells:
        if {"exercise", "task"} & set(tags(cell)):
            cell.source = change(cell.source)
    return changed


def solutions(notebook: NotebookNode) -> dict[str, str]:
    """The solved code of every exercise and task, under the name in the check that follows it."""
    found: dict[str, str] = {}
    code = None
    for cell in notebook.cells:
        if {"exercise", "task"} & set(tags(cell)):
            code = solve(cell.source)
        for name in CHECK.findall(cell.source) if {"exercise-check", "task-check"} & set(tags(cell)) else []:
            if code is None:
                raise ValueError(f"expected an exercise before the check of {name}, got none")
            found[name] = code
    return found


# --- run and store -----------------------------------------------------------------------------------------------


def execute(notebook: NotebookNode) -> None:
    """Run every cell of a notebook in quick mode and keep its outputs, normalised, with the result at the top."""
    client = NotebookClient(
        notebook, timeout=SECONDS_A_CELL, kernel_name="python3", record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(HERE)}},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as runs:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COLORLIB_")}
        environment |= {"COLORLIB_MODE": "quick", "COLORLIB_RUNS": runs, "TQDM_DISABLE": "1"}
        environment["OMP_NUM_THREADS"] = "1"  # the same sums in the same order, however many cores there are
        with client.setup_kernel(env=environment):
            for number, cell in enumerate(notebook.cells):
                client.execute_cell(cell, number)
    normalise(notebook)
    if picture := result_picture(notebook):
        open_with(notebook, picture)


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Leave out what differs from run to run: timing, widget ids, versions. Pictures keep their alt text, or get that
    of their cell."""
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in KEPT_METADATA if key in cell.metadata})
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        if VOLATILE & set(tags(cell)):
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
        for output in cell.outputs:
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
            if "execution_count" in output:
                output.execution_count = count
            if "metadata" in output:
                png = output.metadata.get("image/png", {})
                about = {key: png[key] for key in ("alt", "width", "height") if key in png}
                if "image/png" in output.get("data", {}) and "alt" in cell.metadata:
                    about.setdefault("alt", cell.metadata["alt"])
                output.metadata = nbformat.from_dict({"image/png": about} if about else {})
    return notebook


def pictures(cell: NotebookNode) -> Iterable[tuple[bytes, str]]:
    """The pictures among the outputs of a cell, with their alt texts."""
    for output in cell.get("outputs", []):
        if "image/png" in output.get("data", {}):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            yield base64.b64decode(output.data["image/png"]), alt


def result_picture(notebook: NotebookNode) -> tuple[bytes, str] | None:
    """The picture of the cell tagged `result`."""
    found = [picture for cell in notebook.cells if "result" in tags(cell) for picture in pictures(cell)]
    return found[0] if found else None


def open_with(notebook: NotebookNode, picture: tuple[bytes, str]) -> None:
    """Show the result under the setup cell, as `setup` does once the picture is in the package."""
    png, alt = picture
    data = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    output = nbformat.v4.new_output("display_data", data, metadata={"image/png": {"alt": alt}})
    for cell in notebook.cells:
        if "setup" in tags(cell):
            cell.outputs = [output]


def keep_outputs(notebook: NotebookNode, path: Path) -> None:
    """Copy the outputs of cells that have not changed from a stored notebook."""
    stored = {cell.id: cell for cell in nbformat.read(path, 4).cells} if path.is_file() else {}
    for cell in notebook.cells:
        old = stored.get(cell.id)
        if cell.cell_type == "code" and old is not None and (old.source == cell.source or "setup" in tags(cell)):
            cell.outputs, cell.execution_count = old.outputs, old.execution_count


def build(stem: str, *, run: bool = True) -> None:
    """Write everything that is built from one source. Without `run`, unchanged cells keep the outputs they have."""
    source, path = read_source(stem), HERE / f"{stem}.ipynb"
    student = with_code(source, stub)
    if run:
        execute(student)
    student = without_checks(student)
    if run:
        normalise(student)  # again, because the cells have new numbers without the checks
        if picture := result_picture(student):
            (COURSE / "pictures" / f"{stem}.png").write_bytes(picture[0])
            (COURSE / "pictures" / f"{stem}.txt").write_text(picture[1] + "\n", encoding="utf-8")
    else:
        keep_outputs(student, path)
    write(student, path)
    solution_path(stem).write_text(json.dumps(solutions(source), indent=1) + "\n", encoding="utf-8")


def build_solved(stem: str, folder: Path) -> None:
    """Run a notebook with its solutions and write it into `folder`."""
    solved = with_code(read_source(stem), solve)
    execute(solved)
    folder.mkdir(parents=True, exist_ok=True)
    write(solved, folder / f"{stem}.ipynb")


def build_checks(stem: str, folder: Path) -> None:
    """Write the stored notebook together with the cells that check it into `folder`."""
    notebook = with_code(read_source(stem), stub)
    keep_outputs(notebook, HERE / f"{stem}.ipynb")
    folder.mkdir(parents=True, exist_ok=True)
    write(notebook, folder / f"{stem}.ipynb")


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook as it is stored."""
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def solution_path(stem: str) -> Path:
    """The file of the package that holds the solutions of a notebook."""
    return COURSE / "solutions" / f"{stem[:2]}.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", help="two digits each; all notebooks by default")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--no-execute", action="store_true", help="keep the outputs of cells that have not changed")
    how.add_argument("--solutions", type=Path, metavar="DIR", help="build only the solved notebooks, into DIR")
    how.add_argument("--checks", type=Path, metavar="DIR", help="write the stored notebooks with their checks into DIR")
    arguments = parser.parse_args()
    for folder in (arguments.solutions, arguments.checks):
        if folder and folder.resolve() == HERE:
            parser.error("these notebooks would replace the students' ones; choose another folder")
    chosen = [stem for stem in stems() if not arguments.numbers or stem[:2] in arguments.numbers]
    if missing := set(arguments.numbers) - {stem[:2] for stem in chosen}:
        print(f"no notebook in {SOURCES} has the number {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    for stem in chosen:
        started = time.monotonic()
        try:
            if arguments.solutions:
                build_solved(stem, arguments.solutions)
            elif arguments.checks:
                build_checks(stem, arguments.checks)
                continue
            else:
                build(stem, run=not arguments.no_execute)
        except (CellExecutionError, ValueError) as error:
            print(f"{stem}: {error}", file=sys.stderr)
            return 1
        print(f"{stem}: {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
