"""What a base, a model or an adapter may be used for, as its own model card says in its head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from e2gan.core.files import read_bytes

CARD = "README.md"  # the model card in a base's, a model's or an adapter's folder, in the form that model hubs read
MOST_BYTES = 2**20  # of a card
NOT_STATED = "not stated"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # of a common licence


def read_card(folder: Path) -> str | None:
    """A folder's model card; None where it has none. Raises InputError for one that is no file, or is over 1 MB."""
    card = folder / CARD
    return read_bytes(card, MOST_BYTES).decode("utf-8-sig", errors="replace") if card.exists() else None


def split_card(card: str | None) -> tuple[dict[str, Any], str]:
    """What a card's head says, YAML between two lines of dashes, and the rest; empty where it has no head that can be
    read."""
    import yaml

    found = re.match(r"---[ \t]*\r?\n(.*?)\n---[ \t]*(?:\r?\n|$)(.*)", card or "", re.DOTALL)
    if found is None:
        return {}, card or ""
    try:
        head = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):  # a date that there is not, for one
        head = None
    return (head if isinstance(head, dict) else {}), found[2]


def licence_of(card: str | None) -> str:
    """What a card's head states: `license`, a text or several, with `license_name` where that is `other`; else
    `not stated`."""
    head, _ = split_card(card)
    stated = head.get("license")
    texts = [text.strip() for text in (stated if isinstance(stated, list) else [stated]) if isinstance(text, str)]
    licence = ", ".join(text.lower() if NAME.fullmatch(text) else " ".join(text.split()) for text in texts if text)
    name = head.get("license_name")
    return f"other ({name})" if licence == "other" and isinstance(name, str) and name else licence or NOT_STATED
