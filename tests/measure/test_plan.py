"""Experiments that can be done by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2gan.cli import main
from e2gan.config import PRESETS, GeneratorConfig, PlanConfig
from e2gan.measure.plan import Line, Plan, plan
from tests.conftest import TINY, refused
from tests.measure.test_plan_sources import measured

SMALL = GeneratorConfig(**TINY)
TWO = PlanConfig(
    photos=100,
    concepts=10,
    base_concepts=2,
    adapters=3,
    keep=40,
    teachers=("sd-img2img", "sdxl-turbo"),
    size=32,
    hardware="a100-80gb",
    epochs=10,
    base_epochs=5,
    rank_concepts=2,
    rank_epochs=4,
    generator=SMALL,
    price_per_hour=2.0,
)


@pytest.fixture(scope="module")
def found() -> Plan:
    return plan(TWO)


def line(of: Plan, stage: str) -> Line:
    (one,) = [line for line in of.lines if line.stage == stage]
    return one


def test_each_stage_counts_what_it_works_on(found: Plan) -> None:
    counts = {line.stage: line.count for line in found.lines}
    assert counts == {
        "photos": 100,
        "teach: sd-img2img": 1000,  # 100 photos × 10 concepts
        "teach: sdxl-turbo": 1000,
        "select": 100,
        "base": 800,  # 2 concepts × 80 photos × 5 epochs
        "ranks": 1920,  # 2 concepts × 6 ranks (1 to 32) × 4 epochs × 40 photos
        "adapters": 1200,  # 3 × 40 × 10
        "evaluate": 30,  # 3 × 10 photos
        "export": 3,
    }


def test_hours_bytes_and_money_by_hand(found: Plan) -> None:
    taught = line(found, "teach: sd-img2img")
    assert taught.kind == "published"
    assert taught.hours == pytest.approx(0.302222, rel=1e-5)  # 1,000 × 1.088 s
    assert taught.money == pytest.approx(0.604444, rel=1e-5)
    assert taught.bytes == 1_820_000  # 1,000 × 7,280 bytes at 64 pixels, a quarter at 32
    assert "computed" in taught.bytes_from
    assert line(found, "teach: sdxl-turbo").kind == "computed"
    assert found.bottleneck.startswith("teach: sd-img2img, ")
    assert found.money == pytest.approx(2 * (found.gpu_hours + found.cpu_hours))
    assert found.gpu_hours + found.cpu_hours == pytest.approx(sum(line.hours for line in found.lines))
    assert found.bytes == sum(line.bytes for line in found.lines)
    assert found.download_gb == pytest.approx(19.4)  # 5.5 and 13.9


def test_each_line_can_be_done_again_from_its_inputs(found: Plan) -> None:
    adapters = line(found, "adapters")
    rate = adapters.inputs["share_of_peak"] * adapters.inputs["tflops"] * 1000
    assert adapters.seconds == pytest.approx(adapters.inputs["gflop"] / rate)
    assert adapters.inputs["gflop"] == found.gflop["adapter"] < found.gflop["base"]
    assert {line.kind for line in found.lines} == {"measured", "published", "computed"}
    assert all(line.source and line.inputs for line in found.lines)


def test_several_gpus_share_all_but_the_base_and_what_a_cpu_does(found: Plan) -> None:
    four = plan(replace(TWO, gpus=4))
    assert four.gpu_hours == found.gpu_hours
    alone = line(found, "base").hours
    expected = (found.gpu_hours - alone) / 4 + alone + found.cpu_hours
    assert four.wall_hours == pytest.approx(expected)
    assert found.wall_hours == pytest.approx(found.gpu_hours + found.cpu_hours)
    shared = {gpus: line(plan(replace(TWO, gpus=gpus, batch=8)), "base").shared_by for gpus in (1, 3, 4, 100)}
    assert shared == {1: 1, 3: 2, 4: 4, 100: 8}  # a batch is shared evenly


def test_the_bottleneck_is_what_the_clock_waits_for_longest(found: Plan) -> None:
    many = plan(replace(TWO, gpus=10**6))
    last = max(many.lines, key=lambda line: line.hours / line.shared_by)
    assert last.stage != max(found.lines, key=lambda line: line.hours).stage
    assert many.bottleneck.startswith(f"{last.stage}, ")
    assert many.bottleneck.endswith(" of the hours by the clock")


def test_what_saves_is_each_change_alone(found: Plan) -> None:
    saved = {s.what: s for s in found.saves}
    first = saved["select before teaching: 60 of 100 photos"]
    teaching = sum(line.hours for line in found.lines if line.stage.startswith("teach"))
    base = line(found, "base").hours
    assert first.hours_saved == pytest.approx(0.4 * teaching + 0.5 * base)  # the base has 40 of 80 photos too
    concepts = saved["teach only the 5 concepts that are trained on"]
    assert concepts.hours_saved == pytest.approx(teaching / 2)
    alone = saved["without the slowest teacher, sd-img2img"]
    assert alone.hours_saved == pytest.approx(line(found, "teach: sd-img2img").hours)
    known = saved["each concept that an adapter already knows"]
    assert known.hours_saved > teaching / 10
    ranks = saved["ranks of 2 concepts for all, not a search for each adapter"]
    assert ranks.done
    assert ranks.hours_saved == pytest.approx(line(found, "ranks").hours / 2)  # a third search beside two
    epochs = saved["adapters of 10 epochs, not 20 (Tab. 14)"]
    assert epochs.hours_saved == pytest.approx(line(found, "adapters").hours)
    photos = saved["adapters on 40 photos, not 80"]
    assert photos.hours_saved > epochs.hours_saved  # and the search of ranks on them
    assert first.money_saved == pytest.approx(2 * first.hours_saved)
    assert all(s.hours_saved > 0 for s in found.saves)


def test_on_a_cpu_all_is_the_cpus() -> None:
    told = plan(replace(TWO, hardware="cpu", teachers=("filters",), price_per_hour=None))
    assert told.gpu_hours == 0
    assert told.money is None
    assert "sana-sprint" not in str(told)  # of whose time on a CPU nothing is known
    assert refused(lambda: plan(replace(TWO, hardware="cpu", gpus=2))) == "--gpus 2: --hardware cpu is a CPU"


def test_a_teacher_that_does_not_fit_is_told() -> None:
    told = str(plan(replace(TWO, hardware="t4", teachers=("qwen-edit",))))
    assert "qwen-edit: its weights, 57.7 GB, do not fit t4's 16" in told
    assert "flux2-klein" in told  # of 16 GB
    assert "a teacher of few steps alone, qwen-edit-lightning" not in told


@pytest.mark.slow
def test_measured_steps_take_the_place_of_computed_ones(tmp_path: Path) -> None:
    base = {"rows": [{"name": "full", "how": "eager", "batch": 8, "size": 256, "ms": 4.0}]}
    path = measured(tmp_path / "gpu.json", {"batch": 1, "ms": 9.0}, base=base)
    config = replace(TWO, generator=PRESETS["device"], size=256, hardware="h100-sxm", measured=path)
    told = plan(config)
    assert (line(told, "adapters").seconds, line(told, "adapters").kind) == (0.009, "measured")
    assert (line(told, "base").seconds, line(told, "base").kind) == (0.004, "measured")
    assert line(told, "adapters").source == str(path)
    measured(path, {"batch": 1, "ms": 9.0})
    told = plan(config)
    computed = line(told, "base")
    assert computed.kind == "computed"  # by its operations
    assert computed.seconds == pytest.approx(0.009 * told.gflop["base"] / told.gflop["adapter"])


ARGUMENTS = "plan --width 8 --heads 2 --text-width 16 --size 32"


def test_the_table_and_the_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"{ARGUMENTS} --price-per-hour 2 --json".split()) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert main(f"{ARGUMENTS} --price-per-hour 2".split()) == 0
    table = capsys.readouterr().out
    assert f"bottleneck: {told['bottleneck']}" in table
    assert f"{told['money']:,.2f}" in table
    for row in told["lines"]:
        assert row["stage"] in table
        assert row["kind"] in ("measured", "published", "computed")
    assert "null-text, " in told["bottleneck"]  # of the paper's teachers
    assert main(ARGUMENTS.split()) == 0
    assert "money" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--teachers monet", "--teachers monet: no time is known of it; there are sd-img2img"),
        ("--hardware abacus", "--hardware abacus: there are h100-sxm"),
        ("--photos 0", "--photos 0"),
        ("--measured nowhere.json", "nowhere.json"),
        ("--teachers sana-sprint --hardware cpu", "nothing is known of its operations"),
        ("--fold 2 --size 40", "--size 40: this generator takes multiples of 16"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS.split(), *arguments.split()]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
