"""The adapters nearest to a concept: real ones of a tiny base, found by what they do, and by their prompts."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.config import AdaptConfig, BaseConfig, GeneratorConfig, NearestConfig, PairsConfig, Ranks, TrainingConfig
from e2gan.core.files import read_json, write_json
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.measure import nearest as module
from e2gan.measure.adapter_index import INDEX
from e2gan.measure.evaluate import pixel_metrics
from e2gan.measure.nearest import Nearest, given, nearest
from e2gan.networks.folders import ABOUT, ADAPTER, base_folder, shipped_adapters
from e2gan.networks.models import Model
from e2gan.pairs.make import make_pairs
from e2gan.train.adapter import adapt
from e2gan.train.base import train_base
from tests.conftest import TINY, Project, refused
from tests.tiny_clip import WIDTH, write_clip

TRAINING = TrainingConfig(steps=60, batch=4, lr=1e-2, gan=0.0, precision="fp32", device="cpu", flip=False)
RANKS = Ranks(level1=4, level2=4, level3=4, level4=4, tb=4)
EFFECTS = ("night", "infrared", "mono")


@dataclass(frozen=True)
class Library:
    """A folder of adapters of the project's base, a filter each, and pair sets of these and of one more."""

    base: Path
    adapters: Path
    pairs: dict[str, Path]


