"""Values that are read: their form, what no reader can use, and the names in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pytest

from e2gan.core.schemas import DEEPEST, FileName, Id, check_form, check_sound, known
from tests.conftest import refused


class Row(TypedDict):
    id: Id
    file: FileName | None
    size: NotRequired[float]


def test_a_form_tells_where_a_value_is_another_and_lets_more_pass(tmp_path: Path) -> None:
    good = {"id": "p1", "file": "images/p1.png", "size": 3, "newer": [1]}
    check_form(good, Row, "f.json", tmp_path)
    check_form([good], list[Row], "f.json", tmp_path)
    line = refused(lambda: check_form([good, good | {"size": "3"}], list[Row], "f.json", tmp_path))
    assert line == "f.json, at [1].size: expected float, got str"
    assert "file" in refused(lambda: check_form({"id": "p1"}, Row, "f.json", tmp_path))


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "C:/a", "a\\b", "", ".", 5, ["a"], "a" * 300])
def test_names_in_a_form_stay_inside(name: Any, tmp_path: Path) -> None:
    assert refused(lambda: check_form({"id": "p", "file": name}, Row, "f.json", tmp_path)).startswith("f.json, at file")
    if name != "a" * 300:
        assert refused(lambda: check_form({"id": name, "file": None}, Row, "f.json", tmp_path)).startswith("f.json, at")


def test_what_no_reader_can_use() -> None:
    deep: list[Any] = []
    for _ in range(DEEPEST + 1):
        deep = [deep]
    for value in (deep, 2**63, -(2**70), "a\0", {"\ud800": 1}, float("nan"), [float("inf")]):
        refused(lambda value=value: check_sound(value, "f.json"))
    check_sound({"ä": [float("nan"), 2**63 - 1, "日本"]}, "f.json", finite=False)


def test_what_a_later_version_says_more_is_left_out() -> None:
    from e2gan.config import Ranks

    assert known(Ranks, {"level1": 3, "level9": 4}) == {"level1": 3}
