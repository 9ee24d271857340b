"""Tables of samples that no video has are refused before memory is taken for them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.editing.video_headers import MOST_SAMPLES, check_boxes


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def track(handler: bytes, table: bytes) -> bytes:
    told = box(b"hdlr", bytes(8), handler, bytes(13))
    return box(b"trak", box(b"mdia", told, box(b"minf", box(b"stbl", table))))


def sizes(each: int, count: int) -> bytes:
    return box(b"stsz", struct.pack(">III", 0, each, count))


def checked(tmp_path: Path, *boxes: bytes) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(box(b"ftyp", b"isom") + b"".join(boxes))
    with path.open("rb") as file:
        check_boxes(file)


def test_as_many_frames_as_a_day_has_pass(tmp_path: Path) -> None:
    checked(tmp_path, box(b"moov", track(b"vide", sizes(0, MOST_SAMPLES))))
    checked(tmp_path, box(b"moov", track(b"soun", sizes(4, 20_000))), bytes(100_000))


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        (box(b"moov", track(b"vide", sizes(1, 2**32 - 1))), "claims 4,294,967,295 frames"),
        (box(b"moov", track(b"soun", sizes(1, 2**32 - 1))), "claims"),  # of which the file has no byte
        (box(b"moov", track(b"soun", sizes(0, 2**31))), "claims"),
        (box(b"moov", *[track(b"vide", sizes(0, MOST_SAMPLES // 2))] * 3), "claims 9,000,000"),
        (box(b"moof", box(b"traf", box(b"trun", struct.pack(">II", 0, 2**31)))), "claims"),
        (box(b"moov", box(b"cmov", bytes(16))), "compressed header"),
    ],
)
def test_more_are_refused(tmp_path: Path, boxes: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked(tmp_path, boxes)


def test_a_box_that_leads_nowhere_ends_the_walk(tmp_path: Path) -> None:
    checked(tmp_path, struct.pack(">I4s", 0, b"moov"))
    checked(tmp_path, struct.pack(">I4sQ", 1, b"moov", 2**63), bytes(64))
    checked(tmp_path, struct.pack(">I4s", 3, b"moov"), bytes(64))
    checked(tmp_path, struct.pack(">I4s", 2**31, b"moov"), track(b"vide", sizes(0, 5)))


def test_endless_boxes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2gan.editing.video_headers.MOST_BOXES", 1000)
    with pytest.raises(InputError, match="more than 1,000 boxes"):
        checked(tmp_path, box(b"moov", box(b"free") * 2000))


def test_other_files_pass(tmp_path: Path) -> None:
    for data in (b"", b"RIFF", b"\x1aE\xdf\xa3" + bytes(100), bytes(1000)):
        path = tmp_path / "other"
        path.write_bytes(data)
        with path.open("rb") as file:
            assert isinstance(file, io.BufferedReader)
            check_boxes(file)
