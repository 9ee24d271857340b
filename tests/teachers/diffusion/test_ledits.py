"""LEDITS++, whose photo is inverted first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.registry import make_teacher
from tests.teachers.diffusion.tiny_presets import photo, teacher
from tests.teachers.diffusion.tiny_teachers import ASK


def test_ledits_refuses_to_keep_its_weights_off_the_gpu() -> None:
    for offload in ("model", "sequential"):
        with pytest.raises(InputError, match=f"^--offload {offload}: ledits needs its weights on the GPU$"):
            make_teacher("ledits", teach=TeachConfig(offload=offload))


@pytest.mark.slow
def test_ledits_takes_the_arguments_of_both_of_its_calls(folder: Callable[[str], Path]) -> None:
    shot = photo("ledits")
    model = folder("ledits")
    edit = teacher("ledits", model).edit([shot], ASK, [1])[0]
    for stronger in ({"skip": 0.5}, {"edit_guidance_scale": 3.0}, {"edit_threshold": 0.1}):
        assert not np.array_equal(edit, teacher("ledits", model, **stronger).edit([shot], ASK, [1])[0]), stronger


def test_ledits_works_at_sides_that_its_masks_divide(folder: Callable[[str], Path]) -> None:
    edit = teacher("ledits", folder("ledits"), side=70).edit([photo("ledits")], ASK, [1])[0]
    assert edit.shape == (64, 96, 3)
