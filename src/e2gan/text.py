"""Prompts as tokens for the cross-attention (Sec. 4.2.1).

`hashed` needs no weights: each word is a fixed pseudo-random vector. It tells concepts apart, and nothing more; the
shape is that of CLIP's text encoder, so that the network is the same.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
import torch
from torch import Tensor

__all__ = ["MAX_TOKENS", "encode", "pad"]

MAX_TOKENS = 77  # CLIP's context length


def encode(prompt: str, width: int) -> Tensor:
    """The prompt's words as (T, width) float32 of unit variance, T at most 77; one zero token where there is no word.

    The same word has the same vector in every process, on every machine and with every version of PyTorch.
    """
    words = re.findall(r"\w+", prompt.lower())[:MAX_TOKENS]
    if not words:
        return torch.zeros(1, width)
    return torch.from_numpy(np.stack([_word(word, width) for word in words]))


def _word(word: str, width: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(width, dtype=np.float32)


def pad(tokens: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as one batch: tokens (B, T, D), mask (B, T) bool, False where there is padding."""
    length = max(len(t) for t in tokens)
    padded = torch.zeros(len(tokens), length, tokens[0].shape[1])
    mask = torch.zeros(len(tokens), length, dtype=torch.bool)
    for i, t in enumerate(tokens):
        padded[i, : len(t)] = t
        mask[i, : len(t)] = True
    return padded, mask
