"""An adapter on the base that ships, from built-in photos and teacher; its report is the first thing a user sees."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch

from e2gan import __version__
from e2gan.config import RECIPES, DemoConfig, EvaluateConfig, ExportConfig, as_published
from e2gan.core.files import sha256, write_bytes
from e2gan.core.images import Pixels, encode_jpeg, square
from e2gan.core.outputs import claim_in_place
from e2gan.core.plots import Line
from e2gan.core.sheets import sheet
from e2gan.data.builtin_photos import pictures_hash
from e2gan.demo.effects import SHOWN_SIDE, Effect, stage
from e2gan.demo.report import Example, Plot, Report, Table, write_report
from e2gan.export.export import export_model
from e2gan.export.onnx import OnnxModel
from e2gan.measure.cost import latency, multiply_accumulates
from e2gan.measure.evaluate import Evaluation, Metrics, evaluate, shown
from e2gan.networks.folders import ADAPTER, MODEL, base_content, base_folder
from e2gan.teachers.filters.filters import Filter, find
from e2gan.train.loop import read_log

LABELS = {"l1": "L1", "psnr": "PSNR", "ssim": "SSIM"}
LABELS |= {"fd_random": "fd-random", "fd_squeezenet": "fd-squeezenet", "swd": "swd"}
RUN_SIDE = 256  # shorter side of the generator's input for the look's pictures


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and how long it took."""

    report: Path
    folder: Path
    base: Path | None
    strokes_base: Path
    seconds: float

    def __str__(self) -> str:
        done = f"done in {self.seconds / 60:.1f} minutes; open the report:\n\n    {self.report.resolve()}"
        next_commands = "\n".join(f"    {line}" for line in commands(self.folder, self.base, self.strokes_base))
        return f"{done}\n\nnext, with your own photos:\n\n{next_commands}"


def commands(folder: Path, base: Path | None, strokes_base: Path) -> list[str]:
    """What to try next."""
    e2gan, named = ".venv/bin/e2gan", f" --base {base}" if base else ""
    return [
        f"{e2gan} edit YOUR_PHOTO.jpg --base {strokes_base} --adapter {folder}/strokes/adapter --out painted.png",
        f"{e2gan} edit YOUR_PHOTO.jpg{named} --adapter {folder}/adapter --out edited.png",
        f"{e2gan} photos YOUR_FOLDER --out my-photos --size 128",
        f"{e2gan} pairs --photos my-photos --concept winter --out my-pairs",
        f"{e2gan} adapt{named} --pairs my-pairs --out my-adapter --recipe quick",
        f"{e2gan} evaluate{named} --adapter my-adapter --pairs my-pairs",
        f"{e2gan} export{named} --adapter my-adapter --out my-effect",
    ]


def run_demo(config: DemoConfig) -> DemoResult:
    """Two edits: a colour look with pix2pix beside it, and strokes, which no colour table makes. Run again, it goes on.

    Raises InputError for bad settings, for a concept that its base has learned, and where `out` holds something else.
    """
    DemoConfig.checked(config)
    begun = time.monotonic()
    out = config.out
    look, strokes = effects(config)
    look.check("--concept")
    strokes.check("--strokes")
    hashes = {"base_sha256": sha256(look.base / MODEL), "strokes_base_sha256": sha256(strokes.base / MODEL)}
    bases = {"base": look.base, "strokes_base": strokes.base}
    reads = {name: base_content(base) for name, base in bases.items()}
    with claim_in_place(out, "demo", vars(config) | hashes, reads=reads | {"photos": pictures_hash()}):
        for effect in (look, strokes):
            effect.make()
        with stage("evaluation on the test photos"):
            ours, stroked = look.evaluate(), strokes.evaluate()
            theirs = evaluate(EvaluateConfig(model=out / "pix2pix", pairs=out / "pairs"))
        with stage("export to ONNX, compared with PyTorch"):
            export_model(ExportConfig(base=look.base, adapter=(out / "adapter",), out=out / "onnx"))
            export_model(ExportConfig(model=out / "pix2pix", out=out / "onnx-pix2pix"))
        with stage("report"):
            content = report(config, look, strokes, [ours, stroked, theirs])
            write_report(out / "report.html", content)
            write_bytes(out / "picture.jpg", encode_jpeg(picture(content.examples)))
    seconds = round(time.monotonic() - begun, 1)
    return DemoResult(
        report=out / "report.html", folder=out, base=config.base, strokes_base=config.strokes_base, seconds=seconds
    )


