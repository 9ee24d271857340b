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
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2gan.config.checks import need
from e2gan.core.errors import InputError
from e2gan.core.files import read_toml
from e2gan.core.names import LONGEST, slug
from e2gan.teachers.settings import SETTING, storable

KEYS = ("name", "prompt", "source", "teacher", "settings")
INHERITED = ("source", "teacher", "settings")
_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


@dataclass(frozen=True)
class ConceptRow:
    """One concept of a list.

    name: a folder's name, unique in its list. prompt: the edit in words. source: what the photos show, in words, for
    teachers that go from one text to another. teachers: names as of --teacher (none: the command's own). settings:
    arguments of the teachers, as of --set; values are booleans, numbers, texts, or lists of these. inherited: those of
    the settings that are the list's defaults, which teachers without settings pass over.
    """

    name: str
    prompt: str
    source: str | None = None
    teachers: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    inherited: frozenset[str] = frozenset()

    def settings_of(self, teachers: Sequence[str]) -> dict[str, Any]:
        """The settings that go to these teachers: its own, and of the defaults those that one of them can take."""
        from e2gan.teachers import takes_settings

        def fits(name: str) -> bool:
            teacher, dot, _ = name.rpartition(".")
            return teacher in teachers if dot else any(map(takes_settings, teachers))

        return {name: value for name, value in self.settings.items() if name not in self.inherited or fits(name)}


def shipped_lists() -> dict[str, Path]:
    """The lists that come with this package, by name: "filters" has the concepts of the built-in filters."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "lists").glob("*.toml"))}


def read_concepts(path: Path) -> list[ConceptRow]:
    """The concepts of a .toml file, in their order; where one has no name, the prompt's slug is its name.

    Raises InputError, one line with the file and the number of the concept, for a file that is missing, of another kind
    or encoding than UTF-8, or without concepts, for unknown keys, values of a wrong type, and for names
    and prompts that are empty or there twice.
    """
    path = Path(path)
    need(path.suffix.lower() == ".toml", f"{path}: a list of concepts is a .toml file")
    need(path.exists(), f"{path}: there is no such file (lists that are built in: {', '.join(shipped_lists())})")
    rows: list[ConceptRow] = []
    seen: dict[tuple[str, str], str] = {}
    for where, values in _entries(path):
        row = _row(where, values)
        for what, value in (("name", row.name), ("prompt", row.prompt.casefold())):
            if first := seen.get((what, value)):
                mend = ": give one of them a name of its own" if what == "name" else ""
                raise InputError(f"{where}: the {what} '{getattr(row, what)}' is that of {first} too{mend}")
            seen[what, value] = where.removeprefix(f"{path}, ")
        rows.append(row)
    need(bool(rows), f"{path}: lists no concepts: give each a [[concept]]")
    return rows


Entry = tuple[str, Mapping[str, Any]]  # where it stands, for messages; its values, teacher a list of texts


def _entries(path: Path) -> Iterator[Entry]:
    document = read_toml(path)
    _known(str(path), document, ("concept", "defaults"))
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
        yield where, inherited | own | {"settings": common | given, "inherited": common.keys() - given.keys()}


def _known(where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in table:
        need(key in keys, f"{where}: unknown key '{key}'; there are {', '.join(keys)}")


def _typed(where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with teacher as a list, its types checked."""
    values = dict(table)
    for key in ("name", "prompt", "source"):
        need(isinstance(values.get(key, ""), str), f"{where}: {key} must be a text, in quotes")
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
    return ConceptRow(name, prompt, source, teachers, values["settings"], frozenset(values["inherited"]))
