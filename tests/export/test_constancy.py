"""Edits that are one colour but for a few pixels, and those that only have much of one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2gan import AdaptConfig, ExportConfig, TrainingConfig, adapt, export_model
from e2gan.core.images import Pixels, contrast, square
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.export.branches import functions_of
from e2gan.export.constancy import refuse_blank, refuse_constant, share_of_one_colour
from e2gan.export.export import compare_function
from e2gan.export.formats import FORMATS
from e2gan.networks.folders import shipped_bases
from e2gan.teachers.filters.filters import FILTERS
from tests.conftest import Project, refused
from tests.export.test_formats import ADDED, Eager


@pytest.fixture(scope="module")
def pictures() -> dict[str, Pixels]:
    return {name: square(picture, 128) for name, picture in builtin_pictures().items()}


def framed(photo: Pixels, border: int = 1) -> Pixels:
    """Black, but for the photo's border."""
    edit = photo.copy()
    edit[border:-border, border:-border] = 0
    return edit


def filtered(name: str) -> Callable[[Pixels], Pixels]:
    function = FILTERS[name].function
    return lambda photo: np.clip(np.rint(function(photo.astype(np.float32) / 255) * 255), 0, 255).astype(np.uint8)


def test_the_share_of_the_most_frequent_colour() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    assert share_of_one_colour(image) == 1
    image[0, :, 2] = 7
    assert share_of_one_colour(image) == pytest.approx(15 / 20)
    image[1] = [0, 7, 0]  # the sum of the channels alone would be the same
    assert share_of_one_colour(image) == pytest.approx(10 / 20)


def test_a_border_does_not_make_black_edits_pass(pictures: dict[str, Pixels]) -> None:
    edits = [(photo, framed(photo)) for photo in pictures.values()]
    assert min(contrast(edit) for _, edit in edits) > 2.5  # by which they would
    for photo, edit in edits:
        refuse_blank("one", photo[None], edit[None])
    assert refused(lambda: refuse_constant("the edits by dusk", edits)).startswith(
        "the edits by dusk are one colour but for a few pixels (96.9% of them are)"
    )
    mended = [(photo, edit if i % 3 else photo) for i, (photo, edit) in enumerate(edits)]
    assert "one colour" in refused(lambda: refuse_constant("the edits", mended))
    mended = [(photo, photo if i % 3 else edit) for i, (photo, edit) in enumerate(edits)]
    refuse_constant("the edits", mended)  # most of them show enough


@pytest.mark.parametrize("name", ["popart", "comic", "blueprint", "sketch", "charcoal", "halftone", "infrared"])
def test_filters_with_large_areas_pass(pictures: dict[str, Pixels], name: str) -> None:
    edit = filtered(name)
    refuse_constant("the edits", [(photo, edit(photo)) for photo in pictures.values()])


def test_a_night_sky_is_not_asked(pictures: dict[str, Pixels]) -> None:
    stars = pictures["hubble"]
    edit = filtered("popart")(stars)
    assert share_of_one_colour(edit) > 0.95
    refuse_constant("the edits", [(stars, edit)])


@pytest.fixture(scope="module")
def damaged(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An adapter of the small base whose weights are 300 times what they were: black, but for a few border pixels."""
    folder = tmp_path_factory.mktemp("damaged") / "adapter"
    training = TrainingConfig(steps=20, batch=1, precision="fp32")
    adapt(AdaptConfig(pairs=project.dusk, base=Path("small"), out=folder, training=training))
    tensors, texts = read_tensors(folder / "adapter_model.safetensors")
    write_tensors(folder / "adapter_model.safetensors", {n: 300 * t for n, t in tensors.items()}, texts)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [True, False])
def test_no_file_of_damaged_weights_is_written(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    """Of a format that runs here, which agrees with PyTorch, and of one that does not."""
    monkeypatch.setitem(FORMATS, "added", lambda: replace(ADDED, load=Eager if runs else None))
    config = ExportConfig(adapter=(damaged,), base=Path("small"), format="added", out=tmp_path / "o", size=64)
    said = refused(lambda: export_model(config))
    assert said.startswith("the edits are one colour but for a few pixels")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_function_of_damaged_weights_is_refused(damaged: Path) -> None:
    [function] = functions_of(shipped_bases()["small"], [damaged], 1.0)
    photos = dict(list(builtin_pictures().items())[:3])
    said = refused(lambda: compare_function(function, photos, 64, 1.0))
    assert said.startswith("the edits by adapter are one colour")
