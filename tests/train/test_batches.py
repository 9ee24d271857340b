from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.files import write_json
from e2gan.data.pair_set import PairSet
from e2gan.networks.text import text_encoder
from e2gan.train import batches as module
from e2gan.train.batches import TrainingData
from e2gan.train.loop import batches, train
from tests.pairs.tiny_pairs import photo_set, run
from tests.train.tiny_training import QUICK, data, trainer

ENCODER = text_encoder("hashed", 16)


@pytest.fixture
def sets(tmp_path: Path) -> list[PairSet]:
    """Two concepts of the same photos, 8 of which are for training, at 32 pixels."""
    photos = photo_set(tmp_path, 10)
    for concept in ("sepia", "mono"):
        run(tmp_path / concept, concept, photos=photos)
    return [PairSet.load(tmp_path / concept) for concept in ("sepia", "mono")]


def test_each_pair_is_an_edit_with_its_own_photo_and_concept(sets: list[PairSet]) -> None:
    loaded = TrainingData.load(sets, ENCODER)
    assert (loaded.photos.shape, loaded.edits.shape) == ((8, 3, 32, 32), (16, 3, 32, 32))
    assert loaded.photos.is_contiguous()
    assert loaded.edits.is_contiguous()
    for concept, pair_set in enumerate(sets):
        photos, edits, _ = pair_set.arrays("train")
        rows = loaded.concept_of == concept
        assert np.array_equal(loaded.photos[loaded.photo_of[rows]].permute(0, 2, 3, 1), photos)
        assert np.array_equal(loaded.edits[rows].permute(0, 2, 3, 1), edits)


def test_what_a_selection_leaves_out_is_not_read(sets: list[PairSet], tmp_path: Path) -> None:
    _, edits, ids = sets[0].files("train")
    write_json(tmp_path / "s.json", {"ids": ids[:3]})
    edits[3].write_bytes(b"")
    assert len(TrainingData.load(sets[:1], ENCODER, tmp_path / "s.json")) == 3
    with pytest.raises(InputError, match="is empty"):
        TrainingData.load(sets[:1], ENCODER)


