"""A training that can be started, changed, paused and reset while it runs, for the panel of the laboratory.

The training runs in its own thread, so that "Pause" takes effect at once. This module uses no widgets.
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
LOOK_SECONDS = 1.0  # the shortest time between two looks
LOOK_SHARE = 0.2  # the largest share of the time that looks may take
PATIENCE = 0.5  # seconds that a pause waits for the current step
VALIDATE_EVERY = 20
N_SAMPLES = 8


@dataclass(frozen=True)
class Look:
    """The state of a training. `samples` are pictures in three rows: grey, predicted, true; `failure` is one line."""

    state: State
    step: int
    recipe: Recipe
    history: pd.DataFrame
    samples: UInt8[Tensor, "3 n 3 h w"]
    findings: list[Finding]
    waiting: list[str]  # changed hyperparameters that take effect at the next reset
    failure: str = ""


class Session:
    """One training at a time.

    Learning rates and the weights of the losses change while it trains; other hyperparameters wait for `reset`,
    unless no step has been taken yet.

    Args:
        recipe: the first recipe; its size is that of the pictures.
        source, validation: pictures for training, and held-out pictures.
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
        """Prepare step 0 of a recipe. A recipe that cannot work raises ValueError and changes nothing."""
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
        """What the session is doing."""
        if self._busy:
            return "pausing" if self._stop.is_set() else "training"
        if self.failure:
            return "failed"
        return "paused" if self.trainer.step else "ready"

    # --- commands: all return at once except `reset`, which waits for the current step -----------------------

    def start(self) -> None:
        """Start or continue the training, until `pause`. Does nothing during a training or after a failure."""
        if self.state in ("training", "failed"):
            return
        self._join()
        self._stop.clear()
        self._busy = True
        self._thread = threading.Thread(target=self._train, name="colorlib-session", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop after the current step, and look. This does not wait for a long step; the state is then "pausing"."""
        self._join(PATIENCE)

    def reset(self) -> None:
        """Discard the training, and prepare step 0 of the wanted recipe."""
        self._join()
        self._begin(self.wanted)
        self.watch(self.look())

    def use(self, recipe: Recipe) -> None:
        """Continue with another recipe as far as possible. Raises ValueError for a recipe that cannot work."""
        check_batch(recipe, self.source)
        if self._busy:
            self.wanted = recipe  # used after the current step
            return
        if self.trainer.step == 0:
            self._begin(recipe)
        else:
            self.wanted = recipe
            self._adjust()
        self.watch(self.look())

    def train(self, steps: int) -> Look:
        """Train in the foreground, for a cell that waits. An error is not raised but kept in `failure`."""
        self._join()
        self._stop.clear()
        self._train(steps)
        return self.look()

    def _join(self, patience: float | None = None) -> None:
        """Request a stop, and wait for it for at most `patience` seconds (None: without limit)."""
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
            _ = self.trainer.history  # reads the last losses, which may raise TrainingDiverged
        except (ColorlibError, ValueError) as error:
            self.failure = str(error)
        finally:
            self._busy = False
        self.watch(self.look())

    def _adjust(self) -> None:
        """Apply those changes of the wanted recipe that are possible during a run."""
        waiting = self.waiting
        now = {name: getattr(self.trainer.recipe, name) for name in waiting}
        self.trainer.adjust(self.wanted.replace(**now) if waiting else self.wanted)

    @property
    def waiting(self) -> list[str]:
        """The hyperparameters that change at the next reset."""
        return needs_new_run(self.trainer.recipe, self.wanted)

    def look(self) -> Look:
        """The present state. During a training only the training thread may call this."""
        trainer = self.trainer
        history = trainer.history
        findings = [] if self.failure else diagnose(history, trainer.recipe)
        samples = quick_look(trainer.generator, self.validation, N_SAMPLES, trainer.device)
        return Look(self.state, trainer.step, trainer.recipe, history, samples, findings, self.waiting, self.failure)


def check_batch(recipe: Recipe, source: Source) -> None:
    """Raise ValueError for a batch larger than the set, which a Trainer would reduce without a word."""
    if not source.endless and recipe.batch_size > len(source):
        raise ValueError(f"expected a batch of at most {len(source)}, the number of pictures, got {recipe.batch_size}")
