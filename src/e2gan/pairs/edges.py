"""Edges of an image as a complex field, and how far two such fields agree: for scores and for the alignment.

What is compared is the direction of edges, whichever side is bright: the doubled angle of the colour gradient
(Knutsson and Granlund, 1983), all colours together (the structure tensor of Di Zenzo, 1986). So colours, brightness,
contrast and negatives make no difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.complex64]  # (H, W); argument: twice the angle of the edge, modulus: its strength


def blur(x: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Gaussian over the first two axes; sigma in pixels."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, sigma, mode="nearest", truncate=3, axes=(0, 1))


def doubled_gradient(image: NDArray[np.float32]) -> Field:
    """The squared complex gradient of an image (H, W, C), summed over its channels; opposite directions are one."""
    down, right = np.gradient(image, axis=(0, 1))
    return ((right + 1j * down) ** 2).sum(-1)


def correlation(photo: Field, edit: Field, weight: NDArray[Any], faint: float = 0.0) -> float:
    """Correlation of two fields, each times its (H, W) weight, 0..1. faint: power that is added to both, so that weak
    edges agree less."""
    photo, edit = photo * weight, edit * weight
    powers = [(np.abs(field) ** 2).sum() + faint for field in (photo, edit)]
    return float(np.clip(np.vdot(photo, edit).real / max(np.sqrt(powers[0] * powers[1]), 1e-12), 0, 1))
