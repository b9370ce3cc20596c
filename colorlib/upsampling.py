"""Enlarge the predicted ab to the photograph's resolution and join it with the photograph's own lightness.

A fast guided filter enlarges ab so that its edges follow the edges of the lightness. Colours that sRGB cannot show
get less chroma and keep their lightness. The photograph is processed in bands of rows, so that the memory for
intermediate values does not grow with its size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from colorlib import color

# The guided filter's radius r (its window has 2r + 1 pixels at the network's resolution) and its regularisation eps, in
# units of L squared. Among r of 1..8 and eps of 1e-3..1e-1, this pair had the smallest error of ab on photographs that
# were reduced 4 and 8 times. Compared with bilinear upsampling, the error was 16 % smaller for exact ab and 7 % smaller
# for ab as blurred as a network predicts it.
RADIUS = 1
EPS = 4e-3
# The number of pixels in a band, which need about 12 MB of intermediate values, and the most bands at the same time.
BAND_PIXELS = 2**17
MAX_WORKERS = 8
# The numbers of lightness levels and of hues in the table of the gamut's boundary.
GAMUT_LEVELS, GAMUT_HUES = 257, 361
# The number of steps of linear light in the tables that replace powers and cube roots. With 2^16 steps, L* is within
# 0.01 of the exact value and an 8-bit level within 0.05.
LIGHT_STEPS = 2**16


@dataclass(frozen=True)
class ChromaField:
    """ab at any resolution, as a linear function of the lightness: `ab = slope * L + base`.

    `slope` and `base` are maps at the network's resolution. They are computed by the fast guided filter (He & Sun 2015;
    He, Sun & Tang 2013, eq. 5, 6 and 8), which fits ab in each window as a linear function of L. The two maps are
    smooth. They are enlarged bilinearly and applied to the lightness of the photograph, so that the edges of ab follow
    the edges of the photograph.

    The filter alone would blur ab: even at the network's own resolution, its output is not its input. `base` is
    therefore not the base of the fit but `ab - slope * L`, which makes the result exact at the network's resolution.
    """

    slope: Float[Tensor, "1 2 h w"]
    base: Float[Tensor, "1 2 h w"]

    @classmethod
    def fit(cls, L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"]) -> ChromaField:
        """Fit the field to the L and ab of a network's input and output, in network scaling."""
        slope = guided_slope(L, ab)
        # The fit leaves a residual, ab - (slope * L + base_of_fit). Adding the residual to the base of the fit gives
        # ab - slope * L. The base of the fit cancels, so it is never computed.
        return cls(slope, ab - slope * L)

    def widened(self, width: int | torch.SymInt) -> ChromaField:
        """Return the field enlarged bilinearly to the photograph's width, with its height unchanged."""
        size: Any = (self.slope.shape[-2], width)  # Any, because the type stubs of torch lack symbolic sizes
        enlarge = functools.partial(nn.functional.interpolate, size=size, mode="bilinear")
        return ChromaField(enlarge(self.slope), enlarge(self.base))

    def rows(self, top: int | Tensor, n: int | torch.SymInt, height: int | Tensor) -> ChromaField:
        """Return rows `top` to `top + n - 1` of the field enlarged bilinearly to `height` rows.

        The width stays unchanged. The values are those of `F.interpolate`, but the other rows are not computed.
        """
        own = self.slope.shape[-2]
        row = top + torch.arange(n, dtype=self.slope.dtype, device=self.slope.device)
        # The centre of pixel i of `height` pixels is at (i + 0.5) * own / height in the field, whose own pixel centres
        # are at 0.5, 1.5, ... (`F.interpolate` with align_corners=False).
        position = ((row + 0.5) * (own / height) - 0.5).clamp(0, own - 1)
        above = position.long()
        below = (above + 1).clamp(max=own - 1)
        weight = (position - above).view(-1, 1)
        slope, base = (torch.lerp(x[..., above, :], x[..., below, :], weight) for x in (self.slope, self.base))
        return ChromaField(slope, base)

    def chroma(self, L: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 2 h w"]:
        """Return ab for pixels of this lightness. `L` is in network scaling and has the size of the field."""
        # ab = slope * L + base: He, Sun & Tang 2013, eq. 8, with the base of this class.
        return self.base.addcmul(self.slope, L)


def guided_slope(
    L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"], radius: int = RADIUS, eps: float = EPS
) -> Float[Tensor, "1 2 h w"]:
    """Return how much ab changes with L around each pixel: the slope of the guided filter's linear fit.

    The slope of a window is averaged over all windows that contain the pixel (He, Sun & Tang 2013, eq. 5 and 8). At
    the border of the image, a window contains fewer pixels.
    """
    # count_include_pad=False: the mean of a window at the border is over the pixels inside the image only.
    mean = functools.partial(
        nn.functional.avg_pool2d, kernel_size=2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )
    mean_L = mean(L)
    # Eq. 5: slope = cov(L, ab) / (var(L) + eps). Where L is nearly constant, var(L) is far below eps and the slope is
    # near 0, so that ab does not follow the noise of L.
    covariance = mean(L * ab) - mean_L * mean(ab)
    variance = mean(L * L) - mean_L * mean_L
    # Eq. 8: the outer mean averages over the windows that contain a pixel.
    return mean(covariance / (variance + eps))


def join_with_own_lightness(rgb: UInt8[np.ndarray, "h w 3"], field: ChromaField) -> UInt8[np.ndarray, "h w 3"]:
    """Join the photograph's own lightness with the ab of the field, band by band, and return 8-bit sRGB."""
    height, width = rgb.shape[:2]
    joined = np.empty_like(rgb)
    step = max(1, BAND_PIXELS // width)
    # The width is enlarged once, for all bands. The rows of a band are enlarged when the band is processed: the whole
    # field at the photograph's resolution would be four float32 maps of the size of the photograph.
    field = field.widened(width)

    def join_band(top: int) -> None:
        with torch.inference_mode():  # must be entered here, because the mode applies to one thread
            band = as_batch(rgb[top : top + step]).to(field.slope.device)
            lab = with_chroma(band, field.rows(top, band.shape[-2], height))
            joined[top : top + step] = to_levels(lab, linear_light(lab))[0].permute(1, 2, 0).cpu().numpy()

    with _one_core_each() as workers, ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(join_band, range(0, height, step)):
            pass  # an exception of a worker is raised here, when its result is fetched
    return joined


def with_chroma(rgb: UInt8[Tensor, "1 3 h w"], field: ChromaField) -> Float[Tensor, "1 3 h w"]:
    """Return the Lab image with the lightness of these pixels and the ab of the field, which has the same size."""
    L = _lightness(rgb)
    return torch.cat([L, field.chroma(L / color.L_SCALE - 1) * color.AB_SCALE], dim=1)


def linear_light(lab: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
    """Convert Lab to linear sRGB, with the chroma reduced where sRGB cannot show the colour."""
    linear = color.xyz_to_linear(color.lab_to_xyz(lab))
    outside = ~color.in_gamut_linear(linear)
    if outside.any():
        # Only the pixels outside the gamut, usually few, are converted a second time.
        picked = reduce_chroma(lab.movedim(1, 0)[:, outside][None, ..., None])
        linear.movedim(1, 0)[:, outside] = color.xyz_to_linear(color.lab_to_xyz(picked))[0, ..., 0]
    return linear


def to_levels(lab: Float[Tensor, "1 3 h w"], linear: Float[Tensor, "1 3 h w"]) -> UInt8[Tensor, "1 3 h w"]:
    """Convert linear sRGB to 8-bit sRGB, with R = G = B where `lab`, the same image in Lab, has no chroma."""
    colours = _levels(linear)
    # For a* = b* = 0, the six-digit matrix gives R, G and B that differ by a hundredth of an 8-bit step. Rounding
    # would sometimes make this a whole step. Where there is no chroma, all three channels therefore take G.
    return torch.where((lab[:, 1:] == 0).all(dim=1, keepdim=True), colours[:, 1:2], colours)


@contextmanager
def _one_core_each() -> Iterator[int]:
    """Set torch to one core per thread, and yield the number of bands to process at the same time.

    By default, torch splits each operation over all cores and waits for the slowest core. A band has about a hundred
    small operations, so it would wait a hundred times. On a busy machine, a photograph took ten times as long. Bands
    that each run on one core do not wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(threads, MAX_WORKERS)
    finally:
        torch.set_num_threads(threads)


def _lightness(rgb: UInt8[Tensor, "1 3 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Return L* in 0..100, as `color.rgb_to_lab` computes it, by tables.

    One table for each channel gives its part of the luminance, and another table gives L* by luminance.
    """
    # Y = 0.212671 R + 0.715160 G + 0.072169 B in linear light (`XYZ_FROM_LINEAR`); L* = 116 f(Y) - 16 (CIE 15:2004).
    shares, curve, _ = (table.to(rgb.device) for table in _tables())
    r, g, b = (_look_up(share, levels.int()) for share, levels in zip(shares, rgb.unbind(1), strict=True))
    return _look_up(curve, _step(r + g + b)).unsqueeze(1)


def _levels(linear: Float[Tensor, "1 3 h w"]) -> UInt8[Tensor, "1 3 h w"]:
    """Return `color.to_uint8(color.linear_to_srgb(linear))`, looked up in a table."""
    return _look_up(_tables()[2].to(linear.device), _step(linear))


def _step(light: Tensor) -> Tensor:
    """Return the index of the nearest step of the tables for linear light in 0..1."""
    return (light.clamp(0, 1) * LIGHT_STEPS + 0.5).int()


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return `table[index]`; index_select is twice as fast."""
    return table.index_select(0, index.flatten()).view(index.shape)


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[Float[Tensor, "3 256"], Float[Tensor, " steps"], UInt8[Tensor, " steps"]]:
    """Return three tables: luminance by channel and level, L* by luminance, and 8-bit level by linear light."""
    levels = color.to_float(torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256))
    # Three images of 256 pixels: all levels of one channel, while the other two channels are 0.
    alone = torch.eye(3).view(3, 3, 1, 1) * color.srgb_to_linear(levels)
    light = torch.linspace(0, 1, LIGHT_STEPS + 1).expand(3, 1, -1)
    # L* depends on Y alone. Greys of every luminance, which are multiples of the white point, therefore suffice.
    L = color.xyz_to_lab(light * torch.tensor(color.WHITE_D65).view(3, 1, 1))[0, 0]
    return color.linear_to_xyz(alone)[:, 1, 0], L, color.to_uint8(color.linear_to_srgb(light))[0, 0]


def reduce_chroma(lab: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
    """Do the same as `color.reduce_chroma`, 30 times as fast, by a table. For colours outside the gamut only.

    The lightness is the same, and the chroma differs by less than 0.1 on average.
    """
    L, a, b = lab.unbind(1)
    # grid_sample interpolates the table bilinearly. It takes x (the hue) and y (L*) scaled to -1..1.
    where = torch.stack([torch.atan2(b, a) / torch.pi, L / color.L_SCALE - 1], dim=-1).clamp(-1, 1)
    limit = nn.functional.grid_sample(_gamut_table().to(lab.device), where, align_corners=True)[:, 0]
    # (a*, b*) is scaled to the largest chroma that sRGB shows at this lightness and hue, and never enlarged. The small
    # constant avoids a division by zero.
    factor = (limit / (a * a + b * b).sqrt().clamp(min=1e-6)).clamp(max=1)
    return torch.stack([L, a * factor, b * factor], dim=1)


@functools.lru_cache(maxsize=1)
def _gamut_table() -> Float[Tensor, "1 1 levels hues"]:
    """Return the largest chroma that sRGB can show, by lightness (rows, 0..100) and hue (columns, -pi..pi)."""
    hue = torch.linspace(-torch.pi, torch.pi, GAMUT_HUES).expand(GAMUT_LEVELS, GAMUT_HUES)
    L = torch.linspace(0, 2 * color.L_SCALE, GAMUT_LEVELS)[:, None].expand_as(hue)
    # Each entry starts with more chroma than sRGB has at any hue. The bisection of `color.reduce_chroma` reduces it to
    # the boundary of the gamut.
    beyond = 2 * color.AB_SCALE
    lab = torch.stack([L, beyond * hue.cos(), beyond * hue.sin()])
    return color.reduce_chroma(lab)[1:].norm(dim=0)[None, None]


def as_batch(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[Tensor, "1 3 h w"]:
    """Convert an 8-bit image with the channels last to a batch of one image."""
    return torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0).contiguous()
