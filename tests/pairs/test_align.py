"""Edits that an editor shifted, zoomed or cropped: found, undone, left alone where that is better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from e2gan.core.images import Pixels, read_image, resize, square
from e2gan.pairs.align import Alignment, align, default_limit, estimate, undo
from e2gan.teachers.filters.filters import FILTERS, apply

SIZE, MARGIN = 128, 12  # of the frame, and of what the canvas shows around it
STYLES = ("autumn", "night", "fog", "sketch", "comic", "watercolour", "halftone", "mosaic")
# What the frame shows at p from its centre, the edit shows at zoom·p + (dx, dy). The last two: cropped at a side.
MOTIONS = [
    (0.6, -0.4, 1.0),
    (2.5, 1.3, 1.0),
    (-4.0, 6.0, 1.0),
    (0, 0, 0.94),
    (0, 0, 1.08),
    (3.5, 2, 1.05),
    (-4, 0, 1.07),
]


def frame(canvas: Pixels, size: int = SIZE, margin: int = MARGIN) -> Pixels:
    return np.ascontiguousarray(canvas[margin : margin + size, margin : margin + size])


def moved(canvas: Pixels, motion: tuple[float, float, float], size: int = SIZE, margin: int = MARGIN) -> Pixels:
    """The frame as an editor would give it that moves its content so."""
    dx, dy, zoom = motion
    x, y, half = margin + size / 2 - dx / zoom, margin + size / 2 - dy / zoom, size / 2 / zoom
    box = (x - half, y - half, x + half, y + half)
    return np.array(Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC, box=box))


def error(found: Alignment, motion: tuple[float, float, float], size: int = SIZE) -> float:
    """Root mean square over the frame, in pixels."""
    dx, dy, zoom = motion
    return float(np.sqrt((found.dx - dx) ** 2 + (found.dy - dy) ** 2 + (found.zoom - zoom) ** 2 * size**2 / 6))


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(np.float32) - b).mean())


def elastic(canvas: Pixels, amplitude: float) -> Pixels:
    """The frame with its content pushed to and fro by up to about `amplitude` pixels."""
    from scipy import ndimage

    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    push = amplitude * np.sin(2 * np.pi * (x + y) / 70)
    where = [MARGIN + y + push, MARGIN + x - push]
    channels = [ndimage.map_coordinates(canvas[..., c].astype(np.float32), where, order=1) for c in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


@pytest.fixture(scope="module")
def canvases() -> list[Pixels]:
    """A woman before a shuttle, a cat, a red cup on a table, each with a margin around the frame."""
    crops = [data.astronaut()[:400, 30:430], data.chelsea()[:300, 80:380], data.coffee()[:400, 100:500]]
    side = SIZE + 2 * MARGIN
    return [resize(np.ascontiguousarray(crop), (side, side)) for crop in crops]


@pytest.fixture(scope="module")
def edits(canvases: list[Pixels]) -> dict[str, list[Pixels]]:
    made = {name: [apply(FILTERS[name], canvas) for canvas in canvases] for name in STYLES}
    return made | {"negative": [255 - canvas for canvas in canvases]}


# ----------------------------------------------------------------------------------------------------------- estimate


def test_the_signs_are_those_of_the_docstring(canvases: list[Pixels]) -> None:
    """Whole pixels by slicing alone: the edit's content lies 5 to the right and 3 up."""
    canvas = canvases[0]
    found = estimate(frame(canvas), frame(np.roll(canvas, (-3, 5), (0, 1))))
    assert (found.dx, found.dy) == pytest.approx((5, -3), abs=0.1)
    assert found.zoom == pytest.approx(1, abs=0.001)
    larger = resize(frame(canvas), (SIZE + 8, SIZE + 8))[4:-4, 4:-4]
    assert estimate(frame(canvas), larger).zoom == pytest.approx(1 + 8 / SIZE, abs=0.002)


@pytest.mark.parametrize("motion", MOTIONS)
def test_any_style_is_found_to_a_fraction_of_a_pixel(
    motion: tuple[float, float, float], canvases: list[Pixels], edits: dict[str, list[Pixels]]
) -> None:
    errors = {}
    for style, made in edits.items():
        for canvas, edit in zip(canvases, made, strict=True):
            found = estimate(frame(canvas), moved(edit, motion))
            assert found.trusted
            errors.setdefault(style, []).append(error(found, motion))
    assert np.median(list(errors.values())) < 0.2
    assert max(errors["autumn"] + errors["negative"]) < 0.2
    assert max(map(max, errors.values())) < 1.2, errors


