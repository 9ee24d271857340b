"""What the page asks the server: what there is, a picture through the network, a photo's edit as a file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from e2gan.app.exports import Exports
from e2gan.app.library import Library, Search, Shelf, without_paths
from e2gan.app.models import Choice, GoneError, Models, StoppedError
from e2gan.app.site import Site, file_response
from e2gan.app.work import BusyError, Worker
from e2gan.core.errors import InputError
from e2gan.core.memory import is_no_memory
from e2gan.core.names import inside
from e2gan.editing.predictor import AT_ONCE, checked_place
from e2gan.sharing.licence import read_card

KINDS = {"image/png": ".png", "image/jpeg": ".jpg"}
MOST_REQUESTS = 24  # with pictures, that are received, wait or are at work; who comes then is told to wait
MOST_SIDE = 2**14
DIGITS = re.compile(r"[0-9]{1,12}")
EXPORTED = re.compile(r"effects\.json|base\.onnx|(effects|prompts)/[\w.-]+\.safetensors", re.ASCII)
IDLE, WHOLE = 10.0, 180.0  # seconds in which the next part of an upload, and all of it, has to come
AGAIN = "1"  # seconds after which one who was told to wait may ask again
FRESH = 1.0  # seconds for which what was found in the folder counts

Result = TypeVar("Result")


@dataclass
class Desk:
    """What the answers are made from. uploads: a folder for photos that come in. most_bytes, most_pixels: of one.

    edits, searches: threads, the first for the networks, the second for the folder.
    """

    search: Search
    models: Models
    exports: Exports
    site: Site
    edits: Worker
    searches: Worker
    uploads: Path
    most_bytes: int
    most_pixels: int
    _library: Library | None = None
    _looked: float = 0.0
    _open: int = 0
    _numbers: Any = field(default_factory=count)

    async def library(self) -> Library:
        """What is in the folder, looked for once for all who ask at the same time."""
        if self._library is None or time.monotonic() - self._looked > FRESH:
            try:
                found = await asyncio.wrap_future(self.searches.submit(self._look))
            except BusyError:
                if self._library is None:
                    raise
                return self._library
            for shelf in found.shelves.values():
                if self.exports.was_asked_for(shelf.id):
                    self.exports.want(shelf)
            return found
        return self._library

    @property
    def known(self) -> Library | None:
        """What was found last: a frame of the camera does not wait for a folder to be searched."""
        return self._library

    def _look(self) -> Library:
        if self._library is None or time.monotonic() - self._looked > FRESH:
            self._library, self._looked = self.search.look(), time.monotonic()
        return self._library

    @asynccontextmanager
    async def place(self, request: Request) -> AsyncIterator[None]:
        """One of the few places for requests with pictures. Raises BusyError where none is left, once what the browser
        sends has been taken in: it would not hear the answer before."""
        if self._open >= MOST_REQUESTS:
            await self.receive(request, lambda _: None)
            raise BusyError
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def receive(self, request: Request, take: Callable[[bytes], object], most: int | None = None) -> None:
        """A request's body, part for part. Raises HTTPException for one that is longer than it may be, or too slow."""
        most = self.most_bytes if most is None else most
        too_long = HTTPException(413, f"that is more than the {most / 1e6:.0f} MB that are taken")
        told = request.headers.get("content-length", "0")
        if not DIGITS.fullmatch(told) or int(told) > most:
            raise too_long
        parts, received = request.stream().__aiter__(), 0
        try:
            async with asyncio.timeout(WHOLE):
                while True:
                    async with asyncio.timeout(IDLE):
                        part = await anext(parts, None)
                    if part is None:
                        return
                    received += len(part)
                    if received > most:
                        raise too_long
                    take(part)
        except TimeoutError:
            raise HTTPException(408, "the picture came too slowly") from None

    async def edited(self, request: Request, does: Callable[[], Result]) -> Result:
        """What comes of it in the networks' thread; not begun where the browser has gone meanwhile."""
        future = self.edits.submit(does)
        waiting = asyncio.wrap_future(future)
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.5)
            if not waiting.done() and await request.is_disconnected():
                _forget(future, waiting)
                raise ClientDisconnect
        return await waiting


def _forget(future: Future[Any], waiting: asyncio.Future[Any]) -> None:
    if not future.cancel():  # it is at work: nobody will ask what came of it
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())


