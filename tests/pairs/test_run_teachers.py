"""Teachers at work: retries, memory, crashes, kills, several machines, and the choice of the best."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from e2gan.cli import main
from e2gan.config import PairsConfig, TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl
from e2gan.core.images import Pixels, read_image
from e2gan.core.outputs import partial_of
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet
from e2gan.pairs import build_set
from e2gan.pairs.make import PairsResult, make_pairs
from e2gan.pairs.scores import EditScores
from e2gan.teachers.filters.filters import FILTERS, apply
from e2gan.teachers.function import FunctionTeacher
from e2gan.teachers.teacher import Failed
from tests.conftest import Project

Edit = Callable[[Pixels, int], "Pixels | Failed"]


def sepia(photo: Pixels, seed: int) -> Pixels:  # noqa: ARG001
    return apply(FILTERS["sepia"], photo)


class Counted:
    """A function teacher that notes what it was asked for: the batches, and each photo with its seed."""

    def __init__(self, edit: Edit = sepia, batch: int = 4, most: int | None = None) -> None:
        self.edit, self.most = edit, most
        self.sizes: list[int] = []
        self.asked: Counter[tuple[bytes, int]] = Counter()
        self.teacher = FunctionTeacher(self.run, name="mine", batch=batch)

    def run(self, photos: list[Pixels], prompt: str, seeds: list[int]) -> list[Pixels | Failed]:  # noqa: ARG002
        self.sizes.append(len(photos))
        if self.most is not None and len(photos) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.asked.update((photo.tobytes(), seed) for photo, seed in zip(photos, seeds, strict=True))
        return [self.edit(photo, seed) for photo, seed in zip(photos, seeds, strict=True)]


def run(project: Project, out: Path, teachers: Sequence[FunctionTeacher], **teach: object) -> PairsResult:
    config = PairsConfig(out=out, photos=project.photos, concept="as a sepia photo", teach=TeachConfig(**teach))  # type: ignore[arg-type]
    return make_pairs(config, teachers)


def count(project: Project) -> int:
    return len(PhotoSet.load(project.photos).photos)


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


def test_a_teachers_name_may_have_dots(project: Project, tmp_path: Path) -> None:
    mine = Counted()
    result = run(project, tmp_path / "pairs", [FunctionTeacher(mine.run, name="model-v1.5")], seeds=2)
    assert result.train + result.val + result.test == count(project)
    assert len(mine.asked) == 2 * count(project)
    assert max(mine.asked.values()) == 1
    assert all((tmp_path / "pairs" / row["file"]).is_file() for row in read_jsonl(tmp_path / "pairs/candidates.jsonl"))


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


def test_what_was_once_marked_as_suspect_is_tried_again(project: Project, tmp_path: Path) -> None:
    """Older versions wrote so of photos that failed while everything did."""
    hopeless = PhotoSet.load(project.photos).array()[0].tobytes()

    def edit(photo: Pixels, seed: int) -> Pixels:
        if photo.tobytes() == hopeless:
            raise ValueError("no face")
        return sepia(photo, seed)

    out = tmp_path / "pairs"
    run(project, out, [Counted(edit).teacher], retries=0)
    (note,) = out.rglob("candidates/*/*.json")
    note.write_text(json.dumps(read_json(note) | {"suspect": True}))
    out.rename(partial_of(out))
    again = Counted()
    result = run(project, out, [again.teacher], retries=0)
    assert [photo for photo, _ in again.asked] == [hopeless]
    assert result.train + result.val + result.test == count(project)
    assert not result.rejected


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


@pytest.mark.slow
def test_scores_are_kept_and_made_smaller_where_memory_runs_out(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, sizes = EditScores._score, []

    def little(self: EditScores, photos: Sequence[Pixels], edits: Sequence[Pixels]) -> list[dict[str, float]]:
        sizes.append(len(edits))
        if len(edits) > 4:
            raise RuntimeError("CUDA out of memory.")
        if len(sizes) == stop:
            raise KeyboardInterrupt
        return score(self, photos, edits)

    monkeypatch.setattr(EditScores, "_score", little)
    stop, out = 12, tmp_path / "pairs"
    monkeypatch.setattr(build_set, "AT_A_TIME", 8)
    with pytest.raises(KeyboardInterrupt):
        run(project, out, [Counted().teacher])
    scored = sum(len(path.read_text().splitlines()) for path in partial_of(out).glob("scores-*.jsonl"))
    assert 0 < scored < count(project)
    stop = 0
    sizes.clear()
    run(project, out, [Counted().teacher])
    assert sum(size for size in sizes if size <= 4) == count(project) - scored
    assert not list(out.glob("scores-*"))
    assert all("structure" in row["scores"] for row in read_jsonl(out / "candidates.jsonl"))


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


@pytest.mark.slow
def test_of_several_edits_the_best_is_kept(project: Project, tmp_path: Path) -> None:
    """Two teachers, two seeds: one of four keeps the photo's structure."""

    def blurred(photo: Pixels, seed: int) -> Pixels:
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(sepia(photo, seed), (4 + seed % 2, 4, 0)), np.uint8)

    good, bad = Counted(), Counted(blurred)
    teachers = [
        FunctionTeacher(bad.run, name="bad"),
        FunctionTeacher(good.run, name="good"),
    ]
    result = run(project, tmp_path / "pairs", teachers, seeds=2, max_residual=99)
    assert result.teacher == "bad, good"
    pairs = PairSet.load(tmp_path / "pairs")
    assert Counter(row["teacher"] for row in pairs.rows).most_common(1)[0] == ("good", len(pairs.rows))
    rows = read_jsonl(tmp_path / "pairs" / "candidates.jsonl")
    assert len(rows) == 4 * count(project)
    assert sum(row["picked"] for row in rows) == count(project)
    assert all((tmp_path / "pairs" / row["file"]).is_file() for row in rows)


