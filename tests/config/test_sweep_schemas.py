from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2gan.config.schemas import ManifestFile, SweepFile
from e2gan.core.schemas import check_form
from tests.conftest import refused

MANIFEST: dict[str, Any] = {
    "form": 1,
    "kind": "exports",
    "identity": "a",
    "files": [{"name": "model.onnx", "bytes": 3, "sha256": "b"}],
    "facts": {"seconds": 1.5, "file": "model.onnx", "parity": None, "model": {"l1": 2.0}},
}


def test_what_a_sweep_writes_has_its_form() -> None:
    check_form(MANIFEST, ManifestFile, "a manifest", Path())
    check_form({"stage": "sweep", "settings": {"tasks": 2}}, SweepFile, "sweep.json", Path())


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": []},
        {"form": 2},
        {"facts": {"seconds": -1}},
        {"facts": {"seconds": "a"}},
        {"facts": {"model": ["x"]}},
        {"facts": {"model": {"l1": "x"}}},
        {"facts": {"file": "../../passwd"}},
    ],
)
def test_a_manifest_of_another_form_is_refused(wrong: dict[str, Any]) -> None:
    assert "a manifest" in refused(lambda: check_form(MANIFEST | wrong, ManifestFile, "a manifest", Path()))
