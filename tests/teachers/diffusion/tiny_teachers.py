"""The paper's teachers on models of random weights, with small photos and few steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e2gan.config import TeachConfig
from e2gan.core.images import Pixels
from e2gan.teachers.diffusion.registry import make_teacher
from e2gan.teachers.diffusion.teacher import DiffusionTeacher
from e2gan.teachers.teacher import Ask, Failed

ASK = Ask("make it autumn")
SMALL: dict[str, Any] = {"side": 32, "num_inference_steps": 3}


def photos(count: int = 3, height: int = 40, width: int = 40) -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def teacher(name: str, model: Path | None, teach: TeachConfig | None = None, **overrides: Any) -> DiffusionTeacher:
    found = make_teacher(name, str(model) if model else None, SMALL | overrides, teach)
    assert isinstance(found, DiffusionTeacher)
    return found


def pixels(edits: Sequence[Pixels | Failed]) -> NDArray[np.int64]:
    """All edits as one array, for differences."""
    assert not [edit for edit in edits if isinstance(edit, Failed)]
    return np.stack([edit for edit in edits if not isinstance(edit, Failed)]).astype(np.int64)
