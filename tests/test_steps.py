"""One step: against the same step written out by hand, and against closed forms."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import make_source
from torch import Tensor, nn

from benchmarks.counting import measure
from colorlib.checkpoints import load_checkpoint
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
    rate_factor,
)
from colorlib.training import Trainer

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


@pytest.mark.parametrize("change", [{"tone": 0.8}, {"noise": 2.0}])
def test_augmented_lightness_keeps_its_colours(recipe: Recipe, change: dict[str, float]) -> None:
    """G sees other greys with the same colours, D the same greys as G; another step draws other numbers."""
    batch = images(4)
    seen = seen_in_steps(Networks(recipe.replace(**change), 0, CPU), batch, steps=(0, 0, 1))
    L, ab = split_lab(to_float(batch))
    assert all(torch.equal(other, ab) for _, other in seen)
    assert (seen[0][0] - L).abs().amax(dim=(1, 2, 3)).min() > 0.01  # no picture stays as it is
    assert torch.equal(seen[0][0], seen[1][0]) and torch.equal(seen[0][0], seen[2][0])
    assert not torch.equal(seen[0][0], seen[4][0])


def test_blurred_lightness_keeps_its_colours(recipe: Recipe) -> None:
    batch = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = seen_in_steps(Networks(recipe.replace(blur=1.0), 0, CPU), batch, steps=(0,))
    L, ab = split_lab(to_float(batch))
    assert all(torch.equal(other, ab) and torch.equal(greys, seen[0][0]) for greys, other in seen)
    assert seen[0][0].std() < 0.5 * L.std()


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


# --- rates over the training, and an encoder of its own -------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 1, 1, 0.5, 0]),
        ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
    ],
)
def test_learning_rates_follow_the_schedule(recipe: Recipe, schedule: str, expected: list[float]) -> None:
    """At 0, 1/4, ... of the training; the closed forms are those of the published code and paper."""
    networks = Networks(recipe.replace(lr_schedule=schedule, lr_g=3e-4, lr_d=2e-4), 0, CPU)
    for progress, factor in zip((0, 0.25, 0.5, 0.75, 1), expected, strict=True):
        assert rate_factor(schedule, progress) == pytest.approx(factor)
        networks.train_step([images(4)], 0, progress=progress)
        rates = [
            group["lr"] for name in ("optimizer_g", "optimizer_d") for group in networks._optimizers[name].param_groups
        ]
        assert rates == pytest.approx([factor * 3e-4, factor * 2e-4])


def test_at_rate_zero_nothing_changes(recipe: Recipe) -> None:
    networks = Networks(recipe.replace(lr_schedule="linear"), 0, CPU)
    before = copy.deepcopy(networks.generator)
    networks.train_step([images(4)], 0, progress=1.0)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), networks.generator.parameters(), strict=True))


def test_weight_decay_shrinks_the_generators_weights(recipe: Recipe) -> None:
    """Loshchilov and Hutter 2019, algorithm 2: beside Adam's step, each weight loses lr * decay of itself."""
    plain, decayed = (Networks(recipe.replace(dropout=0.0, weight_decay=decay), 0, CPU) for decay in (0.0, 50.0))
    before = copy.deepcopy(plain.generator)
    for networks in (plain, decayed):
        networks.train_step([images(4)], 0)
    parts = (before.parameters(), plain.generator.parameters(), decayed.generator.parameters())
    for start, without, shrunk in zip(*parts, strict=True):
        assert torch.allclose(shrunk, without - 2e-4 * 50 * start, atol=1e-6)
    of_d = (networks.d_loss.discriminator.parameters() for networks in (plain, decayed))
    assert all(torch.equal(a, b) for a, b in zip(*of_d, strict=True))


@pytest.fixture
def on_encoder(recipe: Recipe) -> Recipe:
    return recipe.replace(
        generator="backbone", backbone="efficientnet_lite0", pretrained=True, encoder_lr=0.1, encoder_frozen=0.5,
        dropout=0.2, batch_size=2,
    )  # fmt: skip


def changed(before: nn.Module, after: nn.Module) -> list[str]:
    """Names of the weights and statistics that differ."""
    now = after.state_dict()
    return [name for name, tensor in before.state_dict().items() if not torch.equal(tensor, now[name])]


@pytest.mark.slow
def test_a_frozen_encoder_stays_as_it_is_and_thaws(on_encoder: Recipe) -> None:
    networks = Networks(on_encoder, 0, CPU)
    before = copy.deepcopy(networks.generator)
    networks.train_step([images(2)], 0, progress=0.49)
    assert changed(before.stages, networks.generator.stages) == []
    assert {name for name, _ in before.decoder.named_parameters()} <= set(
        changed(before.decoder, networks.generator.decoder)
    )
    networks.train_step([images(2)], 1, progress=0.5)
    # Its weights move, batch norm's statistics do not.
    assert set(changed(before.stages, networks.generator.stages)) == {
        name for name, _ in before.stages.named_parameters()
    }


