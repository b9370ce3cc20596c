"""Two processes on one machine train as one process with the same global batch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import two_processes
from filelock import FileLock
from torch import nn
from two_processes import STEPS, TWO, drawn_numbers, go_on, train

from colorlib import checkpoints, distributed
from colorlib.checkpoints import read_tensors


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of two processes, and `one`, which one process began and two went on with."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "two"  # once for all test processes
    with FileLock(f"{folder}.lock"):
        if not (folder / "auto").exists():
            _two_processes(folder)
    return folder


def _two_processes(folder: Path) -> None:
    train(TWO["wgan-gp"], folder / "one")
    shutil.copytree(folder / "one", folder / "begun by one")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [*launcher, two_processes.__file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_same_weights(two: Path, one: Path, start: Path) -> None:
    """Rounding differs, and Adam makes steps of it; it is little beside the way from the start."""
    weights = [read_tensors(run / "generator.safetensors") for run in (two, one, start)]
    joined = [torch.cat([tensor.flatten() for tensor in tensors.values()]) for tensors in weights]
    assert (joined[0] - joined[1]).norm() < 0.02 * (joined[1] - joined[2]).norm()


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO)
def test_two_processes_give_the_losses_and_weights_of_one(tmp_path: Path, runs: Path, name: str) -> None:
    two, one = pd.read_csv(runs / name / "history.csv"), train(TWO[name], tmp_path / "one")
    assert len(two) == len(one) == STEPS
    for column in {"l1", "g_loss", "g_adversarial", "d_loss", "penalty"} & set(one.columns):
        torch.testing.assert_close(torch.tensor(two[column]), torch.tensor(one[column]), atol=1e-4, rtol=1e-4)
    train(TWO[name].replace(lr_g=1e-30), tmp_path / "start")
    assert_same_weights(runs / name, tmp_path / "one", tmp_path / "start")


@pytest.mark.slow
def test_two_processes_draw_the_penaltys_numbers_of_one(runs: Path) -> None:
    with drawn_numbers():
        one = train(two_processes.DRAWN)
    two = pd.read_csv(runs / "drawn" / "history.csv")
    assert two["penalty"].item() == pytest.approx(one["penalty"].item(), abs=1e-6)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, runs: Path) -> None:
    """From one to two and from two to one: the weights are those of a run without the change."""
    start, whole, fewer = (tmp_path / name for name in ("start", "whole", "fewer"))
    shutil.copytree(runs / "begun by one", start)
    shutil.copytree(start, whole)
    shutil.copytree(runs / "wgan-gp", fewer)
    for run in (whole, fewer):
        go_on(run)
    for run in (runs / "one", fewer):
        assert checkpoints.read_recipe(run).steps == 2 * STEPS == len(pd.read_csv(run / "history.csv"))
        assert_same_weights(run, whole, start)


@pytest.mark.slow
def test_processes_agree_on_a_batch_that_fits_each(runs: Path) -> None:
    assert checkpoints.read_recipe(runs / "auto").batch_size == 2 * two_processes.FITS
    assert (runs / "auto" / "latest").read_text() == "00000001"


def test_alone_there_is_nothing_to_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    device, layer, values = torch.device("cpu"), nn.Linear(1, 1), torch.arange(3.0)
    assert distributed.join(device) is device and (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.parallel(layer) is layer and torch.equal(distributed.mean(values), values)
    assert distributed.agree(True, device) and not distributed.agree(False, device)
    assert (distributed.smallest(3, device), distributed.neighbours()) == (3, 1)
    with distributed.without_exchange(layer):
        pass
    distributed.wait()
    distributed.leave()
