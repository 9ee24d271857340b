"""The paper's own numbers, each under its own experiment, and those that a CSV adds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.research.tables.experiments import EXPERIMENTS
from e2gan.research.tables.paper import SHIPPED, paper_numbers, table_name
from e2gan.research.tables.run import COSTS, TITLES
from tests.conftest import refused


def shown(name: str) -> dict[str, dict[str, float]]:
    experiment = EXPERIMENTS.get(name)
    return paper_numbers(name, experiment.paper, experiment.columns) if experiment else paper_numbers(name, name)


def test_the_file_has_every_number_of_the_print(shared: Path) -> None:
    theirs = list(csv.DictReader((shared / "paper/numbers.csv").read_text().splitlines()))
    assert len(theirs) == 123
    assert list(csv.DictReader(SHIPPED.read_text().splitlines())) == theirs


def test_each_number_is_shown_under_one_experiment_alone() -> None:
    rows = [
        (r["table"], r["row"], r["column"], float(r["value"])) for r in csv.DictReader(SHIPPED.read_text().splitlines())
    ]
    found = []
    for name in TITLES:
        of = "table3" if name.startswith("table3-") else name
        found += [(of, row, column, value) for row, columns in shown(name).items() for column, value in columns.items()]
    assert sorted(found) == sorted(rows)


def test_faces_and_scenes_of_table_3_are_two_tables() -> None:
    assert shown("table3-faces")["E2GAN"] == {"FFHQ": 80.28}
    assert shown("table3-scenes")["E2GAN"] == {"Landscape": 109.37}
    assert shown("table1")["SnapFusion"]["iPhone 14 Pro (ms)"] == 1956
    assert not shown("transfer")
    assert not any(shown(name) for name in ("table2", "fig2", "fig7"))  # pictures in print
    assert "table2" in COSTS


def test_a_csv_adds_numbers_of_its_own_and_a_bad_one_is_one_line(tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("table,row,column,value\nTab. 5,upscale 1x,epochs,90\nTable 3-faces,x,y,1\nFigure 7,x,FID,1\n")
    numbers = paper_numbers("table5", "table5", (), more)
    assert numbers["upscale 1x"] == {"FID": 130.98, "trained (M)": 0.056, "epochs": 90}
    assert "x" not in numbers
    assert paper_numbers("table3-faces", "table3", ("FFHQ",), more)["x"] == {"y": 1}
    assert paper_numbers("fig7", "fig7", (), more) == {"x": {"FID": 1}}
    for text, message in (
        ("table,row,column,value\ntable6,all photos,FID,seventy\n", "line 2: 'seventy' is no number"),
        ("table,row,column,value\nchapter 6,a,b,1\n", "line 2: 'chapter 6' is no table or figure"),
        ("a,b\n1,2\n", "table, row, column and value"),
    ):
        more.write_text(text)
        assert message in refused(lambda: paper_numbers("table6", "table6", (), more))
    with pytest.raises(InputError, match="is missing"):
        paper_numbers("table5", "table5", (), tmp_path / "none.csv")


def test_a_table_is_named_in_many_ways() -> None:
    assert [table_name(n) for n in ("5", "Table 5", "Tab. 5", "fig7", "Figure 7", "Fig. 7", "3-faces", "transfer")] == [
        *["table5"] * 3,
        *["fig7"] * 3,
        "table3-faces",
        None,
    ]
