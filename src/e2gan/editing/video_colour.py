"""A frame of a video as upright RGB, as a person would see it on a screen of standard range, and back.

Numbers of frames are luma and chroma, by a matrix and in a range that the stream tells, or convention does; HLG and PQ
(ITU-R BT.2100) are mapped to what a standard screen shows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from e2gan.core.images import Pixels

if TYPE_CHECKING:
    from av import VideoFrame

# Numbers of ITU-T H.273, which streams and FFmpeg have in common.
RGB, BT709, UNKNOWN, BT601, BT2020 = 0, 1, 2, 6, 9  # matrices
LIMITED, FULL = 1, 2
PQ, HLG = 16, 18  # transfers
P3_DCI, P3 = 11, 12  # primaries; BT.2020's number is the matrix's
SD = (1280, 576)  # a width below, and a height up to, of what says nothing and is taken for BT.601
WHITE = 203  # cd/m² of a diffuse white in HLG and PQ (ITU-R BT.2408)
PEAK = 1000  # cd/m² that a screen of HLG has by convention, and most PQ is made for
KNEE = 0.6  # of the standard screen's light: below it nothing changes, above it highlights are compressed
SCREEN = 2.4  # the exponent of a standard screen (ITU-R BT.1886)
# Linear RGB → linear RGB of BT.709 (rows), from their primaries and D65.
TO_BT709 = {
    BT2020: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    P3: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}
FULL_RANGE = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"})


@dataclass(frozen=True)
class Colours:
    """What a stream's numbers mean, and are written as. matrix, primaries, transfer: of H.273. mapped: how its RGB
    becomes BT.709's: "", "HLG", "PQ" or "wide"."""

    matrix: int
    full: bool
    primaries: int
    transfer: int
    mapped: str = ""

    @classmethod
    def of(cls, frame: VideoFrame) -> Colours:
        """Of a stream's first frame."""
        matrix = frame.colorspace
        if _is_rgb(frame):
            matrix = RGB
        elif matrix in (RGB, UNKNOWN, 3):
            matrix = BT601 if frame.width < SD[0] and frame.height <= SD[1] else BT709
        full = frame.color_range == FULL or frame.format.name in FULL_RANGE
        primaries, transfer = frame.color_primaries, frame.color_trc
        mapped = {PQ: "PQ", HLG: "HLG"}.get(transfer, "")
        if not mapped and primaries in (BT2020, P3, P3_DCI):
            mapped = "wide"
        return cls(matrix, full, primaries, transfer, mapped)

    def written(self) -> Colours:
        """What the edit's numbers mean: the stream's own matrix, or BT.709 where colours are mapped; in limited range,
        in which they are converted more exactly."""
        if self.mapped or self.matrix not in (BT709, 5, BT601):
            return Colours(BT709, full=False, primaries=BT709, transfer=BT709)
        return Colours(self.matrix, False, self.primaries, self.transfer)

    def tags(self) -> Mapping[str, int]:
        """As an encoder has them."""
        tags = {"colorspace": self.matrix, "color_primaries": self.primaries, "color_trc": self.transfer}
        return tags | {"color_range": FULL if self.full else LIMITED}

    def note(self) -> str | None:
        """What a user should know."""
        if self.mapped == "wide":
            return "its colours beyond BT.709 (a wide gamut) are brought inside: the edit is BT.709"
        return f"its {self.mapped} (HDR) is mapped to standard range, highlights compressed" if self.mapped else None


def upright_rgb(frame: VideoFrame, colours: Colours, size: tuple[int, int], turn: int) -> Pixels:
    """A frame as uint8 (H, W, 3) RGB, upright. size: width and height that it is brought to where it has others; turn:
    `orientation` of its stream."""
    if not _is_rgb(frame):
        frame.colorspace = colours.matrix
        frame.color_range = FULL if colours.full else LIMITED
    kind = "rgb48le" if colours.mapped else "rgb24"
    width, height = size
    rgb: Any = _reformat(frame, width=width, height=height, format=kind, dst_color_range=FULL).to_ndarray()
    pixels = to_standard(rgb, colours) if colours.mapped else rgb
    return np.ascontiguousarray(turned(pixels, turn))


