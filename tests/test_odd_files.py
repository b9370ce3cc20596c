"""A folder of a hundred odd files, and the command over it: each is coloured as it should be, or named with a reason.

The files are made here. What a coloured one must look like is known for each: its lightness is that of an array,
upright and unscaled, its alpha is that of another.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from skimage import data
from skimage.color import rgb2lab
from test_images import SRGB_PRIMARIES, UPRIGHT, encode, png_header, profile

from colorlib.files import printable

ORIENTATION = 0x0112
TIMEOUT = 300


@dataclass(frozen=True)
class Coloured:
    """What must come out: the lightness of `like`, this alpha, and a note that holds these words."""

    like: np.ndarray
    alpha: np.ndarray | None = None
    note: str = ""
    tolerance: float = 2.0
    """Of the mean error of L*: what JPEG loses, twice."""


@dataclass(frozen=True)
class Refused:
    """A line with these words must name the file; a file that is not named like a picture is no failure."""

    reason: str
    left_out: bool = False


@dataclass
class Folder:
    """Writes files and remembers what is expected of them."""

    path: Path
    expected: dict[str, Coloured | Refused] = field(default_factory=dict)

    def file(self, name: str, content: bytes | str, expected: Coloured | Refused) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        self.expected[name] = expected

    def image(
        self, name: str, picture: Image.Image | np.ndarray, like: Coloured | np.ndarray, **options: object
    ) -> None:
        expected = like if isinstance(like, Coloured) else Coloured(like)
        self.file(name, encoded(picture, Path(name).suffix, **options), expected)


def encoded(picture: Image.Image | np.ndarray, suffix: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    options.setdefault("format", Image.registered_extensions().get(suffix.lower(), "PNG"))
    image.save(buffer, **({"quality": 95} | options))  # type: ignore[arg-type]
    return buffer.getvalue()


RGB = np.ascontiguousarray(data.astronaut()[0:96:2, 160:288:2])
GREY = np.asarray(Image.fromarray(RGB).convert("L"))
AS_GREY = np.repeat(GREY[..., None], 3, axis=2)
HEIGHT, WIDTH = GREY.shape
ALPHA = np.linspace(0, 255, GREY.size).reshape(GREY.shape).astype(np.uint8)
PHOTO = Image.fromarray(RGB)
ONE_FRAME = "only the first"


# --- the files -----------------------------------------------------------------------------------------------


def truncated(folder: Folder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in (".jpg", ".png", ".tif", ".gif", ".bmp", ".webp"):
        content = encoded(noise, suffix)
        for percent in (1, 50, 90):
            cut = content[: max(5, len(content) * percent // 100)]
            folder.file(f"cut-{percent}{suffix}", cut, Refused("cannot read"))


def empty(folder: Folder) -> None:
    for name in ("empty.jpg", "empty.png", "empty.tif"):
        folder.file(name, b"", Refused("empty"))
    folder.file("nulls.jpg", bytes(1000), Refused("no image"))
    folder.file("garbage.png", np.random.default_rng(1).bytes(1000), Refused("no image"))
    folder.file("width-0.png", png_header(0, 40), Refused("cannot read"))
    folder.file("height-0.png", png_header(40, 0), Refused("cannot read"))
    folder.file("height-0.jpg", with_jpeg_size(encoded(PHOTO, ".jpg"), WIDTH, 0), Refused("cannot read"))
    folder.file("width-0.bmp", struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 0, 9, 1, 24, *[0] * 6),
                Refused("cannot read"))  # fmt: skip


def with_jpeg_size(content: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header promises another size."""
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def bombs(folder: Folder) -> None:
    folder.file("bomb.png", png_header(60_000, 60_000), Refused("--max-pixels 3600000000"))
    folder.file("bomb.jpg", with_jpeg_size(encoded(PHOTO, ".jpg"), 65_500, 65_500), Refused("--max-pixels"))
    real = b"P4 20000 20000\n"  # one bit a pixel, and not one of them there
    folder.file("bomb.pbm", real + bytes(100), Refused("--max-pixels 400000000"))
    gif = encoded(PHOTO, ".gif")
    folder.file("bomb.gif", gif[:6] + b"\xff\xff\xff\xff" + gif[10:], Refused("--max-pixels"))


def cmyk(folder: Folder) -> None:
    ink = PHOTO.convert("CMYK")
    adobe = encoded(ink, ".jpg")  # Pillow writes Adobe's marker, and the ink inverted as Adobe does
    folder.file("cmyk-adobe.jpg", adobe, Coloured(RGB))
    # Browsers, ImageMagick and Pillow take the ink to be inverted without the marker too.
    folder.file("cmyk-plain.jpg", without_adobe_marker(adobe), Coloured(RGB))
    folder.image("cmyk.tif", ink, RGB)


