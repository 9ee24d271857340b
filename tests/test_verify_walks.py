"""Whatever file of a folder that any command wrote is changed by a byte or taken away, `verify` tells it.

The folders are those of tiny_kinds.py and, here, of the commands that write others; each file in them is tried, also in
folders inside, so that a file which a command writes from now on is tried too. What `verify` cannot tell is named in
LATER and WITHOUT_TRACE, with the reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from e2gan import (
    CrucialConfig,
    EvaluateConfig,
    InputError,
    PairsConfig,
    TableConfig,
    TrainingConfig,
    VerifyConfig,
    evaluate,
    find_crucial,
    make_pairs,
    run_table,
    verify,
)
from e2gan.cli import COMMANDS
from e2gan.config import GeneratorConfig
from e2gan.core.files import CONFIG, read_json
from tests.conftest import TINY, Project
from tests.tiny_kinds import build

QUICK = TrainingConfig(steps=2, batch=4, precision="fp32", device="cpu")


def imported(root: Path) -> None:
    for name, source in (("before", "photos/images"), ("after", "sepia/images")):
        shutil.copytree(root / source, root / name)
    make_pairs(PairsConfig(before=root / "before", after=root / "after", concept="b", size=32, out=root / "imported"))


def unpaired(root: Path) -> None:
    for name, source in (("of", "photos/images"), ("other", "dusk/images")):
        shutil.copytree(root / source, root / "kinds" / name)
    pictures = root / "kinds"
    make_pairs(
        PairsConfig(
            before=pictures / "of", after=pictures / "other", unpaired=True, concept="c", size=32, out=root / "unpaired"
        )
    )


def measured(root: Path) -> None:
    evaluate(
        EvaluateConfig(
            pairs=root / "sepia", base=root / "base", adapter=root / "adapter", out=root / "measured", device="cpu"
        )
    )


def measured_inside(root: Path) -> None:
    shutil.copytree(root / "adapter", root / "measured-adapter")
    evaluate(EvaluateConfig(pairs=root / "sepia", base=root / "base", adapter=root / "measured-adapter", device="cpu"))


def crucial(root: Path) -> None:
    find_crucial(
        CrucialConfig(pairs=(root / "sepia",), base=root / "base", out=root / "crucial", metric="l1", training=QUICK)
    )


def table(root: Path) -> None:
    generator = GeneratorConfig(**TINY | {"blocks": 3})  # pyright: ignore[reportArgumentType]
    run_table(TableConfig(number="2", out=root / "tables", size=32, generator=generator, device="cpu"))


MADE: dict[str, Callable[[Path], None]] = {
    "imported": imported,
    "unpaired": unpaired,
    "measured": measured,
    "measured-adapter": measured_inside,
    "tables/table2": table,
    "crucial": crucial,
}
BUILT = ("photos", "sepia", "taught", "base", "adapter", "model", "edits", "exported", "all")
SLOW = ("crucial", "tables/table2")
# Files that came when the folder was whole, of which nothing tells: folder, file → why.
LATER = {
    ("model", "score-l1-sepia-test.json"): "of a comparison outside the folder: those have their models inside",
    ("taught", "picks.json"): "a person's own, until `choose` is given it",
}
WITHOUT_TRACE = {
    ("measured-adapter", "metrics.json"): "an evaluation comes later: the adapter is whole without it",
}
# Commands whose folders are not walked here.
ELSEWHERE = {
    **dict.fromkeys(("select", "concepts", "ranks", "nearest"), "write a file, no folder"),
    **dict.fromkeys(("app", "cost", "plan", "push", "verify"), "write nothing"),
    "demo": "its folder is recorded as that of `crucial`, which holds others as well",
    "sweep": "its folder has manifests, and those inside their records",
    "reproduce": "its folder has no record: those inside have theirs",
}
STAGES = {"adapt": "adapter", "scratch": "model", "evaluate": "measured", "choose": "taught", "edit": "edits"}
STAGES |= {"table": "tables/table2", "export": "exported", "pairs": "sepia"}


@pytest.fixture(scope="module")
def home(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = build(project, tmp_path_factory.mktemp("verified") / "home")
    (home / "adapter/metrics.json").unlink()  # as the earliest versions wrote it, without any hash
    return home


def status(folder: Path) -> int:
    try:
        return verify(VerifyConfig(folder=folder, figures=False)).status
    except InputError:
        return 2


def folder_of(name: str, home: Path) -> Path:
    if name in MADE and not (home / name).exists():
        with chdir(home):
            MADE[name](Path())
    return home / name


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in (*BUILT, *MADE)]
)
def test_a_byte_that_is_changed_and_a_file_that_is_gone_are_told(name: str, home: Path) -> None:
    folder = folder_of(name, home)
    whole = verify(VerifyConfig(folder=folder, figures=False))
    assert whole.status == 0, whole
    if (folder / CONFIG).exists():
        measured = {"metrics.json", "sheet.png"} if name == "measured-adapter" else set()
        assert set(whole.added) == measured | {file for of, file in LATER if of == name}
    untold = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        file = path.relative_to(folder).as_posix()
        if (name, file) in LATER:
            continue
        content = path.read_bytes()
        for at in range(len(content) // 2, len(content), 197 if path.name == CONFIG else len(content)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            if status(folder) != 1:
                untold.append(f"{file}, byte {at}")
        path.unlink()
        names_it = file in (CONFIG, "metrics.json")  # without which it may be no folder of ours
        if status(folder) not in ((1, 2) if names_it else (1,)) and (name, file) not in WITHOUT_TRACE:
            untold.append(f"{file}, gone")
        path.write_bytes(content)
    assert not untold
    assert status(folder) == 0


@pytest.mark.parametrize("name", ["imported", pytest.param("crucial", marks=pytest.mark.slow)])
def test_a_folder_inside_that_is_gone_or_another_is_told(name: str, home: Path, tmp_path: Path) -> None:
    folder = folder_of(name, home)
    inner = sorted(path.parent for path in folder.rglob(CONFIG) if path.parent != folder)
    assert inner
    for path in inner:
        path.rename(tmp_path / "away")
        assert status(folder) == 1
        shutil.copytree(home / "photos", path)
        assert status(folder) == 1
        shutil.rmtree(path)
        (tmp_path / "away").rename(path)
        assert status(folder) == 0
        shutil.copytree(home / "photos", path.parent / "more")
        assert status(folder) == 1
        shutil.rmtree(path.parent / "more")
    if hasattr(os, "mkfifo"):
        pipe = next(path for path in sorted(inner[0].rglob("*")) if path.is_file() and path.name != CONFIG)
        content = pipe.read_bytes()
        pipe.unlink()
        os.mkfifo(pipe)
        assert status(folder) == 1
        pipe.unlink()
        pipe.write_bytes(content)


def test_every_command_that_writes_a_folder_has_one_here(home: Path) -> None:
    walked = {STAGES.get(command, command) for command in COMMANDS.keys() - ELSEWHERE.keys()}
    assert walked <= {*BUILT, *MADE}
    for command in COMMANDS.keys() - ELSEWHERE.keys() - {"evaluate", "choose", "table", "crucial"}:
        assert read_json(home / STAGES.get(command, command) / CONFIG)["stage"] == command


@pytest.mark.slow
def test_a_score_that_was_changed_is_measured_anew(home: Path) -> None:
    folder = folder_of("crucial", home)
    score = folder / "models/sl-frozen/sepia/score-l1-sepia-test.json"
    content = read_json(folder / "crucial.json")
    score.write_text(score.read_text().replace('"value": ', '"value": 1'))
    with chdir(home):
        crucial(Path())
    assert status(folder) == 0
    assert read_json(folder / "crucial.json") == content