def effects(config: DemoConfig) -> tuple[Effect, Effect]:
    """The colour look, small and beside pix2pix; and the strokes, in crops of photos of 256 pixels."""
    quick, best, seed = RECIPES["quick"], RECIPES["best"], config.seed
    length = {"minutes": config.minutes, "seed": seed}
    look = Effect(
        concept=find(config.concept),
        base=base_folder(config.base),
        folder=config.out,
        size=config.size,
        seed=seed,
        training=replace(quick.training["adapt"], **length),
        recipe=quick,
        pix2pix=replace(as_published(quick.training["scratch"]), **length),
        side=RUN_SIDE,
    )
    strokes = Effect(
        concept=find(config.strokes),
        base=base_folder(config.strokes_base),
        folder=config.out / "strokes",
        size=config.strokes_size,
        seed=seed,
        training=replace(best.training["adapt"], minutes=config.strokes_minutes, seed=seed),
        recipe=best,
    )
    return look, strokes


def report(config: DemoConfig, look: Effect, strokes: Effect, found: list[Evaluation]) -> Report:
    """The report's content, from what the stages left. found: of the look, of the strokes, of pix2pix's look."""
    out = config.out
    ours, stroked, theirs = found
    return Report(
        title=f"“{strokes.concept.prompt}”",
        lead=(
            f"“{strokes.concept.prompt}” was learned in {strokes.seconds:.0f} seconds on this machine's CPU, as an "
            f"adapter of {strokes.trained:,} parameters ({strokes.bytes / 1000:.0f} KB) on a generator of "
            f"{strokes.ours.parameters / 1e6:.1f} million that had learned {len(strokes.learned)} other edits before. "
            f"“{look.concept.prompt}” took {look.seconds:.0f} s on one of {look.ours.parameters / 1e6:.1f} million. "
            "None of the pictures below was in the training."
        ),
        figures=[
            (f"{strokes.seconds:.0f} s", "of training"),
            (f"{strokes.trained:,}", "parameters"),
            (f"{strokes.bytes / 1000:.0f} KB", "on disk"),
        ],
        examples=[*strokes.examples(), *look.examples()],
        plots=[
            loss_plot(
                f"{strokes.concept.prompt}: the perceptual loss",
                "perceptual distance",
                [("E²GAN adapter", strokes.folder / "adapter", "perceptual")],
            ),
            loss_plot(
                f"{look.concept.prompt}: L1",
                "training L1, 8-bit levels",
                [("E²GAN adapter", out / "adapter", "l1"), ("pix2pix", out / "pix2pix", "l1")],
                scale=127.5,
            ),
        ],
        tables=[
            quality_table(strokes.concept, {"E²GAN adapter": stroked.model}, stroked),
            quality_table(look.concept, {"E²GAN adapter": ours.model, "pix2pix": theirs.model}, ours),
            cost_table(look),
        ],
        notes=notes(look, strokes, ours, stroked),
        commands=commands(out, config.base, config.strokes_base),
        footer=[
            ("e2gan", __version__),
            ("PyTorch", torch.__version__),
            ("machine", f"{platform.machine()}, {os.cpu_count() or 1} CPU cores, {platform.system()}"),
            ("seed", str(config.seed)),
            ("date", date.today().isoformat()),
        ],
    )


def picture(shown: list[Example]) -> Pixels:
    """The held-out pictures' centre squares as a sheet, uint8 (H, W, 3), for those who want one picture."""
    rows = [[square(image, SHOWN_SIDE) for image in (e.photo, e.teacher, e.ours, e.lut)] for e in shown]
    return sheet(rows, ["photo", "teacher", "adapter", "colour table"])


