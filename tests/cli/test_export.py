"""The ONNX files compute what torch computes, at sizes that were not exported, or are not written."""

import base64
import functools
import importlib.util
import json
from importlib import resources

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from colorlib.cli import export, main
from colorlib.cli.export import LEVELS, PhotographToMaps, export_onnx, export_pipeline
from colorlib.errors import ColorlibError
from colorlib.inference import MARK, Colorizer, network_size, shipped_weights, shrink
from colorlib.recipes import Recipe, build_generator

RECIPE = Recipe(name="small", generator="unet", size=16, width=4, depth=2, steps=1)


@pytest.fixture(scope="module")
def colorizer():
    """Weights scaled up until an untrained network fills the range of tanh: an error is then visible."""
    generator = build_generator(RECIPE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 4:
                parameter.mul_(8)
    return Colorizer(generator, RECIPE)


@pytest.fixture(scope="module")
def dynamic(colorizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "sub" / "small.onnx"
    return path, export_onnx(colorizer, path)


def run(path, L):
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["ab"], {"L": L.numpy()})[0])


def draw(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (3, 1, 33, 50), (1, 1, 1, 1), (1, 1, 7, 64)])
def test_any_size_equals_torch(colorizer, dynamic, shape):
    path, _ = dynamic
    L = draw(*shape)
    expected = colorizer.predict(L)
    assert expected.abs().max() > 0.005
    torch.testing.assert_close(run(path, L), expected, atol=1e-4, rtol=0)


def test_what_is_reported_is_true(dynamic):
    path, report = dynamic
    model = onnx.load(path)
    assert report["bytes"] == path.stat().st_size and report["path"] == str(path)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [report["opset"]]
    assert 0 < report["max_difference"] <= 1e-4 and report["dynamic"]
    assert len({shape[2:] for shape in report["shapes"]}) == 2
    assert [path.name] == [file.name for file in path.parent.iterdir()]


def test_file_says_its_units_and_recipe(dynamic):
    model = onnx.load(dynamic[0])
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert Recipe.from_json(said["recipe"]) == RECIPE
    assert "L*/50 - 1" in said["input"] and "b*/110" in said["output"]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 1, "height", "width"]


def test_fixed_size_of_a_plain_module_and_quiet(tmp_path, capfd, recwarn):
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Dropout(0.9)).train()
    report = export_onnx(module, tmp_path / "a.onnx", size=8, dynamic=False)
    assert capfd.readouterr() == ("", "") and not list(recwarn)
    assert report["shapes"] == [(1, 1, 8, 8)] and module.training
    L = draw(1, 1, 8, 8)
    torch.testing.assert_close(run(tmp_path / "a.onnx", L), module.eval()(L).detach(), atol=1e-4, rtol=0)
    with pytest.raises(Exception, match="dimension"):
        run(tmp_path / "a.onnx", draw(1, 1, 8, 9))


@pytest.mark.parametrize("fault", [1e-3, float("nan")])
def test_a_file_that_differs_is_not_written(colorizer, tmp_path, monkeypatch, fault):
    class Program:
        """Computes zero, and claims to be the export of another module."""

        def __init__(self, program):
            self.program, self.model = program, program.model

        def save(self, path, **options):
            self.program.save(path, **options)

    zero = nn.Conv2d(1, 2, 1)
    nn.init.zeros_(zero.weight), nn.init.zeros_(zero.bias)
    program = Program(export._export(zero.eval(), torch.zeros(1, 1, 8, 8), dynamic=False, opset=18))
    monkeypatch.setattr(export, "_export", lambda *args: program)
    other = nn.Conv2d(1, 2, 1)
    nn.init.zeros_(other.weight), nn.init.constant_(other.bias, fault)
    (tmp_path / "a.onnx").write_bytes(b"an older export")
    with pytest.raises(ColorlibError, match="differ by"):
        export_onnx(other, tmp_path / "a.onnx", size=8, dynamic=False)
    assert (tmp_path / "a.onnx").read_bytes() == b"an older export" and len(list(tmp_path.iterdir())) == 1


