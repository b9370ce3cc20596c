"""Records and the table they become."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from colorlib.errors import TrainingDiverged
from colorlib.history import History, Record

CPU = torch.device("cpu")
COLUMNS = ["step", "l1", "d_loss", "images_per_second", "seconds"]


def make_record(step: int, l1: float = 0.5, **extra: float) -> Record:
    return Record(step, {"l1": torch.tensor(l1), "seconds": float(step), **extra}, images=4)


def test_a_record_reads_like_a_mapping_of_numbers() -> None:
    record = make_record(3, 0.25)
    assert record.step == 3 and record["l1"] == 0.25 and set(record) == {"l1", "seconds"} and len(record) == 2
    assert record.as_dict() == {"step": 3, "l1": 0.25, "seconds": 3.0}
    assert repr(record) == "Record(step=3, l1=0.25, seconds=3)"
    with pytest.raises(KeyError):
        record["penalty"]


def test_rows_reach_the_file_and_come_back(tmp_path: Path) -> None:
    history = History(COLUMNS, tmp_path / "history.csv")
    history.write()
    for step in (1, 2, 3):
        history.append(make_record(step, 1 / 3, **({"d_loss": 0.1} if step == 2 else {})))
        history.flush(CPU)
    frame = history.frame()
    assert list(frame.columns) == COLUMNS and list(frame["images_per_second"]) == [4.0, 4.0, 4.0]
    assert math.isnan(frame["d_loss"][0]) and frame["d_loss"][1] == pytest.approx(0.1)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), frame)
    again = History(COLUMNS, tmp_path / "history.csv")
    again.read(last_step=2)
    pd.testing.assert_frame_equal(again.frame(), frame[:2])


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    history = History(COLUMNS, tmp_path / "history.csv")
    history.write()
    history.append(make_record(1))
    history.flush(CPU)
    with open(tmp_path / "history.csv", "a") as file:
        file.write("2,0.")
    history.read(last_step=2)
    assert list(history.frame()["step"]) == [1]


def test_the_first_bad_loss_is_named_and_the_good_rows_stay() -> None:
    history = History(COLUMNS)
    for step, value in ((1, 0.5), (2, math.nan), (3, math.inf)):
        history.append(make_record(step, value))
    with pytest.raises(TrainingDiverged, match=r"l1 became nan at step 2.*learning rates"):
        history.flush(CPU)
    assert list(history.frame()["step"]) == [1]
