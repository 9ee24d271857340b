from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from e2gan.core.temporary import temporary_folder

LEAVES = "import os; from e2gan.core.temporary import temporary_folder\nwith temporary_folder() as f: os._exit(0)"


def test_a_folder_is_gone_afterwards_and_so_are_those_of_processes_that_were_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", LEAVES], check=True)
    (tmp_path / "e2gan-of-mine").mkdir()
    assert len(list(tmp_path.iterdir())) == 2
    with temporary_folder() as one, temporary_folder() as other:
        (one / "a").touch()
        assert {path.name for path in tmp_path.iterdir()} == {"e2gan-of-mine", one.name, other.name}
    assert [path.name for path in tmp_path.iterdir()] == ["e2gan-of-mine"]
