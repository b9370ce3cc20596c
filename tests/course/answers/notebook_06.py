"""Right and wrong answers to the exercises of notebook 06, each wrong one with what its feedback says."""

import numpy as np
import torch
from torch import nn

from colorlib import PatchGAN

STEPS = {1: 1, 16: 2, 34: 4, 70: 8, 142: 16, 286: 32}


def _map_side(side, layers):
    for kernel, stride, padding in layers:
        side = (side + 2 * padding - kernel) // stride + 1
    return side


def map_side_by_network(side, layers):
    x = torch.zeros(1, 1, side, 1)
    for kernel, stride, padding in layers:
        x = nn.functional.conv2d(x, torch.ones(1, 1, kernel, 1), stride=(stride, 1), padding=(padding, 0))
    return x.shape[2]


def _dilated_field(layers):
    r = 1
    for kernel, stride, dilation in reversed(layers):
        r = stride * (r - 1) + dilation * (kernel - 1) + 1
    return r


def _dilated_field_forwards(layers):
    r, step = 1, 1
    for kernel, stride, dilation in layers:
        r, step = r + dilation * (kernel - 1) * step, step * stride
    return r


def _walk(layers, width=lambda kernel, stride, dilation: kernel, grow=lambda r, s: s * (r - 1)):
    r = 1
    for layer in reversed(layers):
        r = grow(r, layer[1]) + width(*layer)
    return r


def _sure_field(d):
    return min(field for field, step in STEPS.items() if d + step - 1 <= field)


def stack(*layers, widths=(3, 4, 4, 4, 4, 4, 4, 1), activation=nn.LeakyReLU):
    widths = (*widths[: len(layers)], 1)
    built = []
    for below, here, (kernel, stride, padding) in zip(widths, widths[1:], layers, strict=False):
        built += [nn.Conv2d(below, here, kernel, stride, padding), activation()]
    return nn.Sequential(*built[:-1])


TWO_STRIDES = [(4, 2, 1), (4, 2, 1), (4, 1, 1), (4, 1, 1), (4, 1, 1)]


