"""Set the repository's public address, in one place: `python notebooks/address.py [owner/name]`.

The address is kept in pyproject.toml, under [project.urls]. The badges and the setup cell of every notebook and the
links of the README are written from it; without an argument they are written again. As long as no address is set, they
say so, and nothing links to an address that may belong to somebody else.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
GITHUB = "https://github.com/"
BRANCH = "main"
FIRST = "00_start_here"
HOW_TO_SET = "`make address REPO=owner/name`"
# GitHub's rules: an owner has letters, digits and single hyphens; a repository dots and underscores too.
OWNER_AND_NAME = re.compile(r"(?P<owner>[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38})/(?P<name>[A-Za-z0-9._-]{1,100})")


# --- the address -------------------------------------------------------------------------------------------------


def repository(root: Path = ROOT) -> str | None:
    """The address as "owner/name", or None if it is not set. Raises ValueError if it is not an address on GitHub."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    url = project.get("urls", {}).get("Repository")
    if url is None:
        return None
    if not url.startswith(GITHUB):
        raise ValueError(f"expected a Repository at {GITHUB} in pyproject.toml, got {url!r}; set it with {HOW_TO_SET}")
    return check(url.removeprefix(GITHUB).removesuffix(".git").rstrip("/"))


def check(repository: str) -> str:
    """`repository` itself. Raises ValueError unless it is "owner/name" as GitHub allows it."""
    matched = OWNER_AND_NAME.fullmatch(repository)
    if not matched or matched["name"] in (".", "..") or matched["name"].endswith(".git"):
        raise ValueError(f"expected the address as owner/name, got {repository!r}; try {HOW_TO_SET}")
    return repository


def set_repository(repository: str, root: Path = ROOT) -> None:
    """Write the address into pyproject.toml and change nothing else. Raises ValueError for an invalid address."""
    path, url = root / "pyproject.toml", GITHUB + check(repository)
    before = path.read_text(encoding="utf-8")
    after = _with_url(before.splitlines(), f'Repository = "{url}"')
    wanted = tomllib.loads(before)
    wanted["project"].setdefault("urls", {})["Repository"] = url
    try:
        written_well = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        written_well = False
    if not written_well:
        raise ValueError(
            f"expected a table [project.urls] in {path.name}, got another form; write {url} there yourself"
        )
    path.write_text(after, encoding="utf-8", newline="\n")


def _with_url(lines: list[str], url: str) -> str:
    """The text of pyproject.toml with the line `url` below [project.urls], where it replaces the old one."""
    heads = [i for i, line in enumerate(lines) if line.startswith("[")] + [len(lines)]
    tables = {lines[start].split("]")[0] + "]": (start, end) for start, end in itertools.pairwise(heads)}
    if "[project.urls]" in tables:
        start, end = tables["[project.urls]"]
        body = [line for line in lines[start + 1 : end] if line.partition("=")[0].strip() != "Repository"]
        lines[start + 1 : end] = [url, *body]
    elif "[project]" in tables:
        end = tables["[project]"][1]
        while not lines[end - 1].strip() or lines[end - 1].startswith("#"):  # such lines belong to the next table
            end -= 1
        lines[end:end] = ["", "[project.urls]", url]
    return "\n".join(lines) + "\n"


# --- what is written from it -------------------------------------------------------------------------------------


def badges(stem: str, repository: str | None) -> str:
    """The links below a notebook's title, in Markdown. They are text: a picture would be fetched from the network."""
    if repository is None:
        return (
            "*This copy of the course has no public address yet, so there are no links to Colab, Kaggle and the site. "
            f"Whoever publishes it sets the address with {HOW_TO_SET}.*"
        )
    file = f"{repository}/blob/{BRANCH}/notebooks/{stem}.ipynb"
    colab = f"https://colab.research.google.com/github/{file}"
    kaggle = f"https://kaggle.com/kernels/welcome?src={GITHUB}{file}"
    links = {"Open in Colab": colab, "Open in Kaggle": kaggle, "Read on the site": page(stem, repository)}
    return " · ".join(f"[{text}]({url})" for text, url in links.items())


