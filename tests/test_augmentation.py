"""Tone curves keep the order of greys, and resized pieces their colours."""

from __future__ import annotations

import pytest
import torch

from colorlib.augmentation import TONE_NUMBERS, resize, tone_curve


def ramp(n: int) -> torch.Tensor:
    return torch.linspace(-1, 1, 201).view(1, 1, 1, 201).expand(n, 1, 1, 201)


def test_strength_zero_changes_nothing(rng: torch.Generator) -> None:
    L = ramp(8)
    torch.testing.assert_close(tone_curve(L, 0.0, torch.rand(8, TONE_NUMBERS, generator=rng)), L)


def test_every_curve_rises_and_stays_in_range(rng: torch.Generator) -> None:
    curves = tone_curve(ramp(500), 1.0, torch.rand(500, TONE_NUMBERS, generator=rng))
    assert (
        (curves.diff(dim=-1) >= 0).all() and curves.min() >= -1 and curves.max() <= 3
    )  # at the border the weights are cut
    assert not torch.allclose(curves[0], curves[1], atol=0.01)


@pytest.mark.parametrize(
    ("numbers", "at", "expected"),
    [
        ((0.5, 0.5, 0.0, 0.0), 0.3, 0.3),  # the middle of all: no curve
        ((1.0, 0.5, 0.0, 0.0), 0.3, 0.3**2.0),  # darker: gamma 2
        ((0.0, 0.5, 0.0, 0.0), 0.3, 0.3**0.5),  # lighter
        ((0.5, 1.0, 0.0, 0.0), 0.25, 0.25 - 0.8 / (2 * torch.pi)),  # an S-curve: dark greys darker
        ((0.5, 0.0, 0.0, 0.0), 0.25, 0.25 + 0.8 / (2 * torch.pi)),  # its inverse
        ((0.5, 0.5, 1.0, 0.0), 0.0, 0.3),  # black has faded
        ((0.5, 0.5, 0.0, 1.0), 1.0, 0.7),  # white has darkened
    ],
)
def test_what_each_number_does(numbers: tuple[float, ...], at: float, expected: float) -> None:
    curve = tone_curve(torch.full((1, 1, 1, 1), 2 * at - 1), 1.0, torch.tensor([numbers]))
    assert (curve.item() + 1) / 2 == pytest.approx(expected, abs=1e-5)


def test_a_resized_piece_keeps_its_mean_colours(rng: torch.Generator) -> None:
    image = torch.randint(0, 256, (3, 1, 1), generator=rng, dtype=torch.uint8).expand(3, 40, 40).clone()
    assert torch.equal(resize(image, 17), image[:, :17, :17])
    checks = (torch.arange(40)[:, None] + torch.arange(40)) % 2 * 255
    small = resize(checks.to(torch.uint8).expand(3, 40, 40), 20)  # averaged, not picked: a grey of 127 or 128
    assert (small.int() - 127).abs().max() <= 3  # at the border the weights are cut
    assert torch.equal(resize(image, 40), image)
