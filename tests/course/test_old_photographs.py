"""Every fault does to a picture what it is named after, and nothing else."""

import numpy as np
import pytest
import torch
from skimage import color, data

from colorlib.course import old_photographs as old
from colorlib.figures import grey_image


@pytest.fixture(scope="module")
def picture():
    return data.coffee()[::4, ::4]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def is_grey(picture):
    return int(np.ptp(picture.astype(int), axis=2).max()) == 0


def test_panchromatic_film_sees_the_lightness_of_the_eye(picture):
    film = old.film(picture, "panchromatic")
    assert film.shape == picture.shape and film.dtype == np.uint8 and is_grey(film)
    difference = color.rgb2lab(film)[..., 0] - color.rgb2lab(picture)[..., 0]
    assert np.abs(difference).max() < 0.5


@pytest.mark.parametrize(("kind", "blind"), [("orthochromatic", [0]), ("blue-sensitive", [0, 1])])
def test_older_film_is_blind_to_some_colours(picture, kind, blind):
    changed = picture.copy()
    changed[..., blind] = 255 - changed[..., blind]
    assert np.array_equal(old.film(picture, kind), old.film(changed, kind))
    changed = picture.copy()
    changed[..., 2] //= 2
    assert old.film(changed, kind).mean() < old.film(picture, kind).mean()


@pytest.mark.parametrize("kind", sorted(old.FILMS))
def test_every_film_keeps_grey_as_it_is(kind):
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.abs(old.film(grey, kind).astype(int) - grey).max() <= 1
    assert sum(old.FILMS[kind]) == pytest.approx(1)


def test_an_unknown_film_is_named(picture):
    with pytest.raises(ValueError, match=r"panchromatic, orthochromatic, blue-sensitive, got 'digital'"):
        old.film(picture, "digital")


def test_fading_keeps_the_order_of_the_levels():
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    faded = old.fade(levels)
    assert (faded.min(), faded.max()) == (90, 190) and (np.diff(faded[0, :, 0].astype(int)) >= 0).all()


def test_sepia_is_brown_and_darker(picture):
    grey = old.film(picture, "panchromatic")
    lab = color.rgb2lab(old.tone(grey))
    bright = lab[..., 0] > 20
    assert (lab[..., 2][bright] > 5).all() and (lab[..., 0] <= color.rgb2lab(grey)[..., 0] + 0.3).all()
    assert np.abs(old.tone(grey, (1.0, 1.0, 1.0)).astype(int) - grey).max() <= 1


def test_grain_is_noise_of_the_given_strength(rng):
    grey = np.full((100, 100, 3), 128, np.uint8)
    noisy = old.grain(grey, rng, 10)
    assert is_grey(noisy) and noisy.mean() == pytest.approx(128, abs=0.5)
    assert noisy.astype(float).std() == pytest.approx(10, rel=0.05)


def test_scratches_are_bright_and_leave_the_rest(picture, rng):
    dark = picture // 2
    scratched = old.scratch(dark, rng, scratches=3, specks=5)
    hit = (scratched != dark).any(axis=2)
    assert (scratched[hit] == 235).all() and 0.01 < hit.mean() < 0.2
    assert hit[:, hit.any(axis=0)].any() and not np.array_equal(scratched, dark)
    assert np.array_equal(old.scratch(dark, rng, scratches=0, specks=0), dark)


def test_a_page_goes_around_the_photograph(picture):
    page = old.on_a_page(picture, paper=5, lid=3)
    assert page.shape == (picture.shape[0] + 16, picture.shape[1] + 16, 3)
    assert np.array_equal(page[8:-8, 8:-8], picture)
    assert (page[3:8, 3:-3] == old.PAPER).all() and (page[8:-8, -8:-3] == old.PAPER).all()
    assert (page[:3] == 14).all() and (page[:, -3:] == 14).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 1, 3)])
def test_tiny_pictures(shape, rng):
    tiny = np.full(shape, 100, np.uint8)
    for aged in (old.film(tiny, "orthochromatic"), old.fade(tiny), old.tone(tiny), old.grain(tiny, rng)):
        assert aged.shape == shape and aged.dtype == np.uint8
    assert old.scratch(tiny, rng).shape == shape


def test_the_picture_that_is_given_stays_as_it_is(picture, rng):
    before = picture.copy()
    for make in (old.fade, old.tone, old.on_a_page):
        make(picture)
    old.film(picture, "orthochromatic")
    old.grain(picture, rng)
    old.scratch(picture, rng)
    assert np.array_equal(picture, before)


def test_panchromatic_film_is_what_the_generator_sees(picture):
    from colorlib.color import split_lab, to_float

    L, _ = split_lab(to_float(torch.from_numpy(picture.copy()).movedim(-1, 0)[None]))
    seen = grey_image(L)[0].movedim(0, -1).numpy().astype(int)
    assert np.abs(seen - old.film(picture, "panchromatic")).max() <= 1
