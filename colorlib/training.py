"""The training loop: records that can stop it anywhere, checkpoints that bring it back. The step is in `steps`.

Every step's randomness (batch, crops, dropout, penalty) is a function of the seed and the step alone. So a resumed
run needs no random state from its checkpoint, and repeats bit for bit on one CPU what the lost process had done.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from colorlib import checkpoints, distributed, memory
from colorlib.datasets import Batches, Source, open_source
from colorlib.datasets.base import check_for_training
from colorlib.devices import derive_seed, is_out_of_memory, keep_freed_memory, pick_device
from colorlib.errors import CheckpointError, DataError, RunError
from colorlib.evaluation import quick_look, quick_scores
from colorlib.files import RunLock, write_atomic
from colorlib.history import TIMING_COLUMNS, History, Record
from colorlib.recipes import TARGETS, Recipe
from colorlib.steps import Networks

if TYPE_CHECKING:
    import pandas as pd

FLUSH_EVERY = 10  # steps between two looks at the losses; the measures that cost a backward pass come as often
SAVE_SECONDS = 300.0
FIRST_SAMPLE_SECONDS = 50.0  # of training, so that the first pictures are there within a minute
VALIDATIONS = 20  # in a run; one in a hundred steps where the run is counted in minutes
CALIBRATION_BATCHES = 8  # for batch norm's statistics of averaged weights
COMPILER = ("torch._dynamo", "torch._inductor")  # what torch.compile raises its own errors from
# What source.json says of a run, and of its data.
SETTINGS = {"train": dict, "validation": dict | None, "seed": int, "save_every": int | None, "validate_every": int}
SETTINGS_ADDED = {"keep_every": int | None, "sample_every": int | None}  # runs of the first edition lack these
SOURCE = {"spec": str, "split": str, "size": int, "n": int, "fingerprint": str}
# What may change while a run goes on; the others decide what the networks are, or which batches they see.
ADJUSTABLE = ("lambda_l1", "d_loss_weight", "clip", "lambda_gp", "lr_g", "lr_d")


class Trainer:
    """Train a recipe on a source, step by step.

    `for record in trainer.run(steps=500): ...` trains as far as it is read: a notebook, a slider panel and the command
    line share this loop, and each can stop at any record.

    Args:
        recipe: every hyperparameter.
        source: the training images (`open_source`).
        validation: images for the `val_*` columns, for RUN/samples and for choosing RUN/best, by PSNR; None: no images.
        out: the run's folder, made when training starts; None keeps everything in memory.
        save_every: steps between checkpoints; None: every five minutes.
        validate_every: steps between validations; None: twenty times in the run.
        keep_every: keep for good the checkpoint of each multiple of so many steps; None: only the last two are kept.
        sample_every: steps between pictures in RUN/samples; None: one at each validation, the first within a minute.
        overwrite: replace the run that `out` may hold.
        compile: run the networks through `torch.compile`: minutes to start with, and then faster steps.

    Raises:
        ValueError: the recipe or a setting cannot work, with this source or device or at all.
        RunError: `out` already holds a run.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        *,
        validation: Source | None = None,
        out: str | Path | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        save_every: int | None = None,
        validate_every: int | None = None,
        keep_every: int | None = None,
        sample_every: int | None = None,
        overwrite: bool = False,
        compile: bool = False,
    ) -> None:
        rhythms = {"save_every": save_every, "validate_every": validate_every}
        rhythms |= {"keep_every": keep_every, "sample_every": sample_every}
        for name, every in rhythms.items():
            if every is not None and every < 1:
                raise ValueError(f"expected {name} of at least 1 step (None: automatic), got {every}")
        if recipe.lambda_gp and recipe.norm == "batch":
            warnings.warn(
                "batch norm in a critic that is trained with a gradient penalty makes the penalty wrong, because it "
                "mixes the images of a batch (Gulrajani et al. 2017, section 4); try norm layer, instance or none",
                stacklevel=2,
            )
        self.recipe, self.source, self.validation, self.seed = recipe, source, validation, seed
        self.out = None if out is None else Path(out)
        if validation is not None:
            check_for_training(validation)
        if self.out and not overwrite:
            checkpoints.refuse_run(self.out)
        self.device = distributed.join(pick_device(device))
        self.networks = Networks(recipe, seed, self.device, compile=compile)
        self.batches = self._make_batches()
        self.step, self.seconds, self.save_every = 0, 0.0, save_every
        self.keep_every, self.sample_every, self._sampled = keep_every, sample_every, False
        self.validate_every = validate_every or max(1, (self.target_steps or 100 * VALIDATIONS) // VALIDATIONS)
        validated = ["val_ab_mae", "val_psnr", "val_chroma_ratio", "val_grey_psnr"] * (validation is not None)
        columns = ["step", "epoch", *self.networks.columns(), *validated, *TIMING_COLUMNS]
        path = None if self.out is None else self.out / "history.csv"
        self._history = History(columns, path)
        self._folder_ready, self._calibrated_at, self._saved_at = False, -1, -1
        self._lock = None if self.out is None or distributed.rank() else RunLock(self.out)
        self._last_save = time.monotonic()

    def _make_batches(self) -> Batches:
        recipe = self.recipe
        return Batches(
            self.source, recipe.batch_size, size=recipe.size, zoom=recipe.zoom, seed=self.seed,
            rank=distributed.rank(), world_size=distributed.world_size(),
        )  # fmt: skip

    def start_from(self, generator: nn.Module, origin: str = "the generator given") -> None:
        """Take over a generator's weights, before the first step: fine-tuning, or the second of two stages.

        With a folder they are saved at once, so that a run that is killed resumes from them. Raises CheckpointError,
        which names `origin`, for another architecture; RunError after the first step.
        """
        if self.step:
            raise RunError(f"expected a run before its first step, got one at step {self.step}; start a new run")
        checkpoints.load_weights(self.generator, generator.state_dict(), origin)
        if self.networks.average is not None:
            checkpoints.load_weights(self.networks.average.module, generator.state_dict(), origin)
        if self.out:
            self.save()

    @property
    def generator(self) -> nn.Module:
        """The generator in training."""
        return self.networks.generator

    @property
    def averaged_generator(self) -> nn.Module:
        """The generator to use: the running average of its weights if the recipe keeps one, else the generator.

        The average is brought up to date on a few training batches when it is asked for, at most once a step.
        """
        if self.networks.average is None:
            return self.generator
        if self._calibrated_at != self.step:
            self.networks.calibrate(self.batches.batch(k) for k in range(CALIBRATION_BATCHES))
            self._calibrated_at = self.step
        return self.networks.average.module

    @property
    def discriminator(self) -> nn.Module | None:
        """The discriminator in training, None if the recipe has none."""
        return None if self.networks.d_loss is None else self.networks.d_loss.discriminator

    @property
    def history(self) -> pd.DataFrame:
        """A row a step, a column a measure; NaN where a measure was not taken at that step."""
        self._history.flush(self.device)
        return self._history.frame()

    @property
    def images_per_second(self) -> float:
        """Images that passed through the networks in a second of training, at the last reading of the losses."""
        return self._history.rows[-1]["images_per_second"] if self._history.rows else math.nan

    # --- how far ---------------------------------------------------------------------------------------------

    @property
    def target_steps(self) -> int | None:
        """The step at which the recipe's target is reached; None if it is counted in minutes."""
        recipe = self.recipe
        if recipe.epochs is None:
            return recipe.steps
        batches = recipe.epochs * self.batches.steps_per_epoch
        first = min(batches, recipe.pretrain_steps)
        return first + math.ceil((batches - first) / self._rounds(recipe.pretrain_steps))

    def _rounds(self, step: int) -> int:
        """Updates of D, and batches, that a step takes."""
        return self.recipe.n_critic if self.networks.d_loss and step >= self.recipe.pretrain_steps else 1

    def _batches_before(self, step: int) -> int:
        """How many batches the steps before `step` have taken."""
        first = min(step, self.recipe.pretrain_steps)
        return first + (step - first) * self._rounds(self.recipe.pretrain_steps)

    @property
    def finished(self) -> bool:
        """Whether the recipe's stopping target is reached."""
        if self.target_steps is not None:
            return self.step >= self.target_steps
        assert self.recipe.minutes is not None, "a recipe has a stopping target"
        return self.seconds >= 60 * self.recipe.minutes

    @property
    def progress(self) -> float:
        """Share of the training that is done, 0..1: of its steps, or of its minutes.

        It decides the learning rates, and how long an encoder is frozen. So a run that is counted in minutes repeats
        exactly only with a constant rate and an encoder that is never frozen.
        """
        if self.target_steps is not None:
            return min(1.0, self.step / self.target_steps)
        assert self.recipe.minutes is not None, "a recipe has a stopping target"
        seconds = distributed.mean(torch.tensor(self.seconds, device=self.device))  # the same in every process
        return min(1.0, float(seconds) / (60 * self.recipe.minutes))

    # --- the loop --------------------------------------------------------------------------------------------

    def run(self, steps: int | None = None) -> Generator[Record, None, None]:
        """Train to the recipe's target, or for `steps` more steps, and yield a record a step. Saves at the end.

        Raises TrainingDiverged when a loss is NaN or infinite; RunError when saving fails or memory runs out.
        """
        if steps is not None and steps < 0:
            raise ValueError(f"expected a number of steps of at least 0, got {steps}")
        with self._writing(), keep_freed_memory(self.device):
            self._prepare_folder()
            self._name_folder()
            last = None if steps is None else self.step + steps
            loader = self.batches.prefetch(self._batches_before(self.step), pin=self.device.type == "cuda")
            try:
                while not self._reached(last):
                    yield self._timed_step(loader)
            finally:
                loader.close()
            self._history.flush(self.device)
            if self.out and self._saved_at != self.step:
                self.save()

    def _reached(self, last: int | None) -> bool:
        if last is not None:
            return self.step >= last
        if self.recipe.minutes is None or distributed.world_size() == 1:
            return self.finished
        return self.step % FLUSH_EVERY == 0 and distributed.agree(self.finished, self.device)

    def _timed_step(self, loader: Iterator[tuple[int, Tensor]]) -> Record:
        started, before = time.monotonic(), self.seconds
        batches = [next(loader)[1] for _ in range(self._rounds(self.step))]
        values: dict[str, Tensor | float] = {**self._seeded_step(batches)}
        self.step += 1
        if self.validation is not None and self._validation_due():
            values |= self._validate()
        if self._sample_due():
            self._write_samples()
        epoch = self._batches_before(self.step) / self.batches.steps_per_epoch
        self.seconds = before + time.monotonic() - started
        images = len(batches) * self.batches.batch_size
        record = Record(self.step, {"epoch": epoch, **values, "seconds": self.seconds}, images)
        self._history.append(record)
        if self.step % FLUSH_EVERY == 0:
            self._history.flush(self.device)
        if self.out and self._save_due():
            self.save()
        self.seconds = before + time.monotonic() - started
        return record

    def _seeded_step(self, batches: list[Tensor]) -> dict[str, Tensor]:
        """A step whose dropout depends on seed, step and process alone; the caller's random state is left as it was."""
        devices = [self.device] if self.device.type == "cuda" else []
        diagnose = (self.step + 1) % FLUSH_EVERY == 0
        try:
            with torch.random.fork_rng(devices):
                torch.manual_seed(derive_seed(self.seed, "dropout", self.step, distributed.rank()))
                return self.networks.train_step(batches, self.step, progress=self.progress, diagnose=diagnose)
        except (RuntimeError, MemoryError) as error:
            if type(error).__module__.startswith(COMPILER):
                why = str(error).strip().splitlines()[0]
                raise RunError(f"torch.compile fails here ({why}); train without it") from error
            if not is_out_of_memory(error):
                raise
        # Not in the except clause, where the error still holds what the failed step had made.
        raise RunError(memory.advice(self.recipe, self.device))

    def adjust(self, recipe: Recipe) -> None:
        """Go on with another recipe from the next step on: other loss weights, bound of the weights, learning rates.

        Raises ValueError, and changes nothing, where the new recipe needs a new run (other networks or batches, a
        penalty or a bound that this one lacks), or where the run has a folder, which holds the recipe of all its steps.
        """
        if self.out is not None:
            raise ValueError("expected a run without a folder, got one that is kept with its recipe; start a new run")
        if changed := needs_new_run(self.recipe, recipe):
            raise ValueError(
                f"expected a recipe with another {', '.join(ADJUSTABLE)} alone, got another {', '.join(changed)}; "
                "start a new run"
            )
        self.recipe = recipe
        self.networks.adjust(recipe)

    # --- validation ------------------------------------------------------------------------------------------

    def _validation_due(self) -> bool:
        return distributed.rank() == 0 and (self.step % self.validate_every == 0 or self.step == self.target_steps)

    def _validate(self) -> dict[str, float]:
        assert self.validation is not None, "checked by the caller"
        scores = quick_scores(self.averaged_generator, self.validation, device=self.device)
        if self.out:
            checkpoints.save_best(self.out, self.averaged_generator, self.recipe, self.step, scores["psnr"])
        return {f"val_{name}": value for name, value in scores.items()}

    def _sample_due(self) -> bool:
        if self.out is None or distributed.rank() or (self.validation is None and self.sample_every is None):
            return False
        if not self._sampled and self.seconds >= FIRST_SAMPLE_SECONDS:
            return True
        if self.sample_every is None:
            return self._validation_due()
        return self.step % self.sample_every == 0 or self.step == self.target_steps

    def _write_samples(self) -> None:
        from PIL import Image

        assert self.out is not None, "checked by the caller"
        path = self.out / "samples" / f"{self.step:08d}.png"
        source = self.source if self.validation is None else self.validation
        rows = quick_look(self.averaged_generator, source, device=self.device)
        picture = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
        try:
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
            self._sampled = True
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}; free some space") from error

    # --- the run's folder ------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other trainers out of the run's folder meanwhile. Raises RunError where one is writing into it."""
        if self._lock is None:
            yield
            return
        if self._folder_ready and not self._lock.run.is_dir():
            raise RunError(f"expected the run's folder {self.out}, which is gone; start the run again")
        with self._lock:
            yield

    def _prepare_folder(self) -> None:
        """Make the run's folder, in place of the one that may be there."""
        if self.out is None or self._folder_ready or distributed.rank():
            return
        validation = None if self.validation is None else _describe(self.validation)
        settings = {"seed": self.seed, "save_every": self.save_every, "validate_every": self.validate_every}
        settings |= {"keep_every": self.keep_every, "sample_every": self.sample_every}
        described = {"train": _describe(self.source), "validation": validation, **settings}
        try:
            checkpoints.remove_run(self.out)  # last: what can fail has been done, and the old run is still there
            self._history.write()
        except OSError as error:
            raise RunError(f"cannot make the run's folder {self.out}: {error.strerror or error}") from error
        write_atomic(self.out / "source.json", json.dumps(described, indent=2).encode())

    def _name_folder(self) -> None:
        """With its recipe the folder is a run: before step 0, so that one that is killed at once can be resumed."""
        if self.out is None or self._folder_ready or distributed.rank():
            return
        write_atomic(self.out / "recipe.json", self.recipe.to_json().encode())
        self._folder_ready = True

    def _keep_due(self) -> bool:
        return self.keep_every is not None and self.step % self.keep_every == 0

    def _save_due(self) -> bool:
        if self._keep_due():
            return True
        if self.save_every is not None:
            return self.step % self.save_every == 0
        due = time.monotonic() - self._last_save > SAVE_SECONDS
        if distributed.world_size() == 1:
            return due
        return self.step % FLUSH_EVERY == 0 and distributed.agree(due, self.device)

    def save(self) -> None:
        """Write a checkpoint and RUN/generator.safetensors. Raises RunError; what was saved before is then intact."""
        if self.out is None:
            raise ValueError("expected a trainer with a folder to save in, got out=None")
        with self._writing():
            self._prepare_folder()
            self._history.flush(self.device)
            if distributed.rank() == 0:
                generator = self.averaged_generator  # calibrated before it is packed
                tensors, state = self.networks.pack()
                weights = self._pack(generator)
                checkpoints.save_checkpoint(
                    self.out, self.step, tensors, {"seconds": self.seconds, **state},
                    weights=weights if self._keep_due() else None, keep_every=self.keep_every,
                )  # fmt: skip
                write_atomic(self.out / "generator.safetensors", weights)
            self._name_folder()  # after the weights: a run that began with given ones must not be resumed without
            distributed.wait()
        self._last_save, self._saved_at = time.monotonic(), self.step

    def _pack(self, generator: nn.Module) -> bytes:
        return checkpoints.pack_generator(generator, self.recipe, extra={"step": str(self.step)})

    @classmethod
    def resume(
        cls,
        out: str | Path,
        source: Source | None = None,
        *,
        validation: Source | None = None,
        device: str | torch.device = "auto",
        compile: bool = False,
        **target: Any,
    ) -> Trainer:
        """A trainer that goes on where a run's latest checkpoint stands, at step 0 if it has none.

        `target` (steps=, epochs= or minutes=) replaces the target that the run was started with. Raises
        FileNotFoundError if `out` is no run, CheckpointError if it is damaged, RunError if the data are others.
        """
        out = Path(out)
        recipe = checkpoints.read_recipe(out)
        described = _read_source(out)
        source = _same_data(out, described["train"], source)
        if described["validation"] is not None:
            validation = _same_data(out, described["validation"], validation)
        settings = {name: described[name] for name in ("seed", "save_every", "validate_every", *SETTINGS_ADDED)}
        if target:
            recipe = recipe.replace(**target)
        trainer = cls(
            recipe, source, validation=validation, out=out, device=device, overwrite=True, compile=compile, **settings
        )
        with trainer._writing():
            trainer._restore()
        return trainer

    def _restore(self) -> None:
        assert self.out is not None, "resume gives a folder"
        loaded = checkpoints.load_checkpoint(self.out, mend=distributed.rank() == 0)
        if loaded is None:
            return
        groups, state = loaded
        try:
            self.networks.unpack(groups, state)
        except CheckpointError as error:
            raise CheckpointError(f"{self.out}: {error}") from error
        self.step, self.seconds, self._folder_ready = state["step"], float(state.get("seconds", 0)), True
        self._saved_at = self.step
        self._history.read(self.step)
        if distributed.rank() == 0:
            write_atomic(self.out / "recipe.json", self.recipe.to_json().encode())
            self._history.write()
            write_atomic(self.out / "generator.safetensors", self._pack(self.averaged_generator))
            self._sampled = any((self.out / "samples").glob("*.png"))


