"""Compare what a student built with the library's: outputs and gradients for the same random parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

TOLERANCE = 1e-5
SEED = 0


def assert_same_module(mine: nn.Module, theirs: nn.Module, *example: Tensor, tolerance: float = TOLERANCE) -> None:
    """Raise AssertionError, which says what differs, unless two modules compute the same.

    Both get the same random parameters and buffers, theirs loaded strictly into mine: by name, or in the order of
    construction where the names differ. Then outputs, running statistics, and the gradients of input and parameters
    are compared, in training mode (dropout drawn from the same seed) and in evaluation mode. Numbers may differ by
    `tolerance`, relative to the largest. The modules that were handed in are not changed.
    """
    mine, theirs = copy.deepcopy(mine), copy.deepcopy(theirs)
    _randomise(theirs)
    _load(mine, theirs)
    for training in (True, False):
        where = "in training mode" if training else "in evaluation mode"
        ours, other = (_trace(module.train(training), example) for module in (mine, theirs))
        _compare(ours, other, where, tolerance)


def assert_same_function(
    mine: Callable[..., Tensor], theirs: Callable[..., Tensor], *inputs: Any, tolerance: float = TOLERANCE
) -> None:
    """Raise AssertionError unless two functions give the same values and the same gradients of their tensors."""
    ours, other = (_trace_function(function, inputs) for function in (mine, theirs))
    _compare(ours, other, "", tolerance)


Traced = list[tuple[str, Tensor]]


def _randomise(module: nn.Module) -> None:
    """Make every parameter and statistic random, so that an exchange of two of them shows."""
    rng = torch.Generator().manual_seed(SEED)
    for parameter in module.parameters():
        # about as large as usual weights: the signal neither dies nor explodes over many layers
        scale = (1.0 / max(1, parameter[0].numel())) ** 0.5 if parameter.ndim > 1 else 0.5
        parameter.data = scale * torch.randn(parameter.shape, generator=rng).to(parameter)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.data = (0.5 + torch.rand(buffer.shape, generator=rng)).to(buffer)  # a variance is positive


def _load(mine: nn.Module, theirs: nn.Module) -> None:
    own, other = mine.state_dict(), theirs.state_dict()
    if own.keys() != other.keys():
        shapes = [[tuple(tensor.shape) for tensor in state.values()] for state in (own, other)]
        for i, (name, a, b) in enumerate(zip(own, *shapes, strict=False)):
            assert a == b, f"expected {name}, number {i} of the parameters, to have the shape {b}, got {a}"
        assert len(own) == len(other), f"expected {len(other)} parameters and buffers, got {len(own)}"
        other = dict(zip(own, other.values(), strict=True))
    try:
        mine.load_state_dict(other, strict=True)
    except RuntimeError as error:
        raise AssertionError(f"expected parameters of the library's shapes: {' '.join(str(error).split())}") from error


def _trace(module: nn.Module, example: Iterable[Tensor]) -> Traced:
    inputs = [_leaf(tensor) for tensor in example]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        output = module(*inputs)
    found = _gradients(output, inputs, list(module.named_parameters()))
    return [("the output", output), *found, *((f"the buffer {n}", b) for n, b in module.named_buffers())]


def _trace_function(function: Callable[..., Tensor], inputs: Iterable[Any]) -> Traced:
    leaves = [_leaf(value) if isinstance(value, Tensor) else value for value in inputs]
    output = function(*leaves)
    assert isinstance(output, Tensor), f"expected a tensor, got {type(output).__name__}"
    return [("the value", output), *_gradients(output, [v for v in leaves if isinstance(v, Tensor)], [])]


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point())


def _gradients(output: Tensor, inputs: list[Tensor], parameters: list[tuple[str, Tensor]]) -> Traced:
    named = [(f"the gradient of input {i}", tensor) for i, tensor in enumerate(inputs) if tensor.requires_grad]
    named += [(f"the gradient of {name}", tensor) for name, tensor in parameters]
    if not output.requires_grad:
        return [(name, torch.zeros_like(tensor)) for name, tensor in named]
    # a random direction: a plain sum would not notice outputs in another order
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(SEED)).to(output)
    grads = torch.autograd.grad((output * direction).sum(), [tensor for _, tensor in named], allow_unused=True)
    return [(n, torch.zeros_like(t) if g is None else g) for (n, t), g in zip(named, grads, strict=True)]


def _compare(mine: Traced, theirs: Traced, where: str, tolerance: float) -> None:
    for (name, ours), (_, other) in zip(mine, theirs, strict=True):
        what = f"{name} {where}".strip()
        assert ours.shape == other.shape, f"{what}: expected the shape {tuple(other.shape)}, got {tuple(ours.shape)}"
        ours, other = ours.detach().double(), other.detach().double()
        assert torch.isfinite(ours).all(), f"{what}: expected finite numbers, got NaN or infinity"
        worst = (ours - other).abs().max().item() if ours.numel() else 0.0
        allowed = tolerance * max(1.0, other.abs().max().item() if other.numel() else 0.0)
        assert worst <= allowed, f"{what}: expected the library's to within {allowed:.1g}, got {worst:.3g} apart"
