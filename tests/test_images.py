"""Images of every odd kind are read as upright 8-bit sRGB, and every broken one is refused in one line."""

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, features

from colorlib import color
from colorlib.errors import DataError
from colorlib.files import picture_suffixes, why_not_read
from colorlib.images import MAX_PIXELS, open_header, read_image

HEIGHT, WIDTH = 19, 26
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def rgb():
    """A smooth image whose corners all differ, so that no rotation or reflection maps it to itself."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    return (np.stack([x, y, 0.2 + 0.6 * (1 - x) * y], axis=-1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def grey(rgb):
    return rgb[..., 0]


def write(folder: Path, name: str, array, mode=None, **options) -> Path:
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image = image if mode is None else image.convert(mode)
    path = folder / name
    image.save(path, **options)
    return path


def as_grey_rgb(grey):
    return np.repeat(grey[..., None], 3, axis=2)


# --- modes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.ppm", "a.tga"])
def test_lossless_rgb_is_read_exactly(tmp_path, rgb, name):
    read = read_image(write(tmp_path, name, rgb))
    assert np.array_equal(read.rgb, rgb)
    assert read.alpha is None and read.notes == () and read.mode == "RGB"


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif", "a.jp2"])
def test_lossy_formats(tmp_path, rgb, name):
    needs = {"a.avif": "avif", "a.webp": "webp", "a.jp2": "jpg_2000", "a.jpg": "jpg"}[name]
    if not features.check(needs):
        pytest.skip(f"this Pillow has no {needs}")
    read = read_image(write(tmp_path, name, rgb, quality=95))
    assert np.abs(read.rgb.astype(int) - rgb).mean() < 4


def test_alpha_is_kept(tmp_path, rgb, grey):
    alpha = 255 - grey
    for image, expected in (
        (np.dstack([rgb, alpha]), rgb),
        (Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), as_grey_rgb(grey)),
    ):
        read = read_image(write(tmp_path, "a.png", image))
        assert np.array_equal(read.rgb, expected) and np.array_equal(read.alpha, alpha)


def test_palettes_with_and_without_transparency(tmp_path):
    indices = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 4
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]], dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    plain = read_image(write(tmp_path, "a.png", image))
    assert plain.mode == "P" and plain.alpha is None and np.array_equal(plain.rgb, colours[indices])
    one = read_image(write(tmp_path, "b.gif", image, transparency=2))
    assert np.array_equal(one.alpha == 0, indices == 2) and np.array_equal(one.rgb, colours[indices])
    levels = bytes([255, 128, 0, 7])
    several = read_image(write(tmp_path, "c.png", image, transparency=levels))
    assert np.array_equal(several.alpha, np.frombuffer(levels, np.uint8)[indices])


def test_one_bit(tmp_path, grey):
    read = read_image(write(tmp_path, "a.png", (grey > 99) * np.uint8(255), mode="1"))
    assert read.mode == "1" and np.array_equal(read.rgb, as_grey_rgb((grey > 99) * np.uint8(255)))


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path, rgb, name):
    read = read_image(write(tmp_path, name, rgb, mode="CMYK"))
    assert read.mode == "CMYK" and np.abs(read.rgb.astype(int) - rgb).mean() < 4


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_rounded_to_8(tmp_path, name):
    values = np.linspace(0, 65535, HEIGHT * WIDTH).round().astype(np.uint16).reshape(HEIGHT, WIDTH)
    if name == "a.pgm":  # Pillow reads this format, but older versions cannot write it
        (tmp_path / name).write_bytes(f"P5 {WIDTH} {HEIGHT} 65535\n".encode() + values.astype(">u2").tobytes())
    else:
        write(tmp_path, name, values)
    read = read_image(tmp_path / name)
    assert np.array_equal(read.rgb, as_grey_rgb(np.round(values / 257).astype(np.uint8)))


@pytest.mark.parametrize(("top", "dtype"), [(1, np.float32), (255, np.float32), (65535, np.float32), (65535, np.int32)])
def test_float_and_32_bit_tiffs_are_scaled_by_their_range(tmp_path, grey, top, dtype):
    values = (grey / np.float64(255) * top).astype(dtype)
    read = read_image(write(tmp_path, "a.tif", values))
    assert np.abs(read.rgb.astype(int) - as_grey_rgb(grey)).max() <= 1
    assert f"to {top:g} (white)" in read.notes[0]


def test_an_unusual_float_range_is_stretched_and_nan_is_black(tmp_path):
    values = np.array([[-1.0, 0.0], [3.0, np.nan]], dtype=np.float32)
    read = read_image(write(tmp_path, "a.tif", values))
    assert read.rgb[..., 0].tolist() == [[0, 64], [255, 64]]
    flat = read_image(write(tmp_path, "b.tif", np.full((2, 2), -5.0, dtype=np.float32)))
    assert flat.rgb.max() == 0


def test_lab_tiff(tmp_path, rgb):
    lab = ImageCms.profileToProfile(
        Image.fromarray(rgb), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    read = read_image(write(tmp_path, "a.tif", lab))
    assert read.mode == "LAB" and np.abs(read.rgb.astype(int) - rgb).mean() < 3


def test_grey_jpeg(tmp_path, grey):
    read = read_image(write(tmp_path, "a.jpg", grey, quality=95))
    assert read.mode == "L" and np.abs(read.rgb.astype(int) - as_grey_rgb(grey)).max() < 8


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp"])
def test_the_first_of_several_frames_is_read_with_a_note(tmp_path, name):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue", "white")]
    path = tmp_path / name
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    read = read_image(path)
    assert read.rgb[3, 4].tolist() == [255, 0, 0] and read.rgb.shape == (HEIGHT, WIDTH, 3)
    assert "only the first" in read.notes[0]


def test_one_pixel(tmp_path):
    read = read_image(write(tmp_path, "a.png", np.full((1, 1, 3), 7, np.uint8)))
    assert read.rgb.tolist() == [[[7, 7, 7]]]


# --- previews and photographs of kinds that are not read -------------------------------------------------------------


def ifd(entries: dict[int, tuple[int, int]], offset: int) -> bytes:
    """A TIFF directory that starts at `offset`. Each tag has a type (3 is short, 4 is long) and one value."""
    content = struct.pack("<H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        content += struct.pack("<HHII", tag, kind, 1, value)
    return content + bytes(4)


def tiff(first: dict[int, tuple[int, int]], sub: dict[int, tuple[int, int]] | None = None, magic: bytes = b"") -> bytes:
    """A grey TIFF of 6 x 4 pixels. `first` are further tags of its first directory, and `sub` is a subdirectory."""
    start = 8 + len(magic)
    tags = {256: (4, 6), 257: (4, 4), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 0), 277: (3, 1), 278: (4, 4)}
    tags |= {279: (4, 24), **first}
    if sub is not None:
        tags[330] = (4, start + len(ifd(tags, 0)) + 12)
    below = start + len(ifd(tags, 0))
    after = below + (len(ifd(sub, 0)) if sub is not None else 0)
    tags[273] = (4, after)
    content = b"II*\0" + struct.pack("<I", start) + magic + ifd(tags, start)
    return content + (ifd(sub, below) if sub is not None else b"") + bytes(range(24))


CAMERA = {256: (4, 6000), 257: (4, 4000), 262: (3, 32803)}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tiff({254: (4, 1)}), "a TIFF whose first image is a preview"),
        (tiff({254: (4, 1)}, CAMERA), "a TIFF whose first image is a preview"),
        (tiff({}, CAMERA), "a TIFF whose first image is a preview"),
        (tiff({50706: (4, 1025)}, CAMERA), "a camera RAW"),
        (tiff({}, magic=b"CR\2\0"), "a camera RAW"),
    ],
    ids=["NewSubfileType", "NEF", "larger below", "DNG", "CR2"],
)
def test_a_preview_is_refused(tmp_path, content, kind):
    (tmp_path / "a.tif").write_bytes(content)
    for source in (tmp_path / "a.tif", content, Image.open(tmp_path / "a.tif")):
        with pytest.raises(DataError, match=f"it is {kind}, and its preview of 6 x 4 pixels is all that can be read"):
            read_image(source)


@pytest.mark.parametrize("suffix", [".dng", ".NEF", ".cr2", ".arw"])
def test_a_camera_raw_is_also_recognised_by_its_suffix(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(tiff({}))
    with pytest.raises(DataError, match=r"a camera RAW, and its preview of 6 x 4 .*export it as TIFF or JPEG"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    "content",
    [
        tiff({}),
        tiff({254: (4, 2)}),  # a page of several
        tiff({}, {254: (4, 1), 256: (4, 3), 257: (4, 2)}),  # a smaller version in a subdirectory, as in pyramids
        tiff({330: (4, 10**6)}),  # the subdirectory would begin behind the end of the file
    ],
    ids=["plain", "page", "pyramid", "damaged"],
)
def test_other_tiffs_are_read(content):
    assert read_image(content).rgb[..., 0].ravel().tolist() == list(range(24))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.heic",
            b"\0\0\0\x24ftypheic" + bytes(40),
            "HEIC is (damaged|not read; save it as JPEG, or pip install pillow-heif)",
        ),
        ("a.jpg", b"\0\0\0\x24ftypmif1" + bytes(40), "HEIC is"),  # HEIC of a phone with another suffix
        ("a.jxl", b"\xff\x0a" + bytes(40), "JPEG XL is not read; save it as PNG or JPEG"),
        ("a.png", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL is not read"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201" + bytes(40), "camera RAW is not read; export it as TIFF or JPEG"),
        ("a.cr3", b"\0\0\0\x18ftypcrx " + bytes(40), "camera RAW is not read"),
        ("a.nef", b"unknown" + bytes(40), "camera RAW is not read"),
        ("a.mov", b"\0\0\0\x14ftypqt  " + bytes(40), "it is a video"),
        ("a.jpg", b"dear photograph", "it is no image"),
    ],
)
def test_kinds_that_are_not_read_are_named_with_what_to_do(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_image(tmp_path / name)
    if said.startswith(("HEIC", "JPEG XL")):
        with pytest.raises(DataError, match=said):
            read_image(content)


# --- orientation ---------------------------------------------------------------------------------------------

# The upright image of a stored array for each EXIF orientation: EXIF 2.32, 4.6.4 A (row 0, column 0 of the image).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, rgb, orientation, name):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    read = read_image(write(tmp_path, name, rgb, exif=exif, quality=95))
    expected = UPRIGHT[orientation](rgb)
    assert read.rgb.shape == expected.shape
    assert np.abs(read.rgb.astype(int) - expected).mean() < 5


def test_damaged_exif_is_a_note_not_an_error(tmp_path, rgb):
    read = read_image(write(tmp_path, "a.png", rgb, exif=b"Exif\x00\x00XX*\x00 not a directory"))
    assert np.array_equal(read.rgb, rgb)
    assert "EXIF" in read.notes[0]


def test_a_pil_image_is_read_upright_and_not_changed(rgb):
    image = Image.fromarray(rgb)
    image.getexif()[ORIENTATION] = 6
    read = read_image(image)
    assert np.array_equal(read.rgb, UPRIGHT[6](rgb)) and read.format is None
    assert image.size == (WIDTH, HEIGHT) and image.getexif()[ORIENTATION] == 6


# --- profiles ------------------------------------------------------------------------------------------------


def s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(space: str, primaries: dict[str, tuple[float, ...]], curves: list[str]) -> bytes:
    """A minimal ICC profile, version 2.1, for linear light: its curves have a gamma of one."""
    tags = {
        "desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"mine\0" + bytes(78),
        "cprt": b"text" + bytes(4) + b"-\0",
    }
    tags["wtpt"] = b"XYZ " + bytes(4) + s15(0.9642, 1.0, 0.8249)
    tags |= {name: b"XYZ " + bytes(4) + s15(*xyz) for name, xyz in primaries.items()}
    tags |= dict.fromkeys(curves, b"curv" + bytes(4) + struct.pack(">IH", 1, 256))
    table, data, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name.encode() + struct.pack(">II", offset + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", offset + len(data), b"lcms", 0x02100000, b"mntr", space.encode(), b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return header + bytes(128 - len(header)) + table + data


# The primaries of sRGB, adapted to D50, the white point of ICC profiles (IEC 61966-2-1 with Bradford).
SRGB_PRIMARIES = {
    "rXYZ": (0.4360, 0.2225, 0.0139),
    "gXYZ": (0.3851, 0.7169, 0.0971),
    "bXYZ": (0.1431, 0.0606, 0.7139),
}


def encode(linear):
    image = torch.from_numpy(linear / 255.0).movedim(-1, 0)
    return color.to_uint8(color.linear_to_srgb(image)).movedim(0, -1).numpy().astype(int)


def test_an_rgb_profile_is_applied_in_every_mode(tmp_path, rgb, grey):
    linear = profile("RGB ", SRGB_PRIMARIES, ["rTRC", "gTRC", "bTRC"])
    for name, image, expected in (
        ("a.png", rgb, rgb),
        ("b.tif", rgb, rgb),
        ("c.png", np.dstack([rgb, grey]), rgb),
        ("d.png", grey, as_grey_rgb(grey)),
    ):
        read = read_image(write(tmp_path, name, image, icc_profile=linear))
        assert np.abs(read.rgb - encode(expected)).mean() < 1.5, name
        assert read.notes == ()


def test_primaries_of_a_profile_are_converted(tmp_path, rgb):
    swapped = {**SRGB_PRIMARIES, "rXYZ": SRGB_PRIMARIES["bXYZ"], "bXYZ": SRGB_PRIMARIES["rXYZ"]}
    data = profile("RGB ", swapped, ["rTRC", "gTRC", "bTRC"])
    read = read_image(write(tmp_path, "a.png", rgb, icc_profile=data))
    assert np.abs(read.rgb - encode(rgb[..., ::-1])).mean() < 1.5


def test_grey_profile(tmp_path, grey):
    data = profile("GRAY", {}, ["kTRC"])
    alpha = Image.merge("LA", [Image.fromarray(grey)] * 2)
    for image in (grey, alpha):
        read = read_image(write(tmp_path, "a.png", image, icc_profile=data))
        assert np.abs(read.rgb - encode(as_grey_rgb(grey))).mean() < 1.5
        assert read.notes == ()


def test_srgb_profile_changes_nothing(tmp_path, rgb):
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read_image(write(tmp_path, "a.png", rgb, icc_profile=data)).rgb, rgb)


def test_broken_and_foreign_profiles_are_ignored_with_a_note(tmp_path, rgb):
    broken = read_image(write(tmp_path, "a.png", rgb, icc_profile=b"no profile at all"))
    assert np.array_equal(broken.rgb, rgb) and "damaged" in broken.notes[0]
    foreign = read_image(write(tmp_path, "b.png", rgb, icc_profile=profile("GRAY", {}, ["kTRC"])))
    assert np.array_equal(foreign.rgb, rgb) and "GRAY" in foreign.notes[0]


# --- what is refused -----------------------------------------------------------------------------------------


def png_header(width, height):
    """A PNG that consists of a header only, without pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [11_600, 60_000])
