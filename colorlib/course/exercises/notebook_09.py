"""Checks of notebook 09: the gradient penalty, symptoms of wrong ones, spectral norm, and scores that mix samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_type, short
from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN


def _linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: (weight * x).flatten(1).sum(1)


def _quadratic(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: (weight * x.square() / 2).flatten(1).sum(1)


def _gradient_of_linear(weight: Tensor, mixed: Tensor) -> Tensor:
    return weight.expand_as(mixed)


def _gradient_of_quadratic(weight: Tensor, mixed: Tensor) -> Tensor:
    return weight * mixed


_CRITICS = {
    "for a linear critic": (_linear, _gradient_of_linear),
    "for a quadratic critic": (_quadratic, _gradient_of_quadratic),
}


def _check_penalty(answer: Any) -> None:
    expect_function("penalty", answer, "a function of a critic, real, fake and alpha")
    rng = torch.Generator().manual_seed(9)
    real, fake = (torch.randn(3, 2, 4, 5, generator=rng) for _ in range(2))
    alpha = torch.tensor([0.2, 0.5, 0.9])[:, None, None, None]
    mixed = alpha * real + (1 - alpha) * fake
    for what, (critic, gradient) in _CRITICS.items():
        weight = (0.1 + torch.rand(1, 2, 4, 5, generator=rng)).requires_grad_()
        slopes = gradient(weight, mixed)
        wanted = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
        got = answer(critic(weight), real.clone(), fake.clone(), alpha.clone())
        expect(what, got, wanted, tolerance=1e-3)
        if not isinstance(got, Tensor) or not got.requires_grad:
            raise NotYet(f"{what}: expected a derivative in the critic's weights, got a number that has none")
        (found,) = torch.autograd.grad(got, weight, allow_unused=True)
        if found is None:
            raise NotYet(f"{what}: expected a derivative in the critic's weights, got one in other things only")
        (expected,) = torch.autograd.grad(wanted, weight)
        expect(f"{what}, the derivative in its weights", found, expected, tolerance=1e-3)


penalty = Exercise(
    "penalty",
    _check_penalty,
    hints=[
        "mix, ask for the gradient of the scores' sum in the mixture with create_graph=True, and take a norm a sample",
        "the mixture needs requires_grad_(); slope.flatten(1).norm(dim=1) is one norm for each sample",
    ],
)

# What each log of the exercise shows, by letter.
_CAUSES = {"A": "axis", "B": "graph", "C": "batch norm", "D": "alpha"}


def _check_symptoms(answer: Any) -> None:
    expect_type("symptoms", answer, dict, "a dict of letters and causes")
    if set(answer) != set(_CAUSES):
        raise NotYet(f"symptoms: expected the letters A, B, C and D, got {short(sorted(map(str, answer)))}")
    for letter, cause in answer.items():
        if cause not in _CAUSES.values():
            known = ", ".join(sorted(_CAUSES.values()))
            raise NotYet(f"log {letter}: expected one of {known}, got {short(cause)}")
    wrong = [letter for letter in sorted(_CAUSES) if answer[letter] != _CAUSES[letter]]
    if wrong:
        right = len(_CAUSES) - len(wrong)
        raise NotYet(f"log {wrong[0]}: expected another cause, got {short(answer[wrong[0]])}; {right} of 4 are right")


symptoms = Exercise(
    "symptoms",
    _check_symptoms,
    hints=[
        "which mistake makes a number depend on the size of the picture, and which on the rest of the batch?",
        "a value without a way back to the weights punishes nobody; a mean over few draws jumps",
    ],
)


def _check_spectral(answer: Any) -> None:
    expect_function("spectral", answer, "a function of a weight")
    stretch = torch.diag(torch.tensor([3.0, 1.0, 0.5]))
    rng = torch.Generator().manual_seed(4)
    convolution = torch.randn(4, 3, 2, 2, generator=rng)
    shrinking = 0.1 * torch.randn(5, 3, generator=rng)
    cases = {
        "for a matrix that stretches by 3, 1 and 0.5": stretch,
        "for a convolution of 4 x 3 x 2 x 2": convolution,
        "for a matrix that shrinks everything": shrinking,
    }
    for what, weight in cases.items():
        largest = torch.linalg.matrix_norm(weight.flatten(1), 2)
        expect(what, answer(weight.clone()), weight / largest, tolerance=2e-3)


spectral = Exercise(
    "spectral",
    _check_spectral,
    hints=[
        "as a matrix, a weight has one row for each output: weight.flatten(1)",
        "divide by the largest singular value: torch.linalg.matrix_norm(matrix, 2), or power iteration",
    ],
)


class _Centred(torch.nn.Module):
    """A critic without any norm layer, which still compares each score with the batch's mean."""

    def forward(self, x: Tensor) -> Tensor:
        scores = x.square().flatten(1).mean(1)
        return scores - scores.mean()


def _critics() -> dict[str, tuple[torch.nn.Module, bool]]:
    nets = {
        norm: PatchGAN(receptive_field=16, width=4, norm=norm, rng=make_rng(0, norm))
        for norm in ("batch", "layer", "instance", "none")
    }
    known = {f"for a PatchGAN with norm {norm}": (net, norm == "batch") for norm, net in nets.items()}
    return {**known, "for a critic that subtracts the batch's mean score": (_Centred(), True)}


def _check_mixes_samples(answer: Any) -> None:
    expect_function("mixes_samples", answer, "a function of a critic and images")
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    for what, (critic, mixes) in _critics().items():
        expect(what, answer(critic.train(), images.clone()), mixes)


mixes_samples = Exercise(
    "mixes_samples",
    _check_mixes_samples,
    hints=[
        "change one picture of the batch, or ask for a gradient: may the score of another one notice?",
        "compare critic(x)[0] with critic(y)[0], where y is x but for its last pictures",
    ],
)
