"""Are the stored notebooks what their text says? `python notebooks/check.py`: one line a problem, exit status 1."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import build
import nbformat
from nbformat import NotebookNode

MAX_BYTES = 2**20
MAX_LINES = 40
MAX_COLUMNS = 100
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\([^)\s]+\)")
CHECKED = "nbval-check-output"


def problems(stem: str) -> list[str]:
    """The problems of a notebook. Each is a line that says where it is."""
    try:
        source = build.read_source(stem)
        expected = build.without_checks(build.with_code(source, build.stub))
    except ValueError as error:
        return [f"notebooks/src/{stem}.py: {error}"]
    path = build.HERE / f"{stem}.ipynb"
    found = [f"notebooks/src/{stem}.py: {problem}" for problem in _in_source(source)]
    found += [f"notebooks/{path.name}: {problem}" for problem in _in_stored(expected, path)]
    return found + _in_solutions(source, build.solution_path(stem))


def _in_source(source: NotebookNode) -> Iterator[str]:
    """Problems of the text itself."""
    for tag in ("title", "setup", "config", "imports", "result"):
        count = sum(tag in build.tags(cell) for cell in source.cells)
        if count != 1:
            yield f"expected one cell tagged {tag}, got {count}"
    for number, cell in enumerate(source.cells):
        lines = cell.source.split("\n")
        if len(lines) > MAX_LINES:
            yield f"{_where(number, cell)} has {len(lines)} lines, expected at most {MAX_LINES}"
        wide = [line for line in lines if cell.cell_type == "code" and len(line) > MAX_COLUMNS]
        if wide:
            yield f"{_where(number, cell)} has a line of {len(wide[0])} characters, expected at most {MAX_COLUMNS}"
        if cell.cell_type == "markdown":
            yield from _in_prose(number, cell)
    if not any(CHECKED in build.tags(cell) for cell in source.cells):
        yield f"expected cells tagged {CHECKED}, got none"


def _in_prose(number: int, cell: NotebookNode) -> Iterator[str]:
    for target in LINK.findall(cell.source):
        file = target.partition("#")[0]
        if file and not re.match(r"[a-z]+:", file) and file.removesuffix(".ipynb") not in build.stems():
            yield f"{_where(number, cell)} links to {target}, which is not there"
    if any(not alt.strip() for alt in IMAGE.findall(cell.source)):
        yield f"{_where(number, cell)} has an image without alt text"


def _in_stored(expected: NotebookNode, path: Path) -> Iterator[str]:
    """Differences between the source and the stored notebook, and problems of its outputs."""
    again = f"run: python notebooks/build.py {path.stem[:2]}"
    if not path.is_file():
        yield f"is not there; {again}"
        return
    size = path.stat().st_size
    if size > MAX_BYTES:
        yield f"has {size:,} bytes, expected at most {MAX_BYTES:,}: smaller or fewer figures"
    stored = nbformat.read(path, 4)
    if drift := _drift(expected, stored):
        yield f"{drift}; {again}"
        return
    if nbformat.writes(stored) != nbformat.writes(_normalised(stored)):
        yield f"is not normalised; {again}"
    for number, cell in enumerate(stored.cells):
        yield from (f"{_where(number, cell)} {problem}" for problem in _in_outputs(cell))
    shown = [picture for cell in stored.cells if "setup" in build.tags(cell) for picture in build.pictures(cell)]
    if shown != [build.result_picture(stored)]:
        yield f"shows another picture under the setup cell than its result; {again}"


def _drift(expected: NotebookNode, stored: NotebookNode) -> str | None:
    """The first cell in which a stored notebook differs from its source."""
    for number, (cell, other) in enumerate(zip(expected.cells, stored.cells, strict=False)):
        for what in ("cell_type", "source", "id"):
            if cell[what] != other.get(what):
                return f"{_where(number, other)} differs from its source in {what}"
        if build.tags(cell) != build.tags(other):
            return f"{_where(number, other)} differs from its source in its tags"
    if len(expected.cells) != len(stored.cells):
        return f"expected {len(expected.cells)} cells as in the source, got {len(stored.cells)}"
    return None


def _normalised(stored: NotebookNode) -> NotebookNode:
    return build.normalise(nbformat.from_dict(json.loads(nbformat.writes(stored))))


def _in_outputs(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type != "code":
        return
    if cell.execution_count is None:
        yield "was not run"
    if CHECKED in build.tags(cell) and not any(output.output_type == "stream" for output in cell.outputs):
        yield "is checked, and has no stored output"
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in build.tags(cell):
            yield f"raised {output.ename}"
        if output.get("name") == "stderr":
            yield f"wrote to stderr: {output.text.strip()[:80]!r}"
        if "\r" in output.get("text", ""):
            yield "left a progress bar behind"
    for png, alt in build.pictures(cell):
        if not alt.strip():
            yield "has a figure without alt text"
        if not png.startswith(b"\x89PNG"):
            yield "has a figure that is no PNG"
    if "result" in build.tags(cell) and not list(build.pictures(cell)):
        yield "is tagged result, and has no figure"


def _in_solutions(source: NotebookNode, path: Path) -> list[str]:
    name = path.relative_to(build.HERE.parent).as_posix()
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if stored != build.solutions(source):
        return [f"{name}: differs from the exercises in the source; run: python notebooks/build.py {path.stem}"]
    return []


def _where(number: int, cell: NotebookNode) -> str:
    first = next((line for line in cell.source.split("\n") if line.strip()), "")
    return f"cell {number} ({first[:50]!r})"


def strays() -> list[str]:
    """Stored notebooks without a source."""
    paths = sorted(build.HERE.glob("*.ipynb"))
    return [
        f"notebooks/{path.name}: has no source in notebooks/src" for path in paths if path.stem not in build.stems()
    ]


def main() -> int:
    found = strays() + [problem for stem in build.stems() for problem in problems(stem)]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
