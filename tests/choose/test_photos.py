"""Data selection: the kept photos stand for the others, the file is what `pairs` reads, reruns and bad input."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2gan.choose.clusters import representatives
from e2gan.choose.photos import Selection, select_photos
from e2gan.config import PairsConfig, PhotosConfig, SelectConfig, TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, sha256, write_json
from e2gan.core.images import encode_png, read_image
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet, prepare_photos
from e2gan.features.embeddings import load_embedder
from e2gan.pairs.make import make_pairs
from e2gan.teachers.function import FunctionTeacher

COLOURS = ((200, 40, 40), (40, 160, 60), (50, 70, 200), (220, 200, 60))


def scene(kind: int, seed: int, side: int = 32) -> np.ndarray:
    """A picture of one of four colours, with a little noise: photos of a kind are like one another."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(COLOURS[kind], 6, (side, side, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos, ten of each colour; the file names tell the kind."""
    root = tmp_path_factory.mktemp("selection")
    (root / "camera").mkdir()
    for i in range(40):
        (root / "camera" / f"kind{i % 4}-{i:02}.png").write_bytes(encode_png(scene(i % 4, i)))
    prepare_photos(PhotosConfig(folder=root / "camera", out=root / "photos", size=32))
    return root / "photos"


@pytest.fixture
def photos(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "photos"))


def select(photos: Path, **settings: object) -> Selection:
    return select_photos(SelectConfig(photos=photos, **settings))  # pyright: ignore[reportArgumentType]


def train_ids(photos: Path) -> list[str]:
    return [photo.id for photo in PhotoSet.load(photos).split("train")]


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ----------------------------------------------------------------------------------------------------------- the choice


def test_one_photo_of_each_kind_is_kept(photos: Path) -> None:
    result = select(photos, keep=4)
    assert sorted(name[:5] for name in result.ids) == ["kind0", "kind1", "kind2", "kind3"]
    assert str(result).startswith(f"kept 4 of 32 training photos of {photos}, one of each of 4 clusters")
    assert str(photos / "selection.json") in str(result)


def test_the_file_says_what_was_chosen_and_how(photos: Path) -> None:
    select(photos, keep=5, seed=3)
    found = read_json(photos / "selection.json")
    train = train_ids(photos)
    assert found["ids"] == [name for name in train if name in found["ids"]]
    assert len(found["ids"]) == found["keep"] == 5
    assert (found["method"], found["embedding"], found["seed"]) == ("similarity", "gradient-colour", 3)
    assert found["photos_sha256"] == sha256(photos / "photos.jsonl")
    assert list(found["clusters"]) == train
    assert {found["clusters"][name] for name in found["ids"]} == set(range(5))
    assert "numpy" in found["versions"]
    rows = load_embedder("gradient-colour")(PhotoSet.load(photos).array(train))
    again = representatives(rows, 5, 3)
    assert found["ids"] == [train[i] for i in sorted(again.chosen)]
    assert list(found["clusters"].values()) == again.cluster.tolist()


def test_pairs_are_made_of_the_kept_photos_and_of_all_the_others_splits(photos: Path, tmp_path: Path) -> None:
    kept = select(photos, keep=6, sheet=False)
    result = make_pairs(PairsConfig(photos=photos, concept="sepia", out=tmp_path / "sepia"))
    assert (result.train, result.val, result.test) == (6, 4, 4)
    assert {path.stem for path in (tmp_path / "sepia" / "images").iterdir()} >= set(kept.ids)


def test_chance_takes_any_photos_and_embeds_nothing(photos: Path) -> None:
    result = select(photos, keep=9, method="random", seed=1, embedding="clip", model="/nowhere")
    found = read_json(photos / "selection.json")
    assert set(result.ids) < set(train_ids(photos))
    assert len(set(result.ids)) == 9
    assert (found["method"], found["embedding"], found["clusters"]) == ("random", None, {})
    assert "by chance" in str(result)
    assert select(photos, keep=9, method="random", seed=1).already_done
    assert select(photos, keep=9, method="random", seed=2).ids != result.ids


