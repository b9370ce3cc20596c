"""The flags of each command, as dataclasses: tyro makes the command line, its checks and its help from them."""

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
Data = Annotated[str, arg(help="scenes, photos, folder:PATH, kaggle:PATH, or a set that `colorlib data list` names.")]
Device = Annotated[str, arg(help="Where to compute: auto, cpu, cuda, cuda:N or mps; auto is cuda, else mps, else cpu.")]
Compile = Annotated[bool, arg(help="Run the networks through torch.compile: slow to start, then faster steps.")]
Log = Annotated[
    Literal["none", "tensorboard"],
    arg(help="Write losses and samples to OUT/tensorboard too; needs the package tensorboard."),
]
Weights = Annotated[str, arg(help="Name of weights that ship with colorlib, a run's folder, or a weights file.")]


@dataclass(frozen=True)
class DemoFlags:
    """Train l1 and pix2pix on scenes, then on photographs, and write a report: about four minutes on two CPU cores.

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
    """Steps of each of the four trainings; None: as many as it takes. A few only show that everything works."""


@dataclass(frozen=True)
class RecipeFlags(Recipe):
    """Every hyperparameter. The defaults are those of the recipe named by --recipe."""

    batch_size: int | Literal["auto"] = 1  # type: ignore[assignment]
    """Images in a batch, over all processes; auto: the largest power of two that fits each process's memory."""

    def __post_init__(self) -> None:
        """Not checked here: a new stopping target stands beside the recipe's until `settings` puts it in its place."""


@dataclass(frozen=True)
class _RecipeFlag:
    """The one flag that decides the defaults of the others."""

    recipe: str = "pix2pix"


@dataclass(frozen=True)
class TrainFlags:
    """Train a generator. OUT then holds its weights, history and samples; a run that was stopped can be resumed.

    Example: colorlib train --recipe wgan-gp --data folder:photos --size 128 --batch-size 16 --epochs 20 --out runs/mine

    Several processes: torchrun --nproc-per-node 2 -m colorlib train ...
    """

    hyperparameters: Annotated[RecipeFlags, OmitArgPrefixes]
    recipe: Annotated[str, arg(metavar="|".join(RECIPES))] = "pix2pix"
    """The preset that all other hyperparameters default to."""
    data: Data = "scenes"
    init: str | None = None
    """Weights of G to start from instead of random ones, of the same architecture: a shipped name, a run, a file."""
    out: Path | None = None
    """The run's folder; None: runs/ and the recipe's name."""
    overwrite: bool = False
    """Replace the run that OUT holds."""
    seed: int = 0
    """Seed of weights, batches, crops and dropout."""
    device: Device = "auto"
    save_every: int | None = None
    """Steps between checkpoints; None: every five minutes."""
    keep_every: int | None = None
    """Keep for good the checkpoint of each multiple of so many steps; None: only the last two are kept."""
    sample_every: int | None = None
    """Steps between pictures in OUT/samples; None: at each validation, and the first within a minute."""
    log: Log = "none"
    compile: Compile = False

    @classmethod
    def default(cls, args: Sequence[str]) -> TrainFlags:
        """The defaults of the recipe that `args` name. Raises ValueError for an unknown recipe."""
        found, _ = tyro.cli(_RecipeFlag, args=args, return_unknown_args=True, add_help=False)
        name = found.recipe
        return cls(RecipeFlags(**dataclasses.asdict(find_recipe(name))), recipe=name)

    def changes(self) -> dict[str, Any]:
        """The hyperparameters that differ from the recipe's."""
        return find_recipe(self.recipe).differences(self.hyperparameters)

    def settings(self) -> Recipe:
        """The recipe with all changes; a stopping target replaces the recipe's. Raises ValueError if it cannot work.

        With `--batch-size auto` the batch is the smallest there is, till one that fits is found.
        """
        changes = self.changes()
        if self.automatic_batch:
            changes["batch_size"] = max(1, self.hyperparameters.accumulate)
        return find_recipe(self.recipe).replace(**changes)

    @property
    def automatic_batch(self) -> bool:
        """Whether the batch is to be the largest that fits."""
        return self.hyperparameters.batch_size == "auto"


