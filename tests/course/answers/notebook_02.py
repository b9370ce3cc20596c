"""Right and wrong answers to the exercises of notebook 02, each wrong one with what its feedback says."""

import numpy as np
import torch


def _through(blocks, x):
    for block in blocks:
        x = block(x)
    return x


def _reversed_bookkeeping(down, up, L):
    maps = [L]
    for block in down:
        maps.append(block(maps[-1]))
    return up[-1](torch.hstack((_through(up[:-1], maps[-1]), maps[1])))


def _added(down, up, L):
    first = down[0](L)
    return up[-1](_through([*down[1:], *up[:-1]], first) + first)


def _innermost(down, up, L):
    x = _through(down, L)
    return up[-1](torch.cat([_through(up[:-1], x), x], dim=1))


def _swapped(down, up, L):
    first = down[0](L)
    return up[-1](torch.cat([first, _through([*down[1:], *up[:-1]], first)], dim=1))


def _twice_the_decoder(down, up, L):
    x = _through([*down, *up[:-1]], L)
    return up[-1](torch.cat([x, x], dim=1))


def _twice_the_encoder(down, up, L):
    first = down[0](L)
    return up[-1](torch.cat([first, first], dim=1))


def _joined(down, up, L):
    first = down[0](L)
    return torch.cat([_through([*down[1:], *up[:-1]], first), first], dim=1)


def _for_three_blocks(down, up, L):
    first = down[0](L)
    return up[2](torch.cat([up[1](up[0](down[2](down[1](first)))), first], dim=1))


STATISTICS = {"L1": "median", "L2": "mean", "0-1": "mode", "pinball": "0.9 quantile"}


def _by_search(values, probabilities):
    """Not a formula: the value with the least loss."""
    return min(values, key=lambda x: sum(p * abs(x - v) for v, p in zip(values, probabilities, strict=True)))


def _with_numpy(values, probabilities):
    order = np.argsort(values)
    return np.asarray(values)[order][np.searchsorted(np.cumsum(np.asarray(probabilities)[order]), 0.5 - 1e-9)]


def _with_torch(values, probabilities):
    ordered, order = torch.tensor(values).sort()
    return ordered[(torch.tensor(probabilities)[order].cumsum(0) < 0.5 - 1e-6).sum()]


def _from_above(values, probabilities):
    """The other end of the interval where there is one."""
    above = 0.0
    for value, probability in sorted(zip(values, probabilities, strict=True), reverse=True):
        above += probability
        if above >= 0.5 - 1e-9:
            return value
    return None


def _mean(values, probabilities):
    return sum(v * p for v, p in zip(values, probabilities, strict=True))


def _mode(values, probabilities):
    return values[probabilities.index(max(probabilities))]


def _unweighted(values, probabilities):
    return float(np.median(values))


def _unsorted(values, probabilities):
    below = 0.0
    for value, probability in zip(values, probabilities, strict=True):
        below += probability
        if below >= 0.5:
            return value
    return values[-1]


RIGHT = [
    ("one_skip", _reversed_bookkeeping),
    ("l2_answer", (0.26, 0.02)),
    ("l2_answer", [0.26, 0.02]),
    ("l2_answer", np.array([0.26, 0.02])),
    ("l2_answer", torch.tensor([0.26, 0.02])),
    ("asks_for", dict(reversed(STATISTICS.items()))),
    ("l1_answer", _by_search),
    ("l1_answer", _with_numpy),
    ("l1_answer", _with_torch),
    ("l1_answer", _from_above),
]

WRONG = [
    # no skip, a sum, the wrong floor, the wrong order, one of the two maps twice, no last block, one depth only
    ("one_skip", lambda down, up, L: _through([*down, *up], L), "to return", "got RuntimeError"),
    ("one_skip", _added, "to return", "got RuntimeError"),
    ("one_skip", _innermost, "to return", "got RuntimeError"),
    ("one_skip", _swapped, "expected the decoder's map first", "got them the other way round"),
    ("one_skip", _twice_the_decoder, "with 2 blocks each"),
    ("one_skip", _twice_the_encoder, "with 2 blocks each"),
    ("one_skip", _joined, "expected the shape (2, 2, 32, 32)", "got (2, 8, 16, 16)"),
    ("one_skip", _for_three_blocks, "to return", "got IndexError"),
    ("one_skip", lambda down, up, L: (L, L)),
    ("one_skip", lambda L: L, "got TypeError"),
    ("one_skip", torch.zeros(2), "got a tensor"),
    # one of the two as L1 would choose, the sum, the sign of b lost, grey, (b, a), NaN, other types
    ("l2_answer", (0.42, 0.30), "got 0.42"),
    ("l2_answer", (0.52, 0.04), "got 0.52"),
    ("l2_answer", (0.26, 0.28), "got 0.28"),
    ("l2_answer", (0.0, 0.0), "got 0"),
    ("l2_answer", (0.02, 0.26), "got 0.02"),
    ("l2_answer", (float("nan"), 0.02), "got nan"),
    ("l2_answer", 0.26),
    ("l2_answer", "red"),
    ("l2_answer", (0.26, 0.02, 0.0)),
    ("l2_answer", {"a": 0.26}),
    ("l2_answer", torch.zeros(1, 2, 1, 1)),
    ("l2_answer", print),
    # each loss with each wrong statistic is refuted by an example; other types
    *(
        ("asks_for", STATISTICS | {loss: said}, f"{loss}: on the values", f"with the {said}")
        for loss, right in STATISTICS.items()
        for said in STATISTICS.values()
        if said != right
    ),
    ("asks_for", "median", "expected a dictionary", "got 'median'"),
    ("asks_for", ["median", "mean", "mode", "0.9 quantile"], "expected a dictionary", "of type list"),
    ("asks_for", {"L1": "median"}, "expected an entry", "got none for L2"),
    ("asks_for", STATISTICS | {"L2": ...}, "expected an entry", "got none for L2"),
    ("asks_for", STATISTICS | {"L2": "average"}, "L2: expected one of mean", "got 'average'"),
    ("asks_for", STATISTICS | {"L2": ["mean"]}),
    # the mean, the mode, probabilities ignored, the order ignored, other results and types
    ("l1_answer", _mean, "a of a roof", "whose mean loss is"),
    ("l1_answer", _mode, "the likeliest at one end", "whose mean loss is"),
    ("l1_answer", _unweighted, "a of a roof", "whose mean loss is"),
    ("l1_answer", _unsorted, "unsorted values", "whose mean loss is"),
    ("l1_answer", lambda v, p: v, "a of a roof", "expected the shape ()", "got (2,)"),
    ("l1_answer", lambda v, p: np.array(v), "a of a roof", "expected the shape ()", "got (2,)"),
    ("l1_answer", lambda v, p: "0.3", "expected a number", "got '0.3'"),
    ("l1_answer", lambda v, p: float("nan"), "expected 0.3", "got nan"),
    ("l1_answer", lambda v: v, "got TypeError"),
    ("l1_answer", 0.3, "got 0.3"),
]
