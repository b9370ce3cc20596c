"""One step: against the same step written out by hand, and against closed forms."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from conftest import make_source
from torch import Tensor, nn

from colorlib.color import split_lab, to_float
from colorlib.losses import gradient_penalty
from colorlib.recipes import Recipe
from colorlib.steps import (
    DiscriminatorLoss,
    Networks,
    adversarial_share,
    clipped_share,
    generator_losses,
    generator_total,
    gradient_norm,
)

CPU = torch.device("cpu")


def images(n: int, seed: int = 0) -> Tensor:
    return make_source(n=n, size=16, seed=seed).images(range(n))


class Constant(nn.Module):
    """A discriminator whose score is a weight times the mean of what it sees."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.mean(dim=(1, 2, 3), keepdim=True)


def test_a_step_equals_the_step_written_out(recipe: Recipe) -> None:
    """pix2pix in plain PyTorch, one optimizer after the other; the same weights after two steps."""
    networks = Networks(recipe.replace(lambda_l1=1.0), 0, CPU)  # at 100, the adversarial term would hardly show
    g, d = copy.deepcopy(networks.generator), copy.deepcopy(networks.d_loss.discriminator)
    adam_g, adam_d = (torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in (g, d))
    for step in range(2):
        batch = images(4, seed=step)
        torch.manual_seed(step)
        networks.train_step([batch], step)

        torch.manual_seed(step)
        L, real = split_lab(to_float(batch))
        fake = g(L)
        score_real, score_fake = d(torch.cat([L, real], 1)), d(torch.cat([L, fake.detach()], 1))
        ones, zeros = torch.ones_like(score_real), torch.zeros_like(score_real)
        bce = F.binary_cross_entropy_with_logits
        adam_d.zero_grad()
        (0.5 * (bce(score_real, ones) + bce(score_fake, zeros))).backward()
        adam_d.step()
        adam_g.zero_grad()
        (bce(d(torch.cat([L, fake], 1)), ones) + F.l1_loss(fake, real)).backward()
        adam_g.step()
    # atol: Adam divides by gradients that may be all rounding; a wrong step differs by 2e-4, the learning rate
    for mine, theirs in ((g, networks.generator), (d, networks.d_loss.discriminator)):
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert (a - b).abs().mean() < 2e-6


def test_the_critic_is_updated_on_each_batch_and_the_generator_on_the_last(recipe: Recipe) -> None:
    recipe = recipe.replace(adversarial="wasserstein", lambda_gp=10.0, n_critic=2, norm="none", dropout=0.0)
    both, last = Networks(recipe, 0, CPU), Networks(recipe, 0, CPU)
    seen = []
    original = both.update_discriminator
    both.update_discriminator = lambda *a, **k: seen.append(a[0].clone()) or original(*a, **k)
    first_batch, last_batch = images(4, 1), images(4, 2)
    values = both.train_step([first_batch, last_batch], 0)
    assert len(seen) == 2 and torch.equal(seen[1], split_lab(to_float(last_batch))[0])
    L, real = split_lab(to_float(last_batch))
    assert values["l1"].item() == pytest.approx((last.generator.train()(L) - real).abs().mean().item(), abs=1e-3)


