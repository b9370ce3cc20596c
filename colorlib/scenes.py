"""Draw the bundled scenes: small landscapes whose distribution of colours given L is known exactly.

The colours of sky, ground, sea and trees follow from L, because lightness, texture and shape show which of them a
pixel belongs to. Two colours do not follow from L: the hue of a balloon, which is uniform on a circle of one chroma,
and the colour of a roof, which is one of two. The mean, the median and the mode of ab given L therefore differ, and all
three are known. `posterior_mean` is what a generator trained with an L2 loss should predict, and `posterior_median` is
what one trained with an L1 loss should predict. `score` measures how colourful and how right a prediction is.

A scene depends only on (split, seed, index, size). It is painted in Lab from back to front, in coordinates from 0 to 1,
so that a scene of another size shows the same landscape. Textures that are too fine for the size are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import SupportsInt

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import pad

from colorlib.color import AB_SCALE, join_lab, lab_to_rgb, split_lab, to_float, to_uint8
from colorlib.devices import make_rng

CLASSES = ("meadow", "sea", "forest", "town")
MIN_SIZE = 16

# The free colours, which do not follow from L, in network units. A chroma of 0.28 is inside the sRGB gamut at every hue
# for L* of 53 to 79.
BALLOON_CHROMA = 0.28
BALLOON_L = (53.5, 78.5)
ROOF_AB = ((0.30, 0.27), (-0.03, -0.25))
ROOF_PROBABILITIES = (0.7, 0.3)
MAX_BALLOONS = 3
MAX_ROOFS = 3

NUMBERS_PER_SCENE = 100  # random numbers that determine the layout
# Scenes are painted in blocks of about this many pixels, which fit into the cache of a processor.
BLOCK_PIXELS = 2**17


@dataclass(frozen=True)
class Material:
    """A code for the masks, and a colour that depends on L* alone: ab = `ab` + `slope` * (L* - `L`), in Lab units."""

    code: int
    L: float
    ab: tuple[float, float]
    slope: tuple[float, float] = (0.0, 0.0)


# The brighter the sky, the closer its colour is to white. A cloud is a part of the sky with a high L*.
SKY = Material(1, 97, (0, -1), (0.68, 1.1))
HILLS = Material(2, 70, (-14, 14), (0.2, -0.3))
GRASS = Material(3, 62, (-22, 38), (0.1, 0.4))
SAND = Material(4, 84, (3, 22), (-0.1, -0.3))
SEA = Material(5, 60, (-15, -22), (0.1, 0.4))
TREES = Material(6, 42, (-20, 24), (-0.2, 0.5))
WOOD = Material(7, 40, (10, 20))
WALL = Material(8, 91, (1, 8))
# Each balloon and each roof of a scene has its own code: the first has this one, the others the following numbers.
BALLOON_CODE = 10
ROOF_CODE = 20

SEGMENTS = {
    "other": (WOOD.code, WALL.code),
    "sky": (SKY.code,),
    "ground": (HILLS.code, GRASS.code, SAND.code),
    "sea": (SEA.code,),
    "trees": (TREES.code,),
    "balloons": tuple(range(BALLOON_CODE, BALLOON_CODE + MAX_BALLOONS)),
    "roofs": tuple(range(ROOF_CODE, ROOF_CODE + MAX_ROOFS)),
}
# The segments whose colour follows from L.
BACKGROUND = ("sky", "ground", "sea", "trees")


@dataclass(frozen=True, eq=False)
class Colours:
    """The free colours of a batch of scenes, in network units: those that do not follow from L.

    There is a row for each possible balloon and roof, also for those that a scene does not show.
    """

    balloon_ab: Float[Tensor, "b balloons 2"]
    roof_ab: Float[Tensor, "b roofs 2"]


@dataclass(frozen=True, eq=False)
class Scenes:
    """A batch of scenes.

    `scene_class` is an index into `CLASSES`. `codes` holds for each pixel the code of the material or object that
    covers most of it. `regions` is the same, except that it is 0 within a pixel of an edge, where colours mix. `layout`
    holds the random numbers from which everything but `colours` follows.
    """

    rgb: UInt8[Tensor, "b 3 h w"]
    scene_class: Int[Tensor, " b"]
    codes: UInt8[Tensor, "b h w"]
    regions: UInt8[Tensor, "b h w"]
    colours: Colours
    layout: Float[Tensor, "b numbers"]

    @cached_property
    def lab(self) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
        """L and ab of `rgb` in network units."""
        return split_lab(to_float(self.rgb))

    @property
    def L(self) -> Float[Tensor, "b 1 h w"]:
        """The input of a generator: L*/50 - 1."""
        return self.lab[0]

    @property
    def true_ab(self) -> Float[Tensor, "b 2 h w"]:
        """The target of a generator: ab*/110 of `rgb`."""
        return self.lab[1]

    @cached_property
    def masks(self) -> dict[str, Bool[Tensor, "b h w"]]:
        """A mask for each of the `SEGMENTS`, without edges, and one for `background`: sky, ground, sea and trees."""
        masks = {name: torch.isin(self.regions, torch.tensor(codes)) for name, codes in SEGMENTS.items()}
        return masks | {"background": torch.stack([masks[name] for name in BACKGROUND]).any(0)}

    @property
    def segments(self) -> Int[Tensor, "b h w"]:
        """For each pixel the index into `SEGMENTS` of what covers most of it, also on edges.

        A generator that paints scenes from masks takes these indices as its input.
        """
        number = torch.zeros(256, dtype=torch.long)
        for k, codes in enumerate(SEGMENTS.values()):
            number[list(codes)] = k
        return number[self.codes.long()]

    @property
    def balloon_id(self) -> Int[Tensor, "b h w"]:
        """1, 2, ... on the balloons of a scene, in the order of `colours.balloon_ab`; 0 elsewhere and on edges."""
        return _ids(self.regions, BALLOON_CODE, MAX_BALLOONS)

    @property
    def roof_id(self) -> Int[Tensor, "b h w"]:
        """1, 2, ... on the roofs of a scene, in the order of `colours.roof_ab`; 0 elsewhere and on edges."""
        return _ids(self.regions, ROOF_CODE, MAX_ROOFS)


def _ids(codes: Tensor, first: int, n: int) -> Tensor:
    ids = codes.long() - (first - 1)
    return torch.where((ids >= 1) & (ids <= n), ids, 0)


def draw(indices: Iterable[SupportsInt], size: int, *, split: str = "train", seed: int = 0) -> Scenes:
    """Draw the scenes of a split with these indices, each `size` x `size` pixels.

    There is a scene for every index from 0 on. A scene does not depend on the other scenes that are drawn with it. The
    name of the split is part of the seed, so that each split has other scenes. Raises ValueError for a negative index
    or a size below `MIN_SIZE`.
    """
    numbers = [int(index) for index in indices]
    if size < MIN_SIZE:
        raise ValueError(f"expected a size of at least {MIN_SIZE} pixels, got {size}; try 32")
    if numbers and min(numbers) < 0:
        raise ValueError(f"expected indices from 0 on, got {min(numbers)}")
    layout = _uniforms("layout", NUMBERS_PER_SCENE, numbers, split, seed)
    colours = _colours(_uniforms("colours", MAX_BALLOONS + MAX_ROOFS, numbers, split, seed))
    return _scenes(layout, colours, size)


def repaint(scenes: Scenes, colours: Colours) -> Scenes:
    """Paint the same scenes with other free colours.

    As long as no chroma exceeds BALLOON_CHROMA, L does not change, except for rounding to 8 bits.
    """
    return _scenes(scenes.layout, colours, scenes.rgb.shape[-1])


def draw_colours(n: int, rng: torch.Generator) -> Colours:
    """Draw free colours for `n` scenes from the distribution that `draw` uses.

    Given L, they are as likely as the colours that the scenes have.
    """
    return _colours(torch.rand(n, MAX_BALLOONS + MAX_ROOFS, generator=rng))


def balloon_ab(hue: Float[Tensor, "*n"]) -> Float[Tensor, "*n 2"]:
    """Return the ab of a balloon, in network units, from its hue in radians."""
    return BALLOON_CHROMA * torch.stack([hue.cos(), hue.sin()], dim=-1)


def posterior_mean(scenes: Scenes) -> Float[Tensor, "b 2 h w"]:
    """Return the mean E[ab | L] in network units, which minimises an L2 loss.

    It is exact on every pixel, also on edges. Balloons are grey, because the mean of a circle is its centre. Roofs have
    the weighted mean of their two colours.
    """
    return _expected(scenes, roof_ab=_mean_roof())


def posterior_median(scenes: Scenes) -> Float[Tensor, "b 2 h w"]:
    """Return the medians of a and of b given L in network units, which minimise an L1 loss.

    They are exact on every pixel, also on edges. Balloons are grey, because the distributions of a and b are symmetric
    about 0. Roofs have the more likely of their two colours.
    """
    return _expected(scenes, roof_ab=torch.tensor(ROOF_AB[0]))


def _expected(scenes: Scenes, roof_ab: Tensor) -> Tensor:
    """Return ab in network units with grey balloons and with roofs of the colour `roof_ab`."""
    # A pixel on an edge mixes at most one free colour, and its ab is a linear function of this colour. Painting with
    # the mean (or median) of the free colour therefore gives the mean (or median) of the pixel.
    n, size = len(scenes.rgb), scenes.rgb.shape[-1]
    colours = Colours(torch.zeros(n, MAX_BALLOONS, 2), roof_ab.expand(n, MAX_ROOFS, 2))
    blocks = [canvas.planes[:, 1:3] for canvas in _paint_blocks(scenes.layout, colours, size)]
    return torch.cat([torch.empty(0, 2, size, size), *blocks]) / AB_SCALE


def _mean_roof() -> Tensor:
    return torch.tensor(ROOF_PROBABILITIES) @ torch.tensor(ROOF_AB)


def score(ab: Float[Tensor, "b 2 h w"], scenes: Scenes) -> dict[str, float]:
    """Measure how colourful, how varied and how right a prediction of ab (network units) is, shown as an 8-bit image.

    - `balloon_chroma_ratio`: the sum of the predicted chroma over the sum of the true chroma on balloons. 0 is grey, 1
      is as colourful as the truth.
    - `balloon_hue_concentration`: each balloon's mean ab has a direction, its hue, as a vector of length 1. This is the
      length of the mean of these vectors: 0 if the hues are spread over the circle, 1 if all are equal. A balloon with
      less chroma than 8 bits can show has no direction and counts as a vector of length 0.
    - `background_ab_mae`: the mean absolute error of ab where the colour follows from L.
    - `roof_ab_error_to_median`, `roof_ab_error_to_mean`: on roofs, the mean absolute difference to the posterior median
      and to the posterior mean.

    A value is NaN if the scenes have no such pixel. Raises ValueError if the shape of `ab` is not that of the scenes.
    """
    if ab.shape != scenes.true_ab.shape:
        raise ValueError(f"expected ab of shape {tuple(scenes.true_ab.shape)}, got {tuple(ab.shape)}")
    shown = split_lab(to_float(to_uint8(join_lab(scenes.L, ab.detach().float().cpu(), gamut="chroma"))))[1]
    balloons, roofs, background = (scenes.masks[name] for name in ("balloons", "roofs", "background"))
    chroma, true_chroma = (colour.norm(dim=1)[balloons].sum() for colour in (shown, scenes.true_ab))
    return {
        "balloon_chroma_ratio": (chroma / true_chroma).item(),
        "balloon_hue_concentration": _hue_concentration(shown, scenes.balloon_id),
        "background_ab_mae": _error(shown, scenes.true_ab, background),
        "roof_ab_error_to_median": _error(shown, torch.tensor(ROOF_AB[0])[:, None, None], roofs),
        "roof_ab_error_to_mean": _error(shown, _mean_roof()[:, None, None], roofs),
    }


# At the L* of a balloon, one 8-bit step changes ab by about this much. A mean chroma below it counts as grey.
GREY_CHROMA = 0.01


def _hue_concentration(ab: Tensor, balloon_id: Tensor) -> float:
    """Mean resultant length (Mardia and Jupp, Directional Statistics, 2000, eq. 2.3.5) of the balloons' directions."""
    # Each balloon of the batch gets its own number, so that bincount sums a and b over the pixels of each balloon.
    number = torch.arange(len(ab))[:, None, None] * (MAX_BALLOONS + 1) + balloon_id
    on = balloon_id > 0
    n_numbers = len(ab) * (MAX_BALLOONS + 1)
    count = torch.bincount(number[on], minlength=n_numbers)
    mean = torch.stack([torch.bincount(number[on], channel[on].double(), n_numbers) for channel in ab.unbind(1)], 1)
    mean = mean[count > 0] / count[count > 0, None]
    length = mean.norm(dim=1, keepdim=True)
    direction = torch.where(length > GREY_CHROMA, mean / length, 0.0)
    return direction.mean(0).norm().item()


