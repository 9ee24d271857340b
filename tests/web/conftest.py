"""One Playwright for all tests of a process: it allows no second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.web_tools import CHROMIUM


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Skips where Playwright or Chromium is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install 'e2gan[dev]'")
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with api.sync_playwright() as found:
        yield found
