"""Checks of notebook 07: epochs and steps, the time of a training, three runs by their curves, G's step."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from colorlib.course.exercises.exercise import Exercise, NotYet, expect, expect_function, expect_type

_STEPS = ((64, 8, 100, 800), (1000, 16, 3, 186), (16, 16, 5, 5), (25, 10, 4, 8), (7370, 16, 100, 46_000))


def _check_steps_of(answer: Any) -> None:
    expect_function("steps_of", answer, "a function of images, batch_size and epochs")
    for images, batch_size, epochs, wanted in _STEPS:
        what = f"{images} images in batches of {batch_size}, {epochs} epochs: the number of steps"
        expect(what, answer(images, batch_size, epochs), wanted)


steps_of = Exercise(
    "steps_of",
    _check_steps_of,
    hints=[
        "how many whole batches are in one epoch?",
        "images // batch_size steps in an epoch (// rounds down), in each of the epochs",
    ],
)

# The numbers of the exercise: the clock after steps 2 and 12, batches of 16 of 7,370 photographs, 100 epochs.
_HOURS = (7.89 - 5.62) / 10 * 100 * (7370 // 16) / 3600
_HOURS_WITH_THE_FIRST = 7.89 / 12 * 100 * (7370 // 16) / 3600


def _check_hours(answer: Any) -> None:
    if isinstance(answer, int | float) and abs(answer - _HOURS_WITH_THE_FIRST) < 0.3:
        raise NotYet(f"the hours: expected only steady steps to count, got {answer:.2f}, with the slow first ones")
    expect("the hours", answer, _HOURS, tolerance=0.02)


hours = Exercise(
    "hours",
    _check_hours,
    hints=[
        "which steps tell the pace? The clock is cumulative: take differences",
        "(read[-1] - read[1]) / 10 seconds a step; 7370 // 16 steps an epoch; 3600 seconds an hour",
    ],
)

# Means over 40 steps each of balance's small pix2pix, seed 1, 240 steps on 1,024 scenes (a test trains them again).
COLUMNS = ("d_loss", "g_adversarial", "l1", "d_real_accuracy")
STEPS_A_ROW = 40
CURVES: dict[str, tuple[tuple[float, ...], ...]] = {
    "A": (
        (1.199, 0.860, 0.109, 0.722), (0.957, 1.204, 0.082, 0.806), (1.189, 0.904, 0.076, 0.708),
        (1.122, 0.984, 0.073, 0.732), (1.054, 1.088, 0.072, 0.752), (1.000, 1.158, 0.070, 0.772),
    ),
    "B": (
        (0.636, 1.733, 0.188, 0.891), (0.075, 3.623, 0.172, 1.000), (0.390, 3.150, 0.158, 0.954),
        (0.097, 3.550, 0.149, 1.000), (0.226, 3.301, 0.142, 0.979), (0.326, 3.370, 0.137, 0.955),
    ),
    "C": (
        (1.354, 0.746, 0.155, 0.567), (1.335, 0.791, 0.138, 0.620), (1.317, 0.802, 0.129, 0.622),
        (1.297, 0.818, 0.114, 0.654), (1.299, 0.854, 0.110, 0.654), (1.259, 0.877, 0.104, 0.653),
    ),
}  # fmt: skip
RUNS = {"A": "lambda 100", "B": "slow G", "C": "lambda 0"}
_CLUES = {
    "A": "its L1 is the lowest, and D is right on three of four patches",
    "B": "D is right on nearly every patch, and its L1 is the highest",
    "C": "D's loss stays near 2 ln 2, yet its L1 ends well above the lowest",
}


def curves() -> pd.DataFrame:
    """The three runs of the exercise, a row for 40 steps."""
    return pd.DataFrame(
        [
            {"run": run, "to step": STEPS_A_ROW * (i + 1), **dict(zip(COLUMNS, row, strict=True))}
            for run, rows in CURVES.items()
            for i, row in enumerate(rows)
        ]
    )


def _check_which(answer: Any) -> None:
    expect_type("which", answer, dict, 'a dictionary such as {"A": "lambda 100", ...}')
    if set(answer) != set(RUNS):
        raise NotYet(f"expected an answer for each of {', '.join(RUNS)}, got {', '.join(map(str, answer)) or 'none'}")
    for run, wanted in RUNS.items():
        if answer[run] not in RUNS.values():
            raise NotYet(f"run {run}: expected one of {', '.join(sorted(RUNS.values()))}, got {answer[run]!r}")
        if answer[run] != wanted:
            raise NotYet(f"run {run}: expected another one, got {answer[run]!r}; {_CLUES[run]}")


which = Exercise(
    "which",
    _check_which,
    hints=[
        "in two runs L1 stays high. In one of them D always wins, in the other the game is fair",
        "lambda 0 asks nothing of L1, but its G still learns to fool D; a slow G learns neither",
    ],
)


class _Painter(nn.Module):
    """A generator of two convolutions, without chance, of any channels."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 3, padding=1))
        _draw(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _draw(module: nn.Module, rng: torch.Generator) -> None:
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=rng)


def _reference_step(
    G: nn.Module, D: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, lambda_l1: float
) -> Tensor:
    fake = G(x)
    loss = (D(torch.cat([x, fake], 1)) - 1).square().mean() + lambda_l1 * (fake - y).abs().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _players() -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    """G, D and G's optimizer; both networks hold gradients of an earlier step, as they do in a training."""
    rng = torch.Generator().manual_seed(0)
    G, D = _Painter(rng), nn.Conv2d(3, 1, 3)
    _draw(D, rng)
    for parameter in [*G.parameters(), *D.parameters()]:
        parameter.grad = torch.randn(parameter.shape, generator=rng)
    return G, D, torch.optim.SGD(G.parameters(), lr=0.1)


def _check_lsgan_generator_step(answer: Any) -> None:
    what = "a function of G, D, optimizer, x, y and lambda_l1"
    expect_function("lsgan_generator_step", answer, what)
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 1, 8, 8, generator=rng), torch.randn(2, 2, 8, 8, generator=rng)
    for lambda_l1 in (0.0, 1.0, 10.0):
        theirs, mine = _players(), _players()
        wanted = _reference_step(*theirs, x, y, lambda_l1)
        judge = copy.deepcopy(mine[1])
        got = answer(*mine, x, y, lambda_l1)
        expect_type("what lsgan_generator_step returns", got, (Tensor, int, float), "G's loss, one number")
        got = got.detach() if isinstance(got, Tensor) else got
        expect(f"lambda {lambda_l1:g}: the loss", got, wanted)
        for before, after in zip(judge.parameters(), mine[1].parameters(), strict=True):
            if not torch.equal(before, after):
                moved = (after - before).abs().max().item()
                raise NotYet(f"lambda {lambda_l1:g}: expected D's weights unchanged, got a change of {moved:.2g}")
        for (name, should), (_, has) in zip(
            theirs[0].named_parameters(), mine[0].named_parameters(), strict=True
        ):  # fmt: skip
            expect(f"lambda {lambda_l1:g}: G's {name} after the step", has.detach(), should.detach())


lsgan_generator_step = Exercise(
    "lsgan_generator_step",
    _check_lsgan_generator_step,
    hints=[
        "generator_step above has all you need; only the adversarial term differs",
        "no detach here: the gradient must flow through D into G; zero_grad before backward, and D sees x and fake",
    ],
)
