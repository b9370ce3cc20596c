"""sRGB, XYZ and CIE Lab in torch: batched, differentiable, on the batch's device, and the gamut between them.

A batch is `(*, 3, H, W)`. sRGB is 0..1, Lab is L* 0..100 and a*, b* about -110..110 (illuminant D65, 2 degree
observer). The network sees `L*/50 - 1` and `ab*/110`: `split_lab` and `join_lab` are the only ways in and out.
Half precision has no room for a cube root of small numbers, so it is computed, and returned, as float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

Gamut = Literal["clip", "chroma", "none"]

# The scaling of the network: L*/50 - 1 and ab*/110 are both about -1..1.
L_SCALE = 50.0
AB_SCALE = 110.0

# Linear sRGB to XYZ with the six digits of scikit-image, so that both libraries give the same Lab.
XYZ_FROM_LINEAR = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE_D65 = (0.95047, 1.0, 1.08883)

# IEC 61966-2-1: below these values the sRGB curve is a straight line of slope 12.92.
SRGB_KNEE = 0.04045
LINEAR_KNEE = 0.0031308
# CIE 15:2004, eq. 8.8: below (6/29)^3 the cube root of Lab is replaced by its tangent.
LAB_KNEE = 6 / 29

# How far outside 0..1 an sRGB value still counts as inside: a quarter of an 8-bit step. Zero would not do: the
# six-digit matrix puts the white of Lab at 1.00004.
GAMUT_TOLERANCE = 1e-3
BISECTIONS = 16
# Resizing takes sRGB a little above 1; no method takes it above this.
CERTAINLY_NOT_SRGB = 2.0


def rgb_to_lab(rgb: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """CIE Lab of sRGB in 0..1: L* 0..100, a* and b* about -86..98 and -108..94 inside the sRGB gamut.

    The gradient is finite everywhere, black and white included. Raises ValueError unless the input is a float
    tensor `(*, 3, H, W)`.
    """
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(rgb)))


def lab_to_rgb(lab: Float[Tensor, "*batch 3 h w"], *, clip: bool = True) -> Float[Tensor, "*batch 3 h w"]:
    """sRGB of CIE Lab; the inverse of `rgb_to_lab`.

    Most of Lab lies outside sRGB. With `clip` such values are cut to 0..1 (and pass no gradient there), without it
    they are returned as they are.
    """
    rgb = linear_to_srgb(xyz_to_linear(lab_to_xyz(lab)))
    return rgb.clamp(0, 1) if clip else rgb


def split_lab(
    rgb: Float[Tensor, "*batch 3 h w"],
) -> tuple[Float[Tensor, "*batch 1 h w"], Float[Tensor, "*batch 2 h w"]]:
    """What the generator sees and what it has to say: L and ab of sRGB in 0..1, both scaled to about -1..1.

    Raises ValueError for values up to 255. They are looked for on the CPU only: reading them would make a GPU wait.
    """
    lab = rgb_to_lab(rgb)
    if rgb.device.type == "cpu" and rgb.numel() and not torch.compiler.is_compiling():
        highest = rgb.detach().amax().item()
        if highest > CERTAINLY_NOT_SRGB:
            raise ValueError(f"expected sRGB in 0..1, got values up to {highest:g}; divide by 255")
    return lab[..., :1, :, :] / L_SCALE - 1, lab[..., 1:, :, :] / AB_SCALE


def join_lab(
    L: Float[Tensor, "*batch 1 h w"], ab: Float[Tensor, "*batch 2 h w"], *, gamut: Gamut = "clip"
) -> Float[Tensor, "*batch 3 h w"]:
    """sRGB in 0..1 of L and ab in network scaling; the inverse of `split_lab`.

    Where sRGB cannot show the colour: `clip` cuts R, G and B to 0..1, which shifts hue and lightness; `chroma` moves
    towards grey at constant L and hue; `none` returns values outside 0..1. Raises ValueError for another `gamut`.
    """
    if gamut not in get_args(Gamut):
        raise ValueError(f"expected gamut to be one of {', '.join(get_args(Gamut))}, got {gamut!r}")
    if L.shape[-2:] != ab.shape[-2:] or L.shape[-3] != 1 or ab.shape[-3] != 2:
        raise ValueError(
            f"expected L (*, 1, H, W) and ab (*, 2, H, W) of one size, got {tuple(L.shape)} and {tuple(ab.shape)}"
        )
    lab = torch.cat([(_as_float(L) + 1) * L_SCALE, _as_float(ab) * AB_SCALE], dim=-3)
    if gamut == "chroma":
        lab = reduce_chroma(lab)
    return lab_to_rgb(lab, clip=gamut != "none")


def grey_srgb(L: Float[Tensor, "*batch 1 h w"]) -> Float[Tensor, "*batch 1 h w"]:
    """The sRGB value in 0..1, the same for R, G and B, of the grey of lightness L in network scaling."""
    luminance = _f_inverse(((_as_float(L) + 1) * L_SCALE + 16) / 116)
    return _srgb_curve(luminance).clamp(0, 1)


# ----------------------------------------------------------------------------- the steps, one function each way


def srgb_to_linear(rgb: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Undo the sRGB transfer curve (IEC 61966-2-1): 0..1 to light that adds up, 0..1."""
    rgb = _as_float(_check(rgb))
    # Both branches of `where` are differentiated: a power of a negative number, masked or not, makes the gradient
    # NaN. Clamped to its own domain it cannot. The same holds in the three functions below.
    curve = ((rgb.clamp(min=SRGB_KNEE) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > SRGB_KNEE, curve, rgb / 12.92)


def linear_to_srgb(linear: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Apply the sRGB transfer curve (IEC 61966-2-1); values outside 0..1 stay outside."""
    return _srgb_curve(_as_float(_check(linear)))


def _srgb_curve(linear: Tensor) -> Tensor:
    curve = 1.055 * linear.clamp(min=LINEAR_KNEE) ** (1 / 2.4) - 0.055
    return torch.where(linear > LINEAR_KNEE, curve, linear * 12.92)


def linear_to_xyz(linear: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """CIE XYZ of linear sRGB, with Y = 1 for white."""
    return _mix(XYZ_FROM_LINEAR, _as_float(_check(linear)))


def xyz_to_linear(xyz: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Linear sRGB of CIE XYZ; outside 0..1 where sRGB cannot show the colour."""
    return _mix(_inverse(XYZ_FROM_LINEAR), _as_float(_check(xyz)))


def xyz_to_lab(xyz: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """CIE Lab of XYZ (CIE 15:2004, eq. 8.3 to 8.11): `f` is a cube root, continued by its tangent near black."""
    x, y, z = (t / white for t, white in zip(_as_float(_check(xyz)).unbind(-3), WHITE_D65, strict=True))
    fx, fy, fz = _f(x), _f(y), _f(z)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


def lab_to_xyz(lab: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """CIE XYZ of Lab (CIE 15:2004, annex D)."""
    L, a, b = _as_float(_check(lab)).unbind(-3)
    fy = (L + 16) / 116
    xyz = [white * _f_inverse(f) for f, white in zip((fy + a / 500, fy, fy - b / 200), WHITE_D65, strict=True)]
    return torch.stack(xyz, dim=-3)


def _f(t: Tensor) -> Tensor:
    root = t.clamp(min=LAB_KNEE**3) ** (1 / 3)
    return torch.where(t > LAB_KNEE**3, root, t / (3 * LAB_KNEE**2) + 4 / 29)


def _f_inverse(f: Tensor) -> Tensor:
    return torch.where(f > LAB_KNEE, f * f * f, 3 * LAB_KNEE**2 * (f - 4 / 29))


def _mix(matrix: Sequence[Sequence[float]], image: Tensor) -> Tensor:
    """`matrix @ pixel` for every pixel, written out.

    A matrix product would be shorter, and wrong under autocast or TF32, which round its factors to 8 or 10 bits.
    """
    x, y, z = image.unbind(-3)
    rows = [torch.add(row[0] * x, y, alpha=row[1]).add(z, alpha=row[2]) for row in matrix]
    return torch.stack(rows, dim=-3)


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Inverse of a 3x3 matrix by cofactors, in Python floats (which are float64 on every device)."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    adjugate = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    determinant = a * adjugate[0][0] + b * adjugate[1][0] + c * adjugate[2][0]
    return [[value / determinant for value in row] for row in adjugate]


# ----------------------------------------------------------------------------- gamut


def in_gamut(lab: Float[Tensor, "*batch 3 h w"], tolerance: float = GAMUT_TOLERANCE) -> Bool[Tensor, "*batch h w"]:
    """Which pixels of a Lab image sRGB can show: R, G and B within `-tolerance .. 1 + tolerance`."""
    return in_gamut_linear(xyz_to_linear(lab_to_xyz(lab)), tolerance)


def in_gamut_linear(
    linear: Float[Tensor, "*batch 3 h w"], tolerance: float = GAMUT_TOLERANCE
) -> Bool[Tensor, "*batch h w"]:
    """`in_gamut` of linear sRGB; the tolerance is still one of R, G and B."""
    # The curve rises, so the bounds are moved to linear light instead of moving every pixel to sRGB.
    lowest, highest = -tolerance / 12.92, ((1 + tolerance + 0.055) / 1.055) ** 2.4
    return (linear.amin(-3) >= lowest) & (linear.amax(-3) <= highest)


def reduce_chroma(
    lab: Float[Tensor, "*batch 3 h w"], tolerance: float = GAMUT_TOLERANCE
) -> Float[Tensor, "*batch 3 h w"]:
    """Move every pixel that sRGB cannot show towards grey, at constant L* and hue, as little as it takes.

    Only the pixels out of gamut are touched: (a*, b*) times a factor in 0..1 found by bisection to 2^-16. The factor
    is a constant to autograd. Where L* itself lies outside 0..100, no factor helps and grey comes back. On one hue in
    10,000, near yellow, the way from grey leaves the gamut, enters it again and leaves it: either exit may come back.
    """
    outside = ~in_gamut(lab, tolerance)
    if not outside.any():
        return lab
    with torch.no_grad():
        factor = torch.ones_like(lab[..., 0, :, :])
        factor[outside] = _chroma_factor(lab.movedim(-3, 0)[:, outside], tolerance)
    return torch.cat([lab[..., :1, :, :], lab[..., 1:, :, :] * factor.unsqueeze(-3)], dim=-3)


def _chroma_factor(pixels: Float[Tensor, "3 n"], tolerance: float) -> Float[Tensor, " n"]:
    """The boundary of the gamut on the way from grey (0, inside) to each pixel (1, outside)."""
    low = torch.zeros_like(pixels[0])
    step = 0.5
    for _ in range(BISECTIONS):
        middle = low + step
        candidate = torch.stack([pixels[0], pixels[1] * middle, pixels[2] * middle])
        low = torch.where(in_gamut(candidate.unsqueeze(-1), tolerance).squeeze(-1), middle, low)
        step /= 2
    return low


# ----------------------------------------------------------------------------- 8 bit


def to_float(images: UInt8[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """float32 sRGB in 0..1 of 8-bit images. Raises ValueError for anything but uint8."""
    if images.dtype != torch.uint8:
        raise ValueError(f"expected images of dtype uint8 (0..255), got {images.dtype}")
    return images.float() / 255


def to_uint8(rgb: Float[Tensor, "*batch 3 h w"]) -> UInt8[Tensor, "*batch 3 h w"]:
    """8-bit images of sRGB in 0..1, cut to that range and rounded to the nearest level."""
    return (_check(rgb).detach().clamp(0, 1) * 255).round().to(torch.uint8)


def _check(image: Tensor) -> Tensor:
    if not image.is_floating_point():
        raise ValueError(f"expected a float image, got {image.dtype}; try colorlib.color.to_float(image) first")
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(f"expected an image of shape (*, 3, H, W), got {tuple(image.shape)}")
    return image


def _as_float(image: Tensor) -> Tensor:
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
