"""The teacher that needs no weights: classical image operations that imitate edits by a prompt.

Each filter is deterministic and a function of the photo alone, without noise, which no network could learn; what is
irregular in strokes is the same in all photos of a shape. Those of kind "colour" look at one pixel at a time; all
others at edges, regions, neighbourhoods or the place in the photo.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from e2gan.config import PairsConfig
from e2gan.config.checks import need
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.teachers.filters import drawing, effects, painting
from e2gan.teachers.filters.pixels import Floats
from e2gan.teachers.function import FunctionTeacher
from e2gan.teachers.teacher import Ask

Kind = Literal["colour", "light", "edges", "regions", "texture"]


@dataclass(frozen=True)
class Filter:
    """One concept that the built-in teacher knows."""

    name: str
    """Short name, one word."""
    prompt: str
    """The same as a user would ask for it."""
    kind: Kind
    """What it looks at: colour (of one pixel), light (with its place or surroundings), edges, regions, texture."""
    function: Callable[[Floats], Floats]
    """float32 (H, W, 3) RGB in 0..1 to the same; may leave the range, `apply` clips."""
    sided: bool = False
    """Whether a mirrored photo's edit is another one than the mirrored edit: a light, or strokes, that have a side."""


FILTERS: dict[str, Filter] = {
    f.name: f
    for f in (
        Filter("autumn", "make it autumn", "colour", effects.autumn),
        Filter("spring", "make it spring", "colour", effects.spring),
        Filter("winter", "make it winter", "light", effects.winter),
        Filter("dusk", "make it dusk", "light", effects.dusk),
        Filter("night", "make it a moonlit night", "light", effects.night, sided=True),
        Filter("sunrise", "make it sunrise", "light", effects.sunrise, sided=True),
        Filter("golden", "make it golden hour", "light", effects.golden_hour),
        Filter("fog", "make it foggy", "light", effects.fog),
        Filter("rain", "make it rainy", "light", effects.rain, sided=True),
        Filter("storm", "make it stormy", "light", effects.storm),
        Filter("desert", "put it in a hot desert", "light", effects.desert),
        Filter("underwater", "put it underwater", "light", effects.underwater, sided=True),
        Filter("cyberpunk", "make it cyberpunk", "light", effects.cyberpunk, sided=True),
        Filter("sepia", "as a sepia photo", "colour", effects.sepia),
        Filter("mono", "make it black and white", "colour", effects.black_and_white),
        Filter("vintage", "as a vintage film photo", "light", effects.vintage, sided=True),
        Filter("infrared", "as an infrared photo", "colour", effects.infrared),
        Filter("crossprocess", "as a cross-processed photo", "colour", effects.cross_process),
        Filter("thermal", "as a thermal image", "colour", effects.thermal),
        Filter("hdr", "as an HDR photo", "light", effects.hdr),
        Filter("dream", "make it dreamy", "light", effects.dream),
        Filter("miniature", "make it look like a miniature", "light", effects.miniature),
        Filter("sketch", "as a pencil sketch", "edges", drawing.sketch, sided=True),
        Filter("crayon", "as a coloured pencil drawing", "edges", drawing.crayon, sided=True),
        Filter("charcoal", "as a charcoal drawing", "edges", drawing.charcoal, sided=True),
        Filter("neon", "make it glow with neon lines", "edges", drawing.neon, sided=True),
        Filter("comic", "as a comic book panel", "edges", drawing.comic),
        Filter("cartoon", "make it a cartoon", "edges", drawing.cartoon),
        Filter("stone", "carve it in stone", "edges", drawing.stone, sided=True),
        Filter("blueprint", "as a blueprint", "edges", drawing.blueprint),
        Filter("watercolour", "as a watercolour painting", "texture", drawing.watercolour),
        Filter("oil", "as an oil painting", "texture", drawing.oil, sided=True),
        Filter("popart", "as pop art", "regions", drawing.pop_art),
        Filter("mosaic", "as a mosaic", "regions", drawing.mosaic, sided=True),
        Filter("glass", "as a stained glass window", "regions", drawing.stained_glass, sided=True),
        Filter("lowpoly", "as low-poly art", "regions", drawing.low_poly, sided=True),
        Filter("pixel", "as pixel art", "regions", drawing.pixel_art, sided=True),
        Filter("halftone", "as a newspaper halftone print", "texture", drawing.halftone, sided=True),
        Filter("hatching", "as a pen and ink hatching", "texture", painting.hatching, sided=True),
        Filter("brush", "as a painting in sweeping brush strokes", "texture", painting.brush, sided=True),
        Filter("kuwahara", "as a gouache in flat facets of colour", "texture", painting.kuwahara, sided=True),
        Filter("pointillism", "as a pointillist painting", "texture", painting.pointillism, sided=True),
        Filter("impasto", "as thick impasto paint", "texture", painting.impasto, sided=True),
    )
}


