"""Files that list many concepts, so that one command makes all of their pair sets.

TOML, with defaults that a concept's own values replace (settings one by one):

    [defaults]
    teacher = ["sd-img2img", "instruct-pix2pix"]
    source = "a photo of a landscape"

    [[concept]]
    prompt = "make it autumn"

    [[concept]]
    name = "gogh"
    prompt = "as a painting by van Gogh"
    settings = { strength = 0.75 }

At the top it can take over other lists, and say what a user of it should know:

    about = "The paper's text says 20, its list has 24."
    include = ["paper-faces-base", "more/of-mine.toml"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from e2gan.config.checks import need
from e2gan.config.schemas import ConceptListFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_toml
from e2gan.core.names import LONGEST, slug
from e2gan.teachers.settings import SETTING, storable

KEYS = ("name", "prompt", "source", "teacher", "settings", "sided")
INHERITED = ("source", "teacher", "settings", "sided")
TOP = ("about", "include", "defaults", "concept")
_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


@dataclass(frozen=True)
class ConceptRow:
    """One concept of a list.

    name: a folder's name, unique in its list. prompt: the edit in words. source: what the photos show, in words, for
    teachers that go from one text to another. teachers: names as of --teacher (none: the command's own). settings:
    arguments of the teachers, as of --set; values are booleans, numbers, texts, or lists of these. inherited: those of
    the settings that are the list's defaults, which teachers without settings pass over. own_teachers: whether the
    teachers are the concept's own, which go before those of the command, or the list's defaults, which do not. sided:
    whether the edit has a side, as of --sided.
    """

    name: str
    prompt: str
    source: str | None = None
    teachers: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    inherited: frozenset[str] = frozenset()
    own_teachers: bool = False
    sided: bool = False

    def settings_of(self, teachers: Sequence[str]) -> dict[str, Any]:
        """The settings that go to these teachers: its own, and of the defaults those that one of them can take."""
        from e2gan.teachers import takes_settings

        def fits(name: str) -> bool:
            teacher, dot, _ = name.rpartition(".")
            return teacher in teachers if dot else any(map(takes_settings, teachers))

        return {name: value for name, value in self.settings.items() if name not in self.inherited or fits(name)}


@dataclass(frozen=True)
class ConceptList:
    """A list of concepts and what it includes, each concept once.

    about: what a user should know, "LIST: TEXT" for it and each list that it includes.
    """

    path: Path
    concepts: list[ConceptRow]
    about: list[str]


def shipped_lists() -> dict[str, Path]:
    """The lists that come with this package, by name: "filters", and those of the paper's concepts."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "lists").glob("*.toml"))}


def read_list(name: str | Path) -> ConceptList:
    """The concepts of a list that ships, by its name, or of a .toml file, those that it includes first.

    A concept that several included lists have counts once. Raises InputError, one line with the file and the number of
    the concept, for a file that is missing, of another kind or encoding than UTF-8, or without concepts, for unknown
    keys, values of a wrong type, names and prompts that are empty or there twice, for lists that include each other,
    and for concepts of the same name or prompt of which the included lists say different things.
    """
    path = shipped_lists().get(str(name), Path(name))
    rows: dict[str, tuple[ConceptRow, str]] = {}  # by name, with where it stands
    prompts: dict[str, str] = {}
    about: dict[Path, str] = {}  # of each file that was read; empty where it says nothing
    for where, file, row in _rows(path, (), about):
        twin, place = rows.get(row.name) or rows.get(prompts.get(row.prompt.casefold(), "")) or (None, "")
        if twin is None:
            rows[row.name], prompts[row.prompt.casefold()] = (row, where), row.name
        elif place.startswith(f"{file}, ") or replace(row, prompt=row.prompt.casefold()) != replace(
            twin, prompt=twin.prompt.casefold()
        ):
            raise _twice(where, row, twin, place.removeprefix(f"{file}, "))
    need(bool(rows), f"{path}: lists no concepts: give each a [[concept]]")
    return ConceptList(path, [row for row, _ in rows.values()], [text for text in about.values() if text])


def _twice(where: str, row: ConceptRow, twin: ConceptRow, place: str) -> InputError:
    if row.name != twin.name:
        return InputError(f"{where}: the prompt '{row.prompt}' is that of {place} too")
    if row.prompt.casefold() != twin.prompt.casefold():
        return InputError(f"{where}: the name '{row.name}' is that of {place} too: give one of them a name of its own")
    same = "" if row == twin else ", with another source, teacher, settings or side"
    return InputError(f"{where}: the concept '{row.name}' is that of {place} too{same}")


def _rows(path: Path, within: tuple[Path, ...], about: dict[Path, str]) -> Iterator[tuple[str, Path, ConceptRow]]:
    """Where each concept stands, its file, and the concept: those of the included lists, then the list's own."""
    need(path.suffix.lower() == ".toml", f"{path}: a list of concepts is a .toml file")
    need(path.exists(), f"{path}: there is no such file (lists that are built in: {', '.join(shipped_lists())})")
    real = path.resolve()
    circle = " → ".join(file.name for file in (*within[within.index(real) :], real)) if real in within else ""
    need(not circle, f"{path}: lists that include each other in a circle: {circle}")
    if real in about:  # two lists include it
        return
    document = read_toml(path, ConceptListFile)
    _known(str(path), document, TOP)
    text = document.get("about")
    good = text is None or (isinstance(text, str) and bool(text.strip()))
    need(good, f"{path}: about must be a text, in quotes")
    about[real] = f"{path.stem}: {' '.join(text.split())}" if text else ""
    included = document.get("include", [])
    good = isinstance(included, list) and all(isinstance(name, str) for name in included)
    need(good, f"{path}: include must be a list of names of lists, or of .toml files")
    for name in included:
        if name.lower().endswith(".toml"):
            other = path.parent / name
        else:
            shipped = shipped_lists()
            need(name in shipped, f"{path}: include: no list '{name}' ships; there are {', '.join(shipped)}")
            other = shipped[name]
        yield from _rows(other, (*within, real), about)
    for where, values in _entries(path, document):
        yield where, path, _row(where, values)


Entry = tuple[str, Mapping[str, Any]]  # where it stands, for messages; its values, teacher a list of texts


def _entries(path: Path, document: Mapping[str, Any]) -> Iterator[Entry]:
    defaults, concepts = document.get("defaults", {}), document.get("concept", [])
    need(isinstance(defaults, dict), f"{path}: defaults must be a table: [defaults]")
    listed = isinstance(concepts, list) and all(isinstance(entry, dict) for entry in concepts)
    need(listed, f"{path}: concept must be a list of tables: [[concept]], in double brackets")
    _known(f"{path}, [defaults]", defaults, INHERITED)
    inherited = _typed(f"{path}, [defaults]", defaults)
    for i, entry in enumerate(concepts, 1):
        where = f"{path}, concept {i}"
        _known(where, entry, KEYS)
        own = _typed(where, entry)
        given, common = own.get("settings", {}), inherited.get("settings", {})
        merged = {"settings": common | given, "inherited": common.keys() - given.keys()}
        yield where, inherited | own | merged | {"own_teachers": bool(own.get("teacher"))}


def _known(where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in table:
        need(key in keys, f"{where}: unknown key '{key}'; there are {', '.join(keys)}")


def _typed(where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with teacher as a list, its types checked."""
    values = dict(table)
    for key in ("name", "prompt", "source"):
        need(isinstance(values.get(key, ""), str), f"{where}: {key} must be a text, in quotes")
    need(isinstance(values.get("sided", False), bool), f"{where}: sided must be true or false")
    if isinstance(values.get("teacher"), str):
        values["teacher"] = [values["teacher"]]
    teachers = values.get("teacher", [])
    good = isinstance(teachers, list) and all(isinstance(name, str) for name in teachers)
    need(good, f"{where}: teacher must be a text or a list of texts")
    settings = values.get("settings", {})
    need(isinstance(settings, dict), f"{where}: settings must be a table: settings = {{ strength = 0.6 }}")
    for name, value in settings.items():
        need(bool(SETTING.fullmatch(name)), f"{where}: settings: '{name}' is no name of an argument")
        good = storable(value)
        need(good, f"{where}: settings.{name} must be true, false, a finite number, a text, or a list of these")
    return values


def _row(where: str, values: Mapping[str, Any]) -> ConceptRow:
    need("prompt" in values, f'{where}: has no prompt: say what the edit does, e.g. "make it autumn"')
    prompt = " ".join(values["prompt"].split())
    need(bool(prompt), f'{where}: the prompt is empty: say what the edit does, e.g. "make it autumn"')
    name = values.get("name", slug(prompt))
    good = len(name) <= LONGEST and _NAME.fullmatch(name)
    need(
        bool(good),
        f"{where}: the name '{name}' must be of a-z, 0-9 and hyphens, and at most {LONGEST} characters"
        + (f": write it as '{slug(name)}'" if name.strip() else ", or left out"),
    )
    source = values.get("source")
    if source is not None:
        source = " ".join(source.split())
        need(bool(source), f"{where}: the source is empty: say what the photos show, or leave it out")
    teachers = tuple(teacher.strip() for teacher in values.get("teacher", []))
    need(all(teachers), f"{where}: a teacher's name is empty")
    need(len(set(teachers)) == len(teachers), f"{where}: a teacher is named twice: {', '.join(teachers)}")
    inherited, own_teachers = frozenset(values["inherited"]), values["own_teachers"]
    sided = values.get("sided", False)
    return ConceptRow(name, prompt, source, teachers, values["settings"], inherited, own_teachers, sided)
