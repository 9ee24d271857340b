"""Tensors in safetensors files that are either whole or not there, and what every such file must hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict

from msgspec import Meta

from e2gan.core.errors import InputError, NotFiniteError
from e2gan.core.files import check_size, open_file, parse_json, write_bytes
from e2gan.core.memory import available_memory, need_memory
from e2gan.core.schemas import check_form

if TYPE_CHECKING:
    from torch import Tensor

MOST_HEADER, MOST_WEIGHTS = 16 * 2**20, 2 * 2**30  # bytes of a file, where its reader knows no better
FLOATS, COUNT, WEIGHTS = ("F16", "BF16", "F32", "F64"), "num_batches_tracked", "floats of 16, 32 or 64 bits"
MOST_TENSORS = 20_000  # of a file: a checkpoint of the largest generator has a few thousand
TOGETHER = 2**22  # numbers that are looked at together


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """A safetensors file, whole or not at all.

    Raises NotFiniteError where a value is not finite in the precision that is written, InputError for other numbers
    than `check_tensors` takes.
    """
    from safetensors.torch import save

    held = {k: v.detach().to("cpu").contiguous() for k, v in tensors.items()}
    check_tensors(path, held)
    data = save(held, dict(metadata) if metadata else None)
    # The library orders the header's texts by chance; the same tensors should be the same file.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors to 8 bytes
    write_bytes(path, len(text).to_bytes(8, "little") + text + data[end:])


class TensorHeader(NamedTuple):
    """What a safetensors file says of a tensor. dtype: as the format has it: F32, BF16, I64."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> tuple[dict[str, TensorHeader], int]:
    """What a safetensors file says that it holds, and the file's bytes; no tensor is read.

    Raises InputError where it is no such file, and for other numbers than `check_tensors` takes.
    """
    with open_file(path) as file:
        size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MOST_HEADER, size - 8):
            raise InputError(f"{path} is not a safetensors file: a header of {length:,} bytes")
        told = parse_json(file.read(length), dict[str, Any], f"{path}, header")
    if len(told) > MOST_TENSORS:
        raise InputError(f"{path} holds {len(told):,} tensors: up to {MOST_TENSORS:,} are read")
    found = {}
    for name, entry in told.items():
        if name == "__metadata__":
            continue
        check_form(entry, _Entry, f"{path}, header, {name[:80]!r}", path.parent)
        if entry["dtype"] not in FLOATS and not (entry["dtype"] == "I64" and name.endswith(COUNT)):
            raise InputError(f"{path}: {name[:80]!r} holds {entry['dtype']}, where weights are {WEIGHTS}")
        found[name] = TensorHeader(entry["dtype"], tuple(entry["shape"]))
    return found, size


def read_tensors(
    path: Path, check: Callable[[Mapping[str, TensorHeader]], None] | None = None, most: int = MOST_WEIGHTS
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A safetensors file's tensors and the texts of its header.

    check: what raises InputError for a header that is not of what the reader needs, before any tensor is read; without
    it the file may have `most` bytes. Raises InputError where it is no such file, where the machine lacks the memory,
    and as `check_tensors`.
    """
    from safetensors import SafetensorError, safe_open

    header, size = read_header(path)
    if check is None:
        check_size(path, size, most)
    else:
        check(header)
    need_memory(size, available_memory(), str(path), "free some, or use a larger machine")
    try:
        with safe_open(path, framework="pt") as f:
            tensors, texts = {k: f.get_tensor(k) for k in f.keys()}, f.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} is not a safetensors file: {' '.join(str(error).split())[:200]}") from error
    check_tensors(path, tensors)
    return tensors, texts


class _Entry(TypedDict):
    dtype: str
    shape: list[Annotated[int, Meta(ge=0, le=2**40)]]


def check_tensors(source: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """What every file of weights must hold: floats of 16, 32 or 64 bits, finite as they are and as float32.

    Batch norm's count of batches is an integer. Every reader and writer of tensors goes through here.
    Raises NotFiniteError, or InputError for other types of numbers and for tensors that claim more numbers than there
    are, naming the file and the first such tensor.
    """
    import torch

    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.dtype == torch.int64 and str(name).endswith(COUNT):
            continue
        if tensor.dtype not in floats:
            raise InputError(f"{source}: '{name}' holds {kind}, where weights are {WEIGHTS}")
        if tensor.layout != torch.strided or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise InputError(f"{source}: '{name}' claims {tensor.numel():,} numbers, which are not there")
        parts = tensor.detach().reshape(-1).split(TOGETHER)
        if bad := sum(int((~part.float().isfinite()).sum()) for part in parts):
            raise NotFiniteError(
                f"{source}: '{name}' has {bad} of {tensor.numel()} values that are not finite as {kind}: "
                "infinite, too large, or not a number"
            )
