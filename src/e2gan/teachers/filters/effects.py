"""Seasons, weather, light and film: filters that keep the photo's drawing and change its colours and light.

Every function takes a photo and returns one, float32 (H, W, 3), RGB; `filters.apply` clips to 0..1. The numbers are
chosen by eye on landscapes, faces and buildings.
"""

from __future__ import annotations

import numpy as np

from e2gan.teachers.filters.pixels import (
    Floats,
    band,
    blend,
    blur,
    contrast,
    glow,
    gradient_map,
    hue_and_chroma,
    luma,
    position,
    rgb,
    saturate,
    screen,
    slope,
    smooth,
    smoothstep,
    streaks,
    tone,
)


def foliage(photo: Floats, low: float = 66.0, high: float = 165.0) -> Floats:
    """How much each pixel looks like leaves or grass, 0..1: by hue, and not where it is nearly grey."""
    hue, chroma = hue_and_chroma(photo)
    return band(hue, low, high, 15) * smoothstep(0.02, 0.13, chroma)


def sky(photo: Floats) -> Floats:
    """How much each pixel looks like sky, 0..1: blue or bright, and in the upper part."""
    hue, chroma = hue_and_chroma(photo)
    row, _ = position(photo)
    blue = band(hue, 190, 250, 25) * smoothstep(0.03, 0.15, chroma)
    bright = smoothstep(0.6, 0.85, luma(photo)) * smoothstep(0.25, 0.1, chroma)
    return np.maximum(blue, bright) * smoothstep(0.75, 0.35, row)


LEAVES = {0: "180804", 0.2: "78220a", 0.4: "cd5210", 0.65: "f59624", 1: "ffecaa"}


def autumn(photo: Floats) -> Floats:
    hue, _ = hue_and_chroma(photo)
    leaves = gradient_map(tone(luma(photo), (0, 0), (0.3, 0.36), (1, 1)), LEAVES)
    leaves[..., 1] *= tone(hue, (60, 1.12), (130, 0.78))  # the greener a leaf was, the redder it turns
    warm = contrast(photo * np.array([1.08, 1.0, 0.86], np.float32), 1.06, 0.45)
    return blend(saturate(warm, 1.1), leaves, 0.95 * foliage(photo))


GRASS = {0: "061608", 0.25: "28641c", 0.5: "76b634", 0.75: "c4e870", 1: "faffde"}


def spring(photo: Floats) -> Floats:
    hue, chroma = hue_and_chroma(photo)
    grey = luma(photo)
    fresh = gradient_map(tone(grey, (0, 0.02), (0.3, 0.38), (1, 1)), GRASS)
    dry = band(hue, 40, 66, 10) * smoothstep(0.12, 0.35, chroma) * smoothstep(0.6, 0.4, grey)
    airy = tone(saturate(photo, 1.2), (0, 0.03), (0.4, 0.5), (1, 1)) * np.array([0.98, 1.03, 1.0], np.float32)
    return blend(airy, fresh, np.maximum(0.85 * foliage(photo), 0.6 * dry))


def winter(photo: Floats) -> Floats:
    grey = luma(photo)
    row, _ = position(photo)
    hue, chroma = hue_and_chroma(photo)
    cold = saturate(photo, 0.5) * np.array([0.94, 1.0, 1.08], np.float32)
    cold = blend(cold, rgb(206, 218, 232) * (0.55 + 0.5 * grey[..., None]), 0.55 * sky(photo))
    earth = band(hue, 32, 62, 10) * smoothstep(0.08, 0.25, chroma)
    ground = np.maximum(foliage(photo, 56, 180), 0.5 * earth)
    down, _ = slope(grey, 1.0)
    lying = smoothstep(0.0, 0.05, -down)  # snow lies on what is bright above and dark below
    cover = np.clip(ground * (0.5 + 0.4 * row + 0.5 * lying) + 0.35 * lying * row, 0, 1)
    snow = gradient_map(grey, {0: "465c7c", 0.15: "96aece", 0.35: "e8f0fa", 1: "ffffff"})
    return blend(tone(cold, (0, 0.04), (0.5, 0.58), (1, 1)), snow, cover)


