"""An adapter on the base that ships, from built-in photos and teacher; its report is the first thing a user sees."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch

from e2gan.config import (
    RECIPES,
    AdaptConfig,
    DemoConfig,
    EvaluateConfig,
    ExportConfig,
    PairsConfig,
    ScratchConfig,
)
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl, read_tensors, sha256, write_bytes
from e2gan.core.images import Pixels, encode_jpeg, resize, sheet, square
from e2gan.core.outputs import claim_in_place, versions
from e2gan.core.plots import Line
from e2gan.data.builtin_photos import demo_photo_set, test_pictures
from e2gan.demo.report import Example, Plot, Report, Table, write_report
from e2gan.editing.predictor import Predictor
from e2gan.export.export import export_model
from e2gan.export.onnx import OnnxModel
from e2gan.measure.cost import latency, multiply_accumulates
from e2gan.measure.evaluate import Evaluation, evaluate, shown
from e2gan.networks.folders import ABOUT, ADAPTER, MODEL, base_folder
from e2gan.networks.models import Model, load_generator
from e2gan.pairs.make import make_pairs
from e2gan.teachers.filters.filters import FILTERS, Filter, apply, find
from e2gan.train.adapter import adapt
from e2gan.train.loop import METRICS
from e2gan.train.scratch import train_scratch

LABELS = {"l1": "L1", "psnr": "PSNR", "ssim": "SSIM", "fd": "fd-random"}
SHOWN_SIDE = 384  # shorter side of the report's pictures
RUN_SIDE = 256  # shorter side of the generator's input for them


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and how long it took."""

    report: Path
    folder: Path
    base: Path | None
    seconds: float

    def __str__(self) -> str:
        done = f"done in {self.seconds / 60:.1f} minutes; open the report:\n\n    {self.report.resolve()}"
        next_commands = "\n".join(f"    {line}" for line in commands(self.folder, self.base))
        return f"{done}\n\nnext, with your own photos:\n\n{next_commands}"


def commands(folder: Path, base: Path | None) -> list[str]:
    """What to try next."""
    e2gan, named = ".venv/bin/e2gan", f" --base {base}" if base else ""
    return [
        f"{e2gan} edit YOUR_PHOTO.jpg{named} --adapter {folder}/adapter --out edited.png",
        f"{e2gan} photos YOUR_FOLDER --out my-photos --size 128",
        f"{e2gan} pairs --photos my-photos --concept winter --out my-pairs",
        f"{e2gan} adapt{named} --pairs my-pairs --out my-adapter --recipe quick",
        f"{e2gan} evaluate{named} --adapter my-adapter --pairs my-pairs",
        f"{e2gan} export{named} --adapter my-adapter --out my-effect",
    ]


def run_demo(config: DemoConfig) -> DemoResult:
    """Photos, pairs, adapter, pix2pix and a colour table beside it, evaluation, export, report. Run again, it goes on.

    Raises InputError for bad settings, for a concept that the base has learned, and where `out` holds something else.
    """
    config.check()
    begun = time.monotonic()
    out = config.out
    concept = find(config.concept)
    base = base_folder(config.base)
    learned = list(load_generator(base)[1]["concepts"])
    if concept.prompt in learned:
        new = ", ".join(f.name for f in FILTERS.values() if f.prompt not in learned)
        raise InputError(f'--concept {config.concept}: the base has learned "{concept.prompt}"; new to it are {new}')
    claim_in_place(out, "demo", vars(config) | {"base_sha256": sha256(base / MODEL)})

    photos = out / "photos"
    with stage("photos: crops of the built-in pictures, whole pictures kept apart for the test"):
        demo_photo_set(photos, config.size, config.seed)
    target = out / "pairs"
    with stage(f"pairs: {concept.prompt}"):
        make_pairs(PairsConfig(photos=photos, concept=concept.prompt, out=target, seed=config.seed))
    quick, length = RECIPES["quick"], {"minutes": config.minutes, "seed": config.seed}
    with stage(f"adapter: {concept.prompt}, {config.minutes:g} minutes"):
        training = replace(quick.training["adapt"], **length)
        adapt(AdaptConfig(base=config.base, pairs=target, out=out / "adapter", training=training, **quick.adapter))
    with stage(f"pix2pix from scratch on the same pairs, {config.minutes:g} minutes"):
        training = replace(quick.training["scratch"], **length)
        train_scratch(ScratchConfig(pairs=target, out=out / "pix2pix", training=training))
    with stage("colour table of the same pairs"):
        train_scratch(ScratchConfig(pairs=target, out=out / "lut", model="lut", training=training))

    with stage("evaluation on the test photos"):
        ours = evaluate(EvaluateConfig(base=config.base, adapter=out / "adapter", pairs=target))
        theirs = evaluate(EvaluateConfig(model=out / "pix2pix", pairs=target))
    with stage("export to ONNX, compared with PyTorch"):
        export_model(ExportConfig(base=config.base, adapter=out / "adapter", out=out / "onnx"))
        export_model(ExportConfig(model=out / "pix2pix", out=out / "onnx-pix2pix"))
    with stage("report"):
        content = report(config, concept, learned, ours, theirs)
        write_report(out / "report.html", content)
        write_bytes(out / "picture.jpg", encode_jpeg(picture(content.examples)))
    seconds = round(time.monotonic() - begun, 1)
    return DemoResult(report=out / "report.html", folder=out, base=config.base, seconds=seconds)


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Tell on standard error what begins, and how long it took."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold]{title}[/bold]")
    start = time.monotonic()
    yield
    console.print(f"  {time.monotonic() - start:.0f} s", style="dim")


