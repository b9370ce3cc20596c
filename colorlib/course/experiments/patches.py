"""What a patch of a given size can see: small discriminators learn to tell three faults on scenes with two balloons.

In this land both balloons of a scene are red, or both green. The faults: `dull` takes chroma away everywhere, `seam`
paints the right half of one balloon in the other colour, `pair` paints one of the two balloons in the other colour.
A fault is judged from one patch, in the best place for it: a score of the map sees no more (the notebook proves it).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from colorlib import scenes
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.devices import make_rng
from colorlib.discriminators import PatchGAN, convolutions
from colorlib.losses import bce_d_loss

SIZE = 64
WIDTH, BATCH, LR = 16, 32, 2e-3
N_TRAIN, N_TEST = 512, 256
JITTER = 3  # training patches are moved by so many pixels at most, so that no place is learnt by heart
DULL = 0.7
FAULTS = ("dull", "seam", "pair")
# By receptive field: the smaller patches get more steps, so that what they miss is not for want of training.
STEPS = {1: 1000, 16: 1000, 34: 600, 70: 250}

# Pairs by their distance: from ... to ... pixels.
DISTANCES = ((0, 7), (8, 14), (15, 21), (22, SIZE))


@dataclass(frozen=True, eq=False)
class Land:
    """Scenes with two balloons each, painted red and painted green (lightness and chroma, of equal lightness)."""

    red: Float[Tensor, "n 3 64 64"]
    green: Float[Tensor, "n 3 64 64"]
    first: Bool[Tensor, "n 64 64"]
    second: Bool[Tensor, "n 64 64"]

    def __len__(self) -> int:
        return len(self.red)


@functools.cache
def land(n: int, split: str) -> Land:
    """The first `n` scenes of a split that have two balloons."""
    several = scenes.draw(range(4 * n), SIZE // 2, split=split)  # a third of all have two
    two = (several.balloon_id.flatten(1).amax(1) == 2).nonzero()[:n, 0].tolist()
    drawn = scenes.draw(two, SIZE, split=split)
    painted = []
    for hue in (0.0, math.pi):
        balloons = scenes.balloon_ab(torch.tensor(hue)).expand(len(two), scenes.MAX_BALLOONS, 2)
        painted.append(scenes.repaint(drawn, scenes.Colours(balloons, drawn.colours.roof_ab)))
    red, green = painted
    first, second = (drawn.codes == scenes.BALLOON_CODE + k for k in (0, 1))
    # One lightness for both: 8 bits round it by the colour, and that would tell.
    return Land(torch.cat([red.L, red.true_ab], 1), torch.cat([red.L, green.true_ab], 1), first, second)


def closest(first: Bool[Tensor, "h w"], second: Bool[Tensor, "h w"]) -> tuple[int, Tensor]:
    """Pixels between two shapes, and the middle (y, x) between the pixels where they are closest.

    A square patch of side `distance + 2` is the smallest that holds a pixel of both.
    """
    a, b = first.nonzero().float(), second.nonzero().float()
    steps = torch.cdist(a, b, p=math.inf)
    near = (steps == steps.min()).nonzero()
    middle = ((a[near[:, 0]] + b[near[:, 1]]) / 2).mean(0)
    return int(steps.min()) - 1, middle.round().long()


@functools.cache
def where_to_look(fault: str, world: Land) -> tuple[Int[Tensor, " n"], Int[Tensor, "n 2"]]:
    """The distance of the two balloons of each scene, and the pixel (y, x) that the patch is centred on."""
    found = [closest(a, b) for a, b in zip(world.first, world.second, strict=True)]
    distance = torch.tensor([d for d, _ in found])
    if fault == "pair":
        return distance, torch.stack([middle for _, middle in found])
    return distance, torch.stack([mask.nonzero().float().mean(0).round().long() for mask in world.first])


def spoilt_area(fault: str, world: Land, centre: Int[Tensor, "n 2"]) -> Bool[Tensor, "n 1 h w"]:
    """Where a fake has its colour from the other painting: the second balloon, or the right half of the first."""
    x = torch.arange(SIZE)
    second = (x >= SIZE // 2).expand(len(world), 1, 1, SIZE)  # two balloons keep to their halves of the scene
    right_half = (x >= centre[:, 1, None])[:, None, None] & ~second
    return (second if fault == "pair" else right_half).expand(-1, -1, SIZE, -1)


def patches(lab: Float[Tensor, "n 3 h w"], centre: Int[Tensor, "n 2"], side: int) -> Float[Tensor, "n 3 s s"]:
    """A square patch of each image around its centre, filled up with zeros outside the image, as in convolutions."""
    room = pad(lab, (side, side, side, side))
    corners = (centre + side - side // 2).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in zip(room, corners, strict=True)])


def one_score(field: int, seed: int) -> PatchGAN:
    """The library's discriminator without padding: a patch of its receptive field has exactly one score."""
    network = PatchGAN(receptive_field=field, width=WIDTH, norm="none", rng=make_rng(seed, "discriminator"))
    for conv in convolutions(network):
        conv.padding = (0, 0)
    return network


