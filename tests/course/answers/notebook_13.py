"""Right and wrong answers to the exercises of notebook 13, each wrong one with what its feedback says."""

import numpy as np
import skimage
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from colorlib.color import lab_to_rgb, rgb_to_lab, split_lab, to_float, to_uint8
from colorlib.course import bugs
from colorlib.losses import bce_d_loss, bce_g_loss, clip_weights, gradient_penalty, l1_loss
from colorlib.metrics import fid

# --- 1 -------------------------------------------------------------------------------------------------------------


def _total(change=lambda fake: fake, adversarial=bce_g_loss, weights=lambda lam: (1, lam), frozen=None):
    def g_total(generator, discriminator, L, real_ab, lambda_l1):
        fake_ab = generator(L)
        if frozen:
            discriminator.requires_grad_(False)
        fooled = adversarial(discriminator(torch.cat([L, change(fake_ab)], 1)))
        if frozen == "for a while":
            discriminator.requires_grad_(True)
        of_d, of_l1 = weights(lambda_l1)
        return of_d * fooled + of_l1 * l1_loss(fake_ab, real_ab)

    return g_total


def _deaf(generator, discriminator, L, real_ab, lambda_l1):
    fake_ab = generator(L)
    with torch.no_grad():
        fooled = bce_g_loss(discriminator(torch.cat([L, fake_ab], 1)))
    return fooled + lambda_l1 * l1_loss(fake_ab, real_ab)


def _real(scores):
    return binary_cross_entropy_with_logits(scores, torch.ones_like(scores))


def _fake(scores):
    return binary_cross_entropy_with_logits(scores, torch.zeros_like(scores))


# --- 2 -------------------------------------------------------------------------------------------------------------


def _never_reached(network, x):
    network.zero_grad()
    network(x).square().sum().backward()
    return any(p.grad is None for p in network.parameters())


def _unused(network, x):
    found = torch.autograd.grad(network(x).sum(), list(network.parameters()), allow_unused=True)
    return torch.tensor([g is None for g in found]).any()


def _no_step_back(network, x):
    network.zero_grad()
    network(x).sum().backward()
    return any(p.grad is None or not p.grad.any() for p in network.parameters())


def _stays(network, x, steps=1):
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()
    return any(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


# --- 3 -------------------------------------------------------------------------------------------------------------


def _step(loss, *, clip=True, zero=True, returns=lambda estimate: estimate.item()):
    def critic_step(critic, optimizer, real, fake):
        estimate = critic(real).mean() - critic(fake).mean()
        if zero:
            optimizer.zero_grad()
        loss(estimate).backward()
        optimizer.step()
        if clip:
            clip_weights(critic, 0.1)
        return returns(estimate)

    return critic_step


def _by_hand(critic, optimizer, real, fake):
    scores = critic(torch.cat([real, fake]))[:, 0]
    estimate = scores[: len(real)].mean() - scores[len(real) :].mean()
    optimizer.zero_grad(set_to_none=True)
    estimate.backward()
    for weight in critic.parameters():
        weight.grad.neg_()
    optimizer.step()
    with torch.no_grad():
        for weight in critic.parameters():
            weight.copy_(weight.clip(-0.1, 0.1))
    return estimate.detach()


def _trained(step, steps=30):
    rng = torch.Generator().manual_seed(0)
    critic = nn.Linear(1, 1)
    nn.init.constant_(critic.weight, 0.05)
    optimizer = torch.optim.SGD(critic.parameters(), 0.001)
    real, fake = 2 + torch.randn(64, 1, generator=rng), torch.randn(64, 1, generator=rng) - 2
    returned = [step(critic, optimizer, real, fake) for _ in range(steps)]
    return critic, real, fake, returned


def _backwards(step):
    critic, real, fake, _ = _trained(step)
    return bool(critic(real).mean() < critic(fake).mean())


def _backwards_by_pairs(step):
    critic, _, _, _ = _trained(step, 100)
    return critic.weight.detach()[0] < 0


# --- 4 and 5 -------------------------------------------------------------------------------------------------------


def _penalty(norm, *, at=None, graph=True, cost=lambda n: (n - 1).square().mean()):
    def penalty(critic, L, real_ab, fake_ab, rng):
        alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng) if at is None else at
        mixed = (alpha * real_ab + (1 - alpha) * fake_ab).detach().requires_grad_()
        scores = critic(torch.cat([L, mixed], 1)).flatten(1).mean(1)
        (gradient,) = torch.autograd.grad(scores.sum(), mixed, create_graph=graph, retain_graph=True)
        return cost(norm(gradient))

    return penalty


