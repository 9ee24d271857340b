"""The files of the page, as they are served: those of the package alone, by a list that is made once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from e2gan.export.web import NOTICES, SERVICE_WORKER, page_folder

INDEX = "index.html"
MARK = ('<html lang="en"', '<html lang="en" data-served="app"')  # by which the page knows that a server is behind it
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
OTHER = "application/octet-stream"  # not gzip for .wasm.gz: the page unpacks it itself

# A static site that was once at this address may have left its service worker in the browser, which would go on
# answering in this server's place. Browsers ask for it anew, and get one that removes itself.
NO_WORKER = """self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(leave()));
async function leave() {
  const scope = new URL(self.registration.scope).pathname;
  for (const name of await caches.keys()) if (name.startsWith(`e2gan ${scope} `)) await caches.delete(name);
  await self.registration.unregister();
  for (const client of await self.clients.matchAll({ type: "window" })) await client.navigate(client.url);
}
"""


class Site:
    """The built page. Raises InputError as `export.web.require` where it is not built; it is asked before."""

    def __init__(self) -> None:
        root = page_folder()
        files = (path for path in root.rglob("*") if path.is_file())
        self.files: Mapping[str, Path] = {path.relative_to(root).as_posix(): path for path in files}
        self.notices = self.files[NOTICES].read_text("utf-8")

    def index(self) -> Response:
        text = self.files[INDEX].read_text("utf-8")
        return Response(text.replace(*MARK, 1), media_type=TYPES[".html"])

    def answer(self, request: Request, name: str) -> Response | None:
        """A file by its path below the page; None where there is none."""
        if name == SERVICE_WORKER:
            return Response(NO_WORKER, media_type=TYPES[".js"])
        if name in (INDEX, NOTICES) or name not in self.files:
            return None
        return file_response(request, self.files[name])


def file_response(request: Request, path: Path) -> Response:
    """A file, or 304 where the browser has it as it is. Raises OSError where it went away."""
    stat = os.stat(path)  # noqa: PTH116 (it is handed on)
    tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=TYPES.get(path.suffix, OTHER), stat_result=stat)
