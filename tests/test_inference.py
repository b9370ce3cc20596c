"""A colorizer accepts any image, keeps its size, lightness, alpha and file, and reports each failure in one line."""

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from skimage import data
from skimage.color import rgb2lab
from torch import nn

from colorlib import Colorizer, files, inference
from colorlib.checkpoints import save_generator
from colorlib.errors import CheckpointError, DataError
from colorlib.files import lock
from colorlib.inference import Result, is_marked, network_size, save_marked, shipped_weights
from colorlib.recipes import Recipe, build_generator

RECIPE = Recipe(name="small", generator="resunet", size=32, width=4, depth=2, steps=1)


class Constant(nn.Module):
    """Predicts the same ab for every pixel, and stores the L that it was given."""

    def __init__(self, a=0.3, b=-0.2):
        super().__init__()
        self.chroma = nn.Parameter(torch.tensor([a, b]))
        self.seen = []

    def forward(self, L):
        self.seen.append(L.clone())
        return self.chroma.view(1, 2, 1, 1).expand(len(L), 2, *L.shape[-2:])


class LeftIsRed(nn.Module):
    """Predicts ab that depends on the position, so that a mirror image gets other colours."""

    def forward(self, L):
        ramp = torch.linspace(0.4, -0.4, L.shape[-1]).expand(len(L), 1, *L.shape[-2:])
        return torch.cat([ramp, torch.full_like(ramp, 0.1)], dim=1)


@pytest.fixture
def constant():
    return Colorizer(Constant(), RECIPE)


@pytest.fixture(scope="module")
def trained():
    """An untrained network whose weights are scaled up, so that it predicts vivid colours."""
    generator = build_generator(RECIPE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 4:
                parameter.mul_(8)
    return generator


@pytest.fixture(scope="module")
def weights(tmp_path_factory, trained):
    path = tmp_path_factory.mktemp("run") / "generator.safetensors"
    save_generator(path, trained, RECIPE)
    return path


@pytest.fixture(scope="module")
def photograph():
    return np.ascontiguousarray(data.astronaut()[:100, 200:340])


def lightness(image):
    return rgb2lab(np.asarray(image.convert("RGB")))[..., 0]


# --- loading -------------------------------------------------------------------------------------------------


def test_load_from_file_folder_and_name(weights, trained, monkeypatch):
    L = torch.rand(2, 1, 24, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected = trained.eval()(L)
    package = weights.parent.parent / "package"
    (package / "weights").mkdir(parents=True)
    (package / "weights" / "mine.safetensors").write_bytes(weights.read_bytes())
    (package / "weights" / "README.md").touch()
    monkeypatch.setattr(inference.resources, "files", lambda name: package)
    for place in (weights, str(weights), weights.parent, "mine"):
        colorizer = Colorizer.load(place, device="cpu")
        torch.testing.assert_close(colorizer.predict(L), expected)
        assert colorizer.recipe == RECIPE
    assert colorizer.name == "mine" and shipped_weights() == ["mine"]


def test_what_cannot_be_loaded_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"mine\.safetensors"):
        Colorizer.load("mine.safetensors")
    with pytest.raises(FileNotFoundError, match="runs"):
        Colorizer.load(tmp_path / "runs" / "mine")
    with pytest.raises(CheckpointError, match="saved a checkpoint"):
        Colorizer.load(tmp_path)
    (tmp_path / "b.safetensors").write_text("text")
    with pytest.raises(CheckpointError):
        Colorizer.load(tmp_path / "b.safetensors")
    monkeypatch.setattr(inference, "shipped_weights", lambda: ["default", "l1"])
    with pytest.raises(ValueError, match=r"default, l1.*'nonsense'"):
        Colorizer.load("nonsense")
    with pytest.raises(ValueError, match="device"):
        Colorizer.load("default", device="abacus")


def test_without_weights_in_the_package_none_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(inference.resources, "files", lambda name: tmp_path)
    assert shipped_weights() == []
    with pytest.raises(ValueError, match="none"):
        Colorizer.load("default")


def test_predict_is_without_dropout_and_restores_the_mode():
    generator = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(0.9)).train()
    colorizer = Colorizer(generator, RECIPE)
    L = torch.ones(1, 1, 50, 50)
    ab = colorizer.predict(L)
    assert torch.equal(ab, colorizer.predict(L)) and not ab.requires_grad
    assert generator.training