def _library_penalty(critic, L, real_ab, fake_ab, rng):
    return gradient_penalty(critic, L, real_ab, fake_ab, rng=rng)


def _mix(draw):
    def mix(real_ab, fake_ab, rng):
        alpha = draw(real_ab, rng)
        return alpha * real_ab + (1 - alpha) * fake_ab

    return mix


def _uniform(real, rng):
    return torch.rand(len(real), 1, 1, 1, generator=rng)


def _normal(real, rng):
    return torch.randn(len(real), 1, 1, 1, generator=rng)


# --- 7 -------------------------------------------------------------------------------------------------------------


def _order(photos, seed):
    return torch.randperm(len(photos), generator=torch.Generator().manual_seed(seed))


def _cut_once(photos, seed):
    order = _order(photos, seed)
    n = len(photos) // 5
    return photos[order[n:]], photos[order[:n]]


def _by_mask(photos, seed):
    test = np.zeros(len(photos), dtype=bool)
    test[np.random.default_rng(seed).choice(len(photos), len(photos) // 5, replace=False)] = True
    return [photos[torch.from_numpy(~test)], photos[torch.from_numpy(test)]]


def _leaked(train, test):
    both = {photo.numpy().tobytes() for photo in torch.cat([train, train.flip(-1)])}
    return sum(photo.numpy().tobytes() in both for photo in test)


def _leaked_by_distance(train, test):
    t, both = test.flatten(1).double(), torch.cat([train, train.flip(-1)]).flatten(1).double()
    return (torch.cdist(t, both).amin(1) < 0.5).sum()


def _equal(train, test):
    return (train[:, None] == test[None]).flatten(2).all(2)


# --- 8 to 10 -------------------------------------------------------------------------------------------------------


def _decode(lab8):
    lab = lab8.double()
    return lab[:, :1] / 127.5 - 1, (lab[:, 1:] - 128) / 110


def _decode_by_numpy(lab8):
    lab = lab8.numpy().astype(np.float32)
    return lab[:, :1] * 100 / 255 / 50 - 1, (lab[:, 1:] - 128.0) / 110


def _critic(*middle, last=None):
    def build_critic(width):
        layers = [layer(width) for layer in middle]
        return nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), *layers, last or nn.Conv2d(width, 1, 4, 2, 1))

    return build_critic


def _act(width):
    return nn.LeakyReLU(0.2)


