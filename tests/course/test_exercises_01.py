"""The checks of notebook 01: mistakes that students make are told, right answers of any style pass."""

import math

import numpy as np
import pytest
import torch

from colorlib import color, scenes
from colorlib.course.exercises import notebook_01 as exercises
from colorlib.course.exercises.exercise import Exercise


def not_yet(exercise: Exercise, answer: object) -> str:
    feedback = exercise.grade(answer)
    assert feedback.status == "not yet", feedback
    assert "expected" in feedback.text and "got" in feedback.text
    assert "\n" not in feedback.text and "Traceback" not in feedback.text
    return feedback.text


def correct(exercise: Exercise, answer: object) -> None:
    feedback = exercise.grade(answer)
    assert feedback.status == "correct", feedback


ALL = [exercises.xyz_to_lab, exercises.colorfulness, exercises.grey_wins_beyond, exercises.grey_beats]


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
def test_stub_is_not_attempted(exercise):
    assert exercise.grade(...).status == "not attempted"
    assert exercise.grade(None).status == "not attempted"
    if exercise is not exercises.grey_beats:
        assert exercise.grade(lambda *_: None).status == "not attempted"
        assert exercise.grade(lambda *_: ...).status == "not attempted"


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
def test_hints_go_from_vague_to_nearly_the_answer(exercise, capsys):
    for number in (1, 2, 2):
        exercise.hint()
        assert capsys.readouterr().out.startswith(f"hint {number} of 2")


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
@pytest.mark.parametrize("answer", [3.0, "text", [1, 2, 3], {}, np.zeros(2), lambda: 1], ids=lambda a: type(a).__name__)
def test_wrong_types_are_told_in_a_line(exercise, answer):
    not_yet(exercise, answer)


# ----------------------------------------------------------------------------- XYZ to Lab


def lab(xyz, white, *, knee=(6 / 29) ** 3, slope=1 / (3 * (6 / 29) ** 2), scale=(116, 500, 200), order=(0, 1, 2)):
    t = np.asarray(xyz) / np.asarray(white)
    f = np.where(t > knee, np.cbrt(t), slope * t + 4 / 29)[list(order)]
    return np.array([scale[0] * f[1] - 16, scale[1] * (f[0] - f[1]), scale[2] * (f[1] - f[2])])


def test_xyz_to_lab_right():
    correct(exercises.xyz_to_lab, lab)
    correct(exercises.xyz_to_lab, lambda xyz, white: tuple(lab(xyz, white)))
    correct(exercises.xyz_to_lab, lambda xyz, white: torch.tensor(lab(xyz, white)))
    correct(exercises.xyz_to_lab, lambda xyz, white: lab(xyz, white, knee=0.008856, slope=7.787))


WRONG_LAB = {
    "the white forgotten": lambda xyz, white: lab(xyz, (1, 1, 1)),
    "the white of screens only": lambda xyz, white: lab(xyz, exercises.D65),
    "no line near black": lambda xyz, white: lab(xyz, white, knee=-1),
    "knee taken for its root": lambda xyz, white: lab(xyz, white, knee=6 / 29),
    "a and b scaled alike": lambda xyz, white: lab(xyz, white, scale=(116, 500, 500)),
    "Z before X": lambda xyz, white: lab(xyz, white, order=(2, 1, 0)),
    "a and b exchanged": lambda xyz, white: lab(xyz, white)[[0, 2, 1]],
    "L without the 16": lambda xyz, white: lab(xyz, white) + np.array([16, 0, 0]),
    "square root": lambda xyz, white: 100 * np.sqrt(np.asarray(xyz) / white),
}


@pytest.mark.parametrize("answer", WRONG_LAB.values(), ids=WRONG_LAB.keys())
def test_xyz_to_lab_wrong(answer):
    not_yet(exercises.xyz_to_lab, answer)


def test_xyz_to_lab_names_channel_colour_and_white():
    text = not_yet(exercises.xyz_to_lab, WRONG_LAB["the white of screens only"])
    assert "with the white D50" in text
    text = not_yet(exercises.xyz_to_lab, WRONG_LAB["no line near black"])
    assert "dark colour" in text
    assert "three numbers" in not_yet(exercises.xyz_to_lab, lambda xyz, white: 50.0)
    assert "three numbers" in not_yet(exercises.xyz_to_lab, lambda xyz, white: np.zeros((3, 1, 1)))
    assert "ZeroDivisionError" in not_yet(exercises.xyz_to_lab, lambda xyz, white: 1 / 0)


# ----------------------------------------------------------------------------- colorfulness


def colorful(rgb, *, absolute=False, factor=0.3, divide=1.0):
    red, green, blue = np.asarray(rgb).astype(float) / divide
    rg, yb = red - green, (red + green) / 2 - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    return np.sqrt(rg.var() + yb.var()) + factor * np.hypot(rg.mean(), yb.mean())


