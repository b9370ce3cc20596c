"""Pages made of measured files: results of the weights, and speed. Where nothing was measured, they say so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from colorlib.commands import HEADINGS

NOT_MEASURED = "Not measured in this copy of the course."


# --- results of weights ----------------------------------------------------------------------------------------------


def results(root: Path) -> str:
    """The tables of results/*.csv, as `colorlib evaluate --csv` writes them, and the pictures beside them."""
    folder = root / "results"
    tables = [table for path in sorted(folder.glob("*.csv")) for table in (f"## {title(path)}", evaluation(path))]
    return "\n\n".join([*tables, *pictures(folder)] or [NOT_MEASURED])


def title(path: Path) -> str:
    """What was measured, by the file's name SET-SPLIT.csv."""
    name, _, split = path.stem.rpartition("-")
    return f"{name.replace('_', ' ')}, {split} split" if name else path.stem.replace("_", " ")


def evaluation(path: Path) -> str:
    """A table, a metric a line and a model a column, and where the full numbers are. Raises ValueError for another."""
    table = pd.read_csv(path, index_col=0)
    shown = [name for name in HEADINGS if name in table and not table[name].isna().all()]
    if "n" not in table or not shown:
        raise ValueError(f"expected a table as `colorlib evaluate --csv` writes it, got {path}")
    rows = [[HEADINGS[name][0], *(_number(value, HEADINGS[name][1]) for value in table[name])] for name in shown]
    n = " to ".join(f"{n:,}" for n in sorted(set(table["n"])))
    full = f"{n} images. In full precision: {{download}}`{path.name} <results/{path.name}>`."
    return f"{markdown(['', *map(str, table.index)], rows)}\n\n{full}"


def _number(value: float, form: str) -> str:
    return "not measured" if math.isnan(value) else f"{value:{form}}"


def pictures(folder: Path) -> list[str]:
    """The pictures that pictures.json names, with alt text and caption. Raises ValueError if one lacks either."""
    index = folder / "pictures.json"
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    figures = []
    for name, about in entries.items():
        if not (folder / name).exists() or not about.get("alt") or not about.get("caption"):
            raise ValueError(f"expected the picture {name} with alt and caption in {index}, got {about}")
        figures.append(f":::{{figure}} results/{name}\n:alt: {about['alt']}\n\n{about['caption']}\n:::")
    return figures


# --- speed -----------------------------------------------------------------------------------------------------------


def speed(root: Path) -> str:
    """Each file of benchmarks/results: its plain entries as a list, its tables as tables."""
    parts = []
    for path in sorted((root / "benchmarks" / "results").glob("*.json")):
        parts += [f"## {path.stem.replace('_', ' ')}", *_benchmark(json.loads(path.read_text(encoding="utf-8")))]
    return "\n\n".join(parts or [NOT_MEASURED])


def _benchmark(content: Any) -> list[str]:
    """Markdown of a benchmark: a list of rows, or an object of facts and of such lists."""
    if isinstance(content, list):
        return [_rows(content)]
    facts = {name: value for name, value in content.items() if not isinstance(value, dict | list)}
    groups = {name: value for name, value in content.items() if isinstance(value, dict | list) and value}
    parts = [markdown(["", ""], [[name, _plain(value)] for name, value in facts.items()])] if facts else []
    for name, group in groups.items():
        parts += [f"### {name.replace('_', ' ')}", *_benchmark(group)]
    return parts


def _rows(rows: list[Any]) -> str:
    """A table of objects, its columns in the order in which they first come; other lists as one line."""
    if not all(isinstance(row, dict) for row in rows):
        return ", ".join(map(_plain, rows))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return markdown(
        [name.replace("_", " ") for name in columns], [[_plain(row.get(c)) for c in columns] for row in rows]
    )


def _plain(value: Any) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table in markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
