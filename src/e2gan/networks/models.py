"""Models on disk: a base, an adapter on it, a model from scratch; and what all of them load as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from e2gan.config import Detail, GeneratorConfig
from e2gan.config.checks import mixture, one_model
from e2gan.config.schemas import BASE, MODEL_SETTINGS, AdapterFacts, ModelFacts
from e2gan.config.settings import Settings
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, sha256
from e2gan.core.memory import available_memory, need_memory
from e2gan.core.outputs import read_settings
from e2gan.core.tensors import FLOATS, TensorHeader, read_tensors, write_tensors
from e2gan.networks.discriminator import Discriminator, UnpairedDiscriminator
from e2gan.networks.fixed_attention import blend_prompts
from e2gan.networks.folders import (
    ABOUT,
    CONCEPT,
    DISCRIMINATOR,
    MODEL,
    adapter_folder,
    base_folder,
    generator_config,
)
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach_tensors, check_shapes, merged
from e2gan.networks.peft_config import adapter_weights
from e2gan.networks.text import TextEncoder, is_known, text_encoder

MOST_TOKENS = 4096  # of an adapter's prompt


def load_generator(folder: Path) -> tuple[Generator, dict[str, Any]]:
    """A base's generator, or a whole model's of this architecture, in evaluation mode on the CPU, and its settings."""
    generator, settings = load_network(folder)
    if not isinstance(generator, Generator):
        raise InputError(f"{folder} holds a {settings['model']}, which adapters and this command do not know")
    return generator, settings


def load_network(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The generator of a base or of a whole model, of any kind, in evaluation mode on the CPU, and its settings."""
    settings = read_settings(folder, MODEL_SETTINGS, "trained model")
    lut = {"lut_size": settings["lut_size"]} if "lut_size" in settings else {}
    kind, config = settings.get("model", "e2gan"), generator_config(settings)
    with torch.device("meta"):  # settings that lie ask for no memory
        claimed = build_generator(kind, config, settings["size"], **lut)
    tensors, _ = read_tensors(folder / MODEL, lambda header: _check_shapes(claimed, header, folder / MODEL))
    network = build_generator(kind, config, settings["size"], **lut)
    _fill(network, tensors, folder / MODEL)
    return network.eval().requires_grad_(False), settings


def build_generator(model: str, config: GeneratorConfig, size: int, *, lut_size: int = 17) -> nn.Module:
    """An untrained generator of a kind.

    config: for e2gan, pix2pix and cyclegan. lut_size: for lut. size: the photos', for the others. Raises InputError
    where the kind cannot work at the size, and where the machine lacks the memory for it.
    """
    if torch.get_default_device().type != "meta":
        with torch.device("meta"):
            claimed = build_generator(model, config, size, lut_size=lut_size)
        needed = sum(tensor.nbytes for tensor in claimed.state_dict().values())
        need_memory(needed, available_memory(), f"a generator of {needed // 4:,} parameters", "make it smaller")
    if model == "pix2pix-unet":
        from e2gan.networks.baselines.unet import UNet, UNetConfig

        return UNet(UNetConfig(size=size))
    if model == "comodgan":
        from e2gan.networks.baselines.comodgan import ComodganConfig, ComodganGenerator

        return ComodganGenerator(ComodganConfig(size=size))
    if model == "lut":
        from e2gan.networks.baselines.lut import LookUpTable

        return LookUpTable(lut_size)
    return Generator(config)


def build_discriminator(model: str, size: int, *, unpaired: bool = False) -> nn.Module:
    """An untrained discriminator that belongs to a kind of generator; CycleGAN has two of them."""
    if model == "comodgan":
        from e2gan.networks.baselines.comodgan import ComodganConfig, ComodganDiscriminator

        return ComodganDiscriminator(ComodganConfig(size=size))
    return UnpairedDiscriminator() if unpaired else Discriminator()


def takes_prompt(generator: nn.Module) -> bool:
    return isinstance(generator, Generator) and generator.config.takes_prompt


def load_discriminator(folder: Path) -> Discriminator:
    """A base's discriminator; a fresh one where the base ships without, since it was trained without."""
    discriminator = Discriminator()
    if (folder / DISCRIMINATOR).exists() or _adversarial(folder):
        _load(discriminator, folder / DISCRIMINATOR)
    return discriminator


def _adversarial(folder: Path) -> bool:
    """Whether a base was trained with the adversarial loss."""
    return bool(read_settings(folder, BASE, "base")["training"]["gan"])