def dusk(photo: Floats) -> Floats:
    row, _ = position(photo)
    light = gradient_map(
        np.broadcast_to(row, photo.shape[:2]),
        {0: "4e429c", 0.3: "b05ca0", 0.5: "ff885c", 0.62: "ffa65c", 1: "744e86"},
    )
    dark = tone(saturate(photo, 0.7), (0, 0), (0.5, 0.4), (1, 0.98))
    return screen(dark * light * 1.3, light * (0.1 + 0.32 * sky(photo)[..., None]))


def night(photo: Floats) -> Floats:
    row, column = position(photo)
    grey = luma(photo)
    moon = np.exp(-((row - 0.05) ** 2 + (column - 0.85) ** 2) / 0.22).astype(np.float32)
    down, right = slope(smooth(grey, 3, 0.1), 1.5)
    facing = np.clip(8 * (right - down), -0.6, 0.9)  # edges that look up and right catch the moon
    dark = tone(grey * (1 - 0.45 * sky(photo)), (0, 0), (0.25, 0.11), (0.6, 0.42), (1, 0.88))
    dark = np.clip(dark * (0.7 + 0.5 * moon) * (1 + 0.5 * facing), 0, 1)
    blue = gradient_map(dark, {0: "03050e", 0.12: "101d3a", 0.4: "4a6ea4", 0.7: "a9c4e6", 1: "f4f8ff"})
    blue = blend(blue, photo * dark[..., None] * 1.4, 0.3)
    hue, chroma = hue_and_chroma(photo)
    lamp = band(hue, 20, 58, 12) * smoothstep(0.25, 0.5, chroma) * smoothstep(0.6, 0.9, grey)
    blue = screen(blue, lamp[..., None] * rgb(190, 116, 30))
    return screen(blue, moon[..., None] * rgb(30, 40, 62))


def sunrise(photo: Floats) -> Floats:
    row, column = position(photo)
    distance = np.hypot(column + 0.05, 0.8 * (row - 0.4)).astype(np.float32)
    _, right = slope(smooth(luma(photo), 3, 0.1), 1.5)
    facing = np.clip(-right * 9, -1, 1) * smoothstep(1.1, 0.1, distance)  # edges that look left catch the sun
    shade = tone(distance, (0, 1.2), (0.5, 0.86), (1.1, 0.5)) * (1 + 0.4 * facing)
    tint = gradient_map(distance, {0: "ffdc96", 0.35: "ffba84", 0.75: "d096a8", 1.1: "8c88cc"})
    lit = contrast(photo, 1.1, 0.4) * tint * 1.15 * shade[..., None]
    sun = gradient_map(distance, {0: "ffe082", 0.18: "ffa838", 0.45: "be4a1e", 0.9: "280c1a"})
    return screen(lit, sun * tone(distance, (0, 0.95), (0.3, 0.62), (1, 0.3))[..., None])


def golden_hour(photo: Floats) -> Floats:
    hue, chroma = hue_and_chroma(photo)
    blue = band(hue, 150, 260, 25) * smoothstep(0.03, 0.15, chroma)
    gold = gradient_map(luma(photo), {0: "1a0c0a", 0.3: "80461c", 0.6: "eca048", 1: "ffeeba"})
    warm = blend(saturate(photo, 1.1) * np.array([1.18, 0.94, 0.62], np.float32), gold, 0.3 + 0.4 * blue)
    return screen(contrast(warm, 1.15, 0.42), 0.55 * glow(photo, 9, 0.35) * rgb(255, 172, 70) + rgb(26, 8, 0))


def fog(photo: Floats) -> Floats:
    row, _ = position(photo)
    far = smoothstep(0.98, 0.3, row) * (0.86 + 0.14 * smoothstep(0.2, 0.7, blur(luma(photo), 3)))
    veiled = blend(blur(photo, 0.8), blur(photo, 4.0), far)
    air = blend(rgb(214, 219, 224), rgb(186, 194, 202), np.broadcast_to(row, far.shape)[..., None])
    return blend(saturate(veiled, 0.6), air, 0.3 + 0.58 * far)


