from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2gan.cli import main
from tests.faults.pictures import read_all, sample


def test_a_damaged_picture_is_read_or_refused(tmp_path: Path) -> None:
    read = list(read_all(tmp_path, range(130)))[-1]
    assert not read.faults
    assert 0 < read.refused < read.tries == 130


@pytest.mark.slow
def test_the_command_takes_those_that_it_can_and_names_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sample(tmp_path / "camera", range(60))
    assert main(["photos", str(tmp_path / "camera"), "--out", str(tmp_path / "out"), "--size", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    taken = {json.loads(line)["source"] for line in (tmp_path / "out/photos.jsonl").read_text().splitlines()}
    assert sorted(taken | {name for name, _ in found["skipped"]}) == names
