"""Check whether this machine is ready for the course. A line that fails says what to do.

Each check tries the thing itself: it imports a package, computes on the device, writes into the folder.
"""

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
# A torchvision that was built for another torch fails when it is imported. So these two packages are imported, and of
# the others only the version is looked up.
IMPORTED = ("torch", "torchvision")
# A run of the paper's U-Net keeps two checkpoints of 690 MB each. Training it takes about 3 GB of memory on a CPU.
DISK_GB = 2.0
MEMORY_GB = 4.0
SPEED_BATCH, SPEED_SIDE = 16, 64
SLOW = ("extras", "device", "cache")  # the checks that `quick` leaves out


@dataclass(frozen=True)
class Check:
    """One line of the report. `ok` is True or False, or None if the line is only information."""

    name: str
    ok: bool | None
    text: str


def doctor(*, quick: bool = False) -> list[Check]:
    """Check Python, packages, device, memory, disk, cache and weights. Never raises.

    This takes a few seconds, most of them to measure the speed of the device. `quick` leaves out the slow checks.
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
        except Exception as error:  # on a broken machine anything may be raised, and the other checks still help
            found.append(Check(name, False, f"could not be checked: {one_line(error)}"))
    return found


def format_checks(checks: list[Check]) -> str:
    """The report as text, with one line for each check. It begins with `ok`, `FAIL`, or `-` for information."""
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
    # Without `prereleases`, a release candidate such as 3.12.0rc1 would not count as a supported Python.
    if not wanted.contains(version, prereleases=True):
        return [Check("Python", False, f"{where}, but colorlib needs {wanted}; make an environment with such a Python")]
    return [Check("Python", True, where)]


def _packages() -> list[Check]:
    needed = _requirements(extra=None)
    single = [Check(need.name, *_status(need)) for need in needed if need.name in IMPORTED]
    others = {need.name: _status(need) for need in needed if need.name not in IMPORTED}
    wrong = [f"{name} {text}" for name, (ok, text) in others.items() if not ok]
    text = "; ".join(wrong) or f"{len(others)} others as required"
    return [*single, Check("packages", not wrong, text)]


def _requirements(extra: str | None) -> list[Requirement]:
    """The requirements in pyproject.toml: of the package itself (`extra` None), or only those that an extra adds."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(line) for line in lines]
    if extra is None:
        return [need for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    # The requirements of an extra have a marker that is true only if this extra is asked for.
    conditional = [need for need in requirements if need.marker is not None and not need.marker.evaluate({"extra": ""})]
    return [need for need in conditional if need.marker and need.marker.evaluate({"extra": extra})]


def _status(need: Requirement) -> tuple[bool, str]:
    """Whether a requirement is met, and the installed version or what is wrong and what to do."""
    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return False, f'is missing; pip install "{need.name}{need.specifier}"'
    if not need.specifier.contains(version, prereleases=True):
        return False, f'{version} is too old or too new; pip install "{need.name}{need.specifier}"'
    if need.name in IMPORTED:
        try:
            importlib.import_module(need.name)
        except Exception as error:  # for example an operator that torch lacks, or a library that the system lacks
            return False, f"{version} does not start ({one_line(error)}); reinstall torch and torchvision together"
    return True, version


def _extras() -> list[Check]:
    lines = []
    for extra, use in (("notebooks", "the notebooks"), ("export", "colorlib export")):
        missing = [need.name for need in _requirements(extra) if not _status(need)[0]]
        hint = f'; for {use}: pip install "{DISTRIBUTION}[{extra}]"'
        lines.append(Check(extra, None, f"missing {', '.join(missing)}{hint}" if missing else "installed"))
    return lines


# --- device and memory ---------------------------------------------------------------------------------------


def _device() -> list[Check]:
    device = pick_device("auto")
    precision = pick_precision("auto", device)
    complaint = works(device, precision)
    if complaint:
        advice = (
            "use --precision fp32" if device.type == "cpu" else "use --device cpu, or a torch built for this device"
        )
        return [Check("device", False, f"{describe(device)} in {precision}: {complaint}; {advice}")]
    speed = f"trains three small convolutions on about {_images_per_second(device, precision):,.0f} images/s"
    return [Check("device", True, f"{describe(device)} in {precision}, {speed} of {SPEED_SIDE} px")]


def describe(device: torch.device) -> str:
    """Describe a device in a few words: its name and free memory, or the number of CPU threads."""
    if device.type == "cuda":
        gigabytes = torch.cuda.mem_get_info(device)[0] / 1e9
        return f"{torch.cuda.get_device_name(device)} with {gigabytes:.1f} GB free"
    return f"cpu with {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def _images_per_second(device: torch.device, precision: str, seconds: float = 0.5) -> float:
    """Time training steps of three small convolutions. The result is a rough number for comparing machines."""
    layers = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
                           nn.Conv2d(32, 2, 3, padding=1)).to(device)  # fmt: skip
    L = torch.zeros(SPEED_BATCH, 1, SPEED_SIDE, SPEED_SIDE, device=device)

    def step() -> None:
        with autocast(device, precision):
            loss = layers(L).float().square().mean()
        loss.backward()
        loss.item()  # waits until the device has finished

    step()  # the first step is slower and not timed
    start, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        step()
        steps += 1
    return SPEED_BATCH * max(steps, 1) / max(elapsed, 1e-9)


def _memory() -> list[Check]:
    gigabytes = _memory_gb()
    if gigabytes is None:
        return [Check("memory", None, "this system does not report the size of its memory")]
    text = f"{gigabytes:.1f} GB"
    if gigabytes < MEMORY_GB:
        text += f", under {MEMORY_GB:g} GB: choose a smaller --width and --batch-size, and close other programs"
    return [Check("memory", gigabytes >= MEMORY_GB, text)]


def _memory_gb() -> float | None:
    """The physical memory in GB. None where the system does not report it (Windows has no sysconf)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None


# --- folders and shipped weights -----------------------------------------------------------------------------


def _disk() -> list[Check]:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / 1e9
    text = f"{free:.1f} GB free in {folder}"
    if not _writable(folder):
        text = f"{folder} is not writable; change to another folder, or give --out"
        return [Check("disk", False, text)]
    if free < DISK_GB:
        text += f", under {DISK_GB:g} GB: free some space, or work in another folder"
    return [Check("disk", free >= DISK_GB, text)]


def _cache() -> list[Check]:
    # `cache_folder` warns, and says what to do, if it must fall back to a temporary folder.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder = cache_folder(None)
    if caught:
        return [Check("cache", False, " ".join(str(caught[0].message).split()))]
    return [Check("cache", True, f"{folder} is writable")]


def _writable(folder: Path) -> bool:
    """Whether a file can be written into the folder. The function tries, because a mount may be read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _weights() -> list[Check]:
    names = shipped_weights()
    if "default" in names:
        return [Check("weights", True, f"shipped: {', '.join(names)}")]
    found = f"only {', '.join(names)}" if names else "no weights"
    text = f"the shipped weights named default are missing, found {found}; reinstall {DISTRIBUTION}"
    return [Check("weights", False, text)]
