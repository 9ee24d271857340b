"""What the tests share: the real photographs, and a tiny project of every stage's output."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2gan.core.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
TINY = {"width": 8, "blocks": 1, "transformers": (1,), "heads": 2, "text_width": 16}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """PyTorch's cache, where conversions of weights are kept, is not the user's own."""
    os.environ["TORCH_HOME"] = str(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs beside the project (or E2GAN_SHARED); the test skips where there is none."""
    folder = Path(os.environ.get("E2GAN_SHARED", ROOT.parent / "shared"))
    if not (folder / "photos").is_dir():
        pytest.skip(f"no real photographs: {folder}/photos is absent (set E2GAN_SHARED)")
    return folder


def said(error: pytest.ExceptionInfo) -> str:
    """The message of an error that is told in one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def refused(work: Callable[[], object]) -> str:
    """The one line that work is refused with."""
    with pytest.raises(InputError) as error:
        work()
    message = str(error.value)
    assert "\n" not in message
    return message


@dataclass(frozen=True)
class Project:
    """Folders of one small project: 32-pixel photos, two pair sets, a tiny base, an adapter, a model from scratch."""

    photos: Path
    sepia: Path
    dusk: Path
    base: Path
    adapter: Path
    model: Path


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"))


def make_project(root: Path) -> Project:
    """Every stage run for real, at the smallest size."""
    import skimage.data
    from PIL import Image

    from e2gan import (
        AdaptConfig,
        BaseConfig,
        GeneratorConfig,
        PairsConfig,
        PhotosConfig,
        ScratchConfig,
        TrainingConfig,
        adapt,
        make_pairs,
        prepare_photos,
        train_base,
        train_scratch,
    )

    (root / "camera").mkdir(parents=True)
    for name in ("astronaut", "coffee", "chelsea"):
        picture = getattr(skimage.data, name)()
        for i in range(10):
            top, left = 12 * i, 20 * i
            Image.fromarray(picture[top : top + 160, left : left + 160]).save(root / "camera" / f"{name}{i}.png")
    project = Project(**{n: root / n for n in ("photos", "sepia", "dusk", "base", "adapter", "model")})
    prepare_photos(PhotosConfig(folder=root / "camera", out=project.photos, size=32))
    for name in ("sepia", "dusk"):
        make_pairs(PairsConfig(photos=project.photos, concept=name, out=getattr(project, name)))
    generator, training = GeneratorConfig(**TINY), TrainingConfig(steps=30, batch=4, precision="fp32")
    train_base(BaseConfig(pairs=(project.dusk,), out=project.base, generator=generator, training=training))
    adapt(AdaptConfig(pairs=project.sepia, base=project.base, out=project.adapter, training=training))
    train_scratch(
        ScratchConfig(pairs=project.sepia, out=project.model, model="e2gan", generator=generator, training=training)
    )
    return project
