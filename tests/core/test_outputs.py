from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_json
from e2gan.core.outputs import State, check_beside, check_out, claim, finish, partial_of, writing
from tests.conftest import refused


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(out, "photos", {"size": 64}, reads={}) as partial:
        assert partial is not None
        (partial / "a").write_text("a")
        assert not out.exists()
    assert (out / "a").read_text() == "a"
    assert read_json(out / "config.json")["settings"] == {"size": 64, "content": {}}
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), writing(tmp_path / "out", "photos", {}, reads={}):
        raise OSError("disk")
    assert not list(tmp_path.iterdir())


def test_the_same_settings_are_done_and_others_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(out, "photos", {"size": 64, "out": out}, reads={}):
        pass
    with writing(out, "photos", {"size": 64, "out": "spelled otherwise"}, reads={}) as partial:
        assert partial is None
    with pytest.raises(InputError, match="size"), claim(out, "photos", {"size": 128}, reads={}):
        pass
    with pytest.raises(InputError, match="'photos', not of 'pairs'"), claim(out, "pairs", {"size": 64}, reads={}):
        pass


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "thesis.txt").write_text("mine")
    for name, words in (("file", "is a file"), ("folder", "something else"), ("new", "did not write")):
        with pytest.raises(InputError, match=words), claim(tmp_path / name, "photos", {}, reads={}):
            pass
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "new.partial" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claim(out, "base", {"lr": 1}, reads={}) as state:
        assert state is State.FRESH
        (partial_of(out) / "half").write_text("x")
        (partial_of(out) / "half.tmp12-0123abcd").write_text("x")  # of a process that was killed as it wrote
    with claim(out, "base", {"lr": 1}, reads={}) as state:
        assert state is State.RESUME
        assert {path.name for path in partial_of(out).iterdir()} == {"config.json", "half"}
    with pytest.raises(InputError, match="lr"), claim(out, "base", {"lr": 2}, reads={}):
        pass
    with claim(out, "base", {"lr": 1}, reads={}):
        finish(out)
    with claim(out, "base", {"lr": 1}, reads={}) as state:
        assert state is State.DONE
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_begun_anew_where_it_cannot_be_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claim(out, "photos", {"size": 64}, reads={}):
        (partial_of(out) / "images").mkdir()
        (partial_of(out) / "images" / "half.png").write_text("x")
    with writing(out, "photos", {"size": 64}, reads={}) as partial:
        assert partial is not None
        assert [path.name for path in partial.iterdir()] == ["config.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_second_run_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(out, "photos", {"size": 64}, reads={}) as partial:
        assert partial is not None
        (partial / "photo").write_text("x")
        script = (
            "import sys; from pathlib import Path; from e2gan.core.outputs import writing\n"
            "with writing(Path(sys.argv[1]), 'photos', {'size': 64}, reads={}): raise SystemExit('it came in')"
        )
        other = subprocess.run([sys.executable, "-c", script, out], capture_output=True, text=True, check=False)
        assert f"process {os.getpid()} on " in other.stderr
        assert "it came in" not in other.stderr
        assert (partial / "photo").exists()
    assert (out / "photo").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = (
        "import os, sys; from pathlib import Path; from e2gan.core.outputs import claim\n"
        "with claim(Path(sys.argv[1]), 'base', {}, reads={}): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, out], check=False).returncode == 9
    with claim(out, "base", {}, reads={}) as state:
        assert state is State.RESUME


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "name a new folder"),
        ("../here", "the folder that you are in"),
        ("link", "a link"),
        ("x" * 250, "bytes; at most"),
        ("\udce9", "not UTF-8"),
    ],
)
def test_a_place_that_cannot_be_taken_at_the_end_is_refused_at_the_start(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if name == "link":
        Path("link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=words), writing(Path(name), "photos", {}, reads={}):
        pass
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("here", "elsewhere", "link")]


def test_a_picture_beside_a_file_is_its_own_or_refused(tmp_path: Path) -> None:
    out, picture = tmp_path / "a.json", tmp_path / "a.png"
    check_beside(out, [picture])
    picture.write_bytes(b"somebody's")
    assert "would overwrite" in refused(lambda: check_beside(out, [tmp_path / "b.png", picture]))
    partial_of(out).mkdir()
    check_beside(out, [picture])  # of a run that was killed
    partial_of(out).rmdir()
    out.write_text("{}")
    check_beside(out, [picture])


def test_a_folder_without_hashes_of_contents_goes_by_what_it_had_and_one_with_them_by_them(tmp_path: Path) -> None:
    old, out = {"size": 64, "files_sha256": "names and sizes"}, tmp_path / "out"
    with writing(out, "photos", old, reads={"folder": "1"}):
        pass
    other_names = old | {"files_sha256": "others"}
    with claim(out, "photos", other_names, reads={"folder": "1"}) as state:
        assert state is State.DONE
    words = "the pictures it is made from are others than those that"
    with pytest.raises(InputError, match=words), claim(out, "photos", old, reads={"folder": "2"}):
        pass
    config = read_json(out / "config.json")
    del config["settings"]["content"]  # as an earlier version wrote it
    write_json(out / "config.json", config)
    with claim(out, "photos", old, reads={"folder": "2"}) as state:
        assert state is State.DONE
    words = r"other settings \(files_sha256\)"
    with pytest.raises(InputError, match=words), claim(out, "photos", other_names, reads={"folder": "2"}):
        pass


def test_a_partial_folder_without_any_work_in_it_is_begun_anew_by_other_settings(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(settings: dict[str, int], *, work: bool) -> None:
        with suppress(KeyboardInterrupt), claim(out, "photos", settings, reads={}):
            (partial_of(out) / "images").mkdir(exist_ok=True)
            if work:
                (partial_of(out) / "images/a.png").touch()
            raise KeyboardInterrupt

    stop({"size": 1}, work=False)
    stop({"size": 2}, work=True)
    assert "other settings (size)" in refused(lambda: stop({"size": 3}, work=False))


def test_a_lock_that_was_left_beside_what_is_done_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(out, "photos", {}, reads={}):
        pass
    lock = tmp_path / "out.lock"
    lock.write_text("process 1 on a machine\n")
    with claim(out, "photos", {}, reads={}) as state:
        assert state is State.DONE
    assert not lock.exists()


@pytest.mark.parametrize("name", ["a.partial", "a.lock"])
def test_names_of_what_is_not_whole_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not whole"):
        check_out(tmp_path / name)


def test_what_was_killed_as_it_wrote_its_settings_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    partial_of(out).mkdir()
    (partial_of(out) / "config.json.tmp123-0123abcd").write_text("{")
    with writing(out, "photos", {}, reads={}) as folder:
        assert folder is not None
        assert [path.name for path in folder.iterdir()] == ["config.json"]


@pytest.mark.parametrize("kind", ["link", "pipe", "file"])
def test_what_is_no_folder_in_place_of_the_partial_one_is_refused(tmp_path: Path, kind: str) -> None:
    partial, elsewhere = tmp_path / "out.partial", tmp_path / "elsewhere"
    elsewhere.mkdir()
    {"link": lambda: partial.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(partial), "file": partial.touch}[kind]()
    message = refused(lambda: writing(tmp_path / "out", "photos", {}, reads={}).__enter__())
    assert "out.partial is in the way" in message
    assert os.path.lexists(partial)
    assert not list(elsewhere.iterdir())
