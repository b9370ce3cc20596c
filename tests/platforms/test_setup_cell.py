"""The setup cell, run as it stands on pretended machines: what pip is asked for there, to the letter, and what is said.

Each machine is a folder of installed packages (real metadata, no code) for a Python that sees nothing else. pip is
replaced by a recorder, which installs what it is asked for by writing such metadata.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
URL = "colorlib-course @ git+https://github.com/someone/course"
STEM = "03_gans"
KAGGLE = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}

# What Colab had in 2026-08 of the course's requirements; torch's version names the CUDA that it was built for.
HAS = {
    "torch": "2.11.0+cu128",
    "torchvision": "0.26.0+cu128",
    "numpy": "2.1.3",
    "scipy": "1.16.1",
    "scikit-image": "0.25.2",
    "pillow": "11.3.0",
    "pandas": "2.2.2",
    "matplotlib": "3.10.0",
    "safetensors": "0.6.2",
    "tqdm": "4.67.1",
    "lazy_loader": "0.4",
    "packaging": "25.0",
    "ipywidgets": "7.7.1",
}
LACKS = ["torchmetrics>=1.4", "tyro>=1.0", "jaxtyping>=0.3"]
PINS = ["torch==2.11.0+cu128", "torchvision==0.26.0+cu128", "numpy==2.1.3"]

DRIVER = """
import json, subprocess, sys, types
from pathlib import Path
plan = json.loads(sys.argv[1])
site = Path(plan["site"])
sys.path.insert(0, str(site))
if plan["colab"]:
    sys.modules["google"] = types.ModuleType("google")
    sys.modules["google.colab"] = types.ModuleType("google.colab")
calls, files = [], plan["install"]

def run(command, **options):
    assert options == {"capture_output": True, "text": True}
    calls.append(command)
    if len(calls) == plan["fail_at"]:
        return subprocess.CompletedProcess(command, 1, "", plan["stderr"])
    if "--no-deps" in command:
        for name, text in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
    return subprocess.CompletedProcess(command, 0, "", "")

subprocess.run = run
stopped, names = None, {}
try:
    exec(compile(plan["cell"], "cell", "exec"), names)
except Exception as error:
    stopped = [type(error).__name__, *getattr(error, "_render_traceback_", lambda: ["a traceback"])()]