class Task:
    """Real and fake scenes of one fault, and the patches that tell (or do not tell) one from the other."""

    def __init__(self, fault: str, field: int, n: int, split: str) -> None:
        self.fault, self.field, self.world = fault, field, land(n, split)
        self.distance, self.centre = where_to_look(fault, self.world)
        self.area = spoilt_area(fault, self.world, self.centre)

    def fake(self, i: Tensor, base: Tensor, other: Tensor) -> Tensor:
        """Scenes `i` of the painting `base` with the fault; `other` is the other painting."""
        if self.fault == "dull":
            return torch.cat([base[:, :1], DULL * base[:, 1:]], 1)
        return torch.where(self.area[i], other, base)

    def look(self, lab: Tensor, i: Tensor, moved: Tensor | int = 0) -> Tensor:
        return patches(lab, self.centre[i] + moved, self.field)

    def all_four(self, i: Tensor) -> tuple[Tensor, Tensor]:
        """Real patches (red, green) and fake ones (red spoilt, green spoilt), in this order, two for each scene."""
        red, green = self.world.red[i], self.world.green[i]
        real = [self.look(lab, i) for lab in (red, green)]
        fake = [self.look(self.fake(i, *pair), i) for pair in ((red, green), (green, red))]
        return torch.stack(real), torch.stack(fake)

    def holds_fault(self) -> Bool[Tensor, " n"]:
        """Whether the patch holds pixels of both parts that must agree: else real and fake patches are the same set."""
        i = torch.arange(len(self.world))
        if self.fault == "dull":
            return torch.ones(len(i), dtype=torch.bool)
        coloured = (self.world.red != self.world.green).any(1, keepdim=True)
        parts = [self.look((coloured & part).float(), i).flatten(1).any(1) for part in (self.area, ~self.area)]
        return parts[0] & parts[1]


def train(setting: Setting, seed: int) -> PatchGAN:
    """A discriminator of single patches after `steps` steps; the rate falls to 0 over the second half."""
    fault, field, steps = str(setting["fault"]), int(setting["field"] or 0), int(setting["steps"] or 0)
    task, network, rng = Task(fault, field, N_TRAIN, "train"), one_score(field, seed), make_rng(seed, "batches")
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, betas=(0.5, 0.999))
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / steps))
    for _ in range(steps):
        i = torch.randint(len(task.world), (BATCH,), generator=rng)
        moved = torch.randint(-JITTER, JITTER + 1, (BATCH, 2), generator=rng)
        swap = torch.randint(2, (2, BATCH, 1, 1, 1), generator=rng).bool()
        red, green = task.world.red[i], task.world.green[i]
        real = torch.where(swap[0], red, green)
        fake = task.fake(i, torch.where(swap[1], red, green), torch.where(swap[1], green, red))
        loss = bce_d_loss(network(task.look(real, i, moved)), network(task.look(fake, i, moved)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return network


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train, and count right answers on held-out scenes, each shown in both colours, real and fake.

    `holds`: share of patches that hold the fault; `seen` and `unseen`: accuracy on those and on the others; `near` to
    `farthest`: accuracy by the distance of the two balloons.
    """
    network = train(setting, seed)
    task = Task(str(setting["fault"]), int(setting["field"] or 0), N_TEST, "val")
    with torch.no_grad():
        on_real, on_fake = (
            torch.stack([network(colour).flatten() for colour in four])
            for four in task.all_four(torch.arange(len(task.world)))
        )
    right = ((on_real > 0).float() + (on_fake < 0).float()).mean(0) / 2
    holds = task.holds_fault()
    found = {"accuracy": right.mean(), "holds": holds.float().mean()}
    found |= {"seen": right[holds].mean(), "unseen": right[~holds].mean()}
    for name, (low, high) in zip(("near", "middle", "far", "farthest"), DISTANCES, strict=True):
        found[name] = right[(task.distance >= low) & (task.distance <= high)].mean()
    return {name: value.item() for name, value in found.items()}


def _settings() -> list[Setting]:
    return [{"fault": fault, "field": field, "steps": steps} for fault in FAULTS for field, steps in STEPS.items()]


EXPERIMENT = Experiment(name="patches", settings=_settings(), seeds=(0, 1, 2), measure=measure)