def test_pairs_that_do_not_fit_in_memory_are_refused_before_any_is_read(
    sets: list[PairSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = (8 + 16) * 3 * 32**2
    monkeypatch.setattr(module, "available_memory", lambda: needed)
    assert len(TrainingData.load(sets, ENCODER)) == 16
    for pair_set in sets:
        shutil.rmtree(pair_set.folder / "images")
    monkeypatch.setattr(module, "available_memory", lambda: needed - 1)
    with pytest.raises(InputError) as caught:
        TrainingData.load(sets, ENCODER)
    line = (
        "16 training pairs of 8 photos at 32 pixels: needs 7.37e-05 GB of memory, 7.37e-05 GB are available: train on"
    )
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_pairs_beyond_the_share_of_memory_lie_on_disk_and_give_the_same_batches(
    sets: list[PairSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = (8 + 16) * 3 * 32**2
    monkeypatch.setattr(module, "available_memory", lambda: 2 * needed)
    held = TrainingData.load(sets, ENCODER, share=0.5, place=tmp_path)
    assert not held.streams
    before = sorted(tmp_path.iterdir())
    capsys.readouterr()
    mapped = TrainingData.load(sets, ENCODER, share=0.499, place=tmp_path)
    assert mapped.streams
    assert "16 training pairs of 8 photos at 32 pixels: 7.37e-05 GB, 0.000147 GB" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before  # its file has no name
    config = replace(QUICK, flip=True, crop=16, batch=4)
    for one, other, _ in zip(batches(held, config, 3), batches(mapped, config, 3), range(9), strict=False):
        for name in ("photo", "target", "tokens", "mask", "place"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_without_a_place_on_a_disk_what_does_not_fit_is_refused(
    sets: list[PairSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 100)
    with pytest.raises(InputError, match="are available"):
        TrainingData.load(sets, ENCODER, share=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pairs_that_do_not_fit_on_the_gpu_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    assert data().to(device).edits.device.type == "cuda"
    free = module.available_gpu_memory(str(device))
    assert free > 10**8
    monkeypatch.setattr(module, "available_gpu_memory", lambda _: 1000)
    kept = data().to(device)
    assert (kept.edits.device.type, kept.streams) == ("cpu", True)
    rows = torch.arange(4)
    theirs, ours = (x.batch(rows, QUICK, torch.Generator().manual_seed(0)) for x in (data().to(device), kept))
    assert torch.equal(theirs.photo, ours.photo)
    assert ours.target.device == ours.tokens.device == device


def test_flip_and_crop_move_photo_and_edit_alike() -> None:
    pairs = data()
    pairs = replace(pairs, edits=pairs.photos.repeat(2, 1, 1, 1))
    config = replace(QUICK, flip=True, crop=None)
    for _, batch in zip(range(4), batches(pairs, config, 0), strict=False):
        assert torch.equal(batch.photo, batch.target)
    big = replace(pairs, photos=pairs.photos.repeat(1, 1, 2, 2), edits=pairs.edits.repeat(1, 1, 2, 2))
    for _, batch in zip(range(4), batches(big, replace(config, crop=40), 0), strict=False):
        assert batch.photo.shape[-2:] == (40, 40)
        assert torch.equal(batch.photo, batch.target)


def test_mirrored_and_cropped_pairs_are_told_the_place_that_they_have_in_the_photo() -> None:
    """Each pixel's red is its column, its green its row: the place says which part of the photo is seen."""
    loaded = data(6)
    size = loaded.size
    ramp = torch.arange(size, dtype=torch.uint8)
    image = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size), torch.zeros(size, size).byte()])
    loaded = replace(loaded, photos=image.expand_as(loaded.photos), edits=image.expand_as(loaded.edits))
    config = replace(QUICK, flip=True, crop=16)
    sides = set()
    for batch in itertools.islice(batches(loaded, config, 0), 12):
        assert batch.place is not None
        for photo, place in zip((batch.photo + 1) * 127.5, batch.place * size, strict=True):
            left, top, right, bottom = place.round().int().tolist()
            mirrored = left > right
            columns = range(left - 1, right - 1, -1) if mirrored else range(left, right)
            assert photo[0, 0].round().int().tolist() == list(columns)
            assert photo[1, :, 0].round().int().tolist() == list(range(top, bottom))
            sides.add(mirrored)
    assert sides == {True, False}


def test_pairs_of_an_edit_that_has_a_side_are_never_mirrored(sets: list[PairSet]) -> None:
    """Of two concepts the second has one."""
    assert TrainingData.load(sets, ENCODER).sided is None
    with_side = TrainingData.load([sets[0], replace(sets[1], sided=True)], ENCODER)
    assert with_side.sided is not None
    assert torch.equal(with_side.sided, with_side.concept_of == 1)
    config, rng = replace(QUICK, flip=True, crop=None), torch.Generator().manual_seed(0)
    half = len(with_side) // 2
    for rows, mirrors in ((torch.arange(half), True), (torch.arange(half, 2 * half), False)):
        places = torch.cat([with_side.batch(rows, config, rng).place for _ in range(8)])  # pyright: ignore
        assert bool((places[:, 0] > places[:, 2]).any()) is mirrors
    rows = torch.tensor([half, 0, half + 1, 1, 2, half + 2, 3, half + 3])  # of both
    for seed in range(8):
        whole, part = (
            with_side.batch(rows, config, torch.Generator().manual_seed(seed), of) for of in (slice(None), slice(3, 8))
        )
        assert torch.equal(part.photo, whole.photo[3:8])


def test_that_an_edit_is_not_mirrored_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    loaded = replace(data(), sided=torch.ones(12, dtype=torch.bool))
    for flip in (True, False):
        (tmp_path / str(flip)).mkdir()
        train(trainer(replace(QUICK, flip=flip, steps=10)), loaded, tmp_path / str(flip))
        assert capsys.readouterr().err.count("an edit that has a side are not mirrored") == flip


@pytest.mark.parametrize("paired", [True, False])
def test_parts_of_a_batch_are_the_batch(paired: bool) -> None:
    pairs, config = replace(data(), paired=paired), replace(QUICK, batch=4, crop=24)
    whole = next(batches(pairs, config, 3))
    halves = [next(batches(pairs, config, 3, part)) for part in (slice(0, 2), slice(2, 4))]
    for name in ("photo", "target", "tokens", "mask", "place"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(whole, name))
