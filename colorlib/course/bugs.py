"""Small versions of real bugs, on which notebook 13 tries the tests that students write.

Each group has versions of one function or network with the bug and without it, written in more than one way. So a
test passes only if it examines what the code does, and not how the code is written or what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from colorlib.devices import make_rng
from colorlib.losses import clip_weights, wasserstein_d_loss

CLIP = 0.1

# --- weights that no gradient reaches ------------------------------------------------------------------------------


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
    )


class Block(nn.Module):
    """relu(x + branch(x)), without a bug."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.branch = _branch(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return torch.relu(x + self.branch(x))


class DetachedBlock(Block):
    """The bug: nothing flows back through the branch."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return torch.relu(x + self.branch(x).detach())


class ZeroStartBlock(Block):
    """No bug: the branch is multiplied by a weight that starts at 0 and learns, so that its first gradients are 0."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__(channels)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return torch.relu(x + self.scale * self.branch(x))


class HiddenSkip(nn.Module):
    """The bug in a skip connection: the encoder's map is copied as numbers, and its own convolution learns nothing."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.skip = nn.Conv2d(channels, channels, 1)
        self.deep = _branch(channels)
        self.last = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.last(torch.cat([self.copy(self.skip(x)), self.deep(x)], 1))

    def copy(self, skip: Tensor) -> Tensor:
        return torch.tensor(skip.tolist())


class PlainSkip(HiddenSkip):
    """The same network without the bug."""

    def copy(self, skip: Tensor) -> Tensor:
        return skip


def networks() -> dict[str, tuple[nn.Module, bool]]:
    """Networks of 4 channels, by the piece after their first layer, and whether a weight in it is cut off."""
    kinds: dict[str, tuple[Callable[[], nn.Module], bool]] = {
        "a block whose branch is detached": (DetachedBlock, True),
        "a block without a bug": (Block, False),
        "a skip connection that is copied as numbers": (HiddenSkip, True),
        "a skip connection without a bug": (PlainSkip, False),
        "a block whose branch is multiplied by a weight that starts at 0": (ZeroStartBlock, False),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {what: (nn.Sequential(nn.Conv2d(4, 4, 1), build()), cut) for what, (build, cut) in kinds.items()}


# --- a critic that is trained backwards ----------------------------------------------------------------------------

Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], float]


def _step(critic: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    clip_weights(critic, CLIP)


def reversed_step(critic: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor) -> float:
    """The bug: what should grow is minimised."""
    estimate = critic(real).mean() - critic(fake).mean()
    _step(critic, optimizer, estimate)
    return estimate.item()


def right_step(critic: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor) -> float:
    """No bug: the estimate grows."""
    estimate = critic(real).mean() - critic(fake).mean()
    _step(critic, optimizer, -estimate)
    return estimate.item()


def swapped_step(critic: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor) -> float:
    """The bug again: real and fake change places, and the number that is returned looks healthy."""
    loss = wasserstein_d_loss(critic(fake), critic(real))
    _step(critic, optimizer, loss)
    return abs(loss.item())


def loss_step(critic: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor) -> float:
    """No bug, though what is returned falls below zero: it is the loss."""
    loss = wasserstein_d_loss(critic(real), critic(fake))
    _step(critic, optimizer, loss)
    return loss.item()


STEPS: dict[str, tuple[Step, bool]] = {
    "a step that minimises the estimate": (reversed_step, True),
    "a step that maximises the estimate": (right_step, False),
    "a step with real and fake swapped, which returns an absolute value": (swapped_step, True),
    "a right step that returns its loss, the negative estimate": (loss_step, False),
}

# --- test photographs that were trained on -------------------------------------------------------------------------

Split = tuple[UInt8[Tensor, "n 3 h w"], UInt8[Tensor, "m 3 h w"]]


def photographs(n: int = 40) -> UInt8[Tensor, "n 3 6 8"]:
    """Photographs of noise, no two alike."""
    return torch.randint(256, (n, 3, 6, 8), generator=make_rng(0, "bugs"), dtype=torch.uint8)


def splits() -> dict[str, tuple[Split, int]]:
    """Pairs of training and test set by how they came about, and how many test photographs were trained on."""
    photos = photographs()
    order = torch.randperm(len(photos), generator=make_rng(1, "bugs"))
    first, rest = photos[order[:10]], photos[order[10:]]
    both = torch.cat([photos, photos.flip(-1)])  # photograph i and its mirror image, i + 40
    train, test = both[:60], both[60:]  # the mirror images of 20 to 39: all of them were trained on
    return {
        "a test set of 10, 7 of them trained on, 3 of these twice": (
            (torch.cat([rest, rest[:3]]), torch.cat([rest[:7], first[:3]])),
            7,
        ),
        "a shuffled set that is cut once": ((rest, first), 0),
        "a set that was mirrored before it was cut": ((train, test), 20),
        "a set that was cut, and then mirrored": ((torch.cat([rest, rest.flip(-1)]), first), 0),
    }


# --- a critic whose samples see one another ------------------------------------------------------------------------


class BatchSpread(nn.Module):
    """Adds a channel that says how much the samples of a batch differ: they see one another, without batch norm."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c1 h w"]:
        spread = x.std(dim=0, correction=0).mean().expand(len(x), 1, *x.shape[2:])
        return torch.cat([x, spread], dim=1)


