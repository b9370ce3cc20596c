"""Right and wrong answers to the exercises of notebook 11, each wrong one with what its feedback says."""

import numpy as np
import pandas as pd
import pytest

ACCURACIES = ["d_real_accuracy", "d_fake_accuracy"]


def _report(histories, *, last=20, psnr="last", error="val_ab_mae", missing=np.nan, names=True, columns=None):
    rows = []
    for history in histories.values():
        measured = history["val_psnr"].dropna()
        judged = set(ACCURACIES) <= set(history)
        rows.append({
            "steps": len(history),
            "psnr": {"last": measured.iloc[-1], "best": measured.max(), "row": history["val_psnr"].iloc[-1]}[psnr],
            "lowest_error": history[error].min(),
            "d_accuracy": np.mean([history[name].tail(last).mean() for name in ACCURACIES]) if judged else missing,
        })  # fmt: skip
    return pd.DataFrame(rows, index=list(histories) if names else None, columns=columns)


def _wrong_report(**how):
    return lambda histories: _report(histories, **how)


def _rule(history, *, drop=True, margin=1.05, window=20, falls=True, both=True):
    if "val_ab_mae" not in history:
        return False
    errors = history["val_ab_mae"].dropna() if drop else history["val_ab_mae"]
    if errors.dropna().empty:
        return False
    better = history["l1"].tail(window).mean() < history["l1"].tail(2 * window).head(window).mean()
    rises = errors.iloc[-1] > margin * errors.min()
    return bool((better or not falls) and (rises or not both))


def _wrong_rule(**how):
    return lambda history: _rule(history, **how)


def explained(trials, name):
    groups = trials.groupby(name)["score"]
    between = (groups.size() * (groups.mean() - trials["score"].mean()) ** 2).sum()
    return between / (trials["score"].var(ddof=0) * len(trials))


def _within(trials, name):
    residual = trials["score"] - trials.groupby(name)["score"].transform("mean")
    return 1 - residual.var(ddof=0) / trials["score"].var(ddof=0)


def _unweighted(trials, name):
    return trials.groupby(name)["score"].mean().var(ddof=0) / trials["score"].var(ddof=0)


@pytest.mark.slow
def _good_settings():
    return {"loss": "lsgan", "lambda_l1": 2, "lr_g": 3e-3, "lr_d": 1e-3, "patch": 1, "depth": 4}


@pytest.mark.slow
def _default_settings():
    return {}


RIGHT = [
    ("report", _report),
    ("report", lambda histories: _report(histories)[["psnr", "steps", "d_accuracy", "lowest_error"]]),
    ("report", lambda histories: _report(histories, missing=None)),
    ("learns_by_heart", _rule),
    ("learns_by_heart", lambda history: np.bool_(_rule(history))),
    ("explained", explained),
    ("explained", lambda trials, name: np.float32(_within(trials, name))),
    ("my_settings", _good_settings),
]

WRONG = [
    # the last row, which was not validated; the best; all steps; one run's accuracy 0; no names; a column too many
    ("report", _wrong_report(psnr="row"), "psnr of wgan: expected"),
    ("report", _wrong_report(psnr="best"), "psnr of wgan: expected"),
    ("report", _wrong_report(last=1000), "d_accuracy of wgan: expected"),
    ("report", _wrong_report(error="l1"), "lowest_error of wgan: expected"),
    ("report", _wrong_report(missing=0.0), "d_accuracy of l1, which has no discriminator: expected NaN, got 0.0"),
    ("report", _wrong_report(names=False), "expected the index wgan, l1, a short run, got 0, 1, 2"),
    ("report", lambda histories: _report(histories).T, "expected the columns steps, psnr, lowest_error, d_accur"),
    ("report", lambda histories: _report(histories).to_dict(), "what report returns: expected a DataFrame, got"),
    ("report", lambda histories: histories["wgan"]["d_real"], "expected <lambda> to return, got KeyError: 'd_real'"),
    ("report", {}, "report: expected a function of histories, got {} of type dict"),
    # forgets what was not measured; any rise; all steps; one half of the rule only; no case without validation
    ("learns_by_heart", _wrong_rule(drop=False), "last measured ten steps ago: expected True, got False"),
    ("learns_by_heart", _wrong_rule(margin=1.0), "the held-out error rose by 4 %: expected False, got True"),
    ("learns_by_heart", _wrong_rule(window=50), "l1 rises in the last 20 steps: expected False, got True"),
    ("learns_by_heart", _wrong_rule(falls=False), "both rise: expected False, got True"),
    ("learns_by_heart", _wrong_rule(both=False), "both fall: expected False, got True"),
    ("learns_by_heart", lambda history: bool(history["val_ab_mae"].max() < 0), "held-out error rises: expected True"),
    ("learns_by_heart", lambda history: "yes", "l1 falls, the held-out error rises: expected True, got 'yes'"),
    ("learns_by_heart", True, "learns_by_heart: expected a function of a history, got True of type bool"),
    # groups not weighed by their size, within instead of between, not divided, one divisor for another, the range
    ("explained", _unweighted, "lr_g, seven of them, groups of unequal size: expected"),
    ("explained", lambda trials, name: 1 - explained(trials, name), "lr_g, the twelve trials: expected"),
    ("explained", lambda trials, name: trials.groupby(name)["score"].mean().var(), "lr_g, the twelve trials: expected"),
    (
        "explained",
        lambda trials, name: trials.groupby(name)["score"].transform("mean").var() / trials["score"].var(ddof=0),
        "lr_g, the twelve trials: expected",
    ),
    ("explained", lambda trials, name: abs(trials[name].corr(trials["score"])), "lr_g, the twelve trials: expected"),
    ("explained", lambda trials, name: trials.groupby(name)["score"].mean(), "expected the shape (), got"),
    ("explained", lambda trials, name: name, "expected a number, got 'lr_g' of type str"),
    ("explained", 0.5, "explained: expected a function of trials and name, got 0.5 of type float"),
    # the budget, a word for a recipe's field, what cannot work, a misspelt loss, a recipe, the default itself
    ("my_settings", lambda: {"steps": 1000}, "expected names out of lambda_l1, lr_g, lr_d, loss, patch, depth, got st"),
    ("my_settings", lambda: {"receptive_field": 1, "width": 64}, "got receptive_field, width"),
    ("my_settings", lambda: {"patch": 70}, "expected settings that train, got ValueError: expected a recept"),
    ("my_settings", lambda: {"loss": "gan"}, "expected settings that train, got KeyError: 'gan'"),
    ("my_settings", lambda: {"lr_g": "fast"}, "expected settings that train, got"),
    ("my_settings", lambda: {"lr_g": 1e30}, "expected settings that train, got TrainingDiverged"),
    ("my_settings", lambda: [1e-3], "what my_settings returns: expected a dictionary such as"),
    ("my_settings", {"lr_g": 5e-3}, "my_settings: expected a function that returns a dictionary, got"),
    ("my_settings", _default_settings, "expected a score of at most 11.2 (the default has about 11.7), got 1"),
]  # fmt: skip
