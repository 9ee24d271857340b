"""A static site: the page of web/, and the effects of `export --format effects` beside it, for any web server."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

from e2gan.core.errors import InputError
from e2gan.core.files import sha256, write_bytes
from e2gan.export import effects
from e2gan.export.format import Check, Order, bytes_of
from e2gan.export.licence import LICENCE
from e2gan.sharing.model_card import BASE_CARD

SERVICE_WORKER = "sw.js"
VERSION = "__E2GAN_VERSION__"  # in it: another for each site, so that a browser takes the files of one site only
NOTICES = "licences.txt"  # of what the page is made of
OWN = ("index.html", SERVICE_WORKER, LICENCE, "manifest.webmanifest", "icon.svg", "icon-192.png", "icon-512.png")
RUNTIME = "ort"  # onnxruntime's files, of which a browser loads one kind
KINDS = {"WASM": "ort-wasm-simd-threaded", "WebGPU": "ort-wasm-simd-threaded.jspi"}
KINDS |= {"WebGPU without JSPI": "ort-wasm-simd-threaded.asyncify"}
MOST_WIRE, MOST_DISK = 10e6, 40e6
PACKED = (".gz", ".br", ".png")


def page_folder() -> Path:
    """Where the built page lies in the package, whether it is there or not."""
    return Path(str(resources.files("e2gan"))) / "assets" / "web"


def require() -> None:
    """Raises InputError where the page is not built, or a package of the extra `export` is missing."""
    if not (page_folder() / "index.html").is_file():
        raise InputError("the page is not built in this clone: type `make web`, which brings its own Node, and repeat")
    effects.require()


def write(order: Order, path: Path) -> None:
    """The folder of `effects`, and the page around it. Raises InputError as `effects.write` does."""
    effects.write(order, path)
    folder, page = path.parent, page_folder()
    shutil.copytree(page, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(NOTICES))
    worker = (folder / SERVICE_WORKER).read_text("utf-8")
    write_bytes(folder / SERVICE_WORKER, worker.replace(VERSION, sha256(path)).encode())


def notices() -> str:
    """What the page is made of."""
    return (page_folder() / NOTICES).read_text("utf-8")


def checks(path: Path) -> list[Check]:
    """Those of the effects, and whether the site is as small as a visit over a phone's connection asks for."""
    folder = path.parent
    disk = bytes_of(folder)
    wire = {kind: bytes_over_the_wire(folder, stem) for kind, stem in KINDS.items()}
    told = ", ".join(f"{size / 1e6:.1f} MB with {kind}" for kind, size in wire.items())
    large = [f"more than {MOST_WIRE / 1e6:.0f} MB with {kind}" for kind, size in wire.items() if size > MOST_WIRE]
    large += [f"more than {MOST_DISK / 1e6:.0f} MB on disk"] if disk > MOST_DISK else []
    name = f"a first visit, compressed: {told}; on disk {disk / 1e6:.1f} MB"
    return [*effects.checks(path), Check(name, not large, large)]


def bytes_over_the_wire(folder: Path, stem: str) -> int:
    """What a first visit loads, from a server that compresses. stem: of the runtime's files that the browser takes."""
    total = 0
    for file in folder.rglob("*"):
        others = file.parent.name == RUNTIME and file.name.split(".wasm")[0].removesuffix(".mjs") != stem
        if not file.is_file() or others or file.name in (LICENCE, BASE_CARD, "parity.json", "config.json"):
            continue
        data = file.read_bytes()
        total += len(data) if file.suffix in PACKED else len(gzip.compress(data, 6))
    return total


FORMAT = replace(
    effects.FORMAT,
    purpose="a site for any web server: photos and the camera, edited in the visitor's browser, on phones too",
    require=require,
    write=write,
    checks=checks,
    beside=(*effects.FORMAT.beside, *OWN, RUNTIME, "assets"),
    notices=notices,
)
