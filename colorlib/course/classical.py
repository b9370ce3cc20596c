"""Colouring before deep learning: a palette, the statistics of a reference, matched samples, scribbles.

Every method takes one image and has the interface of the generator, so that the same metrics and figures can be used:
from L `(1, H, W)` it makes ab `(2, H, W)`, both in network scaling, and `color.join_lab` joins the two. References are
sRGB `(3, H, W)` in 0..1. None of these methods recognises objects; that is what the networks of the course learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from scipy.sparse import csc_matrix, diags, identity
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import avg_pool2d

from colorlib.color import split_lab
from colorlib.devices import make_rng

UNPAINTED = -1
# A tenth of a unit of Lab. The noise of a grey picture deviates by less, and must not be stretched to a colour.
SMALLEST_DEVIATION = 1e-3

# Levin's eq. 2 divides by 2 sigma^2; the program published with the paper divides by 0.6 sigma^2 and is that much
# stricter about edges.
LEVIN_STRENGTH = 2 / 0.6
# Variance of a lightness in 0..1 below which a window counts as flat: half an 8-bit step, squared.
FLAT = (0.5 / 255) ** 2
# An edge never counts less than exp(-20) = 2e-9: a region without a mark then takes its neighbours' colours, where a
# weight of zero would leave it undetermined.
LARGEST_EXPONENT = 20.0


# ----------------------------------------------------------------------------- by hand


def paint_palette(
    L: Float[Tensor, "1 h w"], labels: Integer[Tensor, "h w"], palette: Float[Tensor, "n 2"]
) -> Float[Tensor, "2 h w"]:
    """Manual colouring: every pixel of region `i` gets the ab `palette[i]`; regions of label -1 stay grey.

    Raises ValueError for labels that the palette does not have or that are not of the size of L.
    """
    if labels.shape != L.shape[-2:]:
        raise ValueError(f"expected a label for each of the {tuple(L.shape[-2:])} pixels, got {tuple(labels.shape)}")
    # uint8 cannot be compared with -1: there it is 255.
    labels = labels.long()
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < UNPAINTED or highest >= len(palette):
        raise ValueError(
            f"expected labels from {UNPAINTED} to {len(palette) - 1} for a palette of {len(palette)} colours, "
            f"got {lowest} to {highest}"
        )
    # Grey stands last, where the index -1 finds it.
    colours = torch.cat([palette, palette.new_zeros(1, 2)]).to(L)
    return colours[labels.to(L.device)].movedim(-1, 0)


# ----------------------------------------------------------------------------- by statistics


def transfer_statistics(
    target: Float[Tensor, "3 h w"], reference: Float[Tensor, "3 h2 w2"], *, match_lightness: bool = False
) -> tuple[Float[Tensor, "1 h w"], Float[Tensor, "2 h w"]]:
    """L and ab of `target`, each channel shifted and stretched to the mean and deviation that `reference` has.

    Reinhard, Ashikhmin, Gooch and Shirley 2001, "Color transfer between images", IEEE CG&A 21(5), eq. 10 and 11. They
    work in l-alpha-beta and match all three channels. Here the space is Lab, as everywhere in this course. Lightness is
    matched only on request, because colorization keeps the photograph's own.

    A grey target has no deviation to stretch: its ab becomes the mean of the reference, the same tint everywhere. This
    is why `welsh` looks at each pixel. Colours may leave the gamut; `join_lab` brings them back.
    """
    L, ab = split_lab(target)
    L_reference, ab_reference = split_lab(reference)
    return _match(L, L_reference) if match_lightness else L, _match(ab, ab_reference)


def _match(values: Float[Tensor, "c h w"], reference: Float[Tensor, "c h2 w2"]) -> Float[Tensor, "c h w"]:
    """Reinhard's eq. 10 and 11, channel by channel."""
    deviation, mean = torch.std_mean(values, dim=(1, 2), correction=0, keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(reference, dim=(1, 2), correction=0, keepdim=True)
    gain = torch.where(deviation > SMALLEST_DEVIATION, wanted_deviation / deviation, 1.0)
    return (values - mean) * gain + wanted_mean


# ----------------------------------------------------------------------------- by samples


def welsh(
    L: Float[Tensor, "1 h w"],
    reference: Float[Tensor, "3 h2 w2"],
    *,
    samples: int = 200,
    window: int = 5,
    texture: float = 0.5,
    remap: bool = True,
    rng: torch.Generator | None = None,
) -> Float[Tensor, "2 h w"]:
    """Give every pixel the ab of the sample of `reference` that is most alike in lightness and texture.

    Welsh, Ashikhmin and Mueller 2002, "Transferring color to greyscale images". About `samples` pixels of
    the reference are drawn on a jittered grid. Alike means near in lightness, of weight `1 - texture`, and in the
    standard deviation of lightness over `window x window` pixels, of weight `texture`. With `remap` the lightness of
    the reference is first given the mean and deviation of L, so that a dark picture can be coloured from a bright one.

    `rng` draws the jitter; None draws the same one every time. Raises ValueError for an even window, a weight outside
    0..1 or no samples.
    """
    if samples < 1 or window < 1 or window % 2 == 0 or not 0 <= texture <= 1:
        raise ValueError(
            f"expected samples >= 1, an odd window and texture in 0..1, got samples={samples}, window={window}, "
            f"texture={texture}"
        )
    L_reference, ab_reference = split_lab(reference)
    if remap:
        L_reference = _match(L_reference, L)
    chosen = jittered_grid(reference.shape[-2], reference.shape[-1], samples, rng)
    known = _features(L_reference, window, texture)[chosen]
    _, nearest = cKDTree(known).query(_features(L, window, texture))
    colours = ab_reference.flatten(1).cpu()[:, chosen[nearest]]
    return colours.reshape(2, *L.shape[-2:]).to(L)


def jittered_grid(h: int, w: int, samples: int, rng: torch.Generator | None = None) -> np.ndarray:
    """Flat indices of about `samples` different pixels, one drawn at random in each cell of a grid."""
    columns = min(w, samples, max(1, round((samples * w / h) ** 0.5)))
    rows = min(h, max(1, round(samples / columns)))
    generator = make_rng("jitter") if rng is None else rng
    jitter = torch.rand(2, rows, columns, generator=generator, device=generator.device).cpu().double().numpy()
    edges_y, edges_x = np.linspace(0, h, rows + 1).astype(int), np.linspace(0, w, columns + 1).astype(int)
    y = edges_y[:-1, None] + (jitter[0] * np.diff(edges_y)[:, None]).astype(int)
    x = edges_x[:-1] + (jitter[1] * np.diff(edges_x)).astype(int)
    return (y * w + x).ravel()


def _features(L: Float[Tensor, "1 h w"], window: int, texture: float) -> np.ndarray:
    """The features that Welsh compares, one row for each pixel: weighted lightness and weighted deviation around it."""
    L = L.detach().cpu().double()
    _, variance = _local_statistics(L, window)
    return torch.stack([(1 - texture) * L.flatten(), texture * variance.sqrt().flatten()], dim=1).numpy()


def _local_statistics(
    values: Float[Tensor, "1 h w"], window: int
) -> tuple[Float[Tensor, "1 h w"], Float[Tensor, "1 h w"]]:
    """Mean and variance over the part of the window around each pixel that lies inside the image."""

    def mean_of(x: Tensor) -> Tensor:
        return avg_pool2d(x[None], window, stride=1, padding=window // 2, count_include_pad=False)[0]

    # Subtracting the overall mean first makes the difference of squares lose fewer digits.
    centred = values - values.mean()
    mean = mean_of(centred)
    return mean + values.mean(), (mean_of(centred.square()) - mean.square()).clamp(min=0)


# ----------------------------------------------------------------------------- by scribbles


def scribbles(
    L: Float[Tensor, "1 h w"],
    marks: Bool[Tensor, "h w"],
    marks_ab: Float[Tensor, "2 h w"],
    *,
    window: int = 1,
    strength: float = LEVIN_STRENGTH,
) -> Float[Tensor, "2 h w"]:
    """Let the colours of a few marked pixels flow until an edge in lightness stops them.

    Levin, Lischinski and Weiss 2004, "Colorization using optimization": neighbours of equal lightness should have
    equal colours. Eq. 1 is brought to zero at every pixel without a mark, whose ab becomes the mean of its neighbours'
    by the weights of eq. 2; pixels in `marks` keep their `marks_ab`. The sparse linear system is solved directly, which
    takes about a second for 256 x 256 pixels; time and memory grow faster than the number of pixels.

    `window` is how far a neighbour may be (1: the eight around a pixel). `strength` multiplies the exponent of eq. 2: 1
    is the paper's formula, 0 ignores the edges, the default is the authors' program. Raises ValueError without a mark,
    for marks that are not finite or not of the size of L, for a window below 1 or a negative strength.
    """
    _check_marks(L, marks, marks_ab)
    if window < 1 or strength < 0:
        raise ValueError(f"expected window >= 1 and strength >= 0, got window={window}, strength={strength}")
    known = marks.flatten().cpu().numpy()
    colours = marks_ab.detach().cpu().double().flatten(1).numpy().T * known[:, None]
    if not known.all():
        weights = neighbour_weights(L, window, strength)
        colours[~known] = _solve(weights, known, colours)
    return torch.from_numpy(colours.T.reshape(marks_ab.shape).copy()).to(L)


def _check_marks(L: Tensor, marks: Tensor, marks_ab: Tensor) -> None:
    if marks.shape != L.shape[-2:] or marks_ab.shape != (2, *L.shape[-2:]):
        raise ValueError(
            f"expected marks {tuple(L.shape[-2:])} and marks_ab {(2, *L.shape[-2:])}, as L is, "
            f"got {tuple(marks.shape)} and {tuple(marks_ab.shape)}"
        )
    if not marks.any():
        raise ValueError("expected at least one marked pixel, got none; try marks[y, x] = True for a pixel you know")
    if not torch.isfinite(marks_ab[:, marks]).all():
        raise ValueError("expected a finite ab at every marked pixel, got NaN or infinity")


def neighbour_weights(L: Float[Tensor, "1 h w"], window: int = 1, strength: float = LEVIN_STRENGTH) -> csc_matrix:
    """The weights of Levin's eq. 2, a sparse matrix (pixels, pixels) whose rows sum to 1.

    Row r holds exp(-strength (Y(r) - Y(s))^2 / (2 var(r))) at its neighbours s, normalised: Y is lightness in 0..1 and
    var(r) its variance in the window around r, which makes the weights indifferent to contrast.
    """
    Y = (L.detach().cpu().double() + 1) / 2
    _, variance = _local_statistics(Y, 2 * window + 1)
    y, sharpness = Y.numpy().ravel(), strength / (2 * variance.clamp(min=FLAT).numpy().ravel())
    r, s = (np.concatenate(parts) for parts in zip(*_neighbours(L.shape[-2], L.shape[-1], window), strict=True))
    values = np.exp(-np.minimum((y[r] - y[s]) ** 2 * sharpness[r], LARGEST_EXPONENT))
    weights = csc_matrix((values, (r, s)), shape=(y.size, y.size))
    return csc_matrix(diags(1 / np.asarray(weights.sum(axis=1)).ravel()) @ weights)


def _neighbours(h: int, w: int, window: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each step (dy, dx) of the window, the flat indices of the pixels that can take it, and where they arrive."""
    index = np.arange(h * w).reshape(h, w)
    reach_y, reach_x = min(window, h - 1), min(window, w - 1)
    for dy, dx in product(range(-reach_y, reach_y + 1), range(-reach_x, reach_x + 1)):
        if dy or dx:
            start = index[max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
            yield start.ravel(), start.ravel() + dy * w + dx


def _solve(weights: csc_matrix, known: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The colours of the unknown pixels: u = W_uu u + W_uk k, that is (1 - W_uu) u = W_uk k."""
    rows = weights[~known]
    matrix = csc_matrix(identity(rows.shape[0]) - rows[:, ~known])
    # Rows of weights sum to at most 1: the diagonal dominates, so the elimination needs no pivoting and can keep to the
    # order that fills in the least, which halves the time.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return factors.solve(rows[:, known] @ colours[known])
