from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.config.schemas import GpuFile, PlanFile
from e2gan.core.errors import InputError
from e2gan.core.schemas import check_form
from tests.conftest import refused

ROW = {"name": "adapter, full, quick", "batch": 8, "how": "eager", "ms": 1.5, "error": None, "photos_a_second": 667.0}


def gpu(row: dict[str, object]) -> dict[str, object]:
    return {"options": {"quick": "False"}, "parts": {"steps": {"rows": [row], "error": None, "seconds": 9.0}}}


def test_what_the_benchmark_writes_has_the_form() -> None:
    check_form(gpu(ROW), GpuFile, "gpu.json", Path())
    check_form(gpu({"name": "a part that failed", "error": "OutOfMemoryError: …"}), GpuFile, "gpu.json", Path())


@pytest.mark.parametrize("change", [{"ms": 0}, {"ms": "5"}, {"batch": 0}, {"size": 0}, {"name": ""}])
def test_a_time_of_nothing_is_no_row(change: dict[str, object]) -> None:
    assert refused(lambda: check_form(gpu(ROW | change), GpuFile, "gpu.json", Path())).startswith("gpu.json, at parts")


def test_figures_without_a_source_are_refused() -> None:
    with pytest.raises(InputError, match="missing required field"):
        check_form({"training": {"hardware": "x", "seconds": 1.0}}, PlanFile, "plan.toml", Path())
