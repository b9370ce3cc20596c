"""Make the photographs of colorlib/gallery from the packages that contain them, and compare them with other pictures.

    pip download --no-deps -d PACKAGES scikit-image scikit-learn matplotlib mahotas
    pip download --no-deps -d PACKAGES --python-version 3.10 --only-binary :all: "scipy<1.10"
    cd PACKAGES && apt-get download lomiri-wallpapers-16.04 palapeli-data plasma-workspace-data puzzle-jigsaw scratch \
        sddm-theme-maldives wordpress-theme-twentytwentyfour
    python tools/gallery.py make PACKAGES
    python tools/gallery.py compare PHOTOS
    python tools/gallery.py sheet gallery.png

`scratch` is in Debian 12, `wordpress-theme-twentytwentyfour` in Debian 13, the other packages are in both. `make`
writes the JPEGs; who took the photographs, and what they show, is written by hand in colorlib/gallery/CREDITS.md.
`compare` prints for each photograph the nearest picture below PHOTOS, for example the training pictures.
"""

from __future__ import annotations

import argparse
import bz2
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from colorlib.datasets.gallery import gallery_photos
from colorlib.files import find_files, is_named_as_picture
from colorlib.images import read_image

GALLERY = Path(__file__).parent.parent / "colorlib" / "gallery"
LONG_SIDE = 640
JPEG = {"quality": 87, "subsampling": 0, "optimize": True, "progressive": True}
BACKGROUNDS, AVATARS = "usr/share/backgrounds", "usr/share/plasma/avatars/photos"
SCRATCH = "usr/share/scratch/Media/Backgrounds"
# Where each photograph is inside its package.
ORIGINALS = {
    "astronaut": "skimage/data/astronaut.png",
    "officer": "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "portrait": "mahotas/demos/data/luispedro.jpg",
    "visitor": "usr/share/wordpress/wp-content/themes/twentytwentyfour/assets/images/tourist-and-building.webp",
    "cat": "skimage/data/chelsea.png",
    "dog": f"{AVATARS}/Dog.png",
    "raccoon": "scipy/misc/face.dat",
    "tiger": "usr/share/puzzle-jigsaw/samples/pexels-photo-302304.jpeg",
    "dahlia": "sklearn/datasets/images/flower.jpg",
    "dandelions": f"{BACKGROUNDS}/seeding_by_Clements_Engelhardt.jpg",
    "flower-bed": f"{SCRATCH}/Nature/flower-bed.jpg",
    "meadow": f"{BACKGROUNDS}/aitzgorri_by_Aitzol_Berasategi.jpg",
    "mountains": f"{BACKGROUNDS}/picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "stream": f"{BACKGROUNDS}/life_by_Aitzol_Berasategi.jpg",
    "jetty": "usr/share/sddm/themes/maldives/background.jpg",
    "pagoda": "sklearn/datasets/images/china.jpg",
    "cinema": f"{SCRATCH}/Outdoors/the-movies.jpg",
    "railway": f"{SCRATCH}/Outdoors/train-tracks1.jpg",
    "citrus": "usr/share/palapeli/collection/citrus-fruits.jpg",
    "coffee": "skimage/data/coffee.png",
    "pancakes": f"{AVATARS}/Pancakes.png",
    "balloon": f"{AVATARS}/Air Balloon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "rocket": "skimage/data/rocket.jpg",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "compare", "sheet"])
    parser.add_argument("path", type=Path)
    flags = parser.parse_args()
    {"make": make, "compare": compare, "sheet": sheet}[flags.action](flags.path)


def make(packages: Path) -> None:
    """Write all photographs, at most `LONG_SIDE` px on the long side, and print their size together."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(packages, Path(folder))
        for name, original in ORIGINALS.items():
            image = open_original(Path(folder) / original)
            image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
            image.save(GALLERY / f"{name}.jpg", **JPEG)
    written = list(GALLERY.glob("*.jpg"))
    print(f"{len(written)} photographs, {sum(path.stat().st_size for path in written):,} bytes")


def unpack(packages: Path, folder: Path) -> None:
    """Unpack the wheels and Debian packages of a folder into another folder."""
    for wheel in packages.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name in ORIGINALS.values()])
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)


def open_original(path: Path) -> Image.Image:
    """The original as upright sRGB. SciPy's raccoon is stored as compressed bytes of 768 x 1024 pixels."""
    if path.suffix == ".dat":
        return Image.frombytes("RGB", (1024, 768), bz2.decompress(path.read_bytes()))
    return load(path)


def compare(photos: Path) -> None:
    """Print the nearest picture below `photos` by difference hash and by correlation, nearest first."""
    others = {}
    for path in filter(is_named_as_picture, find_files(photos)):
        seen = list(views(load(path)))
        others[path] = [difference_hash(view) for view in seen], [normalised(view) for view in seen]
    names = np.repeat(list(others), 2)
    hashes, small = (np.concatenate([pair[i] for pair in others.values()]) for i in (0, 1))
    found = []
    for photo in gallery_photos():
        seen = [view for upright in views(photo.open()) for view in (upright, mirrored(upright))]
        bits = np.array([(hashes != difference_hash(view)).sum(1) for view in seen]).min(0)
        alike = np.array([small @ normalised(view) for view in seen]).max(0)
        found.append((bits.min(), photo.name, names[bits.argmin()], alike.max(), names[alike.argmax()]))
    for bits, name, nearest, alike, most_alike in sorted(found):
        print(f"{name:<12} {bits:>2} of 64 bits from {nearest}; correlation {alike:.2f} with {most_alike}")


def views(image: Image.Image) -> Iterator[Image.Image]:
    """The whole picture and its central square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    yield image
    yield image.crop((left, top, left + side, top + side))


def difference_hash(image: Image.Image) -> Bool[np.ndarray, " 64"]:
    """For 8 x 8 places: is the picture brighter than at the place to the left?"""
    return (np.diff(grey(image, (9, 8)), axis=1) > 0).ravel()


def normalised(image: Image.Image) -> Float[np.ndarray, " 256"]:
    """16 x 16 grey values with mean 0 and norm 1, so that a product of two is their correlation."""
    values = grey(image, (16, 16)).ravel()
    values -= values.mean()
    return values / max(np.linalg.norm(values), 1e-6)


def grey(image: Image.Image, size: tuple[int, int]) -> Float[np.ndarray, "height width"]:
    return np.asarray(image.convert("L").resize(size, Image.Resampling.LANCZOS), dtype=np.float64)


def mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def load(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return Image.fromarray(read_image(image).rgb)


def sheet(out: Path, columns: int = 6, cell: int = 256) -> None:
    """Draw all photographs with their names and kinds."""
    photos = gallery_photos()
    rows = -(-len(photos) // columns)
    page = Image.new("RGB", (columns * cell, rows * (cell + 16)), "white")
    draw = ImageDraw.Draw(page)
    for i, photo in enumerate(photos):
        x, y = i % columns * cell, i // columns * (cell + 16)
        image = photo.open()
        image.thumbnail((cell - 6, cell - 6))
        page.paste(image, (x, y))
        draw.text((x, y + cell), f"{photo.name} ({photo.kind})", fill="black")
    page.save(out)


if __name__ == "__main__":
    main()
