"""One small file of each kind that is read, made by the real stages, and what reads it."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from contextlib import chdir, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from e2gan.choose.concepts import choose_concepts
from e2gan.choose.photos import select_photos
from e2gan.config import (
    PRESETS,
    AdaptConfig,
    BaseConfig,
    ChooseConfig,
    ConceptsConfig,
    EditConfig,
    ExportConfig,
    GeneratorConfig,
    NearestConfig,
    PairsConfig,
    PhotosConfig,
    Ranks,
    RanksConfig,
    SelectConfig,
    TrainingConfig,
    VerifyConfig,
)
from e2gan.config.schemas import KeptPhoto, MeasuredFile
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, plain, read_json, sha256, write_json
from e2gan.core.outputs import writing
from e2gan.core.record import add_facts, record
from e2gan.data.kept import KEPT
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import prepare_photos
from e2gan.editing.edit import edit
from e2gan.export.all_formats import MISSING, export_all
from e2gan.export.effects import write as write_effects
from e2gan.export.effects_model import EffectsModel
from e2gan.export.export import PARITY, Parity, export_model, hashes, reads_of, settings_of
from e2gan.export.format import Order
from e2gan.export.pixel_model import PixelModel
from e2gan.features.hub import image_statistics, pretrained
from e2gan.measure.adapter_index import AdapterIndex
from e2gan.measure.cost import StepFlops
from e2gan.measure.effect_vectors import WIDTH, form
from e2gan.measure.metrics import NetworkOptions, Score
from e2gan.measure.nearest import nearest
from e2gan.measure.plan_sources import SHIPPED as SHIPPED_FIGURES
from e2gan.measure.plan_sources import Sources, Steps
from e2gan.measure.segmentation import Palette
from e2gan.networks.folders import DISCRIMINATOR, MODEL
from e2gan.networks.models import Model, load_discriminator
from e2gan.networks.text import HashedText
from e2gan.pairs.choose_again import choose_again
from e2gan.pairs.concept_lists import read_list
from e2gan.pairs.make import make_pairs
from e2gan.pairs.run_teachers import recall_written
from e2gan.pairs.scores import ScoreModels
from e2gan.research.comparison import Comparison, TrainedModel, settings_with_sets
from e2gan.research.ranks import Concept, Measure, RanksFound, Step, find_ranks
from e2gan.research.tables.costs import ImageCost, Measured, image_costs
from e2gan.research.verify import verify
from e2gan.sweeps.store import DamagedError, Store
from e2gan.sweeps.sweep import is_sweep
from e2gan.sweeps.things import Ref
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.diffusion.pipelines import model_index
from e2gan.teachers.diffusion.presets import load_presets
from e2gan.teachers.function import FunctionTeacher
from e2gan.train.adapter import adapt
from e2gan.train.base import train_base
from e2gan.train.batches import TrainingData
from e2gan.train.guard import Guard
from e2gan.train.loop import Log, batches, read_log, resume, save
from tests.conftest import TINY, Project
from tests.train.tiny_training import QUICK, data, trainer

GENERATOR = GeneratorConfig(**TINY)
TRAINING = TrainingConfig(steps=30, batch=4, precision="fp32")


def darker(photos: list[np.ndarray], prompt: str, seeds: list[int]) -> list[np.ndarray]:  # noqa: ARG001
    return [photo // 2 + np.arange(photo.shape[1], dtype=np.uint8)[None, :, None] for photo in photos]


def taught(root: Path, out: str = "taught") -> None:
    config = PairsConfig(photos=root / "photos", concept="darker", out=root / out)
    make_pairs(config, [FunctionTeacher(darker, "darker")])


def concepts(root: Path) -> None:
    pairs = (root / "sepia", root / "dusk")
    choose_concepts(ConceptsConfig(pairs=pairs, keep=1, method="random", out=root / "concepts.json"))


def select(root: Path) -> None:
    select_photos(SelectConfig(photos=root / "photos", keep=5, method="random", out=root / "selection.json"))


def export_config(root: Path) -> ExportConfig:
    return ExportConfig(base=root / "base", adapter=(root / "adapter",), out=root / "exported")


def ranks_config(root: Path) -> RanksConfig:
    pairs = (root / "sepia",)
    return RanksConfig(base=root / "base", pairs=pairs, out=root / "ranks.json", metric="l1", training=TRAINING)


SCORE = Score(1.0, 0.5, 1.5, None, 3)
STEP = Step(ranks=Ranks(), score=SCORE, parameters=5, steps=2, seconds=1.0)


@functools.cache
def tiny_effects(project: Project) -> Path:
    """The folder of an effect, not compared; written once."""
    folder = project.photos.parent / "effects"
    folder.mkdir()
    model = Model.load(base=project.base, adapter=project.adapter)
    order = Order(PixelModel(model.plain(), model.tokens), None, "fp32", {}, (), project.base, [project.adapter])
    write_effects(order, folder / "effects.json")
    return folder


def build(project: Project, home: Path) -> Path:
    """A folder with everything in it, in which all paths are from there; the stages that take long have been run for
    `project`."""
    for name, folder in vars(project).items():
        shutil.copytree(folder, home / name)
    shutil.copytree(tiny_effects(project), home / "effects")
    for path in home.rglob("*.json"):
        path.write_text(path.read_text().replace(f"{project.photos.parent}/", ""))
    for path in home.rglob(CONFIG):
        record(path.parent)
    with chdir(home):
        _build(Path())
    return home


def _build(root: Path) -> None:
    Image.fromarray(np.tile(np.arange(48, dtype=np.uint8)[:, None, None] * 5, (1, 40, 3))).save(root / "photo.png")
    shutil.copytree(root / "dusk", root / "lit")
    add_facts(root / "lit", {"sided": True})
    taught(root)
    choose_again(ChooseConfig(pairs=root / "taught"))
    first = json.loads((root / "taught/candidates.jsonl").read_text().splitlines()[0])
    write_json(root / "taught/picks.json", {"picks": {first["photo"]: first["file"].rpartition("/")[2]}})
    half(root)
    half_photos(root)
    concepts(root)
    select(root)
    (root / "pictures").mkdir()
    shutil.copy(root / "photo.png", root / "pictures")
    edit_folder(root)
    config = export_config(root)
    with writing(config.out, "export", settings_of(config) | hashes(config), reads=reads_of(config)) as folder:
        assert folder is not None
        (folder / "model.onnx").write_bytes(b"onnx")
        write_json(folder / PARITY, Parity(1, 0.1, 1, [(32, 32)], [{"photo": "a"}], ["CPU"], {"e2gan": "1"}))
    every = replace(config, format="all", out=root / "all")
    with writing(every.out, "export", settings_of(every) | hashes(every), reads=reads_of(every)) as folder:
        assert folder is not None
        write_json(folder / MISSING, {"litert": "it is not installed"})
    found = RanksFound(root / "ranks.json", "l1", Ranks(), 5, [Concept("sepia", root / "sepia", [STEP], 0)])
    config = ranks_config(root)
    settings = settings_with_sets(
        config, [PairSet.load(root / "sepia")], base_sha256=sha256(root / "base" / MODEL), metric="l1"
    )
    write_json(root / "ranks.json", plain(found) | {"stage": "ranks", "settings": settings})
    (root / "search/step0").mkdir(parents=True)
    write_json(root / "search/step0/step.json", STEP)
    write_json(root / "steps.json", Measured(5, StepFlops(1, 2, 3, 6), 7, 0.5, 20, 100))
    write_json(root / "images.json", {"E2GAN": ImageCost(5, 6, 7, 8, 0.5)})
    compared(root)
    (root / "run.partial").mkdir()
    run = trainer()
    (root / "run.partial/metrics.jsonl").write_text('{"step": 10, "seconds": 1.0, "l1": 0.5}\n')
    run.step(next(batches(data(), QUICK, 0)), 0)
    save(run, root / "run.partial", 10, 1.0, Guard(run, 10))
    measured_with = {"pairs": str(root / "sepia"), "base": str(root / "base"), "adapter": str(root / "adapter")}
    metrics = {"model": {"l1": 1.0}, "photo": {"l1": 2.0}, "settings": measured_with}
    write_json(root / "adapter/metrics.json", metrics)
    write_json(root / "palette.json", {"classes": {"road": [128, 64, 128], "sky": [0, 0, 255]}})
    (root / "list.toml").write_text(
        'about = "A list."\n[defaults]\nteacher = ["filters"]\n[[concept]]\nname = "a"\nprompt = "make it autumn"\n'
        'source = "a photo"\nsettings = {strength = 0.5}\nsided = true\n'
    )
    (root / "presets.toml").write_text(
        '[mine]\ncheckpoint = "folder"\nside = 64\nmemory_gb = 1.5\narguments = {a = 1}\n'
    )
    (root / "swept").mkdir()
    write_json(root / "swept/sweep.json", {"stage": "sweep", "settings": {}})
    Store(str(root / "swept")).put(SWEPT, root / "adapter", {"steps": 1})
    nearest(
        NearestConfig(
            base=root / "base",
            pairs=root / "sepia",
            adapters=(root / "adapter",),
            shipped=False,
            index=root / "nearest.jsonl",
        )
    )
    (root / "plan.toml").write_text(SHIPPED_FIGURES.read_text("utf-8"), "utf-8")
    row = {"name": "adapter, full, quick", "batch": 1, "how": "eager", "ms": 5.0, "error": None}
    machine = {"name": "machine", "card": "NVIDIA H100 80GB HBM3", "device": "cuda", "error": None}
    parts = {"machine": {"rows": [machine]}, "steps": {"rows": [row]}}
    write_json(root / "gpu.json", {"options": {"quick": "False"}, "parts": parts})
    (root / "network").mkdir()
    write_json(root / "network/preprocessor_config.json", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    write_json(root / "network/model_index.json", {"_class_name": "A", "unet": ["diffusers", "B"]})


def half(root: Path) -> None:
    """A pair set that was killed before it was built: its candidates are there, and their scores."""
    (root / "program.partial").mkdir()
    settings = {"teachers": [{"command": "no-such-program", "files": {}}]}
    write_json(root / "program.partial/config.json", {"stage": "pairs", "settings": settings, "written": ["log"]})
    out = root / "half.partial"
    shutil.copytree(root / "taught", out)
    rows = [json.loads(line) for line in (out / "candidates.jsonl").read_text().splitlines()]
    key = ScoreModels(prompt="darker").key
    lines = [json.dumps({"key": key, "file": row["file"], "scores": row["scores"]}) for row in rows]
    (out / "scores-host-1.jsonl").write_text("".join(f"{line}\n" for line in lines))
    record = {"teacher": "darker", "seed": 5, "reason": "black", "again": False, "measures": {"shift": 0.0}}
    write_json(out / "candidates" / rows[0]["photo"] / "darker--5.json", record)
    for name in ("metadata.jsonl", "candidates.jsonl", "choose.html", "choice.json", "picks.json"):
        (out / name).unlink(missing_ok=True)


def half_photos(root: Path) -> None:
    """A photo set that was killed before its end: its images are there, and what is kept of them."""
    camera = root / "few"
    camera.mkdir()
    for i in range(3):
        shutil.copy(sorted((root / "photos/images").iterdir())[i], camera / f"{i}.png")
    photos_again(root)
    rows = [json.loads(line) for line in (root / "few-set/photos.jsonl").read_text().splitlines()]
    kept = [{name: row[name] for name in KeptPhoto.__annotations__} for row in rows]
    (root / "few-set/photos.jsonl").unlink()
    (root / "few-set").rename(root / "few-set.partial")
    (root / "few-set.partial" / KEPT).write_text("".join(f"{json.dumps(row)}\n" for row in kept))


def photos_again(root: Path) -> None:
    if (config := root / "few-set.partial" / CONFIG).exists():
        settings = read_json(config, dict[str, Any])
        settings["settings"]["folder"] = str((root / "few").resolve())  # all of it is a copy, which lies elsewhere
        write_json(config, settings)
    prepare_photos(PhotosConfig(folder=root / "few", out=root / "few-set", size=32))


def edit_one(root: Path) -> None:
    edit(
        EditConfig(
            input=(root / "photo.png",), out=root / "edited.png", base=root / "base", adapter=(root / "adapter",)
        )
    )


def verified(root: Path) -> None:
    str(verify(VerifyConfig(folder=root / "adapter", device="cpu")))


def indexed(root: Path) -> None:
    index = AdapterIndex.load(root / "nearest.jsonl", sha256(root / "base" / MODEL), form(), WIDTH)
    for path in index.known():
        (index.folder(path) / "e2gan.json").exists()


def edit_by_model(root: Path) -> None:
    edit(EditConfig(input=(root / "photo.png",), out=root / "edited.png", model=root / "model"))


def edit_folder(root: Path) -> None:
    edit(EditConfig(input=(root / "pictures",), out=root / "edits", base=root / "base", adapter=(root / "adapter",)))


def train_on(root: Path) -> None:
    sets = [PairSet.load(root / "sepia")]
    TrainingData.load(sets, HashedText(16), selection=root / "selection.json")
    sets[0].arrays("test")


def fresh_discriminator(root: Path) -> None:
    (root / "base" / DISCRIMINATOR).unlink()
    with suppress(InputError):  # this one was trained with a discriminator
        load_discriminator(root / "base")


def adapter_again(root: Path) -> None:
    adapt(AdaptConfig(pairs=root / "sepia", base=root / "base", out=root / "adapter", training=TRAINING))


def adapter_from(root: Path) -> None:
    quick = replace(TRAINING, steps=1)
    adapt(
        AdaptConfig(
            pairs=root / "sepia", base=root / "base", out=root / "next", start=(root / "adapter",), training=quick
        )
    )


def base_again(root: Path) -> None:
    train_base(BaseConfig(pairs=(root / "dusk",), out=root / "base", generator=GENERATOR, training=TRAINING))


def compared(root: Path) -> None:
    comparison = Comparison(root / "compared", "l1", NetworkOptions(device="cpu"))
    comparison.result(TrainedModel(root / "model", 5), PairSet.load(root / "sepia"))


def measured(root: Path) -> None:
    Measure(ranks_config(root), root / "base", PairSet.load(root / "sepia"), root / "search", None)(Ranks())  # type: ignore[arg-type]


def costs(root: Path) -> None:
    image_costs({"E2GAN": ("e2gan", GENERATOR)}, 32, torch.device("cpu"), root / "images.json")


def steps(root: Path) -> None:
    Measured.load(read_json(root / "steps.json", MeasuredFile))


def on_a_card(root: Path) -> None:
    Steps.load(root / "gpu.json", Sources.load(), "h100-sxm", PRESETS["device"], 256, 1)


def go_on(root: Path) -> None:
    run = trainer()
    step, _, kept = resume(run, root / "run.partial")
    Guard(run, step, kept)
    Log(root / "run.partial", step, tensorboard=False).close()


@dataclass(frozen=True)
class Kind:
    """A file, what reads it, and the forms of config/schemas.py that it is checked by."""

    file: str
    read: Callable[[Path], object]
    forms: tuple[str, ...] = ()


def by_program(root: Path) -> None:
    recall_written(root / "program", [CommandTeacher("no-such-program")])


def half_again(root: Path) -> None:
    taught(root, "half")


SWEPT = Ref("adapters", "0123456789abcdef" * 4)


def swept(root: Path) -> None:
    store = Store(str(root / "swept"))
    if store.has(SWEPT):
        with suppress(DamagedError):  # it is then made again
            store.fetch(SWEPT, root / "fetched")
    shutil.rmtree(root / "fetched", ignore_errors=True)


def filtered(root: Path) -> None:
    make_pairs(PairsConfig(photos=root / "photos", concept="sepia", out=root / "filtered"))
    shutil.rmtree(root / "filtered")
    select(root)


KINDS = {
    "photo set": Kind("photos/config.json", filtered, ("PHOTO_SET",)),
    "photos": Kind("photos/photos.jsonl", filtered, ("PhotoRow",)),
    "half a photo set": Kind("few-set.partial/kept.jsonl", photos_again, ("KeptPhoto",)),
    "pair set": Kind("sepia/config.json", concepts, ("PAIR_SET",)),
    "pair set that has a side": Kind("lit/config.json", lambda root: PairSet.load(root / "lit"), ("SidedRecord",)),
    "pairs": Kind("sepia/metadata.jsonl", train_on, ("PairRow",)),
    "pairs, again": Kind("dusk/metadata.jsonl", concepts),
    "taught set": Kind("taught/config.json", lambda root: choose_again(ChooseConfig(pairs=root / "taught"))),
    "candidates": Kind(
        "taught/candidates.jsonl", lambda root: choose_again(ChooseConfig(pairs=root / "taught")), ("CandidateRow",)
    ),
    "choice": Kind(
        "taught/choice.json", lambda root: choose_again(ChooseConfig(pairs=root / "taught")), ("LastChoice",)
    ),
    "picks": Kind("taught/picks.json", lambda root: choose_again(ChooseConfig(pairs=root / "taught")), ("PicksFile",)),
    "scores": Kind("half.partial/scores-host-1.jsonl", half_again, ("KeptScores",)),
    "candidate": Kind("half.partial/candidates/*/darker--5.json", half_again, ("CandidateRecord",)),
    "half a set": Kind("half.partial/config.json", half_again),
    "half a program's set": Kind("program.partial/config.json", by_program, ("Written",)),
    "selection": Kind("selection.json", train_on, ("SelectedIds",)),
    "selection, again": Kind("selection.json", select, ("SelectionFile",)),
    "concepts": Kind("concepts.json", concepts, ("ConceptsFile",)),
    "base": Kind("base/config.json", edit_one, ("BASE", "MODEL_SETTINGS")),
    "base, again": Kind("base/config.json", base_again),
    "base without a discriminator": Kind("base/config.json", fresh_discriminator),
    "model": Kind("model/config.json", edit_by_model, ("ModelFacts",)),
    "adapter": Kind("adapter/e2gan.json", edit_one, ("AdapterFacts",)),
    "peft": Kind("adapter/adapter_config.json", edit_one, ("PeftFile",)),
    "adapter to start from": Kind("adapter/e2gan.json", adapter_from),
    "adapter, again": Kind("adapter/config.json", adapter_again),
    "edits": Kind("edits/config.json", edit_folder),
    "log": Kind("model/metrics.jsonl", lambda root: read_log(root / "model", ("l1",)), ("LogRow",)),
    "log of half a run": Kind("run.partial/metrics.jsonl", go_on),
    "score": Kind("model/score-l1-sepia-test.json", compared, ("ScoreFile",)),
    "ranks": Kind("ranks.json", lambda root: Ranks.load(root / "ranks.json"), ("RanksOf",)),
    "ranks, again": Kind("ranks.json", lambda root: str(find_ranks(ranks_config(root))), ("RanksFile",)),
    "step": Kind("search/step0/step.json", measured, ("StepRecord",)),
    "step's cost": Kind("steps.json", steps, ("MeasuredFile",)),
    "image's cost": Kind("images.json", costs, ("ImagesFile",)),
    "parity": Kind(
        "exported/parity.json", lambda root: str(export_model(export_config(root))), ("ParityFile", "ComparedFile")
    ),
    "formats left out": Kind(
        "all/missing.json",
        lambda root: str(export_all(replace(export_config(root), format="all", out=root / "all"))),
        ("MissingFile",),
    ),
    "effects": Kind("effects/effects.json", lambda root: EffectsModel(root / "effects"), ("EffectsFile",)),
    "export": Kind("exported/config.json", lambda root: export_model(export_config(root))),
    "what is told of edits": Kind("edits/edits.jsonl", edit_folder, ("EditedPhoto",)),
    "metrics": Kind("adapter/metrics.json", verified, ("MetricsFile",)),
    "sweep": Kind("swept/sweep.json", lambda root: is_sweep(Store(str(root / "swept"))), ("SweepFile",)),
    "manifest": Kind(f"swept/manifests/{SWEPT.place}.json", swept, ("ManifestFile",)),
    "palette": Kind("palette.json", lambda root: Palette.load(root / "palette.json"), ("PaletteFile",)),
    "concept list": Kind("list.toml", lambda root: read_list(root / "list.toml"), ("ConceptListFile",)),
    "presets": Kind("presets.toml", lambda root: load_presets(root / "presets.toml"), ("PresetFile",)),
    "index of adapters": Kind("nearest.jsonl", indexed, ("IndexRow",)),
    "figures of plans": Kind("plan.toml", lambda root: Sources.load(root / "plan.toml"), ("PlanFile",)),
    "measured on a card": Kind("gpu.json", on_a_card, ("GpuFile",)),
    "preprocessor": Kind(
        "network/preprocessor_config.json",
        lambda root: image_statistics(str(root / "network"), (0.5,) * 3, (0.5,) * 3),
        ("Preprocessor",),
    ),
    "model index": Kind(
        "network/model_index.json",
        lambda root: pretrained(model_index, str(root / "network"), "--model"),
        ("ModelIndex",),
    ),
}

TENSORS = {
    "base": Kind("base/model.safetensors", edit_one),
    "discriminator": Kind("base/discriminator.safetensors", lambda root: load_discriminator(root / "base")),
    "model": Kind("model/model.safetensors", edit_by_model),
    "adapter": Kind("adapter/adapter_model.safetensors", edit_one),
    "adapter to start from": Kind("adapter/adapter_model.safetensors", adapter_from),
    "prompt": Kind("adapter/concept.safetensors", edit_one),
    "checkpoint": Kind("run.partial/checkpoint.safetensors", go_on, ("CourseRecord",)),
}
