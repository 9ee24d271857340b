from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypedDict

import pytest

from e2gan.core.files import read_json, write_json
from e2gan.core.reruns import CONTENT, differences, earlier_file, in_words, ours, replaced_note, with_reads
from tests.conftest import refused


def test_settings_differ_by_their_names_also_within_a_group() -> None:
    old = {"size": 64, "training": {"lr": 1e-3, "batch": 2}}
    assert differences(old, old) == []
    assert differences(old, {"size": 64, "training": {"lr": 2e-3, "batch": 2}}) == ["training.lr"]
    assert differences(old, {"training": {"lr": 1e-3, "batch": 2}, "seed": 1}) == ["seed", "size"]


def test_a_setting_that_an_older_run_lacks_counts_as_what_it_was_then() -> None:
    assert differences({"training": {}}, {"training": {"perceptual": 0.0, "lr_d": None}}) == []
    assert differences({"training": {}}, {"training": {"perceptual": 5.0}}) == ["training.perceptual"]
    assert differences({"generator": {}}, {"generator": {"activation": "leaky"}}) == ["generator.activation"]


def test_runs_that_both_have_hashes_go_by_them_and_others_by_what_stood_for_the_files() -> None:
    def of(files: str, photos: str | None) -> Mapping[str, object]:
        return {"files_sha256": files} | ({} if photos is None else {CONTENT: {"photos": photos}})

    assert differences(of("names", "1"), of("other names", "1")) == []
    assert differences(of("names", "1"), of("names", "2")) == ["content.photos"]
    assert differences(of("names", None), of("names", "2")) == []
    assert differences(of("names", None), of("other names", "2")) == ["files_sha256"]


def test_what_differs_is_told_by_what_the_files_are_and_where_they_lie() -> None:
    settings = {"lr": 1e-3, "photos": "holiday", "base": ["a", "b"]}
    changed = ["lr", "content.photos", "content.base", "content.input"]
    told = "lr, the pictures of holiday, the files of a, b, the pictures it is made from"
    assert in_words(changed, settings) == told
    assert in_words(["content.photos", "photos"], settings) == "photos"  # other files of another name


def test_a_file_of_this_program_is_compared_and_any_other_is_refused(tmp_path: Path) -> None:
    out, now = tmp_path / "scores.json", with_reads({"metric": "l1"}, {"pairs": "1", "base": None})
    assert now == {"metric": "l1", CONTENT: {"pairs": "1"}}
    assert earlier_file(out, "evaluate", now) is None
    write_json(out, {"stage": "evaluate", "settings": now, "l1": 2.0})
    content, changed = earlier_file(out, "evaluate", with_reads({"metric": "ssim"}, {"pairs": "2"})) or ({}, [])
    assert content["l1"] == 2.0
    assert changed == ["content.pairs", "metric"]
    with pytest.raises(TypeError, match="with_reads"):
        earlier_file(out, "evaluate", {"metric": "l1"})
    for other in ({"stage": "nearest"}, [1, 2], {"weights": 3}):
        write_json(out, other)
        assert "was not written by e2gan evaluate" in refused(partial(ours, out, "evaluate"))
        assert read_json(out) == other
    assert "is a folder: --out needs a file" in refused(partial(ours, tmp_path, "evaluate"))


class Names(TypedDict):
    concepts: list[str]


class Numbers(TypedDict):
    concepts: list[int]


def test_a_file_of_an_earlier_version_which_did_not_name_its_stage_is_known_by_its_form(tmp_path: Path) -> None:
    out = tmp_path / "concepts.json"
    write_json(out, {"concepts": ["a"]})
    assert ours(out, "concepts", Names) == {"concepts": ["a"]}
    assert "was not written by e2gan concepts" in refused(lambda: ours(out, "concepts", Numbers))


def test_a_file_that_is_replaced_is_told_with_what_was_other() -> None:
    assert replaced_note("plan", ["size", "content.photos"]) == (
        "replaced an earlier plan (of other size, pictures or files (photos))"
    )
    assert replaced_note("plan", ["photos", "content.photos"]) == "replaced an earlier plan (of other photos)"
    assert replaced_note("plan", []) == "replaced an earlier plan (of other content)"
