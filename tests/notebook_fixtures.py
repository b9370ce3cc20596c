"""Fixtures: the tools that build notebooks, and a repository with one small notebook that they built."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TOY = '''\
# %% [markdown] tags=["title"]
# # 0. A toy
#
# {{badges}}
#
# A line.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
print("on this machine")

# %% tags=["imports"]
import json

from colorlib import figures
from colorlib.course.exercises.exercise import Exercise, expect
from matplotlib.figure import Figure


class exercises:
    double = Exercise("double", lambda f: expect("for 1", f(1), 2), hints=["twice"], notebook="00")

# %% tags=["nbval-check-output"]
print(f"{1 / 3:.4f}")

# %% tags=["result"]
figure = Figure(figsize=(2, 1))
figure.subplots().plot([0, 1])
figures.show(figure, alt="A line that rises.")

# %% tags=["exercise"]
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% tags=["exercise-check"]
exercises.double.check(double)
# exercises.double.hint()
'''


def load(path: Path, name: str) -> ModuleType:
    """Import a file as a module. It may import from its own folder."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


@pytest.fixture(scope="session")
def build() -> ModuleType:
    """notebooks/build.py of the repository itself."""
    return load(ROOT / "notebooks" / "build.py", "build")


@pytest.fixture
def check(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """notebooks/check.py of the repository itself."""
    monkeypatch.setitem(sys.modules, "build", build)
    return load(ROOT / "notebooks" / "check.py", "check")


@pytest.fixture(scope="session")
def built_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the built notebook `00_toy`. Tests must not change it."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "notebooks" / "src").mkdir(parents=True)
    for name in ("pictures", "solutions"):
        (folder / "colorlib" / "course" / name).mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("build.py", "check.py", "address.py"):
        shutil.copy(ROOT / "notebooks" / name, folder / "notebooks")
    (folder / "notebooks" / "src" / "00_toy.py").write_text(TOY)
    load(folder / "notebooks" / "build.py", "first_build").build("00_toy")
    return folder


class Toy:
    """A copy of the built repository. Tests may change it."""

    stem = "00_toy"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.source, self.notebook = folder / "notebooks/src/00_toy.py", folder / "notebooks/00_toy.ipynb"
        self.build = load(folder / "notebooks" / "build.py", "build")
        monkeypatch.setitem(sys.modules, "build", self.build)
        self.check = load(folder / "notebooks" / "check.py", "check")


@pytest.fixture
def toy(built_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(Path(shutil.copytree(built_toy, tmp_path / "repository")), monkeypatch)