def test_more_than_there_are_keeps_all_and_says_so(photos: Path) -> None:
    for keep, method in ((32, "similarity"), (400, "similarity"), (400, "random")):
        result = select(photos, keep=keep, method=method)
        assert result.ids == train_ids(photos)
        assert f"--keep {keep}: there are no more than 32 training photos, so all are kept" in str(result)


def test_photos_that_do_not_differ_are_told(photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(32)[:, None] % 3)
    result = select(photos, keep=5, embedding=str(tmp_path / "rows.npy"))
    assert len(set(result.ids)) == 5
    assert "only 3 photos differ" in str(result)


def test_embeddings_of_ones_own_are_rows_in_the_photos_order(photos: Path, tmp_path: Path) -> None:
    train = train_ids(photos)
    groups = np.array([i // 8 for i in range(32)])
    np.save(tmp_path / "rows.npy", np.eye(4)[groups] + 0.01 * np.random.default_rng(0).standard_normal((32, 4)))
    result = select(photos, keep=4, embedding=str(tmp_path / "rows.npy"))
    assert [train.index(name) // 8 for name in result.ids] == [0, 1, 2, 3]
    np.save(tmp_path / "rows.npy", np.eye(4)[np.arange(32) % 4] + 0.01 * np.random.default_rng(0).random((32, 4)))
    other = select(photos, keep=4, embedding=str(tmp_path / "rows.npy"))  # the same name, but other rows in it
    assert not other.already_done
    assert sorted(train.index(name) % 4 for name in other.ids) == [0, 1, 2, 3]
    assert "embedding_sha256" in str(other)


def test_squeezenet_on_real_photographs(shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for kind in ("faces", "landscapes"):
        for path in sorted((shared / "photos" / kind).iterdir())[:15]:
            shutil.copy(path, folder / f"{kind}-{path.name}")
    prepare_photos(PhotosConfig(folder=folder, out=tmp_path / "photos", size=64))
    result = select(tmp_path / "photos", keep=2, embedding="squeezenet")
    assert sorted(name.split("-")[0] for name in result.ids) == ["faces", "landscapes"]


# ------------------------------------------------------------------------------------------------ of photos with a pair


def pairs_without(photos: Path, out: Path, bad: str) -> Path:
    """A pair set by a teacher whose edits of the photos of one kind are black, and so are rejected."""
    kinds = {photo.source[:5]: photo.id for photo in PhotoSet.load(photos).photos}
    colour = read_image(photos / "images" / f"{kinds[bad]}.png").mean((0, 1))

    def negative(images: list[np.ndarray], prompt: str, seeds: list[int]) -> list[np.ndarray]:  # noqa: ARG001
        black = [np.abs(image.mean((0, 1)) - colour).max() < 10 for image in images]
        return [image * 0 if dark else 255 - image for image, dark in zip(images, black, strict=True)]

    teach = TeachConfig(retries=0, align=False)
    config = PairsConfig(photos=photos, concept="negative", out=out, teach=teach)
    make_pairs(config, [FunctionTeacher(negative, deterministic=True)])
    return out


@pytest.mark.parametrize("method", ["similarity", "random"])
def test_only_photos_with_a_pair_are_chosen(photos: Path, tmp_path: Path, method: str) -> None:
    pairs = pairs_without(photos, tmp_path / "pairs", "kind1")
    with_pair = PairSet.load(pairs).files("train")[2]
    assert 0 < len(with_pair) < 32
    assert not any(name.startswith("kind1") for name in with_pair)
    assert any(name.startswith("kind1") for name in select(photos, keep=16, method=method, sheet=False).ids)
    result = select(photos, pairs=pairs, keep=16, method=method, sheet=False)
    assert len(result.ids) == 16
    assert set(result.ids) <= set(with_pair)
    assert f"kept 16 of {len(with_pair)} training photos of {photos} that have a pair in {pairs}" in str(result)
    assert result.out == pairs / "selection.json"
    assert read_json(result.out)["candidates"] == with_pair
    assert len(PairSet.load(pairs).files("train", result.out)[2]) == 16  # what `adapt --selection` trains on
    assert select(photos, pairs=pairs, keep=16, method=method, sheet=False).already_done
    everything = select(photos, pairs=pairs, keep=400, method=method)
    assert everything.ids == with_pair
    note = f"--keep 400: there are no more than {len(with_pair)} training photos with a pair, so all are kept"
    assert note in str(everything)


def test_other_pairs_are_another_selection_and_all_photos_are_too(photos: Path, tmp_path: Path) -> None:
    one, other = (pairs_without(photos, tmp_path / kind, kind) for kind in ("kind1", "kind2"))
    out = tmp_path / "selection.json"
    for pairs in (one, other, None, one):
        result = select(photos, pairs=pairs, keep=4, out=out, sheet=False)
        assert not result.already_done
        assert "candidates" in str(result) or pairs == one
    assert read_json(out)["candidates"] is not None


def test_a_selection_from_before_there_were_pairs_to_choose_among_is_found_done(photos: Path) -> None:
    select(photos, keep=4)
    found = read_json(photos / "selection.json")
    del found["candidates"]
    write_json(photos / "selection.json", found)
    assert select(photos, keep=4).already_done


def test_own_embeddings_have_a_row_for_each_training_photo_with_pairs_too(photos: Path, tmp_path: Path) -> None:
    pairs = pairs_without(photos, tmp_path / "pairs", "kind1")
    train = train_ids(photos)
    with_pair = [name for name in train if not name.startswith("kind1")]
    rows = np.zeros((32, 2))
    for i, name in enumerate(train):  # two groups of those with a pair; the others lie far from both
        rows[i] = (with_pair.index(name) % 2, 0) if name in with_pair else (0, 50)
    np.save(tmp_path / "rows.npy", rows + 0.01 * np.random.default_rng(0).random((32, 2)))
    result = select(photos, pairs=pairs, keep=2, embedding=str(tmp_path / "rows.npy"))
    assert sorted(with_pair.index(name) % 2 for name in result.ids) == [0, 1]
    np.save(tmp_path / "rows.npy", rows[: len(with_pair)])
    with pytest.raises(InputError, match=f"has {len(with_pair)} rows for 32 photos"):
        select(photos, pairs=pairs, keep=2, embedding=str(tmp_path / "rows.npy"))


def test_pairs_of_other_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    pairs = pairs_without(photos, tmp_path / "pairs", "kind1")
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    with pytest.raises(InputError, match=r"other: the pairs in .*pairs are of .*photos"):
        select(other, pairs=pairs, keep=4)
    with pytest.raises(InputError, match="no pair set"):
        select(photos, pairs=tmp_path / "absent", keep=4)
    before, after = tmp_path / "camera", tmp_path / "zebras"
    for folder, kind in ((before, 0), (after, 1)):
        folder.mkdir()
        for i in range(5):
            (folder / f"{kind}{i}.png").write_bytes(encode_png(scene(kind, 100 + i)))
    unpaired = tmp_path / "unpaired"
    make_pairs(PairsConfig(before=before, after=after, unpaired=True, concept="zebra", out=unpaired, size=32))
    with pytest.raises(InputError, match="holds no pairs"):
        select(unpaired / "photos", pairs=unpaired, keep=4)


# -------------------------------------------------------------------------------------------------------------- reruns


def test_a_rerun_does_nothing_and_other_settings_replace_it_with_a_note(photos: Path) -> None:
    first = select(photos, keep=4)
    before = state(photos)
    again = select(photos, keep=4, device="cpu")  # where it is computed is no other selection
    assert again.already_done
    assert "nothing to do" in str(again)
    assert replace(again, already_done=False) == first
    assert state(photos) == before
    other = select(photos, keep=8)
    assert len(other.ids) == len(read_json(photos / "selection.json")["ids"]) == 8
    assert "replaced an earlier selection (of other keep)" in str(other)
    assert state(photos)["selection.png"] != before["selection.png"]
    assert select(photos, keep=4).ids == first.ids
    assert state(photos)["selection.json"] == before["selection.json"]


def test_other_photos_are_another_selection(photos: Path) -> None:
    select(photos, keep=4)
    lines = (photos / "photos.jsonl").read_text().splitlines(keepends=True)
    (photos / "photos.jsonl").write_text("".join(lines[:-8]))
    result = select(photos, keep=4)
    assert not result.already_done
    assert "of other pictures" in str(result)


def test_a_file_that_is_not_whole_is_written_anew(photos: Path) -> None:
    ids = select(photos, keep=4).ids
    found = read_json(photos / "selection.json")
    for broken in ({"ids": []}, {"ids": ["gone"]}, {"ids": [["a"]]}, {"ids": None}, {"clusters": None}):
        write_json(photos / "selection.json", found | broken)
        assert select(photos, keep=4).ids == ids
        assert read_json(photos / "selection.json") == found


def test_a_selection_that_another_made_is_not_replaced(photos: Path, tmp_path: Path) -> None:
    for content in ({"ids": train_ids(photos)[:3]}, ["a"], {"stage": "concepts"}):
        write_json(photos / "selection.json", content)
        with pytest.raises(InputError, match="was not written by e2gan select"):
            select(photos, keep=4)
        assert read_json(photos / "selection.json") == content
    (photos / "selection.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        select(photos, keep=4)
    out = tmp_path / "new" / "mine.json"
    assert select(photos, keep=4, out=out).out == out
    assert {path.name for path in out.parent.iterdir()} == {"mine.json", "mine.png"}


def test_a_failure_leaves_the_earlier_selection(photos: Path) -> None:
    select(photos, keep=4)
    before = state(photos)
    (photos / PhotoSet.load(photos).split("train")[5].file).write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        select(photos, keep=6)
    after = state(photos)
    assert after["selection.json"] == before["selection.json"]
    assert after["selection.png"] == before["selection.png"]
    assert not [name for name in after if ".tmp" in name]


# ----------------------------------------------------------------------------------------------------------- the sheet


def test_the_sheet_is_there_where_it_is_asked_for(photos: Path) -> None:
    picture = photos / "selection.png"
    assert select(photos, keep=4).sheet == picture
    height, width, _ = read_image(picture).shape
    assert width > 800
    assert height > 5 * 112  # a row of the kept, and each of four clusters
    bare = select(photos, keep=6, sheet=False)
    assert bare.sheet is None
    assert not picture.exists()  # it showed another selection
    done = select(photos, keep=6)
    assert done.already_done
    assert picture.exists()


def test_the_sheet_shows_the_kept_photos_first(photos: Path) -> None:
    result = select(photos, keep=4)
    picture = read_image(photos / "selection.png").astype(int)
    middle = next(y for y in range(200) if (picture[y, 60] < 250).any() and (picture[y, 110] < 250).any()) + 56
    for i, name in enumerate(result.ids):
        seen = picture[middle - 20 : middle + 20, 6 + 116 * i + 20 : 6 + 116 * i + 90].mean((0, 1))
        assert seen == pytest.approx(COLOURS[int(name[4])], abs=8)


# ------------------------------------------------------------------------------------------------------------ bad input


def test_bad_settings_are_one_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for message, settings in (
        ("--keep 0: must be at least 1", {"keep": 0}),
        ("--method best", {"method": "best"}),
        ("must end in .json", {"out": tmp_path / "selection"}),
        ("--out needs a folder", {"out": tmp_path / "file" / "a.json"}),
        ("--out needs a file", {"out": folder_named_json(tmp_path)}),
        ("--embedding wavelets: unknown", {"embedding": "wavelets"}),
        ("nosuch.safetensors", {"embedding": "squeezenet", "features": tmp_path / "nosuch.safetensors"}),
        ("nosuch.npy", {"embedding": str(tmp_path / "nosuch.npy")}),
        ("2 rows for 32 photos", {"embedding": str(rows(tmp_path, 2))}),
        ("is no photo set", {"photos": tmp_path}),
    ):
        before = state(tmp_path)
        with pytest.raises(InputError) as caught:
            select(**{"photos": photos, "keep": 4} | settings)  # pyright: ignore[reportArgumentType]
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert state(tmp_path) == before


def folder_named_json(folder: Path) -> Path:
    (folder / "x.json").mkdir()
    return folder / "x.json"


def rows(folder: Path, count: int) -> Path:
    np.save(folder / "few.npy", np.ones((count, 3)))
    return folder / "few.npy"
