"""`python -m colorlib.course.experiments [NAME ...]`: measure what is missing or out of date."""

from __future__ import annotations

import sys

from colorlib.course.experiments.experiment import find_experiment, folder, names


def main(arguments: list[str]) -> int:
    """Fill the CSVs of the named experiments, all of them by default; 2 for an unknown name."""
    try:
        experiments = [find_experiment(name) for name in arguments or names()]
        place = folder()
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for experiment in experiments:
        experiment.fill(place / f"{experiment.name}.csv", lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
