"""What several test files of the pairs start from: a photo set, and candidates of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.core.images import read_image, write_png
from e2gan.data.builtin_photos import demo_photo_set
from e2gan.data.photos import PhotoSet
from e2gan.pairs.candidates import Candidate
from e2gan.teachers.filters.filters import FILTERS, apply
from tests.pairs import tiny_pairs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tiny_pairs.photo_set(tmp_path, 10)


@pytest.fixture(scope="module")
def photo_set(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    folder = tmp_path_factory.mktemp("choosing") / "photos"
    demo_photo_set(folder, 48, 0, crops=6)
    return PhotoSet.load(folder)


@pytest.fixture
def rows(photo_set: PhotoSet, tmp_path: Path) -> list[Candidate]:
    """Two edits of each training photo; the second of each is rejected, of the first photo both are kept."""
    found = []
    for i, photo in enumerate(photo_set.split("train")):
        for seed, name in enumerate(("sepia", "sketch")):
            file = f"candidates/{photo.id}/filters-{name}--{seed}.png"
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            write_png(tmp_path / file, apply(FILTERS[name], read_image(photo_set.folder / photo.file)))
            reason = "structure<0.9" if seed and i else None
            scores = {"structure": 0.9 - seed / 10}
            found.append(
                Candidate(
                    photo=photo.id,
                    split="train",
                    teacher=f"filters:{name}",
                    seed=seed,
                    file=file,
                    scores=scores,
                    rejected=reason,
                    picked=not seed,
                )
            )
    return found
