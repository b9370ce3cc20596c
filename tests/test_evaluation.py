"""Compare the evaluation table with known scores of simple models, and with metrics computed image by image."""

import io
import math
import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from colorlib import figures, metrics
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.evaluation import BASELINES, COLUMNS, PSNR_CEILING, contact_sheet, evaluate, quick_scores
from colorlib.generators import ResUNet

SIZE = 24


class FakeSource:
    """A source of soft coloured noise. Image i depends only on i. It stores the indices that were requested."""

    name, split = "fake", "test"

    def __init__(self, n=7, size=SIZE, endless=False):
        self.n, self.size, self.endless = n, size, endless
        self.asked = []

    def __len__(self):
        return self.n

    def images(self, indices):
        self.asked += indices
        return torch.cat([self._image(i) for i in indices])

    def _image(self, index):
        coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(index))
        soft = nn.functional.interpolate(coarse, size=(self.size, self.size), mode="bilinear", align_corners=True)
        return to_uint8(soft)

    def describe(self):
        return {"spec": "fake", "n": self.n}


class Painter(nn.Module):
    """A network whose output differs in train mode (batch norm, dropout). One layer stays in eval mode on purpose."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.norm, self.conv, self.dropout = nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3, padding=1), nn.Dropout(0.5)
        nn.init.normal_(self.conv.weight, 0, 0.5, generator=rng)
        self.norm.running_mean += 0.1
        self.norm.eval()

    def forward(self, L):
        return torch.tanh(self.dropout(self.conv(self.norm(L))))


class Predicting:
    """An object with a method `predict` and a `generator`, which is all that evaluate uses of a Colorizer."""

    def __init__(self, generator):
        self.generator = generator

    def predict(self, L):
        return self.generator.eval()(L)


class Oracle:
    """Returns the true ab, times `factor`, of the image whose L it receives."""

    def __init__(self, source, factor=1.0):
        self.factor = factor
        self.pairs = [split_lab(to_float(source._image(i))) for i in range(len(source))]

    def __call__(self, L):
        return torch.cat([self._answer(image) for image in L])

    def _answer(self, L):
        distance = [(L - known).abs().max() for known, _ in self.pairs]
        return self.factor * self.pairs[int(torch.stack(distance).argmin())][1]


def table_of(models, source, **options):
    return evaluate(models, source, device="cpu", progress=False, **options)


@pytest.fixture
def source():
    return FakeSource()


@pytest.fixture
def without_shape_checks():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_rows_columns_and_the_truth(source):
    table = table_of({"oracle": Oracle(source), "half": Oracle(source, 0.5)}, source)
    assert list(table.index) == ["oracle", "half", *BASELINES] and table.index.name == "model"
    assert tuple(table.columns) == COLUMNS and (table["n"] == 7).all() and table["n"].dtype.kind == "i"
    oracle = table.loc["oracle"]
    assert oracle.psnr == PSNR_CEILING and oracle.ssim == pytest.approx(1) and oracle.ciede2000 == 0
    assert oracle.chroma_ratio == oracle.a_intersection == oracle.b_intersection == 1
    assert oracle.colorfulness_difference == 0 and oracle.colorfulness > 20
    # Except for rounding to 8 bits, half the ab has half the chroma, and grey has no chroma.
    assert table.chroma_ratio["half"] == pytest.approx(0.5, abs=0.01)
    assert table.chroma_ratio["grey"] < 1e-3 and table.colorfulness["grey"] == pytest.approx(0, abs=0.1)
    assert table.psnr.idxmax() == "oracle" and table.psnr["half"] > table.psnr["grey"]
    assert table.ciede2000["half"] < table.ciede2000["grey"]


def test_grey_row_by_scikit_image(source):
    expected = []
    for i in range(len(source)):
        true = source._image(i)[0].permute(1, 2, 0).numpy()
        lab = rgb2lab(true) * [1, 0, 0]
        grey = np.round(lab2rgb(lab) * 255).astype(np.uint8)
        expected.append(peak_signal_noise_ratio(true, grey))
    assert table_of({"oracle": Oracle(source)}, source).psnr["grey"] == pytest.approx(np.mean(expected), abs=0.01)


@pytest.mark.slow
def test_every_metric_is_that_of_the_module(source):
    """A module's row equals the metrics of its gamut-mapped 8-bit predictions, computed image by image."""
    painter, measures = Painter().eval(), (metrics.psnr, metrics.ssim, metrics.ciede2000)
    pool, scores = metrics.PooledColor(), []
    with torch.no_grad():
        for i in range(len(source)):
            true = source._image(i)
            L, _ = split_lab(to_float(true))
            ab = painter(L)
            predicted = to_uint8(join_lab(L, ab, gamut="chroma"))
            assert not torch.equal(
                predicted, to_uint8(join_lab(L, ab))
            )  # some colours are outside the gamut, so that the mapping matters
            pool.update(predicted, true)
            scores.append([measure(predicted, true).item() for measure in measures])
    expected = dict(zip(["psnr", "ssim", "ciede2000"], np.mean(scores, axis=0), strict=True)) | pool.result()
    for model in (painter.train(), Predicting(painter), lambda L: painter.eval()(L)):
        row = table_of({"painter": model}, source, batch_size=3).loc["painter"]
        assert row[list(expected)].to_dict() == pytest.approx(expected, rel=1e-4)


