"""What README and site show was measured on the weights that ship."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "results"


@pytest.fixture
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", ROOT / "tools" / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_numbers_are_of_the_weights_that_ship() -> None:
    measured = json.loads((RESULTS / "about.json").read_text())["sha256"]
    files = (ROOT / "colorlib" / "weights").glob("*.safetensors")
    assert measured == {file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


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
        assert (RESULTS / name).stat().st_size < 2**20 and Image.open(RESULTS / name).width <= 1400


def test_a_page_without_marks_is_refused(results: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- results -->\nold\n<!-- /results -->\nb\n")
    results.write_block(page, ["new", "lines"])
    assert page.read_text() == "a\n<!-- results -->\nnew\nlines\n<!-- /results -->\nb\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="expected one pair of"):
        results.write_block(page, ["new"])
