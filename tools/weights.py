"""Train the weights that ship, compare the candidates, and put the winner and its L1 twin into the package.

    python tools/weights.py PHOTOS

PHOTOS holds the sets grocery, nature and clothing, each with train, val and test. By estimate seven hours on two CPU
cores without bf16, or two with it; what is finished is kept, and a run that was stopped goes on.

First L1 alone, mostly on small pictures, where a step costs a fraction of one at 128 px. The stages are the way that
was really gone, detours included: the data grew, batch norm gave way to layer norm, and CutMix came in. Then each
candidate; the choice among them is by the validation splits and photographs from elsewhere, the test splits are for
`tools/results.py`. What ships is mixed from the last two stages and the candidate that was chosen.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from colorlib import RECIPES, Colorizer, Recipe, Trainer, checkpoints, evaluate, open_source
from colorlib.cli.progress import Progress
from colorlib.color import split_lab, to_float
from colorlib.datasets import Source
from colorlib.recipes import build_generator

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "colorlib" / "weights"
RESULTS = ROOT / "experiments" / "shipped_weights"
SETS = ("grocery", "nature", "clothing")
# Nature has half of grocery's photographs and many more things in them: each is seen twice in an epoch.
NATURE_TWICE = (*SETS, "nature")
SPLITS = ("train", "val")
SIZE = 128  # of the pictures that runs are compared on

ABOUT = {"licence": "CC BY-SA 4.0", "card": "README.md beside this file"}
CREDIT = """\
The weights `default` and `l1` were trained on the photographs in this table, and are under CC BY-SA 4.0. The
photographs themselves are not part of the package."""

NETWORK = {"generator": "resunet", "depth": 5, "width": 32, "dropout": 0.0}
OLD = {**NETWORK, "size": 96, "zoom": 2.0, "tone": 0.5, "batch_size": 16, "lr_g": 5e-4, "ema_decay": 0.998}
FASTER = {**NETWORK, "tone": 0.3, "lr_g": 1e-3, "betas": (0.9, 0.999), "ema_decay": 0.998}
LAYER = {**FASTER, "g_norm": "layer", "size": 64, "zoom": 2.0, "batch_size": 32}
# At 128 px the few landscapes are learnt by heart: with dropout 0.2 alone ("l1-128", after some 3,600 steps) CIEDE2000
# on those that were trained on fell from 11.2 to 10.1, on those of nature/val it rose from 13.6 to 15.2. With all of
# this, after 5,398 steps: 11.1 and 14.8, and on photographs from elsewhere 12.0, not 12.5. It helps, and not enough.
CUTMIX = {**NETWORK, "g_norm": "layer", "size": 128, "zoom": 2.0, "batch_size": 16}
CUTMIX |= {"dropout": 0.5, "tone": 0.6, "cutmix": 0.6}


@dataclass(frozen=True)
class Stage:
    """A run: what is trained, on which sets, and from the weights of which stages (of several, from their mean)."""

    recipe: Recipe
    sets: tuple[str, ...] = NATURE_TWICE
    start: tuple[str, ...] = ()


def l1(steps: int, **changes: Any) -> Recipe:
    return RECIPES["l1"].replace(**changes, steps=steps)


# Steps are what fitted into the time there was; counted in steps, and not in minutes, they repeat.
STAGES = {
    "first": Stage(l1(986, **OLD), sets=("grocery", "nature")),
    "second": Stage(l1(2036, **OLD), sets=SETS, start=("first",)),
    "third": Stage(l1(2935, **FASTER, size=96, zoom=1.6, batch_size=16), start=("second",)),
    "fourth": Stage(l1(5600, **FASTER, size=64, zoom=2.0, batch_size=32), start=("third",)),
    "fifth": Stage(l1(904, **FASTER | {"lr_g": 5e-4}, size=128, zoom=1.4, batch_size=16), start=("fourth",)),
    "layer": Stage(l1(2833, **LAYER | {"lr_g": 3e-4, "ema_decay": 0.999}), start=("third", "fourth", "fifth")),
    "cutmix": Stage(l1(5398, **CUTMIX, lr_g=3e-4, betas=(0.9, 0.999), ema_decay=0.999), start=("layer",)),
}
# Eight to eleven minutes each on the same two cores.
GAN = {**NETWORK, "g_norm": "layer", "size": 64, "zoom": 2.0, "tone": 0.3, "batch_size": 16}
GAN |= {"d_width": 32, "lr_g": 1e-4, "lr_d": 4e-4, "ema_decay": 0.99}
SCHEDULE = {**GAN, "lr_g": 3e-4, "lambda_l1": 30.0}
CANDIDATES = {
    "l1": Stage(l1(904, **LAYER | {"lr_g": 1e-4}), start=("layer",)),
    "pix2pix": Stage(RECIPES["pix2pix"].replace(**GAN, lambda_l1=30.0, steps=812), start=("layer",)),
    "hinge": Stage(RECIPES["hinge"].replace(**GAN, lambda_l1=30.0, steps=822), start=("layer",)),
    "resunet-wgan-gp": Stage(RECIPES["resunet-wgan-gp"].replace(**GAN, lambda_l1=120.0, steps=199), start=("layer",)),
    "pix2pix-128": Stage(RECIPES["pix2pix"].replace(**GAN | CUTMIX, lambda_l1=30.0, steps=909), start=("cutmix",)),
    # Four minutes each: the adversary from the first step on, or after a time of L1 alone.
    "one-stage": Stage(RECIPES["pix2pix"].replace(**SCHEDULE, steps=1565)),
    "two-stages": Stage(RECIPES["pix2pix"].replace(**SCHEDULE, pretrain_steps=1500, steps=2132)),
}
# What ships: shares of the weights of runs. Between weights before and after an adversary's work lies what is more
# colourful than the first and less wrong than the second (Wang et al. 2018, ESRGAN, section 3.4); between "layer" and
# "cutmix" what is not much worse than the better of them, which is the one on the sets here, the other elsewhere.
SHARES = {
    "l1": {"layer": 0.4, "cutmix": 0.6},
    "default": {"layer": 0.3, "cutmix": 0.4, "pix2pix-128": 0.3},
}
# Pixels on the short side at which they see a photograph: mixed from runs at 64 and 128 px, they do best between. Mean
# CIEDE2000 of `default` on 25 photographs from elsewhere: 13.0 at 64, 12.3 at 96, 12.6 at 128 px.
SEEN = 96


def join_sets(photos: Path, sets: tuple[str, ...], out: Path) -> Path:
    """A folder with train and val, in each a link to every set, which `folder:` reads as one set.

    A set named twice is copied the second time: a picture that two links lead to is entered once.
    """
    joined = out / "photos" / "-".join(sets)
    for split in SPLITS:
        seen = Counter[str]()
        (joined / split).mkdir(parents=True, exist_ok=True)
        for name in sets:
            seen[name] += 1
            place, origin = joined / split / f"{name}-{seen[name]}", (photos / name / split).resolve()
            if place.exists():
                continue
            if seen[name] == 1:
                os.symlink(origin, place, target_is_directory=True)
            elif split == "train":
                shutil.copytree(origin, place)
    return joined


def train(name: str, stage: Stage, photos: Path, out: Path) -> None:
    """Run a stage, or what is left of it."""
    spec = f"folder:{join_sets(photos, stage.sets, out)}"
    source = open_source(spec, stage.recipe.size, "train", margin=stage.recipe.zoom)
    validation = open_source(spec, stage.recipe.size, "val")
    if checkpoints.is_run(out / name):
        trainer = Trainer.resume(out / name, source, validation=validation)
    else:
        trainer = Trainer(stage.recipe, source, validation=validation, out=out / name)
        if stage.start:
            trainer.start_from(beginning(stage, source, out), " + ".join(stage.start))
    if trainer.finished:
        return
    print(f"{name}: {stage.recipe.name} from step {trainer.step} to {trainer.target_steps}")
    with Progress(trainer) as progress:
        for record in trainer.run():
            progress.update(record)


def beginning(stage: Stage, source: Source, out: Path) -> nn.Module:
    """The mean of the weights that a stage starts from; with layer norm if it has that and they had batch norm."""
    old = mixed({name: 1 / len(stage.start) for name in stage.start}, out)
    had_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in old.modules())
    if not had_batch_norm or stage.recipe.g_norm == "batch":
        return old
    L, _ = split_lab(to_float(source.images(range(min(64, len(source))))))
    return with_layer_norm(old, build_generator(stage.recipe, torch.Generator()), L)


def mixed(shares: dict[str, float], out: Path) -> nn.Module:
    """A generator with so much of each run's weights."""
    generators = {name: Colorizer.load(out / name, "cpu").generator for name in shares}
    states = {name: generator.state_dict() for name, generator in generators.items()}
    mixture = next(iter(generators.values()))
    mixture.load_state_dict(
        {key: sum(share * states[name][key].float() for name, share in shares.items()) for key in mixture.state_dict()}
    )
    return mixture


