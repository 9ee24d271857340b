from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from e2gan.config import SweepConfig, TrainingConfig, VerifyConfig
from e2gan.research.verify import verify
from e2gan.sweeps.plan import Plan, make_plan
from e2gan.sweeps.store import Store
from e2gan.sweeps.tasks import pairs_config
from e2gan.sweeps.things import ADAPTERS, BASES, BLOCKS, EVALUATIONS, EXPORTS, PAIRS, SELECTIONS
from tests.conftest import Project, refused
from tests.sweeps.tiny_sweeps import bring, config_of


def refs(plan: Plan) -> dict[str, str]:
    """Kind → identity, of the first concept."""
    return {thing.kind: thing.ref.identity for thing in plan.concepts[0].things}


def changed(config: SweepConfig, **settings: object) -> set[str]:
    """The kinds of things that are others with these settings."""
    before, after = refs(make_plan(config)), refs(make_plan(replace(config, **settings)))  # type: ignore[arg-type]
    return {kind for kind in before | after if before.get(kind) != after.get(kind)}


def test_each_setting_decides_what_it_decides(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path, keep=8, export=("onnx",))
    plan = make_plan(config)
    assert [concept.name for concept in plan.concepts] == ["sepia", "fog"]
    kinds = [thing.kind for thing in plan.concepts[0].things]
    assert kinds == [PAIRS, SELECTIONS, ADAPTERS, EVALUATIONS, EXPORTS]
    assert len(plan.refs) == 2 * len(kinds)
    trained, all_of_them = {ADAPTERS, EVALUATIONS, EXPORTS}, set(kinds)
    assert changed(config, threads=2, tasks=1, in_flight=3, scratch_gb=1.0, task_retries=0, address=None) == set()
    assert changed(config, keep=9) == all_of_them - {PAIRS}
    assert changed(config, keep=None) == all_of_them - {PAIRS}
    assert changed(config, init="gradient") == trained
    assert changed(config, training=replace(config.training, steps=7)) == trained
    assert changed(config, training=replace(config.training, save_every=9.0)) == set()
    assert changed(config, training=replace(config.training, seed=1)) == all_of_them
    assert changed(config, edits=2) == all_of_them
    assert changed(config, base=Path("small")) == trained
    assert changed(config, export=()) == {EXPORTS}
    assert changed(config, block=10) == {BLOCKS}  # the pair set is the same one


def test_a_side_decides_what_is_trained_with_a_mirror_and_no_edit(project: Project, tmp_path: Path) -> None:
    lists = []
    for name, line in (("plain", ""), ("sided", "sided = true\n")):
        lists.append(tmp_path / f"{name}.toml")
        lists[-1].write_text('[[concept]]\nname = "a"\nprompt = "lit"\nteacher = "filters:autumn"\n' + line)
    for flip in (True, False):
        config = config_of(project, tmp_path, block=11)
        config = replace(config, training=replace(config.training, flip=flip))
        plans = [make_plan(replace(config, concepts=str(path))) for path in lists]
        before, after = map(refs, plans)
        other = {kind for kind in before if before[kind] != after[kind]}
        assert other == ({PAIRS, ADAPTERS, EVALUATIONS} if flip else set())
        for plan, sided in zip(plans, (False, True), strict=True):
            (whole,) = plan.concepts[0].of(PAIRS)
            made = pairs_config(whole.settings, whole.hints, project.photos, tmp_path / "out")
            assert made.sided is sided


def test_precision_is_the_same_on_all_machines(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path)
    auto = replace(config, training=replace(config.training, precision="auto"))
    assert refs(make_plan(auto)) == refs(make_plan(config))
    assert changed(config, training=replace(config.training, precision="bf16")) == {ADAPTERS, EVALUATIONS}


def test_bytes_count_and_names_and_times_do_not(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path)
    shutil.copytree(project.photos, tmp_path / "elsewhere")
    shutil.copytree(project.base, tmp_path / "other base")
    moved = {"photos": tmp_path / "elsewhere", "base": tmp_path / "other base"}
    assert changed(config, **moved) == set()
    photo = next((tmp_path / "elsewhere/images").glob("*.png"))
    shutil.copy(next(p for p in (tmp_path / "elsewhere/images").glob("*.png") if p != photo), photo)
    assert changed(config, **moved) == {PAIRS, ADAPTERS, EVALUATIONS}


def test_blocks_hold_each_photo_once(project: Project, tmp_path: Path) -> None:
    plan = make_plan(config_of(project, tmp_path, block=11))
    blocks = plan.concepts[0].of(BLOCKS)
    count = len(list((project.photos / "images").iterdir()))
    spans = [range(thing.settings["first"], min(count, thing.settings["first"] + 11)) for thing in blocks]
    assert [i for span in spans for i in span] == list(range(count))
    (pair_set,) = plan.concepts[0].of(PAIRS)
    assert pair_set.after == tuple(block.ref for block in blocks)


def test_what_is_for_gpus_is_told_from_what_is_not(project: Project, tmp_path: Path) -> None:
    training = TrainingConfig(steps=6, device="cuda")
    config = config_of(project, tmp_path, keep=8, export=("onnx",), gpus=0.5, training=training)
    things = make_plan(config).concepts[0].things
    assert {thing.kind for thing in things if thing.gpu} == {ADAPTERS, EVALUATIONS}
    assert {thing.hints.get("device", "cpu") for thing in things if not thing.gpu} == {"cpu"}
    (evaluation,) = (thing for thing in things if thing.kind == EVALUATIONS)
    assert evaluation.hints["device"] == "cuda"


def test_a_base_that_ships_is_not_brought(project: Project, tmp_path: Path) -> None:
    assert BASES in {brought.ref.kind for brought in make_plan(config_of(project, tmp_path)).brought}
    plan = make_plan(config_of(project, tmp_path))
    store = Store(str(tmp_path / "out"))
    bring(plan, store)
    for brought in plan.brought:  # all that its own record tells of
        found = verify(VerifyConfig(folder=tmp_path / "out" / brought.ref.place))
        assert found.whole, str(found)
        assert not found.changed, str(found)
        assert not found.missing, str(found)
    plan = make_plan(config_of(project, tmp_path, base=Path("small")))
    assert BASES not in {brought.ref.kind for brought in plan.brought}


def test_what_cannot_be_is_refused(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path)
    program = f"[[concept]]\nprompt = 'x'\nteacher = 'command:{sys.executable} {{input}} {{output}}'\n"
    (tmp_path / "program.toml").write_text(program)
    listed = replace(config, concepts=str(tmp_path / "program.toml"))
    assert "--run-commands" in refused(lambda: make_plan(listed))
    assert make_plan(replace(listed, run_commands=True)).concepts[0].prompt == "x"
    own = replace(config, keep=8, embedding="mine.npy")
    assert "kinds of embeddings" in refused(lambda: make_plan(own))
