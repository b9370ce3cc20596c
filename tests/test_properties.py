"""Properties of all colours, sizes, splits and recipes. Hypothesis searches for examples that violate them."""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_source
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from colorlib.color import join_lab, lab_to_rgb, rgb_to_lab, split_lab, to_float, to_uint8
from colorlib.datasets import Batches
from colorlib.datasets.folder import cut_by_content
from colorlib.datasets.kaggle import KaggleSource
from colorlib.datasets.lightness import Evidence
from colorlib.datasets.pictures import square
from colorlib.errors import DataError
from colorlib.generators import ResUNet, UNet
from colorlib.history import History, Record
from colorlib.images import read_image
from colorlib.recipes import RECEPTIVE_FIELDS, RECIPES, Recipe

# Every machine tries the same examples, and no example is stored: a test that fails here fails everywhere.
settings.register_profile(
    "colorlib", max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("colorlib")

sides = st.integers(1, 9)
pixels = arrays.arrays(np.uint8, st.tuples(st.just(1), st.just(3), sides, sides))
unit = st.floats(0, 1, width=32)


# --- colours -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(pixels)
def test_8_bit_colours_are_unchanged_after_conversion_to_lab_and_back(image: np.ndarray) -> None:
    rgb = torch.from_numpy(image)
    assert torch.equal(to_uint8(to_float(rgb)), rgb)
    assert torch.equal(to_uint8(lab_to_rgb(rgb_to_lab(to_float(rgb)))), rgb)
    assert torch.equal(to_uint8(join_lab(*split_lab(to_float(rgb)))), rgb)
    assert torch.equal(to_uint8(join_lab(*split_lab(to_float(rgb)), gamut="chroma")), rgb)


@given(arrays.arrays(np.float64, (3, 2, 3), elements=st.floats(0, 1)))
def test_float_colours_are_unchanged_after_conversion_to_lab_and_back(image: np.ndarray) -> None:
    rgb = torch.from_numpy(image)
    assert torch.allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=1e-6)


@pytest.mark.slow
@given(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32), st.floats(-3, 3, width=32))
def test_any_output_of_a_network_becomes_a_colour_of_the_given_lightness(light: float, a: float, b: float) -> None:
    L, ab = torch.full((1, 1, 1, 1), light), torch.tensor([a, b]).view(1, 2, 1, 1)
    rgb = join_lab(L, ab, gamut="chroma")
    assert torch.isfinite(rgb).all() and rgb.min() >= 0 and rgb.max() <= 1
    got_L, got_ab = split_lab(rgb)
    assert abs(float(got_L) - min(max(light, -1), 1)) < 0.02
    cross = float(ab[0, 0] * got_ab[0, 1] - ab[0, 1] * got_ab[0, 0])
    assert abs(cross) < 0.02 * max(1.0, float(ab.norm())), "the hue must be kept"
    assert float(got_ab.norm()) <= float(ab.norm()) + 0.02


# --- sizes -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 4), st.booleans())
def test_a_generator_takes_any_size(height: int, width: int, depth: int, residual: bool) -> None:
    kind = ResUNet if residual else UNet
    generator = kind(depth=depth, width=2, dropout=0.0).eval()
    with torch.inference_mode():
        ab = generator(torch.zeros(2, 1, height, width))
    assert ab.shape == (2, 2, height, width) and torch.isfinite(ab).all()


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.sampled_from(["RGB", "L", "RGBA", "P", "1", "CMYK"])
)
def test_any_image_becomes_a_square_of_its_centre(width: int, height: int, side: int, mode: str) -> None:
    middle = Image.new("RGB", (width, height), "red")
    short = min(width, height)
    box = ((width - short) // 2, (height - short) // 2)
    middle.paste("white", (*box, box[0] + short + 1, box[1] + short + 1))
    got = square(middle.convert(mode), side)
    assert got.shape == (3, side, side) and got.dtype == np.uint8
    # If the long side exceeds the short side by an odd number, half a pixel outside the white square is included.
    assert got.mean() >= 255 * (1 - 3 / short)


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.bool_]),
        st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.sampled_from([1, 3, 4]))),
    )
)
def test_any_array_of_an_image_is_read(array: np.ndarray) -> None:
    read = read_image(array)
    assert read.rgb.shape == (*array.shape[:2], 3) and read.rgb.dtype == np.uint8
    assert (read.alpha is not None) == (array.ndim == 3 and array.shape[2] == 4)
    values = array.reshape(*array.shape[:2], -1)[..., :3].astype(np.uint8) * (255 if array.dtype == bool else 1)
    assert (read.rgb == values).all()


# --- splits and batches ------------------------------------------------------------------------------------------

hashes = st.lists(st.integers(0, 16**32 - 1).map("{:032x}".format), min_size=1, max_size=60)


