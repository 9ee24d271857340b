"""What a finished folder holds, as it was written: each file's SHA-256, in the folder's config.json under `files`.

A folder inside that has a record of its own keeps it. The outer record has the hash of its config.json, and of files
that came into it later (a score of a comparison), so that none can be taken away or replaced unnoticed. Files that come
into the outermost folder later, such as an evaluation's, are none of the stage's. config.json has its own hash, of all
its bytes but that hash's digits (`sealed`).

`record_format` stands in a new config.json from the beginning, `files` only at the end: one without the other is a run
that was stopped, or a file that was changed. Earlier versions wrote `files` alone, without folders inside, or neither.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, MOST_JSON, json_bytes, read_bytes, read_json, sha256, write_bytes, write_json
from e2gan.core.progress import in_threads
from e2gan.core.schemas import StageConfig

FILES = "files"
FORMAT = "record_format"
NOW = 2  # the one that is written; earlier ones have no number
PLACE = "place"  # from where the relative paths in the settings are, as a path from the folder
MOST_TEXT = {".json": MOST_JSON, ".jsonl": 2**31}  # bytes, of which no file of ours has more
BLANK = "0" * 64  # where the hash of a file stands in the file itself


@dataclass(frozen=True)
class Found:
    """A folder against its record: the names of files that are as written, changed, gone, or have come since.

    None of them where the folder has no record. What is no regular file is never opened, and counts as changed.
    """

    config: Mapping[str, Any]
    same: list[str]
    changed: list[str]
    missing: list[str]
    added: list[str]

    @property
    def recorded(self) -> bool:
        return FILES in self.config

    @property
    def knows_inner(self) -> bool:
        """Whether the record has the folders inside."""
        return self.recorded and FORMAT in self.config

    @property
    def unfinished(self) -> bool:
        """Whether the record was still to come, or is gone, or stands under another name."""
        renamed = any(isinstance(value, Mapping) and CONFIG in value for value in self.config.values())
        return not self.recorded and (FORMAT in self.config or renamed)


def record(folder: Path, leave_out: Sequence[str] = ()) -> None:
    """Write down what a folder holds now, but for the names in `leave_out`."""
    config = {n: value for n, value in read_json(folder / CONFIG, StageConfig).items() if n not in (FILES, FORMAT)}
    names = [n for n in sorted(_names(folder)) if n not in (CONFIG, *leave_out) and (folder / n).is_file()]
    hashes = dict(zip(names, in_threads(sha256, [folder / name for name in names]), strict=True))
    write_bytes(folder / CONFIG, sealed(config | {FORMAT: NOW, FILES: {CONFIG: BLANK} | hashes}, CONFIG))


def add_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put what a stage found out into its config.json, beside the settings: it does not decide what a rerun is. A
    record that the folder has stays that of its files, and whole where it was."""
    config: dict[str, Any] = {**read_json(folder / CONFIG, StageConfig)}
    own = config.get(FILES, {}).get(CONFIG)
    if own is None:
        write_json(folder / CONFIG, config | dict(facts))
    elif FORMAT not in config:
        rest = {name: value for name, value in config.items() if name != FILES}
        whole = own == _earlier_hash(rest)
        files = config[FILES] | {CONFIG: _earlier_hash(rest | dict(facts)) if whole else own}
        write_json(folder / CONFIG, rest | dict(facts) | {FILES: files})
    elif is_sealed(folder / CONFIG, own, CONFIG):
        files = config[FILES] | {CONFIG: BLANK}
        write_bytes(folder / CONFIG, sealed(config | dict(facts) | {FILES: files}, CONFIG))
    else:
        write_json(folder / CONFIG, config | dict(facts))


def against_record(folder: Path) -> Found:
    """Raises InputError where the folder has no config.json of this program, or a file cannot be read."""
    config = read_json(folder / CONFIG, StageConfig)
    wanted = config.get(FILES, {})
    there = _names(folder, inner=FORMAT in config)
    names = [name for name in wanted if name in there and name != CONFIG]
    hashes = dict(zip(names, in_threads(_hash_of, [folder / name for name in names]), strict=True))
    if FORMAT in config and FILES in config:
        own = wanted.get(CONFIG, "")
        hashes[CONFIG] = own if is_sealed(folder / CONFIG, own, CONFIG) else None
    elif CONFIG in wanted:
        hashes[CONFIG] = _earlier_hash({name: value for name, value in config.items() if name != FILES})
    return Found(
        config=config,
        same=[name for name in hashes if hashes[name] == wanted.get(name, "")],
        changed=[name for name in hashes if hashes[name] != wanted.get(name, "")],
        missing=[name for name in wanted if name not in hashes],
        added=sorted(there - wanted.keys() - {CONFIG}) if wanted else [],
    )


def as_recorded(path: Path, folder: Path) -> bool:
    """Whether a file is the one that the folder's record has, which a rerun may go by; True of one that is in none."""
    if not (folder / CONFIG).is_file() or not path.is_relative_to(folder):
        return True
    wanted = read_json(folder / CONFIG, StageConfig).get(FILES, {}).get(path.relative_to(folder).as_posix())
    return wanted is None or wanted == _hash_of(path)


def place_of(out: Path) -> dict[str, str]:
    """The entry PLACE of what is written at `out`: the current folder, from there; none where there is no such path."""
    try:
        place = os.path.relpath(Path.cwd().resolve(), out.resolve())
        place.encode()
    except ValueError:  # another drive, or a name that is not UTF-8
        return {}
    return {PLACE: place}


def sealed(value: Mapping[str, Any], key: str) -> bytes:
    """The bytes of a JSON file that has its own SHA-256 under `key`, where `value` has BLANK."""
    data = json_bytes(value)
    return data.replace(_entry(key, BLANK), _entry(key, hashlib.sha256(data).hexdigest()), 1)


def is_sealed(path: Path, told: str, key: str) -> bool:
    """Whether a JSON file's bytes are those that were written, by its hash that it tells under `key`.

    Raises InputError where it cannot be read.
    """
    data = read_bytes(path, MOST_JSON)
    return hashlib.sha256(data.replace(_entry(key, told), _entry(key, BLANK), 1)).hexdigest() == told


def _entry(key: str, value: str) -> bytes:
    return f'"{key}": "{value}"'.encode("utf-8", "replace")


def _earlier_hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")).hexdigest()


def _hash_of(path: Path) -> str | None:
    if not path.is_file():  # a pipe would be waited for without end
        return None
    most = MOST_TEXT.get(path.suffix)
    return sha256(path) if most is None or path.stat().st_size <= most else None


def _names(folder: Path, *, inner: bool = True) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in _files(folder, inner=inner)}


def _files(folder: Path, *, inner: bool) -> Iterator[Path]:
    """All files below, but those in the record of a folder inside. inner: with that folder's config.json, and what else
    has come into it."""
    for path in folder.iterdir():
        if not path.is_dir() or path.is_symlink():
            yield path
        elif inner:
            kept = {path / name for name in _recorded(path)} - {path / CONFIG}
            yield from (file for file in _files(path, inner=True) if file not in kept)
        elif not (path / CONFIG).is_file():
            yield from _files(path, inner=False)


def _recorded(folder: Path) -> Mapping[str, str]:
    """The record of a folder; empty where it has none, or none that can be read."""
    try:
        return read_json(folder / CONFIG, StageConfig).get(FILES, {}) if (folder / CONFIG).is_file() else {}
    except InputError:
        return {}
