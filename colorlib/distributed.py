"""Training with several processes: what torchrun tells a process, and the exchanges that training needs."""

from __future__ import annotations

import contextlib
import inspect
import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """Return the number of this process. It is 0 for the main process, and for a process without others."""
    return dist.get_rank() if _running() else 0


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if _running() else 1


def _running() -> bool:
    return dist.is_available() and dist.is_initialized()


def join(device: torch.device) -> torch.device:
    """Join the processes that torchrun started, and return this one's device; without torchrun, `device` itself."""
    if "WORLD_SIZE" not in os.environ or _running():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Leave the group that `join` joined."""
    if _running():
        dist.destroy_process_group()


def parallel(module: nn.Module, *, unused: bool = False) -> nn.Module:
    """Return a module whose gradients are averaged over the processes; `module` itself if there is only one process.

    `unused` says that some parameters may get no gradient in a step. Each step then searches for them, which takes
    time.

    Each process keeps its own buffers (batch norm's running statistics). Broadcasting them between two forward passes
    and one backward pass would change tensors that the backward pass needs. The buffers of the main process are saved.
    """
    if world_size() == 1:
        return module
    renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    keep_buffers: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    return DistributedDataParallel(module, find_unused_parameters=unused, **keep_buffers)


def without_exchange(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Exchange no gradients inside the block. They add up, and a later backward pass exchanges their sum."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()


def neighbours() -> int:
    """Return how many of the processes run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if _running() else 1


def mean(values: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes."""
    if world_size() > 1:
        dist.all_reduce(values)
        values = values / world_size()
    return values


def agree(flag: bool, device: torch.device) -> bool:
    """Return the main process's `flag` in every process."""
    if world_size() == 1:
        return flag
    box = torch.tensor(int(flag), device=device)
    dist.broadcast(box, src=0)
    return bool(box)


def smallest(value: int, device: torch.device) -> int:
    """Return the smallest `value` of all processes in every process."""
    if world_size() == 1:
        return value
    box = torch.tensor(value, device=device)
    dist.all_reduce(box, op=dist.ReduceOp.MIN)
    return int(box)


def wait() -> None:
    """Wait until all processes have called this function."""
    if world_size() > 1:
        dist.barrier()
