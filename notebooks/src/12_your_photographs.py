# %% [markdown] tags=["title"]
# # 12. Colorize your photographs
#
# {{badges}}
#
# At the end you will have your own photographs in colour, at full size, prepared if they are old,
# and marked as what they are: a guess.

# %% [markdown]
# **You will learn**
#
# - to colour a photograph of any size and keep its detail, and how much is lost otherwise;
# - what a colorizer does with scans, 16 bits, CMYK, transparency and damaged files;
# - what is different about old photographs, what helps, and what does not;
# - how to say that the colours are a guess, in the file and beside it;
# - to find where a model fails, to export it, and to colour a whole album.
#
# **You need** [Colour](01_colour.ipynb): Lab, gamut, CIEDE2000. [Start here](00_start_here.ipynb)
# shows the first photographs in colour; this notebook goes on from there.
#
# **Time**: quick mode about 60 s on two CPU cores; full mode: not measured.

# %% tags=["setup"]
# {{setup}}

# %% tags=["config"]
from colorlib.course import configure

config = configure(seed=0)  # mode="quick" or mode="full" overrides what the machine suggests

# %% tags=["imports"]
import functools
import importlib.util
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from scipy.ndimage import median_filter
from skimage import data
from torch.nn.functional import avg_pool2d, interpolate

from colorlib import Colorizer, evaluate
from colorlib.color import (
    AB_SCALE,
    join_lab,
    reduce_chroma,
    rgb_to_lab,
    split_lab,
    to_float,
    to_uint8,
)
from colorlib.course import Panel, assert_same_function, choice, old_photographs, show_source
from colorlib.course.exercises import notebook_12 as exercises
from colorlib.course.studio import Studio
from colorlib.course.widgets import positions
from colorlib.errors import ColorlibError
from colorlib.cli.export import PACKAGES, export_onnx
from colorlib.figures import grey_image, image_grid, show, to_numpy
from colorlib.inference import MARK, is_marked, network_size, save_marked
from colorlib.metrics import ciede2000, delta_e_2000, psnr
from colorlib.upsampling import guided_slope

# %% [markdown]
# ## The studio
#
# `Colorizer.load()` opens the weights that ship with the course. The panel below colours with them:
#
# - **Photograph** uploads one from your computer. Jupyter loses a file of more than about 9 MB on
#   its way; copy such a file to this machine and type its **path** instead.
# - **% before** moves the line between the photograph as it was and the result.
# - **strength** scales the colours: 0 is grey, 1 is what the network says.
# - **Save** colours the photograph at its own size and writes it, with a mark, to a new file.
#
# The text above the picture gives the mean **chroma** of what you see: how far it is from grey, in
# units of Lab.
#
# **Predict first**: the photograph below is shown half in grey. If you halve the strength, does
# the mean chroma become a half? And if you move the line to the left end?

# %%
colorizer = Colorizer.load(device="cpu")
assert colorizer.recipe.size == 96, "the network sees 96 pixels on the shorter side"
cat = Image.fromarray(data.chelsea()).resize((300, 200), Image.Resampling.LANCZOS)
studio = Studio(colorizer, config.out / "12_coloured", cat.convert("L"), "cat")
studio

# %% [markdown]
# GitHub and printed pages show a picture in place of the panel. In a notebook you can move it.
# The next cell does: it sets each control to its ends and reads the text.


# %%
def chroma_shown():
    """The number in the studio's text."""
    return float(studio.text.value.split("<br>")[0].rpartition(" ")[2])


read = {}
for name, control in studio.controls.items():
    start = control.value
    for value in positions(control):
        control.value = value
        read[name, value] = chroma_shown()
        print(f"{name} {value:>5}: mean chroma {read[name, value]:.1f}")
    control.value = start
assert read["strength", 0.0] < 0.5 < read["strength", 1.0], "expected grey at strength 0"
assert read["split", 100] < 0.5 and read["split", 0] > 1.2 * read["split", 50], "the line matters"
studio.controls["strength"].value = 0.5
half = chroma_shown()
studio.controls["strength"].value = 1.0

# %% tags=["check"]
assert 0.45 < half / read["strength", 1.0] < 0.6, "expected half the chroma at half strength"

# %% [markdown]
# Chroma is proportional to the strength, and what lies left of the line counts as 0.
#
# What an upload does is a method too, so you can give it bytes: first a photograph, then a text
# file that somebody called `.jpg`. For that one the studio says what is wrong and keeps the last
# photograph. Then `Save`, twice: no file is overwritten.

# %%
camera = io.BytesIO()
Image.fromarray(data.camera()).save(camera, format="JPEG")
studio.open_photograph("camera.jpg", camera.getvalue())
print(studio.text.value.split(";")[0])
assert "512 x 512" in studio.text.value, "expected the photograph's own size"

studio.open_photograph("notes.jpg", b"my shopping list")
print(studio.text.value)
assert "no image" in studio.text.value and studio.name == "camera.jpg", "the last one stays"

saved = []
for _ in range(2):
    studio.save_button.click()
    saved.append(studio.saved)
assert len(set(saved)) == 2 and all(map(is_marked, saved)), "expected two files with a mark"
with Image.open(saved[0]) as image:
    print(f"saved at {image.width} x {image.height}, mode {image.mode}, marked")
    assert image.size == (512, 512), "expected the photograph's own size"

# %% [markdown]
# ## Every detail stays
#
# The network sees a photograph at 96 pixels on its shorter side. Much published code shrinks the
# photograph to the size of the network, colours it, and enlarges the *result*. Then the detail is
# gone. Measure it on the lightness, on a photograph full of fins and bolts.


