"""Compare every loss and metric in fp32 with float64 by NumPy, SciPy or scikit-image, and the losses also in bf16.

In bf16 training, the outputs of the networks are bf16, and the losses are computed in fp32. The tests bound the error
of a loss that results from the rounding of the outputs. Rounding to a number with p bits changes it by at most the
fraction 2^-p of itself, the unit roundoff: 2^-24 in fp32 and 2^-8 in bf16. The tolerances below are multiples of the
unit roundoff. Each docstring also gives the error that was measured on one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity
from test_metrics import hasler_suesstrunk, per_image, photographs, pixels_of, pooled
from torch import Tensor, nn

from colorlib import losses, metrics
from colorlib.devices import autocast, make_rng
from colorlib.losses import gradient_penalty, l1_loss, perceptual_loss

FP32, BF16 = 2.0**-24, 2.0**-8
Array = np.ndarray


# --- losses ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A loss of one set of logits: its formula in float64, and its largest slope within the rounding error of x."""

    formula: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def one(x: Array) -> Array:
    return np.ones_like(x)


BCE_REAL, BCE_FAKE = Term(lambda x: softplus(-x), one), Term(softplus, one)
LSGAN_REAL = Term(lambda x: (x - 1) ** 2, lambda x: 2 * np.abs(x - 1) + 2 * BF16 * np.abs(x))
LSGAN_FAKE = Term(lambda x: x**2, lambda x: 2 * (1 + BF16) * np.abs(x))
HINGE_REAL, HINGE_FAKE = Term(lambda x: np.maximum(0, 1 - x), one), Term(lambda x: np.maximum(0, 1 + x), one)
MINUS, PLUS = Term(lambda x: -x, one), Term(lambda x: x, one)
ADVERSARIAL: dict[str, tuple[Term, ...]] = {
    "bce_d_loss": (BCE_REAL, BCE_FAKE),
    "bce_g_loss": (BCE_REAL,),
    "lsgan_d_loss": (LSGAN_REAL, LSGAN_FAKE),
    "lsgan_g_loss": (LSGAN_REAL,),
    "hinge_d_loss": (HINGE_REAL, HINGE_FAKE),
    "hinge_g_loss": (MINUS,),
    "wasserstein_d_loss": (MINUS, PLUS),
    "wasserstein_g_loss": (MINUS,),
}


ODD = (0.0, -0.0, 1e-38, 1e-7, -1e-7, 1 - 1e-7, 1 + 1e-7, -1.0, 16.6, -16.7, 88.0, -89.0, 1e4, -1e4, 3e9)
TINY = torch.finfo(torch.float32).tiny


def logits(kind: str) -> list[tuple[Tensor, Tensor]]:
    """Logits for real and fake: of an untrained D, of a confident D, very many logits, or single unusual numbers."""
    if kind == "odd":
        return [(torch.tensor([x]), torch.tensor([-x])) for x in ODD]
    n, scale, middle = {"young": (900, 1, 0), "sure": (900, 30, 20), "many": (300_000, 1, 5)}[kind]
    real, fake = (scale * torch.randn(n, generator=make_rng(kind, name)) for name in ("real", "fake"))
    return [(real + middle, fake - middle)]


def in_float64(terms: tuple[Term, ...], given: tuple[Tensor, ...]) -> tuple[float, float]:
    """The loss and its size, the sum of the absolute values of its terms. Rounding errors are proportional to it."""
    values = [term.formula(x.double().numpy()) for term, x in zip(terms, given, strict=True)]
    return sum(value.mean() for value in values), sum(np.abs(value).mean() for value in values) + TINY


def test_no_loss_is_left_out() -> None:
    assert {name for name in vars(losses) if name.endswith(("_d_loss", "_g_loss"))} == set(ADVERSARIAL)


