"""The bundled scenes: compare the documented distribution of their colours with the colours that are drawn."""

import math

import pytest
import torch
from scipy.stats import kstest

from colorlib import scenes as world
from colorlib.color import AB_SCALE, L_SCALE, in_gamut
from colorlib.devices import make_rng
from colorlib.scenes import Colours, balloon_ab, draw, draw_colours, posterior_mean, posterior_median, repaint, score

# The largest change of ab by rounding to 8 bits, in network units, at the L* of these scenes.
QUANTUM = 0.006


@pytest.fixture(scope="module")
def many():
    return draw(range(1200), 32, seed=3)


@pytest.fixture(scope="module")
def some():
    return draw(range(200), 32, split="test")


def per_object(values, ids, n):
    """Return the mean of `values` (b, h, w) and the number of pixels on each object of each scene, by plain loops."""
    found = []
    for scene in range(len(ids)):
        for k in range(1, n + 1):
            on = ids[scene] == k
            if on.any():
                found.append((scene, k - 1, values[scene][on].mean().item(), int(on.sum())))
    return found


def correlation(x, y):
    return torch.corrcoef(torch.stack([torch.as_tensor(x).double(), torch.as_tensor(y).double()]))[0, 1].item()


# ----------------------------------------------------------------------------- a pure function of its arguments


def test_same_arguments_same_scene():
    first, second = draw(range(20), 32, split="val", seed=5), draw(range(20), 32, split="val", seed=5)
    assert torch.equal(first.rgb, second.rgb)
    assert torch.equal(first.regions, second.regions)
    assert torch.equal(first.scene_class, second.scene_class)


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 33, 64])
def test_a_scene_does_not_depend_on_its_batch(size):
    n = world.BLOCK_PIXELS // size**2 + 3 if size == 64 else 20
    batch = draw(range(n), size)
    order = torch.randperm(n, generator=make_rng("order"))
    shuffled = draw(order, size)
    assert torch.equal(batch.rgb[order], shuffled.rgb)
    assert torch.equal(batch.codes[order], shuffled.codes)
    for index in (0, 7, n - 1):
        alone = draw([index], size)
        assert torch.equal(alone.rgb[0], batch.rgb[index])
        assert torch.equal(posterior_mean(alone)[0], posterior_mean(batch)[index])


def test_a_scene_does_not_depend_on_the_number_of_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = draw(range(24), 96)
        torch.set_num_threads(3)
        assert torch.equal(draw(range(24), 96).rgb, one.rgb)
    finally:
        torch.set_num_threads(threads)


def test_splits_seeds_and_indices_give_different_landscapes():
    far = 10**12
    keys = [(split, seed) for split in ("train", "val", "test") for seed in (0, 1)]
    layouts = torch.cat([draw([*range(100), far], 16, split=split, seed=seed).layout for split, seed in keys])
    assert len(layouts.unique(dim=0)) == len(layouts) == 101 * len(keys)


def test_a_scene_of_another_size_is_the_same_landscape():
    large, small = draw(range(30), 128), draw(range(30), 32)
    shrunk = torch.nn.functional.avg_pool2d(large.rgb.float(), 4)
    other = shrunk.roll(1, 0)
    assert (shrunk - small.rgb).abs().mean() < 5
    assert (other - small.rgb).abs().mean() > 20


