"""Training pairs: every pixel once, as uint8, on the device, in memory or on disk, as there is room; a batch is an
index, a flip and a crop there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from e2gan.config import Detail, TrainingConfig
from e2gan.core.errors import InputError
from e2gan.core.memory import available_gpu_memory, available_memory, need_memory
from e2gan.core.progress import note
from e2gan.data.photos import read_into
from e2gan.editing.detail import detail_of
from e2gan.networks.generator import WHOLE
from e2gan.networks.pixels import from_pixels
from e2gan.networks.text import TextEncoder, pad
from e2gan.train.storage import in_memory, on_disk, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from e2gan.data.pair_set import PairSet

DETAIL_PAIRS = 16  # that say whether an edit is light or paint
GPU_SHARE = 0.5  # of the memory that a GPU has free, which networks and their gradients need too
LESS = "train on fewer concepts, a smaller size, or a selection of the photos (e2gan select)"


@dataclass(frozen=True)
class Batch:
    """photo, target: (B, 3, H, W) float32 in [-1, 1]; tokens: (B, T, D) float32; mask: (B, T) bool.

    place: (B, 4) float32, the part of each photo that is seen, as `Generator` takes it; None: all of it.
    """

    photo: Tensor
    target: Tensor
    tokens: Tensor
    mask: Tensor
    place: Tensor | None = None


@dataclass(frozen=True)
class TrainingData:
    """Pairs of one or several concepts. Concepts that share a photo share its pixels.

    photos: (P, 3, H, W) uint8; edits: (N, 3, H, W) uint8; photo_of, concept_of: (N,) int64;
    tokens: (C, T, D) float32; mask: (C, T) bool. paired: whether a batch's targets are its own photos' edits; without,
    they are drawn apart, and a set without pairs may have more or fewer of them than rows of photo_of, concept_of.
    streams: whether a batch is worth making ahead, since it comes from a disk or over a bus. sided: (N,) bool, which
    pairs are never mirrored, since their edit has a side; None: there are none. It stays on the CPU; tokens and mask
    lie on the device that batches are for; the other tensors together on that or another.
    """

    photos: Tensor
    edits: Tensor
    photo_of: Tensor
    concept_of: Tensor
    tokens: Tensor
    mask: Tensor
    paired: bool = True
    streams: bool = False
    sided: Tensor | None = None

    def __len__(self) -> int:
        return len(self.photo_of)

    @property
    def size(self) -> int:
        return self.edits.shape[-1]

    def detail(self) -> Detail | None:
        """How edits like these come back to a photo's size, by a few of the pairs; None where there are no pairs."""
        if not self.paired:
            return None
        rows = torch.linspace(0, len(self) - 1, min(DETAIL_PAIRS, len(self))).long().to(self.photo_of.device)
        both = self.photos[self.photo_of[rows]], self.edits[rows]
        return detail_of(*(images.permute(0, 2, 3, 1).cpu().numpy() for images in both))

    def to(self, device: torch.device) -> TrainingData:
        """The data for batches on a device; where that is a GPU without the room, the pixels stay where they are."""
        held = {f.name: t for f in fields(self) if f.name != "sided" and isinstance(t := getattr(self, f.name), Tensor)}
        streams = self.streams
        if device.type == "cuda" and self.edits.device.type != "cuda" and not streams:
            needed, free = sum(t.nbytes for t in held.values()), available_gpu_memory(str(device))
            if streams := needed > GPU_SHARE * free:
                figures = f"{needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free on {device}"
                note(f"{len(self):,} training pairs take {figures}: they stay in the machine's memory")
        moved = ("tokens", "mask") if streams else held
        return replace(self, streams=streams, **{name: held[name].to(device) for name in moved})

    @classmethod
    def load(
        cls,
        sets: Sequence[PairSet],
        encoder: TextEncoder,
        selection: Path | None = None,
        *,
        unpaired: bool = False,
        share: float = 1.0,
        place: Path | None = None,
    ) -> TrainingData:
        """The training pairs of several sets; of a selection's photos alone where one is given.

        unpaired: draw photos and edits apart, which sets that hold no pairs need. share: the part of the free memory
        that pixels may take; more lie in a file on the disk of `place`, and where that is None, more than all of it is
        refused before an image is read. Raises InputError where the sets' working sizes differ, one has no training
        pair, or none of the selection's, where the encoder is not there, and MachineError where the disk is too full.
        """
        if lonely := [s.folder for s in sets if not s.paired and not unpaired]:
            raise InputError(f"{lonely[0]} holds no pairs: only `e2gan scratch --unpaired` trains on it")
        sizes = sorted({s.size for s in sets})
        if len(sizes) > 1:
            raise InputError(f"the pair sets have different sizes ({', '.join(map(str, sizes))}): make them with one")
        photos: list[Path] = []
        edits: list[Path] = []
        row_of: dict[tuple[Path, str], int] = {}
        photo_of, concept_of = [], []
        for concept, pair_set in enumerate(sets):
            set_photos, set_edits, ids = pair_set.files_of_both_kinds("train", selection)
            folder = pair_set.photos.folder.resolve()
            for photo, name in zip(set_photos, ids, strict=True):
                row = row_of.setdefault((folder, name), len(photos))
                if row == len(photos):
                    photos.append(photo)
                photo_of.append(row)
            edits += set_edits
            concept_of += [concept] * len(ids)
        size, what = sizes[0], f"{len(edits):,} training pairs of {len(photos):,} photos at {sizes[0]} pixels"
        needed, available = (len(photos) + len(edits)) * 3 * size**2, available_memory()
        streams = False
        if place is not None and available is not None and needed > share * available:
            streams = True
            note(f"{what}: {needed / 1e9:.3g} GB, {available / 1e9:.3g} GB of memory are free: they lie on disk")
        else:
            need_memory(needed, available, what, LESS)
        tokens, mask = pad([encoder.encode(s.prompt) for s in sets])
        return cls(
            photos=_read(photos, size, place if streams else None),
            edits=_read(edits, size, place if streams else None),
            streams=streams,
            photo_of=torch.tensor(photo_of),
            concept_of=torch.tensor(concept_of),
            tokens=tokens,
            mask=mask,
            paired=not unpaired,
            sided=torch.tensor([s.sided for s in sets])[concept_of] if any(s.sided for s in sets) else None,
        )

    def batch(self, rows: Tensor, config: TrainingConfig, rng: torch.Generator, part: slice = slice(None)) -> Batch:
        """The pairs of these rows, each mirrored and cropped as the settings say. `rows` and `rng` live on the CPU.

        part: the rows that are taken, of several processes; the chance that they have is that of the whole batch.
        """
        sided = None if self.sided is None else self.sided[rows][part]
        rows = rows.to(self.photo_of.device)
        own = rows if self.paired else torch.randint(len(self.edits), rows.shape, generator=rng).to(rows.device)
        drawn, rows, own = len(rows), rows[part], own[part]
        read = read_rows if self.streams else torch.Tensor.__getitem__
        photo, target = read(self.photos, self.photo_of[rows]), read(self.edits, own)
        both = torch.cat([photo, target], dim=1)
        place = torch.tensor(WHOLE).repeat(len(rows), 1)
        if config.crop is not None and config.crop < self.size:
            top, left = torch.randint(self.size - config.crop + 1, (2,), generator=rng).tolist()
            both = both[:, :, top : top + config.crop, left : left + config.crop]
            ends = left, top, left + config.crop, top + config.crop
            place = torch.tensor([ends]).repeat(len(rows), 1) / self.size
        both = both.to(self.tokens.device, non_blocking=True)
        if config.flip:
            mirrored = torch.rand(drawn, generator=rng)[part] < 0.5
            mirrored = mirrored if sided is None else mirrored & ~sided
            place = torch.where(mirrored[:, None], place[:, [2, 1, 0, 3]], place)
            both = torch.where(mirrored.to(both.device)[:, None, None, None], both.flip(3), both)
        photo, target = from_pixels(both).chunk(2, dim=1)
        concept = self.concept_of[rows].to(self.tokens.device)
        pixels = photo.contiguous(), target.contiguous()
        return Batch(*pixels, self.tokens[concept], self.mask[concept], place.to(both.device))


def _read(files: Sequence[Path], size: int, place: Path | None) -> Tensor:
    """The images as uint8 (N, 3, size, size), each decoded into its place: in memory, or on the disk of a folder."""
    images = in_memory(len(files), size) if place is None else on_disk(len(files), size, place)
    read_into(images.permute(0, 2, 3, 1).numpy(), files)
    return images
