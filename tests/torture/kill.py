"""Runs that are killed: at random moments, and at each system call of a save. They resume, and nothing is lost.

    python tests/torture/kill.py [--kills 100] [--seed 0]

torch is imported once; every trial is a process that is forked from this one, in which nothing is ever computed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from faults import Killer
from PIL import Image
from table import Row, minutes, write_rows

from colorlib import checkpoints
from colorlib.cli import main as colorlib
from colorlib.history import TIMING_COLUMNS
from colorlib.recipes import RECIPES
from colorlib.training import Trainer

SMALL = ["--size", "32", "--batch-size", "4", "--d-width", "4", "--device", "cpu", "--precision", "fp32", "--seed", "3"]
# An encoder cannot be made small, and its checkpoints have some 3 million parameters: only a few steps of it.
BACKBONES = {name for name, recipe in RECIPES.items() if recipe.generator == "backbone"}
WIDTH = dict.fromkeys(BACKBONES, 8)
STEPS = dict.fromkeys(BACKBONES, 8) | {"wgan": 16, "wgan-gp": 12, "resunet-wgan-gp": 12}
SAVED = 130  # the exit status of a run that was stopped by a signal, after it has saved
PATIENCE = 120.0


@dataclass
class Run:
    """One recipe in one folder, trained by one process or by two."""

    recipe: str
    processes: int
    out: Path

    def command(self) -> list[str]:
        if checkpoints.is_run(self.out):
            return ["resume", str(self.out), "--device", "cpu"]
        size = ["--width", str(WIDTH.get(self.recipe, 4)), "--steps", str(STEPS.get(self.recipe, 24))]
        data = ["--data", f"folder:{self.out.parent / 'photographs'}"]
        return ["train", "--recipe", self.recipe, *data, *SMALL, *size, "--save-every", "1", "--out", str(self.out)]

    def start(self) -> list[int]:
        """Start, or go on; the process numbers."""
        command, port = self.command(), _free_port()
        return [fork(lambda rank=rank: self._work(rank, port, command)) for rank in range(self.processes)]

    def _work(self, rank: int, port: int, command: list[str]) -> int:
        if self.processes > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self.processes)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        said = os.open(f"{self.out}.{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1), os.dup2(said, 2)
        return colorlib(command)

    def said(self) -> str:
        return Path(f"{self.out}.0.log").read_text(errors="replace")


def prepare(folder: Path) -> None:
    """A few photographs; and what the forked processes would otherwise import, each anew."""
    import torch._dynamo  # noqa: F401  by the first optimizer
    import tyro  # noqa: F401  by the command line

    from colorlib.cli import commands  # noqa: F401

    os.environ |= {"COLORLIB_CACHE": str(folder / "cache"), "TQDM_DISABLE": "1"}
    rng = np.random.default_rng(0)
    for split, n in (("train", 8), ("val", 2), ("test", 1)):
        (folder / "photographs" / split).mkdir(parents=True)
        for i in range(n):
            colours = np.repeat(np.repeat(rng.integers(0, 256, (4, 4, 3), np.uint8), 10, 0), 10, 1)
            Image.fromarray(colours).save(folder / "photographs" / split / f"{i}.png")


def fork(work: Callable[[], int]) -> int:
    """A process that does some work and ends with its status; its number."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        torch.set_num_threads(1)
        status = work()
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def wait(processes: list[int], patience: float = PATIENCE) -> list[int]:
    """Their exit statuses, a signal's number below zero; who does not end in time is killed and gets -99."""
    ends, until = [], time.monotonic() + patience
    for process in processes:
        while not (ended := os.waitpid(process, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                ended = (process, None)
                break
            time.sleep(0.002)
        ends.append(-99 if ended[1] is None else os.waitstatus_to_exitcode(ended[1]))
    return ends


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


# --- what must hold ----------------------------------------------------------------------------------------------


def latest_step(out: Path) -> int:
    """The step of the latest checkpoint, which must be whole; -1 where there is none."""
    loaded = checkpoints.load_checkpoint(out)
    return -1 if loaded is None else loaded[1]["step"]


def differences(out: Path, whole: Path) -> list[str]:
    """What two finished runs do not have in common, bit for bit; timing aside."""
    wrong = []
    files = [checkpoints.load_checkpoint(run) for run in (out, whole)]
    groups = [{} if file is None else file[0] for file in files]
    for group, run in zip(groups, (out, whole), strict=True):
        group["saved"] = checkpoints.read_tensors(run / "generator.safetensors")
        group["best"] = checkpoints.read_tensors(run / "best" / "generator.safetensors")
    for name in groups[1]:
        mine, true = (group.get(name, {}) for group in groups)
        wrong += [f"{name}.{key}" for key in true if key not in mine or not torch.equal(mine[key], true[key])]
    histories = [pd.read_csv(run / "history.csv").drop(columns=list(TIMING_COLUMNS)) for run in (out, whole)]
    return wrong + ["history.csv"] * (not histories[0].equals(histories[1]))


def resumes(out: Path) -> bool:
    """Whether a trainer can be made of the run, by another process, which ends without going on."""
    return wait([fork(lambda: int(Trainer.resume(out, device="cpu") is None))]) == [0]


# --- at random moments -------------------------------------------------------------------------------------------


@dataclass
class Killed:
    """What happened in a campaign."""

    kills: int = 0
    terms: int = 0
    stopped: int = 0  # SIGTERMs that were answered by saving
    in_save: int = 0
    finished: int = 0
    wrong: tuple[str, ...] = ()


def campaign(recipe: str, processes: int, kills: int, folder: Path, rng: random.Random) -> Killed:
    """Kill runs of a recipe so many times; whenever one finishes all the same, compare it and begin another."""
    whole = Run(recipe, processes, folder / f"{recipe}-{processes}-whole")
    started = time.monotonic()
    ends = wait(whole.start())
    took = time.monotonic() - started
    done = Killed()
    if any(ends):
        done.wrong += (f"the undisturbed run ended with {ends}: {whole.said()[-300:]}",)
        return done
    run = Run(recipe, processes, folder / f"{recipe}-{processes}-0")
    while done.kills + done.terms < kills:
        run = _one_kill(run, whole, took, rng, done)
    if wait(run.start()) != [0] * processes:
        done.wrong += (f"{run.out} does not end: {run.said()[-300:]}",)
    _compare(run, whole, done)
    return done


def _one_kill(run: Run, whole: Run, took: float, rng: random.Random, done: Killed) -> Run:
    """Start or resume, kill after a random time, look at what is left; the run to go on with."""
    before = latest_step(run.out)
    number = signal.SIGTERM if rng.random() < 0.3 else signal.SIGKILL
    processes = run.start()
    time.sleep(rng.uniform(0, took / 2))
    for process in processes:
        os.kill(process, number)
    ends = wait(processes)
    if set(ends) == {0}:
        _compare(run, whole, done)
        shutil.rmtree(run.out)
        return Run(run.recipe, run.processes, run.out.with_name(f"{run.out.name}x"))
    done.kills += number == signal.SIGKILL
    done.terms += number == signal.SIGTERM
    done.stopped += ends[0] == SAVED
    done.in_save += any(run.out.rglob("*.tmp"))
    if number == signal.SIGTERM and not set(ends) <= {SAVED, 0, -number}:
        done.wrong += (f"{run.out} ended with {ends} after SIGTERM: {run.said()[-300:]}",)
    after = latest_step(run.out)
    if after < before or (ends[0] == SAVED and f"stopped at step {after} and saved" not in run.said()):
        done.wrong += (f"{run.out}: step {before} before, {after} after, and it said {run.said()[-200:]}",)
    if checkpoints.is_run(run.out) and not resumes(run.out):
        done.wrong += (f"{run.out} cannot be resumed",)
    return run


def _compare(run: Run, whole: Run, done: Killed) -> None:
    done.finished += 1
    if wrong := differences(run.out, whole.out):
        done.wrong += (f"{run.out} differs from an undisturbed run in {wrong[:3]}",)


def random_kills(kills: int, seed: int, folder: Path) -> list[Row]:
    """The kills shared out over all recipes; a quarter of them hits runs of two processes."""
    rows = []
    for processes, total in ((1, kills - kills // 4), (2, kills // 4)):
        for i, recipe in enumerate(RECIPES):
            share = total // len(RECIPES) + (i < total % len(RECIPES))
            started = time.monotonic()
            done = campaign(recipe, processes, share, folder, random.Random(f"{seed} {recipe} {processes}"))
            note = (
                f"{done.kills} SIGKILL, {done.in_save} of them inside a save; {done.terms} SIGTERM, {done.stopped} "
                f"saved before they stopped; {done.finished} finished runs held against an undisturbed one, bit for bit"
            )
            what = f"{recipe}, {processes} process{'es' * (processes > 1)}"
            rows.append(Row("killed at random moments", what, share, done.wrong, note, minutes(started)))
    return rows


# --- at each system call -----------------------------------------------------------------------------------------


def each_call(recipe: str, folder: Path, every: int = 1) -> Row:
    """Kill at moment 0, 1, 2 ... around the calls that write, in a run that resumes and saves twice, till one lives."""
    started, wrong = time.monotonic(), []
    whole = Run(recipe, 1, folder / f"{recipe}-calls-whole")
    if wait(whole.start()) != [0]:
        return Row("killed at each system call", recipe, 0, (whole.said()[-300:],))
    begun = folder / f"{recipe}-calls-begun"
    wait([fork(lambda: _train_to(whole, begun, 2))])
    n = tried = 0
    while True:
        out = folder / f"{recipe}-calls"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(begun, out)
        ends = wait([fork(lambda out=out, n=n: Killer(n).run(lambda: _go_on(out, 2)))])
        if ends == [0]:
            break
        n, tried = n + every, tried + 1
        step = latest_step(out)
        if ends != [-signal.SIGKILL] or step < 2:
            wrong.append(f"call {n}: ended with {ends}, at step {step}")
        if wait([fork(lambda out=out: _go_on(out))]) != [0]:
            wrong.append(f"call {n}: cannot be resumed")
        elif different := differences(out, whole.out):
            wrong.append(f"call {n}: differs in {different[:3]}")
        elif left := [path.name for path in out.rglob("*.tmp")]:
            wrong.append(f"call {n}: {left} are left")
    note = "before and after each open, write (half of it, too), fsync, rename, mkdir, remove; then resumed to the end"
    return Row("killed at each system call", recipe, tried, tuple(wrong), note, minutes(started))


def _train_to(run: Run, out: Path, steps: int) -> int:
    recipe, described = checkpoints.read_recipe(run.out), Trainer.resume(run.out, device="cpu")
    trainer = Trainer(recipe, described.source, validation=described.validation, out=out, seed=3, device="cpu",
                      save_every=1)  # fmt: skip
    return sum(1 for _ in trainer.run(steps)) - steps


def _go_on(out: Path, steps: int | None = None) -> int:
    for _ in Trainer.resume(out, device="cpu").run(steps):
        pass
    return 0


# --- under torchrun ----------------------------------------------------------------------------------------------


def torchrun(folder: Path) -> Row:
    """Two processes as a user starts them: all killed, one worker killed, stopped by SIGTERM, then to the end."""
    started, wrong, out = time.monotonic(), [], folder / "torchrun"
    whole = Run("pix2pix", 2, folder / "torchrun-whole")
    wait(whole.start())
    for how in ("all killed", "one worker killed", "stopped", "left alone"):
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            "-m",
            "colorlib",
        ]
        command += Run("pix2pix", 2, out).command()
        before = latest_step(out)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        _interrupt(process, how, out, before)
        said = process.communicate(timeout=PATIENCE)[1].decode(errors="replace")
        if latest_step(out) < before or (how == "left alone" and process.returncode):
            wrong.append(f"{how}: ended with {process.returncode} at step {latest_step(out)}: {said[-300:]}")
    if not wrong:
        wrong += [f"differs in {name}" for name in differences(out, whole.out)[:3]]
    note = "all killed, one worker killed, SIGTERM, then to the end: bit for bit as a run of two that nobody disturbed"
    return Row(
        "killed at random moments", "pix2pix under torchrun, 2 processes", 3, tuple(wrong), note, minutes(started)
    )


def _interrupt(process: subprocess.Popen[bytes], how: str, out: Path, before: int) -> None:
    until = time.monotonic() + PATIENCE
    while how != "left alone" and process.poll() is None and time.monotonic() < until:
        if latest_step(out) > before + 2:
            if how == "all killed":
                os.killpg(process.pid, signal.SIGKILL)
            elif how == "stopped":
                process.terminate()
            else:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                os.kill(int(children[-1]), signal.SIGKILL)
            return
        time.sleep(0.01)


# --- places ------------------------------------------------------------------------------------------------------


def places(folder: Path) -> Row:
    """A disk that is full, one that is read-only, a folder that is deleted, and two runs in one: one line, status 2."""
    started, wrong, tried = time.monotonic(), [], 0
    for trouble in (full_disk, read_only, deleted, two_at_once):
        place = folder / trouble.__name__
        place.mkdir()
        try:
            said = trouble(Run("pix2pix", 1, place / "run"), folder / "photographs")
        except PermissionError as error:  # only root may mount
            wrong.append(f"{trouble.__name__} was not tried: {error}")
            continue
        tried += 1
        wrong += [f"{trouble.__name__}: {said}"] if said else []
    note = "a full disk, a read-only one, a folder deleted under the run, two runs in one folder: one line, status 2"
    return Row("places that refuse", "pix2pix, 1 process", tried, tuple(wrong), note, minutes(started))


def _refused(run: Run, end: int, words: str) -> str | None:
    """None where a run ended with status 2 and one line with these words; else what it said."""
    lines = [line for line in run.said().splitlines() if line.startswith("colorlib: ")]
    fine = end == 2 and len(lines) == 1 and words in lines[0] and "Traceback" not in run.said()
    return None if fine else f"ended with {end}: {run.said()[-300:]}"


@contextmanager
def _small_disk(place: Path, photographs: Path, size: str) -> Iterator[None]:
    """A disk of its own, with the photographs beside it as a run expects them."""
    (place / "disk").mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place / "disk")])
    if mount.returncode:
        raise PermissionError("mount was refused")
    (place / "disk" / "photographs").symlink_to(photographs)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place / "disk")], check=True)


