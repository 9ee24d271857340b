from __future__ import annotations

import csv
import json
from pathlib import Path

from e2gan.core.files import read_json, write_json
from e2gan.sweeps.page import rows_of, table, write_page
from e2gan.sweeps.store import Store
from tests.conftest import Project
from tests.sweeps.tiny_sweeps import config_of, without_ray


def test_the_table_and_the_page_are_of_all_concepts_worst_first(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path, ("sepia", "fog"))
    plan, store = without_ray(config), Store(config.out)
    store.remove(plan.concepts[1].things[-1].ref)
    rows = rows_of(plan, store, {"fog": "no evaluations: <b>it</b> & that"})
    assert [row["concept"] for row in rows] == ["fog", "sepia"]
    assert rows[0]["missing"] is None
    assert rows[0]["train"] == rows[1]["train"] > 0
    assert rows[1]["missing"] == rows[1]["l1"] / rows[1]["photo_l1"]
    write_page(store, rows, "a <list>")
    out = tmp_path / "out"
    assert json.loads((out / "results.json").read_text())["concepts"] == rows
    with (out / "results.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [row["concept"] for row in read] == ["fog", "sepia"]
    assert float(read[1]["missing"]) == rows[1]["missing"]
    page = (out / "index.html").read_text()
    assert "<b>it</b>" not in page
    assert "a &lt;list&gt;" in page
    assert page.count("data:image/jpeg;base64,") == 1
    assert page.index('id="fog"') < page.index('id="sepia"')
    assert "://" not in page  # nothing from elsewhere
    assert f'href="{rows[1]["adapter"]}/"' in page
    assert (out / rows[1]["adapter"]).is_dir()


def test_a_file_that_an_export_does_not_hold_is_not_linked(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path, ("sepia",), export=("onnx",))
    plan, store = without_ray(config), Store(config.out)
    (thing,) = plan.concepts[0].of("exports")
    (row,) = rows_of(plan, store, {})
    assert (tmp_path / "out" / row["onnx"]).is_file()
    path = tmp_path / "out/manifests" / f"{thing.ref.place}.json"
    write_json(path, read_json(path) | {"facts": {"file": "other.onnx"}})
    (row,) = rows_of(plan, store, {})
    assert row["onnx"] is None
    write_page(store, [row], "x")


def test_the_worst_adapter_comes_before_better_ones(project: Project, tmp_path: Path) -> None:
    plan = without_ray(config_of(project, tmp_path, ("sepia", "fog")))
    rows = rows_of(plan, Store(str(tmp_path / "out")), {})
    assert rows[0]["missing"] >= rows[1]["missing"]


def test_a_spreadsheet_takes_no_text_for_a_formula() -> None:
    text = table([{"concept": "a", "prompt": "=1+1", "x": None}, {"concept": "b", "prompt": "-x, y", "y": -1.5}])
    assert text == "concept,prompt,x,y\na,'=1+1,,\nb,\"'-x, y\",,-1.5\n"