def _plain(text: str) -> str:
    """What two spellings of one name share: case, punctuation and American spelling do not count."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return " ".join(words).replace("color", "colour")


_BY_TEXT = {_plain(text): f for f in FILTERS.values() for text in (f.name, f.prompt)}


def find(text: str) -> Filter:
    """The filter of this name ("autumn") or prompt ("make it autumn"), in any case and punctuation.

    Raises InputError where there is none, with the nearest ones and all names.
    """
    wanted = _plain(text)
    if wanted in _BY_TEXT:
        return _BY_TEXT[wanted]
    words = set(wanted.split())
    close = [f for f in FILTERS.values() if f.name in words]  # "a lovely autumn day"
    close += [_BY_TEXT[match] for match in difflib.get_close_matches(wanted, _BY_TEXT, n=3, cutoff=0.55)]
    hint = " or ".join(dict.fromkeys(f'{f.name} ("{f.prompt}")' for f in close[:3]))
    shown = " ".join(text.split())
    raise InputError(
        f'no built-in filter is called "{shown}"'
        + (f"; did you mean {hint}?" if hint else ".")
        + f" There are: {', '.join(FILTERS)}"
    )


def apply(chosen: Filter, photo_HWC: Pixels) -> Pixels:
    """The edited photo: uint8 (H, W, 3) RGB to the same shape, at least 8 pixels a side. The photo is left as it is.

    Raises ValueError for another shape or dtype.
    """
    if photo_HWC.dtype != np.uint8 or photo_HWC.ndim != 3 or photo_HWC.shape[2] != 3:
        raise ValueError(f"a photo is uint8 (H, W, 3), not {photo_HWC.dtype} {photo_HWC.shape}")
    edited = chosen.function(photo_HWC.astype(np.float32) / 255)
    return (np.clip(edited, 0, 1) * 255 + 0.5).astype(np.uint8)


def make(name: str, config: PairsConfig) -> FilterTeacher:
    """The teacher of "filters:NAME"; of "filters", the concept's own. Raises InputError where there is none."""
    _, colon, text = name.partition(":")
    if colon:
        need(bool(text.strip()), f"--teacher {name}: unknown; there are 'filters' and 'filters:NAME'")
        return FilterTeacher(find(text))
    try:
        return FilterTeacher(find(config.concept or ""))
    except InputError as error:
        more = "a diffusion model takes any prompt: --teacher flux2-klein; --teacher filters:NAME gives a filter yours"
        raise InputError(f"{error} ({more})") from None


class FilterTeacher(FunctionTeacher):
    """A filter beside other teachers."""

    def __init__(self, chosen: Filter) -> None:
        def edit(photos: list[Pixels], *_: object) -> list[Pixels]:
            return [apply(chosen, photo) for photo in photos]

        super().__init__(edit, f"filters:{chosen.name}", batch=16, deterministic=True)
        self.filter = chosen
        self.sided = chosen.sided

    def settings(self, ask: Ask) -> dict[str, Any]:  # noqa: ARG002 (a filter knows no prompt)
        return {"filter": self.filter.name}
