"""ONNX, for programs without Python: a generator as one file, or everything from photograph to photograph as two.

Files are written only if onnxruntime computes with them what torch computes.
"""

from __future__ import annotations

import base64
import copy
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from colorlib.color import AB_SCALE, L_SCALE, split_lab, to_float
from colorlib.devices import make_rng
from colorlib.errors import ColorlibError
from colorlib.inference import (
    MARK,
    MAX_ASPECT,
    REDUCING_GAP,
    Colorizer,
    mark,
    network_size,
    shipped_weights,
    shrink,
)
from colorlib.upsampling import BAND_PIXELS, ChromaField, fill_tables, join_rows

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

# What torch's exporter writes natively; every onnxruntime since 1.14 reads it.
OPSET = 18
# Largest difference to torch that is accepted, in network units: 0.011 units of a* and b*.
TOLERANCE = 1e-4
DEFAULT_SIZE = 256
# Largest difference of a whole pipeline to `Colorizer.colorize` that is accepted, in 8-bit levels.
LEVELS = 2
# A photograph of so many pixels (8000 x 4194) is the largest that a tab of a browser has memory for.
PIPELINE_PIXELS = 2**25
# A tensor of fewer values is not worth the node that brings it back to single precision.
SMALLEST_HALF = 256
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
    sides = {0: "batch", 2: "height", 3: "width"} if dynamic else {}
    return _to_onnx(generator, {"L": example}, {"L": sides}, "ab", opset)


def _to_onnx(
    module: nn.Module,
    inputs: dict[str, Tensor],
    dynamic: dict[str, dict[int, str]],
    output: str,
    opset: int,
    *,
    optimize: bool = True,
) -> ONNXProgram:
    """`inputs` are examples by name, `dynamic` the sides of each that may be of any size, by name too."""
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
    except Exception as error:  # the exporter raises whatever the layer at hand makes it raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ColorlibError(f"torch cannot export this: {reason}; try dynamic=False or another opset") from error
    assert program is not None, "dynamo=True returns a program"
    for node in program.model.graph:  # where in the source each came from: a tenth of the file
        node.metadata_props.clear()
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


# --- the whole pipeline ----------------------------------------------------------------------------------------


