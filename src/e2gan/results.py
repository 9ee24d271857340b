"""What a training answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2gan.training import TrainingResult

__all__ = ["Trained"]


@dataclass(frozen=True)
class Trained:
    """A trained base, adapter or model: where it lies, its trained parameters, and how the training went."""

    folder: Path
    what: str
    parameters: int
    result: TrainingResult

    def __str__(self) -> str:
        if self.result.already_done:
            return f"{self.folder}: this {self.what} is trained already, nothing to do"
        r = self.result
        l1 = "" if r.l1 is None else f", last training L1 {r.l1:.1f} of 255"
        return (
            f"{self.what} with {self.parameters:,} trained parameters in {self.folder}\n"
            f"{r.steps} steps, {r.seconds:.0f} s{l1}"
        )
