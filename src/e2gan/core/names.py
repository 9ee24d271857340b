"""A text as a file's or folder's name; names that files give, and where they lie; when two prompts are the same one."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path, PurePosixPath

from e2gan.core.errors import InputError

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


_DRIVE = re.compile(r"[A-Za-z]:")


def inside(folder: Path, name: str) -> Path:
    """The path of `name`, which a file gave, below a folder. All names that are read go through here.

    With slashes, also on Windows. Raises InputError for a name that leads out of the folder: an absolute one, one with
    "..", a drive or a backslash, or one that goes through a link to elsewhere; and for what names nothing.
    """
    parts = PurePosixPath(name).parts
    bad = not parts or name.startswith(("/", "~")) or ".." in parts or _DRIVE.match(name)
    if bad or "\\" in name or "\0" in name or any(len(os.fsencode(part)) > 255 for part in parts):
        raise InputError(f"{_shown(name)} is no name of a file inside {folder}")
    path = folder / name
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath((real, root)) != root or real == root:
        raise InputError(f"{_shown(name)} is a link that leads out of {folder}: put the file itself there")
    return path


def one_name(name: str) -> str:
    """`name`, which a file gave, where it can be a file's name or the beginning of one.

    Raises InputError for any other, such as one with a slash.
    """
    bad = name in ("", ".", "..") or _DRIVE.match(name) or any(c in "/\\*?[]" or not c.isprintable() for c in name)
    if bad or name.startswith("~") or len(os.fsencode(name)) > 200:
        raise InputError(f"{_shown(name)} cannot be the name of a file")
    return name


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:80] + "…")
