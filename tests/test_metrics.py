"""Compare metrics with scikit-image, SciPy, published tables and closed forms."""

import math
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.linalg import sqrtm
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from colorlib import metrics
from colorlib.errors import CheckpointError
from colorlib.metrics import PooledColor, ciede2000, colorfulness, delta_e_2000, fid, frechet_distance, psnr, ssim

# L a b, L a b, difference: table 1 of Sharma, Wu and Dalal 2005, which was made to find errors of implementations.
SHARMA = """
50 2.6772 -79.7751  50 0 -82.7485  2.0425
50 3.1571 -77.2803  50 0 -82.7485  2.8615
50 2.8361 -74.0200  50 0 -82.7485  3.4412
50 -1.3802 -84.2814  50 0 -82.7485  1.0000
50 -1.1848 -84.8006  50 0 -82.7485  1.0000
50 -0.9009 -85.5211  50 0 -82.7485  1.0000
50 0 0  50 -1 2  2.3669
50 -1 2  50 0 0  2.3669
50 2.4900 -0.0010  50 -2.4900 0.0009  7.1792
50 2.4900 -0.0010  50 -2.4900 0.0010  7.1792
50 2.4900 -0.0010  50 -2.4900 0.0011  7.2195
50 2.4900 -0.0010  50 -2.4900 0.0012  7.2195
50 -0.0010 2.4900  50 0.0009 -2.4900  4.8045
50 -0.0010 2.4900  50 0.0010 -2.4900  4.8045
50 -0.0010 2.4900  50 0.0011 -2.4900  4.7461
50 2.5 0  50 0 -2.5  4.3065
50 2.5 0  73 25 -18  27.1492
50 2.5 0  61 -5 29  22.8977
50 2.5 0  56 -27 -3  31.9030
50 2.5 0  58 24 15  19.4535
50 2.5 0  50 3.1736 0.5854  1.0000
50 2.5 0  50 3.2972 0  1.0000
50 2.5 0  50 1.8634 0.5757  1.0000
50 2.5 0  50 3.2592 0.3350  1.0000
60.2574 -34.0099 36.2677  60.4626 -34.1751 39.4387  1.2644
63.0109 -31.0961 -5.8663  62.8187 -29.7946 -4.0864  1.2630
61.2901 3.7196 -5.3901  61.4292 2.2480 -4.9620  1.8731
35.0831 -44.1164 3.7933  35.0232 -40.0716 1.5901  1.8645
22.7233 20.0904 -46.6940  23.0331 14.9730 -42.5619  2.0373
36.4612 47.8580 18.3852  36.2715 50.5065 21.2231  1.4146
90.8027 -2.0831 1.4410  91.1528 -1.6435 0.0447  1.4441
90.9257 -0.5406 -0.9208  88.6381 -0.8985 -0.7239  1.5381
6.7747 -0.2908 -2.4247  5.8714 -0.0985 -2.2286  0.6377
2.0776 0.0795 -1.1350  0.9033 -0.0636 -0.5514  0.9082
"""


