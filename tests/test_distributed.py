"""Two processes on one machine train as one process with the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from colorlib import distributed

FLAGS = "--data=scenes --size=16 --batch-size=8 --steps=3 --seed=1 --device=cpu --precision=fp32 --lambda-l1=10"
NETWORKS = "--generator=resunet --width=8 --d-width=8 --dropout=0 --norm=instance --g-norm=layer"


def train(out: Path, processes: int, *flags: str) -> pd.DataFrame:
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [*launcher, "colorlib", "train", *f"{FLAGS} {NETWORKS}".split(), *flags, "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_csv(out / "history.csv")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["pix2pix", "wgan-gp"])
def test_two_processes_give_the_losses_of_one(tmp_path: Path, recipe: str) -> None:
    """Norm layers that see one sample at a time, no dropout: then nothing depends on how a batch is shared."""
    one, two = (train(tmp_path / f"{n}", n, "--recipe", recipe) for n in (1, 2))
    losses = ["l1", "g_loss", "g_adversarial", "d_loss"] + ["penalty"] * (recipe == "wgan-gp")
    assert len(one) == len(two) == 3
    for name in losses:
        torch.testing.assert_close(torch.tensor(two[name]), torch.tensor(one[name]), atol=1e-4, rtol=1e-4)
    described = json.loads((tmp_path / "2" / "source.json").read_text())
    assert described["train"]["spec"] == "scenes"


def test_alone_there_is_nothing_to_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    device, layer, values = torch.device("cpu"), nn.Linear(1, 1), torch.arange(3.0)
    assert distributed.join(device) is device and (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.parallel(layer) is layer and torch.equal(distributed.mean(values), values)
    assert distributed.agree(True, device) and not distributed.agree(False, device)
    distributed.wait()
    distributed.leave()
