"""Evaluate several models on the same images, and return all metrics in one table with two baselines.

The baseline `grey` predicts no colour (ab = 0). The baseline `untrained` has the architecture of the first model and
new random weights. A useful model must be better than both. The metrics are computed from the images that are shown:
the predicted ab is joined with the photograph's own L, its chroma is reduced to the sRGB gamut, and the result is
rounded to 8 bits.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from tqdm import tqdm

from colorlib.blocks import global_rng_from, initialise
from colorlib.color import join_lab, split_lab, to_float, to_uint8
from colorlib.datasets import Source
from colorlib.devices import make_rng, pick_device
from colorlib.generators import ResUNet
from colorlib.metrics import (
    LPIPS_SMALLEST,
    SSIM_SMALLEST,
    PooledColor,
    ciede2000,
    fid,
    inception_features,
    lpips_distance,
    psnr,
    ssim,
)

if TYPE_CHECKING:
    from pandas import DataFrame

BASELINES = ("grey", "untrained")


class Heading(NamedTuple):
    """The name of a metric in tables, the format of its values, and what the values mean."""

    label: str
    form: str
    meaning: str = ""

    def __str__(self) -> str:
        return f"{self.label} ({self.meaning})" if self.meaning else self.label


HEADINGS = {
    "psnr": Heading("PSNR", ".2f", "dB, higher is better"),
    "ssim": Heading("SSIM", ".3f", "higher is better"),
    "ciede2000": Heading("CIEDE2000", ".2f", "visible difference, lower is better"),
    "colorfulness": Heading("colorfulness", ".1f"),
    "colorfulness_difference": Heading("colorfulness difference", ".1f", "0 is as colourful as the truth"),
    "chroma_ratio": Heading("chroma ratio", ".3f", "1 is as colourful as the truth"),
    "a_intersection": Heading("histogram of a", ".3f", "1 is equal to the truth's"),
    "b_intersection": Heading("histogram of b", ".3f", "1 is equal to the truth's"),
    "fid": Heading("FID", ".1f", "lower is better"),
    "lpips": Heading("LPIPS", ".3f", "lower is better"),
}
COLUMNS = ("n", *HEADINGS)

# The baseline `grey` reproduces a grey photograph exactly, with an infinite PSNR. The mean PSNR of the whole set would
# then be infinite, too. The PSNR of an image is therefore limited to this value, in dB.
PSNR_CEILING = 60.0
NO_COLOUR = "the true images have no colour"
# With fewer images than this, the 2048 x 2048 covariance matrix of Inception's features is singular.
FID_IMAGES = 2048
# For a contact sheet: how many images are side by side, and their width in inches of 100 pixels.
SHEET_IMAGES, SHEET_CELL = 8, 1.28


@runtime_checkable
class Predicts(Protocol):
    """An object such as a `Colorizer`, with a method `predict` that predicts ab from L in network units."""

    def predict(self, L: Tensor) -> Tensor: ...


Model = Predicts | Callable[[Tensor], Tensor]


def evaluate(
    models: Mapping[str, Model],
    source: Source,
    *,
    batch_size: int = 16,
    n: int | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    fid_weights: str | Path | None = None,
    lpips_weights: str | Path | None = None,
    feature_extractor: Callable[[Tensor], Tensor] | None = None,
    progress: bool = True,
) -> DataFrame:
    """Return a table with a row for each model, the rows `grey` and `untrained`, and a column for each metric.

    The columns are `COLUMNS`; the first one, `n`, is the number of images.

    - `models`: each is a Colorizer, a module or any callable that maps L `(b, 1, h, w)` to ab `(b, 2, h, w)`, in
      network units. A module runs on its own device in eval mode, and its training mode is restored afterwards. A
      function must choose the device and the mode of its networks itself.
    - `n`: the number of images, None for all. They are the first n of an endless source, or n images spread evenly
      over any other source (all of them, if it has fewer). All models see the same images in the same order.
    - `seed`: the seed of the weights of `untrained`.
    - PSNR in dB (at most 60 for an image), SSIM and CIEDE2000 are means over images. The colour statistics are pooled
      over all pixels of the set (see `metrics.PooledColor`).
    - FID needs `fid_weights` (a file with the weights of torchvision's inception_v3) or `feature_extractor` (a function
      of sRGB in 0..1 that returns `(b, d)`). LPIPS needs `lpips_weights` (of torchvision's alexnet) and the package
      lpips.

    A value that cannot be computed is NaN, and `table.attrs["notes"]` says why for each column. Raises ValueError
    without models or images, for a reserved name, or if a model returns the wrong shape or NaN. Raises CheckpointError
    for weights of another network.
    """
    _check_models(models)
    device = pick_device(device)
    indices = _indices(source, n, batch_size)
    extras = _open_extras(fid_weights, lpips_weights, feature_extractor, len(indices), source.size, device)
    networks: dict[str, Model] = {**models, "grey": _grey, "untrained": _untrained(models, seed).to(device)}
    scores = {name: _Scores(extras) for name in networks}

    # disable=False would overrule the environment variable TQDM_DISABLE, so it is not passed.
    quiet = {} if progress else {"disable": True}
    with ExitStack() as stack, torch.inference_mode():
        bar = stack.enter_context(tqdm(total=len(indices), desc="evaluate", unit="image", **quiet))
        predict = {name: stack.enter_context(_predictor(name, model, device)) for name, model in networks.items()}
        true_features = []
        for true in _batches(source, indices, batch_size, device):
            L, _ = split_lab(to_float(true))
            if extras.features:
                true_features.append(extras.features(to_float(true)).float().cpu())
            for name, score in scores.items():
                score.add(_render(L, predict[name](L)), true)
            bar.update(len(true))
    rows = {name: score.row(true_features) for name, score in scores.items()}
    notes = dict(extras.notes)
    if not scores["grey"].color.truth_has_colour:
        rows["grey"]["psnr"] = math.nan
        notes |= {"chroma_ratio": NO_COLOUR, "psnr of grey": f"{NO_COLOUR}, so that grey is equal to the truth"}
    return _table(rows, notes)


def quick_scores(
    generator: nn.Module, source: Source, n: int = 64, batch_size: int = 16, device: str | torch.device = "auto"
) -> dict[str, float]:
    """Compute a few cheap metrics of a generator during training. It runs in eval mode; its mode is then restored.

    The metrics are `ab_mae` (the mean absolute error of ab in network units, before gamut mapping), `psnr` in dB,
    `chroma_ratio`, and `grey_psnr`, the PSNR of grey images, which the generator should exceed. They are computed over
    the images that `evaluate(..., n=n)` uses. If the true images have no colour, `chroma_ratio` and `grey_psnr` are
    NaN.
    """
    device = pick_device(device)
    color, totals, indices = PooledColor(), torch.zeros(3, dtype=torch.float64), _indices(source, n, batch_size)
    with torch.inference_mode(), _predictor("the generator", generator, device) as predict:
        for true in _batches(source, indices, batch_size, device):
            L, true_ab = split_lab(to_float(true))
            ab = predict(L)
            predicted = _render(L, ab)
            color.update(predicted, true)
            errors = (ab - true_ab).abs().mean(dim=(1, 2, 3))
            per_image = [errors, _psnr(predicted, true), _psnr(_render(L, _grey(L)), true)]
            totals += torch.stack(per_image, dim=1).sum(dim=0).cpu()
    ab_mae, image_psnr, grey_psnr = (totals / len(indices)).tolist()
    ratio = color.result()["chroma_ratio"]
    if not color.truth_has_colour:
        grey_psnr = math.nan
    return {"ab_mae": ab_mae, "psnr": image_psnr, "chroma_ratio": ratio, "grey_psnr": grey_psnr}


def quick_look(
    generator: nn.Module, source: Source, n: int = 8, device: str | torch.device = "auto"
) -> UInt8[Tensor, "3 n2 3 h w"]:
    """Return the first images of a source in three rows: grey, coloured by the generator, and the truth.

    The generator runs in eval mode, and its training mode is restored afterwards.
    """
    true = source.images(range(min(n, len(source)))).to(pick_device(device))
    L, _ = split_lab(to_float(true))
    with torch.inference_mode(), _eval_mode(generator):
        rows = [_render(L, ab) for ab in (_grey(L), generator(L).float())]
    return torch.stack([*rows, true]).cpu()


def contact_sheet(
    models: Mapping[str, Model], source: Source, *, n: int = SHEET_IMAGES, device: str | torch.device = "auto"
) -> bytes:
    """Draw `n` images spread over the source, with a row for grey, for each model and for the truth, as a PNG.

    Below each image is its PSNR in dB. Raises the same errors as `evaluate`.
    """
    from colorlib.figures import image_grid, png_bytes

    _check_models(models)
    device, indices = pick_device(device), _indices(source, n, batch_size=1)
    true = source.images(indices).to(device)
    L, _ = split_lab(to_float(true))
    rows = {}
    with torch.inference_mode():
        for name, model in {"grey": _grey, **models}.items():
            with _predictor(name, model, device) as predict:
                # One image at a time, because a large image may need much memory.
                rows[name] = torch.cat([_render(one, predict(one)) for one in L.split(1)])
    scores = torch.stack([_psnr(pictures, true) for pictures in rows.values()], dim=1)
    columns = [f"image {i}" for i in indices]
    pictures = torch.stack([*rows.values(), true], dim=1)
    sheet = image_grid(
        dict(zip(columns, pictures, strict=True)),
        rows=[*rows, "truth"],
        captions={name: [f"{score:.1f} dB" for score in image] for name, image in zip(columns, scores, strict=True)},
        title=f"{source.name}, {source.split} split: PSNR of each image",
        cell=SHEET_CELL,
    )
    return png_bytes(sheet)


# ----------------------------------------------------------------------------- models


def _check_models(models: Mapping[str, Model]) -> None:
    if not models:
        raise ValueError('there must be at least one model; try evaluate({"mine": colorizer}, source)')
    for name, model in models.items():
        if name in BASELINES:
            raise ValueError(f"{name!r} is the name of a baseline of every table; give that model another name")
        if not isinstance(model, Predicts) and not callable(model):
            raise ValueError(
                f"expected {name} to be a Colorizer, a module or a function of L, got {type(model).__name__}"
            )


def _grey(L: Tensor) -> Tensor:
    return torch.zeros_like(L).expand(-1, 2, -1, -1)


def _untrained(models: Mapping[str, Model], seed: int) -> nn.Module:
    """Return a copy of the first model's network with new random weights.

    Models that are functions have no network. If all are functions, return a small ResUNet.
    """
    rng = make_rng(seed, "untrained")
    networks = (getattr(model, "generator", model) for model in models.values())
    trained = next((network for network in networks if isinstance(network, nn.Module)), None)
    if trained is None:
        return ResUNet(depth=3, width=16, rng=rng)
    fresh = copy.deepcopy(trained).cpu()
    with global_rng_from(rng):
        for layer in fresh.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):  # for a batch norm, this also resets the running statistics
                reset()
    initialise(fresh, rng)
    return fresh


@contextmanager
def _predictor(name: str, model: Model, device: torch.device) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield the model as a function that checks its output and returns ab as float32 on `device`."""
    call = model.predict if isinstance(model, Predicts) else model
    with _eval_mode(model):

        def predict(L: Tensor) -> Tensor:
            ab = call(L.to(_device_of(model, device)))
            expected = (len(L), 2, *L.shape[-2:])
            if not isinstance(ab, Tensor) or ab.shape != expected:
                got = tuple(ab.shape) if isinstance(ab, Tensor) else type(ab).__name__
                raise ValueError(f"expected {name} to return ab of shape {expected}, got {got}")
            if not ab.isfinite().all():
                raise ValueError(f"expected {name} to return finite ab, got NaN or infinity; check its weights")
            return ab.to(device, torch.float32)

        yield predict


@contextmanager
def _eval_mode(model: object) -> Iterator[None]:
    """Put a module into eval mode, and restore the mode of each of its layers afterwards.

    The modes of the layers can differ, for example where a frozen encoder stays in eval mode.
    """
    modes = [(layer, layer.training) for layer in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for layer, _ in modes:
            layer.training = False
        yield
    finally:
        for layer, training in modes:
            layer.training = training


def _device_of(model: object, default: torch.device) -> torch.device:
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return default if parameter is None else parameter.device


# ----------------------------------------------------------------------------- images


def _indices(source: Source, n: int | None, batch_size: int) -> list[int]:
    total = len(source)
    wanted = total if n is None else n
    if not source.endless:
        wanted = min(wanted, total)
    if wanted < 1 or batch_size < 1:
        raise ValueError(
            f"expected at least one image in batches of at least one, got {wanted} images of the {total} in "
            f"{source.name} ({source.split}) in batches of {batch_size}"
        )
    return list(range(wanted)) if source.endless else [i * total // wanted for i in range(wanted)]


def _batches(source: Source, indices: list[int], batch_size: int, device: torch.device) -> Iterator[Tensor]:
    for start in range(0, len(indices), batch_size):
        yield source.images(indices[start : start + batch_size]).to(device)


def _render(L: Tensor, ab: Tensor) -> UInt8[Tensor, "b 3 h w"]:
    """Return the 8-bit images that are shown for this L and ab."""
    return to_uint8(join_lab(L, ab, gamut="chroma"))


def _psnr(predicted: Tensor, true: Tensor) -> Tensor:
    return psnr(predicted, true).clamp(max=PSNR_CEILING)


# ----------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class _Extras:
    """The networks that FID and LPIPS need, and notes that say why a metric cannot be computed."""

    features: Callable[[Tensor], Tensor] | None = None
    distance: Callable[[Tensor, Tensor], Tensor] | None = None
    notes: dict[str, str] = field(default_factory=dict)


def _open_extras(
    fid_weights: str | Path | None,
    lpips_weights: str | Path | None,
    feature_extractor: Callable[[Tensor], Tensor] | None,
    n: int,
    size: int,
    device: torch.device,
) -> _Extras:
    if fid_weights is not None and feature_extractor is not None:
        raise ValueError("expected either fid_weights or feature_extractor for FID, got both")
    notes = {
        "ssim": f"needs images of at least {SSIM_SMALLEST} px, got {size}" if size < SSIM_SMALLEST else "",
        "fid": _why_no_fid(n, given=fid_weights is not None or feature_extractor is not None),
        "lpips": _why_no_lpips(size, given=lpips_weights is not None),
    }
    features, distance = None, None
    if not notes["fid"]:
        features = inception_features(fid_weights, device) if fid_weights else _as_features(feature_extractor)
        if n < FID_IMAGES:
            warnings.warn(
                f"FID of {n} images is biased upwards; compare it only with FIDs of {n} images, "
                f"or evaluate {FID_IMAGES} or more",
                stacklevel=3,
            )
    if lpips_weights and not notes["lpips"]:
        distance = lpips_distance(lpips_weights, device)
    return _Extras(features, distance, {column: why for column, why in notes.items() if why})


def _why_no_fid(n: int, *, given: bool) -> str:
    if not given:
        return "needs the weights of torchvision's inception_v3 (fid_weights, --fid-weights FILE)"
    return "" if n >= 2 else "needs at least 2 images"


def _why_no_lpips(size: int, *, given: bool) -> str:
    from importlib.util import find_spec

    if not given:
        return "needs the weights of torchvision's alexnet (lpips_weights, --lpips-weights FILE)"
    if find_spec("lpips") is None:
        return "needs the package lpips (pip install lpips)"
    return "" if size >= LPIPS_SMALLEST else f"needs images of at least {LPIPS_SMALLEST} px, got {size}"


def _as_features(extractor: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    assert extractor is not None, "without fid_weights and feature_extractor, a note says so and this is not called"

    def features(rgb: Tensor) -> Tensor:
        with _eval_mode(extractor):
            found = extractor(rgb.to(_device_of(extractor, rgb.device)))
        if found.ndim != 2 or len(found) != len(rgb):
            raise ValueError(f"expected features of shape ({len(rgb)}, d), got {tuple(found.shape)}")
        return found

    return features


class _Scores:
    """The metrics of one model, collected batch by batch."""

    def __init__(self, extras: _Extras) -> None:
        self.extras = extras
        self.color = PooledColor()
        self.features: list[Tensor] = []
        self.per_image: dict[str, list[Tensor]] = {"psnr": [], "ssim": [], "ciede2000": [], "lpips": []}
        self.measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"psnr": _psnr, "ciede2000": ciede2000}
        if "ssim" not in extras.notes:
            self.measures["ssim"] = ssim
        if distance := extras.distance:
            self.measures["lpips"] = lambda predicted, true: distance(to_float(predicted), to_float(true))

    def add(self, predicted: Tensor, true: Tensor) -> None:
        self.color.update(predicted, true)
        for name, measure in self.measures.items():
            self.per_image[name].append(measure(predicted, true).cpu())
        if self.extras.features:
            self.features.append(self.extras.features(to_float(predicted)).float().cpu())

    def row(self, true_features: list[Tensor]) -> dict[str, Any]:
        means = {name: torch.cat(parts).mean().item() if parts else math.nan for name, parts in self.per_image.items()}
        distance = fid(torch.cat(self.features), torch.cat(true_features)) if self.features else math.nan
        n = sum(len(part) for part in self.per_image["psnr"])
        return {"n": n, **means, **self.color.result(), "fid": distance}


def _table(rows: dict[str, dict[str, Any]], notes: dict[str, str]) -> DataFrame:
    import pandas as pd

    table = pd.DataFrame.from_dict(rows, orient="index")[list(COLUMNS)]
    table.index.name = "model"
    table.attrs["notes"] = notes
    return table
