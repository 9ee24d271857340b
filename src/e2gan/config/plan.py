"""What an experiment would take, before it is begun: the settings of `plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from e2gan.config.checks import at_least, need, positive, side
from e2gan.config.network import DEVICE, GeneratorConfig, Ranks
from e2gan.config.settings import Settings
from e2gan.config.training import MOST_BATCH

PAPER_TEACHERS = ("sd-img2img", "instruct-pix2pix", "null-text", "controlnet-normal", "instruct-diffusion")
MOST_PHOTOS = 10**8  # and concepts, which are multiplied


@dataclass(frozen=True, kw_only=True)
class PlanConfig(Settings):
    """Plan an experiment: hours, bytes and money of each stage, the bottleneck, and what would save."""

    photos: int = 1000
    """Photos, split 80/10/10 (Sec. 5.1: 1,000)."""
    concepts: int = 260
    """Concepts that the teachers edit all photos for (B.3: 260 for faces, of which the base's are chosen)."""
    base_concepts: int = 20
    """Concepts that the base is trained on, each with all training photos (Sec. 5.1: 20)."""
    adapters: int = 30
    """Concepts that get an adapter (B.3: 30)."""
    keep: int = 400
    """Training photos of an adapter, selected (Sec. 5.1: 400)."""
    teachers: tuple[str, ...] = PAPER_TEACHERS
    """Teachers, each of which edits every photo for every concept (Sec. 5.1); the best edit is kept."""
    size: int = 256
    """Side of the pairs in pixels (Sec. 5.1: 256)."""
    hardware: str = "h100-sxm"
    """What it runs on: the name of a table `hardware` in src/e2gan/measure/plan.toml (Sec. 5.1: one H100)."""
    gpus: int = 1
    """How many of it share the work; the base's, as far as its batch can be divided among them."""
    price_per_hour: float | None = None
    """Money for an hour of one of it; without, none is computed."""
    measured: Path | None = None
    """JSON of benchmarks/gpu.py on that hardware, whose step times take the place of computed ones."""
    epochs: int = 100
    """Passes over an adapter's photos (Sec. 5.1: 100)."""
    base_epochs: int = 100
    """Passes over the base's pairs (Sec. 5.1: 100)."""
    batch: int = 1
    """Pairs a step, by which a measured time is chosen (undisclosed; 1 as in pix2pix)."""
    rank_concepts: int = 3
    """Concepts that ranks are searched on, once for all adapters (Alg. 1; how many is undisclosed)."""
    rank_epochs: int = 10
    """Passes in each step of that search (B.2: 10)."""
    ranks: Ranks = field(default_factory=Ranks)
    generator: GeneratorConfig = field(default_factory=lambda: DEVICE)

    def check(self) -> None:
        at_least("photos", self.photos, 10, MOST_PHOTOS)
        for name in ("concepts", "base-concepts", "adapters"):
            at_least(name, getattr(self, name.replace("-", "_")), 1, MOST_PHOTOS)
        together = self.base_concepts + self.adapters
        need(
            together <= self.concepts,
            f"--concepts {self.concepts}: fewer than those of --base-concepts and --adapters together, {together}",
        )
        at_least("keep", self.keep, 1)
        need(bool(self.teachers), "--teachers is empty: name at least one teacher")
        double = sorted({name for name in self.teachers if self.teachers.count(name) > 1})
        need(not double, f"--teachers names {', '.join(double)[:200]} twice")
        side("size", self.size, most=1024)
        at_least("gpus", self.gpus, 1, 10**6)
        positive("price-per-hour", self.price_per_hour)
        for name in ("epochs", "base-epochs", "rank-epochs"):
            at_least(name, getattr(self, name.replace("-", "_")), 1)
        at_least("batch", self.batch, 1, MOST_BATCH)
        at_least("rank-concepts", self.rank_concepts, 0, MOST_PHOTOS)
        self.ranks.check()
        self.generator.check()