def wrapped(rgb):
    """Opponents of 8-bit numbers, which wrap around below 0."""
    red, green, blue = rgb
    rg, yb = (red - green).float(), ((red + green) // 2 - blue).float()
    return (rg.var() + yb.var()).sqrt() + 0.3 * (rg.mean() ** 2 + yb.mean() ** 2).sqrt()


def test_colorfulness_right():
    correct(exercises.colorfulness, colorful)
    correct(exercises.colorfulness, lambda rgb: torch.tensor(colorful(rgb)))
    correct(exercises.colorfulness, lambda rgb: np.float32(colorful(rgb)))


WRONG_COLORFULNESS = {
    "8 bits wrap around": wrapped,
    "absolute opponents": lambda rgb: colorful(rgb, absolute=True),
    "factor 1 for the mean": lambda rgb: colorful(rgb, factor=1.0),
    "0..1 for 0..255": lambda rgb: colorful(rgb, divide=255),
    "variance for deviation": lambda rgb: colorful(rgb) ** 2,
    "no mean": lambda rgb: colorful(rgb, factor=0),
    "an image": lambda rgb: rgb,
    "NaN": lambda rgb: math.nan,
}


@pytest.mark.parametrize("answer", WRONG_COLORFULNESS.values(), ids=WRONG_COLORFULNESS.keys())
def test_colorfulness_wrong(answer):
    not_yet(exercises.colorfulness, answer)


# ----------------------------------------------------------------------------- when grey wins


def angle(guess, truth):
    return math.degrees(math.acos(min(1.0, guess / (2 * truth))))


def test_grey_wins_beyond_right():
    correct(exercises.grey_wins_beyond, angle)
    correct(exercises.grey_wins_beyond, lambda g, t: np.degrees(np.arccos(np.clip(g / (2 * t), -1, 1))))
    correct(exercises.grey_wins_beyond, lambda g, t: torch.rad2deg(torch.acos(torch.tensor(min(1, g / 2 / t)))))


WRONG_ANGLES = {
    "radians": lambda g, t: math.radians(angle(g, t)),
    "60 degrees always": lambda g, t: 60,
    "the ratio upside down": lambda g, t: math.degrees(math.acos(min(1.0, t / (2 * g)))),
    "the factor 2 forgotten": lambda g, t: math.degrees(math.acos(min(1.0, g / t))),
    "sine": lambda g, t: math.degrees(math.asin(min(1.0, g / (2 * t)))),
    "no angle above 2": lambda g, t: math.degrees(math.acos(g / (2 * t))),
    "NaN above 2": lambda g, t: np.degrees(np.arccos(g / (2 * t))) if g <= 2 * t else math.nan,
}


@pytest.mark.parametrize("answer", WRONG_ANGLES.values(), ids=WRONG_ANGLES.keys())
def test_grey_wins_beyond_wrong(answer):
    not_yet(exercises.grey_wins_beyond, answer)


# ----------------------------------------------------------------------------- an image on which grey wins


def turned(index: int, degrees: float, gain: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A scene, and the same with all hues turned and the chroma multiplied."""
    truth = scenes.draw([index], 64, split="val").rgb
    L, ab = color.split_lab(color.to_float(truth))
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotated = torch.stack([c * ab[:, 0] - s * ab[:, 1], s * ab[:, 0] + c * ab[:, 1]], 1)
    return truth, color.to_uint8(color.join_lab(L, gain * rotated, gamut="chroma"))


def test_grey_beats_right():
    correct(exercises.grey_beats, turned(8, 90))
    correct(exercises.grey_beats, turned(3, 180))
    correct(exercises.grey_beats, list(turned(8, -100)))
    truth, colouring = turned(8, 90)
    correct(exercises.grey_beats, (truth[0], colouring[0]))


WRONG_IMAGES = {
    "too small a turn": (turned(8, 20), "dB"),
    "the truth itself": (turned(8, 0), "dB"),
    "grey": (turned(8, 90, 0.0), "chroma"),
    "far too vivid": (turned(8, 90, 1.6), "chroma"),
    "another picture": ((turned(8, 0)[0], turned(3, 0)[0]), "lightness"),
    "the wrong way round": (turned(8, 90)[0], "a pair"),
    "float images": (tuple(color.to_float(image) for image in turned(8, 90)), "uint8"),
    "another size": ((turned(8, 90)[0], turned(8, 90)[1][..., :32]), "shape"),
    "no channels": (tuple(image[:, 0] for image in turned(8, 90)), "shape"),
    "arrays": (tuple(image.numpy() for image in turned(8, 90)), "uint8"),
    "index and hue": ((8, 90), "uint8"),
    "three pictures": ((*turned(8, 90), turned(8, 90)[0]), "3 things"),
}


@pytest.mark.parametrize(("answer", "told"), WRONG_IMAGES.values(), ids=WRONG_IMAGES.keys())
def test_grey_beats_wrong(answer, told):
    assert told in not_yet(exercises.grey_beats, answer)
