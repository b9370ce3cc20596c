"""Experiments: measurements over settings and seeds, recorded in `experiments/NAME.csv` with their provenance.

Every row has a hash of what was measured: the setting (with the fingerprint of a recipe), the seed and the version of
the experiment. If one of them changes, the row is stale: a test fails, and `make experiments` measures the row again.
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
from colorlib.cli.doctor import DISTRIBUTION
from colorlib.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

Setting = Mapping[str, str | int | float | bool | None]
PROVENANCE = ("hash", "date", "commit", "machine", "torch", "python", "seconds")


@dataclass(frozen=True)
class Experiment:
    """A function that measures, and the settings and seeds to measure with.

    Args:
        name: the name of the module that defines the experiment, and of its CSV.
        settings: flat dictionaries of numbers and text, all with the same keys.
        seeds: each setting is measured with each of these seeds.
        measure: maps a setting and a seed to named numbers.
        version: raise it when `measure` changes what it measures, so that the recorded rows become stale.
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
        """Twelve hexadecimal digits that change with the name, the setting, the seed and the version."""
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
        """Measure the rows that `path` lacks, drop its stale rows, and write the file after each measurement."""
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
    """The repository's commit, with a plus if measured code was changed since; "unknown" outside a repository."""
    folder = Path(colorlib.__file__).parent
    status = ("status", "--porcelain", "--", ".", ":(top)experiments/*.py")
    try:
        said = [
            subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (("rev-parse", "--short=10", "HEAD"), status)
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


# --- the definitions and the recorded rows ----------------------------------------------------------------------


def folder() -> Path:
    """The folder `experiments` of the repository or, if the course was installed from a wheel, the copy in the wheel.

    Raises FileNotFoundError if there is neither.
    """
    root = Path(colorlib.__file__).parents[1]
    if (root / "pyproject.toml").is_file():  # otherwise `root` is a folder of installed packages
        return root / "experiments"
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".csv" and file.parent.name == "experiments":
            return Path(str(file.locate())).resolve().parent
    raise FileNotFoundError(f"the recorded experiments are missing; reinstall {DISTRIBUTION}")


def find_experiment(name: str) -> Experiment:
    """The experiment that the module `name` of this package defines.

    Raises ValueError if there is none: what notebooks only quote is defined in `experiments/NAME.py` of the repository.
    """
    if name.isidentifier() and Path(__file__).with_name(f"{name}.py").is_file():
        module = importlib.import_module(f"colorlib.course.experiments.{name}")
        if hasattr(module, "EXPERIMENT"):
            return module.EXPERIMENT
    raise ValueError(f"the course defines no experiment {name!r}")


def recorded(name: str) -> pd.DataFrame:
    """All rows of `experiments/NAME.csv`. Raises ValueError if there is no such file."""
    path = folder() / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(table.stem for table in path.parent.glob("*.csv")))
        raise ValueError(f"no experiment {name!r} is recorded; there are {known}")
    return _read(path)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path, dtype=dict.fromkeys(("hash", "commit", "machine", "torch", "python", "date"), str))


# --- for notebooks ----------------------------------------------------------------------------------------------


def quote(name: str, **where: Any) -> pd.DataFrame:
    """The recorded rows of an experiment that have the values `where`: settings, seed and measures, no provenance.

    Prints one line that says what was run on which machine. Raises ValueError if no such row was recorded.
    """
    rows = recorded(name)
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise ValueError(f"no row of {name} has {where}")
    told = {column: ", ".join(sorted(set(rows[column]))) for column in ("machine", "torch", "commit")}
    count = f"{len(rows)} rows, seeds {', '.join(map(str, sorted(set(rows['seed']))))}"
    print(f"experiments/{name}.csv: {count}; {told['machine']}, torch {told['torch']}, commit {told['commit']}")
    return rows.drop(columns=list(PROVENANCE)).reset_index(drop=True)


def rerun(name: str, setting: Setting, *, column: str, seed: int = 0) -> dict[str, float]:
    """Measure a setting again and assert that `column` is in the recorded band. Returns what was measured.

    The band reaches from the smallest to the largest value over the seeds. It is widened on both sides by its own
    width, or by a tenth of the value if that is more, because other machines round differently.
    """
    experiment = find_experiment(name)
    rows = recorded(name)
    values = rows[rows["hash"].isin([experiment.hash(setting, s) for s in experiment.seeds])][column]
    if values.empty:
        raise ValueError(f"{name} has no setting {dict(setting)}; its settings are {list(experiment.settings)}")
    low, high = values.min(), values.max()
    width = max(high - low, 0.1 * max(abs(low), abs(high)))
    measured = experiment.measure(setting, seed)
    value = measured[column]
    assert low - width <= value <= high + width, (
        f"{name}: {column} is {value:.3g}, outside the recorded {low - width:.3g} to {high + width:.3g}"
    )
    return measured
