"""The loop: what a step changes, that runs repeat and resume bit for bit, and what stops them."""

from __future__ import annotations

import functools
import itertools
import math
import multiprocessing
import random
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_source
from PIL import Image

from colorlib import checkpoints, training
from colorlib.color import split_lab, to_float
from colorlib.datasets import open_source
from colorlib.errors import CheckpointError, RunError, TrainingDiverged
from colorlib.inference import Colorizer
from colorlib.recipes import RECIPES, Recipe, build_generator
from colorlib.training import TIMING_COLUMNS, Trainer


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different, f"differ: {different[:5]}"


def run_to_end(trainer: Trainer, steps: int | None = None) -> Trainer:
    for _ in trainer.run(steps):
        pass
    return trainer


VARIANTS = {
    "pix2pix": {},
    "l1": {"adversarial": "none"},
    "ema": {"ema_decay": 0.9, "pretrain_steps": 2},
    "wgan": {"adversarial": "wasserstein", "clip": 0.01, "n_critic": 3, "optimizer": "rmsprop", "lambda_l1": 1.0},
    "wgan-gp": {"adversarial": "wasserstein", "lambda_gp": 10.0, "n_critic": 2, "norm": "none", "pretrain_steps": 1},
    "augmented": {"adversarial": "none", "zoom": 1.1, "tone": 0.5, "cutmix": 0.5},
    "unconditional": {"conditional": False, "adversarial": "hinge", "norm": "spectral"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_interrupted_training_ends_with_the_same_weights_and_history(tmp_path: Path, source, recipe, name: str) -> None:
    recipe = recipe.replace(**VARIANTS[name])
    whole = run_to_end(Trainer(recipe, source, validation=source, out=tmp_path / "whole", validate_every=2))
    run_to_end(Trainer(recipe, source, validation=source, out=tmp_path / "cut", validate_every=2), steps=3)
    resumed = run_to_end(Trainer.resume(tmp_path / "cut", source, validation=source))
    assert resumed.step == whole.step == 6
    assert_equal_weights(weights(whole.networks.generator), weights(resumed.networks.generator))
    assert_equal_weights(weights(whole.averaged_generator), weights(resumed.averaged_generator))
    files = [checkpoints.load_checkpoint(tmp_path / folder) for folder in ("whole", "cut")]
    for group in files[0][0]:
        assert_equal_weights(files[0][0][group], files[1][0][group])
    best = [tmp_path / folder / "best" / "generator.safetensors" for folder in ("whole", "cut")]
    assert best[0].read_bytes() == best[1].read_bytes()
    histories = [pd.read_csv(tmp_path / folder / "history.csv") for folder in ("whole", "cut")]
    pd.testing.assert_frame_equal(*(h.drop(columns=list(TIMING_COLUMNS)) for h in histories))


@pytest.mark.slow
def test_same_seed_same_history_other_seed_another(source, recipe: Recipe) -> None:
    def history(seed: int) -> pd.DataFrame:
        return run_to_end(Trainer(recipe, source, seed=seed)).history.drop(columns=list(TIMING_COLUMNS))

    pd.testing.assert_frame_equal(history(1), history(1))
    assert not history(1)["l1"].equals(history(2)["l1"])


def test_the_callers_random_state_is_left_alone(source, recipe: Recipe) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trainer = Trainer(recipe, source)
    state = torch.random.get_rng_state()
    run_to_end(trainer, steps=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert expected.shape == (2,)


@pytest.mark.slow
def test_l1_learns(source, recipe: Recipe) -> None:
    trainer = Trainer(recipe.replace(adversarial="none", steps=150, lr_g=2e-3), source)
    history = run_to_end(trainer).history
    assert history["l1"][-10:].mean() < 0.5 * history["l1"][:10].mean()


@pytest.mark.slow
def test_a_run_can_be_left_at_any_record_and_taken_up_again(source, recipe: Recipe) -> None:
    trainer = Trainer(recipe, source)
    for record in itertools.islice(trainer.run(), 2):
        assert math.isfinite(record["l1"])
    assert trainer.step == 2
    run_to_end(trainer)
    assert_equal_weights(weights(trainer.generator), weights(run_to_end(Trainer(recipe, source)).generator))


def test_pretraining_leaves_the_discriminator_alone(source, recipe: Recipe) -> None:
    trainer = Trainer(recipe.replace(pretrain_steps=3), source)
    before = weights(trainer.discriminator)
    run_to_end(trainer, steps=3)
    assert_equal_weights(before, weights(trainer.discriminator))
    assert trainer.history["d_loss"].isna().all()
    run_to_end(trainer, steps=1)
    assert not torch.equal(
        before["layers.0.weight"] if "layers.0.weight" in before else next(iter(before.values())),
        next(iter(weights(trainer.discriminator).values())),
    )


@pytest.mark.slow
def test_images_are_counted_in_pretraining_with_critic_steps_and_in_a_batch_that_shrank(recipe: Recipe) -> None:
    """One batch a step while G trains alone, n_critic afterwards, of the size that the source allows."""
    critics = recipe.replace(adversarial="wasserstein", clip=0.1, n_critic=3, pretrain_steps=10, steps=30, batch_size=8)
    with pytest.warns(UserWarning, match="shrinks to 6"):
        trainer = Trainer(critics, make_source(n=6))
    records = list(trainer.run())
    assert [record.images for record in records] == [6] * 10 + [18] * 20
    table = trainer.history
    blocks = table["seconds"].iloc[9::10].diff().fillna(table["seconds"].iloc[9])
    counted = (table["images_per_second"].iloc[9::10] * blocks).round()
    assert counted.tolist() == [60, 180, 180] and trainer.images_per_second == table["images_per_second"].iloc[-1]


@pytest.mark.slow
def test_averaged_weights_have_statistics_of_their_own(source, recipe: Recipe) -> None:
    """Averaged weights under the norm statistics of others colour badly, and nothing else would tell."""
    trainer = run_to_end(Trainer(recipe.replace(adversarial="none", ema_decay=0.9, steps=60, lr_g=2e-3), source))
    averaged = trainer.averaged_generator
    L, _ = split_lab(to_float(source.images(range(len(source)))[..., :16, :16]))
    with torch.no_grad():
        averaged.eval()
        used = averaged(L)
        for module in averaged.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train()
        ideal = averaged(L)
    assert (used - ideal).abs().mean() < 0.1 * ideal.abs().mean()
    assert not any(
        torch.equal(a, b) for a, b in zip(averaged.parameters(), trainer.generator.parameters(), strict=True) if a.any()
    )


@pytest.mark.slow
def test_a_run_starts_from_weights_that_are_given(tmp_path: Path, source, recipe: Recipe) -> None:
    """Also its average, and also after it was killed before its first step."""
    first = run_to_end(Trainer(recipe, source))
    recipe = recipe.replace(ema_decay=0.9)
    second = Trainer(recipe, source, out=tmp_path / "run")
    second.start_from(first.generator)
    resumed = Trainer.resume(tmp_path / "run", source)
    for trainer in (second, resumed):
        assert trainer.step == 0
        assert_equal_weights(weights(trainer.generator), weights(first.generator))
        average = dict(trainer.networks.average.module.named_parameters())
        assert all(torch.equal(average[name], p) for name, p in first.generator.named_parameters())
    with pytest.raises(RunError, match="before its first step"):
        first.start_from(second.generator)
    with pytest.raises(CheckpointError, match="the file holds another architecture"):
        Trainer(recipe.replace(width=8), source).start_from(first.generator, "the file")


def test_a_run_that_lost_the_weights_it_was_given_is_none(
    tmp_path: Path, source, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while they were saved, it must not be resumed from others."""

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    trainer = Trainer(recipe, source, out=tmp_path / "run")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoints, "save_checkpoint", killed)
        trainer.start_from(trainer.generator)
    with pytest.raises(FileNotFoundError, match="expected a run"):
        Trainer.resume(tmp_path / "run", source)
    run_to_end(Trainer(recipe, source, out=tmp_path / "run"), 1)
    assert Trainer.resume(tmp_path / "run", source).step == 1


@pytest.mark.slow
def test_targets(source, recipe: Recipe) -> None:
    assert Trainer(recipe.replace(epochs=3), source).target_steps == 9  # 12 images, batches of 4
    critics = recipe.replace(epochs=3, n_critic=2, pretrain_steps=1)
    assert Trainer(critics, source).target_steps == 1 + 4
    timed = run_to_end(Trainer(recipe.replace(minutes=0.02), source))
    assert timed.target_steps is None and timed.seconds >= 1.2 and timed.step > 1
    with pytest.raises(ValueError, match="at least 0"):
        next(iter(Trainer(recipe, source).run(-1)))


@pytest.mark.slow
def test_what_a_run_leaves_on_disk(tmp_path: Path, source, recipe: Recipe) -> None:
    out = tmp_path / "run"
    trainer = Trainer(recipe, source, validation=source, out=out, save_every=2, validate_every=3)
    assert not out.exists(), "a constructor writes nothing"
    records = trainer.run()
    next(records)
    assert {"recipe.json", "source.json", "history.csv"} <= {path.name for path in out.iterdir()}
    assert not (out / "latest").exists()
    for _ in records:
        pass
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["00000004", "00000006"]
    assert (out / "latest").read_text() == "00000006"
    assert sorted(path.name for path in (out / "samples").iterdir()) == ["00000003.png", "00000006.png"]
    generator, loaded_recipe, metadata = checkpoints.load_generator(out / "generator.safetensors")
    assert metadata["step"] == "6" and loaded_recipe == recipe
    assert_equal_weights(weights(generator), weights(trainer.generator))


class Killed(BaseException):
    """As after SIGKILL, nothing in the library handles it."""


@pytest.mark.slow
@pytest.mark.parametrize("score", [lambda step: step, lambda step: -step, lambda step: -abs(step - 4)])
def test_the_best_weights_outlive_a_kill(
    tmp_path: Path, source, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, score: Callable[[int], float]
) -> None:
    """The last checkpoint before the kill is of step 3, and steps 4 and 5 may have written better weights."""
    recipe, options = recipe.replace(ema_decay=0.9), {"validation": source, "validate_every": 1, "save_every": 3}

    def train(trainer: Trainer, until: int | None = None) -> None:
        scores = {"ab_mae": 0.1, "chroma_ratio": 1.0, "grey_psnr": 2.0}
        monkeypatch.setattr(training, "quick_scores", lambda *_, **__: {**scores, "psnr": float(score(trainer.step))})
        for record in trainer.run():
            if record.step == until:
                raise Killed

    train(whole := Trainer(recipe, source, out=tmp_path / "whole", **options))
    with pytest.raises(Killed):
        train(Trainer(recipe, source, out=tmp_path / "cut", **options), until=5)
    resumed = Trainer.resume(tmp_path / "cut", source, validation=source)
    assert resumed.step == 3
    train(resumed)
    best = [(tmp_path / run / "best/generator.safetensors").read_bytes() for run in ("whole", "cut")]
    assert best[0] == best[1]
    expected = max(range(1, whole.step + 1), key=score)
    assert checkpoints.read_best(tmp_path / "cut") == (expected, float(score(expected)))
    assert Colorizer.load(tmp_path / "cut" / "best", "cpu").recipe == recipe


@pytest.mark.slow
def test_a_new_run_in_the_folder_forgets_the_best_weights_of_the_old_one(tmp_path: Path, source, recipe) -> None:
    run_to_end(Trainer(recipe.replace(steps=1), source, validation=source, out=tmp_path))
    checkpoints.save_best(tmp_path, build_generator(recipe), recipe, 1, 99.0)
    run_to_end(Trainer(recipe.replace(steps=2), source, validation=source, out=tmp_path, overwrite=True))
    assert checkpoints.read_best(tmp_path)[1] < 99


@pytest.mark.slow
def test_checkpoints_and_samples_of_every_so_many_steps(tmp_path: Path, source, recipe: Recipe) -> None:
    """Without validation images the samples show training images; a resumed run keeps the rhythm."""
    run_to_end(Trainer(recipe.replace(steps=11), source, out=tmp_path, keep_every=4, sample_every=3), steps=6)
    run_to_end(Trainer.resume(tmp_path, source))
    names = {
        folder: sorted(path.stem for path in (tmp_path / folder).iterdir()) for folder in ("samples", "checkpoints")
    }
    assert [int(name) for name in names["samples"]] == [3, 6, 9, 11]
    assert [int(name) for name in names["checkpoints"]] == [4, 8, 11]
    assert Colorizer.load(tmp_path / "checkpoints/00000004/weights", "cpu").recipe.steps == 11


def test_the_first_sample_is_there_within_a_minute(
    tmp_path: Path, source, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "FIRST_SAMPLE_SECONDS", 0.0)
    for start in (lambda: Trainer(recipe, source, validation=source, out=tmp_path, validate_every=5),
                  lambda: Trainer.resume(tmp_path, source, validation=source)):  # fmt: skip
        run_to_end(start(), steps=2)
        assert [path.stem for path in (tmp_path / "samples").iterdir()] == ["00000001"]


def test_batch_norm_under_a_gradient_penalty_is_warned_of(source, recipe: Recipe) -> None:
    punished = recipe.replace(adversarial="wasserstein", lambda_gp=10.0)
    with pytest.warns(UserWarning, match="batch norm in a critic"):
        Trainer(punished.replace(norm="batch"), source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(punished.replace(norm="layer"), source)


def test_an_existing_run_is_refused_unless_overwritten(tmp_path: Path, source, recipe: Recipe) -> None:
    run_to_end(Trainer(recipe, source, out=tmp_path), steps=2)
    with pytest.raises(RunError, match="already holds a run"):
        Trainer(recipe, source, out=tmp_path)
    run_to_end(Trainer(recipe, source, out=tmp_path, overwrite=True), steps=1)
    assert (tmp_path / "latest").read_text() == "00000001"


@pytest.mark.slow
def test_resume_a_run_without_a_checkpoint_starts_at_zero(tmp_path: Path, source, recipe: Recipe) -> None:
    next(iter(Trainer(recipe, source, out=tmp_path).run()))
    trainer = Trainer.resume(tmp_path, source)
    assert trainer.step == 0
    assert_equal_weights(weights(run_to_end(trainer).generator), weights(run_to_end(Trainer(recipe, source)).generator))


def test_resume_a_finished_run_and_lengthen_it(tmp_path: Path, source, recipe: Recipe) -> None:
    run_to_end(Trainer(recipe, source, out=tmp_path))
    trainer = Trainer.resume(tmp_path, source)
    assert trainer.finished and list(trainer.run()) == []
    longer = run_to_end(Trainer.resume(tmp_path, source, steps=8))
    assert longer.step == 8 and checkpoints.read_recipe(tmp_path).steps == 8


def test_resume_refuses_other_data_and_other_architectures(tmp_path: Path, source, recipe: Recipe) -> None:
    run_to_end(Trainer(recipe, source, out=tmp_path), steps=2)
    with pytest.raises(RunError, match=r"was trained on fake train \(12 images.*got fake train \(9 images"):
        Trainer.resume(tmp_path, make_source(n=9))
    (tmp_path / "recipe.json").write_text(recipe.replace(width=8).to_json())
    with pytest.raises(CheckpointError, match="another architecture"):
        Trainer.resume(tmp_path, source)
    (tmp_path / "recipe.json").write_text(recipe.replace(adversarial="none").to_json())
    with pytest.raises(CheckpointError, match="expected a checkpoint of generator, optimizer_g, got discriminator"):
        Trainer.resume(tmp_path, source)
    with pytest.raises(FileNotFoundError, match="expected a run"):
        Trainer.resume(tmp_path / "nothing", source)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    (tmp_path / "source.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"source\.json to name"):
        Trainer.resume(tmp_path, source)


@pytest.mark.slow
def test_resume_opens_the_same_data_by_itself(tmp_path: Path, recipe: Recipe) -> None:
    train, val = (open_source("scenes", 16, split) for split in ("train", "val"))
    run_to_end(Trainer(recipe, train, validation=val, out=tmp_path), steps=1)
    assert Trainer.resume(tmp_path).validation.describe() == val.describe()


def _photographs(folder: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for n in range(6):
        Image.fromarray(rng.integers(0, 256, (18, 18, 3), np.uint8)).save(folder / f"{n}.png")
    return folder


def test_resume_in_another_working_folder_finds_relative_data(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the new folder holds other photographs under the same name, and where run and data moved together."""
    _photographs(tmp_path / "home/pool", seed=0), _photographs(tmp_path / "away/pool", seed=1)
    monkeypatch.chdir(tmp_path / "home")
    run_to_end(Trainer(recipe, open_source("folder:pool", 16), out="run"), steps=1)
    (tmp_path / "empty").mkdir()
    for place in ("empty", "away"):
        monkeypatch.chdir(tmp_path / place)
        assert Trainer.resume("../home/run").source.describe()["path"] == str(tmp_path / "home/pool")
    (tmp_path / "home").rename(tmp_path / "moved")
    with pytest.raises(RunError, match="differs"):
        Trainer.resume("../moved/run")
    monkeypatch.chdir(tmp_path / "moved")
    assert Trainer.resume("run").source.name == "folder:pool"
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"neither at .*/home/pool nor at pool .*--data folder:PATH"):
        Trainer.resume("../moved/run")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, source, recipe: Recipe) -> None:
    trainer = Trainer(recipe.replace(steps=100), source, out=tmp_path, save_every=10)
    with pytest.raises(TrainingDiverged, match=r"l1 became nan at step 1\d"):
        for record in trainer.run():
            if record.step == 12:
                with torch.no_grad():
                    next(trainer.generator.parameters()).fill_(math.nan)
    resumed = Trainer.resume(tmp_path, source)
    assert resumed.step == 10
    assert all(torch.isfinite(tensor).all() for tensor in weights(resumed.generator).values())


def test_a_full_disk_is_one_line_and_the_old_checkpoint_stays(tmp_path: Path, monkeypatch, source, recipe) -> None:
    trainer = Trainer(recipe, source, out=tmp_path, save_every=2)
    records = trainer.run()
    next(records), next(records)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "fsync", full)
        with pytest.raises(RunError, match="No space left on device"):
            next(records), next(records)
    assert Trainer.resume(tmp_path, source).step == 2


@pytest.mark.slow
def test_a_compiled_run_goes_on_without_the_compiler(tmp_path: Path, monkeypatch, source, recipe: Recipe) -> None:
    """Its files have the same names in them, and with a backend that only runs what it is given, the same numbers."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    compiled = run_to_end(Trainer(recipe, source, out=tmp_path / "run", compile=True), steps=2)
    assert compiled.networks._g is not compiled.generator
    resumed = run_to_end(Trainer.resume(tmp_path / "run", source))
    whole = run_to_end(Trainer(recipe, source))
    assert_equal_weights(weights(resumed.generator), weights(whole.generator))
    assert_equal_weights(weights(resumed.discriminator), weights(whole.discriminator))


def test_a_compiler_that_fails_is_one_line(monkeypatch, source, recipe: Recipe) -> None:
    trainer, error = Trainer(recipe, source), type("InductorError", (RuntimeError,), {"__module__": "torch._inductor"})

    def broken(*args, **kwargs):
        raise error("No working C++ compiler found.\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(trainer.networks, "train_step", broken)
    with pytest.raises(
        RunError, match=r"torch.compile fails here \(No working C\+\+ compiler found\.\); train without"
    ):
        run_to_end(trainer)


@pytest.mark.parametrize("name", ["save_every", "validate_every"])
def test_every_so_many_steps_is_one_at_least(source, recipe: Recipe, name: str) -> None:
    with pytest.raises(ValueError, match=rf"expected {name} of at least 1 step \(None: automatic\), got 0"):
        Trainer(recipe, source, **{name: 0})


def test_saving_needs_a_folder(source, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="out=None"):
        Trainer(recipe, source).save()


def test_sizes_the_networks_or_the_data_cannot_take(source, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="18"):
        Trainer(recipe.replace(size=32), source)


# --- killed at any moment ------------------------------------------------------------------------------------


def _train(out: Path, recipe: Recipe) -> None:
    torch.set_num_threads(1)
    source = make_source()
    if checkpoints.is_run(out):
        run_to_end(Trainer.resume(out, source, validation=source))
    else:
        run_to_end(Trainer(recipe, source, validation=source, out=out, save_every=1, validate_every=7))


def _latest_step(run: Path) -> int:
    return int((run / "latest").read_text()) if (run / "latest").exists() else 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_at_twenty_random_moments_it_ends_with_the_same_weights(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints are written at every step, so that many kills fall into a save, and some before the first step."""
    recipe, out = recipe.replace(steps=160, ema_decay=0.9), tmp_path / "killed"
    # torch is imported once, in the server that the processes are forked from
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_training"])
    undisturbed = context.Process(target=_train, args=(tmp_path / "whole", recipe))
    undisturbed.start()
    rng, steps = random.Random(0), []
    for _ in range(20):
        process = context.Process(target=_train, args=(out, recipe))
        process.start()
        goal = _latest_step(out) + rng.randint(0, 4)
        while _latest_step(out) < goal and process.is_alive():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        assert process.is_alive(), "the run must outlast the kills"
        process.kill()
        process.join()
        steps.append(_latest_step(out))
    assert len(set(steps)) > 5, f"the kills must fall on different steps, got {steps}"
    last = context.Process(target=_train, args=(out, recipe))
    for process in (last, undisturbed):
        if process is last:
            process.start()
        process.join()
        assert process.exitcode == 0
    for name in ("generator.safetensors", f"checkpoints/{recipe.steps:08d}/discriminator.safetensors"):
        assert_equal_weights(checkpoints.read_tensors(out / name), checkpoints.read_tensors(tmp_path / "whole" / name))
    for name in ("generator.safetensors", "best/generator.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# --- every preset --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_preset_learns_on_scenes_and_its_adversary_pulls(name: str) -> None:
    recipe = RECIPES[name].replace(size=32, batch_size=8, width=8, d_width=8, steps=200, precision="fp32")
    trainer = Trainer(recipe, open_source("scenes", 32), validation=open_source("scenes", 32, "val"), validate_every=10)
    before = weights(trainer.generator)
    history = run_to_end(trainer).history
    assert np.isfinite(history["l1"]).all()
    errors = history["val_ab_mae"].dropna()
    assert errors.iloc[-5:].mean() < 0.9 * errors.iloc[:3].mean()
    stuck = [n for n, p in trainer.generator.named_parameters() if torch.equal(p, before[n])]
    assert not stuck, f"parameters that training does not move: {stuck[:5]}"
    if recipe.loss is not None:
        assert history["adversarial_share"].dropna().iloc[-10:].median() >= 0.1


@pytest.mark.slow
def test_time_is_measured_while_training_only(source, recipe: Recipe) -> None:
    trainer = Trainer(recipe, source)
    for _ in trainer.run(2):
        time.sleep(0.3)
    assert trainer.seconds < 0.6 + trainer.history["seconds"].iloc[-1]
    assert trainer.history["seconds"].is_monotonic_increasing


@pytest.mark.parametrize("name", ["pix2pix", "wgan", "wgan-gp"])
def test_adjusted_before_the_first_step_it_is_a_run_of_the_other_recipe(source, recipe: Recipe, name: str) -> None:
    first = recipe.replace(**VARIANTS[name])
    other = first.replace(lambda_l1=first.lambda_l1 / 2, lr_g=first.lr_g * 2, lr_d=first.lr_d * 3, d_loss_weight=0.7)
    other = other.replace(clip=first.clip and 0.02, lambda_gp=2 * first.lambda_gp)
    adjusted = Trainer(first, source)
    adjusted.adjust(other)
    assert adjusted.recipe == other
    run_to_end(adjusted, 3)
    assert_equal_weights(weights(adjusted.generator), weights(run_to_end(Trainer(other, source), 3).generator))


def test_adjusted_halfway_it_goes_on_from_its_weights(source, recipe: Recipe) -> None:
    plain, adjusted = (run_to_end(Trainer(recipe, source), 2) for _ in range(2))
    adjusted.adjust(recipe.replace(lr_g=1e-12, steps=99))
    before = weights(adjusted.generator)
    run_to_end(plain, 1), run_to_end(adjusted, 1)
    for name, parameter in adjusted.generator.named_parameters():
        assert torch.allclose(parameter, before[name], atol=1e-9), name
    assert any(not torch.allclose(p, before[name], atol=1e-9) for name, p in plain.generator.named_parameters())


@pytest.mark.parametrize(
    "change", [{"depth": 1}, {"n_critic": 2}, {"batch_size": 1}, {"clip": 0.1}, {"lambda_gp": 1.0}]
)
def test_what_needs_a_new_run_is_named_and_changes_nothing(source, recipe: Recipe, change: dict) -> None:
    trainer = Trainer(recipe, source)
    with pytest.raises(ValueError, match=f"alone, got another {next(iter(change))}; start a new run"):
        trainer.adjust(recipe.replace(lambda_l1=1.0, **change))
    assert trainer.recipe == trainer.networks.recipe == recipe


def test_a_run_with_a_folder_keeps_its_recipe(tmp_path: Path, source, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="expected a run without a folder"):
        Trainer(recipe, source, out=tmp_path / "run").adjust(recipe.replace(lambda_l1=1.0))
