"""Is this machine ready? Each check asks the thing itself, and a failing line says what to do."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from torch import nn

from colorlib.datasets.cache import cache_folder
from colorlib.devices import autocast, pick_device, pick_precision, works
from colorlib.errors import one_line
from colorlib.inference import shipped_weights

DISTRIBUTION = "colorlib-course"
# torchvision without its own torch fails on import, so it is imported; the others are looked up.
IMPORTED = ("torch", "torchvision")
# A run of the paper's U-Net keeps two checkpoints of 690 MB; training it takes about 3 GB of memory on a CPU.
DISK_GB = 2.0
MEMORY_GB = 4.0
SPEED_BATCH, SPEED_SIDE = 16, 64
SLOW = ("extras", "device", "cache")  # to be found out


@dataclass(frozen=True)
class Check:
    """One line of the report: `ok` is True, False, or None where there is nothing to fail."""

    name: str
    ok: bool | None
    text: str


def doctor(*, quick: bool = False) -> list[Check]:
    """Check Python, packages, device, memory, disk and weights. Never raises.

    Takes a few seconds, most of them to see how fast the device is; `quick` leaves out what takes long.
    """
    checks: list[tuple[str, Callable[[], list[Check]]]] = [
        ("Python", _python),
        ("packages", _packages),
        ("extras", _extras),
        ("device", _device),
        ("memory", _memory),
        ("disk", _disk),
        ("cache", _cache),
        ("weights", _weights),
    ]
    found: list[Check] = []
    for name, check in checks:
        if quick and name in SLOW:
            continue
        try:
            found += check()
        except Exception as error:  # a doctor reports what is wrong, whatever it is
            found.append(Check(name, False, f"could not be checked: {one_line(error)}"))
    return found


def format_checks(checks: list[Check]) -> str:
    """The report as text, one line a check: `ok`, `FAIL`, or `-` for information."""
    width = max((len(check.name) for check in checks), default=0)
    marks = {True: "ok", False: "FAIL", None: "-"}
    return "\n".join(f"{marks[check.ok]:<4}  {check.name:<{width}}  {check.text}" for check in checks)


# --- what is installed ---------------------------------------------------------------------------------------


def _python() -> list[Check]:
    version = platform.python_version()
    where = f"{version} on {platform.system()} {platform.machine()}"
    try:
        wanted = SpecifierSet(metadata.metadata(DISTRIBUTION)["Requires-Python"] or "")
    except metadata.PackageNotFoundError:
        return [Check("Python", None, f"{where} ({DISTRIBUTION} is not installed: pip install -e .)")]
    # prereleases: a release candidate of a supported Python is one too
    if not wanted.contains(version, prereleases=True):
        return [Check("Python", False, f"{where}, expected {wanted}; make a new environment with such a Python")]
    return [Check("Python", True, where)]


def _packages() -> list[Check]:
    needed = _requirements(extra=None)
    single = [Check(need.name, *_status(need)) for need in needed if need.name in IMPORTED]
    others = {need.name: _status(need) for need in needed if need.name not in IMPORTED}
    wrong = [f"{name} {text}" for name, (ok, text) in others.items() if not ok]
    text = "; ".join(wrong) or f"{len(others)} others as required"
    return [*single, Check("packages", not wrong, text)]


def _requirements(extra: str | None) -> list[Requirement]:
    """What pyproject.toml asks for, without an extra or of one."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(line) for line in lines]
    if extra is None:
        return [need for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    conditional = [need for need in requirements if need.marker is not None and not need.marker.evaluate({"extra": ""})]
    return [need for need in conditional if need.marker and need.marker.evaluate({"extra": extra})]


def _status(need: Requirement) -> tuple[bool, str]:
    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return False, f'is missing; pip install "{need.name}{need.specifier}"'
    if not need.specifier.contains(version, prereleases=True):
        return False, f'{version} is too old or too new; pip install "{need.name}{need.specifier}"'
    if need.name in IMPORTED:
        try:
            importlib.import_module(need.name)
        except Exception as error:  # an operator that torch lacks, a library that the system lacks
            return False, f"{version} does not start ({one_line(error)}); reinstall torch and torchvision together"
    return True, version


def _extras() -> list[Check]:
    lines = []
    for extra, use in (("notebooks", "the notebooks"), ("export", "colorlib export")):
        missing = [need.name for need in _requirements(extra) if not _status(need)[0]]
        hint = f'; for {use}: pip install "{DISTRIBUTION}[{extra}]"'
        lines.append(Check(extra, None, f"missing {', '.join(missing)}{hint}" if missing else "installed"))
    return lines


# --- what there is to compute with ---------------------------------------------------------------------------


def _device() -> list[Check]:
    device = pick_device("auto")
    precision = pick_precision("auto", device)
    complaint = works(device, precision)
    if complaint:
        advice = (
            "use --precision fp32" if device.type == "cpu" else "use --device cpu, or a torch built for this device"
        )
        return [Check("device", False, f"{describe(device)} in {precision}: {complaint}; {advice}")]
    speed = f"trains three small convolutions at about {_images_per_second(device, precision):,.0f} images/s"
    return [Check("device", True, f"{describe(device)} in {precision}, {speed} of {SPEED_SIDE} px")]


def describe(device: torch.device) -> str:
    """A device in a few words."""
    if device.type == "cuda":
        gigabytes = torch.cuda.mem_get_info(device)[0] / 1e9
        return f"{torch.cuda.get_device_name(device)} with {gigabytes:.1f} GB free"
    return f"cpu with {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def _images_per_second(device: torch.device, precision: str, seconds: float = 0.5) -> float:
    """Training steps of three small convolutions: a rough figure to compare machines by."""
    layers = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
                           nn.Conv2d(32, 2, 3, padding=1)).to(device)  # fmt: skip
    L = torch.zeros(SPEED_BATCH, 1, SPEED_SIDE, SPEED_SIDE, device=device)

    def step() -> None:
        with autocast(device, precision):
            loss = layers(L).float().square().mean()
        loss.backward()
        loss.item()  # waits for the device

    step()
    start, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        step()
        steps += 1
    return SPEED_BATCH * max(steps, 1) / max(elapsed, 1e-9)


