"""The first cell of a notebook on simulated machines: the platform, the folder for runs, and what is printed."""

from __future__ import annotations

import base64
import importlib
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import torch

import colorlib
from colorlib.cli import doctor
from colorlib.cli.doctor import Check
from colorlib.devices import pick_precision

# The function and its module have the same name, so `from colorlib.course import setup` may give either.
module = importlib.import_module("colorlib.course.setup")
setup = module.setup

PNG = b"\x89PNG picture"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One's own machine without a GPU, on which all checks pass."""
    for name in ("KAGGLE_KERNEL_RUN_TYPE", "COLORLIB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    the_doctor_says(monkeypatch, Check("all", True, "fine"), Check("extra", None, "missing"))
    monkeypatch.setattr(module, "COLAB_CONTENT", tmp_path / "content")
    monkeypatch.setattr(module.resources, "files", lambda package: tmp_path)


def the_doctor_says(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    def doctor(*, quick: bool) -> list[Check]:
        assert quick, "the whole report takes seconds"
        return list(checks)

    monkeypatch.setattr(module, "doctor", doctor)


def on(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "kaggle":
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    if where in ("colab", "kaggle"):  # Kaggle's machines carry Colab's package too
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))


def with_gpu(monkeypatch: pytest.MonkeyPatch, count: int = 1, capability: tuple[int, int] = (7, 5)) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (15.6e9, 15.8e9))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(module, "works", lambda device, precision: None)


@pytest.mark.parametrize("where", ["kaggle", "colab", "local"])
def test_platform(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    on(monkeypatch, where)
    assert module.platform() == where


def test_runs_are_kept_where_they_outlive_the_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        on(patch, "kaggle")
        assert module.storage() == Path("/kaggle/working/runs")
    with monkeypatch.context() as patch:
        on(patch, "colab")
        assert module.storage() == tmp_path / "content" / "runs"
        (tmp_path / "content" / "drive" / "MyDrive").mkdir(parents=True)
        assert module.storage() == tmp_path / "content" / "drive" / "MyDrive" / "colorlib" / "runs"
        assert not module.storage().exists()


def test_runs_of_ones_own_machine_are_in_the_course_or_in_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inside = tmp_path / "course" / "notebooks" / "solutions"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert module.storage() == inside / "runs"
    (tmp_path / "course" / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert module.storage() == inside / "runs"
    (tmp_path / "course" / "pyproject.toml").write_bytes(b"\xff")
    assert module.storage() == inside / "runs"
    (tmp_path / "course" / "pyproject.toml").write_text('[project]\nname = "colorlib-course"\n')
    assert module.storage() == tmp_path / "course" / "runs"
    monkeypatch.chdir(Path(__file__).parent)
    assert module.storage() == Path(__file__).parents[2] / "runs"


def test_two_lines_where_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    setup("01_colour")
    versions, device = capsys.readouterr().out.splitlines()
    assert versions.startswith("your own machine: ")
    python = ".".join(map(str, sys.version_info[:3]))
    for version in (colorlib.__version__, python, torch.__version__, metadata.version("ipywidgets")):
        assert f" {version}" in versions
    assert f"cpu with {torch.get_num_threads()} threads" in device and device.endswith("mode: quick")


@pytest.mark.parametrize("bad", ["", "colour", "1_colour", "01-colour", "01_colour.ipynb", "../01_colour"])
def test_a_name_that_no_notebook_has_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match='expected the name of a notebook such as "01_colour", got'):
        setup(bad)


def test_a_gpu_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    on(monkeypatch, "kaggle")
    with_gpu(monkeypatch, 2)
    setup("01_colour")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Kaggle: ")
    (device,) = lines[1:]
    assert "Tesla T4 with 15.6 of 15.8 GB free and 1 more" in device and device.endswith("mode: full")


@pytest.mark.parametrize(("where", "advice"), [
    ("kaggle", "Settings > Accelerator > GPU T4 x2"), ("colab", "Runtime > Change runtime type > T4 GPU"),
])  # fmt: skip
def test_a_missing_gpu_is_said_where_one_is_to_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str, advice: str
) -> None:
    on(monkeypatch, where)
    setup("01_colour")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("! no GPU") and advice in lines[2]
    assert lines[1].endswith("mode: quick")
    with_gpu(monkeypatch)
    setup("01_colour")
    assert "no GPU" not in capsys.readouterr().out


