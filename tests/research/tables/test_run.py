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
from tests.conftest import Project
from tests.research.tables.tiny_tables import settings


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