# %%
def tensor(picture):
    """A picture as colorlib has its images: uint8, (1, 3, height, width)."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


def lightness(images):
    """L*, 0 (black) to 100 (white)."""
    return rgb_to_lab(to_float(images))[:, :1]


def change_of_lightness(result, photograph):
    """Mean and 99th percentile of |L out - L in| over all pixels."""
    change = (lightness(result) - lightness(photograph)).abs()
    return change.mean().item(), change.quantile(0.99).item()


motorcycle = Image.fromarray(data.stereo_motorcycle()[0])  # 741 x 500
photo = tensor(motorcycle)
squeezed = motorcycle.resize((256, 256), Image.Resampling.BICUBIC)
naive = tensor(colorizer.colorize(squeezed).resize(motorcycle.size, Image.Resampling.BICUBIC))
naive_mean, naive_worst = change_of_lightness(naive, photo)
print(f"to 256 x 256 and back: L* changes by {naive_mean:.1f}, 99th percentile {naive_worst:.0f}")

# %% tags=["check"]
assert naive_mean > 1.5 and naive_worst > 10, "expected the detail to be lost"

# %% [markdown]
# Of a hundred pixels, one is off by more than ten units of lightness: fine detail. The cure costs
# one line. The photograph *has* its lightness, at every pixel. Take only the chroma from the
# network, enlarge that, and join:
#
# $$\text{result}(x) = \text{Lab}\big(L(x),\ a_\uparrow(x),\ b_\uparrow(x)\big)$$
#
# where the arrow stands for enlarging. Colours that sRGB cannot show at this lightness lose
# chroma, not lightness (`gamut="chroma"`, from notebook 01).

# %%
L, true_ab = split_lab(to_float(photo))
seen = network_size(*photo.shape[-2:], colorizer.recipe.size)
small = motorcycle.resize(seen[::-1], Image.Resampling.BICUBIC)
small_L = split_lab(to_float(tensor(small)))[0]
small_ab = colorizer.predict(small_L)
enlarged_ab = interpolate(small_ab, size=L.shape[-2:], mode="bilinear", align_corners=False)
mine = to_uint8(join_lab(L, enlarged_ab, gamut="chroma"))
library = tensor(colorizer.colorize(motorcycle))

for name, result in {"my join": mine, "the library": library}.items():
    mean, worst = change_of_lightness(result, photo)
    print(f"{name:<12} L* changes by {mean:.2f}, 99th percentile {worst:.2f}")
    assert mean < 0.2 and worst < 1, "expected the photograph's own lightness"

# %%
engine = (..., slice(210, 300), slice(310, 400))
versions = {"to 256 and back": naive, "own lightness": library, "truth": photo}
show(
    image_grid({name: images[engine] // 8 * 8 for name, images in versions.items()}, cell=1.8),
    alt="The engine of a motorcycle, three times. Shrunk and enlarged it is blurred; with its "
    "own lightness it is as sharp as the true photograph.",
)

# %% [markdown]
# What is left, about a tenth of a unit, is the rounding to 8 bits. The network's few pixels are
# enough for the colours, because eyes see colour far less sharply than lightness. Television and
# JPEG have lived on that for decades.

# %% [markdown]
# ## Chroma along the edges
#
# Enlarged bilinearly, chroma bleeds over edges. But the photograph's lightness *knows* where the
# edges are. The **guided filter** (He, Sun and Tang 2013) uses it. In each small window around a
# pixel, fit chroma as a linear function of lightness:
#
# $$ab \approx s\, L + t, \qquad s = \frac{\mathrm{cov}(L, ab)}{\mathrm{var}(L) + \varepsilon}$$
#
# (their equation 5). In flat regions $s \approx 0$ and little happens; across an edge chroma
# follows lightness. Fit at the small size, enlarge the maps $s$ and $ab - sL$, and apply them to
# the photograph's own $L$ (the *fast* guided filter, He and Sun 2015). Build $s$, with windows of
# 3 by 3 pixels that are cut at the border, averaged over all windows that hold the pixel.


# %%
def window_mean(values):
    """The mean over 3 x 3 pixels; at the border, over those that exist."""
    return avg_pool2d(values, 3, 1, 1) / avg_pool2d(torch.ones_like(values), 3, 1, 1)


def slope(L, ab, eps=4e-3):
    """How chroma changes with lightness around each pixel, for network-scaled L and ab."""
    covariance = window_mean(L * ab) - window_mean(L) * window_mean(ab)
    variance = window_mean(L * L) - window_mean(L) ** 2
    return window_mean(covariance / (variance + eps))


def along_edges(small_L, small_ab, L):
    """Chroma at the size of L, with the edges of L."""
    s = slope(small_L, small_ab)
    maps = torch.cat([s, small_ab - s * small_L], dim=1)
    s, rest = interpolate(maps, size=L.shape[-2:], mode="bilinear", align_corners=False).chunk(2, 1)
    return s * L + rest


assert_same_function(slope, guided_slope, small_L, small_ab)
edge_aware_ab = along_edges(small_L, small_ab, L)
mine = to_uint8(join_lab(L, edge_aware_ab, gamut="chroma"))
apart = (mine.float() - library.float()).abs().mean().item()
print(f"my slope equals the library's; results {apart:.2f} of 255 levels apart")

# %% tags=["check"]
assert apart < 0.5, "expected the library's result, but for its tables and rounding"

# %% [markdown]
# From here on the library's is used: `Colorizer.colorize` does this in bands of rows, so that a
# photograph of 100 megapixels needs little memory.

# %%
show_source(guided_slope)

# %% [markdown]
# Does it help? To see the enlarging alone, leave the network out: shrink the *true* chroma to 128
# pixels, enlarge it both ways, and compare with the truth. **At edges** means the 5 % of pixels
# at which the true chroma changes most.

# %%
photographs = {
    "astronaut": data.astronaut(),
    "cat": data.chelsea(),
    "cup": data.coffee(),
    "motorcycle": data.stereo_motorcycle()[0],
    "rocket": data.rocket(),
}


def shrink(photograph, side):
    """L and ab of a photograph at `side` pixels on its shorter side."""
    size = network_size(*photograph.shape[:2], side)[::-1]
    small = Image.fromarray(photograph).resize(size, Image.Resampling.BICUBIC)
    return split_lab(to_float(tensor(small)))


@functools.cache
def both_ways(name, side):
    """Lab chroma errors, (h, w) each, of true chroma that went through `side` pixels; and edges."""
    L, ab = split_lab(to_float(tensor(photographs[name])))
    small_L, small_ab = shrink(photographs[name], side)
    bilinear = interpolate(small_ab, size=L.shape[-2:], mode="bilinear", align_corners=False)
    ways = {"bilinear": bilinear, "along the edges": along_edges(small_L, small_ab, L)}
    errors = {way: AB_SCALE * (found - ab).norm(dim=1)[0] for way, found in ways.items()}
    steps = [ab.diff(dim=2)[..., :-1], ab.diff(dim=3)[..., :-1, :]]
    jump = torch.cat(steps, dim=1).norm(dim=1)[0]
    edges = torch.zeros(L.shape[-2:], dtype=torch.bool)
    edges[:-1, :-1] = jump > jump.quantile(0.95)
    return ways, errors, edges


# %%
rows = {}
for name in photographs:
    _, errors, edges = both_ways(name, 128)
    rows[name] = {f"{way}, {where}": error[mask].mean().item() for way, error in errors.items()
                  for where, mask in {"at edges": edges, "all": edges | True}.items()}  # fmt: skip
table = pd.DataFrame(rows).T
print(table.round(1).to_string())
at_edges = table["along the edges, at edges"] / table["bilinear, at edges"]
everywhere = table["along the edges, all"] / table["bilinear, all"]
print(
    f"share of the error that is left: at edges {at_edges.mean():.2f}, all {everywhere.mean():.2f}"
)

# %% tags=["check"]
assert (at_edges < 0.95).all() and (everywhere < 0.97).all(), "expected a gain on each photograph"
assert 0.70 < at_edges.mean() < 0.88, "expected about a fifth less at edges"

# %% [markdown]
# About a fifth of the error at edges goes away, on each of the five photographs some of it, and
# most of it stays: where two colours have the *same* lightness, no filter can see their border.
#
# **Predict first**: how few pixels of chroma are enough? At 32 pixels on the shorter side, would
# you still recognise the cup? And is the guided filter worth more there, or less?


# %%
def draw_chroma(fig, photograph, pixels, way):
    ways, errors, edges = both_ways(photograph, pixels)
    ab = ways[way][..., ::2, ::2]  # every other pixel is enough to look at
    L = split_lab(to_float(tensor(photographs[photograph][::2, ::2])))[0]
    result = to_numpy(join_lab(L, ab, gamut="chroma"))[0] // 16 * 16 + 8
    amount = AB_SCALE * ab.norm(dim=1)[0]
    axes = fig.subplots(1, 2)
    for ax, picture in zip(axes, (result, amount)):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=80)
        ax.axis("off")
    axes[0].set_title("own lightness, enlarged chroma", fontsize=9)
    axes[1].set_title("the chroma alone", fontsize=9)
    error = errors[way]
    return f"chroma error {error.mean():.2f}, at edges {error[edges].mean():.2f} units of Lab"


panel = Panel(
    draw_chroma,
    figsize=(4.6, 1.75),
    alt="Left the cup in colour, sharp although its chroma has only 32 pixels on the shorter side. "
    "Right the amount of chroma alone, in which edges are blurred.",
    photograph=choice(list(photographs), value="cup", label="photograph"),
    pixels=choice([16, 32, 64, 128], value=32, label="pixels of chroma, shorter side"),
    way=choice(["bilinear", "along the edges"], value="bilinear", label="enlarged"),
)
panel

# %%
panel.try_controls()


def left_over(name, side, edges_only=False):
    """The error along the edges as a share of the bilinear one."""
    _, errors, edges = both_ways(name, side)
    where = edges if edges_only else edges | True
    return (errors["along the edges"][where].mean() / errors["bilinear"][where].mean()).item()


cup = {side: left_over("cup", side) for side in (32, 128)}
print({side: f"{share:.2f} of the bilinear error is left" for side, share in cup.items()})
assert all(0.6 < share < 0.9 for share in cup.values()), "expected a gain at 32 and 128 pixels"
hard = left_over("motorcycle", 32, edges_only=True)
print(f"motorcycle, 32 pixels, at edges: {hard:.2f}")

# %% tags=["check"]
assert 0.95 < hard < 1.1, "expected no gain"

# %% [markdown]
# Even at 32 pixels the cup is a red cup: the left picture is sharp, only its chroma is not. The
# filter takes away about a quarter of the cup's error there. At the edges of the motorcycle it
# gains nothing: things smaller than one small pixel have left no colour to put into place.

# %% [markdown]
# ## Any file
#
# Family photographs come as they come: from scanners, printers, phones and faxes. Make a folder of
# the odd ones, and give it to `colorize_many`. One of the files was cut off while copying.

# %%
workspace = tempfile.TemporaryDirectory()
album = Path(workspace.name) / "album"
album.mkdir()
grey_cat = cat.convert("L")
grey_cat.save(album / "grey.jpg", quality=95)
Image.fromarray(np.asarray(grey_cat).astype(np.uint16) * 257).save(album / "scan_16_bit.png")
cat.convert("CMYK").save(album / "for_the_printer.jpg", quality=95)
sideways = Image.Exif()
sideways[0x0112] = 6  # orientation: "turn me by 90 degrees before you show me"
grey_cat.transpose(Image.Transpose.ROTATE_90).save(album / "phone.jpg", quality=95, exif=sideways)
cutout = cat.convert("RGBA")
cutout.putalpha(Image.linear_gradient("L").resize(cat.size))
cutout.save(album / "cutout.png")
grey_cat.convert("1").save(album / "fax.png")
cat.quantize(32).save(album / "old_web.gif")
(album / "damaged.jpg").write_bytes((album / "grey.jpg").read_bytes()[:3000])
before = {path.name: path.read_bytes() for path in album.iterdir()}

results = colorizer.colorize_many(album, album.parent / "coloured", progress=False)
rows = {}
for result in results:
    with Image.open(result.source) as source:
        row = [source.mode, "x".join(map(str, source.size))]
    if result.output:
        with Image.open(result.output) as image:
            row += [result.output.name, image.mode, "x".join(map(str, image.size))]
    rows[result.source.name] = row + [""] * (5 - len(row))
table = pd.DataFrame(rows, ["mode", "size", "becomes", "its mode", "its size"]).T
print(table.to_string())

# %% tags=["nbval-check-output"]
failed = [result for result in results if result.error]
assert [result.source.name for result in failed] == ["damaged.jpg"], "expected one failure"
assert "\n" not in failed[0].error, "expected the reason in one line"
with Image.open(album.parent / "coloured" / "phone.jpg") as upright:
    assert upright.size == cat.size and upright.getexif().get(0x0112, 1) == 1, "expected upright"
    turned = np.abs(np.asarray(upright.convert("L"), int) - np.asarray(grey_cat, int)).mean()
    assert turned < 4, "expected the cat the right way up"
with Image.open(album.parent / "coloured" / "cutout.png") as image:
    kept = np.array_equal(np.asarray(image)[..., 3], np.asarray(cutout)[..., 3])
    assert image.mode == "RGBA" and kept, "expected the same transparency"
after = {path.name: path.read_bytes() for path in album.iterdir()}
assert after == before, "expected no input to be touched"
again = colorizer.colorize_many(album, album.parent / "coloured", progress=False)
print(f"coloured: {len(results) - len(failed)} of {len(results)}, failed: {len(failed)}")
print(f"second run: {sum(result.skipped for result in again)} kept, none done again")
kept = sum(result.skipped for result in again)

# %% tags=["check"]
assert kept == len(results) - len(failed) == 7, "expected finished files to be kept"

# %% [markdown]
# Every photograph came back at its own size. The phone's is upright now, and its EXIF no longer
# asks to be turned. The cut-out keeps its transparency. The fax was read too, though it has nothing
# but black and white pixels. The damaged file is one line:

# %%
print(failed[0].error.replace(str(album), "album"))
for result in results:
    for note in result.notes:
        print(f"{result.source.name}: {note}")

# %% [markdown]
# Inputs are never overwritten. A second run keeps what is finished, so an album of thousands can
# be stopped and taken up again. Videos are not handled: a colour guessed anew for each frame
# flickers.

# %% [markdown]
# ## Old photographs
#
# The network was trained on modern photographs made grey. An old photograph differs from those in
# five ways. Here each is simulated (`colorlib.course.old_photographs`), so that the undamaged
# photograph is at hand to compare with.
#
# ### Film that is blind to red
#
# A **panchromatic** film, common since the 1920s and 1930s, sees all colours about as the eye
# does. The **orthochromatic** film before it did not see red, and the earliest plates saw only
# blue and violet. A film records
#
# $$Y_\text{film} = w_R R + w_G G + w_B B$$
#
# of linear light. Roughly, $w$ is $(0, 0.5, 0.5)$ for orthochromatic film.

# %% tags=["nbval-check-output"]
lamps = np.zeros((1, 3, 3), np.uint8)
lamps[0, range(3), range(3)] = 255  # a pure red, green and blue pixel
by_kind = {}
for kind, weights in old_photographs.FILMS.items():
    by_kind[kind] = lightness(tensor(old_photographs.film(lamps, kind)))[0, 0, 0]
    listed = "  ".join(
        f"{lamp} {L:3.0f}" for lamp, L in zip(("red", "green", "blue"), by_kind[kind])
    )
    print(f"{kind:<15} w = {weights}: L* of {listed}")
    light = torch.tensor(weights)
    formula = torch.where(light > 0.009, 116 * light.pow(1 / 3) - 16, 0 * light)  # Lab, notebook 01
    assert (by_kind[kind] - formula).abs().max() < 0.6, "expected L* of the film's light"

# %% [markdown]
# To orthochromatic film a pure red is black. Now photographs. (Their colours are known here, which
# is why we can say what such a film would have made of them.)

# %%
SIZE = (384, 256)
modern = {
    name: np.array(ImageOps.fit(Image.fromarray(photograph), SIZE, Image.Resampling.BICUBIC))
    for name, photograph in photographs.items()
}
film = {
    kind: {name: old_photographs.film(picture, kind) for name, picture in modern.items()}
    for kind in old_photographs.FILMS
}
places = {"red saucer": ("cup", 198, 269), "evening sky": ("rocket", 60, 96),
          "skin": ("astronaut", 60, 182), "orange suit": ("astronaut", 200, 110)}  # fmt: skip
rows = {}
for place, (name, y, x) in places.items():
    patch = (..., slice(y - 5, y + 5), slice(x - 5, x + 5))
    rows[place] = {kind: lightness(tensor(film[kind][name]))[patch].mean().item() for kind in film}
table = pd.DataFrame(rows).T
print("L* on three kinds of film")
print(table.round(0))
darker = table["orthochromatic"] - table["panchromatic"]

# %% tags=["check"]
assert darker["red saucer"] < -15 and darker["orange suit"] < -8, "expected red to go dark"
assert darker["skin"] < -3 and darker["evening sky"] > 3, "expected dark skin and a light sky"

# %%
chosen = ["cup", "rocket", "astronaut"]


def stack(pictures, size=(120, 80)):
    """Small copies as one batch, in coarse levels, so that the notebook's file stays small."""
    small = [
        Image.fromarray(np.asarray(p)).resize(size, Image.Resampling.LANCZOS) for p in pictures
    ]
    return torch.cat([tensor(picture) for picture in small]) // 16 * 16 + 8


