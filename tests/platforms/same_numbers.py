"""The same numbers from every Python: colours, losses, metrics and three steps of training, held against this one's.

    python tests/platforms/same_numbers.py PYTHON...   # each an interpreter with colorlib; 1 if one differs too much
    python tests/platforms/same_numbers.py             # this interpreter's numbers as JSON

Everything is drawn from seeds, and computed by one thread on the CPU.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys

import torch

from colorlib import color, losses, metrics
from colorlib.datasets import open_source
from colorlib.devices import make_rng
from colorlib.recipes import RECIPES
from colorlib.training import Trainer

Numbers = dict[str, list[float]]

# Of a list's largest number. Another torch sums in another order, which is fp32's rounding; from there Adam, whose
# first steps are as long for a small gradient as for a large one, leads training further apart. With other convolutions
# (torch's own in place of oneDNN's) metrics differed by 1e-5, training by 8e-4.
TOLERANCE = {"colour": 1e-5, "loss": 1e-5, "metric": 1e-4, "training": 5e-3}
STEPS = 3


def numbers() -> Numbers:
    """Lists of numbers, named "kind: what"; the kinds are those of TOLERANCE."""
    torch.set_num_threads(1)
    return colours() | all_losses() | all_metrics() | training("pix2pix") | training("wgan-gp")


def colours() -> Numbers:
    rgb = torch.rand(2, 3, 9, 9, generator=make_rng("rgb"))
    L, ab = color.split_lab(rgb)
    return {
        "colour: Lab": flat(color.rgb_to_lab(rgb)),
        "colour: back, clipped": flat(color.join_lab(L, 2 * ab)),
        "colour: back, with less chroma": flat(color.join_lab(L, 2 * ab, gamut="chroma")),
    }


def all_losses() -> Numbers:
    real, fake = (2 * torch.randn(4, 1, 5, 5, generator=make_rng(name)) for name in ("real", "fake"))
    found = {}
    for name, pair in losses.ADVERSARIAL_LOSSES.items():
        found[f"loss: {name}"] = [pair.d(real, fake).item(), pair.g(fake).item()]
    one, two = (torch.rand(4, 3, 8, 8, generator=make_rng(name)) for name in ("one", "two"))
    kernel = torch.randn(6, 3, 3, 3, generator=make_rng("kernel"))

    def critic(lab: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(lab, kernel).tanh()

    penalty = losses.gradient_penalty(critic, one[:, :1], one[:, 1:], two[:, 1:], rng=make_rng("alpha"))
    found["loss: penalty, L1, perceptual"] = [
        value.item() for value in (penalty, losses.l1_loss(one, two), losses.perceptual_loss(critic)(one, two))
    ]
    return found


def all_metrics() -> Numbers:
    coarse = torch.rand(2, 4, 3, 4, 4, generator=make_rng("pictures"))
    pair = [color.to_uint8(torch.nn.functional.interpolate(images, 24)) for images in coarse]
    pool = metrics.PooledColor()
    pool.update(*pair)
    each = {metric.__name__: flat(metric(*pair)) for metric in (metrics.psnr, metrics.ssim, metrics.ciede2000)}
    each["colorfulness"] = flat(metrics.colorfulness(pair[0]))
    each["fid"] = [metrics.fid(*(images.flatten(1)[:, :3].float() for images in pair))]
    return {f"metric: {name}": values for name, values in (each | {k: [v] for k, v in pool.result().items()}).items()}


def training(recipe_name: str) -> Numbers:
    """The losses of the first steps in the size of quick mode, and what the generator then makes of a picture.

    Without dropout: from the same seed torch 2.6 draws other masks than 2.15.
    """
    small = {"size": 32, "width": 8, "d_width": 8, "batch_size": 4, "dropout": 0.0}
    recipe = RECIPES[recipe_name].replace(**small, steps=STEPS, precision="fp32")
    trainer = Trainer(recipe, open_source("scenes", 32), seed=0, device="cpu")
    records = list(trainer.run())
    names = ("l1", "g_adversarial", "d_loss")
    found = {f"training: {recipe_name}, {name}": [record[name] for record in records] for name in names}
    L, _ = color.split_lab(color.to_float(open_source("scenes", 32, "test").images(range(1))))
    with torch.inference_mode():
        found[f"training: {recipe_name}, colours"] = flat(trainer.generator.eval()(L))
    return found


def flat(values: torch.Tensor) -> list[float]:
    return values.flatten().tolist()


# --- two Pythons -------------------------------------------------------------------------------------------------


def differences(mine: Numbers, other: Numbers) -> dict[str, float]:
    """For each kind the largest difference, as a share of the largest number of its list.

    Infinite where a number is missing, infinite or none: here all are finite.
    """
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for name in mine.keys() | other.keys():
        kind = name.partition(":")[0]
        worst[kind] = max(worst[kind], _difference(mine.get(name, []), other.get(name, [])))
    return worst


def _difference(mine: list[float], other: list[float]) -> float:
    if len(mine) != len(other) or not all(map(math.isfinite, [*mine, *other])):
        return math.inf
    return max(abs(x - y) for x, y in zip(mine, other, strict=True)) / (max(map(abs, other)) or 1.0)


def main(pythons: list[str]) -> int:
    mine, status = numbers(), 0
    if not pythons:
        print(json.dumps({"python": platform.python_version(), "torch": torch.__version__, "numbers": mine}))
        return 0
    for python in pythons:
        try:
            done = subprocess.run([python, __file__], capture_output=True, text=True)
        except OSError as error:
            print(f"{python} cannot be run: {error.strerror}", file=sys.stderr)
            return 2
        if done.returncode:
            print(f"{python} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}", file=sys.stderr)
            return 2
        said = json.loads(done.stdout.splitlines()[-1])
        worst = differences(mine, said["numbers"])
        status |= any(worst[kind] > allowed for kind, allowed in TOLERANCE.items())
        shares = ", ".join(f"{kind} {worst[kind]:.0e} of {allowed:.0e}" for kind, allowed in TOLERANCE.items())
        print(f"Python {said['python']} and {platform.python_version()}, torch {said['torch']}: {shares}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
