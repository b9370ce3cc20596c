"""The course beside other versions: `python tools/rehearse.py [--only NAME ...] [NOTEBOOK ...]` (make rehearse).

For each environment: makes it (6 GB, once), installs the course into it, makes sure that nothing which was there has
moved where that matters, computes what tests/platforms/same_numbers.py compares, and runs the notebooks there, in quick
mode, as `make test` does. The results are written after every notebook into tests/platforms/results.json, and as a
table into results.md. What passed is not run again, unless `--again` is given. Exit status 0 if all that was run
passed, 1 if not, 2 if it could not be tried.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from build_wheel import LACKING, ROOT, BuildError, build_wheel
from packaging.requirements import Requirement

from colorlib.files import write_atomic

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RESULTS = ROOT / "tests" / "platforms" / "results.json"
PAGE = RESULTS.with_suffix(".md")
SAME_NUMBERS = RESULTS.with_name("same_numbers.py")
FOR_THE_TEST = ("pytest", "nbval", "nbclient")
SHOWN = ("torch", "torchvision", "numpy", "scikit-image", "matplotlib", "ipywidgets")  # columns of the table
NOT_RUN = "not run"


@dataclass(frozen=True)
class Kind:
    """An environment to be made: the interpreter, what is there before the course comes, and who has it so."""

    python: str
    about: str
    pins: tuple[str, ...] = ()
    hosted: bool = False  # the setup cell installs the course, and may move nothing


def floors() -> tuple[str, ...]:
    """The oldest versions that pyproject.toml allows, of everything that a notebook needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [text for text in project["optional-dependencies"]["notebooks"] if not text.startswith(("jup", "nbval"))]
    pins = []
    for need in map(Requirement, project["dependencies"] + extra):
        floor = next(part.version for part in need.specifier if part.operator == ">=")
        pins.append(f"{need.name}=={floor}")
    return tuple(pins)


# Some of what else a fresh session of Colab and Kaggle has.
HOSTED = ("scipy", "pandas", "pillow", "tqdm", "safetensors", "packaging")
# Of lazy_loader the floor is taken, for its version there is not known.
COLAB = ("torch==2.11.0", "torchvision==0.26.0", "numpy==2.1.3", "scikit-image==0.25.2", "matplotlib==3.10.0")
COLAB += ("ipywidgets==7.7.1", "ipykernel==6.17.1", "ipython==7.34.0", "lazy_loader==0.4", *HOSTED)
# Known of Kaggle's image are Python and ipywidgets; its torch follows Colab's, so Colab's is taken.
KAGGLE = ("torch==2.11.0", "torchvision==0.26.0", "ipywidgets==8.1.5", "scikit-image", "matplotlib", "lazy_loader==0.4")
KINDS = {
    "oldest": Kind("3.10", "the floors of pyproject.toml", floors()),
    "colab": Kind("3.13", "Colab, 2026-08", COLAB, hosted=True),
    "kaggle": Kind("3.12", "Kaggle, 2026-08", (*KAGGLE, "ipykernel", *HOSTED), hosted=True),
    "newest": Kind("3.13", "the newest of everything"),
}

VERSIONS = """
import json, importlib.metadata as m, platform
found = {d.name.lower().replace("_", "-"): d.version for d in m.distributions()}
print(json.dumps(found | {"python": platform.python_version()}))
"""
SETUP_CELL = """
import sys; sys.path.insert(0, sys.argv[1]); import address
print(address.setup_cell("00_start_here", "someone/course"))
"""
OPEN = """
import sys, types
if sys.argv[2] == "colab":
    sys.modules["google"], sys.modules["google.colab"] = types.ModuleType("google"), types.ModuleType("google.colab")
exec(compile(sys.argv[1], "setup cell", "exec"))
"""


class Failed(Exception):
    """Something did not go as it should; the text is one line."""


# --- results -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """The results of one environment; empty until something was run in it."""

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    """Numbers of notebooks."""
    failed: tuple[str, ...] = ()
    numbers: str = ""
    """The largest differences that same_numbers.py found."""
    numbers_agree: bool = True
    date: str = ""

    @property
    def ok(self) -> bool:
        """Whether all that was run has passed."""
        return not self.failed and self.numbers_agree

    def with_result(self, number: str, ok: bool) -> Row:
        """The row after a notebook was run today."""
        passed, failed = set(self.passed) - {number}, set(self.failed) - {number}
        (passed if ok else failed).add(number)
        return replace(self, passed=tuple(sorted(passed)), failed=tuple(sorted(failed)), date=today())


HEAD = ("environment", "what it stands for", "Python", *SHOWN, "passed", "failed", "not run", "numbers", "date")
PREFACE = """\
# The notebooks beside other versions

Written by `make rehearse` from results.json. It runs the notebooks in quick mode, each environment on its own. Passed,
failed and not run are numbers of notebooks. The column "numbers" holds the largest differences between the colours,
losses, metrics and steps of training there and in the environment of `make test`, each with what is allowed.

"""