show(
    image_grid(
        {"colour": stack(modern[name] for name in chosen)}
        | {kind: stack(film[kind][name] for name in chosen) for kind in film},
        cell=1.2,
    ),
    alt="A cup on a red saucer, a rocket before a blue evening sky and an astronaut in orange: in "
    "colour and on three kinds of film. On the two older ones the saucer and the suit are "
    "nearly black and the sky is lighter.",
)

# %% [markdown]
# Red lips and freckles turn dark, a blue sky turns white and loses its clouds. Can the colorizer
# make up for it? It keeps the lightness of the photograph, and a dark pixel has no room for a
# strong red. Take the *true* chroma of the saucer and join it with the lightness that the film
# gave:

# %%
name, y, x = places["red saucer"]
patch = (..., slice(y - 5, y + 5), slice(x - 5, x + 5))
lab = rgb_to_lab(to_float(tensor(modern[name])))[patch]
room = {}
for kind in film:
    with_film = torch.cat([lightness(tensor(film[kind][name]))[patch], lab[:, 1:]], dim=1)
    room[kind] = reduce_chroma(with_film)[:, 1:].norm(dim=1).mean().item()
    print(f"{kind:<15} chroma of the true red that sRGB can show: {room[kind]:.0f}")

# %% tags=["check"]
assert room["orthochromatic"] < 0.75 * room["panchromatic"], "expected less room for red"

