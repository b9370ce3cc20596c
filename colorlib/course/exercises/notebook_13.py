"""Checks of notebook 13: ten bugs mended, and four tests that catch them. They look at behaviour, not at the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from colorlib.color import AB_SCALE, L_SCALE, lab_to_rgb, rgb_to_lab, split_lab, to_float
from colorlib.course import bugs
from colorlib.course.exercises.exercise import (
    Exercise,
    NotYet,
    call,
    copy_of,
    expect,
    expect_function,
    expect_tensor,
    expect_type,
)
from colorlib.devices import make_rng
from colorlib.losses import bce_g_loss, gradient_penalty, l1_loss
from colorlib.metrics import fid


def _check_function(answer: Any) -> None:
    expect_function("your answer", answer, "a function")


def _pair(what: str, got: Any, names: str) -> Sequence[Any]:
    expect_type(what, got, (tuple, list), f"the pair ({names})")
    if len(got) != 2:
        raise NotYet(f"{what}: expected the pair ({names}), got {len(got)} values")
    return got


def _one_tensor(what: str, got: Any) -> None:
    if isinstance(got, tuple | list):
        raise NotYet(f"{what}: expected one tensor, got {len(got)} values")
    expect_type(what, got, (Tensor, np.ndarray), "a tensor")


def _check_gradients(where: str, got: Any, wanted: Tensor, groups: Mapping[str, Sequence[Tensor]]) -> None:
    """The gradients of two scalars, group by group."""
    expect_type(where, got, Tensor, "a tensor that carries its gradient")
    if not got.requires_grad:
        raise NotYet(f"{where}: expected a gradient in {' and '.join(groups)}, got a result that carries none")
    for name, tensors in groups.items():
        mine, right = bugs.gradient_of(got, tensors), bugs.gradient_of(wanted, tensors)
        if (mine - right).norm() > 1e-3 * right.norm():
            elsewhere = " that points elsewhere" if abs(mine.norm() - right.norm()) < 1e-3 * right.norm() else ""
            raise NotYet(
                f"{where}, gradient in {name}: expected the norm {right.norm():.4g}, got {mine.norm():.4g}{elsewhere}"
            )


# --- 1: a generator that does not hear -----------------------------------------------------------------------------


def _check_g_total(answer: Any) -> None:
    _check_function(answer)
    for lambda_l1 in (10.0, 0.0):
        generator, discriminator, L, real_ab = bugs.players()
        fake_ab = generator(L)
        score = bce_g_loss(discriminator(torch.cat([L, fake_ab], 1)))
        wanted = score + lambda_l1 * l1_loss(fake_ab, real_ab)
        got = answer(generator, discriminator, L, real_ab, lambda_l1)
        where = f"with lambda {lambda_l1:g}"
        expect(where, got, wanted)
        _check_gradients(where, got, wanted, {"the generator": list(generator.parameters())})
        if not all(p.requires_grad for p in discriminator.parameters()):
            raise NotYet(f"{where}: expected a discriminator that can be trained afterwards, got a frozen one")


g_total = Exercise(
    "g_total",
    _check_g_total,
    hints=[
        "Which of the two terms can tell G how to change? Follow the adversarial one back from the loss to G.",
        "no_grad keeps no graph at all, so that nothing flows through D to G. D's own weights do not move here anyway: "
        "only G's optimizer takes a step.",
    ],
)

# --- 2: weights that never move ------------------------------------------------------------------------------------


def _check_residual_forward(answer: Any) -> None:
    _check_function(answer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        block = bugs.Block(3)
        x = torch.randn(2, 3, 6, 6, requires_grad=True)
    got, wanted = answer(block, x), block(x)
    _one_tensor("the output", got)
    expect("the output", got, wanted, 1e-5)
    expect_tensor("the output", got, "a tensor that carries its gradient")
    groups: dict[str, list[Tensor]] = {"the branch": list(block.branch.parameters()), "the input": [x]}
    _check_gradients("the output", got.square().sum(), wanted.square().sum(), groups)


residual_forward = Exercise(
    "residual_forward",
    _check_residual_forward,
    hints=[
        "Which tensor is cut off from the weights that made it?",
        "x + branch(x) with both in the graph: the sum itself passes the gradient to both, in full.",
    ],
)


def _check_has_cut_weights(answer: Any) -> None:
    _check_function(answer)
    x = torch.randn(2, 4, 6, 6, generator=make_rng(0, "input"))
    for what, (network, cut) in bugs.networks().items():
        expect(f"for {what}", answer(network, x.clone()), cut)


has_cut_weights = Exercise(
    "has_cut_weights",
    _check_has_cut_weights,
    hints=[
        "Run the network, make one number of its output, call backward. What is .grad of a weight that was cut off?",
        "It stays None. A gradient of 0 is another thing: the weight was reached, and may move later.",
    ],
)

# --- 3: a critic that is trained backwards -------------------------------------------------------------------------


def _check_critic_step(answer: Any) -> None:
    _check_function(answer)
    mine, right = bugs.critic_at_work(), bugs.critic_at_work()
    for step in (1, 2, 3):
        wanted = bugs.right_step(*right)
        expect(f"the estimate that step {step} returns (of before the step)", answer(*mine), wanted)
        largest = max(p.abs().max().item() for p in mine[0].parameters())
        if largest > bugs.CLIP + 1e-6:
            raise NotYet(f"after step {step}: expected no weight beyond {bugs.CLIP}, got one of {largest:.3f}")
        _check_progress(step, mine, right[0])


def _check_progress(step: int, mine: tuple[Any, ...], right: nn.Module) -> None:
    critic, _, real, fake = mine
    with torch.no_grad():
        got, wanted = (float(c(real).mean() - c(fake).mean()) for c in (critic, right))
    what = f"mean score of real minus that of fake after step {step}, from a critic that had fakes above"
    expect(what, got, wanted, 1e-5)


critic_step = Exercise(
    "critic_step",
    _check_critic_step,
    hints=[
        "An optimizer minimises. What should the critic do with its estimate?",
        "Call backward on the negative of the estimate (or on wasserstein_d_loss), and return the estimate itself.",
    ],
)


def _check_is_backwards(answer: Any) -> None:
    _check_function(answer)
    for what, (step, backwards) in bugs.STEPS.items():
        expect(f"for {what}", answer(step), backwards)


is_backwards = Exercise(
    "is_backwards",
    _check_is_backwards,
    hints=[
        "Give the step a small critic and two heaps of points that are easy to tell apart. Ask the critic afterwards.",
        "After some steps, the mean score of the real points has to lie above that of the fakes. What the step "
        "returns may be the estimate, or the loss: do not judge by it.",
    ],
)

# --- 4 and 5: the penalty ------------------------------------------------------------------------------------------


def _call_penalty(answer: Any, critic: Callable[[Tensor], Tensor], steepness: Tensor, fake_ab: Tensor) -> Any:
    L = steepness[:, None, None, None].expand(-1, 1, 4, 6)
    return answer(critic, L, torch.zeros_like(fake_ab), fake_ab, make_rng(1, "penalty"))


def _check_penalty(answer: Any) -> None:
    _check_function(answer)
    for slopes in ((1.0, 1.0, 1.0), (3.0, 3.0, 3.0), (0.5, 2.0, 1.0), (0.0, 0.0, 0.0)):
        steepness = torch.tensor(slopes)
        what = f"for samples whose gradients have the norms {', '.join(f'{s:g}' for s in slopes)}"
        got = _call_penalty(answer, bugs.SlopeCritic(1), steepness, torch.ones(3, 2, 4, 6))
        expect(what, got, (steepness - 1).square().mean(), 1e-3)
    critic = bugs.SlopeCritic(2)
    got = _call_penalty(answer, critic, torch.ones(2), torch.ones(2, 2, 4, 6))
    wanted = (critic.weight.norm() - 1).square()
    _check_gradients("for a critic of slope 2", got, wanted, {"its weights": [critic.weight]})
    away = torch.zeros(4000, 2, 4, 6)
    away[:, 0, 0, 0] = 1
    # the critic |ab|^2 / 2 has the slope |ab|: between 0 (real) and 1 (fake), evenly
    got = _call_penalty(answer, lambda lab: lab[:, 1:].square().sum((1, 2, 3))[:, None] / 2, torch.ones(4000), away)
    expect("for a critic whose slope runs evenly from 0 at the real sample to 1 at the fake", got, 1 / 3, 0.03)


penalty = Exercise(
    "penalty",
    _check_penalty,
    hints=[
        "Whose gradient should have the norm 1: that of a pixel, of a sample, or of the batch?",
        "Flatten each sample's gradient, gradient.flatten(1), and take the norm over all of its values, dim 1.",
    ],
)


def _check_mix(answer: Any) -> None:
    _check_function(answer)
    n = 8000
    real, fake = torch.ones(n, 2, 2, 3), torch.zeros(n, 2, 2, 3)
    got = answer(real.clone(), fake.clone(), make_rng(0, "mix"))
    expect_tensor("mix", got, "a tensor")
    if got.shape != real.shape:
        raise NotYet(f"expected the shape {tuple(real.shape)}, got {tuple(got.shape)}")
    if not got.is_floating_point():
        raise NotYet(f"expected a mixture in {real.dtype}, got {got.dtype}")
    shares = got.detach()
    if shares.min() < -1e-6 or shares.max() > 1 + 1e-6:
        outside = ((shares < 0) | (shares > 1)).float().mean()
        raise NotYet(f"expected every sample between real and fake, got {outside:.0%} of the values outside")
    if (shares.flatten(1) - shares[:, :1, 0, 0]).abs().max() > 1e-6:
        raise NotYet("expected one share for all values of a sample, got several: that is not between its two pictures")
    _check_even(shares[:, 0, 0, 0].sort().values)
    again, other = (answer(real.clone(), fake.clone(), make_rng(seed, "mix")) for seed in (0, 1))
    if not torch.equal(again, got):
        raise NotYet("expected the same samples from two equal rngs, got different ones")
    if torch.equal(other, got):
        raise NotYet("expected other samples from another rng, got the same")


def _check_even(shares: Tensor) -> None:
    """Uniform on 0..1: no deviation of the distribution function above 0.03 (chance: less than one in 100,000)."""
    if shares[0] == shares[-1]:
        raise NotYet(f"expected a share of its own for each sample, got {shares[0]:.3f} for all of the batch")
    deviation = shares - torch.linspace(0, 1, len(shares))
    if deviation.abs().max() > 0.03:
        at = int(deviation.abs().argmax())
        share = (at + 1) / len(shares)
        raise NotYet(
            f"expected shares spread evenly from 0 to 1, {shares[at].clamp(0, 1):.0%} of them up to {shares[at]:.2f}, "
            f"got {share:.0%}"
        )


mix = Exercise(
    "mix",
    _check_mix,
    hints=[
        "Where do the points lie if a share can be -1 or 2?",
        "One number a sample, evenly from 0 to 1, from the given rng: torch.rand. Cutting a normal one to 0..1 puts "
        "many of them on the two ends.",
    ],
)

# --- 6: the wrong lightness ----------------------------------------------------------------------------------------

_COLOURS = {
    "white": (255, 255, 255),
    "pure red": (255, 0, 0),
    "pure green": (0, 255, 0),
    "pure blue": (0, 0, 255),
    "of the sky (135, 180, 235)": (135, 180, 235),
    "of mid grey (119, 119, 119)": (119, 119, 119),
    "black": (0, 0, 0),
}


def _check_network_input(answer: Any) -> None:
    _check_function(answer)
    for name, colour in _COLOURS.items():
        rgb = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].expand(2, 3, 4, 5)
        got = answer(rgb.clone())
        _one_tensor("network_input", got)
        expect(f"L of a picture all {name}", got, split_lab(to_float(rgb))[0], 5e-3)
    rgb = torch.randint(256, (2, 3, 4, 5), generator=make_rng(0, "rgb"), dtype=torch.uint8)
    expect("L of a picture of noise", answer(rgb.clone()), split_lab(to_float(rgb))[0], 5e-3)


network_input = Exercise(
    "network_input",
    _check_network_input,
    hints=[
        "Which of the three numbers of a pixel is its lightness? None: all three contribute, and not in equal parts.",
        "colorlib.color has a function that takes sRGB 0..1 and gives L and ab as the network wants them.",
    ],
)

# --- 7: too good a test --------------------------------------------------------------------------------------------


def _numbers_of(what: str, got: Any, photos: Tensor) -> list[int]:
    """Which photographs these are."""
    expect_tensor(what, got, f"a tensor (n, {', '.join(map(str, photos.shape[1:]))}) of photographs")
    if got.shape[1:] != photos.shape[1:]:
        raise NotYet(f"{what}: expected photographs of the shape {tuple(photos.shape[1:])}, got {tuple(got.shape[1:])}")
    names = {photo.numpy().tobytes(): number for number, photo in enumerate(photos)}
    found = [names.get(photo.to(torch.uint8).contiguous().numpy().tobytes(), -1) for photo in got]
    if -1 in found:
        raise NotYet(f"{what}: expected photographs as they are, got one that was not among them")
    return found


def _check_split(answer: Any) -> None:
    _check_function(answer)
    photos = bugs.photographs(50)
    sets = []
    for seed in (0, 1, 0):
        pair = _pair("split", answer(photos.clone(), seed), "train, test")
        train, test = (_numbers_of(name, got, photos) for name, got in zip(("train", "test"), pair, strict=True))
        if shared := set(train) & set(test):
            raise NotYet(f"seed {seed}: expected no test photograph in the training set, got {len(shared)} of them")
        if len(set(train)) + len(set(test)) != 50 or len(train) + len(test) != 50:
            raise NotYet(
                f"seed {seed}: expected each of 50 photographs once, got {len(set(train) | set(test))} "
                f"in {len(train)} + {len(test)}"
            )
        expect(f"seed {seed}: how many of 50 are for testing", len(test), 10)
        sets.append(set(test))
    if sets[0] != sets[2]:
        raise NotYet("expected the same test set for the same seed, got another")
    if sets[0] == sets[1]:
        raise NotYet("expected another test set for another seed, got the same")


split = Exercise(
    "split",
    _check_split,
    hints=[
        "Follow one photograph: is it sure to be in one of the two sets, and only in one?",
        "Cut one shuffled order: the first fifth is for testing, the rest for training.",
    ],
)


def _check_leaked(answer: Any) -> None:
    _check_function(answer)
    for what, ((train, test), count) in bugs.splits().items():
        expect(f"for {what}", answer(train.clone(), test.clone()), count)


leaked = Exercise(
    "leaked",
    _check_leaked,
    hints=[
        "Compare each test photograph with each of the training set, and with its mirror image, .flip(-1).",
        "(train[:, None] == test[None]).flatten(2).all(2) says which pairs are equal. Count test photographs, not "
        "pairs.",
    ],
)

# --- 8: a cast over everything -------------------------------------------------------------------------------------


def _check_decode(answer: Any) -> None:
    _check_function(answer)
    codes = {
        "black": (0, 128, 128),
        "white": (255, 128, 128),
        "mid grey": (128, 128, 128),
        "a red": (136, 208, 195),
        "a blue": (82, 207, 20),
    }
    noise = torch.randint(256, (2, 3, 4, 5), generator=make_rng(0, "lab"), dtype=torch.uint8)
    cases = {f"for {name}, {code}": torch.tensor(code, dtype=torch.uint8) for name, code in codes.items()}
    pictures = {what: code[None, :, None, None].expand(2, 3, 4, 5) for what, code in cases.items()}
    for what, lab8 in (pictures | {"for noise": noise}).items():
        L, ab = _pair(what, answer(lab8.clone()), "L, ab")
        expect(f"L {what}", L, lab8[:, :1].float() * (100 / 255) / L_SCALE - 1)
        expect(f"ab {what}", ab, (lab8[:, 1:].float() - 128) / AB_SCALE)


decode = Exercise(
    "decode",
    _check_decode,
    hints=[
        "What are a and b of a grey pixel in Lab, and what are they in this file?",
        "Take off the 128 before you divide by 110, and after you have left uint8: there, 100 - 128 is 228.",
    ],
)

# --- 9: samples that see one another -------------------------------------------------------------------------------


class _Student(nn.Module):
    """A student's network; what its forward raises becomes NotYet."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return call("the network", self.network, x)


