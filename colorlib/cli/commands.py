"""The function behind each command: it reads the command's flags, calls the library and prints a few lines.

A command returns its exit status. It does not catch the library's exceptions: `entry.main` prints them as one line.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from colorlib import checkpoints, distributed
from colorlib.cli.flags import (
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
from colorlib.cli.progress import Progress, check_log, duration, open_log, say, stop_signals
from colorlib.datasets import SPLITS, Source, download, list_sources, open_source
from colorlib.datasets.batches import CROP_MARGIN
from colorlib.devices import pick_device
from colorlib.errors import CheckpointError, ColorlibError, DataError
from colorlib.files import count_not_read, printable, refuse_file, write_atomic
from colorlib.history import compare_with_grey
from colorlib.inference import Colorizer, Result
from colorlib.memory import LARGEST, automatic_batch
from colorlib.recipes import Recipe
from colorlib.training import FLUSH_EVERY, Trainer

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")

# The time of a whole training is estimated from this many steps. The step before them is not timed, because the first
# step is slower than the others.
TIMED_STEPS = 4
# Exit status of a command that a signal stopped: 128 plus the number of SIGINT, as shells report it.
STOPPED = 130
# If no photograph could be coloured, the one line that says so names at most this many of the failures.
NAMED_FAILURES = 5


def _refuse_folder(file: Path, flag: str, example: str) -> None:
    """Raise ColorlibError if the file to write is a folder, or would be inside a file. An existing file is replaced."""
    if file.is_dir():
        raise ColorlibError(
            f"{printable(file)} is a folder, but {flag} is the file to write, for example {printable(file / example)}"
        )
    refuse_file(file.parent, f"as {flag}")


# --- train and resume ----------------------------------------------------------------------------------------


def train(flags: TrainFlags) -> int:
    """Train a generator until the stopping target is reached.

    Raises RunError, before any data are read, if OUT is a file, or if it holds a run and `--overwrite` is not given.
    """
    recipe = flags.settings()
    out = flags.out or Path("runs") / recipe.name
    # All flags are checked before the data are read, because reading the data may take minutes.
    refuse_file(out, "for the run")
    if not flags.overwrite:
        checkpoints.refuse_run(out)
    check_log(flags.log)
    given = None if flags.init is None else _initial(flags.init, recipe)
    with _joined(flags.device) as device:
        source, validation = _main_process_first(lambda: _open_data(flags.data, recipe))
        if flags.automatic_batch:
            recipe = _with_largest_batch(recipe, source, device)
        trainer = Trainer(
            recipe, source, validation=validation, out=out, seed=flags.seed, device=device,
            save_every=flags.save_every, keep_every=flags.keep_every, sample_every=flags.sample_every,
            overwrite=flags.overwrite, compile=flags.compile,
        )  # fmt: skip
        if given is not None:
            trainer.start_from(given, f"the weights {flags.init}")
        say(_introduction(trainer))
        return _follow(trainer, flags.log, estimate=not flags.changes().keys() & set(TARGETS))


def _initial(weights: str, recipe: Recipe) -> torch.nn.Module:
    """Load the generator to start from.

    Raises CheckpointError if its architecture is not the recipe's. The message names the flags that fit the weights.
    """
    given = Colorizer.load(weights, "cpu")
    theirs, ours = _architecture(given.recipe), _architecture(recipe)
    if theirs != ours:
        different = ", ".join(f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name])
        fitting = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in theirs.items())
        raise CheckpointError(
            f"{weights} holds another architecture than the one to train ({different}); the flags that fit: {fitting}"
        )
    return given.generator


def _architecture(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe that decide which tensors its generator has."""
    names = ("generator", "depth", "width", "g_norm", "backbone")
    values = {name: getattr(recipe, name) for name in names if hasattr(recipe, name)}
    if recipe.generator != "backbone":
        values.pop("backbone", None)
    return values | {"depth": recipe.resolved_depth}


def resume(flags: ResumeFlags) -> int:
    """Continue a run to its stopping target or to a new one. If the run has reached it already, only say so."""
    check_log(flags.log)
    with _joined(flags.device) as device:
        source, validation = None, None
        if flags.data is not None:
            spec, recipe = flags.data, checkpoints.read_recipe(flags.run)
            source, validation = _main_process_first(lambda: _open_data(spec, recipe))
        trainer = Trainer.resume(
            flags.run, source, validation=validation, device=device, compile=flags.compile, **flags.target()
        )
        if trainer.finished:
            say(
                f"{flags.run} is finished at step {trainer.step}; "
                "to train it further, give a larger target: --steps, --epochs or --minutes"
            )
            return 0
        say(_introduction(trainer))
        say(f"resuming at step {trainer.step}")
        return _follow(trainer, flags.log)


