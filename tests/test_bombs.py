"""Every reader of a file and every bomb: refused in one line or read, in little memory and time, and never waited for.

What reads each kind of file is in tiny_kinds.py, the bombs in tiny_bombs.py. All are tried in a process of its own,
under a limit of memory and of time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.core.images import MOST_BYTES, read_image, read_picture
from e2gan.core.originals import made_here
from tests.conftest import Project
from tests.limited import Limited
from tests.test_lying_files import copied
from tests.tiny_bombs import PICTURES, SETTINGS, TEXTS, THINGS, WEIGHTS
from tests.tiny_kinds import KINDS, TENSORS, build, edit_by_model, edit_one

HERE = "tests.test_bombs"
OF_A_PICTURE = 3_200 * 2**20  # bytes that reading one may take, as read_image says
LARGE = {"png_deep", "png_deep_alpha", "tiff_floats", "tiff_many_tiles"}  # good pictures of 196 million pixels


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    process = Limited(HERE, cwd=tmp_path_factory.mktemp("limited"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def home(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(project, tmp_path_factory.mktemp("bombs") / "good")


def harmless(found: dict[str, Any]) -> bool:
    one_line = "\n" not in found["said"] and len(found["said"]) < 1500
    return found["ended"] == "done" or (found["ended"] == "refused" and one_line)


# -- pictures ---------------------------------------------------------------------------------------------------------


def picture(path: str) -> str:
    """By each of its readers."""
    made_here(Path(path))
    read_image(Path(path))
    return str(read_picture(Path(path)).pixels.shape)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_takes_no_more_than_is_said(name: str, limited: Limited, tmp_path: Path) -> None:
    suffix, make = PICTURES[name]
    path = tmp_path / f"{name}.{suffix}"
    make(path)
    if name in LARGE:
        found = limited.run(f"{HERE}:picture", str(path), memory=OF_A_PICTURE, seconds=120)
        assert (found["ended"], found.get("value")) == ("done", "(14000, 14000, 3)"), found
    else:
        found = limited.run(f"{HERE}:picture", str(path), memory=400 * 2**20, seconds=20)
        assert harmless(found), found
        if found["ended"] == "refused":
            assert found["said"].startswith(f"{path}: ")


@pytest.mark.parametrize("name", THINGS)
def test_what_is_no_file_is_no_picture(name: str, limited: Limited, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    THINGS[name](path)
    found = limited.run(f"{HERE}:picture", str(path))
    assert found["ended"] == "refused", found
    assert found["said"].startswith(f"{path}: ")


def test_as_large_a_file_as_may_be_is_read(limited: Limited, tmp_path: Path) -> None:
    """A JPEG with zeros behind it, as some cameras pad theirs."""
    PICTURES["jpeg_zeros"][1](path := tmp_path / "padded.jpg")
    with path.open("r+b") as file:
        file.truncate(MOST_BYTES)
    found = limited.run(f"{HERE}:read_only", str(path), memory=MOST_BYTES + 400 * 2**20)  # it is mapped, not read
    assert found["ended"] == "done", found


def read_only(path: str) -> None:
    read_image(Path(path))


# -- a folder of photos -----------------------------------------------------------------------------------------------


def command(*arguments: str) -> int:
    from e2gan.cli import main

    return main(arguments)


def test_a_folder_with_bombs_in_it_is_prepared_without_them(limited: Limited, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(photos / f"good{i}.png")
    for name, make in THINGS.items():
        make(photos / f"{name}.png")
    for name in ("jpeg_zeros", "png_chunk", "tiff_frames", "png_vast", "tiff_sparse"):
        suffix, make = PICTURES[name]
        make(photos / f"{name}.{suffix}")
    out = tmp_path / "set"
    arguments = ("photos", str(photos), "--out", str(out), "--size", "64")
    found = limited.run(f"{HERE}:command", *arguments, seconds=60)
    assert (found["ended"], found.get("value")) == ("done", "0"), found
    assert len(list((out / "images").glob("*.png"))) == 5


# -- files of settings, sets and weights ------------------------------------------------------------------------------


def read_kind(group: str, name: str, root: str) -> None:
    kind = {"kinds": KINDS, "tensors": TENSORS}[group][name]
    with chdir(root):
        kind.read(Path())


def edit_each(root: str) -> None:
    """By the adapter on the base, and by the model."""
    with chdir(root):
        edit_one(Path())
        edit_by_model(Path())


def try_bombs(
    group: str, name: str, bombs: dict[str, Callable[[Path], None]], home: Path, work: Path, limited: Limited
) -> None:
    """Each of the bombs in the place of the kind's file, in a copy of all."""
    kind = {"kinds": KINDS, "tensors": TENSORS}[group][name]
    bad = {}
    for bomb, make in bombs.items():
        shutil.copytree(home, work / "home", copy_function=copied)
        file = next((work / "home").glob(kind.file))
        if group == "kinds" or bomb in THINGS:
            file.unlink()
        make(file)
        found = limited.run(f"{HERE}:read_kind", group, name, str(work / "home"))
        if not harmless(found):
            bad[bomb] = found
        shutil.rmtree(work / "home")
    assert not bad


