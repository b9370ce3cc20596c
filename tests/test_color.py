"""Compare the conversions with scikit-image over the whole sRGB cube, and test gradients, gamut and errors."""

import jaxtyping
import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab

from colorlib import color
from colorlib.color import in_gamut, join_lab, lab_to_rgb, reduce_chroma, rgb_to_lab, split_lab, to_float, to_uint8

DTYPES = {torch.float64: 1e-3, torch.float32: 1e-2}


@pytest.fixture(scope="module")
def cube():
    """52^3 colours on a lattice over the whole sRGB cube, including all corners, all edges and levels near black."""
    levels = torch.cat([torch.arange(0, 11), torch.linspace(16, 245, 36).round(), torch.arange(251, 256)]) / 255
    assert len(levels) == 52
    colours = torch.cartesian_prod(*[levels.double()] * 3)
    return colours.T.reshape(3, 52 * 52, 52)


@pytest.fixture
def without_shape_checks():
    """Switch off jaxtyping's checks, which users do not have, to test the package's own error messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def draw_lab(n, seed=0, chroma=150.0):
    """n Lab pixels `(3, n, 1)` over the whole range of a generator's output, most of them outside the gamut."""
    rng = torch.Generator().manual_seed(seed)
    L, hue, c = torch.rand(3, n, generator=rng, dtype=torch.float64)
    L, hue, c = 100 * L, 2 * torch.pi * hue, chroma * c
    return torch.stack([L, c * hue.cos(), c * hue.sin()])[..., None]