# %% [markdown]
# So even a model that knew the saucer's colour could not show it. This fault has no cure from the
# picture alone: red and black gave the film the same grey.
#
# ### Fading, toning, grain, scratches, borders
#
# The other faults can be treated. Build the treatment first, one function for each:
#
# - **grey**: a toned photograph (sepia) has colours, which are not the scene's. Keep its L\*.
# - **stretch**: faded prints have lost black and white. Map the 1st percentile of the levels to
#   black and the 99th to white.
# - **smooth**: a median over 3 by 3 pixels, against grain.
# - **mend**: a scratch is brighter than both its sides. Replace *only* such pixels, by a median.
# - **crop**: take lines off the edges as long as a line is nearly even.


# %%
def grey(picture):
    return to_numpy(grey_image(split_lab(to_float(tensor(picture)))[0]))[0]


def stretch(picture):
    low, high = np.percentile(picture, [1, 99])
    return np.clip((picture - low) / max(high - low, 1) * 255 + 0.5, 0, 255).astype(np.uint8)


def smooth(picture):
    return median_filter(picture, size=(3, 3, 1))


def mend(picture, brighter=25):
    beside = median_filter(picture, size=(1, 9, 1))
    return np.where(picture.astype(int) - beside > brighter, beside, picture)


def page_box(picture, even=5.0):
    """Top, bottom, left, right of what is left when even lines are taken off the edges."""
    values = picture.mean(axis=2)
    top, left, (bottom, right) = 0, 0, values.shape
    while bottom - top > 1 and right - left > 1:
        inside = values[top:bottom, left:right]
        flat = [line.std() < even for line in (inside[0], inside[-1], inside[:, 0], inside[:, -1])]
        if not any(flat):
            break
        top, bottom, left, right = top + flat[0], bottom - flat[1], left + flat[2], right - flat[3]
    return int(top), int(bottom), int(left), int(right)


def crop(picture):
    top, bottom, left, right = page_box(picture)
    return picture[top:bottom, left:right]


# %% [markdown]
# Does a treatment give back the *photograph*? That needs no network: compare L\* with that of the
# undamaged one: of the damaged picture, and of the treated one.


# %%
def chance():
    return np.random.default_rng(config.seed)  # the same scratches each time


undamaged = film["panchromatic"]
damages = {
    "sepia": (old_photographs.tone, grey),
    "faded": (old_photographs.fade, stretch),
    "grain": (lambda picture: old_photographs.grain(picture, chance()), smooth),
    "scratches, smooth": (lambda picture: old_photographs.scratch(picture, chance()), smooth),
    "scratches, mend": (lambda picture: old_photographs.scratch(picture, chance()), mend),
}
damaged = {damage: {name: make(picture) for name, picture in undamaged.items()}
           for damage, (make, _) in damages.items()}  # fmt: skip
treated = {damage: {name: treat(damaged[damage][name]) for name in undamaged}
           for damage, (_, treat) in damages.items()}  # fmt: skip
rows = {}
for damage in damages:
    for name, picture in undamaged.items():
        true = lightness(tensor(picture))
        rows[damage, name] = [(lightness(tensor(pictures[damage][name])) - true).abs().mean().item()
                              for pictures in (damaged, treated)]  # fmt: skip
