"""Which machine this is, without its host's name, and the most that it computes in a second."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from pathlib import Path

import torch

from benchmarks.timing import Row, timed
from colorlib.devices import autocast, cpu_has_bf16

# Sides of square matrices; batch, channels and side of convolutions 3x3: the best of them counts.
MATRICES = {"cpu": (1024, 2048), "cuda": (4096, 8192, 16384)}
CONVOLUTIONS = {"cpu": ((4, 128, 64), (1, 256, 64)), "cuda": ((32, 256, 64), (64, 512, 32))}
TRIES = 3


def processor() -> str:
    """The model of the CPU in a few words."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else []
    name = names[0] if names else platform.processor() or platform.machine()
    return re.sub(r"\((R|TM)\)|CPU|Processor|@.*", " ", name, flags=re.IGNORECASE).strip()


def name(device: torch.device) -> str:
    """The name of this machine's file: its GPU, or its CPU with cores and instruction set."""
    if device.type == "cuda":
        words = torch.cuda.get_device_name(device)
    else:
        words = f"{processor()} {os.cpu_count()} cores {torch.backends.cpu.get_cpu_capability()}"
        words += " bf16" if cpu_has_bf16() else ""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def facts(device: torch.device) -> dict[str, str]:
    """What the machine has and what runs on it."""
    known = {
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bf16 on the CPU": "native" if cpu_has_bf16() else "not native, so not measured",
        "threads of torch": str(torch.get_num_threads()),
        "Python, torch": f"{platform.python_version()}, {torch.__version__}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        known["GPU"] = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute {about.major}.{about.minor}"
        known["CUDA"] = str(torch.version.cuda)
    return known


def when() -> str:
    """When something was measured, and how busy the machine was before."""
    load = f", load of the last minute {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{datetime.now(timezone.utc):%Y-%m-%d}, torch {torch.__version__}{load}"


def peaks(device: torch.device, precision: str, *, quick: bool = False) -> dict[str, float]:
    """The most floating point operations a second of a matrix product and of a convolution, in units of 1e9."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    best = {"matrix product": 0.0, "convolution": 0.0}
    with torch.inference_mode(), autocast(device, "fp32"):
        for side in (256,) if quick else MATRICES[device.type]:
            a, b = (torch.randn(side, side, device=device).to(dtype) for _ in "ab")
            best["matrix product"] = max(best["matrix product"], _rate(lambda a=a, b=b: a @ b, 2 * side**3, device))
        for batch, channels, side in ((1, 16, 32),) if quick else CONVOLUTIONS[device.type]:
            layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device, dtype)
            layer = layer.to(memory_format=torch.channels_last)
            x = torch.randn(batch, channels, side, side, device=device).to(dtype, memory_format=torch.channels_last)
            work = 2 * batch * channels**2 * 9 * side**2
            best["convolution"] = max(best["convolution"], _rate(lambda f=layer, x=x: f(x), work, device))
    return best


def _rate(call: object, work: float, device: torch.device) -> float:
    assert callable(call), "peaks hands over functions"
    timed(call, 3, device)
    return work / min(timed(call, 5, device) for _ in range(TRIES)) / 1e9


def peak_rows(found: dict[str, dict[str, float]]) -> list[Row]:
    """A row a precision."""
    return [{"precision": name, **{f"{kind}, GFLOP/s": value for kind, value in of.items()}}
            for name, of in found.items()]  # fmt: skip