def channels_last(image):
    return image.movedim(-3, -1).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_cube_matches_scikit_image(cube, dtype):
    expected = rgb2lab(channels_last(cube))
    got = channels_last(rgb_to_lab(cube.to(dtype)))
    assert np.abs(got - expected).max() < DTYPES[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_images_match_scikit_image_both_ways(dtype):
    images = torch.rand(5, 2, 3, 17, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lab = rgb2lab(channels_last(images))
    assert np.abs(channels_last(rgb_to_lab(images.to(dtype))) - lab).max() < DTYPES[dtype]
    back = lab_to_rgb(torch.from_numpy(lab).movedim(-1, -3).to(dtype))
    assert np.abs(channels_last(back) - lab2rgb(lab)).max() < 1e-3


@pytest.mark.slow
def test_all_16_million_colours():
    levels = torch.arange(256, dtype=torch.float64) / 255
    for red in levels.split(16):
        colours = torch.cartesian_prod(red, levels, levels).T.reshape(3, -1, 256)
        assert np.abs(channels_last(rgb_to_lab(colours)) - rgb2lab(channels_last(colours))).max() < 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trips_over_the_cube(cube, dtype):
    rgb = cube.to(dtype)
    assert (lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max() < 1e-3
    assert (join_lab(*split_lab(rgb), gamut="none") - rgb).abs().max() < 1e-3
    assert torch.equal(to_uint8(join_lab(*split_lab(rgb), gamut="chroma")), to_uint8(rgb))


@pytest.mark.parametrize("steps", [("srgb_to_linear", "linear_to_srgb"), ("linear_to_xyz", "xyz_to_linear")])
def test_each_step_is_the_inverse_of_the_other(cube, steps):
    there, back = (getattr(color, step) for step in steps)
    assert torch.allclose(back(there(cube)), cube, atol=1e-12)


def test_known_colours():
    """The sRGB primaries in Lab, from Lindbloom's calculator (D65). Its values and our matrix are both rounded."""
    rgb = torch.eye(3, dtype=torch.float64).reshape(3, 3, 1)
    expected = torch.tensor([[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]])
    assert torch.allclose(rgb_to_lab(rgb)[..., 0].T.float(), expected, atol=0.02)


def test_network_scaling_is_as_documented():
    rgb = torch.tensor([0.2, 0.5, 0.7]).reshape(1, 3, 1, 1)
    lab, (L, ab) = rgb_to_lab(rgb), split_lab(rgb)
    assert torch.allclose(L, lab[:, :1] / 50 - 1) and torch.allclose(ab, lab[:, 1:] / 110)


def test_gradients_are_finite_at_black_white_and_where_curves_change():
    knees = [0, 1, color.SRGB_KNEE, color.LINEAR_KNEE * 12.92, 1e-12, 0.5]
    colours = torch.cartesian_prod(*[torch.tensor(knees)] * 3).T.reshape(3, -1, 1)
    for inside in (colours, torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)):
        rgb = inside.clone().requires_grad_()
        rgb_to_lab(rgb).sum().backward()
        assert rgb.grad.isfinite().all() and rgb.grad.abs().amax() > 0
    for clip in (True, False):
        lab = draw_lab(500).float()
        lab[:, :3] = torch.tensor([[0.0, 100.0, 8.0], [0.0] * 3, [0.0] * 3])[..., None]
        lab.requires_grad_()
        lab_to_rgb(lab, clip=clip).sum().backward()
        assert lab.grad.isfinite().all()


@pytest.mark.slow
def test_gradcheck_both_ways():
    rgb = torch.rand(2, 3, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rgb_to_lab, rgb)
    assert torch.autograd.gradgradcheck(rgb_to_lab, rgb)
    lab = draw_lab(12).requires_grad_()
    assert torch.autograd.gradcheck(lambda lab: lab_to_rgb(lab, clip=False), lab)


# ----------------------------------------------------------------------------- gamut


def test_every_srgb_colour_is_in_gamut_and_stays_unchanged(cube):
    for dtype in DTYPES:
        lab = rgb_to_lab(cube.to(dtype))
        assert in_gamut(lab).all() and torch.equal(reduce_chroma(lab), lab)


def test_in_gamut_agrees_with_the_range_of_rgb():
    lab = draw_lab(20_000)
    rgb = lab_to_rgb(lab, clip=False)
    inside = ((rgb >= -1e-3) & (rgb <= 1 + 1e-3)).all(0)
    assert torch.equal(in_gamut(lab), inside) and 0.1 < inside.double().mean() < 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_reduced_chroma_keeps_lightness_and_hue_and_is_on_the_boundary(dtype):
    lab = draw_lab(3_000).to(dtype)
    reduced, outside = reduce_chroma(lab), ~in_gamut(lab)
    chroma, before = reduced[1:].norm(dim=0), lab[1:].norm(dim=0)
    assert in_gamut(reduced, color.GAMUT_TOLERANCE + 1e-6).all()
    assert torch.equal(reduced[0], lab[0]) and torch.equal(reduced[:, ~outside], lab[:, ~outside])
    cross = reduced[1] * lab[2] - reduced[2] * lab[1]
    assert (cross / before.clamp(min=1)).abs().max() < 1e-4 and (chroma <= before).all()
    # With a little more chroma, the colour would be outside the gamut.
    more = lab.clone()
    more[1:] = reduced[1:] * ((chroma + 0.02) / chroma.clamp(min=1e-9))
    assert not in_gamut(more)[outside].any()


def test_reduced_chroma_is_the_largest_by_brute_force():
    lab = draw_lab(60, seed=5)
    factors = torch.linspace(0, 1, 2001, dtype=torch.float64)
    tried = lab.repeat(1, 1, 2001)
    tried[1:] *= factors
    largest = torch.where(in_gamut(tried), factors, 0).amax(-1) * lab[1:, :, 0].norm(dim=0)
    assert torch.allclose(reduce_chroma(lab)[1:, :, 0].norm(dim=0), largest, atol=0.1)


def test_chroma_mapping_keeps_lightness_where_clipping_does_not():
    """With gamut="chroma", the image has the lightness of the input, except for the tolerance of the gamut."""
    lab = draw_lab(5_000)
    L, ab = lab[:1] / color.L_SCALE - 1, lab[1:] / color.AB_SCALE
    moved = {gamut: (split_lab(join_lab(L, ab, gamut=gamut))[0] - L).abs().max() * 50 for gamut in ("clip", "chroma")}
    assert moved["chroma"] < 0.5 and moved["clip"] > 10


def test_gradient_flows_through_chroma_mapping():
    ab = (draw_lab(200)[1:] / 110).requires_grad_()
    join_lab(torch.zeros_like(ab[:1]), ab, gamut="chroma").sum().backward()
    assert ab.grad.isfinite().all() and ab.grad.abs().sum() > 0


def test_lightness_outside_0_to_100_gives_grey():
    lab = torch.tensor([120.0, 30.0, 30.0]).reshape(3, 1, 1)
    assert reduce_chroma(lab).flatten().tolist() == [120.0, 0.0, 0.0]


# ----------------------------------------------------------------------------- dtypes and errors


def test_eight_bit_round_trip_and_rounding():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_uint8(to_float(levels)), levels)
    rgb = torch.tensor([-0.5, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 1.7, 1.0]).reshape(1, 3, 1, 2)
    assert to_uint8(rgb).flatten().tolist() == [0, 0, 1, 255, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    rgb = torch.rand(1, 3, 4, 4).to(dtype)
    lab = rgb_to_lab(rgb)
    assert lab.dtype == torch.float32 and torch.equal(lab, rgb_to_lab(rgb.float()))
    L, ab = (part.to(dtype) for part in split_lab(rgb.float()))
    assert join_lab(L, ab, gamut="chroma").dtype == torch.float32


def test_autocast_does_not_round_the_matrix():
    rgb = torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lab = rgb_to_lab(rgb)
    assert torch.allclose(lab, rgb_to_lab(rgb), atol=1e-4)


def test_empty_batches_are_accepted():
    assert rgb_to_lab(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
    assert join_lab(torch.zeros(0, 1, 4, 4), torch.zeros(0, 2, 4, 4), gamut="chroma").shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rgb_to_lab(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)), "to_float"),
        (lambda: lab_to_rgb(torch.zeros(1, 3, 2, 2, dtype=torch.int64)), "float image"),
        (lambda: to_uint8(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)), "float image"),
        (lambda: to_float(torch.zeros(1, 3, 2, 2)), "uint8"),
        (lambda: rgb_to_lab(torch.zeros(1, 2, 2, 3)), r"\(1, 2, 2, 3\)"),
        (lambda: rgb_to_lab(torch.zeros(3, 2)), r"\(3, 2\)"),
        (lambda: join_lab(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), gamut="soft"), "clip, chroma, none"),
        (lambda: join_lab(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 4, 4)), "of the same size"),
        (lambda: join_lab(torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)), "of the same size"),
        (lambda: join_lab(torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 2, 2)), "of the same size"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_errors_say_what_was_expected(call, words):
    with pytest.raises(ValueError, match=words):
        call()