def rain(photo: Floats) -> Floats:
    row, _ = position(photo)
    grey = luma(photo)
    detail = np.abs(grey - blur(grey, 2.5))
    falling = streaks(detail, 46, 80) * 2.2 + 0.8 * np.clip(streaks(grey - blur(grey, 4), 22, 80), 0, 1)
    wet = streaks(photo, 40, 90)  # a wet ground mirrors what stands above it
    ground = smoothstep(0.55, 0.95, row) * 0.6
    dull = saturate(blend(photo, wet, ground), 0.35)
    dull = tone(dull, (0, 0.03), (0.5, 0.42), (1, 0.8)) * np.array([0.86, 0.98, 1.12], np.float32)
    return screen(dull, falling[..., None] * rgb(190, 206, 222))


def storm(photo: Floats) -> Floats:
    row, _ = position(photo)
    base = smooth(photo, 12, 0.2)
    rough = base + (photo - base) * 2.2
    dark = saturate(np.clip(rough, 0, 1), 0.45) * np.array([0.88, 1.0, 1.0], np.float32)
    dark = tone(dark, (0, 0), (0.35, 0.2), (0.7, 0.52), (1, 0.88))
    return dark * (tone(row, (0, 0.5), (0.45, 1.0), (0.8, 0.95), (1, 0.7))[..., None])


SAND = {0: "2c1408", 0.25: "844e24", 0.5: "d69854", 0.75: "f4ce8e", 1: "fff6da"}


def desert(photo: Floats) -> Floats:
    row, _ = position(photo)
    hue, chroma = hue_and_chroma(photo)
    sand = gradient_map(luma(photo), SAND)
    blue = band(hue, 170, 260, 20) * smoothstep(0.05, 0.2, chroma)
    hot = blend(sand, saturate(photo, 0.6) * np.array([1.12, 1.0, 0.8], np.float32), 0.3 * (1 - foliage(photo)))
    hot = blend(hot, gradient_map(luma(photo), {0: "14323c", 0.5: "7ebaba", 1: "faf8e2"}), 0.8 * blue)
    haze = np.exp(-(((row - 0.5) / 0.28) ** 2)).astype(np.float32)
    return screen(contrast(hot, 1.1), haze[..., None] * rgb(120, 74, 28) * 0.7)


def underwater(photo: Floats) -> Floats:
    row, column = position(photo)
    depth = np.broadcast_to(row, photo.shape[:2])
    far = blend(photo, blur(photo, 2.5), 0.7)
    water = gradient_map(depth, {0: "5cd8de", 0.35: "188ab2", 1: "042c5c"})
    absorbed = luma(far)[..., None] * 0.45 + far * 0.55
    tinted = tone(absorbed, (0, 0), (0.5, 0.56), (1, 1)) * (0.25 + 0.95 * water)
    fan = (column - 0.5) / (0.35 + 0.8 * row)  # the rays spread as they go down
    rays = (0.5 + 0.5 * np.cos(fan * 34) * np.cos(fan * 13 + 1)) * smoothstep(0.95, 0.0, row)
    return screen(blend(tinted, water, 0.28), rays[..., None] * rgb(70, 120, 116) * 0.9)


def cyberpunk(photo: Floats) -> Floats:
    row, column = position(photo)
    grey = contrast(luma(photo), 1.35, 0.5)
    split = gradient_map(grey, {0: "08041c", 0.25: "1e1460", 0.5: "ba1ca0", 0.75: "ff6ec8", 1: "beffff"})
    teal = gradient_map(grey, {0: "020a1e", 0.35: "004a74", 0.65: "10bed2", 1: "e8ffff"})
    hue, chroma = hue_and_chroma(photo)
    cool = band(hue, 80, 260, 25) * smoothstep(0.03, 0.15, chroma)
    lit = blend(split, teal, np.clip(0.15 + 0.7 * cool + 0.25 * (column - row), 0, 1))
    return screen(lit, 0.8 * glow(lit, 6, 0.45))


def sepia(photo: Floats) -> Floats:
    return gradient_map(luma(photo), {0: "1c1008", 0.5: "967048", 1: "fff0ce"})


