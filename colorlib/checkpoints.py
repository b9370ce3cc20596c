"""The files of a run: safetensors for tensors, JSON for everything else, and never half a checkpoint.

    RUN/recipe.json  source.json  history.csv  samples/  generator.safetensors  checkpoints/STEP/  latest  .lock
    RUN/best/generator.safetensors  tensorboard/

A checkpoint is written into a new folder with a temporary name, flushed to the disk, and renamed. Only then `latest`
is replaced, in one atomic step, by a file that names the new checkpoint. At whatever moment the process is killed,
`latest` therefore names a whole checkpoint, or does not exist. A lock prevents two processes from writing into one run.
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
from colorlib.files import refuse_file, sync_folder, write_atomic, write_synced
from colorlib.recipes import Recipe, build_generator

GENERATOR_FORMAT = "colorlib-generator"
# The number of the step. The letter is added if `latest` already names a checkpoint of this step (see `_free_name`).
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
    """Write a generator's weights, with its recipe in the header. `dtype` torch.float16 halves the file's size."""
    write_atomic(Path(path), pack_generator(generator, recipe, dtype=dtype, extra=extra))


def pack_generator(
    generator: nn.Module,
    recipe: Recipe,
    *,
    dtype: torch.dtype | None = None,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """Return the content of a weights file. The same weights and the same recipe always give the same bytes."""
    # The recipe in the header makes the file complete: its reader need not know how the network was built.
    metadata = {"format": GENERATOR_FORMAT, "recipe": recipe.to_json(), **(extra or {})}
    return _with_sorted_metadata(_serialised(generator.state_dict(), metadata, dtype))


def _with_sorted_metadata(data: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted by name, because safetensors writes them in random order.

    The file begins with the length of its header (8 bytes, little endian) and the header (JSON, padded to 8 bytes).
    """
    # The offsets of the tensors count from the end of the header, so the header may change its length.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[end:]])