def today() -> str:
    return datetime.date.today().isoformat()


def read_results() -> list[Row]:
    """A row for each environment; empty for those that results.json does not have."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    rows = [Row(name, **known.get(name, {})) for name in KINDS]
    return [replace(row, passed=tuple(row.passed), failed=tuple(row.failed)) for row in rows]


def write_results(rows: Iterable[Row]) -> None:
    """Write results.json, and the same as a table in results.md."""
    rows = list(rows)
    known = {row.name: {key: value for key, value in vars(row).items() if key != "name"} for row in rows if row.date}
    write_atomic(RESULTS, (json.dumps(known, indent=1) + "\n").encode())
    write_atomic(PAGE, as_page(rows).encode())


def as_page(rows: Iterable[Row]) -> str:
    """The results as Markdown."""
    lines = [HEAD, tuple("---" for _ in HEAD), *map(_cells, rows)]
    return PREFACE + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    kind, stored = KINDS[row.name], notebook_numbers()
    left = [number for number in stored if number not in row.passed + row.failed]
    return (
        row.name,
        kind.about,
        row.versions.get("python", f"{kind.python} ({NOT_RUN})"),
        *(row.versions.get(name, NOT_RUN) for name in SHOWN),
        " ".join(row.passed) or "none",
        " ".join(row.failed) or "none",
        "all" if left == stored else " ".join(left) or "none",
        ("" if row.numbers_agree else "too different: ") + (row.numbers or NOT_RUN),
        row.date or NOT_RUN,
    )


def notebook_numbers() -> list[str]:
    """The numbers of all notebooks."""
    return [path.name[:2] for path in sorted((ROOT / "notebooks" / "src").glob("*.py"))]


# --- environments --------------------------------------------------------------------------------------------------


class Environment:
    """A virtual environment of one kind."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.kind, self.folder = name, KINDS[name], folder
        self.fresh = folder / "fresh.json"  # what is there before the course comes
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def make(self) -> None:
        """Create it, or bring an old one back to where it stood before the course came."""
        if not self.python.exists():
            python = find_python(self.kind.python)
            say(f"making {self.folder.name} with Python {self.kind.python}: several minutes, 6 GB")
            check([python, "-m", "venv", str(self.folder)], "making the environment")
        if not self.fresh.exists():
            self.pip("install", *self.kind.pins, *FOR_THE_TEST)
            if self.kind.hosted:
                self.pip("uninstall", "--yes", "colorlib-course", *LACKING)
            self.fresh.write_text(json.dumps(self.versions()))
        self.forget_the_course()

    def forget_the_course(self) -> None:
        """Remove the course and all that came with it."""
        if new := set(self.versions()) - set(json.loads(self.fresh.read_text())) - {"python"}:
            self.pip("uninstall", "--yes", *new)

    def pip(self, command: str, *arguments: str) -> None:
        check([self.python, "-m", "pip", command, "--quiet", *arguments], f"pip {command}")

    def run(self, code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
        """Run code far from the source tree; returns what it printed."""
        return check([self.python, "-c", code, *arguments], "python -c", cwd=self.folder, env=env)

    def versions(self) -> dict[str, str]:
        return json.loads(self.run(VERSIONS))


def say(text: str) -> None:
    print(f"rehearsal: {text}", flush=True)


def check(command: Sequence[str | Path], what: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command; its output, or Failed with the last line of what it complained about."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise Failed(f"{what} failed: {complaint}")
    return done.stdout


def find_python(version: str) -> str:
    """An interpreter of that version. Raises Failed where none works."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    names = [f"python{version}", *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))]
    for name in names:
        found = shutil.which(name)
        # pyenv has a command of that name on the path whether it works or not
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    raise Failed(f"expected a working python{version} on the path, found none; install it and try again")


# --- the course into them ------------------------------------------------------------------------------------------


def install(environment: Environment, wheel: Path) -> None:
    """The course as it comes there: by the setup cell on a hosted machine, else by pip with all that it needs."""
    if not environment.kind.hosted:
        arguments = ["--upgrade", "--upgrade-strategy", "eager"] if not environment.kind.pins else []
        environment.pip("install", *arguments, f"{wheel}[notebooks]")
        return
    cell = check([sys.executable, "-c", SETUP_CELL, str(ROOT / "notebooks")], "reading the setup cell")
    before = set(environment.versions())
    online = cell.replace("git+https://github.com/someone/course", wheel.as_uri())
    open_first_cell(environment, online, "colab", {})
    after = environment.versions()
    new = [f"{name}=={after[name]}" for name in sorted(set(after) - before - {"colorlib-course"})]
    environment.pip("download", "--no-deps", "--dest", str(wheel.parent), *new)
    offline = cell.replace('"/kaggle/input"', repr(str(wheel.parent.parent)))
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    open_first_cell(environment, offline, "kaggle", {"KAGGLE_KERNEL_RUN_TYPE": "Batch", **nowhere})


def open_first_cell(environment: Environment, cell: str, platform: str, env: dict[str, str]) -> None:
    """Run the setup cell on a fresh machine, and make sure that it adds, and moves nothing."""
    environment.forget_the_course()
    before = environment.versions()
    environment.run(OPEN, cell, platform, env=clean_variables() | env)
    after = environment.versions()
    moved = [f"{name} from {before[name]} to {after.get(name)}" for name in before if after.get(name) != before[name]]
    if moved:
        raise Failed(f"the setup cell has moved {', '.join(moved)}")
    added = sorted(set(after) - set(before))
    if not {"colorlib-course", *LACKING} <= set(added):
        raise Failed(f"expected the course and what it needs to be installed, got {', '.join(added) or 'nothing'}")
    place = environment.run("import colorlib; print(colorlib.__file__)").strip()
    if not Path(place).resolve().is_relative_to(environment.folder.resolve()):
        raise Failed(f"expected the installed course, got {place}")
    say(f"as on {platform}: nothing moved; new: {', '.join(f'{name} {after[name]}' for name in added)}")


def clean_variables() -> dict[str, str]:
    """The environment variables without those of this project, of Kaggle and of Python."""
    unwanted = ("COLORLIB_", "KAGGLE_", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


# --- what is run in them -----------------------------------------------------------------------------------------


def same_numbers(environment: Environment) -> tuple[bool, str]:
    """Whether the numbers there agree with those of this Python, and the largest differences."""
    command = [sys.executable, str(SAME_NUMBERS), str(environment.python)]
    done = subprocess.run(command, cwd=environment.folder, env=clean_variables(), capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        raise Failed(f"comparing numbers failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    say(done.stdout.strip())
    return done.returncode == 0, done.stdout.strip().rpartition(": ")[2]


def run_notebook(environment: Environment, notebook: Path, runs: Path) -> bool:
    """Run a copy of a notebook under nbval, as `make test` does but far from the sources; says how it went."""
    place = runs / notebook.stem
    place.mkdir(parents=True)
    shutil.copy(notebook, place)
    env = {"COLORLIB_MODE": "quick", "COLORLIB_RUNS": str(place / "runs"), "TQDM_DISABLE": "1"}
    command = [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900", notebook.name]
    started = time.monotonic()
    done = subprocess.run(command, cwd=place, env=clean_variables() | env, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or ["no output"]
    if done.returncode:
        print(done.stdout + done.stderr)
    result = "ok" if done.returncode == 0 else "FAILED"
    say(f"{environment.name}: {notebook.name}: {result}, {time.monotonic() - started:.0f} s; {lines[-1]}")
    return done.returncode == 0


def choose(names: list[str]) -> list[Path]:
    """The stored notebooks, or those of them that are named: `00`, `00_start_here` or a path."""
    stored = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    wanted = [Path(name).stem for name in names]
    unknown = [name for name in wanted if not any(path.stem.startswith(name) for path in stored)]
    if unknown or not stored:
        have = ", ".join(path.stem for path in stored) or "none"
        raise Failed(f"expected stored notebooks ({have}), got {', '.join(unknown) or 'none'}")
    return [path for path in stored if not wanted or any(path.stem.startswith(name) for name in wanted)]


def rehearse(
    environment: Environment, row: Row, notebooks: list[Path], save: Callable[[Row], None], *, again: bool
) -> Row:
    """Run what the row lacks of the notebooks; `save(row)` is called after each. Returns the row."""
    environment.make()
    with tempfile.TemporaryDirectory() as name:
        wheel = build_wheel(Path(name) / "wheels")
        install(environment, wheel)
        versions = {key: environment.versions().get(key, "none") for key in ("python", *SHOWN)}
        if again or versions != row.versions:
            row = Row(environment.name, versions)
        if not row.numbers or not row.ok:
            agree, found = same_numbers(environment)
            row = replace(row, numbers=found, numbers_agree=agree, date=today())
            save(row)
        for notebook in notebooks:
            number = notebook.stem[:2]
            if number in row.passed:
                say(f"{environment.name}: {notebook.name}: passed on {row.date}; --again runs it again")
                continue
            row = row.with_result(number, run_notebook(environment, notebook, Path(name) / "runs"))
            save(row)
    return row


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="numbers or names; all by default")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="environments; all by default")
    parser.add_argument("--again", action="store_true", help="run what has passed already, too")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where the environments are made")
    asked = parser.parse_args(arguments)
    try:
        notebooks = choose(asked.notebooks)
    except Failed as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 2
    rows = {row.name: row for row in read_results()}

    def save(row: Row) -> None:
        rows[row.name] = row
        write_results(rows.values())

    failed, tried = [], 0
    for name in asked.only:
        try:
            environment = Environment(name, asked.folder.absolute() / f".venv-{name}")
            row = rehearse(environment, rows[name], notebooks, save, again=asked.again)
            tried += 1
            failed += [] if row.ok else [name]
        except (Failed, BuildError) as error:
            print(f"rehearsal: {name}: {error}", file=sys.stderr)
            failed.append(name)
    write_results(rows.values())
    return 2 if not tried else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
