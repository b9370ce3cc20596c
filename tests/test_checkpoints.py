"""Files of a run: whole or not there, readable or refused with a reason."""

import errno
import json
import math
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from colorlib import checkpoints
from colorlib.errors import CheckpointError, RunError
from colorlib.recipes import Recipe, build_generator

TENSORS = {"generator": {"w": torch.arange(6.0).view(2, 3)}, "optimizer_g": {"0.step": torch.tensor(3.0)}}


@pytest.fixture
def generator(recipe: Recipe, rng: torch.Generator) -> torch.nn.Module:
    return build_generator(recipe, rng).eval()


@pytest.mark.parametrize(("dtype", "tolerance"), [(None, 0.0), (torch.float16, 2e-3)])
def test_generator_round_trip(tmp_path: Path, recipe: Recipe, generator, dtype, tolerance: float) -> None:
    path = tmp_path / "g.safetensors"
    checkpoints.save_generator(path, generator, recipe, dtype=dtype, extra={"step": "7"})
    loaded, loaded_recipe, metadata = checkpoints.load_generator(path)
    L = torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    assert loaded_recipe == recipe and metadata["step"] == "7" and not loaded.training
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    torch.testing.assert_close(loaded(L), generator(L), atol=tolerance, rtol=0)


def test_the_same_weights_give_the_same_file(tmp_path: Path, recipe: Recipe, generator) -> None:
    """safetensors writes metadata in an order that changes from call to call."""
    extra = {name: name for name in "zyxwvabc"}
    files = [checkpoints.pack_generator(generator, recipe.replace(name="Łódź"), extra=extra) for _ in range(8)]
    assert len(set(files)) == 1
    (tmp_path / "g.safetensors").write_bytes(files[0])
    loaded, loaded_recipe, metadata = checkpoints.load_generator(tmp_path / "g.safetensors")
    assert loaded_recipe.name == "Łódź" and metadata.items() >= extra.items()
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), generator.parameters(), strict=True))


def test_half_precision_halves_the_file(tmp_path: Path, recipe: Recipe, generator) -> None:
    checkpoints.save_generator(tmp_path / "full", generator, recipe)
    checkpoints.save_generator(tmp_path / "half", generator, recipe, dtype=torch.float16)
    tensors = sum(t.numel() * t.element_size() for t in generator.state_dict().values() if t.is_floating_point())
    assert (tmp_path / "full").stat().st_size - (tmp_path / "half").stat().st_size == pytest.approx(
        tensors / 2, rel=0.01
    )


def test_weights_that_cannot_be_loaded(tmp_path: Path, recipe: Recipe, generator) -> None:
    path = tmp_path / "g.safetensors"
    with pytest.raises(FileNotFoundError, match=r"g\.safetensors"):
        checkpoints.load_generator(path)
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        checkpoints.load_generator(path)
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="does not say its recipe"):
        checkpoints.load_generator(path)
    checkpoints.save_generator(path, generator, recipe.replace(width=8))
    with pytest.raises(CheckpointError, match=r"another architecture.*expected .*got"):
        checkpoints.load_generator(path)
    checkpoints.save_generator(path, generator, recipe)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        checkpoints.load_generator(path)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["adam", "rmsprop"])
