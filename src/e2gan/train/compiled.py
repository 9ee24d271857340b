"""A training step that is compiled (`--compile`).

On a GPU a step of a few photos takes as long as its hundreds of operations take to be launched; CUDA graphs launch them
all at once. On a CPU the generator alone was worth three hundredths (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from e2gan.core.errors import InputError, MachineError
from e2gan.train.batches import Batch
from e2gan.train.perceptual import load_network
from e2gan.train.step import Trainer

Step = Callable[[Batch, int], dict[str, Tensor]]
Mode = Literal["default", "reduce-overhead"]
MOST_VARIANTS = 64  # differing trainings that one process compiles


def compiled_step(trainer: Trainer, mode: Mode | None = None, *, channels_last: bool = False) -> Step:
    """`trainer.step` for batches of one shape: the generator with what its edit is judged by compiled in one piece, and
    the discriminator in its place; the first step compiles.

    mode: torch.compile's; reduce-overhead, which has CUDA graphs, where none is named and the networks are on a GPU.
    channels_last: the layout that a GPU's matrix units take, for networks and photos; a checkpoint is then to be loaded
    afterwards. Not the default: a training in it was lost on a GPU (docs/gpu.md). Raises InputError for a training
    without pairs, and on a device that is neither a CUDA GPU nor a CPU; a step raises MachineError where the machine
    cannot compile.
    """
    if type(trainer) is not Trainer:
        raise InputError("--compile is for trainings on pairs: leave it out with --unpaired")
    if trainer.device.type not in ("cuda", "cpu"):
        raise InputError(f"--compile works on CUDA GPUs and CPUs, not on {trainer.device.type}: leave it out")
    step = in_channels_last(trainer) if channels_last else trainer.step
    from torch._dynamo.exc import TorchDynamoException  # seconds of importing, which others need not wait for

    if trainer.config.perceptual or trainer.config.gram:
        load_network(trainer.device)
    # PyTorch's 8 are soon used up in a process that trains one model after another, which then goes on uncompiled.
    torch._dynamo.config.recompile_limit = max(MOST_VARIANTS, torch._dynamo.config.recompile_limit)
    mode = mode or ("reduce-overhead" if trainer.device.type == "cuda" else "default")
    compiled_edit = torch.compile(trainer.edit_and_content, mode=mode, dynamic=False)
    trainer.edit_and_content = compiled_edit  # pyright: ignore[reportAttributeAccessIssue]
    trainer.discriminator.compile(mode=mode, dynamic=False)

    def compiled(batch: Batch, number: int = 0) -> dict[str, Tensor]:
        torch.compiler.cudagraph_mark_step_begin()  # what the graphs of the step before gave is no longer needed
        try:
            return step(batch, number)
        except TorchDynamoException as error:
            why = " ".join(str(error).split())[:200]
            raise MachineError(f"--compile: PyTorch cannot compile here: {why} (leave --compile out)") from error

    return compiled


def in_channels_last(trainer: Trainer) -> Step:
    """`trainer.step` with networks and photos in the layout (B, H, W, C)."""
    networks: tuple[Any, ...] = (trainer.generator, trainer.discriminator)
    for network in networks:
        network.to(memory_format=torch.channels_last)
    step = trainer.step

    def laid_out(batch: Batch, number: int = 0) -> dict[str, Tensor]:
        photo, target = (x.contiguous(memory_format=torch.channels_last) for x in (batch.photo, batch.target))
        return step(replace(batch, photo=photo, target=target), number)

    return laid_out
