"""The stage `app`: the page of `export --format web`, served here, with the bases and adapters of a folder."""

from __future__ import annotations

import importlib
import secrets
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2gan.app.addresses import Place, beyond, bind
from e2gan.app.exports import Exports
from e2gan.app.library import Search
from e2gan.app.models import Models, Trials
from e2gan.app.work import Worker, stop_all
from e2gan.config import AppConfig
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.progress import note
from e2gan.core.stopping import signals_stop
from e2gan.core.temporary import temporary_folder
from e2gan.export.web import page_folder

if TYPE_CHECKING:
    from e2gan.app.certificate import Certificate

NEEDED = ("starlette", "uvicorn", "cryptography")
WAITING = 16  # edits that may wait for the network
PATIENCE = 5.0  # seconds that what is at work has to end in


@dataclass(frozen=True)
class Running:
    """An app that answers. address: of the page, with its token where it has one. ended: set when the
    server ends."""

    address: str
    place: Place
    certificate: Certificate | None
    ended: threading.Event


def run_app(config: AppConfig) -> None:
    """Serve the page until Ctrl-C or another signal, which comes out as KeyboardInterrupt: `core.stopping.Stopped`.

    Raises InputError for bad settings, a host, a port or a certificate that cannot be used, and where a package of the
    extra `app`, or the built page, is missing.
    """
    AppConfig.checked(config)
    with signals_stop(), serving(config) as running:
        for line in told(config, running):
            note(line)
        if config.open:
            webbrowser.open(running.address)
        while not running.ended.wait(3600):
            pass
        raise RuntimeError("the server ended by itself")


@contextmanager
def serving(config: AppConfig) -> Iterator[Running]:
    """The app at work, in threads, until the block is left. Raises as `run_app`."""
    _require()
    from e2gan.app.api import Desk, application
    from e2gan.app.guard import Guard
    from e2gan.app.server import running
    from e2gan.app.site import Site

    device = str(resolve_device(config.device))
    samples = {"auto": None, "always": True, "never": False}[config.samples]
    search = Search(config.folder, Trials(), samples=samples)
    with ExitStack() as stack:
        place = bind(config.host, config.port, config.names)
        stack.callback(place.close)
        certificate = _certificate(config, place)
        context = None if certificate is None else certificate.context()
        scheme = "http" if context is None else "https"
        token = config.token or (None if place.private else secrets.token_urlsafe(32))
        folder = stack.enter_context(temporary_folder())
        for name in ("bases", "uploads"):
            (folder / name).mkdir()
        edits, searches, exports = Worker("edits", WAITING), Worker("searches", 64), Worker("exports", 16)
        stack.callback(stop_all, [edits, searches, exports], PATIENCE)
        desk = Desk(
            search=search,
            models=Models(device, lambda: edits.stopped),
            exports=Exports(folder / "bases", exports),
            site=Site(),
            edits=edits,
            searches=searches,
            uploads=folder / "uploads",
            most_bytes=config.megabytes * 10**6,
            most_pixels=config.megapixels * 10**6,
        )
        hosts = place.hosts(scheme)
        guard = Guard(application(desk), scheme=scheme, hosts=hosts, token=token, port=place.port)
        server = stack.enter_context(running(guard, place.sockets, context))
        address = place.address(scheme) + (f"?token={token}" if token else "")
        yield Running(address, place, certificate, server.ended)


def _require() -> None:
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(f"the app needs {name} ({error}): pip install 'e2gan[app]'") from None
    if not (page_folder() / "index.html").is_file():
        raise InputError("the page is not built in this clone: type `make web`, which brings its own Node, and repeat")


def _certificate(config: AppConfig, place: Place) -> Certificate | None:
    """The one that is named; beyond this machine one of its own making; else none, and http."""
    from e2gan.app.certificate import named_certificate, own_certificate

    if config.cert is not None and config.key is not None:
        return named_certificate(config.cert, config.key)
    return None if place.private else own_certificate(place.names)


def told(config: AppConfig, running: Running) -> list[str]:
    """What is printed once it answers."""
    lines = [f"effects of {config.folder.resolve()}, at:", "", f"    {running.address}", ""]
    if (certificate := running.certificate) is not None:
        what = "this certificate" if config.cert is not None else "a certificate of its own making"
        lines += [f"https by {what}, SHA-256:", f"    {certificate.fingerprint}"]
        if config.cert is None:
            lines.append("Browsers warn of it once: go on only where they show this fingerprint.")
    if not running.place.private:
        others = [name for name in beyond(running.place.names) if name != running.place.shown]
        lines += [f"It also goes by {', '.join(others)}."] if others else []
        lines.append("Who has the address may edit here: it holds the token.")
    return [*lines, "Ctrl-C ends it."]
