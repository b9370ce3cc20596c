"""Write the two ONNX files that the page in the browser runs: `python site/app/export_pipeline.py` (make app).

Together they compute what `Colorizer.colorize` computes for an 8-bit photograph, except that the page itself shrinks
the photograph to the network's resolution:

`network.onnx`: the input `rgba` (uint8, height, width, 4) is the photograph shrunk to `network_size`. The output is
`maps`, from which ab can be computed at any resolution.
`join.onnx`: the inputs are `rgba` (some rows of the photograph in full resolution), `maps`, and the floats `top` (the
index of the first of these rows), `height` (of the photograph) and `strength` (0..2, multiplies ab). The output is
`coloured`, the coloured rows. A colour outside the sRGB gamut, which is frequent at a strength above 1, is replaced by
a colour of the same lightness and hue with less chroma.
`pipeline.json`: the other facts that the page needs: sizes, the weights and their licence, the mark for the metadata.

The files are written only if onnxruntime colours two test images as torch does, at strength 1 and at the largest one.
"""

from __future__ import annotations

import argparse
import base64
import copy
import json
import re
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx import ONNXProgram

from colorlib import color, upsampling
from colorlib.cli.export import check_installed, open_session, save, to_onnx
from colorlib.devices import make_rng
from colorlib.errors import ColorlibError
from colorlib.inference import (
    MARK,
    MAX_ASPECT,
    MAX_STRENGTH,
    REDUCING_GAP,
    Colorizer,
    mark,
    network_size,
    shipped_weights,
    shrink,
)
from colorlib.upsampling import BAND_PIXELS, ChromaField

MODEL = Path(__file__).parent / "model"
# The largest accepted difference from the result of `Colorizer.colorize`, in levels of 255.
LEVELS = 2
# The largest photograph in pixels (for example 8000 x 4194) for which the tab of a browser has enough memory.
MAX_PIXELS = 2**25
# Smaller tensors stay in single precision, because the node that converts a tensor back would need more space than
# half precision saves.
SMALLEST_HALF = 256


