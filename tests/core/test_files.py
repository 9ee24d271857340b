from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from e2gan.core import files
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl, read_toml, write_bytes, write_json, write_jsonl
from e2gan.core.tensors import read_tensors
from tests.conftest import refused


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")  # pyright: ignore[reportArgumentType]
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [None, b"", b"\x80nonsense" * 40])
def test_unreadable_files_are_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    for read in (read_json, read_tensors):
        with pytest.raises(InputError, match=r"x[: ]") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    if content:
        with pytest.raises(InputError):
            read_jsonl(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "[" * 80 + "]" * 80,
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e400}',
        f'{{"a": {"9" * 5000}}}',
        f'{{"a": {2**64}}}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
    ],
)
def test_json_that_no_reader_can_use_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "a.jsonl").write_text(f'{{"b": 1}}\n{text}\n')
    assert "a.json" in refused(lambda: read_json(tmp_path / "a.json"))
    assert "line 2" in refused(lambda: read_jsonl(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a = " + "9" * 30, 'a = "\\u0000"', "a = 1\na = 2"]
)
def test_toml_that_no_reader_can_use_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    assert "a.toml" in refused(lambda: read_toml(tmp_path / "a.toml"))


def test_a_text_with_a_line_separator_comes_back_in_json_lines(tmp_path: Path) -> None:
    rows = [{"source": "a\u2028b\u0085c"}, {"source": "d"}]
    write_jsonl(tmp_path / "a.jsonl", rows)
    assert read_jsonl(tmp_path / "a.jsonl") == rows


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    assert "no file" in refused(lambda: read_json(tmp_path))


def test_what_a_killed_process_left_beside_a_file_is_cleared_but_not_what_is_being_written(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from e2gan.core import files\n"
        "files.os.fsync = lambda _: os._exit(0)\nfiles.write_bytes(Path(sys.argv[1]), b'half')"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a[1].png"], check=True)
    subprocess.run([sys.executable, "-c", code, tmp_path / "b.png"], check=True)
    held = tmp_path / f"a[1].png{files.BESIDE}12-0123abcd"
    mine = tmp_path / f"a[1].png{files.BESIDE}-of-mine"
    mine.touch()
    with held.open("wb") as file:
        assert files._hold(file)
        assert len(list(tmp_path.iterdir())) == 4
        files.clear_beside(tmp_path / "a[1].png")
        assert {path.name[:5] for path in tmp_path.iterdir()} == {"a[1].", "b.png"}
        assert held.exists()
        assert mine.exists()
    files.clear_beside(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]
