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

from e2gan.files import write_bytes
from e2gan.images import Pixels, encode_jpeg, resize

__all__ = ["Curve", "Example", "Plot", "Report", "Table", "write_report"]

WIDEST = 640  # pixels of a picture on the page
POINTS = 160  # of a curve
KINDS = {"photo": "photo", "teacher": "teacher", "ours": "E²GAN adapter", "pix2pix": "pix2pix"}


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
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    footer: list[tuple[str, str]] = field(default_factory=list)


def write_report(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. All texts are escaped; pictures are inside as JPEG."""
    template = Template((package_files("e2gan") / "report.html").read_text("utf-8"))
    page = template.substitute(
        title=escape(report.title),
        lead=escape(report.lead),
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


def data_uri(image: Pixels) -> str:
    if image.shape[1] > WIDEST:
        image = resize(image, (round(image.shape[0] * WIDEST / image.shape[1]), WIDEST))
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, 88)).decode()


def hero(examples: list[Example]) -> str:
    """The before/after slider; its pictures are those of the grid, so that each is in the file once."""
    if not examples:
        return ""
    names = "".join(
        f'<button type="button" data-example="{i}" aria-pressed="false">{escape(e.name)}</button>'
        for i, e in enumerate(examples)
    )
    kinds = "".join(
        f'<button type="button" data-kind="{k}" aria-pressed="false">{escape(label)}</button>'
        for k, label in KINDS.items()
        if k != "photo"
    )
    return (
        '<div class="stage"><img class="under" alt=""><img class="top" alt=""><div class="bar"></div>'
        '<span class="tag l"></span><span class="tag r"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="How much of the photo is shown"></div>'
        f'<div class="row">{names}<span class="grow"></span>{kinds}</div>'
    )


def grid(examples: list[Example]) -> str:
    if not examples:
        return ""
    figures = []
    for i, example in enumerate(examples):
        for kind, label in KINDS.items():
            alt, name = escape(f"{example.name}: {label}", quote=True), escape(label, quote=True)
            image = (
                f'<img src="{data_uri(getattr(example, kind))}" alt="{alt}" data-example="{i}" data-kind="{kind}" '
                f'data-label="{name}">'
            )
            figures.append(f"<figure>{image}<figcaption>{name}</figcaption></figure>")
    return f'<section><h2>Held-out photographs</h2><div class="grid">{"".join(figures)}</div></section>'


def table(content: Table) -> str:
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in content.columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in content.rows)
    note = f'<p class="note">{escape(content.note)}</p>' if content.note else ""
    caption = f"<caption>{escape(content.title)}</caption>"
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}</div>'
    )


def listed(notes: list[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(n)}</li>" for n in notes) + "</ul>"


def commands(lines: list[str]) -> str:
    text = escape("\n".join(lines))
    return f'<pre class="commands">{text}</pre><div class="row"><button type="button" class="copy">Copy</button></div>'


# --------------------------------------------------------------------------------------------------------- the curves

LEFT, TOP, WIDTH, HEIGHT = 46, 10, 420, 210


def plot(content: Plot) -> str:
    """A plot as SVG; points that are not finite are left out, and a plot without a point is no plot."""
    curves = [(c.name, smoothed(c.x, c.y)) for c in content.curves]
    points = [p for _, found in curves for p in found]
    if not points:
        return ""
    right = nice(max(x for x, _ in points))
    highest = nice(max(y for _, y in points))

    def at(x: float, y: float) -> str:
        return f"{LEFT + WIDTH * x / right:.1f},{TOP + HEIGHT * (1 - y / highest):.1f}"

    parts = [
        f'<svg viewBox="0 0 {LEFT + WIDTH + 14} {TOP + HEIGHT + 44}" role="img" aria-label="{escape(content.title)}">'
    ]
    for i in range(5):
        y = TOP + HEIGHT * (1 - i / 4)
        parts.append(f'<line class="axis" x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{highest * i / 4:g}</text>')
        x = LEFT + WIDTH * i / 4
        parts.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{right * i / 4:g}</text>')
    parts.append(
        f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">{escape(content.x_label)}</text>'
    )
    for i, (_, found) in enumerate(curves):
        line = " ".join(at(x, y) for x, y in found)
        parts.append(f'<polyline class="c{i}" fill="none" stroke-width="2.5" stroke-linejoin="round" points="{line}"/>')
    parts.append("</svg>")
    colours = ("accent", "second", "third")
    legend = "".join(
        f'<li style="--c:var(--{colours[i % 3]})">{escape(name)}</li>' for i, (name, _) in enumerate(curves)
    )
    title = f"{content.title}: {content.y_label}"
    return f'<div class="card"><h3>{escape(title)}</h3>{"".join(parts)}<ul class="legend">{legend}</ul></div>'


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
