"""Embeddings of photos, for similarity clustering (Sec. 4.2.3) and the choice of concepts (Sec. 4.2.1).

`clip` and `facenet` are the paper's; `gradient-colour` needs no weights. A new kind is one entry of `KINDS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from e2gan.config import ConceptsConfig, SelectConfig
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError, NotFiniteError
from e2gan.core.files import open_file, sha256
from e2gan.core.identity import hash_of_named
from e2gan.core.images import Pixels, resize
from e2gan.core.names import expanded_home
from e2gan.features.clip import clip_extractor
from e2gan.features.converted import published_weights
from e2gan.features.extractors import FeatureExtractor, Features, PretrainedNetwork
from e2gan.features.hub import (
    CLIP_NAME,
    brief,
    image_statistics,
    model_config,
    need_transformers,
    pretrained_network,
)
from e2gan.features.squeezenet import SHIPPED, SqueezeNetFeatures

MOST_FACENET = 512 * 2**20  # bytes of a file: five times the published one's
MOST_NUMBERS = 2**28  # of an .npy file
DINOV2_NAME = "facebook/dinov2-small"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class GradientColour(FeatureExtractor):
    """Histograms of gradients and of colours, 388 numbers, no weights.

    Both are of the photo at 64×64. Gradients: 8 directions in 4×4 cells, normalised over blocks of 2×2 (scikit-image's
    HOG), 288 numbers. Colours: joint bins of Lab, 4 of lightness by 5 by 5, finer near grey, where photos are; their
    square roots, so that the distance is Hellinger's.
    """

    SIDE = 64
    LIGHTNESS = (25, 50, 75)
    CHROMA = (-20, -6, 6, 20)
    # The mean squared distance between two photos, both blocks at unit length, is 0.38 for gradients and 1.29 for
    # colours over 300 BSDS photographs (0.33 and 0.83 for faces, 0.44 and 1.29 for landscapes): with these shares each
    # block decides about half, and the whole row has unit length.
    GRADIENT_SHARE = 0.77

    def prepare(self, image_HWC: Pixels) -> Pixels:
        return resize(image_HWC, (self.SIDE, self.SIDE))

    def extract(self, prepared_NHWC: Pixels) -> Features:
        return np.stack([self._row(image) for image in prepared_NHWC])

    def _row(self, image_HWC: Pixels) -> Features:
        gradients, colours = self.gradients(image_HWC), self.colours(image_HWC)
        halves = [math.sqrt(self.GRADIENT_SHARE) * gradients, math.sqrt(1 - self.GRADIENT_SHARE) * colours]
        row = np.concatenate(halves)
        return (row / np.linalg.norm(row)).astype(np.float32)  # a photo without an edge has no gradients

    def gradients(self, image_HWC: Pixels) -> NDArray[np.float64]:
        """(288,) of unit length; zeros where the image has no edge."""
        from skimage.feature import hog

        grey = image_HWC @ np.array([0.299, 0.587, 0.114])
        blocks = hog(grey, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(2, 2), block_norm="L2-Hys")
        return blocks / max(float(np.linalg.norm(blocks)), 1e-12)

    def colours(self, image_HWC: Pixels) -> NDArray[np.float64]:
        """(100,) of unit length."""
        from skimage.color import rgb2lab

        light, a, b = np.moveaxis(rgb2lab(image_HWC), 2, 0)
        bins = len(self.CHROMA) + 1
        cell = (np.digitize(light, self.LIGHTNESS) * bins + np.digitize(a, self.CHROMA)) * bins
        cell += np.digitize(b, self.CHROMA)
        counts = np.bincount(cell.ravel(), minlength=(len(self.LIGHTNESS) + 1) * bins**2)
        return np.sqrt(counts / cell.size)


def _dinov2(name: str, device: torch.device, option: str) -> FeatureExtractor:
    """DINOv2's class token after the last norm, not scaled, of the whole square at 224×224 (ViT-S/14: 384 numbers).

    So do evaluations of generative models (Stein et al. 2023); the recipe for classifying, 256 pixels of which the
    centre is taken, would miss the borders.
    """
    transformers = need_transformers("the embedding dinov2")
    model_config(name, option, ("dinov2",))
    network = pretrained_network(transformers.Dinov2Model, name, option).to(device)
    mean, std = image_statistics(name, IMAGENET_MEAN, IMAGENET_STD)
    return PretrainedNetwork(lambda x: network(pixel_values=x).last_hidden_state[:, 0], 224, mean, std, device)


def _facenet(weights: str | None, device: torch.device, option: str) -> FeatureExtractor:
    """FaceNet's embedding of a face that fills the photo, of unit length, 512 numbers: Inception-ResNet v1, VGGFace2.

    weights: a local copy of 20180402-114759-vggface2.pt; else the package downloads them.
    """
    try:
        from facenet_pytorch import InceptionResnetV1  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # the latter from a torchvision of another PyTorch
        raise InputError(
            "the embedding facenet needs the package facenet-pytorch and torchvision, which it brings in "
            f"({brief(error)}): pip install a torchvision that fits your PyTorch, then pip install --no-deps "
            "facenet-pytorch; or take --embedding clip"
        ) from None
    try:
        if weights is None:
            network = InceptionResnetV1(pretrained="vggface2")
        else:
            network = InceptionResnetV1()
            tensors = published_weights(expanded_home(Path(weights)), "name FaceNet's weights", MOST_FACENET)
            network.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("logits.")})
    except NotFiniteError:
        raise
    except Exception as error:  # whatever a download or a stranger's file gives
        raise InputError(
            f"cannot load FaceNet's weights ({brief(error)}): connect to the network once, or name a local copy of "
            f"20180402-114759-vggface2.pt with {option}"
        ) from None
    network = network.eval().to(device)
    mean, std = (127.5 / 255,) * 3, (128 / 255,) * 3  # (x - 127.5) / 128 in 0..255
    return PretrainedNetwork(
        lambda x: F.normalize(network(x), dim=1), 160, mean, std, device, Image.Resampling.BILINEAR
    )


@dataclass(frozen=True)
class Kind:
    """How an embedding is loaded: of the file or model that the user named, on a device.

    load's third argument: how the user names a local copy of it, for messages. takes: which of --features and --model
    it has use for. default: in place of what is not named.
    """

    load: Callable[[Any, torch.device, str], FeatureExtractor]
    takes: Literal["nothing", "features", "model"]
    default: str | None = None


KINDS: dict[str, Kind] = {
    "gradient-colour": Kind(lambda *_: GradientColour(), "nothing"),
    "clip": Kind(clip_extractor, "model", CLIP_NAME),
    "facenet": Kind(_facenet, "model"),
    "dinov2": Kind(_dinov2, "model", DINOV2_NAME),
    "squeezenet": Kind(lambda features, *_: SqueezeNetFeatures(features), "features"),
}


def is_own(kind: str) -> bool:
    """Whether an embedding is named by the user's own file of rows."""
    return kind.lower().endswith(".npy")


