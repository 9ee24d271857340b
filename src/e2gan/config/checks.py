"""What a setting is checked by: one line that says what is wrong."""

from __future__ import annotations

from e2gan.core.errors import InputError

__all__ = ["at_least", "need"]


def need(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(message)


def at_least(name: str, value: float, least: float) -> None:
    need(value >= least, f"--{name} {value}: must be at least {least}")
