"""The stages that make the data: photos, selection, pairs, concepts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from e2gan.config.checks import need

__all__ = ["ConceptsConfig", "PairsConfig", "PhotosConfig", "SelectConfig"]


@dataclass(frozen=True, kw_only=True)
class PhotosConfig:
    """Check, crop, resize, deduplicate and split a folder of photos."""

    folder: Positional[Path]
    """Folder of photos, searched with its subfolders."""
    out: Path
    """Photo set to write."""
    size: int = 256
    """Working size: photos are cropped to squares of this many pixels, a multiple of 8 (Sec. 5.1: 256)."""
    limit: int | None = None
    """Take at most so many photos, evenly from the sorted list."""
    seed: int = 0
    """Seed of the split 80/10/10 (Sec. 5.1)."""

    def check(self) -> None:
        need(self.size >= 32 and self.size % 8 == 0, f"--size {self.size}: must be a multiple of 8, and at least 32")
        need(self.limit is None or self.limit >= 3, f"--limit {self.limit}: must be at least 3")


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Choose the training photos that stand for the others, before a teacher edits them."""

    photos: Path
    """Photo set; its val and test photos all stay."""
    keep: int = 400
    """Training photos to keep (Sec. 5.1: 400 of 800)."""
    method: Literal["similarity", "random"] = "similarity"
    """similarity: the photo nearest the centre of each of --keep clusters (Sec. 4.2.3, SC); random: by chance."""
    embedding: str = "gradient-colour"
    """What photos are compared by: gradient-colour, clip, dinov2, facenet, squeezenet, or a FILE.npy of your own with a
    row for each training photo, in the order of photos.jsonl (the paper: CLIP for scenes, FaceNet for faces)."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --embedding squeezenet."""
    model: str | None = None
    """The network of --embedding clip or dinov2: a hub's name or a local folder (default: the embedding's own)."""
    out: Path | None = None
    """JSON file to write (default: selection.json in the photo set, where `e2gan pairs` finds it)."""
    sheet: bool = True
    """Write a picture of the photos kept and of the largest clusters beside it, a PNG file of the same name."""
    seed: int = 0
    """Seed of the clustering, or of the chance."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def check(self) -> None:
        need(self.keep >= 1, f"--keep {self.keep}: must be at least 1")
        need(self.method in ("similarity", "random"), f"--method {self.method}: must be similarity or random")
        named = self.out is None or self.out.suffix.lower() == ".json"
        need(named, f"--out {self.out}: must end in .json (its sheet is a .png of the same name)")


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Make the pairs of one concept: by a teacher, or from pairs that you have."""

    out: Path
    """Pair set to write."""
    concept: str
    """The edit as a prompt, e.g. "make it autumn"."""
    photos: Path | None = None
    """Photo set whose photos the teacher edits."""
    selection: Path | None = None
    """Edit only these training photos, a selection.json (default: the one in the photo set, where there is one)."""
    teacher: str = "filters"
    """filters: the built-in filter of the concept's name or prompt; filters:NAME for a prompt of your own."""
    aligned: Path | None = None
    """Instead of a teacher: folder of images that hold photo and edit side by side."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which half of --aligned is the photo: the left (AtoB) or the right (BtoA)."""
    before: Path | None = None
    """Instead of a teacher: folder of photos; their edits lie under the same names in --after."""
    after: Path | None = None
    """Folder of the edits of --before."""
    unpaired: bool = False
    """--after holds pictures of the other kind (zebras for horses), not --before's edits: for unpaired training."""
    size: int = 256
    """Working size for --aligned and --before/--after; a multiple of 8."""
    seed: int = 0
    """Seed of the teacher, and of the split for imported pairs."""

    def check(self) -> None:
        ways = [self.photos is not None, self.aligned is not None, self.before is not None or self.after is not None]
        need(sum(ways) == 1, "name one source: --photos, or --aligned, or --before with --after")
        need(self.selection is None or self.photos is not None, "--selection narrows --photos: name both")
        need((self.before is None) == (self.after is None), "--before and --after belong together: name both")
        need(not self.unpaired or self.before is not None, "--unpaired takes two folders: --before and --after")
        need(bool(self.concept.strip()), '--concept is empty: say what the edit does, e.g. "make it autumn"')
        need(self.size >= 32 and self.size % 8 == 0, f"--size {self.size}: must be a multiple of 8, and at least 32")


@dataclass(frozen=True, kw_only=True)
class ConceptsConfig:
    """Choose the concepts that stand for the others, to train a base on."""

    pairs: tuple[Path, ...]
    """Pair sets, one a concept."""
    keep: int
    """Concepts to keep (Sec. 5.1: 20 of 230 for faces, 7 of 10 for scenes)."""
    out: Path = Path("concepts.json")
    """JSON file to write; pictures of the concepts kept and of the rest lie beside it."""
    method: Literal["similarity", "random"] = "similarity"
    """similarity: the concept nearest the centre of each of --keep clusters (Sec. 4.2.1); random: by chance."""
    samples: int = 100
    """Edited training photos a concept, sampled uniformly, whose mean embedding stands for it (undisclosed)."""
    embedding: str = "gradient-colour"
    """What edits are compared by: gradient-colour, clip (the paper's), dinov2, facenet, squeezenet, or a FILE.npy of
    your own with a row for each concept, in the order of --pairs."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --embedding squeezenet."""
    model: str | None = None
    """The network of --embedding clip or dinov2: a hub's name or a local folder (default: the embedding's own)."""
    seed: int = 0
    """Seed of the samples and the clustering, or of the chance."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def check(self) -> None:
        need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        need(self.keep >= 1, f"--keep {self.keep}: must be at least 1")
        need(self.samples >= 1, f"--samples {self.samples}: must be at least 1")
        need(self.method in ("similarity", "random"), f"--method {self.method}: must be similarity or random")
        named = self.out.suffix.lower() == ".json"
        need(named, f"--out {self.out}: must end in .json (its pictures are .png beside it)")
