"""Drawn, painted and built: filters that redraw the photo from its edges, regions and neighbourhoods.

Every function takes a photo and returns one, float32 (H, W, 3), RGB; `filters.apply` clips to 0..1. The numbers are
chosen by eye on landscapes, faces and buildings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay
from skimage.segmentation import slic

from e2gan.teachers.filters import pixels as px


def dodge(plane: px.Floats, sigma: float) -> px.Floats:
    """White paper that keeps only what is darker than its surroundings (colour dodge by the blurred negative)."""
    return np.clip(plane / np.maximum(px.blur(plane, sigma), 0.02), 0, 1)


def repaint(photo: px.Floats, tones: px.Floats) -> px.Floats:
    """The photo's hues at another brightness; lifted shadows gain colour more slowly than light."""
    grey = px.luma(photo)
    gain = np.sqrt((tones + 0.05) / (np.maximum(grey, 0) + 0.05))
    return np.clip(tones[..., None] + (photo - grey[..., None]) * gain[..., None], 0, 1)


def sketch(photo: px.Floats) -> px.Floats:
    grey = px.luma(photo)
    contour = dodge(grey, 5) ** 2.2
    hatch = px.streaks(grey + 1.5 * (grey - px.blur(grey, 3)), 12, -50)
    shade = px.tone(hatch, (0, 0.5), (0.3, 0.82), (0.55, 0.98), (1, 1))
    return (contour * shade)[..., None] * px.rgb(250, 248, 242) + (1 - contour * shade)[..., None] * px.rgb(46, 46, 52)


def crayon(photo: px.Floats) -> px.Floats:
    vivid = px.saturate(photo, 1.6)
    grain = px.streaks(vivid + 2.0 * (photo - px.blur(photo, 2.5)), 11, -55)
    colour = px.tone(grain, (0, 0.2), (0.35, 0.62), (0.7, 0.92), (1, 1))
    contour = dodge(px.luma(photo), 3) ** 1.6
    return colour * (0.25 + 0.75 * contour)[..., None] * px.rgb(255, 252, 244)


def charcoal(photo: px.Floats) -> px.Floats:
    grey = px.luma(photo)
    bold = grey + 1.6 * (px.blur(grey, 1) - px.blur(grey, 8))
    strokes = px.streaks(bold + 2.2 * (grey - px.blur(grey, 2)), 8, -38)
    masses = px.smoothstep(0.06, 0.66, strokes)
    contour = 1 - px.ink_lines(grey, 1.8, 0.008, 0.04)
    drawn = masses * (0.1 + 0.9 * contour)
    return px.blend(px.rgb(20, 19, 20), px.rgb(240, 233, 220), drawn[..., None])


def neon(photo: px.Floats) -> px.Floats:
    down, right = px.slope(px.lightness(px.smooth(photo, 2, 0.05)), 1.0)
    edge = np.hypot(down, right)
    edge = px.smoothstep(0.3, 1.4, edge / (0.025 + 0.7 * px.blur(edge, 10)))  # faint contours among faint ones glow too
    tint = px.blur(photo, 3)
    tint = tint / np.maximum(tint.max(-1, keepdims=True), 0.05)
    tint = px.saturate(tint, 3.0)
    row, column = px.position(photo)
    sweep = np.broadcast_to(0.5 + 0.5 * np.sin(3.5 * (row - column)), edge.shape).astype(np.float32)
    tint = px.blend(tint, px.blend(px.rgb(0, 240, 255), px.rgb(255, 30, 200), sweep[..., None]), 0.55)
    tube = edge[..., None] * tint
    lit = photo * 0.07 * px.rgb(120, 100, 255) + tube + 1.4 * px.blur(tube, 4)
    return px.screen(lit, px.smoothstep(0.75, 1.0, edge)[..., None] * 0.3)


def comic(photo: px.Floats) -> px.Floats:
    flat = px.blur(px.kuwahara(px.saturate(photo, 1.7), 4), 0.7)
    colour = repaint(flat, px.step_tones(px.tone(px.luma(flat), (0, 0), (0.5, 0.58), (1, 1)), 5, 0.12))
    pen = px.ink_lines(px.luma(flat) + 0.5 * px.lightness(flat), 1.6, 0.016, 0.036)
    black = np.maximum(pen, px.smoothstep(0.17, 0.11, px.luma(flat)))
    return px.blend(colour, px.rgb(10, 8, 14), black)


