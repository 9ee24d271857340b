from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2gan.config import EvaluateConfig, TrainingConfig
from e2gan.data.pair_set import PairSet
from e2gan.measure.evaluate import evaluate
from e2gan.sweeps.plan import make_plan
from e2gan.sweeps.store import Store
from e2gan.sweeps.tasks import PREVIEW, clean_task, run_task
from tests.conftest import Project
from tests.sweeps.tiny_sweeps import attempts, bring, config_of, order, without_ray


def answer(text: str) -> dict[str, Any]:
    return json.loads(run_task(text))


def test_what_tasks_make_is_whole_and_usable_where_it_lies(project: Project, tmp_path: Path) -> None:
    """The folders of a local store are those of the stages, and find each other."""
    config = config_of(project, tmp_path, ("sepia",), keep=8)
    plan = without_ray(config)
    out = {thing.kind: tmp_path / "out" / thing.ref.place for thing in plan.concepts[0].things}
    pairs = PairSet.load(out["pairs"])
    assert pairs.photo_folder.is_relative_to(tmp_path / "out")
    ids = [row["photo"] for row in pairs.rows]
    assert [row["photo"] for row in PairSet.load(project.sepia).rows] == ids
    again = evaluate(
        EvaluateConfig(
            pairs=out["pairs"], adapter=out["adapters"], base=project.base, out=tmp_path / "again", device="cpu", rows=4
        )
    )
    manifest = Store(config.out).manifest(plan.concepts[0].things[-1].ref)
    assert manifest is not None
    assert manifest["facts"]["model"]["l1"] == again.model.l1
    assert (out["evaluations"] / PREVIEW).read_bytes().startswith(b"\xff\xd8")
    assert set(attempts(tmp_path / "out").values()) == {1}
    for thing in plan.concepts[0].things:  # asked again, it is found
        assert answer(order(config, thing)) == {"state": "found"}
    assert set(attempts(tmp_path / "out").values()) == {1}


def test_a_damaged_input_is_told_and_taken_out(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path, ("sepia",))
    plan = make_plan(config)
    store = Store(config.out)
    bring(plan, store)
    pairs, adapter, _ = plan.concepts[0].things
    assert answer(order(config, pairs))["state"] == "made"
    edit = next((tmp_path / "out" / pairs.ref.place / "images").iterdir())
    edit.write_bytes(bytes(len(edit.read_bytes())))
    told = answer(order(config, adapter, tmp_path / "another disk"))
    assert told["damaged"] == str(pairs.ref)
    assert not store.has(pairs.ref)
    assert answer(order(config, pairs))["state"] == "made"
    assert answer(order(config, adapter, tmp_path / "another disk"))["state"] == "made"


def test_a_stage_that_refuses_is_one_line_and_a_fault_has_its_trace(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(project, tmp_path, ("sepia",), training=TrainingConfig(steps=6, batch=500))
    plan = make_plan(config)
    bring(plan, Store(config.out))
    pairs, adapter, _ = plan.concepts[0].things
    assert answer(order(config, pairs))["state"] == "made"
    told = answer(order(config, adapter))
    assert "\n" not in told["error"]
    assert "trace" not in told
    assert "batch" in told["error"]
    monkeypatch.setattr("e2gan.sweeps.tasks.MAKERS", {})
    told = answer(order(config, adapter))
    assert told["error"].startswith("KeyError: ")
    assert "Traceback" in told["trace"]
    small = json.loads(order(config, adapter)) | {"limit": 1.0}
    (tmp_path / "scratch/mine").write_bytes(b"xx")
    assert "--scratch-gb" in answer(json.dumps(small))["error"]


def test_a_task_that_died_is_gone_on_from(project: Project, tmp_path: Path) -> None:
    """What a stage left on this machine's disk: half a training."""
    config = config_of(project, tmp_path, ("sepia",), training=TrainingConfig(steps=400, batch=4, save_every=0))
    plan = make_plan(config)
    bring(plan, Store(config.out))
    pairs, adapter, _ = plan.concepts[0].things
    assert answer(order(config, pairs))["state"] == "made"
    import multiprocessing
    import time

    process = multiprocessing.get_context("spawn").Process(target=run_task, args=(order(config, adapter),))
    process.start()
    partial = tmp_path / "scratch" / f"{adapter.ref.place}.partial"
    end = time.monotonic() + 120
    while not (partial / "checkpoint.safetensors").exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert (partial / "checkpoint.safetensors").exists()
    log = (partial / "metrics.jsonl").read_text()
    assert answer(order(config, adapter))["state"] == "made"
    assert (
        (tmp_path / "out" / adapter.ref.place / "metrics.jsonl").read_text().startswith(log[: log.rfind("\n") + 1][:40])
    )
    assert attempts(tmp_path / "out")[adapter.ref.place] == 2


def test_what_is_kept_is_cleared_at_the_end(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path, ("sepia",))
    plan = without_ray(config)
    assert list((tmp_path / "scratch").glob("*/*/*.json*"))
    refs = [str(ref) for ref in (*plan.refs, *(brought.ref for brought in plan.brought))]
    text = json.dumps({"scratch": str(config.scratch), "limit": 1e9, "refs": refs})
    assert json.loads(clean_task(text)) == {"left": 0}
    assert not list((tmp_path / "scratch").glob("*/*/*"))
