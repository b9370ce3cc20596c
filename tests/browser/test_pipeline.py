"""Test that the two ONNX files of the page together equal `Colorizer.colorize`, and are not written otherwise."""

from __future__ import annotations

import base64
import functools
import json
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from notebook_fixtures import load
from PIL import Image
from torch import nn

from colorlib.cli.export import open_session, to_onnx
from colorlib.errors import ColorlibError
from colorlib.inference import MARK, Colorizer, shipped_weights
from colorlib.recipes import Recipe, build_generator

APP = Path(__file__).parents[2] / "site" / "app"
pytestmark = pytest.mark.slow
RECIPE = Recipe(name="small", generator="unet", size=16, width=4, depth=2, steps=1)


@pytest.fixture(scope="module")
def pipeline() -> ModuleType:
    """Load site/app/export_pipeline.py. All tests share one join.onnx, because it is the same for every colorizer."""
    module = load(APP / "export_pipeline.py", "export_pipeline")
    module.join_program = functools.cache(module.join_program)
    return module


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """Return an untrained colorizer with weights scaled up to fill the range of tanh, so that an error is visible."""
    generator = build_generator(RECIPE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 4:
                parameter.mul_(8)
    return Colorizer(generator, RECIPE)


@pytest.fixture(scope="module")
def written(pipeline, colorizer, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("pipeline") / "sub"
    return folder, pipeline.export_pipeline(colorizer, folder)


@pytest.mark.parametrize(("height", "width"), [(61, 83), (90, 17), (16, 16), (5, 9), (7, 120), (1, 1)])
@pytest.mark.parametrize("strength", [1.0, 0.4, 2.0])
def test_the_files_equal_colorize(pipeline, colorizer, written, height, width, strength):
    rgba = np.random.default_rng(height).integers(0, 256, (height, width, 4), dtype=np.uint8)
    expected = np.asarray(colorizer.colorize(rgba, strength=strength)).astype(int)
    got = pipeline.run_pipeline(written[0], rgba, RECIPE.size, rows=max(1, height // 3), strength=strength)
    assert np.abs(got - expected).max() <= pipeline.LEVELS
    assert (got[..., 3] == rgba[..., 3]).all()
    if min(height, width) > 1:
        assert np.ptp(expected[..., :3], axis=-1).max() > 10, "no colour to compare"


def test_without_strength_the_picture_is_grey(pipeline, written):
    rgba = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    grey = pipeline.run_pipeline(written[0], rgba, RECIPE.size, rows=40, strength=0.0)
    assert np.ptp(grey[..., :3], axis=-1).max() == 0


def test_linear_light_everywhere_is_that_of_the_library(pipeline):
    """Check random colours inside the gamut, at its edge and far outside."""
    lab = torch.rand(1, 3, 50, 40, generator=torch.Generator().manual_seed(0)) * 200 - 100
    lab[:, 0] = lab[:, 0].abs()
    torch.testing.assert_close(pipeline.linear_light(lab), pipeline.upsampling.linear_light(lab), atol=1e-6, rtol=0)


def test_the_facts_say_what_a_program_must_know(pipeline, written):
    folder, report = written
    facts = json.loads((folder / "pipeline.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["join.onnx", "network.onnx", "pipeline.json"]
    assert report["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert report["max_difference"] <= pipeline.LEVELS
    assert facts["bytes"] == {name: (folder / name).stat().st_size for name in ("join.onnx", "network.onnx")}
    assert facts["weights"] == "small" and facts["licence"] is None and facts["size"] == RECIPE.size
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + base64.b64decode(facts["exif"]))
    assert exif[0x010E] == MARK == facts["mark"] and "small" in exif[0x0131]
    assert not any(b"stack_trace" in path.read_bytes() for path in folder.iterdir()), "names files of this machine"


@pytest.mark.parametrize("name", shipped_weights())
def test_weights_that_ship_have_a_licence(pipeline, name):
    card = (resources.files("colorlib") / "weights" / "README.md").read_text(encoding="utf-8")
    assert pipeline.licence(name) in card and "CC" in pipeline.licence(name)


def test_half_precision_only_where_it_loses_nothing(pipeline, tmp_path):
    exact, other = nn.Conv2d(1, 40, 3), nn.Conv2d(40, 2, 3)
    exact.half().float()
    with torch.no_grad():
        other.weight[0, 0, 0, 0] = 1 + 2**-20
    module = nn.Sequential(exact, other).eval()
    L = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(3)) * 2 - 1
    pipeline.save_small(to_onnx(module, {"L": L}, {}, "ab", optimize=False), tmp_path / "a.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "a.onnx").graph.initializer}
    assert kinds["0.weight.half"] == onnx.TensorProto.FLOAT16 and kinds["1.weight"] == onnx.TensorProto.FLOAT
    got = torch.from_numpy(open_session(tmp_path / "a.onnx").run(["ab"], {"L": L.numpy()})[0])
    torch.testing.assert_close(got, module(L).detach(), atol=1e-5, rtol=0)


def test_files_that_differ_are_not_written(pipeline, colorizer, tmp_path, monkeypatch, capsys):
    right = pipeline.PhotographToMaps.forward
    monkeypatch.setattr(pipeline.PhotographToMaps, "forward", lambda self, rgba: -right(self, rgba))
    (tmp_path / "network.onnx").write_bytes(b"an older export")
    with pytest.raises(ColorlibError, match="differ by"):
        pipeline.export_pipeline(colorizer, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an older export"]


def test_the_command_writes_the_folder_or_one_line(pipeline, colorizer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Colorizer, "load", lambda *args: colorizer)
    assert pipeline.main(["--out", str(tmp_path / "model")]) == 0
    assert "of 255 levels from torch" in capsys.readouterr().out
    assert (tmp_path / "model" / "pipeline.json").exists()
    monkeypatch.undo()
    assert pipeline.main(["--weights", str(tmp_path / "none"), "--out", str(tmp_path / "model")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
