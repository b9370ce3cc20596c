"""Right and wrong answers to the exercises of notebook 12, each wrong one with what its feedback says."""

import contextlib

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from colorlib.color import join_lab, rgb_to_lab, split_lab, to_float, to_uint8
from colorlib.errors import ColorlibError
from colorlib.figures import grey_image
from colorlib.inference import is_marked
from colorlib.metrics import ciede2000, psnr


def _joined(photograph, coloured, gamut="chroma", **options):
    L, _ = split_lab(to_float(photograph))
    _, ab = split_lab(to_float(coloured))
    options = {"mode": "bilinear", "align_corners": False} | options
    return to_uint8(join_lab(L, interpolate(ab, size=L.shape[-2:], **options), gamut=gamut))


def _joined_by_torch(photograph, coloured):
    resize = torch.nn.Upsample(size=photograph.shape[-2:], mode="bilinear")
    L, ab = rgb_to_lab(to_float(photograph))[:, :1], resize(rgb_to_lab(to_float(coloured))[:, 1:])
    return (join_lab(L / 50 - 1, ab / 110, gamut="chroma") * 255).round().byte()


def _enlarged(photograph, coloured):
    return to_uint8(interpolate(to_float(coloured), size=photograph.shape[-2:], mode="bilinear").clamp(0, 1))


def _swapped(photograph, coloured):
    L, _ = split_lab(to_float(photograph))
    _, ab = split_lab(to_float(coloured))
    return to_uint8(join_lab(L, interpolate(ab.flip(1), size=L.shape[-2:], mode="bilinear"), gamut="chroma"))


def _marked(folder):
    names = []
    for path in folder.iterdir():
        try:
            names += [path.name] * is_marked(path)
        except (ColorlibError, OSError):
            continue
    return sorted(names)


def _all_marked(folder):
    """Takes folders below it too, and stops at nothing."""
    names = []
    for path in folder.rglob("*"):
        with contextlib.suppress(ColorlibError):
            names += [path.name] * is_marked(path)
    return sorted(names)


def _any_description(folder):
    names = []
    for path in sorted(folder.iterdir()):
        try:
            with Image.open(path) as image:
                names += [path.name] * (0x010E in image.getexif())
        except OSError:
            pass
    return names


def _gain(coloured, truth):
    grey = grey_image(split_lab(to_float(truth))[0])
    return (ciede2000(grey, truth) - ciede2000(coloured, truth)).item()


def _mean_grey_gain(coloured, truth):
    grey = truth.float().mean(1, keepdim=True).round().byte().expand(-1, 3, -1, -1)
    return (ciede2000(grey, truth) - ciede2000(coloured, truth)).item()


def _ratio(coloured, truth):
    grey = grey_image(split_lab(to_float(truth))[0])
    return -(ciede2000(coloured, truth) / ciede2000(grey, truth)).item()


def _by(score):
    return lambda coloured, truth: sorted(truth, key=lambda name: score(coloured[name], truth[name]))


def _sheet(pictures, columns, cell, margin):
    rows = (len(pictures) + columns - 1) // columns
    size = columns * (cell + margin) + margin, rows * (cell + margin) + margin
    sheet = Image.new("RGB", size, "white")
    for number, picture in enumerate(pictures):
        x = margin + number % columns * (cell + margin) + (cell - picture.shape[1]) // 2
        y = margin + number // columns * (cell + margin) + (cell - picture.shape[0]) // 2
        sheet.paste(Image.fromarray(picture), (x, y))
    return np.array(sheet)


