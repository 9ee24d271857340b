"""An edited photo as a file: in the photo's own colours, with its transparency and metadata."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from e2gan.config import Metadata
from e2gan.core.colour import from_srgb
from e2gan.core.errors import InputError
from e2gan.core.images import Picture, Pixels
from e2gan.core.values import bands

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
OPTIONS: dict[str, dict[str, int]] = {
    "PNG": {"compress_level": 1},  # a quarter of the default's time for a sixth more bytes
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
}
Tag = ExifTags.Base
# What says of a photo who made it, when, and with what. Not how a TIFF's own pixels lie, nor a thumbnail unedited.
KEPT_TAGS = {Tag.ImageDescription, Tag.Make, Tag.Model, Tag.Software, Tag.DateTime, Tag.Artist, Tag.HostComputer}
KEPT_TAGS |= {Tag.Copyright, Tag.Rating, Tag.RatingPercent, Tag.XPTitle, Tag.XPComment, Tag.XPAuthor, Tag.XPKeywords}
KEPT_TAGS |= {Tag.XPSubject, Tag.XResolution, Tag.YResolution, Tag.ResolutionUnit}
SIDES = Tag.ExifImageWidth, Tag.ExifImageHeight
OF_ITS_FILE = {Tag.MakerNote, ExifTags.IFD.Interop}  # hold places in the file, and its colour space
MOST_EXIF = 65_000  # bytes; a segment of a JPEG holds no more
LONGEST = {"JPEG": 65_500, "WEBP": 16_383}  # pixels of a side


def ending(suffix: str) -> str:
    """The suffix of an edited photo's file: its own where that can be written, else .png."""
    return suffix if suffix.lower() in FORMATS else ".png"


def check_sides(image_HWC: Pixels, suffix: str) -> None:
    """Raises InputError for a picture that is longer than a file with this ending can be."""
    height, width, kind = image_HWC.shape[0], image_HWC.shape[1], FORMATS[suffix.lower()]
    if max(height, width) > LONGEST.get(kind, height + width):
        most = f"at most {LONGEST[kind]:,} a side"
        raise InputError(f"{width}×{height} pixels do not go into {kind} ({most}): write a .png")


def own_colours(picture: Picture, edited_HWC: Pixels, strength: float) -> Pixels:
    """An edit of the picture's sRGB pixels in the picture's own profile, uint8 (H, W, 3).

    An edit is made in sRGB. What the photo had beyond that comes back as far as the edit is not there: wholly at
    strength 0, where the photo's own numbers return, not at all from strength 1 on.
    """
    if picture.own_pixels is None or picture.profile is None:
        return edited_HWC
    if strength == 0:
        return picture.own_pixels
    out = from_srgb(edited_HWC, picture.profile)
    if (part := 1 - strength) <= 0:
        return out
    for rows in bands(out.shape[0], out.shape[1]):
        lost = picture.own_pixels[rows].astype(np.float32) - from_srgb(picture.pixels[rows], picture.profile)
        out[rows] = np.clip(np.rint(out[rows] + np.float32(part) * lost), 0, 255).astype(np.uint8)
    return out


def with_alpha(image_HWC: Pixels, alpha_HW: Pixels) -> Pixels:
    """The image, which lies over white, as uint8 (H, W, 4) that is that image again over white."""
    out = np.empty((*image_HWC.shape[:2], 4), np.uint8)
    out[..., 3] = alpha_HW
    for rows in bands(image_HWC.shape[0], image_HWC.shape[1]):
        cover = np.maximum(alpha_HW[rows, :, None].astype(np.float32) / 255, 1 / 255)
        colour = (image_HWC[rows] - 255 * (1 - cover)) / cover
        out[rows, :, :3] = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
    return out


def kept_exif(exif: Mapping[int, Any], metadata: Metadata, width: int, height: int) -> tuple[bytes | None, bool]:
    """A photo's EXIF data for its edit of this size, upright; and whether all that should be kept of it is.

    exif: as `Picture` has it. What a camera keeps for itself (MakerNote) and thumbnails, which show the photo unedited,
    are never kept.
    """
    if metadata == "none":
        return None, True
    kept = {tag: exif[tag] for tag in sorted(KEPT_TAGS & exif.keys())}
    groups: dict[int, dict[int, Any]] = {}
    if details := dict(exif.get(ExifTags.IFD.Exif, {})):
        details |= {tag: side for tag, side in ((SIDES[0], width), (SIDES[1], height)) if tag in details}
        groups[ExifTags.IFD.Exif] = {tag: value for tag, value in details.items() if tag not in OF_ITS_FILE}
    if metadata == "keep" and (place := exif.get(ExifTags.IFD.GPSInfo)):
        groups[ExifTags.IFD.GPSInfo] = dict(place)
    if not kept and not groups:
        return None, True
    texts = {tag: value for tag, value in kept.items() if isinstance(value, str)}
    # A value of a wrong kind, as a stranger's file may have it, cannot be written: then its group is left out.
    for tags in (kept | groups, *(kept | {tag: group} for tag, group in groups.items()), kept, texts):
        written = Image.Exif()
        with suppress(Exception):
            for tag, value in tags.items():
                written[tag] = value
            data = written.tobytes()
            if tags and len(data) <= MOST_EXIF:
                return data, len(tags) == len(kept) + len(groups)
    return None, False


def encode(
    image_HWC: Pixels,
    suffix: str,
    *,
    profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """The image, uint8 (H, W, 3), or (H, W, 4) with transparency, as the bytes of a file with this ending.

    JPEG and WebP at quality 95. Raises InputError where it is larger than the format allows.
    """
    buffer = io.BytesIO()
    kind = FORMATS[suffix.lower()]
    more: dict[str, Any] = {"icc_profile": profile} | OPTIONS[kind]
    if exif is not None:
        more["exif"] = exif
    if dpi is not None and kind != "WEBP" and all(0 < d < 65_000 for d in dpi):
        more["dpi"] = dpi
    if xmp is not None and kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        more["pnginfo"] = text
    elif xmp is not None:
        more["xmp"] = xmp
    try:
        Image.fromarray(image_HWC).save(buffer, kind, **more)
    except (OSError, ValueError) as error:
        height, width = image_HWC.shape[:2]
        raise InputError(f"{width}×{height} pixels do not go into {kind} ({error}): write a .png") from None
    return buffer.getvalue()
