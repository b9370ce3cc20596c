"""The training step: ours beside the textbook's, over batch sizes and precisions, and its share of the peak."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import machine
from benchmarks.baseline import TextbookPix2Pix, TextbookWGANGP
from benchmarks.part import Job, Result
from benchmarks.timing import Apart, Maker, Row, Turns, compared, synchronise, take_turns, timed
from colorlib.color import split_lab, to_float
from colorlib.devices import keep_freed_memory, make_rng
from colorlib.recipes import RECIPES, Recipe
from colorlib.steps import Networks

BATCHES = {"cpu": (1, 4, 16), "cuda": (1, 4, 16, 32, 64, 128)}
COMPILED = (64,)  # batches at which torch.compile is tried, on a GPU: it takes a minute to begin
# What the project aims at, as a ratio to the baseline, by precision and batch.
AIMS = {("fp32", 4): 1.1, ("bf16", 1): 1.7, ("bf16", 16): 3.3}
WGAN_GP_AIM = 1.8
QUICK = {"size": 32, "width": 4, "d_width": 4}


def pix2pix(job: Job, budget: float) -> Result:
    """The pix2pix step at 256 px."""
    recipe = RECIPES["pix2pix"].replace(**(QUICK if job.quick else {}))
    found = _peaks(job)
    work = flops_an_image(recipe, job.device)
    batches = (1, 2) if job.quick else BATCHES[job.device.type]
    share = budget / sum(b + 4 for b in batches)
    rows: list[Row] = []
    for batch in batches:
        turns = race(recipe.replace(batch_size=batch), job, share * (batch + 4))
        names = [name for name in (*turns.seconds, *turns.failed) if name != "baseline"]
        rows += [_row(turns, name, batch, job, work, found) for name in names]
    if job.gpu:
        rows.append(_best(rows))
    return Result(rows, _about(recipe, work), "images/s")


def _about(recipe: Recipe, work: float) -> str:
    return (
        f"Images a second of one update of D and one of G, {recipe.size} px, U-Net and PatchGAN "
        f"{recipe.resolved_receptive_field} of the recipe pix2pix: {work / 1e9:.0f} GFLOP an image. The baseline "
        "(`benchmarks/baseline.py`) is fp32 throughout and gets its L and ab ready-made; ours converts uint8 images "
        "within the step. On a CPU each takes its turns in a process of its own. On Linux our `Trainer` has the C "
        "library keep what a step frees for the next one; the row of the baseline with memory kept says how much of "
        "the gain is that alone. The share of the peak is that of the fastest convolution or matrix product in the "
        "same run, in the same precision."
    )


def race(recipe: Recipe, job: Job, budget: float) -> Turns:
    """The textbook's step and ours in every precision, by turns, on the same images."""
    makers: dict[str, Maker] = {"baseline": functools.partial(textbook_step, recipe, "fp32", job.device)}
    if "tf32" in job.precisions:  # what PyTorch does if nobody tells it otherwise
        makers["tf32, the baseline"] = functools.partial(textbook_step, recipe, "tf32", job.device)
    if not job.gpu:  # what of the gain is memory alone
        makers["fp32, the baseline with memory kept"] = functools.partial(
            textbook_step, recipe, "fp32", job.device, kept=True
        )
    for precision in job.precisions:
        makers[precision] = functools.partial(our_step, recipe, precision, job.device)
    if job.gpu and recipe.batch_size in COMPILED:
        makers["bf16, compiled"] = functools.partial(our_step, recipe, "bf16", job.device, compiled=True)
    return run_race(makers, job, budget)


def run_race(makers: Mapping[str, Maker], job: Job, budget: float, *, rounds: int = 20) -> Turns:
    """What each makes is called by turns: on a CPU each in a process of its own."""
    contestants: dict[str, Callable[[], object]] = {}
    try:
        with contextlib.ExitStack() as processes:
            for name, maker in makers.items():
                here = job.gpu or job.quick
                contestants[name] = maker() if here else processes.enter_context(Apart(maker))
            return take_turns(contestants, budget=budget, rounds=rounds, device=job.device)
    finally:
        contestants.clear()
        gc.collect()
        if job.gpu:
            torch.cuda.empty_cache()


def images(recipe: Recipe) -> Tensor:
    """A batch of uint8 noise: how long a step takes does not depend on what is in the pictures."""
    shape = (recipe.batch_size, 3, recipe.size, recipe.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=make_rng("benchmark"))


def textbook_step(recipe: Recipe, precision: str, device: torch.device, *, kept: bool = False) -> Callable[[], object]:
    """A call is one step of the baseline, with Lab computed before; `kept`: what it frees is kept for the next."""
    L, ab = split_lab(to_float(images(recipe)))
    textbook = TextbookPix2Pix(recipe, 0, device)

    def step() -> None:
        with tf32(precision == "tf32"):
            textbook.step(L, ab)

    return with_memory_kept(step, device) if kept else step


def our_step(recipe: Recipe, precision: str, device: torch.device, *, compiled: bool = False) -> Callable[[], object]:
    """A call is one step of the library, from uint8 images; memory is kept from step to step as `Trainer` does."""
    recipe = recipe.replace(precision="fp32" if precision == "tf32" else precision)
    networks = Networks(recipe, 0, device, compile=compiled)
    batches = [images(recipe)] * recipe.n_critic

    def step() -> None:
        with tf32(precision == "tf32"):
            networks.train_step(batches, 0)

    return with_memory_kept(step, device)


