"""A run whose process dies or whose disk fills at any call of a save, two runs in one folder, data without content."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_source
from torch import Tensor
from torture.faults import Faults, full_disk

from colorlib import checkpoints, steps
from colorlib.cli import main
from colorlib.datasets.base import ArraySource
from colorlib.errors import CheckpointError, RunError, TrainingDiverged
from colorlib.files import RunLock, write_atomic
from colorlib.history import LOSSES, History, Record
from colorlib.losses import AdversarialLoss
from colorlib.recipes import RECIPES, Recipe, build_generator
from colorlib.training import Trainer

OLD, NEW = ({"generator": {"w": torch.full((3,), value)}, "optimizer_g": {}} for value in (1.0, 2.0))


class Killed(BaseException):
    """Not an Exception: nothing in the library catches it, as nothing outlives SIGKILL."""


def kill() -> None:
    raise Killed


def moments(work: Callable[[], object], strike: Callable[[], None], between: Callable[[int], None]) -> Iterator[int]:
    """Do the work again and again, struck at moment 0, 1, 2 ..., until it lives; `between` comes before each."""
    for n in range(1000):
        between(n)
        faults = Faults(n, strike)
        try:
            with faults.installed():
                work()
        except (Killed, RunError) as error:
            assert "\n" not in str(error)
        if faults.moments <= n:
            assert n > 5, "the work must write something"
            return
        yield n
    raise AssertionError("the work writes without end")


@pytest.mark.slow
@pytest.mark.parametrize("strike", [kill, full_disk])
@pytest.mark.parametrize("step", [5, 10])
def test_struck_at_each_call_of_a_save_a_whole_checkpoint_is_left(tmp_path: Path, step: int, strike) -> None:
    """Step 5 is the one that `latest` names already: a run that ends where it has just saved."""
    run = tmp_path / "run"

    def begin(_: int) -> None:
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        checkpoints.save_checkpoint(run, 5, OLD, {"is": "old"})

    for n in moments(lambda: checkpoints.save_checkpoint(run, step, NEW, {"is": "new"}), strike, begin):
        tensors, state = checkpoints.load_checkpoint(run) or ({}, {})
        true = {"old": OLD, "new": NEW}[state["is"]]
        assert state["step"] == (5 if state["is"] == "old" else step), n
        assert torch.equal(tensors["generator"]["w"], true["generator"]["w"]) and tensors["optimizer_g"] == {}, n
        if strike is full_disk:
            assert not list(run.rglob("*.tmp")), n
        checkpoints.save_checkpoint(run, step, NEW, {"is": "again"})
        assert (checkpoints.load_checkpoint(run) or ({}, {}))[1]["is"] == "again"
        assert not list(run.rglob("*.tmp")), n


@pytest.mark.parametrize("strike", [kill, full_disk])
@pytest.mark.parametrize("name", ["generator.safetensors", "history.csv", "recipe.json", "latest", "best"])
def test_struck_at_each_call_a_file_is_the_old_or_the_new_one(
    tmp_path: Path, recipe: Recipe, name: str, strike
) -> None:
    path = tmp_path / name
    generator = build_generator(recipe)
    history = History(["step", "l1", "seconds"], path)

    def write(value: int) -> None:
        if name == "generator.safetensors":
            checkpoints.save_generator(path, generator, recipe, extra={"step": str(value)})
        elif name == "best":
            checkpoints.save_best(tmp_path, generator, recipe, value, float(value))
        elif name == "history.csv":
            history.rows = [{"step": step, "l1": 0.5, "seconds": 1.0} for step in range(value)]
            history.write()
        else:
            write_atomic(path, str(value).encode())

    def content() -> object:
        return (path / "generator.safetensors" if name == "best" else path).read_bytes()

    def begin(_: int = 0) -> None:
        shutil.rmtree(tmp_path / "best", ignore_errors=True)
        write(3)

    known = []
    begin()
    for value in (3, 7):
        write(value)
        known.append(content())
    assert known[0] != known[1]
    for n in moments(lambda: write(7), strike, begin):
        assert content() in known, n


def test_a_row_that_was_torn_is_dropped(tmp_path: Path) -> None:
    """Rows are appended in place: what a kill leaves of them must not be read as numbers."""
    path = tmp_path / "history.csv"
    for n in range(100):
        history = History(["step", "l1", "seconds", "images_per_second"], path)
        history.rows = [{"step": 1, "l1": 0.5, "seconds": 1.0}]
        history.write()
        history.append(Record(2, {"l1": 0.125, "seconds": 2.0}))
        faults = Faults(n, kill)
        try:
            with faults.installed():
                history.flush(torch.device("cpu"))
        except Killed:
            pass
        again = History(history.columns, path)
        again.read(last_step=1)
        assert again.rows == history.rows[:1]
        if faults.moments <= n:
            assert n > 2
            return


def test_what_is_renamed_has_been_flushed(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut may leave a name without its content: the file system may keep the two apart."""
    flushed: set[int] = set()
    fsync, renamed = os.fsync, []

    def note(descriptor: int) -> None:
        fsync(descriptor)
        flushed.add(os.fstat(descriptor).st_ino)

    def check(rename: Callable[..., None]) -> Callable[..., None]:
        def checked(source: Path, target: Path) -> None:
            for path in [source, *Path(source).rglob("*")]:
                assert os.stat(path).st_ino in flushed, f"{path} is renamed before it is flushed"
            if Path(target).name == "latest":
                assert os.stat(tmp_path / "checkpoints").st_ino in flushed, "latest names what may not be there"
            rename(source, target)
            flushed.discard(os.stat(Path(target).parent).st_ino)
            renamed.append(Path(target))

        return checked

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "rename", check(os.rename))
    monkeypatch.setattr(os, "replace", check(os.replace))
    checkpoints.save_checkpoint(tmp_path, 5, NEW, {})
    checkpoints.save_generator(tmp_path / "generator.safetensors", build_generator(recipe), recipe)
    assert [path.name for path in renamed] == ["00000005", "latest", "generator.safetensors"]
    for path in renamed:
        assert os.stat(path.parent).st_ino in flushed, f"the name of {path} may be lost"


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path: Path) -> None:
    """In a container the second session often has the process number of the first."""
    left = tmp_path / "checkpoints" / f".00000005.{os.getpid()}.tmp"
    left.mkdir(parents=True)
    (left / "generator.safetensors").write_bytes(b"half")
    (tmp_path / f".generator.safetensors.{os.getpid() + 1}.tmp").write_bytes(b"half")
    checkpoints.save_checkpoint(tmp_path, 5, NEW, {})
    assert not list(tmp_path.rglob("*.tmp"))


