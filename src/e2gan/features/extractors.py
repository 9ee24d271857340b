"""Feature extractors: images to rows of numbers, in batches; and the network that needs no weights."""

from __future__ import annotations

import functools
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from e2gan.core.errors import InputError
from e2gan.core.files import check_tensors
from e2gan.core.images import Pixels, read_image, read_square
from e2gan.core.progress import in_threads, track

Features = NDArray[np.float32]  # (N, D)
Extractor = Callable[[Pixels], Features]  # uint8 (N, H, W, 3) → (N, D)

BATCH = 32  # images that run through a network together,
BATCH_PIXELS = BATCH * 256 * 256  # or fewer where they are large


class FeatureExtractor(ABC):
    """Images to features, a row an image.

    Photos stream through in small batches: their number is bounded by the disk alone.
    """

    least = 32  # pixels of a side
    progress: str | None = None  # label of the progress bar; None: no bar

    def prepare(self, image_HWC: Pixels) -> NDArray[Any]:
        """One image, uint8 (H, W, 3) of any size, as what `extract` takes: here as it is. Runs in threads."""
        return image_HWC

    @abstractmethod
    def extract(self, prepared_NHWC: NDArray[Any]) -> Features:
        """A batch of prepared images of one size as float32 (N, D)."""

    def __call__(self, images: Iterable[Pixels] | Pixels) -> Features:
        """Features (N, D) float32 of images, uint8 (H, W, 3) each and of any sizes, or a stack (N, H, W, 3).

        No more than a few batches are held, however many images an iterator gives. Raises InputError for no images,
        images below `least` pixels a side, or of another kind.
        """
        prepared = in_threads(self._checked, images)
        if self.progress is not None:
            prepared = track(prepared, self.progress, len(images) if isinstance(images, Sized) else None)
        return self._rows(prepared)

    def files(self, paths: Sequence[Path], size: int | None = None, description: str = "embeddings") -> Features:
        """Features (N, D) float32 of image files, with progress, as `__call__`.

        size: pixels of each side that every file must have; None takes any. Raises InputError where a file cannot be
        read, or is of another size.
        """

        def load(path: Path) -> NDArray[Any]:
            return self._checked(read_image(path) if size is None else read_square(path, size))

        return self._rows(track(in_threads(load, paths), description, len(paths)))

    def _checked(self, image_HWC: Pixels) -> NDArray[Any]:
        if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype != np.uint8:
            raise InputError(f"features are of uint8 images (H, W, 3), not {image_HWC.dtype} {image_HWC.shape}")
        if min(image_HWC.shape[:2]) < self.least:
            height, width = image_HWC.shape[:2]
            raise InputError(f"features need images of at least {self.least} pixels a side: here is {width}×{height}")
        return self.prepare(image_HWC)

    def _rows(self, prepared: Iterable[NDArray[Any]]) -> Features:
        with torch.inference_mode():
            rows = [self.extract(np.stack(batch)) for batch in _batches(prepared)]
        if not rows:
            raise InputError("there are no photos to embed")
        return np.concatenate(rows).astype(np.float32, copy=False)


def _batches(images: Iterable[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
    """Neighbours of one shape together."""
    batch: list[NDArray[Any]] = []
    for image in images:
        pixels = image.shape[0] * image.shape[1]
        full = len(batch) == BATCH or (len(batch) + 1) * pixels > BATCH_PIXELS
        if batch and (full or image.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


class Once:
    """An extractor that sees each stack of images once, whatever asks for its features."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.seen: list[tuple[Pixels, Features]] = []

    def __call__(self, images_NHWC: Pixels) -> Features:
        for images, features in self.seen:
            if images is images_NHWC:  # by the array itself: equal images would have to be compared
                return features
        self.seen.append((images_NHWC, self.extractor(images_NHWC)))
        return self.seen[-1][1]


def normalised(
    images_NHWC: NDArray[Any], mean: Sequence[float], std: Sequence[float], factor: float = 1 / 255
) -> Tensor:
    """Images (N, H, W, 3) times the factor, less the mean, over the deviation of each channel: float32 (N, 3, H, W)."""
    x = torch.from_numpy(np.ascontiguousarray(images_NHWC, np.float32)).permute(0, 3, 1, 2) * factor
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@dataclass(frozen=True)
class PretrainedNetwork(FeatureExtractor):
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

    def extract(self, prepared_NHWC: Pixels) -> Features:
        x = normalised(prepared_NHWC, self.mean, self.std)
        return self.run(x.to(self.device)).float().cpu().numpy()


def published_weights(path: Path, needs: str, most: int) -> Mapping[str, Tensor]:
    """The tensors of a file as PyTorch publishes weights, read without running code; needs: what it should be; most:
    the bytes that it may have, and hold.

    Raises InputError where it is missing, no such file, or holds anything but tensors, and as `check_tensors`.
    """
    if not path.is_file():
        raise InputError(f"{path} is {'no file' if path.exists() else 'missing'}: {needs}")
    if max(path.stat().st_size, _unpacked(path)) > most:
        raise InputError(f"{path} holds more than {most / 1e6:,.0f} MB: {needs}")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises anything on a stranger's bytes: all of it means a wrong file
        raise InputError(f"{path} is no PyTorch file of weights alone ({type(error).__name__})") from None
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{path} holds no table of tensors: {needs}")
    check_tensors(path, tensors)
    return tensors


def _unpacked(path: Path) -> int:
    """The bytes that a file holds, where it is an archive, as PyTorch writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return 0


def checked_weights(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], path: Path, network: str
) -> dict[str, Tensor]:
    """A file's tensors of these names as float32. Raises InputError where one is absent, or of another shape."""
    for name, shape in shapes.items():
        if name not in tensors:
            raise InputError(f"{path} is not {network}: it has no {name}")
        if tuple(tensors[name].shape) != tuple(shape):
            actual, wanted = ("×".join(map(str, s)) for s in (tensors[name].shape, shape))
            raise InputError(f"{path} is not {network}: {name} is {actual}, not {wanted}")
    return {name: tensors[name].float() for name in shapes}


class RandomFeatures(FeatureExtractor):
    """352 features of a fixed random network, at the images' own size.

    Four 3×3 convolutions at stride 2, the mean and the standard deviation of each map, and the colours' own. The
    weights come from NumPy's PCG64, so that no version of PyTorch changes them.
    """

    least = 1

    def extract(self, prepared_NHWC: Pixels) -> Features:
        x = normalised(prepared_NHWC, (127.5,) * 3, (127.5,) * 3, factor=1)
        moments = [*_moments(x)]
        for weight in _random_weights():
            x = F.relu(F.conv2d(x, weight, stride=2, padding=1))
            moments += _moments(x)
        return torch.cat(moments, 1).numpy()


@functools.cache
def _random_weights() -> list[Tensor]:
    rng = np.random.Generator(np.random.PCG64(20240721))
    sizes = [(3, 24), (24, 40), (40, 48), (48, 61)]
    return [
        torch.from_numpy(rng.standard_normal((out, into, 3, 3), np.float32) * np.float32((2 / (9 * into)) ** 0.5))
        for into, out in sizes
    ]


def _moments(x: Tensor) -> Iterator[Tensor]:
    yield x.mean((2, 3))
    yield x.std((2, 3), correction=0)


random_features = RandomFeatures()
