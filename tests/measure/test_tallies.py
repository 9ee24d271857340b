"""What is measured batch by batch is what is measured of all images together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan.config import EvaluateConfig
from e2gan.core.images import Pixels
from e2gan.measure import evaluate as stage
from e2gan.measure.evaluate import Evaluation, metrics
from e2gan.measure.metrics import METRICS, NetworkOptions
from e2gan.measure.tallies import FeatureTally, SplitTally
from tests.conftest import Project


def noise(count: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def loaded() -> dict[str, Any]:
    return {METRICS[name].key: METRICS[name].load(NetworkOptions()) for name in ("fd-random", "swd")}


def test_a_split_by_batches_is_the_split_at_once() -> None:
    photos, targets, edits = noise(9, 0), noise(9, 1), noise(9, 2)
    edits[4] = 7
    seen = SplitTally(loaded(), None, ["model"], 9, 9, rows=3)
    for start in 0, 2, 6:
        rows = slice(start, {0: 2, 2: 6, 6: 9}[start])
        seen.add(start, photos[rows], targets[rows], {"model": edits[rows]})
    assert seen.blank == [4]
    assert np.array_equal(np.stack(seen.shown["teacher"]), targets[[0, 4, 8]])
    whole = FeatureTally(loaded(), 9)
    whole.add(edits)
    for key in "fd_random", "swd":
        assert np.allclose(seen.features["model"].of(key), whole.of(key), atol=1e-4)
    of_model = seen.values_of("model")
    assert of_model["l1"].shape == (9,)
    assert of_model["l1"].mean() == pytest.approx(metrics(edits, targets).l1)


def test_without_pairs_there_may_be_more_of_one_kind() -> None:
    photos, targets = noise(3, 0), noise(8, 1)
    seen = SplitTally(loaded(), None, ["model"], 3, 8, rows=4)
    for start in 0, 4:
        before = photos[start : start + 4]
        seen.add(start, before, targets[start : start + 4], {"model": 255 - before})
    assert seen.pairs == 3
    assert [len(seen.features[kind].of("swd")) for kind in ("photo", "teacher", "model")] == [3, 8, 3]
    assert len(seen.values_of("photo")["ssim"]) == len(seen.shown["model"]) == 3


def test_evaluate_holds_a_batch_and_finds_the_same(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> Evaluation:
        config = EvaluateConfig(base=project.base, adapter=project.adapter, pairs=project.sepia, split="train")
        return stage.evaluate(replace(config, out=tmp_path / name))

    together = found("together")
    assert together.images > 4
    held: list[int] = []
    real = stage.read_stack
    monkeypatch.setattr(stage, "TOGETHER", 2)
    monkeypatch.setattr(stage, "read_stack", lambda files, size: held.append(len(files)) or real(files, size))
    apart = found("apart")
    assert max(held) == 2
    assert sum(held) == 2 * together.images
    for one, two in (together.model, apart.model), (together.photo, apart.photo):
        assert two.l1 == pytest.approx(one.l1)
        assert two.ssim == pytest.approx(one.ssim)
        assert one.swd is not None
        assert two.swd is not None
        assert two.swd.value == pytest.approx(one.swd.value, rel=1e-4)
        assert one.fd_random is not None
        assert two.fd_random is not None
        assert two.fd_random.frechet == pytest.approx(one.fd_random.frechet, rel=1e-3)
    assert (tmp_path / "apart/sheet.png").read_bytes() == (tmp_path / "together/sheet.png").read_bytes()
