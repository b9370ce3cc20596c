"""Pages made of measured files: results of the weights, and speed. Where nothing was measured, they say so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from colorlib.evaluation import HEADINGS

RUN_COLUMNS = {"psnr": "PSNR, dB", "ciede2000": "CIEDE2000", "chroma_ratio": "chroma ratio", "start": "started from",
               "batch_size": "batch", "adversarial_share": "adversary's share"}  # fmt: skip

WEIGHTS = "experiments/shipped_weights"  # the folder of the tables and pictures, in the repository and on the site
NOT_MEASURED = "Not measured in this copy of the course."


# --- results of weights ----------------------------------------------------------------------------------------------


def results(root: Path) -> str:
    """The tables that `tools/results.py` measured, its picture, and the training runs that led to the weights."""
    folder = root / WEIGHTS
    tables = [table for path in sorted(folder.glob("*-*.csv")) for table in (f"## {title(path)}", evaluation(path))]
    return "\n\n".join([*tables, *pictures(folder), *candidates(folder / "candidates.csv")] or [NOT_MEASURED])


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
    rows = [[str(HEADINGS[name]), *(_number(value, HEADINGS[name].form) for value in table[name])] for name in shown]
    n = " to ".join(f"{n:,}" for n in sorted(set(table["n"])))
    full = f"{n} images. In full precision: {{download}}`{path.name} <{WEIGHTS}/{path.name}>`."
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
        figures.append(f":::{{figure}} {WEIGHTS}/{name}\n:alt: {about['alt']}\n\n{about['caption']}\n:::")
    return figures


def candidates(path: Path) -> list[str]:
    """The training runs that led to the weights: their history, and a table for each set they were compared on."""
    if not path.exists():
        return []
    parts = [path.with_name("history.md").read_text(encoding="utf-8")]
    for name, rows in pd.read_csv(path).groupby("set", sort=False):
        table = rows.drop(columns=["set", "n"]).rename(columns=RUN_COLUMNS)
        cells = [["" if value != value else _plain(value) for value in row] for row in table.itertuples(index=False)]
        n = int(rows["n"].iloc[0])
        parts += [f"### {name}, {n} validation images", markdown(list(table.columns), cells)]
    return parts


# --- speed -----------------------------------------------------------------------------------------------------------


def speed(root: Path) -> str:
    """A section for each machine in benchmarks/results: its facts, and a table for each part that was measured."""
    machines = benchmarks(root)
    parts = [text for name, content in machines.items() for text in _machine(name, content)]
    if machines and not any("GPU" in content["machine"] for content in machines.values()):
        parts += ["## A GPU", f"{NOT_MEASURED} `make gpu` does it."]
    return "\n\n".join(parts or [NOT_MEASURED])


def benchmarks(root: Path) -> dict[str, Any]:
    """What `python -m benchmarks` wrote, a machine a file. Raises ValueError for a file of another kind."""
    found = {}
    for path in sorted((root / "benchmarks" / "results").glob("*.json")):
        found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found[path.stem], dict) or not {"machine", "parts"} <= found[path.stem].keys():
            raise ValueError(f"expected a file as `python -m benchmarks` writes it, got {path}")
    return found


def called(name: str, facts: dict[str, str]) -> str:
    """A machine's name: its card, or its processor and what that can do; two of one name may differ in it."""
    processor = ", ".join(facts[fact] for fact in ("processor", "instructions") if fact in facts)
    return facts.get("GPU", processor or name)


def _machine(name: str, content: dict[str, Any]) -> list[str]:
    facts = content["machine"]
    texts = [f"## {called(name, facts)}", markdown(["", ""], list(facts.items()))]
    for title, part in content["parts"].items():
        texts += [f"### {title}", *(_part(part) if part else [NOT_MEASURED])]
    return texts


def _part(part: dict[str, Any]) -> list[str]:
    """What it is, the table, the picture if there is one, and when it was measured."""
    columns = list(dict.fromkeys(column for row in part["rows"] for column in row if column not in IN_THE_RATIO))
    cells = [[_figure(row, column) for column in columns] for row in part["rows"]]
    texts = [part["about"], markdown(columns, cells)]
    if picture := part.get("picture"):
        texts.append(f":::{{figure}} benchmarks/{picture['file']}\n:alt: {picture['alt']}\n\n{picture['caption']}\n:::")
    return [*texts, f"Measured: {part['measured']}."]


# Columns that stand behind the ratio on the page, in brackets.
IN_THE_RATIO = ("lowest and highest", "rounds")


def _figure(row: dict[str, Any], column: str) -> str:
    """A cell: shares in per cent, other numbers to three digits, a ratio with its spread."""
    value = row.get(column, "")
    if not isinstance(value, float):
        return _plain(value)
    text = f"{value:.2%}" if "share" in column else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    spread, rounds = (row.get(name) for name in IN_THE_RATIO)
    return f"{text} ({spread} in {rounds} rounds)" if column == "ratio" and spread else text


# The pictures of ImageNet's training set (Russakovsky et al. 2015, table 2), and a number of passes over them.
IMAGENET, PASSES = 1_281_167, 20


def imagenet(root: Path) -> str:
    """Hours for passes over ImageNet at 256 px, from the fastest pix2pix step that was measured on each machine."""
    rows = []
    for name, content in benchmarks(root).items():
        part = content["parts"].get("Training step, pix2pix")
        rates = [(row.get("ours, images/s"), row["what"]) for row in (part or {"rows": []})["rows"]]
        rates = [rate for rate in rates if isinstance(rate[0], float)]
        if rates:
            rate, what = max(rates)
            days = PASSES * IMAGENET / rate / 86400
            rows.append(
                [
                    called(name, content["machine"]),
                    what,
                    f"{rate:,.3g}",
                    f"{IMAGENET / rate / 3600:,.3g}",
                    f"{days:,.3g}",
                ]
            )
    head = ["machine", "step", "images/s, measured", "hours a pass", f"days for {PASSES} passes"]
    return markdown(head, rows) if rows else NOT_MEASURED


def _plain(value: Any) -> str:
    if value is None:
        return "not measured"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table in markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
