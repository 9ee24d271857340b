from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.app_tools import ask

pytest.importorskip("uvicorn", reason="uvicorn is missing: pip install 'e2gan[app]'")

from starlette.responses import PlainTextResponse

from e2gan.app import server
from e2gan.app.addresses import bind
from e2gan.app.certificate import own_certificate


@contextlib.contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[int]:
    place = bind("127.0.0.1", 0)
    with server.running(PlainTextResponse("yes"), place.sockets, context):
        yield place.port


def closed_after(connection: socket.socket, most: float) -> bool:
    connection.settimeout(most)
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def send_and_hear(connection: socket.socket, request: bytes) -> None:
    """All of the answer."""
    connection.sendall(request)
    received = b""
    while not received.endswith(b"yes"):
        received += connection.recv(1000)


def test_it_answers_as_long_as_the_block_lasts() -> None:
    with answering() as port:
        assert ask(f"http://127.0.0.1:{port}/").body == b"yes"
    with pytest.raises(OSError, match="refused"):
        ask(f"http://127.0.0.1:{port}/")


def test_a_request_whose_head_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_WITHIN", 0.4)
    with answering() as port:
        for first in (b"", b"GET / HTTP/1.1\r\nHost: a"):
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(first)
                assert closed_after(slow, 10)
        with socket.create_connection(("127.0.0.1", port)) as second:
            send_and_hear(second, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            second.sendall(b"GET / HT")
            assert closed_after(second, 10)
        with socket.create_connection(("127.0.0.1", port)) as dripping:
            with contextlib.suppress(ConnectionError):
                for _ in range(30):
                    dripping.sendall(b"G")
                    time.sleep(0.1)
            assert closed_after(dripping, 10)
        assert ask(f"http://127.0.0.1:{port}/").status == 200


def test_who_sends_on_after_the_answer_and_then_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer did not wait for the body: nobody reads the rest, and nothing else would end the connection."""
    monkeypatch.setattr(server, "HEADERS_WITHIN", 0.4)
    with answering() as port, socket.create_connection(("127.0.0.1", port)) as silent:
        send_and_hear(silent, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        silent.sendall(b"x")
        assert closed_after(silent, 4)


def test_heads_that_are_too_long_and_connections_beyond_the_most_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    with answering() as port, contextlib.ExitStack() as stack:
        with contextlib.suppress(ConnectionError):  # it may hang up before the rest came
            assert ask(f"http://127.0.0.1:{port}/", headers={"X": "x" * 600_000}).status in (400, 431)
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", port)) as another:
            assert closed_after(another, 10)
        held[0].close()
        time.sleep(0.3)
        assert ask(f"http://127.0.0.1:{port}/").status == 200


def test_who_does_not_agree_on_tls_in_time_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold a place that others want: asyncio alone waits for a minute."""
    monkeypatch.setattr(server, "HANDSHAKE_WITHIN", 0.5)
    own = own_certificate(["localhost"], tmp_path)
    client = ssl.create_default_context(cafile=own.file)
    with answering(own.context()) as port:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            assert closed_after(silent, 10)
        with socket.create_connection(("127.0.0.1", port)) as halfway:
            halfway.sendall(b"\x16\x03\x01\x02\x00")
            assert closed_after(halfway, 10)
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            client.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            send_and_hear(secure, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_what_it_fails_by_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr(server.Server, "startup", fails)
    place = bind("127.0.0.1", 0)
    with pytest.raises(OSError, match="no more"), server.running(PlainTextResponse("yes"), place.sockets):
        pass
