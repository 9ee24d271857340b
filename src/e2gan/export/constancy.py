"""Whether edits are one colour, as damaged weights make them: two black pictures are alike, and show nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, is_blank

# Share of an edit's pixels that have its most frequent colour. Weights that are 100 to 2,000 times too large gave 0.96
# and more in each photo, at 64 pixels; what is left, at the border, which padding makes another colour, has a standard
# deviation of 14 to 47 of 255. The most of all 43 filters on 25 photographs is 0.93, pop art of a plane in the sky (of
# pop art, comic, charcoal, halftone and infrared on 108, too); of two shipped adapters, on 8, 0.09.
ONE_COLOUR = 0.95
# The same of a photo in eight levels a channel: a night sky with stars, 0.89, whose pop art has 0.99 of one colour, is
# not asked; of 107 others the most is 0.68.
PLAIN, COARSE = 0.8, 32


def share_of_one_colour(image_HWC: Pixels) -> float:
    """Part of the pixels of uint8 (H, W, 3) that have the most frequent colour: 1 for a flat one."""
    red, green, blue = image_HWC.reshape(-1, 3).astype(np.uint32).T
    return float(np.unique(red << 16 | green << 8 | blue, return_counts=True)[1].max() / len(red))


def refuse_constant(what: str, pairs: Iterable[tuple[Pixels, Pixels]]) -> None:
    """Raises InputError where the edits of most photos have one colour but for a few pixels.

    what: whose edits they are, for the line. pairs: photo and edit, uint8 (H, W, 3) each. One edit alone may be so: a
    filter makes large areas of one colour, and a photo that is one colour but for a few pixels says nothing.
    """
    shares = [share_of_one_colour(edit) for photo, edit in pairs if share_of_one_colour(photo // COARSE) < PLAIN]
    if shares and (share := float(np.median(shares))) >= ONE_COLOUR:
        raise InputError(
            f"{what} are one colour but for a few pixels ({share:.1%} of them are), which shows no difference: the "
            "weights are damaged, or far too large; nothing was written"
        )


def refuse_blank(name: str, photos: Pixels, edits: Pixels) -> None:
    """Raises InputError where one of the edits, uint8 (N, H, W, 3), is one flat colour and its photo is not."""
    if any(is_blank(photo, edit) for photo, edit in zip(photos, edits, strict=True)):
        raise InputError(f"the edit of {name} is one flat colour, which shows no difference: nothing was written")
