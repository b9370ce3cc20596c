"""The photograph panel without a browser: files are handed to it, sliders moved, Save pressed."""

import datetime
import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from colorlib import Colorizer
from colorlib.color import split_lab, to_float
from colorlib.course.studio import VIEW, Studio, compose
from colorlib.errors import ColorlibError
from colorlib.inference import is_marked
from colorlib.recipes import RECIPES


class Orange(torch.nn.Module):
    """One chroma for every pixel."""

    def forward(self, L):
        return torch.tensor([0.2, 0.3])[:, None, None].expand(len(L), 2, *L.shape[2:])


@pytest.fixture
def studio(tmp_path):
    grey = data.camera()[::2, ::2]
    return Studio(Colorizer(Orange(), RECIPES["l1"].replace(size=32), name="orange"), tmp_path / "out", grey, "camera")


def png(array, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG", **options)
    return file.getvalue()


def shown(studio) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(studio.image.value))).astype(int)


def spread(pixels) -> int:
    return int((pixels.max(-1) - pixels.min(-1)).max())


def test_left_is_grey_right_is_coloured_and_a_line_between(studio):
    picture = shown(studio)
    assert picture.shape == (256, 256, 3)
    assert spread(picture[:, :126]) <= 2 and spread(picture[:, 130:]) > 40
    assert (picture[:, 127:130] == 255).all()
    assert studio.text.value.startswith("camera: 256 x 256 pixels; mean chroma of what is shown ")


def test_before_and_after_have_the_photographs_lightness(studio):
    studio.controls["split"].value = 0
    L, _ = split_lab(to_float(torch.from_numpy(shown(studio).astype(np.uint8)).movedim(-1, 0)[None]))
    assert (L - studio._L).abs().mean() < 0.01


def test_both_sliders_change_the_measured_chroma(studio):
    texts = {studio.text.value}
    studio.controls["strength"].value = 0.5
    texts.add(studio.text.value)
    studio.controls["split"].value = 100
    texts.add(studio.text.value)
    assert len(texts) == 3 and "mean chroma of what is shown 0." in studio.text.value
    assert spread(shown(studio)) <= 2


def test_strength_zero_is_grey(studio):
    studio.controls["strength"].value = 0.0
    assert spread(shown(studio)) <= 2


@pytest.mark.slow
def test_an_uploaded_photograph_is_shown_small_and_saved_at_its_own_size(studio):
    large = np.tile(data.camera()[::2], (1, 2))
    studio.upload.set_trait("value", _uploaded(studio.upload, "album/old photo.jpg", png(large)))
    assert "1024 x 256 pixels" in studio.text.value and max(shown(studio).shape) == VIEW < 1024
    studio.save_button.click()
    assert studio.saved.name == "old photo.png" and is_marked(studio.saved)
    with Image.open(studio.saved) as image:
        assert image.size == (1024, 256)
    studio.save_button.click()
    assert studio.saved.name == "old photo-2.png"


def _uploaded(widget, name, content):
    """As the browser would set it, in ipywidgets 7 and 8."""
    if isinstance(widget.value, dict):
        return {name: {"content": content}}
    about = {"type": "image/png", "size": len(content), "last_modified": datetime.datetime(2026, 1, 1)}
    return ({"name": name, "content": content, **about},)


@pytest.mark.slow
def test_a_path_opens_a_photograph(studio, tmp_path):
    (tmp_path / "b.png").write_bytes(png(data.astronaut()))
    studio.path.value = str(tmp_path / "b.png")
    assert studio.text.value.startswith("b.png: 512 x 512")


@pytest.mark.parametrize("value", ["nowhere.png", "   "])
def test_a_path_to_nothing(studio, value):
    before, text = studio.image.value, studio.text.value
    studio.path.value = value
    assert studio.image.value == before
    assert studio.text.value == text if value.isspace() else "found no file nowhere.png" in studio.text.value


def bomb() -> bytes:
    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return len(content).to_bytes(4, "big") + kind + content + crc.to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"these are words", "it is no image"),
        (png(data.camera())[:2000], "cannot read the file"),
        (bomb(), "3600.0 megapixels, over the limit"),
        (b"\xff" * 50_000_000, "it is no image"),
    ],
    ids=["empty", "text", "truncated", "bomb", "50 MB"],
)
def test_what_is_no_photograph_is_said_in_one_line_and_the_last_one_stays(studio, content, message):
    before = studio.image.value
    studio.open_photograph("<b>odd</b>.png", content)
    assert message in studio.text.value and "\n" not in studio.text.value and "<b>" not in studio.text.value
    assert studio.image.value == before and studio.name == "camera"
    studio.controls["strength"].value = 0.5
    assert studio.text.value.startswith("camera")


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2, 3)])
def test_tiny_and_thin_pictures(studio, shape):
    studio.open_photograph("tiny", np.full(shape, 128, np.uint8))
    assert f"tiny: {shape[1]} x {shape[0]} pixels" in studio.text.value


@pytest.mark.slow
def test_a_note_on_the_file_is_shown(studio):
    studio.open_photograph(
        "film.png", png(data.camera(), save_all=True, append_images=[Image.fromarray(data.camera() // 2)])
    )
    assert "only the first is used" in studio.text.value


def test_what_cannot_be_saved_is_said(studio, tmp_path, monkeypatch):
    monkeypatch.setattr("colorlib.course.studio.save_marked", _full)
    studio.save_button.click()
    assert studio.text.value == "camera is not saved: no space left"


def _full(*_):
    raise ColorlibError("no space left")


def test_compose_at_its_ends():
    L, ab = torch.zeros(1, 1, 4, 10), torch.full((1, 2, 4, 10), 0.2)
    assert split_lab(compose(L, ab, 1.0))[1].abs().max() < 1e-3
    assert torch.allclose(split_lab(compose(L, ab, 0.0))[1], ab, atol=1e-3)
