"""Teachers of a few lines, and pair sets by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from e2gan.config import PairsConfig, TeachConfig
from e2gan.core.images import Pixels
from e2gan.data.photos import PhotoSet
from e2gan.pairs.make import PairsResult, make_pairs
from e2gan.teachers.filters.filters import FILTERS, apply
from e2gan.teachers.function import FunctionTeacher
from e2gan.teachers.teacher import Failed
from tests.conftest import Project

Edit = Callable[[Pixels, int], "Pixels | Failed"]


def sepia(photo: Pixels, seed: int) -> Pixels:  # noqa: ARG001
    return apply(FILTERS["sepia"], photo)


class Counted:
    """A function teacher that notes what it was asked for: the batches, and each photo with its seed."""

    def __init__(self, edit: Edit = sepia, batch: int = 4, most: int | None = None) -> None:
        self.edit, self.most = edit, most
        self.sizes: list[int] = []
        self.asked: Counter[tuple[bytes, int]] = Counter()
        self.teacher = FunctionTeacher(self.run, name="mine", batch=batch)

    def run(self, photos: list[Pixels], prompt: str, seeds: list[int]) -> list[Pixels | Failed]:  # noqa: ARG002
        self.sizes.append(len(photos))
        if self.most is not None and len(photos) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.asked.update((photo.tobytes(), seed) for photo, seed in zip(photos, seeds, strict=True))
        return [self.edit(photo, seed) for photo, seed in zip(photos, seeds, strict=True)]


def run(project: Project, out: Path, teachers: Sequence[FunctionTeacher], **teach: object) -> PairsResult:
    config = PairsConfig(out=out, photos=project.photos, concept="as a sepia photo", teach=TeachConfig(**teach))  # type: ignore[arg-type]
    return make_pairs(config, teachers)


def count(project: Project) -> int:
    return len(PhotoSet.load(project.photos).photos)
