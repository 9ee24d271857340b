"""One self-contained page, opened from disk: the edits side by side, loss curves, a table of costs."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files as package_files
from pathlib import Path
from string import Template

import numpy as np

from e2gan.core.files import write_bytes
from e2gan.core.images import Pixels, encode_jpeg, resize

__all__ = ["Curve", "Example", "Plot", "Report", "Table", "write_report"]

LONGEST, AREA = 640, 640 * 480  # pixels of a picture on the page: six examples stay under about 4 MB
POINTS = 160  # of a curve
KINDS = {"photo": "photo", "teacher": "teacher", "ours": "E²GAN adapter", "pix2pix": "pix2pix"}
PAIRS = (  # what the slider compares, left and right
    ("photo", "ours", "before and after"),
    ("teacher", "ours", "how close the adapter comes"),
    ("pix2pix", "ours", "the same pairs, another way"),
    ("photo", "teacher", "what was to be learned"),
)


@dataclass(frozen=True)
class Example:
    """One held-out photograph and its edits, uint8 (H, W, 3) of one size."""

    name: str
    photo: Pixels
    teacher: Pixels
    ours: Pixels
    pix2pix: Pixels


@dataclass(frozen=True)
class Curve:
    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Plot:
    title: str
    x_label: str
    y_label: str
    curves: list[Curve]


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
    """Write the page, whole or not at all. All texts are escaped; pictures are inside as JPEG."""
    template = Template((package_files("e2gan.demo") / "report.html").read_text("utf-8"))
    page = template.substitute(
        title=escape(report.title),
        lead=escape(report.lead),
        figures=figures(report.figures),
        hero=hero(report.examples),
        grid=grid(report.examples),
        plots=section("How it learned", map(plot, report.plots), "plots"),
        tables=section("What it costs, how close it comes", map(table, report.tables)),
        notes=section("What this shows, and what it does not", [listed(report.notes)] if report.notes else []),
        commands=section("Now with your own photos", [commands(report.commands)] if report.commands else []),
        footer="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in report.footer),
    )
    write_bytes(path, page.encode())


def section(title: str, parts: Iterable[str], kind: str = "") -> str:
    inside = "\n".join(parts)
    return f'<section><h2>{escape(title)}</h2><div class="{kind}">{inside}</div></section>' if inside else ""


def figures(pairs: list[tuple[str, str]]) -> str:
    inside = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(number)}</dd></div>" for number, what in pairs)
    return f'<dl class="figures">{inside}</dl>' if inside else ""


def shrunk(image: Pixels) -> Pixels:
    """At most LONGEST pixels a side and AREA in all; never enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST / max(height, width), math.sqrt(AREA / (height * width)))
    return image if scale == 1.0 else resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))


def hero(examples: list[Example]) -> str:
    """The before/after slider; its pictures are those of the grid, so that each is in the file once.

    Hidden until the page's script fills it: without scripts the grid is what there is.
    """
    if not examples:
        return ""
    names = "".join(
        f'<button type="button" class="thumb" data-pick="{i}" aria-pressed="false">'
        f"<span>{escape(e.name)}</span></button>"
        for i, e in enumerate(examples)
    )
    pairs = "".join(
        f'<label><input type="radio" name="pair" value="{left} {right}"><span><b>{escape(KINDS[left])}</b> and '
        f"<b>{escape(KINDS[right])}</b><small>{escape(why)}</small></span></label>"
        for left, right, why in PAIRS
    )
    return (
        '<div class="hero" hidden><div class="stage"><img class="under" alt=""><img class="top" alt="">'
        '<div class="bar"></div><span class="tag l"></span><span class="tag r"></span>'
        '<input type="range" min="0" max="100" step="any" value="50" aria-label="Where the left picture ends"></div>'
        f'<div class="panel"><fieldset class="pairs"><legend>Compare</legend>{pairs}</fieldset>'
        f'<div class="thumbs" role="group" aria-label="Photograph">{names}</div></div></div>'
    )


def grid(examples: list[Example]) -> str:
    if not examples:
        return ""
    sets = "".join(
        f'<h3>{escape(e.name)}</h3><div class="grid">{"".join(figure(i, e, kind) for kind in KINDS)}</div>'
        for i, e in enumerate(examples)
    )
    return f"<section><h2>Held-out photographs</h2>{sets}</section>"


