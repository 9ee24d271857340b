from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from e2gan import Model, Predictor
from e2gan.app.exports import Exports
from e2gan.app.library import Search, Shelf
from e2gan.app.models import Trials
from e2gan.app.work import Worker
from e2gan.export.effects_model import EffectsModel
from tests.app.app_tools import ask
from tests.app.conftest import Shelf as Folder
from tests.editing.tiny_model import noise

pytestmark = pytest.mark.slow
pytest.importorskip("onnxscript", reason="onnxscript is missing: pip install 'e2gan[export]'")


@dataclass(frozen=True)
class Place:
    """A folder of its own, and what is written for it."""

    folder: Folder
    search: Search
    exports: Exports

    def shelf(self) -> Shelf:
        (found,) = self.search.look().shelves.values()
        return found

    def ready(self) -> Path:
        """effects.json, once it is that of the folder as it is now."""
        shelf = self.shelf()
        self.exports.want(shelf)
        self.exports.worker.submit(lambda: None).result(300)  # after it
        found = self.exports.manifest(shelf.id)
        assert found is not None, self.exports.problems([shelf])
        return found


@pytest.fixture(scope="module")
def place(shelf: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("exports")
    worker = Worker("exports", 4)
    (root / "bases").mkdir()
    copy = shelf.copy(root / "own")
    yield Place(copy, Search(copy.folder, Trials()), Exports(root / "bases", worker))
    worker.stop(60)


def names(manifest: Path) -> list[str]:
    return [entry["name"] for entry in json.loads(manifest.read_text())["effects"]]


def test_effects_are_written_once_and_new_ones_leave_the_base_as_it_is(place: Place) -> None:
    shelf = place.shelf()
    assert place.exports.state(shelf) == "possible"
    later = place.folder.second.rename(place.folder.second.with_name("second.partial"))
    manifest = place.ready()
    assert names(manifest) == ["adapter"]
    assert place.exports.state(shelf) == "ready"
    base, first = manifest.with_name("base.onnx"), json.loads(manifest.read_text())["effects"][0]
    written = base.stat().st_mtime_ns
    made = place.exports.made(shelf.id)

    later.rename(place.folder.second)
    manifest = place.ready()
    assert names(manifest) == ["adapter", "second"]
    assert base.stat().st_mtime_ns == written
    assert place.exports.made(shelf.id) != made
    assert (manifest.parent / first["file"]).is_file()  # a page that has the manifest before finds its files
    assert (manifest.parent / first["prompt_file"]).is_file()

    run, photo = EffectsModel(manifest), noise(32, 48)[None]
    for name, adapter in (("adapter", place.folder.adapter), ("second", place.folder.second)):
        run.set(name)
        wanted = Predictor(Model.load(base=place.folder.base, adapter=adapter), "cpu").batch(photo)
        assert np.abs(run(photo).astype(int) - wanted).mean() < 1


def test_an_effect_that_cannot_be_exported_is_told_and_the_others_go_on(place: Place) -> None:
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(place.folder.second, place.folder.folder / "broken")
    file = broken / "adapter_model.safetensors"
    # Finite, and larger than the half precision that browsers get.
    save_file({name: value.float() * 1e7 for name, value in load_file(file).items()}, file)
    manifest = place.ready()
    assert names(manifest) == ["adapter", "second"]
    (line,) = place.exports.problems([place.shelf()])
    assert line.startswith("broken: ")
    assert str(place.folder.folder) not in line
    shutil.rmtree(broken)
    assert place.exports.problems([place.shelf()]) == []


def test_a_browser_asks_for_the_files_of_a_base_and_waits_for_them(address: str) -> None:
    base = ask(address, "/api/library").json["bases"][0]["id"]
    assert ask(address, f"/bases/{base}/base.onnx").status == 503
    end = time.monotonic() + 300
    while (answer := ask(address, f"/bases/{base}/effects.json")).status == 503:
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() < end
        time.sleep(0.5)
    manifest = answer.json
    assert [entry["name"] for entry in manifest["effects"]] == ["adapter", "second"]
    for entry in (manifest["base"], *manifest["effects"]):
        assert len(ask(address, f"/bases/{base}/{entry['file']}").body) == entry["bytes"]
    (found,) = ask(address, "/api/library").json["bases"]
    assert found["browser"] == "ready"
    for path in ("untried.json", "base.md", "../x", "effects", "effects/", "effects/nothing.safetensors"):
        assert ask(address, f"/bases/{base}/{path}").status == 404
