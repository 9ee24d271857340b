"""The site in a real browser: its edits against PyTorch's, the camera, offline, and what it says where it cannot."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from e2gan import AdaptConfig, ExportConfig, Model, Predictor, TrainingConfig, adapt, export_model
from e2gan.core.files import sha256
from e2gan.core.images import Pixels, resize
from e2gan.export.preview import served
from tests.conftest import Project
from tests.web.web_tools import (
    SWIFTSHADER,
    as_file,
    built_page,
    chromium,
    edited,
    far,
    opened,
    saved,
    show,
    told,
    until,
)

pytestmark = pytest.mark.slow

LEVELS = 2.0  # of 255, in the mean


@dataclass(frozen=True)
class Site:
    """The folder, and the adapters in it by their names: of light, of light, and one whose edits are only enlarged."""

    folder: Path
    adapters: dict[str, Path]

    def edit(self, photo: Pixels, *names: str, weights: tuple[float, ...] | None = None, strength: float = 1) -> Pixels:
        """By PyTorch."""
        model = Model.load(base="small", adapter=[self.adapters[name] for name in names], weights=weights)
        return Predictor(model, "cpu").edit(photo, strength=strength)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Made once, where several processes share these tests."""
    built_page()
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site-of-all"
    adapters = {name: root / name for name in ("sepia", "dusk", "plain")}
    with FileLock(f"{root}.lock"):
        if not (root / "site").exists():
            make_site(root, adapters, request.getfixturevalue("project"))
    return Site(root / "site", adapters)


def make_site(root: Path, adapters: dict[str, Path], project: Project) -> None:
    training = TrainingConfig(steps=25, batch=4, lr=5e-3, precision="fp32")
    for name in ("sepia", "dusk"):
        pairs = getattr(project, name)
        adapt(AdaptConfig(pairs=pairs, base=Path("small"), out=adapters[name], training=training))
    shutil.copytree(adapters["sepia"], adapters["plain"])
    about = json.loads((adapters["plain"] / "e2gan.json").read_text())
    (adapters["plain"] / "e2gan.json").write_text(json.dumps(about | {"detail": "none"}))
    config = ExportConfig(format="web", adapter=tuple(adapters.values()), out=root / "site", photos=project.photos)
    export_model(config)


@pytest.fixture(scope="module")
def url(site: Site) -> Iterator[str]:
    with served(site.folder) as address:
        yield address


