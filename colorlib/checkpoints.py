"""What a run leaves on disk: safetensors for tensors, JSON for the rest, and never half a checkpoint.

    RUN/recipe.json  source.json  history.csv  samples/  generator.safetensors  checkpoints/STEP/  latest

A checkpoint is written as a new folder, flushed to the disk, renamed into place, and only then named in `latest`,
which is replaced atomically. Whatever kills the process in between, `latest` names a whole checkpoint or none.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from colorlib.errors import CheckpointError, RunError
from colorlib.recipes import Recipe, build_generator

GENERATOR_FORMAT = "colorlib-generator"
KEPT_CHECKPOINTS = 2


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_synced(temporary, data)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; its rename is already durable
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- weights -------------------------------------------------------------------------------------------------


def save_generator(
    path: str | Path,
    generator: nn.Module,
    recipe: Recipe,
    *,
    dtype: torch.dtype | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a generator's weights with the recipe that rebuilds it in the header; `dtype` (fp16) halves the file."""
    metadata = {"format": GENERATOR_FORMAT, "recipe": recipe.to_json(), **(extra or {})}
    write_atomic(Path(path), _serialised(generator.state_dict(), metadata, dtype))


def _serialised(
    tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None, dtype: torch.dtype | None = None
) -> bytes:
    def prepare(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu().contiguous()
        return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor

    return save({name: prepare(tensor) for name, tensor in tensors.items()}, metadata)


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> tuple[nn.Module, Recipe, dict[str, str]]:
    """The generator of a weights file in eval mode and fp32, its recipe, and the file's metadata.

    Raises FileNotFoundError, or CheckpointError for a file that is damaged or not a generator of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a weights file, found none at {path}")
    metadata = _read_metadata(path)
    if metadata.get("format") != GENERATOR_FORMAT or "recipe" not in metadata:
        raise CheckpointError(f"expected weights written by colorlib, got {path}, which does not say its recipe")
    try:
        recipe = Recipe.from_json(metadata["recipe"])
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    generator = build_generator(recipe)
    load_weights(generator, read_tensors(path), str(path))
    return generator.to(device).eval(), recipe, metadata


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, struct.error) as error:
        raise CheckpointError(f"expected a safetensors file, got {path}: {error}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises CheckpointError if it is missing or damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Load every tensor into `module`, none missing, none left over; the error names the first that does not fit."""
    own = module.state_dict()
    for name in [*own, *tensors]:
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if got != expected:
            kind = type(module).__name__
            raise CheckpointError(
                f"{origin} holds another architecture: for {name} expected {expected} ({kind}), got {got}"
            )
    module.load_state_dict(tensors)


# --- optimizers ----------------------------------------------------------------------------------------------


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's running averages and counters as named tensors: `INDEX.NAME` for the parameter at INDEX."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, values in state.items() for name, value in values.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `pack_optimizer` packed. The rates and betas are those of the optimizer given.

    Each average takes the memory format of its parameter: fused optimizers walk both in storage order.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        if not index.isdigit() or int(index) >= len(parameters):
            raise CheckpointError(
                f"the optimizer's state does not fit: expected {len(parameters)} parameters, got {key}"
            )
        parameter = parameters[int(index)]
        if tensor.ndim and tensor.shape != parameter.shape:
            shapes = f"expected {tuple(parameter.shape)}, got {tuple(tensor.shape)}"
            raise CheckpointError(f"the optimizer's state does not fit: for {key} {shapes}")
        like = torch.empty_like(parameter) if tensor.ndim else torch.empty_like(tensor)
        state.setdefault(int(index), {})[name] = like.copy_(tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


# --- checkpoints ---------------------------------------------------------------------------------------------


def save_checkpoint(run: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write `checkpoints/STEP/` (one safetensors file a group, `state.json`) and make it the latest.

    Raises RunError (disk full, folder gone or read-only); the checkpoints before are then untouched.
    """
    folder = run / "checkpoints" / f"{step:08d}"
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, group in tensors.items():
            _write_synced(temporary / f"{name}.safetensors", _serialised(group))
        _write_synced(temporary / "state.json", json.dumps({"step": step, **state}).encode())
        _sync_folder(temporary)
        if folder.exists():  # a run that was resumed from an earlier checkpoint passes this step again
            shutil.rmtree(folder)
        os.rename(temporary, folder)
        _sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror or error
        raise RunError(f"cannot save a checkpoint in {run}: {reason}; the checkpoint before it is intact") from error
    write_atomic(run / "latest", folder.name.encode())
    _remove_old(run, keep=folder.name)
    return folder


def _remove_old(run: Path, keep: str) -> None:
    """Keep the newest two checkpoints; remove older ones and what a killed process left half-written."""
    folders = sorted(path for path in (run / "checkpoints").iterdir() if path.name.isdigit() and path.name <= keep)
    leftovers = [path for path in (run / "checkpoints").iterdir() if path.name.endswith(".tmp")]
    for path in folders[:-KEPT_CHECKPOINTS] + leftovers:
        shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(run: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """The latest checkpoint's tensors (a dict a group) and state, or None if the run has none yet."""
    try:
        name = (run / "latest").read_text()
    except FileNotFoundError:
        return None
    folder = run / "checkpoints" / name
    if not name.isdigit() or not folder.is_dir():
        raise CheckpointError(f"{run / 'latest'} names the checkpoint {name!r}, which is not there; expected {folder}")
    try:
        state = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {folder / 'state.json'}: {error}") from error
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise CheckpointError(f"expected {folder / 'state.json'} to name its step, got {str(state)[:80]}")
    return {path.stem: read_tensors(path) for path in sorted(folder.glob("*.safetensors"))}, state


# --- runs ----------------------------------------------------------------------------------------------------

RUN_FILES = ("recipe.json", "source.json", "history.csv", "generator.safetensors", "latest")
RUN_FOLDERS = ("checkpoints", "samples")


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run, finished or not."""
    return any((folder / name).exists() for name in ("recipe.json", "latest", "checkpoints"))


def remove_run(folder: Path) -> None:
    """Delete a run's own files, `latest` first, and nothing else that may lie beside them."""
    for name in ("latest", *RUN_FILES):
        (folder / name).unlink(missing_ok=True)
    for name in RUN_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def read_recipe(run: Path) -> Recipe:
    """The recipe of a run. Raises FileNotFoundError if `run` is none, CheckpointError if the file was damaged."""
    if not (run / "recipe.json").is_file():
        raise FileNotFoundError(f"expected a run (a folder with recipe.json), got {run}")
    try:
        return Recipe.from_json((run / "recipe.json").read_text())
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{run / 'recipe.json'}: {error}") from error
