"""The kinds of picture files that are read, and those that are known and not read."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import Image

READABLE = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000", "HEIF")
# Read where the package pillow-heif is; listed in any case, so that they are refused by name and not ignored.
HEIF = {".heic": "HEIC", ".heif": "HEIF", ".hif": "HEIF"}
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
    | {".apng", ".ppm", ".pgm", ".pnm", ".pbm", ".pfm", ".avif", ".jp2", ".j2k", ".jpx"}
    | HEIF.keys()
)
RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl "
    ".sr2 .srf .srw .x3f"
)
# Edited each by itself (editing/video.py); a folder's are counted and told.
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".3gp", ".wmv", ".flv"}
)
# Photographs too, which no reader of ours takes: a folder's are counted and told (originals.py).
NOT_READ = dict.fromkeys(RAW.split(), "camera raw") | {
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".psb": "Photoshop",
    ".xcf": "GIMP",
    ".exr": "OpenEXR",
    ".hdr": "Radiance",
    ".jxr": "JPEG XR",
    ".wdp": "JPEG XR",
    ".tga": "Targa",
}


def open_picture(path: Path) -> Image.Image:
    """A picture file, opened by its content and not by its name; raises what Pillow raises for any other file."""
    Image.init()
    reads_heif()
    return Image.open(path, formats=[name for name in READABLE if name in Image.OPEN])


@functools.cache
def reads_heif() -> bool:
    """Whether HEIC is read here: Pillow is given the reader of pillow-heif, where that is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def cannot_read(suffix: str) -> str | None:
    """Why files of this ending are not read, and what to do; None for those that are, and for all others."""
    suffix = suffix.lower()
    if suffix in HEIF and not reads_heif():
        return (
            f"{HEIF[suffix]} is read where the package pillow-heif is (pip install 'e2gan[heic]'): install it, or "
            "convert the photo to JPEG or PNG"
        )
    if suffix in NOT_READ:
        return f"{NOT_READ[suffix]} is not read: convert it to JPEG, PNG or TIFF first"
    return None
