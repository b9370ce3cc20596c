"""Generators, which predict ab from L: pix2pix's U-Net, a residual U-Net, and a U-Net with a known encoder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from colorlib import efficientnet
from colorlib.blocks import (
    AdditiveUp,
    Block,
    ResidualBlock,
    ResidualUp,
    down_block,
    each_output,
    global_rng_from,
    initialise,
    norm_for_any_size,
    norm_without_layer,
    pad_to_multiple,
    up_block,
)
from colorlib.color import grey_srgb
from colorlib.errors import ColorlibError

# Channels double on every level down and stop at eight times the first: C64-C128-C256-C512-C512-...
WIDEST = 8
# Innermost decoder blocks that drop out: CD512-CD512-CD512-C512-C256-... (Isola et al. 2017, appendix 6.1.1)
DROPOUT_BLOCKS = 3
MAX_DEPTH = 8  # the paper's, for 256 px


class UNet(nn.Module):
    """The generator of pix2pix: Isola et al. 2017, section 3.2.1 and appendix 6.1.1.

    `depth` blocks halve the image and as many double it. Every map of the decoder is concatenated with the encoder's
    map of the same size. As in the paper, the outermost encoder block has no norm. The innermost block has none either,
    because a map of one pixel cannot be normalised. `dropout` acts in the three innermost decoder blocks, in training
    only, and is the paper's only source of noise. Only the last convolution has a bias.

    `forward` takes L, -1..1, of any height and width from 1 on (padded to a multiple of 2^depth by repeating the
    border, and cropped back) and returns ab, -1..1 (tanh).

    Raises ValueError for a depth outside 1..8, another `upsample` than transpose or resize, or an unknown norm.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        depth: int = 8,
        width: int = 64,
        dropout: float = 0.5,
        upsample: str = "transpose",
        norm: str = "batch",
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_depth(depth)
        channels = _channels(width, depth)  # of the encoder's maps, outermost first
        self.multiple = 2**depth

        self.down = nn.ModuleList()
        for level, (above, here) in enumerate(zip([in_channels, *channels], channels, strict=False)):
            bare = level in (0, depth - 1)
            self.down.append(down_block(above, here, norm=norm_without_layer(norm) if bare else norm))

        self.up = nn.ModuleList()
        for level in reversed(range(1, depth)):
            # All blocks but the innermost also get the encoder's map of their size, hence twice the channels.
            joined = channels[level] * (1 if level == depth - 1 else 2)
            drop = dropout if depth - 1 - level < DROPOUT_BLOCKS else 0.0
            self.up.append(
                up_block(joined, channels[level - 1], upsample=upsample, norm=norm, dropout=drop, activation=nn.ReLU())
            )
        joined = channels[0] * (1 if depth == 1 else 2)
        self.up.append(up_block(joined, out_channels, upsample=upsample, norm="none", activation=nn.Tanh(), bias=True))
        initialise(self, rng)

    def forward(self, L: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        height, width = L.shape[-2:]
        x = pad_to_multiple(L, self.multiple)
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.up[0](skips.pop())
        for up in self.up[1:]:
            x = up(torch.cat([x, skips.pop()], dim=1))
        return x[..., :height, :width]


class ResUNet(nn.Module):
    """A U-Net of residual blocks that is cheap on a CPU: no wide map has more than half the image's resolution.

    The stem halves the image with one 4x4 convolution, `depth - 1` strided residual blocks halve it further, two more
    work at the innermost level, and the decoder doubles the maps up to half the resolution. There a 3x3 convolution
    predicts the four pixels below each half-resolution one (sub-pixel convolution, Shi et al. 2016), then tanh.

    `norm="layer"` or `"none"` makes a sample's output independent of its batch. The innermost level has layer norm
    instead of batch or instance norm, which have nothing to average on one pixel. `dropout` acts in the three
    innermost decoder blocks.

    `forward`: as `UNet`. Raises ValueError for a depth outside 1..8 or an unknown norm.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        depth: int = 4,
        width: int = 64,
        dropout: float = 0.0,
        norm: str = "batch",
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_depth(depth)
        channels = _channels(width, depth)
        self.multiple = 2**depth
        inner_norm = norm_for_any_size(norm)

        self.stem = down_block(in_channels, width, norm=norm_without_layer(norm))
        self.down = nn.ModuleList()
        for level, (above, here) in enumerate(pairwise(channels), start=1):
            self.down.append(ResidualBlock(above, here, stride=2, norm=inner_norm if level == depth - 1 else norm))
        self.middle = nn.Sequential(*(ResidualBlock(channels[-1], channels[-1], norm=inner_norm) for _ in range(2)))
        self.decoder = ResidualDecoder(channels, channels[:-1], out_channels, norm=norm, dropout=dropout)
        initialise(self, rng)

    def forward(self, L: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        height, width = L.shape[-2:]
        maps = [self.stem(pad_to_multiple(L, self.multiple))]
        for down in self.down:
            maps.append(down(maps[-1]))
        maps[-1] = self.middle(maps[-1])
        return self.decoder(maps)[..., :height, :width]


class ResidualDecoder(nn.Module):
    """Predict ab from an encoder's maps. The first has half the image's resolution, each further one half the size."""

    def __init__(
        self,
        encoder_channels: list[int],
        decoder_channels: list[int],
        out_channels: int,
        *,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.up = nn.ModuleList()
        below = encoder_channels[-1]
        for step, (skip, here) in enumerate(zip(encoder_channels[-2::-1], decoder_channels[::-1], strict=True)):
            drop = dropout if step < DROPOUT_BLOCKS else 0.0
            self.up.append(ResidualUp(below, skip, here, norm=norm, dropout=drop))
            below = here
        self.head = nn.Sequential(nn.Conv2d(below, 4 * out_channels, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())

    def forward(self, maps: list[Tensor]) -> Float[Tensor, "b o h w"]:
        x = maps[-1]
        for up, skip in zip(self.up, maps[-2::-1], strict=True):
            x = up(x, skip)
        return self.head(x)


class QuarterDecoder(nn.Module):
    """Predict ab at a quarter of the image's resolution from an encoder's maps, each half the size of the one before.

    Colour changes less from pixel to pixel than lightness, so ab is then enlarged bilinearly. The first map, which has
    half the image's size, is not used.
    """

    def __init__(
        self,
        encoder_channels: list[int],
        out_channels: int,
        width: int,
        *,
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.up = nn.ModuleList()
        below, skips = encoder_channels[-1], encoder_channels[-2:0:-1]
        for skip, here in zip(skips, _channels(width, len(skips))[::-1], strict=True):
            self.up.append(AdditiveUp(below, skip, here, norm=norm, dropout=dropout))
            below = here
        self.head = nn.Sequential(nn.Conv2d(below, out_channels, 3, padding=1), nn.Tanh())

    def forward(self, maps: list[Tensor]) -> Float[Tensor, "b o h w"]:
        x = maps[-1]
        for up, skip in zip(self.up, maps[-2:0:-1], strict=True):
            x = up(x, skip)
        return nn.functional.interpolate(self.head(x), scale_factor=4.0, mode="bilinear")


@dataclass(frozen=True)
class Backbone:
    """An encoder's five stages, each of which halves its input: the channels of each, and how to cut them.

    `trunk` turns a torchvision network into one chain of layers, and `ends` are the stages' ends in that chain.
    Without a trunk the network is the one in `colorlib.efficientnet`.
    """

    channels: tuple[int, ...]
    trunk: str = ""
    ends: tuple[int, ...] = ()


_RESNET_TRUNK = "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4"
BACKBONES = {
    "efficientnet_lite0": Backbone(efficientnet.CHANNELS),
    "resnet18": Backbone((64, 64, 128, 256, 512), _RESNET_TRUNK, (3, 5, 6, 7, 8)),
    "resnet34": Backbone((64, 64, 128, 256, 512), _RESNET_TRUNK, (3, 5, 6, 7, 8)),
    "resnet50": Backbone((64, 256, 512, 1024, 2048), _RESNET_TRUNK, (3, 5, 6, 7, 8)),
    "mobilenet_v3_large": Backbone((16, 24, 40, 112, 960), "features", (2, 4, 7, 13, 17)),
    "efficientnet_b0": Backbone((16, 24, 40, 112, 1280), "features", (2, 3, 4, 6, 9)),
}


class BackboneUNet(nn.Module):
    """A U-Net whose encoder is a known network. With `pretrained=True` it knows the photographs of ImageNet.

    `efficientnet_lite0` is part of this package, and so are its ImageNet weights. L becomes grey sRGB, and the decoder
    predicts ab at a quarter of the resolution, where it is `width` channels wide (wider below).

    The others are torchvision's. Their `pretrained=True` downloads torchvision's weights; nothing else does. L -1..1
    becomes grey 0..1, and the decoder is `ResUNet`'s, `width` channels wide at half the resolution.

    Grey is repeated to three channels and normalised as the encoder was trained. Batch norm of a pretrained encoder
    always stays in eval mode, so that its statistics remain those of ImageNet. While `frozen` is set, no gradient is
    computed for the encoder. `dropout` acts in the decoder.

    `forward`: as `UNet`, padded to a multiple of 32 pixels, 64 at least.

    Raises ValueError, which lists the backbones, for an unknown one, and ColorlibError if the weights are missing.
    """

    MULTIPLE = 32
    MEAN = (0.485, 0.456, 0.406)  # of the sRGB values of ImageNet, as torchvision's weights expect them
    STD = (0.229, 0.224, 0.225)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        pretrained: bool = False,
        out_channels: int = 2,
        width: int = 32,
        dropout: float = 0.0,
        norm: str = "batch",
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"expected backbone {', '.join(BACKBONES)}, got {backbone!r}")
        channels = list(BACKBONES[backbone].channels)
        self.pretrained, self.frozen = pretrained, False
        self.from_torchvision = bool(BACKBONES[backbone].trunk)
        if self.from_torchvision:
            self.stages = _torchvision_stages(backbone, pretrained, rng)
            widths = _channels(width, len(channels) - 1)
            self.decoder: nn.Module = ResidualDecoder(channels, widths, out_channels, norm=norm, dropout=dropout)
            mean, std = self.MEAN, self.STD
        else:
            self.stages = efficientnet.EfficientNetLite0(pretrained, rng=rng).stages
            self.decoder = QuarterDecoder(channels, out_channels, width, norm=norm, dropout=dropout)
            mean, std = efficientnet.MEAN, efficientnet.STD
        initialise(self.decoder, rng)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.train()

    def train(self, mode: bool = True) -> BackboneUNet:
        """Set the mode of every layer, but leave batch norm of a pretrained or frozen encoder in eval mode."""
        super().train(mode)
        for layer in self.stages.modules():
            if isinstance(layer, nn.BatchNorm2d) and (self.pretrained or self.frozen):
                layer.eval()
        return self

    def forward(self, L: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b o h w"]:
        height, width = L.shape[-2:]
        # 32 pixels would be one at the innermost level, and a norm over one value is undefined.
        L = pad_to_multiple(L, self.MULTIPLE, minimum=2 * self.MULTIPLE)
        grey = (L + 1) / 2 if self.from_torchvision else grey_srgb(L)
        x = (grey - self.mean) / self.std  # one channel against three: repeated
        with torch.no_grad() if self.frozen else nullcontext():
            maps = each_output(self.stages, x)
        return self.decoder(maps)[..., :height, :width]


def _torchvision_stages(backbone: str, pretrained: bool, rng: torch.Generator | None) -> nn.ModuleList:
    """Return the five stages of a torchvision network, with its own initialisation drawn from `rng`."""
    from torchvision.models import get_model  # slow to import, and only this class needs it

    try:
        with global_rng_from(rng):
            network = get_model(backbone, weights="DEFAULT" if pretrained else None)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = str(error).partition("\n")[0]
        raise ColorlibError(
            f"cannot download the ImageNet weights of {backbone} ({reason}); try again online, or pretrained=False"
        ) from error
    plan = BACKBONES[backbone]
    chain = [layer for name in plan.trunk.split() for layer in _flat(getattr(network, name), name)]
    return nn.ModuleList(Block(*chain[start:end]) for start, end in pairwise((0, *plan.ends)))


def _flat(layer: nn.Module, name: str) -> list[nn.Module]:
    """`features` is itself a chain of layers; the members of a ResNet are links of one."""
    return list(layer.children()) if name == "features" else [layer]


def check_depth(depth: int) -> None:
    """Raise ValueError unless a U-Net of this depth can be built."""
    if not 1 <= depth <= MAX_DEPTH:
        raise ValueError(f"expected depth 1 to {MAX_DEPTH}, got {depth}; floor(log2(image size)) fits the image")


def _channels(width: int, levels: int) -> list[int]:
    """Return the channels of each level, outermost first: width, 2 width, 4 width, 8 width, 8 width, ..."""
    return [width * min(2**level, WIDEST) for level in range(levels)]
