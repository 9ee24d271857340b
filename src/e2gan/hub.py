"""Pretrained networks by a hub's name or a local folder; where neither is at hand, one line that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from e2gan.errors import InputError

__all__ = ["need_transformers", "pretrained"]


def need_transformers(why: str) -> ModuleType:
    """The library transformers, quiet. Raises InputError where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise InputError(f"{why} needs the package transformers: pip install 'e2gan[clip]'") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return transformers


def pretrained(load: Callable[..., Any], name: str, option: str, **arguments: Any) -> Any:
    """`load(name)` of a `from_pretrained`; weights as safetensors only where `load` reads weights.

    Raises InputError where the name is neither a folder nor known to the hub's cache, and there is no network.
    """
    if not Path(name).exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise InputError(f"{option} {name}: there is no such folder")
    try:
        return load(name, **arguments)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(
            f"cannot load {name} ({reason}): connect to the hub once, or name a local copy of the folder with {option}"
        ) from error
