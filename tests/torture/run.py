"""All of it, in at most half an hour on two idle cores: `make torture`. Writes results.md; 1 if anything failed.

python tests/torture/run.py [--kills 100] [--files 10000] [--times 200] [--share 1.0]
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import sys
from importlib import metadata

import fuzz
import kill
import load
from table import RESULTS, as_markdown, write_rows


def about() -> str:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "pillow", "safetensors")]
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return f"{datetime.date.today()}, commit {commit or 'unknown'}; {here}; {', '.join(versions)}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--files", type=int, default=10_000, help="that four processes colour together")
    parser.add_argument("--times", type=int, default=200, help="that a panel is started and paused")
    parser.add_argument("--share", type=float, default=1.0, help="of the broken files")
    flags = parser.parse_args()
    # In this order: processes are forked from this one, which must not have begun to compute before.
    rows = [*kill.run(flags.kills, seed=0), *load.run(flags.files, flags.times), *fuzz.run(flags.share, seed=0)]
    RESULTS.write_text(as_markdown(rows, about()), encoding="utf-8")
    return write_rows(rows)


if __name__ == "__main__":
    sys.exit(main())
