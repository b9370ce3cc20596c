"""Read the drawn figures: the pixels of the PNG, the numbers of the lines, and texts, which must not overlap."""

from __future__ import annotations

import base64
import io
import itertools
import sys
import types
from inspect import unwrap

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import lab2rgb
from torch import Tensor

from colorlib import color, figures
from colorlib.devices import make_rng


def batch(n: int, h: int = 8, w: int = 8, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, 3, h, w), dtype=torch.uint8, generator=make_rng(seed, "batch"))


def pixels(fig: Figure, dpi: float = figures.DPI) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(figures.png_bytes(fig, dpi))).convert("RGB"))


def boxes(fig: Figure) -> tuple[list, list]:
    """Return the boxes, in pixels, of the axes and of the non-empty texts of the figure itself."""
    FigureCanvasAgg(fig).draw()
    return [ax.get_window_extent() for ax in fig.axes], [t.get_window_extent() for t in fig.texts if t.get_text()]


def picture(ax: Axes) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


@pytest.fixture
def history() -> pd.DataFrame:
    steps = np.arange(0, 200, 5)
    rng = np.random.default_rng(0)
    d_loss = 1.386 + 0.1 * rng.normal(size=40)
    share = np.where(np.arange(40) % 10 == 0, 0.3, np.nan)
    return pd.DataFrame({"step": steps, "d_loss": d_loss, "l1": np.exp(-steps / 50), "share": share, "void": np.nan})


class TestShow:
    @pytest.fixture
    def notebook(self, monkeypatch):
        """Replace IPython's kernel by one that stores what is displayed."""
        shown: list[tuple] = []
        display = types.ModuleType("IPython.display")
        display.display = lambda *args, **kwargs: shown.append((args, kwargs))
        getter = types.ModuleType("IPython.core.getipython")
        getter.get_ipython = object
        root = types.ModuleType("IPython")
        root.version_info = (9, 0, 0)  # matplotlib reads it
        for module in (root, types.ModuleType("IPython.core"), display, getter):
            monkeypatch.setitem(sys.modules, module.__name__, module)
        return shown

    def test_a_png_with_its_alt_text_is_displayed(self, notebook):
        fig = figures.gamut_slice(50)
        assert figures.show(fig, alt="sRGB at L* 50") is None
        ((bundle,), options) = notebook[0]
        assert base64.b64decode(bundle["image/png"]) == figures.png_bytes(figures.gamut_slice(50))
        assert isinstance(bundle["image/png"], str)
        assert bundle["text/plain"] == "sRGB at L* 50"
        assert options == {"raw": True, "metadata": {"image/png": {"alt": "sRGB at L* 50"}}}

    @pytest.mark.parametrize("alt", ["", "  \n"])
    def test_an_empty_alt_text_is_refused(self, notebook, alt):
        with pytest.raises(ValueError, match="alt text"):
            figures.show(Figure(), alt=alt)
        assert not notebook

    def test_outside_a_notebook_it_says_so(self, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "IPython", None)
        monkeypatch.setitem(sys.modules, "IPython.core.getipython", None)
        with pytest.warns(UserWarning, match="png_bytes"):
            figures.show(Figure(), alt="nothing")
        assert capsys.readouterr().out == ""


class TestPng:
    @pytest.mark.parametrize("kind", ["grid", "curves"])
    def test_the_same_figure_made_again_gives_the_same_bytes(self, kind, history):
        make = {
            "grid": lambda: figures.image_grid({"a": batch(2)}, title="twice"),
            "curves": lambda: figures.loss_curves(history, ["l1"], title="twice"),
        }
        first, again = (figures.png_bytes(make[kind]()) for _ in range(2))
        assert first == again
        assert b"Software" not in first
        assert b"atplotlib" not in first

    def test_dpi_scales_the_png(self):
        fig = figures.gamut_slice(50)
        w, h = fig.get_size_inches()
        assert pixels(fig, 50).shape == (h * 50, w * 50, 3)
        assert pixels(fig).shape == (h * 100, w * 100, 3)

    def test_figures_are_not_registered_with_pyplot(self, history):
        figures.image_grid({"a": batch(1)})
        figures.loss_curves(history, ["l1"])
        figures.gamut_slice(50)
        assert pyplot.get_fignums() == []