def _check_build_critic(answer: Any) -> None:
    _check_function(answer)
    x = torch.randn(6, 3, 16, 16, generator=make_rng(0, "batch"))
    for width in (8, 12):
        critic = answer(width)
        expect_type(f"build_critic({width})", critic, nn.Module, "a network")
        critic = _Student(copy_of("the network", critic)).train()
        scores = critic(x)
        if not isinstance(scores, Tensor) or scores.shape[:2] != (6, 1):
            raise NotYet(f"for 6 samples: expected scores (6, 1, ...), got {getattr(scores, 'shape', type(scores))}")
        expect_tensor("for 6 samples", scores, "scores")
        if not scores.is_floating_point() or not scores.requires_grad:
            raise NotYet(f"for 6 samples: expected scores that have a gradient, got {scores.dtype} without one")
        share, own = bugs.foreign_share(critic, x)
        if share > 1e-4:
            raise NotYet(f"in training: expected no gradient of a score on other samples, got {share:.0%} of it there")
        if own.min() <= 0 or torch.allclose(critic(x) + critic(-x), 2 * critic(0 * x), atol=1e-6):
            raise NotYet("expected scores that depend on their sample, and not linearly, got others")
        loss = gradient_penalty(critic, x[:, :1], x[:, 1:], -x[:, 1:], rng=make_rng(0))
        weights = [weight for weight in critic.parameters() if weight.requires_grad]
        found = torch.autograd.grad(loss, weights, allow_unused=True) if weights else ()
        if not any(g is not None and g.abs().sum() > 0 for g in found):
            raise NotYet("expected a penalty that reaches the weights, got no gradient in any of them")


