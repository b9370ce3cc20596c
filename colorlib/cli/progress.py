"""What a command prints while it works, and how it is stopped: lines, a progress bar, TensorBoard, and signals."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from colorlib import distributed
from colorlib.errors import ColorlibError
from colorlib.history import Record
from colorlib.training import FLUSH_EVERY, Trainer


def say(text: str) -> None:
    """Print a line on stdout, in the main process only. Progress bars and failures are printed on stderr instead."""
    # tqdm.write does not break the line of a progress bar on the same terminal, as print would.
    if distributed.rank() == 0:
        tqdm.write(text)
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """A duration as text, for example `12 s`, `34 min` or `5 h 6 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """A progress bar with the losses, images per second and the remaining time.

    It counts steps. If the stopping target is a number of minutes, it counts seconds.
    """

    def __init__(self, trainer: Trainer, label: str | None = None) -> None:
        self.trainer, self.steps = trainer, trainer.target_steps
        self.total = self.steps or math.ceil(60 * (trainer.recipe.minutes or 0))
        # Seconds between two updates of the bar. In a log file every update is a new line, so they are rare there.
        pause = 0.2 if sys.stderr.isatty() else 20.0
        # Only the main process shows a bar. `disable=False` is not passed, because it would overrule TQDM_DISABLE.
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
        """Advance the bar. Read the losses only at some of the steps, because reading them waits for the device."""
        if record.step % FLUSH_EVERY == 0:
            losses = [f"{name} {record[name]:.3g}" for name in ("l1", "g_adversarial", "d_loss") if name in record]
            speed = f"{self.trainer.images_per_second:.1f} images/s"
            self.bar.set_postfix_str(", ".join([*losses, speed]), refresh=False)
        self.bar.update(self._position() - self.bar.n)

    def _position(self) -> int:
        return self.trainer.step if self.steps else min(int(self.trainer.seconds), self.total)


def check_log(log: str) -> None:
    """Raise ColorlibError if `log` names a package that is not installed."""
    if log == "tensorboard" and find_spec("tensorboard") is None:
        raise ColorlibError("--log tensorboard needs the package tensorboard: pip install tensorboard")


@contextmanager
def open_log(log: str, trainer: Trainer) -> Iterator[Callable[[Record], None]]:
    """Yield a function that writes a record and its sample to RUN/tensorboard. It does nothing if `log` is `none`."""
    if log == "none" or distributed.rank():
        yield lambda record: None
        return
    from torch.utils.tensorboard import SummaryWriter

    assert trainer.out is not None, "the command line always gives a folder"
    folder, samples = trainer.out / "tensorboard", trainer.out / "samples"
    with ExitStack() as opened:
        writer = None

        def note(record: Record) -> None:
            nonlocal writer
            if writer is None:
                # The log is opened after the first step, because the training empties the run's folder before it. A
                # resumed run may repeat steps that it logged before it was stopped: `purge_step` deletes these.
                writer = opened.enter_context(SummaryWriter(str(folder), purge_step=record.step))
            # Reading a record waits for the device. At these steps the progress bar or the validation does so anyway.
            if record.step % FLUSH_EVERY == 0 or "val_psnr" in record:
                for name, value in record.as_dict().items():
                    if name != "step":
                        writer.add_scalar(name, value, record.step)
            if (sample := samples / f"{record.step:08d}.png").is_file():
                with Image.open(sample) as picture:
                    writer.add_image("samples", np.asarray(picture.convert("RGB")), record.step, dataformats="HWC")

        yield note


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list in which each Ctrl-C (SIGINT) or SIGTERM is noted, instead of ending the program at once.

    The training looks at the list after each step, so that it can save the run before it stops. A second Ctrl-C ends
    the program at once. Under torchrun it does not, because there every process receives one Ctrl-C twice: from the
    terminal and from torchrun.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT and distributed.world_size() == 1:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # Python sets signal handlers in the main thread only
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            # `before` has None for a handler that was not set by Python. Such a handler cannot be restored.
            signal.signal(number, handler or signal.SIG_DFL)
