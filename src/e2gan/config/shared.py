"""Settings that several stages have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from e2gan.config.checks import need
from e2gan.config.settings import Settings


@dataclass(frozen=True, kw_only=True)
class OnDevice(Settings):
    """Where a stage computes."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


@dataclass(frozen=True, kw_only=True)
class Clustered(OnDevice):
    """How photos, or concepts, are compared and chosen (Sec. 4.2.1, 4.2.3)."""

    method: Literal["similarity", "random"] = "similarity"
    """similarity: the one nearest the centre of each of --keep clusters (Sec. 4.2.1, 4.2.3); random: by chance."""
    embedding: str = "gradient-colour"
    """What is compared: gradient-colour, clip, dinov2, facenet, squeezenet, or a FILE.npy of your own with a row for
    each training photo in the order of photos.jsonl, or for each concept in the order of --pairs (the paper: CLIP for
    scenes and concepts, FaceNet for faces)."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --embedding squeezenet, in place of those that ship."""
    model: str | None = None
    """The network of --embedding clip or dinov2: a hub's name or a local folder (default: the embedding's own)."""
    seed: int = 0
    """Seed of the clustering and of what is sampled for it, or of the chance."""

    def check(self) -> None:
        need(self.method in ("similarity", "random"), f"--method {self.method}: must be similarity or random")


@dataclass(frozen=True, kw_only=True)
class Scored(Settings):
    """The one number that models are compared by."""

    metric: str = "fid"
    """What is measured, lower is better: fid (Alg. 1, Sec. 5.1), fd-squeezenet, fd-efficientnet, fd-random, swd, l1."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (safetensors) for --metric fd-squeezenet, in place of those that ship."""
    inception: str | None = None
    """Inception file for --metric fid (default: downloaded once)."""
