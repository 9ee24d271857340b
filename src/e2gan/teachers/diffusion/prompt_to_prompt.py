"""Prompt-to-prompt (Hertz et al. 2022, arXiv 2208.01626): an edit that looks where the source prompt looked.

The source's and the target's branches run in one batch; the target's cross-attention takes the maps of the words that
the prompts share (Sec. 3.2), single words are amplified, and self-attention maps are taken over in the first steps.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from e2gan.core.errors import InputError

Amplify = float | str | Mapping[str, float]
"""A factor for the words that the target adds to the source, or words and their factors: {"autumn": 5}, "autumn=5"."""


def split_words(prompt: str) -> list[str]:
    """The words of a prompt, lower case as CLIP reads them; punctuation between them counts as words."""
    return re.findall(r"\w+(?:['’-]\w+)*|[^\w\s]+", prompt.lower())


def align_words(source: Sequence[str], target: Sequence[str]) -> list[int | None]:
    """For each word of the target, the word of the source whose attention map it takes; None: it keeps its own.

    Words that both have are paired, first those in the same order, then those that moved. As many words in place of as
    many others are swaps, and paired in order (Sec. 3.2, "word swap"); all else that the target adds is new.
    """
    pairs: list[int | None] = [None] * len(target)
    blocks = difflib.SequenceMatcher(None, source, target, autojunk=False).get_opcodes()
    free = set(range(len(source)))
    for kind, i, i_end, j, j_end in blocks:
        if kind == "equal":
            pairs[j:j_end] = range(i, i_end)
            free.difference_update(range(i, i_end))
    for j, word in enumerate(target):
        if pairs[j] is None and (moved := [i for i in sorted(free) if source[i] == word]):
            pairs[j] = moved[0]
            free.discard(moved[0])
    for kind, i, i_end, j, j_end in blocks:
        if kind == "replace":
            old = [n for n in range(i, i_end) if n in free]
            new = [n for n in range(j, j_end) if pairs[n] is None]
            if len(old) == len(new):
                for a, b in zip(old, new, strict=True):
                    pairs[b] = a
    return pairs


def added_words(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """The target's words that the source does not have, each once, without punctuation."""
    return list(dict.fromkeys(word for word in target if word not in source and re.match(r"\w", word)))


def read_factors(amplify: Amplify) -> float | dict[str, float]:
    """The factor, or the words, lower case, and theirs. Raises InputError for another form."""
    if isinstance(amplify, Mapping):
        pairs = dict(amplify)
    elif isinstance(amplify, str):
        pairs = {word: factor for word, _, factor in (part.partition("=") for part in amplify.split(","))}
    else:
        pairs = {"every": amplify}
    try:
        factors = {str(word).strip().lower(): float(factor) for word, factor in pairs.items()}
    except (TypeError, ValueError):
        factors = {}
    if not factors or "" in factors or not all(map(math.isfinite, factors.values())) or isinstance(amplify, bool):
        raise InputError(f"--set amplify={amplify}: must be a number, or words as in autumn=5,red=2")
    return factors if isinstance(amplify, Mapping | str) else factors["every"]


def amplified(amplify: Amplify, source: str, prompt: str) -> dict[str, float]:
    """The words of the prompt whose attention is amplified, with their factors.

    Raises InputError for a word that the prompt does not have.
    """
    factors, words = read_factors(amplify), split_words(prompt)
    if not isinstance(factors, dict):
        return dict.fromkeys(added_words(split_words(source), words), factors) if factors != 1 else {}
    for word in factors:
        if word not in words:
            raise InputError(f'--set amplify: the prompt has no word "{word}", but {", ".join(dict.fromkeys(words))}')
    return factors


@dataclass(frozen=True)
class Tokens:
    """A prompt as a CLIP text encoder takes it.

    ids: as many as the encoder's context, beginning, end and padding included. words: as `split_words` gives them.
    places: for each word, the positions of its pieces in ids. end: the position of the end token.
    """

    ids: list[int]
    words: list[str]
    places: list[range]
    end: int