class TestToNumpy:
    def test_uint8_only_gets_its_channels_last(self):
        images = batch(2, 3, 5)
        array = figures.to_numpy(images)
        assert array.shape == (2, 3, 5, 3)
        assert array.dtype == np.uint8
        assert all(array[b, y, x, c] == images[b, c, y, x] for b, c, y, x in np.ndindex(2, 3, 3, 5))

    def test_floats_are_rounded_and_clamped(self):
        image = torch.tensor([-0.1, 0.5, 1.2]).reshape(3, 1, 1).requires_grad_()
        assert figures.to_numpy(image).tolist() == [[[0, 128, 255]]]

    def test_a_lightness_is_refused(self):
        with pytest.raises(ValueError, match=r"grey_image"):
            unwrap(figures.to_numpy)(torch.zeros(2, 1, 4, 4))


def test_grey_image_has_the_lightness_and_no_chroma():
    L = torch.linspace(-1, 1, 101).reshape(1, 1, 1, 101)
    grey = figures.to_numpy(figures.grey_image(L))[0]
    expected = lab2rgb(np.stack([np.linspace(0, 100, 101), np.zeros(101), np.zeros(101)], axis=-1)[None])
    assert np.abs(grey - expected * 255).max() <= 0.6
    assert (np.ptp(grey, axis=-1) <= 1).all()


