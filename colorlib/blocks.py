"""The building blocks of the networks: convolution, norm, activation; down, up and residual blocks; initialisation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

# The layer that follows a convolution, by the name of the norm. Spectral norm does not add a layer, because it
# normalises the weights of the convolution itself (see `conv_block`).
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,  # mean and variance of each channel over the whole batch
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),  # of each channel of each sample
    "layer": lambda channels: nn.GroupNorm(1, channels),  # of each sample, over all its channels together
    "spectral": lambda channels: nn.Identity(),
    "none": lambda channels: nn.Identity(),
}
UPSAMPLINGS = ("transpose", "resize")

INIT_STD = 0.02  # Isola et al. 2017, appendix 6.2


def norm_layer(norm: str, channels: int) -> nn.Module:
    """Return the norm layer called `norm` for maps of `channels` channels. Raises ValueError for an unknown name."""
    if norm not in NORMS:
        raise ValueError(f"expected norm to be one of {', '.join(NORMS)}, got {norm!r}")
    return NORMS[norm](channels)


def norm_for_any_size(norm: str) -> str:
    """Return a norm that also works on maps of one pixel: `layer` instead of `batch` or `instance`, otherwise `norm`.

    Batch and instance norm need more than one value of each channel. On a map of one pixel they can fail.
    """
    return "layer" if norm in ("batch", "instance") else norm


def norm_without_layer(norm: str) -> str:
    """Return the norm for a place where maps must not be normalised: `spectral`, which acts on weights, or `none`."""
    return "spectral" if norm == "spectral" else "none"


class Block(nn.Sequential):
    """Apply layers one after the other, optionally with gradient checkpointing.

    With `checkpointing`, a training step keeps only the input of the block in memory. The backward pass computes the
    maps between the layers a second time (Chen et al. 2016, "Training deep nets with sublinear memory cost"). In this
    second computation dropout draws the same numbers as in the first, and batch norm does not update its running
    statistics again.
    """

    checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return super().forward(x)
        if torch.compiler.is_compiling():
            return checkpoint(super().forward, x, use_reentrant=False)
        return checkpoint(super().forward, x, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        """Return the contexts in which the layers run in the forward pass and when they are computed again."""
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
    """Build a block of convolution, norm, dropout and activation, in this order.

    These are the blocks Ck and CDk (with dropout) of Isola et al. 2017, appendix 6.1. Maps are padded by
    `(kernel - 1) // 2`. A kernel of 4 with stride 2 then halves height and width (with `transpose` it doubles them),
    and an odd kernel with stride 1 keeps them. `bias=None` gives the convolution a bias only if no norm layer follows,
    because a norm layer adds a shift of its own.
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
    """Build one stage of pix2pix's encoder, which halves height and width. It has no bias, with or without a norm."""
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
    """Build one stage of pix2pix's decoder, which doubles height and width.

    `upsample="transpose"` is the transposed 4x4 convolution of the paper. `upsample="resize"` turns each pixel into
    2x2 equal pixels and then applies a 3x3 convolution. It cannot produce the checkerboard pattern of transposed
    convolutions (Odena et al. 2016, "Deconvolution and checkerboard artifacts"), but needs 2.25 times as many
    multiplications.
    """
    if upsample not in UPSAMPLINGS:
        raise ValueError(f"expected upsample to be {' or '.join(UPSAMPLINGS)}, got {upsample!r}")
    if upsample == "transpose":
        return conv_block(
            in_channels, out_channels, kernel=4, stride=2, transpose=True,
            norm=norm, dropout=dropout, activation=activation, bias=bias,
        )  # fmt: skip
    conv = conv_block(in_channels, out_channels, norm=norm, dropout=dropout, activation=activation, bias=bias)
    return Block(nn.Upsample(scale_factor=2, mode="nearest"), *conv)


class ResidualBlock(nn.Module):
    """Compute relu(shortcut(x) + branch(x)), the basic block of He et al. 2016, figure 2.

    The branch consists of two 3x3 convolutions. The shortcut is x itself, or a 1x1 convolution of x where the shape
    changes. Because the two are added, the gradient reaches both.
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
        # A 1x1 convolution with a stride reads only every stride-th pixel. These pixels are picked here, and the
        # convolution itself has no stride: with few channels, oneDNN's strided 1x1 convolution writes outside its
        # memory and the process crashes (uxlfoundation/oneDNN issue 6035).
        picked = x[..., :: self.stride, :: self.stride] if self.stride > 1 else x
        return nn.functional.relu(self.shortcut(picked) + self.branch(x))


class ResidualUp(nn.Module):
    """One stage of a residual decoder: reduce the channels, double the size, join the encoder's map of that size.

    The 1x1 convolution is applied before the map is enlarged, because it then costs a quarter. The map may have only
    one pixel at this point, so that layer norm replaces batch and instance norm (see `norm_for_any_size`).
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
    """One stage of a light decoder: reduce the channels, double the size, add the encoder's map of that size.

    Two 3x3 convolutions compute a residual, which is added to this sum. `dropout` sets whole channels to zero (Tompson
    et al. 2015, "Efficient object localization using convolutional networks", section 3.2). Neighbouring pixels of a
    map are so similar that a single pixel set to zero would hide nothing.
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
    """Apply modules one after the other, each to the output of the module before, and return all their outputs."""
    outputs = []
    for stage in stages:
        x = stage(x)
        outputs.append(x)
    return outputs


@contextlib.contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norm unchanged while the batch norm works as in training.

    This is for layers that see the same maps twice in one training step: only the first pass may count.
    """
    # With momentum 0, running = (1 - momentum) * running + momentum * batch leaves the running statistics unchanged.
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
    """Repeat the last row and column until height and width are multiples of `multiple` and at least `minimum`.

    An image of a single pixel can be padded in this way, while mirroring needs more pixels than it adds.
    `padded[..., :h, :w]` is the original image again.
    """
    # Height and width are written as a product of positive integers, because torch.export can then prove that they
    # are multiples of `multiple`, and the ONNX export can divide them.
    fewest = -(-minimum // multiple)
    height, width = (multiple * max((side + multiple - 1) // multiple, fewest) for side in image.shape[-2:])
    return nn.functional.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]), mode="replicate")


@torch.no_grad()
def initialise(module: nn.Module, rng: torch.Generator | None = None) -> None:
    """Draw all weights of `module` and its submodules from N(0, 0.02), as in Isola et al. 2017, appendix 6.2.

    The scales of norm layers are drawn from N(1, 0.02), and biases are set to 0. The second parameter of N is the
    standard deviation. `rng` must be on the device of the module, which is the CPU for a new module. With None,
    torch's global generator is used.
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
    """Draw the weight of one layer.

    Spectral norm stores estimates of the singular vectors of the weight. They would be wrong for the new weight, so
    the spectral norm is removed first and applied again afterwards.
    """
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
    """Make torch's global CPU generator draw from `rng` for a while, and restore its state afterwards.

    This is for code that cannot be given a generator of its own. If `rng` is None, nothing is changed.
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
