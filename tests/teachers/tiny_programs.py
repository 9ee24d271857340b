"""Programs and photos for teachers of the user's own."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from e2gan.core.images import Pixels
from e2gan.teachers.teacher import Ask

ASK = Ask("make it autumn", "a park")
PYTHON = sys.executable

HANG = """
import signal, subprocess, sys, time
from pathlib import Path
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # and so does what it starts
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""


def photos(count: int) -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (24, 16 + i, 3), np.uint8) for i in range(count)]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def vanishes(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


STEPS = """
import sys, time
from pathlib import Path
from PIL import Image, ImageOps
source, target, here = map(Path, sys.argv[1:4])
photos = sorted(source.iterdir())
with (here / "log").open("a") as file:
    print(*(Image.open(path).width for path in photos), file=file)
def invert(path):
    ImageOps.invert(Image.open(path)).save(target / path.name)
"""
