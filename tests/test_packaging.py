"""What the repository says about itself agrees with itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def floors(requirements: list[str]) -> dict[str, str]:
    parsed = [Requirement(text) for text in requirements]
    return {CONDA_NAMES.get(one.name, one.name): str(one.specifier) for one in parsed if not one.extras}


def test_conda_gets_the_same_names_and_floors() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    extras = PROJECT["optional-dependencies"]
    expected = floors(PROJECT["dependencies"] + extras["notebooks"] + extras["sweep"] + extras["export"])
    got = floors([text for text in conda["dependencies"] if text != "pip" and not text.startswith("python")])
    assert got == expected
    assert f"python{PROJECT['requires-python']}" in conda["dependencies"]
    assert conda["channels"] == ["conda-forge", "nodefaults"]


def tracked_text() -> dict[str, str]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    texts = {}
    for name in filter(None, names):
        try:
            texts[name] = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return texts


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_nobody_is_told_to_install_the_other_colorlib() -> None:
    wrong = re.compile(r"pip3? install (-[\w-]+ )*[\"']?colorlib(?![-\w])")
    assert wrong.search("pip install -U colorlib") and not wrong.search("pip install 'colorlib-course[export]'")
    allowed = {"tests/test_packaging.py"}
    assert [name for name, text in tracked_text().items() if name not in allowed and wrong.search(text)] == []


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_importing_is_quiet_and_opens_no_socket() -> None:
    code = """
import socket, sys
def refuse(*args, **kwargs):
    raise RuntimeError("a socket was opened")
socket.socket.__init__ = refuse
import colorlib
heavy = {"torch", "torchvision", "matplotlib", "pandas", "scipy", "skimage", "torchmetrics", "tyro"} & set(sys.modules)
assert not heavy, heavy
[getattr(colorlib, name) for name in colorlib.__all__]
assert "matplotlib.pyplot" not in sys.modules
"""
    assert run_python(code) == ""


def test_every_public_name_is_there_and_documented() -> None:
    import colorlib

    assert {"Trainer", "Colorizer", "UNet", "ResUNet", "PatchGAN", "RECIPES", "evaluate"} <= set(dir(colorlib))
    for name in colorlib.__all__:
        assert name.startswith("_") or name.isupper() or getattr(colorlib, name).__doc__, name
    with pytest.raises(AttributeError):
        _ = colorlib.no_such_name


@pytest.mark.slow
def test_the_readmes_coursework_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 1 and len([line for line in blocks[0].splitlines() if line.strip()]) <= 16
    done = subprocess.run([sys.executable, "-c", blocks[0]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout and "grey" in done.stdout and "\n20 " in done.stdout


def test_the_version_is_written_once_more_only() -> None:
    import colorlib

    assert PROJECT["version"] == colorlib.__version__
    assert f"version: {colorlib.__version__}" in (ROOT / "CITATION.cff").read_text()
