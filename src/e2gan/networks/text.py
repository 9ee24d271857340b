"""Prompts as tokens for the cross-attention (Sec. 4.2.1): hashed words, or a CLIP text encoder.

`hashed` needs no weights: each word is a fixed pseudo-random vector. It tells concepts apart, and nothing more; the
shape is that of CLIP's text encoder, so that the network is the same. `clip` is what the paper's counts point to
(ViT-B/32, 512 wide), and tells how near two concepts are.
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from e2gan.core.errors import InputError
from e2gan.core.names import expanded_home
from e2gan.features.hub import CLIP_NAME, clip_tokenizer, model_config, need_transformers, pretrained_network

MAX_TOKENS = 77  # CLIP's context length
CLIP_WIDTH = 512  # of its text encoder
HASHED_WIDTH = 512  # where no width is asked for: that of the paper's generator
OPTION = "--text clip:FOLDER"
FORMS = "'hashed', 'clip' or 'clip:NAME_OR_FOLDER' (a CLIP text model)"


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
    padded = pad_sequence(tokens, batch_first=True)
    return padded, torch.arange(padded.shape[1]) < torch.tensor([[len(t)] for t in tokens])


class HashedText:
    """`encode` at a fixed width: prompts to tokens (T, width), float32 on the CPU, without padding."""

    name = "hashed"

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, prompt: str) -> Tensor:
        return encode(prompt, self.width)


_known: dict[tuple[str, str], Tensor] = {}  # (encoder, prompt) → tokens: a prompt is encoded once in a process


class ClipText:
    """A CLIP text model, loaded when the first prompt needs it.

    A token is the last layer's state after the final norm, beginning and end of the prompt included. A prompt longer
    than the model's context is cut, and keeps its end token.
    """

    def __init__(self, name: str, width: int, *, only_cached: bool = False) -> None:
        """name: a hub's name or a local folder; width: its width, already known. only_cached: nothing is downloaded."""
        self.only_cached = only_cached
        self.model_name = name
        self.name = "clip" if name == CLIP_NAME else f"clip:{name}"
        self.width = width
        folder = expanded_home(Path(name))
        self._key = str(folder.resolve()) if folder.is_dir() else name

    def encode(self, prompt: str) -> Tensor:
        """Raises InputError where the model is needed and neither a folder, nor in the hub's cache, nor reachable."""
        key = self._key, prompt
        if key not in _known:
            tokenizer, model = self._network
            # One prompt alone has no padding, so that nothing need be masked.
            ids = tokenizer(prompt, truncation=True, max_length=model.config.max_position_embeddings)["input_ids"]
            with torch.no_grad():
                _known[key] = model(input_ids=torch.tensor([ids])).last_hidden_state[0].float().clone()
        return _known[key].clone()

    @functools.cached_property
    def _network(self) -> tuple[Any, Any]:
        transformers = need_transformers(f"--text {self.name}")
        where: dict[str, Any] = {"local_files_only": True} if self.only_cached else {}
        try:
            model = pretrained_network(transformers.CLIPTextModel, self.model_name, OPTION, **where)
            return clip_tokenizer(self.model_name, OPTION, model.config.vocab_size, **where), model
        except InputError as error:
            if self.only_cached and "not in the cache" in str(error):
                raise InputError(
                    f"this model's prompts need {self.model_name}, which is not in the hub's cache, and is not "
                    f"downloaded because a folder says so: --text {self.name} does"
                ) from None
            raise


TextEncoder = HashedText | ClipText  # made by `text_encoder`, which takes its name


def text_encoder(name: str, width: int | None = None, *, only_cached: bool = False) -> TextEncoder:
    """The encoder of this name: `hashed`, `clip` (ViT-B/32, the paper's), or `clip:NAME_OR_FOLDER`.

    width: what the generator asks for; None takes the encoder's own (hashed: 512). only_cached: nothing is downloaded.
    No weights are loaded before a prompt needs them. Raises InputError for another name, or a width that the model does
    not have.
    """
    own = known_width(name)
    if own is None:
        if width is not None and width < 1:
            raise InputError(f"--text {name}: tokens of width {width} cannot be: it must be at least 1")
        return HashedText(HASHED_WIDTH if width is None else width)
    if width is not None and width != own:
        raise InputError(f"--text {name} gives tokens of width {own}, not {width}: set --text-width {own}")
    return ClipText(_model_of(name), own, only_cached=only_cached)


def is_known(name: str) -> bool:
    """Whether an encoder needs nothing that this program does not name itself: `hashed`, and the paper's CLIP.

    A model's folder may ask for these alone. Another one its user has to name: it is someone's repository or folder.
    Raises InputError where it is no encoder's name.
    """
    return name == "hashed" or _model_of(name) == CLIP_NAME


def known_width(name: str) -> int | None:
    """The width of an encoder's tokens, without loading weights; None for `hashed`, which takes any.

    Raises InputError for another name, or a model that is not at hand or no CLIP text model.
    """
    if name == "hashed":
        return None
    model = _model_of(name)
    return CLIP_WIDTH if model == CLIP_NAME else _config_width(model)


@functools.cache
def _config_width(model: str) -> int:
    config = model_config(model, OPTION, ("clip", "clip_text_model"))
    return int(getattr(config, "text_config", config).hidden_size)


def _model_of(name: str) -> str:
    kind, colon, model = name.partition(":")
    if kind != "clip" or bool(colon) != bool(model.strip()):
        raise InputError(f"--text {name}: unknown; there are {FORMS}")
    return model.strip() or CLIP_NAME
