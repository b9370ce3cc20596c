"""Make the photographs of colorlib/gallery from the packages that contain them, and compare them with other images.

    pip download --no-deps -d PACKAGES scikit-image scikit-learn mahotas
    pip download --no-deps -d PACKAGES --python-version 3.10 --only-binary :all: "scipy<1.10"
    cd PACKAGES && apt-get download lomiri-wallpapers-16.04 palapeli-data plasma-workspace-data puzzle-jigsaw scratch \
        sddm-theme-maldives wordpress-theme-twentytwentyfour
    python tools/gallery.py make PACKAGES
    python tools/gallery.py compare PHOTOS
    python tools/gallery.py sheet gallery.png

`scratch` is in Debian 12, `wordpress-theme-twentytwentyfour` in Debian 13, the other packages are in both. `make`
writes the JPEGs; who took the photographs, and what they show, is written by hand in colorlib/gallery/CREDITS.md.
`compare` prints for each photograph the most similar pictures below PHOTOS, for example the training pictures.

Matplotlib's sample photograph of Grace Hopper is not in the gallery: another portrait of her, with the same flag and
uniform, is among the training pictures.
"""

from __future__ import annotations

import argparse
import bz2
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image, ImageDraw

from colorlib.datasets.gallery import gallery_photos
from colorlib.files import find_files, is_named_as_picture
from colorlib.images import read_image

GALLERY = Path(__file__).parent.parent / "colorlib" / "gallery"
LONG_SIDE = 640
Points = tuple[
    Float32[np.ndarray, "n 2"], UInt8[np.ndarray, "n 32"]
]  # coordinates of the keypoints, and their descriptors
JPEG = {"quality": 87, "subsampling": 0, "optimize": True, "progressive": True}
BACKGROUNDS, AVATARS = "usr/share/backgrounds", "usr/share/plasma/avatars/photos"
THEME = "usr/share/wordpress/wp-content/themes/twentytwentyfour/assets/images"
SCRATCH = "usr/share/scratch/Media/Backgrounds"
# Where each photograph is inside its package.
ORIGINALS = {
    "astronaut": "skimage/data/astronaut.png",
    "portrait": "mahotas/demos/data/luispedro.jpg",
    "stairs": f"{THEME}/art-gallery.webp",
    "visitor": f"{THEME}/tourist-and-building.webp",
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
    """Write all photographs, at most `LONG_SIDE` px on the long side, and print their total size."""
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
    """Open the original as upright sRGB. SciPy's raccoon is stored as compressed bytes of 768 x 1024 pixels."""
    if path.suffix == ".dat":
        return Image.frombytes("RGB", (1024, 768), bz2.decompress(path.read_bytes()))
    return load(path)


def compare(photos: Path) -> None:
    """Print for each photograph the picture below `photos` with the nearest hash, and the one with most common points.

    Two unrelated pictures differ in 9 bits or more and have about 10 points in common or fewer. The hashes also find
    mirrored copies, the points also find other sections of the same photograph.
    """
    shown = [photo.open() for photo in gallery_photos()]
    hashes = [[difference_hash(view) for whole in views(image) for view in (whole, mirrored(whole))] for image in shown]
    points = [find_points(image) for image in shown]
    nearest, most = [(65, Path())] * len(shown), [(-1, Path())] * len(shown)
    for path in filter(is_named_as_picture, find_files(photos)):
        image = load(path)
        other, its_points = [difference_hash(view) for view in views(image)], find_points(image)
        for i in range(len(shown)):
            bits = min(int((mine != its).sum()) for mine in hashes[i] for its in other)
            nearest[i] = min(nearest[i], (bits, path))
            most[i] = max(most[i], (common_points(points[i], its_points), path))
    for i, photo in enumerate(gallery_photos()):
        bits, count = nearest[i], most[i]
        print(f"{photo.name:<12} {bits[0]:>2} bits from {bits[1]}, {count[0]:>3} points in common with {count[1]}")


def views(image: Image.Image) -> Iterator[Image.Image]:
    """Return the whole image and its central square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    yield image
    yield image.crop((left, top, left + side, top + side))


def difference_hash(image: Image.Image) -> Bool[np.ndarray, " 64"]:
    """Return the difference hash: for 8 x 8 cells, whether the cell is brighter than its left neighbour."""
    values = grey(image, (9, 8))
    return (values[:, 1:] > values[:, :-1]).ravel()


def find_points(image: Image.Image) -> Points:
    """Return the ORB keypoints and descriptors of the grey image, at most 256 px on its short side."""
    scale = min(1.0, 256 / min(image.size))
    size = (round(scale * image.width), round(scale * image.height))
    places, descriptors = cv2.ORB_create(250, fastThreshold=10).detectAndCompute(grey(image, size), None)
    return np.array([place.pt for place in places], np.float32), descriptors


def common_points(one: Points, other: Points) -> int:
    """Return how many keypoints of the images match after a shift, a rotation and a scaling."""
    if len(one[0]) < 2 or len(other[0]) < 2:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one[1], other[1], k=2)
    matches = [best for best, second in pairs if best.distance < 0.75 * second.distance]
    if len(matches) < 3:
        return 0
    from_here, to_there = (
        np.array([one[0][match.queryIdx] for match in matches]),
        np.array([other[0][match.trainIdx] for match in matches]),
    )
    _, inside = cv2.estimateAffinePartial2D(from_here, to_there, ransacReprojThreshold=4)
    if inside is None:
        return 0
    # In an image with few keypoints, such as a clear sky, many keypoints of the other image match the same one.
    return len(np.unique(to_there[inside.ravel() == 1], axis=0))


def grey(image: Image.Image, size: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
    return np.asarray(image.convert("L").resize(size, Image.Resampling.LANCZOS))


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