# --- one photograph ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(3000, 4000, (128, 171)), (4000, 3000, (171, 128)), (128, 128, (128, 128)), (50, 70, (50, 70)), (1, 1, (1, 1)),
     (1, 5000, (1, 512)), (300, 9000, (17, 512)), (100, 9000, (6, 512))],
)  # fmt: skip
def test_network_size(height, width, expected):
    assert network_size(height, width, 128) == expected


def test_size_and_lightness_are_kept(weights, photograph):
    colorizer = Colorizer.load(weights, device="cpu")
    image = colorizer.colorize(photograph)
    assert image.size == (140, 100) and image.mode == "RGB"
    error = np.abs(lightness(image) - rgb2lab(photograph)[..., 0])
    assert error.mean() < 0.5 and np.quantile(error, 0.99) < 2
    lab = rgb2lab(np.asarray(image))
    assert np.hypot(lab[..., 1], lab[..., 2]).mean() > 5, "the network has no colour to test with"


def test_network_sees_lightness_at_its_own_size(constant, photograph):
    constant.colorize(photograph)
    (L,) = constant.generator.seen
    assert L.shape == (1, 1, 32, 45)
    expected = np.asarray(Image.fromarray(photograph).resize((45, 32), Image.Resampling.BOX))
    assert np.abs(L[0, 0].numpy() - (rgb2lab(expected)[..., 0] / 50 - 1)).mean() < 0.03


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_scales_chroma(constant, strength):
    grey = np.full((40, 50), 128, np.uint8)  # at this lightness, all ab used here are inside the gamut
    lab = rgb2lab(np.asarray(constant.colorize(grey, strength=strength)))
    np.testing.assert_allclose(lab[..., 1:].mean(axis=(0, 1)), [33 * strength, -22 * strength], atol=0.5)


def test_strength_zero_is_grey_of_the_same_lightness(weights, photograph):
    image = np.asarray(Colorizer.load(weights, device="cpu").colorize(photograph, strength=0))
    assert np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2])
    assert np.abs(rgb2lab(image)[..., 0] - rgb2lab(photograph)[..., 0]).max() < 0.4


def test_more_strength_keeps_lightness_and_stays_in_gamut(weights, photograph):
    """Chroma doubles where sRGB can show it, and is reduced at constant lightness elsewhere."""
    colorizer = Colorizer.load(weights, device="cpu")
    once, twice = (rgb2lab(np.asarray(colorizer.colorize(photograph, strength=s))) for s in (1, 2))
    assert np.abs(twice[..., 0] - rgb2lab(photograph)[..., 0]).mean() < 0.3
    chroma_1, chroma_2 = (np.hypot(lab[..., 1], lab[..., 2]) for lab in (once, twice))
    assert (chroma_2 >= chroma_1 - 1.5).all() and chroma_2.mean() > 1.1 * chroma_1.mean()


def test_twice_the_strength_is_twice_the_chroma_inside_the_gamut(photograph):
    grey = np.full((40, 50), 128, np.uint8)
    lab = rgb2lab(np.asarray(Colorizer(Constant(0.1, -0.1), RECIPE).colorize(grey, strength=2)))
    np.testing.assert_allclose(lab[..., 1:].mean(axis=(0, 1)), [22, -22], atol=0.5)


@pytest.mark.parametrize("strength", [-0.1, 2.1, float("nan")])
def test_strength_out_of_range(constant, photograph, tmp_path, strength):
    with pytest.raises(ValueError, match="strength"):
        constant.colorize(photograph, strength=strength)
    with pytest.raises(ValueError, match="strength"):
        constant.colorize_many([], tmp_path, strength=strength)


def test_tta_averages_over_the_mirror_image():
    colorizer = Colorizer(LeftIsRed(), RECIPE)
    grey = np.full((32, 40), 128, np.uint8)
    plain = rgb2lab(np.asarray(colorizer.colorize(grey)))[..., 1]
    averaged = rgb2lab(np.asarray(colorizer.colorize(grey, tta=True)))
    assert plain[:, 0].mean() > 40 and plain[:, -1].mean() < -40
    np.testing.assert_allclose(averaged[..., 1], 0, atol=1)
    np.testing.assert_allclose(averaged[..., 2], 11, atol=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (33, 31)])