@contextmanager
def _joined(device: str) -> Iterator[torch.device]:
    """Yield the device of this process. If torchrun started several processes, join their group inside the block."""
    try:
        yield distributed.join(pick_device(device))
    finally:
        distributed.leave()


def _main_process_first(work: Callable[[], T]) -> T:
    """Call `work` in the main process first and then in the others.

    Opening a data set decodes it into the cache. So the main process does this once, and the others read its cache.
    """
    # `wait` returns when every process has called it. The others call it before their work, the main process after.
    if distributed.rank():
        distributed.wait()
    result = work()
    if not distributed.rank():
        distributed.wait()
    return result


def _open_data(spec: str, recipe: Recipe) -> tuple[Source, Source | None]:
    """Open the training images, and the validation images or None if the data have no usable validation split.

    Training photographs are stored larger than the training size, so that there is room for random crops.
    """
    source = open_source(spec, recipe.size, "train", margin=_margin(spec, recipe))
    _say_count(source)
    try:
        validation = open_source(spec, recipe.size, "val")
    except DataError as error:
        say(f"training without validation: {error}")
        return source, None
    _say_count(validation)
    return source, validation


def _margin(spec: str, recipe: Recipe) -> float:
    """The factor by which stored images are larger than crops. Scenes need no crops, because every scene is new."""
    return 1.0 if spec == "scenes" else max(CROP_MARGIN, recipe.zoom)


def _amount(source: Source) -> str:
    return "unlimited new images" if source.endless else f"{len(source):,} images"


def _say_count(source: Source) -> None:
    """Print how many images a split has and, for a folder, which of its files they are."""
    described = source.describe()
    made_from = f" ({described['made_from']})" if "made_from" in described else ""
    say(f"{source.split}: {_amount(source)}{made_from}")


def _with_largest_batch(recipe: Recipe, source: Source, device: torch.device) -> Recipe:
    """Replace the batch size `auto` by the largest that fits. The run saves this number, and a resumed run uses it."""
    batch = automatic_batch(recipe, device, most=LARGEST if source.endless else len(source))
    say(
        f"--batch-size auto chose {batch}: the largest power of two that fits the memory of each process "
        "and the size of the data set"
    )
    return recipe.replace(batch_size=batch)


def _introduction(trainer: Trainer) -> str:
    """Describe the training in one line: recipe, data, image size, batch size, device, precision and parameters."""
    recipe, source, validation = trainer.recipe, trainer.source, trainer.validation
    held_out = "" if validation is None else f", {len(validation):,} for validation"
    parts = f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
    millions = [f"G {_millions(trainer.generator)}"]
    millions += [f"D {_millions(trainer.discriminator)}"] if trainer.discriminator else []
    return (
        f"{recipe.name} on {source.name} ({_amount(source)}{held_out}) at {recipe.size} px, "
        f"batches of {trainer.batches.batch_size}{parts}; {trainer.device}, {trainer.networks.precision}; "
        f"parameters: {', '.join(millions)}"
    )


