"""Compare losses with closed forms, theorems of their papers, finite differences and optimal transport."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN
from colorlib.generators import BackboneUNet, ResUNet, UNet
from colorlib.losses import (
    ADVERSARIAL_LOSSES,
    HINGE,
    LSGAN,
    VANILLA,
    WASSERSTEIN,
    AdversarialLoss,
    bce_d_loss,
    bce_g_loss,
    clip_weights,
    gradient_penalty,
    hinge_d_loss,
    hinge_g_loss,
    l1_loss,
    lsgan_d_loss,
    lsgan_g_loss,
    perceptual_loss,
    wasserstein_d_loss,
    wasserstein_g_loss,
)


def normal(*shape: int, key: str = "x") -> Tensor:
    return torch.randn(shape, generator=make_rng(key))


def uniform(*shape: int, key: str = "x") -> Tensor:
    return 2 * torch.rand(shape, generator=make_rng(key)) - 1


# --- adversarial losses -------------------------------------------------------------------------------------------

REAL, FAKE = torch.tensor([[2.0, -0.5], [0.25, 3.0]]), torch.tensor([-1.5, 0.5, 4.0])


def mean_of(function, logits: Tensor) -> float:
    return sum(function(x) for x in logits.flatten().tolist()) / logits.numel()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# The losses in plain Python, as in the papers: (real term, fake term, generator's term).
BY_HAND = {
    "vanilla": (lambda x: -math.log(sigmoid(x)), lambda x: -math.log(1 - sigmoid(x)), lambda x: -math.log(sigmoid(x))),
    "lsgan": (lambda x: (x - 1) ** 2, lambda x: x**2, lambda x: (x - 1) ** 2),
    "hinge": (lambda x: max(0, 1 - x), lambda x: max(0, 1 + x), lambda x: -x),
    "wasserstein": (lambda x: -x, lambda x: x, lambda x: -x),
}


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_a_loss_equals_its_formula_and_d_has_the_sum_of_both_terms(name: str) -> None:
    loss, (on_real, on_fake, for_g) = ADVERSARIAL_LOSSES[name], BY_HAND[name]
    expected = mean_of(on_real, REAL) + mean_of(on_fake, FAKE)
    assert loss.d(REAL, FAKE).item() == pytest.approx(expected, rel=1e-6)
    assert loss.g(FAKE).item() == pytest.approx(mean_of(for_g, FAKE), rel=1e-6)


def test_the_pairs_and_their_table() -> None:
    assert ADVERSARIAL_LOSSES == {"vanilla": VANILLA, "lsgan": LSGAN, "hinge": HINGE, "wasserstein": WASSERSTEIN}
    assert AdversarialLoss(bce_d_loss, bce_g_loss) == VANILLA
    assert AdversarialLoss(lsgan_d_loss, lsgan_g_loss) == LSGAN
    assert AdversarialLoss(hinge_d_loss, hinge_g_loss) == HINGE
    assert AdversarialLoss(wasserstein_d_loss, wasserstein_g_loss) == WASSERSTEIN


def test_an_undecided_discriminator() -> None:
    zero = torch.zeros(3, 1, 4, 4)
    assert bce_d_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert bce_g_loss(zero).item() == pytest.approx(math.log(2))
    assert lsgan_d_loss(zero + 0.5, zero + 0.5).item() == pytest.approx(0.5)
    assert hinge_d_loss(zero, zero).item() == 2
    assert wasserstein_d_loss(zero, zero).item() == 0


def test_the_best_discriminator_measures_the_jensen_shannon_divergence() -> None:
    """Goodfellow et al. 2014, theorem 1: with D = p / (p + q), the loss is 2 ln 2 - 2 JSD(p, q)."""
    p, q = torch.tensor([1, 2, 3, 4]), torch.tensor([4, 3, 2, 1])  # ten samples of each of two distributions
    logits = torch.log(p / q)
    loss = bce_d_loss(logits.repeat_interleave(p), logits.repeat_interleave(q))
    middle = (p + q) / 20
    divergence = sum((r / 10 * torch.log(r / 10 / middle)).sum() / 2 for r in (p, q))
    assert loss.item() == pytest.approx(2 * math.log(2) - 2 * divergence.item(), rel=1e-5)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_and_gradients_are_finite_fp32_for_extreme_logits(name: str, dtype: torch.dtype) -> None:
    logits = torch.tensor([-1e4, -100, 0, 100, 1e4], dtype=dtype).requires_grad_()
    loss = ADVERSARIAL_LOSSES[name]
    total = loss.d(logits, -logits) + loss.g(logits)
    total.backward()
    assert total.dtype == torch.float32 and total.isfinite() and logits.grad.isfinite().all()


def test_the_generators_bce_does_not_saturate() -> None:
    """Where D is sure that a sample is fake, log(1 - D) has no slope, but -log D has slope 1."""
    logits = torch.tensor(-30.0).requires_grad_()
    bce_g_loss(logits).backward()
    assert logits.grad.item() == pytest.approx(-1)


# --- Wasserstein distance -----------------------------------------------------------------------------------------


class Potential(nn.Module):
    """The best 1-Lipschitz critic between two samples on a line: its slope is +1 or -1, as mass moves left or right."""

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        super().__init__()
        self.knots = torch.cat([real, fake]).sort().values
        middles = (self.knots[1:] + self.knots[:-1]) / 2
        real_below = (real[None] < middles[:, None]).double().mean(1)
        fake_below = (fake[None] < middles[:, None]).double().mean(1)
        rises = torch.sign(fake_below - real_below) * self.knots.diff()
        self.heights = torch.cat([torch.zeros(1), rises.cumsum(0)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.interp(x.numpy(), self.knots.numpy(), self.heights.numpy()))


@pytest.mark.parametrize("shift", [-2.5, 0.3])
def test_a_linear_critic_measures_the_transport_of_a_shift(shift: float) -> None:
    real = normal(40)
    fake = real[torch.randperm(40, generator=make_rng("order"))] + shift
    slope = -math.copysign(1, shift)  # the score is higher for real samples
    by_sorting = (real.sort().values - fake.sort().values).abs().mean().item()
    distance = -wasserstein_d_loss(slope * real, slope * fake).item()
    assert distance == pytest.approx(wasserstein_distance(real, fake), rel=1e-5)
    assert distance == pytest.approx(by_sorting, rel=1e-5)


def test_the_best_critic_reaches_the_wasserstein_distance_and_no_linear_one_exceeds_it() -> None:
    real, fake = normal(60, key="real").double(), (0.3 * normal(45, key="fake") + 0.5).double()
    truth = wasserstein_distance(real, fake)
    critic = Potential(real, fake)
    assert -wasserstein_d_loss(critic(real), critic(fake)).item() == pytest.approx(truth, rel=1e-5)
    for slope in (-1.0, 0.4, 1.0):
        assert -wasserstein_d_loss(slope * real, slope * fake).item() <= truth


# --- gradient penalty ---------------------------------------------------------------------------------------------


def smooth_critic(channels: int = 3) -> nn.Sequential:
    """A critic with a 3x3 map at 8 px. Its penalty is smooth in its weights, as finite differences require."""
    critic = nn.Sequential(nn.Conv2d(channels, 4, 4, 2), nn.Softplus(beta=3), nn.Conv2d(4, 1, 1))
    for parameter in critic.parameters():
        with torch.no_grad():
            parameter.normal_(0, 0.7, generator=make_rng("critic", *parameter.shape))
    return critic


def triple(batch: int = 3, size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    shape = (batch, 2, size, size)
    return uniform(batch, 1, size, size, key="L"), uniform(*shape, key="real"), uniform(*shape, key="fake")


def test_penalty_of_a_linear_critic_with_a_map_is_known() -> None:
    """The mean over the map of a convolution is linear. Its gradient is the sum of the kernel at every position."""
    critic = nn.Conv2d(3, 1, 3, stride=2)
    for parameter in critic.parameters():
        nn.init.normal_(parameter, 0, 0.8, generator=make_rng("linear"))
    L, real, fake = triple(size=9)
    gradient = np.zeros((3, 9, 9))
    kernel = critic.weight.detach().double().numpy()[0]
    for row in range(4):
        for column in range(4):
            gradient[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += kernel / 16
    norm = np.linalg.norm(gradient[1:])  # without the gradient with respect to L
    penalty = gradient_penalty(critic, L, real, fake, rng=make_rng(0))
    assert critic(torch.cat([L, real], 1)).shape[-2:] == (4, 4)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=1e-5)

    # d(norm - 1)^2 / dw = 2 (norm - 1) / norm * sum over positions of the gradient below the kernel / 16
    penalty.backward()
    below = sum(
        gradient[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] for row in range(4) for column in range(4)
    )
    expected = 2 * (norm - 1) / norm * below / 16
    expected[0] = 0
    assert np.allclose(critic.weight.grad[0].numpy(), expected, atol=1e-6)


def test_penalty_equals_a_second_implementation() -> None:
    """The second implementation computes each sample alone, in double precision, with autograd's Jacobian."""
    critic = smooth_critic()
    L, real, fake = triple()
    penalty = gradient_penalty(critic, L, real, fake, rng=make_rng("alpha"))
    alpha = torch.rand(3, generator=make_rng("alpha"))
    double = smooth_critic().double()
    norms = []
    for i in range(3):
        mixed = (alpha[i] * real[i] + (1 - alpha[i]) * fake[i]).double()
        score = lambda ab, i=i: double(torch.cat([L[i].double(), ab])[None]).mean()  # noqa: E731
        norms.append(torch.autograd.functional.jacobian(score, mixed).square().sum().sqrt().item())
    assert penalty.item() == pytest.approx(np.mean([(norm - 1) ** 2 for norm in norms]), rel=1e-4)


