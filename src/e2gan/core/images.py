"""Pixels: read any ordinary image, crop, resize, write. Images are uint8 (H, W, 3) RGB, in sRGB."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from e2gan.core.colour import (
    ProfileError,
    adobe_profile,
    gives_back,
    is_srgb,
    png_profile,
    profile_mode,
    srgb_profile,
    to_srgb,
)
from e2gan.core.embedded_profiles import MOST_PROFILE, embedded_profile
from e2gan.core.errors import InputError
from e2gan.core.files import open_file, write_bytes
from e2gan.core.machine import raise_machine_fault
from e2gan.core.picture_headers import check_header
from e2gan.core.picture_kinds import cannot_read, open_picture
from e2gan.core.progress import note
from e2gan.core.values import TOGETHER, bands, declared, eight_bits

PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20  # a megabyte is less than the node graphs that some programs write beside

Pixels = NDArray[np.uint8]
Result = TypeVar("Result")

MADE_HERE = "urn:e2gan:edit#"  # in the XMP of our edits (editing/provenance.py)
IPTC, XMP = 33723, 700  # tags of a TIFF
FLAT = 2.5  # of 255: contrast of what is one colour. The palest edit of a photograph, fog, has 10
MAX_PIXELS = 200_000_000  # 600 MB of RGB; the largest phone cameras make 200 megapixels
MOST_BYTES = 1280 * 2**20  # of a file: room for as many pixels of 16 bits as they are
INTEROPERABILITY, ADOBE_RGB = 0xA005, "R03"  # EXIF's way to say Adobe RGB (DCF), which cameras use beside a profile
TOLD = 5  # files with the same bad profile that are named


class _Quiet:
    """Pillow without warnings and with this module's limit of pixels, while any thread is inside.

    `warnings.catch_warnings` alone is not safe in threads: the last to leave may restore what the first had silenced.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limit: int | None = None
        self.caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.caught = warnings.catch_warnings()
                self.caught.__enter__()
                warnings.simplefilter("ignore")
                self.limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                Image.MAX_IMAGE_PIXELS = self.limit
                self.caught.__exit__(None, None, None)


_quiet = _Quiet()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file with all that an edit of it should come back with.

    pixels: uint8 (H, W, 3), sRGB, upright, over white, as `read_image` gives them. profile: an ICC profile of RGB for
    pixels that are written: the photo's own where colours can be brought back into it, sRGB's where it has another
    kind, None where it has none. own_pixels: the same picture in that profile, where it is not sRGB. alpha: uint8
    (H, W), where the picture is transparent anywhere. exif: tag → value, without the orientation; the groups of the
    camera's settings and of the place as dictionaries under their own tags. dpi: dots per
    inch across and down. frames: of an animation, or pages. captions: whether it has
    XMP or IPTC data, which is not read.
    """

    pixels: Pixels
    profile: bytes | None = None
    own_pixels: Pixels | None = None
    alpha: Pixels | None = None
    exif: Mapping[int, Any] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None
    frames: int = 1
    captions: bool = False


def read_image(path: Path, most: int = MAX_PIXELS) -> Pixels:
    """An image file, of at most so many pixels, as uint8 (H, W, 3) RGB in sRGB, as a person would see it.

    Upright by its EXIF orientation; more than 8 bits by the rule of their type (values.py); grey, palette and CMYK
    converted; transparency over white; the first frame of an animation. Colours are converted to sRGB from the file's
    ICC profile of RGB, grey or CMYK (colour.py); from what a PNG says in cICP, or in gAMA and cHRM; from Adobe RGB
    where the EXIF names it. A profile that is damaged, or not of the pixels' kind, is told in a line on standard error,
    and the numbers are taken for sRGB. Raises InputError, one line that begins with the path, for what is no image,
    truncated, empty, of numbers that have no agreed range; and, told by the headers before anything is decoded, for
    more pixels, a file of more than MOST_BYTES, and one of thousands of frames or notes. No file takes more
    than 3 GB of memory.
    """
    return _read(path, lambda image, embedded: _seen(image, f"{path}: ", embedded, ours=True)[0], most=most)


def read_picture(path: Path, most: int = MAX_PIXELS) -> Picture:
    """As `read_image`, with what else the file holds. Raises InputError as that does."""

    def picture(image: Image.Image, embedded: bytes | None) -> Picture:
        frames = _frames(image)
        pixels, own_pixels, alpha, profile = _seen(image, f"{path}: ", embedded, ours=True, whole=True)
        dpi = image.info.get("dpi")
        return Picture(
            pixels=pixels,
            profile=profile,
            own_pixels=own_pixels,
            alpha=alpha,
            exif=_exif(image),
            dpi=(float(dpi[0]), float(dpi[1])) if isinstance(dpi, tuple) and len(dpi) == 2 else None,
            frames=frames,
            captions=_captioned(image),
        )

    return _read(path, picture, most=most)


def _read(
    path: Path,
    convert: Callable[[Image.Image, bytes | None], Result],
    side: int | None = None,
    most: int = MAX_PIXELS,
) -> Result:
    """What `convert` makes of an image and of the profile in its file. side: of the square that it must be. most:
    pixels."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")
    with _quiet:
        try:
            check_file(path)
            with open_picture(path) as image:
                if side is not None and image.size != (side, side):
                    raise InputError(f"{path}: is not {side}×{side} pixels as its set says")
                if image.width * image.height > most:
                    raise InputError(
                        f"{path}: {image.width}×{image.height} pixels are more than the {most // 10**6} million "
                        "that are read: make it smaller"
                    )
                embedded = profile_in_file(image, f"{path}: ")
                image.load()
                return convert(image, embedded)
        except InputError:
            raise
        except MemoryError:
            raise InputError(f"{path}: too large for this machine's memory") from None
        except Exception as error:  # decoders raise anything on a stranger's bytes: all of it means a bad file
            raise_machine_fault(error)
            raise InputError(f"{path}: {_reason(path, error)}") from None


