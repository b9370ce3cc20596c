"""Draw tensors and training histories: grids of images, training curves, and the plane of a* and b*.

Every function returns a `matplotlib.figure.Figure`. The caller can `show` it in a notebook or write its `png_bytes` to
a file. pyplot is not used, so that there is no global state and no window.
"""

from __future__ import annotations

import base64
import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from colorlib import color

Images = UInt8[Tensor, "_ 3 _ _"] | Float[Tensor, "_ 3 _ _"]

# The colours of Okabe and Ito 2008, "Color universal design", which can be told apart with every common kind of colour
# blindness. Their yellow is left out, because it is hardly visible on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")

DPI = 100
# All lengths are in inches. A cell of 1.92 inches has 192 pixels, which is 6 times 32, 3 times 64 and 2 times 96.
CELL = 1.92
GAP = 0.06
LABEL_WIDTH = 1.6
FONT = 10.0

# The lightness L* at which figures show ab alone. It is near 74, where sRGB allows the most chroma at every hue.
NEUTRAL_LIGHTNESS = 70.0
# The plane of a* and b* is drawn from -PLANE to PLANE. Colours that sRGB cannot show are drawn in the grey OUTSIDE.
PLANE = 110.0
OUTSIDE = 0.93
PLANE_SIZE = (3.4, 3.6)


# ----------------------------------------------------------------------------- showing and saving


def show(fig: Figure, alt: str) -> None:
    """Display `fig` in the notebook as a PNG. `alt` is its alt text, which describes what the figure shows.

    Outside a notebook, nothing is displayed and there is a warning. Raises ValueError if `alt` is empty.
    """
    if not alt.strip():
        raise ValueError('the alt text is empty; describe what the figure shows, for example alt="D loss falls to 1.4"')
    if not show_png(png_bytes(fig), alt):
        warnings.warn("no notebook to show the figure in; try png_bytes(fig) to write it to a file", stacklevel=2)


def show_png(png: bytes, alt: str) -> bool:
    """Display a PNG file with its alt text in the notebook. Return False outside a notebook, where nothing happens."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return False
    if get_ipython() is None:
        return False
    # The PNG is displayed as a raw bundle, because IPython.display.Image of Colab's IPython version has no alt text.
    bundle = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})
    return True


def png_bytes(fig: Figure, dpi: float = DPI) -> bytes:
    """Return the figure as a PNG file, without the version of matplotlib, so that equal figures give equal bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


# ----------------------------------------------------------------------------- tensors to images


def to_numpy(
    rgb: UInt8[Tensor, "*batch 3 h w"] | Float[Tensor, "*batch 3 h w"],
) -> UInt8[np.ndarray, "*batch h w 3"]:
    """Convert images to the array that matplotlib, Pillow and scikit-image expect: uint8 with the channels last.

    Floats are sRGB in 0..1. Raises ValueError unless there are three channels.
    """
    if rgb.ndim < 3 or rgb.shape[-3] != 3:
        raise ValueError(f"expected images (*, 3, H, W), got {tuple(rgb.shape)}; use grey_image(L) to show a lightness")
    pixels = color.to_uint8(rgb) if rgb.is_floating_point() else rgb
    return pixels.detach().movedim(-3, -1).cpu().numpy()


def grey_image(L: Float[Tensor, "*batch 1 h w"]) -> UInt8[Tensor, "*batch 3 h w"]:
    """Convert L in network scaling to a grey image, which shows what the generator sees."""
    return color.to_uint8(color.join_lab(L, torch.zeros_like(L).expand(*L.shape[:-3], 2, *L.shape[-2:])))


