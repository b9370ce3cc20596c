"""The results that the README and the site show are those of the weights that ship."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from notebook_fixtures import load

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "experiments" / "shipped_weights"


@pytest.fixture
def results() -> ModuleType:
    return load(ROOT / "tools" / "results.py", "results")


def test_the_numbers_are_of_the_weights_that_ship(results: ModuleType) -> None:
    assert json.loads((RESULTS / "about.json").read_text())["sha256"] == results.about()["sha256"]


def test_the_pages_show_the_tables(results: ModuleType) -> None:
    tables = {name: pd.read_csv(RESULTS / f"{name}-test.csv", index_col="model") for name in results.SETS}
    lines = "\n".join(results.table_lines(tables))
    for page in results.PAGES:
        assert results.BLOCK.search(page.read_text(encoding="utf-8"))[0].count(lines) == 1, f"{page}: make results"


def test_every_picture_is_described_and_small() -> None:
    described = json.loads((RESULTS / "pictures.json").read_text())
    assert {path.name for path in RESULTS.glob("*.png")} == described.keys()
    for name, texts in described.items():
        assert texts["alt"] and texts["caption"]
        assert (RESULTS / name).stat().st_size < 2**20


def test_a_page_without_marks_is_refused(results: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- results -->\nold\n<!-- /results -->\nb\n")
    results.write_block(page, ["new", "lines"])
    assert page.read_text() == "a\n<!-- results -->\nnew\nlines\n<!-- /results -->\nb\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="expected one pair of"):
        results.write_block(page, ["new"])