@pytest.mark.slow
def test_the_encoder_has_a_rate_of_its_own_and_at_zero_stays(on_encoder: Recipe) -> None:
    slow = Networks(on_encoder.replace(encoder_lr=0.1), 0, CPU)
    slow.train_step([images(2)], 0, progress=0.5)
    assert [group["lr"] for group in slow._optimizers["optimizer_g"].param_groups] == pytest.approx([2e-5, 2e-4])
    fixed = Networks(on_encoder.replace(encoder_lr=0.0, encoder_frozen=0.0, weight_decay=0.1), 0, CPU)
    before = copy.deepcopy(fixed.generator)
    fixed.train_step([images(2)], 0, progress=0.9)
    assert changed(before.stages, fixed.generator.stages) == []
    assert all(p.grad is None for p in fixed.generator.stages.parameters())  # nothing was computed for it


def test_groups_list_the_parameters_in_the_generators_own_order(on_encoder: Recipe) -> None:
    """Checkpoints number an optimizer's averages; those of old runs on a backbone were of one group."""
    networks = Networks(on_encoder, 0, CPU)
    listed = [p for group in networks._optimizers["optimizer_g"].param_groups for p in group["params"]]
    own = list(networks.generator.parameters())
    assert len(listed) == len(own) and all(a is b for a, b in zip(listed, own, strict=True))


def test_calibration_leaves_the_statistics_of_a_pretrained_encoder(on_encoder: Recipe) -> None:
    networks = Networks(on_encoder.replace(ema_decay=0.9), 0, CPU)
    before = copy.deepcopy(networks.generator)
    networks.calibrate([images(4)])
    averaged = networks.average.module
    assert changed(before.stages, averaged.stages) == []
    assert any("running_mean" in name for name in changed(before.decoder, averaged.decoder))
    assert not any(module.training for module in averaged.modules())


def test_a_discriminator_at_a_coarser_scale_sees_averages(recipe: Recipe) -> None:
    """Losses, penalty and G's adversarial term equal those of averaged pictures; D's gradient reaches every pixel."""
    critic = recipe.replace(adversarial="wasserstein", lambda_gp=10.0, norm="none", d_scale=4, receptive_field=1)
    coarse = Networks(critic, 0, CPU).d_loss
    plain = DiscriminatorLoss(coarse.discriminator, critic.replace(d_scale=1))
    L, real = split_lab(to_float(images(4)))
    fake = (-real).requires_grad_()
    small = [F.avg_pool2d(x, 4) for x in (L, real, fake)]
    got = coarse(L, real, fake.detach(), torch.Generator().manual_seed(0))
    expected = plain(*(x.detach() for x in small), torch.Generator().manual_seed(0))
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)
    term = generator_losses(L, real, fake, coarse)
    assert torch.equal(term["g_adversarial"], plain.recipe.loss.g(plain.score(small[0], small[2])))
    assert term["l1"].item() == pytest.approx((fake - real).abs().mean().item())
    (gradient,) = torch.autograd.grad(term["g_adversarial"], fake)
    assert gradient.ne(0).all() and torch.allclose(
        gradient, gradient[..., ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3)
    )


def test_a_trainer_tells_each_step_the_share_that_is_done(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    step = Networks.train_step
    monkeypatch.setattr(
        Networks, "train_step", lambda *a, progress, **k: seen.append(progress) or step(*a, progress=progress, **k)
    )
    for _ in Trainer(recipe.replace(adversarial="none", steps=4), make_source(), device="cpu").run(3):
        pass
    assert seen == [0, 0.25, 0.5]
    counted = Trainer(recipe.replace(adversarial="none", minutes=2.0), make_source(), device="cpu")
    for counted.seconds, share in ((0.0, 0.0), (30.0, 0.25), (999.0, 1.0)):
        assert counted.progress == share


@pytest.mark.slow
def test_a_run_with_frozen_encoder_and_schedule_resumes_bit_for_bit(tmp_path: Path, on_encoder: Recipe) -> None:
    """Interrupted before the encoder thaws, after three of six steps, and again after that."""
    recipe = on_encoder.replace(
        steps=6, weight_decay=0.05, lr_schedule="cosine", ema_decay=0.9, blur=0.5, noise=0.1, d_scale=2
    )
    source = make_source()

    def train(trainer: Trainer, steps: int | None = None) -> None:
        for _ in trainer.run(steps):
            pass

    train(Trainer(recipe, source, out=tmp_path / "whole", device="cpu"))
    train(Trainer(recipe, source, out=tmp_path / "cut", device="cpu"), 2)
    train(Trainer.resume(tmp_path / "cut", source, device="cpu"), 2)
    train(Trainer.resume(tmp_path / "cut", source, device="cpu"))
    whole, resumed = (load_checkpoint(tmp_path / name)[0] for name in ("whole", "cut"))
    assert whole.keys() == resumed.keys()
    for group, tensors in whole.items():
        assert tensors.keys() == resumed[group].keys()
        assert [name for name, tensor in tensors.items() if not torch.equal(tensor, resumed[group][name])] == [], group


@pytest.mark.slow
def test_memory_is_measured_with_the_encoder_in_training(on_encoder: Recipe) -> None:
    frozen, free = (measure(on_encoder.replace(encoder_frozen=share), CPU) for share in (0.5, 0.0))
    assert frozen == free
