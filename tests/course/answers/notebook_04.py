"""Right and wrong answers to the exercises of notebook 04, each wrong one with what its feedback says."""

import math

import numpy as np
import torch
from torch.nn.functional import one_hot


def _planes(pictures, labels, classes):
    planes = one_hot(labels, classes).float()[:, :, None, None].expand(-1, -1, *pictures.shape[2:])
    return torch.cat([pictures, planes], dim=1)


def _planes_by_loop(pictures, labels, classes):
    n, _, height, width = pictures.shape
    planes = torch.zeros(n, classes, height, width)
    for i, label in enumerate(labels):
        planes[i, label] = 1
    return torch.cat([pictures, planes], dim=1)


def _gap(mix, cat=lambda L, ab: torch.cat([L, ab], 1)):
    def gap(discriminator, L, ab):
        with torch.no_grad():
            return (discriminator(cat(L, ab)).mean() - discriminator(cat(*mix(L, ab))).mean()).item()

    return gap


def _gap_as_tensor(discriminator, L, ab):
    pairs = [torch.cat([L, ab], 1), torch.cat([L.flip(0), ab], 1)]  # no image in the middle: six are even
    return discriminator(pairs[0]).detach().mean() - discriminator(pairs[1]).detach().mean()


def modes(points, labels, centres, near):
    apart = torch.cdist(centres.flatten(0, 1), points).unflatten(0, centres.shape[:2])  # (classes, modes, n)
    own = labels == torch.arange(len(centres))[:, None]
    return ((apart <= near) & own[:, None]).any(2).sum(1)


def _modes_by_numpy(points, labels, centres, near):
    counts = np.zeros(len(centres))
    for k, own in enumerate(centres.numpy()):
        for centre in own:
            distances = np.linalg.norm(points.numpy()[labels.numpy() == k] - centre, axis=1)
            counts[k] += (distances <= near).any()
    return counts


RIGHT = [
    ("draws_needed", lambda s: math.inf if 0 in s else sum(1 / x for x in s) / len(s)),
    ("draws_needed", lambda s: (1 / torch.tensor(s, dtype=torch.float64)).mean()),
    ("draws_needed", lambda s: np.mean([1 / x if x else np.inf for x in s])),
    ("with_planes", _planes),
    ("with_planes", _planes_by_loop),
    ("mismatch_gap", _gap(lambda L, ab: (L.roll(1, 0), ab))),
    ("mismatch_gap", _gap(lambda L, ab: (L, ab.roll(-2, 0)))),
    ("mismatch_gap", _gap_as_tensor),
    ("modes_per_class", lambda *args: modes(*args).tolist()),
    ("modes_per_class", modes),
    ("modes_per_class", _modes_by_numpy),
]

