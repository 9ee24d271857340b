"""How much memory there is, errors of memory that ran out, and memory freed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from e2gan.core.errors import InputError

TEXTS = ("out of memory", "can't allocate memory", "not enough memory")  # in what PyTorch says of it, on GPU and CPU


def is_no_memory(error: BaseException) -> bool:
    """Whether an error, of Python or of PyTorch, says that memory ran out."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, without its import
    return known or any(text in str(error).lower() for text in TEXTS)


def give_back_memory() -> None:
    """Frees what nothing refers to any more, and what PyTorch, where it is loaded, keeps of the GPU's memory."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def need_memory(needed: int, available: int | None, what: str, instead: str) -> None:
    """Raises InputError where `what` needs more bytes than are available (None: unknown). instead: what to do then."""
    if available is not None and needed > available:
        figures = f"needs {needed / 1e9:.3g} GB of memory, {available / 1e9:.3g} GB are available"
        raise InputError(f"{what}: {figures}: {instead}")


def available_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this process can still take of the machine's memory; None where the system does not say (no Linux).

    The least of what the machine has and what each control group (v2) that the process is in allows.
    """
    found = [*_of_machine(proc / "meminfo"), *_of_groups(proc / "self" / "cgroup", cgroups)]
    return min(found, default=None)


def available_gpu_memory(device: int | str | None = None) -> int:
    """Bytes of a CUDA device that PyTorch can still take: what is free there, and what PyTorch keeps without use."""
    import torch

    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _of_machine(meminfo: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):
        yield 1024 * _numbers(meminfo)["MemAvailable:"]


def _of_groups(membership: Path, root: Path) -> Iterator[int]:
    """What the process's group and each group above it has left of its limit; files read before can be dropped."""
    with suppress(OSError):
        lines = membership.read_text().splitlines()
        path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
        if path is None:
            return
        for part in (Path(path), *Path(path).parents) if path else (Path(),):
            group = root / part
            with suppress(OSError, ValueError, KeyError):  # no limit is the word "max"
                limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
                stat = _numbers(group / "memory.stat")
                yield max(0, limit - used + stat["active_file"] + stat["inactive_file"])


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line, by the word before it."""
    return {words[0]: int(words[1]) for words in map(str.split, path.read_text().splitlines()) if len(words) > 1}
