"""Puts together what Sphinx reads: the pages of site/, the stored notebooks, and what is made of other files.

A page says `{{name}}` where something of PARTS goes. So each title, number and definition is written once, in the
notebook, the measurement or the docstring that it belongs to.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

SITE = Path(__file__).resolve().parent
sys.path[:0] = [str(SITE), str(SITE.parent / "notebooks"), str(SITE.parent)]

import address  # noqa: E402
import glossary  # noqa: E402
import measured  # noqa: E402
import reference  # noqa: E402

MARK = re.compile(r"\{\{(\w+)\}\}")
MATHJAX = "mathjax/tex-svg-full.js"
STORED = "stored"  # the folder of the notebooks to download, which are without solutions
# Files of the repository that are pages of the site, and their names there.
PAGES = {
    "colorlib/weights/README.md": "model_card.md",
    "colorlib/weights/CREDITS.md": "credits.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
}


def stage(root: Path, target: Path) -> None:
    """Fill `target` with everything that Sphinx needs of the repository `root`. Raises ValueError for what is wrong."""
    (target / "notebooks").mkdir(parents=True)
    (target / STORED).mkdir()
    for page in sorted((root / "site").glob("*.md")):
        (target / page.name).write_text(fill(page.read_text(encoding="utf-8"), root), encoding="utf-8")
    for name, page in PAGES.items():
        if name != "README.md":
            text = relink((root / name).read_text(encoding="utf-8"), Path(name).parent, root)
            (target / page).write_text(text, encoding="utf-8")
    for path in notebooks(root):
        page = for_the_site(nbformat.read(path, as_version=4), path.stem, root)
        nbformat.write(page, target / "notebooks" / path.name)
        shutil.copy(path, target / STORED)
    reference.write(target / "api")
    shutil.copy(root / "site" / "scenes.png", target)
    if (root / measured.WEIGHTS).is_dir():
        no_pages = shutil.ignore_patterns("*.md")
        shutil.copytree(root / measured.WEIGHTS, target / measured.WEIGHTS, ignore=no_pages)
    for plot in sorted((root / "benchmarks" / "results").glob("*.png")):
        (target / "benchmarks").mkdir(exist_ok=True)
        shutil.copy(plot, target / "benchmarks")
    shutil.copytree(root / "site" / "_static", target / "_static")
    (target / "_static" / MATHJAX).parent.mkdir()
    shutil.copy(mathjax(), target / "_static" / MATHJAX)


def mathjax() -> Path:
    """The one file that draws formulas, out of an installed package: nothing is fetched when a page opens."""
    package = "sphinx-mathjax-offline"
    try:
        files = importlib.metadata.files(package) or []
        return next(Path(str(file.locate())) for file in files if file.as_posix().endswith(MATHJAX))
    except (importlib.metadata.PackageNotFoundError, StopIteration):
        raise ValueError(f'expected the package {package}, got none; try: pip install -e ".[site]"') from None


# --- what pages are filled with ------------------------------------------------------------------------------------


def fill(text: str, root: Path) -> str:
    """A page with each `{{name}}` replaced. Raises ValueError for a name that is not in PARTS."""

    def part(found: re.Match[str]) -> str:
        if found[1] not in PARTS:
            raise ValueError(f"expected one of {', '.join(sorted(PARTS))} in double braces, got {found[1]!r}")
        return PARTS[found[1]](root)

    return MARK.sub(part, text)


def notebooks(root: Path) -> list[Path]:
    """The stored notebooks, in order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def course(root: Path) -> str:
    """The path through the course: each notebook's title, and what it promises, in its own words."""
    lines = []
    for path in notebooks(root):
        title, promise = headline(nbformat.read(path, as_version=4), path.name)
        lines += [f"[{title}](notebooks/{path.name})", f": {promise}", ""]
    return "\n".join(lines)