of_L = pd.DataFrame(rows, ["damaged", "treated"]).T
print("mean |difference of L*| to the undamaged photograph, mean of five")
print(of_L.groupby(level=0, sort=False).mean().round(1))
print("faded:\n" + of_L.loc["faded"].round(1).to_string())
mean_L = of_L.groupby(level=0).mean()
share = mean_L["treated"] / mean_L["damaged"]
helped = share["faded"] < 0.5 and share["grain"] < 0.7 and share["scratches, mend"] < 0.5
assert helped, "expected stretch, smooth and mend to help"
assert share["scratches, smooth"] > 1 and 0.98 < share["sepia"] < 1.02, "expected no help"
assert (of_L["treated"] > of_L["damaged"]).loc["faded"].loc["cat"], "expected an overshoot"
brown = [lightness(tensor(picture)).mean() for picture in damaged["sepia"].values()]
black = [lightness(tensor(picture)).mean() for picture in undamaged.values()]

# %% tags=["check"]
assert all(toned < plain - 1 for toned, plain in zip(brown, black)), "sepia is darker"

# %% [markdown]
# Stretch, smooth (against grain) and mend help on average. Three lessons:
#
# - **Grey does nothing for sepia.** The library reads L\* anyway, so the brown is ignored with or
#   without it. What is left is that sepia is *darker* than the grey it replaced.
# - **Stretch helps on average and harms the cat**, which was never black or white to begin with. A
#   percentile cannot know that. Look at the result, and stretch less.
# - **A median over everything makes scratches worse**: a scratch is wider than what it removes,
#   and the photograph's detail is not. Mending only what is too bright takes most of it away.
#
# And the border? The lid of the scanner is the darkest and largest thing on the page.

# %%
pages = {name: old_photographs.on_a_page(picture) for name, picture in undamaged.items()}
for name, page in pages.items():
    scanned = old_photographs.grain(page, chance(), 3)  # a scanner's noise
    box, noisy_box = page_box(page), page_box(scanned)
    off = np.abs(np.subtract(noisy_box, box)).max()
    print(f"{name:<11} cut to rows {box[0]}-{box[1]}, columns {box[2]}-{box[3]}; noisy: {off} off")
    assert np.array_equal(crop(page), undamaged[name]), "expected the photograph, to the pixel"
    assert off <= 2, "expected the same with noise, within two pixels"
sky = np.full((256, 384, 3), 200, np.uint8)
sky[160:] = undamaged["cup"][160:]
print("a photograph with an even sky is cut to rows", page_box(sky)[:2])

# %% tags=["check"]
assert page_box(sky)[0] == 160, "expected the sky to be taken for paper"

# %% [markdown]
# Each photograph is found to the pixel. But a photograph under an even sky loses the sky. Automatic
# cropping is a guess as well: check it, or crop by hand.
#
# ### Does the model suffer?
#
# Now the network. Two measures, both over five photographs:
#
# - **moved**: how far the predicted chroma is from the one for the undamaged photograph, in units
#   of Lab. A model that is not disturbed by a damage has 0.
# - **error**: CIEDE2000 to the true colours, if the chroma is joined with the true lightness.


# %%
def answer(picture):
    """The network's chroma for a picture, in network units, at the picture's own size."""
    small_L, _ = shrink(picture, colorizer.recipe.size)
    size = picture.shape[:2]
    return interpolate(colorizer.predict(small_L), size=size, mode="bilinear", align_corners=False)


def inside_page(picture):
    """The chroma for the photograph on its page, while the network sees the whole page."""
    top, bottom, left, right = page_box(picture)
    return answer(picture)[..., top:bottom, left:right]


truth = {name: tensor(picture) for name, picture in modern.items()}
best = {name: answer(picture) for name, picture in undamaged.items()}


def score(found):
    """`moved` and `error` of chroma by photograph, means."""
    moved, error = [], []
    for name, ab in found.items():
        moved.append(AB_SCALE * (ab - best[name]).norm(dim=1).mean().item())
        true = truth[name][..., ::2, ::2]  # every other pixel is enough for a mean
        shown = join_lab(split_lab(to_float(true))[0], ab[..., ::2, ::2], gamut="chroma")
        error.append(ciede2000(to_uint8(shown), true).item())
    return np.array(moved), np.array(error)


# %%
def answers(pictures):
    return {name: answer(picture) for name, picture in pictures.items()}


cases = {film_kind: (answers(film[film_kind]), None)
         for film_kind in ("orthochromatic", "blue-sensitive")}  # fmt: skip
cases |= {
    damage: (answers(damaged[damage]), answers(treated[damage]))
    for damage in damages
    if damage != "scratches, smooth"
}
on_page = {name: inside_page(page) for name, page in pages.items()}
cases["border"] = (on_page, answers({name: crop(page) for name, page in pages.items()}))

print(f"{'':18} moved  treated  nearer in   error  treated")
print(f"{'undamaged':18} {0:5.1f} {'':20} {score(best)[1].mean():6.1f}")
moves = {}
for case, (as_found, after) in cases.items():
    moved, error = score(as_found)
    line = f"{case:18} {moved.mean():5.1f}", f"{error.mean():6.1f}"
    moves[case] = moved.mean()
    if after is None:
        print(line[0], " " * 20, line[1])
        continue
    moved_after, error_after = score(after)
    moves[case, "treated"] = moved_after.mean()
    nearer = (moved_after < moved - 0.5).sum()  # by more than half a unit
    print(
        line[0], f"{moved_after.mean():8.1f} {nearer:5} of 5", line[1], f"{error_after.mean():8.1f}"
    )
grey_error = score({name: torch.zeros_like(ab) for name, ab in best.items()})[1].mean()
print(f"{'grey':18} {'':26} {grey_error:6.1f}")
assert all(moves[case] > 0.3 for case in cases), "expected every damage to disturb the model"
assert moves["faded", "treated"] < moves["faded"], "expected stretching to help on average"
assert moves["border", "treated"] == 0, "expected the same picture, and so the same answer"
mended = moves["scratches, mend", "treated"] / moves["scratches, mend"]

# %% tags=["check"]
assert 0.6 < mended < 0.9, "expected mending to help against scratches, and not much"
assert moves["faded"] < 0.7 * moves["scratches, mend"], "expected fading to disturb less"

# %% [markdown]
# Read the table in three steps.
#
# 1. Every damage moves the answer. Fading moves it by half of what scratches and borders do: faded
#    tones were part of this model's training (*augmentation*: random tone curves), lines were not.
# 2. Where the treatment gives the very same picture back, it gives the answer back: the border's.
#    Nearly the same is not enough: mended photographs are within a unit of lightness, and the
#    answer is still three quarters as far off.
# 3. **Moved is not error.** Where the model was wrong to begin with, a damage may even move it
#    towards the truth. Compare the column with the error of grey before you are pleased.
#
# Now all of it at once, as a scan really is, and the treatment in the order that undoes it.


