"""The glossary: terms written by hand in glossary.md, and those that only the notebooks' recaps explain."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

RECAP = re.compile(r"\*\*Glossary\.\*\*(?P<entries>.*?)(?=\n\n|\Z)", re.DOTALL)
ENTRY = re.compile(r"(?P<terms>\*\*[^*]+\*\*(?:, \*\*[^*]+\*\*)*): (?P<meaning>.*?)(?=\s\*\*|\Z)")


def recap(source: str) -> dict[tuple[str, ...], str]:
    """The entries of a recap's paragraph "Glossary.": terms of one meaning, and the meaning."""
    found = RECAP.search(source)
    if found is None:
        return {}
    text = " ".join(found["entries"].split())
    return {tuple(re.findall(r"\*\*([^*]+)\*\*", one["terms"])): one["meaning"] for one in ENTRY.finditer(text)}


def written(text: str) -> set[str]:
    """The terms of the glossary's own page, in lower case: the lines without indentation inside the directive."""
    inside = text.partition("```{glossary}")[2].partition("```")[0]
    lines = inside.splitlines()[1:]
    return {line.strip().lower() for line in lines if line.strip() and line[0] not in " :{"}


def from_recaps(notebooks: list[Path], page: Path) -> str:
    """The entries of all recaps that the page does not hold itself, each with the notebook that it comes from."""
    known, lines = written(page.read_text(encoding="utf-8")), []
    for path in notebooks:
        number = int(path.stem.partition("_")[0])
        for cell in nbformat.read(path, as_version=4).cells:
            for terms, meaning in recap(cell.source).items() if cell.cell_type == "markdown" else ():
                new = [term for term in terms if term.lower() not in known]
                known |= {term.lower() for term in terms}
                if new:
                    lines += [*new, f"  {_sentence(meaning)} [Notebook {number}](notebooks/{path.name}).", ""]
    return "\n".join(lines)


def _sentence(meaning: str) -> str:
    """With a capital and a full stop."""
    return f"{meaning[0].upper()}{meaning[1:].rstrip('.')}."
