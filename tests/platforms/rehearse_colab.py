"""The course on a pretended Colab: `python tests/platforms/rehearse_colab.py [NOTEBOOK ...]` (make rehearse-colab).

Makes an environment with the versions that Colab had in 2026-08 (6 GB, once), installs the course into it by running
the setup cell, first as Colab with internet and then as Kaggle without, makes sure that nothing which was there has
moved, and runs the notebooks there. Exit status 0 if all went well, 1 if not, 2 if it could not be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.13"
# Colab's versions in 2026-08, and some of what else it has. Its IPython is the last 7; of lazy_loader the floor is
# taken, for that version is not known.
PINS = {
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "numpy": "2.1.3",
    "scikit-image": "0.25.2",
    "matplotlib": "3.10.0",
    "ipywidgets": "7.7.1",
    "ipykernel": "6.17.1",
    "ipython": "7.34.0",
    "lazy_loader": "0.4",
}
ALSO_THERE = ("scipy", "pandas", "pillow", "tqdm", "safetensors", "packaging")
LACKING = ("jaxtyping", "torchmetrics", "tyro")
FOR_THE_TEST = ("pytest", "nbval", "nbclient")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "colorlib", "experiments")

VERSIONS = """
import json, importlib.metadata as m
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in m.distributions()}))
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


class Environment:
    """A virtual environment with Colab's versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fresh = folder / "fresh.json"  # what a session has before the course comes
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def make(self) -> None:
        """Create it, or bring an old one back to where a fresh session stands: the course is not there."""
        if not self.python.exists():
            python = find_python()
            say(f"making {self.folder} with Python {PYTHON} and Colab's versions: several minutes, 6 GB")
            check([python, "-m", "venv", str(self.folder)], "making the environment")
        pins = [f"{name}=={version}" for name, version in PINS.items()]
        self.pip("install", *pins, *ALSO_THERE, *FOR_THE_TEST)
        if not self.fresh.exists():
            self.pip("uninstall", "--yes", "colorlib-course", *LACKING)
            self.fresh.write_text(json.dumps(self.versions()))
        self.forget_the_course()

    def forget_the_course(self) -> None:
        """Remove the course and all that came with it, so that the setup cell has something to do."""
        if new := set(self.versions()) - set(json.loads(self.fresh.read_text())):
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


def find_python() -> str:
    """An interpreter of Colab's version."""
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        return sys.executable
    found = shutil.which(f"python{PYTHON}")
    # pyenv has a command of that name on the path whether it works or not
    if found is None or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        hint = f"make rehearse-colab PYTHON=/path/to/python{PYTHON}"
        raise FileNotFoundError(f"expected a working python{PYTHON} on the path, found none; try {hint}")
    return found


# --- the course into it --------------------------------------------------------------------------------------------


def build_wheel(environment: Environment, folder: Path) -> Path:
    """The course as a wheel, built from a copy: building leaves files behind."""
    copy = folder / "copy"
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).is_file():
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    environment.pip("wheel", "--no-deps", "--wheel-dir", str(folder / "wheels"), str(copy))
    return next((folder / "wheels").glob("colorlib_course-*.whl"))


def install_as_on_colab(environment: Environment, cell: str, wheel: Path) -> None:
    """The setup cell as on Colab, with the wheel in place of the public address."""
    cell = cell.replace("git+https://github.com/someone/course", wheel.as_uri())
    open_first_cell(environment, cell, "colab", {})


def install_as_on_kaggle(environment: Environment, cell: str, wheel: Path, new: list[str]) -> None:
    """The setup cell as on Kaggle without internet: the wheel and all that it needs are an attached folder."""
    environment.pip("download", "--no-deps", "--dest", str(wheel.parent), *new)
    cell = cell.replace('"/kaggle/input"', repr(str(wheel.parent.parent)))
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    open_first_cell(environment, cell, "kaggle", {"KAGGLE_KERNEL_RUN_TYPE": "Batch", **nowhere})


def open_first_cell(environment: Environment, cell: str, platform: str, env: dict[str, str]) -> None:
    """Run the setup cell on a fresh machine, and make sure that it adds, and moves nothing."""
    environment.forget_the_course()
    before = environment.versions()
    printed = environment.run(OPEN, cell, platform, env=clean_environment() | env)
    for line in printed.strip().splitlines():
        say(f"  {line}")
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


def clean_environment() -> dict[str, str]:
    """The environment variables without those of this project, of Kaggle and of Python."""
    unwanted = ("COLORLIB_", "KAGGLE_", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


# --- the notebooks in it -------------------------------------------------------------------------------------------


def run_notebook(environment: Environment, notebook: Path, runs: Path) -> bool:
    """Run a notebook under nbval in the environment, as `make test` does; says how it went."""
    env = {"COLORLIB_MODE": "quick", "COLORLIB_RUNS": str(runs), "TQDM_DISABLE": "1"}
    command = [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", str(notebook)]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=clean_environment() | env, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or ["no output"]
    if done.returncode:
        print(done.stdout + done.stderr)
    result = "ok" if done.returncode == 0 else "FAILED"
    say(f"{notebook.name}: {result}, {time.monotonic() - started:.0f} s; {lines[-1]}")
    return done.returncode == 0


def choose(names: list[str]) -> list[Path]:
    """The stored notebooks, or those of them that are named: `00`, `00_start_here` or a path."""
    stored = sorted((ROOT / "notebooks").glob("*.ipynb"))
    wanted = [Path(name).stem for name in names]
    unknown = [name for name in wanted if not any(path.stem.startswith(name) for path in stored)]
    if unknown or not stored:
        have = ", ".join(path.stem for path in stored) or "none"
        raise FileNotFoundError(f"expected stored notebooks ({have}), got {', '.join(unknown) or 'none'}")
    return [path for path in stored if not wanted or any(path.stem.startswith(name) for name in wanted)]


def rehearse(environment: Environment, notebooks: list[Path]) -> bool:
    """The whole of it; True if every notebook ran."""
    environment.make()
    cell = environment.run(SETUP_CELL, str(ROOT / "notebooks"))
    with tempfile.TemporaryDirectory() as name:
        wheel = build_wheel(environment, Path(name))
        say(f"built {wheel.name}, {wheel.stat().st_size / 1e6:.0f} MB")
        before = set(environment.versions())
        install_as_on_colab(environment, cell, wheel)
        after = environment.versions()
        new = [f"{name}=={after[name]}" for name in sorted(set(after) - before - {"colorlib-course"})]
        install_as_on_kaggle(environment, cell, wheel, new)
        results = [run_notebook(environment, notebook, Path(name) / "runs") for notebook in notebooks]
    say(f"{sum(results)} of {len(results)} notebooks ran with Colab's versions")
    return all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="numbers or names; all by default")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-colab", help="the environment, made if missing")
    arguments = parser.parse_args()
    try:
        return 0 if rehearse(Environment(arguments.venv.absolute()), choose(arguments.notebooks)) else 1
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    except Failed as error:
        print(f"rehearsal: FAILED: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