def _error(ab: Tensor, target: Tensor, mask: Tensor) -> float:
    return (ab - target).abs().mean(1)[mask].mean().item()


# ----------------------------------------------------------------------------- chance


def _uniforms(stream: str, n: int, indices: list[int], split: str, seed: int) -> Tensor:
    """Draw `n` numbers in 0..1 for each scene.

    The layout (and with it L) and the free colours are drawn from separate streams. Nothing about the free colours can
    therefore be learnt from L.
    """
    rows = [torch.rand(n, generator=make_rng("scenes", stream, split, seed, index)) for index in indices]
    return torch.stack(rows) if rows else torch.empty(0, n)


def _colours(numbers: Float[Tensor, "b n"]) -> Colours:
    second = (numbers[:, MAX_BALLOONS:] >= ROOF_PROBABILITIES[0]).long()
    return Colours(balloon_ab(2 * math.pi * numbers[:, :MAX_BALLOONS]), torch.tensor(ROOF_AB)[second])


class _Dice:
    """Return the random numbers of all scenes one after the other, each scaled to the range low..high of the call."""

    def __init__(self, numbers: Float[Tensor, "b n"]) -> None:
        self.numbers = numbers.T[:, :, None, None]
        self.used = 0

    def __call__(self, low: float | Tensor, high: float | Tensor) -> Float[Tensor, "b 1 1"]:
        self.used += 1
        return low + (high - low) * self.numbers[self.used - 1]


