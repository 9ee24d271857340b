"""What the built-in filters are made of: masks, ramps, smoothing, edges and regions.

Photos here are float32 (H, W, 3), RGB in 0..1; planes are float32 (H, W). Lengths are given in pixels of a photo
whose shorter side has 256, and scale with the photo, so that an effect looks the same at every size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Floats = NDArray[np.floating]  # float32 in fact, which NumPy's types lose at the first product

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


def rgb(red: float, green: float, blue: float) -> Floats:
    """A colour given in 0..255."""
    return np.array([red, green, blue], np.float32) / 255


def luma(photo: Floats) -> Floats:
    """Brightness, (H, W)."""
    return photo @ LUMA


def hue_and_chroma(photo: Floats) -> tuple[Floats, Floats]:
    """Hue in degrees (0 red, 120 green, 240 blue) and chroma, max - min, in 0..1; both (H, W)."""
    red, green, blue = photo[..., 0], photo[..., 1], photo[..., 2]
    hue = np.degrees(np.arctan2(np.float32(3**0.5) * (green - blue), 2 * red - green - blue)) % 360
    return hue.astype(np.float32), photo.max(-1) - photo.min(-1)


def lightness(photo: Floats) -> Floats:
    """Brightness with the shadows opened, (H, W) in 0..1: as much drawing in a dark face as in a light one."""
    return np.log1p(9 * np.clip(luma(photo), 0, 1)) / np.float32(np.log(10))


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """0 below `low`, 1 above `high`, smooth between; the other way round where low > high."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def band(hue: Floats, low: float, high: float, soft: float = 20.0) -> Floats:
    """1 for hues between `low` and `high` degrees, fading over `soft` degrees on both sides."""
    away = np.abs((hue - np.float32((low + high) / 2) + 180) % 360 - 180)
    return smoothstep((high - low) / 2 + soft, (high - low) / 2, away)


def blend(below: ArrayLike, above: ArrayLike, mask: Floats | float) -> Floats:
    """`above` where the mask is 1, `below` where it is 0. A plane as mask serves all channels."""
    below, above = np.asarray(below, np.float32), np.asarray(above, np.float32)
    if isinstance(mask, np.ndarray) and mask.ndim < max(below.ndim, above.ndim):
        mask = mask[..., None]
    return below + (above - below) * mask


def saturate(photo: Floats, amount: float) -> Floats:
    """0 gives grey, 1 the photo, more than 1 stronger colours, much less so for the hues of skin, light or dark."""
    grey = luma(photo)[..., None]
    if amount > 1:
        skin = band(hue_and_chroma(photo)[0], 5, 38, 15)[..., None]
        return np.clip(grey + (photo - grey) * (1 + np.float32(amount - 1) * (1 - np.float32(0.75) * skin)), 0, 1)
    return np.clip(grey + (photo - grey) * np.float32(amount), 0, 1)


def contrast(photo: Floats, amount: float, middle: float = 0.5) -> Floats:
    """Steeper (amount > 1) or flatter tones around `middle`."""
    return np.clip((photo - np.float32(middle)) * np.float32(amount) + np.float32(middle), 0, 1)


def tone(values: Floats, *points: tuple[float, float]) -> Floats:
    """A tone curve through (input, output) points."""
    xs, ys = zip(*points, strict=True)
    return np.interp(values, xs, ys).astype(np.float32)


def gradient_map(plane: Floats, stops: Mapping[float, str]) -> Floats:
    """Colours along a scale of {value: "rrggbb"} stops, (H, W) to (H, W, 3)."""
    colours = np.array([list(bytes.fromhex(colour)) for colour in stops.values()], np.float32) / 255
    return np.stack([np.interp(plane, list(stops), channel) for channel in colours.T], -1).astype(np.float32)


def step_tones(plane: Floats, steps: int, soft: float = 0.15) -> Floats:
    """Posterised tones: `steps` flat levels of 0..1, with an antialiased edge of `soft` of a level."""
    scaled = np.clip(plane, 0, 1) * np.float32(steps - 1)
    whole = np.floor(scaled)
    return (whole + smoothstep(0.5 - soft, 0.5 + soft, scaled - whole)) / np.float32(steps - 1)


