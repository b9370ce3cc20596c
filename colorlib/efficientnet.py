"""EfficientNet-Lite0: a small network that was trained on ImageNet's photographs, as an encoder.

Tan and Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks", table 1, in the Lite
variant that its authors published for phones in 2020: ReLU6 instead of swish, and no squeeze-and-excitation.
The weights were trained with TensorFlow, so padding and epsilon are TensorFlow's.
"""

from __future__ import annotations

from importlib import resources

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from colorlib.blocks import Block, each_output

STEM_CHANNELS = 32
# Stages 2 to 8 of the paper's table 1, a level for each halving of the image. Of each stage: output channels, kernel,
# stride of the first block, expansion, number of blocks.
LEVELS = (
    ((16, 3, 1, 1, 1),),
    ((24, 3, 2, 6, 2),),
    ((40, 5, 2, 6, 2),),
    ((80, 3, 2, 6, 3), (112, 5, 1, 6, 3)),
    ((192, 5, 2, 6, 4), (320, 3, 1, 6, 1)),
)
CHANNELS = tuple(level[-1][0] for level in LEVELS)
EPSILON = 1e-3
# The network was trained on (255 x - 127) / 128 for sRGB values x in 0..1.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
WEIGHTS_FILE = "efficientnet_lite0.safetensors"


class EfficientNetLite0(nn.Module):
    """The network without its classifier: five stages, each of which halves the image.

    The 2,958,848 weights are random (He et al. 2015), or those learned on ImageNet, which ship with this package.
    `features` takes sRGB, normalised by `MEAN` and `STD`, of any height and width.
    """

    def __init__(self, pretrained: bool = False, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        layers: list[nn.Module] = conv_norm(3, STEM_CHANNELS, kernel=3, stride=2)
        channels = STEM_CHANNELS
        for level in LEVELS:
            for out_channels, kernel, stride, expansion, repeats in level:
                for i in range(repeats):
                    layers.append(MBConv(channels, out_channels, kernel, stride if i == 0 else 1, expansion))
                    channels = out_channels
            self.stages.append(Block(*layers))
            layers = []
        if pretrained:
            self.load_state_dict(imagenet_weights())
            return
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, generator=rng)

    def features(self, x: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps at strides 2, 4, 8, 16 and 32, with 16, 24, 40, 112 and 320 channels; sizes are rounded up."""
        return each_output(self.stages, x)


class MBConv(nn.Module):
    """Inverted bottleneck of Sandler et al. 2018 (MobileNetV2), figure 4d: widen, filter each channel, project.

    The projection has no activation. Where the shape stays, x is added to it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.branch = nn.Sequential(
            *(conv_norm(in_channels, wide) if expansion > 1 else []),
            *conv_norm(wide, wide, kernel=kernel, stride=stride, groups=wide),
            *conv_norm(wide, out_channels)[:-1],
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return x + self.branch(x) if self.residual else self.branch(x)


def conv_norm(
    in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution, batch norm and ReLU6: the only layers of this network."""
    return [
        SameConv(in_channels, out_channels, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=EPSILON),
        nn.ReLU6(inplace=True),
    ]


class SameConv(nn.Conv2d):
    """A convolution with an odd kernel and TensorFlow's SAME padding: an output has ceil(side / stride) pixels.

    With stride 2 an even side needs one pixel less before the picture than after it. PyTorch's own padding, equal on
    both sides, would move each map by a pixel.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        after = self.kernel_size[0] // 2
        if self.stride == (1, 1):
            return nn.functional.conv2d(x, self.weight, None, self.stride, after, 1, self.groups)
        top, left = (after - 1 + side % 2 for side in x.shape[-2:])
        padded = nn.functional.pad(x, (left, after, top, after))
        return nn.functional.conv2d(padded, self.weight, None, self.stride, 0, 1, self.groups)


def imagenet_weights() -> dict[str, Tensor]:
    """The weights that ship, in half precision (tools/encoder.py wrote them)."""
    with resources.as_file(resources.files("colorlib") / "weights" / WEIGHTS_FILE) as path:
        return load_file(path)
