"""Generators: the paper's table, any size, gradients everywhere, and what each promises of its own."""

from __future__ import annotations

from collections.abc import Callable
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from colorlib.blocks import NORMS, AdditiveUp, global_rng_from
from colorlib.devices import make_rng
from colorlib.efficientnet import EfficientNetLite0
from colorlib.errors import ColorlibError
from colorlib.generators import BACKBONES, BackboneUNet, ResUNet, UNet


def lightness(*shape: int) -> Tensor:
    """A random L, -1..1."""
    return 2 * torch.rand(shape, generator=make_rng("L", *shape)) - 1


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def untouched(module: nn.Module) -> list[str]:
    """Names of the parameters that got no gradient."""
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


SMALL: dict[str, Callable[..., nn.Module]] = {
    "unet": lambda **options: UNet(**{"depth": 4, "width": 8, "rng": make_rng("unet"), **options}),
    "unet-resize": lambda **options: UNet(
        **{"depth": 4, "width": 8, "upsample": "resize", "rng": make_rng("unet"), **options}
    ),
    "resunet": lambda **options: ResUNet(**{"depth": 4, "width": 8, "rng": make_rng("resunet"), **options}),
    "backbone": lambda **options: BackboneUNet(**{"width": 4, "rng": make_rng("backbone"), **options}),
    "resnet18": lambda **options: BackboneUNet("resnet18", **{"width": 4, "rng": make_rng("backbone"), **options}),
}


# --- what all of them promise --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_size_comes_back(name: str) -> None:
    generator = SMALL[name]()
    for height, width in [(1, 1), (1, 50), (17, 16), (32, 32), (28, 60)]:
        for batch in (1, 2):
            ab = generator.train()(lightness(batch, 1, height, width))
            assert ab.shape == (batch, 2, height, width)
            assert ab.isfinite().all() and ab.abs().max() <= 1
        assert generator.eval()(lightness(1, 1, height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize("name", SMALL)
def test_an_odd_size_is_the_crop_of_the_same_image_with_its_border_repeated(name: str) -> None:
    generator = SMALL[name]().eval()
    L = lightness(1, 1, 50, 60)
    padded = torch.from_numpy(np.pad(L.numpy(), [(0, 0), (0, 0), (0, 14), (0, 4)], mode="edge"))
    assert torch.allclose(generator(L), generator(padded)[..., :50, :60], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_of_every_parameter_is_there(name: str) -> None:
    generator = SMALL[name]()
    ab = generator(lightness(2, 1, 32, 32))
    (ab - 0.5).abs().mean().backward()
    assert untouched(generator) == []


@pytest.mark.parametrize("name", SMALL)
def test_skips_carry_gradient_past_a_blocked_bottleneck(name: str) -> None:
    generator = SMALL[name]()
    encoder = [generator.stem, *generator.down] if isinstance(generator, ResUNet) else (
        generator.stages if isinstance(generator, BackboneUNet) else generator.down)  # fmt: skip
    encoder[-1].register_forward_hook(lambda _, inputs, output: output.detach())
    (generator(lightness(2, 1, 32, 32)) - 0.5).abs().mean().backward()
    assert untouched(encoder[-1]) == [key for key, _ in encoder[-1].named_parameters()]
    for block in encoder[:-1]:
        assert untouched(block) == []


@pytest.mark.parametrize("name", SMALL)
def test_tanh_bounds_the_output_whatever_comes_in(name: str) -> None:
    ab = SMALL[name]().eval()(1e4 * lightness(1, 1, 32, 32))
    assert ab.abs().max() <= 1
    assert ab.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_no_weight_starts_at_zero_and_the_same_generator_draws_the_same(name: str) -> None:
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(SMALL[name]().state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    other = SMALL[name](rng=make_rng("other")).state_dict()
    assert any(not torch.equal(states[0][key], other[key]) for key in other)
    for parameter_name, parameter in SMALL[name]().named_parameters():
        assert parameter.any() or parameter_name.endswith("bias"), parameter_name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "resunet", "backbone", "resnet18"])
def test_dropout_is_noise_in_training_and_gone_in_use(name: str) -> None:
    generator = SMALL[name](dropout=0.5)
    L = lightness(2, 1, 32, 32)
    assert not torch.equal(generator(L), generator(L))
    generator.eval()
    assert torch.equal(generator(L), generator(L))
    assert not any(isinstance(layer, nn.Dropout | nn.Dropout2d) for layer in SMALL[name](dropout=0.0).modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "unet-resize", "resunet"])
def test_it_learns_a_colour_that_follows_from_lightness(name: str) -> None:
    generator = SMALL[name](dropout=0.0)
    L = lightness(8, 1, 1, 1).expand(8, 1, 16, 16) + 0.1 * lightness(8, 1, 16, 16)
    truth = torch.cat([0.5 * L.sign(), -0.3 * L.sign()], 1)
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3)
    errors = []
    for _ in range(40):
        optimizer.zero_grad()
        error = (generator(L) - truth).abs().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < errors[0] / 3


