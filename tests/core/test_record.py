from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_json
from e2gan.core.outputs import claim_in_place, growing, writing
from e2gan.core.record import add_facts, against_record, as_recorded, record


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
    of_its_own = ["config.json", "images/a.png", "images/b.png", "photos.jsonl"]
    assert sorted(found.same) == sorted([*of_its_own, "inside/config.json"])  # which has the record of what is inside
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


def test_every_byte_of_the_settings_counts(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    whole = (out / "config.json").read_bytes()
    taken = []
    for at, byte in enumerate(whole):
        other = ord("\t") if byte == ord(" ") else byte ^ 1
        (out / "config.json").write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
        try:
            found = against_record(out)
        except InputError:
            continue
        if not found.unfinished and not found.changed + found.missing:
            taken.append(at)
    assert not taken
    (out / "config.json").write_bytes(whole)
    assert not against_record(out).changed + against_record(out).missing


def test_a_record_that_is_still_to_come_is_no_earlier_versions(tmp_path: Path) -> None:
    with claim_in_place(tmp_path / "out", "crucial", {}, reads={}):
        assert against_record(tmp_path / "out").unfinished
    assert not against_record(tmp_path / "out").unfinished


def test_folders_inside_are_in_the_outer_record(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    (out / "inside/score.json").write_text("1")
    assert against_record(out).added == ["inside/score.json"]
    record(out)
    assert "inside/score.json" in against_record(out).same
    assert against_record(out / "inside").added == ["score.json"]
    (out / "inside/score.json").write_text("2")
    assert against_record(out).changed == ["inside/score.json"]
    assert not as_recorded(out / "inside/score.json", out)
    (out / "inside/config.json").unlink()
    assert against_record(out).missing == ["inside/config.json"]
    assert against_record(out).added == ["inside/c.png"]
    shutil.rmtree(out / "inside")
    assert against_record(out).missing == ["inside/config.json", "inside/score.json"]


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    (out / "images/a.png").unlink()
    os.mkfifo(out / "images/a.png")
    os.mkfifo(out / "more")
    assert against_record(out).changed == ["images/a.png"]
    assert against_record(out).added == ["more"]
    record(out)
    assert "images/a.png" not in against_record(out).same


def test_a_text_that_is_larger_than_any_of_ours_is_not_read_through(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    (out / "facts.json").write_text("{}")
    record(out)
    os.truncate(out / "facts.json", 2**40)
    assert against_record(out).changed == ["facts.json"]


def test_a_record_of_an_earlier_version_holds(tmp_path: Path) -> None:
    """Its files alone, none of the folders inside, and no number."""
    config = {"stage": "photos", "settings": {"size": 64}}
    own = hashlib.sha256(json.dumps(config, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    files = {"config.json": own, "a": hashlib.sha256(b"a").hexdigest()}
    write_json(tmp_path / "config.json", config | {"files": files})
    (tmp_path / "a").write_text("a")
    (tmp_path / "inside").mkdir()
    write_json(tmp_path / "inside/config.json", config)
    found = against_record(tmp_path)
    assert (sorted(found.same), found.changed, found.missing, found.added) == (["a", "config.json"], [], [], [])
    assert found.recorded
    assert not found.knows_inner
    config["settings"]["size"] = 65
    write_json(tmp_path / "config.json", config | {"files": files})
    assert against_record(tmp_path).changed == ["config.json"]
    write_json(tmp_path / "config.json", config | {"filez": files})
    assert against_record(tmp_path).unfinished


def test_a_folder_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"stage": "photos", "settings": {}})
    (tmp_path / "x").write_text("x")
    found = against_record(tmp_path)
    assert not found.recorded
    assert not found.same + found.changed + found.missing + found.added
    with pytest.raises(InputError, match="is missing"):
        against_record(tmp_path / "nothing")


@pytest.mark.parametrize("version", ["now", "before"])
def test_a_fact_that_comes_later_leaves_the_record_whole_and_a_change_noticed(version: str, tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    if version == "before":  # its own hash was of the parsed settings
        config = {name: value for name, value in read_json(out / "config.json").items() if name != "record_format"}
        files = config.pop("files")
        text = json.dumps(config, sort_keys=True, ensure_ascii=False)
        own = {"config.json": hashlib.sha256(text.encode()).hexdigest()}
        write_json(out / "config.json", config | {"files": files | own})
    add_facts(out, {"sided": True})
    assert read_json(out / "config.json")["sided"] is True
    assert not against_record(out).changed
    config = read_json(out / "config.json")
    config["settings"]["size"] = 65
    write_json(out / "config.json", config)
    assert against_record(out).changed == ["config.json"]
    add_facts(out, {"more": 1})
    assert against_record(out).changed == ["config.json"]
