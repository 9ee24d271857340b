"""Who is answered: browsers at this server's own addresses, from its own page, who know the token if there is one."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a browser fetches without a cookie, and what is the same for everybody.
PUBLIC = ("/sw.js", "/manifest.webmanifest", "/icon.svg", "/icon-192.png", "/icon-512.png")
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval' blob:",  # onnxruntime's threads are made of blobs
    "worker-src": "'self' blob:",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob: mediastream:",
    "connect-src": "'self' blob:",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",  # the two of isolation, which threads need
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
OPENS = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="0; url=/"><title>Effects</title><a href="/">Open the page</a></html>
"""


class Guard:
    """Around the application: refuses what is not its own, and puts the same headers on every answer."""

    def __init__(self, app: ASGIApp, *, scheme: str, hosts: Collection[str], token: str | None, port: int) -> None:
        """scheme: http or https. hosts: what a Host header may be, in small letters."""
        self.app, self.scheme, self.hosts = app, scheme, frozenset(hosts)
        self.token, self.session = token, secrets.token_urlsafe(32)
        # Ports share their cookies; and __Host- is one that no other host may have set.
        self.cookie = f"{'__Host-' if scheme == 'https' else ''}e2gan-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"a connection of the kind {scope['type']}")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refused(scope) or self._entering(scope) or self.app
        await answer(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        """By its Host, which another site's name that leads here would have; its Origin; and where it comes from."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if host not in self.hosts:
            return _told(403, "This server does not go by that address. To let it, start it with --names.")
        if (origin := headers.get("origin")) is not None and origin.lower() != f"{self.scheme}://{host}":
            return _told(403, "Pages of other sites are not answered.")
        opened = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/" and scope["method"] == "GET"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opened:
            return _told(403, "Pages of other sites are not answered.")
        return None

    def _entering(self, scope: Scope) -> Response | None:
        """Who has the token in the address gets a cookie; who has neither, nothing."""
        if self.token is None or scope["path"] in PUBLIC:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and (given := query.get("token")):
            if not _same(given[-1], self.token):
                return _told(401, "That token is not this server's: open the address that `e2gan app` printed last.")
            # A page, no redirect: a browser that comes from another site's link would follow that without the cookie.
            answer = HTMLResponse(OPENS)
            secure = self.scheme == "https"
            answer.set_cookie(self.cookie, self.session, httponly=True, samesite="strict", secure=secure)
            return answer
        cookie = cookie_parser(Headers(scope=scope).get("cookie", "")).get(self.cookie, "")
        if not _same(cookie, self.session):
            return _told(401, "Open the address that `e2gan app` printed, with its token.")
        return None


def _same(given: str, wanted: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _told(status: int, line: str) -> Response:
    return PlainTextResponse(f"{line}\n", status)
