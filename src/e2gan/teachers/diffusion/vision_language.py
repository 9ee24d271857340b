"""Editors whose text encoder sees the photo too (Qwen2.5-VL, Qwen3-VL): what they need to load, and to be right."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from e2gan.features.hub import pretrained
from e2gan.teachers.diffusion.pipelines import model_index


def image_text_processors(pipeline: Any, name: str, **arguments: Any) -> dict[str, Any]:
    """The processors in a pipeline's checkpoint without their part for videos, by the component's name.

    In transformers 5 that part needs torchvision, even where no video is ever seen. pipeline: a class of diffusers;
    arguments: of its `from_pretrained`, such as revision. Raises InputError where the checkpoint is not at hand.
    """
    if not any(_sees_videos(p.annotation) for p in inspect.signature(pipeline.__init__).parameters.values()):
        return {}
    import transformers

    processors = {}
    for component, entry in pretrained(model_index, name, "--model", **arguments).items():
        kind = getattr(transformers, entry[1], None) if isinstance(entry, list) and entry[0] == "transformers" else None
        if _sees_videos(kind):
            load = partial(_without_videos(kind).from_pretrained, subfolder=component, trust_remote_code=False)
            processors[component] = pretrained(load, name, "--model", **arguments)
    return processors


def _sees_videos(kind: Any) -> bool:
    return inspect.isclass(kind) and "video_processor" in getattr(kind, "get_attributes", list)()


def _without_videos(kind: Any) -> Any:
    class ImageTextProcessor(kind):
        # The library reads from this signature what there is to load.
        def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    return ImageTextProcessor


def give_token_types(pipeline: Any) -> None:
    """Tell a pipeline's text encoder which of its tokens are the photo's, where the pipeline itself does not.

    Without that, Qwen2.5-VL in transformers 5 numbers the photo's patches as if they were words in a row, silently, and
    the edits are others than those the model learned (huggingface/diffusers#14194; LongCat-Image-Edit too).
    """
    encoder = getattr(pipeline, "text_encoder", None)
    config = getattr(encoder, "config", None)
    image, video = (getattr(config, f"{kind}_token_id", None) for kind in ("image", "video"))
    if encoder is None or image is None or "mm_token_type_ids" not in inspect.signature(encoder.forward).parameters:
        return

    def add(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        tokens = named.get("input_ids")
        if tokens is not None and named.get("mm_token_type_ids") is None:
            named = named | {"mm_token_type_ids": (tokens == image).int() + 2 * (tokens == video).int()}
        return given, named

    encoder.register_forward_pre_hook(add, with_kwargs=True)
