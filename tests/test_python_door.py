"""The public functions have the command line's rules: what it refuses, they refuse, in one line."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image

import e2gan
from e2gan import InputError, Model, PairSet, PhotoSet, Predictor
from e2gan.cli import COMMANDS
from e2gan.config.settings import Settings
from e2gan.core.images import Pixels
from e2gan.core.pixel_input import as_pixels
from tests.config.test_settings import made
from tests.conftest import refused
from tests.editing.tiny_model import model, noise

PUBLIC = {name: getattr(e2gan, name) for name in e2gan.__all__}
STAGES = {
    name: thing
    for name, thing in PUBLIC.items()
    if inspect.isfunction(thing) and next(iter(inspect.signature(thing).parameters), "") == "config"
}
OTHER_FUNCTIONS = {"frechet_distance"}
TAKE_IMAGES = {"Predictor.edit", "Predictor.edit_frames", "Predictor.batch"}  # public methods
OWN_CHECKS = {"Generator", "Discriminator", "FunctionTeacher", "Ask", "Failed", "Teacher", "InputError"}
CLASSES = {"Model", "Predictor", "PairSet", "PhotoSet"}


def test_every_public_name_is_looked_at_here() -> None:
    """A new one is a stage of settings, or gets a test of its own below."""
    settings = {name for name, thing in PUBLIC.items() if inspect.isclass(thing) and issubclass(thing, Settings)}
    tables = {"PRESETS", "RECIPES"}
    assert set(PUBLIC) == settings | set(STAGES) | OTHER_FUNCTIONS | CLASSES | OWN_CHECKS | tables
    functions = {target.partition(":")[2] for _, target in COMMANDS.values()}
    assert functions - {"pairs_command", "export"} <= set(STAGES)  # two that choose between stages


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_takes_its_own_settings_alone_and_checks_them(name: str, tmp_path: Path) -> None:
    function: Callable[[Any], Any] = STAGES[name]
    wanted = get_type_hints(function)["config"]
    assert issubclass(wanted, Settings)
    for wrong in (None, "config.json", {"out": tmp_path}, e2gan.Ranks(), Path("x")):
        with pytest.raises(InputError, match=f"expected is {wanted.__name__}") as caught:
            function(wrong)
        assert isinstance(caught.value, TypeError)
    bad = unchecked(wanted, tmp_path)
    if bad is not None:
        assert refused(lambda: function(bad))
    assert not list(tmp_path.iterdir())


def unchecked(cls: type, folder: Path) -> Any:
    """Settings of the right types of which one does not hold; None where nothing but types can be wrong."""
    out = {"out": folder / "out.json"} if "out" in {f.name for f in dataclasses.fields(cls)} else {}
    for name, value in (("size", 7), ("lr", -1.0), ("keep", 0), ("strength", 9.0), ("rows", 0), ("epochs", 0)):
        if name in {f.name for f in dataclasses.fields(cls)} and type(getattr(made(cls), name)) is type(value):
            return made(cls, **{name: value} | out)
    if "training" in {f.name for f in dataclasses.fields(cls)}:
        return made(cls, training=e2gan.TrainingConfig(epochs=0), **out)
    return None


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(model(), "cpu")


PHOTO = noise(64, 96)
FORMS: dict[str, Any] = {
    "float": PHOTO / 255,
    "uint16": PHOTO.astype(np.uint16) * 257,
    "PIL": Image.fromarray(PHOTO),
    "tensor": torch.from_numpy(PHOTO.transpose(2, 0, 1).copy()),
    "float tensor": torch.from_numpy(PHOTO.transpose(2, 0, 1).copy()) / 255,
}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_of_a_photo_gives_the_same_edit(predictor: Predictor, form: str) -> None:
    expected = predictor.edit(PHOTO)
    edited = predictor.edit(FORMS[form])
    assert edited.dtype == np.uint8
    assert np.array_equal(edited, expected)
    assert np.array_equal(predictor.edit(FORMS[form], strength=0), PHOTO)
    alike = predictor.edit(FORMS[form], like_given=True)
    assert isinstance(alike, type(FORMS[form]))
    assert np.array_equal(as_pixels(alike), expected)
    batch = predictor.batch(PHOTO[None])
    assert np.array_equal(predictor.batch([FORMS[form]]), batch)


def test_a_path_and_several_of_any_size_give_the_same_edits(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    expected = predictor.edit(PHOTO)
    assert np.array_equal(predictor.edit(tmp_path / "a.png"), expected)
    small, other = PHOTO[:50, :60], 255 - PHOTO
    given = [PHOTO, str(tmp_path / "a.png"), small, other, *FORMS.values()]
    edits = predictor.edit(given, like_given=True)
    assert all(np.array_equal(as_pixels(a), b) for a, b in zip(edits, predictor.edit(given), strict=True))
    assert [as_pixels(edit).shape for edit in edits] == [PHOTO.shape, PHOTO.shape, small.shape, *[PHOTO.shape] * 6]
    for edit, photo in zip(edits, [PHOTO, PHOTO, small, other, *[PHOTO] * 5], strict=True):
        assert np.abs(as_pixels(edit).astype(int) - predictor.edit(photo)).max() <= 1  # together, and alone
    stack = np.stack([PHOTO, other])
    assert np.array_equal(predictor.edit(stack), predictor.edit_frames(stack))


def test_every_public_method_that_takes_images_is_among_these() -> None:
    """By their annotations: Pixels, or a picture of any form."""
    takers = set()
    for owner in CLASSES:
        for name, method in inspect.getmembers(PUBLIC[owner], inspect.isfunction):
            if not name.startswith("_"):
                texts = [str(p.annotation) for p in inspect.signature(method).parameters.values()]
                if any(
                    word in text
                    for text in texts
                    for word in ("Pixels", "Picture", "Pictures", "NDArray", "Tensor", "Image")
                ):
                    takers.add(f"{owner}.{name}")
    assert takers == TAKE_IMAGES
    assert Pixels is not None


WRONG_EDITS: dict[str, dict[str, Any]] = {
    "strength nan": {"strength": math.nan},
    "strength inf": {"strength": math.inf},
    "strength 5": {"strength": 5},
    "strength below 0": {"strength": -0.1},
    "strength in words": {"strength": "1"},
    "strength true": {"strength": True},
    "strength nothing": {"strength": None},
    "strength an array": {"strength": np.ones(2)},
    "side -5": {"side": -5},
    "side 31": {"side": 31},
    "side nan": {"side": math.nan},
    "side 64.0": {"side": 64.0},
    "side in words": {"side": "64"},
    "tile 0": {"side": 0, "tile": 0},
    "tile 63": {"tile": 63},
    "tile 65": {"tile": 65},
    "tile below 0": {"tile": -64},
    "tile true": {"tile": True},
    "detail": {"detail": "more"},
    "detail nothing": {"detail": None},
}


@pytest.mark.parametrize("kind", list(WRONG_EDITS))
def test_wrong_settings_of_an_edit_are_refused(predictor: Predictor, kind: str) -> None:
    assert refused(lambda: predictor.edit(PHOTO, **WRONG_EDITS[kind])).startswith(f"--{[*WRONG_EDITS[kind]][-1]}")


def test_numbers_of_numpy_are_numbers(predictor: Predictor) -> None:
    expected = predictor.edit(PHOTO, strength=0.5, side=64, tile=64)
    found = predictor.edit(PHOTO, strength=np.float64(0.5), side=np.int64(64), tile=np.int32(64))  # pyright: ignore
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("wrong", [None, "a.jpg", Path("a.jpg"), [[1]], PHOTO > 3, PHOTO.astype(float), PHOTO[0, 0]])
def test_what_is_no_photo_is_refused(predictor: Predictor, wrong: Any) -> None:
    assert refused(lambda: predictor.edit(wrong))
    assert refused(lambda: predictor.batch(wrong))


def test_a_predictor_takes_a_model_and_a_device() -> None:
    assert "takes a Model" in refused(lambda: Predictor("winter"))  # pyright: ignore[reportArgumentType]
    assert "a device is a text" in refused(lambda: Predictor(model(), None))  # pyright: ignore[reportArgumentType]
    assert "must be auto, cpu, cuda, cuda:N or mps" in refused(lambda: Predictor(model(), "abacus"))


def test_adapters_are_named_as_on_the_command_line() -> None:
    expected = Predictor(Model.load(adapter=[Path("winter")]), "cpu").edit(PHOTO)
    for adapter in ("winter", ["winter"], ("winter",), Path("winter")):
        assert np.array_equal(Predictor(Model.load(adapter=adapter), "cpu").edit(PHOTO), expected)


WRONG_MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "a weight too few": ({"adapter": ["winter", "golden"], "weights": [1]}, "1 given for 2 adapters"),
    "a weight too many": ({"adapter": "winter", "weights": [1, 2]}, "2 given for 1 adapters"),
    "weights of nothing": ({"weights": [1]}, "1 given for 0 adapters"),
    "weights without end": ({"adapter": "winter", "weights": [math.inf]}, "not finite"),
    "weights in words": ({"adapter": "winter", "weights": ["much"]}, "expected is a number"),
    "no such adapter": ({"adapter": "nosuch"}, "nosuch is no adapter"),
    "an adapter that is no name": ({"adapter": 5}, "expected is a path"),
    "an adapter and a model": ({"adapter": "winter", "model": "m"}, "--model excludes"),
    "no such base": ({"base": "nosuch"}, "nosuch is no base"),
    "a base that is no name": ({"base": 5}, "expected is a path"),
    "no such model": ({"model": "nosuch"}, "nosuch is no model"),
    "a prompt that is no text": ({"prompt": 5}, "expected is a text"),
}


@pytest.mark.parametrize("kind", list(WRONG_MODELS))
def test_wrong_models_are_refused(kind: str) -> None:
    given, said = WRONG_MODELS[kind]
    assert said in refused(lambda: Model.load(**given))


def test_weights_too_large_to_compute_with_are_refused() -> None:
    assert "--weights" in refused(lambda: Model.load(adapter=["winter", "golden"], weights=[1e38, -1e38]))
    Predictor(Model.load(adapter=["winter", "golden"], weights=[1000, -1000]), "cpu").edit(PHOTO)


@pytest.mark.parametrize(
    "wrong", [{"batch": "8"}, {"batch": 0}, {"batch": 1.5}, {"name": 5}, {"name": " "}, {"deterministic": "no"}]
)
def test_a_function_that_teaches_is_described_by_the_right_types(wrong: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"name": "a"} | wrong
    assert next(iter(wrong)) in refused(lambda: e2gan.FunctionTeacher(lambda *_: [], **settings))


@pytest.mark.parametrize("load", [PairSet.load, PhotoSet.load])
def test_sets_are_loaded_by_their_folders(load: Callable[[Any], object], tmp_path: Path) -> None:
    assert "is no" in refused(lambda: load(str(tmp_path)))
    for wrong in (None, 5, [tmp_path]):
        with pytest.raises((InputError, TypeError)):
            load(wrong)


@pytest.mark.parametrize(
    "wrong", [None, [1.0], np.ones((3, 2)) * 1j, np.full((3, 2), np.nan), np.array([["a", "b"]] * 3), np.ones((1, 2))]
)
def test_a_distance_takes_features_of_real_numbers(wrong: Any) -> None:
    right = np.random.default_rng(0).normal(size=(3, 2))
    assert refused(lambda: e2gan.frechet_distance(wrong, right))
    assert refused(lambda: e2gan.frechet_distance(right, wrong))
