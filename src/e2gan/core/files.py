"""Files that are either whole or not there: JSON and JSON lines; and TOML, which is only read."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

from e2gan.core.errors import InputError
from e2gan.core.machine import raise_machine_fault
from e2gan.core.names import LONGEST_NAME
from e2gan.core.schemas import check_form, check_sound

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CONFIG = "config.json"
MOST_JSON, MOST_VALUES = 64 * 2**20, 4 * 2**20  # bytes, and values, of a JSON file: the hashes of 300,000 files
MOST_LINE = 2**20  # bytes of a line of JSON lines
MOST_ROWS_BYTES, MOST_ROWS_VALUES = 2**30, 32 * 2**20  # of a file of JSON lines: a million photos, or candidates
MOST_TOML, MOST_DOTS = 2**20, 1000
BESIDE = ".tmp"  # of the name under which a file is written before it takes its place


def plain(value: Any) -> Any:
    """Dataclasses, paths, tuples and enums as what JSON holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (str, Path)) and not isinstance(value, Enum):
        return _text(str(value))
    if isinstance(value, Enum):
        return value.value
    return value


def _text(text: str) -> str:
    """A text that UTF-8 can hold: what is none of it in a name is shown as its bytes are, `\\xff`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a character, which no file's name has
        return text.encode("utf-8", "replace").decode()


def write_bytes(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the machine stops: written beside, flushed, renamed."""
    with whole_file(path) as beside, beside.open("wb") as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path`, flushed and renamed; removed on any error. Shared disks share pids."""
    beside = path.with_name(f"{_beside(path.name)}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as file:
            _hold(file)
            yield beside
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(beside):
            error.filename = str(path)
        raise


def _beside(name: str) -> str:
    """How the names begin under which a file is written before it takes its place; a long name's beginning alone."""
    return os.fsdecode(os.fsencode(name)[: LONGEST_NAME - len(f"{BESIDE}{2**32}-01234567")]) + BESIDE


def check_name(out: Path, margin: int) -> None:
    """Raises InputError for an output's name that is too long for its disk. margin: bytes of the longer names beside
    it."""
    try:
        longest = os.pathconf(next(folder for folder in out.absolute().parents if folder.exists()), "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # no POSIX, or a file system that does not tell
        longest = LONGEST_NAME
    count, most = len(os.fsencode(out.name)), longest - margin
    if count > most:
        raise InputError(f"--out {out.name[:40]}…: a name of {count} bytes; at most {most} are possible")


def _hold(file: BinaryIO) -> bool:
    """Lock a file that is being written, as long as its process lives. Returns False where another one has it."""
    if fcntl is None:  # Windows does not delete what is open
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True


def clear_beside(*paths: Path) -> None:
    """Remove what processes left that were killed as they wrote one of these files; in a folder, any file of it."""
    for path in paths:
        found = path.rglob(f"*{BESIDE}*") if path.is_dir() else path.parent.glob(f"{glob.escape(_beside(path.name))}*")
        for left in list(found):
            if re.search(rf"{re.escape(BESIDE)}\d+-[0-9a-f]{{8}}$", left.name):
                with suppress(OSError), left.open("rb") as file:
                    if _hold(file):
                        left.unlink()


def json_bytes(value: Any) -> bytes:
    return (json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, json_bytes(value))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows).encode())


def open_file(path: Path) -> io.BufferedReader:
    """A file to be read. Raises InputError where it is missing, is no file (a folder, a pipe, a device) or may not be
    read, and MachineError where that is the machine's fault."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            # It may have become a pipe meanwhile, which would be waited for without end.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            file = os.fdopen(os.open(path, flags), "rb")
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file
            file.close()
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except OSError as error:
        raise _cannot_read(path, error) from None
    raise InputError(f"{path} is no file")


def _cannot_read(path: Path, error: OSError) -> InputError:
    """What is wrong with a file. Raises MachineError where it is not the file: a failing disk, too many open files."""
    raise_machine_fault(error)
    return InputError(f"{path}: cannot be read: {error.strerror or error}")


def read_bytes(path: Path, most: int) -> bytes:
    """All of a file. Raises InputError as `open_file`, and where it has more bytes than `most`."""
    with open_file(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size, most)
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise _cannot_read(path, error) from None
    check_size(path, len(data), most)
    return data


def check_size(path: Path, size: int, most: int) -> None:
    if size > most:
        raise InputError(f"{path}: a file of {size / 1e6:,.1f} MB, where up to {most / 1e6:,.1f} are read")


def read_json(path: Path, form: Any = Any, *, finite: bool = True) -> Any:
    """What a JSON file says, of the form that is named (config/schemas.py); more than that stays as it is.

    finite: whether its numbers must be. Raises InputError, one line, where the file cannot be read, is no JSON, or of
    another form, where a name in it leads out of its folder, and where it is larger than any of ours (MOST_JSON bytes,
    MOST_VALUES values).
    """
    return parse_json(read_bytes(path, MOST_JSON), form, str(path), folder=path.parent, finite=finite)


def read_jsonl(path: Path, form: Any = Any, *, finite: bool = True) -> list[dict[str, Any]]:
    """The rows of a JSON lines file, each of the form; see `read_json`. They are read one by one: up to MOST_LINE bytes
    each, MOST_ROWS_BYTES and MOST_ROWS_VALUES together."""
    rows, values = [], 0
    for number, line in enumerate(read_lines(path), 1):
        values += _values(line)
        if values > MOST_ROWS_VALUES:
            raise InputError(f"{path}: more than {MOST_ROWS_VALUES:,} values, up to which are read")
        where = f"{path}, line {number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not JSON lines: line {number}: {error}") from error
        if text.strip():
            rows.append(parse_json(text, form, where, folder=path.parent, finite=finite))
    return rows


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends, one by one. Raises InputError as `open_file`, for a line of more than
    MOST_LINE bytes, and a file of more than MOST_ROWS_BYTES."""
    with open_file(path) as file:
        check_size(path, os.fstat(file.fileno()).st_size, MOST_ROWS_BYTES)
        number = 0
        while line := file.readline(MOST_LINE + 1):
            number += 1
            if len(line) > MOST_LINE:
                raise InputError(f"{path}: line {number} has more than {MOST_LINE / 1e6:,.1f} MB")
            yield line


def read_begun(path: Path, form: Any) -> list[dict[str, Any]]:
    """The rows of a JSON lines file that a stopped run was writing. The first that was cut off, or is not of the form,
    is removed with all that follow, and what is no file, a link for one: what is written next goes in its place."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    rows, whole, values = [], 0, 0
    lines = read_lines(path) if path.exists() else iter(())
    while True:
        try:
            if (line := next(lines, None)) is None:
                return rows
            values += _values(line)
            row = parse_json(line, form, str(path), folder=path.parent)
        except InputError:
            break
        if not line.endswith(b"\n") or values > MOST_ROWS_VALUES:
            break
        whole += len(line)
        rows.append(row)
    os.truncate(path, whole)
    return rows


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """A row more, which a kill may cut off: `read_begun`."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain(row)) + "\n")


def parse_json(text: str | bytes, form: Any, where: str, *, folder: Path = Path(), finite: bool = True) -> Any:
    """As `read_json`, of a text. where: what a message begins with. folder: where the names in it must lie."""
    if _values(text) > MOST_VALUES:
        raise InputError(f"{where}: more than {MOST_VALUES:,} values, up to which are read")
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise InputError(f"{where}: is not JSON that can be read: too deep") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: is not JSON: {error}") from error
    check_sound(value, where, finite=finite)
    check_form(value, form, where, folder)
    return value


def _values(text: str | bytes) -> int:
    """At least as many as a JSON text has values, each of which takes some hundred bytes."""
    if isinstance(text, bytes):
        return sum(text.count(mark) for mark in (b",", b"[", b"{", b":"))
    return sum(text.count(mark) for mark in ",[{:")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys may not be there twice: readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {again[:80]!r} is there twice")
    return found


def read_toml(path: Path, form: Any = Any) -> dict[str, Any]:
    """What a TOML file says, of the form that is named; see `read_json`.

    Raises InputError where the file cannot be read, is larger than MOST_TOML bytes, is not UTF-8, or no TOML, the last
    two with the line; and where it is of another form.
    """
    data = read_bytes(path, MOST_TOML)
    # Each of the tables that a key's dots name is looked up again for each of them.
    if max((line.count(b".") for line in data.split(b"\n")), default=0) > MOST_DOTS:
        raise InputError(f"{path}: a line with more than {MOST_DOTS:,} dots")
    try:
        found = tomllib.loads(data.decode("utf-8-sig"))  # some editors write the mark
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: is not UTF-8: save the file in that encoding") from None
    except RecursionError:
        raise InputError(f"{path}: is not TOML that can be read: too deep") from None
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        raise InputError(f"{path}: is not TOML: {error}") from None
    check_sound(found, str(path), finite=False)
    check_form(found, form, str(path), path.parent)
    return found


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal. Raises InputError where it cannot be read."""
    with open_file(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _cannot_read(path, error) from error
