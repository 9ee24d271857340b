"""How alike prompts are: by CLIP's text encoder where the base has it, by the very words where they are hashed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


def pooled_prompt(folder: Path) -> NDArray[np.float32]:
    """CLIP's state at the end of an adapter's prompt, (D,), which its folder has; one zero where it has none.

    Raises InputError where it cannot be read.
    """
    tokens = read_tensors(folder / CONCEPT)[0].get("tokens")
    if tokens is None or tokens.ndim != 2 or 0 in tokens.shape:
        return np.zeros(1, np.float32)
    return tokens[-1].float().numpy()


def by_encoder(prompt: str, pooled: Sequence[NDArray[np.float32]], encoder: TextEncoder) -> list[float]:
    """The cosines of pooled prompts, (D,) each, with the prompt's own; 0 for one of another width.

    Raises InputError where the encoder is not at hand.
    """
    own = encoder.encode(prompt)[-1].float().numpy()
    own = own / max(float(np.linalg.norm(own)), 1e-12)
    found = np.zeros(len(pooled))
    fits = [i for i, state in enumerate(pooled) if state.shape == own.shape]
    if fits:
        states = np.stack([pooled[i] for i in fits])
        found[fits] = states @ own / np.maximum(np.linalg.norm(states, axis=1), 1e-12)
    return found.tolist()
