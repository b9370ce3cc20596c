"""Building blocks: the shape of their outputs, their initialisation and their gradients."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from colorlib.blocks import (
    INIT_STD,
    NORMS,
    UPSAMPLINGS,
    ResidualBlock,
    ResidualUp,
    conv_block,
    down_block,
    global_rng_from,
    initialise,
    norm_for_any_size,
    norm_layer,
    norm_without_layer,
    pad_to_multiple,
    up_block,
)
from colorlib.devices import make_rng


def noise(*shape: int, key: str = "x") -> torch.Tensor:
    return torch.randn(shape, generator=make_rng(key))


# The axes of (sample, channel, row, column) over which each norm averages.
AVERAGED = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3)}


@pytest.mark.parametrize("norm", AVERAGED)
def test_a_norm_takes_mean_and_deviation_over_its_own_axes(norm: str) -> None:
    x = 3 * noise(4, 6, 5, 7) + noise(4, 6, 1, 1, key="offset")
    axes = AVERAGED[norm]
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    expected = (x - mean) / (variance + 1e-5).sqrt()
    assert torch.allclose(norm_layer(norm, 6)(x), expected, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_that_is_a_layer_learns_scale_and_shift(norm: str) -> None:
    learned = sum(p.numel() for p in norm_layer(norm, 6).parameters())
    assert learned == (12 if norm in AVERAGED else 0)


def test_an_unknown_norm_or_upsampling_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match="batch, instance, layer, spectral, none, got 'bach'"):
        norm_layer("bach", 4)
    with pytest.raises(ValueError, match="transpose or resize, got 'bilinear'"):
        up_block(4, 4, upsample="bilinear")


def test_the_norms_that_replace_others_where_these_cannot_work() -> None:
    assert [norm_for_any_size(norm) for norm in NORMS] == ["layer", "layer", "layer", "spectral", "none"]
    assert [norm_without_layer(norm) for norm in NORMS] == ["none", "none", "none", "spectral", "none"]


@pytest.mark.parametrize("norm", NORMS)
def test_a_convolution_has_a_bias_only_where_no_norm_follows(norm: str) -> None:
    conv = conv_block(3, 4, norm=norm)[0]
    assert (conv.bias is None) == (norm in AVERAGED)
    assert conv_block(3, 4, norm=norm, bias=False)[0].bias is None


def test_the_order_is_convolution_norm_dropout_activation() -> None:
    block = conv_block(3, 4, activation=nn.ReLU(), dropout=0.5)
    assert [type(layer) for layer in block] == [nn.Conv2d, nn.BatchNorm2d, nn.Dropout, nn.ReLU]


@pytest.mark.parametrize(("kernel", "stride", "side"), [(1, 1, 12), (3, 1, 12), (3, 2, 6), (4, 2, 6), (4, 1, 11)])
def test_the_side_after_a_convolution(kernel: int, stride: int, side: int) -> None:
    assert conv_block(2, 5, kernel=kernel, stride=stride)(noise(2, 2, 12, 12)).shape == (2, 5, side, side)


@pytest.mark.parametrize("upsample", UPSAMPLINGS)
def test_down_halves_and_up_doubles(upsample: str) -> None:
    halved = down_block(3, 8)(noise(2, 3, 8, 16))
    assert halved.shape == (2, 8, 4, 8)
    assert up_block(8, 5, upsample=upsample)(halved).shape == (2, 5, 8, 16)


def test_only_the_transposed_convolution_can_produce_a_checkerboard() -> None:
    """A flat map stays flat, away from the border, when it is enlarged by repetition and then convolved."""
    ripple = {}
    for upsample in UPSAMPLINGS:
        block = up_block(4, 1, upsample=upsample, norm="none")
        initialise(block, make_rng("checkerboard"))
        ripple[upsample] = block(torch.ones(1, 4, 6, 6))[..., 3:-3, 3:-3].std().item()
    assert ripple["resize"] < 1e-6 < 1e-3 < ripple["transpose"]


def test_spectral_norm_makes_the_largest_singular_value_one() -> None:
    block = conv_block(6, 8, norm="spectral")
    initialise(block, make_rng("spectral"))
    for _ in range(200):  # each pass in training mode is one step of the power iteration
        block(noise(1, 6, 4, 4))
    singular = torch.linalg.svdvals(block[0].weight.detach().flatten(1))
    assert singular[0].item() == pytest.approx(1, abs=1e-3)
    # New weights have new estimates of their singular vectors, which are good enough for the first pass.
    initialise(block, make_rng("again"))
    assert torch.linalg.svdvals(block[0].weight.detach().flatten(1))[0].item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("channels", "stride"), [(6, 1), (9, 1), (6, 2)])
def test_a_residual_block_is_the_sum_of_branch_and_shortcut_and_both_learn(channels: int, stride: int) -> None:
    block = ResidualBlock(6, channels, stride=stride)
    initialise(block, make_rng("block"))
    x = noise(2, 6, 8, 8).requires_grad_()
    y = block(x)
    assert y.shape == (2, channels, 8 // stride, 8 // stride)
    block.train(False)
    assert torch.equal(block(x), (block.shortcut(x[..., ::stride, ::stride]) + block.branch(x)).relu())
    y.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())
    assert isinstance(block.shortcut, nn.Identity) == ((channels, stride) == (6, 1))


def test_the_gradient_passes_through_the_shortcut_without_the_branch() -> None:
    block = ResidualBlock(3, 3).eval()
    for parameter in block.branch.parameters():
        nn.init.zeros_(parameter)
    x = (noise(1, 3, 4, 4).abs() + 0.1).requires_grad_()
    block(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_step_up_starts_from_one_pixel(norm: str) -> None:
    step = ResidualUp(8, 3, 32, norm=norm)
    initialise(step, make_rng("step"))
    x, skip = noise(1, 8, 1, 1).requires_grad_(), noise(1, 3, 2, 2).requires_grad_()
    y = step(x, skip)
    assert y.shape == (1, 32, 2, 2)
    (y * noise(1, 32, 2, 2, key="weights")).sum().backward()
    assert x.grad.abs().sum() > 0 and skip.grad.abs().sum() > 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (7, 8), (8, 8), (9, 16)])
@pytest.mark.parametrize("minimum", [1, 16])
def test_padding_repeats_the_border_and_is_undone_by_cropping(height: int, width: int, minimum: int) -> None:
    x = noise(2, 3, height, width)
    padded = pad_to_multiple(x, 8, minimum=minimum)
    for side, before in zip(padded.shape[-2:], (height, width), strict=True):
        assert side % 8 == 0 and side >= minimum
        assert side - before < 8 or side == minimum
    assert torch.equal(padded[..., :height, :width], x)
    rows = torch.arange(padded.shape[-2]).clamp(max=height - 1)
    columns = torch.arange(padded.shape[-1]).clamp(max=width - 1)
    assert torch.equal(padded, x[..., rows, :][..., columns])


def big_network(norm: str = "batch") -> nn.Sequential:
    return nn.Sequential(
        conv_block(64, 64, norm=norm),
        conv_block(64, 64, kernel=4, stride=2, transpose=True, norm="none"),
        nn.Linear(100, 100),
    )


def test_weights_are_drawn_as_in_the_paper() -> None:
    network = big_network()
    initialise(network, make_rng("init"))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert layer.weight.mean().item() == pytest.approx(0, abs=4 * INIT_STD / layer.weight.numel() ** 0.5)
            assert layer.weight.std().item() == pytest.approx(INIT_STD, rel=0.05)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert layer.weight.std().item() == pytest.approx(INIT_STD, rel=0.5)
        bias = getattr(layer, "bias", None)
        assert bias is None or not bias.any()


@pytest.mark.parametrize("norm", NORMS)
def test_the_same_generator_draws_the_same_network_whatever_the_global_state(norm: str) -> None:
    states = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        network = big_network(norm)
        initialise(network, make_rng("same"))
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    initialise(network, make_rng("other"))
    assert any(not torch.equal(states[0][name], tensor) for name, tensor in network.state_dict().items())


def test_initialising_without_a_generator_uses_the_global_one() -> None:
    draws = []
    for seed in (3, 3, 4):
        network = conv_block(4, 4, norm="spectral")
        torch.manual_seed(seed)
        initialise(network)
        draws.append(network[0].weight.detach())
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_global_rng_from_restores_the_global_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with global_rng_from(make_rng("a")):
        first = torch.rand(3)
    with pytest.raises(KeyError), global_rng_from(make_rng("b")):
        raise KeyError
    assert torch.equal(torch.rand(3), expected)
    with global_rng_from(make_rng("a")):
        assert torch.equal(torch.rand(3), first)


def test_a_strided_shortcut_sees_every_second_pixel() -> None:
    """Its values and gradients equal those of a 1x1 convolution with that stride."""
    block = ResidualBlock(16, 24, stride=2).eval()
    strided = nn.Conv2d(16, 24, 1, stride=2, bias=False)
    strided.weight = block.shortcut[0].weight
    x = torch.randn(2, 16, 9, 12, requires_grad=True)
    expected = torch.relu(block.shortcut[1](strided(x)) + block.branch(x))
    torch.testing.assert_close(block(x), expected)
    theirs, mine = (torch.autograd.grad(y.square().sum(), [x, strided.weight]) for y in (expected, block(x)))
    torch.testing.assert_close(mine, theirs)


@pytest.mark.slow
def test_few_channels_train_in_channels_last() -> None:
    """A strided 1x1 convolution of 4 channels corrupted torch's memory. A crash would end a separate process only."""
    code = """
import torch
from colorlib.blocks import ResidualBlock
block = ResidualBlock(4, 8, stride=2).to(memory_format=torch.channels_last)
for _ in range(60):
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    block(x).square().sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]
