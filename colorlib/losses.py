"""Losses as functions of tensors: adversarial pairs, the gradient penalty, weight clipping, L1 and perceptual.

A `*_d_loss(real, fake)` is the sum of its two terms, and `real` and `fake` are the logits of a discriminator (for
Wasserstein: the scores of a critic) of any shape. All of them compute in fp32, whatever autocast is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


def bce_d_loss(real: Float[Tensor, "*n"], fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E log D(real) - E log(1 - D(fake)) with D = sigmoid(logits): Goodfellow et al. 2014, equation 1.

    softplus(x) = log(1 + e^x) = -log sigmoid(-x). Undecided (logits 0): 2 ln 2 = 1.386.
    """
    return nn.functional.softplus(-real.float()).mean() + nn.functional.softplus(fake.float()).mean()


def bce_g_loss(fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E log D(fake), the generator's loss that does not saturate (Goodfellow et al. 2014, section 3)."""
    return nn.functional.softplus(-fake.float()).mean()


def lsgan_d_loss(real: Float[Tensor, "*n"], fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """E (D(real) - 1)^2 + E D(fake)^2: Mao et al. 2017, equation 9 times two, with real = 1 and fake = 0."""
    return (real.float() - 1).square().mean() + fake.float().square().mean()


def lsgan_g_loss(fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """E (D(fake) - 1)^2: Mao et al. 2017, equation 9 times two."""
    return (fake.float() - 1).square().mean()


def hinge_d_loss(real: Float[Tensor, "*n"], fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """E max(0, 1 - D(real)) + E max(0, 1 + D(fake)): Miyato et al. 2018, equation 16."""
    return nn.functional.relu(1 - real.float()).mean() + nn.functional.relu(1 + fake.float()).mean()


def hinge_g_loss(fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E D(fake): Miyato et al. 2018, equation 17."""
    return -fake.float().mean()


def wasserstein_d_loss(real: Float[Tensor, "*n"], fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """E C(fake) - E C(real): Arjovsky et al. 2017, equation 2, with the sign turned for minimising.

    Its negative is the critic's estimate of the Wasserstein distance, from below, if the critic is 1-Lipschitz.
    """
    return fake.float().mean() - real.float().mean()


def wasserstein_g_loss(fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E C(fake): Arjovsky et al. 2017, algorithm 1."""
    return -fake.float().mean()


@dataclass(frozen=True)
class AdversarialLoss:
    """What the discriminator minimises, `d(real_logits, fake_logits)`, and the generator, `g(fake_logits)`."""

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor], Tensor]


VANILLA = AdversarialLoss(bce_d_loss, bce_g_loss)
LSGAN = AdversarialLoss(lsgan_d_loss, lsgan_g_loss)
HINGE = AdversarialLoss(hinge_d_loss, hinge_g_loss)
WASSERSTEIN = AdversarialLoss(wasserstein_d_loss, wasserstein_g_loss)
ADVERSARIAL_LOSSES = {"vanilla": VANILLA, "lsgan": LSGAN, "hinge": HINGE, "wasserstein": WASSERSTEIN}


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    L: Float[Tensor, "b c h w"],
    real_ab: Float[Tensor, "b 2 h w"],
    fake_ab: Float[Tensor, "b 2 h w"],
    *,
    rng: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Mean of (|gradient of a sample's score| - 1)^2 between real and fake: Gulrajani et al. 2017, equation 3.

    The critic sees `cat([L, ab], 1)` (an `L[:, :0]` of no channels leaves ab alone, for a critic without condition).
    Real and fake share their L, so that only ab is interpolated, by one uniform alpha a sample, and the gradient is
    with respect to ab. A sample's score is the mean of its map, and the norm is the L2 norm over all ab values of the
    sample. Differentiable with respect to the critic's weights; `fake_ab` gets no gradient.

    Always fp32: squared gradients of fp16 underflow. `rng` may live on another device than the images.
    """
    alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng, device=rng.device if rng else "cpu")
    alpha = alpha.to(real_ab.device)
    with torch.autocast(real_ab.device.type, enabled=False):
        mixed = alpha * real_ab.detach().float() + (1 - alpha) * fake_ab.detach().float()
        mixed.requires_grad_()
        scores = critic(torch.cat([L.float(), mixed], dim=1)).flatten(1).mean(dim=1)
        # The sum's gradient holds every sample's own gradient, for no sample's score depends on another sample.
        (gradient,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, c: float) -> None:
    """Clamp every parameter of the critic to -c..c, in place: Arjovsky et al. 2017, algorithm 1, line 7.

    Every one, as in the paper: biases, and also the scales of norm layers, which begin near 1 and are cut to c at the
    first call, so that the score shrinks with every norm. A clipped critic is better off with `norm="none"`.
    """
    if not c > 0:
        raise ValueError(f"expected a clip above 0, got {c}; try 0.01")
    for parameter in critic.parameters():
        parameter.clamp_(-c, c)


def l1_loss(pred_ab: Float[Tensor, "b c h w"], true_ab: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean absolute difference: Isola et al. 2017, equation 3. Its minimiser is the median of what could be there."""
    return (pred_ab.float() - true_ab.float()).abs().mean()


def perceptual_loss(
    features: Callable[[Tensor], Tensor | Sequence[Tensor]],
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function `(pred_rgb, true_rgb) -> scalar` that compares images by what `features` sees in them.

    `features` takes sRGB 0..1 `(b, 3, h, w)` and gives one map or several; the loss is the sum over the maps of the
    mean squared difference (Johnson et al. 2016, equation 2). The extractor is yours: any frozen network in eval
    mode, such as the first layers of a VGG that normalises its own input.
    """

    def maps(rgb: Tensor) -> list[Tensor]:
        found = features(rgb)
        return [found] if isinstance(found, Tensor) else list(found)

    def loss(pred_rgb: Float[Tensor, "b 3 h w"], true_rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        with torch.no_grad():
            wanted = maps(true_rgb.detach())
        got = maps(pred_rgb)
        return torch.stack(
            [nn.functional.mse_loss(g.float(), w.float()) for g, w in zip(got, wanted, strict=True)]
        ).sum()

    return loss
