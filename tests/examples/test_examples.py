"""The examples run as they stand, and show what they say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def test_the_notebook_is_kept_without_what_a_run_leaves_in_it() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the notebook is run by
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (tmp_path / "work").mkdir()
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path / "work")}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    said = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert "200 train, 20 val, 20 test" in said
    photo, edit = (float(said.rpartition(words)[2].split(",")[0].split("\n")[0]) for words in ("the photo ", "edit "))
    assert edit < 0.8 * photo
    assert (tmp_path / "work" / "quickstart" / "film" / "e2gan.json").is_file()


@pytest.mark.slow
def test_pefts_own_api_gives_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import peft_adapter  # pyright: ignore[reportMissingImports]

    found = peft_adapter.main()
    assert [*found] == ["golden", "winter", "both, one prompt", "both, each its prompt", "merged"]
    assert max(found.values()) < peft_adapter.NEAR
