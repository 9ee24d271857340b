"""Unpaired training by contrast of patches (Park et al. 2020, CUT), for horse to zebra in Tab. 9."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config import GeneratorConfig
from e2gan.networks.discriminator import initialise
from e2gan.networks.generator import Generator, TransformerStage

LAYERS = ("level1_in", "level2_down", "level3_down", "blocks.0", "blocks.1")
"""Parts of the generator, from the photo on, whose features are compared (CUT takes five too)."""


def _parts(config: GeneratorConfig) -> Iterator[tuple[str, int]]:
    """The generator's parts before its first upsampling, in order, with their channels."""
    w = config.width
    yield from (("level1_in", w), ("level2_down", 2 * w), ("level3_down", 4 * w))
    for place in range(config.blocks + 1):
        if place:
            yield f"blocks.{place - 1}", 4 * w
        if place in config.transformers:
            yield f"transformers.{place}", 4 * w


def channels_of(config: GeneratorConfig, layers: Sequence[str] = LAYERS) -> list[int]:
    """Channels of each layer's features."""
    channels = dict(_parts(config))
    return [channels[name] for name in layers]


def features(
    generator: Generator,
    x: Tensor,
    tokens: Tensor | None,
    mask: Tensor | None,
    place: Tensor | None = None,
    layers: Sequence[str] = LAYERS,
) -> list[Tensor]:
    """What the generator makes of images x (B, 3, H, W) in [-1, 1] after each of the layers: (B, C, h, w) each.

    The generator runs only as far as the last of them.
    """
    found: dict[str, Tensor] = {}
    place = generator.seen(place)
    x = generator.fold(x)
    for name, _ in _parts(generator.config):
        part = generator.get_submodule(name)
        x = part(x, tokens, mask, place) if isinstance(part, TransformerStage) else part(x)
        if name in layers:
            found[name] = x
        if len(found) == len(set(layers)):
            break
    return [found[name] for name in layers]


class PatchNCE(nn.Module):
    """Heads and loss of the patchwise contrast: what a patch became should be told by what it was (CUT, Eq. 2 to 4).

    channels: those of the features, one head each. The heads learn together with the generator.
    """

    def __init__(
        self, channels: Sequence[int], *, width: int = 256, locations: int = 256, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )
        self.locations, self.temperature = locations, temperature
        initialise(self)

    def loss(self, features_query: Sequence[Tensor], features_key: Sequence[Tensor], rng: torch.Generator) -> Tensor:
        """Mean cross-entropy over layers, images and patches, in fp32.

        features_query: of the edits, (B, C, h, w) each. features_key: of the photos they came from, the same shapes;
        nothing is learned through them. rng: a CPU generator that picks the patches, the same ones in both.
        A patch's own place is the right answer; the other places of the same image are the wrong ones.
        """
        losses = []
        for head, query, key in zip(self.heads, features_query, features_key, strict=True):
            places = torch.randperm(query.shape[2] * query.shape[3], generator=rng)[: self.locations].to(query.device)
            with torch.autocast(query.device.type, enabled=False):  # a temperature of 0.07 is too sharp for bf16
                q = self._project(head, query, places)
                with torch.no_grad():
                    k = self._project(head, key, places)
                logits = q @ k.transpose(1, 2) / self.temperature  # (B, N, N)
                answers = torch.arange(len(places), device=query.device).expand(logits.shape[0], -1)
                losses.append(F.cross_entropy(logits.flatten(0, 1), answers.flatten()))
        return torch.stack(losses).mean()

    def _project(self, head: nn.Module, x: Tensor, places: Tensor) -> Tensor:
        """(B, C, h, w) → (B, N, width) of norm 1 in fp32."""
        return F.normalize(head(x.flatten(2)[:, :, places].transpose(1, 2).float()), dim=-1)


def contrastive_loss(
    generator: Generator,
    nce: PatchNCE,
    source: Tensor,
    edit: Tensor,
    tokens: Tensor | None,
    mask: Tensor | None,
    place: Tensor | None,
    rng: torch.Generator,
    layers: Sequence[str] = LAYERS,
) -> Tensor:
    """PatchNCE of images `source` and what the generator made of them, `edit`, both (B, 3, H, W) in [-1, 1].

    Photos with their edits give CUT's L(G, H, X); images of the target domain with theirs its identity L(G, H, Y).
    """
    with torch.no_grad():
        key = features(generator, source, tokens, mask, place, layers)
    return nce.loss(features(generator, edit, tokens, mask, place, layers), key, rng)
