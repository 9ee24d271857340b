"""Training without pairs by contrast of patches: what it logs, resumes, and where it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import (
    GeneratorConfig,
    Model,
    PairsConfig,
    Predictor,
    ScratchConfig,
    TrainingConfig,
    make_pairs,
    train_scratch,
)
from e2gan.core.errors import InputError
from e2gan.core.images import write_png
from e2gan.data.pair_set import PairSet
from tests.conftest import TINY, Project

QUICK = TrainingConfig(steps=3, batch=4, precision="fp32")


@pytest.fixture
def unpaired(tmp_path: Path) -> Path:
    """Horses and zebras of 32 pixels: brown discs and striped ones, of different number, on the same kind of ground."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:32, :32]
    for kind, count in (("horses", 24), ("zebras", 30)):
        (tmp_path / kind).mkdir()
        for i in range(count):
            image = rng.integers(60, 120, (32, 32, 3)).astype(np.uint8)
            y, x = rng.integers(10, 22, 2)
            disc = (yy - y) ** 2 + (xx - x) ** 2 < 64
            stripes = ((xx // 3) % 2 * 255)[..., None].repeat(3, 2)
            image[disc] = stripes[disc] if kind == "zebras" else (120, 70, 30)
            write_png(tmp_path / kind / f"{kind}{i}.png", image)
    out = tmp_path / "pairs"
    found = make_pairs(
        PairsConfig(
            out=out, concept="a zebra", before=tmp_path / "horses", after=tmp_path / "zebras", unpaired=True, size=32
        )
    )
    assert found.train + found.val + found.test == 30
    assert "photos: 20 train, 2 val, 2 test" in found.notes
    return out


@pytest.mark.slow
def test_unpaired_training_logs_its_losses_and_lowers_the_contrast(unpaired: Path, tmp_path: Path) -> None:
    assert not PairSet.load(unpaired).paired
    generator = GeneratorConfig(**TINY)
    # With little weight on D the contrast must fall: its heads and the generator learn to tell patches apart.
    training = TrainingConfig(steps=40, batch=4, lr=1e-3, gan=0.01, precision="fp32")
    config = ScratchConfig(
        pairs=unpaired, out=tmp_path / "m", model="e2gan", unpaired=True, generator=generator, training=training
    )
    result = train_scratch(config).result
    assert result.l1 is None
    from e2gan.core.files import read_jsonl

    losses = read_jsonl(tmp_path / "m/metrics.jsonl")
    assert {"nce", "identity", "d", "g"} <= losses[0].keys()
    assert losses[-1]["nce"] < losses[0]["nce"]
    assert Predictor(Model.load(model=tmp_path / "m")).batch(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 32, 32, 3)


@pytest.mark.slow
def test_unpaired_training_resumes_bit_for_bit(unpaired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from e2gan.train import loop as t

    training = TrainingConfig(steps=20, batch=4, lr=1e-3, precision="fp32", save_every=0)
    config = ScratchConfig(
        pairs=unpaired,
        out=tmp_path / "whole",
        model="e2gan",
        unpaired=True,
        generator=GeneratorConfig(**TINY),
        training=training,
    )
    train_scratch(config)
    real = t.save

    def killed(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(t, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train_scratch(replace(config, out=tmp_path / "killed"))
    train_scratch(replace(config, out=tmp_path / "killed"))
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_an_unpaired_set_is_not_trained_as_pairs_nor_the_other_models_without(unpaired: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--unpaired"):
        train_scratch(ScratchConfig(pairs=unpaired, out=tmp_path / "m", training=QUICK))
    with pytest.raises(InputError, match="not comodgan"):
        train_scratch(ScratchConfig(pairs=unpaired, out=tmp_path / "m", model="comodgan", unpaired=True))


def test_without_pairs_the_targets_of_a_batch_are_drawn_apart() -> None:
    from e2gan.train.batches import TrainingData

    photos = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    data = TrainingData(
        photos=photos,
        edits=photos + 100,
        photo_of=torch.arange(8),
        concept_of=torch.zeros(8, dtype=torch.long),
        tokens=torch.zeros(1, 1, 4),
        mask=torch.ones(1, 1, dtype=torch.bool),
    )
    rows = torch.arange(8)
    config = TrainingConfig(flip=False)
    paired = data.batch(rows, config, torch.Generator().manual_seed(0))
    assert torch.allclose(paired.target - paired.photo, torch.tensor(100 / 127.5))
    apart = replace(data, paired=False).batch(rows, config, torch.Generator().manual_seed(0))
    assert torch.equal(apart.photo, paired.photo)
    assert not torch.equal(apart.target, paired.target)


def test_all_pictures_of_both_kinds_are_trained_on(unpaired: Path) -> None:
    from e2gan.networks.text import text_encoder
    from e2gan.train.batches import TrainingData

    data = TrainingData.load([PairSet.load(unpaired)], text_encoder("hashed", 16), unpaired=True)
    assert (len(data), len(data.photos), len(data.edits)) == (20, 20, 24)
    rng, seen = torch.Generator().manual_seed(0), set()
    for _ in range(20):
        target = data.batch(torch.arange(20), TrainingConfig(flip=False), rng).target
        seen |= {row.numpy().tobytes() for row in target}
    assert len(seen) == 24


def test_a_set_without_pairs_trains_no_base_and_no_adapter(unpaired: Path, project: Project, tmp_path: Path) -> None:
    from e2gan import AdaptConfig, BaseConfig, adapt, train_base

    with pytest.raises(InputError, match="holds no pairs"):
        train_base(BaseConfig(pairs=(unpaired,), out=tmp_path / "b"))
    with pytest.raises(InputError, match="holds no pairs"):
        adapt(AdaptConfig(pairs=unpaired, base=project.base, out=tmp_path / "a"))
    assert not list(tmp_path.glob("[ab]*.partial"))
