"""Export a generator as one ONNX file, for programs without Python.

The file is written only if the results of onnxruntime with it equal those of torch, up to a small tolerance.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import logging
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
from colorlib.files import replacing
from colorlib.inference import Colorizer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch.onnx import ONNXProgram

# The version of ONNX's operators that torch's exporter writes without conversion. onnxruntime reads it since 1.14.
OPSET = 18
# The largest accepted difference between onnxruntime and torch, in network units. It is 0.011 units of a* and b*.
TOLERANCE = 1e-4
DEFAULT_SIZE = 256
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(
    model: Colorizer | nn.Module, path: str | Path, *, size: int | None = None, dynamic: bool = True, opset: int = OPSET
) -> dict[str, Any]:
    """Write `model` as one ONNX file: input `L` `(batch, 1, height, width)`, output `ab` `(batch, 2, height, width)`.

    Both are in network units (L*/50 - 1, and a*/110 and b*/110, float32). With `dynamic` the file accepts any batch
    size and any image size from 1 x 1 pixel. Otherwise it accepts one image of `size` x `size` pixels (default: the
    recipe's size, or 256 for a module without a recipe).

    Returns `max_difference` (between onnxruntime and torch on random lightness, at two sizes if `dynamic`), `bytes`,
    `opset`, `dynamic`, `shapes` (of the comparisons) and `path`. The file is written only if the difference is at most
    1e-4. An existing file is replaced.

    Raises ColorlibError if the extra `export` is not installed, torch cannot export the model, or the results differ.
    """
    check_installed()
    recipe = model.recipe if isinstance(model, Colorizer) else None
    generator = copy.deepcopy(model.generator if isinstance(model, Colorizer) else model).cpu().eval()
    size = size or (recipe.size if recipe else DEFAULT_SIZE)
    # The exporter treats a side of length 1 as fixed, so the example of a dynamic batch has two images.
    L = torch.zeros(2 if dynamic else 1, 1, size, size)
    sides = {0: "batch", 2: "height", 3: "width"} if dynamic else {}
    program = to_onnx(generator, {"L": L}, {"L": sides}, "ab", opset)
    program.model.metadata_props["input"] = f"L: CIE L*/{L_SCALE:g} - 1, D65"
    program.model.metadata_props["output"] = f"ab: CIE a*, b*/{AB_SCALE:g}"
    if recipe:
        program.model.metadata_props["recipe"] = recipe.to_json()

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = _shapes(size, dynamic)
    with replacing(path) as temporary:
        save(program, temporary)
        difference = _largest_difference(generator, temporary, shapes)
        if not difference <= TOLERANCE:  # and not `difference > TOLERANCE`, which is False for NaN
            raise ColorlibError(
                f"the results of onnxruntime and torch differ by {difference:g}, more than the accepted "
                f"{TOLERANCE:g}; try another opset"
            )
    return {
        "path": str(path),
        "max_difference": difference,
        "bytes": path.stat().st_size,
        "opset": opset,
        "dynamic": dynamic,
        "shapes": shapes,
    }


def check_installed() -> None:
    """Raise ColorlibError if the extra `export` is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ColorlibError(f'the export needs {", ".join(missing)}: pip install "colorlib-course[export]"')


def to_onnx(
    module: nn.Module,
    inputs: dict[str, Tensor],
    dynamic: dict[str, dict[int, str]],
    output: str,
    opset: int = OPSET,
    *,
    optimize: bool = True,
) -> ONNXProgram:
    """Export a module with one output, named `output`.

    `inputs` maps the name of each input to an example. `dynamic` maps it to the sides that may have any size, by number
    and name.
    Raises ColorlibError if torch cannot export the module.
    """
    shapes = tuple({side: torch.export.Dim(name) for side, name in dynamic.get(key, {}).items()} for key in inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=[output],
                opset_version=opset,
                dynamic_shapes=shapes if any(shapes) else None,
                dynamo=True,
                optimize=optimize,
                verbose=False,
            )
    except Exception as error:  # the class depends on the layer that cannot be exported
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ColorlibError(f"torch cannot export this: {reason}; try dynamic=False or another opset") from error
    assert program is not None, "with dynamo=True torch always returns a program"
    # Each node notes the line of source code that it was made from. These notes are a tenth of the file.
    for node in program.model.graph:
        node.metadata_props.clear()
    return program


def save(program: ONNXProgram, path: Path) -> None:
    """Save a program as one file, with its weights inside, and print nothing."""
    with _quiet():
        program.save(path, external_data=False)


def open_session(path: Path) -> InferenceSession:
    """Open an ONNX file in onnxruntime, on the CPU."""
    import onnxruntime

    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def _shapes(size: int, dynamic: bool) -> list[tuple[int, int, int, int]]:
    """The shapes at which onnxruntime and torch are compared.

    They are the exported size and, for a dynamic file, a batch of two images of another size. At that size a U-Net has
    to pad its input.
    """
    return [(1, 1, size, size), (2, 1, size + 5, size // 2 + 3)] if dynamic else [(1, 1, size, size)]


def _largest_difference(generator: nn.Module, path: Path, shapes: list[tuple[int, int, int, int]]) -> float:
    """The largest difference between onnxruntime and torch over all shapes. NaN if any result is NaN."""
    session = open_session(path)
    rng = make_rng("export")
    largest = torch.zeros(())
    for shape in shapes:
        L = torch.rand(shape, generator=rng) * 2 - 1
        with torch.inference_mode():
            expected = generator(L)
        got = torch.from_numpy(session.run(None, {"L": L.numpy()})[0])
        # torch.maximum returns NaN if one of the two is NaN. Python's max() might drop it.
        largest = torch.maximum(largest, (got - expected).abs().max())
    return float(largest)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's progress, warnings and log messages. They are about its internals and do not help a user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
