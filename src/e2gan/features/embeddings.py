"""Embeddings of photos, for similarity clustering (Sec. 4.2.3), the choice of concepts (Sec. 4.2.1), and evaluation.

`clip` and `facenet` are the paper's; `gradient-colour` needs no weights. `squeezenet` and `dinov2` are networks for
Fréchet distances as well. Photos stream through in small batches: their number is bounded by the disk alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import Pixels, read_image, resize
from e2gan.core.progress import in_threads, track
from e2gan.features.hub import CLIP_NAME, image_statistics, model_config, need_transformers, pretrained_network
from e2gan.features.squeezenet import SqueezeNetFeatures

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "DINOV2_NAME",
    "embed",
    "embed_files",
    "Embedder",
    "image_size",
    "KINDS",
    "load_embedder",
    "Network",
    "own_embeddings",
]

Embeddings = NDArray[np.float32]

DINOV2_NAME = "facebook/dinov2-small"
BATCH = 32  # images that run through a network together
LEAST = 32  # pixels of a side
MODEL = "--model"  # the option that takes a hub's name or a local copy

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# ---------------------------------------------------------------------------------------------------------- embedding


class Embedder(ABC):
    """Images to rows of numbers. Called with a stack of images it is a `fid.Extractor`. Made by `load_embedder`."""

    least = LEAST

    @abstractmethod
    def prepare(self, image_HWC: Pixels) -> Pixels:
        """One image, uint8 (H, W, 3) of any size, as uint8 of what the network takes. Runs in threads."""

    @abstractmethod
    def network(self, images_NHWC: Pixels) -> Embeddings:
        """A batch of prepared images, uint8 (N, H, W, 3), as float32 (N, D)."""

    def __call__(self, images: Iterable[Pixels] | Pixels) -> Embeddings:
        """Embeddings (N, D) float32 of images, uint8 (H, W, 3) each and of any sizes, or a stack (N, H, W, 3).

        No more than a few batches are held, however many images an iterator gives. Raises InputError for no images,
        images below 32 pixels a side, or of another kind.
        """
        return self._run(in_threads(self._prepared, images))

    def files(self, paths: Sequence[Path], size: int | None = None, description: str = "embeddings") -> Embeddings:
        """Embeddings (N, D) float32 of image files, with progress, as `__call__`.

        size: pixels of each side that every file must have; None takes any. Raises InputError where a file cannot be
        read, or is of another size.
        """

        def load(path: Path) -> Pixels:
            image = read_image(path)
            if size is not None and image.shape[:2] != (size, size):
                raise InputError(f"{path}: is not {size}×{size} pixels as its set says")
            return self._prepared(image)

        return self._run(track(in_threads(load, paths), description, len(paths)))

    def _prepared(self, image_HWC: Pixels) -> Pixels:
        if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype != np.uint8:
            raise InputError(f"embeddings are of uint8 images (H, W, 3), not {image_HWC.dtype} {image_HWC.shape}")
        if min(image_HWC.shape[:2]) < self.least:
            height, width = image_HWC.shape[:2]
            raise InputError(f"embeddings need images of at least {self.least} pixels a side: here is {width}×{height}")
        return self.prepare(image_HWC)

    def _run(self, prepared: Iterable[Pixels]) -> Embeddings:
        found = [self.network(np.stack(batch)) for batch in _batches(prepared)]
        if not found:
            raise InputError("there are no photos to embed")
        return np.concatenate(found).astype(np.float32, copy=False)


def _batches(images: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    """Neighbours of one shape together, at most BATCH."""
    batch: list[Pixels] = []
    for image in images:
        if batch and (len(batch) == BATCH or image.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def embed(
    images: Iterable[Pixels] | Pixels,
    kind: str,
    *,
    features: Path | None = None,
    model: str | None = None,
    device: str = "auto",
) -> Embeddings:
    """Embeddings (N, D) float32 of images, uint8 (H, W, 3) each, or a stack (N, H, W, 3).

    kind, features, model, device: as `load_embedder`; or a path that ends in .npy: the user's own, a row an image.
    Rows have unit length for gradient-colour, clip and facenet, whose practice that is; others are as they come.
    Raises InputError as `load_embedder`, `Embedder` and `own_embeddings`.
    """
    if _is_own(kind):
        count = len(images) if isinstance(images, Sized) else sum(1 for _ in images)
        return _own(kind, count, features, model)
    return load_embedder(kind, features=features, model=model, device=device)(images)


def embed_files(
    paths: Sequence[Path],
    size: int | None,
    kind: str,
    *,
    features: Path | None = None,
    model: str | None = None,
    device: str = "auto",
) -> Embeddings:
    """As `embed`, of image files that are read a few at a time, with progress.

    size: pixels of each side that every file must have, as a photo set's; None takes any.
    """
    if _is_own(kind):
        return _own(kind, len(paths), features, model)
    embedder = load_embedder(kind, features=features, model=model, device=device)
    return embedder.files(paths, size, f"embeddings ({kind})")


def _is_own(kind: str) -> bool:
    return kind.lower().endswith(".npy")


def _own(kind: str, count: int, features: Path | None, model: str | None) -> Embeddings:
    if features is not None or model is not None:
        raise InputError(f"{kind} holds embeddings already: leave {'--features' if features else MODEL} out")
    return own_embeddings(Path(kind), count)


def own_embeddings(path: Path, count: int) -> Embeddings:
    """The user's own embeddings, an .npy file of (count, D) numbers, as float32.

    Raises InputError where there is no such file, it is no such array, or a number is not finite.
    """
    try:
        found = np.load(path.expanduser(), mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: is no .npy file of numbers ({error})") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise InputError(f"{path}: is no .npy file of one array of real numbers")
    if found.ndim != 2 or found.shape[1] == 0:
        raise InputError(f"{path}: embeddings are (photos, dimensions), not an array of {found.shape}")
    if len(found) != count:
        raise InputError(f"{path}: has {len(found)} rows for {count} photos: it needs one a photo, in their order")
    with np.errstate(over="ignore"):
        rows = np.array(found, np.float32)
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
        raise InputError(f"{path}: row {bad} (from 0) has a number that is not finite as float32")
    return rows


# -------------------------------------------------------------------------------------------------------------- kinds


class GradientColour(Embedder):
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

    def network(self, images_NHWC: Pixels) -> Embeddings:
        return np.stack([self._row(image) for image in images_NHWC])

    def _row(self, image_HWC: Pixels) -> Embeddings:
        gradients, colours = self.gradients(image_HWC), self.colours(image_HWC)
        row = [math.sqrt(self.GRADIENT_SHARE) * gradients, math.sqrt(1 - self.GRADIENT_SHARE) * colours]
        whole = np.concatenate(row)
        return (whole / np.linalg.norm(whole)).astype(np.float32)  # a photo without an edge has no gradients

    def gradients(self, image_HWC: Pixels) -> NDArray[np.float64]:
        """(288,) of unit length; zeros where the image has no edge."""
        from skimage.feature import hog

        grey = image_HWC @ np.array([0.299, 0.587, 0.114])
        found = hog(grey, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(2, 2), block_norm="L2-Hys")
        return found / max(float(np.linalg.norm(found)), 1e-12)

    def colours(self, image_HWC: Pixels) -> NDArray[np.float64]:
        """(100,) of unit length."""
        from skimage.color import rgb2lab

        light, a, b = np.moveaxis(rgb2lab(image_HWC), 2, 0)
        bins = len(self.CHROMA) + 1
        cell = (np.digitize(light, self.LIGHTNESS) * bins + np.digitize(a, self.CHROMA)) * bins
        cell += np.digitize(b, self.CHROMA)
        counts = np.bincount(cell.ravel(), minlength=(len(self.LIGHTNESS) + 1) * bins**2)
        return np.sqrt(counts / cell.size)


@dataclass(frozen=True)
class Network(Embedder):
    """A pretrained network on images of one size.

    run: float32 (N, 3, size, size), colours 0..1 less the mean over the std, on `device`, to (N, D).
    An image is made to fit as the networks' own preprocessing does: its shorter side to the size, then the centre.
    """

    run: Callable[[Tensor], Tensor]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    resampling: Image.Resampling = Image.Resampling.BICUBIC

    def prepare(self, image_HWC: Pixels) -> Pixels:
        height, width = image_HWC.shape[:2]
        shorter = min(height, width)
        height, width = (int(self.size * side / shorter) for side in (height, width))
        image = Image.fromarray(image_HWC)
        if image.size != (width, height):
            image = image.resize((width, height), self.resampling)  # Pillow's is antialiased
        top, left = (height - self.size) // 2, (width - self.size) // 2
        return np.array(image.crop((left, top, left + self.size, top + self.size)))

    def network(self, images_NHWC: Pixels) -> Embeddings:
        return self.run(self.tensor(images_NHWC)).float().cpu().numpy()

    def tensor(self, images_NHWC: Pixels) -> Tensor:
        """Prepared images as what the network takes."""
        x = torch.from_numpy(images_NHWC).to(self.device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in (self.mean, self.std))
        return (x - mean) / std


class SqueezeNet(Embedder):
    """`fid.SqueezeNetFeatures`, 512 numbers, at the images' own size."""

    def __init__(self, features: Path) -> None:
        self.extract = SqueezeNetFeatures(features)

    def prepare(self, image_HWC: Pixels) -> Pixels:
        return image_HWC

    def network(self, images_NHWC: Pixels) -> Embeddings:
        return self.extract(images_NHWC)


