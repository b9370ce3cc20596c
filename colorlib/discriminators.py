"""PatchGAN, a discriminator that scores every patch of an image, and the size of such a patch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from colorlib.blocks import conv_block, initialise, norm_without_layer

# Receptive field in pixels -> number of convolutions of stride 2 (Isola et al. 2017, appendix 6.1.2). Each of them
# about doubles the patch. 1 is the paper's PixelGAN: all its kernels are 1x1.
STRIDED_LAYERS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


class PatchGAN(nn.Module):
    """A discriminator with a logit for each patch of `receptive_field` x `receptive_field` pixels; above 0 means real.

    It is that of Isola et al. 2017, section 3.2 and appendix 6.1.2. The input is `cat([L, ab], 1)`, or ab alone for a
    discriminator that does not see the condition (`in_channels=2`). The part of a patch that is outside the image is
    filled with zeros.

    Give it `norm="layer"`, `"instance"`, `"spectral"` or `"none"` for WGAN-GP: batch norm lets one sample change the
    score of another, and the penalty is on each sample's own gradient (Gulrajani et al. 2017, section 4).

    Raises ValueError for another receptive field or norm (listing the right ones) and in `forward` for an image that
    is too small for the kernels (naming the smallest).
    """

    def __init__(
        self,
        in_channels: int = 3,
        receptive_field: int = 70,
        width: int = 64,
        norm: str = "batch",
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if receptive_field not in STRIDED_LAYERS:
            known = ", ".join(map(str, STRIDED_LAYERS))
            raise ValueError(f"expected a receptive field of {known} pixels, got {receptive_field}")
        kernel = 1 if receptive_field == 1 else 4
        strides = [2] * STRIDED_LAYERS[receptive_field] + [1]
        if receptive_field == 1:
            strides = [1, 1]
        channels = [width * min(2**i, 8) for i in range(len(strides))]

        # The first layer has no norm, because a norm would remove the mean colour of the image.
        bare = norm_without_layer(norm)
        layers = [_layer(in_channels, channels[0], kernel, strides[0], bare)]
        for below, here, stride in zip(channels, channels[1:], strides[1:], strict=False):
            layers.append(_layer(below, here, kernel, stride, norm))
        score = conv_block(channels[-1], 1, kernel=kernel, norm=bare)
        self.layers = nn.Sequential(*layers, score)
        self.smallest = smallest_input(self)
        initialise(self, rng)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        if min(x.shape[-2:]) < self.smallest:
            raise ValueError(
                f"expected an image of at least {self.smallest} x {self.smallest} pixels, got {x.shape[-2]} x "
                f"{x.shape[-1]}; try a smaller receptive field"
            )
        return self.layers(x)


def _layer(in_channels: int, out_channels: int, kernel: int, stride: int, norm: str) -> nn.Sequential:
    return conv_block(in_channels, out_channels, kernel=kernel, stride=stride, norm=norm, activation=nn.LeakyReLU(0.2))


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions in `module`, first to last. Raises ValueError for layers that enlarge or pool."""
    others = (nn.ConvTranspose2d, nn.Upsample, nn.PixelShuffle, nn.MaxPool2d, nn.AvgPool2d)
    for layer in module.modules():
        if isinstance(layer, others):
            raise ValueError(f"expected a chain of convolutions, got a {type(layer).__name__} in it")
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def receptive_field(module: nn.Module) -> int:
    """Return the side of the square of input pixels on which one output of a chain of convolutions depends.

    Counted from the output to the input, r outputs depend on (r - 1) * stride + dilation * (kernel - 1) + 1 inputs.
    """
    field = 1
    for conv in reversed(convolutions(module)):
        field = (field - 1) * conv.stride[0] + conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return field


def smallest_input(module: nn.Module) -> int:
    """Return the smallest image side for which a chain of convolutions has an output, counted in the same way."""
    side = 1
    for conv in reversed(convolutions(module)):
        padding = conv.padding[0]
        assert isinstance(padding, int), "our convolutions are padded by a number of pixels"
        side = (side - 1) * conv.stride[0] + conv.dilation[0] * (conv.kernel_size[0] - 1) + 1 - 2 * padding
        side = max(side, 1)
    return side
