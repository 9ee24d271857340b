"""The forms of exports' files."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.config.export_schemas import EffectName
from e2gan.core.errors import InputError
from e2gan.core.schemas import check_form


@pytest.mark.parametrize("name", ["", "a\nb", "red \x1b[31m", "\x85", "x" * 256, 3])
def test_an_effect_has_a_name_that_can_be_shown(name: object) -> None:
    with pytest.raises(InputError):
        check_form(name, EffectName, "effects.json", Path())


@pytest.mark.parametrize("name", ["dusk", "Ölbild, leicht", "夕暮れ", "x" * 255])
def test_any_other_will_do(name: str) -> None:
    check_form(name, EffectName, "effects.json", Path())