def test_extreme_shapes(weights, shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert Colorizer.load(weights, device="cpu").colorize(values).size == shape[::-1]


def test_notes_become_warnings(constant, photograph):
    image = Image.fromarray(photograph)
    image.info["icc_profile"] = b"nonsense"
    with pytest.warns(UserWarning, match="ICC profile is damaged"):
        constant.colorize(image)


# --- many files ----------------------------------------------------------------------------------------------


def odd_files(folder, rgb):
    """Write files of every kind. Return name: (name of the output, its size, its alpha or None)."""
    picture = Image.fromarray(rgb)
    grey, size, turned = picture.convert("L"), picture.size, picture.size[::-1]
    alpha = Image.fromarray(255 - rgb[..., 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.asarray(grey).astype(np.uint16) * 257
    files = {}

    def save(name, image, output, size=size, alpha=None, **options):
        image.save(folder / name, **options)
        files[name] = (output, size, alpha)

    save("rgb.jpg", picture, "rgb.jpg")
    save("turned.jpeg", picture, "turned.jpeg", size=turned, exif=exif)
    save("grey.jpg", grey, "grey.jpg")
    save("cmyk.jpg", picture.convert("CMYK"), "cmyk.jpg")
    save("rgb.png", picture, "rgb.png")
    save("rgba.png", Image.merge("RGBA", [*picture.split(), alpha]), "rgba.png", alpha=alpha)
    save("la.png", Image.merge("LA", [grey, alpha]), "la.png", alpha=alpha)
    save("palette.png", picture.quantize(16), "palette.png")
    holes = picture.quantize(16)
    save("holes.gif", holes, "holes.gif.png", transparency=3,
         alpha=Image.fromarray(np.where(np.asarray(holes) == 3, 0, 255).astype(np.uint8)))  # fmt: skip
    save("bits.png", picture.convert("1"), "bits.png")
    save("deep.png", Image.fromarray(deep), "deep.png")
    save("deep.tif", Image.fromarray(deep.astype(np.int32)), "deep.tif.png")
    save("float.tif", Image.fromarray(np.asarray(grey) / np.float32(255)), "float.tif.png")
    save("pages.tif", picture, "pages.tif.png", save_all=True, append_images=[grey.convert("RGB")])
    save("moving.gif", picture.quantize(64), "moving.gif.png", save_all=True, append_images=[grey.quantize(9)])
    save("photo.webp", picture, "photo.webp.png")
    save("really_png.jpg", picture, "really_png.jpg.png", format="PNG")
    save("really_jpeg.png", picture, "really_jpeg.png.jpg", format="JPEG")
    save("bitmap.bmp", picture, "bitmap.bmp.png")
    return files


BROKEN = ("cut.jpg", "text.jpg", "empty.png", "bomb.png")


def broken_files(folder, rgb):
    Image.fromarray(rgb).save(folder / "cut.jpg")
    content = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    Image.new("1", (4000, 4000)).save(folder / "bomb.png")


@pytest.mark.slow
def test_every_odd_file_is_coloured_or_named(constant, tmp_path, photograph, capfd):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    files = odd_files(folder, photograph)
    broken_files(folder, photograph)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = constant.colorize_many([folder], out, max_pixels=10**6, progress=False)
    assert capfd.readouterr() == ("", "")

    assert [result.source for result in results] == sorted(before)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    by_name = {result.source.name: result for result in results}
    for name in BROKEN:
        assert by_name[name].output is None and "\n" not in by_name[name].error
    assert "1.0" in by_name["bomb.png"].error and "--max-pixels" in by_name["bomb.png"].error
    for name, (output, size, alpha) in files.items():
        assert by_name[name].error is None and by_name[name].output == out / output, name
        with Image.open(out / output) as image:
            assert image.size == size, name
            assert (image.format == "JPEG") == output.endswith(("jpg", "jpeg")), name
            assert (image.mode == "RGBA") == (alpha is not None), name
            if alpha is not None:
                assert np.array_equal(np.asarray(image.getchannel("A")), np.asarray(alpha)), name
            # At black and white, sRGB has no chroma.
            assert name == "bits.png" or np.asarray(image.convert("RGB")).std(axis=-1).max() > 5, f"{name} is grey"
    for name in ("pages.tif", "moving.gif"):
        assert "only the first" in by_name[name].notes[0]
    assert sorted(path.name for path in out.iterdir()) == sorted(output for output, _, _ in files.values())


def test_the_output_of_a_rotated_photograph_is_upright(constant, tmp_path, photograph):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photograph).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (result,) = constant.colorize_many([tmp_path / "a.jpg"], tmp_path / "out", progress=False)
    with Image.open(result.output) as image:
        assert image.getexif().get(0x0112, 1) == 1
        upright = np.rot90(rgb2lab(photograph)[..., 0], -1)
        assert np.abs(lightness(image) - upright).mean() < 3


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "alpha.png"])
def test_every_output_says_that_a_model_coloured_it(constant, tmp_path, photograph, name):
    picture = Image.fromarray(photograph)
    if name == "alpha.png":
        picture.putalpha(200)
    picture.save(tmp_path / name)
    (result,) = constant.colorize_many([tmp_path / name], tmp_path / "out", progress=False)
    assert is_marked(result.output) and not is_marked(tmp_path / name)
    with Image.open(result.output) as image:
        assert image.getexif()[ExifTags.Base.Software] == f"colorlib, weights {constant.name}"
        assert image.size == picture.size


