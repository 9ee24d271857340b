"""A base as a device needs it for many effects: adapters and prompts are inputs of its graph (Sec. 4.2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from e2gan.export.exact_forms import plain_attention
from e2gan.networks.generator import Attention, Generator, TransformerBlock, sampling_layers, transformer_layers
from e2gan.networks.pixels import free_sides, from_pixels
from e2gan.networks.resized_conv import SUMS, ResizedConv2d, fix_kernels

HIDDEN = -10000.0  # what a prompt's padding has in place of 0 before the softmax; half precision holds it
EXAMPLE = 3  # effects, ranks and words of the example that a graph is traced by; 1 would become a constant
TEXT_LAYERS = (".cross_attention.to_k", ".cross_attention.to_v")


class Adapted(nn.Module):
    """A layer whose weight W becomes W + BA with each call, A and B an adapter's, given with it (Sec. 4.2.2).

    Not the branch B(A(x)) beside the layer, as it is trained: a sum of weights is cheaper than convolutions of whole
    maps, and an adapter of any rank, or a mix of several, costs as much as one.

    A, B: of PEFT's shapes for this layer; `functional_call` puts the inputs in their place. ranks: which of their axes
    is the rank.
    """

    A: Tensor
    B: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.resized = isinstance(layer, ResizedConv2d)
        A, B, self.ranks = _shapes(layer)
        for name, shape, axis in (("A", A, self.ranks[0]), ("B", B, self.ranks[1])):
            self.register_buffer(name, torch.zeros([*shape[:axis], EXAMPLE, *shape[axis:]]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.layer.get_parameter("weight")
        return torch.func.functional_call(self.layer, {"weight": weight + self._change(weight)}, (x,))

    def _change(self, weight: Tensor) -> Tensor:
        """BA, of the weight's shape."""
        A, B = self.A.movedim(self.ranks[0], 0), self.B.movedim(self.ranks[1], 1)  # (r, in, k, k), (out, r, 1, 1)
        if self.resized:
            A = A.flatten(2) @ SUMS.T  # of the 4×4 kernel, as `transposed_kernel`
        change = B.flatten(1) @ A.flatten(1)
        if isinstance(self.layer, nn.ConvTranspose2d):  # which a ResizedConv2d has become too
            return change.view_as(weight.transpose(0, 1)).transpose(0, 1)
        return change.view_as(weight)


def _shapes(layer: nn.Module) -> tuple[list[int], list[int], tuple[int, int]]:
    """Shapes of A and of B without the rank, and which axis the rank is in each."""
    if isinstance(layer, nn.Linear):
        return [layer.in_features], [layer.out_features], (0, 1)
    assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    A, B = [layer.in_channels, *layer.kernel_size], [layer.out_channels, 1, 1]
    return A, B, (1, 0) if isinstance(layer, nn.ConvTranspose2d) else (0, 1)


class GivenAttention(nn.Module):
    """Cross-attention to the prompts of several effects, whose outputs are blended by the effects' weights.

    keys, values: (S, heads, T, C / heads), the keys scaled. hidden: (S, T), 0 or, where there is padding, HIDDEN.
    weights: (S,).
    """

    keys: Tensor
    values: Tensor
    hidden: Tensor
    weights: Tensor

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.to_q, self.to_out = attention.heads, attention.to_q, attention.to_out
        width = attention.to_k.out_features // self.heads
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(EXAMPLE, self.heads, EXAMPLE + 1, width), persistent=False)
        self.register_buffer("hidden", torch.zeros(EXAMPLE, EXAMPLE + 1), persistent=False)
        self.register_buffer("weights", torch.ones(EXAMPLE) / EXAMPLE, persistent=False)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        queries = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, L, d)
        # The words of all prompts side by side: one product, and no tensor of more than five axes.
        keys, values = (each.transpose(0, 1).flatten(1, 2) for each in (self.keys, self.values))  # (heads, S·T, d)
        scores = (queries @ keys.transpose(1, 2)).unflatten(-1, self.hidden.shape)  # (N, heads, L, S, T)
        shares = (scores + self.hidden).softmax(-1) * self.weights[:, None]
        attended = shares.flatten(-2) @ values
        return self.to_out(attended.transpose(1, 2).flatten(2))


