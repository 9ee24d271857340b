"""The table of what recipes reach, at the smallest size: equal time by steps, all rows, and a rerun that goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan import InputError
from e2gan.config import RECIPES
from e2gan.core.files import read_json, write_json
from e2gan.core.images import read_image
from e2gan.core.sheets import GAP
from e2gan.data.pair_set import PairSet
from e2gan.measure.distances import frechet_distance, frechet_draws
from tests.benchmarks import count_steps_as, mistake, script
from tests.conftest import Project

bench = script("quality")
jobs, tables = script("quality_jobs"), script("quality_tables")


@pytest.fixture
def steps(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of an adapter counts as a second, one from nothing or of high ranks as two."""
    of = {"adapt": 1.0, "scratch": 2.0}
    of |= {"adapt, the paper's ranks": 1.0, "adapt, 16× the paper's ranks": 2.0}
    bases = {f"{base}, quick, {stage}": s for base in (project.base.name, "other") for stage, s in of.items()}
    count_steps_as(monkeypatch, bases | {"pix2pix, paper, scratch": 5.0})


def options(project: Project, out: Path, **others: object) -> list[str]:
    words: dict[str, object] = {"--pairs": [project.sepia, project.dusk], "--base": project.base, "--out": out}
    words |= {"--minutes": 1 / 6, "--device": "cpu"} | {f"--{k.replace('_', '-')}": v for k, v in others.items()}
    lists = [[name, *(value if isinstance(value, list) else [value])] for name, value in words.items() if value]
    return [str(text) for words in lists for text in words]


def cells(text: str, row: str) -> list[list[str]]:
    """The cells of every row of this name."""
    return [[cell.strip() for cell in line.split("|")[3:-1]] for line in text.splitlines() if line.startswith(row)]


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
def test_all_rows_are_measured_and_a_rerun_trains_what_is_missing_alone(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = options(project, tmp_path)
    name = project.base.name
    assert bench.main(command) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "quality.md").read_text("utf-8")
    assert "| recipe |  | steps | seconds | L1 | SSIM | fd-squeezenet | " in printed
    for row, taken in {
        "|  | the photo as it is |": ["", ""],
        "|  | colour table |": ["", ""],
        f"| quick | {name} adapter |": ["10", "10"],
        f"| quick | {name} from nothing |": ["5", "10"],
        f"| quick | {name} from nothing, 3× the time |": ["15", "30"],
    }.items():
        found = cells(printed, row)
        assert [cell[:2] for cell in found] == [taken] * 3  # the mean, and each concept
        mean, *own = ([float(number) for number in cell[2:]] for cell in found)
        assert mean[0] == pytest.approx((own[0][0] + own[1][0]) / 2, abs=0.006)
    models = tmp_path / "models" / "sepia"
    steps = [read_json(f / "config.json")["settings"]["training"]["steps"] for f in sorted(models.glob("quick-*/*/*"))]
    assert steps == [10, 5, 15]
    sheet = read_image(next(tmp_path.glob("sheets/sepia-quick-*.png")))
    assert sheet.shape[1] > 6 * 128
    assert sheet.shape[0] > 3 * 128  # no more test photos are there

    shutil.rmtree(next(models.glob("quick-*/*/adapter")))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert bench.main(command) == 0
    assert capsys.readouterr().out == printed
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert before.items() < after.items()
    assert {path.parent.name for path in after.keys() - before.keys()} == {"adapter"}


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
def test_a_curve_is_a_table_for_each_length(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others: dict[str, Any] = {"pairs": [project.sepia], "minutes": None, "curve": [0.05, 0.2], "scratch_factors": [2]}
    assert bench.main(options(project, tmp_path, **others)) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("##")] == ["## 0.05 minutes", "## 0.2 minutes"]
    assert [cell[0] for cell in cells(printed, f"| quick | {project.base.name} adapter |")] == ["3", "12"]
    assert [cell[0] for cell in cells(printed, f"| quick | {project.base.name} from nothing, 2× the time |")] == [
        "3",
        "12",
    ]
    assert "Mean of the concepts" not in printed
    assert len(list((tmp_path / "sheets").iterdir())) == 2


