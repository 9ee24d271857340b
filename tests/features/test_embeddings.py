from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from e2gan.config import SelectConfig
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import Pixels, read_image, square, write_png
from e2gan.core.originals import list_images
from e2gan.features import embeddings, extractors
from e2gan.features.clip import ClipModel
from e2gan.features.embeddings import KINDS, GradientColour, embedding_settings, load_embedder
from e2gan.features.extractors import PretrainedNetwork, normalised
from e2gan.features.hub import need_transformers
from e2gan.features.squeezenet import SHIPPED, SqueezeNetFeatures
from tests.conftest import said
from tests.features.tiny_photos import crops, embed
from tests.tiny_clip import write_clip


@pytest.fixture(scope="module")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = need_transformers("this test")
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=70, initializer_range=0.3
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    return folder


def nearest(rows: np.ndarray) -> np.ndarray:
    """Each row's nearest other row."""
    distance = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    return distance.argmin(1)


def test_gradient_colour_finds_the_pieces_of_one_picture(photos: Pixels) -> None:
    rows = embed(photos, "gradient-colour")
    assert rows.shape == (16, 388)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert (nearest(rows) // 4 == np.arange(16) // 4).all()
    np.testing.assert_array_equal(rows, embed(photos, "gradient-colour"))


def test_each_half_of_gradient_colour_counts(photos: Pixels) -> None:
    """A picture in other colours moves away, and so does one of the same colours turned on its side."""
    photo = photos[:1]
    here = embed(photo, "gradient-colour")
    recoloured = embed(photo[..., [2, 0, 1]], "gradient-colour")
    turned = embed(np.rot90(photo, axes=(1, 2)).copy(), "gradient-colour")
    for other in (recoloured, turned):
        assert np.linalg.norm(other - here) > 0.3
    half = GradientColour()
    np.testing.assert_allclose(half.colours(photo[0]), half.colours(np.rot90(photo[0]).copy()), atol=1e-9)


def test_neither_half_of_gradient_colour_dominates(shared: Path) -> None:
    """Over photographs of scenes and of faces, each block has between a third and two thirds of the spread."""
    for folder in ("train", "faces", "landscapes"):
        files = list_images(shared / "photos" / folder)
        kind = GradientColour()
        small = [kind.prepare(square(read_image(path), 128)) for path in files[:: max(1, len(files) // 40)][:40]]
        rows = kind.extract(np.stack(small))
        spread = rows.astype(np.float64).var(0)
        assert 1 / 3 < spread[:288].sum() / spread.sum() < 2 / 3, folder


@pytest.mark.parametrize("size", [(32, 32), (33, 90), (300, 200)])
def test_gradient_colour_takes_any_size_and_flat_photos(size: tuple[int, int]) -> None:
    rows = embed([np.full((*size, 3), 200, np.uint8), np.zeros((*size, 3), np.uint8)], "gradient-colour")
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert np.linalg.norm(rows[0] - rows[1]) > 0.5


def test_an_iterator_is_never_held_whole(photos: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the photos that an iterator gives, only a few are alive at a time, and the rows are those of the stack."""
    monkeypatch.setattr(extractors, "BATCH", 4)
    drawn = computed = most = 0
    extract = GradientColour.extract

    def counted(self: GradientColour, prepared_NHWC: Pixels) -> np.ndarray:
        nonlocal computed
        assert len(prepared_NHWC) <= 4
        computed += len(prepared_NHWC)
        return extract(self, prepared_NHWC)

    monkeypatch.setattr(GradientColour, "extract", counted)

    def stream() -> Iterator[Pixels]:
        nonlocal drawn, most
        for i in range(160):
            drawn += 1
            most = max(most, drawn - computed)
            yield photos[i % 16]

    rows = embed(stream(), "gradient-colour")
    assert len(rows) == 160
    assert most <= 4 + 4 * 8  # a batch, and what waits in the threads
    np.testing.assert_array_equal(rows[144:], embed(photos, "gradient-colour"))


def test_files_are_their_images(photos: Pixels, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, photo in zip(paths, photos, strict=False):
        write_png(path, photo)
    rows = load_embedder("gradient-colour").files(paths, 128)
    np.testing.assert_array_equal(rows, embed(photos[:5], "gradient-colour"))
    np.testing.assert_array_equal(rows, load_embedder("gradient-colour").files(paths, None))
    with pytest.raises(InputError, match=r"0\.png: is not 64×64"):
        load_embedder("gradient-colour").files(paths, 64)
    paths[3].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"3\.png: is no image"):
        load_embedder("gradient-colour").files(paths, 128)


def test_photos_of_several_sizes_keep_their_order(clip_folder: Path) -> None:
    mixed = [*crops("coffee", 2, 64), *crops("chelsea", 2, 128), *crops("coffee", 1, 64)]
    for kind, model in (("gradient-colour", None), ("clip", str(clip_folder))):
        together = embed(mixed, kind, model=model, device="cpu")
        alone = np.concatenate([embed([photo], kind, model=model, device="cpu") for photo in mixed])
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(48, 48), (32, 32), (60, 41), (33, 100), (224, 224)])
def test_preprocessing_is_the_librarys_own(clip_folder: Path, shape: tuple[int, int]) -> None:
    """To the last bit before the statistics, for square photos, tall ones and wide ones."""
    transformers = need_transformers("this test")
    photo = np.ascontiguousarray(skimage.data.astronaut()[100 : 100 + shape[0], 80 : 80 + shape[1]])
    embedder = load_embedder("clip", model=str(clip_folder), device="cpu")
    assert isinstance(embedder, PretrainedNetwork)
    ours = normalised(embedder.prepare(photo)[None], embedder.mean, embedder.std)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    theirs = processor(photo, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_clip_is_the_librarys_image_embedding(clip_folder: Path, photos: Pixels) -> None:
    transformers = need_transformers("this test")
    rows = embed(photos, "clip", model=str(clip_folder), device="cpu")
    assert rows.shape == (16, 12)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    pixels = processor(list(photos), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        whole = model(pixel_values=pixels, input_ids=torch.tensor([[1, model.config.text_config.eos_token_id]]))
    np.testing.assert_allclose(rows, whole.image_embeds.numpy(), rtol=1e-3, atol=1e-4)
    assert rows.std(0).max() > 0.01


def test_statistics_come_from_the_models_folder(clip_folder: Path, tmp_path: Path, photos: Pixels) -> None:
    folder = tmp_path / "own"
    shutil.copytree(clip_folder, folder)
    settings = folder / "preprocessor_config.json"
    settings.write_text(json.dumps({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 0.5]}))
    embedder = load_embedder("clip", model=str(folder), device="cpu")
    assert isinstance(embedder, PretrainedNetwork)
    x = normalised(np.full((1, 32, 32, 3), 255, np.uint8), embedder.mean, embedder.std)
    assert x[0, :, 0, 0].tolist() == [2, 1, 1]
    before = embed(photos[:2], "clip", model=str(clip_folder), device="cpu")
    assert not np.allclose(before, embedder(photos[:2]), atol=1e-3)
    settings.write_text(json.dumps({"image_mean": [0.5, 0.5, 0.5], "image_std": [0, 1, 1]}))
    with pytest.raises(InputError, match="above 0"):
        load_embedder("clip", model=str(folder))


def test_dinov2_is_the_class_token_of_the_whole_square(dinov2_folder: Path, photos: Pixels) -> None:
    transformers = need_transformers("this test")
    rows = embed(photos[::4], "dinov2", model=str(dinov2_folder), device="cpu")
    assert rows.shape == (4, 24)
    processor = transformers.CLIPImageProcessorPil(
        image_mean=embeddings.IMAGENET_MEAN, image_std=embeddings.IMAGENET_STD
    )
    pixels = processor(list(photos[::4]), return_tensors="pt")["pixel_values"]
    assert pixels.shape[2:] == (224, 224)
    model = transformers.Dinov2Model.from_pretrained(dinov2_folder).eval()
    with torch.no_grad():
        expected = model(pixel_values=pixels).pooler_output.numpy()
    np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-3)
    assert np.linalg.norm(rows, axis=1).min() > 2  # not scaled to unit length


def test_squeezenet_is_that_of_the_distances(photos: Pixels) -> None:
    rows = embed(iter(photos), "squeezenet")
    np.testing.assert_allclose(rows, SqueezeNetFeatures()(photos), rtol=1e-4, atol=1e-4)
    assert (nearest(rows) // 4 == np.arange(16) // 4).all()


def test_a_run_is_known_by_the_squeezenet_that_ships_as_by_the_same_file_named() -> None:
    unnamed = embedding_settings(SelectConfig(photos=Path("p"), keep=2, embedding="squeezenet"))
    named = embedding_settings(SelectConfig(photos=Path("p"), keep=2, embedding="squeezenet", features=SHIPPED))
    assert unnamed == named
    assert unnamed["features_sha256"] == sha256(SHIPPED)
    assert embedding_settings(SelectConfig(photos=Path("p"), keep=2))["features_sha256"] is None


@pytest.mark.skipif(importlib.util.find_spec("facenet_pytorch") is not None, reason="facenet-pytorch is installed")
def test_facenet_says_what_to_install(photos: Pixels) -> None:
    with pytest.raises(InputError) as error:
        embed(photos, "facenet", device="cpu")
    message = said(error)
    assert "pip install --no-deps facenet-pytorch" in message
    assert "torchvision" in message


def test_own_embeddings(photos: Pixels, tmp_path: Path) -> None:
    file = tmp_path / "own.npy"
    own = np.random.default_rng(0).normal(size=(16, 5))
    np.save(file, own)
    for images in (photos, list(photos), iter(photos)):
        rows = embed(images, str(file))
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, own, rtol=1e-6)
    paths = [tmp_path / f"{i}.png" for i in range(16)]  # never read
    np.testing.assert_allclose(load_embedder(str(file)).files(paths, 64), own, rtol=1e-6)
    assert load_embedder(str(file)).files(paths, 64).flags.writeable


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((15, 5)), "15 rows for 16 photos"),
        (np.zeros(16), r"not an array of \(16,\)"),
        (np.zeros((16, 0)), "not an array of"),
        (np.where(np.eye(16) > 0, np.nan, 1.0), "row 0 .* not finite"),
        (np.full((16, 2), 1e300), "not finite as float32"),
        (np.full((16, 2), "a"), "real numbers"),
        (np.full((16, 2), None), r"no \.npy file of numbers"),  # would have to be unpickled
    ],
)
def test_own_embeddings_that_do_not_fit(photos: Pixels, tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "own.npy", array)
    with pytest.raises(InputError, match=message) as error:
        embed(photos, str(tmp_path / "own.npy"))
    said(error)


def test_own_embeddings_that_are_none(photos: Pixels, tmp_path: Path) -> None:
    file = tmp_path / "own.npy"
    with pytest.raises(InputError, match="is missing"):
        embed(photos, str(file))
    file.write_bytes(b"")
    with pytest.raises(InputError, match=r"no \.npy file"):
        embed(photos, str(file))
    np.savez(tmp_path / "many.npz", a=np.zeros((16, 2)))
    (tmp_path / "many.npz").replace(file)
    with pytest.raises(InputError, match=r"no \.npy file"):
        embed(photos, str(file))
    np.save(file, np.zeros((16, 2)))
    with pytest.raises(InputError, match="leave --model out"):
        embed(photos, str(file), model="clip")


def test_unknown_kinds_and_useless_options(photos: Pixels) -> None:
    with pytest.raises(InputError) as error:
        embed(photos, "clib")
    assert all(kind in said(error) for kind in [*KINDS, ".npy"])
    with pytest.raises(InputError, match="gradient-colour has no use for it"):
        embed(photos, "gradient-colour", model="x")
    with pytest.raises(InputError, match="clip has no use for it"):
        embed(photos, "clip", features=Path("x"))
    with pytest.raises(InputError, match="not on this machine"):
        embed(photos, "gradient-colour", device="cuda:77")


def test_images_that_cannot_be_embedded(photos: Pixels) -> None:
    with pytest.raises(InputError, match="no photos"):
        embed([], "gradient-colour")
    with pytest.raises(InputError, match="at least 32 pixels a side: here is 40×31"):
        embed([np.zeros((31, 40, 3), np.uint8)], "gradient-colour")
    for wrong in (photos[0].astype(np.float32), photos[0, :, :, 0]):
        with pytest.raises(InputError, match="uint8 images"):
            embed([wrong], "gradient-colour")


def test_absent_weights_name_the_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Pixels) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for kind in ("clip", "dinov2"):
        with pytest.raises(InputError, match="local copy of the folder with --model") as error:
            embed(photos, kind)
        said(error)
    with pytest.raises(InputError, match="with --clip-model"):
        ClipModel(option="--clip-model")


def test_a_folder_of_another_kind_is_refused(clip_folder: Path, dinov2_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of the type clip, not dinov2"):
        load_embedder("dinov2", model=str(clip_folder))
    with pytest.raises(InputError, match="of the type dinov2, not clip"):
        load_embedder("clip", model=str(dinov2_folder))
    texts = write_clip(tmp_path / "texts", texts_only=True)
    for load in (lambda: load_embedder("clip", model=str(texts)), lambda: ClipModel(str(texts))):
        with pytest.raises(InputError, match="clip_text_model"):
            load()