VIVID = torch.tensor([50.0, 90.0, -90.0]).reshape(1, 3, 1, 1)  # a Lab colour that sRGB cannot show


def test_rgb_leaves_the_range_only_without_clipping():
    L, ab = VIVID[:, :1] / 50 - 1, VIVID[:, 1:] / 110
    free = join_lab(L, ab, gamut="none")
    assert free.max() > 1.05 and torch.equal(free, lab_to_rgb(VIVID, clip=False))
    assert lab_to_rgb(VIVID).max() == 1 and join_lab(L, ab).max() == 1


def test_a_wider_tolerance_keeps_more_chroma():
    lab = torch.cat([VIVID, 0.5 * VIVID + torch.tensor([25.0, 0, 0]).reshape(1, 3, 1, 1)], dim=-1)
    chroma = [reduce_chroma(lab, tolerance)[..., 1:, :, :].norm(dim=-3) for tolerance in (1e-3, 0.05, 10.0)]
    assert (chroma[0][..., 0] < 0.98 * chroma[1][..., 0]).all() and (chroma[1][..., 0] < chroma[2][..., 0]).all()
    assert torch.equal(reduce_chroma(lab, 10.0), lab)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_split_lab_refuses_values_up_to_255(dtype):
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    with pytest.raises(ValueError, match=r"expected sRGB in 0\.\.1, got values up to 2"):
        split_lab(255 * image)
    # A resized image can be a little above 1 and must be accepted.
    split_lab(image * 1.2 - 0.1)
    split_lab(image[:0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_grey_srgb_matches_scikit_image(dtype):
    lightness = np.linspace(0, 100, 401)
    lab = np.stack([lightness, 0 * lightness, 0 * lightness], axis=-1)
    expected = lab2rgb(lab[None])[..., :1]
    L = torch.from_numpy(lightness / 50 - 1).to(dtype).view(1, 1, 401)
    grey = color.grey_srgb(L)
    assert grey.shape == L.shape and grey.dtype == dtype
    np.testing.assert_allclose(channels_last(grey), expected, atol=DTYPES[dtype] / 10)


def test_grey_srgb_is_clamped_for_lightness_outside_0_to_100():
    grey = color.grey_srgb(torch.tensor([-1.5, -1.0, 1.0, 1.5]).view(1, 1, 4))
    torch.testing.assert_close(grey.flatten(), torch.tensor([0.0, 0.0, 1.0, 1.0]), atol=1e-6, rtol=0)
