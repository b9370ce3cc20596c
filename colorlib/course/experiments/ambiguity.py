"""How many bits of colour L leaves open, in scenes, at several widths of the lightness bins.

Colour is quantised: ab into squares of 10 Lab units (the grid of Zhang, Isola and Efros 2016), L* into bins. A table
counts how often each square of ab comes with each condition; entropies in bits follow from it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from colorlib import scenes
from colorlib.color import AB_SCALE, L_SCALE
from colorlib.course.experiments.experiment import Experiment, Setting

AB_WIDTH = 10.0
REACH = 11  # squares to each side of grey: the scaling of ab ends at 110
SIDE = 2 * REACH + 1
L_WIDTH = 2.0
# The share of the overall colours in `cross_entropy`, in samples: what a bin of lightness that was never seen says.
PRIOR_SAMPLES = 20.0

N_SCENES = 1000
SIZE = 32


def ab_bins(ab: Float[Tensor, "b 2 h w"]) -> Int[Tensor, "b h w"]:
    """The number of the square that each pixel's ab (network scaling) falls into."""
    column, row = ((ab * AB_SCALE / AB_WIDTH).round().long().clamp(-REACH, REACH) + REACH).unbind(1)
    return column * SIDE + row


def lightness_bins(L: Float[Tensor, "b 1 h w"], width: float = L_WIDTH) -> Int[Tensor, "b h w"]:
    """The number of the bin of `width` units of L* that each pixel's L (network scaling) falls into."""
    highest = math.ceil(100 / width) - 1
    return ((L[:, 0] + 1) * L_SCALE / width).long().clamp(0, highest)


def count(
    condition: Int[Tensor, "*n"], colour: Int[Tensor, "*n"], conditions: int | None = None
) -> Int[Tensor, "conditions colours"]:
    """How often each colour comes with each condition: a row a condition."""
    rows = int(condition.max()) + 1 if conditions is None else conditions
    pairs = condition.flatten() * SIDE**2 + colour.flatten()
    return torch.bincount(pairs, minlength=rows * SIDE**2).reshape(rows, SIDE**2)


def entropy(counts: Int[Tensor, "*n"]) -> float:
    """Plug-in entropy in bits of the distribution that the counts make; too low for few samples."""
    share = counts[counts > 0].double() / counts.sum()
    return -(share * share.log2()).sum().item()


def conditional_entropy(counts: Int[Tensor, "conditions colours"]) -> float:
    """H(colour | condition) = H(colour, condition) - H(condition) in bits, plug-in, hence too low for few samples."""
    return entropy(counts) - entropy(counts.sum(1))


def cross_entropy(seen: Int[Tensor, "conditions colours"], unseen: Int[Tensor, "conditions colours"]) -> float:
    """Bits a pixel to tell the unseen colours by a table of the seen ones: too high, as no table is perfect.

    Each row is mixed with the colours of all rows, and those with a little of everything, so that nothing that can
    happen has probability zero.
    """
    overall = (seen.sum(0) + 0.5).double()
    overall /= overall.sum()
    table = (seen + PRIOR_SAMPLES * overall) / (seen.sum(1, keepdim=True) + PRIOR_SAMPLES)
    return -(unseen.double() / unseen.sum() * table.log2()).sum().item()


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Entropies of the colours of fresh scenes, edges left out, at one width of the bins of lightness.

    `given_L_unseen` is the cross-entropy on as many other scenes. `given_L_material` is what is left to one who also
    knows which pixel is sky and which is balloon.
    """
    width = float(setting["l_width"])  # type: ignore[arg-type]
    seen, unseen = (_scenes(seed, first) for first in (0, N_SCENES))
    tables = [count(L, colour, math.ceil(100 / width)) for L, colour, _ in (_bins(s, width) for s in (seen, unseen))]
    L, colour, material = _bins(seen, width)
    shares = {name: (seen.masks[name].sum() / len(colour)).item() for name in ("balloons", "roofs")}
    return {
        "ab": entropy(tables[0].sum(0)),
        "given_L": conditional_entropy(tables[0]),
        "given_L_unseen": cross_entropy(*tables),
        "given_L_material": conditional_entropy(count(material * 128 + L, colour)),
        "balloon_share": shares["balloons"],
        "roof_share": shares["roofs"],
    }


def _scenes(seed: int, first: int) -> scenes.Scenes:
    return scenes.draw(range(first, first + N_SCENES), SIZE, seed=seed)


def _bins(drawn: scenes.Scenes, width: float) -> tuple[Tensor, Tensor, Tensor]:
    """Lightness, colour and material of every pixel that is not on an edge."""
    inside = drawn.regions > 0
    code = drawn.regions.long()
    material = torch.where(code < scenes.BALLOON_CODE, code, code - code % 10)  # all balloons alike, all roofs alike
    L, ab = drawn.lab
    return lightness_bins(L, width)[inside], ab_bins(ab)[inside], material[inside]


EXPERIMENT = Experiment(
    name="ambiguity",
    settings=[{"l_width": width} for width in (1.0, 2.0, 5.0, 10.0)],
    seeds=(0, 1, 2),
    measure=measure,
)
