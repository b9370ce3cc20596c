"""Choose the device and the precision by trying what the device can do, and make seeded random generators."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import sys
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["auto", "fp32", "bf16", "fp16"]

# fp16 underflows below 6e-8, so its losses are scaled; bf16 has the exponent of fp32 and needs no scaler.
AUTOCAST_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}

# Parameters of glibc's mallopt (malloc.h), and the values that they reach on their own while large blocks are freed.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
KEEP_FREED = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}
GLIBC_DEFAULTS = {M_MMAP_MAX: 65536, M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**26}


def pick_device(spec: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on: `auto` is cuda, else mps, else cpu.

    Raises ValueError for a device that torch does not know or that this machine does not have.
    """
    if isinstance(spec, torch.device):
        return spec
    if spec == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(spec)
    except RuntimeError as error:
        raise ValueError(f"expected device auto, cpu, cuda, cuda:N or mps, got {spec!r}") from error
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not available.get(device.type, False):
        raise ValueError(f"this machine has no device {spec!r}; try --device auto or --device cpu")
    return device


def pick_precision(spec: str, device: torch.device) -> str:
    """Resolve `auto`: bf16 where it is native, fp16 on older CUDA cards, fp32 elsewhere.

    A T4 (compute capability 7.5) says that it supports bf16 but emulates it, slowly: hence the comparison with 8.
    """
    if spec not in ("auto", "fp32", "bf16", "fp16"):
        raise ValueError(f"expected precision auto, fp32, bf16 or fp16, got {spec!r}")
    if spec == "fp16" and device.type != "cuda":
        raise ValueError(f"fp16 training needs a CUDA device, got {device.type}; try bf16 or fp32")
    if spec != "auto":
        return spec
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bf16 natively (AVX512-BF16 or AMX). Emulated bf16 is slower than fp32."""
    cpu = torch.backends.cpu.get_cpu_capability()
    if not cpu.startswith("AVX512"):
        return False
    checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(check() for check in checks if check is not None)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of a GPU or of the machine is full, however PyTorch reports it."""
    full = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return full or any(name in str(error) for name in ("DefaultCPUAllocator", "out of memory"))


@contextlib.contextmanager
def keep_freed_memory(device: torch.device) -> Iterator[None]:
    """Inside the block, glibc keeps freed memory for the next allocation. It matters on a CPU under Linux only.

    The maps of a training step at 256 px are blocks of tens of MiB. By default glibc returns each of them to the system
    when it is freed, and the system has to clear new pages for the next one: more than a third of a plain fp32 step at
    batch 16. Inside the block the process keeps the largest amount it has used; afterwards it returns that to the
    system.
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if not all(hasattr(libc, name) for name in ("mallopt", "malloc_trim")):
        yield
        return
    for parameter, value in KEEP_FREED.items():
        libc.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in GLIBC_DEFAULTS.items():
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Return autocast for `bf16` and `fp16`, and no effect for `fp32`. `pick_precision` resolves `auto` before."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST_DTYPE[precision])


def make_rng(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that depends only on `key`, for example `make_rng(seed, "augment", step)`.

    Random numbers that are a function of the step need no state in a checkpoint, and a resumed run repeats them
    exactly.
    """
    return torch.Generator(device).manual_seed(derive_seed(*key))


def derive_seed(*key: int | str) -> int:
    """Return a 63-bit seed for a key, the same on every machine. Python's own hash of str differs between processes."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def works(device: torch.device, precision: str) -> str | None:
    """Run a small convolution forward and backward. Returns None if it succeeds, and otherwise the error as text."""
    try:
        layer = nn.Conv2d(4, 8, 3).to(device)
        with autocast(device, precision):
            loss = layer(torch.ones(2, 4, 16, 16, device=device)).float().square().mean()
        loss.backward()
        finite = bool(torch.isfinite(loss))
    except (RuntimeError, NotImplementedError) as error:
        return str(error).splitlines()[0]
    return None if finite else f"a small convolution gave {loss.item()}"
