"""A person's choice, and other thresholds, among the candidates of a pair set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.core.files import read_json, read_jsonl
from e2gan.core.images import read_image
from e2gan.data.pair_set import PairSet
from e2gan.teachers.function import FunctionTeacher
from tests.conftest import Project
from tests.pairs.tiny_teachers import Counted, run


@pytest.mark.slow
def test_a_persons_choice_is_read_back(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs"
    dark = FunctionTeacher(lambda photos, *_: [photo // 2 + 1 for photo in photos], name="dark", deterministic=True)
    run(project, out, [Counted().teacher, dark], max_residual=99)
    rows = read_jsonl(out / "candidates.jsonl")
    first, second, third = list(dict.fromkeys(row["photo"] for row in rows if row["split"] == "train"))[:3]
    of = {(row["photo"], row["teacher"]): row["file"] for row in rows}
    kept = {row["photo"]: row["file"] for row in rows if row["picked"]}
    other = next(of[first, name] for name in ("mine", "dark") if of[first, name] != kept[first])
    (out / "picks.json").write_text(json.dumps({"picks": {first: Path(other).name, second: None}}))
    (out / kept[third]).unlink()
    assert main(["choose", str(out)]) == 0
    assert "3 changed, 2 picked by hand" in capsys.readouterr().out
    after = {row["photo"]: row for row in PairSet.load(out).rows}
    assert np.array_equal(read_image(out / after[first]["file_name"]), read_image(out / other))
    assert second not in after
    assert not (out / "images" / f"{second}.png").exists()
    assert after[third]["teacher"] != next(row["teacher"] for row in rows if row["file"] == kept[third])
    # Again is the same; without the picks, only what was deleted stays gone. What was given stays.
    assert main(["choose", str(out)]) == 0
    assert "0 changed" in capsys.readouterr().out
    picks = (out / "picks.json").rename(tmp_path / "saved.json")
    assert main(["choose", str(out)]) == 0
    assert "2 changed, 0 picked" in capsys.readouterr().out
    assert main(["choose", str(out), "--picks", str(picks)]) == 0
    capsys.readouterr()
    assert main(["choose", str(out), "--reject", "structure<0.01"]) == 0
    assert "0 changed, 2 picked" in capsys.readouterr().out
    assert main(["choose", str(out)]) == 0
    assert read_json(out / "choice.json")["reject"] == ["structure<0.01"]
    (out / "picks.json").unlink()
    assert main(["choose", str(out)]) == 0
    capsys.readouterr()
    assert main(["choose", str(out), "--reject", "structure<2"]) == 2
    assert len(PairSet.load(out).rows) == len(after) + 1
    assert main(["choose", str(project.sepia)]) == 2
    assert "no candidates to choose from" in capsys.readouterr().err