def _tiles(pictures, columns, cell, margin, *, down=False, corner=False, colour=255, floor=False, around=True):
    """A sheet as before, with one mistake."""
    rows = max(1, len(pictures) // columns if floor else -(-len(pictures) // columns))
    step, edge = cell + margin, margin if around else 0
    sheet = np.full((rows * step - margin + 2 * edge, columns * step - margin + 2 * edge, 3), colour, np.uint8)
    for number, picture in enumerate(pictures[: rows * columns]):
        row, column = divmod(number, rows)[::-1] if down else divmod(number, columns)
        height, width = picture.shape[:2]
        top, left = edge + row * step, edge + column * step
        if not corner:
            top, left = top + (cell - height) // 2, left + (cell - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet


RIGHT = [
    ("own_lightness", _joined),
    ("own_lightness", _joined_by_torch),
    ("marked_files", _marked),
    ("marked_files", lambda folder: tuple(_marked(folder))),
    ("worst_first", _by(_gain)),
    ("worst_first", lambda c, t: sorted(t, key=lambda name: -_gain(c[name], t[name]), reverse=True)),
    ("contact_sheet", _sheet),
    ("contact_sheet", _tiles),
]

WRONG = [
    # the other's lightness, nothing enlarged, clipped, nearest, corners aligned, a and b swapped, floats, grey
    ("own_lightness", _enlarged, "mean difference of L* to the photograph's: expected 0, got"),
    ("own_lightness", lambda p, c: c, "expected uint8 of shape (1, 3, 24, 36), got torch.uint8 of shape (1, 3, 4, 6)"),
    ("own_lightness", lambda p, c: _joined(p, c, "clip"), "mean difference of L* to the photograph's: expected 0, got"),
    (
        "own_lightness",
        lambda p, c: _joined(p, c, mode="nearest", align_corners=None),
        "mean difference of a*, b* (each up to 110) to the enlarged ones: expected 0, got",
    ),
    ("own_lightness", lambda p, c: _joined(p, c, align_corners=True), "to the enlarged ones: expected 0, got"),
    ("own_lightness", _swapped, "to the enlarged ones: expected 0, got"),
    (
        "own_lightness",
        lambda p, c: to_float(_joined(p, c)),
        "expected uint8 of shape (1, 3, 24, 36), got torch.float32",
    ),
    ("own_lightness", lambda p, c: p, "to the enlarged ones: expected 0, got"),
    ("own_lightness", lambda p, c: _joined(p, c).numpy(), "your picture: expected a tensor, got an array"),
    ("own_lightness", lambda p, c: join_lab(p, c), "expected <lambda> to return, got "),
    ("own_lightness", torch.zeros(1, 3, 24, 36), "expected a function of two pictures, got a tensor"),
    # by the ending, by the name, subfolders too, any description, errors, unsorted, paths
    (
        "marked_files",
        lambda f: sorted(p.name for p in f.iterdir() if p.suffix in (".jpg", ".png")),
        "expected ['A.JPEG', 'b.jpg', 'coast.png'], got",
    ),
    ("marked_files", lambda f: [p.name for p in f.glob("*color*")], "got ['colorized.jpg']"),
    ("marked_files", _all_marked, "got ['A.JPEG', 'b.jpg', 'coast.png', 'deep.png']"),
    ("marked_files", _any_description, "got ['A.JPEG', 'b.jpg', 'by_hand.jpg', 'coast.png']"),
    ("marked_files", lambda f: [p.name for p in f.iterdir() if is_marked(p)], "got DataError: cannot read"),
    ("marked_files", lambda f: _marked(f)[::-1], "got ['coast.png', 'b.jpg', 'A.JPEG']"),
    ("marked_files", lambda f: len(_marked(f)), "expected a list of names, got 3"),
    ("marked_files", ["b.jpg"], "expected a function of a folder, got"),
    # the best first, by error, by the ratio, by PSNR, grey as the mean of the channels, as given, gains, a part
    ("worst_first", lambda c, t: _by(_gain)(c, t)[::-1], "expected ['iris', 'leaf', 'shell', 'lime', 'lake'], got"),
    ("worst_first", _by(lambda c, t: -ciede2000(c, t).item()), "got ['iris', 'leaf', 'lime', 'shell', 'lake']"),
    ("worst_first", _by(_ratio), "got ['iris', 'shell', 'leaf', 'lime', 'lake']"),
    ("worst_first", _by(lambda c, t: psnr(c, t).item()), "got ['lime', 'iris', 'leaf', 'lake', 'shell']"),
    ("worst_first", _by(_mean_grey_gain), "got ['iris', 'shell', 'leaf', 'lake', 'lime']"),
    ("worst_first", lambda c, t: list(t), "got ['iris', 'lake', 'leaf', 'lime', 'shell']"),
    ("worst_first", lambda c, t: sorted(_gain(c[n], t[n]) for n in t), "expected the names iris, lake"),
    ("worst_first", lambda c, t: _by(_gain)(c, t)[:1], "each once, got ['iris']"),
    ("worst_first", lambda c, t: "leaf", "expected a list of names, got 'leaf'"),
    ("worst_first", "leaf", "expected a function of two dictionaries, got 'leaf'"),
    # column by column, in the corner, on black, last row lost, no margin around, floats, a PIL image
    (
        "contact_sheet",
        lambda *a: _tiles(*a, down=True),
        "for five pictures in three columns, cell 10, margin 2: expected",
    ),
    ("contact_sheet", lambda *a: _tiles(*a, corner=True), "cell 10, margin 2: expected"),
    ("contact_sheet", lambda *a: _tiles(*a, colour=0), "expected 255 at (0, 0, 0), got 0"),
    ("contact_sheet", lambda *a: _tiles(*a, floor=True), "expected the shape (26, 38, 3), got (14, 38, 3)"),
    ("contact_sheet", lambda *a: _tiles(*a, around=False), "expected the shape (26, 38, 3), got (22, 34, 3)"),
    ("contact_sheet", lambda p, *a: _tiles(p[::-1], *a), "cell 10, margin 2: expected"),
    ("contact_sheet", lambda *a: _sheet(*a).astype(float), "expected uint8, got float64"),
    ("contact_sheet", lambda *a: Image.fromarray(_sheet(*a)), "expected an array, got"),
    ("contact_sheet", np.zeros((26, 38, 3), np.uint8), "expected a function, got an array"),
]
