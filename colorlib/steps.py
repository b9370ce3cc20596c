"""One training step: what D minimises, what G minimises, who of them pulls, and the two updates.

G maps lightness L to chroma ab. D scores patches of `cat([L, ab], 1)`, so that it sees what the colours belong to.
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
    """The discriminator with its loss around it: real and fake pass in one call, the penalty inside.

    As one module it can be wrapped for several processes: one forward, one backward, gradients averaged once, while
    the penalty's double backward and the two passes of batch norm happen inside, on the unwrapped discriminator.
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
        """Named losses, unweighted, and what tells how the game stands; `fake_ab` must carry no gradient to G."""
        loss = self.recipe.loss
        assert loss is not None, "a recipe without an adversarial loss has no discriminator"
        L, real_ab, fake_ab = self._shrunk(L), self._shrunk(real_ab), self._shrunk(fake_ab)
        real, fake = (self._critic(torch.cat([L, ab], 1)) for ab in (real_ab, fake_ab))
        losses = {"d_loss": loss.d(real, fake)}
        if self.recipe.lambda_gp:
            losses["penalty"] = gradient_penalty(self._critic, L, real_ab, fake_ab, rng=rng)
        with torch.no_grad():
            losses["d_real_accuracy"] = (real > 0).float().mean()
            losses["d_fake_accuracy"] = (fake < 0).float().mean()
            losses["wasserstein"] = real.float().mean() - fake.float().mean()
        return losses

    def score(self, L: Tensor, ab: Tensor) -> Tensor:
        """Logits `(B, 1, h, w)` of colours on their lightness, both in the resolution of the photograph."""
        return self._critic(self._shrunk(torch.cat([L, ab], 1)))

    def _shrunk(self, image: Tensor) -> Tensor:
        """Averages over blocks of `d_scale` pixels: a G that predicts ab more coarsely is not known by its blur."""
        scale = self.recipe.d_scale
        return image if scale == 1 else nn.functional.avg_pool2d(image, scale)

    def _critic(self, lab: Tensor) -> Tensor:
        return self.discriminator(lab if self.recipe.conditional else lab[:, 1:])

    def total(self, losses: Losses) -> Tensor:
        """What D minimises."""
        total = self.recipe.d_loss_weight * losses["d_loss"]
        return total + self.recipe.lambda_gp * losses["penalty"] if "penalty" in losses else total


def generator_losses(
    L: Float[Tensor, "b 1 h w"],
    real_ab: Float[Tensor, "b 2 h w"],
    fake_ab: Float[Tensor, "b 2 h w"],
    d_loss: DiscriminatorLoss | None,
) -> Losses:
    """Named losses of G, unweighted: `l1`, and `g_adversarial` where there is a discriminator to fool."""
    losses = {"l1": l1_loss(fake_ab, real_ab)}
    if d_loss is not None:
        loss = d_loss.recipe.loss
        assert loss is not None, "a recipe without an adversarial loss has no discriminator"
        losses["g_adversarial"] = loss.g(d_loss.score(L, fake_ab))
    return losses


def generator_total(losses: Losses, recipe: Recipe) -> Tensor:
    """What G minimises: Isola et al. 2017, equation 4."""
    total = recipe.lambda_l1 * losses["l1"]
    return total + losses["g_adversarial"] if "g_adversarial" in losses else total


def adversarial_share(losses: Losses, recipe: Recipe, fake_ab: Tensor) -> Tensor:
    """Norm of the adversarial term's gradient on ab over that of the weighted L1 term: who pulls at the colours.

    Near 0 the adversary is decoration and the run is an L1 regression under another name. NaN without an L1 term.
    """
    (adversarial,) = torch.autograd.grad(losses["g_adversarial"], fake_ab, retain_graph=True)
    (pixelwise,) = torch.autograd.grad(recipe.lambda_l1 * losses["l1"], fake_ab, retain_graph=True)
    return torch.where(pixelwise.norm() > 0, adversarial.norm() / pixelwise.norm(), torch.nan)


