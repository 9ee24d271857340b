"""Concept choice: concepts alike share a cluster, the files say which, the pictures show them, and bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2gan.choose.concepts import Concepts, choose_concepts
from e2gan.config import ConceptsConfig, PairsConfig, PhotosConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_json
from e2gan.core.images import encode_png, read_image
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import prepare_photos
from e2gan.features.embeddings import GradientColour
from e2gan.pairs.make import make_pairs

# Two prompts of one filter are one concept twice; the three differ plainly.
TWINS = {"sepia": "sepia", "tinted": "sepia", "sketch": "sketch", "drawn": "sketch", "blueprint": "blueprint"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair sets of real filters on 24 crops of real photographs, a folder each under its name."""
    import skimage.data

    root = tmp_path_factory.mktemp("concepts")
    (root / "camera").mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        picture = getattr(skimage.data, name)()
        for i in range(8):
            crop = picture[12 * i : 12 * i + 128, 20 * i : 20 * i + 128]
            (root / "camera" / f"{name}{i}.png").write_bytes(encode_png(np.ascontiguousarray(crop)))
    prepare_photos(PhotosConfig(folder=root / "camera", out=root / "photos", size=64))
    for name, teacher in TWINS.items():
        pairs(root, name, teacher)
    return root


def pairs(root: Path, name: str, teacher: str, prompt: str | None = None, photos: str = "photos") -> Path:
    concept = prompt or f"make it {name}"
    make_pairs(PairsConfig(photos=root / photos, concept=concept, teacher=(f"filters:{teacher}",), out=root / name))
    return root / name


def choose(root: Path, out: Path, names: tuple[str, ...] = tuple(TWINS), **settings: object) -> Concepts:
    folders = tuple(root / name for name in names)
    return choose_concepts(ConceptsConfig(**{"pairs": folders, "keep": 3, "out": out} | settings))  # pyright: ignore


def names(concepts: list) -> list[str]:
    return [Path(c.pairs).name for c in concepts]


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ----------------------------------------------------------------------------------------------------------- the choice


def test_concepts_alike_share_a_cluster_and_one_of_them_is_kept(root: Path, tmp_path: Path) -> None:
    result = choose(root, tmp_path / "concepts.json")
    assert names(result.keep) == ["sepia", "sketch", "blueprint"]  # of twins the first
    assert [(Path(c.pairs).name, c.cluster) for c in result.rest] == [("tinted", 0), ("drawn", 1)]
    assert [c.cluster for c in result.keep] == [0, 1, 2]
    assert str(result).startswith(f"kept 3 of 5 concepts: {tmp_path / 'concepts.json'}")
    assert '"make it sepia", for "make it tinted" too' in str(result)


def test_the_filters_of_one_look_fall_together(root: Path, tmp_path: Path) -> None:
    """Distinct filters, near in effect: warm tints against line drawings on blue."""
    for name in ("vintage", "golden", "charcoal"):
        pairs(root, name, name)
    looks = ("sepia", "vintage", "golden", "sketch", "charcoal", "blueprint")
    result = choose(root, tmp_path / "concepts.json", looks)
    cluster = {Path(c.pairs).name: c.cluster for c in (*result.keep, *result.rest)}
    assert cluster["sepia"] == cluster["golden"]
    assert cluster["sketch"] == cluster["charcoal"]
    assert len({cluster[name] for name in ("sepia", "sketch", "blueprint")}) == 3


def test_the_file_says_what_was_chosen_and_how(root: Path, tmp_path: Path) -> None:
    choose(root, tmp_path / "concepts.json", samples=7, seed=2)
    found = read_json(tmp_path / "concepts.json")
    assert [c["prompt"] for c in found["keep"]] == ["make it sepia", "make it sketch", "make it blueprint"]
    assert found["rest"][0] == {"prompt": "make it tinted", "pairs": str(root / "tinted"), "cluster": 0}
    settings = found["settings"]
    assert (settings["keep"], settings["samples"], settings["seed"]) == (3, 7, 2)
    assert settings["embedding"] == "gradient-colour"
    assert [folder for folder, _ in settings["pairs"]] == [str(root / name) for name in TWINS]
    assert "numpy" in found["versions"]