def _serialised(
    tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None, dtype: torch.dtype | None = None
) -> bytes:
    # safetensors stores only contiguous tensors on the CPU. Integer counters, as of batch norm, keep their type.
    def prepare(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu().contiguous()
        return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor

    return save({name: prepare(tensor) for name, tensor in tensors.items()}, metadata)


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> tuple[nn.Module, Recipe, dict[str, str]]:
    """Return the generator of a weights file (in eval mode and fp32), its recipe, and the metadata of the file.

    Raises FileNotFoundError, or CheckpointError if the file is damaged or is not a generator of this package.
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
    # The file may be untrusted, and its recipe may describe a network of any size. A network on the device "meta"
    # has shapes but no memory, so the shapes are compared before the real network is built.
    with torch.device("meta"):
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
    """Return the tensors of a safetensors file on the CPU. Raises CheckpointError if it is missing or damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Load all tensors into `module`. Raises CheckpointError, which names the first tensor that is missing, that
    `module` does not have, or that has another shape."""
    _check_shapes(module, tensors, origin)
    module.load_state_dict(tensors)


def _check_shapes(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    # The module's names are checked first, so that the error names a tensor of the user's network.
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


# The tensors that each optimizer keeps for a parameter.
OPTIMIZER_STATE = {"Adam": {"step", "exp_avg", "exp_avg_sq"}, "RMSprop": {"step", "square_avg"}}
OPTIMIZER_STATE["AdamW"] = OPTIMIZER_STATE["Adam"]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's running averages and counters as tensors with the names `PARAMETER_INDEX.NAME`."""
    # A parameter that has had no gradient yet, such as one of a frozen encoder, has no state.
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, values in state.items() for name, value in values.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the result of `pack_optimizer`. The learning rates and betas of `optimizer` do not change.

    Raises CheckpointError if the state belongs to other parameters or to another kind of optimizer.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        if not re.fullmatch("[0-9]{1,9}", index) or int(index) >= len(parameters):
            raise CheckpointError(
                f"the optimizer's state does not fit: expected {len(parameters)} parameters, got {key}"
            )
        # Each average gets the memory format of its parameter, because fused optimizers read both in storage order. An
        # average in another format would belong to other weights, and nothing would report the mistake.
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
    # The groups hold the learning rates, which the recipe decides.
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
    """Write `checkpoints/STEP/` (`state.json` and a safetensors file for each group) and make it the latest.

    The previous checkpoint is kept, in case the new one is damaged later. Checkpoints whose step is a multiple of
    `keep_every` are kept, too. `weights` (from `pack_generator`) are written to `STEP/weights`, which `colorize` and
    `evaluate` can read. Raises RunError if the disk is full or the folder is missing or read-only; the earlier
    checkpoints are then intact.
    """
    # Only safetensors and JSON: reading a pickle would run code from the file.
    before = _read_latest(run)
    folder = _free_name(run, f"{step:08d}")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        folder.parent.mkdir(exist_ok=True)
        # A killed process may have left a temporary folder. It may even have the same name as this one, because process
        # numbers are used again.
        _remove_leftovers(run)
        temporary.mkdir()
        for name, group in tensors.items():
            write_synced(temporary / f"{name}.safetensors", _serialised(group))
        if weights is not None:
            (temporary / "weights").mkdir()
            write_synced(temporary / "weights" / "generator.safetensors", weights)
            sync_folder(temporary / "weights")
        # The list of the groups tells later whether a file is missing.
        described = {"step": step, **state, "groups": sorted(tensors)}
        write_synced(temporary / "state.json", json.dumps(described).encode())
        sync_folder(temporary)
        # A run that was resumed from an earlier checkpoint saves this step a second time. `latest` does not name the
        # old folder (see `_free_name`), so it can be removed.
        if folder.exists():
            shutil.rmtree(folder)
        # The content is on the disk before the rename, and the rename is on the disk before `latest` names the folder.
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror or error
        raise RunError(f"cannot save a checkpoint in {run}: {reason}; the checkpoint before it is intact") from error
    # From here on the new checkpoint is the latest. Old ones are removed only afterwards, so that at each moment at
    # least one whole checkpoint exists.
    write_atomic(run / "latest", folder.name.encode())
    _remove_old(run, folder.name, before, keep_every)
    return folder


def _read_latest(run: Path) -> str:
    """Return the name in `latest`, or an empty text if there is no such file or it cannot be read."""
    # The name is stripped, because people write `latest` by hand (`echo 00000009 > latest`).
    with contextlib.suppress(OSError, ValueError):
        return (run / "latest").read_text().strip()
    return ""


def _free_name(run: Path, name: str) -> Path:
    """Return a folder for a new checkpoint. It is not the latest one, which must stay until `latest` names another."""
    if _read_latest(run) == name:
        name += "b"
    return run / "checkpoints" / name


def _names(run: Path) -> list[str]:
    """Return the names of a run's checkpoints, the oldest first."""
    folder = run / "checkpoints"
    return sorted(path.name for path in folder.iterdir() if CHECKPOINT_NAME.fullmatch(path.name))


def _remove_old(run: Path, latest: str, before: str, keep_every: int | None) -> None:
    """Remove the checkpoints before `latest`, except the previous one and those that are kept permanently."""
    # Checkpoints of later steps exist if `latest` was changed by hand. They stay until the run reaches their steps.
    for name in _names(run):
        kept = keep_every is not None and _step_of(name) % keep_every == 0
        if name < latest and name != before and not kept:
            shutil.rmtree(run / "checkpoints" / name, ignore_errors=True)


def _remove_leftovers(run: Path) -> None:
    """Remove the temporary files and folders that a killed process left."""
    folders = (run, run / "checkpoints", run / "best")
    for path in [path for folder in folders for path in folder.glob(".*.tmp")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def load_checkpoint(run: Path, *, mend: bool = False) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Return the tensors (a dict for each group) and the state of the latest checkpoint, or None if there is none yet.

    If the latest checkpoint is damaged, the newest whole one before it is read, and a warning says how many steps are
    lost. With `mend`, `latest` is then changed to name the checkpoint that was read. Raises CheckpointError if no
    checkpoint is whole.
    """
    if not (run / "checkpoints").is_dir() or not (names := _names(run)):
        if (run / "latest").exists():
            raise CheckpointError(f"{run / 'latest'} names a checkpoint, but {run / 'checkpoints'} holds none")
        return None
    # Only checkpoints up to the latest are candidates. If `latest` itself is damaged, all of them are.
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
        # The warning names the first problem, which is that of the latest checkpoint.
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
    # bool is a subclass of int, hence `type(...) is not int`: a damaged file may contain `true`.
    state = read_json(folder / "state.json")
    if not isinstance(state, dict) or type(state.get("step")) is not int or state["step"] < 0:
        raise CheckpointError(f"expected {folder / 'state.json'} to name its step, got {str(state)[:80]}")
    groups = {path.stem: read_tensors(path) for path in sorted(folder.glob("*.safetensors"))}
    expected = state.pop("groups", None)  # checkpoints of version 0.1.0 do not list their files
    if isinstance(expected, list) and (missing := sorted({str(name) for name in expected} - groups.keys())):
        raise CheckpointError(f"expected {folder / missing[0]}.safetensors, which is not there")
    return groups, state


def save_best(run: Path, generator: nn.Module, recipe: Recipe, step: int, psnr: float) -> None:
    """Write RUN/best if `psnr` (dB, on validation images) is higher than that of the weights in it, or if it is empty.

    The PSNR is stored in the header of the file, so the weights and their PSNR cannot disagree, at whatever moment the
    process is killed. A run that is resumed from a step before the best one ends with the same file.
    """
    # A PSNR of NaN, as of a source without colours, is never the best.
    # The file is replaced atomically, like everything that is read later.
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
    """Return the step and the validation PSNR of the weights in RUN/best, or None if they cannot be read."""
    try:
        metadata = _read_metadata(run / "best" / "generator.safetensors")
        return int(metadata["step"]), float(metadata["val_psnr"])
    except (CheckpointError, KeyError, ValueError):
        return None


def read_json(path: Path) -> Any:
    """Return the content of a run's JSON file. Raises CheckpointError if the file is missing or damaged."""
    # Deeply nested brackets in a damaged file raise RecursionError.
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


# --- runs ----------------------------------------------------------------------------------------------------

# Everything that a run writes. `remove_run` deletes these files and folders and nothing else.
RUN_FILES = ("recipe.json", "source.json", "history.csv", "generator.safetensors", "latest")
RUN_FOLDERS = ("checkpoints", "samples", "best", "tensorboard")


def is_run(folder: Path) -> bool:
    """Return whether the folder holds a run, finished or not."""
    # One of the three is enough: a damaged run is still a run, which must not be overwritten without a question.
    return any((folder / name).exists() for name in ("recipe.json", "latest", "checkpoints"))


def refuse_run(folder: Path) -> None:
    """Raise RunError if the folder already holds a run, or is a file."""
    refuse_file(folder, "for the run")
    if is_run(folder):
        ways = f"continue it (colorlib resume {shlex.quote(str(folder))}), choose another folder, or --overwrite it"
        raise RunError(f"{folder} already holds a run; {ways}")


def remove_run(folder: Path) -> None:
    """Delete the files of a run. Other files in the folder are not touched.

    Raises OSError if a file cannot be deleted, because a checkpoint of the old run must never be used by a new one.
    """
    # `latest` is deleted first: without it, half of an old run is never resumed.
    for name in ("latest", *RUN_FILES):
        (folder / name).unlink(missing_ok=True)
    for name in RUN_FOLDERS:
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def read_recipe(run: Path) -> Recipe:
    """Return the recipe of a run. Raises FileNotFoundError if `run` is not a run, CheckpointError if it is damaged."""
    if not (run / "recipe.json").is_file():
        raise FileNotFoundError(f"expected a run (a folder with recipe.json), got {run}")
    try:
        return Recipe.from_json((run / "recipe.json").read_text())
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{run / 'recipe.json'}: {error}") from error