@pytest.mark.parametrize("kind", ["young", "sure", "many", "odd"])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_an_adversarial_loss_equals_its_formula_in_float64(name: str, kind: str) -> None:
    """In fp32, the error is at most 16 unit roundoffs (measured: 2.6). In bf16, a logit x has an error of 2^-8 |x|, and
    the loss has at most this error times its slope, because all later steps are in fp32."""
    loss, terms = getattr(losses, name), ADVERSARIAL[name]
    for given in (pair[-len(terms) :] for pair in logits(kind)):
        expected, size = in_float64(terms, given)
        assert abs(loss(*given).item() - expected) <= 16 * FP32 * size

        rounded = [x.bfloat16() for x in given]
        with autocast(torch.device("cpu"), "bf16"):
            got = loss(*rounded)
        assert torch.equal(got, loss(*(x.float() for x in rounded)))
        wide = [x.double().numpy() for x in given]
        bound = sum((term.slope(x) * np.abs(BF16 * x)).mean() for term, x in zip(terms, wide, strict=True))
        assert abs(got.item() - expected) <= bound + 16 * FP32 * size


def colours(key: str, b: int = 3, size: int = 12) -> Tensor:
    return 2 * torch.rand(b, 2, size, size, generator=make_rng(key)) - 1


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e4])
def test_l1_in_fp32_and_in_bf16(scale: float) -> None:
    """The error is at most 16 unit roundoffs of the size of the colours in fp32, and one for each colour in bf16."""
    pred, true = scale * colours("pred"), scale * colours("true")
    expected = np.abs(pred.double().numpy() - true.double().numpy()).mean()
    size = (pred.abs() + true.abs()).double().mean().item()
    assert abs(l1_loss(pred, true).item() - expected) <= 16 * FP32 * size
    with autocast(torch.device("cpu"), "bf16"):
        got = l1_loss(pred.bfloat16(), true.bfloat16())
    assert abs(got.item() - expected) <= BF16 * size
    assert torch.equal(got, l1_loss(pred.bfloat16().float(), true.bfloat16().float()))


def test_perceptual_loss_in_fp32_and_of_bf16_maps() -> None:
    """Maps f and g have errors of 2^-8 of themselves. Their difference d has the error e = 2^-8 (|f| + |g|), and
    d^2 has at most the error 2 |d| e + e^2."""
    pred, true = (torch.rand(2, 3, 9, 9, generator=make_rng("perceptual", name)) for name in ("pred", "true"))
    wide = [image.double().numpy() for image in (pred, true)]
    maps = [[rgb, np.diff(rgb, axis=3)] for rgb in wide]
    expected = sum(((f - g) ** 2).mean() for f, g in zip(*maps, strict=True))
    got = perceptual_loss(lambda rgb: [rgb, rgb.diff(dim=3)])(pred, true).item()
    assert abs(got - expected) <= 16 * FP32 * expected
    off = [(np.abs(f - g), BF16 * (np.abs(f) + np.abs(g))) for f, g in zip(*maps, strict=True)]
    got = perceptual_loss(lambda rgb: [rgb.bfloat16(), rgb.diff(dim=3).bfloat16()])(pred, true).item()
    assert abs(got - expected) <= sum((2 * gap * shift + shift**2).mean() for gap, shift in off)


class SoftCritic(nn.Module):
    """A map of scores softplus(w x), one for each row of w. The gradient of its mean is the mean of sigmoid(w x) w."""

    def __init__(self, n_scores: int, n_values: int, scale: float) -> None:
        super().__init__()
        drawn = torch.randn(n_scores, n_values, generator=make_rng("critic", n_scores))
        self.weight = nn.Parameter(scale * drawn / n_values**0.5)

    def forward(self, lab: Tensor) -> Tensor:
        return nn.functional.softplus(lab.flatten(1) @ self.weight.T)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 3.0, 300.0])