def application(desk: Desk) -> Starlette:
    """The routes. Every answer to what went wrong is one line, without a path of the disk."""

    def route(path: str, answer: Callable[[Desk, Request], Awaitable[Response]], method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            return await _answered(answer(desk, request))

        return Route(path, endpoint, methods=[method])

    return Starlette(
        routes=[
            route("/", index),
            route("/LICENCE.txt", licence_text),
            route("/api/library", library),
            route("/api/network", network, "POST"),
            route("/api/edit", edit, "POST"),
            route("/bases/{base}/{file:path}", exported),
            route("/{file:path}", page_file),
        ],
        exception_handlers={HTTPException: _refused},
    )


async def _answered(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except BusyError:
        line = "the computer that edits has its hands full: it is asked again"
        return JSONResponse({"error": line}, 503, {"Retry-After": AGAIN})
    except GoneError as error:
        return JSONResponse({"error": str(error)}, 404)
    except (InputError, MemoryError) as error:
        line = "memory ran out on the computer that edits" if isinstance(error, MemoryError) else str(error)
        return JSONResponse({"error": without_paths(" ".join(line.split()))}, 400)
    except (ClientDisconnect, StoppedError, asyncio.CancelledError):
        return Response(status_code=503)  # nobody hears it
    except OSError as error:  # of an upload: no space, most likely
        return JSONResponse({"error": f"the computer that edits cannot write: {error.strerror}"}, 507)
    except RuntimeError as error:
        if not is_no_memory(error):
            raise
        return JSONResponse({"error": "memory ran out on the computer that edits"}, 400)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {}) | ({"Connection": "close"} if error.status_code in (408, 413) else {})
    return JSONResponse({"error": error.detail}, error.status_code, headers)


async def index(desk: Desk, _: Request) -> Response:
    return desk.site.index()


async def page_file(desk: Desk, request: Request) -> Response:
    found = desk.site.answer(request, request.path_params["file"])
    if found is None:
        raise HTTPException(404, "there is nothing of that name")
    return found


async def licence_text(desk: Desk, _: Request) -> Response:
    """Of each base, by its card, and of what the page is made of."""
    shelves = (await desk.library()).shelves.values()
    texts = [_card(shelf) for shelf in shelves]
    return PlainTextResponse("\n\n\n".join([*texts, desk.site.notices]))


def _card(shelf: Shelf) -> str:
    try:
        card = read_card(shelf.folder)
    except InputError:  # its folder is no longer whole
        card = None
    return f"The base {shelf.name}: {shelf.licence}\n\n{(card or 'It has no model card.').strip()}"


async def library(desk: Desk, _: Request) -> Response:
    """Bases, their effects, and what could not be loaded. version: another text where anything of it is another."""
    found = await desk.library()
    bases = [
        {
            "id": shelf.id,
            "name": shelf.name,
            "licence": shelf.licence,
            "size": shelf.size,
            "multiple": shelf.multiple,
            "browser": desk.exports.state(shelf),
            "made": desk.exports.made(shelf.id),
            "effects": [
                {"name": e.name, "prompt": e.prompt, "size": e.size, "detail": e.detail, "state": e.state}
                for e in shelf.effects.values()
            ],
        }
        for shelf in found.shelves.values()
    ]
    content: dict[str, Any] = {
        "bases": bases,
        "problems": sorted({*found.problems, *desk.exports.problems(found.shelves.values())}),
    }
    content |= {"most": {"bytes": desk.most_bytes, "pixels": desk.most_pixels}, "why_not": desk.exports.missing}
    version = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return JSONResponse({"version": version} | content)


async def network(desk: Desk, request: Request) -> Response:
    """A picture at the size that the network sees, as RGB bytes → its edit, as RGB bytes.

    Query: base, effect and weight (once for each effect), width, height, and place as left,top,right,bottom."""
    width, height = (_whole(request, name, MOST_SIDE) for name in ("width", "height"))
    if width * height > AT_ONCE:
        raise InputError(f"{width}×{height} pixels are more than the {AT_ONCE:,} of one part")
    place = checked_place([_number(text) for text in request.query_params.get("place", "0,0,1,1").split(",")])
    async with desk.place(request):
        choice = await _choice(desk, request)
        body = bytearray()
        await desk.receive(request, body.extend, width * height * 3)
        if len(body) != width * height * 3:
            raise InputError(f"{len(body)} bytes are no picture of {width}×{height} pixels")
        pixels = np.frombuffer(body, np.uint8).reshape(height, width, 3)
        edited = await desk.edited(request, lambda: desk.models.network(choice, pixels, place))
    return Response(edited.tobytes(), media_type="application/octet-stream")


async def edit(desk: Desk, request: Request) -> Response:
    """A photo as a file → its edit as a file of the kind that is asked for, as the command `edit` writes it.

    Query: base, effect and weight, strength (0 to 1.5), type (image/png or image/jpeg)."""
    query = request.query_params
    if (kind := KINDS.get(query.get("type", "image/png"))) is None:
        raise InputError(f"type: must be one of {', '.join(KINDS)}")
    strength = _number(query.get("strength", "1"))
    photo = desk.uploads / f"photo-{next(desk._numbers)}"
    async with desk.place(request):
        choice = await _choice(desk, request)
        try:
            with photo.open("xb") as file:
                await desk.receive(request, file.write)
            made = await desk.edited(request, lambda: desk.models.file(choice, strength, photo, kind, desk.most_pixels))
        except InputError as error:
            raise InputError(str(error).replace(str(photo), "this photo")) from None
        finally:
            photo.unlink(missing_ok=True)
    return Response(made.data, media_type=query.get("type", "image/png"))


async def exported(desk: Desk, request: Request) -> Response:
    """A base's effects.json, base.onnx, effects/… and prompts/… for browsers that compute themselves; asking for the
    first has them made."""
    base, file = request.path_params["base"], request.path_params["file"]
    shelf = (await desk.library()).shelves.get(base)
    if shelf is None:
        raise GoneError("this base is not here any more")
    if file == "effects.json":
        desk.exports.want(shelf)
    manifest = desk.exports.manifest(base)
    if manifest is None:
        if desk.exports.state(shelf) == "none":
            raise InputError(desk.exports.missing or "this base cannot be made ready for browsers")
        raise BusyError
    try:
        if EXPORTED.fullmatch(file):
            return file_response(request, inside(manifest.parent, file))
    except OSError:
        pass
    raise HTTPException(404, "there is nothing of that name")


async def _choice(desk: Desk, request: Request) -> Choice:
    query = request.query_params
    weights = [_number(text) for text in query.getlist("weight")]
    wanted = query.get("base", ""), query.getlist("effect"), weights
    try:
        return Choice.of(desk.known or await desk.library(), *wanted)
    except GoneError:
        return Choice.of(await desk.library(), *wanted)  # it may just have come


def _whole(request: Request, name: str, most: int) -> int:
    text = request.query_params.get(name, "")
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= most:
        raise InputError(f"{name}: a whole number from 1 to {most} is expected")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is no number") from None
