from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.outputs import State, claim, finish, partial_of, writing


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
    with pytest.raises(InputError, match="size"):
        claim(out, "photos", {"size": 128}, reads={})
    with pytest.raises(InputError, match="'photos', not of 'pairs'"):
        claim(out, "pairs", {"size": 64}, reads={})


def test_what_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "thesis.txt").write_text("mine")
    for name, words in (("file", "is a file"), ("folder", "something else"), ("new", "did not write")):
        with pytest.raises(InputError, match=words):
            claim(tmp_path / name, "photos", {}, reads={})
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "new.partial" / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert claim(out, "base", {"lr": 1}, reads={}) is State.FRESH
    (partial_of(out) / "half").write_text("x")
    assert claim(out, "base", {"lr": 1}, reads={}) is State.RESUME
    assert (partial_of(out) / "half").exists()
    with pytest.raises(InputError, match="lr"):
        claim(out, "base", {"lr": 2}, reads={})
    finish(out)
    assert claim(out, "base", {"lr": 1}, reads={}) is State.DONE
