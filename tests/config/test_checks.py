"""What a setting is checked by."""

from __future__ import annotations

import pytest

from e2gan.config.checks import at_least, is_repository, positive, side
from e2gan.core.errors import InputError


def test_a_side_can_be_halved_three_times() -> None:
    for good in (None, 32, 200):
        side("size", good)
    for bad in (24, 36, 100):
        with pytest.raises(InputError, match=f"^--size {bad}: must be a multiple of 8, and at least 32$"):
            side("size", bad)


def test_what_is_not_set_is_not_checked_and_no_number_is_refused() -> None:
    at_least("steps", None, 1)
    positive("minutes", None)
    for check in (lambda: at_least("l1", float("nan"), 0), lambda: positive("minutes", float("nan"))):
        with pytest.raises(InputError, match="nan"):
            check()


def test_a_repository_is_an_owner_and_a_name() -> None:
    for good in ("me/look", "Me-2/look_1.5", "a/b"):
        assert is_repository(good)
    for bad in (
        "look",
        "me/",
        "/look",
        "a/b/c",
        "me/../look",
        "./look",
        "me/lo ok",
        "me/-look",
        "me/a--b",
        "me/look\n",
        "~/a",
    ):
        assert not is_repository(bad), bad
