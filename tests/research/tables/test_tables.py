from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import GeneratorConfig, TableConfig, run_table
from e2gan.cli import main
from e2gan.core.errors import InputError
from e2gan.data.pair_set import PairSet
from e2gan.research.tables.experiments import EXPERIMENTS
from e2gan.research.tables.run import ORDER, TITLES, TableResult, experiment_of
from e2gan.research.tables.sets import identity_set, resized_set
from tests.conftest import TINY, Project

SMALL = replace(GeneratorConfig(**TINY), blocks=3, transformers=(2,))


def settings(project: Project, number: str, out: Path, **changes: object) -> TableConfig:
    config = TableConfig(
        number=number,
        out=out,
        pairs=(project.sepia,),
        base_pairs=(project.dusk,),
        epochs=1,
        baseline_epochs=1,
        base_epochs=1,
        batch=8,
        metric="l1",
        generator=SMALL,
        precision="fp32",
    )
    return replace(config, **changes)


def run(config: TableConfig) -> TableResult:
    found = run_table(config)
    assert isinstance(found, TableResult)
    return found


def test_every_table_and_figure_from_2_to_14_is_there() -> None:
    assert set(ORDER) == set(TITLES)
    assert {f"table{i}" for i in range(1, 15)} | {"fig2", "fig4", "fig6", "fig7"} == set(ORDER)
    assert [experiment_of(n) for n in ("5", "Table 5", "Tab. 5", "fig7", "Figure 7", "Fig. 7")] == [
        "table5",
        "table5",
        "table5",
        "fig7",
        "fig7",
        "fig7",
    ]