@torch.no_grad()
def with_layer_norm(old: nn.Module, new: nn.Module, L: Tensor) -> nn.Module:
    """`new`, layer norm where `old` has batch norm, with weights that compute nearly the same for pictures like L.

    Batch norm is g (x - mu) / sigma + b with a channel's mu and sigma, layer norm G (x - m) / s + B with a picture's m
    and s. They agree for G = g s / sigma and B = b + g (m - mu) / sigma, with m and s taken as their means over L.
    """
    norms = {name: module for name, module in old.named_modules() if isinstance(module, nn.BatchNorm2d)}
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def remember(name: str) -> Callable[..., None]:
        return lambda module, inputs, _: seen.update({name: _moments(inputs[0])})

    hooks = [module.register_forward_hook(remember(name)) for name, module in norms.items()]
    old.eval()(L)
    for hook in hooks:
        hook.remove()
    weights = {key: value for key, value in old.state_dict().items() if key in new.state_dict()}
    for name, norm in norms.items():
        m, s = seen[name]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weights |= {f"{name}.weight": scale * s, f"{name}.bias": norm.bias + scale * (m - norm.running_mean)}
    new.load_state_dict(weights)
    return new


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a picture's values, averaged over the pictures."""
    return x.flatten(1).mean(1).mean(), x.flatten(1).std(1).mean()


