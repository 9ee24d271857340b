from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan import EditConfig, InputError, Model, Predictor, edit
from e2gan.app.library import Library, Search
from e2gan.app.models import MOST_LOADED, Choice, GoneError, Models, StoppedError, Trials
from e2gan.networks.generator import WHOLE
from tests.app.conftest import Shelf
from tests.conftest import refused
from tests.editing.tiny_model import noise

PHOTO = noise(64, 96)


@pytest.fixture(scope="module")
def library(shelf: Shelf) -> Library:
    return Search(shelf.folder, Trials()).look()


def chosen(library: Library, *names: str, weights: tuple[float, ...] = (1.0,)) -> Choice:
    return Choice.of(library, next(iter(library.shelves)), names, weights)


def test_edits_are_those_of_the_fastest_runtime(library: Library, shelf: Shelf) -> None:
    models = Models("cpu")
    for names, adapters, weights in (
        (("adapter",), (shelf.adapter,), (1.0,)),
        (("second", "adapter"), (shelf.second, shelf.adapter), (0.3, 0.7)),
    ):
        model = Model.load(base=shelf.base, adapter=adapters, weights=weights)
        wanted = Predictor(model, "cpu", "auto").batch(PHOTO[None])[0]
        assert np.array_equal(models.network(chosen(library, *names, weights=weights), PHOTO, WHOLE), wanted)


def test_a_file_is_what_the_command_writes(library: Library, shelf: Shelf, tmp_path: Path) -> None:
    photo, out = tmp_path / "photo", tmp_path / "out.jpg"
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.fromarray(PHOTO).save(photo, "JPEG", exif=exif)
    edit(EditConfig(input=(photo,), out=out, base=shelf.base, adapter=(shelf.adapter,), strength=0.7))
    made = Models("cpu").file(chosen(library, "adapter"), 0.7, photo, ".jpg", 10**6)
    assert made.data == out.read_bytes()
    assert "more than the" in refused(lambda: Models("cpu").file(chosen(library, "adapter"), 0.7, photo, ".jpg", 1000))


def test_a_network_is_loaded_once_and_the_last_few_are_kept(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[object] = []
    load: Callable[..., Model] = Model.load
    monkeypatch.setattr(Model, "load", lambda **how: (loads.append(how), load(**how))[1])
    models = Models("cpu")
    first, second = chosen(library, "adapter"), chosen(library, "second")
    for choice in (first, second, first, second):
        models.get(choice)
    assert len(loads) == 2
    for i in range(MOST_LOADED):
        models.get(chosen(library, "adapter", "second", weights=(i / 10, 1 - i / 10)))
    models.get(first)
    assert len(loads) == 2 + MOST_LOADED + 1


def test_what_is_not_there_and_weights_that_are_none_are_refused(library: Library) -> None:
    base = next(iter(library.shelves))
    for bad in (("0", ["adapter"], [1.0]), (base, ["nothing"], [1.0])):
        with pytest.raises(GoneError):
            Choice.of(library, *bad)
    two = ["adapter", "second"]
    for names, weights in (
        ([], []),
        (["adapter"], []),
        (["adapter"], [0.5]),
        (["adapter"], [float("nan")]),
        (two, [2.0, -1.0]),
        (two, [1.0]),
        (["adapter", "adapter"], [0.5, 0.5]),
    ):
        assert refused(lambda names=names, weights=weights: Choice.of(library, base, names, weights))


def test_at_the_end_an_edit_is_left_in_the_midst(library: Library) -> None:
    stopped = False
    models = Models("cpu", lambda: stopped)
    models.network(chosen(library, "adapter"), PHOTO, WHOLE)
    stopped = True
    with pytest.raises(StoppedError):
        models.network(chosen(library, "adapter"), PHOTO, WHOLE)


def test_an_adapter_that_does_not_work_on_a_base_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    trial = Trials()
    trial(shelf.base, shelf.adapter)
    copy = shelf.copy(tmp_path / "own")
    (copy.adapter / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError):
        trial(copy.base, copy.adapter)
