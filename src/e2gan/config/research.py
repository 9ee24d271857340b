"""The searches and comparisons of the paper: ranks, crucial layers, tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from e2gan.config.checks import at_least, need, positive, side
from e2gan.config.network import THRESHOLDS, GeneratorConfig, Ranks
from e2gan.config.shared import OnDevice, Scored
from e2gan.config.training import TrainingConfig

Part = Literal["sl", "tb", "rb"]


@dataclass(frozen=True, kw_only=True)
class RanksConfig(Scored):
    """Search an adapter's ranks: Algorithm 1 on sampled concepts."""

    pairs: tuple[Path, ...]
    """Pair sets of the concepts to search on."""
    out: Path
    """File to write, ranks.json; the plot lies beside it. `adapt --ranks` takes it."""
    base: Path | None = None
    """Base of the adapters (default: the one that ships, where there is one)."""
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
        at_least("start", self.start, 1)
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
    """Base to fine-tune (default: the one that ships, where there is one)."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
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
class TableConfig(Scored, OnDevice):
    """Run one of the paper's experiments on your pair sets, and print it beside the paper's numbers."""

    number: Positional[str]
    """A table, 1 to 14, or a figure: fig2, fig4, fig6, fig7. `list` tells what each is."""
    out: Path = Path("tables")
    """Folder to write; the result lies in its subfolder table5, fig7, …"""
    pairs: tuple[Path, ...] = ()
    """Pair sets of the concepts to evaluate on."""
    base_pairs: tuple[Path, ...] = ()
    """Pair sets of the concepts to train bases on."""
    base: Path | None = None
    """Base to use where the experiment needs one of the usual kind (default: trained on --base-pairs)."""
    size: int | None = None
    """Resize the pair sets to so many pixels first; a multiple of 8 (default: as they are)."""
    epochs: int = 100
    """Of E²GAN on a concept (Sec. 5.1: 100)."""
    baseline_epochs: int = 200
    """Of the baselines on a concept (Sec. 5.1: 200)."""
    base_epochs: int = 100
    """Of the bases."""
    minutes: float | None = None
    """Train every model of a concept for so many minutes instead: equal wall time."""
    steps: int | None = None
    """Train every model of a concept for so many steps instead."""
    base_minutes: float | None = None
    """Train every base for so many minutes instead."""
    base_steps: int | None = None
    """Train every base for so many steps instead."""
    batch: int = 1
    """Pairs a step."""
    lr: float = 2e-4
    """Adam's learning rate of bases and of models from scratch (Sec. 5.1)."""
    adapter_lr: float = 2e-4
    """Adam's learning rate of adapters (Sec. 5.1)."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning rate over a run."""
    keep: int | None = None
    """Training photos that a selection keeps (Sec. 5.1: 400 of 800; default: half)."""
    embedding: str = "gradient-colour"
    """What the selection compares photos by, and the choice of concepts edits, as in `e2gan select`."""
    model: str | None = None
    """The network of --embedding clip or dinov2: a hub's name or a local folder."""
    text: str = "hashed"
    """Text encoder of the bases that are trained: hashed, clip, or clip:NAME."""
    paper: Path | None = None
    """CSV with more of the paper's numbers: table, row, column, value."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    ranks: Ranks = field(default_factory=Ranks)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 autocast; auto times one step of each on this machine and takes the faster."""
    seed: int = 0

    def check(self) -> None:
        for name in ("epochs", "baseline_epochs", "base_epochs", "batch"):
            at_least(name.replace("_", "-"), getattr(self, name), 1)
        for name in ("minutes", "steps", "base_minutes", "base_steps"):
            positive(name.replace("_", "-"), getattr(self, name))
        for of in ("", "base_"):
            both = getattr(self, f"{of}minutes") and getattr(self, f"{of}steps")
            flag = of.replace("_", "-")
            need(not both, f"--{flag}minutes and --{flag}steps: name one of them")
        for name in ("lr", "adapter_lr"):
            positive(name.replace("_", "-"), getattr(self, name))
        side("size", self.size)
        at_least("keep", self.keep, 1)
        self.generator.check()
        self.ranks.check()