# %% tags=["result"]
def age(picture):
    faded = old_photographs.tone(old_photographs.fade(picture, 70, 200))
    return old_photographs.on_a_page(
        old_photographs.scratch(faded, chance(), scratches=6, specks=25)
    )


def prepare(picture):
    return stretch(mend(grey(crop(picture))))


scans = {name: age(undamaged[name]) for name in ("cat", "cup", "astronaut")}
prepared = {name: prepare(scan) for name, scan in scans.items()}
for name, picture in prepared.items():
    assert picture.shape == undamaged[name].shape, "expected the photograph without its page"
    apart = (lightness(tensor(picture)) - lightness(tensor(undamaged[name]))).abs().mean().item()
    print(f"{name:<10} L* of the prepared photograph is off by {apart:.1f}")
shown = {
    "the scan": scans.values(),
    "prepared": prepared.values(),
    "coloured": [colorizer.colorize(picture) for picture in prepared.values()],
    "the truth": [modern[name] for name in scans],
}
show(
    image_grid({name: stack(pictures) for name, pictures in shown.items()}, cell=1.2),
    alt="Three photographs as brown, faded and scratched scans on a page; prepared: cropped, grey, "
    "mended and with full contrast; coloured by the model; and the true photographs.",
)

# %% [markdown]
# The preparation is work on lightness, and you can check it. (Some specks stay: they are wider than
# the median that mends.) The colours are another matter.

# %% [markdown]
# ## What the model cannot know
#
# Two cups, one red and one of another colour, can give the same grey photograph: notebook 01
# measured how much a lightness leaves open. Two lines make the second cup: turn its hue, keep its
# lightness. (First make the true cup paler, so that sRGB can show both.)


# %%
def with_chroma(images, change):
    L, ab = split_lab(to_float(images))
    return to_uint8(join_lab(L, change(ab), gamut="chroma"))


one = with_chroma(tensor(modern["cup"]), lambda ab: 0.4 * ab)
other = with_chroma(one, lambda ab: torch.stack([-ab[:, 1], ab[:, 0]], dim=1))  # by 90 degrees
same_grey = (lightness(one) - lightness(other)).abs().mean().item()
answers_to = [tensor(colorizer.colorize(to_numpy(images)[0])) for images in (one, other)]
same_answer = (answers_to[0].float() - answers_to[1].float()).abs().mean().item()
print(f"lightness of the two: {same_grey:.2f} apart; the answers: {same_answer:.2f} levels apart")
assert same_grey < 0.3 and same_answer < 2, "expected the same grey, and the same answer"


def distance(x, y):
    """Mean distance in the plane of a* and b*."""
    x, y = (rgb_to_lab(to_float(images))[:, 1:] for images in (x, y))
    return (x - y).norm(dim=1).mean().item()


errors = [distance(answers_to[0], truth_) for truth_ in (one, other)]
between = distance(one, other)
print(f"the two truths are {between:.1f} apart; the answer is {errors[0]:.1f} from one and "
      f"{errors[1]:.1f} from the other")  # fmt: skip

# %% tags=["check"]
assert sum(errors) >= between, "the triangle inequality: no answer is near to both"
assert max(errors) >= between / 2, "so it is off by half the distance, for one of them at least"

# %%
show(
    image_grid(
        {"one truth": stack(to_numpy(one)), "another": stack(to_numpy(other)),
         "what the model sees": stack(to_numpy(grey_image(split_lab(to_float(one))[0]))),
         "its answer to both": stack(to_numpy(answers_to[0]))}, cell=1.2,
    ),
    alt="A cup in two different hues, the one grey photograph of both, and the one answer of the "
    "model.",
)  # fmt: skip

# %% [markdown]
# This holds for *every* model, however good: by the triangle inequality its errors for the two
# truths sum to at least their distance. A better model knows better which colours are *likely*. It
# cannot know which were *there*. Uniforms, dresses, hair and cars are where people get angry.
#
# ## Say that it is a guess
#
# A coloured photograph outlives its caption. So the file itself says it: `save_marked`, which
# `Save`, `colorize_many` and the command line use, writes a sentence into the **metadata** (the
# EXIF field *ImageDescription*), and `is_marked` reads it back.

# %% tags=["nbval-check-output"]
print(MARK)
marked = Path(workspace.name) / "marked"
coloured_cat = colorizer.colorize(grey_cat)
kept = {}
for suffix in ("jpg", "png"):
    path = marked / f"cat.{suffix}"
    save_marked(coloured_cat, path, colorizer.name)
    with Image.open(path) as image:
        Image.fromarray(np.asarray(image)).save(marked / f"copy.{suffix}")  # the pixels alone
        image.save(marked / f"copy_with_exif.{suffix}", exif=image.getexif())
    for name in ("cat", "copy", "copy_with_exif"):
        kept[f"{name}.{suffix}"] = is_marked(marked / f"{name}.{suffix}")
print(pd.Series(kept, name="marked").to_string())
expected = {name: not name.startswith("copy.") for name in kept}

# %% tags=["check"]
assert kept == expected, "expected the mark to survive only where metadata are copied"

# %% [markdown]
# The mark survives copying the file, in JPEG and in PNG. It does **not** survive a program that
# saves without metadata, a screenshot, or most social networks. It helps the honest; it cannot
# stop anybody. Newsrooms use standards for the same purpose: the vocabulary *Digital Source Type*
# of the IPTC has a term for media in which a trained model had a part
# (`compositeWithTrainedAlgorithmicMedia`).
#
# So say it where it is seen, too: show **both photographs side by side**, and write a caption that
# answers four questions. What is it? Who coloured it? What is known? Where is the original?


# %%
def caption(title, weights, known="nothing about its colours"):
    return (
        f"{title}. Left: the photograph as it is kept. Right: coloured by a model (colorlib, "
        f"weights {weights}). Known from other sources: {known}. The colours are guesses."
    )


def side_by_side(picture, coloured, gap=6):
    """The photograph and its coloured version, with a white line between them."""
    line = np.full((coloured.height, gap, 3), 255, np.uint8)
    left, right = np.asarray(picture.convert("RGB")), np.asarray(coloured)
    return Image.fromarray(np.hstack([left, line, right]))


both = side_by_side(grey_cat, coloured_cat)
assert both.size == (2 * cat.width + 6, cat.height), "expected both at full size"
left = np.asarray(both)[:, : cat.width].astype(int)
assert np.ptp(left, axis=2).max() == 0, "expected the left half in grey"
save_marked(both, marked / "both.jpg", colorizer.name)
assert is_marked(marked / "both.jpg"), "expected the mark here, too"
print(caption("The cat Chelsea", colorizer.name, known="her eyes are green"))

# %% [markdown]
# ## Where it fails
#
# A gallery of successes says nothing. Here are eight photographs, from the **worst** to the best,
# each with its error beside that of the grey photograph. **Gain** is how much of grey's CIEDE2000
# the model takes away, in percent; below zero you had better left the photograph grey.