build_critic = Exercise(
    "build_critic",
    _check_build_critic,
    hints=[
        "Which layer looks at several samples at once?",
        "Leave batch norm out (norm='none'), or take one that looks at one sample only: instance or layer norm. "
        "eval() is no cure: training calls train() again.",
    ],
)


def _check_samples_mix(answer: Any) -> None:
    _check_function(answer)
    x = torch.randn(4, 3, 16, 16, generator=make_rng(0, "batch"))
    for what, (critic, mixes) in bugs.critics().items():
        expect(f"for {what}", answer(critic, x.clone()), mixes)


samples_mix = Exercise(
    "samples_mix",
    _check_samples_mix,
    hints=[
        "Score a batch. Change one sample. Whose score may change? Mind the mode that the critic is trained in.",
        "critic.train(), then compare the scores of samples 1, 2, ... before and after you replace sample 0.",
    ],
)

# --- 10: a metric that sees nothing --------------------------------------------------------------------------------


def _check_colour_fid(answer: Any) -> None:
    _check_function(answer)
    rng = make_rng(0, "pictures")
    true = rgb_to_lab(0.2 + 0.6 * torch.rand(60, 3, 1, 1, generator=rng) * torch.rand(60, 3, 6, 6, generator=rng))
    for what, chroma in {"half its chroma": 0.5, "no chroma": 0.0, "all its chroma": 1.0}.items():
        predicted = torch.cat([true[:, :1], chroma * true[:, 1:]], 1)
        features = bugs.Features()
        got = answer(predicted.clone(), true.clone(), features)
        if not features.seen:
            raise NotYet(f"for a set with {what}: expected the features of both sets, got a result without any")
        low, high = min(low for low, _ in features.seen), max(high for _, high in features.seen)
        if low < -0.05 or high > 1.05:
            raise NotYet(f"expected features of sRGB values 0..1, got features of values from {low:.4g} to {high:.4g}")
        wanted = fid(*(features(lab_to_rgb(lab)) for lab in (predicted, true)))
        expect(f"for a set with {what} against the true one", got, wanted, 1e-4 + 0.02 * wanted)


colour_fid = Exercise(
    "colour_fid",
    _check_colour_fid,
    hints=[
        "What do the features expect, and what do they get? Look at the smallest and largest values.",
        "Take both sets to sRGB 0..1 first, with colorlib.color.lab_to_rgb. Scaling Lab to 0..1 is not the same: the "
        "features would see colours that nobody has shown.",
    ],
)
