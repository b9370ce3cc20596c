"""A generator as an ONNX file, for programs without Python; written only if it computes what torch computes."""

from __future__ import annotations

import copy
import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from colorlib.color import AB_SCALE, L_SCALE
from colorlib.devices import make_rng
from colorlib.errors import ColorlibError
from colorlib.inference import Colorizer

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

# What torch's exporter writes natively; every onnxruntime since 1.14 reads it.
OPSET = 18
# Largest difference to torch that is accepted, in network units: 0.011 units of a* and b*.
TOLERANCE = 1e-4
DEFAULT_SIZE = 256
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(
    model: Colorizer | nn.Module, path: str | Path, *, size: int | None = None, dynamic: bool = True, opset: int = OPSET
) -> dict[str, Any]:
    """Write `model` as one ONNX file: input `L` `(batch, 1, height, width)`, output `ab` `(batch, 2, height, width)`.

    Both are in network units (L*/50 - 1 and ab*/110, float32). With `dynamic` the file takes any batch and size from
    1 x 1 pixel on; otherwise one picture of `size` x `size` (default: the recipe's size, or 256).

    Returns `max_difference` (onnxruntime against torch, random lightness, two sizes if dynamic), `bytes`, `opset`,
    `dynamic`, `shapes` (of the comparisons) and `path`. Nothing is written unless the difference is at most 1e-4.

    Raises ColorlibError if the extra `export` is not installed, torch cannot export the model, or the results differ.
    """
    _check_installed()
    recipe = model.recipe if isinstance(model, Colorizer) else None
    generator = copy.deepcopy(model.generator if isinstance(model, Colorizer) else model).cpu().eval()
    size = size or (recipe.size if recipe else DEFAULT_SIZE)
    program = _export(generator, torch.zeros(2 if dynamic else 1, 1, size, size), dynamic, opset)
    program.model.metadata_props["input"] = f"L: CIE L*/{L_SCALE:g} - 1, D65"
    program.model.metadata_props["output"] = f"ab: CIE a*, b*/{AB_SCALE:g}"
    if recipe:
        program.model.metadata_props["recipe"] = recipe.to_json()

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _quiet():
            program.save(temporary, external_data=False)
        shapes = _shapes(size, dynamic)
        difference = _largest_difference(generator, temporary, shapes)
        if not difference <= TOLERANCE:  # true for NaN
            raise ColorlibError(
                f"onnxruntime and torch differ by {difference:g}, expected {TOLERANCE:g} at most; try another opset"
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return {
        "path": str(path),
        "max_difference": difference,
        "bytes": path.stat().st_size,
        "opset": opset,
        "dynamic": dynamic,
        "shapes": shapes,
    }


def _check_installed() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ColorlibError(f'export needs {", ".join(missing)}: pip install "colorlib-course[export]"')


def _export(generator: nn.Module, example: Tensor, dynamic: bool, opset: int) -> ONNXProgram:
    names = {0: "batch", 2: "height", 3: "width"}
    shapes = ({side: torch.export.Dim(name) for side, name in names.items()},) if dynamic else None
    try:
        with _quiet():
            program = torch.onnx.export(
                generator,
                (example,),
                input_names=["L"],
                output_names=["ab"],
                opset_version=opset,
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever the layer at hand makes it raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ColorlibError(f"torch cannot export this: {reason}; try dynamic=False or another opset") from error
    assert program is not None, "dynamo=True returns a program"
    return program


def _shapes(size: int, dynamic: bool) -> list[tuple[int, int, int, int]]:
    """What to compare on: the size itself and, if any size goes, one that no halving divides."""
    return [(1, 1, size, size), (2, 1, size + 5, size // 2 + 3)] if dynamic else [(1, 1, size, size)]


def _largest_difference(generator: nn.Module, path: Path, shapes: list[tuple[int, int, int, int]]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    rng = make_rng("export")
    largest = torch.zeros(())
    for shape in shapes:
        L = torch.rand(shape, generator=rng) * 2 - 1
        with torch.inference_mode():
            expected = generator(L)
        got = torch.from_numpy(session.run(None, {"L": L.numpy()})[0])
        largest = torch.maximum(largest, (got - expected).abs().max())  # keeps NaN, as max() would not
    return float(largest)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress, warnings and logs are about its own insides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
