"""Right and wrong answers to the exercises of notebook 08, each wrong one with what its feedback says."""

import numpy as np
import torch
from scipy.stats import wasserstein_distance


def _fair(places, scores, p, q):
    slope = (scores.diff() / places.diff()).abs().max()
    return (scores * (p - q)).sum() / slope


def _fair_all_pairs(places, scores, p, q):
    x, f = places.double().numpy(), scores.double().numpy()
    steep = [abs(f[i] - f[j]) / abs(x[i] - x[j]) for i in range(len(x)) for j in range(i)]
    return float(f @ (p - q).double().numpy() / max(steep))


def share(state, clip):
    weights = torch.cat([value.flatten() for value in state.values()])
    return (weights.abs() >= clip * 0.999).float().mean()


def _share_counted(state, clip):
    at_bound = sum(int(np.isclose(np.abs(value.numpy()), clip).sum()) for value in state.values())
    return at_bound / sum(value.numel() for value in state.values())


def _pulls(d_loss, g_loss):
    real, fake = (torch.zeros(4, requires_grad=True) for _ in range(2))
    for_real, for_fake = torch.autograd.grad(d_loss(real, fake), [real, fake])
    (of_g,) = torch.autograd.grad(g_loss(fake), fake)
    return ((for_real * for_fake).sum() < 0) & ((of_g * for_real).sum() > 0)


def _pulls_by_values(d_loss, g_loss):
    low, high = torch.zeros(3), torch.ones(3)
    wants_real_high = d_loss(high, low) < d_loss(low, low)
    wants_fake_high = d_loss(low, high) < d_loss(low, low)
    g_wants_high = g_loss(high) < g_loss(low)
    return np.bool_(bool(wants_real_high != wants_fake_high and g_wants_high == wants_real_high))


def _only_d(d_loss, g_loss):
    return bool(d_loss(torch.ones(3), torch.zeros(3)) < 0)


def _only_g(d_loss, g_loss):
    return bool(g_loss(torch.ones(3)) < 0)


RIGHT = [
    ("distance_on_a_line", lambda a, b: (a.sort().values - b.sort().values).abs().mean()),
    ("distance_on_a_line", lambda a, b: wasserstein_distance(a.numpy(), b.numpy())),
    ("distance_on_a_line", lambda a, b: float(np.abs(np.sort(a.numpy()) - np.sort(b.numpy())).mean())),
    ("share_at_bound", share),
    ("share_at_bound", _share_counted),
    ("fair_estimate", _fair),
    ("fair_estimate", _fair_all_pairs),
    ("pulls_together", _pulls),
    ("pulls_together", _pulls_by_values),
]

WRONG = [
    # unsorted, difference of the means, the sum, squares, sorted in opposite orders
    ("distance_on_a_line", lambda a, b: (a - b).abs().mean(), "in another order: expected 0, got"),
    ("distance_on_a_line", lambda a, b: (a.mean() - b.mean()).abs(), "expected 1, got 0"),
    ("distance_on_a_line", lambda a, b: (a.sort().values - b.sort().values).abs().sum(), "expected 5, got 15"),
    (
        "distance_on_a_line",
        lambda a, b: (a.sort().values - b.sort().values).square().mean(),
        "expected 5, got 25",
    ),
    ("distance_on_a_line", lambda a, b: (a.sort().values - b.sort().values).mean(), "expected 5, got -5"),
    (
        "distance_on_a_line",
        lambda a, b: (a.sort().values - b.sort(descending=True).values).abs().mean(),
        "expected 0, got",
    ),
    ("distance_on_a_line", lambda a, b: (a.sort().values - b.sort().values).abs(), "expected the shape (), got (3,)"),
    ("distance_on_a_line", lambda a, b: "five", "got 'five'"),
    ("distance_on_a_line", 5.0, "expected a function of two samples, got 5 of type float"),
    # one side only, the mean of the layers' shares, without biases, inside instead of at the bound, the clip fixed
    (
        "share_at_bound",
        lambda s, c: (torch.cat([v.flatten() for v in s.values()]) >= c).float().mean(),
        "expected 0.55556, got 0.33333",
    ),
    (
        "share_at_bound",
        lambda s, c: torch.stack([(v.abs() >= c).float().mean() for v in s.values()]).mean(),
        "expected 0.55556, got 0.5625",
    ),
    (
        "share_at_bound",
        lambda s, c: share({k: v for k, v in s.items() if "weight" in k}, c),
        "expected 0.55556, got 0.5",
    ),
    ("share_at_bound", lambda s, c: 1 - share(s, c), "expected 0.55556, got 0.44444"),
    ("share_at_bound", lambda s, c: share(s, 0.01), "clip of 0.5: expected 0.55556, got 0.88889"),
    ("share_at_bound", lambda s, c: share(s, c) * 9, "expected 0.55556, got 5"),
    ("share_at_bound", lambda s, c: {k: share({k: v}, c) for k, v in s.items()}, "expected a number"),
    ("share_at_bound", 5 / 9, "expected a function of a state dict and a clip"),
    # not divided, divided by the largest score, by the mean slope, distances ignored, the sign dropped
    ("fair_estimate", lambda x, f, p, q: (f * (p - q)).sum(), "times 1000: expected 1.5, got 1500"),
    ("fair_estimate", lambda x, f, p, q: (f * (p - q)).sum() / f.abs().max(), "expected 1.5, got 0.5"),
    (
        "fair_estimate",
        lambda x, f, p, q: (f * (p - q)).sum() / (f.diff() / x.diff()).abs().mean(),
        "the slopes -2 and -0.5: expected 0.75, got 1.2",
    ),
    ("fair_estimate", lambda x, f, p, q: (f * (p - q)).sum() / f.diff().abs().max(), "expected 1.5, got 0.75"),
    ("fair_estimate", lambda x, f, p, q: _fair(x, f, p, q).abs(), "wrong sign: expected -1.5, got 1.5"),
    ("fair_estimate", lambda x, f, p, q: _fair(x, f, q, p), "expected 1.5, got -1.5"),
    ("fair_estimate", lambda x, f, p, q: f, "expected the shape (), got (3,)"),
    ("fair_estimate", 1.5, "expected a function of places, scores and two heaps, got 1.5"),
    # looks at the critic only, at the generator only, forgets that both may be reversed, always yes, a loss back
    ("pulls_together", _only_d, "a generator's loss with the sign reversed: expected False, got True"),
    ("pulls_together", _only_g, "a critic's loss with the sign reversed: expected False, got True"),
    ("pulls_together", lambda d, g: _only_d(d, g) and _only_g(d, g), "both signs reversed"),
    ("pulls_together", lambda d, g: _only_d(d, g) == _only_g(d, g), "that adds its terms: expected False, got True"),
    ("pulls_together", lambda d, g: True, "expected False, got True"),
    ("pulls_together", lambda d, g: g(torch.ones(2)), "expected True, got"),
    ("pulls_together", True, "expected a function of two losses, got True"),
]