def without_adobe_marker(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0] :]


def deep(folder: Folder) -> None:
    grey, rgb = GREY.astype(np.uint16) * 257, RGB.astype(np.uint16) * 257
    folder.image("16-bit-grey.png", grey, AS_GREY)
    folder.image("16-bit-grey.tif", grey, AS_GREY)
    folder.file(
        "16-bit-grey.pgm", b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + grey.astype(">u2").tobytes(), Coloured(AS_GREY)
    )
    folder.file("16-bit-rgb.png", deep_png(rgb), Coloured(RGB))
    folder.file("16-bit-rgb.tif", deep_tiff(rgb), Coloured(RGB))
    black_or_white = np.where(AS_GREY > 99, 255, 0).astype(np.uint8)
    bits = Image.fromarray(black_or_white).convert("1", dither=Image.Dither.NONE)
    for name in ("1-bit.png", "1-bit.tif", "1-bit.bmp", "1-bit.pbm"):
        folder.image(name, bits, black_or_white)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_png(rgb: np.ndarray) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_tiff(rgb: np.ndarray) -> bytes:
    """Sixteen bits a channel in one strip, without compression (TIFF 6.0, section 6)."""
    tags = {256: WIDTH, 257: HEIGHT, 259: 1, 262: 2, 273: 200, 277: 3, 278: HEIGHT, 279: rgb.nbytes}
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()}
    entries[258] = struct.pack("<HHII", 258, 3, 3, 190)  # bits per sample: three shorts at 190
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    head = b"II*\0" + struct.pack("<I", 8) + directory
    return head + bytes(190 - len(head)) + struct.pack("<3H", 16, 16, 16) + bytes(4) + rgb.astype("<u2").tobytes()


def palettes_and_alpha(folder: Folder) -> None:
    few = PHOTO.quantize(16)
    like, indices = np.asarray(few.convert("RGB")), np.asarray(few)
    hole = np.where(indices == 3, 0, 255).astype(np.uint8)
    levels = bytes(range(0, 160, 10))
    folder.image("palette.png", few, like)
    folder.image("palette.tif", few, like)
    folder.image("palette-hole.gif", few, Coloured(like, hole), transparency=3)
    folder.image(
        "palette-alpha.png", few, Coloured(like, np.frombuffer(levels, np.uint8)[indices]), transparency=levels
    )
    folder.image(
        "grey-alpha.png", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]), Coloured(AS_GREY, ALPHA)
    )
    both = Image.merge("RGBA", [*PHOTO.split(), Image.fromarray(ALPHA)])
    folder.image("alpha.png", both, Coloured(RGB, ALPHA))
    folder.image("alpha.tif", both, Coloured(RGB, ALPHA))
    folder.image("alpha.webp", both, Coloured(RGB, ALPHA), lossless=True, exact=True)
    one_colour = (RGB[5, 5] == RGB).all(-1)
    folder.image(
        "hole.png", PHOTO, Coloured(RGB, np.where(one_colour, 0, 255)), transparency=tuple(map(int, RGB[5, 5]))
    )


