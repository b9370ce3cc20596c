"""A small demo: the files that it writes, the numbers that it measures, and a page that needs no other file."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from colorlib import scenes
from colorlib.cli import demo, main
from colorlib.cli.demo import run_demo
from colorlib.cli.report import Picture, Section, Table, render
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.datasets import open_source
from colorlib.datasets.scenes import LENGTHS
from colorlib.errors import RunError
from colorlib.inference import Colorizer
from colorlib.recipes import RECIPES, Recipe

TINY = {"width": 4, "d_width": 4, "batch_size": 2, "size": 16, "steps": 3, "precision": "fp32"}


class Page(HTMLParser):
    """The parts of a page that the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str | None] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        self.links += [values[name] for name in ("href", "src") if name in values]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make both worlds small: 16 px and few images. Pretend that no weights ship."""
    patch.setattr(demo, "WORLDS", {"scenes": TINY, "photos": TINY})
    patch.setattr(demo, "VALIDATIONS", 1)
    patch.setattr(demo, "shipped_weights", list)
    patch.setitem(LENGTHS, "test", 12)
    patch.setitem(LENGTHS, "val", 4)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for a small demo."""
    shrink(monkeypatch)
    return tmp_path / "demo"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[demo.Demo]:
    """One demo that all tests share that do not change it."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield run_demo(tmp_path_factory.mktemp("made") / "demo", device="cpu")


@pytest.mark.slow
def test_what_it_writes(made: demo.Demo) -> None:
    runs = {f"{world}-{name}" for world in ("scenes", "photos") for name in ("l1", "pix2pix")}
    names = {path.name for path in made.out.iterdir()}
    assert names >= runs | {"report.html", "metrics.json", "scenes.png", "photos.png"}
    for run in runs:
        assert Colorizer.load(made.out / run, "cpu").recipe.size == 16
    for path in made.out.glob("*.png"):
        Image.open(path).verify()


@pytest.mark.slow
def test_metrics_have_the_promised_keys(made: demo.Demo) -> None:
    metrics = json.loads((made.out / "metrics.json").read_text())
    assert metrics == made.metrics
    basic = {"psnr", "ciede2000"}
    balloons = {"balloon_chroma_ratio", "balloon_hue_concentration", "background_ab_mae"}
    assert {name: set(values) for name, values in metrics["scenes"].items()} == {
        "grey": basic,
        "l1": basic | balloons,
        "pix2pix": basic | balloons,
    }
    assert {name: set(values) for name, values in metrics["photos"].items()} == {
        "grey": basic,
        "l1": basic | {"chroma_ratio"},
        "pix2pix": basic | {"chroma_ratio"},
    }
    assert set(metrics) == {"scenes", "photos", "seconds", "seed", "versions"}
    rows = [row for world in ("scenes", "photos") for row in metrics[world].values()]
    assert np.isfinite([value for row in rows for value in row.values()]).all()


@pytest.mark.slow
def test_the_numbers_are_those_of_the_saved_weights_on_held_out_scenes(made: demo.Demo) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    drawn = scenes.draw(range(12), 16, split="test")
    for name in ("l1", "pix2pix"):
        ab = Colorizer.load(made.out / f"scenes-{name}", "cpu").predict(drawn.L)
        expected = scenes.score(ab, drawn)
        found = made.metrics["scenes"][name]
        assert all(found[key] == pytest.approx(expected[key], abs=1e-6) for key in demo.SCENE_SCORES)
        shown = to_uint8(join_lab(drawn.L, ab, gamut="chroma"))
        psnr = [peak_signal_noise_ratio(a.numpy(), b.numpy()) for a, b in zip(drawn.rgb, shown, strict=True)]
        assert found["psnr"] == pytest.approx(np.mean(psnr), abs=1e-3)


@pytest.mark.slow
def test_photographs_are_measured_on_regions_held_out(made: demo.Demo) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    true = open_source("photos", 16, "test")
    images = true.images(range(len(true)))
    L, ab = split_lab(to_float(images))
    grey = to_uint8(join_lab(L, torch.zeros_like(ab)))
    psnr = [peak_signal_noise_ratio(a.numpy(), b.numpy()) for a, b in zip(images, grey, strict=True)]
    assert made.metrics["photos"]["grey"]["psnr"] == pytest.approx(np.mean(psnr), abs=1e-3)


@pytest.mark.slow
def test_both_models_train_on_the_same_with_the_presets_objective(made: demo.Demo) -> None:
    for world in ("scenes", "photos"):
        recipes = {
            name: Recipe.from_json((made.out / f"{world}-{name}" / "recipe.json").read_text())
            for name in ("l1", "pix2pix")
        }
        assert recipes["pix2pix"].replace(name="l1", adversarial="none") == recipes["l1"]
        assert recipes["pix2pix"].loss == RECIPES["pix2pix"].loss


@pytest.mark.slow
def test_the_page_stands_alone(made: demo.Demo) -> None:
    text = made.report.read_text()
    page = Page(text)
    assert not page.open
    assert all(str(link).startswith("data:image/png;base64,") for link in page.links)
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    # Six pictures in four columns (input, l1, pix2pix, truth) for each of two worlds, and two plots for each world.
    assert len(page.images) == 2 * (4 * 6 + 2)
    alts = [image["alt"] for image in page.images]
    assert all(alts)
    assert len(set(alts)) == len(alts) - 2  # the two plots of one world have the same texts as those of the other


@pytest.mark.slow
def test_the_page_shows_what_it_says(made: demo.Demo) -> None:
    page = Page(made.report.read_text())
    shown = {image["alt"]: _decoded(str(image["src"])) for image in page.images}
    drawn = scenes.draw([1, 3], 16, split="test")
    assert np.array_equal(shown["scene 2, in its true colours"], drawn.rgb[1].permute(1, 2, 0).numpy())
    assert np.ptp(shown["scene 2, without its colours"].astype(int), axis=-1).max() <= 1
    ab = Colorizer.load(made.out / "scenes-pix2pix", "cpu").predict(drawn.L[:1])
    painted = to_uint8(join_lab(drawn.L[:1], ab, gamut="chroma"))[0].permute(1, 2, 0).numpy()
    assert np.abs(shown["scene 1, coloured by pix2pix"].astype(int) - painted).max() <= 1
    for world in ("scenes", "photos"):
        for row in made.metrics[world].values():
            assert f"{row['psnr']:.2f}" in page.words
    share = made.metrics["scenes"]["pix2pix"]["balloon_chroma_ratio"]
    assert f"pix2pix {share:.0%}" in page.words
    assert "other regions of the same pictures" in page.words
    assert "grey" in page.words


def _decoded(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB"))


@pytest.mark.slow
def test_without_shipped_weights_it_says_so(made: demo.Demo) -> None:
    assert demo.NOTHING_SHIPPED in Page(made.report.read_text()).words


@pytest.mark.slow
def test_shipped_weights_colour_the_photographs(
    made: demo.Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colorizer = Colorizer.load(made.out / "photos-l1", "cpu")
    monkeypatch.setattr(demo, "shipped_weights", lambda: ["default"])
    monkeypatch.setattr(Colorizer, "load", lambda name, device: colorizer)
    monkeypatch.setattr(demo, "SHIPPED_SIZE", 32)
    section = demo._shipped_section(tmp_path, torch.device("cpu"))
    assert list(section.pictures) == ["input", "shipped weights", "truth"]
    assert {len(column) for column in section.pictures.values()} == {6}
    assert Image.open(tmp_path / "shipped.png").width > 3 * 32


@pytest.mark.slow
def test_a_demo_is_only_replaced_with_overwrite_and_its_numbers_depend_on_the_seed(out: Path, made: demo.Demo) -> None:
    other = run_demo(out, device="cpu", steps=1, seed=1)
    assert other.metrics["seed"] == 1
    assert other.metrics["scenes"] != made.metrics["scenes"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="already holds a demo"):
        run_demo(out, device="cpu", steps=1)
    again = run_demo(out, device="cpu", overwrite=True)
    assert (again.metrics["scenes"], again.metrics["photos"]) == (made.metrics["scenes"], made.metrics["photos"])
    assert Recipe.from_json((out / "photos-l1" / "recipe.json").read_text()).steps == TINY["steps"]
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_command_says_where_to_look(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["demo", "--out", str(out), "--steps", "1", "--device", "cpu"]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert str(out / "report.html") in said
    assert str(out / "metrics.json") in said
    assert "make lab" in said
    assert main(args) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot write"):
        run_demo(tmp_path / "file" / "demo", device="cpu")


# --- the page ------------------------------------------------------------------------------------------------


def test_markup_in_texts_is_shown_as_it_is() -> None:
    section = Section("a < b", ["<script>alert(1)</script>"], table=Table(["&"], [["<i>"]], "legend & all"))
    text = render("<title>", "1 & 2", [section], "</body>")
    page = Page(text)
    assert "<script>" not in text
    for words in ("a < b", "<script>alert(1)</script>", "<i>", "legend & all", "<title>", "1 & 2", "</body>"):
        assert words in page.words


def test_alt_texts_are_quoted() -> None:
    page = Page(render("t", "i", [Section("s", [], {"c": [Picture(b"png", 'a "quoted" <alt>')]})], "f"))
    assert page.images[0]["alt"] == 'a "quoted" <alt>'


def test_small_pictures_stay_sharp() -> None:
    pictures = {"c": [Picture(b"", "small", 32), Picture(b"", "large", 256)]}
    page = Page(render("t", "i", [Section("s", [], pictures)], "f"))
    assert [image.get("class") for image in page.images] == ["small", None]


def test_pictures_are_arranged_row_by_row() -> None:
    columns = {name: [Picture(b"", f"{name}{i}") for i in range(2)] for name in "ab"}
    page = Page(render("t", "i", [Section("s", [], columns)], "f"))
    assert [image["alt"] for image in page.images] == ["a0", "b0", "a1", "b1"]
    assert re.search(r"repeat\(2, 1fr\)", render("t", "i", [Section("s", [], columns)], "f"))
