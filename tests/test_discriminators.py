"""PatchGAN against the paper: sizes, counts, and receptive fields measured by gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from colorlib.blocks import NORMS
from colorlib.devices import make_rng
from colorlib.discriminators import STRIDED_LAYERS, PatchGAN, receptive_field, smallest_input


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=make_rng("image", *shape)) * 2 - 1


def measured_receptive_field(network: nn.Module, side: int) -> tuple[int, int]:
    """Height and width of the pixels that get a gradient from one output in the middle of the map."""
    x = image(1, 3, side, side).requires_grad_()
    scores = network(x)
    scores[0, 0, scores.shape[-2] // 2, scores.shape[-1] // 2].backward()
    _, rows, columns = (x.grad[0] != 0).nonzero(as_tuple=True)
    return int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)


@pytest.mark.parametrize("field", STRIDED_LAYERS)
def test_the_receptive_field_is_what_gradients_say(field: int) -> None:
    # Batch norm in training mode would connect all pixels; in eval mode it is a scale and a shift.
    network = PatchGAN(receptive_field=field, width=4, rng=make_rng("rf")).double().eval()
    x_side = 2 * field + 64
    network_in_double = lambda x: network(x.double())  # noqa: E731
    assert measured_receptive_field(network_in_double, x_side) == (field, field)
    assert receptive_field(network) == field


def test_the_receptive_fields_are_those_of_the_contract() -> None:
    assert tuple(STRIDED_LAYERS) == (1, 16, 34, 70, 142, 286)


def test_parameter_count_and_map_of_the_default() -> None:
    network = PatchGAN()
    assert sum(p.numel() for p in network.parameters()) == 2_765_633
    assert network(image(1, 3, 224, 224)).shape == (1, 1, 26, 26)


# Appendix 6.1.2 of Isola et al. 2017: C64-C128-C256-C512 and its relatives.
CHANNELS = {
    1: [64, 128, 1],
    16: [64, 128, 1],
    34: [64, 128, 256, 1],
    70: [64, 128, 256, 512, 1],
    142: [64, 128, 256, 512, 512, 1],
    286: [64, 128, 256, 512, 512, 512, 1],
}


@pytest.mark.parametrize("field", CHANNELS)
def test_the_layers_are_the_papers(field: int) -> None:
    convs = [layer for layer in PatchGAN(receptive_field=field).modules() if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == CHANNELS[field]
    assert {conv.kernel_size for conv in convs} == {(1, 1) if field == 1 else (4, 4)}
    # No norm after the first and the last, so these two carry a bias, and no other does.
    assert [conv.bias is not None for conv in convs] == [True] + [False] * (len(convs) - 2) + [True]


@pytest.mark.parametrize("field", STRIDED_LAYERS)
def test_the_smallest_image_gives_one_score_and_one_pixel_less_says_so(field: int) -> None:
    network = PatchGAN(receptive_field=field, width=4)
    side = smallest_input(network)
    if field > 1:
        assert network(image(1, 3, side, side)).shape == (1, 1, 1, 1)
        with pytest.raises(ValueError, match=f"at least {side} x {side} pixels, got {side} x {side - 1}"):
            network(image(1, 3, side, side - 1))
    else:
        assert network(image(2, 3, 1, 1)).shape == (2, 1, 1, 1)


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_trains_every_parameter(norm: str) -> None:
    network = PatchGAN(receptive_field=34, width=8, norm=norm, rng=make_rng("norm"))
    assert receptive_field(network) == 34
    scores = network(image(2, 3, 40, 48))
    (scores - 1).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_norm_lets_one_sample_change_the_score_of_another(norm: str) -> None:
    """The gradient penalty relies on this."""
    network = PatchGAN(receptive_field=16, width=8, norm=norm, rng=make_rng("alone"))
    x = image(2, 3, 16, 16).requires_grad_()
    network(x)[0].sum().backward()
    assert (x.grad[1] != 0).any() == (norm == "batch")


def test_it_judges_ab_alone_when_it_does_not_see_the_condition() -> None:
    assert PatchGAN(in_channels=2, receptive_field=16, width=4)(image(2, 2, 32, 32)).shape == (2, 1, 14, 14)


def test_same_generator_same_weights() -> None:
    first, second = (PatchGAN(width=4, rng=make_rng("seed")).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_wrong_arguments_list_the_right_ones() -> None:
    with pytest.raises(ValueError, match="1, 16, 34, 70, 142, 286 pixels, got 64"):
        PatchGAN(receptive_field=64)
    with pytest.raises(ValueError, match="batch, instance, layer, spectral, none, got 'group'"):
        PatchGAN(norm="group")


def test_receptive_field_of_other_chains() -> None:
    """Closed forms: n 3x3 layers see 2n + 1, a dilation of d makes a 3x3 kernel 2d + 1 wide."""
    assert receptive_field(nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(5)))) == 11
    assert receptive_field(nn.Conv2d(1, 1, 3, dilation=4)) == 9
    assert receptive_field(nn.Sequential(nn.Conv2d(1, 1, 2, stride=2), nn.Conv2d(1, 1, 2, stride=2))) == 4
    assert receptive_field(nn.ReLU()) == 1


def test_what_is_no_chain_of_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match="chain of convolutions, got a ConvTranspose2d"):
        receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, 4)))
