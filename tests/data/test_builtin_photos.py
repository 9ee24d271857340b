"""The built-in photographs: there without a network, and honest about which of them are for the test."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.images import square
from e2gan.data import builtin_photos as builtin
from e2gan.data.photos import PhotoSet


def test_the_pictures_come_from_the_disk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    pictures = builtin.builtin_pictures()
    assert {"astronaut", "chelsea", "china", "coffee", "flower", "motorcycle", "rocket"} <= set(pictures)
    for picture in pictures.values():
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert 300 <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= 1000
        assert picture.std(axis=-1).mean() > 1  # in colour
    assert set(builtin.test_pictures()) == {"china", "chelsea"}


def test_demo_photos_keep_the_test_pictures_apart(tmp_path: Path) -> None:
    result = builtin.demo_photo_set(tmp_path / "set", 64, 0, 60)
    assert (result.train, result.val, result.test) == (60, 6, 6)
    photos = PhotoSet.load(tmp_path / "set")
    assert photos.size == 64
    sources = {split: {photo.source for photo in photos.split(split)} for split in ("train", "val", "test")}
    assert sources["test"] == set(builtin.test_pictures())
    assert not sources["test"] & (sources["train"] | sources["val"])
    assert len(sources["train"]) >= 5
    stack = photos.array()
    assert len({image.tobytes() for image in stack}) == len(stack)
    assert stack.reshape(len(stack), -1).std(1).min() > 5


def test_the_first_test_photos_are_whole_pictures(tmp_path: Path) -> None:
    builtin.demo_photo_set(tmp_path / "set", 64, 0, 20)
    photos = PhotoSet.load(tmp_path / "set")
    pictures = builtin.test_pictures()
    assert [photo.source for photo in photos.split("test")] == ["china", "chelsea"]
    for photo in photos.split("test"):
        assert np.array_equal(photos.array([photo.id])[0], square(pictures[photo.source], 64))


def test_the_seed_decides_the_crops(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        builtin.demo_photo_set(tmp_path / name, 32, seed, 12)
    ids = {name: [photo.id for photo in PhotoSet.load(tmp_path / name).photos] for name in "abc"}
    assert ids["a"] == ids["b"]
    assert not set(ids["a"][:12]) & set(ids["c"][:12])
    assert builtin.demo_photo_set(tmp_path / "a", 32, 0, 12).already_done
    with pytest.raises(InputError, match="other settings"):
        builtin.demo_photo_set(tmp_path / "a", 32, 5, 12)
    assert read_json(tmp_path / "a/config.json")["settings"]["crops"] == 12


def test_sizes_beyond_the_pictures_still_work(tmp_path: Path) -> None:
    builtin.demo_photo_set(tmp_path / "set", 512, 0, 3)
    assert PhotoSet.load(tmp_path / "set").array().shape == (3 + 2 + 2, 512, 512, 3)
