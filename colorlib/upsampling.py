"""Chroma from the network's resolution to the photograph's, joined with the photograph's own lightness.

A fast guided filter upsamples chroma along the edges of the lightness; colours that sRGB cannot show lose chroma, not
lightness. The photograph is worked on in bands of rows, so that memory does not grow with its size.
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

# Window (2r + 1 pixels of the network's image) and regularisation (units of L squared) of the guided filter. Of
# r 1..8 and eps 1e-3..1e-1 the pair with the least chroma error on photographs reduced 4 and 8 times: against bilinear
# upsampling 16 % less for exact chroma, 7 % less for chroma as blurred as a network's.
RADIUS = 1
EPS = 4e-3
# Pixels in a band, about 12 MB of intermediate values, and how many bands are worked on at a time at most.
BAND_PIXELS = 2**17
MAX_WORKERS = 8
# Lightness levels and hues of the table of the gamut.
GAMUT_LEVELS, GAMUT_HUES = 257, 361
# Steps of linear light in the tables that stand for powers and cube roots: L* is within 0.01, a level within 0.05.
LIGHT_STEPS = 2**16


@dataclass(frozen=True)
class ChromaField:
    """Chroma at any resolution: `ab = slope * L + base`, both maps at the network's resolution.

    The fast guided filter (He & Sun 2015; He, Sun & Tang 2013, eq. 5, 6 and 8): in each window chroma is fitted as a
    linear function of lightness. The coefficients are smooth; they are upsampled bilinearly and applied to the
    lightness of the photograph, so that chroma follows its edges. The filter alone blurs: even at the network's own
    resolution it does not return its input. Therefore the difference, `ab - (slope * L + base)`, is added back. The
    base of the fit cancels against it, and `ab - slope * L` is upsampled in its place.
    """

    slope: Float[Tensor, "1 2 h w"]
    base: Float[Tensor, "1 2 h w"]

    @classmethod
    def fit(cls, L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"]) -> ChromaField:
        slope = guided_slope(L, ab)
        return cls(slope, ab - slope * L)

    def widened(self, width: int | torch.SymInt) -> ChromaField:
        """The field enlarged bilinearly to the photograph's width; its height stays."""
        size: Any = (self.slope.shape[-2], width)  # the type stubs of torch do not know symbolic sizes
        enlarge = functools.partial(nn.functional.interpolate, size=size, mode="bilinear")
        return ChromaField(enlarge(self.slope), enlarge(self.base))

    def rows(self, top: int | Tensor, n: int | torch.SymInt, height: int | Tensor) -> ChromaField:
        """Rows `top` to `top + n - 1` of the field enlarged bilinearly to `height` rows; its width stays.

        These are the values of `F.interpolate`, without computing the other rows.
        """
        own = self.slope.shape[-2]
        row = top + torch.arange(n, dtype=self.slope.dtype, device=self.slope.device)
        position = ((row + 0.5) * (own / height) - 0.5).clamp(0, own - 1)
        above = position.long()
        below = (above + 1).clamp(max=own - 1)
        weight = (position - above).view(-1, 1)
        slope, base = (torch.lerp(x[..., above, :], x[..., below, :], weight) for x in (self.slope, self.base))
        return ChromaField(slope, base)

    def chroma(self, L: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 2 h w"]:
        """ab of pixels with this lightness. `L` has the size of the field."""
        return self.base.addcmul(self.slope, L)


def guided_slope(
    L: Float[Tensor, "1 1 h w"], ab: Float[Tensor, "1 2 h w"], radius: int = RADIUS, eps: float = EPS
) -> Float[Tensor, "1 2 h w"]:
    """How chroma changes with lightness around each pixel: `cov(L, ab) / (var(L) + eps)` of a window, averaged over
    the windows that hold the pixel (He, Sun & Tang 2013, eq. 5 and 8). Windows are cut at the border.
    """
    mean = functools.partial(
        nn.functional.avg_pool2d, kernel_size=2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )
    mean_L = mean(L)
    covariance = mean(L * ab) - mean_L * mean(ab)
    variance = mean(L * L) - mean_L * mean_L
    return mean(covariance / (variance + eps))


def join_with_own_lightness(rgb: UInt8[np.ndarray, "h w 3"], field: ChromaField) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph's own lightness with the field's chroma, band by band."""
    height, width = rgb.shape[:2]
    joined = np.empty_like(rgb)
    step = max(1, BAND_PIXELS // width)
    field = field.widened(width)

    def join_band(top: int) -> None:
        with torch.inference_mode():  # of this thread
            band = as_batch(rgb[top : top + step]).to(field.slope.device)
            lab = with_chroma(band, field.rows(top, band.shape[-2], height))
            joined[top : top + step] = to_levels(lab, linear_light(lab))[0].permute(1, 2, 0).cpu().numpy()

    with _one_core_each() as workers, ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(join_band, range(0, height, step)):
            pass  # fetching the result raises the exception of a worker here
    return joined


def with_chroma(rgb: UInt8[Tensor, "1 3 h w"], field: ChromaField) -> Float[Tensor, "1 3 h w"]:
    """Lab: the lightness of these pixels with the chroma of the field, which has their size."""
    L = _lightness(rgb)
    return torch.cat([L, field.chroma(L / color.L_SCALE - 1) * color.AB_SCALE], dim=1)


def linear_light(lab: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
    """Linear sRGB of Lab. The chroma of colours that sRGB cannot show is reduced first."""
    linear = color.xyz_to_linear(color.lab_to_xyz(lab))
    outside = ~color.in_gamut_linear(linear)
    if outside.any():
        picked = reduce_chroma(lab.movedim(1, 0)[:, outside][None, ..., None])
        linear.movedim(1, 0)[:, outside] = color.xyz_to_linear(color.lab_to_xyz(picked))[0, ..., 0]
    return linear


def to_levels(lab: Float[Tensor, "1 3 h w"], linear: Float[Tensor, "1 3 h w"]) -> UInt8[Tensor, "1 3 h w"]:
    """8-bit sRGB of linear sRGB, with R = G = B where `lab`, the same picture, has no chroma."""
    colours = _levels(linear)
    # The grey of Lab is a hundredth of an 8-bit step off R = G = B, which now and then rounds to a whole one.
    return torch.where((lab[:, 1:] == 0).all(dim=1, keepdim=True), colours[:, 1:2], colours)


@contextmanager
def _one_core_each() -> Iterator[int]:
    """How many bands to work on at a time, while torch gives a thread one core.

    Torch would split each of the hundred small operations of a band over all cores and wait for the slowest, a
    hundred times: on a busy machine a photograph took ten times as long that way. Bands need no waiting.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(threads, MAX_WORKERS)
    finally:
        torch.set_num_threads(threads)


def _lightness(rgb: UInt8[Tensor, "1 3 h w"]) -> Float[Tensor, "1 1 h w"]:
    """L* 0..100, as `color.rgb_to_lab` computes it, by tables: one of each channel's luminance, one of the curve."""
    shares, curve, _ = (table.to(rgb.device) for table in _tables())
    r, g, b = (_look_up(share, levels.int()) for share, levels in zip(shares, rgb.unbind(1), strict=True))
    return _look_up(curve, _step(r + g + b)).unsqueeze(1)


def _levels(linear: Float[Tensor, "1 3 h w"]) -> UInt8[Tensor, "1 3 h w"]:
    """`color.to_uint8(color.linear_to_srgb(linear))` by a table."""
    return _look_up(_tables()[2].to(linear.device), _step(linear))


def _step(light: Tensor) -> Tensor:
    return (light.clamp(0, 1) * LIGHT_STEPS + 0.5).int()


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.flatten()).view(index.shape)  # twice as fast as table[index]


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[Float[Tensor, "3 256"], Float[Tensor, " steps"], UInt8[Tensor, " steps"]]:
    """Luminance of each channel's 256 levels; L* by luminance; 8-bit level by linear light."""
    levels = color.to_float(torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256))
    alone = torch.eye(3).view(3, 3, 1, 1) * color.srgb_to_linear(levels)  # one channel in each of three pictures
    light = torch.linspace(0, 1, LIGHT_STEPS + 1).expand(3, 1, -1)
    L = color.xyz_to_lab(light * torch.tensor(color.WHITE_D65).view(3, 1, 1))[0, 0]
    return color.linear_to_xyz(alone)[:, 1, 0], L, color.to_uint8(color.linear_to_srgb(light))[0, 0]


