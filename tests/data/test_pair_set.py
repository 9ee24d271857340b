"""Pair sets on disk: moved with their photos, and broken."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_json
from e2gan.core.images import encode_png
from e2gan.core.record import against_record, record
from e2gan.data.pair_set import PairSet
from e2gan.pairs.make import make_pairs
from e2gan.teachers.function import FunctionTeacher
from tests.pairs.tiny_pairs import photo_set, picture, run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photo_set(tmp_path, 10)


def test_pairs_and_photos_move_together(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "deep/down/pairs", photos=photos)
    assert read_json(tmp_path / "deep/down/pairs/config.json")["settings"]["photos"] == "../../../photos"
    (tmp_path / "elsewhere").mkdir()
    shutil.move(photos, tmp_path / "elsewhere/photos")
    shutil.move(tmp_path / "deep", tmp_path / "elsewhere/deep")
    before, after, ids = PairSet.load(tmp_path / "elsewhere/deep/down/pairs").arrays("train")
    assert len(before) == len(after) == len(ids) == 8


def test_broken_pair_sets_are_told_in_one_line(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", photos=photos)
    pairs = PairSet.load(tmp_path / "pairs")
    with pytest.raises(InputError, match="no pairs in the split 'holiday'"):
        pairs.arrays("holiday")
    (tmp_path / "pairs" / pairs.rows[0]["file_name"]).write_bytes(encode_png(picture(0, 8, 8)))
    with pytest.raises(InputError, match="is not 32×32 pixels"):
        pairs.arrays(pairs.rows[0]["split"])
    with pytest.raises(InputError, match="holds the output of 'photos', not a pair set"):
        PairSet.load(photos)
    with pytest.raises(InputError, match="is no pair set"):
        PairSet.load(tmp_path / "absent")
    shutil.rmtree(photos)
    with pytest.raises(InputError, match=r"needs its photo set .*photos, which is missing"):
        PairSet.load(tmp_path / "pairs").arrays("train")
    (tmp_path / "pairs/metadata.jsonl").write_text("[]\n")
    with pytest.raises(InputError, match="line 1: expected object, got array"):
        PairSet.load(tmp_path / "pairs")


def test_where_the_photos_of_a_set_lie_outside_of_it_is_told_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "told", "autumn", photos=photos)
    capsys.readouterr()
    for _ in range(2):
        _ = PairSet.load(tmp_path / "told").photos
    assert "".join(capsys.readouterr().err.split()).count("itsphotosarereadfrom") == 1


def test_names_that_lead_out_of_a_pair_set_are_refused(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", "autumn", photos=photos)
    rows = (tmp_path / "pairs/metadata.jsonl").read_text()
    first = PairSet.load(tmp_path / "pairs").rows[0]
    for name in ("../secret.png", "/etc/passwd", "images/../../secret.png", "..\\secret.png"):
        (tmp_path / "pairs/metadata.jsonl").write_text(rows.replace(first["file_name"], name.replace("\\", "\\\\")))
        with pytest.raises(InputError, match=r"at file_name: .* is no name of a file inside"):
            PairSet.load(tmp_path / "pairs")
    (tmp_path / "pairs/metadata.jsonl").write_text(rows)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "pairs" / first["file_name"]).unlink()
    (tmp_path / "pairs" / first["file_name"]).symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="is a link that leads out of"):
        PairSet.load(tmp_path / "pairs")


def test_an_edit_that_has_a_side_is_known_by_its_set(photos: Path, tmp_path: Path) -> None:
    """By the filter, by a function of one's own, or by the user, who alone knows it of pairs that are there."""
    run(tmp_path / "autumn", photos=photos)
    run(tmp_path / "sunrise", "sunrise", photos=photos)
    run(tmp_path / "mine", "my autumn", photos=photos, teacher=("filters:autumn",), sided=True)
    make_pairs(
        PairsConfig(photos=photos, concept="lit", out=tmp_path / "lit"),
        [FunctionTeacher(lambda images, *_: [255 - image for image in images], "lit", sided=True)],
    )
    camera = tmp_path / "camera"
    run(tmp_path / "imported", "lit", before=camera, after=camera, size=32, sided=True)
    found = {name: PairSet.load(tmp_path / name).sided for name in ("autumn", "sunrise", "mine", "lit", "imported")}
    assert found == {"autumn": False, "sunrise": True, "mine": True, "lit": True, "imported": True}
    assert run(tmp_path / "sunrise", "sunrise", photos=photos).already_done


def test_that_an_edit_has_a_side_is_noted_in_a_set_that_is_there(photos: Path, tmp_path: Path) -> None:
    """By who says so: what an earlier version made of a filter stays as it was."""
    out = tmp_path / "sunrise"
    run(out, "sunrise", photos=photos)
    config = read_json(out / "config.json")
    del config["sided"]
    write_json(out / "config.json", config)
    record(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert run(out, "sunrise", photos=photos).already_done
    assert not PairSet.load(out).sided
    assert run(out, "sunrise", photos=photos, sided=True).already_done
    assert PairSet.load(out).sided
    assert against_record(out).changed == []
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert run(out, "sunrise", photos=photos).already_done
    teacher = FunctionTeacher(lambda images, *_: [255 - image for image in images], "lit")
    make_pairs(lit := PairsConfig(photos=photos, concept="lit", out=tmp_path / "lit"), [teacher])
    teacher.sided = True
    assert make_pairs(lit, [teacher]).already_done
    assert PairSet.load(lit.out).sided


def test_where_it_cannot_be_noted_that_is_said(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "autumn", photos=photos)

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("e2gan.pairs.make.add_facts", read_only)
    with pytest.raises(InputError, match=r"--sided: cannot be noted in .*autumn \(Read-only file system\): train with"):
        run(tmp_path / "autumn", photos=photos, sided=True)
    assert run(tmp_path / "autumn", photos=photos).already_done
