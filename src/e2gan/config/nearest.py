"""Which adapters come nearest to a new concept: the settings of `nearest`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from e2gan.config.checks import at_least, need
from e2gan.config.shared import OnDevice

MOST_CANDIDATES = 100_000


@dataclass(frozen=True, kw_only=True)
class NearestConfig(OnDevice):
    """Find the adapters nearest to a new concept, and what each gives on its pairs before any training."""

    pairs: Path | None = None
    """Pair set of the new concept; a few of its training pairs are looked at."""
    concept: str | None = None
    """The new concept as a prompt (default: that of --pairs). Without --pairs, prompts alone are compared."""
    adapters: tuple[Path, ...] = ()
    """Adapters, and folders that are searched for some (default: those that --index has seen, where that is named)."""
    shipped: bool = True
    """Look at the adapters of this base that ship, too."""
    base: Path | None = None
    """Base of the adapters: a folder, or full or small, which ship (default: full)."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    index: Path | None = None
    """File that keeps what is known of each adapter, by its content (default: nearest.jsonl in the first folder of
    --adapters that is no adapter itself; else nothing is kept)."""
    engine: Literal["auto", "numpy", "faiss"] = "auto"
    """What searches the index; auto: FAISS where it is installed. Both find the same."""
    count: int = 5
    """Adapters to tell."""
    candidates: int = 16
    """Adapters that are run on the pairs: the nearest by the index, and by their prompts."""
    samples: int = 8
    """Training pairs that are looked at."""
    seed: int = 0
    """Seed of which pairs these are."""
    out: Path | None = None
    """JSON file to write the table to."""

    def check(self) -> None:
        need(
            self.pairs is not None or self.concept is not None,
            'name the new concept: by a few of its pairs, --pairs, or by its prompt, --concept "make it autumn"',
        )
        need(self.concept is None or bool(self.concept.strip()), "--concept is empty: say what the edit does")
        need(
            self.shipped or bool(self.adapters) or self.index is not None,
            "--no-shipped leaves nothing to look at: name --adapters, or the --index of some",
        )
        at_least("count", self.count, 1, MOST_CANDIDATES)
        at_least("candidates", self.candidates, 1, MOST_CANDIDATES)
        at_least("samples", self.samples, 1, 1000)
        for name, suffix in (("out", ".json"), ("index", ".jsonl")):
            path = getattr(self, name)
            need(path is None or path.suffix.lower() == suffix, f"--{name} {path}: must end in {suffix}")
