"""The folders that are pushed to Kaggle keep Kaggle's rules, and fit the notebooks' first cell."""

from __future__ import annotations

import ast
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest
from notebook_fixtures import ROOT, load


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, without the network: wheels are empty files."""
    module = load(ROOT / "tools" / "kaggle.py", "kaggle_tool")

    def fake(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "colorlib_course-0.1.0-py3-none-any.whl").touch()

    monkeypatch.setattr(module, "build_wheel", fake)
    monkeypatch.setattr(module, "download", lambda folder: (folder / "tyro-1.0-py3-none-any.whl").touch())
    return module


@pytest.fixture
def folder(kaggle: ModuleType, tmp_path: Path) -> Path:
    assert kaggle.main(["some-one", "--out", str(tmp_path / "kaggle")]) == 0
    return tmp_path / "kaggle"


def kernels(folder: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/kernel-metadata.json")}


def test_every_notebook_has_a_folder_by_kaggles_rules(folder: Path) -> None:
    found = kernels(folder)
    assert set(found) == {path.stem for path in (ROOT / "notebooks" / "src").glob("*.py")}
    assert len({kernel["id"] for kernel in found.values()}) == len(found)
    for stem, kernel in found.items():
        user, slug = kernel["id"].split("/")
        assert user == "some-one" and re.fullmatch(r"[a-z0-9-]{5,50}", slug)
        assert kernel["title"].lower().replace(" ", "-") == slug and 5 <= len(kernel["title"]) <= 50
        assert (folder / stem / kernel["code_file"]).is_file()
        assert kernel["language"] == "python" and kernel["kernel_type"] == "notebook"
        assert kernel["enable_internet"] is False and kernel["is_private"] is True


def test_notebooks_that_train_on_photographs_get_the_gpus_and_theory_none(folder: Path) -> None:
    found = kernels(folder)
    assert {stem[:2] for stem, kernel in found.items() if kernel["enable_gpu"]} == set(
        ["02", "03", "04", "05", "06", "07", "08", "09", "11"]
    )
    assert all((kernel["machine_shape"] == "NvidiaTeslaT4") == kernel["enable_gpu"] for kernel in found.values())
    photographs = {stem[:2] for stem, kernel in found.items() if len(kernel["dataset_sources"]) == 2}
    source = {p.stem[:2] for p in (ROOT / "notebooks" / "src").glob("*.py") if "config.photographs(" in p.read_text()}
    assert photographs == source and "00" not in photographs


def test_all_attach_the_wheels_where_the_first_cell_looks_for_them(folder: Path) -> None:
    about = json.loads((folder / "dataset" / "dataset-metadata.json").read_text())
    assert 6 <= len(about["title"]) <= 50 and 20 <= len(about["subtitle"]) <= 80 and len(about["licenses"]) == 1
    assert all(about["id"] in kernel["dataset_sources"] for kernel in kernels(folder).values())
    cell = load(ROOT / "notebooks" / "address.py", "address_for_kaggle").setup_cell("03_gans", None)
    pattern = re.search(r'rglob\("(.*?)"\)', cell)
    assert pattern and [path for path in (folder / "dataset").iterdir() if fnmatch(path.name, pattern[1])]


def test_notebooks_are_pushed_without_outputs(folder: Path) -> None:
    for path in folder.glob("*/*.ipynb"):
        notebook = json.loads(path.read_text())
        assert not any(cell.get("outputs") for cell in notebook["cells"])
        assert path.stat().st_size < 2**20


def test_internet_is_asked_for_only_by_name(kaggle: ModuleType, tmp_path: Path) -> None:
    assert kaggle.main(["someone", "--internet", "--out", str(tmp_path / "k")]) == 0
    assert all(kernel["enable_internet"] is True for kernel in kernels(tmp_path / "k").values())


def test_what_kaggle_lacks_is_found_with_all_that_it_needs(kaggle: ModuleType) -> None:
    """The list that the README gives for the same purpose was found by installing on a pretended Kaggle."""
    (command,) = re.findall(r"pip download --no-deps --dest wheels (.*)", (ROOT / "README.md").read_text())
    assert [text.split("==")[0] for text in kaggle.small_packages()] == sorted(command.split())


@pytest.mark.parametrize("user", ["", "Some One", "-x", "a/b", "name_"])
def test_a_name_that_kaggle_does_not_allow_is_one_line(
    user: str, kaggle: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kaggle.main([f"--out={tmp_path / 'k'}", "--", user]) == 2
    assert "is not a user name on Kaggle" in capsys.readouterr().err and not (tmp_path / "k").exists()


@pytest.mark.slow
def test_kaggles_own_package_is_never_imported() -> None:
    for path in [*ROOT.glob("tools/*.py"), *ROOT.glob("colorlib/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not any(name.split(".")[0] == "kaggle" for name in names), path
