"""Seasons, weather, light and film: filters that keep the photo's drawing and change its colours and light.

Every function takes a photo and returns one, float32 (H, W, 3), RGB; `filters.apply` clips to 0..1. The numbers are
chosen by eye on landscapes, faces and buildings.
"""

from __future__ import annotations

import numpy as np

from e2gan.teachers.filters import pixels as px


def foliage(photo: px.Floats, low: float = 66.0, high: float = 165.0) -> px.Floats:
    """How much each pixel looks like leaves or grass, 0..1: by hue, and not where it is nearly grey."""
    hue, chroma = px.hue_and_chroma(photo)
    return px.band(hue, low, high, 15) * px.smoothstep(0.02, 0.13, chroma)


def sky(photo: px.Floats) -> px.Floats:
    """How much each pixel looks like sky, 0..1: blue or bright, and in the upper part."""
    hue, chroma = px.hue_and_chroma(photo)
    row, _ = px.position(photo)
    blue = px.band(hue, 190, 250, 25) * px.smoothstep(0.03, 0.15, chroma)
    bright = px.smoothstep(0.6, 0.85, px.luma(photo)) * px.smoothstep(0.25, 0.1, chroma)
    return np.maximum(blue, bright) * px.smoothstep(0.75, 0.35, row)


LEAVES = {0: "180804", 0.2: "78220a", 0.4: "cd5210", 0.65: "f59624", 1: "ffecaa"}


def autumn(photo: px.Floats) -> px.Floats:
    hue, _ = px.hue_and_chroma(photo)
    leaves = px.gradient_map(px.tone(px.luma(photo), (0, 0), (0.3, 0.36), (1, 1)), LEAVES)
    leaves[..., 1] *= px.tone(hue, (60, 1.12), (130, 0.78))  # the greener a leaf was, the redder it turns
    warm = px.contrast(photo * np.array([1.08, 1.0, 0.86], np.float32), 1.06, 0.45)
    return px.blend(px.saturate(warm, 1.1), leaves, 0.95 * foliage(photo))


GRASS = {0: "061608", 0.25: "28641c", 0.5: "76b634", 0.75: "c4e870", 1: "faffde"}


def spring(photo: px.Floats) -> px.Floats:
    hue, chroma = px.hue_and_chroma(photo)
    grey = px.luma(photo)
    fresh = px.gradient_map(px.tone(grey, (0, 0.02), (0.3, 0.38), (1, 1)), GRASS)
    dry = px.band(hue, 40, 66, 10) * px.smoothstep(0.12, 0.35, chroma) * px.smoothstep(0.6, 0.4, grey)
    airy = px.tone(px.saturate(photo, 1.2), (0, 0.03), (0.4, 0.5), (1, 1)) * np.array([0.98, 1.03, 1.0], np.float32)
    return px.blend(airy, fresh, np.maximum(0.85 * foliage(photo), 0.6 * dry))


def winter(photo: px.Floats) -> px.Floats:
    grey = px.luma(photo)
    row, _ = px.position(photo)
    hue, chroma = px.hue_and_chroma(photo)
    cold = px.saturate(photo, 0.5) * np.array([0.94, 1.0, 1.08], np.float32)
    cold = px.blend(cold, px.rgb(206, 218, 232) * (0.55 + 0.5 * grey[..., None]), 0.55 * sky(photo))
    earth = px.band(hue, 32, 62, 10) * px.smoothstep(0.08, 0.25, chroma)
    ground = np.maximum(foliage(photo, 56, 180), 0.5 * earth)
    down, _ = px.slope(grey, 1.0)
    lying = px.smoothstep(0.0, 0.05, -down)  # snow lies on what is bright above and dark below
    cover = np.clip(ground * (0.5 + 0.4 * row + 0.5 * lying) + 0.35 * lying * row, 0, 1)
    snow = px.gradient_map(grey, {0: "465c7c", 0.15: "96aece", 0.35: "e8f0fa", 1: "ffffff"})
    return px.blend(px.tone(cold, (0, 0.04), (0.5, 0.58), (1, 1)), snow, cover)


def dusk(photo: px.Floats) -> px.Floats:
    row, _ = px.position(photo)
    light = px.gradient_map(
        np.broadcast_to(row, photo.shape[:2]),
        {0: "4e429c", 0.3: "b05ca0", 0.5: "ff885c", 0.62: "ffa65c", 1: "744e86"},
    )
    dark = px.tone(px.saturate(photo, 0.7), (0, 0), (0.5, 0.4), (1, 0.98))
    return px.screen(dark * light * 1.3, light * (0.1 + 0.32 * sky(photo)[..., None]))


