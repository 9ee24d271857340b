"""Adapters on the crucial layers (Sec. 4.2.2): PEFT's LoRA, and the one layer class that PEFT lacks.

A convolution of weight h×w×k×k gets A, a k×k convolution to r channels with the layer's own stride and padding, and
B, a 1×1 convolution from r. B starts at zero, so that an untouched adapter changes nothing. alpha is always r: the
branch's scale is 1 whatever the rank, so that a rank can grow without changing the function.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Conv2d as LoraConv2d
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from e2gan.config import Ranks
from e2gan.networks.generator import Generator, sampling_layers, transformer_layers

PREFIX = "base_model.model."  # of PEFT's names of layers
CUT = "ranks_cut"  # the setting of a run whose layers' ranks are cut; the runs of versions without it are not


class LoraConvTranspose2d(LoraConv2d):
    """LoRA of a transposed convolution: A is a transposed convolution to r channels, B is 1×1."""

    def _get_in_out_features(self, module: nn.Module) -> tuple[int, int]:
        assert isinstance(module, nn.ConvTranspose2d)
        return module.in_channels, module.out_channels

    def update_layer(self, adapter_name: str, r: int, *args: Any, **kwargs: Any) -> None:
        super().update_layer(adapter_name, r, *args, **kwargs)
        base: Any = self.get_base_layer()
        self.lora_A[adapter_name].output_padding = base.output_padding

    def get_delta_weight(self, adapter: str) -> Tensor:
        """The branch as a change of the base layer's weight: (in, out, k, k)."""
        branches: Any = self.lora_A, self.lora_B
        A, B = (branch[adapter].weight for branch in branches)  # (in, r, k, k), (r, out, 1, 1)
        return torch.einsum("irhw,ro->iohw", A.float(), B[:, :, 0, 0].float()).to(A.dtype) * self.scaling[adapter]


def rank_of_layers(generator: Generator, ranks: Ranks, *, cut: bool = True) -> dict[str, int]:
    """Name of each layer that an adapter of these ranks sits on → its rank; rank 0 leaves a layer bare.

    cut: at most what a change of the layer's weight can have: 3 for the convolution that gives three channels.
    """
    found = {name: getattr(ranks, f"level{level}") for name, level in sampling_layers(generator).items()}
    found |= dict.fromkeys(transformer_layers(generator), ranks.tb)
    # On a generator that carries adapters already, a layer is the `base_layer` of its wrapper.
    layers = {name: r for name, r in found.items() if r and ".lora_" not in name}
    if cut:
        layers = {name: min(r, *_as_matrix(generator.get_submodule(name))) for name, r in layers.items()}
    return {name.removesuffix(".base_layer"): r for name, r in layers.items()}


def parameter_count(generator: Generator, ranks: Ranks) -> int:
    """Parameters of an adapter of these ranks on a bare generator (Tab. 5)."""
    layers = rank_of_layers(generator, ranks)
    return sum(rank * sum(_as_matrix(generator.get_submodule(name))) for name, rank in layers.items())


def _as_matrix(layer: nn.Module) -> tuple[int, int]:
    """out, in·k·k: of the weight of a linear layer or a convolution."""
    weight = layer.get_parameter("weight")
    out = weight.shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
    return out, weight.numel() // out


def lora_config(layers: Mapping[str, int]) -> LoraConfig:
    """PEFT's configuration of an adapter with these ranks by layer."""
    config = LoraConfig(
        r=1,
        lora_alpha=1,
        target_modules=list(layers),
        rank_pattern=dict(layers),
        alpha_pattern=dict(layers),
    )
    config._register_custom_module({nn.ConvTranspose2d: LoraConvTranspose2d})
    return config


def attach(generator: Generator, layers: Mapping[str, int], name: str = "default") -> None:
    """Put an untouched adapter on the named layers and make it alone trainable. Changes `generator` in place."""
    with warnings.catch_warnings():
        # Several adapters on one generator are what mixing needs.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        inject_adapter_in_model(lora_config(layers), generator, adapter_name=name)
    activate(generator, [name])


def activate(generator: Generator, names: list[str]) -> None:
    for layer in lora_layers(generator).values():
        layer.set_adapter(names)


def lora_layers(generator: nn.Module) -> dict[str, Any]:
    """Name → wrapped layer. PEFT's classes are too loosely typed for a checker to follow."""
    return {name: m for name, m in generator.named_modules() if isinstance(m, LoraLayer)}


