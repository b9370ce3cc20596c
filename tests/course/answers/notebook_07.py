"""Right and wrong answers to the exercises of notebook 07, each wrong one with what its feedback says."""

import numpy as np
import torch

HOURS = 0.227 * 100 * 460 / 3600


def _step(G, D, optimizer, x, y, lambda_l1, *, detach=False, target=1.0, zero=True, see=True, reduce="mean", ignore=()):
    fake = G(x)
    judged = fake.detach() if detach else fake
    scores = D(torch.cat([x if see else torch.zeros_like(x), judged], 1))
    adversarial = getattr((scores - target).square(), reduce)()
    loss = adversarial + (0.0 if "l1" in ignore else 1.0 if "lambda" in ignore else lambda_l1) * (fake - y).abs().mean()
    if zero:
        optimizer.zero_grad()
    loss.backward()
    if "step" not in ignore:
        optimizer.step()
    return loss


def _wrong(**how):
    return lambda *players: _step(*players, **how)


def _steps_d_too(G, D, optimizer, *rest):
    loss = _step(G, D, optimizer, *rest)
    for parameter in D.parameters():
        parameter.data -= 0.1 * parameter.grad
    return loss


def _frozen_judge(G, D, optimizer, *rest):
    D.requires_grad_(False)
    loss = _step(G, D, optimizer, *rest)
    D.requires_grad_(True)
    return loss.item()


RIGHT = [
    ("steps_of", lambda images, batch_size, epochs: epochs * (images // batch_size)),
    ("steps_of", lambda images, batch_size, epochs: sum(len(range(batch_size, images + 1, batch_size)) for _ in
                                                        range(epochs))),
    ("steps_of", lambda images, batch_size, epochs: np.int64(images // batch_size) * epochs),
    ("hours", HOURS),
    ("hours", torch.tensor(HOURS)),
    ("hours", (7.89 - 5.62) / 10 * 46_000 / 3600),
    ("which", {"C": "lambda 0", "A": "lambda 100", "B": "slow G"}),
    ("lsgan_generator_step", _step),
    ("lsgan_generator_step", _frozen_judge),
]  # fmt: skip

WRONG = [
    # forgets the batches, rounds up, drops the partial batch once instead of in every epoch, the wrong type
    ("steps_of", lambda images, batch_size, epochs: images * epochs, "expected 800, got 6400"),
    ("steps_of", lambda images, batch_size, epochs: epochs * -(-images // batch_size), "expected 186, got 189"),
    ("steps_of", lambda images, batch_size, epochs: epochs * images // batch_size, "expected 186, got 187"),
    ("steps_of", lambda images, batch_size, epochs: epochs * images / batch_size, "expected 186, got 187.5"),
    ("steps_of", lambda images, batch_size, epochs: [800], "expected the shape (), got (1,)"),
    ("steps_of", lambda images, batch_size, epochs: "many", "expected a number, got 'many' of type str"),
    ("steps_of", 800, "expected a function of images, batch_size and epochs, got 800 of type int"),
    # with the slow steps, minutes, the last difference only in seconds, one image a step
    ("hours", 7.89 / 12 * 46_000 / 3600, "expected only steady steps to count, got 8.40"),
    ("hours", 0.227 * 46_000 / 60, "the hours: expected 2.9006, got 174.03"),
    ("hours", 0.227 * 100 * 7370 / 3600, "the hours: expected 2.9006, got 46.472"),
    ("hours", 2.27 * 46_000 / 3600, "the hours: expected 2.9006, got 29.006"),
    ("hours", "3 h", "expected a number, got '3 h' of type str"),
    ("hours", [2.9, 2.9], "expected the shape (), got (2,)"),
    # takes the highest L1 for lambda 0; takes the fairest game for lambda 100; all the same; too few; other names
    ("which", {"A": "lambda 100", "B": "lambda 0", "C": "slow G"}, "run B: expected another one, got 'lambda 0'; D is"),
    ("which", {"A": "lambda 0", "B": "slow G", "C": "lambda 100"}, "run A: expected another one, got 'lambda 0'; its"),
    ("which", dict.fromkeys("ABC", "lambda 100"), "run B: expected another one, got 'lambda 100'"),
    ("which", {"A": "lambda 100"}, "expected an answer for each of A, B, C, got A"),
    ("which", {"A": "lambda 100", "B": "slow D", "C": "lambda 0"}, "run B: expected one of lambda 0, lambda 100, slow"),
    ("which", "C", "which: expected a dictionary such as"),
    # D's gradient cut off; D's target; old gradients kept; D not shown x; a sum; lambda or L1 forgotten; no step
    ("lsgan_generator_step", _wrong(detach=True), "lambda 0: G's layers.0.weight after the step: expected"),
    ("lsgan_generator_step", _wrong(target=0.0), "lambda 0: the loss: expected"),
    ("lsgan_generator_step", _wrong(zero=False), "G's layers.0.weight after the step: expected"),
    ("lsgan_generator_step", _wrong(see=False), "lambda 0: the loss: expected"),
    ("lsgan_generator_step", _wrong(reduce="sum"), "lambda 0: the loss: expected"),
    ("lsgan_generator_step", _wrong(ignore=("lambda",)), "lambda 0: the loss: expected"),
    ("lsgan_generator_step", _wrong(ignore=("l1",)), "lambda 1: the loss: expected"),
    ("lsgan_generator_step", _wrong(ignore=("step",)), "lambda 0: G's layers.0.weight after the step: expected"),
    ("lsgan_generator_step", _steps_d_too, "lambda 0: expected D's weights unchanged, got a change of"),
    ("lsgan_generator_step", lambda *players: "0.5", "expected G's loss, one number, got '0.5' of type str"),
    (
        "lsgan_generator_step",
        lambda G, D, o, x, y, lambda_l1: G(x),
        "the loss: expected the shape (), got (2, 2, 8, 8)",
    ),
    ("lsgan_generator_step", 1.0, "expected a function of G, D, optimizer, x, y and lambda_l1, got"),
]
