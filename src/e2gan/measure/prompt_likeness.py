"""How alike prompts are: by CLIP's text encoder where the base has it, by the very words where they are hashed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from e2gan.core.tensors import read_tensors
from e2gan.networks.folders import CONCEPT
from e2gan.networks.text import TextEncoder

HASHED = "prompts are hashed here: a word matches itself alone, so that likeness by prompt is that of the very words"


def by_words(prompt: str, others: Sequence[str]) -> list[float]:
    """0 for no word in common, 1 for the same words; words that many of the prompts have count little."""
    sets = [_words(other) for other in others]
    own, count = _words(prompt), len(others)
    seen = Counter(word for words in sets for word in words)
    weight = {word: math.log1p(count / seen[word]) ** 2 if seen[word] else math.log1p(count) ** 2 for word in own}
    weight |= {word: math.log1p(count / times) ** 2 for word, times in seen.items()}

    def length(words: frozenset[str]) -> float:
        return math.sqrt(sum(weight[word] for word in words))

    return [
        sum(weight[word] for word in own & words) / (length(own) * length(words)) if own & words else 0.0
        for words in sets
    ]


def _words(prompt: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", prompt.lower()))


def by_encoder(prompt: str, adapters: Sequence[Path], encoder: TextEncoder) -> list[float]:
    """The cosine of the pooled prompts: of CLIP's state at the prompt's end, which each adapter's folder has.

    Raises InputError where an adapter's tokens cannot be read, or the encoder is not at hand.
    """
    own = encoder.encode(prompt)[-1]
    found = []
    for folder in adapters:
        tokens = read_tensors(folder / CONCEPT)[0].get("tokens", torch.zeros(1, 1)).float()
        fits = tokens.ndim == 2 and tokens.shape[1:] == own.shape and len(tokens) > 0
        found.append(float(F.cosine_similarity(own, tokens[-1], dim=0)) if fits else 0.0)
    return found
