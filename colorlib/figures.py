"""Tensors and histories to pictures: image grids, training curves, the ab plane.

Every function returns a `matplotlib.figure.Figure` and leaves it to the caller to `show` it in a notebook or to write
its `png_bytes` to a file. Nothing here goes through pyplot, so there is no global state and no window.
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

# Okabe and Ito 2008, "Color universal design": told apart with every common kind of colour blindness. Their yellow is
# left out, it is invisible on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")

DPI = 100
# Inches. A cell of 1.92 is 192 pixels: 6 times 32, 3 times 64, twice 96.
CELL = 1.92
GAP = 0.06
LABEL_WIDTH = 1.6
FONT = 10.0

# The lightness at which chroma alone is shown: near the one (74) where sRGB has most of it at every hue.
NEUTRAL_LIGHTNESS = 70.0
# The plane reaches from -PLANE to PLANE in a* and b*; what sRGB cannot show there is drawn in this grey.
PLANE = 110.0
OUTSIDE = 0.93
PLANE_SIZE = (3.4, 3.6)


# ----------------------------------------------------------------------------- out of here


def show(fig: Figure, alt: str) -> None:
    """Display `fig` in the notebook as a PNG whose alt text says what is to be seen.

    Outside a notebook there is nowhere to display it: warns and returns. Raises ValueError if `alt` is empty.
    """
    if not alt.strip():
        raise ValueError('expected alt text that says what the figure shows, got ""; try alt="D loss falls to 1.4"')
    if not show_png(png_bytes(fig), alt):
        warnings.warn("no notebook to show the figure in; try png_bytes(fig) to write it to a file", stacklevel=2)


def show_png(png: bytes, alt: str) -> bool:
    """Display a PNG file with its alt text in the notebook; False outside one, where nothing is displayed."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return False
    if get_ipython() is None:
        return False
    # A raw bundle, because IPython.display.Image has no alt text in the IPython of Colab.
    bundle = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})
    return True


def png_bytes(fig: Figure, dpi: float = DPI) -> bytes:
    """The figure as a PNG file, without the version of matplotlib: the same figure made again gives the same bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


# ----------------------------------------------------------------------------- tensors to images


def to_numpy(
    rgb: UInt8[Tensor, "*batch 3 h w"] | Float[Tensor, "*batch 3 h w"],
) -> UInt8[np.ndarray, "*batch h w 3"]:
    """The array that matplotlib, Pillow and scikit-image expect: uint8, channels last. Floats are sRGB in 0..1.

    Raises ValueError unless there are three channels.
    """
    if rgb.ndim < 3 or rgb.shape[-3] != 3:
        raise ValueError(f"expected images (*, 3, H, W), got {tuple(rgb.shape)}; try grey_image(L) for a lightness")
    pixels = color.to_uint8(rgb) if rgb.is_floating_point() else rgb
    return pixels.detach().movedim(-3, -1).cpu().numpy()


def grey_image(L: Float[Tensor, "*batch 1 h w"]) -> UInt8[Tensor, "*batch 3 h w"]:
    """What the generator sees, as a picture: L in network scaling, without chroma."""
    return color.to_uint8(color.join_lab(L, torch.zeros_like(L).expand(*L.shape[:-3], 2, *L.shape[-2:])))


def lab_channels(rgb: Images) -> dict[str, UInt8[Tensor, "_ 3 _ _"]]:
    """A batch and its three Lab channels as columns for `image_grid`.

    a* and b* are shown one at a time at a constant lightness, with the chroma reduced where sRGB cannot show it.
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
    """Batches side by side: one column a batch, headed by its name, one row an image, labelled by `rows` if given.

    Images keep their shape and nothing is cropped. An image of at most half a cell (`cell` is in inches of 100 pixels)
    is enlarged by a whole number and stays sharp; columns may differ in size. `captions` has, for a column, a short
    text to stand below each image. Floats are sRGB in 0..1. Raises ValueError for no columns, no images, columns of
    different length or the wrong number of labels.
    """
    n = _count_rows(columns, rows)
    width, height = _cell_size([(batch.shape[-2], batch.shape[-1]) for batch in columns.values()], cell)
    heads = [_wrap(name, width) for name in columns]
    labels = [_wrap(label, LABEL_WIDTH) for label in rows or []]
    captions = captions or {}
    head, label, caption = _room(heads), _room(labels), _room([text for below in captions.values() for text in below])
    # A long head or label may be larger than its image: then the page grows, and nothing runs over its neighbour.
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
    """A figure addressed in inches from its upper left corner, as one reads it."""

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
        if enlarged >= 2:  # here, for not every matplotlib gives each pixel of a small image the same width
            image = image.repeat(int(enlarged), axis=0).repeat(int(enlarged), axis=1)
        ax.imshow(image, interpolation="nearest" if enlarged >= 2 else "antialiased", aspect="equal")
        ax.set_axis_off()


