"""How good a colorization is, in numbers: per image (PSNR, SSIM, CIEDE2000), per set (colour statistics), FID, LPIPS.

All of them compare what is finally shown: uint8 sRGB batches `(b, 3, H, W)`, predicted against true.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from colorlib.color import rgb_to_lab, to_float
from colorlib.errors import CheckpointError

# a* and b* histograms: bins of 5 units, centred on 0, +-5, +-10 ..., so that the rounding noise around grey does not
# straddle an edge. sRGB reaches from -108 to 98.
BIN_WIDTH = 5.0
BINS = 45

# A set of less mean chroma than this (in units of Lab; 1 is about the least difference that is visible) has no colour:
# a ratio to it would be a ratio to rounding noise.
LEAST_CHROMA = 1.0

SSIM_SIGMA = 1.5
SSIM_SMALLEST = 11  # the window: 3.5 sigma to each side
LPIPS_SMALLEST = 31  # what AlexNet's two poolings need


# ----------------------------------------------------------------------------- per image


def psnr(predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255; infinite for identical images."""
    _check_pair(predicted, true)
    mean_squared = (predicted.float() - true.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255**2 / mean_squared)


def ssim(predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Structural similarity, at most 1, with the Gaussian window of Wang et al. 2004 (sigma 1.5, 11 x 11).

    It is scikit-image's `structural_similarity(..., channel_axis=-1, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)`: the mean over channels and over all windows that lie inside the
    image. Raises ValueError for images smaller than a window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check_pair(predicted, true)
    if min(predicted.shape[-2:]) < SSIM_SMALLEST:
        raise ValueError(
            f"expected images of at least {SSIM_SMALLEST} x {SSIM_SMALLEST} pixels for SSIM, "
            f"got {predicted.shape[-2]} x {predicted.shape[-1]}"
        )
    images = to_float(predicted), to_float(true)
    with torch.autocast(predicted.device.type, enabled=False):  # its windows are convolutions, which would be rounded
        _, similarity = structural_similarity_index_measure(
            *images, sigma=SSIM_SIGMA, data_range=1.0, reduction="none", return_full_image=True
        )
    # torchmetrics fills the border by reflection and averages over it; the windows inside are the paper's.
    border = SSIM_SMALLEST // 2
    return similarity[..., border:-border, border:-border].mean(dim=(1, 2, 3))


def ciede2000(predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Mean CIEDE2000 colour difference over the pixels of each image: about 1 is just visible, 0 is identical."""
    _check_pair(predicted, true)
    return delta_e_2000(rgb_to_lab(to_float(predicted)), rgb_to_lab(to_float(true))).mean(dim=(1, 2))


def delta_e_2000(
    lab_1: Float[Tensor, "*batch 3 h w"], lab_2: Float[Tensor, "*batch 3 h w"]
) -> Float[Tensor, "*batch h w"]:
    """CIEDE2000 per pixel of two Lab images; equation numbers are those of Sharma, Wu and Dalal 2005."""
    (L_1, a_1, b_1), (L_2, a_2, b_2) = lab_1.unbind(-3), lab_2.unbind(-3)
    mean_chroma = (torch.hypot(a_1, b_1) + torch.hypot(a_2, b_2)) / 2  # (2), (3)
    stretch = 1.5 - 0.5 * _saturation(mean_chroma)  # 1 + G, (4)
    a_1, a_2 = stretch * a_1, stretch * a_2  # (5)
    chroma_1, chroma_2 = torch.hypot(a_1, b_1), torch.hypot(a_2, b_2)  # (6)
    hue_1, hue_2 = torch.atan2(b_1, a_1) % math.tau, torch.atan2(b_2, a_2) % math.tau  # (7)

    turn = hue_2 - hue_1  # (10)
    turn = torch.where(turn.abs() > math.pi, turn - math.tau * turn.sign(), turn)
    delta_L, delta_C = L_2 - L_1, chroma_2 - chroma_1  # (8), (9)
    delta_H = 2 * (chroma_1 * chroma_2).sqrt() * torch.sin(turn / 2)  # (11)

    mean_L, mean_C = (L_1 + L_2) / 2, (chroma_1 + chroma_2) / 2  # (12), (13)
    mean_hue = _mean_hue(hue_1, hue_2, either_is_grey=chroma_1 * chroma_2 == 0)  # (14)
    T = (  # (15)
        1
        - 0.17 * torch.cos(mean_hue - math.radians(30))
        + 0.24 * torch.cos(2 * mean_hue)
        + 0.32 * torch.cos(3 * mean_hue + math.radians(6))
        - 0.20 * torch.cos(4 * mean_hue - math.radians(63))
    )
    rotation = math.radians(30) * torch.exp(-(((mean_hue - math.radians(275)) / math.radians(25)) ** 2))  # (16)
    lightness = delta_L / (1 + 0.015 * (mean_L - 50) ** 2 / torch.sqrt(20 + (mean_L - 50) ** 2))  # (18)
    chroma = delta_C / (1 + 0.045 * mean_C)  # (19)
    hue = delta_H / (1 + 0.015 * mean_C * T)  # (20)
    interaction = -torch.sin(2 * rotation) * 2 * _saturation(mean_C)  # R_T, (17) and (21)
    return (lightness**2 + chroma**2 + hue**2 + interaction * chroma * hue).clamp(min=0).sqrt()  # (22)


def _saturation(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)), which (4) and (17) share: 0 for grey, 1 for vivid."""
    return (chroma**7 / (chroma**7 + 25.0**7)).sqrt()


def _mean_hue(hue_1: Tensor, hue_2: Tensor, *, either_is_grey: Tensor) -> Tensor:
    """The hue halfway on the shorter arc; where a colour is grey and has none, that of the other one (14)."""
    total = hue_1 + hue_2
    half = total / 2
    opposite = torch.where(total < math.tau, half + math.pi, half - math.pi)
    half = torch.where((hue_1 - hue_2).abs() > math.pi, opposite, half)
    return torch.where(either_is_grey, total, half)


# ----------------------------------------------------------------------------- colour of an image or a set


def colorfulness(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Colorfulness of each image: 0 for grey, about 15 slightly, 60 quite, 100 extremely colourful.

    Hasler and Suesstrunk 2003, section 5, with signed opponents rg = R - G and yb = (R + G)/2 - B.
    """
    tallies = [_Tally(image[None]) for image in images]
    return torch.tensor([tally.colorfulness() for tally in tallies], device=images.device)


class PooledColor:
    """Colour statistics over a whole set, batch by batch; every pixel of the set counts the same.

    `result()` has, in this order,
    - `colorfulness` of the predictions (Hasler and Suesstrunk 2003) and `colorfulness_difference`, predicted minus
      true: below 0 is duller than the photographs;
    - `chroma_ratio`, the sum of predicted over the sum of true chroma sqrt(a*^2 + b*^2): 1 is right, 0 is grey; NaN
      where the true images have no colour;
    - `a_intersection` and `b_intersection` of the a* and b* histograms (bins of 5 units): 1 where the set has the
      right amount of every shade, wherever it is put.
    """

    def __init__(self) -> None:
        self._predicted, self._true = _Tally(), _Tally()

    def update(self, predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> None:
        """Take in one batch."""
        _check_pair(predicted, true)
        self._predicted.add(predicted)
        self._true.add(true)

    @property
    def truth_has_colour(self) -> bool:
        """Whether the true images so far have a mean chroma of `LEAST_CHROMA` or more."""
        return self._true.chroma >= LEAST_CHROMA * self._true.n_pixels

    def result(self) -> dict[str, float]:
        """The statistics of all batches so far. Raises ValueError before the first."""
        if self._predicted.n_pixels == 0:
            raise ValueError("expected at least one batch before result(), got none; call update(predicted, true)")
        colorful = self._predicted.colorfulness()
        a, b = (histogram_intersection(*pair) for pair in zip(self._predicted.ab, self._true.ab, strict=True))
        return {
            "colorfulness": colorful,
            "colorfulness_difference": colorful - self._true.colorfulness(),
            "chroma_ratio": self._predicted.chroma / self._true.chroma if self.truth_has_colour else math.nan,
            "a_intersection": a,
            "b_intersection": b,
        }


class _Tally:
    """Sums over the pixels of one set of images. The sums of opponents are sums of whole numbers, hence exact."""

    def __init__(self, images: Tensor | None = None) -> None:
        self.n_pixels = 0
        self.chroma = 0.0
        self.sums = torch.zeros(2, dtype=torch.int64)  # of rg and of 2 yb
        self.squares = torch.zeros(2, dtype=torch.int64)
        self.ab = torch.zeros(2, BINS, dtype=torch.int64)
        if images is not None:
            self.add(images)

    def add(self, images: Tensor) -> None:
        red, green, blue = images.to(torch.int32).unbind(1)
        opponents = torch.stack([red - green, red + green - 2 * blue]).flatten(1)
        ab = rgb_to_lab(to_float(images))[:, 1:]
        self.n_pixels += opponents.shape[1]
        self.sums += opponents.sum(dim=1).cpu()
        self.squares += opponents.square().sum(dim=1).cpu()
        self.chroma += ab.norm(dim=1).sum().item()
        self.ab += ab_histogram(ab).cpu()

    def colorfulness(self) -> float:
        unit = torch.tensor([1.0, 0.5], dtype=torch.float64)
        mean = unit * self.sums / self.n_pixels
        variance = unit**2 * self.squares / self.n_pixels - mean**2
        return (variance.sum().clamp(min=0).sqrt() + 0.3 * mean.square().sum().sqrt()).item()


def ab_histogram(ab: Float[Tensor, "b 2 h w"]) -> Int[Tensor, "2 bins"]:
    """Counts of a* and of b* (Lab units) in bins of 5 units; bin 22 is centred on 0."""
    bins = (ab / BIN_WIDTH).round().long().add(BINS // 2).clamp(0, BINS - 1)
    return torch.stack([bins[:, channel].flatten().bincount(minlength=BINS) for channel in (0, 1)])


def histogram_intersection(counts_1: Int[Tensor, " bins"], counts_2: Int[Tensor, " bins"]) -> float:
    """Sum of the smaller share in each bin (Swain and Ballard 1991): 1 for equal histograms, 0 for disjoint ones."""
    shares = [counts.double() / counts.sum() for counts in (counts_1, counts_2)]
    return torch.minimum(*shares).sum().item()


# ----------------------------------------------------------------------------- FID and LPIPS


def fid(features_1: Float[Tensor, "n d"], features_2: Float[Tensor, "m d"]) -> float:
    """Frechet distance of two sets of features, each taken as a Gaussian (Heusel et al. 2017); 0 for equal sets.

    Biased upwards for small sets: compare only figures with the same number of images. Raises ValueError for fewer
    than two samples or features of different length.
    """
    if min(len(features_1), len(features_2)) < 2 or features_1.shape[1:] != features_2.shape[1:]:
        raise ValueError(
            f"expected at least 2 samples with the same number of features in each set, "
            f"got {tuple(features_1.shape)} and {tuple(features_2.shape)}"
        )
    samples = [features.detach().cpu().double() for features in (features_1, features_2)]
    moments = [(sample.mean(dim=0), torch.atleast_2d(torch.cov(sample.T))) for sample in samples]
    return frechet_distance(*moments[0], *moments[1])


def frechet_distance(
    mean_1: Float[Tensor, " d"], cov_1: Float[Tensor, "d d"], mean_2: Float[Tensor, " d"], cov_2: Float[Tensor, "d d"]
) -> float:
    """Squared 2-Wasserstein distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Dowson and Landau 1982. C1 C2 is not symmetric, but similar to C1^(1/2) C2 C1^(1/2), which is: its eigenvalues
    are real and cannot be negative except by rounding, also where the covariances are singular.
    """
    values, vectors = torch.linalg.eigh(cov_1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def inception_features(path: str | Path, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """The 2048 pooled features of torchvision's Inception v3, as a function of sRGB 0..1 `(b, 3, H, W)`.

    `path` is a file of its weights (torchvision's own .pth, or safetensors); nothing is downloaded. These are not the
    TensorFlow weights of published FID figures: compare the result with other rows here, not with papers. Raises
    FileNotFoundError, or CheckpointError for another network's weights.
    """
    from torchvision.models import inception_v3

    weights = {name: value for name, value in _read_weights(path).items() if not name.startswith("AuxLogits.")}
    network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    _load(network, weights, path, "torchvision's inception_v3")
    network.fc = nn.Identity()
    network = network.requires_grad_(False).eval().to(device)

    def features(rgb: Tensor) -> Tensor:
        resized = nn.functional.interpolate(rgb, size=(299, 299), mode="bilinear", antialias=True, align_corners=False)
        return network(2 * resized - 1)

    return features


def lpips_distance(path: str | Path, device: torch.device | str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS (Zhang et al. 2018, AlexNet, v0.1) as a function of two sRGB 0..1 batches, one number an image.

    `path` is a file of torchvision's AlexNet weights; the small calibrated layers come with the package lpips.
    Raises ModuleNotFoundError without that package, FileNotFoundError, or CheckpointError for another network.
    """
    import lpips

    weights = _read_weights(path)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # lpips calls torchvision by its old arguments
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    # torchvision says features.3.weight where lpips says slice2.3.weight
    names = {name: "features." + name.split(".", 1)[1] for name in network.net.state_dict()}
    found = {name: weights[theirs] for name, theirs in names.items() if theirs in weights}
    _load(network.net, found, path, "torchvision's alexnet")
    network = network.requires_grad_(False).eval().to(device)
    return lambda predicted, true: network(predicted, true, normalize=True).flatten()


def _read_weights(path: str | Path) -> dict[str, Tensor]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of weights, found none at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file provokes in either reader
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read as weights: {why}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"expected a state dict in {path}, got {type(state).__name__}")
    return state


def _load(network: nn.Module, weights: dict[str, Tensor], path: str | Path, name: str) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"expected weights of {name} in {path}, got those of another network") from error


def _check_pair(predicted: Tensor, true: Tensor) -> None:
    if predicted.shape != true.shape or predicted.ndim != 4 or predicted.shape[1] != 3:
        raise ValueError(
            f"expected two batches (b, 3, H, W) of one shape, got {tuple(predicted.shape)} and {tuple(true.shape)}"
        )
    if predicted.dtype != torch.uint8 or true.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 images, got {predicted.dtype} and {true.dtype}; try colorlib.color.to_uint8(rgb) first"
        )
