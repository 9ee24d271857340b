"""Whether what a file says has the form that its reader expects: types, ranges, names that stay inside a folder.

A form is a TypedDict, a dataclass, or any other type; those of the files that are read stand in config/schemas.py,
but for the two that core and config/network.py read themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from e2gan.core.errors import InputError
from e2gan.core.names import inside, one_name

DEEPEST = 64  # objects and lists inside each other
LARGEST = 2**63  # of whole numbers


class FileName(str):
    """In a form: a path below the folder that the file lies in."""


class Id(str):
    """In a form: what becomes the name of a file, or a part of one."""


class StageConfig(TypedDict):
    """config.json of any stage."""

    stage: str
    settings: dict[str, Any]
    versions: NotRequired[dict[str, str]]
    place: NotRequired[str]  # core/record.py has these three
    record_format: NotRequired[int]
    files: NotRequired[dict[str, str]]


Count = Annotated[int, msgspec.Meta(ge=0)]
Rank = Annotated[int, msgspec.Meta(ge=0, le=4096)]


class RankNumbers(TypedDict):
    """As `Ranks` of config/network.py, all of them."""

    level1: Rank
    level2: Rank
    level3: Rank
    level4: Rank
    tb: Rank


class RanksOf(TypedDict):
    """ranks.json, to those who take its ranks."""

    ranks: RankNumbers


def check_form(value: Any, form: Any, where: str, folder: Path) -> None:
    """Raises InputError, one line that begins with `where`, unless a value that was read has the form.

    folder: that the names in it must stay inside of.
    """
    try:
        msgspec.convert(value, form, dec_hook=_names(folder))
    except msgspec.ValidationError as error:
        what, _, place = str(error).replace("`", "").partition(" - at ")
        place = place.removeprefix("$").removeprefix(".")
        raise InputError(f"{where}{f', at {place}' if place else ''}: {what[:1].lower()}{what[1:]}") from None
    except (RecursionError, OverflowError) as error:
        raise InputError(f"{where}: {error}") from None


def fits(value: Any, form: Any, folder: Path) -> bool:
    """Whether a value has the form; see `check_form`."""
    try:
        check_form(value, form, "", folder)
    except InputError:
        return False
    return True


def _names(folder: Path) -> Callable[[type, Any], Any]:
    def check(kind: type, value: Any) -> Any:
        if kind not in (FileName, Id):
            raise NotImplementedError(f"{kind} is in a form, and nothing here says what it is")
        if not isinstance(value, str):
            raise ValueError(f"Expected str, got {type(value).__name__}")
        try:
            if kind is FileName:
                inside(folder, value)
            else:
                one_name(value)
        except InputError as error:
            raise ValueError(str(error)) from None
        return kind(value)

    return check


def check_sound(value: Any, where: str, *, finite: bool = True) -> None:
    """Raises InputError for what JSON and TOML can say and no reader can use: deeper than DEEPEST, whole numbers of
    more than 64 bits, texts with a NUL or half a character; and, where `finite`, numbers that are not."""
    waiting = [iter((value,))]  # those of the lists and tables that lie in each other
    while waiting:
        item = next(waiting[-1], waiting)
        if item is waiting:
            waiting.pop()
        elif isinstance(item, (dict, list)):
            if len(waiting) > DEEPEST:
                raise InputError(f"{where}: lists or tables in each other, more than {DEEPEST} deep")
            waiting.append(iter(item) if isinstance(item, list) else chain(item, item.values()))
        elif isinstance(item, str):
            if "\0" in item or not (item.isascii() or _whole(item)):
                raise InputError(f"{where}: a text with a sign that no text has")
        elif isinstance(item, float):
            if finite and item - item != 0:
                raise InputError(f"{where}: {item} is no finite number")
        elif isinstance(item, int) and not -LARGEST <= item < LARGEST:
            raise InputError(f"{where}: a whole number of more than 64 bits")


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def known(kind: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a file says, that which a dataclass has: a later version may say more."""
    return {f.name: stored[f.name] for f in fields(kind) if f.name in stored}
