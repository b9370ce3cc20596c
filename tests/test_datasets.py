"""Sources that are opened by name, the sources inside the package, and the content and order of batches."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch

from colorlib import scenes
from colorlib.datasets import SPECS, SPLITS, ArraySource, Batches, SceneSource, Source, list_sources, open_source
from colorlib.datasets.photos import PICTURES, PhotoSource


def numbered(n: int, size: int = 6) -> ArraySource:
    """Images whose pixels show where they are from: red is the image's number, green the column and blue the row."""
    rows, columns = np.mgrid[:size, :size]
    images = [np.stack([np.full((size, size), i), columns, rows]) for i in range(n)]
    return ArraySource("numbered", "train", np.array(images, dtype=np.uint8), np.arange(n), "none")


def order(batches: Batches, steps: range) -> list[int]:
    """The numbers of the images in these batches, for a source made by `numbered`."""
    return [int(image[0, 0, 0]) for k in steps for image in batches.batch(k)]


# --- open_source ---


@pytest.mark.parametrize("spec", ["", "scene", "scenes:x", "photos:x", "folder", "folder:", "kaggle:", "flowers102:x"])
def test_wrong_spec_lists_the_right_ones(spec: str) -> None:
    with pytest.raises(ValueError, match="expected one of the sources") as error:
        open_source(spec, 32)
    assert all(right in str(error.value) for right in SPECS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"split": "training"}, "train, val, test"), ({"size": 0}, "at least 1"), ({"margin": 0.5}, "at least 1")],
)
def test_wrong_arguments(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_source(**{"spec": "scenes", "size": 32, **changes})


@pytest.mark.parametrize("spec", ["scenes", "photos"])
@pytest.mark.parametrize("split", SPLITS)
def test_bundled_sources(spec: str, split: str) -> None:
    source = open_source(spec, 32, split, margin=286 / 256)
    assert isinstance(source, Source)
    images = source.images([0, 5, 1])
    assert images.shape == (3, 3, 36, 36) and images.dtype == torch.uint8
    assert torch.equal(images[1:2], source.images([5]))
    told = json.loads(json.dumps(source.describe()))
    assert (told["spec"], told["split"], told["size"], told["n"]) == (spec, split, 36, len(source))
    assert told["fingerprint"] == open_source(spec, 32, split, margin=286 / 256).describe()["fingerprint"]


@pytest.mark.parametrize("spec", ["scenes", "photos"])
def test_splits_differ(spec: str) -> None:
    described = [open_source(spec, 32, split).describe() for split in SPLITS]
    assert len({told["fingerprint"] for told in described}) == 3


def test_scenes_are_endless_for_training_only() -> None:
    train, val = SceneSource("train", 32), SceneSource("val", 32)
    assert (len(train), len(val), len(SceneSource("test", 32))) == (2000, 200, 200)
    assert train.endless and not val.endless
    assert torch.equal(train.images([2**30]), scenes.draw([2**30], 32, split="train", seed=0).rgb)
    for source, index in ((val, 200), (val, -1), (train, -1)):
        with pytest.raises(IndexError, match="expected an index from 0"):
            source.images([index])


def test_photos_never_share_a_pixel_between_splits() -> None:
    widths = {0: 512, 1: 451, 2: 600, 3: 741, 4: 640}
    assert len(widths) == len(PICTURES)
    used = {split: {i: np.zeros(width, bool) for i, width in widths.items()} for split in SPLITS}
    for split in SPLITS:
        source = open_source("photos", 64, split)
        assert isinstance(source, PhotoSource)
        for crop in source.crops:
            used[split][crop.picture][int(crop.left) : int(np.ceil(crop.left + crop.side))] = True
    for i in widths:
        assert not (sum(used[split][i].astype(int) for split in SPLITS) > 1).any()
        assert all(used[split][i].any() for split in SPLITS)


def test_photos_are_the_pictures_and_say_what_is_held_out() -> None:
    from skimage import data

    source = open_source("photos", 64, "test")
    assert isinstance(source, PhotoSource)
    assert "held-out regions of the same pictures" in source.describe()["note"]
    first = source.crops[0]
    cut = data.astronaut()[: round(first.side), round(first.left) : round(first.left + first.side)]
    assert source.images([0]).float().mean((0, 2, 3)).numpy() == pytest.approx(cut.mean((0, 1)), abs=1)
    assert 500 < len(open_source("photos", 64)) < 3000


def test_list_of_sources(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORLIB_DATA", str(tmp_path))
    (tmp_path / "stl10_binary").mkdir()
    rows = {row["name"]: row for row in list_sources()}
    assert tuple(rows) == SPECS
    assert rows["stl10"]["on_disk"] == "yes" and rows["pets"]["on_disk"] == "no" and rows["scenes"]["on_disk"] == "yes"
    assert all(value for row in rows.values() for value in row.values())


# --- Batches ---


def test_an_epoch_is_a_new_permutation() -> None:
    batches = Batches(numbered(22), 4, size=6)
    assert batches.steps_per_epoch == 5
    epochs = [order(batches, range(5 * e, 5 * e + 5)) for e in range(3)]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order(Batches(numbered(22), 4, size=6, seed=1), range(5)) != epochs[0]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    source = numbered(10)
    forwards, backwards = (Batches(source, 4, size=4, seed=3) for _ in range(2))
    there = {k: forwards.batch(k) for k in range(7)}
    assert all(torch.equal(backwards.batch(k), there[k]) for k in reversed(range(7)))


def test_ranks_share_the_batch_of_one_process() -> None:
    source = numbered(30)
    whole = Batches(source, 8, size=4, seed=5)
    shares = [Batches(source, 8, size=4, seed=5, rank=rank, world_size=4) for rank in range(4)]
    for k in (0, 1, 4):
        assert torch.equal(torch.cat([share.batch(k) for share in shares]), whole.batch(k))


def test_crops_and_flips() -> None:
    batches = Batches(numbered(50), 50, size=4)
    views = torch.cat([batches.batch(k) for k in range(20)]).int()
    columns, rows = views[:, 1, 0], views[:, 2, :, 0]
    steps = columns.diff(dim=1)
    assert ((steps == 1).all(1) | (steps == -1).all(1)).all() and (rows.diff(dim=1) == 1).all()
    flipped = (steps == -1).all(1).float().mean()
    assert 0.4 < flipped < 0.6
    corners = columns.amin(1) * 3 + rows[:, 0]
    assert torch.bincount(corners, minlength=9).min() > 1000 / 9 * 0.6
    centre = Batches(numbered(50), 50, size=4, augment=False).batch(0)
    assert (centre[:, 1:, 0, 0] == 1).all() and (centre[:, 1, 0, 3] == 4).all()


def test_zoomed_crops_are_wider_pieces_scaled_down() -> None:
    """The pixels contain their column. So the difference of two columns shows how wide a crop was before resizing."""
    source = numbered(40, size=64)
    views = torch.cat([Batches(source, 40, size=16, zoom=3.0, seed=seed).batch(0) for seed in range(5)]).float()
    assert views.shape == (200, 3, 16, 16)
    widths = (views[:, 1, 0, 14] - views[:, 1, 0, 1]).abs() * 16 / 13
    assert 14 < widths.min() < 20 and 44 < widths.max() < 50  # 16 to 48 px
    starts = views[:, 1, 0].amin(1)
    assert starts.min() < 4 and starts.max() > 40
    unzoomed = Batches(source, 40, size=16, zoom=1.0).batch(0).float()
    assert ((unzoomed[:, 1, 0, 14] - unzoomed[:, 1, 0, 1]).abs() == 13).all()
    as_far_as_it_goes = Batches(source, 40, size=60, zoom=3.0).batch(0)
    assert as_far_as_it_goes.shape == (40, 3, 60, 60)


def test_ranks_share_zoomed_crops_too() -> None:
    source = numbered(30)
    whole = Batches(source, 8, size=3, zoom=2.0, seed=5).batch(2)
    shares = [Batches(source, 8, size=3, zoom=2.0, seed=5, rank=rank, world_size=2).batch(2) for rank in range(2)]
    assert torch.equal(torch.cat(shares), whole)


def test_endless_sources_never_repeat() -> None:
    class Counter:
        name, size, split, endless = "counter", 2, "train", True

        def __init__(self) -> None:
            self.seen: list[int] = []

        def __len__(self) -> int:
            return 10

        def images(self, indices) -> torch.Tensor:
            self.seen += indices
            return torch.zeros(len(indices), 3, 2, 2, dtype=torch.uint8)

        def describe(self) -> dict:
            return {}

    starts = []
    for seed in (0, 1):
        source = Counter()
        batches = Batches(source, 4, size=2, seed=seed)
        assert batches.steps_per_epoch == 2
        for k in range(10):
            batches.batch(k)
        assert source.seen == list(range(source.seen[0], source.seen[0] + 40))
        starts.append(source.seen[0])
    assert abs(starts[0] - starts[1]) > 1000


def test_a_small_source_shrinks_the_batch() -> None:
    with pytest.warns(UserWarning, match="has only 5 images, so the batch of 16 shrinks to 5"):
        batches = Batches(numbered(5), 16, size=6)
    assert sorted(order(batches, range(1))) == [0, 1, 2, 3, 4] and batches.steps_per_epoch == 1
    with pytest.warns(UserWarning, match="shrinks to 4"):
        assert len(Batches(numbered(5), 16, size=6, rank=1, world_size=2).batch(0)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 7}, "from 1 to the source's 6"),
        ({"batch_size": 0}, "share evenly"),
        ({"batch_size": 5, "world_size": 2}, "share evenly"),
        ({"rank": 2, "world_size": 2}, "rank from 0 to 1"),
        ({"batch_size": 16, "world_size": 16}, "each of the 16 processes"),
    ],
)
def test_wrong_batches(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Batches(numbered(10), **{"batch_size": 4, "size": 6, **arguments})


@pytest.mark.parametrize("n_threads", [1, 3])
def test_prefetch_gives_the_same_batches_and_ends_its_threads(n_threads: int) -> None:
    batches = Batches(numbered(10), 4, size=4)
    stream = batches.prefetch(start=3, n_threads=n_threads)
    for expected in range(3, 12):
        k, batch = next(stream)
        assert k == expected and torch.equal(batch, batches.batch(k))
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("colorlib-batches")]


def test_prefetch_pins_batches_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pinning memory needs a GPU. Here a function that halves the values shows which batches were pinned.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self.contiguous() // 2)
    batches = Batches(numbered(12, size=10), 4, size=8)
    pinned, plain = (next(batches.prefetch(pin=pin))[1] for pin in (True, False))
    assert torch.equal(pinned, plain // 2) and not torch.equal(pinned, plain)


def test_prefetch_passes_errors_on() -> None:
    source = numbered(10)
    broken = ArraySource("broken", "train", source.array[:5], source.rows, "none")
    with pytest.raises(IndexError):
        for _ in zip(range(5), Batches(broken, 4, size=4).prefetch(), strict=False):
            pass