def photographs(seed, b=4, size=(24, 31)):
    """Smooth images with values over the whole range: enlarged noise of a coarse grid, plus a little fine noise."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(b, 3, 5, 5, generator=rng)
    smooth = nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
    return ((smooth + 0.05 * torch.randn(b, 3, *size, generator=rng)).clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.fixture
def pair():
    true = photographs(0)
    return (0.6 * true.float() + 0.4 * photographs(1).float()).to(torch.uint8), true


@pytest.fixture
def without_shape_checks():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def per_image(function, predicted, true, **options):
    images = [(p.permute(1, 2, 0).numpy(), t.permute(1, 2, 0).numpy()) for p, t in zip(predicted, true, strict=True)]
    return torch.tensor([float(function(t, p, **options)) for p, t in images])


def test_psnr_matches_scikit_image(pair):
    assert torch.allclose(psnr(*pair), per_image(peak_signal_noise_ratio, *pair, data_range=255), atol=1e-4)


def test_psnr_closed_form_and_identity():
    true = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    assert psnr(true + 5, true).tolist() == pytest.approx([20 * math.log10(255 / 5)] * 2)
    assert psnr(true, true).tolist() == [math.inf] * 2


@pytest.mark.parametrize("size", [(24, 31), (11, 12), (64, 64)])
def test_ssim_matches_scikit_image(size):
    true, other = photographs(2, size=size), photographs(3, size=size)
    predicted = (0.7 * true.float() + 0.3 * other.float()).to(torch.uint8)
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = per_image(structural_similarity, predicted, true, channel_axis=-1, **wang)
    assert torch.allclose(ssim(predicted, true), expected, atol=1e-4)
    assert torch.allclose(ssim(true, true), torch.ones(4))


def test_ciede2000_of_sharmas_34_pairs():
    rows = torch.tensor([[float(x) for x in line.split()] for line in SHARMA.split("\n") if line], dtype=torch.float64)
    assert rows.shape == (34, 7)
    one, two = rows[:, :3].T[..., None], rows[:, 3:6].T[..., None]
    for got in (delta_e_2000(one, two), delta_e_2000(two, one)):
        assert (got[:, 0] - rows[:, 6]).abs().max() < 5.1e-5


def test_ciede2000_matches_scikit_image_on_random_lab():
    rng = torch.Generator().manual_seed(4)
    lab = torch.rand(2, 3, 50, 40, generator=rng, dtype=torch.float64) * 220 - 110
    lab[:, 0] = lab[:, 0] / 2.2 + 50
    lab[0, 1:, :3], lab[1, 1:, 2:5] = 0, 0  # grey has no hue
    one, two = (image.permute(1, 2, 0).numpy() for image in lab)
    assert np.abs(delta_e_2000(lab[0], lab[1]).numpy() - deltaE_ciede2000(one, two)).max() < 1e-6
    assert delta_e_2000(lab[0], lab[0]).abs().max() < 1e-6


def test_ciede2000_of_images_is_the_mean_over_pixels(pair):
    labs = [rgb2lab(batch.permute(0, 2, 3, 1).numpy()) for batch in pair]
    assert torch.allclose(
        ciede2000(*pair), torch.from_numpy(deltaE_ciede2000(*labs).mean(axis=(1, 2))).float(), atol=1e-3
    )


# ----------------------------------------------------------------------------- colour statistics


def hasler_suesstrunk(pixels):
    """A second implementation, exactly as in the paper, in float64. `pixels` has the shape (n, 3)."""
    red, green, blue = np.asarray(pixels, dtype=np.float64).T
    rg, yb = red - green, (red + green) / 2 - blue
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def pixels_of(images):
    return images.permute(0, 2, 3, 1).reshape(-1, 3).numpy()


def test_colorfulness_by_a_second_implementation(pair):
    expected = [hasler_suesstrunk(pixels_of(image[None])) for image in pair[0]]
    assert colorfulness(pair[0]).tolist() == pytest.approx(expected, rel=1e-5)


def test_colorfulness_by_hand():
    """One half is red and the other is blue: rg is 255 or 0, and yb is 127.5 or -255."""
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[:, 0, 0], image[:, 2, 1] = 255, 255
    spread, mean = math.hypot(127.5, 191.25), math.hypot(127.5, -63.75)
    assert colorfulness(image).item() == pytest.approx(spread + 0.3 * mean)
    grey = torch.full((1, 3, 2, 2), 77, dtype=torch.uint8)
    assert colorfulness(grey).item() == 0


def pooled(*batches):
    pool = PooledColor()
    for predicted, true in batches:
        pool.update(predicted, true)
    return pool.result()


def test_pooled_statistics_by_a_second_implementation(pair):
    predicted, true = pair
    got = pooled(pair)
    labs = [rgb2lab(pixels_of(images)[None])[0] for images in pair]
    edges = np.arange(-112.5, 113, 5)
    assert len(edges) == 46
    shares = [[np.histogram(lab[:, k], edges)[0] / len(lab) for k in (1, 2)] for lab in labs]
    expected = {
        "colorfulness": hasler_suesstrunk(pixels_of(predicted)),
        "colorfulness_difference": hasler_suesstrunk(pixels_of(predicted)) - hasler_suesstrunk(pixels_of(true)),
        "chroma_ratio": np.hypot(*labs[0][:, 1:].T).sum() / np.hypot(*labs[1][:, 1:].T).sum(),
        "a_intersection": np.minimum(shares[0][0], shares[1][0]).sum(),
        "b_intersection": np.minimum(shares[0][1], shares[1][1]).sum(),
    }
    assert list(got) == list(expected) and got == pytest.approx(expected, rel=1e-3)
    assert 0.1 < got["a_intersection"] < 0.95 and got["chroma_ratio"] < 0.9


def test_pooling_does_not_depend_on_the_batches(pair):
    predicted, true = pair
    split = pooled((predicted[:1], true[:1]), (predicted[1:], true[1:]))
    assert split == pytest.approx(pooled(pair), rel=1e-6)
    mean_of_images = colorfulness(predicted).mean().item()
    assert split["colorfulness"] != pytest.approx(mean_of_images, rel=1e-3)  # pooled over pixels, not averaged


def test_pooled_statistics_of_truth_and_of_grey(pair):
    _, true = pair
    perfect = pooled((true, true))
    assert perfect["colorfulness_difference"] == 0
    assert [perfect[key] for key in ("chroma_ratio", "a_intersection", "b_intersection")] == pytest.approx([1, 1, 1])
    grey = pooled((true.float().mean(1, keepdim=True).to(torch.uint8).expand_as(true), true))
    assert grey["colorfulness"] == 0 and grey["chroma_ratio"] < 1e-3 and grey["a_intersection"] < 0.3


def test_moving_colours_within_an_image_does_not_change_pooled_statistics(pair):
    _, true = pair
    moved = true.flip(0).flip(-1)
    assert pooled((moved, true)) == pytest.approx(pooled((true, true)), abs=1e-5)


def test_disjoint_histograms():
    left, right = torch.tensor([3, 1, 0, 0]), torch.tensor([0, 0, 5, 5])
    assert metrics.histogram_intersection(left, right) == 0
    assert metrics.histogram_intersection(left, torch.tensor([1, 1, 2, 0])) == pytest.approx(0.5)


def test_the_chroma_ratio_of_black_images_is_undefined():
    black = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    assert math.isnan(pooled((black, black))["chroma_ratio"])


def test_the_chroma_ratio_of_images_without_colour_is_undefined():
    """Before, the ratio for grey scans was in the thousands, because their rounding noise was the divisor."""
    rng = np.random.default_rng(0)
    scan = np.repeat(rng.integers(40, 200, (1, 1, 32, 32)), 3, axis=1)
    scan[:, 0] += rng.integers(0, 2, (1, 32, 32)) * (rng.random((1, 32, 32)) < 0.05)
    true = torch.from_numpy(scan.astype(np.uint8))
    vivid = torch.tensor([200, 40, 40], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert math.isnan(pooled((vivid, true))["chroma_ratio"])
    # With a little colour, the ratio is defined.
    dull = true.clone()
    dull[:, 0] += 6
    assert pooled((vivid, dull))["chroma_ratio"] > 1


# ----------------------------------------------------------------------------- FID


def random_covariance(d, seed, rank=None):
    factor = torch.randn(d, rank or d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return factor @ factor.T / d


def test_frechet_distance_closed_forms():
    one, two = torch.tensor([0.0, 1.0, -2.0]).double(), torch.tensor([3.0, 1.0, 2.0]).double()
    spread_1, spread_2 = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 0.1, 0.5]).double()
    got = frechet_distance(one, torch.diag(spread_1**2), two, torch.diag(spread_2**2))
    assert got == pytest.approx((9 + 16 + (spread_1 - spread_2).square().sum()).item())
    cov = random_covariance(6, 0)
    zero = torch.zeros(6).double()
    assert frechet_distance(zero, cov, zero, 4 * cov) == pytest.approx(cov.trace().item())  # (2 - 1)^2 tr C
    assert frechet_distance(zero, cov, zero, cov) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rank", [None, 3])
def test_frechet_distance_matches_scipy(rank):
    cov_1, cov_2 = random_covariance(8, 1, rank), random_covariance(8, 2)
    zero = torch.zeros(8).double()
    expected = np.trace(cov_1.numpy() + cov_2.numpy() - 2 * sqrtm(cov_1.numpy() @ cov_2.numpy()).real)
    assert frechet_distance(zero, cov_1, zero, cov_2) == pytest.approx(expected, rel=1e-6)


def test_fid_of_gaussian_samples_is_near_the_closed_form():
    rng = torch.Generator().manual_seed(5)
    one, two = torch.randn(20_000, 4, generator=rng), torch.randn(15_000, 4, generator=rng)
    assert fid(one, 2 * two + 1) == pytest.approx(4 * 1 + 4 * 1, rel=0.05)
    assert fid(one, one) == pytest.approx(0, abs=1e-9)
    assert fid(one[:, :1], 3 * one[:, :1]) == pytest.approx(2**2 * one[:, 0].var() + (2 * one[:, 0].mean()) ** 2)


@pytest.mark.parametrize("shapes", [((1, 4), (9, 4)), ((9, 4), (9, 5))])
@pytest.mark.usefixtures("without_shape_checks")
def test_fid_refuses_these_shapes(shapes):
    with pytest.raises(ValueError, match="at least 2 samples"):
        fid(*map(torch.zeros, shapes))


# ----------------------------------------------------------------------------- networks whose weights are handed in


@pytest.fixture(scope="module")
def inception():
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, aux_logits=True, init_weights=False, transform_input=True).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)  # with the default initialisation, values vanish over the 94 layers
    return network


@pytest.mark.slow
def test_inception_features_are_torchvisions(inception, tmp_path):
    """Expected are torchvision's own steps: ImageNet normalisation, `transform_input`, the pooled layer before fc."""
    torch.save(inception.state_dict(), tmp_path / "inception.pth")
    rgb = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    kept = {}
    hook = inception.avgpool.register_forward_hook(lambda module, args, output: kept.update(pooled=output.flatten(1)))
    with torch.inference_mode():
        inception((rgb - mean) / std)
        got = metrics.inception_features(tmp_path / "inception.pth")(rgb)
    hook.remove()
    assert got.shape == (1, 2048) and torch.allclose(got, kept["pooled"], atol=1e-4)
    assert kept["pooled"].std() > 1e-3


