"""The recipe of the SqueezeNet that ships makes the file that ships."""

from __future__ import annotations

import runpy
from pathlib import Path

from e2gan.features.squeezenet import SHIPPED

RECIPE = runpy.run_path(str(Path(__file__).parents[2] / "recipes" / "squeezenet.py"))


def test_it_makes_the_file_that_ships(shared: Path, tmp_path: Path) -> None:
    original, out = shared / "features" / "squeezenet11.safetensors", tmp_path / "halves.safetensors"
    RECIPE["convert"](RECIPE["SqueezeNet"](original=original, out=out))
    assert out.read_bytes() == SHIPPED.read_bytes()
