from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from e2gan import InputError
from e2gan.app.library import Library, Search, about, without_paths
from e2gan.app.models import Trials
from e2gan.core.files import sha256
from tests.app.conftest import Shelf
from tests.conftest import Project, refused


def names(library: Library) -> list[str]:
    return [name for shelf in library.shelves.values() for name in shelf.effects]


def test_bases_and_adapters_are_found_wherever_they_lie_and_new_ones_appear(shelf: Shelf, tmp_path: Path) -> None:
    copy = shelf.copy(tmp_path / "own")
    search = Search(copy.folder, Trials())
    (found,) = search.look().shelves.values()
    assert (found.id, found.name, found.folder) == (sha256(copy.base / "model.safetensors")[:16], "base", copy.base)
    assert [*found.effects] == ["adapter", "second"]
    assert found.effects["adapter"].prompt == json.loads((copy.adapter / "e2gan.json").read_text())["prompt"]

    shutil.copytree(copy.second, copy.folder / "deep/er/still.partial")
    assert names(search.look()) == ["adapter", "second"]  # it is not whole yet
    (copy.folder / "deep/er/still.partial").rename(copy.folder / "deep/er/new")
    assert names(search.look()) == ["adapter", "second"]  # a copy is no other effect
    assert search.look().problems == ("deep/er/new: is the same effect as runs/second, which is shown",)
    (copy.folder / "deep/er/new/concept.safetensors").write_bytes((copy.adapter / "concept.safetensors").read_bytes())
    assert names(search.look()) == ["adapter", "new", "second"]
    shutil.rmtree(copy.second)
    assert names(search.look()) == ["adapter", "new"]


def test_two_of_one_name_are_told_apart_and_the_older_keeps_it(shelf: Shelf, tmp_path: Path) -> None:
    copy = shelf.copy(tmp_path / "own")
    other = shutil.copytree(copy.second, copy.folder / "a-later-run/adapter")
    os.utime(copy.adapter / "adapter_model.safetensors", (1e9, 1e9))
    shutil.rmtree(copy.second)
    (found,) = Search(copy.folder, Trials()).look().shelves.values()
    first, second = found.effects.values()
    assert (first.name, first.folder, second.folder) == ("adapter", copy.adapter, other)
    assert second.name.startswith("adapter ")


def test_files_are_read_again_only_where_they_changed(shelf: Shelf, tmp_path: Path) -> None:
    copy, tried = shelf.copy(tmp_path / "own"), list[Path]()
    search = Search(copy.folder, lambda _, adapter: tried.append(adapter))
    search.look()
    search.look()
    assert sorted(tried) == [copy.adapter, copy.second]
    os.utime(copy.second / "e2gan.json", (1e9, 1e9))
    search.look()
    assert tried[2:] == [copy.second]


def test_what_cannot_be_used_is_told_by_its_name_and_the_others_stay(shelf: Shelf, tmp_path: Path) -> None:
    copy = shelf.copy(tmp_path / "own")
    for name in ("damaged", "foreign", "homeless", "strange", "unsettled"):
        shutil.copytree(copy.second, copy.folder / name)
    weights = copy.folder / "damaged/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    (copy.folder / "foreign/e2gan.json").unlink()
    for name, more in (("homeless", {"base": "/home/her/base", "base_sha256": "0" * 64}), ("strange", {"detail": "x"})):
        file = copy.folder / name / "e2gan.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | more))
    (copy.folder / "unsettled/e2gan.json").write_text("{")
    shutil.copytree(copy.base, copy.folder / "broken-base")
    (copy.folder / "broken-base/config.json").write_text("{}")
    found = Search(copy.folder, Trials()).look()
    assert names(found) == ["adapter", "second"]
    told = {line.partition(":")[0]: line for line in found.problems}
    assert told.keys() == {"damaged", "foreign", "homeless", "strange", "unsettled", "broken-base"}
    assert "another program" in told["foreign"]
    assert told["homeless"] == "homeless: its base (base) is not here"
    assert not [line for line in found.problems if str(tmp_path) in line or "/home" in line or "\n" in line]