def black_and_white(photo: Floats) -> Floats:
    grey = photo @ np.array([0.5, 0.4, 0.1], np.float32)  # an orange filter: dark skies, bright skin
    return np.repeat(tone(grey, (0, 0), (0.25, 0.15), (0.75, 0.84), (1, 1))[..., None], 3, -1)


def vintage(photo: Floats) -> Floats:
    row, column = position(photo)
    corner = np.hypot(row - 0.5, column - 0.5).astype(np.float32)
    soft = saturate(blend(photo, blur(photo, 1.5), 0.4), 0.6)
    faded = np.stack(
        [
            tone(soft[..., 0], (0, 0.16), (0.5, 0.6), (1, 0.98)),
            tone(soft[..., 1], (0, 0.11), (0.5, 0.5), (1, 0.93)),
            tone(soft[..., 2], (0, 0.15), (0.5, 0.41), (1, 0.72)),
        ],
        -1,
    )
    leak = smoothstep(0.55, 0.0, np.hypot(column - 1.05, row - 0.75).astype(np.float32))
    faded = screen(faded, leak[..., None] * rgb(190, 70, 20))
    return faded * tone(corner, (0, 1.12), (0.35, 1.04), (0.7, 0.45))[..., None]


def infrared(photo: Floats) -> Floats:
    """False-colour infrared film: what is green shines red, skies go deep teal."""
    grey = luma(photo)
    leaves = gradient_map(grey, {0: "280018", 0.2: "a40c46", 0.5: "f04678", 1: "ffe2e2"})
    hue, chroma = hue_and_chroma(photo)
    blue = band(hue, 185, 255, 20) * smoothstep(0.04, 0.2, chroma)
    swapped = photo[..., [1, 2, 2]] * np.array([0.96, 1.0, 0.94], np.float32)
    swapped = blend(swapped, saturate(photo, 0.8), 0.35)
    deep = gradient_map(grey, {0: "000c18", 0.5: "0e5c70", 1: "e2f6f0"})
    return blend(blend(contrast(swapped, 1.15), deep, 0.85 * blue), leaves, foliage(photo, 64))


def cross_process(photo: Floats) -> Floats:
    red = tone(photo[..., 0], (0, 0), (0.25, 0.16), (0.6, 0.76), (1, 1))
    green = tone(photo[..., 1], (0, 0.02), (0.25, 0.24), (0.6, 0.74), (1, 1))
    blue = tone(photo[..., 2], (0, 0.28), (0.5, 0.46), (1, 0.66))
    return saturate(np.stack([red, green, blue], -1), 1.25)


def hdr(photo: Floats) -> Floats:
    grey = luma(photo)
    base = smooth(grey, 14, 0.25)
    detail = grey - base
    fine = grey - smooth(grey, 4, 0.15)
    mapped = tone(base, (0, 0.14), (0.3, 0.42), (0.7, 0.62), (1, 0.82)) + 1.9 * detail + 1.2 * fine
    gain = (mapped + 0.05) / (grey + 0.05)
    return saturate(np.clip(photo * np.clip(gain, 0.2, 3.5)[..., None], 0, 1), 1.4)


def dream(photo: Floats) -> Floats:
    soft = blur(photo, 7)
    bloom = screen(photo * 0.72, soft * 0.6)
    pastel = saturate(tone(bloom, (0, 0.04), (0.5, 0.58), (1, 1)), 0.95)
    return blend(pastel, rgb(255, 206, 236), 0.18) + 0.35 * (soft - 0.5) * rgb(60, 20, 80)


def miniature(photo: Floats) -> Floats:
    row, _ = position(photo)
    away = np.abs(row - 0.6)
    vivid = saturate(contrast(photo, 1.2), 1.6)
    near = blend(vivid, blur(vivid, 2.2), np.broadcast_to(smoothstep(0.08, 0.22, away), photo.shape[:2]))
    return blend(near, blur(vivid, 6.5), np.broadcast_to(smoothstep(0.2, 0.45, away), photo.shape[:2]))


def thermal(photo: Floats) -> Floats:
    return gradient_map(
        luma(photo),
        {0: "040028", 0.2: "3e008c", 0.42: "c41478", 0.6: "f65a1e", 0.8: "ffc414", 1: "ffffdc"},
    )
