"""Predictor and `edit`: any size of photo, strength, tiles, detail; files, folders and refusals."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from e2gan import EditConfig, Generator, InputError, Model, Predictor, edit
from e2gan.cli import main
from e2gan.config import PRESETS, GeneratorConfig
from e2gan.core.images import Pixels, resize
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.editing.detail import guided
from e2gan.networks.lora import attach, rank_of_layers
from tests.conftest import Project


def model(size: int = 64, **changes: object) -> Model:
    """A tiny generator with an adapter, both of random weights."""
    torch.manual_seed(0)
    config: GeneratorConfig = replace(PRESETS["residual"], width=8, heads=2, text_width=16, **changes)  # pyright: ignore
    generator = Generator(config).eval()
    attends = config.cross_attention and config.transformers
    if attends:
        from e2gan.config import Ranks

        attach(generator, rank_of_layers(generator, Ranks()))
    with torch.no_grad():
        for p in generator.parameters():
            if not p.any():
                p.normal_(0, 0.03)
    return Model(generator, torch.randn(1, 5, 16) if attends else None, "make it so", size, Path())


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(model(), "cpu")


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def far(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 47), (64, 64), (20, 700), (700, 20), (101, 250)])
def test_every_size_comes_back_edited_at_its_own_size(predictor: Predictor, size: tuple[int, int]) -> None:
    photo = noise(*size)
    before = photo.copy()
    edited = predictor.edit(photo)
    assert edited.shape == photo.shape
    assert edited.dtype == np.uint8
    assert far(edited, photo) > 1
    assert np.array_equal(photo, before)  # the caller's array is left alone


def test_padding_leaves_no_trace_inside() -> None:
    """What is padded to multiples of 8 and cropped is the generator's own edit where no padding was needed."""
    photo = resize(builtin_pictures()["coffee"], (96, 128))
    bare = Predictor(model(transformers=()), "cpu")
    whole = bare.batch(photo[None])[0]
    odd = bare.batch(photo[None, :91, :125])[0]
    assert odd.shape == (91, 125, 3)
    assert np.abs(whole[:48, :64].astype(int) - odd[:48, :64]).max() <= 1


def test_a_batch_is_its_photos_one_by_one(predictor: Predictor) -> None:
    photos = np.stack([noise(40, 56), 255 - noise(40, 56), noise(40, 56)[::-1]])
    together = predictor.batch(photos)
    for photo, edited in zip(photos, together, strict=True):
        assert np.abs(edited.astype(int) - predictor.batch(photo[None])[0]).max() <= 1