@pytest.mark.parametrize("name", SMALL)
def test_bf16_autocast_gives_about_the_same(name: str) -> None:
    generator, L = SMALL[name]().eval(), lightness(1, 1, 33, 32)
    with torch.no_grad():
        expected = generator(L)
        with torch.autocast("cpu", torch.bfloat16):
            got = generator(L)
    assert (got.float() - expected).abs().max() < 0.05 * expected.abs().max() + 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [UNet, ResUNet])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_works_at_every_depth_on_one_pixel(architecture: type[nn.Module], norm: str) -> None:
    for depth in range(1, 9):
        generator = architecture(depth=depth, width=2, norm=norm)
        ab = generator(lightness(1, 1, 1, 3))
        assert ab.shape == (1, 2, 1, 3) and ab.isfinite().all()


@pytest.mark.parametrize("architecture", [UNet, ResUNet])
def test_wrong_arguments_are_named(architecture: type[nn.Module]) -> None:
    for depth in (0, 9):
        with pytest.raises(ValueError, match=f"depth 1 to 8, got {depth}"):
            architecture(depth=depth)
    with pytest.raises(ValueError, match="got 'bach'"):
        architecture(norm="bach")


# --- pix2pix's U-Net -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_default_has_the_papers_parameters() -> None:
    assert count(UNet()) == 54_409_858


def papers_count(depth: int, width: int) -> int:
    """4x4 kernels down and up the paper's table, two numbers a channel of a norm, and the last layer's two biases."""
    channels = [min(width * 2**level, width * 8) for level in range(depth)]
    encoder = sum(16 * a * b for a, b in zip([1, *channels], channels, strict=False))
    decoder = sum(16 * b * a * (1 if b_level == depth - 1 else 2) for b_level, (a, b) in enumerate(
        zip([2, *channels], channels, strict=False)))  # fmt: skip
    norms = 2 * sum(channels[1:-1]) + 2 * sum(channels[:-1])
    return encoder + decoder + norms + 2


@pytest.mark.parametrize("depth", range(1, 9))
def test_parameters_at_every_depth(depth: int) -> None:
    assert count(UNet(depth=depth, width=8)) == papers_count(depth, 8)


def test_the_maps_on_the_way_are_the_papers() -> None:
    """Isola et al. 2017, appendix 6.1.1, at 256 px: C64 at 128 px to C512 at 1 px, and back up with the skips."""
    generator = UNet(width=4).eval()  # a sixteenth of the paper's 64
    shapes: dict[str, list[tuple[int, int]]] = {"down": [], "up": []}
    for side in shapes:
        for block in getattr(generator, side):
            block.register_forward_hook(
                lambda _, inputs, output, side=side: shapes[side].append((output.shape[1] * 16, output.shape[2]))
            )
    generator(lightness(1, 1, 256, 256))
    encoder = [(64, 128), (128, 64), (256, 32), (512, 16), (512, 8), (512, 4), (512, 2), (512, 1)]
    decoder = [(512, 2), (512, 4), (512, 8), (512, 16), (256, 32), (128, 64), (64, 128), (2 * 16, 256)]
    assert shapes == {"down": encoder, "up": decoder}


