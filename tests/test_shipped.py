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
from e2gan.networks.folders import (
    ABOUT,
    ADAPTER,
    DISCRIMINATOR,
    MODEL,
    base_folder,
    shipped_adapters,
    shipped_bases,
)
from e2gan.networks.models import load_generator
from e2gan.teachers.filters.filters import FILTERS, apply, find
from e2gan.train.step import parameters
from tests.benchmarks import script

SAMPLES = ("golden", "infrared", "vintage", "winter", "cartoon", "sketch", "brush")


@pytest.mark.parametrize(
    ("name", "preset", "count", "megabytes"), [("full", "device", 7_055_619, 14.2), ("small", "small", 1_833_676, 3.8)]
)
def test_a_base_is_there_in_half_precision(name: str, preset: str, count: int, megabytes: float) -> None:
    folder = base_folder(Path(name))
    generator, settings = load_generator(folder)
    assert generator.config == replace(PRESETS[preset], text_width=512)
    assert parameters(generator) == count
    assert (folder / MODEL).stat().st_size < megabytes * 1e6
    assert not (folder / DISCRIMINATOR).exists()  # it was trained without
    assert (settings["size"], settings["text"]) == (256, "hashed")
    known = {f.prompt for f in FILTERS.values()}
    filters = set(settings["concepts"]) & known
    assert 16 <= len(filters) < len(known)
    assert all(prompt.startswith("in the style of ") for prompt in set(settings["concepts"]) - filters)
    card = (folder / "README.md").read_text("utf-8")
    assert "Research use" in card
    assert "where it fails" in card


@pytest.mark.parametrize("name", shipped_bases())
def test_what_is_held_out_for_ever_is_in_no_base(name: str) -> None:
    names = script("held_out").HELD_OUT
    held_out = {find(name).prompt for name in names if name in FILTERS}
    assert len(held_out) == 4
    held_out |= {f"in the style of {name.replace('_', ' ').title()}" for name in names if name not in FILTERS}
    assert not held_out & set(load_generator(base_folder(Path(name)))[1]["concepts"])


@pytest.mark.parametrize(("base", "prefix"), [("full", ""), ("small", "small-")])
def test_seven_adapters_of_a_base_ship_of_concepts_that_it_has_not_learned(base: str, prefix: str) -> None:
    found = shipped_adapters(base_folder(Path(base)))
    assert set(found) == {prefix + name for name in SAMPLES}
    assert all((path / ADAPTER).stat().st_size < 200_000 for path in found.values())
    learned = load_generator(base_folder(Path(base)))[1]["concepts"]
    assert all(read_json(path / ABOUT)["prompt"] not in learned for path in found.values())


def test_each_adapter_that_ships_is_of_a_base_that_does() -> None:
    assert len(shipped_adapters()) == len(SAMPLES) * len(shipped_bases())


@pytest.mark.parametrize("name", shipped_adapters())
def test_a_sample_edits_by_its_name(name: str, tmp_path: Path) -> None:
    photo = resize(next(iter(pictures_of_no_training().values())), (256, 384))
    write_png(tmp_path / "photo.png", photo)
    command = ["edit", "--adapter", name, str(tmp_path / "photo.png"), "--out", str(tmp_path / "out.png")]
    assert main([*command, "--side", "256"]) == 0
    edit = read_image(tmp_path / "out.png").astype(float)
    filter_name = name.removeprefix("small-")
    target = apply(FILTERS[filter_name], photo).astype(float)
    # Nearer to what the teacher makes of a photo that it never saw than the photo itself is; strokes lie elsewhere.
    assert np.abs(edit - target).mean() < (0.9 if filter_name == "brush" else 0.6) * np.abs(photo - target).mean()