def compare(photos: Path, out: Path) -> pd.DataFrame:
    """A row a validation split and run in `out`, beside grey: what each was, what it took, what it came to."""
    found = {path.name: path for path in sorted(out.iterdir()) if checkpoints.is_run(path)}
    names = dict.fromkeys([*STAGES, *CANDIDATES, *found])  # trials last
    folders = {name: found[name] for name in names if name in found}
    runs = {name: Colorizer.load(path, "cpu") for name, path in folders.items()}
    shipped = {f"shipped: {name}": Colorizer.load(SHIPPED / f"{name}.safetensors", "cpu") for name in SHARES}
    tables = {}
    for name in SETS:
        source = open_source(f"folder:{photos / name}", SIZE, "val")
        tables[name] = evaluate({**runs, **shipped}, source, device="cpu").drop("untrained")
    table = pd.concat(tables, names=["set", "run"])[["n", "psnr", "ciede2000", "chroma_ratio"]]
    described = pd.DataFrame({name: describe(path) for name, path in folders.items()}).T.infer_objects()
    return table.join(described, on="run")


def with_history(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with the rows of an earlier one, at `path`, whose runs are no longer at hand."""
    if not path.exists():
        return table
    before = pd.read_csv(path, index_col=["set", "run"])
    table = pd.concat([table, before[~before.index.isin(table.index)]])
    order = [*STAGES, *CANDIDATES]
    last = {name: len(order) + 1 for name in (*(f"shipped: {name}" for name in SHARES), "grey")}
    place = {name: n for n, name in enumerate(order)} | last
    rank = {"set": SETS.index, "run": lambda name: place.get(name, len(order))}  # trials between
    return table.sort_index(key=lambda level: level.map(rank[level.name]), kind="stable")


def describe(run: Path) -> pd.Series:
    """What a run was, how long it took, and the median share of the adversary over its second half."""
    recipe, history = checkpoints.read_recipe(run), pd.read_csv(run / "history.csv")
    planned = {**STAGES, **CANDIDATES}.get(run.name)
    half, last = history.tail(len(history) // 2), history.iloc[-1]
    return pd.Series(
        {
            "recipe": recipe.name,
            "start": (" + ".join(planned.start) or "random weights") if planned else "a trial",
            "norm": recipe.g_norm,
            "width": recipe.width,
            "size": recipe.size,
            "batch_size": recipe.batch_size,
            "steps": int(last["step"]),
            "minutes": last["seconds"] / 60,
            "adversarial_share": half["adversarial_share"].median() if "adversarial_share" in half else 0.0,
        }
    )


def pack(out: Path) -> None:
    """The two that ship, as half-precision files inside the package."""
    for name, shares in SHARES.items():
        recipe = checkpoints.read_recipe(out / list(shares)[-1]).replace(size=SEEN)
        path = SHIPPED / f"{name}.safetensors"
        checkpoints.save_generator(path, mixed(shares, out), recipe, dtype=torch.float16, extra=ABOUT)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {shares}")


def credit(photos: Path) -> None:
    """Who took the photographs that were trained on, from their manifest: the licences ask for it."""
    table = pd.read_csv(photos / "manifest.csv").query("split == 'train'").fillna("")
    table["set"] = table["file"].str.split("/").str[0]
    groups = table.groupby(["set", "source", "licence", "attribution"])["original"].nunique()
    rows = [f"| {' | '.join(key)} | {n} |" for key, n in groups.items()]
    head = ["# Credits", "", CREDIT, "", "| set | from | licence | by | photographs |", "|---|---|---|---|---|"]
    (SHIPPED / "CREDITS.md").write_text("\n".join([*head, *rows, ""]), encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "weights")
    args = parser.parse_args(arguments)
    for name, stage in {**STAGES, **CANDIDATES}.items():
        train(name, stage, args.photos, args.out)
    pack(args.out)
    table = compare(args.photos, args.out)
    RESULTS.mkdir(exist_ok=True)
    table = with_history(table, RESULTS / "candidates.csv")
    table.to_csv(RESULTS / "candidates.csv", float_format="%.4g")
    print(table.to_string(float_format=lambda x: f"{x:.3f}"))
    credit(args.photos)


if __name__ == "__main__":
    main()
