"""Times by hand: what plan.toml and a card's measurements come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2gan.config import PRESETS, GeneratorConfig
from e2gan.core.files import write_json
from e2gan.measure.plan_sources import SHIPPED, Sources, Steps
from e2gan.teachers.diffusion.presets import load_presets
from tests.conftest import TINY, refused

FULL, PAPER = PRESETS["device"], PRESETS["paper"]


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources.load()


def test_a_published_time_holds_on_its_own_card_and_scales_to_others(sources: Sources) -> None:
    own, other = (sources.edit("sd-img2img", name) for name in ("a100-80gb", "h100-sxm"))
    assert (own.seconds, own.kind) == (1.088, "published")  # 1.6 s × 34 of 50 steps
    assert other.kind == "computed"
    assert other.seconds == pytest.approx(0.34306, rel=1e-4)  # × 312 / 989.5
    # 68 passes of 401.6 GMAC are 54.6 TFLOP; in 1.088 s 50.2 of 312 TFLOPS
    assert other.inputs["share_of_peak"] == pytest.approx(0.1609, rel=1e-3)


def test_a_teacher_without_a_time_gets_the_share_of_one_that_has_one(sources: Sources) -> None:
    # 300 passes for 68, on the same card, by the same share
    assert sources.edit("instruct-pix2pix", "a100-80gb").seconds == pytest.approx(4.8012, rel=1e-3)
    # 1,300 passes, each twice as long in fp32
    assert sources.edit("null-text", "a100-80gb").seconds == pytest.approx(41.6, rel=1e-3)
    rate = sources.edit("null-text", "a100-80gb")
    assert rate.kind == "computed"
    assert {rate.inputs[name] for name in ("gmacs", "passes", "slower")} == {401.6, 1300, 2.0}


def test_on_a_cpu_operations_count(sources: Sources) -> None:
    # 68 × 401.6 GMAC × 2 at 243 GFLOP/s
    assert sources.edit("sd-img2img", "cpu").seconds == pytest.approx(224.8, rel=1e-3)
    assert "nothing is known of its operations" in refused(lambda: sources.edit("sana-sprint", "cpu"))
    filters = sources.edit("filters", "cpu")
    assert (filters.kind, filters.seconds) == ("measured", 0.0245)


def test_every_teacher_has_a_time_on_every_card(sources: Sources) -> None:
    cards = [name for name, row in sources.table["hardware"].items() if "tflops" in row]
    assert len(cards) > 5
    for name in sources.few():
        for card in cards:
            assert 0 < sources.edit(name, card).seconds < 1000


def test_teachers_are_the_presets_that_ship_and_their_published_times_the_same(sources: Sources) -> None:
    presets = load_presets()
    assert set(sources.few()) - {"filters"} <= presets.keys()
    for name, first in (("sd-img2img", "1.6 for 50 steps"), ("sdxl-img2img", "5.9 for 50 steps")):
        assert presets[name].seconds.startswith(first)
        assert sources.teacher(name)["seconds"] == pytest.approx(float(first.split()[0]) * 0.68)
    assert presets["sana-sprint"].seconds.startswith("0.1 on an H100")


def test_a_training_gets_the_papers_share(sources: Sources) -> None:
    published = sources.step(152.3, "h100-sxm", PAPER, 256, adapter=True)
    assert (published.seconds, published.kind) == (0.005, "published")  # 16 min / 4.8 for 40,000 photos
    assert sources.step(152.3, "h100-sxm", PAPER, 128, adapter=True).kind == "computed"
    twice = sources.step(304.6, "h100-sxm", FULL, 256, adapter=True)
    assert (twice.seconds, twice.kind) == (pytest.approx(0.01), "computed")
    assert sources.step(152.3, "t4", PAPER, 256, adapter=True).seconds == pytest.approx(0.0761, rel=1e-3)


def test_a_cpus_step_is_the_measured_one_where_there_is_one(sources: Sources) -> None:
    measured = sources.step(202.4, "cpu", FULL, 128, adapter=False)
    assert (measured.seconds, measured.kind) == (pytest.approx(1 / 5.6), "measured")
    for found in (
        sources.step(243.0, "cpu", FULL, 96, adapter=False),
        sources.step(243.0, "cpu", FULL, 128, adapter=True),
        sources.step(243.0, "cpu", PAPER, 128, adapter=False),
    ):
        assert (found.seconds, found.kind) == (1.0, "computed")


def test_pictures_are_measured_or_go_by_their_pixels(sources: Sources) -> None:
    assert sources.picture("photo", 128).seconds == 29272
    large = sources.picture("edit", 512)
    assert (large.seconds, large.kind) == (4 * 84708, "computed")


def test_unknown_names_are_told_with_those_that_are_known(sources: Sources) -> None:
    assert refused(lambda: sources.hardware("abacus")).startswith("--hardware abacus: there are h100-sxm, ")
    line = refused(lambda: sources.teacher("monet"))
    assert line.startswith("--teachers monet: no time is known of it; there are sd-img2img, ")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('like = "sd-img2img"', 'like = "nobody"', 'no time follows from like = "nobody"'),
        ('like = "sd-img2img"', 'like = "instruct-diffusion"', "no time follows from"),
        ('hardware = "a100-80gb"', 'hardware = "abacus"', 'no peak is known of hardware = "abacus"'),
        ('hardware = "a100-80gb"', "", "seconds and hardware belong together"),
        ("passes = 300", "", "gmacs and passes belong together"),
        ("tflops = 65.0", "", "hardware.t4 has neither tflops nor gflops"),
        ("tflops = 65.0", "tflops = -1.0", "at hardware"),
        ('source = "NVIDIA\'s data sheet, at second hand"', 'source = ""', "at hardware"),
    ],
)
def test_figures_that_lead_nowhere_are_refused(tmp_path: Path, before: str, after: str, words: str) -> None:
    text = SHIPPED.read_text("utf-8")
    assert before in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(before, after, 1), "utf-8")
    assert words in refused(lambda: Sources.load(path))


# -- what was measured on a card --------------------------------------------------------------------------------------


def measured(path: Path, *steps: dict[str, Any], card: str = "NVIDIA H100 80GB HBM3", **more: Any) -> Path:
    rows = [{"error": None, "name": "adapter, full, quick", "how": "eager"} | row for row in steps]
    machine = {"name": "machine", "card": card, "device": "cuda", "error": None}
    parts = {"machine": {"rows": [machine]}, "steps": {"rows": rows}} | more
    write_json(path, {"options": {"quick": "False"}, "parts": parts})
    return path


def load(path: Path, sources: Sources, hardware: str = "h100-sxm", size: int = 256, batch: int = 8) -> Steps:
    return Steps.load(path, sources, hardware, FULL, size, batch)


def test_the_row_of_the_nearest_batch_is_taken_and_no_compiled_one(tmp_path: Path, sources: Sources) -> None:
    rows = [{"batch": 1, "ms": 9.0}, {"batch": 8, "ms": 2.0}, {"batch": 8, "ms": 1.0, "how": "CUDA graphs"}]
    rows += [{"batch": 32, "ms": 1.5}, {"batch": 16, "error": "OutOfMemoryError"}]
    path = measured(tmp_path / "gpu.json", *rows)
    for batch, seconds in ((1, 0.009), (2, 0.009), (4, 0.002), (16, 0.002), (64, 0.0015)):
        rate = load(path, sources, batch=batch).adapter
        assert rate is not None
        assert (rate.seconds, rate.kind) == (pytest.approx(seconds), "measured")


def test_a_bases_rows_have_their_size(tmp_path: Path, sources: Sources) -> None:
    rows = [{"name": "full", "how": "eager", "batch": 8, "size": s, "ms": ms} for s, ms in ((256, 4.0), (128, 1.0))]
    path = measured(tmp_path / "gpu.json", {"batch": 1, "ms": 9.0}, base={"rows": rows})
    small = load(path, sources, size=128)
    assert small.base is not None
    assert small.base.seconds == 0.001
    assert small.adapter is None  # its rows are of 256 pixels
    assert "has no row of this generator at --size 64" in refused(lambda: load(path, sources, size=64))


@pytest.mark.parametrize(
    ("card", "hardware", "fits"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm", True),
        ("NVIDIA H100 PCIe", "h100-pcie", True),
        ("NVIDIA H100 PCIe", "h100-sxm", False),
        ("NVIDIA L40S", "l4", False),
        ("NVIDIA L4", "l4", True),
        ("Tesla T4", "h200", False),
        ("NVIDIA H100 80GB HBM3", "cpu", False),
    ],
)
def test_a_file_of_another_card_is_refused(
    tmp_path: Path, sources: Sources, card: str, hardware: str, fits: bool
) -> None:
    path = measured(tmp_path / "gpu.json", {"batch": 1, "ms": 9.0}, card=card)
    if fits:
        assert load(path, sources, hardware).adapter
    else:
        assert f"is of {card}, not of --hardware {hardware}" in refused(lambda: load(path, sources, hardware))


def test_a_generator_that_the_benchmark_does_not_train_is_refused(tmp_path: Path, sources: Sources) -> None:
    path = measured(tmp_path / "gpu.json", {"batch": 1, "ms": 9.0})
    line = refused(lambda: Steps.load(path, sources, "h100-sxm", GeneratorConfig(**TINY), 256, 1))
    assert "presets paper, device and small alone" in line


def test_a_file_that_names_no_card_is_refused(tmp_path: Path, sources: Sources) -> None:
    write_json(tmp_path / "gpu.json", {"options": {}, "parts": {}})
    assert "does not say which card" in refused(lambda: load(tmp_path / "gpu.json", sources))
