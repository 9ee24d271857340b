"""What the tests share: where the real photographs are, and a quiet, small torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs beside the project (or E2GAN_SHARED); the test skips where there is none."""
    folder = Path(os.environ.get("E2GAN_SHARED", ROOT.parent / "shared"))
    if not (folder / "photos").is_dir():
        pytest.skip(f"no real photographs: {folder}/photos is absent (set E2GAN_SHARED)")
    return folder
