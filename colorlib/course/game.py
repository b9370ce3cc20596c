"""The game "real or fake": pairs of a photograph and its colorization, and the score of a player who picks the fake.

This is the test of Isola et al. 2017 (section 4.1): each trial shows a real picture and a fake one side by side for a
second, then the player says which was fake. The score is the share of fakes that were taken for real. A player who
cannot tell them apart gets 50 %.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure
from scipy.stats import binomtest
from torch import Tensor

from colorlib.course.widgets import Pictured, button, side_by_side
from colorlib.devices import make_rng
from colorlib.figures import FONT, PALETTE, image_grid, png_bytes
from colorlib.metrics import colorfulness

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
Picture = UInt8[Tensor, "3 h w"]
Player = Callable[[Picture, Picture], Side]

# Fakes taken for real in per cent, and the half width of the interval: Isola et al. 2017, the table "AMT real vs fake
# test on colorization" (ImageNet, 256 px).
PUBLISHED = {
    "L2 regression": (16.3, 2.4),
    "pix2pix (L1 + cGAN)": (22.5, 1.6),
    "Zhang et al. 2016": (27.8, 2.7),
}
SECONDS = 1.0
PRACTICE = 2
ALT = "Two pictures side by side: a photograph, and the same one coloured by a model."


# --- trials and scores -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trials:
    """Pairs in the order in which they are shown; `fake_is_left` says where the fake is."""

    left: UInt8[Tensor, "n 3 h w"]
    right: UInt8[Tensor, "n 3 h w"]
    fake_is_left: Bool[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.left)

    def fake_side(self, k: int) -> Side:
        """Where the fake of trial k is."""
        return "left" if self.fake_is_left[k] else "right"


def make_trials(real: UInt8[Tensor, "n 3 h w"], fake: UInt8[Tensor, "m 3 h w"], seed: int = 0) -> Trials:
    """Pair each real picture with its fake, in random order, the fake on a random side.

    Raises ValueError for batches of different shape or without pictures.
    """
    if real.shape != fake.shape or real.ndim != 4 or len(real) == 0:
        raise ValueError(
            f"expected as many real as fake pictures of one size, got {tuple(real.shape)} and {tuple(fake.shape)}"
        )
    rng = make_rng(seed, "real or fake")
    order = torch.randperm(len(real), generator=rng)
    real, fake = real[order], fake[order]
    fake_is_left = torch.rand(len(real), generator=rng) < 0.5
    here = fake_is_left[:, None, None, None]
    return Trials(torch.where(here, fake, real), torch.where(here, real, fake), fake_is_left)


@dataclass(frozen=True)
class Score:
    """How many fakes of those shown were taken for real."""

    fooled: int = 0
    shown: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fooled <= self.shown:
            raise ValueError(f"expected between 0 and {self.shown} fakes taken for real, got {self.fooled}")

    def add(self, answer: str, fake: Side) -> Score:
        """The score after one more trial: the player says that `answer` is fake, and `fake` is."""
        if answer not in SIDES:
            raise ValueError(f"expected an answer left or right, got {answer!r}")
        return Score(self.fooled + (answer != fake), self.shown + 1)

    @property
    def rate(self) -> float:
        """The share of fakes taken for real; 0.5 for a player who guesses. NaN before the first trial."""
        return self.fooled / self.shown if self.shown else float("nan")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The rates that this score does not rule out: Clopper and Pearson's exact interval; 0 to 1 for no trials."""
        if not self.shown:
            return 0.0, 1.0
        bounds = binomtest(self.fooled, self.shown).proportion_ci(level, method="exact")
        return float(bounds.low), float(bounds.high)

    def __str__(self) -> str:
        if not self.shown:
            return "no trial yet"
        low, high = self.interval()
        return f"{self.fooled} of {self.shown} fakes taken for real: {self.rate:.0%} (95 %: {low:.0%} to {high:.0%})"


# --- players written as functions ------------------------------------------------------------------------------


def play(trials: Trials, player: Player) -> Score:
    """Let a function of two pictures play all trials: it says which one is fake."""
    score = Score()
    for k in range(len(trials)):
        score = score.add(player(trials.left[k], trials.right[k]), trials.fake_side(k))
    return score


def guesser(seed: int = 0) -> Player:
    """A player who does not look."""
    rng = make_rng(seed, "guesser")
    return lambda left, right: SIDES[int(torch.randint(2, (), generator=rng))]