def image_size(config: Any) -> int:
    size = config.image_size
    return int(size if isinstance(size, int) else size[0])


def _clip(model: str | None, device: torch.device) -> Embedder:
    """CLIP's image embedding, of unit length (ViT-B/32: 512 numbers)."""
    name = CLIP_NAME if model is None else model
    transformers = need_transformers("the embedding clip")
    model_config(name, MODEL, ("clip", "clip_vision_model"))
    network = pretrained_network(transformers.CLIPVisionModelWithProjection, name, MODEL).to(device)

    @torch.no_grad()
    def run(x: Tensor) -> Tensor:
        return F.normalize(network(pixel_values=x).image_embeds, dim=1)

    mean, std = image_statistics(name, CLIP_MEAN, CLIP_STD)
    return Network(run, image_size(network.config), mean, std, device)


def _dinov2(model: str | None, device: torch.device) -> Embedder:
    """DINOv2's class token after the last norm, not scaled, of the whole square at 224×224 (ViT-S/14: 384 numbers).

    So do evaluations of generative models (Stein et al. 2023); the recipe for classifying, 256 pixels of which the
    centre is taken, would miss the borders.
    """
    name = DINOV2_NAME if model is None else model
    transformers = need_transformers("the embedding dinov2")
    model_config(name, MODEL, ("dinov2",))
    network = pretrained_network(transformers.Dinov2Model, name, MODEL).to(device)

    @torch.no_grad()
    def run(x: Tensor) -> Tensor:
        return network(pixel_values=x).last_hidden_state[:, 0]

    mean, std = image_statistics(name, IMAGENET_MEAN, IMAGENET_STD)
    return Network(run, 224, mean, std, device)


