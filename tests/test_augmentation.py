"""Tone curves keep the order of greys, resizing keeps mean colours, and rectangles are pasted with their colours."""

from __future__ import annotations

import pytest
import torch

from colorlib.augmentation import CUTMIX_NUMBERS, TONE_NUMBERS, add_noise, blur, cutmix, resize, tone_curve


def ramp(n: int) -> torch.Tensor:
    return torch.linspace(-1, 1, 201).view(1, 1, 1, 201).expand(n, 1, 1, 201)


def test_strength_zero_changes_nothing(rng: torch.Generator) -> None:
    L = ramp(8)
    torch.testing.assert_close(tone_curve(L, 0.0, torch.rand(8, TONE_NUMBERS, generator=rng)), L)


def test_every_curve_increases_and_stays_in_range(rng: torch.Generator) -> None:
    curves = tone_curve(ramp(500), 1.0, torch.rand(500, TONE_NUMBERS, generator=rng))
    assert (curves.diff(dim=-1) >= 0).all() and curves.min() >= -1 and curves.max() <= 1
    assert not torch.allclose(curves[0], curves[1], atol=0.01)


@pytest.mark.parametrize(
    ("numbers", "at", "expected"),
    [
        ((0.5, 0.5, 0.0, 0.0), 0.3, 0.3),  # the middle of all four ranges: the identity
        ((1.0, 0.5, 0.0, 0.0), 0.3, 0.3**2.0),  # darker: gamma 2
        ((0.0, 0.5, 0.0, 0.0), 0.3, 0.3**0.5),  # lighter
        ((0.5, 1.0, 0.0, 0.0), 0.25, 0.25 - 0.8 / (2 * torch.pi)),  # an S-curve: dark greys become darker
        ((0.5, 0.0, 0.0, 0.0), 0.25, 0.25 + 0.8 / (2 * torch.pi)),  # its inverse
        ((0.5, 0.5, 1.0, 0.0), 0.0, 0.3),  # black becomes lighter
        ((0.5, 0.5, 0.0, 1.0), 1.0, 0.7),  # white becomes darker
    ],
)
def test_the_effect_of_each_number(numbers: tuple[float, ...], at: float, expected: float) -> None:
    curve = tone_curve(torch.full((1, 1, 1, 1), 2 * at - 1), 1.0, torch.tensor([numbers]))
    assert (curve.item() + 1) / 2 == pytest.approx(expected, abs=1e-5)


def test_a_resized_image_keeps_its_mean_colours(rng: torch.Generator) -> None:
    image = torch.randint(0, 256, (3, 1, 1), generator=rng, dtype=torch.uint8).expand(3, 40, 40).clone()
    assert torch.equal(resize(image, 17), image[:, :17, :17])
    checks = (torch.arange(40)[:, None] + torch.arange(40)) % 2 * 255
    # A grey of 127 or 128 is the average of the checks; picking single pixels would give 0 or 255.
    small = resize(checks.to(torch.uint8).expand(3, 40, 40), 20)
    assert (small.int() - 127).abs().max() <= 3  # at the border, the filter has fewer pixels
    assert torch.equal(resize(image, 40), image)


def flat(*levels: int) -> torch.Tensor:
    """A batch with one uniform image of 20 x 12 pixels for each level."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 20, 12).clone()


def test_a_rectangle_shows_the_previous_image() -> None:
    # For each image: whether it gets a rectangle (number below the share), its area, and its centre (y and x).
    numbers = [(0.4, 0.25, 0.5, 0.5), (0.6, 0.25, 0.5, 0.5), (0.4, 0.25, 0.0, 1.0), (0.4, 1.0, 0.5, 0.5)]
    got = cutmix(flat(1, 2, 3, 4), 0.5, torch.tensor(numbers))
    expected = flat(1, 2, 3, 3)  # the rectangle covers the whole last image
    expected[0, :, 5:15, 3:9] = 4  # half of each side
    expected[2, :, :5, 9:] = 2  # cut off at the corner
    assert torch.equal(got, expected)


def test_a_share_of_the_images_gets_rectangles_of_all_sizes(rng: torch.Generator) -> None:
    numbers = torch.rand(4000, CUTMIX_NUMBERS, generator=rng)
    images = torch.arange(4000).remainder(2).mul(255).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    changed = (cutmix(images, 0.3, numbers) != images).float().mean(dim=(1, 2, 3))
    assert (changed > 0).float().mean() == pytest.approx(0.3, abs=0.03)
    assert changed[changed > 0].max() > 0.9 and changed[changed > 0].min() < 0.05
    assert torch.equal(cutmix(images, 0.0, numbers), images)
    assert torch.equal(cutmix(images[:1], 1.0, numbers[:1]), images[:1])


def test_blur_is_the_mean_over_nine_pixels_in_a_share_of_the_images(rng: torch.Generator) -> None:
    L = torch.rand(2, 1, 6, 7, generator=rng)
    got = blur(L, 0.5, torch.tensor([[0.4], [0.6]]))
    assert got[0, 0, 2, 3].item() == pytest.approx(L[0, 0, 1:4, 2:5].mean().item(), abs=1e-6)
    corner = (4 * L[0, 0, 0, 0] + 2 * L[0, 0, 0, 1] + 2 * L[0, 0, 1, 0] + L[0, 0, 1, 1]) / 9  # the border is repeated
    assert got[0, 0, 0, 0].item() == pytest.approx(corner.item(), abs=1e-6)
    assert torch.equal(got[1], L[1])
    constant = torch.full_like(L, 0.3)
    assert torch.allclose(blur(constant, 1.0, torch.zeros(2, 1)), constant)


def test_noise_has_the_standard_deviation_that_was_drawn_and_no_bias(rng: torch.Generator) -> None:
    L = torch.zeros(2, 1, 200, 200)
    numbers = torch.rand(2, 1 + 200 * 200, generator=rng)
    numbers[:, 0] = torch.tensor([1.0, 0.25])
    noise = add_noise(L, 0.04, numbers)
    assert noise.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.04, 0.01], rel=0.02)
    assert noise.mean().abs() < 1e-3
    assert not torch.equal(noise[0], 4 * noise[1])