def test_an_image_in_memory_is_written_with_the_mark(constant, tmp_path, photograph):
    save_marked(constant.colorize(photograph), tmp_path / "new" / "a.JPG")
    assert is_marked(tmp_path / "new" / "a.JPG")
    with Image.open(tmp_path / "new" / "a.JPG") as image:
        assert image.format == "JPEG" and image.getexif()[ExifTags.Base.Software] == "colorlib"


def test_existing_outputs_are_kept_unless_overwrite_is_set(constant, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "a.png")
    out = tmp_path / "out"
    (first,) = constant.colorize_many(tmp_path / "a.png", out, progress=False)
    assert first == Result(tmp_path / "a.png", out / "a.png") and not first.skipped
    (out / "a.png").write_bytes(b"precious")
    (second,) = constant.colorize_many([tmp_path / "a.png"], out, progress=False)
    assert second.skipped and second.output == out / "a.png" and "overwrite" in second.notes[0]
    assert (out / "a.png").read_bytes() == b"precious"
    (third,) = constant.colorize_many([tmp_path / "a.png"], out, overwrite=True, progress=False)
    assert not third.skipped and (out / "a.png").read_bytes() != b"precious"


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_the_result_of_a_kept_output_says_with_what_it_was_coloured(constant, tmp_path, photograph, name):
    """In the first version, the last line named the weights of the second call, although the file had been kept."""
    Image.fromarray(photograph).save(tmp_path / name)

    def colour(colorizer, **options):
        (result,) = colorizer.colorize_many(tmp_path / name, tmp_path / "out", progress=False, **options)
        return result

    colour(constant)
    assert colour(constant).coloured_otherwise == "" and colour(constant).notes == (inference.KEPT,)
    # Equal weights under another name count as the same weights.
    assert colour(Colorizer(Constant(), RECIPE, name="copy")).coloured_otherwise == ""
    assert colour(Colorizer(Constant(0.1), RECIPE, name="other")).coloured_otherwise == "the weights small"
    assert colour(constant, strength=0.5).coloured_otherwise == "the weights small at strength 1"
    assert colour(constant, tta=True).coloured_otherwise == "the weights small at strength 1"
    with torch.no_grad():
        constant.generator.chroma += 0.1  # trained further
    kept = colour(constant)
    assert kept.skipped and kept.coloured_otherwise == "the weights small, in an earlier version"
    assert kept.notes[0].startswith(inference.KEPT) and "in an earlier version" in kept.notes[0]
    assert not colour(constant, overwrite=True, strength=2, tta=True).skipped
    assert colour(constant, strength=2, tta=True).coloured_otherwise == ""
    assert colour(constant).coloured_otherwise == "the weights small at strength 2, tta"


def test_a_kept_output_of_an_older_version_or_another_program(constant, tmp_path, photograph):
    picture = Image.fromarray(photograph)
    for name in ("a.png", "b.png", "c.png"):
        picture.save(tmp_path / name)
    save_marked(picture, tmp_path / "out" / "a.png", "small")
    save_marked(picture, tmp_path / "out" / "b.png", "default")
    picture.save(tmp_path / "out" / "c.png")
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    results = constant.colorize_many(paths, tmp_path / "out", progress=False)
    said = ["", "the weights default", "something that colorlib did not colour"]
    assert [result.coloured_otherwise for result in results] == said


@pytest.fixture
def held(tmp_path, photograph):
    """Three photographs a, b and c. The first is locked through another open file, as by another process."""
    for name in "abc":
        Image.fromarray(photograph[:8, :8]).save(tmp_path / f"{name}.png")
    file = os.open(tmp_path / "a.png", os.O_RDONLY)
    assert lock(file)
    yield file
    os.close(file)


