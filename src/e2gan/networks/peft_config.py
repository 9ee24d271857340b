"""An adapter's `adapter_config.json`, counted as PEFT counts it, or refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from torch import Tensor, nn

from e2gan.config.network import MOST_RANK
from e2gan.config.schemas import PeftFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.tensors import TensorHeader, check_tensors, read_tensors
from e2gan.networks.folders import ADAPTER, ADAPTER_CONFIG
from e2gan.networks.lora import PREFIX

COUNTED = {"r", "rank_pattern", "lora_alpha", "alpha_pattern", "use_rslora"}
TARGETS = {"target_modules", "exclude_modules"}
# Of training alone, of other PEFT methods that a setting of its own turns on, or said of the file and not of the edit.
# fan_in_fan_out: PEFT turns it off for linear layers, and convolutions have none.
WITHOUT_EFFECT = {
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
    *("lora_dropout", "fan_in_fan_out", "megatron_core", "qalora_group_size", "runtime_config"),
}
LARGE = 1e30
MOST_REPETITIONS = 3  # of a pattern for names of layers
STARTS = (True, "gaussian", "orthogonal")  # init_lora_weights that leave the base's own weights as they are


def adapter_weights(adapter: Path, generator: nn.Module) -> dict[str, Tensor]:
    """An adapter's tensors in float32, with alpha counted in: the branch of each layer is BA, at scale 1.

    As PEFT does it: the scale of a layer is alpha / r, or alpha / √r with `use_rslora`; `rank_pattern` and
    `alpha_pattern` say r and alpha by layer, `r` and `lora_alpha` for the others. Raises InputError where a file is
    missing or none, a layer is not the generator's, ranks are not the tensors', and for settings that change what an
    adapter gives and are not known here.
    """
    path = adapter / ADAPTER_CONFIG
    config = _config(path)
    tensors, _ = read_tensors(adapter / ADAPTER, lambda header: _check_header(adapter / ADAPTER, header, generator))
    scales = layer_scales(config, _layers(adapter / ADAPTER, tensors), generator, path)
    result = {}
    for key, tensor in tensors.items():
        layer, part = _layer_of(key)
        scale = scales[layer] if part == "B" else 1.0
        result[key] = tensor.float() if scale == 1 else tensor.float() * scale
    check_tensors(path, result)
    return result


def _check_header(path: Path, header: Mapping[str, TensorHeader], generator: nn.Module) -> None:
    """Raises InputError for tensors that no adapter of the generator has, before they are read."""
    modules = {name.replace(".base_layer", ""): module for name, module in generator.named_modules()}
    for key, found in header.items():
        layer, part = _layer_of(key)
        weight = getattr(modules.get(layer), "weight", None)
        if not part or weight is None:
            raise InputError(f"{path}: '{key[:200]}' is no part of a LoRA that the generator can have")
        # A has a row for each rank, of at most as many numbers as the weight has; B a column.
        most = MOST_RANK * (weight.numel() // min(weight.shape[:2]) if part == "A" else max(weight.shape[:2]))
        if len(found.shape) not in (2, 4) or prod(found.shape) > most:
            raise InputError(f"{path}: '{key[:200]}' of {found.shape} is larger than an adapter of {MOST_RANK} ranks")


def layer_scales(
    config: LoraConfig, layers: Mapping[str, tuple[Tensor, Tensor]], generator: nn.Module, path: Path
) -> dict[str, float]:
    """Layer → the scale of its branch. layers: A and B of each. Raises InputError as `adapter_weights`."""
    modules = {name.replace(".base_layer", ""): module for name, module in generator.named_modules()}
    targets = [text for text in (config.target_modules, config.exclude_modules) if isinstance(text, str)]
    for text in (*(config.rank_pattern or {}), *(config.alpha_pattern or {}), *targets):
        if not (isinstance(text, str) and _is_plain(text)):
            raise InputError(f"{path}: the pattern {str(text)[:60]!r} is not read: names, dots and alternatives are")
    scales = {}
    for layer, (A, B) in layers.items():
        if layer not in modules:
            raise InputError(f"{path}: the generator has no layer '{layer}'")
        try:
            targeted = bool(check_target_module_exists(config, layer))
            patterns: tuple[Any, Any] = config.rank_pattern, config.alpha_pattern
            r, alpha = (
                pattern.get(get_pattern_key(list(pattern), layer), default)
                for pattern, default in zip(patterns, (config.r, config.lora_alpha), strict=True)
            )
        except (re.error, TypeError) as error:
            raise InputError(f"{path}: its patterns cannot be read for the layer '{layer}': {error}") from None
        if not targeted:
            raise InputError(f"{path}: the layer '{layer}' has weights, but is none of its target_modules")
        module: Any = modules[layer]
        module = getattr(module, "base_layer", module)
        rank = A.shape[1 if isinstance(module, nn.ConvTranspose2d) else 0] if A.ndim else 0
        if r < 1 or r != rank or B.ndim < 2 or r != B.shape[0 if isinstance(module, nn.ConvTranspose2d) else 1]:
            raise InputError(f"{path}: says rank {r} for the layer '{layer}', whose weights have rank {rank}")
        scales[layer] = alpha / math.sqrt(r) if config.use_rslora else alpha / r
    return scales


def _is_plain(pattern: str) -> bool:
    """Whether a regular expression is of names, dots, `\\d`, `\\w` and alternatives, with few repetitions: any other
    kind could take for ever, or all memory."""
    known = re.fullmatch(r"(?:(?:\\[.dw]|[A-Za-z0-9_.^$|-])(?:[+*](?![+*]))?)*", pattern)
    return known is not None and len(re.findall(r"[+*]", pattern)) <= MOST_REPETITIONS


def _layer_of(key: str) -> tuple[str, str]:
    """A tensor's layer, and its part: A or B; the part is empty for what is neither."""
    found = re.fullmatch(rf"{re.escape(PREFIX)}(.+)\.lora_([AB])\.weight", key)
    return (found[1], found[2]) if found else (key, "")


