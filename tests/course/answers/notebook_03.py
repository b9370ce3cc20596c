"""Right and wrong answers to the exercises of notebook 03, each wrong one with what its feedback says."""

import math

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus


def _losses(d, g):
    return lambda real, fake: (d(real, fake), g(fake))


def _d(real, fake):
    return softplus(-real).mean() + softplus(fake).mean()


def _g(fake):
    return softplus(-fake).mean()


def _by_labels(real, fake):
    d_loss = binary_cross_entropy_with_logits(real, torch.ones_like(real))
    d_loss = d_loss + binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return d_loss, binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def _gradients(g_loss, generator, discriminator, noise):
    generator.zero_grad()
    g_loss(generator, discriminator, noise).backward()
    return [weight.grad for weight in generator.parameters()]


def reaches(g_loss, generator, discriminator, noise):
    return any(
        grad is not None and bool(grad.abs().sum() > 0) for grad in _gradients(g_loss, generator, discriminator, noise)
    )


def _reaches_by_autograd(g_loss, generator, discriminator, noise):
    loss = g_loss(generator, discriminator, noise)
    found = torch.autograd.grad(loss, list(generator.parameters()), allow_unused=True)
    return torch.tensor([g is not None and g.norm() > 0 for g in found]).any()


def _reaches_by_training(g_loss, generator, discriminator, noise):
    before = [weight.detach().clone() for weight in generator.parameters()]
    optimizer = torch.optim.SGD(generator.parameters(), 1.0)
    optimizer.zero_grad()
    g_loss(generator, discriminator, noise).backward()
    optimizer.step()
    return np.bool_(any((a != b).any() for a, b in zip(before, generator.parameters(), strict=True)))


RIGHT = [
    ("optimal_discriminator", lambda x: torch.sigmoid(2 - 2 * x)),
    ("optimal_discriminator", lambda x: 1 / (1 + np.exp(2 * x.numpy() - 2))),
    ("optimal_discriminator", lambda x: [1 / (1 + math.exp(2 * v - 2)) for v in x.tolist()]),
    (
        "optimal_discriminator",
        lambda x: torch.exp(-(x**2) / 2) / (torch.exp(-(x**2) / 2) + torch.exp(-((x - 2) ** 2) / 2)),
    ),
    ("gan_losses", _losses(_d, _g)),
    ("gan_losses", _by_labels),
    ("gan_losses", lambda real, fake: [-logsigmoid(real).mean() - logsigmoid(-fake).mean(), -logsigmoid(fake).mean()]),
    ("diagnosis", {"A": "D wins", "B": "healthy", "C": "collapse"}),
    ("reaches_generator", reaches),
    ("reaches_generator", _reaches_by_autograd),
    ("reaches_generator", _reaches_by_training),
]

