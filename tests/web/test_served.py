"""The page of `e2gan app` in a real browser: what the server edits, what the browser does, and what is said of both."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan import AppConfig, EditConfig, Model, Predictor, edit
from e2gan.core.images import Pixels, read_image, resize
from tests.app.conftest import Shelf
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

LEVELS = 2.0
LOADS = "Number(document.documentElement.dataset.loads ?? 0)"
DRAWN = "document.querySelectorAll('.strip canvas.drawn').length === {}"


@pytest.fixture(scope="module")
def app(shelf: Shelf) -> Iterator[str]:
    """An app of two bases: the tiny one with two effects, and the full one with those that ship."""
    for name in ("starlette", "uvicorn", "cryptography"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'e2gan[app]'")
    built_page()
    from e2gan.app.app import serving

    with serving(AppConfig(folder=shelf.folder, port=0, device="cpu", samples="always")) as running:
        yield running.address


def by_command(tmp_path: Path, file: dict[str, Any], *adapters: Path, **how: Any) -> Pixels:
    photo = tmp_path / file["name"]
    photo.write_bytes(file["buffer"])
    config = EditConfig(input=(photo,), out=tmp_path / f"by-command{photo.suffix}", adapter=adapters, **how)
    edit(config)
    return read_image(config.out)


def test_what_is_saved_is_what_the_command_writes(
    browser: Any, app: str, shelf: Shelf, photo: Pixels, tmp_path: Path
) -> None:
    page, lines = browser.new_page(), []
    page.on("console", lambda message: lines.append(message.text))
    page.goto(app)
    page.wait_for_selector("html[data-ready]", timeout=120_000)
    assert page.locator("html").get_attribute("data-ready") == "server"  # this browser has no WebGPU
    assert page.evaluate("crossOriginIsolated")
    assert page.evaluate("navigator.serviceWorker.getRegistrations().then((found) => found.length)") == 0
    assert "edited on the computer that this page came from" in page.locator("#empty").inner_text()
    file = as_file(photo)
    show(page, file)
    found = saved(page)
    assert np.array_equal(found, by_command(tmp_path, file, shelf.adapter, base=shelf.base))

    edited(page, lambda: page.get_by_label("Mix with").select_option("second"))
    edited(page, lambda: page.get_by_label("Share of it").fill("30"))
    edited(page, lambda: page.get_by_label("Strength").fill("70"))
    how = {"weights": (0.7, 0.3), "strength": 0.7, "base": shelf.base}
    wanted = by_command(tmp_path, file, shelf.adapter, shelf.second, **how)
    assert np.array_equal(saved(page), wanted)
    shown = np.asarray(Image.open(io.BytesIO(as_png(page))).convert("RGB"))
    assert far(shown, wanted) <= 0.5  # resized and enlarged in the page, by the same network
    until(page, DRAWN.format(2))
    assert lines == []  # nothing was stopped by the policy
    page.close()


def as_png(page: Any) -> bytes:
    """The picture that is seen."""
    code = """async () => {
      const blob = await new Promise((done) => document.getElementById("after").toBlob(done));
      return [...new Uint8Array(await blob.arrayBuffer())];
    }"""
    return bytes(page.evaluate(code))


def test_a_jpeg_keeps_its_metadata_and_its_kind(browser: Any, app: str, photo: Pixels) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    page = opened(browser, app)
    show(page, as_file(photo, "jpeg", exif=exif, quality=95))
    assert page.locator("#badge").inner_text() == "301 × 402"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "photo-adapter.jpg"
    with Image.open(download.value.path()) as found:
        assert (found.format, found.size, found.getexif()[0x010F]) == ("JPEG", (301, 402), "a camera")
    page.context.close()


def test_another_base_has_its_own_effects(browser: Any, app: str, photo: Pixels, tmp_path: Path) -> None:
    page = opened(browser, app)
    file = as_file(resize(photo, (150, 200)))
    show(page, file)
    assert page.get_by_label("Base").locator("option").all_inner_texts() == ["Base (2)", "Full (7)", "Small (7)"]
    edited(page, lambda: page.get_by_label("Base").select_option(label="Full (7)"))
    names = page.locator(".strip input").evaluate_all("(all) => all.map((one) => one.value)")
    assert names == ["brush", "cartoon", "golden", "infrared", "sketch", "vintage", "winter"]
    edited(page, lambda: page.get_by_role("radio", name="Golden").check(force=True))
    assert np.array_equal(saved(page), by_command(tmp_path, file, Path("golden")))
    edited(page, lambda: page.get_by_label("Base").select_option(label="Base (2)"))
    until(page, DRAWN.format(2))
    assert told(page) == ""
    page.context.close()


def test_the_live_camera_goes_through_the_server(browser: Any, app: str, photo: Pixels, shelf: Shelf) -> None:
    page = opened(browser, app)
    page.get_by_role("button", name="Use the camera").click()
    until(page, "Number(document.documentElement.dataset.frames ?? 0) > 3")
    edited(page, lambda: page.get_by_role("button", name="Take").click())
    found = saved(page)
    seen = np.ascontiguousarray(resize(resize(photo, (240, 320)), found.shape[:2])[:, ::-1])
    wanted = Predictor(Model.load(base=shelf.base, adapter=shelf.adapter), "cpu").edit(seen)
    assert far(found, wanted) <= LEVELS
    page.context.close()


def test_a_busy_server_is_waited_for_and_frames_are_left_out(
    browser: Any, app: str, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    from e2gan.app import api

    page = opened(browser, app)
    monkeypatch.setattr(api, "MOST_REQUESTS", 0)
    page.set_input_files("#file", as_file(photo))
    page.wait_for_timeout(1500)
    assert page.locator("#stage").get_attribute("aria-busy") == "true"
    monkeypatch.undo()
    until(page, "document.documentElement.dataset.edited")
    assert told(page) == ""
    page.get_by_role("button", name="Camera").click()
    until(page, "Number(document.documentElement.dataset.frames ?? 0) > 1")
    monkeypatch.setattr(api, "MOST_REQUESTS", 0)
    page.wait_for_timeout(1000)
    before = int(page.evaluate("Number(document.documentElement.dataset.frames)"))
    page.wait_for_timeout(700)
    assert int(page.evaluate("Number(document.documentElement.dataset.frames)")) == before
    monkeypatch.undo()
    until(page, f"Number(document.documentElement.dataset.frames) > {before + 1}")
    assert told(page) == ""
    page.context.close()


def test_in_this_browser_where_it_is_asked_for(browser: Any, app: str, photo: Pixels, shelf: Shelf) -> None:
    page = browser.new_page()
    page.goto(f"{app}?backend=wasm")
    page.wait_for_selector("html[data-ready]", timeout=300_000)  # the base is made ready first
    assert page.locator("html").get_attribute("data-ready") == "wasm"
    assert page.evaluate("crossOriginIsolated")
    show(page, as_file(photo))
    found = saved(page)
    wanted = Predictor(Model.load(base=shelf.base, adapter=shelf.adapter), "cpu").edit(photo)
    assert far(found, wanted) <= LEVELS
    assert "on this device" in page.locator("#about-dialog").text_content()
    page.close()


def test_a_browser_with_webgpu_takes_over_once_its_files_are_ready(playwright: Any, app: str, photo: Pixels) -> None:
    with chromium(playwright, *SWIFTSHADER) as browser:
        page = opened(browser, app)
        if not page.evaluate("navigator.gpu?.requestAdapter().then((adapter) => adapter !== null) ?? false"):
            pytest.skip("this machine's Chromium gives no WebGPU adapter, not even SwiftShader's")
        until(page, "document.documentElement.dataset.ready === 'webgpu'", patience=400)  # they are written first
        show(page, as_file(resize(photo, (64, 64))))
        assert told(page) == ""


def test_effects_come_and_go_and_what_is_broken_is_told(
    browser: Any, shelf: Shelf, photo: Pixels, tmp_path: Path
) -> None:
    from e2gan.app.app import serving

    copy = shelf.copy(tmp_path / "own")
    away = copy.second.rename(copy.folder / "second.partial")
    with serving(AppConfig(folder=copy.folder, port=0, device="cpu")) as running:
        page = opened(browser, running.address)
        show(page, as_file(photo))
        assert page.get_by_role("radio").count() == 1
        away.rename(copy.second)
        until(page, "document.querySelectorAll('.strip label').length === 2")
        until(page, DRAWN.format(2))
        assert page.get_by_role("radio", name="Adapter").is_checked()
        shutil.copytree(copy.second, copy.folder / "dusty")
        (copy.folder / "dusty/adapter_model.safetensors").write_bytes(b"no weights")
        until(page, "document.querySelectorAll('#problems li').length === 1")
        line = page.locator("#problems").inner_text()
        assert line.startswith("dusty: ")
        assert str(tmp_path) not in line
        edited(page, lambda: page.get_by_role("radio", name="Second").check(force=True))  # the others go on
        shutil.rmtree(copy.folder / "dusty")
        until(page, "document.querySelectorAll('#problems li').length === 0")
        port = int(running.address.rstrip("/").rpartition(":")[2])
    until(page, "document.getElementById('alert').innerText.includes('does not answer')")
    time.sleep(0.5)
    with serving(AppConfig(folder=copy.folder, port=port, device="cpu")):
        until(page, "document.getElementById('alert').hidden")
    page.context.close()


def test_over_https_with_the_token_in_the_address(
    browser: Any, shelf: Shelf, photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from e2gan.app.app import serving

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with serving(AppConfig(folder=shelf.folder, host="0.0.0.0", port=0, device="cpu")) as running:
        port, token = running.place.port, running.address.partition("?")[2]
        at = f"https://127.0.0.1:{port}/"
        page = browser.new_context(ignore_https_errors=True).new_page()
        assert page.goto(at).status == 401
        page.goto(f"{at}?{token}")
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        assert page.url == at  # the token is not left in the address
        show(page, as_file(photo))
        page.get_by_role("button", name="Camera").click()
        until(page, "Number(document.documentElement.dataset.frames ?? 0) > 1")
        page.context.close()


@pytest.mark.parametrize("size", [(390, 844), (360, 640), (1280, 800)])
def test_all_of_it_is_in_sight_with_two_bases(browser: Any, app: str, photo: Pixels, size: tuple[int, int]) -> None:
    page = opened(browser, app, viewport={"width": size[0], "height": size[1]})
    show(page, as_file(photo))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    base, save = page.get_by_label("Base").bounding_box(), page.get_by_role("button", name="Save").bounding_box()
    assert base["x"] >= 0
    assert base["x"] + base["width"] <= size[0]
    assert page.locator("#picture").bounding_box()["height"] >= 150
    assert save["y"] + save["height"] <= size[1] or size == (360, 640)
    page.context.close()
