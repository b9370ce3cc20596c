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
CUTMIX_NUMBERS = 4  # that decide about one picture: whether, how large, and where


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


def cutmix(images: UInt8[Tensor, "b 3 h w"], share: float, numbers: Float[Tensor, "b 4"]) -> UInt8[Tensor, "b 3 h w"]:
    """A rectangle of the picture before, greys and colours, in so large a share of a batch's pictures.

    Yun et al. 2019, "CutMix", section 3.1: the rectangle has a picture's shape and any area, uniform in 0..1, and its
    centre lies anywhere; what is beyond the border is cut off. Meant against learning the scenes of a small set by
    heart. `numbers`, uniform in 0..1, four a picture, decide. A batch of one stays as it is, and of several processes
    each mixes the pictures of its own share of the batch.
    """
    height, width = images.shape[-2:]
    drawn, area, y, x = numbers.to(images.device).view(len(images), CUTMIX_NUMBERS, 1, 1).unbind(1)
    half = area.sqrt() / 2 * (drawn < share)
    rows = (torch.arange(height, device=images.device) + 0.5).view(1, -1, 1) / height
    columns = (torch.arange(width, device=images.device) + 0.5).view(1, 1, -1) / width
    inside = ((rows - y).abs() < half) & ((columns - x).abs() < half)
    return torch.where(inside.unsqueeze(1), images.roll(1, 0), images)


def blur(L: Float[Tensor, "b 1 h w"], share: float, numbers: Float[Tensor, "b 1"]) -> Float[Tensor, "b 1 h w"]:
    """The mean over 3x3 pixels, in so large a share of the pictures: their `numbers`, uniform in 0..1, decide."""
    padded = nn.functional.pad(L, (1, 1, 1, 1), mode="replicate")
    chosen = numbers.to(L.device).view(-1, 1, 1, 1) < share
    return torch.where(chosen, nn.functional.avg_pool2d(padded, 3, stride=1), L)


def add_noise(L: Float[Tensor, "b 1 h w"], most: float, numbers: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 h w"]:
    """Independent noise on every pixel, as of film grain or a sensor; its standard deviation is drawn for each picture.

    `numbers`, uniform in 0..1, are one for the standard deviation (0 to `most`) and then one for each pixel: uniform
    noise, which is sqrt(12) times as wide as its standard deviation.
    """
    numbers = numbers.to(L)
    deviation, pixels = most * numbers[:, 0].view(-1, 1, 1, 1), numbers[:, 1:].view(L.shape)
    return L + deviation * 12**0.5 * (pixels - 0.5)
