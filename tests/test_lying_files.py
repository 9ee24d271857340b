"""Files that lie: every field of every file that is read, changed in every way, is told in one line or does no harm.

The kinds of files, and what reads each, are in tiny_kinds.py; a form of config/schemas.py that no kind covers fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from e2gan.core.errors import InputError
from tests.config.test_schemas import forms_read
from tests.conftest import Project
from tests.tiny_kinds import KINDS, TENSORS, Kind, build

FAST, SLOW = 2, 6  # mutations of a kind, beside one of each field
RAW = {"@deep@": "[" * 100_000 + "]" * 100_000, "@digits@": "9" * 5000, "@inf@": "1e400"}
VALUES: list[Any] = [
    *(None, True, "", "x", "1", "a\0", "\ud800", "x" * 3000, "../../victim", "../../new", "/tmp/new-of-a-stranger"),
    *("C:\\new", "..\\..\\new", "photos/../../../victim", "clip:someone/else", "someone/else", "linked/new"),
    *("*", "clip"),
    *(0, -1, 2**31, 2**40, 2**64, -(2**70), 0.5, -1e308, float("nan"), float("inf"), *RAW),
    *([], {}, [[]], [None], ["../../victim"], {"a": {"b": []}}, [[[[[[1]]]]]], {"../../new": "../../new"}),
]


class Network(BaseException):
    """Someone asked for the network."""


@pytest.fixture(scope="module")
def home(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(project, tmp_path_factory.mktemp("lying") / "good")


@pytest.fixture(autouse=True)
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise Network

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, asked)
    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


# -- what is changed --------------------------------------------------------------------------------------------------


def fields(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all fields of a JSON value; of a list's items to the first."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*way, key)
            yield from fields(part, (*way, key))
    elif isinstance(value, list) and value:
        yield (*way, 0)
        yield from fields(value[0], (*way, 0))


def changed(content: Any, way: tuple[Any, ...], how: str, value: Any) -> str:
    """The JSON text with a field changed."""
    content = json.loads(json.dumps(content))
    at, how = content, how if way else "set"
    for key in way[:-1]:
        at = at[key]
    if not way:
        content = value
    elif how == "delete":
        del at[way[-1]]
    elif how == "set":
        at[way[-1]] = value
    elif isinstance(at, dict):
        old = at.pop(way[-1])
        at |= {"@twice@1": old, "@twice@2": value} if how == "twice" else {f"{way[-1]}X": old}
    text = re.sub(r"@twice@\d", str(way[-1]), json.dumps(content)) if how == "twice" else json.dumps(content)
    for token, raw in RAW.items():
        text = text.replace(f'"{token}"', raw)
    return text


def lied(path: Path, where: int, how: str, value: Any) -> None:
    """Write the file with its field of this number changed."""
    text = path.read_text("utf-8")
    if how == "text":
        cut = {None: "", True: text[: len(text) // 2]}.get(value if isinstance(value, (bool, type(None))) else 0)
        path.write_bytes((text + str(value)).encode("utf-16", "surrogatepass") if cut is None else cut.encode())
    elif path.suffix == ".toml":
        spans = [match.span(1) for match in re.finditer(r"= *([^\n]+)", text)]
        start, end = spans[where % len(spans)]
        new = (
            ""
            if how == "delete"
            else f"{toml(value)}\n{text[:start].splitlines()[-1]} 1"
            if how == "twice"
            else toml(value)
        )
        path.write_text(text[:start] + new + text[end:], "utf-8", errors="surrogatepass")
    else:
        head, _, rest = text.partition("\n") if path.suffix == ".jsonl" else (text, "", "")
        content = json.loads(head)
        ways = [(), *fields(content)]
        head = changed(content, ways[where % len(ways)], how, value)
        path.write_text(f"{head}\n{rest}" if path.suffix == ".jsonl" else head)


def toml(value: Any) -> str:
    text = {True: "true", None: '""'}.get(value) if isinstance(value, (bool, type(None))) else json.dumps(value)
    for token, raw in RAW.items():
        text = str(text).replace(f'"{token}"', raw)
    return str(text).replace("NaN", "nan").replace("Infinity", "inf")


# -- what must not happen ---------------------------------------------------------------------------------------------


def outside(folder: Path, root: Path) -> dict[str, str]:
    """All that lies in `root` and not in the folder, by content."""
    found = {}
    for path in root.rglob("*"):
        if not path.is_relative_to(folder) and path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def listing(folder: Path, but: Path) -> dict[str, tuple[int, int]]:
    """Names, sizes and times of all files of a folder but one."""
    found = {path: path.lstat() for path in folder.rglob("*") if path.is_file()}
    return {str(path): (s.st_size, s.st_mtime_ns) for path, s in found.items() if path != but}


def copied(source: str, target: str) -> None:
    """Large files, which are only ever replaced, by a link."""
    (os.link if source.endswith((".safetensors", ".png")) else shutil.copy)(source, target)


def try_kind(kind: Kind, home: Path, work: Path, change: Any) -> None:
    """Read a copy of all in which one file was changed: no exception but InputError, nothing written outside."""
    place = work / "deep" / "down"
    if not place.exists():
        shutil.copytree(home, place / "home", copy_function=copied)
        (place.parent / "victim").write_text("precious")
        (place.parent / "victim.png").write_text("precious")
        (place.parent / "linked").mkdir()
        (place / "home" / "linked").symlink_to(place.parent / "linked")
    file = next((place / "home").glob(kind.file))
    content = file.read_bytes()
    whole = listing(place / "home", file)
    file.unlink()  # it may be a link
    file.write_bytes(content)
    change(file)
    before = outside(place / "home", work)
    written = False
    stranger = Path("/tmp/new-of-a-stranger")
    try:
        with chdir(place / "home"):
            kind.read(Path())
    except InputError as error:
        line = str(error)
        assert "\n" not in line, line
        assert len(line) < 4000
    finally:
        file.unlink(missing_ok=True)
        if listing(place / "home", file) != whole or not file.parent.exists():
            written = True
        else:
            file.write_bytes(content)
    assert outside(place / "home", work) == before
    if written:  # the next change gets a new copy
        shutil.rmtree(work)
    assert not list(stranger.parent.glob(f"{stranger.name}*"))


HOW = st.sampled_from(["set", "set", "set", "delete", "twice", "rename", "text"])
RUN = {"deadline": None, "derandomize": True, "database": None, "phases": [Phase.generate]}
RUN |= {"suppress_health_check": list(HealthCheck)}


def mutate(name: str, home: Path, work: Path, count: int) -> None:
    @settings(max_examples=count, **RUN)
    @given(where=st.integers(0, 200), how=HOW, value=st.sampled_from(VALUES))
    def each(where: int, how: str, value: Any) -> None:
        try_kind(KINDS[name], home, work, lambda path: lied(path, where, how, value))

    each()


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_lies_is_told_in_one_line(name: str, home: Path, tmp_path: Path) -> None:
    mutate(name, home, tmp_path / "work", FAST)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_field_that_lies_is_told_in_one_line(name: str, home: Path, tmp_path: Path) -> None:
    path = next(home.glob(KINDS[name].file))
    text = path.read_text()
    if path.suffix == ".jsonl":
        text = text.partition("\n")[0]
    count = 6 if path.suffix == ".toml" else 1 + len(list(fields(json.loads(text))))
    for where in range(count):
        value = VALUES[(7 * where + len(name)) % len(VALUES)]
        try_kind(KINDS[name], home, tmp_path / "work", lambda path, w=where, v=value: lied(path, w, "set", v))
    mutate(name, home, tmp_path / "work", SLOW)


# -- tensors ----------------------------------------------------------------------------------------------------------

WAYS = (
    "missing",
    "more",
    "shape",
    "flat",
    "scalar",
    "dtype",
    "renamed",
    "empty",
    "offsets",
    "header",
    "cut",
    "huge",
    "metadata",
)


def lied_tensors(path: Path, way: str, number: int) -> None:
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    names = [name for name in header if name != "__metadata__"]
    name = names[number % len(names)]
    entry, body = header[name], data[end:]
    if way in ("missing", "renamed"):
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(path, framework="pt") as f:
            tensors, about = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()  # noqa: SIM118
        kept = tensors.pop(name)
        save_file(tensors | ({f"{name}.x": kept} if way == "renamed" else {}), path, about)
        return
    if way == "more":
        header["more"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(body), len(body) + 4]}
        body += b"\0" * 4
    elif way == "shape":
        entry["shape"] = [*entry["shape"], 1]
    elif way == "flat":
        count = 1
        for side in entry["shape"]:
            count *= side
        entry["shape"] = [count]
    elif way == "scalar":
        header[name] = entry | {"shape": []}
    elif way == "dtype":
        entry["dtype"] = {"F32": "I32", "F16": "I16"}.get(entry["dtype"], "F8_E5M2")
    elif way == "empty":
        header = {}
    elif way == "offsets":
        entry["data_offsets"] = [0, 2**40]
    elif way == "huge":
        entry["shape"] = [2**40, 2**20]
    elif way == "metadata":
        texts = header.get("__metadata__", {})
        header["__metadata__"] = dict.fromkeys(texts or ["step"], ("NaN", "[" * 5000, "-1", "x")[number % 4])
    text = b"[" * 100_000 if way == "header" else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + (b"" if way == "cut" else body))


@pytest.mark.slow
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_lie_are_told_in_one_line(name: str, home: Path, tmp_path: Path) -> None:
    for number, way in enumerate(WAYS):
        try_kind(TENSORS[name], home, tmp_path / "work", lambda path, w=way, n=number: lied_tensors(path, w, n))


# -- all of them ------------------------------------------------------------------------------------------------------


def test_what_is_written_outside_is_seen(home: Path, tmp_path: Path) -> None:
    """Else the tests above would let it pass."""
    for name in ("../../victim.png", "../../new", "linked/new"):
        kind = Kind("photos/photos.jsonl", lambda root, name=name: (root / name).write_text("a stranger's"))
        with pytest.raises(AssertionError):
            try_kind(kind, home, tmp_path / "work", Path.touch)
        shutil.rmtree(tmp_path / "work")


def test_every_form_that_is_read_has_a_file_here() -> None:
    covered = {form for kind in (*KINDS.values(), *TENSORS.values()) for form in kind.forms}
    assert forms_read().keys() - {"Any", "StageConfig"} == covered


@pytest.mark.slow
def test_every_kind_is_read_as_it_is(home: Path, tmp_path: Path) -> None:
    """Else each would be refused for another reason than its lie."""
    for kind in (*KINDS.values(), *TENSORS.values()):
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        shutil.copytree(home, tmp_path / "home")
        assert list((tmp_path / "home").glob(kind.file)), kind.file
        with chdir(tmp_path / "home"):
            kind.read(Path())