print(json.dumps({"calls": calls, "stopped": stopped, "opened": getattr(sys, "opened", None)}))
"""


def load_address() -> ModuleType:
    spec = importlib.util.spec_from_file_location("address", ROOT / "notebooks" / "address.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup_cell = load_address().setup_cell


def course_files() -> dict[str, str]:
    """The course as pip would install it: its real requirements, and of its code what the cell calls."""
    needs = "".join(f"Requires-Dist: {line}\n" for line in metadata.requires("colorlib-course") or [])
    return {
        "colorlib_course-0.1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: colorlib-course\n{needs}",
        "colorlib/__init__.py": "",
        "colorlib/course/__init__.py": "",
        "colorlib/course/setup.py": "import sys\ndef setup(notebook):\n    sys.opened = notebook\n",
    }


@dataclass
class Machine:
    """A pretended machine: its installed packages, and where its Kaggle data would be."""

    folder: Path

    def __post_init__(self) -> None:
        self.site, self.input = self.folder / "site", self.folder / "input"
        self.site.mkdir()
        (self.site / "packaging").symlink_to(Path(importlib.util.find_spec("packaging").origin).parent)  # type: ignore
        for name, version in HAS.items():
            self.install(name, version)

    def install(self, name: str, version: str) -> None:
        self.write(f"{name.replace('-', '_')}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")

    def write(self, name: str, text: str) -> None:
        (self.site / name).parent.mkdir(parents=True, exist_ok=True)
        (self.site / name).write_text(text)

    def remove(self, name: str) -> None:
        (self.site / f"{name}-{HAS[name]}.dist-info" / "METADATA").unlink()
        (self.site / f"{name}-{HAS[name]}.dist-info").rmdir()

    def attach(self, dataset: str) -> Path:
        folder = self.input / dataset
        folder.mkdir(parents=True)
        (folder / "colorlib_course-0.1.0-py3-none-any.whl").touch()
        return folder

    def open(
        self,
        repository: str | None = "someone/course",
        env: dict[str, str] | None = None,
        *,
        colab: bool = False,
        fail_at: int = 0,
        stderr: str = "",
        cell: str | None = None,
    ) -> dict:
        """Run the cell; what pip was asked for (without `python -m pip install --quiet`), and how it ended."""
        code = cell or setup_cell(STEM, repository)
        plan = {"cell": code.replace('"/kaggle/input"', repr(str(self.input))), "site": str(self.site), "colab": colab}
        plan |= {"fail_at": fail_at, "stderr": stderr, "install": course_files()}
        clean = {key: value for key, value in os.environ.items() if key != "KAGGLE_KERNEL_RUN_TYPE"}
        command = [sys.executable, "-I", "-S", "-c", DRIVER, json.dumps(plan)]
        done = subprocess.run(command, env=clean | (env or {}), capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        result = json.loads(done.stdout)
        for call in result["calls"]:
            assert call[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
        return {**result, "calls": [call[5:] for call in result["calls"]]}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def has_course(machine: Machine) -> None:
    for name, text in course_files().items():
        machine.write(name, text)


def test_the_cell_is_short_and_the_same_for_all_notebooks() -> None:
    for repository in ("someone/course", None):
        lines = setup_cell(STEM, repository).splitlines()
        assert len(lines) <= 40 and max(map(len, lines)) <= 100
        assert lines[-2:] == ["from colorlib.course.setup import setup", f'setup("{STEM}")']
        assert lines[:-1] == setup_cell("00_start_here", repository).splitlines()[:-1]


@pytest.mark.parametrize("where", [{"colab": True}, {"env": KAGGLE}, {"env": KAGGLE, "colab": True}])
def test_colab_and_kaggle_with_internet_get_the_course_and_what_they_lack(machine: Machine, where: dict) -> None:
    result = machine.open(**where)
    assert result["calls"] == [["--no-deps", URL], [*LACKS, *PINS]]
    assert (result["stopped"], result["opened"]) == (None, STEM)


def test_kaggle_without_internet_uses_the_attached_wheels_alone(machine: Machine) -> None:
    folder = machine.attach("datasets/somebody/course-wheels")
    offline = ["--no-index", "--find-links", str(folder)]
    for repository in ("someone/course", None):  # an address is of no use there
        result = machine.open(repository, KAGGLE)
        assert result["calls"] == [[*offline, "--no-deps", "colorlib-course"], [*offline, *LACKS, *PINS]]
        assert result["opened"] == STEM
        (machine.site / "colorlib" / "course" / "setup.py").unlink()


def test_nothing_else_that_the_course_requires_may_be_left_out(machine: Machine) -> None:
    for name in ("lazy_loader", "ipywidgets", "pandas"):
        machine.remove(name)
    wanted = ["pandas>=2.1", *LACKS, "lazy_loader>=0.4", "ipywidgets<9,>=7.7"]
    assert machine.open(colab=True)["calls"][1] == [*wanted, *PINS]


@pytest.mark.slow
def test_a_second_start_installs_nothing(machine: Machine) -> None:
    has_course(machine)
    for where in ({"colab": True}, {"env": KAGGLE}, {}):
        result = machine.open(**where)  # type: ignore[arg-type]
        assert (result["calls"], result["stopped"], result["opened"]) == ([], None, STEM)


def test_a_machine_that_lacks_only_the_course_gets_only_the_course(machine: Machine) -> None:
    for name in ("torchmetrics", "tyro", "jaxtyping"):
        machine.install(name, "9.9")
    assert machine.open(colab=True)["calls"] == [["--no-deps", URL]]


def test_on_ones_own_machine_nothing_is_installed_and_one_line_says_what_to_do(machine: Machine) -> None:
    machine.attach("wheels")  # a folder of that name means nothing elsewhere
    result = machine.open()
    assert result["calls"] == [] and result["opened"] is None
    assert result["stopped"] == [
        "Stop",
        "The course is not installed here (No module named 'colorlib'). "
        'In its folder, run: pip install -e ".[notebooks]"',
    ]


@pytest.mark.parametrize("where", [{"colab": True}, {"env": KAGGLE}])
def test_without_an_address_one_line_says_so(machine: Machine, where: dict) -> None:
    result = machine.open(None, **where)
    assert result["calls"] == [] and len(result["stopped"]) == 2
    assert "It has no public address yet." in result["stopped"][1] and "http" not in result["stopped"][1]


@pytest.mark.parametrize(("fail_at", "stderr", "why"), [
    (1, "Cloning ...\nERROR: Could not connect\n", "ERROR: Could not connect"),
    (2, "ERROR: No matching distribution found for tyro", "ERROR: No matching distribution found for tyro"),
    (2, "", "no reason given"),
])  # fmt: skip
def test_a_failure_of_pip_is_one_line_and_ends_there(machine: Machine, fail_at: int, stderr: str, why: str) -> None:
    result = machine.open(colab=True, fail_at=fail_at, stderr=stderr)
    assert len(result["calls"]) == fail_at and result["opened"] is None
    advice = "Turn the internet on; or, on Kaggle, attach the wheels."
    assert result["stopped"] == ["Stop", f"pip failed: {why}. {advice}"]


@pytest.mark.slow
def test_planted_faults_are_seen(machine: Machine, tmp_path: Path) -> None:
    """The lists above are compared whole; here that a cell which moves torch, or goes online, gives other lists."""
    faults = {
        '"--no-deps", ': "",
        ", *keep)": ")",
        '"torchvision", ': "",
        "*SOURCE, ": "",
        'or need.name == "ipywidgets"': "",
        "if not any(": "if any(",
    }
    machine.remove("ipywidgets")
    folder = machine.attach("wheels")
    offline = ["--no-index", "--find-links", str(folder)]
    right = [[*offline, "--no-deps", "colorlib-course"], [*offline, *LACKS, "ipywidgets<9,>=7.7", *PINS]]
    assert machine.open(env=KAGGLE)["calls"] == right
    for number, (good, bad) in enumerate(faults.items()):
        (tmp_path / str(number)).mkdir()
        other = Machine(tmp_path / str(number))
        other.remove("ipywidgets")
        other.input = machine.input
        cell = setup_cell(STEM, "someone/course")
        assert cell.count(good) == 1, good
        assert other.open(env=KAGGLE, cell=cell.replace(good, bad))["calls"] != right, good


def test_jupyter_shows_the_line_and_no_traceback() -> None:
    code = """
import sys
sys.modules["colorlib"] = None
from IPython.core.interactiveshell import InteractiveShell
result = InteractiveShell.instance().run_cell(sys.argv[1])
assert type(result.error_in_exec).__name__ == "Stop"
"""
    command = [sys.executable, "-c", code, setup_cell(STEM, "someone/course")]
    env = {key: value for key, value in os.environ.items() if key != "KAGGLE_KERNEL_RUN_TYPE"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.strip().splitlines()
    assert len(shown) == 1 and shown[0].startswith("The course is not installed here"), done.stdout