def _load(module: nn.Module, path: Path) -> None:
    _fill(module, read_tensors(path, lambda header: _check_shapes(module, header, path))[0], path)


def _check_shapes(module: nn.Module, header: Mapping[str, TensorHeader], path: Path) -> None:
    """Raises InputError where a file's tensors are not those of a network, which may be on the device meta."""
    wanted = module.state_dict()
    for name, tensor in wanted.items():
        found = header.get(name)
        if found is None:
            raise InputError(f"{path} does not fit its settings: it has no {name}")
        if found.shape != tuple(tensor.shape):
            shapes = f"{name} is {found.shape}, not {tuple(tensor.shape)}"
            raise InputError(f"{path} does not fit its settings: {shapes}")
        if (found.dtype in FLOATS) != tensor.is_floating_point():
            raise InputError(f"{path} does not fit its settings: {name} is {found.dtype}")
    if more := next((name for name in header if name not in wanted), None):
        raise InputError(f"{path} does not fit its settings: they know no {more[:80]}")


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except RuntimeError as error:
        raise InputError(f"{path} does not fit its settings: {' '.join(str(error).split())[:200]}") from error


def write_networks(folder: Path, generator: nn.Module, discriminator: nn.Module) -> None:
    write_tensors(folder / MODEL, generator.state_dict())
    write_tensors(folder / DISCRIMINATOR, discriminator.state_dict())


@dataclass(frozen=True, kw_only=True)
class Named(Settings):
    """What `Model.load` is given, as the types that it works with."""

    base: Path | None
    adapter: tuple[Path, ...]
    model: Path | None
    weights: tuple[float, ...] | None
    prompt: str | None
    text: str | None


@dataclass(frozen=True)
class Model:
    """A generator that is ready to edit.

    generator: in evaluation mode, adapters attached and active. tokens: (1, T, D) float32, the prompt; None where the
    generator does not attend to text, and where it holds the prompts of a mixture, all of which it attends to. size:
    the working size in pixels that it was trained at. folder: where the adapter, else the model, lies. detail: how its
    edits come back to a larger photo's size; with the photo's own detail, or enlarged as they are.
    """

    generator: nn.Module
    tokens: Tensor | None
    prompt: str
    size: int
    folder: Path
    detail: Detail = "guided"

    @classmethod
    def load(
        cls,
        *,
        base: str | Path | None = None,
        adapter: str | Path | Sequence[str | Path] = (),
        model: str | Path | None = None,
        weights: Sequence[float] | None = None,
        prompt: str | None = None,
        text: str | None = None,
    ) -> Model:
        """A from-scratch `model`; or a base with one adapter, a weighted mixture of several, or none and a `prompt`.

        base, adapter: folders, or names of those that ship. weights: one for each adapter. text: where the text encoder
        lies that the model or the base alone needs, see `encoder_of`. Raises InputError where a folder is missing or of
        another kind, an adapter belongs to another base or comes with a prompt, or the weights are not as many as the
        adapters, or not finite.
        """
        given = Named(base=base, adapter=adapter, model=model, weights=weights, prompt=prompt, text=text)  # pyright: ignore
        one_model(given)
        mixture(given.weights, len(given.adapter))
        base, adapter, model, weights = given.base, given.adapter, given.model, given.weights
        if model is not None:
            if not (model / MODEL).is_file():
                raise InputError(f"{model} is no model: it has no {MODEL} (train one with: e2gan scratch)")
            generator, settings = load_network(model)
            prompt = settings["prompt"] if prompt is None and "prompt" in settings else prompt
            tokens = _tokens(generator, settings, prompt or "", text)
            detail = _detail(read_json(model / CONFIG, ModelFacts), model)
            return cls(generator, tokens, prompt or "", settings["size"], model, detail)
        folder = base_folder(base, adapter[0] if adapter else None)
        generator, settings = load_generator(folder)
        if not adapter:
            tokens = _tokens(generator, settings, prompt or "", text)
            return cls(generator, tokens, prompt or "", settings["size"], folder)
        weights = weights if weights is not None else [1 / len(adapter)] * len(adapter)
        folders = [adapter_folder(path) for path in adapter]
        if prompt is not None:
            raise InputError(f"{folders[0]} is an adapter, which has a prompt of its own: leave prompt out")
        found = [attach_adapter(generator, folder, path, f"adapter{i}") for i, path in enumerate(folders)]
        scales = {f"adapter{i}": weight for i, weight in enumerate(weights)}
        tokens = blend_prompts(generator, {name: part[0] for name, part in zip(scales, found, strict=True)}, scales)
        strongest = max(range(len(weights)), key=lambda i: weights[i])
        about = found[strongest][1]
        prompt = " + ".join(about["prompt"] for _, about in found)
        size, detail = about.get("size", settings["size"]), _detail(about, folders[strongest])
        return cls(generator.eval(), tokens, prompt, size, folders[0], detail)

    def plain(self) -> nn.Module:
        """The generator with its adapters merged, without a trace of them."""
        return merged(self.generator)