def test_modes_and_weights_are_restored(source):
    painter = Painter().train()
    painter.norm.eval()
    before = {name: value.clone() for name, value in painter.state_dict().items()}
    table_of({"painter": painter}, source)
    assert painter.training and painter.dropout.training and not painter.norm.training
    assert all(torch.equal(value, before[name]) for name, value in painter.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in painter.parameters())
    with pytest.raises(ValueError, match="narrow"):
        table_of({"painter": painter, "narrow": lambda L: L}, source)
    assert painter.dropout.training and not painter.norm.training


@pytest.mark.slow
def test_batches_do_not_change_the_table(source):
    model = {"painter": Painter()}
    one, many = (table_of(model, source, batch_size=size) for size in (1, 16))
    assert np.allclose(one[list(COLUMNS[:-2])].astype(float), many[list(COLUMNS[:-2])].astype(float), rtol=1e-4)


def test_no_row_draws_from_global_randomness(source):
    state = torch.random.get_rng_state()
    table_of({"painter": Painter()}, source)
    torch.random.set_rng_state(state)
    painter = Painter()
    torch.random.set_rng_state(state)
    table_of({"painter": painter}, source)
    assert torch.equal(torch.random.get_rng_state(), state)


# ----------------------------------------------------------------------------- baselines


@pytest.mark.slow
def test_untrained_is_the_first_network_with_new_weights(source):
    trained = ResUNet(depth=2, width=8, rng=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for buffer in trained.buffers():
            buffer.add_(3)  # running statistics change in training
        for parameter in trained.parameters():
            parameter.add_(0.1)
    fresh = ResUNet(depth=2, width=8, rng=torch.Generator().manual_seed(4))
    rows = [table_of({"a": model}, source).loc["untrained"] for model in (trained, fresh, Predicting(trained))]
    # With the same architecture and seed, the result does not depend on the weights of the first model.
    assert rows[0].equals(rows[1]) and rows[0].equals(rows[2])
    assert not rows[0].equals(table_of({"a": trained}, source, seed=1).loc["untrained"])
    # A network that predicts nearly nothing has nearly the scores of grey.
    table = table_of({"a": trained}, source)
    assert table.psnr["untrained"] == pytest.approx(table.psnr["grey"], abs=1.0)
    assert table.psnr["a"] != table.psnr["untrained"]


def test_untrained_row_where_no_model_has_a_network(source):
    table = table_of({"nothing": lambda L: torch.zeros(len(L), 2, *L.shape[-2:])}, source)
    assert table.loc["nothing"].equals(table.loc["grey"])
    assert not table.loc["untrained"].equals(table.loc["grey"]) and table.loc["untrained"].psnr > 10


def test_without_colour_in_the_truth_grey_has_no_psnr(source):
    source._image = lambda i: FakeSource._image(source, i)[:, :1].expand(-1, 3, -1, -1)
    table = table_of({"painter": Painter()}, source)
    assert table.chroma_ratio.isna().all() and math.isnan(table.psnr["grey"])
    assert math.isfinite(table.psnr["painter"]) and table.ciede2000["grey"] == pytest.approx(0, abs=0.1)
    assert "no colour" in table.attrs["notes"]["chroma_ratio"] and "no colour" in table.attrs["notes"]["psnr of grey"]
    quick = quick_scores(Painter(), source)
    assert math.isnan(quick["chroma_ratio"]) and math.isnan(quick["grey_psnr"]) and math.isfinite(quick["psnr"])


def test_a_grey_photograph_does_not_make_the_mean_infinite(source):
    grey = torch.full((1, 3, SIZE, SIZE), 90, dtype=torch.uint8)
    source._image = lambda i: grey if i == 2 else FakeSource._image(source, i)
    assert table_of({"oracle": Oracle(source)}, source).psnr.map(math.isfinite).all()


# ----------------------------------------------------------------------------- which images


@pytest.mark.parametrize(
    ("n", "endless", "expected"),
    [
        (None, False, [0, 1, 2, 3, 4, 5, 6]),
        (3, False, [0, 2, 4]),
        (99, False, [0, 1, 2, 3, 4, 5, 6]),
        (3, True, [0, 1, 2]),
        (9, True, list(range(9))),
    ],
)
def test_which_images_are_used(n, endless, expected):
    source = FakeSource(endless=endless)
    table = table_of({"zero": lambda L: L.expand(-1, 2, -1, -1) * 0}, source, n=n, batch_size=2)
    assert source.asked == expected and (table["n"] == len(expected)).all()


# ----------------------------------------------------------------------------- FID, LPIPS, small images


def color_means(rgb):
    return rgb.mean(dim=(2, 3))


def test_fid_with_an_extractor_handed_in(source):
    with pytest.warns(UserWarning, match="FID of 7 images"):
        table = table_of({"oracle": Oracle(source)}, source, feature_extractor=color_means, batch_size=3)
    true = torch.cat([source._image(i) for i in range(7)])
    grey = to_uint8(join_lab(split_lab(to_float(true))[0], torch.zeros(7, 2, SIZE, SIZE)))
    assert table.fid["oracle"] == pytest.approx(0, abs=1e-6)
    expected = metrics.fid(color_means(to_float(grey)), color_means(to_float(true)))
    assert table.fid["grey"] == pytest.approx(expected, rel=1e-3) and expected > 0.001
    assert "fid" not in table.attrs["notes"]


def test_a_module_as_extractor_runs_in_eval_mode(source):
    extractor = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(3 * SIZE**2, 4))
    with pytest.warns(UserWarning, match="FID"):
        table = table_of({"oracle": Oracle(source)}, source, feature_extractor=extractor)
    assert table.fid["oracle"] == pytest.approx(0, abs=1e-6) and extractor.training


