"""An edit made at the working size, brought back to the photo's own size: with the photo's own detail, or without."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from e2gan.config import Detail
from e2gan.core.images import Pixels, resize

Floats = NDArray[np.floating]  # float32 throughout
Places = tuple[NDArray[np.intp], NDArray[np.intp], Floats]  # the two neighbours, the second's weight
RADIUS = 2  # pixels of the small image: a 5×5 window has 25 equations for 4 unknowns a channel
RIDGE = 2e-3  # of squared intensity in [0, 1]: below it a window counts as flat, and only its mean is carried over
NEARER = 0.95  # of the plain enlargement's distance: what is no nearer than this gains nothing by the photo's detail
BLOCK = 1024  # pixels of a side that are brought back together: some hundred MB for a photo of any size


def guided(photo_HWC: Pixels, small_photo_hwC: Pixels, small_edit_hwC: Pixels) -> Pixels:
    """The edit of a small photo, carried over to the photo itself: uint8 (H, W, 3).

    In each window of the small pair the edit is fitted as a linear function of the photo's colours (a guided filter);
    the functions are enlarged, and applied to the large photo, so that its fine detail goes through the edit. What no
    such function explains, strokes and lines of a drawing, is enlarged as it is and added. At the small size the
    result is the small edit itself.
    """
    columns = _places(photo_HWC.shape[1], small_photo_hwC.shape[1])
    rows = _places(photo_HWC.shape[0], small_photo_hwC.shape[0])
    out = np.empty_like(photo_HWC)
    for top, left in product(range(0, out.shape[0], BLOCK), range(0, out.shape[1], BLOCK)):
        block = slice(top, top + BLOCK), slice(left, left + BLOCK)
        (of_rows, rows_at), (of_columns, columns_at) = _part(rows, block[0]), _part(columns, block[1])
        coefficients = _coefficients(small_photo_hwC[of_rows, of_columns], small_edit_hwC[of_rows, of_columns])
        at = _lerp(_lerp(coefficients, rows_at, axis=0), columns_at, axis=1)
        photo = photo_HWC[block].astype(np.float32) / 255
        edit = np.einsum("hwij,hwj->hwi", at[..., :9].reshape(*photo.shape[:2], 3, 3), photo) + at[..., 9:]
        out[block] = np.clip(np.rint(edit * 255), 0, 255).astype(np.uint8)
    return out


def _coefficients(small_photo_hwC: Pixels, small_edit_hwC: Pixels) -> Floats:
    """(h, w, 12): the function of each pixel of the small pair, as a matrix and what is added."""
    small_photo = small_photo_hwC.astype(np.float32) / np.float32(255)
    small_edit = small_edit_hwC.astype(np.float32) / np.float32(255)
    A, b = _fit(small_photo, small_edit)
    rest = small_edit - (np.einsum("hwij,hwj->hwi", A, small_photo) + b)
    return np.concatenate([A.reshape(*A.shape[:2], 9), b + rest], axis=2)


def detail_of(photos_NHWC: Pixels, edits_NHWC: Pixels) -> Detail:
    """How edits like these come back to a photo's size: "guided" where they are light, "none" where they are paint.

    By rule: the area of each pair is halved, and the edit brought back. Light, colour and weather come back nearer to
    the true edit with the photo's detail than enlarged as they are; strokes, which the photo does not have, do not.
    """
    of_guided, of_plain = distances(photos_NHWC, edits_NHWC)
    return "guided" if of_guided < NEARER * of_plain else "none"


def distances(photos_NHWC: Pixels, edits_NHWC: Pixels) -> tuple[float, float]:
    """Mean L1 to the true edits, in 8-bit levels, of those of half the area brought back: guided, and enlarged."""
    height, width = photos_NHWC.shape[1:3]
    half = round(height / 2**0.5), round(width / 2**0.5)
    far = []
    for photo, edit in zip(photos_NHWC, edits_NHWC, strict=True):
        small = resize(edit, half)
        back = guided(photo, resize(photo, half), small), resize(small, (height, width))
        far.append([np.abs(image.astype(np.int16) - edit).mean() for image in back])
    of_guided, of_plain = np.mean(far, axis=0)
    return float(of_guided), float(of_plain)


def _mean(x: Floats) -> Floats:
    from scipy.ndimage import uniform_filter  # here: a training needs no SciPy

    return uniform_filter(x, 2 * RADIUS + 1, mode="nearest", axes=(0, 1))


def _fit(photo: Floats, edit: Floats) -> tuple[Floats, Floats]:
    """A (h, w, 3, 3) and b (h, w, 3) with edit ≈ A·photo + b, fitted in each window, then averaged over windows."""
    mean_photo, mean_edit = _mean(photo), _mean(edit)
    covariance = _mean(photo[..., :, None] * photo[..., None, :]) - mean_photo[..., :, None] * mean_photo[..., None, :]
    cross = _mean(edit[..., :, None] * photo[..., None, :]) - mean_edit[..., :, None] * mean_photo[..., None, :]
    A = cross @ np.linalg.inv(covariance + RIDGE * np.eye(3, dtype=np.float32))
    b = mean_edit - np.einsum("hwij,hwj->hwi", A, mean_photo)
    return _mean(A), _mean(b)


def _places(large: int, small: int) -> Places:
    """For each of `large` pixel centres: the two of `small` around it, and the second's weight."""
    at = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, small - 1), (at - low).astype(np.float32)


def _part(places: Places, block: slice) -> tuple[slice, Places]:
    """What of the small image a block of pixels needs, with what its pixels' windows see; its places there."""
    low, high, weight = places[0][block], places[1][block], places[2][block]
    start = max(0, int(low[0]) - 2 * RADIUS)  # a window of windows
    return slice(start, int(high[-1]) + 2 * RADIUS + 1), (low - start, high - start, weight)


def _lerp(x: Floats, places: Places, axis: int) -> Floats:
    low, high, weight = places
    weight = weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return x.take(low, axis) * (1 - weight) + x.take(high, axis) * weight
