"""What a finished folder holds, as it was written: each file's SHA-256, in the folder's config.json under `files`.

A folder inside that has a config.json of its own keeps its own record. Files that come later, such as an evaluation's,
are none of the stage's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2gan.core.files import CONFIG, read_json, sha256, write_json
from e2gan.core.progress import in_threads
from e2gan.core.schemas import StageConfig

FILES = "files"


@dataclass(frozen=True)
class Found:
    """A folder against its record: the names of files that are as written, changed, gone, or have come since.

    None of them where the folder has no record: an earlier version wrote it.
    """

    config: Mapping[str, Any]
    same: list[str]
    changed: list[str]
    missing: list[str]
    added: list[str]

    @property
    def recorded(self) -> bool:
        return FILES in self.config


def record(folder: Path, leave_out: Sequence[str] = ()) -> None:
    """Write down what a folder holds now, but for the names in `leave_out`."""
    config = {name: value for name, value in read_json(folder / CONFIG, StageConfig).items() if name != FILES}
    names = [name for name in sorted(_names(folder)) if name not in (CONFIG, *leave_out)]
    hashes = dict(zip(names, in_threads(sha256, [folder / name for name in names]), strict=True))
    write_json(folder / CONFIG, config | {FILES: {CONFIG: _hash(config)} | hashes})


def against_record(folder: Path) -> Found:
    """Raises InputError where the folder has no config.json of this program, or a file cannot be read."""
    config = read_json(folder / CONFIG, StageConfig)
    wanted = config.get(FILES, {})
    there = _names(folder)
    names = [name for name in wanted if name in there and name != CONFIG]
    hashes = dict(zip(names, in_threads(sha256, [folder / name for name in names]), strict=True))
    if CONFIG in wanted:
        hashes[CONFIG] = _hash({name: value for name, value in config.items() if name != FILES})
    return Found(
        config=config,
        same=[name for name in hashes if hashes[name] == wanted[name]],
        changed=[name for name in hashes if hashes[name] != wanted[name]],
        missing=[name for name in wanted if name not in hashes],
        added=sorted(there - wanted.keys() - {CONFIG}) if wanted else [],
    )


def _hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")).hexdigest()


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if not (path / CONFIG).is_file():
                yield from _files(path)
        else:
            yield path