def with_memory_kept(step: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The step; as long as it is there, freed memory is kept in its process."""
    keeping = contextlib.ExitStack()
    keeping.enter_context(keep_freed_memory(device))
    return lambda keeping=keeping: step()


@contextlib.contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Whether products of fp32 may be rounded on a GPU; without this, PyTorch rounds those of convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def flops_an_image(recipe: Recipe, device: torch.device) -> float:
    """Floating point operations of the convolutions and products in our step, counted by PyTorch."""
    step = our_step(recipe.replace(batch_size=1), "fp32", device)
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def _peaks(job: Job) -> dict[str, dict[str, float]]:
    found = {}
    for precision in job.precisions:
        with tf32(precision == "tf32"):
            found[precision] = machine.peaks(job.device, precision, quick=job.quick)
    return found


def peak(job: Job, budget: float) -> Result:
    """The most that the machine computes."""
    about = "Billions of floating point operations a second, the best of a few shapes: what the shares below are of."
    return Result(machine.peak_rows(_peaks(job)), about)


def _row(turns: Turns, name: str, batch: int, job: Job, work: float, found: dict[str, dict[str, float]]) -> Row:
    precision = name.partition(",")[0]
    aim = None if job.gpu or name != precision else AIMS.get((precision, batch))
    row = compared(f"batch {batch}, {name}", turns, name, "baseline", batch, aim=aim)
    if name in turns.failed:
        return row
    done = work * batch / turns.median(name) / 1e9
    return row | {"share of peak": done / max(found[precision].values())}


def _best(rows: list[Row]) -> Row:
    """The best batch of each, on a GPU."""
    theirs = max((row for row in rows if isinstance(row["baseline"], float)), key=lambda row: row["baseline"])
    ours = max((row for row in rows if isinstance(row.get("ours"), float)), key=lambda row: row["ours"])
    return {
        "what": f"best of each: {ours['what']}",
        "baseline": theirs["baseline"],
        "ours": ours["ours"],
        "ratio": ours["ours"] / theirs["baseline"],
        "aim": "at least 5",
    }


# --- WGAN-GP -------------------------------------------------------------------------------------------------


def wgan_gp(job: Job, budget: float) -> Result:
    """The WGAN-GP step: five updates of the critic with their penalties, then one of G."""
    recipe = RECIPES["wgan-gp"].replace(batch_size=16 if job.gpu else 1, **(QUICK if job.quick else {}))
    makers: dict[str, Maker] = {
        name: functools.partial(textbook_wgan_gp, recipe, job.device, detach=detach)
        for name, detach in {"textbook": False, "textbook, fake detached": True}.items()
    }
    for precision in job.precisions:
        makers[precision] = functools.partial(our_step, recipe, precision, job.device)
    turns = run_race(makers, job, budget)
    per_call = recipe.batch_size * recipe.n_critic
    rows = []
    for precision in job.precisions:
        for name, aim in {"textbook": WGAN_GP_AIM, "textbook, fake detached": None}.items():
            rows.append(compared(f"{precision}, against the {name}", turns, precision, name, per_call, aim=aim))
    about = (
        f"Images a second that the critic sees, {recipe.size} px, batch {recipe.batch_size}, n_critic "
        f"{recipe.n_critic}. Many published loops take the critic's loss back through the generator, for gradients "
        "that are then thrown away; the second baseline detaches the fake, as careful ones do. Processes and memory as "
        "in the pix2pix step: part of the gain is memory that is kept."
    )
    return Result(rows, about, "images/s")


def textbook_wgan_gp(recipe: Recipe, device: torch.device, *, detach: bool) -> Callable[[], object]:
    """A call is one step of the baseline, with Lab computed before."""
    lab = [split_lab(to_float(images(recipe)))] * recipe.n_critic
    return functools.partial(TextbookWGANGP(recipe, 0, device, detach=detach).step, lab)


# --- Lab -----------------------------------------------------------------------------------------------------


def lab_share(job: Job, budget: float) -> Result:
    """What part of a step the conversion to Lab takes."""
    recipe = RECIPES["pix2pix"].replace(batch_size=64 if job.gpu else 4, **(QUICK if job.quick else {}))
    rows, batch = [], images(recipe).to(job.device)
    for precision in job.precisions:
        step, seconds = our_step(recipe, precision, job.device), {}
        for name, call in {"step": step, "Lab": lambda: split_lab(to_float(batch))}.items():
            call()
            synchronise(job.device)
            seconds[name] = min(timed(call, 3, job.device) for _ in range(2))
        row = {"precision": precision, "batch": recipe.batch_size, "step, ms": 1e3 * seconds["step"]}
        row |= {"Lab, ms": 1e3 * seconds["Lab"], "share": seconds["Lab"] / seconds["step"]}
        rows.append(row | ({"aim": "under 1 %"} if job.gpu else {}))
    return Result(rows, "The conversion of uint8 images to L and ab, on the device, within the pix2pix step.")
