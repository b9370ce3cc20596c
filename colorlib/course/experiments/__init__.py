"""Measurements that take longer than a notebook may: defined here, run by `make experiments`, quoted by notebooks."""

from colorlib.course.experiments.experiment import Experiment, find_experiment, quote, rerun

__all__ = ["Experiment", "find_experiment", "quote", "rerun"]
