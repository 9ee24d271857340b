"""Errors of memory that ran out, and memory freed."""

from __future__ import annotations

import gc
import sys

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