def reduce_chroma(lab: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
    """`color.reduce_chroma` by a table, 30 times as fast, for colours out of gamut.

    The same lightness, and chroma within 0.1 on average.
    """
    L, a, b = lab.unbind(1)
    where = torch.stack([torch.atan2(b, a) / torch.pi, L / color.L_SCALE - 1], dim=-1).clamp(-1, 1)
    limit = nn.functional.grid_sample(_gamut_table().to(lab.device), where, align_corners=True)[:, 0]
    factor = (limit / (a * a + b * b).sqrt().clamp(min=1e-6)).clamp(max=1)
    return torch.stack([L, a * factor, b * factor], dim=1)


@functools.lru_cache(maxsize=1)
def _gamut_table() -> Float[Tensor, "1 1 levels hues"]:
    """The largest chroma that sRGB can show, by lightness (0..100) and hue (-pi..pi)."""
    hue = torch.linspace(-torch.pi, torch.pi, GAMUT_HUES).expand(GAMUT_LEVELS, GAMUT_HUES)
    L = torch.linspace(0, 2 * color.L_SCALE, GAMUT_LEVELS)[:, None].expand_as(hue)
    beyond = 2 * color.AB_SCALE  # more chroma than sRGB has at any hue
    lab = torch.stack([L, beyond * hue.cos(), beyond * hue.sin()])
    return color.reduce_chroma(lab)[1:].norm(dim=0)[None, None]


def as_batch(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[Tensor, "1 3 h w"]:
    return torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0).contiguous()
