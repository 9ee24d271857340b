from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl, read_tensors, write_bytes, write_json, write_tensors
from e2gan.core.outputs import State, claim, finish, partial_of, writing


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


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")  # pyright: ignore[reportArgumentType]
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_tensors_and_their_header_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).reshape(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}
    write_tensors(tmp_path / "t.safetensors", tensors, {"title": "é"})
    found, header = read_tensors(tmp_path / "t.safetensors")
    assert header == {"title": "é"}
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)


@pytest.mark.parametrize("content", [None, b"", b"\x80nonsense" * 40])
def test_unreadable_files_are_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    for read in (read_json, read_tensors):
        with pytest.raises(InputError, match="x ") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    if content:
        with pytest.raises(InputError):
            read_jsonl(path)
