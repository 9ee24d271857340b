"""One base, many effects: the base once as an ONNX graph, each adapter and prompt as a small file of its inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from e2gan.config.export_schemas import EffectsFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, sha256, write_bytes, write_json
from e2gan.core.names import slug
from e2gan.core.tensors import write_tensors
from e2gan.export.effects_model import BASE, EffectsModel
from e2gan.export.format import Check, Format, Order, Trial, as_facts
from e2gan.export.onnx import PACKAGES, checked_bytes, exported, label, require
from e2gan.export.unmerged import HIDDEN, UnmergedModel, traced
from e2gan.networks.fixed_attention import keys_and_values
from e2gan.networks.folders import effect_name
from e2gan.networks.generator import Generator, TransformerBlock
from e2gan.networks.lora import lora_layers, set_strengths
from e2gan.networks.models import Model, attach_adapter, load_generator
from e2gan.sharing.licence import licence_of, read_card
from e2gan.sharing.model_card import BASE_CARD

if TYPE_CHECKING:
    from onnx import ModelProto

MANIFEST = "effects.json"
MOST_BYTES = 200_000  # of an effect
OF_BASE = ("e2gan", "size", "multiple", "precision", "licence", "base_sha256")  # facts
SMALL = 1024  # numbers of a constant that is worth no cast


@dataclass(frozen=True)
class Effect:
    """An adapter as the graph takes it. text: its prompt in words. inputs: A and B by name; prompt: keys, values and
    padding, by name."""

    name: str
    text: str
    size: int
    detail: str
    inputs: dict[str, Tensor]
    prompt: dict[str, Tensor]

    @property
    def words(self) -> int:
        """Of its prompt, as tokens."""
        return self.prompt["prompt.hidden"].shape[1] if self.prompt else 0


def write(order: Order, path: Path) -> None:
    """effects.json, and beside it base.onnx, effects/, prompts/ and the base's model card.

    fp16 stores the base's weights in half; all is computed in fp32. Raises InputError where two adapters have the same
    name, or one is of another base.
    """
    if order.base is None:
        raise InputError("effects keeps adapters beside their base: name an --adapter")
    folder, names = path.parent, effect_names(order.adapters)
    bare, settings = load_generator(order.base)
    generator = deepcopy(bare)
    effects = [
        put_effect(name, generator, f"adapter{i}", order.base, adapter, settings["size"])
        for i, (name, adapter) in enumerate(names.items())
    ]
    model = UnmergedModel(bare, list(lora_layers(generator)))
    facts = as_facts(order)
    write_bytes(folder / BASE, base_onnx(model, facts))
    write_card(folder, order.base)
    words = max((effect.words for effect in effects), default=0)
    entries = [write_effect(folder, effect, model, words) for effect in effects]
    write_json(path, manifest(folder, order.base.resolve().name, settings["size"], model, words, entries))


def write_card(folder: Path, base: Path) -> None:
    """The base's model card, or a line that says that it has none."""
    write_bytes(folder / BASE_CARD, (read_card(base) or "The base has no model card.\n").encode())


