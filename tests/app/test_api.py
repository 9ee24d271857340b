from __future__ import annotations

import io
import json
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan import AppConfig, EditConfig, Model, Predictor, edit
from tests.app.app_tools import Answer, ask
from tests.app.conftest import Shelf
from tests.editing.tiny_model import noise

PHOTO = noise(64, 96)


def as_file(pixels: Any = PHOTO, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


@pytest.fixture(scope="module")
def base(address: str) -> str:
    return ask(address, "/api/library").json["bases"][0]["id"]


def edited(address: str, base: str, body: Any, *more: tuple[str, object], **how: Any) -> Answer:
    query = [("base", base), ("effect", "adapter"), ("weight", 1), *more]
    return ask(address, "/api/edit", method="POST", body=body, query=query, **how)


def network(address: str, of: str, body: bytes, **settings: object) -> Answer:
    query = {"base": of, "effect": "adapter", "weight": 1, "width": 96, "height": 64} | settings
    return ask(address, "/api/network", method="POST", body=body, query=query.items())


def test_the_library_tells_bases_and_effects_by_name_alone(address: str, shelf: Shelf) -> None:
    answer = ask(address, "/api/library")
    (found,) = answer.json["bases"]
    assert (found["name"], found["size"]) == ("base", 32)
    assert found["browser"] in ("possible", "preparing", "ready")  # another test may have asked for it
    assert [effect["name"] for effect in found["effects"]] == ["adapter", "second"]
    assert str(shelf.folder).encode() not in answer.body
    assert b"/" not in answer.body.replace(b"\\/", b"")
    assert ask(address, "/api/library").json["version"] == answer.json["version"]


def test_the_networks_edit_is_that_of_the_fastest_runtime(address: str, base: str, shelf: Shelf) -> None:
    place = (0.25, 0.0, 0.75, 1.0)
    predictor = Predictor(Model.load(base=shelf.base, adapter=shelf.adapter), "cpu", "auto")
    answer = network(address, base, PHOTO.tobytes(), place=",".join(map(str, place)))
    found = np.frombuffer(answer.body, np.uint8).reshape(PHOTO.shape)
    assert np.array_equal(found, predictor.batch(PHOTO[None], place)[0])


@pytest.mark.parametrize(("kind", "ending"), [("image/png", ".png"), ("image/jpeg", ".jpg")])
def test_a_photos_edit_is_the_file_that_the_command_writes(
    address: str, base: str, shelf: Shelf, tmp_path: Path, kind: str, ending: str
) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / f"out{ending}"
    photo.write_bytes(as_file())
    weights, adapters = (0.3, 0.7), (shelf.adapter, shelf.second)
    config = EditConfig(input=(photo,), out=out, base=shelf.base, adapter=adapters, weights=weights, strength=0.6)
    edit(config)
    query = [("base", base), ("effect", "adapter"), ("weight", 0.3), ("effect", "second"), ("weight", 0.7)]
    query += [("strength", 0.6), ("type", kind)]
    answer = ask(address, "/api/edit", method="POST", body=photo.read_bytes(), query=query)
    assert answer.headers["content-type"] == kind
    assert answer.body == out.read_bytes()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header tells of so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", "this photo: is empty"),
        (b"no picture", "this photo: is no image"),
        (as_file()[:200], "this photo: is damaged"),
        (bomb(30000, 30000), "this photo: 30000×30000 pixels are more than the 1 million that are read"),
        (as_file(np.zeros((1001, 1000, 3), np.uint8)), "this photo: 1000×1001 pixels are more than the 1 million"),
    ],
)
def test_what_is_no_photo_that_is_taken_is_refused_in_one_line(address: str, base: str, body: bytes, line: str) -> None:
    answer = edited(address, base, body)
    assert answer.status == 400
    assert answer.error.startswith(line)
    assert "\n" not in answer.error
    assert "/" not in answer.error


def test_more_bytes_than_are_taken_are_refused_whether_they_are_told_or_not(address: str, base: str) -> None:
    told = edited(address, base, None, headers={"Content-Length": "2000001"})
    assert (told.status, told.error) == (413, "that is more than the 2 MB that are taken")
    for wrong in ("-1", "x", "9" * 30):
        assert edited(address, base, None, headers={"Content-Length": wrong}).status in (400, 413)
    untold = edited(address, base, (bytes(100_000) for _ in range(21)), headers={"Transfer-Encoding": "chunked"})
    assert untold.status == 413
    assert network(address, base, bytes(96 * 64 * 3 + 1)).status == 413