def _millions(module: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M"


def _follow(trainer: Trainer, log: str, *, estimate: bool = False) -> int:
    """Train until the stopping target or a signal. After a signal, save the run and say how to continue it.

    With `estimate`, time a few of the first steps and say how long the whole training will take.
    """
    assert trainer.out is not None, "the command line always gives a folder"
    stopped, first, started = False, trainer.step + 1, 0.0
    with stop_signals() as received, Progress(trainer) as progress, open_log(log, trainer) as note:
        for record in trainer.run():
            progress.update(record)
            note(record)
            if estimate and record.step in (first, first + TIMED_STEPS):
                # A GPU computes while the program continues. Reading a loss waits until the GPU has finished the step.
                record["l1"]
                if record.step > first:
                    say(_estimate(trainer, (trainer.seconds - started) / TIMED_STEPS))
                started = trainer.seconds
            if stopped := _agree_to_stop(received, trainer):
                trainer.save()
                break
    out = _quoted(trainer.out)
    if stopped and not trainer.finished:
        say(f"stopped at step {trainer.step} and saved; continue with: colorlib resume {out}")
        return STOPPED
    contents = "the weights (generator.safetensors), history.csv and samples/"
    say(f"finished at step {trainer.step} after {duration(trainer.seconds)}: {trainer.out} holds {contents}")
    for line in _on_validation(trainer):
        say(line)
    say(f"colour photographs with: colorlib colorize PHOTO... --weights {out} --out coloured")
    return 0


def _on_validation(trainer: Trainer) -> list[str]:
    """Compare the last weights with grey on the validation images. If earlier weights were better, say where they are.

    Without validation there are no lines.
    """
    assert trainer.out is not None, "the command line always gives a folder"
    if trainer.validation is None or (scores := trainer.history[["val_psnr", "val_grey_psnr"]].dropna()).empty:
        return []
    psnr, grey = map(float, scores.iloc[-1])
    lines = [f"on validation, {compare_with_grey(psnr, grey)}"]
    best = checkpoints.read_best(trainer.out)
    if best is not None and best[1] > psnr:
        where = _quoted(trainer.out / "best")
        lines.append(f"the weights of step {best[0]} have the best PSNR on validation, {best[1]:.1f} dB: {where}")
    return lines


def _estimate(trainer: Trainer, seconds_a_step: float) -> str:
    steps = trainer.target_steps
    assert steps is not None, "the stopping target of every preset is a number of epochs"
    return (
        f"the recipe's own target, {trainer.recipe.epochs} epochs ({steps:,} steps), will take about "
        f"{duration(seconds_a_step * (steps - trainer.step))}; --steps, --epochs or --minutes set another target"
    )


def _agree_to_stop(received: list[int], trainer: Trainer) -> bool:
    """Whether to stop after this step.

    Several processes must stop at the same step. Otherwise those that train on would wait for the others forever. So
    the main process decides for all of them. It does this only at every FLUSH_EVERYth step, because all processes wait
    for the decision.
    """
    if distributed.world_size() == 1:
        return bool(received)
    return trainer.step % FLUSH_EVERY == 0 and distributed.agree(bool(received), trainer.device)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


# --- colorize ------------------------------------------------------------------------------------------------


def colorize(flags: ColorizeFlags) -> int:
    """Colour each photograph and name each one that failed. Raises ColorlibError if no photograph could be coloured."""
    if not flags.photos:
        raise ValueError("there is nothing to colour: give at least one photograph or folder")
    refuse_file(flags.out, "as --out")
    colorizer = Colorizer.load(flags.weights, flags.device)
    results = colorizer.colorize_many(
        flags.photos, flags.out, strength=flags.strength, tta=flags.tta, max_pixels=flags.max_pixels,
        overwrite=flags.overwrite,
    )  # fmt: skip
    failed = [result for result in results if result.error]
    done = [result for result in results if result.output]
    if not done:
        raise ColorlibError(_all_failures(failed or results))
    for result in failed:
        print(f"colorlib: {_failure(result)}", file=sys.stderr)
    for result in results:
        for note in result.notes:
            say(_named(result.source, note))
    for line in count_not_read(result.source for result in failed):
        say(line)
    say(
        f"{len(done)} of {len(done) + len(failed)} photographs are in {printable(flags.out)}{_colours(done, colorizer)}"
    )
    return 1 if failed else 0


def _colours(done: list[Result], colorizer: Colorizer) -> str:
    """The end of the last line: which weights coloured the photographs, and how many files were kept.

    A file is kept if an earlier call has coloured it. That call may have used other weights or settings. This is said,
    because the colours would otherwise be taken for those of the weights of this call.
    """
    kept = [result for result in done if result.skipped]
    if not kept:
        return f", in colours of the weights {colorizer.name}"
    said = f": {len(done) - len(kept)} coloured now with the weights {colorizer.name}, {len(kept)} kept as they were"
    if others := [result for result in kept if result.coloured_otherwise]:
        was = others[0].coloured_otherwise
        said += (
            f"; {len(others)} of those kept are from other weights or settings ({was}): --overwrite colours them again"
        )
    return said


def _named(source: Path, text: str) -> str:
    """`text`, with the name of the file before it if the text does not contain the name."""
    name = printable(source)
    return text if name in text else f"{name}: {text}"


def _failure(result: Result) -> str:
    return _named(result.source, result.error or ", ".join(result.notes))


def _all_failures(failed: list[Result]) -> str:
    named = "; ".join(map(_failure, failed[:NAMED_FAILURES]))
    if len(failed) == 1:
        return named
    more = f"; and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
    return f"none of {len(failed)} photographs could be coloured: {named}{more}"


# --- evaluate ------------------------------------------------------------------------------------------------


def evaluate(flags: EvaluateFlags) -> int:
    """Measure the models and print a table with a line for each metric. Write the files that the flags ask for.

    `--csv` is the table with a line for each model, `--sheet` a picture of a few of the images.
    """
    from colorlib.evaluation import contact_sheet
    from colorlib.evaluation import evaluate as measure

    if not flags.weights:
        raise ValueError("--weights names no weights to evaluate; try --weights default")
    if flags.sheet is not None and flags.sheet.suffix.lower() != ".png":
        raise ValueError(f"--sheet must be the name of a .png file, got {flags.sheet}")
    if flags.sheet is not None:
        _refuse_folder(flags.sheet, "--sheet", "sheet.png")
    if flags.csv is not None:
        _refuse_folder(flags.csv, "--csv", "table.csv")
    models = {name: Colorizer.load(name, flags.device) for name in flags.weights}
    size = next(iter(models.values())).recipe.size if flags.size is None else flags.size
    source = open_source(flags.data, size, flags.split)
    table = measure(
        models, source, batch_size=flags.batch_size, n=flags.n, seed=flags.seed, device=flags.device,
        fid_weights=flags.fid_weights, lpips_weights=flags.lpips_weights,
    )  # fmt: skip
    _say_count(source)
    say(f"{source.name}, {source.split} split: {table['n'].iloc[0]} images at {size} px")
    say(_as_text(table))
    if flags.csv is not None:
        _write(flags.csv, table.to_csv().encode())
        say(f"the table in full precision is in {flags.csv}")
    if flags.sheet is not None:
        _write(flags.sheet, contact_sheet(models, source, device=flags.device))
        say(f"a few of the images are in {flags.sheet}")
    return 0


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)


