"""Readers of files that are given broken ones: what is documented is raised, quickly, in little memory, nothing else.

    python tests/torture/fuzz.py [--share 1.0] [--seed 0] [--only READER] [--at NUMBER]

Every execution is known by seed, reader and number: `--only "cache index" --at 4711` repeats one, with its traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from readers import READERS, Reader
from table import Row, write_rows

CHUNK = 1000  # executions a process
SECONDS, MEMORY = 10, 2 * 2**30
WORKERS = 2
KEPT = Path("runs") / "torture"  # inputs that something is wrong with
ODD_NUMBERS = [b"0", b"-1", b"1", b"255", b"65536", b"2147483648", b"10000000000", b"18446744073709551616", b"1e999"]
ODD_BYTES = [
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
    b"../",
    b"\n",
    b'"',
    b"{",
    b"[" * 3000,
    b"nan",
    b"\xed\xa0\x80",
]
ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    1e300,
    10**30,
    "",
    "x",
    "../..",
    "\ud800",
    [],
    {},
    [[]],
    {"a": 1},
    [None] * 9,
]


# --- mutation ----------------------------------------------------------------------------------------------------


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The content, changed in one place or in a few."""
    if rng.random() < 0.5 and (changed := _mutate_json(content, rng)) is not None:
        return changed
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(MUTATIONS)(content, rng)
    return content


def _mutate_json(content: bytes, rng: random.Random) -> bytes | None:
    """Another tree, where the content is one; safetensors and .npy begin with one too, behind a few bytes."""
    try:
        tree = json.loads(content)
    except ValueError:
        return None
    nodes = list(_nodes(tree))
    if not nodes:
        return None
    for _ in range(rng.choice((1, 1, 2))):
        parent, key = rng.choice(nodes)
        try:
            if rng.random() < 0.2:
                del parent[key]
            else:
                parent[key] = rng.choice((*ODD_VALUES, rng.choice(nodes)[0]))
        except (IndexError, KeyError):
            continue
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # a tree that holds itself
        return content[: len(content) // 2]


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _nodes(value)


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"x")
    for _ in range(rng.choice((1, 1, 3, 20))):
        # The beginning says what the rest is: it is hit more often.
        at = rng.randrange(len(changed)) if rng.random() < 0.5 else rng.randrange(min(64, len(changed)))
        changed[at] = rng.randrange(256) if rng.random() < 0.5 else changed[at] ^ 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:start] if rng.random() < 0.5 else content[:start] + content[end:]


def _double(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return (
        content[:end] + content[start:end] * rng.choice((1, 2, 50)) + content[end:] if end - start < 4096 else content
    )


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(ODD_BYTES) + content[at:]


def _number(content: bytes, rng: random.Random) -> bytes:
    """Another number where one is written in digits: sizes, offsets, shapes."""
    found = list(re.finditer(rb"\d+", content[:4096]))
    if not found:
        return _flip(content, rng)
    where = rng.choice(found)
    return content[: where.start()] + rng.choice(ODD_NUMBERS) + content[where.end() :]


def _length(content: bytes, rng: random.Random) -> bytes:
    """Another number in the first eight bytes, as safetensors has the length of its header there."""
    said = rng.choice((0, 1, len(content), 10 * 2**30, 2**63, 2**64 - 1, rng.randrange(2**32)))
    return said.to_bytes(8, "little") + content[8:]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [_flip, _flip, _cut, _double, _insert, _number, _length]


# --- one execution -----------------------------------------------------------------------------------------------


class Watch:
    """What Python is about to do outside of the folder where it may: write, remove, start, connect, unpickle."""

    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    PATHS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
    NEVER = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")

    def __init__(self, inside: Path) -> None:
        self.inside, self.active, self.seen = f"{inside}{os.sep}", False, []
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event in self.PATHS or (event == "open" and args[2] & self.WRITING):
            self._path(event, args[0])
        elif event in self.NEVER:
            self.seen.append(f"{event} {args[0]!s:.80}")

    def _path(self, event: str, path: Any) -> None:
        if not isinstance(path, int) and not os.path.realpath(os.fsdecode(path)).startswith(self.inside):
            self.seen.append(f"{event} {os.fsdecode(path):.80}")


def execute(name: str, reader: Reader, n: int, seed: int, place: Path, watch: Watch) -> str | None:
    """Execution number n; what went wrong, or None."""
    rng = random.Random(f"{seed} {name} {n}")
    changed = rng.choice(sorted(reader.files))
    for other, content in reader.files.items():
        path = place / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(content, rng) if other == changed else content)
    wrong, started = None, time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    watch.seen.clear()
    watch.active = True
    try:
        reader.read(place, changed, rng)
    except reader.allowed as error:
        text = str(error).strip()
        wrong = None if text and "\n" not in text else f"not one line: {text!r:.200}"
    except TimeoutError:
        wrong = f"longer than {SECONDS} s"
    except Exception as error:
        wrong = f"{type(error).__name__}: {error!s:.200}"
    finally:
        watch.active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    if time.monotonic() - started > SECONDS:  # where the alarm was swallowed
        wrong = f"longer than {SECONDS} s"
    return wrong or (f"touched {watch.seen[0]}" if watch.seen else None)


