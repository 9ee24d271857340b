"""Where an edit lies against its photo: the shift and zoom that an editor added, undone, and what is left of them.

Editors move the picture by a few pixels or crop it, which ruins a paired loss. Colours, light and texture of an edit
are its own, so what is compared is the direction of edges (`e2gan.pairs.edges`), brought to one local strength. First
by cross-correlation, small, for each of a ladder of zooms; then by Gauss–Newton on shift and zoom together (Lucas and
Kanade, 1981), from there and from the edit as it is; at last by blocks, whose displacement is what shift and zoom do
not explain.

`benchmarks/alignment.py` compares it with OpenCV's ECC and with scikit-image's phase correlation and optical flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2gan.core.images import Pixels, shrink
from e2gan.pairs.edges import Field, blur, correlation, doubled_gradient

TRUSTED = 0.25
"""The least agreement that tells how an edit lies: edits of another photo stay under 0.22, and of edits of the photo
itself 99.8 % are above, mosaics and stained glass among them."""

FINE, COARSE = 128, 64  # shorter side in pixels at which edges are compared, and at which they are first looked for
REACH = 1 / 12  # the farthest shift looked for in one round, of the shorter side
ROUNDS = 3  # at most
ZOOMS = np.exp(np.arange(-10, 13) * 0.01)  # 0.905..1.127
DOUBT = 0.05  # of the agreement, that a shift by the whole reach has to gain: of two equal answers, the nearer
FAINT = 0.01  # power of edges per pixel that counts as none: a plain sky has 0.005, photographs have 0.5
BLOCK = 3 / 8  # side of a block that is looked for by itself, of the shorter side
STILL = 0.5  # pixels: undoing less costs more sharpness than it gives

Motion = NDArray[np.float64]  # dx, dy in pixels of the field, and the zoom
UNMOVED = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Alignment:
    """How an edit lies: what the photo shows at p from its centre, the edit shows at zoom·p + (dx, dy) from its own."""

    dx: float
    """Pixels at the photo's size; positive: the edit's content lies to the right."""
    dy: float
    """The same; positive: the edit's content lies below."""
    zoom: float
    """Above 1, the edit's content is larger."""
    agreement: float
    """Of the edges of photo and edit, shift and zoom undone: 0 where they share none, to 1."""
    residual: float
    """Pixels at the photo's size: the 90th percentile of the displacement of blocks that is then left.

    What a style does to edges is in it: 0.6 is usual at 256 pixels, 3 for mosaics and the like.
    """

    @property
    def trusted(self) -> bool:
        """Whether photo and edit share enough edges to tell how the edit lies."""
        return self.agreement >= TRUSTED

    def measures(self) -> dict[str, float]:
        """As scores of an edit: shift and residual in pixels, zoom, agreement."""
        numbers = {
            "shift": math.hypot(self.dx, self.dy),
            "zoom": self.zoom,
            "residual": self.residual,
            "agreement": self.agreement,
        }
        return {name: round(float(value), 4) for name, value in numbers.items()}


def default_limit(shape: tuple[int, ...]) -> float:
    """The largest residual, in pixels, of an edit of a photo of this height and width that is of use.

    A fiftieth of the shorter side, 3 at least and 6 at most: mosaics and neon lines have up to 4 at 256 pixels without
    having moved, and a paired loss tolerates 2 to 3.
    """
    return float(np.clip(min(shape[:2]) / 50, 3, 6))


def estimate(photo_HWC: Pixels, edit_HWC: Pixels) -> Alignment:
    """How the edit lies against its photo, both uint8 (H, W, 3) of one size, at least 8 pixels a side.

    Finds shifts up to a twelfth of the shorter side, mostly up to a sixth, and zooms of 0.9 to 1.13. Where edges cannot
    tell (along the only horizon, no edges at all), the edit counts as not moved. Raises ValueError where the sizes
    differ.
    """
    pair = _compare(photo_HWC, edit_HWC)
    return _measure(pair, _find(pair))[0]