@pytest.mark.slow
def test_thresholds_reject_and_say_how_many(project: Project, tmp_path: Path) -> None:
    other = PhotoSet.load(project.photos).array()[0]

    def edit(photo: Pixels, seed: int) -> Pixels:
        return sepia(other if photo.sum() % 3 == 0 else photo, seed)

    result = run(
        project, tmp_path / "pairs", [Counted(edit).teacher], reject=("structure<0.4",), max_residual=99, align=False
    )
    lost = count(project) - (result.train + result.val + result.test)
    assert lost > 0
    assert "structure" in str(result)
    assert result.rejected == {"structure<0.4": lost}
    with pytest.raises(InputError, match="no training photo has an edit"):
        run(project, tmp_path / "none", [Counted().teacher], reject=("structure<1.1",))


@pytest.mark.slow
def test_parts_of_several_machines_make_one_set(project: Project, tmp_path: Path) -> None:
    parts = [Counted() for _ in range(3)]
    for i in (0, 2):
        result = run(project, tmp_path / "pairs", [parts[i].teacher], shard=f"{i + 1}/3")
        assert result.waiting
        assert "left to the other parts" in str(result)
        assert not (tmp_path / "pairs").exists()
    result = run(project, tmp_path / "pairs", [parts[1].teacher], shard="2/3")
    assert result.train + result.val + result.test == count(project)
    asked = parts[0].asked + parts[1].asked + parts[2].asked
    assert len(asked) == count(project)
    assert max(asked.values()) == 1
    whole = run(project, tmp_path / "whole", [Counted().teacher])
    assert whole.train == result.train
    rows = [(tmp_path / name / "metadata.jsonl").read_text() for name in ("pairs", "whole")]
    assert rows[0] == rows[1]
    with pytest.raises(InputError, match="must be I/N"):
        run(project, tmp_path / "x", [Counted().teacher], shard="4/3")


def test_parts_that_run_at_once_do_not_clash(project: Project, tmp_path: Path) -> None:
    parts = [Counted(batch=2) for _ in range(4)]

    def part(i: int) -> PairsResult:
        return run(project, tmp_path / "pairs", [parts[i].teacher], shard=f"{i + 1}/4")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(part, range(4)))
    if not (tmp_path / "pairs").exists():  # all of them ended while another was still at it
        results.append(part(0))
    assert len(PairSet.load(tmp_path / "pairs").rows) == count(project)
    asked = sum((p.asked for p in parts), Counter())
    assert len(asked) == count(project)
    assert max(asked.values()) == 1
    assert all(result.waiting or result.busy or result.train for result in results)


