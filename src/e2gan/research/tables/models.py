"""The models of an experiment: bases, adapters and baselines by name, each trained once; selections of photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from e2gan.choose.photos import select_photos
from e2gan.config import (
    COMODGAN_TRAINING,
    AdaptConfig,
    BaseConfig,
    FinetuneConfig,
    GeneratorConfig,
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
from e2gan.features.embeddings import KINDS
from e2gan.measure.metrics import NetworkOptions
from e2gan.networks.folders import base_folder
from e2gan.research.comparison import Comparison, TrainedModel, Variant, load_sets
from e2gan.research.tables.sets import resized_set
from e2gan.train.adapter import adapt
from e2gan.train.base import train_base
from e2gan.train.finetune import finetune_base
from e2gan.train.scratch import train_scratch

Method = Literal["similarity", "random"]


class Models:
    """What an experiment compares: bases, trained at once, and variants, whose models are trained later.

    sets: concepts to evaluate on; base_sets: concepts to train bases on. A model's folder is named as its variant,
    where no other `folder` is given.
    """

    def __init__(self, config: TableConfig, out: Path) -> None:
        """Raises InputError where a pair set is missing, or the metric is not at hand."""
        self.config, self.out = config, out
        options = NetworkOptions(features=config.features, inception=config.inception, device=config.device)
        self.comparison = Comparison(out, config.metric, options)
        more = [folder for folder in config.base_pairs if folder not in config.pairs]
        by_folder = {s.folder: self._sized(s) for s in load_sets([*config.pairs, *more])}
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
            out=self.comparison.folder("bases", name),
            text=c.text,
            generator=generator or c.generator,
            training=replace(self.training(c.base_epochs, c.lr), minutes=c.base_minutes, steps=c.base_steps),
        )
        return train_base(settings).folder

    def adapter(
        self,
        name: str,
        folder: str | None = None,
        *,
        base: Path | None = None,
        ranks: Ranks | None = None,
        selection: Callable[[PairSet], Path] | None = None,
    ) -> Variant:
        """Adapters on the usual base, or on another, of all training photos, or of those in a selection.json."""
        c = self.config

        def train(pair_set: PairSet) -> TrainedModel:
            on = self.base() if base is None else base
            training = self.training(c.epochs, c.adapter_lr)
            photos = None if selection is None else selection(pair_set)
            if photos is not None:  # a selection of fewer photos than a batch is one batch
                training = replace(training, batch=min(c.batch, len(selected_ids(photos))))
            out = self._folder(folder or name, pair_set)
            settings = AdaptConfig(
                pairs=pair_set.folder, out=out, base=on, selection=photos, ranks=ranks or c.ranks, training=training
            )
            return TrainedModel.of(adapt(settings), on)

        return Variant(name, train)

    def scratch(
        self,
        name: str,
        folder: str | None = None,
        *,
        model: Literal["pix2pix", "comodgan", "e2gan"] = "e2gan",
        generator: GeneratorConfig | None = None,
        part: float = 1.0,
    ) -> Variant:
        """Models from scratch, for a part of the training."""
        c = self.config
        training = self.training(c.epochs if model == "e2gan" else c.baseline_epochs, c.lr, part)
        if model == "comodgan":
            usual = COMODGAN_TRAINING
            training = replace(training, lr=usual.lr, betas=usual.betas, r1=usual.r1, schedule=usual.schedule)

        def train(pair_set: PairSet) -> TrainedModel:
            settings = ScratchConfig(
                pairs=pair_set.folder,
                out=self._folder(folder or name, pair_set),
                model=model,
                unpaired=not pair_set.paired,
                text=c.text,
                generator=generator or c.generator,
                training=training,
            )
            return TrainedModel.of(train_scratch(settings))

        return Variant(name, train)

    def all_weights(
        self, name: str = "all weights of the base", folder: str = "all weights", *, base: Path, part: float = 1.0
    ) -> Variant:
        """A base's own weights, all fine-tuned, for a part of the training."""
        training = self.training(self.config.epochs, self.config.lr, part)

        def train(pair_set: PairSet) -> TrainedModel:
            out = self._folder(folder, pair_set)
            settings = FinetuneConfig(pairs=pair_set.folder, out=out, base=base, training=training)
            return TrainedModel.of(finetune_base(settings))

        return Variant(name, train)

    def _folder(self, name: str, pair_set: PairSet) -> Path:
        """Where a model of a concept is trained, which is told."""
        note(f'"{pair_set.prompt}": {name}')
        return self.comparison.folder(name, pair_set.folder.name)

    def selection(
        self, method: Method = "similarity", *, embedding: str | None = None, part: float | None = None
    ) -> Callable[[PairSet], Path]:
        """How to select training photos of a concept: --keep of them, else half; or a given part."""

        def select(pair_set: PairSet) -> Path:
            count = sum(row["split"] == "train" for row in pair_set.rows)
            keep = min(count, self.config.keep) if self.config.keep else max(1, count // 2)
            if part is not None:
                keep = max(1, round(part * count))
            return self._select(pair_set, keep, method, embedding or self.config.embedding)

        return select

    def _select(self, pair_set: PairSet, keep: int, method: Method, embedding: str) -> Path:
        """The selection.json of K training photos; one for all concepts of the same photos.

        Raises InputError where the pair set holds a part of its photos only: it was selected before.
        """
        edited = {row["photo"] for row in pair_set.rows if row["split"] == "train"}
        if missing := {photo.id for photo in pair_set.photos.split("train")} - edited:
            raise InputError(
                f"{pair_set.folder} lacks {len(missing)} of its photo set's training photos, and this experiment "
                f"selects by itself: make its pairs without a selection.json in {pair_set.photo_folder}"
            )
        folder = self.out / "selections"
        folder.mkdir(parents=True, exist_ok=True)
        photos = sha256(pair_set.photo_folder / INDEX)[:12]
        out = folder / f"{photos}-{method}-{slug(Path(embedding).stem)}-{keep}.json"
        settings = SelectConfig(
            photos=pair_set.photo_folder, keep=keep, method=method, out=out, **self.embedding_settings(embedding)
        )
        select_photos(settings)
        return out

    def embedding_settings(self, embedding: str) -> dict[str, Any]:
        """What a selection of photos or concepts embeds with; of --features and --model, what it has use for."""
        c = self.config
        takes = KINDS[embedding].takes if embedding in KINDS else "nothing"
        network = {} if takes == "nothing" else {takes: getattr(c, takes)}
        return {"embedding": embedding, "seed": c.seed, "device": c.device} | network