class _Stubborn(nn.Module):
    """Stays in eval mode, whatever it is told."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.BatchNorm2d(width).eval()

    def train(self, mode=True):
        return self

    def forward(self, x):
        return self.norm(x)


def _mixes(critic, x):
    critic.train()
    other = x.clone()
    other[0] = 5 * torch.randn_like(x[0])
    return bool((critic(x)[1:] - critic(other)[1:]).abs().max() > 1e-6)


def _mixes_by_gradient(critic, x):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic.train()(x)[0].sum(), x)
    return gradient[1:].any()


def _has_batch_norm(critic, x):
    return any(isinstance(layer, nn.BatchNorm2d) for layer in critic.modules())


def _mixes_as_it_is(critic, x):
    return bool((critic(x)[:1] - critic(x[:1])).abs().max() > 1e-6)


def _fid(to_rgb):
    return lambda predicted, true, features: fid(features(to_rgb(predicted)), features(to_rgb(true)))


def _by_skimage(lab):
    return torch.from_numpy(skimage.color.lab2rgb(lab.movedim(1, -1).numpy())).movedim(-1, 1)


def _luma(rgb):
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return (weights * rgb).sum(1, keepdim=True) / 127.5 - 1


RIGHT = [
    ("g_total", _total()),
    ("g_total", _total(adversarial=_real)),
    ("g_total", _total(frozen="for a while")),
    ("residual_forward", lambda block, x: (block.branch(x) + x).clamp(min=0)),
    ("residual_forward", lambda block, x: torch.relu(torch.add(x, block.branch(x)))),
    ("has_cut_weights", _never_reached),
    ("has_cut_weights", _unused),
    ("has_cut_weights", lambda network, x: _stays(network, x, 3)),
    ("critic_step", _step(lambda estimate: -estimate)),
    ("critic_step", _by_hand),
    ("is_backwards", _backwards),
    ("is_backwards", _backwards_by_pairs),
    ("penalty", _penalty(lambda g: g.flatten(1).norm(dim=1))),
    ("penalty", _penalty(lambda g: g.square().sum((1, 2, 3)).sqrt())),
    ("penalty", _library_penalty),
    ("mix", _mix(_uniform)),
    ("mix", lambda real, fake, rng: torch.lerp(real, fake, _uniform(real, rng))),
    ("mix", _mix(lambda real, rng: torch.empty(len(real), 1, 1, 1).uniform_(generator=rng))),
    ("network_input", lambda rgb: split_lab(to_float(rgb))[0]),
    ("network_input", lambda rgb: skimage.color.rgb2lab(rgb.movedim(1, -1).numpy())[..., 0][:, None] / 50 - 1),
    ("split", _cut_once),
    ("split", _by_mask),
    ("leaked", _leaked),
    ("leaked", _leaked_by_distance),
    ("decode", _decode),
    ("decode", _decode_by_numpy),
    ("build_critic", _critic(_act)),
    ("build_critic", _critic(lambda w: nn.InstanceNorm2d(w, affine=True), _act)),
    ("build_critic", _critic(lambda w: nn.LayerNorm([w, 8, 8]), _act)),
    ("build_critic", _critic(_Stubborn, _act)),
    ("samples_mix", _mixes),
    ("samples_mix", _mixes_by_gradient),
    ("samples_mix", lambda critic, x: _mixes_as_it_is(critic.train(), x)),
    ("colour_fid", _fid(lab_to_rgb)),
    ("colour_fid", _fid(_by_skimage)),
    ("colour_fid", _fid(lambda lab: to_float(to_uint8(lab_to_rgb(lab))))),
]

WRONG = [
    # the bug itself; cut off in another way; the number alone; the wrong target; lambda on the other term; D frozen
    ("g_total", _deaf, "with lambda 10, gradient in the generator: expected the norm"),
    ("g_total", _total(lambda fake: fake.detach()), "gradient in the generator: expected the norm"),
    ("g_total", _total(lambda fake: fake.detach().requires_grad_()), "gradient in the generator: expected the norm"),
    ("g_total", lambda *a: _total()(*a).item(), "expected a tensor that carries its gradient, got"),
    ("g_total", lambda *a: _total()(*a).detach(), "expected a gradient in the generator, got a result that carries"),
    ("g_total", _total(adversarial=_fake), "with lambda 10: expected"),
    ("g_total", _total(adversarial=lambda s: -bce_d_loss(s, s)), "with lambda 10: expected"),
    ("g_total", _total(weights=lambda lam: (lam, 1)), "with lambda 10: expected"),
    ("g_total", _total(frozen="for good"), "expected a discriminator that can be trained afterwards, got a frozen one"),
    ("g_total", 3.0, "expected a function, got 3"),
    # the bug; the identity detached instead; the branch's input detached; no relu; the branch alone
    (
        "residual_forward",
        lambda b, x: torch.relu(x + b.branch(x).detach()),
        "gradient in the branch: expected the norm",
    ),
    ("residual_forward", lambda b, x: torch.relu(x.detach() + b.branch(x)), "gradient in the input: expected the norm"),
    ("residual_forward", lambda b, x: torch.relu(x + b.branch(x.detach())), "gradient in the input: expected the norm"),
    ("residual_forward", lambda b, x: x + b.branch(x), "the output: expected"),
    ("residual_forward", lambda b, x: torch.relu(b.branch(x)), "the output: expected"),
    ("residual_forward", lambda b, x: x.mean(), "expected the shape (2, 3, 6, 6), got ()"),
    # takes a gradient of 0 for none; one step only; asks whether gradients are wanted; always yes; the names
    ("has_cut_weights", _no_step_back, "a weight that starts at 0: expected False, got True"),
    ("has_cut_weights", _stays, "a weight that starts at 0: expected False, got True"),
    (
        "has_cut_weights",
        lambda network, x: not all(p.requires_grad for p in network.parameters()),
        "a block whose branch is detached: expected True, got False",
    ),
    ("has_cut_weights", lambda network, x: True, "a block without a bug: expected False, got True"),
    ("has_cut_weights", lambda network, x: ["branch.0.weight"], "expected True, got ['branch.0.weight']"),
    ("has_cut_weights", lambda network, x: "skip" in dict(network.named_children()), "expected True, got False"),
    # the bug; the sign of the return value only; an absolute value; no clip; no zero_grad; twice reversed
    ("critic_step", bugs.reversed_step, "from a critic that had fakes above: expected"),
    ("critic_step", _step(lambda e: e, returns=lambda e: -e.item()), "step 1 returns (of before the step): expected"),
    ("critic_step", _step(lambda e: -e.abs()), "from a critic that had fakes above: expected"),
    ("critic_step", _step(lambda e: -e, clip=False), "expected no weight beyond 0.1, got one of"),
    ("critic_step", _step(lambda e: -e, zero=False), "after step 2, from a critic that had fakes above: expected"),
    ("critic_step", _step(lambda e: -e, returns=lambda e: -e.item()), "step 1 returns (of before the step): expected"),
    ("critic_step", lambda c, o, r, f: (c(r).mean() - c(f).mean()).item(), "after step 1: expected no weight beyond"),
    # trusts the return value; its trend; one way round; knows one name; no answer
    ("is_backwards", lambda step: _trained(step)[3][-1] < 0, "which returns an absolute value: expected True"),
    (
        "is_backwards",
        lambda step: _trained(step)[3][-1] < _trained(step)[3][0],
        "expected",
    ),
    ("is_backwards", lambda step: not _backwards(step), "minimises the estimate: expected True, got False"),
    ("is_backwards", lambda step: step is bugs.reversed_step, "real and fake swapped"),
    ("is_backwards", lambda step: False, "expected True, got False"),
    ("is_backwards", lambda step: "yes", "expected True, got 'yes'"),
    # the bug (a pixel's norm); channels and rows; the whole batch; the square; one-sided; constant; at one end only
    ("penalty", _penalty(lambda g: g.norm(dim=1)), "have the norms 1, 1, 1: expected 0, got"),
    ("penalty", _penalty(lambda g: g.norm(dim=(1, 2))), "have the norms 1, 1, 1: expected 0, got"),
    ("penalty", _penalty(lambda g: g.norm()), "have the norms 1, 1, 1: expected 0, got 0.53"),
    ("penalty", _penalty(lambda g: g.flatten(1).square().sum(1)), "have the norms 3, 3, 3: expected 4, got 64"),
    (
        "penalty",
        _penalty(lambda g: g.flatten(1).norm(dim=1), cost=lambda n: (n - 1).clamp(min=0).square().mean()),
        "have the norms 0.5, 2, 1: expected 0.41667, got 0.33333",
    ),
    (
        "penalty",
        _penalty(lambda g: g.flatten(1).norm(dim=1).mean(), cost=lambda n: (n - 1).square()),
        "have the norms 0.5, 2, 1: expected 0.41667, got 0.02",
    ),
    ("penalty", _penalty(lambda g: g.flatten(1).norm(dim=1), graph=False), "expected a gradient in its weights, got"),
    ("penalty", _penalty(lambda g: g.flatten(1).norm(dim=1), at=0.0), "at the fake: expected 0.33333, got 0"),
    (
        "penalty",
        _penalty(lambda g: g.flatten(1).norm(dim=1), cost=lambda n: (n - 1).square()),
        "expected the shape (), got (3,)",
    ),
    # the bug; cut to 0..1; squashed; folded; one a pixel; one for the batch; the middle; not from rng; only part of it
    ("mix", _mix(_normal), "between real and fake, got 66% of the values outside"),
    ("mix", _mix(lambda real, rng: _normal(real, rng).clamp(0, 1)), "expected shares spread evenly from 0 to 1"),
    ("mix", _mix(lambda real, rng: _normal(real, rng).sigmoid()), "expected shares spread evenly from 0 to 1"),
    ("mix", _mix(lambda real, rng: _normal(real, rng).abs() % 1), "expected shares spread evenly from 0 to 1"),
    ("mix", _mix(lambda real, rng: torch.rand(real.shape, generator=rng)), "one share for all values of a sample, got"),
    ("mix", _mix(lambda real, rng: torch.rand(1, generator=rng)), "expected a share of its own for each sample, got"),
    ("mix", _mix(lambda real, rng: 0.5), "expected a share of its own for each sample, got 0.500"),
    ("mix", _mix(lambda real, rng: torch.rand(len(real), 1, 1, 1)), "the same samples from two equal rngs"),
    ("mix", lambda real, fake, rng: _uniform(real, rng), "expected the shape (8000, 2, 2, 3), got (8000, 1, 1, 1)"),
    # the bug; another channel; the mean; luma; L of 0..100; relative luminance
    (
        "network_input",
        lambda rgb: rgb[:, :1].float() / 127.5 - 1,
        "all pure red: expected 0.064812 at (0, 0, 0, 0), got 1",
    ),
    ("network_input", lambda rgb: rgb[:, 1:2].float() / 127.5 - 1, "all pure red: expected"),
    ("network_input", lambda rgb: rgb.float().mean(1, keepdim=True) / 127.5 - 1, "expected"),
    ("network_input", _luma, "all pure red: expected"),
    (
        "network_input",
        lambda rgb: rgb_to_lab(to_float(rgb))[:, :1],
        "a picture all white: expected 1 at (0, 0, 0, 0), got 100",
    ),
    (
        "network_input",
        lambda rgb: rgb_to_lab(to_float(rgb))[:, :1] / 100,
        "a picture all pure red: expected 0.064812 at (0, 0, 0, 0), got 0.53241",
    ),
    ("network_input", lambda rgb: split_lab(to_float(rgb.flip(1)))[0], "a picture all pure red: expected"),
    ("network_input", lambda rgb: split_lab(to_float(rgb)), "expected"),
    # the bug; two orders; the same cut from the front; not shuffled; with replacement; indices; swapped
    (
        "split",
        lambda photos, seed: (photos[_order(photos, seed)[10:]], photos[:10]),
        "expected no test photograph in the training set, got",
    ),
    (
        "split",
        lambda photos, seed: (photos[_order(photos, seed)[10:]], photos[_order(photos, seed + 9)[:10]]),
        "expected no test photograph in the training set, got",
    ),
    ("split", lambda photos, seed: (photos, photos[:10]), "in the training set, got 10 of them"),
    ("split", lambda photos, seed: (photos[10:], photos[:10]), "expected another test set for another seed"),
    ("split", lambda photos, seed: (photos[10:40], photos[:10]), "expected each of 50 photographs once, got 40"),
    ("split", lambda photos, seed: _cut_once(photos, seed)[::-1], "are for testing: expected 10, got 40"),
    (
        "split",
        lambda photos, seed: (_order(photos, seed)[10:], _order(photos, seed)[:10]),
        "expected photographs of the shape (3, 6, 8), got ()",
    ),
    ("split", lambda photos, seed: photos, "expected the pair (train, test), got a tensor"),
    # no mirror images; the order; all pairs; the share; the mean colour
    ("leaked", lambda train, test: int(_equal(train, test).any(0).sum()), "mirrored before it was cut: expected 20"),
    ("leaked", lambda train, test: int((train[: len(test)] == test[: len(train)]).all()), "expected 7, got 0"),
    (
        "leaked",
        lambda train, test: int(_equal(torch.cat([train, train.flip(-1)]), test).sum()),
        "3 of these twice: expected 7, got 10",
    ),
    ("leaked", lambda train, test: _leaked(train, test) / len(test), "expected 7, got 0.7"),
    ("leaked", lambda train, test: _leaked(test, train), "3 of these twice: expected 7, got 10"),
    ("leaked", lambda train, test: "many", "got 'many'"),
    # the bug; 128 after the division; uint8 that wraps; 127; swapped; L of 0..255; L untouched
    ("decode", lambda lab8: (_decode(lab8)[0], lab8[:, 1:] / 110), "ab for black, (0, 128, 128): expected 0"),
    ("decode", lambda lab8: (_decode(lab8)[0], lab8[:, 1:] / 110 - 128), "ab for black, (0, 128, 128): expected 0"),
    ("decode", lambda lab8: (_decode(lab8)[0], (lab8[:, 1:] - 128) / 110), "ab for a blue, (82, 207, 20): expected"),
    ("decode", lambda lab8: (_decode(lab8)[0], (lab8[:, 1:].float() - 127) / 110), "expected 0 at"),
    ("decode", lambda lab8: (_decode(lab8)[0], lab8[:, 1:] / 128 - 1), "ab for a red, (136, 208, 195): expected"),
    ("decode", lambda lab8: (_decode(lab8)[0], _decode(lab8)[1].flip(1)), "ab for a red, (136, 208, 195): expected"),
    ("decode", lambda lab8: (lab8[:, :1] / 50 - 1, _decode(lab8)[1]), "L for white, (255, 128, 128): expected 1"),
    ("decode", lambda lab8: torch.cat(_decode(lab8), 1), "expected the pair (L, ab), got a tensor"),
    # the bug; eval mode once; no running statistics; only one of two removed; nothing nonlinear left; blind; no network
    ("build_critic", _critic(nn.BatchNorm2d, _act), "in training: expected no gradient of a score on other samples"),
    ("build_critic", lambda w: _critic(nn.BatchNorm2d, _act)(w).eval(), "expected no gradient of a score on other"),
    (
        "build_critic",
        _critic(lambda w: nn.BatchNorm2d(w, track_running_stats=False), _act),
        "expected no gradient of a score on other samples, got",
    ),
    ("build_critic", _critic(lambda w: nn.BatchNorm2d(w, momentum=0.0), _act), "on other samples, got"),
    (
        "build_critic",
        _critic(_act, last=nn.Sequential(nn.LazyConv2d(1, 4), nn.BatchNorm2d(1))),
        "on other samples, got",
    ),
    ("build_critic", _critic(), "that depend on their sample, and not linearly, got others"),
    ("build_critic", _critic(_act, last=nn.LazyConv2d(3, 4)), "expected scores (6, 1, ...), got"),
    ("build_critic", lambda w: _act, "expected a network, got a function"),
    # looks for a name; the mode that it came in; always; a number
    ("samples_mix", _has_batch_norm, "adds the spread of the batch as a channel: expected True, got False"),
    ("samples_mix", _mixes_as_it_is, "batch norm that came in eval mode: expected True, got False"),
    ("samples_mix", lambda critic, x: True, "a critic without norm: expected False, got True"),
    ("samples_mix", lambda critic, x: not _mixes(critic, x), "with batch norm: expected True, got False"),
    ("samples_mix", lambda critic, x: critic(x), "expected True, got a tensor of shape"),
    # the bug; scaled to 0..1; one of the two; 0..255; channels in another order; not a FID
    ("colour_fid", _fid(lambda lab: lab), "expected features of sRGB values 0..1, got features of values from"),
    ("colour_fid", _fid(lambda lab: (lab + 128) / 256), "against the true one: expected"),
    (
        "colour_fid",
        lambda predicted, true, features: fid(features(lab_to_rgb(predicted)), features(true)),
        "expected features of sRGB values 0..1, got",
    ),
    ("colour_fid", _fid(lambda lab: 255 * lab_to_rgb(lab)), "expected features of sRGB values 0..1, got"),
    ("colour_fid", _fid(lambda lab: lab_to_rgb(lab).flip(1)), "against the true one: expected"),
    (
        "colour_fid",
        lambda p, t, features: (features(lab_to_rgb(p)) - features(lab_to_rgb(t))).square().sum(1).mean(),
        "against the true one: expected",
    ),
    # no function at all
    *((name, torch.ones(2), "expected a function, got a tensor of shape (2,)") for name in dict(RIGHT)),
]