def test_an_empty_list_of_indices():
    none = draw([], 32)
    assert none.rgb.shape == (0, 3, 32, 32) and posterior_mean(none).shape == (0, 2, 32, 32)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(indices=[0], size=15), "at least 16 pixels, got 15"),
        (dict(indices=[3, -1], size=32), "from 0 on, got -1"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        draw(**arguments)


# ----------------------------------------------------------------------------- what is where, in which colour


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32, 50, 128])
def test_inside_the_masks_colour_follows_from_material_and_L(size):
    """This is true only if every colour is in gamut and no mask contains a pixel of an edge, where two colours mix."""
    scenes = draw(range(60), size)
    L = (scenes.L[:, 0] + 1) * L_SCALE
    materials = [world.SKY, world.HILLS, world.GRASS, world.SAND, world.SEA, world.TREES, world.WOOD, world.WALL]
    for material in materials:
        on = scenes.regions == material.code
        for channel in range(2):
            expected = material.ab[channel] + material.slope[channel] * (L - material.L)
            error = scenes.true_ab[:, channel] - expected / AB_SCALE
            assert not on.any() or error[on].abs().max() < QUANTUM
    for ids, colours in ((scenes.balloon_id, scenes.colours.balloon_ab), (scenes.roof_id, scenes.colours.roof_ab)):
        scene, y, x = ids.nonzero(as_tuple=True)
        error = scenes.true_ab[scene, :, y, x] - colours[scene, ids[scene, y, x] - 1]
        assert size == 16 or len(error) > 100
        assert not len(error) or error.abs().max() < QUANTUM


def test_masks_exclude_edges():
    scenes = draw(range(40), 32)
    padded = torch.nn.functional.pad(scenes.codes[:, None].float(), (1, 1, 1, 1), mode="replicate")
    windows = torch.nn.functional.unfold(padded, 3).view(40, 9, 32, 32)
    flat = (windows == windows[:, :1]).all(1)
    assert not scenes.regions[~flat].any()
    # More pixels are excluded only where an edge touches a pixel without changing its code.
    assert scenes.regions[flat].bool().float().mean() > 0.95


@pytest.mark.slow
def test_masks_and_segments_agree(many):
    assert set(many.masks) >= {"sky", "ground", "sea", "trees", "balloons", "roofs", "background"}
    for number, name in enumerate(world.SEGMENTS):
        mask = many.masks[name]
        assert mask.any()
        assert (many.segments[mask] == number).all()
    parts = torch.stack([many.masks[name] for name in ("sky", "ground", "sea", "trees")])
    assert torch.equal(parts.sum(0), many.masks["background"].long())
    assert torch.equal(many.masks["balloons"], many.balloon_id > 0)
    assert torch.equal(many.masks["roofs"], many.roof_id > 0)


def test_each_class_shows_what_its_name_says(many):
    frequency = torch.bincount(many.scene_class, minlength=4) / len(many.rgb)
    assert (frequency - 1 / 4).abs().max() < 4 * math.sqrt(3 / 16 / len(many.rgb))
    meadow, sea, forest, town = (many.scene_class == k for k in range(len(world.CLASSES)))
    has = {name: mask.flatten(1).any(1) for name, mask in many.masks.items()}
    assert torch.equal(has["sea"], sea)
    assert has["trees"][forest].all() and not has["trees"][sea | town].any()
    assert has["roofs"][town].all() and not has["roofs"][sea | forest].any()
    assert 0.4 < has["roofs"][meadow].float().mean() < 0.6
    assert has["sky"].all() and has["ground"].all()


def test_balloons_are_large_enough_and_of_different_sizes(many):
    sizes = torch.stack([(many.balloon_id == k).flatten(1).sum(1) for k in (1, 2, 3)], dim=1)
    assert ((sizes.amax(1) >= 20).float().mean()) > 0.9
    assert (sizes > 0).sum(1).float().mean() > 1.9
    present = sizes[sizes > 0].float()
    assert present.quantile(0.9) > 3 * present.quantile(0.1)


def test_balloon_colours_are_in_gamut_at_every_hue():
    hue = torch.linspace(0, 2 * math.pi, 721)
    ab = (AB_SCALE * balloon_ab(hue)).T[:, :, None]
    for L in torch.linspace(*world.BALLOON_L, 41):
        assert in_gamut(torch.cat([L.expand(1, 721, 1), ab]), 0.0).all()


# ----------------------------------------------------------------------------- the free colours


