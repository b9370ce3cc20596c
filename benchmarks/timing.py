"""Fair timing: contestants take turns, and what counts is the median of their ratios, with its spread.

A machine that is busy with something else for a while slows both down; ratios of neighbours in time forgive that.
"""

from __future__ import annotations

import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from colorlib.images import one_line

Row = dict[str, Any]
Maker = Callable[[], Callable[[], object]]
"""Makes something to be timed."""
# On a GPU a call takes microseconds to start: as many calls are timed at a time as fill this many seconds.
AT_LEAST = 0.2
NO_MEMORY = "out of memory"


@dataclass
class Turns:
    """Seconds a call of each contestant, one number a round; and why those that are missing failed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name]) if self.seconds.get(name) else math.nan

    def ratios(self, name: str, to: str) -> list[float]:
        """How many times faster `name` was than `to`, round by round."""
        both = zip(self.seconds.get(to, []), self.seconds.get(name, []), strict=False)
        return [theirs / ours for theirs, ours in both]


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    *,
    budget: float,
    rounds: int = 20,
    device: torch.device | None = None,
) -> Turns:
    """Call each contestant once a round, in turn, till `budget` seconds are over: once at least, `rounds` at most.

    The first call of each is not counted; every other round goes backwards, so that nobody always runs first.
    """
    end, turns = time.perf_counter() + budget, Turns()
    calls: dict[str, int] = {}
    for name, contestant in contestants.items():
        try:
            contestant()
            calls[name] = max(1, math.ceil(AT_LEAST / timed(contestant, 1, device))) if on_gpu(device) else 1
        except RuntimeError as error:  # memory, or what torch.compile says
            reason = NO_MEMORY if isinstance(error, torch.OutOfMemoryError) else one_line(error)[:100]
            turns.failed[name] = reason
            gc.collect()
    for turn in range(rounds):
        started = time.perf_counter()
        for name in list(calls) if turn % 2 == 0 else reversed(calls):
            turns.seconds.setdefault(name, []).append(timed(contestants[name], calls[name], device))
        if 2 * time.perf_counter() - started > end:  # another round would end too late
            break
    return turns


def timed(call: Callable[[], object], calls: int, device: torch.device | None) -> float:
    """Seconds a call; on a GPU the device has finished its work before the clock is read."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    synchronise(device)
    return (time.perf_counter() - started) / calls


def on_gpu(device: torch.device | None) -> bool:
    return device is not None and device.type == "cuda"


def synchronise(device: torch.device | None) -> None:
    if on_gpu(device):
        torch.cuda.synchronize(device)


def compared(what: str, turns: Turns, ours: str, theirs: str, per_call: float, *, aim: float | None = None) -> Row:
    """A row of a table: how much a second of ours and of the baseline, the ratio, and its spread."""
    ratios = turns.ratios(ours, theirs)
    return {
        "what": what,
        "baseline": rate(turns, theirs, per_call),
        "ours": rate(turns, ours, per_call),
        "ratio": statistics.median(ratios) if ratios else None,
        "lowest and highest": f"{min(ratios):.3g} to {max(ratios):.3g}" if ratios else None,
        "rounds": len(ratios),
        "aim": "" if aim is None else f"at least {aim:g}",
    }


def rate(turns: Turns, name: str, per_call: float) -> float | str:
    """How much a second, of what one call does `per_call` of."""
    return per_call / turns.median(name) if turns.seconds.get(name) else turns.failed[name]


class Apart:
    """A contestant in a process of its own, where `maker()` makes it: its heap is nobody else's.

    Of two in one process, the second finds memory that the first has taken, or asks for what the first gave back.
    """

    def __init__(self, maker: Maker) -> None:
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_make, initargs=(maker,))

    def __enter__(self) -> Apart:
        return self

    def __call__(self) -> None:
        self.pool.submit(_call).result()

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()


def _make(maker: Maker) -> None:
    global _contestant
    _contestant = maker()


def _call() -> None:
    _contestant()  # not its answer, which may not be fit for travelling


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's answer out of a process of its own, in which memory has not been used before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory() -> float:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # not getrusage: that counts from the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
