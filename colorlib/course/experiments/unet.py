"""pix2pix's generator on small scenes with one part exchanged at a time, and how much its dropout makes it vary."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from colorlib import scenes
from colorlib.blocks import NORMS, ResidualBlock, down_block, initialise, norm_without_layer, up_block
from colorlib.color import split_lab, to_float
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.datasets import Batches, open_source
from colorlib.devices import make_rng
from colorlib.generators import ResUNet, UNet
from colorlib.losses import l1_loss
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

SIZE, BATCH_SIZE = 32, 16
DEPTH, WIDTH = 4, 16
RES_WIDTH = 8  # residual blocks hold two convolutions: half the width has about the U-Net's parameters
STEPS, LR = 300, 3e-3
N_HELD_OUT = 96
N_DRAWS = 16
MARGIN = 8  # pixels of a flat image's border that are left out: there the zeros around it are seen

PIX2PIX = RECIPES["pix2pix"].replace(
    size=SIZE, batch_size=BATCH_SIZE, depth=DEPTH, width=WIDTH, d_width=32, lr_g=1e-3, lr_d=1e-3, steps=400,
    precision="fp32",
)  # fmt: skip


# --- the networks ------------------------------------------------------------------------------------------------


class Nothing(nn.Module):
    """Zero, whatever comes in."""

    def forward(self, x: Tensor) -> float:
        return 0.0


def without_skips(depth: int = DEPTH, width: int = WIDTH) -> nn.Sequential:
    """The U-Net's blocks in a row: all that the decoder hears has passed the bottleneck."""
    channels = [width * min(2**level, 8) for level in range(depth)]
    down = [
        down_block(above, here, norm="none" if level in (0, depth - 1) else "batch")
        for level, (above, here) in enumerate(zip([1, *channels], channels, strict=False))
    ]
    up = [up_block(channels[level], channels[level - 1], activation=nn.ReLU()) for level in range(depth - 1, 0, -1)]
    last = up_block(channels[0], 2, norm="none", activation=nn.Tanh(), bias=True)
    return nn.Sequential(*down, *up, last)


def pooled_block(in_channels: int, out_channels: int, *, norm: str = "batch") -> nn.Sequential:
    """A step down as in the first U-Net (Ronneberger et al. 2015): convolve at full size, keep the largest of four."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, NORMS[norm](out_channels), nn.LeakyReLU(0.2), nn.MaxPool2d(2))


def with_max_pooling(depth: int = DEPTH, width: int = WIDTH) -> UNet:
    """The U-Net with `pooled_block` for each step down."""
    network = UNet(depth=depth, width=width, dropout=0.0)
    for level, block in enumerate(network.down):
        conv = next(block.children())
        assert isinstance(conv, nn.Conv2d), "a step down begins with its convolution"
        bare = norm_without_layer("batch") if level in (0, depth - 1) else "batch"
        network.down[level] = pooled_block(conv.in_channels, conv.out_channels, norm=bare)
    return network


def with_kernel_3(depth: int = DEPTH, width: int = WIDTH) -> UNet:
    """The U-Net with transposed convolutions of 3x3 pixels, whose taps overlap unevenly at stride 2."""
    network = UNet(depth=depth, width=width, dropout=0.0)
    for block in network.up:
        assert isinstance(block, nn.Sequential), "a step up is a chain"
        conv = block[0]
        assert isinstance(conv, nn.ConvTranspose2d), "a step up begins with its convolution"
        bias = conv.bias is not None
        block[0] = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 3, 2, 1, output_padding=1, bias=bias)
    return network


def remove_shortcuts(network: ResUNet) -> ResUNet:
    """The same network, its residual blocks reduced to their branches."""
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.shortcut = Nothing()
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: UNet(depth=DEPTH, width=WIDTH, dropout=0.0),
    "no skips": without_skips,
    "max pooling": with_max_pooling,
    "kernel 3": with_kernel_3,
    "resize": lambda: UNet(depth=DEPTH, width=WIDTH, dropout=0.0, upsample="resize"),
    "resunet": lambda: ResUNet(depth=DEPTH, width=RES_WIDTH),
    "no shortcuts": lambda: remove_shortcuts(ResUNet(depth=DEPTH, width=RES_WIDTH)),
    "dropout": lambda: UNet(depth=DEPTH, width=WIDTH, dropout=0.5),
}


# --- training ----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def training_batches(seed: int, steps: int = STEPS) -> list[tuple[Tensor, Tensor]]:
    """L and ab of scenes that are never repeated: the same for every network."""
    batches = Batches(open_source("scenes", SIZE), BATCH_SIZE, size=SIZE, seed=seed)
    return [split_lab(to_float(batches.batch(step))) for step in range(steps)]


def train(network: nn.Module, seed: int, steps: int = STEPS) -> nn.Module:
    """Draw the weights anew, then `steps` steps on L1; the rate falls to 0 over the second half."""
    initialise(network, make_rng(seed, "generator"))
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, betas=(0.5, 0.999))
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / steps))
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of dropout
        for L, ab in training_batches(seed, steps):
            loss = l1_loss(network(L), ab)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
    return network.eval()


def train_pix2pix(recipe: Recipe, seed: int) -> nn.Module:
    """The generator after the recipe's steps against a PatchGAN."""
    trainer = Trainer(recipe, open_source("scenes", SIZE), seed=seed, device="cpu")
    for _ in trainer.run():
        pass
    return trainer.averaged_generator.eval()


