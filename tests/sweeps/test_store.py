from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from e2gan.core.files import MOST_JSON
from e2gan.sweeps.plan import make_plan
from e2gan.sweeps.store import DamagedError, Store
from e2gan.sweeps.tasks import run_task
from e2gan.sweeps.things import Ref
from tests.conftest import Project, refused
from tests.sweeps.tiny_sweeps import bring, came_to, config_of, order, wait_for, without_ray

REF = Ref("adapters", "0123456789abcdef" * 4)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A thing's folder."""
    (tmp_path / "made/images").mkdir(parents=True)
    (tmp_path / "made/weights").write_bytes(b"weights")
    (tmp_path / "made/images/a b#%é.png").write_bytes(b"picture")
    return tmp_path / "made"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket at moto's server on this machine."""
    pytest.importorskip("moto", reason="moto is not installed: pip install 'moto[server]' s3fs")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
    s3fs.S3FileSystem.clear_instance_cache()  # of the server of another test
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def answers() -> bool:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/sweeps", method="PUT"), timeout=5).close()
        except (URLError, HTTPError, OSError):
            return False
        return True

    try:
        wait_for(answers, 120)
        yield "s3://sweeps/all of them"
    finally:
        server.kill()
        server.wait()


def check_a_store(url: str, made: Path) -> None:
    """A thing is there once its manifest is, and comes back as it was; damaged, it is not there any more."""
    store = Store(url)
    assert not store.holds_anything()
    assert not store.has(REF)
    assert store.read("none.json") is None
    store.put(REF, made, {"steps": 3})
    store.begin(REF)
    assert Store(url).has(REF)
    assert store.holds_anything()
    manifest = store.manifest(REF)
    assert manifest is not None
    assert manifest["facts"] == {"steps": 3}
    back = made.parent / "back"
    store.fetch(REF, back)
    assert {path.name: path.read_bytes() for path in back.rglob("*") if path.is_file()} == {
        "weights": b"weights",
        "a b#%é.png": b"picture",
    }
    assert store.is_here(REF, back)
    (back / "weights").unlink()
    assert not store.is_here(REF, back)
    twin = Ref("adapters", REF.identity[:16] + "f" * 48)  # the same place, another identity
    assert not store.has(twin)
    assert store.check(REF)
    store.write(f"{REF.place}/weights", b"weighty")  # the same size, other bytes
    assert store.has(REF)
    assert not store.check(REF)
    assert not store.has(REF)
    store.put(REF, made, {})
    store.write(f"{REF.place}/weights", b"weighty")
    assert store.has(REF)
    with pytest.raises(DamagedError, match="weights is not what was written"):
        store.fetch(REF, back)
    assert not store.has(REF)
    store.put(REF, made, {})
    store.write(f"{REF.place}/weights", b"cut")
    assert not store.has(REF)
    store.put(REF, made, {})
    store.remove(REF)
    assert not store.has(REF)
    assert store.read(f"{REF.place}/weights") is None
    with pytest.raises(DamagedError, match="no manifest"):
        store.fetch(REF, back)


def test_a_local_folder_is_a_store(made: Path, tmp_path: Path) -> None:
    check_a_store(str(tmp_path / "out"), made)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of what speaks to S3
def test_an_object_store_is_one(made: Path, s3: str) -> None:
    check_a_store(s3, made)
    assert "cannot be written" in refused(lambda: Store("s3://no-such-bucket/x").write("a", b"a"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_machines_that_share_nothing_but_an_object_store_make_the_same(
    project: Project, tmp_path: Path, s3: str
) -> None:
    """Each thing is made on a disk of its own."""
    (tmp_path / "alone").mkdir()
    alone = without_ray(config_of(project, tmp_path / "alone", ("sepia",), keep=8, block=20))
    config = config_of(project, tmp_path, ("sepia",), keep=8, block=20, out=s3)
    plan = make_plan(config)
    store = Store(s3)
    bring(plan, store)
    for i, thing in enumerate(plan.concepts[0].things):
        answer = json.loads(run_task(order(config, thing, tmp_path / f"disk{i}")))
        assert answer["state"] == "made"
    for thing in plan.concepts[0].things:
        store.fetch(thing.ref, tmp_path / "copy" / thing.ref.place)
        manifest = store.read(f"manifests/{thing.ref.place}.json")
        assert manifest is not None
        path = tmp_path / "copy/manifests" / f"{thing.ref.place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest)
    assert came_to(plan, tmp_path / "copy") == came_to(alone, tmp_path / "alone/out")


def test_a_manifest_that_is_half_or_of_another_kind_is_none(made: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "out"))
    store.put(REF, made, {})
    path = tmp_path / "out/manifests" / f"{REF.place}.json"
    text = path.read_text()
    for wrong in (
        text[: len(text) // 2],
        "[]",
        text.replace("weights", "../weights"),
        text.replace("adapters", "pairs"),
        text.replace('"facts": {', '"facts": {"seconds": "long", '),
        text.replace('"facts": {', '"facts": {"model": {"l1": "x"}, '),
        json.dumps(json.loads(text) | {"files": []}),
    ):
        assert wrong != text
        path.write_text(wrong)
        assert not store.has(REF)
    path.write_text(text)
    assert store.has(REF)
    with path.open("wb") as file:
        file.truncate(MOST_JSON + 1)
    assert "are read" in refused(lambda: store.has(REF))


@pytest.mark.parametrize("url", ["ftp://host/x", "memory://x", "simplecache::s3://a/b", "https://host/x"])
def test_other_places_are_refused(url: str) -> None:
    assert refused(lambda: Store(url)).startswith(f"--out {url}: ")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(lambda: Store(str(tmp_path / "file")).write("a.json", b"{}"))
    if os.getuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        assert "cannot be written" in refused(lambda: Store(str(tmp_path / "shut/out")).write("a.json", b"{}"))
