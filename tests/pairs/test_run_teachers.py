"""Teachers at work: retries, memory, crashes, kills, and several machines."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan.core import progress
from e2gan.core.errors import InputError, MachineError
from e2gan.core.files import read_json, read_jsonl
from e2gan.core.images import Pixels
from e2gan.core.outputs import partial_of
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet
from e2gan.pairs.build_set import INDEX
from e2gan.teachers.teacher import Failed
from tests.conftest import Project
from tests.pairs.tiny_teachers import Counted, count, run, sepia
from tests.tiny_clip import write_clip


def test_the_pair_set_holds_the_teachers_edits(project: Project, tmp_path: Path) -> None:
    mine = Counted()
    result = run(project, tmp_path / "pairs", [mine.teacher])
    assert result.train + result.val + result.test == count(project)
    pairs = PairSet.load(tmp_path / "pairs")
    assert (pairs.teacher, pairs.prompt) == ("mine", "as a sepia photo")
    photos, edits, _ = pairs.arrays("train")
    assert all(np.array_equal(edit, sepia(photo, 0)) for photo, edit in zip(photos, edits, strict=True))
    assert len({row["seed"] for row in pairs.rows}) == count(project)
    assert all(0 < row["scores"]["structure"] <= 1 for row in pairs.rows)
    assert max(mine.asked.values()) == 1
    # Done is done: nothing is edited again.
    again = Counted()
    assert run(project, tmp_path / "pairs", [again.teacher]).already_done
    assert not again.asked


def test_the_time_left_is_by_whole_batches(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    run(project, tmp_path / "pairs", [Counted(batch=4).teacher])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edits (mine)")]
    assert [int(line.split()[2]) for line in lines] == list(range(1, count(project) + 1))
    assert [line.endswith("left") for line in lines[:5]] == [False, False, False, True, True]
    assert lines[3].split("  ")[2:] == lines[4].split("  ")[2:]  # no news before the next batch is whole


@pytest.mark.slow
def test_where_memory_runs_out_batches_shrink_and_stay_small(project: Project, tmp_path: Path) -> None:
    mine = Counted(batch=8, most=2)
    run(project, tmp_path / "pairs", [mine.teacher])
    assert mine.sizes[:3] == [8, 4, 2]
    assert sum(size > 2 for size in mine.sizes) == 2
    assert max(mine.asked.values()) == 1
    assert len(mine.asked) == count(project)


@pytest.mark.slow
def test_one_photos_crash_is_its_own(project: Project, tmp_path: Path) -> None:
    bad = PhotoSet.load(project.photos).array()[3]

    def edit(photo: Pixels, seed: int) -> Pixels:
        if np.array_equal(photo, bad):
            raise ValueError("this one hurts")
        return sepia(photo, seed)

    mine = Counted(edit)
    result = run(project, tmp_path / "pairs", [mine.teacher], retries=1)
    assert result.train + result.val + result.test == count(project) - 1
    assert result.rejected == {"ValueError: this one hurts": 2}
    assert "1 photos have no edit" in str(result)


@pytest.mark.slow
def test_a_teacher_that_only_crashes_is_told_in_one_line(project: Project, tmp_path: Path) -> None:
    def edit(photo: Pixels, seed: int) -> Pixels:  # noqa: ARG001
        raise ValueError("no such attribute")

    mine = Counted(edit)
    with pytest.raises(InputError, match=r"^mine failed on each of the first 8 photos: ValueError: no such attribute$"):
        run(project, tmp_path / "pairs", [mine.teacher])
    assert list(tmp_path.iterdir()) == []
    assert len(mine.asked) < count(project)


@pytest.mark.slow
def test_a_service_that_goes_down_is_not_the_photos_fault(project: Project, tmp_path: Path) -> None:
    """After ten edits every call fails; then it is mended, but for two photos that always fail."""
    up, done = [True], []
    hopeless = [photo.tobytes() for photo in PhotoSet.load(project.photos).array()[-12:-10]]

    def edit(photo: Pixels, seed: int) -> Pixels:
        if (up[0] and len(done) >= 10) or photo.tobytes() in hopeless:
            raise ConnectionError("no route to the model")
        done.append(photo)
        return sepia(photo, seed)

    mine, out = Counted(edit, batch=1), tmp_path / "pairs"
    with pytest.raises(InputError, match=r"mine has failed 8 times in a row: ConnectionError: no route"):
        run(project, out, [mine.teacher], retries=0)
    assert not out.exists()
    assert len(list(partial_of(out).rglob("*.png"))) == 10
    up[0] = False
    again = Counted(edit)
    result = run(project, out, [again.teacher], retries=0)
    assert result.train + result.val + result.test == count(project) - 2
    assert result.rejected == {"ConnectionError: no route to the model": 2}
    assert len(again.asked) == count(project) - 10
    assert "10 photos had edits from a run before" in str(result)


@pytest.mark.slow
def test_a_full_disk_ends_a_run_and_is_not_the_photos_fault(project: Project, tmp_path: Path) -> None:
    full, out = [True], tmp_path / "pairs"

    def edit(photo: Pixels, seed: int) -> Pixels:
        if full[0] and len(mine.asked) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return sepia(photo, seed)

    mine = Counted(edit, batch=1)
    with pytest.raises(MachineError, match="No space left on device"):
        run(project, out, [mine.teacher], retries=0)
    assert not out.exists()
    full[0] = False
    result = run(project, out, [mine.teacher], retries=0)
    assert result.train + result.val + result.test == count(project)
    assert "5 photos had edits from a run before" in str(result)


@pytest.mark.slow
def test_what_is_left_of_a_run_may_be_bad_photos_alone(project: Project, tmp_path: Path) -> None:
    photos = [photo.tobytes() for photo in PhotoSet.load(project.photos).array()]
    bad = set(photos[-12:])

    def edit(photo: Pixels, seed: int) -> Pixels:
        if photo.tobytes() in bad:
            raise ValueError("too dark")
        return sepia(photo, seed)

    ends = 0
    for _ in range(4):
        try:
            result = run(project, tmp_path / "pairs", [Counted(edit).teacher], retries=0)
            break
        except InputError:
            ends += 1
    else:
        pytest.fail("it never comes to an end")
    assert ends <= 2
    assert result.train + result.val + result.test == count(project) - len(bad)


@pytest.mark.slow
def test_many_photos_may_fail_with_every_seed(project: Project, tmp_path: Path) -> None:
    """Their retries follow one another, more of them than the exceptions in a row that end a run."""
    bad = {photo.tobytes() for photo in PhotoSet.load(project.photos).array()[::3]}
    assert len(bad) > 8

    def edit(photo: Pixels, seed: int) -> Pixels:
        if photo.tobytes() in bad:
            raise ValueError("no face")
        return sepia(photo, seed)

    result = run(project, tmp_path / "pairs", [Counted(edit).teacher], retries=1)
    assert result.rejected == {"ValueError: no face": 2 * len(bad)}
    assert result.train + result.val + result.test == count(project) - len(bad)


def test_edits_outlive_a_mistake_in_what_scores_them(project: Project, tmp_path: Path) -> None:
    mine, out = Counted(), tmp_path / "pairs"
    nowhere = str(tmp_path / "no-clip")
    with pytest.raises(InputError, match="no-clip"):
        run(project, out, [mine.teacher], clip=nowhere)
    assert not mine.asked  # told before the night, not after it
    with pytest.raises(InputError, match="no training photo has an edit"):
        run(project, out, [mine.teacher], reject=("structure<1.1",))
    assert (partial_of(out) / "rejected.png").is_file()
    result = run(project, out, [mine.teacher], reject=("structure<0.1",))
    assert result.train + result.val + result.test == count(project)
    assert max(mine.asked.values()) == 1
    assert read_json(out / "config.json")["settings"]["choice"]["reject"] == ["structure<0.1"]
    with pytest.raises(InputError, match=r"other settings \(choice.reject\)"):
        run(project, out, [mine.teacher], reject=("structure<0.2",))


def test_bad_edits_are_tried_again_with_another_seed(project: Project, tmp_path: Path) -> None:
    first: dict[bytes, int] = {}

    def edit(photo: Pixels, seed: int) -> Pixels | Failed:
        """The first seed of each photo goes wrong: black, unchanged, flagged, or of another shape."""
        if first.setdefault(photo.tobytes(), seed) != seed:
            return sepia(photo, seed)
        wrong = (np.zeros_like(photo), photo, Failed("flagged"), np.concatenate([photo, photo]))
        return wrong[len(first) % 4]

    mine = Counted(edit)
    result = run(project, tmp_path / "pairs", [mine.teacher])
    assert result.train + result.val + result.test == count(project)
    assert sum(result.rejected.values()) == count(project)
    assert {"black", "unchanged", "flagged"} <= result.rejected.keys()
    assert (tmp_path / "pairs" / "rejected.png").is_file()
    tried = Counter(key for key, _ in mine.asked)
    assert set(tried) == set(first)
    assert set(tried.values()) == {2}
    assert max(mine.asked.values()) == 1


def test_shifted_edits_come_back_to_their_place(project: Project, tmp_path: Path) -> None:
    mine = Counted(lambda photo, seed: np.roll(sepia(photo, seed), 2, axis=1))
    run(project, tmp_path / "pairs", [mine.teacher])
    pairs = PairSet.load(tmp_path / "pairs")
    shifts = [row["scores"]["shift"] for row in pairs.rows]
    assert np.median(shifts) == pytest.approx(2, abs=0.5)
    photos, edits, _ = pairs.arrays("train")
    inner = (slice(None), slice(4, -4), slice(4, -4))
    truth = np.stack([sepia(photo, 0) for photo in photos])
    off = np.abs(edits.astype(float) - truth)[inner].mean()
    assert off < 0.5 * np.abs(np.roll(truth, 2, axis=2).astype(float) - truth)[inner].mean()


SLOW = """
import shutil, sys, time
from pathlib import Path
from PIL import Image, ImageOps
source, target = map(Path, sys.argv[1:])
log = Path(LOG)
for path in sorted(source.iterdir()):
    with log.open("a") as file:
        file.write(path.read_bytes().hex()[:4000:17] + chr(10))
    time.sleep(0.05)
    ImageOps.invert(Image.open(path)).save(target / path.name)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_edited_twice(project: Project, tmp_path: Path) -> None:
    script, log, out = tmp_path / "slow.py", tmp_path / "log", tmp_path / "pairs"
    script.write_text(SLOW.replace("LOG", repr(str(log))))
    teacher = f"command:{sys.executable} {script} {{input}} {{output}}"
    command = [sys.executable, "-m", "e2gan", "pairs", "--photos", project.photos, "--concept", "inverted"]
    command += ["--out", out, "--teacher", teacher, "--batch", "2", "--no-align"]
    kept: list[Path] = []
    for wanted in (3, 7):
        process = subprocess.Popen(
            command, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + 60
        while len(kept) < wanted and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
            kept = list(partial_of(out).rglob("candidates/*/*.png"))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not out.exists()
        assert len(kept) >= wanted
    before = {
        path.relative_to(partial_of(out)): path.read_bytes() for path in partial_of(out).rglob("candidates/*/*.png")
    }
    edited = len(log.read_text().splitlines())
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "had edits from a run before" in finished.stdout
    assert len(log.read_text().splitlines()) == edited + count(project) - len(before)
    assert all((out / path).read_bytes() == data for path, data in before.items())
    assert len(PairSet.load(out).rows) == count(project)


@pytest.mark.slow
def test_other_weights_under_a_models_name_choose_anew(project: Project, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "clip"), tmp_path / "pairs"
    mine = Counted()
    run(project, out, [mine.teacher], clip=str(clip), prefer=("clip=1",))
    assert run(project, out, [mine.teacher], clip=str(clip), prefer=("clip=1",)).already_done
    before = [row["scores"]["clip"] for row in read_jsonl(out / INDEX)]
    write_clip(clip, seed=1)
    with pytest.raises(InputError, match="clip_sha256"):
        run(project, out, [mine.teacher], clip=str(clip), prefer=("clip=1",))
    asked = mine.asked.total()
    out.rename(partial_of(out))  # as if it had been stopped before it was whole
    run(project, out, [mine.teacher], clip=str(clip), prefer=("clip=1",))
    assert mine.asked.total() == asked  # the edits are the same
    assert [row["scores"]["clip"] for row in read_jsonl(out / INDEX)] != before


LOGS = """
import sys
from pathlib import Path
from PIL import Image, ImageOps
source, target, log, dies = map(Path, sys.argv[1:])
with log.open("a") as file:
    print(len(list(source.iterdir())), file=file)
for path in sorted(source.iterdir()):
    if dies.exists() and path.name != "0000.png":
        import os, signal
        dies.unlink()
        os.kill(os.getppid(), signal.SIGKILL)
    ImageOps.invert(Image.open(path)).save(target / path.name)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills")
@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_a_log_that_a_program_is_given_and_writes_does_not_make_it_another_run(
    there: bool, project: Project, tmp_path: Path
) -> None:
    script, log, dies, out = tmp_path / "logs.py", tmp_path / "log", tmp_path / "dies", tmp_path / "pairs"
    script.write_text(LOGS)
    if there:
        log.write_text("before\n")
    command = [
        sys.executable,
        "-m",
        "e2gan",
        "pairs",
        "--photos",
        project.photos,
        "--concept",
        "inverted",
        "--out",
        out,
    ]
    command += ["--teacher", f"command:{sys.executable} {script} {{input}} {{output}} {log} {dies}"]
    command += ["--batch", "4"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    dies.touch()
    assert run().returncode == -signal.SIGKILL  # in the first batch: nothing is kept
    assert run().returncode == 0
    assert run().stdout.splitlines()[-1].startswith("made already")
    assert read_json(out / "config.json", Any)["written"] == [str(log)]
    script.write_text(LOGS + "# another program")
    assert "other settings (teachers)" in run().stderr