# --- measures ----------------------------------------------------------------------------------------------------


def checkerboard(ab: Float[Tensor, "b c h w"]) -> float:
    """Amplitude of the pattern that repeats every two pixels, in the units of `ab`: root mean square over images.

    It is what the spectrum holds at the highest frequency, along rows, along columns and along both. Edges count
    little: their signs cancel over an image, those of a checkerboard add up.
    """
    height, width = ab.shape[-2:]
    spectrum = torch.fft.fft2(ab).abs() / (height * width)
    half = spectrum[..., [0, height // 2, height // 2], [width // 2, 0, width // 2]]
    return half.square().sum(-1).mean().sqrt().item()


def flat_images() -> Float[Tensor, "3 1 32 32"]:
    """L that is the same everywhere: dark, medium, light."""
    return torch.tensor([-0.5, 0.0, 0.5])[:, None, None, None].expand(3, 1, SIZE, SIZE)


@torch.no_grad()
def draws(network: nn.Module, L: Float[Tensor, "b 1 h w"], n: int, seed: int = 0) -> Float[Tensor, "n b 2 h w"]:
    """`n` outputs for the same L with dropout at work, and with the batch norm of evaluation mode."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = torch.stack([network(L) for _ in range(n)])
    network.eval()
    return found


def spread(outputs: Float[Tensor, "n b 2 h w"], held_out: scenes.Scenes) -> float:
    """How much balloons vary over draws: standard deviation of their ab over that of the truth.

    The truth's is the chroma of a balloon, for its hue is uniform. 0: no draw differs. 1: as varied as the world.
    """
    variance = outputs.var(dim=0).sum(dim=1)
    return (variance[held_out.masks["balloons"]].mean().sqrt() / scenes.BALLOON_CHROMA).item()


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train a network, and look at it on held-out scenes."""
    name = str(setting["network"])
    network = train_pix2pix(PIX2PIX, seed) if name == "pix2pix" else train(NETWORKS[name](), seed)
    held_out = scenes.draw(range(N_HELD_OUT), SIZE, split="val")
    with torch.no_grad():
        ab, on_flat = network(held_out.L), network(flat_images())
    error = ab - scenes.posterior_median(held_out)
    distance = error.norm(dim=1)
    near_edge = held_out.regions == 0
    return {
        "edges": distance[near_edge].mean().item(),
        "inside": distance[~near_edge].mean().item(),
        "checkerboard": checkerboard(error),
        "checkerboard_on_flat": checkerboard(on_flat[..., MARGIN:-MARGIN, MARGIN:-MARGIN]),
        "balloon_chroma_ratio": scenes.score(ab, held_out)["balloon_chroma_ratio"],
        "spread": spread(draws(network, held_out.L, N_DRAWS), held_out),
    }


def _settings() -> list[Setting]:
    regressions: list[Setting] = [{"network": name, "recipe": "none"} for name in NETWORKS]
    return [*regressions, {"network": "pix2pix", "recipe": PIX2PIX.fingerprint}]


EXPERIMENT = Experiment(name="unet", settings=_settings(), seeds=(0, 1, 2), measure=measure)
