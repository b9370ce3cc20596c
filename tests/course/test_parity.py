"""assert_same_module says yes to the same network under other names, and no to each way of not being it."""

import pytest
import torch
from torch import nn

from colorlib import PatchGAN
from colorlib.course.parity import assert_same_function, assert_same_module


def network(*, slope=0.2, momentum=0.1, dropout=0.5, detach=False, width=4, order=(0, 1)):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, width, 3, padding=1)
            self.norm = nn.BatchNorm2d(width, momentum=momentum)
            self.last = nn.Conv2d(width, 2, 3, padding=1)
            self.dropout = nn.Dropout(dropout)

        def forward(self, x):
            hidden = nn.functional.leaky_relu(self.norm(self.first(x)), slope)
            out = self.last(self.dropout(hidden.detach() if detach else hidden))
            return out[:, list(order)]

    return Net()


def renamed():
    """The same as `network()`, as a student writes it."""
    before = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)
    return nn.Sequential(*before, nn.Dropout(0.5), nn.Conv2d(4, 2, 3, padding=1))


EXAMPLE = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_the_same_network_under_other_names_passes():
    class Reordered(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, padding=1)

        def forward(self, x):
            return self.c(nn.functional.dropout(nn.functional.leaky_relu(self.b(self.a(x)), 0.2), 0.5, self.training))

    assert_same_module(Reordered(), network(), EXAMPLE)
    assert_same_module(renamed(), network(), EXAMPLE)
    assert_same_module(network(), network(), EXAMPLE)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"slope": 0.1}, "the output in training mode"),
        ({"dropout": 0.4}, "the output in training mode"),
        ({"dropout": 0.0}, "the output in training mode"),
        ({"detach": True}, "the gradient of input 0 in training mode"),
        ({"momentum": 0.2}, "the buffer norm.running_mean in training mode"),
        ({"width": 5}, "expected parameters of the library's shapes"),
        ({"order": (1, 0)}, "the output in training mode"),
    ],
)
def test_each_difference_is_named(fault, says):
    with pytest.raises(AssertionError, match=says):
        assert_same_module(network(**fault), network(), EXAMPLE)


def test_a_missing_layer_and_a_wrong_shape_are_named():
    with pytest.raises(AssertionError, match=r"expected \d+ parameters and buffers, got 4"):
        assert_same_module(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3)), nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)), EXAMPLE)  # fmt: skip
    with pytest.raises(AssertionError, match=r"expected 0.weight, number 0 .* \(4, 1, 3, 3\), got \(5, 1, 3, 3\)"):
        assert_same_module(nn.Sequential(nn.Conv2d(1, 5, 3, padding=1)), network(), EXAMPLE)


def test_the_modules_are_left_as_they_were_and_so_is_the_random_state():
    mine, theirs = network(), network()
    before = [p.clone() for p in (*mine.parameters(), *theirs.parameters())]
    state = torch.get_rng_state()
    assert_same_module(mine, theirs, EXAMPLE)
    assert all(map(torch.equal, before, (*mine.parameters(), *theirs.parameters())))
    assert torch.equal(state, torch.get_rng_state())
    assert mine.training and theirs.training


def test_a_library_module_equals_itself():
    example = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert_same_module(PatchGAN(receptive_field=16, width=8), PatchGAN(receptive_field=16, width=8), example)


def test_functions_are_compared_by_value_and_gradient():
    x = torch.rand(5)
    assert_same_function(lambda x: x * x, torch.square, x)
    with pytest.raises(AssertionError, match="the value: expected"):
        assert_same_function(lambda x: x**3, torch.square, x)
    with pytest.raises(AssertionError, match="the gradient of input 0"):
        assert_same_function(lambda x: x * x.detach(), torch.square, x)
    with pytest.raises(AssertionError, match=r"expected the shape \(5,\), got \(\)"):
        assert_same_function(torch.sum, torch.square, x)
    with pytest.raises(AssertionError, match="expected finite numbers"):
        assert_same_function(lambda x: x / 0, torch.square, x)
