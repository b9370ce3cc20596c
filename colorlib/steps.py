"""One training step: the losses of D and G, the ratio of their gradients, and the two updates.

The generator G predicts ab from the lightness L. The discriminator D scores patches of `cat([L, ab], 1)`, so that it
can judge whether the colours fit the lightness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from colorlib import distributed
from colorlib.augmentation import CUTMIX_NUMBERS, TONE_NUMBERS, add_noise, blur, cutmix, tone_curve
from colorlib.blocks import fixed_statistics
from colorlib.checkpoints import load_weights, pack_optimizer, unpack_optimizer
from colorlib.color import split_lab, to_float
from colorlib.devices import autocast, make_rng, pick_precision
from colorlib.errors import CheckpointError
from colorlib.generators import BackboneUNet
from colorlib.losses import clip_weights, gradient_penalty, l1_loss
from colorlib.recipes import Recipe, build_discriminator, build_generator

Losses = dict[str, Tensor]


class DiscriminatorLoss(nn.Module):
    """A discriminator together with its loss. One call computes the scores of real and fake and the gradient penalty.

    Training with several processes wraps this module in DistributedDataParallel, which expects one forward pass and
    one backward pass in each step. The two passes of batch norm and the double backward of the penalty are therefore
    computed inside, on the discriminator without a wrapper.
    """

    def __init__(self, discriminator: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.discriminator, self.recipe = discriminator, recipe

    def forward(
        self,
        L: Float[Tensor, "b 1 h w"],
        real_ab: Float[Tensor, "b 2 h w"],
        fake_ab: Float[Tensor, "b 2 h w"],
        rng: torch.Generator | None = None,
    ) -> Losses:
        """Return the named losses without their weights, the accuracies of D, and its estimate of the distance.

        `fake_ab` must be detached from G, because D's update must not change G.
        """
        loss = self.recipe.loss
        assert loss is not None, "a recipe without an adversarial loss has no discriminator"
        L, real_ab, fake_ab = self._shrunk(L), self._shrunk(real_ab), self._shrunk(fake_ab)
        real, fake = (self._critic(torch.cat([L, ab], 1)) for ab in (real_ab, fake_ab))
        # L_D, for example -E[ln D(L, ab)] - E[ln(1 - D(L, G(L)))] for the vanilla loss (Goodfellow et al. 2014).
        losses = {"d_loss": loss.d(real, fake)}
        # E[(||grad D(L, x)|| - 1)^2] at points x between real and fake ab (Gulrajani et al. 2017, equation 3).
        if self.recipe.lambda_gp:
            losses["penalty"] = gradient_penalty(self._critic, L, real_ab, fake_ab, rng=rng)
        # A logit above 0 means "real". The difference of the mean scores is the critic's estimate of the Wasserstein
        # distance (Arjovsky et al. 2017, equation 2); for other losses it is only a measure of how far D has separated
        # real from fake.
        with torch.no_grad():
            losses["d_real_accuracy"] = (real > 0).float().mean()
            losses["d_fake_accuracy"] = (fake < 0).float().mean()
            losses["wasserstein"] = real.float().mean() - fake.float().mean()
        return losses

    def score(self, L: Tensor, ab: Tensor) -> Tensor:
        """Return the logits `(B, 1, h, w)` of ab on its lightness, both in the resolution of the photograph."""
        return self._critic(self._shrunk(torch.cat([L, ab], 1)))

    def _shrunk(self, image: Tensor) -> Tensor:
        """Average the image over blocks of `d_scale` pixels.

        A G that predicts ab at a quarter of the resolution paints smoother than any photograph. At full resolution D
        would recognise it by this blur and would not need to learn anything about colours.
        """
        scale = self.recipe.d_scale
        return image if scale == 1 else nn.functional.avg_pool2d(image, scale)

    def _critic(self, lab: Tensor) -> Tensor:
        # An unconditional D sees ab alone, so it cannot judge whether the colours fit the lightness.
        return self.discriminator(lab if self.recipe.conditional else lab[:, 1:])

    def total(self, losses: Losses) -> Tensor:
        """Return the loss that D minimises: its weighted adversarial loss plus the weighted gradient penalty."""
        total = self.recipe.d_loss_weight * losses["d_loss"]
        return total + self.recipe.lambda_gp * losses["penalty"] if "penalty" in losses else total


def generator_losses(
    L: Float[Tensor, "b 1 h w"],
    real_ab: Float[Tensor, "b 2 h w"],
    fake_ab: Float[Tensor, "b 2 h w"],
    d_loss: DiscriminatorLoss | None,
) -> Losses:
    """Return the named losses of G without their weights: `l1` and, if there is a discriminator, `g_adversarial`."""
    losses = {"l1": l1_loss(fake_ab, real_ab)}
    if d_loss is not None:
        loss = d_loss.recipe.loss
        assert loss is not None, "a recipe without an adversarial loss has no discriminator"
        # For the vanilla loss this is -E[ln D(L, G(L))], the non-saturating form (Goodfellow et al. 2014, section 3).
        losses["g_adversarial"] = loss.g(d_loss.score(L, fake_ab))
    return losses


def generator_total(losses: Losses, recipe: Recipe) -> Tensor:
    """Return the loss that G minimises: lambda_l1 * L1 + adversarial loss (Isola et al. 2017, equation 4)."""
    total = recipe.lambda_l1 * losses["l1"]
    return total + losses["g_adversarial"] if "g_adversarial" in losses else total


def adversarial_share(losses: Losses, recipe: Recipe, fake_ab: Tensor) -> Tensor:
    """Return the norm of the adversarial gradient on ab, divided by the norm of the weighted L1 gradient on ab.

    The ratio tells which of the two terms decides the colours. If it is near 0, D has no influence and the training is
    an L1 regression. The result is NaN if the L1 term has no gradient.
    """
    # Both gradients are taken on the prediction itself, not on the weights: there they are of the same kind, and cost
    # no pass through G. `retain_graph` keeps the graph for the backward pass of the update.
    (adversarial,) = torch.autograd.grad(losses["g_adversarial"], fake_ab, retain_graph=True)
    (pixelwise,) = torch.autograd.grad(recipe.lambda_l1 * losses["l1"], fake_ab, retain_graph=True)
    return torch.where(pixelwise.norm() > 0, adversarial.norm() / pixelwise.norm(), torch.nan)


def clipped_share(module: nn.Module, bound: float) -> Tensor:
    """Return the share of a critic's weights that are at the clipping bound.

    If it is near 1, nearly all weights are +bound or -bound, and the critic can express only very simple functions
    (Gulrajani et al. 2017, section 3).
    """
    weights = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    return (weights.abs() >= bound).float().mean()


def gradient_norm(module: nn.Module) -> Tensor:
    """Return the Euclidean norm of all gradients of a module."""
    return torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm()


def rate_factor(schedule: str, progress: float) -> float:
    """Return the factor of the learning rates when the share `progress` (0..1) of the training is done.

    `linear` is the schedule of pix2pix's published code: constant in the first half, then a straight line to 0.
    `cosine` is equation 5 of Loshchilov and Hutter 2017, "SGDR", without restarts.
    """
    if schedule == "linear":
        return min(1.0, 2 * (1 - progress))
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    return 1.0


def _group(module: nn.Module, factor: float = 1.0) -> dict[str, Any]:
    """Return a parameter group of an optimizer. Its learning rate is that of the optimizer times `factor`."""
    return {"params": list(module.parameters()), "factor": factor}


@contextmanager
def without_gradients(module: nn.Module | None) -> Iterator[None]:
    """Compute no gradients for the weights of a module inside the `with` block.

    Gradients still pass through the module to its inputs. In G's update D is only passed through, and the gradients of
    its weights would be computed in vain.
    """
    if module is not None:
        module.requires_grad_(False)
    try:
        yield
    finally:
        if module is not None:
            module.requires_grad_(True)


def _mean(parts: Sequence[tuple[float, Losses]]) -> Losses:
    """Return the mean of each value over a batch, from its mean over each part and the part's share of the batch.

    The results are detached, so that the graph of the step can be freed.
    """
    _, first = parts[0]
    if len(parts) == 1:
        return {name: value.detach() for name, value in first.items()}
    return {name: torch.stack([share * values[name].detach() for share, values in parts]).sum() for name in first}


class Networks:
    """Both networks with their optimizers, and one training step: first D is updated, then G, with the same fake.

    Args:
        recipe: all hyperparameters. The precision `auto` is resolved for `device`.
        seed: determines the initial weights and all random numbers of the steps.
        compile: run G through `torch.compile`, and D as well unless a gradient penalty needs its second derivative.
        alone: exchange no gradients with other processes, for a step that is only a trial.
    """

    def __init__(
        self, recipe: Recipe, seed: int, device: torch.device, *, compile: bool = False, alone: bool = False
    ) -> None:
        self.recipe, self.seed, self.device = recipe, seed, device
        self.precision = pick_precision(recipe.precision, device)
        self.generator = self._place(build_generator(recipe, make_rng(seed, "generator")))
        # Only training uses the compiled G. Samples and validation run in other modes and sizes, for each of which
        # torch.compile would compile again.
        g: Any = torch.compile(self.generator) if compile else self.generator
        # A frozen encoder gets no gradients. DistributedDataParallel must know this in advance; otherwise it would
        # wait for these gradients forever.
        freezes = recipe.generator == "backbone" and (recipe.encoder_lr == 0 or recipe.encoder_frozen > 0)
        self._g: nn.Module = g if alone else distributed.parallel(g, unused=freezes)
        self._optimizers = {"optimizer_g": self._make_optimizer(self._groups(), recipe.lr_g, recipe.weight_decay)}
        self.d_loss: DiscriminatorLoss | None = None
        discriminator = build_discriminator(recipe, make_rng(seed, "discriminator"))
        if discriminator is not None:
            if compile and not recipe.lambda_gp:
                discriminator.compile()  # in place, so that the names of its weights stay the same
            self.d_loss = DiscriminatorLoss(self._place(discriminator), recipe)
            self._d = self.d_loss if alone else distributed.parallel(self.d_loss)
            self._optimizers["optimizer_d"] = self._make_optimizer([_group(discriminator)], recipe.lr_d)
        # Small gradients underflow to 0 in fp16, so the loss is multiplied by a large factor before the backward pass
        # (Micikevicius et al. 2018, section 3.2). bf16 has the range of fp32 and needs no scaler.
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.average: AveragedModel | None = None
        # average <- decay * average + (1 - decay) * weights after each update of G. The averaged weights are those
        # that are saved and used.
        if recipe.ema_decay:
            decay = get_ema_multi_avg_fn(recipe.ema_decay)
            self.average = AveragedModel(self.generator, multi_avg_fn=decay)

    def _place(self, module: nn.Module) -> nn.Module:
        """Move a network to the device and choose its memory format.

        channels_last is faster, except for wide networks in fp32 on a CPU. Measured with pix2pix's U-Net of 54 million
        parameters at 256 px (AVX2), the contiguous format is faster by 4 % at batch size 4 and by 20 % at batch size
        1. At half that width channels_last is faster.
        """
        recipe = self.recipe
        wide = recipe.width >= 64 and recipe.generator != "backbone"  # the width of a backbone is its decoder's
        first = wide and self.device.type == "cpu" and self.precision == "fp32"
        return module.to(self.device).to(memory_format=torch.contiguous_format if first else torch.channels_last)

    def _groups(self) -> list[dict[str, Any]]:
        """Return G's parameters in their own order. A backbone's encoder is a group with its own learning rate."""
        if isinstance(self.generator, BackboneUNet):
            return [_group(self.generator.stages, self.recipe.encoder_lr), _group(self.generator.decoder)]
        return [_group(self.generator)]

    def _make_optimizer(
        self, groups: list[dict[str, Any]], lr: float, weight_decay: float = 0.0
    ) -> torch.optim.Optimizer:
        if self.recipe.optimizer == "rmsprop":
            # Arjovsky et al. 2017 (section 4): a momentum-based optimizer such as Adam made the critic unstable.
            return torch.optim.RMSprop(groups, lr=lr)
        if weight_decay:
            return torch.optim.AdamW(groups, lr=lr, betas=self.recipe.betas, weight_decay=weight_decay, fused=True)
        return torch.optim.Adam(groups, lr=lr, betas=self.recipe.betas, fused=True)

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Compute batch norm's running statistics again, for the averaged weights, on uint8 training batches.

        The running statistics of the generator belong to its current weights. With these statistics the averaged
        weights were measured to be worse than grey.
        """
        assert self.average is not None, "this recipe keeps no average"
        # In training mode only those batch norms are in training mode whose statistics change in training. The batch
        # norms of a pretrained encoder stay in eval mode and keep the statistics of ImageNet.
        self.average.train()
        norms = [module for module in self.average.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
        self.average.eval()  # dropout off, as when the network is used
        if not norms:
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the arithmetic mean over all batches, not a running average
            norm.train()
        with torch.no_grad():
            for images in batches:
                self.average(split_lab(to_float(images.to(self.device)))[0])
        self.average.eval()

    # --- one step --------------------------------------------------------------------------------------------

    def train_step(
        self, batches: Sequence[Tensor], step: int, *, progress: float = 0.0, diagnose: bool = False
    ) -> Losses:
        """Update D once for each uint8 batch, then G once on the last batch. Returns the named losses.

        In the first `recipe.pretrain_steps` steps only G is trained, with L1 alone. `progress` (0..1) is the share of
        the training that is done; it determines the learning rates and whether the encoder is frozen. `diagnose` adds
        the measures that cost extra time.
        """
        self._schedule(progress)
        # Random numbers are drawn from the seed, the step and the number of the batch, never from a generator with a
        # state. A resumed run therefore draws the same numbers as a run that was not interrupted.
        adversarial = self.d_loss is not None and step >= self.recipe.pretrain_steps
        values: Losses = {}
        for i, images in enumerate(batches):
            images = images.to(self.device, non_blocking=True)
            if self.recipe.cutmix:
                images = cutmix(images, self.recipe.cutmix, self._draw("cutmix", len(images), CUTMIX_NUMBERS, step, i))
            L, real_ab = split_lab(to_float(images))
            L = self._augment(L, step, i)
            # The fake of the last batch is generated once and used in both updates, so only this one needs a graph
            # back to G. If the batch is processed in parts, each part generates its own fake when it needs it, because
            # keeping the fake of the whole batch would cost the memory that the parts save.
            fake_ab = None
            if self.recipe.accumulate == 1:
                with torch.set_grad_enabled(i == len(batches) - 1):
                    fake_ab = self._fake(L)
            if adversarial:
                rng = self._share_rng("penalty", len(images), step, i)
                values = self.update_discriminator(L, real_ab, fake_ab, rng, diagnose=diagnose)
        return values | self.update_generator(L, real_ab, fake_ab, adversarial=adversarial, diagnose=diagnose)

    def _schedule(self, progress: float) -> None:
        """Set the learning rates and the mode of each layer for the share `progress` (0..1) of the training."""
        factor = rate_factor(self.recipe.lr_schedule, progress)
        rates = {"optimizer_g": self.recipe.lr_g, "optimizer_d": self.recipe.lr_d}
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = factor * group["factor"] * rates[name]
        if isinstance(self.generator, BackboneUNet):
            self.generator.frozen = self.recipe.encoder_lr == 0 or progress < self.recipe.encoder_frozen
        self.generator.train()  # after `frozen` is set: it decides which layers of the encoder are in eval mode

    def _augment(self, L: Tensor, step: int, i: int) -> Tensor:
        """Change L as another film, lens or scan would have changed it. The true colours stay the same."""
        recipe, pictures = self.recipe, len(L)
        if recipe.tone:
            L = tone_curve(L, recipe.tone, self._draw("tone", pictures, TONE_NUMBERS, step, i))
        if recipe.blur:
            L = blur(L, recipe.blur, self._draw("blur", pictures, 1, step, i))
        if recipe.noise:
            L = add_noise(L, recipe.noise, self._draw("noise", pictures, 1 + L[0].numel(), step, i))
        return L

    def _fake(self, L: Tensor) -> Tensor:
        # Losses and penalty are computed in fp32, so the prediction leaves autocast as fp32.
        with autocast(self.device, self.precision):
            return self._g(L).float()

    def _parts(self, module: nn.Module, *batch: Tensor) -> Iterator[tuple[float, tuple[Tensor, ...]]]:
        """Yield the parts of a batch, each with its share of the batch.

        Several processes exchange gradients only in the backward pass of the last part. The gradients of all parts
        have then been added up, so that one exchange is enough.
        """
        parts = list(zip(*(tensor.chunk(self.recipe.accumulate) for tensor in batch), strict=True))
        for i, part in enumerate(parts, start=1):
            with nullcontext() if i == len(parts) else distributed.without_exchange(module):
                yield len(part[0]) / len(batch[0]), part

    def update_discriminator(
        self, L: Tensor, real_ab: Tensor, fake_ab: Tensor | None, rng: torch.Generator, *, diagnose: bool = False
    ) -> Losses:
        """Update D, which learns to distinguish the true ab from G's (Isola et al. 2017, equation 1, maximised by D).

        If `fake_ab` is None, each part of the batch generates its own fake.
        """
        assert self.d_loss is not None, "this recipe has no discriminator"
        optimizer, found = self._optimizers["optimizer_d"], []
        optimizer.zero_grad()
        for share, (L_part, real_part) in self._parts(self._d, L, real_ab):
            if fake_ab is None:
                # This forward pass is an additional one, so it must not update batch norm's running statistics.
                with torch.no_grad(), fixed_statistics(self.generator):
                    fake = self._fake(L_part)
            else:
                fake = fake_ab.detach()
            with autocast(self.device, self.precision):
                losses = self._d(L_part, real_part, fake, rng)
            # Each part's loss is a mean over the part. Weighted by the part's share of the batch, the gradients add up
            # to the gradient of the mean over the whole batch.
            # `fake` is detached, so this backward pass ends at D's weights and does not reach G.
            self._scaler.scale(share * self.d_loss.total(losses)).backward()
            found.append((share, losses))
        values = _mean(found) | self._apply(optimizer, {"grad_norm_d": self.d_loss} if diagnose else {})
        # The clipped weights keep the critic Lipschitz continuous (Arjovsky et al. 2017, algorithm 1, line 7).
        if self.recipe.clip is not None:
            clip_weights(self.d_loss, self.recipe.clip)
            values["clipped_share"] = clipped_share(self.d_loss, self.recipe.clip)
        return values

    def update_generator(
        self, L: Tensor, real_ab: Tensor, fake_ab: Tensor | None, *, adversarial: bool, diagnose: bool = False
    ) -> Losses:
        """Update G, which learns to deceive D and to stay near the true ab (Isola et al. 2017, equation 4).

        `fake_ab` must still have its graph back to G.
        """
        optimizer, found = self._optimizers["optimizer_g"], []
        optimizer.zero_grad()
        d_loss = self.d_loss if adversarial else None
        # The adversarial loss is computed by D, so its gradient passes through D to the fake and on to G. The weights
        # of D are constants in this update.
        with without_gradients(d_loss):
            for share, (L_part, real_part) in self._parts(self._g, L, real_ab):
                fake = self._fake(L_part) if fake_ab is None else fake_ab
                with autocast(self.device, self.precision):
                    losses = generator_losses(L_part, real_part, fake, d_loss)
                losses["g_loss"] = generator_total(losses, self.recipe)
                if d_loss is not None and diagnose:
                    losses["adversarial_share"] = adversarial_share(losses, self.recipe, fake)
                self._scaler.scale(share * losses["g_loss"]).backward()
                found.append((share, losses))
        values = _mean(found) | self._apply(optimizer, {"grad_norm_g": self.generator} if diagnose else {})
        # Only after G's update: the critic steps of a Wasserstein recipe do not change G, nor its average.
        if self.average is not None:
            self.average.update_parameters(self.generator)
        return values

    def _apply(self, optimizer: torch.optim.Optimizer, measured: dict[str, nn.Module]) -> Losses:
        """Update the weights, and return the gradient norms of the modules in `measured` under the same names."""
        self._scaler.unscale_(optimizer)  # first, so that the norms are those of the true gradients
        norms = {name: gradient_norm(module) for name, module in measured.items()}
        self._scaler.step(optimizer)
        self._scaler.update()  # before the next step of this optimizer, because a critic makes several in a row
        return norms

    def adjust(self, recipe: Recipe) -> None:
        """Continue with the loss weights, bounds and learning rates of another recipe. The networks do not change."""
        self.recipe = recipe
        if self.d_loss is not None:
            self.d_loss.recipe = recipe

    def _share_rng(self, name: str, n: int, step: int, i: int) -> torch.Generator:
        """Return a generator whose next `n` numbers belong to this process's share of the batch.

        They are the numbers that a single process would have used for this share, so that training with several
        processes gives the same result.
        """
        rng = make_rng(self.seed, name, step, i)
        # Skip the numbers of the processes before this one.
        torch.rand(distributed.rank() * n, generator=rng)
        return rng

    def _draw(self, name: str, pictures: int, numbers: int, step: int, i: int) -> Tensor:
        """Draw `numbers` uniform numbers in 0..1 for each photograph of this process's share of the batch."""
        return torch.rand(pictures, numbers, generator=self._share_rng(name, pictures * numbers, step, i))

    def columns(self) -> list[str]:
        """Return the names of all values that a step may measure, in a fixed order."""
        if self.d_loss is None:
            return ["l1", "g_loss", "grad_norm_g"]
        columns = ["l1", "g_loss", "g_adversarial", "d_loss", "d_real_accuracy", "d_fake_accuracy", "wasserstein"]
        columns += ["penalty"] * bool(self.recipe.lambda_gp) + ["clipped_share"] * (self.recipe.clip is not None)
        return [*columns, "adversarial_share", "grad_norm_d", "grad_norm_g"]

    # --- to and from a checkpoint ----------------------------------------------------------------------------

    def _modules(self) -> dict[str, nn.Module]:
        discriminator = None if self.d_loss is None else self.d_loss.discriminator
        modules = {"generator": self.generator, "discriminator": discriminator, "average": self.average}
        return {name: module for name, module in modules.items() if module is not None}

    def pack(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """Return all tensors that the next step depends on, a dict for each group, and the state of the loss scaler."""
        # The optimizers' moments belong to it: with new moments the next steps would be different ones.
        groups = {name: dict(module.state_dict()) for name, module in self._modules().items()}
        groups |= {name: pack_optimizer(optimizer) for name, optimizer in self._optimizers.items()}
        return groups, {"scaler": self._scaler.state_dict()}

    def unpack(self, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Restore the result of `pack`. Raises CheckpointError if it belongs to other networks."""
        # All groups are compared before the first one is loaded, so that a wrong checkpoint changes nothing.
        modules = self._modules()
        expected = modules.keys() | self._optimizers.keys()
        if groups.keys() != expected:
            raise CheckpointError(
                f"expected a checkpoint of {', '.join(sorted(expected))}, got {', '.join(sorted(groups))}"
            )
        for name, module in modules.items():
            load_weights(module, groups[name], f"the checkpoint's {name}")
        for name, optimizer in self._optimizers.items():
            unpack_optimizer(optimizer, groups[name])
        if self._scaler.is_enabled() and state.get("scaler"):
            self._scaler.load_state_dict(state["scaler"])
