"""uvicorn in a thread of its own, with the limits that a stranger's connection needs."""

from __future__ import annotations

import asyncio
import errno
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from socket import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from e2gan.core.progress import note

MOST_CONNECTIONS = 256
MOST_HEADER = 32 * 1024  # bytes
HEADERS_WITHIN = 10.0  # seconds in which a request's head has to come
HANDSHAKE_WITHIN = 5.0  # seconds in which TLS has to be agreed on
TOLD_EVERY = 60.0  # seconds between two lines on connections that the system has no room for
PATIENCE = 3  # seconds that requests have when the server ends
GRACE = 2  # more, after which the thread is left


class Protocol(H11Protocol):
    """HTTP/1.1 that closes connections beyond the most, and those on which for a while no request is answered."""

    idle_since: float | None = None
    check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self.idle_since = self.loop.time()
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering():
            self.idle_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.check is not None:
            self.check.cancel()
        super().connection_lost(exc)

    def _answering(self) -> bool:
        """Whether a request is here whose answer is not complete: who sends what nobody reads any more has none."""
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        now = self.loop.time()
        if self._answering():
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now
        elif now - self.idle_since >= HEADERS_WITHIN:
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
        self.told_next = 0.0

    async def startup(self, sockets: list[socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._told)
        if self.config.ssl is not None:  # uvicorn leaves it at asyncio's minute
            limited = partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_WITHIN)
            loop.create_server = limited  # pyright: ignore[reportAttributeAccessIssue]
        await super().startup(sockets)
        self.ready.set()

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """asyncio's own report, but where files have run out: that comes again for each connection that waits."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)):
            loop.default_exception_handler(context)
        elif loop.time() >= self.told_next:
            self.told_next = loop.time() + TOLD_EVERY
            note("more connections than this machine has room for: some wait")

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
