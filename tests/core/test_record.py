from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_json
from e2gan.core.outputs import add_facts, growing, writing
from e2gan.core.record import against_record, record


def made(out: Path) -> Path:
    with writing(out, "photos", {"size": 64}, reads={}) as folder:
        assert folder is not None
        (folder / "images").mkdir()
        for name in ("images/a.png", "images/b.png", "photos.jsonl"):
            (folder / name).write_text(name)
        with writing(folder / "inside", "pairs", {}, reads={}) as inside:
            assert inside is not None
            (inside / "c.png").write_text("c")
    return out


def test_a_folder_is_as_it_was_written(tmp_path: Path) -> None:
    found = against_record(made(tmp_path / "out"))
    assert found.recorded
    assert sorted(found.same) == ["config.json", "images/a.png", "images/b.png", "photos.jsonl"]  # inside: its own
    assert not found.changed + found.missing + found.added
    assert against_record(tmp_path / "out/inside").same == ["c.png", "config.json"]


def test_what_was_changed_is_named(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    (out / "images/a.png").write_text("another")
    (out / "images/b.png").unlink()
    (out / "metrics.json").write_text("{}")
    found = against_record(out)
    assert (found.changed, found.missing, found.added) == (["images/a.png"], ["images/b.png"], ["metrics.json"])
    record(out)
    assert not against_record(out).changed + against_record(out).missing + against_record(out).added


def test_settings_that_were_changed_are_noticed(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    config = read_json(out / "config.json")
    config["settings"]["size"] = 128
    write_json(out / "config.json", config)
    assert against_record(out).changed == ["config.json"]
    add_facts(out, {"detail": "none"})
    record(out)
    assert not against_record(out).changed


def test_a_folder_that_grows_has_a_record_of_its_last_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with growing(tmp_path / "out", "crucial", {}, reads={}):
            (tmp_path / "out" / name).write_text(name)
        assert name in against_record(tmp_path / "out").same


def test_a_folder_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"stage": "photos", "settings": {}})
    (tmp_path / "x").write_text("x")
    found = against_record(tmp_path)
    assert not found.recorded
    assert not found.same + found.changed + found.missing + found.added
    with pytest.raises(InputError, match="is missing"):
        against_record(tmp_path / "nothing")