# %%
gallery = {
    **photographs,
    "galaxies": data.hubble_deep_field(),
    "tissue": data.immunohistochemistry(),
    "retina": data.retina(),
}
shown, rows = {}, {}
for name, photograph in gallery.items():
    picture = ImageOps.fit(Image.fromarray(photograph), (300, 200), Image.Resampling.BICUBIC)
    true = tensor(picture)
    dull = grey_image(split_lab(to_float(true))[0])
    found = tensor(colorizer.colorize(to_numpy(dull)[0]))
    worse = delta_e_2000(rgb_to_lab(to_float(found)), rgb_to_lab(to_float(true))) > delta_e_2000(
        rgb_to_lab(to_float(dull)), rgb_to_lab(to_float(true))
    )
    error, of_grey = (ciede2000(images, true).item() for images in (found, dull))
    rows[name] = {"PSNR": psnr(found, true).item(), "of grey": psnr(dull, true).item(),
                  "CIEDE2000": error, " of grey": of_grey, "gain %": 100 * (1 - error / of_grey),
                  "pixels worse %": 100 * worse.float().mean().item()}  # fmt: skip
    shown[name] = [dull, found, true]
table = pd.DataFrame(rows).T.sort_values("gain %")
print(table.round(1).to_string())
print(f"worse than grey: {(table['gain %'] < 0).sum()} of {len(table)}")

# %% tags=["check"]
assert table.index[0] == min(rows, key=lambda name: rows[name]["gain %"]), "the worst comes first"
assert table["gain %"].iloc[-1] > table["gain %"].iloc[0] + 15, "expected them to differ much"
assert table["pixels worse %"].max() > 15, "expected pixels that grey would have served better"

# %%
ends = [*table.index[:3], table.index[-1]]
columns = {"grey": 0, "the model": 1, "the truth": 2}
show(
    image_grid({column: stack([to_numpy(shown[name][k])[0] for name in ends])
                for column, k in columns.items()},
               rows=[f"{name}: {table.loc[name, 'gain %']:+.0f} %" for name in ends], cell=1.2),
    alt="Four photographs in grey, as the model colours them, and as they are: the three with the "
    "largest error compared with grey, and the best one. Their gains are written beside them.",
)  # fmt: skip

# %% [markdown]
# Ask of each failure which kind it is:
#
# - **out of domain**: nothing like it was in the training photographs (galaxies, stained tissue,
#   a retina). Cure: other photographs, or another tool.
# - **out of taste**: plausible colours, not the true ones. No cure, as you saw.
# - **out of place**: right colours in the wrong spot, or one thing in two colours. Cure: a larger
#   network, more training.
#
# And look at the last column: even a photograph with a gain has pixels that grey would have served
# better. A mean hides them. Notebook 10 is about such numbers.

# %% [markdown]
# ## Without Python
#
# A generator can leave Python as an **ONNX** file, which programs in other languages, phones and
# browsers run. `export_onnx` writes the file only if it computes what torch computes, to within
# $10^{-4}$. Needs: `pip install "colorlib-course[export]"`.

# %%
missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
onnx_path = Path(workspace.name) / "generator.onnx"
if missing:
    print(f"skipped, for {', '.join(missing)} is not installed")
else:
    report = export_onnx(colorizer, onnx_path)
    megabytes = report["bytes"] / 1e6
    weights = sum(parameter.numel() for parameter in colorizer.generator.parameters())
    in_limit = report["max_difference"] <= 1e-4
    print(f"{megabytes:.1f} MB for {weights:,} parameters; equal to torch to 1e-4: {in_limit}")
    assert in_limit, "expected onnxruntime to compute what torch computes"
    assert 0.95 < report["bytes"] / (4 * weights) < 1.1, "expected four bytes a parameter"

# %% [markdown]
# Why is it about twice as large as the weights that ship with the course? Those are stored in half
# precision, two bytes a number. And how fast is it? That is a matter of your machine, so the next
# output is not stored: run it.

# %% tags=["machine"]
if not missing:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        onnx_path.read_bytes(), providers=["CPUExecutionProvider"]
    )
    runs = {
        "torch": lambda: colorizer.predict(small_L),
        "onnxruntime": lambda: session.run(None, {"L": small_L.numpy()})[0],
    }
    outputs = {}
    for name, run in runs.items():
        outputs[name] = run()  # once to warm up
        started = time.perf_counter()
        for _ in range(5):
            run()
        milliseconds = 1000 * (time.perf_counter() - started) / 5
        print(f"{name:<12} {milliseconds:.0f} ms for {tuple(small_L.shape[-2:])} pixels")
    apart = np.abs(outputs["torch"].numpy() - outputs["onnxruntime"]).max()
    assert apart <= 1e-4, "expected equal chroma for the motorcycle, too"

# %% [markdown]
# ### Ship it: a page that colours in the browser
#
# The generator alone makes no page. Shrinking, Lab, the filter along the edges, the join and the
# gamut have to come along. In the course's folder, `make app` exports all of it as two graphs: one
# predicts the maps from the small photograph, the other joins them with a band of rows of the large
# one. It puts both into a page (`site/app`). Drop a photograph there, and ONNX Runtime Web colours
# it on the visitor's own machine; nothing is uploaded, so any server that can hand out files will
# do. A test checks that the page's colours are within 2 of 255 levels of those of
# `Colorizer.colorize`.

# %% [markdown]
# ## A whole album from the command line
#
# In a terminal, `colorlib colorize ALBUM --out COLOURED` does what `colorize_many` did. Its **exit
# status** tells a script how it went: 0 all done, 1 some failed (each is named), 2 nothing could be
# done. Run it here in a process of its own, as `python -m colorlib`, on the album with the damaged
# file; then without it.


# %%
def colorlib_colorize(folder, out):
    """Run the command; returns its exit status and prints what it says."""
    command = [sys.executable, "-m", "colorlib", "colorize", folder, "--out", out]
    ended = subprocess.run(
        [*command, "--device", "cpu"], cwd=workspace.name, capture_output=True, text=True
    )
    failures = [line for line in ended.stderr.splitlines() if line.startswith("colorlib:")]
    print(*ended.stdout.splitlines()[-1:], *failures, sep="\n")
    print(f"exit status {ended.returncode}\n")
    return ended.returncode


assert colorlib_colorize("album", "from_command_line") == 1, "expected: one photograph failed"
(album / "damaged.jpg").unlink()
assert colorlib_colorize("album", "from_command_line") == 0, "expected: all done"
by_command = {path.name for path in (album.parent / "from_command_line").iterdir()}
by_function = {path.name for path in (album.parent / "coloured").iterdir()}

# %% tags=["check"]
assert by_command == by_function and len(by_command) == 7, "expected the same seven files"

# %% [markdown]
# `colorlib colorize --help` lists the rest: other `--weights` (a run of yours from notebook 07),
# `--strength`, `--tta`, `--overwrite`.
#
# ## Full mode: hundreds of photographs
#
# The same honest table over many photographs that were held out, at the size the network was
# trained at, with the rows that no model may lose against: grey, and the untrained network.