def screen(below: Floats, light: ArrayLike) -> Floats:
    """Add light as two projectors on one screen do: never beyond white."""
    return 1 - (1 - np.clip(below, 0, 1)) * (1 - np.clip(np.asarray(light, np.float32), 0, 1))


def unit(photo: Floats) -> float:
    """Length of one "256-pixel" of this photo: its shorter side over 256."""
    return min(photo.shape[:2]) / 256


def position(photo: Floats) -> tuple[Floats, Floats]:
    """Row (H, 1) and column (1, W) of the pixel centres, each 0..1, so that they broadcast to the photo's plane."""
    height, width = photo.shape[:2]
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height
    return rows[:, None], ((np.arange(width, dtype=np.float32) + 0.5) / width)[None]


def box(image: Floats, side: int) -> Floats:
    """Mean over a square window; the edge pixels go on beyond the edge."""
    return ndimage.uniform_filter(image, side, mode="nearest", axes=(0, 1))


def blur(image: Floats, sigma: float) -> Floats:
    """Gaussian blur; wide ones by three box filters, whose cost does not grow with the width."""
    pixels = sigma * unit(image)
    if pixels < 0.3:
        return image
    if pixels < 2:
        return ndimage.gaussian_filter(image, pixels, mode="nearest", truncate=3, axes=(0, 1))
    side = 2 * round(((4 * pixels**2 + 1) ** 0.5 - 1) / 2) + 1  # three boxes of this side have that variance
    for _ in range(3):
        image = box(image, side)
    return image


def glow(photo: Floats, sigma: float, threshold: float) -> Floats:
    """Light that the parts brighter than `threshold` shed around them."""
    return blur(photo * smoothstep(threshold, 1.0, luma(photo))[..., None], sigma)


def _side(image: Floats, radius: float) -> int:
    """Odd side, at least 3, of the window of this radius."""
    return 2 * max(1, round(radius * unit(image))) + 1


def smooth(photo: Floats, radius: float, edge: float) -> Floats:
    """Guided filter with the brightness as its guide: flattens what varies less than about `edge`, keeps edges."""
    side = _side(photo, radius)
    guide = luma(photo) if photo.ndim == 3 else photo
    mean, guide_mean = box(photo, side), box(guide, side)
    variance = np.maximum(box(guide * guide, side) - guide_mean**2, 0) + np.float32(edge**2)
    wide = (..., None) if photo.ndim == 3 else ...
    gain = (box(photo * guide[wide], side) - mean * guide_mean[wide]) / variance[wide]
    return box(gain, side) * guide[wide] + box(mean - gain * guide_mean[wide], side)


def kuwahara(photo: Floats, radius: float) -> Floats:
    """Each pixel takes the mean of its calmest quarter of the window: flat dabs of paint with sharp edges."""
    half = max(1, round(radius * unit(photo) / 2))
    side = 2 * half + 1
    grey = luma(photo)
    means = box(photo, side)
    variances = box(grey * grey, side) - box(grey, side) ** 2
    height, width = grey.shape
    means = np.pad(means, ((half, half), (half, half), (0, 0)), mode="edge")
    variances = np.pad(np.maximum(variances, 0) + 1e-4, half, mode="edge")
    total, weights = np.zeros_like(photo), np.zeros_like(grey)
    for y in (0, 2 * half):
        for x in (0, 2 * half):
            weight = variances[y : y + height, x : x + width] ** -4  # soft choice of the least variance
            total += means[y : y + height, x : x + width] * weight[..., None]
            weights += weight
    return total / weights[..., None]


def slope(plane: Floats, sigma: float = 0.0) -> tuple[Floats, Floats]:
    """Change down and to the right, after a blur.

    Photographs are about as sharp for each pixel at every size, but not quite: hence the root of the unit.
    """
    plane = blur(plane, sigma)
    scale = np.float32(unit(plane) ** 0.5 / 8)
    return ndimage.sobel(plane, 0, mode="nearest") * scale, ndimage.sobel(plane, 1, mode="nearest") * scale


