"""The exercises of notebook 05, the U-Net generator."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from colorlib.blocks import conv_block, pad_to_multiple
from colorlib.course.bugs import gradient_of
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_type
from colorlib.generators import UNet

# --- 1: even or uneven overlap -----------------------------------------------------------------------------------


def _counts(kernel: int, stride: int) -> tuple[int, int]:
    """By asking torch, with enough input that some pixels are away from the border."""
    counted = nn.functional.conv_transpose1d(torch.ones(1, 1, 3 * kernel), torch.ones(1, 1, kernel), stride=stride)
    inside = counted[0, 0, kernel : kernel + stride]
    return int(inside.min()), int(inside.max())


def _check_overlap(answer: Any) -> None:
    expect_function("overlap", answer, "a function of kernel and stride")
    for kernel, stride in ((3, 2), (4, 2), (2, 2), (5, 2), (4, 4), (3, 1), (7, 3), (2, 3)):
        where = f"for kernel {kernel} and stride {stride}, (fewest, most)"
        got, wanted = answer(kernel, stride), _counts(kernel, stride)
        expect_type(where, got, (tuple, list, Tensor), "two whole numbers")
        expect(where, got, wanted)


overlap = Exercise(
    "overlap",
    _check_overlap,
    hints=[
        "The kernel is laid down at every stride-th pixel. How many kernels can cover one pixel?",
        "kernel / stride of them: rounded down at least, rounded up at most.",
    ],
)

# --- 2: count the parameters -------------------------------------------------------------------------------------


def _parameters(depth: int, width: int, in_channels: int, out_channels: int) -> int:
    with torch.device("meta"):
        network = UNet(in_channels, out_channels, depth, width)
    return sum(p.numel() for p in network.parameters())


def _check_count_parameters(answer: Any) -> None:
    expect_function("count_parameters", answer, "a function of depth, width and channels")
    for depth, width, into, out in ((2, 8, 1, 2), (3, 8, 1, 2), (5, 16, 1, 2), (7, 4, 3, 3), (8, 64, 1, 2)):
        where = f"depth {depth}, width {width}, {into} channels in, {out} out"
        got, wanted = answer(depth, width, into, out), _parameters(depth, width, into, out)
        expect(where, got, wanted, tolerance=1e30)  # one finite number
        if abs(float(got) - wanted) > 0.5:
            raise NotYet(f"{where}: expected {wanted:,} parameters, got {float(got):,.0f}")


count_parameters = Exercise(
    "count_parameters",
    _check_count_parameters,
    hints=[
        "List the channels of the encoder's maps first. A convolution has 16 weights for each pair of an input and "
        "an output channel; all decoder blocks but the innermost get twice the channels.",
        "16 * (pairs down + pairs up) + 2 * (channels of all norms) + out_channels. The last convolution takes twice "
        "the width; norms: all maps of the encoder but the first and the innermost, and all of the decoder but ab.",
    ],
)

# --- 3: fix the size error ---------------------------------------------------------------------------------------


class _Strict(nn.Module):
    """A network for multiples of `multiple`, which remembers what it was shown."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple
        self.seen: list[Tensor] = []

    def forward(self, L: Tensor) -> Tensor:
        height, width = L.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise RuntimeError(f"expected multiples of {self.multiple} px, got {height} by {width} px")
        self.seen.append(L.detach().clone())
        down = nn.functional.avg_pool2d(L, self.multiple)
        mean = nn.functional.interpolate(down, scale_factor=float(self.multiple), mode="nearest")
        return torch.cat([L - mean, 2 * mean], dim=1)


def _check_any_size(answer: Any) -> None:
    expect_function("any_size", answer, "a function of a network, a multiple and L")
    for multiple, height, width in ((8, 21, 13), (4, 8, 12), (16, 5, 30), (8, 24, 17)):
        L = torch.linspace(-1, 1, 2 * height * width).reshape(2, 1, height, width)
        network = _Strict(multiple)
        got = answer(network, multiple, L)
        where = f"for a multiple of {multiple} and a picture of {height} by {width} px"
        expect_type(where, got, Tensor, "a tensor")
        if got.shape != (2, 2, height, width):
            raise NotYet(f"{where}: expected the shape {(2, 2, height, width)}, got {tuple(got.shape)}")
        if not network.seen:
            raise NotYet(f"{where}: expected the network to be run, got an output without it")
        padded = pad_to_multiple(L, multiple)
        shown = network.seen[-1]
        if shown.shape != padded.shape:
            sizes = [" by ".join(str(side) for side in image.shape[-2:]) for image in (padded, shown)]
            raise NotYet(f"{where}: expected the network to see {sizes[0]} px, got {sizes[1]} px")
        if not torch.allclose(shown, padded):
            raise NotYet(
                f"{where}: expected the network to see the picture at the top left and its last row and column "
                f"repeated, got {_first_difference(shown, padded)}"
            )
        expect(where, got, _Strict(multiple)(padded)[..., :height, :width])