def test_a_filter_is_one_machines_work(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pairs", "--photos", str(project.photos), "--concept", "sepia", "--out", str(tmp_path / "pairs")]
    assert main([*command, "--shard", "2/2"]) == 0
    assert "left to the other parts" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main([*command, "--shard", "1/2"]) == 0
    assert len(PairSet.load(tmp_path / "pairs").rows) == count(project)


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


def test_a_set_that_another_process_builds_is_left_to_it(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    run(project, out, [Counted().teacher])
    out.rename(partial_of(out))
    with FileLock(tmp_path / "pairs.lock"):
        with pytest.raises(InputError, match="another process is building"):
            run(project, out, [Counted().teacher])
        assert run(project, out, [Counted().teacher], shard="1/2").busy
    (tmp_path / "pairs.lock").touch()  # what a killed process leaves
    run(project, out, [Counted().teacher])
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"]


# ------------------------------------------------------------------------------------------------------ as a command


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers", reason="needs e2gan[teachers]")
    from tests.teachers.diffusion.tiny_diffusion import write_stable_diffusion

    folder = tmp_path_factory.mktemp("sd")
    write_stable_diffusion(folder)
    return folder


@pytest.mark.slow
def test_a_diffusion_model_teaches_by_one_command(
    project: Project, sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pairs"
    command = ["pairs", "--photos", str(project.photos), "--concept", "make it autumn", "--out", str(out)]
    command += ["--teacher", "sd-img2img", "filters:autumn", "--model", str(sd)]
    command += ["--set", "num_inference_steps=2", "sd-img2img.strength=0.9", "side=32", "--max-residual", "99"]
    assert main(command) == 0
    assert "to choose by hand" in capsys.readouterr().out
    rows = read_jsonl(out / "candidates.jsonl")
    assert Counter(row["teacher"] for row in rows)["filters:autumn"] == count(project)
    assert {row["teacher"] for row in rows} == {"sd-img2img", "filters:autumn"}
    # What noise of a random network draws keeps less of a photo than a filter does.
    assert {row["teacher"] for row in PairSet.load(out).rows} == {"filters:autumn"}
    settings = read_json(out / "config.json")["settings"]
    assert settings["teachers"][0]["arguments"]["strength"] == 0.9
    assert settings["teachers"][0]["checkpoint"] == str(sd)


def test_what_cannot_be_loaded_is_one_line(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    base = ["pairs", "--photos", str(project.photos), "--concept", "make it autumn", "--out", str(tmp_path / "x")]
    for more, words in (
        (["--teacher", "sd-img2im"], "did you mean sd-img2img"),
        (["--teacher", "sd-img2img", "--model", str(tmp_path / "nothing")], "there is no such folder"),
        (["--teacher", "sd-img2img", "null-text", "--model", "folder"], "say whose it is"),
        (["--teacher", "sd-img2img", "--set", "strenght=1"], "takes no such argument"),
        (["--teacher", "command:nonesuch {input} {output}"], "nonesuch"),
        (["--teacher", "filters", "--set", "strength=1"], "no such teacher"),
        (["--teacher", "sd-img2img", "--reject", "beauty<1"], "there is no score 'beauty'"),
        (["--teacher", "sd-img2img", "--reject", "clip<0.2"], "--clip"),
    ):
        assert main([*base, *more]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("e2gan: ")
        assert words in line
        assert not (tmp_path / "x").exists()
        assert not (tmp_path / "x.partial").exists()


def test_many_concepts_by_one_command(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "effects.toml").write_text(
        """
        [defaults]
        teacher = "filters"
        [[concept]]
        prompt = "make it autumn"
        [[concept]]
        name = "old"
        prompt = "an old picture"
        teacher = "filters:sepia"
        """
    )
    command = ["pairs", "--photos", str(project.photos), "--concepts", str(tmp_path / "effects.toml")]
    command += ["--out", str(tmp_path / "pairs")]
    assert main(command) == 0
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == {"make-it-autumn", "old"}
    assert PairSet.load(tmp_path / "pairs" / "old").prompt == "an old picture"
    assert main(command) == 0
    assert capsys.readouterr().out.count("made already") == 2
    (tmp_path / "effects.toml").write_text('[[concept]]\nprompt = "a"\n[[concept]]\nprompt = "b"\nteacher = "nobody"\n')
    assert main([*command[:-1], str(tmp_path / "other")]) == 2
    assert "concept 'a'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_one_concepts_failure_is_its_own(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crashes = f"command:{sys.executable} -c raise(SystemExit(3)) {{input}} {{output}}"
    (tmp_path / "three.toml").write_text(
        f"""
        [defaults]
        settings = {{ strength = 0.5 }}
        [[concept]]
        name = "one"
        prompt = "make it autumn"
        teacher = "filters:autumn"
        [[concept]]
        name = "two"
        prompt = "broken"
        teacher = "{crashes}"
        [[concept]]
        name = "three"
        prompt = "an old picture"
        teacher = "filters:sepia"
        """
    )
    command = ["pairs", "--photos", str(project.photos), "--concepts", str(tmp_path / "three.toml")]
    assert main([*command, "--out", str(tmp_path / "pairs")]) == 2
    assert "1 of 3 concepts have no pair set: two (" in capsys.readouterr().err.splitlines()[-1]
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == {"one", "three"}


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
