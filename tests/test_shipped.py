"""The base and the sample adapters that ship with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.config import PRESETS
from e2gan.core.files import read_json
from e2gan.core.images import read_image, resize, write_png
from e2gan.data.builtin_photos import test_pictures as pictures_of_no_training
from e2gan.networks.folders import ABOUT, DISCRIMINATOR, MODEL, base_folder, shipped_adapters, shipped_bases
from e2gan.networks.models import load_discriminator, load_generator
from e2gan.teachers.filters.filters import FILTERS, apply, find
from e2gan.train.step import parameters


def test_the_base_is_there_in_half_precision() -> None:
    folder = base_folder(None)
    generator, settings = load_generator(folder)
    assert parameters(generator) == 7_055_619
    assert (folder / MODEL).stat().st_size < 14.2e6
    assert parameters(load_discriminator(folder)) == 2_767_809
    assert (folder / DISCRIMINATOR).stat().st_size < 5.6e6
    assert settings["text"] == "hashed"
    known = {f.prompt for f in FILTERS.values()}
    filters = set(settings["concepts"]) & known
    assert 16 <= len(filters) < len(known)
    assert all(prompt.startswith("in the style of ") for prompt in set(settings["concepts"]) - filters)
    card = (folder / "README.md").read_text("utf-8")
    assert "Research use" in card
    assert "where it fails" in card


def test_the_small_base_is_there_without_a_discriminator() -> None:
    folder = base_folder(Path("small"))
    generator, settings = load_generator(folder)
    assert generator.config == replace(PRESETS["small"], text_width=512)
    assert parameters(generator) == 1_833_676
    assert (folder / MODEL).stat().st_size < 3.8e6
    assert not (folder / DISCRIMINATOR).exists()
    assert settings["size"] == 256
    assert "Research use" in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", shipped_bases())
def test_what_is_held_out_for_ever_is_in_no_base(name: str) -> None:
    held_out = {find(name).prompt for name in ("sepia", "dusk", "crayon", "lowpoly")}
    held_out |= {"in the style of La Muse", "in the style of Rain Princess"}
    assert not held_out & set(load_generator(base_folder(Path(name)))[1]["concepts"])


def test_five_small_adapters_ship_of_concepts_that_the_base_has_not_learned() -> None:
    found = shipped_adapters()
    assert len(found) == 5
    size = sum(file.stat().st_size for folder in found.values() for file in folder.iterdir())
    assert size < 1_000_000
    learned = load_generator(base_folder(None))[1]["concepts"]
    assert all(read_json(folder / ABOUT)["prompt"] not in learned for folder in found.values())


@pytest.mark.parametrize("name", shipped_adapters())
def test_a_sample_edits_by_its_name(name: str, tmp_path: Path) -> None:
    photo = resize(next(iter(pictures_of_no_training().values())), (128, 192))
    write_png(tmp_path / "photo.png", photo)
    command = ["edit", "--adapter", name, str(tmp_path / "photo.png"), "--out", str(tmp_path / "out.png")]
    assert main([*command, "--side", "128"]) == 0
    edit = read_image(tmp_path / "out.png").astype(float)
    target = apply(FILTERS[name], photo).astype(float)
    # Nearer to what the teacher makes of a photo that it never saw than the photo itself is.
    assert np.abs(edit - target).mean() < 0.8 * np.abs(photo - target).mean()
