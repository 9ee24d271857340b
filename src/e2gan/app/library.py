"""What the page offers: bases and adapters below a folder, found anew each time that it asks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from e2gan.config import Detail
from e2gan.config.schemas import BASE, AdapterFacts
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, sha256
from e2gan.core.names import printable
from e2gan.core.outputs import read_settings
from e2gan.core.schemas import StageConfig
from e2gan.networks.folders import (
    ABOUT,
    ADAPTER,
    ADAPTER_CONFIG,
    CONCEPT,
    MODEL,
    effect_name,
    folders_below,
    generator_config,
    shipped_adapters,
    shipped_bases,
)
from e2gan.sharing.licence import CARD, licence_of, read_card

MOST_FOLDERS = 20_000  # that are looked into
MOST_WORDS, MOST_LINES = 300, 20  # characters of a line about a folder, and lines
OF_ADAPTER = (ADAPTER, ADAPTER_CONFIG, CONCEPT, ABOUT)
OF_BASE = (MODEL, CONFIG, CARD)
# Names of folders may have spaces; the last name ends at one, since what follows is the sentence.
PATH = re.compile(r"(?<![\w.…])(?:[A-Za-z]:)?[/\\](?:[^\n:'\"/\\]{1,255}[/\\])*([^\s:'\"/\\]+)")

Facts = TypeVar("Facts")
Stamp = tuple[tuple[int, int, int] | None, ...]
"""Time, size and number of each of a folder's files: where they are the same, the files were not read anew."""


@dataclass(frozen=True)
class Effect:
    """An adapter. state: a text that is another one where its files are others."""

    name: str
    prompt: str
    size: int
    detail: Detail
    folder: Path
    state: str


@dataclass(frozen=True)
class Shelf:
    """A base, and the effects on it by their names. id: of its weights' hash."""

    id: str
    name: str
    folder: Path
    size: int
    multiple: int
    licence: str
    effects: Mapping[str, Effect]


@dataclass(frozen=True)
class Library:
    """Bases by their ids, those with effects alone. problems: a line on each folder that cannot be used."""

    shelves: Mapping[str, Shelf]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Base:
    name: str
    folder: Path
    sha256: str
    size: int
    multiple: int
    licence: str


@dataclass(frozen=True)
class _Adapter:
    name: str
    folder: Path
    state: str
    facts: AdapterFacts


class Search:
    """A folder's bases and adapters. Files are read again only where they have changed."""

    def __init__(self, folder: Path, check: Callable[[Path, Path], object], *, samples: bool | None = None) -> None:
        """check: raises InputError where an adapter, the second, does not work on a base. samples: whether those that
        ship are among them; None: where the folder has no adapter. Raises InputError where there is no folder."""
        if not folder.is_dir():
            raise InputError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}")
        self.folder, self.check, self.samples = folder, check, samples
        self._seen: dict[Path, int] = {}  # adapters in the order in which they came: the first keeps its name
        self._read: dict[tuple[Path, ...], tuple[object, object]] = {}

    def look(self) -> Library:
        """What is there now. What is half-written, below a folder NAME.partial, is not looked at."""
        places = list(folders_below(self.folder, MOST_FOLDERS))
        problems: list[str] = []
        bases: dict[str, _Base] = {}
        own = [(name_of(place), place) for place, files in places if {MODEL, CONFIG} <= files and _is_base(place)]
        for name, place in [*own, *shipped_bases().items()]:
            base = self._facts(place, OF_BASE, problems, name, lambda at, name=name: _read_base(name, at))
            if base is not None:
                bases.setdefault(base.sha256, base)
        adapters = [place for place, files in places if ADAPTER in files]
        if self.samples or (self.samples is None and not adapters):
            adapters += shipped_adapters().values()
        found: dict[str, dict[str, Effect]] = {}
        for place in sorted(adapters, key=_age):
            self._seen.setdefault(place, len(self._seen))
        for place in sorted(adapters, key=self._seen.__getitem__):
            name = name_of(place)
            adapter = self._facts(place, OF_ADAPTER, problems, name, _read_adapter)
            if adapter is None:
                continue
            base = bases.get(adapter.facts.get("base_sha256") or "")
            if base is None:
                problems.append(f"{name}: its base ({_short(adapter.facts.get('base'))}) is not here")
            elif self._works(base, adapter, problems):
                first = _add(found.setdefault(base.sha256, {}), base, adapter)
                if first is not None and place.is_relative_to(
                    self.folder
                ):  # of a sample that is here too nothing is lost
                    copy = f"{self._where(place)}: is the same effect as {self._where(first.folder)}, which is shown"
                    problems.append(copy if len(copy) <= MOST_WORDS else f"{copy[:MOST_WORDS]}…")
        shelves: dict[str, Shelf] = {}
        for base in [base for base in bases.values() if base.sha256 in found]:
            named = base.name in (shelf.name for shelf in shelves.values())
            shelf = _shelf(base, f"{base.name} {base.sha256[:6]}" if named else base.name, found[base.sha256])
            shelves[shelf.id] = shelf
        return Library(shelves, _few(problems))

    def _where(self, place: Path) -> str:
        """A folder by its way from the one that is looked into, as text of any page; a sample by its name."""
        way = place.relative_to(self.folder) if place.is_relative_to(self.folder) else Path()
        return printable(os.fsencode(way.as_posix()).decode("utf-8", "replace")) if way.name else name_of(place)

    def _works(self, base: _Base, adapter: _Adapter, problems: list[str]) -> bool:
        """Whether an adapter runs on its base; if not, `problems` has a line on why."""

        def tried(_: Path) -> bool:
            self.check(base.folder, adapter.folder)
            return True

        found = self._facts(adapter.folder, OF_ADAPTER, problems, adapter.name, tried, base.folder)
        return found is not None

    def _facts(
        self,
        place: Path,
        files: tuple[str, ...],
        problems: list[str],
        name: str,
        read: Callable[[Path], Facts],
        *more: Path,
    ) -> Facts | None:
        """What `read` makes of a folder, as long as its files stay as they are; None where it raises InputError, which
        goes among the problems. more: folders that are read with it."""
        key, now = (place, *more), tuple(_stamp(folder, (*files, *OF_BASE)) for folder in (place, *more))
        before, found = self._read.get(key, (None, None))
        if before != now:
            try:
                found = read(place)
            except InputError as error:
                found = error
            except OSError as error:  # it went away, or may not be read
                found = InputError(f"cannot be read ({error.strerror})")
            self._read[key] = now, found
        if isinstance(found, InputError):
            problems.append(about(name, found, place, *more))
            return None
        return found  # pyright: ignore[reportReturnType]