WRONG = [
    # the density ratio, the share of the fakes, the logit, a hard threshold, D for the wrong means
    ("optimal_discriminator", lambda x: torch.exp(2 - 2 * x), "expected 0.99753 at (0,), got 403.43"),
    ("optimal_discriminator", lambda x: torch.sigmoid(2 * x - 2), "expected 0.99753 at (0,), got 0.0024726"),
    ("optimal_discriminator", lambda x: 2 - 2 * x, "expected 0.99753 at (0,), got 6"),
    ("optimal_discriminator", lambda x: (x < 1).double(), "expected 0.99753 at (0,), got 1"),
    ("optimal_discriminator", lambda x: torch.sigmoid(2 - x), "expected 0.99753 at (0,), got 0.98201"),
    ("optimal_discriminator", lambda x: torch.sigmoid(2 - 2 * x).mean(), "expected the shape (13,), got ()"),
    ("optimal_discriminator", lambda x: "1/2", "expected a tensor like x, got '1/2' of type str"),
    ("optimal_discriminator", lambda x: math.exp(x), "expected <lambda> to return, got"),
    ("optimal_discriminator", 0.5, "expected a function of x, got 0.5 of type float"),
    # the mean of the terms, swapped labels, the saturating loss, sigmoid without care, taken for probabilities
    ("gan_losses", _losses(lambda r, f: _d(r, f) / 2, _g), "D's loss: expected 1.3863, got 0.69315"),
    ("gan_losses", _losses(lambda r, f: _d(-r, -f), _g), "D's loss: expected 1.7617, got 2.095"),
    ("gan_losses", _losses(_d, lambda f: -softplus(f).mean()), "G's loss: expected 0.69315, got -0.69315"),
    ("gan_losses", _losses(_d, lambda f: softplus(f).mean()), "G's loss: expected 0.68"),
    (
        "gan_losses",
        _losses(lambda r, f: -r.sigmoid().log().mean() - (1 - f.sigmoid()).log().mean(), _g),
        "D's loss: expected 400, got inf",
    ),
    (
        "gan_losses",
        _losses(lambda r, f: -r.log().mean() - (1 - f).log().mean(), _g),
        "D's loss: expected 1.3863, got inf",
    ),
    ("gan_losses", _losses(lambda r, f: softplus(-r).sum() + softplus(f).sum(), _g), "expected 1.3863, got 5.5452"),
    ("gan_losses", lambda r, f: (_g(f), _d(r, f)), "D's loss: expected 1.3863, got 0.69315"),
    ("gan_losses", _losses(_d, lambda f: _g(f).item()), "expected a G loss that can be differentiated"),
    ("gan_losses", _losses(_d, lambda f: _g(f.detach())), "expected a G loss that can be differentiated"),
    ("gan_losses", lambda r, f: _d(r, f), "expected two losses, D's and G's, got"),
    ("gan_losses", lambda r, f: (_d(r, f),), "expected two losses, D's and G's, got 1"),
    ("gan_losses", _losses(lambda r, f: softplus(-r) + softplus(f), _g), "expected the shape (), got (4, 1)"),
    ("gan_losses", _losses(lambda r, f: "2 ln 2", _g), "expected a number, got '2 ln 2' of type str"),
    # taken in by a D loss of 2 ln 2; the two failures swapped; all healthy
    ("diagnosis", {"A": "D wins", "B": "collapse", "C": "healthy"}, "run B: expected a diagnosis that fits two losses"),
    (
        "diagnosis",
        {"A": "D wins", "B": "healthy", "C": "healthy"},
        "run C: expected a diagnosis that fits a D loss at 2",
    ),
    (
        "diagnosis",
        {"A": "collapse", "B": "healthy", "C": "D wins"},
        "run A: expected a diagnosis that fits a D loss at 0",
    ),
    ("diagnosis", dict.fromkeys("ABC", "healthy"), "run A: expected a diagnosis that fits"),
    (
        "diagnosis",
        {"A": "D won", "B": "healthy", "C": "collapse"},
        "expected one of healthy, D wins, collapse, got 'D won'",
    ),
    ("diagnosis", {"A": "D wins"}, "expected a diagnosis of the runs A, B and C, got none of B, C"),
    ("diagnosis", {"A": 1, "B": 2, "C": 3}, "run A: expected one of healthy, D wins, collapse, got 1 of type int"),
    ("diagnosis", ["D wins", "healthy", "collapse"], "expected a dictionary"),
    # asks the loss instead of G; a gradient of zeros; a stale gradient; forgets to go backward
    (
        "reaches_generator",
        lambda loss, g, d, z: loss(g, d, z).requires_grad,
        "for a loss on detached fakes: expected False, got True",
    ),
    (
        "reaches_generator",
        lambda loss, g, d, z: all(grad is not None for grad in _gradients(loss, g, d, z)),
        "for a loss that is multiplied by 0: expected False, got True",
    ),
    (
        "reaches_generator",
        lambda loss, g, d, z: (
            loss(g, d, z).backward(),
            any(w.grad is not None and w.grad.any() for w in g.parameters()),
        )[1],
        "after a step that reached G: expected False, got True",
    ),
    (
        "reaches_generator",
        lambda loss, g, d, z: any(w.grad is not None for w in g.parameters()),
        "for the usual loss of G: expected True, got False",
    ),
    ("reaches_generator", lambda loss, g, d, z: True, "for a loss on detached fakes: expected False, got True"),
    ("reaches_generator", lambda loss, g, d, z: "yes", "expected True, got 'yes'"),
    ("reaches_generator", lambda loss, g, d, z: g.weight.grad.norm(), "got AttributeError"),
    ("reaches_generator", True, "expected a function, got True of type bool"),
]