def test_the_adapter_acts_and_the_model_stays_as_it_was() -> None:
    own = model()
    state = {k: v.clone() for k, v in own.generator.state_dict().items()}
    photo = noise(64, 64)
    edited = Predictor(own, "cpu").batch(photo[None])[0]
    with torch.no_grad():
        pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1
        expected = ((own.generator(pixels, own.tokens)[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(edited - expected).max() <= 1
    assert all(torch.equal(v, state[k]) for k, v in own.generator.state_dict().items())


def test_strength_mixes_the_photo_with_its_edit(predictor: Predictor) -> None:
    photo = noise(90, 130)
    edited = predictor.edit(photo)
    nothing = predictor.edit(photo, strength=0)
    assert np.array_equal(nothing, photo)
    assert nothing is not photo
    for strength in (0.3, 1.5):
        expected = np.clip(photo + strength * (edited.astype(float) - photo), 0, 255)
        assert np.abs(predictor.edit(photo, strength=strength) - expected).max() <= 0.51


def test_side_is_where_the_generator_runs(predictor: Predictor) -> None:
    photo = resize(builtin_pictures()["coffee"], (128, 192))
    assert np.array_equal(predictor.edit(photo, side=0), predictor.batch(photo[None])[0])
    assert np.array_equal(predictor.edit(photo, side=1000), predictor.edit(photo, side=0))  # never enlarged for it
    small = resize(photo, (64, 96))
    enlarged = resize(predictor.batch(small[None])[0], (128, 192))
    assert np.array_equal(predictor.edit(photo, detail="none"), enlarged)
    assert np.array_equal(predictor.edit(photo, side=64), predictor.edit(photo))


def test_tiles_are_the_whole_picture_without_seams() -> None:
    """Where nothing looks beyond its surroundings: no attention, no norm."""
    local = Predictor(model(transformers=()), "cpu")
    photo = resize(builtin_pictures()["coffee"], (200, 300))
    whole = local.edit(photo, side=0)
    tiled = local.edit(photo, side=0, tile=128)
    assert far(whole, photo) > 3
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.mean() < 0.1
    assert difference.max() <= 12
    # Attention sees the tile only, yet the photo comes back whole, at its size.
    assert Predictor(model(), "cpu").edit(noise(70, 300), side=0, tile=64).shape == (70, 300, 3)


def test_guided_keeps_the_photos_detail_in_a_change_of_colour() -> None:
    photo = builtin_pictures()["china"]
    height, width = photo.shape[:2]
    matrix = np.array([[0.9, 0.3, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.6]])

    def recolour(image: Pixels) -> Pixels:
        return np.clip(image @ matrix.T, 0, 255).astype(np.uint8)

    small = resize(photo, (height // 3, width // 3))
    expected = recolour(photo)
    guided_off = far(guided(photo, small, recolour(small)), expected)
    enlarged_off = far(resize(recolour(small), (height, width)), expected)
    assert guided_off < 0.35 * enlarged_off
    assert guided_off < 3


def test_guided_keeps_what_the_photo_does_not_explain() -> None:
    """A stroke that is in the edit only stays, as enlarging shows it, and a flat photo gets no halo around it."""
    photo = np.full((120, 120, 3), 128, np.uint8)
    small = resize(photo, (40, 40))
    stroke = small.copy()
    stroke[:, 19:21] = 10
    found = guided(photo, small, stroke).astype(int)
    assert found[60, 60].max() < 40
    assert np.abs(found[:, :50] - 128).max() <= 1
    assert np.abs(found[:, 70:] - 128).max() <= 1
    assert np.array_equal(guided(small, small, stroke), stroke)


@pytest.mark.slow
def test_twelve_megapixels_take_seconds(predictor: Predictor) -> None:
    photo = resize(builtin_pictures()["coffee"], (3000, 4000))
    start = time.process_time()
    edited = predictor.edit(photo)
    assert edited.shape == photo.shape
    assert time.process_time() - start < 30


# ------------------------------------------------------------------------------------------------------- the stage


def config(project: Project, source: Path, out: Path, **changes: object) -> EditConfig:
    changes = {"base": project.base, "adapter": (project.adapter,), "device": "cpu"} | changes
    return EditConfig(input=source, out=out, **changes)  # pyright: ignore[reportArgumentType]


def save(path: Path, photo: Pixels, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


@pytest.mark.parametrize("name", ["out.png", "out.JPG", "new/folder/out.webp"])
def test_a_photo_becomes_a_file_of_the_named_kind(project: Project, tmp_path: Path, name: str) -> None:
    photo = resize(builtin_pictures()["coffee"], (70, 90))
    source = save(tmp_path / "photo.png", photo)
    found = edit(config(project, source, tmp_path / name))
    with Image.open(found.out) as image:
        assert image.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[name.lower().rpartition(".")[2]]
        pixels = np.array(image.convert("RGB"))
    expected = Predictor(Model.load(base=project.base, adapter=(project.adapter,)), "cpu").edit(photo)
    assert far(pixels, expected) < (0.001 if name.endswith("png") else 6)


def test_the_same_command_again_replaces_the_file(project: Project, tmp_path: Path) -> None:
    source = save(tmp_path / "photo.png", noise(40, 40))
    edit(config(project, source, tmp_path / "out.png", strength=0.0))
    first = (tmp_path / "out.png").read_bytes()
    edit(config(project, source, tmp_path / "out.png"))
    assert (tmp_path / "out.png").read_bytes() != first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.png", "photo.png"]


def test_an_upright_photo_comes_back_upright(project: Project, tmp_path: Path) -> None:
    """A phone's photo lies on its side with a note in its EXIF: the edit is upright, without the note."""
    exif = Image.Exif()
    exif[0x0112] = 6
    source = save(tmp_path / "photo.jpg", noise(40, 60), exif=exif)
    edit(config(project, source, tmp_path / "out.jpg"))
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (40, 60)
        assert 0x0112 not in image.getexif()


def test_a_folder_keeps_its_shape_and_skips_what_is_no_photo(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "in"
    save(root / "a.jpg", noise(40, 50))
    save(root / "deep" / "er" / "b.png", noise(33, 41))
    save(root / "c.bmp", noise(20, 30))
    (root / "d.jpg").write_text("no photo")
    (root / "notes.txt").write_text("not looked at")
    out = tmp_path / "out"
    found = edit(config(project, root, out))
    written = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} - {"config.json"}
    assert written == {"a.jpg", "deep/er/b.png", "c.png"}
    assert found.photos == 3
    assert [name for name, _ in found.skipped] == ["d.jpg"]
    assert "d.jpg" in str(found)
    with Image.open(out / "deep" / "er" / "b.png") as image:
        assert image.size == (41, 33)


def test_a_folder_is_done_until_a_photo_or_the_weights_change(project: Project, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    save(root / "a.png", noise(32, 32))
    edit(config(project, root, out))
    assert edit(config(project, root, out)).already_done
    save(root / "b.png", noise(32, 40))
    with pytest.raises(InputError, match="photos_sha256"):
        edit(config(project, root, out))


def test_a_wide_gamut_photo_keeps_its_profile(project: Project, tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = save(tmp_path / "photo.jpg", noise(40, 40), icc_profile=icc)
    for name in ("out.jpg", "out.png", "out.webp"):
        edit(config(project, source, tmp_path / name))
        with Image.open(tmp_path / name) as image:
            assert image.info["icc_profile"] == icc


def test_bad_input_is_one_line_and_leaves_nothing(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = save(tmp_path / "good.jpg", noise(40, 40))
    save(tmp_path / "wide.png", np.zeros((2, 16400, 3), np.uint8))
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:-400])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_text("no photo")
    before = sorted(tmp_path.rglob("*"))
    for source, out, reason in [
        ("absent.jpg", "o.png", "does not exist"),
        ("text.jpg", "o.png", "no image"),
        ("cut.jpg", "o.png", "damaged"),
        ("good.jpg", "o.tiff", "ending"),
        ("good.jpg", "o", "ending"),
        ("good.jpg", "good.jpg", "input itself"),
        ("good.jpg", "empty", "ending"),
        ("empty", "o", "no photos"),
        ("broken", "o", "could be read"),
        ("broken", "good.jpg", "is a file"),
        ("broken", "broken/o", "inside the input"),
        ("good.jpg", "text.jpg/o.png", "cannot write"),
        ("wide.png", "o.webp", "do not go into WEBP"),
    ]:
        arguments = ["edit", str(tmp_path / source), "--out", str(tmp_path / out), "--model", str(project.model)]
        assert main(arguments) == 2, (source, out)
        message = capsys.readouterr().err
        assert message.count("\n") == 1, message
        assert reason in message
        assert sorted(tmp_path.rglob("*")) == before, (source, out)


def test_a_mixture_lies_between_its_adapters(project: Project, tmp_path: Path) -> None:
    photo = resize(builtin_pictures()["coffee"], (48, 48))
    source = save(tmp_path / "photo.png", photo)
    images = {}
    for name, adapters, weights in [
        ("one", (project.adapter,), None),
        ("twice", (project.adapter, project.adapter), None),
        ("none", (project.adapter, project.adapter), (0.0, 0.0)),
    ]:
        out = edit(config(project, source, tmp_path / f"{name}.png", adapter=adapters, weights=weights)).out
        images[name] = np.array(Image.open(out))
    assert far(images["one"], images["twice"]) < 0.5  # halves of the same adapter are the adapter
    assert far(images["one"], images["none"]) > 0.5
    with pytest.raises(InputError, match="--weights"):
        edit(config(project, source, tmp_path / "x.png", weights=(1.0, 2.0)))
