"""The command line from outside: what each command prints, which files it writes, and its exit status."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from colorlib import checkpoints, memory, training
from colorlib.cli import commands, demo, entry, flags, main, progress
from colorlib.devices import pick_precision
from colorlib.inference import Colorizer
from colorlib.recipes import RECIPES, Recipe

TINY = ["--size", "16", "--width", "4", "--d-width", "4", "--batch-size", "2", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty folder, so that no command writes into the folder that the tests are started from."""
    monkeypatch.chdir(tmp_path)


# A message of tyro on a terminal that can show frames, and below it the same message without a frame.
FRAMED = """╭─ Unrecognized options ───────────────╮
│ Unrecognized options: --lambda-l, 3   │
│ ───────────────────────────────────── │
│ Perhaps you meant:                    │
│     --lambda-l1 FLOAT                 │
│ ───────────────────────────────────── │
│ For full helptext, run colorlib train │
│ --help                                │
╰───────────────────────────────────────╯
"""
UNFRAMED = "\n".join(
    line[:-1].replace("│", " ").replace("─", "-")
    for line in FRAMED.replace("╭─", "").replace(" ─", "  \n ─", 1).splitlines()[:-1]
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of small photographs with a subfolder for each split."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 8), ("val", 2), ("test", 3)):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for i in range(n):
            colour = rng.integers(40, 220, 3)
            pixels = np.clip(colour + rng.normal(0, 12, (24, 30, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / split / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def train(photos: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that trains a tiny pix2pix for a few steps and returns the run's folder."""

    def run(*more: str, out: str = "run", status: int = 0) -> Path:
        folder = tmp_path / out
        args = ["train", "--data", f"folder:{photos}", *TINY, "--steps", "3", "--out", str(folder), *more]
        assert main(args) == status
        return folder

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command that must fail, and returns the one line that it prints on stderr."""

    def run(*args: object, status: int = 2) -> str:
        capsys.readouterr()
        assert main([str(arg) for arg in args]) == status
        # Progress bars are printed on stderr, too. Their lines contain a carriage return.
        lines = [line for line in capsys.readouterr().err.split("\n") if line and "\r" not in line]
        assert len(lines) == 1, lines
        assert lines[0].startswith("colorlib: ")
        assert "Traceback" not in lines[0]
        return lines[0]

    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "generator.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- help ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_all_commands(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in commands.COMMANDS)


def test_the_overview_and_the_commands_agree() -> None:
    assert list(entry.COMMANDS) == list(commands.COMMANDS)


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_help_of_a_command_has_an_example_and_its_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: colorlib {name}" in text
    assert "(default: )" not in text


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_the_examples_of_the_help_are_accepted(name: str) -> None:
    kind = commands.COMMANDS[name].flags
    (example,) = [line for line in (kind.__doc__ or "").splitlines() if "Example: colorlib" in line]
    words = example.split()[2:]
    assert words[0] == name
    assert isinstance(entry._parse(name, kind, words[1:]), kind)


def test_help_of_train_shows_every_hyperparameter_with_the_recipes_own_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--recipe", "wgan-gp", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(f"--{name.replace('_', '-')}" in text for name in vars(RECIPES["wgan-gp"]))
    assert "gradient penalty (WGAN-GP); 0 is none. (default: 10.0)" in text
    assert "Updates of D for each update of G. (default: 5)" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("colorlib 0.")


def test_help_does_not_import_torch_and_python_m_gives_the_status() -> None:
    code = "import sys; from colorlib.cli import main; main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
    done = subprocess.run([sys.executable, "-m", "colorlib", "nonsense"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


# --- flags ---------------------------------------------------------------------------------------------------


def parsed(*args: str) -> flags.TrainFlags:
    return entry._parse("train", flags.TrainFlags, list(args))


def test_flags_are_the_recipe_with_changes() -> None:
    line = (
        "--recipe wgan-gp --lambda-l1 3 --data folder:photos --size 128 --batch-size 8 --epochs 5 --save-every 100 "
        "--seed 4 --device cpu --precision fp32 --generator resunet --width 24 --out runs/mine"
    )
    expected = RECIPES["wgan-gp"].replace(
        lambda_l1=3.0, size=128, batch_size=8, epochs=5, precision="fp32", generator="resunet", width=24
    )
    given = parsed(*line.split())
    assert given.settings() == expected
    assert (given.data, given.seed, given.save_every, given.out) == ("folder:photos", 4, 100, Path("runs/mine"))


@pytest.mark.slow
def test_a_batch_of_auto_becomes_a_number_that_the_run_keeps(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First the memory limits the batch to 4. Then 64 images would fit, but there are only 8 photographs."""
    for fits, batch in ((4, 4), (64, 8)):
        monkeypatch.setattr(memory, "largest_batch", lambda *_, most, fits=fits: min(fits, most))
        run = train("--batch-size", "auto", "--accumulate", "2", out=f"fits {fits}")
        assert checkpoints.read_recipe(run).batch_size == batch
    assert main(["resume", str(run), "--steps", "4"]) == 0
    assert checkpoints.read_recipe(run).batch_size == batch
    said = capsys.readouterr().out
    assert "--batch-size auto chose 4: " in said and "batches of 4 in 2 parts; cpu" in said


@pytest.mark.parametrize("name", list(RECIPES))
def test_without_changes_the_settings_are_the_recipe(name: str) -> None:
    assert parsed(f"--recipe={name}").settings() == RECIPES[name]


@pytest.mark.parametrize(("flag", "value"), [("steps", 7), ("epochs", 7), ("minutes", 7.0)])
def test_a_new_target_replaces_the_recipes(flag: str, value: float) -> None:
    settings = parsed(f"--{flag}", "7").settings()
    assert {name: getattr(settings, name) for name in flags.TARGETS} == {**dict.fromkeys(flags.TARGETS), flag: value}


def test_flags_that_take_less_memory() -> None:
    given = parsed("--batch-size=auto", "--accumulate=4", "--checkpointing", "--compile")
    assert (given.automatic_batch, given.compile) == (True, True)
    # Before it is known what fits, the batch is the smallest that can be computed in four parts.
    assert given.settings() == RECIPES["pix2pix"].replace(accumulate=4, checkpointing=True, batch_size=4)
    assert not parsed("--batch-size=8").automatic_batch and parsed("--batch-size=8").settings().batch_size == 8


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("frobnicate", "demo, train, resume"),
        ("train --recipe nonsense", ", ".join(RECIPES)),
        ("train --recipe", "--recipe"),
        ("train --lambda-l 3", "perhaps you meant --lambda-l1"),
        ("train --generator transformer", "'unet', 'resunet', 'backbone'"),
        ("train --steps many", "--steps"),
        ("train --steps", "--steps"),
        ("train --steps 3 --epochs 2", "exactly one stopping target"),
        ("train --steps 0", "steps above 0"),
        ("train --size 0", "size above 0"),
        ("train --size 8 --steps 1 --width 4 --d-width 4", "at least 16 pixels"),
        ("train --size 32 --receptive-field 70", "receptive field"),
        ("train --depth 9", "depth 1 to 8"),
        ("train --lambda-l1 nan", "lambda_l1"),
        ("train --save-every 0", "save_every"),
        ("train --data nonsense", "folder:PATH"),
        ("train --data folder:nowhere", "nowhere"),
        ("train --data imagenette", "colorlib data get imagenette"),
        ("train --device abacus", "abacus"),
        ("train --device cpu --precision fp16 --size 16", "fp16"),
        ("resume", "RUN"),
        ("resume nowhere", "expected a run"),
        ("colorize --out o", "at least one photograph"),
        ("colorize a.jpg", "--out"),
        ("colorize a.jpg --out o --weights nonsense", "nonsense"),
        ("colorize a.jpg --out o --weights no/such.safetensors", "no/such.safetensors"),
        ("evaluate --weights", "weights"),
        ("evaluate --weights nonsense", "nonsense"),
        ("evaluate --split all", "'train', 'val', 'test'"),
        ("data", "{list,get,prepare}"),
        ("data frobnicate", "'list', 'get', 'prepare'"),
        ("data get", "colorlib data get NAME"),
        ("data get mnist", "imagenette"),
        ("data prepare nonsense", "folder:PATH"),
        ("doctor --loud", "--loud"),
        ("export --weights nonsense --out m.onnx", "nonsense"),
    ],
)
def test_wrong_flags_are_one_line(args: str, said: str, fails: Callable[..., str]) -> None:
    assert said in fails(*args.split())


@pytest.mark.parametrize("message", [FRAMED, UNFRAMED])
def test_the_reason_in_tyros_message(message: str) -> None:
    assert entry._reason(message) == "Unrecognized options: --lambda-l, 3; perhaps you meant --lambda-l1"


# --- train and resume ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_train_says_what_it_does_and_leaves_a_run(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("--lambda-l1", "50")
    *counts, first = (lines := capsys.readouterr().out.splitlines())[:3]
    last = lines[-1]
    assert counts == ["train: 8 images (in train/)", "val: 2 images (in val/)"]
    assert "pix2pix on folder:" in first
    assert "8 images, 2 for validation" in first
    assert f"cpu, {pick_precision('auto', torch.device('cpu'))}" in first
    assert f"--weights {run}" in last
    assert Recipe.from_json((run / "recipe.json").read_text()).lambda_l1 == 50
    names = {*checkpoints.RUN_FILES, *checkpoints.RUN_FOLDERS, ".lock"} - {"tensorboard"}
    assert {path.name for path in run.iterdir()} == names
    assert len(pd.read_csv(run / "history.csv")) == 3
    # Photographs are stored larger than the crops for training, as in the pix2pix paper: 286 px for crops of 256 px.
    described = json.loads((run / "source.json").read_text())
    assert (described["train"]["size"], described["validation"]["size"]) == (18, 16)


@pytest.mark.slow
def test_zoom_is_room_in_the_stored_photographs(train: Callable[..., Path]) -> None:
    described = json.loads((train("--zoom", "2") / "source.json").read_text())
    assert described["train"]["size"] == 32


@pytest.mark.slow
def test_a_run_that_starts_from_the_weights_of_another(
    train: Callable[..., Path], photos: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    first = train("--lr-g", "0.01")
    tuned = tmp_path / "tuned"
    args = ["train", "--data", f"folder:{photos}", *TINY, "--steps", "1", "--lr-g", "1e-9", "--init", str(first)]
    assert main([*args, "--out", str(tuned)]) == 0
    before, after = (Colorizer.load(run, "cpu").generator for run in (first, tuned))
    for a, b in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
    assert "holds another architecture" in fails(*args, "--width", "16", "--out", tmp_path / "other")
    assert "nothing.safetensors" in fails(*args[:-1], tmp_path / "nothing.safetensors", "--out", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--width 16", ["width 4, not 16"]),
        ("--g-norm instance", ["g_norm batch, not instance"]),
        ("--generator resunet --depth 2", ["generator unet, not resunet", "depth 4, not 2"]),
        ("--size 64", ["depth 4, not 6"]),
    ],
)
def test_weights_of_another_architecture_say_which_flags_fit(
    flags: str, said: list[str], train: Callable[..., Path], tmp_path: Path, fails: Callable[..., str]
) -> None:
    first = train("--steps", "1")
    line = fails(
        "train", "--data", "folder:nowhere", *TINY, *flags.split(), "--init", first, "--out", tmp_path / "other"
    )
    fitting = "--generator unet --depth 4 --width 4 --g-norm batch"
    assert all(part in line for part in [*said, fitting])
    train("--steps", "1", "--init", str(first), *fitting.split(), out="fits")


def test_a_file_as_the_runs_folder_is_refused_before_the_data_are_read(
    tmp_path: Path, fails: Callable[..., str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    for more in ([], ["--overwrite"]):
        line = fails("train", "--data", "folder:nowhere", *TINY, *more, "--out", tmp_path / "mine.txt")
        assert "mine.txt is a file; choose another folder" in line
    assert (tmp_path / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("colorize photo.png --out taken.txt", "taken.txt is a file; choose another folder as --out"),
        ("colorize photo.png --out taken.txt/below", "taken.txt is a file; choose another folder as --out"),
        ("colorize photo.png --overwrite --out taken.txt", "taken.txt is a file; choose another folder as --out"),
        ("demo --out taken.txt", "taken.txt is a file; choose another folder as --out"),
        ("demo --out taken.txt/below", "taken.txt is a file; choose another folder as --out"),
        ("demo --overwrite --out taken.txt", "taken.txt is a file; choose another folder as --out"),
        ("export --out taken.txt/model.onnx", "taken.txt is a file; choose another folder as --out"),
        ("export --out folder", "folder is a folder, but --out is the file to write"),
        ("evaluate --weights l1 --csv folder", "folder is a folder, but --csv is the file to write"),
        ("evaluate --weights l1 --csv taken.txt/a.csv", "taken.txt is a file; choose another folder as --csv"),
        ("evaluate --weights l1 --sheet taken.txt/a.png", "taken.txt is a file; choose another folder as --sheet"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    args: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the command started its work")

    (tmp_path / "taken.txt").write_text("keep me")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(Colorizer, "load", work)
    monkeypatch.setattr(demo, "run_demo", work)
    assert said in fails(*args.split())
    assert (tmp_path / "taken.txt").read_text() == "keep me" and not list((tmp_path / "folder").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("psnr", "last", "said"),
    [
        (6.6, True, "worse than grey: 6.6 dB against 12.0; the training has diverged, start a new one with lower"),
        (11.0, True, "worse than grey: 11.0 dB against 12.0; wait, or lower both learning rates"),
        (15.0, True, "nearer to the truth than grey: 15.0 dB against 12.0"),
        (15.0, False, "the weights of step 1 have the best PSNR on validation, 15.0 dB: "),
    ],
)
def test_the_end_of_a_training_says_how_it_did_against_grey(
    psnr: float, last: bool, said: str,
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A generator that ends in tanh diverges without NaN. So only the comparison with grey shows that it diverged."""
    scores = [psnr] * 3 if last else [psnr, 13.0, 13.0]

    def measured(*_: object, **__: object) -> dict[str, float]:
        return {"ab_mae": 0.1, "psnr": scores.pop(0), "chroma_ratio": 1.0, "grey_psnr": 12.0}

    monkeypatch.setattr(training, "quick_scores", measured)
    run = train()
    *_, line, last_line = capsys.readouterr().out.splitlines()
    assert said in line and last_line.startswith("colour photographs with")
    assert ("have the best PSNR" in line) is not last
    assert Colorizer.load(run / "best", "cpu").recipe.width == 4


@pytest.mark.slow
def test_a_resumed_run_says_that_its_newest_checkpoint_is_damaged(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, run = train("--save-every", "1", out="whole"), train("--save-every", "1", "--keep-every", "2")
    truncate(run / "checkpoints/00000003/generator.safetensors")
    capsys.readouterr()
    assert main(["resume", str(run), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "going on with the checkpoint of step 2: 1 steps are lost" in said.err
    assert same(weights(whole), weights(run))
    assert main(["colorize", str(run.parent / "photos/test"), "--out", "o", "--weights", f"{run}/best"]) == 0


class Writer:
    """A replacement for torch.utils.tensorboard's SummaryWriter, which needs a package that may not be installed."""

    written: ClassVar[list[tuple]] = []

    def __init__(self, folder: str, purge_step: int) -> None:
        self.written.append(("open", Path(folder).name, purge_step))
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / f"events of step {purge_step}").touch()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.written.append(("close",))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((name, value, step))

    def add_image(self, name: str, pixels: np.ndarray, step: int, dataformats: str) -> None:
        self.written.append((name, pixels.shape, step, dataformats))


@pytest.mark.slow
def test_scalars_and_samples_for_tensorboard(train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setattr(progress, "find_spec", lambda name: name)
    monkeypatch.setattr(Writer, "written", [])
    run = train("--steps", "20", "--sample-every", "8", "--log", "tensorboard")
    history = pd.read_csv(run / "history.csv").set_index("step")
    scalars = {(row[0], row[2]): row[1] for row in Writer.written if len(row) == 3 and isinstance(row[2], int)}
    scalars.pop(("open", 1))
    assert scalars["l1", 10] == pytest.approx(history["l1"][10], rel=1e-5)
    assert scalars["val_psnr", 3] == pytest.approx(history["val_psnr"][3], rel=1e-5)
    assert [row for row in Writer.written if row[0] == "samples"] == [
        ("samples", (48, 32, 3), s, "HWC") for s in (8, 16, 20)
    ]
    assert Writer.written[-1] == ("close",)
    assert main(["resume", str(run), "--steps", "21", "--device", "cpu", "--log", "tensorboard"]) == 0
    assert ("open", "tensorboard", 21) in Writer.written
    assert {path.name for path in (run / "tensorboard").iterdir()} == {"events of step 1", "events of step 21"}
    train("--overwrite", "--log", "tensorboard")
    assert [path.name for path in (run / "tensorboard").iterdir()] == ["events of step 1"]


def test_a_log_that_cannot_be_written_is_refused_before_the_data_are_read(
    monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert "pip install tensorboard" in fails("train", "--data", "folder:nowhere", *TINY, "--log", "tensorboard")


def test_events_are_written_by_tensorboard_itself(train: Callable[..., Path]) -> None:
    pytest.importorskip("tensorboard")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train("--log", "tensorboard")
    events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
    assert "val_psnr" in events.Tags()["scalars"] and events.Tags()["images"] == ["samples"]


@pytest.mark.slow
def test_scenes_have_no_margin(tmp_path: Path) -> None:
    assert main(["train", *TINY, "--recipe", "l1", "--steps", "1", "--out", str(tmp_path / "r")]) == 0
    assert json.loads((tmp_path / "r" / "source.json").read_text())["train"]["size"] == 16


@pytest.mark.slow
def test_without_a_target_the_time_is_estimated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = RECIPES["l1"].replace(epochs=2)
    monkeypatch.setitem(RECIPES, "l1", short)
    args = ["train", "--recipe", "l1", "--data", f"folder:{photos}", *TINY]
    assert main([*args, "--out", str(tmp_path / "a")]) == 0
    assert "2 epochs (8 steps), will take about" in capsys.readouterr().out
    assert main([*args, "--epochs", "3", "--out", str(tmp_path / "b")]) == 0
    assert "will take about" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_target_in_minutes(train: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    args = ["train", "--data", f"folder:{photos}", *TINY, "--minutes", "0.005", "--out", str(out)]
    # The seconds in the checkpoint include the time of saving. The last record was made before it.
    for command, target in ((args, 0.3), (["resume", str(out), "--minutes", "0.01"], 0.6)):
        assert main(command) == 0
        loaded = checkpoints.load_checkpoint(out)
        assert loaded is not None and loaded[1]["seconds"] >= target


@pytest.mark.slow
def test_train_refuses_a_folder_that_holds_a_run(train: Callable[..., Path], fails: Callable[..., str]) -> None:
    run = train()
    before = weights(run)
    # It refuses before it opens the data: they do not exist, and the message is not about them.
    said = fails("train", "--data", "folder:nowhere", *TINY, "--out", run)
    assert f"colorlib resume {run}" in said
    assert "--overwrite" in said
    assert same(weights(run), before)
    train("--overwrite", "--seed", "1")
    assert not same(weights(run), before)


@pytest.mark.slow
def test_resume_gives_what_an_uninterrupted_run_gives(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train("--steps", "6", out="whole")
    halved = train("--steps", "3", out="halved")
    assert not same(weights(whole), weights(halved))
    capsys.readouterr()
    assert main(["resume", str(halved), "--steps", "6", "--device", "cpu"]) == 0
    assert "resuming at step 3" in capsys.readouterr().out
    assert same(weights(whole), weights(halved))
    assert Recipe.from_json((halved / "recipe.json").read_text()).steps == 6


@pytest.mark.slow
def test_a_finished_run_says_so(train: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = train()
    before = weights(run)
    capsys.readouterr()
    assert main(["resume", str(run)]) == 0
    assert "finished at step 3" in capsys.readouterr().out
    assert same(weights(run), before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resume_goes_on(
    number: signal.Signals,
    train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = train(out="whole")
    update = progress.Progress.update

    def interrupted(self: progress.Progress, record: object) -> None:
        update(self, record)  # type: ignore[arg-type]
        if self.trainer.step == 2:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "update", interrupted)
        run = train(out="stopped", status=130)
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert f"stopped at step 2 and saved; continue with: colorlib resume {run}" in capsys.readouterr().out
    assert (run / "latest").read_text() == "00000002"
    assert main(["resume", str(run), "--device", "cpu"]) == 0
    assert "resuming at step 2" in capsys.readouterr().out
    assert same(weights(whole), weights(run))


def test_a_second_ctrl_c_does_not_wait(fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(_: object) -> int:
        with progress.stop_signals() as received:
            os.kill(os.getpid(), signal.SIGINT)
            assert received == [signal.SIGINT]
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second signal should have raised KeyboardInterrupt")

    monkeypatch.setitem(commands.COMMANDS, "doctor", commands.Command(flags.DoctorFlags, impatient))
    assert fails("doctor", status=130) == "colorlib: stopped"


@pytest.mark.slow
def test_resume_refuses_other_data(train: Callable[..., Path], photos: Path, fails: Callable[..., str]) -> None:
    run = train()
    before = weights(run)
    Image.new("RGB", (24, 24), "red").save(photos / "train" / "new.png")
    assert "differs" in fails("resume", run, "--steps", "5")
    assert "differs" in fails("resume", run, "--steps", "5", "--data", "scenes")
    assert same(weights(run), before)


@pytest.mark.slow
def test_resume_finds_data_that_were_moved(train: Callable[..., Path], photos: Path, fails: Callable[..., str]) -> None:
    run = train()
    moved = photos.rename(photos.with_name("moved"))
    assert "photos" in fails("resume", run, "--steps", "4")
    assert main(["resume", str(run), "--steps", "4", "--data", f"folder:{moved}", "--device", "cpu"]) == 0


@pytest.mark.slow
def test_a_hand_edited_recipe(train: Callable[..., Path], fails: Callable[..., str]) -> None:
    run = train()
    path = run / "recipe.json"
    text = path.read_text()
    path.write_text(text.replace('"width": 4', '"width": "wide"'))
    assert "width" in fails("resume", run, "--steps", "5")
    path.write_text(text[:-20])
    assert "recipe.json" in fails("resume", run, "--steps", "5")
    path.write_text(text.replace('"width": 4', '"width": 8'))
    assert "another architecture" in fails("resume", run, "--steps", "5")


@pytest.mark.slow
def test_a_checkpoint_of_another_architecture(train: Callable[..., Path], fails: Callable[..., str]) -> None:
    run, other = train(), train("--width", "8", out="other")
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other / "checkpoints", run / "checkpoints")
    assert "another architecture" in fails("resume", run, "--steps", "5")


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before(
    train: Callable[..., Path], fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left" in fails("resume", run, "--steps", "5", "--device", "cpu")
    assert main(["resume", str(run), "--steps", "4", "--device", "cpu"]) == 0
    assert pd.read_csv(run / "history.csv")["step"].tolist() == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_loss_that_is_nan_stops(photos: Path, fails: Callable[..., str]) -> None:
    for path in (photos / "val").iterdir():
        path.write_text("not a picture")
    said = fails("train", "--data", f"folder:{photos}", *TINY, "--steps", "10", "--lr-g", "1e30", "--out", photos / "r")
    assert "became" in said
    assert "learning rate" in said


# --- files that are not photographs --------------------------------------------------------------------------


def truncate(path: Path) -> None:
    """Delete the second half of a file's content."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_a_folder_without_pictures(tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no photographs" in fails(
        "train", "--data", f"folder:{tmp_path / 'empty'}", *TINY, "--out", tmp_path / "r"
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_one_broken_picture_in_many_is_named_and_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(12):
        shutil.copy(photos / "train" / f"{i % 8}.png", photos / "train" / f"more-{i}.png")
    truncate(photos / "train" / "3.png")
    args = ["train", "--data", f"folder:{photos}", *TINY, "--steps", "1", "--out", str(tmp_path / "r")]
    assert main(args) == 0
    said = capsys.readouterr()
    assert "3.png" in said.err
    assert "19 images" in said.out


def test_many_broken_pictures_stop(photos: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    for i in range(3):
        (photos / "train" / f"text-{i}.jpg").write_text("not a picture")
    assert "text-0.jpg" in fails("train", "--data", f"folder:{photos}", *TINY, "--out", tmp_path / "r")


def test_too_few_pictures_to_validate(tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "two").mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (20, 20), colour).save(tmp_path / "two" / f"{colour}.png")
    assert "at least 3" in fails("train", "--data", f"folder:{tmp_path / 'two'}", *TINY, "--out", tmp_path / "r")


def test_training_works_without_validation_if_no_image_of_it_can_be_read(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (photos / "val").iterdir():
        path.write_text("not a picture")
    args = ["train", "--data", f"folder:{photos}", *TINY, "--steps", "1", "--out", str(tmp_path / "r")]
    assert main(args) == 0
    assert "training without validation:" in capsys.readouterr().out
    assert main(["resume", str(tmp_path / "r"), "--steps", "2", "--device", "cpu"]) == 0


# --- colorize ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_colorize(train: Callable[..., Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = train(), tmp_path / "out"
    args = ["colorize", str(photos / "test"), "--out", str(out), "--weights", str(run), "--device", "cpu"]
    assert main(args) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "1.png", "2.png"]
    assert Image.open(out / "0.png").size == (30, 24)
    before = (out / "0.png").stat().st_mtime_ns
    capsys.readouterr()
    assert main(args) == 0
    assert "already there" in capsys.readouterr().out
    assert (out / "0.png").stat().st_mtime_ns == before
    assert main([*args, "--overwrite", "--strength", "0"]) == 0
    pixels = np.asarray(Image.open(out / "0.png")).astype(int)
    assert np.ptp(pixels, axis=-1).max() <= 1


@pytest.mark.slow
def test_a_pattern_that_the_shell_did_not_expand(train: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    """PowerShell and cmd pass patterns to the program as they are."""
    args = ["--out", str(tmp_path / "o"), "--weights", str(train()), "--device", "cpu"]
    assert main(["colorize", str(photos / "*" / "[12].png"), *args]) == 0
    assert len(list((tmp_path / "o").iterdir())) == 5  # 1.png and 2.png of train and of test, and 1.png of val


@pytest.mark.slow
def test_the_last_line_names_the_weights_that_coloured(
    train: Callable[..., Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train()
    args = ["colorize", str(photos / "test"), "--out", str(tmp_path / "o"), "--device", "cpu"]

    def last(*more: str) -> str:
        assert main([*args, *more]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert last("--weights", str(run)).endswith("in colours of the weights run")
    assert last("--weights", str(run)).endswith(": 0 coloured now with the weights run, 3 kept as they were")
    (tmp_path / "o" / "1.png").unlink()
    said = last("--weights", "l1")
    assert ": 1 coloured now with the weights l1, 2 kept as they were; 2 of those kept are from other weights" in said
    assert "(the weights run): --overwrite colours them again" in said
    assert last("--weights", "l1", "--overwrite").endswith("in colours of the weights l1")
    assert "(the weights l1 at strength 1): --overwrite" in last("--weights", "l1", "--strength", "1.5")


@pytest.mark.slow
def test_tta_is_that_of_the_library(train: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    run, photo = train("--lr-g", "0.05"), photos / "test" / "0.png"
    args = ["colorize", str(photo), "--weights", str(run), "--device", "cpu"]
    for out, more in (("plain", []), ("tta", ["--tta"])):
        assert main([*args, "--out", str(tmp_path / out), *more]) == 0
    plain, mirrored = (np.asarray(Image.open(tmp_path / out / "0.png")) for out in ("plain", "tta"))
    assert np.array_equal(mirrored, np.asarray(Colorizer.load(run, "cpu").colorize(photo, tta=True)))
    assert not np.array_equal(mirrored, plain)


@pytest.mark.slow
def test_what_is_no_picture_is_left_out_of_a_folder_and_refused_by_name(
    train: Callable[..., Path], tmp_path: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    album, common = tmp_path / "album", ["--out", str(tmp_path / "o"), "--weights", str(train()), "--device", "cpu"]
    album.mkdir()
    (album / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (album / "notes.txt").write_text("bought in May")
    said = fails("colorize", album, *common)
    assert "none of 2" in said and "notes.txt: it is no image" in said and "film.mp4: it is a video" in said
    Image.new("RGB", (9, 9), "teal").save(album / "photo", format="PNG")
    capsys.readouterr()
    assert main(["colorize", str(album), *common]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("left out: ") for line in lines] == [True, True, False]
    assert lines[-1].startswith("1 of 1 photographs")
    assert "it is a video" in fails("colorize", album / "film.mp4", album / "photo", *common, status=1)


@pytest.mark.slow
def test_photographs_of_a_kind_that_is_not_read_are_counted(
    train: Callable[..., Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file is named as a failure, and a line with their number says what to do."""
    run = train()
    for name in ("IMG_1.HEIC", "IMG_2.HEIC", "3.dng"):
        (photos / "test" / name).write_bytes(b"no image")
    args = ["colorize", str(photos / "test"), "--out", str(tmp_path / "o"), "--weights", str(run), "--device", "cpu"]
    capsys.readouterr()
    assert main(args) == 1
    said = capsys.readouterr()
    assert sum("HEIC is not read; save it as JPEG" in line for line in said.err.splitlines()) == 2
    *counts, last = said.out.splitlines()[-3:]
    heic, raw = "2 .heic left out: HEIC is not read; ", "1 .dng left out: camera RAW is not read; "
    assert sorted(line.rpartition("; ")[0] + "; " for line in counts) == sorted([heic, raw])
    assert last.startswith("3 of 6 photographs are in ")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows does not allow such file names")
def test_names_are_printed_in_one_line(train: Callable[..., Path], tmp_path: Path, fails: Callable[..., str]) -> None:
    album = tmp_path / "al\nbum"
    album.mkdir()
    (album / "te\nxt\udcff.jpg").write_text("not a picture")
    Image.new("RGB", (9, 9), "teal").save(album / "a.png")
    common = ["--weights", train(), "--device", "cpu", "--out", album / "out"]
    assert "al\\nbum/te\\nxt\\udcff.jpg: it is no image" in fails("colorize", album, *common, status=1)
    assert "File name too long" in fails("colorize", "n" * 300 + ".jpg", album / "a.png", *common, status=1)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_colorize_odd_shapes(size: tuple[int, int], train: Callable[..., Path], tmp_path: Path) -> None:
    run = train()
    Image.new("RGB", size, "teal").save(tmp_path / "odd.png")
    args = ["colorize", str(tmp_path / "odd.png"), "--out", str(tmp_path / "o"), "--weights", str(run)]
    assert main(args) == 0
    assert Image.open(tmp_path / "o" / "odd.png").size == size


@pytest.mark.slow
def test_colorize_names_what_fails_and_does_the_rest(
    train: Callable[..., Path], photos: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run = train()
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    truncated = shutil.copy(photos / "test" / "0.png", tmp_path / "half.png")
    truncate(Path(truncated))
    common = ["--out", tmp_path / "o", "--weights", run, "--device", "cpu"]
    assert "text.jpg" in fails("colorize", photos / "test" / "1.png", text, *common, status=1)
    assert (tmp_path / "o" / "1.png").exists()
    assert "half.png" in fails("colorize", truncated, *common)
    said = fails("colorize", text, tmp_path / "missing.jpg", *common)
    assert "text.jpg" in said
    assert "missing.jpg" in said
    assert "strength" in fails("colorize", photos / "test" / "1.png", *common, "--strength", "2.5")
    assert "pixels" in fails("colorize", photos / "test" / "2.png", *common, "--max-pixels", "100")


@pytest.mark.slow
def test_many_failures_are_counted(train: Callable[..., Path], tmp_path: Path, fails: Callable[..., str]) -> None:
    missing = [f"missing-{i}.jpg" for i in range(8)]
    said = fails("colorize", *missing, "--out", tmp_path / "o", "--weights", train(), "--device", "cpu")
    assert "none of 8" in said
    assert said.endswith("and 3 more")


def test_files_and_folders_that_are_not_weights(tmp_path: Path, photos: Path, fails: Callable[..., str]) -> None:
    fake = tmp_path / "fake.safetensors"
    fake.write_text("not weights")
    picture = photos / "test" / "0.png"
    assert "fake.safetensors" in fails("colorize", picture, "--out", tmp_path, "--weights", fake)
    (tmp_path / "no-run").mkdir()
    assert "generator.safetensors" in fails("colorize", picture, "--out", tmp_path, "--weights", tmp_path / "no-run")


# --- evaluate, data, doctor, export --------------------------------------------------------------------------


@pytest.mark.slow
def test_evaluate(train: Callable[..., Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, csv = train(), tmp_path / "tables" / "t.csv"
    args = ["evaluate", "--weights", str(run), "--data", f"folder:{photos}", "--csv", str(csv), "--device", "cpu"]
    capsys.readouterr()
    assert main(args) == 0
    text = capsys.readouterr().out
    table = pd.read_csv(csv, index_col="model")
    assert list(table.index) == [str(run), "grey", "untrained"]
    assert table["n"].tolist() == [3, 3, 3]
    assert "3 images at 16 px" in text
    assert f"{table.loc['grey', 'psnr']:.2f}" in text
    assert "no fid: needs the weights" in text
    (line,) = [line for line in text.splitlines() if line.startswith("PSNR")]
    assert line.split()[-3:] == [f"{value:.2f}" for value in table["psnr"]]
    assert main([*args, "--n", "2", "--size", "20", "--split", "train"]) == 0
    assert "train split: 2 images at 20 px" in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_draws_a_sheet(
    train: Callable[..., Path], photos: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    run, sheet = train(), tmp_path / "new" / "folder" / "sheet.png"
    args = ["evaluate", "--weights", str(run), "--data", f"folder:{photos}", "--device", "cpu"]
    assert main([*args, "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as image:
        assert image.format == "PNG" and image.width > 3 * 128
    assert list(sheet.parent.iterdir()) == [sheet]
    assert ".png file" in fails(*args, "--sheet", tmp_path / "sheet.jpg")
    for flag in ("--sheet", "--csv"):
        assert "is a file; choose another folder" in fails(*args, flag, sheet / "below_a_file.png")
        assert "File name too long" in fails(*args, flag, tmp_path / ("n" * 300 + ".png"))


@pytest.mark.slow
def test_evaluate_needs_images_and_a_size(train: Callable[..., Path], photos: Path, fails: Callable[..., str]) -> None:
    run = train()
    args = ["evaluate", "--weights", run, "--data", f"folder:{photos}"]
    assert "at least one image" in fails(*args, "--n", "0")
    assert "size" in fails(*args, "--size", "0")
    assert "nowhere.pth" in fails(*args, "--fid-weights", "nowhere.pth")


def test_data(photos: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:2]] == ["scenes", "photos"]
    assert main(["data", "prepare", f"folder:{photos}", "--size", "16"]) == 0
    said = ["train: 8 images (in train/)", "val: 2 images (in val/)", "test: 3 images (in test/)"]
    assert capsys.readouterr().out.splitlines() == said


def test_a_folder_without_its_prefix_is_recognised(photos: Path, fails: Callable[..., str]) -> None:
    for command in (["train", "--data", photos, "--out", "o"], ["data", "prepare", photos]):
        assert f"use folder:{photos}" in fails(*command)


@pytest.mark.slow
def test_pictures_without_colour(photos: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    """Some photographs without colour are counted, and a training set without any colour is refused.

    The chroma ratio against such photographs is undefined. `evaluate` prints the reason instead of a number.
    """
    for split in ("train", "test"):
        for path in sorted((photos / split).iterdir())[:: 2 if split == "train" else 1]:
            Image.open(path).convert("L").save(path)
    spec = f"folder:{photos}"
    assert main(["data", "prepare", spec, "--size", "16"]) == 0
    assert "train: 4 of 8 photographs have no colour (4 grey)" in capsys.readouterr().err
    assert main(["evaluate", "--data", spec, "--size", "16", "--device", "cpu", "--weights", "l1"]) == 0
    said = capsys.readouterr().out
    assert "no chroma_ratio: the true images have no colour" in said and "chroma ratio" not in said
    for path in (photos / "train").iterdir():
        Image.open(path).convert("L").save(path)
    reason = fails("train", "--data", spec, *TINY, "--steps", "1", "--out", "refused")
    assert "8 of 8 photographs have no colour (8 grey), so there is no colour to learn from" in reason


def test_prepare_says_which_split_has_nothing(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (photos / "test").iterdir():
        path.write_text("not a picture")
    assert main(["data", "prepare", f"folder:{photos}", "--size", "16"]) == 0
    assert "test: no images (" in capsys.readouterr().out


def test_get_says_where_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(commands, "download", lambda name: Path("data") / name)
    assert main(["data", "get", "pets"]) == 0
    assert capsys.readouterr().out == f"pets is in {Path('data') / 'pets'}\n"


def test_get_without_a_network(monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    def offline(name: str) -> Path:
        raise ConnectionError(f"{name} could not be downloaded; try again")

    monkeypatch.setattr(commands, "download", offline)
    assert "try again" in fails("data", "get", "pets")


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from colorlib.cli import doctor

    for ok, status in ((True, 0), (None, 0), (False, 1)):
        monkeypatch.setattr(doctor, "doctor", lambda ok=ok: [doctor.Check("Python", ok, "3.12")])
        assert main(["doctor"]) == status
        assert "Python  3.12" in capsys.readouterr().out


@pytest.mark.slow
def test_export(train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    run = train()
    assert main(["export", "--weights", str(run), "--out", str(tmp_path / "m.onnx")]) == 0
    assert (tmp_path / "m.onnx").stat().st_size > 1000
    assert "differ from those of torch" in capsys.readouterr().out


# --- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/elsewhere/x"),
            "colorlib: cannot use /elsewhere/x: Permission denied",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "colorlib: No space left on device"),
        (MemoryError(), "colorlib: out of memory; "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "colorlib: out of memory; "),
        (ValueError("two\n  lines"), "colorlib: two lines"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "colorlib: out of memory; "),
        (
            RuntimeError("CUDA error: no kernel image\nCompile with"),
            "colorlib: the device fails: CUDA error: no kernel",
        ),
    ],
)
def test_expected_failures(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    def failing(_: object) -> int:
        raise error

    monkeypatch.setitem(commands.COMMANDS, "doctor", commands.Command(flags.DoctorFlags, failing))
    assert fails("doctor").startswith(said)


@pytest.mark.parametrize("name", entry.SMALLER)
def test_out_of_memory_advises_flags_that_the_command_has(
    name: str, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: object) -> int:
        raise MemoryError

    kind = commands.COMMANDS[name].flags
    monkeypatch.setitem(commands.COMMANDS, name, commands.Command(kind, failing))
    (example,) = [line for line in (kind.__doc__ or "").splitlines() if "Example: colorlib" in line]
    advised = re.findall(r"--[\w-]+", fails(*example.split()[2:]))
    main([name, "--help"])
    text = capsys.readouterr().out
    assert all(flag in text for flag in advised)


def test_a_bug_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> int:
        raise RuntimeError("expected two tensors")

    monkeypatch.setitem(commands.COMMANDS, "doctor", commands.Command(flags.DoctorFlags, failing))
    with pytest.raises(RuntimeError, match="two tensors"):
        main(["doctor"])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"), (11580, "3 h 13 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text
