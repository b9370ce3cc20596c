"""The checks of notebook 00: right answers in several forms pass, a student's mistakes get a line that helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course.exercises import notebook_00 as exercises
from colorlib.course.exercises.exercise import Exercise
from colorlib.figures import grey_image
from colorlib.inference import Colorizer


def said(exercise: Exercise, answer: object, status: str) -> str:
    feedback = exercise.grade(answer)
    assert feedback.status == status, feedback
    assert "\n" not in feedback.text and "Traceback" not in feedback.text
    return feedback.text


# --- a photograph of one's own -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return data.chelsea()[:120, :180]


@pytest.fixture(scope="module")
def coloured(photograph: np.ndarray) -> Image.Image:
    return Colorizer.load(device="cpu").colorize(photograph)


def as_tensor(picture: object):
    import torch

    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


def as_array(images) -> np.ndarray:
    return images[0].permute(1, 2, 0).numpy()


def test_a_coloured_photograph_is_correct_in_every_form(photograph, coloured, tmp_path: Path) -> None:
    Image.fromarray(photograph).save(tmp_path / "mine.png")
    coloured.save(tmp_path / "coloured.jpg", quality=95)
    grey = Image.fromarray(as_array(grey_image(split_lab(to_float(as_tensor(photograph)))[0])))
    for answer in (
        (photograph, coloured),
        [Image.fromarray(photograph), np.array(coloured)],
        (str(tmp_path / "mine.png"), coloured),
        (tmp_path / "mine.png", tmp_path / "coloured.jpg"),
        (grey, coloured),
    ):
        said(exercises.own_photograph, answer, "correct")


def test_what_is_not_the_photograph_in_colour_is_named(photograph, coloured) -> None:
    L, ab = split_lab(to_float(as_tensor(photograph)))
    grey = as_array(grey_image(L))
    lighter = as_array(to_uint8(join_lab(L + 0.1, ab * 0.5)))
    wrong = {
        "expected the photograph's size, 180 x 120 pixels, got 128 x 128": (photograph, coloured.resize((128, 128))),
        "expected the photograph's size, 180 x 120 pixels, got 120 x 180": (photograph, coloured.transpose(2)),
        "at least 1, got 0.0, which is grey": (photograph, grey),
        "expected the photograph's own lightness, to 1 of 100, got": (photograph, lighter),
        "coloured: expected the network's colours, got the photograph itself": (photograph, photograph),
        "coloured: expected a mean chroma of at least 1": (coloured, grey),
        "expected (photograph, coloured), two pictures, got one picture": coloured,
        "two pictures, got 3": (photograph, coloured, grey),
        "coloured: expected a picture (file, PIL image or array), got 3 of type int": (photograph, 3),
        "photograph: expected a picture (file, PIL image or array), got 'no.jpg' of type str": ("no.jpg", coloured),
        "coloured: expected a picture (file, PIL image or array), got an array of shape (3, 120, 180)": (
            photograph,
            np.array(coloured).transpose(2, 0, 1),
        ),
    }
    for text, answer in wrong.items():
        assert text in said(exercises.own_photograph, answer, "not yet"), text


def test_other_lightness_is_seen_even_in_a_grey_photograph(photograph, coloured) -> None:
    mirrored = coloured.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert "own lightness" in said(exercises.own_photograph, (photograph, mirrored), "not yet")


def test_nothing_yet(photograph) -> None:
    for answer in (None, ..., (photograph, ...), (photograph, None)):
        said(exercises.own_photograph, answer, "not attempted")


# --- a report ------------------------------------------------------------------------------------------------------


def test_the_failing_lines_in_any_form_are_correct() -> None:
    for answer in (["torchvision", "memory"], {"memory", "torchvision"}, ("Memory", " TORCHVISION ")):
        said(exercises.doctor_report, answer, "correct")


def test_lines_that_ask_for_nothing_are_named() -> None:
    wrong = {
        'expected 2 names, got 3, with export among them: it is marked "-", which is information': [
            "torchvision", "memory", "export",
        ],
        'got 2, with torch among them: it is marked "ok", there is nothing to do': ["torch", "memory"],
        "expected 2 names, got 1; those that you have are right": ["torchvision"],
        "expected 2 names, got 0": [],
        "expected some of Python, torch": ["FAIL"],
        "got 2 of type int": 2,
        "got 7 of type int": ["memory", 7],
    }  # fmt: skip
    for text, answer in wrong.items():
        assert text in said(exercises.doctor_report, answer, "not yet"), text
    said(exercises.doctor_report, ..., "not attempted")


# --- the modes -----------------------------------------------------------------------------------------------------


def test_the_letters_of_full_mode() -> None:
    for right in (["B", "D"], {"d", "b"}, ("D", "B")):
        said(exercises.full_mode, right, "correct")
    wrong = {
        "with A among them: the theory takes the same steps in both modes": ["A", "B", "D"],
        "with C among them: the asserts hold in both modes": ["B", "C"],
        "with E among them: the seed is what you gave to configure": ["E"],
        "expected 2 letters, got 1; those that you have are right": "B",
        "expected some of A, B, C, D, E in a list, got 'BD'": "BD",
        "got True of type bool": True,
    }
    for text, answer in wrong.items():
        assert text in said(exercises.full_mode, answer, "not yet"), text
    said(exercises.full_mode, None, "not attempted")


# --- where a run goes on -------------------------------------------------------------------------------------------


def newest_folder(run: Path) -> int:
    return max((int(path.name) for path in (run / "checkpoints").iterdir()), default=0)


def rows_of_history(run: Path) -> int:
    return len((run / "history.csv").read_text().splitlines()) - 1


def without_a_checkpoint_too(run: Path) -> int:
    return int((run / "latest").read_text())


def as_text(run: Path) -> str:
    return (run / "latest").read_text() if (run / "latest").exists() else "0"


def last_two_digits(run: Path) -> int:
    return int((run / "latest").read_text()[-2:]) if (run / "latest").exists() else 0


def test_functions_that_find_another_step_are_told_for_which_run() -> None:
    wrong = {
        newest_folder: "before `latest` named its newest checkpoint: expected 20, got 40",
        rows_of_history: "with 50 rows of history: expected 40, got 50",
        without_a_checkpoint_too: "expected without_a_checkpoint_too to return, got FileNotFoundError",
        as_text: "expected the int 40, got '00000040' of type str",
        last_two_digits: "for a run of many steps: expected 1.2346e+07, got 78",
        lambda run: 40.0: "expected the int 40, got 40 of type float",
        lambda run: True: "expected the int 40, got True of type bool",
    }
    for function, text in wrong.items():
        assert text in said(exercises.step_to_resume_at, function, "not yet"), text
    said(exercises.step_to_resume_at, lambda run: None, "not attempted")
    said(exercises.step_to_resume_at, 40, "not yet")


def test_functions_that_find_the_step_are_correct() -> None:
    def by_state(run: Path) -> int:
        import json

        try:
            name = (run / "latest").read_text()
        except FileNotFoundError:
            return 0
        return json.loads((run / "checkpoints" / name / "state.json").read_text())["step"]

    def as_numpy(run: Path) -> np.int64:
        return np.int64((run / "latest").read_text()) if (run / "latest").is_file() else np.int64(0)

    for function in (by_state, as_numpy):
        said(exercises.step_to_resume_at, function, "correct")


def test_the_pretended_runs_are_read_as_the_library_reads_them(tmp_path: Path) -> None:
    """The trainer itself is the oracle: the file that it goes by is the one that the check writes."""
    from colorlib import RECIPES, Trainer, open_source

    recipe = RECIPES["l1"].replace(size=16, width=4, batch_size=2, steps=5, precision="fp32")
    trainer = Trainer(recipe, open_source("scenes", 16), out=tmp_path / "run", device="cpu", save_every=2)
    for record in trainer.run():
        if record.step == 3:
            break
    namespace: dict = {}
    exec(exercises.step_to_resume_at.hints[1].split(" is nearly")[0].join(["def f(run): return ", ""]), namespace)
    assert namespace["f"](tmp_path / "run") == Trainer.resume(tmp_path / "run", device="cpu").step == 2


@pytest.mark.parametrize("name", ["own_photograph", "doctor_report", "full_mode", "step_to_resume_at"])
def test_hints_come_one_by_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = getattr(exercises, name)
    assert exercise.name == name and len(exercise.hints) >= 2
    exercise.hint()
    assert capsys.readouterr().out.startswith("hint ")
