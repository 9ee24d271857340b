from __future__ import annotations

import json
from dataclasses import replace

import pytest

from e2gan.sweeps.things import Ref, Thing, digest
from tests.conftest import refused

PHOTOS = Ref("photos", "ab" * 32)
SET = Thing("pairs", {"concept": "fog", "seed": 0}, {"photos": PHOTOS})


def test_an_identity_is_of_settings_and_inputs_and_of_nothing_else() -> None:
    same = replace(SET, settings={"seed": 0, "concept": "fog"}, hints={"batch": 3}, gpu=True, after=(PHOTOS,))
    assert same.ref == SET.ref
    others = [
        replace(SET, settings={"concept": "fog", "seed": 1}),
        replace(SET, inputs={"photos": Ref("photos", "cd" * 32)}),
        replace(SET, inputs={"bases": PHOTOS}),
        replace(SET, kind="blocks"),
    ]
    assert len({thing.ref.identity for thing in (SET, *others)}) == 5
    assert SET.ref.place == f"pairs/{SET.ref.identity[:16]}"


def test_a_change_at_the_source_is_another_thing_at_the_end() -> None:
    def adapter(seed: int) -> Ref:
        pairs = replace(SET, settings={"concept": "fog", "seed": seed})
        return Thing("adapters", {}, {"pairs": pairs.ref}).ref

    assert adapter(0) == adapter(0) != adapter(1)


def test_an_order_says_all_of_a_thing() -> None:
    thing = replace(SET, hints={"batch": 3}, after=(Ref("blocks", "ef" * 32),))
    read = Thing.read(json.loads(json.dumps(thing.order())))
    assert (read.ref, read.hints, read.after, read.inputs) == (thing.ref, thing.hints, thing.after, thing.inputs)
    assert thing.needs == (PHOTOS, Ref("blocks", "ef" * 32))


@pytest.mark.parametrize(
    "text", ["", "pairs", "pairs/ab", "pairs/../../etc", f"cats/{'ab' * 32}", f"pairs/{'AB' * 32}"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    assert "names nothing that a sweep makes" in refused(lambda: Ref.read(text))
    assert Ref.read(str(PHOTOS)) == PHOTOS


def test_a_digest_does_not_go_by_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1})