def test_bomb_is_refused_from_its_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(DataError, match=r"megapixels, over the limit of 134\.2; .*--max-pixels " + str(side * side)):
        read_image(path)


@pytest.mark.filterwarnings("error")
def test_limit_can_be_lowered_and_raised(tmp_path, rgb):
    path = write(tmp_path, "a.png", rgb)
    pixels = HEIGHT * WIDTH
    assert read_image(path, max_pixels=pixels).rgb.shape == rgb.shape
    for image in (path, rgb, Image.fromarray(rgb)):
        with pytest.raises(DataError, match="26 x 19"):
            read_image(image, max_pixels=pixels - 1)
    huge = tmp_path / "huge.png"
    huge.write_bytes(png_header(2**14, 2**14))
    with pytest.raises(DataError, match="cannot read"):  # the size is allowed, but the file has no pixels
        read_image(huge, max_pixels=2**28)


def test_pillows_own_limit_is_restored(tmp_path, rgb):
    path, bad = write(tmp_path, "a.png", rgb), tmp_path / "b.png"
    bad.write_text("text")
    before = Image.MAX_IMAGE_PIXELS

    def read_both():
        for _ in range(20):
            open_header(path).close()
            with pytest.raises(DataError):
                open_header(bad)

    threads = [threading.Thread(target=read_both) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS and before is not None


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp"])
def test_truncated_files(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = write(tmp_path, name, noise)
    content = path.read_bytes()
    for length in (10, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=name) as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "text.jpg").write_text("dear photograph")
    with pytest.raises(DataError, match="no image in a format"):
        read_image(tmp_path / "text.jpg")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(DataError, match="empty"):
        read_image(str(tmp_path / "empty.jpg"))
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match="EPS"):
        read_image(tmp_path / "a.eps")
    with pytest.raises(DataError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        read_image(tmp_path / "nothing.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")


def test_zero_width(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(0, 5))
    with pytest.raises(DataError):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="0 x 5"):
        read_image(Image.new("RGB", (0, 5)))


