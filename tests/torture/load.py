"""Many at once and many times: processes that colour one folder together, and a panel that is started and paused.

    python tests/torture/load.py [--files 10000] [--times 200]

As in `kill`, what is tried is a process that is forked from this one, in which nothing is ever computed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from kill import fork, wait
from PIL import Image
from table import Row, minutes, write_rows

from colorlib.cli import commands  # noqa: F401  what the forked processes would otherwise import, each anew
from colorlib.cli import main as colorlib
from colorlib.course.laboratory import Laboratory
from colorlib.inference import KEPT, is_marked

PROCESSES, SIDE = 4, 16
PATIENCE = 900.0  # seconds
WARM_UP = 20  # times that a panel is started and paused before its memory is looked at
M_ARENA_MAX = -8  # of malloc.h
MOST = 20 * 2**20  # bytes that it may grow by


# --- one output folder -------------------------------------------------------------------------------------------


def race(files: int, folder: Path) -> Row:
    """Processes that are given the same photographs and the same output folder, all at the same time."""
    started, photos, out = time.monotonic(), folder / "photos", folder / "coloured"
    photos.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{i:05d}.png" for i in range(files)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(photos / name)
    logs = [folder / f"{rank}.log" for rank in range(PROCESSES)]
    ends = wait([fork(lambda log=log: _colorize(photos, out, log)) for log in logs], PATIENCE)
    said = [log.read_text(errors="replace") for log in logs]
    written = [json.loads(log.with_suffix(".json").read_text()) for log in logs]
    wrong = [f"a process ended with {end}: {text[-300:]}" for end, text in zip(ends, said, strict=True) if end]
    wrong += [f"a process said {text[-300:]}" for text in said if "Traceback" in text or "colorlib: " in text]
    wrong += _not_once(Counter(name for names in written for name in names), names)
    wrong += _not_whole(out, names)
    shares = [f"{len(names):,} and {text.count(KEPT):,}" for names, text in zip(written, said, strict=True)]
    note = f"coloured, and found there already, by each process: {'; '.join(shares)}"
    return Row(
        "load", f"colorize, {PROCESSES} processes, one output folder", files, tuple(wrong), note, minutes(started)
    )


def _colorize(photos: Path, out: Path, log: Path) -> int:
    """The command as a user gives it; beside its log, the names that the process has put into the output folder."""
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1), os.dup2(said, 2)
    written = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.link") and Path(os.fsdecode(args[1])).parent == out:
            written.append(Path(os.fsdecode(args[1])).name)

    sys.addaudithook(hook)
    end = colorlib(["colorize", str(photos), "--out", str(out), "--device", "cpu"])
    log.with_suffix(".json").write_text(json.dumps(written))
    return end


def _not_once(written: Counter[str], names: list[str]) -> list[str]:
    often = sum(written.values()) - len(written)
    missing = len(set(names) - set(written))
    wrong = [f"{often} outputs were written again by a process that had not seen them"] if often else []
    return wrong + ([f"{missing} outputs were written by nobody"] if missing else [])


def _not_whole(out: Path, names: list[str]) -> list[str]:
    """What is not as it should be in the output folder, hidden files included."""
    wrong, there = [], {path.name for path in out.iterdir()}
    for name in names:
        try:
            with Image.open(out / name) as image:
                image.load()
            if image.size != (SIDE, SIDE) or not is_marked(out / name):
                wrong.append(f"{name} is another picture")
        except OSError as error:
            wrong.append(f"{name}: {error}")
    return wrong + [f"{name} is left" for name in sorted(there - set(names))]


# --- one panel ---------------------------------------------------------------------------------------------------


def panel(times: int, folder: Path) -> Row:
    """The laboratory, started and paused so many times: no thread more than before, and hardly more memory."""
    started, said = time.monotonic(), folder / "panel.json"
    ends = wait([fork(lambda: _press(times, said))], PATIENCE)
    if ends != [0]:
        return Row("load", "the laboratory's panel, started and paused", times, (f"it ended with {ends}",))
    found = json.loads(said.read_text())
    wrong = [f"it has {found['threads']} threads more"] if found["threads"] else []
    wrong += [f"it has grown by {found['bytes'] / 2**20:.1f} MiB"] if found["bytes"] > MOST else []
    note = (
        f"after {WARM_UP} times more to warm up: {found['threads']} threads and {found['bytes'] / 2**20:.1f} MiB more "
        f"(at most {MOST // 2**20}), {found['steps']:,} steps trained"
    )
    return Row("load", "the laboratory's panel, started and paused", times, tuple(wrong), note, minutes(started))


def _press(times: int, said: Path) -> int:
    # Else glibc gives each new thread a store of its own, and keeps it: the memory then goes up and down by 15 MiB.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    lab = Laboratory(size=SIDE, device="cpu", width=4, depth=2, batch=2, patch=1)
    for _ in range(WARM_UP):
        _start_and_pause(lab)
    threads, size, step = _threads(), _resident(), lab.session.trainer.step
    for _ in range(times):
        _start_and_pause(lab)
    steps = lab.session.trainer.step - step
    said.write_text(json.dumps({"threads": _threads() - threads, "bytes": _resident() - size, "steps": steps}))
    return 0


def _start_and_pause(lab: Laboratory) -> None:
    before = lab.session.trainer.step
    lab.buttons["Start"].click()
    while lab.session.trainer.step == before:
        time.sleep(0.001)
    lab.buttons["Pause"].click()
    while lab.session.state != "paused" or threading.active_count() > 1:  # the last look is drawn by the thread
        time.sleep(0.001)


def _threads() -> int:
    """All of the process, those included that Python does not know."""
    time.sleep(0.5)  # the last one has said that it ends, which takes the system a moment
    return len(os.listdir("/proc/self/task"))


def _resident() -> int:
    """Bytes of memory of its own: not the libraries' pages, nor what was freed and is kept for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon:")))


# --- both --------------------------------------------------------------------------------------------------------


def run(files: int, times: int) -> list[Row]:
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory(prefix="colorlib-load-") as name:
        return [race(files, Path(name)), panel(times, Path(name))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=200)
    flags = parser.parse_args()
    sys.exit(write_rows(run(flags.files, flags.times)))
