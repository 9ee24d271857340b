from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2gan import AppConfig
from tests.app.app_tools import ask

pytest.importorskip("starlette", reason="starlette is missing: pip install 'e2gan[app]'")

PATHS = [("GET", "/"), ("GET", "/api/library"), ("GET", "/icon.svg"), ("GET", "/bases/0/effects.json")]
PATHS += [("POST", "/api/network"), ("POST", "/api/edit"), ("GET", "/sw.js"), ("OPTIONS", "/api/edit")]
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def guarded(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app with a token and no effect. address: that it can be served here at all."""
    from e2gan.app.app import serving

    assert address
    folder = tmp_path_factory.mktemp("empty")
    with serving(AppConfig(folder=folder, port=0, token=TOKEN, samples="never", device="cpu")) as app:
        assert app.address.endswith(f"/?token={TOKEN}")
        yield app.address


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_other_names_and_other_origins_are_refused(address: str, method: str, path: str) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example", "", "[::1"):
        assert ask(address, path, method=method, headers={"Host": host}).status == 403, host
    origins = [
        "https://evil.example",
        "null",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        f"http://localhost:{port}",
    ]
    for origin in origins:
        answer = ask(address, path, method=method, headers={"Origin": origin})
        assert answer.status == 403, origin
        assert not [name for name in answer.headers if name.startswith("access-control")]
    if path != "/":
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
            assert ask(address, path, method=method, headers=headers).status == 403


def test_own_names_and_its_own_origin_are_answered(address: str) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        at = f"{host}:{port}"
        assert ask(address, "/api/library", headers={"Host": at, "Origin": f"http://{at.lower()}"}).status == 200, host
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(address, headers=link).status == 200  # a link on another site opens the page
    assert ask(address, "/api/library", headers=link).status == 403  # and nothing else


def test_every_answer_has_the_headers_of_isolation_and_a_strict_policy(address: str) -> None:
    for path, status in (("/", 200), ("/api/library", 200), ("/nothing", 404), ("/bases/0/x", 404)):
        answer = ask(address, path)
        assert answer.status == status
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert not [words for words in policy.values() if "*" in words or "unsafe-inline" in words or "http" in words]
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_without_the_token_nothing_but_what_is_the_same_for_everybody(guarded: str) -> None:
    for method, path in PATHS:
        wanted = 200 if path in ("/icon.svg", "/sw.js") else 401
        assert ask(guarded, path, method=method).status == wanted, path
    for wrong in ("x", TOKEN[:-1], f"{TOKEN}x", "\u00e9", ""):
        answer = ask(guarded, query=[("token", wrong)])
        assert answer.status == 401
        assert "set-cookie" not in answer.headers
    assert ask(guarded, "/api/library", query=[("token", TOKEN)]).status == 401  # only the page takes it
    assert ask(guarded, "/api/library", headers={"Cookie": f"e2gan-{port(guarded)}={TOKEN}"}).status == 401


def test_the_token_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_has(guarded: str) -> None:
    entered = ask(guarded, query=[("token", TOKEN)])
    assert entered.status == 200
    assert TOKEN.encode() not in entered.body
    cookie, *flags = [part.strip() for part in entered.headers["set-cookie"].split(";")]
    assert {flag.lower() for flag in flags} == {"httponly", "path=/", "samesite=strict"}
    assert TOKEN not in cookie
    answer = ask(guarded, "/api/library", headers={"Cookie": cookie})
    assert answer.status == 200
    assert answer.json["bases"] == []
    assert b'data-served="app"' in ask(guarded, headers={"Cookie": f"other=1; {cookie}"}).body


def port(address: str) -> str:
    return address.partition("//")[2].partition("/")[0].rpartition(":")[2]


def test_over_https_the_cookie_goes_over_https_alone(guarded: str, tmp_path: Path) -> None:
    from e2gan.app.app import serving
    from e2gan.app.certificate import own_certificate

    assert guarded
    made = own_certificate(["127.0.0.1"], tmp_path)
    config = AppConfig(folder=tmp_path, port=0, token=TOKEN, cert=made.file, key=made.key, device="cpu")
    with serving(config) as app:
        assert app.address.startswith("https://")
        found = ask(app.address, query=[("token", TOKEN)]).headers["set-cookie"]
    assert found.startswith("__Host-e2gan-")
    assert "Secure" in found