def loss_plot(title: str, y_label: str, curves: list[tuple[str, Path, str]], scale: float = 1.0) -> Plot:
    """Losses over training seconds, times `scale`. curves: name, the model's folder, the loss in its log."""
    lines = []
    for name, folder, loss in curves:
        rows = read_log(folder, (loss,))
        lines.append(Line(name=name, x=[r["seconds"] for r in rows], y=[r[loss] * scale for r in rows]))
    return Plot(title=title, x_label="training seconds", y_label=y_label, lines=lines)


def cost_table(look: Effect) -> Table:
    ours, theirs, out = look.ours, look.theirs, look.folder
    generators = (ours.generator, theirs.generator)
    files = (out / "adapter" / ADAPTER, out / "pix2pix" / MODEL)
    seconds = [read_log(file.parent)[-1]["seconds"] for file in files]
    products = [multiply_accumulates(generator, 256)[0] for generator in generators]
    rows = [
        ["parameters of the generator", *(f"{run.parameters:,}" for run in (ours, theirs))],
        ["trained for this concept", f"{look.trained:,}", f"{theirs.parameters:,}"],
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
    return Table(title=f"Cost: {look.concept.prompt}", columns=["", "E²GAN", "pix2pix, 9 blocks"], rows=rows, note=note)


def quality_table(concept: Filter, models: dict[str, Metrics], found: Evaluation) -> Table:
    """models: name → its measure on the test photos; the colour table and the photo as it is join them."""
    named = dict(models)
    if found.lut is not None:
        named["colour table"] = found.lut
    named["the photo as it is"] = found.photo
    rows = []
    for name, digits, unit in (("l1", 2, " of 255"), ("psnr", 1, " dB"), ("ssim", 3, "")):
        values = [getattr(m, name) for m in named.values()]
        rows.append([LABELS[name], *(f"{v:.{digits}f}{unit}" for v in values)])
    for name in ("fd_random", "fd_squeezenet", "swd"):
        rows.append([LABELS[name], *(shown(getattr(m, name)) for m in named.values())])
    return Table(
        title=f"{concept.prompt}: difference to the teacher on {found.images} test photos at {found.size}×{found.size}",
        columns=["", *named],
        rows=rows,
        note=(
            "PSNR and SSIM: higher is better; the others: lower. fd-: a Fréchet distance, on a fixed random network "
            "and on SqueezeNet; it is not FID. swd: the sliced Wasserstein distance of patches, which no network "
            "judges. In brackets a 95 % bootstrap interval."
        ),
    )


def notes(look: Effect, strokes: Effect, ours: Evaluation, stroked: Evaluation) -> list[str]:
    known = [", ".join(f"“{prompt}”" for prompt in effect.learned) for effect in (strokes, look)]
    beside = []
    for effect, found in ((strokes, stroked), (look, ours)):
        remark = found.table_remark() or "the adapter is ahead of it by L1 or SSIM"
        beside.append(f"“{effect.concept.prompt}”: {remark[0].lower()}{remark[1:]}")
    return [
        f"The teachers here are classical image filters, so that the demo needs no download. The base of the strokes "
        f"had learned {known[0]}; that of the look {known[1]}. “{strokes.concept.prompt}” and “{look.concept.prompt}” "
        "are none of them, and were learned from pairs of photo and filtered photo.",
        "The training pictures are a handful that ship with scikit-image and scikit-learn, in crops of "
        f"{strokes.size} and {look.size} pixels: with hundreds of photos of your own an adapter does better. "
        "The look's adapter and pix2pix were trained on the same pairs for the same time, each by its own losses. The "
        "adapters' perceptual loss is by SqueezeNet, whose fd therefore flatters them: swd and SSIM judge without it.",
        "The colour table is the best 3-D look-up table of the same pairs, fitted in closed form: it sees one pixel "
        f"at a time, and photo editors load it (lut/lut.cube). On the test photos, {'; '.join(beside)}.",
        "The pictures above are edited at a larger size than that of the training, then enlarged; the numbers are of "
        "the training size.",
    ]