class PhotographToMaps(nn.Module):
    """The first half: what the generator says of a photograph that has been shrunk to its resolution.

    Takes 8-bit sRGB with alpha, which does not count; returns slope and base of the `ChromaField`, two channels each.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, rgba: UInt8[Tensor, "h w 4"]) -> Float[Tensor, "1 4 h w"]:
        L, _ = split_lab(to_float(_as_batch(rgba)))
        field = ChromaField.fit(L, self.generator(L))
        return torch.cat([field.slope, field.base], dim=1)


class JoinRows(nn.Module):
    """The second half: rows `top`, `top + 1`, ... of a photograph `height` rows high, in the colours of the maps.

    `strength` 0..1 scales the chroma. Lightness and alpha are the photograph's own.
    """

    def forward(
        self,
        rgba: UInt8[Tensor, "rows w 4"],
        maps: Float[Tensor, "1 4 h2 w2"],
        top: Float[Tensor, ""],
        height: Float[Tensor, ""],
        strength: Float[Tensor, ""],
    ) -> UInt8[Tensor, "rows w 4"]:
        field = ChromaField(*(strength * maps).chunk(2, dim=1))
        coloured = join_rows(_as_batch(rgba), field, top, height)
        return torch.cat([coloured[0].permute(1, 2, 0), rgba[..., 3:]], dim=-1)


def _as_batch(rgba: UInt8[Tensor, "h w 4"]) -> UInt8[Tensor, "1 3 h w"]:
    return rgba[..., :3].permute(2, 0, 1).unsqueeze(0)


def export_pipeline(colorizer: Colorizer, folder: str | Path, *, opset: int = OPSET) -> dict[str, Any]:
    """Write all that `colorizer.colorize` does between two 8-bit pictures, but the shrinking, into `folder`.

    `network.onnx`: `rgba` (uint8, height, width, 4), the photograph shrunk to `network_size`, to `maps`.
    `join.onnx`: `rgba`, some rows of the photograph itself, `maps`, and the floats `top` (number of the first row),
    `height` (of the photograph) and `strength`, to the coloured rows `coloured`.
    `pipeline.json`: what a program has to know besides: sizes, the weights and their licence, the mark for metadata.

    Weights that half precision holds exactly are stored so. Returns `max_difference` (levels, of pictures coloured by
    onnxruntime and by torch), `bytes` of all files, and `path`. Nothing is written unless the difference is at most 2.

    Raises ColorlibError if the extra `export` is not installed, torch cannot export the model, or the results differ.
    """
    _check_installed()
    colorizer = Colorizer(copy.deepcopy(colorizer.generator).cpu().eval(), colorizer.recipe, name=colorizer.name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
        work = Path(temporary)
        _save_small(_export_network(colorizer, opset), work / "network.onnx")
        _save_small(_export_join(opset), work / "join.onnx")
        (work / "pipeline.json").write_text(json.dumps(_facts(colorizer, work), indent=1) + "\n", encoding="utf-8")
        difference = _pipeline_difference(colorizer, work)
        if difference > LEVELS:
            raise ColorlibError(f"onnxruntime and torch differ by {difference} levels, expected {LEVELS} at most")
        written = sorted(work.iterdir())
        for file in written:
            shutil.move(file, folder / file.name)
    size = sum((folder / file.name).stat().st_size for file in written)
    return {"path": str(folder), "max_difference": difference, "bytes": size}


def _export_network(colorizer: Colorizer, opset: int) -> ONNXProgram:
    side = colorizer.recipe.size
    rgba = torch.zeros(side, side + 32, 4, dtype=torch.uint8)
    # Optimised, the file would hold other weights, with the batch norms multiplied in; runtimes do that themselves.
    module, dynamic = PhotographToMaps(colorizer.generator).eval(), {"rgba": {0: "height", 1: "width"}}
    return _to_onnx(module, {"rgba": rgba}, dynamic, "maps", opset, optimize=False)


def _export_join(opset: int) -> ONNXProgram:
    inputs = {"rgba": torch.zeros(7, 9, 4, dtype=torch.uint8), "maps": torch.zeros(1, 4, 5, 6)}
    inputs |= {"top": torch.tensor(3.0), "height": torch.tensor(14.0), "strength": torch.tensor(1.0)}
    dynamic = {"rgba": {0: "rows", 1: "width"}, "maps": {2: "map_height", 3: "map_width"}}
    fill_tables()
    return _to_onnx(JoinRows().eval(), inputs, dynamic, "coloured", opset)


def _save_small(program: ONNXProgram, path: Path) -> None:
    """Save with half-precision weights, where that loses nothing, and nodes that turn them back."""
    import onnx

    with _quiet():
        program.save(path, external_data=False)
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16) if values.dtype == np.float32 else values
        if values.dtype == np.float32 and values.size >= SMALLEST_HALF and (half == values).all():
            name, stored = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def _facts(colorizer: Colorizer, folder: Path) -> dict[str, Any]:
    return {
        "weights": colorizer.name,
        "licence": _licence(colorizer.name) if colorizer.name in shipped_weights() else None,
        "size": colorizer.recipe.size,
        "max_aspect": MAX_ASPECT,
        "reducing_gap": REDUCING_GAP,
        "band_pixels": BAND_PIXELS,
        "max_pixels": PIPELINE_PIXELS,
        "mark": MARK,
        "exif": base64.b64encode(mark(colorizer.name).tobytes().removeprefix(b"Exif\0\0")).decode(),
        "bytes": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    }


def _licence(name: str) -> str:
    """What the model card says. Raises ColorlibError if it says nothing: then the weights are not to be passed on."""
    card = (resources.files("colorlib") / "weights" / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^\| Licence of the weights \| (.+?) \|$", card, re.MULTILINE)
    if line is None:
        raise ColorlibError(f"expected a line 'Licence of the weights' in the model card of {name}, found none")
    return line[1]


def _pipeline_difference(colorizer: Colorizer, folder: Path) -> int:
    """The largest difference to `colorize`, in levels, over a wide and a narrow picture of noise with alpha."""
    rng, side = make_rng("export"), colorizer.recipe.size
    differences = []
    for height, width in ((2 * side + 3, 3 * side + 1), (side - 1, side // 2)):
        picture = torch.randint(0, 256, (height, width, 4), generator=rng, dtype=torch.uint8).numpy()
        expected = np.asarray(colorizer.colorize(picture)).astype(int)
        differences.append(np.abs(_run_pipeline(folder, picture, side) - expected).max())
    return int(max(differences))


def _run_pipeline(folder: Path, rgba: UInt8[np.ndarray, "h w 4"], side: int) -> UInt8[np.ndarray, "h w 4"]:
    """The two files at work, in two bands."""
    import onnxruntime

    network, join = (
        onnxruntime.InferenceSession((folder / name).read_bytes(), providers=["CPUExecutionProvider"])
        for name in ("network.onnx", "join.onnx")
    )
    height, width = rgba.shape[:2]
    small = shrink(np.ascontiguousarray(rgba[..., :3]), network_size(height, width, side))
    small = np.dstack([small, np.full(small.shape[:2], 255, np.uint8)])
    (maps,) = network.run(None, {"rgba": small})
    bands = []
    for top in (0, height // 2):
        rows = rgba[top : height // 2 if top == 0 else height]
        scalars = {"top": np.float32(top), "height": np.float32(height), "strength": np.float32(1)}
        bands += join.run(None, {"rgba": rows, "maps": maps} | {k: np.array(v) for k, v in scalars.items()})
    return np.concatenate(bands)


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
