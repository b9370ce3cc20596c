"""The training loop. It yields a record after each step, so that it can be stopped anywhere, and saves checkpoints.

All random numbers of a step (batch, crops, dropout, penalty) are functions of the seed and the number of the step.
Checkpoints therefore need no state of a random generator, and on one CPU a resumed run repeats the steps that were lost
bit for bit. The training step itself is in `steps`.
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

# The number of steps between two readings of the losses. Reading a loss waits for the GPU, so it is not done at each
# step. The measures that need an additional backward pass are computed at the same steps.
FLUSH_EVERY = 10
SAVE_SECONDS = 300.0
FIRST_SAMPLE_SECONDS = 50.0  # of training, so that the first sample is written within a minute
# Validations in a run whose number of steps is known. Runs that are counted in minutes validate every 100 steps.
VALIDATIONS = 20
CALIBRATION_BATCHES = 8  # for the batch norm statistics of the averaged weights
COMPILER = ("torch._dynamo", "torch._inductor")  # the modules that define the errors of torch.compile
# The keys and types in source.json, for the run and for its data.
SETTINGS = {"train": dict, "validation": dict | None, "seed": int, "save_every": int | None, "validate_every": int}
SETTINGS_ADDED = {"keep_every": int | None, "sample_every": int | None}  # runs of version 0.1.0 lack these keys
SOURCE = {"spec": str, "split": str, "size": int, "n": int, "fingerprint": str}
# The hyperparameters that may change during a run. All others determine the networks or the batches.
ADJUSTABLE = ("lambda_l1", "d_loss_weight", "clip", "lambda_gp", "lr_g", "lr_d")


class Trainer:
    """Train a recipe on a source, step by step.

    `for record in trainer.run(steps=500): ...` trains one step for each record that is read. The notebooks, the panels
    with sliders and the command line share this loop, and each of them can stop after any record.

    Args:
        recipe: all hyperparameters.
        source: the training images (`open_source`).
        validation: images for the `val_*` columns, for RUN/samples, and for choosing RUN/best by PSNR. None: no images.
        out: the run's folder, created when the training starts. None keeps everything in memory.
        save_every: steps between checkpoints. None: every five minutes.
        validate_every: steps between validations. None: twenty times in the run.
        keep_every: keep the checkpoints whose step is a multiple of this number. None: keep only the last two.
        sample_every: steps between samples in RUN/samples. None: at each validation, the first within a minute.
        overwrite: replace the run in `out`, if there is one.
        compile: run the networks through `torch.compile`, which takes minutes at the start and makes steps faster.

    Raises:
        ValueError: the recipe or a setting is invalid, in general or for this source or device.
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
        # `seconds` is the time spent in steps. Pauses between records, for example of a panel, do not count.
        self.step, self.seconds, self.save_every = 0, 0.0, save_every
        self.keep_every, self.sample_every, self._sampled = keep_every, sample_every, False
        self.validate_every = validate_every or max(1, (self.target_steps or 100 * VALIDATIONS) // VALIDATIONS)
        validated = ["val_ab_mae", "val_psnr", "val_chroma_ratio", "val_grey_psnr"] * (validation is not None)
        columns = ["step", "epoch", *self.networks.columns(), *validated, *TIMING_COLUMNS]
        path = None if self.out is None else self.out / "history.csv"
        self._history = History(columns, path)
        self._folder_ready, self._calibrated_at, self._saved_at = False, -1, -1
        # Only the main process writes into the folder, so only it holds the lock.
        self._lock = None if self.out is None or distributed.rank() else RunLock(self.out)
        self._last_save = time.monotonic()

    def _make_batches(self) -> Batches:
        recipe = self.recipe
        return Batches(
            self.source, recipe.batch_size, size=recipe.size, zoom=recipe.zoom, seed=self.seed,
            rank=distributed.rank(), world_size=distributed.world_size(),
        )  # fmt: skip

    def start_from(self, generator: nn.Module, origin: str = "the generator given") -> None:
        """Start from the weights of a generator, for fine-tuning or for the second of two stages.

        If the run has a folder, the weights are saved at once, so that a run that is killed resumes from them. Raises
        CheckpointError, which names `origin`, if the architecture differs, and RunError after the first step.
        """
        if self.step:
            raise RunError(f"expected a run before its first step, got one at step {self.step}; start a new run")
        checkpoints.load_weights(self.generator, generator.state_dict(), origin)
        # The running average must start from the same weights. Otherwise it would contain the random initial ones.
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
        """The generator to use: with the running average of its weights if the recipe keeps one.

        The batch norm statistics of the averaged weights are computed on a few training batches when this property is
        read, at most once in a step.
        """
        if self.networks.average is None:
            return self.generator
        if self._calibrated_at != self.step:
            self.networks.calibrate(self.batches.batch(k) for k in range(CALIBRATION_BATCHES))
            self._calibrated_at = self.step
        return self.networks.average.module

    @property
    def discriminator(self) -> nn.Module | None:
        """The discriminator in training, or None if the recipe has no discriminator."""
        return None if self.networks.d_loss is None else self.networks.d_loss.discriminator

    @property
    def history(self) -> pd.DataFrame:
        """A row for each step and a column for each measure; NaN where a measure was not computed at that step."""
        self._history.flush(self.device)
        return self._history.frame()

    @property
    def images_per_second(self) -> float:
        """The number of training images per second, at the last reading of the losses; NaN before the first one."""
        return self._history.rows[-1]["images_per_second"] if self._history.rows else math.nan

    # --- the target ---------------------------------------------------------------------------------------------

    @property
    def target_steps(self) -> int | None:
        """The number of steps in the recipe's target, or None if the target is in minutes."""
        # An epoch is one pass over the data. A step takes one batch while G is trained alone, later n_critic batches.
        recipe = self.recipe
        if recipe.epochs is None:
            return recipe.steps
        # G is trained alone in the first `pretrain_steps` steps, in each of which it takes one batch.
        batches = recipe.epochs * self.batches.steps_per_epoch
        first = min(batches, recipe.pretrain_steps)
        return first + math.ceil((batches - first) / self._rounds(recipe.pretrain_steps))

    def _rounds(self, step: int) -> int:
        """Return the number of batches, and of updates of D, in a step."""
        return self.recipe.n_critic if self.networks.d_loss and step >= self.recipe.pretrain_steps else 1

    def _batches_before(self, step: int) -> int:
        """Return the number of batches that were used in the steps before `step`."""
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
        """The share of the training that is done (0..1), measured in steps, or in minutes if the target is in minutes.

        It determines the learning rates and whether an encoder is frozen. A run with a target in minutes can therefore
        be repeated exactly only with constant learning rates and an encoder that is never frozen.
        """
        if self.target_steps is not None:
            return min(1.0, self.step / self.target_steps)
        assert self.recipe.minutes is not None, "a recipe has a stopping target"
        # Each process measures its own time. Different values would give different learning rates.
        seconds = distributed.mean(torch.tensor(self.seconds, device=self.device))  # the same in every process
        return min(1.0, float(seconds) / (60 * self.recipe.minutes))

    # --- the loop --------------------------------------------------------------------------------------------

    def run(self, steps: int | None = None) -> Generator[Record, None, None]:
        """Train to the recipe's target, or for `steps` more steps. Yields a record after each step; saves at the end.

        Raises TrainingDiverged if a loss is NaN or infinite, and RunError if saving fails or memory is full.
        """
        if steps is not None and steps < 0:
            raise ValueError(f"expected a number of steps of at least 0, got {steps}")
        with self._writing(), keep_freed_memory(self.device):
            # The folder is complete before the first step, so that a run that is killed at once can be resumed.
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
        # Several processes measure slightly different times, but must stop at the same step: a process that continued
        # alone would wait for the others forever.
        if self.recipe.minutes is None or distributed.world_size() == 1:
            return self.finished
        return self.step % FLUSH_EVERY == 0 and distributed.agree(self.finished, self.device)

    def _timed_step(self, loader: Iterator[tuple[int, Tensor]]) -> Record:
        # A step of a Wasserstein recipe takes n_critic batches, one for each update of the critic.
        started, before = time.monotonic(), self.seconds
        batches = [next(loader)[1] for _ in range(self._rounds(self.step))]
        values: dict[str, Tensor | float] = {**self._seeded_step(batches)}
        self.step += 1
        if self.validation is not None and self._validation_due():
            values |= self._validate()
        if self._sample_due():
            self._write_samples()
        # The time in the record includes validation and samples, but not the saving, which follows.
        epoch = self._batches_before(self.step) / self.batches.steps_per_epoch
        self.seconds = before + time.monotonic() - started
        images = len(batches) * self.batches.batch_size
        record = Record(self.step, {"epoch": epoch, **values, "seconds": self.seconds}, images)
        # The record still holds tensors on the device. Only `flush` reads them, and raises TrainingDiverged for a loss
        # that is not finite. So at most FLUSH_EVERY steps are done after such a loss.
        self._history.append(record)
        if self.step % FLUSH_EVERY == 0:
            self._history.flush(self.device)
        if self.out and self._save_due():
            self.save()
        self.seconds = before + time.monotonic() - started
        return record

    def _seeded_step(self, batches: list[Tensor]) -> dict[str, Tensor]:
        """Do one step. Its dropout depends only on the seed, the step and the process.

        The global random state of the caller is restored afterwards.
        """
        # Dropout layers draw from torch's global generator, so it is seeded for each step. Each process has another
        # seed, because otherwise all processes would drop the same units.
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
        # Raised outside the except clause. Inside, the caught error would still hold the tensors of the failed step.
        raise RunError(memory.advice(self.recipe, self.device))

    def adjust(self, recipe: Recipe) -> None:
        """Continue from the next step on with other loss weights, another bound of the weights or other learning rates.

        Raises ValueError, and changes nothing, if the new recipe needs a new run: because of other networks or batches,
        or because of a penalty or a bound that the old recipe does not have. Also raises it if the run has a folder,
        because the recipe in the folder must hold for all its steps.
        """
        if self.out is not None:
            raise ValueError("expected a run without a folder, got one that is kept with its recipe; start a new run")
        if changed := needs_new_run(self.recipe, recipe):
            raise ValueError(
                f"expected a recipe with another {', '.join(ADJUSTABLE)} alone, got another {', '.join(changed)}; "
                "start a new run"
            )
        # The batches are not made again: none of the adjustable hyperparameters concerns them.
        self.recipe = recipe
        self.networks.adjust(recipe)

    # --- validation ------------------------------------------------------------------------------------------

    def _validation_due(self) -> bool:
        return distributed.rank() == 0 and (self.step % self.validate_every == 0 or self.step == self.target_steps)

    def _validate(self) -> dict[str, float]:
        # The averaged generator is the one that will be used, so it is the one to validate.
        assert self.validation is not None, "checked by the caller"
        scores = quick_scores(self.averaged_generator, self.validation, device=self.device)
        if self.out:
            checkpoints.save_best(self.out, self.averaged_generator, self.recipe, self.step, scores["psnr"])
        return {f"val_{name}": value for name, value in scores.items()}

    def _sample_due(self) -> bool:
        # Samples of training images, if there are no validation images, are written only if the user asks for them.
        if self.out is None or distributed.rank() or (self.validation is None and self.sample_every is None):
            return False
        # The first sample does not wait for the first validation, which may be many minutes away.
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
        # Three rows of images: grey, predicted and true.
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
        """Lock the run's folder inside the `with` block. Raises RunError if another process is writing into it."""
        if self._lock is None:
            yield
            return
        # Taking the lock creates the folder. If it was deleted during the training, this must be an error, because the
        # new folder would lack everything that was written at the start.
        if self._folder_ready and not self._lock.run.is_dir():
            raise RunError(f"expected the run's folder {self.out}, which is gone; start the run again")
        with self._lock:
            yield

    def _prepare_folder(self) -> None:
        """Create the run's folder. A run that is in this folder already is removed."""
        if self.out is None or self._folder_ready or distributed.rank():
            return
        validation = None if self.validation is None else _describe(self.validation)
        settings = {"seed": self.seed, "save_every": self.save_every, "validate_every": self.validate_every}
        settings |= {"keep_every": self.keep_every, "sample_every": self.sample_every}
        described = {"train": _describe(self.source), "validation": validation, **settings}
        try:
            checkpoints.remove_run(self.out)  # only now, because everything that can fail is done
            self._history.write()
        except OSError as error:
            raise RunError(f"cannot make the run's folder {self.out}: {error.strerror or error}") from error
        write_atomic(self.out / "source.json", json.dumps(described, indent=2).encode())

    def _name_folder(self) -> None:
        """Write recipe.json, which makes the folder a run that can be resumed."""
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
        # Saving takes time, so it is done by the clock unless a number of steps is given. The moments of saving have no
        # influence on the training, so these runs can be repeated bit for bit, too.
        # The decision by time must be the same in all processes, as in `_reached`.
        due = time.monotonic() - self._last_save > SAVE_SECONDS
        if distributed.world_size() == 1:
            return due
        return self.step % FLUSH_EVERY == 0 and distributed.agree(due, self.device)

    def save(self) -> None:
        """Write a checkpoint and RUN/generator.safetensors. After a RunError, the earlier checkpoints are intact."""
        if self.out is None:
            raise ValueError("expected a trainer with a folder to save in, got out=None")
        with self._writing():
            self._prepare_folder()
            self._history.flush(self.device)
            if distributed.rank() == 0:
                # Reading the property also computes the batch norm statistics, which must be saved, too.
                generator = self.averaged_generator
                tensors, state = self.networks.pack()
                weights = self._pack(generator)
                checkpoints.save_checkpoint(
                    self.out, self.step, tensors, {"seconds": self.seconds, **state},
                    weights=weights if self._keep_due() else None, keep_every=self.keep_every,
                )  # fmt: skip
                write_atomic(self.out / "generator.safetensors", weights)
            # After the weights: a run that starts from given weights must never be resumed without them.
            self._name_folder()
            distributed.wait()  # until the main process has written the checkpoint
        # `run` saves at its end, unless this step has been saved already.
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
        """Return a trainer that continues from a run's latest checkpoint, or from step 0 if there is no checkpoint.

        `target` (steps=, epochs= or minutes=) replaces the target that the run was started with. Raises
        FileNotFoundError if `out` is not a run, CheckpointError if it is damaged, and RunError if the data differ.
        """
        out = Path(out)
        recipe = checkpoints.read_recipe(out)
        # The data are opened before the networks are built, so that missing data are reported at once.
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
        # The recipe may have changed since, for example its target, but its networks must be those of the checkpoint.
        groups, state = loaded
        try:
            self.networks.unpack(groups, state)
        except CheckpointError as error:
            raise CheckpointError(f"{self.out}: {error}") from error
        self.step, self.seconds, self._folder_ready = state["step"], float(state.get("seconds", 0)), True
        self._saved_at = self.step
        # The history may have rows of steps after the checkpoint. They are dropped, because these steps are repeated.
        self._history.read(self.step)
        if distributed.rank() == 0:
            write_atomic(self.out / "recipe.json", self.recipe.to_json().encode())
            self._history.write()
            write_atomic(self.out / "generator.safetensors", self._pack(self.averaged_generator))
            self._sampled = any((self.out / "samples").glob("*.png"))


def needs_new_run(recipe: Recipe, other: Recipe) -> list[str]:
    """Return the hyperparameters in which `other` differs from `recipe` and which cannot change during a run."""
    # A penalty or a bound cannot be switched on or off, because the columns of the history are fixed at the start.
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
    """Return the entry of a source in source.json: its description and, for data in files, their absolute path."""
    # The absolute path helps if the run is resumed from another working folder. Drawn scenes have no path.
    described = source.describe()
    if described["spec"] != (place := _place(described["spec"])):
        described.setdefault("path", str(Path(place).expanduser().resolve()))
    return described


def _place(spec: str) -> str:
    """Return the path in a spec, `photos` for `folder:photos`. A spec without a path is returned unchanged."""
    return spec.partition(":")[2] or spec


def _same_data(out: Path, described: dict[str, Any], source: Source | None) -> Source:
    """Return the source that a run was trained on; open it again if `source` is None. Raises RunError if it differs."""
    if source is None:
        source = _open_again(out, described)
    # The fingerprint depends on the content of the photographs, so it finds changed, added and removed files. With
    # other data the batches would differ, and the run would no longer equal a run without interruption.
    now = source.describe()
    if now["fingerprint"] != described["fingerprint"]:
        before = f"{described['spec']} {described['split']} ({described['n']} images at {described['size']} px)"
        got = f"{now['spec']} {now['split']} ({now['n']} images at {now['size']} px)"
        raise RunError(
            f"{out} was trained on {before}, got {got}, which differs; resume with the same data, or start a new run"
        )
    return source


def _open_again(out: Path, described: dict[str, Any]) -> Source:
    """Open a run's data at their absolute path or, if they are not there, with the spec that the run was started with.

    A relative path means another place if the run is resumed in another working folder. Raises FileNotFoundError.
    """
    spec, path = described["spec"], described.get("path")
    # The absolute path is tried first, because it is the place where the data were when the run was started.
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
        # Data at the right place with another content are remembered only for the error message.
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