# --- the run's folder --------------------------------------------------------------------------------------------


def test_the_second_of_two_runs_in_one_folder_refuses(tmp_path: Path, recipe: Recipe, source, capsys) -> None:
    first = Trainer(recipe, source, out=tmp_path, save_every=1)
    records = first.run()
    next(records)
    held = (tmp_path / "latest").read_text()
    for second in (
        lambda: Trainer.resume(tmp_path, source),
        lambda: next(Trainer(recipe, source, out=tmp_path, overwrite=True).run()),
        lambda: Trainer(recipe, source, out=tmp_path, overwrite=True).save(),
    ):
        with pytest.raises(RunError, match=r"another training writes into .*; wait for it or stop it, or choose"):
            second()
        assert (tmp_path / "latest").read_text() == held
    first.save()  # its own lock is no hindrance to itself
    records.close()
    assert Trainer.resume(tmp_path, source).step == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_another_processs_lock_holds_until_it_is_killed(tmp_path: Path, recipe: Recipe, source) -> None:
    for _ in Trainer(recipe, source, out=tmp_path).run(1):
        pass
    read, write = os.pipe()
    if not (child := os.fork()):
        with RunLock(tmp_path):
            os.write(write, b"held")
            signal.pause()
    assert os.read(read, 4) == b"held"
    with pytest.raises(RunError, match="another training"):
        Trainer.resume(tmp_path, source)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert Trainer.resume(tmp_path, source).step == 1


