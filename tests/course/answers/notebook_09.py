"""Right and wrong answers to the exercises of notebook 09, each wrong one with what its feedback says."""

import numpy as np
import torch
from torch import nn


def _penalty(
    critic, real, fake, alpha, *, create_graph=True, norm=None, of_scores=torch.sum, middle=1.0, reduce=torch.mean
):
    mixed = (alpha * real + (1 - alpha) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(of_scores(critic(mixed)), mixed, create_graph=create_graph)
    length = slope.flatten(1).norm(dim=1) if norm is None else norm(slope)
    return reduce((length - middle) ** 2)


def _penalty_by_hand(critic, real, fake, alpha):
    mixed = torch.lerp(fake, real, alpha).requires_grad_(True)
    slope = torch.autograd.grad(outputs=critic(mixed), inputs=mixed, grad_outputs=torch.ones(3), create_graph=True)[0]
    return ((slope.square().sum(dim=(1, 2, 3)).sqrt() - 1) ** 2).mean()


def _penalty_swapped(critic, real, fake, alpha):
    return _penalty(critic, fake, real, alpha)


def _penalty_not_squared(critic, real, fake, alpha):
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).mean()


def _penalty_at_real(critic, real, fake, alpha):
    return _penalty(critic, real, real, alpha)


def _power_iteration(weight):
    matrix = weight.flatten(1)
    v = torch.ones(matrix.shape[1])
    for _ in range(200):
        u = nn.functional.normalize(matrix @ v, dim=0)
        v = nn.functional.normalize(matrix.T @ u, dim=0)
    return weight / (u @ matrix @ v)


def _by_svd(weight):
    matrix = weight.numpy().reshape(len(weight), -1)
    return weight.numpy() / np.linalg.svd(matrix, compute_uv=False)[0]


def _by_gradient(critic, images):
    x = images.requires_grad_()
    (slope,) = torch.autograd.grad(critic(x)[0].sum(), x)
    return slope[1:].abs().max() > 1e-7


def _by_company(critic, images):
    return bool((critic(images)[:1] - critic(torch.cat([images[:1], 0 * images[1:]]))[:1]).abs().max() > 1e-5)


def _alone(critic, images):
    return bool((critic(images)[0] - critic(images[:1])[0]).abs().max() > 1e-5)


RIGHT = [
    ("penalty", _penalty),
    ("penalty", _penalty_by_hand),
    ("symptoms", {"A": "axis", "B": "graph", "C": "batch norm", "D": "alpha"}),
    ("spectral", lambda w: w / torch.linalg.matrix_norm(w.flatten(1), 2)),
    ("spectral", _power_iteration),
    ("spectral", _by_svd),
    ("mixes_samples", _by_gradient),
    ("mixes_samples", _by_company),
    ("mixes_samples", _alone),
]

WRONG = [
    # channels only, batch as well, no graph, the mean of the scores, not squared, not less 1, the sum, alpha swapped
    ("penalty", lambda *a: _penalty(*a, norm=lambda s: s.norm(dim=1)), "for a linear critic: expected"),
    ("penalty", lambda *a: _penalty(*a, norm=torch.norm), "for a linear critic: expected"),
    ("penalty", lambda *a: _penalty(*a, create_graph=False), "expected a derivative in the critic's weights"),
    ("penalty", lambda *a: _penalty(*a, of_scores=torch.mean), "for a linear critic: expected"),
    ("penalty", lambda *a: _penalty(*a).item(), "expected a derivative in the critic's weights"),
    ("penalty", lambda *a: _penalty(*a).detach().requires_grad_(), "in other things only"),
    ("penalty", _penalty_not_squared, "for a linear critic: expected"),
    ("penalty", lambda *a: _penalty(*a, middle=0.0), "for a linear critic: expected"),
    ("penalty", lambda *a: _penalty(*a, reduce=torch.sum), "for a linear critic: expected"),
    ("penalty", _penalty_swapped, "for a quadratic critic: expected"),
    ("penalty", _penalty_at_real, "for a quadratic critic: expected"),
    ("penalty", lambda *a: _penalty(*a, reduce=lambda p: p), "expected the shape (), got (3,)"),
    ("penalty", lambda c, r, f, a: torch.autograd.grad(c(r).sum(), r), "got RuntimeError"),
    ("penalty", 0.5, "expected a function of a critic, real, fake and alpha, got 0.5 of type float"),
    # two exchanged, one cause twice, a cause that does not exist, a letter missing, a list
    ("symptoms", {"A": "graph", "B": "axis", "C": "batch norm", "D": "alpha"}, "log A: expected another cause"),
    ("symptoms", {"A": "axis", "B": "graph", "C": "alpha", "D": "batch norm"}, "2 of 4 are right"),
    ("symptoms", {"A": "axis", "B": "axis", "C": "axis", "D": "axis"}, "log B: expected another cause, got 'axis'"),
    ("symptoms", {"A": "axis", "B": "lambda", "C": "axis", "D": "axis"}, "expected one of alpha, axis"),
    ("symptoms", {"A": "axis"}, "expected the letters A, B, C and D, got ['A']"),
    ("symptoms", ["axis", "graph", "batch norm", "alpha"], "expected a dict of letters and causes"),
    # the Frobenius norm, the largest entry, singular values of the 2 x 2 kernels, only from above, a number, a power
    ("spectral", lambda w: w / w.norm(), "stretches by 3, 1 and 0.5: expected"),
    ("spectral", lambda w: w / w.abs().max(), "for a convolution"),
    ("spectral", lambda w: w / torch.linalg.matrix_norm(w, 2).max(), "for a convolution"),
    ("spectral", lambda w: w / torch.linalg.matrix_norm(w.flatten(1), 2).clamp(min=1), "shrinks everything: expected"),
    ("spectral", lambda w: torch.linalg.matrix_norm(w.flatten(1), 2), "expected the shape (3, 3), got ()"),
    ("spectral", lambda w: w / torch.linalg.matrix_norm(w.flatten(1), 2).square(), "expected 1 at (0, 0), got 0.333"),
    ("spectral", lambda w: w.flatten(1) / torch.linalg.matrix_norm(w.flatten(1), 2), "expected the shape (4, 3, 2, 2)"),
    ("spectral", torch.eye(3), "expected a function of a weight, got a tensor of shape (3, 3)"),
    # looks for a layer by name, in evaluation mode, only changes the order, always yes, always no, the answer's type
    (
        "mixes_samples",
        lambda c, x: any(isinstance(m, nn.BatchNorm2d) for m in c.modules()),
        "subtracts the batch's mean score: expected True, got False",
    ),
    ("mixes_samples", lambda c, x: _alone(c.eval(), x), "norm batch: expected True, got False"),
    (
        "mixes_samples",
        lambda c, x: not torch.allclose(c(x)[0], c(torch.cat([x[:1], x[1:].flip(0)]))[0], atol=1e-5),
        "norm batch: expected True, got False",
    ),
    ("mixes_samples", lambda c, x: True, "norm layer: expected False, got True"),
    ("mixes_samples", lambda c, x: False, "norm batch: expected True, got False"),
    ("mixes_samples", lambda c, x: c(x).flatten(1).mean(1), "expected True, got"),
    ("mixes_samples", False, "expected a function of a critic and images, got False"),
]
