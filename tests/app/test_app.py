from __future__ import annotations

import hashlib
import http.client
import io
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from e2gan import AppConfig, InputError, run_app
from e2gan.cli import main
from e2gan.config.stages import MOST_MEGAPIXELS
from tests.app.app_tools import ask
from tests.app.conftest import Shelf
from tests.conftest import refused


@contextmanager
def program(*arguments: str, folder: Path, home: Path) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """`e2gan app` as a process, its address, and what it has told."""
    environment = os.environ | {"XDG_DATA_HOME": str(home), "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "e2gan", "app", str(folder), "--port", "0", "--device", "cpu", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    told: list[str] = []
    try:
        for line in process.stderr:
            told.append(line.strip())
            if line.startswith("Ctrl-C"):
                break
        address = next((line for line in told if line.startswith("http")), "")
        assert address, told
        yield process, address, told
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: int, within: float) -> tuple[int, str]:
    """Status and what was told after a signal."""
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("the signal is ignored here, as under nohup, and so by what is started here")
    start = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert time.monotonic() - start < within
    return process.returncode, told


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_it_promptly_and_nothing_is_left(
    address: str, shelf: Shelf, tmp_path: Path, name: str, status: int
) -> None:
    assert address
    with program(folder=shelf.folder, home=tmp_path) as (process, at, told):
        assert at.startswith("http://127.0.0.1:")
        assert len(told) == 5
        assert ask(at).status == 200
        assert [*tmp_path.glob("e2gan-*")]
        with socket.create_connection(("127.0.0.1", urlsplit(at).port)):  # an idle one does not hold it up
            found, line = ended(process, getattr(signal, name), within=15)
        assert (found, line.count("\n")) == (status, 1)
        assert line.startswith("e2gan: stopped")
        assert not [*tmp_path.glob("e2gan-*")]


@pytest.mark.slow
def test_a_signal_in_the_midst_of_edits_ends_it_too(address: str, shelf: Shelf, tmp_path: Path) -> None:
    assert address
    with program("--megapixels", "100", folder=shelf.folder, home=tmp_path) as (process, at, _):
        base = ask(at, "/api/library").json["bases"][0]["id"]
        data = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (4000, 5000, 3), np.uint8)).save(data, "JPEG")
        query = [("base", base), ("effect", "adapter"), ("weight", 1)]

        def edit() -> None:
            with suppress(OSError):  # it ends
                ask(at, "/api/edit", method="POST", body=data.getvalue(), query=query)

        threads = [threading.Thread(target=edit) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(2.5)
        found, line = ended(process, signal.SIGINT, within=20)
        assert (found, line.count("\n")) == (130, 1), line
        assert not [*tmp_path.glob("e2gan-*")]
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_beyond_this_machine_by_https_with_a_token_and_the_fingerprint_that_is_told(
    address: str, shelf: Shelf, tmp_path: Path
) -> None:
    assert address
    fingerprints = []
    tokens = []
    for _ in range(2):
        with program("--host", "0.0.0.0", "--names", "my-phone.example", folder=shelf.folder, home=tmp_path) as (
            process,
            at,
            told,
        ):
            port = int(re.search(r":(\d+)/", at)[1])  # pyright: ignore[reportOptionalSubscript]
            fingerprints.append(next(line for line in told if re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", line)))
            tokens.append(at.partition("?token=")[2])
            own = f"https://127.0.0.1:{port}/"
            found = ssl.get_server_certificate(("127.0.0.1", port))
            digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(found)).hexdigest()
            assert digest == fingerprints[-1].replace(":", "").lower()
            assert ask(own).status == 401
            cookie = ask(own, query=[("token", tokens[-1])]).headers["set-cookie"].partition(";")[0]
            assert ask(own, headers={"Cookie": cookie}).status == 200
            other = {"Cookie": cookie, "Host": f"my-phone.example:{port}"}
            assert ask(own, headers=other).status == 200
            assert ask(own, headers=other | {"Host": f"elsewhere.example:{port}"}).status == 403
            with pytest.raises((OSError, http.client.HTTPException)):  # plain http is not answered
                ask(f"http://127.0.0.1:{port}/")
            ended(process, signal.SIGTERM, within=15)
    assert fingerprints[0] == fingerprints[1]  # the certificate is kept
    assert tokens[0] != tokens[1]  # and the token made anew
    assert min(map(len, tokens)) >= 40
    if os.name == "posix":
        assert (tmp_path / "e2gan/app/key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("nowhere", "nowhere does not exist"),
        (". --host 192.0.2.1", "--host 192.0.2.1: is no address of this machine"),
        (". --port 70000", "--port 70000: must be at most 65,535"),
        (". --cert a.pem", "--cert and --key belong together: name both"),
        (". --cert a.pem --key b.pem", "--cert a.pem"),
        (". --token short", "--token: must have 16 to 128 letters, digits, - and _"),
        (". --names a/b", "--names 'a/b': is no name of a host, and no address"),
        (". --megabytes 0", "--megabytes 0: must be positive"),
        (". --device abacus", "abacus"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(
    address: str,
    arguments: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert address
    monkeypatch.chdir(tmp_path)
    assert main(["app", *arguments.split()]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert line in told.err
    assert not [*tmp_path.iterdir()]


def test_a_port_in_use_is_one_line_and_status_2(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    assert main(["app", ".", "--port", port]) == 2
    assert "another program has it" in capsys.readouterr().err


def test_a_package_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'e2gan[app]'" in refused(lambda: run_app(AppConfig(folder=tmp_path)))


def test_limits_are_those_of_the_reader() -> None:
    from e2gan.core.images import MAX_PIXELS, MOST_BYTES

    assert MOST_MEGAPIXELS * 10**6 == MAX_PIXELS
    assert AppConfig(megabytes=MOST_BYTES // 2**20).check() is None
    with pytest.raises(InputError):
        AppConfig(megapixels=MOST_MEGAPIXELS + 1).check()
