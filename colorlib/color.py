"""Convert between sRGB, CIE XYZ and CIE Lab in torch, and bring colours that sRGB cannot show into its gamut.

All functions work on whole batches `(*, 3, H, W)`, on the batch's device, and are differentiable. sRGB values lie in
0..1, L* in 0..100, and a* and b* in about -110..110 (illuminant D65, 2 degree observer). The networks work with
`L*/50 - 1` and `ab*/110`; the constants of this scaling, `L_SCALE` and `AB_SCALE`, are defined here alone.
Half precision is too coarse for the cube roots of small numbers. Tensors of float16 or bfloat16 are therefore
converted to float32 first, and the result is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

Gamut = Literal["clip", "chroma", "none"]

# The scaling that the networks work with: L*/50 - 1 and ab*/110 both lie in about -1..1.
L_SCALE = 50.0
AB_SCALE = 110.0

# The matrix from linear sRGB to XYZ, with the six digits that scikit-image uses, so that both give the same Lab.
XYZ_FROM_LINEAR = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE_D65 = (0.95047, 1.0, 1.08883)

# IEC 61966-2-1: below these values the sRGB curve is a straight line (slope 12.92 from linear light to sRGB).
SRGB_KNEE = 0.04045
LINEAR_KNEE = 0.0031308
# CIE 15:2004, eq. 8.8: below (6/29)^3 the cube root of Lab is replaced by its tangent.
LAB_KNEE = 6 / 29

# A value up to this far outside 0..1 still counts as sRGB. It is a quarter of an 8-bit step. The tolerance cannot be
# zero, because with the six-digit matrix the white of Lab has a channel of 1.00004.
GAMUT_TOLERANCE = 1e-3
BISECTIONS = 16  # each one halves the interval, so that the factor is found to 2^-16
# Resizing can overshoot, so that sRGB values lie a little above 1, but no resizing method exceeds this value.
CERTAINLY_NOT_SRGB = 2.0


def rgb_to_lab(rgb: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert sRGB in 0..1 to CIE Lab: L* in 0..100, a* in about -86..98 and b* in about -108..94.

    The gradient is finite everywhere, also at black and white. Raises ValueError unless the input is a float
    tensor `(*, 3, H, W)`.
    """
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(rgb)))


def lab_to_rgb(lab: Float[Tensor, "*batch 3 h w"], *, clip: bool = True) -> Float[Tensor, "*batch 3 h w"]:
    """Convert CIE Lab to sRGB; the inverse of `rgb_to_lab`.

    sRGB cannot show most Lab colours: some of their R, G and B lie outside 0..1. With `clip` these values are clamped
    to 0..1, where their gradient is zero. Without `clip` they are returned unchanged.
    """
    rgb = linear_to_srgb(xyz_to_linear(lab_to_xyz(lab)))
    return rgb.clamp(0, 1) if clip else rgb


