"""Memory that ran out: told from other errors, and given back."""

from __future__ import annotations

import gc

__all__ = ["give_back_memory", "is_no_memory"]

TEXTS = ("out of memory", "can't allocate memory", "not enough memory")  # in what PyTorch says of it, on GPU and CPU


def is_no_memory(error: BaseException) -> bool:
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, without its import
    return known or any(text in str(error).lower() for text in TEXTS)


def give_back_memory() -> None:
    """What nothing refers to any more, and what PyTorch keeps of the GPU's memory for itself."""
    gc.collect()
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