def cartoon(photo: px.Floats) -> px.Floats:
    flat = px.smooth(px.kuwahara(photo, 3), 3, 0.02)
    steps = px.step_tones(px.tone(px.luma(flat), (0, 0.16), (0.4, 0.62), (1, 1)), 8, 0.25)
    line = px.ink_lines(px.luma(flat) + 0.5 * px.lightness(flat), 1.3, 0.01, 0.038)
    return px.blend(px.saturate(repaint(flat, steps), 1.5), px.rgb(84, 44, 48), 0.92 * line)


def stone(photo: px.Floats) -> px.Floats:
    grey = px.lightness(px.smooth(photo, 2, 0.06))
    down, right = px.slope(grey, 0.7)
    relief = 0.52 + np.clip(5.0 * (down + right), -0.5, 0.5) + 0.18 * (px.blur(grey, 6) - 0.5)
    return px.gradient_map(relief, {0: "2c241e", 0.35: "80705e", 0.6: "beae96", 1: "fff8e4"})


def blueprint(photo: px.Floats) -> px.Floats:
    down, right = px.slope(px.lightness(px.smooth(photo, 2, 0.05)), 0.6)
    edge = np.hypot(down, right)
    line = px.smoothstep(0.2, 1.1, edge / (0.03 + 0.5 * px.blur(edge, 10)))
    paper = px.rgb(18, 62, 140) * (0.8 + 0.4 * px.blur(px.luma(photo), 8))[..., None]
    return px.blend(paper, px.rgb(226, 238, 255), 0.95 * line)


def watercolour(photo: px.Floats) -> px.Floats:
    wash = px.flow(px.kuwahara(photo, 5), 8)
    pale = px.tone(px.saturate(wash, 1.35), (0, 0.14), (0.4, 0.58), (0.8, 0.94), (1, 1))
    grey = px.luma(wash)
    rim = 2.2 * np.clip(px.blur(grey, 2.2) - grey, 0, 0.12)  # pigment gathers where a wash ends
    bloom = 0.4 * (px.blur(grey, 9) - px.blur(grey, 3))
    painted = (pale - (rim - bloom)[..., None]) * px.rgb(255, 252, 245)
    row, column = px.position(photo)
    inside = np.minimum(np.minimum(row, 1 - row), np.minimum(column, 1 - column))
    sheet = px.smoothstep(0.0, 0.09, inside + 0.12 * (0.5 - px.blur(px.luma(photo), 4)))  # the paper's rim stays bare
    return px.blend(px.rgb(252, 249, 240), painted, sheet)


def oil(photo: px.Floats) -> px.Floats:
    strokes = px.flow(px.kuwahara(px.saturate(photo, 1.45), 4), 12)
    strokes = strokes + 1.2 * (strokes - px.blur(strokes, 2))
    down, right = px.slope(px.luma(strokes), 0.5)
    relief = np.clip(1.6 * (down + right), -0.16, 0.16)  # thick paint, lit from the upper left
    return px.contrast(np.clip(strokes, 0, 1), 1.12, 0.45) + relief[..., None]


WARM = {0: "2c0a54", 0.33: "ec1e78", 0.66: "ffa61e", 1: "fff478"}
COOL = {0: "140e60", 0.33: "0078be", 0.66: "3cdcc8", 1: "fafcdc"}


def pop_art(photo: px.Floats) -> px.Floats:
    flat = px.blur(px.kuwahara(px.smooth(photo, 3, 0.06), 4), 1)
    tones = px.step_tones(px.contrast(0.6 * px.luma(flat) + 0.4 * px.lightness(flat), 1.4, 0.56), 4, 0.06)
    hue, chroma = px.hue_and_chroma(flat)
    cool = px.smoothstep(0.02, 0.06, chroma) * px.smoothstep(60, 80, hue) * px.smoothstep(300, 280, hue)
    return px.blend(px.gradient_map(tones, WARM), px.gradient_map(tones, COOL), cool)


