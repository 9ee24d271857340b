"""Plots: curves with intervals and panels of bars as PNG files, curves as SVG for a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from e2gan.core.files import write_bytes

COLOURS = ("#1f6f8b", "#d1495b", "#66a182", "#edae49", "#8d6a9f", "#5c5c5c", "#2e4057", "#b56576")
PAPER_COLOUR = "#c9c9c9"
SVG_COLOURS = {  # as drawn → as written: a page's own colours, which may differ between light and dark
    "#b4441c": "var(--accent, #b4441c)",
    "#2f6690": "var(--second, #2f6690)",
    "#4f7335": "var(--third, #4f7335)",
    "#e2e3e0": "var(--line, #e2e3e0)",
}
*SVG_LINES, SVG_GRID = SVG_COLOURS
SVG: dict[Any, Any] = {
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "e2gan",  # and with it every id the same in each run
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12.5,
    "axes.autolimit_mode": "round_numbers",
    "axes.xmargin": 0,
    "axes.ymargin": 0,
}


@dataclass(frozen=True)
class Line:
    """One curve. low, high: the interval of each y, where there is one. mark: index of the point to ring."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    mark: int | None = None


@dataclass(frozen=True)
class Panel:
    """Bars by name: ours, and the paper's beside them where it gives a number."""

    title: str
    unit: str
    names: Sequence[str]
    ours: Sequence[float | None]
    paper: Sequence[float | None] = ()
    logarithmic: bool = False


def plot_lines(
    path: Path, lines: Sequence[Line], *, title: str, x_label: str, y_label: str, ticks: Sequence[str] = ()
) -> None:
    """Write curves to a PNG file. ticks: names of x = 0, 1, …"""
    figure, (axes,) = _figure(1, width=8)
    for i, line in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(line.x, line.y, marker="o", markersize=4, color=colour, label=line.name)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.12, linewidth=0)
        if line.mark is not None:
            axes.plot(line.x[line.mark], line.y[line.mark], "o", markersize=11, fillstyle="none", color=colour)
    if ticks:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def plot_bars(path: Path, panels: Sequence[Panel]) -> None:
    """Write panels of bars side by side to a PNG file; each bar carries its number."""
    figure, columns = _figure(len(panels), width=max(4.2 * len(panels), 1.1 * sum(len(p.names) for p in panels)))
    for axes, panel in zip(columns, panels, strict=True):
        series = [("this program", panel.ours, COLOURS[0])]
        if any(v is not None for v in panel.paper):
            series.append(("the paper", panel.paper, PAPER_COLOUR))
        width = 0.8 / len(series)
        for i, (name, values, colour) in enumerate(series):
            at = [x + (i - (len(series) - 1) / 2) * width for x in range(len(panel.names))]
            bars = axes.bar(at, [v or 0 for v in values], width, color=colour, label=name)
            labels = ["" if v is None else number(v) for v in values]
            axes.bar_label(bars, labels, fontsize=8, padding=2)
        if panel.logarithmic:
            axes.set_yscale("log")
        turned = {"rotation": 30, "ha": "right"} if max(map(len, panel.names), default=0) > 12 else {}
        axes.set_xticks(range(len(panel.names)), panel.names, fontsize=8, **turned)
        axes.set(title=panel.title, ylabel=panel.unit)
        axes.margins(y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def svg_lines(lines: Sequence[Line], *, x_label: str, y_label: str, about: str) -> str:
    """Curves as an `<svg>` element to stand in an HTML page, the same text in each run.

    Its axes hold zero. about: what a screen reader says of it. Texts take the page's font where its style says so
    (`!important`), lines and grid the page's --accent, --second, --third and --line.
    """
    import matplotlib

    with matplotlib.rc_context(SVG):
        figure, (axes,) = _figure(1, width=6.7, height=3.8)
        for i, line in enumerate(lines):
            _, dashed = svg_style(i)
            colour, style = SVG_LINES[i % len(SVG_LINES)], (0, (3, 2)) if dashed else "-"
            axes.plot(line.x, line.y, color=colour, linestyle=style, linewidth=2.25, clip_on=False)
        axes.update_datalim([(0, 0)])
        axes.locator_params(nbins=4)
        axes.autoscale_view()
        axes.set_xlabel(x_label)
        figure.suptitle(y_label, x=0, ha="left", fontsize=12.5)
        axes.grid(axis="y", color=SVG_GRID, clip_on=False)
        axes.tick_params(length=0, pad=8)
        axes.spines[:].set_visible(False)
        buffer = io.StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    namespace = "http://www.w3.org/2000/svg"
    ElementTree.register_namespace("", namespace)
    root = ElementTree.fromstring(buffer.getvalue())
    root[:] = [part for part in root if part.tag != f"{{{namespace}}}defs"]  # a style that would hold for the page
    for element in root.iter():
        element.attrib.pop("id", None)  # a page may hold several plots
    root.set("role", "img")
    root.set("aria-label", about)
    text = ElementTree.tostring(root, "unicode")
    for drawn, written in SVG_COLOURS.items():
        text = text.replace(f"stroke: {drawn}", f"stroke: {written}")
    return text


def svg_style(index: int) -> tuple[str, bool]:
    """The CSS colour of a plot's line in `svg_lines`, and whether it is dashed."""
    return SVG_COLOURS[SVG_LINES[index % len(SVG_LINES)]], index >= len(SVG_LINES)


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _figure(columns: int, width: float, height: float = 4.2):  # matplotlib's types are loose
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _save(figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