def _memory() -> list[Check]:
    gigabytes = _memory_gb()
    if gigabytes is None:
        return [Check("memory", None, "this system does not say how much there is")]
    text = f"{gigabytes:.1f} GB"
    if gigabytes < MEMORY_GB:
        text += f", under {MEMORY_GB:g} GB: choose a smaller --width and --batch-size, and close other programs"
    return [Check("memory", gigabytes >= MEMORY_GB, text)]


def _memory_gb() -> float | None:
    """Physical memory; None where the system does not tell (Windows has no sysconf)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None


# --- where to write, what ships ------------------------------------------------------------------------------


def _disk() -> list[Check]:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / 1e9
    text = f"{free:.1f} GB free in {folder}"
    if not _writable(folder):
        return [Check("disk", False, f"{folder} cannot be written to; change to another folder, or give --out")]
    if free < DISK_GB:
        text += f", under {DISK_GB:g} GB: free some, or work in another folder"
    return [Check("disk", free >= DISK_GB, text)]


def _cache() -> list[Check]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        folder = cache_folder(None)
    if said:
        return [Check("cache", False, " ".join(str(said[0].message).split()))]
    return [Check("cache", True, f"{folder} can be written to")]


def _writable(folder: Path) -> bool:
    """Asked by writing: permission bits do not tell of a read-only mount."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _weights() -> list[Check]:
    names = shipped_weights()
    if "default" in names:
        return [Check("weights", True, f"shipped: {', '.join(names)}")]
    found = f"only {', '.join(names)}" if names else "none"
    text = f"expected default among the shipped weights, found {found}; reinstall {DISTRIBUTION}"
    return [Check("weights", False, text)]
