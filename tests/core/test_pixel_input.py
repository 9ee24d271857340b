"""What Python code hands over is read as the file of it would be, or refused with what is expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from e2gan.core.errors import InputError, InputTypeError
from e2gan.core.images import read_image
from e2gan.core.pixel_input import as_batch, as_given, as_pixels

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
GREY = PHOTO[..., 0]
ALPHA = PHOTO[..., 1]
RGBA = np.dstack([PHOTO, ALPHA])


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array if array.ndim == 2 else np.moveaxis(array, -1, -3)))


SAME: dict[str, Any] = {
    "array": PHOTO,
    "not contiguous": np.asfortranarray(PHOTO),
    "uint16": PHOTO.astype(np.uint16) * 257,
    "float64": PHOTO / 255,
    "float32": (PHOTO / 255).astype(np.float32),
    "float16": (PHOTO / 255).astype(np.float16),
    "PIL": Image.fromarray(PHOTO),
    "tensor": tensor(PHOTO),
    "float tensor": tensor(PHOTO) / 255,
    "float64 tensor": tensor(PHOTO).double() / 255,
    "tensor with a gradient": (tensor(PHOTO) / 255).requires_grad_(),
    "uint16 tensor": torch.from_numpy(PHOTO.transpose(2, 0, 1).astype(np.uint16) * 257),
    "opaque": np.dstack([PHOTO, np.full((12, 20), 255, np.uint8)]),
}


@pytest.mark.parametrize("kind", list(SAME))
def test_every_form_of_a_photo_is_the_same_photo(kind: str) -> None:
    found = as_pixels(SAME[kind])
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - PHOTO).max() <= (kind == "float16")


@pytest.mark.parametrize("form", ["array", "PIL", "tensor", "float"])
@pytest.mark.parametrize("kind", ["grey", "grey, one channel", "grey and alpha", "alpha"])
def test_grey_and_transparency_are_those_of_files(tmp_path: Path, kind: str, form: str) -> None:
    one = {
        "grey": GREY,
        "grey, one channel": GREY[..., None],
        "grey and alpha": np.dstack([GREY, ALPHA]),
        "alpha": RGBA,
    }[kind]
    stored = Image.fromarray(one[..., 0] if one.ndim == 3 and one.shape[2] == 1 else one)
    stored.save(tmp_path / "a.png")
    picture: Any = {"array": one, "PIL": stored, "tensor": tensor(one), "float": one / 255}[form]
    assert np.array_equal(as_pixels(picture), read_image(tmp_path / "a.png"))


def test_a_photo_is_turned_upright_as_its_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        found = as_pixels(opened)
    assert found.shape == (20, 12, 3)
    assert np.array_equal(found, read_image(tmp_path / "a.png"))


def test_pixels_that_must_not_be_written_to_are_copied() -> None:
    frozen = PHOTO.copy()
    frozen.flags.writeable = False
    assert as_pixels(frozen).flags.writeable


WRONG: dict[str, tuple[Any, type[InputError], str]] = {
    "nothing": (None, InputTypeError, "NoneType"),
    "a path of bytes": (b"photo.jpg", InputTypeError, "a bytes"),
    "a path without end": ("a" * 300, InputError, "no path"),
    "a list": (PHOTO.tolist(), InputTypeError, "a list"),
    "truth": (PHOTO > 3, InputTypeError, "bool"),
    "int64": (PHOTO.astype(np.int64), InputTypeError, "int64"),
    "int8": (PHOTO.astype(np.int8), InputTypeError, "int8"),
    "uint32": (PHOTO.astype(np.uint32), InputTypeError, "uint32"),
    "complex": (PHOTO.astype(np.complex64), InputTypeError, "complex64"),
    "objects": (PHOTO.astype(object), InputTypeError, "object"),
    "an integer tensor": (tensor(PHOTO).int(), InputTypeError, "int32"),
    "floats of 0..255": (PHOTO.astype(np.float32), InputError, "0..1, and here they lie in 0..255"),
    "a tensor of -1..1": (tensor(PHOTO) / 127.5 - 1, InputError, "0..1, and here they lie in -1..1"),
    "not a number": (np.full((4, 4, 3), np.nan), InputError, "not finite"),
    "infinite": (np.full((4, 4, 3), np.inf), InputError, "not finite"),
    "channels first": (PHOTO.transpose(2, 0, 1), InputError, "(3, 12, 20)"),
    "a tensor, channels last": (torch.from_numpy(PHOTO), InputError, "(12, 20, 3)"),
    "five channels": (np.zeros((4, 4, 5), np.uint8), InputError, "(4, 4, 5)"),
    "a line": (np.zeros(5, np.uint8), InputError, "(5,)"),
    "a batch": (PHOTO[None], InputError, "(1, 12, 20, 3)"),
    "empty": (np.zeros((0, 5, 3), np.uint8), InputError, "is empty"),
    "an empty picture": (Image.new("RGB", (0, 3)), InputError, "is empty"),
    "masked": (np.ma.masked_less(PHOTO, 9), InputError, "masked"),
    "too large": (np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)), InputError, "million"),
    "integers of 32 bits": (Image.fromarray(PHOTO[..., 0].astype(np.int32)), InputError, "no agreed range"),
}


@pytest.mark.parametrize("kind", list(WRONG))
def test_what_is_no_photo_is_refused_with_what_is_expected(kind: str) -> None:
    picture, error, said = WRONG[kind]
    with pytest.raises(error) as caught:
        as_pixels(picture)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError) == (error is InputTypeError)
    assert str(caught.value).startswith("the photo")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_is_its_file(tmp_path: Path) -> None:
    Image.fromarray(RGBA).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(as_pixels(path), read_image(tmp_path / "a.png"))
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    for wrong, told in (("none.jpg", "there is no such file"), ("b.jpg", "b.jpg"), (".", "is no file")):
        with pytest.raises(InputError, match=told):
            as_pixels(tmp_path / wrong)


KINDS = {kind: value for kind, value in SAME.items() if kind not in ("not contiguous", "opaque")}


@pytest.mark.parametrize("kind", list(KINDS))
def test_edits_are_of_the_kind_that_was_given(kind: str) -> None:
    given = as_given(KINDS[kind])
    back = given.like([255 - pixels for pixels in given.pixels])
    assert type(back) is (Image.Image if kind == "PIL" else type(KINDS[kind]))
    if kind != "PIL":
        assert back.dtype == KINDS[kind].dtype
        assert back.shape == KINDS[kind].shape
    assert np.abs(as_pixels(back).astype(int) - (255 - PHOTO)).max() <= (kind == "float16")  # again the same pixels


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.uint8])
def test_a_tensor_comes_back_in_its_own_type(dtype: torch.dtype) -> None:
    batch = (tensor(np.stack([PHOTO, 255 - PHOTO])) / 255 * (255 if dtype == torch.uint8 else 1)).to(dtype)
    back = as_given(batch).like(as_given(batch).pixels)
    assert back.dtype == dtype
    assert back.shape == batch.shape
    assert not back.requires_grad
    assert torch.allclose(back.double(), batch.double(), rtol=0, atol=1 / 500)  # half a level


def test_grey_and_transparent_pictures_come_back_as_colours() -> None:
    for picture in (GREY, GREY[..., None], RGBA, RGBA / 255):
        given = as_given(picture)
        assert given.like(given.pixels).shape == PHOTO.shape


def test_several_come_back_as_several(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    pictures = [PHOTO[2:], Image.fromarray(PHOTO), tensor(PHOTO) / 255, tmp_path / "a.png", str(tmp_path / "a.png")]
    given = as_given(pictures)
    back = given.like(given.pixels)
    assert [type(one) for one in back] == [np.ndarray, Image.Image, torch.Tensor, Image.Image, Image.Image]
    assert [one.shape for one in map(as_pixels, back)] == [(10, 20, 3)] + [(12, 20, 3)] * 4
    assert isinstance(as_given(tuple(pictures)).like(given.pixels), tuple)
    stacked = np.stack([PHOTO, PHOTO])
    assert np.array_equal(as_given(stacked).like(as_given(stacked).pixels), stacked)


@pytest.mark.parametrize("wrong", [[], (), [[PHOTO]], [PHOTO, None], {"a": PHOTO}, {1}, iter([PHOTO]), 5, object()])
def test_what_is_no_picture_and_no_several_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^the photo") as caught:
        as_given(wrong)
    assert "\n" not in str(caught.value)


def test_batches_are_their_pictures() -> None:
    photos = np.stack([PHOTO, 255 - PHOTO])
    for batch in (
        photos,
        photos / 255,
        tensor(photos),
        tensor(photos) / 255,
        [PHOTO, Image.fromarray(255 - PHOTO)],
        (tensor(PHOTO), (255 - PHOTO) / 255),
    ):
        assert np.array_equal(as_batch(batch), photos)
    alpha = np.stack([RGBA, RGBA[::-1]])
    assert np.array_equal(as_batch(alpha), np.stack([as_pixels(RGBA), as_pixels(RGBA[::-1])]))
    assert np.array_equal(as_batch(photos[..., :1])[1], np.repeat(photos[1, ..., :1], 3, -1))


@pytest.mark.parametrize(
    "batch", [PHOTO, [], [PHOTO, PHOTO[1:]], [None], None, PHOTO[None][:0], PHOTO[None].astype(int), tensor(PHOTO)]
)
def test_what_is_no_batch_is_refused(batch: Any) -> None:
    with pytest.raises(InputError, match=r"^the photos"):
        as_batch(batch)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3, 8, 8, device="meta"),
        torch.zeros(3, 8, 8).to_sparse(),
        torch.zeros(3, 8, 8).to(torch.float8_e4m3fn),
        torch.nested.nested_tensor([torch.zeros(3, 8), torch.zeros(2, 8)], layout=torch.jagged),
    ],
    ids=["meta", "sparse", "float8", "nested"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_without_plain_numbers_is_refused(tensor: torch.Tensor) -> None:
    for take in (as_pixels, as_batch):
        with pytest.raises(InputError) as caught:
            take(tensor)
        assert "\n" not in str(caught.value)
