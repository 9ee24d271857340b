"""Settings that several stages have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2gan.config import ConceptsConfig, CrucialConfig, RanksConfig, SelectConfig, TableConfig
from e2gan.core.errors import InputError


def test_photos_and_concepts_are_chosen_by_the_same_methods() -> None:
    wrong: dict[str, Any] = {"method": "best"}
    for settings, others in (
        (SelectConfig, {"photos": Path("p")}),
        (ConceptsConfig, {"pairs": (Path("p"),), "keep": 1}),
    ):
        with pytest.raises(InputError, match=r"^--method best: must be similarity or random$"):
            settings(**others, **wrong)


def test_models_are_compared_by_fid_where_nothing_else_is_said() -> None:
    """As in Alg. 1 and Sec. 5.1."""
    pairs, out = (Path("p"),), Path("out.json")
    configs = (RanksConfig(pairs=pairs, out=out), CrucialConfig(pairs=pairs, out=out), TableConfig(number="5"))
    assert {config.metric for config in configs} == {"fid"}
