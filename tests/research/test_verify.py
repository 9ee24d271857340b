from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from e2gan import EvaluateConfig, ExportConfig, InputError, VerifyConfig, evaluate, export_model, verify
from e2gan.cli import main
from e2gan.core.files import read_json, write_json
from e2gan.core.images import read_image, write_png
from e2gan.core.tensors import read_tensors, write_tensors
from tests.conftest import Project


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def found(folder: Path, **settings: bool) -> str:
    return str(verify(VerifyConfig(folder=folder, device="cpu", **settings)))


def test_sets_and_adapters_are_what_was_written(project: Project) -> None:
    for folder in (project.photos, project.sepia, project.base, project.adapter, project.model):
        result = verify(VerifyConfig(folder=folder))
        assert result.status == 0, result
        assert result.same >= 3
        assert not result.added


def test_a_changed_picture_and_a_lost_one_are_named(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(project.photos, tmp_path / "photos")
    first, second = sorted((out / "images").iterdir())[:2]
    write_png(first, 255 - read_image(first))
    second.unlink()
    assert main(["verify", str(out)]) == 1
    told = capsys.readouterr().out
    assert f"CHANGED: images/{first.name}" in told
    assert f"MISSING: images/{second.name}" in told
    assert "size 32" in told  # the settings
    assert "torch" in told  # the versions


def test_metrics_are_computed_anew(project: Project, tmp_path: Path) -> None:
    adapter = copied(project.adapter, tmp_path / "adapter")
    evaluate(EvaluateConfig(pairs=project.sepia, base=project.base, adapter=adapter, device="cpu"))
    assert "figures computed anew" in found(adapter)
    assert "has come since: metrics.json, sheet.png" in found(adapter, figures=False)
    told = read_json(adapter / "metrics.json")
    told["model"]["l1"] *= 0.5
    write_json(adapter / "metrics.json", told)
    result = verify(VerifyConfig(folder=adapter, device="cpu"))
    assert result.status == 1
    assert "model.l1" in result.wrong[0]


def test_an_exports_comparison_is_made_anew(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    adapter, out = copied(project.adapter, tmp_path / "adapter"), tmp_path / "exported"
    export_model(ExportConfig(base=project.base, adapter=(adapter,), out=out))
    assert "from PyTorch on average, computed anew" in found(out)
    tensors, _ = read_tensors(adapter / "adapter_model.safetensors")
    write_tensors(adapter / "adapter_model.safetensors", {name: 3 * tensor for name, tensor in tensors.items()})
    assert verify(VerifyConfig(folder=out, device="cpu")).status == 1
    assert verify(VerifyConfig(folder=out, figures=False)).status == 0  # its own files are as they were


def test_folders_inside_are_checked_too(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        for i in range(4):
            noise = np.random.default_rng(i).integers(0, 255, (48, 48, 3)).astype(np.uint8)
            write_png(tmp_path / name / f"{i}.png", noise if name == "before" else 255 - noise)
    pairs = tmp_path / "pairs"
    command = ["pairs", "--before", str(tmp_path / "before"), "--after", str(tmp_path / "after"), "--size", "32"]
    assert main([*command, "--concept", "negative", "--out", str(pairs)]) == 0
    assert verify(VerifyConfig(folder=pairs)).status == 0
    next((pairs / "photos/images").iterdir()).unlink()
    assert verify(VerifyConfig(folder=pairs)).status == 1


def test_what_is_no_folder_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of this program"):
        found(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        found(tmp_path / "nothing")


def test_what_a_file_names_is_never_loaded(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """metrics.json of a stranger: no network that it names, and no other model than the folder's."""
    adapter, other = copied(project.adapter, tmp_path / "adapter"), copied(project.adapter, tmp_path / "other")
    evaluate(EvaluateConfig(pairs=project.sepia, base=project.base, adapter=adapter, device="cpu"))
    told = read_json(adapter / "metrics.json")
    names = dict.fromkeys(("clip", "dinov2", "segmenter", "text", "inception", "features"), "someone/else")
    told["settings"] |= names
    told["model"]["fd_clip"] = {"value": 1.0}
    write_json(adapter / "metrics.json", told)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    assert "but not fd_clip" in found(adapter)
    tensors, _ = read_tensors(other / "adapter_model.safetensors")
    write_tensors(other / "adapter_model.safetensors", {name: 3 * tensor for name, tensor in tensors.items()})
    shutil.copy(adapter / "metrics.json", other)  # which names `adapter`
    assert verify(VerifyConfig(folder=other, device="cpu")).wrong


def test_figures_and_sheets_that_were_taken_out_are_told(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "measured"
    evaluate(EvaluateConfig(pairs=project.sepia, base=project.base, adapter=project.adapter, out=out, device="cpu"))
    assert verify(VerifyConfig(folder=out, device="cpu")).status == 0
    write_png(out / "sheet.png", np.zeros((8, 8, 3), np.uint8))
    assert "sheet.png is not the one that was written" in found(out)
    told = read_json(out / "metrics.json")
    for lie in ({"model": {}}, {"lut": None}, {"images": 2000}, {"prompt": "another"}):
        write_json(out / "metrics.json", told | lie)
        assert f"WRONG: metrics.json: {next(iter(lie))}" in found(out)
    (tmp_path / "outer").mkdir()
    out.rename(tmp_path / "outer/inner")
    assert verify(VerifyConfig(folder=tmp_path / "outer", device="cpu")).status == 1


def exported(root: Path, project: Project) -> Path:
    """An export of folders that were named from `root`."""
    for name in ("base", "adapter"):
        shutil.copytree(getattr(project, name), root / name)
    with chdir(root):
        export_model(ExportConfig(base=Path("base"), adapter=(Path("adapter"),), out=Path("exported")))
    return root / "exported"


def test_folders_are_found_from_wherever_it_is_asked(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    out = exported(tmp_path / "home", project)
    monkeypatch.chdir(tmp_path / "other")
    assert "computed anew" in found(out)
    other = exported(tmp_path / "other", project)  # of the same names, and another base
    tensors, _ = read_tensors(tmp_path / "other/adapter/adapter_model.safetensors")
    write_tensors(tmp_path / "other/adapter/adapter_model.safetensors", {n: 3 * t for n, t in tensors.items()})
    assert verify(VerifyConfig(folder=out, device="cpu")).status == 0
    assert verify(VerifyConfig(folder=other, device="cpu")).status == 1
    config = read_json(out / "config.json")  # as an earlier version wrote it: from where, it does not tell
    for key in ("place", "record_format", "files"):
        del config[key]
    write_json(out / "config.json", config)
    assert "computed anew" in found(out)
    assert verify(VerifyConfig(folder=out, device="cpu")).status == 0


def test_what_is_not_at_hand_is_told_and_not_called_wrong(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "home").mkdir()
    out = exported(tmp_path / "home", project)
    evaluate(
        EvaluateConfig(
            pairs=project.sepia, base=project.base, model=None, adapter=tmp_path / "home/adapter", out=tmp_path / "own"
        )
    )
    shutil.rmtree(tmp_path / "home/adapter")
    for folder, file in ((out, "parity.json"), (tmp_path / "own", "metrics.json")):
        result = verify(VerifyConfig(folder=folder, device="cpu"))
        assert result.status == 0, result
        assert f"{file} cannot be computed anew: " in str(result)
        assert "adapter is not at hand" in str(result)


def test_settings_that_are_no_json_any_more_are_a_fault(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(project.photos, tmp_path / "photos")
    text = (out / "config.json").read_text()
    (out / "config.json").write_text(text[:-3])
    assert main(["verify", str(out)]) == 1
    assert "is not JSON" in capsys.readouterr().out
    (out / "config.json").write_text(text.replace('"files"', '"filez"'))
    assert main(["verify", str(out)]) == 1
    assert "has no record of the files" in capsys.readouterr().out
    (out / "config.json").unlink()
    assert main(["verify", str(out)]) == 1
    assert "config.json is missing" in capsys.readouterr().out
    (out / "config.json").write_text('{"model_type": "clip"}')
    assert main(["verify", str(out)]) == 2
    copied(project.photos, tmp_path / "others/photos")
    copied(out, tmp_path / "others/clip")  # another program's, beside ours
    assert main(["verify", str(tmp_path / "others")]) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_in_place_of_files_are_not_waited_for(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    exported = tmp_path / "exported"
    export_model(ExportConfig(base=project.base, adapter=(project.adapter,), out=exported))
    adapter = copied(project.adapter, tmp_path / "adapter")
    evaluate(EvaluateConfig(pairs=project.sepia, base=project.base, adapter=adapter, device="cpu"))
    folders = []
    for folder in (exported, adapter):
        for name in sorted(path.name for path in folder.iterdir()):
            folders.append(copied(folder, tmp_path / f"{folder.name}-{name}"))
            (folders[-1] / name).unlink()
            os.mkfifo(folders[-1] / name)
    each = "[main(['verify', folder]) for folder in sys.argv[1:]]"
    program = f"import sys; from e2gan.cli import main; print(*{each}, file=sys.stderr)"
    command = [sys.executable, "-c", program, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr.splitlines()[-1].split() == ["1"] * len(folders)


def test_a_run_that_was_stopped_is_not_verified(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stopped before its end"):
        found(copied(project.adapter, tmp_path / "adapter.partial"))


def test_an_export_whose_settings_lie_is_told(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "exported"
    export_model(ExportConfig(base=project.base, adapter=(project.adapter,), out=out))
    config = read_json(out / "config.json")
    config["settings"]["adapter"] = None
    write_json(out / "config.json", config)
    assert "cannot be computed anew" in found(out)
