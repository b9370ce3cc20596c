"""Augment training photographs: resize a part of them, change their tone curve, mix two of them, add blur and noise."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

# How many random numbers determine the tone curve of one photograph, and the most that they change at strength 1.
TONE_NUMBERS = 4
MOST_GAMMA = 2.0
MOST_BEND = 0.8  # below 1, so that the curve increases everywhere
MOST_FADING = 0.3
CUTMIX_NUMBERS = 4  # for each photograph: whether it gets a rectangle, the area, and the centre (y and x)


def resize(image: UInt8[Tensor, "3 h w"], side: int) -> UInt8[Tensor, "3 side side"]:
    """Resize a square image to `side` pixels, bilinearly. A pixel of a smaller image averages the area it covers."""
    if image.shape[-1] == side:
        return image
    return nn.functional.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)[0]


def tone_curve(L: Float[Tensor, "b 1 h w"], strength: float, numbers: Float[Tensor, "b 4"]) -> Float[Tensor, "b 1 h w"]:
    """Change the tones of L as another film, print or scan might: apply an increasing curve to each photograph.

    L is in network units. The four `numbers` of a photograph, uniform in 0..1, determine a gamma (1/2 to 2 at strength
    1), an S-curve or its inverse, a lighter black and a darker white. The curve increases, so that the order of the
    greys does not change and the colours still fit them.
    """
    drawn = numbers.to(L).view(len(L), TONE_NUMBERS, 1, 1, 1)
    gamma, bend = (strength * (2 * drawn[:, :2] - 1)).unbind(1)  # in -strength..strength
    black, white = (strength * drawn[:, 2:]).unbind(1)
    # With x in 0..1: x^(2^gamma), then x - bend * sin(2 pi x) / (2 pi), which increases as long as |bend| < 1.
    light = ((L + 1) / 2).clamp(0, 1) ** (MOST_GAMMA**gamma)
    light = light - MOST_BEND * bend * torch.sin(2 * math.pi * light) / (2 * math.pi)
    darkest, lightest = MOST_FADING * black, 1 - MOST_FADING * white
    return 2 * (darkest + (lightest - darkest) * light) - 1


def cutmix(images: UInt8[Tensor, "b 3 h w"], share: float, numbers: Float[Tensor, "b 4"]) -> UInt8[Tensor, "b 3 h w"]:
    """Paste a rectangle of the previous photograph of the batch, with its colours, into a `share` of the photographs.

    This is CutMix (Yun et al. 2019, section 3.1): the rectangle has the aspect ratio of the photograph, its area is
    uniform in 0..1, and its centre lies anywhere. The part of it beyond the border is cut off. CutMix keeps a network
    from learning the scenes of a small data set by heart. The four `numbers` of each photograph, uniform in 0..1,
    decide whether it gets a rectangle, how large it is and where it lies. A batch of one photograph stays unchanged.
    If several processes train together, each process mixes only the photographs of its own part of the batch.
    """
    height, width = images.shape[-2:]
    drawn, area, y, x = numbers.to(images.device).view(len(images), CUTMIX_NUMBERS, 1, 1).unbind(1)
    half = area.sqrt() / 2 * (drawn < share)
    rows = (torch.arange(height, device=images.device) + 0.5).view(1, -1, 1) / height
    columns = (torch.arange(width, device=images.device) + 0.5).view(1, 1, -1) / width
    inside = ((rows - y).abs() < half) & ((columns - x).abs() < half)
    return torch.where(inside.unsqueeze(1), images.roll(1, 0), images)  # roll: image i - 1 in the place of image i


def blur(L: Float[Tensor, "b 1 h w"], share: float, numbers: Float[Tensor, "b 1"]) -> Float[Tensor, "b 1 h w"]:
    """Take the mean over 3x3 pixels in those photographs whose number, uniform in 0..1, is below `share`."""
    padded = nn.functional.pad(L, (1, 1, 1, 1), mode="replicate")
    chosen = numbers.to(L.device).view(-1, 1, 1, 1) < share
    return torch.where(chosen, nn.functional.avg_pool2d(padded, 3, stride=1), L)


def add_noise(L: Float[Tensor, "b 1 h w"], most: float, numbers: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 h w"]:
    """Add independent noise to every pixel, like film grain or the noise of a sensor.

    The noise of each photograph has its own standard deviation, between 0 and `most`. The first of the `numbers` of a
    photograph, uniform in 0..1, determines it, and each of the others the noise of one pixel. The noise is uniform.
    """
    # A uniform distribution of width 1 has the standard deviation 1 / sqrt(12).
    numbers = numbers.to(L)
    deviation, pixels = most * numbers[:, 0].view(-1, 1, 1, 1), numbers[:, 1:].view(L.shape)
    return L + deviation * 12**0.5 * (pixels - 0.5)