# ----------------------------------------------------------------------------- the painter


class _Canvas:
    """A batch of scenes that is being painted, from back to front.

    `codes` holds the code of what covers most of a pixel. `planes` holds L*, a*, b* and a fourth plane, in which the
    codes are blended in the same way as the colours. Where the blended code differs from the code, colours are mixed.

    A shape is given by the signed distance of each pixel to its edge: positive inside, in units of the image's side. An
    edge is one pixel wide.
    """

    def __init__(self, n: int, size: int) -> None:
        self.size = size
        self.planes = torch.zeros(n, 4, size, size)
        self.codes = torch.zeros(n, size, size, dtype=torch.uint8)
        grid = (torch.arange(size) + 0.5) / size
        self.x, self.y = grid[None, None, :], grid[None, :, None]

    def paint(self, inside: Tensor, L: Tensor, material: Material) -> None:
        ab = [base + slope * (L - material.L) for base, slope in zip(material.ab, material.slope, strict=True)]
        self.paint_ab(inside, L, ab, material.code)

    def paint_ab(self, inside: Tensor, L: Tensor, ab: Iterable[Tensor], code: int) -> None:
        cover = self.cover(inside)
        for plane, value in zip(self.planes.unbind(1), (L, *ab, torch.tensor(float(code))), strict=True):
            plane.lerp_(value, cover)
        self.codes.masked_fill_(cover >= 0.5, code)

    def cover(self, inside: Tensor) -> Tensor:
        """Return the share of each pixel that a shape covers: 1/2 on its edge, 1 from half a pixel inside."""
        return (inside * self.size + 0.5).clamp_(0, 1)

    def pure(self) -> Bool[Tensor, "b h w"]:
        """Mark the pixels of one colour, at least a pixel away from any edge: all 3x3 pixels have the same code."""
        padded = pad(self.codes[:, None].float(), (1, 1, 1, 1), mode="replicate")[:, 0].to(torch.uint8)
        middle = padded[:, :, 1:-1]
        row = (middle == padded[:, :, :-2]) & (middle == padded[:, :, 2:])
        column = (self.codes == middle[:, :-2]) & (self.codes == middle[:, 2:])
        return column & row[:, :-2] & row[:, 1:-1] & row[:, 2:] & (self.planes[:, 3] == self.codes)

    def wave(self, phase: Tensor, cycles: float) -> Tensor:
        """Return sin(2 pi phase), with a lower amplitude the closer the wave is to two pixels per cycle.

        `cycles` is the number of cycles along the image's side. Below two pixels per cycle, the wave would alias.
        """
        strength = min(max(self.size / (2 * cycles) - 1, 0.0), 1.0)
        return torch.sin(2 * math.pi * phase).mul_(strength)

    def disc(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        return radius - ((self.x - x).square() + (self.y - y).square()).sqrt_()

    def box(self, x: Tensor, y: Tensor, half_width: Tensor, half_height: Tensor) -> Tensor:
        return torch.minimum(half_width - (self.x - x).abs(), half_height - (self.y - y).abs())


def _union(shapes: Iterable[Tensor]) -> Tensor:
    """Return the union of shapes, which is the maximum of their signed distances."""
    first, *others = shapes
    for shape in others:
        first = torch.maximum(first, shape)
    return first


def _scenes(layout: Tensor, colours: Colours, size: int) -> Scenes:
    rgb = torch.empty(len(layout), 3, size, size, dtype=torch.uint8)
    codes = torch.empty(len(layout), size, size, dtype=torch.uint8)
    regions = torch.empty_like(codes)
    start = 0
    for canvas in _paint_blocks(layout, colours, size):
        here = slice(start, start := start + len(canvas.codes))
        rgb[here] = to_uint8(lab_to_rgb(canvas.planes[:, :3]))
        codes[here] = canvas.codes
        regions[here] = canvas.codes * canvas.pure()
    return Scenes(rgb, _class(layout), codes, regions, colours, layout)


def _class(layout: Tensor) -> Tensor:
    return (layout[:, 0] * len(CLASSES)).long()


def _paint_blocks(layout: Tensor, colours: Colours, size: int) -> Iterator[_Canvas]:
    n = max(1, BLOCK_PIXELS // size**2)
    pieces = [tensor.split(n) for tensor in (layout, colours.balloon_ab, colours.roof_ab)]
    for numbers, balloon_ab, roof_ab in zip(*pieces, strict=True):
        yield _paint(numbers, Colours(balloon_ab, roof_ab), size)


def _paint(layout: Tensor, colours: Colours, size: int) -> _Canvas:
    canvas, dice = _Canvas(len(layout), size), _Dice(layout)
    scene_class = dice(0, len(CLASSES)).floor()
    meadow, sea, forest, town = (scene_class == k for k in range(len(CLASSES)))
    horizon = dice(0.58, 0.66)
    _paint_sky(canvas, dice)
    _paint_hills(canvas, dice, horizon)
    _paint_grass(canvas, dice, horizon)
    _paint_sea(canvas, dice, horizon, sea)
    _paint_forest(canvas, dice, horizon, forest)
    _paint_round_trees(canvas, dice, horizon, meadow)
    _paint_houses(canvas, dice, meadow, town, colours.roof_ab)
    _paint_balloons(canvas, dice, torch.where(meadow | town, 0.45, 0.75), colours.balloon_ab)
    return canvas


# An object that a scene does not have is drawn with this signed distance at every pixel, so that it covers nothing.
ABSENT = -1.0


def _paint_sky(canvas: _Canvas, dice: _Dice) -> None:
    zenith, horizon = dice(79, 85), dice(90, 93)
    L = zenith + (horizon - zenith) * (canvas.y / 0.6).clamp(max=1) + 0 * canvas.x
    puffs = []
    for _ in range(2):
        x, y, radius = dice(0, 1), dice(0.05, 0.5), dice(0.04, 0.08)
        for dx, dy, scale in ((-1.2, 0.25, 0.75), (0.0, 0.0, 1.0), (1.25, 0.3, 0.7)):
            puffs.append(canvas.disc(x + dx * radius, y + dy * radius, scale * radius))
    L.lerp_(torch.tensor(96.5), canvas.cover(_union(puffs)))
    canvas.paint(torch.tensor(1.0), L, SKY)


def _paint_hills(canvas: _Canvas, dice: _Dice, horizon: Tensor) -> None:
    for height, L in ((0.12, 76), (0.07, 70)):
        x, swing = canvas.x * dice(0.8, 1.6) + dice(0, 1), canvas.x * dice(2, 3) + dice(0, 1)
        profile = canvas.wave(x, 2) + 0.4 * canvas.wave(swing, 3)
        top = horizon - height * dice(0.3, 1) * (0.6 + 0.4 * profile)
        canvas.paint(canvas.y - top, L - 12 * (canvas.y - top), HILLS)


def _paint_grass(canvas: _Canvas, dice: _Dice, horizon: Tensor) -> None:
    lean = canvas.wave(canvas.y * dice(1.5, 3) + dice(0, 1), 3)
    tufts = canvas.wave(canvas.x * dice(7, 9) + 0.4 * lean + dice(0, 1), 9)
    tufts = tufts * canvas.wave(canvas.y * dice(5, 7) + 0.3 * tufts, 7)
    inside = canvas.y - horizon - 0.015 * canvas.wave(canvas.x * dice(0.5, 1.5) + dice(0, 1), 2)
    canvas.paint(inside, dice(64, 68) - 14 * (canvas.y - horizon) + 3.5 * tufts, GRASS)


def _paint_sea(canvas: _Canvas, dice: _Dice, horizon: Tensor, sea: Tensor) -> None:
    swell = canvas.wave(canvas.x * dice(1, 2.5) + dice(0, 1), 3)
    waves = canvas.wave(canvas.y * dice(8, 9.5) + 0.25 * swell + dice(0, 1), 9)
    L = dice(58, 62) + 4 * waves - 8 * (canvas.y - horizon)
    canvas.paint(torch.where(sea, canvas.y - horizon, ABSENT), L, SEA)
    shore = dice(0.84, 0.92) + 0.03 * canvas.wave(canvas.x * dice(0.6, 1.4) + dice(0, 1), 2)
    grains = canvas.wave(canvas.x * 11 + canvas.y * 4 + dice(0, 1), 12) * canvas.wave(canvas.y * 11 - canvas.x * 3, 12)
    canvas.paint(torch.where(sea, canvas.y - shore, ABSENT), 84 + 1.5 * grains, SAND)


def _paint_forest(canvas: _Canvas, dice: _Dice, horizon: Tensor, forest: Tensor) -> None:
    for L, height in ((46, 0.22), (38, 0.14)):
        cycles = dice(5, 6.5)
        crowns = (((canvas.x * cycles + dice(0, 1)) % 1) - 0.5).abs() * 2
        uneven = canvas.wave(canvas.x * dice(1, 2) + dice(0, 1), 2)
        top = horizon - height + 0.03 * uneven + 0.12 * crowns
        needles = canvas.wave(canvas.y * 9 + 0.3 * crowns + dice(0, 1), 9)
        inside = torch.minimum(0.6 * (canvas.y - top), horizon + 0.2 - height / 2 - canvas.y)
        canvas.paint(torch.where(forest, inside, ABSENT), L + 2.5 * needles + 4 * (0.5 - crowns), TREES)


def _paint_round_trees(canvas: _Canvas, dice: _Dice, horizon: Tensor, meadow: Tensor) -> None:
    crowns, trunks = [], []
    for k in range(3):
        x, radius = dice(0.05, 0.3) + k / 3, dice(0.06, 0.1)
        ground = horizon + dice(0.06, 0.24)
        crowns.append(canvas.disc(x, ground - 2 * radius, radius))
        trunks.append(canvas.box(x, ground - 0.6 * radius, 0.16 * radius, 0.6 * radius))
    leaves = canvas.wave(canvas.x * 8 + dice(0, 1), 8) * canvas.wave(canvas.y * 8 + dice(0, 1), 8)
    canvas.paint(torch.where(meadow, _union(trunks), ABSENT), torch.tensor(40.0), WOOD)
    crown = _union(crowns)
    canvas.paint(torch.where(meadow, crown, ABSENT), 42 + 4 * leaves - 40 * crown, TREES)


def _paint_houses(canvas: _Canvas, dice: _Dice, meadow: Tensor, town: Tensor, roof_ab: Tensor) -> None:
    lone = meadow & (dice(0, 1) < 0.5)
    place = dice(0, MAX_ROOFS).floor()
    walls, doors, roofs = [], [], []
    for k in range(MAX_ROOFS):
        # Each house is limited to its own columns of pixels, so that no pixel mixes the colours of two roofs. The
        # median of such a mixture would not be the mixture of the two medians.
        there = (town | (lone & (place == k))) & ((canvas.x * MAX_ROOFS).floor() == k)
        x, base = (k + 0.5) / MAX_ROOFS + dice(-0.01, 0.01), dice(0.84, 0.91)
        half, wall, roof = dice(0.09, 0.105), dice(0.13, 0.16), dice(0.17, 0.2)
        ridge = base - wall - roof
        walls.append(torch.where(there, canvas.box(x, base - wall / 2, half, wall / 2), ABSENT))
        doors.append(torch.where(there, canvas.box(x, base - 0.04, half / 4, wall / 4), ABSENT))
        slanted = half - 0.03 + 0.4 * (canvas.y - ridge) - (canvas.x - x).abs()
        level = roof / 2 - (canvas.y - ridge - roof / 2).abs()
        roofs.append(torch.where(there, torch.minimum(slanted, level), ABSENT))
    canvas.paint(_union(walls), torch.tensor(91.0), WALL)
    canvas.paint(_union(doors), torch.tensor(40.0), WOOD)
    for k, (inside, ab) in enumerate(zip(roofs, roof_ab.unbind(1), strict=True)):
        tiles = canvas.wave(canvas.y * 12 + dice(0, 1), 12)
        L = dice(48, 60) + 2 * tiles
        canvas.paint_ab(inside, L, (AB_SCALE * ab).T[:, :, None, None], ROOF_CODE + k)


def _paint_balloons(canvas: _Canvas, dice: _Dice, floor: Tensor, balloon_ab: Tensor) -> None:
    """Paint one to three balloons, side by side above `floor`, so that none touches another balloon or a roof."""
    number = dice(1, MAX_BALLOONS + 1).floor()
    baskets = []
    for k, ab in enumerate(balloon_ab.unbind(1)):
        radius = dice(0.11, (0.46 / number).clamp(max=0.23).minimum((floor - 0.02) / 2.8))
        x = (k + 0.5) / number + dice(-1, 1) * (0.48 / number - radius)
        y = dice(radius + 0.02, floor - 1.8 * radius)
        dx, dy = (canvas.x - x) / radius, (canvas.y - y) / radius
        stretched = torch.where(dy > 0, dy / 1.35, dy)
        inside = radius * (1 - (dx.square() + stretched.square()).sqrt_())
        half_width = (1 - stretched.square()).clamp(min=0.05).sqrt_()
        stripes = canvas.wave(dice(0.8, 1.6) * dx / half_width + dice(0, 1), 4)
        L = (dice(59, 73) + 3 * stripes - 2 * (dx + dy)).clamp(*BALLOON_L)
        there = k < number
        canvas.paint_ab(torch.where(there, inside, ABSENT), L, (AB_SCALE * ab).T[:, :, None, None], BALLOON_CODE + k)
        basket = canvas.box(x, y + 1.6 * radius, 0.2 * radius, 0.14 * radius)
        baskets.append(torch.where(there, basket, ABSENT))
    canvas.paint(_union(baskets), torch.tensor(40.0), WOOD)