@pytest.fixture(scope="module")
def alexnet():
    from torchvision.models import alexnet

    torch.manual_seed(0)
    return alexnet(weights=None).eval()


@pytest.mark.slow
def test_lpips_by_a_second_implementation(alexnet, tmp_path, pair):
    """Zhang et al. 2018, eq. 1, on the five ReLU layers of AlexNet."""
    lpips = pytest.importorskip("lpips")
    save_file(alexnet.state_dict(), tmp_path / "alexnet.safetensors")
    one, two = (nn.functional.interpolate(batch.float() / 255, size=(31, 31)) for batch in pair)
    state = torch.random.get_rng_state()
    distance = metrics.lpips_distance(tmp_path / "alexnet.safetensors")
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator of the caller is unchanged
    with torch.inference_mode():
        got = distance(one, two)

    file = Path(lpips.__file__).parent / "weights/v0.1/alex.pth"
    calibrated = torch.load(file, map_location="cpu", weights_only=True)
    shift, scale = (torch.tensor(v).reshape(3, 1, 1) for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    x, y = ((2 * batch - 1 - shift) / scale for batch in (one, two))
    expected, level = torch.zeros(len(one)), 0
    for index, layer in enumerate(alexnet.features[:12]):
        x, y = layer(x), layer(y)
        if index in (1, 4, 7, 9, 11):
            difference = (nn.functional.normalize(x) - nn.functional.normalize(y)).square()
            expected += (difference * calibrated[f"lin{level}.model.1.weight"]).sum(1).mean((1, 2))
            level += 1
    assert torch.allclose(got, expected, rtol=1e-3) and (got > 1e-4).all()
    assert distance(one, one).abs().max() == 0


@pytest.mark.slow
def test_weights_of_another_network_are_refused(alexnet, tmp_path):
    pytest.importorskip("lpips")
    save_file({"layer.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    save_file(alexnet.state_dict(), tmp_path / "alexnet.safetensors")
    with pytest.raises(CheckpointError, match="inception_v3"):
        metrics.inception_features(tmp_path / "alexnet.safetensors")
    with pytest.raises(CheckpointError, match="alexnet"):
        metrics.lpips_distance(tmp_path / "other.safetensors")


def test_missing_and_damaged_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        metrics.inception_features(tmp_path / "nowhere.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("this is no tensor")
        with pytest.raises(CheckpointError, match="cannot be read"):
            metrics.inception_features(tmp_path / name)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(CheckpointError, match="state dict"):
        metrics.inception_features(tmp_path / "tensor.pt")


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize("metric", [psnr, ssim, ciede2000, lambda p, t: PooledColor().update(p, t)])
@pytest.mark.usefixtures("without_shape_checks")
def test_pairs_must_match(metric):
    images = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="of the same shape"):
        metric(images, images[:1])
    with pytest.raises(ValueError, match="of the same shape"):
        metric(images[:, :1], images[:, :1])
    with pytest.raises(ValueError, match="to_uint8"):
        metric(images.float(), images)


def test_ssim_refuses_images_smaller_than_its_window():
    images = torch.zeros(1, 3, 10, 40, dtype=torch.uint8)
    with pytest.raises(ValueError, match="10 x 40"):
        ssim(images, images)


def test_pooled_result_needs_a_batch():
    with pytest.raises(ValueError, match="at least one batch"):
        PooledColor().result()
