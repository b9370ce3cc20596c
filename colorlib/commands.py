"""What each command does with its flags: the library's parts put together, and said in a few lines.

A command returns its exit status and raises what the parts raise; `cli` makes one line of that.
"""

from __future__ import annotations

import math
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from tqdm import tqdm

from colorlib import checkpoints, distributed
from colorlib.datasets import SPLITS, Source, download, list_sources, open_source
from colorlib.devices import pick_device
from colorlib.errors import ColorlibError, DataError, RunError
from colorlib.flags import (
    TARGETS,
    ColorizeFlags,
    DataFlags,
    DemoFlags,
    DoctorFlags,
    EvaluateFlags,
    ExportFlags,
    ResumeFlags,
    TrainFlags,
)
from colorlib.inference import Colorizer, Result
from colorlib.training import CROP_MARGIN, FLUSH_EVERY, Trainer

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")

# Steps that are timed, after a first one that is slower, before the time for all is estimated.
TIMED_STEPS = 4
STOPPED = 130
# Of many failures, how many are named in the one line that says that nothing could be done.
NAMED_FAILURES = 5


def say(text: str) -> None:
    """A line for the user on stdout, from the main process only; progress bars and failures go to stderr."""
    if distributed.rank() == 0:
        tqdm.write(text)
        sys.stdout.flush()


# --- train and resume ----------------------------------------------------------------------------------------


def train(flags: TrainFlags) -> int:
    """Train to the stopping target. Raises RunError, before any data are read, if OUT holds a run."""
    recipe = flags.settings()
    out = flags.out or Path("runs") / recipe.name
    if checkpoints.is_run(out) and not flags.overwrite:
        again = f"go on with: colorlib resume {_quoted(out)}, choose another --out, or replace it with --overwrite"
        raise RunError(f"{out} already holds a run; {again}")
    with _joined(flags.device) as device:
        source, validation = _main_process_first(lambda: _open_data(flags.data, recipe.size))
        trainer = Trainer(
            recipe, source, validation=validation, out=out, seed=flags.seed, device=device,
            save_every=flags.save_every, overwrite=flags.overwrite,
        )  # fmt: skip
        say(_introduction(trainer))
        return _follow(trainer, estimate=not flags.changes().keys() & set(TARGETS))


def resume(flags: ResumeFlags) -> int:
    """Go on to the old target or a new one. A run that has reached it says so."""
    with _joined(flags.device) as device:
        source, validation = None, None
        if flags.data is not None:
            spec, size = flags.data, checkpoints.read_recipe(flags.run).size
            source, validation = _main_process_first(lambda: _open_data(spec, size))
        trainer = Trainer.resume(flags.run, source, validation=validation, device=device, **flags.target())
        if trainer.finished:
            say(f"{flags.run} is finished at step {trainer.step}; a new --steps, --epochs or --minutes goes further")
            return 0
        say(_introduction(trainer))
        say(f"going on at step {trainer.step}")
        return _follow(trainer)


@contextmanager
def _joined(device: str) -> Iterator[torch.device]:
    """This process's device, in the group of processes that torchrun started, if it did."""
    try:
        yield distributed.join(pick_device(device))
    finally:
        distributed.leave()


def _main_process_first(work: Callable[[], T]) -> T:
    """What decodes a data set into the cache is done by one process; the others then find it there."""
    if distributed.rank():
        distributed.wait()
    result = work()
    if not distributed.rank():
        distributed.wait()
    return result


def _open_data(spec: str, size: int) -> tuple[Source, Source | None]:
    """Training images, of photographs with room for random crops, and validation images where there are any."""
    source = open_source(spec, size, "train", margin=_margin(spec))
    try:
        return source, open_source(spec, size, "val")
    except DataError as error:
        say(f"training without validation: {error}")
        return source, None


def _margin(spec: str) -> float:
    return 1.0 if spec == "scenes" else CROP_MARGIN


def _introduction(trainer: Trainer) -> str:
    """One line: recipe, data, device, precision, parameters."""
    recipe, source, validation = trainer.recipe, trainer.source, trainer.validation
    n = "fresh images without end" if source.endless else f"{len(source):,} images"
    held_out = "" if validation is None else f", {len(validation):,} to validate"
    millions = [f"G {_millions(trainer.generator)}"]
    millions += [f"D {_millions(trainer.discriminator)}"] if trainer.discriminator else []
    return (
        f"{recipe.name} on {source.name} ({n}{held_out}) at {recipe.size} px, batches of {trainer.batches.batch_size}; "
        f"{trainer.device}, {trainer.networks.precision}; parameters: {', '.join(millions)}"
    )


def _millions(module: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M"


def _follow(trainer: Trainer, *, estimate: bool = False) -> int:
    """Train to the end, or to a signal: then save, and say how to go on."""
    assert trainer.out is not None, "the command line always gives a folder"
    stopped, first, started = False, trainer.step + 1, 0.0
    with _signals() as came, _Progress(trainer) as progress:
        for record in trainer.run():
            progress.update(record)
            if estimate and record.step in (first, first + TIMED_STEPS):
                record["l1"]  # waits for the device, so that the clock measures work done
                if record.step > first:
                    say(_estimate(trainer, (trainer.seconds - started) / TIMED_STEPS))
                started = trainer.seconds
            if stopped := _agree_to_stop(came, trainer):
                trainer.save()
                break
    out = _quoted(trainer.out)
    if stopped and not trainer.finished:
        say(f"stopped at step {trainer.step} and saved; go on with: colorlib resume {out}")
        return STOPPED
    contents = "the weights (generator.safetensors), history.csv and samples/"
    say(f"finished at step {trainer.step} after {_duration(trainer.seconds)}: {trainer.out} holds {contents}")
    say(f"colour photographs with: colorlib colorize PHOTO... --weights {out} --out coloured")
    return 0


def _estimate(trainer: Trainer, seconds_a_step: float) -> str:
    steps = trainer.target_steps
    assert steps is not None, "the presets count in epochs"
    return (
        f"the recipe's own target, {trainer.recipe.epochs} epochs or {steps:,} steps, will take about "
        f"{_duration(seconds_a_step * (steps - trainer.step))}; --steps, --epochs or --minutes set another one"
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals to stop that have come: Ctrl-C and SIGTERM wait for the end of the step, so that it can be saved.

    A second Ctrl-C does not wait. Under torchrun it does: there every process gets one from the terminal and another
    one from torchrun.
    """
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        if came and number == signal.SIGINT and distributed.world_size() == 1:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield came
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _agree_to_stop(came: list[int], trainer: Trainer) -> bool:
    """Whether to stop after this step. Several processes ask the main one now and then, to stop at the same step."""
    if distributed.world_size() == 1:
        return bool(came)
    return trainer.step % FLUSH_EVERY == 0 and distributed.agree(bool(came), trainer.device)


class _Progress:
    """A bar with losses, images a second and the time that remains, in steps or, for such a target, in seconds."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, steps = trainer, trainer.target_steps
        self.by_steps = steps is not None
        total = steps if steps is not None else math.ceil(60 * (trainer.recipe.minutes or 0))
        pause = 0.2 if sys.stderr.isatty() else 20  # seconds; a log needs no animation
        self.bar = tqdm(
            total=total, initial=self._position(), unit="step" if self.by_steps else "s", mininterval=pause,
            disable=distributed.rank() > 0 or QUIET,
        )  # fmt: skip
        self.images, self.seconds = 0.0, trainer.seconds

    def _position(self) -> int:
        return self.trainer.step if self.by_steps else min(int(self.trainer.seconds), self.bar.total)
