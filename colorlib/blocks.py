"""The bricks of every network here: convolution, norm, activation; down, up and residual blocks; initialisation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

# What follows a convolution. Spectral norm is no layer: it acts on the convolution's own weights (see `conv_block`).
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,  # mean and variance of a channel over the whole batch
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),  # of a channel within one sample
    "layer": lambda channels: nn.GroupNorm(1, channels),  # of one sample, all its channels together
    "spectral": lambda channels: nn.Identity(),
    "none": lambda channels: nn.Identity(),
}
UPSAMPLINGS = ("transpose", "resize")

INIT_STD = 0.02  # Isola et al. 2017, appendix 6.2


def norm_layer(norm: str, channels: int) -> nn.Module:
    """The norm called `norm` for maps of `channels` channels; a name that does not exist raises ValueError."""
    if norm not in NORMS:
        raise ValueError(f"expected norm {', '.join(NORMS)}, got {norm!r}")
    return NORMS[norm](channels)


def norm_for_any_size(norm: str) -> str:
    """`norm`, but layer norm for the two that need more than one value of a channel and fail on a map of one pixel."""
    return "layer" if norm in ("batch", "instance") else norm


def norm_without_layer(norm: str) -> str:
    """What is left of `norm` where a network must not normalise its maps: spectral norm, which acts on weights."""
    return "spectral" if norm == "spectral" else "none"


class Block(nn.Sequential):
    """Layers in a row. With `checkpointing`, training keeps only what goes in, and computes the maps between again.

    Chen et al. 2016, "Training deep nets with sublinear memory cost". When the backward pass comes by, dropout draws
    the same numbers as before, and batch norm leaves its running statistics alone.
    """

    checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return super().forward(x)
        if torch.compiler.is_compiling():
            return checkpoint(super().forward, x, use_reentrant=False)
        return checkpoint(super().forward, x, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        """What surrounds the layers the first time, and the second."""
        return contextlib.nullcontext(), fixed_statistics(self)


def conv_block(
    in_channels: int,
    out_channels: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    norm: str = "batch",
    activation: nn.Module | None = None,
    bias: bool | None = None,
    transpose: bool = False,
    dropout: float = 0.0,
) -> Block:
    """Convolution, norm, dropout, activation, in this order: the Ck and CDk of Isola et al. 2017, appendix 6.1.

    Maps are padded by `(kernel - 1) // 2`, so that kernel 4 with stride 2 halves a size (with `transpose`, doubles
    it) and an odd kernel with stride 1 keeps it. `bias=None` gives the convolution a bias only where no norm follows,
    for a norm brings its own shift.
    """
    normalised = norm_layer(norm, out_channels)
    if bias is None:
        bias = isinstance(normalised, nn.Identity)
    kind = nn.ConvTranspose2d if transpose else nn.Conv2d
    conv: nn.Module = kind(in_channels, out_channels, kernel, stride, padding=(kernel - 1) // 2, bias=bias)
    layers = [spectral_norm(conv) if norm == "spectral" else conv]
    if not isinstance(normalised, nn.Identity):
        layers.append(normalised)
    if dropout > 0:
        layers.append(nn.Dropout(dropout))
    if activation is not None:
        layers.append(activation)
    return Block(*layers)


def down_block(in_channels: int, out_channels: int, *, norm: str = "batch") -> Block:
    """One step down pix2pix's encoder: half the height and width. No bias, with or without a norm."""
    return conv_block(
        in_channels, out_channels, kernel=4, stride=2, norm=norm, activation=nn.LeakyReLU(0.2), bias=False
    )


def up_block(
    in_channels: int,
    out_channels: int,
    *,
    upsample: str = "transpose",
    norm: str = "batch",
    dropout: float = 0.0,
    activation: nn.Module | None = None,
    bias: bool = False,
) -> Block:
    """One step up pix2pix's decoder: twice the height and width.

    `transpose` is the paper's transposed 4x4 convolution. `resize` repeats each pixel and then convolves 3x3, which
    cannot draw a checkerboard (Odena et al. 2016, "Deconvolution and checkerboard artifacts") and costs 2.25 times
    the multiplications.
    """
    if upsample not in UPSAMPLINGS:
        raise ValueError(f"expected upsample {' or '.join(UPSAMPLINGS)}, got {upsample!r}")
    if upsample == "transpose":
        return conv_block(
            in_channels, out_channels, kernel=4, stride=2, transpose=True,
            norm=norm, dropout=dropout, activation=activation, bias=bias,
        )  # fmt: skip
    conv = conv_block(in_channels, out_channels, norm=norm, dropout=dropout, activation=activation, bias=bias)
    return Block(nn.Upsample(scale_factor=2, mode="nearest"), *conv)


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + branch(x)), the basic block of He et al. 2016, figure 2.

    The branch is two 3x3 convolutions. The shortcut is x itself, or a 1x1 convolution where the shape changes. Both
    are added, so that the gradient reaches both.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, norm: str = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_block(in_channels, out_channels, stride=stride, norm=norm, activation=nn.ReLU(), dropout=dropout),
            conv_block(out_channels, out_channels, norm=norm),
        )
        self.stride = stride
        same_shape = stride == 1 and in_channels == out_channels
        self.shortcut: nn.Module = nn.Identity()
        if not same_shape:
            self.shortcut = conv_block(in_channels, out_channels, kernel=1, norm=norm)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        # A 1x1 convolution with a stride sees every stride-th pixel. Picked here, for with few channels oneDNN's own
        # strided one writes past its memory (uxlfoundation/oneDNN issue 6035) and the process dies.
        picked = x[..., :: self.stride, :: self.stride] if self.stride > 1 else x
        return nn.functional.relu(self.shortcut(picked) + self.branch(x))


