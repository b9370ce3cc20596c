"""A training that can be started, changed, paused and begun anew while it runs: what the laboratory's panel drives.

It runs in a thread of its own, so that whoever presses "pause" is heard at once. It knows no widget.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from colorlib.course.diagnosis import Finding, diagnose
from colorlib.datasets import Source
from colorlib.errors import ColorlibError
from colorlib.evaluation import quick_look
from colorlib.recipes import Recipe
from colorlib.training import Trainer, needs_new_run

State = Literal["ready", "training", "pausing", "paused", "failed"]

ENDLESS = 10**9  # steps
LOOK_SECONDS = 1.0  # between two looks, and more where looking takes long:
PATIENCE = 0.5  # seconds for a step to end when it is to pause
LOOK_SHARE = 0.2  # of the time at most goes into it
VALIDATE_EVERY = 20
N_SAMPLES = 8


@dataclass(frozen=True)
class Look:
    """How a training stands. `samples` are pictures in three rows: grey, predicted, true; `failure` is one line."""

    state: State
    step: int
    recipe: Recipe
    history: pd.DataFrame
    samples: UInt8[Tensor, "3 n 3 h w"]
    findings: list[Finding]
    waiting: list[str]  # hyperparameters that were changed and take effect at the next reset
    failure: str = ""


class Session:
    """One training at a time, of whatever recipe it is told to use.

    Learning rates and the weights of the losses change while it trains; other hyperparameters wait for `reset`,
    unless no step was taken yet.

    Args:
        recipe: the first recipe; its size is that of the pictures.
        source, validation: what is trained on, and what is looked at.
        watch: called with a `Look` about once a second from the training thread, and after every command.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        validation: Source,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        watch: Callable[[Look], None] = lambda look: None,
    ) -> None:
        self.source, self.validation, self.seed, self.device, self.watch = source, validation, seed, device, watch
        self.failure = ""
        self._stop, self._thread, self._busy = threading.Event(), threading.Thread(), False
        self._begin(recipe)

    def _begin(self, recipe: Recipe) -> None:
        """Stand at step 0 of a recipe; one that cannot work raises ValueError and leaves all as it is."""
        check_batch(recipe, self.source)
        self.trainer = Trainer(
            recipe,
            self.source,
            validation=self.validation,
            seed=self.seed,
            device=self.device,
            validate_every=VALIDATE_EVERY,
        )
        self.wanted, self.failure = recipe, ""

    @property
    def state(self) -> State:
        """What it is doing."""
        if self._busy:
            return "pausing" if self._stop.is_set() else "training"
        if self.failure:
            return "failed"
        return "paused" if self.trainer.step else "ready"

    # --- commands: they return at once, but for `reset`, which waits for the step in hand -------------------

    def start(self) -> None:
        """Train, or go on, until `pause`. Does nothing while it trains or after a failure, which wants a reset."""
        if self.state in ("training", "failed"):
            return
        self._join()
        self._stop.clear()
        self._busy = True
        self._thread = threading.Thread(target=self._train, name="colorlib-session", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop after the step in hand, and look. A long step is not waited for: until its end the state is pausing."""
        self._join(PATIENCE)

    def reset(self) -> None:
        """Forget what was trained, and stand at step 0 of the recipe that is wanted."""
        self._join()
        self._begin(self.wanted)
        self.watch(self.look())

    def use(self, recipe: Recipe) -> None:
        """Go on with another recipe, as far as that is possible. Raises ValueError for one that cannot work."""
        check_batch(recipe, self.source)
        if self._busy:
            self.wanted = recipe  # taken up after the step in hand
            return
        if self.trainer.step == 0:
            self._begin(recipe)
        else:
            self.wanted = recipe
            self._adjust()
        self.watch(self.look())

    def train(self, steps: int) -> Look:
        """So many steps in the foreground, for a cell that waits. What stood in the way is in `failure`."""
        self._join()
        self._stop.clear()
        self._train(steps)
        return self.look()

    def _join(self, patience: float | None = None) -> None:
        """Ask for a stop, and wait for it, for so many seconds at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    # --- in the thread ---------------------------------------------------------------------------------------

    def _train(self, steps: int = ENDLESS) -> None:
        self._busy = True
        next_look = time.monotonic() + LOOK_SECONDS
        try:
            with contextlib.closing(self.trainer.run(steps)) as records:
                for _ in records:
                    self._adjust()
                    if (started := time.monotonic()) > next_look:
                        self.watch(self.look())
                        ended = time.monotonic()
                        next_look = ended + max(LOOK_SECONDS, (ended - started) / LOOK_SHARE)
                    if self._stop.is_set():
                        break
            _ = self.trainer.history  # the last losses are looked at only now
        except (ColorlibError, ValueError) as error:
            self.failure = str(error)
        finally:
            self._busy = False
        self.watch(self.look())

    def _adjust(self) -> None:
        """Take from the wanted recipe what can change in the middle of a run."""
        waiting = self.waiting
        now = {name: getattr(self.trainer.recipe, name) for name in waiting}
        self.trainer.adjust(self.wanted.replace(**now) if waiting else self.wanted)

    @property
    def waiting(self) -> list[str]:
        """The hyperparameters that a reset would change."""
        return needs_new_run(self.trainer.recipe, self.wanted)

    def look(self) -> Look:
        """How it stands now. While it trains only the training thread may ask."""
        trainer = self.trainer
        history = trainer.history
        findings = [] if self.failure else diagnose(history, trainer.recipe)
        samples = quick_look(trainer.generator, self.validation, N_SAMPLES, trainer.device)
        return Look(self.state, trainer.step, trainer.recipe, history, samples, findings, self.waiting, self.failure)


def check_batch(recipe: Recipe, source: Source) -> None:
    """Raise ValueError for a batch or pictures larger than what there is."""
    if not source.endless and recipe.batch_size > len(source):
        raise ValueError(f"expected a batch of at most {len(source)}, the number of pictures, got {recipe.batch_size}")