class PhotographToMaps(nn.Module):
    """The content of network.onnx: predict the `ChromaField` of a photograph as maps of four channels.

    The input is the photograph shrunk to the generator's resolution. Its alpha channel is ignored.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, rgba: Tensor) -> Tensor:
        L, _ = color.split_lab(color.to_float(as_batch(rgba)))
        field = ChromaField.fit(L, self.generator(L))
        return torch.cat([field.slope, field.base], dim=1)


class JoinRows(nn.Module):
    """The content of join.onnx: colour some rows of a photograph with the maps. Lightness and alpha do not change."""

    def forward(self, rgba: Tensor, maps: Tensor, top: Tensor, height: Tensor, strength: Tensor) -> Tensor:
        rows, width = rgba.shape[:2]
        field = ChromaField(*(strength * maps).chunk(2, dim=1)).rows(top, rows, height).widened(width)
        lab = upsampling.with_chroma(as_batch(rgba), field)
        coloured = upsampling.to_levels(lab, linear_light(lab))
        return torch.cat([coloured[0].permute(1, 2, 0), rgba[..., 3:]], dim=-1)


def as_batch(rgba: Tensor) -> Tensor:
    """Drop alpha and turn (h, w, 4) into a batch (1, 3, h, w)."""
    return rgba[..., :3].permute(2, 0, 1).unsqueeze(0)


def linear_light(lab: Tensor) -> Tensor:
    """Compute `upsampling.linear_light` without selecting the pixels outside the gamut by an index.

    The number of these pixels differs from photograph to photograph, and the ONNX graph cannot express that.
    Therefore the chroma of all pixels is reduced, and the result is used only where the colour is outside the gamut.
    """
    linear, reduced = (color.xyz_to_linear(color.lab_to_xyz(x)) for x in (lab, upsampling.reduce_chroma(lab)))
    return torch.where(color.in_gamut_linear(linear).unsqueeze(1), linear, reduced)


def export_pipeline(colorizer: Colorizer, folder: Path) -> dict[str, Any]:
    """Write `network.onnx`, `join.onnx` and `pipeline.json` into `folder`.

    Weights that half precision represents exactly are stored in half precision. Returns `max_difference`, the largest
    difference in levels between test images coloured by onnxruntime and by torch, and `bytes`, the size of all files.

    Raises ColorlibError if the extra `export` is not installed, torch cannot export the model, or the results differ
    by more than LEVELS.
    """
    check_installed()
    colorizer = Colorizer(copy.deepcopy(colorizer.generator).cpu().eval(), colorizer.recipe, name=colorizer.name)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
        work = Path(temporary)
        save_small(network_program(colorizer), work / "network.onnx")
        save_small(join_program(), work / "join.onnx")
        (work / "pipeline.json").write_text(json.dumps(facts(colorizer, work), indent=1) + "\n", encoding="utf-8")
        difference = largest_difference(colorizer, work)
        if difference > LEVELS:
            raise ColorlibError(
                f"the colours of onnxruntime and torch differ by {difference} of 255 levels; {LEVELS} are allowed"
            )
        written = [file.replace(folder / file.name) for file in sorted(work.iterdir())]
    return {"max_difference": difference, "bytes": sum(file.stat().st_size for file in written)}


def network_program(colorizer: Colorizer) -> ONNXProgram:
    side = colorizer.recipe.size
    rgba = torch.zeros(side, side + 32, 4, dtype=torch.uint8)
    module, dynamic = PhotographToMaps(colorizer.generator).eval(), {"rgba": {0: "height", 1: "width"}}
    # The optimiser would multiply the batch norms into the weights. Half precision could then no longer represent the
    # weights exactly.
    return to_onnx(module, {"rgba": rgba}, dynamic, "maps", optimize=False)


def join_program() -> ONNXProgram:
    inputs = {"rgba": torch.zeros(7, 9, 4, dtype=torch.uint8), "maps": torch.zeros(1, 4, 5, 6)}
    inputs |= {"top": torch.tensor(3.0), "height": torch.tensor(14.0), "strength": torch.tensor(1.0)}
    dynamic = {"rgba": {0: "rows", 1: "width"}, "maps": {2: "map_height", 3: "map_width"}}
    module = JoinRows().eval()
    module(**inputs)  # computes the cached tables of `upsampling`; otherwise the exporter would trace their computation
    return to_onnx(module, inputs, dynamic, "coloured")


def save_small(program: ONNXProgram, path: Path) -> None:
    """Save the model. Where half precision is exact, store it, and add a node that converts it to single precision."""
    import onnx

    save(program, path)
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALF:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if (half == values).all():
            name, stored = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def facts(colorizer: Colorizer, folder: Path) -> dict[str, Any]:
    """Return the content of pipeline.json: every constant of the Python code that the page uses."""
    return {
        "weights": colorizer.name,
        "licence": licence(colorizer.name) if colorizer.name in shipped_weights() else None,
        "size": colorizer.recipe.size,
        "max_aspect": MAX_ASPECT,
        "reducing_gap": REDUCING_GAP,
        "band_pixels": BAND_PIXELS,
        "max_pixels": MAX_PIXELS,
        "mark": MARK,
        "exif": base64.b64encode(mark(colorizer.name).tobytes().removeprefix(b"Exif\0\0")).decode(),
        "bytes": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
    }


def licence(name: str) -> str:
    """Return the licence that the model card states. Raises ColorlibError if the card has no such line.

    Weights without a licence must not be distributed with the page.
    """
    card = (resources.files("colorlib") / "weights" / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^\| Licence of the weights \| (.+?) \|$", card, re.MULTILINE)
    if line is None:
        raise ColorlibError(f"the model card of {name} has no line 'Licence of the weights'")
    return line[1]


def largest_difference(colorizer: Colorizer, folder: Path) -> int:
    """Return the largest difference in levels from `colorize` for a wide and a narrow image of noise with alpha."""
    rng, side = make_rng("export"), colorizer.recipe.size
    differences = []
    for height, width in ((2 * side + 3, 3 * side + 1), (side - 1, side // 2)):
        noise = torch.randint(0, 256, (height, width, 4), generator=rng, dtype=torch.uint8).numpy()
        for strength in (1.0, MAX_STRENGTH):
            expected = np.asarray(colorizer.colorize(noise, strength=strength)).astype(int)
            got = run_pipeline(folder, noise, side, rows=height // 2, strength=strength)
            differences.append(np.abs(got - expected).max())
    return int(max(differences))


def run_pipeline(folder: Path, rgba: np.ndarray, size: int, *, rows: int, strength: float = 1.0) -> np.ndarray:
    """Colour an image as the page does: shrink it, run the network once, then colour `rows` rows at a time."""
    network, join = (open_session(folder / name) for name in ("network.onnx", "join.onnx"))
    height, width = rgba.shape[:2]
    small = shrink(np.ascontiguousarray(rgba[..., :3]), network_size(height, width, size))
    (maps,) = network.run(None, {"rgba": np.dstack([small, small[..., :1]])})
    bands = []
    for top in range(0, height, rows):
        scalars = {"top": top, "height": height, "strength": strength}
        inputs = {name: np.array(value, np.float32) for name, value in scalars.items()}
        bands += join.run(None, {"rgba": rgba[top : top + rows], "maps": maps} | inputs)
    return np.concatenate(bands)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="default", help="shipped weights by name, a run's folder, or a file")
    parser.add_argument("--out", type=Path, default=MODEL, help="the folder to write to; default: site/app/model")
    args = parser.parse_args(arguments)
    try:
        done = export_pipeline(Colorizer.load(args.weights, "cpu"), args.out)
    except (ColorlibError, OSError, ValueError) as error:
        print(f"export_pipeline: {error}", file=sys.stderr)
        return 2
    print(
        f"Wrote {done['bytes'] / 1e6:.1f} MB to {args.out}. "
        f"The colours differ by at most {done['max_difference']} of 255 levels from torch"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
