"""What the command line shows and hears while it works: lines, a progress bar, and the signals to stop."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from colorlib import distributed
from colorlib.history import Record
from colorlib.training import FLUSH_EVERY, Trainer


def say(text: str) -> None:
    """A line for the user on stdout, from the main process only; progress bars and failures go to stderr."""
    if distributed.rank() == 0:
        tqdm.write(text)
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """`12 s`, `34 min` or `5 h 6 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """A bar with losses, images a second and the time that remains; it counts steps, or seconds if the target does."""

    def __init__(self, trainer: Trainer, label: str | None = None) -> None:
        self.trainer, self.steps = trainer, trainer.target_steps
        self.total = self.steps or math.ceil(60 * (trainer.recipe.minutes or 0))
        pause = 0.2 if sys.stderr.isatty() else 20.0  # seconds; a log needs no animation
        quiet = {"disable": True} if distributed.rank() else {}
        self.bar = tqdm(
            desc=label, total=self.total, initial=self._position(), unit="step" if self.steps else "s",
            mininterval=pause, **quiet,
        )  # fmt: skip

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, record: Record) -> None:
        """Move the bar; read the losses only every so often, for reading them waits for the device."""
        if record.step % FLUSH_EVERY == 0:
            losses = [f"{name} {record[name]:.3g}" for name in ("l1", "g_adversarial", "d_loss") if name in record]
            speed = f"{self.trainer.images_per_second:.1f} images/s"
            self.bar.set_postfix_str(", ".join([*losses, speed]), refresh=False)
        self.bar.update(self._position() - self.bar.n)

    def _position(self) -> int:
        return self.trainer.step if self.steps else min(int(self.trainer.seconds), self.total)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
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
