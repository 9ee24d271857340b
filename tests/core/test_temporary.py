from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2gan.core.errors import MachineError
from e2gan.core.temporary import HELD, temporary_files, temporary_folder

LEAVES = "import os; from e2gan.core.temporary import temporary_folder\nwith temporary_folder() as f: os._exit(0)"
# Dies at the given call of one of the functions by which a folder comes and goes.
DIES = """
import os, sys
from pathlib import Path
import e2gan.core.temporary as temporary

left = int(sys.argv[1])

def counted(does):
    def call(*args, **more):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return does(*args, **more)
    return call

for name in ("rename", "unlink", "rmdir"):
    setattr(Path, name, counted(getattr(Path, name)))
temporary.FileLock.acquire = counted(temporary.FileLock.acquire)
temporary.FileLock.release = counted(temporary.FileLock.release)
with temporary.temporary_folder() as folder:
    (folder / "a").mkdir()
    (folder / "a" / "b").touch()
    (folder / "c").touch()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_afterwards_and_so_are_those_of_processes_that_were_killed(place: Path) -> None:
    subprocess.run([sys.executable, "-c", LEAVES], check=True)
    (place / "e2gan-of-mine").mkdir()
    (place / ".e2gan-of-mine").mkdir()
    assert len(list(place.iterdir())) == 3
    with temporary_folder() as one, temporary_folder() as other:
        (one / "a").touch()
        mine = {"e2gan-of-mine", ".e2gan-of-mine"}
        assert {path.name for path in place.iterdir()} == {*mine, one.name, other.name}
    assert {path.name for path in place.iterdir()} == mine


def test_a_kill_at_any_step_leaves_nothing_that_the_next_does_not_remove(place: Path) -> None:
    left, step = set(), 0
    for step in itertools.count(1):
        status = subprocess.run([sys.executable, "-c", DIES, str(step)], check=False).returncode
        left |= {path.name[: path.name.index("-") + 1] for path in place.iterdir()}
        with temporary_folder():
            pass
        assert not list(place.iterdir()), step
        if status == 0:
            break
        assert status == 9
    assert step > 6
    assert left == {".e2gan-", "e2gan-"}


def test_folders_made_and_removed_side_by_side_do_not_take_each_other_away(place: Path) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            with temporary_folder() as folder:
                (folder / "mine").write_text(str(number))
                assert (folder / "mine").read_text() == str(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not list(place.iterdir())


def test_where_no_folder_can_be_written_to_it_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(MachineError, match="no folder for temporary files can be written to"), temporary_folder():
        pass


def test_what_is_linked_there_stays(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / HELD).touch()
    (place / "e2gan-linked").symlink_to(elsewhere)
    with temporary_folder():
        pass
    assert (elsewhere / HELD).exists()


def test_files_of_libraries_lie_in_one(place: Path) -> None:
    with temporary_files():
        made = Path(tempfile.mkdtemp())
        with tempfile.NamedTemporaryFile(delete=False) as file:
            assert Path(file.name).parent == made.parent
        assert [path.name for path in place.iterdir()] == [made.parent.name]
        assert made.parent.name.startswith("e2gan-")
    assert not list(place.iterdir())
    assert tempfile.gettempdir() == str(place)
