"""The real-or-fake game: pairs, scores against the binomial distribution, players that are no people, the widget."""

import time

import pytest
import torch
from scipy.stats import beta, binom

from colorlib.course.game import Game, Score, Trials, guesser, make_trials, play, says_the_duller, score_figure


@pytest.fixture
def pictures():
    """Forty real pictures with colour, and the same ones in grey."""
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=rng)
    fake = real.float().mean(dim=1, keepdim=True).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    return real, fake


def is_grey(picture):
    return bool((picture[0] == picture[1]).all())


def test_each_pair_is_a_picture_and_its_own_fake(pictures):
    real, fake = pictures
    trials = make_trials(real, fake, seed=3)
    assert len(trials) == 40
    seen = []
    for k in range(40):
        pair = {"left": trials.left[k], "right": trials.right[k]}
        false = pair.pop(trials.fake_side(k))
        (true,) = pair.values()
        (number,) = [i for i in range(40) if torch.equal(real[i], true)]
        assert torch.equal(fake[number], false)
        seen.append(number)
    assert sorted(seen) == list(range(40)) and seen != sorted(seen)
    assert 8 <= trials.fake_is_left.sum() <= 32


def test_trials_depend_on_the_seed_alone(pictures):
    one, same, other = (make_trials(*pictures, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.left, same.left) and torch.equal(one.fake_is_left, same.fake_is_left)
    assert not torch.equal(one.left, other.left)


@pytest.mark.parametrize("n", [0, 39])
def test_pictures_without_a_partner_are_refused(pictures, n):
    with pytest.raises(ValueError, match=r"expected as many real as fake.*got \("):
        make_trials(pictures[0][:n], pictures[1][: 0 if n == 0 else 40])


def test_a_score_counts_the_fakes_taken_for_real():
    score = Score().add("left", fake="right").add("left", fake="left").add("right", fake="left")
    assert (score.fooled, score.shown) == (2, 3) and score.rate == 2 / 3
    assert str(score).startswith("2 of 3 fakes taken for real: 67% (95 %: ")
    assert str(Score()) == "no trial yet" and Score().interval() == (0.0, 1.0)


def test_an_impossible_score_or_answer_is_refused():
    with pytest.raises(ValueError, match="expected between 0 and 3 fakes taken for real, got 4"):
        Score(4, 3)
    with pytest.raises(ValueError, match="expected an answer left or right, got 'both'"):
        Score().add("both", "left")


@pytest.mark.parametrize(("fooled", "shown"), [(0, 40), (9, 40), (20, 40), (40, 40)])
def test_the_interval_is_clopper_and_pearsons(fooled, shown):
    low, high = Score(fooled, shown).interval()
    assert low == pytest.approx(beta.ppf(0.025, fooled, shown - fooled + 1) if fooled else 0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(0.975, fooled + 1, shown - fooled) if fooled < shown else 1, abs=1e-9)


@pytest.mark.parametrize("rate", [0.163, 0.225, 0.5])
def test_the_interval_holds_the_true_rate_in_95_per_cent_of_all_games(rate):
    """Summed over all scores of 40 trials with their probabilities, no simulation."""
    covered = 0.0
    for fooled in range(41):
        low, high = Score(fooled, 40).interval()
        covered += binom.pmf(fooled, 40, rate) * (low <= rate <= high)
    assert 0.95 <= covered < 0.99


def test_a_guesser_is_fooled_by_half_and_one_who_sees_never(pictures):
    trials = make_trials(*(batch.repeat(10, 1, 1, 1) for batch in pictures))
    assert abs(play(trials, guesser(0)).rate - 0.5) < 0.1
    assert play(trials, lambda left, right: "left" if is_grey(left) else "right") == Score(0, 400)
    assert play(trials, lambda left, right: "right" if is_grey(left) else "left") == Score(400, 400)


def test_the_duller_of_two_is_the_one_with_less_colour(pictures):
    real, fake = pictures
    assert says_the_duller(real[0], fake[0]) == "right" and says_the_duller(fake[0], real[0]) == "left"
    assert play(make_trials(real, fake), says_the_duller) == Score(0, 40)


def answer_all(game, *, right):
    while not game.over:
        fake = game.trials.fake_side(game._state.trial)
        game.answer(fake if right else {"left": "right", "right": "left"}[fake])


def test_practice_says_whether_it_was_right_and_does_not_count(pictures):
    trials = make_trials(*(batch[:6] for batch in pictures))
    game = Game(trials, seconds=None, practice=2)
    assert "Pair 1 of 6 (practice, does not count)" in game.text.value
    game.buttons[f"{trials.fake_side(0).capitalize()} is fake"].click()
    assert game.text.value.startswith(f"Right: the {trials.fake_side(0)} one was fake. Pair 2 of 6")
    wrong = "Left is fake" if trials.fake_side(1) == "right" else "Right is fake"
    game.buttons[wrong].click()
    assert game.text.value.startswith("No: the") and "Pair 3 of 6 (counts)" in game.text.value
    assert game.score == Score()
    game.buttons[wrong].click()
    assert game.score.shown == 1 and game.text.value.startswith("Pair 4 of 6")


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_a_game_ends_with_the_score_and_starts_over(pictures, right):
    game = Game(make_trials(*(batch[:6] for batch in pictures)), seconds=None, practice=2)
    first = game.image.value
    answer_all(game, right=right)
    assert game.score == Score(0 if right else 4, 4) and str(game.score) in game.text.value
    game.answer("left")
    assert game.score.shown == 4
    game.buttons["Start over"].click()
    assert game.score == Score() and game.image.value == first


@pytest.mark.slow
def test_a_pair_that_counts_disappears_and_the_next_one_is_shown(pictures):
    game = Game(make_trials(*(batch[:4] for batch in pictures)), seconds=0.05, practice=1)
    practice = game.image.value
    time.sleep(0.2)
    assert game.image.value == practice
    game.answer("left")
    shown = game.image.value
    game._timer.join()
    card = game.image.value
    assert card != shown
    game.answer("left")
    game._timer.join()
    assert game.image.value == card and game.score.shown == 1


def test_a_late_timer_leaves_the_next_pair_alone(pictures):
    game = Game(make_trials(*(batch[:4] for batch in pictures)), seconds=60, practice=0)
    before, trial = game._state, game._state.trial
    game.answer("left")
    shown = game.image.value
    game._hide(before, trial)
    assert game.image.value == shown
    game.start()
    game._hide(before, 0)
    assert game.image.value != shown
    game._timer.cancel()


def test_the_static_picture_stands_in_for_the_game(pictures):
    bundle, about = Game(make_trials(*pictures), seconds=None)._repr_mimebundle_()
    assert bundle["image/png"] and about["image/png"]["alt"] and "which one is fake?" in bundle["text/plain"]


def test_the_figure_has_a_row_for_each_player_and_each_published_rate():
    ax = score_figure({"me": Score(10, 40), "guesser": Score(20, 40)}).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["me", "guesser"]
    rates = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("o", "s")]
    assert rates == [25, 50, 16.3, 22.5, 27.8]


def test_trials_say_where_the_fake_is():
    picture = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    trials = Trials(picture, picture, torch.tensor([True, False]))
    assert [trials.fake_side(k) for k in range(2)] == ["left", "right"]
