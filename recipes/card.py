"""The table of the model card: a base that ships and its sample adapters against the teacher, on test photographs.

python recipes/card.py --photos ../shared/photos/test --styles ../shared/teachers
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from skimage.metrics import structural_similarity

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, read_image, square
from e2gan.core.originals import list_images
from e2gan.data.photos import evenly
from e2gan.editing.predictor import Predictor
from e2gan.networks.folders import base_folder, shipped_adapters
from e2gan.networks.models import Model, load_generator
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.filters.filters import FILTERS, apply
from e2gan.teachers.teacher import Ask, Failed
from styles import style_command, style_prompts


@dataclass(frozen=True, kw_only=True)
class Card:
    """Print the model card's table."""

    photos: Path
    """Folder of photographs that no training saw."""
    base: Path | None = None
    """Another base than the default, with its own sample adapters."""
    styles: Path | None = None
    """Folder of stylize.py and its networks in fast-style, for a base that has learned styles."""
    count: int = 12
    """So many of them, evenly."""
    size: int = 256
    """Side of their centre squares, pixels."""


def teach(card: Card, prompt: str, photos: Pixels) -> Pixels:
    """The teacher's edits (N, H, W, 3) of a prompt, uint8."""
    for concept in FILTERS.values():
        if concept.prompt == prompt:
            return np.stack([apply(concept, photo) for photo in photos])
    styles = {} if card.styles is None else {text: name for name, text in style_prompts(card.styles).items()}
    if card.styles is None or prompt not in styles:
        raise InputError(f"no filter, and no style of --styles, is called '{prompt}'")
    teacher = CommandTeacher(style_command(card.styles, styles[prompt]))
    teacher.load()
    made = teacher.edit(list(photos), Ask(prompt), [0] * len(photos))
    if failed := [edit for edit in made if isinstance(edit, Failed)]:
        raise InputError(f"{prompt}: {failed[0].reason}")
    return np.stack([edit for edit in made if not isinstance(edit, Failed)])


def row(prompt: str, model: Model, photos: Pixels, targets: Pixels) -> str:
    """L1 of 255 and SSIM to the teacher, of the edit and of the photo as it is."""
    cells = []
    for images in (Predictor(model).batch(photos), photos):
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
            print(
                row(prompt, Model.load(base=card.base, prompt=prompt), photos, teach(card, prompt, photos)), flush=True
            )
        for name, folder in shipped_adapters(base_folder(card.base)).items():
            model = Model.load(adapter=(folder,))
            line = row(model.prompt, model, photos, teach(card, model.prompt, photos))
            print(line.replace("|", f"| adapter `{name}`:", 1), flush=True)
    except InputError as error:
        print(f"card: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