@pytest.mark.parametrize("size", [64, 256, 512])
def test_pixels_are_those_of_the_photo_at_every_size(size: int, canvases: list[Pixels]) -> None:
    scale = size / SIZE
    side = round((SIZE + 2 * MARGIN) * scale)
    canvas = resize(canvases[1], (side, side))
    motion, margin = (3.0 * scale, -2.0 * scale, 1.03), round(MARGIN * scale)
    found = estimate(frame(canvas, size, margin), moved(apply(FILTERS["sketch"], canvas), motion, size, margin))
    assert error(found, motion, size) < 0.3 * scale + 0.1


@pytest.mark.parametrize(("height", "width"), [(100, 230), (230, 100), (8, 8), (9, 64), (33, 17)])
def test_any_shape(height: int, width: int, canvases: list[Pixels]) -> None:
    photo = resize(canvases[0], (height, width))
    found = estimate(photo, 255 - photo)
    assert (found.dx, found.dy, found.zoom) == pytest.approx((0, 0, 1), abs=0.05)
    assert align(photo, photo)[0] is photo


def test_a_shift_along_the_only_edges_is_not_invented(canvases: list[Pixels]) -> None:
    """Horizons alone: what lies below is found, what lies beside cannot be seen."""
    lines = np.repeat(canvases[2].mean(1, keepdims=True), SIZE + 2 * MARGIN, 1).astype(np.uint8)
    found = estimate(frame(lines), moved(apply(FILTERS["sepia"], lines), (6, 3, 1)))
    assert found.dx == pytest.approx(0, abs=0.05)
    assert found.dy == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("period", [10, 16])
def test_of_the_periods_of_a_pattern_the_nearest_counts(period: int) -> None:
    y, x = np.indices((SIZE + 2 * MARGIN,) * 2) * 2 * np.pi / period
    board = (127 + 60 * np.sign(np.sin(x)) * np.sign(np.sin(y))).astype(np.uint8)
    canvas = np.repeat(board[..., None], 3, -1)
    found = estimate(frame(canvas), moved(apply(FILTERS["sepia"], canvas), (1.5, -1, 1)))
    assert error(found, (1.5, -1, 1)) < 0.2


def test_sizes_must_be_equal(canvases: list[Pixels]) -> None:
    with pytest.raises(ValueError, match="size"):
        estimate(canvases[0], canvases[0][:-1])


# -------------------------------------------------------------------------------------------------------------- align


@pytest.mark.parametrize("motion", MOTIONS[1:])
@pytest.mark.parametrize("style", ["autumn", "night", "sketch", "comic"])
def test_an_aligned_edit_is_near_the_one_that_was_never_moved(
    style: str, motion: tuple[float, float, float], canvases: list[Pixels], edits: dict[str, list[Pixels]]
) -> None:
    for canvas, edit in zip(canvases, edits[style], strict=True):
        astray = moved(edit, motion)
        aligned, found = align(frame(canvas), astray)
        assert aligned.shape == astray.shape
        assert aligned.dtype == np.uint8
        assert found.trusted
        assert difference(aligned, frame(edit)) < 0.55 * difference(astray, frame(edit))
        assert error(found, motion) < 1


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_an_edit_that_did_not_move_is_left_bit_for_bit(name: str, canvases: list[Pixels]) -> None:
    for canvas in canvases:
        edit = apply(FILTERS[name], frame(canvas))
        aligned, found = align(frame(canvas), edit)
        assert aligned is edit
        assert (found.dx, found.dy, found.zoom) == (0, 0, 1)
        assert found.trusted


@pytest.mark.parametrize("motion", [(0.3, -0.3, 1.0), (0, 0, 1.003), (0.2, 0, 0.998)])
def test_a_fraction_of_a_pixel_is_not_worth_resampling(motion: tuple[float, float, float], edits: dict) -> None:
    edit = moved(edits["autumn"][0], motion)
    assert align(frame(edits["negative"][0]), edit)[0] is edit


def unlike() -> dict[str, Callable[[Pixels], Pixels]]:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    y, x = np.indices((SIZE, SIZE)) / SIZE - 0.5
    vignette = np.repeat((200 * (1 - np.hypot(x, y)))[..., None], 3, -1).astype(np.uint8)
    return {
        "black": np.zeros_like,
        "one colour": lambda photo: np.full_like(photo, 140),
        "noise": lambda _: noise,
        "a vignette alone": lambda _: vignette,
        "upside down": lambda photo: np.ascontiguousarray(photo[::-1, ::-1]),
        "another photo": lambda _: square(data.rocket(), SIZE),
    }