@pytest.mark.parametrize(("depth", "blocks"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (8, 3)])
def test_dropout_stands_in_the_three_innermost_blocks_but_never_in_the_last(depth: int, blocks: int) -> None:
    generator = UNet(depth=depth, width=2)
    dropping = [any(isinstance(layer, nn.Dropout) for layer in block) for block in generator.up]
    assert dropping == [True] * blocks + [False] * (depth - blocks)


def test_where_norms_stand() -> None:
    generator = UNet(depth=5, width=2)
    normed = [[any(isinstance(layer, nn.BatchNorm2d) for layer in block) for block in side]
              for side in (generator.down, generator.up)]  # fmt: skip
    assert normed == [[False, True, True, True, False], [True, True, True, True, False]]


@pytest.mark.parametrize("architecture", ["unet", "unet-resize"])
def test_skips_arrive_undamaged_at_the_block_of_their_size(architecture: str) -> None:
    generator = SMALL[architecture]()
    sent: list[Tensor] = []
    received: list[Tensor] = []
    for block in generator.down:
        block.register_forward_hook(lambda _, inputs, output: sent.append(output.clone()))
    for block in generator.up:
        block.register_forward_hook(lambda _, inputs, output: received.append(inputs[0].clone()))
    generator(lightness(2, 1, 16, 16))
    assert torch.equal(received[0], sent[-1])
    for skip, joined in zip(sent[-2::-1], received[1:], strict=True):
        assert torch.equal(joined[:, -skip.shape[1] :], skip)


def test_other_channels_and_the_wrong_upsampling() -> None:
    assert UNet(in_channels=3, out_channels=5, depth=3, width=4)(lightness(2, 3, 8, 8)).shape == (2, 5, 8, 8)
    with pytest.raises(ValueError, match="transpose or resize, got 'cubic'"):
        UNet(upsample="cubic")


# --- the residual U-Net --------------------------------------------------------------------------------------------


def test_a_sensible_residual_unet_fits_sixteen_mebibytes_in_half_precision() -> None:
    assert count(ResUNet(width=32)) * 2 < 16 * 2**20
    assert count(ResUNet(depth=5, width=32)) * 2 < 16 * 2**20


def test_no_wide_map_has_the_images_resolution() -> None:
    generator = SMALL["resunet"]()
    widest = 0

    def note(_: nn.Module, __: object, output: Tensor) -> None:
        nonlocal widest
        if output.shape[-1] == 32:
            widest = max(widest, output.shape[1])

    for layer in generator.modules():
        layer.register_forward_hook(note)
    generator(lightness(1, 1, 32, 32))
    assert widest == 2


def test_skips_of_the_residual_unet_arrive_undamaged() -> None:
    generator = SMALL["resunet"]()
    sent: list[Tensor] = []
    received: list[Tensor] = []
    for block in (generator.stem, *generator.down):
        block.register_forward_hook(lambda _, inputs, output: sent.append(output.clone()))
    for block in generator.decoder.up:
        block.register_forward_hook(lambda _, inputs, output: received.append(inputs[1].clone()))
    generator(lightness(2, 1, 16, 16))
    assert all(torch.equal(a, b) for a, b in zip(sent[-2::-1], received, strict=True))


@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_norm_lets_one_image_change_another(norm: str) -> None:
    generator = ResUNet(width=4, norm=norm, rng=make_rng("alone"))
    L = lightness(2, 1, 32, 32).requires_grad_()
    generator(L)[0].square().sum().backward()
    assert (L.grad[1] != 0).any() == (norm == "batch")