def clipped_share(module: nn.Module, bound: float) -> Tensor:
    """Share of a critic's weights that sit at the clipping bound: near 1, the critic is as simple as can be."""
    weights = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    return (weights.abs() >= bound).float().mean()


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm of all gradients of a module."""
    return torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm()


def rate_factor(schedule: str, progress: float) -> float:
    """What the learning rates are multiplied by when a share `progress`, 0..1, of the training is done.

    `linear` is the schedule of pix2pix's published code: constant for the first half, then a straight line to 0.
    `cosine` is equation 5 of Loshchilov and Hutter 2017, "SGDR", without restarts.
    """
    if schedule == "linear":
        return min(1.0, 2 * (1 - progress))
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    return 1.0


def _group(module: nn.Module, factor: float = 1.0) -> dict[str, Any]:
    """A group of an optimizer's parameters, whose learning rate is the optimizer's times `factor`."""
    return {"params": list(module.parameters()), "factor": factor}


@contextmanager
def without_gradients(module: nn.Module | None) -> Iterator[None]:
    """Within, a module passes gradients on to what it is given: those of its weights would be computed for nothing."""
    if module is not None:
        module.requires_grad_(False)
    try:
        yield
    finally:
        if module is not None:
            module.requires_grad_(True)


def _mean(parts: Sequence[tuple[float, Losses]]) -> Losses:
    """The mean of each value over a batch, from its mean over each part and the part's share; without a graph."""
    _, first = parts[0]
    if len(parts) == 1:
        return {name: value.detach() for name, value in first.items()}
    return {name: torch.stack([share * values[name].detach() for share, values in parts]).sum() for name in first}


