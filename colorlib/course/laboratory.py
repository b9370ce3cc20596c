"""The laboratory: a training whose hyperparameters are controls, with its curves, pictures and diagnosis beside them.

The panel turns its controls into a `Recipe`, gives it to a `Session`, and draws what the session reports. The training
itself is done by the library's `Trainer`.
"""

from __future__ import annotations

import dataclasses
import html
import math
import threading
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colorlib.course.session import Look, Session
from colorlib.course.widgets import Pictured, button, choice, positions, side_by_side, slider
from colorlib.datasets import Source, open_source
from colorlib.figures import DASHES, FONT, PALETTE, png_bytes, to_numpy
from colorlib.recipes import MAX_DEPTH, RECEPTIVE_FIELDS, RECIPES, Recipe

STEPS = 1000  # the target of a recipe that has not been trained yet
RATES = (1e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
WEIGHTS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
# The recipe that a loss starts from: its optimizer, norms and the weight of D's loss are not controls.
PRESETS = {"none": "l1", "vanilla": "pix2pix", "lsgan": "lsgan", "hinge": "hinge", "wasserstein": "wgan"}
CLIPS, PENALTIES = (0.003, 0.01, 0.03, 0.1), (1.0, 10.0, 100.0)
BOUNDS = ("none", *(f"clip {clip:g}" for clip in CLIPS), *(f"penalty {weight:g}" for weight in PENALTIES))
FIGSIZE = (9.0, 5.4)
ALT = (
    "Three panels of curves over the steps (error of the colours; the discriminator's accuracies or the critic's "
    "estimate; who pulls, and how colourful the pictures are), and below them held-out pictures in grey, as predicted "
    "and as they are."
)


def make_recipe(
    *,
    loss: str = "vanilla",
    lambda_l1: float = 100.0,
    lr_g: float = 1e-3,
    lr_d: float = 1e-3,
    n_critic: int = 1,
    bound: str = "none",
    patch: int = 16,
    depth: int = 3,
    width: int = 16,
    batch: int = 16,
    size: int = 32,
    steps: int = STEPS,
) -> Recipe:
    """The recipe of the panel's settings, made from the preset of its loss; `bound` is none, "clip C" or "penalty W".

    A penalty brings layer norm into D, because under batch norm a sample's gradient depends on the others. Raises
    ValueError for settings that do not go together.
    """
    kind, _, number = bound.partition(" ")
    preset = "wgan-gp" if loss == "wasserstein" and kind == "penalty" else PRESETS[loss]
    changes: dict[str, Any] = {"clip": None, "lambda_gp": 0.0}
    if kind == "clip":
        changes["clip"] = float(number)
    if kind == "penalty":
        changes |= {"lambda_gp": float(number), "norm": "layer"}
    return RECIPES[preset].replace(
        lambda_l1=lambda_l1, lr_g=lr_g, lr_d=lr_d, n_critic=n_critic, receptive_field=patch, depth=depth, width=width,
        d_width=width, batch_size=batch, size=size, steps=steps, **changes,
    )  # fmt: skip


def as_code(recipe: Recipe) -> str:
    """A line of Python that makes a recipe from the preset of its name, for coursework."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in recipe.changes().items())
    return f'RECIPES["{recipe.name}"].replace({arguments})'


class Laboratory(Pictured):
    """A training panel: Start, Pause, Reset, and a control for each hyperparameter.

    Learning rates, lambda_l1 and the weight of a penalty or the size of a clip act at once, while it trains; the
    others at the next Reset. `settings` are the first values, by the names of `make_recipe`.

    Args:
        source, validation: pictures for training, and held-out pictures; None: scenes at `size`.
        size: side of the pictures in pixels.
    """

    def __init__(
        self,
        source: Source | None = None,
        validation: Source | None = None,
        *,
        size: int = 32,
        seed: int = 0,
        device: str | torch.device = "auto",
        **settings: Any,
    ) -> None:
        self.size = size
        self.controls = _controls(make_recipe(size=size, **settings), settings)
        buttons = {"Start": self._start, "Pause": self._pause, "Reset": self._reset}
        self.buttons = {label: button(label, pressed) for label, pressed in buttons.items()}
        super().__init__([side_by_side(*self.controls.values()), side_by_side(*self.buttons.values())], ALT)
        self.problem = ""
        self._lock = threading.Lock()  # the session's thread, buttons and controls all update the text
        self.session = Session(
            self.recipe,
            source or open_source("scenes", size),
            validation or open_source("scenes", size, "val"),
            seed=seed,
            device=device,
            watch=self.show,
        )
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self.show(self.session.look())

    @property
    def recipe(self) -> Recipe:
        """The recipe that the controls are set to. Raises ValueError for settings that do not go together."""
        return make_recipe(**{name: control.value for name, control in self.controls.items()}, size=self.size)

    def as_code(self) -> str:
        """The present recipe as a line of Python for coursework, with the steps trained so far."""
        trainer = self.session.trainer
        return as_code(trainer.recipe.replace(steps=trainer.step or STEPS))

    def train(self, steps: int) -> None:
        """Train in the foreground, for a cell that runs without anybody pressing buttons."""
        self.session.train(steps)

    def show(self, look: Look) -> None:
        """Show the state of the session, which calls this from its own thread about once a second."""
        figure = Figure(figsize=FIGSIZE, layout="constrained")
        draw_look(figure, look)
        self.image.value = png_bytes(figure)
        with self._lock:
            self._look = look
            self._say()

    # --- buttons and controls --------------------------------------------------------------------------------

    def _start(self) -> None:
        self.session.start()
        self._say_state()

    def _pause(self) -> None:
        self.session.pause()
        if self.session.state == "pausing":  # otherwise the session's thread shows where it stopped
            self._say_state()

    def _reset(self) -> None:
        self.session.reset()

    def _changed(self, change: Any = None) -> None:
        try:
            self.session.use(self.recipe)
        except ValueError as error:
            self.problem = f"{error}; the training keeps its last settings"
        else:
            self.problem = ""
        with self._lock:
            self._look = dataclasses.replace(self._look, waiting=self.session.waiting)
            self._say()

    def _say_state(self) -> None:
        with self._lock:
            self._look = dataclasses.replace(self._look, state=self.session.state)
            self._say()

    def _say(self) -> None:
        lines = [html.escape(line) for line in describe(self._look, self.problem)]
        self.text.value = f"{'<br>'.join(lines)}<br><code>{html.escape(self.as_code())}</code>"

    def try_controls(self, steps: int = 3) -> None:
        """Train a few steps with each control moved. Raises AssertionError for a control that changes no weight."""
        usual = self._weights_after(steps, {})
        for name, control in self.controls.items():
            first, *between, last = positions(control)
            trials = (self._weights_after(steps, {name: value}) for value in (last, first, *between))
            changed = any(trial not in (None, usual) for trial in trials)
            assert changed, f"expected {name} to change what is trained, got the same weights"

    def _weights_after(self, steps: int, change: dict[str, Any]) -> float | None:
        """The sum of the generator's absolute weights after a short training; None for settings that cannot work."""
        values = {name: control.value for name, control in self.controls.items()} | change
        here = self.session
        try:
            recipe = make_recipe(**values, size=self.size).replace(precision="fp32")  # bf16 rounds small changes away
            trial = Session(recipe, here.source, here.validation, seed=here.seed, device=here.device)
        except ValueError:
            return None
        trial.train(steps)
        return sum(p.detach().double().abs().sum().item() for p in trial.trainer.generator.parameters())


def _controls(recipe: Recipe, settings: dict[str, Any]) -> dict[str, Any]:
    """A control for each hyperparameter, named as in `make_recipe` and labelled as in `Recipe`."""
    rates = [(f"{rate:g}", rate) for rate in sorted({*RATES, recipe.lr_g, recipe.lr_d})]
    weights = [(f"{weight:g}", weight) for weight in sorted({*WEIGHTS, recipe.lambda_l1})]
    batches = sorted({1, 4, 8, 16, 32, 64, recipe.batch_size})
    widths = sorted({4, 8, 16, 32, 64, recipe.width})
    deepest = min(MAX_DEPTH, int(math.log2(recipe.size)))
    return {
        "loss": choice(list(PRESETS), value=recipe.adversarial, label="adversarial"),
        "lambda_l1": choice(weights, value=recipe.lambda_l1, label="lambda_l1"),
        "lr_g": choice(rates, value=recipe.lr_g, label="lr_g"),
        "lr_d": choice(rates, value=recipe.lr_d, label="lr_d"),
        "n_critic": slider(1, 5, value=recipe.n_critic, step=1, label="n_critic"),
        "bound": choice(BOUNDS, value=settings.get("bound", "none"), label="clip or penalty"),
        "patch": choice(RECEPTIVE_FIELDS, value=recipe.resolved_receptive_field, label="receptive_field"),
        "depth": slider(1, deepest, value=recipe.resolved_depth, step=1, label="depth"),
        "width": choice(widths, value=recipe.width, label="width"),
        "batch": choice(batches, value=recipe.batch_size, label="batch_size"),
    }


# --- what is shown ---------------------------------------------------------------------------------------------------


def describe(look: Look, problem: str = "") -> list[str]:
    """The panel's text: the state, errors, findings, and settings that wait for a reset."""
    lines = [f"{look.state}: step {look.step}" + (f", {_numbers(look)}" if look.step else "")]
    if look.failure:
        lines.append(f"{look.failure}. Press Reset")
    if problem:
        lines.append(problem)
    if look.step:
        lines += [finding.text for finding in look.findings]
    if look.waiting:
        lines.append(f"press Reset to use the new {', '.join(look.waiting)}")
    return lines


def _numbers(look: Look) -> str:
    texts = {"l1": "L1 {:.3f}", "images_per_second": "{:.0f} images/s", "val_psnr": "held out {:.1f} dB",
             "val_grey_psnr": "grey {:.1f} dB", "val_chroma_ratio": "chroma {:.0%} of the truth"}  # fmt: skip
    last = look.history.reindex(columns=list(texts)).ffill().iloc[-1].dropna()
    return ", ".join(texts[str(name)].format(value) for name, value in last.items())


def draw_look(figure: Figure, look: Look) -> None:
    """Curves in three panels, and the samples below them."""
    halves = figure.add_gridspec(2, 1, height_ratios=(3, 2))
    thirds = halves[0].subgridspec(1, 3)
    error, game, pull = (figure.add_subplot(thirds[k]) for k in range(3))
    critic = look.recipe.adversarial == "wasserstein"
    _curves(error, look, "error of ab", {"l1": "L1, in training", "val_ab_mae": "held out"})
    accuracies = {"d_real_accuracy": "real found", "d_fake_accuracy": "fake found"}
    estimates = {"wasserstein": "estimate", "penalty": "penalty"}
    _curves(game, look, "critic" if critic else "accuracy of D", estimates if critic else accuracies)
    shares = {"adversarial_share": "adversary over L1", "val_chroma_ratio": "chroma over truth"}
    _curves(pull, look, "share", {**shares, **({"clipped_share": "at the bound"} if look.recipe.clip else {})})
    rows = [torch.cat(list(row), 2) for row in look.samples]
    ax = figure.add_subplot(halves[1])
    ax.imshow(to_numpy(torch.cat(rows, 1)), interpolation="nearest")
    height = look.samples.shape[-2]
    ax.set_yticks([(k + 0.5) * height for k in range(3)], ["grey", "predicted", "true"], fontsize=FONT)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _curves(ax: Axes, look: Look, label: str, columns: dict[str, str]) -> None:
    """Draw columns of the history. A column that is measured at every step is averaged over ten steps."""
    for i, (column, name) in enumerate(columns.items()):
        if column not in look.history:
            continue
        values = look.history.set_index("step")[column].dropna()
        if len(values) == len(look.history):
            values = values.rolling(10, min_periods=1).mean()
        ax.plot(values.index, values, DASHES[i], color=PALETTE[i], label=name, linewidth=1.8)
    ax.set_title(label, fontsize=FONT)
    ax.set_xlabel("step", fontsize=FONT)
    ax.grid(True, color="0.9", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.lines:
        ax.legend(fontsize=FONT - 2, frameon=False)
    if look.history.empty:  # matplotlib would invent numbers
        ax.set(xticks=[], yticks=[])