def check_file(path: Path) -> None:
    """Raises InputError for what would keep a decoder busy, or fill the memory, before it tells how large it is."""
    if is_too_large(path):
        most = MOST_BYTES // 10**6
        raise InputError(f"{path}: a file of {path.stat().st_size / 1e6:,.0f} MB; up to {most:,} are read as a picture")
    with open_file(path) as file:
        try:
            check_header(file, path.stat().st_size)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def is_too_large(path: Path) -> bool:
    """Whether a file has more bytes than any picture that is read."""
    return path.stat().st_size > MOST_BYTES


def read_square(path: Path, size: int) -> Pixels:
    """An image of a set, (size, size, 3). Raises InputError where it is missing or of another size, by its header."""
    return _read(path, lambda image, embedded: _seen(image, f"{path}: ", embedded, ours=True)[0], side=size)


def _reason(path: Path, error: Exception) -> str:
    if (why := cannot_read(path.suffix)) is not None:
        return why
    if isinstance(error, PermissionError):
        return "may not be read (no permission)"
    if path.stat().st_size == 0:
        return "is empty"
    if isinstance(error, Image.UnidentifiedImageError):
        return "is no image"
    return f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"


def _upright(image: Image.Image, *, in_place: bool) -> Image.Image:
    with suppress(Exception):  # a corrupt EXIF block says nothing about the pixels
        return ImageOps.exif_transpose(image, in_place=in_place) or image
    return image


def _exif(image: Image.Image) -> dict[int, Any]:
    found: dict[int, Any] = {}
    with suppress(Exception):  # a corrupt EXIF block says nothing about the pixels
        exif = image.getexif()
        found |= dict(exif.items())
        for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            found.pop(group, None)
            with suppress(Exception):
                if values := dict(exif.get_ifd(group)):
                    found[group] = values
    return found


def _captioned(image: Image.Image) -> bool:
    """Whether there is XMP or IPTC data, or a comment, other than what an edit of ours tells of itself."""
    found = [image.info.get(name) for name in ("xmp", "XML:com.adobe.xmp", "photoshop", "comment")]
    with suppress(Exception):  # what is damaged says nothing about the pixels
        found += [image.tag_v2.get(tag) for tag in (IPTC, XMP)] if hasattr(image, "tag_v2") else []  # pyright: ignore
    with suppress(Exception):
        found += list(getattr(image, "text", {}).values())
    return any(found) and not any(MADE_HERE in str(data) for data in found)


