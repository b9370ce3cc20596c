"""Right and wrong answers to the exercises of notebook 05, each wrong one with what its feedback says."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, pad

from colorlib.blocks import pad_to_multiple
from colorlib.generators import UNet

# --- overlap -----------------------------------------------------------------------------------------------------


def _by_listing(kernel, stride):
    counts = [len(range(phase, kernel, stride)) for phase in range(stride)]
    return [min(counts), max(counts)]


def _by_torch(kernel, stride):
    counted = nn.functional.conv_transpose1d(torch.ones(1, 1, 20), torch.ones(1, 1, kernel), stride=stride)
    inside = counted[0, 0, kernel:-kernel]
    return torch.stack([inside.min(), inside.max()])


# --- count the parameters ----------------------------------------------------------------------------------------


def _formula(depth, width, into, out, *, widest=8, joined=2, norms=True, every_norm=False, bias=True, last_joined=2):
    """The right count by default; each keyword is a mistake."""
    c = [width * min(2**floor, widest) for floor in range(depth)]
    pairs = into * c[0] + sum(a * b for a, b in pairwise(c)) + c[-1] * c[-2]
    pairs += sum(joined * c[floor] * c[floor - 1] for floor in range(1, depth - 1)) + last_joined * c[0] * out
    normed = sum(c[1:-1]) + sum(c[:-1]) + (c[0] + c[-1] if every_norm else 0)
    return 16 * pairs + (2 * normed if norms else 0) + (out if bias else 0)


def _wrong_formula(**mistake):
    return lambda *sizes: _formula(*sizes, **mistake)


def _by_building(depth, width, in_channels=1, out_channels=2):
    with torch.device("meta"):
        network = UNet(in_channels, out_channels, depth, width)
    return torch.tensor(sum(p.numel() for p in network.parameters()))


# --- fix the size error ------------------------------------------------------------------------------------------


def _with_the_library(network, multiple, L):
    return network(pad_to_multiple(L, multiple))[:, :, : L.shape[2], : L.shape[3]]


def _by_concatenation(network, multiple, L):
    height, width = L.shape[-2:]
    while L.shape[-2] % multiple:
        L = torch.cat([L, L[..., -1:, :]], dim=-2)
    while L.shape[-1] % multiple:
        L = torch.cat([L, L[..., -1:]], dim=-1)
    return network(L)[..., :height, :width]


def _missing(multiple, L):
    return -L.shape[-1] % multiple, -L.shape[-2] % multiple


def _unchanged(network, multiple, L):
    return network(L)


def _zeros(network, multiple, L):
    right, bottom = _missing(multiple, L)
    return network(pad(L, (0, right, 0, bottom)))[..., : L.shape[-2], : L.shape[-1]]


def _always(network, multiple, L):
    """A whole multiple more where none is missing."""
    right, bottom = (multiple - side % multiple for side in (L.shape[-1], L.shape[-2]))
    return network(pad(L, (0, right, 0, bottom), mode="replicate"))[..., : L.shape[-2], : L.shape[-1]]


def _left_and_top(network, multiple, L):
    right, bottom = _missing(multiple, L)
    return network(pad(L, (right, 0, bottom, 0), mode="replicate"))[..., bottom:, right:]


def _swapped(network, multiple, L):
    right, bottom = _missing(multiple, L)
    return network(pad(L, (0, bottom, 0, right), mode="replicate"))[..., : L.shape[-2], : L.shape[-1]]


def _resized(network, multiple, L):
    sides = [side + -side % multiple for side in L.shape[-2:]]
    return interpolate(network(interpolate(L, size=sides, mode="bilinear")), size=L.shape[-2:], mode="bilinear")


def _cut_off(network, multiple, L):
    height, width = (side // multiple * multiple for side in L.shape[-2:])
    return network(L[..., :height, :width])


# --- the detached branch -----------------------------------------------------------------------------------------


def residual_in_steps(x, branch, shortcut):
    out = branch(x)
    out = out.add(shortcut(x))
    return out.clamp(min=0)


def _by_data(x, branch, shortcut):
    out = branch(x)
    out.data += shortcut(x).data
    return torch.relu(out)


def _under_no_grad(x, branch, shortcut):
    with torch.no_grad():
        kept = shortcut(x)
    return torch.relu(branch(x) + kept)


# --- the test that catches it ------------------------------------------------------------------------------------


def _with_autograd(module, x):
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    loss = module(x).square().sum()
    grads = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
    return {name for (name, _), g in zip(named, grads, strict=True) if g is None or g.abs().max() == 0}


def unreached_names(module, x, *, clear=True, none=True, zero=True, frozen=True):
    """Right by default; each keyword leaves something out."""
    if clear:
        module.zero_grad(set_to_none=True)
    module(x).square().sum().backward()
    names = []
    for name, p in module.named_parameters():
        if frozen and not p.requires_grad:
            continue
        if (none and p.grad is None) or (zero and p.grad is not None and not p.grad.any()):
            names.append(name)
    return names


def _unreached_but(**mistake):
    return lambda module, x: unreached_names(module, x, **mistake)


def _reached(module, x):
    return [name for name, _ in module.named_parameters() if name not in unreached_names(module, x)]


RIGHT = [
    ("overlap", _by_listing),
    ("overlap", _by_torch),
    ("count_parameters", _formula),
    ("count_parameters", _by_building),
    ("count_parameters", lambda *sizes: np.int64(_formula(*sizes))),
    ("any_size", _with_the_library),
    ("any_size", _by_concatenation),
    ("residual", lambda x, branch, shortcut: nn.functional.relu(shortcut(x) + branch(x))),
    ("residual", residual_in_steps),
    ("unreached", _with_autograd),
    ("unreached", unreached_names),
]

WRONG = [
    # forgets that 2 divides 4, rounds both down, the wrong way round, no gaps, not rounded, other results and types
    ("overlap", lambda k, s: (k // s, k // s + 1), "for kernel 4 and stride 2"),
    ("overlap", lambda k, s: (k // s, k // s), "for kernel 3 and stride 2"),
    ("overlap", lambda k, s: (-(-k // s), k // s), "for kernel 3 and stride 2"),
    ("overlap", lambda k, s: (max(1, k // s), -(-k // s)), "for kernel 2 and stride 3"),
    ("overlap", lambda k, s: (k / s, k / s), "for kernel 3 and stride 2"),
    ("overlap", lambda k, s: k // s, "expected two whole numbers", "got 1 of type int"),
    ("overlap", lambda k, s: "(1, 2)", "expected two whole numbers", "got '(1, 2)'"),
    ("overlap", lambda k, s: (1, 2, 2), "expected the shape (2,)", "got (3,)"),
    ("overlap", lambda k: (1, 2), "got TypeError"),
    ("overlap", (1, 2)),
    # channels that double without end, no skips, no last skip, no norms, norms everywhere, no bias
    ("count_parameters", _wrong_formula(widest=10**6), "depth 5, width 16", "parameters, got"),
    ("count_parameters", _wrong_formula(joined=1), "depth 3, width 8", "parameters, got"),
    ("count_parameters", _wrong_formula(last_joined=1), "depth 2, width 8", "parameters, got"),
    ("count_parameters", _wrong_formula(norms=False), "depth 2, width 8", "parameters, got"),
    ("count_parameters", _wrong_formula(every_norm=True), "depth 2, width 8", "parameters, got"),
    ("count_parameters", _wrong_formula(bias=False), "depth 2, width 8", "parameters, got"),
    # channels ignored, always the paper's number, other results
    ("count_parameters", lambda d, w, i, o: _formula(d, w, 1, 2), "3 channels in, 3 out"),
    ("count_parameters", lambda d, w, i, o: 54_409_858, "depth 2", "got 54,409,858"),
    ("count_parameters", lambda d, w, i, o: "many", "expected a number", "got 'many'"),
    ("count_parameters", lambda d, w, i, o: [1, 2], "expected the shape ()", "got (2,)"),
    ("count_parameters", lambda d, w, i, o: float("nan"), "got nan"),
    ("count_parameters", lambda d: 1, "got TypeError"),
    # not padded, not cropped, zeros, too much, at the wrong side, sides swapped, resized, cropped first, no network
    ("any_size", _unchanged, "expected _unchanged to return", "got RuntimeError", "multiples of 8"),
    (
        "any_size",
        lambda network, multiple, L: network(pad_to_multiple(L, multiple)),
        "expected the shape (2, 2, 21, 13)",
        "got (2, 2, 24, 16)",
    ),
    ("any_size", _zeros, "last row and column repeated", "got 0.000 instead of"),
    ("any_size", _always, "8 by 12 px", "expected the network to see 8 by 12 px", "got 12 by 16 px"),
    ("any_size", _left_and_top, "at the top left", "instead of"),
    ("any_size", _swapped, "got RuntimeError"),
    ("any_size", _resized, "repeated"),
    ("any_size", _cut_off, "expected the shape (2, 2, 21, 13)", "got (2, 2, 16, 8)"),
    ("any_size", lambda network, multiple, L: L.expand(-1, 2, -1, -1), "expected the network to be run"),
    ("any_size", lambda network, multiple, L: L.shape, "expected a tensor"),
    ("any_size", lambda network, multiple, L: 1, "expected a tensor", "got 1 of type int"),
    ("any_size", lambda network, L: L, "got TypeError"),
    ("any_size", torch.zeros(1)),
    # .data, no_grad, the branch detached, the input detached, all detached
    ("residual", _by_data, "gradient of the shortcut", "got 0"),
    ("residual", _under_no_grad, "gradient of the shortcut", "got 0"),
    (
        "residual",
        lambda x, branch, shortcut: torch.relu(branch(x).detach() + shortcut(x)),
        "gradient of the branch",
        "got 0",
    ),
    ("residual", lambda x, branch, shortcut: torch.relu(branch(x) + shortcut(x.detach())), "gradient of the input"),
    (
        "residual",
        lambda x, branch, shortcut: torch.relu(branch(x) + shortcut(x)).detach(),
        "in both branches",
        "cut off from both",
    ),
    # no relu, no shortcut, the relu on the branch only, the identity for the shortcut, other results and types
    ("residual", lambda x, branch, shortcut: branch(x) + shortcut(x), "the output"),
    ("residual", lambda x, branch, shortcut: torch.relu(branch(x)), "the output"),
    ("residual", lambda x, branch, shortcut: torch.relu(branch(x)) + shortcut(x), "the output"),
    ("residual", lambda x, branch, shortcut: torch.relu(branch(x) + x), "to return", "got RuntimeError"),
    ("residual", lambda x, b, s: (b(x), s(x)), "expected a tensor"),
    ("residual", lambda x, b, s: b(x).sum(), "expected the shape (2, 4, 5, 5)", "got ()"),
    ("residual", lambda x: x, "got TypeError"),
    ("residual", "branch"),
    # stale gradients, gradients of None, gradients of zero, frozen weights; the reached ones, none, other types
    ("unreached", _unreached_but(clear=False), "with gradients from before"),
    ("unreached", _unreached_but(none=False), "shortcut.data"),
    ("unreached", _unreached_but(zero=False), "a branch times zero"),
    ("unreached", _unreached_but(frozen=False), "a branch frozen on purpose"),
    ("unreached", _reached, "a healthy block: expected no names, got branch.bias"),
    ("unreached", lambda module, x: [], "shortcut.data: expected shortcut.bias, shortcut.weight, got no"),
    ("unreached", lambda module, x: "shortcut.weight", "expected a list of names"),
    ("unreached", lambda module, x: True, "expected a list of names"),
    (
        "unreached",
        lambda module, x: list(module.parameters()),
        "expected a list of names, got one that holds a Parameter",
    ),
    ("unreached", lambda module: [], "got TypeError"),
]
