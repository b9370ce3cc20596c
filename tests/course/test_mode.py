"""Modes: what the machine suggests, what the reader may say instead, and where real photographs come from."""

import pytest
import torch

from colorlib.course import mode
from colorlib.course.mode import Config, configure
from colorlib.errors import DataError


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in ("COLORLIB_MODE", "COLORLIB_PHOTOS", "COLORLIB_STEP_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLORLIB_RUNS", str(tmp_path / "runs"))


@pytest.mark.parametrize(("device", "expected"), [("cpu", "quick"), ("cuda", "full"), ("mps", "full")])
def test_a_gpu_suggests_full_mode(monkeypatch, device, expected):
    monkeypatch.setattr(mode, "pick_device", lambda spec: torch.device(device))
    assert configure().mode == expected
    assert configure("quick").mode == "quick"


def test_full_mode_without_a_gpu_says_what_it_costs(monkeypatch, capsys):
    monkeypatch.setattr(mode, "pick_device", lambda spec: torch.device("cpu"))
    assert configure("full").full
    assert "without a GPU takes hours" in capsys.readouterr().out


def test_the_environment_stands_in_for_arguments(monkeypatch, tmp_path):
    monkeypatch.setenv("COLORLIB_MODE", "full")
    monkeypatch.setenv("COLORLIB_PHOTOS", "folder:mine")
    monkeypatch.setenv("COLORLIB_STEP_LIMIT", "3")
    config = configure(device="cpu")
    assert (config.mode, config.data, config.step_limit, config.out) == ("full", "folder:mine", 3, tmp_path / "runs")
    assert config.steps(100) == 3 and config.steps(2) == 2
    config = configure("quick", data="photos", out=tmp_path, device="cpu")
    assert (config.mode, config.data, config.out) == ("quick", "photos", tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("COLORLIB_MODE", "fast", 'expected the mode "auto", "quick" or "full" in COLORLIB_MODE, got \'fast\''),
        ("COLORLIB_STEP_LIMIT", "0", "expected a number of steps of at least 1 in COLORLIB_STEP_LIMIT, got '0'"),
        ("COLORLIB_STEP_LIMIT", "few", "got 'few'"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=says):
        configure(device="cpu")
    with pytest.raises(ValueError, match="got 'slow'"):
        configure("slow", device="cpu")


def config(tmp_path, data=None):
    return Config("full", 0, torch.device("cpu"), tmp_path, data=data)


def test_photographs_come_from_where_the_reader_says(tmp_path):
    assert config(tmp_path, "photos").photographs(32).name == "photos"


def test_on_kaggle_the_attached_set_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(mode, "platform", lambda: "kaggle")
    monkeypatch.setattr(mode, "KAGGLE_INPUT", tmp_path)
    assert mode.find_photographs() == "flowers102"
    (tmp_path / "image-colorization" / "l").mkdir(parents=True)
    (tmp_path / "image-colorization" / "l" / "gray_scale.npy").touch()
    assert mode.find_photographs() == f"kaggle:{tmp_path / 'image-colorization'}"
    monkeypatch.setattr(mode, "platform", lambda: "local")
    assert mode.find_photographs() == "flowers102"


def test_without_photographs_and_network_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("COLORLIB_DATA", str(tmp_path))

    def no_network(name):
        raise DataError(f"{name} could not be downloaded")

    monkeypatch.setattr(mode, "download", no_network)
    with pytest.raises(DataError, match=r'flowers102.*could not be downloaded.*"folder:PATH".*mode="quick"') as raised:
        config(tmp_path).photographs(32)
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match="expected photographs of folder:"):
        config(tmp_path, f"folder:{tmp_path / 'none'}").photographs(32)


def test_flowers_are_downloaded_once(tmp_path, source, monkeypatch, capsys):
    asked, opened = [], []

    def open_set(*what, progress):
        opened.append(what)
        return source

    monkeypatch.setattr(mode, "is_on_disk", lambda spec: bool(asked))
    monkeypatch.setattr(mode, "download", asked.append)
    monkeypatch.setattr(mode, "open_source", open_set)
    for _ in range(2):
        assert config(tmp_path).photographs(64, "val") is source
    assert asked == ["flowers102"] and opened == [("flowers102", 64, "val")] * 2
    assert "downloading flowers102" in capsys.readouterr().out
