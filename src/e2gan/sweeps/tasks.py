"""What a task of a sweep runs: one stage, on whatever machine it is put, from an order in JSON to an answer in JSON.

It fetches what the stage reads, runs the stage on the machine's own disk, uploads what came of it, and its manifest
last. Nothing of it needs Ray, which only carries the two texts.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2gan.config import (
    AdaptConfig,
    EvaluateConfig,
    ExportConfig,
    PairsConfig,
    Ranks,
    SelectConfig,
    TeachConfig,
    TrainingConfig,
)
from e2gan.core.errors import InputError, LostTrainingError, MachineError
from e2gan.core.files import plain, write_bytes
from e2gan.core.images import encode_jpeg, read_image, resize
from e2gan.core.machine import machine_fault
from e2gan.networks.folders import SHEET
from e2gan.sweeps.store import DamagedError, Store
from e2gan.sweeps.things import (
    ADAPTERS,
    BASES,
    BLOCKS,
    EVALUATIONS,
    EXPORTS,
    PAIRS,
    PHOTOS,
    SELECTIONS,
    Ref,
    Thing,
)
from e2gan.sweeps.workspace import Workspace, clear_begun

SELECTION = "selection.json"
PREVIEW = "preview.jpg"  # of the evaluation's sheet, for the page of all concepts
PREVIEW_SIDE, PREVIEW_ROWS = 640, 4


@dataclass(frozen=True)
class Work:
    """A task at work: the thing's settings and hints, where it goes, and where its inputs lie, by their names."""

    settings: Mapping[str, Any]
    hints: Mapping[str, Any]
    out: Path
    inputs: Mapping[str, Path]
    after: tuple[Path, ...]

    @property
    def base(self) -> Path:
        """The base's folder, or the name of one that ships."""
        return self.inputs.get(BASES) or Path(self.settings["base"])


def run_task(text: str) -> str:
    """Make the thing of an order, and answer in one line of JSON.

    The order: store, scratch, limit, threads, and a thing (`Thing.order`). The answer: `state`, made or found; or
    `error`, one line, with `trace` where it is a fault of the program; or `damaged`, an input that is to be made again.
    """
    order = json.loads(text)
    thing = Thing.read(order["thing"])
    begun = time.monotonic()
    try:
        store = Store(order["store"])
        work = Workspace(None if order["scratch"] is None else Path(order["scratch"]), order["limit"])
        work.make_room()
        with work.making(thing.ref) as folder:
            if store.has(thing.ref):
                return json.dumps({"state": "found"})
            store.begin(thing.ref)
            facts = _make(thing, store, work, folder, order["threads"])
            seconds = round(time.monotonic() - begun, 3)
            store.put(thing.ref, folder, {**facts, "seconds": seconds})
            if thing.kind in (BLOCKS, EVALUATIONS, EXPORTS):  # no other task of this machine reads it
                shutil.rmtree(folder, ignore_errors=True)
        return json.dumps({"state": "made", "seconds": seconds})
    except DamagedError as error:
        return json.dumps({"damaged": str(error.ref), "error": str(error)})
    except (InputError, LostTrainingError, MachineError) as error:
        return json.dumps({"error": str(error)})
    except Exception as error:  # a concept's failure is no other's, whatever it is
        fault = machine_fault(error)
        told = fault or f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
        return json.dumps({"error": str(told), "trace": None if fault else traceback.format_exc()[-8000:]})


def clean_task(text: str) -> str:
    """Remove what an order's machine keeps of things that are in the store, or are not wanted any more."""
    order = json.loads(text)
    work = Workspace(None if order["scratch"] is None else Path(order["scratch"]), order["limit"])
    return json.dumps({"left": sum(not work.drop(Ref.read(ref)) for ref in order["refs"])})


def _make(thing: Thing, store: Store, work: Workspace, folder: Path, threads: int) -> dict[str, Any]:
    """Run the stage. Returns what was found out about the thing, as JSON holds it."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        inputs = {name: stack.enter_context(work.using(store, ref)) for name, ref in thing.inputs.items()}
        after = tuple(stack.enter_context(work.using(store, ref)) for ref in thing.after)
        return MAKERS[thing.kind](Work(thing.settings, thing.hints, folder, inputs, after))


def pairs_config(settings: Mapping[str, Any], hints: Mapping[str, Any], photos: Path, out: Path) -> PairsConfig:
    """The settings of `make_pairs` from a thing's."""
    return PairsConfig(
        concept=settings["concept"],
        photos=photos,
        out=out,
        teacher=tuple(settings["teacher"]),
        seed=settings["seed"],
        sided=hints.get("sided", False),
        run_commands=True,  # the driver has asked
        device=hints["device"],
        teach=TeachConfig(**(settings["teach"] | hints["teach"])),
    )


