"""Expected failures are one line, in a notebook too."""

import subprocess
import sys

import pytest

import colorlib
from colorlib.errors import one_line

CELL = "from colorlib.errors import DataError\nraise {error}('expected photographs, got none; try quick mode')"


@pytest.mark.slow
@pytest.mark.parametrize(("error", "lines"), [("DataError", 1), ("KeyError", 4)])
def test_a_notebook_shows_an_expected_failure_as_one_line(error, lines):
    code = "from IPython.core.interactiveshell import InteractiveShell as S; import sys; S().run_cell(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, CELL.format(error=error)], capture_output=True, text=True, check=True
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert "expected photographs, got none; try quick mode" in said[-1]
    assert len(said) == 1 if lines == 1 else len(said) >= lines


def test_every_expected_failure_is_of_one_family():
    for name in ("CheckpointError", "DataError", "RunError", "TrainingDiverged"):
        assert issubclass(getattr(colorlib, name), colorlib.ColorlibError)


def test_an_error_in_one_line():
    assert one_line(ValueError("two\n  lines")) == "two lines"
    assert one_line(MemoryError()) == "MemoryError"
    assert one_line(FileNotFoundError(2, "No such file", "a.png")) == "cannot use a.png: No such file"