# --- the U-Net on a backbone ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_is_cut_into_five_halvings_of_the_channels_in_the_table(backbone: str) -> None:
    generator = BackboneUNet(backbone, width=2).eval()
    x = torch.zeros(1, 3, 64, 64)
    for stage, channels, side in zip(generator.stages, BACKBONES[backbone].channels, (32, 16, 8, 4, 2), strict=True):
        x = stage(x)
        assert x.shape == (1, channels, side, side)
    assert generator(lightness(1, 1, 30, 33)).shape == (1, 2, 30, 33)


def test_the_encoder_is_torchvisions_network_with_torchvisions_initialisation() -> None:
    from torchvision.models import resnet18

    with global_rng_from(make_rng("backbone")):
        network = resnet18().eval()
    generator = BackboneUNet("resnet18", rng=make_rng("backbone")).eval()
    x = torch.rand(1, 3, 64, 64, generator=make_rng("photo"))
    features = nn.Sequential(*list(network.children())[:-2])  # all but pooling and classes
    got = x
    for stage in generator.stages:
        got = stage(got)
    assert torch.equal(got, features(x))


def test_lightness_reaches_the_backbone_as_imagenet_grey() -> None:
    """Against torchvision's own Normalize: L -1 is black, L 1 is white."""
    from torchvision.models import ResNet18_Weights

    preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
    generator = BackboneUNet("resnet18", width=2)
    seen: list[Tensor] = []
    generator.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    L = lightness(2, 1, 64, 64)
    generator(L)
    grey = ((L + 1) / 2).expand(2, 3, 64, 64)
    expected = (grey - torch.tensor(preset.mean)[:, None, None]) / torch.tensor(preset.std)[:, None, None]
    assert torch.allclose(seen[0], expected, atol=1e-6)


def test_weights_are_downloaded_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models._api as api

    def offline(url: str, *_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(api, "load_state_dict_from_url", offline)
    BackboneUNet("resnet18", width=2)
    BackboneUNet("efficientnet_lite0", width=2, pretrained=True)
    with pytest.raises(ColorlibError, match=r"cannot download the ImageNet weights of resnet18.*pretrained=False") as e:
        BackboneUNet("resnet18", width=2, pretrained=True)
    assert "\n" not in str(e.value)


def test_pretrained_weights_end_up_in_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models._api as api
    from torchvision.models import resnet18

    weights = {name: torch.full_like(tensor, 0.125) for name, tensor in resnet18().state_dict().items()}
    monkeypatch.setattr(api, "load_state_dict_from_url", lambda url, *_, **__: weights)
    generator = BackboneUNet("resnet18", width=2, pretrained=True)
    assert all((p == 0.125).all() for p in generator.stages.parameters())
    assert not any((p == 0.125).all() for p in generator.decoder.parameters())


def test_an_unknown_backbone_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"efficientnet_lite0, resnet18, resnet34, .*, got 'resnet19'"):
        BackboneUNet("resnet19")


# --- the U-Net on EfficientNet-Lite0 -------------------------------------------------------------------------------


def decoder_count(width: int) -> int:
    """1x1 convolutions from below and from the encoder, two 3x3 convolutions, three norms; then the 3x3 head."""
    total, below = 0, 320
    for skip, here in zip((112, 40, 24), (4 * width, 2 * width, width), strict=True):
        total += below * here + skip * here + here + 2 * 9 * here * here + 3 * 2 * here
        below = here
    return total + 9 * width * 2 + 2


@pytest.mark.parametrize("width", [4, 32, 64])
def test_the_width_is_that_of_the_decoder_alone(width: int) -> None:
    generator = BackboneUNet(width=width)
    assert (count(generator.stages), count(generator.decoder)) == (2_958_848, decoder_count(width))


def test_a_generator_that_ships_in_half_precision_fits_sixteen_mebibytes() -> None:
    assert count(BackboneUNet(width=64)) * 2 < 10e6