def test_penalty_gradient_agrees_with_finite_differences() -> None:
    critic, images = smooth_critic(), triple()

    def penalty() -> Tensor:
        return gradient_penalty(critic, *images, rng=make_rng("alpha"))

    penalty().backward()
    for name, parameter in critic.named_parameters():
        if name == "2.bias":  # this bias shifts the score and does not change its gradient
            assert parameter.grad is None
            continue
        direction = normal(*parameter.shape, key=name)
        values = {}
        for step in (-2, -1, 1, 2):
            with torch.no_grad():
                parameter.add_(direction, alpha=0.02 * step)
            values[step] = penalty().item()
            with torch.no_grad():
                parameter.sub_(direction, alpha=0.02 * step)
        slope = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * 0.02)
        assert slope == pytest.approx((parameter.grad * direction).sum().item(), rel=5e-3, abs=1e-4), name


@pytest.mark.parametrize("norm", ["layer", "instance", "spectral", "none"])
def test_second_order_gradients_reach_every_weight_of_the_critic(norm: str) -> None:
    """Biases are reached only with a norm. Without it, the critic is piecewise linear, and a bias changes no slope."""
    critic = PatchGAN(receptive_field=34, width=8, norm=norm, rng=make_rng("critic"))
    gradient_penalty(critic, *triple(size=32)).backward()
    reached = {name for name, p in critic.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    weights = {name for name, _ in critic.named_parameters() if "weight" in name}
    assert weights <= reached
    if norm in ("layer", "instance"):
        assert "layers.1.1.bias" in reached


def test_penalty_is_taken_between_real_and_fake_ab_with_the_same_lightness() -> None:
    seen = []

    def critic(lab: Tensor) -> Tensor:
        seen.append(lab.detach())
        return lab[:, 1:].square()

    L, real, fake = triple(batch=50)
    gradient_penalty(critic, L, real, fake, rng=make_rng("alpha"))
    (lab,) = seen
    assert torch.equal(lab[:, :1], L)
    alpha = (lab[:, 1:] - fake) / (real - fake)
    alpha = alpha.flatten(1).median(dim=1).values
    assert torch.allclose(lab[:, 1:], torch.lerp(fake, real, alpha[:, None, None, None]), atol=1e-5)
    assert alpha.min() > 0 and alpha.max() < 1 and len(alpha.unique()) == 50
    assert alpha.mean().item() == pytest.approx(0.5, abs=0.15)


def test_penalty_of_a_critic_that_ignores_colour_is_one_and_finite() -> None:
    critic = nn.Conv2d(3, 1, 1)
    nn.init.zeros_(critic.weight)
    penalty = gradient_penalty(critic, *triple())
    penalty.backward()
    assert penalty.item() == 1
    assert critic.weight.grad.isfinite().all()


def test_penalty_of_a_critic_without_condition() -> None:
    critic = smooth_critic(2)
    L, real, fake = triple()
    alone = gradient_penalty(critic, L[:, :0], real, fake, rng=make_rng(1))
    wrapped = gradient_penalty(lambda lab: critic(lab[:, 1:]), L, real, fake, rng=make_rng(1))
    assert alone.item() == wrapped.item()


def test_penalty_stays_in_fp32_under_autocast_and_takes_half_precision_fakes() -> None:
    critic = smooth_critic()
    L, real, fake = triple()
    fake = fake.bfloat16().requires_grad_()
    expected = gradient_penalty(critic, L, real, fake.float(), rng=make_rng(2))
    with torch.autocast("cpu", torch.bfloat16):
        penalty = gradient_penalty(critic, L, real, fake, rng=make_rng(2))
    assert penalty.dtype == torch.float32 and penalty.item() == expected.item()
    penalty.backward()
    assert fake.grad is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_penalty_draws_the_same_numbers_on_every_device() -> None:
    critic, images = smooth_critic(), triple()
    on_cpu = gradient_penalty(critic, *images, rng=make_rng(3)).item()
    on_gpu = gradient_penalty(critic.cuda(), *(image.cuda() for image in images), rng=make_rng(3)).item()
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)