@given(hashes, st.randoms(use_true_random=False))
def test_the_split_of_a_file_depends_only_on_its_content(given_hashes: list[str], rng) -> None:
    if len(set(given_hashes)) < 3:
        with pytest.raises(DataError, match="at least 3 different pictures"):
            cut_by_content(given_hashes)
        return
    splits = dict(zip(given_hashes, cut_by_content(given_hashes), strict=True))
    assert set(splits.values()) == {"train", "val", "test"}, "none may be empty"
    shuffled = [*given_hashes, *given_hashes[:3]]
    rng.shuffle(shuffled)
    assert cut_by_content(shuffled) == [splits[h] for h in shuffled]


@given(st.sets(st.integers(0, 16**8 - 1), min_size=200, max_size=240), st.sets(st.integers(0, 16**8 - 1), max_size=30))
@settings(max_examples=10)
def test_added_images_do_not_change_the_split_of_the_others(numbers: set[int], more: set[int]) -> None:
    """This is true for sets so large that each split gets an image by its hash. Smaller sets are cut in another way."""
    spread = [f"{n * 2654435761 % 2**32:08x}{'0' * 24}" for n in numbers]
    before = dict(zip(spread, cut_by_content(spread), strict=True))
    assume({"train", "val", "test"} <= set(before.values()) and len(set(before.values())) == 3)
    fractions = sorted(int(h, 16) / 16**32 for h in spread)
    assume(fractions[0] < 0.8 and any(0.8 <= f < 0.9 for f in fractions) and fractions[-1] >= 0.9)
    all_of_them = spread + [f"{n * 2654435761 % 2**32:08x}{'0' * 24}" for n in more]
    after = dict(zip(all_of_them, cut_by_content(all_of_them), strict=True))
    assert all(after[h] == split for h, split in before.items())


@given(st.integers(0, 500))
def test_the_splits_of_a_numbered_set_contain_each_index_once(n: int) -> None:
    gray = np.zeros((n, 1, 1), np.uint8)
    ranges = [KaggleSource("k", s, 1, gray, (), "L*", Evidence())._range() for s in ("train", "val", "test")]
    assert [i for first, end in ranges for i in range(first, end)] == list(range(n))


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**40), st.integers(0, 3))
def test_an_epoch_has_each_image_at_most_once_with_any_number_of_processes(
    n: int, share: int, world: int, seed: int, epoch: int
) -> None:
    assume(n >= world)
    source = make_source(n=n, size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranks = [Batches(source, share * world, size=3, seed=seed, rank=r, world_size=world) for r in range(world)]
        shrunk = ranks[0].batch_size
        alone = Batches(source, shrunk, size=3, seed=seed)
    first = epoch * alone.steps_per_epoch
    shown = [alone._indices(k) for k in range(first, first + alone.steps_per_epoch)]
    numbers = torch.cat(shown).tolist()
    assert len(set(numbers)) == len(numbers) == n - n % shrunk
    together = torch.cat([rank.batch(first) for rank in ranks])
    assert torch.equal(together, alone.batch(first))


# --- files -------------------------------------------------------------------------------------------------------

changes = st.fixed_dictionaries(
    {},
    optional={
        "lambda_l1": st.floats(0.001, 1e6),
        "lr_g": st.floats(1e-9, 1.0),
        "betas": st.tuples(st.floats(0, 0.999), st.floats(0, 0.9999)),
        "clip": st.none() | st.floats(1e-6, 1.0),
        "width": st.integers(1, 512),
        "depth": st.none() | st.integers(1, 8),
        "size": st.integers(1, 1024),
        "batch_size": st.integers(1, 512),
        "dropout": st.floats(0, 0.99),
        "ema_decay": st.floats(0, 0.9999),
        "zoom": st.floats(1, 4),
        "tone": st.floats(0, 1),
        "cutmix": st.floats(0, 1),
        "conditional": st.booleans(),
        "norm": st.sampled_from(["batch", "instance", "layer", "spectral", "none"]),
        "minutes": st.floats(1e-3, 1e5),
    },
)


@given(st.sampled_from(sorted(RECIPES)), changes, st.text(max_size=20))
@settings(max_examples=20)
def test_a_recipe_is_unchanged_after_writing_and_reading(preset: str, changed: dict, name: str) -> None:
    recipe = RECIPES[preset].replace(**changed)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe and again.fingerprint == recipe.fingerprint
    assert 1 <= recipe.resolved_depth <= 8 and recipe.resolved_receptive_field in RECEPTIVE_FIELDS
    assert RECIPES[preset].replace(**recipe.changes()) == recipe
    renamed = dataclasses.replace(recipe, name=name)
    assert Recipe.from_json(renamed.to_json()) == renamed


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False, width=32), st.booleans()), max_size=12))
def test_a_history_is_unchanged_after_writing_and_reading(measured: list[tuple[float, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(["step", "l1", "extra", "images_per_second", "seconds"], Path(folder) / "history.csv")
        history.write()
        for i, (value, has_extra) in enumerate(measured):
            history.append(Record(i + 1, {"l1": value, "seconds": i / 3, **({"extra": -value} if has_extra else {})}))
            if i % 3 == 0:
                history.flush(torch.device("cpu"))
        history.flush(torch.device("cpu"))
        again = History(history.columns, history.path)
        again.read(len(measured))
        assert again.rows == history.rows