def adapter_tensors(generator: Generator, name: str = "default") -> dict[str, Tensor]:
    """An adapter's tensors under the keys that PEFT gives them in `adapter_model.safetensors`."""
    tensors = {}
    for layer_name, layer in lora_layers(generator).items():
        if name in layer.lora_A:
            tensors[f"{PREFIX}{layer_name}.lora_A.weight"] = layer.lora_A[name].weight.detach()
            tensors[f"{PREFIX}{layer_name}.lora_B.weight"] = layer.lora_B[name].weight.detach()
    return tensors


def _layer_of(key: str) -> str:
    """The layer of a tensor of `adapter_tensors`, which may be anybody's: any other text stays as it is."""
    return key.removeprefix(PREFIX).removesuffix(".lora_A.weight").removesuffix(".lora_B.weight")


def check_shapes(generator: Generator, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError where tensors are not an adapter's: of a layer that the generator lacks, half of one, or none
    that could be weights."""
    bare = {n.replace(".base_layer", "") for n, _ in generator.named_modules()}
    for key, tensor in tensors.items():
        layer = _layer_of(key)
        if layer not in bare:
            raise ValueError(f"the generator has no layer '{layer}'")
        if tensor.ndim not in (2, 4) or not tensor.is_floating_point():
            raise ValueError(f"layer '{layer}': a tensor of {tuple(tensor.shape)}, {tensor.dtype}, is no weight")
        for part in "AB":
            if f"{PREFIX}{layer}.lora_{part}.weight" not in tensors:
                raise ValueError(f"layer '{layer}': lora_{part} is missing or has another shape")


def attach_tensors(generator: Generator, tensors: Mapping[str, Tensor], name: str = "default") -> None:
    """Put a trained adapter on a generator; ranks and layers are read off the tensors' shapes.

    Raises ValueError where a tensor names a layer that the generator lacks, or has another shape.
    """
    layers: dict[str, int] = {}
    bare = {n.replace(".base_layer", ""): m for n, m in generator.named_modules()}
    check_shapes(generator, tensors)
    for key, tensor in tensors.items():
        layer = _layer_of(key)
        if key.endswith(".lora_A.weight"):
            module = bare[layer]
            module = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
            layers[layer] = tensor.shape[1 if isinstance(module, nn.ConvTranspose2d) else 0]
    attach(generator, layers, name)
    with torch.no_grad():
        for layer_name, layer in lora_layers(generator).items():
            if name not in layer.lora_A:
                continue
            for part, module in (("A", layer.lora_A[name]), ("B", layer.lora_B[name])):
                value = tensors.get(f"{PREFIX}{layer_name}.lora_{part}.weight")
                if value is None or value.shape != module.weight.shape:
                    raise ValueError(f"layer '{layer_name}': lora_{part} is missing or has another shape")
                module.weight.copy_(value)


def start_from(generator: Generator, adapters: Sequence[Mapping[str, Tensor]], name: str = "default") -> float:
    """Let an attached, untouched adapter begin as the mean of others of the same base.

    Means are of the weight changes BA, cut to the adapter's ranks by their singular values: for one adapter of the same
    ranks that is the adapter itself. Layers and ranks that the others do not have stay untouched.
    Returns the part of the mean changes that the adapter holds, by squares: 1 where no rank and no layer is cut.
    Raises ValueError where a tensor has another shape than its layer asks for.
    """
    held = whole = 0.0
    own = lora_layers(generator)
    theirs = (_layer_of(key) for tensors in adapters for key in tensors)
    for layer_name in dict.fromkeys([*own, *theirs]):
        layer = own[layer_name].get_base_layer() if layer_name in own else generator.get_submodule(layer_name)
        change = _mean_change(adapters, layer_name, layer)
        if change is None:
            continue
        whole += float(change.square().sum())
        if layer_name not in own:
            continue
        U, S, V = torch.linalg.svd(change, full_matrices=False)
        transposed = isinstance(layer, nn.ConvTranspose2d)
        A, B = (
            _rank_first(weights[name].weight, part, transposed)
            for part, weights in (("A", own[layer_name].lora_A), ("B", own[layer_name].lora_B))
        )
        rank = min(len(A), int(S.gt(1e-6 * S[0]).sum()))
        held += float(S[:rank].square().sum())
        root = S[:rank, None].sqrt()
        with torch.no_grad():
            A[:rank] = (root * V[:rank]).view_as(A[:rank])
            B[:rank] = (root * U[:, :rank].T).view_as(B[:rank])
    return held / whole if whole else 1.0


def _mean_change(adapters: Sequence[Mapping[str, Tensor]], layer_name: str, layer: nn.Module) -> Tensor | None:
    """The mean of what adapters add to a layer's weight, (out, in·k·k); None where none has the layer."""
    transposed, changes = isinstance(layer, nn.ConvTranspose2d), []
    weight = _rank_first(layer.get_parameter("weight"), "A", transposed)  # (out, in, k, k)
    wanted = weight.shape[1:], (len(weight), *[1] * (weight.dim() - 2))
    for tensors in adapters:
        A, B = (tensors.get(f"{PREFIX}{layer_name}.lora_{part}.weight") for part in "AB")
        if A is None or B is None:
            continue
        a, b = _rank_first(A.float(), "A", transposed), _rank_first(B.float(), "B", transposed)
        if len(a) != len(b) or (a.shape[1:], b.shape[1:]) != wanted:
            raise ValueError(f"layer '{layer_name}' of an adapter has another shape")
        changes.append(b.flatten(1).T @ a.flatten(1))
    return torch.stack(changes).sum(0) / len(adapters) if changes else None


def start_along(generator: Generator, gradients: Mapping[str, Tensor], name: str = "default") -> None:
    """Let A of an attached, untouched adapter span the directions in which the loss falls fastest.

    gradients: of the loss, by layer, each of its weight's shape. A's rows become the first right singular vectors of
    the gradient as a matrix (out, in·k·k), each as long as A's rows are on average at random; B stays zero, so that the
    function is unchanged and B's first step is along the best change of that rank (cf. LoRA-GA, Wang et al. 2024).
    Raises ValueError where a gradient is missing or has another shape than its layer's weight.
    """
    for layer_name, layer in lora_layers(generator).items():
        weight, gradient = layer.get_base_layer().weight, gradients.get(layer_name)
        if gradient is None or gradient.shape != weight.shape:
            raise ValueError(f"layer '{layer_name}': its gradient is missing or has another shape")
        transposed = isinstance(layer.get_base_layer(), nn.ConvTranspose2d)
        A = _rank_first(layer.lora_A[name].weight, "A", transposed)
        by_out = _rank_first(gradient, "A", transposed)
        V = torch.linalg.svd(by_out.flatten(1).float(), full_matrices=False).Vh[: len(A)]
        length = A.flatten(1).norm(dim=1).mean()
        with torch.no_grad():
            A[: len(V)] = (length * V).view_as(A[: len(V)])


def _rank_first(weight: Tensor, part: str, transposed: bool) -> Tensor:
    """A view of A or B with its channels of rank first."""
    return weight.detach().transpose(0, 1) if (part == "A") == transposed else weight.detach()


def set_strengths(generator: Generator, strengths: Mapping[str, float]) -> None:
    """Make these adapters act together, each scaled by its strength; the others do nothing."""
    for layer in lora_layers(generator).values():
        for name, strength in strengths.items():
            layer.set_scale(name, strength)
    activate(generator, list(strengths))


def grow(generator: Generator, layers: Mapping[str, int], name: str = "default") -> None:
    """Raise an adapter's ranks in place. The function stays the same: new columns of B are zero (Alg. 1).

    Raises ValueError where a rank would shrink.
    """
    for layer_name, layer in lora_layers(generator).items():
        r_new = layers.get(layer_name, 0)
        r_old = layer.r[name]
        if r_new < r_old:
            raise ValueError(f"layer '{layer_name}': rank {r_old} cannot grow to {r_new}")
        if r_new == r_old:
            continue
        old = [module.weight.detach().clone() for module in (layer.lora_A[name], layer.lora_B[name])]
        layer.update_layer(name, r_new, lora_alpha=r_new, config=lora_config(layers))
        with torch.no_grad():
            layer.lora_B[name].weight.zero_()
            for new, kept in zip((layer.lora_A[name].weight, layer.lora_B[name].weight), old, strict=True):
                new[tuple(slice(n) for n in kept.shape)] = kept


def merged(generator: nn.Module) -> nn.Module:
    """A copy with the active adapters, at their strengths, added to its weights: an ordinary generator again."""
    generator = copy.deepcopy(generator)
    for name, layer in lora_layers(generator).items():
        layer.merge()
        parent, _, attribute = name.rpartition(".")
        setattr(generator.get_submodule(parent), attribute, layer.get_base_layer())
    return generator.requires_grad_(False)
