from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from e2gan.core.errors import BusyError, InputError
from e2gan.core.locks import clear_lock, only_writer


def test_the_holder_may_enter_again_and_leaves_nothing(tmp_path: Path) -> None:
    with only_writer(tmp_path / "out"):
        with only_writer(tmp_path / "out"):
            pass
        assert (tmp_path / "out.lock").exists()  # still held
    assert not list(tmp_path.iterdir())


def test_another_thread_is_refused(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with only_writer(tmp_path / "out"):
                pass
        except BusyError as error:
            errors.append(error)

    with only_writer(tmp_path / "out"):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert "is being written by process" in str(errors[0])
    enter()
    assert len(errors) == 1


def test_a_lock_that_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "out.lock").write_text("process 1 on another machine\n")
    with only_writer(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), only_writer(tmp_path / "out"):
        raise ValueError("inside")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "link", "folder", "pipe"])
def test_what_another_program_calls_so_is_not_touched(tmp_path: Path, kind: str) -> None:
    """poetry.lock, where `--out poetry` would have its own."""
    lock, mine = tmp_path / "poetry.lock", tmp_path / "mine"
    mine.write_text("[[package]]\n")
    if kind == "file":
        lock.write_text("[[package]]\n")
    elif kind == "link":
        lock.symlink_to(mine)
    elif kind == "folder":
        lock.mkdir()
    else:
        os.mkfifo(lock)
    before = os.lstat(lock)
    with pytest.raises(InputError, match=r"poetry.lock is in the way"), only_writer(tmp_path / "poetry"):
        pass
    clear_lock(tmp_path / "poetry")
    assert os.lstat(lock) == before
    assert mine.read_text() == "[[package]]\n"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where no file can be made")
def test_a_place_where_no_file_can_be_made_is_held_by_nobody() -> None:
    with pytest.raises(InputError, match="no file can be made beside it") as told, only_writer(Path("/proc/out")):
        pass
    assert not isinstance(told.value, BusyError)