def tokenize(prompt: str, tokenizer: Any, context: int) -> Tokens:
    """The prompt in word pieces, padded to context. Raises InputError where it is longer: a cut word has no map."""
    words = split_words(prompt)
    ids, places = [tokenizer.bos_token_id], []
    for word in words:  # CLIP never merges across words, so that word by word gives what the whole would
        pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
        places.append(range(len(ids), len(ids) + len(pieces)))
        ids += pieces
    end = len(ids)
    if end >= context:
        raise InputError(
            f'the prompt "{" ".join(prompt.split())}" has {end - 1} word pieces, and the text encoder reads '
            f"{context - 2}: shorten it"
        )
    ids += [tokenizer.eos_token_id] + [tokenizer.pad_token_id] * (context - end - 1)
    return Tokens(ids, words, places, end)


def map_tokens(source: Tokens, target: Tokens) -> Tensor:
    """`align_words` in tokens, (L, L) float32 on the CPU, row target, column source; a row of zeros takes nothing.

    Beginning, end and padding take those of the source.

    Words of as many pieces are paired piece by piece; else the target's pieces share evenly what the source's got, so
    that the word keeps its weight.
    """
    context = len(source.ids)
    weights = torch.zeros(context, context)
    weights[0, 0] = weights[target.end, source.end] = 1
    for pad in range(max(source.end, target.end) + 1, context):
        weights[pad, pad] = 1
    for word, other in enumerate(align_words(source.words, target.words)):
        if other is None:
            continue
        new, old = target.places[word], source.places[other]
        if len(new) == len(old):
            weights[list(new), list(old)] = 1
        else:
            weights[new.start : new.stop, old.start : old.stop] = 1 / len(new)
    return weights


def token_factors(tokens: Tokens, factors: Mapping[str, float]) -> Tensor:
    """(L,) float32: the factor of each token's attention."""
    weights = torch.ones(len(tokens.ids))
    for word, place in zip(tokens.words, tokens.places, strict=True):
        weights[list(place)] = factors.get(word, 1.0)
    return weights


@dataclass
class AttentionControl:
    """What to do to the attention maps of a batch of three: target without prompt, source, target with prompt.

    tokens: as of `map_tokens`, which cross-attention maps the target takes over before cross_steps. factors: (L,)
    float32, by which the target's map of each token is multiplied before cross_steps, too ("attention re-weighting",
    Sec. 3.2; the authors' code blends both in by cross_replace_alpha). Before self_steps, self-attention over at most
    self_limit pixels is the source's.
    step: the current one, from 0; whoever samples counts it up.
    """

    tokens: Tensor
    factors: Tensor
    cross_steps: int
    self_steps: int
    self_limit: int
    step: int = 0

    def changes_self(self, pixels: int) -> bool:
        """Whether self-attention over so many pixels is changed at this step."""
        return self.step < self.self_steps and pixels <= self.self_limit

    def edit_cross(self, maps: Tensor) -> Tensor:
        """Cross-attention maps (3, heads, pixels, L) to the same, the target's changed."""
        null, source, target = maps
        if self.step < self.cross_steps:
            weights = self.tokens.to(source)
            target = torch.where(weights.sum(1) > 0, source @ weights.T, target) * self.factors.to(target)
        return torch.stack([null, source, target])

    def edit_self(self, maps: Tensor) -> Tensor:
        """Self-attention maps (3, heads, pixels, pixels) to the same, the target's those of the source."""
        return torch.stack([maps[0], maps[1], maps[1]])


@dataclass
class _ControlledProcessor:
    """diffusers' attention processor that lets a control change the maps; `plain` runs where it changes nothing."""

    control: AttentionControl
    plain: Any

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        batch, pixels, _ = hidden_states.shape
        if encoder_hidden_states is None and not self.control.changes_self(pixels):
            return self.plain(attn, hidden_states, None, attention_mask, temb)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        query, key, value = (attn.head_to_batch_dim(x) for x in (query, key, value))
        maps = attn.get_attention_scores(query, key, attention_mask).unflatten(0, (batch, attn.heads))
        maps = self.control.edit_self(maps) if encoder_hidden_states is None else self.control.edit_cross(maps)
        mixed = attn.batch_to_head_dim(maps.flatten(0, 1) @ value)
        return attn.to_out[1](attn.to_out[0](mixed))


@contextmanager
def controlled(unet: Any, control: AttentionControl) -> Iterator[None]:
    """Within it, the UNet's attention is under the control and takes batches of three; after it, as it was."""
    before = dict(unet.attn_processors)
    unet.set_attn_processor({name: _ControlledProcessor(control, plain) for name, plain in before.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(before)
