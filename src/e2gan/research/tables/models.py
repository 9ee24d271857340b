"""The models of an experiment: bases, adapters and models from scratch, each trained once, and selections of photos.

An experiment says what it compares before anything is trained: a `Base` trains when the first of its adapters does, and
`Models.check` looks at all that can be looked at before that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from e2gan.choose.photos import select_photos
from e2gan.config import (
    KEPT,
    AdaptConfig,
    BaseConfig,
    ExperimentConfig,
    FinetuneConfig,
    GeneratorConfig,
    Part,
    Ranks,
    ScratchConfig,
    SelectConfig,
    TableConfig,
)
from e2gan.config.schemas import BASE, PAIR_SET
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.names import slug
from e2gan.core.outputs import read_settings
from e2gan.core.progress import note
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import INDEX
from e2gan.features.embeddings import KINDS
from e2gan.networks.folders import base_folder, generator_config
from e2gan.networks.models import build_generator, encoder_of, named_text
from e2gan.networks.text import known_width, text_encoder
from e2gan.research.comparison import Comparison, TrainedModel, Variant
from e2gan.research.tables.concepts import Concepts
from e2gan.research.tables.sets import without_cross_attention
from e2gan.train.adapter import adapt
from e2gan.train.base import train_base
from e2gan.train.finetune import finetune_base
from e2gan.train.scratch import train_scratch

Method = Literal["similarity", "random"]
ScratchModel = Literal["pix2pix", "comodgan", "e2gan", "cyclegan"]


@dataclass(frozen=True)
class Selection:
    """Which training photos of a concept an adapter learns from. keep: how many; embedding: None for the table's."""

    keep: int
    method: Method = "similarity"
    embedding: str | None = None


class Base:
    """A base, there already or trained when its folder is first asked for. generator: its own."""

    def __init__(self, name: str, generator: GeneratorConfig, make: Callable[[], Path]) -> None:
        self.name, self.generator, self._make = name, generator, make

    @cached_property
    def folder(self) -> Path:
        return self._make()