def to_frame(pixels_HWC: Pixels, colours: Colours, *, even: bool) -> VideoFrame:
    """Pixels as a frame of YUV 4:2:0, 8 bits. even: the last column and row are repeated where a side is odd."""
    from av import VideoFrame

    if even and (pixels_HWC.shape[0] % 2 or pixels_HWC.shape[1] % 2):
        pads = [(0, side % 2) for side in pixels_HWC.shape[:2]]
        pixels_HWC = np.pad(pixels_HWC, (*pads, (0, 0)), mode="edge")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels_HWC), "rgb24")
    matrix = 5 if colours.matrix == BT601 else colours.matrix  # swscale's name of the same
    frame = _reformat(frame, format="yuv420p", dst_colorspace=matrix, dst_color_range=FULL if colours.full else LIMITED)
    for name, value in colours.tags().items():
        setattr(frame, name, value)
    return frame


def _reformat(frame: VideoFrame, **wanted: Any) -> VideoFrame:
    from av.video.reformatter import Interpolation as I  # noqa: N817

    exact = I.BICUBIC | I.ACCURATE_RND | I.FULL_CHR_H_INT | I.FULL_CHR_H_INP | I.BITEXACT
    return frame.reformat(interpolation=exact, **wanted)


def _is_rgb(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.has_palette


def orientation(matrix: bytes | None) -> int:
    """How a display matrix (nine 32-bit numbers, ISO/IEC 14496-12) turns a picture: quarter turns clockwise, and 4 more
    where it is mirrored left to right first. An angle between is rounded."""
    if matrix is None or len(matrix) < 36:
        return 0
    a, b, _, c, d = np.frombuffer(matrix[:20], np.int32).astype(float)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(np.arctan2(b, a) / (np.pi / 2)) % 4 + 4 * mirrored


def turned(pixels_HWC: NDArray, turn: int) -> NDArray:
    """Pixels, or any (H, W, C), turned as `orientation` says."""
    return np.rot90(pixels_HWC[:, ::-1] if turn >= 4 else pixels_HWC, -(turn % 4))


def to_standard(rgb_HWC: NDArray[np.uint16], colours: Colours) -> Pixels:
    """RGB of 16 bits in HLG, PQ or a wide gamut as uint8 RGB of BT.709: what a standard screen shows of its light.

    1.0 is a diffuse white. Light above the knee is compressed by the extended Reinhard curve, whose slope there is 1
    and which brings the peak to 1; by the largest of R, G and B, so that hues stay.
    """
    light = _table(colours.mapped)[rgb_HWC]
    if colours.mapped == "HLG":  # the screen's own gamma, of the scene's luminance (BT.2100: 1.2 at 1000 cd/m²)
        scene = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (PEAK / WHITE) * np.maximum(scene, 1e-6)[..., None] ** np.float32(0.2)
    if colours.mapped != "wide":
        most = light.max(2, keepdims=True)
        light *= _compressed(most) / np.maximum(most, 1e-6)
    matrix = TO_BT709[P3 if colours.primaries in (P3, P3_DCI) else BT2020]
    light = np.clip(light @ np.array(matrix, np.float32).T, 0, 1)
    return np.rint(255 * light ** np.float32(1 / SCREEN)).astype(np.uint8)


def _compressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    over, top = np.maximum(light - KNEE, 0) / (1 - KNEE), (PEAK / WHITE - KNEE) / (1 - KNEE)
    curve = np.minimum(over * (1 + over / top**2) / (1 + over), 1)
    return (np.minimum(light, KNEE) + (1 - KNEE) * curve).astype(np.float32)


@functools.cache
def _table(kind: str) -> NDArray[np.float32]:
    """Light of each number of 16 bits: of PQ in diffuse whites (SMPTE ST 2084), of HLG the scene's, 0 to 1 (ARIB
    STD-B67), else a standard screen's."""
    x = np.arange(65536) / 65535
    if kind == "PQ":
        p = x ** (1 / 78.84375)
        y = 10000 / WHITE * (np.maximum(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (1 / 0.1593017578125)
    elif kind == "HLG":
        y = np.where(x <= 0.5, x**2 / 3, (np.exp((x - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    else:
        y = x**SCREEN
    return y.astype(np.float32)
