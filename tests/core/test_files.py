from __future__ import annotations

from pathlib import Path

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl, read_tensors, write_bytes, write_json, write_tensors


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
