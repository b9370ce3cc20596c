"""Build the course as a wheel, from a copy of the sources, because building leaves files beside the sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "colorlib", "experiments")
SOLUTIONS = "colorlib/course/solutions"
LACKING = (
    "jaxtyping",
    "torchmetrics",
    "tyro",
)  # dependencies of the course that neither Colab nor Kaggle has installed
SETUPTOOLS = 77  # the version that [build-system] in pyproject.toml requires


class BuildError(Exception):
    """The wheel could not be built. The message is one line."""


def build_wheel(folder: Path, *, solutions: bool = True, python: str | Path = sys.executable) -> Path:
    """Build the wheel into `folder` and return its path. `solutions=False` leaves the solutions out. Raises BuildError.

    Works without a network where the environment of `python` has setuptools 77 or newer.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "course"
        copy.mkdir()
        for source in SOURCES:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, copy / source)
        if not solutions:
            shutil.rmtree(copy / SOLUTIONS)
        command = [str(python), "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", f"{name}/built"]
        command += ["--no-build-isolation"] if str(python) == sys.executable and has_setuptools() else []
        done = subprocess.run([*command, str(copy)], capture_output=True, text=True)
        if done.returncode:
            complaint = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
            raise BuildError(f"the wheel could not be built: {complaint}; try: pip install 'setuptools>={SETUPTOOLS}'")
        (built,) = Path(name, "built").glob("colorlib_course-*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(built, folder))


def has_setuptools() -> bool:
    """Return whether the installed setuptools is new enough to build the wheel without a network."""
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= SETUPTOOLS
    except (metadata.PackageNotFoundError, ValueError):
        return False