def test_gradient_penalty_in_fp32_and_of_bf16_fakes(scale: float) -> None:
    """In bf16, only the fake ab is rounded. The gradient changes by at most the critic's curvature times this error."""
    L, real, fake = torch.rand(3, 1, 12, 12, generator=make_rng("L")), colours("real"), colours("fake")
    critic = SoftCritic(5, 3 * 144, scale)
    alpha = torch.rand(3, generator=make_rng("alpha")).double().numpy()[:, None]
    w = critic.weight.detach().double().numpy()
    flat = [image.double().numpy().reshape(3, -1) for image in (L, real, fake)]
    lab = np.concatenate([flat[0], alpha * flat[1] + (1 - alpha) * flat[2]], 1)
    share = 1 / (1 + np.exp(-(lab @ w.T)))
    norms = np.linalg.norm((share @ w / 5)[:, 144:], axis=1)
    expected, size = ((norms - 1) ** 2).mean(), ((norms + 1) ** 2).mean()
    # x has the error e = 2^-8 |(1 - alpha) fake|, w x has at most the error |w| e, and the slope of the sigmoid is at
    # most 1/4. The mean of sigmoid(w x) w therefore changes by at most the mean of |w|^2 e / 4.
    rows = np.linalg.norm(w[:, 144:], axis=1)
    turn = BF16 * np.linalg.norm((1 - alpha) * flat[2], axis=1) * (rows**2).mean() / 4
    bound = ((2 * np.abs(norms - 1) + turn) * turn).mean()

    got = gradient_penalty(critic, L, real, fake, rng=make_rng("alpha"))
    assert abs(got.item() - expected) <= 64 * FP32 * size
    with autocast(torch.device("cpu"), "bf16"):
        got = gradient_penalty(critic, L, real, fake.bfloat16(), rng=make_rng("alpha"))
    assert abs(got.item() - expected) <= bound + 64 * FP32 * size


# --- metrics -----------------------------------------------------------------------------------------------------


def flat(*rgb: int, side: int = 16) -> Tensor:
    return torch.tensor(rgb, dtype=torch.uint8).reshape(1, 3, 1, 1).repeat(1, 1, side, side)


def corners() -> Tensor:
    levels = torch.tensor([0, 255], dtype=torch.uint8)
    return torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 2, 4).repeat(1, 1, 8, 4)


def noise(key: str, side: int = 16) -> Tensor:
    return torch.randint(0, 256, (1, 3, side, side), generator=make_rng(key), dtype=torch.uint8)


def one_pixel_off(side: int = 64) -> Tensor:
    image = flat(200, 100, 50, side=side)
    image[0, 0, 3, 5] += 1
    return image


PAIRS = {
    "photographs": (photographs(0), photographs(1)),
    "black and white": (flat(0, 0, 0), flat(255, 255, 255)),
    "corners of the cube": (corners(), corners().flip(1)),
    "blue and yellow": (flat(0, 0, 255), flat(255, 255, 0)),
    "one level, bright": (flat(254, 255, 255), flat(255, 255, 255)),
    "one level, dark": (flat(0, 0, 1), flat(0, 0, 0)),
    "nearly grey": (flat(128, 129, 128), flat(128, 128, 128)),
    "one pixel by one level": (one_pixel_off(), flat(200, 100, 50, side=64)),
    "noise": (noise("one"), noise("two")),
    "much noise": (noise("one", 256), noise("two", 256)),
}

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "channel_axis": -1}
each_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def labs_of(pair: tuple[Tensor, Tensor]) -> list[Array]:
    return [rgb2lab(images.permute(0, 2, 3, 1).numpy()) for images in pair]


def furthest(got: Tensor, expected: Array | Tensor) -> float:
    return np.abs(got.double().numpy() - np.asarray(expected)).max()