def _first_difference(got: Tensor, wanted: Tensor) -> str:
    place = tuple(int(i) for i in (got - wanted).abs().gt(1e-5).nonzero()[0])
    return f"{got[place]:.3f} instead of {wanted[place]:.3f} at row {place[2]}, column {place[3]}"


any_size = Exercise(
    "any_size",
    _check_any_size,
    hints=[
        "How many rows and columns are missing to the next multiple? None, if the size is a multiple already.",
        "-height % multiple rows are missing. torch.nn.functional.pad(L, (0, right, 0, bottom), mode='replicate') "
        "repeats the border; crop the output with [..., :height, :width].",
    ],
)

# --- 4: the detached branch --------------------------------------------------------------------------------------


def _branches() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        branch = nn.Sequential(conv_block(3, 4, norm="none", activation=nn.ReLU()), conv_block(4, 4, norm="none"))
        return branch, conv_block(3, 4, kernel=1, norm="none")


def _check_residual(answer: Any) -> None:
    expect_function("residual", answer, "a function of x, branch and shortcut")
    branch, shortcut = _branches()
    x = torch.linspace(-1, 1, 2 * 3 * 5 * 5).sin().reshape(2, 3, 5, 5).requires_grad_()
    got, wanted = answer(x, branch, shortcut), torch.relu(branch(x) + shortcut(x))
    expect_type("the output", got, Tensor, "a tensor")
    expect("the output", got, wanted, 1e-5)
    if not got.requires_grad:
        raise NotYet("expected a gradient in both branches, got an output that is cut off from both")
    groups: dict[str, list[Tensor]] = {
        "the branch": list(branch.parameters()), "the shortcut": list(shortcut.parameters()), "the input": [x],
    }  # fmt: skip
    for name, tensors in groups.items():
        mine, right = (gradient_of(output.square().sum(), tensors).norm().item() for output in (got, wanted))
        if abs(mine - right) > 1e-3 * right:
            raise NotYet(f"norm of the gradient of {name}: expected {right:.4g}, got {mine:.4g}")


residual = Exercise(
    "residual",
    _check_residual,
    hints=[
        "What autograd does not see, it cannot differentiate. Where does the code leave its sight?",
        ".data is the tensor without its history, as detach() and torch.no_grad() make one. Add the two outputs as "
        "they are.",
    ],
)

# --- 5: the test that catches it ---------------------------------------------------------------------------------


class _Block(nn.Module):
    """A residual block; `how` says what is wrong with it."""

    def __init__(self, how: str = "") -> None:
        super().__init__()
        self.how = how
        self.branch = nn.Conv2d(2, 2, 3, padding=1)
        self.shortcut = nn.Conv2d(2, 2, 1)
        self.unused = nn.Linear(2, 2) if how == "unused" else None
        if how == "frozen":
            self.branch.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        branch, shortcut = self.branch(x), self.shortcut(x)
        if self.how == "data":
            branch.data += shortcut.data
            return branch
        if self.how == "no_grad":
            with torch.no_grad():
                shortcut = self.shortcut(x)
        if self.how == "detach":
            branch = branch.detach()
        if self.how == "zero":
            branch = 0 * branch  # a gradient that is there, and zero
        return branch + shortcut


_SHORTCUT, _BRANCH = {"shortcut.weight", "shortcut.bias"}, {"branch.weight", "branch.bias"}
_CASES: dict[str, tuple[str, set[str]]] = {
    "a healthy block": ("", set()),
    "a block that adds shortcut.data": ("data", _SHORTCUT),
    "a shortcut under no_grad": ("no_grad", _SHORTCUT),
    "a detached branch": ("detach", _BRANCH),
    "a branch times zero": ("zero", _BRANCH),
    "a layer that forward does not use": ("unused", {"unused.weight", "unused.bias"}),
    "a branch frozen on purpose": ("frozen", set()),
}


def _check_unreached(answer: Any) -> None:
    expect_function("unreached", answer, "a function of a module and x")
    x = torch.linspace(-1, 1, 2 * 2 * 6 * 6).reshape(2, 2, 6, 6)
    for stale in (False, True):
        for what, (how, wanted) in _CASES.items():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(7)
                block = _Block(how)
            if stale:
                what += ", with gradients from before"
                for p in block.parameters():
                    p.grad = torch.ones_like(p)
            got = answer(copy.deepcopy(block) if not stale else block, x.clone())
            expect_type(what, got, (list, tuple, set), "a list of names")
            strangers = [name for name in got if not isinstance(name, str)]
            if strangers:
                raise NotYet(f"{what}: expected a list of names, got one that holds a {type(strangers[0]).__name__}")
            names = set(got)
            if names != wanted:
                raise NotYet(f"{what}: expected {_listed(wanted)}, got {_listed(names)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "no names"


unreached = Exercise(
    "unreached",
    _check_unreached,
    hints=[
        "Run, take the sum of squares, call backward, and go through named_parameters(). A gradient may be None.",
        "Clear first: module.zero_grad(set_to_none=True). A name belongs on the list if p.requires_grad and "
        "(p.grad is None or not p.grad.any()).",
    ],
)