def _facenet(model: str | None, device: torch.device) -> Embedder:
    """FaceNet's embedding of a face that fills the photo, of unit length, 512 numbers: Inception-ResNet v1, VGGFace2.

    model: a local copy of its weights, 20180402-114759-vggface2.pt; else the package downloads them.
    """
    try:
        from facenet_pytorch import InceptionResnetV1  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # the latter from a torchvision of another PyTorch
        raise InputError(
            "the embedding facenet needs the package facenet-pytorch and torchvision, which it brings in "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}): pip install a torchvision that "
            "fits your PyTorch, then pip install --no-deps facenet-pytorch; or take --embedding clip"
        ) from None
    try:
        if model is None:
            network = InceptionResnetV1(pretrained="vggface2")
        else:
            network = InceptionResnetV1()
            weights = torch.load(Path(model).expanduser(), map_location="cpu", weights_only=True)
            network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("logits.")})
    except Exception as error:  # whatever a download or a stranger's file gives
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            f"cannot load FaceNet's weights ({reason}): connect to the network once, or name a local copy of "
            f"20180402-114759-vggface2.pt with {MODEL}"
        ) from None
    network = network.eval().to(device)

    @torch.no_grad()
    def run(x: Tensor) -> Tensor:
        return F.normalize(network(x), dim=1)

    # (x - 127.5) / 128 in 0..255
    mean, std = (127.5 / 255,) * 3, (128 / 255,) * 3
    return Network(run, 160, mean, std, device, Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class Kind:
    """How to make an embedder. takes: which of --features and --model it has use for."""

    make: Callable[[Path | None, str | None, torch.device], Embedder]
    takes: Literal["nothing", "features", "model"]


KINDS: dict[str, Kind] = {
    "gradient-colour": Kind(lambda _f, _m, _d: GradientColour(), "nothing"),
    "clip": Kind(lambda _f, model, device: _clip(model, device), "model"),
    "facenet": Kind(lambda _f, model, device: _facenet(model, device), "model"),
    "dinov2": Kind(lambda _f, model, device: _dinov2(model, device), "model"),
    "squeezenet": Kind(lambda features, _m, _d: SqueezeNet(_given(features)), "features"),
}


def _given(features: Path | None) -> Path:
    if features is None:
        raise InputError("the embedding squeezenet needs --features FILE: SqueezeNet 1.1 as safetensors")
    return features


def load_embedder(
    kind: str, *, features: Path | None = None, model: str | None = None, device: str = "auto"
) -> Embedder:
    """The embedder of a kind, its weights loaded once for as many calls as there may be.

    kind: a name of KINDS. features: the SqueezeNet file. model: a hub's name or a local folder in place of the default
    (clip, dinov2), or FaceNet's weights file. device: auto, cpu, cuda, …
    Raises InputError for an unknown kind, an option that the kind has no use for, and weights that are not at hand.
    """
    if kind not in KINDS:
        raise InputError(f"--embedding {kind}: unknown; there are {', '.join(KINDS)}, and a path that ends in .npy")
    takes = KINDS[kind].takes
    for name, value in (("features", features), ("model", model)):
        if value is not None and name != takes:
            raise InputError(f"--{name} {value}: the embedding {kind} has no use for it: leave it out")
    return KINDS[kind].make(features, model, resolve_device(device))


# ------------------------------------------------------------------------------- what the choice of concepts shares


def embedding_settings(embedding: str, features: Path | None, model: str | None, unused: bool) -> dict[str, Any]:
    """What decides the embeddings; files by their content. Raises InputError where one is missing."""
    if unused:
        return {"embedding": None, "embedding_sha256": None, "model": None, "features_sha256": None}
    own = embedding.lower().endswith(".npy")
    return {
        "embedding": embedding,
        "embedding_sha256": sha256(Path(embedding).expanduser()) if own else None,
        "model": model,
        "features_sha256": None if features is None else sha256(features),
    }
