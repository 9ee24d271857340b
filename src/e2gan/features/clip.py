"""CLIP's images and texts in one space: scores against a prompt, and the direction of an edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.features.extractors import FeatureExtractor, Features, PretrainedNetwork
from e2gan.features.hub import (
    CLIP_NAME,
    clip_tokenizer,
    image_statistics,
    model_config,
    need_transformers,
    pretrained_network,
)

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip_extractor(name: str, device: torch.device, option: str) -> FeatureExtractor:
    """CLIP's image embedding, of unit length (ViT-B/32: 512 numbers). name: of a whole CLIP, or its image half alone.

    option: how the user names a local copy, for messages. Raises InputError where the model is not at hand.
    """
    transformers = need_transformers("the embedding clip")
    model_config(name, option, ("clip", "clip_vision_model"))
    network = pretrained_network(transformers.CLIPVisionModelWithProjection, name, option).to(device)
    return _image_half(lambda x: network(pixel_values=x).image_embeds, network.config, name, device)


def _image_half(
    project: Callable[[Tensor], Tensor], vision_config: Any, name: str, device: torch.device
) -> FeatureExtractor:
    size = vision_config.image_size
    mean, std = image_statistics(name, MEAN, STD)
    return PretrainedNetwork(
        lambda x: F.normalize(project(x), dim=1), int(size if isinstance(size, int) else size[0]), mean, std, device
    )


class ClipModel:
    """CLIP's images and texts in one space. name: a hub's name or a local folder of the whole model."""

    def __init__(self, name: str = CLIP_NAME, device: str = "auto", option: str = "--model") -> None:
        """option: how the user names a local copy, for messages. Raises InputError where the model is not at hand."""
        transformers = need_transformers("CLIP")
        self.name = name
        self.device = resolve_device(device)
        model_config(name, option, ("clip",))
        model = pretrained_network(transformers.CLIPModel, name, option).to(self.device)
        self._model = model
        self.scale = float(model.logit_scale.exp())  # of its cosines, to logits: about 100 in the published ones
        self._tokenizer = clip_tokenizer(name, option, model.config.text_config.vocab_size)

        def project(x: Tensor) -> Tensor:
            return model.visual_projection(model.vision_model(pixel_values=x).pooler_output)

        self.images = _image_half(project, model.config.vision_config, name, self.device)
        """Images, uint8 (H, W, 3) each or a stack, as (N, D) float32 of unit length. Raises InputError for none."""

    def texts(self, texts: Sequence[str]) -> Features:
        """Texts as (M, D) float32 of unit length; cut to the model's context. Raises InputError for none."""
        if not texts:
            raise InputError("there are no texts to embed")
        context = self._model.config.text_config.max_position_embeddings
        # One by one: no padding whose place in the sequence could be taken for its end.
        rows = [self._text(self._tokenizer(t, truncation=True, max_length=context)["input_ids"]) for t in texts]
        return torch.cat(rows).float().cpu().numpy()

    @torch.no_grad()
    def _text(self, ids: list[int]) -> Tensor:
        model = self._model
        pooled = model.text_model(input_ids=torch.tensor([ids], device=self.device)).pooler_output
        return F.normalize(model.text_projection(pooled), dim=1)


def prompt_direction(clip: ClipModel, source_prompt: str, prompt: str) -> NDArray[np.float64]:
    """(D,) of unit length: how the prompts differ. Raises InputError where they are the same to CLIP."""
    source, target = clip.texts([source_prompt, prompt]).astype(np.float64)
    text = target - source
    if np.linalg.norm(text) < 1e-6:
        raise InputError(f'"{source_prompt}" and "{prompt}" are the same to CLIP: there is no direction between them')
    return text / np.linalg.norm(text)


def along(direction: NDArray[np.float64], before: Features, after: Features) -> NDArray[np.float64]:
    """(N,) cosines, -1..1, between what edits changed in photos' embeddings, (N, D) both, and a direction (D,).

    With that of `prompt_direction` it is the directional similarity that StyleGAN-NADA defines and InstructPix2Pix
    measures: differences of embeddings of unit length. An edit that changed nothing has no direction and scores 0.
    Raises InputError where photos and edits differ in number.
    """
    if len(before) != len(after):
        raise InputError(f"{len(before)} photos and {len(after)} edits are not pairs")
    change = after.astype(np.float64) - before.astype(np.float64)
    length = np.linalg.norm(change, axis=1)
    return np.where(length < 1e-6, 0.0, change @ direction / np.maximum(length, 1e-12))
