"""What a base, a model or an adapter may be used for, as its own model card says in its head."""

from __future__ import annotations

import re
from pathlib import Path

from e2gan.core.files import read_bytes

CARD = "README.md"  # the model card in a base's, a model's or an adapter's folder, in the form that model hubs read
MOST_BYTES = 2**20  # of a card
NOT_STATED = "not stated"


def read_card(folder: Path) -> str | None:
    """A folder's model card; None where it has none. Raises InputError for one that is no file, or is over 1 MB."""
    card = folder / CARD
    return read_bytes(card, MOST_BYTES).decode("utf-8", errors="replace") if card.exists() else None


def licence_of(card: str | None) -> str:
    """What a card's head states: `license`, with `license_name` where that is `other`; else `not stated`."""
    head = re.match(r"---\r?\n(.*?)\n---", card or "", re.DOTALL)
    stated = dict(re.findall(r"^(license|license_name): *([^\s#].*?)\s*$", head[1] if head else "", re.MULTILINE))
    found = {key: value.strip("'\"") for key, value in stated.items()}
    licence, name = found.get("license"), found.get("license_name")
    return f"other ({name})" if licence == "other" and name else licence or NOT_STATED
