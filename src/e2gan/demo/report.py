"""One self-contained page, opened from disk: the edits side by side, loss curves, a table of costs."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from e2gan.core.files import write_bytes
from e2gan.core.images import Pixels, encode_jpeg, resize
from e2gan.core.plots import Line, number, svg_lines, svg_style

LONGEST, AREA = 640, 640 * 480  # pixels of a picture on the page: six examples stay under about 4 MB
POINTS = 80  # of a curve
KINDS = {"photo": "photo", "teacher": "teacher", "ours": "E²GAN adapter", "lut": "colour table", "pix2pix": "pix2pix"}
PAIRS = (  # what the slider compares, left and right
    ("photo", "ours", "before and after"),
    ("teacher", "ours", "how close the adapter comes"),
    ("lut", "ours", "what a colour table makes of the same pairs"),
    ("pix2pix", "ours", "the same pairs, another way"),
    ("photo", "teacher", "what was to be learned"),
)


@dataclass(frozen=True)
class Example:
    """One held-out photograph and its edits, uint8 (H, W, 3) of one size; pix2pix: None where none was trained."""

    name: str
    photo: Pixels
    teacher: Pixels
    ours: Pixels
    lut: Pixels
    pix2pix: Pixels | None = None


@dataclass(frozen=True)
class Plot:
    title: str
    x_label: str
    y_label: str
    lines: list[Line]


@dataclass(frozen=True)
class Table:
    """Cells are texts; the first column names the row."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Report:
    title: str
    lead: str
    examples: list[Example]
    figures: list[tuple[str, str]] = field(default_factory=list)  # a few (number, what it counts), shown large
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    footer: list[tuple[str, str]] = field(default_factory=list)


def write_report(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. All texts are escaped; pictures are inside as JPEG, plots as SVG."""
    template = (package_files("e2gan.demo") / "report.html").read_text("utf-8")
    pages = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    plots = [drawn for plot in report.plots if (drawn := draw(plot))]
    page = pages.from_string(template).render(report=report, kinds=KINDS, pairs=PAIRS, jpeg=jpeg, plots=plots)
    write_bytes(path, page.encode())


def jpeg(image: Pixels) -> dict[str, Any]:
    """The picture as a data URL, with its width and height; reduced to LONGEST a side and AREA, never enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST / max(height, width), math.sqrt(AREA / (height * width)))
    image = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    data = "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, 88)).decode()
    return {"data": data, "width": image.shape[1], "height": image.shape[0]}


def draw(plot: Plot) -> dict[str, Any] | None:
    """A plot's title, SVG and legend; None without a finite point."""
    lines = [thinned for line in plot.lines if (thinned := thin(line)).x]
    if not lines:
        return None
    legend = [(line.name, number(line.y[-1]), *svg_style(i)) for i, line in enumerate(lines)]
    ends = ", ".join(f"{name} {end}" for name, end, *_ in legend)
    about = f"{plot.title}: {plot.y_label} over {plot.x_label}; at the end {ends}"
    svg = svg_lines(lines, x_label=plot.x_label, y_label=plot.y_label, about=about)
    return {"title": plot.title, "svg": Markup(svg), "legend": legend}


def thin(line: Line) -> Line:
    """The line's finite points; means of neighbours where there are more than POINTS."""
    points = np.array([line.x, line.y], float).T
    points = points[np.isfinite(points).all(1)]
    means = [part.mean(0).tolist() for part in np.array_split(points, min(len(points), POINTS) or 1) if len(part)]
    return Line(line.name, [x for x, _ in means], [y for _, y in means])
