"""A text as a file's name; names that files give; what outputs are called; when two prompts are the same one."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path, PurePath, PurePosixPath

from e2gan.core.errors import InputError

LONGEST = 64  # characters of a name, which is a folder's
LONGEST_NAME = 255  # bytes, on the file systems of today


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


def file_key(name: PurePath | str) -> str:
    """What a file's name is told from others by on any disk: some know neither case nor Unicode's forms of a letter."""
    text = name if isinstance(name, str) else name.as_posix()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def output_names(files: Sequence[PurePath], ending: Callable[[str], str]) -> list[PurePath]:
    """For each input, a path relative to its root, the name of its output: no two the same on any disk (`file_key`).

    ending: an input's suffix, with its dot → that of its output. An input whose suffix stays keeps its name: `a.png`
    belongs to `a.png`. Another one, `a.bmp`, becomes `a.png`; where that is taken, or `a.gif` would have it too,
    `a-bmp.png`; and where that is taken, a part of its name's hash is added. So a name depends on the inputs that it
    would meet, never on their order. In one that is no UTF-8, what is not becomes a hyphen, and the hash is added. Of
    inputs whose own names are one on some disks, `A.png` and `a.png`, the first in the order of characters keeps
    it. Raises InputError for the same input twice.
    """
    if twice := [file for file, count in Counter(files).items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice: its outputs could not be told apart")
    folders = {file_key(parent) for file in files for parent in file.parents}
    # The names that an input can have, the best first. The last of them is its own alone.
    wishes: dict[PurePath, list[PurePath]] = {}
    for file in files:
        suffix = ending(file.suffix)
        tag = sha256(os.fsencode(file.as_posix())).hexdigest()[:16]
        if not _is_text(file.as_posix()):
            wishes[file] = [_named(_readable(file), _readable(file).stem, f"-{tag}{suffix}")]
            continue
        kept = [file] if suffix == file.suffix else [_named(file, file.stem, suffix)]
        told = [] if suffix == file.suffix else [_named(file, file.name.replace(".", "-"), suffix)]
        wishes[file] = [*kept, *told, _named(file, file.stem, f"-{tag}{suffix}")]
    names: dict[PurePath, PurePath] = {}
    taken = set(folders)
    # Each round gives the names that one input alone asks for: first to those that keep theirs, in the order of names.
    for file in sorted(files, key=lambda file: os.fsencode(file.as_posix())):
        if wishes[file][0] == file and file_key(file) not in taken:
            names[file] = file
            taken.add(file_key(file))
    for wish in range(3):
        asking = {file: of[min(wish, len(of) - 1)] for file, of in wishes.items() if file not in names}
        counts = Counter(map(file_key, asking.values()))
        for file, name in asking.items():
            if counts[file_key(name)] == 1 and file_key(name) not in taken:
                names[file] = name
        taken |= {file_key(name) for name in names.values()}
    if lost := [file for file in files if file not in names]:
        raise InputError(f"{lost[0]}: no name is left for its output: rename it")
    return [names[file] for file in files]


def _named(file: PurePath, stem: str, end: str) -> PurePath:
    """Beside the file, with this name; a stem that is too long for a disk is cut."""
    most = LONGEST_NAME - len(end.encode())
    return file.with_name(os.fsencode(stem)[:most].decode("utf-8", "ignore") + end)


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8, as settings and records are; older disks hold others."""
    return "\ufffd" not in os.fsencode(name).decode("utf-8", "replace")


def _readable(file: PurePath) -> PurePath:
    return type(file)(os.fsencode(file.as_posix()).decode("utf-8", "replace").replace("\ufffd", "-"))


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


def expanded_home(path: Path) -> Path:
    """A path with `~` or `~USER` at its beginning as that home folder. Raises InputError where there is no such
    user."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(f"{path}: there is no such user, whose home folder it would lie in") from None


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


def printable(text: str) -> str:
    """A text with a replacement character for each that a terminal or a page could not show."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
