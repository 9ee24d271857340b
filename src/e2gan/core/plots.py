"""Plots as PNG files: curves with intervals, and panels of bars."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2gan.core.files import write_bytes

__all__ = ["Line", "Panel", "plot_bars", "plot_lines"]

COLOURS = ("#1f6f8b", "#d1495b", "#66a182", "#edae49", "#8d6a9f", "#5c5c5c", "#2e4057", "#b56576")
PAPER_COLOUR = "#c9c9c9"


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


def plot_bars(path: Path, panels: Sequence[Panel], *, title: str = "") -> None:
    """Write panels of bars side by side to a PNG file; each bar carries its number."""
    figure, found = _figure(len(panels), width=max(4.2 * len(panels), 1.1 * sum(len(p.names) for p in panels)))
    for axes, panel in zip(found, panels, strict=True):
        sets = [("this program", panel.ours, COLOURS[0])]
        if any(v is not None for v in panel.paper):
            sets.append(("the paper", panel.paper, PAPER_COLOUR))
        width = 0.8 / len(sets)
        for i, (name, values, colour) in enumerate(sets):
            at = [x + (i - (len(sets) - 1) / 2) * width for x in range(len(panel.names))]
            bars = axes.bar(at, [v or 0 for v in values], width, color=colour, label=name)
            labels = ["" if v is None else f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in values]
            axes.bar_label(bars, labels, fontsize=8, padding=2)
        if panel.logarithmic:
            axes.set_yscale("log")
        turned = max(map(len, panel.names), default=0) > 12
        axes.set_xticks(
            range(len(panel.names)),
            panel.names,
            fontsize=8,
            rotation=30 if turned else 0,
            ha="right" if turned else "center",
        )
        axes.set(title=panel.title, ylabel=panel.unit)
        axes.margins(y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        if len(sets) > 1:
            axes.legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title)
    _save(figure, path)


def _figure(columns: int, width: float):  # matplotlib's types are loose
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.2), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _save(figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
