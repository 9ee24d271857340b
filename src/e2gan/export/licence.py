"""What an export may be used for: the licence of its base, or of its model, as that one's own model card has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from e2gan.networks.folders import effect_name
from e2gan.sharing.licence import NOT_STATED, licence_of, read_card

LICENCE = "LICENCE.txt"  # beside each exported file


def licence_text(what: str, folder: Path, adapters: Sequence[Path] = (), notices: str = "") -> str:
    """LICENCE.txt of an export.

    what: `base` or `model`, which the folder is. adapters: of which those with a card are named. notices: of what else
    lies beside it. Raises InputError as `read_card`.
    """
    parts = [_part(what, read_card(folder))]
    for adapter in adapters:
        if (card := read_card(adapter)) is not None:
            parts.append(_part(f"adapter {effect_name(adapter)}", card))
    return "\n\n\n".join([*parts, *([notices.strip()] if notices else [])]) + "\n"


def _part(what: str, card: str | None) -> str:
    licence = licence_of(card)
    lines = [f"Licence of the {what} that this is made of: {licence}"]
    if licence == NOT_STATED:
        lines.append("Whoever trained it can state one. Until then what it was trained on decides: photos and edits.")
    lines.append("Its model card:\n\n" + card.strip() if card else "It has no model card.")
    return "\n\n".join(lines)
