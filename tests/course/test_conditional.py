"""The measures behind notebook 04, on points and colours whose answers are known."""

import math

import pytest
import torch
from torch import nn

from colorlib import scenes
from colorlib.course.experiments import conditional


@pytest.fixture(scope="module")
def world():
    return scenes.draw(range(24), conditional.SIZE, split="val")


def test_a_pair_hands_its_condition_on_and_paints_from_both():
    pairs = conditional.Pairs(nn.Linear(5, 2), noise=3)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    got = pairs(x)
    assert got.shape == (4, 4)
    assert torch.equal(got[:, 2:], x[:, 3:])
    assert torch.equal(got[:, :2], pairs.network(x))


def test_real_points_asked_for_by_their_class_are_perfect():
    points, label = conditional.ring(8000, 8, torch.Generator().manual_seed(0))
    told = conditional.describe_ring(points, label, 8)
    assert told["asked"] == 1 and told["modes"] == 8
    assert told["near"] == pytest.approx(1 - math.exp(-4.5), abs=0.005)  # within three sigma in the plane
    assert told["spread"] == pytest.approx(1, abs=0.03)
    assert told["draws"] == pytest.approx(8, abs=0.1)


def test_points_that_ignore_the_class_and_lose_classes_are_told_so():
    points, label = conditional.ring(8000, 8, torch.Generator().manual_seed(0))
    two = conditional.centres(8)[label % 2]
    told = conditional.describe_ring(two, label, 8)
    assert told["modes"] == 2 and told["near"] == 1
    assert told["asked"] == pytest.approx(1 / 4, abs=0.02)  # those of the classes 0 and 1
    assert math.isnan(told["draws"]) and told["spread"] == pytest.approx(0, abs=1e-3)
    assert conditional.describe_ring(points + 0.4, label, 8)["near"] < 0.05


def test_a_class_with_less_than_a_tenth_of_its_share_is_not_found():
    label = torch.arange(8000) % 8
    for every, modes in ((40, 8), (200, 7)):  # a class has 1000 points: 200 of them are left, and 40
        rare = torch.where((label == 7) & (torch.arange(8000) % every != 7), 0, label)
        assert conditional.describe_ring(conditional.centres(8)[rare], label, 8)["modes"] == modes


def test_a_plain_model_gets_no_columns_and_a_conditional_one_the_label_of_its_own_points():
    rng = torch.Generator().manual_seed(0)
    assert conditional.draw_ring(8, "plain")(5, rng)[1].shape == (5, 0)
    points, condition = conditional.draw_ring(8, "conditional")(500, rng)
    nearest = torch.cdist(points, conditional.centres(8)).argmin(1)
    assert torch.equal(condition.argmax(1), nearest) and torch.equal(condition.sum(1), torch.ones(500))


def test_true_and_grey_colours_are_aligned_and_shuffled_or_swapped_ones_are_not(world):
    assert conditional.misaligned(world.true_ab, world).max() == 0
    assert conditional.misaligned(torch.zeros_like(world.true_ab), world).max() == 0
    assert conditional.misaligned(world.true_ab.roll(1, 0), world).mean() > 0.1
    swapped = world.true_ab * torch.tensor([1.0, -1.0])[:, None, None]
    strong = (world.true_ab[:, 1].abs() > conditional.WRONG_SIDE) & world.masks["background"]
    share = strong.flatten(1).sum(1) / world.masks["background"].flatten(1).sum(1)
    assert torch.allclose(conditional.misaligned(swapped, world), share)


def test_balloons_in_any_colour_are_never_misaligned(world):
    other = scenes.repaint(world, scenes.draw_colours(len(world.rgb), torch.Generator().manual_seed(3)))
    assert conditional.misaligned(other.true_ab, world).max() == 0


class Painter(nn.Module):
    """Colours every pixel by the first noise plane: as angle, or not at all."""

    def __init__(self, uses_noise: bool) -> None:
        super().__init__()
        self.uses_noise = uses_noise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        angle = 1000 * x[:, 0] if self.uses_noise else torch.zeros_like(x[:, 0])
        return scenes.BALLOON_CHROMA * torch.stack([angle.cos(), angle.sin()], 1)


def test_noise_that_is_used_as_the_truth_varies_scores_one_and_noise_that_is_not_zero(world):
    free, fixed = (conditional.Pairs(Painter(uses), conditional.PLANES) for uses in (True, False))
    expected = math.sqrt(1 - 1 / conditional.N_DRAWS)  # from the mean of a few draws, not from the true mean
    assert conditional.noise_spread(free, world) == pytest.approx(expected, abs=0.07)
    assert conditional.noise_spread(fixed, world) == pytest.approx(0, abs=1e-6)


def test_the_mean_colour_of_balloons_is_theirs(world):
    hue = torch.rand(len(world.rgb), generator=torch.Generator().manual_seed(1)) * 2 * math.pi
    colours = scenes.Colours(scenes.balloon_ab(hue)[:, None].expand(-1, 3, -1), world.colours.roof_ab)
    mean = conditional.balloon_means(scenes.repaint(world, colours).true_ab, world)
    there = mean.isfinite().all(1)
    assert there.float().mean() > 0.9
    assert torch.allclose(mean[there], scenes.balloon_ab(hue)[there], atol=0.02)  # 8 bits


@pytest.mark.slow
def test_a_step_of_a_blind_discriminator_does_not_look_at_the_condition():
    blind = conditional.train_colours(0, model="blind", steps=2)
    seeing = conditional.train_colours(0, model="conditional", steps=2)
    first = [next(player.discriminator.parameters()).shape[1] for player in (blind, seeing)]
    assert first == [2, 3]
    assert math.isnan(conditional.train_colours(0, model="regression", steps=2).d_loss)
