"""What each command does with its flags: the library's parts put together, and said in a few lines.

A command returns its exit status and raises what the parts raise; `cli` makes one line of that.
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
from colorlib.files import count_not_read, printable, write_atomic
from colorlib.history import compare_with_grey
from colorlib.inference import Colorizer, Result
from colorlib.memory import LARGEST, automatic_batch
from colorlib.recipes import Recipe
from colorlib.training import FLUSH_EVERY, Trainer

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")

# Steps that are timed, after a first one that is slower, before the time for all is estimated.
TIMED_STEPS = 4
STOPPED = 130
# Of many failures, how many are named in the one line that says that nothing could be done.
NAMED_FAILURES = 5


# --- train and resume ----------------------------------------------------------------------------------------


def train(flags: TrainFlags) -> int:
    """Train to the stopping target. Raises RunError, before any data are read, if OUT holds a run."""
    recipe = flags.settings()
    out = flags.out or Path("runs") / recipe.name
    # All of this is checked before the data are read, which may take minutes.
    checkpoints.refuse_file(out)
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
    """The generator of the weights to start from. Raises CheckpointError, with the flags that fit, if it is another."""
    given = Colorizer.load(weights, "cpu")
    theirs, ours = _architecture(given.recipe), _architecture(recipe)
    if theirs != ours:
        different = ", ".join(f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name])
        fitting = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in theirs.items())
        raise CheckpointError(f"{weights} holds another architecture ({different}); it fits {fitting}")
    return given.generator


def _architecture(recipe: Recipe) -> dict[str, Any]:
    """What decides which tensors a generator has."""
    names = ("generator", "depth", "width", "g_norm", "backbone")
    values = {name: getattr(recipe, name) for name in names if hasattr(recipe, name)}
    if recipe.generator != "backbone":
        values.pop("backbone", None)
    return values | {"depth": recipe.resolved_depth}


def resume(flags: ResumeFlags) -> int:
    """Go on to the old target or a new one. A run that has reached it says so."""
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
            say(f"{flags.run} is finished at step {trainer.step}; a new --steps, --epochs or --minutes goes further")
            return 0
        say(_introduction(trainer))
        say(f"going on at step {trainer.step}")
        return _follow(trainer, flags.log)


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


def _open_data(spec: str, recipe: Recipe) -> tuple[Source, Source | None]:
    """Training images, of photographs with room for random crops, and validation images where there are any."""
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
    return 1.0 if spec == "scenes" else max(CROP_MARGIN, recipe.zoom)


def _amount(source: Source) -> str:
    return "fresh images without end" if source.endless else f"{len(source):,} images"


def _say_count(source: Source) -> None:
    """How many pictures a split has and, for a folder, which they are."""
    described = source.describe()
    made_from = f" ({described['made_from']})" if "made_from" in described else ""
    say(f"{source.split}: {_amount(source)}{made_from}")


def _with_largest_batch(recipe: Recipe, source: Source, device: torch.device) -> Recipe:
    """The recipe with a number where the user said auto: the run's folder keeps it, and a resumed run has it too."""
    batch = automatic_batch(recipe, device, most=LARGEST if source.endless else len(source))
    say(f"--batch-size auto is {batch}: what fits each process, a power of two, and no more than there are images")
    return recipe.replace(batch_size=batch)


def _introduction(trainer: Trainer) -> str:
    """One line: recipe, data, device, precision, parameters."""
    recipe, source, validation = trainer.recipe, trainer.source, trainer.validation
    held_out = "" if validation is None else f", {len(validation):,} to validate"
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
    """Train to the end, or to a signal: then save, and say how to go on."""
    assert trainer.out is not None, "the command line always gives a folder"
    stopped, first, started = False, trainer.step + 1, 0.0
    with stop_signals() as came, Progress(trainer) as progress, open_log(log, trainer) as note:
        for record in trainer.run():
            progress.update(record)
            note(record)
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
    say(f"finished at step {trainer.step} after {duration(trainer.seconds)}: {trainer.out} holds {contents}")
    for line in _on_validation(trainer):
        say(line)
    say(f"colour photographs with: colorlib colorize PHOTO... --weights {out} --out coloured")
    return 0


def _on_validation(trainer: Trainer) -> list[str]:
    """How good the last weights are on validation pictures, against leaving these grey, and where the best ones are."""
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
    assert steps is not None, "the presets count in epochs"
    return (
        f"the recipe's own target, {trainer.recipe.epochs} epochs or {steps:,} steps, will take about "
        f"{duration(seconds_a_step * (steps - trainer.step))}; --steps, --epochs or --minutes set another one"
    )