class Networks:
    """Both networks with their optimizers, and one step of training: D first, then G on the same fake.

    Args:
        recipe: every hyperparameter; the precision `auto` is resolved for `device`.
        seed: decides the first weights and the penalty's interpolations.
        compile: run G through `torch.compile`, and D where no gradient penalty needs its second derivative.
        alone: exchange nothing with other processes, for a step that is only tried.
    """

    def __init__(
        self, recipe: Recipe, seed: int, device: torch.device, *, compile: bool = False, alone: bool = False
    ) -> None:
        self.recipe, self.seed, self.device = recipe, seed, device
        self.precision = pick_precision(recipe.precision, device)
        self.generator = self._place(build_generator(recipe, make_rng(seed, "generator")))
        # Compiled for training alone: the pictures and scores between are made in other modes and sizes.
        g: Any = torch.compile(self.generator) if compile else self.generator
        # A frozen encoder gets no gradients, which the exchange between processes must know beforehand.
        freezes = recipe.generator == "backbone" and (recipe.encoder_lr == 0 or recipe.encoder_frozen > 0)
        self._g: nn.Module = g if alone else distributed.parallel(g, unused=freezes)
        self._optimizers = {"optimizer_g": self._make_optimizer(self._groups(), recipe.lr_g, recipe.weight_decay)}
        self.d_loss: DiscriminatorLoss | None = None
        discriminator = build_discriminator(recipe, make_rng(seed, "discriminator"))
        if discriminator is not None:
            if compile and not recipe.lambda_gp:
                discriminator.compile()  # in place: the names of its weights stay
            self.d_loss = DiscriminatorLoss(self._place(discriminator), recipe)
            self._d = self.d_loss if alone else distributed.parallel(self.d_loss)
            self._optimizers["optimizer_d"] = self._make_optimizer([_group(discriminator)], recipe.lr_d)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.average: AveragedModel | None = None
        if recipe.ema_decay:
            decay = get_ema_multi_avg_fn(recipe.ema_decay)
            self.average = AveragedModel(self.generator, multi_avg_fn=decay)

    def _place(self, module: nn.Module) -> nn.Module:
        """Onto the device, channels last, but for wide networks in fp32 on a CPU: there channels first is faster.

        Measured on pix2pix's 54-million-parameter U-Net at 256 px (AVX2): 4 % at batch 4, 20 % at batch 1. At half
        that width, with fewer channels, channels last wins.
        """
        recipe = self.recipe
        wide = recipe.width >= 64 and recipe.generator != "backbone"  # the width of a backbone is its decoder's
        first = wide and self.device.type == "cpu" and self.precision == "fp32"
        return module.to(self.device).to(memory_format=torch.contiguous_format if first else torch.channels_last)

    def _groups(self) -> list[dict[str, Any]]:
        """G's parameters, in their own order. A backbone is a group, with its own learning rate."""
        if isinstance(self.generator, BackboneUNet):
            return [_group(self.generator.stages, self.recipe.encoder_lr), _group(self.generator.decoder)]
        return [_group(self.generator)]

    def _make_optimizer(
        self, groups: list[dict[str, Any]], lr: float, weight_decay: float = 0.0
    ) -> torch.optim.Optimizer:
        if self.recipe.optimizer == "rmsprop":
            return torch.optim.RMSprop(groups, lr=lr)
        if weight_decay:
            return torch.optim.AdamW(groups, lr=lr, betas=self.recipe.betas, weight_decay=weight_decay, fused=True)
        return torch.optim.Adam(groups, lr=lr, betas=self.recipe.betas, fused=True)

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Measure batch norm's statistics anew for the averaged weights, on uint8 training batches.

        The generator's own belong to other weights: with them, averaged weights were seen to colour worse than grey.
        """
        assert self.average is not None, "this recipe keeps no average"
        self.average.train()  # batch norm of a pretrained encoder stays in eval mode, and keeps its statistics
        norms = [module for module in self.average.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
        self.average.eval()  # without dropout, as it will be used
        if not norms:
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all batches
            norm.train()
        with torch.no_grad():
            for images in batches:
                self.average(split_lab(to_float(images.to(self.device)))[0])
        self.average.eval()

    # --- one step --------------------------------------------------------------------------------------------

    def train_step(
        self, batches: Sequence[Tensor], step: int, *, progress: float = 0.0, diagnose: bool = False
    ) -> Losses:
        """One update of D for each uint8 batch, then one of G; G's fake of the last batch serves both.

        Before `recipe.pretrain_steps` G trains alone. `progress`, 0..1, is the share of the training that is done: it
        decides the learning rates and whether the encoder is frozen. `diagnose` adds the measures that cost extra work.
        """
        self._schedule(progress)
        adversarial = self.d_loss is not None and step >= self.recipe.pretrain_steps
        values: Losses = {}
        for i, images in enumerate(batches):
            images = images.to(self.device, non_blocking=True)
            if self.recipe.cutmix:
                images = cutmix(images, self.recipe.cutmix, self._draw("cutmix", len(images), CUTMIX_NUMBERS, step, i))
            L, real_ab = split_lab(to_float(images))
            L = self._augment(L, step, i)
            fake_ab = None
            if self.recipe.accumulate == 1:
                with torch.set_grad_enabled(i == len(batches) - 1):
                    fake_ab = self._fake(L)
            if adversarial:
                rng = self._share_rng("penalty", len(images), step, i)
                values = self.update_discriminator(L, real_ab, fake_ab, rng, diagnose=diagnose)
        return values | self.update_generator(L, real_ab, fake_ab, adversarial=adversarial, diagnose=diagnose)

    def _schedule(self, progress: float) -> None:
        """Set the learning rates and the mode of each layer for a share of the training, 0..1."""
        factor = rate_factor(self.recipe.lr_schedule, progress)
        rates = {"optimizer_g": self.recipe.lr_g, "optimizer_d": self.recipe.lr_d}
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = factor * group["factor"] * rates[name]
        if isinstance(self.generator, BackboneUNet):
            self.generator.frozen = self.recipe.encoder_lr == 0 or progress < self.recipe.encoder_frozen
        self.generator.train()

    def _augment(self, L: Tensor, step: int, i: int) -> Tensor:
        """L as another film, lens or scan might have kept it; the colours stay."""
        recipe, pictures = self.recipe, len(L)
        if recipe.tone:
            L = tone_curve(L, recipe.tone, self._draw("tone", pictures, TONE_NUMBERS, step, i))
        if recipe.blur:
            L = blur(L, recipe.blur, self._draw("blur", pictures, 1, step, i))
        if recipe.noise:
            L = add_noise(L, recipe.noise, self._draw("noise", pictures, 1 + L[0].numel(), step, i))
        return L

    def _fake(self, L: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            return self._g(L).float()

    def _parts(self, module: nn.Module, *batch: Tensor) -> Iterator[tuple[float, tuple[Tensor, ...]]]:
        """The parts of a batch, each with its share of the batch; the last part's backward pass exchanges gradients."""
        parts = list(zip(*(tensor.chunk(self.recipe.accumulate) for tensor in batch), strict=True))
        for i, part in enumerate(parts, start=1):
            with nullcontext() if i == len(parts) else distributed.without_exchange(module):
                yield len(part[0]) / len(batch[0]), part

    def update_discriminator(
        self, L: Tensor, real_ab: Tensor, fake_ab: Tensor | None, rng: torch.Generator, *, diagnose: bool = False
    ) -> Losses:
        """Equation 1 of Isola et al. 2017, D's side: tell true colours from G's. Without a fake each part makes one."""
        assert self.d_loss is not None, "this recipe has no discriminator"
        optimizer, found = self._optimizers["optimizer_d"], []
        optimizer.zero_grad()
        for share, (L_part, real_part) in self._parts(self._d, L, real_ab):
            if fake_ab is None:
                with torch.no_grad(), fixed_statistics(self.generator):
                    fake = self._fake(L_part)
            else:
                fake = fake_ab.detach()
            with autocast(self.device, self.precision):
                losses = self._d(L_part, real_part, fake, rng)
            self._scaler.scale(share * self.d_loss.total(losses)).backward()
            found.append((share, losses))
        values = _mean(found) | self._apply(optimizer, {"grad_norm_d": self.d_loss} if diagnose else {})
        if self.recipe.clip is not None:
            clip_weights(self.d_loss, self.recipe.clip)
            values["clipped_share"] = clipped_share(self.d_loss, self.recipe.clip)
        return values

    def update_generator(
        self, L: Tensor, real_ab: Tensor, fake_ab: Tensor | None, *, adversarial: bool, diagnose: bool = False
    ) -> Losses:
        """Equation 4 of Isola et al. 2017, G's side: fool D, and stay near the truth. `fake_ab` carries G's graph."""
        optimizer, found = self._optimizers["optimizer_g"], []
        optimizer.zero_grad()
        d_loss = self.d_loss if adversarial else None
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
        if self.average is not None:
            self.average.update_parameters(self.generator)
        return values

    def _apply(self, optimizer: torch.optim.Optimizer, measured: dict[str, nn.Module]) -> Losses:
        """Change the weights by their gradients, whose norms are measured for the modules that are named."""
        self._scaler.unscale_(optimizer)
        norms = {name: gradient_norm(module) for name, module in measured.items()}
        self._scaler.step(optimizer)
        self._scaler.update()  # before this optimizer's next step: a critic takes several
        return norms

    def adjust(self, recipe: Recipe) -> None:
        """Go on with the loss weights, bounds and learning rates of another recipe; the networks stay what they are."""
        self.recipe = recipe
        if self.d_loss is not None:
            self.d_loss.recipe = recipe

    def _share_rng(self, name: str, n: int, step: int, i: int) -> torch.Generator:
        """Each process draws for its share of the batch the `n` numbers that one process would have given to it."""
        rng = make_rng(self.seed, name, step, i)
        torch.rand(distributed.rank() * n, generator=rng)
        return rng

    def _draw(self, name: str, pictures: int, numbers: int, step: int, i: int) -> Tensor:
        """Numbers in 0..1, so many for each picture of this process's share."""
        return torch.rand(pictures, numbers, generator=self._share_rng(name, pictures * numbers, step, i))

    def columns(self) -> list[str]:
        """The names of everything a step may measure, in a fixed order."""
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
        """All tensors that the next step depends on, a dict a group, and the numbers beside them."""
        groups = {name: dict(module.state_dict()) for name, module in self._modules().items()}
        groups |= {name: pack_optimizer(optimizer) for name, optimizer in self._optimizers.items()}
        return groups, {"scaler": self._scaler.state_dict()}

    def unpack(self, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Restore what `pack` packed. Raises CheckpointError if it is of other networks."""
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
