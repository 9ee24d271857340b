"""The searches and comparisons of the paper: ranks, crucial layers, tables."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from e2gan.config.checks import at_least, need, positive, side
from e2gan.config.data import MOST_EDITS, TeachConfig
from e2gan.config.network import MOST_RANK, PAPER, THRESHOLDS, GeneratorConfig, Ranks
from e2gan.config.settings import Settings
from e2gan.config.shared import OnDevice, Scored
from e2gan.config.training import COMODGAN_TRAINING, MOST_BATCH, TrainingConfig

KEPT = 400
"""Training photos that SC keeps (Sec. 5.1: of 800)."""
Part = Literal["sl", "tb", "rb"]
Training = Literal["base", "adapter", "finetune", "scratch", "comodgan"]


@dataclass(frozen=True, kw_only=True)
class RanksConfig(Scored):
    """Search an adapter's ranks: Algorithm 1 on sampled concepts."""

    pairs: tuple[Path, ...]
    """Pair sets of the concepts to search on."""
    out: Path
    """File to write, ranks.json; the plot lies beside it. `adapt --ranks` takes it."""
    base: Path | None = None
    """Base of the adapters (default: full, of those that ship)."""
    sample: int | None = None
    """Search on so many of the concepts, drawn by the seed (default: on all)."""
    start: int = 1
    """Rank that every layer starts with (Alg. 1: 1)."""
    thresholds: Ranks = THRESHOLDS
    """Largest ranks (B.2): --level1 and so on."""
    gain: float = 0.0
    """A step must lower the metric by more than this fraction, or the search is saturated."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=10, schedule="constant"))
    """Of one step of the search (B.2: e = 10 epochs)."""

    def check(self) -> None:
        need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        at_least("sample", self.sample, 1)
        at_least("start", self.start, 1, MOST_RANK)
        need(self.out.suffix == ".json", f"--out {self.out}: must end in .json (its plot is a .png of the same name)")
        at_least("gain", self.gain, 0)
        self.thresholds.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class CrucialConfig(Scored):
    """Find the crucial layers: freeze each part of the base in turn and fine-tune the rest (Fig. 4)."""

    pairs: tuple[Path, ...]
    """Pair sets of the concepts to fine-tune on."""
    out: Path
    """Folder to write: crucial.json, crucial.png, a sheet a concept, and the models."""
    base: Path | None = None
    """Base to fine-tune (default: full, of those that ship)."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Settings):
    """Fine-tune the base's own weights on one concept, with parts of it frozen."""

    pairs: Path
    out: Path
    base: Path | None = None
    frozen: tuple[Part, ...] = ()
    """Parts that keep the base's weights: sl, sampling layers; tb, transformer blocks; rb, residual blocks."""
    text: str | None = None
    """Where the base's text encoder lies; it must be the base's own."""
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        need(len(set(self.frozen)) < 3, "--frozen names all parts: nothing would be trained")
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Scored, OnDevice):
    """How the paper's experiments are run; the defaults are the paper's recipe (docs/paper.md)."""

    out: Path = Path("tables")
    """Folder to write; a result lies in its subfolder table5, fig7, …"""
    epochs: int = 100
    """Of E²GAN on a concept (Sec. 5.1: 100)."""
    baseline_epochs: int = 200
    """Of models from scratch on a concept (Sec. 5.1: 200 for the baselines)."""
    base_epochs: int = 100
    """Of the bases (undisclosed for a base; Sec. 5.1: 100 for E²GAN)."""
    minutes: float | None = None
    """Train every model of a concept for so many minutes instead: equal wall time."""
    steps: int | None = None
    """Train every model of a concept for so many steps instead."""
    base_minutes: float | None = None
    """Train every base for so many minutes instead."""
    base_steps: int | None = None
    """Train every base for so many steps instead."""
    batch: int = 1
    """Pairs a step (undisclosed; 1 as in pix2pix)."""
    lr: float = 2e-4
    """Adam's learning rate of bases and of models from scratch (Sec. 5.1)."""
    adapter_lr: float = 2e-4
    """Adam's learning rate of adapters (Sec. 5.1)."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning rate over a run (undisclosed); linear: constant for a half, then linearly to zero, as pix2pix."""
    keep: tuple[int, ...] = ()
    """Training photos that a selection keeps (Sec. 5.1: 400 of 800; Fig. 7: several numbers, 100 to 800)."""
    embedding: str | None = None
    """What a selection compares photos by, as in `e2gan select` (default, Sec. 5.1: facenet for faces, else clip)."""
    model: str | None = None
    """The network of --embedding clip or dinov2: a hub's name or a local folder (undisclosed; the embedding's own)."""
    text: str = "clip"
    """Text encoder of the bases that are trained: clip, hashed, or clip:NAME (undisclosed; CLIP ViT-B/32 alone meets
    the paper's counts)."""
    generator: GeneratorConfig = field(default_factory=lambda: PAPER)
    ranks: Ranks = field(default_factory=Ranks)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 autocast (undisclosed); auto times one step of each on this machine and takes the faster."""
    seed: int = 0
    """Of the trainings, the selections and what is drawn by chance (undisclosed)."""

    def check(self) -> None:
        for name in ("epochs", "baseline_epochs", "base_epochs"):
            at_least(name.replace("_", "-"), getattr(self, name), 1)
        at_least("batch", self.batch, 1, MOST_BATCH)
        for name in ("minutes", "steps", "base_minutes", "base_steps"):
            positive(name.replace("_", "-"), getattr(self, name))
        for of in ("", "base_"):
            both = getattr(self, f"{of}minutes") and getattr(self, f"{of}steps")
            flag = of.replace("_", "-")
            need(not both, f"--{flag}minutes and --{flag}steps: name one of them")
        for name in ("lr", "adapter_lr"):
            positive(name.replace("_", "-"), getattr(self, name))
        for keep in self.keep:
            need(keep >= self.batch, f"--keep {keep}: must be at least --batch {self.batch}")
            at_least("keep", keep, 1)
        need(len(set(self.keep)) == len(self.keep), f"--keep {self.keep}: one number is there twice")
        self.generator.check()
        self.ranks.check()

    def compares_by(self, *, faces: bool) -> str:
        """The embedding of a selection: FaceNet for faces, CLIP for others (Sec. 5.1), unless another is named."""
        return self.embedding or ("facenet" if faces else "clip")

    def training(self, of: Training, part: float = 1.0) -> TrainingConfig:
        """One training: of a base; or of a model of a concept, for a part of its length, which may be more than one.

        finetune: of a base's own weights, as long as an adapter.
        """
        epochs = {"base": self.base_epochs, "adapter": self.epochs, "finetune": self.epochs}.get(
            of, self.baseline_epochs
        )
        minutes, steps = (self.base_minutes, self.base_steps) if of == "base" else (self.minutes, self.steps)
        training = TrainingConfig(
            epochs=max(1, round(epochs * part)),
            minutes=None if minutes is None else minutes * part,
            steps=None if steps is None else max(1, round(steps * part)),
            batch=self.batch,
            lr=self.adapter_lr if of == "adapter" else self.lr,
            schedule=self.schedule,
            precision=self.precision,
            device=self.device,
            seed=self.seed,
        )
        if of != "comodgan":
            return training
        usual = COMODGAN_TRAINING
        return replace(training, lr=usual.lr, betas=usual.betas, r1=usual.r1, schedule=usual.schedule)


@dataclass(frozen=True, kw_only=True)
class TableConfig(ExperimentConfig):
    """Run one of the paper's experiments on your pair sets, and print it beside the paper's numbers."""

    number: Positional[str]
    """A table, 1 to 14 (3-faces and 3-scenes), a figure, fig2, fig4, fig6, fig7, or an experiment's name. `list` tells
    what each is."""
    pairs: tuple[Path, ...] = ()
    """Pair sets of the concepts to evaluate on."""
    base_pairs: tuple[Path, ...] = ()
    """Pair sets of the concepts to train bases on: of Table 4, the selected ones. A concept of --pairs is left out."""
    random_pairs: tuple[Path, ...] = ()
    """Table 4: pair sets for the base of random concepts (B.3 lists 20: `pairs --concepts paper-faces-random`)."""
    art_pairs: tuple[Path, ...] = ()
    """Table 4: pair sets for the base of art concepts (the paper's 200 were never published: your own)."""
    single_pairs: Path | None = None
    """Tables 4, 12 and transfer: pair set for the base of one concept (the paper: old person)."""
    base: Path | None = None
    """Base to use where the experiment needs one of the usual kind (default: trained on --base-pairs)."""
    size: int | None = None
    """Resize the pair sets to so many pixels first; a multiple of 8 (Sec. 5.1: 256; default: as they are)."""
    segmenter: str | None = None
    """Semantic segmentation model by name or folder, for the mIoU of --labels (Table 8: cityscapes)."""
    labels: tuple[str, ...] = ()
    """SET=FILE: the photos of this pair set are label maps in the colours of this palette, {"classes": {"road": [128,
    64, 128], ...}}; it is scored by mIoU (Table 8) in place of --metric. SET is the folder's name."""
    paper: Path | None = None
    """CSV with more of the paper's numbers: table, row, column, value."""

    def check(self) -> None:
        super().check()
        side("size", self.size)
        need(not self.labels or self.segmenter is not None, "--labels needs --segmenter, which segments the edits")
        names = {folder.name for folder in self.pairs}
        for given in self.labels:
            name, equals, path = given.partition("=")
            need(bool(equals and path), f"--labels {given}: must be SET=FILE, e.g. cityscapes=palette.json")
            need(not names or name in names, f"--labels {given}: none of --pairs is called '{name}'")


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig(ExperimentConfig):
    """The paper's recipe, whole: photos, the teachers' pairs of all concepts, base, adapters, baselines, Table 3."""

    photos_of: Positional[Literal["faces", "scenes"]]
    """faces (FFHQ; B.3: 24 concepts of the base, 30 to evaluate on), or scenes (Flickr-Scenery; 7 of ten, and ten)."""
    photos: Path
    """Folder of photos: of FFHQ, or of Flickr-Scenery (Sec. 5.1)."""
    out: Path = Path("reproduction")
    """Folder to write: photos, pairs, table3-faces or table3-scenes; the same command goes on after a stop."""
    limit: int = 1000
    """Photos to take (Sec. 5.1: 1,000, of which 800 train)."""
    size: int = 256
    """Side of the photos in pixels (Sec. 5.1: 256)."""
    base_concepts: str | None = None
    """List of the base's concepts: the name of one that ships, or a .toml file (default: paper-faces-base of B.3; for
    scenes, whose list was never published, scenes-base, which is ours)."""
    evaluation_concepts: str | None = None
    """List of the concepts to evaluate on (default: paper-faces-evaluation of B.3; paper-scenes-evaluation, the eight
    of ten that the paper names)."""
    keep_concepts: int | None = None
    """Base concepts to keep by clustering (Sec. 5.1: 7 for scenes; for faces all of B.3, which were chosen so)."""
    teacher: tuple[str, ...] | None = None
    """Teachers, of which the best edit of each photo is kept (default: those of the lists, the five of Sec. 5.1)."""
    teacher_model: tuple[str, ...] = ()
    """Local copies of the teachers' checkpoints, TEACHER=FOLDER, as `pairs --model`."""
    set: tuple[str, ...] = ()
    """Arguments of a teacher's call to change, TEACHER.NAME=VALUE, as `pairs --set` (default: those of B.1)."""
    clip: str = "openai/clip-vit-base-patch32"
    """CLIP by name or folder, for the score clip-direction (how quality is judged is undisclosed); none: without it."""
    preference: str | None = None
    """PickScore by name or folder, for the score preference (how quality is judged is undisclosed)."""
    align: bool = False
    """Undo a shift or zoom of an edit against its photo (ours)."""
    retries: int = 0
    """More seeds for an edit that failed (ours)."""
    max_residual: float | None = None
    """Reject edits that lie further from their photo, in pixels (ours; default: none is rejected for that)."""

    def check(self) -> None:
        super().check()
        side("size", self.size)
        at_least("limit", self.limit, 3)
        at_least("keep-concepts", self.keep_concepts, 1)
        at_least("retries", self.retries, 0, MOST_EDITS)
        positive("max-residual", self.max_residual)
        need(self.teacher != (), "--teacher is empty: name at least one")
        need(len(self.keep) < 2, "--keep: Table 3 keeps one number of photos")
        self.teach.check()

    @property
    def teach(self) -> TeachConfig:
        """How the teachers teach."""
        return TeachConfig(
            model=self.teacher_model,
            set=self.set,
            clip=None if self.clip == "none" else self.clip,
            preference=self.preference,
            align=self.align,
            retries=self.retries,
            max_residual=self.max_residual or float(self.size),
        )

    @property
    def faces(self) -> bool:
        return self.photos_of == "faces"

    @property
    def lists(self) -> tuple[str, str]:
        """The lists of the base's concepts and of those to evaluate on."""
        return (
            self.base_concepts or ("paper-faces-base" if self.faces else "scenes-base"),
            self.evaluation_concepts or f"paper-{self.photos_of}-evaluation",
        )

    @property
    def base_count(self) -> int | None:
        """Base concepts that are kept by clustering; None: all."""
        return self.keep_concepts or (None if self.faces else 7)

    def table(self, pairs: tuple[Path, ...] = (), base_pairs: tuple[Path, ...] = ()) -> TableConfig:
        """The settings of Table 3."""
        shared = {f.name: getattr(self, f.name) for f in fields(ExperimentConfig)}
        return TableConfig(**shared, number=f"table3-{self.photos_of}", pairs=pairs, base_pairs=base_pairs)
