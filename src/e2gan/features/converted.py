"""Weights in PyTorch's own format, which is a pickle: read once, without running code, and kept as safetensors.

What is kept is found by the hash of the original, so that another file under its name is converted anew.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.machine import raise_machine_fault
from e2gan.core.progress import note
from e2gan.core.tensors import check_tensors, read_tensors, write_tensors

WEIGHTS, CONFIG = "model.safetensors", "config.json"  # as the library transformers names them
MOST_MODEL = 8 * 2**30  # bytes: CLIP's largest have 4 GB


def converted_folder(path: Path) -> Path:
    """Where a file's conversion is kept: in PyTorch's cache (TORCH_HOME), under the hash of its bytes."""
    return Path(torch.hub.get_dir()) / "e2gan" / sha256(path)


def published_weights(path: Path, needs: str, most: int) -> Mapping[str, Tensor]:
    """The tensors of a file as PyTorch publishes weights; needs: what it should be; most: the bytes that it may have,
    and hold.

    The first time by PyTorch's reader for weights alone, which makes nothing but tensors; from then on by the
    safetensors that is kept of them. Raises InputError where it is missing, no such file, or holds anything but
    tensors, and as `check_tensors`.
    """
    if not path.is_file():
        raise InputError(f"{path} is {'no file' if path.exists() else 'missing'}: {needs}")
    if max(path.stat().st_size, _unpacked(path)) > most:
        raise InputError(f"{path} holds more than {most / 1e6:,.0f} MB: {needs}")
    kept = converted_folder(path) / WEIGHTS
    if kept.is_file():
        return read_tensors(kept, most=most)[0]
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises anything on a stranger's bytes: all of it means a wrong file
        raise_machine_fault(error)
        raise InputError(f"{path} is no PyTorch file of weights alone ({type(error).__name__})") from None
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{path} holds no table of tensors: {needs}")
    check_tensors(path, tensors)
    # A name may stand for a part of another's tensor, which safetensors does not know.
    whole = {str(name): tensor.clone() for name, tensor in tensors.items()}
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(kept, whole, {"format": "pt"})
    note(f"{path.name}: converted to safetensors, once: {kept}")
    return whole


def _unpacked(path: Path) -> int:
    """The bytes that a file holds, where it is an archive, as PyTorch writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return 0


def converted_model(weights: Path, config: Path) -> Path:
    """A folder as transformers reads it, whose weights are the conversion of its `pytorch_model.bin`.

    Raises InputError as `published_weights`.
    """
    folder = converted_folder(weights)
    if not (folder / WEIGHTS).is_file():
        published_weights(weights, "a model's weights", MOST_MODEL)
    shutil.copyfile(config, folder / CONFIG)
    return folder
