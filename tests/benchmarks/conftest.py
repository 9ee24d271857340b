"""What several commands' tests read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.core.images import write_png
from e2gan.data.builtin_photos import builtin_pictures


@pytest.fixture(scope="session")
def photo_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four folders of photographs, filled with crops of the built-in pictures."""
    root, pictures = tmp_path_factory.mktemp("photos"), list(builtin_pictures().values())
    for k, (name, count) in enumerate({"train": 40, "landscapes": 14, "faces": 8, "test": 6}.items()):
        (root / name).mkdir()
        for i in range(count):
            picture = pictures[(i + k) % len(pictures)]
            crop = picture[4 * i : 4 * i + 96, 12 * k : 12 * k + 128]
            write_png(root / name / f"{i:02}.png", np.ascontiguousarray(crop))
    return root
