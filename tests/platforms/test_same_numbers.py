"""Numbers that differ from one Python to another are found, and equal ones are not."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("same_numbers", Path(__file__).with_name("same_numbers.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def numbers(tool: ModuleType) -> dict[str, list[float]]:
    threads = torch.get_num_threads()
    found = tool.numbers()
    torch.set_num_threads(threads)
    return found


@pytest.mark.slow
def test_there_are_numbers_of_each_kind_and_equal_ones_do_not_differ(tool: ModuleType, numbers) -> None:
    assert {name.partition(":")[0] for name in numbers} == set(tool.TOLERANCE)
    assert all(math.isfinite(x) for values in numbers.values() for x in values)
    assert sum(map(len, numbers.values())) > 1000
    assert tool.differences(numbers, dict(numbers)) == dict.fromkeys(tool.TOLERANCE, 0.0)


@pytest.mark.slow
def test_every_number_counts(tool: ModuleType, numbers) -> None:
    for name, values in numbers.items():
        kind = name.partition(":")[0]
        size = max(map(abs, values)) or 1.0
        off = 2 * tool.TOLERANCE[kind] * size
        for changed in ([*values[:-1], values[-1] + off], values[:-1], [*values[:-1], math.nan]):
            assert tool.differences(numbers, numbers | {name: changed})[kind] > tool.TOLERANCE[kind], name
    assert math.isinf(tool.differences(numbers, {})["colour"])


def test_an_interpreter_that_cannot_is_one_line(tool: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(tool, "numbers", dict)
    assert tool.main([sys.executable + "-that-is-not-there"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
