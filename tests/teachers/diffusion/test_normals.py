"""Normal maps of inverse depth, and the ControlNet that paints over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from e2gan.teachers.diffusion.normals import DepthEstimator, normal_image, normals
from e2gan.teachers.diffusion.registry import make_teacher
from tests.conftest import refused
from tests.teachers.diffusion.tiny_diffusion import write_depth
from tests.teachers.diffusion.tiny_teachers import ASK, photos, teacher


def test_a_plane_has_one_normal() -> None:
    """Sobel's 3×3 filter gives 8 times the slope a pixel; z is 2π."""
    y, x = np.mgrid[:40, :50].astype(np.float32)
    found = normals(0.3 * x - 0.2 * y, background=0.0)[1:-1, 1:-1]
    expected = np.array([8 * 0.3, 8 * -0.2, 2 * np.pi])
    assert np.abs(found - expected / np.linalg.norm(expected)).max() < 1e-5


def test_a_sphere_leans_away_from_its_centre_on_all_sides() -> None:
    y, x = np.mgrid[-32:33, -32:33].astype(np.float32)
    depth = np.sqrt(np.maximum(28.0**2 - x**2 - y**2, 0))
    found = normals(depth, background=0.4)
    assert np.abs(np.linalg.norm(found, axis=2) - 1).max() < 1e-6
    assert np.allclose(found[32, 32], (0, 0, 1), atol=1e-6)
    assert found[32, 45, 0] < -0.5  # to the right of the centre it sinks to the right: as MiDaS's map has it
    assert found[45, 32, 1] < -0.5
    assert np.allclose(found[:, ::-1, 0], -found[:, :, 0], atol=1e-6)
    assert np.allclose(found.transpose(1, 0, 2)[:, :, 1], found[:, :, 0], atol=1e-6)
    background = depth / depth.max() < 0.4
    assert np.array_equal(np.unique(found[background], axis=0), [[0, 0, 1]])
    assert (found[~background][:, 2] < 1).sum() > 1000


def test_a_flat_scene_points_at_the_viewer() -> None:
    assert np.array_equal(normals(np.full((5, 6), 3.0, np.float32)), np.broadcast_to((0, 0, 1), (5, 6, 3)))


def test_the_picture_of_a_normal_has_the_networks_channels() -> None:
    """z, y, x: gradio_normal2image.py turns the map round before the network gets it."""
    assert normal_image(np.array([[[1, 0, -1]]], np.float32)).tolist() == [[[0, 127, 255]]]


@pytest.mark.parametrize(("kind", "shape"), [("dpt", (32, 56)), ("hybrid", (32, 48)), ("depth_anything", (28, 42))])
def test_depth_of_each_kind_of_network(kind: Any, shape: tuple[int, int], tmp_path: Path) -> None:
    """In multiples of the patches: 8, 16 and 14 pixels. A DPT sees a square and its map gets the aspect back."""
    estimate = DepthEstimator(str(write_depth(tmp_path / kind, kind)), torch.device("cpu"))
    [photo, other] = photos(2, 40, 66)
    depth = estimate(photo)
    assert (depth.shape, depth.dtype) == (shape, np.float32)
    assert depth.std() > 0
    assert not np.array_equal(estimate(other), depth)


def test_published_dpts_lack_a_layer_that_nothing_uses(tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "dpt")
    [photo] = photos(1)
    before = DepthEstimator(str(folder), torch.device("cpu"))(photo)
    weights = load_file(folder / "model.safetensors")
    unused = [name for name in weights if name.startswith("neck.fusion_stage.layers.0.residual_layer1")]
    assert unused
    for name in unused:
        del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert np.array_equal(DepthEstimator(str(folder), torch.device("cpu"))(photo), before)
    del weights["head.head.0.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    message = refused(lambda: DepthEstimator(str(folder), torch.device("cpu")))
    assert "head.head.0.weight is missing" in message
    assert "--set depth=FOLDER" in message


def test_depth_in_metres_is_refused(tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "metric", "depth_anything")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"depth_estimation_type": "metric"}))
    assert "in metres" in refused(lambda: DepthEstimator(str(folder), torch.device("cpu")))


def test_the_background_is_flat_in_what_the_controlnet_gets(sd: Path, control: dict[str, Any]) -> None:
    def shown(background: float) -> NDArray[np.uint8]:
        one: Any = make_teacher("controlnet-normal", str(sd), control | {"background": background})
        one.load()
        [image] = one._inputs(photos(1), (32, 48))
        assert image.size == (48, 32)
        return np.asarray(image)

    assert np.array_equal(np.unique(shown(1.0).reshape(-1, 3), axis=0)[-1], [255, 127, 127])
    assert len(np.unique(shown(0.0).reshape(-1, 3), axis=0)) > 20


def test_the_normal_teachers_own_settings(sd: Path, control: dict[str, Any], root: Path) -> None:
    one = make_teacher("controlnet-normal", str(sd), control)
    settings = one.settings(ASK)
    assert settings["arguments"]["background"] == 0.4
    assert settings["arguments"]["depth"] == control["depth"]
    assert settings["scheduler"] == "DDIMScheduler"
    for overrides, message in (
        ({"background": 2}, "--set background=2: must be a number from 0 to 1"),
        ({"depth_scale": "x"}, "--set depth_scale=x"),
        ({"depth": 3}, "--set depth=FOLDER"),
        ({"controlnet": str(root / "nowhere")}, "--set controlnet=FOLDER"),
        ({"depth": str(sd)}, "--set depth=FOLDER"),
        ({"strength": 0.5}, "takes no such argument"),
    ):
        assert message in refused(lambda o=overrides: make_teacher("controlnet-normal", str(sd), control | o).load())


def test_controlnet_clips_no_latents(sd: Path, control: dict[str, Any]) -> None:
    one = teacher("controlnet-normal", sd, **control)
    one.load()
    scheduler = one._pipeline.scheduler
    assert not scheduler.config.clip_sample
    assert scheduler.final_alpha_cumprod == scheduler.alphas_cumprod[0] < 1
