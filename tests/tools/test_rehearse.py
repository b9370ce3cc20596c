"""The rehearsal goes on where it stopped, and writes nothing that was not run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from notebook_fixtures import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

VERSIONS = {"python": "3.13.0", "torch": "2.11.0", "torchvision": "0.26.0", "numpy": "2.1.3"}
VERSIONS |= {"scikit-image": "0.25.2", "matplotlib": "3.10.0", "ipywidgets": "7.7.1"}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/rehearse.py as it stands."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    for name in ("rehearse", "build_wheel"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("rehearse")


@pytest.fixture
def rehearse(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, with environments that are not made and notebooks that fail if they are number 05."""
    module = tool
    module.ran = []

    def run(environment: object, notebook: Path, runs: Path) -> bool:
        module.ran.append(notebook.stem[:2])
        return notebook.stem[:2] != "05"

    table = tmp_path / "results.md"
    module.versions = dict(VERSIONS)
    monkeypatch.setattr(module.Environment, "make", lambda self: None)
    monkeypatch.setattr(module.Environment, "versions", lambda self: module.versions)
    monkeypatch.setattr(module, "install", lambda environment, wheel: None)
    monkeypatch.setattr(module, "build_wheel", lambda folder: folder)
    monkeypatch.setattr(module, "run_notebook", run)
    monkeypatch.setattr(module, "same_numbers", lambda environment: module.found)
    module.found = "training 0e+00 of 5e-03"
    read, write = module.read_table, module.write_table
    monkeypatch.setattr(module, "read_table", lambda: read(table))
    monkeypatch.setattr(module, "write_table", lambda rows: write(rows, table))
    module.table = table
    return module


def line(module: ModuleType, name: str) -> list[str]:
    (found,) = [text for text in module.table.read_text().splitlines() if text.startswith(f"| {name} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_row_is_what_was_run_and_the_others_say_not_run(rehearse: ModuleType) -> None:
    assert rehearse.main(["13", "02", "--only", "colab"]) == 0
    row = dict(zip(rehearse.HEAD, line(rehearse, "colab"), strict=True))
    assert (row["passed"], row["failed"], row["Python"], row["torch"]) == ("02 13", "none", "3.13.0", "2.11.0")
    assert len(row["not run"].split()) == 12 and row["date"] != "not run"
    for name in ("oldest", "kaggle", "newest"):
        assert line(rehearse, name)[2:].count("not run") == len(rehearse.SHOWN) + 2
        assert not [cell for cell in line(rehearse, name)[9:11] if cell != "none"]


def test_what_passed_is_not_run_again_and_what_failed_is(rehearse: ModuleType) -> None:
    assert rehearse.main(["04", "05", "--only", "colab"]) == 1
    assert rehearse.main(["04", "05", "06", "--only", "colab"]) == 1
    assert rehearse.ran == ["04", "05", "05", "06"]
    assert line(rehearse, "colab")[9:11] == ["04 06", "05"]
    assert rehearse.main(["04", "--only", "colab", "--again"]) == 0
    assert rehearse.ran[-1] == "04" and line(rehearse, "colab")[9:11] == ["04", "none"]


def test_other_versions_make_another_row(rehearse: ModuleType) -> None:
    rehearse.main(["04", "--only", "colab"])
    rehearse.versions["torch"] = "2.12.0"
    rehearse.main(["06", "--only", "colab"])
    assert line(rehearse, "colab")[9] == "06" and "2.12.0" in line(rehearse, "colab")


def test_numbers_that_differ_too_much_fail_and_are_compared_again(rehearse: ModuleType) -> None:
    rehearse.found = "too different: training 1e-01 of 5e-03"
    assert rehearse.main(["04", "--only", "colab"]) == 1
    assert line(rehearse, "colab")[9:11] == ["04", "none"] and line(rehearse, "colab")[-2] == rehearse.found
    rehearse.found = "training 0e+00 of 5e-03"
    assert rehearse.main(["04", "--only", "colab"]) == 0
    assert line(rehearse, "colab")[-2] == rehearse.found and rehearse.ran == ["04"]
    rehearse.found = "not compared again"
    assert rehearse.main(["04", "--only", "colab"]) == 0 and line(rehearse, "colab")[-2] != rehearse.found


def test_the_comparison_of_numbers_is_read(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, script = tool.Environment("colab", tmp_path), tmp_path / "same_numbers.py"
    monkeypatch.setattr(tool, "SAME_NUMBERS", script)
    for status, expected in ((0, "loss 1e-07 of 1e-05"), (1, "too different: loss 1e-07 of 1e-05")):
        script.write_text(f"print('Python 3.13.0, torch 2.15.0: loss 1e-07 of 1e-05'); raise SystemExit({status})")
        assert tool.same_numbers(environment) == expected
    script.write_text("raise SystemExit('no torch here')")
    with pytest.raises(tool.Failed, match="comparing numbers failed: no torch here"):
        tool.same_numbers(environment)


def test_an_environment_that_fails_leaves_the_others(rehearse: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(self: object) -> None:
        if self.name != "kaggle":  # type: ignore[attr-defined]
            raise rehearse.Failed("no such Python")

    monkeypatch.setattr(rehearse.Environment, "make", make)
    assert rehearse.main(["02"]) == 1
    assert line(rehearse, "kaggle")[9] == "02" and line(rehearse, "newest")[-1] == "not run"
    assert rehearse.main(["02", "--only", "newest"]) == 2


def test_an_unknown_notebook_is_one_line(rehearse: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert rehearse.main(["99"]) == 2
    assert capsys.readouterr().err.startswith("rehearsal: expected stored notebooks (00_start_here, ")


def test_pins_fit_what_the_course_asks_for(rehearse: ModuleType) -> None:
    project = rehearse.tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = map(Requirement, project["dependencies"] + project["optional-dependencies"]["notebooks"])
    allowed = {need.name: need.specifier for need in needs}
    for kind in rehearse.KINDS.values():
        assert f"{kind.python}.0" in SpecifierSet(project["requires-python"])
        for pin in map(Requirement, kind.pins):
            for part in pin.specifier:
                assert part.version in allowed.get(pin.name, SpecifierSet()), pin
    oldest = {Requirement(pin).name for pin in rehearse.KINDS["oldest"].pins}
    assert {Requirement(text).name for text in project["dependencies"]} <= oldest


def test_the_setup_cell_may_move_nothing(rehearse: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = {"torch": "2.11.0"}, {"torch": "2.15.0", "colorlib-course": "0.1.0"}
    seen = iter([before, after])
    environment = rehearse.Environment("colab", tmp_path)
    monkeypatch.setattr(environment, "forget_the_course", lambda: None, raising=False)
    monkeypatch.setattr(rehearse.Environment, "versions", lambda self: next(seen))
    monkeypatch.setattr(rehearse.Environment, "run", lambda self, *args, **kwargs: "")
    with pytest.raises(rehearse.Failed, match=r"has moved torch from 2\.11\.0 to 2\.15\.0"):
        rehearse.open_first_cell(environment, "", "colab", {})


def test_the_committed_table_is_what_the_tool_writes(tool: ModuleType, tmp_path: Path) -> None:
    tool.write_table(tool.read_table(), tmp_path / "again.md")
    assert tool.RESULTS.read_text() == (tmp_path / "again.md").read_text()
