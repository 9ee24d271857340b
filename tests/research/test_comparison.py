"""Models scored once for their weights, pairs and metric, and put side by side."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan.config import RanksConfig, TrainingConfig
from e2gan.core.errors import InputError
from e2gan.core.reruns import differences
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.measure.metrics import SCORE_LEGEND, NetworkOptions, score_legend
from e2gan.measure.segmentation import Palette, SegmentationScorer, Segmenter
from e2gan.networks.models import Model
from e2gan.research.comparison import Comparison, TrainedModel, aligned, load_sets, settings_with_sets
from tests.conftest import Project
from tests.measure.tiny_segformer import write_palette
from tests.research.tables.tiny_tables import Sets, run, settings


@pytest.mark.slow
def test_another_metric_scores_the_same_models(sets: Sets, tmp_path: Path) -> None:
    config = settings(sets, "Tab. 14", tmp_path, steps=1, base_steps=1)
    run(config)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    found = run(replace(config, number="14", metric="fd-random"))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == times
    assert " kd " in found.rows[1].cells["Low Quality photo"]
    assert "fd-random on 3 test photos" in found.markdown()


def test_label_maps_are_scored_by_miou_beside_the_metric(
    project: Project, segformer: Path, maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    palette = write_palette(tmp_path / "palette.json")

    def comparison() -> Comparison:
        return Comparison(tmp_path, "l1", NetworkOptions(device="cpu"), str(segformer), {maps: palette})

    of_maps, sepia = load_sets([maps, project.sepia])
    compare = comparison()
    compare.check(of_maps)
    compare.check(sepia)
    model = TrainedModel(shutil.copytree(project.model, tmp_path / "model"), 1)
    edit, photo = compare.result(model, of_maps).score, compare.photo_as_it_is(of_maps)
    teacher = compare.teacher_as_it_is(of_maps)
    assert teacher is not None
    assert 80 < teacher.value < 100
    scorer = SegmentationScorer(Segmenter(str(segformer), "cpu"), Palette.load(palette))
    photos, _, _ = of_maps.arrays("test")
    assert edit == scorer(Predictor(Model.load(model=project.model), "cpu").batch(photos), photos)
    assert photo == scorer(photos, photos)
    assert all(score.higher_is_better and str(score).startswith("mIoU ") for score in (edit, photo, teacher))
    other = compare.result(model, sepia).score
    assert not other.higher_is_better
    assert "mIoU" not in str(other)
    assert compare.teacher_as_it_is(sepia) is None
    assert score_legend([other]) == SCORE_LEGEND != score_legend([other, edit])
    # A rerun scores nothing; another palette does
    runs = []
    load = Model.load
    monkeypatch.setattr(Model, "load", lambda **of: runs.append(of) or load(**of))
    assert comparison().result(model, of_maps).score == edit
    assert not runs
    write_palette(palette, {"sky": [200, 40, 40], "grass": [40, 180, 60]})
    assert comparison().result(model, of_maps).score != edit
    assert len(runs) == 1


def test_label_maps_that_cannot_be_scored_are_refused(segformer: Path, maps: Path, tmp_path: Path) -> None:
    palette, options = write_palette(tmp_path / "palette.json"), NetworkOptions(device="cpu")
    for segmenter, labels in ((None, {maps: palette}), (str(segformer), None)):
        with pytest.raises(InputError, match="--labels and --segmenter go together"):
            Comparison(tmp_path, "l1", options, segmenter, labels)
    other = write_palette(tmp_path / "other.json", {"road": [1, 2, 3], "car": [9, 9, 9]})
    with pytest.raises(InputError, match="no class in common"):
        Comparison(tmp_path, "l1", options, str(segformer), {maps: other})
    far = write_palette(tmp_path / "far.json", {"sky": [0, 255, 255], "grass": [255, 0, 255]})
    compare = Comparison(tmp_path, "l1", options, str(segformer), {maps: far})
    with pytest.raises(InputError, match="no label maps of this palette"):
        compare.check(load_sets([maps])[0])


def test_concepts_that_cannot_be_told_apart_are_refused(project: Project, tmp_path: Path) -> None:
    again = shutil.copytree(project.sepia, tmp_path / "again")
    with pytest.raises(InputError, match="two of the pair sets have the prompt 'as a sepia photo'"):
        load_sets([project.sepia, again])
    assert [pairs.folder for pairs in load_sets([project.sepia, project.dusk])] == [project.sepia, project.dusk]


def test_how_it_is_scored_is_not_what_is_trained(project: Project, sets: Sets, tmp_path: Path) -> None:
    config, loaded = settings(sets, "5", tmp_path), load_sets([project.sepia])
    trained = settings_with_sets(config, loaded)
    assert settings_with_sets(replace(config, metric="fd-random", device="cpu"), loaded) == trained
    assert settings_with_sets(replace(config, epochs=2), loaded) != trained
    assert settings_with_sets(config, load_sets([project.dusk])) != trained


def test_columns_are_aligned() -> None:
    assert aligned([["name", "L1"], ["a", "12.5"]]) == ["name    L1", "a     12.5"]


@pytest.mark.parametrize("flip", [True, False])
def test_a_side_counts_where_pairs_are_mirrored(flip: bool, project: Project, tmp_path: Path) -> None:
    config = RanksConfig(pairs=(project.sepia,), out=tmp_path / "r.json", training=TrainingConfig(flip=flip))
    plain = PairSet.load(project.sepia)
    settings = [settings_with_sets(config, [plain, one]) for one in (plain, replace(plain, sided=True))]
    assert differences(settings[0], settings[1]) == (["sided"] if flip else [])
