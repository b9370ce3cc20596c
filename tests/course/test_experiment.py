"""Experiments: rows with provenance, which become stale when their definition changes and can be measured again."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from colorlib.course.experiments import experiment as module
from colorlib.course.experiments.experiment import PROVENANCE, Experiment, find_experiment, quote, rerun

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments import __main__ as command

SETTINGS = [{"rate": 0.1, "loss": "l1"}, {"rate": 0.2, "loss": "l1"}]


def measure(setting, seed):
    return {"error": 10 * setting["rate"] + 0.1 * seed}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An experiment of four rows, recorded in its folder."""
    toy = Experiment("toy", SETTINGS, (0, 1), measure)
    monkeypatch.setattr(module, "folder", lambda: tmp_path)
    monkeypatch.setattr(module, "find_experiment", lambda name: toy)
    toy.fill(tmp_path / "toy.csv", lambda line: None)
    return toy


def test_every_row_says_what_was_measured_and_where(toy, tmp_path):
    rows = pd.read_csv(tmp_path / "toy.csv")
    assert list(rows.columns) == ["rate", "loss", "seed", "error", *PROVENANCE]
    assert rows["error"].tolist() == [1.0, 1.1, 2.0, 2.1]
    assert rows["hash"].nunique() == 4 and not rows[list(PROVENANCE)].isna().any().any()


def test_only_missing_and_changed_rows_are_measured(toy, tmp_path):
    seen = []

    def noted(setting, seed):
        seen.append((setting["rate"], seed))
        return measure(setting, seed)

    changed = Experiment("toy", [SETTINGS[0], {"rate": 0.3, "loss": "l1"}], (0, 1), noted)
    table = changed.fill(tmp_path / "toy.csv", lambda line: None)
    assert seen == [(0.3, 0), (0.3, 1)]
    assert table["error"].tolist() == [1.0, 1.1, 3.0, 3.1]
    Experiment("toy", SETTINGS[:1], (0, 1), noted, version=2).fill(tmp_path / "toy.csv", lambda line: None)
    assert seen[2:] == [(0.1, 0), (0.1, 1)]


def test_a_run_that_is_killed_keeps_the_rows_it_has(tmp_path):
    def fails_later(setting, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return measure(setting, seed)

    with pytest.raises(KeyboardInterrupt):
        Experiment("toy", SETTINGS, (0, 1), fails_later).fill(tmp_path / "toy.csv", lambda line: None)
    assert len(pd.read_csv(tmp_path / "toy.csv")) == 1


def test_quote_gives_rows_and_says_where_they_come_from(toy, capsys):
    rows = quote("toy", rate=0.2)
    assert list(rows.columns) == ["rate", "loss", "seed", "error"] and rows["error"].tolist() == [2.0, 2.1]
    assert capsys.readouterr().out.startswith("experiments/toy.csv: 2 rows, seeds 0, 1; ")
    with pytest.raises(ValueError, match="no row of toy has"):
        quote("toy", rate=0.5)


def test_a_row_run_again_must_land_in_the_recorded_band(toy, monkeypatch):
    assert rerun("toy", SETTINGS[0], column="error", seed=1) == {"error": 1.1}
    # recorded 1.0 to 1.1, widened by a tenth of 1.1 on both sides
    for value, fits in ((0.9, True), (1.2, True), (0.88, False), (1.22, False)):
        object.__setattr__(toy, "measure", lambda setting, seed, value=value: {"error": value})
        if fits:
            rerun("toy", SETTINGS[0], column="error")
        else:
            with pytest.raises(AssertionError, match=r"outside the recorded 0\.89 to 1\.21"):
                rerun("toy", SETTINGS[0], column="error")
    with pytest.raises(ValueError, match="toy has no setting"):
        rerun("toy", {"rate": 0.7, "loss": "l1"}, column="error")


def test_an_unknown_experiment_is_refused(capsys):
    with pytest.raises(ValueError, match="no experiment 'no_such' is recorded; there are advice, ambiguity,"):
        quote("no_such")
    assert command.main(["no_such"]) == 2 and "advice, ambiguity," in capsys.readouterr().err


@pytest.mark.parametrize("name", ["stability", "sweep", "../../../../setup", "experiment"])
def test_what_is_not_part_of_the_course_is_not_run_again(name):
    """`stability` is defined in the repository's folder; of `sweep` the course has only what notebooks import."""
    with pytest.raises(ValueError, match="the course defines no experiment"):
        find_experiment(name)


def test_the_command_measures_the_named_experiments(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "find", lambda name: Experiment(name, SETTINGS, (0, 1), measure))
    monkeypatch.setattr(command, "HERE", tmp_path)
    assert command.main(["toy", "other"]) == 0
    assert [len(pd.read_csv(tmp_path / f"{name}.csv")) for name in ("toy", "other")] == [4, 4]
    assert "toy 1/4: " in capsys.readouterr().out


# --- what is committed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", command.names())
def test_the_recorded_rows_are_those_of_the_definition(name):
    """If this fails, a recipe, a setting or a seed was changed: `make experiments` measures the stale rows again."""
    defined = command.find(name)
    rows = pd.read_csv(module.folder() / f"{name}.csv", dtype={"hash": str})
    assert rows["hash"].tolist() == [defined.hash(*case) for case in defined.cases()]
    settings = [{**setting, "seed": seed} for setting, seed in defined.cases()]
    for column in settings[0]:
        recorded = rows[column].astype(object).where(rows[column].notna(), None).tolist()
        assert recorded == [setting[column] for setting in settings], column
    assert not rows[list(PROVENANCE)].isna().any().any()
    assert rows.drop(columns=list(PROVENANCE)).select_dtypes("number").abs().max().max() < float("inf")


def test_no_recorded_table_is_without_a_definition():
    assert sorted(path.stem for path in module.folder().glob("*.csv")) == command.names()