def night(photo: px.Floats) -> px.Floats:
    row, column = px.position(photo)
    grey = px.luma(photo)
    moon = np.exp(-((row - 0.05) ** 2 + (column - 0.85) ** 2) / 0.22).astype(np.float32)
    down, right = px.slope(px.smooth(grey, 3, 0.1), 1.5)
    facing = np.clip(8 * (right - down), -0.6, 0.9)  # edges that look up and right catch the moon
    dark = px.tone(grey * (1 - 0.45 * sky(photo)), (0, 0), (0.25, 0.11), (0.6, 0.42), (1, 0.88))
    dark = np.clip(dark * (0.7 + 0.5 * moon) * (1 + 0.5 * facing), 0, 1)
    blue = px.gradient_map(dark, {0: "03050e", 0.12: "101d3a", 0.4: "4a6ea4", 0.7: "a9c4e6", 1: "f4f8ff"})
    blue = px.blend(blue, photo * dark[..., None] * 1.4, 0.3)
    hue, chroma = px.hue_and_chroma(photo)
    lamp = px.band(hue, 20, 58, 12) * px.smoothstep(0.25, 0.5, chroma) * px.smoothstep(0.6, 0.9, grey)
    blue = px.screen(blue, lamp[..., None] * px.rgb(190, 116, 30))
    return px.screen(blue, moon[..., None] * px.rgb(30, 40, 62))


def sunrise(photo: px.Floats) -> px.Floats:
    row, column = px.position(photo)
    distance = np.hypot(column + 0.05, 0.8 * (row - 0.4)).astype(np.float32)
    _, right = px.slope(px.smooth(px.luma(photo), 3, 0.1), 1.5)
    facing = np.clip(-right * 9, -1, 1) * px.smoothstep(1.1, 0.1, distance)  # edges that look left catch the sun
    shade = px.tone(distance, (0, 1.2), (0.5, 0.86), (1.1, 0.5)) * (1 + 0.4 * facing)
    tint = px.gradient_map(distance, {0: "ffdc96", 0.35: "ffba84", 0.75: "d096a8", 1.1: "8c88cc"})
    lit = px.contrast(photo, 1.1, 0.4) * tint * 1.15 * shade[..., None]
    sun = px.gradient_map(distance, {0: "ffe082", 0.18: "ffa838", 0.45: "be4a1e", 0.9: "280c1a"})
    return px.screen(lit, sun * px.tone(distance, (0, 0.95), (0.3, 0.62), (1, 0.3))[..., None])


def golden_hour(photo: px.Floats) -> px.Floats:
    hue, chroma = px.hue_and_chroma(photo)
    blue = px.band(hue, 150, 260, 25) * px.smoothstep(0.03, 0.15, chroma)
    gold = px.gradient_map(px.luma(photo), {0: "1a0c0a", 0.3: "80461c", 0.6: "eca048", 1: "ffeeba"})
    warm = px.blend(px.saturate(photo, 1.1) * np.array([1.18, 0.94, 0.62], np.float32), gold, 0.3 + 0.4 * blue)
    light = 0.55 * px.glow(photo, 9, 0.35) * px.rgb(255, 172, 70) + px.rgb(26, 8, 0)
    return px.screen(px.contrast(warm, 1.15, 0.42), light)


def fog(photo: px.Floats) -> px.Floats:
    row, _ = px.position(photo)
    far = px.smoothstep(0.98, 0.3, row) * (0.86 + 0.14 * px.smoothstep(0.2, 0.7, px.blur(px.luma(photo), 3)))
    veiled = px.blend(px.blur(photo, 0.8), px.blur(photo, 4.0), far)
    air = px.blend(px.rgb(214, 219, 224), px.rgb(186, 194, 202), np.broadcast_to(row, far.shape)[..., None])
    return px.blend(px.saturate(veiled, 0.6), air, 0.3 + 0.58 * far)


