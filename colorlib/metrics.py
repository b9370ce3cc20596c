"""Metrics of a colorization: PSNR, SSIM and CIEDE2000 of each image, colour statistics of a whole set, FID and LPIPS.

All metrics compare the images that are finally shown: batches `(b, 3, H, W)` of 8-bit sRGB, predicted against true.
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

# The bins of the a* and b* histograms are 5 units wide and centred on 0, +-5, +-10 and so on. Greys, which rounding
# moves a little to either side of 0, then all fall into one bin. sRGB covers -108 to 98.
BIN_WIDTH = 5.0
BINS = 45

# A set of images with a mean chroma below this value (in units of Lab; a difference of about 1 is just visible) counts
# as having no colour. A ratio to its chroma would be a ratio to rounding noise.
LEAST_CHROMA = 1.0

SSIM_SIGMA = 1.5
SSIM_SMALLEST = 11  # pixels, the width of the window: 3.5 sigma to each side of the centre
LPIPS_SMALLEST = 31  # pixels that AlexNet's two poolings need


# ----------------------------------------------------------------------------- per image


def psnr(predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255; infinite for identical images."""
    _check_pair(predicted, true)
    # PSNR = 10 log10(peak^2 / mean squared error)
    mean_squared = (predicted.float() - true.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255**2 / mean_squared)