def _count_rows(columns: Mapping[str, Tensor], rows: Sequence[str] | None) -> int:
    lengths = {name: len(batch) for name, batch in columns.items()}
    if not lengths or 0 in lengths.values():
        raise ValueError(f"expected at least one column of at least one image, got {lengths}")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected columns of one length, got {lengths}; try cutting them with batch[:n]")
    n = next(iter(lengths.values()))
    if rows is not None and len(rows) != n:
        raise ValueError(f"expected a label for each of the {n} rows, got {len(rows)}")
    return n


def _cell_size(sizes: Sequence[tuple[int, int]], cell: float) -> tuple[float, float]:
    """Width and height in inches of the box that every image is fitted into; `sizes` are (h, w)."""
    h, w = max(sizes)
    longest = max(h, w)
    scale = cell * DPI / longest
    # A whole number of pixels for each pixel, or some columns of a small image come out wider than others.
    scale = math.floor(scale) if scale >= 2 else scale
    return max(1, round(w * scale)) / DPI, max(1, round(h * scale)) / DPI


def _whole_pixels(inches: float) -> float:
    return math.ceil(inches * DPI - 1e-6) / DPI


def _room(texts: Sequence[str], weight: str = "normal") -> tuple[float, float]:
    """Largest width and height in inches of several texts, as they will be drawn; an empty one takes no room."""
    drawn = [Figure(dpi=DPI).text(0, 0, text, fontsize=FONT, weight=weight) for text in texts if text.strip()]
    extents = [text.get_window_extent() for text in drawn]
    return max((e.width for e in extents), default=0) / DPI, max((e.height for e in extents), default=0) / DPI


