from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from e2gan.core.plots import Line, svg_lines

SVG = "{http://www.w3.org/2000/svg}"


def drawn(values: list[float], **labels: str) -> str:
    line = Line("a", list(range(len(values))), values)
    return svg_lines([line], **({"x_label": "steps", "y_label": "loss", "about": "a loss"} | labels))


def heights(svg: str, stroke: str) -> list[float]:
    """The y of each point of the paths with this stroke, downwards."""
    paths = [p for p in ElementTree.fromstring(svg).iter(f"{SVG}path") if f"stroke: {stroke}" in p.attrib["style"]]
    return [float(y) for p in paths for y in re.findall(r"[ML] [\d.-]+ ([\d.-]+)", p.attrib["d"])]


@pytest.mark.parametrize("values", [[-3.0, 2.0], [-3.0, -1.0], [0.0, 0.0], [5.0, 12_000.0]])
def test_negative_losses_stay_inside_the_plot(values: list[float]) -> None:
    svg = drawn(values)
    points, grid = heights(svg, "var(--accent"), heights(svg, "var(--line")
    assert len(points) == 2
    assert all(min(grid) <= y <= max(grid) for y in points)
    assert (points[0] > points[1]) == (values[1] > values[0])  # up is more


@pytest.mark.parametrize("value", [0.0, 0.3, 7.0, 950.0])
def test_axes_end_above_the_data(value: float) -> None:
    texts = [t.text or "" for t in ElementTree.fromstring(drawn([value])).iter(f"{SVG}text")]
    end = max(float(t.replace("−", "-")) for t in texts if re.fullmatch(r"−?[\d.]+", t))
    assert value <= end <= max(1.0, 2.5 * value)


def test_an_svg_is_the_same_each_time_and_safe_in_a_page() -> None:
    bad = '"><script>$x$ & y'
    svg = drawn([1.0, 2.0], x_label=bad, y_label=bad, about=bad)
    assert svg == drawn([1.0, 2.0], x_label=bad, y_label=bad, about=bad)
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == bad
    assert [t.text for t in root.iter(f"{SVG}text")].count(bad) == 2
    assert "<script" not in svg
    assert not re.search(r"<style|<metadata| id=|url\(|href=", svg)
