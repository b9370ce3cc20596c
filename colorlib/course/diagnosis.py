"""What a training run suffers from, in plain words, from its history alone: the reading of curves, as rules.

A rule looks at the last records, says what it saw with its numbers, and what to try. It stays silent where a column
is missing or the measure was not taken yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from colorlib.history import compare_with_grey
from colorlib.recipes import Recipe

if TYPE_CHECKING:
    import pandas as pd

EARLY = 50  # steps before anything is said
WINDOW = 20  # records that are averaged: a single batch says little
SURE, GUESSING = 0.95, (0.4, 0.6)  # accuracies of a discriminator that wins, and of one that tosses a coin
DECORATION, UNTIED = 0.1, 10.0  # bounds of adversarial_share, see `steps.adversarial_share`
DULL, GARISH = 0.6, 1.4  # chroma of the predictions over that of the truth
SATURATED = 0.5  # share of weights at the clipping bound
OFF_BY = 0.5  # the gradient's norm from 1
RISEN = 1.2  # validation error over its lowest value


@dataclass(frozen=True)
class Finding:
    """What one rule saw: `rule` is its name, `text` a sentence with the numbers and what to try."""

    rule: str
    text: str


def diagnose(history: pd.DataFrame, recipe: Recipe) -> list[Finding]:
    """What stands out in a history of `Trainer` (one row a step), the gravest first; never an empty list."""
    if len(history) < EARLY:
        return [Finding("early", f"{len(history)} steps: too early to tell anything; wait for {EARLY}")]
    texts = {name: rule(history, recipe) for name, rule in RULES.items()}
    found = [Finding(name, text) for name, text in texts.items() if text]
    return found or [Finding("healthy", "nothing stands out; train longer, and look at the pictures")]


def _last(history: pd.DataFrame, column: str, n: int = WINDOW) -> float:
    """The mean of a column's last `n` measurements; NaN if there are none."""
    return float(history[column].dropna().tail(n).mean()) if column in history else math.nan


def _held(history: pd.DataFrame, column: str, low: float, high: float) -> int:
    """For how many steps, up to the last one, the running mean of a column has been in low..high."""
    if column not in history or len(history) < WINDOW:
        return 0
    inside = history[column].rolling(WINDOW).mean().between(low, high)
    return int(inside[::-1].cumprod().sum())


def _accuracy(history: pd.DataFrame) -> pd.DataFrame:
    """The worse of the two accuracies and their mean, of a discriminator that answers real or fake; else NaN."""
    columns = history.reindex(columns=["d_real_accuracy", "d_fake_accuracy"])
    return columns.min(axis=1).to_frame("worse").assign(mean=columns.mean(axis=1))


def _worse_than_grey(history: pd.DataFrame, recipe: Recipe) -> str:
    psnr, grey = _last(history, "val_psnr", 1), _last(history, "val_grey_psnr", 1)
    if not psnr < grey:
        return ""
    return compare_with_grey(psnr, grey)


def _rising_error(history: pd.DataFrame, recipe: Recipe) -> str:
    if "val_ab_mae" not in history:
        return ""
    errors = history["val_ab_mae"].dropna()
    if len(errors) < 5 or not errors.tail(3).min() > RISEN * errors.min():
        return ""
    rise = errors.iloc[-1] / errors.min() - 1
    return f"the error on held-out pictures has risen by {rise:.0%} from its lowest; lower the learning rates"


def _discriminator_wins(history: pd.DataFrame, recipe: Recipe) -> str:
    steps = 0 if recipe.adversarial == "wasserstein" else _held(_accuracy(history), "worse", SURE, 1)
    if steps < EARLY:
        return ""
    return (
        f"the discriminator wins: its accuracy has been over {SURE} for {steps} steps. First see that the generator "
        "learns: try a higher lr_g; a lower lr_d or a smaller patch silences this, but alone does not help a slow one"
    )


def _discriminator_guesses(history: pd.DataFrame, recipe: Recipe) -> str:
    steps = 0 if recipe.adversarial == "wasserstein" else _held(_accuracy(history), "mean", *GUESSING)
    if steps < 2 * EARLY:
        return ""
    return (
        f"the discriminator guesses: its accuracy has been near one half for {steps} steps. Either the colours pass "
        "for true at the size of its patch, or it learns too slowly; look at the pictures, then try a higher lr_d"
    )


def _critic_behind(history: pd.DataFrame, recipe: Recipe) -> str:
    estimate = _last(history, "wasserstein", EARLY) if recipe.adversarial == "wasserstein" else math.nan
    if not estimate < 0:
        return ""
    return f"the critic is behind: it scores fakes {-estimate:.2g} above true colours; raise n_critic or lr_d"


def _clipped(history: pd.DataFrame, recipe: Recipe) -> str:
    share = _last(history, "clipped_share")
    if not share > SATURATED:
        return ""
    return (
        f"{share:.0%} of the critic's weights sit at the bound {recipe.clip:g}; widen it, or use the penalty with a "
        "higher lambda_l1"
    )


def _penalty_unmet(history: pd.DataFrame, recipe: Recipe) -> str:
    off = math.sqrt(penalty) if (penalty := _last(history, "penalty")) > 0 else math.nan
    if not off > OFF_BY:
        return ""
    return f"the critic's gradient is {off:.2g} away from norm 1; raise the penalty's weight, or lower lr_d"


def _decoration(history: pd.DataFrame, recipe: Recipe) -> str:
    share = _last(history, "adversarial_share", 5)
    if not share < DECORATION:
        return ""
    way = "lower lambda_l1"
    if _discriminator_guesses(history, recipe):  # its pull is noise, which a lower lambda_l1 would set free
        way = "raise lr_d first, for the discriminator has learnt nothing yet, then lower lambda_l1"
    elif recipe.clip is not None:
        way = f"first widen the clip of {recipe.clip:g}, then lower lambda_l1"
    return (
        f"the adversary is decoration: it pulls {share:.2g} times as hard as L1, so this is an L1 regression under "
        f"another name; {way}"
    )


def _untied(history: pd.DataFrame, recipe: Recipe) -> str:
    share = _last(history, "adversarial_share", 5)
    if recipe.adversarial == "none" or (recipe.lambda_l1 and not share > UNTIED):
        return ""
    seen = f"pulls {share:.0f} times as hard as L1" if recipe.lambda_l1 else "pulls alone, lambda_l1 is 0"
    return f"little ties the colours to the truth: the adversary {seen}; raise lambda_l1"


def _dull(history: pd.DataFrame, recipe: Recipe) -> str:
    ratio = _last(history, "val_chroma_ratio", 1)
    if not ratio < DULL:
        return ""
    way = "add an adversary: L1 alone gives the median of what is possible"
    if recipe.adversarial != "none":
        way = "train longer, or lower lambda_l1"
    return f"dull: the pictures have {ratio:.0%} of the true chroma; {way}"


def _garish(history: pd.DataFrame, recipe: Recipe) -> str:
    ratio = _last(history, "val_chroma_ratio", 1)
    return f"garish: {ratio:.0%} of the true chroma; raise lambda_l1, or lower lr_g" if ratio > GARISH else ""


RULES: dict[str, Callable[[pd.DataFrame, Recipe], str]] = {
    "worse than grey": _worse_than_grey,
    "rising error": _rising_error,
    "discriminator wins": _discriminator_wins,
    "discriminator guesses": _discriminator_guesses,
    "critic behind": _critic_behind,
    "weights at the bound": _clipped,
    "penalty unmet": _penalty_unmet,
    "decoration": _decoration,
    "untied": _untied,
    "dull": _dull,
    "garish": _garish,
}
