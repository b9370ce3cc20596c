"""Submitted notebooks: which notebook of the course each is, and where its answers are. Nothing here runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from colorlib.errors import ColorlibError

MAX_FILE_BYTES = 50 * 2**20
CHECK = re.compile(r"^exercises\.(\w+)\.check\((.+)\)\s*$", re.MULTILINE)


class CannotGradeError(ColorlibError):
    """A submission is not a notebook of the course, or cannot be read."""


@dataclass(frozen=True)
class Task:
    """An exercise as the course's notebook has it: its stub, and what its check is called with."""

    exercise: str
    cell: str
    stub: str
    argument: str

    @property
    def names(self) -> list[str]:
        """What the answer defines."""
        return [name for name in re.findall(r"[A-Za-z_]\w*", self.argument) if binds(self.stub, name)]


@dataclass(frozen=True)
class Lesson:
    """A notebook of the course: what its answers need, and what it is recognised by."""

    stem: str
    title: str
    imports: str
    tasks: tuple[Task, ...]
    sources: frozenset[str]


@dataclass(frozen=True)
class Cell:
    """A code or markdown cell of a notebook."""

    id: str
    tags: frozenset[str]
    source: str
    is_code: bool


def read_cells(path: Path) -> list[Cell]:
    """The cells of a notebook. Raises CannotGradeError for what is none."""
    if path.is_symlink() or not path.is_file():
        raise CannotGradeError("expected a file, got a link or something else; copy the notebook itself into FOLDER")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise CannotGradeError(f"expected at most {MAX_FILE_BYTES:,} bytes, got {size:,}; clear the outputs")
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if notebook["nbformat"] != 4:
            raise CannotGradeError(f"expected a notebook of format 4, got {notebook['nbformat']}; save it anew")
        return [_cell(cell) for cell in notebook["cells"] if cell["cell_type"] in ("code", "markdown")]
    except CannotGradeError:
        raise
    except (ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise CannotGradeError(
            f"expected a notebook, got a file that is none ({type(error).__name__}: {why})"
        ) from error


def _cell(cell: dict) -> Cell:
    source, tags = cell["source"], cell.get("metadata", {}).get("tags", [])
    return Cell(
        str(cell.get("id", "")),
        frozenset(map(str, tags)),
        source if isinstance(source, str) else "".join(source),
        cell["cell_type"] == "code",
    )


def read_course(folder: Path) -> list[Lesson]:
    """The notebooks that submissions are held against. Raises FileNotFoundError where there are none."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"expected the course's notebooks in {folder}, got none; give --course FOLDER")
    return [_lesson(path) for path in paths]


def _lesson(path: Path) -> Lesson:
    cells = read_cells(path)
    tagged = {tag: next((c.source for c in cells if tag in c.tags), "") for tag in ("title", "imports")}
    tasks, stub = [], cells[0]
    for cell in cells:
        if "exercise" in cell.tags:
            stub = cell
        elif "exercise-check" in cell.tags:
            tasks += [Task(name, stub.id, stub.source, argument) for name, argument in CHECK.findall(cell.source)]
    sources = frozenset(c.source.strip() for c in cells if "exercise" not in c.tags)
    return Lesson(path.stem, tagged["title"].split("\n")[0], tagged["imports"], tuple(tasks), sources)


def recognise(cells: Sequence[Cell], name: str, course: Sequence[Lesson]) -> Lesson:
    """Which notebook of the course this is, whatever its file is called. Raises CannotGradeError if it is none."""
    text = "\n".join(cell.source for cell in cells)

    def marks(lesson: Lesson) -> int:
        strong = (f'setup("{lesson.stem}")', f"notebook_{lesson.stem[:2]} as exercises", lesson.title)
        weak = [f"exercises.{task.exercise}." for task in lesson.tasks]
        return 3 * sum(bool(mark) and mark in text for mark in strong) + sum(mark in text for mark in weak)

    best = max(course, key=lambda lesson: (marks(lesson), lesson.stem[:2] in name))
    if not marks(best):
        raise CannotGradeError("expected a notebook of the course, got one in which nothing of any is left")
    return best


def binds(code: str, name: str) -> bool:
    """Whether code gives a name a value at its top level, by its looks: it may be no Python."""
    word = re.escape(name)
    defined = rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{word}\b"
    assigned = rf"^(?![ \t])(?:[\w \t,*]*[ \t,*])?{word}[ \t]*(?:,[\w \t,*]*)?(?::[^=\n]*)?=(?!=)"
    return re.search(f"{defined}|{assigned}", code, re.MULTILINE) is not None


def answers(cells: Sequence[Cell], lesson: Lesson) -> dict[str, list[str] | None]:
    """The code of each exercise's answer behind the other answers that it uses; None where the cell is missing."""
    own = {task.exercise: _own_answer(cells, task, lesson) for task in lesson.tasks}
    return {name: code and _with_needed(name, own, lesson) for name, code in own.items()}


def _own_answer(cells: Sequence[Cell], task: Task, lesson: Lesson) -> list[str] | None:
    """The tagged cell that defines what the exercise asks for, and what was split off above it.

    A copied cell keeps its tag: the last one counts. Without tags (some editors drop them) any cell that defines the
    name and is not the course's own will do; with another name, the cell that has the id of the stub.
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
    """An answer behind the other answers that it speaks of, each once, in the order of the notebook."""
    needed, waiting = {name}, [name]
    while waiting:
        text = "\n".join(own[waiting.pop()] or [])
        for task in lesson.tasks:
            used = any(re.search(rf"\b{re.escape(word)}\b", text) for word in task.names)
            if used and task.exercise not in needed and own[task.exercise]:
                needed.add(task.exercise)
                waiting.append(task.exercise)
    before = [task.exercise for task in lesson.tasks if task.exercise in needed - {name}]
    parts = [cell for exercise in [*before, name] for cell in own[exercise] or []]
    return list(dict.fromkeys(parts))
