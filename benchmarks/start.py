"""What comes before and beside the work: importing the package, and saving a checkpoint."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import torch

from benchmarks.part import Job, Result
from benchmarks.step import QUICK, images
from colorlib.datasets.base import ArraySource
from colorlib.recipes import RECIPES
from colorlib.training import SAVE_SECONDS, Trainer

IMPORTS = {
    "import colorlib": "import colorlib",
    "from colorlib import UNet": "from colorlib import UNet",
    "from colorlib import Trainer": "from colorlib import Trainer",
    "from colorlib import Colorizer": "from colorlib import Colorizer",
}
TIMER = "import time, torch; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
AIM = 0.5
EPOCH = 1000  # images, for the share of an epoch that a checkpoint takes
SAVE_AIM = 0.05


def imports(job: Job, budget: float) -> Result:
    """Seconds to import, beyond torch."""
    rows, repeats = [], 1 if job.quick else 3
    for name, code in IMPORTS.items():
        command = [sys.executable, "-c", TIMER.format(code)]
        answers = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(repeats)]
        seconds = [float(answer) for answer in answers]
        row = {"what": name, "seconds": statistics.median(seconds), "repeats": repeats}
        rows.append(row | {"lowest and highest": f"{min(seconds):.3f} to {max(seconds):.3f}"})
    rows[0]["aim"] = f"under {AIM:g}"
    return Result(rows, "Each in a Python of its own that has imported torch before.")


def checkpoint(job: Job, budget: float) -> Result:
    """Seconds to save both networks and their optimizers, safely on the disk, beside the time of an epoch."""
    recipe = RECIPES["pix2pix"].replace(batch_size=4, steps=10**6, **(QUICK if job.quick else {}))
    pictures = images(recipe).numpy()
    source = ArraySource("noise", "train", pictures, torch.arange(len(pictures)).numpy(), fingerprint="noise")
    trainer = Trainer(recipe, source, out=job.scratch / "saved", device=job.device, save_every=10**9)
    clock = []
    run = trainer.run()
    for _ in range(3):
        next(run)["l1"]  # reading a loss waits for the device
        clock.append(time.perf_counter())
    epoch = (clock[-1] - clock[-2]) * EPOCH / recipe.batch_size
    saves = []
    for _ in range(1 if job.quick else 3):
        started = time.perf_counter()
        trainer.save()
        saves.append(time.perf_counter() - started)
    seconds = statistics.median(saves)
    size = sum(path.stat().st_size for path in (job.scratch / "saved" / "checkpoints").glob("*/*")) / 2**20
    folders = len(list((job.scratch / "saved" / "checkpoints").iterdir()))
    row = {
        "MiB": size / folders,
        "seconds": seconds,
        f"epoch of {EPOCH:,} images, s": epoch,
        "share of that epoch": seconds / epoch,
        f"share of the {SAVE_SECONDS / 60:g} minutes between two": seconds / SAVE_SECONDS,
    }
    run.close()
    about = f"Training pix2pix at {recipe.size} px, batch {recipe.batch_size}."
    return Result([row | {"aim": f"share under {SAVE_AIM:g}"}], about)
