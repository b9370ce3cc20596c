"""What a run leaves on disk: safetensors for tensors, JSON for the rest, and never half a checkpoint.

    RUN/recipe.json  source.json  history.csv  samples/  generator.safetensors  checkpoints/STEP/  latest  .lock
    RUN/best/generator.safetensors  tensorboard/

A checkpoint is written as a new folder, flushed to the disk, renamed into place, and only then named in `latest`,
which is replaced atomically. Whatever kills the process in between, `latest` names a whole checkpoint or none. A lock
keeps two processes from writing into one run.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import shutil
import struct
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from colorlib.errors import CheckpointError, RunError
from colorlib.files import sync_folder, write_atomic, write_synced
from colorlib.recipes import Recipe, build_generator

GENERATOR_FORMAT = "colorlib-generator"
# The step, and a letter where `latest` already names a checkpoint of it.
CHECKPOINT_NAME = re.compile(r"\d{8,20}b?", re.ASCII)


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
    write_atomic(Path(path), pack_generator(generator, recipe, dtype=dtype, extra=extra))


def pack_generator(
    generator: nn.Module,
    recipe: Recipe,
    *,
    dtype: torch.dtype | None = None,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """The content of a weights file. The same weights and recipe give the same bytes."""
    metadata = {"format": GENERATOR_FORMAT, "recipe": recipe.to_json(), **(extra or {})}
    return _with_sorted_metadata(_serialised(generator.state_dict(), metadata, dtype))


def _with_sorted_metadata(data: bytes) -> bytes:
    """A safetensors file with its metadata sorted by name: safetensors writes them in an order that changes.

    The file begins with the length of its header (8 bytes, little endian) and the header (JSON, padded to 8 bytes).
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[end:]])


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
    tensors = read_tensors(path)
    with torch.device("meta"):  # takes no memory: a header may claim any size
        _check_shapes(_skeleton(recipe, path), tensors, str(path))
    generator = build_generator(recipe, weights=False)
    generator.load_state_dict(tensors)
    return generator.to(device).eval(), recipe, metadata


def _skeleton(recipe: Recipe, path: Path) -> nn.Module:
    try:
        return build_generator(recipe, weights=False)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its recipe makes no network: {str(error).splitlines()[0]}") from error


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
    _check_shapes(module, tensors, origin)
    module.load_state_dict(tensors)


