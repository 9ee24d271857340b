"""The paper's recipe as one command, whole, with tiny teachers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import PairSet, ReproduceConfig, reproduce
from e2gan.cli import main
from e2gan.core.files import read_json
from tests.conftest import refused

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
for path in sorted(Path(sys.argv[1]).iterdir()):
    photo = np.asarray(Image.open(path).convert("RGB"), np.float32)
    edit = {number} * 9 + photo * (1 - 0.08 * {number})
    Image.fromarray(edit.clip(0, 255).astype(np.uint8)).save(Path(sys.argv[2]) / path.name)
"""
TINY = "--width 8 --blocks 3 --transformers 2 --heads 2 --text-width 16 --text hashed --embedding gradient-colour"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Five teachers, twelve photos, two of three concepts and two: Low Quality photo is in both lists, as in B.3."""
    import skimage.data
    from PIL import Image

    (tmp_path / "camera").mkdir()
    for i in range(12):
        Image.fromarray(skimage.data.coffee()[12 * i : 12 * i + 160, 30 * i : 30 * i + 160]).save(
            tmp_path / f"camera/{i}.png"
        )
    teachers = []
    for number in range(1, 6):
        (tmp_path / f"teacher{number}.py").write_text(SCRIPT.replace("{number}", str(number)))
        teachers.append(f"command:{sys.executable} {tmp_path}/teacher{number}.py {{input}} {{output}}")
    for name, prompts in (
        ("base", ("Hulk", "Joker", "Zombie", "Low Quality photo")),
        ("evaluation", ("Gamora", "Low Quality photo")),
    ):
        (tmp_path / f"{name}.toml").write_text("".join(f'[[concept]]\nprompt = "{p}"\n' for p in prompts))
    arguments = f"reproduce faces --photos {tmp_path}/camera --out {tmp_path}/out --limit 12 --size 32 --keep 5 "
    arguments += f"--base-concepts {tmp_path}/base.toml --evaluation-concepts {tmp_path}/evaluation.toml --metric l1 "
    arguments += f"--clip none --keep-concepts 2 --epochs 1 --baseline-epochs 2 --base-epochs 1 --precision fp32 {TINY}"
    return [*arguments.split(), "--teacher", *teachers]


@pytest.mark.slow
def test_from_photos_to_table_3_by_one_command(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "## Table 3-faces: Quality on the concepts, faces" in printed
    for row in ("pix2pix", "pix2pix-zero-distilled (Co-Mod-GAN)", "E2GAN"):
        assert printed.count(f"| {row} |") == 2  # ours, and the paper's
    assert "| E2GAN | 80.28 |" in printed
    out = tmp_path / "out"
    assert {p.name for p in (out / "pairs").iterdir()} == {"hulk", "joker", "zombie", "gamora", "low-quality-photo"}
    pairs = PairSet.load(out / "pairs/gamora")
    assert len(pairs.rows) == 12
    assert len({row["teacher"] for row in pairs.rows} | {""}) > 1
    assert len({path.name.split("--")[0] for path in (out / "pairs/gamora/candidates").rglob("*.png")}) == 5
    base = read_json(out / "table3-faces/models/bases/base/config.json")["settings"]
    chosen = read_json(out / "concepts.json")
    kept, others = ([concept["prompt"] for concept in chosen[of]] for of in ("keep", "rest"))
    assert sorted(kept + others) == ["Hulk", "Joker", "Zombie"]
    assert sorted(base["concepts"]) == sorted(kept)
    assert len(kept) == 2
    assert base["generator"]["norm"] == "instance"
    assert '"Low Quality photo" is left out of --base-pairs: it is evaluated on (Sec. 5.1)' in printed
    assert "structure" in (out / "pairs/gamora/candidates.jsonl").read_text()
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    assert main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} == times
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--keep", "20"], "--keep 20:"),
        (["--keep-concepts", "4"], "--keep-concepts 4: "),
        (["--size", "40"], "power of two"),
        (["--teacher", "instruct-diffusion"], "--teacher-model"),
        (["--clip", "no/such/clip"], "no/such/clip"),
        (["--preference", "no/such/judge"], "no/such/judge"),
        (["--embedding", "rows.npy"], "compares concepts too"),
        (["--metric", "fd-random"], "needs 2 test photos at least"),
    ],
)
def test_what_could_not_be_done_is_told_before_the_teachers_begin(
    command: list[str], changes: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flag = changes[0]
    if flag in command:  # a list's flag that is given twice is joined: the change takes its place
        at = command.index(flag)
        after = next((i for i in range(at + 1, len(command)) if command[i].startswith("--")), len(command))
        command = [*command[:at], *command[after:]]
    assert main([*command, *changes]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out/pairs").exists()


def test_what_is_needed_last_is_looked_for_first(tmp_path: Path) -> None:
    taught = ReproduceConfig(photos_of="scenes", photos=tmp_path, out=tmp_path / "out", teacher=("filters:sepia",))
    config = replace(taught, inception=str(tmp_path / "none.pth"))
    assert "none.pth" in refused(lambda: reproduce(config))
    assert not (tmp_path / "out").exists()
    config = replace(taught, metric="l1", text="clip:no/such/folder", embedding="gradient-colour")
    assert "no/such/folder" in refused(lambda: reproduce(config))
    config = replace(config, text="hashed", embedding="clip", model="no/such/network")
    assert "no/such/network" in refused(lambda: reproduce(config))
    assert not (tmp_path / "out").exists()
