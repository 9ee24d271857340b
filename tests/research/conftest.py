"""The pair sets that experiments are tried on, and a segmentation model."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan import PairsConfig, make_pairs
from e2gan.core.images import write_png
from tests.conftest import Project
from tests.measure.tiny_segformer import painted, scenes, write_segformer
from tests.research.tables.tiny_tables import Sets, make_sets


@pytest.fixture(scope="session")
def sets(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return make_sets(project, tmp_path_factory.mktemp("concepts"))


@pytest.fixture(scope="session")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segformer(tmp_path_factory.mktemp("segformer"))


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair set of label maps, with noisy pictures of the same scenes as their edits."""
    root = tmp_path_factory.mktemp("maps")
    for i, labels in enumerate(scenes(30, 11)):
        for name, noise in (("maps", 0), ("photos", 20)):
            (root / name).mkdir(exist_ok=True)
            write_png(root / name / f"{i:02}.png", painted(labels[None], noise, seed=i)[0])
    make_pairs(PairsConfig(before=root / "maps", after=root / "photos", concept="a photo", out=root / "pairs", size=64))
    return root / "pairs"
