"""Each command of the program at its smallest, and what it reads: all made here, the same each time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.editing.clips import moving, write_clip

TINY = "--width 8 --blocks 1 --transformers 1 --heads 2 --text-width 16"
BRIEF = "--steps 30 --batch 4 --precision fp32 --save-every 0"
SCORED = "--metric l1 --steps 10 --batch 4 --precision fp32"
TABLE = "--keep 5 --epochs 1 --baseline-epochs 1 --base-epochs 1 --metric l1 --batch 4 --precision fp32 --text hashed"
TABLE += " --embedding gradient-colour --width 8 --blocks 3 --transformers 2 --heads 2 --text-width 16"

TEACHER = """
import sys
from pathlib import Path
from PIL import Image, ImageOps
source, target, log = map(Path, sys.argv[1:4])
for path in sorted(source.iterdir()):
    with log.open("a") as file:  # what it names in its own command, and writes
        print(path.name, file=file)
    ImageOps.posterize(Image.open(path).convert("RGB"), 2).save(target / path.name)
"""


@dataclass(frozen=True)
class Run:
    """A command of the program. needs: the folders and files that lie where it runs. exact: whether the same bytes come
    of it each time, or only the same names, since it is told how long to work and not how much."""

    arguments: str
    needs: tuple[str, ...] = ()
    exact: bool = True
    status: int = 0

    @property
    def command(self) -> str:
        return self.arguments.split()[0]

    def words(self) -> list[str]:
        return [word.replace("@PYTHON", sys.executable).replace("~", " ") for word in self.arguments.split()]


TRAINS = ("set", "sepia", "base")
TEACHES = "command:@PYTHON~teacher.py~{input}~{output}~teacher.log"
MAKES_SET = f"reproduce faces --photos camera --limit 12 --size 32 --base-concepts base.toml {TABLE} --out out "
MAKES_SET += "--evaluation-concepts evaluation.toml --clip none --keep-concepts 2"

RUNS: dict[str, Run] = {
    "demo": Run(
        "demo --out out --size 32 --minutes 0.01 --concept autumn --base base --strokes brush --strokes-base base "
        "--strokes-size 32 --strokes-minutes 0.01",
        ("base",),
        exact=False,
    ),
    "photos": Run("photos camera --out out --size 64", ("camera",)),
    "select": Run("select --photos set --keep 8 --embedding gradient-colour --out out/picked.json", ("set",)),
    "pairs, a filter": Run("pairs --photos set --concept autumn --out out", ("set",)),
    "pairs, a filter in processes": Run("pairs --photos many --concept autumn --out out", ("many",)),
    "pairs, a program": Run(
        f"pairs --photos set --concept poster --out out --teacher {TEACHES}", ("set", "teacher.py", "teacher.log")
    ),
    "pairs, a list": Run("pairs --photos set --concepts two.toml --out out", ("set", "two.toml")),
    "pairs, before and after": Run(
        "pairs --before camera --after edits --concept negative --size 64 --out out", ("camera", "edits")
    ),
    "pairs, unpaired": Run(
        "pairs --before camera --after edits --unpaired --concept negative --size 64 --out out", ("camera", "edits")
    ),
    "choose": Run("choose taught --reject structure<0.2", ("set", "taught")),
    "concepts": Run(
        "concepts --pairs sepia dusk --keep 1 --embedding gradient-colour --out out/kept.json", ("set", "sepia", "dusk")
    ),
    "base": Run(f"base --pairs sepia dusk --out out {TINY} {BRIEF}", ("set", "sepia", "dusk")),
    "adapt": Run(f"adapt --pairs sepia --base base --out out {BRIEF}", TRAINS),
    "scratch": Run(f"scratch --pairs sepia --model e2gan --out out {TINY} {BRIEF}", ("set", "sepia")),
    "scratch, a table": Run("scratch --pairs sepia --model lut --out out", ("set", "sepia")),
    "ranks": Run(f"ranks --pairs sepia --base base --out out/ranks.json --level3 2 --level4 2 {SCORED}", TRAINS),
    "crucial": Run(f"crucial --pairs sepia --base base --out out {SCORED}", TRAINS),
    "evaluate": Run("evaluate --pairs sepia --base base --adapter adapter", (*TRAINS, "adapter")),
    "nearest": Run(
        "nearest --pairs sepia --base base --adapters adapter --no-shipped --index out/nearest.jsonl "
        "--out out/nearest.json --device cpu",
        (*TRAINS, "adapter"),
    ),
    "table": Run(
        f"table 5 --pairs dusk --base-pairs sepia autumn --out out {TABLE}", ("set", "sepia", "dusk", "autumn")
    ),
    "reproduce": Run(f"{MAKES_SET} --teacher {TEACHES}", ("camera", "base.toml", "evaluation.toml", "teacher.py")),
    "cost": Run(f"cost {TINY.replace('--blocks 1 --transformers 1', '')} --size 32 --repeat 20"),
    "plan": Run(f"plan {TINY.replace('--blocks 1 --transformers 1', '')} --size 32 --price-per-hour 2"),
    "export": Run("export --base base --adapter adapter --out out", ("base", "adapter")),
    "export, all": Run("export --base base --adapter adapter --format all --out out", ("base", "adapter")),
    "edit, a photo": Run(
        "edit camera/00.jpg --base base --adapter adapter --out edited.png", ("camera", "base", "adapter")
    ),
    "edit, a folder": Run("edit camera --base base --adapter adapter --out out", ("camera", "base", "adapter")),
    "edit, a clip": Run(
        "edit clip.mp4 --base base --adapter adapter --out edited.mp4", ("clip.mp4", "base", "adapter")
    ),
    "verify": Run("verify adapter --device cpu", (*TRAINS, "adapter")),
}

NOT_KILLED = {
    "app": "has nothing to go on from; tests/app/test_app.py stops it at rest and in the midst of edits",
    "sweep": "needs Ray; tests/sweeps/test_sweep.py kills its tasks, its machines and itself",
    "push": "writes nothing on this disk, and one commit on the hub, which is whole or not there",
}
LONG = ("export, all", "reproduce", "demo")  # a minute each

Program = Callable[[Sequence[str], Path], None]


def picture(number: int, side: int = 96) -> Image.Image:
    """Smooth colours with a few edges, no two alike."""
    rng = np.random.default_rng(number)
    ground = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.array(ground)
    for _ in range(4):
        top, left = rng.integers(0, side - 24, 2)
        pixels[top : top + 16, left : left + 20] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def make_inputs(home: Path, program: Program) -> None:
    """All that the runs need, in `home`; `program` runs the program with arguments in a folder."""
    for folder in ("camera", "edits", "crowd"):
        (home / folder).mkdir(parents=True)
    for i in range(40):
        made = picture(i)
        made.save(home / "camera" / f"{i:02}.jpg", quality=92)
        Image.fromarray(255 - np.asarray(made)).save(home / "edits" / f"{i:02}.png")
    for i in range(120):
        picture(1000 + i, 64).save(home / "crowd" / f"{i:03}.png")
    write_clip(home / "clip.mp4", moving(200), sound="aac")
    (home / "teacher.py").write_text(TEACHER)
    (home / "teacher.log").write_text("")
    for name, prompts in (("base", ("sepia", "fog", "night")), ("evaluation", ("dusk",)), ("two", ("sepia", "fog"))):
        concepts = (f'[[concept]]\nname = "{prompt}"\nprompt = "{prompt}"\n' for prompt in prompts)
        (home / f"{name}.toml").write_text("".join(concepts))
    for line in (
        "photos camera --out set --size 32",
        "photos crowd --out many --size 32",
        "pairs --photos set --concept sepia --out sepia",
        "pairs --photos set --concept dusk --out dusk",
        "pairs --photos set --concept autumn --out autumn",
        f"pairs --photos set --concept poster --out taught --teacher {TEACHES}",
        f"base --pairs sepia dusk --out base {TINY} --steps 12 --batch 4 --precision fp32",
        "adapt --pairs sepia --base base --out adapter --steps 12 --batch 4 --precision fp32",
    ):
        program(Run(line).words(), home)


def lay_out(home: Path, run: Run, folder: Path) -> None:
    """A new folder with what the run needs. Files are only ever replaced, so that links are as good; but for a log."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in run.needs:
        source, target = home / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