# --- the others ---------------------------------------------------------------------------------------------------


def test_clipping_applies_to_every_parameter_and_changes_only_larger_values() -> None:
    critic = PatchGAN(receptive_field=16, width=8, norm="batch", rng=make_rng("clip"))
    before = {name: parameter.detach().clone() for name, parameter in critic.named_parameters()}
    parameters = list(critic.parameters())
    clip_weights(critic, 0.01)
    for name, parameter in critic.named_parameters():
        assert np.array_equal(
            parameter.detach().numpy(), np.clip(before[name].numpy(), np.float32(-0.01), np.float32(0.01))
        )
    assert max(p.abs().max() for p in before.values()) > 0.9  # the scales of the norm layers
    assert all(a is b for a, b in zip(parameters, critic.parameters(), strict=True))
    with pytest.raises(ValueError, match="above 0, got -1"):
        clip_weights(critic, -1)


def test_l1_is_the_mean_absolute_difference_and_its_minimum_is_the_median() -> None:
    pred, true = uniform(2, 2, 5, 7, key="pred"), uniform(2, 2, 5, 7, key="true")
    assert l1_loss(pred, true).item() == pytest.approx(np.abs(pred.numpy() - true.numpy()).mean(), rel=1e-6)
    assert l1_loss(pred.half(), true).dtype == torch.float32
    truths = torch.tensor([0.0, 0.1, 0.9]).view(3, 1, 1, 1)
    guesses = torch.linspace(0, 1, 101)
    errors = [l1_loss(guess.expand(3, 1, 1, 1), truths).item() for guess in guesses]
    assert guesses[int(np.argmin(errors))].item() == pytest.approx(0.1)


