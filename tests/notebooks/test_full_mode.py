"""The full-mode cells of every notebook still run: for a few steps, on small photographs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STEMS = sorted(path.stem for path in (Path(__file__).parents[2] / "notebooks" / "src").glob("*.py"))
STEPS = 3


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs as a student has it: three splits, several sizes, something to see in each."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for split, n in (("train", 20), ("val", 6), ("test", 12)):
        (folder / split).mkdir()
        for i in range(n):
            height, width = rng.integers(140, 200, 2)
            coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
            coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(folder / split / f"{i}.jpg")
    return folder


@pytest.fixture
def full_mode(photographs, tmp_path, monkeypatch):
    """The environment in which notebooks run in full mode, cut short."""
    monkeypatch.setenv("COLORLIB_MODE", "full")
    monkeypatch.setenv("COLORLIB_STEP_LIMIT", str(STEPS))
    monkeypatch.setenv("COLORLIB_PHOTOS", f"folder:{photographs}")
    monkeypatch.setenv("COLORLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return tmp_path / "runs"


def run_cells(build, stem: str, wanted: set[str]) -> dict[str, object]:
    """Run the cells with one of these tags, in order, as a script; returns their names."""
    namespace: dict[str, object] = {}
    for cell in build.read_source(stem).cells:
        if cell.cell_type == "code" and wanted & set(build.tags(cell)):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "no notebook to show the figure in")
                exec(compile(cell.source, f"{stem}: {cell.id}", "exec"), namespace)
    return namespace


@pytest.mark.slow
@pytest.mark.parametrize("stem", STEMS)
def test_the_full_mode_cells_run(build, full_mode, stem):
    names = run_cells(build, stem, {"config", "imports", "full"})
    assert names["config"].full and names["config"].step_limit == STEPS


@pytest.mark.parametrize("stem", STEMS)
def test_in_quick_mode_they_write_no_run(build, full_mode, stem, monkeypatch):
    monkeypatch.setenv("COLORLIB_MODE", "quick")
    run_cells(build, stem, {"config", "imports", "full"})
    assert not full_mode.exists()
