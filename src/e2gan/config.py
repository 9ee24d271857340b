"""Every setting, its default, and where the number is from.

One frozen dataclass a stage; the field comments are the command line's help. This module imports no torch, so that
`e2gan --help` answers at once. "Sec.", "Tab.", "Alg." and "Eq." are those of the ICML 2024 paper; where the paper
is silent the comment says "undisclosed" and the number is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, cast

from tyro.conf import Positional

from e2gan.errors import InputError

Norm = Literal["instance", "batch", "layer", "none"]
Upsample = Literal["transpose", "resize"]
Metric = Literal["fid", "fd-squeezenet", "fd-random", "l1"]
Part = Literal["sl", "tb", "rb"]


def _need(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(message)


def _at_least(name: str, value: float, least: float) -> None:
    _need(value >= least, f"--{name} {value}: must be at least {least}")


# --------------------------------------------------------------------------------------------------- the network


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The generator of Sec. 4.2.1 and Fig. 3, and what the paper varies of it."""

    width: int = 64
    """Channels of the first convolution; the residual blocks have four times as many (Sec. 4.2.1)."""
    blocks: int = 3
    """Residual blocks, RB (Sec. 4.2.1: 3; pix2pix has 9)."""
    transformers: tuple[int, ...] = (2,)
    """Transformer blocks, TB: one after each RB named, 0 for before RB 1 (Tab. 10: after RB 2 is the best)."""
    around: Literal["conv", "pool", "none"] = "conv"
    """What halves the map before a TB and restores it after it (Tab. 10: conv; pooling costs 30 to 100 FID)."""
    heads: int = 8
    """Attention heads (undisclosed; 8 as in latent diffusion)."""
    cross_attention: bool = True
    """Whether the TB attends to the prompt's tokens (Tab. 13)."""
    text_width: int = 512
    """Width of the prompt's tokens (512, CLIP ViT-B/32, is the only one that meets the paper's counts)."""
    z: float = 0.0
    """Dropout rate in the RBs that plays z of Eq. 1, as in pix2pix (undisclosed; 0 is off, pix2pix has 0.5)."""
    skip: bool = True
    """Ways around the bottleneck, without a parameter: the photo is added before the tanh, each level's features on the
    way down to those on the way up. The paper's generator has none."""
    norm: Norm = "none"
    """Normalisation of the convolutions, without affine weights (the paper's preset: instance, which throws the photo's
    brightness away). Batch norm folds away on a device."""
    padding: Literal["reflect", "zero"] = "reflect"
    """Padding of the convolutions; zero is the one that every device converter knows."""
    upsample: Upsample = "resize"
    """Resize and convolution, which leaves no checkerboard and multiplies 1.4 times as often; or the paper's transposed
    convolution (Fig. 3)."""

    @property
    def takes_prompt(self) -> bool:
        return self.cross_attention and bool(self.transformers)

    def check(self) -> None:
        _at_least("width", self.width, 1)
        _at_least("blocks", self.blocks, 0)
        _at_least("text-width", self.text_width, 1)
        _need(0 <= self.z < 1, f"--z {self.z}: must be at least 0 and below 1")
        places = set(self.transformers)
        _need(len(places) == len(self.transformers), f"--transformers {self.transformers}: one place is named twice")
        _need(
            all(0 <= p <= self.blocks for p in places),
            f"--transformers {self.transformers}: each must lie in 0..{self.blocks} (the number of residual blocks)",
        )
        _need(not places or 4 * self.width % self.heads == 0, f"--heads {self.heads}: must divide {4 * self.width}")