@pytest.mark.parametrize("name", unlike())
def test_without_shared_edges_the_edit_stays_and_the_agreement_says_so(name: str, canvases: list[Pixels]) -> None:
    for canvas in canvases:
        photo = frame(canvas)
        edit = unlike()[name](photo)
        aligned, found = align(photo, edit)
        assert aligned is edit
        assert not found.trusted
        assert 0 <= found.agreement < 0.2


def test_a_plain_sky_is_not_aligned() -> None:
    """A slope and grain under its edit's vignette: any shift would fit as well."""
    rng = np.random.default_rng(0)
    sky = np.linspace(180, 230, SIZE)[:, None, None] + rng.normal(0, 1.5, (SIZE, SIZE, 3))
    photo = sky.astype(np.uint8)
    for name in ("night", "watercolour", "fog", "mosaic", "pixel"):
        edit = apply(FILTERS[name], photo)
        assert align(photo, edit)[0] is edit, name


# ------------------------------------------------------------------------------------------------------ what is left


def test_the_residual_is_the_displacement_that_shift_and_zoom_leave(canvases: list[Pixels]) -> None:
    for canvas in canvases:
        edit = apply(FILTERS["autumn"], canvas)
        residuals = [estimate(frame(canvas), elastic(edit, amplitude)).residual for amplitude in (0, 1, 2, 4)]
        assert residuals[0] < 0.3
        assert residuals == sorted(residuals)
        assert residuals[2] == pytest.approx(2 * 2**0.5, abs=1.2)
    moved_only = estimate(frame(canvases[0]), moved(apply(FILTERS["autumn"], canvases[0]), (5, 3, 1.04)))
    assert moved_only.residual < 0.4


def test_undo_mirrors_what_was_outside_the_frame() -> None:
    edit = np.zeros((40, 60, 3), np.uint8)
    edit[:, :30] = 200
    undone = undo(edit, Alignment(10, 0, 1, 1, 0))  # the content lay 10 to the right: back to the left it goes
    assert (undone[:, :19] == 200).all()
    assert (undone[:, 22:49] == 0).all()
    assert (undone[:, 51:] == 0).all()  # mirrored black, no invented border
    back = undo(edit, Alignment(-10, 0, 1, 1, 0))
    assert (back[:, :38] == 200).all()
    np.testing.assert_array_equal(undo(edit, Alignment(0, 0, 1, 1, 0)), edit)


# ---------------------------------------------------------------------------------------------------- real photographs


@pytest.mark.slow
def test_real_photographs(shared: Path) -> None:
    """Four photographs, all filters: moved edits are found, unmoved ones left alone, none aligned to another photo."""
    size, margin = 256, 22
    files = sorted((shared / "photos/test").iterdir())[::25]
    canvases = [square(read_image(file), size + 2 * margin) for file in files]
    rng = np.random.default_rng(0)
    errors, touched, unlike = [], 0, []
    for i, canvas in enumerate(canvases):
        photo, other = (frame(c, size, margin) for c in (canvas, canvases[i - 1]))
        for name in FILTERS:
            edit = apply(FILTERS[name], canvas)
            motion = (*rng.uniform(-8, 8, 2), rng.choice([0.95, 1.0, 1.0, 1.05]))
            errors.append(error(estimate(photo, moved(edit, motion, size, margin)), motion, size))
            still = frame(edit, size, margin)
            touched += align(photo, still)[0] is not still
            if name in STYLES:
                unlike.append(estimate(other, still).agreement)
    assert np.median(errors) < 0.25
    assert np.percentile(errors, 95) < 2.5  # strokes and panes have their edges up to 3 pixels elsewhere
    assert touched <= 0.015 * len(errors)
    assert max(unlike) < 0.25


@pytest.mark.parametrize("shift", [26, 30, 31, 32, 34])
def test_a_shift_beyond_the_reach_is_undone_whole_or_told(shift: int) -> None:
    """A search that ended at its reach once left 4 of 31 pixels undone, which passed for a style's own displacement."""
    for picture in (data.astronaut(), data.coffee(), data.rocket()):
        canvas = picture[:336, 100:436]
        photo = frame(canvas, 256, 40)
        found = align(photo, moved(apply(FILTERS["sepia"], canvas), (shift, 0, 1), 256, 40))[1]
        assert abs(found.dx - shift) < 1 or found.residual > default_limit(photo.shape)


def test_the_limit_stays_a_few_pixels() -> None:
    assert [default_limit((side, side, 3)) for side in (64, 256, 1024)] == [3, 5.12, 6]
