"""What an export may be used for: the licence of its base, or of its model, as that one's own model card has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from e2gan.core.files import read_bytes

LICENCE = "LICENCE.txt"  # beside each exported file
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


def licence_text(what: str, folder: Path, adapters: Sequence[Path] = (), notices: str = "") -> str:
    """LICENCE.txt of an export.

    what: `base` or `model`, which the folder is. adapters: of which those with a card are named. notices: of what else
    lies beside it. Raises InputError as `read_card`.
    """
    parts = [_part(what, read_card(folder))]
    for adapter in adapters:
        if (card := read_card(adapter)) is not None:
            parts.append(_part(f"adapter {adapter.resolve().name}", card))
    return "\n\n\n".join([*parts, *([notices.strip()] if notices else [])]) + "\n"


def _part(what: str, card: str | None) -> str:
    licence = licence_of(card)
    lines = [f"Licence of the {what} that this is made of: {licence}"]
    if licence == NOT_STATED:
        lines.append("Whoever trained it can state one. Until then what it was trained on decides: photos and edits.")
    lines.append("Its model card:\n\n" + card.strip() if card else "It has no model card.")
    return "\n\n".join(lines)
