"""A study goes on where it stood, whatever ended the sitting before."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from colorlib.course import study as studies

optuna = pytest.importorskip("optuna", reason="the extra sweep is not installed")


def parabola(trial):
    return (trial.suggest_float("x", 0, 1) - 0.3) ** 2


def drawn(study):
    return [trial.params["x"] for trial in study.trials if trial.params]


def test_opened_again_it_goes_on(tmp_path):
    studies.go_on(studies.open_study(tmp_path / "study.log"), parabola, 3)
    again = studies.open_study(tmp_path / "study.log")
    assert studies.done(again) == 3
    studies.go_on(again, parabola, 5)
    assert studies.done(again) == 5
    studies.go_on(again, parabola, 5)
    assert studies.done(again) == 5


def test_opened_again_it_draws_other_points_and_always_the_same(tmp_path):
    for name in ("a.log", "b.log"):
        for trials in (3, 6):
            studies.go_on(studies.open_study(tmp_path / name), parabola, trials)
    first, second = (drawn(studies.open_study(tmp_path / name)) for name in ("a.log", "b.log"))
    assert first == second and len(set(first)) == 6


DIES = """
import os, sys
from colorlib.course import study as studies

def objective(trial):
    trial.suggest_float("x", 0, 1)
    if trial.number == 2:
        os._exit(9)
    return 0.0

studies.go_on(studies.open_study(sys.argv[1]), objective, 5)
"""


@pytest.mark.slow
def test_a_trial_that_died_with_its_process_has_failed_and_is_made_up_for(tmp_path):
    path = str(tmp_path / "study.log")
    assert subprocess.run([sys.executable, "-c", DIES, path], check=False).returncode == 9
    states = [trial.state.name for trial in studies.open_study(path).trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL"]
    study = studies.open_study(path)
    studies.go_on(study, parabola, 5)
    assert studies.done(study) == 5 and len(study.trials) == 6


def test_a_lock_that_a_dead_process_left_behind_is_no_obstacle(tmp_path):
    (tmp_path / "study.log.lock").touch()
    studies.go_on(studies.open_study(tmp_path / "study.log"), parabola, 2)
    assert studies.done(studies.open_study(tmp_path / "study.log")) == 2


def test_pruned_trials_are_done_too(tmp_path):
    def prunes(trial):
        trial.report(float(trial.number), 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return float(trial.number)

    study = studies.open_study(tmp_path / "study.log", startup=3)
    studies.go_on(study, prunes, 6)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3 + ["PRUNED"] * 3
    assert studies.done(study) == 6


def rows(n=60):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"lr": 10 ** rng.uniform(-4, -2, n), "width": rng.choice([4, 8], n), "idle": rng.random(n) + 1}
    )
    return table.assign(score=(np.log10(table["lr"]) + 3).abs() + 0.01 * rng.random(n))


def test_rows_become_trials_and_what_matters_is_found():
    study = studies.study_of(rows(), "score", {"lr": (1e-4, 1e-2), "idle": (1.0, 2.0)}, {"width": (4, 8)})
    assert len(study.trials) == 60 and study.best_value == rows()["score"].min()
    found = studies.importances(study)
    assert set(found) == {"lr", "idle", "width"} and sum(found.values()) == pytest.approx(1)
    assert found["lr"] > 0.8


def test_where_optuna_is_missing_a_line_says_what_to_do(monkeypatch, capsys):
    assert studies.has_optuna() and not capsys.readouterr().out
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not studies.has_optuna()
    assert "%pip install optuna" in capsys.readouterr().out