def test_an_optimizer_goes_on_as_if_it_had_not_been_packed(kind: str, layout: torch.memory_format) -> None:
    """Fused Adam walks parameter and average in storage order: a wrong layout would mix up their entries."""

    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(3, 5, 3).to(memory_format=layout)
        if kind == "adam":
            return layer, torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
        return layer, torch.optim.RMSprop(layer.parameters(), lr=0.1)

    def step(layer: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        optimizer.zero_grad()
        layer(torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
        optimizer.step()

    layer, optimizer = make()
    step(layer, optimizer, 1)
    step(layer, optimizer, 2)
    other, resumed = make()
    packed = {name: tensor.clone().contiguous() for name, tensor in checkpoints.pack_optimizer(optimizer).items()}
    other.load_state_dict(layer.state_dict())
    checkpoints.unpack_optimizer(resumed, packed)
    step(layer, optimizer, 3)
    step(other, resumed, 3)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("key", "shape"), [("9.exp_avg", (1,)), ("0.exp_avg", (7, 7)), ("x.exp_avg", (1,))])
def test_an_optimizer_of_other_networks_is_refused(key: str, shape: tuple[int, ...]) -> None:
    optimizer = torch.optim.Adam(torch.nn.Linear(2, 2).parameters())
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoints.unpack_optimizer(optimizer, {key: torch.zeros(shape)})


def test_checkpoint_round_trip_and_the_last_two_are_kept(tmp_path: Path) -> None:
    assert checkpoints.load_checkpoint(tmp_path) is None
    for step in (5, 10, 15):
        checkpoints.save_checkpoint(tmp_path, step, TENSORS, {"seconds": step / 2})
    loaded = checkpoints.load_checkpoint(tmp_path)
    assert loaded is not None and loaded[1] == {"step": 15, "seconds": 7.5}
    assert torch.equal(loaded[0]["generator"]["w"], TENSORS["generator"]["w"])
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["00000010", "00000015"]


@pytest.mark.parametrize("folder", ["", "checkpoints", "best"])
def test_a_save_removes_what_a_killed_process_left(tmp_path: Path, folder: str) -> None:
    left = tmp_path / folder / ".0123456789abcdef.tmp"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half of a file")
    checkpoints.save_checkpoint(tmp_path, 1, {"generator": {"w": torch.ones(2)}}, {"step": 1})
    assert not left.exists()


def test_every_so_many_steps_a_checkpoint_is_kept_for_good(tmp_path: Path, recipe: Recipe, generator) -> None:
    weights = checkpoints.pack_generator(generator, recipe)
    for step in range(5, 45, 5):
        checkpoints.save_checkpoint(tmp_path, step, TENSORS, {}, keep_every=15, weights=weights)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [15, 30, 35, 40]
    assert checkpoints.load_generator(tmp_path / "checkpoints/00000015/weights/generator.safetensors")[1] == recipe
    loaded = checkpoints.load_checkpoint(tmp_path)
    assert loaded is not None and loaded[0].keys() == TENSORS.keys() and loaded[1] == {"step": 40}


def test_the_best_weights_are_those_with_the_highest_score(tmp_path: Path, recipe: Recipe, generator) -> None:
    assert checkpoints.read_best(tmp_path) is None
    for step, score in enumerate((math.nan, -5.0, 20.5, 20.4, 20.5, math.nan)):
        checkpoints.save_best(tmp_path, generator, recipe, step, score)
    assert checkpoints.read_best(tmp_path) == (2, 20.5)
    path = tmp_path / "best/generator.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    checkpoints.save_best(tmp_path, generator, recipe, 9, 3.0)
    assert checkpoints.read_best(tmp_path) == (9, 3.0)


def test_saving_a_step_again_replaces_it_and_newer_ones_lose_their_name(tmp_path: Path) -> None:
    for step in (5, 10, 5):
        checkpoints.save_checkpoint(tmp_path, step, TENSORS, {})
    loaded = checkpoints.load_checkpoint(tmp_path)
    assert loaded is not None and loaded[1]["step"] == 5


@pytest.mark.parametrize("call", ["fsync", "rename", "replace"])
@pytest.mark.parametrize("nth", range(4))
def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch, call: str, nth: int) -> None:
    checkpoints.save_checkpoint(tmp_path, 5, TENSORS, {})
    real, calls = getattr(os, call), []

    def full(*args, **kwargs):
        calls.append(args)
        if len(calls) > nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        failed = False
        try:
            checkpoints.save_checkpoint(tmp_path, 10, TENSORS, {})
        except RunError as error:
            failed = True
            assert "No space left on device" in str(error)
    loaded = checkpoints.load_checkpoint(tmp_path)
    assert loaded is not None and loaded[1]["step"] == (5 if failed else 10)
    assert failed or nth >= 1  # rename and replace are called once each: a later failure never comes
    assert not list(tmp_path.rglob("*.tmp"))


