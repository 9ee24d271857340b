"""uvicorn in a thread of its own, with the limits that a stranger's connection needs."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import socket

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 256
MOST_HEADER = 32 * 1024  # bytes
HEADERS_WITHIN = 10.0  # seconds in which a request's head has to come
PATIENCE = 3  # seconds that requests have when the server ends
GRACE = 2  # more, after which the thread is left


class Protocol(H11Protocol):
    """HTTP/1.1 that closes connections beyond the most, and those whose head of a request does not come."""

    waits_since: float | None = None
    check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self.waits_since = self.loop.time()
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self.waits_since = None
        elif self.waits_since is None:
            self.waits_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.check is not None:
            self.check.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.waits_since is not None and self.loop.time() - self.waits_since >= HEADERS_WITHIN:
            self.transport.abort()
            return
        self.check = self.loop.call_later(HEADERS_WITHIN / 4, self._look)


class Server(uvicorn.Server):
    """A server that says when it is ready, and what it failed by."""

    def __init__(self, app: ASGIApp, context: ssl.SSLContext | None) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=MOST_HEADER,
            timeout_graceful_shutdown=PATIENCE,
        )
        config.load()
        config.ssl = context
        super().__init__(config)
        self.ready, self.ended = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    def work(self, sockets: Sequence[socket]) -> None:
        try:
            self.run(list(sockets))
        except BaseException as error:  # raised in the thread that waits
            self.error = error
        self.ready.set()
        self.ended.set()


@contextmanager
def running(app: ASGIApp, sockets: Sequence[socket], context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """The server, answering at these sockets until the block is left. context: for https."""
    server = Server(app, context)
    thread = threading.Thread(target=server.work, args=(sockets,), name="server", daemon=True)
    thread.start()
    try:
        server.ready.wait()
        if server.error is not None:
            raise server.error
        yield server
    finally:
        server.should_exit = True
        thread.join(PATIENCE + GRACE)
        for each in sockets:
            each.close()