def regions(photo: px.Floats, count: int, compactness: float) -> NDArray[np.integer]:
    """SLIC superpixels, (H, W) labels from 0; fewer on a small photo, so that each keeps about 16 pixels."""
    height, width = photo.shape[:2]
    count = max(4, min(round(count * max(height, width) / min(height, width)), height * width // 16))
    return slic(np.clip(photo, 0, 1), n_segments=count, compactness=compactness, sigma=0, start_label=0, max_num_iter=6)


def mosaic(photo: px.Floats) -> px.Floats:
    labels = regions(px.smooth(photo, 2, 0.05), 800, 10)
    tiles = px.contrast(px.saturate(px.flat_colours(photo, labels), 1.5), 1.15, 0.36)
    return px.blend(tiles, px.rgb(46, 38, 34), 0.8 * px.borders(labels, 1.2))


def stained_glass(photo: px.Floats) -> px.Floats:
    labels = regions(px.smooth(photo, 4, 0.1), 170, 9)
    glass = px.saturate(px.contrast(px.flat_colours(photo, labels), 1.3, 0.42), 2.2)
    lit = glass * (1.1 + 0.5 * (px.blur(px.luma(photo), 5) - 0.5))[..., None]
    lead = px.borders(labels, 3.2)
    return px.blend(lit + 0.25 * px.blur(lit, 7), px.rgb(8, 8, 12), lead)


def halftone(photo: px.Floats) -> px.Floats:
    pitch = max(3.6 * px.unit(photo), 2.2)
    grey = px.blur(px.luma(photo), 1.2)
    grey = px.tone(grey + 0.8 * (grey - px.blur(grey, 6)), (0, 0.04), (0.5, 0.56), (1, 0.98))
    height, width = grey.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) * np.float32(np.pi / pitch)
    screen_ = 0.5 + 0.25 * (np.cos(y + x) + np.cos(y - x))  # a grid turned by 45 degrees
    soft = 0.45 / pitch  # antialiased: an edge of about a pixel
    dots = px.smoothstep(-soft, soft, grey - px.tone(screen_, (0, 0.03), (0.5, 0.5), (1, 0.97)))
    return px.blend(px.rgb(26, 24, 28), px.rgb(244, 236, 216), dots[..., None])


def low_poly(photo: px.Floats) -> px.Floats:
    height, width = photo.shape[:2]
    cell = max(round(15 * px.unit(photo)), 4)
    rows, columns = height // cell, width // cell
    down, right = px.slope(px.luma(px.smooth(photo, 3, 0.1)), 1.0)
    strength = np.hypot(down, right)[: rows * cell, : columns * cell]
    cells = strength.reshape(rows, cell, columns, cell).swapaxes(1, 2).reshape(rows, columns, -1)
    middle = -np.hypot(*np.mgrid[-1 : 1 : cell * 1j, -1 : 1 : cell * 1j]).ravel()
    best = (cells + 0.01 * middle).argmax(-1)  # a corner at the strongest edge of each cell, else in its middle
    y = best // cell + cell * np.arange(rows)[:, None]
    x = best % cell + cell * np.arange(columns)
    frame_y, frame_x = np.linspace(-1, height, rows + 1), np.linspace(-1, width, columns + 1)
    frame = [np.stack([frame_y, np.full_like(frame_y, end)], -1) for end in (-1, width)]
    frame += [np.stack([np.full_like(frame_x, end), frame_x], -1)[1:-1] for end in (-1, height)]
    mesh = Delaunay(np.concatenate([np.stack([y.ravel(), x.ravel()], -1), *frame]))
    labels = mesh.find_simplex(np.indices((height, width)).reshape(2, -1).T).reshape(height, width)
    return px.saturate(px.contrast(px.flat_colours(photo, np.maximum(labels, 0)), 1.1), 1.25)


def pixel_art(photo: px.Floats) -> px.Floats:
    side = max(round(8 * px.unit(photo)), 2)
    height, width = photo.shape[:2]
    labels = (np.arange(height) // side)[:, None] * -(-width // side) + np.arange(width) // side
    blocks = px.saturate(px.contrast(px.flat_colours(photo, labels), 1.2, 0.42), 1.6)
    return repaint(blocks, px.step_tones(px.luma(blocks), 7, 0.1))
