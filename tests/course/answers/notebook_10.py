"""Right and wrong answers to the exercises of notebook 10, each wrong one with what its feedback says."""

import numpy as np
import torch
from scipy import stats

from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.metrics import frechet_distance


def interval(first, second, rng, draws=4000, level=95):
    differences = first - second
    means = differences[rng.integers(0, len(differences), (draws, len(differences)))].mean(axis=1)
    return np.percentile(means, [(100 - level) / 2, (100 + level) / 2])


def _by_scipy(first, second, rng):
    found = stats.bootstrap((first - second,), np.mean, method="percentile", n_resamples=3000, random_state=rng)
    return found.confidence_interval.low, found.confidence_interval.high


def _by_loop(first, second, rng):
    means = sorted(np.mean(rng.choice(first - second, len(first))) for _ in range(2000))
    return torch.tensor([means[50], means[1949]])


def _unpaired(first, second, rng):
    means = [v[rng.integers(0, len(v), (4000, len(v)))].mean(axis=1) for v in (first, second)]
    return np.quantile(means[0] - means[1], [0.025, 0.975])


def _recoloured(change):
    def answer(prediction, truth):
        L, ab = split_lab(to_float(prediction))
        return to_uint8(join_lab(L, change(ab), gamut="chroma"))

    return answer


def _blocks(prediction, truth):
    rng = torch.Generator().manual_seed(1)
    L, ab = split_lab(to_float(prediction))
    squares = torch.nn.functional.interpolate(0.5 * torch.randn(1, 2, 6, 6, generator=rng), size=ab.shape[-2:])
    return to_uint8(join_lab(L, squares, gamut="chroma"))


def _noise(prediction, truth):
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, prediction.shape, dtype=torch.uint8, generator=rng)


RIGHT = [
    ("distance_same_covariance", lambda m, n, C: (m - n).square().sum()),
    ("distance_same_covariance", lambda m, n, C: float(np.linalg.norm(m.numpy() - n.numpy()) ** 2)),
    ("distance_same_covariance", lambda m, n, C: frechet_distance(m, C, n, C)),
    ("paired_interval", interval),
    ("paired_interval", _by_scipy),
    ("paired_interval", _by_loop),
    ("fool_colorfulness", _recoloured(lambda ab: -3 * ab)),
    ("fool_colorfulness", _recoloured(lambda ab: 4 * torch.stack([-ab[:, 1], ab[:, 0]], 1))),
    ("fool_colorfulness", _blocks),
    ("supported", {"a", "c", "e"}),
    ("supported", ["E", "c", "a"]),
    ("supported", "ace"),
    ("supported", "a, c, e"),
]

WRONG = [
    # the distance itself, the mean of squares, scaled by the covariance (Mahalanobis), the trace left in, no sum
    ("distance_same_covariance", lambda m, n, C: (m - n).norm(), "the covariance I: expected 25, got 5"),
    ("distance_same_covariance", lambda m, n, C: (m - n).square().mean(), "expected 25, got 12.5"),
    (
        "distance_same_covariance",
        lambda m, n, C: (m - n) @ torch.linalg.inv(C) @ (m - n),
        "the covariance [[4, 1], [1, 2]]: expected 25, got 8.2857",
    ),
    ("distance_same_covariance", lambda m, n, C: (m - n).square().sum() + 2 * C.trace(), "expected 25, got 29"),
    ("distance_same_covariance", lambda m, n, C: (m - n).square(), "expected the shape (), got (2,)"),
    ("distance_same_covariance", lambda m, n, C: "zero", "expected a number, got 'zero'"),
    ("distance_same_covariance", 25.0, "expected a function of two means and a covariance, got 25"),
    # unpaired, the spread of the scores instead of their mean's, the wrong sign, without replacement, 68 %
    ("paired_interval", _unpaired, "for 80 pairs of scores: expected"),
    ("paired_interval", lambda a, b, rng: np.quantile(a - b, [0.025, 0.975]), "for 80 pairs of scores: expected"),
    ("paired_interval", lambda a, b, rng: interval(b, a, rng), "for 80 pairs of scores: expected"),
    (
        "paired_interval",
        lambda a, b, rng: np.quantile([rng.permutation(a - b).mean() for _ in range(2000)], [0.025, 0.975]),
        "for 80 pairs of scores: expected",
    ),
    ("paired_interval", lambda a, b, rng: interval(a, b, rng, level=68), "for 80 pairs of scores: expected"),
    ("paired_interval", lambda a, b, rng: interval(a, b, rng)[::-1], "for 80 pairs of scores: expected"),
    ("paired_interval", lambda a, b, rng: (a - b).mean(), "expected the shape (2,), got ()"),
    ("paired_interval", lambda a, b, rng: np.random.default_rng(0).paired(a, b), "got AttributeError"),
    ("paired_interval", (0.2, 0.6), "expected a function of two arrays and a generator"),
    # unchanged, grey, the truth itself (colourful and better), the right hues strengthened, noise, lightness moved
    ("fool_colorfulness", lambda p, t: p, "expected a colorfulness of at least"),
    ("fool_colorfulness", _recoloured(lambda ab: 0 * ab), "expected a colorfulness of at least"),
    ("fool_colorfulness", lambda p, t: t, "expected a CIEDE2000 above the prediction's"),
    ("fool_colorfulness", _recoloured(lambda ab: 2 * ab), "expected a CIEDE2000 above the prediction's"),
    ("fool_colorfulness", _noise, "expected L* to move by less than 1, got"),
    ("fool_colorfulness", lambda p, t: 255 - t, "expected L* to move by less than 1, got"),
    ("fool_colorfulness", lambda p, t: to_float(p), "expected uint8 pictures of the shape (1, 3, 48, 48), got"),
    ("fool_colorfulness", lambda p, t: p[0], "got a tensor of shape (3, 48, 48), uint8"),
    ("fool_colorfulness", lambda p, t: 60.0, "expected uint8 pictures of the shape (1, 3, 48, 48), got 60"),
    ("fool_colorfulness", 60.0, "expected a function of two pictures, got 60"),
    # overlapping seeds taken for a difference, FIDs of different n, colour taken for right colour, too few, all
    ("supported", {"a", "b", "c", "e"}, "expected b to be left out (the seeds overlap"),
    ("supported", {"a", "c", "d", "e"}, "expected d to be left out (FIDs of different numbers"),
    ("supported", {"a", "c", "e", "f"}, "expected f to be left out (the chroma ratio is blind to hue"),
    ("supported", {"a", "c"}, "expected 3 sentences, got ['a', 'c']"),
    ("supported", set(), "expected 3 sentences, got []"),
    ("supported", set("abcdef"), "expected b to be left out"),
    ("supported", {"g"}, "expected letters from a to f, got 'g'"),
    ("supported", 3, "expected a set of letters"),
]