PAPER = GeneratorConfig(skip=False, norm="instance", upsample="transpose")
PRESETS: dict[str, GeneratorConfig] = {
    "paper": PAPER,
    "residual": GeneratorConfig(),
    "device": GeneratorConfig(padding="zero"),
}
PIX2PIX = replace(PAPER, blocks=9, transformers=(), cross_attention=False)
"""The baseline of Tab. 1: the ResNet generator with 9 RBs and no TB."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """LoRA ranks by level of the sampling layers (Sec. 4.2.2), and of the TB. 0 leaves that part frozen."""

    level1: int = 1
    """The two 7×7 convolutions."""
    level2: int = 4
    """64 to 128 channels and back."""
    level3: int = 8
    """128 to 256 channels and back."""
    level4: int = 8
    """The pair around the TB."""
    tb: int = 1
    """Every linear layer and projection of the TB (Sec. 4.2.2: 1)."""

    def check(self) -> None:
        for name in ("level1", "level2", "level3", "level4", "tb"):
            _at_least(name, getattr(self, name), 0)
        _need(any(vars(self).values()), "all ranks are 0: nothing would be trained")

    @classmethod
    def load(cls, path: Path) -> Ranks:
        """The ranks of a ranks.json (`e2gan ranks`). Raises InputError where the file is none."""
        from e2gan.files import read_json

        found = read_json(path)
        ranks = found.get("ranks") if isinstance(found, dict) else None
        names = {f.name for f in fields(cls)}
        _need(
            isinstance(ranks, dict) and set(ranks) == names and all(type(r) is int and r >= 0 for r in ranks.values()),
            f'{path} is no ranks.json: it has no "ranks" with {", ".join(sorted(names))} (write one with: e2gan ranks)',
        )
        return cls(**cast(dict[str, int], ranks))


THRESHOLDS = Ranks(level1=1, level2=4, level3=16, level4=32, tb=1)
"""Where Alg. 1 stops to double (B.2)."""


# ---------------------------------------------------------------------------------------------------- the training


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What all trainings share (Sec. 5.1, Eq. 1)."""

    epochs: int = 100
    """Passes over the training pairs (Sec. 5.1: 100 for E²GAN, 200 for the baselines)."""
    steps: int | None = None
    """Stop after so many steps instead of --epochs."""
    minutes: float | None = None
    """Stop after so many minutes of training instead of --epochs (not reproducible: it is a clock's choice)."""
    batch: int = 1
    """Pairs a step (undisclosed; 1 as in pix2pix)."""
    lr: float = 2e-4
    """Adam's learning rate (Sec. 5.1)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas (undisclosed; pix2pix's)."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning rate over the run (undisclosed); linear: constant for a half, then linearly to zero, as pix2pix."""
    l1: float = 100.0
    """Weight λ of L1 in Eq. 1 (undisclosed; pix2pix's 100)."""
    gan: float = 1.0
    """Weight of the adversarial loss in Eq. 1; 0 trains with L1 alone."""
    r1: float = 0.0
    """Weight γ of the R1 penalty on the discriminator, taken every 16 steps (StyleGAN2's; 0: none)."""
    ema: float = 0.0
    """Decay of a moving average of the generator, which is then what is written (0: none)."""
    flip: bool = True
    """Mirror half of the pairs."""
    crop: int | None = None
    """Train on random crops of this many pixels; a multiple of 8."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 autocast; auto times one step of each on this machine and takes the faster."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: int = 0
    """The same seed gives the same file on the same machine."""
    save_every: float = 60.0
    """Seconds between checkpoints."""
    tensorboard: bool = False
    """Write TensorBoard event files too (needs the package tensorboard)."""

    def check(self) -> None:
        _at_least("epochs", self.epochs, 1)
        _need(self.steps is None or self.steps >= 1, f"--steps {self.steps}: must be at least 1")
        _need(self.minutes is None or self.minutes > 0, f"--minutes {self.minutes}: must be positive")
        _at_least("batch", self.batch, 1)
        _need(self.lr > 0, f"--lr {self.lr}: must be positive")
        _need(all(0 <= b < 1 for b in self.betas), f"--betas {self.betas}: each must be at least 0 and below 1")
        _at_least("l1", self.l1, 0)
        _at_least("gan", self.gan, 0)
        _need(self.l1 > 0 or self.gan > 0, "--l1 0 and --gan 0: nothing would be trained")
        _at_least("r1", self.r1, 0)
        _need(0 <= self.ema < 1, f"--ema {self.ema}: must be at least 0 and below 1")
        _need(
            self.crop is None or (self.crop >= 32 and self.crop % 8 == 0),
            f"--crop {self.crop}: must be a multiple of 8, and at least 32",
        )
        _at_least("save-every", self.save_every, 0)


COMODGAN_TRAINING = TrainingConfig(epochs=200, lr=2e-3, betas=(0.0, 0.99), r1=5.0, schedule="constant")
"""How Co-Mod-GAN is trained (Zhao et al. 2021, after StyleGAN2): its weights are scaled, so that its rate is higher.
γ = 5 beside the halved loss of D is StyleGAN2's 10 beside the whole one."""


