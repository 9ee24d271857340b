"""The paper's own numbers, and those that a CSV adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan import run_table
from e2gan.core.errors import InputError
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