def _layers(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        layer, part = _layer_of(key)
        if not part:
            raise InputError(f"{path}: '{key}' is no part of a LoRA that is known here: A and B of a layer are")
        parts.setdefault(layer, {})[part] = tensor
    for layer, found in parts.items():
        if len(found) < 2:
            raise InputError(f"{path}: layer '{layer}' lacks lora_{'B' if 'A' in found else 'A'}")
    return {layer: (found["A"], found["B"]) for layer, found in parts.items()}


def _config(path: Path) -> LoraConfig:
    """PEFT's configuration in a file. Raises InputError for what it does not know, or is no use to us."""
    found = read_json(path, PeftFile)
    if found.get("peft_type") != "LORA":
        raise InputError(f"{path}: is an adapter of the kind {found.get('peft_type')}, not LORA")
    plain: Any = LoraConfig().to_dict()
    for name, value in found.items():
        if name == "init_lora_weights":
            if not any(value is start or (isinstance(start, str) and value == start) for start in STARTS):
                raise InputError(f"{path}: {name} is {value!r}: such an adapter changes its base's own weights too")
        elif name in COUNTED | TARGETS | WITHOUT_EFFECT | {"peft_type"}:
            continue
        elif name in plain and value != plain[name] and value not in (None, [], {}):
            raise InputError(f"{path}: {name} is {value!r}, which is not known here: train it without")
        elif name not in plain and (value is True or (value and isinstance(value, (list, dict)))):
            raise InputError(f"{path}: {name} is not known to PEFT {_version()}: it may change what the adapter gives")
    _check_types(path, found)
    try:
        return LoraConfig(**{name: found[name] for name in COUNTED | TARGETS if found.get(name) is not None})
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: PEFT does not take it: {error}") from None


def _check_types(path: Path, found: Mapping[str, Any]) -> None:
    def number(value: object, *, whole: bool = False) -> bool:
        kinds = int if whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < LARGE

    def names(value: object) -> bool:
        return isinstance(value, list) and all(isinstance(name, str) for name in value)

    for name, value in ({"target_modules": None} | dict(found)).items():
        good = True
        if name in ("r", "lora_alpha"):
            good = number(value, whole=name == "r")
        elif name in ("rank_pattern", "alpha_pattern"):
            whole = name == "rank_pattern"
            good = value is None or (isinstance(value, dict) and all(number(v, whole=whole) for v in value.values()))
        elif name == "use_rslora":
            good = isinstance(value, bool)
        elif name == "target_modules":  # a text is a pattern; all-linear is found in the network, not in its names
            good = names(value) or (isinstance(value, str) and value.lower() != "all-linear")
        elif name == "exclude_modules":
            good = value is None or isinstance(value, str) or names(value)
        if not good:
            raise InputError(f"{path}: {name} is {str(value)[:80]!r}, which is not known here")


def _version() -> str:
    from importlib.metadata import version

    return version("peft")