def _critic(middle: nn.Module, extra: int = 0) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), middle, nn.LeakyReLU(0.2), nn.Conv2d(8 + extra, 1, 4, 2, 1))


def critics() -> dict[str, tuple[nn.Module, bool]]:
    """Critics of L and ab by their norm, and whether one sample's score depends on another in training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "a critic with batch norm": (_critic(nn.BatchNorm2d(8)), True),
            "a critic without norm": (_critic(nn.Identity()), False),
            "a critic that adds the spread of the batch as a channel": (_critic(BatchSpread(), 1), True),
            "a critic with instance norm": (_critic(nn.InstanceNorm2d(8, affine=True)), False),
            "a critic with batch norm that came in eval mode": (_critic(nn.BatchNorm2d(8)).eval(), True),
        }


# --- instruments of the hidden tests ---------------------------------------------------------------------------------


def players() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """A generator, a discriminator, L and true ab, small."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        generator = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh())
        discriminator = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3, padding=1))
        return generator, discriminator, 2 * torch.rand(3, 1, 8, 8) - 1, torch.rand(3, 2, 8, 8) - 0.5


def critic_at_work() -> tuple[nn.Module, torch.optim.Optimizer, Tensor, Tensor]:
    """A critic that scores fakes above real points, its optimizer, and both kinds of points."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        last = nn.Linear(16, 1)
        critic = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), last)
        real, fake = torch.randn(32, 2) + 1, torch.randn(32, 2) - 1
    with torch.no_grad():  # begins with the fakes above
        sign = torch.sign(critic(real).mean() - critic(fake).mean())
        last.weight.mul_(-sign)
    return critic, torch.optim.SGD(critic.parameters(), 0.05), real, fake


class SlopeCritic(nn.Module):
    """A critic with the slope `L * weight`: linear in ab, one steepness for each sample."""

    def __init__(self, size: float) -> None:
        super().__init__()
        direction = torch.randn(2, 4, 6, generator=make_rng(0, "slope"))
        self.weight = nn.Parameter(size * direction / direction.norm())

    def forward(self, lab: Tensor) -> Tensor:
        return (lab[:, :1].mean((1, 2, 3)) * (lab[:, 1:] * self.weight).sum((1, 2, 3)))[:, None, None, None]


def foreign_share(critic: nn.Module, x: Tensor) -> tuple[float, Tensor]:
    """Share of the gradients of the samples' scores that lies on other samples; and each sample's on its own."""
    x = x.clone().requires_grad_()
    scores = critic(x).flatten(1).mean(1)
    rows = [torch.autograd.grad(score, x, retain_graph=True)[0].flatten(1).norm(dim=1) for score in scores]
    table = torch.stack(rows)
    foreign = (table - table.diagonal().diag()).sum()  # exactly 0 where there is none
    return float(foreign / table.sum().clamp(min=1e-12)), table.diagonal()


class Features:
    """Features of sRGB, as different from one another as their channels; it remembers what it was shown."""

    def __init__(self) -> None:
        self.kernel = torch.randn(5, 3, 2, 2, generator=make_rng(0, "features"))
        self.seen: list[tuple[float, float]] = []

    def __call__(self, rgb: Tensor) -> Tensor:
        rgb = torch.as_tensor(rgb).float()
        self.seen.append((rgb.min().item(), rgb.max().item()))
        return torch.relu(nn.functional.conv2d(rgb, self.kernel)).mean((2, 3))


def gradient_of(scalar: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """All gradients in one vector, 0 where none arrives."""
    found = torch.autograd.grad(scalar, tensors, retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(t) if g is None else g).flatten() for t, g in zip(tensors, found, strict=True)])
