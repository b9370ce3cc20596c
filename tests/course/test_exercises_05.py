"""The checks of notebook 05 know a right answer from the mistakes that are made."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, pad

from colorlib.blocks import pad_to_multiple
from colorlib.course.exercises import notebook_05 as exercises
from colorlib.course.exercises.exercise import Exercise
from colorlib.generators import UNet


def says(exercise: Exercise, answer: object, *parts: str) -> None:
    """The answer is not yet right, and the one line that says so holds all parts."""
    feedback = exercise.grade(answer)
    assert feedback.status == "not yet", feedback
    assert "\n" not in feedback.text and "Traceback" not in feedback.text
    for part in parts:
        assert part in feedback.text, feedback.text


def accepts(exercise: Exercise, answer: object) -> None:
    assert exercise.grade(answer).status == "correct", exercise.grade(answer)


ALL = [exercises.overlap, exercises.count_parameters, exercises.any_size, exercises.residual, exercises.unreached]


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
def test_a_stub_is_not_attempted(exercise):
    assert exercise.grade(...).status == "not attempted"
    assert exercise.grade(lambda *arguments: None).status == "not attempted"
    assert len(exercise.hints) >= 2


# --- overlap -----------------------------------------------------------------------------------------------------


def by_listing(kernel, stride):
    counts = [len(range(phase, kernel, stride)) for phase in range(stride)]
    return [min(counts), max(counts)]


def by_torch(kernel, stride):
    counted = nn.functional.conv_transpose1d(torch.ones(1, 1, 20), torch.ones(1, 1, kernel), stride=stride)
    inside = counted[0, 0, kernel:-kernel]
    return torch.stack([inside.min(), inside.max()])


@pytest.mark.parametrize("right", [by_listing, by_torch], ids=lambda right: right.__name__)
def test_overlap_accepts(right):
    accepts(exercises.overlap, right)


@pytest.mark.parametrize(
    ("wrong", "case"),
    [
        (lambda k, s: (k // s, k // s + 1), "for kernel 4 and stride 2"),  # forgets that 2 divides 4
        (lambda k, s: (k // s, k // s), "for kernel 3 and stride 2"),  # rounds both down
        (lambda k, s: (-(-k // s), k // s), "for kernel 3 and stride 2"),  # the wrong way round
        (lambda k, s: (max(1, k // s), -(-k // s)), "for kernel 2 and stride 3"),  # gaps are pixels too
        (lambda k, s: (k / s, k / s), "for kernel 3 and stride 2"),  # not rounded
    ],
)
def test_overlap_rejects(wrong, case):
    says(exercises.overlap, wrong, case, "expected", "got")


def test_overlap_of_a_wrong_type():
    says(exercises.overlap, lambda k, s: k // s, "expected two whole numbers", "got 1 of type int")
    says(exercises.overlap, lambda k, s: "(1, 2)", "expected two whole numbers", "got '(1, 2)'")
    says(exercises.overlap, lambda k, s: (1, 2, 2), "expected the shape (2,)", "got (3,)")
    says(exercises.overlap, lambda k: (1, 2), "expected", "got TypeError")
    says(exercises.overlap, (1, 2), "expected", "got")


# --- count the parameters ----------------------------------------------------------------------------------------


def formula(depth, width, into, out, *, widest=8, joined=2, norms=True, every_norm=False, bias=True, last_joined=2):
    """The right count by default; each keyword is a mistake."""
    c = [width * min(2**floor, widest) for floor in range(depth)]
    pairs = into * c[0] + sum(a * b for a, b in pairwise(c)) + c[-1] * c[-2]
    pairs += sum(joined * c[floor] * c[floor - 1] for floor in range(1, depth - 1)) + last_joined * c[0] * out
    normed = sum(c[1:-1]) + sum(c[:-1]) + (c[0] + c[-1] if every_norm else 0)
    return 16 * pairs + (2 * normed if norms else 0) + (out if bias else 0)


def by_building(depth, width, in_channels=1, out_channels=2):
    with torch.device("meta"):
        network = UNet(in_channels, out_channels, depth, width)
    return torch.tensor(sum(p.numel() for p in network.parameters()))


def test_count_parameters_accepts():
    accepts(exercises.count_parameters, formula)
    accepts(exercises.count_parameters, by_building)
    accepts(exercises.count_parameters, lambda *sizes: np.int64(formula(*sizes)))


@pytest.mark.parametrize(
    ("mistake", "case"),
    [
        ({"widest": 10**6}, "depth 5, width 16"),  # channels that double without end
        ({"joined": 1}, "depth 3, width 8"),  # no skips
        ({"last_joined": 1}, "depth 2, width 8"),  # no skip at the last convolution
        ({"norms": False}, "depth 2, width 8"),
        ({"every_norm": True}, "depth 2, width 8"),
        ({"bias": False}, "depth 2, width 8"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_count_parameters_rejects(mistake, case):
    says(exercises.count_parameters, lambda *sizes: formula(*sizes, **mistake), case, "expected", "parameters, got")


def test_count_parameters_ignoring_the_channels():
    says(exercises.count_parameters, lambda d, w, i, o: formula(d, w, 1, 2), "3 channels in, 3 out", "expected", "got")
    says(exercises.count_parameters, lambda d, w, i, o: 54_409_858, "depth 2", "got 54,409,858")


def test_count_parameters_of_a_wrong_type():
    says(exercises.count_parameters, lambda d, w, i, o: "many", "expected a number", "got 'many'")
    says(exercises.count_parameters, lambda d, w, i, o: [1, 2], "expected the shape ()", "got (2,)")
    says(exercises.count_parameters, lambda d, w, i, o: float("nan"), "expected", "got nan")
    says(exercises.count_parameters, lambda d: 1, "expected", "got TypeError")


# --- fix the size error ------------------------------------------------------------------------------------------


def with_the_library(network, multiple, L):
    return network(pad_to_multiple(L, multiple))[:, :, : L.shape[2], : L.shape[3]]


def by_concatenation(network, multiple, L):
    height, width = L.shape[-2:]
    while L.shape[-2] % multiple:
        L = torch.cat([L, L[..., -1:, :]], dim=-2)
    while L.shape[-1] % multiple:
        L = torch.cat([L, L[..., -1:]], dim=-1)
    return network(L)[..., :height, :width]


@pytest.mark.parametrize("right", [with_the_library, by_concatenation], ids=lambda right: right.__name__)
def test_any_size_accepts(right):
    accepts(exercises.any_size, right)


def missing(multiple, L):
    return -L.shape[-1] % multiple, -L.shape[-2] % multiple


def test_any_size_names_the_mistake():
    def unchanged(network, multiple, L):
        return network(L)

    def uncropped(network, multiple, L):
        return network(pad_to_multiple(L, multiple))

    def zeros(network, multiple, L):
        right, bottom = missing(multiple, L)
        return network(pad(L, (0, right, 0, bottom)))[..., : L.shape[-2], : L.shape[-1]]

    def always(network, multiple, L):  # a whole multiple more where none is missing
        right, bottom = (multiple - side % multiple for side in (L.shape[-1], L.shape[-2]))
        return network(pad(L, (0, right, 0, bottom), mode="replicate"))[..., : L.shape[-2], : L.shape[-1]]

    def left_and_top(network, multiple, L):
        right, bottom = missing(multiple, L)
        return network(pad(L, (right, 0, bottom, 0), mode="replicate"))[..., bottom:, right:]

    def swapped(network, multiple, L):
        right, bottom = missing(multiple, L)
        return network(pad(L, (0, bottom, 0, right), mode="replicate"))[..., : L.shape[-2], : L.shape[-1]]

    def resized(network, multiple, L):
        sides = [side + -side % multiple for side in L.shape[-2:]]
        return interpolate(network(interpolate(L, size=sides, mode="bilinear")), size=L.shape[-2:], mode="bilinear")

    def cut_off(network, multiple, L):
        height, width = (side // multiple * multiple for side in L.shape[-2:])
        return network(L[..., :height, :width])

    def without_network(network, multiple, L):
        return L.expand(-1, 2, -1, -1)

    says(exercises.any_size, unchanged, "expected unchanged to return", "got RuntimeError", "multiples of 8")
    says(exercises.any_size, uncropped, "expected the shape (2, 2, 21, 13)", "got (2, 2, 24, 16)")
    says(exercises.any_size, zeros, "last row and column repeated", "got 0.000 instead of")
    says(exercises.any_size, always, "8 by 12 px", "expected the network to see 8 by 12 px", "got 12 by 16 px")
    says(exercises.any_size, left_and_top, "at the top left", "instead of")
    says(exercises.any_size, swapped, "expected", "got RuntimeError")
    says(exercises.any_size, resized, "repeated", "got")
    says(exercises.any_size, cut_off, "expected the shape (2, 2, 21, 13)", "got (2, 2, 16, 8)")
    says(exercises.any_size, without_network, "expected the network to be run")


def test_any_size_of_a_wrong_type():
    says(exercises.any_size, lambda network, multiple, L: L.shape, "expected a tensor")
    says(exercises.any_size, lambda network, multiple, L: 1, "expected a tensor", "got 1 of type int")
    says(exercises.any_size, lambda network, L: L, "got TypeError")
    says(exercises.any_size, torch.zeros(1), "expected", "got")


# --- the detached branch -----------------------------------------------------------------------------------------


def in_place(x, branch, shortcut):
    out = branch(x)
    out = out.add(shortcut(x))
    return out.clamp(min=0)


def test_residual_accepts():
    accepts(exercises.residual, lambda x, branch, shortcut: nn.functional.relu(shortcut(x) + branch(x)))
    accepts(exercises.residual, in_place)


def suspect(x, branch, shortcut):
    out = branch(x)
    out.data += shortcut(x).data
    return torch.relu(out)


def under_no_grad(x, branch, shortcut):
    with torch.no_grad():
        kept = shortcut(x)
    return torch.relu(branch(x) + kept)


def the_other_one(x, branch, shortcut):
    return torch.relu(branch(x).detach() + shortcut(x))


def detached_input(x, branch, shortcut):
    return torch.relu(branch(x) + shortcut(x.detach()))


def nothing_left(x, branch, shortcut):
    return torch.relu(branch(x) + shortcut(x)).detach()


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        (suspect, ("gradient of the shortcut", "expected", "got 0")),
        (under_no_grad, ("gradient of the shortcut", "got 0")),
        (the_other_one, ("gradient of the branch", "got 0")),
        (detached_input, ("gradient of the input", "expected", "got")),
        (nothing_left, ("in both branches", "cut off from both")),
        (lambda x, branch, shortcut: branch(x) + shortcut(x), ("the output", "expected", "got")),  # no relu
        (lambda x, branch, shortcut: torch.relu(branch(x)), ("the output", "expected", "got")),
        (lambda x, branch, shortcut: torch.relu(branch(x)) + shortcut(x), ("the output", "expected", "got")),
        (lambda x, branch, shortcut: torch.relu(branch(x) + x), ("to return", "got RuntimeError")),
    ],
)
def test_residual_rejects(wrong, parts):
    says(exercises.residual, wrong, *parts)


def test_residual_of_a_wrong_type():
    says(exercises.residual, lambda x, b, s: (b(x), s(x)), "expected a tensor")
    says(exercises.residual, lambda x, b, s: b(x).sum(), "expected the shape (2, 4, 5, 5)", "got ()")
    says(exercises.residual, lambda x: x, "got TypeError")
    says(exercises.residual, "branch", "expected", "got")


# --- the test that catches it ------------------------------------------------------------------------------------


def with_autograd(module, x):
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    loss = module(x).square().sum()
    grads = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
    return {name for (name, _), g in zip(named, grads, strict=True) if g is None or g.abs().max() == 0}


def test_unreached_accepts_other_formulations():
    accepts(exercises.unreached, with_autograd)


def listed(module, x, *, clear=True, none=True, zero=True, frozen=True):
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


def test_unreached_accepts_the_plain_way():
    accepts(exercises.unreached, listed)


@pytest.mark.parametrize(
    ("mistake", "case"),
    [
        ({"clear": False}, "with gradients from before"),
        ({"none": False}, "shortcut.data"),
        ({"zero": False}, "a branch times zero"),
        ({"frozen": False}, "a branch frozen on purpose"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_unreached_rejects(mistake, case):
    says(exercises.unreached, lambda module, x: listed(module, x, **mistake), case, "expected", "got")


def test_unreached_of_the_reached():
    def reached(module, x):
        return [name for name, _ in module.named_parameters() if name not in listed(module, x)]

    says(exercises.unreached, reached, "a healthy block: expected no names, got branch.bias")
    says(exercises.unreached, lambda module, x: [], "shortcut.data: expected shortcut.bias, shortcut.weight, got no")


def test_unreached_of_a_wrong_type():
    says(exercises.unreached, lambda module, x: "shortcut.weight", "expected a list of names")
    says(exercises.unreached, lambda module, x: True, "expected a list of names")
    says(exercises.unreached, lambda module, x: list(module.parameters()), "a list of names, got", "holds a Parameter")
    says(exercises.unreached, lambda module: [], "got TypeError")


def test_unreached_leaves_torch_random_state_alone():
    before = torch.get_rng_state()
    exercises.unreached.grade(listed)
    exercises.residual.grade(in_place)
    assert torch.equal(before, torch.get_rng_state())
