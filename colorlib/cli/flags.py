"""The flags of each command as dataclasses. From them, tyro makes the parser of the command line and the help texts.

A docstring below a field is the help text of its flag.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from colorlib.images import MAX_PIXELS
from colorlib.recipes import RECIPES, TARGETS, Recipe, find_recipe

# Flags that several commands share.
# The gallery must not be trained on, so that its results are those of unseen photographs: only `evaluate` offers it.
TrainingData = Annotated[
    str,
    arg(help="scenes, photos, folder:PATH, kaggle:PATH, or a set that `colorlib data list` names, but not gallery."),
]
Data = Annotated[
    str, arg(help="gallery, photos, scenes, folder:PATH, kaggle:PATH, or a set that `colorlib data list` names.")
]
Device = Annotated[
    str, arg(help="Where to compute: auto, cpu, cuda, cuda:N or mps. auto is cuda if there is one, else mps, else cpu.")
]
Compile = Annotated[
    bool, arg(help="Compile the networks with torch.compile. The start is slow, the steps after it are faster.")
]
Log = Annotated[
    Literal["none", "tensorboard"],
    arg(help="tensorboard also writes losses and samples to OUT/tensorboard. It needs the package tensorboard."),
]
Weights = Annotated[str, arg(help="Name of weights that ship with colorlib, a run's folder, or a weights file.")]


@dataclass(frozen=True)
class DemoFlags:
    """Train l1 and pix2pix on scenes, then on photographs, and write a report.

    This takes about four minutes on two CPU cores.

    Example: colorlib demo --out runs/demo
    """

    out: Path = Path("runs/demo")
    """Folder for report.html, metrics.json, the runs and the pictures."""
    seed: int = 0
    """Seed of everything that is random."""
    device: Device = "auto"
    overwrite: bool = False
    """Replace the demo that OUT holds."""
    steps: int | None = None
    """Steps of each of the four trainings. None: 600 on scenes, 200 on photographs. A few only show that it works."""


@dataclass(frozen=True)
class RecipeFlags(Recipe):
    """Every hyperparameter as a flag. The defaults are those of the chosen recipe."""

    batch_size: int | Literal["auto"] = 1  # type: ignore[assignment]
    """Images in a batch, over all processes. auto: the largest power of two that fits the memory of each process."""

    def __post_init__(self) -> None:
        """Do not check the values here, although Recipe does. The flag --steps and the recipe's own epochs are two
        stopping targets. That would be an error, until `settings` removes the recipe's own."""


@dataclass(frozen=True)
class _RecipeFlag:
    """The flag --recipe alone, which decides the defaults of the other flags and is therefore parsed before them."""

    recipe: str = "pix2pix"


@dataclass(frozen=True)
class TrainFlags:
    """Train a generator. OUT then holds its weights, its history and samples. A run that was stopped can be resumed.

    Example: colorlib train --recipe wgan-gp --data folder:photos --size 128 --batch-size 16 --epochs 20 --out runs/mine

    With several processes: torchrun --nproc-per-node 2 -m colorlib train ...
    """

    hyperparameters: Annotated[RecipeFlags, OmitArgPrefixes]
    recipe: Annotated[str, arg(metavar="|".join(RECIPES))] = "pix2pix"
    """The preset that all other hyperparameters default to."""
    data: TrainingData = "scenes"
    init: str | None = None
    """Weights of the same architecture to start the generator from: a name of shipped weights, a run, or a file."""
    out: Path | None = None
    """The run's folder. None: runs/NAME, where NAME is the recipe's name."""
    overwrite: bool = False
    """Replace the run that OUT holds."""
    seed: int = 0
    """Seed of the first weights, the order of the batches, the crops and dropout."""
    device: Device = "auto"
    save_every: int | None = None
    """Steps between checkpoints. None: one every five minutes."""
    keep_every: int | None = None
    """Never delete the checkpoints whose step is a multiple of this number. None: only the last two are kept."""
    sample_every: int | None = None
    """Steps between the pictures in OUT/samples. None: one at each validation, and the first within a minute."""
    log: Log = "none"
    compile: Compile = False

    @classmethod
    def default(cls, args: Sequence[str]) -> TrainFlags:
        """The flags with the defaults of the recipe that `args` name. Raises ValueError for an unknown recipe."""
        found, _ = tyro.cli(_RecipeFlag, args=args, return_unknown_args=True, add_help=False)
        name = found.recipe
        return cls(RecipeFlags(**dataclasses.asdict(find_recipe(name))), recipe=name)

    def changes(self) -> dict[str, Any]:
        """The hyperparameters that differ from the recipe's."""
        return find_recipe(self.recipe).differences(self.hyperparameters)

    def settings(self) -> Recipe:
        """The recipe with all changes. Raises ValueError if the result is not a valid recipe.

        A stopping target among the changes replaces the recipe's. With `--batch-size auto` the batch is as small as
        possible here: the recipe must be valid before the largest batch that fits can be looked for.
        """
        changes = self.changes()
        if self.automatic_batch:
            changes["batch_size"] = max(1, self.hyperparameters.accumulate)
        return find_recipe(self.recipe).replace(**changes)

    @property
    def automatic_batch(self) -> bool:
        """Whether the flags ask for the largest batch that fits."""
        return self.hyperparameters.batch_size == "auto"


