"""An index of adapters: a vector of each, kept by the adapter's content; and the exact search for the nearest.

A file of JSON lines that grows: a row is written when an adapter has been looked at, and a row that a kill cut off is
written anew. What an adapter is called, and when it was written, means nothing: its row is found by the hash of its
files.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from e2gan.config.schemas import IndexRow
from e2gan.core.errors import BusyError, InputError
from e2gan.core.files import MOST_LINE, append_jsonl, parse_json, read_lines
from e2gan.core.locks import only_writer
from e2gan.core.names import inside
from e2gan.core.outputs import check_out, make_folder

INDEX = "nearest.jsonl"
Vector = NDArray[np.float32]
Engine = Literal["auto", "numpy", "faiss"]


@dataclass(frozen=True)
class Entry:
    """What the index knows of an adapter. path: from the index's own folder; None where it lies elsewhere. pooled: its
    prompt's state, where that was kept."""

    key: str
    path: str | None
    prompt: str
    vector: Vector
    pooled: Vector | None = None


class Add(Protocol):
    """Adds an adapter: its key, folder, prompt and vector, and its pooled prompt where those are compared."""

    def __call__(self, key: str, folder: Path, prompt: str, vector: Vector, pooled: Vector | None = None) -> Any: ...


@dataclass
class AdapterIndex:
    """The adapters of one base, by the hashes of their files.

    file: where they are kept; None keeps them in memory alone. base: the SHA-256 of the base's weights. form: of what
    the vectors are made, such that others of another form are not compared; rows of other bases and forms stay in the
    file and are passed over. width: numbers of a vector.
    """

    file: Path | None
    base: str
    form: str
    width: int
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path | None, base: str, form: str, width: int) -> AdapterIndex:
        """Raises InputError where the file is none of these, or a row is damaged; a last row that a kill cut off is
        passed over."""
        index = cls(file, base, form, width)
        if file is None or not file.exists():
            return index
        for number, line in enumerate(read_lines(file), 1):
            if not line.endswith(b"\n"):
                break
            row = parse_json(line, IndexRow, f"{file}, line {number}", folder=file.parent)
            if (row["base"], row["form"]) == (base, form):
                where, pooled = f"{file}, line {number}", row.get("pooled")
                vector = _decoded(row["vector"], where, width)
                of_prompt = None if pooled is None else _decoded(pooled, where)
                index.entries[row["key"]] = Entry(row["key"], row["path"], row["prompt"], vector, of_prompt)
        return index

    @contextmanager
    def growing(self) -> Iterator[Add]:
        """What adds an adapter, at once on disk.

        Raises InputError where the file cannot be written, and BusyError where another process writes it.
        """
        if self.file is None:
            yield self._keep
            return
        file = self.file
        with self._writer(file):
            if file.exists():
                _cut_off(file)

            def add(key: str, folder: Path, prompt: str, vector: Vector, pooled: Vector | None = None) -> None:
                entry = self._keep(key, folder, prompt, vector, pooled)
                row = {"key": key, "base": self.base, "form": self.form, "path": entry.path, "prompt": prompt}
                of_prompt = {} if entry.pooled is None else {"pooled": _encoded(entry.pooled)}
                append_jsonl(file, row | {"vector": _encoded(entry.vector)} | of_prompt)

            yield add

    @contextmanager
    def _writer(self, file: Path) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                make_folder(file.parent)
                check_out(file, grows=True)
                stack.enter_context(only_writer(file))
            except BusyError:
                raise
            except InputError as error:
                raise InputError(f"{error} (another place for the index: --index FILE)") from None
            yield

    def _keep(self, key: str, folder: Path, prompt: str, vector: Vector, pooled: Vector | None = None) -> Entry:
        path = None if self.file is None else below(folder, self.file.parent)
        # As a file would give them back, so that what is found does not depend on when they were written.
        of_prompt = None if pooled is None else _rounded(pooled)
        entry = self.entries[key] = Entry(key, path, prompt, _rounded(vector), of_prompt)
        return entry

    def known(self) -> dict[str, Entry]:
        """Path → entry of each adapter that lies below the index's own folder, the latest of each place."""
        return {entry.path: entry for entry in self.entries.values() if entry.path is not None}

    def folder(self, path: str) -> Path:
        """Where an entry's adapter lies. Raises InputError for a path that leads out of the index's folder."""
        assert self.file is not None
        return inside(self.file.parent, path)


def below(folder: Path, root: Path) -> str | None:
    """The path from one folder to another below it; None where it lies elsewhere."""
    folder, root = folder.resolve(), root.resolve()
    return folder.relative_to(root).as_posix() if folder != root and folder.is_relative_to(root) else None


def _cut_off(file: Path) -> None:
    """Remove the beginning of a row that a killed run was writing."""
    with file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - MOST_LINE))
        tail = opened.read()
        if tail and not tail.endswith(b"\n"):
            opened.truncate(size - len(tail) + tail.rfind(b"\n") + 1)


def _rounded(vector: Vector) -> Vector:
    return vector.astype("<f2").astype(np.float32)


def _encoded(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f2").tobytes()).decode()


def _decoded(text: str, where: str, width: int | None = None) -> Vector:
    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    except ValueError:
        vector = np.empty(0, np.float32)
    if not vector.size or (width is not None and len(vector) != width) or not np.isfinite(vector).all():
        raise InputError(f"{where}: its vector is damaged: delete the file, and it is made anew")
    return vector


class Search:
    """The exact search among vectors by Euclidean distance, as an inner product: |q - x|² = |q|² - 2 (q·x - |x|²/2).

    engine: numpy or faiss, which find the same; of equal distances the first.
    """

    def __init__(self, vectors_ND: Vector, engine: Engine) -> None:
        """Raises InputError where FAISS is asked for and not installed."""
        half = np.einsum("nd,nd->n", vectors_ND, vectors_ND) / 2
        self.rows = np.ascontiguousarray(np.column_stack([vectors_ND, -half]), dtype=np.float32)
        self.engine = engine_of(engine)
        if self.engine == "faiss":
            import faiss  # pyright: ignore[reportMissingImports]

            self.flat = faiss.IndexFlatIP(self.rows.shape[1])
            self.flat.add(self.rows)

    def nearest(self, query_D: Vector, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows of the `count` nearest, nearest first, and their distances."""
        count = min(count, len(self.rows))
        query = np.append(query_D, 1).astype(np.float32)
        if self.engine == "faiss":
            scores, found = (x[0] for x in self.flat.search(query[None], count))
        else:
            products = self.rows @ query
            found = np.argpartition(-products, count - 1)[:count] if count < len(products) else np.arange(count)
            scores = products[found]
        order = np.lexsort((found, -scores))
        squared = np.maximum(float(query_D @ query_D) - 2 * scores[order], 0)
        return found[order].astype(np.int64), np.sqrt(squared, dtype=np.float32)


def engine_of(engine: Engine) -> Literal["numpy", "faiss"]:
    """Raises InputError where FAISS is asked for and not installed."""
    there = find_spec("faiss") is not None
    if engine == "faiss" and not there:
        raise InputError("--engine faiss needs the package faiss-cpu: pip install 'e2gan[nearest]', or leave it out")
    return "faiss" if there and engine != "numpy" else "numpy"
