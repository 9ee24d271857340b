"""A CLIP of random weights at its smallest, and its tokenizer, written as the published ones are."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from e2gan.features.hub import need_transformers

START, END = "<|startoftext|>", "<|endoftext|>"
WIDTH, CONTEXT = 16, 20


def write_tokenizer(folder: Path) -> int:
    """CLIP's own two files at their smallest, every byte and three merges; returns the number of words."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    merges = [("i", "n</w>"), ("a", "u"), ("au", "t")]
    words = [*letters, *(c + "</w>" for c in letters), *(a + b for a, b in merges), START, END]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), "utf-8")
    return len(words)


def write_clip(folder: Path, *, texts_only: bool = False, seed: int = 0) -> Path:
    """A CLIP of random weights, saved by the library itself as the published ones are: 16 wide, images of 32 pixels."""
    transformers = need_transformers("this test")
    folder.mkdir(parents=True, exist_ok=True)
    words = write_tokenizer(folder)
    text: dict[str, float] = {
        "vocab_size": words,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "projection_dim": 12,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }
    vision: dict[str, float] = {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 24,
        "intermediate_size": 32,
        "projection_dim": 12,
    }
    vision |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    # Larger than usual, so that random networks tell their inputs apart.
    text |= {"initializer_factor": 8.0}
    vision |= {"initializer_factor": 8.0}
    torch.manual_seed(seed)
    if texts_only:
        transformers.CLIPTextModel(transformers.CLIPTextConfig(**text)).save_pretrained(folder)
    else:
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        transformers.CLIPModel(config).save_pretrained(folder)
    return folder
