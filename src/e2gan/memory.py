"""Memory that ran out: told from other errors, and given back."""

from __future__ import annotations

import gc

__all__ = ["give_back_memory", "is_no_memory"]


def is_no_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def give_back_memory() -> None:
    """What nothing refers to any more, and what PyTorch keeps of the GPU's memory for itself."""
    gc.collect()
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
