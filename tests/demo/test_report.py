from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from e2gan.core.plots import Line
from e2gan.demo.report import Example, Plot, Report, Table, draw, write_report


def picture(value: int) -> np.ndarray:
    return np.full((40, 60, 3), value, np.uint8)


def example(name: str) -> Example:
    return Example(
        name=name, photo=picture(10), teacher=picture(80), ours=picture(120), lut=picture(160), pix2pix=picture(200)
    )


def page(tmp_path: Path, **parts: object) -> str:
    report = Report(**({"title": "“make it autumn”", "lead": "A lead.", "examples": [example("cat")]} | parts))  # pyright: ignore
    write_report(tmp_path / "report.html", report)
    return (tmp_path / "report.html").read_text("utf-8")


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "@import" not in text
    assert "url(" not in text
    assert text.count("data:image/jpeg;base64,") == 5
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
        plots=[Plot(bad, bad, bad, [Line(bad, [0, 1], [1, 2])])],
        notes=[bad],
        commands=[bad],
        footer=[(bad, bad)],
    )
    assert bad not in text
    assert text.count("&lt;script&gt;") >= 14


def test_texts_are_no_templates_and_no_attributes(tmp_path: Path) -> None:
    text = page(tmp_path, title="{{ kinds }} {% for %} $5", examples=[example('a" onload="x')])
    assert "<h1>{{ kinds }} {% for %} $5</h1>" in text
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
        for kind in ("photo", "teacher", "E²GAN adapter", "colour table", "pix2pix"):
            assert f'alt="{name}: {kind}"' in text
    (slider,) = re.findall(r'<input type="range"[^>]*>', text)
    assert "aria-label=" in slider


def test_pictures_keep_their_order_and_shape_and_are_not_enlarged(tmp_path: Path) -> None:
    found = pictures(page(tmp_path))
    assert [round(float(np.asarray(p).mean())) for p in found] == pytest.approx([10, 80, 120, 160, 200], abs=2)
    assert {p.size for p in found} == {(60, 40)}
    tall = np.zeros((1600, 800, 3), np.uint8)
    assert pictures(page(tmp_path, examples=[Example("tall", *[tall] * 5)]))[0].size == (320, 640)


def pictures(text: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(d))) for d in re.findall(r"data:image/jpeg;base64,([^\"]+)", text)]


def test_empty_parts_leave_no_headings(tmp_path: Path) -> None:
    text = page(tmp_path, examples=[])
    for tag in ("<h2", "<h3", "<table", "<svg", "<pre", "<section", 'class="stage"', 'class="figures"'):
        assert tag not in text
    assert "<h2" not in page(tmp_path, examples=[], plots=[Plot("t", "x", "y", [Line("a", [1.0], [math.nan])])])


def curves(lines: list[Line]) -> list[ElementTree.Element]:
    """The lines of a plot's SVG, in order."""
    drawn = draw(Plot("t", "seconds", "L1", lines))
    assert drawn is not None
    paths = ElementTree.fromstring(drawn["svg"]).iter("{http://www.w3.org/2000/svg}path")
    return [path for path in paths if "stroke-width: 2.25" in path.attrib["style"]]


def test_curves_are_svg_without_what_is_not_finite() -> None:
    (curve,) = curves([Line("a", range(5), [3.0, math.nan, 2.0, math.inf, 1.0])])
    assert len(curve.attrib["d"].split("L")) == 3
    assert not re.search(r"\b(nan|inf)\b", curve.attrib["d"])
    assert draw(Plot("t", "x", "y", [Line("a", [], [])])) is None


def test_every_curve_can_be_told_apart() -> None:
    lines = [Line(str(i), [0, 1], [i, i]) for i in range(6)]
    assert len({curve.attrib["style"] for curve in curves(lines)}) == 6
    drawn = draw(Plot("t", "x", "y", lines))
    assert drawn is not None
    assert len({(colour, dashed) for _, _, colour, dashed in drawn["legend"]}) == 6


def test_long_curves_are_thinned() -> None:
    (curve,) = curves([Line("a", range(10_000), [float(i % 7) for i in range(10_000)])])
    assert len(curve.attrib["d"].split("L")) <= 160


def test_the_page_stays_small(tmp_path: Path) -> None:
    """Six large square pictures with the detail of a real one."""
    import skimage.data

    photo = np.kron(skimage.data.astronaut(), np.ones((2, 2, 1), np.uint8))
    page(tmp_path, examples=[Example(str(i), *[photo] * 5) for i in range(6)])
    assert (tmp_path / "report.html").stat().st_size < 4_000_000


def test_what_was_not_trained_leaves_no_picture(tmp_path: Path) -> None:
    bare = Example(name="cat", photo=picture(10), teacher=picture(80), ours=picture(120), lut=picture(160))
    text = page(tmp_path, examples=[bare, example("dog")])
    assert text.count("data:image/jpeg;base64,") == 9
    assert text.count('data-kind="pix2pix"') == 1
