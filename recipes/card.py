"""The table of the model card: the base that ships and its sample adapters against the teacher, on test photographs.

python recipes/card.py --photos ../shared/photos/test
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from skimage.metrics import structural_similarity

from e2gan.errors import InputError
from e2gan.images import Pixels, list_images, read_image, square
from e2gan.models import Model, base_folder, load_generator, samples
from e2gan.photos import evenly
from e2gan.predictor import Predictor
from e2gan.teachers.filters import apply, find


@dataclass(frozen=True, kw_only=True)
class Card:
    """Print the model card's table."""

    photos: Path
    """Folder of photographs that no training saw."""
    base: Path | None = None
    """Another base than the one that ships: its concepts alone."""
    count: int = 25
    """So many of them, evenly."""
    size: int = 128
    """Side of their centre squares, pixels."""


def row(prompt: str, model: Model, photos: Pixels) -> str:
    """L1 of 255 and SSIM to the teacher, of the edit and of the photo as it is."""
    edits, targets = Predictor(model).batch(photos), np.stack([apply(find(prompt), photo) for photo in photos])
    cells = []
    for images in (edits, photos):
        l1 = np.abs(images.astype(int) - targets).mean()
        ssim = np.mean([structural_similarity(a, b, channel_axis=2) for a, b in zip(images, targets, strict=True)])
        cells += [f"{l1:.1f}", f"{ssim:.2f}"]
    return f"| {prompt} | {' | '.join(cells)} |"


def main() -> int:
    try:
        card = tyro.cli(Card)
        files = evenly(list_images(card.photos), card.count)
        photos = np.stack([square(read_image(file), card.size) for file in files])
        print("| | L1 | SSIM | photo's L1 | photo's SSIM |\n|---|---|---|---|---|")
        for prompt in load_generator(base_folder(card.base))[1]["concepts"]:
            print(row(prompt, Model.load(base=card.base, prompt=prompt), photos), flush=True)
        for name, folder in samples().items() if card.base is None else ():
            model = Model.load(adapter=(folder,))
            print(row(model.prompt, model, photos).replace("|", f"| adapter `{name}`:", 1), flush=True)
    except InputError as error:
        print(f"card: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
