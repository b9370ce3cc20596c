"""The package computes what it computed before it was reorganised, as recorded by `golden/measure.py`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
import measure  # noqa: E402

RECORDED = json.loads((GOLDEN / "golden.json").read_text())
# Other processors round otherwise, and twenty steps of a game enlarge it.
CLOSE = {"rel": 2e-3, "abs": 2e-5}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECORDED["training"]))
def test_twenty_steps_of_a_preset(name: str) -> None:
    expected, got = RECORDED["training"][name], measure.training(name)
    assert got["history"].keys() == expected["history"].keys()
    for column, values in expected["history"].items():
        for step, (old, new) in enumerate(zip(values, got["history"][column], strict=True), 1):
            assert (old is None) == (new is None), f"{column} at step {step}"
            assert old is None or new == pytest.approx(old, **CLOSE), f"{column} at step {step}"
    assert got["weights"] == pytest.approx(expected["weights"], **CLOSE)


@pytest.mark.parametrize("name", list(measure.SIZES))
def test_a_coloured_picture(name: str) -> None:
    expected = np.asarray(Image.open(GOLDEN / f"{name}.png")).astype(int)
    got = measure.picture(name).astype(int)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1


def test_a_table_of_an_evaluation() -> None:
    got = measure.table()
    assert got.keys() == RECORDED["table"].keys()
    for name, row in RECORDED["table"].items():
        assert got[name] == pytest.approx(row, rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("command", measure.COMMANDS)
def test_the_flags_of_a_command(command: str) -> None:
    assert measure.flags(command) == RECORDED["flags"][command]


@pytest.mark.slow
def test_a_run_of_the_first_edition_resumes(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "run", tmp_path / "run")
    assert measure.resumed(tmp_path / "run") == pytest.approx(RECORDED["resumed"], **CLOSE)
