from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from e2gan import InputError, PairsConfig, PhotosConfig, make_pairs, prepare_photos
from e2gan.core import images
from e2gan.core.errors import MachineError
from e2gan.core.files import read_json, sha256
from e2gan.core.identity import hash_below
from e2gan.core.images import read_image, resize, write_png
from e2gan.core.machine import LEAST, machine_fault, need_space, raise_machine_fault
from e2gan.data.builtin_photos import builtin_pictures
from tests.data.tiny_disk import in_small_disk


def test_a_fault_of_the_machine_is_told_from_a_files_own() -> None:
    for number in (errno.ENOSPC, errno.EMFILE, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EFBIG):
        fault = machine_fault(OSError(number, os.strerror(number), "/photos/a.jpg"))
        assert fault is not None
        assert os.strerror(number) in str(fault)
        assert "/photos/a.jpg" in str(fault)
    for error in (OSError("truncated"), OSError(errno.ENOENT, "no such file"), ValueError("no image"), InputError("x")):
        assert machine_fault(error) is None
        raise_machine_fault(error)


def test_what_a_library_wraps_is_seen() -> None:
    wrapped = RuntimeError("cannot decode")
    wrapped.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(MachineError, match="No space left"):
        raise_machine_fault(wrapped)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i, (name, picture) in enumerate(builtin_pictures().items()):
        if i < 5:
            (tmp_path / "in").mkdir(exist_ok=True)
            write_png(tmp_path / "in" / f"{name}.png", resize(picture, (64, 64)))
    return tmp_path / "in"


def test_every_reader_of_a_file_tells_the_machine_from_the_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, text = next(photos.iterdir()), tmp_path / "a.json"
    text.write_text("{}")

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", full)
    for read in (
        lambda: read_image(photo),
        lambda: read_json(text),
        lambda: sha256(photo),
        lambda: hash_below(photos, [photo]),
    ):
        with pytest.raises(MachineError, match="Too many open files"):
            read()


def test_a_failing_disk_ends_photos_and_leaves_no_set_of_the_others(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = images.open_picture

    def failing(path: Path) -> Image.Image:
        if path.name.startswith(sorted(p.name for p in photos.iterdir())[3][:4]):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path)

    monkeypatch.setattr(images, "open_picture", failing)
    with pytest.raises(MachineError, match="Input/output error"):
        prepare_photos(PhotosConfig(folder=photos, out=tmp_path / "set", size=64))
    assert not (tmp_path / "set").exists()
    monkeypatch.setattr(images, "open_picture", opened)
    assert prepare_photos(PhotosConfig(folder=photos, out=tmp_path / "set", size=64)).train == 3


TEACHER = """
import sys, pathlib
from PIL import Image, ImageOps
for p in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    ImageOps.invert(Image.open(p).convert("RGB")).save(pathlib.Path(sys.argv[2]) / p.name)
"""


@pytest.mark.slow
def test_a_full_temporary_folder_is_no_photos_fault(photos: Path, tmp_path: Path) -> None:
    prepare_photos(PhotosConfig(folder=photos, out=tmp_path / "set", size=64))
    (tmp_path / "teach.py").write_text(TEACHER)
    out = tmp_path / "out"
    teacher = f"command:{sys.executable} {tmp_path / 'teach.py'}"
    arguments = [
        "pairs",
        "--photos",
        f"{tmp_path / 'set'}",
        "--concept",
        "negative",
        "--teacher",
        teacher,
        "--out",
        f"{out}",
    ]
    said, told = in_small_disk(tmp_path, arguments, "24k", environment=f"TMPDIR={tmp_path / 'disk'}")
    assert "status 2" in said, told
    assert told.strip().splitlines()[-1].startswith("e2gan: No space left on device")
    assert not out.exists()
    made = make_pairs(PairsConfig(photos=tmp_path / "set", concept="negative", teacher=(teacher,), out=out))
    assert made.train + made.val + made.test == 5


def test_a_full_disk_is_known_before_files_are_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_space(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=LEAST - 1))
    with pytest.raises(MachineError, match="No space left"):
        need_space(tmp_path)


def test_a_damaged_photo_is_only_that_photos_part(photos: Path, tmp_path: Path) -> None:
    (photos / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    with pytest.raises(InputError):
        read_image(photos / "damaged.png")
    result = prepare_photos(PhotosConfig(folder=photos, out=tmp_path / "set", size=64))
    assert [name for name, _ in result.skipped] == ["damaged.png"]