WRONG = [
    # weighted by how often the class comes (always the number of classes), one over the mean, crashes at 0, the sum
    ("draws_needed", lambda s: len(s), "0.25, 0.25: the mean number of draws: expected 3.3333, got 3"),
    ("draws_needed", lambda s: 1 / max(s), "expected 3.3333, got 2"),
    (
        "draws_needed",
        lambda s: sum(1 / x for x in s) / len(s),
        "expected <lambda> to return, got ZeroDivisionError",
    ),
    ("draws_needed", lambda s: sum(1 / x for x in s if x), "expected 8, got 64"),
    (
        "draws_needed",
        lambda s: sum(1 / x for x in s if x) / len(s),
        "0.5 and 0: the mean number of draws: expected inf",
    ),
    ("draws_needed", lambda s: [1 / x for x in s if x], "expected the shape (), got (8,)"),
    ("draws_needed", lambda s: "8", "expected a number, got '8' of type str"),
    ("draws_needed", 8, "expected a function of a list of shares, got 8 of type int"),
    # one plane with the number of the label, planes in front, the planes alone, whole numbers, a label too far
    (
        "with_planes",
        lambda x, y, k: torch.cat([x, y[:, None, None, None].float().expand(-1, 1, *x.shape[2:])], 1),
        "expected the shape (2, 6, 4, 6), got (2, 4, 4, 6)",
    ),
    ("with_planes", lambda x, y, k: _planes(x, y, k).roll(k, 1), "the pictures and planes: expected"),
    ("with_planes", lambda x, y, k: _planes(x, y, k)[:, x.shape[1] :], "expected the shape (2, 6, 4, 6), got (2, 3"),
    ("with_planes", lambda x, y, k: _planes(x, y.flip(0), k), "expected 0 at (0, 3, 0, 0), got 1"),
    (
        "with_planes",
        lambda x, y, k: torch.cat([x, one_hot(y, k)], 1),
        "expected <lambda> to return, got RuntimeError",
    ),
    ("with_planes", lambda x, y, k: _planes(x, y, k).double(), "expected torch.float32, got torch.float64"),
    ("with_planes", lambda x, y, k: (x, y), "expected a tensor, got"),
    ("with_planes", "one-hot", "expected a function of pictures, labels and a number, got 'one-hot'"),
    # both moved along (still a match), the sign, one pair keeps its place, channels swapped, only the mismatched mean
    ("mismatch_gap", _gap(lambda L, ab: (L.roll(1, 0), ab.roll(1, 0))), "-1 to a mismatch: the gap: expected 2, got 0"),
    ("mismatch_gap", _gap(lambda L, ab: (L[[0, 2, 3, 4, 5, 1]], ab)), "the gap: expected 2, got 1.6667"),
    ("mismatch_gap", _gap(lambda L, ab: (L.roll(1, 3), ab)), "the gap: expected 2, got 0"),
    (
        "mismatch_gap",
        lambda d, L, ab: (d(torch.cat([L.roll(1, 0), ab], 1)) - d(torch.cat([L, ab], 1))).mean().item(),
        "the gap: expected 2, got -2",
    ),
    (
        "mismatch_gap",
        lambda d, L, ab: d(torch.cat([L.roll(1, 0), ab], 1)).mean().item(),
        "the gap: expected 2, got -1",
    ),
    (
        "mismatch_gap",
        lambda d, L, ab: abs(_gap(lambda L, ab: (L.roll(1, 0), ab))(d, L, ab)),
        "prefers mismatches: the gap: expected -2, got 2",
    ),
    ("mismatch_gap", lambda d, L, ab: d(ab).mean() - d(ab.roll(1, 0)).mean(), "D wants pairs of shape (n, 3, h, w)"),
    (
        "mismatch_gap",
        lambda d, L, ab: d(torch.cat([L, ab], 1)).mean() - d(torch.cat([L.roll(1, 0), ab], 1)).mean(),
        "expected a number without a gradient, got",
    ),
    (
        "mismatch_gap",
        lambda d, L, ab: (d(torch.cat([L, ab], 1)) - d(torch.cat([L.roll(1, 0), ab], 1))).detach(),
        "expected the shape (), got (6, 1, 4, 4)",
    ),
    ("mismatch_gap", 2.0, "expected a function of a discriminator, L and ab, got 2 of type float"),
    # labels ignored; points counted and not centres; the nearest centre always counts; strays of other classes
    (
        "modes_per_class",
        lambda p, y, c, near: [int((torch.cdist(own, p) <= near).any(1).sum()) for own in c],
        "modes found of each class: expected 1 at (1,), got 2",
    ),
    (
        "modes_per_class",
        lambda p, y, c, near: [int((torch.cdist(own, p[y == k]) <= near).sum()) for k, own in enumerate(c)],
        "expected 1 at (1,), got 3",
    ),
    (
        "modes_per_class",
        lambda p, y, c, near: [
            len(torch.cdist(own, p[y == k]).argmin(0).unique()) if (y == k).any() else 0 for k, own in enumerate(c)
        ],
        "expected 0 at (2,), got 2",
    ),
    ("modes_per_class", lambda *args: modes(*args).sum(), "expected the shape (3,), got ()"),
    ("modes_per_class", lambda *args: dict(enumerate(modes(*args))), "expected a list of counts, one a class, got"),
    (
        "modes_per_class",
        lambda p, y, c, near: [
            int((torch.cdist(own, p[y == k]).min(1).values <= near).sum()) for k, own in enumerate(c)
        ],
        "expected <lambda> to return, got IndexError",
    ),
    ("modes_per_class", [3, 1, 0], "expected a function of points, labels, centres and a distance"),
]