def _check_shapes(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    own = module.state_dict()
    for name in [*own, *tensors]:
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if got != expected:
            kind = type(module).__name__
            raise CheckpointError(
                f"{origin} holds another architecture: for {name} expected {expected} ({kind}), got {got}"
            )


# --- optimizers ----------------------------------------------------------------------------------------------


OPTIMIZER_STATE = {"Adam": {"step", "exp_avg", "exp_avg_sq"}, "RMSprop": {"step", "square_avg"}}
OPTIMIZER_STATE["AdamW"] = OPTIMIZER_STATE["Adam"]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


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
        index, _, name = key.partition(".")
        if not re.fullmatch("[0-9]{1,9}", index) or int(index) >= len(parameters):
            raise CheckpointError(
                f"the optimizer's state does not fit: expected {len(parameters)} parameters, got {key}"
            )
        like = torch.empty(()) if name == "step" else torch.empty_like(parameters[int(index)])
        if tensor.shape != like.shape:
            shapes = f"expected {tuple(like.shape)}, got {tuple(tensor.shape)}"
            raise CheckpointError(f"the optimizer's state does not fit: for {key} {shapes}")
        state.setdefault(int(index), {})[name] = like.copy_(tensor)
    names = OPTIMIZER_STATE[type(optimizer).__name__]
    for i, values in state.items():
        if values.keys() != names:
            raise CheckpointError(
                f"the optimizer's state does not fit: for {i} expected {_listed(names)}, got {_listed(values)}"
            )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


# --- checkpoints ---------------------------------------------------------------------------------------------


def save_checkpoint(
    run: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: dict[str, Any],
    *,
    weights: bytes | None = None,
    keep_every: int | None = None,
) -> Path:
    """Write `checkpoints/STEP/` (one safetensors file a group, `state.json`) and make it the latest.

    The checkpoint that was the latest before is kept, in case that the new one is damaged later, and so are those
    whose step is a multiple of `keep_every`. `weights` (from `pack_generator`) become `STEP/weights`, which colorize
    and evaluate can read.
    Raises RunError (disk full, folder gone or read-only); the checkpoints before are then untouched.
    """
    before = _read_latest(run)
    folder = _free_name(run, f"{step:08d}")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        folder.parent.mkdir(exist_ok=True)
        _remove_leftovers(run)  # of a killed process, which may have had the number that this one has
        temporary.mkdir()
        for name, group in tensors.items():
            write_synced(temporary / f"{name}.safetensors", _serialised(group))
        if weights is not None:
            (temporary / "weights").mkdir()
            write_synced(temporary / "weights" / "generator.safetensors", weights)
            sync_folder(temporary / "weights")
        described = {"step": step, **state, "groups": sorted(tensors)}
        write_synced(temporary / "state.json", json.dumps(described).encode())
        sync_folder(temporary)
        if folder.exists():  # a run that was resumed from an earlier checkpoint passes this step again
            shutil.rmtree(folder)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror or error
        raise RunError(f"cannot save a checkpoint in {run}: {reason}; the checkpoint before it is intact") from error
    write_atomic(run / "latest", folder.name.encode())
    _remove_old(run, folder.name, before, keep_every)
    return folder


def _read_latest(run: Path) -> str:
    """The checkpoint that `latest` names, or an empty text if there is no such file or it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return (run / "latest").read_text().strip()
    return ""


def _free_name(run: Path, name: str) -> Path:
    """Where a checkpoint goes: never where the latest one is, which must stay until `latest` names another."""
    if _read_latest(run) == name:
        name += "b"
    return run / "checkpoints" / name


def _names(run: Path) -> list[str]:
    """The checkpoints of a run, the oldest first."""
    folder = run / "checkpoints"
    return sorted(path.name for path in folder.iterdir() if CHECKPOINT_NAME.fullmatch(path.name))


def _remove_old(run: Path, latest: str, before: str, keep_every: int | None) -> None:
    """Remove the checkpoints before `latest`, except the one that was the latest before it and those to be kept."""
    for name in _names(run):
        kept = keep_every is not None and _step_of(name) % keep_every == 0
        if name < latest and name != before and not kept:
            shutil.rmtree(run / "checkpoints" / name, ignore_errors=True)


def _remove_leftovers(run: Path) -> None:
    """Remove what a killed process left half-written."""
    folders = (run, run / "checkpoints", run / "best")
    for path in [path for folder in folders for path in folder.glob(".*.tmp")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def load_checkpoint(run: Path, *, mend: bool = False) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """The latest checkpoint's tensors (a dict a group) and state, or None if the run has none yet.

    Where the latest one is damaged, the newest whole one before it is read, with a warning that says how many steps
    are lost. `mend` then makes `latest` name the checkpoint that was read. Raises CheckpointError if none is whole.
    """
    if not (run / "checkpoints").is_dir() or not (names := _names(run)):
        if (run / "latest").exists():
            raise CheckpointError(f"{run / 'latest'} names a checkpoint, but {run / 'checkpoints'} holds none")
        return None
    latest, problem = _read_latest(run), None
    if CHECKPOINT_NAME.fullmatch(latest):
        names = [name for name in names if name < latest] + [latest]
    else:
        problem = f"{run / 'latest'} names no checkpoint"
    for name in reversed(names):
        try:
            loaded = _read_checkpoint(run / "checkpoints" / name)
        except CheckpointError as error:
            problem = problem or str(error)
            continue
        if problem is not None:
            lost = _step_of(latest) - _step_of(name) if CHECKPOINT_NAME.fullmatch(latest) else 0
            loss = f"{lost} steps are lost and are trained again" if lost else "it is the newest whole one"
            warnings.warn(f"{problem}; going on with the checkpoint of step {_step_of(name)}: {loss}", stacklevel=2)
            if mend:
                write_atomic(run / "latest", name.encode())
        return loaded
    raise CheckpointError(f"{problem}; {run} holds no other checkpoint that is whole")


def _step_of(name: str) -> int:
    return int(name.rstrip("b"))


def _read_checkpoint(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    if not folder.is_dir():
        raise CheckpointError(f"expected the checkpoint {folder}, which is not there")
    state = read_json(folder / "state.json")
    if not isinstance(state, dict) or type(state.get("step")) is not int or state["step"] < 0:
        raise CheckpointError(f"expected {folder / 'state.json'} to name its step, got {str(state)[:80]}")
    groups = {path.stem: read_tensors(path) for path in sorted(folder.glob("*.safetensors"))}
    expected = state.pop("groups", None)  # checkpoints of the first edition do not list their files
    if isinstance(expected, list) and (missing := sorted({str(name) for name in expected} - groups.keys())):
        raise CheckpointError(f"expected {folder / missing[0]}.safetensors, which is not there")
    return groups, state


def save_best(run: Path, generator: nn.Module, recipe: Recipe, step: int, psnr: float) -> None:
    """Write RUN/best if `psnr` (dB, on validation pictures) is above that of the weights it holds, or it holds none.

    The file itself says how good its weights are. So the two cannot disagree, whenever the process is killed, and a
    run that is resumed from an earlier step and passes the best one again ends with the same file.
    """
    path = run / "best" / "generator.safetensors"
    best = read_best(run)
    if math.isnan(psnr) or (best is not None and psnr <= best[1]):
        return
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; free some space") from error
    save_generator(path, generator, recipe, extra={"step": str(step), "val_psnr": repr(psnr)})


def read_best(run: Path) -> tuple[int, float] | None:
    """The step and the validation PSNR of the weights in RUN/best; None if there are none that can be read."""
    try:
        metadata = _read_metadata(run / "best" / "generator.safetensors")
        return int(metadata["step"]), float(metadata["val_psnr"])
    except (CheckpointError, KeyError, ValueError):
        return None


def read_json(path: Path) -> Any:
    """What a JSON file of a run holds. Raises CheckpointError if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


# --- runs ----------------------------------------------------------------------------------------------------

RUN_FILES = ("recipe.json", "source.json", "history.csv", "generator.safetensors", "latest")
RUN_FOLDERS = ("checkpoints", "samples", "best", "tensorboard")


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run, finished or not."""
    return any((folder / name).exists() for name in ("recipe.json", "latest", "checkpoints"))


def refuse_run(folder: Path) -> None:
    """Raise RunError if the folder already holds a run, or is a file."""
    refuse_file(folder)
    if is_run(folder):
        ways = f"continue it (colorlib resume {shlex.quote(str(folder))}), choose another folder, or --overwrite it"
        raise RunError(f"{folder} already holds a run; {ways}")


def refuse_file(folder: Path) -> None:
    """Raise RunError if a run's folder, or one that it would lie in, is a file."""
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; choose another folder for the run")


def remove_run(folder: Path) -> None:
    """Delete a run's own files, `latest` first, and nothing else that may lie beside them.

    Raises OSError where something cannot be deleted: a checkpoint of the old run must not be taken for one of the new.
    """
    for name in ("latest", *RUN_FILES):
        (folder / name).unlink(missing_ok=True)
    for name in RUN_FOLDERS:
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def read_recipe(run: Path) -> Recipe:
    """The recipe of a run. Raises FileNotFoundError if `run` is none, CheckpointError if the file was damaged."""
    if not (run / "recipe.json").is_file():
        raise FileNotFoundError(f"expected a run (a folder with recipe.json), got {run}")
    try:
        return Recipe.from_json((run / "recipe.json").read_text())
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{run / 'recipe.json'}: {error}") from error