# %% tags=["full"]
if config.full:
    full_colorizer = Colorizer.load(device=config.device)
    held_out = config.photographs(full_colorizer.recipe.size, "test")
    scores = evaluate(
        {"default": full_colorizer},
        held_out,
        n=config.steps(400),
        device=config.device,
        progress=False,
    )
    print(scores[["n", "psnr", "ciede2000", "chroma_ratio"]].round(2))
    gain = 1 - scores.loc["default", "ciede2000"] / scores.loc["grey", "ciede2000"]
    print(f"gain over grey: {100 * gain:+.0f} %")
else:
    print("quick mode: full mode colours and measures hundreds of real photographs")

# %% tags=["full"]
if config.full:
    pictures = config.photographs(256, "test").images(range(4))
    in_colour = [
        torch.from_numpy(np.array(full_colorizer.colorize(picture))).movedim(-1, 0)
        for picture in to_numpy(pictures)
    ]
    show(
        image_grid({
            "grey": grey_image(split_lab(to_float(pictures))[0]),
            "the model": torch.stack(in_colour),
            "the truth": pictures,
        }),
        alt="Four held-out photographs: grey, coloured, and true.",
    )  # fmt: skip

# %% [markdown]
# Which photographs those are depends on what you have (see notebook 00). If the gain is negative
# there, they are out of domain, and the honest answer is to leave them grey, or to train on
# photographs like them.

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: its own lightness
#
# Somebody's program has coloured your photograph, and returned it small. Give it back its detail:
# from the photograph, uint8 (1, 3, H, W), and the small coloured picture, uint8 (1, 3, h, w), make
# a picture of the photograph's size, with the photograph's lightness and the other's chroma,
# enlarged bilinearly. uint8 again; colours outside sRGB lose chroma, not lightness.


# %% tags=["exercise"]
def own_lightness(photograph, coloured):
    """The photograph's L with the chroma of a smaller coloured picture, uint8 (1, 3, H, W)."""
    ### BEGIN SOLUTION
    L, _ = split_lab(to_float(photograph))
    _, ab = split_lab(to_float(coloured))
    ab = interpolate(ab, size=L.shape[-2:], mode="bilinear", align_corners=False)
    return to_uint8(join_lab(L, ab, gamut="chroma"))
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.own_lightness.check(own_lightness)
# exercises.own_lightness.hint()
# exercises.own_lightness.solution()

# %% [markdown]
# ### Exercise 2: which of these are guesses?
#
# Somebody hands you a folder. Return the names of the files in it (not in its subfolders) whose
# metadata say that a model coloured them, sorted. There are other files in it too, and `is_marked`
# raises an error (`ColorlibError`) for what is no picture: those are left out.


# %% tags=["exercise"]
def marked_files(folder):
    """Sorted names of the marked files in a folder, a `pathlib.Path`."""
    ### BEGIN SOLUTION
    names = []
    for path in sorted(folder.iterdir()):
        try:
            if path.is_file() and is_marked(path):
                names.append(path.name)
        except ColorlibError:
            pass  # no picture, or a damaged one
    return names
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.marked_files.check(marked_files)
# exercises.marked_files.hint()
# exercises.marked_files.solution()

# %% [markdown]
# ### Exercise 3: a failure gallery
#
# Rank a model's results, the worst first. You get two dictionaries with the same names: coloured
# pictures and true ones, uint8 (1, 3, H, W). The **gain** of a picture is the mean CIEDE2000 of the
# *grey* version of the truth, minus that of the coloured picture. Return the names, smallest gain
# first. Grey is the truth's lightness, as the model saw it.


# %% tags=["exercise"]
def worst_first(coloured, truth):
    """Names by gain over grey in CIEDE2000, the smallest gain first."""

    ### BEGIN SOLUTION
    def gain(name):
        grey = grey_image(split_lab(to_float(truth[name]))[0])
        return (ciede2000(grey, truth[name]) - ciede2000(coloured[name], truth[name])).item()

    return sorted(truth, key=gain)
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.worst_first.check(worst_first)
# exercises.worst_first.hint()
# exercises.worst_first.solution()

# %% [markdown]
# ### Exercise 4: a contact sheet of your family's album
#
# Put photographs on one sheet, row by row. `pictures` is a list of uint8 arrays (h, w, 3), none
# larger than `cell` on either side (`Image.thumbnail` sees to that). Each gets a square of `cell`
# by `cell` pixels and sits in its middle (at $\lfloor (\text{cell} - h) / 2 \rfloor$ from the top).
# There are `margin` pixels between squares and around all of them. The rest of the sheet is white;
# the last row may have empty squares. Return a uint8 array.


# %% tags=["exercise"]
def contact_sheet(pictures, columns, cell, margin):
    """One sheet, uint8 (H, W, 3), of pictures that fit into squares of `cell` pixels."""
    ### BEGIN SOLUTION
    rows, step = -(-len(pictures) // columns), cell + margin
    sheet = np.full((rows * step + margin, columns * step + margin, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        height, width = picture.shape[:2]
        top = margin + row * step + (cell - height) // 2
        left = margin + column * step + (cell - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet
    ### END SOLUTION


# %% tags=["exercise-check"]
exercises.contact_sheet.check(contact_sheet)
# exercises.contact_sheet.hint()
# exercises.contact_sheet.solution()

# %% [markdown]
# With yours at hand: colour an album with `colorize_many`, open each result, `thumbnail` it to
# 200 pixels, and print the sheet. Leave a line for the caption.

# %% [markdown]
# ## Recap
#
# 1. Take chroma from the network and lightness from the photograph: nothing of the detail is lost,
#    and a guided filter keeps chroma at its edges.
# 2. Any file goes in; a damaged one is one line; no input is overwritten; the second run goes on.
# 3. Old photographs: crop, mend, then stretch with care. Sepia needs no treatment, and red that
#    the film did not see cannot be brought back.
# 4. The same grey has many truths. Mark the file, show both, write an honest caption.
# 5. Show the failures first, beside the error of grey.
#
# **Words**
#
# - **guided filter**: smooths or enlarges one picture along the edges of another.
# - **orthochromatic**: blind to red; **panchromatic**: sees all colours.
# - **toning**: turning the silver of a print brown, for example in sepia.
# - **metadata, EXIF**: what a picture's file says beside its pixels.
# - **out of domain**: unlike anything in the training set.
# - **ONNX**: a file format for networks that many programs can run.
# - **exit status**: the number with which a program says how it ended.

# %% [markdown]
# **Papers**
#
# - K. He, J. Sun, X. Tang, "Guided Image Filtering", IEEE Transactions on Pattern Analysis and
#   Machine Intelligence, 2013.
# - K. He, J. Sun, "Fast Guided Filter", arXiv 2015.
# - R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016.
# - S. Iizuka, E. Simo-Serra, H. Ishikawa, "Let there be Color!", ACM Transactions on Graphics,
#   2016: colours photographs of a century ago, and keeps their lightness.
#
# **Next**: [Find the bug](13_find_the_bug.ipynb), real mistakes from published code.
