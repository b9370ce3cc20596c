"""A zip to hand out: `python tools/handout.py [--with-solutions] [--out DIR]` (make handout).

It holds the notebooks with their exercises unsolved, the course's wheel, the notes on data, environment.yml, and a page
that says how to start. Solutions are nowhere in it: `exercise.solution()` then says that they were left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

from build_wheel import ROOT, BuildError, build_wheel

TOP = "colorization-course"
FILES = ("environment.yml", "data/README.md", "LICENSE")
START_HERE = """\
Colorization with conditional GANs
==================================

You need Python 3.10 to 3.13. In this folder:

  Linux and macOS
    python3 -m venv .venv
    source .venv/bin/activate
    python -m pip install "wheels/{wheel}[notebooks]"

  Windows, in PowerShell
    py -3.12 -m venv .venv; .venv\\Scripts\\Activate.ps1
    python -m pip install "wheels/{wheel}[notebooks]"

  conda
    conda env create -f environment.yml
    conda activate colorlib-course
    python -m pip install --no-deps wheels/{wheel}

This takes a few minutes and 6 GB: PyTorch is large. Then

    python -m jupyter lab notebooks/00_start_here.ipynb

and run the cells from the top. No GPU is needed.

Exercises are at the end of each notebook (in 13 all the way through). Write your answer into the cell with the dots,
with everything it needs in that cell; the cell below it checks it, and gives hints. You may use what the notebook's
import cell has. Hand in the notebook file itself.
"""


def make_handout(folder: Path, *, solutions: bool = False) -> Path:
    """Write the zip into `folder`. Raises BuildError, or FileNotFoundError for a notebook that was never built."""
    stems = sorted(path.stem for path in (ROOT / "notebooks" / "src").glob("*.py"))
    notebooks = [ROOT / "notebooks" / f"{stem}.ipynb" for stem in stems]
    if missing := [path.stem for path in notebooks if not path.is_file()]:
        raise FileNotFoundError(f"expected stored notebooks, got none of {', '.join(missing)}; run: make notebooks")
    with tempfile.TemporaryDirectory() as name:
        wheel = build_wheel(Path(name), solutions=solutions)
        version = wheel.name.split("-")[1]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{TOP}-{version}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{TOP}/START_HERE.txt", START_HERE.format(wheel=wheel.name))
            archive.write(wheel, f"{TOP}/wheels/{wheel.name}")
            for notebook in notebooks:
                archive.write(notebook, f"{TOP}/notebooks/{notebook.name}")
            for file in FILES:
                archive.write(ROOT / file, f"{TOP}/{file}")
    return path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the zip goes (default: dist)")
    parser.add_argument("--with-solutions", action="store_true", help="leave .solution() as it is in the course")
    asked = parser.parse_args(arguments)
    try:
        path = make_handout(asked.out, solutions=asked.with_solutions)
    except (BuildError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    kept = "with solutions" if asked.with_solutions else "without solutions"
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
