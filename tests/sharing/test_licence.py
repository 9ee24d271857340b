"""What a model card's head says of its licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.networks.folders import shipped_adapters, shipped_bases
from e2gan.sharing.licence import licence_of, read_card
from tests.conftest import refused


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# A base\n", "apache-2.0"),
        ("---\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("---\nlicense: other\nlicense_name: research-use\n---\n", "other (research-use)"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense:\n---\n", "not stated"),
        ("---\ntags: x\n---\nlicense: mit\n", "not stated"),
        ("license: mit\n", "not stated"),
        ("\ufeff---\nlicense: MIT\n---\n", "not stated"),  # read_card takes the mark away
        ("---\nlicense: MIT  # ok\n---\n", "mit"),
        ("---\nlicense:\n- mit\n- Apache-2.0\n---\n", "mit, apache-2.0"),
        ("---\nlicense: [\n---\n", "not stated"),
        (None, "not stated"),
    ],
)
def test_the_licence_is_that_of_the_cards_head(card: str | None, expected: str) -> None:
    assert licence_of(card) == expected


def test_what_ships_states_its_licence_and_what_it_may_be_used_for() -> None:
    for folder in (*shipped_bases().values(), *shipped_adapters().values()):
        card = read_card(folder)
        assert card is not None, folder
        assert licence_of(card) == "other (research-use)", folder
        assert "Research use" in card, folder


def test_a_card_of_any_length_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(bytes(2**21))
    assert "where up to 1.0 are read" in refused(lambda: read_card(tmp_path))
