"""What holds for the check of one exercise: the numbers that it relies on, and answers that need a network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from answers import is_correct, is_told
from answers.notebook_03 import reaches
from answers.notebook_04 import modes
from answers.notebook_05 import residual_in_steps, unreached_names
from answers.notebook_06 import TWO_STRIDES, map_side_by_network, stack
from answers.notebook_08 import share
from answers.notebook_10 import interval
from answers.notebook_11 import explained
from PIL import Image
from skimage import data
from torch import nn

from colorlib import RECIPES, PatchGAN, Trainer, open_source
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.course.exercises import (
    notebook_00,
    notebook_02,
    notebook_03,
    notebook_04,
    notebook_05,
    notebook_06,
    notebook_07,
    notebook_10,
    notebook_11,
)
from colorlib.course.experiments import balance, pix2pix
from colorlib.figures import grey_image
from colorlib.inference import Colorizer
from colorlib.losses import clip_weights
from colorlib.steps import clipped_share

# --- 00: own_photograph ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return data.chelsea()[:120, :180]


@pytest.fixture(scope="module")
def coloured(photograph: np.ndarray) -> Image.Image:
    return Colorizer.load(device="cpu").colorize(photograph)


def as_lab(photograph: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return split_lab(to_float(torch.from_numpy(photograph.copy()).movedim(-1, 0)))


def as_array(image: torch.Tensor) -> np.ndarray:
    return image.movedim(0, -1).numpy()


@pytest.mark.slow
def test_a_coloured_photograph_is_correct_in_every_form(photograph, coloured, tmp_path):
    Image.fromarray(photograph).save(tmp_path / "mine.png")
    coloured.save(tmp_path / "coloured.jpg", quality=95)
    grey = Image.fromarray(as_array(grey_image(as_lab(photograph)[0])))
    for answer in (
        (photograph, coloured),
        [Image.fromarray(photograph), np.array(coloured)],
        (str(tmp_path / "mine.png"), coloured),
        (tmp_path / "mine.png", tmp_path / "coloured.jpg"),
        (grey, coloured),
    ):
        is_correct(notebook_00.own_photograph, answer)


def test_a_picture_that_is_not_the_photograph_in_colour_is_named(photograph, coloured):
    L, ab = as_lab(photograph)
    grey = as_array(grey_image(L))
    lighter = as_array(to_uint8(join_lab(L + 0.1, ab * 0.5)))
    mirrored = coloured.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    wrong = [
        ((photograph, coloured.resize((128, 128))), "the photograph's size, 180 x 120 pixels, got 128 x 128"),
        ((photograph, coloured.transpose(2)), "the photograph's size, 180 x 120 pixels, got 120 x 180"),
        ((photograph, grey), "at least 1, got 0.0, which is grey"),
        ((photograph, lighter), "the photograph's own lightness, to 1 of 100, got"),
        ((photograph, mirrored), "own lightness"),
        ((photograph, photograph), "the network's colours, got the photograph itself"),
        ((coloured, grey), "coloured: expected a mean chroma of at least 1"),
        (coloured, "expected (photograph, coloured), two pictures, got one picture"),
        ((photograph, coloured, grey), "two pictures, got 3"),
        ((photograph, 3), "coloured: expected a picture (file, PIL image or array), got 3 of type int"),
        (("no.jpg", coloured), "photograph: expected a picture (file, PIL image or array), got 'no.jpg' of type str"),
        ((photograph, np.array(coloured).transpose(2, 0, 1)), "got an array of shape (3, 120, 180)"),
    ]
    for answer, text in wrong:
        is_told(notebook_00.own_photograph, answer, text)


def test_a_pair_with_a_gap_is_not_attempted(photograph):
    for answer in ((photograph, ...), (photograph, None)):
        assert notebook_00.own_photograph.grade(answer).status == "not attempted"


def test_the_made_up_runs_are_read_as_the_trainer_reads_its_runs(tmp_path: Path):
    """The last hint reads the step of a run that the trainer wrote, and the trainer itself resumes at that step."""
    recipe = RECIPES["l1"].replace(size=16, width=4, batch_size=2, steps=5, precision="fp32")
    trainer = Trainer(recipe, open_source("scenes", 16), out=tmp_path / "run", device="cpu", save_every=2)
    for record in trainer.run():
        if record.step == 3:
            break
    code = notebook_00.step_to_resume_at.hints[1].split(" is nearly")[0]
    assert eval(code, {"run": tmp_path / "run"}) == Trainer.resume(tmp_path / "run", device="cpu").step == 2


# --- 02 ----------------------------------------------------------------------------------------------------------


def test_each_loss_is_least_at_the_statistic_that_the_feedback_names():
    """Trying every answer finds none with a lower price than the feedback names."""
    for statistic, loss in notebook_02._LOSSES.values():
        grid = [k / 10 for k in range(-20, 200)]
        price = {x: sum(loss(x, a) for a in notebook_02._VALUES) for x in grid}
        assert price[notebook_02._STATISTICS[statistic]] == pytest.approx(min(price.values()))


def test_the_roofs_of_the_exercise_are_those_of_the_scenes():
    """The text of the exercise names numbers that are constants of colorlib.scenes."""
    assert notebook_02._LOTS["a of a roof"] == ([0.30, -0.03], [0.7, 0.3])
    assert notebook_02._DOORS == ((0.42, 0.30), (0.10, -0.26))


# --- 03 ----------------------------------------------------------------------------------------------------------


def test_a_diagnosis_with_gaps_is_not_attempted():
    assert notebook_03.diagnosis.grade(dict.fromkeys("ABC", ...)).status == "not attempted"


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (notebook_03.reaches_generator, reaches),
        (notebook_05.unreached, unreached_names),
        (notebook_05.residual, residual_in_steps),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_check_leaves_the_random_state_of_torch_alone(exercise, answer):
    state = torch.get_rng_state()
    is_correct(exercise, answer)
    assert torch.equal(state, torch.get_rng_state())


def test_the_broken_losses_of_the_check_are_broken_and_the_good_ones_good():
    generator, discriminator, noise = nn.Linear(4, 2), nn.Linear(2, 1), torch.randn(8, 4)
    for _, loss, expected, _ in notebook_03._LOSSES:
        assert reaches(loss, generator, discriminator, noise) is expected


@pytest.mark.slow
def test_the_three_trainings_show_what_they_are_diagnosed_by():
    curves = notebook_03.three_trainings(seed=1)  # raises AssertionError unless each shows its symptom
    assert list(curves) == list(notebook_03._SYMPTOMS) and all(len(curve) == 400 for curve in curves.values())


MADE_UP = {
    "D wins": {"d_loss": 0.05, "g_loss": 5.0, "spread": 0.1},
    "healthy": {"d_loss": 1.0, "g_loss": 1.5, "spread": 1.9},
    "collapse": {"d_loss": 1.3, "g_loss": 0.8, "spread": 1.0},
}


@pytest.mark.parametrize("run", "ABC")
@pytest.mark.parametrize("shown", MADE_UP)
def test_a_training_without_its_symptom_is_noticed(monkeypatch, run, shown):
    """The trainings are replaced by made-up curves, in which one run shows what another run should show."""
    right = {name: diagnosis for name, (diagnosis, _) in notebook_03._SYMPTOMS.items()}
    runs = iter((right | {run: shown}).values())
    monkeypatch.setattr(
        notebook_03, "train", lambda *_, steps: SimpleNamespace(history=pd.DataFrame([MADE_UP[next(runs)]] * steps))
    )
    if right[run] == shown:
        assert len(notebook_03.three_trainings(seed=1)) == 3
    else:
        with pytest.raises(AssertionError, match="symptoms"):
            notebook_03.three_trainings(seed=1)


# --- 04, 06, 08 --------------------------------------------------------------------------------------------------


def test_the_points_of_the_check_find_as_many_modes_as_it_expects():
    points, labels, centres = notebook_04._modes_case()
    assert modes(points, labels, centres, 0.1).tolist() == [3, 1, 0]
    assert modes(points, labels, centres, 0.65).tolist() == [3, 2, 0]


def test_the_checks_of_sizes_and_fields_agree_with_the_library():
    for what, side, layers, wanted in notebook_06._MAPS:
        assert map_side_by_network(side, layers) == wanted, what
    for field, step in notebook_06._STEPS.items():
        assert PatchGAN(3, field, 4)(torch.randn(1, 3, 320, 320)).shape[-1] == pytest.approx(320 / step, abs=2)


def test_a_discriminator_is_not_changed_by_the_check():
    module = stack(*TWO_STRIDES)
    before = [weight.clone() for weight in module.parameters()]
    is_correct(notebook_06.judge_to_order, lambda: module)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert module.training and next(module.parameters()).dtype == torch.float32


def test_the_share_of_clipped_weights_is_that_of_the_library():
    critic = nn.Linear(8, 4)
    clip_weights(critic, 0.1)
    assert share(critic.state_dict(), 0.1) == clipped_share(critic, 0.1) > 0


# --- 07, 10, 11 --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first_scenes():
    return pix2pix.first_scenes(1024)


@pytest.mark.slow
@pytest.mark.parametrize("run", notebook_07.RUNS)
def test_the_curves_of_the_exercise_are_those_of_such_runs(run, first_scenes):
    changes = {"lambda 100": {}, "lambda 0": {"lambda_l1": 0.0}, "slow G": balance.SLOW_G}[notebook_07.RUNS[run]]
    recipe = pix2pix.recipe("both", steps=notebook_07.STEPS_A_ROW, **changes)
    trainer = Trainer(recipe, first_scenes, seed=1, device="cpu")
    for _ in trainer.run():
        pass
    means = trainer.history[list(notebook_07.COLUMNS)].mean()
    assert means.to_numpy() == pytest.approx(notebook_07.CURVES[run][0], rel=0.15)


@pytest.mark.parametrize("seed", range(20))
def test_a_right_interval_passes_with_any_draws(seed):
    """The tolerance leaves room for chance: whatever the generator, two thousand draws are enough."""
    rng = np.random.default_rng(seed)
    is_correct(notebook_10.paired_interval, lambda a, b, _: interval(a, b, rng, draws=2000))


def test_the_rate_decides_among_the_twelve_trials():
    shares = {name: explained(notebook_11.trials(), name) for name in ("lr_g", "lambda_l1", "patch")}
    assert shares["lr_g"] > 0.75 > 0.2 > shares["lambda_l1"] > shares["patch"]