def test_perceptual_loss_is_the_mean_squared_difference_of_the_maps() -> None:
    pred, true = torch.rand(2, 3, 8, 8, requires_grad=True), torch.rand(2, 3, 8, 8, requires_grad=True)
    grey = lambda rgb: rgb.mean(1, keepdim=True)  # noqa: E731
    by_hand = lambda x, y: ((x - y) ** 2).mean()  # noqa: E731
    one = perceptual_loss(grey)(pred, true)
    assert torch.allclose(one, by_hand(grey(pred), grey(true)))
    two = perceptual_loss(lambda rgb: [rgb, nn.functional.avg_pool2d(rgb, 2)])(pred, true)
    pooled = [nn.functional.avg_pool2d(rgb, 2) for rgb in (pred, true)]
    assert torch.allclose(two, by_hand(pred, true) + by_hand(*pooled))
    two.backward()
    assert true.grad is None and pred.grad.abs().sum() > 0
    assert perceptual_loss(grey)(true, true).item() == 0
    counts = iter([[1], [1, 2]])  # an extractor that returns more maps for one batch than for the other
    with pytest.raises(ValueError, match="shorter"):
        perceptual_loss(lambda rgb: [rgb for _ in next(counts)])(pred, true)


GENERATORS = {
    "unet": lambda rng: UNet(depth=5, width=8, rng=rng),
    "resunet": lambda rng: ResUNet(width=8, rng=rng),
    "backbone": lambda rng: BackboneUNet(width=4, rng=rng),
}


@pytest.mark.parametrize("generator_name", GENERATORS)
def test_the_adversarial_gradient_reaches_every_parameter_of_the_generator(generator_name: str) -> None:
    generator = GENERATORS[generator_name](make_rng("generator"))
    discriminator = PatchGAN(receptive_field=16, width=8, rng=make_rng("discriminator")).requires_grad_(False)
    L = uniform(2, 1, 32, 32)
    scores = discriminator(torch.cat([L, generator(L)], 1))
    for name, loss in ADVERSARIAL_LOSSES.items():
        gradients = torch.autograd.grad(loss.g(scores), list(generator.parameters()), retain_graph=True)
        for (parameter_name, _), gradient in zip(generator.named_parameters(), gradients, strict=True):
            assert gradient.abs().sum() > 0, (name, parameter_name)