def _frames(image: Image.Image) -> int:
    """How many pictures a file shows one after the other; a phone's second one, of a gain map, is none of them."""
    with suppress(Exception):
        return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    return 1


def pixels_of(image: Image.Image, where: str = "", embedded: bytes | None = None) -> Pixels:
    """An opened image as uint8 (H, W, 3) RGB in sRGB, as `read_image` has it of a file.

    embedded: of `profile_in_file`. Raises InputError, which begins with `where`, for pixels whose numbers have no
    agreed range (values.py).
    """
    return _seen(image, where, embedded)[0]


Seen = tuple[Pixels, Pixels | None, Pixels | None, bytes | None]


def _seen(image: Image.Image, where: str, embedded: bytes | None, *, ours: bool = False, whole: bool = False) -> Seen:
    """Pixels in sRGB; with `whole`, those in the own profile, the transparency and the profile, as `Picture` has them.
    embedded: of `profile_in_file`. ours: the image may be turned upright itself, and freed of its pixels."""
    profile = _profile(image, where, embedded)
    try:
        flat, alpha = _flat(image, ours=ours)
    except InputError as error:
        raise InputError(f"{where}{error}") from None
    own, given = None, None
    if profile is not None:
        try:
            mode = profile_mode(profile)
            if mode == "RGB" and flat.mode == "L":
                flat = flat.convert("RGB")
            if mode != flat.mode:
                raise ProfileError(f"is of {mode} pixels, and these are {flat.mode}")
            given = profile if gives_back(profile) else srgb_profile()
            keep = whole and given is profile and not is_srgb(profile)
            own = _over_white(flat, alpha) if keep else None
            flat = to_srgb(flat, profile)
        except ProfileError as error:
            given = None
            _tell(where, profile, f"its colour profile {error}: read as sRGB")
    pixels = _over_white(flat, alpha)
    transparent = np.array(alpha) if whole and alpha is not None else None
    if transparent is not None and transparent.min(initial=255) == 255:
        transparent = None
    return pixels, own, transparent, given


def _flat(image: Image.Image, *, ours: bool) -> tuple[Image.Image, Image.Image | None]:
    """The image, turned upright, as RGB, L or CMYK of 8 bits, and its transparency (L). ours: may be changed."""
    if image.mode.startswith("I") or image.mode == "F":
        bits, inverted = declared(image)  # before it is turned, which loses what the file says
        hidden = image.info.get("transparency")  # the one grey of a PNG that is not seen
        values = np.asarray(_upright(image, in_place=ours))
        alpha = Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)) if type(hidden) is int else None
        return Image.fromarray(eight_bits(values, bits, inverted=inverted)), alpha
    if image.mode == "LAB":
        raise InputError("CIE L*a*b* colours are not read: save it as RGB")
    image = _upright(image, in_place=ours)
    if image.mode == "La":  # the library converts what alpha has multiplied to nothing but its own kind
        image = image.convert("LA")
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        return image.getchannel("R") if grey else image.convert("RGB"), image.getchannel("A")
    if image.mode in ("RGB", "L", "CMYK"):
        return image, None
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB"), None


def _over_white(image: Image.Image, alpha: Image.Image | None) -> Pixels:
    """RGB, L or CMYK of 8 bits as uint8 (H, W, 3), some rows at a time."""
    out = np.empty((image.height, image.width, 3), np.uint8)
    for rows in bands(image.height, image.width):
        box = (0, rows.start, image.width, rows.stop)
        strip = image.crop(box).convert("RGB")
        if alpha is not None:
            over = Image.merge("RGBA", (*strip.split(), alpha.crop(box)))
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), over).convert("RGB")
        out[rows] = np.asarray(strip)
    return out


def profile_in_file(image: Image.Image, where: str) -> bytes | None:
    """The profile that Pillow leaves in the file of an image, empty for sRGB; None of one that is loaded, whose file is
    closed by then."""
    try:
        file = _file_of(image)
        return None if file is None else embedded_profile(image.format, file)
    except ProfileError as error:
        _tell(where, str(error).encode(), f"its colour profile {error}: read as sRGB")
        return b""