def rain(photo: px.Floats) -> px.Floats:
    row, _ = px.position(photo)
    grey = px.luma(photo)
    detail = np.abs(grey - px.blur(grey, 2.5))
    falling = px.streaks(detail, 46, 80) * 2.2 + 0.8 * np.clip(px.streaks(grey - px.blur(grey, 4), 22, 80), 0, 1)
    wet = px.streaks(photo, 40, 90)  # a wet ground mirrors what stands above it
    ground = px.smoothstep(0.55, 0.95, row) * 0.6
    dull = px.saturate(px.blend(photo, wet, ground), 0.35)
    dull = px.tone(dull, (0, 0.03), (0.5, 0.42), (1, 0.8)) * np.array([0.86, 0.98, 1.12], np.float32)
    return px.screen(dull, falling[..., None] * px.rgb(190, 206, 222))


def storm(photo: px.Floats) -> px.Floats:
    row, _ = px.position(photo)
    base = px.smooth(photo, 12, 0.2)
    rough = base + (photo - base) * 2.2
    dark = px.saturate(np.clip(rough, 0, 1), 0.45) * np.array([0.88, 1.0, 1.0], np.float32)
    dark = px.tone(dark, (0, 0), (0.35, 0.2), (0.7, 0.52), (1, 0.88))
    return dark * (px.tone(row, (0, 0.5), (0.45, 1.0), (0.8, 0.95), (1, 0.7))[..., None])


SAND = {0: "2c1408", 0.25: "844e24", 0.5: "d69854", 0.75: "f4ce8e", 1: "fff6da"}


def desert(photo: px.Floats) -> px.Floats:
    row, _ = px.position(photo)
    hue, chroma = px.hue_and_chroma(photo)
    sand = px.gradient_map(px.luma(photo), SAND)
    blue = px.band(hue, 170, 260, 20) * px.smoothstep(0.05, 0.2, chroma)
    hot = px.blend(sand, px.saturate(photo, 0.6) * np.array([1.12, 1.0, 0.8], np.float32), 0.3 * (1 - foliage(photo)))
    hot = px.blend(hot, px.gradient_map(px.luma(photo), {0: "14323c", 0.5: "7ebaba", 1: "faf8e2"}), 0.8 * blue)
    haze = np.exp(-(((row - 0.5) / 0.28) ** 2)).astype(np.float32)
    return px.screen(px.contrast(hot, 1.1), haze[..., None] * px.rgb(120, 74, 28) * 0.7)


def underwater(photo: px.Floats) -> px.Floats:
    row, column = px.position(photo)
    depth = np.broadcast_to(row, photo.shape[:2])
    far = px.blend(photo, px.blur(photo, 2.5), 0.7)
    water = px.gradient_map(depth, {0: "5cd8de", 0.35: "188ab2", 1: "042c5c"})
    absorbed = px.luma(far)[..., None] * 0.45 + far * 0.55
    tinted = px.tone(absorbed, (0, 0), (0.5, 0.56), (1, 1)) * (0.25 + 0.95 * water)
    fan = (column - 0.5) / (0.35 + 0.8 * row)  # the rays spread as they go down
    rays = (0.5 + 0.5 * np.cos(fan * 34) * np.cos(fan * 13 + 1)) * px.smoothstep(0.95, 0.0, row)
    return px.screen(px.blend(tinted, water, 0.28), rays[..., None] * px.rgb(70, 120, 116) * 0.9)


def cyberpunk(photo: px.Floats) -> px.Floats:
    row, column = px.position(photo)
    grey = px.contrast(px.luma(photo), 1.35, 0.5)
    split = px.gradient_map(grey, {0: "08041c", 0.25: "1e1460", 0.5: "ba1ca0", 0.75: "ff6ec8", 1: "beffff"})
    teal = px.gradient_map(grey, {0: "020a1e", 0.35: "004a74", 0.65: "10bed2", 1: "e8ffff"})
    hue, chroma = px.hue_and_chroma(photo)
    cool = px.band(hue, 80, 260, 25) * px.smoothstep(0.03, 0.15, chroma)
    lit = px.blend(split, teal, np.clip(0.15 + 0.7 * cool + 0.25 * (column - row), 0, 1))
    return px.screen(lit, 0.8 * px.glow(lit, 6, 0.45))


def sepia(photo: px.Floats) -> px.Floats:
    return px.gradient_map(px.luma(photo), {0: "1c1008", 0.5: "967048", 1: "fff0ce"})


def black_and_white(photo: px.Floats) -> px.Floats:
    grey = photo @ np.array([0.5, 0.4, 0.1], np.float32)  # an orange filter: dark skies, bright skin
    return np.repeat(px.tone(grey, (0, 0), (0.25, 0.15), (0.75, 0.84), (1, 1))[..., None], 3, -1)


