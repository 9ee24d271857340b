"""Many skipped files in a few lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence


def told(skipped: Sequence[tuple[str, str]], most: int = 4) -> list[str]:
    """At most `most` lines about skipped files: those of one reason together."""
    reasons = Counter(_kind(reason) for _, reason in skipped)
    lines = []
    for kind, count in reasons.most_common(most if len(reasons) <= most else most - 1):
        name, reason = next((name, reason) for name, reason in skipped if _kind(reason) == kind)
        lines.append(f"skipped {name}: {reason}" + (f", and {count - 1} more like it" if count > 1 else ""))
    if rest := sum(reasons.values()) - sum(count for _, count in reasons.most_common(len(lines))):
        lines.append(f"skipped {rest} more, for other reasons")
    return lines


def _kind(reason: str) -> str:
    """A reason without what differs from file to file."""
    return re.sub(r"\d+|[‘(].*?[’)]", "", reason)