def test_a_concept_is_the_mean_of_the_embeddings_of_its_training_edits(root: Path, tmp_path: Path) -> None:
    """Given as an .npy, the means over all training edits lead to the same choice as the edits themselves."""
    means = [GradientColour()(PairSet.load(root / name).arrays("train")[1]).mean(0) for name in TWINS]
    np.save(tmp_path / "means.npy", np.stack(means))
    for keep in (2, 3):
        own = choose(root, tmp_path / "own.json", keep=keep, embedding=str(tmp_path / "means.npy"))
        embedded = choose(root, tmp_path / "concepts.json", keep=keep)
        assert (own.keep, own.rest) == (embedded.keep, embedded.rest)


def test_the_command_trains_a_base_on_those_kept(root: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "with space"
    shutil.copytree(root / "sketch", spaced / "sketch")
    shutil.copytree(root / "photos", spaced / "photos")
    result = choose_concepts(
        ConceptsConfig(pairs=(root / "sepia", spaced / "sketch"), keep=2, out=tmp_path / "concepts.json")
    )
    assert result.command == f"e2gan base --pairs {root / 'sepia'} '{spaced / 'sketch'}' --out base"
    assert result.command in str(result)


def test_chance_takes_any_concepts_and_embeds_nothing(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "concepts.json"
    result = choose(root, out, method="random", embedding="clip", model="/nowhere")
    assert len(result.keep) == 3
    assert len(result.rest) == 2
    assert {c.cluster for c in result.rest} == {None}
    assert choose(root, out, method="random").already_done
    found = {tuple(names(choose(root, out, method="random", seed=seed).keep)) for seed in range(8)}
    assert len(found) > 2


def test_more_than_there_are_keeps_all_and_says_so(root: Path, tmp_path: Path) -> None:
    result = choose(root, tmp_path / "concepts.json", keep=20)
    assert names(result.keep) == list(TWINS)
    assert result.rest == []
    assert "--keep 20: there are no more than 5 concepts, so all are kept" in str(result)


def test_concepts_that_do_not_differ_are_told(root: Path, tmp_path: Path) -> None:
    result = choose(root, tmp_path / "concepts.json", keep=4)
    assert names(result.keep) == ["sepia", "tinted", "sketch", "blueprint"]
    assert "only 3 concepts differ" in str(result)


# -------------------------------------------------------------------------------------------------------------- reruns


def test_a_rerun_does_nothing_and_other_settings_replace_it_with_a_note(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "concepts.json"
    first, before = choose(root, out), state(tmp_path)
    again = choose(root, out)
    assert again.already_done
    assert "nothing to do" in str(again)
    assert replace(again, already_done=False) == first
    assert state(tmp_path) == before
    (tmp_path / "concepts-rest.png").unlink()
    assert choose(root, out).already_done
    assert state(tmp_path) == before
    other = choose(root, out, keep=2)
    assert "replaced an earlier choice (of other keep)" in str(other)
    assert len(read_json(out)["keep"]) == 2
    assert "of other pairs" in str(choose(root, out, tuple(reversed(TWINS)), keep=2))


def test_a_file_that_is_not_whole_is_written_anew_and_a_strangers_is_not(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "concepts.json"
    choose(root, out)
    found = read_json(out)
    for broken in ({"keep": []}, {"rest": [{}]}, {"settings": []}):
        write_json(out, found | broken)
        choose(root, out)
        assert read_json(out) == found
    write_json(out, {"keep": []})
    with pytest.raises(InputError, match="was not written by e2gan concepts"):
        choose(root, out)
    assert read_json(out) == {"keep": []}


# ------------------------------------------------------------------------------------------------------------ pictures


def test_the_pictures_show_the_kept_and_the_rest(root: Path, tmp_path: Path) -> None:
    result = choose(root, tmp_path / "concepts.json")
    kept, rest = (read_image(path) for path in result.sheets)
    assert [path.name for path in result.sheets] == ["concepts.png", "concepts-rest.png"]
    assert kept.shape[0] > 4 * 112  # the photos, and three concepts
    assert rest.shape[0] > 5 * 112  # the photos; two kept, each with one of the rest
    assert kept.shape[1] == rest.shape[1] > 6 * 112
    last = kept[-118:-6, 6:118].astype(int)  # the first photo's edit by the last concept, a blueprint
    assert last[..., 2].mean() > last[..., 0].mean() + 30
    top = kept[:145]
    assert np.array_equal(top, rest[:145])  # both begin with the same photos
    choose(root, tmp_path / "concepts.json", keep=5)
    assert not (tmp_path / "concepts-rest.png").exists()  # nothing is left over, and no picture of what was


def test_concepts_with_photos_of_their_own_show_each_before_its_edit(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name / "camera").mkdir(parents=True)
        for i in range(6):
            level = np.full((64, 64, 3), 30 * i + 40, np.uint8)
            level[:, :, seed] += 20
            (tmp_path / name / "camera" / f"{i}.png").write_bytes(encode_png(level))
        prepare_photos(PhotosConfig(folder=tmp_path / name / "camera", out=tmp_path / name / "photos", size=64))
    first = pairs(tmp_path / "a", "pairs", "blueprint", "first")
    second = pairs(tmp_path / "b", "pairs", "sepia", "second")
    result = choose_concepts(ConceptsConfig(pairs=(first, second), keep=2, out=tmp_path / "concepts.json"))
    picture = read_image(result.sheets[0]).astype(int)
    photo, edit = picture[-118:-6, 6:118].mean((0, 1)), picture[-118:-6, 122:234].mean((0, 1))
    assert photo[2] - photo[0] == pytest.approx(20, abs=2)  # the second concept's own photo
    assert edit[0] > edit[2]  # and its sepia


# ------------------------------------------------------------------------------------------------------------ bad input


def test_pair_sets_that_do_not_go_together_are_one_line(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "photos", tmp_path / "photos")
    twice = pairs(tmp_path, "twice", "sketch", "Make  it SEPIA")
    prepare_photos(PhotosConfig(folder=root / "camera", out=tmp_path / "small", size=32))
    small = pairs(tmp_path, "small-sepia", "sepia", "small", photos="small")
    orphan = pairs(tmp_path, "orphan", "sepia", "orphan")
    untrained = pairs(tmp_path, "untrained", "sepia", "untrained")
    kept = [row for row in PairSet.load(untrained).rows if row["split"] != "train"]
    (untrained / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    for message, other in (
        ("are both", twice),
        ("are both", root / "sepia"),
        ("64 pixels", small),
        ("is no pair set", tmp_path / "nosuch"),
        ("is no pair set", tmp_path / "elsewhere" / "images"),
        ("holds the output of 'photos'", tmp_path / "elsewhere"),
        ("needs its photo set", orphan),
        ("has no pairs in the split 'train'", untrained),
    ):
        refused(message, tmp_path, pairs=(root / "sepia", other), keep=1)


def test_bad_settings_are_one_line(root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((2, 3)))
    for message, settings in (
        ("--pairs is empty", {"pairs": ()}),
        ("--keep 0: must be at least 1", {"keep": 0}),
        ("--samples 0: must be at least 1", {"samples": 0}),
        ("--method best", {"method": "best"}),
        ("must end in .json", {"out": tmp_path / "concepts"}),
        ("--embedding wavelets: unknown", {"embedding": "wavelets"}),
        ("a row for each, in the order of --pairs", {"embedding": str(tmp_path / "few.npy")}),
    ):
        refused(message, tmp_path, **{"pairs": tuple(root / name for name in TWINS), "keep": 3} | settings)


def refused(message: str, folder: Path, **settings: object) -> None:
    before = state(folder)
    with pytest.raises(InputError) as caught:
        choose_concepts(ConceptsConfig(**{"out": folder / "c.json"} | settings))  # pyright: ignore
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert state(folder) == before