def needs_new_run(recipe: Recipe, other: Recipe) -> list[str]:
    """The hyperparameters in which `other` differs and that cannot change while a run of `recipe` goes on."""
    # A history's columns are those of the run's beginning.
    switched = [name for name in ("clip", "lambda_gp") if bool(getattr(recipe, name)) != bool(getattr(other, name))]
    return [
        name for name in recipe.differences(other) if name in switched or name not in {*ADJUSTABLE, *TARGETS, "name"}
    ]


def _read_source(out: Path) -> dict[str, Any]:
    path = out / "source.json"
    described = checkpoints.read_json(path)
    if isinstance(described, dict):
        described = dict.fromkeys(SETTINGS_ADDED) | described
    if not _fits(described, SETTINGS | SETTINGS_ADDED) or not _fits(described["train"], SOURCE):
        raise CheckpointError(f"expected {path} to name {', '.join(SETTINGS)}, and of its data {', '.join(SOURCE)}")
    if described["validation"] is not None and not _fits(described["validation"], SOURCE):
        raise CheckpointError(f"expected {path} to name of its validation {', '.join(SOURCE)}")
    return described


def _fits(values: Any, kinds: dict[str, Any]) -> bool:
    return isinstance(values, dict) and all(isinstance(values.get(name, ...), kinds[name]) for name in kinds)