def texts(file: str) -> dict[str, Callable[[Path], None]]:
    return {name: make for name, make in TEXTS.items() if (name == "dots") <= file.endswith(".toml")}


@pytest.mark.parametrize("name", KINDS)
def test_a_pipe_is_not_waited_for(name: str, home: Path, tmp_path: Path, limited: Limited) -> None:
    try_bombs("kinds", name, {"fifo": THINGS["fifo"]}, home, tmp_path, limited)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_file_or_too_large_is_told(name: str, home: Path, tmp_path: Path, limited: Limited) -> None:
    bombs = THINGS | texts(KINDS[name].file)
    if name in ("ranks, again", "step"):
        del bombs["loop"]  # a link to itself is no file: the search begins
    try_bombs("kinds", name, bombs, home, tmp_path, limited)


@pytest.mark.slow
@pytest.mark.parametrize("name", TENSORS)
def test_weights_are_judged_by_their_header(name: str, home: Path, tmp_path: Path, limited: Limited) -> None:
    try_bombs("tensors", name, THINGS | WEIGHTS, home, tmp_path, limited)


@pytest.mark.parametrize("bomb", WEIGHTS)
def test_a_base_is_judged_by_its_header(bomb: str, home: Path, tmp_path: Path, limited: Limited) -> None:
    try_bombs("tensors", "base", {bomb: WEIGHTS[bomb]}, home, tmp_path, limited)


@pytest.mark.parametrize(("file", "way", "value"), SETTINGS)
def test_settings_that_ask_for_all_memory_are_refused(
    file: str, way: tuple[str, ...], value: object, home: Path, tmp_path: Path, limited: Limited
) -> None:
    shutil.copytree(home, tmp_path / "home", copy_function=copied)
    path = tmp_path / "home" / file
    content = at = json.loads(path.read_text())
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = value
    path.unlink()
    path.write_text(json.dumps(content))
    found = limited.run(f"{HERE}:edit_each", str(tmp_path / "home"))
    assert found["ended"] == "refused", found


# -- settings that are typed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["--width 4096 --blocks 256", "--size 8192 --width 64"])
def test_a_generator_larger_than_the_memory_is_refused(arguments: str, limited: Limited) -> None:
    found = limited.run(f"{HERE}:command", "cost", *arguments.split(), seconds=60)
    assert (found["ended"], found.get("value")) == ("done", "2"), found


# -- long panoramas ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(60_000, 95), (95, 60_000)])
def test_a_panorama_is_edited_in_tiles(size: tuple[int, int], home: Path, tmp_path: Path, limited: Limited) -> None:
    ramp = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
    Image.fromarray(ramp).save(tmp_path / "long.png")
    where = ("--base", str(home / "base"), "--adapter", str(home / "adapter"))
    arguments = ("edit", str(tmp_path / "long.png"), "--out", str(tmp_path / "out.png"), *where)
    found = limited.run(f"{HERE}:command", *arguments, seconds=120, memory=1000 * 2**20)
    assert (found["ended"], found.get("value")) == ("done", "0"), found
    with Image.open(tmp_path / "out.png") as edited:
        assert edited.size == size


def test_what_a_format_cannot_hold_is_told_before_the_work(home: Path, tmp_path: Path, limited: Limited) -> None:
    Image.new("RGB", (70_000, 95)).save(tmp_path / "long.png")
    where = ("--base", str(home / "base"), "--adapter", str(home / "adapter"))
    arguments = ("edit", str(tmp_path / "long.png"), "--out", str(tmp_path / "out.jpg"), *where)
    found = limited.run(f"{HERE}:command", *arguments, seconds=10)
    assert (found["ended"], found.get("value")) == ("done", "2"), found
