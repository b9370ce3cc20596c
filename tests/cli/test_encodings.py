"""Every command with file names that the encoding of its output does not have.

The characters are printed as escapes, and the results and the exit status do not change. Such encodings are the code
pages of Windows when the output is piped (cp1252, cp1250, cp932), and ascii under LC_ALL=C.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from colorlib.cli import commands, demo, doctor, entry, main

FOLDER = "Łódź 日本 é Ω"
TINY = ["--size", "16", "--width", "4", "--d-width", "4", "--batch-size", "2", "--device", "cpu"]


ENCODINGS = ["cp1252", "cp1250", "cp932", "ascii"]


def run(encoding: str, *args: str) -> tuple[int, str]:
    """Run a command whose stdout has this encoding, and return its exit status and what it printed.

    As usual, the stream raises an error for characters that the encoding does not have.
    """
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding=encoding)
    with contextlib.redirect_stdout(stdout):
        status = main([*args])
    stdout.flush()
    assert stdout.errors == "strict", "the command must leave the caller's stream as it was"
    return status, raw.getvalue().decode(encoding)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photographs. Each of the encodings lacks some characters of its name and of the files' names."""
    folder = tmp_path / FOLDER
    rng = np.random.default_rng(0)
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        (folder / "photos" / split).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / split / f"{i} Ł日.png")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_commands_do_their_work_whatever_stdout_can_encode(encoding: str, folder: Path) -> None:
    out, data = str(folder / "run"), f"folder:{folder / 'photos'}"
    lines = {
        "train": ["--data", data, *TINY, "--steps", "2", "--out", out],
        "resume": [out, "--steps", "3", "--device", "cpu"],
        "colorize": [str(folder / "photos"), "--weights", out, "--out", str(folder / "out"), "--device", "cpu"],
        "evaluate": ["--weights", out, "--data", data, "--csv", str(folder / "table.csv"), "--device", "cpu"],
        "data": ["prepare", data, "--size", "16"],
        "export": ["--weights", out, "--out", str(folder / "model.onnx")],
    }
    for command, flags in lines.items():
        status, text = run(encoding, command, *flags)
        assert status == 0, command
        assert command == "data" or any(escaped in text for escaped in (r"\u0141", r"\u65e5", r"\xe9")), text
    for name in ("run/latest", "out/train/0 Ł日.png", "table.csv", "model.onnx"):
        assert (folder / name).is_file(), name


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_demo_and_the_doctor_say_names_that_stdout_cannot_encode(
    encoding: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = SimpleNamespace(summary=lambda: FOLDER, report=folder / "report.html", out=folder)
    monkeypatch.setattr(demo, "run_demo", lambda *_, **__: done)
    check = doctor.Check("disk", True, FOLDER)
    monkeypatch.setattr(doctor, "doctor", lambda: [check])
    assert run(encoding, "demo")[0] == run(encoding, "doctor")[0] == 0


@pytest.mark.parametrize("name", ["", *entry.COMMANDS])
def test_help_can_be_printed(name: str) -> None:
    status, text = run("ascii", *([name] if name else []), "--help")
    assert status == 0 and "colorlib" in text


def test_this_file_tests_every_command() -> None:
    assert set(commands.COMMANDS) == {"train", "resume", "colorize", "evaluate", "data", "export", "demo", "doctor"}
