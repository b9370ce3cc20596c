"""Checks of notebook 06: the size of a map, receptive fields with holes and with steps, and a PatchGAN to order."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from colorlib.course.exercises.exercise import (
    Exercise,
    NotYet,
    copy_of,
    expect,
    expect_function,
    expect_tensor,
    expect_type,
    kind,
)
from colorlib.errors import one_line

# Kernel, stride and padding of the 70 x 70 PatchGAN and of others.
_SEVENTY = [(4, 2, 1)] * 3 + [(4, 1, 1)] * 2
_MAPS: tuple[tuple[str, int, list[tuple[int, int, int]], int], ...] = (
    ("for the 70 x 70 PatchGAN at 224 pixels", 224, _SEVENTY, 26),
    ("for the 70 x 70 PatchGAN at 256 pixels", 256, _SEVENTY, 30),
    ("for no layers at 64 pixels", 64, [], 64),
    ("for one layer of kernel 4, stride 2, padding 1 at 33 pixels", 33, [(4, 2, 1)], 16),
    ("for the 70 x 70 PatchGAN without padding at 70 pixels", 70, [(k, s, 0) for k, s, _ in _SEVENTY], 1),
    ("for kernel 3, stride 1, padding 1 and then kernel 1, stride 3, padding 0 at 20 pixels", 20,
     [(3, 1, 1), (1, 3, 0)], 7),
)  # fmt: skip


def _check_map_side(answer: Any) -> None:
    expect_function("map_side", answer, "a function of a side and layers")
    for what, side, layers, wanted in _MAPS:
        expect(f"{what}: the side of the map", answer(side, list(layers)), wanted)


map_side = Exercise(
    "map_side",
    _check_map_side,
    hints=[
        "one layer after the other, first to last: what comes out of one goes into the next",
        "side = (side + 2 * padding - kernel) // stride + 1, for each layer; // rounds down",
    ],
)

_FIELDS: tuple[tuple[str, list[tuple[int, int, int]], int], ...] = (
    ("for no layers", [], 1),
    ("for the 70 x 70 PatchGAN (dilation 1)", [(4, 2, 1)] * 3 + [(4, 1, 1)] * 2, 70),
    ("for one layer of kernel 3 with dilation 4", [(3, 1, 4)], 9),
    ("for three layers of kernel 3 with dilations 1, 2, 4", [(3, 1, 1), (3, 1, 2), (3, 1, 4)], 15),
    ("for kernel 4, stride 2 and then kernel 3 with dilation 3", [(4, 2, 1), (3, 1, 3)], 16),
    ("for kernel 3 with dilation 3 and then kernel 4, stride 2", [(3, 1, 3), (4, 2, 1)], 10),
)


def _check_dilated_field(answer: Any) -> None:
    expect_function("dilated_field", answer, "a function of a list of layers")
    for what, layers, wanted in _FIELDS:
        expect(f"{what}: the receptive field", answer(list(layers)), wanted)


dilated_field = Exercise(
    "dilated_field",
    _check_dilated_field,
    hints=[
        "how many pixels lie between the first and the last that one dilated filter takes, both included?",
        "k pixels that are d apart span d * (k - 1) + 1; put that in the place of k: r = stride * (r - 1) + span",
    ],
)

_STEPS = {1: 1, 16: 2, 34: 4, 70: 8, 142: 16, 286: 32}


def _always_held(d: int, field: int) -> bool:
    """Whether a balloon of d pixels is held by a patch wherever it begins: tried, one step is enough."""
    step = _STEPS[field]
    starts = range(-field, field + 1, step)
    return all(any(s <= b and b + d <= s + field for s in starts) for b in range(step))


def _check_sure_field(answer: Any) -> None:
    expect_function("sure_field", answer, "a function of d")
    for d in (1, 2, 10, 15, 16, 31, 32, 60, 63, 64, 70, 100, 127, 128, 255):
        wanted = next(field for field in _STEPS if _always_held(d, field))
        got = answer(d)
        expect_type(f"for a balloon of {d} pixels", got, (int, Tensor), f"one of {', '.join(map(str, _STEPS))}")
        expect(f"for a balloon of {d} pixels: the receptive field", got, wanted)


sure_field = Exercise(
    "sure_field",
    _check_sure_field,
    hints=[
        "take patches of 16 that begin at 1, 3, 5, ... and a balloon from pixel 2 to pixel 17: which patch holds it?",
        "a balloon may begin up to step - 1 pixels after a patch does, and must end inside it: d + step - 1 <= field",
    ],
)

_SIDE, _LOWEST, _HIGHEST, _SCORES = 128, 40, 60, 500


def _check_judge_to_order(answer: Any) -> None:
    expect_function("judge_to_order", answer, "a function that returns a discriminator")
    given = inspect.unwrap(answer)
    module = given if isinstance(given, nn.Module) else answer()
    expect_type("what judge_to_order returns", module, nn.Module, "a module")
    module = _randomised(module)
    images = torch.randn(4, 3, _SIDE, _SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images.requires_grad_()
    scores = _scores(module, images)
    if scores.ndim != 4 or scores.shape[:2] != (4, 1):
        raise NotYet(f"for four pictures of 128 px: expected scores of shape (4, 1, h, w), got {tuple(scores.shape)}")
    n = scores.shape[-2] * scores.shape[-1]
    if n < _SCORES:
        raise NotYet(
            f"at 128 px: expected at least {_SCORES} scores, got {n} ({scores.shape[-2]} x {scores.shape[-1]})"
        )
    for i, name in ((scores.shape[-1] // 2, "in the middle"), (scores.shape[-1] // 3, "at a third of the map")):
        (gradient,) = torch.autograd.grad(scores[:, 0, i, i].sum(), images, retain_graph=True)
        _check_extent(gradient.abs().sum((0, 1)), name)


def _randomised(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode with random weights: what starts at zero would hide what is seen."""
    module = copy_of("the discriminator", module).double().eval()
    rng = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return module


def _scores(module: nn.Module, images: Tensor) -> Tensor:
    try:
        scores = module(images)
    except Exception as error:
        raise NotYet(
            f"expected a discriminator that takes (4, 3, 128, 128), got {type(error).__name__}: {one_line(error)}"
        ) from error
    expect_tensor("what the discriminator returns", scores, "a map of scores")
    if scores.is_complex():
        raise NotYet(f"expected a map of real scores, got {scores.dtype}")
    if not scores.requires_grad:
        raise NotYet(f"expected scores that depend on the pictures, got {kind(scores)} without a gradient")
    return scores


def _check_extent(gradient: Tensor, where: str) -> None:
    for dim, what in ((0, "columns"), (1, "rows")):
        seen = (gradient.sum(dim) > 0).nonzero()
        extent = int(seen.max() - seen.min()) + 1 if len(seen) else 0
        if not _LOWEST <= extent <= _HIGHEST:
            raise NotYet(f"the score {where}: expected it to see {_LOWEST} to {_HIGHEST} {what}, got {extent}")


judge_to_order = Exercise(
    "judge_to_order",
    _check_judge_to_order,
    hints=[
        "two strides of 2 leave 32 x 32 values of 128 px, more than enough; what widens the patch without a stride?",
        "each 4 x 4 convolution of stride 1 after two strides of 2 adds 3 * 4 = 12 pixels to the patch",
    ],
)