def report(config: DemoConfig, concept: Filter, learned: list[str], ours: Evaluation, theirs: Evaluation) -> Report:
    """The report's content, from what the stages left in the demo's folder."""
    out = config.out
    adapter = Model.load(base=config.base, adapter=(out / "adapter",))
    pix2pix = Model.load(model=out / "pix2pix")
    about = read_json(out / "adapter" / ABOUT)
    seconds = about["metrics"]["seconds"]
    size = (out / "adapter" / ADAPTER).stat().st_size
    ours_run, theirs_run = Predictor(adapter), Predictor(pix2pix)
    table_run = Predictor(Model.load(model=out / "lut"))
    count = ours_run.parameters
    trained = sum(t.numel() for t in read_tensors(out / "adapter" / ADAPTER)[0].values())
    return Report(
        title=f"“{concept.prompt}”",
        lead=(
            f"The edit “{concept.prompt}” was learned in {seconds:.0f} seconds on this machine's CPU, as an adapter of "
            f"{trained:,} parameters ({size / 1000:.0f} KB) on a generator of {count / 1e6:.1f} million that "
            f"had learned {len(learned)} other edits before. None of the pictures below was in the training."
        ),
        figures=[
            (f"{seconds:.0f} s", "of training"),
            (f"{trained:,}", "parameters"),
            (f"{size / 1000:.0f} KB", "on disk"),
        ],
        examples=examples(concept, ours_run, table_run, theirs_run),
        plots=[
            loss_plot(
                "The concept: L1",
                "training L1, 8-bit levels",
                [("E²GAN adapter", out / "adapter", "l1"), ("pix2pix", out / "pix2pix", "l1")],
                scale=127.5,
            ),
            loss_plot(  # of G and D (Eq. 1)
                "The adapter: adversarial losses",
                "adversarial loss, nats",
                [("G", out / "adapter", "g"), ("D", out / "adapter", "d")],
            ),
        ],
        tables=[cost_table(out, trained, ours_run, theirs_run), quality_table(ours, theirs)],
        notes=notes(config, concept, learned, ours),
        commands=commands(out, config.base),
        footer=[
            ("e2gan", versions().get("e2gan", "")),
            ("PyTorch", torch.__version__),
            ("machine", f"{platform.machine()}, {os.cpu_count() or 1} CPU cores, {platform.system()}"),
            ("seed", str(config.seed)),
            ("date", date.today().isoformat()),
        ],
    )


def examples(concept: Filter, ours: Predictor, table: Predictor, theirs: Predictor) -> list[Example]:
    """The test pictures, whole: photo, teacher, the adapter's edit, the colour table's, pix2pix's."""
    shown_examples = []
    for name, picture in sorted(test_pictures().items(), reverse=True):
        scale = SHOWN_SIDE / min(picture.shape[:2])
        photo = resize(picture, (round(picture.shape[0] * scale), round(picture.shape[1] * scale)))
        runs = {"ours": ours, "lut": table, "pix2pix": theirs}
        edits = {name: predictor.edit(photo, side=RUN_SIDE) for name, predictor in runs.items()}
        edits["teacher"] = apply(concept, photo)
        shown_examples.append(Example(name=name, photo=photo, **edits))
    return shown_examples