def page(stem: str, repository: str) -> str:
    """The page of a notebook on GitHub Pages: a repository named OWNER.github.io is the root, another is a folder."""
    owner, name = check(repository).split("/")
    host = f"{owner.lower()}.github.io"
    folder = "" if name.lower() == host else f"/{name}"
    return f"https://{host}{folder}/notebooks/{stem}.html"


# The first code cell of every notebook. Students read it, so it has at most 40 lines of at most 100 characters. It
# installs the course without its dependencies and then only the missing ones: pip never replaces torch or numpy.
SETUP_CELL = """\
# @title Setup: Colab and Kaggle install what the course needs; torch and numpy stay as they are
import os
import subprocess
import sys
from importlib import invalidate_caches, metadata
from pathlib import Path
from packaging.requirements import Requirement

COURSE, SOURCE = {course}, []
HOSTED = "KAGGLE_KERNEL_RUN_TYPE" in os.environ or "google.colab" in sys.modules
HELP = {help}

class Stop(Exception):
    def _render_traceback_(self):
        return [str(self)]  # this line alone, without a traceback

def pip_install(*what):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *SOURCE, *what]
    done = subprocess.run(pip, capture_output=True, text=True)
    invalidate_caches()
    if done.returncode:
        why = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise Stop(f"pip failed: {why}. Turn the internet on; or, on Kaggle, attach the wheels.")

try:
    import colorlib.course.setup
except ImportError as error:
    for wheel in Path("/kaggle/input").rglob("colorlib_course-*.whl"):  # Kaggle without internet
        COURSE, SOURCE = "colorlib-course", ["--no-index", "--find-links", str(wheel.parent)]
    if not (HOSTED and COURSE):
        raise Stop(f"The course is not installed here ({error}). {HELP}") from None
    pip_install("--no-deps", COURSE)
    needs = [Requirement(line) for line in metadata.requires("colorlib-course")]
    needs = [need for need in needs if need.marker is None or need.name == "ipywidgets"]
    new = [need for need in needs if not any(metadata.distributions(name=need.name))]
    keep = [f"{name}=={metadata.version(name)}" for name in ("torch", "torchvision", "numpy")]
    if new:
        pip_install(*(f"{need.name}{need.specifier}" for need in new), *keep)
from colorlib.course.setup import setup
setup("{stem}")"""
HELP = 'In its folder, run: pip install -e ".[notebooks]"'
HELP_WITHOUT_ADDRESS = f"It has no public address yet. {HELP}"


def setup_cell(stem: str, repository: str | None) -> str:
    """The code of a notebook's setup cell. Notebooks differ in their name alone."""
    course, help_text = repr(None), HELP_WITHOUT_ADDRESS
    if repository is not None:
        course, help_text = f'"colorlib-course @ git+{GITHUB}{check(repository)}"', HELP
    filled = SETUP_CELL.replace("{course}", course).replace("{help}", repr(help_text))
    return filled.replace("{stem}", stem)


def readme_links(repository: str | None) -> str:
    """The links of the README: where the course can be tried and read."""
    if repository is None:
        return badges(FIRST, None)
    return f"Start here: {badges(FIRST, repository)}"


# Files with a block of generated text between the marks `<!-- badges -->` and `<!-- /badges -->`.
PLACES: dict[str, Callable[[str | None], str]] = {"README.md": readme_links}
BLOCK = re.compile(r"(?P<begin><!-- badges -->\n).*?(?P<end><!-- /badges -->)", re.DOTALL)


def fill(text: str, generated: str) -> str:
    """`text` with new text between its marks. A text without marks is returned unchanged."""
    return BLOCK.sub(lambda found: f"{found['begin']}{generated}\n{found['end']}", text)


def stale_places(root: Path = ROOT) -> dict[Path, str]:
    """The files whose generated text does not agree with the address, and the text that each of them should have."""
    address = repository(root)
    stale = {}
    for name, generate in PLACES.items():
        text = (root / name).read_text(encoding="utf-8")
        if (wanted := fill(text, generate(address))) != text:
            stale[root / name] = wanted
    return stale


def main(arguments: list[str]) -> int:
    """Set the address, if one is given, and write everything that depends on it. Returns 2 for an invalid address."""
    try:
        if arguments:
            set_repository(" ".join(arguments))
        stale = stale_places()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    built = subprocess.run([sys.executable, str(Path(__file__).with_name("build.py")), "--no-execute"])
    return built.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
