"""An ONNX file gives the results of torch, also at sizes that were not exported. Otherwise it is not written."""

import importlib.util

import onnx
import pytest
import torch
from torch import nn

from colorlib.cli import export, main
from colorlib.cli.export import export_onnx, open_session
from colorlib.errors import ColorlibError
from colorlib.inference import Colorizer
from colorlib.recipes import Recipe, build_generator

pytestmark = pytest.mark.slow
RECIPE = Recipe(name="small", generator="unet", size=16, width=4, depth=2, steps=1)


@pytest.fixture(scope="module")
def colorizer():
    """An untrained network whose weights are scaled up, so that its outputs fill the range of tanh.

    The outputs of the first weights are so small that a wrong result would hardly differ from the right one.
    """
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
    return torch.from_numpy(open_session(path).run(["ab"], {"L": L.numpy()})[0])


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
    """Plant a fault: the exporter returns a network that predicts zero instead of the network `other`."""
    zero = nn.Conv2d(1, 2, 1)
    nn.init.zeros_(zero.weight), nn.init.zeros_(zero.bias)
    program = export.to_onnx(zero.eval(), {"L": torch.zeros(1, 1, 8, 8)}, {}, "ab")
    monkeypatch.setattr(export, "to_onnx", lambda *args: program)
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


def test_the_command_writes_the_file(colorizer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Colorizer, "load", lambda *args: colorizer)
    assert main(["export", "--out", str(tmp_path / "a.onnx")]) == 0
    assert "differ from those of torch" in capsys.readouterr().out and (tmp_path / "a.onnx").exists()
