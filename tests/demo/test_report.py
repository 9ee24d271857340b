from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.demo.report import HEIGHT, TOP, Curve, Example, Plot, Report, Table, plot, write_report


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
    assert "default-src 'none'; img-src data:;" in text  # and the browser itself holds it to that


def test_every_text_is_escaped(tmp_path: Path) -> None:
    bad = '<script>alert("x")</script>'
    text = page(
        tmp_path,
        title=bad,
        lead=bad,
        examples=[example(bad)],
        figures=[(bad, bad)],
        tables=[Table(bad, [bad], [[bad]], bad)],
        plots=[Plot(bad, bad, bad, [Curve(bad, [0, 1], [1, 2])])],
        notes=[bad],
        commands=[bad],
        footer=[(bad, bad)],
    )
    assert bad not in text
    assert text.count("&lt;script&gt;") >= 14


def test_texts_are_no_templates_and_no_attributes(tmp_path: Path) -> None:
    text = page(tmp_path, title="$lead ${hero} $5", examples=[example('a" onload="x')])
    assert "<h1>$lead ${hero} $5</h1>" in text
    assert 'onload="x' not in text


def test_what_is_put_in_is_on_the_page(tmp_path: Path) -> None:
    text = page(
        tmp_path,
        figures=[("192 KB", "on disk")],
        examples=[example("cat"), example("house")],
        tables=[Table("Cost", ["", "ours", "theirs"], [["parameters", "91,926", "11,378,179"]], "On this machine.")],
        notes=["A note."],
        commands=["e2gan edit a.jpg", "e2gan --help"],
        footer=[("seed", "7")],
    )
    for words in ("<td>91,926</td>", "<td>11,378,179</td>", '<th scope="row">parameters</th>', "On this machine."):
        assert words in text
    for words in (">192 KB<", ">on disk<", "A note.", "e2gan edit a.jpg\ne2gan --help", ">7<"):
        assert words in text
    for name in ("cat", "house"):
        for kind in ("photo", "teacher", "E²GAN adapter", "pix2pix"):
            assert f'alt="{name}: {kind}"' in text
    (slider,) = re.findall(r'<input type="range"[^>]*>', text)
    assert "aria-label=" in slider


def test_pictures_keep_their_order_and_shape_and_are_not_enlarged(tmp_path: Path) -> None:
    found = pictures(page(tmp_path))
    assert [round(float(np.asarray(p).mean())) for p in found] == pytest.approx([10, 80, 120, 200], abs=2)
    assert {p.size for p in found} == {(60, 40)}
    tall = np.zeros((1600, 800, 3), np.uint8)
    assert pictures(page(tmp_path, examples=[Example("tall", tall, tall, tall, tall)]))[0].size == (320, 640)


def pictures(text: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(d))) for d in re.findall(r"data:image/jpeg;base64,([^\"]+)", text)]


def test_empty_parts_leave_no_headings(tmp_path: Path) -> None:
    text = page(tmp_path, examples=[])
    for tag in ("<h2", "<h3", "<table", "<svg", "<pre", "<section", 'class="stage"', 'class="figures"'):
        assert tag not in text
    assert "<h2" not in page(tmp_path, examples=[], plots=[Plot("t", "x", "y", [Curve("a", [1.0], [math.nan])])])


def test_curves_are_svg_without_what_is_not_finite() -> None:
    values = [3.0, math.nan, 2.0, math.inf, 1.0]
    svg = re.search(r"<svg.*</svg>", plot(Plot("t", "seconds", "L1", [Curve("a", range(5), values)])))
    assert svg is not None
    tree = ElementTree.fromstring(svg[0])
    (line,) = tree.iter("polyline")
    assert len(line.attrib["points"].split()) == 3
    assert not re.search(r"\b(nan|inf)\b", svg[0])
    assert plot(Plot("t", "x", "y", [Curve("a", [], [])])) == ""


def test_negative_losses_stay_inside_the_plot() -> None:
    for values in ([-3.0, 2.0], [-3.0, -1.0], [0.0, 0.0], [5.0, 12_000.0]):
        text = plot(Plot("t", "steps", "loss", [Curve("a", [0, 1], values)]))
        points = re.findall(r"[\d.-]+,([\d.-]+)", re.search(r'points="([^"]*)"', text)[1])  # pyright: ignore[reportOptionalSubscript]
        assert len(points) == 2
        assert all(TOP <= float(y) <= TOP + HEIGHT for y in points)
        assert (float(points[0]) > float(points[1])) == (values[1] > values[0])  # up is more


def test_every_curve_can_be_told_apart() -> None:
    text = plot(Plot("t", "x", "y", [Curve(str(i), [0, 1], [i, i]) for i in range(6)]))
    assert len(set(re.findall(r'<polyline class="([^"]*)"', text))) == 6


def test_long_curves_are_thinned() -> None:
    text = plot(Plot("t", "x", "y", [Curve("a", range(10_000), [1.0] * 10_000)]))
    assert len(re.search(r'points="([^"]*)"', text)[1].split()) <= 160  # pyright: ignore[reportOptionalSubscript]


def test_the_page_stays_small(tmp_path: Path) -> None:
    """Six large square pictures with the detail of a real one."""
    import skimage.data

    photo = np.kron(skimage.data.astronaut(), np.ones((2, 2, 1), np.uint8))
    page(tmp_path, examples=[Example(str(i), photo, photo, photo, photo) for i in range(6)])
    assert (tmp_path / "report.html").stat().st_size < 4_000_000


@pytest.mark.parametrize("value", [0.0, 0.3, 7.0, 950.0])
def test_axes_end_above_the_data(value: float) -> None:
    from e2gan.demo.report import nice

    assert nice(value) >= value
    assert nice(value) <= max(1.0, 2.5 * value)
