"""The index: rows that are found by content, kills in the midst of one, and a search that is exact."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from e2gan.core.errors import BusyError
from e2gan.core.locks import only_writer
from e2gan.measure.adapter_index import AdapterIndex, Engine, Search, below, engine_of
from tests.conftest import refused

WIDTH = 5
ENGINES: list[Engine] = ["numpy", *(["faiss"] if find_spec("faiss") else [])]


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)


def index(file: Path | None, base: str = "base", form: str = "form") -> AdapterIndex:
    return AdapterIndex.load(file, base, form, WIDTH)


def fill(file: Path, *keys: str, base: str = "base") -> AdapterIndex:
    made = index(file, base)
    with made.growing() as add:
        for i, key in enumerate(keys):
            add(key, file.parent / "adapters" / key, f"prompt {key}", vector(i))
    return made


def test_what_was_added_is_there_again_and_those_of_other_bases_and_forms_are_not(tmp_path: Path) -> None:
    made = fill(tmp_path / "a.jsonl", "x", "y")
    again = index(tmp_path / "a.jsonl")
    assert again.entries.keys() == {"x", "y"}
    for key, entry in made.entries.items():  # half floats, before they are written too
        np.testing.assert_array_equal(entry.vector, again.entries[key].vector)
    np.testing.assert_allclose(again.entries["x"].vector, vector(0), atol=2e-3)
    assert not index(tmp_path / "a.jsonl", base="other").entries
    assert not index(tmp_path / "a.jsonl", form="other").entries
    fill(tmp_path / "a.jsonl", "z", base="other")
    assert index(tmp_path / "a.jsonl").entries.keys() == {"x", "y"}
    assert index(tmp_path / "a.jsonl", base="other").entries.keys() == {"z"}


def test_a_prompts_state_is_kept_where_it_is_given(tmp_path: Path) -> None:
    made = index(tmp_path / "a.jsonl")
    with made.growing() as add:
        add("x", tmp_path / "x", "p", vector(0), vector(1)[:3])
        add("y", tmp_path / "y", "p", vector(0))
    again = index(tmp_path / "a.jsonl").entries
    assert again["y"].pooled is None
    for entry in (made.entries["x"], again["x"]):
        assert entry.pooled is not None
        np.testing.assert_allclose(entry.pooled, vector(1)[:3], atol=2e-3)
    row = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0]) | {"pooled": "*"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert "is damaged" in refused(lambda: index(tmp_path / "a.jsonl"))


def test_where_it_cannot_be_written_another_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "another place for the index: --index FILE" in refused(lambda: fill(tmp_path / "file/a.jsonl", "x"))


def test_a_row_that_a_kill_cut_off_is_passed_over_and_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    fill(file, "x", "y")
    whole = file.read_bytes()
    for cut in range(len(whole) - 1, whole.index(b"\n"), -7):
        file.write_bytes(whole[:cut])
        found = index(file)
        assert found.entries.keys() == {"x"}
        assert file.read_bytes() == whole[:cut]  # reading changes nothing
        with found.growing() as add:
            add("y", tmp_path / "adapters/y", "prompt y", vector(1))
        assert file.read_bytes() == whole
    file.write_bytes(whole[:3])
    assert not index(file).entries
    fill(file, "x", "y")
    assert file.read_bytes() == whole


def test_where_adapters_lie_is_told_by_their_paths_below_the_index(tmp_path: Path) -> None:
    made = fill(tmp_path / "a.jsonl", "x")
    with made.growing() as add:
        add("x2", tmp_path / "adapters/x", "newer", vector(3))  # another one in its place
        add("far", tmp_path.parent / "elsewhere", "far", vector(4))
    again = index(tmp_path / "a.jsonl")
    assert {path: entry.key for path, entry in again.known().items()} == {"adapters/x": "x2"}
    assert again.folder("adapters/x") == tmp_path / "adapters/x"
    assert "is no name of a file inside" in refused(lambda: again.folder("../elsewhere"))
    assert below(tmp_path, tmp_path) is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("[]", "line 1"),
        ('{"key": "x"}', "line 1"),
        ('{"key": "", "base": "base", "form": "form", "path": null, "prompt": "", "vector": ""}', "at key"),
        ('{"key": "x", "base": "base", "form": "form", "path": null, "prompt": "", "vector": "*"}', "is damaged"),
        ('{"key": "x", "base": "base", "form": "form", "path": null, "prompt": "", "vector": "AAAA"}', "is damaged"),
    ],
)
def test_a_file_that_is_no_index_is_told(tmp_path: Path, row: str, words: str) -> None:
    (tmp_path / "a.jsonl").write_text(f"{row}\n")
    assert words in refused(lambda: index(tmp_path / "a.jsonl"))
    assert (tmp_path / "a.jsonl").read_text() == f"{row}\n"


def test_a_vector_that_is_not_finite_is_told(tmp_path: Path) -> None:
    fill(tmp_path / "a.jsonl", "x")
    row = json.loads((tmp_path / "a.jsonl").read_text())
    row["vector"] = "AHwAfAB8AHwAfA=="  # five times infinity
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert "is damaged" in refused(lambda: index(tmp_path / "a.jsonl"))


def test_two_do_not_write_it_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with only_writer(file):
        fill(file, "x")  # who holds it may enter again
    fill(file, "x")
    (tmp_path / "a.jsonl.lock").write_text("somebody else's")
    assert "is in the way" in refused(lambda: fill(file, "z"))
    assert issubclass(BusyError, ValueError)


def test_without_a_file_it_is_kept_in_memory(tmp_path: Path) -> None:
    made = index(None)
    with made.growing() as add:
        add("x", tmp_path, "p", vector(0))
    assert made.entries["x"].path is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, 16, 700])
def test_the_search_is_exact(engine: Engine, count: int) -> None:
    rng = np.random.default_rng(0)
    vectors = (20 * rng.standard_normal((700, 33))).astype(np.float32)
    search = Search(vectors, engine)
    for query in (20 * rng.standard_normal((5, 33))).astype(np.float32):
        found, distances = search.nearest(query, count)
        true = np.linalg.norm(vectors.astype(np.float64) - query, axis=1)
        np.testing.assert_array_equal(found, np.argsort(true, kind="stable")[:count])
        np.testing.assert_allclose(distances, true[found], rtol=1e-4)
    own, zero = search.nearest(vectors[5], 1)
    assert own[0] == 5
    assert zero[0] == pytest.approx(0, abs=0.1)
    assert len(search.nearest(vectors[5], 10_000)[0]) == 700


def test_faiss_is_taken_where_it_is_and_missed_in_one_line() -> None:
    if find_spec("faiss"):
        assert engine_of("auto") == engine_of("faiss") == "faiss"
    else:
        assert engine_of("auto") == "numpy"
        assert "needs the package faiss-cpu" in refused(lambda: engine_of("faiss"))
    assert engine_of("numpy") == "numpy"
