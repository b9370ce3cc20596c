"""Compare the guided filter with its definition in loops, and test what joining with the photograph must keep."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2lab
from torch.nn.functional import interpolate

from colorlib import color, upsampling
from colorlib.upsampling import ChromaField, as_batch, guided_slope, join_with_own_lightness


def draw(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def upsample(field, L):
    """Return the ab of the whole field, without bands."""
    height, width = L.shape[-2:]
    return field.widened(width).rows(0, height, height).chroma(L)


@pytest.fixture(scope="module")
def photograph():
    return np.ascontiguousarray(data.astronaut()[:200, 100:360])


def lightness(rgb):
    return rgb2lab(rgb)[..., 0]


# --- the filter ----------------------------------------------------------------------------------------------


def slope_by_loops(L, ab, radius, eps):
    """He, Sun & Tang 2013, eq. 5 (one fit for each window) and eq. 8 (mean over the windows that contain a pixel)."""
    height, width = L.shape
    slopes = np.zeros((height, width))

    def window(y, x):
        return slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1)

    for y in range(height):
        for x in range(width):
            here = window(y, x)
            covariance = np.cov(L[here].ravel(), ab[here].ravel(), bias=True)
            slopes[y, x] = covariance[0, 1] / (covariance[0, 0] + eps)
    return np.array([[slopes[window(y, x)].mean() for x in range(width)] for y in range(height)])


@pytest.mark.parametrize(("radius", "eps"), [(1, 4e-3), (2, 1e-2), (5, 1e-1)])
def test_slope_is_the_one_of_the_definition(radius, eps):
    L, ab = draw(1, 1, 9, 12), draw(1, 2, 9, 12, seed=1)
    got = guided_slope(L, ab, radius, eps)
    for channel in range(2):
        expected = slope_by_loops(L[0, 0].numpy(), ab[0, channel].numpy(), radius, eps)
        np.testing.assert_allclose(got[0, channel], expected, atol=1e-12)


def test_at_the_networks_own_size_ab_is_unchanged():
    L, ab = draw(1, 1, 13, 7), draw(1, 2, 13, 7, seed=1)
    torch.testing.assert_close(upsample(ChromaField.fit(L, ab), L), ab)


def test_constant_chroma_stays_constant_over_any_texture():
    ab = torch.tensor([0.3, -0.2], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    full = upsample(ChromaField.fit(draw(1, 1, 6, 8), ab), draw(1, 1, 61, 83))
    torch.testing.assert_close(full, ab[..., :1, :1].expand_as(full))


def test_chroma_follows_the_edges_of_lightness():
    """A dark and a light half have two colours. Their edge is within a coarse pixel. Bilinear upsampling blurs it."""
    full = torch.full((1, 1, 64, 64), -0.4, dtype=torch.float64)
    full[..., 29:] = 0.4  # the edge is not on the grid of coarse pixels
    truth = torch.cat([full, -0.5 * full], dim=1)
    L = interpolate(full, size=(8, 8), mode="area")
    ab = interpolate(truth, size=(8, 8), mode="area")
    guided = upsample(ChromaField.fit(L, ab), full)
    bilinear = interpolate(ab, size=(64, 64), mode="bilinear")
    assert (guided - truth).abs().mean() < 0.2 * (bilinear - truth).abs().mean()
    assert (guided[..., 29] - guided[..., 28])[0, 0].min() > 0.7


def test_the_error_on_a_photograph_is_smaller_than_with_bilinear_upsampling(photograph):
    truth = color.split_lab(color.to_float(as_batch(photograph)))
    L, ab = (interpolate(part, scale_factor=0.25, mode="area") for part in truth)
    guided = upsample(ChromaField.fit(L, ab), truth[0])
    bilinear = interpolate(ab, size=truth[1].shape[-2:], mode="bilinear")
    assert (guided - truth[1]).square().mean() < 0.85 * (bilinear - truth[1]).square().mean()


@pytest.mark.parametrize("size", [(5, 5), (40, 31), (1, 9), (3, 2)])
def test_rows_in_bands_are_those_of_the_whole(size):
    field = ChromaField(draw(1, 2, 5, 7), draw(1, 2, 5, 7, seed=1))
    L = draw(1, 1, *size, seed=2)
    whole = [interpolate(part, size=size, mode="bilinear") for part in (field.base, field.slope)]
    expected = whole[0] + whole[1] * L
    for rows in (1, 3, size[0]):
        parts = [(top, L[..., top : top + rows, :]) for top in range(0, size[0], rows)]
        wide = [field.widened(size[1]).rows(top, part.shape[-2], size[0]).chroma(part) for top, part in parts]
        torch.testing.assert_close(torch.cat(wide, dim=-2), expected)
        narrow = [field.rows(top, part.shape[-2], size[0]).widened(size[1]).chroma(part) for top, part in parts]
        torch.testing.assert_close(torch.cat(narrow, dim=-2), expected)


# --- joined with the photograph ------------------------------------------------------------------------------


def constant_field(a, b):
    return ChromaField(torch.zeros(1, 2, 1, 1), torch.tensor([a, b]).view(1, 2, 1, 1))


def test_with_its_true_ab_the_photograph_is_reproduced(photograph):
    L, ab = color.split_lab(color.to_float(as_batch(photograph)))
    back = join_with_own_lightness(photograph, ChromaField.fit(L, ab))
    assert np.abs(back.astype(int) - photograph).max() <= 1


@pytest.mark.parametrize("chroma", [(0.0, 0.0), (0.5, 0.4), (-0.6, 0.1), (0.3, -1.0)])
def test_lightness_is_kept_whatever_the_chroma(photograph, chroma):
    joined = join_with_own_lightness(photograph, constant_field(*chroma))
    error = np.abs(lightness(joined) - lightness(photograph))
    assert error.mean() < 0.15 and np.quantile(error, 0.99) < 0.5


def test_no_chroma_is_grey(photograph):
    joined = join_with_own_lightness(photograph, constant_field(0.0, 0.0))
    assert np.array_equal(joined[..., 0], joined[..., 1]) and np.array_equal(joined[..., 0], joined[..., 2])


def test_bands_and_threads_make_no_difference(photograph, monkeypatch):
    field = ChromaField.fit(draw(1, 1, 10, 13).float(), draw(1, 2, 10, 13, seed=1).float())
    threads = torch.get_num_threads()
    whole = join_with_own_lightness(photograph, field)
    monkeypatch.setattr(upsampling, "BAND_PIXELS", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert np.array_equal(join_with_own_lightness(photograph, field), whole)
    monkeypatch.undo()
    torch.set_num_threads(threads)


def test_torchs_number_of_threads_is_restored_even_after_an_error(photograph, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        join_with_own_lightness(photograph, constant_field(0.1, 0.1))
        assert torch.get_num_threads() == 3
        monkeypatch.setattr(upsampling, "linear_light", lambda lab: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            join_with_own_lightness(photograph, constant_field(0.1, 0.1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_lightness_by_table_is_that_of_scikit_image():
    rgb = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    rgb[:50] //= 16  # levels near black, where the curve is steep
    got = upsampling._lightness(as_batch(rgb))[0, 0].numpy()
    assert np.abs(got - lightness(rgb)).max() < 0.01
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    np.testing.assert_allclose(upsampling._lightness(as_batch(ends)).flatten(), [0, 100], atol=1e-3)


def test_levels_by_table_are_those_of_the_curve():
    linear = torch.rand(1, 3, 100, 200, generator=torch.Generator().manual_seed(0)) ** 3 * 1.2 - 0.05
    got, exact = upsampling._levels(linear).int(), color.to_uint8(color.linear_to_srgb(linear)).int()
    assert (got - exact).abs().max() <= 1 and (got != exact).float().mean() < 0.01
    levels = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    assert torch.equal(upsampling._levels(color.srgb_to_linear(color.to_float(levels))), levels)


def draw_lab(n, chroma):
    rng = torch.Generator().manual_seed(0)
    L, hue, c = torch.rand(3, n, generator=rng)
    hue = 2 * torch.pi * hue
    return torch.stack([100 * L, chroma * c * hue.cos(), chroma * c * hue.sin()])[None, ..., None]


def test_table_of_the_gamut_agrees_with_the_bisection():
    lab = draw_lab(20_000, chroma=150)
    got, exact = upsampling.reduce_chroma(lab), color.reduce_chroma(lab)
    error = (got[:, 1:].norm(dim=1) - exact[:, 1:].norm(dim=1)).abs()
    assert error.mean() < 0.02 and error.quantile(0.999) < 1
    assert torch.equal(got[:, 0], lab[:, 0])
    turned = got[:, 1] * lab[:, 2] - got[:, 2] * lab[:, 1]  # cross product of the two ab, zero if their hues are equal
    assert turned.abs().max() < 1e-2


def test_colours_inside_the_gamut_do_not_change():
    rgb = torch.rand(1, 3, 100, 200, generator=torch.Generator().manual_seed(0))
    lab = color.rgb_to_lab(rgb)
    lab[..., :50, :] = draw_lab(10_000, chroma=20).view(1, 3, 50, 200)
    exact, inside = color.xyz_to_linear(color.lab_to_xyz(lab)), color.in_gamut(lab)[:, None].expand_as(lab)
    got = upsampling.linear_light(lab)
    assert torch.equal(got[inside], exact[inside])
    assert 0.8 < inside.float().mean() < 1 and color.in_gamut_linear(got, 0.01).all()