def lab_and_numbers(folder: Folder) -> None:
    lab = ImageCms.profileToProfile(
        PHOTO, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    folder.image("lab.tif", lab, RGB)
    unit = GREY / np.float32(255)
    broken = unit.copy()
    broken[:4, :4], black = np.nan, AS_GREY.copy()
    black[:4, :4] = 0
    folder.image("float-1.tif", unit, Coloured(AS_GREY, note="to 1 (white)"))
    folder.image("float-65535.tif", unit * 65535, Coloured(AS_GREY, note="to 65535 (white)"))
    folder.image("float-nan.tif", broken, Coloured(black, note="to 1 (white)"))
    folder.image("float-all-nan.tif", unit * np.float32("nan"), Coloured(AS_GREY * 0, note="to 1 (white)"))
    folder.image("float-inf.tif", np.full_like(unit, np.inf), Coloured(AS_GREY * 0, note="to 1 (white)"))
    folder.image("int32.tif", GREY.astype(np.int32) * 257, Coloured(AS_GREY, note="to 65535 (white)"))


def several_frames(folder: Folder) -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", PHOTO.size, "blue"), PHOTO.rotate(180)]}
    first = Coloured(RGB, note=ONE_FRAME)
    for name in ("pages.tif", "moving.png", "moving.webp", "stereo.mpo"):
        folder.image(name, PHOTO, first, lossless=True, **frames)
    few = PHOTO.quantize(64)
    folder.image("moving.gif", few, Coloured(np.asarray(few.convert("RGB")), note=ONE_FRAME), **frames)


def turned(folder: Folder) -> None:
    for orientation, upright in UPRIGHT.items():
        folder.image(f"exif-{orientation}.jpg", PHOTO, upright(RGB), exif=exif(orientation))
    for suffix in (".png", ".webp", ".tif"):
        folder.image(f"exif-6{suffix}", PHOTO, UPRIGHT[6](RGB), exif=exif(6))
    folder.image("exif-9.jpg", PHOTO, RGB, exif=exif(9))
    folder.image("exif-broken.png", PHOTO, Coloured(RGB, note="EXIF"), exif=b"Exif\0\0XX*\0 nonsense")
    folder.image("exif-alpha.png", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]),
                 Coloured(UPRIGHT[8](AS_GREY), UPRIGHT[8](ALPHA[..., None])[..., 0]), exif=exif(8))  # fmt: skip


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def jpegs(folder: Folder) -> None:
    folder.image("grey.jpg", GREY, AS_GREY)
    folder.image("progressive.jpg", PHOTO, RGB, progressive=True)
    folder.image("CAPITALS.JPEG", PHOTO, RGB)
    plain = encoded(PHOTO, ".jpg")
    at = plain.index(b"\xff\xc0")
    folder.file("12-bit.jpg", plain[: at + 4] + b"\x0c" + plain[at + 5 :], Refused("cannot read"))
    folder.file("lossless.jpg", plain[:at] + b"\xff\xc3" + plain[at + 2 :], Refused("cannot read"))
    folder.file("tail.jpg", plain + bytes(5000), Coloured(RGB))


def profiles(folder: Folder) -> None:
    linear = ["rTRC", "gTRC", "bTRC"]
    wide = {
        "rXYZ": (0.7977, 0.2880, 0.0),
        "gXYZ": (0.1352, 0.7119, 0.0),
        "bXYZ": (0.0313, 0.0001, 0.8249),
    }  # ProPhoto's
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    folder.image("icc-srgb.jpg", PHOTO, RGB, icc_profile=srgb)
    folder.image("icc-linear.png", PHOTO, linear_to_8_bit(RGB), icc_profile=profile("RGB ", SRGB_PRIMARIES, linear))
    folder.image("icc-wide.png", GREY, linear_to_8_bit(AS_GREY), icc_profile=profile("RGB ", wide, linear))
    folder.image("icc-grey.png", GREY, linear_to_8_bit(AS_GREY), icc_profile=profile("GRAY", {}, ["kTRC"]))
    folder.image("icc-foreign.jpg", PHOTO, Coloured(RGB, note="GRAY"), icc_profile=profile("GRAY", {}, ["kTRC"]))
    folder.image("icc-broken.jpg", PHOTO, Coloured(RGB, note="damaged"), icc_profile=srgb[:60])


def linear_to_8_bit(rgb: np.ndarray) -> np.ndarray:
    return encode(rgb).astype(np.uint8)


def sizes(folder: Folder) -> None:
    folder.image("1x1.png", RGB[:1, :1], RGB[:1, :1])
    folder.image("1x3000.png", np.resize(RGB, (1, 3000, 3)), np.resize(RGB, (1, 3000, 3)))
    folder.image(
        "3000x1.jpg", np.resize(AS_GREY, (3000, 1, 3)), Coloured(np.resize(AS_GREY, (3000, 1, 3)), tolerance=9)
    )
    folder.image("panorama.png", np.tile(RGB[:20], (1, 40, 1)), np.tile(RGB[:20], (1, 40, 1)))
    large = PHOTO.resize((7680, 4320), Image.Resampling.BICUBIC)
    folder.image("8k.jpg", large, np.asarray(large))


def other_formats(folder: Folder) -> None:
    for suffix in (".bmp", ".ppm", ".tga", ".dib", ".sgi", ".pcx"):
        folder.image(f"format{suffix}", PHOTO, RGB)
    folder.image("icon.ico", PHOTO.resize((32, 32)), np.asarray(PHOTO.resize((32, 32))), sizes=[(32, 32)])
    folder.image("photo.webp", PHOTO, RGB)
    for suffix, feature in ((".jp2", "jpg_2000"), (".avif", "avif")):
        if features.check(feature):
            folder.image(f"photo{suffix}", PHOTO, RGB)
            folder.file(f"cut{suffix}", encoded(PHOTO, suffix)[:400], Refused("cannot read"))
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3) + bytes(12)
    folder.file("flat.psd", header + bytes(2) + RGB.transpose(2, 0, 1).tobytes(), Coloured(RGB))
    folder.file("header.psd", header, Refused("cannot read"))


