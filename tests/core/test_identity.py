from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.identity import files_below, hash_below, hash_files, hash_of_named


def test_the_hash_is_of_names_bytes_and_order_and_of_nothing_else(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    first = hash_files([("a", a), ("b", b)])
    os.utime(a, (1, 1))
    assert hash_files([("a", a), ("b", b)]) == first
    assert hash_files([("b", b), ("a", a)]) != first
    assert hash_files([("a", b), ("b", a)]) != first
    assert hash_files([("a", a)]) != first
    state = a.stat()
    a.write_bytes(b"3")
    os.utime(a, ns=(state.st_atime_ns, state.st_mtime_ns))  # of equal name, size and time
    assert hash_files([("a", a), ("b", b)]) != first


def test_a_file_that_cannot_be_read_is_refused_or_counts_as_such(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    files = [tmp_path / "link", tmp_path / "pipe"]
    with pytest.raises(InputError, match="link"):
        hash_files([("link", files[0])])
    before = hash_below(tmp_path, files)
    (tmp_path / "gone").write_bytes(b"there")
    assert hash_below(tmp_path, files) != before


def test_a_named_network_is_its_files_where_it_lies_here(tmp_path: Path) -> None:
    assert hash_of_named(None) is None
    assert hash_of_named("openai/clip-vit-base-patch32") is None
    assert hash_of_named("x" * 5000) is None
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"1")
    first = hash_of_named(str(tmp_path / "clip"))
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"2")
    assert first != hash_of_named(str(tmp_path / "clip"))
    assert hash_of_named(str(tmp_path / "clip" / "model.safetensors"))


def test_a_network_below_a_cache_is_its_files_too(tmp_path: Path) -> None:
    model = tmp_path / ".cache" / "model"
    (model / ".cache").mkdir(parents=True)
    (model / "weights").write_bytes(b"1")
    first = hash_of_named(str(model))
    (model / ".cache" / "lock").write_bytes(b"of the hub's own")
    assert hash_of_named(str(model)) == first
    (model / "weights").write_bytes(b"2")
    assert hash_of_named(str(model)) != first


def test_folders_behind_links_belong_to_a_named_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    named = tmp_path / "named"
    named.mkdir()
    (named / "link").symlink_to(tmp_path / "one")
    (named / "loop").symlink_to(named)
    first = hash_of_named(str(named))
    (named / "link").unlink()
    (named / "link").symlink_to(tmp_path / "two")
    assert hash_of_named(str(named)) != first
    assert files_below(named) == [named / "link" / "weights"]


def test_a_thousand_photos_cost_little(tmp_path: Path) -> None:
    """What a stage loses on 1,000 pairs of 256 pixels: 2,000 files of about 100 kB."""
    data = os.urandom(100_000)
    files = [tmp_path / f"{i}.png" for i in range(2000)]
    for file in files:
        file.write_bytes(data)
    start = time.process_time()
    hash_below(tmp_path, files)
    assert time.process_time() - start < 1.5  # 0.3 s on an idle core of 2024
