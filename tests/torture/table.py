"""The rows of `results.md`: what was tried, how often, and what went wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")
HEAD = """# Hard use

Written by `make torture`. Each line is what was tried and how often; *lost* counts what did not hold.

"""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    part: str
    what: str
    count: int
    wrong: tuple[str, ...]
    note: str = ""
    minutes: float = 0.0


def minutes(since: float) -> float:
    return (time.monotonic() - since) / 60


def as_markdown(rows: list[Row], about: str) -> str:
    """The whole page; `about` says when, where and with which versions it was run."""
    lines = ["| part | what | tried | lost | minutes | |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.part} | {row.what} | {row.count:,} | {len(row.wrong)} | {row.minutes:.1f} | {row.note} |"
        for row in rows
    ]
    return HEAD + about + "\n\n" + "\n".join(lines) + "\n"


def write_rows(rows: list[Row]) -> int:
    """Print the rows and what went wrong; 1 if anything did."""
    for row in rows:
        print(f"{row.part}: {row.what}: {row.count:,} tried, {len(row.wrong)} lost, {row.minutes:.1f} min; {row.note}")
        for wrong in row.wrong:
            print(f"    WRONG {wrong}")
    return int(any(row.wrong for row in rows))