def test_a_step_is_timed_as_the_recipe_has_it(project: Project, tmp_path: Path) -> None:
    common = {"pairs": (project.sepia,), "out": tmp_path, "recipe": ("quick",), "repeat": 3, "device": "cpu"}
    config, bases = jobs.Settings(**common), jobs.Base.load_all([project.base])
    found = jobs.step_times(config, bases, 32)
    name = project.base.name
    assert found.keys() == {f"{name}, quick, adapt", f"{name}, quick, scratch"}
    more = jobs.step_times(jobs.Settings(**common, pix2pix_factors=(1.0,)), bases, 32)
    assert found.items() < more.items()  # not timed anew
    assert all(seconds > 0 for seconds in more.values())
    kept = read_json(tmp_path / "step-times.json")
    assert {training: row["seconds"] for training, row in kept.items()} == more
    kept[f"{name}, quick, adapt"]["key"]["training"]["batch"] = 64  # of an earlier version's recipe
    write_json(tmp_path / "step-times.json", kept)
    with pytest.raises(InputError, match=f"'{name}, quick, adapt' was timed with other settings \\(training.batch\\)"):
        jobs.step_times(config, bases, 32)
    for content in ([], {"small": {"quick": {"adapt": 1.0}}}):  # of an earlier version, or nobody's
        write_json(tmp_path / "step-times.json", content)
        with pytest.raises(InputError, match="is none of this version's"):
            jobs.step_times(config, bases, 32)
    own = jobs.trained(config, "quick", "adapt", 7)
    assert own == replace(RECIPES["quick"].training["adapt"], minutes=None, steps=7, device="cpu")


