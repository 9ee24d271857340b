"""Settings as texts: their types, and what cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from e2gan.core.errors import InputError
from e2gan.teachers.settings import parse_settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("text", "text"),
        (" a b=c ", "a b=c"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("v1.5", "v1.5"),
        ('"20"', "20"),
        ("[1, 2.5]", [1, 2.5]),
        ("stabilityai/sd-turbo", "stabilityai/sd-turbo"),
    ],
)
def test_a_setting_is_of_the_type_that_it_looks_like(text: str, value: Any) -> None:
    (found,) = parse_settings([f"a={text}"]).values()
    assert found == value
    assert type(found) is type(value)


def test_settings_keep_their_order_and_names() -> None:
    assert list(parse_settings(["b=1", "a.c=0.5", "num_inference_steps = 20"])) == ["b", "a.c", "num_inference_steps"]
    assert parse_settings([]) == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a"], "--set a: write NAME=VALUE"),
        (["a="], "--set a=: write NAME=VALUE"),
        (["=1"], "'' is no name"),
        (["guidance-scale=7"], "'guidance-scale' is no name of an argument"),
        (["a=1", "a=2"], "--set a=2: a is set twice"),
        (["a=[1"], "--set a=.1: is not JSON"),
        (['a="b'], "is not JSON.*; put a text in double quotes"),
        (["a=1e999"], "a finite number"),
        (["a=[null]"], "or a list of these"),
        (["a=[NaN]"], "a finite number"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_settings(texts)