def load_embedder(
    kind: str,
    *,
    features: Path | None = None,
    model: str | None = None,
    device: str = "auto",
    option: str = "--model",
) -> FeatureExtractor | OwnEmbeddings:
    """The embedder of a kind, its weights loaded once for as many calls as there may be.

    kind: a name of KINDS, whose rows have unit length for gradient-colour, clip and facenet, whose practice that is,
    and are as they come for others; or a path that ends in .npy, the user's own embeddings. features: a SqueezeNet
    file in place of the one that ships. model: a hub's name or a local folder in place of the default (clip, dinov2),
    or FaceNet's weights file. device: auto, cpu, cuda, … option: how the user names the model, for messages.
    Raises InputError for an unknown kind, an option that the kind has no use for, and weights that are not at hand.
    """
    own = is_own(kind)
    if not own and kind not in KINDS:
        raise InputError(f"--embedding {kind}: unknown; there are {', '.join(KINDS)}, and a path that ends in .npy")
    takes = "nothing" if own else KINDS[kind].takes
    for name, value in (("features", features), ("model", model)):
        if value is not None and name != takes:
            if own:
                raise InputError(f"{kind} holds embeddings already: leave --{name} out")
            raise InputError(f"--{name} {value}: the embedding {kind} has no use for it: leave it out")
    if own:
        return OwnEmbeddings(Path(kind))
    named = features if takes == "features" else model
    return KINDS[kind].load(named or KINDS[kind].default, resolve_device(device), option)


