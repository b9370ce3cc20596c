"""The rehearsal goes on where it stopped, and writes nothing that was not run."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
    """The tool, with environments that are not made, and notebooks that are not run: number `faulty` fails."""
    module = tool
    module.ran, module.faulty = [], "05"

    def run(environment: object, notebook: Path, runs: Path) -> bool:
        module.ran.append(notebook.stem[:2])
        return notebook.stem[:2] != module.faulty

    module.versions = dict(VERSIONS)
    monkeypatch.setattr(module.Environment, "make", lambda self: None)
    monkeypatch.setattr(module.Environment, "versions", lambda self: module.versions)
    monkeypatch.setattr(module, "install", lambda environment, wheel: None)
    monkeypatch.setattr(module, "build_wheel", lambda folder: folder)
    monkeypatch.setattr(module, "run_notebook", run)
    monkeypatch.setattr(module, "same_numbers", lambda environment: module.found)
    module.found = (True, "training 0e+00 of 5e-03")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(module, "PAGE", tmp_path / "results.md")
    return module


def stored(module: ModuleType, name: str) -> dict[str, Any]:
    """What results.json says of an environment."""
    return json.loads(module.RESULTS.read_text())[name]


def cells(module: ModuleType, name: str) -> dict[str, str]:
    """The row of an environment in results.md, by the headings."""
    (found,) = [text for text in module.PAGE.read_text().splitlines() if text.startswith(f"| {name} |")]
    return dict(zip(module.HEAD, [cell.strip() for cell in found.strip("|").split("|")], strict=True))


def test_a_row_is_what_was_run_and_the_others_say_not_run(rehearse: ModuleType) -> None:
    assert rehearse.main(["13", "02", "--only", "colab"]) == 0
    row = cells(rehearse, "colab")
    assert (row["passed"], row["failed"], row["Python"], row["torch"]) == ("02 13", "none", "3.13.0", "2.11.0")
    assert len(row["not run"].split()) == 12 and row["date"] == stored(rehearse, "colab")["date"]
    assert json.loads(rehearse.RESULTS.read_text()).keys() == {"colab"}
    for name in ("oldest", "kaggle", "newest"):
        row = cells(rehearse, name)
        assert [row[head] for head in (*rehearse.SHOWN, "numbers", "date")] == ["not run"] * (len(rehearse.SHOWN) + 2)
        assert (row["passed"], row["failed"], row["not run"]) == ("none", "none", "all")


def test_what_passed_is_not_run_again_and_what_failed_is(rehearse: ModuleType) -> None:
    assert rehearse.main(["04", "05", "--only", "colab"]) == 1
    assert rehearse.main(["04", "05", "06", "--only", "colab"]) == 1
    assert rehearse.ran == ["04", "05", "05", "06"]
    assert (stored(rehearse, "colab")["passed"], stored(rehearse, "colab")["failed"]) == (["04", "06"], ["05"])
    rehearse.faulty = "04"
    assert rehearse.main(["05", "--only", "colab"]) == 0 and stored(rehearse, "colab")["failed"] == []
    assert rehearse.main(["04", "--only", "newest"]) == 1
    assert (stored(rehearse, "newest")["passed"], stored(rehearse, "newest")["failed"]) == ([], ["04"])
    rehearse.faulty = ""
    assert rehearse.main(["04", "--only", "colab", "--again"]) == 0
    assert rehearse.ran[-1] == "04"
    assert (stored(rehearse, "colab")["passed"], stored(rehearse, "colab")["failed"]) == (["04"], [])


def test_other_versions_make_another_row(rehearse: ModuleType) -> None:
    rehearse.main(["04", "--only", "colab"])
    rehearse.versions["torch"] = "2.12.0"
    rehearse.main(["06", "--only", "colab"])
    assert stored(rehearse, "colab")["passed"] == ["06"] and stored(rehearse, "colab")["versions"]["torch"] == "2.12.0"


def test_numbers_that_differ_too_much_fail_and_are_compared_again(rehearse: ModuleType) -> None:
    rehearse.found = (False, "training 1e-01 of 5e-03")
    assert rehearse.main(["04", "--only", "colab"]) == 1
    assert stored(rehearse, "colab")["passed"] == ["04"] and stored(rehearse, "colab")["numbers_agree"] is False
    assert cells(rehearse, "colab")["numbers"] == "too different: training 1e-01 of 5e-03"
    rehearse.found = (True, "training 0e+00 of 5e-03")
    assert rehearse.main(["04", "--only", "colab"]) == 0
    assert cells(rehearse, "colab")["numbers"] == "training 0e+00 of 5e-03" and rehearse.ran == ["04"]
    rehearse.found = (True, "not compared again")
    assert rehearse.main(["04", "--only", "colab"]) == 0
    assert stored(rehearse, "colab")["numbers"] == "training 0e+00 of 5e-03"


def test_the_comparison_of_numbers_is_read(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, script = tool.Environment("colab", tmp_path), tmp_path / "same_numbers.py"
    monkeypatch.setattr(tool, "SAME_NUMBERS", script)
    for status in (0, 1):
        script.write_text(f"print('Python 3.13.0, torch 2.15.0: loss 1e-07 of 1e-05'); raise SystemExit({status})")
        assert tool.same_numbers(environment) == (status == 0, "loss 1e-07 of 1e-05")
    script.write_text("raise SystemExit('no torch here')")
    with pytest.raises(tool.Failed, match="comparing numbers failed: no torch here"):
        tool.same_numbers(environment)


def test_an_environment_that_fails_leaves_the_others(rehearse: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(self: object) -> None:
        if self.name != "kaggle":  # type: ignore[attr-defined]
            raise rehearse.Failed("no such Python")

    monkeypatch.setattr(rehearse.Environment, "make", make)
    assert rehearse.main(["02"]) == 1
    assert stored(rehearse, "kaggle")["passed"] == ["02"] and cells(rehearse, "newest")["date"] == "not run"
    assert rehearse.main(["02", "--only", "newest"]) == 2


def test_an_unknown_notebook_is_one_line(rehearse: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert rehearse.main(["99"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "00_start_here" in said and "99" in said


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


def test_results_survive_being_written_and_read(rehearse: ModuleType) -> None:
    rows = [rehearse.Row(name) for name in rehearse.KINDS]
    rows[1] = rehearse.Row("colab", VERSIONS, ("00", "02"), ("01",), "loss 1e-07 of 1e-05", False, "2026-01-02")
    rehearse.write_results(rows)
    assert rehearse.read_results() == rows


def test_the_committed_page_shows_the_committed_results(tool: ModuleType) -> None:
    assert tool.PAGE.read_text() == tool.as_page(tool.read_results())
