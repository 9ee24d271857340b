from __future__ import annotations

from dataclasses import replace

import torch

from e2gan.train.loop import batches
from tests.train.tiny_training import QUICK, data


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
