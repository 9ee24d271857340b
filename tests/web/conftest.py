"""One Playwright for all tests of a process, since it allows no second; a browser with a camera, a photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.core.images import Pixels, resize
from e2gan.data.builtin_photos import builtin_pictures
from tests.app.conftest import shelf as shelf
from tests.web.web_tools import CHROMIUM, chromium


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Skips where Playwright or Chromium is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install 'e2gan[dev]'")
    with api.sync_playwright() as found:
        if not CHROMIUM and not Path(found.chromium.executable_path).exists():
            pytest.skip("Chromium is missing: make browser, or apt-get install chromium")
        yield found


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return resize(next(iter(builtin_pictures().values())), (301, 402))


@pytest.fixture(scope="module")
def camera_file(photo: Pixels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake camera shows: the photo, as a film of one picture."""
    file = tmp_path_factory.mktemp("camera") / "camera.y4m"
    picture = resize(photo, (240, 320))
    planes = Image.fromarray(picture).convert("YCbCr")
    y, cb, cr = (np.asarray(plane, np.float32) for plane in planes.split())
    halved = [c.reshape(120, 2, 160, 2).mean((1, 3)) for c in (cb, cr)]
    limited = [y * 219 / 255 + 16, *((c - 128) * 224 / 255 + 128 for c in halved)]
    frame = b"FRAME\n" + b"".join(np.rint(plane).astype(np.uint8).tobytes() for plane in limited)
    file.write_bytes(b"YUV4MPEG2 W320 H240 F30:1 Ip A1:1 C420jpeg\n" + frame * 30)
    return file


@pytest.fixture(scope="module")
def browser(playwright: Any, camera_file: Path) -> Iterator[Any]:
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(playwright, *fake, f"--use-file-for-fake-video-capture={camera_file}") as found:
        yield found
