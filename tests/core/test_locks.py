from __future__ import annotations

import threading
from pathlib import Path

import pytest

from e2gan.core.errors import BusyError
from e2gan.core.locks import only_writer


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