@pytest.mark.slow
def test_balloon_hue_is_uniform_and_roofs_are_seven_to_three(many):
    a, b = (per_object(many.true_ab[:, k], many.balloon_id, 3) for k in range(2))
    turn = torch.tensor([math.atan2(y[2], x[2]) / (2 * math.pi) % 1 for x, y in zip(a, b, strict=True)])
    assert len(turn) > 2000 and kstest(turn.numpy(), "uniform").pvalue > 0.001
    first = torch.tensor([roof[2] > 0 for roof in per_object(many.true_ab[:, 1], many.roof_id, 3)]).float()
    assert abs(first.mean().item() - 0.7) < 4 * math.sqrt(0.21 / len(first))
    distance = (torch.tensor(world.ROOF_AB[0]) - torch.tensor(world.ROOF_AB[1])).norm()
    assert distance >= 0.3 and world.BALLOON_CHROMA <= 0.30


@pytest.mark.slow
def test_the_free_colours_do_not_follow_from_L(many):
    """Lightness, size, position and class of an object do not correlate with its colour more than by chance."""
    x = torch.linspace(0, 1, 32).expand_as(many.regions)
    for ids, colours in ((many.balloon_id, many.colours.balloon_ab), (many.roof_id, many.colours.roof_ab)):
        lightness, place = per_object(many.L[:, 0], ids, 3), per_object(x, ids, 3)
        scene, k = (torch.tensor([entry[i] for entry in lightness]) for i in (0, 1))
        chance = 4 / math.sqrt(len(lightness))
        visible = {
            "lightness": [entry[2] for entry in lightness],
            "size": [entry[3] for entry in lightness],
            "place": [entry[2] for entry in place],
            "class": many.scene_class[scene],
            "mean of L": many.L.mean((1, 2, 3))[scene],
        }
        for name, quantity in visible.items():
            for channel in range(2):
                assert abs(correlation(quantity, colours[scene, k, channel])) < chance, name


def test_repainting_changes_the_free_colours_and_nothing_else():
    scenes = draw(range(40), 32)
    assert torch.equal(repaint(scenes, scenes.colours).rgb, scenes.rgb)
    again = repaint(scenes, draw_colours(40, make_rng("paint")))
    assert torch.equal(again.codes, scenes.codes) and torch.equal(again.regions, scenes.regions)
    assert (again.L - scenes.L).abs().max() < 0.01
    background = scenes.masks["background"]
    assert torch.equal(again.rgb.movedim(1, -1)[background], scenes.rgb.movedim(1, -1)[background])
    assert (again.true_ab - scenes.true_ab).norm(dim=1)[scenes.masks["balloons"]].mean() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 24])
def test_posterior_against_many_repaintings(size):
    """Compare with the empirical mean and median of each channel, on every pixel of one scene of each class."""
    kinds = draw(range(40), 16).scene_class.tolist()
    n = 600
    for kind in range(len(world.CLASSES)):
        copies = draw([kinds.index(kind)] * n, size)
        samples = repaint(copies, draw_colours(n, make_rng("posterior", kind))).true_ab
        scene = draw([kinds.index(kind)], size)
        # Standard errors: 0.009 for the mean on a balloon, 0.010 on a roof, 0.019 for the median on a balloon.
        assert (samples.mean(0) - posterior_mean(scene)[0]).abs().max() < 0.04
        assert (samples.median(0).values - posterior_median(scene)[0]).abs().max() < 0.08
        roof = scene.masks["roofs"][0]
        if kind == world.CLASSES.index("town") and size > 16:
            assert roof.any()
            majority = torch.tensor(world.ROOF_AB[0])[:, None]
            assert (posterior_median(scene)[0][:, roof] - majority).abs().max() < 1e-6


# ----------------------------------------------------------------------------- the score


@pytest.mark.slow
def test_score_of_the_truth_and_of_grey(some):
    truth = score(some.true_ab, some)
    assert truth["balloon_chroma_ratio"] == pytest.approx(1, abs=0.01)
    assert truth["balloon_hue_concentration"] < 0.15
    assert truth["background_ab_mae"] < 0.001
    grey = score(torch.zeros_like(some.true_ab), some)
    assert grey["balloon_chroma_ratio"] == pytest.approx(0, abs=0.01)
    assert grey["balloon_hue_concentration"] == 0
    expected = some.true_ab.abs().mean(1)[some.masks["background"]].mean().item()
    assert grey["background_ab_mae"] == pytest.approx(expected, abs=0.001)