def _file_of(image: Image.Image) -> BinaryIO | None:
    with suppress(Exception):  # of a closed image, where the library puts an error in its place
        file: Any = getattr(image, "fp", None)
        file.tell()
        return file
    return None


def _profile(image: Image.Image, where: str, embedded: bytes | None) -> bytes | None:
    """The ICC profile of an image, or what its file says instead of one; None for sRGB."""
    if embedded is not None and (image.format == "PNG" or not image.info.get("icc_profile")):
        return embedded or None
    if found := image.info.get("icc_profile"):
        if len(found) <= MOST_PROFILE:
            return bytes(found)
        _tell(where, found, f"its colour profile is of {len(found) // 10**6} MB: read as sRGB")
        return None
    if image.format == "PNG" and "srgb" not in image.info:
        return png_profile(image.info.get("gamma"), image.info.get("chromaticity"))
    with suppress(Exception):  # a corrupt EXIF block says nothing about the pixels
        if image.getexif().get_ifd(INTEROPERABILITY).get(1) == ADOBE_RGB:
            return adobe_profile()
    return None


_told: Counter[bytes] = Counter()


def _tell(where: str, profile: bytes, what: str) -> None:
    """A line on standard error; of many files with the same profile, for the first few."""
    key = hashlib.sha256(profile).digest()
    _told[key] += 1
    if _told[key] <= TOLD:
        note(f"{where}{what}" + ("; more files with this profile are not named" if _told[key] == TOLD else ""))


def contrast(image: NDArray[np.generic]) -> float:
    """Standard deviation of the liveliest channel of (H, W, C)."""
    if image.shape[0] * image.shape[1] <= TOGETHER:
        return float(image.astype(np.float32).std((0, 1)).max())
    count, of = image.shape[0] * image.shape[1], list(bands(*image.shape[:2]))
    mean = sum(image[rows].sum((0, 1), np.float64) for rows in of) / count
    squares = sum(np.square(image[rows] - mean).sum((0, 1)) for rows in of)
    return float(np.sqrt(squares / count).max())


def is_blank(photo_HWC: Pixels, edit_HWC: Pixels) -> bool:
    """Whether an edit is one flat colour; it is not blamed for being as flat as its photo is."""
    return contrast(edit_HWC) < min(FLAT, contrast(photo_HWC) / 8)


def resize(photo_HWC: Pixels, size: tuple[int, int]) -> Pixels:
    """To (height, width), antialiased Lanczos."""
    height, width = size
    if photo_HWC.shape[:2] == (height, width):
        return photo_HWC.copy()
    return np.array(Image.fromarray(photo_HWC).resize((width, height), Image.Resampling.LANCZOS))


def shrink(image_HWC: Pixels, side: int) -> Pixels:
    """With no more than `side` pixels on the shorter side."""
    height, width = image_HWC.shape[:2]
    scale = min(1, side / min(height, width))
    return resize(image_HWC, (round(height * scale), round(width * scale)))


def square(photo_HWC: Pixels, size: int) -> Pixels:
    """The centre square as (size, size, 3), antialiased Lanczos."""
    height, width = photo_HWC.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(np.ascontiguousarray(photo_HWC[top : top + side, left : left + side]), (size, size))


def encode_png(image_HWC: Pixels) -> bytes:
    data = io.BytesIO()
    # Level 1: a third of the time of the default 6 for 7 % more bytes, measured on 256×256 photographs.
    Image.fromarray(image_HWC).save(data, "PNG", compress_level=1)
    return data.getvalue()


def encode_jpeg(image_HWC: Pixels, quality: int = 90) -> bytes:
    """Baseline JPEG, quality 1..95, colours at full resolution."""
    data = io.BytesIO()
    Image.fromarray(image_HWC).save(data, "JPEG", quality=quality, subsampling=0)
    return data.getvalue()


def write_png(path: Path, image_HWC: Pixels) -> None:
    """A PNG file, whole or not at all."""
    write_bytes(path, encode_png(image_HWC))
