"""A search over hyperparameters that is kept in a file, so that an interrupted search can continue.

The search is Optuna's, which is imported on first use because it is optional (the extra `sweep`).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    import pandas as pd


def has_optuna() -> bool:
    """Whether Optuna is installed; if not, prints how to install it."""
    found = importlib.util.find_spec("optuna") is not None
    if not found:
        print("this section needs Optuna and is skipped: run %pip install optuna, then the notebook again")
    return found


def open_study(path: str | Path, *, seed: int = 0, startup: int = 3) -> optuna.Study:
    """The study in a file, or a new one. It minimises, and stops trials that are worse than the median.

    Such pruning begins after `startup` finished trials. The sampler is seeded by `seed` and the number of trials: with
    `seed` alone, a study that is opened again would draw the same points again. Trials that did not finish are marked
    as failed, so only one process at a time may use a study.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise every trial prints a line
    Path(f"{path}.lock").unlink(missing_ok=True)  # left behind by a process that died while it wrote
    # Optuna's default lock needs links, which neither Windows nor a mounted Drive allows.
    journal = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
    study = optuna.create_study(
        study_name="study",
        storage=optuna.storages.JournalStorage(journal),
        load_if_exists=True,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=startup),
    )
    for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    return study


def done(study: optuna.Study) -> int:
    """The number of trials that finished or were pruned, without those that failed."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def go_on(study: optuna.Study, objective: Callable[[optuna.Trial], float], trials: int) -> None:
    """Run trials until `trials` are done, including those of earlier sittings."""
    study.optimize(objective, n_trials=max(0, trials - done(study)))


def study_of(
    rows: pd.DataFrame,
    score: str,
    ranges: Mapping[str, tuple[float, float]],
    choices: Mapping[str, Sequence[Any]],
) -> optuna.Study:
    """A study in memory whose finished trials are the rows of a table, with a column for each hyperparameter.

    `ranges` are the hyperparameters that were searched on a logarithmic scale, `choices` those with a list of values.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, Any] = {
        name: optuna.distributions.FloatDistribution(low, high, log=True) for name, (low, high) in ranges.items()
    }
    space |= {name: optuna.distributions.CategoricalDistribution(tuple(values)) for name, values in choices.items()}
    study = optuna.create_study(direction="minimize")
    for row in rows.to_dict("records"):
        params = {name: row[name] for name in space}
        study.add_trial(optuna.create_trial(params=params, distributions=space, value=row[score]))
    return study


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each hyperparameter matters for reaching the best tenth of the trials; the values sum to 1.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023), which is deterministic and needs no other package.
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