def undo(edit_HWC: Pixels, alignment: Alignment) -> Pixels:
    """The edit, uint8 (H, W, 3), moved and zoomed back; what was outside the frame is mirrored at its border."""
    height, width = edit_HWC.shape[:2]
    size = np.array([width, height])
    centre = size / 2 + [alignment.dx, alignment.dy]
    low, high = centre - alignment.zoom * size / 2, centre + alignment.zoom * size / 2
    margin = 4 + math.ceil(max(0, *-low, *(high - size)))  # 4: Lanczos looks 3 pixels around
    padded = np.pad(edit_HWC, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    left, top, right, bottom = (float(x + margin) for x in (*low, *high))
    image = Image.fromarray(padded).resize((width, height), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    return np.array(image)


def align(photo_HWC: Pixels, edit_HWC: Pixels) -> tuple[Pixels, Alignment]:
    """The edit with its shift and zoom undone where that helps, else `edit_HWC` itself; and how the result lies.

    dx, dy and zoom are what was undone: 0, 0 and 1 where nothing was. agreement and residual are the result's. Nothing
    is undone where photo and edit share too few edges (`trusted` is false); where the edit moved, root mean square over
    the frame, by no more than half a pixel; or where it moved by no more than three times what its style displaces
    edges here and there, unless agreement gains a twelfth. Raises ValueError where the sizes differ.
    """
    pair = _compare(photo_HWC, edit_HWC)
    motion = _find(pair)
    undone, typical = _measure(pair, motion)
    as_it_is, _ = _measure(pair, UNMOVED)
    moved = _root_mean_square(motion, photo_HWC.shape)
    clear = moved > STILL + 3 * typical or (moved > STILL and as_it_is.agreement < 11 / 12 * undone.agreement)
    if undone.trusted and clear:
        return undo(edit_HWC, undone), undone
    return edit_HWC, as_it_is


def _root_mean_square(motion: Motion, shape: tuple[int, ...]) -> float:
    """How far the points of a frame of this shape move, in its pixels."""
    dx, dy, zoom = motion
    return math.sqrt(dx**2 + dy**2 + (zoom - 1) ** 2 * (shape[0] ** 2 + shape[1] ** 2) / 12)


@dataclass(frozen=True)
class _Pair:
    """The edges of a photo and its edit at two sizes. scale: pixels of the photo in one of the fine fields."""

    photo: Field
    edit: Field
    coarse_photo: Field
    coarse_edit: Field
    scale: float

    @property
    def ratio(self) -> float:
        """Pixels of the fine fields in one of the coarse ones."""
        return self.photo.shape[0] / self.coarse_photo.shape[0]


def _compare(photo: Pixels, edit: Pixels) -> _Pair:
    if photo.shape != edit.shape:
        raise ValueError(f"an edit is aligned at its photo's size, {photo.shape}, not {edit.shape}")
    fine = [shrink(image, FINE) for image in (photo, edit)]
    coarse = [shrink(image, COARSE) for image in fine]
    fields = *(_edges(image, 17) for image in fine), *(_edges(image, 9) for image in coarse)
    return _Pair(fields[0], fields[1], fields[2], fields[3], scale=photo.shape[0] / fine[0].shape[0])


def _edges(image: Pixels, window: int) -> Field:
    from scipy import ndimage

    doubled = doubled_gradient(blur(image.astype(np.float32), 0.8))
    strength = np.sqrt(np.abs(doubled))
    # Both sides of a drawn line add up here to one ridge, as gradients themselves would not.
    field = blur(doubled / (strength + 0.03), 1)
    power = ndimage.uniform_filter(np.abs(field) ** 2, window, mode="nearest")
    field = field / np.sqrt(power + 9)  # 3 grey levels a pixel: below are noise and JPEG's blocks
    # A slope or a vignette has one direction far around, and so would fit anywhere.
    return (field - ndimage.uniform_filter(field, 2 * window - 1, mode="nearest")).astype(np.complex64)


def _window(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(H, W): 1, and down to 0 over the outer tenth, where content comes and goes."""
    rise = [np.sin(np.clip((np.arange(n) + 0.5) * 10 / n, 0, 1) * np.pi / 2) ** 2 for n in shape]
    down, across = (side * side[::-1] for side in rise)
    return np.outer(down, across).astype(np.float32)


def _warp(field: Field, motion: Motion) -> Field:
    """The edit's field brought to where the photo's is."""
    from scipy import ndimage

    dx, dy, zoom = motion
    middle = (np.array(field.shape) - 1) / 2
    offset = middle - zoom * middle + [dy, dx]
    return np.asarray(ndimage.affine_transform(field, [zoom, zoom], offset, order=1, mode="constant"), np.complex64)


def _agreement(photo: Field, edit: Field) -> float:
    """Correlation of two fields, 0..1."""
    window = _window(photo.shape)
    return correlation(photo, edit, window, faint=FAINT * (window**2).sum())


def _find(pair: _Pair) -> Motion:
    """dx, dy (pixels of the photo) and zoom.

    A first answer near the end of the reach may fall short of what lies beyond: then it is looked for again in what is
    left.
    """
    motion, far = UNMOVED, REACH * min(pair.photo.shape) * pair.scale / 2
    for _ in range(ROUNDS):
        dx, dy, zoom = motion
        fine, coarse = (np.array([dx / scale, dy / scale, zoom]) for scale in (pair.scale, pair.scale * pair.ratio))
        moved = replace(pair, edit=_warp(pair.edit, fine), coarse_edit=_warp(pair.coarse_edit, coarse))
        rest = _look(moved if _root_mean_square(motion, (1, 1)) else pair)
        motion = np.array([dx + zoom * rest[0], dy + zoom * rest[1], zoom * rest[2]])
        if math.hypot(rest[0], rest[1]) <= far:
            break
    return motion


def _look(pair: _Pair) -> Motion:
    """As `_find`, once: shifts up to the reach."""
    scale = pair.ratio
    start = _search(pair.coarse_photo, pair.coarse_edit) * [scale, scale, 1]
    # The search may have stepped to the next period of a fence, or along a horizon.
    refined = [_refine(pair.photo, pair.edit, motion) for motion in (UNMOVED, start)]
    reach = REACH * min(pair.photo.shape)
    near, far = (_agreement(pair.photo, _warp(pair.edit, m)) - DOUBT * _remoteness(m, reach) for m in refined)
    return (refined[1] if far > near else refined[0]) * [pair.scale, pair.scale, 1]


def _remoteness(motion: Any, reach: float) -> Any:
    """0 for an edit that did not move, 1 for one that moved by the reach, or was zoomed by a tenth."""
    dx, dy, zoom = motion
    return (dx**2 + dy**2) / reach**2 + (np.log(zoom) / 0.1) ** 2


def _search(photo: Field, edit: Field) -> Motion:
    """The best of the zooms and of the shifts by whole pixels."""
    window = _window(photo.shape)
    reach = math.ceil(REACH * min(photo.shape))
    spectrum = np.conj(np.fft.fft2(photo * window))
    scores = []
    for zoom in ZOOMS:
        warped = _warp(edit, np.array([0, 0, zoom])) * window
        surface = np.fft.ifft2(spectrum * np.fft.fft2(warped)).real / (np.linalg.norm(warped) + 1e-9)
        scores.append(np.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1])
    shifts = np.arange(-reach, reach + 1)
    remoteness = _remoteness((shifts, shifts[:, None], ZOOMS[:, None, None]), reach)
    score = np.array(scores)
    k, i, j = np.unravel_index((score - DOUBT * score.max() * remoteness).argmax(), score.shape)
    return np.array([shifts[j] * ZOOMS[k], shifts[i] * ZOOMS[k], ZOOMS[k]])


def _refine(photo: Field, edit: Field, motion: Motion) -> Motion:
    """Shift and zoom to a hundredth of a pixel, from within about two: the least squares of photo - gain · edit."""
    height, width = photo.shape
    half = max(height, width) / 2
    y, x = (np.arange(height)[:, None] - (height - 1) / 2) / half, (np.arange(width) - (width - 1) / 2) / half
    down, right = np.gradient(photo)
    jacobian = np.stack([right, down, right * x + down * y]).reshape(3, -1)
    weight = _window(photo.shape).ravel() ** 2
    weighted = jacobian.conj() * weight
    normal = (weighted @ jacobian.T).real
    normal += np.eye(3) * (0.01 * np.trace(normal) / 3 + 1e-9)  # no step in a direction that edges do not tell
    target = photo.ravel()
    for _ in range(4):
        warped = _warp(edit, motion).ravel()
        shared = np.vdot(warped, weight * target).real
        if shared <= 0:
            break
        gain = shared / np.vdot(warped, weight * warped).real
        step = np.linalg.solve(normal, (weighted @ (gain * warped - target)).real)
        step /= max(1, np.abs(step).max() / 2)
        dx, dy, zoom = motion
        motion = np.array([dx - zoom * step[0], dy - zoom * step[1], zoom * (1 - step[2] / half)])
        if np.abs(step).max() < 0.02:
            break
    return motion


def _measure(pair: _Pair, motion: Motion) -> tuple[Alignment, float]:
    """With this motion (pixels of the photo) undone; and the median displacement of its blocks, in the same pixels."""
    dx, dy, zoom = map(float, motion)
    undone = _warp(pair.edit, motion / [pair.scale, pair.scale, 1])
    distances, weights = _displacements(pair.photo, undone)
    median, most = (_quantile(distances, weights, q) * pair.scale for q in (0.5, 0.9))
    return Alignment(dx, dy, zoom, _agreement(pair.photo, undone), most), median


def _displacements(photo: Field, edit: Field, farthest: int = 5) -> tuple[NDArray[Any], NDArray[Any]]:
    """How far each of the overlapping blocks of the edit lies from its place, in pixels; and what that is worth."""
    side = round(BLOCK * min(photo.shape))
    reach = min(farthest, (side - 3) // 2)
    step = max(1, side // 3)
    hann = np.sin((np.arange(side) + 0.5) * np.pi / side) ** 2
    window = np.outer(hann, hann).astype(np.float32)
    views = [np.lib.stride_tricks.sliding_window_view(field, (side, side))[::step, ::step] for field in (photo, edit)]
    blocks = [view.reshape(-1, side, side) * window for view in views]
    powers = [(np.abs(block) ** 2).sum((1, 2)) + FAINT * (window**2).sum() for block in blocks]
    surface = np.fft.ifft2(np.fft.fft2(blocks[0]).conj() * np.fft.fft2(blocks[1]), axes=(1, 2)).real
    surface /= np.sqrt(powers[0] * powers[1])[:, None, None]
    middle, n = reach + 1, 2 * reach + 1
    surface = np.roll(surface, (middle, middle), (1, 2))[:, : n + 2, : n + 2]  # a pixel more around than is searched
    squares = np.arange(-reach, reach + 1) ** 2
    likely = surface[:, 1:-1, 1:-1] - 0.01 * (squares[:, None] + squares)  # along an edge, the nearest
    best = likely.reshape(len(surface), -1).argmax(1)
    block, i, j = np.arange(len(best)), 1 + best // n, 1 + best % n
    peak = surface[block, i, j]
    dy = i - middle + _vertex(surface[block, i - 1, j], peak, surface[block, i + 1, j])
    dx = j - middle + _vertex(surface[block, i, j - 1], peak, surface[block, i, j + 1])
    return np.hypot(dx, dy), np.sqrt(np.minimum(*powers)) * np.maximum(peak, 0)


def _vertex(before: NDArray[Any], at: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """Where the parabola through three heights at -1, 0 and 1 is highest."""
    bend = np.minimum(before - 2 * at + after, -1e-9)
    return np.clip((before - after) / 2 / bend, -0.5, 0.5)


def _quantile(values: NDArray[Any], weights: NDArray[Any], q: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, q * total[-1])])