@pytest.mark.slow
def test_table_5_comes_out_of_one_command_with_the_papers_numbers_apart(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = (
        f"table 5 --pairs {project.sepia} {project.dusk} --base {project.base} --out {tmp_path} --epochs 1 "
        "--batch 8 --metric fd-random --precision fp32 --json"
    )
    assert main(command.split()) == 0
    found = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in found["rows"]]
    assert names[0] == "the photo as it is"
    assert {"ranks 1,4,8,8 +1", "ranks 1,4,16,16 +1 (upscale 4x)", "ranks 1,4,4,4 +1 (upscale 1x)"} < set(names)
    for row in found["rows"]:
        two = [row["values"][p] for p in ("as a sepia photo", "make it dusk")]
        assert row["values"]["mean"] == pytest.approx(sum(two) / 2)
    out = tmp_path / "table5"
    text = (out / "table5.md").read_text()
    ours, paper = text.split("The paper's own numbers")
    assert "0.092" in paper
    assert "0.092" not in ours
    assert "3 test photos" in ours
    rows = list(csv.DictReader((out / "table5.csv").read_text().splitlines()))
    assert {row["source"] for row in rows} == {"here", "paper"}
    assert all(float(row["value"]) >= 0 for row in rows if not row["column"].endswith("kernel distance"))
    assert (out / "table5.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in out.glob("sheet-*.png")} == {"sheet-sepia.png", "sheet-dusk.png"}
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    assert main(command.split()) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == found["rows"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == times


@pytest.mark.slow
def test_a_table_killed_midway_goes_on_to_the_same_numbers(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from e2gan.research.tables import models

    whole = run(settings(project, "table6", tmp_path / "whole", base=project.base))
    config = settings(project, "table6", tmp_path / "killed", base=project.base)
    real, calls = models.adapt, [0]

    def killed(config: object) -> object:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return real(config)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(models, "adapt", killed)
        with pytest.raises(KeyboardInterrupt):
            run_table(config)
    again = run(config)
    assert [r.values["mean"] for r in again.rows] == [r.values["mean"] for r in whole.rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(set(EXPERIMENTS) - {"table2", "table3", "table5", "table6", "table9", "table14"})
)
def test_every_experiment_runs_on_pairs_it_has_never_seen(name: str, project: Project, tmp_path: Path) -> None:
    bases = (project.dusk, project.sepia) if name in ("table4", "table11") else (project.dusk,)
    found = run(settings(project, name, tmp_path, base_pairs=bases))
    assert len(found.rows) >= 3
    assert all(row.values["mean"] > 0 for row in found.rows)
    assert len({row.name for row in found.rows}) == len(found.rows)


@pytest.mark.slow
def test_table_9_compares_embeddings(project: Project, tmp_path: Path, shared: Path) -> None:
    config = settings(project, "9", tmp_path, base=project.base)
    with pytest.raises(InputError, match="name another with --embedding"):
        run_table(config)
    found = run(replace(config, features=shared / "features/squeezenet11.safetensors"))
    assert [row.name for row in found.rows[1:]] == ["selected by gradient-colour", "selected by squeezenet"]


@pytest.mark.slow
def test_table_2_trains_the_baselines(project: Project, tmp_path: Path) -> None:
    config = settings(project, "2", tmp_path, base=project.base, steps=1)
    names = [row.name for row in run(config).rows]
    assert names == ["the photo as it is", "pix2pix", "pix2pix-zero-distilled (Co-Mod-GAN)", "adapter"]


@pytest.mark.slow
def test_a_csv_adds_the_papers_numbers_and_a_bad_one_is_one_line(project: Project, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("table,row,column,value\ntable6,all photos,FID,71.5\ntable5,x,y,1\n")
    found = run(settings(project, "6", tmp_path / "t", base=project.base, paper=more))
    assert found.paper == {"all photos": {"FID": 71.5}}
    assert "71.5" in found.markdown().split("The paper's own numbers")[1]
    more.write_text("table,row,column,value\ntable6,all photos,FID,seventy\n")
    with pytest.raises(InputError, match="line 2: 'seventy' is no number"):
        run_table(settings(project, "6", tmp_path / "t", base=project.base, paper=more))
    more.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="table, row, column and value"):
        run_table(settings(project, "6", tmp_path / "t", base=project.base, paper=more))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table 15", "no such table or figure"),
        ("table 5", "--pairs"),
        ("table 13 --pairs {sepia} --metric l1 --out {tmp}", "--base-pairs"),
        ("table 5 --pairs {sepia} {sepia} --metric l1 --out {tmp}", "the folder name"),
        ("table 5 --pairs {sepia} --metric fd-squeezenet --out {tmp}", "--features"),
        ("table 5 --epochs 0", "--epochs 0"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: str, message: str, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments.format(sepia=project.sepia, tmp=tmp_path).split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_list_tells_what_each_number_is(capsys: pytest.CaptureFixture) -> None:
    assert main(["table", "list"]) == 0
    text = capsys.readouterr().out
    assert "table10" in text
    assert "fig4" in text


def test_resized_and_identity_sets_keep_photos_and_splits(project: Project, tmp_path: Path) -> None:
    ours = PairSet.load(project.sepia)
    small = resized_set(ours, 24, tmp_path)
    other = resized_set(PairSet.load(project.dusk), 24, tmp_path)
    assert small.photo_folder == other.photo_folder
    photos, edits, ids = small.arrays("test")
    assert photos.shape == edits.shape == (3, 24, 24, 3)
    assert ids == ours.arrays("test")[2]
    same = identity_set(ours, tmp_path / "same")
    photos, edits, _ = same.arrays("train")
    assert (photos == edits).all()
    assert same.prompt == "the photo itself"


@pytest.mark.slow
def test_costs_count_the_real_step_of_each_method(project: Project, tmp_path: Path) -> None:
    found = run(settings(project, "fig6", tmp_path, size=32, generator=GeneratorConfig(), pairs=()))
    rows = {row.name: row.values for row in found.rows}
    assert rows["e2gan"]["trained (M)"] == pytest.approx(0.091926)
    assert rows["pix2pix"]["trained (M)"] == pytest.approx(11.378179)
    step = "step (GFLOP)"
    assert rows["e2gan"][step] < rows["pix2pix"][step] < rows["comodgan"][step]
    for row in rows.values():
        parts = ("step: G forward (GFLOP)", "step: G backward (GFLOP)", "step: D (GFLOP)")
        assert row[step] == pytest.approx(sum(row[p] for p in parts))
    assert rows["e2gan"][step] < rows["e2gan, all weights"][step]
    # Frozen layers need no gradient of their weights: a backward pass of all weights is twice the forward one.
    assert rows["e2gan"]["step: G backward (GFLOP)"] < 1.7 * rows["e2gan"]["step: G forward (GFLOP)"]
    assert rows["pix2pix"]["step: G backward (GFLOP)"] > 1.9 * rows["pix2pix"]["step: G forward (GFLOP)"]
    assert found.paper["e2gan"]["seconds a concept"] == 200


def test_a_refused_run_leaves_nothing_that_stands_in_the_way(project: Project, tmp_path: Path) -> None:
    config = settings(project, "13", tmp_path, base_pairs=())
    with pytest.raises(InputError, match="--base-pairs"):
        run_table(config)
    assert not (tmp_path / "table13").exists()
    with pytest.raises(InputError, match="is no base"):
        run_table(settings(project, "5", tmp_path, base=tmp_path / "nothing"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        run_table(settings(project, "6", tmp_path / "file", base=project.base))


@pytest.mark.slow
def test_another_metric_scores_the_same_models(project: Project, tmp_path: Path) -> None:
    config = settings(project, "Tab. 7", tmp_path, base=project.base)
    run(config)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    found = run(replace(config, number="7", metric="fd-random"))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == times
    assert " kd " in found.rows[1].cells["as a sepia photo"]
    assert "fd-random on 3 test photos" in found.markdown()


def test_a_set_made_of_a_selection_is_not_selected_from_again(project: Project, tmp_path: Path) -> None:
    from e2gan import PairsConfig, PhotoSet, make_pairs

    photos = tmp_path / "photos"
    shutil.copytree(project.photos, photos)
    ids = [photo.id for photo in PhotoSet.load(photos).split("train")]
    (photos / "selection.json").write_text(json.dumps({"ids": ids[:9]}))
    make_pairs(PairsConfig(photos=photos, concept="sepia", out=tmp_path / "sepia"))
    with pytest.raises(InputError, match="lacks 15 of its photo set's training photos"):
        run_table(settings(project, "6", tmp_path / "t", base=project.base, pairs=(tmp_path / "sepia",)))
