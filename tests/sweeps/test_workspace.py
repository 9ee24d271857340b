from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from e2gan.core.errors import MachineError
from e2gan.sweeps.store import DamagedError, Store
from e2gan.sweeps.things import Ref
from e2gan.sweeps.workspace import Workspace, usual_root
from tests.conftest import refused

ONE, TWO, THREE = (Ref("pairs", digit * 64) for digit in "123")


def put(store: Store, ref: Ref, tmp_path: Path, size: int = 1000) -> None:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / "data").write_bytes(os.urandom(size))
    store.put(ref, source, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))


def test_what_is_used_is_fetched_once_and_again_where_it_is_not_whole(store: Store, tmp_path: Path) -> None:
    work = Workspace(tmp_path / "scratch", 1e9)
    put(store, ONE, tmp_path)
    with work.using(store, ONE) as folder:
        assert folder == work.path(ONE)
        (folder / "mark").touch()
    with work.using(store, ONE) as folder:
        assert (folder / "mark").exists()
        (folder / "data").write_bytes(b"cut")
    with work.using(store, ONE) as folder:
        assert (folder / "data").stat().st_size == 1000
        assert not (folder / "mark").exists()
    with pytest.raises(DamagedError), work.using(store, TWO):
        pass


def held(root: Path, begun: object, go_on: object) -> None:
    with Workspace(root, 1e9).making(ONE):
        begun.set()  # type: ignore[attr-defined]
        go_on.wait(60)  # type: ignore[attr-defined]


def test_one_process_makes_a_thing_and_its_death_frees_it(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "scratch", 1e9)
    context = multiprocessing.get_context("spawn")
    begun, go_on = context.Event(), context.Event()
    other = context.Process(target=held, args=(tmp_path / "scratch", begun, go_on))
    other.start()
    assert begun.wait(60)
    assert not work.drop(ONE)
    got = threading.Event()

    def wait() -> None:
        with work.making(ONE):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.3)
    other.kill()
    other.join()
    assert got.wait(30)
    thread.join()
    assert work.drop(ONE)


def test_room_is_made_of_what_nobody_uses_the_oldest_first(store: Store, tmp_path: Path) -> None:
    work = Workspace(tmp_path / "scratch", 2500)
    for ref in (ONE, TWO, THREE):
        put(store, ref, tmp_path)
        with work.using(store, ref):
            pass
        os.utime(work.path(ref), (int(ref.identity[0]), int(ref.identity[0])))
    left = work.path(THREE).with_name(work.path(THREE).name + ".partial")
    left.mkdir()
    work.make_room()
    assert [work.path(ref).exists() for ref in (ONE, TWO, THREE)] == [False, True, True]
    small = Workspace(tmp_path / "scratch", 100)
    small.make_room()
    assert not work.path(THREE).exists()
    assert not left.exists()


def test_a_task_waits_for_room_and_gives_up_where_nothing_can_come(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2gan.sweeps.workspace.LOOK", 0.05)
    work = Workspace(tmp_path / "scratch", 500)
    put(store, ONE, tmp_path)
    there, go_on = threading.Event(), threading.Event()

    def use() -> None:
        with Workspace(tmp_path / "scratch", 500).using(store, ONE):
            there.set()
            go_on.wait(60)

    thread = threading.Thread(target=use)
    thread.start()
    assert there.wait(60)
    done = threading.Event()
    waits = threading.Thread(target=lambda: (work.make_room(), done.set()))
    waits.start()
    assert not done.wait(0.3)
    go_on.set()
    assert done.wait(30)
    for one in (thread, waits):
        one.join()
    assert not work.path(ONE).exists()
    (tmp_path / "scratch/mine").write_bytes(b"x" * 600)
    with pytest.raises(MachineError, match="not a sweep's"):
        work.make_room()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(lambda: Workspace(tmp_path / "file", 1e9))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    own = Workspace(None, 1e9)
    assert own.root == usual_root().resolve()
    assert own.root.stat().st_mode & 0o777 == 0o700
    if os.getuid() == 0:
        os.chown(usual_root(), 12345, 12345)
        assert "another user's" in refused(lambda: Workspace(None, 1e9))