def _detail(facts: dict[str, Any], folder: Path) -> Detail:
    """What a folder says of how its edits come back; earlier ones say nothing, and pictures without pairs cannot."""
    detail = facts.get("detail") or "guided"
    if detail not in ("guided", "none"):
        raise InputError(f"{folder}: its detail is {detail!r}, which this version does not know")
    return detail


def _tokens(generator: nn.Module, settings: dict[str, Any], prompt: str, text: str | None) -> Tensor | None:
    return encoder_of(settings, text).encode(prompt)[None] if takes_prompt(generator) else None


PROBE = "a photo of a landscape in autumn"


def fingerprint(encoder: TextEncoder) -> list[float]:
    """A few numbers of a fixed prompt's last token: what tells one text encoder from another of the same width."""
    return [round(float(x), 2) for x in encoder.encode(PROBE)[-1, :8]]


def encoder_of(settings: dict[str, Any], name: str | None = None) -> TextEncoder:
    """The text encoder of a base's or a model's settings; `name` may say where a copy of it lies.

    A folder may ask for `hashed`, and for the paper's CLIP where that is in the hub's cache; any other encoder, and a
    download, the user has to name. Raises InputError where it is not named, is another encoder than
    the one that the model was trained with, or is not at hand.
    """
    if name is None and not is_known(settings["text"]):
        raise InputError(
            f"this model needs the text encoder {settings['text']!r}, which is not loaded because a folder says so: "
            f"if you know whose it is, name it: --text {settings['text']}"
        )
    encoder = text_encoder(name or settings["text"], settings["generator"]["text_width"], only_cached=name is None)
    known = settings.get("text_fingerprint")
    if name is not None and known is not None:
        ours = fingerprint(encoder)
        if len(ours) != len(known) or any(abs(a - b) > 0.05 for a, b in zip(ours, known, strict=True)):
            raise InputError(f"--text {name} is another encoder than the base's ({settings['text']}): leave it out")
    return encoder


def named_text(settings: dict[str, Any], text: str) -> str | None:
    """`text`, which the user named, where it is that of a base's settings and may have to be named; else None."""
    return text if text == settings["text"] != "hashed" else None


def attach_adapter(generator: Generator, base: Path, adapter: Path, name: str) -> tuple[Tensor, dict[str, Any]]:
    """Put an adapter's folder on a base's generator. Returns its prompt's tokens (1, T, D) and its e2gan.json.

    Raises InputError where the folder is no adapter, or one of another base (by the SHA-256 of the base's weights).
    """
    about = read_json(adapter / ABOUT, AdapterFacts)
    if about.get("base_sha256") != sha256(base / MODEL):
        raise InputError(
            f"{adapter} belongs to another base ({about.get('base')}, {str(about.get('base_sha256'))[:12]}…) than "
            f"{base}: name that one with --base"
        )
    tensors = adapter_weights(adapter, generator)
    try:
        check_shapes(generator, tensors)
        attach_tensors(generator, {k: v.float() for k, v in tensors.items()}, name)
    except (ValueError, IndexError) as error:
        raise InputError(f"{adapter} does not fit {base}: {' '.join(str(error).split())[:200]}") from error
    generator.eval().requires_grad_(False)
    return _prompt_tokens(adapter / CONCEPT, generator.config.text_width), about


def _prompt_tokens(path: Path, width: int) -> Tensor:
    """An adapter's tokens as (1, T, width) float32."""

    def check(header: Mapping[str, TensorHeader]) -> None:
        found = header.get("tokens")
        good = found is not None and len(found.shape) == 2 and found.shape[1] == width and found.dtype in FLOATS
        if found is None or not good or not 1 <= found.shape[0] <= MOST_TOKENS:
            what = "none" if found is None else f"{found.dtype} of {found.shape}"
            raise InputError(f"{path}: needs tokens of (words, {width}), up to {MOST_TOKENS} words, and has {what}")
        if len(header) > 1:
            raise InputError(f"{path}: has more than its tokens")

    return read_tensors(path, check)[0]["tokens"].float()[None]
