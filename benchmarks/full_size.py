"""What colouring photographs of full size costs, and whether each keeps its lightness.

    python benchmarks/full_size.py [--photos FOLDER] [--weights NAME]

Prints seconds to load the weights; seconds and memory for a JPEG of 12 and of 24 megapixels; and the lightness of ten
photographs of 12 megapixels before and after, of each in colour and in grey. The photographs are those of scikit-image,
or ten of FOLDER, enlarged, with texture and noise so that there is detail to lose. Each measurement is a process of its
own, and this one imports nothing large: on Linux the memory of a process counts from that of its parent.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

BUNDLED = ("astronaut.png", "chelsea.png", "coffee.png", "color.png", "hubble_deep_field.jpg", "ihc.png",
           "motorcycle_left.png", "motorcycle_right.png", "retina.jpg", "rocket.jpg")  # fmt: skip
PHOTOS = 10
SIZES = {"12 MP": (4032, 3024), "24 MP": (6000, 4000)}
LOADS = 5
QUALITY = 92
# What each figure should be below.
BARS = {"mean": 0.5, "99 %": 2.0, "load": 0.5, "12 MP seconds": 3.0, "12 MP GiB": 1.5, "24 MP GiB": 2.0}


# --- photographs ---------------------------------------------------------------------------------------------


def sources(folder: str | None) -> list[Path]:
    """Ten photographs: those of scikit-image, or spread over a folder."""
    if folder is None:
        import skimage

        return [Path(skimage.__file__).parent / "data" / name for name in BUNDLED]
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(found) < PHOTOS:
        raise SystemExit(f"expected at least {PHOTOS} photographs in {folder}, found {len(found)}")
    return [found[i * len(found) // PHOTOS] for i in range(PHOTOS)]


def enlarge(path: Path, size: tuple[int, int], seed: int) -> Image.Image:
    """A photograph of that size with detail in every pixel; every other one with twice its colour."""
    import numpy as np
    from PIL import Image, ImageEnhance, ImageOps

    rng = np.random.default_rng(seed)
    with Image.open(path) as image:
        large = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS)
    if seed % 2:
        large = ImageEnhance.Color(large).enhance(2.0)
    width, height = size
    coarse = Image.fromarray(rng.normal(0, 10, (height // 3, width // 3)).astype(np.float32))
    texture = np.asarray(coarse.resize(size, Image.Resampling.BILINEAR))[..., None]
    pixels = np.asarray(large, dtype=np.float32) + texture + rng.normal(0, 4, (height, width, 3)).astype(np.float32)
    return Image.fromarray((pixels.clip(0, 255) + 0.5).astype(np.uint8))


# --- lightness -----------------------------------------------------------------------------------------------


def lightness(rgb: np.ndarray) -> np.ndarray:
    """L* of 8-bit sRGB, by the formulas of IEC 61966-2-1 and CIE 15: nothing of colorlib."""
    import numpy as np

    level = np.arange(256) / 255
    linear = np.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
    shares = (0.212671, 0.715160, 0.072169)
    Y = sum((share * linear).astype(np.float32)[rgb[..., c]] for c, share in enumerate(shares))
    return np.where(Y > (6 / 29) ** 3, 116 * np.cbrt(Y) - 16, Y * (29 / 3) ** 3)


def lightness_lost(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Mean and 99th percentile of |L out - L in|: of the photograph in colour, as a JPEG of that, and of it in grey."""
    import numpy as np
    from PIL import Image

    from colorlib import Colorizer
    from colorlib.inference import save_marked

    colorizer, saved = Colorizer.load(task["weights"], "cpu"), Path(task["path"])
    rows = []
    for seed, path in enumerate(sources(task["photos"])):
        photo = enlarge(path, SIZES["12 MP"], seed)
        grey = photo.convert("L").convert("RGB")
        coloured, from_grey = colorizer.colorize(photo), colorizer.colorize(grey)
        save_marked(coloured, saved)
        row: dict[str, Any] = {"photograph": path.name}
        pairs = {"colour": (photo, coloured), "saved": (photo, Image.open(saved)), "grey": (grey, from_grey)}
        for name, (before, after) in pairs.items():
            error = np.abs(lightness(np.asarray(after)) - lightness(np.asarray(before)))
            row |= {f"{name} mean": float(error.mean()), f"{name} 99 %": float(np.quantile(error[::2, ::2], 0.99))}
        rows.append(row)
    return rows


