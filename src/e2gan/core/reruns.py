"""Whether a run is the one that an earlier one was: by its settings, and the bytes of the files that it reads.

`differences` is the one comparison, for the folders that `outputs.py` claims and for single JSON files; what differs is
told in the words of the settings. The hashes of what a stage reads are made in `identity.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError
from e2gan.core.files import clear_beside, plain, read_json
from e2gan.core.schemas import fits

if TYPE_CHECKING:
    from e2gan.core.identity import Reads

# What a setting counts as where a folder of an earlier version lacks it, or where this version no longer has it; None
# where nothing is said here. A setting that comes or goes gets a line, so that older folders stay the same run.
ABSENT: dict[str, Any] = {
    "lut_size": 17,  # scratch
    "sided": False,  # trainings
    "training.perceptual": 0.0,
    "training.gram": 0.0,
    "training.lr_d": None,
    "training.feature_matching": 0.0,
    "generator.activation": "relu",
    "generator.output": "tanh",
    "generator.fold": 1,
    "generator.place": False,
    "ranks_cut": True,  # finished runs count as the same; half-done ones go on uncut (`begun_without`)
    "metadata": "keep",  # edit
    "provenance": True,
    "runtime": "pytorch",
}

CONTENT = "content"  # the setting that holds `reads`: hashes of the bytes of what a stage reads
# What stood for the files before there was CONTENT: names and sizes, or an index without its images. Two runs of which
# one has no CONTENT, since an earlier version wrote it, are told apart by these; two that have it, by CONTENT alone.
BEFORE_CONTENT = ("files_sha256", "from_sha256", "pairs_sha256", "photos_sha256")
WORDS = {"sided": "its pairs have been said to have a side since, and are not mirrored any more"}
PICTURES = ("pairs", "base_pairs", "photos", "before", "after", "aligned", "unaligned", "folder", "input")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], group: str = "") -> list[str]:
    """The names of the settings in which two runs differ, `training.lr` for one inside a group."""
    names, passed = [], ()
    if not group:
        passed = BEFORE_CONTENT if all(run.get(CONTENT) is not None for run in (old, new)) else (CONTENT,)
    for key in sorted({*old, *new}.difference(passed)):
        name = f"{group}{key}"
        before, after = (settings.get(key, ABSENT.get(name)) for settings in (old, new))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            names += differences(before, after, f"{name}.")
        elif before != after:
            names.append(name)
    return names


def in_words(changed: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The settings that differ as a user knows them: files whose bytes differ by what they are and where they lie."""
    words = []
    for name in changed:
        group, _, role = name.partition(".")
        if group == CONTENT and role in changed:
            continue  # other files of another name
        if group == CONTENT:
            where = settings.get(role)
            where = ", ".join(map(str, where)) if isinstance(where, (list, tuple)) else where or "it is made from"
            kind = "pictures" if role in PICTURES else "files"
            name = f"the {kind} {where}" if where == "it is made from" else f"the {kind} of {where}"
        words.append(WORDS.get(name, name))
    return ", ".join(dict.fromkeys(words))


def with_reads(settings: Mapping[str, Any], reads: Reads) -> dict[str, Any]:
    """Settings with what the stage reads among them, as JSON holds them."""
    return plain(settings) | {CONTENT: plain({what: found for what, found in reads.items() if found is not None})}


def earlier_file(out: Path, stage: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
    """The JSON file that a run of the stage wrote at `out`, and the settings in which it differs; None without one.

    settings: of `with_reads`. The file holds `stage`, and its settings under `settings` or beside it. Raises InputError
    for a file that another program wrote: only this program's own is its to replace.
    """
    if CONTENT not in settings:
        raise TypeError("a stage says what it reads: with_reads(settings, ...)")
    if (content := ours(out, stage)) is None:
        return None
    stored = content.get("settings", {name: content.get(name) for name in settings})
    return content, differences(stored if isinstance(stored, dict) else {}, plain(settings))


def ours(out: Path, stage: str, earlier: Any = None) -> dict[str, Any] | None:
    """What a JSON file says that the stage wrote at `out`; None where there is none.

    earlier: a form of config/schemas.py, by which files of earlier versions are known, which do not name their stage.
    Raises InputError for a file that another program wrote: only this program's own is its to replace.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder: --out needs a file")
    clear_beside(out)
    if not out.exists():
        return None
    content = read_json(out, Any)  # it may be of any program
    named = isinstance(content, dict) and content.get("stage") == stage
    if not named and (earlier is None or not fits(content, earlier, out.parent)):
        raise InputError(f"{out} was not written by e2gan {stage}: move it away, or choose another --out")
    return content


def replaced_note(what: str, changed: Sequence[str]) -> str:
    """What a user should know where a file of other settings is replaced."""
    told = {name: name.partition(".")[2] for name in changed if name.startswith(f"{CONTENT}.")}
    names = [f"pictures or files ({told[name]})" if name in told else name for name in changed]
    names = [name for name, key in zip(names, changed, strict=True) if told.get(key) not in changed]
    return f"replaced an earlier {what} (of other {', '.join(dict.fromkeys(names)) or 'content'})"