def then(monkeypatch, n, act):
    """Call `act` after the nth photograph was coloured. Return a list that receives the names in order."""
    order, usual = [], inference._colorize_file

    def colorize_file(work, source, *rest):
        result = usual(work, source, *rest)
        order.append(source.name)
        if len(order) == n:
            act()
        return result

    monkeypatch.setattr(inference, "_colorize_file", colorize_file)
    return order


def test_a_photograph_locked_by_another_process_is_coloured_last(constant, tmp_path, held, monkeypatch):
    unlock = lambda: os.dup2(os.open(os.devnull, os.O_RDONLY), held)  # noqa: E731
    order = then(monkeypatch, 2, unlock)
    results = constant.colorize_many(tmp_path, tmp_path / "out", progress=False)
    assert order == ["b.png", "c.png", "a.png"]
    assert [result.source.name for result in results] == ["a.png", "b.png", "c.png"]
    assert not any(result.skipped or result.error for result in results)


def test_an_output_that_another_process_wrote_meanwhile_is_kept(constant, tmp_path, held, monkeypatch):
    order = then(monkeypatch, 2, lambda: (tmp_path / "out" / "a.png").write_bytes(b"theirs"))
    monkeypatch.setattr(inference, "PATIENCE", 0.1)
    results = constant.colorize_many(tmp_path, tmp_path / "out", progress=False)
    assert order == ["b.png", "c.png"] and results[0].skipped and not results[1].skipped
    assert (tmp_path / "out" / "a.png").read_bytes() == b"theirs"


def test_a_lock_that_stays_is_ignored_after_a_while(constant, tmp_path, held, monkeypatch):
    """Another program may have locked the file for its own reasons, so the photograph is coloured all the same."""
    monkeypatch.setattr(inference, "PATIENCE", 0.1)
    results = constant.colorize_many(tmp_path, tmp_path / "out", progress=False)
    assert all(result.output and not result.skipped for result in results)


def test_inputs_are_never_overwritten(constant, tmp_path, photograph):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(photograph).save(tmp_path / folder / "x.png")
    before = (tmp_path / "b" / "x.png").read_bytes()
    inputs = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    for out in (tmp_path / "b", tmp_path / "a" / ".." / "b"):
        results = constant.colorize_many(inputs, out, overwrite=True, progress=False)
        assert "overwritten" in results[0].error
        assert results[1].output == out / "b-x.png" or "overwritten" in results[1].error
        assert (tmp_path / "b" / "x.png").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_an_input_is_not_overwritten_either(constant, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "a.png", tmp_path / "out" / "a.png")
    (result,) = constant.colorize_many([tmp_path / "a.png"], tmp_path / "out", overwrite=True, progress=False)
    assert "overwritten" in result.error and (tmp_path / "a.png").read_bytes() == before


