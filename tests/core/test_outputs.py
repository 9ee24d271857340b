from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.outputs import State, check_beside, claim, finish, partial_of, writing
from tests.conftest import refused


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(out, "photos", {"size": 64}) as partial:
        assert partial is not None
        (partial / "a").write_text("a")
        assert not out.exists()
    assert (out / "a").read_text() == "a"
    assert read_json(out / "config.json")["settings"] == {"size": 64}
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), writing(tmp_path / "out", "photos", {}):
        raise OSError("disk")
    assert not list(tmp_path.iterdir())


def test_the_same_settings_are_done_and_others_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(out, "photos", {"size": 64, "out": out}):
        pass
    with writing(out, "photos", {"size": 64, "out": "spelled otherwise"}) as partial:
        assert partial is None
    with pytest.raises(InputError, match="size"):
        claim(out, "photos", {"size": 128})
    with pytest.raises(InputError, match="'photos', not of 'pairs'"):
        claim(out, "pairs", {"size": 64})


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "thesis.txt").write_text("mine")
    for name, words in (("file", "is a file"), ("folder", "something else"), ("new", "did not write")):
        with pytest.raises(InputError, match=words):
            claim(tmp_path / name, "photos", {})
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "new.partial" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert claim(out, "base", {"lr": 1}) is State.FRESH
    (partial_of(out) / "half").write_text("x")
    assert claim(out, "base", {"lr": 1}) is State.RESUME
    assert (partial_of(out) / "half").exists()
    with pytest.raises(InputError, match="lr"):
        claim(out, "base", {"lr": 2})
    finish(out)
    assert claim(out, "base", {"lr": 1}) is State.DONE


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