@dataclass(frozen=True)
class ResumeFlags:
    """Continue a run to the stopping target that it was started with, or to a new one.

    Example: colorlib resume runs/mine --epochs 40
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of the run."""
    steps: int | None = None
    """New target: stop when the run has this many updates of G. Steps before the resume count."""
    epochs: int | None = None
    """New target: stop after this many passes over the data. Epochs before the resume count."""
    minutes: float | None = None
    """New target: stop after this many minutes of training. Minutes before the resume count."""
    data: str | None = None
    """If the data were moved: the source with its new path, for example folder:PATH. None: they are where they were."""
    device: Device = "auto"
    log: Log = "none"
    compile: Compile = False

    def target(self) -> dict[str, Any]:
        """The new stopping target as a dictionary, which is empty if the flags give no new target."""
        return {name: getattr(self, name) for name in TARGETS if getattr(self, name) is not None}


@dataclass(frozen=True)
class ColorizeFlags:
    """Colour photographs of any size. Each photograph keeps its size and its lightness. Of an animation only the first
    frame is coloured. Videos are not coloured.

    Example: colorlib colorize old.jpg album/ --out coloured
    """

    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...", help_behavior_hint="(one or more)")]
    """Files of photographs, or folders with photographs. Those of the gallery are in the folder colorlib/gallery."""
    out: Path
    """Folder for the coloured photographs."""
    weights: Weights = "default"
    strength: float = 1.0
    """Factor of the predicted chroma, from 0 to 2. 0 is grey, 1 is as predicted, above 1 exaggerates the colours."""
    tta: bool = False
    """Average the colours predicted for the photograph and for its mirror image. The network takes twice as long."""
    overwrite: bool = False
    """Colour a photograph again if OUT already holds its output."""
    max_pixels: int = MAX_PIXELS
    """Refuse photographs of more pixels than this. A small file may decode to more than the memory can hold."""
    device: Device = "auto"


@dataclass(frozen=True)
class EvaluateFlags:
    """Compare the colours that weights predict with the true colours, on photographs that they were not trained on.

    The table has columns for grey and for an untrained generator, too. PSNR in dB and SSIM: higher is better.
    CIEDE2000, LPIPS and FID: lower is better. Chroma ratio: 1 is as colourful as the truth.

    Example: colorlib evaluate --weights default runs/mine --data folder:photos --split test --size 128 --csv table.csv
    """

    weights: tuple[str, ...] = ("default",)
    """One or more of: a name of shipped weights, a run's folder, a weights file."""
    data: Data = "photos"
    split: Literal["train", "val", "test"] = "test"
    """The part of the data to measure on."""
    size: int | None = None
    """Side of the images in pixels. None: the size that the first weights were trained at."""
    n: int | None = None
    """Number of images to measure on, evenly spread over the split. None: all images of the split."""
    batch_size: int = 16
    """Images in a batch. A smaller batch needs less memory."""
    seed: int = 0
    """Seed of the weights of the untrained generator."""
    csv: Path | None = None
    """CSV file to write the table to, in full precision."""
    sheet: Path | None = None
    """PNG file to draw a few of the images to: in grey, in the colours of each model, and in the true colours."""
    fid_weights: Path | None = None
    """Weights file of torchvision's inception_v3, for the column fid."""
    lpips_weights: Path | None = None
    """Weights file of torchvision's alexnet, for the column lpips."""
    device: Device = "auto"


@dataclass(frozen=True)
class DataFlags:
    """List the data sets, download one (get), or decode one (prepare). Training on a prepared set starts at once.

    Example: colorlib data prepare folder:photos --size 128
    """

    action: Positional[Literal["list", "get", "prepare"]]
    """What to do."""
    name: Annotated[Positional[str], arg(help_behavior_hint="")] = ""
    """For get and prepare: the name of the data set, as in the list."""
    size: int = 256
    """For prepare: side of the images that will be trained on, in pixels."""


@dataclass(frozen=True)
class DoctorFlags:
    """Check whether everything works on this machine: versions, device, precision, memory, disk, cache and weights.

    Example: colorlib doctor
    """


@dataclass(frozen=True)
class ExportFlags:
    """Write a generator as an ONNX file whose results were compared with torch's.

    The input is the lightness (B, 1, H, W), the output is ab (B, 2, H, W).

    Example: colorlib export --weights runs/mine --out model.onnx
    """

    out: Path
    """The file to write. An existing file is replaced."""
    weights: Weights = "default"
