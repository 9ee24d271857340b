from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from e2gan.report import Curve, Example, Plot, Report, Table, plot, write_report


def picture(value: int) -> np.ndarray:
    return np.full((40, 60, 3), value, np.uint8)


def example(name: str) -> Example:
    return Example(name=name, photo=picture(10), teacher=picture(80), ours=picture(120), pix2pix=picture(200))


def page(tmp_path: Path, **parts: object) -> str:
    report = Report(**({"title": "“make it autumn”", "lead": "A lead.", "examples": [example("cat")]} | parts))  # pyright: ignore
    write_report(tmp_path / "report.html", report)
    return (tmp_path / "report.html").read_text("utf-8")


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "@import" not in text
    assert "url(" not in text
    assert text.count("data:image/jpeg;base64,") == 4


def test_every_text_is_escaped(tmp_path: Path) -> None:
    bad = '<script>alert("x")</script>'
    text = page(
        tmp_path,
        title=bad,
        lead=bad,
        examples=[example(bad)],
        tables=[Table(bad, [bad], [[bad]], bad)],
        plots=[Plot(bad, bad, bad, [Curve(bad, [0, 1], [1, 2])])],
        notes=[bad],
        commands=[bad],
        footer=[(bad, bad)],
    )
    assert bad not in text
    assert text.count("&lt;script&gt;") >= 12


def test_what_is_put_in_is_on_the_page(tmp_path: Path) -> None:
    text = page(
        tmp_path,
        examples=[example("cat"), example("house")],
        tables=[Table("Cost", ["", "ours"], [["parameters", "91,926"]], "On this machine.")],
        notes=["A note."],
        commands=["e2gan edit a.jpg", "e2gan --help"],
        footer=[("seed", "7")],
    )
    for words in ("cat", "house", "91,926", "On this machine.", "A note.", "e2gan edit a.jpg\ne2gan --help", ">7<"):
        assert words in text
    assert 'type="range"' in text
    assert "aria-label" in text


def test_empty_parts_leave_no_headings(tmp_path: Path) -> None:
    text = page(tmp_path, examples=[])
    assert "<h2>" not in text
    assert 'class="stage"' not in text


def test_curves_are_svg_without_what_is_not_finite() -> None:
    values = [3.0, math.nan, 2.0, math.inf, 1.0]
    svg = re.search(r"<svg.*</svg>", plot(Plot("t", "seconds", "L1", [Curve("a", range(5), values)])))
    assert svg is not None
    tree = ElementTree.fromstring(svg[0])
    (line,) = tree.iter("polyline")
    assert len(line.attrib["points"].split()) == 3
    assert "nan" not in svg[0]
    assert plot(Plot("t", "x", "y", [Curve("a", [], [])])) == ""


def test_long_curves_are_thinned() -> None:
    text = plot(Plot("t", "x", "y", [Curve("a", range(10_000), [1.0] * 10_000)]))
    assert len(re.search(r'points="([^"]*)"', text)[1].split()) <= 160  # pyright: ignore[reportOptionalSubscript]


def test_the_page_stays_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    page(tmp_path, examples=[Example("noise", noisy, noisy, noisy, noisy)])
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


@pytest.mark.parametrize("value", [0.0, 0.3, 7.0, 950.0])
def test_axes_end_above_the_data(value: float) -> None:
    from e2gan.report import nice

    assert nice(value) >= value
    assert nice(value) <= max(1.0, 2.5 * value)
