"""Colour profiles: what a picture's numbers mean as colours, to sRGB and back, by littlecms.

Conversions are relative colorimetric with black point compensation: colours that both spaces have stay what they are,
others are clipped to the nearest, and black stays black.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from e2gan.core.values import bands

SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # ICC's signature of a colour space → Pillow's mode
SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # white, red, green, blue: x and y of each
ADOBE_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 563 / 256
SRGB_GAMMA = 1 / 0.45455  # what PNG files of sRGB say, though its curve is no power
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])
NEAR = 2  # levels of 255 by which a profile that calls itself sRGB may differ from another's rounding
INTENT, FLAGS = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION


class ProfileError(Exception):
    """A colour profile that cannot be used; the message says why, without the file's name."""


def profile_mode(profile: bytes) -> str:
    """The mode of the pixels that a profile is of: RGB, L or CMYK. Raises ProfileError where it is none of them."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("is damaged")
    if (mode := SPACES.get(profile[16:20])) is None:
        raise ProfileError(f"is of a kind that is not read ({profile[16:20].decode('ascii', 'replace').strip()})")
    return mode


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str, back: bool) -> ImageCms.ImageCmsTransform:
    """Pixels of a mode from the profile to sRGB, or `back`. Raises ProfileError."""
    profile_mode(profile)
    try:
        there = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
        if back:
            return ImageCms.buildTransform(srgb, there, "RGB", mode, INTENT, FLAGS)
        return ImageCms.buildTransform(there, srgb, mode, "RGB", INTENT, FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise ProfileError(f"is damaged ({' '.join(str(error).split())})") from None


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """sRGB, as the same bytes at any time: littlecms writes the hour into what it makes."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + data[36:]


@lru_cache(maxsize=32)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile is sRGB, by what it does: then no pixel is touched. Raises ProfileError."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(27, 27, 3)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    for colours in (probe, ramp):
        seen = np.asarray(_apply(Image.fromarray(colours), profile, back=False))
        if np.abs(seen.astype(np.int16) - colours).max() > NEAR:
            return False
    return True


def _apply(image: Image.Image, profile: bytes, *, back: bool) -> Image.Image:
    mode = profile_mode(profile)
    transform = _transform(profile, mode, back)
    try:
        found = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, ValueError) as error:
        raise ProfileError(f"cannot be applied ({' '.join(str(error).split())})") from None
    assert found is not None  # only where it works in place
    return found


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An image of the profile's mode as RGB in sRGB; the same image where it is sRGB already. Raises ProfileError."""
    mode = profile_mode(profile)
    if mode == "RGB" and is_srgb(profile):
        return image
    return _in_strips(image, profile, back=False)


def from_srgb(image_HWC: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) in sRGB as the same in an RGB profile.

    Raises ProfileError where that leads one way only, as a scanner's does.
    """
    if is_srgb(profile):
        return image_HWC
    out = np.empty_like(image_HWC)
    for rows in bands(*image_HWC.shape[:2]):
        strip = Image.fromarray(image_HWC[rows])
        out[rows] = np.asarray(_apply(strip, profile, back=True))
    return out


def _in_strips(image: Image.Image, profile: bytes, *, back: bool) -> Image.Image:
    out = image if image.mode == "RGB" else Image.new("RGB", image.size)
    for rows in bands(image.height, image.width):
        box = (0, rows.start, image.width, rows.stop)
        out.paste(_apply(image.crop(box), profile, back=back), box)
    return out


def gives_back(profile: bytes) -> bool:
    """Whether an edit can be brought back into a profile: one of RGB that leads both ways."""
    try:
        if profile_mode(profile) != "RGB":
            return False
        _transform(profile, "RGB", back=True)
    except ProfileError:
        return False
    return True


def png_profile(gamma: float | None, chromaticity: Sequence[float] | None) -> bytes | None:
    """What the chunks gAMA and cHRM of a PNG say, as an ICC profile; None where it is sRGB, or nothing that can be.

    gamma: the exponent of gAMA, 0.45455 for sRGB. chromaticity: x and y of white, red, green and blue.
    """
    exponent = SRGB_GAMMA if not gamma else 1 / gamma
    primaries = SRGB_PRIMARIES if chromaticity is None else tuple(chromaticity)
    like_srgb = abs(exponent - SRGB_GAMMA) < 0.05
    if like_srgb and np.allclose(primaries, SRGB_PRIMARIES, atol=2e-3):
        return None
    if not 0.2 <= exponent <= 8:
        return None
    try:
        return matrix_profile(primaries, None if like_srgb else exponent)
    except (ValueError, np.linalg.LinAlgError, struct.error):
        return None


CICP_PRIMARIES = {1: SRGB_PRIMARIES, 9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)}
CICP_PRIMARIES[12] = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
CICP_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 13: None}


def cicp_profile(code: bytes) -> bytes | None:
    """What a PNG's chunk cICP says (ITU-T H.273), as an ICC profile; None where it is sRGB.

    Raises ProfileError for what no matrix and curve of eight bits say: film, video, high dynamic range.
    """
    if len(code) != 4 or code[0] not in CICP_PRIMARIES or code[1] not in CICP_GAMMAS or code[2] or not code[3]:
        raise ProfileError(f"is of a kind that is not read (cICP {' '.join(map(str, code[:4]))})")
    profile = matrix_profile(CICP_PRIMARIES[code[0]], CICP_GAMMAS[code[1]])
    return None if is_srgb(profile) else profile


def adobe_profile() -> bytes:
    """Adobe RGB (1998), which a camera may name in its EXIF alone."""
    return matrix_profile(ADOBE_PRIMARIES, ADOBE_GAMMA)


@lru_cache(maxsize=32)
def matrix_profile(primaries: tuple[float, ...], gamma: float | None) -> bytes:
    """An ICC profile, version 2, of RGB by its primaries and one curve.

    primaries: x and y of white, red, green and blue. gamma: the curve's exponent, None for sRGB's own curve. Raises
    ValueError or LinAlgError where the primaries span no colours.
    """
    xy = np.asarray(primaries, np.float64).reshape(4, 2)
    if not np.isfinite(xy).all() or (xy[:, 1] <= 0).any():
        raise ValueError(f"no colours: {primaries}")
    xyz = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(1)) / xy[:, 1]], axis=1)  # rows: white, r, g, b
    white, columns = xyz[0], xyz[1:].T
    columns = columns * np.linalg.solve(columns, white)
    adapted = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD @ columns
    if not np.isfinite(adapted).all() or abs(np.linalg.det(adapted)) < 1e-4:
        raise ValueError(f"no colours: {primaries}")

    def numbers(values: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    name = f"e2gan {sha256(repr((primaries, gamma)).encode()).hexdigest()[:8]}".encode()
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" * 79
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": numbers(list(D50)), b"rTRC": _curve(gamma)}
    tags |= {key: numbers(list(adapted[:, i])) for i, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= {b"gTRC": tags[b"rTRC"], b"bTRC": tags[b"rTRC"]}
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, data in tags.items():
        table += key + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI12s6H", start + len(body), b"", 0x02400000, b"mntrRGB XYZ ", 2000, 1, 1, 0, 0, 0)
    return (head + b"acsp" + b"\0" * 28 + numbers(list(D50))[8:]).ljust(128, b"\0") + table + body


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    levels = np.linspace(0, 1, 1024)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *np.rint(linear * 65535).astype(int))
