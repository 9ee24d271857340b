"""Images laid out in a labelled grid."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from e2gan.core.images import Pixels

GAP = 6
INK, PAPER = (30, 30, 30), (255, 255, 255)


def spread(of: int, count: int) -> NDArray[np.int64]:
    """`count` of so many rows, from the first to the last."""
    return np.unique(np.linspace(0, of - 1, count).round().astype(np.int64))


def sheet(rows: Sequence[Sequence[Pixels]], columns: Sequence[str], row_labels: Sequence[str] | None = None) -> Pixels:
    """Images in a labelled grid, as uint8 (H, W, 3) on white. A row may be shorter than the others. Labels are drawn in
    Latin, Greek, Cyrillic and what else DejaVu Sans has.

    Raises ValueError where the cells differ in size, there are none, or the labels do not fit in number.
    """
    shapes = {cell.shape for row in rows for cell in row}
    if len(shapes) != 1:
        raise ValueError(f"the cells of a sheet have one size, not {sorted(shapes)}")
    if max(map(len, rows)) > len(columns) or (row_labels is not None and len(row_labels) != len(rows)):
        raise ValueError(f"{len(rows)} rows of up to {max(map(len, rows))} cells do not fit the labels")
    height, width, _ = shapes.pop()
    font = _font(max(10, min(18, width // 10)), "".join([*columns, *(row_labels or [])]))
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


def _font(size: int, text: str) -> Font:
    """Pillow's own has hardly more than ASCII; what has more is written in the one that comes with matplotlib."""
    font = ImageFont.load_default(size)
    if text.isascii() or not isinstance(font, ImageFont.FreeTypeFont):
        return font
    spec = find_spec("matplotlib")  # found, not imported: that takes a tenth of a second
    if spec is None or spec.origin is None:
        return font
    with suppress(OSError):  # repackaged: a letter that is a box must lose no picture
        return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)
    return font


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
