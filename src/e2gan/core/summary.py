"""Many files or edits that were left out, in a few lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

NAMED = 5  # kinds of reasons that are told by name


def skipped_lines(skipped: Sequence[tuple[str, str]], most: int = 4, verb: str = "skipped ") -> list[str]:
    """At most `most` lines about skipped files, (file, reason) each: those of one reason together.

    verb: what begins each line; empty for files that something else is said of."""
    reasons = Counter(_kind(reason) for _, reason in skipped)
    lines = []
    for kind, count in reasons.most_common(most if len(reasons) <= most else most - 1):
        name, reason = next((name, reason) for name, reason in skipped if _kind(reason) == kind)
        lines.append(f"{verb}{name}: {reason}" + (f", and {count - 1} more like it" if count > 1 else ""))
    if rest := sum(reasons.values()) - sum(count for _, count in reasons.most_common(len(lines))):
        lines.append(f"{verb}{rest} more, for other reasons")
    return lines


def _kind(reason: str) -> str:
    """A reason without what differs from file to file."""
    return re.sub(r"\d+|[‘(].*?[’)]", "", reason)


def count_reasons(counts: Mapping[str, int]) -> str:
    """Reasons and how many each has, commonest first, in one line: the first of them by name."""
    named = [f"{count} {reason}" for reason, count in list(counts.items())[:NAMED]]
    others = sum(list(counts.values())[NAMED:])
    return ", ".join(named + ([f"{others} for {len(counts) - NAMED} other reasons"] if others else []))