def _wrap(text: str, width: float, weight: str = "normal") -> str:
    """Break a text into lines of at most about `width` inches; a single word that is longer stays whole."""
    needed, _ = _room([text], weight)
    if needed <= width:
        return text
    # A tenth less than the average character allows, for lines full of wide letters.
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
    """Columns of a training history over its `step` column, or over its index where it has none.

    A list of columns shares one panel. A mapping makes a panel an entry, with the key as the label of its axis:
    `{"loss": ["d_loss", "g_loss"], "gradient norm": ["g_norm"]}`. With `smooth` above 1 the mean over that many
    neighbouring records is drawn, the records themselves faintly behind it. Missing values (NaN) are passed over.
    Raises ValueError for an empty history or an unknown column, and names the columns there are.
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
    """One column of several histories in one panel: the runs are the lines. Otherwise like `loss_curves`."""
    if not histories:
        raise ValueError("expected at least one history, got none")
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
        raise ValueError(f"expected smooth to be a number of records of at least 1, got {smooth}")
    if not names:
        raise ValueError(f"expected at least one column to draw, got none; there are {', '.join(history.columns)}")
    unknown = [name for name in names if name not in history.columns]
    if unknown:
        raise ValueError(f"no column {', '.join(unknown)} in the history; there are {', '.join(history.columns)}")
    if history.empty:
        raise ValueError("expected a history with at least one record, got none; try training for a step first")


def _over_steps(history: pd.DataFrame, name: str) -> pd.Series:
    """A column without its gaps: what is recorded every tenth step is joined to a line all the same."""
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
    # Above the panel, in as many columns as fit: there it hides no curve.
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
    """A row of `n` panels, each of `size` inches (width, height)."""
    fig = Figure(figsize=(n * size[0], size[1]), layout="constrained")
    if title:
        fig.suptitle(title, fontsize=FONT, weight="bold")
    return fig, list(fig.subplots(1, n, squeeze=False)[0])


# ----------------------------------------------------------------------------- the ab plane


def gamut_slice(*lightness: float, point: tuple[float, float] | None = None, title: str = "") -> Figure:
    """The colours that sRGB can show at each `lightness` (L*, 0..100), in the plane of a* and b*.

    Colours outside the gamut are left grey. `point`, an (a*, b*), is marked by a ring. Raises ValueError unless there
    is at least one lightness, all in 0..100.
    """
    if not lightness or not all(0 <= value <= 100 for value in lightness):
        raise ValueError(f"expected one or more values of L* in 0..100, got {lightness}")
    fig, axes = _panels(len(lightness), PLANE_SIZE, title)
    for ax, value in zip(axes, lightness, strict=True):
        lab, inside = _plane(value, steps=221)
        image = to_numpy(torch.where(inside, color.lab_to_rgb(lab), OUTSIDE))
        _draw_plane(ax, image, f"L* = {value:g}")
        if point is not None:
            ax.plot(*point, marker="o", markersize=11, markerfacecolor="none", color="white", markeredgewidth=3.5)
            ax.plot(*point, marker="o", markersize=11, markerfacecolor="none", color="black", markeredgewidth=1.5)
    return fig


def ab_histogram(samples: Mapping[str, Float[Tensor, "_ 2 _ _"]], *, bins: int = 55, title: str = "") -> Figure:
    """Which chroma a set of images is made of: a panel a name, `samples` are ab in network scaling.

    A bin has its own colour, paler the fewer pixels fall into it (logarithmic, as chroma piles up near grey), white
    where there are none. Values beyond the plane are counted at its edge. Raises ValueError if there is nothing to
    count.
    """
    empty = [name for name, ab in samples.items() if ab.numel() == 0]
    if not samples or empty:
        raise ValueError(f"expected ab with at least one pixel for each name, got {empty or 'no names'}")
    fig, axes = _panels(len(samples), PLANE_SIZE, title)
    lab, _ = _plane(NEUTRAL_LIGHTNESS, steps=bins)
    colours = color.lab_to_rgb(color.reduce_chroma(lab))
    for ax, (name, ab) in zip(axes, samples.items(), strict=True):
        ink = torch.log1p(_count(ab, bins))
        # A bin with a single pixel must be told from an empty one.
        ink = torch.where(ink > 0, 0.25 + 0.75 * ink / ink.max(), 0)
        _draw_plane(ax, to_numpy(1 - ink * (1 - colours)), name)
    return fig


def _plane(lightness: float, steps: int) -> tuple[Float[Tensor, "3 n n"], Bool[Tensor, "n n"]]:
    """Lab of the plane, row 0 at the lowest b*, sampled in the middle of each step; and what of it is in gamut."""
    centres = (torch.arange(steps) + 0.5) / steps * 2 * PLANE - PLANE
    b, a = torch.meshgrid(centres, centres, indexing="ij")
    lab = torch.stack([torch.full_like(a, lightness), a, b])
    return lab, color.in_gamut(lab)


def _count(ab: Float[Tensor, "_ 2 _ _"], bins: int) -> Float[Tensor, "bins bins"]:
    """Pixels in each bin of the plane, row 0 at the lowest b*."""
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