def manifest(
    folder: Path, name: str, size: int, model: UnmergedModel, words: int, entries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What effects.json says of a folder in which the base and its card lie. name: the base's. size: which it was
    trained at. words: of the prompts. entries: of `write_effect`."""
    told = {
        "file": BASE,
        "bytes": (folder / BASE).stat().st_size,
        "sha256": sha256(folder / BASE),
        "size": size,
        "multiple": model.multiple,
        "licence": f"{licence_of((folder / BASE_CARD).read_text('utf-8'))}: see {BASE_CARD}",
        "name": name,
    }
    found = {"format": "e2gan effects", "version": 1, "base": told}
    return found | {"inputs": inputs(model, words), "effects": list(entries)}


def effect_names(adapters: Sequence[Path]) -> dict[str, Path]:
    """Adapters by what they are shown as, the names of their folders (see effect_name). Raises InputError where two
    have the same, or one that a file's name cannot be told from, and for one that cannot be shown."""
    named: dict[str, Path] = {}
    files: dict[str, Path] = {}
    names = [effect_name(adapter) for adapter in adapters]
    if len({slug(name) for name in names}) < len(names):
        names = [adapter.resolve().name for adapter in adapters]
    for name, adapter in zip(names, adapters, strict=True):
        if not name.isprintable():
            raise InputError(
                f"--adapter {adapter}: its folder's name, which the effect is shown by, has characters that "
                "cannot be shown: rename it"
            )
        if (other := files.get(slug(name))) is not None:
            raise InputError(f"--adapter {adapter} and {other}: two effects of the name {name}: rename a folder")
        named[name] = files[slug(name)] = adapter
    return named


def put_effect(name: str, generator: Generator, key: str, base: Path, adapter: Path, size: int) -> Effect:
    """An adapter as inputs. It is put on the generator under a key of its own. size: where it says none. Raises
    InputError where it is damaged, or of another base."""
    tokens, about = attach_adapter(generator, base, adapter, key)
    set_strengths(generator, {key: 1.0})
    tensors, prompt = {}, {}
    for layer_name, layer in lora_layers(generator).items():
        if key in layer.lora_A:
            tensors |= {f"{layer_name}.{part}": getattr(layer, f"lora_{part}")[key].weight.detach() for part in "AB"}
    for block_name, block in [(n, m) for n, m in generator.named_modules() if isinstance(m, TransformerBlock)]:
        if hasattr(block, "cross_attention"):
            place = block_name.split(".")[1]
            with torch.no_grad():
                keys, values = keys_and_values(block.cross_attention, tokens)
            prompt |= {f"prompt.{place}.keys": keys, f"prompt.{place}.values": values}
            prompt["prompt.hidden"] = torch.zeros(1, tokens.shape[1])
    return Effect(name, about["prompt"], about.get("size", size), about.get("detail") or "guided", tensors, prompt)


def write_effect(folder: Path, effect: Effect, model: UnmergedModel, words: int, tag: str = "") -> dict[str, Any]:
    """The two files of an effect, and its entry in the manifest. words: what its prompt is padded to. tag: what their
    names end with."""
    tensors = {}
    for name, axis in model.rank_axes().items():
        example = model.given()[name].narrow(axis, 0, 1)  # zeros: a layer that this effect leaves as it is
        tensors[name] = effect.inputs.get(name, example).half()
    prompt = {}
    for name, tensor in effect.prompt.items():
        axis = 1 if name.endswith("hidden") else 2
        shape = [words - n if i == axis else n for i, n in enumerate(tensor.shape)]
        padding = torch.full(shape, HIDDEN if name.endswith("hidden") else 0.0)
        prompt[name] = torch.cat([tensor, padding], axis).half()
    file, prompt_file = (f"{kind}/{slug(effect.name)}{tag}.safetensors" for kind in ("effects", "prompts"))
    for name, content in ((file, tensors), (prompt_file, prompt)):
        (folder / name).parent.mkdir(exist_ok=True)
        write_tensors(folder / name, content)
    return {
        "name": effect.name,
        "prompt": effect.text,
        "file": file,
        "bytes": (folder / file).stat().st_size,
        "sha256": sha256(folder / file),
        "prompt_file": prompt_file,
        "prompt_bytes": (folder / prompt_file).stat().st_size,
        "prompt_sha256": sha256(folder / prompt_file),
        "size": effect.size,
        "detail": effect.detail,
    }


def inputs(model: UnmergedModel, words: int) -> list[dict[str, Any]]:
    """The graph's inputs, as the manifest has them. words: of this folder's prompts; the graph takes any number."""
    found: list[dict[str, Any]] = [
        {"name": "photo", "type": "uint8", "shape": [None, None, None, 3], "kind": "photo"},
        *([{"name": "place", "type": "float32", "shape": [1, 4], "kind": "place"}] if model.place else []),
        {"name": "strength", "type": "float32", "shape": [], "kind": "strength"},
        {"name": "weights", "type": "float32", "shape": [None], "kind": "weights"},
    ]
    axes = model.rank_axes()
    for name, example in model.given().items():
        shape: list[int | None] = list(example.shape)
        row: dict[str, Any] = {"name": name, "type": "float32", "shape": shape}
        if name in axes:
            shape[axes[name]] = None
            row |= {"kind": "lora", "rank_axis": axes[name]} | ({"scaled": True} if name.endswith(".B") else {})
        else:
            shape[0], shape[1 if name.endswith("hidden") else 2] = None, words
            row["kind"] = "prompt"
        found.append(row)
    return found


def base_onnx(model: UnmergedModel, facts: Mapping[str, str]) -> bytes:
    """The base as the bytes of one ONNX file. facts: of `as_facts`; those that are the base's are written into it."""
    require()
    proto = exported(*traced(model))
    label(proto, {key: facts[key] for key in OF_BASE if key in facts})
    if facts["precision"] == "fp16":
        store_in_half(proto)
    return checked_bytes(proto)


def store_in_half(proto: ModelProto) -> None:
    """Large constants in half, each with a cast before it that a runtime does once, as it loads the file."""
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = proto.graph, []
    for constant in graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.data_type == TensorProto.FLOAT and values.size >= SMALL:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def trials(run: EffectsModel, base: Path, adapters: Sequence[Path]) -> Iterator[Trial]:
    """Each effect alone; one at half strength; of several, a mix of two that is not even."""
    named = effect_names(adapters)
    for name, adapter in named.items():
        run.set(name)
        yield Trial(name, run, Model.load(base=base, adapter=adapter), 1.0)
    first, *others = named
    run.set(first, strength=0.5)
    yield Trial(f"{first} at 0.5", run, Model.load(base=base, adapter=named[first]), 0.5)
    if others:
        run.set({first: 0.3, others[-1]: 0.7})
        both = Model.load(base=base, adapter=[named[first], named[others[-1]]], weights=(0.3, 0.7))
        yield Trial(f"0.3 {first} + 0.7 {others[-1]}", run, both, 1.0)


def checks(path: Path) -> list[Check]:
    """Whether an effect's file is as small as it should be; larger ranks than usual make it larger."""
    large = [
        f"{entry['file']} has {entry['bytes'] / 1000:.0f} kB"
        for entry in read_json(path, EffectsFile)["effects"]
        if entry["bytes"] > MOST_BYTES
    ]
    return [Check("an effect of at most 200 kB", not large, large)]


def operators(path: Path) -> dict[str, int]:
    """Name of each operator of the graph, and how often it is there."""
    import onnx

    nodes: Mapping[str, int] = Counter(node.op_type for node in onnx.load(str(path.parent / BASE)).graph.node)
    return dict(Counter(nodes).most_common())


FORMAT = Format(
    file=MANIFEST,
    purpose="many effects on one base, switched and mixed between two frames: ONNX Runtime, in web pages and apps",
    packages=PACKAGES,
    require=require,
    write=write,
    load=EffectsModel,
    precisions=("fp16", "fp32"),
    checks=checks,
    operators=operators,
    several=True,
    trials=trials,
    beside=(BASE, "effects", "prompts"),
)
