"""A training is started, changed, paused and reset, without widgets."""

import threading
import time

import pytest
import torch
from conftest import make_source

from colorlib import RECIPES
from colorlib.course.session import N_SAMPLES, Session

TINY = RECIPES["pix2pix"].replace(size=16, depth=2, width=4, d_width=4, batch_size=2, receptive_field=1, steps=100)


def session(**options) -> Session:
    return Session(TINY, make_source(12, 16), make_source(10, 16, "val"), device="cpu", **options)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def weights(here: Session) -> list[torch.Tensor]:
    return [p.detach().clone() for p in here.trainer.generator.parameters()]


def same(a, b) -> bool:
    return all(map(torch.equal, a, b))


def pause(here: Session) -> None:
    """Pause, and wait for the step in hand and the last look."""
    here.pause()
    here._thread.join(60)


@pytest.fixture
def running():
    here = session()
    here.start()
    yield here
    pause(here)


def test_states():
    here = session()
    assert here.state == "ready"
    here.start()
    assert here.state == "training"
    wait_for(lambda: here.trainer.step > 2)
    pause(here)
    step = here.trainer.step
    assert here.state == "paused"
    here.start()
    wait_for(lambda: here.trainer.step > step)
    here.reset()
    assert here.state == "ready" and here.trainer.step == 0


@pytest.mark.slow
def test_pauses_leave_no_trace_in_the_weights():
    often = session()
    for _ in range(5):
        often.start()
        wait_for(lambda: often.trainer.step % 3 == 0)
        pause(often)
    once = session()
    once.train(often.trainer.step)
    assert often.trainer.step > 0 and same(weights(often), weights(once))


def test_a_reset_begins_where_a_new_session_begins():
    here = session()
    first = weights(here)
    here.train(3)
    assert not same(first, weights(here))
    here.reset()
    assert same(first, weights(here))


def test_the_weight_of_a_loss_acts_while_it_trains(running):
    running.use(TINY.replace(lambda_l1=1.0, lr_g=1e-3))
    wait_for(lambda: running.trainer.recipe.lambda_l1 == 1.0 and running.trainer.recipe.lr_g == 1e-3)
    assert running.state == "training" and running.waiting == []


def test_another_network_waits_for_the_reset(running):
    running.use(TINY.replace(depth=3, lambda_l1=1.0))
    wait_for(lambda: running.trainer.recipe.lambda_l1 == 1.0)
    assert running.trainer.recipe.depth == 2 and running.waiting == ["depth"]
    pause(running)
    assert running.look().waiting == ["depth"]
    running.reset()
    assert running.trainer.recipe.depth == 3 and running.waiting == []


def test_before_the_first_step_everything_acts_at_once():
    here = session()
    here.use(TINY.replace(depth=3))
    assert here.trainer.recipe.depth == 3 and here.state == "ready"


@pytest.mark.parametrize("steps", [0, 1])
def test_a_batch_larger_than_the_set_changes_nothing(steps):
    here = session()
    here.train(steps)
    with pytest.raises(ValueError, match="expected a batch of at most 12, the number of pictures, got 13"):
        here.use(TINY.replace(batch_size=13))
    assert here.wanted == here.trainer.recipe == TINY and here.trainer.step == steps
    with pytest.raises(ValueError, match="at most 12"):
        Session(TINY.replace(batch_size=13), here.source, here.validation, device="cpu")


def explode(here: Session, at: int) -> None:
    """Make the L1 loss NaN at step `at`."""
    networks = here.trainer.networks
    usual = networks.train_step

    def step(batches, k, **options):
        values = usual(batches, k, **options)
        return {**values, "l1": torch.tensor(float("nan"))} if k + 1 == at else values

    networks.train_step = step


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 10, 20, 21])
def test_a_loss_that_is_no_number_stops_it_and_a_reset_helps(at):
    looks = []
    here = session(watch=looks.append)
    explode(here, at)
    here.start()
    wait_for(lambda: here.state == "failed")
    here._thread.join()
    assert here.failure.startswith(f"l1 became nan at step {at}") and "\n" not in here.failure
    assert looks[-1].state == "failed" and looks[-1].failure == here.failure
    here.start()
    assert here.state == "failed"
    here.reset()
    assert here.state == "ready" and here.failure == ""
    here.train(2)
    assert here.trainer.step == 2 and here.state == "paused"


def test_a_foreground_training_says_at_its_end_what_failed():
    here = session()
    explode(here, 2)
    assert here.train(3).state == "failed"


@pytest.mark.slow
def test_a_long_step_is_not_waited_for():
    looks = []
    here = session(watch=looks.append)
    usual, entered, go_on = here.trainer.networks.train_step, threading.Event(), threading.Event()

    def long_step(*arguments, **options):
        entered.set()
        go_on.wait(60)
        return usual(*arguments, **options)

    here.trainer.networks.train_step = long_step
    here.start()
    entered.wait(60)
    here.pause()
    assert here.state == "pausing" and here.trainer.step == 0
    here.use(TINY.replace(lambda_l1=1.0))
    go_on.set()
    here._thread.join(60)
    assert here.state == looks[-1].state == "paused" and looks[-1].step == 1
    assert here.trainer.recipe.lambda_l1 == 1.0


@pytest.mark.slow
def test_started_and_paused_many_times_it_leaks_no_thread():
    here = session()
    threads = threading.active_count()
    for _ in range(10):
        here.start()
        pause(here)
    assert threading.active_count() == threads


def test_a_look_shows_grey_predicted_and_true():
    looks = []
    here = session(watch=looks.append)
    here.train(4)
    look = looks[-1]
    assert (look.state, look.step, len(look.history)) == ("paused", 4, 4)
    assert look.samples.shape == (3, N_SAMPLES, 3, 16, 16)
    grey, predicted, true = look.samples
    assert torch.equal(true, here.validation.images(range(N_SAMPLES)))
    assert (grey.amax(1).int() - grey.amin(1).int()).max() <= 2  # levels of 255, by rounding
    assert not torch.equal(predicted, grey) and not torch.equal(predicted, true)
    assert here.trainer.generator.training


def test_it_looks_while_it_trains(monkeypatch):
    monkeypatch.setattr("colorlib.course.session.LOOK_SECONDS", 0.01)
    looks = []
    here = session(watch=looks.append)
    here.start()
    wait_for(lambda: len(looks) > 2)
    pause(here)
    assert [look.state for look in looks[:2]] == ["training"] * 2 and looks[-1].state == "paused"
    assert looks[0].step < looks[-1].step == here.trainer.step
