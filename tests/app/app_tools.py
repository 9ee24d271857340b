"""A browser of few words: requests to an app with any Host, Origin, cookie and body."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]


def ask(
    address: str,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
    query: Iterable[tuple[str, object]] = (),
) -> Answer:
    """address: of the app; whatever stands behind its port is left out. Certificates are not looked at here."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=60, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=60)
    given = {"Host": f"{host}:{port}"} | dict(headers or {})
    words = urlencode([(name, str(value)) for name, value in query])
    try:
        target, parts_of_it = f"{path}?{words}" if words else path, "Transfer-Encoding" in given
        connection.request(method, target, body=body, headers=given, encode_chunked=parts_of_it)  # pyright: ignore
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()