def _describe(source: Source) -> dict[str, Any]:
    """What source.json says of a source: its own description, and the absolute path of data that have a path."""
    described = source.describe()
    if described["spec"] != (place := _place(described["spec"])):
        described.setdefault("path", str(Path(place).expanduser().resolve()))
    return described


def _place(spec: str) -> str:
    """`photos` for `folder:photos`; the spec itself if it has no path."""
    return spec.partition(":")[2] or spec


def _same_data(out: Path, described: dict[str, Any], source: Source | None) -> Source:
    """The source that a run was trained on, opened again if none is given. Raises RunError for another one."""
    if source is None:
        source = _open_again(out, described)
    now = source.describe()
    if now["fingerprint"] != described["fingerprint"]:
        before = f"{described['spec']} {described['split']} ({described['n']} images at {described['size']} px)"
        got = f"{now['spec']} {now['split']} ({now['n']} images at {now['size']} px)"
        raise RunError(
            f"{out} was trained on {before}, got {got}, which differs; resume with the same data, or start a new run"
        )
    return source


def _open_again(out: Path, described: dict[str, Any]) -> Source:
    """Open a run's data at their absolute path or, if they are not there, as the run's command named them.

    A relative path leads elsewhere when the run is resumed in another working folder. Raises FileNotFoundError.
    """
    spec, path = described["spec"], described.get("path")
    specs = [spec]
    if isinstance(path, str) and Path(_place(spec)).expanduser().resolve() != Path(path):
        specs.insert(0, f"{spec.partition(':')[0]}:{path}")
    found = None
    for each in specs:
        try:
            source = open_source(each, described["size"], described["split"])
        except (FileNotFoundError, DataError) as error:
            missing = error
            continue
        if source.describe()["fingerprint"] == described["fingerprint"]:
            return source
        found = found or source
    if found is not None:
        return found  # other data than before, which the caller refuses
    if len(specs) == 1:
        raise missing
    raise FileNotFoundError(
        f"cannot find the data of {out}, neither at {path} nor at {_place(spec)} from here; "
        f"say where they are with --data {spec.partition(':')[0]}:PATH"
    )
