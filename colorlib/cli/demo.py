"""The demo: train an L1 regression and a conditional GAN on scenes and on photographs, and compare them in a report.

The true distribution of the scenes' colours is known. So the demo can measure on them what the losses do.
"""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import colorlib
from colorlib import scenes
from colorlib.checkpoints import is_run
from colorlib.cli.progress import Progress
from colorlib.cli.report import Picture, Section, Table, render
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.datasets import Source, open_source
from colorlib.devices import pick_device
from colorlib.errors import RunError
from colorlib.evaluation import HEADINGS, Heading, evaluate
from colorlib.figures import compare_runs, grey_image, image_grid, loss_curves, png_bytes, to_numpy
from colorlib.files import write_atomic
from colorlib.inference import Colorizer, shipped_weights
from colorlib.recipes import RECIPES, Recipe
from colorlib.training import Trainer

if TYPE_CHECKING:
    import pandas as pd

MODELS = ("l1", "pix2pix")
# The networks are small enough for two slow cores and large enough to show the difference between the two losses. The
# objective, including lambda_l1, is that of the preset.
COMMON = {"width": 32, "d_width": 32, "batch_size": 16, "precision": "fp32"}
WORLDS: dict[str, dict[str, Any]] = {
    "scenes": {**COMMON, "size": 32, "steps": 600},
    "photos": {**COMMON, "size": 64, "steps": 200},
}
SCENE_SCORES = ("balloon_chroma_ratio", "balloon_hue_concentration", "background_ab_mae")
VALIDATIONS = 5  # in each training
PICTURES = 6  # shown in the report for each world
SHIPPED_SIZE = 256  # pixels; the shipped weights are shown at this size
SMOOTH = 25  # steps that the loss curves are averaged over
FILES = ("report.html", "metrics.json")


@dataclass(frozen=True)
class Demo:
    """The result of `run_demo`: the folder `out` and the content of its metrics.json.

    The folder also holds report.html, the pictures, and the run of each training.
    """

    out: Path
    metrics: dict[str, Any]

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    def summary(self) -> str:
        """The most important numbers in two lines."""
        return f"{_balloons(self.metrics['scenes'])}\n{_over_grey(self.metrics['photos'])}"


def run_demo(
    out: str | Path, *, seed: int = 0, device: str = "auto", steps: int | None = None, overwrite: bool = False
) -> Demo:
    """Train `l1` and `pix2pix` on scenes and on photographs, measure them on held-out images, and write a report.

    `steps` replaces the number of steps of each training. With a few steps the demo only shows that everything works.
    Raises RunError if `out` cannot be written, or if it already holds a demo and `overwrite` is False.
    """
    started, out, target = time.monotonic(), Path(out), pick_device(device)
    recipes = {world: _recipes(settings, steps) for world, settings in WORLDS.items()}
    _prepare(out, overwrite)
    metrics: dict[str, Any] = {}
    sections = []
    for world in WORLDS:
        trained = {name: _train(world, recipe, out, seed, target) for name, recipe in recipes[world].items()}
        held_out = open_source(world, recipes[world]["l1"].size, "test")
        metrics[world] = _measure(trained, held_out, target)
        sections.append(_section(world, trained, held_out, metrics[world], out))
    sections.append(_shipped_section(out, target))
    metrics |= {"seconds": round(time.monotonic() - started, 1), "seed": seed, "versions": _versions(target)}
    page = render(TITLE, INTRODUCTION, sections, _footer(metrics))
    write_atomic(out / "metrics.json", json.dumps(metrics, indent=2).encode())
    write_atomic(out / "report.html", page.encode())
    return Demo(out, metrics)


def _recipes(settings: dict[str, Any], steps: int | None) -> dict[str, Recipe]:
    recipes = {name: RECIPES[name].replace(**settings) for name in MODELS}
    return recipes if steps is None else {name: recipe.replace(steps=steps) for name, recipe in recipes.items()}


def _prepare(out: Path, overwrite: bool) -> None:
    held = [path for path in out.glob("*") if path.name in FILES or is_run(path)]
    if held and not overwrite:
        raise RunError(f"{out} already holds a demo; choose another --out, or replace it with --overwrite")
    try:
        out.mkdir(parents=True, exist_ok=True)
        # If the new demo is stopped, the report of the old one must not be left beside the new runs.
        for name in FILES:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error.strerror or error}; choose another --out") from error


# --- train and measure ---------------------------------------------------------------------------------------