# --- time and memory -----------------------------------------------------------------------------------------


def peak_memory() -> float:
    """The most memory that this process has held, in GiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def write_photo(task: dict[str, Any]) -> None:
    name, path = sources(task["photos"])[0], task["path"]
    enlarge(name, SIZES[task["size"]], 0).save(path, quality=QUALITY)


def cost(task: dict[str, Any]) -> dict[str, float]:
    """Seconds from a JPEG to a JPEG, the first and the second time, and the memory over that of torch alone."""
    import torch

    torch.nn.functional.conv2d(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 3, 3))
    before = peak_memory()
    from colorlib import Colorizer

    colorizer = Colorizer.load(task["weights"], "cpu")
    seconds = []
    for turn in "12":
        start = time.perf_counter()
        (result,) = colorizer.colorize_many(task["path"], Path(task["path"]).parent / turn, progress=False)
        seconds.append(time.perf_counter() - start)
        if result.error:
            raise SystemExit(result.error)
    return {"seconds": seconds[0], "again": seconds[1], "GiB": peak_memory() - before}


def load(task: dict[str, Any]) -> float:
    """Seconds for `Colorizer.load` in a process that has imported it."""
    from colorlib import Colorizer

    start = time.perf_counter()
    Colorizer.load(task["weights"], "cpu")
    return time.perf_counter() - start


TASKS = {task.__name__: task for task in (lightness_lost, write_photo, cost, load)}


def measure(task: str, **arguments: Any) -> Any:
    """The answer of a task, in a process of its own."""
    command = [sys.executable, __file__, "--task", task, json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{task} failed")
    return json.loads(done.stdout.splitlines()[-1])


# --- tables --------------------------------------------------------------------------------------------------


def print_lightness(rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0])
    print("\n|L out - L in| in units of L*, " + f"{SIZES['12 MP'][0]} x {SIZES['12 MP'][1]} pixels")
    print(f"{columns[0]:<24}" + "".join(f"{name:>13}" for name in columns[1:]))
    for row in rows:
        print(f"{row[columns[0]]:<24}" + "".join(f"{row[name]:13.3f}" for name in columns[1:]))
    worst = {name: max(row[name] for row in rows) for name in columns[1:]}
    bars = {name: BARS[name.split(" ", 1)[1]] for name in worst}
    print(f"{'worst':<24}" + "".join(f"{value:13.3f}" for value in worst.values()))
    print(f"{'bar':<24}" + "".join(f"{bar:13.3f}" for bar in bars.values()))


def print_cost(size: str, figures: dict[str, float]) -> None:
    bars = ", ".join(f"{name} {BARS[f'{size} {name}']:g}" for name in figures if f"{size} {name}" in BARS)
    said = f"{figures['seconds']:.2f} s, a second time {figures['again']:.2f} s; {figures['GiB']:.2f} GiB over torch"
    print(f"{size}, JPEG to JPEG: {said} (bars: {bars})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", help="a folder with ten photographs or more; scikit-image's if not given")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.task:
        name, arguments = flags.task
        print(json.dumps(TASKS[name](json.loads(arguments))))
        return
    common = {"weights": flags.weights, "photos": flags.photos}
    seconds = [measure("load", **common) for _ in range(LOADS)]
    print(f"loading: {statistics.median(seconds):.2f} s, median of {LOADS} (bar: {BARS['load']:g})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = str(Path(folder) / f"{size}.jpg")
            measure("write_photo", size=size, path=path, **common)
            print_cost(size, measure("cost", path=path, **common))
        print_lightness(measure("lightness_lost", path=str(Path(folder) / "saved.jpg"), **common))


if __name__ == "__main__":
    main()
