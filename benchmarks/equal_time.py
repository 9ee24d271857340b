"""Trainings of equal time by steps: what a step of each takes, timed in turns and kept, so that a rerun has as many."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from e2gan import GeneratorConfig, InputError, TrainingConfig
from e2gan.config import Ranks
from e2gan.core.device import resolve_device
from e2gan.core.files import plain, read_json, write_json
from e2gan.core.outputs import make_folder
from e2gan.core.progress import note
from e2gan.core.reruns import differences, in_words
from e2gan.measure.cost import Key, latencies

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from step import steady_clock, training_step  # noqa: E402 (scripts beside this one, found by the line above)


@dataclass(frozen=True)
class Timed:
    """A training whose step is timed. ranks: an adapter's; None trains all weights."""

    generator: GeneratorConfig
    training: TrainingConfig
    ranks: Ranks | None = None


def in_turns(trainings: Mapping[Key, Timed], size: int, repeat: int) -> dict[Key, float]:
    """The median time of a step of each training, in seconds: a machine that others slow slows all of them alike."""
    torch.manual_seed(0)
    steps, device = {}, None
    for key, timed in trainings.items():
        side, device = min(timed.training.crop or size, size), resolve_device(timed.training.device)
        steps[key] = training_step(timed.generator, timed.training, ranks=timed.ranks, size=side)
    return {key: value / 1000 for key, value in latencies(steps, repeat, device, steady_clock()).items()}


def step_seconds(path: Path, trainings: Mapping[str, Timed], size: int, repeat: int) -> dict[str, float]:
    """Those in `path`, a JSON file; what it lacks is timed now, together, and kept there.

    Raises InputError where it has a training of this name with other settings, or is of another form.
    """
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    keys = {name: plain(timed) | {"size": size} for name, timed in trainings.items()}
    rows = found.values() if isinstance(found, dict) else [None]
    if any(not isinstance(row, dict) or row.keys() != {"seconds", "key"} for row in rows):
        raise InputError(f"{path} is none of this version's: choose another --out")
    for name in keys.keys() & found.keys():
        if changed := differences(found[name]["key"], keys[name]):
            words = in_words(changed, keys[name])
            raise InputError(f"{path}: '{name}' was timed with other settings ({words}): choose another --out")
    if missing := {name: timed for name, timed in trainings.items() if name not in found}:
        note(f"the time of a step of {'; '.join(missing)}")
        for name, seconds in in_turns(missing, size, repeat).items():
            found[name] = {"seconds": seconds, "key": keys[name]}
        make_folder(path.parent)
        write_json(path, found)
    return {name: found[name]["seconds"] for name in trainings}