def _agree_to_stop(came: list[int], trainer: Trainer) -> bool:
    """Whether to stop after this step. Several processes ask the main one now and then, to stop at the same step."""
    if distributed.world_size() == 1:
        return bool(came)
    return trainer.step % FLUSH_EVERY == 0 and distributed.agree(bool(came), trainer.device)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


# --- colorize ------------------------------------------------------------------------------------------------


def colorize(flags: ColorizeFlags) -> int:
    """Colour each photograph. Each failure is named; raises ColorlibError if there is nothing else."""
    if not flags.photos:
        raise ValueError("expected at least one photograph or folder, got none")
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
    """Whose colours the pictures have: those of the weights, unless files were kept."""
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
    """One line about a file, which names it."""
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
    """Measure, print the table a metric a line, and write it a model a line; draw a few of the images."""
    from colorlib.evaluation import contact_sheet
    from colorlib.evaluation import evaluate as measure

    if not flags.weights:
        raise ValueError("expected weights to evaluate, got none; try --weights default")
    if flags.sheet is not None and flags.sheet.suffix.lower() != ".png":
        raise ValueError(f"expected --sheet to be the name of a .png file, got {flags.sheet}")
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
        say(f"in full precision: {flags.csv}")
    if flags.sheet is not None:
        _write(flags.sheet, contact_sheet(models, source, device=flags.device))
        say(f"a few of the images: {flags.sheet}")
    return 0


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)


def _as_text(table: DataFrame) -> str:
    """A line a metric, a column a model; below, why a metric is missing."""
    from colorlib.evaluation import HEADINGS

    shown = [name for name in HEADINGS if name in table and not table[name].isna().all()]
    rows = [["", *map(str, table.index)]]
    rows += [[str(HEADINGS[name]), *(f"{value:{HEADINGS[name].form}}" for value in table[name])] for name in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([*lines, *(f"no {name}: {why}" for name, why in table.attrs["notes"].items())])


# --- the others ----------------------------------------------------------------------------------------------


def demo(flags: DemoFlags) -> int:
    """Both worlds, a report, and where to look."""
    from colorlib.cli.demo import run_demo

    done = run_demo(flags.out, seed=flags.seed, device=flags.device, steps=flags.steps, overwrite=flags.overwrite)
    say(done.summary())
    say(f"look at {done.report}; the numbers are in {done.out / 'metrics.json'}, the runs and pictures beside it")
    say("colour photographs of your own with: colorlib colorize PHOTO... --out coloured; `make lab` opens the course")
    return 0


def data(flags: DataFlags) -> int:
    """List, download, or decode into the cache."""
    if flags.action == "list":
        say("\n".join(map(_source_line, list_sources())))
        return 0
    if not flags.name:
        raise ValueError(f"expected a data set, as in: colorlib data {flags.action} NAME; see: colorlib data list")
    if flags.action == "get":
        say(f"{flags.name} is in {download(flags.name)}")
        return 0
    margin = _margin(flags.name, Recipe(size=flags.size, steps=1))
    for split in SPLITS:
        try:
            source = open_source(flags.name, flags.size, split, margin=margin if split == "train" else 1.0)
        except DataError as error:
            if split == "train":
                raise
            say(f"{split}: none ({error})")
        else:
            _say_count(source)
    return 0


def _source_line(row: dict[str, str]) -> str:
    return f"{row['name']:<12} on disk: {row['on_disk']:<6} {row['what']}; download: {row['size']}; {row['licence']}"


def doctor(flags: DoctorFlags) -> int:
    """Say what works here; 1 if something does not."""
    from colorlib.cli.doctor import doctor as examine
    from colorlib.cli.doctor import format_checks

    checks = examine()
    say(format_checks(checks))
    return 1 if any(check.ok is False for check in checks) else 0


def export(flags: ExportFlags) -> int:
    """Write ONNX and say how far it is from torch."""
    from colorlib.cli.export import export_onnx

    done = export_onnx(Colorizer.load(flags.weights, "cpu"), flags.out)
    say(f"{flags.out}: {done['bytes'] / 1e6:.1f} MB, at most {done['max_difference']:.1e} from torch in network units")
    return 0


class Command(NamedTuple):
    """The dataclass of a command's flags, and what to do with them."""

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
