"""Pairs by a filter: a run that stops goes on, one that fails leaves nothing, and no process outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from e2gan.core.outputs import partial_of
from e2gan.data.pair_set import PairSet
from e2gan.teachers.filters.filters import FILTERS, apply
from tests.pairs.tiny_pairs import photo_set, refused, run


def test_a_stopped_run_goes_on_and_keeps_what_is_there(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    run(out, photos=photos)
    # What a kill leaves: the partial folder without some of the images and without the rows.
    out.rename(partial_of(out))
    (partial_of(out) / "metadata.jsonl").unlink()
    images = sorted((partial_of(out) / "images").iterdir())
    whole = {path.name: path.read_bytes() for path in images}
    for path in images[:4]:
        path.unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in images[4:]}
    assert "other settings (seed)" in refused(out, photos=photos, seed=1)
    result = run(out, photos=photos)
    assert not result.already_done
    assert "6 of them were there" in str(result)
    assert {path.name: path.read_bytes() for path in (out / "images").iterdir()} == whole
    assert {name: (out / "images" / name).stat().st_mtime_ns for name in kept} == kept
    assert run(out, photos=photos).already_done


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C for a process group is POSIX's")
@pytest.mark.slow
def test_ctrl_c_in_the_midst_of_it(tmp_path: Path) -> None:
    # Seconds of work, so that a busy machine finds it in its midst.
    photos, out = photo_set(tmp_path, 300, 128), tmp_path / "pairs"
    command = [sys.executable, "-m", "e2gan", "pairs", "--photos", photos, "--concept", "oil", "--out", out]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    done: list[Path] = []
    until = time.monotonic() + 60
    while len(done) < 12 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
        done = list(partial_of(out).glob("images/*.png"))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "e2gan: stopped; the same command goes on from where it can\n"
    assert not out.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in partial_of(out).glob("images/*.png")}
    assert 12 <= len(kept) < 300
    result = run(out, "oil", photos=photos)
    assert f"{len(kept)} of them were there" in str(result)
    assert {name: (out / "images" / name).stat().st_mtime_ns for name in kept} == kept
    assert len(list((out / "images").iterdir())) == 300


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_no_process_outlives_one_that_is_killed(tmp_path: Path) -> None:
    photos, out = photo_set(tmp_path, 300, 128), tmp_path / "pairs"
    command = [sys.executable, "-m", "e2gan", "pairs", "--photos", photos, "--concept", "oil", "--out", out]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    def group() -> list[str]:
        """The processes of its session that still run."""
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                stats.append(path.read_text().rpartition(")")[2].split())
        return [stat[0] for stat in stats if int(stat[3]) == process.pid and stat[0] != "Z"]

    until = time.monotonic() + 60
    while len(list(partial_of(out).glob("images/*.png"))) < 12 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(group()) > 1
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while group() and time.monotonic() < until:
        time.sleep(0.1)
    assert group() == []
    assert len(list(partial_of(out).glob("images/*.png"))) < 300


@pytest.mark.slow
def test_many_photos_from_a_script_without_a_main_guard(tmp_path: Path) -> None:
    photo_set(tmp_path, 60)
    (tmp_path / "script.py").write_text(
        "from pathlib import Path\nfrom e2gan import PairsConfig, make_pairs\n"
        f"root = Path({str(tmp_path)!r})\n"
        "make_pairs(PairsConfig(photos=root / 'photos', concept='dusk', out=root / 'pairs'))\n"
    )
    subprocess.run([sys.executable, tmp_path / "script.py"], check=True, capture_output=True, timeout=120)
    before, after, _ = PairSet.load(tmp_path / "pairs").arrays("train")
    assert len(before) == 48
    assert all(np.array_equal(edit, apply(FILTERS["dusk"], photo)) for photo, edit in zip(before, after, strict=True))


def test_a_full_disk_is_told_and_nothing_half_written_stays(photos: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small disk needs the right to make a mount namespace (unshare -m)")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"{sys.executable} -m e2gan pairs --photos {photos} --concept autumn --out {disk}/pairs"
    script = f"mount -t tmpfs -o size=24k none {disk} && {{ {command}; echo status $?; ls -A {disk}; }}"
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "status 2\n"
    assert done.stderr.startswith("e2gan: No space left on device")
    assert done.stderr.count("\n") == 1
