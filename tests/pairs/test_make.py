"""Pairs from the built-in teacher, from diffusion models and of many concepts, by the command and the function."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.core.files import read_json, read_jsonl, write_json
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet
from e2gan.teachers.filters.filters import FILTERS, apply
from tests.conftest import Project
from tests.pairs.tiny_pairs import refused, run
from tests.pairs.tiny_teachers import count


def test_pairs_are_the_photos_and_the_filters_edits(photos: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "pairs", photos=photos, seed=7)
    assert (result.train, result.val, result.test) == (8, 1, 1)
    pairs = PairSet.load(tmp_path / "pairs")
    assert (pairs.prompt, pairs.teacher, pairs.size) == (FILTERS["autumn"].prompt, "filters:autumn", 32)
    of_photos = PhotoSet.load(photos)
    for split in ("train", "val", "test"):
        before, after, ids = pairs.arrays(split)
        assert ids == [photo.id for photo in of_photos.split(split)]
        assert np.array_equal(before, of_photos.array(ids))
        for photo, edit in zip(before, after, strict=True):
            assert np.array_equal(edit, apply(FILTERS["autumn"], photo))
    assert str(result).startswith(f'10 pairs "{FILTERS["autumn"].prompt}" (filters:autumn) in ')


def test_the_rows_are_those_of_an_imagefolder(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", photos=photos, seed=7)
    rows = PairSet.load(tmp_path / "pairs").rows
    prompt = FILTERS["autumn"].prompt
    rest = {"prompt": prompt, "teacher": "filters:autumn", "seed": 7, "score": None}
    for row, photo in zip(rows, PhotoSet.load(photos).photos, strict=True):
        assert row == {"file_name": f"images/{photo.id}.png", "photo": photo.id, "split": photo.split} | rest
        # The `datasets` library would take such a word for the split of the file.
        assert not re.search(r"(^|[-._ 0-9])(test|train|val)[-._ 0-9]", row["photo"])
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == {"images", "metadata.jsonl", "config.json"}


def test_name_and_prompt_mean_the_same_and_a_prompt_of_ones_own_is_kept(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", photos=photos)
    assert run(tmp_path / "pairs", FILTERS["autumn"].prompt.upper(), photos=photos).already_done
    own = run(tmp_path / "own", "as in   October", photos=photos, teacher=("filters:autumn",))
    assert (own.prompt, own.teacher) == ("as in October", "filters:autumn")
    a, b = (PairSet.load(tmp_path / name).arrays("train")[1] for name in ("pairs", "own"))
    assert np.array_equal(a, b)


def test_unknown_teachers_and_concepts_are_refused(photos: Path, tmp_path: Path) -> None:
    assert 'no preset is called "diffusion"' in refused(tmp_path / "x", photos=photos, teacher=("diffusion",))
    assert "--teacher filters:: unknown" in refused(tmp_path / "x", photos=photos, teacher=("filters:",))
    assert "--teacher filters:NAME" in refused(tmp_path / "x", "as a Ming vase", photos=photos)
    assert "nonsuch" in refused(tmp_path / "x", "as a Ming vase", photos=photos, teacher=("filters:nonsuch",))
    assert "no photo set" in refused(tmp_path / "x", photos=tmp_path / "camera")


def test_a_selection_narrows_the_training_photos_only(photos: Path, tmp_path: Path) -> None:
    train = [photo.id for photo in PhotoSet.load(photos).split("train")]
    write_json(photos / "selection.json", {"ids": train[2:5]})
    result = run(tmp_path / "pairs", photos=photos)
    assert (result.train, result.val, result.test) == (3, 1, 1)
    assert PairSet.load(tmp_path / "pairs").arrays("train")[2] == train[2:5]
    assert "selection.json" in str(result)
    write_json(photos / "selection.json", {"ids": train[3:5]})
    assert "selection_sha256" in refused(tmp_path / "pairs", photos=photos)
    write_json(photos / "selection.json", {"ids": ["gone"]})
    assert "none of the training photos" in refused(tmp_path / "x", photos=photos)
    write_json(tmp_path / "other.json", {"ids": train[:2]})
    assert run(tmp_path / "other", photos=photos, selection=tmp_path / "other.json").train == 2
    write_json(photos / "selection.json", ["gone"])
    assert "selection.json: expected object, got array" in refused(tmp_path / "x", photos=photos)


def test_the_teacher_needs_no_torch() -> None:
    code = (
        "import sys, e2gan.pairs.make, e2gan.data.photos, e2gan.data.builtin_photos; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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


def test_teachers_of_the_command_go_before_a_lists_defaults_but_not_before_a_concepts_own(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(
        """
        about = "Cats, and a cat of mine."
        include = ["paper-afhq-base"]
        [defaults]
        teacher = "filters:mono"
        [[concept]]
        prompt = "by default"
        [[concept]]
        prompt = "its own"
        teacher = "filters:dusk"
        """
    )
    command = ["pairs", "--photos", str(project.photos), "--concepts", str(tmp_path / "mine.toml")]
    assert main([*command, "--teacher", "filters:sepia", "--out", str(tmp_path / "pairs")]) == 0
    assert "mine: Cats, and a cat of mine." in capsys.readouterr().err
    made = {path.name: PairSet.load(path).teacher for path in (tmp_path / "pairs").iterdir()}
    assert made.pop("its-own") == "filters:dusk"
    names = ("cat-to-serval", "watercolor-painting", "chalk-art", "by-default")
    assert made == dict.fromkeys(names, "filters:sepia")
    (tmp_path / "mine.toml").write_text('[defaults]\nteacher = "filters:mono"\n[[concept]]\nprompt = "by default"')
    capsys.readouterr()
    paper = [*command[:-1], "paper-afhq-base", "--out", str(tmp_path / "paper")]
    assert main(paper) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        "concept 'cat-to-serval': instruct-diffusion has no checkpoint on the hub: name a folder with --model" in line
    )
    assert not (tmp_path / "paper").exists()
    assert main([*command, "--out", str(tmp_path / "as it is")]) == 0
    assert PairSet.load(tmp_path / "as it is" / "by-default").teacher == "filters:mono"


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
    assert "concept 'two': it would run a program" in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()
    command.append("--run-commands")
    assert main([*command, "--out", str(tmp_path / "pairs")]) == 2
    assert "1 of 3 concepts have no pair set: two (" in capsys.readouterr().err.splitlines()[-1]
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == {"one", "three"}


def test_the_sets_of_a_list_are_sided_where_it_says_so(photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.toml"
    lines = [f'[[concept]]\nname = "{n}"\nprompt = "{n}"\nteacher = "filters:autumn"\n' for n in ("lit", "plain")]
    listed.write_text(lines[0] + "sided = true\n" + lines[1])
    assert main(["pairs", "--photos", str(photos), "--concepts", str(listed), "--out", str(tmp_path / "pairs")]) == 0
    assert [PairSet.load(tmp_path / "pairs" / name).sided for name in ("lit", "plain")] == [True, False]
