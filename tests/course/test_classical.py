"""The old methods against what is known about them: statistics, brute force, harmonic functions, a dense solver."""

from __future__ import annotations

import math
from inspect import unwrap

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from colorlib import color
from colorlib.course import classical
from colorlib.devices import make_rng


def photo(seed: int, h: int = 24, w: int = 32) -> Tensor:
    """Something like a photograph: smooth colours, light texture, values over the whole of 0..1."""
    rng = make_rng(seed, "photo")
    coarse = torch.rand(1, 3, 4, 5, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bicubic", align_corners=True)[0]
    return (smooth + 0.05 * torch.randn(3, h, w, generator=rng)).clamp(0, 1)


def moments(values: Tensor) -> np.ndarray:
    return np.stack([values.mean(dim=(1, 2)).numpy(), values.std(dim=(1, 2), unbiased=False).numpy()])


class TestPalette:
    def test_every_region_gets_its_colour_exactly(self):
        L = torch.linspace(-1, 1, 30).reshape(1, 5, 6)
        labels = torch.arange(30).reshape(5, 6) % 4 - 1
        palette = torch.tensor([[0.1, 0.2], [-0.3, 0.4], [0.5, -0.6]])
        ab = classical.paint_palette(L, labels, palette)
        for y in range(5):
            for x in range(6):
                label = int(labels[y, x])
                expected = torch.zeros(2) if label == -1 else palette[label]
                assert torch.equal(ab[:, y, x], expected)

    def test_colours_take_the_type_of_L(self):
        ab = classical.paint_palette(
            torch.zeros(1, 2, 2).double(), torch.zeros(2, 2, dtype=torch.uint8), torch.ones(1, 2)
        )
        assert ab.dtype == torch.float64
        assert torch.equal(ab, torch.ones(2, 2, 2).double())

    def test_labels_of_another_size_are_refused(self):
        """Without the shape checks of the tests, which would say so first."""
        with pytest.raises(ValueError, match=r"the \(2, 2\) pixels, got \(2, 3\)"):
            unwrap(classical.paint_palette)(torch.zeros(1, 2, 2), torch.zeros(2, 3).long(), torch.ones(1, 2))

    @pytest.mark.parametrize("label", [3, -2])
    def test_a_label_without_a_colour_is_named(self, label):
        with pytest.raises(ValueError, match=f"-1 to 2 for a palette of 3.*got .*{label}"):
            classical.paint_palette(torch.zeros(1, 2, 2), torch.tensor([[0, 1], [2, label]]), torch.zeros(3, 2))


class TestStatistics:
    def test_mean_and_deviation_are_those_of_the_reference(self):
        target, reference = photo(0), photo(1, 17, 40)
        L, ab = classical.transfer_statistics(target, reference, match_lightness=True)
        expected = rgb2lab(reference.permute(1, 2, 0).numpy())
        lab = torch.cat([(L + 1) * 50, ab * 110])
        np.testing.assert_allclose(
            moments(lab), [expected.mean(axis=(0, 1)), expected.std(axis=(0, 1))], rtol=1e-3, atol=0.01
        )

    def test_what_was_more_colourful_stays_so(self):
        target = photo(2)
        _, ab = classical.transfer_statistics(target, photo(3))
        before = color.split_lab(target)[1]
        for channel in range(2):
            pair = torch.stack([before[channel].flatten(), ab[channel].flatten()])
            assert torch.corrcoef(pair)[0, 1] == pytest.approx(1, abs=1e-4)

    def test_lightness_is_kept_unless_asked_for(self):
        target = photo(4)
        L, _ = classical.transfer_statistics(target, photo(5))
        assert torch.equal(L, color.split_lab(target)[0])

    def test_its_own_reference_changes_nothing(self):
        target = photo(6)
        L, ab = classical.transfer_statistics(target, target, match_lightness=True)
        torch.testing.assert_close(color.join_lab(L, ab), target, atol=1e-4, rtol=0)

    def test_a_grey_target_gets_one_tint(self):
        grey = torch.linspace(0, 1, 24 * 32).reshape(1, 24, 32).expand(3, -1, -1)
        reference = photo(7)
        _, ab = classical.transfer_statistics(grey, reference)
        expected = color.split_lab(reference)[1].mean(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(ab, expected.expand_as(ab), atol=2e-4, rtol=0)


class TestWelsh:
    def test_with_every_pixel_as_a_sample_an_image_colours_itself(self):
        image = photo(0)
        L, ab = color.split_lab(image)
        out = classical.welsh(L, image, samples=24 * 32)
        assert (out == ab).all(dim=0).float().mean() > 0.999

    def test_a_few_samples_of_itself_do_well_where_colour_follows_lightness(self):
        L = torch.linspace(-0.6, 0.6, 24 * 32).reshape(1, 24, 32)
        ab = torch.cat([0.2 * L, -0.3 * L])
        image = color.join_lab(L, ab)
        out = classical.welsh(L, image, texture=0.0)
        assert (out - color.split_lab(image)[1]).abs().mean() < 0.01

    def test_only_colours_of_the_samples_occur(self):
        reference = photo(1, 30, 20)
        out = classical.welsh(color.split_lab(photo(2))[0], reference, samples=20, rng=make_rng(3))
        chosen = classical.jittered_grid(30, 20, 20, make_rng(3))
        allowed = {tuple(c) for c in color.split_lab(reference)[1].flatten(1)[:, chosen].T.tolist()}
        used = {tuple(c) for c in out.flatten(1).T.tolist()}
        assert used <= allowed
        assert len(used) > 10

    @pytest.mark.parametrize("texture", [0.0, 0.5, 1.0])
    def test_equals_a_search_written_out(self, texture):
        L, reference = color.split_lab(photo(4, 9, 11))[0], photo(5, 12, 10)
        out = classical.welsh(L, reference, samples=15, window=3, texture=texture)
        L_ref, ab_ref = (channel.double().numpy() for channel in color.split_lab(reference))
        target = L.double().numpy()
        L_ref = (L_ref - L_ref.mean()) / L_ref.std() * target.std() + target.mean()
        chosen = [(i // 10, i % 10) for i in classical.jittered_grid(12, 10, 15)]
        for y in range(9):
            for x in range(11):
                distances = [
                    math.hypot(
                        (1 - texture) * (target[0, y, x] - L_ref[0, v, u]),
                        texture * (deviation_at(target[0], y, x, 1) - deviation_at(L_ref[0], v, u, 1)),
                    )
                    for v, u in chosen
                ]
                v, u = chosen[int(np.argmin(distances))]
                np.testing.assert_allclose(out[:, y, x].numpy(), ab_ref[:, v, u], atol=1e-6)

    def test_texture_tells_apart_what_lightness_cannot(self):
        """The same two greys: in two large fields on the left, which are blue, and in a red checkerboard."""
        board = (torch.arange(16)[:, None] + torch.arange(16)) % 2
        fields = (torch.arange(16) >= 8).long()[:, None].expand(16, 16)
        L = (torch.cat([fields, board], dim=1)[None] * 2 - 1) * 0.05
        ab = torch.zeros(2, 16, 32)
        ab[1, :, :16], ab[0, :, 16:] = -0.2, 0.2
        image = color.join_lab(L, ab)
        inner = torch.ones(16, 32, dtype=torch.bool)
        inner[:, 13:19], inner[5:11, :16] = False, False
        error = {
            texture: (classical.welsh(L, image, texture=texture) - ab)[:, inner].abs().mean().item()
            for texture in (0.0, 0.5)
        }
        assert error[0.5] < 0.001 < 0.05 < error[0.0]

    def test_remapping_makes_up_for_a_darker_reference(self):
        L, ab = color.split_lab(photo(6))
        ab = ab * 0.1
        reference = color.join_lab(L * 0.4 - 0.2, ab, gamut="none")
        kept = classical.welsh(L, reference, samples=24 * 32)
        lost = classical.welsh(L, reference, samples=24 * 32, remap=False)
        assert (kept - ab).abs().mean() < 0.1 * (lost - ab).abs().mean()

    def test_a_flat_reference_or_target_is_no_division_by_zero(self):
        flat = torch.full((3, 8, 8), 0.5)
        assert torch.isfinite(classical.welsh(color.split_lab(photo(7))[0], flat)).all()
        assert torch.isfinite(classical.welsh(color.split_lab(flat)[0], photo(7))).all()

    def test_the_same_generator_gives_the_same_colours(self):
        L, reference = color.split_lab(photo(8))[0], photo(9)
        first, again, other = (classical.welsh(L, reference, samples=30, rng=make_rng(k)) for k in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(classical.welsh(L, reference), classical.welsh(L, reference))

    @pytest.mark.parametrize("wrong", [{"samples": 0}, {"window": 4}, {"texture": 1.5}])
    def test_settings_that_mean_nothing_are_refused(self, wrong):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
            classical.welsh(torch.zeros(1, 8, 8), photo(0), **wrong)


class TestJitteredGrid:
    @pytest.mark.parametrize(
        ("h", "w", "samples"), [(40, 60, 200), (60, 40, 7), (5, 5, 100), (1, 1, 200), (1, 500, 50)]
    )
    def test_one_pixel_in_each_cell(self, h, w, samples):
        chosen = classical.jittered_grid(h, w, samples)
        assert len(set(chosen)) == len(chosen)
        assert chosen.min() >= 0 and chosen.max() < h * w
        assert 0.7 * min(samples, h * w) <= len(chosen) <= 1.3 * samples

    def test_every_pixel_can_be_drawn(self):
        seen = {int(i) for k in range(60) for i in classical.jittered_grid(6, 6, 9, make_rng(k))}
        assert seen == set(range(36))


def deviation_at(values: np.ndarray, y: int, x: int, radius: int) -> float:
    return values[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1].std()


def dense_weights(L: Tensor, window: int, strength: float) -> np.ndarray:
    """Levin's eq. 2, pixel by pixel."""
    Y = (L[0].double().numpy() + 1) / 2
    h, w = Y.shape
    weights = np.zeros((h * w, h * w))
    for y in range(h):
        for x in range(w):
            variance = max(deviation_at(Y, y, x, window) ** 2, classical.FLAT)
            for v in range(max(0, y - window), min(h, y + window + 1)):
                for u in range(max(0, x - window), min(w, x + window + 1)):
                    if (v, u) != (y, x):
                        exponent = strength * (Y[y, x] - Y[v, u]) ** 2 / (2 * variance)
                        weights[y * w + x, v * w + u] = math.exp(-min(exponent, classical.LARGEST_EXPONENT))
    return weights / weights.sum(axis=1, keepdims=True)


def mark(h: int, w: int, points: dict[tuple[int, int], tuple[float, float]]) -> tuple[Tensor, Tensor]:
    marks, ab = torch.zeros(h, w, dtype=torch.bool), torch.full((2, h, w), math.nan)
    for (y, x), colour in points.items():
        marks[y, x] = True
        ab[:, y, x] = torch.tensor(colour)
    return marks, ab


class TestScribbles:
    def test_one_mark_on_a_constant_lightness_colours_everything(self):
        out = classical.scribbles(torch.full((1, 20, 30), 0.3), *mark(20, 30, {(7, 11): (0.2, -0.4)}))
        torch.testing.assert_close(out, torch.tensor([0.2, -0.4]).reshape(2, 1, 1).expand(2, 20, 30))

    @pytest.mark.parametrize("shape", [(1, 50), (50, 1)])
    def test_a_strip_between_two_marks_is_a_linear_ramp(self, shape):
        marks, ab = mark(*shape, {(0, 0): (-0.5, 0.25), (shape[0] - 1, shape[1] - 1): (0.5, 0.75)})
        out = classical.scribbles(torch.zeros(1, *shape), marks, ab)
        ramp = torch.linspace(0, 1, 50)
        torch.testing.assert_close(out.flatten(1), torch.stack([-0.5 + ramp, 0.25 + 0.5 * ramp]))

    @pytest.mark.parametrize(("strength", "tolerance"), [(classical.LEVIN_STRENGTH, 0.07), (50.0, 1e-4)])
    def test_colour_stops_at_an_edge(self, strength, tolerance):
        L = torch.cat([torch.full((1, 16, 12), -0.5), torch.full((1, 16, 12), 0.5)], dim=2)
        marks, ab = mark(16, 24, {(8, 5): (0.6, -0.6), (8, 18): (-0.6, 0.6)})
        out = classical.scribbles(L, marks, ab, strength=strength)
        sides = torch.tensor([[0.6] * 12 + [-0.6] * 12, [-0.6] * 12 + [0.6] * 12])[:, None].expand(2, 16, 24)
        torch.testing.assert_close(out, sides, atol=tolerance, rtol=0)

    def test_at_strength_zero_the_edge_is_not_seen(self):
        marks, ab = mark(16, 24, {(8, 5): (0.6, -0.6), (8, 18): (-0.6, 0.6)})
        L = torch.cat([torch.full((1, 16, 12), -0.5), torch.full((1, 16, 12), 0.5)], dim=2)
        out = classical.scribbles(L, marks, ab, strength=0.0)
        torch.testing.assert_close(out, classical.scribbles(torch.zeros_like(L), marks, ab))

    def test_a_region_without_a_mark_takes_its_surroundings_colour(self):
        L = torch.zeros(1, 20, 20)
        L[:, 5:15, 5:15] = 0.8
        out = classical.scribbles(L, *mark(20, 20, {(0, 0): (0.3, 0.1)}), strength=1e6)
        torch.testing.assert_close(out, torch.tensor([0.3, 0.1]).reshape(2, 1, 1).expand(2, 20, 20), atol=1e-5, rtol=0)

    @pytest.mark.parametrize(("window", "strength"), [(1, 1.0), (1, classical.LEVIN_STRENGTH), (2, 0.5)])
    def test_equals_a_dense_solver(self, window, strength):
        L, truth = color.split_lab(photo(1, 7, 9).double())
        marks = torch.rand(7, 9, generator=make_rng(2)) < 0.15
        out = classical.scribbles(L, marks, truth, window=window, strength=strength)
        W, known = dense_weights(L, window, strength), marks.flatten().numpy()
        # The rows of marked pixels say "this is my colour", all others "I am the mean of my neighbours".
        system = np.where(known[:, None], np.eye(63), np.eye(63) - W)
        right = np.where(known[:, None], truth.flatten(1).numpy().T, 0)
        np.testing.assert_allclose(out.flatten(1).numpy().T, np.linalg.solve(system, right), atol=1e-9)

    def test_weights_equal_the_formula(self):
        L = color.split_lab(photo(3, 6, 8))[0]
        np.testing.assert_allclose(
            classical.neighbour_weights(L, 2, 1.5).toarray(), dense_weights(L, 2, 1.5), atol=1e-9
        )

    def test_the_last_step_of_8_bits_is_no_edge_of_full_strength(self):
        """Almost flat windows: there the floor of the variance decides."""
        L = 0.2 + torch.randint(0, 2, (1, 6, 8), generator=make_rng(4)) / 255
        dense = dense_weights(L, 1, 1.0)
        np.testing.assert_allclose(classical.neighbour_weights(L, 1, 1.0).toarray(), dense, atol=1e-6)
        assert dense[dense > 0].min() > 0.02

    def test_colours_stay_between_those_of_the_marks(self):
        L, ab = color.split_lab(photo(4, 40, 40))
        marks = torch.rand(40, 40, generator=make_rng(5)) < 0.02
        out = classical.scribbles(L, marks, ab)
        given = ab[:, marks]
        assert torch.equal(out[:, marks], given)
        low, high = given.amin(1)[:, None, None], given.amax(1)[:, None, None]
        assert ((out >= low - 1e-6) & (out <= high + 1e-6)).all()

    def test_a_window_larger_than_the_image_is_the_whole_image(self):
        L = color.split_lab(photo(6, 3, 2))[0]
        np.testing.assert_allclose(
            classical.neighbour_weights(L, 9, 1.0).toarray(), dense_weights(L, 9, 1.0), atol=1e-9
        )

    def test_nothing_to_solve_where_every_pixel_is_marked(self):
        ab = color.split_lab(photo(7, 1, 1))[1]
        assert torch.equal(classical.scribbles(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), ab), ab)

    def test_marks_of_another_size_are_refused(self):
        """Without the shape checks of the tests, which would say so first."""
        with pytest.raises(ValueError, match=r"marks \(4, 4\) and marks_ab \(2, 4, 4\).*got \(4, 5\)"):
            unwrap(classical.scribbles)(torch.zeros(1, 4, 4), *mark(4, 5, {(1, 1): (0.0, 0.0)}))

    def test_no_marks_is_refused(self):
        with pytest.raises(ValueError, match="at least one marked pixel"):
            classical.scribbles(torch.zeros(1, 4, 4), *mark(4, 4, {}))

    def test_a_mark_without_a_colour_is_refused(self):
        with pytest.raises(ValueError, match="finite ab"):
            classical.scribbles(torch.zeros(1, 4, 4), *mark(4, 4, {(1, 1): (math.nan, 0.0)}))

    @pytest.mark.parametrize("wrong", [{"window": 0}, {"strength": -1.0}])
    def test_settings_that_mean_nothing_are_refused(self, wrong):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
            classical.scribbles(torch.zeros(1, 4, 4), *mark(4, 4, {(1, 1): (0.0, 0.0)}), **wrong)