def figure(i: int, example: Example, kind: str) -> str:
    image = shrunk(getattr(example, kind))
    height, width = image.shape[:2]
    label, data = escape(KINDS[kind]), base64.b64encode(encode_jpeg(image, 88)).decode()
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" '
        f'alt="{escape(example.name)}: {label}" data-example="{i}" data-kind="{kind}" data-label="{label}">'
        f"<figcaption>{label}</figcaption></figure>"
    )


def table(content: Table) -> str:
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in content.columns)
    body = "".join(row_of(row) for row in content.rows)
    note = f'<p class="note">{escape(content.note)}</p>' if content.note else ""
    caption = f"<caption>{escape(content.title)}</caption>"
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}</div>'
    )


def row_of(cells: list[str]) -> str:
    name, rest = cells[0], cells[1:]
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(c)}</td>" for c in rest)}</tr>'


def listed(notes: list[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(n)}</li>" for n in notes) + "</ul>"


def commands(lines: list[str]) -> str:
    text = escape("\n".join(lines))
    return (
        '<div class="commands"><div class="tools"><span>in a terminal</span><span class="said" role="status"></span>'
        f'<button type="button" class="copy" hidden>Copy</button></div><pre tabindex="0">{text}</pre></div>'
    )


# --------------------------------------------------------------------------------------------------------- the curves

LEFT, TOP, WIDTH, HEIGHT = 48, 30, 420, 200
COLOURS = 3  # the template's classes c0, c1, c2; further curves are dashed
TICKS = 4


def plot(content: Plot) -> str:
    """A plot as SVG; points that are not finite are left out, and a plot without a point is no plot."""
    curves = [(c.name, points) for c in content.curves if (points := smoothed(c.x, c.y))]
    every = [p for _, points in curves for p in points]
    if not every:
        return ""
    right = nice(max(x for x, _ in every))
    low, high = limits([y for _, y in every])

    def at(x: float, y: float) -> str:
        return f"{LEFT + WIDTH * x / right:.1f},{TOP + HEIGHT * (high - y) / (high - low):.1f}"

    styles = [f"c{i % COLOURS}" + " dashed" * (i >= COLOURS) for i in range(len(curves))]
    lines = "".join(
        f'<polyline class="{style}" points="{" ".join(at(x, y) for x, y in points)}"/>'
        for style, (_, points) in zip(styles, curves, strict=True)
    )
    ends = [(name, number(points[-1][1])) for name, points in curves]
    about = f"{content.title}: {content.y_label} over {content.x_label}; at the end " + ", ".join(map(" ".join, ends))
    legend = "".join(
        f'<li class="{style}">{escape(name)}, ends at <b>{end}</b></li>'
        for style, (name, end) in zip(styles, ends, strict=True)
    )
    return (
        f'<div class="card"><h3>{escape(content.title)}</h3>'
        f'<svg viewBox="0 0 {LEFT + WIDTH + 14} {TOP + HEIGHT + 44}" role="img" aria-label="{escape(about)}">'
        f"{axes(content, right, low, high)}{lines}</svg>"
        f'<ul class="legend">{legend}</ul></div>'
    )


def axes(content: Plot, right: float, low: float, high: float) -> str:
    bottom = TOP + HEIGHT
    parts = [
        f'<text x="0" y="13">{escape(content.y_label)}</text>',
        f'<text x="{LEFT + WIDTH / 2}" y="{bottom + 40}" text-anchor="middle">{escape(content.x_label)}</text>',
    ]
    for i in range(TICKS + 1):
        x, y = LEFT + WIDTH * i / TICKS, bottom - HEIGHT * i / TICKS
        parts += [
            f'<line class="axis" x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(low + (high - low) * i / TICKS)}</text>',
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{number(right * i / TICKS)}</text>',
        ]
    return "".join(parts)


def limits(values: list[float]) -> tuple[float, float]:
    """Round ends of a y axis that holds zero and all values."""
    lowest, highest = min(values), max(values)
    if lowest >= 0:
        return 0.0, nice(highest)
    if highest <= 0:
        return -nice(-lowest), 0.0
    end = nice(max(highest, -lowest))
    return -end, end


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def smoothed(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Means of neighbouring points, at most POINTS of them."""
    both = np.array([(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)], float)
    if len(both) == 0:
        return []
    chunks = np.array_split(both, min(len(both), POINTS // 2)) if len(both) > POINTS // 2 else both[:, None]
    return [(float(c[:, 0].mean()), float(c[:, 1].mean())) for c in chunks]


def nice(value: float) -> float:
    """The least round number that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if power * step >= value * (1 - 1e-9))
