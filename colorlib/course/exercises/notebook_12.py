"""Checks of notebook 12: a photograph's own lightness, marks in a folder, the worst first, and a contact sheet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from colorlib.color import AB_SCALE, join_lab, rgb_to_lab, split_lab, to_float, to_uint8
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_tensor, expect_type
from colorlib.inference import save_marked

# --- a photograph's own lightness ---------------------------------------------------------------------------------


def _photograph_and_coloured() -> tuple[Tensor, Tensor, Tensor]:
    """A detailed photograph, light and dark; a small picture in strong colours; and the two joined."""
    rng = torch.Generator().manual_seed(12)
    photograph = torch.randint(0, 256, (1, 3, 24, 36), generator=rng, dtype=torch.uint8)
    small_L = torch.rand(1, 1, 4, 6, generator=rng) * 0.4
    small_ab = torch.randn(1, 2, 4, 6, generator=rng) * 0.8
    coloured = to_uint8(join_lab(small_L, small_ab, gamut="chroma"))
    L, _ = split_lab(to_float(photograph))
    _, ab = split_lab(to_float(coloured))
    ab = torch.nn.functional.interpolate(ab, size=(24, 36), mode="bilinear", align_corners=False)
    return photograph, coloured, to_uint8(join_lab(L, ab, gamut="chroma"))


def _check_own_lightness(answer: Any) -> None:
    expect_function("own_lightness", answer, "a function of two pictures")
    photograph, coloured, wanted = _photograph_and_coloured()
    got = answer(photograph.clone(), coloured.clone())
    expect_tensor("your picture", got, "a tensor")
    if got.dtype != torch.uint8 or got.shape != photograph.shape:
        raise NotYet(f"expected uint8 of shape {tuple(photograph.shape)}, got {got.dtype} of shape {tuple(got.shape)}")
    lab, of_wanted = (rgb_to_lab(to_float(images)) for images in (got, wanted))
    lightness = (lab[:, 0] - rgb_to_lab(to_float(photograph))[:, 0]).abs().mean()
    expect("mean difference of L* to the photograph's", lightness, 0.0, tolerance=0.4)
    chroma = (lab - of_wanted)[:, 1:].norm(dim=1).mean()
    expect(f"mean difference of a*, b* (each up to {AB_SCALE:.0f}) to the enlarged ones", chroma, 0.0, tolerance=0.8)


own_lightness = Exercise(
    "own_lightness",
    _check_own_lightness,
    hints=[
        "split_lab gives L and ab of each picture; which of the four do you need?",
        "interpolate(ab, size=L.shape[-2:], mode='bilinear', align_corners=False), then join_lab with gamut='chroma'",
    ],
)

# --- marks in a folder --------------------------------------------------------------------------------------------


def _fill(folder: Path) -> None:
    """Photographs with and without the mark, under names that say nothing, and things that are no photographs."""
    picture = Image.new("RGB", (6, 4), (120, 90, 60))
    for name in ("b.jpg", "coast.png", "A.JPEG", "below/deep.png"):
        save_marked(picture, folder / name)
    for name in ("colorized.jpg", "plain.png"):
        picture.save(folder / name)
    exif = Image.Exif()
    exif[0x010E] = "Colorized by hand, 1911."
    picture.save(folder / "by_hand.jpg", exif=exif)
    (folder / "notes.txt").write_text("Colorized by a model: the colours are guesses, not a record.")
    (folder / "empty.jpg").touch()


def _check_marked_files(answer: Any) -> None:
    expect_function("marked_files", answer, "a function of a folder")
    with tempfile.TemporaryDirectory() as name:
        _fill(Path(name))
        got = answer(Path(name))
    expect_type("for a folder with three marked files", got, (list, tuple), "a list of names")
    expect("for a folder with three marked files", [str(item) for item in got], ["A.JPEG", "b.jpg", "coast.png"])


marked_files = Exercise(
    "marked_files",
    _check_marked_files,
    hints=[
        "neither the name nor the ending says whether a file is marked; ask is_marked for every file",
        "for path in sorted(folder.iterdir()): skip folders, and put is_marked(path) into try ... except ColorlibError",
    ],
)

# --- the worst first ----------------------------------------------------------------------------------------------

# True and coloured sRGB of flat pictures, the smallest gain first. By error, by the ratio of the errors, by PSNR, by
# PSNR's gain and with the mean of R, G and B as grey they have five other orders.
PATCHES = {
    "iris": ((59, 48, 156), (127, 30, 0)),
    "leaf": ((65, 212, 107), (224, 179, 119)),
    "shell": ((222, 207, 229), (187, 215, 248)),
    "lime": ((43, 226, 124), (185, 210, 0)),
    "lake": ((56, 116, 131), (0, 118, 145)),
}


def _flat(colour: tuple[int, int, int]) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).repeat(1, 1, 6, 8)


def _check_worst_first(answer: Any) -> None:
    expect_function("worst_first", answer, "a function of two dictionaries")
    coloured = {name: _flat(PATCHES[name][1]) for name in sorted(PATCHES)}
    truth = {name: _flat(PATCHES[name][0]) for name in sorted(PATCHES)}
    got = answer(coloured, truth)
    expect_type("for five pictures", got, (list, tuple), "a list of names")
    if sorted(map(str, got)) != sorted(PATCHES):
        raise NotYet(f"expected the names {', '.join(sorted(PATCHES))}, each once, got {list(got)}")
    expect("names, the smallest gain first", list(got), list(PATCHES))


worst_first = Exercise(
    "worst_first",
    _check_worst_first,
    hints=[
        "write a function gain(name) first, and check its sign: a picture worse than grey has a gain below zero",
        "grey is grey_image(split_lab(to_float(true))[0]); then sorted(truth, key=gain)",
    ],
)

# --- a contact sheet ----------------------------------------------------------------------------------------------


def _sheet(pictures: list[np.ndarray], columns: int, cell: int, margin: int) -> np.ndarray:
    rows, step = -(-len(pictures) // columns), cell + margin
    sheet = np.full((rows * step + margin, columns * step + margin, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        top = margin + number // columns * step + (cell - height) // 2
        left = margin + number % columns * step + (cell - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet


def _check_contact_sheet(answer: Any) -> None:
    expect_function("contact_sheet", answer, "a function")
    sizes = [(6, 10), (10, 7), (10, 10), (3, 4), (9, 10)]
    pictures = [np.full((*size, 3), 30 * k + 20, np.uint8) for k, size in enumerate(sizes)]
    pictures[0][0, 0] = 0  # a corner, to tell up from down
    cases = {
        "for five pictures in three columns": (pictures, 3, 10, 2),
        "for four pictures in two columns, without margin": (pictures[:4], 2, 10, 0),
        "for one picture in three columns": (pictures[:1], 3, 12, 1),
    }
    for what, (given, columns, cell, margin) in cases.items():
        got = answer([picture.copy() for picture in given], columns, cell, margin)
        wanted = _sheet(given, columns, cell, margin)
        expect_type(what, got, np.ndarray, "an array")
        if got.dtype != np.uint8:
            raise NotYet(f"{what}: expected uint8, got {got.dtype}")
        expect(f"{what}, cell {cell}, margin {margin}", got, wanted)


contact_sheet = Exercise(
    "contact_sheet",
    _check_contact_sheet,
    hints=[
        "how many rows? A last row that is not full counts as well. Each square takes cell + margin, and one margin "
        "more goes around everything",
        "row, column = divmod(number, columns); the square starts at margin + row * (cell + margin)",
    ],
)