@pytest.fixture(scope="module")
def library(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Library:
    root = tmp_path_factory.mktemp("library")
    pairs = {"sepia": project.sepia}
    for name in EFFECTS:
        pairs[name] = root / "pairs" / name
        pairs[name].parent.mkdir(exist_ok=True)
        make_pairs(PairsConfig(photos=project.photos, concept=name, out=pairs[name]))
        out = root / "adapters" / "deep" / name
        out.parent.mkdir(parents=True, exist_ok=True)
        adapt(AdaptConfig(base=project.base, pairs=pairs[name], out=out, ranks=RANKS, training=TRAINING))
    return Library(project.base, root / "adapters", pairs)


def config(library: Library, of: str, tmp_path: Path, **options: object) -> NearestConfig:
    settings = NearestConfig(
        base=library.base,
        pairs=library.pairs[of],
        adapters=(library.adapters,),
        shipped=False,
        index=tmp_path / "index.jsonl",
        device="cpu",
    )
    return replace(settings, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.parametrize("concept", EFFECTS)
def test_of_a_known_effect_its_own_adapter_is_nearest_by_the_index_and_by_what_it_gives(
    library: Library, concept: str, tmp_path: Path
) -> None:
    found = nearest(config(library, concept, tmp_path))
    assert found.known == 3
    assert found.pairs == 8
    assert found.near[0].name == concept
    assert found.near[0].likeness == pytest.approx(1)
    distances = {near.name: near.distance or 0 for near in found.near}
    assert min(distances, key=lambda name: distances[name]) == concept
    levels = [near.start.l1 for near in found.near if near.start]
    assert levels == sorted(levels)
    assert found.base is not None
    assert levels[0] < found.base.l1
    assert found.command is not None
    assert found.command.endswith(f"--start {library.adapters.resolve()}/deep/{concept}")


@pytest.mark.slow
def test_the_figures_are_those_of_the_adapter_and_its_start_is_what_adapt_begins_as(
    library: Library, tmp_path: Path
) -> None:
    found = nearest(config(library, "sepia", tmp_path, samples=1000))
    pair_set = PairSet.load(library.pairs["sepia"])
    photos, targets, _ = pair_set.arrays("train")
    assert found.pairs == len(photos)
    near = found.near[0]
    assert near.edit is not None
    assert near.start is not None
    edits = Predictor(Model.load(base=library.base, adapter=near.folder), "cpu").batch(photos)
    assert near.edit.l1 == pytest.approx(pixel_metrics(edits, targets)["l1"])
    assert near.edit.perceptual == pytest.approx(given(edits, targets).perceptual, rel=1e-4)
    # A step at a rate of next to nothing leaves the adapter where it began.
    still = replace(TRAINING, steps=1, lr=1e-9)
    begun = AdaptConfig(
        base=library.base,
        pairs=library.pairs["sepia"],
        start=(near.folder,),
        out=tmp_path / "begun",
        ranks=RANKS,
        training=still,
    )
    adapt(begun)
    edits = Predictor(Model.load(base=library.base, adapter=begun.out), "cpu").batch(photos)
    assert near.start.l1 == pytest.approx(pixel_metrics(edits, targets)["l1"], abs=0.15)
    assert found.photo is not None
    assert found.photo.l1 == pytest.approx(pixel_metrics(photos, targets)["l1"])
    text = str(found)
    assert 'nearest to "as a sepia photo", on ' in text
    assert "prompts are hashed here" in text
    assert text.splitlines()[-1].startswith("next: e2gan adapt --base ")


@pytest.mark.slow
def test_an_unchanged_adapter_is_not_run_again_and_a_new_or_another_one_is(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    looked = module.effect_vector
    monkeypatch.setattr(module, "effect_vector", lambda *images: runs.append(1) or looked(*images))
    root = tmp_path / "some"
    shutil.copytree(library.adapters, root)
    settings = config(library, "sepia", tmp_path, adapters=(root,), index=None)
    first = nearest(settings)
    assert (root / INDEX).is_file()
    assert len(runs) == 1 + 3  # of the pairs, and of each adapter
    again = nearest(settings)
    assert len(runs) == 5
    assert again == first
    (root / "deep/night").rename(root / "moved")  # a name means nothing
    assert {near.name for near in nearest(settings).near} == {"moved", "infrared", "mono"}
    assert len(runs) == 6
    shutil.copytree(root / "deep/mono", root / "copy")  # nor does a copy
    assert nearest(settings).known == 3
    facts = read_json(root / "moved" / ABOUT)
    write_json(root / "moved" / ABOUT, facts | {"prompt": "make it bright"})
    nearest(settings)
    assert len(runs) == 9
    lines = (root / INDEX).read_text().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[-1])["path"] == "moved"


@pytest.mark.slow
def test_the_index_alone_is_enough_and_what_changed_since_is_told(library: Library, tmp_path: Path) -> None:
    root = tmp_path / "some"
    shutil.copytree(library.adapters, root)
    whole = nearest(config(library, "sepia", tmp_path, adapters=(root,), index=None))
    alone = config(library, "sepia", tmp_path, adapters=(), index=root / INDEX)
    found = nearest(alone)
    assert [(n.name, n.edit, n.start) for n in found.near] == [(n.name, n.edit, n.start) for n in whole.near]
    shutil.rmtree(root / "deep/night")
    facts = read_json(root / "deep/mono" / ABOUT)
    write_json(root / "deep/mono" / ABOUT, facts | {"prompt": "another"})
    found = nearest(alone)
    assert [near.name for near in found.near] == ["infrared"]
    assert any("deep/mono is another adapter than the index has seen there" in line for line in found.notes)
    assert len(found.notes) == 3  # night, mono, and that words are hashed


@pytest.mark.slow
def test_adapters_that_cannot_be_used_are_told_and_the_others_found(
    library: Library, project: Project, tmp_path: Path
) -> None:
    root = tmp_path / "some"
    shutil.copytree(library.adapters, root)
    for name in ("far", "broken", "half", "strange"):
        shutil.copytree(project.adapter, root / name)
    write_json(root / "far" / ABOUT, read_json(root / "far" / ABOUT) | {"base_sha256": "0" * 64})
    (root / "broken" / ADAPTER).write_bytes(b"nothing")
    (root / "half").rename(root / "half.partial")
    (root / "strange" / ABOUT).unlink()
    found = nearest(config(library, "sepia", tmp_path, adapters=(root, project.adapter)))
    assert found.known == 4
    assert {near.name for near in found.near} == {*EFFECTS, "adapter"}
    assert any("1 adapters of other bases" in line for line in found.notes)
    assert any("is not a safetensors file" in line for line in found.notes)
    assert any("strange" in line and "is missing" in line for line in found.notes)


@pytest.mark.slow
def test_few_candidates_are_run_those_by_the_prompt_among_them(library: Library, tmp_path: Path) -> None:
    settings = config(library, "mono", tmp_path, candidates=1)
    found = nearest(settings)
    assert {near.name for near in found.near} == {"mono", "night"}  # whose prompts begin alike
    assert len(nearest(replace(settings, count=1)).near) == 1
    other = replace(settings, concept="make it a night")
    assert "--concept: the pairs have a prompt" in refused(lambda: nearest(other))


@pytest.mark.slow
def test_by_a_prompt_alone_nothing_is_run(library: Library, tmp_path: Path) -> None:
    settings = config(library, "sepia", tmp_path, pairs=None, concept="make it a night of rain", count=2)
    found = nearest(settings)
    assert [near.name for near in found.near] == ["night", "mono"]  # "make it black and white" has two words of it
    assert found.near[0].edit is None
    assert found.command is None
    assert not (tmp_path / "index.jsonl").exists()
    assert "a word matches itself alone" in str(found)
    assert "L1" not in str(found)
    root = tmp_path / "some"
    shutil.copytree(library.adapters, root)
    (root / "deep/night" / ADAPTER).write_bytes(b"nothing")
    found = nearest(replace(settings, adapters=(root,)))
    assert [near.name for near in found.near] == ["mono", "infrared"]
    assert any("is not a safetensors file" in line for line in found.notes)


@pytest.mark.slow
def test_where_the_bases_text_is_clip_prompts_are_compared_by_it(project: Project, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip")
    generator = GeneratorConfig(**TINY | {"text_width": WIDTH})  # pyright: ignore[reportArgumentType]
    quick = replace(TRAINING, steps=2)
    base = BaseConfig(
        pairs=(project.dusk,), out=tmp_path / "base", text=f"clip:{clip}", generator=generator, training=quick
    )
    train_base(base)
    for name in ("sepia", "dusk"):
        text = f"clip:{clip}"
        out = tmp_path / "adapters" / name
        out.parent.mkdir(exist_ok=True)
        adapt(AdaptConfig(base=base.out, pairs=getattr(project, name), out=out, text=text, training=quick))
    settings = NearestConfig(
        base=base.out, concept="make it dusk", adapters=(tmp_path / "adapters",), shipped=False, text=f"clip:{clip}"
    )
    found = nearest(settings)
    assert found.near[0].name == "dusk"
    assert found.near[0].likeness == pytest.approx(1, abs=1e-3)
    assert found.near[1].likeness != 0
    assert "hashed" not in str(found)
    # With pairs, the prompts' states are kept: of what is there already, no file of tokens is read again.
    by_pairs = replace(settings, concept=None, pairs=project.dusk)
    assert {near.name for near in nearest(by_pairs).near} == {"sepia", "dusk"}
    rows = [json.loads(line) for line in (tmp_path / "adapters" / INDEX).read_text().splitlines()]
    assert len(rows) == 2
    assert all(row["pooled"] for row in rows)
    (tmp_path / "adapters/dusk/concept.safetensors").write_bytes(b"cut")
    for one in (settings, by_pairs):
        found = nearest(one)
        assert [near.name for near in found.near] == ["sepia"]
        assert any("left out" in line for line in found.notes)


@pytest.mark.slow
def test_those_that_ship_are_looked_at_and_the_table_is_written(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "nearest.json"
    command = ["nearest", "--pairs", str(project.sepia), "--out", str(out), "--device", "cpu", "--samples", "2"]
    of_the_default = shipped_adapters(base_folder(None)).keys()
    command += ["--index", str(tmp_path / "kept.jsonl"), "--count", str(len(of_the_default))]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {near["name"] for near in told["near"]} == of_the_default
    written = read_json(out)
    assert written["stage"] == "nearest"
    assert written["near"] == told["near"]
    assert told["command"].endswith(f"--start {told['near'][0]['name']}")  # by its name, wherever it lies
    assert main(command) == 0  # its own table it may replace
    out.write_text('{"a": 1}')
    assert main(command) == 2
    assert "was not written by e2gan nearest" in capsys.readouterr().err


@pytest.mark.slow
def test_mistakes_are_told_in_one_line(library: Library, project: Project, tmp_path: Path) -> None:
    settings = config(library, "sepia", tmp_path)
    assert "no adapter lies in" in refused(lambda: nearest(replace(settings, adapters=(project.photos,))))
    assert "is no adapter" in refused(lambda: nearest(replace(settings, adapters=(tmp_path / "nowhere",))))
    assert "is no base" in refused(lambda: nearest(replace(settings, base=tmp_path / "nowhere")))
    assert "no pair set" in refused(lambda: nearest(replace(settings, pairs=tmp_path / "nowhere")))
    assert "no adapter of the base" in refused(lambda: nearest(replace(settings, adapters=())))
    (tmp_path / "index.jsonl").write_text("[1]\n")
    assert "line 1" in refused(lambda: nearest(settings))


def test_a_base_that_is_nearer_than_all_is_begun_from() -> None:
    near, far = module.Given(1.0, 1.0, 0.0), module.Given(9.0, 0.1, 1.0)
    one = module.Near("a", Path("a"), "x", 1.0, 0.0, far, far)
    settings = NearestConfig(pairs=Path("pairs"))
    command = module._command(settings, "make it dusk", [one], near)
    assert command == "e2gan adapt --pairs pairs --out make-it-dusk-adapter --init gradient"
    assert "--start a" in module._command(settings, "make it dusk", [one], replace(far, l1=10.0))


def test_a_table_has_a_line_for_each(tmp_path: Path) -> None:
    figures = module.Given(1.5, 0.5, 0.25)
    near = module.Near("a", tmp_path, "x", 3.25, 0.5, figures, figures)
    table = str(Nearest("c", 4, 1, (near,), figures, figures, "e2gan adapt"))
    row = table.splitlines()[2].split()
    assert row == ["a", '"x"', "1.50", "0.500", "0.250", "1.50", "3.2", "0.50"]
    assert np.isfinite(near.distance or 0)
