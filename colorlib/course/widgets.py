"""Controls beside a figure, for ipywidgets 7.7 (Colab) and 8. Where widgets do not run, a stored picture is shown.

The figure is drawn without pyplot and given to an image widget as PNG, so no output widget or browser extension is
needed.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from IPython.display import display
from matplotlib.figure import Figure

from colorlib.figures import png_bytes

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
IPYWIDGETS_8 = int(widgets.__version__.partition(".")[0]) >= 8
WIDE = {"description_width": "initial"}


def as_plain(text: str) -> str:
    """What a line of an HTML widget says, without its tags."""
    return html.unescape(re.sub("<[^<>]+>", "", text.replace("<br>", "\n")))


def slider(low: float, high: float, *, value: float, step: float, label: str) -> widgets.Widget:
    """A slider from `low` to `high`; whole numbers if all four are. Redraws once, when it is let go."""
    whole = all(isinstance(number, int) for number in (low, high, value, step))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    numbers = {"min": low, "max": high, "value": value, "step": step}
    layout = widgets.Layout(width="26em")
    extra = {} if whole else {"readout_format": ".3g"}
    return kind(**numbers, **extra, description=label, continuous_update=False, style=WIDE, layout=layout)


def choice(options: Sequence[Any], *, value: Any, label: str) -> widgets.Widget:
    """A slider over a list of options, which need not be numbers."""
    layout = widgets.Layout(width="26em")
    return widgets.SelectionSlider(
        options=list(options), value=value, description=label, continuous_update=False, style=WIDE, layout=layout
    )


def toggle(label: str, value: bool) -> widgets.Widget:
    """A box to tick."""
    return widgets.Checkbox(value=value, description=label, indent=False)


def button(label: str, pressed: Callable[[], None]) -> widgets.Button:
    """A button that calls `pressed`."""
    made = widgets.Button(description=label)
    made.on_click(lambda _: pressed())
    return made


def upload(label: str, received: Callable[[str, bytes], None]) -> widgets.FileUpload:
    """A button to choose a picture with; `received` is called with its name and content."""
    made = widgets.FileUpload(description=label, accept="image/*", multiple=False)

    def changed(change: Any) -> None:
        for name, content in uploads(made):
            received(name, content)

    made.observe(changed, names="value")
    return made


def text_field(label: str, entered: Callable[[str], None], hint: str = "") -> widgets.Text:
    """A line to type in; `entered` is called when Enter is pressed or the line is left."""
    made = widgets.Text(description=label, placeholder=hint, continuous_update=False, style=WIDE)
    made.layout = widgets.Layout(width="34em")
    made.observe(lambda change: entered(change["new"]), names="value")
    return made


def side_by_side(*items: widgets.Widget) -> widgets.Widget:
    """Widgets in a row, and in as many rows as the window needs."""
    return widgets.HBox(items, layout=widgets.Layout(flex_flow="row wrap"))


class Pictured(widgets.VBox):
    """Widgets above a text and a picture, which stands in for all of them where widgets do not run."""

    def __init__(self, above: Sequence[widgets.Widget], alt: str) -> None:
        if not alt.strip():
            raise ValueError('expected alt text that says what the figure shows, got ""')
        self.alt, self.text = alt, widgets.HTML()
        self.image = widgets.Image(format="png", layout=widgets.Layout(align_self="flex-start", max_width="100%"))
        super().__init__([*above, self.text, self.image])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> tuple[dict, dict]:
        bundle = {
            WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.model_id},
            "image/png": base64.b64encode(self.image.value).decode("ascii"),
            "text/plain": f"{self.alt} {as_plain(self.text.value)}",
        }
        return bundle, {"image/png": {"alt": self.alt}}

    if not IPYWIDGETS_8:  # which asks for this method, and sends what it displays

        def _ipython_display_(self, **_: Any) -> None:
            bundle, about = self._repr_mimebundle_()
            display(bundle, metadata=about, raw=True)
            self._handle_displayed()


class Panel(Pictured):
    """Controls, a line of text and a figure: `draw(figure, **values)` draws and returns the text.

    Args:
        draw: a plain function of a `matplotlib.figure.Figure` and the controls' values, by name.
        figsize: of the figure, in inches.
        alt: what is to be seen, for the picture that stands in where widgets do not run.
        controls: `slider`, `choice`, `toggle`, or any other widget that has a value.
    """

    def __init__(
        self,
        draw: Callable[..., str],
        *,
        figsize: tuple[float, float] = (7, 3),
        alt: str,
        **controls: widgets.Widget,
    ) -> None:
        self.draw, self.figsize, self.controls = draw, figsize, controls
        super().__init__(list(controls.values()), alt)
        for control in controls.values():
            control.observe(self._update, names="value")
        self._update()

    @property
    def values(self) -> dict[str, Any]:
        """What the controls are set to."""
        return {name: control.value for name, control in self.controls.items()}

    def _update(self, change: Any = None) -> None:
        figure = Figure(figsize=self.figsize, layout="constrained")
        self.text.value = self.draw(figure, **self.values)
        self.image.value = png_bytes(figure)

    def try_controls(self) -> None:
        """Move every control to its ends and back. Raises AssertionError for one that never changes the text."""
        for name, control in self.controls.items():
            before, texts = control.value, set()
            for value in positions(control):
                control.value = value
                texts.add(self.text.value)
            control.value = before
            assert len(texts) > 1, f"expected {name} to change what is computed, got the same text: {texts.pop()}"


def positions(control: widgets.Widget) -> list[Any]:
    """Both ends of a control, and what lies between them for a list of options."""
    if isinstance(control, widgets.Checkbox):
        return [False, True]
    if isinstance(control, widgets.SelectionSlider):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return [control.min, control.value, control.max]


def uploads(upload: widgets.FileUpload) -> list[tuple[str, bytes]]:
    """Names and contents of the files in an upload widget, whose value differs between ipywidgets 7 and 8."""
    if isinstance(upload.value, dict):
        return [(name, bytes(file["content"])) for name, file in upload.value.items()]
    return [(file["name"], bytes(file["content"])) for file in upload.value]
