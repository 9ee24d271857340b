"""One experiment by one command: its files, the paper's numbers apart, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from e2gan import run_table
from e2gan.cli import main
from e2gan.core.errors import InputError
from e2gan.research.tables.run import ORDER, TITLES, experiment_of
from tests.conftest import Project, refused
from tests.measure.tiny_segformer import write_palette
from tests.research.tables.tiny_tables import Sets, run, settings

TINY = "--width 8 --blocks 3 --transformers 2 --heads 2 --text-width 16 --text hashed --embedding gradient-colour"


def test_every_table_and_figure_from_1_to_14_is_there() -> None:
    assert set(ORDER) == set(TITLES)
    tables = {f"table{i}" for i in range(1, 15) if i != 3} | {"table3-faces", "table3-scenes"}
    named = {"selection-embedding", "number-of-concepts", "what-is-tuned", "transfer"}
    assert set(ORDER) == tables | {"fig2", "fig4", "fig6", "fig7"} | named
    assert [experiment_of(n) for n in ("5", "Tab. 5", "Figure 7", "3-faces", "transfer")] == [
        *("table5", "table5", "fig7", "table3-faces", "transfer")
    ]
    assert "table3-faces and table3-scenes" in refused(lambda: experiment_of("3"))


@pytest.mark.slow
def test_table_5_comes_out_of_one_command_with_the_papers_numbers_apart(
    project: Project, sets: Sets, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = (
        f"table 5 --pairs {sets.rejecting} {project.dusk} --base-pairs {sets.base[0]} --out {tmp_path} --epochs 1 "
        f"--base-epochs 1 --batch 8 --keep 10 --metric fd-random --precision fp32 --json {TINY}"
    )
    assert main(command.split()) == 0
    found = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in found["rows"]]
    assert names == ["the photo as it is", "searched (ours)", "upscale 1x", "upscale 4x", "random ranks"]
    for row in found["rows"]:
        two = [row["values"][p] for p in ("Low Quality photo", "make it dusk")]
        assert row["values"]["mean"] == pytest.approx(sum(two) / 2)
    out = tmp_path / "table5"
    text = (out / "table5.md").read_text()
    ours, paper = text.split("The paper's own numbers")
    assert "| searched (ours) | 109.37 | 0.092 |" in paper
    assert "109.37" not in ours
    assert "3 test photos" in ours
    assert " kd " in ours
    rows = list(csv.DictReader((out / "table5.csv").read_text().splitlines()))
    assert {row["source"] for row in rows} == {"here", "paper"}
    assert all(float(row["value"]) >= 0 for row in rows if not row["column"].endswith("kernel distance"))
    assert (out / "table5.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in out.glob("sheet-*.png")} == {"sheet-rejecting.png", "sheet-dusk.png"}
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    assert main(command.split()) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == found["rows"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == times


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table 15", "no such table or figure"),
        ("table 3", "table3-faces and table3-scenes"),
        ("table 5", "--pairs"),
        ("table 13 --pairs {sepia} --metric l1 --out {tmp}", "--base-pairs"),
        ("table 5 --pairs {sepia} {sepia} --metric l1 --out {tmp}", "the folder name"),
        ("table 5 --pairs {sepia} --metric fd-squeezenet --features none --out {tmp}", "none is missing"),
        ("table 5 --epochs 0", "--epochs 0"),
        ("table 5 --keep 4 --batch 8", "--keep 4: must be at least --batch 8"),
        ("table 8 --pairs {sepia} --labels sepia=x.json", "--labels needs --segmenter"),
        ("table 8 --pairs {sepia} --segmenter x --labels dusk=x.json", "none of --pairs is called 'dusk'"),
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
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ORDER
    assert "number of transformer blocks" in lines["table2"]
    assert all("(ours)" in lines[name] for name in ORDER if "table" not in name and "fig" not in name)


def test_a_refused_run_leaves_nothing_that_stands_in_the_way(sets: Sets, tmp_path: Path) -> None:
    config = settings(sets, "13", tmp_path, base_pairs=())
    with pytest.raises(InputError, match="--base-pairs"):
        run_table(config)
    assert not (tmp_path / "table13").exists()
    with pytest.raises(InputError, match="is no base"):
        run_table(settings(sets, "5", tmp_path, base=tmp_path / "nothing"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        run_table(settings(sets, "6", tmp_path / "file"))


@pytest.mark.slow
def test_the_data_of_the_paper_and_ours_are_told_apart(sets: Sets, tmp_path: Path) -> None:
    found = run(settings(sets, "3-faces", tmp_path, steps=1, base_steps=1))
    assert any("24 concepts in B.3 (its text says 20)" in line for line in found.notes)
    assert any(line.startswith("Here: l1 on 3 test photos at 32 pixels") for line in found.notes)


@pytest.mark.slow
def test_label_maps_have_their_miou_and_stay_out_of_the_mean(
    sets: Sets, segformer: Path, maps: Path, tmp_path: Path
) -> None:
    palette = write_palette(tmp_path / "palette.json")
    labels = {"labels": (f"{maps.name}={palette}",), "segmenter": str(segformer)}
    found = run(settings(sets, "6", tmp_path, pairs=(sets.rejecting, maps), size=64, steps=1, **labels))
    photo, aimed, *ours = found.rows
    assert aimed.name == "the images that are aimed at"
    assert 80 < aimed.values["a photo"] < 100
    for row in (photo, *ours):
        assert row.cells["a photo"].startswith("mIoU ")
        assert row.values["mean"] == row.values["Low Quality photo"]
    assert any("and not in the mean" in line for line in found.notes)