def says_the_duller(left: Picture, right: Picture) -> Side:
    """A player who takes the less colourful picture for the fake."""
    dullness = colorfulness(torch.stack([left, right]))
    return SIDES[int(dullness[1] < dullness[0])]


# --- the widget ------------------------------------------------------------------------------------------------


@dataclass
class _State:
    """The state of a game: the trial, the score, and the comment on the last practice pair."""

    trial: int = 0
    score: Score = field(default_factory=Score)
    said: str = ""


class Game(Pictured):
    """The game for people: look, then press which one is fake.

    The first `practice` pairs stay until they are answered and say whether that was right; they do not count. Each
    later pair disappears after `seconds` (None: it stays), and nothing is said about it.
    """

    def __init__(self, trials: Trials, *, seconds: float | None = SECONDS, practice: int = PRACTICE) -> None:
        self.trials, self.seconds, self.practice = trials, seconds, min(practice, len(trials))
        self._timer: threading.Timer | None = None
        self.buttons = {
            "Left is fake": button("Left is fake", lambda: self.answer("left")),
            "Right is fake": button("Right is fake", lambda: self.answer("right")),
            "Start over": button("Start over", self.start),
        }
        super().__init__([side_by_side(*self.buttons.values())], ALT)
        self.start()

    @property
    def score(self) -> Score:
        """The score so far, practice left out."""
        return self._state.score

    @property
    def over(self) -> bool:
        """Whether all pairs were answered."""
        return self._state.trial >= len(self.trials)

    def start(self) -> None:
        """Start again with the first pair."""
        self._state = _State()
        self._show()

    def answer(self, side: Side) -> None:
        """Say which one is fake, and see the next pair."""
        state = self._state
        if self.over:
            return
        fake = self.trials.fake_side(state.trial)
        if state.trial < self.practice:
            state.said = f"{'Right' if side == fake else 'No'}: the {fake} one was fake. "
        else:
            state.said, state.score = "", state.score.add(side, fake)
        state.trial += 1
        self._show()

    def _show(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.text.value = self._describe()
        self.image.value = png_bytes(score_figure({"you": self.score}) if self.over else self._pair())
        if self.seconds is not None and self.practice <= self._state.trial < len(self.trials):
            self._timer = threading.Timer(self.seconds, self._hide, [self._state, self._state.trial])
            self._timer.daemon = True
            self._timer.start()

    def _hide(self, state: _State, trial: int) -> None:
        """Take away the pair, unless another one is being shown by now."""
        if state is self._state and trial == state.trial:
            self.image.value = png_bytes(_card("Which one was fake?"))

    def _pair(self) -> Figure:
        k = self._state.trial
        return image_grid({"left": self.trials.left[k : k + 1], "right": self.trials.right[k : k + 1]})

    def _describe(self) -> str:
        state = self._state
        if self.over:
            return f"{state.said}Over. {self.score}"
        kind = "practice, does not count" if state.trial < self.practice else f"shown for {self.seconds} s"
        if self.seconds is None and state.trial >= self.practice:
            kind = "counts"
        return f"{state.said}Pair {state.trial + 1} of {len(self.trials)} ({kind}): which one is fake?"


def _card(text: str) -> Figure:
    figure = Figure(figsize=(4, 2))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=FONT + 2)
    return figure


def score_figure(scores: dict[str, Score], published: Sequence[str] = tuple(PUBLISHED)) -> Figure:
    """Draw rates with their intervals: of the given scores, and as published for people on other pictures."""
    figure = Figure(figsize=(7, 0.9 + 0.32 * (len(scores) + len(published))), layout="constrained")
    ax = figure.subplots()
    labels = [*scores, *(f"{name}, people" for name in published)]
    for place, score in enumerate(scores.values()):
        low, high = score.interval()
        ax.plot([100 * low, 100 * high], [place, place], color=PALETTE[0], linewidth=2.5)
        ax.plot(100 * score.rate, place, "o", color=PALETTE[0])
    for place, name in enumerate(published, len(scores)):
        rate, half = PUBLISHED[name]
        ax.plot([rate - half, rate + half], [place, place], color=PALETTE[1], linewidth=2.5)
        ax.plot(rate, place, "s", color=PALETTE[1])
    ax.axvline(50, color="0.5", linestyle=":")
    ax.set(xlim=(-2, 102), yticks=range(len(labels)), yticklabels=labels, xlabel="fakes taken for real, %")
    ax.invert_yaxis()
    return figure
