"""What the experiments on pix2pix are made of: a set of scenes that ends, and what colours are worth."""

import pytest
import torch
from torch import nn

from colorlib import scenes
from colorlib.course.experiments import balance, pix2pix
from colorlib.datasets import Batches


@pytest.fixture(scope="module")
def held_out():
    return pix2pix.held_out_scenes()


def test_the_first_scenes_are_those_of_the_endless_source_and_end():
    source = pix2pix.first_scenes(12)
    assert len(source) == 12 and not source.endless
    assert torch.equal(source.images([3, 11]), scenes.draw([3, 11], pix2pix.SIZE).rgb)
    with pytest.raises(IndexError):
        source.images([12])
    assert Batches(source, pix2pix.BATCH_SIZE, size=pix2pix.SIZE).steps_per_epoch == 1
    assert source.fingerprint != pix2pix.first_scenes(13).fingerprint


@pytest.mark.slow
def test_held_out_scenes_are_not_trained_on(held_out):
    seen = {image.numpy().tobytes() for image in scenes.draw(range(1024), pix2pix.SIZE).rgb}
    assert not seen & {image.numpy().tobytes() for image in held_out.rgb}


@pytest.mark.slow
def test_the_truth_is_worth_everything_and_grey_nothing(held_out):
    truth = pix2pix.quality(held_out.true_ab, held_out)
    assert truth["error"] == 0 and truth["background"] < 5e-3
    assert truth["balloons"] == pytest.approx(1, abs=0.02)
    assert min(truth["a_intersection"], truth["b_intersection"]) > 0.95
    grey = pix2pix.quality(torch.zeros_like(held_out.true_ab), held_out)
    assert grey["balloons"] < 0.02 and max(grey["a_intersection"], grey["b_intersection"]) < 0.5
    assert grey["error"] == pytest.approx(held_out.true_ab.abs().mean().item())
    dull = pix2pix.quality(scenes.posterior_median(held_out), held_out)
    assert truth["error"] < dull["error"] < grey["error"] and dull["background"] < 5e-3


def test_histograms_do_not_see_where_colours_are_and_the_error_does(held_out):
    flipped = pix2pix.quality(held_out.true_ab.flip(-1), held_out)
    assert flipped["error"] > 0.03 and min(flipped["a_intersection"], flipped["b_intersection"]) > 0.8


def test_prediction_is_in_evaluation_mode_and_leaves_the_mode_alone():
    layer = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(0.5), nn.BatchNorm2d(2))
    L = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        layer.train(training)
        first = pix2pix.predict(layer, L)
        assert torch.equal(first, pix2pix.predict(layer, L)) and not first.requires_grad
        assert layer.training is training and layer[1].training is training
    assert int(layer[2].num_batches_tracked) == 0


def test_the_recipes_differ_in_what_they_are_named_for():
    l1, cgan, both = (pix2pix.recipe(name) for name in ("l1", "cgan", "both"))
    assert l1.loss is None and l1.lambda_l1 == both.lambda_l1 == 100 and cgan.lambda_l1 == 0
    assert cgan.replace(lambda_l1=100.0) == both
    assert len({balance.recipe(case).fingerprint for case in balance.CHANGES}) == len(balance.CHANGES)
    assert balance.recipe("slow G").lr_g < balance.recipe("balanced").lr_g / 10


def test_a_short_measure_has_every_look(monkeypatch):
    monkeypatch.setattr(pix2pix, "LOOKS", (2, 4))
    monkeypatch.setattr(pix2pix, "STEPS", 4)
    monkeypatch.setattr(pix2pix, "N_HELD_OUT", 8)
    measured = pix2pix.measure({"objective": "both", "images": 16}, 0)
    assert {"error_002", "error_004", "balloons_004", "train_error", "hues"} <= measured.keys()
    assert measured["error"] == measured["error_004"] != measured["error_002"]
