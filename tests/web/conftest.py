"""One Playwright for all tests of a process: it allows no second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.web_tools import CHROMIUM


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Skips where Playwright or Chromium is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install 'e2gan[dev]'")
    with api.sync_playwright() as found:
        if not CHROMIUM and not Path(found.chromium.executable_path).exists():
            pytest.skip("Chromium is missing: make browser, or apt-get install chromium")
        yield found
