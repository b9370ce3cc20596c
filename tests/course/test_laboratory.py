"""The training panel without a browser: controls are set, buttons are clicked, text and picture follow."""

import html
import itertools
import re

import pytest
from conftest import make_source
from matplotlib.figure import Figure
from test_session import explode, wait_for

from colorlib import RECIPES
from colorlib.course import laboratory
from colorlib.course.laboratory import BOUNDS, PRESETS, Laboratory, as_code, describe, draw_look, make_recipe
from colorlib.recipes import Recipe

SMALL = {"width": 4, "depth": 2, "batch": 2, "patch": 1}


def small(**options) -> Laboratory:
    return Laboratory(make_source(64, 16), make_source(8, 16, "val"), size=16, device="cpu", **{**SMALL, **options})


@pytest.fixture
def lab_with_pictures():
    made = small()
    yield made
    made.session.pause()


@pytest.fixture
def lab(monkeypatch):
    """A panel whose pictures are not drawn, which would take most of the time."""
    monkeypatch.setattr(laboratory, "draw_look", lambda figure, look: None)
    made = small()
    yield made
    made.session.pause()


def text(lab: Laboratory) -> list[str]:
    return html.unescape(re.sub("</?code>", "", lab.text.value)).split("<br>")


@pytest.mark.parametrize(("loss", "bound"), list(itertools.product(PRESETS, BOUNDS)))
def test_every_loss_goes_with_every_bound_and_its_line_makes_the_same_recipe(loss, bound):
    recipe = make_recipe(loss=loss, bound=bound, lambda_l1=3.0)
    assert recipe.adversarial == loss and recipe.lambda_l1 == 3.0
    assert eval(as_code(recipe), {"RECIPES": RECIPES}) == recipe
    kind = bound.partition(" ")[0]
    assert (recipe.clip is not None) == (kind == "clip") and (recipe.lambda_gp > 0) == (kind == "penalty")
    if kind == "penalty":
        assert recipe.norm == "layer"


def test_the_line_replaces_the_stopping_target_of_its_preset():
    recipe = RECIPES["hinge"].replace(minutes=2.0)
    assert as_code(recipe) == 'RECIPES["hinge"].replace(minutes=2.0)'
    assert as_code(RECIPES["l1"]) == 'RECIPES["l1"].replace()'


@pytest.mark.slow
def test_every_control_changes_what_is_trained(lab):
    lab.try_controls()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lambda_l1", "lr_d", "bound", "depth"])
def test_a_control_that_changes_nothing_is_found(lab, monkeypatch, name):
    fixed = lab.controls[name].value
    wired = make_recipe
    monkeypatch.setattr(laboratory, "make_recipe", lambda **values: wired(**{**values, name: fixed}))
    with pytest.raises(AssertionError, match=f"expected {name} to change what is trained"):
        lab.try_controls()


@pytest.mark.slow
def test_buttons(lab_with_pictures):
    lab = lab_with_pictures
    assert text(lab)[0] == "ready: step 0"
    picture = lab.image.value
    lab.buttons["Start"].click()
    assert text(lab)[0].startswith("training: step 0")
    wait_for(lambda: lab.session.trainer.step > 3)
    lab.buttons["Pause"].click()
    wait_for(lambda: not text(lab)[0].startswith(("training", "pausing")))
    assert text(lab)[0].startswith(f"paused: step {lab.session.trainer.step}, L1 ")
    assert lab.image.value != picture
    lab.buttons["Reset"].click()
    assert text(lab)[0] == "ready: step 0" and lab.image.value == picture


def test_a_moved_slider_acts_at_once_or_at_the_reset(lab):
    lab.train(3)
    lab.controls["lambda_l1"].value = 3.0
    assert lab.session.trainer.recipe.lambda_l1 == 3.0
    lab.controls["depth"].value = 3
    assert lab.session.trainer.recipe.depth == 2
    assert "press Reset to use the new depth" in text(lab)
    lab.buttons["Reset"].click()
    assert lab.session.trainer.recipe.depth == 3 and "press Reset" not in lab.text.value


def test_the_line_below_is_the_recipe_in_training(lab):
    lab.train(2)
    lab.controls["lr_g"].value = 5e-3
    recipe = eval(text(lab)[-1], {"RECIPES": RECIPES})
    assert isinstance(recipe, Recipe) and recipe == lab.session.trainer.recipe.replace(steps=2)


@pytest.mark.slow
def test_a_patch_larger_than_the_picture_is_refused_in_one_line(lab):
    lab.train(2)
    before = lab.session.wanted
    lab.controls["patch"].value = 70
    lines = text(lab)
    assert any("got 70 px at size 16" in line for line in lines)
    assert lab.session.wanted == before
    lab.controls["patch"].value = 16
    assert "70 px" not in lab.text.value


def test_a_batch_larger_than_the_set_is_refused_in_one_line():
    few = make_source(5, 16)
    lab = Laboratory(few, few, size=16, device="cpu", **SMALL)
    before = lab.session.wanted
    lab.controls["batch"].value = 8
    assert any("a batch of at most 5" in line for line in text(lab)) and lab.session.wanted == before


def test_a_training_that_diverges_says_so_and_offers_a_reset(lab):
    explode(lab.session, 2)
    lab.train(3)
    lines = text(lab)
    assert lines[0].startswith("failed: step 3") and "Press Reset" in lines[1] and lines[1].startswith("l1 became nan")
    lab.buttons["Reset"].click()
    lab.train(2)
    assert text(lab)[0].startswith("paused: step 2")


def test_the_axes_have_numbers_only_after_the_first_step(lab):
    figure = Figure()
    draw_look(figure, lab.session.look())
    assert not any(len(ax.get_xticks()) for ax in figure.axes)
    lab.train(2)
    draw_look(drawn := Figure(), lab.session.look())
    assert all(len(ax.get_xticks()) for ax in drawn.axes[:3])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"loss": "wasserstein", "bound": "clip 0.01"}, {"loss": "none"},
                                      {"loss": "wasserstein", "bound": "penalty 10"}])  # fmt: skip
def test_every_kind_of_training_is_drawn_and_described(settings, monkeypatch):
    monkeypatch.setattr("colorlib.course.session.VALIDATE_EVERY", 2)
    lab = small(**settings)
    lab.train(3)
    said = describe(lab.session.look())
    assert re.search(r"paused: step 3, L1 0\.\d+, \d+ images/s, held out .* dB, grey .* dB, chroma \d+%", said[0])