def test_missing_extra_is_named(colorizer, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(ColorlibError, match=r'onnxscript: pip install "colorlib-course\[export\]"'):
        export_onnx(colorizer, tmp_path / "a.onnx")


def test_what_torch_cannot_export_is_one_line(tmp_path):
    class Stubborn(nn.Module):
        def forward(self, L):
            return L if float(L.sum()) > 0 else -L

    with pytest.raises(ColorlibError, match="torch cannot export") as caught:
        export_onnx(Stubborn(), tmp_path / "a.onnx", size=8)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


# --- the whole pipeline --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def join_once():
    """The join is the same for every colorizer: exported once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_export_join", functools.cache(export._export_join))
        yield


@pytest.fixture(scope="module")
def pipeline(colorizer, join_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "sub"
    return folder, export_pipeline(colorizer, folder)


def colour(folder, rgba, size, strength, rows):
    """As the page does it: shrink, ask the network once, join a few rows at a time."""

    def run(name, **inputs):
        session = onnxruntime.InferenceSession((folder / name).read_bytes(), providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0]

    height, width = rgba.shape[:2]
    small = shrink(np.ascontiguousarray(rgba[..., :3]), network_size(height, width, size))
    maps = run("network.onnx", rgba=np.dstack([small, small[..., :1]]))
    scalars = {"height": np.array(height, np.float32), "strength": np.array(strength, np.float32)}
    bands = [
        run("join.onnx", rgba=rgba[top : top + rows], maps=maps, top=np.array(top, np.float32), **scalars)
        for top in range(0, height, rows)
    ]
    return np.concatenate(bands)


@pytest.mark.parametrize(("height", "width"), [(61, 83), (90, 17), (16, 16), (5, 9), (7, 120), (1, 1)])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_pipeline_equals_colorize(colorizer, pipeline, height, width, strength):
    rgba = np.random.default_rng(height).integers(0, 256, (height, width, 4), dtype=np.uint8)
    expected = np.asarray(colorizer.colorize(rgba, strength=strength)).astype(int)
    got = colour(pipeline[0], rgba, RECIPE.size, strength, rows=max(1, height // 3))
    assert np.abs(got - expected).max() <= LEVELS
    assert (got[..., 3] == rgba[..., 3]).all()
    if min(height, width) > 1:
        assert np.ptp(expected[..., :3], axis=-1).max() > 10, "no colour to compare"


def test_pipeline_without_strength_is_grey(pipeline):
    rgba = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    assert np.ptp(colour(pipeline[0], rgba, RECIPE.size, 0.0, rows=40)[..., :3], axis=-1).max() == 0


def test_pipeline_says_what_a_program_must_know(pipeline):
    folder, report = pipeline
    facts = json.loads((folder / "pipeline.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["join.onnx", "network.onnx", "pipeline.json"]
    assert report["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert report["max_difference"] <= LEVELS
    assert facts["bytes"] == {name: (folder / name).stat().st_size for name in ("join.onnx", "network.onnx")}
    assert facts["weights"] == "small" and facts["licence"] is None and facts["size"] == RECIPE.size
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + base64.b64decode(facts["exif"]))
    assert exif[0x010E] == MARK == facts["mark"] and "small" in exif[0x0131]
    assert not any(b"stack_trace" in path.read_bytes() for path in folder.iterdir()), "names files of this machine"


@pytest.mark.parametrize("name", shipped_weights())
def test_weights_that_ship_have_a_licence(name):
    card = (resources.files("colorlib") / "weights" / "README.md").read_text(encoding="utf-8")
    assert export._licence(name) in card and "CC" in export._licence(name)


def test_half_precision_only_where_it_loses_nothing(tmp_path):
    exact, other = nn.Conv2d(1, 40, 3), nn.Conv2d(40, 2, 3)
    exact.half().float()
    with torch.no_grad():
        other.weight[0, 0, 0, 0] = 1 + 2**-20
    module = nn.Sequential(exact, other).eval()
    program = export._to_onnx(module, {"L": torch.zeros(1, 1, 9, 9)}, {}, "ab", 18, optimize=False)
    export._save_small(program, tmp_path / "a.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "a.onnx").graph.initializer}
    assert kinds["0.weight.half"] == onnx.TensorProto.FLOAT16 and kinds["1.weight"] == onnx.TensorProto.FLOAT
    L = draw(1, 1, 9, 9)
    torch.testing.assert_close(run(tmp_path / "a.onnx", L), module(L).detach(), atol=1e-5, rtol=0)


def test_a_pipeline_that_differs_is_not_written(colorizer, join_once, tmp_path, monkeypatch):
    right = PhotographToMaps.forward
    monkeypatch.setattr(PhotographToMaps, "forward", lambda self, rgba: -right(self, rgba))
    (tmp_path / "network.onnx").write_bytes(b"an older export")
    with pytest.raises(ColorlibError, match="differ by"):
        export_pipeline(colorizer, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an older export"]


def test_the_command_writes_the_folder(colorizer, join_once, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Colorizer, "load", lambda *args: colorizer)
    assert main(["export", "--pipeline", "--out", str(tmp_path / "model")]) == 0
    assert "of 255 levels from torch" in capsys.readouterr().out
    assert (tmp_path / "model" / "pipeline.json").exists()
