"""Today's presets with what makes them quick, and photos of their sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data

from e2gan.core.images import Pixels
from e2gan.teachers.diffusion.presets import SHIPPED, load_presets
from e2gan.teachers.diffusion.registry import make_teacher

PRESETS = {name: p for name, p in load_presets().items() if f"[{name}]" in (SHIPPED / "today.toml").read_text("utf-8")}

SMALL: dict[str, dict[str, Any]] = {
    "flux2-klein": {"side": 64, "num_inference_steps": 2},
    "flux-kontext": {"side": 64, "num_inference_steps": 2, "max_area": 64 * 96, "_auto_resize": False},
    "qwen-edit": {"side": 64, "num_inference_steps": 2},
    "qwen-edit-lightning": {"side": 64},
    "longcat-edit": {"num_inference_steps": 2},
    "longcat-edit-turbo": {"num_inference_steps": 2},
    "sdxl-img2img": {"side": 64, "num_inference_steps": 4},
    "sdxl-turbo": {"side": 64},
    "ledits": {"side": 64, "num_inversion_steps": 4},
    "sana-sprint": {"side": 64, "use_resolution_binning": False},
    "dreamlite": {"side": 64, "num_inference_steps": 2},
    "dreamlite-mobile": {"side": 64},
}
"""What makes a preset quick, beside the tiny model; the rest of its arguments is as it ships."""


def photo(name: str, picture: str = "astronaut") -> Pixels:
    """32×48; 32×50 for LongCat, whose fixed area gives that aspect sides that the tiny autoencoder can halve."""
    width = 50 if name.startswith("longcat") else 48
    return np.ascontiguousarray(getattr(skimage.data, picture)()[100:164:2, 100 : 100 + 2 * width : 2])


def teacher(name: str, model: Path, **overrides: Any) -> Any:
    return make_teacher(name, str(model), SMALL[name] | overrides, device="cpu")
