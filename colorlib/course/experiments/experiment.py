"""An experiment: a measure over settings and seeds, kept as a CSV whose every row says where it comes from.

A row holds a hash of what was measured: the setting (a recipe's fingerprint included), the seed and the version of
the experiment. When any of them changes, the row is stale, a test fails, and `make experiments` measures it again.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import colorlib
from colorlib.checkpoints import write_atomic

if TYPE_CHECKING:
    import pandas as pd

Setting = Mapping[str, str | int | float | bool | None]
PROVENANCE = ("hash", "date", "commit", "machine", "torch", "python", "seconds")
DISTRIBUTION = "colorlib-course"


@dataclass(frozen=True)
class Experiment:
    """What is measured.

    Args:
        name: of the module that defines it, and of its CSV.
        settings: flat dictionaries of numbers and text, all with the same keys.
        seeds: each setting is measured with each of them.
        measure: of a setting and a seed, to named numbers.
        version: to be raised when `measure` changes what it measures.
    """

    name: str
    settings: Sequence[Setting]
    seeds: Sequence[int]
    measure: Callable[[Setting, int], dict[str, float]]
    version: int = 1

    def cases(self) -> Iterator[tuple[Setting, int]]:
        """Every setting with every seed."""
        return ((setting, seed) for setting in self.settings for seed in self.seeds)

    def hash(self, setting: Setting, seed: int) -> str:
        """Twelve hexadecimal digits that change with setting, seed and version."""
        text = json.dumps([self.name, self.version, seed, sorted(setting.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def run(self, setting: Setting, seed: int) -> dict[str, Any]:
        """Measure one row, with its provenance."""
        started = time.monotonic()
        measured = self.measure(setting, seed)
        seconds = round(time.monotonic() - started, 1)
        rounded = {name: float(f"{value:.5g}") for name, value in measured.items()}
        about = {"hash": self.hash(setting, seed), **_provenance(), "seconds": seconds}
        return {**setting, "seed": seed, **rounded, **about}

    def fill(self, path: Path, say: Callable[[str], None] = print) -> pd.DataFrame:
        """Measure the rows that `path` lacks or holds from another definition; writes after each one."""
        import pandas as pd

        known: dict[str, dict] = {row["hash"]: row for row in _read(path).to_dict("records")} if path.is_file() else {}
        cases = {self.hash(*case): case for case in self.cases()}
        rows: dict[str, dict] = {key: known[key] for key in cases if key in known}
        for number, (key, (setting, seed)) in enumerate(cases.items(), 1):
            if key not in rows:
                rows[key] = self.run(setting, seed)
                say(f"{self.name} {number}/{len(cases)}: {rows[key]}")
            table = pd.DataFrame([rows[key] for key in cases if key in rows])
            write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())
        return table


def _provenance() -> dict[str, str]:
    today = datetime.date.today().isoformat()
    return {
        "date": today, "commit": _commit(), "machine": _machine(),
        "torch": torch.__version__, "python": platform.python_version(),
    }  # fmt: skip


def _commit() -> str:
    """The commit that the library stands at, with a plus if it was changed since; "unknown" outside a repository."""
    folder = Path(colorlib.__file__).parent
    try:
        said = [
            subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (("rev-parse", "--short=10", "HEAD"), ("status", "--porcelain", "--", "."))
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said[0] + ("+" if said[1] else "")


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_cpu()}, {torch.get_num_threads()} threads"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


# --- where it is kept --------------------------------------------------------------------------------------------


def folder() -> Path:
    """`experiments` of the repository; where the course is installed from a wheel, the copy that came with it."""
    root = Path(colorlib.__file__).parents[1]
    if (root / "pyproject.toml").is_file():  # else this is a folder of installed packages
        return root / "experiments"
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".csv" and file.parent.name == "experiments":
            return Path(str(file.locate())).resolve().parent
    raise FileNotFoundError(f"expected the folder experiments beside the package, got none; reinstall {DISTRIBUTION}")


def names() -> list[str]:
    """The experiments that are defined."""
    here = Path(__file__).parent
    return sorted(path.stem for path in here.glob("*.py") if path.stem not in ("__init__", "__main__", "experiment"))


def find_experiment(name: str) -> Experiment:
    """The experiment of that name. Raises ValueError that lists those there are."""
    if name not in names():
        raise ValueError(f"expected an experiment out of {', '.join(names())}, got {name!r}")
    return importlib.import_module(f"colorlib.course.experiments.{name}").EXPERIMENT


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path, dtype=dict.fromkeys(("hash", "commit", "machine", "torch", "python", "date"), str))


# --- what a notebook does with it -----------------------------------------------------------------------------


def quote(name: str, **where: Any) -> pd.DataFrame:
    """The recorded rows of an experiment, those with `where`'s values: settings, seed and measures, no provenance.

    Prints in a line what was run where. Raises ValueError for an unknown experiment or if no row is left.
    """
    find_experiment(name)
    rows = _read(folder() / f"{name}.csv")
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise ValueError(f"expected rows of {name} with {where}, got none")
    told = {column: ", ".join(sorted(set(rows[column]))) for column in ("machine", "torch", "commit")}
    count = f"{len(rows)} rows, seeds {', '.join(map(str, sorted(set(rows['seed']))))}"
    print(f"experiments/{name}.csv: {count}; {told['machine']}, torch {told['torch']}, commit {told['commit']}")
    return rows.drop(columns=list(PROVENANCE)).reset_index(drop=True)


def rerun(name: str, setting: Setting, *, column: str, seed: int = 0) -> dict[str, float]:
    """Measure a setting again, here and now, and assert that `column` lands in the band that was recorded.

    The band reaches from the smallest to the largest value over the seeds, widened on both sides by its own width, at
    least by a tenth of the value: other machines round otherwise. Returns what was measured.
    """
    experiment = find_experiment(name)
    rows = _read(folder() / f"{name}.csv")
    recorded = rows[rows["hash"].isin([experiment.hash(setting, s) for s in experiment.seeds])][column]
    if recorded.empty:
        raise ValueError(f"expected a setting of {name}, got {dict(setting)}; it has {list(experiment.settings)}")
    low, high = recorded.min(), recorded.max()
    width = max(high - low, 0.1 * max(abs(low), abs(high)))
    measured = experiment.measure(setting, seed)
    value = measured[column]
    assert low - width <= value <= high + width, (
        f"{name}: expected {column} between {low - width:.3g} and {high + width:.3g}, as recorded, got {value:.3g}"
    )
    return measured