def wrong_names(folder: Folder) -> None:
    folder.image("png.jpg", PHOTO, RGB, format="PNG")
    folder.image("jpeg.png", PHOTO, RGB, format="JPEG")
    folder.image("tiff.bmp", PHOTO, RGB, format="TIFF")
    folder.image("no-extension", PHOTO, RGB, format="JPEG")
    folder.image("photo.odd", PHOTO, RGB, format="PNG")
    folder.file("text.jpg", "dear photograph", Refused("no image"))
    folder.file("page.html.png", "<html>404</html>", Refused("no image"))
    folder.file("paper.png", "%PDF-1.7\n1 0 obj <<>> endobj\n", Refused("no image"))
    folder.file("script.tif", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", Refused("EPS"))
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    folder.file("drawing.svg", svg, Refused("no image", left_out=True))
    folder.file("drawing.svg.png", svg, Refused("no image"))
    folder.file("notes.txt", "bought in May", Refused("no image", left_out=True))
    folder.file("empty-notes.txt", "", Refused("empty", left_out=True))
    folder.file("paper.pdf", "%PDF-1.7\n", Refused("no image", left_out=True))
    folder.file("film.mp4", bytes(4) + b"ftypisom" + bytes(90), Refused("it is a video", left_out=True))
    folder.file("film.mpg", b"\0\0\1\xb3" + bytes(90), Refused("it is a video", left_out=True))


def odd_names(folder: Folder) -> None:
    names = ["two words.png", "Größe-цвет-色.png", "-dash.png", "--out.png", "100%[1]*?;'$(x).png", "n" * 251 + ".png"]
    names += ["line\nend.png", "escape\x1b[31m.png", "surrogate-\udcff.png"] if os.name == "posix" else []
    for name in names:
        try:
            folder.image(name, PHOTO, RGB)
        except (OSError, ValueError):  # not every file system takes every name
            (folder.path / name[:9]).unlink(missing_ok=True)
    for name in ("line\nend.jpg", "surrogate-\udcff.jpg") if os.name == "posix" else ():
        folder.file(name, "no picture", Refused("no image"))
    folder.image("same.bmp", PHOTO, RGB)
    folder.image("same.bmp.png", AS_GREY, AS_GREY)
    folder.image("Same.BMP.png", RGB[::-1], RGB[::-1])
    folder.image("album.jpg/inside.png", PHOTO, RGB)


def no_files(folder: Folder) -> None:
    """Links, pipes and what may not be read."""
    outside = folder.path.parent / "outside"
    outside.mkdir()
    PHOTO.save(outside / "real.png")
    links = {
        "link.png": (outside / "real.png", Coloured(RGB)),
        "link-inside.png": ("two words.png", Coloured(RGB)),
        "broken-link.jpg": ("nowhere.jpg", Refused("found no file")),
        "loop.jpg": ("loop.jpg", Refused("found no file")),
        "device.jpg": ("/dev/zero", Refused("not a regular file")),
        "linked-album": (outside, None),
    }
    for name, (target, expected) in links.items():
        (folder.path / name).symlink_to(target)
        if expected:
            folder.expected[name] = expected
    folder.expected["linked-album/real.png"] = Coloured(RGB)
    os.mkfifo(folder.path / "pipe.jpg")
    folder.expected["pipe.jpg"] = Refused("not a regular file")
    if os.geteuid():  # root may read everything
        folder.image("secret.png", PHOTO, RGB)
        (folder.path / "secret.png").chmod(0)
        folder.expected["secret.png"] = Refused("Permission denied")


MAKERS: list[Callable[[Folder], None]] = [
    truncated, empty, bombs, cmyk, deep, palettes_and_alpha, lab_and_numbers, several_frames, turned, jpegs, profiles,
    sizes, other_formats, wrong_names, odd_names, *([no_files] if os.name == "posix" else []),
]  # fmt: skip


# --- the command over them -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """The folder, and what the command said of it."""

    folder: Folder
    out: Path
    before: dict[str, str]
    status: int
    said: list[str]
    failures: list[str]

    def output(self, name: str) -> Path:
        """By the content, not by the name: a JPEG becomes a JPEG, everything else a PNG."""
        renamed = {"same.bmp": "in-same.bmp.png", "same.bmp.png": "2-same.bmp.png"}
        with Image.open(self.folder.path / name) as image:
            endings = (".jpg", ".jpeg") if image.format in ("JPEG", "MPO") else (".png",)
        return self.out / renamed.get(name, name if name.lower().endswith(endings) else name + endings[0])


def colorize(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "colorlib", "colorize", str(folder), "--out", str(out), "--device", "cpu"]
    environment = {**os.environ, "TQDM_DISABLE": "1", "PYTHONUTF8": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment)


def state_of(folder: Path) -> dict[str, str]:
    """Every name below a folder with the hash of what it holds."""
    files = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return {os.fsdecode(path.relative_to(folder)): _hash(path) for path in files}


def _hash(path: Path) -> str:
    if path.is_symlink():
        return os.readlink(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else "unreadable"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("odd")
    folder, out = Folder(root / "in"), root / "out"
    folder.path.mkdir()
    for make in MAKERS:
        make(folder)
    before = state_of(root)
    done = colorize(folder.path, out)
    return Run(folder, out, before, done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


def wrong_with(picture: Image.Image, expected: Coloured) -> str:
    """What is not as expected of a picture that was written; empty if all is well."""
    height, width = expected.like.shape[:2]
    if picture.size != (width, height):
        return f"is {picture.size}, not {(width, height)}"
    if (picture.mode == "RGBA") != (expected.alpha is not None):
        return f"is {picture.mode}"
    if expected.alpha is not None and not np.array_equal(np.asarray(picture.getchannel("A")), expected.alpha):
        return "has another alpha"
    step = max(1, max(height, width) // 3000)
    got, true = (rgb2lab(np.asarray(rgb)[::step, ::step])[..., 0] for rgb in (picture.convert("RGB"), expected.like))
    error = np.abs(got - true).mean()
    return f"has a lightness that is {error:.1f} off" if error > expected.tolerance else ""


@pytest.mark.slow
def test_what_can_be_read_is_coloured_as_it_should_be(run: Run) -> None:
    wrong = {}
    coloured = {name: expected for name, expected in run.folder.expected.items() if isinstance(expected, Coloured)}
    for name, expected in coloured.items():
        if not run.output(name).is_file():
            wrong[name] = "has no output"
            continue
        with Image.open(run.output(name)) as picture:
            wrong[name] = wrong_with(picture, expected)
        if expected.note not in about(name, run.said):
            wrong[name] = f"has no note about {expected.note}"
    assert {name: why for name, why in wrong.items() if why} == {}
    assert len(run.folder.expected) > 100
    written = {path for path in run.out.rglob("*") if path.is_file()}
    assert written == {run.output(name) for name in coloured}


def about(name: str, lines: list[str]) -> str:
    """The line that names a file, empty if none does."""
    path = printable(f"{os.sep}in{os.sep}{name}")
    return next((line for line in lines if f"{path}:" in line or line.endswith(path)), "")


@pytest.mark.slow
def test_what_cannot_is_named_with_its_reason_in_one_line(run: Run) -> None:
    refused = {name: expected for name, expected in run.folder.expected.items() if isinstance(expected, Refused)}
    unsaid = {
        name: line
        for name, expected in refused.items()
        if expected.reason not in (line := about(name, run.said if expected.left_out else run.failures))
    }
    assert unsaid == {}
    failed = [name for name, expected in refused.items() if not expected.left_out]
    assert len(run.failures) == len(failed), "a line more or less than there are failures"
    assert all(line.startswith("colorlib: ") for line in run.failures)
    assert run.status == 1
    n = len(run.folder.expected) - len(refused)
    assert run.said[-1].startswith(f"{n} of {n + len(failed)} photographs are in ")


@pytest.mark.slow
def test_no_input_is_changed(run: Run) -> None:
    now = state_of(run.folder.path.parent)
    assert {name: content for name, content in now.items() if not name.startswith(f"out{os.sep}")} == run.before


@pytest.mark.slow
def test_a_second_run_keeps_what_is_finished(run: Run) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in run.out.rglob("*")}
    again = colorize(run.folder.path, run.out)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in run.out.rglob("*")} == before
    assert again.returncode == 1
    assert again.stderr.splitlines() == run.failures
    n = sum(isinstance(expected, Coloured) for expected in run.folder.expected.values())
    assert sum("already there" in line for line in again.stdout.splitlines()) == n
