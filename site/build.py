"""Build the website: `python site/build.py [--out FOLDER]`. Works offline; a warning is an error.

The pages in site/ are put beside the stored notebooks in FOLDER/source, what is made of measurements, of notebooks and
of docstrings is filled in, and Sphinx makes FOLDER/html of it. Nothing is trained or run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import staging
from sphinx.cmd.build import build_main

SITE = Path(__file__).resolve().parent
ROOT = SITE.parent


def build(out: Path, root: Path = ROOT) -> int:
    """Make `out`/html of the repository `root` and return Sphinx's exit status."""
    source, html, app = out / "source", out / "html", root / "site" / "app" / "dist"
    for folder in (source, html):
        shutil.rmtree(folder, ignore_errors=True)
    staging.stage(root, source)
    options = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-D", f"html_static_path={source / '_static'}"]
    status = build_main([*options, "-c", str(SITE), "-d", str(out / "doctrees"), str(source), str(html)])
    if not status and app.is_dir():
        shutil.copytree(app, html / "app")
    return status


def main(arguments: list[str] | None = None) -> int:
    """Build, and say where the site is."""
    parser = argparse.ArgumentParser(description="Build the website; offline, warnings are errors.")
    parser.add_argument("--out", type=Path, default=SITE / "_build", help="the folder for source and html")
    out = parser.parse_args(arguments).out.resolve()
    try:
        status = build(out)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not status:
        print(f"the site is in {out / 'html'}: open index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
