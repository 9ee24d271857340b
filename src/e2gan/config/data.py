"""The stages that make the data: photos, selection, pairs, concepts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from e2gan.config.checks import at_least, need, positive, side
from e2gan.config.settings import Settings
from e2gan.config.shared import Clustered, OnDevice
from e2gan.config.training import MOST_BATCH

MOST_EDITS = 10_000  # of a photo by one teacher


@dataclass(frozen=True, kw_only=True)
class PhotosConfig(Settings):
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
        side("size", self.size)
        at_least("limit", self.limit, 3)


@dataclass(frozen=True, kw_only=True)
class SelectConfig(Clustered):
    """Choose the training photos that stand for the others, before a teacher edits them."""

    photos: Path
    """Photo set; its val and test photos all stay."""
    pairs: Path | None = None
    """Choose among the photos that have a pair in this pair set, which is of --photos (the paper's order: after the
    teachers, Sec. 4.2.3; rejected edits have none)."""
    keep: int = 400
    """Training photos to keep (Sec. 5.1: 400 of 800)."""
    out: Path | None = None
    """JSON file to write (default: selection.json in the photo set, where `e2gan pairs` finds it; with --pairs in the
    pair set, for --selection of `e2gan adapt` and `e2gan scratch`)."""
    sheet: bool = True
    """Write a picture of the photos kept and of the largest clusters beside it, a PNG file of the same name."""

    def check(self) -> None:
        super().check()
        at_least("keep", self.keep, 1)
        named = self.out is None or self.out.suffix.lower() == ".json"
        need(named, f"--out {self.out}: must end in .json (its sheet is a .png of the same name)")


@dataclass(frozen=True, kw_only=True)
class TeachConfig(Settings):
    """How diffusion models, programs and functions teach, and which of their edits are kept (Sec. 5.1, B.1)."""

    source: str = "a photo"
    """What the photos show, in words: null-text and the score clip-direction go from here to the prompt."""
    model: tuple[str, ...] = ()
    """Another checkpoint than the preset's: a hub's name or a local folder; with several teachers, TEACHER=FOLDER."""
    presets: Path | None = None
    """TOML file of teachers of your own, in the form of those that ship."""
    set: tuple[str, ...] = ()
    """Arguments of the teacher's call to change, NAME=VALUE, e.g. strength=0.6 num_inference_steps=30; with several
    teachers, TEACHER.NAME=VALUE for one of them."""
    seeds: int = 1
    """Edits a photo by each teacher, each with a seed of its own."""
    retries: int = 2
    """More seeds for an edit that came out black, blank, unchanged, noise, misplaced or not at all."""
    batch: int | None = None
    """Photos at a time (default: the teacher's own choice; halved where memory runs out)."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the diffusion model; auto: bf16 or fp16 on a GPU, fp32 on the CPU."""
    compile: bool = False
    """Compile the denoising network: minutes at the start, faster for long runs."""
    offload: Literal["none", "model", "sequential"] = "none"
    """Keep on the GPU only the part of the pipeline, or of the network, that runs: less memory, slower."""
    attention: str | None = None
    """Attention kernel by diffusers' name, e.g. flash, sage, native."""
    timeout: float | None = None
    """Seconds that a program of `command:` may take for a batch."""
    align: bool = True
    """Undo a shift or zoom of the whole edit against its photo (ours: the paper does not say)."""
    max_residual: float | None = None
    """Edits whose edges then still lie further than this from the photo's, in pixels, are rejected (default: a fiftieth
    of the side, but 3 at least and 6 at most; styles that draw edges of their own come near that)."""
    clip: str | None = None
    """CLIP by name or folder (e.g. openai/clip-vit-base-patch32), for the scores clip and clip-direction."""
    preference: str | None = None
    """PickScore by name or folder (e.g. yuvalkirstain/PickScore_v1), for the score preference."""
    prefer: tuple[str, ...] = ("structure=1", "clip-direction=1", "preference=1")
    """Weights of the standardised scores, whose sum chooses among the edits of a photo (Sec. 5.1)."""
    reject: tuple[str, ...] = ()
    """Reject failed edits (Fig. 9), by score: e.g. "structure<0.3" "clip-direction<0.05"."""

    def check(self) -> None:
        at_least("seeds", self.seeds, 1, MOST_EDITS)
        at_least("retries", self.retries, 0, MOST_EDITS)
        at_least("batch", self.batch, 1, MOST_BATCH)
        positive("timeout", self.timeout)
        positive("max-residual", self.max_residual)
        need(bool(self.source.strip()), '--source is empty: say what the photos show, e.g. "a photo"')


@dataclass(frozen=True, kw_only=True)
class ChooseConfig(Settings):
    """Choose anew among a pair set's candidates: by hand, or by other thresholds and weights. Nothing is edited."""

    pairs: Positional[Path]
    """Pair set that a teacher made; its choose.html lets you pick."""
    picks: Path | None = None
    """picks.json of choose.html (default: the one in the pair set, where there is one)."""
    prefer: tuple[str, ...] | None = None
    """Weights of the standardised scores (default: those that the set was made with)."""
    reject: tuple[str, ...] | None = None
    """Thresholds, e.g. "structure<0.3" (default: those that the set was made with)."""

    def check(self) -> None:
        """What there is to check is in the pair set."""


@dataclass(frozen=True, kw_only=True)
class PairsConfig(OnDevice):
    """Make the pairs of a concept, or of many: by teachers, or from pairs that you have."""

    out: Path
    """Pair set to write; with --concepts, the folder of all."""
    concept: str | None = None
    """The edit as a prompt, e.g. "make it autumn"."""
    concepts: str | None = None
    """Instead of --concept: a TOML file of many (name, prompt, source, teacher, settings), or the name of a list that
    ships: filters, or one of the paper's (B.3): paper-faces, paper-scenes, paper-afhq and their parts."""
    photos: Path | None = None
    """Photo set whose photos the teacher edits."""
    selection: Path | None = None
    """Edit only these training photos, a selection.json (default: the one in the photo set, where there is one)."""
    teacher: tuple[str, ...] | None = None
    """One or several (default: those of --concepts, else filters); the best edit of each photo is kept. filters: the
    built-in filter of the concept's name or prompt (filters:NAME for a prompt of your own); flux2-klein,
    instruct-pix2pix, null-text and the like, and diffusers:MODEL: diffusion models; "command:PROGRAM {input} {output}":
    any program that edits a folder of photos."""
    aligned: Path | None = None
    """Instead of a teacher: folder of images that hold photo and edit side by side."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which half of --aligned is the photo, and which kind of --unaligned: the left, or A (AtoB); the right, or B
    (BtoA)."""
    before: Path | None = None
    """Instead of a teacher: folder of photos; their edits lie under the same names in --after."""
    after: Path | None = None
    """Folder of the edits of --before."""
    unaligned: Path | None = None
    """Instead of a teacher: folder of two kinds of pictures in trainA, trainB, testA and testB, as CycleGAN's data sets
    (horse2zebra) are published, for unpaired training."""
    unpaired: bool = False
    """--after holds pictures of the other kind (zebras for horses), not --before's edits: for unpaired training."""
    size: int = 256
    """Working size for --aligned, --unaligned and --before/--after; a multiple of 8."""
    seed: int = 0
    """Seed of the teacher, and of the split for imported pairs."""
    sided: bool = False
    """The edit has a side, as a sun or a light leak has, or strokes that lean: trainings mirror none of its pairs. Of
    pairs that are made already it is noted too. The built-in filters say so themselves."""
    run_commands: bool = False
    """Run the programs that the file of --concepts names as teachers (command:…): only for a file that you trust."""
    teach: TeachConfig = field(default_factory=TeachConfig)

    @property
    def teachers(self) -> tuple[str, ...]:
        """Those of --teacher, or the default."""
        return ("filters",) if self.teacher is None else self.teacher

    def check(self) -> None:
        need(
            (self.concept is None) != (self.concepts is None), "name the edit: --concept, or a file of many: --concepts"
        )
        need(self.concepts is None or self.photos is not None, "--concepts needs --photos, which the teachers edit")
        need(self.teacher != (), "--teacher is empty: name at least one")
        twice = [name for i, name in enumerate(self.teachers) if name in self.teachers[:i]]
        need(not twice, f"--teacher names {twice[0] if twice else ''} twice (for more edits of each: --seeds)")
        self.teach.check()
        ways = [way is not None for way in (self.photos, self.aligned, self.unaligned, self.before or self.after)]
        need(sum(ways) == 1, "name one source: --photos, or --aligned, or --unaligned, or --before with --after")
        need(self.selection is None or self.photos is not None, "--selection narrows --photos: name both")
        need((self.before is None) == (self.after is None), "--before and --after belong together: name both")
        two_kinds = self.before is not None or self.unaligned is not None
        need(not self.unpaired or two_kinds, "--unpaired takes two folders: --before and --after")
        need(
            self.concept is None or bool(self.concept.strip()),
            '--concept is empty: say what the edit does, e.g. "make it autumn"',
        )
        side("size", self.size)


@dataclass(frozen=True, kw_only=True)
class ConceptsConfig(Clustered):
    """Choose the concepts that stand for the others, to train a base on."""

    pairs: tuple[Path, ...]
    """Pair sets, one a concept."""
    keep: int
    """Concepts to keep (Sec. 5.1: 20 of 230 for faces, 7 of 10 for scenes)."""
    out: Path = Path("concepts.json")
    """JSON file to write; pictures of the concepts kept and of the rest lie beside it."""
    samples: int = 100
    """Edited training photos a concept, sampled uniformly, whose mean embedding stands for it (undisclosed)."""

    def check(self) -> None:
        super().check()
        need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        at_least("keep", self.keep, 1)
        at_least("samples", self.samples, 1)
        named = self.out.suffix.lower() == ".json"
        need(named, f"--out {self.out}: must end in .json (its pictures are .png beside it)")
