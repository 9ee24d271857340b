"""A model that edits ordinary pixels, of photos of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from e2gan.config import RuntimeName, checks
from e2gan.config.settings import fitted
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError, InputTypeError
from e2gan.core.images import Pixels, resize
from e2gan.core.pixel_input import Picture, Pictures, as_batch, as_given
from e2gan.core.values import bands
from e2gan.editing.detail import guided
from e2gan.editing.runtimes import fastest, load_runtime, work
from e2gan.editing.tiles import Place, edit_in_tiles
from e2gan.networks.baselines.lut import LookUpTable
from e2gan.networks.folded_output import fold_output
from e2gan.networks.generator import WHOLE
from e2gan.networks.models import Model
from e2gan.networks.pixels import LEAST, checked_finite, from_pixels, to_pixels
from e2gan.networks.resized_conv import fix_kernels
from e2gan.sharing.download import find_model

AT_ONCE, TILE = 2**22, 1024  # pixels that are edited as one, and the side of the tiles beyond
CHUNK = 16 * 256 * 256  # pixels that run together; more fill no GPU better
CPU_CHUNK = 2 * 256 * 256  # on a CPU: no slower, in a third of the memory
TOGETHER = 2**24  # pixels of given pictures of one size that are edited together


class How(TypedDict, total=False):
    """The settings of one edit, as `Predictor.edit` explains them."""

    strength: float
    side: int | None
    tile: int | None
    detail: Literal["auto", "guided", "none"]


Kind = TypeVar("Kind", bound=np.ndarray[Any, Any] | Tensor | Image.Image | list[Any] | tuple[Any, ...])


class Predictor:
    """A model that edits ordinary pixels: adapters merged, in evaluation mode.

    runtime: what runs it, by its name in RUNTIMES. notes: a line on why that is another than was chosen for it.
    """

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        base: str | Path | None = None,
        prompt: str | None = None,
        text: str | None = None,
        device: str = "auto",
        runtime: RuntimeName = "pytorch",
        photos: int = 1,
    ) -> Predictor:
        """A Predictor of an adapter, a base or a model from scratch.

        name: its folder; the name of one that ships; or its repository on a hub, `owner/name`, of which the files that
        are needed, safetensors and JSON alone, are downloaded into the hub's cache; without a network, what is there is
        taken. revision: a branch, tag or commit of the repository. base: the adapter's, named alike, where it is
        neither one that ships nor one that its repository has or names (`sharing.download.find_model`). prompt: what a
        base alone edits by; text: as `Model.load`. device, runtime, photos: as the constructor.

        Raises InputError for a name that is nothing of these, a prompt to an adapter, a repository that is missing,
        closed or unreachable, and as `Model.load` for what it holds: another base, shapes and types that do not fit,
        values that are not finite.
        """
        prompt = fitted(prompt, str | None, "prompt")
        found = find_model(name, revision=revision, base=base)
        if prompt is not None and found["adapter"]:  # as it was named, which may be a repository
            raise InputError(f"{name} is an adapter, which has a prompt of its own: leave prompt out")
        return cls(Model.load(**found, prompt=prompt, text=text), device, runtime, photos)

    def __init__(self, model: Model, device: str = "auto", runtime: RuntimeName = "pytorch", photos: int = 1) -> None:
        """runtime: pytorch, in fp32, which the metrics are measured by; auto is the fastest for so many photos, of
        256 pixels a side as the network sees them.

        Raises InputError where the device or a runtime that is named is not there, or does not give PyTorch's edits
        (`runtimes.load_runtime`), or `model` is no Model.
        """
        if not isinstance(model, Model):
            raise InputTypeError(f"a Predictor takes a Model (Model.load(adapter=…)), not {type(model).__name__}")
        self.device = resolve_device(device)
        self.size, self.detail = model.size, model.detail
        plain = model.plain()
        self.parameters = sum(p.numel() for p in plain.parameters())  # before kernels are fixed in a larger form
        self.generator = fix_kernels(plain).eval().to(self.device)
        self.multiple = int(self.generator.multiple)  # pyright: ignore[reportArgumentType]
        self.per_pixel = isinstance(self.generator, LookUpTable)
        self.tokens = None if model.tokens is None else model.tokens.to(self.device)
        runtime = fitted(runtime, RuntimeName, "--runtime")
        self.notes: list[str] = []
        count = fitted(photos, int, "photos")
        self.runtime = fastest(self.device, work(plain, count)) if runtime == "auto" else runtime
        if self.per_pixel:
            self.runtime = "pytorch"  # a table is next to no work
        if self.device.type == "cpu":
            fold_output(self.generator)
        try:
            self.run = load_runtime(self.runtime, self.generator, self.tokens, self.device)
        except InputError as error:
            if runtime != "auto":
                raise
            self.notes.append(f"edited by pytorch instead: {error}")
            self.runtime = "pytorch"
            self.run = load_runtime(self.runtime, self.generator, self.tokens, self.device)

    @torch.inference_mode()
    def batch(self, photos: Picture, place: Place = WHOLE) -> Pixels:
        """Photos of one size → their edits, uint8 (N, H, W, 3). Any height and width: padded inside to what the network
        takes.

        photos: uint8 (N, H, W, 3), or another array, tensor or list as `core.pixel_input.as_batch` takes it. place:
        what part of their photos these are: left, top, right and bottom, 0 to 1. Raises InputError for what is no such
        photos and no such place, and NotFiniteError where the network's output is not finite.
        """
        return self._batch(as_batch(photos), checked_place(place))

    def _batch(self, photos_NHWC: Pixels, place: Place = WHOLE) -> Pixels:
        height, width = photos_NHWC.shape[1:3]
        together = max(1, (CPU_CHUNK if self.device.type == "cpu" else CHUNK) // (height * width))
        photos = torch.from_numpy(np.ascontiguousarray(photos_NHWC)).permute(0, 3, 1, 2)
        edits = [self._run(part.to(self.device), place) for part in photos.split(together)]
        return torch.cat(edits).permute(0, 2, 3, 1).contiguous().numpy()

    def _run(self, photos: Tensor, place: Place) -> Tensor:
        height, width = photos.shape[2:]
        pads = [-(-max(side, LEAST) // self.multiple) * self.multiple - side for side in (height, width)]
        # Reflection where there is enough to reflect; the border pixel again where there is not.
        mode = "reflect" if pads[0] < height and pads[1] < width else "replicate"
        padded = F.pad(from_pixels(photos), (0, pads[1], 0, pads[0]), mode=mode)
        left, top, right, bottom = place
        # The padding lies beyond what is seen, so that each true pixel keeps its own place.
        right += (right - left) * pads[1] / width
        bottom += (bottom - top) * pads[0] / height
        seen = padded.new_tensor([[left, top, right, bottom]])
        edits = self.run(padded, seen)[:, :, :height, :width]
        return to_pixels(checked_finite(edits)).cpu()

    def check_tile(self, tile: int | None) -> None:
        """Raises InputError for tiles that the network cannot run in without a seam."""
        if tile is not None and not self.per_pixel and (tile % self.multiple or tile < 2 * self.multiple):
            least = 2 * self.multiple
            raise InputError(f"--tile {tile}: this model takes multiples of {self.multiple}, at least {least}")

    def _in_bands(self, photo: Pixels) -> Pixels:
        """The edit of a model that sees one pixel at a time, some rows at once to bound memory."""
        rows = max(LEAST, CHUNK // photo.shape[1])
        return np.concatenate([self._batch(photo[None, top : top + rows])[0] for top in range(0, photo.shape[0], rows)])

    @overload
    def edit(self, photo: list[Any], *, like_given: Literal[False] = False, **how: Unpack[How]) -> list[Pixels]: ...
    @overload
    def edit(
        self, photo: tuple[Any, ...], *, like_given: Literal[False] = False, **how: Unpack[How]
    ) -> tuple[Pixels, ...]: ...
    @overload
    def edit(
        self,
        photo: str | Path | Image.Image | np.ndarray[Any, Any] | Tensor,
        *,
        like_given: Literal[False] = False,
        **how: Unpack[How],
    ) -> Pixels: ...
    @overload
    def edit(self, photo: str | Path, *, like_given: Literal[True], **how: Unpack[How]) -> Image.Image: ...
    @overload
    def edit(self, photo: Kind, *, like_given: Literal[True], **how: Unpack[How]) -> Kind: ...
    def edit(
        self,
        photo: Pictures,
        *,
        strength: float = 1.0,
        side: int | None = None,
        tile: int | None = None,
        detail: Literal["auto", "guided", "none"] = "auto",
        like_given: bool = False,
    ) -> Any:
        """The edit of a photo, or of several, each at its own size: uint8 (H, W, 3) RGB; a list or tuple of such for a
        list or tuple; (N, H, W, 3) for an array or a tensor of several.

        photo: a path; a PIL image; an array (H, W) or (H, W, C), uint8, uint16 or floats in
        0..1; a tensor (C, H, W) of such. Or several: a list or a tuple of these, of any sizes; an array (N, H, W, C); a
        tensor (N, C, H, W). Each is read as a file of it would be, in 8 bits (`core.pixel_input.as_given`): equal
        pictures of any kind have equal edits.
        like_given: edits of the kind that was given instead: PIL images, also for paths, arrays and tensors of their
        type and range, a tensor (3, H, W) on its device.
        strength: 0 is the photo bit for bit, 1 the edit, up to 1.5; between, and beyond, they are mixed linearly.
        side: 0, or at least 32: shorter side at which the generator runs; None is the size that it was trained at,
        which looks most like the training, but for paint (below), 0 the photo's own. A photo is never enlarged for it.
        tile: run in overlapping tiles of so many pixels, at least 64 and a multiple of the generator's own (8; 16 where
        it is folded), to bound memory at a large side. Where the generator would see more than AT_ONCE pixels,
        as of a long panorama, it runs in tiles of TILE pixels anyway.
        detail: how a smaller edit comes back: "guided" puts the photo's own detail through the edit, right for colour,
        light and weather; "none" enlarges the edit as it is, right for paint, where no trace of the photo should
        remain: then the default side lies midway, as a ratio, between the size trained at and the photo's, so that the
        strokes are neither specks nor a blur. "auto" is what the adapter's training pairs say.

        A colour table (`scratch --model lut`) sees one pixel at a time: it runs at the photo's own size, and side, tile
        and detail mean nothing to it. Raises InputError for what is no photo, and settings that are none of these;
        it is a ValueError, and for another type a TypeError too. NotFiniteError where the network's output is not
        finite.
        """
        how = SimpleNamespace(strength=strength, side=side, tile=tile, detail=detail)
        self._check(how)
        given = as_given(photo)
        edits = self._edits_of_sizes(given.pixels, how)
        return given.like(edits) if like_given else given.arrays(edits)

    def _edits_of_sizes(self, photos: Sequence[Pixels], how: SimpleNamespace) -> list[Pixels]:
        """The edits of photos of several sizes, those of one size together."""
        of_size: dict[tuple[int, ...], list[int]] = {}
        for i, photo in enumerate(photos):
            of_size.setdefault(photo.shape, []).append(i)
        edits: dict[int, Pixels] = {}
        for (height, width, _), members in of_size.items():
            count = max(1, TOGETHER // (height * width))
            for some in (members[start : start + count] for start in range(0, len(members), count)):
                together = photos[some[0]][None] if len(some) == 1 else np.stack([photos[i] for i in some])
                edits |= zip(some, self._edits(together, how), strict=True)
        return [edits[i] for i in range(len(photos))]

    def edit_frames(
        self,
        frames: Pixels,
        *,
        strength: float = 1.0,
        side: int | None = None,
        tile: int | None = None,
        detail: Literal["auto", "guided", "none"] = "auto",
    ) -> Pixels:
        """The edits of photos of one size, such as a video's frames: as `edit` of each, but the network takes several
        together. uint8 (N, H, W, 3), as `batch` takes them → the same. Raises what `edit` raises."""
        how = SimpleNamespace(strength=strength, side=side, tile=tile, detail=detail)
        self._check(how)
        return np.stack(self._edits(as_batch(frames), how))

    def _check(self, how: SimpleNamespace) -> None:
        checks.editing(how)
        self.check_tile(how.tile)

    def _edits(self, photos_NHWC: Pixels, how: SimpleNamespace) -> list[Pixels]:
        if how.strength == 0:
            return [photo.copy() for photo in photos_NHWC]
        if self.per_pixel:
            edits = [self._in_bands(photo) for photo in photos_NHWC]
        else:
            edits = self._at_working_size(photos_NHWC, how)
        return [mix(*pair, how.strength) for pair in zip(photos_NHWC, edits, strict=True)]

    def _at_working_size(self, photos_NHWC: Pixels, how: SimpleNamespace) -> list[Pixels]:
        """Edited at the size that `how` says, and brought back to their own."""
        height, width = photos_NHWC.shape[1:3]
        way = self.detail if how.detail == "auto" else how.detail
        side, tile = how.side, how.tile
        if side is None:
            side = self.size if way == "guided" else side_for_paint(self.size, min(height, width))
        scale = min(1.0, (side or min(height, width)) / min(height, width))
        small_size = max(1, round(height * scale)), max(1, round(width * scale))
        same = small_size == (height, width)
        small = photos_NHWC if same else np.stack([resize(photo, small_size) for photo in photos_NHWC])
        if tile is None and small_size[0] * small_size[1] > AT_ONCE:
            tile = TILE
        if tile is not None and max(small_size) > tile:
            edits = [edit_in_tiles(self._batch, photo, tile, self.multiple) for photo in small]
        else:
            edits = [*self._batch(small)]
        if same:
            return edits
        if way == "guided":
            return [guided(*of) for of in zip(photos_NHWC, small, edits, strict=True)]
        return [resize(edit, (height, width)) for edit in edits]


def side_for_paint(trained: int, own: int) -> int:
    """Midway, as a ratio, between the size trained at and a photo's own shorter side.

    Half of the enlargement is the generator's, whose strokes become finer, and half is the picture's.
    """
    return round((trained * max(trained, own)) ** 0.5)


def mix(photo: Pixels, edited: Pixels, strength: float) -> Pixels:
    """photo + strength · (edited - photo), in uint8."""
    if strength == 1:
        return edited
    out = np.empty_like(photo)
    for rows in bands(*photo.shape[:2]):
        mixed = photo[rows] + np.float32(strength) * (edited[rows].astype(np.float32) - photo[rows])
        out[rows] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return out


def checked_place(place: object) -> Place:
    """Raises InputError for what is no part of a photo, InputTypeError for what is no four numbers."""
    left, top, right, bottom = found = fitted(place, tuple[float, float, float, float], "place")
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError(f"place {found}: left < right and top < bottom, all of them in 0..1, are expected")
    return found