def full_disk(run: Run, photographs: Path) -> str | None:
    place = run.out.parent
    with _small_disk(place, photographs, "2m"):
        run = Run(run.recipe, 1, place / "disk" / "run")
        filler = place / "disk" / "filler"
        filler.write_bytes(bytes(900_000))
        (end,) = wait(run.start())
        if said := _refused(run, end, "No space left on device"):
            return said
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=40m", str(place / "disk")], check=True)
        (end,) = wait(run.start())
        return None if end == 0 else f"with room again: ended with {end}: {run.said()[-300:]}"


def read_only(run: Run, photographs: Path) -> str | None:
    place = run.out.parent
    with _small_disk(place, photographs, "40m"):
        run = Run(run.recipe, 1, place / "disk" / "run")
        Path(f"{run.out}.0.log").symlink_to(place / "said.log")
        subprocess.run(["mount", "-o", "remount,ro", str(place / "disk")], check=True)
        (end,) = wait(run.start())
        return _refused(run, end, "Read-only file system")


def deleted(run: Run, photographs: Path) -> str | None:
    (run.out.parent / "photographs").symlink_to(photographs)
    processes = run.start()
    while latest_step(run.out) < 2:
        time.sleep(0.01)
    os.rename(run.out, run.out.with_name("elsewhere"))
    (end,) = wait(processes)
    return _refused(run, end, "") or ("it was made again" if run.out.exists() else None)


def two_at_once(run: Run, photographs: Path) -> str | None:
    (run.out.parent / "photographs").symlink_to(photographs)
    processes = run.start()
    while latest_step(run.out) < 2:
        time.sleep(0.01)
    os.kill(processes[0], signal.SIGSTOP)  # it holds the run as long as the other one needs to be refused
    (end,) = wait(run.start())
    said = _refused(run, end, "another training writes into")
    os.kill(processes[0], signal.SIGCONT)
    (end,) = wait(processes)
    return said or (None if end == 0 else f"the first one ended with {end}")


def run(kills: int, seed: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="colorlib-kill-") as name:
        prepare(Path(name))
        rows = random_kills(kills, seed, Path(name))
        rows += [each_call("pix2pix", Path(name))]
        return [*rows, places(Path(name)), torchrun(Path(name))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    sys.exit(write_rows(run(flags.kills, flags.seed)))
