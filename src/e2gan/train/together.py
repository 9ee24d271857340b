"""One training in several processes, each with its rows of the batch: what they agree on before, so that they stay one.

Where each starts from the same tensors, draws the whole batch's chance, and takes the mean of all gradients, each does
the same updates, and no tensor is sent again. The number of processes is no part of a run: another one goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from e2gan.config import GeneratorConfig, TrainingConfig
from e2gan.core.device import bf16_is_fast
from e2gan.core.errors import InputError
from e2gan.core.group import Group
from e2gan.core.identity import Reads
from e2gan.core.outputs import State, claim
from e2gan.core.reruns import differences, in_words, with_reads
from e2gan.train.step import Trainer

Start = tuple[int, float, str | None]  # step, seconds, the guard's course


def check_group(group: Group, generator: GeneratorConfig, training: TrainingConfig) -> None:
    """Raises InputError where rows of a batch would not be trained apart as they are together."""
    group.part(training.batch)
    if group.size == 1:
        return
    if generator.norm == "batch":
        raise InputError(f"--norm batch: its means are of a whole batch, of which {group.size} processes have parts")
    if generator.z:
        raise InputError(f"--z {generator.z}: dropout in {group.size} processes is another than in one: train with one")


def check_same(group: Group, settings: Mapping[str, Any], reads: Reads, device: torch.device) -> None:
    """Raises InputError where this process has other settings or files than the first one, or another kind of
    device; and waits for the others' word."""
    if group.size == 1:
        return
    mine = with_reads(settings, reads)
    theirs, kind = group.same([mine, device.type])
    who = f"process {group.number}"
    if changed := differences(theirs, mine):
        words = in_words(changed, mine)
        raise InputError(f"{who} has others than the first: {words}; each machine needs the same command and files")
    if kind != device.type:
        raise InputError(f"{who} computes on {device.type}, the first on {kind}: name one for all by --device")
    group.wait()


@contextmanager
def claim_together(group: Group, out: Path, stage: str, settings: Mapping[str, Any], reads: Reads) -> Iterator[State]:
    """As `claim`: the first process claims, and tells the others what it found. They need not see its disk."""
    if not group.first:
        yield State(group.same(None))
        return
    with claim(out, stage, settings, reads=reads) as state:
        group.same(state.value)
        yield state


def start_together(group: Group, trainer: Trainer, start: Start | None) -> Start:
    """Where all go on from: the first process's start, and all tensors of its trainer. start: of the first alone."""
    trainer.group = group
    if group.size == 1:
        assert start is not None
        return start
    state = group.same_tensors(trainer.state() if group.first else {}, trainer.device)
    if not group.first:
        trainer.load_state(state)
    step, seconds, course = group.same(start)
    return step, seconds, course


def precision_of_all(group: Group, config: TrainingConfig, device: torch.device) -> TrainingConfig:
    """The settings; of several processes, `auto` is what the first one measures, while the others wait."""
    if group.size == 1 or config.precision != "auto":
        return config
    fast = group.same(group.first and bf16_is_fast(device))
    return replace(config, precision="bf16" if fast else "fp32")
