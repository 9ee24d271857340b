"""Cross-attention to prompts that never change: one, or those of a mixture, whose outputs are blended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from e2gan.networks.generator import Attention, Generator, TransformerBlock
from e2gan.networks.lora import set_strengths

Prompt = tuple[Tensor, Tensor]  # keys and values, (1, heads, T, C / heads) each


def keys_and_values(attention: Attention, tokens: Tensor) -> Prompt:
    """A prompt's tokens (1, T, D) as an attention sees them, the keys scaled by 1 / √d."""
    keys, values = (
        to(tokens).unflatten(-1, (attention.heads, -1)).transpose(1, 2) for to in (attention.to_k, attention.to_v)
    )
    return keys * keys.shape[-1] ** -0.5, values


class FixedAttention(nn.Module):
    """Cross-attention to prompts whose keys and values are constants; its text layers are gone.

    prompts: of one prompt or several. shares: what each one's output counts, adding to 1.
    """

    def __init__(self, attention: Attention, prompts: Sequence[Prompt], shares: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.heads, self.to_q, self.to_out = attention.heads, attention.to_q, attention.to_out
        self.shares = tuple(shares)
        for i, (keys, values) in enumerate(prompts):
            self.register_buffer(f"keys{i}", keys.transpose(2, 3))  # (1, heads, C / heads, T)
            self.register_buffer(f"values{i}", values)  # (1, heads, T, C / heads)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        queries = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if len(self.shares) == 1:
            attended = self._attended(queries, 0)
        else:
            attended = torch.stack([share * self._attended(queries, i) for i, share in enumerate(self.shares)]).sum(0)
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def _attended(self, queries: Tensor, i: int) -> Tensor:
        return (queries @ self.get_buffer(f"keys{i}")).softmax(-1) @ self.get_buffer(f"values{i}")


@torch.no_grad()
def fix_prompt(network: nn.Module, tokens: Tensor | None) -> None:
    """Put a prompt's keys and values, of its tokens (1, T, D), into the network as constants. Changes `network` in
    place; its function of this prompt stays the same."""
    if tokens is None:
        return
    for block in _blocks(network):
        prompt = keys_and_values(block.cross_attention, tokens)
        setattr(block, "cross_attention", FixedAttention(block.cross_attention, [prompt]))  # noqa: B010


def _blocks(network: nn.Module) -> list[TransformerBlock]:
    return [module for module in network.modules() if isinstance(module, TransformerBlock)]


def blend_prompts(generator: Generator, tokens: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor | None:
    """Let the adapters of a generator act together at their weights, each with its own prompt.

    What the cross-attention gives for each prompt, through its own adapter's keys and values, is blended by the shares
    of the positive weights: with weights a and b, an adapter mixed with itself is that adapter at a + b. tokens:
    (1, T, D) by adapter. Changes `generator` in place. Returns the tokens to edit with where one prompt alone counts:
    that of the largest weight, where none is positive; None where the generator holds the prompts, and where it takes
    none.
    """
    total = sum(weight for weight in weights.values() if weight > 0)
    shares = {name: weight / total for name, weight in weights.items() if weight > 0}
    if generator.config.takes_prompt and len(shares) > 1:
        for block in _blocks(generator):
            prompts = []
            for name in shares:
                set_strengths(generator, {name: total})
                with torch.no_grad():
                    prompts.append(keys_and_values(block.cross_attention, tokens[name]))
            attention = FixedAttention(block.cross_attention, prompts, list(shares.values()))
            setattr(block, "cross_attention", attention)  # noqa: B010
    set_strengths(generator, weights)
    if not generator.config.takes_prompt or len(shares) > 1:
        return None
    return tokens[max(weights, key=lambda name: weights[name])]