class Models:
    """What an experiment compares: variants of models of the concepts in `concepts.sets`.

    faces: whether the experiment is one of faces, whose photos the paper compares by FaceNet. A model's folder is named
    as its variant, where no other `folder` is given.
    """

    def __init__(
        self, config: TableConfig, out: Path, concepts: Concepts, comparison: Comparison, *, faces: bool = False
    ) -> None:
        self.config, self.out, self.concepts, self.comparison = config, out, concepts, comparison
        self.embedding = config.compares_by(faces=faces)
        self.selections: set[Selection] = set()  # of the adapters
        self.bases: dict[str, int] = {}  # to be trained → their concepts

    @property
    def sets(self) -> list[PairSet]:
        return self.concepts.sets

    def check(self, variants: Sequence[Variant]) -> None:
        """Raises InputError for what would end the experiment after a part of it was trained. Makes all selections."""
        for pair_set in self.sets:
            for variant in variants:
                variant.check(pair_set)
        for pair_set in self.sets:
            for selection in self.selections:
                self._select(pair_set, selection)

    # -- bases --------------------------------------------------------------------------------------------------------

    def base(
        self,
        name: str = "base",
        *,
        sets: Sequence[PairSet] | None = None,
        generator: GeneratorConfig | None = None,
        gan: float = 1.0,
    ) -> Base:
        """The usual base: the one given, or one of the concepts in --base-pairs; or one of other concepts, of another
        generator or loss, under a name of its own. gan: weight of the adversarial loss in Eq. 1."""
        c = self.config
        if c.base is not None and sets is None and generator is None:
            folder = base_folder(c.base)
            return Base(name, generator_config(read_settings(folder, BASE, "base")), lambda: folder)
        sets = self.concepts.base if sets is None else sets
        if not sets:
            raise InputError("this experiment trains a base: name the concepts for it with --base-pairs")
        check_text(c)
        training = replace(self.config.training("base"), gan=gan)
        if (count := sum(_trained(s) for s in sets)) < training.batch:
            raise InputError(f"--batch {training.batch}: {name} has only {count} training pairs")
        settings = BaseConfig(
            pairs=tuple(s.folder for s in sets),
            out=self.comparison.folder("bases", name),
            text=c.text,
            generator=generator or c.generator,
            training=training,
        )

        self.bases[name] = len(sets)

        def make() -> Path:
            note(f"{name}: {len(sets)} concept{'s' * (len(sets) > 1)}")
            return train_base(settings).folder

        return Base(name, settings.generator, make)

    def without_cross_attention(self, base: Base) -> Base:
        """A trained base whose TB has lost its cross-attention: the other weights are the same (Tab. 13)."""
        if not base.generator.takes_prompt:
            raise InputError("this experiment takes the cross-attention out of a base, and this base has none")
        out = self.comparison.folder("bases", f"{base.name} without cross-attention")
        generator = replace(base.generator, cross_attention=False)
        return Base(out.name, generator, lambda: without_cross_attention(base.folder, out))

    # -- models of a concept ------------------------------------------------------------------------------------------

    def adapter(
        self,
        name: str,
        folder: str | None = None,
        *,
        base: Base | None = None,
        ranks: Ranks | None = None,
        selection: Selection | None = None,
        part: float = 1.0,
    ) -> Variant:
        """Adapters on the usual base or another, on a selection of the training photos (default: the table's own, of
        Sec. 4.2.3), for a part of the training, which may be more than one."""
        c, base = self.config, base or self.base()
        selection = selection or self.selection()
        self.selections.add(selection)
        training = c.training("adapter", part)

        def check(pair_set: PairSet) -> None:
            self.fits(pair_set, training.batch)
            self._check_selection(pair_set, selection)

        def train(pair_set: PairSet) -> TrainedModel:
            photos = self._select(pair_set, selection)
            on = base.folder
            settings = AdaptConfig(
                pairs=pair_set.folder,
                out=self._folder(folder or name, pair_set),
                base=on,
                selection=photos,
                ranks=ranks or c.ranks,
                text=self._text_of(on),
                training=training,
            )
            return TrainedModel.of(adapt(settings), on)

        return Variant(name, train, check)

    def scratch(
        self,
        name: str,
        folder: str | None = None,
        *,
        model: ScratchModel = "e2gan",
        generator: GeneratorConfig | None = None,
        unpaired: bool = False,
        part: float = 1.0,
    ) -> Variant:
        """Models from scratch on all training photos, for a part of the training; unpaired: without their pairs."""
        c = self.config
        training = c.training("comodgan" if model == "comodgan" else "scratch", part)
        if model == "e2gan":
            check_text(c)

        def check(pair_set: PairSet) -> None:
            self.fits(pair_set, training.batch, unpaired=unpaired)
            if model == "comodgan":
                build_generator(model, c.generator, pair_set.size)

        def train(pair_set: PairSet) -> TrainedModel:
            settings = ScratchConfig(
                pairs=pair_set.folder,
                out=self._folder(folder or name, pair_set),
                model=model,
                unpaired=unpaired,
                text=c.text,
                generator=generator or c.generator,
                training=training,
            )
            return TrainedModel.of(train_scratch(settings), text=c.text if model == "e2gan" else None)

        return Variant(name, train, check)

    def all_weights(
        self,
        name: str,
        folder: str | None = None,
        *,
        base: Base,
        frozen: tuple[Part, ...] = (),
        like_scratch: bool = False,
        part: float = 1.0,
    ) -> Variant:
        """A base's own weights, all but the frozen parts', fine-tuned on all photos, for a part of the training.

        like_scratch: for as long as models from scratch are trained.
        """
        training = self.config.training("scratch" if like_scratch else "finetune", part)

        def train(pair_set: PairSet) -> TrainedModel:
            on, out = base.folder, self._folder(folder or name, pair_set)
            text = self._text_of(on)
            settings = FinetuneConfig(
                pairs=pair_set.folder, out=out, base=on, frozen=frozen, text=text, training=training
            )
            return TrainedModel.of(finetune_base(settings), text=text)

        return Variant(name, train, lambda pair_set: self.fits(pair_set, training.batch))

    def _text_of(self, base: Path) -> str | None:
        """The text encoder of a base, where it has to be named and the settings name it."""
        return named_text(read_settings(base, BASE, "base"), self.config.text)

    def _folder(self, name: str, pair_set: PairSet) -> Path:
        """Where a model of a concept is trained, which is told."""
        note(f'"{pair_set.prompt}": {name}')
        return self.comparison.folder(name, pair_set.folder.name)

    # -- selections ---------------------------------------------------------------------------------------------------

    def selection(
        self, keep: int | None = None, method: Method = "similarity", embedding: str | None = None
    ) -> Selection:
        """--keep photos, 400 where it is left out (Sec. 5.1), or as many as are said here."""
        given = self.config.keep
        if keep is None and len(given) > 1:
            raise InputError("--keep: this experiment keeps one number of photos")
        return Selection(keep or (given[0] if given else KEPT), method, embedding)

    def _check_selection(self, pair_set: PairSet, selection: Selection) -> None:
        """Raises InputError where there are fewer photos with a pair than to be kept, and where the set was made of a
        selection: then teacher and baselines saw no more photos than that."""
        if read_settings(pair_set.folder, PAIR_SET, "pair set").get("selection_sha256"):
            raise InputError(
                f"{pair_set.folder} was made of a selection of its photos, and this experiment selects by itself: "
                f"make its pairs without a selection.json in {pair_set.photo_folder}"
            )
        if selection.keep > (count := _trained(pair_set)):
            raise InputError(
                f"--keep {selection.keep}: {pair_set.folder} has only {count} training pairs; "
                f"half of them, as in the paper, are --keep {max(1, count // 2)}"
            )

    def _select(self, pair_set: PairSet, selection: Selection) -> Path:
        """The selection.json of K of the training photos with a pair; one for all concepts of the same photos."""
        edited = sorted(row["photo"] for row in pair_set.rows if row["split"] == "train")
        embedding = selection.embedding or self.embedding
        folder = self.out / "selections"
        folder.mkdir(parents=True, exist_ok=True)
        photos = hashlib.sha256("\n".join([sha256(pair_set.photo_folder / INDEX), *edited]).encode()).hexdigest()[:12]
        settings = SelectConfig(
            photos=pair_set.photo_folder,
            pairs=pair_set.folder,
            keep=selection.keep,
            method=selection.method,
            out=folder / f"{photos}-{selection.method}-{_embedding_name(embedding)}-{selection.keep}.json",
            **embedding_options(self.config, embedding),
        )
        return select_photos(settings).out

    # -- checks -------------------------------------------------------------------------------------------------------

    def fits(self, pair_set: PairSet, batch: int, *, unpaired: bool = False) -> None:
        """Raises InputError where a set cannot be trained on in this way."""
        if unpaired == pair_set.paired:
            held, wanted = ("pairs", "no pairs") if pair_set.paired else ("no pairs", "pairs")
            how = "pairs --unpaired" if unpaired else "pairs"
            raise InputError(f"{pair_set.folder} holds {held}, and this experiment is one of {wanted} (e2gan {how})")
        count = len(pair_set.photos.split("train")) if unpaired else _trained(pair_set)
        if count < batch:
            what = "photos" if unpaired else "pairs"
            raise InputError(f"--batch {batch}: {pair_set.folder} has only {count} training {what}")

    def check_base(self) -> None:
        """Raises InputError where the given base's own text encoder is not at hand."""
        if self.config.base is not None:
            settings = read_settings(base_folder(self.config.base), BASE, "base")
            encoder_of(settings, named_text(settings, self.config.text)).encode("a photo")


def _embedding_name(embedding: str) -> str:
    """An embedding in a file's name; files of one name in two folders are two."""
    if embedding in KINDS:
        return slug(embedding)
    return f"{slug(Path(embedding).stem)}-{hashlib.sha256(str(Path(embedding).resolve()).encode()).hexdigest()[:8]}"


def embedding_options(config: ExperimentConfig, embedding: str) -> dict[str, Any]:
    """What a selection of photos or concepts embeds with; of --features and --model, what it has use for."""
    takes = KINDS[embedding].takes if embedding in KINDS else "nothing"
    network = {} if takes == "nothing" else {takes: getattr(config, takes)}
    return {"embedding": embedding, "seed": config.seed, "device": config.device} | network


def check_text(config: ExperimentConfig) -> None:
    """Raises InputError where the text encoder of what is trained is not at hand."""
    text_encoder(config.text, known_width(config.text) or config.generator.text_width).encode("a photo")


def _trained(pair_set: PairSet) -> int:
    return sum(row["split"] == "train" for row in pair_set.rows)
