"""Measure, print tables, and keep them in benchmarks/results/MACHINE.json.

    python -m benchmarks [PART...] [--photos FOLDER] [--minutes 15] [--device cpu|cuda] [--quick] [--out FOLDER]

Without PART all parts of the device are measured, each for its share of the time. What other parts measured before is
kept. The photographs are those of scikit-image, enlarged, or ten of FOLDER. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

STANDINS = Path(__file__).parent / "standins"
if importlib.util.find_spec("jaxtyping") is None:  # here and in the processes that are started
    sys.path.append(str(STANDINS))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(STANDINS)]))

import torch  # noqa: E402

from benchmarks import data, gpu, infer, linear, machine, memory, processes, start, step  # noqa: E402
from benchmarks.part import Job, Part  # noqa: E402
from benchmarks.timing import Row  # noqa: E402

RESULTS = Path(__file__).parent / "results"


class Entry(NamedTuple):
    """A part: its heading, its function, and its share of the time on a CPU and on a GPU (0: not run there)."""

    title: str
    run: Part
    cpu: float
    gpu: float


PARTS = {
    "tests": Entry("Tests that need a GPU", gpu.tests, 0, 60),
    "peak": Entry("Peak of the machine", step.peak, 15, 10),
    "step": Entry("Training step, pix2pix", step.pix2pix, 300, 200),
    "wgan-gp": Entry("Training step, WGAN-GP", step.wgan_gp, 120, 30),
    "lab": Entry("Conversion to Lab", step.lab_share, 20, 10),
    "data": Entry("Data", data.pipeline, 120, 40),
    "wait": Entry("Waiting for data", data.waiting, 40, 20),
    "training": Entry("A short training", gpu.training, 0, 60),
    "infer": Entry("Colouring photographs", infer.folder, 100, 40),
    "import": Entry("Importing", start.imports, 15, 10),
    "checkpoint": Entry("Saving a checkpoint", start.checkpoint, 25, 15),
    "processes": Entry("Several processes", processes.scaling, 60, 0),
    "memory": Entry("Memory", memory.table, 60, 20),
    "linear": Entry("Cost against size", linear.scaling, 100, 0),
}
MINUTES = {"cpu": 14.0, "cuda": 7.5}  # parts may take a little longer than their share


def measure(names: list[str], job: Job, minutes: float, out: Path) -> bool:
    """Run the parts, print each table, and add them to the machine's file as they come; False if a test failed."""
    shares = usual(job.device.type)
    path = out / f"{machine.name(job.device)}.json"
    out.mkdir(parents=True, exist_ok=True)
    passed = True
    for name in names:
        started, said = time.perf_counter(), machine.when()
        result = PARTS[name].run(job, 60 * minutes * shares.get(name, 60) / sum(shares.values()))
        if result.png:
            result.picture["file"] = f"{path.stem}-{name}.png"
            (out / result.picture["file"]).write_bytes(result.png)
        store(path, PARTS[name].title, result.to_json(said), job.device)
        print(f"\n{PARTS[name].title} ({time.perf_counter() - started:.0f} s)\n{as_text(result.table())}", flush=True)
        passed &= not any(row.get("passed") == "no" for row in result.rows)
    print(f"\nkept in {path}")
    return passed


def usual(kind: str) -> dict[str, float]:
    """The parts that belong on a `cpu` or on `cuda`, each with its share of the time."""
    shares = {name: entry.gpu if kind == "cuda" else entry.cpu for name, entry in PARTS.items()}
    return {name: share for name, share in shares.items() if share}


def store(path: Path, title: str, content: dict[str, Any], device: torch.device) -> None:
    """Put a part into the machine's file; what nobody has measured there is null."""
    known = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.exists() else {}
    wanted = {PARTS[name].title for name in usual(device.type)} | {title, *known}
    parts = {entry.title: known.get(entry.title) for entry in PARTS.values() if entry.title in wanted}
    text = json.dumps(
        {"machine": machine.facts(device), "parts": parts | {title: content}}, indent=1, ensure_ascii=False
    )
    path.write_text(text + "\n", encoding="utf-8")


def as_text(rows: list[Row]) -> str:
    """A table for the terminal."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)


def _cell(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else "" if value is None else str(value)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--photos", help="a folder with ten photographs or more; scikit-image's if not given")
    parser.add_argument("--minutes", type=float, help="for all parts together; a single part gets its share of them")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it works: the figures mean nothing"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the results")
    flags = parser.parse_args(arguments)
    if unknown := set(flags.parts) - set(PARTS):
        parser.error(f"expected parts of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    if flags.quick and flags.out == RESULTS:
        parser.error("expected --out FOLDER with --quick, whose figures must not be among the results")
    return flags


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    if flags.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks: expected a CUDA GPU, found none; `make bench` measures the CPU", file=sys.stderr)
        return 2
    device = torch.device(flags.device)
    minutes = flags.minutes or (0.03 if flags.quick else MINUTES[flags.device])
    with tempfile.TemporaryDirectory(prefix="colorlib-benchmarks-") as scratch:
        job = Job(device, Path(scratch), flags.photos, flags.quick)
        passed = measure(flags.parts or list(usual(device.type)), job, minutes, flags.out)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
