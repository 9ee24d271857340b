"""What a frame's numbers mean: matrices, ranges, turned and mirrored pictures, HLG and PQ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from e2gan.editing.video_colour import BT2020, HLG, PQ, Colours, orientation, to_frame, to_standard, turned, upright_rgb
from tests.editing.clips import FINE, av
from tests.editing.tiny_model import far

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
COLOURS = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [120, 60, 200], [0, 0, 0]]], np.uint8)


def frame_of(rgb: np.ndarray, matrix: int, bits: int, *, full: bool) -> Any:
    """As ITU-R BT.601, BT.709 and BT.2020 define it, in YUV 4:4:4."""
    red, blue = WEIGHTS[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue]) / 255
    chroma = [(rgb[..., i] / 255 - luma) / (2 * (1 - of)) for i, of in ((2, blue), (0, red))]
    scale, most = 2 ** (bits - 8), 2**bits - 1
    if full:
        planes = [luma * most, *(c * most + 128 * scale for c in chroma)]
    else:
        planes = [(16 + 219 * luma) * scale, *((128 + 224 * c) * scale for c in chroma)]
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv444p" if bits == 8 else "yuv444p10le")
    for plane, values in zip(frame.planes, planes, strict=True):
        numbers = np.clip(np.rint(values), 0, most).astype(np.uint8 if bits == 8 else np.uint16)
        rows = np.zeros((rgb.shape[0], plane.line_size), np.uint8)
        rows[:, : numbers.nbytes // len(numbers)] = numbers.view(np.uint8).reshape(len(numbers), -1)
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
def test_numbers_are_read_as_their_standard_says(matrix: int, bits: int, full: bool) -> None:
    rgb = np.repeat(np.repeat(COLOURS, 16, 1), 16, 0)
    frame = frame_of(rgb, matrix, bits, full=full)
    pixels = upright_rgb(frame, Colours.of(frame), (96, 16), 0)
    assert np.abs(pixels.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize(("size", "matrix"), [((720, 576), 6), ((1280, 720), 1), ((640, 1136), 1), ((64, 48), 6)])
def test_what_says_nothing_is_taken_by_its_size(size: tuple[int, int], matrix: int) -> None:
    found = Colours.of(av.VideoFrame(*size, "yuv420p"))
    assert (found.matrix, found.full) == (matrix, False)
    assert Colours.of(av.VideoFrame(*size, "yuvj420p")).full


def test_pixels_become_a_frame_and_back() -> None:
    rgb = np.repeat(np.repeat(COLOURS, 32, 1), 32, 0)
    for matrix in (1, 6):
        colours = Colours(matrix, full=False, primaries=matrix, transfer=matrix)
        frame = to_frame(rgb, colours, even=True)
        assert (frame.colorspace, frame.color_range, frame.color_trc) == (matrix, 1, matrix)
        back = frame.reformat(format="rgb24", interpolation=FINE, dst_color_range=2).to_ndarray()
        assert np.abs(back.astype(int) - rgb)[:, 16::32].max() <= 2
    odd = to_frame(rgb[:31, :31], colours, even=True)
    assert (odd.width, odd.height) == (32, 32)
    assert (to_frame(rgb[:31, :31], colours, even=False).width) == 31


@pytest.mark.parametrize("turn", range(8))
def test_all_eight_orientations(turn: int) -> None:
    """Matrices as a player applies them to the corners of a picture."""
    quarter = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), turn % 4)  # a row (x, y), y down, clockwise
    matrix = (np.diag([-1, 1]) if turn >= 4 else np.eye(2, dtype=int)) @ quarter
    numbers = np.zeros((3, 3), np.int32)
    numbers[:2, :2] = matrix * 65536
    assert orientation(numbers.tobytes()) == turn
    picture = np.arange(6).reshape(2, 3, 1)
    at = {}
    for y in range(2):
        for x in range(3):
            place = np.array([2 * x - 2, 2 * y - 1]) @ matrix
            at[tuple(place)] = picture[y, x, 0]
    result = turned(picture, turn)
    height, width = result.shape[:2]
    for (x, y), value in at.items():
        assert result[(y + height - 1) // 2, (x + width - 1) // 2, 0] == value


def test_no_matrix_or_a_short_one_is_upright() -> None:
    assert orientation(None) == orientation(bytes(10)) == 0


def grey(value: float) -> np.ndarray:
    return np.full((2, 2, 3), round(65535 * value), np.uint16)


@pytest.mark.parametrize(("transfer", "name", "white", "dark"), [(PQ, "PQ", 0.5806, 0.38), (HLG, "HLG", 0.75, 0.38)])
def test_hdr_is_mapped_to_what_a_standard_screen_shows(transfer: int, name: str, white: float, dark: float) -> None:
    """ITU-R BT.2408: a diffuse white is at 58 % of PQ and 75 % of HLG, a grey card (18 %) at 38 % of both."""
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    frame.color_trc, frame.color_primaries, frame.colorspace = transfer, BT2020, 9
    colours = Colours.of(frame)
    assert colours.mapped == name
    assert name in str(colours.note())
    levels = [int(to_standard(grey(v), colours)[0, 0, 1]) for v in (0, dark, white, 1)]
    assert levels[0] == 0
    assert 95 < levels[1] < 125
    assert 220 < levels[2] < 245
    assert levels[3] >= 253
    steps = [int(to_standard(grey(v), colours)[0, 0, 1]) for v in np.linspace(0, 1, 60)]
    assert steps == sorted(steps)
    card = to_standard(grey(dark), colours)
    assert far(card, np.broadcast_to(card[..., :1], card.shape)) <= 1  # a grey stays grey
    written = colours.written()
    assert (written.matrix, written.primaries, written.transfer, written.full) == (1, 1, 1, False)


def test_a_wide_gamut_of_standard_range_is_brought_inside() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.color_primaries, frame.color_trc, frame.colorspace = 12, 1, 1
    colours = Colours.of(frame)
    assert "wide gamut" in str(colours.note())
    assert np.abs(to_standard(grey(0.5), colours).astype(int) - 128).max() <= 1
    red = np.zeros((1, 1, 3), np.uint16)
    red[..., 0] = 65535
    assert to_standard(red, colours)[0, 0].tolist() == [255, 0, 0]