def vintage(photo: px.Floats) -> px.Floats:
    row, column = px.position(photo)
    corner = np.hypot(row - 0.5, column - 0.5).astype(np.float32)
    soft = px.saturate(px.blend(photo, px.blur(photo, 1.5), 0.4), 0.6)
    faded = np.stack(
        [
            px.tone(soft[..., 0], (0, 0.16), (0.5, 0.6), (1, 0.98)),
            px.tone(soft[..., 1], (0, 0.11), (0.5, 0.5), (1, 0.93)),
            px.tone(soft[..., 2], (0, 0.15), (0.5, 0.41), (1, 0.72)),
        ],
        -1,
    )
    leak = px.smoothstep(0.55, 0.0, np.hypot(column - 1.05, row - 0.75).astype(np.float32))
    faded = px.screen(faded, leak[..., None] * px.rgb(190, 70, 20))
    return faded * px.tone(corner, (0, 1.12), (0.35, 1.04), (0.7, 0.45))[..., None]


def infrared(photo: px.Floats) -> px.Floats:
    """False-colour infrared film: what is green shines red, skies go deep teal."""
    grey = px.luma(photo)
    leaves = px.gradient_map(grey, {0: "280018", 0.2: "a40c46", 0.5: "f04678", 1: "ffe2e2"})
    hue, chroma = px.hue_and_chroma(photo)
    blue = px.band(hue, 185, 255, 20) * px.smoothstep(0.04, 0.2, chroma)
    swapped = photo[..., [1, 2, 2]] * np.array([0.96, 1.0, 0.94], np.float32)
    swapped = px.blend(swapped, px.saturate(photo, 0.8), 0.35)
    deep = px.gradient_map(grey, {0: "000c18", 0.5: "0e5c70", 1: "e2f6f0"})
    return px.blend(px.blend(px.contrast(swapped, 1.15), deep, 0.85 * blue), leaves, foliage(photo, 64))


def cross_process(photo: px.Floats) -> px.Floats:
    red = px.tone(photo[..., 0], (0, 0), (0.25, 0.16), (0.6, 0.76), (1, 1))
    green = px.tone(photo[..., 1], (0, 0.02), (0.25, 0.24), (0.6, 0.74), (1, 1))
    blue = px.tone(photo[..., 2], (0, 0.28), (0.5, 0.46), (1, 0.66))
    return px.saturate(np.stack([red, green, blue], -1), 1.25)


def hdr(photo: px.Floats) -> px.Floats:
    grey = px.luma(photo)
    base = px.smooth(grey, 14, 0.25)
    detail = grey - base
    fine = grey - px.smooth(grey, 4, 0.15)
    mapped = px.tone(base, (0, 0.14), (0.3, 0.42), (0.7, 0.62), (1, 0.82)) + 1.9 * detail + 1.2 * fine
    gain = (mapped + 0.05) / (grey + 0.05)
    return px.saturate(np.clip(photo * np.clip(gain, 0.2, 3.5)[..., None], 0, 1), 1.4)


def dream(photo: px.Floats) -> px.Floats:
    soft = px.blur(photo, 7)
    bloom = px.screen(photo * 0.72, soft * 0.6)
    pastel = px.saturate(px.tone(bloom, (0, 0.04), (0.5, 0.58), (1, 1)), 0.95)
    return px.blend(pastel, px.rgb(255, 206, 236), 0.18) + 0.35 * (soft - 0.5) * px.rgb(60, 20, 80)


def miniature(photo: px.Floats) -> px.Floats:
    row, _ = px.position(photo)
    away = np.abs(row - 0.6)
    vivid = px.saturate(px.contrast(photo, 1.2), 1.6)
    near = px.blend(vivid, px.blur(vivid, 2.2), np.broadcast_to(px.smoothstep(0.08, 0.22, away), photo.shape[:2]))
    return px.blend(near, px.blur(vivid, 6.5), np.broadcast_to(px.smoothstep(0.2, 0.45, away), photo.shape[:2]))


def thermal(photo: px.Floats) -> px.Floats:
    return px.gradient_map(
        px.luma(photo),
        {0: "040028", 0.2: "3e008c", 0.42: "c41478", 0.6: "f65a1e", 0.8: "ffc414", 1: "ffffdc"},
    )
