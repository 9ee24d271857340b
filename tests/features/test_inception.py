from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.tensors import write_tensors
from e2gan.features import extractors, inception
from e2gan.features.inception import NAME, Inception, InceptionFeatures, download_inception, resized, scaled

Weights = dict[str, Tensor]


def lively(seed: int = 0) -> Weights:
    """Random weights under which every layer matters: batch norms are no identities, features differ."""
    rng = torch.Generator().manual_seed(seed)
    weights = Inception().state_dict()
    for name, w in weights.items():
        if name.endswith("conv.weight"):
            w.normal_(0, (2 / w[0].numel()) ** 0.5, generator=rng)
        elif name.endswith(("running_var", "bn.weight")):
            w.uniform_(0.5, 1.5, generator=rng)
        elif name.endswith(("running_mean", "bn.bias")):
            w.normal_(0, 0.2, generator=rng)
    return weights


@pytest.fixture(scope="module")
def weights() -> Weights:
    return lively()


@pytest.fixture(scope="module")
def pth(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(weights, path)
    return path


@pytest.fixture(scope="module")
def network(pth: Path) -> InceptionFeatures:
    return InceptionFeatures(pth, "cpu")


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(s).resize((width, height))) for s in small])


def prepared(images: np.ndarray) -> Tensor:
    return scaled(np.stack([resized(image) for image in images]))


# ---------------------------------------------------------------------------------------------------------- the network


