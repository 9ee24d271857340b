"""One edit that the demo learns: its photos, pairs, adapter, and what is trained beside it, in a folder of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from e2gan.config import AdaptConfig, EvaluateConfig, PairsConfig, Recipe, ScratchConfig, TrainingConfig
from e2gan.config.schemas import BASE
from e2gan.core.errors import InputError
from e2gan.core.images import resize
from e2gan.core.outputs import read_settings
from e2gan.core.progress import note
from e2gan.core.tensors import read_tensors
from e2gan.data.builtin_photos import demo_photo_set, test_pictures
from e2gan.demo.report import Example
from e2gan.editing.predictor import Predictor
from e2gan.measure.evaluate import Evaluation, evaluate
from e2gan.networks.folders import ADAPTER, generator_config
from e2gan.networks.models import Model
from e2gan.pairs.make import make_pairs
from e2gan.teachers.filters.filters import FILTERS, Filter, apply
from e2gan.train.adapter import adapt
from e2gan.train.loop import check_size, read_log
from e2gan.train.scratch import train_scratch

SHOWN_SIDE = 384  # shorter side of the report's pictures


@dataclass(frozen=True)
class Effect:
    """An edit of the built-in teacher, learned by an adapter of `base`.

    folder: where its photos, pairs and models lie. size: of the training photos, in pixels. recipe: what `adapt` takes
    beside `training`. pix2pix: how one is trained from scratch beside it; None: none is. side: shorter side at which
    the report's pictures are run; None: as `edit` does.
    """

    concept: Filter
    base: Path
    folder: Path
    size: int
    seed: int
    training: TrainingConfig
    recipe: Recipe
    pix2pix: TrainingConfig | None = None
    side: int | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The base's."""
        return read_settings(self.base, BASE, "base")

    @property
    def learned(self) -> list[str]:
        """The prompts that the base knows."""
        return list(self.settings.get("concepts", ()))

    def check(self, flag: str) -> None:
        """Raises InputError where the base has learned the edit, or does not take photos of the size. flag: the option
        that named the edit."""
        check_size(generator_config(self.settings), self.size, self.training.crop)
        if self.concept.prompt in self.learned:
            new = ", ".join(f.name for f in FILTERS.values() if f.prompt not in self.learned)
            raise InputError(
                f'{flag} {self.concept.name}: the base has learned "{self.concept.prompt}"; new to it are {new}'
            )

    def make(self) -> None:
        """Photos, pairs, the adapter and what is beside it. What is there already is left."""
        folder, photos, pairs = self.folder, self.folder / "photos", self.folder / "pairs"
        with stage(f"photos of {self.size} pixels: crops of the built-in pictures, whole pictures kept for the test"):
            demo_photo_set(photos, self.size, self.seed)
        with stage(f"pairs: {self.concept.prompt}"):
            make_pairs(PairsConfig(photos=photos, concept=self.concept.prompt, out=pairs, seed=self.seed))
        with stage(f"adapter: {self.concept.prompt}, {self.training.minutes:g} minutes"):
            own = self.recipe.settings("adapt", generator_config(self.settings))
            config = AdaptConfig(base=self.base, pairs=pairs, out=folder / "adapter", **own)
            trained = adapt(replace(config, training=self.training))
            if trained.result.lost is not None:
                note(f"the training was lost: {trained.result.lost}")
        if self.pix2pix is not None:
            with stage(f"pix2pix from scratch on the same pairs, {self.pix2pix.minutes:g} minutes"):
                train_scratch(ScratchConfig(pairs=pairs, out=folder / "pix2pix", training=self.pix2pix))
        with stage("colour table of the same pairs"):
            train_scratch(ScratchConfig(pairs=pairs, out=folder / "lut", model="lut", training=self.training))

    def evaluate(self) -> Evaluation:
        """The adapter on the test photos, with the colour table and the photos as they are beside it."""
        config = EvaluateConfig(base=self.base, adapter=self.folder / "adapter", pairs=self.folder / "pairs")
        return evaluate(config)

    @cached_property
    def ours(self) -> Predictor:
        return Predictor(Model.load(base=self.base, adapter=(self.folder / "adapter",)))

    @cached_property
    def theirs(self) -> Predictor:
        return Predictor(Model.load(model=self.folder / "pix2pix"))

    @property
    def seconds(self) -> float:
        """How long the adapter was trained."""
        return float(read_log(self.folder / "adapter")[-1]["seconds"])

    @property
    def bytes(self) -> int:
        """The adapter's, on disk."""
        return (self.folder / "adapter" / ADAPTER).stat().st_size

    @property
    def trained(self) -> int:
        """The adapter's parameters."""
        return sum(t.numel() for t in read_tensors(self.folder / "adapter" / ADAPTER)[0].values())

    def examples(self) -> list[Example]:
        """The test pictures, whole: photo, teacher, the adapter's edit, the colour table's, pix2pix's."""
        found, table = [], Predictor(Model.load(model=self.folder / "lut"))
        for name, picture in sorted(test_pictures().items(), reverse=True):
            scale = SHOWN_SIDE / min(picture.shape[:2])
            photo = resize(picture, (round(picture.shape[0] * scale), round(picture.shape[1] * scale)))
            found.append(
                Example(
                    name=f"{name}, {self.concept.prompt}",
                    photo=photo,
                    teacher=apply(self.concept, photo),
                    ours=self.ours.edit(photo, side=self.side),
                    lut=table.edit(photo),
                    pix2pix=None if self.pix2pix is None else self.theirs.edit(photo, side=self.side),
                )
            )
        return found


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Tell on standard error what begins, and how long it took."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold]{title}[/bold]")
    start = time.monotonic()
    yield
    console.print(f"  {time.monotonic() - start:.0f} s", style="dim")
