from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan.config import PairsConfig, TeachConfig
from e2gan.core.errors import InputError
from e2gan.pairs.blocks import edit_block
from e2gan.pairs.make import edits_identity, make_pairs
from e2gan.teachers import make_teachers
from e2gan.teachers.teacher import Failed
from tests.conftest import Project, refused
from tests.pairs.tiny_teachers import Counted, count, sepia


def files(folder: Path) -> dict[str, bytes]:
    """All that a pair set holds, but for config.json, which has the place."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != "config.json"}


def blocks(config: PairsConfig, teachers: list[Counted], size: int, total: int, root: Path) -> list[Path]:
    folders = []
    for i, first in enumerate(range(0, total, size)):
        out = root / f"block{i}"
        edit_block(replace(config, out=out), [teachers[i].teacher], first, size)
        folders.append(out)
    return folders


def config_of(project: Project, out: Path, **teach: object) -> PairsConfig:
    return PairsConfig(photos=project.photos, concept="as a sepia photo", out=out, teach=TeachConfig(**teach))  # type: ignore[arg-type]


def some_fail(photo: object, seed: int) -> object:
    """By the seed alone, as a teacher that is not always lucky."""
    return Failed("nothing came") if seed % 3 == 0 else sepia(photo, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("edit", [sepia, some_fail])
def test_blocks_together_are_the_set_that_is_made_alone(project: Project, tmp_path: Path, edit: object) -> None:
    whole, parted = (
        config_of(project, tmp_path / "whole/pairs", seeds=2),
        config_of(project, tmp_path / "parted/pairs", seeds=2),
    )
    alone = Counted(edit)  # type: ignore[arg-type]
    make_pairs(whole, [alone.teacher])
    size = 7
    teachers = [Counted(edit) for _ in range(0, count(project), size)]  # type: ignore[arg-type]
    folders = blocks(parted, teachers, size, count(project), tmp_path)
    last = Counted(edit)  # type: ignore[arg-type]
    made = make_pairs(parted, [last.teacher], folders)
    assert not last.asked  # nothing is edited again
    assert sum((teacher.asked for teacher in teachers), Counter()) == alone.asked
    assert files(parted.out) == files(whole.out)
    assert made.train
    again = Counted()
    edit_block(replace(parted, out=folders[0]), [again.teacher], 0, size)
    assert not again.asked


def test_blocks_of_a_filter_are_put_together_too(project: Project, tmp_path: Path) -> None:
    config = PairsConfig(photos=project.photos, concept="sepia", out=tmp_path / "parted")
    folders = []
    for first in range(0, count(project), 11):
        folders.append(tmp_path / f"block{first}")
        block = replace(config, out=folders[-1])
        edit_block(block, make_teachers(block), first, 11)
    shutil.rmtree(folders[-1])  # what is missing is made
    make_pairs(config, blocks=folders)
    assert files(tmp_path / "parted") == files(project.sepia)


def test_a_block_that_was_stopped_goes_on(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path / "block")

    def tired(photo: object, seed: int) -> object:
        if len(first.asked) > 4:
            raise KeyboardInterrupt
        return sepia(photo, seed)  # type: ignore[arg-type]

    first, second = Counted(tired, batch=2), Counted(batch=2)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        edit_block(config, [first.teacher], 0, 10)
    edit_block(config, [second.teacher], 0, 10)
    assert sum(second.asked.values()) == 6
    assert len(list((tmp_path / "block" / "candidates").glob("*/*.png"))) == 10


def test_blocks_beyond_the_photos_are_refused(project: Project, tmp_path: Path) -> None:
    config = config_of(project, tmp_path / "block")
    assert "none from the 1001th on" in refused(lambda: edit_block(config, [Counted().teacher], 1000, 10))
    with pytest.raises(InputError, match="needs --photos"):
        edit_block(PairsConfig(concept="x", aligned=tmp_path, out=tmp_path), [], 0, 1)


def test_an_identity_is_of_what_decides_the_edits(project: Project, tmp_path: Path) -> None:
    script = tmp_path / "teacher.py"
    script.write_text("1")

    def of(teacher: str = f"command:{sys.executable} {script}", seed: int = 0, **teach: object) -> dict[str, object]:
        config = PairsConfig(
            photos=project.photos,
            concept="x",
            out=tmp_path / "x",
            teacher=(teacher,),
            seed=seed,
            teach=TeachConfig(**teach),  # type: ignore[arg-type]
        )
        return edits_identity(config, make_teachers(config))

    first = of()
    assert of(batch=3, timeout=5.0) == first
    assert of(seed=1) != first
    assert of(reject=("structure<0.3",)) != first
    script.write_text("2")
    assert of() != first
