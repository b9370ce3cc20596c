"""Panels without a browser: a control's value is set, and text and picture follow."""

import base64

import ipywidgets
import pytest

from colorlib.course.widgets import WIDGET_VIEW, Panel, choice, slider, toggle, uploads


def draw(figure, power, base=2.0, shifted=False, name="a"):
    figure.subplots().plot([0, 1], [0, base**power])
    return f"{base**power + shifted:.1f} {len(name)}"


def panel(**controls):
    controls = controls or {
        "power": slider(0, 4, value=2, step=1, label="power"),
        "base": slider(1.0, 3.0, value=2.0, step=0.5, label="base"),
        "shifted": toggle("add one", False),
        "name": choice(["a", "bb"], value="a", label="name"),
    }
    return Panel(draw, alt="a line that rises to base to the power", **controls)


def test_a_moved_control_changes_text_and_picture():
    shown = panel()
    assert shown.text.value == "4.0 1"
    picture = shown.image.value
    shown.controls["power"].value = 3
    assert shown.text.value == "8.0 1" and shown.image.value != picture
    assert shown.values == {"power": 3, "base": 2.0, "shifted": False, "name": "a"}


def test_a_picture_with_alt_text_stands_in_where_widgets_do_not_run():
    shown = panel()
    data, about = shown._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == shown.image.value
    assert about == {"image/png": {"alt": shown.alt}}
    assert data[WIDGET_VIEW]["model_id"] == shown.model_id
    assert data["text/plain"].startswith("a line that rises") and data["text/plain"].endswith("4.0 1")


def test_the_text_that_stands_in_has_no_tags():
    shown = panel()
    shown.text.value = "a &lt; b &amp; 2 < 3<br><code>RECIPES[&quot;l1&quot;]</code>"
    data, _ = shown._repr_mimebundle_()
    assert data["text/plain"].endswith('a < b & 2 < 3\nRECIPES["l1"]')


@pytest.mark.slow
def test_every_control_is_tried_at_its_ends_and_put_back():
    seen = []

    def note(figure, **values):
        seen.append(tuple(values.values()))
        return str(values)

    shown = panel()
    shown.draw = note
    shown.try_controls()
    assert {powers for powers, *_ in seen} >= {0, 4} and {values[3] for values in seen} == {"a", "bb"}
    assert shown.values == panel().values


def test_a_control_that_changes_nothing_is_found():
    shown = Panel(lambda figure, power: "always the same", alt="x", power=slider(0, 4, value=2, step=1, label="p"))
    with pytest.raises(AssertionError, match="expected power to change what is computed"):
        shown.try_controls()


def test_sliders_are_whole_where_their_numbers_are_and_redraw_when_let_go():
    assert isinstance(slider(0, 4, value=2, step=1, label="x"), ipywidgets.IntSlider)
    broken = slider(0, 4, value=2, step=0.5, label="x")
    assert isinstance(broken, ipywidgets.FloatSlider) and not broken.continuous_update


def test_a_panel_needs_alt_text():
    with pytest.raises(ValueError, match="expected alt text"):
        Panel(draw, alt=" ", power=slider(0, 4, value=2, step=1, label="p"))


@pytest.mark.parametrize("value", [{"a.png": {"content": b"12"}}, ({"name": "a.png", "content": memoryview(b"12")},)])
def test_uploads_of_both_ipywidgets(value):
    stand_in = type("Upload", (ipywidgets.FileUpload,), {"__init__": lambda self: None, "value": value})
    assert uploads(stand_in()) == [("a.png", b"12")]
