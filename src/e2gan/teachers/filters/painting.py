"""Strokes: filters that lay lines, dabs and dots by the photo's own directions, which no colour table can.

Every function takes a photo and returns one, float32 (H, W, 3), RGB; `filters.apply` clips to 0..1. What is irregular
in them (where a dot lies, how a bristle runs) comes from a fixed seed and is tied to the place in the photo, the same
for all photos of a shape, so that a network can learn of it what it can tell of the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e2gan.teachers.filters import pixels as px
from e2gan.teachers.filters.drawing import repaint

HAND = np.radians(-45)  # the way of the strokes where nothing in the photo gives one
WAYS = 16  # directions of hatched lines
GOLDEN = (5**0.5 - 1) / 2  # of a turn: any number of lattices, no two of them alike
HATCHES = ((0, 5.0, 1.0, 0.12), (65, 5.0, 0.58, 0.08), (-50, 4.6, 0.36, 0.0))
"""Layers of hatching: turn against the contour in degrees, pitch, the tones where it starts and is at its boldest."""
TINTS = np.array([[0.14, 0.0, -0.2], [-0.16, 0.05, 0.2], [0.16, -0.1, 0.06], [-0.14, 0.1, -0.08]], np.float32)
TINTS -= (TINTS @ px.LUMA)[:, None]  # yellow, blue, pink and green at no other brightness


def direction(photo: px.Floats, calm: float) -> px.Floats:
    """Angle of the photo's contours in radians, (H, W): 0 to the right, pi / 2 down; a turn by pi is the same.

    Of a structure tensor averaged over `calm`, in which a faint edge counts nearly as much as a bold one.
    """
    down, right = px.slope(px.luma(photo), 1.5)
    even = (down * down + right * right + np.float32(0.015**2)) ** np.float32(-0.35)
    yy, xx, xy = (px.blur(product * even, calm) for product in (down * down, right * right, down * right))
    rest = 5e-4 * np.exp(2j * (HAND + np.pi / 2))  # a gradient across the hand's own way
    twice = np.arctan2(2 * xy + np.float32(rest.imag), xx - yy + np.float32(rest.real))
    return 0.5 * twice + np.float32(np.pi / 2)


def grain(photo: px.Floats, pitch: float, seed: int) -> px.Floats:
    """Smooth noise of the place, (H, W), mean 0 and deviation 1 or so: the same for all photos of a shape."""
    lattice = np.random.default_rng(seed).standard_normal((64, 64), np.float32)
    ends = []
    for length in photo.shape[:2]:
        at = (np.arange(length) + 0.5) / (pitch * px.unit(photo))
        first = at.astype(np.intp)
        ends.append((first % 64, (first + 1) % 64, (at - first).astype(np.float32)))
    (top, bottom, down), (left, right, over) = ends
    rows = lattice[top] + (lattice[bottom] - lattice[top]) * down[:, None]
    return np.float32(1.5) * (rows[:, left] + (rows[:, right] - rows[:, left]) * over)


def waves(angle: px.Floats, pitch: float) -> px.Floats:
    """Waves, (H, W) in -1..1, `pitch` pixels from crest to crest, whose crests run along `angle`.

    Straight gratings, one for each of `WAYS` directions and all tied to the place. Between two directions both are
    mixed and brought back to full strength (as phasor noise is), so that lines fork as an engraver's do.
    """
    y, x = (axis.astype(np.float32) for axis in np.ogrid[: angle.shape[0], : angle.shape[1]])
    turn = angle * np.float32(WAYS / np.pi)
    first = np.floor(turn)
    mixed = np.zeros((*angle.shape, 2), np.float32)
    for way, share in ((first, 1 - (turn - first)), (first + 1, turn - first)):
        crest = (way % WAYS) * np.float32(np.pi / WAYS)
        phase = np.float32(2 * np.pi / pitch) * (np.cos(crest) * y - np.sin(crest) * x)
        mixed += px.smoothstep(0.2, 0.8, share)[..., None] * np.stack([np.cos(phase), np.sin(phase)], -1)
    mixed = px.blur(mixed, 1.2)
    return mixed[..., 0] / np.maximum(np.hypot(mixed[..., 0], mixed[..., 1]), np.float32(1e-3))


def hatching(photo: px.Floats) -> px.Floats:
    grey = 0.5 * (px.luma(photo) + px.lightness(photo))
    grey = px.blur(grey, 1) + 0.6 * (grey - px.blur(grey, 10))
    angle = direction(photo, 7)
    bare = 1 - 0.9 * px.ink_lines(px.lightness(px.smooth(photo, 2, 0.04)), 1.1, 0.012, 0.04)
    for turn, spacing, start, bold in HATCHES:
        pitch = max(spacing * px.unit(photo), 2.4)
        dark = px.smoothstep(start, bold, grey)
        soft = 1.9 / pitch  # antialiased: an edge of about a pixel
        thin = (1 + soft) * (1 - dark) - 0.5 * dark  # what a crest must reach to be inked
        bare *= 1 - 0.9 * px.smoothstep(-soft, soft, waves(angle + np.float32(np.radians(turn)), pitch) - thin)
    return px.blend(px.rgb(24, 26, 40), px.rgb(250, 246, 236), bare[..., None])


def brush(photo: px.Floats) -> px.Floats:
    vivid = px.saturate(px.kuwahara(photo, 4), 1.9)
    detail = px.luma(photo) - px.blur(px.luma(photo), 3)
    layers = np.concatenate([vivid, grain(photo, 2.6, 1)[..., None], detail[..., None]], -1)
    mixed = px.along(layers, direction(photo, 6), 26, 1.5)
    bristle = np.clip(2.2 * mixed[..., 3], -2, 2)
    tones = px.contrast(px.luma(mixed[..., :3]), 1.15, 0.45) + 0.055 * bristle + 2 * mixed[..., 4]
    warm = bristle[..., None] * np.array([0.05, 0.025, -0.05], np.float32)
    return repaint(px.saturate(mixed[..., :3], 1.25), np.clip(tones, 0, 1)) + warm


def sectors(photo: px.Floats, angle: px.Floats, radius: float) -> px.Floats:
    """Anisotropic Kuwahara filter: each pixel takes the mean of the calmest of eight sectors of an ellipse that lies
    along `angle`; a sector is a blur around its middle."""
    height, width = angle.shape
    grey = px.luma(photo)
    blurred = px.blur(np.concatenate([photo, (grey * grey)[..., None]], -1), 0.42 * radius).reshape(-1, 4)
    y, x = (axis.astype(np.float32) + np.float32(0.5) for axis in np.ogrid[:height, :width])
    sin, cos = np.sin(angle), np.cos(angle)
    total, weights = np.zeros_like(photo), np.zeros_like(grey)
    for turn in np.pi / 8 * np.arange(1, 16, 2):
        ahead = np.float32(1.3 * radius * px.unit(photo) * np.cos(turn))
        aside = np.float32(radius / 1.3 * px.unit(photo) * np.sin(turn))
        row = np.clip(y + ahead * sin + aside * cos, 0, height - 1).astype(np.intp)
        column = np.clip(x + ahead * cos - aside * sin, 0, width - 1).astype(np.intp)
        found = blurred[row * width + column]
        mean = found[..., :3]
        weight = (np.maximum(found[..., 3] - px.luma(mean) ** 2, 0) + np.float32(2e-4)) ** -2
        weight *= weight  # a soft choice of the least variance
        total += mean * weight[..., None]
        weights += weight
    return total / weights[..., None]


def kuwahara(photo: px.Floats) -> px.Floats:
    angle = direction(photo, 4)
    flat = sectors(sectors(px.saturate(photo, 1.5), angle, 4.5), angle, 3)
    crisp = flat + 0.9 * (flat - px.blur(flat, 2))
    return px.tone(np.clip(crisp, 0, 1), (0, 0.05), (0.25, 0.3), (0.6, 0.74), (1, 1))


@dataclass(frozen=True)
class Lattice:
    """One layer of dabs, one in each cell of a square lattice that is turned against the photo; n cells in all."""

    down: px.Floats
    """How far each pixel's middle is from that of its cell's dab, in pixels, (H, W)."""
    right: px.Floats
    cell: NDArray[np.intp]
    """Each pixel's cell, (H, W)."""
    row: NDArray[np.intp]
    """The pixel of the photo in each dab's middle, (n,); of a dab that begins outside, the nearest."""
    column: NDArray[np.intp]
    chance: px.Floats
    """Two numbers in 0..1 for each dab, (n, 2), the same for all photos."""

    @classmethod
    def over(cls, photo: px.Floats, side: float, number: int) -> Lattice:
        """Cells of `side` pixels, each with its dab up to a tenth or so off its middle; `number` is the seed."""
        height, width = photo.shape[:2]
        rng = np.random.default_rng(number)
        turn, (shift_u, shift_v) = 2 * np.pi * GOLDEN * number, rng.random(2)
        sin, cos = np.sin(turn), np.cos(turn)
        y, x = (axis.astype(np.float32) + np.float32(0.5) for axis in np.ogrid[:height, :width])
        u = np.float32(cos / side) * x + np.float32(sin / side) * y + np.float32(shift_u)
        v = np.float32(cos / side) * y - np.float32(sin / side) * x + np.float32(shift_v)
        whole_u, whole_v = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)
        first_u, first_v = whole_u.min(), whole_v.min()
        across = whole_u.max() - first_u + 1
        cell = (whole_v - first_v) * across + whole_u - first_u
        at_v, at_u = np.divmod(np.arange(cell.max() + 1), across)
        at_u, at_v = at_u + first_u, at_v + first_v
        chance = rng.random((128, 128, 4), np.float32)[at_v % 128, at_u % 128]
        middle_u = side * (at_u + 0.5 + 0.25 * (chance[:, 0] - 0.5) - shift_u)
        middle_v = side * (at_v + 0.5 + 0.25 * (chance[:, 1] - 0.5) - shift_v)
        middle_y = (sin * middle_u + cos * middle_v).astype(np.float32)
        middle_x = (cos * middle_u - sin * middle_v).astype(np.float32)
        row = np.clip(middle_y, 0, height - 1).astype(np.intp)
        column = np.clip(middle_x, 0, width - 1).astype(np.intp)
        return cls(y - middle_y[cell], x - middle_x[cell], cell, row, column, chance[:, 2:])


