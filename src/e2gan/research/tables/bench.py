"""The bench of an experiment: bases, adapters, baselines and selections by name, each made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from e2gan.choose.photos import select_photos
from e2gan.config import (
    COMODGAN_TRAINING,
    AdaptConfig,
    BaseConfig,
    FinetuneConfig,
    GeneratorConfig,
    Part,
    Ranks,
    ScratchConfig,
    SelectConfig,
    TableConfig,
    TrainingConfig,
)
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.names import slug
from e2gan.core.progress import note
from e2gan.data.pair_set import PairSet, selected_ids
from e2gan.data.photos import INDEX
from e2gan.networks.models import base_folder
from e2gan.research.comparison import Lab, Subject, load_sets
from e2gan.research.tables.sets import resized_set
from e2gan.train.adapter import adapt
from e2gan.train.base import train_base
from e2gan.train.finetune import finetune_base
from e2gan.train.scratch import train_scratch

__all__ = ["Bench"]

Kind = Literal["pix2pix", "pix2pix-unet", "comodgan", "e2gan"]


class Bench:
    """What an experiment is made with. sets: concepts to evaluate on; base_sets: concepts to train bases on."""

    def __init__(self, config: TableConfig, out: Path) -> None:
        """Raises InputError where a pair set is missing, or the metric is not at hand."""
        self.config, self.out = config, out
        self.lab = Lab(out, config.metric, config.features, config.inception, config.device)
        others = [folder for folder in config.base_pairs if folder not in config.pairs]
        found = load_sets([*config.pairs, *others])
        by_folder = {s.folder: self._sized(s) for s in found}
        self.sets = [by_folder[folder] for folder in config.pairs]
        self.base_sets = [by_folder[folder] for folder in config.base_pairs]

    def _sized(self, pair_set: PairSet) -> PairSet:
        size = self.config.size
        if size is None or size == pair_set.size:
            return pair_set
        return resized_set(pair_set, size, self.out.parent / f"sets-{size}")

    def training(self, epochs: int, lr: float, part: float = 1.0) -> TrainingConfig:
        """Settings of one training of a concept; part: the fraction of it that is trained."""
        c = self.config
        return TrainingConfig(
            epochs=max(1, round(epochs * part)),
            minutes=None if c.minutes is None else c.minutes * part,
            steps=None if c.steps is None else max(1, round(c.steps * part)),
            batch=c.batch,
            lr=lr,
            schedule=c.schedule,
            precision=c.precision,
            device=c.device,
            seed=c.seed,
        )

    def base(
        self, name: str = "base", *, sets: Sequence[PairSet] | None = None, generator: GeneratorConfig | None = None
    ) -> Path:
        """The usual base; or one of other concepts, or of another generator, under a name of its own."""
        c = self.config
        if c.base is not None and sets is None and generator is None:
            return base_folder(c.base)
        sets = self.base_sets if sets is None else sets
        if not sets:
            raise InputError("this experiment trains a base: name the concepts for it with --base-pairs")
        note(f"{name}: {len(sets)} concepts")
        settings = BaseConfig(
            pairs=tuple(s.folder for s in sets),
            out=self.lab.folder("bases", name),
            text=c.text,
            generator=generator or c.generator,
            training=replace(self.training(c.base_epochs, c.lr), minutes=c.base_minutes, steps=c.base_steps),
        )
        return train_base(settings).folder

    def adapter(
        self,
        name: str,
        pair_set: PairSet,
        *,
        base: Path | None = None,
        ranks: Ranks | None = None,
        selection: Path | None = None,
    ) -> Subject:
        base = self.base() if base is None else base
        note(f'"{pair_set.prompt}": {name}')
        c = self.config
        training = self.training(c.epochs, c.adapter_lr)
        if selection is not None:  # a selection of fewer photos than a batch is one batch
            training = replace(training, batch=min(c.batch, len(selected_ids(selection))))
        settings = AdaptConfig(
            pairs=pair_set.folder,
            out=self.lab.folder(name, pair_set.folder.name),
            base=base,
            selection=selection,
            ranks=ranks or c.ranks,
            training=training,
        )
        return Subject.of(adapt(settings), base)

    def scratch(
        self, name: str, pair_set: PairSet, model: Kind, *, generator: GeneratorConfig | None = None, part: float = 1.0
    ) -> Subject:
        note(f'"{pair_set.prompt}": {name}')
        c = self.config
        epochs = c.epochs if model == "e2gan" else c.baseline_epochs
        training = self.training(epochs, c.lr, part)
        if model == "comodgan":
            own = COMODGAN_TRAINING
            training = replace(training, lr=own.lr, betas=own.betas, r1=own.r1, schedule=own.schedule)
        settings = ScratchConfig(
            pairs=pair_set.folder,
            out=self.lab.folder(name, pair_set.folder.name),
            model=model,
            unpaired=not pair_set.paired,
            text=c.text,
            generator=generator or c.generator,
            training=training,
        )
        return Subject.of(train_scratch(settings))

    def tuned(
        self, name: str, pair_set: PairSet, *, base: Path, frozen: tuple[Part, ...] = (), part: float = 1.0
    ) -> Subject:
        note(f'"{pair_set.prompt}": {name}')
        c = self.config
        settings = FinetuneConfig(
            pairs=pair_set.folder,
            out=self.lab.folder(name, pair_set.folder.name),
            base=base,
            frozen=frozen,
            training=self.training(c.epochs, c.lr, part),
        )
        return Subject.of(finetune_base(settings))

    def selection(
        self,
        pair_set: PairSet,
        keep: int,
        method: Literal["similarity", "random"] = "similarity",
        embedding: str | None = None,
    ) -> Path:
        """The selection.json of K training photos; one for all concepts of the same photos.

        Raises InputError where the pair set holds a part of its photos only: it was selected before.
        """
        c = self.config
        embedding = embedding or c.embedding
        here = {row["photo"] for row in pair_set.rows if row["split"] == "train"}
        if missing := {photo.id for photo in pair_set.photos.split("train")} - here:
            raise InputError(
                f"{pair_set.folder} lacks {len(missing)} of its photo set's training photos, and this experiment "
                f"selects by itself: make its pairs without a selection.json in {pair_set.photo_folder}"
            )
        folder = self.out / "selections"
        folder.mkdir(parents=True, exist_ok=True)
        photos = sha256(pair_set.photo_folder / INDEX)[:12]
        out = folder / f"{photos}-{method}-{slug(Path(embedding).stem)}-{keep}.json"
        settings = SelectConfig(
            photos=pair_set.photo_folder,
            keep=keep,
            method=method,
            embedding=embedding,
            features=c.features if embedding == "squeezenet" else None,
            model=c.model if embedding in ("clip", "dinov2") else None,
            out=out,
            seed=c.seed,
            device=c.device,
        )
        select_photos(settings)
        return out

    def keep(self, pair_set: PairSet) -> int:
        """How many training photos a selection keeps."""
        count = sum(row["split"] == "train" for row in pair_set.rows)
        return min(count, self.config.keep) if self.config.keep else max(1, count // 2)
