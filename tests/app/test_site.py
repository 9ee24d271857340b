from __future__ import annotations

from e2gan.export.web import page_folder
from tests.app.app_tools import ask


def test_the_page_knows_that_a_server_is_behind_it(address: str) -> None:
    page = ask(address)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body.count(b'data-served="app"') == 1
    assert b"data-served" not in (page_folder() / "index.html").read_bytes()  # a static site's does not


def test_the_pages_files_are_served_as_they_are_and_nothing_else(address: str) -> None:
    for file in page_folder().rglob("*"):
        name = file.relative_to(page_folder()).as_posix()
        if file.is_file() and name not in ("index.html", "sw.js", "licences.txt"):
            answer = ask(address, f"/{name}")
            assert answer.status == 200, name
            assert answer.body == file.read_bytes()
            assert "content-encoding" not in answer.headers  # the page unpacks what is packed itself
            tag = answer.headers["etag"]
            assert ask(address, f"/{name}", headers={"If-None-Match": tag}).status == 304
    for path in (
        "/index.html",
        "/../pyproject.toml",
        "/..%2f..%2fbase/config.json",
        "/assets/",
        "/%2e%2e/base/README.md",
    ):
        assert ask(address, path).status == 404, path
        assert ask(address, path, method="POST").status == 405


def test_the_licence_has_the_bases_card_and_what_the_page_is_made_of(address: str) -> None:
    text = ask(address, "/LICENCE.txt").body.decode()
    assert text.startswith("The base base: ")
    assert (page_folder() / "licences.txt").read_text("utf-8") in text


def test_a_service_worker_of_a_static_site_removes_itself(address: str) -> None:
    worker = ask(address, "/sw.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    assert b"unregister()" in worker.body