class ResidualUp(nn.Module):
    """One step up a residual decoder: fewer channels, twice the size, joined with the encoder's map of that size.

    The 1x1 convolution comes before the enlargement, where it costs a quarter; there the map may be one pixel.
    """

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, *, norm: str = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.reduce = conv_block(
            in_channels, out_channels, kernel=1, norm=norm_for_any_size(norm), activation=nn.ReLU()
        )
        self.merge = ResidualBlock(out_channels + skip_channels, out_channels, norm=norm, dropout=dropout)

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s 2*h 2*w"]) -> Float[Tensor, "b c2 2*h 2*w"]:
        enlarged = nn.functional.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        return self.merge(torch.cat([enlarged, skip], dim=1))


class AdditiveUp(nn.Module):
    """One step up a light decoder: fewer channels, twice the size, plus the encoder's map of that size.

    Two 3x3 convolutions then refine the sum, as a residual. `dropout` sets whole channels to zero (Tompson et al. 2015,
    "Efficient object localization using convolutional networks", section 3.2), for neighbouring pixels of a map agree.
    """

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, *, norm: str = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.reduce = conv_block(in_channels, out_channels, kernel=1, norm=norm, activation=nn.ReLU())
        self.skip = conv_block(skip_channels, out_channels, kernel=1, norm="none")
        self.dropout = nn.Dropout2d(dropout) if dropout > 0 else nn.Identity()
        self.refine = nn.Sequential(
            conv_block(out_channels, out_channels, norm=norm, activation=nn.ReLU()),
            conv_block(out_channels, out_channels, norm=norm, activation=nn.ReLU()),
        )

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s 2*h 2*w"]) -> Float[Tensor, "b c2 2*h 2*w"]:
        enlarged = nn.functional.interpolate(self.reduce(x), scale_factor=2.0, mode="bilinear")
        joined = self.dropout(enlarged + self.skip(skip))
        return joined + self.refine(joined)


def each_output(stages: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """What each of a chain of modules computes from the output of the one before."""
    outputs = []
    for stage in stages:
        x = stage(x)
        outputs.append(x)
    return outputs


@contextlib.contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm as in training, without a change of its running statistics: for maps that are gone through twice."""
    norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counter) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter


def pad_to_multiple(image: Float[Tensor, "b c h w"], multiple: int, *, minimum: int = 1) -> Float[Tensor, "b c h2 w2"]:
    """Repeat the last row and column until height and width are multiples of `multiple`, and at least `minimum`.

    Repeating the border works from one pixel on, where mirroring would run out of pixels. Undone by
    `padded[..., :h, :w]`.
    """
    # Multiples are made by a product of positive numbers: that, torch.export can reason about (and ONNX can divide).
    fewest = -(-minimum // multiple)
    height, width = (multiple * max((side + multiple - 1) // multiple, fewest) for side in image.shape[-2:])
    return nn.functional.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]), mode="replicate")


@torch.no_grad()
def initialise(module: nn.Module, rng: torch.Generator | None = None) -> None:
    """Draw every weight below `module` as Isola et al. 2017, appendix 6.2: N(0, 0.02), norm scales N(1, 0.02).

    Biases become 0. `rng` lives on the device of the module (the CPU, for a new one); None is torch's global one.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            _initialise_weight(layer, rng)
        elif isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm) and layer.affine:
            layer.weight.normal_(1.0, INIT_STD, generator=rng)
        else:
            continue
        if layer.bias is not None:
            layer.bias.zero_()


def _initialise_weight(layer: nn.Module, rng: torch.Generator | None) -> None:
    """Draw one weight. Spectral norm keeps estimates of the weight's singular vectors: they are begun anew."""
    spectral = parametrize.is_parametrized(layer, "weight")
    if spectral:
        parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, Tensor), "a layer has one weight"
    layer.weight.normal_(0.0, INIT_STD, generator=rng)
    if spectral:
        with global_rng_from(rng):
            spectral_norm(layer)


@contextlib.contextmanager
def global_rng_from(rng: torch.Generator | None) -> Iterator[None]:
    """Let code that can draw from torch's global CPU generator only draw from `rng`, and leave the global one alone.

    With None nothing changes.
    """
    if rng is None:
        yield
        return
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(int(torch.randint(2**62, (1,), generator=rng, device=rng.device)))
    try:
        yield
    finally:
        torch.set_rng_state(state)
