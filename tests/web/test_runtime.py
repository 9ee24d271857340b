"""The page's TypeScript against the Python that it repeats: resizing, padding, the guided filter, tiles, mixing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from e2gan.core.images import Pixels, resize
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.editing.detail import guided
from e2gan.editing.predictor import mix, side_for_paint
from e2gan.editing.tiles import edit_in_tiles
from tests.web.web_tools import WEB, node


def test_the_pages_own_unit_tests_pass() -> None:
    files = sorted(str(file) for file in (WEB / "test").glob("*.test.ts"))
    assert files
    done = subprocess.run([node(), "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


class Steps:
    """Steps that Node is given at once, since its start is what takes the time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.steps, self.shapes = folder, [], {}

    def add(self, does: str, shape: tuple[int, ...], *pictures: Pixels, numbers: Any = (), settings: Any = None) -> str:
        out = f"{len(self.steps)}.out"
        listed = []
        for i, picture in enumerate(pictures):
            file = f"{len(self.steps)}-{i}.rgb"
            (self.folder / file).write_bytes(picture.tobytes())
            listed.append({"file": file, "width": picture.shape[1], "height": picture.shape[0]})
        step = {"does": does, "pictures": listed, "numbers": list(numbers), "settings": settings, "out": out}
        self.steps.append(step)
        self.shapes[out] = shape
        return out

    def run(self) -> None:
        (self.folder / "steps.json").write_text(json.dumps(self.steps))
        script = WEB / "test" / "run_steps.ts"
        done = subprocess.run([node(), str(script), str(self.folder)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def picture(self, out: str) -> Pixels:
        return np.frombuffer((self.folder / out).read_bytes(), np.uint8).reshape(self.shapes[out])


def far(found: Pixels, wanted: Pixels) -> tuple[float, int]:
    difference = np.abs(found.astype(np.int16) - wanted)
    return float(difference.mean()), int(difference.max())


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return next(iter(builtin_pictures().values()))[:301, :403]


def test_pictures_become_what_python_makes_of_them(tmp_path: Path, photo: Pixels) -> None:
    height, width = photo.shape[:2]
    steps = Steps(tmp_path)
    sizes = [(96, 128), (31, 350), (500, 700), (height, 57), (1, 1)]
    same = {size for size in sizes if size != (31, 350)}  # there Pillow takes the axes in the other order
    resized = [steps.add("resize", (*size, 3), photo, numbers=size[::-1]) for size in sizes]
    pads = [(0, 0), (13, 3), (0, 15)]
    padded = [steps.add("pad", (height + b, width + r, 3), photo, numbers=(r, b)) for r, b in pads]
    sliver = photo[:3, :5]
    repeated = steps.add("pad", (32, 32, 3), sliver, numbers=(27, 29))
    small = resize(photo, (96, 128))
    darker = np.clip(small.astype(np.float32) * (0.7, 0.9, 0.5) + (9, 0, 40), 0, 255).astype(np.uint8)
    brought = steps.add("guided", photo.shape, photo, small, darker)
    strengths = [0.5, 1.25]
    mixed = [steps.add("mix", photo.shape, photo, photo[::-1].copy(), numbers=[s]) for s in strengths]
    steps.run()

    for size, out in zip(sizes, resized, strict=True):
        mean, most = far(steps.picture(out), resize(photo, size))
        assert (mean < 0.3, most <= (1 if size in same else 8)) == (True, True), size
    tensor = torch.from_numpy(photo.copy()).permute(2, 0, 1).float()
    for (right, bottom), out in zip(pads, padded, strict=True):
        wanted = F.pad(tensor, (0, right, 0, bottom), mode="reflect").permute(1, 2, 0).byte().numpy()
        assert np.array_equal(steps.picture(out), wanted)
    assert np.array_equal(steps.picture(repeated), np.pad(sliver, ((0, 29), (0, 27), (0, 0)), mode="edge"))
    mean, most = far(steps.picture(brought), guided(photo, small, darker))
    assert (mean < 0.01, most <= 1) == (True, True)
    for strength, out in zip(strengths, mixed, strict=True):
        assert far(steps.picture(out), mix(photo, photo[::-1], strength))[1] <= 1


def test_the_network_sees_the_size_that_the_predictor_gives_it(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    sides = [(640, 480), (100, 3000), (257, 129), (64, 48), (4032, 3024)]
    found = {}
    for width, height in sides:
        for detail in ("guided", "none"):
            settings = {"size": 128, "detail": detail, "multiple": 16}
            found[width, height, detail] = steps.add("size", (), numbers=(width, height), settings=settings)
    steps.run()
    for (width, height, detail), out in found.items():
        shorter = min(width, height)
        side = 128 if detail == "guided" else side_for_paint(128, shorter)
        scale = min(1.0, side / shorter)
        wanted = [max(1, round(width * scale)), max(1, round(height * scale))]
        assert json.loads((tmp_path / out).read_text()) == wanted


@pytest.mark.slow
def test_a_long_panorama_is_edited_in_the_tiles_that_python_takes(tmp_path: Path, photo: Pixels) -> None:
    panorama = np.concatenate([resize(photo, (1100, 1500))[:, :: 1 - 2 * (i % 2)] for i in range(3)], axis=1)
    assert panorama.shape[0] * panorama.shape[1] > 2**22

    def invert(part: Pixels, place: tuple[float, float, float, float]) -> Pixels:
        width = part.shape[2]
        pad = -width % 16  # the runtime hands the network padded parts, whose place is larger
        right = place[2] + (place[2] - place[0]) * pad / width
        x = np.arange(width) / (width + pad)
        kept = 1 - 0.5 * (place[0] + (right - place[0]) * x)
        return np.rint((255 - part.astype(np.float64)) * kept[None, None, :, None]).astype(np.uint8)

    wanted = edit_in_tiles(invert, panorama, 1024, 16)
    steps = Steps(tmp_path)
    settings = {"size": 1100, "detail": "guided", "multiple": 16}
    out = steps.add("edit", panorama.shape, panorama, settings=settings)
    steps.run()
    assert far(steps.picture(out), wanted)[1] <= 1