def test_where_nothing_can_be_locked_there_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", unsupported)
    with RunLock(tmp_path), RunLock(tmp_path):
        assert (tmp_path / ".lock").is_file()


def test_a_file_in_place_of_the_folder_is_refused_before_training(tmp_path: Path, recipe: Recipe, source) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="file is a file; choose another folder"):
            Trainer(recipe, source, out=out)


def test_a_folder_that_is_deleted_under_the_run_is_one_line(tmp_path: Path, recipe: Recipe, source) -> None:
    run = tmp_path / "run"
    trainer = Trainer(recipe.replace(steps=50), source, validation=source, out=run, save_every=2, validate_every=3)
    records = trainer.run()
    next(records), next(records)
    shutil.rmtree(run)
    with pytest.raises(RunError, match=r"cannot write .*best.*No such file"):
        for _ in records:
            pass
    with pytest.raises(RunError, match="which is gone; start the run again"):
        trainer.save()
    assert not run.exists(), "half a run is worse than none"


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor can a folder that may not be written to be used: for root, that cannot be tried."""
    (tmp_path / "file").write_text("not a folder")
    flags = "train --data scenes --size 16 --width 4 --d-width 4 --batch-size 2 --steps 1 --device cpu --out"
    assert main([*flags.split(), str(tmp_path / "file" / "run")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line and "step/s" not in line]
    assert len(lines) == 1 and f"{tmp_path / 'file'} is a file; choose another folder" in lines[0]


# --- files of a run that were made by hand -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["null", "7", '{"train": 3}', '{"train": {}, "validation": []}', "[" * 100_000])
def test_a_source_that_is_none(tmp_path: Path, recipe: Recipe, source, text: str) -> None:
    for _ in Trainer(recipe, source, out=tmp_path).run(1):
        pass
    (tmp_path / "source.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"source\.json"):
        Trainer.resume(tmp_path, source)


@pytest.mark.parametrize(
    "content",
    [
        b"step,l1,seconds\n1,x,2\n",
        b"step,l1,seconds,more\n1,2,3,4\n",
        b"\xff\xfe\n",
        b"a,b\n1,2\n",
        b'"' + b"x" * 200_000,
    ],
)
def test_a_history_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"history\.csv.*remove the file to go on without it"):
        History(["step", "l1", "seconds"], tmp_path / "history.csv").read(5)


@pytest.mark.parametrize("packed", [{"x": ()}, {"²": ()}, {"0.exp_avg": (2, 2)}, {"0.step": (1,)}])
def test_an_optimizer_state_that_is_none(packed: dict[str, tuple[int, ...]]) -> None:
    optimizer = torch.optim.Adam(torch.nn.Linear(2, 2).parameters())
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoints.unpack_optimizer(optimizer, {name: torch.zeros(shape) for name, shape in packed.items()})


@pytest.mark.parametrize("change", ['"width": 1e400', f'"width": {10**400}', f'"width": {"[" * 100_000}'])
def test_a_recipe_with_numbers_that_are_none(recipe: Recipe, change: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Recipe.from_json(recipe.to_json().replace('"width": 4', change))


@pytest.mark.parametrize("width", [30_000, 10**12])
def test_a_header_that_claims_a_huge_network_takes_no_memory(tmp_path: Path, recipe: Recipe, width: int) -> None:
    huge, path = recipe.replace(width=width), tmp_path / "g.safetensors"
    checkpoints.save_generator(path, torch.nn.Linear(2, 2), huge)
    with pytest.raises(CheckpointError, match=r"g\.safetensors"):
        checkpoints.load_generator(path)


# --- training ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [*((name, math.nan) for name in LOSSES), ("l1", math.inf)])
def test_a_loss_that_is_no_number_is_named_with_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source, recipe: Recipe, name: str, value: float
) -> None:
    """From step 5 on; the checkpoint of step 4 is kept, and its weights are finite."""
    calls = {"l1": "l1_loss", "g_loss": "generator_total", "penalty": "gradient_penalty"}
    trainer = Trainer(recipe.replace(steps=20, lambda_gp=1.0, norm="none"), source, out=tmp_path, save_every=2)

    def bad(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *args, **kwargs: call(*args, **kwargs) * (value if trainer.step >= 4 else 1.0)

    if name in calls:
        monkeypatch.setattr(steps, calls[name], bad(getattr(steps, calls[name])))
    else:
        pair = trainer.recipe.loss
        assert pair is not None
        pair = AdversarialLoss(bad(pair.d), pair.g) if name == "d_loss" else AdversarialLoss(pair.d, bad(pair.g))
        monkeypatch.setattr(Recipe, "loss", pair)
    with pytest.raises(TrainingDiverged, match=rf"{name} became {value} at step 5; .*Try") as error:
        for _ in trainer.run():
            pass
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    resumed = Trainer.resume(tmp_path, source)
    assert resumed.step == 4 and resumed.history["step"].tolist() == [1, 2, 3, 4]
    assert all(torch.isfinite(tensor).all() for tensor in resumed.generator.state_dict().values())


def test_gradients_that_overflow_in_fp16_leave_the_weights_alone(
    monkeypatch: pytest.MonkeyPatch, source, recipe: Recipe
) -> None:
    """The scaler skips the step and halves its scale. On a CPU, where colorlib itself would refuse fp16."""
    monkeypatch.setattr(steps, "pick_precision", lambda spec, device: "fp16")
    trainer = Trainer(recipe.replace(precision="auto", n_critic=2, steps=3), source)
    trainer.networks._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = {name: p.clone() for name, p in trainer.generator.named_parameters()}
    scales = [(trainer.networks._scaler.get_scale(), record["l1"])[0] for record in trainer.run()]
    assert scales[0] < 2.0**120 and scales == sorted(scales, reverse=True)
    assert all(torch.equal(p, before[name]) for name, p in trainer.generator.named_parameters())


def flat(kind: str, n: int) -> ArraySource:
    images = np.zeros((n, 3, 16, 16), np.uint8)
    images[:] = np.array({"black": (0, 0, 0), "one colour": (200, 30, 90)}[kind], np.uint8)[:, None, None]
    return ArraySource(kind, "train", images, np.arange(n), fingerprint=kind)


@pytest.mark.slow
@pytest.mark.parametrize("recipe_name", sorted(RECIPES))
@pytest.mark.parametrize(("kind", "n", "batch_size"), [("black", 4, 2), ("one colour", 1, 1)])
@pytest.mark.filterwarnings("ignore:.*the batch of")
def test_pictures_without_content_train_all_the_same(recipe_name: str, kind: str, n: int, batch_size: int) -> None:
    """Also a batch of one with batch norm, down to one pixel."""
    preset = RECIPES[recipe_name]
    recipe = preset.replace(size=16, width=4, d_width=4, batch_size=batch_size, steps=2, precision="fp32")
    recipe = recipe.replace(n_critic=min(preset.n_critic, 2), lr_g=1e-3)
    source = flat(kind, n)
    trainer = Trainer(recipe, source, validation=source)
    for _ in trainer.run():
        pass
    assert len(trainer.history) == 2 and np.isfinite(trainer.history[["l1", "g_loss"]]).all(axis=None)
    assert all(torch.isfinite(tensor).all() for tensor in trainer.generator.state_dict().values())


@pytest.mark.slow
def test_one_picture_is_learnt_by_heart() -> None:
    recipe = RECIPES["l1"].replace(size=16, width=8, batch_size=4, steps=30, lr_g=5e-3, dropout=0.0, precision="fp32")
    with pytest.warns(UserWarning, match="the batch of 4 shrinks to 1"):
        trainer = Trainer(recipe, make_source(n=1, size=16))
    for _ in trainer.run():
        pass
    errors = trainer.history["l1"]
    assert errors.iloc[-5:].mean() < 0.5 * errors.iloc[0]
