"""What an L1 and an L2 loss teach a small U-Net on scenes, against the exact answers, by network size and steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from colorlib import scenes
from colorlib.color import split_lab, to_float
from colorlib.course.experiments.experiment import Experiment, Setting
from colorlib.datasets import Batches, open_source
from colorlib.devices import make_rng
from colorlib.generators import UNet
from colorlib.losses import l1_loss

SIZE = 32
BATCH_SIZE = 16
DEPTH = 3
LR = 3e-3
N_HELD_OUT = 128
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1_loss, "l2": nn.functional.mse_loss}


def object_error(
    ab: Float[Tensor, "b 2 h w"], answer: Float[Tensor, "b 2 h w"], object_id: Int[Tensor, "b h w"]
) -> float:
    """Mean over objects of the distance |ab - answer|, which in an object is the mean over its pixels.

    `object_id` counts the objects of a scene from 1; 0 is none of them (`Scenes.balloon_id`, `Scenes.roof_id`).
    """
    distance = (ab - answer).norm(dim=1)
    means = []
    for number in range(1, int(object_id.max()) + 1):
        on = object_id == number
        pixels = on.sum(dim=(1, 2))
        means.append(((distance * on).sum(dim=(1, 2)) / pixels)[pixels > 0])
    return torch.cat(means).mean().item()


def errors(ab: Float[Tensor, "b 2 h w"], held_out: scenes.Scenes) -> dict[str, float]:
    """How far a prediction is from both exact answers, on balloons, on roofs, and where L tells the colour."""
    median, mean = scenes.posterior_median(held_out), scenes.posterior_mean(held_out)
    return {
        "balloons_to_median": object_error(ab, median, held_out.balloon_id),
        "balloons_to_mean": object_error(ab, mean, held_out.balloon_id),
        "roofs_to_median": object_error(ab, median, held_out.roof_id),
        "roofs_to_mean": object_error(ab, mean, held_out.roof_id),
        "background": (ab - median).norm(dim=1)[held_out.masks["background"]].mean().item(),
    }


def train(setting: Setting, seed: int) -> nn.Module:
    """A U-Net after `steps` steps on scenes that are never repeated; the rate falls to 0 over the second half."""
    steps = int(setting["steps"] or 0)
    network = UNet(depth=DEPTH, width=int(setting["width"] or 0), dropout=0.0, rng=make_rng(seed, "generator"))
    batches = Batches(open_source("scenes", SIZE), BATCH_SIZE, size=SIZE, seed=seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, betas=(0.5, 0.999))
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / steps))
    for step in range(steps):
        L, ab = split_lab(to_float(batches.batch(step)))
        loss = LOSSES[str(setting["loss"])](network(L), ab)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return network.eval()


def measure(setting: Setting, seed: int) -> dict[str, float]:
    """Train, and compare with the exact answers on held-out scenes."""
    network = train(setting, seed)
    held_out = scenes.draw(range(N_HELD_OUT), SIZE, split="val")
    with torch.no_grad():
        ab = network(held_out.L)
    ratio = scenes.score(ab, held_out)["balloon_chroma_ratio"]
    return {"balloon_chroma_ratio": ratio, **errors(ab, held_out)}


def _settings() -> list[Setting]:
    sizes = ((16, 100), (16, 400), (16, 1600), (8, 400), (32, 400))
    return [{"loss": loss, "width": width, "steps": steps} for loss in LOSSES for width, steps in sizes]


EXPERIMENT = Experiment(name="baseline", settings=_settings(), seeds=(0, 1, 2), measure=measure)
