"""The paper's own numbers, and those that a CSV adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan import run_table
from e2gan.core.errors import InputError
from e2gan.research.tables.paper import paper_numbers
from e2gan.research.tables.run import experiment_of
from tests.conftest import Project
from tests.research.tables.tiny_tables import run, settings


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


def test_numbers_are_the_papers_and_the_files_and_none_is_made_up(tmp_path: Path) -> None:
    assert paper_numbers("table5", None)["ranks 1,4,8,8 +1"] == {"trained (M)": 0.092}
    assert paper_numbers("table7", None) == {}
    (tmp_path / "more.csv").write_text('table,row,column,value\nTab. 5,"ranks 1,4,8,8 +1",FID,90\nTab. 7,x,FID,1\n')
    numbers = paper_numbers("table5", tmp_path / "more.csv", experiment_of)
    assert numbers["ranks 1,4,8,8 +1"] == {"trained (M)": 0.092, "FID": 90}
    assert "x" not in numbers
    assert "FID" not in paper_numbers("table5", None)["ranks 1,4,8,8 +1"]
    with pytest.raises(InputError, match="cannot read"):
        paper_numbers("table5", tmp_path / "none.csv")