def _too_long(*_: object) -> None:
    raise TimeoutError


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))


def work(name: str, numbers: range, seed: int, folder: Path, position: mmap.mmap, output: Path) -> None:
    """A chunk of executions, in a process of its own: what went wrong, as JSON in a file."""
    faulthandler.enable()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    place = folder / f"{os.getpid()}"
    place.mkdir()
    reader, watch, wrong = READERS[name](), Watch(place), {}
    signal.signal(signal.SIGALRM, _too_long)
    for warm in range(3):  # what is imported at the first use
        execute(name, reader, -1 - warm, seed, place, watch)
    _limit_memory()
    for n in numbers:
        position[:8] = n.to_bytes(8, "little")
        if said := execute(name, reader, n, seed, place, watch):
            wrong[n] = said
            _keep(name, n, place, reader)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    output.write_text(json.dumps({"wrong": wrong, "peak": peak}))


def _keep(name: str, n: int, place: Path, reader: Reader) -> None:
    for file, content in reader.files.items():
        if (got := (place / file).read_bytes()) != content:
            kept = KEPT / f"{name.replace(' ', '-')}-{n}-{Path(file).name}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(got)


# --- all of them -------------------------------------------------------------------------------------------------


class Campaign:
    """All executions of a reader, in chunks, each of them in a process that may die without harm to the others."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.wrong: dict[str, dict[int, str]] = {name: {} for name in READERS}
        self.spent, self.peak = dict.fromkeys(READERS, 0.0), dict.fromkeys(READERS, 0)
        self.running: dict[int, tuple[str, range, mmap.mmap, Path, float]] = {}

    def run(self, jobs: list[tuple[str, range]]) -> None:
        while jobs or self.running:
            while jobs and len(self.running) < WORKERS:
                self._start(*jobs.pop())
            jobs += self._ended()

    def _start(self, name: str, numbers: range) -> None:
        position = mmap.mmap(-1, 8)
        position[:8] = numbers.start.to_bytes(8, "little")
        output = self.folder / f"{name}-{numbers.start}.json"
        child = os.fork()
        if not child:
            try:
                work(name, numbers, self.seed, self.folder, position, output)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        self.running[child] = (name, numbers, position, output, time.monotonic())

    def _ended(self) -> list[tuple[str, range]]:
        """Wait for a chunk to end; where its process died of an execution, the rest is left to do."""
        child, status = os.wait()
        name, numbers, position, output, started = self.running.pop(child)
        self.spent[name] += (time.monotonic() - started) / 60
        if status == 0:
            said = json.loads(output.read_text())
            self.wrong[name] |= {int(n): text for n, text in said["wrong"].items()}
            self.peak[name] = max(self.peak[name], said["peak"])
            return []
        n = int.from_bytes(position[:8], "little")
        self.wrong[name][n] = f"the process died: {os.waitstatus_to_exitcode(status)}"
        return [(name, range(n + 1, numbers.stop))] if numbers.start <= n < numbers.stop - 1 else []


def run(share: float, seed: int, only: str | None = None) -> list[Row]:
    torch.set_num_threads(1)  # a process with threads cannot be forked
    names = [only] if only else list(READERS)
    totals = {name: max(1, round(READERS[name]().executions * share)) for name in names}
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="colorlib-fuzz-", dir=shared if shared.is_dir() else None) as folder:
        campaign = Campaign(Path(folder), seed)
        jobs = [(name, range(at, min(at + CHUNK, n))) for name, n in totals.items() for at in range(0, n, CHUNK)]
        campaign.run(jobs[::-1])
    rows = []
    for name, n in totals.items():
        wrong = tuple(f"seed {seed}, number {at}: {said}" for at, said in sorted(campaign.wrong[name].items()))
        if campaign.peak[name] > MEMORY + 2**30:  # a gigabyte is torch itself
            wrong += (f"{campaign.peak[name] / 2**30:.1f} GiB of memory",)
        note = f"at most {campaign.peak[name] / 2**20:,.0f} MiB, torch included"
        rows.append(Row("readers given broken files", name, n, wrong, note, campaign.spent[name]))
    return rows


def repeat(name: str, n: int, seed: int) -> None:
    """One execution again, with its traceback."""
    with tempfile.TemporaryDirectory() as folder:
        reader = READERS[name]()
        execute(name, reader, n, seed, Path(folder), Watch(Path(folder)))
        rng = random.Random(f"{seed} {name} {n}")
        changed = rng.choice(sorted(reader.files))
        mutate(reader.files[changed], rng)
        print(changed, repr((Path(folder) / changed).read_bytes()[:2000]))
        print(reader.read(Path(folder), changed, rng))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the executions in readers.py, 241,000 in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=READERS)
    parser.add_argument("--at", type=int)
    flags = parser.parse_args()
    if flags.at is not None:
        repeat(flags.only, flags.at, flags.seed)
        sys.exit()
    sys.exit(write_rows(run(flags.share, flags.seed, flags.only)))