@pytest.mark.parametrize(
    ("more", "status", "line"),
    [
        ({"base": "0"}, 404, "this base is not here any more"),
        ({"effect": "nothing"}, 404, "nothing: this effect is not here any more"),
        ({"effect": "/etc/passwd"}, 404, "/etc/passwd: this effect is not here any more"),
        ({"weight": 2}, 400, "a weight for each effect"),
        ({"weight": "x"}, 400, "'x' is no number"),
        ({"width": 0}, 400, "width: a whole number"),
        ({"width": "9" * 20}, 400, "width: a whole number"),
        ({"width": "\u0663"}, 400, "width: a whole number"),
        ({"width": 16000, "height": 16000}, 400, "16000×16000 pixels are more than"),
        ({"height": 63}, 413, "that is more than"),
        ({"height": 65}, 400, "18432 bytes are no picture"),
        ({"place": "0,0,1"}, 400, "place"),
        ({"place": "0,0,nan,1"}, 400, "place"),
    ],
)
def test_wrong_settings_are_refused(address: str, base: str, more: dict[str, object], status: int, line: str) -> None:
    answer = network(address, base, PHOTO.tobytes(), **more)
    assert (answer.status, answer.error[: len(line)]) == (status, line)


@pytest.mark.parametrize("more", [("strength", 9), ("strength", "nan"), ("strength", ""), ("type", "text/html")])
def test_wrong_settings_of_a_file_are_refused(address: str, base: str, more: tuple[str, object]) -> None:
    assert edited(address, base, as_file(), more).status == 400


def test_other_methods_are_refused(address: str) -> None:
    for path in ("/api/edit", "/api/network"):
        assert ask(address, path).status == 404
        assert ask(address, path, method="PUT").status == 405
    assert ask(address, "/api/library", method="POST").status == 405


def test_an_upload_that_does_not_go_on_is_given_up(address: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from e2gan.app import api

    monkeypatch.setattr(api, "IDLE", 0.3)

    def slow() -> Iterator[bytes]:
        yield as_file()[:50]
        time.sleep(1.5)
        yield as_file()[50:]

    try:
        answer = edited(address, base, slow(), headers={"Transfer-Encoding": "chunked"})
        assert (answer.status, answer.error) == (408, "the picture came too slowly")
    except OSError:
        pass  # it had hung up before the rest came
    assert edited(address, base, as_file()).status == 200


def test_fifty_at_once_are_answered_or_told_to_wait(address: str, base: str) -> None:
    gate = threading.Barrier(50)

    def one(_: int) -> tuple[int, int]:
        waited = 0
        gate.wait()
        while (answer := network(address, base, PHOTO.tobytes())).status == 503:
            assert answer.headers["retry-after"] == "1"
            waited += 1
            time.sleep(0.3)
        return answer.status, waited

    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(one, range(50)))
    assert {status for status, _ in found} == {200}
    assert any(waited for _, waited in found)


def test_what_comes_into_the_folder_appears_and_what_is_broken_is_told(shelf: Shelf, tmp_path: Path) -> None:
    from e2gan.app.app import serving

    copy = shelf.copy(tmp_path / "own")
    half = copy.second.rename(copy.folder / "runs/second.partial")
    with serving(AppConfig(folder=copy.folder, port=0, device="cpu")) as app:

        def look() -> tuple[list[str], list[str]]:
            time.sleep(1.1)  # what was found counts for a second
            found = ask(app.address, "/api/library").json
            return [e["name"] for b in found["bases"] for e in b["effects"]], found["problems"]

        assert look() == (["adapter"], [])
        half.rename(copy.second)
        assert look() == (["adapter", "second"], [])
        weights = copy.second / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
        names, (line,) = look()
        assert names == ["adapter"]
        assert line.startswith("second: ")
        assert str(tmp_path) not in line
        base = ask(app.address, "/api/library").json["bases"][0]["id"]
        assert network(app.address, base, PHOTO.tobytes()).status == 200
        assert network(app.address, base, PHOTO.tobytes(), effect="second").status == 404
        shutil.rmtree(copy.adapter)
        assert look()[0] == []
        assert network(app.address, base, PHOTO.tobytes()).status == 404


def test_no_path_of_the_disk_is_in_any_answer(address: str, base: str, shelf: Shelf) -> None:
    answers = [ask(address, path) for path in ("/nothing", f"/bases/{base}/../../x", "/bases/x/effects.json", "/api")]
    answers += [edited(address, base, b"x"), network(address, "x", b""), ask(address, "/LICENCE.txt")]
    for answer in answers:
        for private in (str(shelf.folder), str(Path.home()), "/tmp", "Traceback"):
            assert private.encode() not in answer.body
    assert json.loads(answers[0].body) == {"error": "there is nothing of that name"}
