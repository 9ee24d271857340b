"""Photos as normal maps, and the teacher that paints new pictures over them: ControlNet (Zhang et al. 2023).

The maps are those that control_sd15_normal was trained on: slopes of MiDaS's inverse depth by Sobel's filter, with
what is far away flattened (annotator/midas and gradio_normal2image.py of the authors' code). E²GAN, Sec. B.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, resize
from e2gan.features.hub import image_statistics, model_config, need_transformers, pretrained, pretrained_network
from e2gan.teachers.diffusion.pipelines import number
from e2gan.teachers.diffusion.teacher import DiffusionTeacher

if TYPE_CHECKING:
    from types import ModuleType

    import torch


Floats = NDArray[np.float32]

TOWARDS = 2 * np.pi  # the normal's part towards the viewer before it is scaled to length 1, as the authors have it
MEAN = STD = (0.5, 0.5, 0.5)
DEPTH = "--set depth=FOLDER"
UNUSED = ("neck.fusion_stage.layers.0.residual_layer1.",)  # published DPTs lack it: the first fusion has no residual
NOT_OF_THE_CALL = ("controlnet", "depth", "background", "depth_scale")


def normals(depth_HW: Floats, background: float = 0.4) -> Floats:
    """Inverse depth (H, W), large where near, to vectors of length 1 as (H, W, 3) float32: x, y, z.

    x is the slope of the inverse depth to the right, y downwards, by Sobel's 3×3 filter, and z a constant 2π towards
    the viewer. What lies below `background`, 0..1 from the farthest to the nearest, points at the viewer.
    """
    from scipy.ndimage import sobel

    near, far = float(depth_HW.max()), float(depth_HW.min())
    height = (depth_HW - far) / (near - far) if near > far else np.zeros_like(depth_HW)
    slopes = [np.where(height < background, 0, sobel(depth_HW, axis, mode="mirror")) for axis in (1, 0)]
    vectors = np.stack([*slopes, np.full_like(depth_HW, TOWARDS)], axis=2)
    return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)


def normal_image(normals_HWC: Floats) -> Pixels:
    """Vectors (H, W, 3) to uint8 (H, W, 3) whose channels are z, y, x: the order that the network was trained with."""
    return (normals_HWC[:, :, ::-1] * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


class DepthEstimator:
    """Inverse depth by a DPT (MiDaS) or a Depth Anything of transformers; metric ones, with far as large, are refused.

    name: hub name or folder; NAME@REVISION for weights of another revision of the hub's than main. Raises InputError
    where it is not at hand, or of another kind.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        transformers = need_transformers("a normal map")
        name, _, revision = (name, "", "") if Path(name).expanduser().is_dir() else name.partition("@")
        config = model_config(name, DEPTH, ("dpt", "depth_anything"))
        if getattr(config, "depth_estimation_type", "relative") == "metric":
            raise InputError(f"{name}: gives depth in metres, not inverse depth: name another with {DEPTH}")
        self.device = device
        self.side, self.multiple = _sizes(config)
        self.square = config.model_type == "dpt"  # the library's code for it takes no others
        kind, revision = transformers.AutoModelForDepthEstimation, revision or "main"
        network = pretrained_network(kind, name, DEPTH, UNUSED, revision=revision, use_safetensors=True)
        self._model = network.to(device)
        mean, std = image_statistics(name, MEAN, STD)
        self._mean, self._std = np.array(mean, np.float32), np.array(std, np.float32)

    def __call__(self, photo_HWC: Pixels) -> Floats:
        """A photo, uint8 (H, W, 3) RGB, to inverse depth (h, w) float32 at the network's scale, the aspect kept."""
        import torch

        scale = self.side / min(photo_HWC.shape[:2])
        height, width = (max(1, round(n * scale / self.multiple)) * self.multiple for n in photo_HWC.shape[:2])
        seen = resize(photo_HWC, (self.side, self.side) if self.square else (height, width))
        x = torch.from_numpy((seen.astype(np.float32) / 255 - self._mean) / self._std).permute(2, 0, 1)[None]
        with torch.no_grad():
            depth = self._model(pixel_values=x.to(self.device)).predicted_depth[0].float().cpu().numpy()
        return np.array(Image.fromarray(depth).resize((width, height), Image.Resampling.BILINEAR))


def _sizes(config: Any) -> tuple[int, int]:
    """Side of the images that it was trained on, and of its patches, in pixels."""
    backbone: Any = None if getattr(config, "is_hybrid", False) else config.backbone_config
    return (config.image_size, config.patch_size) if backbone is None else (backbone.image_size, backbone.patch_size)


class NormalTeacher(DiffusionTeacher):
    """Pictures painted from the prompt over the photo's shapes: Stable Diffusion with ControlNet for normal maps.

    As DiffusionTeacher; among the overrides are `controlnet` and `depth`, hub names or folders, `background`, as of
    `normals`, and `depth_scale`, a factor of the inverse depth: 1 is for MiDaS's DPT-Hybrid, which the authors used,
    and the units of other depth networks differ.
    """

    _depth: DepthEstimator | None = None

    def _validate(self) -> None:
        for name in ("controlnet", "depth"):
            if not isinstance(self.arguments.get(name), str):
                raise InputError(f"{self.name}: needs a hub name or a folder: --set {name}=FOLDER")
        self.background = number(self.arguments.get("background", 0.4), "background", 0, 1)
        self.depth_scale = number(self.arguments.get("depth_scale", 1.0), "depth_scale", 1e-9, 1e9)

    def load(self) -> None:
        """See `Teacher.load`."""
        super().load()
        self._depth = self._depth or DepthEstimator(self.arguments["depth"], self._device())

    def close(self) -> None:
        """See `Teacher.close`."""
        self._depth = None
        super().close()

    def _call_arguments(self) -> dict[str, Any]:
        return {name: value for name, value in self.arguments.items() if name not in NOT_OF_THE_CALL}

    def sources(self) -> list[str]:
        return [*super().sources(), self.arguments["controlnet"], self.arguments["depth"]]

    def _components(self, diffusers: ModuleType, dtype: torch.dtype) -> dict[str, Any]:
        load = self._announcing(diffusers.ControlNetModel.from_pretrained)
        name = self.arguments["controlnet"]
        return {"controlnet": pretrained(load, name, "--set controlnet=FOLDER", dtype=dtype, use_safetensors=True)}

    def _inputs(self, photos: Sequence[Pixels], size: tuple[int, int]) -> list[Image.Image]:
        assert self._depth is not None  # `load` came first
        maps = [normal_image(normals(self._depth(photo) * self.depth_scale, self.background)) for photo in photos]
        height, width = size
        return [Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR) for image in maps]