def seen_in_steps(networks: Networks, batch: Tensor, steps: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """L and true ab as each step's update of D and then of G gets them; nothing is trained."""
    seen: list[tuple[Tensor, Tensor]] = []
    networks.update_discriminator = lambda L, ab, *a, **k: seen.append((L, ab)) or {}
    networks.update_generator = lambda L, ab, *a, **k: seen.append((L, ab)) or {}
    for step in steps:
        networks.train_step([batch], step)
    return seen


def test_a_tone_curve_changes_the_lightness_alone(recipe: Recipe) -> None:
    """G sees other greys with the same colours, D the same greys as G; another step draws other curves."""
    batch = images(4)
    seen = seen_in_steps(Networks(recipe.replace(tone=0.8), 0, CPU), batch, steps=(0, 0, 1))
    L, ab = split_lab(to_float(batch))
    assert all(torch.equal(other, ab) for _, other in seen)
    assert (seen[0][0] - L).abs().amax(dim=(1, 2, 3)).min() > 0.01  # every picture has a curve of its own
    assert torch.equal(seen[0][0], seen[1][0]) and torch.equal(seen[0][0], seen[2][0])
    assert not torch.equal(seen[0][0], seen[4][0])


def test_a_rectangle_of_another_picture_brings_its_colours(recipe: Recipe) -> None:
    """G and D see one mixed picture, the same for a step taken again; all of its pixels are of the batch."""
    batch = images(4)
    seen = seen_in_steps(Networks(recipe.replace(cutmix=1.0), 0, CPU), batch, steps=(0, 0, 1))
    mixed, pictures = (torch.cat(pair, 1) for pair in (seen[0], split_lab(to_float(batch))))
    own, other = (mixed == pictures).all(1), (mixed == pictures.roll(1, 0)).all(1)
    assert (own | other).all() and not own.all() and not other.all()
    assert all(torch.equal(a, b) for i in (1, 2, 3) for a, b in zip(seen[0], seen[i], strict=True))
    assert not torch.equal(seen[0][1], seen[4][1])


def test_discriminator_loss_closed_forms(recipe: Recipe) -> None:
    L, ab = split_lab(to_float(images(4)))
    undecided = DiscriminatorLoss(Constant(0.0), recipe)
    losses = undecided(L, ab, -ab)
    assert losses["d_loss"].item() == pytest.approx(2 * math.log(2))
    assert undecided.total(losses).item() == pytest.approx(math.log(2))
    assert losses["wasserstein"].item() == 0

    critic = recipe.replace(adversarial="wasserstein", lambda_gp=10.0, d_loss_weight=1.0)
    loss = DiscriminatorLoss(Constant(3.0), critic)
    rng = torch.Generator().manual_seed(0)
    losses = loss(L, ab, -ab, rng)
    expected = 3 * (torch.cat([L, ab], 1).mean() - torch.cat([L, -ab], 1).mean()).item()
    assert losses["wasserstein"].item() == pytest.approx(expected, rel=1e-4)
    assert losses["d_loss"].item() == pytest.approx(-expected, rel=1e-4)
    # the gradient of 3 * mean over 3 * 16 * 16 entries, on the 2 * 16 * 16 of ab
    slope = 3 / (3 * 256) * math.sqrt(2 * 256)
    assert losses["penalty"].item() == pytest.approx((slope - 1) ** 2, rel=1e-4)
    assert loss.total(losses).item() == pytest.approx(-expected + 10 * (slope - 1) ** 2, rel=1e-4)


def test_accuracies_count_patches_on_the_right_side(recipe: Recipe) -> None:
    L = torch.zeros(4, 1, 2, 2)
    ab = torch.tensor([1.0, 1.0, 1.0, -1.0]).view(4, 1, 1, 1).expand(4, 2, 2, 2)
    losses = DiscriminatorLoss(Constant(1.0), recipe)(L, ab, ab)
    assert (losses["d_real_accuracy"].item(), losses["d_fake_accuracy"].item()) == (0.75, 0.25)


def test_an_unconditional_discriminator_sees_ab_alone(recipe: Recipe) -> None:
    recipe = recipe.replace(conditional=False, adversarial="wasserstein", lambda_gp=1.0, norm="none")
    networks = Networks(recipe, 0, CPU)
    L, ab = split_lab(to_float(images(2)))
    scores = networks.d_loss.score(L, ab)
    assert torch.equal(scores, networks.d_loss.score(-L, ab)) and networks.d_loss.discriminator(ab).equal(scores)
    penalty = gradient_penalty(lambda x: networks.d_loss.discriminator(x[:, 1:]), L, ab, -ab, rng=torch.Generator())
    assert torch.isfinite(penalty)


def test_the_share_of_the_adversary_is_the_ratio_of_the_two_gradients(recipe: Recipe) -> None:
    """Score: w times the mean of 3 n entries, so each ab entry gets w / (3 n b); L1 gives lambda / (2 n b) to each."""
    recipe = recipe.replace(adversarial="wasserstein", lambda_l1=10.0)
    L, real = split_lab(to_float(images(2)))
    fake = (real + 0.1).requires_grad_()
    losses = generator_losses(L, real, fake, DiscriminatorLoss(Constant(6.0), recipe))
    assert adversarial_share(losses, recipe, fake).item() == pytest.approx((6 / 3) / (10 / 2), rel=1e-4)
    assert generator_total(losses, recipe).item() == pytest.approx(10 * 0.1 + losses["g_adversarial"].item(), rel=1e-4)
    without = recipe.replace(lambda_l1=0.0)
    assert math.isnan(adversarial_share(losses, without, fake).item())


def test_measures_of_a_module() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.01, 0.002]]))
        layer.bias.fill_(-0.01)
    assert clipped_share(layer, 0.01).item() == pytest.approx(2 / 3)
    layer(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert gradient_norm(layer).item() == pytest.approx(math.sqrt(9 + 16 + 1))


def test_columns_name_everything_a_step_measures(recipe: Recipe) -> None:
    wgan = {"adversarial": "wasserstein", "clip": 0.01, "lambda_gp": 1.0, "norm": "none"}
    for changes in ({}, {"adversarial": "none"}, wgan):
        networks = Networks(recipe.replace(**changes), 0, CPU)
        values = networks.train_step([images(4)], 0, diagnose=True)
        assert set(values) == set(networks.columns())


def test_clipping_holds_after_every_update(recipe: Recipe) -> None:
    networks = Networks(recipe.replace(adversarial="wasserstein", clip=0.01), 0, CPU)
    networks.train_step([images(4)], 0)
    assert max(p.abs().max().item() for p in networks.d_loss.parameters()) <= 0.01


def test_bf16_stays_near_fp32(recipe: Recipe) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        networks = Networks(recipe.replace(precision=precision, dropout=0.0), 0, CPU)
        losses[precision] = networks.train_step([images(4)], 0)
    for name in ("l1", "d_loss", "g_adversarial"):
        assert losses["bf16"][name].dtype == torch.float32
        torch.testing.assert_close(losses["bf16"][name], losses["fp32"][name], rtol=0.02, atol=0.01)