# ------------------------------------------------------------------------------------------------------ the stages


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
        _need(self.size >= 32 and self.size % 8 == 0, f"--size {self.size}: must be a multiple of 8, and at least 32")
        _need(self.limit is None or self.limit >= 3, f"--limit {self.limit}: must be at least 3")


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
        _need(self.keep >= 1, f"--keep {self.keep}: must be at least 1")
        _need(self.method in ("similarity", "random"), f"--method {self.method}: must be similarity or random")
        named = self.out is None or self.out.suffix.lower() == ".json"
        _need(named, f"--out {self.out}: must end in .json (its sheet is a .png of the same name)")


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Make the pairs of one concept: by a teacher, or from pairs that you have."""

    out: Path
    """Pair set to write."""
    concept: str
    """The edit as a prompt, e.g. "make it autumn"."""
    photos: Path | None = None
    """Photo set whose photos the teacher edits."""
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
        _need(sum(ways) == 1, "name one source: --photos, or --aligned, or --before with --after")
        _need((self.before is None) == (self.after is None), "--before and --after belong together: name both")
        _need(not self.unpaired or self.before is not None, "--unpaired takes two folders: --before and --after")
        _need(bool(self.concept.strip()), '--concept is empty: say what the edit does, e.g. "make it autumn"')
        _need(self.size >= 32 and self.size % 8 == 0, f"--size {self.size}: must be a multiple of 8, and at least 32")


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
        _need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        _need(self.keep >= 1, f"--keep {self.keep}: must be at least 1")
        _need(self.samples >= 1, f"--samples {self.samples}: must be at least 1")
        _need(self.method in ("similarity", "random"), f"--method {self.method}: must be similarity or random")
        named = self.out.suffix.lower() == ".json"
        _need(named, f"--out {self.out}: must end in .json (its pictures are .png beside it)")


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """Train the base generator on several concepts."""

    pairs: tuple[Path, ...]
    """Pair sets, one a concept (Sec. 5.1: 20 concepts for faces, 7 for scenes)."""
    out: Path
    """Base to write."""
    text: str = "hashed"
    """Text encoder of the prompts: hashed, clip, or clip:NAME of any CLIP text model, a hub's name or a folder. The
    generator's text width follows it."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        _need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        self.generator.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """Train one concept's adapter on a base."""

    pairs: Path
    """Pair set of the concept (Sec. 5.1: 400 training pairs)."""
    out: Path
    """Adapter to write."""
    base: Path | None = None
    """Base to adapt (default: the one that ships, where there is one)."""
    selection: Path | None = None
    """Train on the photos of this selection.json alone (Sec. 4.2.3; where the teacher had edited all of them)."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    ranks: Ranks = field(default_factory=Ranks)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        self.ranks.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class ScratchConfig:
    """Train a baseline from scratch on one concept."""

    pairs: Path
    """Pair set of the concept."""
    out: Path
    """Model to write."""
    model: Literal["pix2pix", "pix2pix-unet", "comodgan", "e2gan"] = "pix2pix"
    """pix2pix: the ResNet generator with 9 RBs and no TB; pix2pix-unet: its U-Net; comodgan: Co-Mod-GAN, 79 million
    parameters at 256 (Tab. 1), which the command trains by COMODGAN_TRAINING where nothing else is said; e2gan: this
    generator (--preset and its options)."""
    unpaired: bool = False
    """Train without using which edit belongs to which photo (contrastive, Park et al. 2020), for sets of `pairs
    --unpaired`; with e2gan and pix2pix only."""
    selection: Path | None = None
    """Train on the photos of this selection.json alone."""
    text: str = "hashed"
    """Text encoder of the prompt: hashed, clip, or clip:NAME of any CLIP text model, a hub's name or a folder."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=200))

    def check(self) -> None:
        _need(
            not self.unpaired or self.model in ("e2gan", "pix2pix"),
            f"--unpaired trains e2gan or pix2pix, not {self.model}",
        )
        _need(not self.unpaired or self.training.gan > 0, "--unpaired needs the adversarial loss: --gan above 0")
        self.generator.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class RanksConfig:
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
    metric: Metric = "fid"
    """What decides, on the validation photos: FID (Alg. 1), a Fréchet distance on other features, or L1."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --metric fd-squeezenet."""
    inception: str | None = None
    """Inception file for --metric fid (default: downloaded once)."""
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=10, schedule="constant"))
    """Of one step of the search (B.2: e = 10 epochs)."""

    def check(self) -> None:
        _need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        _need(self.sample is None or self.sample >= 1, f"--sample {self.sample}: must be at least 1")
        _at_least("start", self.start, 1)
        _need(self.out.suffix == ".json", f"--out {self.out}: must end in .json (its plot is a .png of the same name)")
        _at_least("gain", self.gain, 0)
        self.thresholds.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class CrucialConfig:
    """Find the crucial layers: freeze each part of the base in turn and fine-tune the rest (Fig. 4)."""

    pairs: tuple[Path, ...]
    """Pair sets of the concepts to fine-tune on."""
    out: Path
    """Folder to write: crucial.json, crucial.png, a sheet a concept, and the models."""
    base: Path | None = None
    """Base to fine-tune (default: the one that ships, where there is one)."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    metric: Metric = "fid"
    """What is reported, on the test photos."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --metric fd-squeezenet."""
    inception: str | None = None
    """Inception file for --metric fid (default: downloaded once)."""
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        _need(bool(self.pairs), "--pairs is empty: name at least one pair set")
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
        _need(len(set(self.frozen)) < 3, "--frozen names all parts: nothing would be trained")
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measure a model on the test split of a pair set."""

    pairs: Path
    """Pair set whose test split is edited."""
    base: Path | None = None
    """Base of the adapter (default: the one that ships, where there is one)."""
    adapter: Path | None = None
    """Adapter to measure; without one, the base itself with the concept's prompt."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for fd-squeezenet."""
    inception: str | None = None
    """The Inception file of 2015 for FID and KID (pt_inception-2015-12-05-6726825d.pth, or a safetensors of the same
    names); auto downloads it once."""
    clip: str | None = None
    """CLIP by name or folder (e.g. openai/clip-vit-base-patch32), for fd-clip and clip-direction."""
    dinov2: str | None = None
    """DINOv2 by name or folder (e.g. facebook/dinov2-small), for fd-dinov2."""
    source_prompt: str = "a photo"
    """What the photos are, in words: clip-direction goes from here to the edit's prompt."""
    segmenter: str | None = None
    """Semantic segmentation model by name or folder (e.g. nvidia/segformer-b0-finetuned-ade-512-512), for mIoU."""
    labels: Path | None = None
    """Palette of the photos where they are label maps, {"classes": {"road": [128, 64, 128], ...}}: the truth of mIoU.
    Without it, the truth is how --segmenter sees the teacher's images."""
    split: Literal["train", "val", "test"] = "test"
    """Split to measure on."""
    out: Path | None = None
    """Folder for metrics.json and sheet.png (default: inside the adapter's or model's folder)."""
    rows: int = 8
    """Photos on the sheet."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def check(self) -> None:
        _need(
            self.model is None or (self.base is None and self.adapter is None), "--model excludes --base and --adapter"
        )
        named = self.base or self.adapter or self.model or self.out
        _need(named is not None, "name --out: the base that ships is no place to write to")
        _at_least("rows", self.rows, 1)
        for name in ("inception", "clip", "dinov2", "segmenter"):
            _need(getattr(self, name) != "", f"--{name} is empty: give a name, a file or a folder, or leave it out")
        _need(bool(self.source_prompt.strip()), '--source-prompt is empty: say what the photos are, e.g. "a photo"')
        _need(self.labels is None or self.segmenter is not None, "--labels needs --segmenter, which segments the edits")


@dataclass(frozen=True, kw_only=True)
class CostConfig:
    """Count parameters, multiply-accumulates and bytes, and time the generator."""

    base: Path | None = None
    """Base to count; without --base and --model, a fresh generator of --preset."""
    adapter: Path | None = None
    """Adapter whose parameters and bytes are counted too."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    ranks: Ranks = field(default_factory=Ranks)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    size: int = 256
    """Side of the square image."""
    repeat: int = 10
    """Timed runs; the median is given."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def check(self) -> None:
        _need(
            self.model is None or (self.base is None and self.adapter is None), "--model excludes --base and --adapter"
        )
        _need(self.adapter is None or self.base is not None, "--adapter needs its --base")
        _need(self.size >= 32 and self.size % 8 == 0, f"--size {self.size}: must be a multiple of 8, and at least 32")
        _at_least("repeat", self.repeat, 1)
        self.generator.check()
        self.ranks.check()


@dataclass(frozen=True, kw_only=True)
class TableConfig:
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
    metric: Metric = "fid"
    """What is reported, on the test photos."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --metric fd-squeezenet."""
    inception: str | None = None
    """Inception file for --metric fid (default: downloaded once)."""
    paper: Path | None = None
    """CSV with more of the paper's numbers: table, row, column, value."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    ranks: Ranks = field(default_factory=Ranks)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 autocast; auto times one step of each on this machine and takes the faster."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: int = 0

    def check(self) -> None:
        for name in ("epochs", "baseline_epochs", "base_epochs", "batch"):
            _at_least(name.replace("_", "-"), getattr(self, name), 1)
        for name in ("minutes", "steps", "base_minutes", "base_steps"):
            value = getattr(self, name)
            _need(value is None or value > 0, f"--{name.replace('_', '-')} {value}: must be positive")
        for of in ("", "base_"):
            both = getattr(self, f"{of}minutes") and getattr(self, f"{of}steps")
            flag = of.replace("_", "-")
            _need(not both, f"--{flag}minutes and --{flag}steps: name one of them")
        for name in ("lr", "adapter_lr"):
            _need(getattr(self, name) > 0, f"--{name.replace('_', '-')} {getattr(self, name)}: must be positive")
        _need(
            self.size is None or (self.size >= 32 and self.size % 8 == 0),
            f"--size {self.size}: must be a multiple of 8, and at least 32",
        )
        _need(self.keep is None or self.keep >= 1, f"--keep {self.keep}: must be at least 1")
        self.generator.check()
        self.ranks.check()


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a deployable model with the adapter merged, checked against the original."""

    out: Path
    """Folder to write."""
    base: Path | None = None
    """Base of the adapter (default: the one that ships, where there is one)."""
    adapter: Path | None = None
    """Adapter to merge."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    format: Literal["onnx"] = "onnx"
    """onnx: uint8 NHWC in and out, for ONNX Runtime."""
    size: int | None = None
    """Fixed height and width; a multiple of 8 (default: any height and width that are)."""
    strength: float = 1.0
    """Strength of the edit, fixed in the file: 0 is the photo itself, 1 the edit, up to 1.5."""
    photos: Path | None = None
    """Folder of photos to check the file on (default: photographs that ship with scikit-image)."""

    def check(self) -> None:
        _need(
            self.model is None or (self.base is None and self.adapter is None), "--model excludes --base and --adapter"
        )
        _need(self.model is not None or self.adapter is not None, "name an --adapter, or a --model from scratch")
        _need(
            self.size is None or (self.size >= 32 and self.size % 8 == 0),
            f"--size {self.size}: must be a multiple of 8, and at least 32",
        )
        _need(0 <= self.strength <= 1.5, f"--strength {self.strength}: must lie in 0..1.5")


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """Edit a photo or a folder of photos; each comes back at its own size."""

    input: Positional[Path]
    """A photo or a folder."""
    out: Path
    """File to write for a photo, folder for a folder."""
    base: Path | None = None
    """Base of the adapter (default: the one that ships, where there is one)."""
    adapter: tuple[Path, ...] = ()
    """Adapter; several are mixed."""
    weights: tuple[float, ...] | None = None
    """Weight of each adapter in a mixture (default: equal, adding to 1)."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    strength: float = 1.0
    """0 is the photo itself, 1 the edit, up to 1.5 beyond it."""
    side: int | None = None
    """Shorter side at which the generator runs (default: the size it was trained at); 0: the photo's own."""
    tile: int | None = None
    """Run in overlapping tiles of this many pixels to bound memory; a multiple of 8."""
    detail: Literal["guided", "none"] = "guided"
    """How an edit made below the photo's size comes back to it: with the photo's own detail, or enlarged as it is."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def check(self) -> None:
        _need(self.model is None or (self.base is None and not self.adapter), "--model excludes --base and --adapter")
        _need(self.model is not None or bool(self.adapter), "name an --adapter, or a --model from scratch")
        _need(0 <= self.strength <= 1.5, f"--strength {self.strength}: must lie in 0..1.5")
        _need(
            self.weights is None or len(self.weights) == len(self.adapter),
            f"--weights: {len(self.weights or ())} given for {len(self.adapter)} adapters",
        )
        _need(self.side is None or self.side == 0 or self.side >= 32, f"--side {self.side}: 0, or at least 32")
        _need(
            self.tile is None or (self.tile >= 64 and self.tile % 8 == 0),
            f"--tile {self.tile}: must be a multiple of 8, and at least 64",
        )


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """The whole way on built-in photos, teacher and base, on a CPU in minutes."""

    out: Path = Path("demo")
    """Folder to write; report.html lies in it."""
    concept: str = "make it cyberpunk"
    """Held-out concept that the adapter learns; a name or prompt of the built-in filters."""
    size: int = 64
    """Side of the training crops in pixels."""
    base_minutes: float = 2.5
    """Training time of the base."""
    adapter_minutes: float = 1.0
    """Training time of the adapter, and of pix2pix beside it."""
    seed: int = 0

    def check(self) -> None:
        _need(self.size >= 32 and self.size % 8 == 0, f"--size {self.size}: must be a multiple of 8, and at least 32")
        _need(self.base_minutes > 0, f"--base-minutes {self.base_minutes}: must be positive")
        _need(self.adapter_minutes > 0, f"--adapter-minutes {self.adapter_minutes}: must be positive")