def _train(world: str, recipe: Recipe, out: Path, seed: int, device: torch.device) -> Trainer:
    trainer = Trainer(
        recipe,
        open_source(world, recipe.size, "train"),
        validation=open_source(world, recipe.size, "val"),
        out=out / f"{world}-{recipe.name}",
        seed=seed,
        device=device,
        validate_every=max(1, (recipe.steps or 0) // VALIDATIONS),
        overwrite=True,
    )
    with Progress(trainer, f"{world}, {recipe.name}") as progress:
        for record in trainer.run():
            progress.update(record)
    return trainer


def _colorizer(trainer: Trainer) -> Colorizer:
    return Colorizer(trainer.averaged_generator, trainer.recipe, device=trainer.device)


def _measure(trained: Mapping[str, Trainer], held_out: Source, device: torch.device) -> dict[str, dict[str, float]]:
    """Measure PSNR and CIEDE2000 of both models and of grey, and how colourful the models' images are.

    For scenes the colourfulness is measured on balloons (`scenes.score`), for photographs by the chroma ratio.
    """
    models = {name: _colorizer(trainer) for name, trainer in trained.items()}
    table = evaluate(models, held_out, device=device, progress=False)
    rows = table[["psnr", "ciede2000", "chroma_ratio"]].to_dict("index")
    measured = {name: {key: rows[name][key] for key in ("psnr", "ciede2000")} for name in ("grey", *MODELS)}
    for name, colorizer in models.items():
        if held_out.name == "scenes":
            drawn = scenes.draw(range(len(held_out)), held_out.size, split=held_out.split)
            found = scenes.score(colorizer.predict(drawn.L), drawn)
            measured[name] |= {key: found[key] for key in SCENE_SCORES}
        else:
            measured[name]["chroma_ratio"] = rows[name]["chroma_ratio"]
    return measured


def _versions(device: torch.device) -> dict[str, str]:
    return {
        "colorlib": colorlib.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


# --- the report ----------------------------------------------------------------------------------------------

TITLE = "The same pictures, two losses"
INTRODUCTION = (
    "A generator sees the lightness of a picture and predicts its colours. Two generators were trained here, on the "
    "same pictures and for the same number of steps. l1 minimises the mean absolute error. pix2pix minimises it too, "
    "but also has to fool a discriminator, which sees lightness and colours together."
)
SCENES_TEXT = (
    "The models were not trained on these scenes. The lightness shows what is sky, ground, sea or tree, and both "
    "models predict the colours of these correctly. The lightness does not show the hue of a balloon, because every "
    "hue is equally likely. The prediction with the smallest mean error is therefore grey, and l1 predicts dull "
    "balloons. pix2pix chooses a colour, because the discriminator has never seen a dull balloon. The chosen colour is "
    "seldom the true one, and this lowers the PSNR of pix2pix."
)
PHOTOS_TEXT = (
    "These photographs are part of scikit-image. The models are shown and measured on other regions of the same "
    "pictures that they were trained on. This checks that the models learn. It does not measure how well they colour "
    "other photographs."
)
SHIPPED_TEXT = (
    "The same regions at a higher resolution, coloured with the weights that ship with colorlib. These weights were "
    "not trained here. The network only predicts ab: lightness and detail are those of the photograph."
)
NOTHING_SHIPPED = "This copy of colorlib has no weights called default, so there is nothing to show here."

TABLE_HEADINGS = {
    **{name: HEADINGS[name] for name in ("psnr", "ciede2000", "chroma_ratio")},
    "balloon_chroma_ratio": Heading("balloon chroma", ".2f", "1 is as colourful as the truth, 0 is grey"),
    "balloon_hue_concentration": Heading("balloon hues", ".2f", "0 is spread over the circle, 1 is all alike"),
    "background_ab_mae": Heading("background", ".3f", "mean error of ab on sky, ground, sea and trees"),
}


def _section(
    world: str, trained: Mapping[str, Trainer], held_out: Source, measured: dict[str, dict[str, float]], out: Path
) -> Section:
    true = held_out.images(_spread(len(held_out)))
    columns = _coloured(trained, true)
    write_atomic(out / f"{world}.png", png_bytes(image_grid(columns)))
    if world == "scenes":
        title, texts = "Scenes drawn by code", [SCENES_TEXT, _balloons(measured)]
    else:
        title, texts = "Photographs", [PHOTOS_TEXT, _over_grey(measured)]
    pictures = {name: _pictures(name, images, world) for name, images in columns.items()}
    histories = {name: trainer.history for name, trainer in trained.items()}
    return Section(title, texts, pictures, _as_table(measured), _curves(world, histories, out))


def _spread(n: int) -> list[int]:
    """Indices of a few images, evenly spread over `n`: `n` is cut into equal parts, and the middle of each is taken."""
    few = min(PICTURES, n)
    return [(2 * i + 1) * n // (2 * few) for i in range(few)]


def _coloured(trained: Mapping[str, Trainer], true: Tensor) -> dict[str, Tensor]:
    """The columns of the grid: what the generators see, the images that each generator coloured, and the truth."""
    L, _ = split_lab(to_float(true))
    painted = {
        name: to_uint8(join_lab(L, _colorizer(trainer).predict(L), gamut="chroma")) for name, trainer in trained.items()
    }
    return {"input": grey_image(L), **painted, "truth": true}


def _balloons(measured: dict[str, dict[str, float]]) -> str:
    shares = {name: f"{measured[name]['balloon_chroma_ratio']:.0%}" for name in MODELS}
    return f"On balloons, l1 predicts {shares['l1']} of the true chroma, pix2pix {shares['pix2pix']}."


def _over_grey(measured: dict[str, dict[str, float]]) -> str:
    gains = {name: f"{measured[name]['psnr'] - measured['grey']['psnr']:+.1f} dB" for name in MODELS}
    return f"On photographs, PSNR differs from that of grey by {gains['l1']} with l1, {gains['pix2pix']} with pix2pix."


def _pictures(column: str, images: Tensor, world: str) -> list[Picture]:
    shows = {"input": "without its colours", "truth": "in its true colours"}.get(column, f"coloured by {column}")
    kind = world.removesuffix("s").replace("photo", "photograph")
    return [_picture(pixels, f"{kind} {i}, {shows}") for i, pixels in enumerate(to_numpy(images), start=1)]


def _picture(pixels: np.ndarray, alt: str) -> Picture:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return Picture(file.getvalue(), alt, pixels.shape[1])


def _as_table(measured: dict[str, dict[str, float]]) -> Table:
    shown = {key: heading for key, heading in TABLE_HEADINGS.items() if any(key in row for row in measured.values())}
    rows = [
        [name, *(f"{measured[name][key]:{shown[key].form}}" if key in measured[name] else "" for key in shown)]
        for name in ("grey", *MODELS)
    ]
    legend = " ".join(f"{heading.label}: {heading.meaning}." for heading in shown.values())
    return Table(["model", *(heading.label for heading in shown.values())], rows, legend)


def _curves(world: str, histories: Mapping[str, pd.DataFrame], out: Path) -> list[Picture]:
    """Draw the L1 error of both models, and the losses of pix2pix's G and D. Write both plots as PNG files, too."""
    game = histories["pix2pix"][["step", "d_loss", "g_adversarial"]]
    figures = {
        "l1": (
            compare_runs(histories, "l1", smooth=SMOOTH, title=f"{world}: mean absolute error in training"),
            "Line plot of the mean absolute error over the steps of training, a line each for l1 and pix2pix",
        ),
        "game": (
            loss_curves(game, ["d_loss", "g_adversarial"], smooth=SMOOTH, title=f"{world}: pix2pix, G against D"),
            "Line plot of the losses of discriminator and generator over the steps of training",
        ),
    }
    curves = []
    for name, (figure, alt) in figures.items():
        png = png_bytes(figure)
        write_atomic(out / f"{world}-{name}.png", png)
        curves.append(Picture(png, alt))
    return curves


def _shipped_section(out: Path, device: torch.device) -> Section:
    title = "The weights that ship with colorlib"
    if "default" not in shipped_weights():
        return Section(title, [NOTHING_SHIPPED])
    colorizer = Colorizer.load("default", device)
    held_out = open_source("photos", SHIPPED_SIZE, "test")
    true = held_out.images(_spread(len(held_out)))
    coloured = np.stack([np.asarray(colorizer.colorize(pixels)) for pixels in to_numpy(true)])
    L, _ = split_lab(to_float(true))
    columns = {"input": grey_image(L), "shipped weights": torch.from_numpy(coloured).movedim(-1, 1), "truth": true}
    write_atomic(out / "shipped.png", png_bytes(image_grid(columns)))
    return Section(title, [SHIPPED_TEXT], {name: _pictures(name, images, "photos") for name, images in columns.items()})


def _footer(metrics: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
    return f"Made in {metrics['seconds']:.0f} s with seed {metrics['seed']}: {versions}."