def test_outputs_have_different_names(constant, tmp_path, photograph):
    image = Image.fromarray(photograph)
    for name in ("one/a.jpg", "one/a.png", "one/a.bmp", "two/a.jpg", "two/sub/a.jpg", "three/two/a.jpg", "three/A.JPG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / name)
    sources = [tmp_path / "one", tmp_path / "two", tmp_path / "three" / "two" / "a.jpg", tmp_path / "three" / "A.JPG"]
    out = tmp_path / "out"
    results = constant.colorize_many(sources, out, progress=False)
    names = [result.output.relative_to(out).as_posix() for result in results]
    assert names == ["a.bmp.png", "a.jpg", "a.png", "two-a.jpg", "sub/a.jpg", "2-a.jpg", "three-A.JPG"]
    again = constant.colorize_many(sources, out, progress=False)
    assert [result.output for result in again] == [result.output for result in results]
    assert all(result.skipped for result in again)


def test_results_inside_the_input_folder_are_not_coloured_again(constant, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "a.png")
    out = tmp_path / "out"
    for _ in range(2):
        results = constant.colorize_many([tmp_path], out, progress=False)
        assert [result.output for result in results] == [out / "a.png"]


def test_a_file_named_twice_is_coloured_once(constant, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", tmp_path, tmp_path / ".." / tmp_path.name / "a.png"]
    (result,) = constant.colorize_many(sources, tmp_path / "out", progress=False)
    assert result.source == tmp_path / "a.png"


def test_missing_files_and_empty_folders_are_named(constant, tmp_path):
    (tmp_path / "empty").mkdir()
    missing, empty = constant.colorize_many([tmp_path / "no.jpg", tmp_path / "empty"], tmp_path / "out", progress=False)
    assert "no.jpg" in missing.error and "no pictures in the folder" in empty.error
    assert constant.colorize_many([], tmp_path / "out", progress=False) == []


def test_a_folder_that_may_not_be_entered_is_a_failure(constant, tmp_path, photograph, monkeypatch):
    (tmp_path / "closed").mkdir()
    Image.fromarray(photograph).save(tmp_path / "open.png")
    monkeypatch.setattr(files, "find_files", lambda folder: [tmp_path / "closed", tmp_path / "open.png"])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    closed, opened = constant.colorize_many(tmp_path, tmp_path / "out", progress=False)
    assert closed.error == f"cannot enter the folder {tmp_path / 'closed'}" and opened.output.exists()


def test_a_file_that_is_no_image_is_left_out_of_a_folder_but_not_if_named(constant, tmp_path, photograph):
    (tmp_path / "notes.txt").write_text("bought in May")
    Image.fromarray(photograph).save(tmp_path / "photo", format="JPEG")
    left_out, coloured = constant.colorize_many(tmp_path, tmp_path / "out", progress=False)
    assert left_out.output is None and left_out.error is None and left_out.notes[0].startswith("left out: cannot read")
    assert coloured.output == tmp_path / "out" / "photo.jpg" and coloured.output.exists()
    (named,) = constant.colorize_many(tmp_path / "notes.txt", tmp_path / "out", progress=False)
    assert "no image" in named.error


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_coloured_under_their_own_names(constant, tmp_path, photograph):
    album = tmp_path / "album"
    album.mkdir()
    Image.fromarray(photograph).save(album / "a.png")
    (album / "b.png").symlink_to("a.png")
    (album / "loop.png").symlink_to("loop.png")
    first, second, loop = constant.colorize_many(album, tmp_path / "out", progress=False)
    assert (first.output.name, second.output.name) == ("a.png", "b.png") and not second.output.is_symlink()
    assert "found no file" in loop.error


def test_the_longest_possible_names(constant, tmp_path, photograph):
    longest, too_long = tmp_path / ("n" * 251 + ".png"), tmp_path / ("n" * 300 + ".png")
    Image.fromarray(photograph).save(longest)
    longer = tmp_path / ("m" * 251 + ".bmp")  # with .png added, the name of its output would be too long
    Image.fromarray(photograph).save(longer)
    done, refused, missing = constant.colorize_many([longest, longer, too_long], tmp_path / "out", progress=False)
    assert done.output.name == longest.name and done.output.exists()
    assert "too long" in refused.error and "too long" in missing.error


def test_a_folder_with_the_name_of_the_output_is_a_failure(constant, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "a.png")
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    (result,) = constant.colorize_many(tmp_path / "a.png", tmp_path / "out", progress=False)
    assert result.error and not result.skipped
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "a.png"]


def test_a_full_disk_leaves_no_incomplete_file(constant, tmp_path, photograph, monkeypatch):
    for name in ("a.png", "b.jpg"):
        Image.fromarray(photograph).save(tmp_path / name)
    out = tmp_path / "out"

    def fill_the_disk(self, path, *args, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", fill_the_disk)
        results = constant.colorize_many([tmp_path / "a.png", tmp_path / "b.jpg"], out, progress=False)
    assert all("No space left" in result.error for result in results)
    assert list(out.iterdir()) == []


def test_one_failing_network_run_does_not_stop_the_others(tmp_path, photograph):
    class Fails(Constant):
        def forward(self, L):
            if L.shape[-1] == 20:
                raise RuntimeError("out of\nmemory")
            return super().forward(L)

    for name, width in (("a.png", 20), ("b.png", 30)):
        Image.fromarray(photograph[:32, :width]).save(tmp_path / name)
    bad, good = Colorizer(Fails(), RECIPE).colorize_many([tmp_path], tmp_path / "out", progress=False)
    assert bad.error == "out of memory" and good.output.exists()


def test_a_progress_bar_is_shown(constant, tmp_path, photograph, capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    Image.fromarray(photograph).save(tmp_path / "a.png")
    constant.colorize_many([tmp_path / "a.png"], tmp_path / "out")
    assert "colorize" in capfd.readouterr().err


def test_colorize_names_what_it_cannot_read(constant, tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(DataError, match="no image"):
        constant.colorize(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="megapixels"):
        constant.colorize(np.zeros((30, 30)), max_pixels=100)
