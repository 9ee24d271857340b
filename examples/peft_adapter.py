"""An e2gan adapter through PEFT's own API: loaded, switched, mixed and merged, with the pixels of e2gan's Predictor.

An adapter's folder is a PEFT folder, and the base an ordinary module: of e2gan are needed the module and the prompt's
tokens, which lie beside the weights in concept.safetensors. Run it: python examples/peft_adapter.py
"""

from __future__ import annotations

from pathlib import Path

import skimage.data
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn

from e2gan import Model, Predictor
from e2gan.networks.fixed_attention import blend_prompts
from e2gan.networks.folders import adapter_folder, base_folder
from e2gan.networks.lora import LoraConvTranspose2d
from e2gan.networks.models import load_generator
from e2gan.networks.pixels import from_pixels, to_pixels

GOLDEN, WINTER = (adapter_folder(Path(name)) for name in ("golden", "winter"))  # any adapters of one base
NEAR = 1e-4  # of images in [-1, 1]


def tokens_of(adapter: Path) -> Tensor:
    """The prompt as the generator attends to it, (1, words, width)."""
    return load_file(adapter / "concept.safetensors")["tokens"].float()[None]


def config_of(adapter: Path) -> LoraConfig:
    """PEFT's configuration. PEFT has no LoRA for ConvTranspose2d, which the paper's generator has and the bases that
    ship do not: this names the class that has."""
    config = LoraConfig.from_pretrained(str(adapter))
    assert isinstance(config, LoraConfig)
    config._register_custom_module({nn.ConvTranspose2d: LoraConvTranspose2d})
    return config


def load_peft() -> PeftModel:
    """The base with two adapters on it."""
    generator, _ = load_generator(base_folder(None, GOLDEN))
    model = PeftModel.from_pretrained(generator, str(GOLDEN), adapter_name="golden", config=config_of(GOLDEN))
    model.load_adapter(str(WINTER), adapter_name="winter", peft_config=config_of(WINTER))
    return model.eval()


def difference(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max())


@torch.no_grad()
def main() -> dict[str, float]:
    """What PEFT's images differ from e2gan's by, at most, of [-1, 1]."""
    picture = torch.from_numpy(skimage.data.astronaut()[:256, 100:356].copy())
    photo = from_pixels(picture.permute(2, 0, 1)[None])
    model, found = load_peft(), {}

    # One adapter, and the other.
    for name, adapter in (("golden", GOLDEN), ("winter", WINTER)):
        model.set_adapter(name)
        edit = model(photo, tokens_of(adapter))
        ours = Model.load(adapter=adapter)
        found[name] = difference(edit, ours.plain()(photo, ours.tokens))
        pixels = to_pixels(edit)[0].permute(1, 2, 0).numpy()
        levels = abs(Predictor(ours, "cpu").batch([picture.numpy()])[0].astype(int) - pixels)
        assert levels.max() <= 1, levels.max()  # a float that lies between two levels may fall on either side

    # Both at once, with one's prompt. The kind "cat" is the sum of the two changes; "linear" and "svd" are others.
    model.add_weighted_adapter(["golden", "winter"], [0.6, 0.4], "both", combination_type="cat")
    model.set_adapter("both")
    edit = model(photo, tokens_of(GOLDEN))
    for layer in (module for module in model.modules() if hasattr(module, "lora_A")):
        layer.set_adapter(["golden", "winter"])  # pyright: ignore[reportCallIssue]
        for name, weight in (("golden", 0.6), ("winter", 0.4)):
            layer.set_scale(name, weight)  # pyright: ignore[reportCallIssue]
    found["both, one prompt"] = difference(edit, model(photo, tokens_of(GOLDEN)))

    # Both at once, each with its own prompt: so does Predictor mix. The prompts become constants of the generator.
    generator, tokens = model.get_base_model(), {"golden": tokens_of(GOLDEN), "winter": tokens_of(WINTER)}
    blend_prompts(generator, tokens, {"golden": 0.6, "winter": 0.4})  # pyright: ignore[reportArgumentType]
    mixed = Model.load(adapter=[GOLDEN, WINTER], weights=[0.6, 0.4])
    found["both, each its prompt"] = difference(model(photo), mixed.plain()(photo))

    # The adapter added to the weights: an ordinary module, without a trace of PEFT.
    model = load_peft()
    merged = model.merge_and_unload(adapter_names=["golden"])
    ours = Model.load(adapter=GOLDEN)
    found["merged"] = difference(merged(photo, ours.tokens), ours.plain()(photo, ours.tokens))
    return found


if __name__ == "__main__":
    for name, far in main().items():
        print(f"{name}: at most {far:.1e} of [-1, 1]")