def test_edits_on_the_processor_are_pytorchs(browser: Any, url: str, site: Site, photo: Pixels) -> None:
    page = opened(browser, url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert page.locator("html").get_attribute("data-ready") == "wasm"
    assert page.evaluate("crossOriginIsolated")  # by the service worker: the server sends no headers
    show(page, as_file(photo))
    found = saved(page)
    wanted = site.edit(photo, "sepia")
    assert far(found, wanted) <= LEVELS < 4 * LEVELS < far(photo, wanted)

    edited(page, lambda: page.get_by_role("radio", name="Plain").check(force=True))
    assert far(saved(page), site.edit(photo, "plain")) <= LEVELS
    assert far(site.edit(photo, "plain"), wanted) > LEVELS  # or the two ways back to a photo's size would not differ

    edited(page, lambda: page.get_by_role("radio", name="Sepia").check(force=True))
    edited(page, lambda: page.get_by_label("Mix with").select_option("dusk"))
    edited(page, lambda: page.get_by_label("Share of it").fill("30"))
    assert far(saved(page), site.edit(photo, "sepia", "dusk", weights=(0.7, 0.3))) <= LEVELS

    edited(page, lambda: page.get_by_label("Mix with").select_option(""))
    edited(page, lambda: page.get_by_label("Strength").fill("40"))
    assert far(saved(page), site.edit(photo, "sepia", strength=0.4)) <= LEVELS
    edited(page, lambda: page.get_by_label("Strength").fill("0"))
    assert np.array_equal(saved(page), photo)
    until(page, "document.querySelectorAll('.strip canvas.drawn').length === 3")
    assert [address for address in asked if not address.startswith((url, "blob:", "data:"))] == []


@pytest.mark.parametrize("build", ["jspi", "asyncify"])
def test_edits_in_webgpu_are_pytorchs(playwright: Any, site: Site, photo: Pixels, build: str, tmp_path: Path) -> None:
    """asyncify: for browsers without JSPI, which Chromium has; so the page is made not to see it."""
    small = resize(photo, (64, 64))
    folder = shutil.copytree(site.folder, tmp_path / "site")
    if build == "asyncify":
        (worker,) = (folder / "assets").glob("worker-*.js")
        seen = worker.read_text()
        assert seen.count("Suspending") == 1
        worker.write_text(seen.replace("Suspending", "Nothing"))
    asked: list[str] = []
    with served(folder) as url, chromium(playwright, *SWIFTSHADER) as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.wait_for_selector("html[data-ready]", timeout=300_000)
        if not page.evaluate("navigator.gpu?.requestAdapter().then((adapter) => adapter !== null) ?? false"):
            pytest.skip("this machine's Chromium gives no WebGPU adapter, not even SwiftShader's")
        assert page.locator("#notes").inner_text() == ""
        assert page.locator("html").get_attribute("data-ready") == "webgpu"
        assert any(f"{build}.wasm" in address for address in asked)
        show(page, as_file(small))
        wanted = site.edit(small, "sepia")
        assert far(saved(page), wanted) <= LEVELS < far(small, wanted)


def test_the_cameras_picture_is_edited_taken_and_recorded(browser: Any, url: str, site: Site, photo: Pixels) -> None:
    page = opened(browser, url)
    page.get_by_role("button", name="Use the camera").click()
    until(page, "Number(document.documentElement.dataset.frames ?? 0) > 3")
    assert "frames per second" in page.locator("#badge").inner_text()
    page.get_by_role("button", name="Record").click()
    page.wait_for_timeout(2500)
    with page.expect_download() as download:
        page.get_by_role("button", name="Stop").click()
    clip = Path(download.value.path()).read_bytes()
    assert clip[:4] == b"\x1a\x45\xdf\xa3" or clip[4:8] == b"ftyp"  # WebM, or MP4
    assert len(clip) > 2000

    edited(page, lambda: page.get_by_role("button", name="Take").click())
    found = saved(page)
    # A camera that does not say where it looks is taken for one that faces the visitor: as in a mirror.
    seen = np.ascontiguousarray(resize(resize(photo, (240, 320)), found.shape[:2])[:, ::-1])
    assert far(found, site.edit(seen, "sepia")) <= LEVELS
    assert not page.evaluate("document.getElementById('video').srcObject")  # the camera is off again


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_is_dropped_or_pasted(browser: Any, url: str, photo: Pixels, way: str) -> None:
    page = opened(browser, url)
    given = """([way, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "given.png", { type: "image/png" }));
      const of = { bubbles: true, cancelable: true };
      if (way === "drop") document.body.dispatchEvent(new DragEvent("drop", { ...of, dataTransfer: data }));
      else document.body.dispatchEvent(new ClipboardEvent("paste", { ...of, clipboardData: data }));
    }"""
    edited(page, lambda: page.evaluate(given, [way, list(as_file(photo)["buffer"])]))
    assert page.locator("#badge").inner_text() == "402 × 301"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "given-sepia.png"


def test_a_photo_is_shown_upright_and_keeps_its_size(browser: Any, url: str, photo: Pixels) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    page = opened(browser, url)
    show(page, as_file(photo, "jpeg", exif=exif))
    assert page.locator("#badge").inner_text() == "301 × 402"
    assert saved(page).shape == (402, 301, 3)


def test_offline_after_the_first_visit(browser: Any, site: Site, photo: Pixels) -> None:
    with served(site.folder) as address:
        page = opened(browser, address)
        show(page, as_file(photo))
        until(page, "document.querySelectorAll('.strip canvas.drawn').length === 3")
        online = saved(page)
    page.reload()  # there is no server any more
    page.wait_for_selector("html[data-ready]", timeout=120_000)
    show(page, as_file(photo))
    until(page, "document.querySelectorAll('.strip canvas.drawn').length === 3")
    assert np.array_equal(saved(page), online)
    assert told(page) == ""


def test_a_site_that_was_made_anew_replaces_the_former(browser: Any, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    with served(folder) as address:
        page = opened(browser, address)
        assert page.get_by_role("radio").count() == 0  # nothing to choose without a picture
        manifest, worker = folder / "effects.json", folder / "sw.js"
        former = sha256(manifest)
        told_of = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(told_of | {"effects": told_of["effects"][:1]}))
        assert former in worker.read_text()
        worker.write_text(worker.read_text().replace(former, sha256(manifest)))
        page.reload()
        until(page, "document.getElementById('notes').innerText.includes('newer version')")
        page.reload()
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        until(page, "document.querySelectorAll('.strip label').length === 1")


def test_files_that_are_damaged_or_of_another_base_are_told(
    browser: Any, site: Site, photo: Pixels, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    damaged = folder / "effects" / "dusk.safetensors"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100] + bytes(100))
    foreign = json.loads((folder / "effects.json").read_text())
    for row in foreign["inputs"]:
        if row["kind"] == "lora" and row["name"].endswith(".A"):
            row["shape"] = [None if side is None else side + 1 for side in row["shape"]]
    with served(folder) as address:
        page = opened(browser, address)
        show(page, as_file(photo))
        until(page, "!document.getElementById('alert').hidden")
        assert told(page) == "effects/dusk.safetensors is damaged, or is not the file that this site was made with."
        assert page.get_by_role("radio", name="Dusk").is_disabled()
        until(page, "document.querySelectorAll('.strip canvas.drawn').length === 2")  # the others still work
        assert page.get_by_role("button", name="Save").is_enabled()

    damaged.write_bytes(whole)
    (folder / "effects.json").write_text(json.dumps(foreign))
    with served(folder) as address:
        page = opened(browser, address)
        page.set_input_files("#file", as_file(photo))
        until(page, "!document.getElementById('alert').hidden")
        assert "does not fit this site's base" in told(page)

    for name, content, line in (
        ("base.onnx", b"no graph", "base.onnx is damaged, or is not the file that this site was made with."),
        ("effects.json", b"{", "effects.json does not describe effects: it is not JSON."),
    ):
        (folder / name).write_bytes(content)
        with served(folder) as address:
            page = browser.new_page()
            page.goto(address)
            until(page, "!document.getElementById('alert').hidden")
            assert told(page) == line


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:-50] + bytes([data[-50] ^ 64]) + data[-49:],
    "text": lambda _: b"hello",
    "another program": lambda _: gzip.compress(b"\0asm\1\0\0\0"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_runtime_is_told_by_its_name(browser: Any, site: Site, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    for name in ("ort/ort-wasm-simd-threaded.wasm.gz", "ort/ort-wasm-simd-threaded.mjs"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(DAMAGE[how](whole))
        with served(folder) as address:
            page = browser.new_page()
            page.goto(address)
            until(page, "!document.getElementById('alert').hidden")
            assert told(page) == f"{name} is damaged, or is not the file that this site was made with."
        (folder / name).write_bytes(whole)


def test_a_runtime_that_a_server_unpacks_is_taken(browser: Any, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    packed = folder / "ort" / "ort-wasm-simd-threaded.wasm.gz"
    packed.write_bytes(gzip.decompress(packed.read_bytes()))  # what a browser is given where it is sent as an encoding
    with served(folder) as address:
        assert told(opened(browser, address)) == ""


def test_what_a_browser_cannot_do_is_said_in_words(playwright: Any, url: str, site: Site, photo: Pixels) -> None:
    with chromium(playwright) as browser:  # neither a camera nor the permission for one
        page = opened(browser, url, service_workers="block")
        notes = page.locator("#notes").inner_text()
        assert "no WebGPU" in notes
        assert "one thread" in notes
        show(page, as_file(photo))  # and still it edits
        assert far(saved(page), site.edit(photo, "sepia")) <= LEVELS
        page.get_by_role("button", name="Camera").click()
        until(page, "!document.getElementById('alert').hidden")
        assert "camera" in told(page)
        assert "You can still choose a photo." in told(page)
        page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
        until(page, "document.getElementById('alert').innerText.includes('notes.txt')")
        assert told(page) == "notes.txt is no picture that this browser can read."
        assert page.locator("#status").inner_text() == ""  # no longer that it is being opened
        assert saved(page).shape == photo.shape  # the photo before is still there


@pytest.mark.parametrize("size", [(390, 844), (360, 640), (1280, 800)])
def test_all_of_it_is_in_sight(browser: Any, url: str, photo: Pixels, size: tuple[int, int]) -> None:
    page = opened(browser, url, viewport={"width": size[0], "height": size[1]})
    show(page, as_file(photo))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for does in ("picture", "strength"):
        box = page.locator(f"#{does}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
    picture, save = page.locator("#picture").bounding_box(), page.get_by_role("button", name="Save").bounding_box()
    assert picture["width"] / picture["height"] == pytest.approx(402 / 301, rel=0.02)
    assert picture["height"] >= 200
    assert save["y"] + save["height"] <= size[1]


def test_it_is_used_by_keyboard_and_named_for_a_screen_reader(browser: Any, url: str, photo: Pixels) -> None:
    page = opened(browser, url)
    show(page, as_file(photo))
    page.get_by_role("radio", name="Sepia").focus()
    edited(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.get_by_role("radio", name="Dusk").is_checked()
    slider = page.get_by_role("slider", name="Before and after")
    slider.focus()
    before = int(slider.input_value())
    page.keyboard.press("ArrowLeft")
    assert int(slider.input_value()) == before - 1
    page.get_by_role("slider", name="Strength").focus()
    edited(page, lambda: page.keyboard.press("ArrowLeft"))
    assert page.locator("#strength-shown").inner_text() == "95 %"
    page.get_by_role("button", name="About").press("Enter")
    dialog = page.get_by_role("dialog", name="About")
    assert "Licence" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    named = "[...document.querySelectorAll('button, input, select')].filter((e) => e.checkVisibility())"
    unnamed = f"{named}.filter((e) => !(e.ariaLabel || e.innerText?.trim() || e.labels?.length)).length"
    assert page.evaluate(unnamed) == 0
    assert page.get_by_role("status").count() == 1
