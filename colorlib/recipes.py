"""What to train: every hyperparameter of a run, once, in one frozen dataclass, and the presets of the course.

The command line's flags and the notebooks' settings are both made from `Recipe`, so they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import nn

from colorlib.blocks import Block
from colorlib.devices import Precision
from colorlib.discriminators import STRIDED_LAYERS, PatchGAN
from colorlib.generators import BACKBONES, MAX_DEPTH, BackboneUNet, ResUNet, UNet, check_depth
from colorlib.losses import ADVERSARIAL_LOSSES, AdversarialLoss

# The receptive fields of the paper's discriminators (Isola et al. 2017, section 4.4) and the two beside them.
RECEPTIVE_FIELDS = tuple(STRIDED_LAYERS)
TARGETS = ("steps", "epochs", "minutes")
# These fields were added after the first runs. They are left out of the JSON at their default value, so that old
# fingerprints still match, and old files that lack them can be read.
ADDED_LATER = (
    "zoom", "tone", "cutmix", "accumulate", "checkpointing",
    "backbone", "pretrained", "encoder_lr", "encoder_frozen", "d_scale", "lr_schedule", "weight_decay", "blur", "noise",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Every hyperparameter of a training run. Validated on creation; change one with `replace`."""

    name: str = "pix2pix"
    """Name of the recipe, for tables and figures."""
    adversarial: Literal["none", "vanilla", "lsgan", "hinge", "wasserstein"] = "vanilla"
    """Adversarial loss; `none` trains with L1 alone."""
    lambda_l1: float = 100.0
    """Weight of the L1 term in the generator's loss."""
    d_loss_weight: float = 0.5
    """Weight of the discriminator's loss (the paper halves it to slow D down)."""
    n_critic: int = 1
    """Updates of D for each update of G."""
    clip: float | None = None
    """Clip the critic's weights to [-clip, clip] after each of its updates (WGAN)."""
    lambda_gp: float = 0.0
    """Weight of the gradient penalty (WGAN-GP); 0 is none."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimizer of both networks."""
    lr_g: float = 2e-4
    """Learning rate of the generator."""
    lr_d: float = 2e-4
    """Learning rate of the discriminator."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Both learning rates over the training: linear is constant for half of it, then falls to 0; cosine falls to 0."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas."""
    weight_decay: float = 0.0
    """Decoupled weight decay of the generator (AdamW); 0 is none."""
    generator: Literal["unet", "resunet", "backbone"] = "unet"
    """Architecture of the generator."""
    backbone: str = "resnet18"
    """Encoder of the backbone generator: efficientnet_lite0, or one of torchvision's, as resnet18."""
    pretrained: bool = False
    """Start the backbone from its ImageNet weights (those of efficientnet_lite0 ship, others are downloaded)."""
    encoder_lr: float = 1.0
    """Learning rate of the backbone, as a factor of the generator's; 0 freezes it."""
    encoder_frozen: float = 0.0
    """Share of the training, from its start, in which the backbone is frozen."""
    depth: int | None = None
    """Halvings of the image in the generator; None: as many as the size allows, 8 at most (4 for resunet)."""
    width: int = 64
    """Channels of the generator's first level."""
    dropout: float = 0.5
    """Dropout in the innermost decoder blocks."""
    g_norm: Literal["batch", "instance", "layer", "none"] = "batch"
    """Normalisation in the generator."""
    d_width: int = 64
    """Channels of the discriminator's first layer."""
    norm: Literal["batch", "instance", "layer", "spectral", "none"] = "batch"
    """Normalisation in the discriminator."""
    receptive_field: int | None = None
    """Side in pixels of the patch that one score of D sees; None: the largest that fits half the image."""
    conditional: bool = True
    """Whether D sees the lightness that the colours belong to."""
    d_scale: int = 1
    """D sees L and ab averaged over blocks of this side, and its receptive field is in pixels of the smaller image."""
    size: int = 256
    """Side of the training images, in pixels."""
    batch_size: int = 1
    """Images in a batch, over all processes."""
    accumulate: int = 1
    """Parts that a batch goes through the networks in, for less memory; gradients are averaged over them."""
    checkpointing: bool = False
    """Keep one map a block of G for the backward pass and compute the others again: less memory, more time."""
    zoom: float = 1.0
    """Random crops are 1 to this many times `size` wide, and scaled down to it."""
    tone: float = 0.0
    """Strength of the random tone curve on L in training, 0 (none) to 1: old films and prints."""
    cutmix: float = 0.0
    """Share of training pictures in which a rectangle shows another picture of the batch (CutMix)."""
    blur: float = 0.0
    """Share of training pictures whose lightness is blurred a little."""
    noise: float = 0.0
    """Noise on L in training: its standard deviation, in network units, is 0 to this."""
    pretrain_steps: int = 0
    """First steps of G with L1 alone, before D joins."""
    ema_decay: float = 0.0
    """Decay of the running average of G's weights that is used for pictures and saved; 0 is none."""
    precision: Precision = "auto"
    """Arithmetic: auto is bf16 where the device has it natively, fp16 on older CUDA cards, else fp32."""
    steps: int | None = None
    """Stop after this many updates of G."""
    epochs: int | None = None
    """Stop after this many passes over the data."""
    minutes: float | None = None
    """Stop after this many minutes of training."""

    def __post_init__(self) -> None:
        for field, hint in get_type_hints(type(self)).items():
            _check_type(field, hint, getattr(self, field))
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"expected ema_decay in 0..1, 1 not included, got {self.ema_decay}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout in 0..1, 1 not included, got {self.dropout}")
        if self.zoom < 1:
            raise ValueError(f"expected zoom of at least 1, got {self.zoom}")
        for field in ("tone", "cutmix", "blur", "encoder_frozen"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"expected {field} in 0..1, got {getattr(self, field)}")
        if self.backbone not in BACKBONES:
            raise ValueError(f"expected backbone {_listed(BACKBONES)}, got {self.backbone!r}")
        if self.weight_decay > 0 and self.optimizer != "adam":
            raise ValueError(f"expected weight_decay of 0 with {self.optimizer}, got {self.weight_decay}; try adam")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"expected betas in 0..1, 1 not included, got {self.betas}")
        for field in ("n_critic", "width", "d_width", "size", "batch_size", "accumulate", "d_scale"):
            self._expect_positive(field)
        if self.accumulate > self.batch_size:
            raise ValueError(f"expected accumulate of at most batch_size, {self.batch_size}, got {self.accumulate}")
        for field in ("lr_g", "lr_d", "d_loss_weight"):
            self._expect_positive(field)
        for field in ("clip", *TARGETS):
            if getattr(self, field) is not None:
                self._expect_positive(field)
        for field in ("lambda_l1", "lambda_gp", "pretrain_steps", "weight_decay", "encoder_lr", "noise"):
            if getattr(self, field) < 0:
                raise ValueError(f"expected {field} of at least 0, got {getattr(self, field)}")
        if self.lambda_l1 == 0 and self.adversarial == "none":
            raise ValueError("expected an adversarial loss or lambda_l1 above 0, got neither: nothing to learn from")
        if self.depth is not None:
            check_depth(self.depth)
        if self.receptive_field is not None and self.receptive_field not in RECEPTIVE_FIELDS:
            raise ValueError(f"expected receptive_field {_listed(RECEPTIVE_FIELDS)}, got {self.receptive_field}")
        if self.receptive_field is not None and self.receptive_field > self.size:
            raise ValueError(
                f"expected a receptive field that fits the image, got {self.receptive_field} px at size {self.size}; "
                f"try {max(r for r in RECEPTIVE_FIELDS if r <= self.size)}"
            )
        if self.size % self.d_scale:
            raise ValueError(f"expected a size that d_scale divides, got {self.size} and {self.d_scale}")
        seen, strided = self.size // self.d_scale, STRIDED_LAYERS.get(self.receptive_field or 1, 0)
        if strided and seen < 3 * 2**strided:  # less leaves nothing after the last convolutions, 4x4 with stride 1
            raise ValueError(
                f"expected at least {3 * 2**strided} px for a receptive field of {self.receptive_field}, got "
                f"{seen} (size {self.size} / d_scale {self.d_scale}); try a smaller receptive field"
            )
        if sum(getattr(self, target) is not None for target in TARGETS) != 1:
            raise ValueError("expected exactly one stopping target: steps, epochs or minutes")

    def _expect_positive(self, field: str) -> None:
        if not getattr(self, field) > 0:
            raise ValueError(f"expected {field} above 0, got {getattr(self, field)}")

    @property
    def resolved_depth(self) -> int:
        """`depth`, or what fits the size: floor(log2(size)), 8 at most (4 for residual and backbone U-Nets)."""
        if self.depth is not None:
            return self.depth
        deepest = MAX_DEPTH if self.generator == "unet" else 4
        return max(1, min(deepest, int(math.log2(self.size))))

    @property
    def resolved_receptive_field(self) -> int:
        """`receptive_field`, or the largest of the paper's that fits half the image that D sees."""
        if self.receptive_field is not None:
            return self.receptive_field
        return max(r for r in RECEPTIVE_FIELDS if r == 1 or r <= self.size // self.d_scale // 2)

    @property
    def loss(self) -> AdversarialLoss | None:
        """The pair of adversarial losses, or None for a plain regression."""
        return ADVERSARIAL_LOSSES.get(self.adversarial)

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some fields changed. A new stopping target replaces the old one."""
        if changes.keys() & set(TARGETS):
            changes = {**dict.fromkeys(TARGETS), **changes}
        unknown = changes.keys() - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise ValueError(f"a recipe has no {_listed(sorted(unknown))}; it has {_listed(_field_names())}")
        return dataclasses.replace(self, **changes)

    def changes(self) -> dict[str, Any]:
        """What `find_recipe(name).replace(...)` needs to give this recipe. Raises ValueError for an unknown name."""
        changed = find_recipe(self.name).differences(self)
        # A new stopping target replaces the preset's, which need not be taken away.
        return {field: value for field, value in changed.items() if not (field in TARGETS and value is None)}

    def differences(self, other: Recipe) -> dict[str, Any]:
        """The fields in which `other` differs from this recipe, with the values of `other`."""
        pairs = {field: (getattr(self, field), getattr(other, field)) for field in _field_names()}
        return {field: theirs for field, (own, theirs) in pairs.items() if own != theirs}

    def to_json(self) -> str:
        """The recipe as a JSON object, a field a line."""
        values = dataclasses.asdict(self)
        for field in ADDED_LATER:
            if values[field] == getattr(Recipe, field):
                del values[field]
        return json.dumps(values, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what `to_json` wrote. Raises ValueError that names what is wrong (the file may be edited by hand)."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"expected a recipe as JSON, got text that is not: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"expected a recipe as a JSON object, got {type(values).__name__}")
        unknown = values.keys() - set(_field_names())
        missing = set(_field_names()) - values.keys() - set(ADDED_LATER)
        if unknown or missing:
            problem = f"unknown {_listed(sorted(unknown))}" if unknown else f"no {_listed(sorted(missing))}"
            raise ValueError(f"expected a recipe with the fields of colorlib.Recipe, got {problem}")
        if isinstance(values["betas"], list):
            values["betas"] = tuple(values["betas"])
        return cls(**values)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any hyperparameter; `name` and the precision's name included."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


def _field_names() -> list[str]:
    return [field.name for field in dataclasses.fields(Recipe)]


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def _check_type(field: str, hint: Any, value: Any) -> None:
    """Raise ValueError unless `value` is of the annotated type; ints pass as floats, infinite numbers do not."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"expected {field} one of {_listed(get_args(hint))}, got {value!r}")
        return
    options = [option for option in get_args(hint) or (hint,) if option is not type(None)]
    if value is None and type(None) in get_args(hint):
        return
    if get_origin(hint) is tuple:
        pair = isinstance(value, tuple) and len(value) == 2 and all(_is_number(v, float) for v in value)
        if not pair:
            raise ValueError(f"expected {field} as two numbers, got {value!r}")
        return
    kind = options[0]
    fits = _is_number(value, kind) if kind in (int, float) else isinstance(value, kind)
    if not fits:
        raise ValueError(f"expected {field} as {kind.__name__}, got {value!r}")


def _is_number(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
        return False
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)


def build_generator(recipe: Recipe, rng: torch.Generator | None = None, *, weights: bool = True) -> nn.Module:
    """The generator of a recipe, initialised from `rng`: `(B, 1, H, W)` lightness to `(B, 2, H, W)` chroma.

    With `weights=False` a pretrained encoder is left random, for a caller who loads all weights from elsewhere.
    """
    width, dropout, norm = recipe.width, recipe.dropout, recipe.g_norm
    generator: nn.Module
    if recipe.generator == "backbone":
        imagenet = recipe.pretrained and weights
        generator = BackboneUNet(recipe.backbone, imagenet, width=width, dropout=dropout, norm=norm, rng=rng)
        generator.pretrained = recipe.pretrained
        generator.train()
    else:
        kind = UNet if recipe.generator == "unet" else ResUNet
        generator = kind(depth=recipe.resolved_depth, width=width, dropout=dropout, norm=norm, rng=rng)
    for block in generator.modules():
        if isinstance(block, Block):
            block.checkpointing = recipe.checkpointing
    return generator


def build_discriminator(recipe: Recipe, rng: torch.Generator | None = None) -> nn.Module | None:
    """The discriminator of a recipe on `cat([L, ab], 1)`, or on ab alone if unconditional; None without one."""
    if recipe.loss is None:
        return None
    channels = 3 if recipe.conditional else 2
    field = recipe.resolved_receptive_field
    return PatchGAN(in_channels=channels, receptive_field=field, width=recipe.d_width, norm=recipe.norm, rng=rng)


_PIX2PIX = Recipe(epochs=200)
_WGAN = _PIX2PIX.replace(
    name="wgan", adversarial="wasserstein", d_loss_weight=1.0, n_critic=5, lambda_l1=0.3,
    clip=0.01, optimizer="rmsprop", lr_g=5e-5, lr_d=5e-5, batch_size=16,
)  # fmt: skip
_WGAN_GP = _WGAN.replace(
    name="wgan-gp", clip=None, lambda_gp=10.0, lambda_l1=30.0, optimizer="adam", lr_g=1e-4, lr_d=1e-4, betas=(0.0, 0.9),
    norm="layer",
)  # fmt: skip

_BACKBONE_L1 = _PIX2PIX.replace(
    name="backbone-l1", adversarial="none", generator="backbone", backbone="efficientnet_lite0", pretrained=True,
    dropout=0.2, size=128, batch_size=32, lr_g=1.5e-3, betas=(0.9, 0.999), weight_decay=0.05, lr_schedule="cosine",
    encoder_lr=0.1, encoder_frozen=0.4, ema_decay=0.998, tone=0.3, cutmix=0.5, blur=0.3, noise=0.04, epochs=20,
)  # fmt: skip
_BACKBONE_PIX2PIX = _BACKBONE_L1.replace(
    name="backbone-pix2pix", adversarial="vanilla", lambda_l1=2.0, d_scale=4, lr_g=2e-4, betas=(0.5, 0.999),
    lr_schedule="linear",
)  # fmt: skip

# The presets. pix2pix is Isola et al. 2017 (section 3.3 and appendix 6): batch 1, Adam 2e-4 (0.5, 0.999), 200 epochs;
# wgan is Arjovsky et al. 2017 (algorithm 1); wgan-gp is Gulrajani et al. 2017 (algorithm 1), with layer norm in the
# critic, as they recommend, and lambda 30: on scenes at 32 px balloons then have colour within 200 steps; without norm
# and with lambda 10 they were still dull after 500. The adversarial share on scenes is 0.4 (wgan) and 1.5 (wgan-gp).
# A punished critic's gradient has norm 1 over a sample, so that share is about sqrt(2 * side^2) / lambda_l1 (measured
# at 32 px, notebook 09): 6 at 128 px and 12 at 256 px; lambda_l1 of about 120 and 240 keep it at 1.5 there.
# The backbone presets start from ImageNet, with what keeps them from learning a few thousand photographs by heart. D's
# averaging over blocks weakens its gradient on ab. On scenes at 32 px, after 200 steps, the adversarial share of
# backbone-pix2pix is 0.005 at lambda_l1 = 100, 0.05 at 10 and 0.2 at 2.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _PIX2PIX.replace(name="l1", adversarial="none"),
        _PIX2PIX,
        _PIX2PIX.replace(name="lsgan", adversarial="lsgan"),
        _PIX2PIX.replace(name="hinge", adversarial="hinge", d_loss_weight=1.0, norm="spectral"),
        _WGAN,
        _WGAN_GP,
        _WGAN_GP.replace(name="resunet-wgan-gp", generator="resunet", width=32, dropout=0.0),
        _BACKBONE_L1,
        _BACKBONE_PIX2PIX,
    )
}


def find_recipe(name: str) -> Recipe:
    """The preset of that name. Raises ValueError that lists the presets."""
    if name not in RECIPES:
        raise ValueError(f"expected a recipe of {_listed(RECIPES)}, got {name!r}")
    return RECIPES[name]
