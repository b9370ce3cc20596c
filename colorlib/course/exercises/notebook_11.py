"""Checks of notebook 11: a report table, a rule, an importance by hand, settings that beat the default."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_type
from colorlib.course.experiments import lambda_sweep, sweep
from colorlib.errors import TrainingDiverged, one_line

COLUMNS = ("steps", "psnr", "lowest_error", "d_accuracy")


def _history(steps: int, every: int, seed: int, *, judged: bool = True) -> pd.DataFrame:
    """A made-up history: the last step is not one at which it was validated."""
    rng = np.random.default_rng(seed)
    step = np.arange(1, steps + 1)
    measured = np.where(step % every == 0, 1.0, math.nan)
    columns = {"step": step, "l1": 0.1 + 0.1 / step, "val_psnr": measured * (20 + 2 * rng.random(steps))}
    columns["val_ab_mae"] = measured * (0.05 + 0.02 * rng.random(steps))
    if judged:
        columns |= {name: 0.4 + 0.6 * rng.random(steps) for name in ("d_real_accuracy", "d_fake_accuracy")}
    return pd.DataFrame(columns)


def _histories() -> dict[str, pd.DataFrame]:
    return {"wgan": _history(64, 10, 0), "l1": _history(95, 20, 1, judged=False), "a short run": _history(33, 15, 2)}


def _row(history: pd.DataFrame) -> tuple[float, ...]:
    judged = history.reindex(columns=["d_real_accuracy", "d_fake_accuracy"]).tail(20).to_numpy()
    psnr = history["val_psnr"].dropna().iloc[-1]
    return float(history["step"].max()), float(psnr), float(history["val_ab_mae"].min()), float(judged.mean())


def _check_report(answer: Any) -> None:
    expect_function("report", answer, "a function of histories")
    histories = _histories()
    got = answer({name: history.copy() for name, history in histories.items()})
    expect_type("what report returns", got, pd.DataFrame, "a DataFrame")
    if set(got.columns) != set(COLUMNS):
        raise NotYet(f"expected the columns {', '.join(COLUMNS)}, got {', '.join(map(str, got.columns))}")
    if list(got.index) != list(histories):
        raise NotYet(f"expected the index {', '.join(histories)}, got {', '.join(map(str, got.index))}")
    for name, history in histories.items():
        for column, wanted in zip(COLUMNS, _row(history), strict=True):
            value = got.loc[name, column]
            if math.isnan(wanted):
                if not pd.isna(value):
                    raise NotYet(f"{column} of {name}, which has no discriminator: expected NaN, got {value}")
            else:
                expect(f"{column} of {name}", value, wanted)


report = Exercise(
    "report",
    _check_report,
    hints=[
        "a row at a time: a dictionary for each history, then pd.DataFrame.from_dict(rows, orient='index')",
        "dropna() before iloc[-1]; history.reindex(columns=[...]) gives NaN columns where there are none",
    ],
)


def _curve(l1: tuple[float, float], errors: list[float] | None, every: int = 10) -> pd.DataFrame:
    """100 steps whose `l1` runs along a line, and held-out errors at every tenth step, evenly from a list."""
    step = np.arange(1, 101)
    columns = {"step": step, "l1": np.linspace(*l1, 100)}
    if errors is not None:
        along = np.interp(step, np.linspace(1, 100, len(errors)), errors) if errors else np.full(100, math.nan)
        columns["val_ab_mae"] = np.where(step % every == 0, along, math.nan)
    return pd.DataFrame(columns)


def _wavy() -> pd.DataFrame:
    """Its `l1` fell long ago and rises in the last 40 steps; held-out errors rise."""
    history = _curve((0.2, 0.05), [0.05, 0.08])
    history.loc[history["step"] > 60, "l1"] = np.linspace(0.05, 0.06, 40)
    return history


def _late() -> pd.DataFrame:
    """Falls and rises as the first case does, but the last step was not validated, and the rise is 4 %."""
    history = _curve((0.2, 0.05), [0.06, 0.05, 0.05])
    history.loc[history["step"] == 100, "val_ab_mae"] = 0.052
    return history


_CASES: dict[str, tuple[Callable[[], pd.DataFrame], bool]] = {
    "l1 falls, the held-out error rises": (lambda: _curve((0.2, 0.05), [0.06, 0.05, 0.07]), True),
    "the same, last measured ten steps ago": (lambda: _curve((0.2, 0.05), [0.06, 0.05, 0.07]).head(99), True),
    "both fall": (lambda: _curve((0.2, 0.05), [0.08, 0.06]), False),
    "both rise": (lambda: _curve((0.1, 0.2), [0.05, 0.08]), False),
    "the held-out error rose, l1 rises in the last 20 steps": (_wavy, False),
    "the held-out error rose by 4 %": (_late, False),
    "no column val_ab_mae": (lambda: _curve((0.2, 0.05), None), False),
    "val_ab_mae never measured": (lambda: _curve((0.2, 0.05), []), False),
}


def _check_learns_by_heart(answer: Any) -> None:
    expect_function("learns_by_heart", answer, "a function of a history")
    for case, (make, wanted) in _CASES.items():
        expect(case, answer(make()), wanted)


learns_by_heart = Exercise(
    "learns_by_heart",
    _check_learns_by_heart,
    hints=[
        "first the cases without a finding: is the column there, and is anything left of it after dropna()?",
        "l1.iloc[-20:] against l1.iloc[-40:-20]; errors.iloc[-1] > 1.05 * errors.min(), both of the measured ones",
    ],
)


def trials() -> pd.DataFrame:
    """Twelve trials: the score is decided by lr_g, a little by lambda, and the patch only adds to the spread."""
    rows = [(lr, weight, patch) for lr in (1e-4, 1e-3, 1e-2) for weight in (10, 100) for patch in (1, 16)]
    spread = (0.3, -0.2, 0.1, -0.3, 0.0, 0.2, -0.1, 0.3, -0.2, 0.1, 0.2, -0.4)
    table = pd.DataFrame(rows, columns=["lr_g", "lambda_l1", "patch"])
    score = 10 + 2 * (np.log10(table["lr_g"]) + 2.7).abs() + 0.6 * (table["lambda_l1"] == 100) + np.array(spread)
    return table.assign(score=score.round(2))


def _share(table: pd.DataFrame, name: str) -> float:
    groups = [group["score"].to_numpy() for _, group in table.groupby(name)]
    mean = table["score"].mean()
    between = sum(len(group) * (group.mean() - mean) ** 2 for group in groups)
    return float(between / ((table["score"] - mean) ** 2).sum())


def _check_explained(answer: Any) -> None:
    expect_function("explained", answer, "a function of trials and name")
    full = trials()
    unequal = full.iloc[[0, 1, 2, 3, 4, 7, 8]].reset_index(drop=True)
    for what, table in {"the twelve trials": full, "seven of them, groups of unequal size": unequal}.items():
        for name in ("lr_g", "lambda_l1", "patch"):
            expect(f"{name}, {what}", answer(table.copy(), name), _share(table, name))


explained = Exercise(
    "explained",
    _check_explained,
    hints=[
        "trials.groupby(name)['score'] has the groups; each counts as often as it has trials",
        "score.groupby(trials[name]).transform('mean') gives every trial the mean of its group",
    ],
)

BAR, DEFAULT = 11.2, 11.7  # of the score after sweep.STEPS steps


def _check_my_settings(answer: Any) -> None:
    expect_function("my_settings", answer, "a function that returns a dictionary")
    settings = answer()
    expect_type("what my_settings returns", settings, dict, 'a dictionary such as {"lr_g": 2e-3}')
    unknown = [str(name) for name in settings if name not in sweep.NAMES]
    if unknown:
        raise NotYet(f"expected names out of {', '.join(sweep.NAMES)}, got {', '.join(unknown)}")
    wanted = "expected settings that train, got"
    try:
        recipe = lambda_sweep.small(sweep.STEPS, **settings)
    except (ValueError, KeyError, TypeError) as error:  # values that a recipe does not take
        raise NotYet(f"{wanted} {type(error).__name__}: {one_line(error)}") from error
    try:
        trainer = lambda_sweep.train(recipe, 0)
    except TrainingDiverged as error:
        raise NotYet(f"{wanted} TrainingDiverged: {one_line(error)}") from error
    found = lambda_sweep.judge(trainer.generator, "val")
    if not found["score"] <= BAR:
        raise NotYet(
            f"expected a score of at most {BAR} (the default has about {DEFAULT}), got {found['score']:.2f}: "
            f"CIEDE2000 {found['ciede2000']:.2f}, balloons {found['balloons']:.2f}"
        )


my_settings = Exercise(
    "my_settings",
    _check_my_settings,
    hints=[
        "which rows of the sweep have the lowest score, and what do they have in common? quote('sweep') has them",
        "a deep generator that learns fast (lr_g of some thousandths), lsgan, a lambda below 10, and a patch of 1",
    ],
)