def _as_text(table: DataFrame) -> str:
    """The table as text, with a line for each metric and a column for each model.

    Metrics that could not be computed for any model are left out. Lines below the table give the reasons.
    """
    from colorlib.evaluation import HEADINGS

    shown = [name for name in HEADINGS if name in table and not table[name].isna().all()]
    rows = [["", *map(str, table.index)]]
    rows += [[str(HEADINGS[name]), *(f"{value:{HEADINGS[name].form}}" for value in table[name])] for name in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([*lines, *(f"no {name}: {why}" for name, why in table.attrs["notes"].items())])


# --- the others ----------------------------------------------------------------------------------------------


def demo(flags: DemoFlags) -> int:
    """Train and measure the demo's models, write the report, and say where it is."""
    from colorlib.cli.demo import run_demo

    refuse_file(flags.out, "as --out")
    done = run_demo(flags.out, seed=flags.seed, device=flags.device, steps=flags.steps, overwrite=flags.overwrite)
    say(done.summary())
    say(
        f"the report is {done.report}; the numbers are in {done.out / 'metrics.json'}, "
        "the runs and the pictures in the same folder"
    )
    say("colour photographs of your own with: colorlib colorize PHOTO... --out coloured; `make lab` opens the course")
    return 0


def data(flags: DataFlags) -> int:
    """List the data sets, download one, or decode one into the cache."""
    if flags.action == "list":
        say("\n".join(map(_source_line, list_sources())))
        return 0
    if not flags.name:
        raise ValueError(
            f"no data set is named; use: colorlib data {flags.action} NAME, with a name from: colorlib data list"
        )
    if flags.action == "get":
        say(f"{flags.name} is in {download(flags.name)}")
        return 0
    margin = _margin(flags.name, Recipe(size=flags.size, steps=1))
    for split in SPLITS:
        try:
            source = open_source(flags.name, flags.size, split, margin=margin if split == "train" else 1.0)
        except DataError as error:
            # A set without a validation or test split can be trained on. One without training images is of no use.
            if split == "train":
                raise
            say(f"{split}: no images ({error})")
        else:
            _say_count(source)
    return 0


def _source_line(row: dict[str, str]) -> str:
    return f"{row['name']:<12} on disk: {row['on_disk']:<6} {row['what']}; download: {row['size']}; {row['licence']}"


def doctor(flags: DoctorFlags) -> int:
    """Print what works on this machine and what does not. Return 1 if something does not."""
    from colorlib.cli.doctor import doctor as examine
    from colorlib.cli.doctor import format_checks

    checks = examine()
    say(format_checks(checks))
    return 1 if any(check.ok is False for check in checks) else 0


def export(flags: ExportFlags) -> int:
    """Write a generator as an ONNX file, and say how much its results differ from torch's."""
    from colorlib.cli.export import export_onnx

    _refuse_folder(flags.out, "--out", "model.onnx")
    done = export_onnx(Colorizer.load(flags.weights, "cpu"), flags.out)
    say(
        f"{flags.out}: {done['bytes'] / 1e6:.1f} MB; its results differ from those of torch by at most "
        f"{done['max_difference']:.1e} in network units"
    )
    return 0


class Command(NamedTuple):
    """The dataclass of a command's flags, and the function that runs the command with them."""

    flags: type
    run: Callable[[Any], int]


COMMANDS = {
    "demo": Command(DemoFlags, demo),
    "train": Command(TrainFlags, train),
    "resume": Command(ResumeFlags, resume),
    "colorize": Command(ColorizeFlags, colorize),
    "evaluate": Command(EvaluateFlags, evaluate),
    "data": Command(DataFlags, data),
    "doctor": Command(DoctorFlags, doctor),
    "export": Command(ExportFlags, export),
}
