from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from e2gan import PairsConfig, PhotosConfig, make_pairs, prepare_photos
from e2gan.core.images import read_image, write_png
from e2gan.data import photos as stage
from e2gan.data.kept import KEPT, KeptPhotos
from e2gan.pairs import import_pairs


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    for folder, shade in (("camera", 1), ("edits", 2)):
        (tmp_path / folder).mkdir()
        for i in range(12):
            pixels = np.random.default_rng(i).integers(0, 256, (40, 48, 3), np.uint8) // shade
            write_png(tmp_path / folder / f"{i:02}.png", pixels)
    return tmp_path / "camera"


class Killed(BaseException):
    """As a kill: nothing is cleared up for it."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_at(monkeypatch: pytest.MonkeyPatch, module: object, name: str, last: int) -> list[Path]:
    """Replace a module's reader by one that fails at the call after `last`; the paths that it was asked for."""
    asked: list[Path] = []

    def read(path: Path) -> object:
        asked.append(path)
        if len(asked) > last:
            raise Killed
        return read_image(path)

    monkeypatch.setattr(module, name, read)
    return asked


@pytest.mark.parametrize("pairs", [False, True])
def test_photos_that_were_read_before_a_kill_are_not_read_again(
    pairs: bool, camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> list[str]:
        if not pairs:
            return prepare_photos(PhotosConfig(folder=camera, out=out, size=32)).notes
        return make_pairs(PairsConfig(before=camera, after=tmp_path / "edits", concept="x", out=out, size=32)).notes

    whole, out = tmp_path / "whole", tmp_path / "out"
    run(whole)
    module = import_pairs if pairs else stage
    monkeypatch.setattr("e2gan.core.progress.cores", lambda: 1)  # one thread: what is read is known
    with monkeypatch.context() as patch:
        killed_at(patch, module, "read_image", 18 if pairs else 9)
        with pytest.raises(Killed):
            run(out)
    partial = tmp_path / "out.partial"
    kept = len((partial / ("photos" if pairs else "") / KEPT).read_text().splitlines())
    assert kept > 2
    with monkeypatch.context() as patch:
        asked = killed_at(patch, module, "read_image", 1000)
        notes = run(out)
    assert len(asked) <= (12 - kept + 4) * (1 + pairs)  # of up to four, the image was still to be written
    assert any("were there from a run that was stopped" in note for note in notes)
    found, wanted = contents(out), contents(whole)
    assert found.keys() == wanted.keys()
    assert all(found[name] == wanted[name] for name in wanted if not name.endswith("config.json"))
    assert not partial.exists()


def test_a_row_without_its_image_counts_for_nothing(
    camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        killed_at(patch, stage, "read_image", 9)
        with pytest.raises(Killed):
            prepare_photos(PhotosConfig(folder=camera, out=out, size=32))
    for image in (tmp_path / "out.partial/images").iterdir():
        image.unlink()
    with (tmp_path / "out.partial" / KEPT).open("a") as file:
        file.write('{"id": "cut o')
    result = prepare_photos(PhotosConfig(folder=camera, out=out, size=32))
    assert result.train == 10
    assert not any("stopped" in note for note in result.notes)
    shutil.rmtree(out)


def test_a_row_that_was_cut_off_makes_room_for_the_next_ones(tmp_path: Path) -> None:
    def row(i: int) -> dict[str, object]:
        return {"id": f"{i:06}", "source": f"{i}.png", "width": 48, "height": 40, "sha256": f"{i:064x}"}

    kept = KeptPhotos(tmp_path, 32)
    kept.write(row(0))
    kept.write(row(1))
    for end in ("\n", ""):  # whole, but for its newline; and in the midst
        path = tmp_path / KEPT
        path.write_text(path.read_text().removesuffix(end or '"}\n'))
        again = KeptPhotos(tmp_path, 32)
        assert [row["id"] for row in again.rows.values()] == ["000000"]
        again.write(row(1))
        again.write(row(2))
        assert len(KeptPhotos(tmp_path, 32).rows) == 3
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