def lab_channels(rgb: Images) -> dict[str, UInt8[Tensor, "_ 3 _ _"]]:
    """Return a batch and its three Lab channels as columns for `image_grid`.

    a* and b* are each shown alone, at a constant lightness. The chroma is reduced where sRGB cannot show it.
    """
    lab = color.rgb_to_lab(rgb if rgb.is_floating_point() else color.to_float(rgb))
    light = torch.full_like(lab[:, :1], NEUTRAL_LIGHTNESS)
    zero = torch.zeros_like(light)
    parts = {
        "photograph": lab,
        "L*: lightness": torch.cat([lab[:, :1], zero, zero], dim=1),
        "a*: green to red": torch.cat([light, lab[:, 1:2], zero], dim=1),
        "b*: blue to yellow": torch.cat([light, zero, lab[:, 2:]], dim=1),
    }
    return {name: color.to_uint8(color.lab_to_rgb(color.reduce_chroma(part))) for name, part in parts.items()}


# ----------------------------------------------------------------------------- a grid of images


def image_grid(
    columns: Mapping[str, Images],
    *,
    rows: Sequence[str] | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
    title: str = "",
    cell: float = CELL,
) -> Figure:
    """Draw batches side by side: each batch is a column under its name, and each row can have a label from `rows`.

    Images keep their aspect ratio and are not cropped. `cell` is the size of a cell in inches of 100 pixels. An image
    of at most half a cell is enlarged by a whole number, so that its pixels stay sharp. The images of different columns
    may differ in size. `captions` holds short texts for a column, one to be drawn below each image. Floats are sRGB in
    0..1. Raises ValueError without columns or images, for columns of different length, or for a wrong number of labels.
    """
    n = _count_rows(columns, rows)
    width, height = _cell_size([(batch.shape[-2], batch.shape[-1]) for batch in columns.values()], cell)
    heads = [_wrap(name, width) for name in columns]
    labels = [_wrap(label, LABEL_WIDTH) for label in rows or []]
    captions = captions or {}
    head, label, caption = _room(heads), _room(labels), _room([text for below in captions.values() for text in below])
    # A long heading or label can be larger than its image. The page then grows, so that no text covers another one.
    across, tall = GAP + max(width, head[0], caption[0]), max(height, label[1])
    down = GAP + tall + caption[1] + (GAP if caption[1] else 0)
    left = GAP + label[0] + (GAP if labels else 0)
    title = _wrap(title, left + len(heads) * across - 2 * GAP, "bold")
    banner = _room([title], "bold")
    top = GAP + banner[1] + (GAP if title else 0) + head[1] + GAP
    page = _Page(max(left + len(heads) * across, banner[0] + 2 * GAP), top + n * down)
    page.text(page.width / 2, GAP, title, ha="center", va="top", weight="bold")
    for r, text in enumerate(labels):
        page.text(left - GAP, top + r * down + tall / 2, text, ha="right", va="center")
    for c, (text, (name, batch)) in enumerate(zip(heads, columns.items(), strict=True)):
        middle = left + c * across + (across - GAP) / 2
        page.text(middle, top - GAP, text, ha="center", va="bottom")
        for r, image in enumerate(to_numpy(batch)):
            page.image(middle - width / 2, top + r * down + (tall - height) / 2, width, height, image)
        for r, below in enumerate(captions.get(name, [])):
            page.text(middle, top + r * down + tall + GAP / 2, below, ha="center", va="top")
    return page.fig


