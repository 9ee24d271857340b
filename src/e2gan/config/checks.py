"""What a setting is checked by: one line that says what is wrong."""

from __future__ import annotations

from typing import Any

from e2gan.core.errors import InputError


def need(ok: bool, message: str) -> None:
    """Raises InputError with the message where `ok` is false."""
    if not ok:
        raise InputError(message)


def at_least(name: str, value: float | None, least: float) -> None:
    need(value is None or value >= least, f"--{name} {value}: must be at least {least}")


def positive(name: str, value: float | None) -> None:
    need(value is None or value > 0, f"--{name} {value}: must be positive")


def side(name: str, value: int | None, least: int = 32) -> None:
    """Pixels of a square that the generator can halve three times."""
    good = value is None or (value >= least and value % 8 == 0)
    need(good, f"--{name} {value}: must be a multiple of 8, and at least {least}")


def strength(value: float) -> None:
    """0 is the photo itself, 1 the edit."""
    need(0 <= value <= 1.5, f"--strength {value}: must lie in 0..1.5")


def one_model(config: Any, *, required: bool = False) -> None:
    """Either a base with its adapter, or a whole model; at least one of adapter and model where it is required."""
    need(config.model is None or not (config.base or config.adapter), "--model excludes --base and --adapter")
    need(not required or bool(config.model or config.adapter), "name an --adapter, or a --model from scratch")
