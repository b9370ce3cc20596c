"""The exercises of notebook 00: a photograph of one's own, a report, the modes, and where a run goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from colorlib.color import rgb_to_lab, to_float
from colorlib.course.exercises.exercise import Exercise, NotAttempted, NotYet, expect, expect_function, is_missing, kind
from colorlib.errors import ColorlibError, one_line
from colorlib.images import read_image

# Rounding to 8 bits changes L* by up to 0.25; a JPEG that was saved in between, by more.
LIGHTNESS_TOLERANCE = 1.0
MIN_CHROMA = 1.0


def _check_own_photograph(answer: Any) -> None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise NotYet(f"expected (photograph, coloured), two pictures, got {_in_words(answer)}")
    if any(is_missing(picture) for picture in answer):
        raise NotAttempted
    photograph, coloured = (_lab(name, image) for name, image in zip(("photograph", "coloured"), answer, strict=True))
    if photograph.shape != coloured.shape:
        wanted, got = (f"{lab.shape[2]} x {lab.shape[1]}" for lab in (photograph, coloured))
        raise NotYet(f"coloured: expected the photograph's size, {wanted} pixels, got {got}")
    moved = float((photograph[0] - coloured[0]).abs().mean())
    if moved > LIGHTNESS_TOLERANCE:
        raise NotYet(
            f"coloured: expected the photograph's own lightness, to {LIGHTNESS_TOLERANCE:g} of 100, got {moved:.1f} off"
        )
    chroma = float(coloured[1:].norm(dim=0).mean())
    if chroma < MIN_CHROMA:
        raise NotYet(f"coloured: expected a mean chroma of at least {MIN_CHROMA:g}, got {chroma:.1f}, which is grey")
    if torch.equal(photograph, coloured):
        raise NotYet("coloured: expected the network's colours, got the photograph itself")


def _in_words(answer: Any) -> str:
    if isinstance(answer, tuple | list):
        return f"{len(answer)}"
    return "one picture" if isinstance(answer, Image.Image) else kind(answer)


def _lab(name: str, image: Any) -> torch.Tensor:
    try:
        rgb = read_image(image).rgb
    except (ColorlibError, ValueError, OSError, TypeError, AttributeError) as error:
        raise NotYet(
            f"{name}: expected a picture (file, PIL image or array), got {kind(image)}: {one_line(error)}"
        ) from error
    return rgb_to_lab(to_float(torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)))


def _choice(what: str, allowed: list[str], right: set[str], why: dict[str, str]) -> Callable[[Any], None]:
    """A test for some of the names in `allowed`, in any order and case. `why` explains a wrong one."""
    known = {name.casefold(): name for name in allowed}

    def test(answer: Any) -> None:
        names = list(answer) if isinstance(answer, list | tuple | set | frozenset) else [answer]
        for name in names:
            if not isinstance(name, str) or name.strip().casefold() not in known:
                raise NotYet(f"expected some of {', '.join(allowed)} in a list, got {kind(name)}")
        chosen = {known[name.strip().casefold()] for name in names}
        for name in allowed:
            if name in chosen - right:
                raise NotYet(f"expected {len(right)} {what}, got {len(chosen)}, with {name} among them: {why[name]}")
        if chosen != right:
            raise NotYet(f"expected {len(right)} {what}, got {len(chosen)}; those that you have are right")

    return test


_OK = 'it is marked "ok", there is nothing to do'
_INFORMATION = 'it is marked "-", which is information'
_check_doctor_report = _choice(
    "names",
    ["Python", "torch", "torchvision", "packages", "notebooks", "export", "device", "memory", "disk"],
    {"torchvision", "memory"},
    {name: _OK for name in ("Python", "torch", "packages", "device", "disk")}
    | {name: _INFORMATION for name in ("notebooks", "export")},
)
_check_full_mode = _choice(
    "letters",
    list("ABCDE"),
    {"B", "D"},
    {
        "A": "the theory takes the same steps in both modes",
        "C": "the asserts hold in both modes",
        "E": "the seed is what you gave to configure",
    },
)


def _check_step(answer: Any) -> None:
    expect_function("step_to_resume_at", answer, "a function of a folder")
    cases = [
        ("for a run whose latest checkpoint is of step 40, with 50 rows of history", "00000040", [20, 40], 50, 40),
        ("for a run that died before `latest` named its newest checkpoint", "00000020", [20, 40], 40, 20),
        ("for a run without a checkpoint", None, [], 10, 0),
        ("for a run of many steps", "12345678", [12345678], 12345678 % 100, 12345678),
    ]
    for what, latest, checkpoints, rows, wanted in cases:
        with tempfile.TemporaryDirectory() as folder:
            _write_run(Path(folder), latest, checkpoints, rows)
            got = answer(Path(folder))
        if not is_missing(got) and (isinstance(got, bool) or not isinstance(got, int | np.integer)):
            raise NotYet(f"{what}: expected the int {wanted}, got {kind(got)}")
        expect(what, got, wanted)


def _write_run(folder: Path, latest: str | None, checkpoints: list[int], rows: int) -> None:
    """The files of a run, as far as they tell its step."""
    (folder / "recipe.json").write_text("{}")
    (folder / "history.csv").write_text("step,l1\n" + "".join(f"{step},0.1\n" for step in range(1, rows + 1)))
    (folder / "checkpoints").mkdir()
    for step in checkpoints:
        (folder / "checkpoints" / f"{step:08d}").mkdir()
        (folder / "checkpoints" / f"{step:08d}" / "state.json").write_text(f'{{"step": {step}}}')
    if latest is not None:
        (folder / "latest").write_text(latest)


own_photograph = Exercise(
    "own_photograph",
    _check_own_photograph,
    hints=[
        "colorize takes a file name, a PIL image or an array, and returns a picture of the same size",
        'mine = ("holiday.jpg", colorizer.colorize("holiday.jpg"))',
    ],
)
doctor_report = Exercise(
    "doctor_report",
    _check_doctor_report,
    hints=["the mark at the start of a line says it all", "only FAIL wants something from you; there are two"],
)
full_mode = Exercise(
    "full_mode",
    _check_full_mode,
    hints=[
        "look at the table of the two modes: which of its rows differ?",
        "full mode adds sections and time, and takes nothing away; two letters are right",
    ],
)
step_to_resume_at = Exercise(
    "step_to_resume_at",
    _check_step,
    hints=[
        "one file is written last, and names the checkpoint that is whole",
        'int((run / "latest").read_text()) is nearly it: what if there is no such file?',
    ],
)
