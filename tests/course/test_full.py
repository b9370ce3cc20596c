"""Training in full mode: it announces its time, respects its limits, and continues where it stopped."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from colorlib import RECIPES, open_source
from colorlib.cli import entry
from colorlib.cli.flags import TrainFlags
from colorlib.course import full
from colorlib.course.full import torchrun_command, train_run
from colorlib.course.mode import Config
from colorlib.errors import RunError
from colorlib.training import Trainer


def config(tmp_path, **changes):
    return Config("full", 0, torch.device("cpu"), tmp_path, **changes)


def test_a_run_trains_to_its_target_and_announces_the_time(tmp_path, source, recipe, capsys):
    trainer = train_run("a", recipe.replace(steps=12), source, config(tmp_path))
    assert trainer.finished and (tmp_path / "a" / "generator.safetensors").is_file()
    assert "for the other 2 steps on cpu" in capsys.readouterr().out


@pytest.mark.slow
def test_a_step_limit_ends_it_and_the_same_call_goes_on(tmp_path, source, recipe):
    assert train_run("a", recipe, source, config(tmp_path, step_limit=4)).step == 4
    assert train_run("a", recipe, source, config(tmp_path, step_limit=4)).step == 4
    resumed = train_run("a", recipe, source, config(tmp_path))
    whole = train_run("b", recipe, source, config(tmp_path))
    assert resumed.step == whole.step == 6
    for mine, other in zip(resumed.generator.parameters(), whole.generator.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_after_the_limit_of_time_it_stops_and_saves_unless_long(tmp_path, source, recipe, monkeypatch, capsys):
    monkeypatch.setattr(full, "LIMIT_SECONDS", -1.0)
    assert train_run("a", recipe, source, config(tmp_path)).step == 1
    said = "stopped at step 1 and saved; run this cell again to go on, or configure(long=True)"
    assert said in capsys.readouterr().out
    assert train_run("a", recipe, source, config(tmp_path, long=True)).step == 6
    assert "goes on at step 1" in capsys.readouterr().out


LONG = RECIPES["pix2pix"].replace(size=16, width=4, d_width=4, batch_size=2, steps=10**6, precision="fp32")
CELL = f"""
import pathlib, signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # as a kernel has it: a job in the background ignores it
from colorlib import RECIPES, open_source
from colorlib.course.full import train_run
from colorlib.course.mode import Config
torch.set_num_threads(1)
recipe = RECIPES["pix2pix"].replace(**{LONG.changes()})
train_run("a", recipe, open_source("scenes", 16), Config("full", 0, torch.device("cpu"), pathlib.Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process could wait for")
def test_interrupted_at_any_moment_it_saves_and_goes_on_with_the_same_weights(tmp_path, number, capsys):
    cell = subprocess.Popen([sys.executable, "-c", CELL, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while cell.poll() is None and not (tmp_path / "a" / "recipe.json").exists():
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    cell.send_signal(number)
    try:
        out, complaint = (text.decode() for text in cell.communicate(timeout=120))
    finally:
        cell.kill()
    ended = complaint.rstrip().endswith("KeyboardInterrupt") if number == signal.SIGINT else cell.returncode == -number
    assert ended, complaint
    step = int(re.findall(r"stopped at step (\d+) and saved; run this cell again to go on\n", out)[0])
    assert (tmp_path / "a" / "latest").read_text() == f"{step:08d}"

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    resumed, whole = (train_run(name, LONG, open_source("scenes", 16), config(tmp_path, step_limit=step + 2))
                      for name in "ab")  # fmt: skip
    torch.set_num_threads(threads)
    assert f"goes on at step {step}" in capsys.readouterr().out
    assert resumed.step == whole.step == step + 2
    for mine, other in zip(resumed.generator.parameters(), whole.generator.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_long_run_is_announced_as_one_that_will_be_cut(tmp_path, source, recipe):
    trainer = Trainer(recipe, source, device="cpu")
    text = full._announcement(trainer, 100_000, 0.1, config(tmp_path))
    assert text.startswith("about 2 h 47 min for the other 100,000 steps")
    assert text.endswith("it stops after 15 min, and goes on when this cell is run again")
    assert "stops" not in full._announcement(trainer, 100_000, 0.1, config(tmp_path, long=True))
    assert "stops" not in full._announcement(trainer, 6, 0.1, config(tmp_path))


def test_the_folder_of_another_recipe_is_left_alone(tmp_path, source, recipe):
    train_run("a", recipe, source, config(tmp_path, step_limit=1))
    with pytest.raises(RunError, match="holds a run of another recipe; give this one another name"):
        train_run("a", recipe.replace(width=8), source, config(tmp_path))


@pytest.mark.slow
def test_a_run_counted_in_minutes_says_how_many(tmp_path, source, recipe, monkeypatch, capsys):
    monkeypatch.setattr(full, "TIMED_STEPS", 1)
    train_run("a", recipe.replace(steps=None, minutes=0.01), source, config(tmp_path))
    assert "trains for 1 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPES["pix2pix"].replace(size=128, batch_size=32, minutes=15.0),
        RECIPES["wgan-gp"].replace(conditional=False, depth=3, betas=(0.1, 0.95), clip=0.5, steps=7, precision="fp32"),
        RECIPES["wgan"].replace(clip=None, epochs=3),
        RECIPES["l1"],
    ],
)
def test_the_command_for_several_gpus_says_the_recipe_and_nothing_else(recipe, tmp_path):
    command = torchrun_command(recipe, "folder:my photos", tmp_path / "run", processes=2, seed=3)
    start, flags = command[: command.index("train")], command[command.index("train") + 1 :]
    assert start[1:] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "colorlib"]
    parsed = entry._parse("train", TrainFlags, flags)
    assert parsed.settings() == recipe
    assert (parsed.data, parsed.out, parsed.seed) == ("folder:my photos", tmp_path / "run", 3)


def test_a_run_that_is_there_is_resumed(tmp_path, source, recipe):
    train_run("a", recipe, source, config(tmp_path, step_limit=2))
    command = torchrun_command(RECIPES["pix2pix"], "scenes", tmp_path / "a", processes=2)
    assert command[command.index("colorlib") + 1 :] == ["resume", str(tmp_path / "a")]
