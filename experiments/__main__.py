"""`python -m experiments [NAME ...]`: measure the rows that are missing or stale.

An experiment is defined in this folder. Those that a notebook runs again are part of the course instead, in
`colorlib/course/experiments`. The rows of both are recorded here, in `NAME.csv`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from colorlib.course import experiments as course
from colorlib.course.experiments import Experiment, find_experiment

HERE = Path(__file__).parent
OTHER_MODULES = {"__init__", "__main__", "experiment"}


def names() -> list[str]:
    """The names of all experiments."""
    modules = (*HERE.glob("*.py"), *Path(course.__file__).parent.glob("*.py"))
    return sorted({path.stem for path in modules} - OTHER_MODULES)


def find(name: str) -> Experiment:
    """The experiment of that name. Raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"no experiment {name!r}; there are {', '.join(names())}")
    if (HERE / f"{name}.py").is_file():
        return importlib.import_module(f"experiments.{name}").EXPERIMENT
    return find_experiment(name)


def main(arguments: list[str]) -> int:
    """Measure for the named experiments, by default for all of them. Returns 2 for an unknown name."""
    try:
        chosen = [find(name) for name in arguments or names()]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for experiment in chosen:
        experiment.fill(HERE / f"{experiment.name}.csv", lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
