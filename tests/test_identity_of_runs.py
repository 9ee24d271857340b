"""Every command that finds its work done: other bytes in any file that it reads, of equal name and time, are noticed.

A new command has to join `RUNS` or `ALWAYS_ANEW`, or the first test fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.cli import COMMANDS, main
from e2gan.core import tensors
from e2gan.data.photos import PhotoSet
from tests.conftest import Project

TRAINING = "--steps 2 --batch 2 --precision fp32 --device cpu"
NET = "--width 8 --blocks 1 --transformers 1 --heads 2 --text-width 16"
TRAINED = "a training photo"
PICTURES = ["sepia/images/*.png", "photos/images/*.png"]
WEIGHTS = ["base/model.safetensors", "base/discriminator.safetensors", "base/config.json"]
ADAPTER = [
    f"adapter/{name}"
    for name in ("adapter_model.safetensors", "concept.safetensors", "adapter_config.json", "e2gan.json")
]
# Command, what else tells two of its ways apart → its arguments, and one file of each kind that it reads.
RUNS: dict[str, tuple[str, list[str]]] = {
    "photos": ("camera --size 32 --out out", ["camera/*.bmp"]),
    "select": ("--photos photos --keep 4 --device cpu --out out.json", [TRAINED]),
    "select of pairs": ("--photos photos --pairs sepia --keep 4 --device cpu --out out.json", [TRAINED]),
    "pairs by a filter": ("--photos photos --concept dusk --out out", PICTURES[1:]),
    "pairs by a program": (
        f"--photos photos --concept x --teacher command:{sys.executable}=teach.py={{photo}}={{edit}} --out out",
        [*PICTURES[1:], "teach.py"],
    ),
    "pairs by a program with weights": (
        f"--photos photos --concept x --teacher command:{sys.executable}=teach.py={{photo}}={{edit}}=weights --out out",
        [*PICTURES[1:], "teach.py", "weights/*"],
    ),
    "pairs in two folders": ("--before camera --after after --concept x --size 32 --out out", ["camera/*", "after/*"]),
    "pairs side by side": ("--aligned aligned --concept x --size 32 --out out", ["aligned/*.bmp"]),
    "pairs of two kinds": (
        "--before camera --after after --unpaired --concept x --size 32 --out out",
        ["camera/*.bmp", "after/*.bmp"],
    ),
    "pairs unaligned": (
        "--unaligned domains --concept x --size 32 --out out",
        ["domains/trainA/*", "domains/trainB/*"],
    ),
    "concepts": ("--pairs sepia dusk --keep 1 --samples 4 --device cpu --out out.json", PICTURES[:1]),
    "base": (f"--pairs sepia dusk {NET} {TRAINING} --out out", [*PICTURES, "dusk/images/*.png"]),
    "base from another": (f"--pairs sepia dusk --start base {TRAINING} --out out", WEIGHTS),
    "adapt": (f"--base base --pairs sepia {TRAINING} --out out", [*PICTURES, *WEIGHTS]),
    "adapt from another": (f"--base base --pairs sepia --start adapter {TRAINING} --out out", [ADAPTER[0], ADAPTER[2]]),
    "scratch": (f"--model e2gan --pairs sepia {NET} {TRAINING} --out out", PICTURES),
    "scratch lut": (f"--model lut --pairs sepia {TRAINING} --out out", PICTURES),
    "ranks": (
        f"--base base --pairs sepia --metric l1 --level3 1 --level4 1 --level2 1 --level1 1 {TRAINING} --out out.json",
        [*PICTURES, *WEIGHTS],
    ),
    "crucial": (f"--base base --pairs sepia --metric l1 {TRAINING} --out out", [*PICTURES, *WEIGHTS]),
    "table": (
        f"5 --base base --pairs sepia --keep 4 --embedding gradient-colour --metric l1 {TRAINING} --out out",
        [*PICTURES, *WEIGHTS],
    ),
    "export": (
        "--base base --adapter adapter --size 32 --photos camera --out out",
        ["camera/*.bmp", WEIGHTS[0], WEIGHTS[2], *ADAPTER],
    ),
    "edit": (
        "camera --base base --adapter adapter --device cpu --out out",
        ["camera/*.bmp", WEIGHTS[0], WEIGHTS[2], *ADAPTER],
    ),
    "edit by a model": (
        "camera --model model --device cpu --out out",
        ["model/model.safetensors", "model/config.json", "camera/*.bmp"],
    ),
}
# What a run opens of a set and need not hash: its settings hold the size, the rows' hash and the ids beside the bytes.
HELD = ("config.json", "metadata.jsonl", "photos.jsonl")
ALWAYS_ANEW = {
    "choose": "chooses again each time, and compares the images by their bytes",
    "evaluate": "measures each time",
    "verify": "hashes and measures each time",
    "cost": "counts each time",
    "nearest": "measures each time; its index goes by the adapters' bytes: tests/measure/test_nearest.py",
    "plan": "computes each time",
    "push": "uploads what the hub has not",
    "app": "serves, and looks at its folder again each time that it is asked",
    "demo": "reads built-in pictures and shipped bases alone",
    "reproduce": "is made of the other commands",
    "sweep": "looks at what its place holds each time: tests/sweeps/test_plan.py tries its identities",
}


def test_each_command_is_tried_or_has_nothing_to_find_done() -> None:
    assert {name.split()[0] for name in RUNS} | ALWAYS_ANEW.keys() == COMMANDS.keys()


@pytest.fixture(scope="module")
def root(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity") / "root"
    shutil.copytree(project.photos.parent, folder, ignore=shutil.ignore_patterns("camera"))
    for name in ("camera", "after", "aligned", "domains/trainA", "domains/trainB", "domains/testA", "domains/testB"):
        (folder / name).mkdir(parents=True)
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (48, 96, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"aligned/{i}.bmp")
        for name, pixels in (("camera", noise[:, :48]), ("after", noise[:, 48:])):
            Image.fromarray(pixels).save(folder / name / f"{i}.bmp")
            kind = "AB"[name == "after"]
            for split in ("train", "test"):
                Image.fromarray(pixels[::-1] if split == "test" else pixels).save(
                    folder / f"domains/{split}{kind}/{i}.bmp"
                )
    program = "import sys; from PIL import Image, ImageOps\n"
    program += "ImageOps.posterize(Image.open(sys.argv[1]).convert('RGB'), 3).save(sys.argv[2])\n"
    (folder / "teach.py").write_text(program)
    (folder / "weights").mkdir()
    (folder / "weights/model.dat").write_bytes(b"some weights")
    return folder


def training_photo(root: Path) -> Path:
    photo_set = PhotoSet.load(root / "photos")
    return root / "photos" / photo_set.split("train")[0].file


@contextmanager
def altered(path: Path) -> Iterator[None]:
    """Other contents under the same name and time, and of the same size where the format has one for all pictures."""
    before, state = path.read_bytes(), path.stat()
    if path.suffix in (".bmp", ".png"):
        pixels = np.asarray(Image.open(path))
        Image.fromarray(255 - pixels).save(path)
    elif path.name == "config.json":  # its settings count, not what else it tells
        config = json.loads(before)
        generator = config["settings"]["generator"]
        generator["activation"] = "leaky" if generator.get("activation", "relu") == "relu" else "relu"
        path.write_text(json.dumps(config))
    elif path.suffix == ".json":
        path.write_bytes(before.rstrip() + b" \n")  # still the same to a reader, and other bytes
    else:
        path.write_bytes(before[:-2] + bytes([before[-2] ^ 1]) + before[-1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    yield
    path.write_bytes(before)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_other_bytes_are_another_run(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    text, patterns = RUNS[name]
    arguments = [name.split()[0], *(word.replace("=", " ") if "command:" in word else word for word in text.split())]
    try:
        assert main(arguments) == 0, capsys.readouterr().err
        capsys.readouterr()
        assert main(arguments) == 0
        finds_done = "nothing to do" in capsys.readouterr().out
        for pattern in patterns:
            path = sorted(root.glob(pattern))[0] if pattern != TRAINED else training_photo(root)
            with altered(path):
                status = main(arguments)
            told = capsys.readouterr()
            assert "nothing to do" not in told.out, pattern
            replaced = "replaced an earlier" in told.out
            assert status == 2 or replaced, pattern
            if path.suffix in (".bmp", ".png"):
                assert "pictures" in (told.out if replaced else told.err.splitlines()[-1]), pattern
            if finds_done and not replaced:  # as they were, they are the same run again
                assert main(arguments) == 0
                assert "nothing to do" in capsys.readouterr().out
    finally:
        for path in root.glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Seen:
    """The files that a process opens, and those of them that it hashes."""

    def __init__(self) -> None:
        self.on, self.opened, self.hashed = False, set[Path](), set[Path]()
        sys.addaudithook(self.hook)  # there for good, and silent when off

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            mode, flags = arguments[1], arguments[2]
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if isinstance(flags, int) else False
            if not writes and not set(str(mode or "")) & set("wax+"):
                self.opened.add(Path(os.fsdecode(arguments[0])).resolve())


SEEN = Seen()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the files that are open are told by /proc")
@pytest.mark.parametrize("name", RUNS)
def test_each_file_that_is_opened_is_hashed(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what a run opens, not by a list: a file that a stage comes to read, and that is not in `reads`, is found."""
    monkeypatch.chdir(root)
    hashing, reading = hashlib.file_digest, tensors.read_tensors

    def digest(file: Any, *rest: Any, **more: Any) -> Any:
        name = Path(f"/proc/self/fd/{file.name}").readlink() if isinstance(file.name, int) else os.fsdecode(file.name)
        SEEN.hashed.add(Path(name).resolve())
        return hashing(file, *rest, **more)

    def seen(path: Path, *rest: Any, **more: Any) -> Any:
        SEEN.opened.add(Path(path).resolve())
        return reading(path, *rest, **more)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    for module in [m for m in sys.modules.values() if getattr(m, "read_tensors", None) is reading]:
        # Its library opens files where no hook sees it.
        monkeypatch.setattr(module, "read_tensors", seen)
    text, _ = RUNS[name]
    arguments = [name.split()[0], *(word.replace("=", " ") if "command:" in word else word for word in text.split())]
    SEEN.opened.clear()
    SEEN.hashed.clear()
    SEEN.on = True
    try:
        assert main(arguments) == 0
    finally:
        SEEN.on = False
        for path in root.glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    here = root.resolve()
    own = {path for path in SEEN.opened if path.is_relative_to(here) and path.is_file()}
    assert own
    held = {here / folder / name for folder in ("photos", "sepia", "dusk") for name in HELD}
    held |= {here / folder / "config.json" for folder in ("base", "model")}  # hashed by its settings alone
    held |= {here / folder / "README.md" for folder in ("base", "model")}  # a card may be rewritten
    left = sorted(str(path.relative_to(here)) for path in own - SEEN.hashed - held)
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "adapt", "scratch", "pairs by a filter"])
def test_a_run_that_was_killed_does_not_go_on_with_other_pictures(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    arguments = [name.split()[0], *RUNS[name][0].split()]
    try:
        assert main(arguments) == 0
        (root / "out").rename(root / "out.partial")
        for pattern in (pattern for pattern in RUNS[name][1] if pattern.endswith(".png")):
            with altered(sorted(root.glob(pattern))[0]):
                capsys.readouterr()
                assert main(arguments) == 2
            line = capsys.readouterr().err.splitlines()[-1]
            assert "the pictures of" in line
            assert "delete it" in line
        assert main(arguments) == 0  # as they were, it goes on
    finally:
        for path in root.glob("out*"):
            shutil.rmtree(path)