def embed_files(config: SelectConfig | ConceptsConfig, paths: Sequence[Path], size: int | None) -> Features:
    """Embeddings (N, D) float32 of image files, as the settings ask for, with progress; see `load_embedder`.

    size: pixels of each side that every file must have, as a photo set's; None takes any. The user's own embeddings
    are taken a row a file, and no file is read.
    """
    embedder = load_embedder(config.embedding, features=config.features, model=config.model, device=config.device)
    return embedder.files(paths, size, f"embeddings ({config.embedding})")


@dataclass(frozen=True)
class OwnEmbeddings:
    """The user's own embeddings in place of a network's: an .npy file of (N, D) numbers, a row an image in their order.

    Its calls raise InputError where there is no such file, it is no such array, or a number is not finite.
    """

    path: Path

    def __call__(self, images: Iterable[Pixels] | Pixels) -> Features:
        return self.rows(len(images) if isinstance(images, Sized) else sum(1 for _ in images))

    def files(self, paths: Sequence[Path], size: int | None = None, description: str = "") -> Features:  # noqa: ARG002
        return self.rows(len(paths))

    def rows(self, count: int) -> Features:
        path = self.path
        open_file(expanded_home(path)).close()  # a pipe would be waited for without end
        try:
            array = np.load(expanded_home(path), mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (ValueError, EOFError) as error:
            raise InputError(f"{path}: is no .npy file of numbers ({error})") from None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise InputError(f"{path}: is no .npy file of one array of real numbers")
        if array.ndim != 2 or array.shape[1] == 0:
            raise InputError(f"{path}: embeddings are (photos, dimensions), not an array of {array.shape}")
        if len(array) != count:
            raise InputError(f"{path}: has {len(array)} rows for {count} photos: it needs one a photo, in their order")
        if array.size > MOST_NUMBERS:
            raise InputError(f"{path}: has {array.size:,} numbers, where up to {MOST_NUMBERS:,} are read")
        with np.errstate(over="ignore"):
            rows = np.array(array, np.float32)
        if not np.isfinite(rows).all():
            bad = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
            raise InputError(f"{path}: row {bad} (from 0) has a number that is not finite as float32")
        return rows


def embedding_reads(config: SelectConfig | ConceptsConfig) -> dict[str, str | None]:
    """Hash of the network that embeds, where the user named a folder or file of their own."""
    return {"model": None if config.method == "random" else hash_of_named(config.model)}


def embedding_settings(config: SelectConfig | ConceptsConfig) -> dict[str, Any]:
    """What decides the embeddings; files by their content. Raises InputError where one is missing.

    By chance nothing is embedded, whatever the embedding is set to.
    """
    if config.method == "random":
        return {"embedding": None, "embedding_sha256": None, "model": None, "features_sha256": None}
    own = is_own(config.embedding)
    features = config.features or (SHIPPED if config.embedding == "squeezenet" else None)
    return {
        "embedding": config.embedding,
        "embedding_sha256": sha256(expanded_home(Path(config.embedding))) if own else None,
        "model": config.model,
        "features_sha256": None if features is None else sha256(features),
    }
