from __future__ import annotations

from typing import Any

import pytest

from e2gan.config import PlanConfig
from e2gan.core.errors import InputError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photos": 0}, "--photos 0: must be at least 10"),
        ({"concepts": 0}, "--concepts 0: must be at least 1"),
        ({"adapters": 0}, "--adapters 0: must be at least 1"),
        ({"concepts": 40}, "--concepts 40: fewer than those of --base-concepts and --adapters together, 50"),
        ({"keep": 0}, "--keep 0"),
        ({"teachers": ()}, "--teachers is empty"),
        ({"teachers": ("filters", "filters")}, "--teachers names filters twice"),
        ({"size": 100}, "--size 100: must be a multiple of 8"),
        ({"size": 2048}, "--size 2048: must be at most 1,024"),
        ({"gpus": 0}, "--gpus 0: must be at least 1"),
        ({"price_per_hour": 0.0}, "--price-per-hour 0.0: must be positive"),
        ({"epochs": 0}, "--epochs 0"),
        ({"base_epochs": 0}, "--base-epochs 0"),
        ({"batch": 0}, "--batch 0"),
        ({"rank_concepts": -1}, "--rank-concepts -1"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        PlanConfig(**options).check()
    assert str(caught.value).startswith(words)


def test_the_default_is_the_papers_case() -> None:
    config = PlanConfig()
    config.check()
    assert (config.photos, config.concepts, config.adapters, config.keep, config.epochs) == (1000, 260, 30, 400, 100)
    assert len(config.teachers) == 5
