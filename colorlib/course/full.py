"""Train in full mode: announce the time, survive the end of a session, and stop at a limit."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from colorlib import checkpoints
from colorlib.cli.progress import Progress, duration, stop_signals
from colorlib.course.mode import Config
from colorlib.datasets import Source
from colorlib.errors import RunError
from colorlib.recipes import Recipe
from colorlib.training import Trainer

LIMIT_SECONDS = 15 * 60.0
TIMED_STEPS = 10  # the first steps, from which the time is estimated


def train_run(
    name: str, recipe: Recipe, source: Source, config: Config, *, validation: Source | None = None
) -> Trainer:
    """Train a recipe in the folder `config.out / name`, or continue the run that is there.

    Announces the time after a few steps. Stops after 15 minutes, unless `config.long`, and at `config.step_limit`. If
    the cell is interrupted or the session ends (SIGTERM), it saves first. Running the same cell again continues from
    there. Raises RunError if the folder has a run of another recipe.
    """
    trainer = _open(name, recipe, source, config, validation)
    steps = trainer.target_steps if config.step_limit is None else config.step_limit
    left = None if steps is None else max(0, steps - trainer.step)
    started, first = time.monotonic(), trainer.step
    with stop_signals() as came, Progress(trainer, name) as bar:
        for record in trainer.run(left):
            bar.update(record)
            if record.step - first == TIMED_STEPS:
                print(_announcement(trainer, steps, (time.monotonic() - started) / TIMED_STEPS, config))
            late = not config.long and time.monotonic() - started > LIMIT_SECONDS
            if came or late:
                trainer.save()
                more = "" if came else ", or configure(long=True)"
                print(f"stopped at step {record.step} and saved; run this cell again to go on{more}", flush=True)
                break
    if came:
        signal.raise_signal(came[0])  # after saving, let the signal interrupt the cell or end the process
    return trainer


def _open(name: str, recipe: Recipe, source: Source, config: Config, validation: Source | None) -> Trainer:
    folder = config.out / name
    if not checkpoints.is_run(folder):
        return Trainer(recipe, source, validation=validation, out=folder, seed=config.seed, device=config.device)
    if checkpoints.read_recipe(folder).fingerprint != recipe.fingerprint:
        raise RunError(
            f"{folder} holds a run of another recipe; give this one another name, or remove that folder to start anew"
        )
    trainer = Trainer.resume(folder, source, validation=validation, device=config.device)
    print(f"{folder} goes on at step {trainer.step}")
    return trainer


def _announcement(trainer: Trainer, steps: int | None, seconds: float, config: Config) -> str:
    """The time for the remaining steps, estimated from the first ones, which are slower than the rest."""
    if steps is None:
        return f"trains for {duration(60 * (trainer.recipe.minutes or 0))}"
    whole = seconds * (steps - trainer.step)
    text = f"about {duration(whole)} for the other {steps - trainer.step:,} steps on {trainer.device}"
    if whole > LIMIT_SECONDS and not config.long:
        return f"{text}; it stops after {duration(LIMIT_SECONDS)}, and goes on when this cell is run again"
    return text


# --- several GPUs ---------------------------------------------------------------------------------------------


def torchrun_command(recipe: Recipe, data: str, out: Path, *, processes: int, seed: int = 0) -> list[str]:
    """The command that trains a recipe in several processes, one for each GPU, or continues the run in `out`.

    A notebook runs it as a subprocess: a process that has used a GPU cannot fork. `recipe.name` must be a preset's.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    if checkpoints.is_run(out):
        return [*start, "-m", "colorlib", "resume", str(out)]
    flags = ["--data", data, "--out", str(out), "--seed", str(seed)]
    return [*start, "-m", "colorlib", "train", "--recipe", recipe.name, *_changed(recipe), *flags]


def _changed(recipe: Recipe) -> list[str]:
    """The flags that turn the preset of a recipe's name into the recipe."""
    flags = []
    for name, value in recipe.changes().items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return flags
