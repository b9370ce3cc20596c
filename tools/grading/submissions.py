"""Submitted notebooks: which notebook of the course each one is, and where its answers are. Runs no code of theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_BYTES = 50 * 2**20
# An exercise at the end of a notebook is checked by `exercises.NAME.check(answer)`, a task in its flow by
# `answer = exercises.NAME.use(answer, course_version)`.
CHECK = re.compile(r"(?:^|= )exercises\.(\w+)\.(?:check|use)\((.+?)(?:, [Cc]ourse\w+)?\)\s*$", re.MULTILINE)


class CannotGradeError(Exception):
    """A submission cannot be read, or it is not a notebook of the course."""


@dataclass(frozen=True)
class Cell:
    """A code or markdown cell of a notebook."""

    id: str
    tags: frozenset[str]
    source: str
    is_code: bool


@dataclass(frozen=True)
class Task:
    """An exercise as the course's notebook has it: its stub, and the expression that its check is called with."""

    exercise: str
    cell: str
    stub: str
    argument: str

    @property
    def names(self) -> list[str]:
        """The names that the answer defines."""
        return [name for name in re.findall(r"[A-Za-z_]\w*", self.argument) if binds(self.stub, name)]


@dataclass(frozen=True)
class Lesson:
    """A notebook of the course: its import cell, its exercises, and the cells that are the course's own."""

    stem: str
    title: str
    imports: str
    tasks: tuple[Task, ...]
    sources: frozenset[str]


def read_cells(path: Path) -> list[Cell]:
    """The cells of a notebook. Raises CannotGradeError if the file is not a notebook of format 4."""
    if path.is_symlink() or not path.is_file():
        raise CannotGradeError("expected a file, got a link or something else; copy the notebook itself into FOLDER")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise CannotGradeError(f"expected at most {MAX_FILE_BYTES:,} bytes, got {size:,}; clear the outputs")
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        version = notebook["nbformat"]
        if version == 4:
            return [_cell(cell) for cell in notebook["cells"] if cell["cell_type"] in ("code", "markdown")]
    except (ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise CannotGradeError(f"the file is not a notebook ({type(error).__name__}: {why})") from error
    raise CannotGradeError(f"expected a notebook of format 4, got {version}; save it again in a newer Jupyter")


def _cell(cell: dict) -> Cell:
    source, tags = cell["source"], cell.get("metadata", {}).get("tags", [])
    text = source if isinstance(source, str) else "".join(source)
    return Cell(str(cell.get("id", "")), frozenset(map(str, tags)), text, cell["cell_type"] == "code")


def read_course(folder: Path) -> list[Lesson]:
    """The course's own notebooks. Raises FileNotFoundError if the folder has none."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"expected the course's notebooks in {folder}, got none; give --course FOLDER")
    return [_lesson(path) for path in paths]


def _lesson(path: Path) -> Lesson:
    cells = read_cells(path)
    tagged = {tag: next((c.source for c in cells if tag in c.tags), "") for tag in ("title", "imports")}
    tasks, stub = [], cells[0]
    for cell in cells:
        if cell.tags & {"exercise", "task"}:
            stub = cell
        elif cell.tags & {"exercise-check", "task-check"}:
            tasks += [Task(name, stub.id, stub.source, argument) for name, argument in CHECK.findall(cell.source)]
    sources = frozenset(c.source.strip() for c in cells if not c.tags & {"exercise", "task"})
    return Lesson(path.stem, tagged["title"].split("\n")[0], tagged["imports"], tuple(tasks), sources)


def recognise(cells: Sequence[Cell], name: str, course: Sequence[Lesson]) -> Lesson:
    """The notebook of the course that these cells are from, whatever the file is called.

    Raises CannotGradeError if nothing of any notebook of the course is left in them.
    """
    text = "\n".join(cell.source for cell in cells)

    def marks(lesson: Lesson) -> int:
        start = (f'setup("{lesson.stem}")', f"notebook_{lesson.stem[:2]} as exercises", lesson.title)
        return sum(mark in text for mark in (*start, *(f"exercises.{task.exercise}." for task in lesson.tasks)))

    best = max(course, key=lambda lesson: (marks(lesson), lesson.stem[:2] in name))
    if not marks(best):
        raise CannotGradeError("this is not a notebook of the course, or nothing of the course is left in it")
    return best


def binds(code: str, name: str) -> bool:
    """Whether code seems to define a name at its top level. The code need not be valid Python."""
    word = re.escape(name)
    defined = rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{word}\b"
    assigned = rf"^(?![ \t])(?:[\w \t,*]*[ \t,*])?{word}[ \t]*(?:,[\w \t,*]*)?(?::[^=\n]*)?=(?!=)"
    return re.search(f"{defined}|{assigned}", code, re.MULTILINE) is not None


def answers(cells: Sequence[Cell], lesson: Lesson) -> dict[str, list[str] | None]:
    """The code of each exercise's answer, after the other answers that it uses; None if the cell is missing."""
    own = {task.exercise: _own_answer(cells, task, lesson) for task in lesson.tasks}
    return {name: code and _with_needed(name, own, lesson) for name, code in own.items()}


def _own_answer(cells: Sequence[Cell], task: Task, lesson: Lesson) -> list[str] | None:
    """The tagged cell that defines what the exercise asks for, and cells that were split off above it.

    A copied cell keeps its tag: the last one counts. Without tags (some editors drop them) the answer is the last cell
    that defines the name and is not the course's own; without the name, it is the cell that has the id of the stub.
    """

    def defines(cell: Cell) -> bool:
        return any(binds(cell.source, name) for name in task.names)

    tagged = [cell for cell in cells if cell.is_code and "exercise" in cell.tags]
    if found := [number for number, cell in enumerate(tagged) if defines(cell)]:
        first = found[-1]
        every = [name for other in lesson.tasks for name in other.names]
        others = {other.cell for other in lesson.tasks} - {task.cell}

        def split_off(cell: Cell) -> bool:
            return cell.id not in others and not any(binds(cell.source, name) for name in every)

        while first and split_off(tagged[first - 1]):
            first -= 1
        return [cell.source for cell in tagged[first : found[-1] + 1]]
    free = [cell for cell in cells if cell.is_code and not cell.tags and cell.source.strip() not in lesson.sources]
    if found_free := [cell.source for cell in free if defines(cell)]:
        return found_free[-1:]
    return [cell.source for cell in tagged if cell.id == task.cell][-1:] or None


def _with_needed(name: str, own: dict[str, list[str] | None], lesson: Lesson) -> list[str]:
    """An answer after the other answers that it names, each once, in the order of the notebook."""
    needed = [name]
    for exercise in needed:  # the list grows while it is read
        words = set(re.findall(r"\w+", "\n".join(own[exercise] or [])))
        needed += [task.exercise for task in lesson.tasks if words & {*task.names} and task.exercise not in needed]
    before = [task.exercise for task in lesson.tasks if task.exercise in needed[1:]]
    return list(dict.fromkeys(cell for exercise in [*before, name] for cell in own[exercise] or []))