class TestLabChannels:
    def test_each_channel_alone(self):
        lab = torch.tensor([60.0, 20.0, -15.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
        columns = figures.lab_channels(color.lab_to_rgb(lab))
        assert list(columns) == ["photograph", "L*: lightness", "a*: green to red", "b*: blue to yellow"]
        back = [color.rgb_to_lab(color.to_float(c))[0, :, 0, 0] for c in columns.values()]
        neutral = figures.NEUTRAL_LIGHTNESS
        expected = [(60, 20, -15), (60, 0, 0), (neutral, 20, 0), (neutral, 0, -15)]
        np.testing.assert_allclose(np.stack([b.numpy() for b in back]), expected, atol=0.6)

    def test_uint8_and_float_give_the_same(self):
        images = batch(1)
        a, b = figures.lab_channels(images), figures.lab_channels(color.to_float(images))
        assert all(torch.equal(a[name], b[name]) for name in a)


class TestImageGrid:
    @pytest.mark.parametrize("side", [4, 28, 64])
    def test_small_images_are_enlarged_by_whole_pixels(self, side):
        columns = {"one": batch(2, side, side, 1), "a head that is too long for its column": batch(2, side, side, 2)}
        fig = figures.image_grid(columns, rows=["first", "second"], title="Title")
        page = pixels(fig)
        axes, _ = boxes(fig)
        found = iter(axes)
        for images in columns.values():
            for image in figures.to_numpy(images):
                box = next(found)
                x0, x1, top = round(box.x0), round(box.x1), page.shape[0] - round(box.y1)
                k = (x1 - x0) // side
                drawn = page[top : top + k * side, x0 : x0 + k * side]
                np.testing.assert_array_equal(drawn, image.repeat(k, axis=0).repeat(k, axis=1))
        assert k >= 2

    @pytest.mark.parametrize(
        ("names", "rows", "title", "h", "w"),
        [
            (["input", "L1", "pix2pix", "truth"], None, "", 32, 32),
            (["input", "L1"], ["scene 0", "a long name of a photograph/with_its/folder.jpg"], "Held out", 32, 32),
            (["resunet-wgan-gp", "an_unbreakable_name_that_is_wider_than_a_cell_of_the_grid"], None, "x", 64, 48),
            (["a"], ["1", "2"], "A title that has to be broken into lines, for there is one narrow column", 3, 300),
            (["a"], None, "Unbreakable" * 8, 32, 32),
        ],
    )
    def test_nothing_is_cropped_and_nothing_overlaps(self, names, rows, title, h, w):
        fig = figures.image_grid({name: batch(2, h, w) for name in names}, rows=rows, title=title)
        axes, texts = boxes(fig)
        width, height = fig.get_size_inches() * fig.dpi
        for box in axes + texts:
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width + 1e-6 and box.y1 <= height + 1e-6
        for one, two in itertools.combinations(axes + texts, 2):
            across = min(one.x1, two.x1) - max(one.x0, two.x0)
            down = min(one.y1, two.y1) - max(one.y0, two.y0)
            assert across < 0.5 or down < 0.5, (one, two)
        assert len(texts) == len(names) + len(rows or []) + bool(title)

    def test_columns_are_in_order_and_rows_below_each_other(self):
        fig = figures.image_grid({"a": batch(2), "b": batch(2)})
        axes, texts = boxes(fig)
        a0, a1, b0, b1 = axes
        assert a0.y0 > a1.y1 and b0.y0 > b1.y1
        assert a0.x0 == a1.x0 and a0.x1 < b0.x0
        assert [t.get_text() for t in fig.texts if t.get_text()] == ["a", "b"]
        for text, box in zip(texts, (a0, b0), strict=True):
            assert (text.x0 + text.x1) / 2 == pytest.approx((box.x0 + box.x1) / 2, abs=1)

    def test_captions_are_below_their_images(self):
        captions = {"a": ["first", "a caption that is wider than its image"], "b": ["third", "fourth"]}
        fig = figures.image_grid({"a": batch(2), "b": batch(2)}, rows=["1", "2"], captions=captions)
        axes, texts = boxes(fig)
        below = {text.get_text(): box for text, box in zip(fig.texts, [None, *texts], strict=True)}
        for caption, image in zip([text for column in captions.values() for text in column], axes, strict=True):
            box = below[caption]
            assert (box.x0 + box.x1) / 2 == pytest.approx((image.x0 + image.x1) / 2, abs=1)
            assert image.y0 - 12 < box.y1 < image.y0 and box.y0 >= 0
        assert axes[1].y1 < below["first"].y0 and below["a caption that is wider than its image"].x1 < axes[3].x0

    def test_large_images_are_averaged_when_reduced(self):
        """A reduced fine checkerboard is grey. If single pixels were picked, it would stay black and white."""
        board = ((torch.arange(480)[:, None] + torch.arange(480)) % 2 * 255).byte().expand(1, 3, 480, 480)
        fig = figures.image_grid({"board": board})
        ((box,), _) = boxes(fig)
        page = pixels(fig)
        inner = page[page.shape[0] - round(box.y1) + 5 : page.shape[0] - round(box.y0) - 5, 15:185]
        assert np.abs(inner.astype(int) - 128).max() < 50

    def test_columns_of_different_size_and_kind(self):
        fig = figures.image_grid({"small": batch(1, 16, 16), "large": color.to_float(batch(1, 64, 64))})
        small, large = boxes(fig)[0]
        assert small.width == pytest.approx(192)
        assert large.width == pytest.approx(192)

    @pytest.mark.parametrize(
        ("columns", "rows", "message"),
        [
            ({}, None, "at least one column"),
            ({"a": batch(0)}, None, "at least one image"),
            ({"a": batch(2), "b": batch(3)}, None, "'a': 2, 'b': 3"),
            ({"a": batch(2)}, ["one"], "each of the 2 rows, got 1"),
        ],
    )
    def test_grids_that_do_not_fit_are_refused(self, columns, rows, message):
        with pytest.raises(ValueError, match=message):
            figures.image_grid(columns, rows=rows)


class TestCurves:
    def test_the_line_is_the_column(self, history):
        (ax,) = figures.loss_curves(history, ["d_loss", "l1"]).axes
        for line, name in zip(ax.lines, ["d_loss", "l1"], strict=True):
            np.testing.assert_array_equal(line.get_xdata(), history["step"])
            np.testing.assert_array_equal(line.get_ydata(), history[name])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["d_loss", "l1"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")

    def test_smoothing_is_a_centred_mean(self, history):
        (ax,) = figures.loss_curves(history, ["d_loss"], smooth=5).axes
        raw, smooth = (line.get_ydata() for line in ax.lines)
        np.testing.assert_array_equal(raw, history["d_loss"])
        expected = [history["d_loss"][max(0, i - 2) : i + 3].mean() for i in range(40)]
        np.testing.assert_allclose(smooth, expected)

    @pytest.mark.parametrize("smooth", [1, 3])
    def test_lines_continue_over_missing_values(self, history, smooth):
        (ax,) = figures.loss_curves(history, ["share"], smooth=smooth).axes
        np.testing.assert_array_equal(ax.lines[-1].get_xdata(), [0, 50, 100, 150])
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), 0.3)
        assert ax.lines[-1].get_marker() == "o"

    def test_infinite_values_count_as_missing(self, history):
        history.loc[3, "l1"] = np.inf
        (ax,) = figures.loss_curves(history, ["l1"]).axes
        assert len(ax.lines[0].get_xdata()) == 39

    def test_a_column_without_values_says_so(self, history):
        fig = figures.loss_curves(history, ["void", "l1"], smooth=3)
        assert [t.get_text() for t in fig.axes[0].get_legend().get_texts()] == ["void (no values)", "l1"]
        figures.png_bytes(fig)

    def test_panels(self, history):
        fig = figures.loss_curves(
            history, {"loss of D": ["d_loss"], "distance": ["l1", "share"]}, log=True, title="Run"
        )
        assert [ax.get_ylabel() for ax in fig.axes] == ["loss of D", "distance"]
        assert [len(ax.lines) for ax in fig.axes] == [1, 2]
        assert {ax.get_yscale() for ax in fig.axes} == {"log"}
        assert fig.get_suptitle() == "Run"

    def test_without_a_step_column_the_index_is_the_x_axis(self, history):
        indexed = history.set_index("step").rename_axis("epoch")
        (ax,) = figures.loss_curves(indexed, ["l1"]).axes
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), history["step"])
        assert ax.get_xlabel() == "epoch"
        assert figures.loss_curves(pd.DataFrame({"l1": [1, 2]}), ["l1"]).axes[0].get_xlabel() == "record"

    def test_no_two_of_many_lines_look_alike(self, history):
        names = [f"run {i}" for i in range(20)]
        (ax,) = figures.compare_runs(dict.fromkeys(names, history), "l1").axes
        assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 20

    def test_runs_are_compared_in_one_panel(self, history):
        other = history.assign(l1=history["l1"] * 2)
        (ax,) = figures.compare_runs({"l1": history, "pix2pix": other}, "l1", smooth=3).axes
        np.testing.assert_allclose(ax.lines[3].get_ydata(), ax.lines[1].get_ydata() * 2)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["l1", "pix2pix"]
        assert ax.get_ylabel() == "l1"

    @pytest.mark.slow
    def test_nothing_is_cropped(self, history):
        long = history.rename(columns={"d_loss": "a long name of a loss", "l1": "and another long name"})
        for columns in (["a long name of a loss", "and another long name", "share"], {"y": ["share"], "z": ["step"]}):
            fig = figures.loss_curves(long, columns, title="Title")
            FigureCanvasAgg(fig).draw()
            inside = fig.get_tightbbox()
            width, height = fig.get_size_inches()
            assert inside.x0 >= 0 and inside.y0 >= 0 and inside.x1 <= width and inside.y1 <= height
            legends = [ax.get_legend().get_window_extent() for ax in fig.axes]
            assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(legends))

    def test_a_long_legend_leaves_room_for_the_curves(self, history):
        runs = {f"resunet-wgan-gp at learning rate {rate}": history for rate in range(7)}
        fig = figures.compare_runs(runs, "l1")
        FigureCanvasAgg(fig).draw()
        (ax,) = fig.axes
        assert ax.get_position().width > 0.8
        assert ax.get_position().height > 0.4
        assert ax.get_legend().get_window_extent().x1 <= fig.get_size_inches()[0] * fig.dpi

    def test_histories_without_records_or_columns_are_refused(self, history):
        with pytest.raises(ValueError, match="no column g_loss in the history; there are step, d_loss"):
            figures.loss_curves(history, ["g_loss"])
        with pytest.raises(ValueError, match="at least one column"):
            figures.loss_curves(history, [])
        with pytest.raises(ValueError, match="at least one record"):
            figures.loss_curves(history[:0], ["l1"])
        with pytest.raises(ValueError, match="at least 1, got 0"):
            figures.loss_curves(history, ["l1"], smooth=0)
        with pytest.raises(ValueError, match="at least one history"):
            figures.compare_runs({}, "l1")