def test_colab_without_drive_is_told_that_runs_are_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    on(monkeypatch, "colab")
    setup("01_colour")
    said = capsys.readouterr().out
    assert f"{tmp_path / 'content' / 'runs'} and are lost" in said and "drive.mount('/content/drive')" in said
    (tmp_path / "content" / "drive" / "MyDrive").mkdir(parents=True)
    setup("01_colour")
    assert "lost" not in capsys.readouterr().out


def test_a_mode_that_was_asked_for_is_told_with_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLORLIB_MODE", "full")
    setup("01_colour")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("mode: full (COLORLIB_MODE)")
    assert lines[2:] == []  # what it costs without a GPU is said by `configure`, in the next cell


# --- what is wrong -------------------------------------------------------------------------------------------------


def torch_is(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    real = metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: version if name == "torch" else real(name))
    the_doctor_says(monkeypatch, *(check for check in doctor.doctor(quick=True) if check.name == "torch"))


@pytest.mark.parametrize(("where", "advice"), [
    ("kaggle", "choose the latest environment: Settings > Environment preferences"),
    ("colab", "choose the latest runtime version: Runtime > Change runtime type"),
])  # fmt: skip
def test_an_older_torch_than_the_floor_is_not_to_be_replaced_where_it_came_with_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str, advice: str
) -> None:
    on(monkeypatch, where)
    with_gpu(monkeypatch)
    torch_is(monkeypatch, "2.5.1+cu121")
    setup("01_colour")
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "2.5.1+cu121" in line]
    assert "torch>=2.6" in line and advice in line and "pip" not in said


def test_an_older_torch_on_ones_own_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch_is(monkeypatch, "2.5.1")
    setup("01_colour")
    (line,) = capsys.readouterr().out.splitlines()[2:]
    assert "2.5.1" in line and 'pip install "torch>=2.6"' in line


def test_each_failed_check_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    the_doctor_says(
        monkeypatch,
        Check("disk", False, "0.1 GB free: free some"),
        Check("extras", None, "missing"),
        Check("Python", True, "3.11"),
        Check("memory", False, "could not be checked: no such thing"),
    )
    monkeypatch.setattr(module, "works", lambda device, precision: "no kernel image")
    setup("01_colour")
    disk, memory, device = capsys.readouterr().out.splitlines()[2:]
    assert disk == "! disk: 0.1 GB free: free some"
    assert memory == "! memory: could not be checked: no such thing"
    assert pick_precision("auto", torch.device("cpu")) in device and "no kernel image" in device


def test_without_ipywidgets_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "version", version)
    setup("01_colour")
    assert ", no ipywidgets\n" in capsys.readouterr().out


# --- the picture ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple]:
    """What is displayed, in a pretended notebook, with pictures that are pretended too."""
    from IPython.core import getipython

    displayed: list[tuple] = []
    monkeypatch.setattr(getipython, "get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda *args, **kwargs: displayed.append((args, kwargs)))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "01_colour.png").write_bytes(PNG)
    (tmp_path / "pictures" / "01_colour.txt").write_text("A cat.\n")
    return displayed


def test_the_picture_is_shown_with_its_alt_text(shown: list[tuple]) -> None:
    setup("01_colour")
    bundle = {"image/png": base64.b64encode(PNG).decode(), "text/plain": "A cat."}
    assert shown == [((bundle,), {"raw": True, "metadata": {"image/png": {"alt": "A cat."}}})]


def test_a_notebook_without_a_picture_shows_none(shown: list[tuple]) -> None:
    setup("02_unet_baseline")
    assert shown == []


def test_outside_a_notebook_nothing_is_shown(shown: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: None)
    setup("01_colour")
    assert shown == []
