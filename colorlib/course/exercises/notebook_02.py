"""The exercises of notebook 02, the U-Net autoencoder baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from colorlib.blocks import conv_block, up_block
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_tensor, expect_type
from colorlib.scenes import ROOF_AB, ROOF_PROBABILITIES

# --- 1: one skip -------------------------------------------------------------------------------------------------


Blocks = Sequence[Callable[[Tensor], Tensor]]


def _blocks(levels: int, width: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """Blocks of random weights for a decoder whose last block alone takes twice the channels."""
    pairs = list(pairwise([1, *(width * 2**level for level in range(levels))]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(levels)
        down = [conv_block(above, here, kernel=4, stride=2, norm="none", activation=nn.ReLU()) for above, here in pairs]
        up = [up_block(here, above, norm="none", activation=nn.ReLU()) for above, here in pairs[:0:-1]]
        up.append(up_block(2 * width, 2, norm="none", activation=nn.Tanh(), bias=True))
    return list(down), list(up)


def _up_to_the_last(down: Blocks, up: Blocks, L: Tensor) -> tuple[Tensor, Tensor]:
    """The decoder's map before its last block, and the encoder's outermost map."""
    outermost = x = down[0](L)
    for block in [*down[1:], *up[:-1]]:
        x = block(x)
    return x, outermost


def _check_one_skip(answer: Any) -> None:
    expect_function("one_skip", answer, "a function of down, up and L")
    ramp = torch.linspace(-1, 1, 32 * 32).reshape(1, 1, 32, 32)
    L = torch.cat([ramp, -0.5 * ramp])
    for levels, width in ((2, 4), (3, 4), (4, 3)):
        down, up = _blocks(levels, width)
        with torch.no_grad():
            got = answer(nn.ModuleList(down), nn.ModuleList(up), L)
            decoded, encoded = _up_to_the_last(down, up, L)
            wanted, swapped = up[-1](torch.cat([decoded, encoded], 1)), up[-1](torch.cat([encoded, decoded], 1))
        where = f"with {levels} blocks each, for two images of 32 px"
        expect_tensor(where, got, "a tensor")
        if (got.shape, got.dtype) == (swapped.shape, swapped.dtype) and torch.allclose(got, swapped, atol=1e-6):
            raise NotYet("expected the decoder's map first, then the encoder's, got them the other way round")
        expect(where, got, wanted, 1e-5)


one_skip = Exercise(
    "one_skip",
    _check_one_skip,
    hints=[
        "Keep what the first block of `down` returns; you need it again at the very end.",
        "Run all other blocks but the last of `up` in a row. Then give the last one torch.cat([x, kept], dim=1).",
    ],
)

# --- 2: the L2 answer --------------------------------------------------------------------------------------------

_DOORS = ((0.42, 0.30), (0.10, -0.26))


def _check_l2_answer(answer: Any) -> None:
    wanted = tuple(sum(channel) / 2 for channel in zip(*_DOORS, strict=True))
    expect("the (a, b) with the least expected squared distance", answer, wanted, 1e-3)


l2_answer = Exercise(
    "l2_answer",
    _check_l2_answer,
    hints=[
        "The expected loss is a bowl in a and another one in b. Where is the bottom of each?",
        "L2 asks for the mean: add the two values of a and halve, and the same for b.",
    ],
)

# --- 3: which loss asks for what ---------------------------------------------------------------------------------

# Few values, on which the four statistics are four numbers, and each loss is least at its own.
_VALUES = (0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 14.0)
_STATISTICS = {"mean": 3.5, "median": 2.0, "mode": 0.0, "0.9 quantile": 6.0}
_LOSSES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "L1": ("median", lambda x, a: abs(x - a)),
    "L2": ("mean", lambda x, a: (x - a) ** 2),
    "0-1": ("mode", lambda x, a: float(x != a)),
    "pinball": ("0.9 quantile", lambda x, a: max(0.9 * (a - x), 0.1 * (x - a))),
}


def _check_asks_for(answer: Any) -> None:
    expect_type("asks_for", answer, dict, "a dictionary from losses to statistics")
    for name in _LOSSES:
        if answer.get(name, ...) is ... or answer[name] is None:
            raise NotYet(f"expected an entry for each of {', '.join(_LOSSES)}, got none for {name}")
    for name, (statistic, loss) in _LOSSES.items():
        said = answer[name]
        if not isinstance(said, str) or said not in _STATISTICS:
            raise NotYet(f"{name}: expected one of {', '.join(_STATISTICS)}, got {said!r}")
        if said != statistic:
            x, best = _STATISTICS[said], _STATISTICS[statistic]
            price, least = (sum(loss(y, a) for a in _VALUES) / len(_VALUES) for y in (x, best))
            raise NotYet(
                f"{name}: on the values {', '.join(f'{v:g}' for v in _VALUES)} expected the mean loss {least:.3g}, "
                f"which x = {best:g} has; got {price:.3g} with the {said}, x = {x:g}"
            )


asks_for = Exercise(
    "asks_for",
    _check_asks_for,
    hints=[
        "Set the slope of the mean loss to zero. For which x do the pulls from below and from above balance?",
        "L1 counts how many values lie on each side, L2 weighs them by distance, 0-1 counts exact hits, and pinball "
        "counts the values above x nine times as much as those below.",
    ],
)

# --- 4: the L1 answer in general ---------------------------------------------------------------------------------

_LOTS: dict[str, tuple[list[float], list[float]]] = {
    "a of a roof": ([ab[0] for ab in ROOF_AB], list(ROOF_PROBABILITIES)),
    "b of a roof": ([ab[1] for ab in ROOF_AB], list(ROOF_PROBABILITIES)),
    "three values, the likeliest at one end": ([-0.3, 0.1, 0.4], [0.4, 0.3, 0.3]),
    "unsorted values": ([0.4, -0.2, 0.1, -0.5, 0.2], [0.1, 0.3, 0.15, 0.25, 0.2]),
    "a rare value far away": ([0.9, 0.0, 0.1], [0.04, 0.45, 0.51]),
    "two equal odds": ([-0.25, 0.35], [0.5, 0.5]),
}


def _check_l1_answer(answer: Any) -> None:
    expect_function("l1_answer", answer, "a function of values and probabilities")
    for name, (values, probabilities) in _LOTS.items():
        best = min(values, key=lambda x: _mean_l1(x, values, probabilities))
        x = _number(name, answer(list(values), list(probabilities)), best)
        price, least = (_mean_l1(y, values, probabilities) for y in (x, best))
        if price > least + 1e-6:
            raise NotYet(
                f"{name}, {_listed(values)} with probabilities {_listed(probabilities)}: expected {best:g}, "
                f"whose mean loss is {least:.4f}, got {x:.4g}, whose mean loss is {price:.4f}"
            )


def _number(name: str, got: Any, best: float) -> float:
    """One finite number, of whatever library; NotYet for anything else."""
    expect(name, got, best, tolerance=1e30)
    return float(got)


def _mean_l1(x: float, values: Sequence[float], probabilities: Sequence[float]) -> float:
    return sum(p * abs(x - value) for value, p in zip(values, probabilities, strict=True))


def _listed(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"


l1_answer = Exercise(
    "l1_answer",
    _check_l1_answer,
    hints=[
        "Half of the probability should lie at or below your answer. Does the order of the values matter?",
        "Sort the pairs by value and add up probabilities from the lowest. Return the value at which the sum "
        "reaches 0.5.",
    ],
)
