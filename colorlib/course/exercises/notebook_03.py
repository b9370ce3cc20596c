"""Checks of notebook 03: the best discriminator, the two losses, three curves, and a test for a lost gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from colorlib.blocks import global_rng_from
from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_type, kind
from colorlib.course.experiments.mode_collapse import TWO_SPEEDS, train
from colorlib.losses import bce_d_loss, bce_g_loss

DIAGNOSES = ("healthy", "D wins", "collapse")


def _check_optimal_discriminator(answer: Any) -> None:
    expect_function("optimal_discriminator", answer, "a function of x")
    x = torch.linspace(-2, 4, 13, dtype=torch.float64)
    got = answer(x)
    expect_type("what optimal_discriminator returns", got, (Tensor, np.ndarray, list, tuple), "a tensor like x")
    expect("for x from -2 to 4: D*", got, torch.sigmoid(2 - 2 * x))


optimal_discriminator = Exercise(
    "optimal_discriminator",
    _check_optimal_discriminator,
    hints=[
        "write down p(x) and q(x): the factor in front of both Gaussians is the same, and cancels",
        "p / (p + q) with p = exp(-x^2 / 2) and q = exp(-(x - 2)^2 / 2); divided by p it is 1 / (1 + exp(2x - 2))",
    ],
)


def _check_gan_losses(answer: Any) -> None:
    expect_function("gan_losses", answer, "a function of two tensors of logits")
    cases = {
        "for an undecided D (all logits 0)": (torch.zeros(4, 1), torch.zeros(4, 1)),
        "for real logits 2, 0 and fake logits -1, 3, 0": (torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0, 0.0])),
        "for a D that is sure and wrong (real logits -200, fake logits 200)": (
            torch.full((2,), -200.0),
            torch.full((2,), 200.0),
        ),
    }
    for what, (real, fake) in cases.items():
        fake.requires_grad_()
        d_loss, g_loss = _pair(what, answer(real, fake))
        expect(f"{what}: D's loss", d_loss, bce_d_loss(real, fake))
        expect(f"{what}: G's loss", g_loss, bce_g_loss(fake))
        if not isinstance(g_loss, Tensor) or not g_loss.requires_grad:
            raise NotYet(f"{what}: expected a G loss that can be differentiated, got {kind(g_loss)} without a gradient")


def _pair(what: str, got: Any) -> tuple[Any, Any]:
    expect_type(what, got, (tuple, list), "two losses, D's and G's")
    if len(got) != 2:
        raise NotYet(f"{what}: expected two losses, D's and G's, got {len(got)}")
    return got[0], got[1]


gan_losses = Exercise(
    "gan_losses",
    _check_gan_losses,
    hints=[
        "D = sigmoid(logit), so -log D = softplus(-logit) and -log(1 - D) = softplus(logit)",
        "D's loss is softplus(-real).mean() + softplus(fake).mean(); G's is what D loses when fakes are called real",
    ],
)

# The learning rates of G and D that bring each one about; the rest is as in the setting "two speeds".
_RATES = {"A": (1e-5, 4e-3), "B": (1e-3, 2e-3), "C": (4e-3, 1e-3)}


def three_trainings(seed: int) -> dict[str, pd.DataFrame]:
    """The histories of three short trainings on the ring: one is healthy, in one D wins, one collapses."""
    settings = {name: {**TWO_SPEEDS, "lr_g": lr_g, "lr_d": lr_d} for name, (lr_g, lr_d) in _RATES.items()}
    # Not the seed of the runs that the notebook has shown before.
    curves = {name: train(setting, seed + 10, steps=400).history for name, setting in settings.items()}
    ends = {name: curve.tail(200).mean() for name, curve in curves.items()}
    symptoms = (
        ends["A"]["d_loss"] < 0.1 and ends["A"]["g_loss"] > 4,
        ends["B"]["d_loss"] > 0.8 and ends["B"]["spread"] > 1.7,
        ends["C"]["d_loss"] > 1.25 and ends["C"]["spread"] < 1.5,
    )
    assert all(symptoms), f"expected three trainings with the symptoms of their kinds, got {symptoms}"
    return curves


# What the figure shows for each run; said instead of the answer.
_SYMPTOMS = {
    "A": ("D wins", "a D loss at 0, a G loss that rises and fakes that stay close together"),
    "B": ("healthy", "two losses that hold each other, and a spread that reaches the ring's 2"),
    "C": ("collapse", "a D loss at 2 ln 2 while the spread stays far below the ring's 2"),
}


def _check_diagnosis(answer: Any) -> None:
    expect_type("diagnosis", answer, dict, 'a dictionary such as {"A": "healthy", ...}')
    missing = [run for run in _SYMPTOMS if run not in answer]
    if missing:
        raise NotYet(f"expected a diagnosis of the runs A, B and C, got none of {', '.join(missing)}")
    for run, (right, symptom) in _SYMPTOMS.items():
        expect_type(f"run {run}", answer[run], str, "one of " + ", ".join(DIAGNOSES))
        if answer[run] not in DIAGNOSES:
            raise NotYet(f"run {run}: expected one of {', '.join(DIAGNOSES)}, got {answer[run]!r}")
        if answer[run] != right:
            raise NotYet(f"run {run}: expected a diagnosis that fits {symptom}, got {answer[run]!r}")


diagnosis = Exercise(
    "diagnosis",
    _check_diagnosis,
    hints=[
        "first look at D's loss: in one run D is never wrong any more",
        "two runs have losses that look fine; the spread tells which of the two makes one kind of sample",
    ],
)


def _good(generator: nn.Module, discriminator: nn.Module, noise: Tensor) -> Tensor:
    return bce_g_loss(discriminator(generator(noise)))


def _saturating(generator: nn.Module, discriminator: nn.Module, noise: Tensor) -> Tensor:
    return -nn.functional.softplus(discriminator(generator(noise))).mean()


def _detached(generator: nn.Module, discriminator: nn.Module, noise: Tensor) -> Tensor:
    return bce_g_loss(discriminator(generator(noise).detach()))


def _without_gradient(generator: nn.Module, discriminator: nn.Module, noise: Tensor) -> Tensor:
    with torch.no_grad():
        fake = generator(noise)
    return bce_g_loss(discriminator(fake))


def _weight_zero(generator: nn.Module, discriminator: nn.Module, noise: Tensor) -> Tensor:
    return 0 * _good(generator, discriminator, noise)


# What the loss is, whether it reaches G, and whether G still holds the gradient of an earlier step.
_LOSSES = (
    ("the usual loss of G", _good, True, False),
    ("a loss on detached fakes", _detached, False, False),
    ("the saturating loss of G", _saturating, True, False),
    ("fakes made under torch.no_grad()", _without_gradient, False, False),
    ("a loss that is multiplied by 0", _weight_zero, False, False),
    ("a loss on detached fakes, after a step that reached G", _detached, False, True),
)


def _check_reaches_generator(answer: Any) -> None:
    expect_function("reaches_generator", answer, "a function")
    for what, loss, reaches, stale in _LOSSES:
        rng = torch.Generator().manual_seed(3)
        with global_rng_from(rng):
            generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
        noise = torch.randn(8, 4, generator=rng)
        if stale:
            _good(generator, discriminator, noise).backward()
        got = answer(loss, generator, discriminator, noise)
        if (isinstance(got, Tensor) and got.numel() == 1) or (
            type(got).__module__ == "numpy" and getattr(got, "ndim", None) == 0
        ):
            got = bool(got)
        expect(f"for {what}", got, reaches)


reaches_generator = Exercise(
    "reaches_generator",
    _check_reaches_generator,
    hints=[
        "call the loss, then backward(), and look at parameter.grad of the generator",
        "zero the generator's gradients first; then ask whether any gradient is there (not None) and not all zeros",
    ],
)
