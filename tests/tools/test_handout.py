"""What is handed out starts, and has no solution anywhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from notebook_fixtures import ROOT, load

SOLUTIONS = {
    f"{path.stem} {name}": code
    for path in sorted((ROOT / "colorlib/course/solutions").glob("*.json"))
    for name, code in json.loads(path.read_text(encoding="utf-8")).items()
}


@pytest.fixture(scope="module")
def handout() -> ModuleType:
    return load(ROOT / "tools" / "handout.py", "handout")


@pytest.fixture(scope="module")
def archive(handout: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handout.make_handout(tmp_path_factory.mktemp("handout"))


def texts(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Every text in an archive, those in the wheel inside it and those of notebooks' cells included."""
    for name in archive.namelist():
        raw = archive.read(name)
        if name.endswith(".whl"):
            yield from texts(zipfile.ZipFile(io.BytesIO(raw)))
        elif name.endswith(".ipynb"):
            yield name, "\n".join("".join(cell["source"]) for cell in json.loads(raw)["cells"])
        elif name.endswith(".json"):
            yield name, "\n".join(map(str, json.loads(raw).values()))
        else:
            yield name, raw.decode("utf-8", "replace")


def solutions_in(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        everything = list(texts(archive))
    return {name for name, code in SOLUTIONS.items() if any(code.strip() in text for _, text in everything)}


@pytest.mark.slow
def test_no_solution_is_in_it(archive: Path) -> None:
    assert len(SOLUTIONS) > 50
    assert solutions_in(archive) == set()


@pytest.mark.slow
def test_a_solution_in_it_would_be_seen(handout: ModuleType, tmp_path: Path) -> None:
    assert solutions_in(handout.make_handout(tmp_path, solutions=True)) == set(SOLUTIONS)


@pytest.mark.slow
def test_it_holds_what_a_student_needs(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = {name.partition("/")[2] for name in opened.namelist()}
        start = opened.read("colorization-course/START_HERE.txt").decode()
    wheel = next(name for name in names if name.endswith(".whl"))
    notebooks = {f"notebooks/{path.stem}.ipynb" for path in (ROOT / "notebooks" / "src").glob("*.py")}
    assert names == {"START_HERE.txt", "environment.yml", "data/README.md", "LICENSE", wheel, *notebooks}
    assert start.count(wheel) == 3 and "{" not in start


@pytest.mark.slow
def test_the_course_starts_from_it_and_says_that_solutions_were_left_out(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    (wheel,) = tmp_path.glob("*/wheels/*.whl")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True)
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
import colorlib
from colorlib.course.exercises import notebook_03
assert colorlib.__file__.startswith({str(site)!r})
notebook_03.gan_losses.solution()
notebook_03.gan_losses.hint()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("this copy of the course has no solutions") and second.startswith("hint 1 of")


def test_a_wheel_that_cannot_be_built_is_one_line(
    handout: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise handout.BuildError("the wheel could not be built: no reason given")

    monkeypatch.setattr(handout, "build_wheel", fail)
    assert handout.main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "the wheel could not be built: no reason given\n"