DAMAGE = {
    "an empty latest": lambda run: (run / "latest").write_text(""),
    "a latest of zeros": lambda run: (run / "latest").write_bytes(bytes(8)),
    "no latest": lambda run: (run / "latest").unlink(),
    "a latest that leads elsewhere": lambda run: (run / "latest").write_text("../x"),
    "a folder that is missing": lambda run: shutil.rmtree(run / "checkpoints/00000010"),
    "no state": lambda run: (run / "checkpoints/00000010/state.json").unlink(),
    "half a state": lambda run: (run / "checkpoints/00000010/state.json").write_text("{"),
    "a state without a step": lambda run: (run / "checkpoints/00000010/state.json").write_text("[]"),
    "empty tensors": lambda run: (run / "checkpoints/00000010/generator.safetensors").write_bytes(b""),
    "truncated tensors": lambda run: os.truncate(run / "checkpoints/00000010/generator.safetensors", 80),
    "no optimizer": lambda run: (run / "checkpoints/00000010/optimizer_g.safetensors").unlink(),
}
LEAVES_THE_NEWEST = {name for name in DAMAGE if "latest" in name}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_replaced_by_the_one_before_it(tmp_path: Path, name: str) -> None:
    """What is lost is said, and the next save keeps the whole one."""
    for step in (5, 10):
        checkpoints.save_checkpoint(tmp_path, step, TENSORS, {})
    DAMAGE[name](tmp_path)
    expected = 10 if name in LEAVES_THE_NEWEST else 5
    said = f"step {expected}: it is the newest" if expected == 10 else "step 5: 5 steps are lost"
    with pytest.warns(UserWarning, match=said):
        loaded = checkpoints.load_checkpoint(tmp_path, mend=True)
    assert loaded is not None and loaded[1] == {"step": expected} and loaded[0].keys() == TENSORS.keys()
    assert (tmp_path / "latest").read_text() == f"{expected:08d}"
    checkpoints.save_checkpoint(tmp_path, 12, TENSORS, {})
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [f"{expected:08d}", "00000012"], "the two that are kept must both be whole"


def test_a_run_without_any_whole_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoints.save_checkpoint(tmp_path, 5, TENSORS, {})
    (tmp_path / "checkpoints/00000005/generator.safetensors").write_bytes(b"x" * 9)
    with pytest.raises(CheckpointError, match=r"cannot read .*generator\.safetensors.*no other checkpoint"):
        checkpoints.load_checkpoint(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match="holds none"):
        checkpoints.load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["00000005\n", "00000005\r\n", " 00000005 "])
def test_an_older_checkpoint_can_be_named_by_hand(tmp_path: Path, text: str, recwarn) -> None:
    for step in (5, 10):
        checkpoints.save_checkpoint(tmp_path, step, TENSORS, {})
    (tmp_path / "latest").write_bytes(text.encode())
    loaded = checkpoints.load_checkpoint(tmp_path)
    assert loaded is not None and loaded[1]["step"] == 5 and not recwarn
    checkpoints.save_checkpoint(tmp_path, 5, TENSORS, {"is": "new"})
    assert (tmp_path / "latest").read_text() == "00000005b", "the checkpoint in use is never replaced"


def test_removing_a_run_leaves_what_is_not_its_own(tmp_path: Path, recipe: Recipe) -> None:
    assert not checkpoints.is_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    checkpoints.save_checkpoint(tmp_path, 5, TENSORS, {})
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert checkpoints.is_run(tmp_path) and checkpoints.read_recipe(tmp_path) == recipe
    checkpoints.remove_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_recipe_that_was_damaged_by_hand(tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(FileNotFoundError, match="expected a run"):
        checkpoints.read_recipe(tmp_path)
    values = json.loads(recipe.to_json()) | {"width": -1}
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"recipe\.json: expected width above 0"):
        checkpoints.read_recipe(tmp_path)