def test_an_adapter_that_does_not_fit_its_base_is_told(shelf: Shelf, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy = shelf.copy(tmp_path / "own")
    file = copy.second / "adapter_model.safetensors"
    tensors = load_file(file)
    first = next(iter(tensors))
    save_file(tensors | {first: tensors[first][:, :1]}, file)
    found = Search(copy.folder, Trials()).look()
    assert names(found) == ["adapter"]
    (line,) = found.problems
    assert line.startswith("second: ")


def test_samples_are_shown_where_there_is_no_adapter_or_when_asked(shelf: Shelf, tmp_path: Path) -> None:
    def trial(*_: Path) -> None:
        pass

    assert "winter" in names(Search(tmp_path, trial).look())
    assert Search(tmp_path, trial, samples=False).look().shelves == {}
    assert "winter" not in names(Search(shelf.folder, trial).look())
    both = Search(shelf.folder, trial, samples=True).look()
    assert {"winter", "adapter"} <= set(names(both))
    assert [base.name for base in both.shelves.values()] == ["base", "full", "small"]
    assert all("winter" in base.effects for base in both.shelves.values() if base.name != "base")


def test_two_bases_of_one_name_are_told_apart(shelf: Shelf, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy = shelf.copy(tmp_path / "own")
    other = shutil.copytree(copy.base, copy.folder / "x/base")
    file = other / "model.safetensors"
    save_file({name: value * 2 if value.ndim == 4 else value for name, value in load_file(file).items()}, file)
    mine = shutil.copytree(copy.second, copy.folder / "x/mine")
    about = json.loads((mine / "e2gan.json").read_text())
    (mine / "e2gan.json").write_text(json.dumps(about | {"base_sha256": sha256(file)}))
    first, second = Search(copy.folder, Trials()).look().shelves.values()
    assert (first.name, [*first.effects]) == ("base", ["adapter", "second"])
    assert (second.name, [*second.effects]) == (f"base {second.id[:6]}", ["mine"])


def test_of_many_that_are_broken_a_few_are_told(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i:02}").mkdir()
        (tmp_path / f"{i:02}/adapter_model.safetensors").write_bytes(b"")
    told = Search(tmp_path, Trials()).look().problems
    assert told[-1] == "10 more"
    assert len(told) == 21


def test_a_model_from_scratch_is_no_base_and_a_link_is_not_followed(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.model, tmp_path / "model")
    (tmp_path / "round").symlink_to(tmp_path)
    found = Search(tmp_path, Trials(), samples=False).look()
    assert (found.shelves, found.problems) == ({}, ())


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is no folder" in refused(lambda: Search(tmp_path / "file", Trials()))
    assert "does not exist" in refused(lambda: Search(tmp_path / "nothing", Trials()))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/home/me/x/y.json: is damaged", "y.json: is damaged"),
        (r"C:\Users\me\y.json is damaged", "y.json is damaged"),
        ("has 3/4 of it, and/or more", "has 3/4 of it, and/or more"),
        ("in '/a/b' and (/c/d)", "in 'b' and (d)"),
    ],
)
def test_no_path_of_the_disk_is_left(text: str, plain: str) -> None:
    assert without_paths(text) == plain


def test_a_line_about_a_folder_begins_with_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "dusk"
    line = about("dusk", InputError(f"{folder} does not fit {tmp_path / 'base'}: no\nlayer"), folder, tmp_path / "base")
    assert line == "dusk: dusk does not fit base: no layer"


def test_no_folder_is_left_of_a_path() -> None:
    for text in (r"C:\Users\Jane Doe\fx: bad", "/home/jane doe/secret/fx is bad", "see '/a b/c d/fx'"):
        told = without_paths(text)
        assert "fx" in told
        assert not any(part in told for part in ("Jane", "jane", "doe", "secret", "a b", "c d"))
    assert without_paths("20/40 and/or 1 / 2") == "20/40 and/or 1 / 2"
