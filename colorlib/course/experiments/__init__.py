"""Experiments that take longer than a notebook may. Notebooks quote the recorded rows and run some of them again.

The definitions here are those that notebooks run again or import from; the others are in the repository's folder
`experiments`, where `make experiments` records the rows of all of them.
"""

from colorlib.course.experiments.experiment import Experiment, find_experiment, quote, rerun

__all__ = ["Experiment", "find_experiment", "quote", "rerun"]
