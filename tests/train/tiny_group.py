"""Processes of one training: begun by torchrun, or by its variables alone; and what they run for tests of the parts.

`python -m tests.train.tiny_group FOLDER JSON` takes one step for each of the settings in the JSON, from networks no
layer of which is zero, and the first process writes the trainer's tensors and the log to FOLDER/0, FOLDER/1, …
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from e2gan.core.group import Group, joined
from e2gan.core.tensors import write_tensors
from e2gan.train.loop import train
from e2gan.train.step import Trainer
from tests.train.tiny_training import QUICK, data, trainer

ENV = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def ours(self) -> list[str]:
        """The lines of this program on standard error; torchrun tells of failures in its own way beside them."""
        return [line for line in self.err.splitlines() if line.startswith("e2gan: ")]


def torchrun(*arguments: str, wait: float = 300) -> Ended:
    """`python -m …` in two processes by torchrun itself."""
    done = subprocess.run(
        [*TORCHRUN, "-m", *arguments], env=os.environ | ENV, capture_output=True, text=True, timeout=wait
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def side_by_side(*commands: list[str], local: bool = True) -> list[Ended]:
    """A process for each command, with the variables that torchrun would set; local: all on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for number, command in enumerate(commands):
        own = {"RANK": str(number), "LOCAL_RANK": str(number if local else 0), "WORLD_SIZE": str(len(commands))}
        env = os.environ | ENV | own | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen([sys.executable, *command], env=env, stdout=pipe, stderr=pipe, text=True))
    try:
        texts = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Ended(process.returncode, *both) for process, both in zip(processes, texts, strict=True)]


def awake(settings: dict[str, Any]) -> Trainer:
    """A trainer whose every layer has a gradient from the first step on: some begin as zero."""
    made = trainer(replace(QUICK, batch=4, steps=1, **settings))
    with torch.no_grad():
        for weight in made.trained.values():
            weight.add_(0.02 * torch.randn_like(weight))
    return made


def one_step(folder: Path, every: list[dict[str, Any]], group: Group) -> None:
    for i, settings in enumerate(every):
        stepped = awake(settings)
        if not group.first:  # what it begins with is the first one's to say
            for weight in stepped.trained.values():
                weight.data.zero_()
        (folder / str(i)).mkdir(parents=True, exist_ok=True)
        train(stepped, data(), folder / str(i), group)
        if group.first:
            write_tensors(folder / str(i) / "trainer.safetensors", stepped.state())


if __name__ == "__main__":
    with joined() as found:
        one_step(Path(sys.argv[1]), json.loads(sys.argv[2]), found)