def pointillism(photo: px.Floats) -> px.Floats:
    colours = px.saturate(px.blur(photo, 1), 1.7)
    canvas = px.blend(px.rgb(250, 244, 228), px.blur(photo, 3), 0.3)
    for number, size in enumerate((8.5, 8.2, 7.9, 7.6, 7.3, 7.0)):
        side = max(size * px.unit(photo), 2.5)
        dots = Lattice.over(photo, side, number)
        paint = colours[dots.row, dots.column]
        tint = TINTS[np.minimum(dots.chance[:, 0] * 4, 3).astype(np.intp)]
        paint = np.clip(paint + tint * (0.4 + 0.8 * px.luma(paint))[:, None], 0, 1)
        radius = side * (0.36 - 0.1 * dots.chance[:, 1] ** 2)
        inside = radius[dots.cell] - np.hypot(dots.down, dots.right)
        canvas = px.blend(canvas, paint[dots.cell], np.clip(inside + 0.5, 0, 1))
    return canvas


def impasto(photo: px.Floats) -> px.Floats:
    angle = direction(photo, 6)
    flat = px.saturate(px.smooth(px.kuwahara(photo, 4), 3, 0.04), 1.5)
    flat = repaint(flat, px.step_tones(px.contrast(px.luma(flat), 1.1, 0.45), 7, 0.3))
    canvas, paint_height = flat, np.zeros_like(angle)
    for number, size in enumerate((26,) * 4 + (22,) * 3 + (18,) * 4 + (14,) * 5):
        side = max(size * px.unit(photo), 5)
        dabs = Lattice.over(photo, side, 50 + number)
        way = angle[dabs.row, dabs.column] + np.float32(0.5) * (dabs.chance[:, 0] - 0.5)
        sin, cos = np.sin(way)[dabs.cell], np.cos(way)[dabs.cell]
        ahead = (dabs.right * cos + dabs.down * sin) / np.float32(0.46 * side)
        aside = (dabs.down * cos - dabs.right * sin) / np.float32(0.17 * side)
        inside = (1 - (ahead**2) ** 2 - aside**2) * np.float32(0.085 * side)
        cover = np.clip(inside + 0.5, 0, 1)
        paint = flat[dabs.row, dabs.column] * (0.94 + 0.12 * dabs.chance[:, 1:])
        bristles = 0.25 * np.cos(7 * aside + 6 * dabs.chance[:, 1][dabs.cell])
        ridge = 0.7 + bristles + 0.5 * aside**2 - 0.3 * ahead  # more paint at the rims and where the dab begins
        canvas = px.blend(canvas, paint[dabs.cell], cover)
        paint_height = px.blend(paint_height, 0.3 * paint_height + ridge, cover)
    down, right = px.slope(paint_height, 0.6)
    light = np.clip(0.7 * min(1, px.unit(photo)) ** 0.5 * (down + right), -0.25, 0.3)  # from the upper left
    return canvas * (1 + light)[..., None] + 0.4 * np.maximum(light - 0.08, 0)[..., None]