def test_what_cannot_be_computed_is_nan_with_a_note():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = table_of({"zero": lambda L: L.expand(-1, 2, -1, -1) * 0}, FakeSource(size=8))
    notes = table.attrs["notes"]
    assert table[["fid", "lpips", "ssim"]].isna().all(axis=None) and set(notes) == {"fid", "lpips", "ssim"}
    assert "--fid-weights" in notes["fid"] and "--lpips-weights" in notes["lpips"] and "11 px" in notes["ssim"]
    assert table.drop(columns=["fid", "lpips", "ssim"]).notna().all(axis=None)
    single = table_of({"zero": lambda L: L.expand(-1, 2, -1, -1) * 0}, FakeSource(n=1), feature_extractor=color_means)
    assert single.fid.isna().all() and "2 images" in single.attrs["notes"]["fid"]


def test_weights_reach_fid_and_lpips(source, monkeypatch, tmp_path):
    """test_metrics tests how the files are read."""
    opened = {}
    monkeypatch.setattr("colorlib.evaluation.LPIPS_SMALLEST", 8)
    monkeypatch.setattr(
        "colorlib.evaluation.inception_features", lambda path, device: opened.update(fid=path) or color_means
    )
    monkeypatch.setattr(
        "colorlib.evaluation.lpips_distance",
        lambda path, device: opened.update(lpips=path) or (lambda p, t: (p - t).abs().mean(dim=(1, 2, 3))),
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    files = {"fid_weights": tmp_path / "inception.pth", "lpips_weights": tmp_path / "alexnet.pth"}
    with pytest.warns(UserWarning, match="FID"):
        table = table_of({"oracle": Oracle(source)}, source, **files)
    assert opened == {"fid": files["fid_weights"], "lpips": files["lpips_weights"]} and table.attrs["notes"] == {}
    assert table.lpips["oracle"] == 0 and table.lpips["grey"] > 0.01 and table.fid["grey"] > table.fid["oracle"]


def test_lpips_without_its_package_or_with_small_images(source, monkeypatch, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "alexnet.safetensors")
    weights = {"lpips_weights": tmp_path / "alexnet.safetensors"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert "31 px" in table_of({"oracle": Oracle(source)}, source, **weights).attrs["notes"]["lpips"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    table = table_of({"oracle": Oracle(source)}, source, **weights)
    assert "pip install lpips" in table.attrs["notes"]["lpips"] and table.lpips.isna().all()


def test_progress_is_shown_only_if_set(source, capfd):
    evaluate({"oracle": Oracle(source)}, source, device="cpu")
    assert "7/7" in capfd.readouterr().err
    table_of({"oracle": Oracle(source)}, source)
    assert capfd.readouterr() == ("", "")


# ----------------------------------------------------------------------------- quick scores


def test_quick_scores_agree_with_the_table(source):
    painter = Painter().train()
    painter.norm.eval()
    table = table_of({"painter": painter}, source)
    got = quick_scores(painter, source, batch_size=3, device="cpu")
    assert list(got) == ["ab_mae", "psnr", "chroma_ratio", "grey_psnr"]
    assert got["psnr"] == pytest.approx(table.psnr["painter"], rel=1e-4)
    assert got["grey_psnr"] == pytest.approx(table.psnr["grey"], rel=1e-4)
    assert got["chroma_ratio"] == pytest.approx(table.chroma_ratio["painter"], rel=1e-4)
    assert painter.dropout.training and not painter.norm.training
    L, ab = split_lab(to_float(torch.cat([source._image(i) for i in range(7)])))
    with torch.no_grad():
        expected = (painter.eval()(L) - ab).abs().mean().item()
    assert got["ab_mae"] == pytest.approx(expected, rel=1e-4)


def test_quick_scores_take_a_spread_subset(source):
    quick_scores(Painter(), source, n=3, device="cpu")
    assert source.asked == [0, 2, 4]


# ----------------------------------------------------------------------------- contact sheet


@pytest.mark.slow
def test_the_sheet_shows_grey_the_models_and_the_truth(monkeypatch):
    """The test intercepts the images and numbers that are passed to `image_grid`."""
    source, page, draw = FakeSource(n=20), {}, figures.image_grid

    def catch(columns, **options):
        page.update(options, columns=columns)
        return draw(columns, **options)

    monkeypatch.setattr(figures, "image_grid", catch)
    png = contact_sheet({"half": Oracle(source, 0.5), "oracle": Oracle(source)}, source, n=4, device="cpu")
    assert Image.open(io.BytesIO(png)).format == "PNG"
    assert source.asked == [0, 5, 10, 15] and page["rows"] == ["grey", "half", "oracle", "truth"]
    for i, name in zip(source.asked, page["columns"], strict=True):
        grey, half, oracle, truth = page["columns"][name]
        assert name == f"image {i}" and torch.equal(truth, source._image(i)[0]) and torch.equal(oracle, truth)
        assert (grey.amax(0) - grey.amin(0)).max() <= 1
        scores = [metrics.psnr(picture[None], truth[None]).clamp(max=PSNR_CEILING) for picture in (grey, half, oracle)]
        assert page["captions"][name] == [f"{score.item():.1f} dB" for score in scores]


@pytest.mark.slow
def test_a_sheet_of_few_images_and_of_an_endless_source():
    for source, asked in ((FakeSource(n=2), [0, 1]), (FakeSource(n=3, endless=True), list(range(8)))):
        assert contact_sheet({"zero": zero}, source, device="cpu")
        assert source.asked == asked


@pytest.mark.slow
@pytest.mark.usefixtures("without_shape_checks")
def test_a_sheet_fits_on_a_screen_for_any_size_of_images():
    for size in (32, 128, 256):
        sheet = Image.open(io.BytesIO(contact_sheet({"a model": zero}, FakeSource(n=20, size=size), device="cpu")))
        assert 1000 < sheet.width <= 1200


# ----------------------------------------------------------------------------- errors


def zero(L):
    return torch.zeros(len(L), 2, *L.shape[-2:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "options", "words"),
    [
        ({}, {}, "at least one model"),
        ({"grey": zero}, {}, "another name"),
        ({"number": 3}, {}, "got int"),
        ({"zero": zero}, {"n": 0}, "at least one image"),
        ({"zero": zero}, {"batch_size": 0}, "in batches of 0"),
        ({"wide": lambda L: torch.zeros(len(L), 3, *L.shape[-2:])}, {}, r"wide to return ab of shape \(7, 2, 24, 24\)"),
        ({"text": lambda L: "blue"}, {}, "got str"),
        ({"ill": lambda L: zero(L) * math.nan}, {}, "ill to return finite ab"),
        ({"zero": zero}, {"feature_extractor": lambda x: x}, r"features of shape \(7, d\)"),
        ({"zero": zero}, {"feature_extractor": zero, "fid_weights": "x.pt"}, "got both"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.filterwarnings("ignore:FID")
def test_errors_say_what_was_expected(models, options, words, source):
    with pytest.raises(ValueError, match=words):
        table_of(models, source, **options)


def test_missing_weights_are_an_error_not_a_note(source):
    with pytest.raises(FileNotFoundError, match="nowhere"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table_of({"zero": zero}, source, fid_weights="nowhere.pt")


def test_the_error_for_an_empty_source_names_it():
    with pytest.raises(ValueError, match=r"0 in fake \(test\)"):
        table_of({"zero": zero}, FakeSource(n=0))
