"""What runs a generator: the same edits in each, the fastest by rule, and a clear line where one cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from e2gan import EditConfig, InputError, Predictor, edit
from e2gan.config import PRESETS, RuntimeName
from e2gan.core.files import CONFIG, read_json
from e2gan.core.images import write_png
from e2gan.editing import edit as stage
from e2gan.editing import runtimes
from e2gan.editing.runtimes import MOST_LEVELS, OPENVINO_PAYS, RUNTIMES, Runtime, fastest, load_runtime, work
from e2gan.networks.models import build_generator
from tests.conftest import Project
from tests.editing.tiny_model import far, model, noise

CPU = torch.device("cpu")


def test_every_name_that_may_be_asked_for_is_a_runtime() -> None:
    assert set(RuntimeName.__args__) == {"auto", *RUNTIMES}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNTIMES if name != "pytorch"])
@pytest.mark.parametrize("form", [{}, {"place": True, "fold": 2, "output": "clamp"}, {"transformers": ()}])
def test_each_gives_the_same_edits_at_any_size(name: RuntimeName, form: dict[str, Any]) -> None:
    if why := RUNTIMES[name].missing(CPU):
        pytest.skip(why)
    own = model(**form)
    plain, other = Predictor(own, "cpu"), Predictor(own, "cpu", name)
    assert other.runtime == name
    for photo in (noise(64, 64), noise(33, 47), noise(101, 250)):
        assert far(other.edit(photo), plain.edit(photo)) <= MOST_LEVELS
        assert far(plain.edit(photo), photo) > 1
    place = (0.5, 0.0, 1.0, 0.5)
    photos = np.stack([noise(64, 64), 255 - noise(64, 64)])
    assert far(other.batch(photos, place), plain.batch(photos, place)) <= MOST_LEVELS
    if form.get("place"):
        assert far(plain.batch(photos, place), plain.batch(photos)) > 0  # so that a place that is lost would show


def test_the_fastest_is_bf16_where_the_cpu_has_it_and_openvino_where_many_photos_pay_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = Runtime(lambda _: None, lambda *_: lambda photos, _: photos)
    monkeypatch.setitem(RUNTIMES, "openvino", there)
    for has, end in ((True, "-bf16"), (False, "")):
        monkeypatch.setattr(runtimes, "has_bf16", lambda _, has=has: has)
        assert fastest(CPU, 1) == f"pytorch{end}"
        assert fastest(CPU, OPENVINO_PAYS) == f"openvino{end}"
    monkeypatch.setitem(RUNTIMES, "openvino", replace(there, missing=lambda _: "no"))
    assert fastest(CPU, OPENVINO_PAYS) == "pytorch"
    assert fastest(torch.device("meta"), OPENVINO_PAYS) == "pytorch"


def test_the_small_generators_photos_are_less_work() -> None:
    full, small = (build_generator("e2gan", PRESETS[name], 64) for name in ("device", "small"))
    assert work(full, 100) >= OPENVINO_PAYS > work(small, 100)
    assert work(small, 1200) >= OPENVINO_PAYS


def test_one_that_is_wrong_is_refused_by_name_and_left_by_auto_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Runtime(lambda _: None, lambda *_: lambda photos, _: -photos)
    monkeypatch.setitem(RUNTIMES, "pytorch-bf16", wrong)
    monkeypatch.setattr(runtimes, "has_bf16", lambda _: True)
    with pytest.raises(InputError, match=r"--runtime pytorch-bf16: its edits are .* levels from PyTorch's in fp32"):
        Predictor(model(), "cpu", "pytorch-bf16")
    found = Predictor(model(), "cpu", "auto")
    assert found.runtime == "pytorch"
    (note,) = found.notes
    assert note.startswith("edited by pytorch instead: --runtime pytorch-bf16")
    assert np.array_equal(found.edit(noise(40, 40)), Predictor(model(), "cpu").edit(noise(40, 40)))


def test_one_that_is_not_installed_or_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "openvino", Runtime(lambda _: "it needs openvino", lambda *_: lambda x, _: x))
    generator = model().plain()
    with pytest.raises(InputError, match=r"^--runtime openvino: it needs openvino$"):
        load_runtime("openvino", generator, None, CPU)

    def broken(*_: object) -> runtimes.Run:
        raise RuntimeError("no such\noperator")

    monkeypatch.setitem(RUNTIMES, "openvino", Runtime(lambda _: None, broken))
    with pytest.raises(InputError, match=r"does not run this model \(RuntimeError: no such operator\)"):
        load_runtime("openvino", generator, None, CPU)
    with pytest.raises(InputError, match="--runtime fast"):
        Predictor(model(), "cpu", "fast")  # pyright: ignore[reportArgumentType]


def test_a_folder_is_gone_on_with_and_found_by_the_runtime_that_it_was_begun_with(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        write_png(tmp_path / "in" / f"{i}.png", noise(40, 48) // (i + 1))
    out = tmp_path / "out"
    config = EditConfig(input=(tmp_path / "in",), out=out, base=project.base, adapter=(project.adapter,))
    monkeypatch.setattr(runtimes, "has_bf16", lambda _: True)
    assert edit(config).runtime == "pytorch-bf16"
    assert read_json(out / CONFIG)["settings"]["runtime"] == "pytorch-bf16"
    monkeypatch.setattr(runtimes, "has_bf16", lambda _: False)  # another machine
    assert edit(config).already_done
    with pytest.raises(InputError, match="runtime"):
        edit(replace(config, runtime="pytorch"))
    assert stage.edit(replace(config, out=tmp_path / "other")).runtime == "pytorch"
