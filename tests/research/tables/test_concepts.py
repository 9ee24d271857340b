"""A concept is in the evaluation or in a base, never in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan import PairsConfig, make_pairs
from e2gan.core.files import read_json
from e2gan.research.tables.concepts import Concepts
from tests.conftest import Project, refused
from tests.research.tables.tiny_tables import Sets, run, settings


@pytest.fixture
def again(project: Project, tmp_path: Path) -> Path:
    """The evaluated concept once more, in another folder and another case, as among the base's."""
    config = PairsConfig(
        photos=project.photos, concept="low quality  photo", teacher=("filters:mono",), out=tmp_path / "base/low"
    )
    make_pairs(config)
    return tmp_path / "base/low"


@pytest.mark.slow
def test_what_is_evaluated_on_is_left_out_of_the_base(sets: Sets, again: Path, tmp_path: Path) -> None:
    config = settings(sets, "14", tmp_path / "t", base_pairs=(again, *sets.base), steps=1, base_steps=1)
    found = run(config)
    assert any('"low quality photo" is left out of --base-pairs: it is evaluated on' in line for line in found.notes)
    base = read_json(found.out / "models/bases/base/config.json")["settings"]
    assert sorted(base["concepts"]) == ["make it autumn", "make it winter"]


def test_it_is_left_out_of_every_base_to_be_trained(sets: Sets, again: Path, tmp_path: Path) -> None:
    config = settings(sets, "4", tmp_path, random_pairs=(again, *sets.random), art_pairs=(again, sets.art))
    concepts = Concepts.load(config, tmp_path)
    assert [s.folder for s in concepts.random] == list(sets.random)
    assert [s.folder for s in concepts.art] == [sets.art]
    assert len(concepts.notes) == 2
    assert "--random-pairs" in concepts.notes[0]
    assert "--art-pairs" in concepts.notes[1]


def test_what_a_trained_base_knows_is_left_out_of_the_evaluation(project: Project, sets: Sets, tmp_path: Path) -> None:
    config = settings(sets, "5", tmp_path, base=project.base, pairs=(project.dusk, sets.rejecting), base_pairs=())
    concepts = Concepts.load(config, tmp_path)
    assert [s.folder for s in concepts.sets] == [sets.rejecting]
    assert "has learned it (Sec. 5.1)" in concepts.notes[0]
    config = settings(sets, "5", tmp_path, base=project.base, pairs=(project.dusk,), base_pairs=())
    assert "no concept is left to evaluate on" in refused(lambda: Concepts.load(config, tmp_path))


def test_the_only_concept_of_a_base_is_left_out_of_the_evaluation(sets: Sets, tmp_path: Path) -> None:
    concepts = Concepts.load(settings(sets, "12", tmp_path, pairs=(sets.single, sets.rejecting)), tmp_path)
    assert [s.folder for s in concepts.sets] == [sets.rejecting]
    assert concepts.single is not None
    assert "--single-pairs" in concepts.notes[0]


def test_two_sets_of_one_name_are_resized_apart(project: Project, sets: Sets, tmp_path: Path) -> None:
    other = tmp_path / "other/dusk"
    make_pairs(PairsConfig(photos=project.photos, concept="spring", out=other))
    config = settings(sets, "14", tmp_path, pairs=(project.dusk,), base_pairs=(other,), size=24)
    concepts = Concepts.load(config, tmp_path)
    assert concepts.sets[0].size == concepts.base[0].size == 24
    assert concepts.sets[0].prompt != concepts.base[0].prompt
    config = settings(sets, "14", tmp_path, base_pairs=(concepts.sets[0].folder,))
    assert "different sizes (24, 32): name one with --size" in refused(lambda: Concepts.load(config, tmp_path))
