"""The features of FID as Clean-FID takes them (Parmar et al. 2022): Inception-v3 of 2015, its 2048 values at pool_3.

By hand, because every kept library that has this network (clean-fid, torch-fidelity, the image part of torchmetrics)
brings in torchvision, which fails to import on a CPU build of PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import Pixels
from e2gan.core.tensors import read_tensors
from e2gan.features.converted import published_weights
from e2gan.features.extractors import FeatureExtractor, Features, checked_weights, normalised

HASH = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # the published file's SHA-256
NAME = f"pt_inception-2015-12-05-{HASH[:8]}.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
MOST_BYTES = 512 * 2**20  # of a file: five times the published one's
SIDE = 299  # pixels, the network's only size here
LOGITS = 1008  # of the TensorFlow graph of 2015; the ImageNet file of torchvision has 1000

Layer = tuple[str, int, int | tuple[int, int]]  # name, channels, kernel
Branch = Sequence[Sequence[Layer]]  # one layer after the other; where a step holds two, both run and are joined


class Conv(nn.Module):
    """A convolution without bias, batch norm with TensorFlow's epsilon, ReLU."""

    def __init__(self, into: int, out: int, kernel: int | tuple[int, int], stride: int = 1, padding: bool = True):
        super().__init__()
        kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        around = (kernel[0] // 2, kernel[1] // 2) if padding else 0
        self.conv = nn.Conv2d(into, out, kernel, stride, around, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, joined along the channels, the pooled input last.

    A block of stride 2 halves the map in the last layer of each branch, without padding, and pools without a layer.
    Layers are attributes of the block itself, so that the tensors' names are those of the published file.
    """

    def __init__(
        self, into: int, branches: Sequence[Branch], pool: Callable[[Tensor], Tensor], pooled: int = 0, stride: int = 1
    ) -> None:
        super().__init__()
        self.branches = [[[name for name, _, _ in step] for step in branch] for branch in branches]
        self.pool = pool
        for branch in branches:
            channels = into
            for step in branch:
                halves = stride == 2 and step is branch[-1]
                for name, out, kernel in step:
                    self.add_module(name, Conv(channels, out, kernel, 2 if halves else 1, not halves))
                channels = sum(out for _, out, _ in step)
        self.branch_pool = Conv(into, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        joined = []
        for branch in self.branches:
            y = x
            for step in branch:
                y = torch.cat([self.get_submodule(name)(y) for name in step], 1)
            joined.append(y)
        return torch.cat([*joined, self.branch_pool(self.pool(x))], 1)


# TensorFlow's average does not count the padding; this graph's last block takes the maximum where others average.
average = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
maximum = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
halving = partial(F.max_pool2d, kernel_size=3, stride=2)


def _chain(name: str, *layers: tuple[int, int | tuple[int, int]]) -> Branch:
    """NAME_1, NAME_2, … one after the other; NAME alone for a single layer."""
    if len(layers) == 1:
        return [[(name, *layers[0])]]
    return [[(f"{name}_{i}", *layer)] for i, layer in enumerate(layers, 1)]


def _block_a(into: int, pooled: int) -> Mixed:
    wide = _chain("branch5x5", (48, 1), (64, 5))
    twice = _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3))
    return Mixed(into, [_chain("branch1x1", (64, 1)), wide, twice], average, pooled)


def _block_b(into: int) -> Mixed:
    twice = _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3))
    return Mixed(into, [_chain("branch3x3", (384, 3)), twice], halving, stride=2)


def _block_c(into: int, inner: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    once = _chain("branch7x7", (inner, 1), (inner, row), (192, column))
    twice = _chain("branch7x7dbl", (inner, 1), (inner, column), (inner, row), (inner, column), (192, row))
    return Mixed(into, [_chain("branch1x1", (192, 1)), once, twice], average, 192)


def _block_d(into: int) -> Mixed:
    once = _chain("branch3x3", (192, 1), (320, 3))
    wide = _chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3))
    return Mixed(into, [once, wide], halving, stride=2)


def _block_e(into: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    row, column = (384, (1, 3)), (384, (3, 1))
    once = [[("branch3x3_1", 384, 1)], [("branch3x3_2a", *row), ("branch3x3_2b", *column)]]
    twice = [
        [("branch3x3dbl_1", 448, 1)],
        [("branch3x3dbl_2", 384, 3)],
        [("branch3x3dbl_3a", *row), ("branch3x3dbl_3b", *column)],
    ]
    return Mixed(into, [_chain("branch1x1", (320, 1)), once, twice], pool, 192)


class Inception(nn.Module):
    """Inception-v3 as in TensorFlow's graph of 2015: (N, 3, 299, 299) in about -1..1 → (N, 2048), the mean at pool_3.

    The state dict has the names and shapes of the published file; fc, which FID does not use, belongs to them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2, padding=False)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, padding=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, padding=False)
        self.Mixed_5b = _block_a(192, 32)
        self.Mixed_5c = _block_a(256, 64)
        self.Mixed_5d = _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b = _block_c(768, 128)
        self.Mixed_6c = _block_c(768, 160)
        self.Mixed_6d = _block_c(768, 160)
        self.Mixed_6e = _block_c(768, 192)
        self.Mixed_7a = _block_d(768)
        self.Mixed_7b = _block_e(1280, average)
        self.Mixed_7c = _block_e(2048, maximum)
        self.fc = nn.Linear(2048, LOGITS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halving(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halving(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))


def download_inception() -> Path:
    """The published file in PyTorch's hub cache, fetched once.

    Raises InputError where there is no network, or what came is not that file.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / NAME
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=HASH, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # no network or disk; another hash
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(
            f"cannot download {NAME} ({reason}): connect to the network once, or fetch {URL} on another machine and "
            "name the file with --inception FILE"
        ) from None
    return path


def _read(path: Path) -> tuple[Mapping[str, Tensor], bool]:
    """A file's tensors, and whether it is the published one."""
    if path.suffix == ".safetensors":
        return read_tensors(path, most=MOST_BYTES)[0], False
    needs = f"--inception needs {NAME}, or auto"
    published = path.is_file() and sha256(path) == HASH
    if path.is_file() and not published and HASH[:8] in path.name:
        raise InputError(f"{path} is damaged: its SHA-256 is not {HASH}; delete it and download it again")
    return published_weights(path, needs, MOST_BYTES), published


def _load(path: Path) -> tuple[Inception, bool]:
    tensors, published = _read(path)
    with torch.device("meta"):  # draws no weights, and leaves the random generator alone
        network = Inception()
    # Older files have no count of batches, and nothing here needs it.
    counts = {
        name: torch.zeros((), dtype=torch.long) for name in network.state_dict() if name.endswith("num_batches_tracked")
    }
    shapes = {name: w.shape for name, w in network.state_dict().items() if name not in counts}
    weights = checked_weights(tensors, shapes, path, "the Inception network of FID") | counts
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False), published