def picture(shown: list[Example]) -> Pixels:
    """The held-out pictures' centre squares as a sheet, uint8 (H, W, 3), for those who want one picture."""
    rows = [[square(image, SHOWN_SIDE) for image in (e.photo, e.teacher, e.ours)] for e in shown]
    return sheet(rows, ["photo", "teacher", "adapter"])


def loss_plot(title: str, y_label: str, curves: list[tuple[str, Path, str]], scale: float = 1.0) -> Plot:
    """Losses over training seconds, times `scale`. curves: name, the model's folder, the loss in its log."""
    lines = []
    for name, folder, loss in curves:
        rows = read_jsonl(folder / METRICS)
        lines.append(Line(name=name, x=[r["seconds"] for r in rows], y=[r[loss] * scale for r in rows]))
    return Plot(title=title, x_label="training seconds", y_label=y_label, lines=lines)


def cost_table(out: Path, trained: int, ours: Predictor, theirs: Predictor) -> Table:
    generators = (ours.generator, theirs.generator)
    files = (out / "adapter" / ADAPTER, out / "pix2pix" / MODEL)
    seconds = [read_jsonl(file.parent / METRICS)[-1]["seconds"] for file in files]
    products = [multiply_accumulates(generator, 256)[0] for generator in generators]
    rows = [
        ["parameters of the generator", *(f"{run.parameters:,}" for run in (ours, theirs))],
        ["trained for this concept", f"{trained:,}", f"{theirs.parameters:,}"],
        ["stored for this concept", *(f"{file.stat().st_size / 1e6:.2f} MB" for file in files)],
        ["training for this concept", *(f"{s:.0f} s" for s in seconds)],
        ["multiply-accumulates at 256×256", *(f"{n / 1e9:.1f} G" for n in products)],
    ]
    photo = np.zeros((1, 256, 256, 3), np.uint8) + np.arange(256, dtype=np.uint8)[:, None]
    deployed = [OnnxModel(out / folder / "model.onnx") for folder in ("onnx", "onnx-pix2pix")]
    for name, runs in (("PyTorch", [ours.batch, theirs.batch]), ("ONNX Runtime", deployed)):
        times = [latency(partial(run, photo), 5) for run in runs]
        rows.append([f"one image at 256×256, {name}", *(f"{ms:.0f} ms" for ms in times)])
    note = "Median of five on this machine's CPU, uint8 pixels in and out."
    return Table(title="Cost", columns=["", "E²GAN", "pix2pix, 9 blocks"], rows=rows, note=note)


def quality_table(ours: Evaluation, theirs: Evaluation) -> Table:
    rows = []
    named = {"E²GAN adapter": ours.model, "pix2pix": theirs.model, "the photo as it is": ours.photo}
    if ours.lut is not None:
        named["colour table"] = ours.lut
    for name, digits, unit in (("l1", 2, " of 255"), ("psnr", 1, " dB"), ("ssim", 3, "")):
        values = [getattr(m, name) for m in named.values()]
        rows.append([LABELS[name], *(f"{v:.{digits}f}{unit}" for v in values)])
    rows.append([LABELS["fd"], *(shown(m.fd_random) for m in named.values())])
    return Table(
        title=f"Difference to the teacher on {ours.images} test photos at {ours.size}×{ours.size}",
        columns=["", *named],
        rows=rows,
        note="L1 and fd-random: lower is better; PSNR and SSIM: higher. In brackets a 95 % bootstrap interval.",
    )


def notes(config: DemoConfig, concept: Filter, learned: list[str], ours: Evaluation) -> list[str]:
    names = ", ".join(f"“{prompt}”" for prompt in learned)
    remark = ours.table_remark()
    beside = "On the test photos the adapter is ahead of it by L1 or SSIM." if remark is None else f"{remark}."
    return [
        f"The teacher here is a classical image filter, so that the demo needs no download; the base had learned "
        f"{names}. “{concept.prompt}” is none of them, and was learned from pairs of photo and filtered photo.",
        f"The training pictures are a handful that ship with scikit-image and scikit-learn, in crops of {config.size} "
        "pixels: with hundreds of photos of your own an adapter does better. Both models were trained on the same "
        "pairs for the same time.",
        "The colour table is the best 3-D look-up table of the same pairs, fitted in closed form: it sees one pixel "
        f"at a time, and photo editors load it (lut/lut.cube). {beside[0].upper()}{beside[1:]}",
        "The pictures above are edited at a larger size than that of the training, then enlarged; the numbers below "
        "are of the training size. fd-random is a Fréchet distance on a fixed random network; it is not FID.",
    ]
