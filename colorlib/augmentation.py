"""What a training picture may look like besides itself: another piece of it, and another development of its greys."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

# The numbers that one picture's tone curve is drawn from, and how far strength 1 goes with each.
TONE_NUMBERS = 4
MOST_GAMMA = 2.0
MOST_BEND = 0.8  # below 1 the curve rises everywhere
MOST_FADING = 0.3


def resize(image: UInt8[Tensor, "3 h w"], side: int) -> UInt8[Tensor, "3 side side"]:
    """A square piece as a picture of `side` px: bilinear, averaged over what a pixel covers."""
    if image.shape[-1] == side:
        return image
    return nn.functional.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)[0]


def tone_curve(L: Float[Tensor, "b 1 h w"], strength: float, numbers: Float[Tensor, "b 4"]) -> Float[Tensor, "b 1 h w"]:
    """L as another film, print or scan might have kept it: a rising curve for each picture, in network units.

    Of the four `numbers` of a picture, uniform in 0..1, come a gamma (1/2 to 2 at strength 1), an S-curve or its
    inverse, a lifted black and a lowered white. No order of greys is changed, so the colours still belong to them.
    """
    drawn = numbers.to(L).view(len(L), TONE_NUMBERS, 1, 1, 1)
    gamma, bend = (strength * (2 * drawn[:, :2] - 1)).unbind(1)  # both ways
    black, white = (strength * drawn[:, 2:]).unbind(1)
    light = ((L + 1) / 2).clamp(0, 1) ** (MOST_GAMMA**gamma)
    light = light - MOST_BEND * bend * torch.sin(2 * math.pi * light) / (2 * math.pi)
    darkest, lightest = MOST_FADING * black, 1 - MOST_FADING * white
    return 2 * (darkest + (lightest - darkest) * light) - 1