def name_of(folder: Path) -> str:
    """A folder's own name, as text of any page."""
    return _text(folder.resolve().name)


def _text(name: str) -> str:
    return printable(os.fsencode(name).decode("utf-8", "replace")) or "effect"


def _is_base(folder: Path) -> bool:
    """Whether its settings are a base's, or cannot be read: a model from `scratch` has the same files."""
    try:
        return read_json(folder / CONFIG, StageConfig)["stage"] == "base"
    except (InputError, OSError):
        return True


def _read_base(name: str, folder: Path) -> _Base:
    settings = read_settings(folder, BASE, "base")
    config, told = generator_config(settings), licence_of(read_card(folder))
    return _Base(name, folder, sha256(folder / MODEL), settings["size"], config.multiple, told)


def _read_adapter(folder: Path) -> _Adapter:
    if not (folder / ABOUT).is_file():
        raise InputError(f"it has no {ABOUT}: it is an adapter of another program")
    facts = read_json(folder / ABOUT, AdapterFacts)
    if (facts.get("detail") or "guided") not in ("guided", "none"):
        raise InputError(f"its detail is {_short(facts.get('detail'))}, which this version does not know")
    content = repr([sha256(folder / file) if (folder / file).is_file() else None for file in OF_ADAPTER])
    state = hashlib.sha256(content.encode()).hexdigest()[:16]
    return _Adapter(_text(effect_name(folder)), folder, state, facts)


def _add(effects: dict[str, Effect], base: _Base, adapter: _Adapter) -> Effect | None:
    """Under its folder's name; where an older one has that already, with the start of its hash; a copy not at all:
    then that which it is a copy of is returned."""
    if first := next((effect for effect in effects.values() if effect.state == adapter.state), None):
        return first
    name = adapter.name if adapter.name not in effects else f"{adapter.name} {adapter.state[:6]}"
    facts = adapter.facts
    detail: Detail = facts.get("detail") or "guided"  # pyright: ignore[reportAssignmentType]
    size = facts.get("size", base.size)
    effects[name] = Effect(name, facts["prompt"], size, detail, adapter.folder, adapter.state)
    return None


def _few(problems: list[str]) -> tuple[str, ...]:
    """In order, and no more than a page has room for."""
    lines = sorted(problems)
    more = len(lines) - MOST_LINES
    return (*lines[:MOST_LINES], *([f"{more} more"] if more > 0 else []))


def _shelf(base: _Base, name: str, effects: dict[str, Effect]) -> Shelf:
    in_order = dict(sorted(effects.items()))
    return Shelf(base.sha256[:16], name, base.folder, base.size, base.multiple, base.licence, in_order)


def _age(folder: Path) -> tuple[int, str]:
    stamp = _stamp(folder, (ADAPTER,))[0]
    return (stamp[0] if stamp else 0), str(folder)


def _stamp(folder: Path, files: tuple[str, ...]) -> Stamp:
    found: list[tuple[int, int, int] | None] = []
    for name in files:
        try:
            stat = (folder / name).stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def about(name: str, error: Exception, *folders: Path) -> str:
    """A line on what cannot be used, by its name, without a path of the disk. folders: of which the error may speak."""
    text = " ".join(str(error).split())
    for folder in sorted(folders, key=lambda folder: -len(str(folder))):
        for path in (folder.resolve(), folder):
            if len(path.parts) > 0:
                text = text.replace(f"{path}{os.sep}", "").replace(str(path), name_of(folder))
    text = without_paths(text)
    text = text if text.startswith(f"{name}:") else f"{name}: {text}"
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}…"


def without_paths(text: str) -> str:
    """A text with the last name alone of each absolute path in it."""
    return PATH.sub(lambda match: match[1], text)


def _short(value: object) -> str:
    """The last name of what may be a path, of any system."""
    return re.split(r"[/\\]", str(value).rstrip("/\\"))[-1][:60] if value else "not named"