def test_the_network_has_the_published_files_names_and_counts() -> None:
    shapes = {name: tuple(w.shape) for name, w in Inception().state_dict().items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_5b.branch5x5_2.bn.running_var"] == (64,)
    assert shapes["Mixed_6b.branch7x7dbl_4.conv.weight"] == (128, 128, 7, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert (shapes["fc.weight"], shapes["fc.bias"]) == ((1008, 2048), (1008,))
    counts = {name: w.numel() for name, w in Inception().named_parameters()}
    assert sum(n for name, n in counts.items() if not name.startswith("fc.")) == 21_785_568
    assert len({name.split(".")[0] for name in shapes}) == 17
    assert sum(name.endswith("conv.weight") for name in shapes) == 94


def written_out(w: Weights, x: Tensor) -> Tensor:
    """The graph of 2015 layer by layer, from the tensors' names."""

    def conv(x: Tensor, name: str, stride: int = 1, padding: int | tuple[int, int] = 0) -> Tensor:
        x = F.conv2d(x, w[f"{name}.conv.weight"], stride=stride, padding=padding)
        scale = w[f"{name}.bn.weight"] / torch.sqrt(w[f"{name}.bn.running_var"] + 0.001)
        shift = w[f"{name}.bn.bias"] - w[f"{name}.bn.running_mean"] * scale
        return torch.relu(x * scale[:, None, None] + shift[:, None, None])

    def mean_without_padding(x: Tensor) -> Tensor:
        ones = torch.ones_like(x[:1, :1])
        box = torch.ones(1, 1, 3, 3)
        total = F.conv2d(x.flatten(0, 1)[:, None], box, padding=1).reshape(x.shape)
        return total / F.conv2d(ones, box, padding=1)

    across, down = (0, 3), (3, 0)
    x = conv(conv(conv(x, "Conv2d_1a_3x3", 2), "Conv2d_2a_3x3"), "Conv2d_2b_3x3", padding=1)
    x = F.max_pool2d(x, 3, 2)
    x = F.max_pool2d(conv(conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
    for m in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        one = conv(x, f"{m}.branch1x1")
        five = conv(conv(x, f"{m}.branch5x5_1"), f"{m}.branch5x5_2", padding=2)
        three = conv(conv(x, f"{m}.branch3x3dbl_1"), f"{m}.branch3x3dbl_2", padding=1)
        three = conv(three, f"{m}.branch3x3dbl_3", padding=1)
        x = torch.cat([one, five, three, conv(mean_without_padding(x), f"{m}.branch_pool")], 1)
    assert x.shape[1:] == (288, 35, 35)
    three = conv(conv(x, "Mixed_6a.branch3x3dbl_1"), "Mixed_6a.branch3x3dbl_2", padding=1)
    x = torch.cat(
        [conv(x, "Mixed_6a.branch3x3", 2), conv(three, "Mixed_6a.branch3x3dbl_3", 2), F.max_pool2d(x, 3, 2)], 1
    )
    for m in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        one = conv(x, f"{m}.branch1x1")
        seven = conv(conv(x, f"{m}.branch7x7_1"), f"{m}.branch7x7_2", padding=across)
        seven = conv(seven, f"{m}.branch7x7_3", padding=down)
        twice = conv(conv(x, f"{m}.branch7x7dbl_1"), f"{m}.branch7x7dbl_2", padding=down)
        twice = conv(twice, f"{m}.branch7x7dbl_3", padding=across)
        twice = conv(twice, f"{m}.branch7x7dbl_4", padding=down)
        twice = conv(twice, f"{m}.branch7x7dbl_5", padding=across)
        x = torch.cat([one, seven, twice, conv(mean_without_padding(x), f"{m}.branch_pool")], 1)
    assert x.shape[1:] == (768, 17, 17)
    three = conv(conv(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", 2)
    seven = conv(conv(x, "Mixed_7a.branch7x7x3_1"), "Mixed_7a.branch7x7x3_2", padding=across)
    seven = conv(conv(seven, "Mixed_7a.branch7x7x3_3", padding=down), "Mixed_7a.branch7x7x3_4", 2)
    x = torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)
    for m, pooled in (("Mixed_7b", mean_without_padding), ("Mixed_7c", lambda x: F.max_pool2d(x, 3, 1, 1))):
        one = conv(x, f"{m}.branch1x1")
        y = conv(x, f"{m}.branch3x3_1")
        three = [conv(y, f"{m}.branch3x3_2a", padding=(0, 1)), conv(y, f"{m}.branch3x3_2b", padding=(1, 0))]
        y = conv(conv(x, f"{m}.branch3x3dbl_1"), f"{m}.branch3x3dbl_2", padding=1)
        twice = [conv(y, f"{m}.branch3x3dbl_3a", padding=(0, 1)), conv(y, f"{m}.branch3x3dbl_3b", padding=(1, 0))]
        x = torch.cat([one, *three, *twice, conv(pooled(x), f"{m}.branch_pool")], 1)
    assert x.shape[1:] == (2048, 8, 8)
    return x.mean((2, 3))


def test_the_features_are_those_of_the_graph_written_out(network: InceptionFeatures, weights: Weights) -> None:
    images = noise(2, 120, 90)
    found = network(images)
    assert (found.shape, found.dtype) == ((2, 2048), np.float32)
    expected = written_out(weights, prepared(images)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(found[0] - found[1]).mean() > 0.01 * np.abs(found).mean()  # else the above says nothing


def test_parts_change_nothing(network: InceptionFeatures, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(3, 64, 64)
    images.flags.writeable = False
    together = network(images)
    monkeypatch.setattr(extractors, "BATCH", 2)
    assert np.allclose(network(images), together, rtol=1e-4, atol=1e-5 * together.max())


# ------------------------------------------------------------------------------------------------------ the preparation


def test_images_are_resized_in_floats_channel_by_channel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 64, 3), dtype=np.uint8)
    found = prepared(image)
    assert (found.shape, found.dtype) == ((1, 3, 299, 299), torch.float32)
    for channel in range(3):
        plane = Image.fromarray(image[0, :, :, channel]).convert("F").resize((299, 299), Image.Resampling.BICUBIC)
        by_hand = (np.clip(np.asarray(plane), 0, 255) - 128) / 128
        assert np.abs(found[0, channel].numpy() - by_hand).max() < 1e-6
    levels = found * 128 + 128
    assert (levels - levels.round()).abs().mean() > 0.2  # nothing was rounded to 8 bits


def test_images_of_the_networks_size_stay_as_they_are() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 299, 299, 3), dtype=np.uint8)
    assert torch.equal(prepared(image)[0], (torch.from_numpy(image[0]).permute(2, 0, 1).float() - 128) / 128)


def test_shrinking_is_antialiased_and_overshoot_is_clipped() -> None:
    fine = np.indices((1196, 1196)).sum(0) % 2 * np.uint8(255)
    grey = prepared(np.repeat(fine[None, :, :, None].astype(np.uint8), 3, 3))
    assert (grey[..., 4:-4, 4:-4] - (127.5 - 128) / 128).abs().max() < 0.02
    edge = np.zeros((1, 64, 64, 3), np.uint8)
    edge[:, :, 32:] = 255
    found = prepared(edge)
    assert found.min() == -1
    assert found.max() == (255 - 128) / 128


# ------------------------------------------------------------------------------------------------------------- the file


@pytest.mark.slow
def test_every_format_gives_the_same_features_and_says_what_it_is(
    network: InceptionFeatures, weights: Weights, tmp_path: Path
) -> None:
    images = noise(1, 50, 50)
    expected = network(images)
    # As of 2019: the older container, and no count of batches
    old = {name: w for name, w in weights.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    write_tensors(tmp_path / "same.safetensors", weights)
    for path in (tmp_path / "old.pth", tmp_path / "same.safetensors"):
        found = InceptionFeatures(path, "cpu")
        assert np.array_equal(found(images), expected)
        assert not found.published
        assert str(path) in found.note
    assert "not the published file" in network.note


def test_the_published_file_is_known_by_its_hash(pth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "HASH", sha256(pth))
    found = InceptionFeatures(pth, "cpu")
    assert found.published
    assert found.note == ""
    # A file that bears the name, cut short in a download
    cut = tmp_path / f"pt_inception-{inception.HASH[:8]}.pth"
    cut.write_bytes(pth.read_bytes()[:-1000])
    with pytest.raises(InputError, match="damaged"):
        InceptionFeatures(cut)


def test_loading_uses_up_no_chance(pth: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    InceptionFeatures(pth, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


class Touch:
    """What a pickle must not be allowed to run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_files_of_another_kind_are_refused(weights: Weights, tmp_path: Path) -> None:
    def refused(name: str, words: str) -> None:
        with pytest.raises(InputError, match=words) as error:
            InceptionFeatures(tmp_path / name)
        assert "\n" not in str(error.value)

    refused("nothing.pth", "missing: --inception needs pt_inception")
    refused("nothing.safetensors", "missing")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    refused("page.pth", "no PyTorch file of weights")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Touch(tmp_path / "touched")))
    refused("code.pth", "no PyTorch file of weights")
    torch.save({"state_dict": weights["fc.bias"], "epoch": 3}, tmp_path / "checkpoint.pth")
    refused("checkpoint.pth", "no table of tensors")
    # torchvision's Inception for ImageNet has the same names, and measures something else
    imagenet = weights | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    write_tensors(tmp_path / "imagenet.safetensors", imagenet)
    refused("imagenet.safetensors", "fc.weight is 1000×2048, not 1008×2048")
    write_tensors(tmp_path / "part.safetensors", {"fc.bias": weights["fc.bias"]})
    refused("part.safetensors", "it has no Conv2d_1a_3x3.conv.weight")
    assert not (tmp_path / "touched").exists()


def test_the_file_is_downloaded_once_and_checked(pth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(inception, "URL", pth.as_uri())
    with pytest.raises(InputError, match="invalid hash"):
        download_inception()
    assert not list((tmp_path / "cache").rglob("*inception*"))  # nothing half-right stays
    monkeypatch.setattr(inception, "HASH", sha256(pth))
    found = download_inception()
    assert found == tmp_path / "cache" / "hub" / "checkpoints" / NAME
    assert found.read_bytes() == pth.read_bytes()
    monkeypatch.setattr(inception, "URL", "http://127.0.0.1:9/none")
    assert InceptionFeatures(None, "cpu").published  # without the network


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(inception, "URL", "http://127.0.0.1:9/none")  # a port where nobody listens
    with pytest.raises(InputError) as error:
        InceptionFeatures()
    message = str(error.value)
    assert NAME in message
    assert "--inception FILE" in message
    assert "\n" not in message