def resized(image_HWC: Pixels) -> NDArray[np.float32]:
    """float32 (299, 299, 3), levels in 0..255, as Clean-FID's release 0.1.35 resizes.

    Each channel in floats, antialiased bicubic, and never rounded to whole levels; what the filter overshoots is
    clipped.
    """
    channels = [Image.fromarray(image_HWC[:, :, c].astype(np.float32)) for c in range(3)]
    planes = [np.asarray(c.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for c in channels]
    return np.stack(planes, 2).clip(0, 255)


def scaled(levels_NHWC: NDArray[np.float32]) -> Tensor:
    """Levels in 0..255 as the network takes them: (x - 128) / 128, (N, 3, H, W)."""
    return normalised(levels_NHWC, (128,) * 3, (128,) * 3, factor=1)


class InceptionFeatures(FeatureExtractor):
    """pool_3 of the Inception network of 2015: uint8 images of any size → (N, 2048) float32.

    published: whether the file is the published one, by its SHA-256. note: a sentence where it is not, else empty.
    """

    least = 1
    progress = "Inception features"

    def __init__(self, path: Path | None = None, device: str = "auto") -> None:
        """path: the published .pth, or any file of its names and shapes (.pth or .safetensors); None downloads it.

        Raises InputError where the file is missing, damaged or of another network, or cannot be downloaded.
        """
        self.path = download_inception() if path is None else Path(path)
        self.device = resolve_device(device)
        self.network, self.published = _load(self.path)
        self.network.to(self.device)

    @property
    def note(self) -> str:
        if self.published:
            return ""
        return f"{self.path} is not the published file {NAME}: its FID compares with others' only if the weights are"

    def prepare(self, image_HWC: Pixels) -> NDArray[np.float32]:
        return resized(image_HWC)

    def extract(self, prepared_NHWC: NDArray[np.float32]) -> Features:
        x = scaled(prepared_NHWC)
        # TensorFloat-32 is a GPU's default for convolutions and rounds to ten bits.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.network(x.to(self.device)).cpu().numpy()
