"""Right and wrong answers to the exercises of notebook 00, each wrong one with what its feedback says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def _newest_folder(run: Path) -> int:
    return max((int(path.name) for path in (run / "checkpoints").iterdir()), default=0)


def _rows_of_history(run: Path) -> int:
    return len((run / "history.csv").read_text().splitlines()) - 1


def _without_a_checkpoint_too(run: Path) -> int:
    return int((run / "latest").read_text())


def _as_text(run: Path) -> str:
    return (run / "latest").read_text() if (run / "latest").exists() else "0"


def _last_two_digits(run: Path) -> int:
    return int((run / "latest").read_text()[-2:]) if (run / "latest").exists() else 0


def _by_state(run: Path) -> int:
    try:
        name = (run / "latest").read_text()
    except FileNotFoundError:
        return 0
    return json.loads((run / "checkpoints" / name / "state.json").read_text())["step"]


def _as_numpy(run: Path) -> np.int64:
    return np.int64((run / "latest").read_text()) if (run / "latest").is_file() else np.int64(0)


# The answers to `own_photograph` need the network: see test_exercise_details.py.
RIGHT = [
    ("doctor_report", ["torchvision", "memory"]),
    ("doctor_report", {"memory", "torchvision"}),
    ("doctor_report", ("Memory", " TORCHVISION ")),
    ("full_mode", ["B", "D"]),
    ("full_mode", {"d", "b"}),
    ("full_mode", ("D", "B")),
    ("step_to_resume_at", _by_state),
    ("step_to_resume_at", _as_numpy),
]

WRONG = [
    # a line of information, a passed check, one of two, nothing, another word, other types
    (
        "doctor_report",
        ["torchvision", "memory", "export"],
        'expected 2 names, got 3, with export among them: it is marked "-", which is information',
    ),
    ("doctor_report", ["torch", "memory"], 'got 2, with torch among them: it is marked "ok", there is nothing to do'),
    ("doctor_report", ["torchvision"], "expected 2 names, got 1; those that you have are right"),
    ("doctor_report", [], "expected 2 names, got 0"),
    ("doctor_report", ["FAIL"], "expected some of Python, torch"),
    ("doctor_report", 2, "got 2 of type int"),
    ("doctor_report", ["memory", 7], "got 7 of type int"),
    # the theory, the asserts, the seed, one of two, a text of two letters, a type
    ("full_mode", ["A", "B", "D"], "with A among them: the theory takes the same steps in both modes"),
    ("full_mode", ["B", "C"], "with C among them: the asserts hold in both modes"),
    ("full_mode", ["E"], "with E among them: the seed is what you gave to configure"),
    ("full_mode", "B", "expected 2 letters, got 1; those that you have are right"),
    ("full_mode", "BD", "expected some of A, B, C, D, E in a list, got 'BD'"),
    ("full_mode", True, "got True of type bool"),
    # the newest folder, the length of the history, no checkpoint, text, part of the name, other types
    ("step_to_resume_at", _newest_folder, "before `latest` named its newest checkpoint: expected 20, got 40"),
    ("step_to_resume_at", _rows_of_history, "with 50 rows of history: expected 40, got 50"),
    (
        "step_to_resume_at",
        _without_a_checkpoint_too,
        "expected _without_a_checkpoint_too to return, got FileNotFoundError",
    ),
    ("step_to_resume_at", _as_text, "expected the int 40, got '00000040' of type str"),
    ("step_to_resume_at", _last_two_digits, "for a run of many steps: expected 1.2346e+07, got 78"),
    ("step_to_resume_at", lambda run: 40.0, "expected the int 40, got 40 of type float"),
    ("step_to_resume_at", lambda run: True, "expected the int 40, got True of type bool"),
    ("step_to_resume_at", 40),
]