@dataclass(frozen=True)
class ResumeFlags:
    """Go on with a run, to the target that it was started with or to a new one.

    Example: colorlib resume runs/mine --epochs 40
    """

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder of the run."""
    steps: int | None = None
    """New target: stop when the run has this many updates of G in all."""
    epochs: int | None = None
    """New target: stop after this many passes over the data in all."""
    minutes: float | None = None
    """New target: stop after this many minutes of training in all."""
    data: str | None = None
    """Where the same data are now, if they were moved; None: where they were."""
    device: Device = "auto"
    log: Log = "none"
    compile: Compile = False

    def target(self) -> dict[str, Any]:
        """The new stopping target, empty for the old one."""
        return {name: getattr(self, name) for name in TARGETS if getattr(self, name) is not None}


@dataclass(frozen=True)
class ColorizeFlags:
    """Colour photographs of any size: each keeps its size and its lightness. Of an animation the first frame is
    coloured; videos are not.

    Example: colorlib colorize old.jpg album/ --out coloured
    """

    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...", help_behavior_hint="(one or more)")]
    """Photographs, or folders of them."""
    out: Path
    """Folder for the coloured photographs."""
    weights: Weights = "default"
    strength: float = 1.0
    """How much of the predicted chroma to paint, up to 2: 0 is grey, 1 all of it, more exaggerates the colours."""
    tta: bool = False
    """Average the colours of the photograph and of its mirror image: twice the network's time."""
    overwrite: bool = False
    """Colour again what OUT holds already."""
    max_pixels: int = MAX_PIXELS
    """Refuse pictures of more pixels than this: a small file may unpack to more than memory holds."""
    device: Device = "auto"


@dataclass(frozen=True)
class EvaluateFlags:
    """Compare weights with the truth and with grey, on photographs that they were not trained on.

    PSNR in dB and SSIM: higher is better. CIEDE2000, LPIPS and FID: lower is better. Chroma ratio: 1 is as colourful
    as the truth.

    Example: colorlib evaluate --weights default runs/mine --data folder:photos --split test --size 128 --csv table.csv
    """

    weights: tuple[str, ...] = ("default",)
    """One or more of: a name of shipped weights, a run's folder, a weights file."""
    data: Data = "photos"
    split: Literal["train", "val", "test"] = "test"
    """The part of the data to measure on."""
    size: int | None = None
    """Side of the images in pixels; None: the one that the first weights were trained at."""
    n: int | None = None
    """How many images, spread over the data; None: all."""
    batch_size: int = 16
    """Images at a time: what memory holds."""
    seed: int = 0
    """Seed of the untrained row's weights."""
    csv: Path | None = None
    """File for the table in full precision."""
    sheet: Path | None = None
    """PNG file for a few of the images: grey, in each model's colours, and the truth."""
    fid_weights: Path | None = None
    """Weights file of torchvision's inception_v3, for the column fid."""
    lpips_weights: Path | None = None
    """Weights file of torchvision's alexnet, for the column lpips."""
    device: Device = "auto"


@dataclass(frozen=True)
class DataFlags:
    """List the data sets, download one (get), or decode one beforehand so that training starts at once (prepare).

    Example: colorlib data prepare folder:photos --size 128
    """

    action: Positional[Literal["list", "get", "prepare"]]
    """What to do."""
    name: Annotated[Positional[str], arg(help_behavior_hint="")] = ""
    """For get and prepare: the data set."""
    size: int = 256
    """For prepare: side of the training images, in pixels."""


@dataclass(frozen=True)
class DoctorFlags:
    """Say what this machine has and whether it works: versions, device, precision, memory, disk.

    Example: colorlib doctor
    """


@dataclass(frozen=True)
class ExportFlags:
    """Write a generator as ONNX, checked against torch: lightness (B, 1, H, W) in, ab (B, 2, H, W) out.

    Example: colorlib export --weights runs/mine --out model.onnx
    """

    out: Path
    """The file to write."""
    weights: Weights = "default"