# --- arrays --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_arrays(rgb, grey, dtype, channels):
    full = {0: grey, 1: grey[..., None], 3: rgb, 4: np.dstack([rgb, grey])}[channels]
    scale = {np.uint8: 1, np.uint16: 257}.get(dtype, 1 / 255)
    array = (full * np.float64(scale)).astype(dtype)
    read = read_image(array)
    assert np.array_equal(read.rgb, as_grey_rgb(grey) if channels < 2 else rgb)
    assert (read.alpha is not None) == (channels == 4) and (read.alpha is None or np.array_equal(read.alpha, grey))
    assert not np.shares_memory(read.rgb, array)


def test_bool_array(grey):
    assert np.array_equal(read_image(grey > 99).rgb, as_grey_rgb((grey > 99) * np.uint8(255)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 2)), "shape"),
        (np.zeros(5), "shape"),
        (np.zeros((0, 5, 3)), "shape"),
        (np.zeros((2, 3, 4, 3)), "shape"),
        (np.zeros((3, 4), dtype=np.int64), "int64"),
        (np.full((3, 4), 128.0), "dividing by 255"),
        (np.full((3, 4), -0.5), "0..1"),
        (np.full((3, 4), np.nan), "0..1"),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(ValueError, match=message):
        read_image(array)