class UnmergedModel(nn.Module):
    """A base's generator with adapters and prompts as inputs.

    photo: uint8 (N, H, W, 3). place: float32 (1, 4), None where the generator has no sense of place. strength: float32
    (). weights: float32 (S,). given: the inputs of `names`, prompts, A and B. Returns uint8 (N, H, W, 3).

    generator: bare; copied. more: layers beside those of an ordinary adapter that adapters change.
    """

    def __init__(self, generator: Generator, more: Sequence[str] = ()) -> None:
        super().__init__()
        self.generator = deepcopy(generator).eval()
        self.multiple = generator.multiple
        self.place = generator.config.place
        layers = [*sampling_layers(generator), *transformer_layers(generator)]
        layers += [name for name in more if name not in layers]
        self.layers = [name for name in layers if not name.endswith(TEXT_LAYERS)]
        for block in [m for m in self.generator.modules() if isinstance(m, TransformerBlock)]:
            if hasattr(block, "cross_attention"):
                setattr(block, "cross_attention", GivenAttention(block.cross_attention))  # noqa: B010
        for name in self.layers:
            self.generator.set_submodule(name, Adapted(self.generator.get_submodule(name)))
        fix_kernels(self.generator)
        plain_attention(self.generator)
        self.requires_grad_(False)

    def forward(
        self,
        photo: Tensor,
        place: Tensor | None,
        strength: Tensor,
        weights: Tensor,
        given: Mapping[str, Tensor],
    ) -> Tensor:
        buffers = {self._buffer(name): tensor for name, tensor in given.items()}
        if "prompt.hidden" in given:
            hidden = buffers.pop("prompt.hidden")
            for name in self._attentions():
                buffers |= {f"{name}.weights": weights, f"{name}.hidden": hidden}
        network_input = from_pixels(photo.permute(0, 3, 1, 2))
        edit = torch.func.functional_call(self.generator, buffers, (network_input, None, None, place))
        # Rounded before it is mixed, as `Predictor.edit` has it.
        before, after = photo.float(), ((edit.permute(0, 2, 3, 1) + 1) * 127.5).round()
        return (before + strength * (after - before)).round().clamp(0, 255).to(torch.uint8)

    def given(self) -> dict[str, Tensor]:
        """Examples of the inputs `given`, by name."""
        found = {}
        for name in self._attentions():
            attention: Any = self.generator.get_submodule(name)
            place = name.split(".")[1]
            found |= {f"prompt.{place}.keys": attention.keys, f"prompt.{place}.values": attention.values}
            found["prompt.hidden"] = attention.hidden
        for name in self.layers:
            layer: Any = self.generator.get_submodule(name)
            found |= {f"{name}.A": layer.A, f"{name}.B": layer.B}
        # Not the buffers themselves, whose shapes the exporter would take for fixed.
        return {name: tensor.clone() for name, tensor in found.items()}

    def rank_axes(self) -> dict[str, int]:
        """Name of each A and B → the axis that is its rank."""
        found = {}
        for name in self.layers:
            layer: Any = self.generator.get_submodule(name)
            found |= {f"{name}.A": layer.ranks[0], f"{name}.B": layer.ranks[1]}
        return found

    def _attentions(self) -> list[str]:
        return [name for name, m in self.generator.named_modules() if isinstance(m, GivenAttention)]

    def _buffer(self, name: str) -> str:
        """The generator's buffer that an input stands for."""
        kind, place, *part = name.split(".")
        return f"transformers.{place}.block.cross_attention.{part[0]}" if kind == "prompt" and part else name


def traced(model: UnmergedModel) -> tuple[torch.export.ExportedProgram, list[str]]:
    """The model as a graph of any batch, height and width, number of effects, words and ranks; its inputs' names."""
    sides, (height, width) = free_sides(model.multiple)
    photo = torch.zeros(2, *sides, 3, dtype=torch.uint8)
    effects, words = torch.export.Dim("effects"), torch.export.Dim("words")
    given, axes = model.given(), model.rank_axes()
    ranks = {name: torch.export.Dim(f"rank{number}") for number, name in enumerate(model.layers)}
    prompts = {"keys": {0: effects, 2: words}, "values": {0: effects, 2: words}, "hidden": {0: effects, 1: words}}
    shapes: dict[str, Any] = {
        name: {axes[name]: ranks[name[:-2]]} if name in axes else prompts[name.rpartition(".")[2]] for name in given
    }
    program = torch.export.export(
        model,
        (photo, torch.zeros(1, 4) if model.place else None, torch.ones(()), torch.ones(EXAMPLE) / EXAMPLE, given),
        dynamic_shapes=(
            {0: torch.export.Dim("batch"), 1: height, 2: width},
            {} if model.place else None,
            {},
            {0: effects},
            shapes,
        ),
        strict=False,
    )
    return program, ["photo", *(["place"] if model.place else []), "strength", "weights", *given]
