from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.images import read_image, square
from e2gan.core.originals import list_images
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.features.squeezenet import SHIPPED, SqueezeNetFeatures, squeezenet_maps, squeezenet_parts
from e2gan.measure.distances import frechet_distance


def test_squeezenet_tells_kinds_of_photos_apart(shared: Path) -> None:
    network = SqueezeNetFeatures(shared / "features" / "squeezenet11.safetensors")
    kinds = {}
    for kind in ("faces", "landscapes"):
        files = list_images(shared / "photos" / kind)[:40]
        kinds[kind] = network(np.stack([square(read_image(f), 96) for f in files]))
        assert kinds[kind].shape == (40, 512)
    within = [frechet_distance(f[::2], f[1::2]) for f in kinds.values()]
    assert frechet_distance(kinds["faces"], kinds["landscapes"]) > 2 * max(within)


def test_a_file_that_is_no_squeezenet_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        SqueezeNetFeatures(tmp_path / "nothing")
    with pytest.raises(InputError, match="not a safetensors file"):
        SqueezeNetFeatures(shared / "README.md")
    with pytest.raises(InputError, match="not SqueezeNet"):
        SqueezeNetFeatures(shared / "teachers" / "fast-style" / "udnie.safetensors")


def test_a_squeezenet_of_other_shapes_is_refused_and_half_precision_taken(shared: Path, tmp_path: Path) -> None:
    tensors, _ = read_tensors(shared / "features" / "squeezenet11.safetensors")
    # SqueezeNet 1.0 has the same names and larger kernels: it would run, and measure something else
    write_tensors(tmp_path / "1.0", tensors | {"conv1.weight": torch.zeros(64, 3, 7, 7)})
    with pytest.raises(InputError, match="64×3×7×7, not 64×3×3×3"):
        SqueezeNetFeatures(tmp_path / "1.0")
    write_tensors(tmp_path / "half", {name: tensor.half() for name, tensor in tensors.items()})
    image = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    half = SqueezeNetFeatures(tmp_path / "half")(image)
    full = SqueezeNetFeatures(shared / "features" / "squeezenet11.safetensors")(image)
    assert np.abs(half - full).max() < 0.01 * full.max()
    with pytest.raises(InputError, match="at least 32"):
        SqueezeNetFeatures(tmp_path / "half")(image[:, :16])


def test_squeezenet_reads_colours_in_the_order_that_it_was_trained_on(shared: Path) -> None:
    """A network's features are sparsest on pictures like its training's: with red and blue swapped they are not."""
    network = SqueezeNetFeatures(shared / "features" / "squeezenet11.safetensors")
    faces = np.stack([square(read_image(f), 128) for f in list_images(shared / "photos" / "faces")[:24]])

    def density(images: np.ndarray) -> np.ndarray:
        features = network(images).astype(np.float64)
        return features.mean(0) ** 2 / (features**2).mean(0).clip(1e-12)

    right, swapped = density(faces), density(faces[..., ::-1])
    assert (right < swapped).mean() > 0.6
    assert right.mean() < 0.95 * swapped.mean()


def test_the_one_that_ships_is_the_original_in_half_precision(shared: Path) -> None:
    assert SHIPPED.stat().st_size < 1.5e6
    assert "MIT License" in (SHIPPED.parent / "LICENSE").read_text("utf-8")
    original, _ = read_tensors(shared / "features" / "squeezenet11.safetensors")
    halves, _ = read_tensors(SHIPPED)
    assert halves.keys() == original.keys()
    assert all(torch.equal(halves[name], tensor.half()) for name, tensor in original.items())


def test_layers_have_the_networks_strides_and_are_those_of_the_features() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    levels = torch.from_numpy(image).permute(0, 3, 1, 2).float()
    maps = squeezenet_maps(squeezenet_parts(), levels, ("conv1", "fire3", "fire5", "fire9"))
    assert [tuple(x.shape[1:]) for x in maps] == [(64, 31, 47), (128, 15, 23), (256, 7, 11), (512, 3, 5)]
    assert np.allclose(maps[-1].mean((2, 3)).numpy(), SqueezeNetFeatures()(image), rtol=1e-4)