def split_lab(
    rgb: Float[Tensor, "*batch 3 h w"],
) -> tuple[Float[Tensor, "*batch 1 h w"], Float[Tensor, "*batch 2 h w"]]:
    """Convert sRGB in 0..1 to L, the input of a generator, and ab, its target, both scaled to about -1..1.

    Raises ValueError if a value is above 2, as in images of 0..255. Only tensors on the CPU are checked, because the
    program would have to wait for the GPU before it could read a value from it.
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
    """Convert L and ab in network scaling to sRGB in 0..1; the inverse of `split_lab`.

    `gamut` says what to do with colours that sRGB cannot show. `clip` clamps R, G and B to 0..1, which shifts hue and
    lightness. `chroma` reduces the chroma at constant L and hue (see `reduce_chroma`). `none` returns values outside
    0..1. Raises ValueError for another `gamut`, and if the shapes of L and ab do not match.
    """
    if gamut not in get_args(Gamut):
        raise ValueError(f"expected gamut to be one of {', '.join(get_args(Gamut))}, got {gamut!r}")
    if L.shape[-2:] != ab.shape[-2:] or L.shape[-3] != 1 or ab.shape[-3] != 2:
        raise ValueError(
            f"expected L (*, 1, H, W) and ab (*, 2, H, W) of the same size, got {tuple(L.shape)} and {tuple(ab.shape)}"
        )
    lab = torch.cat([(_as_float(L) + 1) * L_SCALE, _as_float(ab) * AB_SCALE], dim=-3)
    if gamut == "chroma":
        lab = reduce_chroma(lab)
    return lab_to_rgb(lab, clip=gamut != "none")


def grey_srgb(L: Float[Tensor, "*batch 1 h w"]) -> Float[Tensor, "*batch 1 h w"]:
    """Convert the lightness L in network scaling to the sRGB value in 0..1 of that grey (R = G = B)."""
    # For a* = b* = 0 the inverse of Lab is Y = f^-1((L* + 16) / 116), and linear R = G = B = Y.
    luminance = _f_inverse(((_as_float(L) + 1) * L_SCALE + 16) / 116)
    return _srgb_curve(luminance).clamp(0, 1)


# ----------------------------------------------------------------------------- the steps of the conversion


def srgb_to_linear(rgb: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert sRGB in 0..1 to linear light in 0..1: the inverse of the transfer curve of IEC 61966-2-1.

    Linear light is proportional to the physical amount of light, so that it may be added and multiplied by a matrix.
    """
    rgb = _as_float(_check(rgb))
    # IEC 61966-2-1: linear = sRGB / 12.92                     where sRGB <= 0.04045
    #                linear = ((sRGB + 0.055) / 1.055)^2.4     elsewhere
    # Autograd differentiates both branches of `where`. A power of a negative number is NaN, and so is its gradient,
    # even where the other branch is selected. The base of the power is therefore clamped to the range in which this
    # branch applies. `_srgb_curve` and `_f` do the same.
    curve = ((rgb.clamp(min=SRGB_KNEE) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > SRGB_KNEE, curve, rgb / 12.92)


def linear_to_srgb(linear: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert linear light to sRGB with the transfer curve of IEC 61966-2-1. Values outside 0..1 are not clamped."""
    return _srgb_curve(_as_float(_check(linear)))


def _srgb_curve(linear: Tensor) -> Tensor:
    # IEC 61966-2-1: sRGB = 12.92 * linear                     where linear <= 0.0031308
    #                sRGB = 1.055 * linear^(1/2.4) - 0.055     elsewhere
    curve = 1.055 * linear.clamp(min=LINEAR_KNEE) ** (1 / 2.4) - 0.055
    return torch.where(linear > LINEAR_KNEE, curve, linear * 12.92)


def linear_to_xyz(linear: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert linear sRGB to CIE XYZ, scaled so that white has Y = 1."""
    return _mix(XYZ_FROM_LINEAR, _as_float(_check(linear)))


def xyz_to_linear(xyz: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert CIE XYZ to linear sRGB. Where sRGB cannot show the colour, values lie outside 0..1."""
    return _mix(_inverse(XYZ_FROM_LINEAR), _as_float(_check(xyz)))


def xyz_to_lab(xyz: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert CIE XYZ to CIE Lab (CIE 15:2004, eq. 8.3 to 8.11)."""
    # L* = 116 f(Y/Yn) - 16,  a* = 500 (f(X/Xn) - f(Y/Yn)),  b* = 200 (f(Y/Yn) - f(Z/Zn)); Xn, Yn, Zn is the white.
    x, y, z = (t / white for t, white in zip(_as_float(_check(xyz)).unbind(-3), WHITE_D65, strict=True))
    fx, fy, fz = _f(x), _f(y), _f(z)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


def lab_to_xyz(lab: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert CIE Lab to CIE XYZ (CIE 15:2004, annex D)."""
    L, a, b = _as_float(_check(lab)).unbind(-3)
    # The equations of `xyz_to_lab`, solved for f(X/Xn), f(Y/Yn) and f(Z/Zn).
    fy = (L + 16) / 116
    xyz = [white * _f_inverse(f) for f, white in zip((fy + a / 500, fy, fy - b / 200), WHITE_D65, strict=True)]
    return torch.stack(xyz, dim=-3)


def _f(t: Tensor) -> Tensor:
    # CIE 15:2004: f(t) = t^(1/3) where t > (6/29)^3, elsewhere t / (3 (6/29)^2) + 4/29, the tangent at that point.
    # The slope of the cube root is infinite at 0; the slope of the tangent is not.
    root = t.clamp(min=LAB_KNEE**3) ** (1 / 3)
    return torch.where(t > LAB_KNEE**3, root, t / (3 * LAB_KNEE**2) + 4 / 29)


def _f_inverse(f: Tensor) -> Tensor:
    return torch.where(f > LAB_KNEE, f * f * f, 3 * LAB_KNEE**2 * (f - 4 / 29))


def _mix(matrix: Sequence[Sequence[float]], image: Tensor) -> Tensor:
    """Multiply `matrix` by every pixel.

    The product is written out as multiplications and additions. A matrix product would be shorter but inexact:
    autocast (bfloat16) and TF32 round its factors to 8 or 10 bits.
    """
    x, y, z = image.unbind(-3)
    rows = [torch.add(row[0] * x, y, alpha=row[1]).add(z, alpha=row[2]) for row in matrix]
    return torch.stack(rows, dim=-3)


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Invert a 3x3 matrix by its cofactors, in Python floats, which have the precision of float64 on every device."""
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
    """Mark the pixels of a Lab image that sRGB can show: R, G and B all lie in `-tolerance .. 1 + tolerance`."""
    return in_gamut_linear(xyz_to_linear(lab_to_xyz(lab)), tolerance)


def in_gamut_linear(
    linear: Float[Tensor, "*batch 3 h w"], tolerance: float = GAMUT_TOLERANCE
) -> Bool[Tensor, "*batch h w"]:
    """Do the same as `in_gamut` for pixels in linear sRGB. The tolerance still applies to sRGB, not to linear light."""
    # The transfer curve increases everywhere. Converting the two bounds to linear light therefore gives the same
    # answer as converting every pixel to sRGB, and is faster.
    lowest, highest = -tolerance / 12.92, ((1 + tolerance + 0.055) / 1.055) ** 2.4
    return (linear.amin(-3) >= lowest) & (linear.amax(-3) <= highest)


def reduce_chroma(
    lab: Float[Tensor, "*batch 3 h w"], tolerance: float = GAMUT_TOLERANCE
) -> Float[Tensor, "*batch 3 h w"]:
    """Reduce the chroma of every pixel that sRGB cannot show, at constant L* and hue, by as little as possible.

    Only pixels outside the gamut change. Their (a*, b*) is multiplied by a factor in 0..1, which bisection finds to
    2^-16. Autograd treats the factor as a constant. Where L* itself lies outside 0..100, no factor helps, and the
    result is grey. For one hue in 10,000, near yellow, the line from grey to the pixel leaves the gamut, enters it
    again and leaves it a second time. There, the result may be either of the two points where the line leaves.
    """
    outside = ~in_gamut(lab, tolerance)
    if not outside.any():
        return lab
    with torch.no_grad():
        factor = torch.ones_like(lab[..., 0, :, :])
        factor[outside] = _chroma_factor(lab.movedim(-3, 0)[:, outside], tolerance)
    return torch.cat([lab[..., :1, :, :], lab[..., 1:, :, :] * factor.unsqueeze(-3)], dim=-3)


def _chroma_factor(pixels: Float[Tensor, "3 n"], tolerance: float) -> Float[Tensor, " n"]:
    """Find the factor at which the line from grey (0, inside the gamut) to each pixel (1, outside) leaves the gamut."""
    # Bisection: `low` is always inside the gamut, and `low + 2 * step` outside.
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
    """Convert 8-bit images to float32 sRGB in 0..1. Raises ValueError if the dtype is not uint8."""
    if images.dtype != torch.uint8:
        raise ValueError(f"expected images of dtype uint8 (0..255), got {images.dtype}")
    return images.float() / 255


def to_uint8(rgb: Float[Tensor, "*batch 3 h w"]) -> UInt8[Tensor, "*batch 3 h w"]:
    """Convert sRGB to 8-bit images: clamped to 0..1 and rounded to the nearest of the 256 levels."""
    return (_check(rgb).detach().clamp(0, 1) * 255).round().to(torch.uint8)


def _check(image: Tensor) -> Tensor:
    if not image.is_floating_point():
        raise ValueError(f"expected a float image, got {image.dtype}; try colorlib.color.to_float(image) first")
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(f"expected an image of shape (*, 3, H, W), got {tuple(image.shape)}")
    return image


def _as_float(image: Tensor) -> Tensor:
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