def headline(notebook: NotebookNode, name: str) -> tuple[str, str]:
    """Title and promise of a notebook, out of its first cell. Raises ValueError if they are not there."""
    paragraphs = [" ".join(text.split()) for text in notebook.cells[0].source.split("\n\n")]
    promises = [text for text in paragraphs if text.startswith(PROMISE)]
    if not paragraphs[0].startswith("# ") or len(promises) != 1:
        raise ValueError(f"expected a title and one paragraph '{PROMISE}...' in the first cell of {name}")
    return paragraphs[0].removeprefix("# "), promises[0].removeprefix(PROMISE)


PROMISE = "At the end you will "


def app(root: Path) -> str:
    """The way to the page that colours photographs in the browser, where it was built."""
    if not (root / "site" / "app" / "dist").is_dir():
        return "Not built in this copy of the site: `site/app` says how."
    return '<a class="start-button" href="app/index.html">Colour a photograph in this browser</a>'


def colab(root: Path) -> str:
    """The first notebook on Colab and Kaggle, as soon as the course has an address."""
    return address.badges(address.FIRST, address.repository(root))


def for_teachers(root: Path) -> str:
    """The line of the table of contents for the teachers' page, where it is written."""
    return "teachers" if (root / "site" / "teachers.md").exists() else ""


PARTS: dict[str, Callable[[Path], str]] = {
    "app": app,
    "colab": colab,
    "course": course,
    "for_teachers": for_teachers,
    "imagenet": measured.imagenet,
    "recaps": lambda root: glossary.from_recaps(notebooks(root), root / "site" / "glossary.md"),
    "results": measured.results,
    "speed": measured.speed,
}


# --- notebooks and other files ---------------------------------------------------------------------------------------


def for_the_site(notebook: NotebookNode, stem: str, root: Path) -> NotebookNode:
    """A notebook as a page: links of the site, the setup cell folded, and a folded solution below each check."""
    repository = address.repository(root)
    stored = root / "colorlib" / "course" / "solutions" / f"{stem[:2]}.json"
    solutions = json.loads(stored.read_text(encoding="utf-8"))
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cells.append(cell)
        if "title" in tags:
            cell.source = cell.source.replace(address.badges(stem, repository), badges(stem, repository))
        if {"setup", "course-version"} & set(tags):
            cell.metadata["tags"] = [*tags, "hide-input"]
        if "exercise-check" in tags:
            cells += [folded(code) for name, code in solutions.items() if f"exercises.{name}.check(" in cell.source]
    notebook.cells = cells
    return notebook


def folded(code: str) -> NotebookNode:
    """A cell with the solution of an exercise. Readers open it with a click."""
    prompts = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}
    return nbformat.v4.new_code_cell(code, metadata={"tags": ["hide-input"], "mystnb": prompts})


def badges(stem: str, repository: str | None) -> str:
    """The links below a title on the site: where the notebook runs, and the file itself."""
    download = f"{{download}}`Download the notebook <../{STORED}/{stem}.ipynb>`"
    if repository is None:
        return f"{download}, and run it with `make lab`"
    others = [text for text in address.badges(stem, repository).split(" · ") if "on the site" not in text]
    return " · ".join([*others, download])


LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#:]+)\)")


def relink(text: str, folder: Path, root: Path) -> str:
    """A text of the repository's `folder`, its links led to pages of the site, or, for other files, to the repository.

    Without an address of the repository such a link becomes its text.
    """
    repository = address.repository(root)

    def lead(found: re.Match[str]) -> str:
        name = Path(os.path.normpath(folder / found["target"])).as_posix()
        if found["picture"] or name.startswith("notebooks/"):
            return f"{found['picture']}[{found['text']}]({Path(name).name if found['picture'] else name})"
        if name in PAGES:
            return f"[{found['text']}]({PAGES[name]})"
        if repository is None:
            return found["text"]
        return f"[{found['text']}]({address.GITHUB}{repository}/blob/{address.BRANCH}/{name})"

    return LINK.sub(lead, text)
