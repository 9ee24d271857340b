"""A text as a file's or folder's name; and when two prompts are the same one."""

from __future__ import annotations

import re
from hashlib import sha256

LONGEST = 64  # characters of a name, which is a folder's


def slug(text: str) -> str:
    """A prompt or a name as a folder's name: a-z, 0-9 and hyphens, at most LONGEST characters.

    What has to leave out letters of other scripts, or an end, has a hash of the whole text at its end instead.
    """
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if found and text.isascii() and len(found) <= LONGEST:
        return found
    tag = sha256(text.encode()).hexdigest()[:8]
    return f"{found[: LONGEST - 9].rstrip('-')}-{tag}".lstrip("-")


def prompt_key(prompt: str) -> str:
    """What a prompt is told from others by: neither case nor space counts."""
    return " ".join(prompt.casefold().split())