class _Page:
    """A figure with positions in inches from its upper left corner. matplotlib counts from the lower left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = _whole_pixels(width), _whole_pixels(height)
        self.fig = Figure(figsize=(self.width, self.height))

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.fig.text(x / self.width, 1 - y / self.height, text, fontsize=FONT, **style)

    def image(self, x: float, y: float, width: float, height: float, image: np.ndarray) -> None:
        x, y = _whole_pixels(x), _whole_pixels(y)
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        ax = self.fig.add_axes(box)
        enlarged = round(min(width * DPI / image.shape[1], height * DPI / image.shape[0]), 6)
        # Small images are enlarged here, because some versions of matplotlib give their pixels unequal widths.
        if enlarged >= 2:
            image = image.repeat(int(enlarged), axis=0).repeat(int(enlarged), axis=1)
        ax.imshow(image, interpolation="nearest" if enlarged >= 2 else "antialiased", aspect="equal")
        ax.set_axis_off()


def _count_rows(columns: Mapping[str, Tensor], rows: Sequence[str] | None) -> int:
    lengths = {name: len(batch) for name, batch in columns.items()}
    if not lengths or 0 in lengths.values():
        raise ValueError(f"expected at least one column of at least one image, got {lengths}")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected columns of the same length, got {lengths}; cut them with batch[:n]")
    n = next(iter(lengths.values()))
    if rows is not None and len(rows) != n:
        raise ValueError(f"expected a label for each of the {n} rows, got {len(rows)} labels")
    return n


def _cell_size(sizes: Sequence[tuple[int, int]], cell: float) -> tuple[float, float]:
    """Return the width and height in inches of the box into which every image is fitted. `sizes` are (h, w)."""
    h, w = max(sizes)
    longest = max(h, w)
    scale = cell * DPI / longest
    # An enlarged pixel gets a whole number of pixels. Otherwise, some pixels would be drawn wider than others.
    scale = math.floor(scale) if scale >= 2 else scale
    return max(1, round(w * scale)) / DPI, max(1, round(h * scale)) / DPI


def _whole_pixels(inches: float) -> float:
    return math.ceil(inches * DPI - 1e-6) / DPI


def _room(texts: Sequence[str], weight: str = "normal") -> tuple[float, float]:
    """Return the largest width and the largest height, in inches, of several texts. An empty text needs no room."""
    drawn = [Figure(dpi=DPI).text(0, 0, text, fontsize=FONT, weight=weight) for text in texts if text.strip()]
    extents = [text.get_window_extent() for text in drawn]
    return max((e.width for e in extents), default=0) / DPI, max((e.height for e in extents), default=0) / DPI


def _wrap(text: str, width: float, weight: str = "normal") -> str:
    """Break a text into lines of at most about `width` inches. A single word that is longer is not broken."""
    needed, _ = _room([text], weight)
    if needed <= width:
        return text
    # The average width of a character gives the length of a line. A tenth is left free for lines with wide letters.
    characters = max(1, int(0.9 * len(text) * width / needed))
    return "\n".join(textwrap.wrap(text, characters, break_long_words=False))


# ----------------------------------------------------------------------------- curves


def loss_curves(
    history: pd.DataFrame,
    columns: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    smooth: int = 1,
    log: bool = False,
    title: str = "",
) -> Figure:
    """Draw columns of a training history over its `step` column, or over its index if it has no such column.

    The columns of a list share one panel. A mapping draws a panel for each entry, with the key as the label of its y
    axis: `{"loss": ["d_loss", "g_loss"], "gradient norm": ["g_norm"]}`. With `smooth` above 1, the mean over that many
    neighbouring records is drawn, with the records themselves in a faint line behind it. Missing values (NaN) are
    skipped. Raises ValueError for an empty history or an unknown column; the message lists the existing columns.
    """
    panels = dict(columns) if isinstance(columns, Mapping) else {"loss": columns}
    _check_columns(history, [name for names in panels.values() for name in names], smooth)
    width = 7.0 if len(panels) == 1 else 5.0
    fig, axes = _panels(len(panels), (width, 3.4), title)
    for ax, (label, names) in zip(axes, panels.items(), strict=True):
        for i, name in enumerate(names):
            _line(ax, _over_steps(history, name), i, name, smooth)
        _finish(ax, width, xlabel=_axis_name(history), ylabel=label, log=log)
    return fig


def compare_runs(
    histories: Mapping[str, pd.DataFrame], column: str, *, smooth: int = 1, log: bool = False, title: str = ""
) -> Figure:
    """Draw one column of several histories in one panel, with a line for each run. Otherwise like `loss_curves`."""
    if not histories:
        raise ValueError("there must be at least one history to compare")
    for history in histories.values():
        _check_columns(history, [column], smooth)
    width = 7.0
    fig, (ax,) = _panels(1, (width, 3.4), title)
    for i, (run, history) in enumerate(histories.items()):
        _line(ax, _over_steps(history, column), i, run, smooth)
    _finish(ax, width, xlabel=_axis_name(next(iter(histories.values()))), ylabel=column, log=log)
    return fig


def _axis_name(history: pd.DataFrame) -> str:
    return "step" if "step" in history.columns else str(history.index.name or "record")


def _check_columns(history: pd.DataFrame, names: Sequence[str], smooth: int) -> None:
    if smooth < 1:
        raise ValueError(f"smooth is a number of records and must be at least 1, got {smooth}")
    if not names:
        raise ValueError(f"name at least one column to draw; there are {', '.join(history.columns)}")
    unknown = [name for name in names if name not in history.columns]
    if unknown:
        raise ValueError(f"no column {', '.join(unknown)} in the history; there are {', '.join(history.columns)}")
    if history.empty:
        raise ValueError("the history needs at least one record to draw; train for at least one step first")


def _over_steps(history: pd.DataFrame, name: str) -> pd.Series:
    """Return a column without its missing values, so that values of every tenth step are also joined to a line."""
    indexed = history.set_index("step") if "step" in history.columns and name != "step" else history
    return indexed[name].astype(float).replace([np.inf, -np.inf], np.nan).dropna()


def _line(ax: Axes, values: pd.Series, i: int, label: str, smooth: int) -> None:
    colour, dashes = PALETTE[i % len(PALETTE)], DASHES[i // len(PALETTE) % len(DASHES)]
    if values.empty:
        label += " (no values)"
    if smooth > 1:
        ax.plot(values.index, values, color=colour, alpha=0.25, linewidth=0.8)
        values = values.rolling(smooth, min_periods=1, center=True).mean()
    marker = "o" if len(values) <= 12 else ""
    ax.plot(values.index, values, dashes, color=colour, label=label, linewidth=1.8, marker=marker, markersize=4)


def _finish(ax: Axes, width: float, *, xlabel: str, ylabel: str, log: bool) -> None:
    ax.set_xlabel(xlabel, fontsize=FONT)
    ax.set_ylabel(ylabel, fontsize=FONT)
    if log:
        ax.set_yscale("log")
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    # The legend is above the panel, where it hides no curve, in as many columns as fit.
    widest = 0.6 + _room(ax.get_legend_handles_labels()[1])[0]
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=max(1, int((width - 0.7) / widest)),
        frameon=False,
        fontsize=FONT,
        borderaxespad=0.2,
        handlelength=1.8,
    )


def _panels(n: int, size: tuple[float, float], title: str) -> tuple[Figure, list[Axes]]:
    """Make a figure with a row of `n` panels, each of `size` inches (width, height)."""
    fig = Figure(figsize=(n * size[0], size[1]), layout="constrained")
    if title:
        fig.suptitle(title, fontsize=FONT, weight="bold")
    return fig, list(fig.subplots(1, n, squeeze=False)[0])


# ----------------------------------------------------------------------------- the ab plane


def gamut_slice(*lightness: float, point: tuple[float, float] | None = None, title: str = "") -> Figure:
    """Draw the colours that sRGB can show at each `lightness` (L*, 0..100), in the plane of a* and b*.

    Points outside the gamut are grey. `point`, a pair (a*, b*), is marked by a ring. Raises ValueError without a
    lightness, or for a lightness outside 0..100.
    """
    if not lightness or not all(0 <= value <= 100 for value in lightness):
        raise ValueError(f"expected one or more values of L* in 0..100, got {lightness}")
    fig, axes = _panels(len(lightness), PLANE_SIZE, title)
    for ax, value in zip(axes, lightness, strict=True):
        lab, inside = _plane(value, steps=221)
        image = to_numpy(torch.where(inside, color.lab_to_rgb(lab), OUTSIDE))
        _draw_plane(ax, image, f"L* = {value:g}")
        if point is not None:
            # A black ring on a wider white one is visible on every colour.
            ax.plot(*point, marker="o", markersize=11, markerfacecolor="none", color="white", markeredgewidth=3.5)
            ax.plot(*point, marker="o", markersize=11, markerfacecolor="none", color="black", markeredgewidth=1.5)
    return fig


def ab_histogram(samples: Mapping[str, Float[Tensor, "_ 2 _ _"]], *, bins: int = 55, title: str = "") -> Figure:
    """Draw how often each ab occurs in sets of images, in a panel for each set. `samples` are ab in network scaling.

    A bin is drawn in its own colour. The fewer pixels it contains, the paler it is, and an empty bin is white. The
    scale is logarithmic, because most pixels are near grey. Values outside the plane are counted at its edge. Raises
    ValueError if a set has no pixels, or if there is no set.
    """
    empty = [name for name, ab in samples.items() if ab.numel() == 0]
    if not samples or empty:
        problem = f"these sets have no pixels: {', '.join(empty)}" if empty else "there is no set of images to draw"
        raise ValueError(problem)
    fig, axes = _panels(len(samples), PLANE_SIZE, title)
    lab, _ = _plane(NEUTRAL_LIGHTNESS, steps=bins)
    colours = color.lab_to_rgb(color.reduce_chroma(lab))
    for ax, (name, ab) in zip(axes, samples.items(), strict=True):
        ink = torch.log1p(_count(ab, bins))
        # A bin with a single pixel gets at least 0.25, so that it can be told from an empty bin.
        ink = torch.where(ink > 0, 0.25 + 0.75 * ink / ink.max(), 0)
        _draw_plane(ax, to_numpy(1 - ink * (1 - colours)), name)
    return fig


def _plane(lightness: float, steps: int) -> tuple[Float[Tensor, "3 n n"], Bool[Tensor, "n n"]]:
    """Return the Lab image of the plane, and a mask of what sRGB can show. Row 0 has the lowest b*.

    Each pixel has the a* and b* of the middle of its step.
    """
    centres = (torch.arange(steps) + 0.5) / steps * 2 * PLANE - PLANE
    b, a = torch.meshgrid(centres, centres, indexing="ij")
    lab = torch.stack([torch.full_like(a, lightness), a, b])
    return lab, color.in_gamut(lab)


def _count(ab: Float[Tensor, "_ 2 _ _"], bins: int) -> Float[Tensor, "bins bins"]:
    """Count the pixels in each bin of the plane. Row 0 has the lowest b*."""
    a, b = (ab.detach().movedim(1, 0).flatten(1).cpu() * color.AB_SCALE).float()
    column, row = (((channel + PLANE) / (2 * PLANE) * bins).long().clamp(0, bins - 1) for channel in (a, b))
    return torch.bincount(row * bins + column, minlength=bins * bins).reshape(bins, bins).float()


def _draw_plane(ax: Axes, image: UInt8[np.ndarray, "n n 3"], name: str) -> None:
    ax.imshow(image, origin="lower", extent=(-PLANE, PLANE, -PLANE, PLANE), interpolation="nearest")
    ax.axhline(0, color="0.5", linewidth=0.6)
    ax.axvline(0, color="0.5", linewidth=0.6)
    ax.set_title(_wrap(name, 2.6), fontsize=FONT)
    ax.set_xlabel("a* (green to red)", fontsize=FONT)
    ax.set_ylabel("b* (blue to yellow)", fontsize=FONT)
    ax.set_xticks(range(-100, 101, 50))
    ax.set_yticks(range(-100, 101, 50))
