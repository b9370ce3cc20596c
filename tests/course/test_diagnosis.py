"""Each rule speaks on a history made to show its fault, names its number, and stays silent on a healthy one."""

import math

import pandas as pd
import pytest

from colorlib import RECIPES
from colorlib.course.diagnosis import RULES, diagnose

N = 200
HEALTHY = {
    "d_real_accuracy": 0.7, "d_fake_accuracy": 0.8, "adversarial_share": 0.8, "val_psnr": 24.0, "val_grey_psnr": 20.0,
    "val_chroma_ratio": 0.9, "val_ab_mae": 0.05, "wasserstein": 0.2,
}  # fmt: skip


def history(n=N, **changes):
    """`n` steps: a number is constant, a list is spread evenly from first to last step; validation every 10 steps."""
    columns = {"step": range(1, n + 1)}
    for name, value in {**HEALTHY, **changes}.items():
        values = value if isinstance(value, list) else [value]
        column = [values[min(len(values) - 1, k * len(values) // n)] for k in range(n)]
        every = 10 if name.startswith("val_") or name == "adversarial_share" else 1
        columns[name] = [x if (k + 1) % every == 0 else math.nan for k, x in enumerate(column)]
    return pd.DataFrame(columns)


def rules(found):
    return [finding.rule for finding in found]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_healthy_run_is_left_alone(name):
    assert rules(diagnose(history(penalty=0.05, clipped_share=0.1), RECIPES[name])) == ["healthy"]


@pytest.mark.parametrize(
    ("rule", "recipe", "changes", "said"),
    [
        ("worse than grey", "l1", {"val_psnr": 18.0}, ["18.0 dB", "20.0"]),
        ("worse than grey", "l1", {"val_psnr": 6.6}, ["6.6 dB", "diverged", "lower learning rates"]),
        ("rising error", "l1", {"val_ab_mae": [0.05, 0.05, 0.075]}, ["50%"]),
        ("discriminator wins", "pix2pix", {"d_real_accuracy": 0.99, "d_fake_accuracy": 0.97}, ["0.95", "181 steps"]),
        ("discriminator guesses", "pix2pix", {"d_real_accuracy": 0.45, "d_fake_accuracy": 0.55}, ["181 steps"]),
        ("critic behind", "wgan-gp", {"wasserstein": -0.3, "penalty": 0.1}, ["0.3 above"]),
        ("weights at the bound", "wgan", {"clipped_share": 0.9}, ["90%", "0.01"]),
        ("penalty unmet", "wgan-gp", {"penalty": 0.64}, ["0.8 away"]),
        ("decoration", "pix2pix", {"adversarial_share": 0.02}, ["0.02 times"]),
        ("untied", "pix2pix", {"adversarial_share": 40.0}, ["40 times"]),
        ("dull", "pix2pix", {"val_chroma_ratio": 0.3}, ["30%", "lower lambda_l1"]),
        ("dull", "l1", {"val_chroma_ratio": 0.3}, ["30%", "add an adversary"]),
        ("garish", "hinge", {"val_chroma_ratio": 1.7}, ["170%"]),
    ],
)
def test_a_fault_is_named_with_its_number(rule, recipe, changes, said):
    found = diagnose(history(**changes), RECIPES[recipe])
    assert rules(found) == [rule]
    assert all(part in found[0].text for part in said), found[0].text


@pytest.mark.parametrize(
    ("recipe", "changes", "way"),
    [
        ("pix2pix", {}, "lower lambda_l1"),
        ("pix2pix", {"d_real_accuracy": 0.5, "d_fake_accuracy": 0.5}, "raise lr_d first"),
        ("wgan", {}, "first widen the clip of 0.01"),
        ("wgan-gp", {}, "lower lambda_l1"),
    ],
)
def test_a_decoration_is_sent_to_its_cause(recipe, changes, way):
    """What `experiments/advice.csv` found: with a D that has not learnt, a lower lambda_l1 changes nothing."""
    texts = {f.rule: f.text for f in diagnose(history(adversarial_share=0.02, **changes), RECIPES[recipe])}
    assert f"another name; {way}" in texts["decoration"]


def test_a_discriminator_that_wins_points_to_the_generator():
    """What `experiments/advice.csv` found: a lower lr_d silences the rule, a higher lr_g heals the run."""
    (finding,) = diagnose(history(d_real_accuracy=0.99, d_fake_accuracy=0.97), RECIPES["pix2pix"])
    assert finding.text.index("higher lr_g") < finding.text.index("lower lr_d")


def test_every_rule_is_tested():
    marks = test_a_fault_is_named_with_its_number.pytestmark[0]
    assert {case[0] for case in marks.args[1]} == set(RULES)


def test_lambda_zero_ties_the_colours_to_nothing():
    found = diagnose(history(adversarial_share=math.nan), RECIPES["pix2pix"].replace(lambda_l1=0.0))
    assert rules(found) == ["untied"] and "lambda_l1 is 0" in found[0].text


def test_nothing_is_said_too_early():
    assert rules(diagnose(history(n=49, val_chroma_ratio=0.1), RECIPES["pix2pix"])) == ["early"]


def test_a_discriminator_that_won_only_lately_has_not_won_yet():
    lately = history(d_real_accuracy=[0.7] * 4 + [1.0], d_fake_accuracy=[0.7] * 4 + [1.0])
    assert rules(diagnose(lately, RECIPES["pix2pix"])) == ["healthy"]


def test_one_accuracy_alone_is_no_victory():
    assert rules(diagnose(history(d_real_accuracy=1.0, d_fake_accuracy=0.8), RECIPES["pix2pix"])) == ["healthy"]


def test_a_critic_has_no_accuracy_and_no_rule_for_it():
    found = diagnose(history(d_real_accuracy=1.0, d_fake_accuracy=1.0, penalty=0.1), RECIPES["wgan-gp"])
    assert rules(found) == ["healthy"]


def test_several_faults_come_with_the_gravest_first():
    found = diagnose(history(val_psnr=10.0, val_chroma_ratio=0.2, adversarial_share=0.01), RECIPES["pix2pix"])
    assert rules(found) == ["worse than grey", "decoration", "dull"]


def test_a_history_without_measures_is_healthy_as_far_as_one_can_see():
    assert rules(diagnose(pd.DataFrame({"step": range(60), "l1": 0.1}), RECIPES["l1"])) == ["healthy"]
