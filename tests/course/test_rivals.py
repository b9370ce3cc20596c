"""The helpers behind two experiments of notebook 09: sharpness, the adversary's share, and when a run went wrong."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import avg_pool2d

from colorlib import scenes
from colorlib.course.experiments import mode_collapse, rivals
from colorlib.losses import gradient_penalty

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments import stability


@pytest.fixture(scope="module")
def held_out():
    return scenes.draw(range(32), 32, split="val")


def test_sharpness_is_one_for_the_truth_and_scales_with_its_contrast(held_out):
    assert rivals.sharpness(held_out.true_ab, held_out) == pytest.approx(1)
    assert rivals.sharpness(0.25 * held_out.true_ab + 0.1, held_out) == pytest.approx(0.25, abs=1e-4)


def test_sharpness_falls_with_blur_and_does_not_see_noise(held_out):
    blurred = avg_pool2d(held_out.true_ab, 3, 1, 1)
    noise = 0.05 * torch.randn(blurred.shape, generator=torch.Generator().manual_seed(0))
    assert rivals.sharpness(blurred, held_out) < 0.5
    assert rivals.sharpness(blurred + noise, held_out) == pytest.approx(rivals.sharpness(blurred, held_out), abs=0.05)


def test_sharpness_leaves_out_what_lightness_does_not_tell(held_out):
    """Other colours of balloons and roofs change nothing: the best answer to L1 is as sharp as the truth."""
    assert rivals.sharpness(scenes.posterior_median(held_out), held_out) == pytest.approx(1, abs=1e-2)


def test_rivals_differ_in_what_they_are_said_to_differ_in():
    all_of_them = rivals.rivals()
    assert {recipe.steps for name, recipe in all_of_them.items() if name != "pix2pix, as long"} == {rivals.STEPS}
    short, long = all_of_them["pix2pix"], all_of_them["pix2pix, as long"]
    assert short.replace(steps=rivals.LONG) == long
    assert all_of_them["wgan, lambda 100"].lambda_l1 == rivals.small("pix2pix").lambda_l1
    assert all_of_them["wgan"].replace(lambda_l1=100.0) == all_of_them["wgan, lambda 100"]


def test_a_regression_has_no_adversarial_share():
    recipe = rivals.small("l1").replace(steps=1, batch_size=2)
    assert rivals.late_share(rivals.train(recipe, 0)) == 0


def on_a_ring(angles, radius=mode_collapse.RADIUS):
    angles = torch.as_tensor(angles, dtype=torch.float32)
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def angles_of(modes, n=800):
    return torch.arange(n) % modes * (2 * math.pi / mode_collapse.MODES)


@pytest.mark.parametrize(
    ("points", "diverged", "collapsed"),
    [
        (on_a_ring(angles_of(8)), 0, 0),
        (on_a_ring(angles_of(5)), 0, 0),
        (on_a_ring(angles_of(4)), 0, 1),
        (on_a_ring(angles_of(1)), 0, 1),
        (on_a_ring(angles_of(8), radius=3.9), 0, 0),
        (on_a_ring(angles_of(8), radius=4.1), 1, 0),
        (torch.full((10, 2), torch.nan), 1, 0),
        (torch.tensor([[0.0, torch.inf]]), 1, 0),
    ],
)
def test_points_are_judged(points, diverged, collapsed):
    found = stability.judge_points(points)
    assert (found["diverged"], found["collapsed"]) == (diverged, collapsed)


def test_a_few_stray_points_do_not_hide_a_collapse():
    points = torch.cat([on_a_ring(angles_of(1, 970)), on_a_ring(angles_of(8, 30))])
    assert stability.judge_points(points)["collapsed"] == 1


def test_colours_are_judged(held_out):
    def verdict(ab):
        found = stability.judge_colours(ab, held_out)
        return found["diverged"], found["collapsed"]

    balloons = held_out.masks["balloons"][:, None]
    one_hue = scenes.balloon_ab(torch.tensor(1.0))[:, None, None]
    assert verdict(held_out.true_ab) == (0, 0)
    assert verdict(scenes.posterior_median(held_out)) == (0, 0)  # dull is not collapsed
    assert verdict(torch.where(balloons, one_hue, held_out.true_ab)) == (0, 1)
    assert verdict(-held_out.true_ab) == (1, 0)
    assert verdict(held_out.true_ab * torch.nan) == (1, 0)
    assert stability.judge_colours(0 * held_out.true_ab, held_out)["error"] == pytest.approx(1)


def test_the_penalty_of_points_is_that_of_images():
    """Against the closed form of a linear critic, and the library's on the same mixture."""
    critic = torch.nn.Linear(2, 1)
    real, fake = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(2)).unbind()
    expected = (critic.weight.norm() - 1).square()
    got = stability.penalty(critic, real, fake, torch.Generator().manual_seed(0))
    assert got.item() == pytest.approx(expected.item(), abs=1e-5)
    curved = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    images = [points.reshape(5, -1, 1, 1) for points in (real[:, :0], real, fake)]
    theirs = gradient_penalty(lambda x: curved(x.flatten(1)), *images, rng=torch.Generator().manual_seed(1))
    assert stability.penalty(curved, real, fake, torch.Generator().manual_seed(1)).item() == theirs.item()


def test_five_critic_steps_are_all_that_differs():
    assert stability.on_ring(stability.MORE_STEPS).replace(n_critic=1) == stability.on_ring("vanilla")


@pytest.mark.parametrize("loss", [*stability.LOSSES, stability.MORE_STEPS])
def test_a_run_on_the_ring_trains_both_networks(loss):
    generator = stability.train_on_ring(stability.on_ring(loss), 2e-3, seed=0, steps=2)
    fresh, _ = mode_collapse.networks(torch.Generator().manual_seed(0))
    moved = [not torch.equal(p, q) for p, q in zip(generator.parameters(), fresh.parameters(), strict=True)]
    assert all(moved)


def test_a_run_that_breaks_counts_as_diverged(monkeypatch):
    monkeypatch.setattr(stability, "train_on_scenes", lambda recipe, seed: None)
    setting = next(s for s in stability.EXPERIMENT.settings if s["game"] == "scenes")
    assert stability.measure(setting, 0)["diverged"] == 1
