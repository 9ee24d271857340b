"""CLIP's images and texts, and the direction of an edit between them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.features.clip import ClipModel, along, prompt_direction
from e2gan.features.hub import need_transformers
from tests.features.tiny_photos import embed
from tests.tiny_clip import CONTEXT


def directional_similarity(
    clip: ClipModel, photos: Iterable[Pixels], edits: Iterable[Pixels], source: str, prompt: str
) -> np.ndarray:
    return along(prompt_direction(clip, source, prompt), clip.images(photos), clip.images(edits))


def test_clip_model_gives_the_librarys_embeddings(clip_folder: Path, photos: Pixels) -> None:
    transformers = need_transformers("this test")
    clip = ClipModel(str(clip_folder), "cpu")
    np.testing.assert_allclose(
        clip.images(photos), embed(photos, "clip", model=str(clip_folder), device="cpu"), rtol=1e-4, atol=1e-5
    )
    texts = ["a photo", "autumn in Rome", "in " * 100]
    rows = clip.texts(texts)
    assert rows.shape == (3, 12)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip_folder)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
    with torch.no_grad():
        whole = model(pixel_values=torch.zeros(1, 3, 32, 32), **inputs)
    np.testing.assert_allclose(rows, whole.text_embeds.numpy(), rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="no texts"):
        clip.texts([])


def test_directional_similarity_is_its_definition(clip_folder: Path, photos: Pixels) -> None:
    clip = ClipModel(str(clip_folder), "cpu")
    edits = photos[..., [2, 0, 1]].copy()
    edits[3] = photos[3]  # an edit that changed nothing
    found = directional_similarity(clip, photos, iter(edits), "a photo", "autumn in Rome")
    before, after = (torch.from_numpy(clip.images(x)).double() for x in (photos, edits))
    source, target = torch.from_numpy(clip.texts(["a photo", "autumn in Rome"])).double()
    expected = torch.nn.functional.cosine_similarity(after - before, (target - source)[None]).numpy()
    np.testing.assert_allclose(np.delete(found, 3), np.delete(expected, 3), rtol=1e-6, atol=1e-7)
    assert found[3] == 0
    assert 0.05 < np.abs(found).max() <= 1
    back = directional_similarity(clip, photos, edits, "autumn in Rome", "a photo")
    np.testing.assert_allclose(back, -found, atol=1e-7)


def test_directions_that_are_none(clip_folder: Path, photos: Pixels) -> None:
    clip = ClipModel(str(clip_folder), "cpu")
    with pytest.raises(InputError, match="the same to CLIP"):
        directional_similarity(clip, photos, photos, "A photo", "a  photo")
    with pytest.raises(InputError, match="16 photos and 15 edits"):
        directional_similarity(clip, photos, photos[1:], "a photo", "autumn")
