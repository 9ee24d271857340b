"""A training that a benchmark runs: an adapter's, a network's from nothing, or all weights of a base; and what makes it
the same one. Apart from runs.py, which the processes that are timed and weighed import: this loads PyTorch and PEFT."""

from __future__ import annotations

from typing import Any

from e2gan import AdaptConfig, PairSet, ScratchConfig, adapt, train_scratch
from e2gan.config import FinetuneConfig
from e2gan.core.files import plain, sha256
from e2gan.core.reruns import CONTENT
from e2gan.data.pair_set import ROWS
from e2gan.train.finetune import finetune_base
from e2gan.train.loop import NOT_DECISIVE, Trained

Stage = AdaptConfig | ScratchConfig | FinetuneConfig


def train(stage: Stage) -> Trained:
    if isinstance(stage, AdaptConfig):
        return adapt(stage)
    return train_scratch(stage) if isinstance(stage, ScratchConfig) else finetune_base(stage)


def settings_of(stage: Stage) -> dict[str, Any]:
    """A training's settings by name, but for those that leave it the same, and for where things lie."""
    told = {name: value for name, value in plain(stage).items() if name not in ("out", "base", "pairs")}
    own = (*NOT_DECISIVE, "device")
    told["training"] = {name: value for name, value in told["training"].items() if name not in own}
    return told | ({"sided": True} if stage.training.flip and PairSet.load(stage.pairs).sided else {})


def pairs_of(pair_set: PairSet) -> dict[str, Any]:
    """What a pair set holds, wherever it lies."""
    return {"pairs_sha256": sha256(pair_set.folder / ROWS), CONTENT: {"pairs": pair_set.content()}}
