"""The way to the shipped weights, in small: stages that follow each other, that can be stopped, and that are packed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from colorlib import RECIPES, Colorizer

ROOT = Path(__file__).parent.parent.parent
TINY = {"generator": "resunet", "depth": 2, "width": 4, "batch_size": 2, "size": 16, "zoom": 1.5}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/weights.py with stages that take a moment, and a package of its own to write into."""
    spec = importlib.util.spec_from_file_location("weights", ROOT / "tools" / "weights.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "weights", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    l1, gan = (RECIPES[name].replace(**TINY, d_width=4, steps=10) for name in ("l1", "pix2pix"))
    monkeypatch.setattr(module, "STAGES", {"first": module.Stage(l1, sets=("grocery", "nature"))})
    candidates = {"l1": module.Stage(l1, start=("first",)), "pix2pix": module.Stage(gan, start=("first",))}
    monkeypatch.setattr(module, "CANDIDATES", candidates)
    monkeypatch.setattr(module, "SHARES", {"l1": {"l1": 1.0}, "default": {"l1": 0.75, "pix2pix": 0.25}})
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "package")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    (tmp_path / "package").mkdir()
    return module


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("grocery", "nature", "clothing"):
        for split in ("train", "val"):
            folder = tmp_path / "sets" / name / split
            folder.mkdir(parents=True)
            for i in range(3):
                Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(folder / f"{name}{i}.png")
    lines = ["file,split,licence,attribution,source,original"]
    for name in ("grocery", "nature", "clothing"):
        lines += [f"{name}/{split}/a.png,{split},CC-BY,{name} {split},wallpapers,a.png" for split in ("train", "test")]
    (tmp_path / "sets" / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "sets"


@pytest.mark.slow
def test_all_stages_and_what_they_leave(weights: ModuleType, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    weights.main([str(photos), "--out", str(out)])
    table = pd.read_csv(tmp_path / "results" / "candidates.csv")
    assert sorted(set(table["run"])) == ["first", "grey", "l1", "pix2pix", "shipped: default", "shipped: l1"]
    assert sorted(set(table["set"])) == ["clothing", "grocery", "nature"]
    trained = table[table["run"].isin(["first", "l1", "pix2pix"])]
    assert (trained["steps"] == 10).all() and (trained["minutes"] > 0).all()
    assert (table.loc[table["run"] == "pix2pix", "adversarial_share"] > 0).all()
    assert (table.loc[table["run"] == "l1", "adversarial_share"] == 0).all()
    credits = (tmp_path / "package" / "CREDITS.md").read_text()
    assert "| nature | wallpapers | CC-BY | nature train | 1 |" in credits and "nature test" not in credits
    packed = Colorizer.load(tmp_path / "package" / "default.safetensors", "cpu")
    l1, gan = (Colorizer.load(out / name, "cpu") for name in ("l1", "pix2pix"))
    assert packed.recipe == gan.recipe.replace(size=weights.SEEN)
    for got, a, b in zip(*(list(c.generator.parameters()) for c in (packed, l1, gan)), strict=True):
        torch.testing.assert_close(got, 0.75 * a + 0.25 * b, atol=1e-3, rtol=1e-3)  # half precision


@pytest.mark.slow
def test_a_stage_starts_from_the_one_before_it_and_is_not_repeated(
    weights: ModuleType, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs"
    first, l1 = weights.STAGES["first"], weights.CANDIDATES["l1"]
    weights.train("first", first, photos, out)
    begun = []
    start_from = weights.Trainer.start_from
    monkeypatch.setattr(weights.Trainer, "start_from", lambda self, *a: begun.append(a[1]) or start_from(self, *a))
    weights.train("l1", l1, photos, out)
    weights.train("l1", l1, photos, out)
    assert begun == ["first"]
    joined = weights.join_sets(photos, ("grocery", "nature"), out)
    assert sorted(path.name for path in (joined / "train").iterdir()) == ["grocery-1", "nature-1"]


@pytest.mark.slow
def test_a_stage_starts_from_the_mean_of_several(
    weights: ModuleType, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = tmp_path / "runs", weights.STAGES["first"]
    other = weights.Stage(first.recipe.replace(lr_g=0.01), sets=first.sets)
    weights.train("first", first, photos, out)
    weights.train("other", other, photos, out)
    both = weights.Stage(first.recipe, start=("first", "other"))
    source = weights.open_source(f"folder:{photos / 'nature'}", 16, "train")
    a, b = (dict(Colorizer.load(out / name, "cpu").generator.named_parameters()) for name in both.start)
    for name, mean in weights.beginning(both, source, out).named_parameters():
        torch.testing.assert_close(mean, (a[name] + b[name]) / 2)


def test_batch_norm_becomes_layer_norm_of_nearly_the_same_function(weights: ModuleType) -> None:
    recipe = RECIPES["l1"].replace(**TINY, dropout=0.0)
    old, new = (
        weights.build_generator(recipe.replace(g_norm=norm), torch.Generator().manual_seed(0))
        for norm in ("batch", "layer")
    )
    smooth = torch.nn.functional.interpolate(
        torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1, size=32, mode="bilinear"
    )
    with torch.no_grad():
        for module in old.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.5
        for _ in range(20):
            old.train()(smooth)
        wanted, unlike = old.eval()(smooth), new.eval()(smooth)
        got = weights.with_layer_norm(old, new, smooth).eval()(smooth)
    error, error_before = (got - wanted).abs().mean(), (unlike - wanted).abs().mean()
    assert error < 0.15 * wanted.abs().mean() < error_before, f"{error} of {wanted.abs().mean()}, before {error_before}"


def test_rows_of_runs_that_are_gone_stay(weights: ModuleType, tmp_path: Path) -> None:
    index = pd.MultiIndex.from_product([["grocery", "nature", "clothing"], ["first", "shipped: l1", "grey"]])
    new = pd.DataFrame({"psnr": range(9)}, index=index.set_names(["set", "run"]), dtype=float)
    assert weights.with_history(new, tmp_path / "none.csv") is new
    path = tmp_path / "candidates.csv"
    path.write_text(
        "set,run,psnr\ngrocery,first,-1\ngrocery,gone,20\ngrocery,pix2pix,21\ngrocery,grey,-1\nnature,gone,22\n"
    )
    table = weights.with_history(new, path)
    runs = ["first", "pix2pix", "gone", "shipped: l1", "grey"]
    assert list(table.loc["grocery"].index) == runs and list(table.loc["grocery", "psnr"]) == [0, 21, 20, 1, 2]
    assert (
        list(table.loc["nature"].index) == ["first", "gone", "shipped: l1", "grey"] and len(table.loc["clothing"]) == 3
    )
    assert list(table.index.unique("set")) == ["grocery", "nature", "clothing"]