def _pairs(work: Work) -> dict[str, Any]:
    from e2gan.pairs.make import make_pairs
    from e2gan.teachers import make_teachers

    config = pairs_config(work.settings, work.hints, work.inputs[PHOTOS], work.out)
    made = make_pairs(config, make_teachers(config, work.settings["arguments"]), work.after)
    return {"prompt": made.prompt, "teacher": made.teacher, "train": made.train, "val": made.val, "test": made.test}


def _block(work: Work) -> dict[str, Any]:
    from e2gan.pairs.blocks import edit_block
    from e2gan.teachers import make_teachers

    config = pairs_config(work.settings, work.hints, work.inputs[PHOTOS], work.out)
    first, count = work.settings["first"], work.settings["count"]
    edit_block(config, make_teachers(config, work.settings["arguments"]), first, count)
    return {}


def _selection(work: Work) -> dict[str, Any]:
    from e2gan.choose.photos import select_photos

    config = SelectConfig(
        photos=work.inputs[PHOTOS],
        pairs=work.inputs[PAIRS],
        keep=work.settings["keep"],
        embedding=work.settings["embedding"],
        seed=work.settings["seed"],
        out=work.out / SELECTION,
        sheet=False,
        device=work.hints["device"],
    )
    return {"kept": len(select_photos(config).ids)}


def _adapter(work: Work) -> dict[str, Any]:
    from e2gan.networks.folders import ADAPTER
    from e2gan.train.adapter import adapt

    selection = work.inputs.get(SELECTIONS)
    config = AdaptConfig(
        pairs=work.inputs[PAIRS],
        base=work.base,
        selection=None if selection is None else selection / SELECTION,
        out=work.out,
        text=work.settings["text"],
        init=work.settings["init"],
        ranks=Ranks(**work.settings["ranks"]),
        training=TrainingConfig(**(work.settings["training"] | work.hints["training"])),
    )
    trained = adapt(config)
    result = trained.result
    if result.lost is not None:
        raise LostTrainingError(f"the training was lost: {result.lost}")
    size = (work.out / ADAPTER).stat().st_size
    return {"parameters": trained.parameters, "bytes": size, "steps": result.steps, "training_l1": result.l1}


def _evaluation(work: Work) -> dict[str, Any]:
    from e2gan.measure.evaluate import evaluate

    clear_begun(work.out)  # of a task that died
    config = EvaluateConfig(
        pairs=work.inputs[PAIRS],
        base=work.base,
        adapter=work.inputs[ADAPTERS],
        text=work.settings["text"],
        inception=work.settings["inception"],
        out=work.out,
        rows=PREVIEW_ROWS,
        device=work.hints["device"],
    )
    found = evaluate(config)
    sheet = read_image(work.out / SHEET)
    scale = min(1.0, PREVIEW_SIDE / max(sheet.shape[:2]))
    small = resize(sheet, (max(1, round(sheet.shape[0] * scale)), max(1, round(sheet.shape[1] * scale))))
    write_bytes(work.out / PREVIEW, encode_jpeg(small, 85))
    measured = {
        "images": found.images,
        "against_lut": found.against_lut,
        "model": _numbers(plain(found.model)),
        "photo": _numbers(plain(found.photo)),
        "lut": None if found.lut is None else _numbers(plain(found.lut)),
    }
    return measured | {"notes": list(found.notes)}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Each metric's one number: a distance's value."""
    values = {name: value.get("value") if isinstance(value, dict) else value for name, value in metrics.items()}
    return {name: v for name, v in values.items() if isinstance(v, (int, float)) and math.isfinite(v)}


def _export(work: Work) -> dict[str, Any]:
    from e2gan.export.export import export_model

    made = export_model(
        ExportConfig(
            base=work.base,
            adapter=(work.inputs[ADAPTERS],),
            text=work.settings["text"],
            format=work.settings["format"],
            out=work.out,
        )
    )
    parity = None if made.parity is None else {"mean": made.parity.mean, "max": made.parity.max}
    name = made.file.relative_to(made.folder).as_posix()
    return {"format": made.format, "precision": made.precision, "file": name, "bytes": made.bytes, "parity": parity}


MAKERS: dict[str, Callable[[Work], dict[str, Any]]] = {
    BLOCKS: _block,
    PAIRS: _pairs,
    SELECTIONS: _selection,
    ADAPTERS: _adapter,
    EVALUATIONS: _evaluation,
    EXPORTS: _export,
}