def test_steps_follow_minutes_cores_or_epochs(project: Project, tmp_path: Path) -> None:
    config = jobs.Settings(pairs=(project.sepia,), out=tmp_path, cores=2.0)
    assert jobs.adapter_steps(config, "quick", 0.5, 0.1, 400) == 600
    own = RECIPES["quick"].training["adapt"].minutes
    assert own is not None
    assert jobs.adapter_steps(config, "quick", None, 0.1, 400) == round(1200 * own)
    assert jobs.adapter_steps(config, "paper", None, 0.1, 400) == 40_000  # Sec. 5.1: 100 epochs


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
def test_two_bases_pix2pix_and_adapters_of_elsewhere_share_the_tables(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, earlier = shutil.copytree(project.base, tmp_path / "other"), tmp_path / "earlier"
    words: dict[str, object] = {"pairs": project.sepia, "base": [project.base, other], "scratch_factors": [1]}
    words |= {"pix2pix_factors": [1, 2], "minutes": 0.1}
    words |= {"shown": project.sepia.parent, "picture": tmp_path / "made" / "picture.jpg"}
    command = options(project, tmp_path / "out", **words)
    assert bench.main(command) == 0
    first = capsys.readouterr().out
    name = project.base.name
    for row, taken in {
        f"| quick | {name} adapter |": ["6", "6"],
        "| quick | other adapter |": ["6", "6"],
        "| quick | other from nothing |": ["3", "6"],
        "| quick | pix2pix |": ["1", "5"],
        "| quick | pix2pix, 2× the time |": ["2", "10"],
    }.items():
        assert [cell[:2] for cell in cells(first, row)] == [taken]
    assert f"quick, {name}: the adapter against the others" in first
    pair_set = PairSet.load(project.sepia)
    photos, cell = len(pair_set.files("test")[0]), pair_set.size + GAP
    height, width, _ = read_image(tmp_path / "made" / "picture.jpg").shape
    assert width == GAP + 9 * cell  # photo, teacher, colour table, two adapters, two from nothing, pix2pix twice
    assert height > photos * cell
    compared = first[first.index("against the others") :]
    assert f"| {name} adapter |" not in compared  # nor one adapter against another
    assert compared.count("| other from nothing |") == 1  # nor against the other base's rows

    models = tmp_path / "out" / "models" / "sepia"
    shutil.copytree(next(models.glob("quick-*/other/adapter")), earlier / project.sepia.name)
    before = {path: path.stat().st_mtime_ns for path in earlier.rglob("*")}
    assert bench.main([*command, "--adapters", str(earlier), "--adapters-base", str(other)]) == 0
    second = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in earlier.rglob("*")} == before
    theirs, ours = (cells(second, row)[0] for row in ("|  | earlier |", "| quick | other adapter |"))
    assert theirs == ["", "", *ours[2:]]
    against = second[second.index("quick, other: the adapter against the others") :]
    assert "| earlier | sepia | +0.00 [+0.00, +0.00] equal | +0.000 [+0.000, +0.000] equal | " in against

    assert "earlier/dusk is no adapter" in mistake(
        bench, [*options(project, tmp_path / "new"), "--adapters", str(earlier)], capsys
    )


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
def test_an_adapter_is_held_against_other_ranks_and_all_weights(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: dict[str, object] = {"pairs": project.sepia, "scratch_factors": [1], "minutes": 0.1}
    assert bench.main(options(project, tmp_path, **words, rank_factors=[1, 16], finetune_factors=[1])) == 0
    printed, name = capsys.readouterr().out, project.base.name
    against = printed[printed.index("the adapter against the others") :]
    for row, steps in {
        "adapter, the paper's ranks": "6",
        "adapter, 16× the paper's ranks": "3",
        "all weights of the base": "3",
        "from nothing": "3",
    }.items():
        assert cells(printed, f"| quick | {name} {row} |")[0][:2] == [steps, "6"]
        assert f"| {name} {row} | sepia |" in against
    models = next((tmp_path / "models").glob("sepia/quick-*")) / name
    ranks = [read_json(models / kind / "e2gan.json")["ranks"]["level2"] for kind in ("adapter-1", "adapter-16")]
    assert ranks == [4, 64]
    assert read_json(models / "all-weights-of-the-base-1" / "config.json")["stage"] == "finetune"


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
def test_without_the_weights_the_scores_and_edits_go_on(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = options(project, tmp_path, pairs=[project.sepia], scratch_factors=[1], pix2pix_factors=[1])
    assert bench.main([*command, "--no-keep"]) == 0
    told, sheet = capsys.readouterr().out, next(tmp_path.glob("sheets/*.png"))
    models = tmp_path / "models" / "sepia"
    assert {path.parent.name for path in models.rglob("*.safetensors")} == {"adapter"}
    assert {path.name.partition("-")[0] for path in models.glob("*/*/*/*") if "adapter" not in path.parts[-2]} == {
        "scores",
        "edits",
        "trained.json",
    }
    before = sheet.read_bytes()
    sheet.unlink()
    assert bench.main(command) == 0
    assert capsys.readouterr().out == told
    assert sheet.read_bytes() == before
    assert {path.parent.name for path in models.rglob("*.safetensors")} == {"adapter"}
    left = next(models.rglob("pix2pix-1")) / "model.safetensors"
    left.write_bytes(b"of a run that was killed as it removed it")
    assert bench.main(command) == 0
    assert not left.exists()

    for name, told in (("training", "training.lr"), ("draws", "draws")):
        path = next(models.rglob("pix2pix-1")) / "trained.json"
        whole = read_json(path)
        changed = {**whole["key"], name: {**whole["key"][name], "lr": 1.0} if name == "training" else 7}
        write_json(path, {**whole, "key": changed})
        assert bench.main(command) == 2
        assert f"trained.json is of other settings ({told})" in capsys.readouterr().err.splitlines()[-1]
        write_json(path, whole)

    next(models.rglob("pix2pix-1/edits-*.png")).unlink()  # as of photos that are shown for the first time
    assert bench.main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("pix2pix-1: its weights were not kept, and not all was measured; delete it")


def test_models_are_compared_photo_by_photo_and_draw_by_draw() -> None:
    rng = np.random.default_rng(0)
    targets, noise = rng.normal(size=(2, 60, 8))

    def cell(scale: float) -> dict[str, Any]:
        edits = targets + scale * noise
        values = np.abs(edits - targets).mean(1)
        draws = frechet_draws(edits, targets, 100, paired=True).tolist()
        mean = {"L1": values.mean(), "SSIM": 1 - values.mean(), "fd-efficientnet": frechet_distance(edits, targets)}
        by_photo = {"L1": values.tolist(), "SSIM": (1 - values).tolist()}
        return {"mean": mean, "photos": by_photo, "draws": {"fd-efficientnet": draws}}

    good, alike, bad = cell(0.5), cell(-0.5), cell(1.0)
    for column in tables.COMPARED:
        found = tables.difference(good, bad, column)
        assert found.low < found.value < found.high
        assert found.standing == "ahead"
        assert tables.difference(bad, good, column).standing == "behind"
        assert tables.difference(good, alike, column).standing == "equal"
        assert tables.difference(good, good, column) == tables.Difference(0.0, 0.0, 0.0)
    assert tables.difference(good | {"draws": {}}, bad, "fd-efficientnet") is None
    assert tables.counts([tables.difference(good, bad, "L1"), None, tables.difference(bad, good, "L1")]) == "1, 0, 1"


def test_a_lost_training_is_told_in_the_table(project: Project, tmp_path: Path) -> None:
    config = jobs.Settings(pairs=(project.sepia,), out=tmp_path)
    pair_set, adapter = PairSet.load(project.sepia), jobs.AdaptConfig(pairs=project.sepia, out=tmp_path)
    facts = {"recipe": "quick", "length": None, "base": "b", "trained": "adapter", "steps": 10, "seconds": 60.0}
    job = jobs.job_of(adapter, pair_set=pair_set, **facts, wanted=(), networks=jobs.NetworkOptions())
    photo = {"mean": {"L1": 20.0, "SSIM": 0.9}}
    table = tables.Table(config, [pair_set], (), ["Without it."], {"sepia": photo}, [(job, None)])
    assert table.markdown().splitlines()[2:] == [
        "|  | the photo as it is |  |  | 20.00 | 0.900 |",
        "| quick | b adapter | 10 | 60 | 1 lost |  |",
        "",
        "Without it.",
    ]


def test_the_picture_has_a_column_for_each_model_and_a_blank_for_what_was_lost(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [PairSet.load(project.sepia), PairSet.load(project.dusk)]
    facts: dict[str, Any] = {"length": 3.0, "base": project.base.name, "trained": "adapter", "steps": 1}
    facts |= {"seconds": 1.0, "wanted": (), "networks": jobs.NetworkOptions()}
    found = []
    for pair_set in sets:
        for recipe in ("quick", "best"):
            own = jobs.AdaptConfig(base=project.base, pairs=pair_set.folder, out=tmp_path / recipe)
            found.append(jobs.job_of(own, pair_set=pair_set, recipe=recipe, **facts))
    there = jobs.TrainedModel(project.adapter, 0, project.base)
    found = [replace(job, model=there) if job.recipe == "best" else job for job in found]
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(bench, "sheet", lambda rows, columns: drawn.update(rows=rows, columns=columns))
    bench.picture_of(sets, sets, found)
    name = project.base.name
    assert drawn["columns"] == ["photo", "teacher", f"{name} adapter (quick, 3 min)", f"{name} adapter (best, 3 min)"]
    assert len(drawn["rows"]) == sum(len(pair_set.files("test")[0]) for pair_set in sets)
    for _, _, lost, model in drawn["rows"]:
        assert lost.min() == 255
        assert model.min() < 255


def test_what_cannot_be_drawn_is_refused_first(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project.dusk, tmp_path / "shown" / project.sepia.name)
    more = {"pairs": project.sepia, "shown": tmp_path / "shown", "picture": tmp_path / "a.jpg"}
    told = mistake(bench, options(project, tmp_path / "out", **more), capsys)
    assert "sepia is of 'make it dusk', not of 'as a sepia photo'" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"recipe": "huge"}, "--recipe huge: there are paper"),
        ({"base": "nowhere"}, "nowhere is no base"),
        ({"curve": [1, 5]}, "--minutes and --curve exclude each other"),
        ({"scratch_factors": [0.0]}, "--scratch-factors: each must be positive"),
        ({"efficientnet": "nowhere.pth"}, "nowhere.pth is missing"),
        ({"pix2pix_factors": [-1.0]}, "--pix2pix-factors: each must be positive"),
        ({"rank_factors": [4.0, 4.0]}, "--rank-factors names one twice"),
        ({"base": ["small", "small"]}, "--base: two are named alike (small, small)"),
        ({"picture": "a.jpg"}, "--shown and --picture belong together"),
        ({"shown": "nowhere", "picture": "a.png"}, "--picture must end in .jpg"),
        ({"shown": "nowhere", "picture": "a.jpg"}, "nowhere/sepia is no pair set"),
        ({"adapters_base": "small"}, "--adapters-base: of which --adapters?"),
    ],
)
def test_mistakes_are_told_in_one_line(
    others: dict[str, object], told: str, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in mistake(bench, options(project, tmp_path, **others), capsys)