class TestPlane:
    def test_a_slice_shows_the_colours_and_leaves_the_rest_grey(self):
        fig = figures.gamut_slice(60)
        image = picture(fig.axes[0])
        n = len(image)
        centres = (np.arange(n) + 0.5) / n * 220 - 110
        # A point (a*, b*) inside, and one outside the gamut.
        for a, b, inside in [(30, 40, True), (-20, -20, True), (100, 100, False), (-100, 0, False)]:
            i, j = np.abs(centres - b).argmin(), np.abs(centres - a).argmin()
            expected = lab2rgb(np.array([[[60, centres[j], centres[i]]]]))[0, 0] * 255 if inside else 0.93 * 255
            assert np.abs(image[i, j] - expected).max() <= 1
        assert fig.axes[0].images[0].get_extent() == [-110, 110, -110, 110]
        assert fig.axes[0].images[0].origin == "lower"

    def test_each_lightness_has_a_panel_and_the_point_is_marked(self):
        fig = figures.gamut_slice(25, 50, 75, point=(10, -20), title="Slices")
        assert [ax.get_title() for ax in fig.axes] == ["L* = 25", "L* = 50", "L* = 75"]
        for ax in fig.axes:
            assert ax.lines[-1].get_xydata().tolist() == [[10, -20]]

    @pytest.mark.parametrize("lightness", [(), (101,), (50, -1)])
    def test_a_lightness_outside_0_to_100_is_refused(self, lightness):
        with pytest.raises(ValueError, match=r"L\* in 0\.\.100"):
            figures.gamut_slice(*lightness)

    def test_a_histogram_shows_counts(self):
        ab = torch.randn(2, 2, 30, 30, generator=make_rng(1)) * 0.3
        (ax,) = figures.ab_histogram({"noise": ab}, bins=20).axes
        a, b = ab.movedim(1, 0).reshape(2, -1).clamp(-0.9999, 0.9999).numpy() * 110
        counts, _, _ = np.histogram2d(b, a, bins=20, range=[[-110, 110]] * 2)
        ink = 255 - picture(ax).min(axis=-1).astype(int)
        assert ((ink > 0) == (counts > 0)).all()

    def test_more_pixels_are_more_ink(self):
        def ink(n_red: int, n_blue: int) -> tuple[int, int]:
            ab = torch.tensor([[0.3, 0.2]] * n_red + [[-0.05, -0.3]] * n_blue).T.reshape(1, 2, 1, -1)
            image = picture(figures.ab_histogram({"two": ab}, bins=20).axes[0])
            red, blue = (255 - image[i, j].min().astype(int) for i, j in [(12, 13), (7, 9)])
            return red, blue

        (red_many, blue_few), (red_few, blue_many) = ink(100, 1), ink(1, 100)
        assert red_many > 1.5 * red_few > 0
        assert blue_many > 1.5 * blue_few > 0

    def test_a_bin_has_its_own_colour(self):
        ab = torch.tensor([0.2, 0.15]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
        image = picture(figures.ab_histogram({"one": ab}, bins=55).axes[0])
        (inked,) = np.argwhere((image < 255).any(axis=-1))
        i, j = inked
        assert (i, j) == (int((0.15 + 1) / 2 * 55), int((0.2 + 1) / 2 * 55))
        centre = (np.array([j, i]) + 0.5) / 55 * 220 - 110
        lab = color.rgb_to_lab(torch.tensor(image[i, j] / 255).reshape(3, 1, 1)).flatten().numpy()
        np.testing.assert_allclose(lab, [figures.NEUTRAL_LIGHTNESS, *centre], atol=1)

    def test_panels_and_long_names(self):
        ab = torch.zeros(1, 2, 4, 4)
        fig = figures.ab_histogram({"truth": ab, "a name of a model that is rather long for a panel": ab}, title="ab")
        FigureCanvasAgg(fig).draw()
        titles = [ax.title.get_window_extent() for ax in fig.axes]
        assert titles[0].x1 < titles[1].x0 and titles[1].x1 <= fig.get_size_inches()[0] * fig.dpi

    @pytest.mark.parametrize(
        "samples, message",
        [({}, "there is no set of images"), ({"empty": torch.zeros(0, 2, 4, 4)}, "no pixels: empty")],
    )
    def test_a_histogram_without_pixels_is_refused(self, samples, message):
        with pytest.raises(ValueError, match=message):
            figures.ab_histogram(samples)