@each_pair
def test_metrics_of_each_image_equal_those_in_float64(pair: tuple[Tensor, Tensor]) -> None:
    """PSNR to 2e-5 dB (measured: 4e-6), SSIM to 1e-4 (2e-5), CIEDE2000 to 2e-4 (5e-5), colorfulness to 2 roundoffs."""
    predicted, true = (images.double().numpy() for images in pair)
    squared = ((predicted - true) ** 2).mean(axis=(1, 2, 3))
    assert furthest(metrics.psnr(*pair), 10 * np.log10(255**2 / squared)) < 2e-5
    assert furthest(metrics.ssim(*pair), per_image(structural_similarity, *pair, **WANG)) < 1e-4
    assert furthest(metrics.ciede2000(*pair), deltaE_ciede2000(*labs_of(pair)).mean(axis=(1, 2))) < 2e-4
    for images in pair:
        expected = [hasler_suesstrunk(pixels_of(image[None])) for image in images]
        assert metrics.colorfulness(images).tolist() == pytest.approx(expected, rel=2 * FP32)


@each_pair
def test_metrics_of_a_set_equal_those_in_float64(pair: tuple[Tensor, Tensor]) -> None:
    """The chroma of a pixel has an error of at most 3e-5 (measured: 9e-6). Without true colour, the ratio is NaN."""
    got = pooled(pair)
    colorful = [hasler_suesstrunk(pixels_of(images)) for images in pair]
    assert got["colorfulness"] == pytest.approx(colorful[0], rel=1e-12)
    assert got["colorfulness_difference"] == pytest.approx(colorful[0] - colorful[1], rel=1e-12, abs=1e-12)
    predicted, true = (np.hypot(lab[..., 1], lab[..., 2]).mean() for lab in labs_of(pair))
    if true < metrics.LEAST_CHROMA:
        assert np.isnan(got["chroma_ratio"])
    else:
        ratio = predicted / true
        assert got["chroma_ratio"] == pytest.approx(ratio, abs=3e-5 * (1 + ratio) / true + 1e-6 * ratio)


def test_metrics_are_not_rounded_by_autocast() -> None:
    for pair in PAIRS.values():
        outside = [metric(*pair) for metric in (metrics.psnr, metrics.ssim, metrics.ciede2000)]
        with autocast(torch.device("cpu"), "bf16"):
            inside = [metric(*pair) for metric in (metrics.psnr, metrics.ssim, metrics.ciede2000)]
        assert all(map(torch.equal, inside, outside))


def test_ciede2000_in_fp32_of_colours_far_apart_and_nearly_equal() -> None:
    """The error is at most 3e-4 (measured: 8e-5) over all Lab, greys included. CIEDE2000 jumps at opposite hues."""
    rng = make_rng("lab")
    far = torch.rand(2, 3, 60, 50, generator=rng) * 220 - 110
    far[:, 0] = far[:, 0] / 2.2 + 50
    far[0, 1:, :3], far[1, 1:, 2:5] = 0, 0
    near = far[0] + 1e-3 * torch.randn(3, 60, 50, generator=rng)
    for one_lab, other in (tuple(far), (far[0], near), (far[0], far[0])):
        wide = [image.double().permute(1, 2, 0).numpy() for image in (one_lab, other)]
        hues = [np.arctan2(lab[..., 2], lab[..., 1]) for lab in wide]
        opposite = np.abs(np.abs(hues[0] - hues[1]) - np.pi) < 1e-3
        difference = metrics.delta_e_2000(one_lab, other).double().numpy() - deltaE_ciede2000(*wide)
        assert np.abs(difference[~opposite]).max() < 3e-4 and opposite.mean() < 0.01


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_fid_of_fp32_features_equals_the_one_in_float64(scale: float) -> None:
    rng = make_rng("fid")
    one_set, other = torch.randn(300, 5, generator=rng) * scale, (2 * torch.randn(200, 5, generator=rng) - 9) * scale
    wide = [features.double().numpy() for features in (one_set, other)]
    (mean_1, cov_1), (mean_2, cov_2) = ((features.mean(0), np.cov(features.T)) for features in wide)
    expected = ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * sqrtm(cov_1 @ cov_2).real)
    assert metrics.fid(one_set, other) == pytest.approx(expected, rel=1e-12)
