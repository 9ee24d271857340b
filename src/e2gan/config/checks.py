"""What a setting is checked by: one line that says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from e2gan.config.settings import fitted, number
from e2gan.core.errors import InputError


def need(ok: bool, message: str) -> None:
    """Raises InputError with the message where `ok` is false."""
    if not ok:
        raise InputError(message)


MOST = 10**9  # of any number whose option knows no better: a run of as many steps or seconds never ends
MOST_WEIGHT = 1000  # of an adapter in a mixture
MOST_SIDE = 8192  # pixels of a square, which sets and models have at most


def at_least(name: str, value: float | None, least: float, most: float = MOST) -> None:
    need(value is None or value >= least, f"--{name} {value}: must be at least {least}")
    need(value is None or value <= most, f"--{name} {value}: must be at most {most:,}")


def positive(name: str, value: float | None, most: float = MOST) -> None:
    need(value is None or value > 0, f"--{name} {value}: must be positive")
    need(value is None or value <= most, f"--{name} {value}: must be at most {most:,}")


def side(name: str, value: int | None, least: int = 32, most: int = MOST_SIDE) -> None:
    """Pixels of a square that the generator can halve three times."""
    good = value is None or (value >= least and value % 8 == 0)
    need(good, f"--{name} {value}: must be a multiple of 8, and at least {least}")
    need(value is None or value <= most, f"--{name} {value}: must be at most {most:,}")


def strength(value: float) -> None:
    """0 is the photo itself, 1 the edit."""
    number(value, "--strength")
    need(0 <= value <= 1.5, f"--strength {value}: must lie in 0..1.5")


def editing(settings: Any) -> None:
    """strength, side, tile and detail of one edit, wherever they come from."""
    strength(settings.strength)
    for name in ("side", "tile"):
        fitted(getattr(settings, name), int | None, f"--{name}")
    fitted(settings.detail, Literal["auto", "guided", "none"], "--detail")
    need(
        settings.side is None or settings.side == 0 or settings.side >= 32, f"--side {settings.side}: 0, or at least 32"
    )
    at_least("side", settings.side, 0)
    side("tile", settings.tile, 64)


def mixture(weights: Sequence[float] | None, adapters: int) -> None:
    """A weight for each adapter, or none at all."""
    if weights is None:
        return
    need(len(weights) == adapters, f"--weights: {len(weights)} given for {adapters} adapters")
    for weight in weights:
        number(weight, "--weights")
        need(abs(weight) <= MOST_WEIGHT, f"--weights {weight}: must lie in -{MOST_WEIGHT}..{MOST_WEIGHT}")


def one_model(config: Any, *, required: bool = False) -> None:
    """Either a base with its adapter, or a whole model; at least one of adapter and model where it is required."""
    need(config.model is None or not (config.base or config.adapter), "--model excludes --base and --adapter")
    need(not required or bool(config.model or config.adapter), "name an --adapter, or a --model from scratch")


def is_repository(name: str) -> bool:
    """Whether a text has the form of a hub's repository, OWNER/NAME."""
    part = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
    return re.fullmatch(f"{part}/{part}", name) is not None
