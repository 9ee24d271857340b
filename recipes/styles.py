"""Neural styles as concepts: a program `stylize.py STYLE IN OUT` and its networks, `fast-style/STYLE.safetensors`.

They are applied to photographs of a larger side and reduced, since their brush strokes are as coarse as their networks
make them, whatever the side.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from e2gan import PairsConfig, PairSet, PhotoSet, make_pairs
from e2gan.config import TeachConfig
from e2gan.config.checks import need
from e2gan.core.files import sha256, write_jsonl
from e2gan.core.images import read_image, resize, write_png
from e2gan.core.outputs import writing
from e2gan.core.progress import track
from e2gan.data.pair_set import ROWS, note_side

PROGRAM, NETWORKS = "stylize.py", "fast-style"
BATCH = 512  # photos each time that the program starts, which loads its network anew


def style_prompts(folder: Path) -> dict[str, str]:
    """Name → prompt of each style in a folder. Raises InputError where it holds none."""
    need((folder / PROGRAM).is_file(), f"--styles {folder}: has no {PROGRAM}")
    names = sorted(path.stem for path in (folder / NETWORKS).glob("*.safetensors"))
    need(bool(names), f"--styles {folder}: has no networks in {NETWORKS}")
    return {name: f"in the style of {name.replace('_', ' ').title()}" for name in names}


def style_command(folder: Path, name: str) -> str:
    """The command that applies a style to a folder of photos, for a `command:` teacher."""
    return shlex.join([sys.executable, str(folder / PROGRAM), name]) + " {input} {output}"


def style_pairs(
    folder: Path, name: str, large_photos: Path, photos: Path, large_out: Path, out: Path, selection: Path | None = None
) -> None:
    """A pair set of a style at `out`: applied to `large_photos`, reduced to the size of `photos`.

    Both photo sets hold the same photographs under the same ids. Raises InputError as `make_pairs` does.
    """
    config = PairsConfig(
        photos=large_photos,
        selection=selection,
        concept=style_prompts(folder)[name],
        teacher=(f"command:{style_command(folder, name)}",),
        # These networks move nothing, and no brush stroke should be taken for a shift.
        teach=TeachConfig(align=False, max_residual=float(PhotoSet.load(large_photos).size), batch=BATCH),
        out=large_out,
    )
    make_pairs(config)
    reduce_pairs(PairSet.load(large_out), photos, out)


def reduce_pairs(large: PairSet, photos: Path, out: Path) -> None:
    """The same edits at the size of another photo set of the same photographs."""
    size = PhotoSet.load(photos).size
    settings = {
        "concept": large.prompt,
        "teacher": large.teacher,
        "photos": os.path.relpath(photos.resolve(), out.resolve()),
        "size": size,
        "reduced_from": [large.size, sha256(large.folder / ROWS)],
    }
    with writing(out, "pairs", settings, reads={"pairs": large.content()}) as folder:
        if folder is None:
            return
        note_side(folder, large.sided)
        (folder / "images").mkdir()
        for row in track(large.rows, f"edits at {size}"):
            write_png(folder / row["file_name"], resize(read_image(large.folder / row["file_name"]), (size, size)))
        write_jsonl(folder / ROWS, large.rows)
