"""Measure the shipped weights on test photographs, and write the results that the README and the site show.

    python tools/results.py PHOTOS

PHOTOS has the sets grocery, nature and clothing, each with a folder test. The tool writes these files into
`experiments/shipped_weights`: `SET-test.csv` (the table of `colorlib evaluate --csv`), a picture that the project may
show, its alt text and caption (`pictures.json`), and the weights and versions that were measured (`about.json`). It
also writes the table between the marks in README.md and colorlib/weights/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import torch
from PIL import Image

from colorlib import Colorizer, evaluate, open_source
from colorlib.color import split_lab, to_float
from colorlib.datasets.pictures import square
from colorlib.figures import grey_image, image_grid, png_bytes, to_numpy
from colorlib.inference import shipped_weights
from colorlib.metrics import ciede2000
from colorlib.upsampling import as_batch

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "shipped_weights"
SETS = ("grocery", "nature", "clothing")
SIZE = 128
# These photographs may be shown (data/README.md says why) and were never trained on.
SHOWN = ("coffee", "chelsea", "astronaut", "rocket")
SIDE = 256
ALT = (
    "A cup of coffee, a cat, an astronaut and a rocket, a row each: without colour, in the colours of the L1 weights, "
    "in those of the default weights, and true. The sky behind the rocket comes out bluish, the cup stays grey."
)
CAPTION = "Photographs that the weights have never seen. Below each, its mean CIEDE2000 to the truth: lower is better."
BLOCK = re.compile(r"(?P<begin><!-- results -->\n).*?(?P<end><!-- /results -->)", re.DOTALL)
PAGES = (ROOT / "README.md", ROOT / "colorlib" / "weights" / "README.md")


def measure(photos: Path, device: str) -> dict[str, pd.DataFrame]:
    """Return the table of each set's test split, with a row for each of the shipped weights, grey and untrained."""
    models = {name: Colorizer.load(name, device) for name in shipped_weights()}
    return {
        name: evaluate(models, open_source(f"folder:{photos / name}", SIZE, "test"), device=device) for name in SETS
    }


def table_lines(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return a Markdown table with a row for each set and model."""
    lines = ["| test photographs | | PSNR, dB | CIEDE2000 | chroma ratio |", "|---|---|---|---|---|"]
    for name, table in tables.items():
        n = int(table["n"].iloc[0])
        for i, (model, row) in enumerate(table.drop("untrained").iterrows()):
            first = f"{name} ({n})" if i == 0 else ""
            ratio = f"{row['chroma_ratio']:.2f}"
            lines.append(f"| {first} | {model} | {row['psnr']:.2f} | {row['ciede2000']:.2f} | {ratio} |")
    return lines


def draw(device: str) -> bytes:
    """Return the PNG of a grid: a photograph in each row; grey, the shipped weights and the truth in columns."""
    photographs = [Image.fromarray(getattr(skimage.data, name)()) for name in SHOWN]
    true = torch.stack([torch.from_numpy(square(photograph, SIDE)) for photograph in photographs])
    columns = {"without colour": grey_image(split_lab(to_float(true))[0])}
    for name in reversed(shipped_weights()):
        colorizer = Colorizer.load(name, device)
        columns[name] = torch.cat([as_batch(np.array(colorizer.colorize(image))) for image in to_numpy(true)])
    captions = {
        name: [f"CIEDE2000 {error:.1f}" for error in ciede2000(images, true).tolist()]
        for name, images in columns.items()
    }
    return png_bytes(image_grid({**columns, "truth": true}, captions=captions))


def about() -> dict[str, object]:
    """Return the hashes of the measured weights, which a test compares with the package, and the versions used."""
    weights = {name: ROOT / "colorlib" / "weights" / f"{name}.safetensors" for name in shipped_weights()}
    return {
        "sha256": {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in weights.items()},
        "size": SIZE,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
    }


def write_block(page: Path, lines: list[str]) -> None:
    """Replace the text between the marks of a page. Raises ValueError if the page does not have one pair of marks."""
    text = page.read_text(encoding="utf-8")
    block = "\n".join(lines)
    after, found = BLOCK.subn(lambda match: f"{match['begin']}{block}\n{match['end']}", text)
    if found != 1:
        raise ValueError(f"expected one pair of <!-- results --> marks in {page}, got {found}")
    page.write_text(after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    tables = measure(args.photos, args.device)
    RESULTS.mkdir(exist_ok=True)
    for name, table in tables.items():
        table.round(4).to_csv(RESULTS / f"{name}-test.csv")
    (RESULTS / "photographs.png").write_bytes(draw(args.device))
    described = {"photographs.png": {"alt": ALT, "caption": CAPTION}}
    (RESULTS / "pictures.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "about.json").write_text(json.dumps(about(), indent=2) + "\n", encoding="utf-8")
    for page in PAGES:
        write_block(page, table_lines(tables))
    print("\n".join(table_lines(tables)))


if __name__ == "__main__":
    main()