# --- folders and messages ------------------------------------------------------------------------------------


def test_the_bytes_of_a_file_are_read_like_the_file(tmp_path, rgb):
    path = tmp_path / "a.jpg"
    Image.fromarray(rgb).save(path, quality=95)
    from_bytes, from_file = read_image(path.read_bytes()), read_image(path)
    assert np.array_equal(from_bytes.rgb, from_file.rgb) and from_bytes.format == "JPEG"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot read the file: it is empty"), (b"hello", "cannot read the file: it is no image in a format")],
)
def test_bytes_that_are_no_image(content, message):
    with pytest.raises(DataError, match=message):
        read_image(content)


def test_a_video_is_named_as_one(tmp_path):
    (tmp_path / "film.MP4").write_bytes(bytes(4) + b"ftypisom" + bytes(50))
    with pytest.raises(DataError, match=r"film\.MP4: it is a video; only photographs"):
        read_image(tmp_path / "film.MP4")


def test_the_default_limit_allows_a_phones_photograph():
    assert MAX_PIXELS > 12032 * 9024


# --- what else is accepted -----------------------------------------------------------------------------------


@pytest.fixture
def without_type_checks():
    """Switch off jaxtyping's checks, which users do not have, to test the package's own error messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_tensors(rgb, grey):
    image = torch.from_numpy(rgb).permute(2, 0, 1)
    for tensor in (image, image[None], image / 255, (image / 255).requires_grad_(), (image / 255).double()):
        assert np.array_equal(read_image(tensor).rgb, rgb)
    assert np.abs(read_image((image / 255).bfloat16()).rgb.astype(int) - rgb).max() <= 1
    assert np.array_equal(read_image(torch.from_numpy(grey)[None]).rgb, as_grey_rgb(grey))
    assert np.array_equal(read_image(torch.cat([image, image[:1]])).alpha, rgb[..., 0])


def test_file_objects(tmp_path, rgb):
    path = write(tmp_path, "a.png", rgb)
    with open(path, "rb") as file:
        assert np.array_equal(read_image(file).rgb, rgb)
    assert np.array_equal(read_image(io.BytesIO(path.read_bytes())).rgb, rgb)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        ([1, 2], "got list"),
        (io.StringIO("text"), "mode 'rb'"),
        (torch.zeros(2, 3, 4, 4), "one image"),
        (torch.zeros(4, 4), "one image"),
        (torch.zeros(5, 4, 3), "one image"),
        (torch.full((3, 4, 4), 200.0), "dividing by 255"),
    ],
    ids=["None", "number", "list", "text", "batch", "plane", "channels last", "0..255"],
)
def test_other_types_and_shapes_are_named(wrong, said, without_type_checks):
    with pytest.raises(ValueError, match=said):
        read_image(wrong)


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path, rgb):
    pytest.importorskip("pillow_heif")
    assert ".heic" in picture_suffixes() and why_not_read(".heic") is None
    path = write(tmp_path, "a.heic", Image.fromarray(rgb).resize((128, 96), Image.Resampling.BICUBIC), quality=95)
    read = read_image(path)
    assert read.format == "HEIF" and read.rgb.shape == (96, 128, 3)
    assert np.abs(read.rgb.astype(int) - np.asarray(Image.fromarray(rgb).resize((128, 96), 3))).mean() < 4