def ink_lines(plane: Floats, sigma: float, low: float, high: float) -> Floats:
    """Dark lines as a pen sets them, 0..1: the dark side of edges, by a difference of Gaussians."""
    sigma = max(sigma, 0.5 / unit(plane))
    return smoothstep(low, high, blur(plane, 1.6 * sigma) - blur(plane, sigma))


def streaks(image: Floats, length: float, angle: float) -> Floats:
    """Mean along a line of this length at `angle` degrees (0 to the right, 90 down): smears in one direction."""
    reach = max(1, round(length * unit(image) / 2))
    height, width = image.shape[:2]
    rest = ((0, 0),) * (image.ndim - 2)
    padded = np.pad(image, ((reach, reach), (reach, reach), *rest), mode="edge")
    total = np.zeros_like(image)
    for step in range(-reach, reach + 1):
        y = reach + round(step * np.sin(np.radians(angle)))
        x = reach + round(step * np.cos(np.radians(angle)))
        total += padded[y : y + height, x : x + width]
    return total / np.float32(2 * reach + 1)


def along(image: Floats, angle: Floats, length: float, stride: float = 1.0) -> Floats:
    """Line integral convolution: the mean of an image (H, W, C) along the lines whose direction each pixel's `angle`
    gives, in radians (0 to the right, pi / 2 down; a turn by pi is the same). Longer strides are quicker and rougher.
    """
    height, width = angle.shape
    step_y, step_x = np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)
    flat, total = image.reshape(height * width, -1), image.copy()
    start_y, start_x = np.mgrid[:height, :width].astype(np.float32)
    step = np.float32(max(1, stride * unit(image)))
    reach = max(1, round(length * unit(image) / 2 / step))
    for sign in (1, -1):
        y, x, before_y, before_x = start_y, start_x, sign * step_y, sign * step_x
        for _ in range(reach):
            y, x = np.clip(y + step * before_y, 0, height - 1), np.clip(x + step * before_x, 0, width - 1)
            here = np.rint(y).astype(np.intp) * width + np.rint(x).astype(np.intp)
            total += flat[here]
            next_y, next_x = step_y.ravel()[here], step_x.ravel()[here]
            turn = np.where(next_y * before_y + next_x * before_x < 0, np.float32(-1), np.float32(1))
            before_y, before_x = next_y * turn, next_x * turn  # a contour has no head: keep walking forwards
    return total / np.float32(2 * reach + 1)


def flow(photo: Floats, length: float, calm: float = 3.0) -> Floats:
    """Mean along the photo's own contours, as a brush follows them: line integrals of its structure tensor."""
    down, right = slope(luma(photo), 1.0)
    yy, xx, xy = (blur(product, calm) for product in (down * down, right * right, down * right))
    return along(photo, 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2), length, 0.5)


def flat_colours(photo: Floats, labels: NDArray[np.integer]) -> Floats:
    """Each region of `labels` (H, W) in its mean colour."""
    index = labels.ravel()
    count = np.maximum(np.bincount(index), 1)
    means = np.stack([np.bincount(index, photo[..., c].ravel()) / count for c in range(3)], -1)
    return means.astype(np.float32)[labels]


def borders(labels: NDArray[np.integer], width: float) -> Floats:
    """Lines of this width between the regions, 0..1; thinner than a pixel, they are drawn fainter instead."""
    edge = np.zeros(labels.shape, np.float32)
    edge[:-1] += labels[:-1] != labels[1:]
    edge[:, :-1] += labels[:, :-1] != labels[:, 1:]
    edge = np.minimum(edge, 1)
    pixels = width * min(labels.shape) / 256
    if pixels < 1.5:
        return edge * np.float32(min(pixels, 1))
    distance = ndimage.distance_transform_edt(edge == 0)
    return np.clip(np.float32(pixels / 2 + 0.5) - np.asarray(distance, np.float32), 0, 1)