def ssim(predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Structural similarity, at most 1, with the Gaussian window of Wang et al. 2004 (sigma 1.5, 11 x 11).

    The value equals scikit-image's `structural_similarity(..., channel_axis=-1, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)`: the mean over the channels and over all windows that lie inside the
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
    # The windows are computed as convolutions, whose values autocast would round to half precision.
    with torch.autocast(predicted.device.type, enabled=False):
        _, similarity = structural_similarity_index_measure(
            *images, sigma=SSIM_SIGMA, data_range=1.0, reduction="none", return_full_image=True
        )
    # torchmetrics pads the image by reflection and also averages over windows that reach beyond the border. The paper
    # has only windows that lie inside, so the border is cut off here.
    border = SSIM_SMALLEST // 2
    return similarity[..., border:-border, border:-border].mean(dim=(1, 2, 3))


def ciede2000(predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Mean CIEDE2000 colour difference over the pixels of each image: about 1 is just visible, 0 is identical."""
    _check_pair(predicted, true)
    return delta_e_2000(rgb_to_lab(to_float(predicted)), rgb_to_lab(to_float(true))).mean(dim=(1, 2))


def delta_e_2000(
    lab_1: Float[Tensor, "*batch 3 h w"], lab_2: Float[Tensor, "*batch 3 h w"]
) -> Float[Tensor, "*batch h w"]:
    """CIEDE2000 colour difference per pixel of two Lab images. Equation numbers refer to Sharma, Wu and Dalal 2005."""
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
    """sqrt(C^7 / (C^7 + 25^7)), a part of equations (4) and (17): 0 for grey, near 1 for vivid colours."""
    return (chroma**7 / (chroma**7 + 25.0**7)).sqrt()


def _mean_hue(hue_1: Tensor, hue_2: Tensor, *, either_is_grey: Tensor) -> Tensor:
    """Return the mean of two hues on the shorter arc between them, equation (14).

    A grey colour has no hue (its value is 0). If either colour is grey, the sum is therefore the hue of the other one.
    """
    total = hue_1 + hue_2
    half = total / 2
    opposite = torch.where(total < math.tau, half + math.pi, half - math.pi)
    half = torch.where((hue_1 - hue_2).abs() > math.pi, opposite, half)
    return torch.where(either_is_grey, total, half)


# ----------------------------------------------------------------------------- colour of an image or a set


def colorfulness(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Colorfulness of each image: 0 is grey, about 15 is slightly, 60 is quite and 100 is extremely colourful.

    Hasler and Suesstrunk 2003, section 5, with the signed opponents rg = R - G and yb = (R + G)/2 - B.
    """
    tallies = [_Tally(image[None]) for image in images]
    return torch.tensor([tally.colorfulness() for tally in tallies], device=images.device)


class PooledColor:
    """Collect colour statistics over a whole set of images, batch by batch. Every pixel of the set counts the same.

    `result()` returns, in this order,
    - `colorfulness` of the predictions (Hasler and Suesstrunk 2003) and `colorfulness_difference`, predicted minus
      true: a negative difference means that the predictions are duller than the photographs;
    - `chroma_ratio`, the sum of the predicted chroma sqrt(a*^2 + b*^2) over the sum of the true chroma: 1 is right,
      0 is grey, and NaN means that the true images have no colour;
    - `a_intersection` and `b_intersection`, the intersections of the predicted and true histograms of a* and of b*
      (bins of 5 units): 1 means that the set has the right amount of every value, wherever in the images it occurs.
    """

    def __init__(self) -> None:
        self._predicted, self._true = _Tally(), _Tally()

    def update(self, predicted: UInt8[Tensor, "b 3 h w"], true: UInt8[Tensor, "b 3 h w"]) -> None:
        """Add one batch to the statistics."""
        _check_pair(predicted, true)
        self._predicted.add(predicted)
        self._true.add(true)

    @property
    def truth_has_colour(self) -> bool:
        """True if the mean chroma of the true images so far is at least `LEAST_CHROMA`."""
        return self._true.chroma >= LEAST_CHROMA * self._true.n_pixels

    def result(self) -> dict[str, float]:
        """Return the statistics of all batches so far. Raises ValueError if there was no batch yet."""
        if self._predicted.n_pixels == 0:
            raise ValueError("result() needs at least one batch; call update(predicted, true) first")
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
    """Sums over the pixels of one set of images. The sums of the opponents are exact, because they are integers."""

    def __init__(self, images: Tensor | None = None) -> None:
        self.n_pixels = 0
        self.chroma = 0.0
        self.sums = torch.zeros(2, dtype=torch.int64)  # of rg and of 2 yb, which is an integer, too
        self.squares = torch.zeros(2, dtype=torch.int64)  # of the squares of rg and of 2 yb
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
        # Hasler and Suesstrunk 2003, section 5: M = sigma_rgyb + 0.3 mu_rgyb, where
        # sigma_rgyb = sqrt(sigma_rg^2 + sigma_yb^2) and mu_rgyb = sqrt(mu_rg^2 + mu_yb^2).
        unit = torch.tensor([1.0, 0.5], dtype=torch.float64)  # 2 yb was summed
        mean = unit * self.sums / self.n_pixels
        variance = unit**2 * self.squares / self.n_pixels - mean**2
        return (variance.sum().clamp(min=0).sqrt() + 0.3 * mean.square().sum().sqrt()).item()


def ab_histogram(ab: Float[Tensor, "b 2 h w"]) -> Int[Tensor, "2 bins"]:
    """Count the values of a* and of b* (Lab units) in bins of 5 units. Bin 22 is centred on 0."""
    bins = (ab / BIN_WIDTH).round().long().add(BINS // 2).clamp(0, BINS - 1)
    return torch.stack([bins[:, channel].flatten().bincount(minlength=BINS) for channel in (0, 1)])


def histogram_intersection(counts_1: Int[Tensor, " bins"], counts_2: Int[Tensor, " bins"]) -> float:
    """Sum over the bins of the smaller of the two shares (Swain and Ballard 1991).

    It is 1 for equal histograms and 0 for histograms that share no bin.
    """
    shares = [counts.double() / counts.sum() for counts in (counts_1, counts_2)]
    return torch.minimum(*shares).sum().item()


# ----------------------------------------------------------------------------- FID and LPIPS


def fid(features_1: Float[Tensor, "n d"], features_2: Float[Tensor, "m d"]) -> float:
    """Frechet distance between two Gaussians that are fitted to two sets of features (Heusel et al. 2017).

    It is 0 for equal sets. For small sets it is biased upwards, so that only values with the same number of images can
    be compared. Raises ValueError for fewer than two samples, or if the numbers of features differ.
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

    The equation is that of Dowson and Landau 1982. The product C1 C2 is not symmetric, but it has the same eigenvalues
    as the symmetric matrix C1^(1/2) C2 C1^(1/2). They are real, and negative only by rounding, also where the
    covariances are singular.
    """
    # tr((C1 C2)^(1/2)) is the sum of the square roots of these eigenvalues.
    values, vectors = torch.linalg.eigh(cov_1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def inception_features(path: str | Path, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """Return a function from sRGB in 0..1 `(b, 3, H, W)` to the 2048 pooled features of torchvision's Inception v3.

    `path` is a file with the weights of that network (torchvision's own .pth, or safetensors). Nothing is downloaded.
    Published FID values use other, TensorFlow weights. Compare the result with FIDs computed here, not with those of
    papers. Raises FileNotFoundError if there is no such file, and CheckpointError if it holds other weights.
    """
    from torchvision.models import inception_v3

    weights = {name: value for name, value in _read_weights(path).items() if not name.startswith("AuxLogits.")}
    network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    _load(network, weights, path, "torchvision's inception_v3")
    network.fc = nn.Identity()
    network = network.requires_grad_(False).eval().to(device)

    def features(rgb: Tensor) -> Tensor:
        resized = nn.functional.interpolate(rgb, size=(299, 299), mode="bilinear", antialias=True, align_corners=False)
        return network(2 * resized - 1)  # Inception v3 was trained on values in -1..1

    return features


def lpips_distance(path: str | Path, device: torch.device | str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """Return LPIPS (Zhang et al. 2018, AlexNet, v0.1) as a function of two batches of sRGB in 0..1.

    The function returns one number for each image. `path` is a file with torchvision's AlexNet weights; the package
    lpips contains the small calibrated layers. Raises ModuleNotFoundError if that package is not installed,
    FileNotFoundError if there is no such file, and CheckpointError if it holds the weights of another network.
    """
    import lpips

    weights = _read_weights(path)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # lpips calls torchvision with deprecated arguments
        # pnet_rand=True gives AlexNet random weights, which are replaced below. Otherwise lpips would download weights.
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    # The name of a weight is features.3.weight in torchvision and slice2.3.weight in lpips.
    names = {name: "features." + name.split(".", 1)[1] for name in network.net.state_dict()}
    found = {name: weights[theirs] for name, theirs in names.items() if theirs in weights}
    _load(network.net, found, path, "torchvision's alexnet")
    network = network.requires_grad_(False).eval().to(device)
    return lambda predicted, true: network(predicted, true, normalize=True).flatten()


def _read_weights(path: str | Path) -> dict[str, Tensor]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make either reader raise almost any exception
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read as weights: {why}") from error
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} does not contain a state dict of weights but an object of type {type(state).__name__}"
        )
    return state


def _load(network: nn.Module, weights: dict[str, Tensor], path: str | Path, name: str) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} holds the weights of another network, not those of {name}") from error


def _check_pair(predicted: Tensor, true: Tensor) -> None:
    if predicted.shape != true.shape or predicted.ndim != 4 or predicted.shape[1] != 3:
        raise ValueError(
            f"expected two batches (b, 3, H, W) of the same shape, got {tuple(predicted.shape)} and {tuple(true.shape)}"
        )
    if predicted.dtype != torch.uint8 or true.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 images, got {predicted.dtype} and {true.dtype}; try colorlib.color.to_uint8(rgb) first"
        )
