"""The doctor on simulated machines: each check that fails says what is wrong and what to do about it."""

import platform
import shutil
from importlib import metadata

import pytest
import torch
from packaging.requirements import Requirement

from colorlib.cli import doctor as module
from colorlib.cli.doctor import Check, doctor, format_checks


@pytest.fixture
def requirements(monkeypatch):
    """A function that replaces the requirements of the package by other lines."""
    return lambda *lines: monkeypatch.setattr(metadata, "requires", lambda name: list(lines))


def only(checks):
    """The check of a list that must contain exactly one."""
    assert len(checks) == 1
    return checks[0]


@pytest.mark.slow
def test_this_machine_in_one_line_a_check(monkeypatch, tmp_path):
    monkeypatch.setenv("COLORLIB_CACHE", str(tmp_path / "cache"))
    checks = doctor()
    by_name = {check.name: check for check in checks}
    for name in ("Python", "torch", "torchvision", "packages", "device", "memory", "disk", "cache", "weights"):
        assert name in by_name
    assert by_name["torch"] == Check("torch", True, metadata.version("torch"))
    assert by_name["device"].ok and "images/s" in by_name["device"].text
    assert by_name["cache"].ok and str(tmp_path / "cache") in by_name["cache"].text
    text = format_checks(checks)
    assert len(text.splitlines()) == len(checks)
    assert all(line.startswith(("ok", "FAIL", "-")) for line in text.splitlines())


def test_format():
    checks = [Check("a", True, "fine"), Check("long", False, "do this"), Check("b", None, "by the way")]
    assert format_checks(checks).splitlines() == ["ok    a     fine", "FAIL  long  do this", "-     b     by the way"]
    assert format_checks([]) == ""


def test_a_check_that_breaks_is_a_line_not_a_traceback(monkeypatch):
    for name in ("_python", "_packages", "_extras", "_device", "_memory", "_disk", "_cache", "_weights"):
        monkeypatch.setattr(module, name, lambda: 1 / 0)
    checks = doctor()
    assert len(checks) == 8
    assert all(check.ok is False and "division by zero" in check.text for check in checks)


# --- what is installed ---------------------------------------------------------------------------------------


def test_python_of_another_version(monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.8.1")
    check = only(module._python())
    assert check.ok is False and "3.8.1" in check.text and ">=3.10" in check.text
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.0rc1")
    assert only(module._python()).ok


def test_not_installed_at_all(monkeypatch):
    def fail(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", fail)
    monkeypatch.setattr(metadata, "requires", fail)
    check = only(module._python())
    assert check.ok is None and "pip install -e ." in check.text
    assert module._requirements(None) == []


def test_packages_too_old_or_missing(requirements):
    requirements(
        "torch>=99", "torchvision>=0.1", "numpy>=99.0", "no-such-package>=1", "tqdm", 'pytest; extra == "test"'
    )
    old, fine, others = module._packages()
    assert old.ok is False and 'pip install "torch>=99"' in old.text
    assert fine.ok and fine.name == "torchvision"
    assert others.ok is False
    assert 'pip install "numpy>=99.0"' in others.text and "no-such-package is missing" in others.text
    assert "tqdm" not in others.text and "pytest" not in others.text


def test_torchvision_that_does_not_fit_torch(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setattr(module.importlib, "import_module", fail)
    ok, text = module._status(Requirement("torchvision"))
    assert not ok and "nms does not exist" in text and "reinstall torch and torchvision together" in text


def test_requirements_of_an_extra(requirements):
    requirements(
        "torch>=2", 'onnx>=1; extra == "export"', 'tomli; python_version < "3"', 'no-such; extra == "notebooks"'
    )
    assert [need.name for need in module._requirements(None)] == ["torch"]
    assert [need.name for need in module._requirements("export")] == ["onnx"]
    notebooks, exporting = module._extras()
    assert (
        notebooks.ok is None
        and notebooks.text == 'missing no-such; for the notebooks: pip install "colorlib-course[notebooks]"'
    )
    assert exporting.ok is None


# --- device, memory, disk ------------------------------------------------------------------------------------


def test_device_that_does_not_work(monkeypatch):
    monkeypatch.setattr(module, "works", lambda device, precision: "no kernel image is available")
    check = only(module._device())
    assert check.ok is False and "no kernel image" in check.text and "--precision fp32" in check.text
    monkeypatch.setattr(module, "pick_device", lambda spec: torch.device("cuda"))
    monkeypatch.setattr(module, "pick_precision", lambda spec, device: "fp16")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5_500_000_000, 16_000_000_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla P100")
    check = only(module._device())
    assert check.ok is False and "Tesla P100 with 5.5 GB free in fp16" in check.text and "--device cpu" in check.text


def test_little_memory_and_unknown_memory(monkeypatch):
    monkeypatch.setattr(module, "_memory_gb", lambda: 2.0)
    check = only(module._memory())
    assert check.ok is False and "--batch-size" in check.text
    monkeypatch.setattr(module, "_memory_gb", lambda: None)
    assert only(module._memory()).ok is None


def test_memory_where_there_is_no_sysconf(monkeypatch):
    assert module._memory_gb() is None or module._memory_gb() > 0.1
    monkeypatch.delattr(module.os, "sysconf", raising=False)
    assert module._memory_gb() is None


def test_disk_full_or_read_only(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) in only(module._disk()).text and not list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 9 * 10**8, 10**8))
    check = only(module._disk())
    assert check.ok is False and "0.1 GB free" in check.text and "free some" in check.text
    monkeypatch.setattr(module, "_writable", lambda folder: False)
    assert "--out" in only(module._disk()).text


def test_whether_a_folder_is_writable_is_tried(tmp_path):
    assert module._writable(tmp_path)
    assert not module._writable(tmp_path / "nothing")


def test_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COLORLIB_CACHE", str(tmp_path / "file" / "cache"))
    check = only(module._cache())
    assert check.ok is False and "COLORLIB_CACHE" in check.text


def test_weights(monkeypatch):
    monkeypatch.setattr(module, "shipped_weights", lambda: ["default", "l1"])
    assert only(module._weights()) == Check("weights", True, "shipped: default, l1")
    monkeypatch.setattr(module, "shipped_weights", lambda: ["l1"])
    check = only(module._weights())
    assert check.ok is False and "only l1" in check.text and "reinstall" in check.text
