"""The notebooks themselves: stored as their text says, linked, small, spelled; and their solutions are right."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEMS = sorted(path.stem for path in (ROOT / "notebooks" / "src").glob("*.py"))


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_is_stored_as_its_text_says(check, stem):
    problems = check.problems(stem)
    assert not problems, "\n".join(problems)


def test_every_stored_notebook_has_a_source(check):
    assert not check.strays(), "\n".join(check.strays())


@pytest.mark.slow
@pytest.mark.parametrize("stem", STEMS)
def test_the_solutions_of_a_notebook_pass_its_checks(build, stem):
    """Imports, exercises and checks alone: solutions need nothing that the notebook trains."""
    namespace: dict[str, object] = {}
    said = io.StringIO()
    for cell in build.with_code(build.read_source(stem), build.solve).cells:
        if {"imports", "exercise", "exercise-check"} & set(build.tags(cell)):
            with contextlib.redirect_stdout(said if "exercise-check" in build.tags(cell) else io.StringIO()):
                exec(compile(cell.source, f"{stem}: {cell.id}", "exec"), namespace)
    answers = [line for line in said.getvalue().splitlines() if line]
    assert len(answers) >= 3 and set(answers) == {"correct"}, answers


@pytest.mark.slow
def test_spelling():
    """Names of people and of Python are in the list of words to ignore (pyproject.toml)."""
    folders = ["notebooks/src", "colorlib", "tests", "tools", "benchmarks", "site/app/src"]
    pages = [*ROOT.glob("*.md"), *ROOT.glob("site/*.md"), *ROOT.glob("site/*.py"), ROOT / "data" / "README.md"]
    command = [sys.executable, "-m", "codespell_lib", *folders, *map(str, pages)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
