"""The benchmark of a base, whole, at the smallest size; and the choices that its figures hang on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2gan import BaseConfig, GeneratorConfig, InputError, TrainingConfig, train_base
from e2gan.core.files import read_json
from e2gan.core.images import read_image
from e2gan.teachers.filters.filters import FILTERS, Kind
from tests.benchmarks import mistake, script
from tests.conftest import TINY, Project

bench = script("base")


@pytest.fixture(scope="module")
def other_base(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of another concept than the project's."""
    out = tmp_path_factory.mktemp("bases") / "other"
    training = TrainingConfig(steps=2, batch=4, precision="fp32")
    train_base(BaseConfig(pairs=(project.sepia,), out=out, generator=GeneratorConfig(**TINY), training=training))
    return out


@pytest.fixture(scope="module")
def config(photo_folders: Path, project: Project, other_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return bench.Benchmark(
        photos=photo_folders,
        out=tmp_path_factory.mktemp("bench") / "measured",
        base=project.base,
        concepts=("sepia", "sketch"),
        parts=("main", "starts", "bases"),
        bases=(f"other={other_base}",),
        known=3,
        minutes=0.002,
        times=2.0,
        size=32,
        style_size=64,
        train=20,
        test=6,
    )


@pytest.fixture(scope="module")
def printed(config: Any) -> str:
    return bench.run(config)


def cells(config: Any, part: str, concept: str) -> dict[str, Any]:
    return read_json(config.out / f"{part}.json")["concepts"][concept]["cells"]


def stamps(folder: Path) -> dict[Path, int]:
    """When each file but the tables was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.parent != folder}


# ------------------------------------------------------------------------------------------------------- the whole run


@pytest.mark.slow
def test_main_compares_the_adapter_with_longer_trainings(config: Any, printed: str) -> None:
    columns = ["adapter, 0.002 min", "pix2pix from scratch, 0.004 min", "this generator from scratch, 0.004 min"]
    assert read_json(config.out / "main.json")["columns"] == [*columns, "the photo as it is"]
    for concept in config.concepts:
        found = cells(config, "main", concept)
        assert list(found) == [columns[0], "the photo as it is", *columns[1:]]
        for cell in found.values():
            assert cell["ssim"] <= 1
            assert cell["l1"] > 0
            assert cell["fd_squeezenet"]["images"] == config.test
        assert found[columns[0]]["parameters"] < found[columns[2]]["parameters"] < found[columns[1]]["parameters"]
        folders = [Path(found[column]["folder"]) for column in columns]
        lr = [read_json(folder / "config.json")["settings"]["training"]["lr"] for folder in folders]
        minutes = [read_json(folder / "config.json")["settings"]["training"]["minutes"] for folder in folders]
        assert (lr, minutes) == ([2e-3, 5e-4, 5e-4], [0.002, 0.004, 0.004])
        scratch = read_json(folders[2] / "config.json")["settings"]["generator"]
        assert scratch == read_json(config.base / "config.json")["settings"]["generator"]
        assert read_image(config.out / "sheets" / "main" / f"{concept}.png").shape[1] > 5 * 128
    text = (config.out / "main.md").read_text("utf-8")
    assert text in printed
    for heading in ("**SSIM** (higher", "**L1 of 255** (lower", "**fd-squeezenet** (lower"):
        assert heading in text
    assert text.count("| as a pencil sketch (edges) |") == 3
    assert "- as a pencil sketch: " in text
    assert "not all trained yet" not in text


@pytest.mark.slow
def test_starts_are_of_the_bases_own_concepts(config: Any, printed: str) -> None:
    assert "known: dusk  \nnearest to sepia: dusk  \n" in printed  # all that the tiny base has learned
    found = cells(config, "starts", "sketch")
    starts = ("nothing", "the gradient", "mean of 1", "nearest")
    times = [f"from {start}, {time} min" for time in ("0.0005", "0.002") for start in starts]
    assert set(found) == {*times, "the photo as it is"}
    for column, cell in found.items():
        if column == "the photo as it is":
            continue
        settings = read_json(Path(cell["folder"]) / "config.json")["settings"]
        known = "mean of" in column or "nearest" in column
        assert settings["start"] == ([str(config.out / "models" / "dusk" / "adapter")] if known else [])
        assert settings["init"] == ("gradient" if "gradient" in column else "random")
        assert settings["training"]["minutes"] == float(column.removesuffix(" min").rpartition(" ")[2])
    whole = found["from nothing, 0.002 min"]["folder"]
    assert whole == cells(config, "main", "sketch")["adapter, 0.002 min"]["folder"]  # trained once for both parts


@pytest.mark.slow
@pytest.mark.usefixtures("printed")
def test_a_concept_that_another_base_has_learned_is_not_in_the_mean(config: Any) -> None:
    text = (config.out / "bases.md").read_text("utf-8")
    assert "as a sepia photo (colour, †)" in text
    assert "as a pencil sketch (edges)" in text
    section = text[text.index("**SSIM**") : text.index("**L1 of 255**")]
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in section.splitlines()}
    assert rows["| mean"] == rows["| as a pencil sketch (edges)"] != rows["| as a sepia photo (colour, †)"]
    used = read_json(Path(cells(config, "bases", "sepia")["other"]["folder"]) / "config.json")["settings"]["base"]
    assert used == config.bases[0].removeprefix("other=")


@pytest.mark.slow
def test_run_again_it_trains_what_is_missing_alone(config: Any, printed: str) -> None:
    before = stamps(config.out)
    assert bench.run(config) == printed
    assert stamps(config.out) == before
    shutil.rmtree(config.out / "models" / "sketch" / "pix2pix")
    (config.out / "main.md").unlink()
    bench.run(replace(config, parts=("main",), bases=()))
    after = stamps(config.out)
    anew = {path.relative_to(config.out).as_posix() for path, stamp in after.items() if before[path] != stamp}
    assert after.keys() == before.keys()
    assert {name.rpartition("/")[0] for name in anew} == {"models/sketch/pix2pix", "sheets/main"}
    assert "sheets/main/sepia.png" not in anew
    assert "- as a sepia photo: " in (config.out / "main.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("printed")
def test_other_minutes_do_not_mix_with_what_is_trained(config: Any) -> None:
    with pytest.raises(InputError, match=r"adapter was made with other settings \(training\.minutes\)"):
        bench.run(replace(config, minutes=0.003))


# --------------------------------------------------------------------------------------------------------- the choices


def test_of_each_kind_one_filter_that_the_base_has_not_learned(config: Any, project: Project) -> None:
    base = bench.Base.load("this base", project.base)
    found = bench.held_out(replace(config, concepts=()), base)
    assert [concept.kind for concept in found] == list(bench.get_args(Kind))
    learned = replace(base, learned=base.learned | {concept.prompt for concept in found})
    others = bench.held_out(replace(config, concepts=()), learned)
    assert not {concept.prompt for concept in others} & learned.learned
    assert [concept.kind for concept in others] == [concept.kind for concept in found]
    everything = replace(base, learned=frozenset(f.prompt for f in FILTERS.values()))
    with pytest.raises(InputError, match="has learned every filter"):
        bench.held_out(replace(config, concepts=()), everything)


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        ((0.9, 5.0, 1.0), "yes"),
        ((0.9, 9.0, 1.0), "no, behind pix2pix (L1 of 255)"),
        ((0.7, 5.0, 3.0), "no, behind pix2pix (SSIM, fd-squeezenet); the photo as it is (fd-squeezenet)"),
    ],
)
def test_a_verdict_names_what_is_lost_to_whom(ours: tuple[float, float, float], told: str) -> None:
    concept = bench.Concept("sepia", "as a sepia photo", "colour")
    jobs = [bench.Job(concept, column, Path(), 1.0, None, None) for column in ("adapter", "pix2pix")]
    plan = bench.Plan("main", [concept], jobs, [])
    rows = {"adapter": ours, "pix2pix": (0.8, 6.0, 2.0), "the photo as it is": (0.6, 20.0, 2.5)}
    found = {
        ("sepia", column): {"ssim": ssim, "l1": l1, "fd_squeezenet": {"frechet": fd}}
        for column, (ssim, l1, fd) in rows.items()
    }
    assert bench.verdict(plan, concept, found) == told
    del found["sepia", "pix2pix"]
    assert bench.verdict(plan, concept, found) is None


# --------------------------------------------------------------------------------------------------------- the mistakes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--concepts", "dusk"], "the base has learned it; new to it are"),
        (["--concepts", "skecth"], "no built-in filter is called"),
        (["--concepts", "sepia", "sepia"], "--concepts names sepia twice"),
        (["--parts", "bases"], "--parts bases and --bases NAME=FOLDER belong together"),
        (["--parts", "bases", "--bases", "other"], "must be NAME=FOLDER"),
        (["--parts", "bases", "--bases", "other=nowhere"], "nowhere is no base"),
        (["--base", "nowhere"], "nowhere is no base"),
        (["--features", "nowhere.safetensors"], "nowhere.safetensors is missing"),
        (["--styles", "nowhere"], "has no stylize.py"),
        (["--test", "60"], "--test 60: "),
        (["--train", "4"], "--train 4: must be at least 16"),
        (["--minutes", "0"], "must be positive"),
        (["--size", "36"], "no multiple of 8"),
        (["--threads", "0"], "--threads 0: must be at least 1"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options: list[str],
    told: str,
    photo_folders: Path,
    project: Project,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"--photos": photo_folders, "--base": project.base, "--out": tmp_path / "out", "--size": 32, "--train": 16}
    given |= {"--test": 2, "--minutes": 0.0005, "--concepts": "sketch"}
    own = [str(text) for pair in given.items() if pair[0] not in options for text in pair]
    assert told in mistake(bench, [*own, *options], capsys)
