"""Losses as functions of tensors: adversarial losses, gradient penalty, weight clipping, L1 and perceptual loss.

Each `*_d_loss(real, fake)` is the sum of a term for real and a term for fake samples. `real` and `fake` are the logits
of a discriminator, or the scores of a critic for the Wasserstein losses, and may have any shape. All losses are
computed in fp32, also under autocast. In the equations, E is the mean over all entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


def bce_d_loss(real: Float[Tensor, "*n"], fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E log D(real) - E log(1 - D(fake)) with D = sigmoid(logits): Goodfellow et al. 2014, equation 1.

    A discriminator that cannot tell real from fake (all logits 0) has a loss of 2 ln 2 = 1.386.
    """
    # softplus(x) = log(1 + e^x) = -log sigmoid(-x), and 1 - sigmoid(x) = sigmoid(-x).
    return nn.functional.softplus(-real.float()).mean() + nn.functional.softplus(fake.float()).mean()


def bce_g_loss(fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E log D(fake), the non-saturating loss of the generator (Goodfellow et al. 2014, section 3)."""
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
    """E C(fake) - E C(real): Arjovsky et al. 2017, equation 2, with the sign reversed because it is minimised here.

    If the critic is 1-Lipschitz, the negative of this loss is a lower bound of the Wasserstein distance: the estimate
    of the critic.
    """
    return fake.float().mean() - real.float().mean()


def wasserstein_g_loss(fake: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """-E C(fake): Arjovsky et al. 2017, algorithm 1."""
    return -fake.float().mean()


@dataclass(frozen=True)
class AdversarialLoss:
    """The loss of the discriminator, `d(real_logits, fake_logits)`, and that of the generator, `g(fake_logits)`."""

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
    """Compute the gradient penalty, the mean of (|gradient| - 1)^2: Gulrajani et al. 2017, equation 3.

    The gradient is that of the critic's score at a random point between a real and a fake sample. Real and fake share
    the same L, so that only ab is interpolated, with one uniform alpha for each sample, and the gradient is with
    respect to ab. The score of a sample is the mean of its map of scores. The norm of the gradient is the L2 norm over
    all ab values of the sample.

    The input of the critic is `cat([L, ab], 1)`. For a critic without condition, which sees ab alone, pass `L[:, :0]`,
    which has no channels. The penalty is differentiable with respect to the weights of the critic; `fake_ab` gets no
    gradient. It is always computed in fp32, because squared gradients underflow in fp16. `rng` may be on another
    device than the images.
    """
    alpha = torch.rand(len(real_ab), 1, 1, 1, generator=rng, device=rng.device if rng else "cpu")
    alpha = alpha.to(real_ab.device)
    with torch.autocast(real_ab.device.type, enabled=False):
        mixed = alpha * real_ab.detach().float() + (1 - alpha) * fake_ab.detach().float()
        mixed.requires_grad_()
        scores = critic(torch.cat([L.float(), mixed], dim=1)).flatten(1).mean(dim=1)
        # The score of a sample must not depend on the other samples (it would with batch norm). The gradient of the
        # sum of all scores then contains the gradient of each sample's own score.
        (gradient,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, c: float) -> None:
    """Clamp every parameter of the critic to -c..c, in place: Arjovsky et al. 2017, algorithm 1, line 7.

    All parameters are clamped, as in the paper, also the biases and the scales of norm layers. These scales begin near
    1, and the first call reduces them to c, so that each norm layer makes the score much smaller. A critic with
    clipped weights should therefore have `norm="none"`. Raises ValueError unless c is above 0.
    """
    if not c > 0:
        raise ValueError(f"expected the clip limit c to be above 0, got {c}; try 0.01")
    for parameter in critic.parameters():
        parameter.clamp_(-c, c)


def l1_loss(pred_ab: Float[Tensor, "b c h w"], true_ab: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean absolute difference: Isola et al. 2017, equation 3.

    The prediction that minimises it is the median of the possible values of ab.
    """
    return (pred_ab.float() - true_ab.float()).abs().mean()


def perceptual_loss(
    features: Callable[[Tensor], Tensor | Sequence[Tensor]],
) -> Callable[[Tensor, Tensor], Tensor]:
    """Build a loss `(pred_rgb, true_rgb) -> scalar` that compares two batches by the feature maps of a network.

    `features` maps sRGB in 0..1 `(b, 3, h, w)` to one feature map or several. The loss is the sum over these maps of
    the mean squared difference (Johnson et al. 2016, equation 2). You provide the extractor: a frozen network in eval
    mode, for example the first layers of a VGG, which must normalise its input itself.
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