@pytest.mark.slow
def test_score_of_the_posterior_mean_and_median(some):
    """A perfect L1 model predicts the median and a perfect L2 model the mean: grey balloons, and different roofs."""
    l1, l2 = score(posterior_median(some), some), score(posterior_mean(some), some)
    between = 0.3 * (torch.tensor(world.ROOF_AB[0]) - torch.tensor(world.ROOF_AB[1])).abs().mean().item()
    for at, other, scored in (("median", "mean", l1), ("mean", "median", l2)):
        assert scored["balloon_chroma_ratio"] < 0.01 and scored["background_ab_mae"] < 0.002
        assert scored[f"roof_ab_error_to_{at}"] < 0.003
        assert scored[f"roof_ab_error_to_{other}"] == pytest.approx(between, abs=0.005)


@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_score_measures_chroma(some, strength):
    assert score(strength * some.true_ab, some)["balloon_chroma_ratio"] == pytest.approx(strength, abs=0.01)


def test_score_measures_the_image_that_is_shown():
    """Chroma outside the gamut does not count, because the ratio is that of the image after gamut mapping."""
    scenes = draw(range(20), 32)
    ratio = score(20 * scenes.true_ab, scenes)["balloon_chroma_ratio"]
    assert 1.2 < ratio < 3.5


def test_score_measures_how_similar_hues_are():
    scenes = draw(range(50), 32)
    n = len(scenes.rgb)
    present = torch.stack([(scenes.balloon_id == k).flatten(1).any(1) for k in (1, 2, 3)], dim=1)
    same = balloon_ab(torch.full((n, 3), 2.0))
    scored = score(repaint(scenes, Colours(same, scenes.colours.roof_ab)).true_ab, scenes)
    assert scored["balloon_hue_concentration"] == pytest.approx(1, abs=0.01)
    assert scored["balloon_chroma_ratio"] == pytest.approx(1, abs=0.01)
    # Compare with the hues themselves, which are limited to a third of the circle here.
    hue = 2.0 * torch.rand(n, 3, generator=make_rng("hues"))
    scored = score(repaint(scenes, Colours(balloon_ab(hue), scenes.colours.roof_ab)).true_ab, scenes)
    expected = torch.polar(torch.ones(()), hue[present]).mean().abs().item()
    assert 0.7 < expected < 0.95
    assert scored["balloon_hue_concentration"] == pytest.approx(expected, abs=0.01)


def test_every_balloon_counts_the_same_for_any_size():
    scenes = draw(range(50), 48)
    sizes = torch.stack([(scenes.balloon_id == k).flatten(1).sum(1) for k in (1, 2, 3)], dim=1)
    large = sizes > sizes[sizes > 0].float().median()
    hue = torch.where(large, 0.0, math.pi / 2)
    scored = score(repaint(scenes, Colours(balloon_ab(hue), scenes.colours.roof_ab)).true_ab, scenes)
    share = large.sum() / (sizes > 0).sum()
    expected = math.hypot(share, 1 - share)
    assert scored["balloon_hue_concentration"] == pytest.approx(expected, abs=0.01)


def test_score_takes_half_precision_and_refuses_another_shape():
    scenes = draw(range(4), 32)
    assert score(scenes.true_ab.half(), scenes)["balloon_chroma_ratio"] == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match=r"expected ab of shape \(4, 2, 32, 32\), got \(2, 2, 32, 32\)"):
        score(scenes.true_ab[:2], scenes)


def test_without_roofs_the_scores_of_roofs_are_nan():
    kinds = draw(range(20), 16).scene_class.tolist()
    sea = draw([kinds.index(world.CLASSES.index("sea"))], 32)
    scored = score(sea.true_ab, sea)
    assert math.isnan(scored["roof_ab_error_to_mean"]) and math.isnan(scored["roof_ab_error_to_median"])
    assert scored["background_ab_mae"] < 0.001
