from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from e2gan import Ranks, RanksConfig, TrainingConfig, find_ranks
from e2gan.cli import main
from e2gan.config import THRESHOLDS
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.outputs import partial_of
from e2gan.core.tensors import read_tensors
from e2gan.data.pair_set import PairSet
from e2gan.measure.metrics import MetricScorer, NetworkOptions, Score
from e2gan.networks.generator import Generator
from e2gan.networks.lora import adapter_tensors, attach, rank_of_layers
from e2gan.research.ranks import Measure, Step, largest, search, shown
from tests.conftest import Project


def made_up(values: list[float]) -> Callable[[Ranks], Step]:
    """A metric that takes these values in turn; fails where the search asks for more."""
    left = iter(values)
    return lambda ranks: Step(ranks, Score(next(left), 0, 0, None, 2), 0, 0, 0.0)


def ranks_of(history: list[Step]) -> list[str]:
    return [shown(step.ranks) for step in history]


def test_a_metric_that_saturates_gives_the_best_ranks_not_the_ones_after_them() -> None:
    history, best = search(made_up([90, 70, 60, 60]), 1, THRESHOLDS)
    assert ranks_of(history) == ["1,1,1,1 +1", "1,2,2,2 +1", "1,4,4,4 +1", "1,4,8,8 +1"]
    assert best == 2


def test_a_metric_that_never_saturates_stops_at_the_thresholds() -> None:
    history, best = search(made_up([90, 80, 70, 60, 50, 40]), 1, THRESHOLDS)
    assert ranks_of(history)[3:] == ["1,4,8,8 +1", "1,4,16,16 +1", "1,4,16,32 +1"]
    assert best == 5


def test_a_metric_that_gets_worse_at_once_leaves_rank_1() -> None:
    history, best = search(made_up([50, 51]), 1, THRESHOLDS)
    assert ranks_of(history) == ["1,1,1,1 +1", "1,2,2,2 +1"]
    assert best == 0


def test_a_gain_too_small_counts_as_saturated_and_the_better_ranks_are_kept() -> None:
    history, best = search(made_up([100, 99, 50]), 1, THRESHOLDS, gain=0.05)
    assert len(history) == 2
    assert best == 1
    assert len(search(made_up([100, 99, 50, 60]), 1, THRESHOLDS)[0]) == 4


def test_the_starting_rank_and_the_thresholds_are_settings() -> None:
    history, _ = search(made_up([3, 2, 1, 0]), 4, Ranks(level1=1, level2=0, level3=8, level4=12, tb=2))
    assert ranks_of(history) == ["1,0,4,4 +2", "1,0,8,8 +2", "1,0,8,12 +2"]


def test_the_ranks_of_several_concepts_are_the_largest_of_each_level() -> None:
    assert largest([Ranks(level3=4), Ranks(level2=2, level4=32)]) == Ranks(level4=32)


@pytest.mark.parametrize(
    ("ranks", "count"),
    [(Ranks(), 91_926), (Ranks(level3=16, level4=16), 163_606), (Ranks(level3=4, level4=4), 56_086)],
)
def test_the_papers_three_sets_have_its_parameter_counts(ranks: Ranks, count: int) -> None:
    from e2gan.config import PAPER

    generator = Generator(PAPER)
    attach(generator, rank_of_layers(generator, ranks))
    assert sum(t.numel() for t in adapter_tensors(generator).values()) == count


def settings(project: Project, out: Path, **changes: object) -> RanksConfig:
    training = TrainingConfig(steps=4, batch=4, lr=1e-3, schedule="constant", precision="fp32", save_every=0)
    config = RanksConfig(
        pairs=(project.sepia, project.dusk),
        out=out,
        base=project.base,
        thresholds=Ranks(level1=1, level2=2, level3=4, level4=4),
        metric="l1",
        training=training,
    )
    return replace(config, **changes)


@pytest.mark.slow
def test_find_ranks_writes_what_adapt_takes_with_its_history_and_plot(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "ranks.json"
    found = find_ranks(settings(project, out))
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert not partial_of(out).exists()
    for concept in found.concepts:
        values = [step.score.value for step in concept.history]
        assert concept.best == values.index(min(values))
        assert all(step.score.images == 3 and step.steps == 4 for step in concept.history)
    assert found.ranks == largest([c.history[c.best].ranks for c in found.concepts])
    assert Ranks.load(out) == found.ranks
    assert find_ranks(settings(project, out)).already_done
    assert str(found.ranks.level3) in shown(found.ranks)
    command = f"adapt --pairs {project.sepia} --base {project.base} --out {tmp_path / 'a'} --ranks {out} --dry-run"
    assert main(command.split()) == 0
    shown_ranks = json.loads(capsys.readouterr().out)["ranks"]
    assert shown_ranks == vars(found.ranks)
    assert main([*command.split(), "--level3", "7"]) == 0
    assert json.loads(capsys.readouterr().out)["ranks"] == vars(found.ranks) | {"level3": 7}
    with pytest.raises(InputError, match="choose another"):
        find_ranks(settings(project, out, start=2))


@pytest.mark.slow
def test_killed_at_any_point_it_goes_on_to_the_same_result(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from e2gan.research import ranks
    from e2gan.train import loop as training

    # Twelve steps log, and so save, once: the second save is in the second step of the search.
    longer = settings(project, tmp_path / "whole.json", sample=1)
    longer = replace(longer, training=replace(longer.training, steps=12))
    whole = find_ranks(longer)
    config = replace(longer, out=tmp_path / "killed.json")
    places = {"save": training, "write_json": ranks, "plot": ranks}
    for name, module in places.items():
        real, calls = getattr(module, name), [0]

        def killed(*args: object, real=real, calls=calls) -> object:
            calls[0] += 1
            if calls[0] == 2 or real.__name__ == "plot":
                raise KeyboardInterrupt
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KeyboardInterrupt):
                find_ranks(config)
        assert not config.out.exists()
    again = find_ranks(config)
    assert again.ranks == whole.ranks
    for ours, theirs in zip(again.concepts, whole.concepts, strict=True):
        assert [s.score for s in ours.history] == [s.score for s in theirs.history]


def test_a_doubled_rank_keeps_what_was_learned(project: Project, tmp_path: Path) -> None:
    config = settings(project, tmp_path / "ranks.json")
    measure = Measure(
        config, project.base, PairSet.load(project.sepia), tmp_path / "work", MetricScorer("l1", NetworkOptions())
    )
    first = Ranks(level1=1, level2=1, level3=1, level4=1)
    measure(first)
    state, _ = read_tensors(tmp_path / "work/step0/state.safetensors")
    learned = [t for name, t in state.items() if name.endswith("lora_B.weight")]
    assert any(t.abs().max() > 0 for t in learned)
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = measure._networks(first, 1)[0].eval()(photo, measure.data.tokens)
        after = measure._networks(Ranks(level1=1, level2=2, level3=2, level4=2), 1)[0].eval()(
            photo, measure.data.tokens
        )
    torch.testing.assert_close(after, before)


@pytest.mark.slow
def test_ranks_json_tells_where_it_came_from(project: Project, tmp_path: Path) -> None:
    find_ranks(settings(project, tmp_path / "r.json", sample=1, metric="fd-random"))
    found = read_json(tmp_path / "r.json")
    assert len(found["concepts"]) == 1
    assert found["settings"]["metric"] == "fd-random"
    assert {"level1", "tb"} <= found["concepts"][0]["history"][0]["ranks"].keys()