class _Own(nn.Module):
    """Odd kernels, a stride of 3: 55 pixels, 43 x 43 scores."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 7, 3, 3)
        self.rest = nn.Sequential(*[nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2)) for _ in range(4)])
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.last(self.rest(self.first(x)))


RIGHT = [
    ("map_side", _map_side),
    ("map_side", map_side_by_network),
    ("map_side", lambda side, layers: torch.tensor(_map_side(side, layers))),
    ("map_side", lambda side, layers: np.int64(_map_side(side, layers))),
    ("dilated_field", _dilated_field),
    ("dilated_field", _dilated_field_forwards),
    ("dilated_field", lambda layers: torch.tensor(_dilated_field(layers))),
    ("sure_field", _sure_field),
    ("sure_field", lambda d: next(f for f, top in zip(STEPS, (1, 15, 31, 63, 127, 255), strict=True) if d <= top)),
    ("sure_field", lambda d: torch.tensor(_sure_field(d))),
    ("judge_to_order", lambda: stack(*TWO_STRIDES)),
    ("judge_to_order", lambda: stack(*TWO_STRIDES, activation=nn.ReLU)),
    ("judge_to_order", lambda: stack((4, 2, 1), *[(4, 1, 1)] * 6, (4, 1, 1), widths=(3, *[4] * 8))),
    ("judge_to_order", _Own),
    ("judge_to_order", lambda: stack(*TWO_STRIDES).double()),
]

WRONG = [
    # forgets the + 1, the padding on both sides, rounds up, divides last, uses only the last layer, backwards
    (
        "map_side",
        lambda side, layers: side // 8 - 1,
        "for the 70 x 70 PatchGAN at 224 pixels: the side of the map: exp",
    ),
    ("map_side", lambda side, layers: side // 8 - 2, "for no layers at 64 pixels: the side of the map: expected 64"),
    ("map_side", lambda side, layers: _chain(side, layers, lambda n, k, s, p: (n + 2 * p - k) // s), "26, got 22"),
    ("map_side", lambda side, layers: _chain(side, layers, lambda n, k, s, p: (n + p - k) // s + 1), "26, got 23"),
    ("map_side", lambda side, layers: _chain(side, layers, lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1), "got"),
    ("map_side", lambda side, layers: _chain(side, layers, lambda n, k, s, p: (n + 2 * p - k) / s + 1), "16, got 16.5"),
    ("map_side", lambda side, layers: _map_side(side, layers[::-1]), "expected 26, got 27"),
    ("map_side", lambda side, layers: [side], "expected the shape (), got (1,)"),
    ("map_side", lambda side, layers: "26 x 26", "expected a number, got '26 x 26' of type str"),
    ("map_side", lambda side: side, "expected <lambda> to return, got TypeError"),
    ("map_side", 26, "expected a function of a side and layers, got 26 of type int"),
    # ignores dilation; d * k; k + d; forgets the - 1 at the stride; walks forwards
    ("dilated_field", _walk, "for one layer of kernel 3 with dilation 4: the receptive field: expected 9, got 3"),
    ("dilated_field", lambda layers: _walk(layers, lambda k, s, d: d * k), "expected 9, got 12"),
    ("dilated_field", lambda layers: _walk(layers, lambda k, s, d: k + d - 1), "expected 9, got 6"),
    ("dilated_field", lambda layers: _walk(layers, lambda k, s, d: d * (k - 1)), "expected 70"),
    ("dilated_field", lambda layers: _dilated_field(layers[::-1]), "expected 70, got 28"),
    (
        "dilated_field",
        lambda layers: _walk(layers, lambda k, s, d: d * (k - 1) + 1, lambda r, s: s * r),
        "expected 70, got",
    ),
    ("dilated_field", lambda layers: (70, 70), "expected the shape (), got (2,)"),
    ("dilated_field", 70, "expected a function of a list of layers, got 70 of type int"),
    # as if a patch began at every pixel; one too careful; the step itself; always the largest
    (
        "sure_field",
        lambda d: min(f for f in STEPS if d <= f),
        "for a balloon of 16 pixels: the receptive field: expected",
    ),
    ("sure_field", lambda d: min(f for f, s in STEPS.items() if d + s <= f or f == 286), "for a balloon of 1 pixels"),
    ("sure_field", lambda d: min((f for f, s in STEPS.items() if d + 2 * s <= f), default=286), "expected 1, got 16"),
    ("sure_field", lambda d: 286, "for a balloon of 1 pixels: the receptive field: expected 1, got 286"),
    ("sure_field", lambda d: f"{d} pixels", "expected one of 1, 16, 34, 70, 142, 286, got '1 pixels' of type str"),
    ("sure_field", 70, "expected a function of d, got 70 of type int"),
    # the library's 34 and 70; too few scores; norms that bring in the image; a number instead of a map; wrong channels
    ("judge_to_order", lambda: PatchGAN(3, 34, 4, "none"), "expected it to see 40 to 60 columns, got 34"),
    (
        "judge_to_order",
        lambda: PatchGAN(3, 70, 4, "none"),
        "at 128 px: expected at least 500 scores, got 196 (14 x 14)",
    ),
    ("judge_to_order", lambda: PatchGAN(3, 34, 4, "instance"), "expected it to see 40 to 60 columns, got 128"),
    ("judge_to_order", lambda: stack((4, 4, 0), (4, 4, 0), (3, 1, 1)), "expected at least 500 scores, got 64 (8 x 8)"),
    ("judge_to_order", lambda: nn.Sequential(stack(*TWO_STRIDES), nn.Flatten()), "(4, 1, h, w)"),
    (
        "judge_to_order",
        lambda: stack(*TWO_STRIDES, widths=(1, 4, 4, 4, 4)),
        "expected a discriminator that takes (4, 3",
    ),
    ("judge_to_order", lambda: stack(*TWO_STRIDES)[:-1], "expected scores of shape (4, 1, h, w), got (4, 4, 30, 30)"),
    ("judge_to_order", lambda: [nn.Conv2d(3, 1, 4)], "what judge_to_order returns: expected a module, got"),
    ("judge_to_order", lambda: nn.Conv2d(4, "a", 4), "to return, got"),
    ("judge_to_order", 46, "expected a function that returns a discriminator, got 46 of type int"),
]


def _chain(side, layers, rule):
    for kernel, stride, padding in layers:
        side = rule(side, kernel, stride, padding)
    return side
