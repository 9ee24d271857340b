"""Each experiment's rows, and what tells them apart, from the settings that each row's own model was trained with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2gan import PairSet, Ranks, TableConfig, run_table
from e2gan.config import GeneratorConfig, schemas
from e2gan.core.files import read_json, write_json
from e2gan.core.outputs import read_settings
from e2gan.core.tensors import read_tensors
from e2gan.measure.metrics import NetworkOptions
from e2gan.networks.generator import Generator
from e2gan.networks.lora import parameter_count
from e2gan.research.comparison import Comparison
from e2gan.research.tables.concepts import Concepts
from e2gan.research.tables.experiments import EXPERIMENTS
from e2gan.research.tables.models import Models
from e2gan.research.tables.rows import random_ranks
from e2gan.research.tables.run import COSTS, TableResult
from tests.conftest import TINY, Project, refused
from tests.research.tables.tiny_tables import REJECTED, SMALL, Sets, run, settings

ALL, KEPT = 24 - REJECTED, 10  # training photos with a pair, and those that a selection keeps
BASE = {"concepts": ["make it autumn", "make it winter"], "gan": 1.0, "epochs": 3, "photos": 48}
RANDOM = ["make it a moonlit night", "make it glow with neon lines"]
SINGLE = BASE | {"concepts": ["make it golden hour"], "photos": 24}
ADAPTER = {"stage": "adapt", "epochs": 1, "photos": KEPT, "ranks": Ranks(), "lr": 1e-3, "base": BASE}
SCRATCH = {"stage": "scratch", "epochs": 2, "photos": ALL, "unpaired": False, "lr": 2e-4}
PIX2PIX = SCRATCH | {"model": "pix2pix", "blocks": 9, "transformers": []}
COMODGAN = SCRATCH | {"model": "comodgan", "lr": 2e-3}
OURS = SCRATCH | {"model": "e2gan", "blocks": 3, "transformers": [2], "width": 8}
TUNED = {"stage": "finetune", "epochs": 1, "photos": ALL, "frozen": [], "lr": 2e-4, "base": BASE}
UNPAIRED = {"unpaired": True, "photos": 7}

ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "table3-faces": {"pix2pix": PIX2PIX, "pix2pix-zero-distilled (Co-Mod-GAN)": COMODGAN, "E2GAN": ADAPTER},
    "table3-scenes": {"pix2pix": PIX2PIX, "pix2pix-zero-distilled (Co-Mod-GAN)": COMODGAN, "E2GAN": ADAPTER},
    "table4": {
        "2 selected concepts (ours)": ADAPTER,
        "2 random concepts": ADAPTER | {"base": BASE | {"concepts": RANDOM}},
        "1 art concepts": ADAPTER | {"base": SINGLE | {"concepts": ["as a pencil sketch"]}},
        "single concept (make it golden hour)": ADAPTER | {"base": SINGLE},
    },
    "table5": {
        "searched (ours)": ADAPTER,
        "upscale 1x": ADAPTER | {"ranks": Ranks(level3=4, level4=4)},
        "upscale 4x": ADAPTER | {"ranks": Ranks(level3=16, level4=16)},
        "random ranks": ADAPTER | {"ranks": random_ranks(SMALL, 0, (Ranks(), Ranks(level3=4, level4=4)))},
    },
    "table6": {"E2GAN 3 RB + 1 TB from scratch": OURS, "pix2pix 9 RB from scratch": PIX2PIX},
    "table7": {"pix2pix": PIX2PIX, "Co-Mod-GAN": COMODGAN, "E2GAN": ADAPTER},
    "table8": {"pix2pix": PIX2PIX, "Co-Mod-GAN": COMODGAN, "E2GAN": OURS},
    "table9": {
        "CycleGAN": SCRATCH | UNPAIRED | {"model": "cyclegan"},
        "CUT": PIX2PIX | UNPAIRED,
        "E2GAN": OURS | UNPAIRED,
    },
    "table10": {
        "convolution + transposed convolution": TUNED | {"base": BASE | {"around": "conv"}},
        "max pool + max unpool": TUNED | {"base": BASE | {"around": "max"}},
    },
    "table11": {
        "pix2pix pre-trained": TUNED | {"epochs": 2, "base": BASE | {"blocks": 9, "transformers": []}},
        "pix2pix from scratch": PIX2PIX,
        "E2GAN": ADAPTER | {"base": BASE | {"blocks": 3, "transformers": [2]}},
    },
    "table12": {
        "autoencoder as base": ADAPTER | {"base": SINGLE | {"concepts": ["the photo itself"], "gan": 0.0}},
        "single concept (make it golden hour) as base": ADAPTER | {"base": SINGLE},
        "ours": ADAPTER,
    },
    "table13": {
        "cross-attention removed at fine-tuning": ADAPTER | {"base": BASE | {"cross_attention": False}},
        "ours": ADAPTER | {"base": BASE | {"cross_attention": True}},
    },
    "table14": {
        "1 epochs": ADAPTER | {"ranks": Ranks(level1=2)},
        "2 epochs": ADAPTER | {"ranks": Ranks(level1=2), "epochs": 2},
    },
    "fig2": {
        "TB before RB 1": OURS | {"transformers": [0]},
        "TB after RB 1": OURS | {"transformers": [1]},
        "TB after RB 2 (ours)": OURS,
        "TB after RB 3": OURS | {"transformers": [3]},
        "two TBs, after RB 1 and 2": OURS | {"transformers": [1, 2]},
        "three TBs, after RB 1, 2 and 3": OURS | {"transformers": [1, 2, 3]},
        "pix2pix": PIX2PIX,
        "pix2pix-zero-distilled (Co-Mod-GAN)": COMODGAN,
    },
    "fig4": {
        "nothing frozen": TUNED,
        "SL frozen": TUNED | {"frozen": ["sl"]},
        "TB frozen": TUNED | {"frozen": ["tb"]},
        "RB frozen": TUNED | {"frozen": ["rb"]},
    },
    "fig7": {
        f"{keep} photos {curve}": ADAPTER | {"photos": keep, "method": method}
        for curve, method in (("by clustering", "similarity"), ("by chance", "random"))
        for keep in (8, 12)
    },
    "number-of-concepts": {
        "1 concept": ADAPTER | {"base": SINGLE | {"concepts": ["make it autumn"]}},
        "2 concepts": ADAPTER | {"base": BASE | {"concepts": 2}},
        "3 concepts": ADAPTER | {"base": BASE | {"concepts": 3, "photos": 72}},
    },
    "what-is-tuned": {
        "LoRA on the SL": ADAPTER | {"ranks": Ranks(tb=0)},
        "LoRA on the TB": ADAPTER | {"ranks": Ranks(level1=0, level2=0, level3=0, level4=0)},
        "LoRA on SL and TB": ADAPTER,
        "all weights of the base": TUNED,
    },
    "selection-embedding": {
        f"selected by {name}": ADAPTER | {"embedding": name} for name in ("gradient-colour", "squeezenet")
    },
    "transfer": {
        f"{start}, {part:.0%} of the training": of | {"epochs": max(1, round(2 * part))}
        for part in (0.25, 0.5, 1.0)
        for start, of in (
            ("from scratch", OURS),
            ("from make it golden hour", TUNED | {"base": SINGLE}),
            ("from the base", TUNED),
        )
    },
}
CHANGES: dict[str, dict[str, Any]] = {"fig7": {"keep": (8, 12)}, "table14": {"ranks": Ranks(level1=2)}}


def facts_of(model: Path) -> dict[str, Any]:
    """What a row's model was trained with, by its config.json, its base's, and its selection."""
    config = read_json(model / "config.json")
    stage, found = config["stage"], config["settings"]
    training = found["training"]
    facts = {
        "stage": stage,
        "epochs": training["epochs"],
        "lr": training["lr"],
        "photos": found["pairs_total"],
        "model": found.get("model"),
        "unpaired": found.get("unpaired"),
        "frozen": found.get("frozen"),
        **found["generator"],
    }
    if "ranks" in found:
        facts["ranks"] = Ranks(**found["ranks"])
        facts |= {k: read_json(Path(found["selection"]))[k] for k in ("method", "embedding")}
    if found.get("base"):
        base = read_settings(Path(found["base"]), schemas.BASE, "base")
        facts["base"] = {
            "concepts": list(base["concepts"]),
            "gan": base["training"]["gan"],
            "epochs": base["training"]["epochs"],
            "photos": base["pairs_total"],
            **base["generator"],
        }
    return facts


def meets(facts: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "base":
            meets(facts["base"], value)
        elif name == "concepts":
            got = facts[name]
            assert len(got) == value if isinstance(value, int) else sorted(got) == sorted(value)
        else:
            assert facts[name] == value, name


def test_every_experiment_that_trains_is_pinned_here() -> None:
    assert set(ROWS) == set(EXPERIMENTS)
    assert not set(ROWS) & set(COSTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ROWS))
def test_rows_are_what_the_paper_compares(name: str, sets: Sets, tmp_path: Path) -> None:
    changes = {"adapter_lr": 1e-3} | CHANGES.get(name, {})
    if name == "table9":
        changes |= {"pairs": (sets.unpaired,), "metric": "fd-random", "batch": 4}
    if name == "number-of-concepts":
        changes["base_pairs"] = (sets.single, *sets.base)
    found = run(settings(sets, name, tmp_path, **changes))
    assert [row.name for row in found.rows] == ["the photo as it is", *ROWS[name]]
    assert all(row.values["mean"] > 0 for row in found.rows)
    assert list(found.models) == list(ROWS[name])
    for row, expected in ROWS[name].items():
        (folder,) = found.models[row]
        meets(facts_of(found.out / folder), expected)
    if name == "table13":
        only_the_cross_attention_is_gone(found)
    if name in ("table9", "fig2", "table8", "table6"):
        assert not (found.out / "models/bases").exists()
    if name == "fig7":
        assert {v for row in found.rows[1:] for v in [row.values["trained (M)"]]} == {
            parameter_count(Generator(SMALL), Ranks()) / 1e6
        }


def only_the_cross_attention_is_gone(found: TableResult) -> None:
    bases = {}
    for row, (folder,) in found.models.items():
        base = Path(read_json(found.out / folder / "config.json")["settings"]["base"])
        bases[row] = read_tensors(base / "model.safetensors")[0]
    bare, whole = bases["cross-attention removed at fine-tuning"], bases["ours"]
    gone = whole.keys() - bare.keys()
    assert gone
    assert all(".cross_attention." in name or ".norm2." in name for name in gone)
    assert all((bare[name] == whole[name]).all() for name in bare)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("table4", {"random_pairs": ()}, "--random-pairs"),
        ("table12", {"generator": GeneratorConfig()}, "needs --preset paper"),
        ("table12", {"single_pairs": None}, "--single-pairs"),
        ("table13", {"generator": replace(SMALL, cross_attention=False)}, "this base has none"),
        ("table7", {"base_pairs": ()}, "--base-pairs"),
        ("number-of-concepts", {"base_pairs": ()}, "at least 2 pair sets with --base-pairs"),
        ("fig2", {"generator": replace(SMALL, blocks=2)}, "three residual blocks"),
        ("table9", {}, "holds pairs, and this experiment is one of no pairs"),
        ("table5", {"keep": (22,)}, "has only 21 training pairs; half of them, as in the paper, are --keep 10"),
        ("table5", {"keep": ()}, "--keep 400: "),
        ("table5", {"keep": (8, 9)}, "keeps one number of photos"),
        ("table5", {"batch": 40, "keep": (40,)}, "has only"),
        ("table5", {"batch": 50, "keep": (50,)}, "--batch 50: base has only 48 training pairs"),
        ("table6", {"batch": 40, "keep": ()}, "--batch 40: "),
        ("table10", {"batch": 40, "keep": ()}, "--batch 40: "),
        ("table7", {"text": "clip:no/such/folder"}, "no/such/folder"),
        ("table8", {"text": "clip:no/such/folder"}, "no/such/folder"),
        ("table7", {"size": 40}, "power of two"),
        ("table5", {"embedding": "nonsense"}, "unknown"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    name: str, changes: dict[str, Any], message: str, sets: Sets, tmp_path: Path
) -> None:
    config = settings(sets, name, tmp_path, **changes)
    assert message in refused(lambda: run_table(config))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_art_concepts_are_told_where_there_are_none(sets: Sets, tmp_path: Path) -> None:
    found = run(settings(sets, "4", tmp_path, art_pairs=(), steps=1, base_steps=1))
    assert "art concepts" not in [row.name for row in found.rows]
    assert any("200 were never published" in line for line in found.notes)


@pytest.mark.slow
def test_photos_without_a_pair_are_not_selected(sets: Sets, tmp_path: Path) -> None:
    found = run(settings(sets, "fig7", tmp_path, keep=(ALL,), steps=1, base_steps=1))
    edited = {row["photo"] for row in PairSet.load(sets.rejecting).rows if row["split"] == "train"}
    for of in found.models.values():
        selection = read_json(found.out / of[0] / "config.json")["settings"]["selection"]
        assert set(read_json(Path(selection))["ids"]) == edited


@pytest.mark.parametrize("name", ["table8", "table10", "table14", "fig4"])
def test_an_unpaired_set_is_refused_where_pairs_are_trained_on(name: str, sets: Sets, tmp_path: Path) -> None:
    config = settings(sets, name, tmp_path, pairs=(sets.unpaired,), metric="fd-random", batch=4, keep=(4,))
    assert "holds no pairs" in refused(lambda: run_table(config))
    assert not list(tmp_path.rglob("*.safetensors"))


def models_of(config: TableConfig, *, faces: bool = False) -> Models:
    """The models of an experiment, before any is trained."""
    comparison = Comparison(config.out, config.metric, NetworkOptions())
    return Models(config, config.out, Concepts.load(config, config.out), comparison, faces=faces)


def test_figure_7_goes_from_100_photos_to_all_800_in_two_curves(sets: Sets, tmp_path: Path) -> None:
    variants = EXPERIMENTS["fig7"].variants(models_of(settings(sets, "fig7", tmp_path, keep=())))
    assert [(variant.x, variant.curves) for variant in variants] == [
        (100 * hundreds, (curve,)) for curve in ("by clustering", "by chance") for hundreds in range(1, 9)
    ]


FACES = ("table3-faces", "table4", "table12", "table13", "fig7")


@pytest.mark.parametrize("name", [*FACES, "table3-scenes", "table5", "table7", "table11", "table14"])
def test_photos_of_faces_are_compared_by_facenet_and_others_by_clip(name: str, sets: Sets, tmp_path: Path) -> None:
    """Sec. 5.1. The file of weights is not there, and the refusal names whose it is."""
    message = refused(
        lambda: run_table(settings(sets, name, tmp_path, embedding=None, model=str(tmp_path / "none"), keep=(8,)))
    )
    assert ("facenet" in message.casefold()) == (name in FACES)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_ranks_given_are_a_row_of_their_own(sets: Sets, tmp_path: Path) -> None:
    given = settings(sets, "5", tmp_path, ranks=Ranks(level1=2, level2=2))
    assert [variant.name for variant in EXPERIMENTS["table5"].variants(models_of(given))][-1] == "the ranks given"


def test_the_base_given_is_used_in_place_of_the_usual_one_alone(project: Project, sets: Sets, tmp_path: Path) -> None:
    models = models_of(settings(sets, "4", tmp_path, base=project.base))
    given, pooled = GeneratorConfig(**TINY), replace(SMALL, around="max")
    assert models.base().generator == given
    assert models.base("of others", sets=models.concepts.random).generator == SMALL
    assert models.base("pooled", generator=pooled).generator == pooled


def test_the_text_encoder_of_the_base_given_is_looked_for_first(project: Project, sets: Sets, tmp_path: Path) -> None:
    base, out = shutil.copytree(project.base, tmp_path / "base"), tmp_path / "out"
    config = read_json(base / "config.json")
    config["settings"]["text"] = "clip:no/such/folder"
    write_json(base / "config.json", config)
    assert "no/such/folder" in refused(lambda: run_table(settings(sets, "11", out, base=base, steps=1, base_steps=1)))
    assert not list(out.rglob("*.safetensors"))