def test_the_encoder_sees_the_grey_photograph_as_it_was_trained() -> None:
    """Against scikit-image: Lab with a = b = 0 is the grey photograph, then (255 x - 127) / 128."""
    from skimage.color import lab2rgb

    generator = SMALL["backbone"]()
    seen: list[Tensor] = []
    generator.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    L = torch.linspace(-1, 1, 64 * 64).view(1, 1, 64, 64)
    generator(L)
    lab = np.stack([50 * (L[0, 0].double().numpy() + 1), *np.zeros((2, 64, 64))], -1)
    expected = torch.from_numpy((255 * lab2rgb(lab) - 127) / 128).permute(2, 0, 1).float()
    assert torch.allclose(seen[0][0], expected, atol=1e-3)
    assert torch.equal(seen[0][:, 0], seen[0][:, 1]) and torch.equal(seen[0][:, 0], seen[0][:, 2])


def test_ab_is_predicted_at_a_quarter_of_the_resolution() -> None:
    generator = SMALL["backbone"]().eval()
    small: list[Tensor] = []
    generator.decoder.head.register_forward_hook(lambda _, inputs, output: small.append(output))
    ab = generator(lightness(1, 1, 96, 128))
    assert small[0].shape == (1, 2, 24, 32)
    assert torch.allclose(ab, nn.functional.interpolate(small[0], size=(96, 128), mode="bilinear"), atol=1e-6)


def test_pretrained_weights_are_those_that_ship() -> None:
    generator = BackboneUNet("efficientnet_lite0", width=4, pretrained=True)
    expected = EfficientNetLite0(pretrained=True).stages.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in generator.stages.state_dict().items())
    untrained = SMALL["backbone"]().stages.state_dict()
    assert not torch.equal(untrained["0.0.weight"], expected["0.0.weight"])


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("setting", ["pretrained", "frozen"])
def test_batch_norm_of_a_pretrained_or_frozen_encoder_keeps_its_statistics(setting: str) -> None:
    generator = BackboneUNet(width=4, pretrained=setting == "pretrained")
    generator.frozen = setting == "frozen"
    before = {key: tensor.clone() for key, tensor in generator.stages.state_dict().items()}
    for module in (generator, nn.Sequential(generator)):  # as it is, and inside a wrapper
        module.eval().train()
        generator(lightness(2, 1, 64, 64))
    assert generator.training and all(norm.training for norm in norms(generator.decoder))
    assert not any(norm.training for norm in norms(generator.stages))
    assert all(torch.equal(tensor, before[key]) for key, tensor in generator.stages.state_dict().items())
    assert all(norm.training for norm in norms(SMALL["backbone"]().stages))


def test_a_frozen_encoder_gets_no_gradient_and_keeps_no_maps() -> None:
    generator = BackboneUNet(width=4, pretrained=True)
    kept = {}
    for generator.frozen in (False, True):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.nbytes) or x, lambda x: x):
            ab = generator(lightness(2, 1, 64, 64))
        ab.square().mean().backward()
        kept[generator.frozen] = sum(sizes)
        assert untouched(generator.decoder) == []
        assert len(untouched(generator.stages)) == (len(list(generator.stages.parameters())) if generator.frozen else 0)
        generator.zero_grad()
    assert kept[True] < 0.5 * kept[False]


def test_dropout_sets_whole_channels_to_zero() -> None:
    block = AdditiveUp(4, 4, 200, dropout=0.4)
    x, skip = torch.rand(2, 4, 4, 4), torch.rand(2, 4, 8, 8)
    joined: list[Tensor] = []
    block.refine.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    block(x, skip)
    dropped = (joined[0] == 0).flatten(2)
    assert torch.equal(dropped.any(2), dropped.all(2))
    assert dropped.float().mean().item() == pytest.approx(0.4, abs=0.1)
