"""A panel that colours a photograph of one's own: choose it, compare before and after, and save the marked result."""

from __future__ import annotations

import html
import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from colorlib.color import AB_SCALE, join_lab, split_lab, to_float
from colorlib.course.widgets import Pictured, button, side_by_side, slider, text_field, upload
from colorlib.errors import ColorlibError
from colorlib.figures import to_numpy
from colorlib.images import ImageLike, ReadImage, read_image
from colorlib.inference import Colorizer, save_marked
from colorlib.upsampling import as_batch

VIEW = 760  # pixels of the longer side of the shown picture; the saved picture has the photograph's own size
LINE = 3  # pixels between before and after
ALT = "A photograph, its left part in grey as it was given, its right part in colour as the model guesses it."


class Studio(Pictured):
    """Upload a photograph, see it before and after, choose the strength of its colours, save it at full size.

    Args:
        colorizer: the model that predicts the colours.
        out: the folder that `Save` writes into.
        photo: the first photograph, a path or anything that `Colorizer.colorize` takes; `name` is what to call it.
    """

    def __init__(self, colorizer: Colorizer, out: str | Path, photo: ImageLike, name: str = "photograph") -> None:
        self.colorizer, self.out, self.saved = colorizer, Path(out), Path()
        self.controls = {
            "strength": slider(0.0, 1.0, value=1.0, step=0.05, label="strength"),
            "split": slider(0, 100, value=50, step=1, label="% before"),
        }
        self.upload = upload("Photograph", self.open_photograph)
        # Jupyter silently drops messages of more than 10 MB to the kernel; a path has no such limit.
        self.path = text_field(
            "or, over 9 MB, its path", self._open_path, hint="photographs/grandmother.jpg, then Enter"
        )
        self.save_button = button("Save", self._save)
        rows = [side_by_side(self.upload, self.path), side_by_side(*self.controls.values(), self.save_button)]
        super().__init__(rows, ALT)
        for control in self.controls.values():
            control.observe(self._show, names="value")
        self.open_photograph(name, photo)

    def open_photograph(self, name: str, photo: ImageLike) -> None:
        """Show another photograph. If it cannot be read, a line says why and the present photograph stays."""
        try:
            read = read_image(photo)
            view = _view(read)
            coloured = _tensor(self.colorizer.colorize(view))
        except (ColorlibError, OSError, ValueError) as error:
            self._say(f"{name}: {error}")
            return
        self.name, self.photo, self.notes = name, photo, read.notes
        self.size = (read.rgb.shape[1], read.rgb.shape[0])
        self._L, self._ab = split_lab(_tensor(view))[0], split_lab(coloured)[1]
        self._show()

    def _open_path(self, path: str) -> None:
        if path.strip():
            self.open_photograph(Path(path.strip()).name, Path(path.strip()).expanduser())

    def _show(self, change: object = None) -> None:
        strength, before = self.controls["strength"].value, self.controls["split"].value / 100
        shown = compose(self._L, strength * self._ab, before)
        file = io.BytesIO()
        Image.fromarray(to_numpy(shown)[0]).save(file, format="PNG")
        self.image.value = file.getvalue()
        chroma = AB_SCALE * split_lab(shown)[1].norm(dim=1).mean().item()
        width, height = self.size
        self._say(f"{self.name}: {width} x {height} pixels; mean chroma of what is shown {chroma:.1f}", *self.notes)

    def _save(self) -> None:
        """Colour the photograph at its own size and write it, marked, beside earlier ones."""
        strength = self.controls["strength"].value
        path = _free(self.out, Path(self.name).stem)
        try:
            save_marked(self.colorizer.colorize(self.photo, strength=strength), path, self.colorizer.name)
        except (ColorlibError, OSError, ValueError, MemoryError) as error:
            self._say(f"{self.name} is not saved: {error}")
            return
        self.saved = path
        self._say(f"saved as {path}, with the mark of a model in its metadata")

    def _say(self, *lines: str) -> None:
        self.text.value = "<br>".join(html.escape(line) for line in lines)


def _view(read: ReadImage) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph small enough for a page; never enlarged."""
    picture = Image.fromarray(read.rgb)
    picture.thumbnail((VIEW, VIEW), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _tensor(picture: Image.Image | UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    return to_float(as_batch(np.array(picture)))


def compose(L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"], before: float) -> Float[Tensor, "1 3 h w"]:
    """Grey up to the share `before` of the width, then a white line, then colour; sRGB 0..1."""
    grey, colour = join_lab(L, torch.zeros_like(ab)), join_lab(L, ab, gamut="chroma")
    edge = round(before * L.shape[-1])
    picture = torch.cat([grey[..., :edge], colour[..., edge:]], dim=-1)
    if 0 < edge < L.shape[-1]:
        picture[..., max(0, edge - LINE // 2) : edge + LINE // 2 + 1] = 1.0
    return picture


def _free(folder: Path, stem: str) -> Path:
    """`folder/stem.png`, with a number if a file of that name exists: nothing is overwritten."""
    names = [stem, *(f"{stem}-{k}" for k in range(2, 1000))]
    return next(path for name in names if not (path := folder / f"{name}.png").exists())
