"""Pixels: read any ordinary image, crop, resize, write, lay out a labelled sheet. Images are uint8 (H, W, 3) RGB."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes
from e2gan.core.values import declared, eight_bits

Pixels = NDArray[np.uint8]

FLAT = 2.5  # of 255: contrast of what is one colour. The palest edit of a photograph, fog, has 10
MAX_PIXELS = 200_000_000  # 600 MB of RGB; the largest phone cameras make 200 megapixels
READABLE = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
UNREADABLE = {".heic": "HEIC", ".heif": "HEIF"}  # listed, so that they are refused by name and not ignored
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
    | {".ppm", ".pgm", ".pnm", ".avif", ".jp2"}
    | UNREADABLE.keys()
)


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


def read_image(path: Path) -> Pixels:
    """An image file as uint8 (H, W, 3) RGB, as a person would see it.

    As `pixels_of`; the first frame of an animation. Raises InputError, one line that begins with the path, for what is
    no image, truncated, empty, or larger than MAX_PIXELS (told by the header, before anything is decoded).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")
    with _quiet:
        try:
            with _open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise InputError(
                        f"{path}: {image.width}×{image.height} pixels are more than the {MAX_PIXELS // 10**6} million "
                        "that are read: make it smaller"
                    )
                image.load()
                return pixels_of(image, f"{path}: ")
        except InputError:
            raise
        except MemoryError:
            raise InputError(f"{path}: too large for this machine's memory") from None
        except Exception as error:  # decoders raise anything on a stranger's bytes: all of it means a bad file
            raise InputError(f"{path}: {_reason(path, error)}") from None


def read_square(path: Path, size: int) -> Pixels:
    """An image of a set, (size, size, 3). Raises InputError where it is missing or of another size."""
    image = read_image(path)
    if image.shape[:2] != (size, size):
        raise InputError(f"{path}: is not {size}×{size} pixels as its set says")
    return image


def _open(path: Path) -> Image.Image:
    Image.init()
    return Image.open(path, formats=[name for name in READABLE if name in Image.OPEN])


def _reason(path: Path, error: Exception) -> str:
    if path.suffix.lower() in UNREADABLE:
        return f"{UNREADABLE[path.suffix.lower()]} cannot be read: convert it to JPEG or PNG first"
    if isinstance(error, PermissionError):
        return "may not be read (no permission)"
    if path.stat().st_size == 0:
        return "is empty"
    if isinstance(error, Image.UnidentifiedImageError):
        return "is no image"
    return f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"


def _upright(image: Image.Image) -> Image.Image:
    with suppress(Exception):  # a corrupt EXIF block says nothing about the pixels
        ImageOps.exif_transpose(image, in_place=True)
    return image


def pixels_of(image: Image.Image, where: str = "") -> Pixels:
    """An opened image as uint8 (H, W, 3) RGB: upright by its EXIF orientation; grey, palette and CMYK converted;
    transparency over white; more than 8 bits by the rule of their type (values.py).

    Raises InputError, which begins with `where`, for pixels that have no such rule.
    """
    try:
        return np.array(_rgb(_upright(image)))
    except InputError as error:
        raise InputError(f"{where}{error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        bits, inverted = declared(image)
        return Image.fromarray(eight_bits(np.asarray(image), bits, inverted=inverted)).convert("RGB")
    if image.mode == "LAB":
        raise InputError("CIE L*a*b* colours are not read: save it as RGB")
    if image.mode == "La":  # the library converts what alpha has multiplied to nothing but its own kind
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder and its subfolders, by their suffix, sorted; hidden ones are left out.

    Raises InputError where there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} {'is a file: name its folder' if folder.exists() else 'is no folder'}")
    files = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}")

    for parent, subfolders, names in os.walk(folder, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def contrast(image: NDArray[np.generic]) -> float:
    """Standard deviation of the liveliest channel of (H, W, C)."""
    return float(image.astype(np.float32).std((0, 1)).max())


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


GAP = 6
INK, PAPER = (30, 30, 30), (255, 255, 255)


def sheet(rows: Sequence[Sequence[Pixels]], columns: Sequence[str], row_labels: Sequence[str] | None = None) -> Pixels:
    """Images in a labelled grid, as uint8 (H, W, 3) on white. A row may be shorter than the others.

    Raises ValueError where the cells differ in size, there are none, or the labels do not fit in number.
    """
    shapes = {cell.shape for row in rows for cell in row}
    if len(shapes) != 1:
        raise ValueError(f"the cells of a sheet have one size, not {sorted(shapes)}")
    if max(map(len, rows)) > len(columns) or (row_labels is not None and len(row_labels) != len(rows)):
        raise ValueError(f"{len(rows)} rows of up to {max(map(len, rows))} cells do not fit the labels")
    height, width, _ = shapes.pop()
    font = ImageFont.load_default(size=max(10, min(18, width // 10)))
    headings = [_wrap(text, font, width) for text in columns]
    side_labels = [_wrap(text, font, max(width // 2, 48)) for text in row_labels or []]
    top = GAP + max(_extent(text, font)[1] for text in headings) + GAP
    left = GAP + (max(_extent(text, font)[0] for text in side_labels) + GAP if side_labels else 0)
    canvas = Image.new("RGB", (left + len(columns) * (width + GAP), top + len(rows) * (height + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for j, text in enumerate(headings):
        draw.multiline_text((left + j * (width + GAP), GAP), text, INK, font)
    for i, row in enumerate(rows):
        y = top + i * (height + GAP)
        if side_labels:
            draw.multiline_text((GAP, y), side_labels[i], INK, font)
        for j, cell in enumerate(row):
            canvas.paste(Image.fromarray(cell), (left + j * (width + GAP), y))
    return np.array(canvas)


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _extent(text: str, font: Font) -> tuple[int, int]:
    """Width and height of a text's ink from its origin, in pixels."""
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text or " ", font)
    return int(np.ceil(box[2])), int(np.ceil(box[3]))


def _wrap(text: str, font: Font, width: int, most: int = 3) -> str:
    """The text in at most `most` lines of this width; what does not fit ends in an ellipsis."""
    if not isinstance(font, ImageFont.FreeTypeFont):  # Pillow without FreeType has a Latin-1 bitmap font only
        text = text.encode("latin-1", "replace").decode("latin-1")
    lines: list[str] = []
    for word in text.split():
        if lines and _extent(f"{lines[-1]} {word}", font)[0] <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > most:
        lines = lines[: most - 1] + [" ".join(lines[most - 1 :])]
    return "\n".join(_shorten(line, font, width) for line in lines)


def _shorten(line: str, font: Font, width: int) -> str:
    if _extent(line, font)[0] <= width:
        return line
    while line and _extent(f"{line}...", font)[0] > width:
        line = line[:-1]
    return f"{line}..."
